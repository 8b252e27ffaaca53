#include "policy/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "policy/policy_spec.h"
#include "policy/policy_state.h"

#define LIMIT_BURST_BYTES_MIN 65536u
#define LIMIT_BURST_PKTS_MIN  16u

/* Up to so many rules, running each filter over a burst is as fast. */
#define WALK_RULES_MAX 4u

/* From so many rules on, a device may be told of flows, as it gets no more than
 * 64 rules, */
#define FLOW_PLAN_RULES_MIN 65u

/* and a look at the flow costs less than the classifier. */
#define FLOW_LOOK_RULES_MIN 256u

static_assert(NSP_RULES_MAX <= NSP_CLASSIFIER_CUBES_MAX,
              "the classifier takes fewer rules");

/* --- Names --------------------------------------------------------------- */

/* A name and which of its kind has it. */
struct name_entry {
    const char *name;
    uint32_t index;
};

struct name_index {
    struct name_entry *entries; /* Sorted. */
    uint32_t count;
};

static int
compare_names(const void *a, const void *b)
{
    return strcmp(((const struct name_entry *)a)->name,
                  ((const struct name_entry *)b)->name);
}

/* Sorts what the caller filled in; returns a name that is there twice. */
static const char *
sort_names(struct name_index *index)
{
    if (index->count > 1)
        qsort(index->entries, index->count, sizeof index->entries[0],
              compare_names);
    for (uint32_t i = 1; i < index->count; i++)
        if (strcmp(index->entries[i - 1].name, index->entries[i].name) == 0)
            return index->entries[i].name;
    return NULL;
}

static uint32_t
find_name(const struct name_index *index, const char *name)
{
    const struct name_entry key = { .name = name };
    const struct name_entry *found = NULL;

    if (index->count > 0)
        found = bsearch(&key, index->entries, index->count, sizeof key,
                        compare_names);
    return found ? found->index : UINT32_MAX;
}

/* The names of a spec, while it is compiled. */
struct names {
    struct name_index rules, classes, impairments;
};

static void
release_names(struct names *names, const struct nsp_allocator *allocator)
{
    nsp_release(allocator, names->rules.entries);
    nsp_release(allocator, names->classes.entries);
    nsp_release(allocator, names->impairments.entries);
}

static int
begin_names(struct name_index *index, uint32_t count,
            const struct nsp_allocator *allocator)
{
    index->entries = nsp_alloc(allocator, count + 1u, sizeof *index->entries);
    index->count = count;
    return index->entries ? NSP_OK : NSP_NO_MEMORY;
}

static int
twice(struct nsp_diag *reterr, const char *kind, const char *name)
{
    return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "name-twice",
                        "counters and queues are kept by name: choose another",
                        "two %s are called %.63s", kind, name);
}

static int
read_names(const struct nsp_policy_spec *spec, const struct nsp_policy *policy,
           const struct nsp_allocator *allocator, struct names *ret,
           struct nsp_diag *reterr)
{
    const char *name;

    if (begin_names(&ret->rules, spec->rule_count, allocator) < 0 ||
        begin_names(&ret->classes, spec->class_count, allocator) < 0 ||
        begin_names(&ret->impairments, spec->impairment_count, allocator) < 0)
        return NSP_NO_MEMORY;
    for (uint32_t i = 0; i < spec->rule_count; i++)
        ret->rules.entries[i] = (struct name_entry){ policy->rules[i].name, i };
    for (uint32_t i = 0; i < spec->class_count; i++)
        ret->classes.entries[i] =
            (struct name_entry){ spec->classes[i].name, i };
    for (uint32_t i = 0; i < spec->impairment_count; i++)
        ret->impairments.entries[i] =
            (struct name_entry){ spec->impairments[i].name, i };

    if ((name = sort_names(&ret->rules)) != NULL)
        return twice(reterr, "rules", name);
    if ((name = sort_names(&ret->classes)) != NULL)
        return twice(reterr, "classes", name);
    if ((name = sort_names(&ret->impairments)) != NULL)
        return twice(reterr, "impairments", name);
    return NSP_OK;
}

/* --- Compiling ----------------------------------------------------------- */

