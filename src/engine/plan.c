#include "engine/plan.h"

#include <string.h>

#include "base/diag.h"

/* IPv4 and TCP headers with all their options are 120 bytes. */
#define HEADER_SNAP_BYTES 128u

static const struct {
    enum nsp_hook hook;
    enum nsp_io_cap cap;
    enum nsp_direction direction;
    const char *name;
} hooks[] = {
    { NSP_HOOK_INPUT, NSP_IO_HOLDS_INPUT, NSP_INBOUND, "input" },
    { NSP_HOOK_OUTPUT, NSP_IO_HOLDS_OUTPUT, NSP_OUTBOUND, "output" },
    { NSP_HOOK_FORWARD, NSP_IO_HOLDS_FORWARD, NSP_DIRECTION_NONE, "forward" },
};

enum nsp_layer
nsp_plan_layer(const struct nsp_config *config)
{
    if ((config->ops->caps & NSP_IO_HOOKS) != 0 &&
        config->user.hooks == NSP_HOOK_FORWARD)
        return NSP_LAYER_NETWORK_FORWARD;
    return NSP_LAYER_NETWORK;
}

/* Hooks at which the filter can match at all. */
static uint32_t
plan_hooks(const struct nsp_config *config, const struct nsp_filter *filter)
{
    uint32_t wanted = config->user.hooks;
    struct nsp_filter_needs needs;

    nsp_filter_get_needs(filter, &needs);
    if (!needs.inbound)
        wanted &= ~(uint32_t)NSP_HOOK_INPUT;
    if (!needs.outbound)
        wanted &= ~(uint32_t)NSP_HOOK_OUTPUT;
    return needs.never ? 0 : wanted;
}

static int
refuse_hold(const struct nsp_policy_rule *rule, uint32_t hook,
            struct nsp_diag *reterr)
{
    if (hook == NSP_HOOK_OUTPUT)
        return nsp_diag_set(
            reterr, NSP_NOT_POSSIBLE, "hold-output",
            "shape where the packets arrive (hook input, a filter with "
            "'inbound') or on a router (hook forward); pass, drop, reject and "
            "loss work at output",
            "rule %s would hold packets at output: a verdict held there stays "
            "charged to the sending socket, so TCP stops (20 ms of delay "
            "leave 2 Mbit/s)",
            rule->name);
    return nsp_diag_set(
        reterr, NSP_NOT_POSSIBLE, "hold-hook", "choose another backend or hook",
        "rule %s would hold packets where this backend cannot", rule->name);
}

static int
plan_holds(const struct nsp_config *config, const struct nsp_policy *policy,
           struct nsp_plan *plan, struct nsp_diag *reterr)
{
    bool tapped = (config->ops->caps & NSP_IO_HOOKS) != 0;

    for (size_t h = 0; h < NSP_ARRAY_LEN(hooks); h++)
        if (!tapped || (config->ops->caps & hooks[h].cap) != 0)
            plan->holdable |= (uint32_t)hooks[h].hook;

    plan->holds = config->user.callback != NULL;
    for (uint32_t r = 0; r < nsp_policy_rule_count(policy); r++) {
        const struct nsp_policy_rule *rule = nsp_policy_get_rule(policy, r);

        for (size_t h = 0; h < NSP_ARRAY_LEN(hooks); h++) {
            if (tapped && (plan->io.hooks & (uint32_t)hooks[h].hook) == 0)
                continue;
            if (!nsp_policy_rule_holds(rule, hooks[h].direction))
                continue;
            if ((plan->holdable & (uint32_t)hooks[h].hook) == 0)
                return refuse_hold(rule, hooks[h].hook, reterr);
            plan->holds = true;
        }
    }
    return NSP_OK;
}

static bool
reads_payload(const struct nsp_filter *filter)
{
    struct nsp_filter_needs needs;

    if (!filter)
        return false;
    nsp_filter_get_needs(filter, &needs);
    return needs.payload;
}

