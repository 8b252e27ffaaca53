/* Effects that decide whether a packet goes on, in virtual time. */
#include "tests/lib/engine_run.h"
#include "tests/lib/frames.h"
#include "tests/lib/statistics.h"
#include "tests/lib/test.h"

#define TCP_SYN 0x02
#define TCP_ACK 0x10

static struct run run;

static void
push_tcp(struct nsp_memory *memory, uint8_t flags, uint32_t tag, uint64_t at_ns)
{
    uint8_t data[1500];
    const struct nsp_memory_frame frame = {
        .data = data,
        .bytes = frame_tcp(data, 60, 80, flags, tag),
        .at_ns = at_ns,
        .direction = NSP_INBOUND,
    };

    CHECK_EQ(nsp_memory_push_burst(memory, 0, &frame, 1), 1);
}

/* Tags of what came out, one digit each. */
static void
check_tags(const char *expected)
{
    char tags[64] = "";

    CHECK(run.count < sizeof tags);
    for (uint32_t i = 0; i < run.count; i++)
        tags[i] = (char)('0' + run.tags[i]);
    CHECK_STR_EQ(tags, expected);
}

TEST(only_syns_are_lost_to_syn_loss)
{
    struct nsp_memory *memory = run_memory();

    push_tcp(memory, TCP_SYN, 0, 0);
    push_tcp(memory, TCP_SYN | TCP_ACK, 1, 1);
    push_tcp(memory, TCP_ACK, 2, 2);
    push_tcp(memory, TCP_SYN, 3, 3);
    push_tcp(memory, TCP_SYN, 4, 4);
    push_udp(memory, 1, 60, 80, 5, 5, 0, NSP_INBOUND);
    run_rule(memory,
             (struct nsp_rule){ .effects.syn_loss = { .kind = NSP_LOSS_FIRST,
                                                      .first_pkts = 2 } },
             &run);
    check_tags("1245");
    CHECK_EQ(run.stats.dropped_pkts[NSP_DROP_SYN_LOSS], 2);
}

/* Every second packet would be lost; those with ECT bear CE instead. */
TEST(loss_marks_packets_that_understand_and_loses_the_rest)
{
    static const struct nsp_rule rules[] = {
        { .match = "udp.DstPort == 81",
          .go_on = true,
          .edits = { .which = NSP_EDIT_DSCP, .dscp = 3 } },
        { .effects.loss = { .kind = NSP_LOSS_EVERY,
                            .every_pkts = 2,
                            .mark_ce = true } },
    };
    struct nsp_memory *memory = run_memory();
    uint8_t data[100];

    for (uint32_t i = 0; i < 8; i++) {
        struct nsp_pkt pkt = { .data = data };
        const struct nsp_memory_frame frame = {
            .data = data,
            .bytes = frame_udp(data, 100, 81, i),
            .at_ns = i,
        };

        pkt.cap_bytes = pkt.wire_bytes = 100;
        nsp_pkt_parse(&pkt);
        CHECK_EQ(nsp_pkt_set_ecn(&pkt, (uint8_t)(i / 2)), 0);
        CHECK_EQ(nsp_memory_push_burst(memory, 0, &frame, 1), 1);
    }
    run_all(memory,
            (struct nsp_engine_config){
                .policy = { .rules = rules, .rule_count = 2 } },
            "true", &run);
    check_tags("0234567");
    for (uint32_t i = 0; i < run.count; i++) {
        uint32_t tag = run.tags[i];

        CHECK_EQ(run.bytes[i][1] >> 2, 3);
        CHECK_EQ(run.bytes[i][1] & 3, tag % 2 == 1 ? 3 : tag / 2);
    }
    CHECK_EQ(run.stats.dropped_pkts[NSP_DROP_LOSS], 1);
}

/* Up 10 ms, down 5 ms, from the first packet on. */
TEST(a_link_that_is_down_drops_or_holds)
{
    static const uint64_t times_ns[] = { 10 * MS, 5 * MS };

    for (int hold = 0; hold <= 1; hold++) {
        struct nsp_memory *memory = run_memory();

        push_udp(memory, 30, 100, 53, 0, 7 * MS, MS, NSP_INBOUND);
        run_rule(memory,
                 (struct nsp_rule){ .effects.flap = { .hold = hold,
                                                      .count = 2,
                                                      .times_ns = times_ns } },
                 &run);
        CHECK_EQ(run.count, hold ? 30 : 20);
        CHECK_EQ(run.stats.dropped_pkts[NSP_DROP_LINK_DOWN], hold ? 0 : 10);
        for (uint32_t i = 0; i < run.count; i++) {
            uint32_t tag = hold ? i : i / 10 * 15 + i % 10;
            uint64_t due = tag % 15 < 10 ? tag : tag / 15 * 15 + 15;

            CHECK_EQ(run.tags[i], tag);
            CHECK_EQ(run.out[i].at_ns, 7 * MS + due * MS);
        }
    }
}

