#include "verify/loss_model.h"
#include "base/prng.h"
#include "tests/lib/test.h"

#include <math.h>

static void
check_near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%.17g is not %.17g", value, expected);
}

static struct nsp_loss_model
model_of(const struct nsp_loss_config *cfg, uint64_t gap_ns)
{
    struct nsp_loss_model model;

    nsp_loss_model_init(&model, cfg, gap_ns);
    return model;
}

TEST(independent_losses_are_binomial)
{
    const struct nsp_loss_config cfg = { .chance = { .ppm = 50000 } };
    struct nsp_loss_model m = model_of(&cfg, 1);

    check_near(m.rate, 0.05, 1e-12);
    check_near(m.period, 1 / 0.95, 1e-12);
    check_near(m.lag1, 0, 1e-12);
    check_near(m.inflation, 1, 1e-9);
    CHECK(!m.is_exact);
}

/* Autocorrelation rho^k, whose sum over k is rho / (1 - rho). */
TEST(correlated_losses_keep_the_rate)
{
    const struct nsp_loss_config cfg = {
        .chance = { .ppm = 50000, .correlation_ppm = 900000 }
    };
    struct nsp_loss_model m = model_of(&cfg, 1);

    check_near(m.rate, 0.05, 1e-12);
    check_near(m.lag1, 0.9, 1e-12);
    check_near(m.period, 1 / (0.1 * 0.95), 1e-9);
    check_near(m.inflation, 1.9 / 0.1, 1e-6);
}

TEST(gilbert_elliott_follows_its_closed_forms)
{
    const struct nsp_loss_config simple = {
        .kind = NSP_LOSS_GILBERT,
        .gilbert = { 10000, 300000, 1000000, 0 },
    };
    const struct nsp_loss_config full = {
        .kind = NSP_LOSS_GILBERT,
        .gilbert = { 10000, 300000, 900000, 1000 },
    };
    const struct nsp_loss_config never = {
        .kind = NSP_LOSS_GILBERT,
        .gilbert = { 0, 0, 1000000, 2000 },
    };
    double bad = 0.01 / 0.31, good = 0.3 / 0.31, rate, both;

    check_near(model_of(&simple, 1).rate, 0.0322580645, 1e-9);
    check_near(model_of(&simple, 1).period, 1 / 0.3, 1e-9);
    rate = bad * 0.9 + good * 0.001;
    both = rate * rate + (0.9 - 0.001) * (0.9 - 0.001) * bad * good * 0.69;
    check_near(model_of(&full, 1).rate, rate, 1e-12);
    check_near(model_of(&full, 1).lost_after_lost, both / rate, 1e-12);
    check_near(model_of(&never, 1).rate, 0.002, 1e-12);
}

TEST(bursts_are_as_long_as_asked)
{
    const struct nsp_loss_config cfg = {
        .kind = NSP_LOSS_BURSTS,
        .bursts = { .ppm = 10000, .burst_milli = 3000 },
    };

    check_near(model_of(&cfg, 1).rate, 0.01, 1e-12);
    check_near(model_of(&cfg, 1).period, 3, 1e-9);
}

/* pi1..pi4 by the formulae, and their balance. */
TEST(four_states_balance)
{
    const struct nsp_loss_config cfg = {
        .kind = NSP_LOSS_FOUR_STATES,
        .four_states = { 10000, 200000, 300000, 400000, 5000 },
    };
    const struct nsp_loss_config alone = {
        .kind = NSP_LOSS_FOUR_STATES,
        .four_states = { 0, 0, 0, 0, 100000 },
    };
    double pi[4] = { 0.2 * 0.4, 0.01 * 0.3, 0.01 * 0.4, 0.005 * 0.2 * 0.4 };
    double all = pi[0] + pi[1] + pi[2] + pi[3];
    struct nsp_loss_model m = model_of(&cfg, 1);

    check_near(m.rate, (pi[2] + pi[3]) / all, 1e-12);
    /* State 3 is left with p31 + p32, state 4 at once. */
    check_near(m.period, (pi[2] + pi[3]) / (pi[2] * 0.5 + pi[3]), 1e-9);
    check_near(model_of(&alone, 1).rate, 0.1 / 1.1, 1e-12);
    check_near(model_of(&alone, 1).period, 1, 1e-12);
}

