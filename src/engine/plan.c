#include "engine/plan.h"

#include <string.h>

#include "base/diag.h"
#include "engine/placement.h"
#include "policy/policy_spec.h"

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

/* The device at 'hook'. */
static const struct nsp_io_ops *
ops_at(const struct nsp_config *config, const struct nsp_plan *plan,
       enum nsp_hook hook)
{
    return config->is_host ? nsp_placement_ops(&plan->host, hook) : config->ops;
}

static int
refuse_hold(const struct nsp_config *config, const struct nsp_policy_rule *rule,
            uint32_t hook, struct nsp_diag *reterr)
{
    if (hook == NSP_HOOK_OUTPUT && config->is_host)
        return nsp_diag_set(
            reterr, NSP_NOT_POSSIBLE, "hold-output", "start again with it",
            "rule %s would hold packets at output, where they are taken by "
            "nfqueue, which cannot: no rule held any when it was opened",
            rule->name);
    if (hook == NSP_HOOK_OUTPUT)
        return nsp_diag_set(
            reterr, NSP_NOT_POSSIBLE, "hold-output",
            "use the backend \"host\" or \"tap\", or shape where the packets "
            "arrive (hook input, a filter with 'inbound') or on a router (hook "
            "forward)",
            "rule %s would hold packets at output: a verdict held there stays "
            "charged to the sending socket, so TCP stops (20 ms of delay "
            "leave 2 Mbit/s)",
            rule->name);
    return nsp_diag_set(
        reterr, NSP_NOT_POSSIBLE, "hold-hook", "choose another backend or hook",
        "rule %s would hold packets where this backend cannot", rule->name);
}

/* What 'rule' does to its packets, NULL if it leaves them alone. */
static const char *
interference_of(const struct nsp_policy_rule *rule)
{
    if (rule->action == NSP_ACTION_REJECT)
        return "reject";
    if (rule->action == NSP_ACTION_DROP || rule->limit.unit != NSP_LIMIT_NONE)
        return "drop";
    if (rule->class_index != NSP_CLASS_NONE ||
        (rule->needs & NSP_NEED_HOLD) != 0)
        return "hold";
    if (rule->edits.which != 0 || (rule->needs & NSP_NEED_EDIT) != 0)
        return "edit";
    /* No effect but those that drop does neither. */
    return rule->has_effects ? "drop" : NULL;
}

static int
check_looking(const struct nsp_config *config, const struct nsp_policy *policy,
              struct nsp_diag *reterr)
{
    if ((config->ops->caps & NSP_IO_LOOKS_ONLY) == 0)
        return NSP_OK;
    for (uint32_t r = 0; r < nsp_policy_rule_count(policy); r++) {
        const struct nsp_policy_rule *rule = nsp_policy_get_rule(policy, r);
        const char *what = interference_of(rule);

        if (what)
            return nsp_diag_set(
                reterr, NSP_NOT_POSSIBLE, "looks-only",
                "choose a backend that takes packets out of the stack; pass, "
                "log and capture work here",
                "rule %s would %s packets, and %s only looks at them",
                rule->name, what, config->ops->name);
    }
    return NSP_OK;
}

static int
refuse_mark(const struct nsp_policy_rule *rule, const char *device,
            const char *hook, struct nsp_diag *reterr)
{
    return nsp_diag_set(
        reterr, NSP_NOT_POSSIBLE, "mark",
        "say in its filter or direction that it is for other packets, or set "
        "the mark elsewhere (SO_MARK, nftables)",
        "rule %s would mark packets at %s, which are taken by %s there and "
        "lose their mark",
        rule->name, hook, device);
}

/* Checks what rule 'index' asks of the device at hook 'h', where packets are
 * taken. */
static int
check_rule(const struct nsp_config *config, const struct nsp_policy *policy,
           uint32_t index, size_t h, struct nsp_plan *plan,
           struct nsp_diag *reterr)
{
    const struct nsp_policy_rule *rule = nsp_policy_get_rule(policy, index);
    const struct nsp_io_ops *ops = ops_at(config, plan, hooks[h].hook);

    if ((rule->edits.which & NSP_EDIT_MARK) != 0 &&
        (ops->caps & NSP_IO_HOOKS) != 0 &&
        (ops->caps & NSP_IO_SETS_MARKS) == 0 &&
        nsp_policy_rule_may_match(rule, hooks[h].direction) &&
        !nsp_policy_hides(policy, index))
        return refuse_mark(rule, ops->name, hooks[h].name, reterr);
    if (!nsp_policy_rule_holds(rule, hooks[h].direction))
        return NSP_OK;
    if ((plan->holdable & (uint32_t)hooks[h].hook) == 0)
        return refuse_hold(config, rule, hooks[h].hook, reterr);
    plan->holds = true;
    return NSP_OK;
}

static int
plan_rules(const struct nsp_config *config, const struct nsp_policy *policy,
           struct nsp_plan *plan, struct nsp_diag *reterr)
{
    bool tapped = (config->ops->caps & NSP_IO_HOOKS) != 0;
    int result = NSP_OK;

    for (size_t h = 0; h < NSP_ARRAY_LEN(hooks); h++)
        if (!tapped ||
            (ops_at(config, plan, hooks[h].hook)->caps & hooks[h].cap) != 0)
            plan->holdable |= (uint32_t)hooks[h].hook;

