#ifndef NSP_IO_BRIDGE_PACKET_RING_H
#define NSP_IO_BRIDGE_PACKET_RING_H
#include <stdatomic.h>

#include "base/base.h"
#include "io/vnet_header.h"

/* A packet socket (packet(7)) that hears what an interface sends, with a ring
 * of version 2.
 *
 *     interface --> slot, with its virtio-net header --> copied by its reader
 *            |
 *            +----> longer than a slot: queue of the socket --> read
 *
 * Version    3 packs frames better, but hands them over by the block, which a
 *            timer closes: a wire must not add its ticks to every ping.
 * Long       frames (superpackets) are kept whole beside the ring, where their
 *            slot tells of it. So slots need not be as long as the longest.
 * Tags       come beside the frame, as the kernel keeps them.
 * Bounds     With no slot free the kernel drops, and counts. So are long frames
 *            that the socket has no room for.
 * Threads    One; the counter any.
 * Cost       A copy; a system call for a long frame. */

struct nsp_packet_ring_config {
    uint32_t ifindex;
    uint32_t slot_bytes; /* A power of two, from 2048. */
    uint32_t slots;      /* A power of two, slot_bytes * slots >= 1 MiB. */
    uint32_t queues;     /* Of a group that shares frames by flow, ... */
    uint16_t group;      /* ... 0: the first to make it. */
};

struct nsp_packet_ring {
    struct nsp_packet_ring_config config;
    int fd; /* Readable with a frame; -1 when closed. */
    uint8_t *bytes;
    uint32_t next; /* Slot to look at. */
    _Atomic uint64_t dropped_pkts;
};

/* A frame in the ring. */
struct nsp_packet_frame {
    const uint8_t *data; /* Behind its virtio-net header; NULL: it is long. */
    uint32_t bytes;
    bool tagged;
    uint16_t tag_type, tag;
};

/* Hears 'ifindex' from then on, and stores the number of its group. Returns 0
 * or a negative errno; either way the ring may be closed. */
int nsp_packet_ring_open(struct nsp_packet_ring *ring,
                         const struct nsp_packet_ring_config *cfg)
    NSP_MUSTCHECK;
void nsp_packet_ring_close(struct nsp_packet_ring *ring);

/* Describes the next frame; false: there is none. */
bool nsp_packet_ring_look(struct nsp_packet_ring *ring,
                          struct nsp_packet_frame *ret);

/* Takes the frame looked at: its virtio-net header to 'ret', all its bytes to
 * 'to'. False: it is lost, and counted. */
bool nsp_packet_ring_take(struct nsp_packet_ring *ring,
                          const struct nsp_packet_frame *frame,
                          struct virtio_net_hdr *ret, uint8_t *to);

/* Frames that were lost since open. Any thread. */
uint64_t nsp_packet_ring_dropped_pkts(struct nsp_packet_ring *ring);

#endif /* NSP_IO_BRIDGE_PACKET_RING_H */
