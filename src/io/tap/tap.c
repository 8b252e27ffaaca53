#define _GNU_SOURCE
/* The live device that may hold whatever passes: packets of this host are taken
 * off its interfaces by eBPF programs (tap_program.h), read from a TAP
 * (tap_queue.h), and go back the same way.
 *
 * What happens when
 *   closed   The programs are detached first; what they had diverted still
 *            comes out of the TAP and is sent.
 *   killed   The links and the TAP go with their descriptors, and traffic flows
 *            past from then on (fail_closed: filters stay, and drop). Packets
 *            held at that moment are lost.
 *   hung     The programs find no sign of life in the shared words and let
 *            packets pass (fail_closed: drop them).
 *   overrun  The TAP's queue drops, and the kernel counts. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/memory.h"
#include "io/device.h"
#include "io/tap/tap_counters.h"
#include "io/tap/tap_device.h"
#include "io/tap/tap_probe.h"

static void tap_close(struct nsp_io *io);

static int
tap_open(const struct nsp_io_config *cfg, struct nsp_io **ret,
         struct nsp_diag *reterr)
{
    struct nsp_allocator allocator = nsp_allocator_or_libc(&cfg->allocator);
    struct nsp_io *io = nsp_alloc(&allocator, 1, sizeof *io);
    int result;

    if (!io)
        return nsp_device_fail_memory(reterr);
    io->queue_count = cfg->queues;
    io->beats.map_fd = io->watcher.watch.fd = io->counters_fd = -1;
    io->places_fd = -1;
    nsp_bpf_decider_init(&io->decider);
    io->allocator = allocator;
    io->log = cfg->log;
    result = nsp_tap_device_open(io, cfg, reterr);
    if (result != NSP_OK) {
        tap_close(io);
        return result;
    }
    *ret = io;
    return NSP_OK;
}

/* --- Closing -------------------------------------------------------------- */

/* The kernel waits until nobody runs a program that it detaches: afterwards all
 * that was diverted is in the TAP's queue. */
static void
tap_quiesce(struct nsp_io *io)
{
    if (!io->hooks_gate)
        return; /* Nothing was opened. */
    nsp_gate_lock(io->hooks_gate);
    io->quiesced = true;
    for (uint32_t i = 0; i < NSP_TAP_HOOKS_MAX; i++)
        nsp_tc_hook_detach(&io->hooks[i]);
    nsp_gate_unlock(io->hooks_gate);
}

static void
tap_close(struct nsp_io *io)
{
    nsp_tap_watch_end(&io->watcher);
    tap_quiesce(io);
    nsp_beats_log_late(&io->beats, io->fail_closed, &io->log, "tap");
    nsp_tc_hook_detach(&io->back);
    for (uint32_t i = 0; i < io->queues_open; i++)
        nsp_tap_queue_close(&io->queues[i]);
    nsp_tap_link_close(&io->link);
    if (io->places_fd >= 0)
        close(io->places_fd);
    if (io->counters_fd >= 0)
        close(io->counters_fd);
    nsp_beats_close(&io->beats);
    nsp_bpf_decider_fini(&io->decider);
    nsp_gate_destroy(io->hooks_gate);
    nsp_release(&io->allocator, io->queues);
    nsp_release(&io->allocator, io);
}

/* --- Packets -------------------------------------------------------------- */

static uint32_t
tap_rx_burst(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
             struct nsp_pkt *ret_pkts[], uint32_t max)
{
    nsp_beats_alive(&io->beats, queue);
    return nsp_tap_rx_burst(&io->queues[queue], now_ns, ret_pkts, max);
}

static uint32_t
tap_tx_burst(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
             struct nsp_pkt *const pkts[], uint32_t n, bool ret_refused[])
{
    (void)now_ns; /* Sent at once. */
    return nsp_tap_tx_burst(&io->queues[queue], pkts, n, ret_refused);
}

static void
tap_drop_burst(struct nsp_io *io, uint32_t queue, struct nsp_pkt *const pkts[],
               uint32_t n)
{
    nsp_tap_drop_burst(&io->queues[queue], pkts, n);
}

static int
tap_inject(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
           const uint8_t *ip, uint32_t ip_bytes, bool reply,
           const struct nsp_pkt *like)
{
    (void)now_ns;
    return nsp_tap_inject(&io->queues[queue], ip, ip_bytes, reply, like);
}

static void
tap_wake(struct nsp_io *io)
{
    for (uint32_t i = 0; i < io->queue_count; i++)
        nsp_wakeup_set(&io->queues[i].wakeup);
}

/* --- Waiting -------------------------------------------------------------- */

struct waiting {
    const struct nsp_tap_queue *queue;
    bool readable; /* It has room for packets. */
    int other_fd;
};

