#include <string.h>

#include "policy/policy_state.h"

static bool
applies(uint8_t apply, uint8_t direction)
{
    return apply == NSP_APPLY_BOTH ||
           (apply == NSP_APPLY_INBOUND && direction == NSP_INBOUND) ||
           (apply == NSP_APPLY_OUTBOUND && direction == NSP_OUTBOUND);
}

/* Adds rule 'r' to those of packet 'i', which is 'essential', unless it spares
 * it. Returns false if it is the last. */
static bool
add_match(const struct nsp_policy *policy, uint32_t r, uint32_t i,
          uint8_t essential, struct nsp_matches *ret)
{
    if ((policy->rules[r].spared >> essential & 1) != 0)
        return true;
    ret->rules[i][ret->count[i]++] = r;
    return policy->rules[r].go_on && ret->count[i] < NSP_RULES_PER_PKT_MAX;
}

static void
walk_rules(const struct nsp_policy *policy, struct nsp_pkt *const pkts[],
           uint32_t n, const struct nsp_filter_context *context,
           struct nsp_matches *ret)
{
    struct nsp_pkt *open[NSP_BURST_MAX];
    uint8_t at[NSP_BURST_MAX]; /* open[i] is pkts[at[i]]. */
    uint32_t open_count = n;

    for (uint32_t i = 0; i < n; i++) {
        open[i] = pkts[i];
        at[i] = (uint8_t)i;
    }

    for (uint32_t r = 0; r < policy->rule_count && open_count > 0; r++) {
        const struct nsp_policy_rule *rule = &policy->rules[r];
        uint64_t hits = UINT64_MAX;
        uint32_t kept = 0;

        if (rule->disabled)
            continue;
        if (rule->filter)
            hits =
                nsp_filter_match_burst(rule->filter, open, open_count, context);
        for (uint32_t i = 0; i < open_count; i++) {
            bool done = false;

            if ((hits >> i & 1) != 0 &&
                applies(rule->apply, open[i]->direction))
                done = !add_match(policy, r, at[i], open[i]->essential, ret);
            if (!done) {
                open[kept] = open[i];
                at[kept++] = at[i];
            }
        }
        open_count = kept;
    }
}

/* One of two ways to the same answers. */
struct look_up {
    bool by_flow;
    union {
        struct nsp_flow_cache_walk flows;
        struct nsp_classifier_walk rules;
    } walk;
};

static void
begin_look_up(struct look_up *l, const struct nsp_policy *policy,
              struct nsp_pkt *const pkts[], uint32_t n,
              const struct nsp_filter_context *context,
              const struct nsp_policy_flows *flows)
{
    l->by_flow = flows && policy->flow_plan;
    if (l->by_flow)
        nsp_flow_cache_begin(flows->cache, pkts, flows->hits, n, flows->now_ns,
                             context, &l->walk.flows);
    else
        nsp_classifier_begin(policy->classifier, pkts, n, context,
                             &l->walk.rules);
}

static void
look_up_next(const struct look_up *l, uint64_t open, uint32_t next[])
{
    if (l->by_flow)
        nsp_flow_cache_next(&l->walk.flows, open, next, next);
    else
        nsp_classifier_next(&l->walk.rules, open, next, next);
}

static void
look_rules_up(const struct nsp_policy *policy, struct nsp_pkt *const pkts[],
              uint32_t n, const struct nsp_filter_context *context,
              const struct nsp_policy_flows *flows, struct nsp_matches *ret)
{
    struct look_up l;
    uint32_t next[NSP_BURST_MAX] = { 0 };
    uint64_t open = UINT64_MAX >> (NSP_BURST_MAX - n);

    begin_look_up(&l, policy, pkts, n, context, flows);
    if (l.by_flow)
        ret->settled = nsp_flow_cache_settled(&l.walk.flows, n);
    while (open != 0) {
        look_up_next(&l, open, next);
        for (uint64_t rest = open; rest != 0; rest &= rest - 1) {
            uint32_t i = nsp_ctz_u64(rest);

            if (next[i] == NSP_CLASSIFIER_NONE ||
                !add_match(policy, next[i]++, i, pkts[i]->essential, ret))
                open &= ~(UINT64_C(1) << i);
        }
    }
}

void
nsp_policy_match_burst(const struct nsp_policy *policy,
                       struct nsp_pkt *const pkts[], uint32_t n,
                       const struct nsp_filter_context *context,
                       const struct nsp_policy_flows *flows,
                       struct nsp_matches *ret)
{
    assert(n <= NSP_BURST_MAX);
    memset(ret->count, 0, n * sizeof ret->count[0]);
    ret->settled = 0;
    if (policy->classifier && n > 0)
        look_rules_up(policy, pkts, n, context, flows, ret);
    else
        walk_rules(policy, pkts, n, context, ret);
}
