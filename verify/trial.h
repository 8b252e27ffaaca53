#ifndef NSP_VERIFY_TRIAL_H
#define NSP_VERIFY_TRIAL_H
#include "netshaper/engine.h"
#include "verify/generator.h"
#include "verify/search.h"

/* One run of the engine in virtual time: packets that come to one rule at even
 * intervals, and when each left. The policy is the whole one, but that other
 * rules which act on the same packets are not in force, and that the rule may
 * be made to do less, so that one effect does not hide another. */

#define NSP_TRIAL_START_NS UINT64_C(1000000000)

struct nsp_trial_config {
    const struct nsp_search *search;
    uint32_t rule;
    const struct nsp_test_packet *packet; /* That comes to it. */
    uint64_t gap_ns;
    uint32_t pkts;
    uint64_t seed;
    uint32_t max_held_pkts;    /* At once, 64..2^20. */
    const struct nsp_rule *as; /* Not NULL: what the rule does instead. */
    nsp_look_fn *look;         /* Of struct nsp_generator. */
    const void *look_context;
};

struct nsp_trial {
    uint32_t pkts;
    uint64_t gap_ns;
    uint64_t *left_ns; /* 0: did not leave. */
    uint32_t *order;   /* Numbers in the order of leaving, copies too. */
    uint32_t order_count;
    uint64_t left_pkts, wrong_pkts, injected_pkts, copied_pkts;
    uint64_t *copy_ns; /* When each one's last copy left; 0: it had none. */
    uint32_t left_out; /* Rules that were not in force for it. */
    struct nsp_stats stats;
    struct nsp_rule_stats rule;

    /* Of real packets: times of leaving are those of arrival at the far end, so
     * they hold what the way takes beside the rule, and may be late. */
    bool is_live;
    double way_ns;
};

static inline uint64_t
nsp_trial_sent_ns(const struct nsp_trial *trial, uint64_t i)
{
    return NSP_TRIAL_START_NS + i * trial->gap_ns;
}

/* On success fills '*ret', to be finished, and returns NSP_OK; else what the
 * engine says, with 'reterr'. */
int nsp_trial_run(const struct nsp_trial_config *cfg, struct nsp_trial *ret,
                  struct nsp_diag *reterr);
void nsp_trial_fini(struct nsp_trial *trial);

#endif /* NSP_VERIFY_TRIAL_H */
