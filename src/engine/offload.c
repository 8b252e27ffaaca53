#include "engine/offload.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "engine/slots.h"

/* Rules to be asked about that are worth their time in the kernel. */
#define ASKED_MAX 16u

/* One of the list is about what all others spare. */
#define CHOSEN_MAX (NSP_OFFLOAD_RULES_MAX - 1)

/* --- Choosing ------------------------------------------------------------- */

bool
nsp_offload_reads_flows(const struct nsp_policy *policy,
                        const struct nsp_filter *start)
{
    struct nsp_filter_needs needs;

    nsp_filter_get_needs(start, &needs);
    return needs.flow || nsp_policy_reads_flows(policy);
}

uint8_t
nsp_offload_does(const struct nsp_policy_rule *rule)
{
    if (rule->log_pps != 0 || rule->capture || rule->edits.which != 0 ||
        rule->has_effects || rule->class_index != NSP_CLASS_NONE)
        return NSP_OFFLOAD_ASK;
    /* One that goes on may come to a rule that the engine is asked about, which
     * would charge the packet once more. */
    if (rule->limit.unit != NSP_LIMIT_NONE)
        return rule->action == NSP_ACTION_PASS && !rule->go_on
                   ? NSP_OFFLOAD_POLICE
                   : NSP_OFFLOAD_ASK;
    switch (rule->action) {
    case NSP_ACTION_PASS:
        return rule->go_on ? NSP_OFFLOAD_COUNT : NSP_OFFLOAD_PASS;
    case NSP_ACTION_DROP:
        return NSP_OFFLOAD_DROP;
    default:
        return NSP_OFFLOAD_ASK;
    }
}

/* As nsp_pkt_essential() knows them, and a few more. */
int
nsp_offload_compile_essential(const struct nsp_allocator *allocator,
                              struct nsp_filter **ret)
{
    return nsp_filter_compile("icmpv6.Type in {130..137, 143} or "
                              "udp.DstPort in {67..68, 546..547}",
                              NSP_LAYER_NETWORK, allocator, ret, NULL);
}

/* Tells whether some rule drops packets that it spares others of. */
static bool
drops_sparingly(const struct nsp_policy *policy)
{
    for (uint32_t i = 0; i < nsp_policy_rule_count(policy); i++) {
        const struct nsp_policy_rule *rule = nsp_policy_get_rule(policy, i);

        uint8_t does = nsp_offload_does(rule);

        if (!rule->disabled && rule->spared != 0 &&
            (does == NSP_OFFLOAD_DROP || does == NSP_OFFLOAD_POLICE))
            return true;
    }
    return false;
}

struct chosen {
    uint32_t count, asked, counting, policing;
    bool buckets;
};

static void
set_price(struct nsp_offload_bucket *bucket, const struct nsp_limit *limit)
{
    bucket->by_pkts = limit->unit == NSP_LIMIT_PPS;
    nsp_limit_price(limit, &bucket->unit_cost, &bucket->cost_shift,
                    &bucket->burst_ns);
}

/* Adds rule 'index'. Returns whether there was room for it. */
static bool
add_rule(struct nsp_offload_list *list, struct chosen *chosen,
         const struct nsp_policy *policy, uint32_t index)
{
    const struct nsp_policy_rule *rule = nsp_policy_get_rule(policy, index);
    uint8_t does = nsp_offload_does(rule);

    if (does == NSP_OFFLOAD_POLICE && !chosen->buckets)
        does = NSP_OFFLOAD_ASK;
    chosen->asked += does == NSP_OFFLOAD_ASK;
    chosen->counting += does == NSP_OFFLOAD_COUNT;
    chosen->policing += does == NSP_OFFLOAD_POLICE;
    if (chosen->count++ == CHOSEN_MAX || chosen->asked > ASKED_MAX ||
        chosen->counting > NSP_OFFLOAD_COUNTS_MAX ||
        chosen->policing > NSP_OFFLOAD_LIMITS_MAX)
        return false;
    list->indices[list->count] = index;
    list->rules[list->count] = (struct nsp_offload_rule){
        .filter = rule->filter,
        .apply = rule->apply,
        .does = does,
    };
    if (does == NSP_OFFLOAD_POLICE)
        set_price(&list->rules[list->count].bucket, &rule->limit);
    list->count++;
    return true;
}

