/* Delays beside their distributions, from the C library's functions. */
#include "impair/normal.h"
#include "netshaper/policy.h"
#include "tests/lib/delay_sample.h"
#include "tests/lib/statistics.h"

#include <math.h>

#define MS UINT64_C(1000000)

static const double pi = 3.14159265358979323846;

/* --- The distributions, from the C library's functions ---------------------
 */

static double
phi(double z)
{
    return erfc(-z / sqrt(2)) / 2;
}

/* Quantiles of the mixture as netem's own program makes it, for lack of a
 * closed form of its distribution; scaled to a deviation of 1. */
static double
mixed_quantile(double z)
{
    double pareto = (pow(erfc(z / sqrt(2)) / 2, -1.0 / 3) - 1.5) / sqrt(0.75);

    return 0.25 * z + 0.75 * pareto;
}

static double
mixed_sd(void)
{
    static double sum;

    if (sum != 0)
        return sqrt(sum * 0.001 / sqrt(2 * pi));
    for (double z = -12; z < 12; z += 0.001)
        sum += mixed_quantile(z) * mixed_quantile(z) * exp(-z * z / 2);
    return sqrt(sum * 0.001 / sqrt(2 * pi));
}

/* By a table of quantiles, linear between them. */
static double
mixed_cdf(double x)
{
    enum { STEPS = 200, POINTS = 16 * STEPS + 1 };
    static double points[POINTS];
    int low = 0, high = POINTS - 1;

    for (int i = 0; points[POINTS - 1] == 0 && i < POINTS; i++)
        points[i] = mixed_quantile((double)i / STEPS - 8) / mixed_sd();
    while (high - low > 1) {
        int middle = (low + high) / 2;

        if (points[middle] < x)
            low = middle;
        else
            high = middle;
    }
    return phi(
        (low + (x - points[low]) / (points[high] - points[low])) / STEPS - 8);
}

/* P(delay <= x), where no delay is below zero. */
static double
cdf(double x, const void *context)
{
    const struct nsp_delay_config *cfg = context;
    double mean = (double)cfg->mean_ns, sd = (double)cfg->spread_ns;
    double at = (x - mean) / sd, variance;

    switch (cfg->kind) {
    case NSP_DELAY_UNIFORM:
        return fmin(fmax((at + 1) / 2, 0), 1);
    case NSP_DELAY_NORMAL:
        return phi(at);
    case NSP_DELAY_PARETO:
        return 1 - pow(fmax(1.5 + at * sqrt(0.75), 1), -3);
    case NSP_DELAY_PARETO_NORMAL:
        return mixed_cdf(at);
    default:
        variance = log(1 + sd * sd / (mean * mean));
        return phi((log(x / mean) + variance / 2) / sqrt(variance));
    }
}

/* The delay at 'z' deviations of the normal distribution. */
static double
quantile(double z, const struct nsp_delay_config *cfg)
{
    double mean = (double)cfg->mean_ns, sd = (double)cfg->spread_ns, variance;

    switch (cfg->kind) {
    case NSP_DELAY_UNIFORM:
        return mean + sd * (2 * phi(z) - 1);
    case NSP_DELAY_NORMAL:
        return mean + sd * z;
    case NSP_DELAY_PARETO:
        return mean + sd * (pow(phi(-z), -1.0 / 3) - 1.5) / sqrt(0.75);
    case NSP_DELAY_PARETO_NORMAL:
        return mean + sd * mixed_quantile(z) / mixed_sd();
    default:
        variance = log(1 + sd * sd / (mean * mean));
        return mean * exp(sqrt(variance) * z - variance / 2);
    }
}

/* The deviation that remains when one in 1000 is cut to the least of them. That
 * of a sample of a Pareto distribution of shape 3 is off by several per cent:
 * its fourth moment does not exist. */
static double
expected_cut_sd(const struct nsp_delay_config *cfg, double *ret_cut)
{
    double cut = quantile(3.0902323, cfg), sum = 0, squares = 0;

    for (double z = -8; z < 8; z += 0.01) {
        double weight = 0.01 * exp(-z * z / 2) / sqrt(2 * pi);
        double off = fmin(quantile(z, cfg), cut) - (double)cfg->mean_ns;

        sum += weight * off;
        squares += weight * off * off;
    }
    *ret_cut = cut;
    return sqrt(squares - sum * sum);
}