/* What waits for the link fills the queue only when the link is up. */
TEST(what_waits_for_a_link_enters_its_queue_when_it_is_up)
{
    static const uint64_t times_ns[] = { MS, 9 * MS };
    struct nsp_memory *memory = run_memory();

    push_udp(memory, 1, 1000, 53, 0, 0, 0, NSP_INBOUND);
    push_udp(memory, 5, 1000, 53, 1, 2 * MS, 0, NSP_INBOUND);
    run_rule(memory,
             (struct nsp_rule){ .link = { .rate_bitps = 8000000,
                                          .queue_unit = NSP_QUEUE_PKTS,
                                          .queue_limit = 2 },
                                .effects.flap = { .hold = true,
                                                  .count = 2,
                                                  .times_ns = times_ns } },
             &run);
    check_tags("0123");
    CHECK_EQ(run.stats.dropped_pkts[NSP_DROP_QUEUE_FULL], 2);
    for (uint32_t i = 1; i < run.count; i++)
        CHECK_EQ(run.out[i].at_ns, 10 * MS + i * MS);
}

TEST(a_cut_off_comes_after_bytes_or_time_and_may_end)
{
    static const struct {
        struct nsp_cutoff_config cutoff;
        const char *tags;
        uint64_t last_ns;
    } rows[] = {
        { { .after_bytes = 250, .stall_ns = NSP_TIME_NEVER }, "012", 2 * MS },
        { { .after_ns = 4 * MS, .stall_ns = 3 * MS }, "0123789", 9 * MS },
        { { .after_bytes = 200, .stall_ns = 20 * MS, .hold = true },
          "0123456789",
          22 * MS },
        { { .after_bytes = 1,
            .stall_ns = NSP_TIME_NEVER,
            .spared_ppm = NSP_PPM_ONE },
          "0123456789",
          9 * MS },
    };

    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        struct nsp_memory *memory = run_memory();

        push_udp(memory, 10, 100, 53, 0, 0, MS, NSP_INBOUND);
        run_rule(memory, (struct nsp_rule){ .effects.cutoff = rows[r].cutoff },
                 &run);
        check_tags(rows[r].tags);
        CHECK_EQ(run.out[run.count - 1].at_ns, rows[r].last_ns);
        CHECK_EQ(run.stats.dropped_pkts[NSP_DROP_CUT_OFF], 10 - run.count);
    }
}

/* Three in 10 ms, and no more at once. */
TEST(a_throttle_drops_or_delays_what_comes_too_fast)
{
    struct nsp_throttle_config throttle = { .pkts = 1,
                                            .per_ns = 10 * MS,
                                            .burst_pkts = 3 };
    struct nsp_memory *memory = run_memory();

    push_udp(memory, 6, 100, 53, 0, MS, 0, NSP_INBOUND);
    push_udp(memory, 4, 100, 53, 6, MS, 0, NSP_OUTBOUND);
    run_rule(memory, (struct nsp_rule){ .effects.throttle = throttle }, &run);
    check_tags("012678");
    CHECK_EQ(run.stats.dropped_pkts[NSP_DROP_THROTTLE], 4);

    throttle.queue_pkts = 2;
    memory = run_memory();
    push_udp(memory, 6, 100, 53, 0, MS, 0, NSP_INBOUND);
    run_rule(memory, (struct nsp_rule){ .effects.throttle = throttle }, &run);
    check_tags("01234");
    CHECK_EQ(run.out[2].at_ns, MS);
    CHECK_EQ(run.out[3].at_ns, 11 * MS);
    CHECK_EQ(run.out[4].at_ns, 21 * MS);
    CHECK_EQ(run.stats.dropped_pkts[NSP_DROP_THROTTLE], 1);
}

