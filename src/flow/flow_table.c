/* A burst in three passes, so that the misses of its packets overlap:
 *
 *     1. read the key, hash it, fetch the tags of the first bucket
 *     2. find a flow with the same tag there, or in the second bucket, fetch it
 *     3. compare the key; count, or begin a new flow
 *
 * Passes of all packets, not one of each in turn: those are slower by a third.
 *
 * What pass 2 found is a guess: pass 3 may have evicted it for an earlier
 * packet. The comparison of keys finds out, and the search starts over. */
#include "flow/flow_store.h"

#include <errno.h>
#include <string.h>

#include "flow/flow_age.h"
#include "flow/flow_tcp.h"
#include "packet/tcp.h"

/* Packets of a flow that is not TCP before it can be confirmed. */
#define CONFIRMING_PKTS 3u

struct now {
    uint64_t ns;
    uint32_t ms;
};

/* A packet on its way through the passes. */
struct search {
    struct nsp_flow_key key;
    struct nsp_flow *guess;
    uint32_t hash;   /* The first half. */
    uint32_t bucket; /* The first. */
};

static struct now
now_of(uint64_t now_ns)
{
    return (struct now){ now_ns, (uint32_t)(now_ns / NSP_FLOW_NS_PER_MS) };
}

/* --- Life ----------------------------------------------------------------- */

static bool
is_valid(const struct nsp_flow_config *cfg)
{
    for (uint32_t i = 0; i < NSP_FLOW_TIMER_COUNT; i++) {
        if (cfg->timeout_s[i] > NSP_FLOW_TIMEOUT_S_MAX)
            return false;
    }
    return cfg->capacity_flows >= NSP_FLOW_CAPACITY_MIN &&
           cfg->capacity_flows <= NSP_FLOW_CAPACITY_MAX &&
           cfg->half_open_max <= cfg->capacity_flows;
}

int
nsp_flow_table_create(const struct nsp_flow_config *cfg,
                      const struct nsp_allocator *allocator,
                      struct nsp_flow_table **ret)
{
    struct nsp_allocator memory = nsp_allocator_or_libc(allocator);
    struct nsp_flow_table *table;

    if (!is_valid(cfg))
        return -EINVAL;
    table = nsp_alloc(&memory, 1, sizeof *table);
    if (!table)
        return -ENOMEM;
    table->allocator = memory;
    table->capacity = cfg->capacity_flows;
    table->half_open_max =
        cfg->half_open_max != 0 ? cfg->half_open_max : cfg->capacity_flows / 4;
    nsp_flow_age_init(table, cfg);
    nsp_flow_secret_init(&table->secret, cfg->secret);
    if (nsp_flow_store_init(table) != 0) {
        nsp_flow_table_destroy(table);
        return -ENOMEM;
    }
    *ret = table;
    return 0;
}

struct nsp_flow_table *
nsp_flow_table_destroy(struct nsp_flow_table *table)
{
    if (table) {
        struct nsp_allocator memory = table->allocator;

        nsp_flow_store_fini(table);
        nsp_release(&memory, table);
    }
    return NULL;
}

/* --- Finding -------------------------------------------------------------- */

static NSP_ALWAYS_INLINE bool
has_key(const struct nsp_flow *flow, const struct nsp_flow_key *key)
{
    if (memcmp(flow, key, NSP_FLOW_KEY_BYTES) != 0)
        return false;
    return !key->ipv6[0] || (memcmp(flow->ipv6[0], key->ipv6[0], 16) == 0 &&
                             memcmp(flow->ipv6[1], key->ipv6[1], 16) == 0);
}

static struct nsp_flow *
find_in(const struct nsp_flow_table *table, uint32_t bucket,
        const struct search *search)
{
    uint32_t ways =
        nsp_flow_ways(&table->buckets[bucket], nsp_flow_tag(search->hash));

    for (; ways != 0; ways &= ways - 1) {
        struct nsp_flow *flow = nsp_flow_at(table, bucket, nsp_ctz_u64(ways));

        if (has_key(flow, &search->key))
            return flow;
    }
    return NULL;
}

