#ifndef NSP_POLICY_POLICY_H
#define NSP_POLICY_POLICY_H
#include "base/memory.h"
#include "netshaper/diag.h"
#include "netshaper/filter.h"
#include "netshaper/packet.h"
#include "netshaper/policy.h"

/* A policy compiled for one layer: an ordered list of rules, immutable, which
 * names shapers and impairments by the index of their rule only.
 *
 * Ownership  compile copies everything it needs; destroy frees.
 * Threads    Any number of threads may classify with one policy at once.
 * Cost       classify: no allocation; each rule's filter runs over the packets
 *            of the burst that no earlier rule has taken. */
struct nsp_policy;

#define NSP_RULE_NONE UINT32_MAX

/* One compiled rule, as given, with a name of its own. */
struct nsp_policy_rule {
    struct nsp_rule rule;      /* 'name' set, 'match' NULL. */
    struct nsp_filter *filter; /* NULL matches everything. */
    char name[64];
};

/* Checks every rule of 'spec' but its filter. Returns NSP_OK, or
 * NSP_INVALID_PARAMETER with 'reterr' naming the rule and the field. */
int nsp_policy_check(const struct nsp_policy_spec *spec,
                     struct nsp_diag *reterr) NSP_MUSTCHECK;

/* Compiles the checked 'spec' for 'layer'. Returns NSP_OK, NSP_INVALID_FILTER
 * (text prefixed with the rule's name; offset and column are the filter's) or
 * NSP_NO_MEMORY; '*ret' is then untouched. */
int nsp_policy_compile(const struct nsp_policy_spec *spec, enum nsp_layer layer,
                       const struct nsp_allocator *allocator,
                       struct nsp_policy **ret,
                       struct nsp_diag *reterr) NSP_MUSTCHECK;

struct nsp_policy *nsp_policy_destroy(struct nsp_policy *policy);

uint32_t nsp_policy_rule_count(const struct nsp_policy *policy);
const struct nsp_policy_rule *nsp_policy_get_rule(
    const struct nsp_policy *policy, uint32_t index);

/* Tells whether rule 'rule' can make a packet of 'direction' wait: only what
 * its filter may match counts. */
bool nsp_policy_rule_holds(const struct nsp_policy_rule *rule,
                           enum nsp_direction direction);

/* Sets pkt->rule of each of 'n' parsed packets to the first rule that matches,
 * or NSP_RULE_NONE. */
void nsp_policy_classify_burst(const struct nsp_policy *policy,
                               struct nsp_pkt *const pkts[], uint32_t n,
                               const struct nsp_filter_context *context);

#endif /* NSP_POLICY_POLICY_H */
