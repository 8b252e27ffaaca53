#ifndef NSP_IO_BRIDGE_DEVICE_H
#define NSP_IO_BRIDGE_DEVICE_H
#include "io/bridge/bridge_packets.h"
#include "io/bridge/bridge_port.h"
#include "io/bridge/bridge_program.h"
#include "io/bridge/bridge_queue.h"
#include "os/linux/beats.h"
#include "os/linux/bpf_decider.h"
#include "os/linux/link_watch.h"

/* The device itself: opened by bridge_open.c, which has bridge_xdp.c or
 * bridge_stack.c do what differs, and served by bridge.c. */
struct nsp_io {
    struct nsp_bridge_port ports[2];
    struct nsp_bridge_lane *lanes[NSP_IO_QUEUES_MAX]; /* By worker. */
    uint32_t queue_count, lanes_open;
    bool fail_closed;
    bool by_stack;     /* Frames are taken in the stack, not in the drivers. */
    bool superpackets; /* Are welcome now. */

    /* The lanes, and what belongs to all of them. */
    struct nsp_bridge_queue *queues;    /* Of AF_XDP sockets, or ... */
    struct nsp_bridge_packets *packets; /* ... of packet sockets; */
    struct nsp_tap_link sinks[2];       /* ... where frames end then. */

    struct nsp_beats beats;

    /* What the programs are made of, and a gate for who replaces them. */
    struct nsp_bridge_steer steers[2];
    struct nsp_bpf_decider decider;  /* By rules of the kernel, ... */
    struct nsp_bpf_offload *offload; /* ... these now; or NULL. */
    struct nsp_gate *programs_gate;

    struct nsp_link_watch watch; /* Read by worker 0: when it sleeps, */
    uint64_t watched_ns;         /* ... and now and then when it does not. */
    _Atomic uint32_t bindings;   /* How often queues have changed. */
    char ended[96];              /* Why the device has ended. */
    atomic_bool ending;          /* Somebody writes that. */
    _Atomic int status;          /* Published behind 'ended'. */
    atomic_bool quiesced;        /* Packets that came before may be read. */

    struct nsp_allocator allocator;
    struct nsp_log_sink log;
};

/* Finds the interfaces, opens sockets, and attaches the programs: packets come
 * from then on. 'io' has its allocator, log and queue count, and everything
 * else closed. Returns as in struct nsp_io_ops; either way it is to be closed.
 */
int nsp_bridge_device_open(struct nsp_io *io, const struct nsp_io_config *cfg,
                           struct nsp_diag *reterr) NSP_MUSTCHECK;

/* Opens the lanes, and attaches the programs that send them frames: in the
 * drivers, or in the stack. '*ret_missing' tells that the first has failed
 * because a driver, or the kernel, lacks it: then the second may not. Returns
 * as above. */
int nsp_bridge_open_xdp(struct nsp_io *io, const struct nsp_io_config *cfg,
                        bool *ret_missing,
                        struct nsp_diag *reterr) NSP_MUSTCHECK;
int nsp_bridge_open_stack(struct nsp_io *io, const struct nsp_io_config *cfg,
                          struct nsp_diag *reterr) NSP_MUSTCHECK;

/* Closes the lanes that are open, and their sinks. */
void nsp_bridge_close_lanes(struct nsp_io *io);

/* Has all workers that sleep look again. */
void nsp_bridge_wake(struct nsp_io *io);

/* Reads what became of the interfaces; worker 0. */
void nsp_bridge_read_news(struct nsp_io *io);

/* Binds a worker's sockets anew where that has changed the queues. */
void nsp_bridge_follow(struct nsp_io *io, uint32_t worker);

/* Errors for humans, each of which returns its result: of the system at 'step',
 * of a program that was to be loaded, of interface 'name'. */
int nsp_bridge_fail_step(struct nsp_diag *reterr, int err, const char *step);
int nsp_bridge_fail_program(struct nsp_diag *reterr, int err, const char *what);
int nsp_bridge_fail_port(struct nsp_diag *reterr, int err, const char *name);
int nsp_bridge_fail_clsact(struct nsp_diag *reterr, int err);

/* Puts the same programs in their place anew: drivers run the one that was
 * there on the queues of then. Returns 0 or a negative errno. */
int nsp_bridge_reload(struct nsp_io *io) NSP_MUSTCHECK;

/* As in struct nsp_io_ops. */
int nsp_bridge_offload(struct nsp_io *io,
                       const struct nsp_offload_request *request,
                       struct nsp_offload_counters ret_last[]);
void nsp_bridge_offload_flows(struct nsp_io *io,
                              const struct nsp_offload_flow flows[], uint32_t n,
                              uint64_t generation);
int nsp_bridge_share_buckets(struct nsp_io *io, uint32_t count, uint64_t **ret);
void nsp_bridge_read_offload(struct nsp_io *io, uint32_t index,
                             struct nsp_offload_counters *ret);

#endif /* NSP_IO_BRIDGE_DEVICE_H */
