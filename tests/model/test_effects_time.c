/* Effects that make packets wait or overtake, in virtual time. */
#include "tests/lib/engine_run.h"
#include "tests/lib/frames.h"
#include "tests/lib/statistics.h"
#include "tests/lib/test.h"

#define TCP_ACK 0x10

static struct run run;

TEST(windows_let_packets_go_together)
{
    struct nsp_memory *memory = run_memory();

    push_udp(memory, 25, 100, 53, 0, 5 * MS, MS, NSP_INBOUND);
    run_rule(memory,
             (struct nsp_rule){
                 .effects.windows = { .min_ns = 10 * MS, .max_ns = 10 * MS } },
             &run);
    CHECK_EQ(run.count, 25);
    for (uint32_t i = 0; i < run.count; i++) {
        CHECK_EQ(run.tags[i], i);
        CHECK_EQ(run.out[i].at_ns,
                 5 * MS + (i == 0 ? 10 : (i + 9) / 10 * 10) * MS);
    }
}

/* Behind the serialiser, in front of the delay line. */
TEST(windows_have_room_for_so_many_and_lie_between_queue_and_delay)
{
    struct nsp_memory *memory = run_memory();

    push_udp(memory, 8, 1000, 53, 0, 0, 0, NSP_INBOUND);
    run_rule(memory,
             (struct nsp_rule){ .link.rate_bitps = 8000000,
                                .effects = { .windows = { .min_ns = 4 * MS,
                                                          .max_ns = 4 * MS,
                                                          .limit_pkts = 3 },
                                             .delay.mean_ns = 100 * MS } },
             &run);
    CHECK_EQ(run.count, 8);
    for (uint32_t i = 0; i < run.count; i++) {
        static const uint64_t windows_ms[] = { 4, 4, 4, 8, 8, 8, 12, 12 };

        CHECK_EQ(run.tags[i], i);
        CHECK_EQ(run.out[i].at_ns, windows_ms[i] * MS + 100 * MS);
    }
}

TEST(each_direction_has_windows_of_its_own)
{
    struct nsp_memory *memory = run_memory();

    push_udp(memory, 2, 100, 53, 0, 0, 0, NSP_INBOUND);
    push_udp(memory, 2, 100, 53, 2, 0, 0, NSP_OUTBOUND);
    run_rule(memory,
             (struct nsp_rule){ .effects.windows = { .min_ns = MS,
                                                     .max_ns = MS,
                                                     .limit_pkts = 2 } },
             &run);
    CHECK_EQ(run.count, 4);
    for (uint32_t i = 0; i < run.count; i++)
        CHECK_EQ(run.out[i].at_ns, MS);
}

/* A pure ACK, a segment with data, a datagram. */
TEST(acknowledgements_are_delayed_all_or_pure_ones)
{
    static const uint64_t expected_ms[2][3] = { { 50, 0, 0 }, { 50, 50, 0 } };

    for (int all = 0; all <= 1; all++) {
        struct nsp_memory *memory = run_memory();
        uint8_t data[3][100];
        const struct nsp_memory_frame frames[] = {
            { .data = data[0],
              .bytes = frame_tcp(data[0], 40, 80, TCP_ACK, 0) },
            { .data = data[1],
              .bytes = frame_tcp(data[1], 100, 80, TCP_ACK, 1) },
            { .data = data[2], .bytes = frame_udp(data[2], 100, 80, 2) },
        };

        CHECK_EQ(nsp_memory_push_burst(memory, 0, frames, 3), 3);
        run_rule(memory,
                 (struct nsp_rule){
                     .effects.ack_delay = { .delay_ns = 50 * MS, .all = all } },
                 &run);
        CHECK_EQ(run.count, 3);
        for (uint32_t i = 0; i < run.count; i++) {
            uint32_t tag = run.tags[i];

            CHECK_EQ(run.out[i].at_ns, expected_ms[all][tag] * MS);
        }
    }
}

/* After two delayed packets, the third goes at once. */
TEST(packets_overtake_after_a_gap)
{
    static const uint32_t expected[] = { 2, 5, 8, 0, 1, 3, 4, 6, 7 };
    struct nsp_memory *memory = run_memory();

    push_udp(memory, 9, 100, 53, 0, 0, MS, NSP_INBOUND);
    run_rule(
        memory,
        (struct nsp_rule){
            .effects = { .delay = { .mean_ns = 20 * MS, .keep_order = true },
                         .reorder = { .ppm = NSP_PPM_ONE, .gap = 3 } } },
        &run);
    CHECK_EQ(run.count, 9);
    for (uint32_t i = 0; i < run.count; i++) {
        CHECK_EQ(run.tags[i], expected[i]);
        CHECK_EQ(run.out[i].at_ns,
                 expected[i] * MS + (expected[i] % 3 == 2 ? 0 : 20 * MS));
    }
}

