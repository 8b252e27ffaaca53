#define _GNU_SOURCE
#include <errno.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/log.h"
#include "base/memory.h"
#include "io/device.h"
#include "io/nfqueue/nfqueue_counters.h"
#include "io/nfqueue/nfqueue_inject.h"
#include "io/nfqueue/nfqueue_probe.h"
#include "io/nfqueue/nfqueue_queue.h"
#include "io/nfqueue/nfqueue_rules.h"
#include "netshaper/engine.h"

/* The live device: packets of this network namespace's stack, taken at the
 * netfilter hooks input, output and forward through NFQUEUE.
 *
 * What happens when
 *   closed   Rules go first, then what is queued is accepted, then the table
 *            goes: nothing is lost.
 *   killed   The kernel removes the table (nfqueue_rules.h) and, until it has,
 *            passes packets by (unless fail_closed). Packets held at that
 *            moment are lost with the queue.
 *   failed   When verdicts could not be sent, what is left in that queue is
 *            dropped on closing: it counts as refused already.
 *   overrun  Packets pass by uncounted (fail-open, the default) or are dropped
 *            and counted (fail_closed).
 *
 * A held packet of a local socket stays charged to it and stops TCP: the device
 * does not offer to hold output. */

/* Automatic queue numbers start in this range, at a place that depends on the
 * process, so that engines seldom try each other's. */
#define AUTO_QUEUE_FIRST 1024u
#define AUTO_QUEUE_LAST  65535u

struct nsp_io {
    struct nsp_nfq_queue *queues;
    uint32_t queue_count, queues_open;
    struct nsp_nl nft;               /* Owns the table. */
    char table[NSP_NFQ_TABLE_BYTES]; /* Empty while there is none. */
    _Atomic bool quiesced;           /* One worker says so to the others. */
    struct nsp_nfq_injector injector;
    int counters_fd; /* -1: the kernel's counters cannot be read. */
    struct nsp_allocator allocator;
    struct nsp_log_sink log;
};

/* --- Errors for humans ---------------------------------------------------- */

static int
fail_privilege(struct nsp_diag *reterr)
{
    return nsp_diag_set(
        reterr, NSP_NOT_POSSIBLE, "privilege",
        "run as root or with CAP_NET_ADMIN and CAP_NET_RAW, or in a user and "
        "network namespace of your own (unshare --map-root-user --net)",
        "no privilege over this network namespace");
}

static int
fail_kernel(struct nsp_diag *reterr, const char *what, const char *options)
{
    return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "kernel-feature", options,
                        "the kernel lacks %s", what);
}

/* What helps against an error of the system that tells nothing of packets. */
static const char *
cure_for(int err)
{
    switch (err) {
    case -EMFILE:
        return "raise the limit of open files of a process: ulimit -n 1024";
    case -ENFILE:
        return "raise the machine's limit of open files: sysctl fs.file-max";
    case -ENOBUFS:
        return "free memory, or lower the number of queues";
    default:
        return "'nsp doctor' tells what is missing here";
    }
}

/* An error of opening or starting queues. */
static int
fail_queue(struct nsp_diag *reterr, int err, const char *step)
{
    switch (err) {
    case -EPERM:
    case -EACCES:
        return fail_privilege(reterr);
    case -ENOMEM:
        return nsp_device_fail_memory(reterr);
    case -EPROTONOSUPPORT:
    case -EAFNOSUPPORT:
    case -EINVAL: /* nfnetlink knows no such subsystem. */
    case -EOPNOTSUPP:
        return fail_kernel(reterr, "NFQUEUE",
                           "it needs CONFIG_NETFILTER_NETLINK_QUEUE (module "
                           "nfnetlink_queue)");
    default:
        return nsp_diag_set_errno(reterr, NSP_OPEN_FAILED, "queue", -err,
                                  cure_for(err), "%s", step);
    }
}

