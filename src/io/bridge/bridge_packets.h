#ifndef NSP_IO_BRIDGE_PACKETS_H
#define NSP_IO_BRIDGE_PACKETS_H
#include "io/bridge/bridge_lane.h"
#include "io/bridge/bridge_port.h"
#include "io/bridge/packet_ring.h"
#include "io/packet_pool.h"
#include "os/linux/tap_link.h"

/* What one worker forwards where a driver has no XDP: packet sockets, of which
 * one at each sink hears what the program at a port sends there, and one at
 * each port sends.
 *
 *     port A --> tc --> sink A, which drops all --> ring --> block --> engine
 *                                                                        |
 *     port B <------------------------------------------ sendmmsg <------+
 *
 * A packet socket hears copies. At the port itself the stack would go on with
 * the frame that was copied; the sink, a TAP that nobody reads, is where it
 * ends. So a frame is either here or in the kernel, never both.
 *
 * Frames keep their virtio-net header: superpackets come, wait and go whole,
 * with what is left to do of their checksum and segmentation.
 *
 * Bounds   Descriptors and store of io/packet_pool.h. With either used up
 *          nothing is read: frames wait in the ring, and the kernel drops and
 *          counts what does not fit. What the socket that sends has no room for
 *          is refused.
 * Threads  The lane's worker; counters any.
 * Cost     No system call for a frame that comes, unless it is long; one for a
 *          burst to a port. A copy in, and one out. No allocation. */

struct nsp_bridge_packets_config {
    uint32_t index, workers;
    const struct nsp_bridge_port *ports; /* Both, and ... */
    const struct nsp_tap_link *sinks;    /* ... where frames from them end. */
    uint16_t *groups; /* Of the rings at both; 0: not made yet. */
    uint32_t slot_bytes;
    uint32_t max_held_pkts;
    bool complete_checksums; /* Here, but for those of superpackets. */
    struct nsp_allocator allocator;
};

struct nsp_bridge_packet {
    struct nsp_pkt pkt;
    uint8_t *block;
    bool lent;
};

struct nsp_bridge_packets {
    struct nsp_bridge_lane lane;
    struct nsp_bridge_packets_config config;
    struct nsp_packet_ring rings[2]; /* By the port that frames come from. */
    int send_fds[2];                 /* By the port that they go to; or -1. */

    struct nsp_packet_pool pool; /* Of struct nsp_bridge_packet. */
    struct nsp_buddy store;
    bool starved;        /* A frame waits for a block. */
    uint32_t first_port; /* To be read first, next time. */
};

/* Makes room and opens the sockets: what the sinks are sent from then on comes.
 * Returns 0 or a negative errno; '*reterr_step' then says what failed. Either
 * way the lane may be closed. */
int nsp_bridge_packets_open(struct nsp_bridge_packets *packets,
                            const struct nsp_bridge_packets_config *cfg,
                            const char **reterr_step) NSP_MUSTCHECK;

#endif /* NSP_IO_BRIDGE_PACKETS_H */
