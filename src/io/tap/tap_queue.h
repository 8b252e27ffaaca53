#ifndef NSP_IO_TAP_QUEUE_H
#define NSP_IO_TAP_QUEUE_H
#include <stdatomic.h>

#include "base/base.h"
#include "io/packet_pool.h"
#include "io/tap/tap_program.h"
#include "io/vnet_header.h"
#include "netshaper/io.h"
#include "os/os.h"
#include "packet/link.h"

/* One queue of the TAP, and the packets it has lent out.
 *
 * A packet read is ours alone: the kernel has let go of it, its socket is free
 * to send the next. So what waits here waits in our memory.
 *
 *     TAP --read--> receive block --> engine --> write --> TAP
 *                        | still out at the next burst
 *                        +--> block of the packet's size
 *
 * Blocks     begin with the virtio-net header, which says what is left to do
 *            of checksum and segmentation, and goes back as it came. A packet
 *            begins behind it and the tag.
 * Bounds     Descriptors and store of io/packet_pool.h. With either used up
 *            nothing is read: packets wait in the kernel's queue, which drops
 *            and counts what does not fit.
 * Threads    The queue's worker. Counters: one writer, any reader.
 * Cost       A system call for each packet in and each packet out, and one
 *            more to find the queue empty; no allocation from the system. */

#define NSP_TAP_DATA_OFF (NSP_VNET_BYTES + NSP_LINK_TAG_BYTES)

/* What is known of a place where packets are taken. It stays as it is as long
 * as such packets may come, while others may be added; what is sent there when
 * it is no longer present is refused.
 *
 * Two things nobody can tell: packets that are written before the news of a
 * removal was read end in the kernel, as if they had been sent; those that wait
 * in the TAP unread while the slot gets another interface count as its own. */
struct nsp_tap_origin {
    _Atomic uint32_t ifindex; /* 0: there is none. */
    _Atomic uint32_t present; /* The same, or 0: it has gone. */
    atomic_bool loopback;
};

struct nsp_tap_queue_config {
    uint32_t index; /* Of the queue in its device: pkt->queue. */
    int fd;         /* The device's; non-blocking. */
    uint32_t max_held_pkts;
    bool edits;
    const struct nsp_tap_origin *origins; /* NSP_TAP_INTERFACES_MAX, by slot. */
    struct nsp_allocator allocator;
};

struct nsp_tap_slot {
    struct nsp_pkt pkt;
    uint8_t *block;
    bool lent;
    bool whole_block; /* A receive block, not one of the packet's size. */
};

struct nsp_tap_queue {
    struct nsp_tap_queue_config config;
    struct nsp_wakeup wakeup;

    struct nsp_buddy store;
    uint8_t *spare[NSP_BURST_MAX]; /* Receive blocks without a packet. */
    uint32_t spare_count;

    struct nsp_packet_pool pool; /* Of struct nsp_tap_slot. */
    struct nsp_tap_slot *last_burst[NSP_BURST_MAX];
    uint32_t last_burst_pkts;

    _Atomic uint64_t device_errors;
    _Atomic int status; /* The negative errno that ended it, or 0. */

    /* Keeps what two workers write on lines of their own. */
    uint8_t padding[NSP_CACHE_LINE];
};

/* Makes room. Returns 0 or a negative errno; either way the queue may be
 * closed, which does not close 'fd'. */
int nsp_tap_queue_open(struct nsp_tap_queue *queue,
                       const struct nsp_tap_queue_config *cfg) NSP_MUSTCHECK;
void nsp_tap_queue_close(struct nsp_tap_queue *queue);

/* As in struct nsp_io_ops. */
uint32_t nsp_tap_rx_burst(struct nsp_tap_queue *queue, uint64_t now_ns,
                          struct nsp_pkt *ret_pkts[], uint32_t max);
uint32_t nsp_tap_tx_burst(struct nsp_tap_queue *queue,
                          struct nsp_pkt *const pkts[], uint32_t n,
                          bool ret_refused[]);
void nsp_tap_drop_burst(struct nsp_tap_queue *queue,
                        struct nsp_pkt *const pkts[], uint32_t n);
int nsp_tap_inject(struct nsp_tap_queue *queue, const uint8_t *ip,
                   uint32_t ip_bytes, bool reply, const struct nsp_pkt *like);

/* False while nothing can be read for want of room. */
bool nsp_tap_queue_can_receive(struct nsp_tap_queue *queue);

#endif /* NSP_IO_TAP_QUEUE_H */
