#include "impair/loss.h"
#include "netshaper/policy.h"
#include "tests/lib/failing_alloc.h"
#include "tests/lib/loss_models.h"
#include "tests/lib/statistics.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <string.h>

#define MS UINT64_C(1000000)

/* --- What the formulae promise ---------------------------------------------
 */

struct tally {
    uint64_t n, lost, bursts;
    uint64_t after_loss; /* Losses right after a loss. */
    uint64_t longest;
};

/* Packets come every 'gap_ns'. */
static struct tally
count_losses(const struct nsp_loss_config *cfg, uint64_t n, uint64_t gap_ns)
{
    struct tally tally = { .n = n };
    struct nsp_loss_state past = { 0 };
    struct nsp_prng random;
    struct nsp_loss loss;
    uint64_t run = 0;

    make_loss(&loss, cfg);
    nsp_prng_init(&random, 2026, cfg->kind);
    for (uint64_t i = 0; i < n; i++) {
        bool lost = nsp_loss_decide(&loss, &past, i * gap_ns, &random);

        tally.lost += lost;
        tally.bursts += lost && run == 0;
        tally.after_loss += lost && run > 0;
        run = lost ? run + 1 : 0;
        if (run > tally.longest)
            tally.longest = run;
    }
    nsp_loss_fini(&loss);
    return tally;
}

static double
mean_burst(const struct tally *tally)
{
    return (double)tally->lost / (double)tally->bursts;
}

/* Losses whose indicators are correlated by r^k count like fewer independent
 * trials: n (1 - r) / (1 + r). */
static bool
has_rate(const struct tally *tally, double p, double r)
{
    double off = fabs((double)tally->lost - (double)tally->n * p);
    double variance = (double)tally->n * p * (1 - p) * (1 + r) / (1 - r);

    return off <= 1 + 3.29 * sqrt(variance);
}

TEST(loss_by_chance_has_the_binomial_count_and_no_memory)
{
    const uint32_t ppm[] = { 1,     10,     100,    1000,  10000,
                             50000, 250000, 500000, 999000 };

    for (size_t i = 0; i < NSP_ARRAY_LEN(ppm); i++) {
        const struct nsp_loss_config cfg = { .chance.ppm = ppm[i] };
        struct tally tally = count_losses(&cfg, 4000000, 0);

        CHECK(is_binomial(tally.lost, tally.n, ppm[i] / 1e6));
        CHECK(is_binomial(tally.after_loss, tally.lost, ppm[i] / 1e6));
    }
}

