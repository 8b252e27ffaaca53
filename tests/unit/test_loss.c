#include "impair/loss.h"
#include "netshaper/policy.h"
#include "tests/lib/test.h"

#include <errno.h>

__extension__ typedef unsigned __int128 uwide;

static struct nsp_loss
loss_of(uint32_t loss_ppm)
{
    struct nsp_loss loss;

    CHECK_EQ(nsp_loss_init(&loss, loss_ppm), 0);
    return loss;
}

/* Whether 'count' of 'n' lies in the 99.9 % interval for probability 'p_num' /
 * 'p_den': 3.29 standard deviations (3.29^2 = 10.83), and one for counts being
 * whole. */
static bool
plausible(uint64_t count, uint64_t n, uint64_t p_num, uint64_t p_den)
{
    double p = (double)p_num / (double)p_den;
    double off = (double)count - (double)n * p;

    if (off < 0)
        off = -off;
    return off <= 1 || (off - 1) * (off - 1) <= 10.83 * (double)n * p * (1 - p);
}

TEST(loss_refuses_more_than_all)
{
    struct nsp_loss loss;

    CHECK_EQ(nsp_loss_init(&loss, NSP_PPM_ONE + 1), -EINVAL);
    CHECK_EQ(nsp_loss_init(&loss, UINT32_MAX), -EINVAL);
}

TEST(loss_threshold_is_exact_to_one_part_in_2_to_the_64)
{
    for (uint32_t ppm = 0; ppm < NSP_PPM_ONE; ppm++) {
        struct nsp_loss loss = loss_of(ppm);

        CHECK(!loss.always);
        CHECK_EQ(loss.threshold, (uint64_t)(((uwide)ppm << 64) / NSP_PPM_ONE));
    }
}

TEST(loss_of_all_takes_every_packet_and_of_none_takes_none)
{
    struct nsp_loss all = loss_of(NSP_PPM_ONE), none = loss_of(0);
    struct nsp_prng random;

    nsp_prng_init(&random, 1, 0);
    for (int i = 0; i < 100000; i++) {
        CHECK(nsp_loss_decide(&all, &random));
        CHECK(!nsp_loss_decide(&none, &random));
    }
}

/* A generator whose next number is 'draw'. */
static struct nsp_prng
about_to_draw(uint64_t draw)
{
    return (struct nsp_prng){ { 0, 1, 1, draw >> 23 | draw << 41 } };
}

TEST(loss_takes_draws_below_the_threshold_and_no_other)
{
    for (uint32_t ppm = 0; ppm < NSP_PPM_ONE; ppm += 37) {
        struct nsp_loss loss = loss_of(ppm);
        struct nsp_prng at = about_to_draw(loss.threshold);
        struct nsp_prng below = about_to_draw(loss.threshold - 1);

        CHECK(!nsp_loss_decide(&loss, &at));
        CHECK_EQ(nsp_loss_decide(&loss, &below), ppm != 0);
    }
}

TEST(loss_counts_are_those_of_independent_trials)
{
    const uint32_t rates_ppm[] = { 1,     10,     100,    1000,  10000,
                                   50000, 250000, 500000, 999000 };
    const uint64_t n = 8000000;

    for (size_t r = 0; r < NSP_ARRAY_LEN(rates_ppm); r++) {
        uint64_t p = rates_ppm[r];
        struct nsp_loss loss = loss_of(rates_ppm[r]);
        struct nsp_prng random;
        uint64_t lost = 0, after_loss = 0;
        bool last = false;

        nsp_prng_init(&random, 2026, r);
        for (uint64_t i = 0; i < n; i++) {
            bool now = nsp_loss_decide(&loss, &random);

            lost += now;
            after_loss += now && last;
            last = now;
        }
        CHECK(plausible(lost, n, p, NSP_PPM_ONE));
        CHECK(plausible(after_loss, lost, p, NSP_PPM_ONE));
    }
}

TEST(loss_repeats_for_one_seed_and_differs_between_streams)
{
    const uint64_t n = 1000000;
    struct nsp_loss loss = loss_of(200000);
    struct nsp_prng a, again, other;
    uint64_t both = 0;

    nsp_prng_init(&a, 7, 0);
    nsp_prng_init(&again, 7, 0);
    nsp_prng_init(&other, 7, 1);
    for (uint64_t i = 0; i < n; i++) {
        bool lost = nsp_loss_decide(&loss, &a);
        bool other_lost = nsp_loss_decide(&loss, &other);

        CHECK_EQ(lost, nsp_loss_decide(&loss, &again));
        both += lost && other_lost;
    }
    CHECK(plausible(both, n, 4, 100));
}

TEST(loss_draws_one_number_for_each_packet_whatever_the_rate)
{
    const uint32_t rates_ppm[] = { 0, 1, 500000, NSP_PPM_ONE };

    for (size_t r = 0; r < NSP_ARRAY_LEN(rates_ppm); r++) {
        struct nsp_loss loss = loss_of(rates_ppm[r]);
        struct nsp_prng used, plain;

        nsp_prng_init(&used, 5, 5);
        nsp_prng_init(&plain, 5, 5);
        for (int i = 0; i < 100; i++) {
            (void)nsp_loss_decide(&loss, &used);
            (void)nsp_prng_next(&plain);
        }
        CHECK_MEM_EQ(&used, &plain, sizeof used);
    }
}

TEST_MAIN(
    cmocka_unit_test(loss_refuses_more_than_all),
    cmocka_unit_test(loss_threshold_is_exact_to_one_part_in_2_to_the_64),
    cmocka_unit_test(loss_of_all_takes_every_packet_and_of_none_takes_none),
    cmocka_unit_test(loss_takes_draws_below_the_threshold_and_no_other),
    cmocka_unit_test(loss_counts_are_those_of_independent_trials),
    cmocka_unit_test(loss_repeats_for_one_seed_and_differs_between_streams),
    cmocka_unit_test(loss_draws_one_number_for_each_packet_whatever_the_rate))