/* The bucket that a flow is in if its first one has spilled. */
static uint32_t
second_bucket(const struct nsp_flow_table *table, const struct search *search)
{
    return nsp_flow_bucket(
        table, nsp_flow_key_hash_half(&search->key, &table->secret, 1));
}

static bool
has_spilled(const struct nsp_flow_table *table, const struct search *search)
{
    return nsp_flow_spilled(&table->buckets[search->bucket]) > 0;
}

static struct nsp_flow *
find(const struct nsp_flow_table *table, const struct search *search)
{
    struct nsp_flow *flow = find_in(table, search->bucket, search);

    if (!flow && has_spilled(table, search))
        flow = find_in(table, second_bucket(table, search), search);
    return flow;
}

static NSP_ALWAYS_INLINE bool
begin_search(const struct nsp_flow_table *table, const struct nsp_pkt *pkt,
             struct search *ret)
{
    ret->guess = NULL;
    if (!nsp_flow_key_read(pkt, &ret->key)) {
        ret->key.kind = 0;
        return false;
    }
    ret->hash = nsp_flow_key_hash_half(&ret->key, &table->secret, 0);
    ret->bucket = nsp_flow_bucket(table, ret->hash);
    return true;
}

/* Fetches where a new flow of a bucket goes to, unless to the other one.
 * Inline, as calls of what only fetches are taken for superfluous. */
static NSP_ALWAYS_INLINE void
fetch_empty(const struct nsp_flow_table *table, uint32_t bucket)
{
    uint32_t ways = nsp_flow_ways(&table->buckets[bucket], 0);
    const struct nsp_flow *flow;

    if (ways == 0)
        return;
    flow = nsp_flow_at(table, bucket, nsp_ctz_u64(ways));
    nsp_prefetch(flow);
    nsp_prefetch(&flow->ipv6);
}

/* Fetches what looks like the flow, with its second line where 'names' asks for
 * that, too. In a second bucket at once: few flows are in theirs, and tags are
 * near. */
static NSP_ALWAYS_INLINE void
guess(const struct nsp_flow_table *table, struct search *search,
      const bool names)
{
    uint16_t tag = nsp_flow_tag(search->hash);
    uint32_t bucket = search->bucket, ways;

    if (nsp_unlikely(search->key.kind == 0))
        return;
    ways = nsp_flow_ways(&table->buckets[bucket], tag);
    if (nsp_unlikely(ways == 0) && has_spilled(table, search)) {
        bucket = second_bucket(table, search);
        ways = nsp_flow_ways(&table->buckets[bucket], tag);
    }
    if (nsp_unlikely(ways == 0)) {
        fetch_empty(table, search->bucket);
        return;
    }
    search->guess = nsp_flow_at(table, bucket, nsp_ctz_u64(ways));
    nsp_prefetch(search->guess);
    if (names)
        nsp_prefetch(&search->guess->first_ns);
    else if (search->key.ipv6[0])
        nsp_prefetch(&search->guess->ipv6);
}

/* --- Counting ------------------------------------------------------------- */

static bool
is_confirmed_now(const struct nsp_flow *flow)
{
    uint64_t low = nsp_flow_pkts(flow, NSP_FLOW_LOW);
    uint64_t high = nsp_flow_pkts(flow, NSP_FLOW_HIGH);

    if (low == 0 || high == 0)
        return false;
    if ((flow->kind & NSP_FLOW_KIND_L4) == NSP_L4_TCP)
        return flow->state == NSP_FLOW_ESTABLISHED;
    return low + high >= CONFIRMING_PKTS;
}

static NSP_ALWAYS_INLINE void
count(struct nsp_flow *flow, enum nsp_flow_way way, const struct nsp_pkt *pkt,
      struct now now)
{
    flow->pkts_low[way]++;
    if (nsp_unlikely(flow->pkts_low[way] == 0))
        flow->pkts_high[way] += 1u << NSP_FLOW_SCALE_BITS;
    flow->bytes[way] += pkt->ip_bytes;
    flow->last_ms[way] = now.ms;
}

static bool
is_tcp(const struct nsp_flow *flow)
{
    return (flow->kind & NSP_FLOW_KIND_L4) == NSP_L4_TCP;
}

