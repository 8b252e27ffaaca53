#include "engine/stages.h"

#include "engine/outlet.h"

/* What is said of packets that leave a queue otherwise than when they are due.
 */
#define DUE_IN_DRAIN UINT64_C(0)
#define DUE_REFUSED  NSP_TIME_NEVER

/* Classes that get a new rate in an iteration: 10 us or so of cache misses. */
#define ADOPTED_AT_ONCE 16u

static struct nsp_pkt *
pkt_of_timer(struct nsp_wheel_node *node)
{
    return NSP_CONTAINER_OF(node, struct nsp_pkt, timer);
}

/* Stages may outlast the rule in the policy. Its slot must not become another's
 * while one still asks for its state. */
static bool
asks_rule(const struct nsp_pkt_stage *stage)
{
    return stage->windows || stage->keep_order;
}

static void
count_stages(struct nsp_worker *w, const struct nsp_pkt *pkt, uint64_t step)
{
    for (uint32_t i = pkt->stage; i < pkt->stage_count; i++) {
        struct nsp_rule_state *rule;

        if (!asks_rule(&pkt->stages[i]))
            continue;
        rule = nsp_state_rule(&w->states, pkt->stages[i].rule_slot);
        nsp_outlet_counters(w, &rule->tally)->stages += step;
    }
}

static void
begin_to_hold(struct nsp_worker *w, const struct nsp_pkt *pkt)
{
    nsp_outlet_count_held(w, pkt);
    count_stages(w, pkt, 1);
}

static void
end_hold(struct nsp_worker *w, const struct nsp_pkt *pkt)
{
    nsp_outlet_count_unheld(w, pkt);
    count_stages(w, pkt, (uint64_t)-1);
}

/* --- Rates of a new policy ------------------------------------------------ */

static void
adopt(struct nsp_worker *w, uint32_t index)
{
    const struct nsp_snapshot *snapshot = w->snapshot;
    struct nsp_class_state *class_ =
        nsp_state_class(&w->states, snapshot->class_slots[index]);

    nsp_state_set_link(class_, w->taken_ns,
                       &nsp_policy_get_class(snapshot->policy, index)->link,
                       nsp_ruleset_rate_plan(snapshot->ruleset, index));
}

void
nsp_stages_adopt(struct nsp_worker *w)
{
    uint32_t count = nsp_policy_class_count(w->snapshot->policy);
    uint32_t end = count;

    if (!w->virtual_time) /* Where nobody waits. */
        end = nsp_min_u32(count, w->adopted + ADOPTED_AT_ONCE);
    for (; w->adopted < end; w->adopted++)
        adopt(w, w->adopted);
    w->adopts = w->adopted < count;
}

/* Before the queue of a class is touched. */
static void
adopt_early(struct nsp_worker *w, const struct nsp_class_state *class_)
{
    const struct nsp_snapshot *snapshot = w->snapshot;
    uint32_t index = NSP_CLASS_NONE;

    if (class_->slot < snapshot->class_at_count)
        index = snapshot->class_at[class_->slot];
    if (index != NSP_CLASS_NONE && index >= w->adopted)
        adopt(w, index);
}

/* --- Holding ------------------------------------------------------------- */

static void
hold_until(struct nsp_worker *w, struct nsp_pkt *pkt, uint64_t due_ns)
{
    pkt->timer.due_ns = nsp_min_u64(due_ns, NSP_TIME_NEVER - 1);
    nsp_wheel_add(w->delays, &pkt->timer);
}

/* When the windows of the stage's rule let go what comes at 'from_ns'. Packets
 * that come late from a queue find what later ones have found. */
static uint64_t
pass_windows(struct nsp_effects_state *state, const struct nsp_pkt *pkt,
             uint64_t from_ns)
{
    struct nsp_windows_state *windows = &state->windows[pkt->direction];

    windows->last_ns = nsp_max_u64(windows->last_ns, from_ns);
    return nsp_window_depart_ns(&state->window, &windows->past,
                                windows->last_ns, pkt->charged_bytes,
                                &windows->random);
}

