#include "impair/delay.h"
#include "impair/normal.h"
#include "netshaper/policy.h"
#include "tests/lib/draws.h"
#include "tests/lib/delay_sample.h"
#include "tests/lib/failing_alloc.h"
#include "tests/lib/statistics.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <string.h>

#define MS UINT64_C(1000000)

/* Each value of a table as often as any other, exactly where it belongs. */
TEST(delay_by_table_picks_its_values_evenly)
{
    static const int16_t table[] = { 16384, -8192, 0, 8191, -32768 };
    const int64_t expected_ns[] = { 60 * MS, 30 * MS, 40 * MS,
                                    40 * MS + 9998779, 0 };
    const uint32_t rho_ppm[] = { 0, 500000 };

    for (size_t r = 0; r < NSP_ARRAY_LEN(rho_ppm); r++) {
        const struct nsp_delay_config cfg = {
            .kind = NSP_DELAY_TABLE,
            .correlation_ppm = rho_ppm[r],
            .mean_ns = 40 * MS,
            .spread_ns = 10 * MS,
            .table = table,
            .table_count = NSP_ARRAY_LEN(table),
        };
        uint64_t counts[5] = { 0 }, other = 0;
        double *x = sample(&cfg);

        for (uint32_t i = 0; i < N; i++) {
            size_t t = 0;

            while (t < 5 && (int64_t)x[i] != expected_ns[t])
                t++;
            if (t < 5)
                counts[t]++;
            else
                other++;
        }
        CHECK_EQ(other, 0);
        for (size_t t = 0; t < 5; t++)
            CHECK(r == 0 ? is_binomial(counts[t], N, 0.2)
                         : is_near((double)counts[t] / N, 0.2, 0.003));
        free(x);
    }
}