/* Keeps what a SYN says of its sender's windows. */
static void
learn_scale(struct nsp_flow *flow, enum nsp_flow_way way,
            const struct nsp_pkt *pkt, const struct nsp_flow_segment *segment)
{
    uint32_t scale;

    if ((segment->flags & NSP_TCP_SYN) == 0)
        return;
    scale = nsp_tcp_window_scale(pkt);
    scale = scale == NSP_WINDOW_SCALE_NONE ? 0 : scale + 1;
    flow->pkts_high[way] =
        (uint16_t)((flow->pkts_high[way] & ~NSP_FLOW_SCALE) | scale);
}

/* As good as random, so without a branch. */
static void
set_origin(struct nsp_flow *flow, enum nsp_flow_way origin)
{
    flow->flags |= (uint8_t)(NSP_FLOW_ORIGIN * (uint32_t)origin);
}

/* Fills a flow that is in its bucket but in no list, from its first packet. */
static void
begin(struct nsp_flow_table *table, struct nsp_flow *flow,
      enum nsp_flow_way way, const struct nsp_pkt *pkt, struct now now)
{
    enum nsp_flow_way origin = way;

    flow->state = NSP_FLOW_NEW;
    if (is_tcp(flow)) {
        struct nsp_flow_segment segment = nsp_flow_segment_read(pkt);

        origin = nsp_flow_tcp_origin(&segment, way);
        set_origin(flow, origin);
        nsp_flow_tcp_begin(flow, way, &segment);
        learn_scale(flow, way, pkt, &segment);
    } else {
        set_origin(flow, origin);
    }
    flow->first_ns = now.ns;
    flow->reply_first_ms = now.ms;
    flow->last_ms[nsp_flow_other(way)] = now.ms;
    count(flow, way, pkt, now);
    nsp_flow_list_add(table, nsp_flow_list_of(table, flow), flow);
    table->stats.begun++;
}

static struct nsp_flow *
begin_new(struct nsp_flow_table *table, const struct search *search,
          const struct nsp_pkt *pkt, struct now now)
{
    const struct nsp_flow_key *key = &search->key;
    struct nsp_flow_hash hash = {
        { search->hash, nsp_flow_key_hash_half(key, &table->secret, 1) },
    };
    struct nsp_flow *flow = nsp_flow_store_take(table, hash, now.ms);

    if (!flow) {
        table->stats.refused++;
        return NULL;
    }
    for (int i = 0; i < NSP_FLOW_WAYS; i++) {
        flow->ipv4[i] = key->ipv4[i];
        if (key->ipv6[i])
            memcpy(flow->ipv6[i], key->ipv6[i], sizeof flow->ipv6[i]);
    }
    flow->ports = key->ports;
    flow->proto = key->proto;
    flow->kind = key->kind;
    begin(table, flow, (enum nsp_flow_way)key->way, pkt, now);
    return flow;
}

/* Empties all but the key and the place of a flow, for its next life. */
static void
begin_again(struct nsp_flow_table *table, struct nsp_flow *flow,
            enum nsp_flow_way way, const struct nsp_pkt *pkt, struct now now)
{
    nsp_flow_list_drop(table, nsp_flow_list_of(table, flow), flow);
    flow->flags &= NSP_FLOW_SPILLED;
    for (int i = 0; i < NSP_FLOW_WAYS; i++) {
        flow->stamp[i] = flow->pkts_low[i] = 0;
        flow->value[i] = flow->next_hi[i] = flow->pkts_high[i] = 0;
        flow->bytes[i] = 0;
    }
    /* Refusing would gain nothing: at most a burst of them is too many. */
    (void)nsp_flow_store_admit(table);
    begin(table, flow, way, pkt, now);
}

/* Takes a packet that may change more than counters. */
static void
go_on(struct nsp_flow_table *table, struct nsp_flow *flow,
      enum nsp_flow_way way, const struct nsp_pkt *pkt, struct now now)
{
    struct nsp_flow_list *old = nsp_flow_list_of(table, flow), *new;

