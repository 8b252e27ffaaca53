#ifndef NSP_OS_LINUX_BPF_DECIDER_H
#define NSP_OS_LINUX_BPF_DECIDER_H
#include <stdatomic.h>

#include "os/linux/bpf_offload.h"
#include "os/linux/bpf_police.h"

/* What a device with programs keeps of that which the kernel decides for it:
 * the rules in force, and the maps that outlive them.
 *
 * Threads    One at a time; but flows may be pushed, and counters be read, by
 *            any meanwhile. */

struct nsp_bpf_decider {
    struct nsp_bpf_buckets buckets;
    _Atomic int flows_fd;            /* Verdicts of flows; -1: none yet. */
    struct nsp_bpf_offload *offload; /* In force; NULL: none. */
};

void nsp_bpf_decider_init(struct nsp_bpf_decider *decider);
void nsp_bpf_decider_fini(struct nsp_bpf_decider *decider);

/* Makes what programs of 'type' need to decide by 'request', whose filters
 * outlive it; NULL where it asks for nothing. Returns 0 or a negative errno. */
int nsp_bpf_decider_prepare(struct nsp_bpf_decider *decider,
                            enum nsp_ebpf_type type,
                            const struct nsp_offload_request *request,
                            const struct nsp_allocator *allocator,
                            struct nsp_bpf_offload **ret) NSP_MUSTCHECK;

/* Takes 'next', by which the programs decide now. The counters of the last go
 * to 'ret_last' when no program adds to them any more. */
void nsp_bpf_decider_use(struct nsp_bpf_decider *decider,
                         struct nsp_bpf_offload *next,
                         struct nsp_offload_counters ret_last[]);

/* These do what the functions of struct nsp_io_ops do (netshaper/io.h). */
void nsp_bpf_decider_push_flows(struct nsp_bpf_decider *decider,
                                const struct nsp_offload_flow flows[],
                                uint32_t n, uint64_t generation);
int nsp_bpf_decider_share_buckets(struct nsp_bpf_decider *decider,
                                  uint32_t count, uint64_t **ret) NSP_MUSTCHECK;
void nsp_bpf_decider_read(const struct nsp_bpf_decider *decider, uint32_t index,
                          struct nsp_offload_counters *ret);

#endif /* NSP_OS_LINUX_BPF_DECIDER_H */
