/* The engine in virtual time, one core: what 'nsp simulate' does with each
 * packet, without the files. 200-byte UDP packets come one by one from a device
 * of the bench's own, 1 us apart, through a rule with loss, a rate that they
 * nearly fill, and a delay of 1 ms, so that a thousand are always held; or
 * through one that delays them alone, by 1 ms or 1 s, so that a thousand or a
 * million are.
 *
 * Prints "name value unit" lines, each value the median of ROUNDS rounds that
 * take turns, in processor time, without the first WARM_PACKETS: then all that
 * are held at once are there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

/* Processor time: one thread works and never waits, others on this machine do
 * not count. */
static uint64_t
clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

/* --- Device --------------------------------------------------------------- */

/* Of one run: who runs it looks at the times. */
struct source {
    uint32_t bursts_of;
    uint64_t warm_ns, end_ns; /* Of the processor: when the packet after the
                               * first WARM_PACKETS came, and the last. */
};

struct nsp_io {
    struct source *source;
    struct nsp_pkt *pkts, **free;
    uint32_t free_count;
    uint32_t left_of_burst;
    uint64_t taken, next_ns;
    uint8_t bytes[PACKET_BYTES];
};

static int
open_source(const struct nsp_io_config *cfg, struct nsp_io **ret,
            struct nsp_diag *reterr)
{
    static const uint8_t header[] = { 0x45, 0,
                                      0,    PACKET_BYTES,
                                      0,    0,
                                      0,    0,
                                      64,   17,
                                      0,    0,
                                      10,   0,
                                      0,    1,
                                      10,   0,
                                      0,    2,
                                      19,   136,
                                      19,   137,
                                      0,    PACKET_BYTES - 20 };
    struct nsp_io *io = calloc(1, sizeof *io);

    (void)reterr;
    if (!io)
        die("no memory");
    io->pkts = calloc(POOL, sizeof *io->pkts);
    io->free = calloc(POOL, sizeof *io->free);
    if (!io->pkts || !io->free)
        die("no memory");
    for (; io->free_count < POOL; io->free_count++)
        io->free[io->free_count] = &io->pkts[io->free_count];
    memcpy(io->bytes, header, sizeof header);
    io->source = *(struct source *const *)cfg->device;
    io->left_of_burst = io->source->bursts_of;
    io->next_ns = NSP_PCAPFILE_START_NS;
    *ret = io;
    return NSP_OK;
}

static void
close_source(struct nsp_io *io)
{
    free(io->pkts);
    free(io->free);
    free(io);
}

static uint64_t
next_rx_ns(struct nsp_io *io, uint32_t queue)
{
    (void)queue;
    return io->taken < PACKETS && io->free_count > 0 ? io->next_ns
                                                     : NSP_TIME_NEVER;
}

static void
step(struct nsp_io *io)
{
    struct source *source = io->source;

    if (io->taken == WARM_PACKETS)
        source->warm_ns = clock_ns();
    if (++io->taken == PACKETS)
        source->end_ns = clock_ns();
    if (--io->left_of_burst > 0)
        return;
    io->left_of_burst = source->bursts_of;
    io->next_ns += source->bursts_of * GAP_NS;
}

/* What the engine leaves alone is set when a descriptor is used first. */
static uint32_t
rx_burst(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
         struct nsp_pkt *ret_pkts[], uint32_t max)
{
    uint32_t n = 0;

    for (; n < max && next_rx_ns(io, queue) <= now_ns; n++) {
        struct nsp_pkt *pkt = io->free[--io->free_count];

        if (!pkt->data)
            *pkt = (struct nsp_pkt){ .data = io->bytes,
                                     .cap_bytes = PACKET_BYTES,
                                     .wire_bytes = PACKET_BYTES,
                                     .link = NSP_LINK_RAW };
        pkt->arrival_ns = io->next_ns;
        step(io);
        pkt->device_ref = io->taken;
        ret_pkts[n] = pkt;
    }
    return n;
}

static void
drop_burst(struct nsp_io *io, uint32_t queue, struct nsp_pkt *const pkts[],
           uint32_t n)
{
    (void)queue;
    for (uint32_t i = 0; i < n; i++)
        io->free[io->free_count++] = pkts[i];
}

static uint32_t
tx_burst(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
         struct nsp_pkt *const pkts[], uint32_t n, bool ret_refused[])
{
    (void)now_ns;
    (void)ret_refused;
    drop_burst(io, queue, pkts, n);
    return 0;
}

static void
wake_or_quiesce(struct nsp_io *io)
{
    (void)io;
}

static void
read_stats(struct nsp_io *io, struct nsp_io_stats *ret)
{
    (void)io;
    *ret = (struct nsp_io_stats){ 0 };
}

static int
status(struct nsp_io *io, char *ret, uint32_t ret_bytes)
{
    (void)io;
    if (ret && ret_bytes > 0)
        *ret = '\0';
    return 0;
}

static const struct nsp_io_ops source = {
    .name = "source",
    .caps = NSP_IO_VIRTUAL_TIME | NSP_IO_AHEAD_OF_TIME | NSP_IO_HOLDS_INPUT |
            NSP_IO_HOLDS_OUTPUT | NSP_IO_HOLDS_FORWARD,
    .open = open_source,
    .close = close_source,
    .rx_burst = rx_burst,
    .tx_burst = tx_burst,
    .drop_burst = drop_burst,
    .wake = wake_or_quiesce,
    .next_rx_ns = next_rx_ns,
    .quiesce = wake_or_quiesce,
    .read_stats = read_stats,
    .status = status,
};

/* --- Runs ----------------------------------------------------------------- */

static uint64_t
time_run(const struct figure *figure)
{
    static struct nsp_simulate_notes notes = { .comments = true };
    struct source from = { .bursts_of = figure->bursts ? BURST : 1 };
    struct source *const to_device = &from;
    const struct nsp_engine_config cfg = {
        .backend = "custom",
        .custom = { .ops = &source, .device = &to_device },
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
