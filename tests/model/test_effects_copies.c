/* Copies of packets, and what they and all others draw. */
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/prng.h"
#include "tests/lib/engine_run.h"
#include "tests/lib/frames.h"
#include "tests/lib/statistics.h"
#include "tests/lib/test.h"

static struct run run;

TEST(a_share_of_packets_comes_with_copies)
{
    struct nsp_memory *memory = run_memory();
    uint32_t doubled = 0;

    push_udp(memory, 1000, 100, 53, 0, 0, 0, NSP_INBOUND);
    run_rule(memory,
             (struct nsp_rule){
                 .effects.duplicate = { .ppm = 250000, .copies = 2 } },
             &run);
    for (uint32_t i = 0; i < run.count;
         i += i + 1 < run.count && run.tags[i + 1] == run.tags[i] ? 3 : 1) {
        uint8_t was[100];

        frame_udp(was, 100, 53, run.tags[i]);
        CHECK(!run.out[i].injected);
        if (i + 1 < run.count && run.tags[i + 1] == run.tags[i]) {
            doubled++;
            CHECK_EQ(run.tags[i + 2], run.tags[i]);
            CHECK_MEM_EQ(run.bytes[i + 1], was, 100);
            CHECK_MEM_EQ(run.bytes[i + 2], was, 100);
            CHECK_EQ(run.out[i + 2].direction, NSP_INBOUND);
        }
    }
    CHECK(is_binomial(doubled, 1000, 0.25));
    CHECK_EQ(run.stats.duplicated_pkts, 2 * doubled);
    CHECK_EQ(run.count, 1000 + 2 * doubled);
    CHECK_EQ(run.stats.in_pkts, 1000);
    CHECK_EQ(run.stats.injected_pkts, 0);
}

/* Serialised one by one behind the packet, 1 ms each, 5 ms apart. */
TEST(copies_go_through_the_queue_at_their_spacing)
{
    static const uint64_t left_ms[] = { 1, 6, 11, 16 };
    struct nsp_memory *memory = run_memory();

    push_udp(memory, 1, 1000, 53, 7, 0, 0, NSP_INBOUND);
    run_rule(memory,
             (struct nsp_rule){ .link.rate_bitps = 8000000,
                                .effects.duplicate = { .ppm = NSP_PPM_ONE,
                                                       .copies = 3,
                                                       .spacing_ns = 5 * MS } },
             &run);
    CHECK_EQ(run.count, 4);
    for (uint32_t i = 0; i < run.count; i++) {
        CHECK_EQ(run.tags[i], 7);
        CHECK_EQ(run.out[i].at_ns, left_ms[i] * MS);
    }
}

/* Both rules duplicate: 1 packet, 2 copies by the first, 1 by the second of the
 * packet alone; then every second one is lost, in the order in which they come:
 * packet, the first rule's copies, the second's. */
TEST(copies_meet_the_rules_after_theirs_and_are_not_copied_again)
{
    static const struct nsp_rule rules[] = {
        { .go_on = true,
          .effects.duplicate = { .ppm = NSP_PPM_ONE, .copies = 2 } },
        { .go_on = true,
          .effects = { .duplicate = { .ppm = NSP_PPM_ONE, .copies = 1 },
                       .ack_delay.delay_ns = 1 } },
        { .effects.loss = { .kind = NSP_LOSS_EVERY, .every_pkts = 2 } },
    };
    struct nsp_memory *memory = run_memory();

    push_udp(memory, 1, 100, 53, 0, 0, 0, NSP_INBOUND);
    run_all(memory,
            (struct nsp_engine_config){
                .policy = { .rules = rules, .rule_count = 3 } },
            "true", &run);
    CHECK_EQ(run.stats.duplicated_pkts, 3);
    CHECK_EQ(run.stats.dropped_pkts[NSP_DROP_LOSS], 2);
    CHECK_EQ(run.count, 2);
}

