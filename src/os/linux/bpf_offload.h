#ifndef NSP_OS_LINUX_BPF_OFFLOAD_H
#define NSP_OS_LINUX_BPF_OFFLOAD_H
#include "base/memory.h"
#include "netshaper/io.h"
#include "os/linux/bpf_program.h"

/* Rules that the kernel decides by (netshaper/io.h, 'offload'), as a part of
 * the program that a device has at a tc or XDP hook.
 *
 *     its flow has a verdict    -> the same as a rule's
 *     for each rule in order:   its filter, a function
 *         may match, ask        -> label 'ask'
 *         matches, count        -> noted
 *         matches, pass or drop -> counted with those noted -> 'pass', the end
 *     matches, police       -> the same, as its bucket says
 *     none left                 -> the same, or 'ask'
 *
 * Filters    answer 1 for a match, 0 for none, 2 where they could not look. Of
 *            one that cannot tell all it asks, 1 is no better than 2.
 * Sets       The larger named ones are tries (LPM) that all programs share.
 * Counters   A per-CPU array: an entry for each rule, one for packets that none
 *            decides, and one for each rule that flows may name. Of what is
 *            asked about nothing is counted. Hits are timed by the tick.
 *
 * Threads    One at a time; counters may be read by any. */
struct nsp_bpf_offload;

/* What programs share with others than their like. */
struct nsp_bpf_offload_maps {
    int buckets_fd, flows_fd;
};

/* Takes the rules of 'request', whose filters outlive it, for programs of hooks
 * of 'type': XDP takes Linux 5.18. Returns 0 or a negative errno. */
int nsp_bpf_offload_create(enum nsp_ebpf_type type,
                           const struct nsp_offload_request *request,
                           const struct nsp_bpf_offload_maps *maps,
                           const struct nsp_allocator *allocator,
                           struct nsp_bpf_offload **ret) NSP_MUSTCHECK;

/* Frees 'offload', which may be NULL; programs keep the maps that they use.
 * Always returns NULL. */
struct nsp_bpf_offload *nsp_bpf_offload_destroy(
    struct nsp_bpf_offload *offload);

/* Makes the filters' functions for packets at 'site', the next program's. What
 * does not become one has all packets asked about from there on. Returns 0, or
 * what making a map said. */
int nsp_bpf_offload_prepare(struct nsp_bpf_offload *offload,
                            const struct nsp_site *site) NSP_MUSTCHECK;

/* Where the walk leads, and labels and room on the stack for itself. */
struct nsp_bpf_offload_exits {
    uint32_t ask, pass; /* Labels. */
    uint32_t first_label;
    int32_t stack_off; /* From FRAME, a multiple of 8. */
};
#define NSP_BPF_OFFLOAD_LABELS      200u
#define NSP_BPF_OFFLOAD_STACK_BYTES 128

/* What it adds to a program at most: the walk, and the functions. */
#define NSP_BPF_OFFLOAD_WALK_INSNS_MAX   2048u
#define NSP_BPF_OFFLOAD_FILTER_INSNS_MAX 16384u

/* Adds the walk to a program whose context is in R6, for IP packets on
 * Ethernet; R7 to R9 are lost. It is left by the exits only. */
void nsp_bpf_offload_put(struct nsp_bpf_offload *offload,
                         struct nsp_bpf_program *p,
                         const struct nsp_bpf_offload_exits *exits);

/* Adds the functions that the walk calls, behind the end of the program. */
void nsp_bpf_offload_put_filters(const struct nsp_bpf_offload *offload,
                                 struct nsp_bpf_program *p,
                                 const struct nsp_bpf_offload_exits *exits);

/* Reads the counters of entry 'index' (netshaper/io.h, read_offload). Returns 0
 * or a negative errno. */
int nsp_bpf_offload_read(const struct nsp_bpf_offload *offload, uint32_t index,
                         struct nsp_offload_counters *ret) NSP_MUSTCHECK;

/* Reads all there are. What cannot be read is zero. */
void nsp_bpf_offload_read_all(const struct nsp_bpf_offload *offload,
                              struct nsp_offload_counters ret[]);

#endif /* NSP_OS_LINUX_BPF_OFFLOAD_H */
