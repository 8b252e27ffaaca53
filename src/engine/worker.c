/* Life of a burst in a worker:
 *
 *     release what is due
 *     rx -> parse -> start filter -> callback -> first rule that matches
 *                         |             |          |     |      |
 *                         |          drop, ...   drop  reject  effects
 *                         |                                     |
 *                         +------------> tx <---- queue, delay -+
 *
 * Counters are published once, at the end of an iteration, when the accounting
 * identity holds again. */
#include "engine/worker.h"

#include <errno.h>
#include <string.h>

#include "engine/outlet.h"

static struct nsp_pkt *
pkt_of_timer(struct nsp_wheel_node *node)
{
    return NSP_CONTAINER_OF(node, struct nsp_pkt, timer);
}

/* --- Stages that hold ---------------------------------------------------- */

static void
hold_in_delay(struct nsp_worker *w, struct nsp_pkt *pkt, uint64_t from_ns)
{
    pkt->timer.due_ns = nsp_min_u64(
        nsp_add_sat_u64(from_ns, pkt->extra_delay_ns), NSP_TIME_NEVER - 1);
    nsp_wheel_add(w->delays, &pkt->timer);
}

static void
arm(struct nsp_worker *w, struct nsp_rule_queue *queue)
{
    uint64_t due_ns = nsp_bottleneck_due_ns(queue->bottleneck);

    queue->armed = due_ns != NSP_TIME_NEVER;
    if (!queue->armed)
        return;
    queue->timer.due_ns = due_ns;
    nsp_wheel_add(w->serialisers, &queue->timer);
}

static void
hold_in_queue(struct nsp_worker *w, struct nsp_rule_queue *queue,
              struct nsp_pkt *pkt)
{
    struct nsp_pkt *victim =
        nsp_bottleneck_enqueue(queue->bottleneck, w->now_ns, pkt);

    while (victim) {
        struct nsp_wheel_node *next = victim->timer.next;

        nsp_outlet_count_unheld(w, victim);
        nsp_outlet_drop(w, victim, NSP_DROP_QUEUE_FULL);
        victim = next ? pkt_of_timer(next) : NULL;
    }
    if (!queue->armed)
        arm(w, queue);
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
    if ((pkt->flags & NSP_PKT_MODIFIED) != 0 && w->ops->retain &&
        w->ops->retain(w->io, w->queue, pkt) < 0) {
        nsp_outlet_drop(w, pkt, NSP_DROP_NO_BUFFER);
        return false;
    }
    return true;
}

static void
apply_effects(struct nsp_worker *w, struct nsp_pkt *pkt,
              struct nsp_rule_state *state)
{
    struct nsp_rule_queue *queue = NULL;

    if (state) {
        if (state->rule->loss_ppm != 0 &&
            nsp_loss_decide(&state->loss, &state->loss_state, w->now_ns,
                            &state->random)) {
            nsp_outlet_drop(w, pkt, NSP_DROP_LOSS);
            return;
        }
        pkt->extra_delay_ns =
            nsp_add_sat_u64(pkt->extra_delay_ns, state->rule->delay_ns);
        queue = &state->queues[pkt->direction];
        if (!queue->bottleneck)
            queue = NULL;
    }
    if (!queue && pkt->extra_delay_ns == 0) {
        nsp_outlet_deliver(w, pkt);
        return;
    }
    if (!can_hold(w, pkt))
        return;
    nsp_outlet_count_held(w, pkt);
    if (queue)
        hold_in_queue(w, queue, pkt);
    else
        hold_in_delay(w, pkt, pkt->arrival_ns);
}

