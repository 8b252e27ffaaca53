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

static NSP_NEVER_INLINE void
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

/* Whether 'pkt' conforms to a limit of its rule, which all workers share, and
 * the kernel where it decides by rules. */
static bool
conforms(struct nsp_worker *w, const struct nsp_pkt *pkt,
         const struct nsp_limit *limit, enum nsp_rule_limit_kind kind)
{
    struct nsp_rule_limit *own =
        &nsp_state_rule(&w->states, pkt->rule)->limits[kind];
    struct nsp_rule_limit *first;

    if (w->buckets && kind == NSP_RULE_POLICES)
        return nsp_lease_conforms(&own->lease, &w->buckets[pkt->rule], limit, 0,
                                  w->now_ns, pkt->charged_bytes);
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

/* --- Effects -------------------------------------------------------------- */

/* A packet among the rules that act on it. */
struct journey {
    struct nsp_meeting m; /* With the one that acts now. */
    const uint32_t *rules;
    uint32_t count, at;
};

/* Copies of a packet, which go on where they were made. */
struct copies {
    struct journey journey; /* As each begins it. */
    uint64_t enter_ns, spacing_ns;
    struct nsp_wheel_node *first; /* Of their timers. */
};

/* Takes copies of the packet for later; it has passed its rule's gates. */
static NSP_NEVER_INLINE void
set_copies_aside(const struct journey *j, uint32_t count, struct copies *ret)
{
    struct nsp_wheel_node **end = &ret->first;

    ret->journey = *j;
    ret->enter_ns = j->m.way.enter_ns;
    ret->spacing_ns = j->m.plan->duplicate.spacing_ns;
    for (uint32_t i = 0; i < count; i++) {
        struct nsp_pkt *copy = nsp_outlet_copy(j->m.w, j->m.pkt);

        if (!copy)
            continue;
        *end = &copy->timer;
        end = &copy->timer.next;
    }
    *end = NULL;
}

/* Whether the way through the effects is a delay at most. */
static bool
is_delay(const struct nsp_way *way, const struct nsp_pkt *pkt)
{
    return way->enter_ns <= pkt->arrival_ns && !way->windows &&
           !way->keep_order;
}

/* Adds the stage that the way through the effects and the class of the rule
 * make. */
static NSP_NEVER_INLINE void
add_stage(const struct nsp_worker *w, struct nsp_pkt *pkt, uint32_t class_index,
          const struct nsp_way *way)
{
    struct nsp_pkt_stage *stage;

    stage = nsp_stages_next(pkt);
    stage->enter_ns = way->enter_ns > pkt->arrival_ns ? way->enter_ns : 0;
    stage->delay_ns = way->delay_ns;
    stage->rule_slot = pkt->rule;
    stage->class_slot = class_index == NSP_CLASS_NONE
                            ? NSP_SLOT_NONE
                            : w->snapshot->class_slots[class_index];
    stage->windows = way->windows;
    stage->keep_order = way->keep_order;
    nsp_stages_add(pkt);
}

/* The way through a class alone. */
static const struct nsp_way at_once = { .enter_ns = 0 };

/* Does not begin the way. */
static NSP_ALWAYS_INLINE void
meet_plan(struct nsp_meeting *m, const struct nsp_effects_plan *plan)
{
    m->plan = plan;
    m->state = &m->rule->effects;
    m->random = m->w->virtual_time && plan->draws ? NULL : &m->rule->random;
    if (nsp_unlikely(plan->identity != m->state->identity))
        nsp_effects_state_begin(m->state, plan, m->pkt->arrival_ns,
                                m->w->config->user.seed, m->rule->stream);
}

/* The packet enters at 'enter_ns'. */
static NSP_ALWAYS_INLINE void
begin_meeting(struct nsp_meeting *m, const struct nsp_effects_plan *plan,
              uint64_t enter_ns)
{
    meet_plan(m, plan);
    m->way.enter_ns = enter_ns;
    m->way.delay_ns = 0;
    m->way.windows = m->way.keep_order = false;
}

/* Takes the packet through the effects of its rule behind the gates. */
static NSP_ALWAYS_INLINE void
leave_meeting(struct journey *j, uint32_t class_index)
{
    if ((j->m.plan->set & (NSP_EFFECTS_CHANGES | NSP_EFFECTS_DELAYS)) != 0)
        nsp_impair_leave(&j->m);
    if (class_index != NSP_CLASS_NONE || !is_delay(&j->m.way, j->m.pkt))
        add_stage(j->m.w, j->m.pkt, class_index, &j->m.way);
    else if (j->m.way.delay_ns != 0)
        nsp_stages_add_delay(j->m.pkt, j->m.pkt->rule, j->m.way.delay_ns);
}

/* Takes the packet through a plan that delays alone, in a rule without a class:
 * one stage, or none. */
static NSP_ALWAYS_INLINE void
delay_alone(struct nsp_meeting *m, const struct nsp_effects_plan *plan)
{
    uint64_t delay_ns;

    meet_plan(m, plan);
    delay_ns = nsp_impair_delay_ns(m);
    if (delay_ns == 0)
        return;
    nsp_stages_add_delay(m->pkt, m->pkt->rule, delay_ns);
    if (plan->delay.keep_order)
        nsp_stages_keep_order(m->pkt);
}

/* Takes the packet through the effects of its rule. Copies of it are set aside
 * in 'ret', if it can have any. Returns whether it is still there. */
static NSP_ALWAYS_INLINE bool
impair(struct journey *j, const struct nsp_effects_plan *plan,
       uint32_t class_index, struct copies *ret)
{
    struct nsp_meeting *m = &j->m;

    if (plan->delays_alone && class_index == NSP_CLASS_NONE) {
        delay_alone(m, plan);
        return true;
    }
    begin_meeting(m, plan, m->pkt->arrival_ns);
    if (!nsp_impair_enter(m)) {
        end_here(m->w, m->pkt, m->reason);
        return false;
    }
    if (ret && (plan->set & NSP_EFFECT_DUPLICATE) != 0) {
        uint32_t count = nsp_impair_copies(m);

        if (count > 0)
            set_copies_aside(j, count, ret);
    }
    leave_meeting(j, class_index);
    return true;
}

/* --- Rules ---------------------------------------------------------------- */

/* Does what the rule says beside effects and a class. Returns whether the
 * packet is still there. */
static NSP_NEVER_INLINE bool
judge(struct nsp_worker *w, struct nsp_meeting *m,
      const struct nsp_policy_rule *rule)
{
    struct nsp_pkt *pkt = m->pkt;

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
        nsp_changes_add_edits(&m->changes, &rule->edits);
    return true;
}

/* Does what the rule says. Returns whether the packet is still there. */
static NSP_ALWAYS_INLINE bool
act_once(struct nsp_worker *w, struct journey *j, struct copies *ret)
{
    uint32_t index = j->rules[j->at];
    const struct nsp_policy_rule *rule = &w->snapshot->rules[index];
    struct nsp_pkt *pkt = j->m.pkt;

    pkt->rule = w->snapshot->rule_slots[index];
    j->m.rule = nsp_state_rule(&w->states, pkt->rule);
    count_hit(w, pkt, j->m.rule);
    if (rule->judges && !judge(w, &j->m, rule))
        return false;
    if (rule->has_effects)
        return impair(j, w->snapshot->effects[index], rule->class_index, ret);
    if (rule->class_index != NSP_CLASS_NONE)
        add_stage(w, pkt, rule->class_index, &at_once);
    return true;
}

/* Changes the packet that all rules have judged, and sends it on its way. */
static void
end_journey(struct nsp_worker *w, struct journey *j)
{
    struct nsp_pkt *pkt = j->m.pkt;

    count_decided(w, pkt);
    if (nsp_changes_any(&j->m.changes))
        nsp_changes_apply(&j->m.changes, pkt);
    if (pkt->extra_delay_ns > 0) /* The callback's. */
        nsp_stages_add_delay(pkt, NSP_SLOT_NONE, pkt->extra_delay_ns);
    nsp_stages_begin(w, pkt);
}

/* Takes a copy through what is left of its journey. */
static NSP_NEVER_INLINE void
act_on_copy(struct nsp_worker *w, struct journey *j, uint64_t enter_ns)
{
    uint32_t index = j->rules[j->at];
    bool there = true;

    begin_meeting(&j->m, w->snapshot->effects[index], enter_ns);
    leave_meeting(j, w->snapshot->rules[index].class_index);
    for (j->at++; there && j->at < j->count; j->at++)
        there = act_once(w, j, NULL);
    if (there)
        end_journey(w, j);
}

/* The first is number 'copy' of its packet. Returns the number after the last.
 */
static uint32_t
act_on_copies(struct nsp_worker *w, struct copies *copies, uint32_t copy)
{
    struct nsp_wheel_node *node = copies->first;

    for (uint32_t i = 1; node; i++) {
        struct journey j = copies->journey;

        j.m.pkt = NSP_CONTAINER_OF(node, struct nsp_pkt, timer);
        j.m.copy = copy++;
        node = node->next;
        act_on_copy(w, &j,
                    nsp_add_sat_u64(copies->enter_ns, i * copies->spacing_ns));
    }
    return copy;
}

void
nsp_act(struct nsp_worker *w, struct nsp_pkt *pkt,
        const struct nsp_flow_hit *hit, const uint32_t rules[], uint32_t count)
{
    struct copies copies[NSP_RULES_PER_PKT_MAX];
    struct journey j;
    uint32_t sets = 0, copy = 1;
    bool there = true;

    nsp_meeting_init(&j.m, w, pkt, hit);
    j.rules = rules;
    j.count = count;
    pkt->stage_count = 0;
    for (j.at = 0; there && j.at < count; j.at++) {
        copies[sets].first = NULL;
        there = act_once(w, &j, &copies[sets]);
        sets += copies[sets].first != NULL;
    }
    if (there)
        end_journey(w, &j);
    for (uint32_t i = 0; i < sets; i++)
        copy = act_on_copies(w, &copies[i], copy);
}
