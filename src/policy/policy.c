#include "policy/policy.h"

#include <stdio.h>
#include <string.h>

#include "base/diag.h"

struct nsp_policy {
    struct nsp_allocator allocator;
    uint32_t rule_count;
    struct nsp_policy_rule rules[];
};

static void
write_name(char *ret, size_t bytes, const struct nsp_rule *rule, uint32_t index)
{
    if (rule->name)
        snprintf(ret, bytes, "%s", rule->name);
    else
        snprintf(ret, bytes, "rule-%u", index + 1);
}

/* What is wrong with 'rule' beside its filter, NULL when nothing is. */
static const char *
rule_fault(const struct nsp_rule *rule)
{
    bool effects = rule->loss_ppm || rule->delay_ns || rule->rate_bitps;
    bool queue = rule->queue_unit || rule->queue_drop || rule->queue_limit;

    if (rule->apply > NSP_APPLY_OUTBOUND)
        return "apply is not one of enum nsp_apply";
    if (rule->action > NSP_ACTION_REJECT)
        return "action is not one of enum nsp_action";
    if (rule->action != NSP_ACTION_PASS && effects)
        return "a packet that is dropped or rejected can have no delay, loss "
               "or rate";
    if (rule->loss_ppm > NSP_PPM_ONE)
        return "loss_ppm is above 1000000 (100 %)";
    if (rule->delay_ns > NSP_DELAY_NS_MAX)
        return "delay_ns is above one hour";
    if (rule->rate_bitps != 0 && (rule->rate_bitps < NSP_RATE_BITPS_MIN ||
                                  rule->rate_bitps > NSP_RATE_BITPS_MAX))
        return "rate_bitps is outside 8 bit/s to 1 Tbit/s";
    if (rule->rate_bitps == 0 && queue)
        return "a queue needs rate_bitps";
    if (rule->rate_bitps == 0 && rule->overhead_bytes != 0)
        return "overhead_bytes needs rate_bitps";
    if (rule->queue_unit > NSP_QUEUE_NS)
        return "queue_unit is not one of enum nsp_queue_unit";
    if (rule->queue_drop > NSP_QUEUE_DROP_HEAD)
        return "queue_drop is not one of enum nsp_queue_drop";
    if ((rule->queue_unit == NSP_QUEUE_DEFAULT) != (rule->queue_limit == 0))
        return "queue_unit and queue_limit go together";
    if (rule->overhead_bytes < NSP_OVERHEAD_MIN ||
        rule->overhead_bytes > NSP_OVERHEAD_MAX)
        return "overhead_bytes is outside -64 to 256";
    return NULL;
}

int
nsp_policy_check(const struct nsp_policy_spec *spec, struct nsp_diag *reterr)
{
    if (spec->rule_count > NSP_RULES_MAX)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "too-many-rules",
                            "merge rules", "%u rules are more than %u",
                            spec->rule_count, NSP_RULES_MAX);
    if (spec->rule_count > 0 && !spec->rules)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "no-rules", NULL,
                            "rule_count is %u and rules is NULL",
                            spec->rule_count);

    for (uint32_t i = 0; i < spec->rule_count; i++) {
        const char *fault = rule_fault(&spec->rules[i]);
        char name[64];

        if (!fault)
            continue;
        write_name(name, sizeof name, &spec->rules[i], i);
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "bad-rule", NULL,
                            "rule %s: %s", name, fault);
    }
    return NSP_OK;
}

static int
compile_rule(const struct nsp_rule *rule, uint32_t index, enum nsp_layer layer,
             const struct nsp_allocator *allocator, struct nsp_policy_rule *ret,
             struct nsp_diag *reterr)
{
    char text[sizeof reterr->text];
    int result;

    ret->rule = *rule;
    ret->rule.match = NULL;
    write_name(ret->name, sizeof ret->name, rule, index);
    ret->rule.name = ret->name;
    if (!rule->match)
        return NSP_OK;

