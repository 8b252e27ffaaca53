#ifndef NSP_POLICY_VALUE_SET_H
#define NSP_POLICY_VALUE_SET_H
#include "filter/arena.h"
#include "filter/number.h"

/* Sets of the values of a column. A column's values lie in up to three parts:
 * numbers that fit 32 bits, wider ones, and "none", a packet without any. */

enum nsp_part { NSP_PART_NARROW, NSP_PART_WIDE, NSP_PART_NONE, NSP_PARTS };

struct nsp_domain {
    bool has[NSP_PARTS];
    struct nsp_u128 max[NSP_PARTS]; /* Values are 0..max; none is 0. */
};

struct nsp_value_range {
    struct nsp_u128 lo, hi;
    uint8_t part; /* enum nsp_part. */
};

/* Ranges ascend by part, then by value, are disjoint and not adjacent, so equal
 * sets are equal arrays. A NULL pointer stands for the whole domain, and only
 * it does. Immutable; lives as long as its arena. */
struct nsp_value_set {
    uint32_t count;
    struct nsp_value_range ranges[];
};

/* Where sets are made. After a failure 'failed' is set, and results are the
 * whole domain. */
struct nsp_set_maker {
    struct nsp_arena arena;
    uint64_t steps; /* Ranges looked at so far. */
    bool failed;    /* Memory was short. */
};

/* Room for 'max' ranges, to be filled by the caller. */
struct nsp_value_set *nsp_value_set_new(struct nsp_set_maker *maker,
                                        uint32_t max);

/* Appends lo..hi of 'part', which lies behind all others; joins it to the last
 * if they touch. */
void nsp_value_set_append(struct nsp_value_set *set, enum nsp_part part,
                          struct nsp_u128 lo, struct nsp_u128 hi);

/* 'set', or NULL if it is the whole domain. */
const struct nsp_value_set *nsp_value_set_finish(
    const struct nsp_value_set *set, const struct nsp_domain *domain);

const struct nsp_value_set *nsp_value_set_and(struct nsp_set_maker *maker,
                                              const struct nsp_value_set *a,
                                              const struct nsp_value_set *b);
const struct nsp_value_set *nsp_value_set_or(struct nsp_set_maker *maker,
                                             const struct nsp_domain *domain,
                                             const struct nsp_value_set *a,
                                             const struct nsp_value_set *b);
const struct nsp_value_set *nsp_value_set_not(struct nsp_set_maker *maker,
                                              const struct nsp_domain *domain,
                                              const struct nsp_value_set *set);

bool nsp_value_set_is_subset(struct nsp_set_maker *maker,
                             const struct nsp_value_set *a,
                             const struct nsp_value_set *b);
bool nsp_value_set_is_equal(struct nsp_set_maker *maker,
                            const struct nsp_value_set *a,
                            const struct nsp_value_set *b);

/* Tells whether the set has a value of 'part' within lo..hi. */
bool nsp_value_set_meets(const struct nsp_value_set *set, enum nsp_part part,
                         struct nsp_u128 lo, struct nsp_u128 hi);

static inline bool
nsp_value_set_is_empty(const struct nsp_value_set *set)
{
    return set && set->count == 0;
}

#endif /* NSP_POLICY_VALUE_SET_H */