static int
unknown_name(struct nsp_diag *reterr, const char *rule, const char *kind,
             const char *name)
{
    return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "bad-rule", NULL,
                        "rule %s: there is no %s called %.63s", rule, kind,
                        name);
}

static uint32_t
add_class(struct nsp_policy *policy, const char *name, bool of_rule,
          const struct nsp_link_rate *link)
{
    struct nsp_policy_class *class_ = &policy->classes[policy->class_count];

    snprintf(class_->name, sizeof class_->name, "%s", name);
    class_->of_rule = of_rule;
    class_->link = *link;
    class_->has_plan = link->plan != NULL;
    class_->link.plan = NULL; /* The caller's. */
    return policy->class_count++;
}

static struct nsp_limit
complete_limit(struct nsp_limit limit)
{
    if (limit.unit == NSP_LIMIT_NONE || limit.burst != 0)
        return limit;
    if (limit.unit == NSP_LIMIT_BITPS)
        limit.burst = nsp_max_u64(limit.rate / 80, LIMIT_BURST_BYTES_MIN);
    else
        limit.burst = nsp_max_u64(limit.rate / 10, LIMIT_BURST_PKTS_MIN);
    return limit;
}

/* Resolves the names in 'rule'. */
static int
link_rule(struct nsp_policy *policy, const struct nsp_policy_spec *spec,
          const struct names *names, uint32_t index, struct nsp_diag *reterr)
{
    const struct nsp_rule *rule = &spec->rules[index];
    struct nsp_policy_rule *ret = &policy->rules[index];
    const struct nsp_effects *effects = &rule->effects;

    if (rule->class_name) {
        ret->class_index = find_name(&names->classes, rule->class_name);
        if (ret->class_index == UINT32_MAX)
            return unknown_name(reterr, ret->name, "class", rule->class_name);
    } else if (nsp_link_any(&rule->link)) {
        ret->class_index = add_class(policy, ret->name, true, &rule->link);
    }
    if (rule->impairment) {
        ret->impairment_index =
            find_name(&names->impairments, rule->impairment);
        if (ret->impairment_index == UINT32_MAX)
            return unknown_name(reterr, ret->name, "impairment",
                                rule->impairment);
        effects = &spec->impairments[ret->impairment_index].effects;
    }
    ret->has_effects = nsp_effects_any(effects);
    ret->needs = nsp_effects_needs(effects);
    return NSP_OK;
}

static void
begin_rule(struct nsp_policy_rule *ret, const struct nsp_rule *rule,
           uint32_t index)
{
    *ret = (struct nsp_policy_rule){
        .class_index = NSP_CLASS_NONE,
        .impairment_index = NSP_IMPAIRMENT_NONE,
        .limit = complete_limit(rule->limit),
        .edits = rule->edits,
        .log_pps = rule->log_pps,
        .apply = rule->apply,
        .action = rule->action,
        .disabled = rule->disabled,
        .go_on = rule->go_on,
        .capture = rule->capture,
    };
    ret->judges = rule->action != NSP_ACTION_PASS ||
                  rule->limit.unit != NSP_LIMIT_NONE ||
                  rule->edits.which != 0 || rule->log_pps != 0 || rule->capture;
    nsp_rule_write_name(ret->name, sizeof ret->name, rule, index);
}

static int
compile_filter(struct nsp_policy_rule *ret, const struct nsp_rule *rule,
               const struct nsp_filter_options *options, enum nsp_layer layer,
               const struct nsp_allocator *allocator, struct nsp_diag *reterr)
{
    char text[sizeof reterr->text];
    int result;

    if (!rule->match)
        return NSP_OK;
    result = nsp_filter_compile_with(rule->match, layer, options, allocator,
                                     &ret->filter, reterr);
    if (result < 0 && reterr) {
        memcpy(text, reterr->text, sizeof text);
        snprintf(reterr->text, sizeof reterr->text, "rule %s: %.180s",
                 ret->name, text);
    }
    return result;
}

static void
note_spared(struct nsp_policy *policy, const struct nsp_policy_spec *spec,
            uint32_t index)
{
    struct nsp_policy_rule *rule = &policy->rules[index];

    if (nsp_rule_harms(spec, index, rule->has_effects))
        rule->spared = nsp_rule_spared(rule->filter);
    policy->spared |= rule->spared;
}

