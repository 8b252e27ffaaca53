#include "impair/reorder.h"
#include "netshaper/policy.h"
#include "tests/lib/statistics.h"
#include "tests/lib/test.h"

#include <errno.h>

static struct nsp_reorder
reorder_of(uint32_t ppm, uint32_t correlation_ppm, uint32_t gap)
{
    const struct nsp_reorder_config cfg = { ppm, correlation_ppm, gap, 0 };
    struct nsp_reorder reorder;

    CHECK_EQ(nsp_reorder_init(&reorder, &cfg), 0);
    return reorder;
}

/* As netem writes it: a counter of delayed packets beside the gap. */
TEST(reorder_agrees_with_the_definition)
{
    const uint32_t gaps[] = { 1, 2, 5, 100 };

    for (size_t g = 0; g < NSP_ARRAY_LEN(gaps); g++) {
        struct nsp_reorder reorder = reorder_of(250000, 0, gaps[g]);
        struct nsp_reorder_state past = { 0 };
        struct nsp_prng random, same;
        uint64_t counter = 0, at_once = 0;

        nsp_prng_init(&random, 9, g);
        nsp_prng_init(&same, 9, g);
        for (int i = 0; i < 1000000; i++) {
            bool drawn = (double)nsp_prng_next(&same) < 0.25 * 0x1p64;
            bool expected = drawn && counter >= gaps[g] - 1;

            counter = expected ? 0 : counter + 1;
            CHECK_EQ(nsp_reorder_decide(&reorder, &past, &random), expected);
            at_once += expected;
        }
        CHECK(is_near((double)at_once / 1e6 * (gaps[g] - 1 + 4), 1, 0.01));
    }
}

TEST(reorder_of_every_fifth_packet_is_regular)
{
    struct nsp_reorder reorder = reorder_of(NSP_PPM_ONE, 0, 5);
    struct nsp_reorder_state past = { 0 };
    struct nsp_prng random;

    nsp_prng_init(&random, 1, 1);
    for (int i = 1; i <= 1000; i++)
        CHECK_EQ(nsp_reorder_decide(&reorder, &past, &random), i % 5 == 0);
}

TEST(reorder_refuses_what_makes_no_sense)
{
    const struct nsp_reorder_config cases[] = {
        { .ppm = 1, .gap = 0 },
        { .ppm = NSP_PPM_ONE + 1, .gap = 1 },
        { .correlation_ppm = NSP_PPM_ONE, .gap = 1 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(cases); i++) {
        struct nsp_reorder reorder;

        CHECK(nsp_reorder_fault(&cases[i]) != NULL);
        CHECK_EQ(nsp_reorder_init(&reorder, &cases[i]), -EINVAL);
    }
}

TEST_MAIN(cmocka_unit_test(reorder_agrees_with_the_definition),
          cmocka_unit_test(reorder_of_every_fifth_packet_is_regular),
          cmocka_unit_test(reorder_refuses_what_makes_no_sense))