TEST(late_packets_are_late_by_any_time_up_to_the_greatest)
{
    enum { N = 4000 };
    static double late[N];
    struct nsp_memory *memory = run_memory();
    uint32_t count = 0;

    push_udp(memory, N, 100, 53, 0, 0, 100 * MS, NSP_INBOUND);
    run_rule(memory,
             (struct nsp_rule){
                 .effects.reorder = { .ppm = 250000, .late_ns = 50 * MS } },
             &run);
    CHECK_EQ(run.count, N);
    for (uint32_t i = 0; i < N; i++) {
        uint64_t by_ns = run.out[i].at_ns - run.tags[i] * 100 * MS;

        CHECK(by_ns <= 50 * MS);
        if (by_ns > 0)
            late[count++] = (double)by_ns / 50e6;
    }
    CHECK(is_binomial(count, N, 0.25));
    /* A uniform mean, whose deviation is 0.289 / sqrt(n). */
    CHECK(is_near(mean_of(late, count), 0.5, 3.29 * 0.289 / sqrt(count)));
}

TEST(a_share_of_packets_is_spared_the_delay)
{
    struct nsp_memory *memory = run_memory();
    uint32_t spared = 0;

    push_udp(memory, 4000, 100, 53, 0, 0, 0, NSP_INBOUND);
    run_rule(memory,
             (struct nsp_rule){
                 .effects.delay = { .mean_ns = MS, .spared_ppm = 200000 } },
             &run);
    CHECK_EQ(run.count, 4000);
    for (uint32_t i = 0; i < run.count; i++) {
        CHECK(run.out[i].at_ns == 0 || run.out[i].at_ns == MS);
        spared += run.out[i].at_ns == 0;
    }
    CHECK(is_binomial(spared, 4000, 0.2));
}

/* Throttled, then through the other rule's link, then both delays. */
TEST(what_several_rules_do_adds_up_in_their_order)
{
    static const struct nsp_rule rules[] = {
        { .go_on = true,
          .effects = { .throttle = { .pkts = 1,
                                     .per_ns = 2 * MS,
                                     .burst_pkts = 1,
                                     .queue_pkts = 9 },
                       .delay.mean_ns = 10 * MS } },
        { .link.rate_bitps = 8000000, .effects.delay.mean_ns = 100 * MS },
    };
    struct nsp_memory *memory = run_memory();

    push_udp(memory, 5, 1000, 53, 0, 0, 0, NSP_INBOUND);
    run_all(memory,
            (struct nsp_engine_config){
                .policy = { .rules = rules, .rule_count = 2 } },
            "true", &run);
    CHECK_EQ(run.count, 5);
    for (uint32_t i = 0; i < run.count; i++)
        CHECK_EQ(run.out[i].at_ns, (i * 2 + 10 + 1 + 100) * MS);
}

/* Bursts of five; a link takes 1 ms for each packet. Some times between packets
 * are longer when they come than when they reach the delay. */
TEST(a_delay_that_keeps_order_keeps_that_of_the_queue_before_it)
{
    static const struct nsp_rule rules[] = {
        { .go_on = true, .link.rate_bitps = 8000000 },
        { .effects.delay = { .kind = NSP_DELAY_UNIFORM,
                             .mean_ns = 10 * MS,
                             .spread_ns = 10 * MS,
                             .keep_order = true } },
    };
    struct nsp_memory *memory = run_memory();

    for (uint32_t burst = 0; burst < 40; burst++)
        push_udp(memory, 5, 1000, 53, 5 * burst, 6 * burst * MS, 0,
                 NSP_INBOUND);
    run_all(memory,
            (struct nsp_engine_config){
                .policy = { .rules = rules, .rule_count = 2 } },
            "true", &run);
    CHECK_EQ(run.count, 200);
    for (uint32_t i = 0; i < run.count; i++)
        CHECK_EQ(run.tags[i], i);
}

TEST_MAIN(
    cmocka_unit_test(windows_let_packets_go_together),
    cmocka_unit_test(
        windows_have_room_for_so_many_and_lie_between_queue_and_delay),
    cmocka_unit_test(each_direction_has_windows_of_its_own),
    cmocka_unit_test(acknowledgements_are_delayed_all_or_pure_ones),
    cmocka_unit_test(packets_overtake_after_a_gap),
    cmocka_unit_test(late_packets_are_late_by_any_time_up_to_the_greatest),
    cmocka_unit_test(a_share_of_packets_is_spared_the_delay),
    cmocka_unit_test(what_several_rules_do_adds_up_in_their_order),
    cmocka_unit_test(
        a_delay_that_keeps_order_keeps_that_of_the_queue_before_it))
