#define _GNU_SOURCE
/* The live device that looks without touching: packets go on as if it were not
 * there, it gets copies (sniff_queue.h), of those that the kernel's program
 * accepts (sniff_filter.h).
 *
 * What happens when
 *   overrun  The kernel's ring is full: packets are not seen, and counted.
 *   down     An interface that goes down has no packets; up again, it has. One
 *            that is removed ends the device.
 *   killed   The socket goes with its descriptor. */
#include <errno.h>
#include <linux/filter.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/diag.h"
#include "base/log.h"
#include "base/memory.h"
#include "io/device.h"
#include "io/sniff/sniff_queue.h"
#include "netshaper/engine.h"
#include "os/linux/interface.h"

#define BUFFER_BYTES_DEFAULT (16u << 20)
#define BUFFER_BYTES_MAX     (1u << 30)
#define BLOCKS_MIN           4u

/* How often to look whether an interface that is down is still there: the
 * kernel tells sockets when one goes down, and not that it goes away then. */
#define DOWN_LOOK_NS UINT64_C(100000000)

#define PRIVILEGE_CURE                                                         \
    "run as root or with CAP_NET_RAW, or under unshare --map-root-user --net"

struct nsp_io {
    struct nsp_sniff_site site;
    const struct nsp_filter *filter;
    uint32_t snap_bytes; /* At most, of the device's configuration; 0: all. */
    char name[IF_NAMESIZE];

    /* Written by whoever opens or adjusts. */
    struct nsp_cbpf_insn insns[NSP_CBPF_INSNS_MAX];
    uint32_t insn_count;

    struct nsp_sniff_queue *queues;
    uint32_t queue_count, queues_open;
    atomic_bool down;  /* The interface was, when last looked at. */
    atomic_int status; /* The negative errno that ended the device, or 0. */
    struct nsp_allocator allocator;
    struct nsp_log_sink log;
};

/* --- Interfaces ----------------------------------------------------------- */

static bool
is_any(const struct nsp_sniff_config *sniff)
{
    return !sniff->interface || strcmp(sniff->interface, "any") == 0;
}

/* The link of packets on hardware of 'type' (ARPHRD_*), -1 where the parser
 * knows none. */
static int
link_of(unsigned type)
{
    switch (type) {
    case ARPHRD_ETHER:
    case ARPHRD_LOOPBACK:
        return NSP_LINK_ETHERNET;
    case ARPHRD_NONE:
    case ARPHRD_TUNNEL:
    case ARPHRD_TUNNEL6:
    case ARPHRD_SIT:
    case ARPHRD_RAWIP:
        return NSP_LINK_RAW;
    default:
        return -1;
    }
}

/* Asks the kernel about interface 'name': an ioctl of netdevice(7). */
static int
ask_interface(const char *name, unsigned long request, struct ifreq *ret)
{
    nsp_ifreq_init(ret, name);
    return nsp_ifreq_ask(request, ret);
}

/* What hardware it is (ARPHRD_*). */
static int
read_type(const char *name, unsigned *ret)
{
    struct ifreq answer;
    int err = ask_interface(name, SIOCGIFHWADDR, &answer);

    *ret = answer.ifr_hwaddr.sa_family;
    return err;
}

/* Its IFF_* flags. */
static int
read_flags(const char *name, unsigned *ret)
{
    struct ifreq answer;
    int err = ask_interface(name, SIOCGIFFLAGS, &answer);

    *ret = (unsigned short)answer.ifr_flags;
    return err;
}

static int
find_interface(struct nsp_io *io, const struct nsp_sniff_config *sniff,
               struct nsp_diag *reterr)
{
    const char *name = sniff->interface;
    unsigned type = 0;
    int err, link;