/* Takes away the rules at the end that decide nothing, the engine being asked
 * anyway. */
static void
trim(struct nsp_offload_list *list)
{
    while (list->count > 0 &&
           (list->rules[list->count - 1].does == NSP_OFFLOAD_ASK ||
            list->rules[list->count - 1].does == NSP_OFFLOAD_COUNT))
        list->count--;
}

void
nsp_offload_choose(const struct nsp_policy *policy,
                   const struct nsp_filter *start,
                   const struct nsp_filter *essential, bool buckets,
                   struct nsp_offload_list *ret)
{
    struct chosen chosen = { .buckets = buckets };
    uint32_t count = nsp_policy_rule_count(policy);

    ret->count = 0;
    ret->complete = ret->flows = false;
    if (nsp_offload_reads_flows(policy, start))
        return;
    ret->complete = true;
    if (drops_sparingly(policy)) {
        ret->indices[0] = NSP_RULE_NONE;
        ret->rules[ret->count++] = (struct nsp_offload_rule){
            .filter = essential,
            .does = NSP_OFFLOAD_ASK,
        };
    }
    for (uint32_t i = 0; i < count && ret->complete; i++) {
        const struct nsp_policy_rule *rule = nsp_policy_get_rule(policy, i);

        if (!rule->disabled)
            ret->complete = add_rule(ret, &chosen, policy, i);
        if (!rule->disabled && !rule->filter && !rule->go_on &&
            rule->apply == NSP_APPLY_BOTH)
            break; /* No packet comes to the rules after it. */
    }
    /* A last rule for all the rest, to be asked about, is the engine. */
    if (ret->count > 0 && !ret->rules[ret->count - 1].filter &&
        ret->rules[ret->count - 1].does == NSP_OFFLOAD_ASK &&
        ret->rules[ret->count - 1].apply == NSP_APPLY_BOTH)
        ret->complete = false;
    if (!ret->complete)
        trim(ret);
    ret->flows = !ret->complete && nsp_policy_flow_plan(policy);
}

/* --- Lifetime ------------------------------------------------------------- */

/* Where the kernel cannot share them, limits are the engine's. */
static void
share_buckets(struct nsp_offload *offload)
{
    uint64_t *words;

    _Static_assert(sizeof(struct nsp_shared_bucket) == sizeof *words,
                   "a bucket is a word");
    if (offload->same_clock && offload->ops->share_buckets &&
        offload->ops->share_buckets(offload->io, NSP_SLOTS_MAX, &words) == 0)
        offload->buckets = (struct nsp_shared_bucket *)words;
}

int
nsp_offload_init(struct nsp_offload *offload, const struct nsp_config *config,
                 const struct nsp_io_ops *ops, struct nsp_io *io)
{
    *offload = (struct nsp_offload){ .io = io,
                                     .log = config->user.log,
                                     .allocator = config->allocator };
    if (!ops->offload || config->user.callback || config->user.no_offload)
        return 0;
    offload->same_clock = config->clock.now_ns == nsp_os_monotonic_ns;
    if (nsp_offload_compile_essential(&config->allocator,
                                      &offload->essential) != NSP_OK)
        return -ENOMEM;
    offload->last =
        nsp_alloc(&config->allocator, NSP_SLOTS_MAX, sizeof *offload->last);
    offload->flow_entry = nsp_alloc(&config->allocator, NSP_SLOTS_MAX,
                                    sizeof *offload->flow_entry);
    if (!offload->last || !offload->flow_entry ||
        nsp_gate_create(&config->allocator, &offload->gate) < 0)
        return -ENOMEM;
    offload->ops = ops;
    share_buckets(offload);
    return 0;
}

void
nsp_offload_fini(struct nsp_offload *offload)
{
    nsp_filter_destroy(offload->essential);
    nsp_gate_destroy(offload->gate);
    if (offload->last)
        nsp_release(&offload->allocator, offload->last);
    if (offload->flow_entry)
        nsp_release(&offload->allocator, offload->flow_entry);
    *offload = (struct nsp_offload){ .ops = NULL };
}

