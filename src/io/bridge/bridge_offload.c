#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "io/bridge/bridge_device.h"
#include "os/linux/bpf_call.h"
#include "os/linux/bpf_flows.h"

/* Loads both ports' programs that decide by 'offload'. Returns 0, or a negative
 * errno with nothing loaded. */
static int
load_programs(const struct nsp_io *io, struct nsp_bpf_offload *offload,
              int ret_fds[2])
{
    for (uint32_t port = 0; port < 2; port++) {
        struct nsp_bridge_steer steer = io->steers[port];

        steer.offload = offload;
        ret_fds[port] = nsp_bridge_load_xdp(&steer, &io->allocator);
        if (ret_fds[port] >= 0)
            continue;
        if (port > 0)
            close(ret_fds[0]);
        return ret_fds[port];
    }
    return 0;
}

/* A port that is gone, or has somebody else's program by now, has no frames for
 * us any more. */
static void
replace_programs(struct nsp_io *io, const int fds[2])
{
    for (uint32_t port = 0; port < 2; port++) {
        int err = 0;

        if (io->ports[port].xdp_fd >= 0)
            err = nsp_bridge_port_replace_xdp(&io->ports[port], fds[port]);
        if (err < 0)
            nsp_log_write(&io->log, NSP_LOG_INFO,
                          "bridge: the program at %s was not replaced: %s",
                          io->ports[port].name, strerror(-err));
        close(fds[port]);
    }
}

static int
create(struct nsp_io *io, const struct nsp_offload_request *request,
       struct nsp_bpf_offload **ret)
{
    struct nsp_bpf_offload_maps maps = { .buckets_fd = io->buckets.fd };

    /* Where there can be none, flows go on with the engine. */
    if (request->flow_rules > 0 && io->flows_fd < 0)
        io->flows_fd = nsp_bpf_flows_create();
    maps.flows_fd = io->flows_fd;
    return nsp_bpf_offload_create(NSP_EBPF_XDP, request, &maps, &io->allocator,
                                  ret);
}

int
nsp_bridge_offload(struct nsp_io *io, const struct nsp_offload_request *request,
                   struct nsp_offload_counters ret_last[])
{
    struct nsp_bpf_offload *next = NULL;
    int fds[2], err = 0;

    /* Rules are for what the filter matches, and what passes takes its way. */
    if (!io->steers[0].filter)
        return -EOPNOTSUPP;
    if (request->count > 0 || request->complete || request->flow_rules > 0)
        err = create(io, request, &next);
    if (err < 0)
        return err;
    nsp_gate_lock(io->programs_gate);
    err = load_programs(io, next, fds);
    if (err == 0)
        replace_programs(io, fds);
    nsp_gate_unlock(io->programs_gate);
    if (err < 0) {
        nsp_bpf_offload_destroy(next);
        return err;
    }
    if (io->offload) {
        /* It fails on processors kept from the scheduler (nohz_full): what they
         * may still count meanwhile is then lost. */
        (void)!nsp_bpf_wait_for_programs();
        nsp_bpf_offload_read_all(io->offload, ret_last);
        nsp_bpf_offload_destroy(io->offload);
    }
    io->offload = next;
    return 0;
}

void
nsp_bridge_offload_flows(struct nsp_io *io,
                         const struct nsp_offload_flow flows[], uint32_t n,
                         uint64_t generation)
{
    int fd = atomic_load(&io->flows_fd);

    if (fd >= 0)
        nsp_bpf_flows_push(fd, flows, n, (uint32_t)generation);
}

int
nsp_bridge_share_buckets(struct nsp_io *io, uint32_t count, uint64_t **ret)
{
    int err = nsp_bpf_buckets_open(&io->buckets, count);

    if (err == 0)
        *ret = io->buckets.words;
    return err;
}

void
nsp_bridge_read_offload(struct nsp_io *io, uint32_t index,
                        struct nsp_offload_counters *ret)
{
    if (!io->offload || nsp_bpf_offload_read(io->offload, index, ret) < 0)
        *ret = (struct nsp_offload_counters){ 0 };
}
