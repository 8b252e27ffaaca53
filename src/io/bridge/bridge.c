#define _GNU_SOURCE
/* The bump in the wire: two interfaces joined by programs in their drivers
 * (bridge_program.h) and by AF_XDP sockets (bridge_queue.h); or where one of
 * them lacks that, by programs in the stack and packet sockets
 * (bridge_packets.h).
 *
 * What happens when
 *   closed    The programs are detached; what waits in the sockets is still
 *             forwarded. From then on nothing crosses.
 *   killed    The sockets go with the process. The programs stay, find no
 *             socket, and let frames cross in the kernel (fail_closed: drop
 *             them). The next engine at these interfaces takes them over; at
 *             one of them, it takes them off the other.
 *   hung      The programs find no sign of life in the shared words, and do the
 *             same.
 *   overrun   The kernel drops what finds no frame or a full ring, and counts.
 *   changed   bridge_watch.c tells. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "io/bridge/bridge_device.h"
#include "io/bridge/bridge_probe.h"
#include "io/device.h"

/* Looks at the news that often while packets keep coming. */
#define WATCH_NS UINT64_C(100000000)

/* Between attempts to send what the kernel did not take. */
#define RESEND_NS UINT64_C(1000000)

static void bridge_close(struct nsp_io *io);

static int
bridge_open(const struct nsp_io_config *cfg, struct nsp_io **ret,
            struct nsp_diag *reterr)
{
    struct nsp_allocator allocator = nsp_allocator_or_libc(&cfg->allocator);
    struct nsp_io *io = nsp_alloc(&allocator, 1, sizeof *io);
    int result;

    if (!io)
        return nsp_device_fail_memory(reterr);
    io->queue_count = cfg->queues;
    io->beats.map_fd = io->watch.fd = -1;
    nsp_bpf_decider_init(&io->decider);
    io->ports[0].xdp_fd = io->ports[1].xdp_fd = -1;
    io->ports[0].tc_fd = io->ports[1].tc_fd = -1;
    io->steers[0].sockets_fd = io->steers[1].sockets_fd = -1;
    io->allocator = allocator;
    io->log = cfg->log;
    result = nsp_bridge_device_open(io, cfg, reterr);
    if (result != NSP_OK) {
        bridge_close(io);
        return result;
    }
    *ret = io;
    return NSP_OK;
}

/* --- Closing -------------------------------------------------------------- */

/* The kernel waits until nobody runs a program that it detaches: afterwards all
 * that was taken is in the receive rings. */
static void
bridge_quiesce(struct nsp_io *io)
{
    atomic_store(&io->quiesced, true);
    if (io->programs_gate)
        nsp_gate_lock(io->programs_gate);
    for (uint32_t port = 0; port < 2; port++)
        nsp_bridge_port_detach(&io->ports[port]);
    if (io->programs_gate)
        nsp_gate_unlock(io->programs_gate);
}

static void
bridge_close(struct nsp_io *io)
{
    bridge_quiesce(io);
    nsp_beats_log_late(&io->beats, io->fail_closed, &io->log, "bridge");
    nsp_bridge_close_lanes(io);
    for (uint32_t port = 0; port < 2; port++)
        nsp_bridge_port_close(&io->ports[port]);
    nsp_bpf_decider_fini(&io->decider);
    nsp_gate_destroy(io->programs_gate);
    nsp_link_watch_close(&io->watch);
    nsp_beats_close(&io->beats);
    nsp_release(&io->allocator, io);
}

void
nsp_bridge_wake(struct nsp_io *io)
{
    for (uint32_t i = 0; i < io->lanes_open; i++)
        nsp_wakeup_set(&io->lanes[i]->wakeup);
}

/* --- Packets -------------------------------------------------------------- */

static uint32_t
bridge_rx_burst(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
                struct nsp_pkt *ret_pkts[], uint32_t max)
{
    nsp_beats_alive(&io->beats, queue);
    if (queue == 0 && now_ns - io->watched_ns >= WATCH_NS) {
        io->watched_ns = now_ns;
        nsp_bridge_read_news(io);
    }
    nsp_bridge_follow(io, queue);
    /* The engine asks for the status where nothing comes. */
    if (atomic_load_explicit(&io->status, memory_order_relaxed) != 0 &&
        !atomic_load_explicit(&io->quiesced, memory_order_relaxed))
        return 0;
    return io->lanes[queue]->ops->rx_burst(io->lanes[queue], now_ns, ret_pkts,
                                           max);
}

static uint32_t
bridge_tx_burst(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
                struct nsp_pkt *const pkts[], uint32_t n, bool ret_refused[])
{
    (void)now_ns; /* Sent at once. */
    return io->lanes[queue]->ops->tx_burst(io->lanes[queue], pkts, n,
                                           ret_refused);
}

static void
bridge_drop_burst(struct nsp_io *io, uint32_t queue,
                  struct nsp_pkt *const pkts[], uint32_t n)
{
    io->lanes[queue]->ops->drop_burst(io->lanes[queue], pkts, n);
}