/* --- Changing ------------------------------------------------------------- */

static void
add_counters(struct nsp_offload_counters *to,
             const struct nsp_offload_counters *from)
{
    to->hit_pkts += from->hit_pkts;
    to->hit_bytes += from->hit_bytes;
    to->last_hit_ns = nsp_max_u64(to->last_hit_ns, from->last_hit_ns);
    to->passed_pkts += from->passed_pkts;
    to->passed_bytes += from->passed_bytes;
    to->dropped_pkts += from->dropped_pkts;
    to->dropped_bytes += from->dropped_bytes;
    to->limited_pkts += from->limited_pkts;
    to->limited_bytes += from->limited_bytes;
}

void
nsp_offload_begin_rule(struct nsp_offload *offload, uint32_t slot)
{
    if (!offload->ops)
        return;
    nsp_gate_lock(offload->gate);
    offload->last[slot] = (struct nsp_offload_counters){ 0 };
    if (offload->buckets)
        atomic_store(&offload->buckets[slot].full_ns, 0);
    nsp_gate_unlock(offload->gate);
}

static void
warn(const struct nsp_offload *offload, int err)
{
    nsp_log_write(
        &offload->log, NSP_LOG_WARNING,
        "the kernel decides nothing by rules: it refuses them (error %d)",
        -err);
}

/* Keeps what the rules before have counted. */
static void
keep(struct nsp_offload *offload, const struct nsp_offload_counters last[])
{
    const struct nsp_offload_counters *flows = last + offload->count + 1;

    for (uint32_t i = 0; i <= offload->count + offload->flow_rules; i++)
        add_counters(&offload->last_all, &last[i]);
    for (uint32_t i = 0; i < offload->count; i++)
        if (offload->slots[i] != NSP_SLOT_NONE)
            add_counters(&offload->last[offload->slots[i]], &last[i]);
    for (uint32_t slot = 0; slot < NSP_SLOTS_MAX; slot++)
        if (offload->flow_rules > 0 && offload->flow_entry[slot] != 0)
            add_counters(&offload->last[slot],
                         &flows[offload->flow_entry[slot] - 1]);
}

/* Under the gate. Returns 0 or a negative errno: nothing has then changed. */
static int
replace(struct nsp_offload *offload, const struct nsp_offload_request *request)
{
    struct nsp_offload_counters *last =
        nsp_alloc(&offload->allocator, offload->count + 1 + offload->flow_rules,
                  sizeof *last);
    int err =
        last ? offload->ops->offload(offload->io, request, last) : -ENOMEM;

    if (err == 0) {
        if (offload->active)
            keep(offload, last);
        offload->count = offload->flow_rules = 0;
        offload->active =
            request->count > 0 || request->complete || request->flow_rules > 0;
    }
    if (last)
        nsp_release(&offload->allocator, last);
    return err;
}

/* Notes whose the counters are. */
static void
remember(struct nsp_offload *offload, const struct nsp_snapshot *snapshot,
         const struct nsp_offload_list *list, uint32_t flow_rules)
{
    offload->count = list->count;
    for (uint32_t i = 0; i < list->count; i++)
        offload->slots[i] = list->indices[i] == NSP_RULE_NONE
                                ? NSP_SLOT_NONE
                                : snapshot->rule_slots[list->indices[i]];
    offload->flow_rules = flow_rules;
    memset(offload->flow_entry, 0,
           NSP_SLOTS_MAX * sizeof offload->flow_entry[0]);
    for (uint32_t i = 0; i < flow_rules; i++)
        offload->flow_entry[snapshot->rule_slots[i]] = i + 1;
}