/* The last part of 'stage', which is the packet's and asks 'state', its rule's.
 */
static NSP_ALWAYS_INLINE void
hold_by_rule(struct nsp_worker *w, struct nsp_pkt *pkt,
             const struct nsp_pkt_stage *stage, struct nsp_rule_state *state,
             uint64_t from_ns)
{
    uint64_t due_ns = from_ns;

    if (stage->windows)
        due_ns = pass_windows(&state->effects, pkt, from_ns);
    due_ns = nsp_add_sat_u64(due_ns, stage->delay_ns);
    if (stage->keep_order) {
        state->left_ns = nsp_max_u64(state->left_ns, due_ns);
        due_ns = state->left_ns;
    }
    hold_until(w, pkt, due_ns);
}

/* The last part of the packet's stage. */
static void
hold_in_delay(struct nsp_worker *w, struct nsp_pkt *pkt, uint64_t from_ns)
{
    const struct nsp_pkt_stage *stage = &pkt->stages[pkt->stage];

    if (asks_rule(stage))
        hold_by_rule(w, pkt, stage,
                     nsp_state_rule(&w->states, stage->rule_slot), from_ns);
    else
        hold_until(w, pkt, nsp_add_sat_u64(from_ns, stage->delay_ns));
}

/* Holds a packet whose only stage is a delay line, and windows in front of it.
 */
static inline void
begin_in_delay(struct nsp_worker *w, struct nsp_pkt *pkt)
{
    const struct nsp_pkt_stage *stage = &pkt->stages[0];
    struct nsp_rule_state *rule;

    nsp_outlet_count_held(w, pkt);
    if (!asks_rule(stage)) {
        hold_until(w, pkt, nsp_add_sat_u64(pkt->arrival_ns, stage->delay_ns));
        return;
    }
    rule = nsp_state_rule(&w->states, stage->rule_slot);
    nsp_outlet_counters(w, &rule->tally)->stages++;
    hold_by_rule(w, pkt, stage, rule, pkt->arrival_ns);
}

static void
arm(struct nsp_worker *w, struct nsp_class_queue *queue)
{
    uint64_t due_ns = nsp_bottleneck_due_ns(queue->bottleneck);

    queue->armed = due_ns != NSP_TIME_NEVER;
    if (!queue->armed)
        return;
    queue->timer.due_ns = due_ns;
    nsp_wheel_add(w->serialisers, &queue->timer);
}

/* The worker that has the queue of the packet's class. */
static uint32_t
queue_owner(const struct nsp_worker *w, const struct nsp_pkt *pkt)
{
    uint32_t slot = pkt->stages[pkt->stage].class_slot;

    return w->peer_count == 1 ? w->queue
                              : (slot + pkt->direction) % w->peer_count;
}

static struct nsp_rule_counters *
class_counters(struct nsp_worker *w, const struct nsp_pkt *pkt)
{
    uint32_t slot = pkt->stages[pkt->stage].class_slot;

    return nsp_outlet_counters(w, &nsp_state_class(&w->states, slot)->tally);
}

/* Drops a packet of this worker's that the queue of its class had no room for.
 */
static void
refuse(struct nsp_worker *w, struct nsp_pkt *pkt)
{
    struct nsp_rule_counters *counted = class_counters(w, pkt);

    counted->queued_pkts--;
    counted->queued_bytes -= pkt->charged_bytes;
    counted->dropped_pkts[NSP_DROP_QUEUE_FULL]++;
    counted->dropped_bytes += pkt->charged_bytes;
    end_hold(w, pkt);
    nsp_outlet_drop(w, pkt, NSP_DROP_QUEUE_FULL);
}

