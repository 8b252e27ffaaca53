/* Life of a burst in a worker:
 *
 *     take up a new snapshot, if one was published
 *     receive what other workers sent, release what is due (stages.h)
 *     rx -> parse -> start filter -> callback -> rules (act.h)
 *                         |             |           |
 *                         |          drop, ...   drop, reject, stages
 *                         |                         |
 *                         +------------> tx <-------+
 *
 * In virtual time a burst of arrivals comes from several moments, a packet or
 * two at each, and what it costs to take and parse one is shared: time goes
 * from arrival to arrival, and lets go what is due on the way, while the burst
 * lasts.
 *
 * Counters are published at the end of an iteration, when the accounting
 * identity holds again: of each, but in virtual time of some. */
#include "engine/worker.h"

#include <errno.h>
#include <string.h>

#include "engine/act.h"
#include "engine/outlet.h"
#include "engine/stages.h"
#include "packet/proto.h"

/* Packets whose counters may wait in virtual time. */
#define UNPUBLISHED_MAX 256u

/* That a burst has room for, at least. */
#define COPIES_PER_PKT 4u

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
    if ((w->ops->caps & NSP_IO_LOOKS_ONLY) != 0) /* They are on their way. */
        memset(w->verdicts, 0, n * sizeof w->verdicts[0]);
    for (uint32_t i = 0; i < n; i++)
        if (obey(w, pkts[i], held_bytes[i], &w->verdicts[i])) {
            w->flows.hits[kept] = w->flows.hits[i];
            pkts[kept++] = pkts[i];
        }
    return kept;
}

int
nsp_burst_inject(struct nsp_burst *burst, uint32_t like, const uint8_t *ip,
                 uint32_t ip_bytes)
{
    struct nsp_worker *w;

    if (!burst || !ip || like >= burst->count || ip_bytes < NSP_IPV4_BYTES ||
        ip_bytes > NSP_IP_BYTES_MAX)
        return -EINVAL;
    w = burst->engine_private;
    nsp_pkt_parse(burst->pkts[like]); /* The callback may have shortened it. */
    return nsp_outlet_inject(w, ip, ip_bytes, false, burst->pkts[like]);
}

/* Rules of this policy spare some packets: notes which. What the start filter
 * speaks of is spared by none. */
static void
note_essential(struct nsp_worker *w, struct nsp_pkt *const pkts[], uint32_t n)
{
    unsigned spared =
        nsp_policy_spared(w->snapshot->policy) & ~(unsigned)w->named;

    if (spared == 0)
        return;
    for (uint32_t i = 0; i < n; i++) {
        enum nsp_essential essential;

        if (pkts[i]->l4 == NSP_L4_TCP)
            continue; /* Most are, and none of it is essential. */
        essential = nsp_pkt_essential(pkts[i]);
        if ((spared >> essential & 1) != 0)
            pkts[i]->essential = (uint8_t)essential;
    }
}

/* Flows say nothing of packets that a callback may have edited. */
static void
match_rules(struct nsp_worker *w, struct nsp_pkt *const pkts[], uint32_t n)
{
    const struct nsp_policy_flows flows = {
        .cache = w->flows.cache,
        .hits = w->flows.hits,
        .now_ns = w->now_ns,
    };
    bool by_flow = w->flows.caches && !w->config->user.callback;

    nsp_policy_match_burst(w->snapshot->policy, pkts, n, &w->filter_context,
                           by_flow ? &flows : NULL, &w->matches);
}

