#include <string.h>

#include "policy/class_index.h"

#define DIGIT_BITS 11u
#define DIGITS     (1u << DIGIT_BITS)

/* --- Order ---------------------------------------------------------------- */

static uint32_t
digit_of(struct nsp_u128 value, uint32_t shift)
{
    uint64_t word = value.lo >> (shift < 64 ? shift : 63);

    if (shift >= 64)
        word = value.hi >> (shift - 64);
    else if (shift > 64 - DIGIT_BITS)
        word |= value.hi << (64 - shift);
    return (uint32_t)word & (DIGITS - 1);
}

/* The part is the digit above all others. */
static NSP_ALWAYS_INLINE uint32_t
digit_at(const struct nsp_end *end, uint32_t shift)
{
    return shift >= 128 ? end->part : digit_of(end->at, shift);
}

/* One pass of a radix sort: stable. */
static void
sort_by(const struct nsp_end from[], uint32_t count, uint32_t shift,
        struct nsp_end to[])
{
    uint32_t places[DIGITS] = { 0 };
    uint32_t place = 0;

    for (uint32_t i = 0; i < count; i++)
        places[digit_at(&from[i], shift)]++;
    for (uint32_t d = 0; d < DIGITS; d++) {
        uint32_t n = places[d];

        places[d] = place;
        place += n;
    }
    for (uint32_t i = 0; i < count; i++)
        to[places[digit_at(&from[i], shift)]++] = from[i];
}

/* Bits in which ends differ, those of the part above all others. */
struct difference {
    struct nsp_u128 at;
    uint8_t part;
};

static struct difference
compare_all(const struct nsp_end ends[], uint32_t count)
{
    struct difference ret = { 0 };

    for (uint32_t i = 1; i < count; i++) {
        ret.at.hi |= ends[i].at.hi ^ ends[0].at.hi;
        ret.at.lo |= ends[i].at.lo ^ ends[0].at.lo;
        ret.part |= ends[i].part ^ ends[0].part;
    }
    return ret;
}

uint32_t
nsp_entries_list_ends(const struct nsp_entry entries[], uint32_t count,
                      const struct nsp_domain *domain, struct nsp_end scratch[],
                      struct nsp_end ret[])
{
    struct nsp_end *from = ret, *to = scratch;
    struct difference differ;
    uint32_t n = 0;

    for (uint32_t i = 0; i < count; i++) {
        const struct nsp_entry *entry = &entries[i];

        ret[n++] =
            (struct nsp_end){ entry->lo, entry->cube, entry->part, true };
        if (!nsp_u128_equal(entry->hi, domain->max[entry->part]))
            ret[n++] = (struct nsp_end){ nsp_u128_add(entry->hi, nsp_u128(1)),
                                         entry->cube, entry->part, false };
    }
    differ = compare_all(ret, n);
    for (uint32_t shift = 0; shift < 128 + DIGIT_BITS; shift += DIGIT_BITS) {
        struct nsp_end *sorted = to;

        if (shift < 128 ? digit_of(differ.at, shift) == 0 : differ.part == 0)
            continue;
        sort_by(from, n, shift, to);
        to = from;
        from = sorted;
    }
    if (from != ret)
        memcpy(ret, from, n * sizeof ret[0]);
    return n;
}

/* --- Coarsening ----------------------------------------------------------- */

static bool
is_before(const struct nsp_end *end, uint8_t part, struct nsp_u128 at)
{
    return end->part < part ||
           (end->part == part && nsp_u128_less(end->at, at));
}

/* Keeps one end in 'step' of those that differ. */
static uint32_t
thin_out(struct nsp_end ends[], uint32_t count, uint32_t step)
{
    uint32_t kept = 0, different = 0;
    struct nsp_end last = { .part = NSP_PARTS };

    for (uint32_t i = 0; i < count; i++) {
        struct nsp_end end = ends[i];

        if (end.part == last.part && nsp_u128_equal(end.at, last.at))
            continue;
        last = end;
        if (++different % step == 0)
            ends[kept++] = end;
    }
    return kept;
}

/* The number of 'ends' not behind 'at'. */
static uint32_t
rank(const struct nsp_end ends[], uint32_t count, uint8_t part,
     struct nsp_u128 at, bool or_equal)
{
    uint32_t lo = 0, hi = count;

    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        bool equal = ends[mid].part == part && nsp_u128_equal(ends[mid].at, at);

        if (is_before(&ends[mid], part, at) || (or_equal && equal))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Grows 'entry' to the ends kept around it. */
static void
grow(struct nsp_entry *entry, const struct nsp_end ends[], uint32_t count,
     const struct nsp_domain *domain)
{
    uint32_t below = rank(ends, count, entry->part, entry->lo, true);
    uint32_t above = rank(ends, count, entry->part, entry->hi, true);

    entry->lo = nsp_u128(0);
    if (below > 0 && ends[below - 1].part == entry->part)
        entry->lo = ends[below - 1].at;
    entry->hi = domain->max[entry->part];
    if (above < count && ends[above].part == entry->part)
        entry->hi = nsp_u128_sub(ends[above].at, nsp_u128(1));
}

uint32_t
nsp_entries_coarsen(struct nsp_entry entries[], uint32_t count,
                    const struct nsp_domain *domain, uint32_t step,
                    bool marks[], const struct nsp_allocator *allocator)
{
    struct nsp_end *ends, *scratch;
    uint32_t end_count, kept = 0;

    if (step == UINT32_MAX) {
        for (uint32_t i = 0; i < count; i++)
            marks[entries[i].cube] = true;
        return 0;
    }
    ends = nsp_alloc(allocator, 2 * (size_t)count + 1, sizeof ends[0]);
    scratch = nsp_alloc(allocator, 2 * (size_t)count + 1, sizeof ends[0]);
    if (!ends || !scratch) {
        nsp_release(allocator, ends);
        nsp_release(allocator, scratch);
        return UINT32_MAX;
    }
    end_count = nsp_entries_list_ends(entries, count, domain, scratch, ends);
    end_count = thin_out(ends, end_count, step);
    for (uint32_t i = 0; i < count; i++) {
        struct nsp_entry entry = entries[i];
        struct nsp_entry *last = kept > 0 ? &entries[kept - 1] : NULL;

        grow(&entry, ends, end_count, domain);
        if (!nsp_u128_equal(entry.lo, entries[i].lo) ||
            !nsp_u128_equal(entry.hi, entries[i].hi))
            marks[entry.cube] = true;
        if (last && last->cube == entry.cube && last->part == entry.part &&
            !nsp_u128_less(nsp_u128_add(last->hi, nsp_u128(1)), entry.lo) &&
            !nsp_u128_equal(last->hi, domain->max[entry.part]))
            last->hi = entry.hi;
        else if (!last || last->cube != entry.cube ||
                 last->part != entry.part || nsp_u128_less(last->hi, entry.lo))
            entries[kept++] = entry;
    }
    nsp_release(allocator, ends);
    nsp_release(allocator, scratch);
    return kept;
}
