#include "io/nfqueue/nfqueue_match.h"

#include "os/linux/bpf_call.h"
#include "os/linux/bpf_program.h"

/* Far more than is ever used. */
#define INSNS_MAX 256u

void
nsp_nfq_make_prefilter(const struct nsp_filter *filter, uint32_t hook,
                       struct nsp_nfq_prefilter *ret)
{
    const struct nsp_site site = {
        .link = NSP_LINK_RAW,
        .facts = NSP_SITE_DIRECTION,
        .direction = hook == NSP_HOOK_INPUT    ? NSP_INBOUND
                     : hook == NSP_HOOK_OUTPUT ? NSP_OUTBOUND
                                               : NSP_DIRECTION_NONE,
    };

    if (nsp_filter_emit_cbpf(filter, &site, ret->insns, NSP_CBPF_XT_INSNS_MAX,
                             &ret->count, NULL) != 0)
        ret->count = 0;
}

enum label { LABEL_LATE };

int
nsp_nfq_load_alive(const struct nsp_beats *beats, uint32_t workers)
{
    struct nsp_ebpf_insn insns[INSNS_MAX];
    struct nsp_bpf_program p = { .insns = insns, .max = INSNS_MAX };

    nsp_beats_put_all_test(&p, beats->map_fd, workers, LABEL_LATE);
    nsp_bpf_leave(&p, 1);
    nsp_bpf_place(&p, LABEL_LATE);
    nsp_beats_put_late(&p);
    nsp_bpf_leave(&p, 0);
    nsp_bpf_resolve(&p);
    return nsp_bpf_match_load("nsp_alive", insns, p.count);
}
