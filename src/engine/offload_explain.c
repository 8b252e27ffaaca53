/* Where rules run, for people who ask: as nsp_offload_choose() has it, and as
 * far as the filters can be told at the hooks of an interface. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/diag.h"
#include "engine/offload.h"
#include "engine/plan.h"
#include "engine/ruleset.h"
#include "netshaper/bpf.h"

#define INSNS_MAX NSP_EBPF_INSNS_MAX

struct explanation {
    struct nsp_ebpf_insn *insns; /* INSNS_MAX, to be thrown away. */
    struct nsp_rule_placement *ret;
};

static void
say(struct nsp_rule_placement *ret, enum nsp_rule_place place,
    const char *reason)
{
    ret->place = (uint8_t)place;
    snprintf(ret->reason, sizeof ret->reason, "%s", reason);
}

/* What 'rule' does that takes the engine. */
static const char *
engine_work(const struct nsp_policy_rule *rule)
{
    if (rule->action == NSP_ACTION_REJECT)
        return "it answers";
    if (rule->capture || rule->log_pps != 0)
        return "it reports packets";
    if (rule->edits.which != 0)
        return "it edits packets";
    if (rule->limit.unit != NSP_LIMIT_NONE)
        return "it goes on with what its limit lets through";
    if (rule->class_index != NSP_CLASS_NONE)
        return "packets wait for its rate";
    return "it has effects";
}

/* What the kernel cannot tell of 'filter' at packets of 'direction': 1 with
 * 'ret' set, 0 nothing, or a negative errno. */
static int
untold_at(struct explanation *e, const struct nsp_filter *filter,
          enum nsp_direction direction, char *ret, size_t bytes)
{
    const struct nsp_site site = {
        .link = NSP_LINK_ETHERNET,
        .facts = NSP_SITE_DIRECTION | NSP_SITE_LOOPBACK | NSP_SITE_IFINDEX,
        .direction = direction,
        .ifindex = 1,
    };
    struct nsp_widened widened;
    struct nsp_ebpf_maps maps;
    uint32_t count;
    int err = nsp_filter_emit_ebpf(filter, NSP_EBPF_TCX, &site, e->insns,
                                   INSNS_MAX, &count, &maps, &widened);

    if (err == -ENOMEM)
        return err;
    if (err == 0 && widened.exact)
        return 0;
    snprintf(ret, bytes, "the kernel cannot tell %s",
             err == 0 && widened.count > 0 ? widened.names[0]
                                           : "so long a filter");
    return 1;
}

static int
untold_of(struct explanation *e, const struct nsp_filter *filter, uint8_t apply,
          char *ret, size_t bytes)
{
    int untold = 0;

    if (!filter)
        return 0;
    if (apply != NSP_APPLY_OUTBOUND)
        untold = untold_at(e, filter, NSP_INBOUND, ret, bytes);
    if (untold == 0 && apply != NSP_APPLY_INBOUND)
        untold = untold_at(e, filter, NSP_OUTBOUND, ret, bytes);
    return untold;
}

/* Why a rule that is handed over needs no engine. */
static const char *
kernel_work(const struct nsp_policy_rule *rule, uint8_t does)
{
    if (rule->spared != 0 && does != NSP_OFFLOAD_PASS &&
        does != NSP_OFFLOAD_COUNT)
        return "but for neighbour discovery and DHCP, on which the engine "
               "decides";
    if (does == NSP_OFFLOAD_POLICE)
        return "it only limits packets";
    return "it only passes, drops or counts";
}

/* Of a rule that is handed over. */
static int
explain_listed(struct explanation *e, const struct nsp_policy_rule *rule,
               uint8_t does, struct nsp_rule_placement *ret)
{
    char reason[sizeof ret->reason];
    int untold = untold_of(e, rule->filter, rule->apply, reason, sizeof reason);

    if (untold < 0)
        return untold;
    if (does == NSP_OFFLOAD_ASK)
        say(ret, rule->filter ? NSP_RULE_PREFILTERED : NSP_RULE_IN_ENGINE,
            engine_work(rule));
    else if (untold > 0)
        say(ret, NSP_RULE_PREFILTERED, reason);
    else
        say(ret, NSP_RULE_IN_KERNEL, kernel_work(rule, does));
    return 0;
}

static const char *
unlisted_reason(const struct nsp_policy_rule *rule)
{
    if (rule->disabled)
        return "it is disabled";
    if (nsp_offload_does(rule) == NSP_OFFLOAD_ASK)
        return engine_work(rule);
    return "it comes after more rules than the kernel is given, or after one "
           "for all packets";
}