/* Puts 'pkt', of any worker, into the queue of its class, which is here. */
static void
enqueue(struct nsp_worker *w, struct nsp_pkt *pkt)
{
    uint32_t slot = pkt->stages[pkt->stage].class_slot;
    struct nsp_class_state *class_ = nsp_state_class(&w->states, slot);
    struct nsp_class_queue *queue = &class_->queues[pkt->direction];
    struct nsp_pkt *victim;

    if (nsp_unlikely(w->adopts))
        adopt_early(w, class_);
    victim = nsp_bottleneck_enqueue(queue->bottleneck, w->now_ns, pkt);
    while (victim) {
        struct nsp_wheel_node *next = victim->timer.next;

        if (victim->queue == w->queue) {
            refuse(w, victim);
        } else {
            victim->timer.due_ns = DUE_REFUSED;
            nsp_outbox_add(&w->outboxes[victim->queue], victim);
        }
        victim = next ? pkt_of_timer(next) : NULL;
    }
    if (!queue->armed)
        arm(w, queue);
}

/* In virtual time, where nobody counts what is on the wire at this moment,
 * sends a packet that finds its link idle past the queue: one wait until it is
 * through link and delay line, instead of two. What has to see packets leave
 * the link in order does not let them. Returns whether it has gone. */
static bool
pass_queue(struct nsp_worker *w, struct nsp_pkt *pkt,
           struct nsp_rule_counters *counted)
{
    const struct nsp_pkt_stage *stage = &pkt->stages[pkt->stage];
    struct nsp_class_state *class_ =
        nsp_state_class(&w->states, stage->class_slot);

    if (!w->virtual_time || asks_rule(stage) ||
        !nsp_bottleneck_pass(class_->queues[pkt->direction].bottleneck,
                             w->now_ns, pkt))
        return false;
    counted->delivered_pkts++;
    counted->delivered_bytes += pkt->charged_bytes;
    hold_until(w, pkt, nsp_add_sat_u64(pkt->timer.due_ns, stage->delay_ns));
    return true;
}

static void
hold_in_queue(struct nsp_worker *w, struct nsp_pkt *pkt)
{
    struct nsp_rule_counters *counted = class_counters(w, pkt);
    uint32_t owner = queue_owner(w, pkt);

    counted->in_pkts++;
    counted->in_bytes += pkt->charged_bytes;
    if (owner == w->queue && pass_queue(w, pkt, counted))
        return;
    counted->queued_pkts++;
    counted->queued_bytes += pkt->charged_bytes;
    if (owner == w->queue)
        enqueue(w, pkt);
    else
        nsp_outbox_add(&w->outboxes[owner], pkt);
}

static void
end_stage(struct nsp_worker *w, struct nsp_pkt *pkt)
{
    const struct nsp_pkt_stage *stage = &pkt->stages[pkt->stage];

    if (asks_rule(stage)) {
        struct nsp_rule_state *rule =
            nsp_state_rule(&w->states, stage->rule_slot);

        nsp_outlet_counters(w, &rule->tally)->stages--;
    }
    pkt->stage++;
}

/* Enters the packet's stage at 'from_ns', and those after it as long as nothing
 * holds it up; then delivers it. */
static void
enter_stage(struct nsp_worker *w, struct nsp_pkt *pkt, uint64_t from_ns)
{
    while (pkt->stage < pkt->stage_count) {
        struct nsp_pkt_stage *stage = &pkt->stages[pkt->stage];

        if (stage->enter_ns > from_ns) {
            stage->waited = true;
            hold_until(w, pkt, stage->enter_ns);
            return;
        }
        stage->enter_ns = 0;
        if (stage->class_slot != NSP_SLOT_NONE) {
            hold_in_queue(w, pkt);
            return;
        }
        if (stage->delay_ns > 0 || stage->windows) {
            hold_in_delay(w, pkt, from_ns);
            return;
        }
        end_stage(w, pkt);
    }
    nsp_outlet_count_unheld(w, pkt);
    nsp_outlet_deliver(w, pkt);
}

/* Says whether 'pkt' can be made to wait; if not it has been dropped. */
static bool
can_hold(struct nsp_worker *w, struct nsp_pkt *pkt)
{
    if (pkt->hook != 0 && (w->holdable & pkt->hook) == 0) {
        nsp_outlet_drop(w, pkt, NSP_DROP_CANNOT_HOLD);
        return false;
    }
    if (w->counted.queued_pkts >= w->config->user.max_held_pkts) {
        nsp_outlet_drop(w, pkt, NSP_DROP_HELD_FULL);
        return false;
    }
    if ((pkt->flags & (NSP_PKT_MODIFIED | NSP_PKT_COPY)) == NSP_PKT_MODIFIED &&
        w->ops->retain && w->ops->retain(w->io, w->queue, pkt) < 0) {
        nsp_outlet_drop(w, pkt, NSP_DROP_NO_BUFFER);
        return false;
    }
    return true;
}

