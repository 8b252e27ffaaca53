#include "engine/ruleset.h"

#include <stdatomic.h>

#include "base/diag.h"
#include "policy/policy_spec.h"

struct nsp_ruleset {
    struct nsp_allocator allocator;
    atomic_uint refs;
    struct nsp_policy *policy;
    struct nsp_effects_plan *plans; /* Of impairments, then of rules. */
    uint32_t plan_count;
    const struct nsp_effects_plan **of_rule;
    struct nsp_rate_plan **rates; /* By class of the policy. */
};

/* --- Building ------------------------------------------------------------ */

static int
bad_effects(struct nsp_diag *reterr, const char *kind, const char *name,
            const char *effect, const char *fault)
{
    return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "bad-rule", NULL,
                        "%s %.63s: %s%s%s", kind, name, effect,
                        effect[0] != '\0' ? ": " : "", fault);
}

static int
make_plan(struct nsp_ruleset *ruleset, const struct nsp_effects *effects,
          const char *kind, const char *name, struct nsp_diag *reterr)
{
    struct nsp_effects_plan *plan = &ruleset->plans[ruleset->plan_count];
    const char *effect;
    const char *fault = nsp_effects_fault(effects, &effect);

    if (fault)
        return bad_effects(reterr, kind, name, effect, fault);
    ruleset->plan_count++;
    if (nsp_effects_plan_init(plan, effects, &ruleset->allocator) < 0)
        return NSP_NO_MEMORY;
    return NSP_OK;
}

static int
make_plans(struct nsp_ruleset *ruleset, const struct nsp_policy_spec *spec,
           struct nsp_diag *reterr)
{
    int result = NSP_OK;

    for (uint32_t i = 0; i < spec->impairment_count && result == NSP_OK; i++)
        result = make_plan(ruleset, &spec->impairments[i].effects, "impairment",
                           spec->impairments[i].name, reterr);
    for (uint32_t i = 0; i < spec->rule_count && result == NSP_OK; i++) {
        const struct nsp_policy_rule *rule =
            nsp_policy_get_rule(ruleset->policy, i);

        if (!rule->has_effects)
            continue;
        if (rule->impairment_index != NSP_IMPAIRMENT_NONE) {
            ruleset->of_rule[i] = &ruleset->plans[rule->impairment_index];
            continue;
        }
        ruleset->of_rule[i] = &ruleset->plans[ruleset->plan_count];
        result = make_plan(ruleset, &spec->rules[i].effects, "rule", rule->name,
                           reterr);
    }
    return result;
}

static int
make_rate(struct nsp_ruleset *ruleset, const struct nsp_link_rate *link,
          uint32_t class_index, const char *kind, const char *name,
          struct nsp_diag *reterr)
{
    const char *fault;

    if (!link->plan)
        return NSP_OK;
    fault = nsp_rate_plan_fault(link->plan);
    if (fault)
        return bad_effects(reterr, kind, name, "", fault);
    return nsp_rate_plan_create(link->plan, &ruleset->allocator,
                                &ruleset->rates[class_index]) < 0
               ? NSP_NO_MEMORY
               : NSP_OK;
}

/* Classes of the spec come first in the policy, and in its order. */
static int
make_rates(struct nsp_ruleset *ruleset, const struct nsp_policy_spec *spec,
           struct nsp_diag *reterr)
{
    int result = NSP_OK;

    for (uint32_t i = 0; i < spec->class_count && result == NSP_OK; i++)
        result = make_rate(ruleset, &spec->classes[i].link, i, "class",
                           spec->classes[i].name, reterr);
    for (uint32_t i = 0; i < spec->rule_count && result == NSP_OK; i++) {
        const struct nsp_policy_rule *rule =
            nsp_policy_get_rule(ruleset->policy, i);

        result = make_rate(ruleset, &spec->rules[i].link, rule->class_index,
                           "rule", rule->name, reterr);
    }
    return result;
}