static void
apply_rule(struct nsp_worker *w, struct nsp_pkt *pkt)
{
    struct nsp_rule_state *state = NULL;
    struct nsp_rule_counters *counters = nsp_outlet_rule_counters(w, pkt);

    if (counters) {
        counters->in_pkts++;
        counters->in_bytes += pkt->charged_bytes;
        state = &w->rules[pkt->rule];
        if (state->rule->action == NSP_ACTION_DROP) {
            nsp_outlet_drop(w, pkt, NSP_DROP_RULE);
            return;
        }
        if (state->rule->action == NSP_ACTION_REJECT) {
            nsp_outlet_reject(w, pkt);
            return;
        }
    }
    apply_effects(w, pkt, state);
}

/* --- Deciding ------------------------------------------------------------ */

/* Takes the callback's word on one packet, of which 'held_bytes' were held
 * before. Returns false when that was its end. */
static bool
obey(struct nsp_worker *w, struct nsp_pkt *pkt, uint32_t held_bytes,
     const struct nsp_verdict *verdict)
{
    /* It may have been shortened; there is no room to grow. */
    pkt->cap_bytes = nsp_min_u32(pkt->cap_bytes, held_bytes);
    if (verdict->modified || pkt->cap_bytes != held_bytes)
        pkt->flags |= NSP_PKT_MODIFIED;
    /* Before anything reads its headers again. */
    if ((pkt->flags & NSP_PKT_MODIFIED) != 0)
        nsp_pkt_parse(pkt);

    switch (verdict->kind) {
    case NSP_VERDICT_PASS:
        pkt->extra_delay_ns = verdict->delay_ns;
        return true;
    case NSP_VERDICT_REJECT:
        nsp_outlet_reject(w, pkt);
        return false;
    default:
        nsp_outlet_drop(w, pkt, NSP_DROP_CALLBACK);
        return false;
    }
}

/* Shows the burst to the callback; returns how many of 'pkts' go on. */
static uint32_t
call_back(struct nsp_worker *w, struct nsp_pkt *pkts[], uint32_t n)
{
    struct nsp_burst burst = {
        .pkts = pkts,
        .verdicts = w->verdicts,
        .count = n,
        .worker = w->queue,
        .now_ns = w->now_ns,
        .engine_private = w,
    };
    uint32_t held_bytes[NSP_BURST_MAX];
    uint32_t kept = 0;

    for (uint32_t i = 0; i < n; i++)
        held_bytes[i] = pkts[i]->cap_bytes;
    memset(w->verdicts, 0, n * sizeof w->verdicts[0]);
    w->config->user.callback(w->config->user.callback_context, &burst);
    for (uint32_t i = 0; i < n; i++)
        if (obey(w, pkts[i], held_bytes[i], &w->verdicts[i]))
            pkts[kept++] = pkts[i];
    return kept;
}

int
nsp_burst_inject(struct nsp_burst *burst, uint32_t like, const uint8_t *ip,
                 uint32_t ip_bytes)
{
    struct nsp_worker *w;

    if (!burst || !ip || like >= burst->count || ip_bytes < 20 ||
        ip_bytes > UINT16_MAX + 40u)
        return -EINVAL;
    w = burst->engine_private;
    nsp_pkt_parse(burst->pkts[like]); /* The callback may have shortened it. */
    return nsp_outlet_inject(w, ip, ip_bytes, false, burst->pkts[like]);
}

static void
decide_burst(struct nsp_worker *w, struct nsp_pkt *pkts[], uint32_t n)
{
    uint64_t hits;
    uint32_t matched = 0;

    nsp_pkt_parse_burst(pkts, n);
    nsp_outlet_count_in(w, pkts, n);
    w->filter_context.timestamp = (int64_t)w->now_ns;
    hits = nsp_filter_match_burst(w->filter, pkts, n, &w->filter_context);

    if (w->rule_count == 0 && !w->config->user.callback) {
        w->counted.matched_pkts += nsp_popcount_u64(hits);
        nsp_outlet_flush(w); /* What was released before goes first. */
        nsp_outlet_send_burst(w, pkts, n);
        return;
    }

    for (uint32_t i = 0; i < n; i++) {
        if ((hits >> i & 1) != 0)
            pkts[matched++] = pkts[i];
        else
            nsp_outlet_deliver(w, pkts[i]);
    }
    w->counted.matched_pkts += matched;
    if (w->config->user.callback && matched > 0)
        matched = call_back(w, pkts, matched);
    nsp_policy_classify_burst(w->policy, pkts, matched, &w->filter_context);
    for (uint32_t i = 0; i < matched; i++)
        apply_rule(w, pkts[i]);
}

