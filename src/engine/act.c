#include "engine/act.h"

#include "engine/impair.h"
#include "engine/outlet.h"
#include "engine/stages.h"

/* Room for a stage of each rule that holds, and one of the callback's. */
_Static_assert(NSP_STAGES_PER_PKT_MAX + 1 == NSP_PKT_STAGES_MAX,
               "room for every stage");

static void
count_hit(struct nsp_worker *w, const struct nsp_pkt *pkt,
          struct nsp_rule_state *state)
{
    struct nsp_rule_counters *counted = nsp_outlet_counters(w, &state->tally);

    counted->hit_pkts++;
    counted->hit_bytes += pkt->charged_bytes;
    counted->last_hit_ns = w->now_ns;
}

/* Counts 'pkt' as decided by the rule it names: in this iteration, before it
 * is held, delivered or dropped. */
static void
count_decided(struct nsp_worker *w, const struct nsp_pkt *pkt)
{
    struct nsp_rule_counters *counted = nsp_outlet_rule_counters(w, pkt);

    if (!counted)
        return;
    counted->in_pkts++;
    counted->in_bytes += pkt->charged_bytes;
}

static void
end_here(struct nsp_worker *w, struct nsp_pkt *pkt, enum nsp_drop_reason reason)
{
    count_decided(w, pkt);
    if (reason == NSP_DROP_REJECT)
        nsp_outlet_reject(w, pkt);
    else
        nsp_outlet_drop(w, pkt, reason);
}

static void
report(struct nsp_worker *w, const struct nsp_pkt *pkt, const char *rule,
       enum nsp_event_kind kind, uint32_t bytes_max)
{
    const struct nsp_event event = {
        .kind = (uint8_t)kind,
        .direction = pkt->direction,
        .hook = pkt->hook,
        .link = pkt->link,
        .flags = pkt->flags,
        .in_ifindex = pkt->in_ifindex,
        .out_ifindex = pkt->out_ifindex,
        .wire_bytes = pkt->wire_bytes,
        .cap_bytes = nsp_min_u32(pkt->cap_bytes, bytes_max),
        .at_ns = pkt->arrival_ns,
        .rule = rule,
        .data = pkt->data,
    };

    if (!nsp_event_ring_push(w->events, &event))
        w->counted.events_lost++;
}

/* Whether 'pkt' conforms to a limit of its rule, which all workers share. */
static bool
conforms(struct nsp_worker *w, const struct nsp_pkt *pkt,
         const struct nsp_limit *limit, enum nsp_rule_limit_kind kind)
{
    struct nsp_rule_limit *own =
        &nsp_state_rule(&w->states, pkt->rule)->limits[kind];
    struct nsp_rule_limit *first;

    if (w->peer_count == 1)
        return nsp_policer_conforms(&own->policer, limit, w->now_ns,
                                    pkt->charged_bytes);
    first = &nsp_state_rule(&w->peers[0].states, pkt->rule)->limits[kind];
    return nsp_lease_conforms(&own->lease, &first->bucket, limit, w->peer_count,
                              w->now_ns, pkt->charged_bytes);
}

/* Reports 'pkt' as 'rule' asks. */
static void
log_and_capture(struct nsp_worker *w, const struct nsp_pkt *pkt,
                const struct nsp_policy_rule *rule)
{
    const struct nsp_limit limit = { .unit = NSP_LIMIT_PPS,
                                     .rate = rule->log_pps,
                                     .burst = rule->log_pps };

    if (rule->log_pps != 0 && conforms(w, pkt, &limit, NSP_RULE_LOGS))
        report(w, pkt, rule->name, NSP_EVENT_LOG, NSP_EVENT_LOG_BYTES);
    if (rule->capture)
        report(w, pkt, rule->name, NSP_EVENT_CAPTURE, NSP_EVENT_CAPTURE_BYTES);
}

/* Takes 'pkt' through the effects and adds the stage that they and the class
 * make. Returns whether it is still there. */
static bool
impair(struct nsp_worker *w, struct nsp_pkt *pkt, uint32_t index,
       struct nsp_rule_state *state, struct nsp_changes *changes)
{
    const struct nsp_snapshot *snapshot = w->snapshot;
    uint32_t class_index =
        nsp_policy_get_rule(snapshot->policy, index)->class_index;
    const struct nsp_effects_plan *plan =
        nsp_ruleset_effects(snapshot->ruleset, index);
    struct nsp_way way = { .enter_ns = pkt->arrival_ns };
    struct nsp_pkt_stage stage = { .rule_slot = snapshot->rule_slots[index],
                                   .class_slot = NSP_SLOT_NONE };
    enum nsp_drop_reason reason;

    if (plan) {
        nsp_effects_state_use(&state->effects, plan, pkt->arrival_ns,
                              w->config->user.seed, state->stream);
        if (!nsp_impair(w, pkt, plan, &state->effects, &state->random, changes,
                        &way, &reason)) {
            end_here(w, pkt, reason);
            return false;
        }
    }
    if (class_index != NSP_CLASS_NONE)
        stage.class_slot = snapshot->class_slots[class_index];
    if (way.enter_ns > pkt->arrival_ns)
        stage.enter_ns = way.enter_ns;
    stage.delay_ns = way.delay_ns;
    stage.windows = way.windows;
    stage.keep_order = way.keep_order;
    nsp_stages_add(pkt, &stage);
    return true;
}

/* Does what rule 'index' says. Returns whether the packet is still there. */
static bool
act_once(struct nsp_worker *w, struct nsp_pkt *pkt, uint32_t index,
         struct nsp_changes *changes)
{
    const struct nsp_policy_rule *rule =
        nsp_policy_get_rule(w->snapshot->policy, index);
    struct nsp_rule_state *state;

    pkt->rule = w->snapshot->rule_slots[index];
    state = nsp_state_rule(&w->states, pkt->rule);
    count_hit(w, pkt, state);
    if (rule->log_pps != 0 || rule->capture)
        log_and_capture(w, pkt, rule);
    if (rule->action != NSP_ACTION_PASS) {
        end_here(w, pkt,
                 rule->action == NSP_ACTION_DROP ? NSP_DROP_RULE
                                                 : NSP_DROP_REJECT);
        return false;
    }
    if (rule->limit.unit != NSP_LIMIT_NONE &&
        !conforms(w, pkt, &rule->limit, NSP_RULE_POLICES)) {
        end_here(w, pkt, NSP_DROP_LIMIT);
        return false;
    }
    if (rule->edits.which != 0)
        nsp_changes_add_edits(changes, &rule->edits);
    if (rule->has_effects || rule->class_index != NSP_CLASS_NONE)
        return impair(w, pkt, index, state, changes);
    return true;
}

void
nsp_act(struct nsp_worker *w, struct nsp_pkt *pkt, const uint32_t rules[],
        uint32_t count)
{
    const struct nsp_pkt_stage extra = { .class_slot = NSP_SLOT_NONE,
                                         .rule_slot = NSP_SLOT_NONE,
                                         .delay_ns = pkt->extra_delay_ns };
    struct nsp_changes changes;

    nsp_changes_init(&changes);
    pkt->stage_count = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!act_once(w, pkt, rules[i], &changes))
            return;
    count_decided(w, pkt);
    nsp_changes_apply(&changes, pkt);
    nsp_stages_add(pkt, &extra);
    nsp_stages_begin(w, pkt);
}
