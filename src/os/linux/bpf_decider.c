#include "os/linux/bpf_decider.h"

#include <unistd.h>

#include "os/linux/bpf_call.h"
#include "os/linux/bpf_flows.h"

void
nsp_bpf_decider_init(struct nsp_bpf_decider *decider)
{
    decider->buckets.fd = -1;
    atomic_init(&decider->flows_fd, -1);
}

void
nsp_bpf_decider_fini(struct nsp_bpf_decider *decider)
{
    nsp_bpf_offload_destroy(decider->offload);
    nsp_bpf_buckets_close(&decider->buckets);
    if (decider->flows_fd >= 0)
        close(decider->flows_fd);
}

int
nsp_bpf_decider_prepare(struct nsp_bpf_decider *decider,
                        enum nsp_ebpf_type type,
                        const struct nsp_offload_request *request,
                        const struct nsp_allocator *allocator,
                        struct nsp_bpf_offload **ret)
{
    struct nsp_bpf_offload_maps maps = { .buckets_fd = decider->buckets.fd };

    *ret = NULL;
    if (request->count == 0 && !request->complete && request->flow_rules == 0)
        return 0;
    /* Where there can be none, flows go on with the engine. */
    if (request->flow_rules > 0 && decider->flows_fd < 0)
        decider->flows_fd = nsp_bpf_flows_create();
    maps.flows_fd = decider->flows_fd;
    return nsp_bpf_offload_create(type, request, &maps, allocator, ret);
}

void
nsp_bpf_decider_use(struct nsp_bpf_decider *decider,
                    struct nsp_bpf_offload *next,
                    struct nsp_offload_counters ret_last[])
{
    if (decider->offload) {
        /* It fails on processors kept from the scheduler (nohz_full): what they
         * may still count meanwhile is then lost. */
        (void)!nsp_bpf_wait_for_programs();
        nsp_bpf_offload_read_all(decider->offload, ret_last);
        nsp_bpf_offload_destroy(decider->offload);
    }
    decider->offload = next;
}

void
nsp_bpf_decider_push_flows(struct nsp_bpf_decider *decider,
                           const struct nsp_offload_flow flows[], uint32_t n,
                           uint64_t generation)
{
    int fd = atomic_load(&decider->flows_fd);

    if (fd >= 0)
        nsp_bpf_flows_push(fd, flows, n, (uint32_t)generation);
}

int
nsp_bpf_decider_share_buckets(struct nsp_bpf_decider *decider, uint32_t count,
                              uint64_t **ret)
{
    int err = nsp_bpf_buckets_open(&decider->buckets, count);

    if (err == 0)
        *ret = decider->buckets.words;
    return err;
}

void
nsp_bpf_decider_read(const struct nsp_bpf_decider *decider, uint32_t index,
                     struct nsp_offload_counters *ret)
{
    if (!decider->offload ||
        nsp_bpf_offload_read(decider->offload, index, ret) < 0)
        *ret = (struct nsp_offload_counters){ 0 };
}
