#ifndef NSP_IO_TAP_DEVICE_H
#define NSP_IO_TAP_DEVICE_H
#include "io/tap/tap_link.h"
#include "io/tap/tap_program.h"
#include "io/tap/tap_queue.h"
#include "netshaper/io.h"
#include "os/linux/beats.h"
#include "os/linux/bpf_police.h"
#include "os/linux/link_watch.h"
#include "os/linux/tc_hook.h"

/* The device itself: opened by tap_open.c, served by tap.c. */
#define NSP_TAP_HOOKS_MAX (2u * NSP_TAP_INTERFACES_MAX)

struct nsp_io {
    struct nsp_tap_queue *queues;
    uint32_t queue_count, queues_open;
    bool fail_closed;
    struct nsp_beats beats;

    struct nsp_tap_link link;
    struct nsp_tap_interface interfaces[NSP_TAP_INTERFACES_MAX];
    uint32_t interface_count;
    struct nsp_tap_origin origins[NSP_TAP_INTERFACES_MAX];

    struct nsp_tc_hook back; /* At the TAP. */
    struct nsp_tc_hook hooks[NSP_TAP_HOOKS_MAX];
    struct nsp_tap_divert diverts[NSP_TAP_HOOKS_MAX]; /* Their programs. */
    uint32_t hook_count;
    struct nsp_gate *hooks_gate; /* Around changes of hooks. */

    bool superpackets; /* Are welcome now. */
    struct nsp_bpf_buckets buckets;
    _Atomic int flows_fd;            /* Verdicts of flows; -1: none yet. */
    struct nsp_bpf_offload *offload; /* In force; NULL: none. */

    struct nsp_link_watch watch; /* Read by worker 0. */
    uint32_t interfaces_left;
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
