#ifndef NSP_CLI_DEMO_STATS_H
#define NSP_CLI_DEMO_STATS_H
#include <stdint.h>

/* Returns the median of 'n' values, the lower one of two, 0 when 'n' is 0.
 * Reorders them. */
uint64_t nsp_stats_median(uint64_t values[], uint32_t n);

/* How many of 'n' independent trials, each a hit with 'probability' (0 < p <
 * 1), may be hits before chance is no longer an excuse: the largest '*ret_low'
 * and the smallest '*ret_high' with P(hits < low) and P(hits > high) at most
 * 'tail' each, by the exact binomial distribution. */
void nsp_stats_binomial_interval(uint32_t n, double probability, double tail,
                                 uint32_t *ret_low, uint32_t *ret_high);

#endif /* NSP_CLI_DEMO_STATS_H */
