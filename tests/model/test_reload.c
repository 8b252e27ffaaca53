/* A policy that takes the place of another while packets are held or flow. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/registry.h"
#include "netshaper/engine.h"
#include "tests/lib/frames.h"
#include "tests/lib/policy_engine.h"
#include "tests/lib/test.h"

#define MS UINT64_C(1000000)

/* --- Flows ---------------------------------------------------------------- */

/* So many rules that flows remember what the rules said of them: each port has
 * one, and the policy that comes after it gives every port another action, and
 * another place among the rules. */
#define MANY 300

static void
many_rules(struct nsp_rule rules[MANY], char texts[MANY][32], uint16_t dropped)
{
    for (uint16_t i = 0; i < MANY; i++) {
        struct nsp_rule *rule = &rules[dropped ? MANY - 1 - i : i];

        snprintf(texts[i], 32, "udp.DstPort == %u", 1000u + i);
        *rule = (struct nsp_rule){ .match = texts[i] };
        if (i % 2 == dropped)
            rule->action = NSP_ACTION_DROP;
    }
}

/* Pops what came through of ports that pass, checks that it is all of them. */
static void
expect_ports(struct live *live, unsigned passed, uint32_t per_port)
{
    static uint32_t seen[MANY];
    struct nsp_memory_frame frame;
    uint32_t left = MANY / 2 * per_port;

    memset(seen, 0, sizeof seen);
    while (left > 0)
        if (nsp_memory_pop_burst(live->memory, 0, &frame, 1) > 0) {
            uint16_t port = (uint16_t)(frame.data[22] << 8 | frame.data[23]);

            CHECK_EQ((port - 1000) % 2, passed);
            seen[port - 1000]++;
            left--;
        }
    for (unsigned i = passed; i < MANY; i += 2)
        CHECK_EQ(seen[i], per_port);
}

TEST(flows_forget_what_an_earlier_policy_said_of_them)
{
    static struct nsp_rule rules[2][MANY];
    static char texts[MANY][32];
    const struct nsp_policy_spec policies[] = {
        { .rules = rules[0], .rule_count = MANY },
        { .rules = rules[1], .rule_count = MANY },
    };
    struct live live;

    many_rules(rules[0], texts, 0);
    many_rules(rules[1], texts, 1);
    live_begin(&live, &policies[0]);
    for (unsigned round = 0; round < 6; round++) {
        for (uint16_t i = 0; i < MANY; i++)
            push_udp(live.memory, 4, 100, (uint16_t)(1000 + i), 0, 0, 0,
                     NSP_INBOUND);
        expect_ports(&live, (round + 1) % 2, 4);
        CHECK_EQ(nsp_engine_set_policy(live.engine, &policies[(round + 1) % 2],
                                       NULL),
                 NSP_OK);
    }
    live_end(&live);
}

/* --- Taking another policy -------------------------------------------------
 */

TEST(counters_and_streams_stay_with_the_names)
{
    static const struct nsp_rule before[] = {
        { .name = "a", .match = "udp.DstPort == 1" },
        { .name = "b", .match = "udp.DstPort == 2" },
    };
    static const struct nsp_rule after[] = {
        { .name = "new", .match = "udp.DstPort == 3" },
        { .name = "b", .match = "udp.DstPort == 2" },
    };
    const struct nsp_policy_spec first = { .rules = before, .rule_count = 2 };
    const struct nsp_policy_spec second = { .rules = after, .rule_count = 2 };
    struct nsp_memory *memory = create_memory();
    struct nsp_engine *engine = create_engine(memory, &first);

    CHECK_EQ(nsp_engine_start(engine, "true", NULL), NSP_OK);
    CHECK_EQ(nsp_engine_set_policy(engine, &second, NULL), NSP_OK);
    push_udp(memory, 4, 100, 2, 0, MS, 0, NSP_INBOUND);
    push_udp(memory, 1, 100, 3, 4, MS, 0, NSP_INBOUND);
    CHECK_EQ(nsp_engine_run(engine), NSP_OK);
    CHECK_STR_EQ(read_rule(engine, 0).name, "new");
    CHECK_EQ(read_rule(engine, 0).in_pkts, 1);
    CHECK_STR_EQ(read_rule(engine, 1).name, "b");
    CHECK_EQ(read_rule(engine, 1).in_pkts, 4);
    nsp_engine_destroy(engine);
    nsp_memory_destroy(memory);
}

