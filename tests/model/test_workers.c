/* Several workers: what rules and classes promise holds for all together. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "netshaper/engine.h"
#include "tests/lib/frames.h"
#include "tests/lib/test.h"

#define WORKERS 4u
#define MS      UINT64_C(1000000)

struct live {
    struct nsp_memory *memory;
    struct nsp_engine *engine;
    pthread_t thread;
    uint32_t sent[WORKERS], received[WORKERS];
};

static void *
live_main(void *opaque)
{
    struct live *live = opaque;

    CHECK_EQ(nsp_engine_run(live->engine), NSP_STOPPED);
    return NULL;
}

/* A clock that stands still, so that nothing comes due and no bucket fills. */
static uint64_t
stand_still(void *context)
{
    (void)context;
    return 1000 * MS;
}

static void
begin(struct live *live, const struct nsp_policy_spec *policy,
      struct nsp_clock clock)
{
    const struct nsp_memory_config memory_cfg = { .queues = WORKERS,
                                                  .frames = 4096 };
    struct nsp_engine_config cfg = {
        .backend = "memory",
        .workers = WORKERS,
        .policy = *policy,
        .policy_may_change = true,
        .clock = clock,
    };
    struct nsp_diag diag;

    *live = (struct live){ .memory = NULL };
    CHECK_EQ(nsp_memory_create(&memory_cfg, &live->memory), NSP_OK);
    cfg.memory = live->memory;
    if (nsp_engine_create(&cfg, &live->engine, &diag) != NSP_OK)
        fail_msg("%s", diag.text);
    CHECK_EQ(nsp_engine_start(live->engine, "true", NULL), NSP_OK);
    CHECK_EQ(pthread_create(&live->thread, NULL, live_main, live), 0);
}

static void
stop(struct live *live)
{
    CHECK_EQ(nsp_engine_stop(live->engine), NSP_OK);
    CHECK_EQ(pthread_join(live->thread, NULL), 0);
}

static void
end(struct live *live)
{
    nsp_engine_destroy(live->engine);
    nsp_memory_destroy(live->memory);
}

static struct nsp_stats
read_stats(const struct live *live)
{
    struct nsp_stats stats;
    uint64_t dropped = 0;

    CHECK_EQ(nsp_engine_read_stats(live->engine, &stats), NSP_OK);
    for (int i = 0; i < NSP_DROP_COUNT; i++)
        dropped += stats.dropped_pkts[i];
    CHECK_EQ(stats.in_pkts, stats.delivered_pkts + dropped + stats.queued_pkts);
    return stats;
}

/* Pushes 'n' packets of 'port' to each queue, tagged in their order. */
static void
push(struct live *live, uint32_t n, uint16_t port)
{
    uint8_t bytes[100];

    for (uint32_t i = 0; i < n * WORKERS; i++) {
        uint32_t queue = i % WORKERS;
        const struct nsp_memory_frame frame = {
            .data = bytes,
            .bytes = frame_udp(bytes, sizeof bytes, port, live->sent[queue]),
            .direction = NSP_INBOUND,
        };

        CHECK_EQ(nsp_memory_push_burst(live->memory, queue, &frame, 1), 1);
        live->sent[queue]++;
    }
}

/* Takes what has been sent; each queue keeps its order. */
static void
pop_in_order(struct live *live)
{
    struct nsp_memory_frame frame;

    for (uint32_t q = 0; q < WORKERS; q++)
        while (nsp_memory_pop_burst(live->memory, q, &frame, 1) > 0)
            CHECK_EQ(frame_tag(&frame), live->received[q]++);
}

static uint32_t
count_popped(struct live *live)
{
    struct nsp_memory_frame frame;
    uint32_t n = 0;

    for (uint32_t q = 0; q < WORKERS; q++)
        while (nsp_memory_pop_burst(live->memory, q, &frame, 1) > 0)
            n++;
    return n;
}

static const struct nsp_clock real = { .now_ns = NULL };
static const struct nsp_clock still = { .now_ns = stand_still };

/* --- Classes -------------------------------------------------------------- */

/* A rate at which nothing leaves: the class has room for 100 packets and the
 * one on the wire, whoever they came from. Twelve classes are spread over all
 * workers. */
