#include "io/host.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/diag.h"
#include "base/log.h"
#include "base/memory.h"
#include "os/linux/link_watch.h"
#include "os/linux/tc_hook.h"

struct part {
    const struct nsp_io_ops *ops;
    struct nsp_io *io;
    uint32_t hooks;
    uint8_t link;
};

/* What one worker writes is on lines of its own. */
struct queue {
    uint64_t last_arrival_ns;
    uint32_t turn; /* The part that is asked first. */
    uint8_t padding[NSP_CACHE_LINE - sizeof(uint64_t) - sizeof(uint32_t)];
};

struct nsp_io {
    struct part parts[NSP_HOST_PARTS_MAX];
    uint32_t part_count;
    struct nsp_allocator allocator;
    struct queue queues[]; /* One for each worker. */
};

/* --- Opening and closing -------------------------------------------------- */

static void
host_close(struct nsp_io *io)
{
    struct nsp_allocator allocator = io->allocator;

    for (uint32_t i = io->part_count; i-- > 0;)
        io->parts[i].ops->close(io->parts[i].io);
    nsp_release(&allocator, io);
}

static void
put_before(struct nsp_diag *diag, const char *why)
{
    char text[sizeof diag->text];

    memcpy(text, diag->text, sizeof text);
    snprintf(diag->text, sizeof diag->text, "%s: %.160s", why, text);
}

static bool
shares_output(const struct nsp_host_config *host)
{
    uint32_t sharing = 0;

    for (uint32_t i = 0; i < host->part_count; i++)
        sharing += (host->parts[i].hooks & NSP_HOOK_OUTPUT) != 0;
    return sharing > 1;
}

static int
open_part(struct nsp_io *io, const struct nsp_io_config *cfg,
          const struct nsp_host_part *part, struct nsp_diag *reterr)
{
    const struct nsp_host_config *host = cfg->device;
    struct part *opened = &io->parts[io->part_count];
    struct nsp_io_config own = *cfg;
    int result;

    own.device = part->device;
    own.hooks = cfg->hooks & part->hooks;
    own.shares_output = shares_output(host);
    opened->ops = part->ops;
    opened->hooks = part->hooks;
    opened->link = part->link;
    result = part->ops->open(&own, &opened->io, reterr);
    if (result == NSP_OK)
        io->part_count++;
    else if (part->why && reterr)
        put_before(reterr, part->why);
    return result;
}

static void
clear_left(void *context, const struct nsp_link_news *news)
{
    (void)context;
    nsp_tc_hook_clear_left(news->ifindex);
}

/* One that died may have had a tap, which dropped what it no longer gave to
 * anybody, where this one has none. */
static void
clear_interfaces(const struct nsp_log_sink *log)
{
    int err = nsp_link_list(clear_left, NULL);

    if (err < 0)
        nsp_log_write(log, NSP_LOG_WARNING,
                      "host: cannot look for what others left at interfaces: "
                      "%s",
                      strerror(-err));
}

static int
host_open(const struct nsp_io_config *cfg, struct nsp_io **ret,
          struct nsp_diag *reterr)
{
    const struct nsp_host_config *host = cfg->device;
    struct nsp_allocator allocator = nsp_allocator_or_libc(&cfg->allocator);
    struct nsp_io *io = nsp_alloc(
        &allocator, 1, sizeof *io + cfg->queues * sizeof io->queues[0]);
    int result = NSP_OK;

    if (!io)
        return nsp_diag_set(reterr, NSP_NO_MEMORY, "no-memory", NULL,
                            "no memory for a device");
    io->allocator = allocator;
    for (uint32_t i = 0; i < host->part_count && result == NSP_OK; i++)
        result = open_part(io, cfg, &host->parts[i], reterr);
    if (result != NSP_OK) {
        host_close(io);
        return result;
    }
    clear_interfaces(&cfg->log);
    *ret = io;
    return NSP_OK;
}

