#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/diag.h"
#include "base/log.h"
#include "base/memory.h"
#include "io/device.h"
#include "io/nfqueue/nfqueue_device.h"
#include "io/nfqueue/nfqueue_probe.h"
#include "netshaper/engine.h"

/* The live device: packets of this network namespace's stack, taken at the
 * netfilter hooks input, output and forward through NFQUEUE.
 *
 * What happens when
 *   closed   Rules go first, then what is queued is accepted, then the table
 *            goes: nothing is lost.
 *   killed   The kernel removes the table (nfqueue_rules.h) and, until it has,
 *            passes packets by (fail_closed: the table stays, and packets are
 *            dropped, until the next device takes it away). Packets held at
 *            that moment are lost with the queue.
 *   failed   When verdicts could not be sent, what is left in that queue is
 *            dropped on closing: it counts as refused already.
 *   hung     A program in the rules finds no sign of life, and has packets pass
 *            by (fail_closed: be dropped). Those in the queue wait.
 *   overrun  Packets pass by uncounted (fail-open, the default) or are dropped
 *            and counted (fail_closed).
 *
 * A held packet of a local socket stays charged to it and stops TCP: the device
 * does not offer to hold output. */

static void nfqueue_close(struct nsp_io *io);

static int
nfqueue_open(const struct nsp_io_config *cfg, struct nsp_io **ret,
             struct nsp_diag *reterr)
{
    static const struct nsp_nfqueue_config defaults;
    const struct nsp_nfqueue_config *device =
        cfg->device ? cfg->device : &defaults;
    struct nsp_allocator allocator = nsp_allocator_or_libc(&cfg->allocator);
    struct nsp_io *io = nsp_alloc(&allocator, 1, sizeof *io);
    int result;

    if (!io)
        return nsp_device_fail_memory(reterr);
    *io = (struct nsp_io){
        .beats = { .map_fd = -1 },
        .nft = { .fd = -1 },
        .injector = { .ipv4_fd = -1, .ipv6_fd = -1 },
        .counters_fd = -1,
        .allocator = allocator,
        .log = cfg->log,
    };
    result = nsp_nfq_device_open(io, cfg, device, reterr);
    if (result != NSP_OK) {
        nfqueue_close(io);
        return result;
    }
    *ret = io;
    return NSP_OK;
}

/* --- Closing -------------------------------------------------------------- */

static void
nfqueue_quiesce(struct nsp_io *io)
{
    int err;

    if (io->quiesced || io->table[0] == '\0')
        return;
    io->quiesced = true;
    err = nsp_nfq_rules_flush(&io->nft, io->table);
    if (err < 0)
        nsp_log_write(&io->log, NSP_LOG_ERROR,
                      "nfqueue: cannot remove the rules of table %s: %s",
                      io->table, strerror(-err));
}

/* One that goes with its owner is left to that. */
static void
remove_table(struct nsp_io *io)
{
    int err;

    if (!io->fail_closed || io->table[0] == '\0')
        return;
    err = nsp_nfq_rules_remove(&io->nft, io->table);
    if (err < 0 && err != -ENOENT)
        nsp_log_write(&io->log, NSP_LOG_ERROR,
                      "nfqueue: cannot remove table %s: %s", io->table,
                      strerror(-err));
}

static void
nfqueue_close(struct nsp_io *io)
{
    nfqueue_quiesce(io);
    for (uint32_t i = 0; i < io->queues_open; i++)
        nsp_nfq_queue_accept_all(&io->queues[i]);
    /* Before the queues, or it would be taken for that of a dead process. */
    remove_table(io);
    nsp_nl_close(&io->nft);
    for (uint32_t i = 0; i < io->queues_open; i++)
        nsp_nfq_queue_close(&io->queues[i]);
    nsp_nfq_injector_close(&io->injector);
    nsp_beats_log_late(&io->beats, io->fail_closed, &io->log, "nfqueue");
    nsp_beats_close(&io->beats);
    if (io->counters_fd >= 0)
        close(io->counters_fd);
    nsp_release(&io->allocator, io->queues);
    nsp_release(&io->allocator, io);
}

/* --- Packets -------------------------------------------------------------- */

static uint32_t
nfqueue_rx_burst(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
                 struct nsp_pkt *ret_pkts[], uint32_t max)
{
    if (io->beats.shared)
        nsp_beats_alive(&io->beats, queue);
    return nsp_nfq_rx_burst(&io->queues[queue], now_ns, ret_pkts, max);
}

static uint32_t
nfqueue_tx_burst(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
                 struct nsp_pkt *const pkts[], uint32_t n, bool ret_refused[])
{
    uint32_t refused =
        nsp_nfq_tx_burst(&io->queues[queue], pkts, n, ret_refused);

    (void)now_ns; /* Sent at once. */
    if (io->quiesced)
        nsp_nfq_read_answers(&io->queues[queue]);
    return refused;
}

static void
nfqueue_drop_burst(struct nsp_io *io, uint32_t queue,
                   struct nsp_pkt *const pkts[], uint32_t n)
{
    nsp_nfq_drop_burst(&io->queues[queue], pkts, n);
    if (io->quiesced)
        nsp_nfq_read_answers(&io->queues[queue]);
}

