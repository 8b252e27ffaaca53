#ifndef NSP_VERIFY_VERIFY_H
#define NSP_VERIFY_VERIFY_H
#include "netshaper/diag.h"
#include "verify/checks.h"
#include "verify/search.h"

/* Measures what the rules of a policy do to packets, in virtual time, and
 * compares it with what they say.
 *
 * Each rule that does something is measured on packets that come to it: calmly,
 * for losses and delays; with twice what fits, for rates and limits. Rules that
 * act on the same packets are left out meanwhile. What chance takes part in may
 * fail by chance: such a check is made again with other random numbers, and
 * fails if it fails again. */

struct nsp_verify_job {
    struct nsp_search search; /* Its payload_bytes and seed are set here. */
    uint32_t pkts;            /* Of a trial, at least 100. */
    uint64_t seed;

    /* Not NULL: called before a rule is measured, with a packet that comes to
     * it. Returns whether to go on. */
    bool (*begin_rule)(void *context, uint32_t rule,
                       const struct nsp_test_packet *packet);
    void *begin_rule_context;
};

/* Adds the checks of all rules to 'ret', which the caller finishes in any case.
 * Returns NSP_OK, NSP_STOPPED ('begin_rule' said so), or what the engine says,
 * with 'reterr'. */
int nsp_verify(const struct nsp_verify_job *job, struct nsp_checks *ret,
               struct nsp_diag *reterr);

#endif /* NSP_VERIFY_VERIFY_H */