static void
host_quiesce(struct nsp_io *io)
{
    for (uint32_t i = 0; i < io->part_count; i++)
        io->parts[i].ops->quiesce(io->parts[i].io);
}

/* --- Receiving ------------------------------------------------------------ */

static void
put_in_order(struct queue *queue, struct nsp_pkt *const pkts[], uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        queue->last_arrival_ns =
            nsp_max_u64(queue->last_arrival_ns, pkts[i]->arrival_ns);
        pkts[i]->arrival_ns = queue->last_arrival_ns;
    }
}

static uint32_t
host_rx_burst(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
              struct nsp_pkt *ret_pkts[], uint32_t max)
{
    struct queue *q = &io->queues[queue];
    uint32_t n = 0;

    assert(io->part_count > 0);
    for (uint32_t i = 0; i < io->part_count && n < max; i++) {
        const struct part *part = &io->parts[(q->turn + i) % io->part_count];

        n +=
            part->ops->rx_burst(part->io, queue, now_ns, ret_pkts + n, max - n);
    }
    q->turn = (q->turn + 1) % io->part_count;
    if (io->part_count > 1)
        put_in_order(q, ret_pkts, n);
    return n;
}

/* --- Giving back ---------------------------------------------------------- */

static bool
lends(const struct part *part, const struct nsp_pkt *pkt)
{
    return (part->hooks & pkt->hook) != 0 && part->link == pkt->link;
}

static const struct part *
part_of(const struct nsp_io *io, const struct nsp_pkt *pkt)
{
    uint32_t i = 0;

    while (i + 1 < io->part_count && !lends(&io->parts[i], pkt))
        i++;
    return &io->parts[i];
}

/* The length of the run of packets of one part that 'pkts' begins with: bursts
 * are mostly of one. */
static uint32_t
run_of(const struct nsp_io *io, struct nsp_pkt *const pkts[], uint32_t n)
{
    const struct part *part = part_of(io, pkts[0]);
    uint32_t run = 1;

    while (run < n && part_of(io, pkts[run]) == part)
        run++;
    return run;
}

static uint32_t
host_tx_burst(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
              struct nsp_pkt *const pkts[], uint32_t n, bool ret_refused[])
{
    uint32_t refused = 0;

    for (uint32_t i = 0, run; i < n; i += run) {
        const struct part *part = part_of(io, pkts[i]);

        run = run_of(io, pkts + i, n - i);
        refused += part->ops->tx_burst(part->io, queue, now_ns, pkts + i, run,
                                       ret_refused + i);
    }
    return refused;
}

static void
host_drop_burst(struct nsp_io *io, uint32_t queue, struct nsp_pkt *const pkts[],
                uint32_t n)
{
    for (uint32_t i = 0, run; i < n; i += run) {
        const struct part *part = part_of(io, pkts[i]);

        run = run_of(io, pkts + i, n - i);
        part->ops->drop_burst(part->io, queue, pkts + i, run);
    }
}

static int
host_retain(struct nsp_io *io, uint32_t queue, struct nsp_pkt *pkt)
{
    const struct part *part = part_of(io, pkt);

    return part->ops->retain ? part->ops->retain(part->io, queue, pkt) : 0;
}

static int
host_inject(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
            const uint8_t *ip, uint32_t ip_bytes, bool reply,
            const struct nsp_pkt *like)
{
    const struct part *part = part_of(io, like);

    return part->ops->inject(part->io, queue, now_ns, ip, ip_bytes, reply,
                             like);
}

/* --- Waiting -------------------------------------------------------------- */

static int
host_wait(struct nsp_io *io, uint32_t queue, uint64_t timeout_ns)
{
    const struct part *first = &io->parts[0], *second = &io->parts[1];
    int fd;

    if (io->part_count == 1)
        return first->ops->wait(first->io, queue, timeout_ns);
    fd = second->ops->ready_fd(second->io, queue, &timeout_ns);
    return first->ops->wait_with(first->io, queue, timeout_ns, fd);
}

