#include "impair/chance.h"
#include "netshaper/policy.h"
#include "tests/lib/draws.h"
#include "tests/lib/statistics.h"
#include "tests/lib/test.h"

#include <errno.h>

__extension__ typedef unsigned __int128 uwide;

static struct nsp_chance
chance_of(uint32_t ppm, uint32_t correlation_ppm)
{
    struct nsp_chance chance;

    CHECK_EQ(nsp_chance_init(&chance, ppm, correlation_ppm), 0);
    return chance;
}

TEST(chance_refuses_more_than_all_and_what_never_changes)
{
    struct nsp_chance chance;

    CHECK_EQ(nsp_chance_init(&chance, NSP_PPM_ONE + 1, 0), -EINVAL);
    CHECK_EQ(nsp_chance_init(&chance, UINT32_MAX, 0), -EINVAL);
    CHECK_EQ(nsp_chance_init(&chance, 1, NSP_PPM_ONE), -EINVAL);
    CHECK(nsp_chance_fault(NSP_PPM_ONE, NSP_PPM_ONE - 1) == NULL);
    CHECK(nsp_chance_fault(NSP_PPM_ONE + 1, 0) != NULL);
    CHECK(nsp_chance_fault(0, NSP_PPM_ONE) != NULL);
}

TEST(chance_ratio_is_the_quotient_rounded_down)
{
    struct nsp_prng random;

    nsp_prng_init(&random, 1, 1);
    for (int i = 0; i < 100000; i++) {
        uint64_t den = (nsp_prng_next(&random) >> 1 >> i % 60) + 1;
        uint64_t num = nsp_prng_next(&random) % (den + 1);

        if (den == NSP_CHANCE_SURE)
            continue;
        CHECK_EQ(nsp_chance_ratio(num, den),
                 (uint64_t)(((uwide)num << 63) / den));
    }
    CHECK_EQ(nsp_chance_ratio(7, 7), NSP_CHANCE_SURE);
    CHECK_EQ(nsp_chance_ratio(0, 7), 0);
}

TEST(chance_thresholds_are_exact_for_every_ppm)
{
    for (uint32_t ppm = 0; ppm <= NSP_PPM_ONE; ppm++) {
        struct nsp_chance chance = chance_of(ppm, 0);
        uint64_t exact = (uint64_t)(((uwide)ppm << 63) / NSP_PPM_ONE);

        for (int row = 0; row < 3; row++)
            CHECK_EQ(chance.below[row], exact);
    }
}

/* P(hit | hit) - P(hit | miss) is rho, and p is a fixed point of the chain. */
TEST(chance_chain_has_the_marginal_and_the_correlation_asked)
{
    for (uint32_t ppm = 0; ppm <= NSP_PPM_ONE; ppm += 9973) {
        for (uint32_t rho = 0; rho < NSP_PPM_ONE; rho += 9973) {
            struct nsp_chance chance = chance_of(ppm, rho);
            double sure = (double)NSP_CHANCE_SURE, p = ppm / 1e6;
            double after_miss = (double)chance.below[1] / sure;
            double after_hit = (double)chance.below[2] / sure;

            CHECK(is_near((double)chance.below[0] / sure, p, 1e-15));
            CHECK(is_near(after_hit - after_miss, rho / 1e6, 1e-15));
            CHECK(is_near(p * after_hit + (1 - p) * after_miss, p, 1e-15));
        }
    }
}

TEST(chance_takes_draws_below_the_threshold_and_no_other)
{
    for (uint32_t ppm = 0; ppm <= NSP_PPM_ONE; ppm += 40) {
        struct nsp_chance chance = chance_of(ppm, 250000);

        for (uint8_t before = 0; before < 3; before++) {
            struct nsp_prng at = about_to_draw(chance.below[before] << 1);
            struct nsp_prng below =
                about_to_draw((chance.below[before] << 1) - 1);
            uint8_t past = before;

            if (chance.below[before] != NSP_CHANCE_SURE) {
                CHECK(!nsp_chance_decide(&chance, &past, &at));
                CHECK_EQ(past, 1);
            }
            past = before;
            if (chance.below[before] != 0) {
                CHECK(nsp_chance_decide(&chance, &past, &below));
                CHECK_EQ(past, 2);
            }
        }
    }
}

TEST(chance_of_all_hits_every_packet_and_of_none_hits_none)
{
    struct nsp_chance all = chance_of(NSP_PPM_ONE, 500000);
    struct nsp_chance none = chance_of(0, 500000);
    uint8_t all_state = 0, none_state = 0;
    struct nsp_prng random;

    nsp_prng_init(&random, 1, 0);
    for (int i = 0; i < 100000; i++) {
        CHECK(nsp_chance_decide(&all, &all_state, &random));
        CHECK(!nsp_chance_decide(&none, &none_state, &random));
    }
}

TEST(chance_repeats_for_one_seed_and_differs_between_streams)
{
    const uint64_t n = 1000000;
    struct nsp_chance chance = chance_of(200000, 0);
    struct nsp_prng a, again, other;
    uint8_t states[3] = { 0, 0, 0 };
    uint64_t both = 0;

    nsp_prng_init(&a, 7, 0);
    nsp_prng_init(&again, 7, 0);
    nsp_prng_init(&other, 7, 1);
    for (uint64_t i = 0; i < n; i++) {
        bool hit = nsp_chance_decide(&chance, &states[0], &a);

        CHECK_EQ(hit, nsp_chance_decide(&chance, &states[1], &again));
        both += hit & nsp_chance_decide(&chance, &states[2], &other);
    }
    CHECK(is_binomial(both, n, 0.04));
}

TEST(chance_draws_one_number_for_each_packet_whatever_it_is)
{
    const uint32_t ppm[] = { 0, 1, 500000, NSP_PPM_ONE };

    for (size_t r = 0; r < NSP_ARRAY_LEN(ppm); r++) {
        struct nsp_chance chance = chance_of(ppm[r], 900000);
        struct nsp_prng used, plain;
        uint8_t past = 0;

        nsp_prng_init(&used, 5, 5);
        nsp_prng_init(&plain, 5, 5);
        for (int i = 0; i < 100; i++) {
            (void)nsp_chance_decide(&chance, &past, &used);
            (void)nsp_prng_next(&plain);
        }
        CHECK_MEM_EQ(&used, &plain, sizeof used);
    }
}

TEST_MAIN(
    cmocka_unit_test(chance_refuses_more_than_all_and_what_never_changes),
    cmocka_unit_test(chance_ratio_is_the_quotient_rounded_down),
    cmocka_unit_test(chance_thresholds_are_exact_for_every_ppm),
    cmocka_unit_test(chance_chain_has_the_marginal_and_the_correlation_asked),
    cmocka_unit_test(chance_takes_draws_below_the_threshold_and_no_other),
    cmocka_unit_test(chance_of_all_hits_every_packet_and_of_none_hits_none),
    cmocka_unit_test(chance_repeats_for_one_seed_and_differs_between_streams),
    cmocka_unit_test(chance_draws_one_number_for_each_packet_whatever_it_is))
