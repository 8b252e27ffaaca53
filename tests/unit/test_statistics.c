#include "verify/statistics.h"
#include "base/prng.h"
#include "tests/lib/test.h"

#include <math.h>

static void
check_near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%.17g is not %.17g", value, expected);
}

TEST(moments_of_whole_numbers_are_known)
{
    double x[1001];
    struct nsp_moments m;

    /* 0..n-1: variance (n^2 - 1) / 12, fourth (n^2 - 1)(3 n^2 - 7) / 240. */
    for (int i = 0; i < 1001; i++)
        x[i] = 1e12 + i;
    nsp_moments_read(x, 1001, INFINITY, &m);
    check_near(m.mean, 1e12 + 500, 0);
    check_near(m.sd * m.sd * 1000 / 1001, (1001.0 * 1001 - 1) / 12, 1e-6);
    check_near(m.fourth, (1001.0 * 1001 - 1) * (3 * 1001.0 * 1001 - 7) / 240,
               1);

    nsp_moments_read(x, 1001, 1e12, &m); /* All capped to one value. */
    check_near(m.mean, 1e12, 0);
    check_near(m.sd, 0, 0);
    nsp_moments_read(x, 0, INFINITY, &m);
    check_near(m.mean, 0, 0);
}

/* Of a normal distribution m4 = 3 sd^4, so the error is sd / sqrt(2 n). */
TEST(error_of_a_deviation_is_that_of_the_normal)
{
    const struct nsp_moments normal = { .sd = 2, .fourth = 3 * 16 };

    check_near(nsp_moments_sd_error(&normal, 50), 2 / sqrt(100), 1e-12);
    check_near(nsp_moments_sd_error(&(struct nsp_moments){ 0 }, 50), 0, 0);
}

TEST(lag1_correlation_is_that_of_neighbours)
{
    double alternating[1000], still[10] = { 0 }, chain[200000];
    struct nsp_prng random;
    double z = 0;

    for (int i = 0; i < 1000; i++)
        alternating[i] = i % 2;
    check_near(nsp_lag1_correlation(alternating, 1000), -0.999, 1e-9);
    check_near(nsp_lag1_correlation(still, 10), 0, 0);

    nsp_prng_init(&random, 1, 1);
    for (int i = 0; i < 200000; i++) {
        double draw = (double)(nsp_prng_next(&random) >> 11) / 9007199254740992;

        z = 0.7 * z + draw - 0.5;
        chain[i] = z;
    }
    check_near(nsp_lag1_correlation(chain, 200000), 0.7, 0.006);
}

/* Tables of the normal distribution. */
TEST(normal_distribution_and_its_inverse_agree_with_tables)
{
    static const struct {
        double z, p;
    } rows[] = {
        { 0, 0.5 },
        { 1, 0.84134474606854293 },
        { -1.959963984540054, 0.025 },
        { 2.3263478740408408, 0.99 },
        { NSP_SIGMAS_999, 0.9995 },
        { -6, 9.8658764503769814e-10 },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_near(nsp_normal_cdf(rows[i].z), rows[i].p, 1e-13);
        check_near(nsp_normal_quantile(rows[i].p), rows[i].z, 1e-8);
    }
    for (double z = -7; z <= 7; z += 0.25)
        check_near(nsp_normal_quantile(nsp_normal_cdf(z)), z, 1e-4);
}

TEST(quantile_is_the_least_value_that_enough_do_not_exceed)
{
    const double x[] = { 1, 2, 3, 4 };

    check_near(nsp_quantile(x, 4, 0.25), 1, 0);
    check_near(nsp_quantile(x, 4, 0.26), 2, 0);
    check_near(nsp_quantile(x, 4, 0.5), 2, 0);
    check_near(nsp_quantile(x, 4, 1), 4, 0);
    check_near(nsp_quantile(x, 4, 0), 1, 0);
}

/* --- Kolmogorov and Smirnov ---------------------------------------------- */

static double
even_cdf(const void *context, double x)
{
    (void)context;
    return fmin(fmax(x, 0), 1);
}

static double
half_atom_cdf(const void *context, double x)
{
    (void)context;
    return x < 0 ? 0 : fmin(0.5 + x / 2, 1);
}

static double
half_atom_below(const void *context, double x)
{
    (void)context;
    return x <= 0 ? 0 : fmin(0.5 + x / 2, 1);
}

/* By the definition, at very many places. */
static double
brute_distance(const double *x, size_t n)
{
    double worst = 0;

    for (int place = 0; place <= 100000; place++) {
        double at = place / 100000.0, count = 0;

        for (size_t i = 0; i < n; i++)
            count += x[i] <= at;
        worst = fmax(worst, fabs(count / (double)n - at));
    }
    return worst;
}