/* --- Letting go ---------------------------------------------------------- */

static void
leave_queue(struct nsp_worker *w, struct nsp_pkt *pkt)
{
    if (pkt->extra_delay_ns > 0) {
        hold_in_delay(w, pkt, pkt->timer.due_ns);
        return;
    }
    nsp_outlet_count_unheld(w, pkt);
    nsp_outlet_deliver(w, pkt);
}

static uint32_t
serve_queue(struct nsp_worker *w, struct nsp_rule_queue *queue)
{
    struct nsp_pkt *pkts[NSP_BURST_MAX];
    uint32_t n = nsp_bottleneck_dequeue(queue->bottleneck, w->now_ns, pkts,
                                        NSP_BURST_MAX);

    for (uint32_t i = 0; i < n; i++)
        leave_queue(w, pkts[i]);
    arm(w, queue);
    return n;
}

/* Serialisers first: what they let go may be due at the end of its delay, too.
 * Bounded, so that a flood of due packets cannot keep the worker from the
 * device. */
static uint32_t
release_due(struct nsp_worker *w)
{
    struct nsp_wheel_node *due[NSP_BURST_MAX];
    uint32_t n, moved = 0;

    if (!w->delays)
        return 0;
    n = nsp_wheel_expire(w->serialisers, w->now_ns, due, NSP_BURST_MAX);
    for (uint32_t i = 0; i < n; i++)
        moved += serve_queue(
            w, NSP_CONTAINER_OF(due[i], struct nsp_rule_queue, timer));

    n = nsp_wheel_expire(w->delays, w->now_ns, due, NSP_BURST_MAX);
    for (uint32_t i = 0; i < n; i++) {
        struct nsp_pkt *pkt = pkt_of_timer(due[i]);

        nsp_outlet_count_unheld(w, pkt);
        nsp_outlet_deliver(w, pkt);
    }
    return moved + n;
}

uint32_t
nsp_worker_poll(struct nsp_worker *w, uint64_t now_ns)
{
    struct nsp_pkt *pkts[NSP_BURST_MAX];
    uint32_t moved, n;

    w->now_ns = now_ns;
    moved = release_due(w);
    n = w->ops->rx_burst(w->io, w->queue, now_ns, pkts, NSP_BURST_MAX);
    if (n > 0)
        decide_burst(w, pkts, n);
    nsp_outlet_flush(w);
    if (n + moved > 0)
        nsp_outlet_publish(w);
    return n + moved;
}

uint64_t
nsp_worker_due_ns(const struct nsp_worker *w)
{
    if (!w->delays)
        return NSP_TIME_NEVER;
    return nsp_min_u64(nsp_wheel_due_ns(w->serialisers),
                       nsp_wheel_due_ns(w->delays));
}

static void
drain_queue(struct nsp_worker *w, struct nsp_bottleneck *bottleneck)
{
    struct nsp_pkt *pkts[NSP_BURST_MAX];
    uint32_t n;

    while ((n = nsp_bottleneck_flush(bottleneck, pkts, NSP_BURST_MAX)) > 0) {
        for (uint32_t i = 0; i < n; i++) {
            nsp_outlet_count_unheld(w, pkts[i]);
            nsp_outlet_deliver(w, pkts[i]);
        }
    }
}