static const struct {
    uint8_t kind;
    uint64_t mean_ns, spread_ns;
} distributions[] = {
    { NSP_DELAY_UNIFORM, 40 * MS, 10 * MS },
    { NSP_DELAY_NORMAL, 100 * MS, 10 * MS },
    { NSP_DELAY_PARETO, 40 * MS, 10 * MS },
    { NSP_DELAY_PARETO_NORMAL, 100 * MS, 10 * MS },
    { NSP_DELAY_LOGNORMAL, 40 * MS, 10 * MS },
    { NSP_DELAY_LOGNORMAL, 40 * MS, 60 * MS },
};

TEST(delay_has_the_distribution_asked_whatever_the_correlation)
{
    const uint32_t rho_ppm[] = { 0, 500000, 900000 };

    for (size_t d = 0; d < NSP_ARRAY_LEN(distributions); d++) {
        for (size_t r = 0; r < NSP_ARRAY_LEN(rho_ppm); r++) {
            const struct nsp_delay_config cfg = {
                .kind = distributions[d].kind,
                .correlation_ppm = rho_ppm[r],
                .mean_ns = distributions[d].mean_ns,
                .spread_ns = distributions[d].spread_ns,
            };
            double rho = rho_ppm[r] / 1e6;
            /* Correlated samples count like fewer. */
            double root_n = sqrt(N * (1 - rho) / (1 + rho));
            double sd = (double)cfg.spread_ns, cut, cut_sd, *x;

            if (cfg.kind == NSP_DELAY_UNIFORM)
                sd /= sqrt(3);
            x = sample(&cfg);
            CHECK(is_near(mean_of(x, N), (double)cfg.mean_ns,
                          3.29 * sd / root_n));
            if (cfg.kind <= NSP_DELAY_NORMAL)
                CHECK(is_near(sd_of(x, N) / sd, 1, 0.01));
            CHECK(ks_distance(x, N, cdf, &cfg) < 1.63 / root_n);
            cut_sd = expected_cut_sd(&cfg, &cut);
            for (uint32_t i = 0; i < N; i++)
                x[i] = fmin(x[i], cut);
            CHECK(is_near(sd_of(x, N) / cut_sd, 1, rho > 0.5 ? 0.02 : 0.01));
            free(x);
        }
    }
}

/* Correlation of P(delay <= x) of neighbours: what the normal z become. */
TEST(delay_has_the_correlation_asked)
{
    const uint32_t rho_ppm[] = { 250000, 500000, 990000 };

    for (size_t d = 0; d < NSP_ARRAY_LEN(distributions); d++) {
        for (size_t r = 0; r < NSP_ARRAY_LEN(rho_ppm); r++) {
            const struct nsp_delay_config cfg = {
                .kind = distributions[d].kind,
                .correlation_ppm = rho_ppm[r],
                .mean_ns = distributions[d].mean_ns,
                .spread_ns = distributions[d].spread_ns,
            };
            double rho = rho_ppm[r] / 1e6, *x = sample(&cfg);

            if (cfg.kind == NSP_DELAY_NORMAL) {
                CHECK(is_near(autocorrelation(x, N, 1), rho, 0.01));
                CHECK(is_near(autocorrelation(x, N, 3), pow(rho, 3), 0.01));
            } else {
                for (uint32_t i = 0; i < N; i++)
                    x[i] = cdf(x[i], &cfg);
                CHECK(is_near(autocorrelation(x, N, 1), 6 / pi * asin(rho / 2),
                              0.01));
            }
            free(x);
        }
    }
}

TEST(delay_normal_points_are_quantiles_that_halve_the_tail)
{
    int32_t points[NSP_NORMAL_POINTS];
    double top = 0.5;

    nsp_normal_fill(points);
    for (uint32_t i = 0; i < NSP_NORMAL_POINTS; i++) {
        double z = points[i] / (double)NSP_NORMAL_ONE;
        uint32_t cell = i % NSP_NORMAL_CELLS;

        if (i > 0 && cell == 0)
            top /= 2;
        CHECK(is_near(erfc(z / sqrt(2)) / 2 / (top * (1 - cell / 64.0)), 1,
                      1e-6));
    }
}

/* The deviation of a sample of these is a matter of its few longest delays. */
static bool
has_long_tail(uint8_t kind)
{
    return kind == NSP_DELAY_PARETO || kind == NSP_DELAY_PARETO_NORMAL;
}

