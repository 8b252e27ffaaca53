#ifndef NSP_VERIFY_STATISTICS_H
#define NSP_VERIFY_STATISTICS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Statistics of samples, and how far chance takes them.
 *
 * Intervals are two-sided and hold 99.9 % of what chance does: 3.29 standard
 * errors where something is normally distributed.
 *
 * Threads  None of these keeps anything. */

#define NSP_SIGMAS_999 3.2905267314919255 /* Of the normal distribution. */

struct nsp_interval {
    double low, high;
};

/* --- Samples ------------------------------------------------------------- */

struct nsp_moments {
    double mean;
    double sd;     /* Of the sample: divided by n - 1; 0 below two values. */
    double fourth; /* Central moment. */
};

/* Values above 'cap' count as that; INFINITY is none. Two passes, so that a
 * small deviation beside a large mean keeps its digits. All zero when 'n' is 0.
 */
void nsp_moments_read(const double *x, size_t n, double cap,
                      struct nsp_moments *ret);

/* The standard error of the deviation of such a sample of independent values,
 * by its fourth moment: sqrt((m4 - sd^4) / n) / (2 sd). 0 where sd is. */
double nsp_moments_sd_error(const struct nsp_moments *moments, double n);

/* Correlation of x[i] with x[i + 1]; 0 where nothing varies. */
double nsp_lag1_correlation(const double *x, size_t n);

void nsp_sort_doubles(double *x, size_t n);

/* The value that a share 'p' of the ascending 'x' does not exceed (the inverse
 * of the empirical distribution). 'n' is at least 1. */
double nsp_quantile(const double *x, size_t n, double p);

/* --- Distributions ------------------------------------------------------- */

double nsp_normal_cdf(double z);
/* 0 < p < 1. By Newton's iteration on the above; exact to 10^-12. */
double nsp_normal_quantile(double p);

/* A distribution function and what it needs: F(x), continuous from the right.
 * 'below' is the limit from the left, F(x-). */
struct nsp_distribution {
    double (*cdf)(const void *context, double x);
    double (*cdf_below)(const void *context, double x);
    const void *context;
};

/* The largest distance between the ascending 'x' and 'of' (Kolmogorov and
 * Smirnov), where each value may be off by 'slack', as rounded ones are.
 * Right with values that occur more than once. */
double nsp_ks_distance(const double *x, size_t n,
                       const struct nsp_distribution *of, double slack);

/* What that distance may be: 1.63 / sqrt(n), which one of a hundred samples of
 * a continuous distribution exceeds, and fewer of any other. */
double nsp_ks_limit(double n);

/* --- Counts -------------------------------------------------------------- */

/* How many of 'n' independent trials are hits with probability 'p'. Exact, by
 * the binomial distribution, to 10^4 expected hits or misses; the normal one
 * beyond, which is then within a hit of it. */
struct nsp_interval nsp_binomial_interval(uint64_t n, double p);

/* The probabilities that explain 'hits' of 'n' (Wilson, 1927). 'inflation' is
 * how much more the count varies than that of independent trials: 1 of these.
 */
struct nsp_interval nsp_share_interval(double hits, double n, double inflation);

#endif /* NSP_VERIFY_STATISTICS_H */