    result =
        nsp_filter_compile(rule->match, layer, allocator, &ret->filter, reterr);
    if (result < 0 && reterr) {
        memcpy(text, reterr->text, sizeof text);
        snprintf(reterr->text, sizeof reterr->text, "rule %s: %.180s",
                 ret->name, text);
    }
    return result;
}

int
nsp_policy_compile(const struct nsp_policy_spec *spec, enum nsp_layer layer,
                   const struct nsp_allocator *allocator,
                   struct nsp_policy **ret, struct nsp_diag *reterr)
{
    struct nsp_policy *policy;
    int result = NSP_OK;

    policy =
        nsp_alloc(allocator, 1,
                  sizeof *policy + spec->rule_count * sizeof policy->rules[0]);
    if (!policy)
        return nsp_diag_set(reterr, NSP_NO_MEMORY, "out-of-memory", NULL,
                            "no memory for %u rules", spec->rule_count);
    policy->allocator = *allocator;
    policy->rule_count = spec->rule_count;

    for (uint32_t i = 0; i < spec->rule_count && result == NSP_OK; i++)
        result = compile_rule(&spec->rules[i], i, layer, allocator,
                              &policy->rules[i], reterr);
    if (result != NSP_OK) {
        nsp_policy_destroy(policy);
        return result;
    }
    *ret = policy;
    return NSP_OK;
}

struct nsp_policy *
nsp_policy_destroy(struct nsp_policy *policy)
{
    if (!policy)
        return NULL;
    for (uint32_t i = 0; i < policy->rule_count; i++)
        nsp_filter_destroy(policy->rules[i].filter);
    nsp_release(&policy->allocator, policy);
    return NULL;
}

uint32_t
nsp_policy_rule_count(const struct nsp_policy *policy)
{
    return policy->rule_count;
}

const struct nsp_policy_rule *
nsp_policy_get_rule(const struct nsp_policy *policy, uint32_t index)
{
    assert(index < policy->rule_count);
    return &policy->rules[index];
}

bool
nsp_policy_rule_holds(const struct nsp_policy_rule *rule,
                      enum nsp_direction direction)
{
    struct nsp_filter_needs needs;

    if (rule->rule.delay_ns == 0 && rule->rule.rate_bitps == 0)
        return false;
    if (rule->rule.apply == NSP_APPLY_INBOUND && direction != NSP_INBOUND)
        return false;
    if (rule->rule.apply == NSP_APPLY_OUTBOUND && direction != NSP_OUTBOUND)
        return false;
    if (!rule->filter)
        return true;

    nsp_filter_get_needs(rule->filter, &needs);
    if (direction == NSP_INBOUND)
        return needs.inbound;
    if (direction == NSP_OUTBOUND)
        return needs.outbound;
    return !needs.never;
}

static bool
applies(uint8_t apply, uint8_t direction)
{
    return apply == NSP_APPLY_BOTH ||
           (apply == NSP_APPLY_INBOUND && direction == NSP_INBOUND) ||
           (apply == NSP_APPLY_OUTBOUND && direction == NSP_OUTBOUND);
}

void
nsp_policy_classify_burst(const struct nsp_policy *policy,
                          struct nsp_pkt *const pkts[], uint32_t n,
                          const struct nsp_filter_context *context)
{
    struct nsp_pkt *open[NSP_BURST_MAX];
    uint32_t open_count = n;

    assert(n <= NSP_BURST_MAX);
    for (uint32_t i = 0; i < n; i++) {
        pkts[i]->rule = NSP_RULE_NONE;
        open[i] = pkts[i];
    }

    for (uint32_t r = 0; r < policy->rule_count && open_count > 0; r++) {
        const struct nsp_policy_rule *rule = &policy->rules[r];
        uint64_t hits = UINT64_MAX;
        uint32_t kept = 0;

        if (rule->filter)
            hits =
                nsp_filter_match_burst(rule->filter, open, open_count, context);
        for (uint32_t i = 0; i < open_count; i++) {
            if ((hits >> i & 1) != 0 &&
                applies(rule->rule.apply, open[i]->direction))
                open[i]->rule = r;
            else
                open[kept++] = open[i];
        }
        open_count = kept;
    }
}
