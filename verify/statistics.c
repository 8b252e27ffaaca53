#include "verify/statistics.h"

#include <math.h>
#include <stdlib.h>

#define EXACT_HITS_MAX 10000.0
#define TAIL_999       0.0005

/* --- Samples ------------------------------------------------------------- */

void
nsp_moments_read(const double *x, size_t n, double cap, struct nsp_moments *ret)
{
    double count = (double)n, sum = 0, second = 0, fourth = 0;

    *ret = (struct nsp_moments){ 0 };
    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++)
        sum += fmin(x[i], cap);
    ret->mean = sum / count;
    for (size_t i = 0; i < n; i++) {
        double off = fmin(x[i], cap) - ret->mean, square = off * off;

        second += square;
        fourth += square * square;
    }
    ret->sd = n > 1 ? sqrt(second / (count - 1)) : 0;
    ret->fourth = fourth / count;
}

double
nsp_moments_sd_error(const struct nsp_moments *moments, double n)
{
    double variance = moments->sd * moments->sd;
    double spread = moments->fourth - variance * variance;

    if (variance <= 0 || n <= 0)
        return 0;
    return sqrt((spread > 0 ? spread : 0) / n) / (2 * moments->sd);
}

double
nsp_lag1_correlation(const double *x, size_t n)
{
    struct nsp_moments moments;
    double all = 0, neighbours = 0;

    nsp_moments_read(x, n, INFINITY, &moments);
    for (size_t i = 0; i < n; i++)
        all += (x[i] - moments.mean) * (x[i] - moments.mean);
    for (size_t i = 0; i + 1 < n; i++)
        neighbours += (x[i] - moments.mean) * (x[i + 1] - moments.mean);
    return all > 0 ? neighbours / all : 0;
}

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

void
nsp_sort_doubles(double *x, size_t n)
{
    qsort(x, n, sizeof *x, compare);
}

double
nsp_quantile(const double *x, size_t n, double p)
{
    double place = ceil(p * (double)n) - 1;

    if (place < 0)
        place = 0;
    if (place > (double)n - 1)
        place = (double)n - 1;
    return x[(size_t)place];
}

/* --- Distributions ------------------------------------------------------- */

double
nsp_normal_cdf(double z)
{
    return erfc(-z / sqrt(2)) / 2;
}

static double
normal_density(double z)
{
    return exp(-z * z / 2) / sqrt(2 * acos(-1));
}

/* In logarithms of the smaller tail, where Newton's iteration converges from
 * anywhere: log F is concave. */
double
nsp_normal_quantile(double p)
{
    bool upper = p > 0.5;
    double tail = upper ? 1 - p : p, z = 0;

    for (int i = 0; i < 60; i++) {
        double cdf = nsp_normal_cdf(z);
        double step = (log(cdf) - log(tail)) * cdf / normal_density(z);

        z -= step;
        if (fabs(step) < 1e-14)
            break;
    }
    return upper ? -z : z;
}

double
nsp_ks_distance(const double *x, size_t n, const struct nsp_distribution *of,
                double slack)
{
    double worst = 0, count = (double)n;

    for (size_t i = 0, next; i < n; i = next) {
        double above, below;

        for (next = i + 1; next < n && x[next] <= x[i];)
            next++;
        above = (double)next / count - of->cdf(of->context, x[i] + slack);
        below = of->cdf_below(of->context, x[i] - slack) - (double)i / count;
        worst = fmax(worst, fmax(above, below));
    }
    return worst;
}

double
nsp_ks_limit(double n)
{
    return 1.63 / sqrt(n);
}

/* --- Counts -------------------------------------------------------------- */

/* In logarithms: the terms of a long trial underflow on their own. */
static double
binomial(double n, double p, double hits)
{
    return exp(lgamma(n + 1) - lgamma(hits + 1) - lgamma(n - hits + 1) +
               hits * log(p) + (n - hits) * log1p(-p));
}

/* The largest count that fewer hits than that have a probability of at most
 * 'tail'. From far below, where terms no longer add up to anything. */
static double
binomial_low(double n, double p)
{
    double sd = sqrt(n * p * (1 - p)), sum = 0;
    uint64_t low = (uint64_t)fmax(0, n * p - 8 * sd - 8);

    for (; (double)low < n; low++) {
        sum += binomial(n, p, (double)low);
        if (sum > TAIL_999)
            break;
    }
    return (double)low;
}

struct nsp_interval
nsp_binomial_interval(uint64_t n, double p)
{
    double trials = (double)n, sd = sqrt(trials * p * (1 - p));

    if (p <= 0 || p >= 1 || n == 0) {
        double all = p >= 1 ? trials : 0;

        return (struct nsp_interval){ all, all };
    }
    if (trials * fmin(p, 1 - p) > EXACT_HITS_MAX)
        return (struct nsp_interval){
            floor(trials * p - NSP_SIGMAS_999 * sd),
            ceil(trials * p + NSP_SIGMAS_999 * sd),
        };
    return (struct nsp_interval){
        binomial_low(trials, p),
        trials - binomial_low(trials, 1 - p),
    };
}

struct nsp_interval
nsp_share_interval(double hits, double n, double inflation)
{
    double effective = n / inflation, share, square, centre, half;

    if (n <= 0)
        return (struct nsp_interval){ 0, 1 };
    share = hits / n;
    square = NSP_SIGMAS_999 * NSP_SIGMAS_999;
    centre = (share + square / (2 * effective)) / (1 + square / effective);
    half = NSP_SIGMAS_999 / (1 + square / effective) *
           sqrt(share * (1 - share) / effective +
                square / (4 * effective * effective));
    return (struct nsp_interval){ fmax(0, centre - half),
                                  fmin(1, centre + half) };
}