/* How many plans 'spec' takes. */
static uint32_t
count_plans(const struct nsp_policy_spec *spec)
{
    uint32_t count = spec->impairment_count;

    for (uint32_t i = 0; i < spec->rule_count; i++)
        count += nsp_effects_any(&spec->rules[i].effects);
    return count;
}

static int
build(struct nsp_ruleset *ruleset, const struct nsp_policy_spec *spec,
      enum nsp_layer layer, struct nsp_diag *reterr)
{
    int result = nsp_policy_check(spec, reterr);

    if (result == NSP_OK)
        result = nsp_policy_compile(spec, layer, &ruleset->allocator,
                                    &ruleset->policy, reterr);
    if (result != NSP_OK)
        return result;
    ruleset->plans = nsp_alloc(&ruleset->allocator, count_plans(spec) + 1u,
                               sizeof *ruleset->plans);
    ruleset->of_rule = nsp_alloc(&ruleset->allocator, spec->rule_count + 1u,
                                 sizeof *ruleset->of_rule);
    ruleset->rates = nsp_alloc(&ruleset->allocator,
                               nsp_policy_class_count(ruleset->policy) + 1u,
                               sizeof *ruleset->rates);
    if (!ruleset->plans || !ruleset->of_rule || !ruleset->rates)
        return NSP_NO_MEMORY;
    result = make_plans(ruleset, spec, reterr);
    return result == NSP_OK ? make_rates(ruleset, spec, reterr) : result;
}

int
nsp_ruleset_create(const struct nsp_policy_spec *spec, enum nsp_layer layer,
                   const struct nsp_allocator *allocator,
                   struct nsp_ruleset **ret, struct nsp_diag *reterr)
{
    struct nsp_ruleset *ruleset = nsp_alloc(allocator, 1, sizeof *ruleset);
    int result = NSP_NO_MEMORY;

    if (ruleset) {
        ruleset->allocator = *allocator;
        atomic_init(&ruleset->refs, 1);
        result = build(ruleset, spec, layer, reterr);
    }
    if (result == NSP_OK) {
        *ret = ruleset;
        return NSP_OK;
    }
    nsp_ruleset_unref(ruleset);
    if (result == NSP_NO_MEMORY)
        nsp_diag_set(reterr, NSP_NO_MEMORY, "out-of-memory", NULL,
                     "no memory for %u rules", spec->rule_count);
    return result;
}

struct nsp_ruleset *
nsp_ruleset_ref(struct nsp_ruleset *ruleset)
{
    if (ruleset)
        atomic_fetch_add(&ruleset->refs, 1);
    return ruleset;
}

struct nsp_ruleset *
nsp_ruleset_unref(struct nsp_ruleset *ruleset)
{
    if (!ruleset || atomic_fetch_sub(&ruleset->refs, 1) != 1)
        return NULL;
    for (uint32_t i = 0; i < ruleset->plan_count; i++)
        nsp_effects_plan_fini(&ruleset->plans[i]);
    for (uint32_t i = 0;
         ruleset->rates && i < nsp_policy_class_count(ruleset->policy); i++)
        nsp_rate_plan_unref(ruleset->rates[i]);
    nsp_release(&ruleset->allocator, ruleset->rates);
    nsp_release(&ruleset->allocator, ruleset->plans);
    nsp_release(&ruleset->allocator, ruleset->of_rule);
    nsp_policy_unref(ruleset->policy);
    nsp_release(&ruleset->allocator, ruleset);
    return NULL;
}

const struct nsp_policy *
nsp_ruleset_policy(const struct nsp_ruleset *ruleset)
{
    return ruleset->policy;
}

const struct nsp_effects_plan *const *
nsp_ruleset_effects(const struct nsp_ruleset *ruleset)
{
    return ruleset->of_rule;
}

struct nsp_rate_plan *
nsp_ruleset_rate_plan(const struct nsp_ruleset *ruleset, uint32_t index)
{
    return ruleset->rates[index];
}