void
nsp_worker_drain(struct nsp_worker *w)
{
    struct nsp_wheel_node *due[NSP_BURST_MAX];
    uint32_t n;

    if (!w->delays)
        return;
    /* Delay lines lie behind the queues, so their packets are the older. */
    while ((n = nsp_wheel_expire(w->delays, NSP_TIME_NEVER - 1, due,
                                 NSP_BURST_MAX)) > 0) {
        for (uint32_t i = 0; i < n; i++) {
            nsp_outlet_count_unheld(w, pkt_of_timer(due[i]));
            nsp_outlet_deliver(w, pkt_of_timer(due[i]));
        }
    }
    for (uint32_t r = 0; r < w->rule_count; r++)
        for (uint32_t d = 0; d < NSP_DIRECTIONS; d++)
            if (w->rules[r].queues[d].bottleneck)
                drain_queue(w, w->rules[r].queues[d].bottleneck);
    nsp_outlet_flush(w);
    nsp_outlet_publish(w);
}

/* --- Lifetime ------------------------------------------------------------ */

static int
init_rule(struct nsp_worker *w, uint32_t index)
{
    const struct nsp_rule *rule = &nsp_policy_get_rule(w->policy, index)->rule;
    struct nsp_rule_state *state = &w->rules[index];
    struct nsp_bottleneck_config cfg = {
        .rate_bitps = rule->rate_bitps,
        .limit = rule->queue_limit,
        .unit = rule->queue_unit,
        .drop = rule->queue_drop,
        .overhead_bytes = rule->overhead_bytes,
    };
    const struct nsp_loss_config loss = {
        .kind = NSP_LOSS_CHANCE,
        .chance.ppm = rule->loss_ppm,
    };
    int err = nsp_loss_init(&state->loss, &loss, &w->config->allocator);

    state->rule = rule;
    nsp_prng_init(&state->random, w->config->user.seed,
                  (uint64_t)index << 8 | w->queue);
    if (rule->rate_bitps == 0)
        return err;
    for (uint32_t d = 0; d < NSP_DIRECTIONS && err == 0; d++)
        err = nsp_bottleneck_create(&cfg, &w->config->allocator,
                                    &state->queues[d].bottleneck);
    return err;
}

int
nsp_worker_init(struct nsp_worker *w, bool holds)
{
    const struct nsp_allocator *allocator = &w->config->allocator;
    uint32_t count = nsp_policy_rule_count(w->policy);
    int err = 0;

    w->filter_context.random_seed = w->config->user.seed;
    w->rules = nsp_alloc(allocator, count + 1, sizeof *w->rules);
    w->changed_rules =
        nsp_alloc(allocator, count + 1, sizeof *w->changed_rules);
    if (!w->rules || !w->changed_rules)
        return -ENOMEM;
    w->rule_count = count;
    for (uint32_t i = 0; i < count && err == 0; i++)
        err = init_rule(w, i);
    if (err == 0 && holds)
        err = nsp_wheel_create(allocator, 0, &w->delays);
    if (err == 0 && holds)
        err = nsp_wheel_create(allocator, 0, &w->serialisers);
    return err;
}

void
nsp_worker_fini(struct nsp_worker *w)
{
    const struct nsp_allocator *allocator = &w->config->allocator;

    for (uint32_t r = 0; r < w->rule_count; r++) {
        for (uint32_t d = 0; d < NSP_DIRECTIONS; d++)
            nsp_bottleneck_destroy(w->rules[r].queues[d].bottleneck);
        nsp_loss_fini(&w->rules[r].loss);
    }
    nsp_wheel_destroy(w->delays);
    nsp_wheel_destroy(w->serialisers);
    nsp_release(allocator, w->rules);
    nsp_release(allocator, w->changed_rules);
}

void
nsp_worker_read_stats(const struct nsp_worker *w, struct nsp_stats *ret)
{
    nsp_counters_read(&w->published, (uint64_t *)ret, NSP_STATS_WORDS);
}

void
nsp_worker_read_rule_stats(const struct nsp_worker *w, uint32_t index,
                           struct nsp_rule_counters *ret)
{
    assert(index < w->rule_count);
    nsp_counters_read(&w->rules[index].published, (uint64_t *)ret,
                      NSP_RULE_WORDS);
}