static int
fail_rules(struct nsp_diag *reterr, int err, enum nsp_nfq_refused refused)
{
    if (err == -EPERM)
        return fail_privilege(reterr);
    if (refused == NSP_NFQ_REFUSED_SUBSYSTEM &&
        (err == -EOPNOTSUPP || err == -EINVAL))
        return fail_kernel(
            reterr, "nf_tables",
            "it needs CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET "
            "(module nf_tables)");
    if (refused == NSP_NFQ_REFUSED_TABLE &&
        (err == -EOPNOTSUPP || err == -EINVAL))
        return fail_kernel(reterr, "nftables tables with an owner",
                           "it needs Linux 5.12 or later with CONFIG_NF_TABLES "
                           "and CONFIG_NF_TABLES_INET");
    if (refused == NSP_NFQ_REFUSED_CHAIN &&
        (err == -EOPNOTSUPP || err == -ENOENT))
        return fail_kernel(reterr, "filter chains of family inet",
                           "it needs CONFIG_NF_TABLES_INET");
    if (refused == NSP_NFQ_REFUSED_RULE && err == -ENOENT)
        return fail_kernel(
            reterr, "a way to queue packets from nftables",
            "it needs CONFIG_NFT_QUEUE, or CONFIG_NFT_COMPAT and "
            "CONFIG_NETFILTER_XT_TARGET_NFQUEUE");
    return nsp_diag_set_errno(reterr, NSP_OPEN_FAILED, "nft-rules", -err,
                              cure_for(err),
                              "the kernel refuses the nftables rules");
}

static int
fail_taken(const struct nsp_io *io, struct nsp_diag *reterr, uint16_t number)
{
    const char *cure =
        "choose another queue number, or none for a free one; "
        "'grep . /proc/net/netfilter/nfnetlink_queue' lists those "
        "in use";
    struct nsp_nfq_counters row;

    if (io->counters_fd >= 0 &&
        nsp_nfq_counters_read(io->counters_fd, number, &row) == 0)
        return nsp_diag_set(reterr, NSP_OPEN_FAILED, "queue-taken", cure,
                            "queue %u is taken by netlink port %u (usually the "
                            "process of that number)",
                            number, row.port_id);
    return nsp_diag_set(reterr, NSP_OPEN_FAILED, "queue-taken", cure,
                        "queue %u is taken by another process", number);
}

/* --- Opening -------------------------------------------------------------- */

static int
check_config(const struct nsp_io_config *cfg,
             const struct nsp_nfqueue_config *device, struct nsp_diag *reterr)
{
    const uint32_t all_hooks =
        NSP_HOOK_INPUT | NSP_HOOK_OUTPUT | NSP_HOOK_FORWARD;
    int result = nsp_device_check_config(cfg, reterr);

    if (result != NSP_OK)
        return result;
    if (cfg->hooks & ~all_hooks)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "hooks",
                            "choose of NSP_HOOK_INPUT, OUTPUT and FORWARD",
                            "no set of hooks to tap: 0x%x", cfg->hooks);
    if (device->first_queue > UINT16_MAX + 1 - cfg->queues)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "queue-number",
                            "choose a lower first number, or none for a free "
                            "one",
                            "%u queues from number %u go beyond 65535",
                            cfg->queues, device->first_queue);
    return NSP_OK;
}

static int
open_queues(struct nsp_io *io, const struct nsp_io_config *cfg,
            const struct nsp_nfqueue_config *device, struct nsp_diag *reterr)
{
    struct nsp_nfq_queue_config queue_cfg = {
        .max_held_pkts = cfg->max_held_pkts,
        .max_queue_pkts = device->max_queue_pkts,
        .snap_bytes = cfg->snap_bytes,
        .loopback_ifindex = if_nametoindex("lo"),
        .superpackets = cfg->superpackets,
        .edits = cfg->edits,
        .fail_closed = device->fail_closed,
        .allocator = io->allocator,
        .clock = cfg->clock,
        .log = io->log,
    };
    int err;

    for (uint32_t i = 0; i < io->queue_count; i++) {
        queue_cfg.index = i;
        err = nsp_nfq_queue_open(&io->queues[i], &queue_cfg);
        io->queues_open++;
        if (err < 0)
            return fail_queue(reterr, err, "cannot open a netlink socket");
    }
    /* Binding a taken queue is refused with EPERM as well, so whether the
     * caller may bind at all is asked first. */
    err = nsp_nfq_request_command(&io->queues[0].nl, 0, NFQNL_CFG_CMD_PF_BIND);
    if (err < 0)
        return fail_queue(reterr, err, "the kernel refuses to bind queues");
    return NSP_OK;
}