/* Delivers a burst that no rule has to see. */
static void
pass_on(struct nsp_worker *w, struct nsp_pkt *const pkts[], uint32_t n)
{
    if (!w->ahead && !w->config->user.fates) {
        nsp_outlet_flush(w); /* What was released before goes first. */
        nsp_outlet_send_burst(w, pkts, n);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        nsp_outlet_deliver(w, pkts[i]);
}

static bool
has_rules(const struct nsp_worker *w)
{
    return nsp_policy_rule_count(w->snapshot->policy) > 0 ||
           w->config->user.callback;
}

/* Which packets of a burst match the start filter. */
static uint64_t
match_start(struct nsp_worker *w, struct nsp_pkt *const pkts[], uint32_t n)
{
    w->filter_context.timestamp = (int64_t)w->now_ns;
    return nsp_filter_match_burst(w->filter, pkts, n, &w->filter_context);
}

/* Decides a burst of parsed packets. */
static void
decide_burst(struct nsp_worker *w, struct nsp_pkt *pkts[], uint32_t n)
{
    uint64_t hits;
    uint32_t matched = 0;

    nsp_outlet_count_in(w, pkts, n);
    nsp_flows_track(&w->flows, pkts, n, w->now_ns);
    hits = match_start(w, pkts, n);

    if (!has_rules(w)) {
        w->counted.matched_pkts += nsp_popcount_u64(hits);
        pass_on(w, pkts, n);
        return;
    }

    for (uint32_t i = 0; i < n; i++) {
        if ((hits >> i & 1) == 0) {
            nsp_outlet_deliver(w, pkts[i]);
            continue;
        }
        w->flows.hits[matched] = w->flows.hits[i];
        pkts[matched++] = pkts[i];
    }
    w->counted.matched_pkts += matched;
    if (w->config->user.callback && matched > 0)
        matched = call_back(w, pkts, matched);
    note_essential(w, pkts, matched);
    match_rules(w, pkts, matched);
    if (w->settles)
        nsp_settle_note(w, pkts, matched);
    for (uint32_t i = 0; i < matched; i++)
        nsp_act(w, pkts[i], &w->flows.hits[i], w->matches.rules[i],
                w->matches.count[i]);
}

/* Finds the rules of a burst of parsed packets that arrive at several moments.
 * Returns which of them have any: the start filter matches these. */
static uint64_t
find_rules(struct nsp_worker *w, struct nsp_pkt *const pkts[], uint32_t n)
{
    struct nsp_pkt *matched[NSP_BURST_MAX];
    uint32_t count = 0;
    uint64_t hits;

    nsp_outlet_count_in(w, pkts, n);
    nsp_flows_track(&w->flows, pkts, n, w->now_ns);
    hits = match_start(w, pkts, n);
    w->counted.matched_pkts += nsp_popcount_u64(hits);
    if (!has_rules(w))
        return 0;
    for (uint64_t rest = hits; rest != 0; rest &= rest - 1) {
        uint32_t i = nsp_ctz_u64(rest);

        w->flows.hits[count] = w->flows.hits[i];
        matched[count++] = pkts[i];
    }
    note_essential(w, matched, count);
    match_rules(w, matched, count);
    return hits;
}

static void
publish(struct nsp_worker *w)
{
    nsp_outlet_publish(w);
    w->unpublished = 0;
}

/* After an iteration that moved 'pkts'. In virtual time one moves a packet or
 * two, and nobody waits for a reading. */
static void
publish_some(struct nsp_worker *w, uint32_t pkts)
{
    w->unpublished += pkts;
    if (w->unpublished > (w->virtual_time && pkts > 0 ? UNPUBLISHED_MAX : 0))
        publish(w);
}

static void
use_snapshot(struct nsp_worker *w, const struct nsp_snapshot *snapshot)
{
    struct nsp_filter_needs needs;

    publish(w); /* Who looks which slots are free sees what they hold. */
    w->snapshot = snapshot;
    w->taken_ns = w->now_ns;
    w->adopted = 0;
    w->adopts = true;
    nsp_flows_use(&w->flows, snapshot->policy);
    nsp_filter_get_needs(w->filter, &needs);
    w->reads_time = needs.timestamp || nsp_policy_reads_time(snapshot->policy);
}

/* Takes up the snapshot published last: from here to the next call nothing of
 * another is used. Pairs with the exchange of the control side, which then
 * waits for the generation; until it has come the snapshot stays. */
static void
take_snapshot(struct nsp_worker *w)
{
    const struct nsp_snapshot *snapshot = atomic_load(w->published);

    /* One that was made while this worker did not run may be where the last one
     * was. */
    if (!w->adopts) {
        if (snapshot == w->snapshot &&
            snapshot->generation == atomic_load(&w->generation))
            return;
        use_snapshot(w, snapshot);
    }
    nsp_stages_adopt(w);
    if (!w->adopts)
        atomic_store(&w->generation, w->snapshot->generation);
}

/* Takes up to 'max' packets that have arrived by 'now_ns', and parses them. */
static uint32_t
take(struct nsp_worker *w, uint64_t now_ns, struct nsp_pkt *ret[], uint32_t max)
{
    uint32_t n = w->ops->rx_burst(w->io, w->queue, now_ns, ret, max);

    nsp_pkt_parse_burst(ret, n);
    return n;
}

/* The same behind those that were taken before. */
static uint32_t
take_rest(struct nsp_worker *w, struct nsp_pkt *ret[])
{
    uint32_t n = w->early_count;

    for (uint32_t i = 0; i < n; i++)
        ret[i] = w->early[i];
    w->early_count = 0;
    return n + take(w, w->now_ns, ret + n, NSP_BURST_MAX - n);
}

uint32_t
nsp_worker_poll(struct nsp_worker *w, uint64_t now_ns)
{
    struct nsp_pkt *pkts[NSP_BURST_MAX];
    uint32_t moved, n;

    w->now_ns = now_ns;
    take_snapshot(w);
    moved = nsp_stages_receive(w);
    moved += nsp_stages_release_due(w);
    if (moved > 0 && !w->virtual_time) /* Before anything takes time. */
        nsp_outlet_flush(w);
    n = take_rest(w, pkts);
    if (n > 0)
        decide_burst(w, pkts, n);
    nsp_outlet_flush(w);
    if (w->settled.count > 0)
        nsp_settle_push(w, n < NSP_BURST_MAX);
    publish_some(w, n + moved);
    nsp_stages_post(w);
    return n + moved;
}

/* --- Ahead of time -------------------------------------------------------- */

/* Lets go what is due before 'to_ns', when it is due. Returns when something is
 * due next; adds what moved to '*moved'. */
static uint64_t
release_before(struct nsp_worker *w, uint64_t to_ns, uint32_t *moved)
{
    uint64_t due_ns;

    while ((due_ns = nsp_worker_due_ns(w)) < to_ns) {
        w->now_ns = nsp_max_u64(w->now_ns, due_ns);
        *moved += nsp_stages_release_due(w);
    }
    return due_ns;
}

/* Acts on 'n' packets that have arrived now. Bit i of 'hits' tells which match
 * the start filter, the first as number 'at' of those that do. Returns the
 * number after the last of them. */
static uint32_t
act_on_hits(struct nsp_worker *w, struct nsp_pkt *const pkts[], uint32_t n,
            uint64_t hits, uint32_t at)
{
    for (uint32_t i = 0; i < n; i++)
        if ((hits >> i & 1) == 0)
            nsp_outlet_deliver(w, pkts[i]);
    for (uint32_t i = 0; i < n; i++)
        if ((hits >> i & 1) != 0) {
            nsp_act(w, pkts[i], &w->flows.hits[at], w->matches.rules[at],
                    w->matches.count[at]);
            at++;
        }
    return at;
}

/* Lets time go on to 'to_ns', with what is due by then. */
static uint32_t
release_by(struct nsp_worker *w, uint64_t to_ns)
{
    uint32_t moved = 0;
    uint64_t due_ns = release_before(w, to_ns, &moved);

    w->now_ns = nsp_max_u64(w->now_ns, to_ns);
    if (due_ns <= w->now_ns)
        moved += nsp_stages_release_due(w);
    return moved;
}

/* Decides packets of several moments, and acts on each when it arrives, after
 * what is due by then. Returns how many packets moved. */
static uint32_t
decide_ahead(struct nsp_worker *w, struct nsp_pkt *pkts[], uint32_t n)
{
    uint64_t hits = find_rules(w, pkts, n);
    uint32_t moved = n, acted = 0, run;

    for (uint32_t i = 0; i < n; i += run) {
        moved += release_by(w, pkts[i]->arrival_ns);
        for (run = 1; i + run < n && pkts[i + run]->arrival_ns <= w->now_ns;)
            run++;
        acted = act_on_hits(w, pkts + i, run, hits >> i, acted);
    }
    return moved;
}

/* Of 'n' packets, the first that arrives with the last. */
static uint32_t
first_with_last(const struct nsp_worker *w, struct nsp_pkt *const pkts[],
                uint32_t n)
{
    uint64_t last_ns = nsp_max_u64(w->now_ns, pkts[n - 1]->arrival_ns);
    uint32_t first = n - 1;

    while (first > 0 &&
           nsp_max_u64(w->now_ns, pkts[first - 1]->arrival_ns) == last_ns)
        first--;
    return first;
}

static bool
may_go_ahead(const struct nsp_worker *w)
{
    return w->ahead && !w->reads_time && !w->settles &&
           nsp_flows_can_track_ahead(&w->flows, NSP_BURST_MAX);
}

/* With the last of a burst may come more, for which the device has room when it
 * has what left before: they are polled for. */
uint32_t
nsp_worker_run_until(struct nsp_worker *w, uint64_t now_ns, uint64_t until_ns)
{
    struct nsp_pkt *pkts[NSP_BURST_MAX];
    uint32_t n = 0, last, moved = 0;

    w->now_ns = now_ns;
    take_snapshot(w);
    if (may_go_ahead(w))
        n = take(w, nsp_min_u64(until_ns - 1, now_ns + NSP_FLOWS_AHEAD_NS),
                 pkts, NSP_BURST_MAX);
    if (n == 0)
        return nsp_worker_poll(w, now_ns);
    last = first_with_last(w, pkts, n);
    if (last > 0)
        moved = decide_ahead(w, pkts, last);
    release_before(w, pkts[last]->arrival_ns, &moved);
    nsp_outlet_flush(w);
    w->unpublished += moved;
    w->early = pkts + last;
    w->early_count = n - last;
    return moved +
           nsp_worker_poll(w, nsp_max_u64(w->now_ns, pkts[last]->arrival_ns));
}

uint64_t
nsp_worker_due_ns(const struct nsp_worker *w)
{
    if (w->adopts)
        return w->now_ns;
    if (!w->delays)
        return NSP_TIME_NEVER;
    return nsp_min_u64(nsp_wheel_due_ns(w->serialisers),
                       nsp_wheel_due_ns(w->delays));
}

bool
nsp_worker_drain(struct nsp_worker *w)
{
    nsp_stages_receive(w);
    nsp_stages_drain(w);
    nsp_outlet_flush(w);
    publish(w);
    nsp_stages_post(w);
    return w->counted.queued_pkts == 0;
}

/* --- Lifetime ------------------------------------------------------------ */

/* A quarter of what may be held, and a burst of packets whatever that is. */
static uint32_t
copies_max(const struct nsp_config *config)
{
    return nsp_max_u32(config->user.max_held_pkts / 4,
                       NSP_BURST_MAX * COPIES_PER_PKT);
}

int
nsp_worker_init(struct nsp_worker *w, const struct nsp_plan *plan)
{
    const struct nsp_allocator *allocator = &w->config->allocator;
    int err = 0;

    w->filter_context.random_seed = w->config->user.seed;
    for (unsigned e = NSP_ESSENTIAL_NONE + 1; e < NSP_ESSENTIALS; e++)
        if (nsp_filter_names(w->filter, (enum nsp_essential)e))
            w->named |= (uint8_t)(1u << e);
    if (plan->holds)
        err = nsp_wheel_create(allocator, 0, &w->delays);
    if (err == 0 && plan->holds)
        err = nsp_wheel_create(allocator, 0, &w->serialisers);
    if (err == 0 && plan->copies)
        err = nsp_copies_init(&w->copies, copies_max(w->config), allocator);
    if (err == 0 && plan->flows)
        err = nsp_flows_init(&w->flows, w->config, w->filter, w->virtual_time,
                             plan->told);
    return err;
}

void
nsp_worker_fini(struct nsp_worker *w)
{
    nsp_state_fini(&w->states, &w->config->allocator);
    nsp_flows_fini(&w->flows);
    nsp_copies_fini(&w->copies);
    nsp_wheel_destroy(w->delays);
    nsp_wheel_destroy(w->serialisers);
}

void
nsp_worker_read_stats(const struct nsp_worker *w, struct nsp_stats *ret)
{
    nsp_counters_read(&w->published_stats, (uint64_t *)ret, NSP_STATS_WORDS);
}

void
nsp_worker_read_rule_stats(const struct nsp_worker *w, uint32_t slot,
                           struct nsp_rule_counters *ret)
{
    nsp_counters_read(&nsp_state_rule(&w->states, slot)->tally.published,
                      (uint64_t *)ret, NSP_RULE_WORDS);
}

void
nsp_worker_read_class_stats(const struct nsp_worker *w, uint32_t slot,
                            struct nsp_rule_counters *ret)
{
    nsp_counters_read(&nsp_state_class(&w->states, slot)->tally.published,
                      (uint64_t *)ret, NSP_RULE_WORDS);
}