TEST(workers_share_the_queue_of_a_class)
{
    enum { EACH = 500, CLASSES = 12, ROOM = 101 };
    static const struct nsp_link_rate slow = { .rate_bitps = 8,
                                               .queue_unit = NSP_QUEUE_PKTS,
                                               .queue_limit = ROOM - 1 };
    struct nsp_rule rules[CLASSES] = { { .name = NULL } };
    char filters[CLASSES][32];
    const struct nsp_policy_spec policy = { .rules = rules,
                                            .rule_count = CLASSES };
    struct nsp_class_stats class_stats;
    struct nsp_stats stats;
    struct live live;

    for (int i = 0; i < CLASSES; i++) {
        snprintf(filters[i], sizeof filters[i], "udp.DstPort == %d", i);
        rules[i].match = filters[i];
        rules[i].link = slow;
    }
    begin(&live, &policy, real);
    for (uint16_t i = 0; i < 4; i++)
        push(&live, EACH, i);
    do
        stats = read_stats(&live);
    while (stats.in_pkts < 4 * EACH * WORKERS || stats.queued_pkts != 4 * ROOM);
    CHECK_EQ(stats.dropped_pkts[NSP_DROP_QUEUE_FULL],
             4 * (EACH * WORKERS - ROOM));
    for (uint32_t i = 0; i < CLASSES; i++) {
        uint64_t room = i < 4 ? ROOM : 0;

        CHECK_EQ(nsp_engine_read_class_stats(live.engine, i, &class_stats),
                 NSP_OK);
        CHECK_EQ(class_stats.queued_pkts, room);
        CHECK_EQ(class_stats.in_pkts, i < 4 ? EACH * WORKERS : 0);
        CHECK_EQ(class_stats.dropped_pkts, i < 4 ? EACH * WORKERS - ROOM : 0);
    }
    stop(&live);
    stats = read_stats(&live);
    CHECK_EQ(stats.queued_pkts, 0);
    CHECK_EQ(stats.delivered_pkts, 4 * ROOM);
    CHECK_EQ(count_popped(&live), 4 * ROOM);
    end(&live);
}

/* Two stages and a delay, while policies change, and with them the name of a
 * class that takes part in nothing: nothing is lost, and no packet overtakes
 * another of its queue. */
TEST(packets_keep_their_order_through_the_queues_of_other_workers)
{
    enum { ROUNDS = 120, EACH = 32 };
    static const struct nsp_link_rate fast = {
        .rate_bitps = NSP_RATE_BITPS_MAX,
        .queue_unit = NSP_QUEUE_PKTS,
        .queue_limit = 100000,
    };
    char name[16] = "spare";
    struct nsp_class classes[] = { { name, fast },
                                   { "a", fast },
                                   { "b", fast } };
    static const struct nsp_rule rules[] = {
        { .name = "first", .class_name = "a", .go_on = true },
        { .name = "second",
          .class_name = "b",
          .effects.delay = { .mean_ns = 1, .keep_order = true } },
    };
    const struct nsp_policy_spec policy = {
        .rules = rules, .rule_count = 2, .classes = classes, .class_count = 3
    };
    struct nsp_stats stats;
    struct live live;
    uint64_t sent = 0;

    begin(&live, &policy, real);
    for (int round = 0; round < ROUNDS; round++) {
        push(&live, EACH, 1);
        sent += EACH * WORKERS;
        if (round % 8 == 7) {
            snprintf(name, sizeof name, "spare-%d", round);
            CHECK_EQ(nsp_engine_set_policy(live.engine, &policy, NULL), NSP_OK);
        }
        pop_in_order(&live);
        /* The device's own bound. */
        while (sent - read_stats(&live).delivered_pkts > 2048)
            pop_in_order(&live);
    }
    do
        stats = read_stats(&live);
    while (stats.delivered_pkts < sent);
    pop_in_order(&live);
    for (uint32_t q = 0; q < WORKERS; q++)
        CHECK_EQ(live.received[q], ROUNDS * EACH);
    stop(&live);
    end(&live);
}