static int
nfqueue_retain(struct nsp_io *io, uint32_t queue, struct nsp_pkt *pkt)
{
    return nsp_nfq_retain(&io->queues[queue], pkt);
}

/* The interface towards which a packet like 'like', or its answer, goes. A
 * packet of INPUT or OUTPUT has one interface, and both go there. */
static uint32_t
ifindex_towards(const struct nsp_pkt *like, bool reply)
{
    if (like->in_ifindex == 0 || like->out_ifindex == 0)
        return like->in_ifindex | like->out_ifindex;
    return reply ? like->in_ifindex : like->out_ifindex;
}

static int
nfqueue_inject(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
               const uint8_t *ip, uint32_t ip_bytes, bool reply,
               const struct nsp_pkt *like)
{
    (void)queue;
    (void)now_ns;
    return nsp_nfq_inject(&io->injector, ip, ip_bytes,
                          ifindex_towards(like, reply));
}

static int
nfqueue_ready_fd(struct nsp_io *io, uint32_t queue, uint64_t *timeout_ns)
{
    struct nsp_nfq_queue *q = &io->queues[queue];

    if (io->beats.shared) {
        nsp_beats_alive(&io->beats, queue);
        *timeout_ns = nsp_min_u64(*timeout_ns, io->beats.hang_ns / 4);
    }
    return nsp_nfq_queue_can_receive(q) ? q->nl.fd : -1;
}

static int
nfqueue_wait(struct nsp_io *io, uint32_t queue, uint64_t timeout_ns)
{
    int fd = nfqueue_ready_fd(io, queue, &timeout_ns);
    int result = nsp_wakeup_wait(&io->queues[queue].wakeup, fd, timeout_ns);

    return result < 0 ? result : 0;
}

static void
nfqueue_wake(struct nsp_io *io)
{
    for (uint32_t i = 0; i < io->queue_count; i++)
        nsp_wakeup_set(&io->queues[i].wakeup);
}

/* --- State ---------------------------------------------------------------- */

static void
nfqueue_read_stats(struct nsp_io *io, struct nsp_io_stats *ret)
{
    *ret = (struct nsp_io_stats){ 0 };
    nsp_beats_count_late(&io->beats, io->fail_closed, ret);
    for (uint32_t i = 0; i < io->queue_count; i++) {
        struct nsp_nfq_queue *queue = &io->queues[i];
        struct nsp_nfq_counters kernel;

        ret->kernel_lost_pkts += nsp_counter_read(&queue->lost_pkts);
        ret->stale_verdict_pkts += nsp_counter_read(&queue->stale_verdict_pkts);
        ret->device_errors += nsp_counter_read(&queue->device_errors);
        if (io->counters_fd < 0 ||
            nsp_nfq_counters_read(io->counters_fd, queue->number, &kernel) < 0)
            continue;
        ret->kernel_dropped_pkts += kernel.dropped_pkts;
        ret->kernel_lost_pkts += kernel.lost_pkts;
    }
}

static int
nfqueue_status(struct nsp_io *io, char *ret, uint32_t ret_bytes)
{
    for (uint32_t i = 0; i < io->queue_count; i++) {
        int err =
            atomic_load_explicit(&io->queues[i].status, memory_order_relaxed);

        if (err == 0)
            continue;
        if (ret && ret_bytes > 0)
            snprintf(ret, ret_bytes, "nfqueue: queue %u has failed: %s",
                     io->queues[i].number, strerror(-err));
        return err;
    }
    return 0;
}

static int
nfqueue_adjust(struct nsp_io *io, uint32_t snap_bytes, bool superpackets)
{
    int err = 0;

    if (!io->queues[0].config.edits)
        return -EINVAL;
    for (uint32_t i = 0; i < io->queue_count && err == 0; i++)
        err = nsp_nfq_queue_adjust(&io->queues[i], snap_bytes, superpackets);
    return err;
}

extern const struct nsp_io_ops nsp_nfqueue_ops;
const struct nsp_io_ops nsp_nfqueue_ops = {
    .name = "nfqueue",
    .caps = NSP_IO_CAN_MODIFY | NSP_IO_CAN_INJECT | NSP_IO_HOLDS_INPUT |
            NSP_IO_HOLDS_FORWARD | NSP_IO_HOOKS | NSP_IO_SETS_MARKS,
    .open = nfqueue_open,
    .close = nfqueue_close,
    .rx_burst = nfqueue_rx_burst,
    .tx_burst = nfqueue_tx_burst,
    .drop_burst = nfqueue_drop_burst,
    .retain = nfqueue_retain,
    .inject = nfqueue_inject,
    .wait = nfqueue_wait,
    .wake = nfqueue_wake,
    .quiesce = nfqueue_quiesce,
    .adjust = nfqueue_adjust,
    .read_stats = nfqueue_read_stats,
    .status = nfqueue_status,
    .probe = nsp_nfq_probe,
    .ready_fd = nfqueue_ready_fd,
};
