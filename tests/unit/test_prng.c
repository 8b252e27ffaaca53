#include "base/prng.h"
#include "tests/lib/test.h"

#include <stdlib.h>

/* Outputs of the authors' own programs: splitmix64.c seeded with 1234567,
 * xoshiro256plusplus.c with the state { 1, 2, 3, 4 }. */
TEST(prng_mix_gives_the_known_answers_of_splitmix64)
{
    const uint64_t known[] = { UINT64_C(6457827717110365317),
                               UINT64_C(3203168211198807973),
                               UINT64_C(9817491932198370423),
                               UINT64_C(4593380528125082431),
                               UINT64_C(16408922859458223821) };

    for (uint64_t i = 0; i < NSP_ARRAY_LEN(known); i++)
        CHECK_EQ(nsp_mix64(1234567 + i * UINT64_C(0x9e3779b97f4a7c15)),
                 known[i]);
}

TEST(prng_gives_the_known_answers_of_xoshiro256plusplus)
{
    const uint64_t known[] = {
        UINT64_C(41943041),
        UINT64_C(58720359),
        UINT64_C(3588806011781223),
        UINT64_C(3591011842654386),
        UINT64_C(9228616714210784205),
        UINT64_C(9973669472204895162),
        UINT64_C(14011001112246962877),
        UINT64_C(12406186145184390807),
        UINT64_C(15849039046786891736),
        UINT64_C(10450023813501588000),
    };
    struct nsp_prng prng = { { 1, 2, 3, 4 } };

    for (size_t i = 0; i < NSP_ARRAY_LEN(known); i++)
        CHECK_EQ(nsp_prng_next(&prng), known[i]);
}

/* The recurrence written from the paper: the linear engine as a vector, the
 * scrambler apart from it. */
struct reference {
    uint64_t a, b, c, d;
};

static uint64_t
rotated(uint64_t x, unsigned k)
{
    for (; k > 0; k--)
        x = x * 2 + (x >> 63);
    return x;
}

static uint64_t
reference_next(struct reference *s)
{
    const struct reference old = *s;

    s->a = old.a ^ old.b ^ old.d;
    s->b = old.a ^ old.b ^ old.c;
    s->c = old.a ^ old.c ^ old.b << 17;
    s->d = rotated(old.b ^ old.d, 45);
    return rotated(old.a + old.d, 23) + old.a;
}

TEST(prng_agrees_with_the_paper_over_a_long_run)
{
    struct nsp_prng prng;
    struct reference reference;

    nsp_prng_init(&prng, 42, 3);
    reference = (struct reference){ prng.state[0], prng.state[1], prng.state[2],
                                    prng.state[3] };
    for (int i = 0; i < 100000; i++)
        CHECK_EQ(nsp_prng_next(&prng), reference_next(&reference));
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
        CHECK((prngs[i].state[0] | prngs[i].state[1] | prngs[i].state[2] |
               prngs[i].state[3]) != 0);
        for (uint64_t j = 0; j < i; j++)
            CHECK(prngs[i].state[0] != prngs[j].state[0]);
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
          cmocka_unit_test(prng_mix_gives_the_known_answers_of_splitmix64),
          cmocka_unit_test(prng_gives_the_known_answers_of_xoshiro256plusplus),
          cmocka_unit_test(prng_agrees_with_the_paper_over_a_long_run),
          cmocka_unit_test(prng_repeats_for_one_seed_and_stream),
          cmocka_unit_test(prng_streams_and_seeds_differ))
