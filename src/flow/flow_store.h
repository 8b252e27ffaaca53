#ifndef NSP_FLOW_FLOW_STORE_H
#define NSP_FLOW_FLOW_STORE_H
#include "flow/flow_table.h"

/* Where a table keeps its flows: what flow_table.c, which knows packets and
 * time, asks of flow_store.c, which knows buckets, lists and worth.
 *
 * Problem     Find one of a million flows in two cache misses that can be asked
 *             for ahead; never grow, never move a flow, never look at more than
 *             a fixed number of places; and when full let go what is worth
 *             least, in constant time, with hostile traffic.
 *
 * Idea        A bucket is a cache line with eight 16-bit tags and the numbers
 *             of eight flows. A flow is in the bucket of the first half of its
 *             hash, or, when that one had six already and the second has fewer,
 *             in that of the second. There are two buckets for every eight
 *             flows of the capacity: half the places stay empty, so that two
 *             full buckets for one flow do not happen by chance, and nothing
 *             needs displacing. A bucket counts the flows that left for their
 *             second one: where none has, which is the rule, one line tells
 *             that there is no such flow.
 *
 * Lists       Flows that are half-open and flows that are done are in a doubly
 *             linked list each, in order of becoming so; confirmed ones in
 *             none: a packet of theirs moves nothing. Half-open ones used since
 *             they were looked at last go to the end once (second chance).
 *
 * Invariants  1. A live flow is in exactly one of its buckets; NSP_FLOW_SPILLED
 *                says in the second.
 *             2. Its list is a function of its state and NSP_FLOW_CONFIRMED.
 *             3. Places from 'fresh' on were never used; free ones below are
 *                linked by 'next' and have kind 0.
 *
 * Rejected    Displacement (cuckoo): moves cost misses when the table is
 *             busiest, for memory that is cheap: buckets are an eighth of it.
 *             An LRU list of all flows: three more misses for every packet.
 *             Flows in the buckets themselves: no second miss, but entries of
 *             two lines leave room for none of the empty places. */

#define NSP_FLOW_WAYS_IN_BUCKET 8u
#define NSP_FLOW_NONE           UINT32_MAX

struct nsp_flow_bucket {
    uint16_t tags[NSP_FLOW_WAYS_IN_BUCKET]; /* 0: empty. */
    uint32_t flows[NSP_FLOW_WAYS_IN_BUCKET];
    uint32_t used;
    uint32_t spilled; /* Flows whose first bucket this is, in the second. */
    uint32_t unused[2];
};
static_assert(sizeof(struct nsp_flow_bucket) == NSP_CACHE_LINE, "one line");

struct nsp_flow_list {
    uint32_t first, last, count;
};

struct nsp_flow_table {
    struct nsp_flow_bucket *buckets;
    struct nsp_flow *flows;
    uint32_t bucket_count;
    uint32_t capacity, fresh, free;
    uint32_t half_open_max;
    uint32_t age_hand, evict_hand;
    uint32_t age_ms, age_left; /* Places not looked at in this millisecond. */
    struct nsp_flow_list half_open, done;
    uint32_t timeout_ms[NSP_FLOW_KIND_L4 + 1][NSP_FLOW_STATES];
    struct nsp_flow_secret secret;
    /* The burst's flows so far, which must stay. */
    const struct nsp_flow_hit *hits;
    uint32_t hit_count;
    struct nsp_flow_stats stats;
    struct nsp_allocator allocator;
    void *bucket_memory, *flow_memory; /* As allocated, not aligned. */
};

/* From the lower bits of the first half: the upper ones choose the bucket, and
 * share bits with the tag in tables of more than 2^18 flows alone. */
static inline uint16_t
nsp_flow_tag(uint32_t first_half)
{
    uint16_t tag = (uint16_t)first_half;

    return tag != 0 ? tag : 1;
}

static inline struct nsp_flow_bucket *
nsp_flow_bucket(const struct nsp_flow_table *table, uint32_t half)
{
    return &table->buckets[(uint64_t)half * table->bucket_count >> 32];
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
