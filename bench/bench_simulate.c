/* The engine in virtual time, one core: what 'nsp simulate' does with each
 * packet, without the files. 200-byte UDP packets come one by one from a device
 * of the bench's own, 1 us apart, through a rule with loss, a rate that they
 * nearly fill, and a delay of 1 ms, so that a thousand are always held.
 *
 * Prints "name value unit" lines, each value the median of ROUNDS rounds that
 * take turns, in processor time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/simulate.h"
#include "netshaper/engine.h"

#define ROUNDS       5
#define PACKETS      UINT64_C(3000000)
#define POOL         65536u
#define PACKET_BYTES 200u
#define GAP_NS       UINT64_C(1000)
#define BURST        32u /* Of those that come at once. */

enum figure { SPACED, BURSTS, COMMENTS, PASS, FIGURES };

static const struct {
    const char *name;
    bool bursts, comments, effects;
} figures[FIGURES] = {
    [SPACED] = { "simulate-loss-rate-delay", false, false, true },
    [BURSTS] = { "simulate-loss-rate-delay-bursts", true, false, true },
    [COMMENTS] = { "simulate-loss-rate-delay-comments", false, true, true },
    [PASS] = { "simulate-pass", false, false, false },
};

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

struct nsp_io {
    struct nsp_pkt *pkts, **free;
    uint32_t free_count;
    uint64_t taken;
    uint64_t bursts_of;
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
    io->bursts_of = *(const uint64_t *)cfg->device;
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
arrival_ns(const struct nsp_io *io)
{
    return NSP_PCAPFILE_START_NS +
           io->taken / io->bursts_of * io->bursts_of * GAP_NS;
}

static uint64_t
next_rx_ns(struct nsp_io *io, uint32_t queue)
{
    (void)queue;
    return io->taken < PACKETS && io->free_count > 0 ? arrival_ns(io)
                                                     : NSP_TIME_NEVER;
}

static uint32_t
rx_burst(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
         struct nsp_pkt *ret_pkts[], uint32_t max)
{
    uint32_t n = 0;

    for (; n < max && next_rx_ns(io, queue) <= now_ns; n++) {
        struct nsp_pkt *pkt = io->free[--io->free_count];

        *pkt = (struct nsp_pkt){ .data = io->bytes,
                                 .cap_bytes = PACKET_BYTES,
                                 .wire_bytes = PACKET_BYTES,
                                 .arrival_ns = arrival_ns(io),
                                 .link = NSP_LINK_RAW,
                                 .device_ref = ++io->taken };
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
    .caps = NSP_IO_VIRTUAL_TIME | NSP_IO_HOLDS_INPUT | NSP_IO_HOLDS_OUTPUT |
            NSP_IO_HOLDS_FORWARD,
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
time_run(enum figure figure)
{
    static struct nsp_simulate_notes notes = { .comments = true };
    static const struct nsp_rule rule = {
        .name = "link",
        .effects = { .loss.chance.ppm = 10000, .delay.mean_ns = 1000000 },
        .link = { .rate_bitps = 1700000000,
                  .queue_unit = NSP_QUEUE_NS,
                  .queue_limit = 10000000 },
    };
    const uint64_t bursts_of = figures[figure].bursts ? BURST : 1;
    const struct nsp_engine_config cfg = {
        .backend = "custom",
        .custom = { .ops = &source, .device = &bursts_of },
        .max_held_pkts = POOL,
        .policy = { .rules = &rule,
                    .rule_count = figures[figure].effects ? 1 : 0 },
        .fates = figures[figure].comments ? nsp_simulate_take_fates : NULL,
        .fates_context = &notes,
    };
    struct nsp_engine *engine;
    struct nsp_stats stats;
    struct nsp_diag diag;
    uint64_t since_ns, spent_ns;

    if (nsp_engine_create(&cfg, &engine, &diag) != NSP_OK ||
        nsp_engine_start(engine, "true", &diag) != NSP_OK)
        die(diag.text);
    since_ns = clock_ns();
    if (nsp_engine_run(engine) != NSP_OK)
        die("the engine's loop failed");
    spent_ns = clock_ns() - since_ns;
    if (nsp_engine_read_stats(engine, &stats) != NSP_OK ||
        stats.in_pkts != PACKETS || stats.queued_pkts != 0 ||
        stats.delivered_pkts + stats.dropped_pkts[NSP_DROP_LOSS] != PACKETS)
        die("the engine did not pass what it did not lose");
    nsp_engine_destroy(engine);
    return spent_ns;
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
        for (int i = 0; i < FIGURES; i++)
            spent_ns[i][round] = time_run((enum figure)i);
    for (int i = 0; i < FIGURES; i++) {
        uint64_t median_ns;

        qsort(spent_ns[i], ROUNDS, sizeof spent_ns[i][0], compare);
        median_ns = spent_ns[i][ROUNDS / 2];
        printf("%s %.1f ns\n", figures[i].name,
               (double)median_ns / (double)PACKETS);
    }
    return 0;
}
