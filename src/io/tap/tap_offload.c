#define _GNU_SOURCE
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "io/tap/tap_device.h"
#include "os/linux/bpf_call.h"
#include "os/linux/bpf_flows.h"

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

static int
create(struct nsp_io *io, const struct nsp_offload_request *request,
       struct nsp_bpf_offload **ret)
{
    struct nsp_bpf_offload_maps maps = { .buckets_fd = io->buckets.fd };

    /* Where there can be none, flows go on with the engine. */
    if (request->flow_rules > 0 && io->flows_fd < 0)
        io->flows_fd = nsp_bpf_flows_create();
    maps.flows_fd = io->flows_fd;
    return nsp_bpf_offload_create(NSP_EBPF_TCX, request, &maps, &io->allocator,
                                  ret);
}

int
nsp_tap_offload(struct nsp_io *io, const struct nsp_offload_request *request,
                struct nsp_offload_counters ret_last[])
{
    struct nsp_bpf_offload *next = NULL;
    int err = 0;

    if (request->count > 0 || request->complete || request->flow_rules > 0)
        err = create(io, request, &next);
    if (err == 0)
        err = change_programs(io, next);
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
nsp_tap_offload_flows(struct nsp_io *io, const struct nsp_offload_flow flows[],
                      uint32_t n, uint64_t generation)
{
    int fd = atomic_load(&io->flows_fd);

    if (fd >= 0)
        nsp_bpf_flows_push(fd, flows, n, (uint32_t)generation);
}

int
nsp_tap_share_buckets(struct nsp_io *io, uint32_t count, uint64_t **ret)
{
    int err = nsp_bpf_buckets_open(&io->buckets, count);

    if (err == 0)
        *ret = io->buckets.words;
    return err;
}

void
nsp_tap_read_offload(struct nsp_io *io, uint32_t index,
                     struct nsp_offload_counters *ret)
{
    if (!io->offload || nsp_bpf_offload_read(io->offload, index, ret) < 0)
        *ret = (struct nsp_offload_counters){ 0 };
}
