/* Membership of a value in a set of ranges, by binary search over 32-bit words.
 *
 * A wide value is looked up word by word, the highest first: the search for a
 * word ends where the ranges left contain all values that begin so, or none, or
 * where they all begin with one word, and then goes on with the next. */
#include "filter/lower.h"

#define WORDS 4u

/* Ranges first .. end - 1. The highest words of the value are known; an open
 * bound is one that lies below, or above, all values that begin so. */
struct slice {
    uint32_t first, end;
    bool open_lo, open_hi;
};

struct search {
    struct nsp_lowering *l;
    const struct nsp_range *ranges;
    enum nsp_slot base; /* NSP_SLOT_NONE: the last word is in A. */
    uint32_t offset;    /* Of the highest word. */
    uint32_t max;       /* The largest last word. */
    uint32_t pass, fail;
};

static uint32_t
word_of(struct nsp_u128 value, uint32_t word)
{
    uint64_t half = word < 2 ? value.hi : value.lo;

    return (uint32_t)(word % 2 == 0 ? half >> 32 : half);
}

/* The bounds of a range in one word. */
static uint32_t
low(const struct search *s, const struct slice *slice, uint32_t i,
    uint32_t word)
{
    return slice->open_lo && i == slice->first ? 0
                                               : word_of(s->ranges[i].lo, word);
}

static uint32_t
high(const struct search *s, const struct slice *slice, uint32_t i,
     uint32_t word)
{
    return slice->open_hi && i == slice->end - 1
               ? UINT32_MAX
               : word_of(s->ranges[i].hi, word);
}

/* Tells whether a range has all values that begin with its low word; with its
 * high word. */
static bool
is_low_whole(const struct search *s, const struct slice *slice, uint32_t i,
             uint32_t word)
{
    while (++word < WORDS) {
        if (low(s, slice, i, word) != 0)
            return false;
    }
    return true;
}

static bool
is_high_whole(const struct search *s, const struct slice *slice, uint32_t i,
              uint32_t word)
{
    while (++word < WORDS) {
        if (high(s, slice, i, word) != UINT32_MAX)
            return false;
    }
    return true;
}

/* Leaves out ranges without a value in lo .. hi. */
static struct slice
trim(const struct search *s, struct slice slice, uint32_t word, uint32_t lo,
     uint32_t hi)
{
    while (slice.first < slice.end && high(s, &slice, slice.first, word) < lo) {
        slice.first++;
        slice.open_lo = false;
    }
    while (slice.first < slice.end &&
           low(s, &slice, slice.end - 1, word) > hi) {
        slice.end--;
        slice.open_hi = false;
    }
    return slice;
}

/* What is left of a trimmed, not empty slice for values with 'value' in
 * 'word'. */
static struct slice
descend(const struct search *s, struct slice slice, uint32_t word,
        uint32_t value)
{
    slice.open_lo |= low(s, &slice, slice.first, word) < value;
    slice.open_hi |= high(s, &slice, slice.end - 1, word) > value;
    return slice;
}

/* Tells whether the first range has all values whose word is in lo .. hi. */
static bool
covers(const struct search *s, const struct slice *slice, uint32_t word,
       uint32_t lo, uint32_t hi)
{
    uint32_t i = slice->first;
    uint32_t from = low(s, slice, i, word), to = high(s, slice, i, word);

    return (from < lo || (from == lo && is_low_whole(s, slice, i, word))) &&
           (to > hi || (to == hi && is_high_whole(s, slice, i, word)));
}

/* Finds a word lo < w <= hi at which the answer changes in range 'i'. */
static bool
find_edge(const struct search *s, const struct slice *slice, uint32_t i,
          uint32_t word, uint32_t lo, uint32_t hi, uint32_t *ret)
{
    uint32_t from = low(s, slice, i, word), to = high(s, slice, i, word);
    const uint64_t edges[] = {
        from,
        is_low_whole(s, slice, i, word) ? from : from + UINT64_C(1),
        is_high_whole(s, slice, i, word) ? to + UINT64_C(1) : to,
        to + UINT64_C(1),
    };

    for (uint32_t e = 0; e < NSP_ARRAY_LEN(edges); e++) {
        if (edges[e] > lo && edges[e] <= hi) {
            *ret = (uint32_t)edges[e];
            return true;
        }
    }
    return false;
}

/* Such a word in the middle range, or in any. */
static uint32_t
choose_edge(const struct search *s, const struct slice *slice, uint32_t word,
            uint32_t lo, uint32_t hi)
{
    uint32_t count = slice->end - slice->first, edge = hi;

    for (uint32_t k = 0; k < count; k++) {
        uint32_t i = slice->first + (count / 2 + k) % count;

        if (find_edge(s, slice, i, word, lo, hi, &edge))
            break;
    }
    return edge;
}