/* Waits until 'n' packets are queued. */
static void
await_queued(struct live *live, uint64_t n)
{
    struct nsp_stats stats;

    do {
        CHECK_EQ(nsp_engine_read_stats(live->engine, &stats), NSP_OK);
        check_identity(&stats);
    } while (stats.queued_pkts != n);
}

TEST(queues_and_counters_survive_and_packets_of_a_rule_that_goes_stay_held)
{
    /* An hour's delay; 8 bit/s. */
    static const struct nsp_class classes[] = {
        { "slow",
          { .rate_bitps = 8,
            .queue_unit = NSP_QUEUE_PKTS,
            .queue_limit = 100 } },
    };
    static const struct nsp_class faster[] = {
        { "slow",
          { .rate_bitps = 16,
            .queue_unit = NSP_QUEUE_PKTS,
            .queue_limit = 2 } },
    };
    static const struct nsp_rule before[] = {
        { .name = "queue", .match = "udp.DstPort == 1", .class_name = "slow" },
        { .name = "delay",
          .match = "udp.DstPort == 2",
          .effects.delay.mean_ns = NSP_DELAY_NS_MAX },
    };
    static const struct nsp_rule after[] = {
        { .name = "other", .match = "udp.DstPort == 9" },
        { .name = "queue", .match = "udp.DstPort == 1", .class_name = "slow" },
    };
    const struct nsp_policy_spec first = {
        .rules = before, .rule_count = 2, .classes = classes, .class_count = 1
    };
    const struct nsp_policy_spec second = {
        .rules = after, .rule_count = 2, .classes = faster, .class_count = 1
    };
    struct nsp_class_stats class_stats;
    struct live live;

    live_begin(&live, &first);
    push_udp(live.memory, 10, 100, 1, 0, 0, 0, NSP_INBOUND);
    push_udp(live.memory, 10, 100, 2, 10, 0, 0, NSP_INBOUND);
    await_queued(&live, 20);
    CHECK_EQ(nsp_engine_set_policy(live.engine, &second, NULL), NSP_OK);
    await_queued(&live, 20);
    CHECK_EQ(read_rule(live.engine, 1).queued_pkts, 10);
    CHECK_EQ(read_rule(live.engine, 1).in_pkts, 10);
    CHECK_EQ(nsp_engine_read_class_stats(live.engine, 0, &class_stats), NSP_OK);
    CHECK_EQ(class_stats.queued_pkts, 10);

    /* And back: what the rule held is still its own. */
    CHECK_EQ(nsp_engine_set_policy(live.engine, &first, NULL), NSP_OK);
    CHECK_EQ(read_rule(live.engine, 1).queued_pkts, 10);
    CHECK_EQ(read_rule(live.engine, 1).in_pkts, 10);
    live_end(&live);
}

TEST(a_policy_that_does_not_compile_changes_nothing)
{
    static const struct nsp_rule good = { .name = "g",
                                          .action = NSP_ACTION_DROP };
    static const struct nsp_rule bad = { .name = "b", .match = "tcp and" };
    const struct nsp_policy_spec first = { .rules = &good, .rule_count = 1 };
    const struct nsp_policy_spec second = { .rules = &bad, .rule_count = 1 };
    struct nsp_diag diag;
    struct live live;

    live_begin(&live, &first);
    CHECK_EQ(nsp_engine_set_policy(live.engine, &second, &diag),
             NSP_INVALID_FILTER);
    CHECK_EQ(diag.offset, 7);
    CHECK_STR_EQ(read_rule(live.engine, 0).name, "g");
    live_end(&live);
}

