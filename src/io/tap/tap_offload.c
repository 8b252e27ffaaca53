#define _GNU_SOURCE
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "io/tap/tap_device.h"

/* Loads the program of each hook that has one. Returns 0, or a negative errno
 * with nothing loaded. */
static int
load_programs(const struct nsp_io *io, int ret_fds[])
{
    for (uint32_t i = 0; i < NSP_TAP_HOOKS_MAX; i++) {
        const struct nsp_tap_divert divert = nsp_tap_divert_at(io, i);

        ret_fds[i] = -1;
        if (!io->hooks[i].attached)
            continue;
        ret_fds[i] = nsp_tap_load_divert(&divert, &io->allocator, NULL, 0);
        if (ret_fds[i] >= 0)
            continue;
        for (uint32_t j = 0; j < i; j++)
            if (ret_fds[j] >= 0)
                close(ret_fds[j]);
        return ret_fds[i];
    }
    return 0;
}

/* A hook whose interface has gone has no packets any more. */
static void
replace_programs(struct nsp_io *io, const int fds[])
{
    for (uint32_t i = 0; i < NSP_TAP_HOOKS_MAX; i++) {
        int err;

        if (fds[i] < 0)
            continue;
        err = nsp_tc_hook_replace(&io->hooks[i], fds[i]);
        if (err < 0)
            nsp_log_write(&io->log, NSP_LOG_INFO,
                          "tap: the program at interface %" PRIu32
                          " was not replaced: %s",
                          io->hooks[i].ifindex, strerror(-err));
        close(fds[i]);
    }
}

/* Has all programs, those to come included, decide by 'next'. On failure they
 * are as before. */
static int
change_programs(struct nsp_io *io, struct nsp_bpf_offload *next)
{
    const struct nsp_tap_divert before = io->divert;
    int fds[NSP_TAP_HOOKS_MAX], err;

    nsp_gate_lock(io->hooks_gate);
    io->divert.offload = next;
    io->divert.superpackets = io->superpackets;
    err = load_programs(io, fds);
    if (err == 0)
        replace_programs(io, fds);
    else
        io->divert = before;
    nsp_gate_unlock(io->hooks_gate);
    return err;
}

int
nsp_tap_offload(struct nsp_io *io, const struct nsp_offload_request *request,
                struct nsp_offload_counters ret_last[])
{
    struct nsp_bpf_offload *next;
    int err = nsp_bpf_decider_prepare(&io->decider, NSP_EBPF_TCX, request,
                                      &io->allocator, &next);
    if (err == 0)
        err = change_programs(io, next);
    if (err < 0) {
        nsp_bpf_offload_destroy(next);
        return err;
    }
    nsp_bpf_decider_use(&io->decider, next, ret_last);
    return 0;
}

void
nsp_tap_offload_flows(struct nsp_io *io, const struct nsp_offload_flow flows[],
                      uint32_t n, uint64_t generation)
{
    nsp_bpf_decider_push_flows(&io->decider, flows, n, generation);
}

int
nsp_tap_share_buckets(struct nsp_io *io, uint32_t count, uint64_t **ret)
{
    return nsp_bpf_decider_share_buckets(&io->decider, count, ret);
}

void
nsp_tap_read_offload(struct nsp_io *io, uint32_t index,
                     struct nsp_offload_counters *ret)
{
    nsp_bpf_decider_read(&io->decider, index, ret);
}
