#ifndef NSP_OS_LINUX_BPF_FLOWS_H
#define NSP_OS_LINUX_BPF_FLOWS_H
#include "netshaper/io.h"
#include "os/linux/bpf_program.h"

/* Verdicts of flows (netshaper/io.h, struct nsp_offload_flow) in a hash map
 * that forgets those not asked for longest (LRU).
 *
 * Bound      NSP_BPF_FLOWS_MAX flows, whose memory is the kernel's from the
 *            beginning.
 * Reload     A verdict is good for programs of its own generation alone, so all
 *            are void at once when programs of another take over.
 * Threads    Any number push. */
#define NSP_BPF_FLOWS_MAX 32768u

/* Makes the map. Returns its descriptor or a negative errno. */
int nsp_bpf_flows_create(void) NSP_MUSTCHECK;

/* Puts verdicts into the map, as far as there is memory for them. */
void nsp_bpf_flows_push(int map_fd, const struct nsp_offload_flow flows[],
                        uint32_t n, uint32_t generation);

/* How a program looks verdicts up. */
struct nsp_bpf_flow_lookup {
    enum nsp_ebpf_type type;
    int map_fd;
    uint32_t generation;
    uint32_t ifindex;  /* Where all its packets are taken, and in what */
    uint8_t direction; /* direction. */
    int32_t stack_off; /* Room for a key, from FRAME; a multiple of 8. */
    uint32_t miss;     /* Labels: there is none; for the lookup's own. */
    uint32_t first_label;
};
#define NSP_BPF_FLOW_LABELS      3u
#define NSP_BPF_FLOW_STACK_BYTES 48

/* For an IP packet on Ethernet without tags, and the context in R6. Straight on
 * with what the flow's verdict does (enum nsp_offload_does) in R8 and the rule
 * in R2, else at 'miss'. R0 to R5 are lost. */
void nsp_bpf_put_flow_lookup(struct nsp_bpf_program *p,
                             const struct nsp_bpf_flow_lookup *lookup);

#endif /* NSP_OS_LINUX_BPF_FLOWS_H */