TEST(what_the_open_device_cannot_do_is_refused)
{
    static const struct nsp_rule hold = { .effects.delay.mean_ns = 1 };
    const struct nsp_policy_spec none = { .rules = NULL };
    const struct nsp_policy_spec holds = { .rules = &hold, .rule_count = 1 };
    struct nsp_engine_config cfg = { .backend = "memory",
                                     .memory = create_memory() };
    struct nsp_engine *engine;
    struct nsp_diag diag;

    CHECK_EQ(nsp_engine_create(&cfg, &engine, NULL), NSP_OK);
    CHECK_EQ(nsp_engine_start(engine, "true", NULL), NSP_OK);
    CHECK_EQ(nsp_engine_set_policy(engine, &holds, &diag), NSP_NOT_POSSIBLE);
    CHECK(strstr(diag.text, "holds packets") != NULL);
    CHECK_EQ(nsp_engine_set_policy(engine, &none, NULL), NSP_OK);
    nsp_engine_destroy(engine);
    nsp_memory_destroy(cfg.memory);
}

/* Of a device that cannot be adjusted while it is open, memory takes what any
 * policy needs. */
TEST(a_policy_that_may_change_may_become_any)
{
    static const struct nsp_class classes[] = {
        { "slow", { .rate_bitps = 1000000 } },
    };
    static const struct nsp_rule any[] = {
        { .class_name = "slow" },
        { .effects.loss.chance.ppm = 1000 },
        { .effects.delay.mean_ns = 1 },
        { .match = "udp.Payload[0] == 1", .action = NSP_ACTION_REJECT },
        { .match = "flow.Packets > 3", .capture = true },
        { .edits = { .which = NSP_EDIT_TTL, .ttl = 3 } },
        { .limit = { .unit = NSP_LIMIT_PPS, .rate = 1000 } },
    };
    const struct nsp_policy_spec none = { .rules = NULL };
    struct live live;

    live_begin(&live, &none);
    for (size_t i = 0; i < sizeof any / sizeof any[0]; i++) {
        const struct nsp_policy_spec policy = { .rules = &any[i],
                                                .rule_count = 1,
                                                .classes = classes,
                                                .class_count = 1 };
        struct nsp_diag diag;

        if (nsp_engine_set_policy(live.engine, &policy, &diag) != NSP_OK)
            fail_msg("%s", diag.text);
        CHECK_EQ(nsp_engine_set_policy(live.engine, &none, NULL), NSP_OK);
    }
    live_end(&live);
}

/* --- Under load ------------------------------------------------------------
 */

/* Two policies of which one marks all packets with DSCP 1, the other with 2,
 * and both delay them alike: whatever the moment, no packet is lost or
 * overtaken, and each bears one mark. */
TEST(a_reload_under_load_loses_and_reorders_nothing)
{
    enum { ROUNDS = 300, BATCH = 64 };
    static const struct nsp_rule one = {
        .name = "same",
        .edits = { .which = NSP_EDIT_DSCP, .dscp = 1 },
        .effects.delay.mean_ns = MS / 10,
    };
    static const struct nsp_rule two = {
        .name = "same",
        .edits = { .which = NSP_EDIT_DSCP, .dscp = 2 },
        .effects.delay.mean_ns = MS / 10,
    };
    const struct nsp_policy_spec policies[] = {
        { .rules = &one, .rule_count = 1 },
        { .rules = &two, .rule_count = 1 },
    };
    uint32_t sent = 0, received = 0, marks[3] = { 0 };
    struct nsp_memory_frame frame;
    struct live live;

    live_begin(&live, &policies[0]);
    for (int round = 0; round < ROUNDS; round++) {
        push_udp(live.memory, BATCH, 100, 1, sent, 0, 0, NSP_INBOUND);
        sent += BATCH;
        CHECK_EQ(nsp_engine_set_policy(live.engine, &policies[round % 2], NULL),
                 NSP_OK);
        while (received < sent &&
               nsp_memory_pop_burst(live.memory, 0, &frame, 1) > 0) {
            CHECK_EQ(frame_tag(&frame), received);
            marks[frame.data[1] >> 2]++;
            received++;
        }
        while (sent - received > 4096) { /* The device's own bound. */
            if (nsp_memory_pop_burst(live.memory, 0, &frame, 1) == 0)
                continue;
            CHECK_EQ(frame_tag(&frame), received);
            marks[frame.data[1] >> 2]++;
            received++;
        }
    }
    while (received < sent)
        if (nsp_memory_pop_burst(live.memory, 0, &frame, 1) > 0) {
            CHECK_EQ(frame_tag(&frame), received);
            marks[frame.data[1] >> 2]++;
            received++;
        }
    CHECK_EQ(marks[0], 0);
    CHECK(marks[1] > 0 && marks[2] > 0);
    await_queued(&live, 0);
    CHECK_EQ(read_rule(live.engine, 0).in_pkts, sent);
    live_end(&live);
}