void
nsp_offload_apply(struct nsp_offload *offload,
                  const struct nsp_snapshot *snapshot,
                  const struct nsp_filter *start)
{
    static const struct nsp_offload_request nothing;
    struct nsp_offload_request request;
    struct nsp_offload_list list;
    int err;

    if (!offload->ops)
        return;
    nsp_offload_choose(snapshot->policy, start, offload->essential,
                       offload->buckets != NULL, &list);
    for (uint32_t i = 0; i < list.count; i++)
        if (list.indices[i] != NSP_RULE_NONE)
            list.rules[i].bucket.index = snapshot->rule_slots[list.indices[i]];
    request = (struct nsp_offload_request){
        .rules = list.rules,
        .count = list.count,
        .complete = list.complete,
        .generation = snapshot->generation,
    };
    if (list.flows && offload->ops->offload_flows)
        request.flow_rules = nsp_policy_rule_count(snapshot->policy);
    nsp_gate_lock(offload->gate);
    err = replace(offload, &request);
    if (err == 0)
        remember(offload, snapshot, &list, request.flow_rules);
    else if (err != -EOPNOTSUPP)
        warn(offload, err);
    /* The rules before must not outlive their policy. */
    if (err < 0 && offload->active)
        (void)!replace(offload, &nothing);
    nsp_gate_unlock(offload->gate);
}

/* --- Reading -------------------------------------------------------------- */

static uint64_t
pkts_of(const struct nsp_offload_counters *c)
{
    return c->passed_pkts + c->dropped_pkts + c->limited_pkts;
}

static uint64_t
bytes_of(const struct nsp_offload_counters *c)
{
    return c->passed_bytes + c->dropped_bytes + c->limited_bytes;
}

void
nsp_offload_add_stats(struct nsp_offload *offload, struct nsp_stats *to)
{
    struct nsp_offload_counters all, one;

    if (!offload->ops)
        return;
    nsp_gate_lock(offload->gate);
    all = offload->last_all;
    for (uint32_t i = 0;
         offload->active && i <= offload->count + offload->flow_rules; i++) {
        offload->ops->read_offload(offload->io, i, &one);
        add_counters(&all, &one);
    }
    nsp_gate_unlock(offload->gate);
    to->in_pkts += pkts_of(&all);
    to->in_bytes += bytes_of(&all);
    to->matched_pkts += pkts_of(&all);
    to->delivered_pkts += all.passed_pkts;
    to->delivered_bytes += all.passed_bytes;
    to->dropped_pkts[NSP_DROP_RULE] += all.dropped_pkts;
    to->dropped_bytes[NSP_DROP_RULE] += all.dropped_bytes;
    to->dropped_pkts[NSP_DROP_LIMIT] += all.limited_pkts;
    to->dropped_bytes[NSP_DROP_LIMIT] += all.limited_bytes;
    to->kernel_decided_pkts += pkts_of(&all);
}

void
nsp_offload_add_rule_stats(struct nsp_offload *offload, uint32_t slot,
                           struct nsp_rule_stats *to)
{
    struct nsp_offload_counters all, one;

    if (!offload->ops)
        return;
    nsp_gate_lock(offload->gate);
    all = offload->last[slot];
    for (uint32_t i = 0; offload->active && i < offload->count; i++) {
        if (offload->slots[i] != slot)
            continue;
        offload->ops->read_offload(offload->io, i, &one);
        add_counters(&all, &one);
    }
    if (offload->active && offload->flow_rules > 0 &&
        offload->flow_entry[slot] != 0) {
        offload->ops->read_offload(
            offload->io, offload->count + offload->flow_entry[slot], &one);
        add_counters(&all, &one);
    }
    nsp_gate_unlock(offload->gate);
    to->hit_pkts += all.hit_pkts;
    to->hit_bytes += all.hit_bytes;
    if (offload->same_clock)
        to->last_hit_ns = nsp_max_u64(to->last_hit_ns, all.last_hit_ns);
    to->in_pkts += pkts_of(&all);
    to->in_bytes += bytes_of(&all);
    to->delivered_pkts += all.passed_pkts;
    to->delivered_bytes += all.passed_bytes;
    to->dropped_pkts[NSP_DROP_RULE] += all.dropped_pkts;
    to->dropped_pkts[NSP_DROP_LIMIT] += all.limited_pkts;
    to->dropped_bytes += all.dropped_bytes + all.limited_bytes;
}
