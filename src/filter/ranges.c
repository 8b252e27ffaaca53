#include "filter/ranges.h"

#include <stdlib.h>

static int
compare_lows(const void *a, const void *b)
{
    const struct nsp_range *x = a, *y = b;

    return nsp_u128_less(y->lo, x->lo) - nsp_u128_less(x->lo, y->lo);
}

uint32_t
nsp_ranges_normalise(struct nsp_range ranges[], uint32_t count)
{
    if (count > 0)
        qsort(ranges, count, sizeof ranges[0], compare_lows);
    return nsp_ranges_join(ranges, count);
}

uint32_t
nsp_ranges_join(struct nsp_range ranges[], uint32_t count)
{
    uint32_t kept = 0;

    if (count == 0)
        return 0;
    for (uint32_t i = 1; i < count; i++) {
        struct nsp_range *last = &ranges[kept];
        struct nsp_u128 after = nsp_u128_add(last->hi, nsp_u128(1));

        if (nsp_u128_equal(last->hi, NSP_U128_MAX))
            break;
        if (nsp_u128_less(after, ranges[i].lo))
            ranges[++kept] = ranges[i];
        else if (nsp_u128_less(last->hi, ranges[i].hi))
            last->hi = ranges[i].hi;
    }
    return kept + 1;
}

uint32_t
nsp_ranges_complement(const struct nsp_range ranges[], uint32_t count,
                      struct nsp_u128 span, struct nsp_range ret[])
{
    struct nsp_u128 lo = { 0, 0 };
    uint32_t n = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (nsp_u128_less(lo, ranges[i].lo))
            ret[n++] = (struct nsp_range){ lo, nsp_u128_sub(ranges[i].lo,
                                                            nsp_u128(1)) };
        if (nsp_u128_equal(ranges[i].hi, span))
            return n;
        lo = nsp_u128_add(ranges[i].hi, nsp_u128(1));
    }
    ret[n++] = (struct nsp_range){ lo, span };
    return n;
}

bool
nsp_ranges_are_full(const struct nsp_range ranges[], uint32_t count,
                    struct nsp_u128 span)
{
    return count == 1 && nsp_u128_is_zero(ranges[0].lo) &&
           nsp_u128_equal(ranges[0].hi, span);
}

bool
nsp_ranges_contain(const struct nsp_range ranges[], uint32_t count,
                   struct nsp_u128 value)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!nsp_u128_less(value, ranges[i].lo) &&
            !nsp_u128_less(ranges[i].hi, value))
            return true;
    }
    return false;
}