static bool
reads_flows(const struct nsp_filter *filter)
{
    struct nsp_filter_needs needs;

    nsp_filter_get_needs(filter, &needs);
    return needs.flow;
}

/* Segments of a superpacket must meet it one by one. */
static bool
acts_per_packet(const struct nsp_policy_rule *rule)
{
    return rule->loses || rule->class_index != NSP_CLASS_NONE ||
           rule->limit.unit == NSP_LIMIT_PPS;
}

/* How much of each packet is needed, and whether several may come as one. */
static void
plan_bytes(const struct nsp_config *config, const struct nsp_filter *filter,
           const struct nsp_policy *policy, struct nsp_plan *plan)
{
    bool whole = reads_payload(filter);
    bool per_packet = false;

    for (uint32_t r = 0; r < nsp_policy_rule_count(policy); r++) {
        const struct nsp_policy_rule *rule = nsp_policy_get_rule(policy, r);

        whole |= rule->capture || reads_payload(rule->filter);
        plan->reports |= rule->capture || rule->log_pps != 0;
        per_packet |= acts_per_packet(rule);
        plan->edits |= (rule->edits.which & ~(uint32_t)NSP_EDIT_MARK) != 0;
    }
    plan->io.snap_bytes = HEADER_SNAP_BYTES;
    if (config->user.callback) {
        plan->edits |= !config->user.callback_takes_superpackets;
        if (config->user.snap_bytes == 0)
            whole = true;
        else if (config->user.snap_bytes > HEADER_SNAP_BYTES)
            plan->io.snap_bytes = config->user.snap_bytes;
    }
    if (whole || plan->edits)
        plan->io.snap_bytes = 0;
    plan->io.superpackets = !per_packet && !plan->edits;
}

int
nsp_plan_check_workers(const struct nsp_config *config,
                       const struct nsp_policy *policy, struct nsp_diag *reterr)
{
    if (config->user.workers <= 1 ||
        (config->ops->caps & NSP_IO_VIRTUAL_TIME) == 0)
        return NSP_OK;
    for (uint32_t i = 0; i < nsp_policy_rule_count(policy); i++) {
        const struct nsp_policy_rule *rule = nsp_policy_get_rule(policy, i);

        if (rule->class_index != NSP_CLASS_NONE ||
            rule->limit.unit != NSP_LIMIT_NONE)
            return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "shared-rate",
                                "use one worker",
                                "rule %s: a rate needs one worker, each of %u "
                                "has a virtual time of its own",
                                rule->name, config->user.workers);
    }
    return NSP_OK;
}

int
nsp_plan_make(const struct nsp_config *config, const struct nsp_filter *filter,
              const struct nsp_policy *policy, struct nsp_plan *ret,
              struct nsp_diag *reterr)
{
    struct nsp_plan plan = {
        .io = {
            .device = config->device,
            .queues = config->user.workers,
            .hooks = plan_hooks(config, filter),
            /* Loopback packets pass both hooks; they count once, going out. */
            .skip_loopback_input =
                (config->user.hooks & NSP_HOOK_OUTPUT) != 0,
            .allocator = config->allocator,
            .clock = config->clock,
            .log = config->user.log,
            .filter = filter,
        },
    };
    int result = plan_holds(config, policy, &plan, reterr);

    if (result != NSP_OK)
        return result;
    plan_bytes(config, filter, policy, &plan);
    /* Room that a later policy may need is taken now. */
    plan.holds |= config->user.policy_may_change;
    plan.edits |= config->user.policy_may_change;
    plan.flows = config->user.policy_may_change || reads_flows(filter) ||
                 nsp_policy_reads_flows(policy) || nsp_policy_flow_plan(policy);
    plan.reports |= config->user.policy_may_change;
    plan.io.edits = plan.edits;
    if (plan.holds)
        plan.io.max_held_pkts = config->user.max_held_pkts;
    *ret = plan;
    return NSP_OK;
}
