#include "verify/reordering.h"
#include "base/prng.h"
#include "tests/lib/test.h"

#include <math.h>

/* RFC 4737, section 8 (numbered from 1 there): 4 comes after 5, 6, 7, 8. */
TEST(late_packet_is_reordered_with_its_extent)
{
    const uint32_t sent[] = { 0, 1, 2, 4, 5, 6, 7, 3, 8, 9 };
    struct nsp_reordering r;

    CHECK_EQ(nsp_reordering_read(sent, 10, 10, &r), 0);
    CHECK_EQ(r.pkts, 10);
    CHECK_EQ(r.reordered, 1);
    CHECK_EQ(r.extent_max, 4);
    CHECK(fabs(r.extent_mean - 4) < 1e-12);
}

/* The same, 7.2: one early packet makes those before it late. */
TEST(early_packet_makes_others_late)
{
    const uint32_t sent[] = { 0, 1, 2, 3, 6, 4, 5, 7 };
    struct nsp_reordering r;

    CHECK_EQ(nsp_reordering_read(sent, 8, 8, &r), 0);
    CHECK_EQ(r.reordered, 2);
    CHECK_EQ(r.extent_max, 2);
    CHECK(fabs(r.extent_mean - 1.5) < 1e-12);
}

TEST(copies_are_left_out)
{
    const uint32_t sent[] = { 0, 1, 0, 2, 2, 1 };
    struct nsp_reordering r;

    CHECK_EQ(nsp_reordering_read(sent, 6, 3, &r), 0);
    CHECK_EQ(r.pkts, 3);
    CHECK_EQ(r.copies, 3);
    CHECK_EQ(r.reordered, 0);
    CHECK_EQ(nsp_reordering_read(sent, 0, 0, &r), 0);
    CHECK_EQ(r.pkts, 0);
}

TEST(extents_are_those_of_the_definition)
{
    struct nsp_prng random;

    nsp_prng_init(&random, 7, 1);
    for (int trial = 0; trial < 200; trial++) {
        uint32_t n = 1 + nsp_prng_below(&random, 60), sent[60];
        uint64_t reordered = 0, extents = 0, most = 0;
        struct nsp_reordering r;

        for (uint32_t i = 0; i < n; i++)
            sent[i] = i;
        for (uint32_t i = n - 1; i > 0; i--) { /* Fisher and Yates. */
            uint32_t j = nsp_prng_below(&random, i + 1), swap = sent[i];

            sent[i] = sent[j];
            sent[j] = swap;
        }
        for (uint32_t i = 0; i < n; i++)
            for (uint32_t j = 0; j < i; j++) {
                if (sent[j] < sent[i])
                    continue;
                reordered++;
                extents += i - j;
                most = i - j > most ? i - j : most;
                break;
            }
        CHECK_EQ(nsp_reordering_read(sent, n, n, &r), 0);
        CHECK_EQ(r.reordered, reordered);
        CHECK_EQ(r.extent_max, most);
        CHECK(fabs(r.extent_mean * (double)reordered - (double)extents) < 1e-6);
    }
}

TEST_MAIN(cmocka_unit_test(late_packet_is_reordered_with_its_extent),
          cmocka_unit_test(early_packet_makes_others_late),
          cmocka_unit_test(copies_are_left_out),
          cmocka_unit_test(extents_are_those_of_the_definition))