/* Stopped at any moment, every packet is accounted for and comes out. */
TEST(a_stop_brings_home_what_other_workers_hold)
{
    static const struct nsp_rule rule = {
        .name = "slow",
        .link = { .rate_bitps = 1000000,
                  .queue_unit = NSP_QUEUE_PKTS,
                  .queue_limit = 50 },
        .effects.delay.mean_ns = MS,
    };
    const struct nsp_policy_spec policy = { .rules = &rule, .rule_count = 1 };

    for (uint32_t round = 0; round < 30; round++) {
        struct nsp_stats stats;
        struct live live;

        begin(&live, &policy, real);
        push(&live, 1, 1);
        do /* It runs. */
            stats = read_stats(&live);
        while (stats.in_pkts == 0);
        push(&live, round, 1);
        stop(&live);
        stats = read_stats(&live);
        CHECK_EQ(stats.queued_pkts, 0);
        CHECK_EQ(stats.in_pkts, (round + 1) * WORKERS);
        CHECK_EQ(count_popped(&live), stats.delivered_pkts);
        end(&live);
    }
}

/* Not into their next queue, which has no room for all of them at once. */
TEST(a_stop_delivers_what_is_held)
{
    static const struct nsp_class classes[] = {
        { "wide",
          { .rate_bitps = 8,
            .queue_unit = NSP_QUEUE_PKTS,
            .queue_limit = 10000 } },
        { "narrow",
          { .rate_bitps = 8, .queue_unit = NSP_QUEUE_PKTS, .queue_limit = 1 } },
    };
    static const struct nsp_rule rules[] = {
        { .name = "first", .class_name = "wide", .go_on = true },
        { .name = "second", .class_name = "narrow" },
    };
    const struct nsp_policy_spec policy = {
        .rules = rules, .rule_count = 2, .classes = classes, .class_count = 2
    };
    struct nsp_stats stats;
    struct live live;

    begin(&live, &policy, still);
    push(&live, 100, 1);
    do
        stats = read_stats(&live);
    while (stats.queued_pkts < 100 * WORKERS);
    stop(&live);
    CHECK_EQ(read_stats(&live).delivered_pkts, 100 * WORKERS);
    CHECK_EQ(count_popped(&live), 100 * WORKERS);
    end(&live);
}

/* --- Limits --------------------------------------------------------------- */

/* An eighth may be out on lease to workers that have no use for it. */
TEST(workers_share_a_limit)
{
    enum { EACH = 1000, BURST = 800 };
    static const struct nsp_rule rule = {
        .name = "limit",
        .limit = { .unit = NSP_LIMIT_PPS, .rate = 1, .burst = BURST },
    };
    const struct nsp_policy_spec policy = { .rules = &rule, .rule_count = 1 };
    struct nsp_stats stats;
    struct live live;

    begin(&live, &policy, still);
    push(&live, EACH, 1);
    do
        stats = read_stats(&live);
    while (stats.in_pkts < EACH * WORKERS);
    stop(&live);
    stats = read_stats(&live);
    CHECK(stats.delivered_pkts >= BURST - BURST / 8);
    CHECK(stats.delivered_pkts <= BURST);
    CHECK_EQ(stats.dropped_pkts[NSP_DROP_LIMIT],
             EACH * WORKERS - stats.delivered_pkts);
    end(&live);
}

/* --- Processors ----------------------------------------------------------- */

struct places {
    atomic_uint seen[WORKERS]; /* Bursts on the right processor. */
    atomic_uint elsewhere;
    const struct nsp_engine_config *cfg;
};

static void
note_place(void *context, struct nsp_burst *burst)
{
    struct places *places = context;
    const struct nsp_engine_config *cfg = places->cfg;

    if (sched_getcpu() == cfg->cpus[burst->worker % cfg->cpu_count])
        atomic_fetch_add(&places->seen[burst->worker], 1);
    else
        atomic_fetch_add(&places->elsewhere, 1);
}

/* Up to two that this process may use. */
static void
find_cpus(struct nsp_engine_config *cfg, const cpu_set_t *set)
{
    for (uint16_t cpu = 0; cpu < CPU_SETSIZE && cfg->cpu_count < 2; cpu++)
        if (CPU_ISSET(cpu, set))
            cfg->cpus[cfg->cpu_count++] = cpu;
}

