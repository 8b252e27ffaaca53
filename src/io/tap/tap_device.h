#ifndef NSP_IO_TAP_DEVICE_H
#define NSP_IO_TAP_DEVICE_H
#include "io/tap/tap_interface.h"
#include "io/tap/tap_program.h"
#include "io/tap/tap_queue.h"
#include "io/tap/tap_watch.h"
#include "netshaper/engine.h"
#include "netshaper/io.h"
#include "os/linux/beats.h"
#include "os/linux/bpf_decider.h"
#include "os/linux/tap_link.h"
#include "os/linux/tc_hook.h"

/* The device itself: opened by tap_open.c and tap_attach.c, served by tap.c,
 * and told of interfaces by tap_watch.c. */
#define NSP_TAP_HOOKS_MAX (2u * NSP_TAP_INTERFACES_MAX)

struct nsp_io {
    struct nsp_tap_queue *queues;
    uint32_t queue_count, queues_open;
    bool fail_closed;
    struct nsp_beats beats;

    /* By slot. One has a name as long as it belongs to that interface, and a
     * number while there is such a one. */
    struct nsp_tap_link link;
    struct nsp_tap_interface interfaces[NSP_TAP_INTERFACES_MAX];
    struct nsp_tap_origin origins[NSP_TAP_INTERFACES_MAX];
    uint32_t interfaces_left;
    bool takes_all;     /* Interfaces, also those to come. */
    bool shares_output; /* Another device has those without Ethernet headers. */

    /* Programs: at the TAP, and by slot at both hooks of an interface. Those
     * are all made like 'divert'. */
    struct nsp_tc_hook back;
    struct nsp_tc_hook hooks[NSP_TAP_HOOKS_MAX];
    struct nsp_tap_divert divert;
    enum nsp_tc_method method;
    uint32_t hooks_taken; /* Set of enum nsp_hook. */
    bool skip_loopback_input;
    int places_fd; /* What the program at the TAP knows of slots. */
    bool quiesced;
    struct nsp_gate *hooks_gate; /* Around changes of all these. */

    bool superpackets;              /* Are welcome now. */
    struct nsp_bpf_decider decider; /* By rules of the kernel. */

    struct nsp_tap_watcher watcher;
    char lost[IF_NAMESIZE]; /* The last interface to go. */
    _Atomic int status;     /* Published behind 'lost'. */

    int counters_fd; /* -1: the kernel's counters cannot be read. */
    struct nsp_allocator allocator;
    struct nsp_log_sink log;
};

/* Finds the interfaces, makes the TAP and the queues, and attaches the
 * programs: packets come from then on. 'io' has its allocator, log and queue
 * count. Returns as in struct nsp_io_ops; either way it is to be closed. */
int nsp_tap_device_open(struct nsp_io *io, const struct nsp_io_config *cfg,
                        struct nsp_diag *reterr) NSP_MUSTCHECK;

/* An error of the system at 'step', for a human; returns its result. */
int nsp_tap_fail(struct nsp_diag *reterr, int err, const char *step);

/* Attaches the programs of the TAP, and of the interfaces in the first slots.
 * Returns as above. */
int nsp_tap_attach(struct nsp_io *io, const struct nsp_io_config *cfg,
                   const struct nsp_tap_config *device,
                   struct nsp_diag *reterr) NSP_MUSTCHECK;

/* Takes packets of the interface of 'slot', whose hooks are free. Returns as
 * above; nothing is then attached. */
int nsp_tap_take_interface(struct nsp_io *io, uint32_t slot,
                           struct nsp_diag *reterr) NSP_MUSTCHECK;
void nsp_tap_leave_interface(struct nsp_io *io, uint32_t slot);

/* What the program of a hook is made of: of 'divert', and of its place. */
struct nsp_tap_divert nsp_tap_divert_at(const struct nsp_io *io, uint32_t hook);

/* As in struct nsp_io_ops (tap_offload.c). */
int nsp_tap_offload(struct nsp_io *io,
                    const struct nsp_offload_request *request,
                    struct nsp_offload_counters ret_last[]);
void nsp_tap_offload_flows(struct nsp_io *io,
                           const struct nsp_offload_flow flows[], uint32_t n,
                           uint64_t generation);
int nsp_tap_share_buckets(struct nsp_io *io, uint32_t count, uint64_t **ret);
void nsp_tap_read_offload(struct nsp_io *io, uint32_t index,
                          struct nsp_offload_counters *ret);

#endif /* NSP_IO_TAP_DEVICE_H */
