#include "verify/delay_model.h"
#include "tests/lib/test.h"

#include <math.h>

#define MS 1000000

static void
check_near(double value, double expected, double relative)
{
    if (!(fabs(value - expected) <= relative * fmax(fabs(expected), 1e-300)))
        fail_msg("%.17g is not %.17g", value, expected);
}

static struct nsp_delay_model
model_of(uint8_t kind, uint64_t mean_ns, uint64_t spread_ns)
{
    const struct nsp_delay_config cfg = { .kind = kind,
                                          .mean_ns = mean_ns,
                                          .spread_ns = spread_ns };
    struct nsp_delay_model model;

    CHECK_EQ(nsp_delay_model_init(&model, &cfg), 0);
    return model;
}

TEST(mean_and_deviation_are_as_configured)
{
    static const uint8_t kinds[] = { NSP_DELAY_NORMAL, NSP_DELAY_PARETO,
                                     NSP_DELAY_PARETO_NORMAL,
                                     NSP_DELAY_LOGNORMAL };

    for (size_t i = 0; i < sizeof kinds; i++) {
        struct nsp_delay_model m = model_of(kinds[i], 80 * MS, 10 * MS);

        check_near(m.expected_mean_ns, 80 * MS, 1e-6);
        /* The Pareto's tail beyond 8 deviations of z is 3 parts in 10^5. */
        check_near(m.expected_sd_ns, 10 * MS, 1e-4);
        CHECK_EQ(m.cap_ns < INFINITY, kinds[i] != NSP_DELAY_NORMAL);
        nsp_delay_model_fini(&m);
    }
}

TEST(uniform_deviation_is_range_by_root_three)
{
    struct nsp_delay_model m = model_of(NSP_DELAY_UNIFORM, 40 * MS, 10 * MS);
    struct nsp_distribution d = nsp_delay_model_distribution(&m);

    check_near(m.expected_sd_ns, 10 * MS / sqrt(3), 1e-8);
    check_near(d.cdf(d.context, 35 * MS), 0.25, 1e-12);
    check_near(nsp_delay_model_quantile(&m, 0.75), 45 * MS, 1e-12);
    nsp_delay_model_fini(&m);
}

/* E max(x, 0) = m Phi(m / s) + s phi(m / s); E x^2 likewise. */
TEST(delays_below_zero_are_zero)
{
    struct nsp_delay_model m = model_of(NSP_DELAY_NORMAL, 10 * MS, 10 * MS);
    struct nsp_distribution d = nsp_delay_model_distribution(&m);
    double cdf = 0.84134474606854293, density = exp(-0.5) / sqrt(2 * acos(-1));
    double mean = 10 * MS * (cdf + density);
    double square = 1e14 * (2 * cdf + density);

    check_near(m.expected_mean_ns, mean, 1e-7);
    check_near(m.expected_sd_ns, sqrt(square - mean * mean), 1e-6);
    check_near(m.zero_share, 1 - cdf, 1e-3);
    check_near(d.cdf_below(d.context, 0), 0, 0);
    check_near(d.cdf(d.context, 0), 1 - cdf, 1e-9);
    CHECK(nsp_delay_model_quantile(&m, 0.1) == 0);
    nsp_delay_model_fini(&m);
}

/* Of the Pareto with least value 1 and shape 3, E min(x, c) =
 * 1 + (1 - c^-2) / 2 and E min(x, c)^2 = 1 + 2 (1 - 1 / c). */
TEST(capped_pareto_has_a_closed_form)
{
    struct nsp_delay_model m = model_of(NSP_DELAY_PARETO, 80 * MS, 10 * MS);
    double scale = 10 * MS / sqrt(0.75), c = pow(0.001, -1 / 3.0);
    double mean = 1 + (1 - 1 / (c * c)) / 2, square = 1 + 2 * (1 - 1 / c);
    struct nsp_distribution d = nsp_delay_model_distribution(&m);

    check_near(m.cap_ns, 80 * MS + scale * (c - 1.5), 1e-9);
    check_near(m.capped_sd_ns, scale * sqrt(square - mean * mean), 1e-5);
    check_near(d.cdf(d.context, m.cap_ns), 0.999, 1e-12);
    /* The least delay: 0.577 deviations below the mean. */
    CHECK(d.cdf(d.context, 80 * MS - 0.5774 * 10 * MS) == 0);
    CHECK(d.cdf(d.context, 80 * MS - 0.5773 * 10 * MS) > 0);
    nsp_delay_model_fini(&m);
}

TEST(distribution_and_quantile_are_inverse)
{
    static const uint8_t kinds[] = { NSP_DELAY_UNIFORM, NSP_DELAY_NORMAL,
                                     NSP_DELAY_PARETO, NSP_DELAY_PARETO_NORMAL,
                                     NSP_DELAY_LOGNORMAL };

    for (size_t i = 0; i < sizeof kinds; i++) {
        struct nsp_delay_model m = model_of(kinds[i], 80 * MS, 10 * MS);
        struct nsp_distribution d = nsp_delay_model_distribution(&m);

        for (double p = 0.01; p < 1; p += 0.07) {
            double x = nsp_delay_model_quantile(&m, p);

            check_near(d.cdf(d.context, x), p, 1e-6);
            check_near(nsp_delay_model_z(&m, x) + 10,
                       nsp_normal_quantile(p) + 10, 1e-6);
        }
        nsp_delay_model_fini(&m);
    }
}

TEST(tables_are_steps_of_equal_height)
{
    static const int16_t table[] = { 8192, -8192, 0, 0 };
    const struct nsp_delay_config cfg = { .kind = NSP_DELAY_TABLE,
                                          .mean_ns = 20 * MS,
                                          .spread_ns = 5 * MS,
                                          .table = table,
                                          .table_count = 4 };
    struct nsp_delay_model m;
    struct nsp_distribution d;

    CHECK_EQ(nsp_delay_model_init(&m, &cfg), 0);
    d = nsp_delay_model_distribution(&m);
    check_near(m.expected_mean_ns, 20 * MS, 1e-12);
    check_near(m.expected_sd_ns, 5 * MS / sqrt(2), 1e-9);
    check_near(d.cdf(d.context, 20 * MS), 0.75, 0);
    check_near(d.cdf_below(d.context, 20 * MS), 0.25, 0);
    check_near(nsp_delay_model_quantile(&m, 0.2), 15 * MS, 0);
    nsp_delay_model_fini(&m);
}

TEST(traces_are_followed_by_packet_or_by_time)
{
    static const uint64_t trace[] = { 1 * MS, 2 * MS, 3 * MS };
    struct nsp_delay_config cfg = { .kind = NSP_DELAY_TRACE,
                                    .trace_ns = trace,
                                    .trace_count = 3 };

    check_near(nsp_delay_trace_at(&cfg, 4, 0), 2 * MS, 0);
    cfg.trace_step_ns = 10 * MS;
    check_near(nsp_delay_trace_at(&cfg, 0, 29 * MS), 3 * MS, 0);
    check_near(nsp_delay_trace_at(&cfg, 0, 30 * MS), 1 * MS, 0);
}

TEST_MAIN(cmocka_unit_test(mean_and_deviation_are_as_configured),
          cmocka_unit_test(uniform_deviation_is_range_by_root_three),
          cmocka_unit_test(delays_below_zero_are_zero),
          cmocka_unit_test(capped_pareto_has_a_closed_form),
          cmocka_unit_test(distribution_and_quantile_are_inverse),
          cmocka_unit_test(tables_are_steps_of_equal_height),
          cmocka_unit_test(traces_are_followed_by_packet_or_by_time))
