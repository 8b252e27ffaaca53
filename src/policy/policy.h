#ifndef NSP_POLICY_POLICY_H
#define NSP_POLICY_POLICY_H
#include "base/memory.h"
#include "netshaper/diag.h"
#include "netshaper/filter.h"
#include "netshaper/packet.h"
#include "netshaper/policy.h"
#include "policy/flow_cache.h"

/* A policy compiled for one layer: an ordered list of rules and the classes
 * that they name, immutable.
 *
 * Ownership  compile copies everything it keeps and gives one reference; the
 *            last unref frees.
 * Threads    Any number of threads may classify with one policy at once; any
 *            may ref and unref.
 * Cost       match: no allocation; a look-up in the classifier for each rule
 *            that acts, or, in policies of few rules, a run of each filter. */
struct nsp_policy;

#define NSP_RULE_NONE       UINT32_MAX
#define NSP_CLASS_NONE      UINT32_MAX
#define NSP_IMPAIRMENT_NONE UINT32_MAX

/* Rules that may act on one packet; of those that go on, the last decides. */
#define NSP_RULES_PER_PKT_MAX 16u

/* Rules that may hold one packet, one after the other. */
#define NSP_STAGES_PER_PKT_MAX 4u

struct nsp_policy_rule {
    char name[NSP_NAME_MAX + 1];
    struct nsp_filter *filter; /* NULL matches everything. */
    uint32_t class_index;      /* A rule's own rate is a class of its own. */
    uint32_t impairment_index; /* Of the spec; effects of its own: NONE. */
    struct nsp_limit limit;    /* The burst filled in. */
    struct nsp_edits edits;
    uint32_t log_pps;
    uint8_t apply, action;
    bool disabled, go_on, capture;
    bool judges;      /* Drops, limits, edits or reports. */
    bool has_effects; /* Of its own or of its impairment. */
    uint32_t needs;   /* Of these: set of enum nsp_need (policy_spec.h). */
    uint8_t spared;   /* A bit for each enum nsp_essential that it spares. */
};

struct nsp_policy_class {
    char name[NSP_NAME_MAX + 1];
    bool of_rule; /* The rate of the rule of this name, no class of the spec. */
    struct nsp_link_rate link; /* Without the plan. */
    bool has_plan;
};

/* Checks all of 'spec' but its filters. Returns NSP_OK, or
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

struct nsp_policy *nsp_policy_ref(struct nsp_policy *policy);
struct nsp_policy *nsp_policy_unref(struct nsp_policy *policy);

uint32_t nsp_policy_rule_count(const struct nsp_policy *policy);
const struct nsp_policy_rule *nsp_policy_get_rule(
    const struct nsp_policy *policy, uint32_t index);
/* All of them, in order. */
const struct nsp_policy_rule *nsp_policy_rules(const struct nsp_policy *policy);
uint32_t nsp_policy_class_count(const struct nsp_policy *policy);
const struct nsp_policy_class *nsp_policy_get_class(
    const struct nsp_policy *policy, uint32_t index);

/* Tells whether 'rule', enabled or not, may match packets of 'direction': as
 * far as its filter tells. */
bool nsp_policy_rule_may_match(const struct nsp_policy_rule *rule,
                               enum nsp_direction direction);

/* Tells whether rule 'rule' can make a packet of 'direction' wait: only what
 * its filter may match counts. */
bool nsp_policy_rule_holds(const struct nsp_policy_rule *rule,
                           enum nsp_direction direction);

/* The rules that act on each packet of a burst, in order. */
struct nsp_matches {
    uint8_t count[NSP_BURST_MAX];
    uint32_t rules[NSP_BURST_MAX][NSP_RULES_PER_PKT_MAX];
    uint64_t settled; /* Packets whose first rule, or none, is that of all
                       * packets of their flow that are seen in this place. */
};

/* What a worker knows of the flows of a burst. */
struct nsp_policy_flows {
    struct nsp_flow_cache *cache; /* That uses this policy's plan. */
    const struct nsp_flow_hit *hits;
    uint64_t now_ns;
};

/* What caches are to use; NULL where rules are few. */
const struct nsp_flow_plan *nsp_policy_flow_plan(
    const struct nsp_policy *policy);

/* Whether caches save time, even if no device is told what they find. */
bool nsp_policy_gains_by_flows(const struct nsp_policy *policy);

/* Whether no packet comes to rule 'index', as nsp_policy_find_hidden() tells.
 * May take a second. */
bool nsp_policy_hides(const struct nsp_policy *policy, uint32_t index);

/* Which enum nsp_essential some rule spares: a bit each. */
uint8_t nsp_policy_spared(const struct nsp_policy *policy);

/* Whether some rule reads what a flow table knows, in its filter or to act. */
bool nsp_policy_reads_flows(const struct nsp_policy *policy);

/* Whether the filter of some rule reads what time it is. */
bool nsp_policy_reads_time(const struct nsp_policy *policy);

/* Whether the effects of some rule have one of 'needs', a set of enum nsp_need.
 */
bool nsp_policy_needs(const struct nsp_policy *policy, uint32_t needs);

/* Finds the rules for 'n' parsed packets: those that match and go on, up to and
 * including the first that does not; rules that spare what a packet is
 * 'essential' for are passed over. 'flows' may be NULL; the answer is the
 * same. */
void nsp_policy_match_burst(const struct nsp_policy *policy,
                            struct nsp_pkt *const pkts[], uint32_t n,
                            const struct nsp_filter_context *context,
                            const struct nsp_policy_flows *flows,
                            struct nsp_matches *ret);

#endif /* NSP_POLICY_POLICY_H */