static void search_word(const struct search *s, struct slice slice,
                        uint32_t word);

/* A few single values, compared one by one. */
static bool
search_points(const struct search *s, const struct slice *slice, uint32_t word)
{
    if (word != WORDS - 1 || slice->end - slice->first > 2)
        return false;
    for (uint32_t i = slice->first; i < slice->end; i++) {
        if (low(s, slice, i, word) != high(s, slice, i, word))
            return false;
    }
    for (uint32_t i = slice->first; i < slice->end; i++)
        nsp_lower_goto_if(s->l, NSP_BPF_JEQ, low(s, slice, i, word), s->pass);
    nsp_code_goto(s->l->code, s->fail);
    return true;
}

/* Goes on with A, which is the word and known to be in lo .. hi. */
static void
search_span(const struct search *s, struct slice slice, uint32_t word,
            uint32_t lo, uint32_t hi)
{
    uint32_t edge, above;
    enum nsp_slot x = s->l->x;

    slice = trim(s, slice, word, lo, hi);
    if (slice.first == slice.end) {
        nsp_code_goto(s->l->code, s->fail);
        return;
    }
    if (covers(s, &slice, word, lo, hi)) {
        nsp_code_goto(s->l->code, s->pass);
        return;
    }
    if (lo == hi) {
        search_word(s, descend(s, slice, word, lo), word + 1);
        return;
    }
    if (search_points(s, &slice, word))
        return;
    edge = low(s, &slice, slice.first, word);
    if (edge == high(s, &slice, slice.end - 1, word)) {
        nsp_lower_goto_unless(s->l, NSP_BPF_JEQ, edge, s->fail);
        search_span(s, slice, word, edge, edge);
        return;
    }
    edge = choose_edge(s, &slice, word, lo, hi);
    above = nsp_code_label(s->l->code);
    nsp_lower_goto_if(s->l, NSP_BPF_JGE, edge, above);
    search_span(s, slice, word, lo, edge - 1);
    nsp_lower_place(s->l, above);
    s->l->x = x; /* As before the jump, from where alone this is reached. */
    search_span(s, slice, word, edge, hi);
}

static void
search_word(const struct search *s, struct slice slice, uint32_t word)
{
    if (s->l->code->overflow)
        return;
    if (s->base != NSP_SLOT_NONE)
        nsp_lower_fetch(s->l, NSP_BPF_W, s->base, s->offset + 4 * word);
    search_span(s, slice, word, 0, word == WORDS - 1 ? s->max : UINT32_MAX);
}

/* Searches for a value whose words before 'word' are those of 'prefix'. */
static void
search_below(const struct search *s, uint32_t count, struct nsp_u128 prefix,
             uint32_t word)
{
    struct slice slice = { .end = count };

    for (uint32_t i = 0; i < word; i++) {
        uint32_t value = word_of(prefix, i);

        slice = trim(s, slice, i, value, value);
        if (slice.first == slice.end) {
            nsp_code_goto(s->l->code, s->fail);
            return;
        }
        slice = descend(s, slice, i, value);
    }
    search_word(s, slice, word);
}

void
nsp_lower_set32(struct nsp_lowering *l, const struct nsp_range ranges[],
                uint32_t count, uint32_t max, uint32_t pass, uint32_t fail)
{
    struct search search = { .l = l,
                             .ranges = ranges,
                             .base = NSP_SLOT_NONE,
                             .max = max,
                             .pass = pass,
                             .fail = fail };

    search_below(&search, count, nsp_u128(0), WORDS - 1);
}

void
nsp_lower_set128(struct nsp_lowering *l, const struct nsp_range ranges[],
                 uint32_t count, enum nsp_slot base, uint32_t offset,
                 uint32_t pass, uint32_t fail)
{
    struct search search = { .l = l,
                             .ranges = ranges,
                             .base = base,
                             .offset = offset,
                             .max = UINT32_MAX,
                             .pass = pass,
                             .fail = fail };

    search_below(&search, count, nsp_u128(0), 0);
}

void
nsp_lower_set_mapped(struct nsp_lowering *l, const struct nsp_range ranges[],
                     uint32_t count, enum nsp_slot base, uint32_t offset,
                     uint32_t pass, uint32_t fail)
{
    struct search search = { .l = l,
                             .ranges = ranges,
                             .base = base,
                             .offset = offset - 4 * (WORDS - 1),
                             .max = UINT32_MAX,
                             .pass = pass,
                             .fail = fail };

    search_below(&search, count, nsp_u128(NSP_IPV4_FIRST), WORDS - 1);
}
