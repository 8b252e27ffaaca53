/* Between the first and the last packet of a loop the engine allocates nothing,
 * takes no lock and, on a device that needs none, makes no system call. */
#define _GNU_SOURCE /* syscall(). */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "netshaper/engine.h"
#include "tests/functional/bridge_fixture.h"
#include "tests/lib/calls.h"
#include "tests/lib/test.h"

#define FRAMES      64u
#define PACKETS     20000u
#define ROUND_TRIPS 500u
#define SERVER_PORT 7
#define MS          UINT64_C(1000000)

/* 10.77.1.2 -> 10.77.2.2, UDP 5000 -> 7, 100 bytes, checksum "none". */
static const uint8_t frame_head[28] = {
    0x45, 0, 0,  100, 0, 0, 0,    0,    64, 17, 0, 0,  10, 77,
    1,    2, 10, 77,  2, 2, 0x13, 0x88, 0,  7,  0, 80, 0,  0,
};

struct watch {
    unsigned forbidden;
    uint64_t expected_pkts, seen_pkts;
};

/* Forbids from the first burst on, allows again at the last. */
static void
watch_burst(void *context, struct nsp_burst *burst)
{
    struct watch *watch = context;

    watch->seen_pkts += burst->count;
    if (watch->seen_pkts >= watch->expected_pkts)
        calls_allow();
    else
        calls_forbid(watch->forbidden);
}

static struct nsp_memory *
open_memory(void)
{
    const struct nsp_memory_config cfg = { .frames = FRAMES,
                                           .frame_bytes = 256,
                                           .virtual_time = true,
                                           .repeat = PACKETS };
    struct nsp_memory *memory;
    uint8_t bytes[100] = { 0 };

    memcpy(bytes, frame_head, sizeof frame_head);
    CHECK_EQ(nsp_memory_create(&cfg, &memory), 0);
    for (uint32_t i = 0; i < FRAMES; i++) {
        const struct nsp_memory_frame frame = { .data = bytes,
                                                .bytes = sizeof bytes,
                                                .at_ns = i * MS };

        CHECK_EQ(nsp_memory_push_burst(memory, 0, &frame, 1), 1);
    }
    return memory;
}

/* Runs PACKETS packets through 'rules' on memory under watch. */
static void
run_on_memory(const struct nsp_rule rules[], uint32_t rule_count,
              struct nsp_stats *ret)
{
    struct watch watch = { .forbidden =
                               CALLS_MEMORY | CALLS_LOCKS | CALLS_SYSTEM,
                           .expected_pkts = PACKETS };
    const struct nsp_engine_config cfg = {
        .backend = "memory",
        .memory = open_memory(),
        .seed = 1,
        .policy = { .rules = rules, .rule_count = rule_count },
        .callback = watch_burst,
        .callback_context = &watch,
    };
    struct nsp_engine *engine;
    struct nsp_diag diag;

    calls_reset();
    CHECK_EQ(nsp_engine_create(&cfg, &engine, &diag), NSP_OK);
    CHECK_EQ(nsp_engine_start(engine, "udp and ip", &diag), NSP_OK);
    CHECK_EQ(nsp_engine_run(engine), NSP_OK);
    calls_allow();
    CHECK_EQ(nsp_engine_read_stats(engine, ret), NSP_OK);
    nsp_engine_destroy(engine);
    nsp_memory_destroy(cfg.memory);
    CHECK_EQ(watch.seen_pkts, PACKETS);
    CHECK_STR_EQ(calls_first(), "");
    CHECK_EQ(calls_count(), 0);
}

TEST(watch_sees_an_allocation)
{
    void *volatile memory;

    calls_reset();
    calls_forbid(CALLS_MEMORY);
    memory = malloc(1);
    free(memory);
    calls_allow();
    CHECK_EQ(calls_count(), 2);
    CHECK_STR_EQ(calls_first(), "malloc");
}

TEST(watch_sees_a_lock)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

    calls_reset();
    calls_forbid(CALLS_LOCKS);
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
    calls_allow();
    CHECK_EQ(calls_count(), 2);
    CHECK_STR_EQ(calls_first(), "pthread_mutex_lock");
}

TEST(watch_sees_a_system_call_and_lets_it_happen)
{
#ifdef __x86_64__
    pid_t parent;

    calls_reset();
    calls_forbid(CALLS_SYSTEM);
    parent = getppid();
    calls_allow();
    CHECK_EQ(calls_count(), 1);
    CHECK_STR_EQ(calls_first(), "system call 110");
    CHECK_EQ(parent, getppid());
#else
    SKIP("system calls are watched on x86-64 only");
#endif
}

TEST(passing_calls_nothing)
{
    struct nsp_stats stats;

    run_on_memory(NULL, 0, &stats);
    CHECK_EQ(stats.delivered_pkts, PACKETS);
}

