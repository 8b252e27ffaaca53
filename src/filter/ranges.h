#ifndef NSP_FILTER_RANGES_H
#define NSP_FILTER_RANGES_H
#include "filter/number.h"

/* Sets of values 0..span as arrays of ranges: ascending, disjoint and not
 * adjacent, so that equal sets are equal arrays. */

/* Sorts 'count' ranges that may overlap and joins those that touch. Returns how
 * many are left. */
uint32_t nsp_ranges_normalise(struct nsp_range ranges[], uint32_t count);

/* The same for 'count' ranges that are sorted by their first value already. */
uint32_t nsp_ranges_join(struct nsp_range ranges[], uint32_t count);

/* Stores the values of 0..span that are in none of 'count' ranges and returns
 * the number of ranges stored, at most count + 1. */
uint32_t nsp_ranges_complement(const struct nsp_range ranges[], uint32_t count,
                               struct nsp_u128 span, struct nsp_range ret[]);

/* Tells whether the ranges are exactly 0..span. */
bool nsp_ranges_are_full(const struct nsp_range ranges[], uint32_t count,
                         struct nsp_u128 span);

bool nsp_ranges_contain(const struct nsp_range ranges[], uint32_t count,
                        struct nsp_u128 value);

#endif /* NSP_FILTER_RANGES_H */
