#include "policy/flow_plan.h"

#include <errno.h>
#include <string.h>

#include "filter/compile.h"
#include "filter/partial.h"
#include "policy/classifier_state.h"

static void
note_field(struct nsp_flow_plan *plan, const struct nsp_field *field)
{
    plan->reads_ifindex |= field->fetch == NSP_FETCH_IFINDEX;
    plan->reads_uid |= field->fetch == NSP_FETCH_UID;
}

static void
note_fields(struct nsp_flow_plan *plan, const struct nsp_filter *filter)
{
    const struct nsp_ir *ir = nsp_filter_ir(filter);

    for (uint32_t i = 0; i < ir->count; i++) {
        note_field(plan, ir->tests[i].field);
        if (ir->tests[i].operand)
            note_field(plan, ir->tests[i].operand);
        if (ir->tests[i].other)
            note_field(plan, ir->tests[i].other);
    }
}

int
nsp_flow_plan_create(const struct nsp_classifier *classifier,
                     const struct nsp_classifier_rule rules[],
                     const bool goes_on[], uint32_t count,
                     const struct nsp_classifier_options *options,
                     const struct nsp_allocator *allocator,
                     struct nsp_flow_plan **ret)
{
    struct nsp_classifier_options own = { .candidates = true };
    struct nsp_flow_plan *plan = nsp_alloc(allocator, 1, sizeof *plan);
    int r = -ENOMEM;

    if (!plan)
        return r;
    if (options) {
        own = *options;
        own.candidates = true;
    }
    plan->allocator = *allocator;
    plan->classifier = classifier;
    plan->rule_count = count;
    plan->rules = nsp_alloc(allocator, count + (size_t)1, sizeof rules[0]);
    plan->goes_on = nsp_alloc(allocator, count + (size_t)1, sizeof goes_on[0]);
    if (plan->rules && plan->goes_on)
        r = nsp_classifier_create(rules, count, &own, allocator,
                                  &plan->candidates);
    if (r != 0) {
        nsp_flow_plan_destroy(plan);
        return r;
    }
    for (uint32_t i = 0; i < count; i++) {
        plan->rules[i] = rules[i];
        plan->goes_on[i] = goes_on && goes_on[i];
        if (rules[i].filter)
            note_fields(plan, rules[i].filter);
    }
    *ret = plan;
    return 0;
}

struct nsp_flow_plan *
nsp_flow_plan_destroy(struct nsp_flow_plan *plan)
{
    struct nsp_allocator memory;

    if (!plan)
        return NULL;
    memory = plan->allocator;
    nsp_classifier_destroy(plan->candidates);
    nsp_release(&memory, plan->rules);
    nsp_release(&memory, plan->goes_on);
    nsp_release(&memory, plan);
    return NULL;
}

static enum nsp_truth
ask(const struct nsp_classifier_rule *rule, const struct nsp_pkt *pkt)
{
    if (!nsp_rule_is_for(rule, pkt->direction))
        return NSP_FALSE;
    return rule->filter ? nsp_filter_match_flow(rule->filter, pkt) : NSP_TRUE;
}

uint32_t
nsp_flow_plan_steps(const struct nsp_flow_plan *plan, struct nsp_pkt *pkt,
                    uint16_t ret[NSP_FLOW_CHAIN_MAX])
{
    struct nsp_pkt *const pkts[] = { pkt };
    struct nsp_classifier_walk walk;
    uint32_t rule = 0, count = 0;

    nsp_classifier_begin(plan->candidates, pkts, 1, NULL, &walk);
    for (uint32_t looks = 0; looks < NSP_FLOW_LOOKS_MAX; looks++) {
        enum nsp_truth truth;

        nsp_classifier_next(&walk, 1, &rule, &rule);
        if (rule == NSP_CLASSIFIER_NONE)
            return count;
        truth = ask(&plan->rules[rule], pkt);
        if (truth != NSP_FALSE) {
            if (count == NSP_FLOW_CHAIN_MAX)
                return UINT32_MAX;
            ret[count++] = NSP_STEP(rule, truth == NSP_TRUE);
        }
        if (truth == NSP_TRUE && !plan->goes_on[rule])
            return count;
        rule++;
    }
    return UINT32_MAX;
}