    if (nsp_flow_pkts(flow, way) == 0 && way != nsp_flow_origin(flow))
        flow->reply_first_ms = now.ms;
    if (is_tcp(flow)) {
        struct nsp_flow_segment segment = nsp_flow_segment_read(pkt);

        nsp_flow_tcp_go_on(flow, way, &segment);
        learn_scale(flow, way, pkt, &segment);
    } else if (way != nsp_flow_origin(flow)) {
        flow->state = NSP_FLOW_ESTABLISHED;
    }
    count(flow, way, pkt, now);
    flow->flags |= NSP_FLOW_ACTIVE;

    if (!nsp_flow_is_done(flow) && is_confirmed_now(flow))
        flow->flags |= NSP_FLOW_CONFIRMED;
    new = nsp_flow_list_of(table, flow);
    if (new != old) {
        nsp_flow_list_drop(table, old, flow);
        nsp_flow_list_add(table, new, flow);
    }
}

static bool
is_reopened(const struct nsp_flow *flow, const struct nsp_pkt *pkt)
{
    struct nsp_flow_segment segment;

    if (!is_tcp(flow) || !nsp_flow_is_done(flow))
        return false;
    segment = nsp_flow_segment_read(pkt);
    return nsp_flow_tcp_is_reopened(flow, &segment);
}

/* Takes a packet of a confirmed, established flow, if it changes no more than
 * counters. Of TCP, both ways have sent: what they sent last is known. */
static NSP_ALWAYS_INLINE bool
go_on_steadily(struct nsp_flow *flow, enum nsp_flow_way way,
               const struct nsp_pkt *pkt, struct now now)
{
    if (flow->state != NSP_FLOW_ESTABLISHED ||
        (flow->flags & NSP_FLOW_CONFIRMED) == 0)
        return false;
    if (is_tcp(flow)) {
        struct nsp_flow_segment segment = nsp_flow_segment_read(pkt);

        if ((segment.flags & (NSP_TCP_SYN | NSP_TCP_FIN | NSP_TCP_RST)) != 0)
            return false;
        nsp_flow_tcp_learn_ack(flow, nsp_flow_other(way), &segment);
    }
    count(flow, way, pkt, now);
    return true;
}

/* Takes a packet of a flow that is not TCP and has packets of one way alone, if
 * it is one more. */
static NSP_ALWAYS_INLINE bool
go_on_one_way(struct nsp_flow *flow, enum nsp_flow_way way,
              const struct nsp_pkt *pkt, struct now now)
{
    if (flow->state != NSP_FLOW_NEW || way != nsp_flow_origin(flow))
        return false;
    count(flow, way, pkt, now);
    flow->flags |= NSP_FLOW_ACTIVE;
    return true;
}

static NSP_ALWAYS_INLINE void
update(struct nsp_flow_table *table, struct nsp_flow *flow,
       enum nsp_flow_way way, const struct nsp_pkt *pkt, struct now now)
{
    bool expired = now.ms - flow->last_ms[way] > table->timeout_min_ms &&
                   nsp_flow_is_expired(table, flow, now.ms);

    if (nsp_likely(!expired) && (go_on_steadily(flow, way, pkt, now) ||
                                 go_on_one_way(flow, way, pkt, now)))
        return;
    if (expired)
        table->stats.aged++;
    else if (is_reopened(flow, pkt))
        table->stats.reopened++;
    else {
        go_on(table, flow, way, pkt, now);
        return;
    }
    begin_again(table, flow, way, pkt, now);
}

/* Pass 3 for one packet. Writes the hit member by member where it is to be: a
 * copy would wait for each of them to be stored. 'names' streams or not. */
static NSP_ALWAYS_INLINE void
take(struct nsp_flow_table *table, const struct search *search,
     const struct nsp_pkt *pkt, struct now now, const bool names,
     struct nsp_flow_hit *ret)
{
    enum nsp_flow_way way = (enum nsp_flow_way)search->key.way;
    struct nsp_flow *flow = search->guess;

    if (nsp_unlikely(search->key.kind == 0)) {
        ret->flow = NULL;
        ret->number = 0;
        ret->way = 0;
        return;
    }
    if (nsp_unlikely(!flow || !has_key(flow, &search->key)))
        flow = find(table, search);
    if (nsp_likely(flow != NULL))
        update(table, flow, way, pkt, now);
    else
        flow = begin_new(table, search, pkt, now);
    ret->flow = flow;
    ret->way = search->key.way;
    ret->number = 0;
    if (nsp_unlikely(!flow))
        return;
    ret->number = flow->pkts_low[way];
    if (names)
        ret->stream = nsp_flow_stream(flow, way);
}

