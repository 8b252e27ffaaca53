#ifndef NSP_TESTS_LIB_STATISTICS_H
#define NSP_TESTS_LIB_STATISTICS_H
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* Whether 'count' of 'n' independent trials lies in the 99.9 % interval for
 * probability 'p': 3.29 standard deviations, and one for counts being whole. */
static inline bool
is_binomial(uint64_t count, uint64_t n, double p)
{
    double off = fabs((double)count - (double)n * p);

    return off <= 1 + 3.29 * sqrt((double)n * p * (1 - p));
}

static inline bool
is_near(double value, double expected, double tolerance)
{
    return fabs(value - expected) <= tolerance;
}

static inline double
mean_of(const double *x, uint64_t n)
{
    double sum = 0;

    for (uint64_t i = 0; i < n; i++)
        sum += x[i];
    return sum / (double)n;
}

static inline double
sd_of(const double *x, uint64_t n)
{
    double mean = mean_of(x, n), sum = 0;

    for (uint64_t i = 0; i < n; i++)
        sum += (x[i] - mean) * (x[i] - mean);
    return sqrt(sum / (double)n);
}

/* Correlation of x[i] and x[i + lag]. */
static inline double
autocorrelation(const double *x, uint64_t n, uint64_t lag)
{
    double mean = mean_of(x, n), sum = 0, all = 0;

    for (uint64_t i = 0; i < n; i++)
        all += (x[i] - mean) * (x[i] - mean);
    for (uint64_t i = 0; i + lag < n; i++)
        sum += (x[i] - mean) * (x[i + lag] - mean);
    return sum / all;
}

static inline int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The largest distance between the distribution of 'x', which this sorts, and
 * 'cdf' (Kolmogorov and Smirnov). */
static inline double
ks_distance(double *x, uint64_t n, double (*cdf)(double, const void *),
            const void *context)
{
    double worst = 0;

    qsort(x, n, sizeof *x, compare_doubles);
    for (uint64_t i = 0; i < n; i++) {
        double f = cdf(x[i], context);

        worst = fmax(worst, fabs(f - (double)i / (double)n));
        worst = fmax(worst, fabs((double)(i + 1) / (double)n - f));
    }
    return worst;
}

#endif /* NSP_TESTS_LIB_STATISTICS_H */
