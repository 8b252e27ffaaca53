#include "verify/loss_runs.h"
#include "base/prng.h"
#include "tests/lib/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void
read_text(const char *text, struct nsp_loss_runs *ret)
{
    size_t n = strlen(text);
    bool lost[128];

    for (size_t i = 0; i < n; i++)
        lost[i] = text[i] == 'X';
    nsp_loss_runs_read(lost, n, ret);
}

/* 01234567890123456789: periods of 1, 2 and 3, distances 2, 1, 4, 1, 1. */
TEST(periods_and_distances_are_those_of_rfc_3357)
{
    struct nsp_loss_runs runs;

    read_text("..X.XX...XXX", &runs);
    CHECK_EQ(runs.pkts, 12);
    CHECK_EQ(runs.lost, 6);
    CHECK_EQ(runs.periods, 3);
    CHECK_EQ(runs.period_max, 3);
    CHECK(fabs(runs.period_mean - 2) < 1e-12);
    CHECK(fabs(runs.period_sd - 1) < 1e-12);
    CHECK(fabs(runs.distance_mean - (2 + 1 + 4 + 1 + 1) / 5.0) < 1e-12);
    /* Five packets follow a lost one, three of them lost; six a received. */
    CHECK(fabs(runs.lost_after_lost - 3 / 5.0) < 1e-12);
    CHECK(fabs(runs.lost_after_received - 3 / 6.0) < 1e-12);
    CHECK(fabs(runs.lag1 - 0.1) < 1e-12);
}

TEST(bursts_end_with_sixteen_received_in_a_row)
{
    struct nsp_loss_runs runs;

    read_text("X...............X", &runs); /* 15 between. */
    CHECK_EQ(runs.bursts, 1);
    CHECK_EQ(runs.burst_pkts, 17);
    CHECK_EQ(runs.burst_lost, 2);
    CHECK_EQ(runs.gap_pkts, 0);

    read_text("X................X", &runs); /* 16. */
    CHECK_EQ(runs.bursts, 0);
    CHECK_EQ(runs.gap_lost, 2);
    CHECK_EQ(runs.gap_pkts, 18);

    read_text("....", &runs);
    CHECK_EQ(runs.bursts + runs.lost + runs.periods, 0);
    CHECK_EQ(runs.gap_pkts, 4);
    read_text("", &runs);
    CHECK_EQ(runs.pkts, 0);
}

/* RFC 3611, 4.7.2, word by word: whether packets 'a' to 'b' are a burst, which
 * no longer such stretch contains. */
static bool
could_be_burst(const bool *lost, size_t a, size_t b)
{
    uint32_t row = 0;

    if (!lost[a] || !lost[b] || a == b)
        return false;
    for (size_t i = a; i <= b; i++) {
        row = lost[i] ? 0 : row + 1;
        if (row >= NSP_GMIN)
            return false;
    }
    return true;
}

static uint64_t
naive_burst_pkts(const bool *lost, size_t n, uint64_t *ret_bursts)
{
    uint64_t pkts = 0;

    *ret_bursts = 0;
    for (size_t a = 0; a < n; a++)
        for (size_t b = n; b-- > a;) {
            if (!could_be_burst(lost, a, b))
                continue;
            pkts += b - a + 1;
            ++*ret_bursts;
            a = b;
            break;
        }
    return pkts;
}

TEST(bursts_are_those_of_the_definition)
{
    struct nsp_prng random;

    nsp_prng_init(&random, 5, 1);
    for (int trial = 0; trial < 300; trial++) {
        uint32_t n = 1 + nsp_prng_below(&random, 200);
        uint32_t one_in = 2 + nsp_prng_below(&random, 40);
        struct nsp_loss_runs runs;
        bool lost[200];
        uint64_t bursts, pkts;

        for (uint32_t i = 0; i < n; i++)
            lost[i] = nsp_prng_below(&random, one_in) == 0;
        nsp_loss_runs_read(lost, n, &runs);
        pkts = naive_burst_pkts(lost, n, &bursts);
        CHECK_EQ(runs.burst_pkts, pkts);
        CHECK_EQ(runs.bursts, bursts);
        CHECK_EQ(runs.burst_lost + runs.gap_lost, runs.lost);
        CHECK_EQ(runs.burst_pkts + runs.gap_pkts, n);
    }
}

TEST_MAIN(cmocka_unit_test(periods_and_distances_are_those_of_rfc_3357),
          cmocka_unit_test(bursts_end_with_sixteen_received_in_a_row),
          cmocka_unit_test(bursts_are_those_of_the_definition))
