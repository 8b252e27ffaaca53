#include "engine/ruleset.h"

#include <stdatomic.h>

#include "base/diag.h"
#include "base/prng.h"
#include "policy/policy_spec.h"

struct nsp_ruleset {
    struct nsp_allocator allocator;
    atomic_uint refs;
    struct nsp_policy *policy;
    struct nsp_effects_plan *plans; /* Of impairments, then of rules. */
    uint32_t plan_count;
    const struct nsp_effects_plan **of_rule;
};

/* --- Identity -------------------------------------------------------------
 * A hash of what a plan does. Rules keep their state over a change of policy
 * when it is the same before and after. */

static uint64_t
mix_words(uint64_t hash, const uint64_t words[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        hash = nsp_mix64(hash ^ words[i]);
    return hash;
}

static uint64_t
loss_identity(const struct nsp_loss *loss)
{
    const struct nsp_loss_chain *chain = &loss->chain;
    const uint64_t words[] = { loss->kind,       loss->enter_below,
                               loss->lost_below, loss->bad_ns,
                               loss->count,      chain->loss_is_drawn };
    uint64_t hash = mix_words(1, words, NSP_ARRAY_LEN(words));
    size_t table_words = loss->kind == NSP_LOSS_PATTERN
                             ? ((size_t)loss->count + 63) / 64
                             : loss->count;

    hash = mix_words(hash, &chain->below[0][0], 15);
    hash = mix_words(hash, chain->lost_below, 4);
    return loss->table ? mix_words(hash, loss->table, table_words) : hash;
}

static uint64_t
delay_identity(const struct nsp_delay *delay)
{
    const uint64_t words[] = {
        delay->kind,          delay->keep_order,
        (uint64_t)delay->rho, (uint64_t)delay->mean_ns,
        delay->count,         (uint64_t)delay->spread_ns,
        delay->trace_step_ns,
    };
    uint64_t hash = mix_words(2, words, NSP_ARRAY_LEN(words));

    for (uint32_t i = 0; delay->table && i < delay->count; i++)
        hash = nsp_mix64(hash ^ (uint16_t)delay->table[i]);
    return delay->trace_ns ? mix_words(hash, delay->trace_ns, delay->count)
                           : hash;
}

/* --- Building ------------------------------------------------------------ */

static int
bad_effects(struct nsp_diag *reterr, const char *kind, const char *name,
            const char *fault)
{
    return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "bad-rule", NULL,
                        "%s %.63s: %s", kind, name, fault);
}

static int
make_plan(struct nsp_ruleset *ruleset, const struct nsp_effects *effects,
          const char *kind, const char *name, struct nsp_diag *reterr)
{
    struct nsp_effects_plan *plan = &ruleset->plans[ruleset->plan_count];
    const char *fault = nsp_loss_fault(&effects->loss);

    if (!fault)
        fault = nsp_delay_fault(&effects->delay);
    if (fault)
        return bad_effects(reterr, kind, name, fault);

    plan->loses = nsp_loss_any(&effects->loss);
    plan->delays = nsp_delay_any(&effects->delay);
    ruleset->plan_count++;
    if (nsp_loss_init(&plan->loss, &effects->loss, &ruleset->allocator) < 0 ||
        nsp_delay_init(&plan->delay, &effects->delay, &ruleset->allocator) < 0)
        return NSP_NO_MEMORY;
    plan->identity =
        nsp_mix64(loss_identity(&plan->loss) ^ delay_identity(&plan->delay)) |
        1;
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
    if (!ruleset->plans || !ruleset->of_rule)
        return NSP_NO_MEMORY;
    return make_plans(ruleset, spec, reterr);
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
    for (uint32_t i = 0; i < ruleset->plan_count; i++) {
        nsp_loss_fini(&ruleset->plans[i].loss);
        nsp_delay_fini(&ruleset->plans[i].delay);
    }
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

const struct nsp_effects_plan *
nsp_ruleset_effects(const struct nsp_ruleset *ruleset, uint32_t index)
{
    return ruleset->of_rule[index];
}
