#ifndef NSP_POLICY_FLOW_PLAN_H
#define NSP_POLICY_FLOW_PLAN_H
#include "policy/flow_cache.h"

/* What a cache knows of the rules. */

/* A rule in a chain: its number, and whether it matches without being asked. */
#define NSP_STEP_SURE 1u
#define NSP_STEP(rule, sure)                                                   \
    ((uint16_t)((rule) << 1 | ((sure) ? NSP_STEP_SURE : 0)))
static_assert(NSP_CLASSIFIER_CUBES_MAX <= 1u << 15, "a step is 16 bits");

struct nsp_flow_plan {
    const struct nsp_classifier *classifier;
    struct nsp_classifier *candidates;
    struct nsp_classifier_rule *rules;
    bool *goes_on;
    uint32_t rule_count;
    bool reads_ifindex, reads_uid; /* Some rule does. */
    struct nsp_allocator allocator;
};

/* Makes the steps of the flow of which 'pkt' is a packet; returns how many, or
 * UINT32_MAX if they are too many, or too many to find out. */
uint32_t nsp_flow_plan_steps(const struct nsp_flow_plan *plan,
                             struct nsp_pkt *pkt,
                             uint16_t ret[NSP_FLOW_CHAIN_MAX]);

#endif /* NSP_POLICY_FLOW_PLAN_H */
