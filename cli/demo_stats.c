#include "cli/demo_stats.h"

#include <math.h>
#include <stdlib.h>

static int
compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

uint64_t
nsp_stats_median(uint64_t values[], uint32_t n)
{
    if (n == 0)
        return 0;
    qsort(values, n, sizeof *values, compare);
    return values[(n - 1) / 2];
}

/* In logarithms: the terms of a long trial underflow on their own. */
static double
binomial(uint32_t n, double p, uint32_t hits)
{
    double k = hits;

    return exp(lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0) +
               k * log(p) + (n - k) * log1p(-p));
}

void
nsp_stats_binomial_interval(uint32_t n, double probability, double tail,
                            uint32_t *ret_low, uint32_t *ret_high)
{
    double below = 0, above = 0;
    uint32_t low = 0, high = n;

    while (low < n) {
        below += binomial(n, probability, low);
        if (below > tail)
            break;
        low++;
    }
    while (high > 0) {
        above += binomial(n, probability, high);
        if (above > tail)
            break;
        high--;
    }
    *ret_low = low;
    *ret_high = high;
}