TEST(filter_loss_rate_and_delay_call_nothing)
{
    static const struct nsp_rule rules[] = {
        { .match = "udp.DstPort == 9", .action = NSP_ACTION_DROP },
        { .match = "udp.DstPort == 7 and ip.SrcAddr == 10.77.1.2",
          .effects.loss.chance.ppm = 10000,
          .link.rate_bitps = 700000,
          .effects.delay.mean_ns = 40 * MS },
    };
    struct nsp_stats stats;

    run_on_memory(rules, 2, &stats);
    CHECK(stats.dropped_pkts[NSP_DROP_LOSS] > 0);
    CHECK_EQ(stats.in_pkts, stats.delivered_pkts +
                                stats.dropped_pkts[NSP_DROP_LOSS] +
                                stats.dropped_pkts[NSP_DROP_QUEUE_FULL]);
}

TEST(all_effects_call_nothing)
{
    static const uint64_t times_ns[] = { 100 * MS, MS };
    static const struct nsp_rate_segment segments[] = {
        { 10 * MS, 7000000, 14000000 },
    };
    static const struct nsp_rate_plan_config plan = { .segments = segments,
                                                      .segment_count = 1,
                                                      .repeat = true };
    static const struct nsp_rule rules[] = {
        { .go_on = true,
          .effects = { .cutoff = { .after_bytes = UINT64_MAX, .stall_ns = 1 },
                       .flap = { .count = 2, .times_ns = times_ns },
                       .mtu = { .max_bytes = 90,
                                .excess = NSP_MTU_TRUNCATE,
                                .spared_ppm = 500000 },
                       .syn_loss.chance.ppm = 10000,
                       .loss = { .kind = NSP_LOSS_BURSTS,
                                 .mark_ce = true,
                                 .bursts = { 10000, 3000 } },
                       .tcp_reset.ppm = 10000,
                       .throttle = { .pkts = 1000,
                                     .per_ns = MS,
                                     .burst_pkts = 10,
                                     .queue_pkts = 10 },
                       .duplicate = { .ppm = 10000,
                                      .copies = 3,
                                      .spacing_ns = MS } } },
        { .link.plan = &plan,
          .effects = { .tamper = { .ppm = 10000,
                                   .flip_bits = 3,
                                   .csum = NSP_TAMPER_CSUM_REPAIR },
                       .tcp_window.max_bytes = 1000,
                       .windows = { .min_ns = MS, .max_ns = 2 * MS },
                       .delay = { .kind = NSP_DELAY_NORMAL,
                                  .mean_ns = MS,
                                  .spread_ns = MS / 10 },
                       .ack_delay.delay_ns = MS,
                       .reorder = { .ppm = 10000, .gap = 2 } } },
    };
    struct nsp_stats stats;
    uint64_t dropped = 0;

    run_on_memory(rules, 2, &stats);
    for (int i = 0; i < NSP_DROP_COUNT; i++)
        dropped += stats.dropped_pkts[i];
    CHECK(stats.duplicated_pkts > 0);
    CHECK(stats.dropped_pkts[NSP_DROP_LOSS] > 0);
    CHECK(stats.modified_pkts > 0);
    CHECK_EQ(stats.in_pkts + stats.duplicated_pkts,
             stats.delivered_pkts + dropped);
}

/* Nobody reads, so the ring is full in the end. */
TEST(logging_and_capturing_call_nothing)
{
    static const struct nsp_rule rules[] = {
        { .log_pps = 1000000, .go_on = true },
        { .match = "udp.DstPort == 7", .log_pps = 10, .capture = true },
    };
    struct nsp_stats stats;

    run_on_memory(rules, 2, &stats);
    CHECK_EQ(stats.delivered_pkts, PACKETS);
    CHECK(stats.events_lost > 0);
}

TEST(rejecting_calls_nothing)
{
    static const struct nsp_rule rules[] = {
        { .match = "udp", .action = NSP_ACTION_REJECT },
    };
    struct nsp_stats stats;

    run_on_memory(rules, 1, &stats);
    CHECK_EQ(stats.dropped_pkts[NSP_DROP_REJECT], PACKETS);
}

/* Datagrams there and back, one at a time. */
struct ping_pong {
    struct nsp_engine *engine;
    int client, server;
};

static void *
play_ping_pong(void *opaque)
{
    struct ping_pong *game = opaque;
    struct sockaddr_in from;
    char ball[16] = "ball";

    for (uint32_t i = 0; i < ROUND_TRIPS; i++) {
        socklen_t bytes = sizeof from;

        if (send(game->client, ball, sizeof ball, 0) < 0 ||
            recvfrom(game->server, ball, sizeof ball, 0,
                     (struct sockaddr *)&from, &bytes) < 0 ||
            sendto(game->server, ball, sizeof ball, 0, (struct sockaddr *)&from,
                   bytes) < 0 ||
            recv(game->client, ball, sizeof ball, 0) < 0)
            break;
    }
    nsp_engine_stop(game->engine);
    return NULL;
}

/* Runs an engine under watch, with one rule for datagrams with port 'port',
 * while 'play' has them go to and fro. */
