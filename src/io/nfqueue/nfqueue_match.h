#ifndef NSP_IO_NFQUEUE_MATCH_H
#define NSP_IO_NFQUEUE_MATCH_H
#include "base/base.h"
#include "netshaper/bpf.h"
#include "os/linux/beats.h"

/* What the netfilter match 'bpf' is to ask: whether the start filter may match,
 * by a program that comes with the rule; and whether anybody is alive. */

struct nsp_nfq_prefilter {
    uint32_t count; /* Of instructions; 0: every packet may match. */
    struct nsp_cbpf_insn insns[NSP_CBPF_XT_INSNS_MAX];
};

/* Makes '*ret' match all that 'filter' does at 'hook' (enum nsp_hook). What
 * does not fit, or is not known there, is taken to match. */
void nsp_nfq_make_prefilter(const struct nsp_filter *filter, uint32_t hook,
                            struct nsp_nfq_prefilter *ret);

/* Loads a program that matches while the process and all its workers are alive
 * (os/linux/beats.h), and counts packets that come when they are not: it is to
 * be asked last. Returns its descriptor or a negative errno. */
int nsp_nfq_load_alive(const struct nsp_beats *beats,
                       uint32_t workers) NSP_MUSTCHECK;

#endif /* NSP_IO_NFQUEUE_MATCH_H */
