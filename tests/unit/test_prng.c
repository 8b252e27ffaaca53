#include "base/prng.h"
#include "tests/lib/draws.h"
#include "tests/lib/test.h"

#include <stdlib.h>

/* Outputs of the authors' own program, splitmix64.c, seeded with 1234567. */
TEST(prng_gives_the_known_answers_of_splitmix64)
{
    const uint64_t known[] = { UINT64_C(6457827717110365317),
                               UINT64_C(3203168211198807973),
                               UINT64_C(9817491932198370423),
                               UINT64_C(4593380528125082431),
                               UINT64_C(16408922859458223821) };
    struct nsp_prng prng = { 1234567 };

    for (size_t i = 0; i < NSP_ARRAY_LEN(known); i++)
        CHECK_EQ(nsp_prng_next(&prng), known[i]);
}

/* What tests that choose a draw rely on. */
TEST(prng_can_be_about_to_draw_any_number)
{
    const uint64_t draws[] = { 0, 1, UINT64_C(1) << 63, UINT64_MAX << 40,
                               UINT64_MAX };

    for (size_t i = 0; i < NSP_ARRAY_LEN(draws); i++) {
        struct nsp_prng prng = about_to_draw(draws[i]);

        CHECK_EQ(nsp_prng_next(&prng), draws[i]);
    }
}

TEST(prng_repeats_for_one_seed_and_stream)
{
    struct nsp_prng a, b;

    nsp_prng_init(&a, UINT64_MAX, 0);
    nsp_prng_init(&b, UINT64_MAX, 0);
    for (int i = 0; i < 1000; i++)
        CHECK_EQ(nsp_prng_next(&a), nsp_prng_next(&b));
}

/* 64 generators of neighbouring seeds and streams: all states differ, and two
 * neighbours agree in half of all bits. 6 standard deviations: 6 * 400. */
TEST(prng_streams_and_seeds_differ)
{
    enum { N = 64, DRAWS = 10000 };
    struct nsp_prng prngs[N];

    for (uint64_t i = 0; i < N; i++) {
        nsp_prng_init(&prngs[i], i / 8, i % 8);
        for (uint64_t j = 0; j < i; j++)
            CHECK(prngs[i].state != prngs[j].state);
    }
    for (int i = 0; i + 8 < N; i++) {
        struct nsp_prng a = prngs[i], stream = prngs[i + 1],
                        seed = prngs[i + 8];
        int same_stream = 0, same_seed = 0;

        for (int k = 0; k < DRAWS; k++) {
            uint64_t x = nsp_prng_next(&a);

            same_stream += __builtin_popcountll(~(x ^ nsp_prng_next(&stream)));
            same_seed += __builtin_popcountll(~(x ^ nsp_prng_next(&seed)));
        }
        CHECK_EQ(abs(same_stream - 32 * DRAWS) < 2400, true);
        CHECK_EQ(abs(same_seed - 32 * DRAWS) < 2400, true);
    }
}

TEST(prng_below_is_the_product_rounded_down)
{
    __extension__ typedef unsigned __int128 uwide;
    struct nsp_prng a, b;

    nsp_prng_init(&a, 8, 0);
    nsp_prng_init(&b, 8, 0);
    for (int i = 0; i < 100000; i++) {
        uint32_t n = (uint32_t)(nsp_prng_next(&a) >> 32 >> i % 32) | 1;

        (void)nsp_prng_next(&b);
        CHECK_EQ(nsp_prng_below(&a, n),
                 (uint32_t)((uwide)nsp_prng_next(&b) * n >> 64));
    }
}

TEST_MAIN(cmocka_unit_test(prng_below_is_the_product_rounded_down),
          cmocka_unit_test(prng_gives_the_known_answers_of_splitmix64),
          cmocka_unit_test(prng_can_be_about_to_draw_any_number),
          cmocka_unit_test(prng_repeats_for_one_seed_and_stream),
          cmocka_unit_test(prng_streams_and_seeds_differ))
