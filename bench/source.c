#define _POSIX_C_SOURCE 200809L
#include "bench/source.h"

#include <stdlib.h>
#include <time.h>

#include "netshaper/engine.h"

struct nsp_io {
    struct bench_source *source;
    struct nsp_pkt *pkts, **free;
    uint32_t free_count;
    uint32_t left_of_burst, frame;
    uint64_t taken, next_ns;
};

uint64_t
bench_processor_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

static void
close_source(struct nsp_io *io)
{
    free(io->pkts);
    free(io->free);
    free(io);
}

static int
open_source(const struct nsp_io_config *cfg, struct nsp_io **ret,
            struct nsp_diag *reterr)
{
    struct bench_source *source = *(struct bench_source *const *)cfg->device;
    struct nsp_io *io = calloc(1, sizeof *io);

    (void)reterr;
    if (!io)
        return NSP_NO_MEMORY;
    io->pkts = calloc(source->pool_pkts, sizeof *io->pkts);
    io->free = calloc(source->pool_pkts, sizeof *io->free);
    if (!io->pkts || !io->free) {
        close_source(io);
        return NSP_NO_MEMORY;
    }
    for (; io->free_count < source->pool_pkts; io->free_count++)
        io->free[io->free_count] = &io->pkts[io->free_count];
    io->source = source;
    source->io = io;
    io->left_of_burst = source->burst_pkts;
    io->next_ns = NSP_PCAPFILE_START_NS;
    *ret = io;
    return NSP_OK;
}

static uint64_t
next_rx_ns(struct nsp_io *io, uint32_t queue)
{
    (void)queue;
    return io->taken < io->source->pkts && io->free_count > 0 ? io->next_ns
                                                              : NSP_TIME_NEVER;
}

static uint64_t
read_clock(void *context)
{
    struct bench_source *source = context;

    if (!source->has_come && source->io) {
        source->now_ns = next_rx_ns(source->io, 0);
        if (source->now_ns == NSP_TIME_NEVER)
            source->now_ns--;
    }
    source->has_come = false;
    return source->now_ns;
}

struct nsp_clock
bench_source_clock(struct bench_source *source)
{
    source->now_ns = NSP_PCAPFILE_START_NS;
    return (struct nsp_clock){ read_clock, source };
}

static void
step(struct nsp_io *io)
{
    struct bench_source *source = io->source;

    if (io->taken == source->warm_pkts)
        source->warm_ns = bench_processor_ns();
    if (++io->taken == source->pkts)
        source->end_ns = bench_processor_ns();
    if (++io->frame == source->frame_count)
        io->frame = 0;
    if (--io->left_of_burst > 0)
        return;
    io->left_of_burst = source->burst_pkts;
    io->next_ns += source->interval_ns;
}

/* What the engine leaves alone is set when a descriptor is used first, and when
 * its packet was changed. */
static uint32_t
rx_burst(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
         struct nsp_pkt *ret_pkts[], uint32_t max)
{
    const struct bench_source *source = io->source;
    uint32_t n = 0;

    for (; n < max && next_rx_ns(io, queue) <= now_ns; n++) {
        struct nsp_pkt *pkt = io->free[--io->free_count];

        if (!pkt->data || pkt->flags != 0)
            *pkt = (struct nsp_pkt){ .cap_bytes = source->frame_bytes,
                                     .wire_bytes = source->frame_bytes,
                                     .link = NSP_LINK_RAW };
        pkt->data = source->frames + (size_t)io->frame * source->frame_bytes;
        pkt->arrival_ns = io->next_ns;
        step(io);
        pkt->device_ref = io->taken;
        ret_pkts[n] = pkt;
    }
    io->source->has_come |= n > 0;
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

static int
inject(struct nsp_io *io, uint32_t queue, uint64_t now_ns, const uint8_t *ip,
       uint32_t ip_bytes, bool reply, const struct nsp_pkt *like)
{
    (void)io;
    (void)queue;
    (void)now_ns;
    (void)ip;
    (void)ip_bytes;
    (void)reply;
    (void)like;
    return 0;
}

static void
wake_or_quiesce(struct nsp_io *io)
{
    (void)io;
}

static int
wait_for_nothing(struct nsp_io *io, uint32_t queue, uint64_t timeout_ns)
{
    (void)io;
    (void)queue;
    (void)timeout_ns;
    return 0;
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

#define HOOKS (NSP_IO_HOLDS_INPUT | NSP_IO_HOLDS_OUTPUT | NSP_IO_HOLDS_FORWARD)

#define OPS                                                                    \
    .name = "source", .open = open_source, .close = close_source,              \
    .rx_burst = rx_burst, .tx_burst = tx_burst, .drop_burst = drop_burst,      \
    .inject = inject, .wake = wake_or_quiesce, .quiesce = wake_or_quiesce,     \
    .read_stats = read_stats, .status = status

const struct nsp_io_ops bench_source_ops = {
    OPS,
    .caps = NSP_IO_VIRTUAL_TIME | NSP_IO_AHEAD_OF_TIME | NSP_IO_CAN_MODIFY |
            NSP_IO_CAN_INJECT | HOOKS,
    .next_rx_ns = next_rx_ns,
};

const struct nsp_io_ops bench_live_source_ops = {
    OPS,
    .caps = NSP_IO_CAN_MODIFY | NSP_IO_CAN_INJECT | HOOKS,
    .wait = wait_for_nothing,
};