    if ((config->ops->caps & NSP_IO_LOOKS_ONLY) != 0)
        return NSP_OK;
    plan->holds = config->user.callback != NULL;
    for (uint32_t r = 0; r < nsp_policy_rule_count(policy); r++) {
        for (size_t h = 0; h < NSP_ARRAY_LEN(hooks) && result == NSP_OK; h++)
            if (!tapped || (plan->io.hooks & (uint32_t)hooks[h].hook) != 0)
                result = check_rule(config, policy, r, h, plan, reterr);
        if (result != NSP_OK) {
            if (reterr)
                reterr->rule = r + 1;
            return result;
        }
    }
    return NSP_OK;
}

static int
refuse_inject(const struct nsp_policy_rule *rule, struct nsp_diag *reterr)
{
    return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "no-inject",
                        "choose another backend, or leave TCP resets, answers "
                        "to large packets and duplicates out",
                        "rule %s would send packets of its own, which this "
                        "backend cannot",
                        rule->name);
}

/* Whether the device sends what the rules make. */
static int
plan_injections(const struct nsp_config *config,
                const struct nsp_policy *policy, struct nsp_diag *reterr)
{
    if ((config->ops->caps & NSP_IO_CAN_INJECT) != 0)
        return NSP_OK;
    for (uint32_t r = 0; r < nsp_policy_rule_count(policy); r++) {
        const struct nsp_policy_rule *rule = nsp_policy_get_rule(policy, r);

        if ((rule->needs & NSP_NEED_INJECT) != 0)
            return refuse_inject(rule, reterr);
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
    return (rule->needs & NSP_NEED_SINGLE) != 0 ||
           rule->class_index != NSP_CLASS_NONE ||
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
        whole |= (rule->needs & NSP_NEED_WHOLE) != 0;
        plan->copies |= (rule->needs & NSP_NEED_COPY) != 0;
        per_packet |= acts_per_packet(rule);
        plan->edits |= (rule->needs & NSP_NEED_EDIT) != 0 ||
                       (rule->edits.which & ~(uint32_t)NSP_EDIT_MARK) != 0;
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

static bool
is_told_of_flows(const struct nsp_config *config, const struct nsp_plan *plan)
{
    bool told = !config->is_host && config->ops->offload_flows;

    for (uint32_t i = 0; config->is_host && i < plan->host.part_count; i++)
        told |= plan->host.parts[i].ops->offload_flows != NULL;
    return told && !config->user.callback && !config->user.no_offload;
}

/* Room that a later policy may need is taken now. */
static void
make_room_for_any(const struct nsp_config *config, struct nsp_plan *plan)
{
    plan->holds = plan->edits = plan->flows = plan->reports = true;
    plan->copies = true;
    if (config->ops->adjust)
        return;
    plan->io.snap_bytes = 0;
    plan->io.superpackets = false;
}

static int
refuse_shared_rate(const struct nsp_policy_rule *rule, uint32_t workers,
                   struct nsp_diag *reterr)
{
    return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "shared-rate",
                        "use one worker",
                        "rule %s: a rate needs one worker, each of %u "
                        "has a virtual time of its own",
                        rule->name, workers);
}

static int
refuse_shared_effect(const struct nsp_policy_rule *rule, uint32_t workers,
                     struct nsp_diag *reterr)
{
    return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "shared-effect",
                        "use one worker",
                        "rule %s: what it does to a packet depends on those "
                        "before it, of which %u workers would each see some",
                        rule->name, workers);
}

int
nsp_plan_check_workers(const struct nsp_config *config,
                       const struct nsp_policy *policy, struct nsp_diag *reterr)
{
    bool virtual_time = (config->ops->caps & NSP_IO_VIRTUAL_TIME) != 0;
    uint32_t forbidden = NSP_NEED_ONE_WORKER;

    if (config->user.workers <= 1)
        return NSP_OK;
    if (virtual_time)
        forbidden |= NSP_NEED_MEMORY;
    for (uint32_t i = 0; i < nsp_policy_rule_count(policy); i++) {
        const struct nsp_policy_rule *rule = nsp_policy_get_rule(policy, i);

        if (virtual_time && (rule->class_index != NSP_CLASS_NONE ||
                             rule->limit.unit != NSP_LIMIT_NONE))
            return refuse_shared_rate(rule, config->user.workers, reterr);
        if ((rule->needs & forbidden) != 0)
            return refuse_shared_effect(rule, config->user.workers, reterr);
    }
    return NSP_OK;
}

int
nsp_plan_make(const struct nsp_config *config, const struct nsp_filter *filter,
              const struct nsp_policy *policy, const struct nsp_plan *open,
              struct nsp_plan *ret, struct nsp_diag *reterr)
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
    int result = check_looking(config, policy, reterr);

    if (result != NSP_OK)
        return result;
    if (open)
        plan.host = open->host;
    else if (config->is_host)
        nsp_placement_decide(config, policy, plan.io.hooks, &plan.host);
    result = plan_rules(config, policy, &plan, reterr);
    if (result == NSP_OK)
        result = plan_injections(config, policy, reterr);
    if (result != NSP_OK)
        return result;
    plan_bytes(config, filter, policy, &plan);
    plan.told = is_told_of_flows(config, &plan);
    plan.flows = reads_flows(filter) || nsp_policy_reads_flows(policy) ||
                 nsp_policy_gains_by_flows(policy) ||
                 (plan.told && nsp_policy_flow_plan(policy)) ||
                 ((config->ops->caps & NSP_IO_VIRTUAL_TIME) != 0 &&
                  nsp_policy_needs(policy, NSP_NEED_DRAW));
    if (config->user.policy_may_change)
        make_room_for_any(config, &plan);
    plan.io.edits = plan.edits;
    if (plan.holds)
        plan.io.max_held_pkts = config->user.max_held_pkts;
    *ret = plan;
    if (config->is_host)
        ret->io.device = &ret->host;
    return NSP_OK;
}
