#include "policy/value_set.h"

static const struct nsp_u128 zero = { 0, 0 }, one = { 0, 1 };

struct nsp_value_set *
nsp_value_set_new(struct nsp_set_maker *maker, uint32_t max)
{
    struct nsp_value_set *set = nsp_arena_alloc(
        &maker->arena, 1, sizeof *set + max * sizeof set->ranges[0]);

    maker->steps += max + 1;
    if (!set)
        maker->failed = true;
    return set;
}

/* Tells whether a range that begins at 'lo' of 'part' touches or overlaps one
 * that ends at 'end', which does not begin behind it. */
static bool
touches(const struct nsp_value_range *last, enum nsp_part part,
        struct nsp_u128 lo)
{
    return last->part == part &&
           (!nsp_u128_less(last->hi, lo) ||
            nsp_u128_equal(nsp_u128_sub(lo, one), last->hi));
}

void
nsp_value_set_append(struct nsp_value_set *set, enum nsp_part part,
                     struct nsp_u128 lo, struct nsp_u128 hi)
{
    struct nsp_value_range *last =
        set->count > 0 ? &set->ranges[set->count - 1] : NULL;

    if (last && touches(last, part, lo)) {
        if (nsp_u128_less(last->hi, hi))
            last->hi = hi;
        return;
    }
    set->ranges[set->count++] =
        (struct nsp_value_range){ lo, hi, (uint8_t)part };
}

const struct nsp_value_set *
nsp_value_set_finish(const struct nsp_value_set *set,
                     const struct nsp_domain *domain)
{
    uint32_t i = 0;

    if (!set)
        return NULL;
    for (int part = 0; part < NSP_PARTS; part++) {
        const struct nsp_value_range *range = &set->ranges[i];

        if (!domain->has[part])
            continue;
        if (i++ >= set->count || range->part != part ||
            !nsp_u128_is_zero(range->lo) ||
            !nsp_u128_equal(range->hi, domain->max[part]))
            return set;
    }
    return NULL;
}

/* Order of where two ranges end. */
static bool
ends_before(const struct nsp_value_range *a, const struct nsp_value_range *b)
{
    return a->part < b->part ||
           (a->part == b->part && nsp_u128_less(a->hi, b->hi));
}

const struct nsp_value_set *
nsp_value_set_and(struct nsp_set_maker *maker, const struct nsp_value_set *a,
                  const struct nsp_value_set *b)
{
    struct nsp_value_set *set;

    if (!a || !b || a == b)
        return a ? a : b;
    set = nsp_value_set_new(maker, a->count + b->count);
    if (!set)
        return NULL;
    for (uint32_t i = 0, j = 0; i < a->count && j < b->count;) {
        const struct nsp_value_range *x = &a->ranges[i], *y = &b->ranges[j];

        if (x->part == y->part && !nsp_u128_less(x->hi, y->lo) &&
            !nsp_u128_less(y->hi, x->lo))
            nsp_value_set_append(set, (enum nsp_part)x->part,
                                 nsp_u128_less(x->lo, y->lo) ? y->lo : x->lo,
                                 nsp_u128_less(x->hi, y->hi) ? x->hi : y->hi);
        if (ends_before(x, y))
            i++;
        else
            j++;
    }
    return set;
}

static bool
begins_before(const struct nsp_value_range *a, const struct nsp_value_range *b)
{
    return a->part < b->part ||
           (a->part == b->part && nsp_u128_less(a->lo, b->lo));
}

const struct nsp_value_set *
nsp_value_set_or(struct nsp_set_maker *maker, const struct nsp_domain *domain,
                 const struct nsp_value_set *a, const struct nsp_value_set *b)
{
    struct nsp_value_set *set;

    if (!a || !b || a == b)
        return a == b ? a : NULL;
    set = nsp_value_set_new(maker, a->count + b->count);
    if (!set)
        return NULL;
    for (uint32_t i = 0, j = 0; i < a->count || j < b->count;) {
        bool from_a =
            j == b->count ||
            (i < a->count && begins_before(&a->ranges[i], &b->ranges[j]));
        const struct nsp_value_range *range =
            from_a ? &a->ranges[i++] : &b->ranges[j++];

        nsp_value_set_append(set, (enum nsp_part)range->part, range->lo,
                             range->hi);
    }
    return nsp_value_set_finish(set, domain);
}

const struct nsp_value_set *
nsp_value_set_not(struct nsp_set_maker *maker, const struct nsp_domain *domain,
                  const struct nsp_value_set *set)
{
    struct nsp_value_set *ret;
    uint32_t i = 0;

    ret = nsp_value_set_new(maker, (set ? set->count : 0) + NSP_PARTS);
    if (!ret || !set)
        return ret;
    for (int part = 0; part < NSP_PARTS; part++) {
        struct nsp_u128 lo = zero;
        bool open = domain->has[part];

        for (; i < set->count && set->ranges[i].part == part; i++) {
            const struct nsp_value_range *range = &set->ranges[i];

            if (nsp_u128_less(lo, range->lo))
                nsp_value_set_append(ret, (enum nsp_part)part, lo,
                                     nsp_u128_sub(range->lo, one));
            open = !nsp_u128_equal(range->hi, domain->max[part]);
            lo = nsp_u128_add(range->hi, one);
        }
        if (open)
            nsp_value_set_append(ret, (enum nsp_part)part, lo,
                                 domain->max[part]);
    }
    return nsp_value_set_finish(ret, domain);
}

bool
nsp_value_set_is_subset(struct nsp_set_maker *maker,
                        const struct nsp_value_set *a,
                        const struct nsp_value_set *b)
{
    uint32_t j = 0;

    if (!b || a == b)
        return true;
    if (!a)
        return false;
    maker->steps += a->count + 1;
    for (uint32_t i = 0; i < a->count; i++) {
        const struct nsp_value_range *x = &a->ranges[i];

        while (j < b->count && ends_before(&b->ranges[j], x))
            j++;
        if (j == b->count || begins_before(x, &b->ranges[j]))
            return false;
    }
    return true;
}

bool
nsp_value_set_is_equal(struct nsp_set_maker *maker,
                       const struct nsp_value_set *a,
                       const struct nsp_value_set *b)
{
    if (!a || !b || a == b)
        return a == b;
    if (a->count != b->count)
        return false;
    maker->steps += a->count + 1;
    for (uint32_t i = 0; i < a->count; i++) {
        const struct nsp_value_range *x = &a->ranges[i], *y = &b->ranges[i];

        if (x->part != y->part || !nsp_u128_equal(x->lo, y->lo) ||
            !nsp_u128_equal(x->hi, y->hi))
            return false;
    }
    return true;
}

bool
nsp_value_set_meets(const struct nsp_value_set *set, enum nsp_part part,
                    struct nsp_u128 lo, struct nsp_u128 hi)
{
    if (!set)
        return true;
    for (uint32_t i = 0; i < set->count; i++) {
        const struct nsp_value_range *range = &set->ranges[i];

        if (range->part == part && !nsp_u128_less(range->hi, lo) &&
            !nsp_u128_less(hi, range->lo))
            return true;
    }
    return false;
}
