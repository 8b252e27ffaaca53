/* The whole engine in virtual time: what goes in at one instant must come out
 * at another, to the nanosecond, or be counted as dropped. */
#include <string.h>

#include "tests/lib/engine_run.h"
#include "tests/lib/frames.h"
#include "tests/lib/test.h"

static struct run run;

TEST(packets_that_no_rule_wants_pass_at_once_and_in_order)
{
    struct nsp_memory *memory = run_memory();

    push_udp(memory, 100, 100, 53, 0, 5 * MS, 1000, NSP_INBOUND);
    run_all(memory, (struct nsp_engine_config){ 0 }, "tcp", &run);
    CHECK_EQ(run.count, 100);
    CHECK_EQ(run.stats.matched_pkts, 0);
    CHECK_EQ(run.stats.delivered_bytes, 100 * 100);
    for (uint32_t i = 0; i < run.count; i++) {
        CHECK_EQ(run.tags[i], i);
        CHECK_EQ(run.out[i].at_ns, 5 * MS + i * 1000);
    }
}

TEST(fixed_delay_is_exact_and_keeps_order)
{
    struct nsp_memory *memory = run_memory();

    push_udp(memory, 200, 100, 53, 0, MS, 7, NSP_INBOUND);
    run_rule(memory, (struct nsp_rule){ .effects.delay.mean_ns = 40 * MS + 3 },
             &run);
    CHECK_EQ(run.count, 200);
    for (uint32_t i = 0; i < run.count; i++) {
        CHECK_EQ(run.tags[i], i);
        CHECK_EQ(run.out[i].at_ns, MS + i * 7 + 40 * MS + 3);
    }
}

/* 8 Mbit/s is 1000 bytes per ms. */
TEST(rate_spaces_packets_by_their_serialisation_time)
{
    struct nsp_memory *memory = run_memory();

    push_udp(memory, 10, 1000, 53, 0, 2 * MS, 0, NSP_INBOUND);
    run_rule(memory,
             (struct nsp_rule){ .link.rate_bitps = 8000000,
                                .link.queue_unit = NSP_QUEUE_PKTS,
                                .link.queue_limit = 100 },
             &run);
    CHECK_EQ(run.count, 10);
    for (uint32_t i = 0; i < run.count; i++)
        CHECK_EQ(run.out[i].at_ns, 2 * MS + (i + 1) * MS);
}

TEST(delay_follows_the_serialiser)
{
    struct nsp_memory *memory = run_memory();

    push_udp(memory, 5, 1000, 53, 0, 0, 0, NSP_INBOUND);
    run_rule(memory,
             (struct nsp_rule){ .link.rate_bitps = 8000000,
                                .effects.delay.mean_ns = 10 * MS },
             &run);
    CHECK_EQ(run.count, 5);
    for (uint32_t i = 0; i < run.count; i++)
        CHECK_EQ(run.out[i].at_ns, (i + 1) * MS + 10 * MS);
}

TEST(overhead_is_charged)
{
    struct nsp_memory *memory = run_memory();

    push_udp(memory, 4, 962, 53, 0, 0, 0, NSP_INBOUND);
    run_rule(memory,
             (struct nsp_rule){ .link.rate_bitps = 8000000,
                                .link.overhead_bytes = 38 },
             &run);
    for (uint32_t i = 0; i < run.count; i++)
        CHECK_EQ(run.out[i].at_ns, (i + 1) * MS);
}