TEST(a_packet_that_is_lost_has_no_copies_and_damage_hits_each_by_itself)
{
    struct nsp_memory *memory = run_memory();
    uint32_t damaged = 0;

    push_udp(memory, 1000, 100, 53, 0, 0, 0, NSP_INBOUND);
    run_rule(
        memory,
        (struct nsp_rule){
            .effects = { .loss = { .kind = NSP_LOSS_EVERY, .every_pkts = 2 },
                         .duplicate = { .ppm = NSP_PPM_ONE, .copies = 1 },
                         .tamper = { .ppm = 500000, .flip_bits = 1 } } },
        &run);
    CHECK_EQ(run.stats.duplicated_pkts, 500);
    CHECK_EQ(run.count, 1000);
    for (uint32_t i = 0; i < run.count; i += 2) {
        damaged += memcmp(run.bytes[i], run.bytes[i + 1], 100) != 0;
    }
    /* Both with probability 1/4, at almost never the same bit. */
    CHECK(is_binomial(damaged, 500, 0.75 - 0.25 / 576));
}

/* 16 packets ask for 64 copies each while there is room for 256. */
TEST(copies_without_room_are_dropped_and_counted)
{
    const struct nsp_rule rule = {
        .effects = { .delay.mean_ns = MS,
                     .duplicate = { .ppm = NSP_PPM_ONE, .copies = 64 } }
    };
    struct nsp_memory *memory = run_memory();

    push_udp(memory, 16, 100, 53, 0, 0, 0, NSP_INBOUND);
    push_udp(memory, 1, 100, 53, 16, 10 * MS, 0, NSP_INBOUND);
    run_all(memory,
            (struct nsp_engine_config){
                .policy = { .rules = &rule, .rule_count = 1 },
                .max_held_pkts = 1024 },
            "true", &run);
    CHECK_EQ(run.stats.duplicated_pkts, 17 * 64);
    CHECK_EQ(run.stats.dropped_pkts[NSP_DROP_NO_BUFFER], 1024 - 256);
    CHECK_EQ(run.count, 16 + 256 + 65);
}

/* --- Seeds ---------------------------------------------------------------- */

#define FLOWS 40
#define EACH  50

/* What became of all packets, whatever the order in which queues were served.
 */
static uint64_t
sum_of_fates(uint32_t workers, const struct nsp_policy_spec *policy,
             uint64_t seed)
{
    const struct nsp_memory_config mem = { .queues = workers,
                                           .virtual_time = true };
    struct nsp_engine_config cfg = {
        .backend = "memory", .workers = workers, .policy = *policy, .seed = seed
    };
    struct nsp_memory_frame frame;
    struct nsp_engine *engine;
    uint64_t sum = 0;

    CHECK_EQ(nsp_memory_create(&mem, &cfg.memory), NSP_OK);
    for (uint32_t i = 0; i < FLOWS * EACH; i++) {
        uint16_t port = (uint16_t)(1000 + i % FLOWS);
        uint8_t data[100];

        frame = (struct nsp_memory_frame){
            .data = data,
            .bytes = frame_udp(data, 100, port, i),
            .at_ns = MS + i * 1000,
        };
        CHECK_EQ(
            nsp_memory_push_burst(cfg.memory, i % FLOWS % workers, &frame, 1),
            1);
    }
    CHECK_EQ(nsp_engine_create(&cfg, &engine, NULL), NSP_OK);
    CHECK_EQ(nsp_engine_start(engine, "true", NULL), NSP_OK);
    CHECK_EQ(nsp_engine_run(engine), NSP_OK);
    nsp_engine_destroy(engine);
    for (uint32_t q = 0; q < workers; q++) {
        while (nsp_memory_pop_burst(cfg.memory, q, &frame, 1) > 0) {
            uint64_t hash = nsp_mix64(frame.at_ns);

            if (nsp_load_be16(frame.data + 22) == 1003)
                continue; /* What the tests below change. */
            for (uint32_t i = 0; i < frame.bytes; i++)
                hash = nsp_mix64(hash ^ frame.data[i]);
            sum += hash;
        }
    }
    nsp_memory_destroy(cfg.memory);
    return sum;
}

#define RANDOM_EFFECTS                                                         \
    {                                                                          \
        .loss.chance.ppm = 100000,                                             \
        .duplicate = { .ppm = 200000, .copies = 2 },                           \
        .tamper = { .ppm = 300000, .flip_bits = 2 },                           \
        .delay = { .kind = NSP_DELAY_NORMAL,                                   \
                   .mean_ns = 20 * MS,                                         \
                   .spread_ns = 5 * MS },                                      \
        .reorder = {                                                           \
            .ppm = 100000,                                                     \
            .late_ns = 30 * MS                                                 \
        }                                                                      \
    }