    io->site.any = is_any(sniff);
    io->site.loopback_ifindex = if_nametoindex("lo");
    snprintf(io->name, sizeof io->name, "%s", io->site.any ? "any" : name);
    if (io->site.any)
        return NSP_OK;
    io->site.ifindex = strlen(name) < IF_NAMESIZE ? if_nametoindex(name) : 0;
    err = io->site.ifindex != 0 ? read_type(name, &type) : -ENODEV;
    if (err < 0)
        return nsp_diag_set_errno(reterr, NSP_OPEN_FAILED, "no-interface", -err,
                                  "'ip link' lists them; 'any' is all",
                                  "cannot look at interface '%.20s'", name);
    link = link_of(type);
    if (link < 0)
        return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "unknown-link-type",
                            "take 'any', where packets have no link header",
                            "packets of interface %s (hardware type %u) are "
                            "not understood",
                            name, type);
    io->site.link = (enum nsp_link)link;
    io->site.loopback = type == ARPHRD_LOOPBACK;
    return NSP_OK;
}

/* --- Opening -------------------------------------------------------------- */

static int
check_config(const struct nsp_io_config *cfg, struct nsp_diag *reterr)
{
    const struct nsp_sniff_config *sniff = cfg->device;

    if (cfg->hooks & NSP_HOOK_FORWARD)
        return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "no-forward",
                            "look at input, at output or at both",
                            "sniff: a packet that is forwarded looks like one "
                            "that arrives and one that leaves");
    if (sniff->buffer_bytes > BUFFER_BYTES_MAX)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "bad-buffer",
                            "0 is 16 MiB", "sniff.buffer_bytes %u is above %u",
                            sniff->buffer_bytes, BUFFER_BYTES_MAX);
    if (sniff->promiscuous && is_any(sniff))
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "bad-promiscuous",
                            "name one interface",
                            "sniff: not all interfaces can be promiscuous");
    return NSP_OK;
}

/* Makes the program for packets of which the engine needs 'snap_bytes'. */
static void
make_program(struct nsp_io *io, uint32_t snap_bytes)
{
    bool filtered;

    if (io->snap_bytes != 0 && (snap_bytes == 0 || snap_bytes > io->snap_bytes))
        snap_bytes = io->snap_bytes;
    io->insn_count = nsp_sniff_filter_make(io->filter, &io->site, snap_bytes,
                                           io->insns, &filtered);
    if (io->filter && !filtered)
        nsp_log_write(
            &io->log, NSP_LOG_WARNING,
            "sniff: the filter is too long for the kernel: every packet "
            "is copied and judged here");
}

static int
fail_open(int err, const char *step, const char *name, struct nsp_diag *reterr)
{
    bool denied = err == -EPERM || err == -EACCES;

    return nsp_diag_set_errno(
        reterr,
        denied           ? NSP_NOT_POSSIBLE
        : err == -ENOMEM ? NSP_NO_MEMORY
                         : NSP_OPEN_FAILED,
        denied ? "no-privilege" : "open-sniff", -err,
        denied           ? PRIVILEGE_CURE
        : err == -ENOMEM ? "ask for a smaller buffer"
                         : "'nsp doctor --backend sniff' tells what is missing",
        "sniff: cannot %s (%s)", step, name);
}

static int
open_queues(struct nsp_io *io, const struct nsp_io_config *cfg,
            struct nsp_diag *reterr)
{
    const struct nsp_sniff_config *sniff = cfg->device;
    uint32_t bytes =
        sniff->buffer_bytes ? sniff->buffer_bytes : BUFFER_BYTES_DEFAULT;
    struct nsp_sniff_queue_config queue = {
        .site = io->site,
        .block_count = nsp_max_u32(bytes / NSP_SNIFF_BLOCK_BYTES, BLOCKS_MIN),
        .queues = cfg->queues,
        .clock = cfg->clock,
    };

    io->queues = nsp_alloc(&io->allocator, cfg->queues, sizeof *io->queues);
    if (!io->queues)
        return fail_open(-ENOMEM, "make room", io->name, reterr);
    io->queue_count = cfg->queues;
    for (uint32_t i = 0; i < cfg->queues; i++) {
        const char *step;
        int err;

        queue.index = i;
        io->queues_open = i + 1;
        err = nsp_sniff_queue_open(&io->queues[i], &queue, io->insns,
                                   io->insn_count, &step);
        if (err < 0)
            return fail_open(err, step, io->name, reterr);
        queue.fanout = io->queues[i].config.fanout;
    }
    return NSP_OK;
}