static int
sleep_on(void *context, uint64_t timeout_ns)
{
    const struct waiting *waiting = context;
    const struct nsp_tap_queue *queue = waiting->queue;
    struct pollfd fds[] = {
        { .fd = queue->wakeup.fd, .events = POLLIN },
        { .fd = waiting->readable ? queue->config.fd : -1, .events = POLLIN },
        { .fd = waiting->other_fd, .events = POLLIN },
    };
    struct timespec ts = {
        .tv_sec = (time_t)(timeout_ns / NSP_NS_PER_SECOND),
        .tv_nsec = (long)(timeout_ns % NSP_NS_PER_SECOND),
    };
    uint64_t value;
    int n = ppoll(fds, NSP_ARRAY_LEN(fds),
                  timeout_ns == NSP_TIME_NEVER ? NULL : &ts, NULL);

    if (n < 0)
        return errno == EINTR ? 1 : -errno;
    if (fds[0].revents != 0 &&
        read(queue->wakeup.fd, &value, sizeof value) < 0 && errno != EAGAIN)
        return -errno;
    return n > 0;
}

/* Which of several workers a packet goes to no program knows, and one without
 * room does not wake for it. */
static int
tap_wait_with(struct nsp_io *io, uint32_t queue, uint64_t timeout_ns, int fd)
{
    struct waiting waiting = {
        .queue = &io->queues[queue],
        .readable = nsp_tap_queue_can_receive(&io->queues[queue]),
        .other_fd = fd,
    };

    /* What programs let pass wakes nobody, so that it tells of no hang. */
    return nsp_beats_wait(&io->beats, queue, timeout_ns,
                          waiting.readable && io->queue_count == 1 &&
                              !io->fail_closed,
                          sleep_on, &waiting);
}

static int
tap_wait(struct nsp_io *io, uint32_t queue, uint64_t timeout_ns)
{
    return tap_wait_with(io, queue, timeout_ns, -1);
}

/* --- State ---------------------------------------------------------------- */

static void
tap_read_stats(struct nsp_io *io, struct nsp_io_stats *ret)
{
    *ret = (struct nsp_io_stats){ 0 };
    for (uint32_t i = 0; i < io->queue_count; i++)
        ret->device_errors += nsp_counter_read(&io->queues[i].device_errors);
    if (io->counters_fd < 0 ||
        nsp_tap_counters_read(io->counters_fd, io->link.name,
                              &ret->kernel_dropped_pkts) < 0)
        ret->kernel_dropped_pkts = 0;
    nsp_beats_count_late(&io->beats, io->fail_closed, ret);
}

static int
tell_lost(const char *name, int err, char *ret, uint32_t ret_bytes)
{
    if (ret && ret_bytes > 0)
        snprintf(ret, ret_bytes, "interface %s was %s", name,
                 err == -ENETDOWN ? "taken down" : "removed");
    return err;
}

static int
tap_status(struct nsp_io *io, char *ret, uint32_t ret_bytes)
{
    int err = atomic_load_explicit(&io->status, memory_order_acquire);

    if (err != 0)
        return tell_lost(io->lost, err, ret, ret_bytes);
    for (uint32_t i = 0; i < io->queue_count; i++) {
        err = atomic_load_explicit(&io->queues[i].status, memory_order_relaxed);
        if (err == 0)
            continue;
        if (err == -EBADFD) /* Before the news of that was read. */
            return tell_lost(io->link.name, -ENODEV, ret, ret_bytes);
        if (ret && ret_bytes > 0)
            snprintf(ret, ret_bytes, "queue %u of %s has failed: %s", i,
                     io->link.name, strerror(-err));
        return err;
    }
    return 0;
}

/* All of every packet is there anyway. */
static int
tap_adjust(struct nsp_io *io, uint32_t snap_bytes, bool superpackets)
{
    int err = nsp_tap_link_set_superpackets(&io->link, superpackets);

    (void)snap_bytes;
    if (err == 0)
        io->superpackets = superpackets;
    return err;
}

extern const struct nsp_io_ops nsp_tap_ops;
const struct nsp_io_ops nsp_tap_ops = {
    .name = "tap",
    .caps = NSP_IO_CAN_MODIFY | NSP_IO_CAN_INJECT | NSP_IO_HOLDS_INPUT |
            NSP_IO_HOLDS_OUTPUT | NSP_IO_HOOKS,
    .open = tap_open,
    .close = tap_close,
    .rx_burst = tap_rx_burst,
    .tx_burst = tap_tx_burst,
    .drop_burst = tap_drop_burst,
    .inject = tap_inject,
    .wait = tap_wait,
    .wake = tap_wake,
    .quiesce = tap_quiesce,
    .adjust = tap_adjust,
    .offload = nsp_tap_offload,
    .read_offload = nsp_tap_read_offload,
    .share_buckets = nsp_tap_share_buckets,
    .offload_flows = nsp_tap_offload_flows,
    .read_stats = tap_read_stats,
    .status = tap_status,
    .probe = nsp_tap_probe,
    .wait_with = tap_wait_with,
};