TEST(loss_with_correlation_keeps_the_rate_and_has_the_correlation)
{
    static const struct {
        uint32_t ppm, correlation_ppm;
    } cases[] = {
        { 3000, 250000 },   { 10000, 250000 }, { 50000, 250000 },
        { 100000, 500000 }, { 50000, 900000 }, { 500000, 990000 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(cases); i++) {
        const struct nsp_loss_config cfg = {
            .chance = { cases[i].ppm, cases[i].correlation_ppm },
        };
        double p = cases[i].ppm / 1e6, rho = cases[i].correlation_ppm / 1e6;
        struct tally tally = count_losses(&cfg, 10000000, 0);
        double lost = (double)tally.lost / (double)tally.n;
        double both = (double)tally.after_loss / (double)tally.n;

        CHECK(has_rate(&tally, p, rho));
        CHECK(is_near((both - lost * lost) / (lost * (1 - lost)), rho, 0.01));
        CHECK(is_near(mean_burst(&tally) * (1 - rho) * (1 - p), 1, 0.02));
    }
}

TEST(loss_of_gilbert_and_elliott_has_the_stationary_rate)
{
    static const struct {
        uint32_t p, r, bad, good;
    } cases[] = {
        { 10000, 300000, 1000000, 0 },   { 10000, 300000, 500000, 0 },
        { 20000, 100000, 700000, 1000 }, { 500000, 500000, 1000000, 0 },
        { 5000, 20000, 200000, 10000 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(cases); i++) {
        const struct nsp_loss_config cfg = {
            .kind = NSP_LOSS_GILBERT,
            .gilbert = { cases[i].p, cases[i].r, cases[i].bad, cases[i].good },
        };
        double p = cases[i].p / 1e6, r = cases[i].r / 1e6;
        double bad = cases[i].bad / 1e6, good = cases[i].good / 1e6;
        double rate = good * r / (p + r) + bad * p / (p + r);
        struct tally tally = count_losses(&cfg, 10000000, 0);

        CHECK(has_rate(&tally, rate, 1 - p - r));
        if (cases[i].bad == NSP_PPM_ONE && cases[i].good == 0)
            CHECK(is_near(mean_burst(&tally) * r, 1, 0.02));
    }
}

TEST(loss_in_bursts_has_the_rate_and_the_mean_burst)
{
    static const struct {
        uint32_t ppm, burst_milli;
    } cases[] = {
        { 10000, 1000 },  { 10000, 3000 },   { 50000, 2500 },
        { 20000, 10000 }, { 300000, 50000 }, { 500000, 1000 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(cases); i++) {
        const struct nsp_loss_config cfg = {
            .kind = NSP_LOSS_BURSTS,
            .bursts = { cases[i].ppm, cases[i].burst_milli },
        };
        double loss = cases[i].ppm / 1e6, burst = cases[i].burst_milli / 1e3;
        double p = loss / (burst * (1 - loss));
        struct tally tally = count_losses(&cfg, 10000000, 0);

        CHECK(has_rate(&tally, loss, 1 - p - 1 / burst));
        CHECK(is_near(mean_burst(&tally) / burst, 1, 0.02));
    }
}

TEST(loss_of_four_states_has_the_stationary_rate)
{
    static const double cases[][5] = {
        { 0.01, 0.3, 0.1, 0.4, 0.02 },
        { 0.05, 0.2, 0.3, 0.5, 0 },
        { 0, 0, 0, 0, 0.03 },
        { 0.002, 0.1, 0.6, 0.25, 0.001 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(cases); i++) {
        double p13 = cases[i][0], p31 = cases[i][1], p32 = cases[i][2];
        double p23 = cases[i][3], p14 = cases[i][4];
        double one = p13 == 0 ? 1 : p31 * p23, two = p13 * p32;
        double three = p13 * p23, four = p14 * one;
        const struct nsp_loss_config cfg = {
            .kind = NSP_LOSS_FOUR_STATES,
            .four_states = { (uint32_t)lround(p13 * 1e6),
                             (uint32_t)lround(p31 * 1e6),
                             (uint32_t)lround(p32 * 1e6),
                             (uint32_t)lround(p23 * 1e6),
                             (uint32_t)lround(p14 * 1e6) },
        };
        struct tally tally = count_losses(&cfg, 10000000, 0);
        double rate = (three + four) / (one + two + three + four);
        /* Runs of losses end in 1, in 2, or alone. */
        double runs = (three * (p31 + p32) + four) / (one + two + three + four);

        CHECK(is_near((double)tally.lost / (double)tally.n / rate, 1, 0.01));
        CHECK(is_near(mean_burst(&tally) * runs / rate, 1, 0.02));
    }
}

/* Many streams' first packets, and their fiftieth: both as in the long run. */
TEST(loss_begins_in_the_stationary_distribution)
{
    static const struct {
        struct nsp_loss_config cfg;
        double rate;
    } cases[] = {
        { { .kind = NSP_LOSS_GILBERT,
            .gilbert = { 20000, 60000, NSP_PPM_ONE, 0 } },
          0.25 },
        { { .kind = NSP_LOSS_GILBERT,
            .gilbert = { 20000, 60000, 800000, 100000 } },
          0.275 },
        { { .kind = NSP_LOSS_BURSTS, .bursts = { 100000, 20000 } }, 0.1 },
        { { .kind = NSP_LOSS_CHANCE, .chance = { 100000, 950000 } }, 0.1 },
        /* Weights 0.04, 0.08, 0.04 and 0.008 of states 1 to 4. */
        { { .kind = NSP_LOSS_FOUR_STATES,
            .four_states = { 200000, 200000, 400000, 200000, 200000 } },
          0.048 / 0.168 },
        { { .kind = NSP_LOSS_FOUR_STATES,
            .four_states = { 100000, 200000, 0, 0, 50000 } },
          (0.5 + 0.05) / (1 + 0.5 + 0.05) },
    };

    for (size_t c = 0; c < NSP_ARRAY_LEN(cases); c++) {
        const uint64_t n = 50000;
        uint64_t first = 0, later = 0;
        struct nsp_loss loss;

        make_loss(&loss, &cases[c].cfg);
        for (uint64_t i = 0; i < n; i++) {
            struct nsp_loss_state past = { 0 };
            struct nsp_prng random;

            nsp_prng_init(&random, c, i);
            first += nsp_loss_decide(&loss, &past, 0, &random);
            for (int k = 0; k < 48; k++)
                (void)nsp_loss_decide(&loss, &past, 0, &random);
            later += nsp_loss_decide(&loss, &past, 0, &random);
        }
        CHECK(is_binomial(first, n, cases[c].rate));
        CHECK(is_binomial(later, n, cases[c].rate));
    }
}

TEST(loss_bounds_runs_by_a_last_probability_of_none)
{
    static const uint32_t ppm[] = { 100000, 900000, 900000, 0 };
    const struct nsp_loss_config cfg = {
        .kind = NSP_LOSS_CONSECUTIVE,
        .consecutive = { ppm, NSP_ARRAY_LEN(ppm) },
    };
    struct tally tally = count_losses(&cfg, 1000000, 0);

    /* A run is 1 + 0.9 + 0.81 long; one begins at 0.1 of what follows none. */
    CHECK_EQ(tally.longest, 3);
    CHECK(is_near(mean_burst(&tally) / 2.71, 1, 0.02));
    CHECK(is_near((double)tally.lost / (double)tally.n,
                  0.271 / (1 + 0.1 * 2.71), 0.002));
}

/* A bad state holds as many packets as come in its time, the first included;
 * between two of them come (1 - enter) / enter good packets on average. */
TEST(loss_for_a_time_does_not_depend_on_the_rate_of_packets)
{
    const uint64_t gaps_ns[] = { MS / 10, MS, 10 * MS, 50 * MS };

    for (size_t i = 0; i < NSP_ARRAY_LEN(gaps_ns); i++) {
        const struct nsp_loss_config cfg = {
            .kind = NSP_LOSS_TIMED,
            .timed = { 10000, NSP_PPM_ONE, 20 * MS },
        };
        double bad = (double)((20 * MS + gaps_ns[i] - 1) / gaps_ns[i]);
        double rate = bad / (bad + 0.99 / 0.01);
        struct tally tally = count_losses(&cfg, 2000000, gaps_ns[i]);

        CHECK(is_near((double)tally.lost / (double)tally.n / rate, 1, 0.02));
        /* One in a hundred enters again at once. */
        CHECK(is_near(mean_burst(&tally) / bad, 1 / 0.99, 0.02));
    }
}

/* All loss_models at once, roughly: those with a long memory vary much. */
TEST(loss_facts_are_what_packets_meet)
{
    for (size_t m = 0; m < NSP_ARRAY_LEN(loss_models); m++) {
        struct nsp_loss_facts facts;
        struct nsp_loss loss;
        struct tally tally;

        make_loss(&loss, &loss_models[m]);
        nsp_loss_read_facts(&loss, &facts);
        nsp_loss_fini(&loss);
        CHECK_EQ(facts.known, loss_models[m].kind != NSP_LOSS_TIMED);
        if (!facts.known || loss_models[m].kind == NSP_LOSS_FIRST)
            continue;
        tally = count_losses(&loss_models[m], 2000000, 0);
        if (facts.rate * 2e6 < 1000) {
            CHECK(is_near((double)tally.lost / 2e6, facts.rate, 1e-5));
            CHECK(is_near(facts.burst_pkts, 10.5, 1e-6));
            continue;
        }
        CHECK(is_near((double)tally.lost / 2e6 / facts.rate, 1, 0.1));
        if (facts.rate < 1)
            CHECK(is_near(mean_burst(&tally) / facts.burst_pkts, 1, 0.1));
        else
            CHECK(facts.burst_pkts == 0);
    }
}

/* By the formulae of the literature. */
TEST(loss_facts_are_the_closed_forms)
{
    static const uint8_t ring[] = { 1, 0, 1 }, pair[] = { 1, 0 };
    static const uint32_t endless[] = { 1, 500000, NSP_PPM_ONE };
    static const struct {
        struct nsp_loss_config cfg;
        double rate, burst;
    } cases[] = {
        { { .chance = { 10000, 250000 } }, 0.01, 1 / (0.75 * 0.99) },
        { { .kind = NSP_LOSS_GILBERT,
            .gilbert = { 10000, 300000, NSP_PPM_ONE, 0 } },
          1.0 / 31,
          10.0 / 3 },
        { { .kind = NSP_LOSS_BURSTS, .bursts = { 10000, 3000 } }, 0.01, 3 },
        { { .kind = NSP_LOSS_PATTERN,
            .pattern = { loss_pattern, sizeof loss_pattern } },
          3.0 / 7,
          1.5 },
        { { .kind = NSP_LOSS_PATTERN, .pattern = { ring, 3 } }, 2.0 / 3, 2 },
        { { .kind = NSP_LOSS_PATTERN, .pattern = { pair, 2 } }, 0.5, 1 },
        { { .kind = NSP_LOSS_EVERY, .every_pkts = 10 }, 0.1, 1 },
        { { .kind = NSP_LOSS_EVERY, .every_pkts = 1 }, 1, 0 },
        { { .kind = NSP_LOSS_FIRST, .first_pkts = 10 }, 0, 0 },
        { { .kind = NSP_LOSS_CONSECUTIVE, .consecutive = { endless, 3 } },
          1,
          0 },
        { { .kind = NSP_LOSS_CONSECUTIVE, .consecutive = { endless, 2 } },
          2e-6 / (1 + 2e-6),
          2 },
        { { .chance.ppm = 0 }, 0, 0 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(cases); i++) {
        struct nsp_loss_facts facts;
        struct nsp_loss loss;

        make_loss(&loss, &cases[i].cfg);
        nsp_loss_read_facts(&loss, &facts);
        nsp_loss_fini(&loss);
        CHECK(facts.known);
        CHECK(is_near(facts.rate, cases[i].rate, 1e-12));
        CHECK(is_near(facts.burst_pkts, cases[i].burst, 1e-9));
    }
}

TEST(loss_draws_as_many_numbers_whatever_becomes_of_the_packets)
{
    const uint32_t draws[] = { 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1,
                               1, 1, 0, 1, 1, 0, 0, 0, 0, 2, 2 };

    for (size_t m = 0; m < NSP_ARRAY_LEN(loss_models); m++) {
        struct nsp_loss_state past = { 0 };
        struct nsp_prng used, plain;
        struct nsp_loss loss;

        make_loss(&loss, &loss_models[m]);
        nsp_prng_init(&used, 5, 5);
        nsp_prng_init(&plain, 5, 5);
        for (uint32_t i = 0; i < 1000; i++)
            (void)nsp_loss_decide(&loss, &past, i * MS, &used);
        for (uint32_t i = 0; i < 1000 * draws[m]; i++)
            (void)nsp_prng_next(&plain);
        CHECK_MEM_EQ(&used, &plain, sizeof used);
        nsp_loss_fini(&loss);
    }
}

/* --- What is refused -------------------------------------------------------
 */

TEST(loss_refuses_what_makes_no_sense_and_says_why)
{
    static const uint8_t two[] = { 0, 2 };
    static const uint32_t beyond[] = { 1, NSP_PPM_ONE + 1 };
    const struct {
        struct nsp_loss_config cfg;
        const char *word; /* In what is said. */
    } cases[] = {
        { { .kind = NSP_LOSS_TIMED + 1 }, "nsp_loss_kind" },
        { { .chance = { NSP_PPM_ONE + 1, 0 } }, "100 %" },
        { { .chance = { 0, NSP_PPM_ONE } }, "correlation" },
        { { .kind = NSP_LOSS_GILBERT, .gilbert = { 1, 0, 0, 0 } }, "r_ppm" },
        { { .kind = NSP_LOSS_GILBERT, .gilbert = { 1, 1, 0, 1000001 } },
          "Gilbert" },
        { { .kind = NSP_LOSS_BURSTS, .bursts = { 500001, 1000 } }, "longer" },
        { { .kind = NSP_LOSS_BURSTS, .bursts = { NSP_PPM_ONE, 5000 } },
          "longer" },
        { { .kind = NSP_LOSS_BURSTS, .bursts = { 1, 999 } }, "burst" },
        { { .kind = NSP_LOSS_BURSTS, .bursts = { 1, UINT32_MAX } }, "burst" },
        { { .kind = NSP_LOSS_FOUR_STATES,
            .four_states = { 600000, 1, 1, 1, 400001 } },
          "p13 + p14" },
        { { .kind = NSP_LOSS_FOUR_STATES,
            .four_states = { 1, 600000, 400001, 1, 1 } },
          "p31 + p32" },
        { { .kind = NSP_LOSS_FOUR_STATES, .four_states = { 1, 0, 1, 1, 0 } },
          "p31_ppm" },
        { { .kind = NSP_LOSS_FOUR_STATES, .four_states = { 1, 1, 1, 0, 0 } },
          "p23_ppm" },
        { { .kind = NSP_LOSS_PATTERN, .pattern = { two, 0 } }, "pattern" },
        { { .kind = NSP_LOSS_PATTERN, .pattern = { two, 2 } }, "0 and 1" },
        { { .kind = NSP_LOSS_PATTERN,
            .pattern = { two, NSP_LOSS_PATTERN_MAX + 1 } },
          "pattern" },
        { { .kind = NSP_LOSS_CONSECUTIVE, .consecutive = { beyond, 0 } },
          "1 to 1024" },
        { { .kind = NSP_LOSS_CONSECUTIVE, .consecutive = { beyond, 1025 } },
          "1 to 1024" },
        { { .kind = NSP_LOSS_CONSECUTIVE, .consecutive = { beyond, 2 } },
          "100 %" },
        { { .kind = NSP_LOSS_EVERY, .every_pkts = 0 }, "0th" },
        { { .kind = NSP_LOSS_TIMED, .timed = { 1, 1, 0 } }, "hour" },
        { { .kind = NSP_LOSS_TIMED, .timed = { 1, 1, 3601000 * MS } }, "hour" },
        { { .kind = NSP_LOSS_TIMED, .timed = { 1000001, 1, 1 } }, "timed" },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(cases); i++) {
        const char *fault = nsp_loss_fault(&cases[i].cfg);
        struct nsp_loss loss;

        CHECK(fault != NULL && strstr(fault, cases[i].word) != NULL);
        CHECK_EQ(nsp_loss_init(&loss, &cases[i].cfg, NULL), -EINVAL);
    }
}

/* Where the formula for the beginning would divide by zero. */
TEST(loss_takes_chains_with_states_out_of_reach)
{
    const struct nsp_loss_config cases[] = {
        { .kind = NSP_LOSS_GILBERT, .gilbert = { 0, 0, NSP_PPM_ONE, 0 } },
        { .kind = NSP_LOSS_FOUR_STATES, .four_states = { 0, 0, 0, 0, 0 } },
        { .kind = NSP_LOSS_FOUR_STATES, .four_states = { 0, 0, 7, 0, 0 } },
        { .kind = NSP_LOSS_BURSTS, .bursts = { 0, 1000 } },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(cases); i++)
        CHECK_EQ(count_losses(&cases[i], 100000, 0).lost, 0);
}

TEST(loss_survives_a_lack_of_memory)
{
    for (size_t m = 0; m < NSP_ARRAY_LEN(loss_models); m++) {
        for (unsigned at = 0; at < 2; at++) {
            struct failing_alloc failing = { .fail_at = at };
            struct nsp_allocator allocator = failing_allocator(&failing);
            struct nsp_loss loss = { 0 };
            int err = nsp_loss_init(&loss, &loss_models[m], &allocator);

            CHECK_EQ(err, failing.failed ? -ENOMEM : 0);
            nsp_loss_fini(&loss);
            CHECK_EQ(failing.live, 0);
        }
    }
}

TEST_MAIN(
    cmocka_unit_test(loss_facts_are_what_packets_meet),
    cmocka_unit_test(loss_facts_are_the_closed_forms),
    cmocka_unit_test(loss_by_chance_has_the_binomial_count_and_no_memory),
    cmocka_unit_test(
        loss_with_correlation_keeps_the_rate_and_has_the_correlation),
    cmocka_unit_test(loss_of_gilbert_and_elliott_has_the_stationary_rate),
    cmocka_unit_test(loss_in_bursts_has_the_rate_and_the_mean_burst),
    cmocka_unit_test(loss_of_four_states_has_the_stationary_rate),
    cmocka_unit_test(loss_begins_in_the_stationary_distribution),
    cmocka_unit_test(loss_bounds_runs_by_a_last_probability_of_none),
    cmocka_unit_test(loss_for_a_time_does_not_depend_on_the_rate_of_packets),
    cmocka_unit_test(
        loss_draws_as_many_numbers_whatever_becomes_of_the_packets),
    cmocka_unit_test(loss_refuses_what_makes_no_sense_and_says_why),
    cmocka_unit_test(loss_takes_chains_with_states_out_of_reach),
    cmocka_unit_test(loss_survives_a_lack_of_memory))