/* Whether the packet goes into the delay line now, for its only stage. */
static inline bool
has_delay_alone(const struct nsp_pkt *pkt)
{
    return pkt->stage_count == 1 && pkt->stages[0].enter_ns == 0 &&
           pkt->stages[0].class_slot == NSP_SLOT_NONE;
}

void
nsp_stages_begin(struct nsp_worker *w, struct nsp_pkt *pkt)
{
    pkt->stage = 0;
    if (pkt->stage_count == 0) {
        nsp_outlet_deliver(w, pkt);
        return;
    }
    if (!can_hold(w, pkt))
        return;
    if (has_delay_alone(pkt)) {
        begin_in_delay(w, pkt);
        return;
    }
    begin_to_hold(w, pkt);
    enter_stage(w, pkt, pkt->arrival_ns);
}

/* --- Letting go ---------------------------------------------------------- */

static void
deliver_now(struct nsp_worker *w, struct nsp_pkt *pkt)
{
    end_hold(w, pkt);
    nsp_outlet_deliver(w, pkt);
}

static void
leave_stage(struct nsp_worker *w, struct nsp_pkt *pkt)
{
    end_stage(w, pkt);
    enter_stage(w, pkt, pkt->timer.due_ns);
}

/* Moves on a packet of this worker's that has left the queue of its class. */
static void
leave_queue(struct nsp_worker *w, struct nsp_pkt *pkt)
{
    struct nsp_rule_counters *counted = class_counters(w, pkt);

    counted->queued_pkts--;
    counted->queued_bytes -= pkt->charged_bytes;
    counted->delivered_pkts++;
    counted->delivered_bytes += pkt->charged_bytes;
    if (pkt->timer.due_ns == DUE_IN_DRAIN) {
        deliver_now(w, pkt);
        return;
    }
    if (pkt->stages[pkt->stage].delay_ns > 0 || pkt->stages[pkt->stage].windows)
        hold_in_delay(w, pkt, pkt->timer.due_ns);
    else
        leave_stage(w, pkt);
}

/* What the wheel lets go has waited before its stage, or passed it. Counts what
 * is delivered in '*left'. */
static inline void
let_go(struct nsp_worker *w, struct nsp_pkt *pkt, struct nsp_unheld *left)
{
    if (pkt->stages[pkt->stage].enter_ns != 0) {
        enter_stage(w, pkt, pkt->timer.due_ns);
        return;
    }
    end_stage(w, pkt);
    if (pkt->stage < pkt->stage_count) {
        enter_stage(w, pkt, pkt->timer.due_ns);
        return;
    }
    nsp_unheld_add(left, w, pkt);
    nsp_outlet_deliver(w, pkt);
}

/* Lets 'pkts' leave, each on the worker that it belongs to. */
static void
leave_to_owners(struct nsp_worker *w, struct nsp_pkt *const pkts[], uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (pkts[i]->queue == w->queue)
            leave_queue(w, pkts[i]);
        else
            nsp_outbox_add(&w->outboxes[pkts[i]->queue], pkts[i]);
}

static uint32_t
serve_queue(struct nsp_worker *w, struct nsp_class_queue *queue)
{
    struct nsp_pkt *pkts[NSP_BURST_MAX];
    uint32_t n;

    if (nsp_unlikely(w->adopts))
        adopt_early(w, queue->of);
    n = nsp_bottleneck_dequeue(queue->bottleneck, w->now_ns, pkts,
                               NSP_BURST_MAX);
    /* Before anything else comes into this queue again. */
    arm(w, queue);
    leave_to_owners(w, pkts, n);
    return n;
}

