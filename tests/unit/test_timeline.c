#include "cli/timeline.h"
#include "tests/lib/test.h"

static struct nsp_timeline timeline;

TEST(timeline_sums_each_packet_where_it_came_and_where_it_left)
{
    nsp_timeline_init(&timeline, 100);
    nsp_timeline_deliver(&timeline, 1, 50, 250, 10);
    nsp_timeline_deliver(&timeline, 2, 99, 110, 20);
    nsp_timeline_lose(&timeline, 3, 120, 40);
    CHECK_EQ(timeline.used, 3);
    CHECK_EQ(timeline.bins[0].in_bytes, 30);
    CHECK_EQ(timeline.bins[0].out_bytes, 0);
    CHECK_EQ(timeline.bins[0].delivered_pkts, 2);
    CHECK_EQ(timeline.bins[0].delay_sum_ns, 211);
    CHECK_EQ(timeline.bins[0].delay_min_ns, 11);
    CHECK_EQ(timeline.bins[0].delay_max_ns, 200);
    CHECK_EQ(timeline.bins[1].in_bytes, 40);
    CHECK_EQ(timeline.bins[1].out_bytes, 20);
    CHECK_EQ(timeline.bins[1].delivered_pkts, 0);
    CHECK_EQ(timeline.bins[2].out_bytes, 10);
    nsp_timeline_fini(&timeline);
}

/* However long it gets, nothing is lost of the sums. */
TEST(timeline_keeps_its_sums_when_bins_grow)
{
    static const uint64_t ends_ns[] = { 1000, 102400, 102401, 10000000,
                                        UINT64_C(1000000000000) };

    nsp_timeline_init(&timeline, 100);
    for (uint64_t i = 0; i < 1000; i++)
        nsp_timeline_deliver(&timeline, i + 1, i, i + i % 7, 3);
    for (size_t e = 0; e < sizeof ends_ns / sizeof ends_ns[0]; e++) {
        uint64_t in = 0, out = 0, pkts = 0, delay_ns = 0, most_ns = 0;

        nsp_timeline_deliver(&timeline, 1001 + e, ends_ns[e], ends_ns[e], 3);
        CHECK(timeline.used <= NSP_TIMELINE_BINS);
        CHECK(timeline.width_ns * timeline.used > ends_ns[e]);
        for (uint32_t i = 0; i < timeline.used; i++) {
            in += timeline.bins[i].in_bytes;
            out += timeline.bins[i].out_bytes;
            pkts += timeline.bins[i].delivered_pkts;
            delay_ns += timeline.bins[i].delay_sum_ns;
            if (timeline.bins[i].delay_max_ns > most_ns)
                most_ns = timeline.bins[i].delay_max_ns;
        }
        CHECK_EQ(in, 3 * (1001 + e));
        CHECK_EQ(out, in);
        CHECK_EQ(pkts, 1001 + e);
        CHECK_EQ(delay_ns, 142 * 21 + 0 + 1 + 2 + 3 + 4 + 5);
        CHECK_EQ(most_ns, 6);
        CHECK_EQ(timeline.bins[0].delay_min_ns, 0);
    }
    nsp_timeline_fini(&timeline);
}

/* Told in any order, as packets leave in any order. */
TEST(timeline_counts_runs_of_losses)
{
    static const uint64_t lost[] = { 9, 1, 7, 2, 8, 65536, 5, 200000, 199999 };
    uint64_t runs[NSP_TIMELINE_RUNS];

    nsp_timeline_init(&timeline, 100);
    nsp_timeline_count_runs(&timeline, runs);
    for (uint32_t i = 0; i < NSP_TIMELINE_RUNS; i++)
        CHECK_EQ(runs[i], 0);
    for (size_t i = 0; i < sizeof lost / sizeof lost[0]; i++)
        nsp_timeline_lose(&timeline, lost[i], 0, 1);
    for (uint64_t i = 1000; i < 1030; i++)
        nsp_timeline_lose(&timeline, i, 0, 1);
    nsp_timeline_deliver(&timeline, 3, 0, 0, 1);
    nsp_timeline_count_runs(&timeline, runs);
    CHECK(!timeline.no_memory);
    CHECK_EQ(runs[0], 2);                     /* 5, 65536 */
    CHECK_EQ(runs[1], 2);                     /* 1..2, 199999..200000 */
    CHECK_EQ(runs[2], 1);                     /* 7..9 */
    CHECK_EQ(runs[NSP_TIMELINE_RUNS - 1], 1); /* 1000..1029 */
    nsp_timeline_fini(&timeline);
}

TEST_MAIN(
    cmocka_unit_test(timeline_sums_each_packet_where_it_came_and_where_it_left),
    cmocka_unit_test(timeline_keeps_its_sums_when_bins_grow),
    cmocka_unit_test(timeline_counts_runs_of_losses))
