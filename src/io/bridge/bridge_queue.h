#ifndef NSP_IO_BRIDGE_QUEUE_H
#define NSP_IO_BRIDGE_QUEUE_H
#include "io/bridge/bridge_lane.h"
#include "io/bridge/bridge_port.h"
#include "io/bridge/bridge_rooms.h"
#include "io/bridge/bridge_socket.h"

/* What one worker forwards by AF_XDP: its share of the queues of both ports,
 * and the memory that their sockets share, so that a frame crosses without
 * being copied here.
 *
 *     fill --kernel--> rx --> engine --> tx --kernel--> completion --+
 *       ^                       |                                    |
 *       +----- free rooms <-----+------------------------------------+
 *
 * One that is larger than a chunk is copied once, into a large room.
 *
 * Bounds     A frame is in a ring of a socket, lent to the engine, being sent,
 *            or free. There are so many that the fill rings never want for one
 *            while max_held_pkts + 2 * NSP_BURST_MAX are lent and all send
 *            rings are full. With that many lent, or without a large room
 *            where frames may be large, nothing is read: packets wait in the
 *            receive rings, and the kernel drops and counts what does not fit.
 *            Large rooms have as much memory as the chunks of what is lent and
 *            sent.
 * Threads    The queue's worker; counters any.
 * Cost       No system call for a packet that comes; one for a burst sent, or
 *            more where the kernel takes less at once. No allocation. */

/* Of the link header, two tags included, that an MTU does not count. */
#define NSP_BRIDGE_LINK_BYTES 22u

struct nsp_bridge_queue_config {
    uint32_t index, workers; /* Serves the ports' queues index + n * workers. */
    struct nsp_bridge_port *ports; /* Both. */
    uint32_t chunk_bytes;          /* 2048 or 4096. */
    uint32_t large_chunks;         /* Of the largest frame; 0: one is enough. */
    uint32_t max_held_pkts;
    uint32_t busy_poll_us;
    bool copy;
    bool complete_checksums; /* Here, not by the interface that sends. */
    struct nsp_allocator allocator;
};

struct nsp_bridge_frame {
    struct nsp_pkt pkt;
    uint8_t port; /* Where it came from; */
    uint8_t way;  /* ... by which of our sockets there. */
    bool lent;
};

struct nsp_bridge_queue {
    struct nsp_bridge_lane lane;
    struct nsp_bridge_queue_config config;
    struct nsp_bridge_rooms rooms;
    struct nsp_bridge_memory memory; /* Theirs. */
    struct nsp_bridge_socket sockets[2][NSP_BRIDGE_QUEUES_MAX];
    uint32_t socket_count[2];
    uint32_t ring_frames; /* That each of their rings may have. */
    uint64_t past_dropped_pkts, past_errors; /* Of sockets that were closed. */

    struct nsp_bridge_frame *frames; /* By room. */
    uint32_t lent_pkts, lent_max_pkts;
    uint32_t first_port;        /* To be read first, next time. */
    _Atomic uint64_t lost_pkts; /* Larger than the largest room. */
};

/* Makes room and opens the sockets. Returns 0 or a negative errno: -EBUSY where
 * others have a queue, -ENOBUFS or -ENOMEM without memory to lock;
 * '*reterr_step' then says what failed. Either way the lane may be closed. */
int nsp_bridge_queue_open(struct nsp_bridge_queue *queue,
                          const struct nsp_bridge_queue_config *cfg,
                          const char **reterr_step) NSP_MUSTCHECK;

/* Opens the sockets anew, on the queues that the ports have now; what is lent
 * stays so, what is being sent may be lost. Where they are more than at first,
 * they share the room there is. Returns as above; the sockets may then be
 * closed, and what is sent is refused. */
int nsp_bridge_queue_rebind(struct nsp_bridge_queue *queue,
                            const char **reterr_step) NSP_MUSTCHECK;

#endif /* NSP_IO_BRIDGE_QUEUE_H */