TEST(what_packets_meet_does_not_depend_on_the_number_of_workers)
{
    static const struct nsp_rule rule = { .name = "all",
                                          .effects = RANDOM_EFFECTS };
    static const struct nsp_policy_spec policy = { .rules = &rule,
                                                   .rule_count = 1 };
    uint64_t sum = sum_of_fates(1, &policy, 7);

    for (uint32_t round = 0; round < 20; round++) {
        CHECK_EQ(sum_of_fates(1, &policy, 7), sum);
        CHECK_EQ(sum_of_fates(2, &policy, 7), sum);
        CHECK_EQ(sum_of_fates(4, &policy, 7), sum);
    }
    CHECK(sum_of_fates(1, &policy, 8) != sum);
}

/* Rules for other flows, ahead, behind and going on, and of other names. */
TEST(what_packets_meet_does_not_depend_on_other_rules)
{
    static const struct nsp_rule rules[] = {
        { .name = "one",
          .match = "udp.DstPort == 1003",
          .go_on = true,
          .effects = RANDOM_EFFECTS },
        { .name = "all", .effects = RANDOM_EFFECTS },
        { .name = "never", .effects = RANDOM_EFFECTS },
    };
    const struct nsp_policy_spec alone = { .rules = &rules[1],
                                           .rule_count = 1 };
    const struct nsp_policy_spec among = { .rules = rules, .rule_count = 3 };
    struct nsp_rule renamed = rules[1];
    const struct nsp_policy_spec other = { .rules = &renamed, .rule_count = 1 };
    uint64_t sum = sum_of_fates(1, &alone, 7);

    CHECK_EQ(sum_of_fates(1, &among, 7), sum);
    renamed.name = "other";
    CHECK(sum_of_fates(1, &other, 7) != sum);
}

/* In virtual time; live, chains of each worker's own are as good. */
TEST(effects_that_remember_are_refused_for_several_workers)
{
    static const struct nsp_effects rows[] = {
        { .loss = { .kind = NSP_LOSS_BURSTS, .bursts = { 10000, 3000 } } },
        { .delay = { .kind = NSP_DELAY_UNIFORM,
                     .mean_ns = MS,
                     .spread_ns = MS,
                     .keep_order = true } },
        { .throttle = { .pkts = 1, .per_ns = MS, .burst_pkts = 1 } },
        { .windows = { .min_ns = MS, .max_ns = MS } },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        const struct nsp_memory_config mem = { .queues = 2,
                                               .virtual_time = true };
        const struct nsp_rule rule = { .name = "x", .effects = rows[i] };
        struct nsp_engine_config cfg = { .backend = "memory",
                                         .workers = 2,
                                         .policy = { .rules = &rule,
                                                     .rule_count = 1 } };
        struct nsp_engine *engine;
        struct nsp_diag diag;

        CHECK_EQ(nsp_memory_create(&mem, &cfg.memory), NSP_OK);
        CHECK_EQ(nsp_engine_create(&cfg, &engine, &diag),
                 NSP_INVALID_PARAMETER);
        CHECK_STR_EQ(diag.category, "shared-effect");
        nsp_memory_destroy(cfg.memory);
    }
}

TEST_MAIN(
    cmocka_unit_test(a_share_of_packets_comes_with_copies),
    cmocka_unit_test(copies_go_through_the_queue_at_their_spacing),
    cmocka_unit_test(
        copies_meet_the_rules_after_theirs_and_are_not_copied_again),
    cmocka_unit_test(
        a_packet_that_is_lost_has_no_copies_and_damage_hits_each_by_itself),
    cmocka_unit_test(copies_without_room_are_dropped_and_counted),
    cmocka_unit_test(
        what_packets_meet_does_not_depend_on_the_number_of_workers),
    cmocka_unit_test(what_packets_meet_does_not_depend_on_other_rules),
    cmocka_unit_test(effects_that_remember_are_refused_for_several_workers))