/* Of a rule that is not. */
static void
explain_unlisted(const struct nsp_policy_rule *rule, bool flows,
                 struct nsp_rule_placement *ret)
{
    uint8_t does = nsp_offload_does(rule);

    if (flows && !rule->disabled &&
        (does == NSP_OFFLOAD_PASS || does == NSP_OFFLOAD_DROP))
        say(ret, NSP_RULE_BY_FLOW,
            "as far as all packets of a flow meet the same rule");
    else
        say(ret, NSP_RULE_IN_ENGINE, unlisted_reason(rule));
}

static int
explain_rules(struct explanation *e, const struct nsp_policy *policy,
              const struct nsp_offload_list *list)
{
    for (uint32_t i = 0; i < nsp_policy_rule_count(policy); i++)
        explain_unlisted(nsp_policy_get_rule(policy, i), list->flows,
                         &e->ret[i]);
    for (uint32_t k = 0; k < list->count; k++) {
        uint32_t i = list->indices[k];
        int err = 0;

        if (i != NSP_RULE_NONE)
            err = explain_listed(e, nsp_policy_get_rule(policy, i),
                                 list->rules[k].does, &e->ret[i]);
        if (err < 0)
            return err;
    }
    return 0;
}

/* Why nothing at all is decided in the kernel; NULL if something may be. */
static const char *
refusal(struct explanation *e, const struct nsp_config *config,
        const struct nsp_filter *start, const struct nsp_policy *policy)
{
    char reason[64];

    if (config->user.callback)
        return "a callback is to see every packet";
    if (config->user.no_offload)
        return "the kernel is not to decide";
    if (nsp_offload_reads_flows(policy, start))
        return "a filter reads what is known of flows";
    if (untold_of(e, start, NSP_APPLY_BOTH, reason, sizeof reason) != 0)
        return "the kernel cannot tell all of the start filter";
    return NULL;
}

static int
explain(struct explanation *e, const struct nsp_config *config,
        const struct nsp_filter *start, const struct nsp_policy *policy)
{
    const char *why = refusal(e, config, start, policy);
    struct nsp_filter *essential;
    struct nsp_offload_list list;
    int err;

    if (why) {
        for (uint32_t i = 0; i < nsp_policy_rule_count(policy); i++)
            say(&e->ret[i], NSP_RULE_IN_ENGINE, why);
        return 0;
    }
    if (nsp_offload_compile_essential(&config->allocator, &essential) != NSP_OK)
        return -ENOMEM;
    nsp_offload_choose(policy, start, essential, true, &list);
    err = explain_rules(e, policy, &list);
    nsp_filter_destroy(essential);
    return err;
}

static int
explain_ruleset(const struct nsp_config *config, const char *text,
                const struct nsp_policy *policy,
                struct nsp_rule_placement ret[], struct nsp_diag *reterr)
{
    struct explanation e = { .ret = ret };
    struct nsp_filter *start;
    int result, err;

    result = nsp_filter_compile_with(text, nsp_plan_layer(config),
                                     config->user.filters, &config->allocator,
                                     &start, reterr);
    if (result != NSP_OK)
        return result;
    e.insns = nsp_alloc(&config->allocator, INSNS_MAX, sizeof e.insns[0]);
    err = e.insns ? explain(&e, config, start, policy) : -ENOMEM;
    nsp_release(&config->allocator, e.insns);
    nsp_filter_destroy(start);
    return err < 0 ? nsp_diag_set(reterr, NSP_NO_MEMORY, "out-of-memory", NULL,
                                  "no memory to look at the rules")
                   : NSP_OK;
}

int
nsp_engine_place_rules(const struct nsp_engine_config *cfg, const char *filter,
                       struct nsp_rule_placement ret[], struct nsp_diag *reterr)
{
    struct nsp_ruleset *ruleset;
    struct nsp_config config;
    int result;

    if (!cfg || !filter || !ret)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "null-argument",
                            NULL,
                            "no configuration, no filter or no place for the "
                            "answer");
    result = nsp_config_init(&config, cfg, reterr);
    if (result != NSP_OK)
        return result;
    result = nsp_ruleset_create(&cfg->policy, nsp_plan_layer(&config),
                                &config.allocator, &ruleset, reterr);
    if (result == NSP_OK) {
        result = explain_ruleset(&config, filter, nsp_ruleset_policy(ruleset),
                                 ret, reterr);
        nsp_ruleset_unref(ruleset);
    }
    nsp_config_fini(&config);
    return result;
}