static void *
run_engine(void *engine)
{
    nsp_engine_run(engine);
    return NULL;
}

/* A memory device that is handed a datagram, as long as it is to be, whenever
 * the engine asks for packets. */
static struct {
    const struct nsp_io_ops *memory_ops;
    struct nsp_memory *memory;
    atomic_bool offers;
} offering;

static uint32_t
offering_rx_burst(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
                  struct nsp_pkt *ret_pkts[], uint32_t max)
{
    uint8_t bytes[100];
    const struct nsp_memory_frame in = {
        .data = bytes,
        .bytes = frame_udp(bytes, sizeof bytes, 1, 0),
        .direction = NSP_INBOUND,
    };
    struct nsp_memory_frame out;

    while (nsp_memory_pop_burst(offering.memory, 0, &out, 1) > 0)
        ;
    if (atomic_load(&offering.offers))
        (void)!nsp_memory_push_burst(offering.memory, 0, &in, 1);
    return offering.memory_ops->rx_burst(io, queue, now_ns, ret_pkts, max);
}

static void
begin_offering(struct live *live, const struct nsp_policy_spec *policy,
               struct nsp_io_ops *ops)
{
    const struct nsp_memory_config memory = { .frames = 8192 };
    struct nsp_engine_config cfg = { .backend = "custom",
                                     .policy = *policy,
                                     .policy_may_change = true };

    CHECK_EQ(nsp_memory_create(&memory, &live->memory), NSP_OK);
    offering.memory = live->memory;
    offering.memory_ops = nsp_io_resolve("memory", live->memory);
    atomic_store(&offering.offers, true);
    *ops = *offering.memory_ops;
    ops->rx_burst = offering_rx_burst;
    cfg.custom.ops = ops;
    cfg.custom.device = live->memory;
    CHECK_EQ(nsp_engine_create(&cfg, &live->engine, NULL), NSP_OK);
    CHECK_EQ(nsp_engine_start(live->engine, "true", NULL), NSP_OK);
    CHECK_EQ(pthread_create(&live->thread, NULL, run_engine, live->engine), 0);
}

/* So many classes that they do not get their new rates between two bursts: the
 * packets of the new rule find the new queue all the same, which has room for
 * all, where the one before had it for one. */
TEST(packets_of_a_new_policy_meet_its_rates_from_the_first_on)
{
    static struct nsp_class classes[2][NSP_CLASSES_MAX];
    static char names[NSP_CLASSES_MAX][16];
    static const struct nsp_rule rules[] = {
        { .name = "old", .class_name = "last" },
        { .name = "new", .class_name = "last" },
    };
    struct nsp_policy_spec policies[2];
    struct nsp_rule_stats stats;
    struct nsp_io_ops ops;
    struct live live;

    for (int p = 0; p < 2; p++) {
        for (int i = 0; i < (int)NSP_CLASSES_MAX; i++) {
            snprintf(names[i], sizeof names[i], "%d", i);
            classes[p][i] = (struct nsp_class){
                .name = i + 1 < (int)NSP_CLASSES_MAX ? names[i] : "last",
                .link = { .rate_bitps = p == 0 ? 100000 : 1000000000,
                          .queue_unit = NSP_QUEUE_PKTS,
                          .queue_limit = p == 0 ? 1 : 65536 },
            };
        }
        policies[p] =
            (struct nsp_policy_spec){ .rules = &rules[p],
                                      .rule_count = 1,
                                      .classes = classes[p],
                                      .class_count = NSP_CLASSES_MAX };
    }
    begin_offering(&live, &policies[0], &ops);
    while (read_rule(live.engine, 0).dropped_pkts[NSP_DROP_QUEUE_FULL] == 0)
        sched_yield();
    CHECK_EQ(nsp_engine_set_policy(live.engine, &policies[1], NULL), NSP_OK);
    atomic_store(&offering.offers, false);
    await_queued(&live, 0);
    stats = read_rule(live.engine, 0);
    CHECK(stats.in_pkts > 0);
    CHECK_EQ(stats.dropped_pkts[NSP_DROP_QUEUE_FULL], 0);
    live_end(&live);
}