/* K = 0, 1 or 2 with 0.9, 0.05, 0.05. */
TEST(consecutive_losses_are_a_renewal)
{
    static const uint32_t ppm[] = { 100000, 500000, 0 };
    static const uint32_t same[] = { 200000 };
    static const uint32_t sure[] = { 100000, 1000000 };
    const struct nsp_loss_config cfg = { .kind = NSP_LOSS_CONSECUTIVE,
                                         .consecutive = { ppm, 3 } };
    const struct nsp_loss_config plain = { .kind = NSP_LOSS_CONSECUTIVE,
                                           .consecutive = { same, 1 } };
    const struct nsp_loss_config endless = { .kind = NSP_LOSS_CONSECUTIVE,
                                             .consecutive = { sure, 2 } };
    struct nsp_loss_model m = model_of(&cfg, 1);

    check_near(m.rate, 0.15 / 1.15, 1e-12);
    check_near(m.period, 1.5, 1e-12);
    check_near(m.lost_after_received, 0.1, 1e-12);
    check_near(m.inflation, (0.25 - 0.15 * 0.15) / (0.15 * 1.15), 1e-12);

    m = model_of(&plain, 1); /* The same as independent ones. */
    check_near(m.rate, 0.2, 1e-9);
    check_near(m.period, 1.25, 1e-9);
    check_near(m.lag1, 0, 1e-9);
    check_near(m.inflation, 1, 1e-9);
    check_near(model_of(&endless, 1).rate, 1, 0);
}

/* The variance of counts of many stretches, over the binomial's. */
static double
simulated_inflation(double enter, double loss, int bad_pkts)
{
    const int stretches = 4000, n = 2000;
    double sum = 0, squares = 0, rate;
    struct nsp_prng random;
    int left = 0;

    nsp_prng_init(&random, 9, 1);
    for (int s = 0; s < stretches; s++) {
        double lost = 0;

        for (int i = 0; i < n; i++) {
            if (left == 0 && nsp_prng_below(&random, 1000000) < enter * 1e6)
                left = bad_pkts;
            if (left == 0)
                continue;
            left--;
            lost += nsp_prng_below(&random, 1000000) < loss * 1e6;
        }
        sum += lost;
        squares += lost * lost;
    }
    rate = sum / stretches / n;
    return (squares / stretches - sum / stretches * (sum / stretches)) /
           (n * rate * (1 - rate));
}

/* Packets 10 ms apart: 25 ms hold three of them, the one that enters included.
 */
TEST(timed_losses_depend_on_the_interval)
{
    const struct nsp_loss_config cfg = {
        .kind = NSP_LOSS_TIMED,
        .timed = { .enter_ppm = 10000, .loss_ppm = 500000, .bad_ns = 25000000 },
    };

    check_near(model_of(&cfg, 10000000).rate, 0.5 * 3 / (3 + 99), 1e-12);
    check_near(model_of(&cfg, 30000000).rate, 0.5 * 1 / (1 + 99), 1e-12);
    check_near(model_of(&cfg, 30000000).inflation, 1, 1e-9);
    check_near(model_of(&cfg, 1000000).inflation,
               simulated_inflation(0.01, 0.5, 25), 0.8);
}

TEST(exact_losses_are_told_one_by_one)
{
    static const uint8_t lost[] = { 0, 1, 1 };
    const struct nsp_loss_config pattern = { .kind = NSP_LOSS_PATTERN,
                                             .pattern = { lost, 3 } };
    const struct nsp_loss_config every = { .kind = NSP_LOSS_EVERY,
                                           .every_pkts = 3 };
    const struct nsp_loss_config first = { .kind = NSP_LOSS_FIRST,
                                           .first_pkts = 2 };

    CHECK(model_of(&pattern, 1).is_exact && model_of(&every, 1).is_exact &&
          model_of(&first, 1).is_exact);
    for (uint64_t i = 0; i < 9; i++) {
        CHECK_EQ(nsp_loss_model_loses(&pattern, i), i % 3 != 0);
        CHECK_EQ(nsp_loss_model_loses(&every, i), i % 3 == 2);
        CHECK_EQ(nsp_loss_model_loses(&first, i), i < 2);
    }
}

TEST_MAIN(cmocka_unit_test(independent_losses_are_binomial),
          cmocka_unit_test(correlated_losses_keep_the_rate),
          cmocka_unit_test(gilbert_elliott_follows_its_closed_forms),
          cmocka_unit_test(bursts_are_as_long_as_asked),
          cmocka_unit_test(four_states_balance),
          cmocka_unit_test(consecutive_losses_are_a_renewal),
          cmocka_unit_test(timed_losses_depend_on_the_interval),
          cmocka_unit_test(exact_losses_are_told_one_by_one))