static void
host_wake(struct nsp_io *io)
{
    io->parts[0].ops->wake(io->parts[0].io);
}

/* --- State ---------------------------------------------------------------- */

static int
host_adjust(struct nsp_io *io, uint32_t snap_bytes, bool superpackets)
{
    int err = 0;

    for (uint32_t i = 0; i < io->part_count && err == 0; i++)
        err =
            io->parts[i].ops->adjust(io->parts[i].io, snap_bytes, superpackets);
    return err;
}

/* At most one of two decides in the kernel: the tap. */
static const struct part *
deciding_part(const struct nsp_io *io)
{
    for (uint32_t i = 0; i < io->part_count; i++)
        if (io->parts[i].ops->offload)
            return &io->parts[i];
    return NULL;
}

static int
host_offload(struct nsp_io *io, const struct nsp_offload_request *request,
             struct nsp_offload_counters ret_last[])
{
    const struct part *part = deciding_part(io);

    return part ? part->ops->offload(part->io, request, ret_last) : -EOPNOTSUPP;
}

static void
host_offload_flows(struct nsp_io *io, const struct nsp_offload_flow flows[],
                   uint32_t n, uint64_t generation)
{
    const struct part *part = deciding_part(io);

    if (part)
        part->ops->offload_flows(part->io, flows, n, generation);
}

static int
host_share_buckets(struct nsp_io *io, uint32_t count, uint64_t **ret)
{
    const struct part *part = deciding_part(io);

    return part ? part->ops->share_buckets(part->io, count, ret) : -EOPNOTSUPP;
}

static void
host_read_offload(struct nsp_io *io, uint32_t index,
                  struct nsp_offload_counters *ret)
{
    const struct part *part = deciding_part(io);

    if (part)
        part->ops->read_offload(part->io, index, ret);
    else
        *ret = (struct nsp_offload_counters){ 0 };
}

static void
host_read_stats(struct nsp_io *io, struct nsp_io_stats *ret)
{
    *ret = (struct nsp_io_stats){ 0 };
    for (uint32_t i = 0; i < io->part_count; i++) {
        struct nsp_io_stats one;

        io->parts[i].ops->read_stats(io->parts[i].io, &one);
        ret->passed_by_pkts += one.passed_by_pkts;
        ret->kernel_dropped_pkts += one.kernel_dropped_pkts;
        ret->kernel_lost_pkts += one.kernel_lost_pkts;
        ret->stale_verdict_pkts += one.stale_verdict_pkts;
        ret->device_errors += one.device_errors;
    }
}

static int
host_status(struct nsp_io *io, char *ret, uint32_t ret_bytes)
{
    int err = 0;

    for (uint32_t i = 0; i < io->part_count && err == 0; i++)
        err = io->parts[i].ops->status(io->parts[i].io, ret, ret_bytes);
    return err;
}

const struct nsp_io_ops nsp_host_ops = {
    .name = "host",
    .caps = NSP_IO_CAN_MODIFY | NSP_IO_CAN_INJECT | NSP_IO_HOLDS_INPUT |
            NSP_IO_HOLDS_OUTPUT | NSP_IO_HOLDS_FORWARD | NSP_IO_HOOKS |
            NSP_IO_SETS_MARKS,
    .open = host_open,
    .close = host_close,
    .rx_burst = host_rx_burst,
    .tx_burst = host_tx_burst,
    .drop_burst = host_drop_burst,
    .retain = host_retain,
    .inject = host_inject,
    .wait = host_wait,
    .wake = host_wake,
    .quiesce = host_quiesce,
    .adjust = host_adjust,
    .offload = host_offload,
    .read_offload = host_read_offload,
    .share_buckets = host_share_buckets,
    .offload_flows = host_offload_flows,
    .read_stats = host_read_stats,
    .status = host_status,
};
