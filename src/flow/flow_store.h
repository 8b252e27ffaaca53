#ifndef NSP_FLOW_FLOW_STORE_H
#define NSP_FLOW_FLOW_STORE_H
#include "flow/flow_table.h"

/* Where a table keeps its flows: what flow_table.c, which knows packets and
 * time, asks of flow_store.c, which knows buckets, lists and worth.
 *
 * Problem     Find one of a million flows in one miss of all caches, which can
 *             be asked for ahead; never grow, never move a flow, never look at
 *             more than a fixed number of places; and when full let go what is
 *             worth least, in constant time, with hostile traffic.
 *
 * Idea        A bucket has places for fifteen flows, and a 16-bit tag for each
 *             of them, in an array of its own: 32 bytes, so that the tags of a
 *             million flows, 3.2 MB, stay in a processor's last cache while the
 *             flows themselves do not. Which tag it is tells the place. A flow
 *             is in the bucket of the first half of its hash, or, when that one
 *             had thirteen already and the second has fewer, in that of the
 *             second. There is a bucket for every ten flows of the capacity: a
 *             third of the places stays empty, so that two full buckets for one
 *             flow do not happen by chance, and nothing needs displacing. A
 *             bucket counts the flows that left for their second one: where
 *             none has, which is the rule, its tags tell that there is no such
 *             flow.
 *
 * Lists       Flows that are half-open and flows that are done are in a doubly
 *             linked list each, in order of becoming so; confirmed ones in
 *             none: a packet of theirs moves nothing. Half-open ones used since
 *             they were looked at last go to the end once (second chance).
 *
 * Invariants  1. A live flow is in exactly one of its buckets; NSP_FLOW_SPILLED
 *                says in the second.
 *             2. Its list is a function of its state and NSP_FLOW_CONFIRMED.
 *             3. Where a tag is 0 the place is empty and its flow all zero.
 *
 * Rejected    Displacement (cuckoo): moves cost misses when the table is
 *             busiest, for memory that is cheap.
 *             An LRU list of all flows: three more misses for every packet.
 *             Numbers of flows beside the tags, so that no flow's memory stays
 *             empty: 16 MB for a million of them, and the second miss costs
 *             8 ns a packet however many are asked for at once. */

#define NSP_FLOW_WAYS_IN_BUCKET 15u
#define NSP_FLOW_NONE           UINT32_MAX

struct nsp_flow_bucket {
    /* 0: empty. Behind them the number of flows whose first bucket this is and
     * that are in their second; once UINT16_MAX, for good. */
    uint16_t tags[NSP_FLOW_WAYS_IN_BUCKET + 1];
};
static_assert(sizeof(struct nsp_flow_bucket) == NSP_CACHE_LINE / 2,
              "half a line");

/* A place, for walks through the table. */
struct nsp_flow_place {
    uint32_t bucket, way;
};

struct nsp_flow_list {
    uint32_t first, last, count;
};

struct nsp_flow_table {
    struct nsp_flow_bucket *buckets;
    struct nsp_flow *flows;
    uint32_t bucket_count;
    uint32_t capacity;
    uint32_t half_open_max;
    struct nsp_flow_place age_hand, evict_hand;
    uint32_t age_ms, age_left; /* Places not looked at in this millisecond. */
    struct nsp_flow_list half_open, done;
    uint32_t timeout_ms[NSP_FLOW_KIND_L4 + 1][NSP_FLOW_STATES];
    uint32_t timeout_min_ms; /* Of these. */
    struct nsp_flow_secret secret;
    /* The burst's flows so far, which must stay. */
    const struct nsp_flow_hit *hits;
    uint32_t hit_count;
    struct nsp_flow_stats stats;
    struct nsp_allocator allocator;
    void *bucket_memory, *flow_memory; /* As allocated, not aligned. */
};

/* From the lower bits of the first half: the upper ones choose the bucket, and
 * share bits with the tag in tables of more than 655,360 flows alone. */
static inline uint16_t
nsp_flow_tag(uint32_t first_half)
{
    uint16_t tag = (uint16_t)first_half;

    return tag != 0 ? tag : 1;
}