TEST(ks_distance_is_the_largest_anywhere)
{
    const struct nsp_distribution even = { even_cdf, even_cdf, NULL };
    struct nsp_prng random;

    nsp_prng_init(&random, 3, 1);
    for (int trial = 0; trial < 5; trial++) {
        double x[40];

        for (int i = 0; i < 40; i++)
            x[i] = nsp_prng_below(&random, 50) / 50.0; /* Some twice. */
        nsp_sort_doubles(x, 40);
        check_near(nsp_ks_distance(x, 40, &even, 0), brute_distance(x, 40),
                   1e-4);
    }
}

TEST(ks_distance_takes_atoms_and_rounding_for_what_they_are)
{
    const struct nsp_distribution atom = { half_atom_cdf, half_atom_below,
                                           NULL };
    const struct nsp_distribution even = { even_cdf, even_cdf, NULL };
    double fits[1000], shifted[1000];

    for (int i = 0; i < 1000; i++) {
        fits[i] = i < 500 ? 0 : (i - 499) / 500.0;
        shifted[i] = (i + 1) / 1000.0 + 0.05;
    }
    check_near(nsp_ks_distance(fits, 1000, &atom, 0), 0, 0.0021);
    check_near(nsp_ks_distance(shifted, 1000, &even, 0), 0.051, 0.0011);
    check_near(nsp_ks_distance(shifted, 1000, &even, 0.05), 0.001, 0.0011);
    check_near(nsp_ks_limit(10000), 0.0163, 1e-12);
}

/* --- Counts -------------------------------------------------------------- */

/* Expected by exact rational arithmetic over the binomial coefficients. */
TEST(binomial_interval_holds_what_chance_may_do)
{
    static const struct {
        uint64_t n;
        double p, low, high;
    } rows[] = {
        { 1000, 0.01, 2, 22 },      { 8000, 0.01, 52, 111 },
        { 8000, 0.99, 7889, 7948 }, { 100, 0, 0, 0 },
        { 100, 1, 100, 100 },       { 0, 0.5, 0, 0 },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct nsp_interval interval =
            nsp_binomial_interval(rows[i].n, rows[i].p);

        check_near(interval.low, rows[i].low, 0);
        check_near(interval.high, rows[i].high, 0);
    }
}

/* The exact branch ends and the normal one begins at the same numbers. */
TEST(binomial_interval_is_the_same_from_both_branches)
{
    struct nsp_interval exact = nsp_binomial_interval(999999, 0.01);
    struct nsp_interval normal = nsp_binomial_interval(1000200, 0.01);

    check_near(exact.low, 10000 - NSP_SIGMAS_999 * sqrt(9900), 3);
    check_near(exact.high, 10000 + NSP_SIGMAS_999 * sqrt(9900), 3);
    check_near(normal.low - exact.low, 2, 2);
    check_near(normal.high - exact.high, 2, 3);
}

/* The bounds are the p for which the score test is at its limit. */
TEST(share_interval_solves_the_score_equation)
{
    struct nsp_interval ten = nsp_share_interval(10, 1000, 1);
    struct nsp_interval wide = nsp_share_interval(40, 4000, 4);
    const double ends[] = { ten.low, ten.high };

    for (int i = 0; i < 2; i++)
        check_near(fabs(0.01 - ends[i]) / sqrt(ends[i] * (1 - ends[i]) / 1000),
                   NSP_SIGMAS_999, 1e-9);
    check_near(wide.low, ten.low, 1e-12);
    check_near(wide.high, ten.high, 1e-12);
    check_near(nsp_share_interval(0, 100, 1).low, 0, 0);
    check_near(nsp_share_interval(100, 100, 1).high, 1, 1e-15);
}

TEST_MAIN(
    cmocka_unit_test(moments_of_whole_numbers_are_known),
    cmocka_unit_test(error_of_a_deviation_is_that_of_the_normal),
    cmocka_unit_test(lag1_correlation_is_that_of_neighbours),
    cmocka_unit_test(normal_distribution_and_its_inverse_agree_with_tables),
    cmocka_unit_test(quantile_is_the_least_value_that_enough_do_not_exceed),
    cmocka_unit_test(ks_distance_is_the_largest_anywhere),
    cmocka_unit_test(ks_distance_takes_atoms_and_rounding_for_what_they_are),
    cmocka_unit_test(binomial_interval_holds_what_chance_may_do),
    cmocka_unit_test(binomial_interval_is_the_same_from_both_branches),
    cmocka_unit_test(share_interval_solves_the_score_equation))
