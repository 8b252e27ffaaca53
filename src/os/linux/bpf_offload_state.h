#ifndef NSP_OS_LINUX_BPF_OFFLOAD_STATE_H
#define NSP_OS_LINUX_BPF_OFFLOAD_STATE_H
#include "netshaper/policy.h"
#include "os/linux/bpf_offload.h"

/* What bpf_offload.c keeps, and bpf_walk.c makes instructions of. */

/* What the map has of a rule, or of none. */
struct nsp_bpf_offload_entry {
    struct nsp_offload_counters counters;
    uint64_t tick; /* That the last hit was timed in. */
};

struct nsp_bpf_offload_function {
    uint32_t start, count; /* In 'insns'. */
    bool exact, failed;
    bool called; /* By the walk that was put last. */
};

struct nsp_bpf_offload {
    struct nsp_offload_rule rules[NSP_OFFLOAD_RULES_MAX];
    struct nsp_bpf_offload_function functions[NSP_OFFLOAD_RULES_MAX];
    struct nsp_offload_request request; /* Its rules are those above. */
    uint32_t entries;                   /* That count. */
    enum nsp_ebpf_type type;
    uint8_t direction; /* Of the site that is prepared for, */
    uint32_t ifindex;  /* which is at that interface. */
    int counters_fd;
    struct nsp_bpf_offload_maps shared; /* The device's. */

    struct nsp_ebpf_maps maps; /* Made so far. */
    int map_fds[NSP_EBPF_MAPS_MAX];

    struct nsp_ebpf_insn *insns; /* NSP_BPF_OFFLOAD_FILTER_INSNS_MAX. */
    struct nsp_allocator allocator;
};

/* Whether 'rule' is for packets at the site that is prepared for. */
static inline bool
nsp_bpf_offload_applies(const struct nsp_bpf_offload *offload,
                        const struct nsp_offload_rule *rule)
{
    return rule->apply == NSP_APPLY_BOTH ||
           (rule->apply == NSP_APPLY_INBOUND) ==
               (offload->direction == NSP_INBOUND);
}

#endif /* NSP_OS_LINUX_BPF_OFFLOAD_STATE_H */