static void
sniff_close(struct nsp_io *io)
{
    for (uint32_t i = 0; i < io->queues_open; i++)
        nsp_sniff_queue_close(&io->queues[i]);
    nsp_release(&io->allocator, io->queues);
    nsp_release(&io->allocator, io);
}

static int
sniff_open(const struct nsp_io_config *cfg, struct nsp_io **ret,
           struct nsp_diag *reterr)
{
    const struct nsp_sniff_config *sniff = cfg->device;
    struct nsp_allocator allocator = nsp_allocator_or_libc(&cfg->allocator);
    int result = check_config(cfg, reterr);
    struct nsp_io *io;

    if (result != NSP_OK)
        return result;
    io = nsp_alloc(&allocator, 1, sizeof *io);
    if (!io)
        return fail_open(-ENOMEM, "make room", "sniff", reterr);
    io->allocator = allocator;
    io->log = cfg->log;
    io->filter = cfg->filter;
    io->snap_bytes = sniff->snap_bytes;
    io->site.hooks = cfg->hooks;
    io->site.loopback_output = cfg->skip_loopback_input;
    io->site.promiscuous = sniff->promiscuous;

    result = find_interface(io, sniff, reterr);
    if (result == NSP_OK) {
        make_program(io, cfg->snap_bytes);
        result = open_queues(io, cfg, reterr);
    }
    if (result != NSP_OK) {
        sniff_close(io);
        return result;
    }
    *ret = io;
    return NSP_OK;
}

/* --- Packets -------------------------------------------------------------- */

static uint32_t
sniff_rx_burst(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
               struct nsp_pkt *ret_pkts[], uint32_t max)
{
    (void)now_ns; /* The kernel knows better when they came. */
    return nsp_sniff_rx_burst(&io->queues[queue], ret_pkts, max);
}

/* They have gone on long since. */
static uint32_t
sniff_tx_burst(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
               struct nsp_pkt *const pkts[], uint32_t n, bool ret_refused[])
{
    (void)now_ns;
    (void)pkts;
    (void)ret_refused;
    nsp_sniff_give_back(&io->queues[queue], n);
    return 0;
}

static void
sniff_drop_burst(struct nsp_io *io, uint32_t queue,
                 struct nsp_pkt *const pkts[], uint32_t n)
{
    (void)pkts;
    nsp_sniff_give_back(&io->queues[queue], n);
}

static void
sniff_wake(struct nsp_io *io)
{
    for (uint32_t i = 0; i < io->queue_count; i++)
        nsp_wakeup_set(&io->queues[i].wakeup);
}

static void
end_device(struct nsp_io *io, int err)
{
    atomic_store_explicit(&io->status, err, memory_order_relaxed);
    sniff_wake(io);
}

/* Looks why a socket woke that may have an error: its interface goes down or is
 * removed. */
static void
take_error(struct nsp_io *io, const struct nsp_sniff_queue *queue)
{
    char name[IF_NAMESIZE];
    int err = nsp_sniff_queue_take_error(queue);

    if (err == 0)
        return;
    if (err != -ENETDOWN) {
        end_device(io, err);
    } else if (!if_indextoname(io->site.ifindex, name)) {
        end_device(io, -ENODEV);
    } else if (!atomic_exchange(&io->down, true)) {
        nsp_log_write(&io->log, NSP_LOG_WARNING, "sniff: interface %s is down",
                      io->name);
    }
}

/* Looks at an interface that was down. */
static void
look_again(struct nsp_io *io)
{
    char name[IF_NAMESIZE];
    unsigned flags = 0;

    if (!if_indextoname(io->site.ifindex, name))
        end_device(io, -ENODEV);
    else if (read_flags(name, &flags) == 0 && (flags & IFF_UP) != 0)
        atomic_store(&io->down, false);
}