TEST(delay_facts_are_what_a_sample_has)
{
    static const int16_t table[] = { -32768, -8000, 0, 8192, 32767 };
    static const uint64_t trace_ns[] = { 0, MS, 7 * MS };
    const struct nsp_delay_config cases[] = {
        { .kind = NSP_DELAY_CONSTANT, .mean_ns = 3600000 * MS },
        { .kind = NSP_DELAY_UNIFORM, .mean_ns = MS, .spread_ns = 4 * MS },
        { .kind = NSP_DELAY_NORMAL, .mean_ns = 10 * MS, .spread_ns = 10 * MS },
        { .kind = NSP_DELAY_NORMAL, .mean_ns = 0, .spread_ns = 10 * MS },
        { .kind = NSP_DELAY_NORMAL,
          .mean_ns = 100 * MS,
          .spread_ns = 10 * MS,
          .correlation_ppm = 500000 },
        { .kind = NSP_DELAY_PARETO, .mean_ns = 5 * MS, .spread_ns = 10 * MS },
        { .kind = NSP_DELAY_PARETO_NORMAL,
          .mean_ns = 5 * MS,
          .spread_ns = 10 * MS },
        { .kind = NSP_DELAY_LOGNORMAL,
          .mean_ns = 20 * MS,
          .spread_ns = 10 * MS },
        { .kind = NSP_DELAY_TABLE,
          .mean_ns = 10 * MS,
          .spread_ns = 10 * MS,
          .table = table,
          .table_count = 5 },
        { .kind = NSP_DELAY_TRACE, .trace_ns = trace_ns, .trace_count = 3 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(cases); i++) {
        struct nsp_delay_facts facts;
        struct nsp_delay delay;
        double *x = sample(&cases[i]), zero = 0;

        make_delay(&delay, &cases[i]);
        nsp_delay_read_facts(&delay, &facts);
        nsp_delay_fini(&delay);
        for (uint32_t k = 0; k < N; k++)
            zero += x[k] == 0;
        CHECK(is_near(mean_of(x, N), (double)facts.mean_ns, 3e4));
        CHECK(is_near(sd_of(x, N) / ((double)facts.sd_ns + 1e-9), 1,
                      has_long_tail(cases[i].kind) ? 0.05 : 0.01) ||
              facts.sd_ns == 0);
        if (cases[i].kind != NSP_DELAY_TRACE)
            CHECK(is_near(zero / N, facts.clamped_ppm / 1e6, 0.002));
        free(x);
    }
}

/* The closed forms for a normal delay with its negative part at 0; the table
 * that is drawn by differs from these by up to 11 in a million. */
TEST(delay_facts_tell_how_far_clamping_distorts)
{
    for (uint64_t mean_ns = 0; mean_ns <= 40 * MS; mean_ns += 5 * MS) {
        const struct nsp_delay_config cfg = {
            .kind = NSP_DELAY_NORMAL,
            .mean_ns = mean_ns,
            .spread_ns = 10 * MS,
        };
        double sd = 1e7, mean = (double)mean_ns, at = mean / sd;
        double density = exp(-at * at / 2) / sqrt(2 * pi);
        double clamped_mean = mean * phi(at) + sd * density;
        double square = (mean * mean + sd * sd) * phi(at) + mean * sd * density;
        struct nsp_delay_facts facts;
        struct nsp_delay delay;

        make_delay(&delay, &cfg);
        nsp_delay_read_facts(&delay, &facts);
        CHECK(is_near(facts.clamped_ppm, 1e6 * phi(-at), 15));
        CHECK(is_near((double)facts.mean_ns, clamped_mean, 1000));
        CHECK(is_near((double)facts.sd_ns,
                      sqrt(square - clamped_mean * clamped_mean), 1000));
        nsp_delay_fini(&delay);
    }
}

TEST_MAIN(
    cmocka_unit_test(delay_has_the_distribution_asked_whatever_the_correlation),
    cmocka_unit_test(delay_has_the_correlation_asked),
    cmocka_unit_test(delay_normal_points_are_quantiles_that_halve_the_tail),
    cmocka_unit_test(delay_facts_are_what_a_sample_has),
    cmocka_unit_test(delay_facts_tell_how_far_clamping_distorts))
