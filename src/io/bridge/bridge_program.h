#ifndef NSP_IO_BRIDGE_PROGRAM_H
#define NSP_IO_BRIDGE_PROGRAM_H
#include "base/base.h"
#include "netshaper/env.h"
#include "netshaper/filter.h"
#include "os/linux/bpf_offload.h"

/* The eBPF programs of the bridge, written instruction by instruction.
 *
 *     port A --> XDP --> AF_XDP socket --> engine --> AF_XDP socket --> port B
 *                 |                                                       ^
 *                 +--> stack --> tc ingress -- nobody is alive -----------+
 *
 * XDP   At each port: sends frames to the socket of the queue they came from,
 *       as long as its worker is alive (os/linux/beats.h) and the socket is
 *       there. Others it drops, or lets pass to the stack. Frames that switches
 *       keep to themselves, 01:80:C2:00:00:00 to 0F (spanning tree, pause,
 *       LACP, LLDP), and those that the filter does not match, always pass to
 *       the stack. What rules decide here is dropped, or passes, until the
 *       process is dead: they end with it. Where late frames are dropped, rules
 *       and filter are asked only while the worker is alive.
 *       Those that do not lie in one piece the worker is asked about.
 * tc    At the port's ingress: sends what XDP let pass out of the other port. A
 *       frame that takes this way is the stack's, so what is left to do of its
 *       checksum and segmentation gets done.
 *
 * Both are attached so that they outlive the process. */

/* Names of the programs begin with this. */
#define NSP_BRIDGE_PROGRAM_PREFIX "nsp_bridge"

struct nsp_bridge_steer {
    uint32_t workers; /* Frames of queue q are worker q % workers's. */
    int beats_fd;     /* Map of one struct nsp_beats_shared. */
    int sockets_fd;   /* Map of AF_XDP sockets, by queue. */
    bool fail_closed; /* Late frames are dropped. */
    bool pieces;      /* Frames may come in several. */
    uint32_t ifindex; /* Of the port; for the filter. */
    const struct nsp_filter *filter; /* NULL: all frames are wanted. */
    struct nsp_bpf_offload *offload; /* Of frames that it matches; NULL: they
                                      * all go to the worker. */
};

/* Each loads a program and returns its descriptor or a negative errno. A filter
 * that the kernel does not take is left out: the engine asks it again anyway.
 */
int nsp_bridge_load_xdp(const struct nsp_bridge_steer *steer,
                        const struct nsp_allocator *allocator) NSP_MUSTCHECK;
int nsp_bridge_load_tc(uint32_t peer_ifindex) NSP_MUSTCHECK;

#endif /* NSP_IO_BRIDGE_PROGRAM_H */