uint32_t
nsp_stages_receive(struct nsp_worker *w)
{
    struct nsp_pkt *pkt;
    uint32_t n = 0;

    if (w->peer_count == 1) /* Nobody sends. */
        return 0;
    pkt = nsp_mailbox_take(&w->mailbox);
    while (pkt) {
        struct nsp_pkt *next = nsp_mailbox_next(pkt);

        if (pkt->queue != w->queue)
            enqueue(w, pkt);
        else if (pkt->timer.due_ns == DUE_REFUSED)
            refuse(w, pkt);
        else
            leave_queue(w, pkt);
        pkt = next;
        n++;
    }
    return n;
}

void
nsp_stages_post(struct nsp_worker *w)
{
    bool wakes = false;

    if (w->peer_count == 1)
        return;
    for (uint32_t q = 0; q < w->peer_count; q++)
        wakes |= nsp_outbox_post(&w->outboxes[q], &w->peers[q].mailbox);
    if (wakes && w->ops->wake)
        w->ops->wake(w->io);
}

/* Serialisers first: what they let go may be due at the end of its delay, too.
 */
uint32_t
nsp_stages_release_due(struct nsp_worker *w)
{
    struct nsp_wheel_node *due[NSP_BURST_MAX];
    struct nsp_unheld left = { .rule = NSP_RULE_NONE };
    uint32_t n, moved = 0;

    if (!w->delays)
        return 0;
    n = nsp_wheel_expire(w->serialisers, w->now_ns, due, NSP_BURST_MAX);
    for (uint32_t i = 0; i < n; i++)
        moved += serve_queue(
            w, NSP_CONTAINER_OF(due[i], struct nsp_class_queue, timer));

    n = nsp_wheel_expire(w->delays, w->now_ns, due, NSP_BURST_MAX);
    for (uint32_t i = 0; i < n; i++)
        let_go(w, pkt_of_timer(due[i]), &left);
    nsp_unheld_count(&left, w);
    return moved + n;
}

/* --- Draining ------------------------------------------------------------ */

static void
drain_queue(struct nsp_worker *w, struct nsp_class_queue *queue)
{
    struct nsp_pkt *pkts[NSP_BURST_MAX];
    uint32_t n;

    while ((n = nsp_bottleneck_flush(queue->bottleneck, pkts, NSP_BURST_MAX)) >
           0) {
        for (uint32_t i = 0; i < n; i++)
            pkts[i]->timer.due_ns = DUE_IN_DRAIN;
        leave_to_owners(w, pkts, n);
    }
}

static void
drain_classes(struct nsp_worker *w)
{
    for (uint32_t c = 0; c < NSP_STATE_CHUNKS; c++)
        for (uint32_t i = 0; w->states.classes[c] && i < NSP_STATE_CHUNK; i++)
            for (uint32_t d = 0; d < NSP_DIRECTIONS; d++)
                if (w->states.classes[c][i].queues[d].bottleneck)
                    drain_queue(w, &w->states.classes[c][i].queues[d]);
}

void
nsp_stages_drain(struct nsp_worker *w)
{
    struct nsp_wheel_node *due[NSP_BURST_MAX];
    struct nsp_wheel_node *waiting = NULL, **last = &waiting;
    uint32_t n;

    if (!w->delays)
        return;
    /* Delay lines lie behind the queues, so their packets are the older; those
     * that wait to enter a queue are the younger. */
    while ((n = nsp_wheel_expire(w->delays, NSP_TIME_NEVER - 1, due,
                                 NSP_BURST_MAX)) > 0) {
        for (uint32_t i = 0; i < n; i++) {
            struct nsp_pkt *pkt = pkt_of_timer(due[i]);

            if (pkt->stages[pkt->stage].enter_ns != 0) {
                *last = due[i];
                last = &due[i]->next;
            } else {
                deliver_now(w, pkt);
            }
        }
    }
    *last = NULL;
    drain_classes(w);
    while (waiting) {
        struct nsp_pkt *pkt = pkt_of_timer(waiting);

        waiting = waiting->next;
        deliver_now(w, pkt);
    }
}