static int
sniff_wait(struct nsp_io *io, uint32_t queue, uint64_t timeout_ns)
{
    struct nsp_sniff_queue *q = &io->queues[queue];
    int result;

    if (atomic_load_explicit(&io->down, memory_order_relaxed)) {
        timeout_ns = nsp_min_u64(timeout_ns, DOWN_LOOK_NS);
        look_again(io);
    }
    result = nsp_wakeup_wait(&q->wakeup, q->fd, timeout_ns);
    if (result > 0)
        take_error(io, q);
    return result < 0 ? result : 0;
}

static void
sniff_quiesce(struct nsp_io *io)
{
    for (uint32_t i = 0; i < io->queue_count; i++)
        nsp_sniff_queue_stop(&io->queues[i]);
}

/* --- State ---------------------------------------------------------------- */

/* Superpackets come as the kernel has them. */
static int
sniff_adjust(struct nsp_io *io, uint32_t snap_bytes, bool superpackets)
{
    (void)superpackets;
    make_program(io, snap_bytes);
    for (uint32_t i = 0; i < io->queue_count; i++) {
        int err = nsp_sniff_queue_set_filter(&io->queues[i], io->insns,
                                             io->insn_count);

        if (err < 0)
            return err;
    }
    return 0;
}

static void
sniff_read_stats(struct nsp_io *io, struct nsp_io_stats *ret)
{
    *ret = (struct nsp_io_stats){ 0 };
    for (uint32_t i = 0; i < io->queue_count; i++)
        ret->kernel_lost_pkts += nsp_sniff_queue_dropped_pkts(&io->queues[i]);
}

static int
sniff_status(struct nsp_io *io, char *ret, uint32_t ret_bytes)
{
    int err = atomic_load_explicit(&io->status, memory_order_relaxed);

    if (err != 0 && ret && ret_bytes > 0)
        snprintf(ret, ret_bytes,
                 err == -ENODEV ? "interface %s was removed"
                                : "the packet socket on %s has failed",
                 io->name);
    return err;
}

/* Opens a device like any other, on all interfaces. */
static void
sniff_probe(nsp_probe_fn *report, void *context)
{
    const struct nsp_device_probe probe = { report, context, PRIVILEGE_CURE };
    struct nsp_sniff_queue_config cfg = {
        .site = { .any = true, .hooks = NSP_HOOK_INPUT },
        .block_count = 1,
        .queues = 1,
    };
    static const struct nsp_cbpf_insn nothing = { .code = BPF_RET };
    struct nsp_sniff_queue *queue =
        nsp_alloc(&nsp_libc_allocator, 1, sizeof *queue);
    const char *step = "make room";
    int err = -ENOMEM;

    if (queue) {
        err = nsp_sniff_queue_open(queue, &cfg, &nothing, 1, &step);
        nsp_sniff_queue_close(queue);
        nsp_release(&nsp_libc_allocator, queue);
    }
    if (err == 0)
        nsp_device_report(&probe, "packet-socket", NSP_PROBE_OK, "",
                          "a ring of version 3, filters in the kernel");
    else
        nsp_device_report(
            &probe, "packet-socket", NSP_PROBE_MISSING,
            nsp_device_cure(&probe, err,
                            "a kernel with CONFIG_PACKET (module af_packet)"),
            "cannot %s: %s", step, strerror(-err));
}

extern const struct nsp_io_ops nsp_sniff_ops;
const struct nsp_io_ops nsp_sniff_ops = {
    .name = "sniff",
    .caps = NSP_IO_HOOKS | NSP_IO_LOOKS_ONLY,
    .open = sniff_open,
    .close = sniff_close,
    .rx_burst = sniff_rx_burst,
    .tx_burst = sniff_tx_burst,
    .drop_burst = sniff_drop_burst,
    .wait = sniff_wait,
    .wake = sniff_wake,
    .quiesce = sniff_quiesce,
    .adjust = sniff_adjust,
    .read_stats = sniff_read_stats,
    .status = sniff_status,
    .probe = sniff_probe,
};