TEST(full_queue_drops_the_tail_or_the_head)
{
    static const struct {
        uint8_t drop;
        uint32_t expected[4]; /* One in service, three waiting. */
    } rows[] = {
        { NSP_QUEUE_DROP_TAIL, { 0, 1, 2, 3 } },
        { NSP_QUEUE_DROP_HEAD, { 0, 7, 8, 9 } },
    };

    for (size_t r = 0; r < 2; r++) {
        struct nsp_memory *memory = run_memory();

        push_udp(memory, 10, 1000, 53, 0, 0, 0, NSP_INBOUND);
        run_rule(memory,
                 (struct nsp_rule){ .link.rate_bitps = 8000000,
                                    .link.queue_unit = NSP_QUEUE_PKTS,
                                    .link.queue_limit = 3,
                                    .link.queue_drop = rows[r].drop },
                 &run);
        CHECK_EQ(run.count, 4);
        CHECK_EQ(run.stats.dropped_pkts[NSP_DROP_QUEUE_FULL], 6);
        for (uint32_t i = 0; i < 4; i++)
            CHECK_EQ(run.tags[i], rows[r].expected[i]);
    }
}

TEST(each_direction_has_its_own_queue)
{
    struct nsp_memory *memory = run_memory();

    push_udp(memory, 1, 1000, 53, 0, 0, 0, NSP_INBOUND);
    push_udp(memory, 1, 1000, 53, 1, 0, 0, NSP_OUTBOUND);
    push_udp(memory, 1, 1000, 53, 2, 0, 0, NSP_INBOUND);
    run_rule(memory, (struct nsp_rule){ .link.rate_bitps = 8000000 }, &run);
    CHECK_EQ(run.count, 3);
    CHECK_EQ(run.out[0].at_ns, MS);
    CHECK_EQ(run.out[1].at_ns, MS);
    CHECK_EQ(run.tags[2], 2);
    CHECK_EQ(run.out[2].at_ns, 2 * MS);
}

TEST(a_rule_applies_to_its_direction_only)
{
    struct nsp_memory *memory = run_memory();

    push_udp(memory, 1, 100, 53, 0, 0, 0, NSP_INBOUND);
    push_udp(memory, 1, 100, 53, 1, 0, 0, NSP_OUTBOUND);
    run_rule(memory,
             (struct nsp_rule){ .apply = NSP_APPLY_INBOUND,
                                .action = NSP_ACTION_DROP },
             &run);
    CHECK_EQ(run.count, 1);
    CHECK_EQ(run.tags[0], 1);
    CHECK_EQ(run.stats.dropped_pkts[NSP_DROP_RULE], 1);
}

TEST(the_first_rule_that_matches_decides)
{
    static const struct nsp_rule rules[] = {
        { .name = "dns", .match = "udp.DstPort == 53" },
        { .name = "rest", .match = "udp", .action = NSP_ACTION_DROP },
    };
    struct nsp_memory *memory = run_memory();

    push_udp(memory, 3, 100, 53, 0, 0, 0, NSP_INBOUND);
    push_udp(memory, 4, 100, 54, 3, 0, 0, NSP_INBOUND);
    run_all(memory,
            (struct nsp_engine_config){
                .policy = { .rules = rules, .rule_count = 2 } },
            "true", &run);
    CHECK_EQ(run.count, 3);
    CHECK_EQ(run.stats.dropped_pkts[NSP_DROP_RULE], 4);
}

/* 100,000 trials at 1 %: 99.9 % of all runs lose 897 to 1105. */
TEST(loss_has_its_rate_and_repeats_with_its_seed)
{
    uint64_t lost[3] = { 0 };

    for (uint32_t round = 0; round < 3; round++) {
        const struct nsp_rule rule = { .effects.loss.chance.ppm = 10000 };
        struct nsp_engine_config cfg = { .policy = { .rules = &rule,
                                                     .rule_count = 1 },
                                         .seed = round == 2 ? 2 : 1 };
        const struct nsp_memory_config mem = { .virtual_time = true,
                                               .repeat = 100000 };
        struct nsp_memory *memory;

        CHECK_EQ(nsp_memory_create(&mem, &memory), NSP_OK);
        /* As many as are lost, and some to go round. */
        push_udp(memory, 3000, 100, 53, 0, 0, 0, NSP_INBOUND);
        run_all(memory, cfg, "true", &run);
        lost[round] = run.stats.dropped_pkts[NSP_DROP_LOSS];
        CHECK_EQ(run.stats.in_pkts, 100000);
        assert_in_range(lost[round], 897, 1105);
    }
    CHECK_EQ(lost[0], lost[1]);
    CHECK(lost[0] != lost[2]);
}

