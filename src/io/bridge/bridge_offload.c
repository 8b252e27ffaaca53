#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "io/bridge/bridge_device.h"

/* Loads both ports' programs that decide by 'offload'. Returns 0, or a negative
 * errno with nothing loaded. */
static int
load_programs(const struct nsp_io *io, struct nsp_bpf_offload *offload,
              int ret_fds[2])
{
    for (uint32_t port = 0; port < 2; port++) {
        struct nsp_bridge_steer steer = io->steers[port];

        steer.offload = offload;
        steer.superpackets = io->superpackets;
        ret_fds[port] = nsp_bridge_load_steer(&steer, &io->allocator);
        if (ret_fds[port] >= 0)
            continue;
        if (port > 0)
            close(ret_fds[0]);
        return ret_fds[port];
    }
    return 0;
}

/* Replaces the program at a port that has one of ours. */
static int
replace_program(const struct nsp_io *io, struct nsp_bridge_port *port, int fd)
{
    if (io->by_stack)
        return port->tc.attached ? nsp_bridge_port_replace_tc(port, fd) : 0;
    return port->xdp_fd >= 0 ? nsp_bridge_port_replace_xdp(port, fd) : 0;
}

/* A port that is gone, or has somebody else's program by now, has no frames for
 * us any more. */
static void
replace_programs(struct nsp_io *io, const int fds[2])
{
    for (uint32_t port = 0; port < 2; port++) {
        int err = replace_program(io, &io->ports[port], fds[port]);

        if (err < 0)
            nsp_log_write(&io->log, NSP_LOG_INFO,
                          "bridge: the program at %s was not replaced: %s",
                          io->ports[port].name, strerror(-err));
        close(fds[port]);
    }
}

int
nsp_bridge_reload(struct nsp_io *io)
{
    int fds[2], err = load_programs(io, io->offload, fds);

    if (err == 0)
        replace_programs(io, fds);
    return err;
}

int
nsp_bridge_offload(struct nsp_io *io, const struct nsp_offload_request *request,
                   struct nsp_offload_counters ret_last[])
{
    struct nsp_bpf_offload *next;
    int fds[2], err;

    /* Rules are for what the filter matches, and what passes takes its way. */
    if (!io->steers[0].filter)
        return -EOPNOTSUPP;
    err = nsp_bpf_decider_prepare(&io->decider,
                                  io->by_stack ? NSP_EBPF_TCX : NSP_EBPF_XDP,
                                  request, &io->allocator, &next);
    if (err < 0)
        return err;
    nsp_gate_lock(io->programs_gate);
    err = load_programs(io, next, fds);
    if (err == 0) {
        replace_programs(io, fds);
        io->offload = next;
    }
    nsp_gate_unlock(io->programs_gate);
    if (err < 0) {
        nsp_bpf_offload_destroy(next);
        return err;
    }
    nsp_bpf_decider_use(&io->decider, next, ret_last);
    return 0;
}

void
nsp_bridge_offload_flows(struct nsp_io *io,
                         const struct nsp_offload_flow flows[], uint32_t n,
                         uint64_t generation)
{
    nsp_bpf_decider_push_flows(&io->decider, flows, n, generation);
}

int
nsp_bridge_share_buckets(struct nsp_io *io, uint32_t count, uint64_t **ret)
{
    return nsp_bpf_decider_share_buckets(&io->decider, count, ret);
}

void
nsp_bridge_read_offload(struct nsp_io *io, uint32_t index,
                        struct nsp_offload_counters *ret)
{
    nsp_bpf_decider_read(&io->decider, index, ret);
}
