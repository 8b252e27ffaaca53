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
 * or, where frames are taken in the stack,
 *
 *     port A --> tc ingress --> sink --> engine --> packet socket --> port B
 *                    |                                                  ^
 *                    +--- nobody is alive ------------------------------+
 *
 * steer   At each port, in XDP or at the ingress of the stack: sends frames to
 *         their worker, as long as it is alive (os/linux/beats.h). Others it
 *         drops, or lets pass. Frames that switches keep to themselves,
 *         01:80:C2:00:00:00 to 0F (spanning tree, pause, LACP, LLDP), and those
 *         that the filter does not match, always pass. What rules decide here
 *         is dropped, or passes, until the process is dead: they end with it.
 *         Where late frames are dropped, rules and filter are asked only while
 *         the worker is alive. Those that do not lie in one piece the worker is
 *         asked about. Which worker a frame is for is known by the queue that
 *         it came from; in the stack it is not, and all have to be alive. One
 *         that could not be detached, since its port was moved to another
 *         network namespace, lets all pass once the device is closed.
 * onward  At the stack's ingress, with XDP: sends what that let pass out of the
 *         other port. A frame that takes this way is the stack's, so what is
 *         left to do of its checksum and segmentation gets done.
 *
 * All are attached so that they outlive the process. */

/* Names of the programs begin with this. */
#define NSP_BRIDGE_PROGRAM_PREFIX "nsp_bridge"

struct nsp_bridge_steer {
    uint32_t workers; /* Frames of queue q are worker q % workers's. */
    int beats_fd;     /* Map of one struct nsp_beats_shared. */
    bool fail_closed; /* Late frames are dropped. */
    uint32_t ifindex; /* Of the port; for the filter. */

    /* XDP: a map of AF_XDP sockets, by queue; frames may come in pieces. */
    int sockets_fd;
    bool pieces;

    /* The stack: where frames for workers, and others, go; the filter may judge
     * superpackets by their whole. */
    uint32_t sink_ifindex; /* 0: XDP. */
    uint32_t peer_ifindex;
    bool superpackets;

    const struct nsp_filter *filter; /* NULL: all frames are wanted. */
    struct nsp_bpf_offload *offload; /* Of frames that it matches; NULL: they
                                      * all go to the worker. */
};

/* Each loads a program and returns its descriptor or a negative errno. A filter
 * that the kernel does not take is left out: the engine asks it again anyway.
 */
int nsp_bridge_load_steer(const struct nsp_bridge_steer *steer,
                          const struct nsp_allocator *allocator) NSP_MUSTCHECK;
int nsp_bridge_load_onward(uint32_t peer_ifindex) NSP_MUSTCHECK;

#endif /* NSP_IO_BRIDGE_PROGRAM_H */