static int
bridge_inject(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
              const uint8_t *ip, uint32_t ip_bytes, bool reply,
              const struct nsp_pkt *like)
{
    (void)now_ns;
    return io->lanes[queue]->ops->inject(io->lanes[queue], ip, ip_bytes, reply,
                                         like);
}

/* --- Waiting -------------------------------------------------------------- */

struct waiting {
    struct nsp_io *io;
    const struct nsp_bridge_lane *lane;
    bool readable; /* It has room for packets. */
};

static int
sleep_on(void *context, uint64_t timeout_ns)
{
    const struct waiting *waiting = context;
    const struct nsp_bridge_lane *lane = waiting->lane;
    struct nsp_io *io = waiting->io;
    struct pollfd fds[2 + NSP_BRIDGE_LANE_FDS_MAX] = {
        { .fd = lane->wakeup.fd, .events = POLLIN },
        { .fd = lane->index == 0 ? io->watch.fd : -1, .events = POLLIN },
    };
    nfds_t count = 2 + (waiting->readable ? lane->ops->list(lane, fds + 2) : 0);
    struct timespec ts = {
        .tv_sec = (time_t)(timeout_ns / NSP_NS_PER_SECOND),
        .tv_nsec = (long)(timeout_ns % NSP_NS_PER_SECOND),
    };
    int n = ppoll(fds, count, timeout_ns == NSP_TIME_NEVER ? NULL : &ts, NULL);

    if (n < 0)
        return errno == EINTR ? 1 : -errno;
    if (fds[0].revents != 0)
        nsp_wakeup_wait(&lane->wakeup, -1, 0);
    if (fds[1].revents != 0)
        nsp_bridge_read_news(io);
    return n > 0;
}

/* Tells whether a packet that comes wakes the worker that it is for: one
 * without room does not wake, the program in the stack does not know whose it
 * is, and what programs let pass wakes nobody, so that it tells of no hang. */
static bool
wakes_for_packets(const struct nsp_io *io, bool readable)
{
    return readable && !io->fail_closed &&
           (!io->by_stack || io->queue_count == 1);
}

static int
bridge_wait(struct nsp_io *io, uint32_t queue, uint64_t timeout_ns)
{
    const struct nsp_bridge_lane *lane = io->lanes[queue];
    struct waiting waiting = { io, lane, lane->ops->can_receive(lane) };

    if (lane->ops->must_send(lane))
        timeout_ns = nsp_min_u64(timeout_ns, RESEND_NS);
    return nsp_beats_wait(&io->beats, queue, timeout_ns,
                          wakes_for_packets(io, waiting.readable), sleep_on,
                          &waiting);
}

/* --- State ---------------------------------------------------------------- */

static void
bridge_read_stats(struct nsp_io *io, struct nsp_io_stats *ret)
{
    *ret = (struct nsp_io_stats){ 0 };
    nsp_gate_lock(io->programs_gate);
    for (uint32_t i = 0; i < io->queue_count; i++)
        io->lanes[i]->ops->count(io->lanes[i], ret);
    nsp_gate_unlock(io->programs_gate);
    nsp_beats_count_late(&io->beats, io->fail_closed, ret);
}

static int
bridge_status(struct nsp_io *io, char *ret, uint32_t ret_bytes)
{
    int err = atomic_load_explicit(&io->status, memory_order_acquire);

    if (err != 0 && ret && ret_bytes > 0)
        snprintf(ret, ret_bytes, "%s", io->ended);
    return err;
}

/* All of every packet is there anyway; from a driver none is a superpacket. */
static int
bridge_adjust(struct nsp_io *io, uint32_t snap_bytes, bool superpackets)
{
    int err = 0;

    (void)snap_bytes;
    for (uint32_t port = 0; port < 2 && io->by_stack && err == 0; port++)
        err = nsp_tap_link_set_superpackets(&io->sinks[port], superpackets);
    if (err == 0)
        io->superpackets = superpackets;
    return err;
}

extern const struct nsp_io_ops nsp_bridge_ops;
const struct nsp_io_ops nsp_bridge_ops = {
    .name = "bridge",
    .caps = NSP_IO_CAN_MODIFY | NSP_IO_CAN_INJECT | NSP_IO_HOLDS_FORWARD |
            NSP_IO_HOOKS,
    .open = bridge_open,
    .close = bridge_close,
    .rx_burst = bridge_rx_burst,
    .tx_burst = bridge_tx_burst,
    .drop_burst = bridge_drop_burst,
    .inject = bridge_inject,
    .wait = bridge_wait,
    .wake = nsp_bridge_wake,
    .quiesce = bridge_quiesce,
    .adjust = bridge_adjust,
    .offload = nsp_bridge_offload,
    .read_offload = nsp_bridge_read_offload,
    .share_buckets = nsp_bridge_share_buckets,
    .offload_flows = nsp_bridge_offload_flows,
    .read_stats = bridge_read_stats,
    .status = bridge_status,
    .probe = nsp_bridge_probe,
};
