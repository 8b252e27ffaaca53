#include "verify/trial.h"

#include <stdlib.h>
#include <string.h>

static int
run_engine(const struct nsp_trial_config *cfg, const struct nsp_rule *rules,
           struct nsp_generator *generator, struct nsp_trial *ret,
           struct nsp_diag *reterr)
{
    struct nsp_engine_config engine_config = {
        .backend = "custom",
        .custom = { .ops = &nsp_generator_ops, .device = generator },
        .hooks = cfg->search->hooks,
        .max_held_pkts = cfg->max_held_pkts,
        .seed = cfg->seed,
        .policy = *cfg->search->spec,
    };
    struct nsp_engine *engine = NULL;
    int result;

    engine_config.policy.rules = rules;
    result = nsp_engine_create(&engine_config, &engine, reterr);
    if (result == NSP_OK)
        result = nsp_engine_start(engine, "true", reterr);
    if (result == NSP_OK) {
        result = nsp_engine_run(engine);
        if (result < 0)
            nsp_engine_read_diag(engine, reterr);
    }
    if (result == NSP_OK) {
        nsp_engine_read_stats(engine, &ret->stats);
        nsp_engine_read_rule_stats(engine, cfg->rule, &ret->rule);
    }
    nsp_engine_destroy(engine);
    return result;
}

static bool
asks_for_chance(const struct nsp_filter *filter)
{
    struct nsp_filter_needs needs = { .random = false };

    if (filter)
        nsp_filter_get_needs(filter, &needs);
    return needs.random;
}

static int
run_with(const struct nsp_trial_config *cfg, struct nsp_rule *rules, bool *off,
         struct nsp_trial *ret, struct nsp_diag *reterr)
{
    const struct nsp_policy_spec *spec = cfg->search->spec;
    const struct nsp_filter *filter = cfg->search->filters[cfg->rule];
    struct nsp_generator generator = {
        .packet = cfg->packet,
        .start_ns = NSP_TRIAL_START_NS,
        .gap_ns = cfg->gap_ns,
        .pkts = cfg->pkts,
        .filter = asks_for_chance(filter) ? filter : NULL,
        .context = { .random_seed = cfg->seed },
        .look = cfg->look,
        .look_context = cfg->look_context,
        .left_ns = ret->left_ns,
        .copy_ns = ret->copy_ns,
        .order = ret->order,
        .order_max = 2 * cfg->pkts,
    };
    int result;

    memcpy(rules, spec->rules, spec->rule_count * sizeof *rules);
    ret->left_out =
        nsp_search_isolate(cfg->search, cfg->rule, cfg->packet, off);
    if (cfg->as)
        rules[cfg->rule] = *cfg->as;
    for (uint32_t i = 0; i < spec->rule_count; i++)
        rules[i].disabled = off[i];
    result = run_engine(cfg, rules, &generator, ret, reterr);
    ret->pkts = generator.made;
    ret->order_count = generator.order_count;
    ret->left_pkts = generator.left_pkts;
    ret->wrong_pkts = generator.wrong_pkts;
    ret->injected_pkts = generator.injected_pkts;
    ret->copied_pkts = generator.copied_pkts;
    return result;
}

int
nsp_trial_run(const struct nsp_trial_config *cfg, struct nsp_trial *ret,
              struct nsp_diag *reterr)
{
    uint32_t rule_count = cfg->search->spec->rule_count;
    struct nsp_rule *rules = calloc(rule_count, sizeof *rules);
    bool *off = calloc(rule_count, sizeof *off);
    int result = NSP_NO_MEMORY;

    *ret = (struct nsp_trial){ .gap_ns = cfg->gap_ns };
    ret->left_ns = calloc(cfg->pkts, sizeof *ret->left_ns);
    ret->copy_ns = calloc(cfg->pkts, sizeof *ret->copy_ns);
    ret->order = calloc(2 * (size_t)cfg->pkts, sizeof *ret->order);
    if (rules && off && ret->left_ns && ret->copy_ns && ret->order)
        result = run_with(cfg, rules, off, ret, reterr);
    free(off);
    free(rules);
    if (result != NSP_OK)
        nsp_trial_fini(ret);
    return result;
}

void
nsp_trial_fini(struct nsp_trial *trial)
{
    free(trial->order);
    free(trial->copy_ns);
    free(trial->left_ns);
    trial->order = NULL;
    trial->copy_ns = trial->left_ns = NULL;
}