TEST(delay_of_one_value_is_constant)
{
    static const int16_t zero[] = { 0 };
    const struct nsp_delay_config cases[] = {
        { .kind = NSP_DELAY_CONSTANT, .mean_ns = 7 * MS },
        { .kind = NSP_DELAY_UNIFORM, .mean_ns = 7 * MS },
        { .kind = NSP_DELAY_NORMAL, .mean_ns = 7 * MS },
        { .kind = NSP_DELAY_LOGNORMAL, .mean_ns = 7 * MS },
        { .kind = NSP_DELAY_TABLE,
          .mean_ns = 7 * MS,
          .spread_ns = MS,
          .table = zero,
          .table_count = 1 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(cases); i++) {
        struct nsp_delay_state past = { 0 };
        struct nsp_prng random;
        struct nsp_delay delay;

        make_delay(&delay, &cases[i]);
        nsp_prng_init(&random, 1, 1);
        for (uint64_t now_ns = 0; now_ns < 1000; now_ns++)
            CHECK_EQ(nsp_delay_depart_ns(&delay, &past, now_ns, &random),
                     now_ns + 7 * MS);
        CHECK_EQ(nsp_delay_depart_ns(&delay, &past, UINT64_MAX - 5, &random),
                 UINT64_MAX);
        nsp_delay_fini(&delay);
    }
}

TEST(delay_follows_a_trace_by_packets_or_by_time)
{
    static const uint64_t trace_ns[] = { 5, 0, 700 };
    struct nsp_delay_config cfg = {
        .kind = NSP_DELAY_TRACE,
        .mean_ns = 1000,
        .trace_ns = trace_ns,
        .trace_count = 3,
    };
    static const struct {
        uint64_t at_ns, delay_ns;
    } by_time[] = {
        { 50, 1005 },  { 149, 1005 }, { 150, 1000 }, { 151, 1000 },
        { 349, 1700 }, { 350, 1005 }, { 650, 1005 }, { 300000000250, 1700 },
    };
    struct nsp_delay_state past = { 0 };
    struct nsp_prng random;
    struct nsp_delay delay;

    nsp_prng_init(&random, 1, 1);
    make_delay(&delay, &cfg);
    for (uint64_t i = 0; i < 30; i++)
        CHECK_EQ(nsp_delay_depart_ns(&delay, &past, i, &random),
                 i + 1000 + trace_ns[i % 3]);
    nsp_delay_fini(&delay);

    cfg.trace_step_ns = 100;
    past = (struct nsp_delay_state){ 0 };
    make_delay(&delay, &cfg);
    for (size_t i = 0; i < NSP_ARRAY_LEN(by_time); i++)
        CHECK_EQ(nsp_delay_depart_ns(&delay, &past, by_time[i].at_ns, &random),
                 by_time[i].at_ns + by_time[i].delay_ns);
    nsp_delay_fini(&delay);
}

TEST(delay_that_keeps_order_is_late_and_never_early)
{
    struct nsp_delay_config cfg = {
        .kind = NSP_DELAY_NORMAL,
        .mean_ns = 10 * MS,
        .spread_ns = 3 * MS,
        .correlation_ppm = 300000,
    };
    struct nsp_delay_state free_past = { 0 }, kept_past = { 0 };
    struct nsp_delay free_delay, kept_delay;
    struct nsp_prng random, same;
    uint64_t latest_ns = 0, overtaking = 0, last_ns = 0;

    make_delay(&free_delay, &cfg);
    cfg.keep_order = true;
    make_delay(&kept_delay, &cfg);
    nsp_prng_init(&random, 3, 3);
    nsp_prng_init(&same, 3, 3);
    for (uint64_t now_ns = 0; now_ns < 20000 * MS; now_ns += MS) {
        uint64_t one =
            nsp_delay_depart_ns(&free_delay, &free_past, now_ns, &random);
        uint64_t two =
            nsp_delay_depart_ns(&kept_delay, &kept_past, now_ns, &same);

        overtaking += one < last_ns;
        last_ns = one;
        latest_ns = one > latest_ns ? one : latest_ns;
        CHECK_EQ(two, latest_ns);
    }
    CHECK(overtaking > 5000);
    nsp_delay_fini(&free_delay);
    nsp_delay_fini(&kept_delay);
}

/* The same nanoseconds from every compiler: these were once computed. */
TEST(delay_gives_the_same_numbers_everywhere)
{
    uint64_t hash = 0;

    for (uint8_t kind = NSP_DELAY_UNIFORM; kind <= NSP_DELAY_LOGNORMAL;
         kind++) {
        for (uint32_t rho = 0; rho <= 900000; rho += 450000) {
            const struct nsp_delay_config cfg = {
                .kind = kind,
                .correlation_ppm = rho,
                .mean_ns = 1000 * MS,
                .spread_ns = 300 * MS,
            };
            double *x = sample(&cfg);

            for (uint32_t i = 0; i < N; i++)
                hash = nsp_mix64(hash ^ (uint64_t)x[i]);
            free(x);
        }
    }
    CHECK_EQ(hash, UINT64_C(0x1716e17462a1e1f5));
}

TEST(delay_draws_at_most_one_number_whatever_it_becomes)
{
    for (uint8_t kind = 0; kind <= NSP_DELAY_LOGNORMAL; kind++) {
        const struct nsp_delay_config cfg = {
            .kind = kind,
            .mean_ns = MS,
            .spread_ns = kind == NSP_DELAY_CONSTANT ? 0 : 3 * MS,
        };
        struct nsp_delay_state past = { 0 };
        struct nsp_prng used, plain;
        struct nsp_delay delay;

        make_delay(&delay, &cfg);
        nsp_prng_init(&used, 5, 5);
        nsp_prng_init(&plain, 5, 5);
        for (int i = 0; i < 1000; i++) {
            (void)nsp_delay_depart_ns(&delay, &past, 0, &used);
            if (kind != NSP_DELAY_CONSTANT)
                (void)nsp_prng_next(&plain);
        }
        CHECK_MEM_EQ(&used, &plain, sizeof used);
        nsp_delay_fini(&delay);
    }
}

TEST(delay_stays_in_its_range_at_the_limits)
{
    static const int16_t extremes[] = { -32768, 32767 };

    for (uint8_t kind = 0; kind <= NSP_DELAY_TABLE; kind++) {
        struct nsp_delay_config cfg = {
            .kind = kind,
            .mean_ns = NSP_DELAY_NS_MAX,
            .table = extremes,
            .table_count = 2,
        };
        uint64_t most_ns = kind == NSP_DELAY_TABLE ? 6 * NSP_DELAY_NS_MAX
                                                   : 2 * NSP_DELAY_NS_MAX;
        double *x;

        if (kind != NSP_DELAY_CONSTANT) {
            cfg.spread_ns = NSP_DELAY_NS_MAX;
            cfg.correlation_ppm = NSP_PPM_ONE - 1;
        }
        x = sample(&cfg);
        for (uint32_t i = 0; i < N; i++)
            CHECK(x[i] <= (double)most_ns);
        free(x);
    }
}

/* A stream at the end of its range that draws the largest number there is. */
TEST(delay_of_a_correlated_stream_ends_at_eight_deviations)
{
    const struct nsp_delay_config cfg = {
        .kind = NSP_DELAY_NORMAL,
        .correlation_ppm = 900000,
        .mean_ns = 100 * MS,
        .spread_ns = 10 * MS,
    };
    struct nsp_prng random = about_to_draw(UINT64_MAX << 40);
    struct nsp_delay_state past = {
        .z = (int32_t)(8 * NSP_NORMAL_ONE - 1),
        .begun = true,
    };
    struct nsp_delay delay;

    make_delay(&delay, &cfg);
    CHECK(is_near((double)nsp_delay_depart_ns(&delay, &past, 0, &random), 180e6,
                  10));
    CHECK_EQ(past.z, 8 * NSP_NORMAL_ONE - 1);
    nsp_delay_fini(&delay);
}

TEST(delay_refuses_what_makes_no_sense_and_says_why)
{
    static const int16_t table[] = { 0 };
    static const uint64_t trace_ns[] = { 0, NSP_DELAY_NS_MAX + 1 };
    const struct {
        struct nsp_delay_config cfg;
        const char *word; /* In what is said. */
    } cases[] = {
        { { .kind = NSP_DELAY_TRACE + 1 }, "nsp_delay_kind" },
        { { .mean_ns = NSP_DELAY_NS_MAX + 1 }, "hour" },
        { { .kind = NSP_DELAY_NORMAL, .spread_ns = UINT64_MAX }, "hour" },
        { { .kind = NSP_DELAY_NORMAL, .correlation_ppm = NSP_PPM_ONE },
          "correlation" },
        { { .correlation_ppm = 1 }, "constant" },
        { { .spread_ns = 1 }, "spread" },
        { { .kind = NSP_DELAY_LOGNORMAL }, "lognormal" },
        { { .kind = NSP_DELAY_LOGNORMAL, .mean_ns = 9, .spread_ns = 100 },
          "lognormal" },
        { { .kind = NSP_DELAY_TABLE, .table = table }, "table" },
        { { .kind = NSP_DELAY_TABLE,
            .table = table,
            .table_count = NSP_DELAY_TABLE_MAX + 1 },
          "table" },
        { { .kind = NSP_DELAY_TRACE, .trace_ns = trace_ns }, "trace" },
        { { .kind = NSP_DELAY_TRACE, .trace_ns = trace_ns, .trace_count = 2 },
          "trace has a delay" },
        { { .kind = NSP_DELAY_TRACE,
            .trace_ns = trace_ns,
            .trace_count = NSP_DELAY_TRACE_MAX + 1 },
          "trace" },
        { { .kind = NSP_DELAY_TRACE,
            .trace_ns = trace_ns,
            .trace_count = 1,
            .trace_step_ns = UINT64_MAX },
          "trace_step_ns" },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(cases); i++) {
        const char *fault = nsp_delay_fault(&cases[i].cfg);
        struct nsp_delay delay;

        CHECK(fault != NULL && strstr(fault, cases[i].word) != NULL);
        CHECK_EQ(nsp_delay_init(&delay, &cases[i].cfg, NULL), -EINVAL);
    }
}

TEST(delay_survives_a_lack_of_memory)
{
    static const int16_t table[] = { 0 };
    static const uint64_t trace_ns[] = { 0 };

    for (uint8_t kind = 0; kind <= NSP_DELAY_TRACE; kind++) {
        bool plain = kind == NSP_DELAY_CONSTANT || kind == NSP_DELAY_TRACE;

        for (unsigned at = 0; at < 4; at++) {
            struct failing_alloc failing = { .fail_at = at };
            struct nsp_allocator allocator = failing_allocator(&failing);
            const struct nsp_delay_config cfg = {
                .kind = kind,
                .mean_ns = MS,
                .correlation_ppm = plain ? 0 : 1,
                .table = table,
                .table_count = 1,
                .trace_ns = trace_ns,
                .trace_count = 1,
            };
            struct nsp_delay delay;
            int err = nsp_delay_init(&delay, &cfg, &allocator);

            CHECK_EQ(err, failing.failed ? -ENOMEM : 0);
            if (err == 0)
                nsp_delay_fini(&delay);
            CHECK_EQ(failing.live, 0);
        }
    }
}

TEST_MAIN(
    cmocka_unit_test(delay_by_table_picks_its_values_evenly),
    cmocka_unit_test(delay_of_one_value_is_constant),
    cmocka_unit_test(delay_follows_a_trace_by_packets_or_by_time),
    cmocka_unit_test(delay_that_keeps_order_is_late_and_never_early),
    cmocka_unit_test(delay_gives_the_same_numbers_everywhere),
    cmocka_unit_test(delay_draws_at_most_one_number_whatever_it_becomes),
    cmocka_unit_test(delay_stays_in_its_range_at_the_limits),
    cmocka_unit_test(delay_of_a_correlated_stream_ends_at_eight_deviations),
    cmocka_unit_test(delay_refuses_what_makes_no_sense_and_says_why),
    cmocka_unit_test(delay_survives_a_lack_of_memory))