/* The bucket of one half of a hash, by its number. */
static inline uint32_t
nsp_flow_bucket(const struct nsp_flow_table *table, uint32_t half)
{
    return (uint32_t)((uint64_t)half * table->bucket_count >> 32);
}

static inline uint32_t
nsp_flow_spilled(const struct nsp_flow_bucket *bucket)
{
    return bucket->tags[NSP_FLOW_WAYS_IN_BUCKET];
}

/* The set of ways of a bucket with this tag; 0: of the empty ones. */
static inline uint32_t
nsp_flow_ways(const struct nsp_flow_bucket *bucket, uint16_t tag)
{
    return nsp_equal_u16x16(bucket->tags, tag) &
           ((1u << NSP_FLOW_WAYS_IN_BUCKET) - 1);
}

static inline struct nsp_flow *
nsp_flow_at(const struct nsp_flow_table *table, uint32_t bucket, uint32_t way)
{
    return &table->flows[(size_t)bucket * NSP_FLOW_WAYS_IN_BUCKET + way];
}

/* Advances by 'count' places of the same bucket, to the next one behind them.
 */
static inline void
nsp_flow_place_advance(const struct nsp_flow_table *table,
                       struct nsp_flow_place *place, uint32_t count)
{
    place->way += count;
    if (place->way < NSP_FLOW_WAYS_IN_BUCKET)
        return;
    place->way = 0;
    if (++place->bucket == table->bucket_count)
        place->bucket = 0;
}

static inline uint32_t
nsp_flow_places(const struct nsp_flow_table *table)
{
    return table->bucket_count * NSP_FLOW_WAYS_IN_BUCKET;
}

static inline uint32_t
nsp_flow_idle_ms(const struct nsp_flow *flow, uint32_t now_ms)
{
    return nsp_min_u32(now_ms - flow->last_ms[NSP_FLOW_LOW],
                       now_ms - flow->last_ms[NSP_FLOW_HIGH]);
}

static inline bool
nsp_flow_is_expired(const struct nsp_flow_table *table,
                    const struct nsp_flow *flow, uint32_t now_ms)
{
    uint32_t l4 = flow->kind & NSP_FLOW_KIND_L4;

    return nsp_flow_idle_ms(flow, now_ms) > table->timeout_ms[l4][flow->state];
}

/* The list that 'flow' belongs to, or NULL. */
static inline struct nsp_flow_list *
nsp_flow_list_of(struct nsp_flow_table *table, const struct nsp_flow *flow)
{
    if (nsp_flow_is_done(flow))
        return &table->done;
    return (flow->flags & NSP_FLOW_CONFIRMED) != 0 ? NULL : &table->half_open;
}

/* Lays out an empty store in 'table', whose capacity is set. Returns 0 or
 * -ENOMEM. */
int nsp_flow_store_init(struct nsp_flow_table *table) NSP_MUSTCHECK;
void nsp_flow_store_fini(struct nsp_flow_table *table);

/* Takes a place for a new flow of this hash and enters it in a bucket, evicting
 * what has to go. All of it is zero but 'hash' and NSP_FLOW_SPILLED. The caller
 * enters it in its list. NULL when flows of this burst are in the way. */
struct nsp_flow *nsp_flow_store_take(struct nsp_flow_table *table,
                                     struct nsp_flow_hash hash,
                                     uint32_t now_ms);

/* Removes 'flow' from list and bucket. */
void nsp_flow_store_remove(struct nsp_flow_table *table, struct nsp_flow *flow);

/* Makes room for one more half-open flow. False when there is none. */
bool nsp_flow_store_admit(struct nsp_flow_table *table);

/* 'list' may be NULL: none. */
void nsp_flow_list_add(struct nsp_flow_table *table, struct nsp_flow_list *list,
                       struct nsp_flow *flow);
void nsp_flow_list_drop(struct nsp_flow_table *table,
                        struct nsp_flow_list *list, struct nsp_flow *flow);

#endif /* NSP_FLOW_FLOW_STORE_H */
