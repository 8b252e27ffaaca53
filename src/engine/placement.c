#include "engine/placement.h"

#include <stdio.h>

#include "base/diag.h"
#include "engine/plan.h"
#include "engine/ruleset.h"
#include "io/registry.h"

/* --- Deciding ------------------------------------------------------------- */

const struct nsp_policy_rule *
nsp_placement_holder(const struct nsp_policy *policy,
                     enum nsp_direction direction)
{
    for (uint32_t i = 0; i < nsp_policy_rule_count(policy); i++) {
        const struct nsp_policy_rule *rule = nsp_policy_get_rule(policy, i);

        if (nsp_policy_rule_holds(rule, direction))
            return rule;
    }
    return NULL;
}

static void
add_part(struct nsp_host_config *host, const char *name, const void *device,
         uint32_t hooks, enum nsp_link link)
{
    host->parts[host->part_count++] = (struct nsp_host_part){
        .ops = nsp_io_find(name),
        .device = device,
        .hooks = hooks,
        .link = (uint8_t)link,
    };
}

void
nsp_placement_decide(const struct nsp_config *config,
                     const struct nsp_policy *policy, uint32_t hooks,
                     struct nsp_host_config *ret)
{
    uint32_t tapped = 0, queued = hooks;

    if ((hooks & NSP_HOOK_OUTPUT) != 0 &&
        nsp_placement_holder(policy, NSP_OUTBOUND))
        tapped = NSP_HOOK_OUTPUT;
    if (tapped != 0 && config->user.tap.interface_count > 0)
        queued &= ~tapped;
    *ret = (struct nsp_host_config){ .part_count = 0 };
    /* The tap first: the tables of nfqueue go by grace periods, in which a tap
     * of a process that was killed would swallow packets. */
    if (tapped != 0) {
        add_part(ret, "tap", &config->user.tap, tapped, NSP_LINK_ETHERNET);
        ret->parts[0].why =
            "holding what leaves this host (not what comes in or is forwarded) "
            "takes the tap device";
    }
    /* One device is there even where no packet can match. */
    if (queued != 0 || tapped == 0)
        add_part(ret, "nfqueue", &config->user.nfqueue, queued, NSP_LINK_RAW);
}

const struct nsp_io_ops *
nsp_placement_ops(const struct nsp_host_config *host, uint32_t hook)
{
    uint32_t i = 0;

    while (i + 1 < host->part_count && (host->parts[i].hooks & hook) == 0)
        i++;
    return host->parts[i].ops;
}

/* --- Telling -------------------------------------------------------------- */

static const struct {
    enum nsp_hook hook;
    enum nsp_direction direction;
} hooks[] = {
    { NSP_HOOK_INPUT, NSP_INBOUND },
    { NSP_HOOK_OUTPUT, NSP_OUTBOUND },
    { NSP_HOOK_FORWARD, NSP_DIRECTION_NONE },
};

/* 'holder' may hold packets there, or none if NULL. */
static void
give_reason(const struct nsp_policy_rule *holder, struct nsp_placement *ret)
{
    if (!holder)
        snprintf(ret->reason, sizeof ret->reason,
                 "no rule holds packets there");
    else if (ret->interfaces == NSP_PLACEMENT_OTHER)
        snprintf(ret->reason, sizeof ret->reason,
                 "tap takes packets with Ethernet headers; TCP of this host is "
                 "slow where rule %s holds it",
                 holder->name);
    else if (ret->hook == NSP_HOOK_OUTPUT)
        snprintf(ret->reason, sizeof ret->reason,
                 "rule %s may hold packets there, and nfqueue would stop the "
                 "sockets that sent them",
                 holder->name);
    else
        snprintf(ret->reason, sizeof ret->reason,
                 "it can hold packets there, as rule %s may", holder->name);
}

/* Describes the parts of 'host' that take packets at hook 'which'; returns how
 * many. */
static uint32_t
describe_host(const struct nsp_host_config *host,
              const struct nsp_policy_rule *holder, size_t which,
              struct nsp_placement ret[])
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < host->part_count; i++) {
        if ((host->parts[i].hooks & (uint32_t)hooks[which].hook) == 0)
            continue;
        ret[n++] = (struct nsp_placement){
            .hook = (uint8_t)hooks[which].hook,
            .device = host->parts[i].ops->name,
        };
    }
    for (uint32_t i = 0; i < n; i++) {
        if (n > 1)
            ret[i].interfaces = i == 0 ? NSP_PLACEMENT_ETHERNET /* The tap. */
                                       : NSP_PLACEMENT_OTHER;
        give_reason(holder, &ret[i]);
    }
    return n;
}

static uint32_t
describe(const struct nsp_config *config, const struct nsp_plan *plan,
         const struct nsp_policy *policy, size_t which,
         struct nsp_placement ret[])
{
    if (config->is_host)
        return describe_host(
            &plan->host, nsp_placement_holder(policy, hooks[which].direction),
            which, ret);
    *ret = (struct nsp_placement){
        .hook = (uint8_t)hooks[which].hook,
        .device = config->ops->name,
        .reason = "it was asked for by name",
    };
    return 1;
}

static int
plan_with(const struct nsp_config *config, const char *text,
          const struct nsp_policy *policy, struct nsp_placement ret[],
          uint32_t *ret_count, struct nsp_diag *reterr)
{
    struct nsp_filter *filter;
    struct nsp_plan plan;
    uint32_t count = 0;
    int result;

    result = nsp_filter_compile_with(text, nsp_plan_layer(config),
                                     config->user.filters, &config->allocator,
                                     &filter, reterr);
    if (result != NSP_OK)
        return result;
    result = nsp_plan_make(config, filter, policy, NULL, &plan, reterr);
    nsp_filter_destroy(filter);
    if (result != NSP_OK)
        return result;
    for (size_t i = 0; i < NSP_ARRAY_LEN(hooks); i++)
        if ((plan.io.hooks & (uint32_t)hooks[i].hook) != 0)
            count += describe(config, &plan, policy, i, ret + count);
    *ret_count = count;
    return NSP_OK;
}

int
nsp_engine_place(const struct nsp_engine_config *cfg, const char *filter,
                 struct nsp_placement ret[], uint32_t *ret_count,
                 struct nsp_diag *reterr)
{
    struct nsp_ruleset *ruleset;
    struct nsp_config config;
    int result;

    if (!cfg || !filter || !ret || !ret_count)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "null-argument",
                            NULL,
                            "no configuration, no filter or no place for "
                            "the answer");
    result = nsp_config_init(&config, cfg, reterr);
    if (result != NSP_OK)
        return result;
    result = nsp_ruleset_create(&cfg->policy, nsp_plan_layer(&config),
                                &config.allocator, &ruleset, reterr);
    if (result == NSP_OK) {
        result = plan_with(&config, filter, nsp_ruleset_policy(ruleset), ret,
                           ret_count, reterr);
        nsp_ruleset_unref(ruleset);
    }
    nsp_config_fini(&config);
    return result;
}