TEST(reject_answers_and_drops)
{
    struct nsp_memory *memory = run_memory();
    struct nsp_memory_frame frame = { .direction = NSP_INBOUND };
    uint8_t data[1500];

    frame.data = data;
    frame.bytes = frame_tcp(data, 60, 80, 0x02, 7);
    CHECK_EQ(nsp_memory_push_burst(memory, 0, &frame, 1), 1);
    run_rule(memory, (struct nsp_rule){ .action = NSP_ACTION_REJECT }, &run);
    CHECK_EQ(run.count, 1);
    CHECK(run.out[0].injected);
    CHECK_EQ(run.stats.dropped_pkts[NSP_DROP_REJECT], 1);
    CHECK_EQ(run.stats.injected_pkts, 1);
    CHECK_EQ(run.stats.delivered_pkts, 0);
}

TEST(more_packets_than_the_engine_may_hold_are_refused_and_counted)
{
    struct nsp_memory *memory = run_memory();
    const struct nsp_rule rule = { .effects.delay.mean_ns = 100 * MS };

    push_udp(memory, 100, 100, 53, 0, 0, 0, NSP_INBOUND);
    run_all(memory,
            (struct nsp_engine_config){
                .policy = { .rules = &rule, .rule_count = 1 },
                .max_held_pkts = 64 },
            "true", &run);
    CHECK_EQ(run.count, 64);
    CHECK_EQ(run.stats.dropped_pkts[NSP_DROP_HELD_FULL], 36);
}

/* --- Callback ------------------------------------------------------------ */

/* Tag by tag: 0 passes, 1 drops, 2 is edited, 3 waits 5 ms, 4 passes with a
 * packet injected beside it. */
static void
verdict_by_tag(void *context, struct nsp_burst *burst)
{
    uint32_t *bursts = context;

    (*bursts)++;
    for (uint32_t i = 0; i < burst->count; i++) {
        struct nsp_pkt *pkt = burst->pkts[i];
        uint8_t copy[1500];

        switch (pkt->data[31]) {
        case 1:
            burst->verdicts[i].kind = NSP_VERDICT_DROP;
            break;
        case 2:
            CHECK_EQ(nsp_pkt_set_ttl(pkt, 9), 0);
            break;
        case 3:
            burst->verdicts[i].delay_ns = 5 * MS;
            break;
        case 4:
            memcpy(copy, pkt->data, pkt->cap_bytes);
            CHECK_EQ(nsp_burst_inject(burst, i, copy, pkt->cap_bytes), 0);
            CHECK(nsp_burst_inject(burst, burst->count, copy, 40) < 0);
            break;
        default:
            break;
        }
    }
}

TEST(a_callback_passes_drops_edits_delays_and_injects)
{
    struct nsp_memory *memory = run_memory();
    uint32_t bursts = 0;

    push_udp(memory, 5, 100, 53, 0, MS, 0, NSP_INBOUND);
    push_udp(memory, 1, 100, 54, 1, MS, 0, NSP_INBOUND);
    run_all(memory,
            (struct nsp_engine_config){ .callback = verdict_by_tag,
                                        .callback_context = &bursts },
            "udp.DstPort == 53", &run);
    CHECK_EQ(bursts, 1);
    CHECK_EQ(run.stats.matched_pkts, 5);
    CHECK_EQ(run.stats.dropped_pkts[NSP_DROP_CALLBACK], 1);
    CHECK_EQ(run.stats.modified_pkts, 1);
    CHECK_EQ(run.stats.injected_pkts, 1);
    CHECK_EQ(run.count, 6);
    /* The edited one is right, the held one came last. */
    for (uint32_t i = 0; i < run.count; i++) {
        if (run.tags[i] == 2)
            CHECK_EQ(run.ttls[i], 9);
        if (run.tags[i] == 3)
            CHECK_EQ(run.out[i].at_ns, 6 * MS);
    }
    CHECK_EQ(run.tags[5], 3);
}