static bool
holds(const struct nsp_policy_rule *rule)
{
    return rule->class_index != NSP_CLASS_NONE ||
           (rule->needs & NSP_NEED_HOLD) != 0;
}

/* A packet has room for so many stages, one of each rule that holds it; all of
 * those that go on may match, and one that does not. */
static int
check_stages(const struct nsp_policy *policy, struct nsp_diag *reterr)
{
    const uint32_t max = NSP_STAGES_PER_PKT_MAX - 1;
    uint32_t going_on = 0;

    for (uint32_t i = 0; i < policy->rule_count; i++) {
        const struct nsp_policy_rule *rule = &policy->rules[i];

        if (!rule->go_on || !holds(rule))
            continue;
        if (++going_on > max)
            return nsp_diag_set(
                reterr, NSP_INVALID_PARAMETER, "too-many-stages",
                "put their effects into fewer rules",
                "rule %s: more than %u rules hold packets and go on",
                rule->name, max);
    }
    return NSP_OK;
}

static int
compile_rules(struct nsp_policy *policy, const struct nsp_policy_spec *spec,
              enum nsp_layer layer, struct nsp_diag *reterr)
{
    struct names names = { 0 };
    int result;

    for (uint32_t i = 0; i < spec->rule_count; i++)
        begin_rule(&policy->rules[i], &spec->rules[i], i);
    policy->rule_count = spec->rule_count;
    for (uint32_t i = 0; i < spec->class_count; i++)
        add_class(policy, spec->classes[i].name, false, &spec->classes[i].link);

    result = read_names(spec, policy, &policy->allocator, &names, reterr);
    for (uint32_t i = 0; i < spec->rule_count && result == NSP_OK; i++) {
        result = link_rule(policy, spec, &names, i, reterr);
        if (result == NSP_OK)
            result = compile_filter(&policy->rules[i], &spec->rules[i],
                                    spec->filters, layer, &policy->allocator,
                                    reterr);
        if (result == NSP_OK)
            note_spared(policy, spec, i);
    }
    release_names(&names, &policy->allocator);
    return result == NSP_OK ? check_stages(policy, reterr) : result;
}

static int
plan_flows(struct nsp_policy *policy, const struct nsp_classifier_rule rules[])
{
    bool *goes_on;
    int err;

    if (policy->rule_count < FLOW_PLAN_RULES_MIN)
        return 0;
    goes_on =
        nsp_alloc(&policy->allocator, policy->rule_count, sizeof *goes_on);
    if (!goes_on)
        return -ENOMEM;
    for (uint32_t i = 0; i < policy->rule_count; i++)
        goes_on[i] = policy->rules[i].go_on;
    err = nsp_flow_plan_create(policy->classifier, rules, goes_on,
                               policy->rule_count, NULL, &policy->allocator,
                               &policy->flow_plan);
    nsp_release(&policy->allocator, goes_on);
    return err;
}

static void
note_reads(struct nsp_policy *policy)
{
    for (uint32_t i = 0; i < policy->rule_count; i++) {
        struct nsp_filter_needs needs;

        policy->reads_flows |= (policy->rules[i].needs & NSP_NEED_FLOWS) != 0;
        if (!policy->rules[i].filter)
            continue;
        nsp_filter_get_needs(policy->rules[i].filter, &needs);
        policy->reads_flows |= needs.flow;
        policy->reads_time |= needs.timestamp;
    }
}

/* Indexes the compiled rules, if they are many. */
static int
index_rules(struct nsp_policy *policy)
{
    struct nsp_classifier_rule *rules;
    int err;

    note_reads(policy);
    if (policy->rule_count <= WALK_RULES_MAX)
        return NSP_OK;
    rules = nsp_alloc(&policy->allocator, policy->rule_count, sizeof rules[0]);
    if (!rules)
        return NSP_NO_MEMORY;
    for (uint32_t i = 0; i < policy->rule_count; i++)
        rules[i] = (struct nsp_classifier_rule){
            .filter = policy->rules[i].filter,
            .apply = policy->rules[i].apply,
            .enabled = !policy->rules[i].disabled,
        };
    err = nsp_classifier_create(rules, policy->rule_count, NULL,
                                &policy->allocator, &policy->classifier);
    if (err == 0)
        err = plan_flows(policy, rules);
    nsp_release(&policy->allocator, rules);
    return err == 0 ? NSP_OK : NSP_NO_MEMORY;
}

