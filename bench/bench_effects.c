/* What one effect of a rule costs each packet that it meets, through the whole
 * engine: the processor time of a run with it, less that of a run with a rule
 * that does nothing. Packets are segments of 64 bytes on 128 open connections,
 * both ways, all in the caches; they come from source.c, a burst of 64 each 64
 * us. Live, and in virtual time ("virtual-"), where effects which draw also pay
 * for their packets' flows: "syn-loss", which asks nothing more of these, says
 * how much, "flows" with what is known of each. There what jitter tells apart
 * leaves one by one; live, what is due when the engine looks.
 *
 *     bench_effects [NAME...]    all effects, or these
 *
 * Prints "name value unit" lines, each value of the best of ROUNDS rounds that
 * take turns: others can only take time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/source.h"
#include "netshaper/engine.h"

#define ROUNDS      5
#define FRAMES      256u /* One of each connection and way. */
#define FRAME_BYTES 64u
#define PACKETS     UINT64_C(2000000)
#define WARM        FRAMES
#define POOL        4096u /* Packets that may be held. */
#define BURST       64u
#define INTERVAL_NS UINT64_C(64000)
#define SECOND      UINT64_C(1000000000)
#define LONG_NS     (3600 * SECOND) /* After that no packet comes. */

static const uint64_t times_ns[] = { 86400 * SECOND, 1 };

static const struct row {
    const char *name;
    struct nsp_rule rule;
} rows[] = {
    { "rule", { .name = "r" } },
    { "flows", { .effects.tcp_window.max_bytes = 65535 } },
    { "loss", { .effects.loss.chance.ppm = 1 } },
    { "loss-bursts",
      { .effects.loss = { .kind = NSP_LOSS_BURSTS, .bursts = { 1, 3000 } } } },
    { "loss-every",
      { .effects.loss = { .kind = NSP_LOSS_EVERY, .every_pkts = 1000000 } } },
    { "syn-loss", { .effects.syn_loss.chance.ppm = 1 } },
    { "cutoff",
      { .effects.cutoff = { .after_bytes = UINT64_MAX, .stall_ns = 1 } } },
    { "flap", { .effects.flap = { .count = 2, .times_ns = times_ns } } },
    { "mtu", { .effects.mtu.max_bytes = 1500 } },
    { "throttle",
      { .effects.throttle = { .pkts = 1000000000,
                              .per_ns = 1,
                              .burst_pkts = 1000000 } } },
    { "duplicate", { .effects.duplicate = { .ppm = 1, .copies = 1 } } },
    { "tamper", { .effects.tamper = { .ppm = 1, .flip_bits = 1 } } },
    { "tcp-reset", { .effects.tcp_reset.ppm = 1 } },
    { "ack-delay", { .effects.ack_delay.delay_ns = 1 } },
    { "delay", { .effects.delay.mean_ns = 1 } },
    { "jitter",
      { .effects.delay = { .kind = NSP_DELAY_NORMAL,
                           .mean_ns = 1000,
                           .spread_ns = 100 } } },
    { "windows", { .effects.windows = { .min_ns = 1, .max_ns = 1 } } },
};
#define ROWS (sizeof rows / sizeof rows[0])

static void
die(const char *what)
{
    fprintf(stderr, "bench_effects: %s\n", what);
    exit(1);
}

/* Segment 'i': on connection i / 2, that way or back. */
static void
fill_segment(uint32_t i, uint8_t bytes[FRAME_BYTES])
{
    static const uint8_t segment[40] = {
        0x45, 0,  0, FRAME_BYTES, 0,  0,  0, 0, 64,   6,    0,    0,
        10,   77, 1, 2,           10, 77, 2, 2, 0x13, 0x88, 0,    7,
        0,    0,  0, 1,           0,  0,  0, 1, 0x50, 0x18, 0xff, 0xff,
    };
    bool back = i % 2 != 0;

    memset(bytes, 0, FRAME_BYTES);
    memcpy(bytes, segment, sizeof segment);
    if (back) {
        memcpy(bytes + 12, segment + 16, 4);
        memcpy(bytes + 16, segment + 12, 4);
        memcpy(bytes + 20, segment + 22, 2);
        memcpy(bytes + 22, segment + 20, 2);
    }
    bytes[back ? 23 : 21] = (uint8_t)(i / 2);
}

static uint64_t
time_rule(const struct nsp_rule *rule, bool live)
{
    static uint8_t frames[FRAMES][FRAME_BYTES];
    struct bench_source from = {
        .frames = frames[0],
        .frame_bytes = FRAME_BYTES,
        .frame_count = FRAMES,
        .pkts = WARM + PACKETS,
        .warm_pkts = WARM,
        .pool_pkts = POOL,
        .burst_pkts = BURST,
        .interval_ns = INTERVAL_NS,
    };
    struct bench_source *const to_device = &from;
    const struct nsp_engine_config cfg = {
        .backend = "custom",
        .custom = { .ops = live ? &bench_live_source_ops : &bench_source_ops,
                    .device = &to_device },
        .policy = { .rules = rule, .rule_count = 1 },
        .clock = live ? bench_source_clock(&from) : (struct nsp_clock){ 0 },
    };
    struct nsp_engine *engine;
    struct nsp_stats stats;
    struct nsp_diag diag;

    for (uint32_t i = 0; i < FRAMES; i++)
        fill_segment(i, frames[i]);
    if (nsp_engine_create(&cfg, &engine, &diag) != NSP_OK ||
        nsp_engine_start(engine, "true", &diag) != NSP_OK)
        die(diag.text);
    if (nsp_engine_run_for(engine, live ? LONG_NS : NSP_TIME_NEVER) !=
        (live ? NSP_STOPPED : NSP_OK))
        die("the engine's loop failed");
    if (nsp_engine_read_stats(engine, &stats) != NSP_OK ||
        stats.in_pkts != WARM + PACKETS || stats.queued_pkts != 0)
        die("the engine did not see every packet");
    nsp_engine_destroy(engine);
    return from.end_ns - from.warm_ns;
}

/* The first is what others are compared with. */
static bool
is_asked_for(size_t row, int count, char *names[])
{
    bool asked = row == 0 || count == 0;

    for (int i = 0; i < count && !asked; i++)
        asked = strcmp(names[i], rows[row].name) == 0;
    return asked;
}

int
main(int argc, char *argv[])
{
    double best_ns[2][ROWS] = { { 0 } };

    for (int turn = 0; turn < 2 * ROUNDS; turn++) {
        for (size_t i = 0; i < ROWS; i++) {
            double ns, *best = &best_ns[turn % 2][i];

            if (!is_asked_for(i, argc - 1, argv + 1))
                continue;
            ns = (double)time_rule(&rows[i].rule, turn % 2 == 0) /
                 (double)PACKETS;
            if (turn < 2 || ns < *best)
                *best = ns;
        }
    }
    for (int way = 0; way < 2; way++)
        for (size_t i = 0; i < ROWS; i++)
            if (is_asked_for(i, argc - 1, argv + 1))
                printf("effect-%s%s %.2f ns\n", way == 0 ? "" : "virtual-",
                       rows[i].name,
                       best_ns[way][i] - (i == 0 ? 0 : best_ns[way][0]));
    return 0;
}