/* A callback may read counters, and call what is not its to call, at any time,
 * also while its worker is waited for. */
static void
read_counters(void *context, struct nsp_burst *burst)
{
    struct nsp_engine *engine = *(struct nsp_engine **)context;
    struct nsp_policy_spec none = { .rules = NULL };
    struct nsp_rule_stats rule;
    struct nsp_stats stats;

    (void)burst;
    if (nsp_engine_read_stats(engine, &stats) != NSP_OK ||
        nsp_engine_read_rule_stats(engine, 0, &rule) != NSP_OK ||
        nsp_engine_set_policy(engine, &none, NULL) != NSP_INVALID_STATE ||
        nsp_engine_start(engine, "true", NULL) != NSP_ALREADY_RUNNING)
        abort();
}

TEST(a_callback_may_read_counters_while_the_policy_changes)
{
    static const struct nsp_rule rule = { .name = "r" };
    const struct nsp_memory_config memory_cfg = { .frames = 8192 };
    struct nsp_engine *engine = NULL;
    struct live live;
    const struct nsp_policy_spec policy = { .rules = &rule, .rule_count = 1 };
    struct nsp_engine_config cfg = { .backend = "memory",
                                     .policy = policy,
                                     .callback = read_counters,
                                     .callback_context = &engine };

    CHECK_EQ(nsp_memory_create(&memory_cfg, &live.memory), NSP_OK);
    cfg.memory = live.memory;
    CHECK_EQ(nsp_engine_create(&cfg, &engine, NULL), NSP_OK);
    live.engine = engine;
    CHECK_EQ(nsp_engine_start(engine, "true", NULL), NSP_OK);
    CHECK_EQ(pthread_create(&live.thread, NULL, run_engine, engine), 0);
    for (uint32_t round = 0; round < 500; round++) {
        push_udp(live.memory, 2, 100, 1, 0, 0, 0, NSP_INBOUND);
        CHECK_EQ(nsp_engine_set_policy(engine, &policy, NULL), NSP_OK);
    }
    live_end(&live);
}

/* Names that come and go must not use up the slots, nor get another's packets.
 */
TEST(names_may_change_without_end)
{
    enum { ROUNDS = 3000 };
    struct nsp_policy_spec policy = { .rule_count = 20 };
    struct nsp_rule rules[20];
    char names[20][24];
    struct live live;

    policy.rules = rules;
    memset(rules, 0, sizeof rules);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < 20; i++) {
            snprintf(names[i], sizeof names[i], "%d-%d", round, i);
            rules[i].name = names[i];
            rules[i].link.rate_bitps = 1000000000;
        }
        if (round == 0)
            live_begin(&live, &policy);
        else
            CHECK_EQ(nsp_engine_set_policy(live.engine, &policy, NULL), NSP_OK);
    }
    CHECK_EQ(read_rule(live.engine, 19).in_pkts, 0);
    live_end(&live);
}

TEST_MAIN(
    cmocka_unit_test(flows_forget_what_an_earlier_policy_said_of_them),
    cmocka_unit_test(counters_and_streams_stay_with_the_names),
    cmocka_unit_test(
        queues_and_counters_survive_and_packets_of_a_rule_that_goes_stay_held),
    cmocka_unit_test(a_policy_that_does_not_compile_changes_nothing),
    cmocka_unit_test(what_the_open_device_cannot_do_is_refused),
    cmocka_unit_test(a_policy_that_may_change_may_become_any),
    cmocka_unit_test(a_reload_under_load_loses_and_reorders_nothing),
    cmocka_unit_test(packets_of_a_new_policy_meet_its_rates_from_the_first_on),
    cmocka_unit_test(a_callback_may_read_counters_while_the_policy_changes),
    cmocka_unit_test(names_may_change_without_end))