int
nsp_policy_compile(const struct nsp_policy_spec *spec, enum nsp_layer layer,
                   const struct nsp_allocator *allocator,
                   struct nsp_policy **ret, struct nsp_diag *reterr)
{
    struct nsp_policy *policy = nsp_alloc(allocator, 1, sizeof *policy);
    int result = NSP_NO_MEMORY;

    if (policy) {
        policy->allocator = *allocator;
        atomic_init(&policy->refs, 1);
        policy->rules =
            nsp_alloc(allocator, spec->rule_count + 1u, sizeof *policy->rules);
        policy->classes =
            nsp_alloc(allocator, spec->rule_count + spec->class_count + 1u,
                      sizeof *policy->classes);
        if (policy->rules && policy->classes)
            result = compile_rules(policy, spec, layer, reterr);
        if (result == NSP_OK)
            result = index_rules(policy);
    }
    if (result == NSP_OK) {
        *ret = policy;
        return NSP_OK;
    }
    nsp_policy_unref(policy);
    if (result == NSP_NO_MEMORY)
        nsp_diag_set(reterr, NSP_NO_MEMORY, "out-of-memory", NULL,
                     "no memory for %u rules", spec->rule_count);
    return result;
}

struct nsp_policy *
nsp_policy_ref(struct nsp_policy *policy)
{
    if (policy)
        atomic_fetch_add(&policy->refs, 1);
    return policy;
}

struct nsp_policy *
nsp_policy_unref(struct nsp_policy *policy)
{
    if (!policy || atomic_fetch_sub(&policy->refs, 1) != 1)
        return NULL;
    nsp_flow_plan_destroy(policy->flow_plan);
    nsp_classifier_destroy(policy->classifier);
    for (uint32_t i = 0; i < policy->rule_count; i++)
        nsp_filter_destroy(policy->rules[i].filter);
    nsp_release(&policy->allocator, policy->rules);
    nsp_release(&policy->allocator, policy->classes);
    nsp_release(&policy->allocator, policy);
    return NULL;
}

/* --- Reading ------------------------------------------------------------- */

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

const struct nsp_policy_rule *
nsp_policy_rules(const struct nsp_policy *policy)
{
    return policy->rules;
}

uint32_t
nsp_policy_class_count(const struct nsp_policy *policy)
{
    return policy->class_count;
}

const struct nsp_policy_class *
nsp_policy_get_class(const struct nsp_policy *policy, uint32_t index)
{
    assert(index < policy->class_count);
    return &policy->classes[index];
}

const struct nsp_flow_plan *
nsp_policy_flow_plan(const struct nsp_policy *policy)
{
    return policy->flow_plan;
}

bool
nsp_policy_gains_by_flows(const struct nsp_policy *policy)
{
    return policy->rule_count >= FLOW_LOOK_RULES_MIN;
}

uint8_t
nsp_policy_spared(const struct nsp_policy *policy)
{
    return policy->spared;
}

bool
nsp_policy_reads_flows(const struct nsp_policy *policy)
{
    return policy->reads_flows;
}

bool
nsp_policy_reads_time(const struct nsp_policy *policy)
{
    return policy->reads_time;
}

bool
nsp_policy_needs(const struct nsp_policy *policy, uint32_t needs)
{
    for (uint32_t i = 0; i < policy->rule_count; i++)
        if ((policy->rules[i].needs & needs) != 0)
            return true;
    return false;
}

bool
nsp_policy_rule_may_match(const struct nsp_policy_rule *rule,
                          enum nsp_direction direction)
{
    struct nsp_filter_needs needs;

    if (rule->apply == NSP_APPLY_INBOUND && direction != NSP_INBOUND)
        return false;
    if (rule->apply == NSP_APPLY_OUTBOUND && direction != NSP_OUTBOUND)
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

bool
nsp_policy_rule_holds(const struct nsp_policy_rule *rule,
                      enum nsp_direction direction)
{
    return holds(rule) && nsp_policy_rule_may_match(rule, direction);
}