static void
watch_game(struct nsp_engine_config *cfg, uint16_t port, struct nsp_rule rule,
           void *(*play)(void *game), struct ping_pong *game)
{
    struct watch watch = { .forbidden = CALLS_MEMORY | CALLS_LOCKS,
                           .expected_pkts = 2 * ROUND_TRIPS };
    char match[32];
    struct nsp_diag diag;
    pthread_t player;
    int started;

    snprintf(match, sizeof match, "udp.DstPort == %u", port);
    rule.match = match;
    cfg->policy = (struct nsp_policy_spec){ .rules = &rule, .rule_count = 1 };
    cfg->callback = watch_burst;
    cfg->callback_context = &watch;
    CHECK_EQ(nsp_engine_create(cfg, &game->engine, &diag), NSP_OK);
    started = nsp_engine_start(game->engine, "udp", &diag);
    if (started == NSP_NOT_POSSIBLE) {
        nsp_engine_destroy(game->engine);
        SKIP(diag.text);
    }
    CHECK_EQ(started, NSP_OK);
    calls_reset();
    CHECK_EQ(pthread_create(&player, NULL, play, game), 0);
    CHECK_EQ(nsp_engine_run(game->engine), NSP_STOPPED);
    calls_allow();
    pthread_join(player, NULL);
    nsp_engine_destroy(game->engine);
    CHECK_EQ(watch.seen_pkts, 2 * ROUND_TRIPS);
    CHECK_STR_EQ(calls_first(), "");
}

static const struct nsp_rule holding = { .link.rate_bitps = 10000000,
                                         .effects.delay.mean_ns = MS / 10 };

/* Between the client and 'host', of which 'cfg' takes packets. */
static void
watch_live(struct nsp_engine_config cfg, const struct nsp_rule *rule,
           enum nsp_lab_host host)
{
    struct sockaddr_in server = { .sin_family = AF_INET,
                                  .sin_port = htons(SERVER_PORT) };
    struct ping_pong game;

    fixture_require();
    CHECK_EQ(
        inet_pton(AF_INET, nsp_lab_address(host, AF_INET), &server.sin_addr),
        1);
    game.client = fixture_udp(NSP_LAB_CLIENT, AF_INET, 0);
    game.server = fixture_udp(host, AF_INET, SERVER_PORT);
    CHECK_EQ(connect(game.client, (struct sockaddr *)&server, sizeof server),
             0);
    watch_game(&cfg, SERVER_PORT, *rule, play_ping_pong, &game);
    close(game.client);
    close(game.server);
}

TEST(holding_packets_of_nfqueue_allocates_and_locks_nothing)
{
    const struct nsp_engine_config cfg = {
        .backend = "nfqueue",
        .hooks = NSP_HOOK_FORWARD,
    };

    watch_live(cfg, &holding, NSP_LAB_SERVER);
}

TEST(holding_packets_of_a_tap_allocates_and_locks_nothing)
{
    const struct nsp_engine_config cfg = {
        .backend = "tap",
        .tap = { .hang_ms = 10000 }, /* However busy the machine is. */
        .hooks = NSP_HOOK_INPUT | NSP_HOOK_OUTPUT,
    };

    watch_live(cfg, &holding, NSP_LAB_ROUTER);
}

/* Both ways pass by the client's side of the router. */
TEST(looking_at_packets_allocates_and_locks_nothing)
{
    const struct nsp_rule looking = { .log_pps = 10, .capture = true };
    const struct nsp_engine_config cfg = {
        .backend = "sniff",
        .sniff = { .interface = "client0" },
        .hooks = NSP_HOOK_INPUT | NSP_HOOK_OUTPUT,
    };

    watch_live(cfg, &looking, NSP_LAB_SERVER);
}

/* Frames across a bridge and back. */
static void *
play_across(void *opaque)
{
    struct ping_pong *game = opaque;
    struct wire_frame ball, heard;

    wire_build_ip(&ball, &wire_kinds[1], 16, true);
    for (uint32_t i = 0; i < ROUND_TRIPS; i++) {
        wire_put(0, &ball);
        wire_hear(1, &heard);
        wire_put(1, &ball);
        wire_hear(0, &heard);
    }
    nsp_engine_stop(game->engine);
    return NULL;
}

TEST(holding_packets_of_a_bridge_allocates_and_locks_nothing)
{
    struct nsp_engine_config cfg = { .backend = "bridge" };
    struct ping_pong game;

    wire_begin();
    cfg.bridge = wire_bridge;
    watch_game(&cfg, WIRE_UDP_PORT, holding, play_across, &game);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(watch_sees_an_allocation),
        cmocka_unit_test(watch_sees_a_lock),
        cmocka_unit_test(watch_sees_a_system_call_and_lets_it_happen),
        cmocka_unit_test(passing_calls_nothing),
        cmocka_unit_test(filter_loss_rate_and_delay_call_nothing),
        cmocka_unit_test(all_effects_call_nothing),
        cmocka_unit_test(logging_and_capturing_call_nothing),
        cmocka_unit_test(rejecting_calls_nothing),
        cmocka_unit_test(
            holding_packets_of_nfqueue_allocates_and_locks_nothing),
        cmocka_unit_test(holding_packets_of_a_tap_allocates_and_locks_nothing),
        cmocka_unit_test(looking_at_packets_allocates_and_locks_nothing),
        BRIDGE_TEST(holding_packets_of_a_bridge_allocates_and_locks_nothing),
    };

    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
