#ifndef NSP_POLICY_POLICY_STATE_H
#define NSP_POLICY_POLICY_STATE_H
#include <stdatomic.h>

#include "policy/classifier.h"
#include "policy/policy.h"

/* The policy's own, shared with what matches packets. */

struct nsp_policy {
    struct nsp_allocator allocator;
    atomic_uint refs;
    struct nsp_classifier *classifier; /* NULL: walk over the rules. */
    struct nsp_flow_plan *flow_plan;   /* NULL: rules are few. */
    bool reads_flows, reads_time;
    uint8_t spared;
    uint32_t rule_count, class_count;
    struct nsp_policy_rule *rules;
    struct nsp_policy_class *classes;
};

#endif /* NSP_POLICY_POLICY_STATE_H */
