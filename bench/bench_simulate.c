/* The engine in virtual time, one core: what 'nsp simulate' does with each
 * packet, without the files. 200-byte UDP packets come one by one from
 * source.c, 1 us apart, through a rule with loss, a rate that they nearly fill,
 * and a delay of 1 ms, so that a thousand are always held; or through one that
 * delays them alone, by 1 ms or 1 s, so that a thousand or a million are.
 *
 * Prints "name value unit" lines, each value the median of ROUNDS rounds that
 * take turns, in processor time, without the first WARM_PACKETS: then all that
 * are held at once are there. */
#include <stdio.h>
#include <stdlib.h>

#include "bench/source.h"
#include "cli/simulate.h"
#include "netshaper/engine.h"

#define ROUNDS       5
#define WARM_PACKETS UINT64_C(1048576)
#define PACKETS      (3 * WARM_PACKETS)
#define POOL         (1u << 20)
#define PACKET_BYTES 200u
#define GAP_NS       UINT64_C(1000)
#define BURST        32u /* Of those that come at once. */

static const struct nsp_rule rules[] = {
    { .name = "link",
      .effects = { .loss.chance.ppm = 10000, .delay.mean_ns = 1000000 },
      .link = { .rate_bitps = 1700000000,
                .queue_unit = NSP_QUEUE_NS,
                .queue_limit = 10000000 } },
    { .name = "short", .effects.delay.mean_ns = 1000000 },
    { .name = "long", .effects.delay.mean_ns = 1000000000 },
};

static const struct figure {
    const char *name;
    bool bursts, comments;
    const struct nsp_rule *rule; /* NULL: none. */
} figures[] = {
    { "simulate-loss-rate-delay", false, false, &rules[0] },
    { "simulate-loss-rate-delay-bursts", true, false, &rules[0] },
    { "simulate-loss-rate-delay-comments", false, true, &rules[0] },
    { "simulate-held-1000", false, false, &rules[1] },
    { "simulate-held-1000000", false, false, &rules[2] },
    { "simulate-pass", false, false, NULL },
};
#define FIGURES (sizeof figures / sizeof figures[0])

static void
die(const char *what)
{
    fprintf(stderr, "bench_simulate: %s\n", what);
    exit(1);
}

/* --- Runs ----------------------------------------------------------------- */

static uint8_t frame[PACKET_BYTES] = {
    0x45, 0, 0, PACKET_BYTES, 0, 0, 0, 0,  64,  17, 0,   0, 10,
    0,    0, 1, 10,           0, 0, 2, 19, 136, 19, 137, 0, PACKET_BYTES - 20
};

static uint64_t
time_run(const struct figure *figure)
{
    static struct nsp_simulate_notes notes = { .comments = true };
    struct bench_source from = {
        .frames = frame,
        .frame_bytes = PACKET_BYTES,
        .frame_count = 1,
        .pkts = PACKETS,
        .warm_pkts = WARM_PACKETS,
        .pool_pkts = POOL,
        .burst_pkts = figure->bursts ? BURST : 1,
        .interval_ns = (figure->bursts ? BURST : 1) * GAP_NS,
    };
    struct bench_source *const to_device = &from;
    const struct nsp_engine_config cfg = {
        .backend = "custom",
        .custom = { .ops = &bench_source_ops, .device = &to_device },
        .max_held_pkts = POOL,
        .policy = { .rules = figure->rule, .rule_count = figure->rule ? 1 : 0 },
        .fates = figure->comments ? nsp_simulate_take_fates : NULL,
        .fates_context = &notes,
    };
    struct nsp_engine *engine;
    struct nsp_stats stats;
    struct nsp_diag diag;

    if (nsp_engine_create(&cfg, &engine, &diag) != NSP_OK ||
        nsp_engine_start(engine, "true", &diag) != NSP_OK)
        die(diag.text);
    if (nsp_engine_run(engine) != NSP_OK)
        die("the engine's loop failed");
    if (nsp_engine_read_stats(engine, &stats) != NSP_OK ||
        stats.in_pkts != PACKETS || stats.queued_pkts != 0 ||
        stats.delivered_pkts + stats.dropped_pkts[NSP_DROP_LOSS] != PACKETS)
        die("the engine did not pass what it did not lose");
    nsp_engine_destroy(engine);
    return from.end_ns - from.warm_ns;
}

static int
compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

int
main(void)
{
    uint64_t spent_ns[FIGURES][ROUNDS];

    for (int round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < FIGURES; i++)
            spent_ns[i][round] = time_run(&figures[i]);
    for (size_t i = 0; i < FIGURES; i++) {
        uint64_t median_ns;

        qsort(spent_ns[i], ROUNDS, sizeof spent_ns[i][0], compare);
        median_ns = spent_ns[i][ROUNDS / 2];
        printf("%s %.1f ns\n", figures[i].name,
               (double)median_ns / (double)(PACKETS - WARM_PACKETS));
    }
    return 0;
}