/* Packet by packet: cut behind its link header and rejected, cut to nothing and
 * rejected, given no known verdict, said to be longer than it is. */
static void
shorten_in_turn(void *context, struct nsp_burst *burst)
{
    uint32_t *seen = context;

    for (uint32_t i = 0; i < burst->count; i++, (*seen)++) {
        switch (*seen) {
        case 0:
            burst->pkts[i]->cap_bytes = 20;
            burst->verdicts[i].kind = NSP_VERDICT_REJECT;
            break;
        case 1:
            burst->pkts[i]->cap_bytes = 0;
            burst->verdicts[i].kind = NSP_VERDICT_REJECT;
            break;
        case 2:
            burst->verdicts[i].kind = 77;
            break;
        default:
            burst->pkts[i]->cap_bytes = 4000;
            break;
        }
    }
}

TEST(a_callback_that_shortens_packets_cannot_make_the_engine_read_past_them)
{
    enum { ETHERNET = 14, HELD = 64, SAID = 1500 };
    const struct nsp_memory_config mem = {
        .virtual_time = true,
        .frames = 4,
        .frame_bytes = HELD,
        .link = NSP_LINK_ETHERNET,
    };
    uint8_t data[ETHERNET + SAID] = { [12] = 0x08, [13] = 0x00 };
    const struct nsp_memory_frame frame = {
        .data = data,
        .bytes = HELD,
        .wire_bytes = sizeof data,
        .direction = NSP_INBOUND,
    };
    struct nsp_memory *memory;
    uint32_t seen = 0;

    frame_udp(data + ETHERNET, SAID, 53, 0);
    CHECK_EQ(nsp_memory_create(&mem, &memory), NSP_OK);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(nsp_memory_push_burst(memory, 0, &frame, 1), 1);
    run_all(memory,
            (struct nsp_engine_config){ .callback = shorten_in_turn,
                                        .callback_context = &seen },
            "true", &run);
    CHECK_EQ(run.stats.in_pkts, 4);
    CHECK_EQ(run.stats.dropped_pkts[NSP_DROP_REJECT], 2);
    CHECK_EQ(run.stats.injected_pkts, 0);
    CHECK_EQ(run.stats.dropped_pkts[NSP_DROP_CALLBACK], 1);
    CHECK_EQ(run.stats.delivered_pkts, 1);
    CHECK_EQ(run.stats.delivered_bytes, SAID);
}

TEST_MAIN(
    cmocka_unit_test(packets_that_no_rule_wants_pass_at_once_and_in_order),
    cmocka_unit_test(fixed_delay_is_exact_and_keeps_order),
    cmocka_unit_test(rate_spaces_packets_by_their_serialisation_time),
    cmocka_unit_test(delay_follows_the_serialiser),
    cmocka_unit_test(overhead_is_charged),
    cmocka_unit_test(full_queue_drops_the_tail_or_the_head),
    cmocka_unit_test(each_direction_has_its_own_queue),
    cmocka_unit_test(a_rule_applies_to_its_direction_only),
    cmocka_unit_test(the_first_rule_that_matches_decides),
    cmocka_unit_test(loss_has_its_rate_and_repeats_with_its_seed),
    cmocka_unit_test(reject_answers_and_drops),
    cmocka_unit_test(
        more_packets_than_the_engine_may_hold_are_refused_and_counted),
    cmocka_unit_test(a_callback_passes_drops_edits_delays_and_injects),
    cmocka_unit_test(
        a_callback_that_shortens_packets_cannot_make_the_engine_read_past_them))