TEST(a_reset_reaches_both_ends_once)
{
    static const struct {
        uint8_t ends;
        bool once;
        const char *tags; /* 0: a RST has no payload. */
        uint32_t injected;
    } rows[] = {
        { NSP_TCP_RESET_BOTH, true, "0023", 2 },
        { NSP_TCP_RESET_BOTH, false, "000000", 6 },
        { NSP_TCP_RESET_SENDER, false, "000", 3 },
        { NSP_TCP_RESET_RECEIVER, false, "000", 3 },
    };

    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        struct nsp_memory *memory = run_memory();
        uint32_t rsts = 0;

        for (uint32_t i = 1; i <= 3; i++)
            push_tcp(memory, TCP_ACK, i, i * MS);
        run_rule(
            memory,
            (struct nsp_rule){ .effects.tcp_reset = { .ppm = NSP_PPM_ONE,
                                                      .ends = rows[r].ends,
                                                      .once = rows[r].once } },
            &run);
        check_tags(rows[r].tags);
        CHECK_EQ(run.stats.injected_pkts, rows[r].injected);
        for (uint32_t i = 0; i < run.count; i++) {
            if (!run.out[i].injected)
                continue;
            rsts++;
            CHECK((run.bytes[i][33] & 0x04) != 0);
            CHECK_EQ(run.out[i].direction,
                     rows[r].ends == NSP_TCP_RESET_RECEIVER ||
                             (rows[r].ends == NSP_TCP_RESET_BOTH && i % 2 == 1)
                         ? NSP_INBOUND
                         : NSP_OUTBOUND);
        }
        CHECK_EQ(rsts, rows[r].injected);
        CHECK_EQ(run.stats.dropped_pkts[NSP_DROP_RESET], rows[r].once ? 1 : 3);
    }
}

TEST(a_reset_overtakes_nothing_of_its_burst)
{
    struct nsp_memory *memory = run_memory();

    push_tcp(memory, TCP_SYN, 1, MS);
    push_tcp(memory, TCP_ACK, 2, MS);
    push_tcp(memory, TCP_ACK, 3, MS);
    run_rule(memory,
             (struct nsp_rule){
                 .match = "tcp.Payload32[0] == 2",
                 .effects.tcp_reset = { .ppm = NSP_PPM_ONE,
                                        .ends = NSP_TCP_RESET_RECEIVER } },
             &run);
    check_tags("103");
    CHECK(run.out[1].injected);
}

/* Shares of 100,000 packets. */
TEST(chances_are_kept_and_spared_packets_pass)
{
    static const uint64_t times_ns[] = { 1, NSP_FLAP_NS_MAX };
    const struct {
        struct nsp_effects effects;
        enum nsp_drop_reason reason;
        double share;
    } rows[] = {
        { { .flap = { .count = 2,
                      .times_ns = times_ns,
                      .spared_ppm = 300000 } },
          NSP_DROP_LINK_DOWN,
          0.7 },
        { { .mtu = { .max_bytes = 68, .spared_ppm = 990000 } },
          NSP_DROP_MTU,
          0.01 },
        { { .throttle = { .pkts = 1,
                          .per_ns = NSP_THROTTLE_NS_MAX,
                          .burst_pkts = 1,
                          .spared_ppm = 500000 } },
          NSP_DROP_THROTTLE,
          0.5 },
    };

    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        const struct nsp_memory_config mem = { .virtual_time = true,
                                               .repeat = 100000 };
        const struct nsp_rule rule = { .effects = rows[r].effects };
        struct nsp_memory *memory;

        CHECK_EQ(nsp_memory_create(&mem, &memory), NSP_OK);
        push_udp(memory, 1, 100, 53, 0, 0, 0, NSP_INBOUND);
        push_udp(memory, 999, 100, 53, 0, 10, 0, NSP_INBOUND);
        run_all(memory,
                (struct nsp_engine_config){
                    .policy = { .rules = &rule, .rule_count = 1 }, .seed = 3 },
                "true", &run);
        CHECK_EQ(run.stats.in_pkts, 100000);
        CHECK(is_binomial(run.stats.dropped_pkts[rows[r].reason], 100000,
                          rows[r].share));
    }
}

TEST_MAIN(
    cmocka_unit_test(only_syns_are_lost_to_syn_loss),
    cmocka_unit_test(loss_marks_packets_that_understand_and_loses_the_rest),
    cmocka_unit_test(a_link_that_is_down_drops_or_holds),
    cmocka_unit_test(what_waits_for_a_link_enters_its_queue_when_it_is_up),
    cmocka_unit_test(a_cut_off_comes_after_bytes_or_time_and_may_end),
    cmocka_unit_test(a_throttle_drops_or_delays_what_comes_too_fast),
    cmocka_unit_test(a_reset_reaches_both_ends_once),
    cmocka_unit_test(a_reset_overtakes_nothing_of_its_burst),
    cmocka_unit_test(chances_are_kept_and_spared_packets_pass))
