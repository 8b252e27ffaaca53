#ifndef NSP_IO_BRIDGE_LANE_H
#define NSP_IO_BRIDGE_LANE_H
#include <poll.h>

#include "base/base.h"
#include "netshaper/io.h"
#include "os/os.h"

/* What one worker forwards, whichever sockets move its frames: those of AF_XDP
 * (bridge_queue.h), or packet sockets (bridge_packets.h).
 *
 * Threads  The worker; 'count' and the wakeup any. */

#define NSP_BRIDGE_QUEUES_MAX 64u

/* What a lane sleeps on, of both ports. */
#define NSP_BRIDGE_LANE_FDS_MAX (2 * NSP_BRIDGE_QUEUES_MAX)

struct nsp_bridge_lane;

struct nsp_bridge_lane_ops {
    /* As in struct nsp_io_ops. */
    uint32_t (*rx_burst)(struct nsp_bridge_lane *lane, uint64_t now_ns,
                         struct nsp_pkt *ret_pkts[], uint32_t max);
    uint32_t (*tx_burst)(struct nsp_bridge_lane *lane,
                         struct nsp_pkt *const pkts[], uint32_t n,
                         bool ret_refused[]);
    void (*drop_burst)(struct nsp_bridge_lane *lane,
                       struct nsp_pkt *const pkts[], uint32_t n);
    int (*inject)(struct nsp_bridge_lane *lane, const uint8_t *ip,
                  uint32_t ip_bytes, bool reply, const struct nsp_pkt *like);

    /* False while nothing can be read for want of room. */
    bool (*can_receive)(const struct nsp_bridge_lane *lane);

    /* Tells whether frames wait for the kernel to take them, or room for it to
     * have sent them. */
    bool (*must_send)(const struct nsp_bridge_lane *lane);

    /* Stores what becomes readable with a frame, and returns their number, at
     * most NSP_BRIDGE_LANE_FDS_MAX. */
    uint32_t (*list)(const struct nsp_bridge_lane *lane, struct pollfd ret[]);

    /* Adds what the kernel counts of the sockets; not during a rebind. */
    void (*count)(struct nsp_bridge_lane *lane, struct nsp_io_stats *stats);

    /* Accepts one that is half open. */
    void (*close)(struct nsp_bridge_lane *lane);
};

struct nsp_bridge_lane {
    const struct nsp_bridge_lane_ops *ops;
    struct nsp_wakeup wakeup;
    uint32_t index;    /* Of the worker. */
    uint32_t bindings; /* Changes of queues that it has followed. */
};

#endif /* NSP_IO_BRIDGE_LANE_H */