TEST(workers_run_on_the_processors_they_are_given)
{
    const struct nsp_memory_config memory_cfg = { .queues = WORKERS };
    struct places places = { .elsewhere = 0 };
    struct nsp_engine_config cfg = { .backend = "memory",
                                     .workers = WORKERS,
                                     .callback = note_place,
                                     .callback_context = &places };
    cpu_set_t before, after;
    struct live live = { .memory = NULL };

    CPU_ZERO(&before);
    CPU_ZERO(&after);
    CHECK_EQ(sched_getaffinity(0, sizeof before, &before), 0);
    find_cpus(&cfg, &before);
    places.cfg = &cfg;
    CHECK_EQ(nsp_memory_create(&memory_cfg, &live.memory), NSP_OK);
    cfg.memory = live.memory;
    CHECK_EQ(nsp_engine_create(&cfg, &live.engine, NULL), NSP_OK);
    push(&live, 1, 1);
    CHECK_EQ(nsp_engine_start(live.engine, "true", NULL), NSP_OK);
    CHECK_EQ(nsp_engine_run_for(live.engine, 100 * MS), NSP_STOPPED);
    for (uint32_t q = 0; q < WORKERS; q++)
        CHECK(places.seen[q] > 0);
    CHECK_EQ(places.elsewhere, 0);

    /* The first worker's thread was this one. */
    CHECK_EQ(sched_getaffinity(0, sizeof after, &after), 0);
    CHECK(CPU_EQUAL(&before, &after));
    end(&live);
}

TEST(a_worker_that_polls_does_not_sleep_while_it_holds_packets)
{
    static const struct nsp_rule rule = { .name = "hour",
                                          .effects.delay.mean_ns =
                                              NSP_DELAY_NS_MAX };
    const struct nsp_memory_config memory_cfg = { .queues = WORKERS };
    struct nsp_engine_config cfg = {
        .backend = "memory",
        .workers = WORKERS,
        .busy_poll = true,
        .policy = { .rules = &rule, .rule_count = 1 },
    };
    struct live live = { .memory = NULL };
    struct nsp_stats stats;

    CHECK_EQ(nsp_memory_create(&memory_cfg, &live.memory), NSP_OK);
    cfg.memory = live.memory;
    CHECK_EQ(nsp_engine_create(&cfg, &live.engine, NULL), NSP_OK);
    push(&live, 1, 1);
    CHECK_EQ(nsp_engine_start(live.engine, "true", NULL), NSP_OK);
    CHECK_EQ(pthread_create(&live.thread, NULL, live_main, &live), 0);
    do
        stats = read_stats(&live);
    while (stats.queued_pkts < WORKERS);
    stop(&live);
    CHECK_EQ(read_stats(&live).wakeups, 0);
    end(&live);
}

TEST(in_virtual_time_a_rate_needs_one_worker)
{
    static const struct nsp_rule rule = { .name = "r",
                                          .link.rate_bitps = 1000000 };
    const struct nsp_memory_config memory_cfg = { .queues = 2,
                                                  .virtual_time = true };
    struct nsp_engine_config cfg = { .backend = "memory",
                                     .workers = 2,
                                     .policy = { .rules = &rule,
                                                 .rule_count = 1 } };
    struct nsp_engine *engine = NULL;
    struct nsp_diag diag;

    CHECK_EQ(nsp_memory_create(&memory_cfg, &cfg.memory), NSP_OK);
    CHECK_EQ(nsp_engine_create(&cfg, &engine, &diag), NSP_INVALID_PARAMETER);
    CHECK(strstr(diag.text, "rule r") != NULL);
    nsp_memory_destroy(cfg.memory);
}

TEST_MAIN(
    cmocka_unit_test(workers_share_the_queue_of_a_class),
    cmocka_unit_test(
        packets_keep_their_order_through_the_queues_of_other_workers),
    cmocka_unit_test(a_stop_brings_home_what_other_workers_hold),
    cmocka_unit_test(a_stop_delivers_what_is_held),
    cmocka_unit_test(workers_share_a_limit),
    cmocka_unit_test(workers_run_on_the_processors_they_are_given),
    cmocka_unit_test(a_worker_that_polls_does_not_sleep_while_it_holds_packets),
    cmocka_unit_test(in_virtual_time_a_rate_needs_one_worker))