/* --- Public --------------------------------------------------------------- */

static NSP_ALWAYS_INLINE void
begin_track(struct nsp_flow_table *table, struct nsp_pkt *const pkts[],
            uint32_t n, const bool names, struct search searches[],
            struct nsp_flow_hit ret[])
{
    assert(n <= NSP_BURST_MAX);
    for (uint32_t i = 0; i < n; i++) {
        if (begin_search(table, pkts[i], &searches[i]))
            nsp_prefetch(&table->buckets[searches[i].bucket]);
    }
    for (uint32_t i = 0; i < n; i++)
        guess(table, &searches[i], names);
    table->hits = ret;
}

void
nsp_flow_table_track_burst(struct nsp_flow_table *table,
                           struct nsp_pkt *const pkts[], uint32_t n,
                           uint64_t now_ns, struct nsp_flow_hit ret[])
{
    struct search searches[NSP_BURST_MAX];
    struct now now = now_of(now_ns);

    begin_track(table, pkts, n, false, searches, ret);
    for (uint32_t i = 0; i < n; i++) {
        table->hit_count = i;
        take(table, &searches[i], pkts[i], now, false, &ret[i]);
    }
    table->hit_count = 0;
}

/* What packets of one moment find of their flows, when all have been counted.
 */
static void
look(const struct nsp_flow_hit hits[], uint32_t n, uint64_t now_ns,
     struct nsp_flow_view views[])
{
    for (uint32_t i = 0; i < n; i++)
        if (hits[i].flow)
            nsp_flow_read_view(hits[i].flow, (enum nsp_flow_way)hits[i].way,
                               now_ns, &views[i]);
}

void
nsp_flow_table_track_arrivals(struct nsp_flow_table *table,
                              struct nsp_pkt *const pkts[], uint32_t n,
                              uint64_t now_ns, struct nsp_flow_view views[],
                              struct nsp_flow_hit ret[])
{
    struct search searches[NSP_BURST_MAX];
    uint32_t end = 0;

    begin_track(table, pkts, n, true, searches, ret);
    for (uint32_t i = 0; i < n; i = end) {
        struct now now = now_of(nsp_max_u64(now_ns, pkts[i]->arrival_ns));

        for (; end < n && pkts[end]->arrival_ns <= now.ns; end++) {
            table->hit_count = end;
            take(table, &searches[end], pkts[end], now, true, &ret[end]);
        }
        if (views)
            look(ret + i, end - i, now.ns, views + i);
    }
    table->hit_count = 0;
}

bool
nsp_flow_table_has_room(const struct nsp_flow_table *table, uint32_t n)
{
    return table->stats.flows + n <= table->capacity &&
           table->half_open.count + n <= table->half_open_max;
}

const struct nsp_flow *
nsp_flow_table_find(const struct nsp_flow_table *table,
                    const struct nsp_pkt *pkt, uint64_t now_ns)
{
    struct search search;
    const struct nsp_flow *flow;

    if (!begin_search(table, pkt, &search))
        return NULL;
    flow = find(table, &search);
    if (flow && nsp_flow_is_expired(table, flow, now_of(now_ns).ms))
        return NULL;
    return flow;
}

const struct nsp_flow *
nsp_flow_table_next(const struct nsp_flow_table *table, uint64_t now_ns,
                    uint32_t *cursor)
{
    while (*cursor < nsp_flow_places(table)) {
        const struct nsp_flow *flow = &table->flows[(*cursor)++];

        if (flow->kind != 0 &&
            !nsp_flow_is_expired(table, flow, now_of(now_ns).ms))
            return flow;
    }
    return NULL;
}

void
nsp_flow_table_read_stats(const struct nsp_flow_table *table,
                          struct nsp_flow_stats *ret)
{
    *ret = table->stats;
    ret->half_open_flows = table->half_open.count;
}