/* Binds queues 'first' and up. On failure none is bound, and '*reterr_taken' is
 * the number that could not be. */
static int
bind_range(struct nsp_io *io, uint32_t first, uint32_t *reterr_taken)
{
    for (uint32_t i = 0; i < io->queue_count; i++) {
        int err = nsp_nfq_queue_bind(&io->queues[i], (uint16_t)(first + i));

        if (err == 0)
            continue;
        for (uint32_t j = 0; j < i; j++)
            nsp_nfq_queue_unbind(&io->queues[j]);
        *reterr_taken = first + i;
        return err;
    }
    return 0;
}

static int
bind_free_range(struct nsp_io *io, struct nsp_diag *reterr)
{
    const uint32_t span =
        AUTO_QUEUE_LAST - AUTO_QUEUE_FIRST - io->queue_count + 2;
    uint32_t at = (uint32_t)getpid() * NSP_IO_QUEUES_MAX % span;

    for (uint32_t tried = 0; tried < span;) {
        uint32_t first = AUTO_QUEUE_FIRST + at, taken;
        int err = bind_range(io, first, &taken);

        if (err == 0)
            return NSP_OK;
        if (err != -EPERM)
            return fail_queue(reterr, err, "cannot bind a queue");
        tried += taken - first + 1;
        at = (at + taken - first + 1) % span;
    }
    return nsp_diag_set(reterr, NSP_OPEN_FAILED, "queue-taken",
                        "end other programs that use NFQUEUE",
                        "no %u free queue numbers in a row", io->queue_count);
}

static int
bind_queues(struct nsp_io *io, const struct nsp_nfqueue_config *device,
            struct nsp_diag *reterr)
{
    uint32_t taken;
    int err;

    if (device->first_queue == 0)
        return bind_free_range(io, reterr);
    err = bind_range(io, device->first_queue, &taken);
    if (err == -EPERM)
        return fail_taken(io, reterr, (uint16_t)taken);
    if (err < 0)
        return fail_queue(reterr, err, "cannot bind a queue");
    return NSP_OK;
}

static int
start_queues(struct nsp_io *io, struct nsp_diag *reterr)
{
    for (uint32_t i = 0; i < io->queue_count; i++) {
        int err = nsp_nfq_queue_start(&io->queues[i]);

        if (err < 0)
            return fail_queue(reterr, err, "cannot set up a queue");
    }
    return NSP_OK;
}

static int
install_rules(struct nsp_io *io, const struct nsp_io_config *cfg,
              const struct nsp_nfqueue_config *device, struct nsp_diag *reterr)
{
    struct nsp_nfq_rules rules = {
        .hooks = cfg->hooks,
        .skip_input_ifindex = cfg->skip_loopback_input
                                  ? io->queues[0].config.loopback_ifindex
                                  : 0,
        .first_queue = io->queues[0].number,
        .queues = (uint16_t)io->queue_count,
        .fail_closed = device->fail_closed,
    };
    enum nsp_nfq_refused refused;
    char name[NSP_NFQ_TABLE_BYTES];
    int err;

    /* A queue number is unique in the namespace, a process id may not be. */
    snprintf(name, sizeof name, "netshaper-%ld-%u", (long)getpid(),
             rules.first_queue);
    err = nsp_nfq_rules_install(&io->nft, name, &rules, &refused);
    if (err < 0)
        return fail_rules(reterr, err, refused);
    memcpy(io->table, name, sizeof name);
    return NSP_OK;
}

static int
open_sockets(struct nsp_io *io, struct nsp_diag *reterr)
{
    int err = nsp_nl_open(&io->nft);

    if (err < 0)
        return fail_queue(reterr, err, "cannot open a netlink socket");
    err = nsp_nfq_injector_open(&io->injector);
    if (err == -EPERM)
        return fail_privilege(reterr);
    if (err < 0)
        return nsp_diag_set_errno(reterr, NSP_OPEN_FAILED, "raw-socket", -err,
                                  cure_for(err), "cannot open a raw socket");

    io->counters_fd = nsp_nfq_counters_open();
    if (io->counters_fd < 0)
        nsp_log_write(
            &io->log, NSP_LOG_INFO,
            "nfqueue: /proc/net/netfilter/nfnetlink_queue: %s; packets "
            "that the kernel drops will not be counted",
            strerror(-io->counters_fd));
    return NSP_OK;
}

static int
open_device(struct nsp_io *io, const struct nsp_io_config *cfg,
            const struct nsp_nfqueue_config *device, struct nsp_diag *reterr)
{
    int result = open_queues(io, cfg, device, reterr);

    if (result == NSP_OK)
        result = open_sockets(io, reterr);
    if (result == NSP_OK)
        result = bind_queues(io, device, reterr);
    if (result == NSP_OK)
        result = start_queues(io, reterr);
    /* Last: from here on packets come. */
    if (result == NSP_OK)
        result = install_rules(io, cfg, device, reterr);
    return result;
}

static void nfqueue_close(struct nsp_io *io);

static int
nfqueue_open(const struct nsp_io_config *cfg, struct nsp_io **ret,
             struct nsp_diag *reterr)
{
    static const struct nsp_nfqueue_config defaults;
    const struct nsp_nfqueue_config *device =
        cfg->device ? cfg->device : &defaults;
    struct nsp_allocator allocator = nsp_allocator_or_libc(&cfg->allocator);
    struct nsp_io *io;
    int result = check_config(cfg, device, reterr);

    if (result != NSP_OK)
        return result;
    io = nsp_alloc(&allocator, 1, sizeof *io);
    if (!io)
        return nsp_device_fail_memory(reterr);
    *io = (struct nsp_io){
        .queue_count = cfg->queues,
        .nft = { .fd = -1 },
        .injector = { .ipv4_fd = -1, .ipv6_fd = -1 },
        .counters_fd = -1,
        .allocator = allocator,
        .log = cfg->log,
    };
    io->queues = nsp_alloc(&allocator, cfg->queues, sizeof *io->queues);
    result = io->queues ? open_device(io, cfg, device, reterr)
                        : nsp_device_fail_memory(reterr);
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

static void
nfqueue_close(struct nsp_io *io)
{
    nfqueue_quiesce(io);
    for (uint32_t i = 0; i < io->queues_open; i++)
        nsp_nfq_queue_accept_all(&io->queues[i]);
    /* The table goes with its owner. */
    nsp_nl_close(&io->nft);
    for (uint32_t i = 0; i < io->queues_open; i++)
        nsp_nfq_queue_close(&io->queues[i]);
    nsp_nfq_injector_close(&io->injector);
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
nfqueue_ready_fd(struct nsp_io *io, uint32_t queue)
{
    struct nsp_nfq_queue *q = &io->queues[queue];

    return nsp_nfq_queue_can_receive(q) ? q->nl.fd : -1;
}

static int
nfqueue_wait(struct nsp_io *io, uint32_t queue, uint64_t timeout_ns)
{
    int result = nsp_wakeup_wait(&io->queues[queue].wakeup,
                                 nfqueue_ready_fd(io, queue), timeout_ns);

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
    for (uint32_t i = 0; i < io->queue_count; i++) {
        struct nsp_nfq_queue *queue = &io->queues[i];
        struct nsp_nfq_counters kernel;

        ret->kernel_lost_pkts +=
            atomic_load_explicit(&queue->lost_pkts, memory_order_relaxed);
        ret->stale_verdict_pkts += atomic_load_explicit(
            &queue->stale_verdict_pkts, memory_order_relaxed);
        ret->device_errors +=
            atomic_load_explicit(&queue->device_errors, memory_order_relaxed);
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
