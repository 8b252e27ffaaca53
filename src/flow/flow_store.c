#include "flow/flow_store.h"

#include <errno.h>
#include <string.h>

/* Buckets with this many flows send new ones to their second bucket. */
#define SPILL_AT 13u

/* Flows of the capacity for each bucket. */
#define FLOWS_IN_BUCKET 10u

/* Half-open flows looked at before the next one goes, used or not. */
#define SECOND_CHANCES 4u

/* Of a full table without anything better to evict. */
#define IDLE_SAMPLE 8u

/* Half-open flows are spared below this part of their maximum. */
#define HALF_OPEN_SPARED 16u

static uint32_t
bucket_count_for(uint32_t capacity)
{
    return (uint32_t)(((uint64_t)capacity + FLOWS_IN_BUCKET - 1) /
                      FLOWS_IN_BUCKET);
}

/* --- Lists ---------------------------------------------------------------- */

static uint32_t
index_of(const struct nsp_flow_table *table, const struct nsp_flow *flow)
{
    return (uint32_t)(flow - table->flows);
}

void
nsp_flow_list_add(struct nsp_flow_table *table, struct nsp_flow_list *list,
                  struct nsp_flow *flow)
{
    uint32_t index = index_of(table, flow);

    if (!list)
        return;
    flow->prev = list->last;
    flow->next = NSP_FLOW_NONE;
    if (list->last != NSP_FLOW_NONE)
        table->flows[list->last].next = index;
    else
        list->first = index;
    list->last = index;
    list->count++;
}

void
nsp_flow_list_drop(struct nsp_flow_table *table, struct nsp_flow_list *list,
                   struct nsp_flow *flow)
{
    if (!list)
        return;
    if (flow->prev != NSP_FLOW_NONE)
        table->flows[flow->prev].next = flow->next;
    else
        list->first = flow->next;
    if (flow->next != NSP_FLOW_NONE)
        table->flows[flow->next].prev = flow->prev;
    else
        list->last = flow->prev;
    list->count--;
}

/* --- Memory --------------------------------------------------------------- */

static void *
aligned(void *memory)
{
    uintptr_t address = (uintptr_t)memory;
    uintptr_t padding = (0 - address) & (2 * NSP_CACHE_LINE - 1);

    return (uint8_t *)memory + padding;
}

int
nsp_flow_store_init(struct nsp_flow_table *table)
{
    const size_t padding = 2 * NSP_CACHE_LINE - 1;

    table->bucket_count = bucket_count_for(table->capacity);
    table->bucket_memory =
        nsp_alloc(&table->allocator, 1,
                  table->bucket_count * sizeof table->buckets[0] + padding);
    table->flow_memory =
        nsp_alloc(&table->allocator, 1,
                  nsp_flow_places(table) * sizeof table->flows[0] + padding);
    if (!table->bucket_memory || !table->flow_memory)
        return -ENOMEM;
    table->buckets = aligned(table->bucket_memory);
    table->flows = aligned(table->flow_memory);
    table->half_open = table->done =
        (struct nsp_flow_list){ NSP_FLOW_NONE, NSP_FLOW_NONE, 0 };
    return 0;
}

void
nsp_flow_store_fini(struct nsp_flow_table *table)
{
    nsp_release(&table->allocator, table->bucket_memory);
    nsp_release(&table->allocator, table->flow_memory);
}

size_t
nsp_flow_table_bytes(uint32_t capacity_flows)
{
    const size_t bucket_bytes =
        sizeof(struct nsp_flow_bucket) +
        NSP_FLOW_WAYS_IN_BUCKET * sizeof(struct nsp_flow);

    return sizeof(struct nsp_flow_table) +
           bucket_count_for(capacity_flows) * bucket_bytes +
           4 * NSP_CACHE_LINE - 2;
}

/* --- Places --------------------------------------------------------------- */

/* Counts one flow more (1), or less (-1), of 'first' in its second bucket. */
static void
count_spilled(struct nsp_flow_table *table, uint32_t first, int change)
{
    uint16_t *spilled = &table->buckets[first].tags[NSP_FLOW_WAYS_IN_BUCKET];

    if (nsp_likely(*spilled != UINT16_MAX))
        *spilled = (uint16_t)(*spilled + change);
}

static void
leave_bucket(struct nsp_flow_table *table, const struct nsp_flow *flow)
{
    uint32_t index = index_of(table, flow);

    table->buckets[index / NSP_FLOW_WAYS_IN_BUCKET]
        .tags[index % NSP_FLOW_WAYS_IN_BUCKET] = 0;
    if ((flow->flags & NSP_FLOW_SPILLED) != 0)
        count_spilled(table, nsp_flow_bucket(table, flow->hash.half[0]), -1);
}

static uint32_t
used_of(const struct nsp_flow_bucket *bucket)
{
    return NSP_FLOW_WAYS_IN_BUCKET - nsp_popcount_u64(nsp_flow_ways(bucket, 0));
}

void
nsp_flow_store_remove(struct nsp_flow_table *table, struct nsp_flow *flow)
{
    nsp_flow_list_drop(table, nsp_flow_list_of(table, flow), flow);
    leave_bucket(table, flow);
    *flow = (struct nsp_flow){ .kind = 0 };
    table->stats.flows--;
}

/* --- Eviction ------------------------------------------------------------- */

static bool
must_stay(const struct nsp_flow_table *table, const struct nsp_flow *flow)
{
    for (uint32_t i = 0; i < table->hit_count; i++) {
        if (table->hits[i].flow == flow)
            return true;
    }
    return false;
}

static void
move_to_end(struct nsp_flow_table *table, struct nsp_flow_list *list,
            struct nsp_flow *flow)
{
    nsp_flow_list_drop(table, list, flow);
    nsp_flow_list_add(table, list, flow);
}

/* Evicts the first of 'list' that may go. At most a burst of them must stay. */
static bool
evict_first(struct nsp_flow_table *table, struct nsp_flow_list *list,
            uint64_t *counter)
{
    uint32_t tries = nsp_min_u32(list->count, NSP_BURST_MAX + SECOND_CHANCES);
    uint32_t chances = SECOND_CHANCES;

    for (; tries > 0; tries--) {
        struct nsp_flow *flow = &table->flows[list->first];
        bool used = chances > 0 && list == &table->half_open &&
                    (flow->flags & NSP_FLOW_ACTIVE) != 0;

        if (!used && !must_stay(table, flow)) {
            nsp_flow_store_remove(table, flow);
            (*counter)++;
            return true;
        }
        chances -= used;
        flow->flags &= (uint8_t)~NSP_FLOW_ACTIVE;
        move_to_end(table, list, flow);
    }
    return false;
}

/* Evicts the one idle longest of the next few flows. */
static bool
evict_idle(struct nsp_flow_table *table, uint32_t now_ms)
{
    struct nsp_flow *victim = NULL;
    uint32_t most_idle = 0, looked_at = 0;

    /* The table is full: two places of three have a flow. */
    for (uint32_t i = nsp_flow_places(table);
         i > 0 && (looked_at < IDLE_SAMPLE || !victim); i--) {
        struct nsp_flow_place at = table->evict_hand;
        struct nsp_flow *flow = nsp_flow_at(table, at.bucket, at.way);
        uint32_t idle;

        nsp_flow_place_advance(table, &table->evict_hand, 1);
        if (flow->kind == 0)
            continue;
        looked_at++;
        idle = nsp_flow_idle_ms(flow, now_ms);
        if ((!victim || idle > most_idle) && !must_stay(table, flow)) {
            victim = flow;
            most_idle = idle;
        }
    }
    if (!victim)
        return false;
    nsp_flow_store_remove(table, victim);
    table->stats.evicted_idle++;
    return true;
}

static bool
evict_of_full_table(struct nsp_flow_table *table, uint32_t now_ms)
{
    uint32_t spared = table->half_open_max / HALF_OPEN_SPARED;

    if (evict_first(table, &table->done, &table->stats.evicted_done))
        return true;
    if (table->half_open.count > spared &&
        evict_first(table, &table->half_open, &table->stats.evicted_half_open))
        return true;
    return evict_idle(table, now_ms);
}

bool
nsp_flow_store_admit(struct nsp_flow_table *table)
{
    return table->half_open.count < table->half_open_max ||
           evict_first(table, &table->half_open,
                       &table->stats.evicted_half_open);
}

/* What makes a flow of a crowded bucket go before others: its kind first, then
 * how long it was idle. */
static uint64_t
unworthiness(const struct nsp_flow_table *table, const struct nsp_flow *flow,
             uint32_t now_ms)
{
    uint64_t rank = 0;

    if (nsp_flow_is_expired(table, flow, now_ms))
        rank = 3;
    else if (nsp_flow_is_done(flow))
        rank = 2;
    else if ((flow->flags & NSP_FLOW_CONFIRMED) == 0)
        rank = 1;
    return rank << 32 | nsp_flow_idle_ms(flow, now_ms);
}

/* Evicts one of the flows of two full buckets. */
static bool
evict_crowded(struct nsp_flow_table *table, const uint32_t buckets[2],
              uint32_t now_ms)
{
    struct nsp_flow *victim = NULL;
    uint64_t most = 0;

    for (uint32_t i = 0; i < 2 * NSP_FLOW_WAYS_IN_BUCKET; i++) {
        struct nsp_flow *flow =
            nsp_flow_at(table, buckets[i / NSP_FLOW_WAYS_IN_BUCKET],
                        i % NSP_FLOW_WAYS_IN_BUCKET);
        uint64_t own = unworthiness(table, flow, now_ms);

        if ((!victim || own > most) && !must_stay(table, flow)) {
            victim = flow;
            most = own;
        }
    }
    if (!victim)
        return false;
    nsp_flow_store_remove(table, victim);
    table->stats.evicted_crowded++;
    return true;
}

/* --- Taking --------------------------------------------------------------- */

/* Counts no further than needed: for most new flows this is all. */
static bool
is_spilling(const struct nsp_flow_bucket *bucket)
{
    uint32_t empty = nsp_flow_ways(bucket, 0);

    for (uint32_t i = SPILL_AT; i < NSP_FLOW_WAYS_IN_BUCKET; i++)
        empty &= empty - 1;
    return empty == 0;
}

/* 1 if a new flow goes to its second bucket, else 0. */
static uint32_t
prefers_second(const struct nsp_flow_table *table, const uint32_t buckets[2])
{
    const struct nsp_flow_bucket *first = &table->buckets[buckets[0]];

    return is_spilling(first) &&
           used_of(&table->buckets[buckets[1]]) < used_of(first);
}

struct nsp_flow *
nsp_flow_store_take(struct nsp_flow_table *table, struct nsp_flow_hash hash,
                    uint32_t now_ms)
{
    const uint32_t buckets[2] = {
        nsp_flow_bucket(table, hash.half[0]),
        nsp_flow_bucket(table, hash.half[1]),
    };
    uint32_t second, way;
    struct nsp_flow *flow;

    if (!nsp_flow_store_admit(table))
        return NULL;
    if (table->stats.flows == table->capacity &&
        !evict_of_full_table(table, now_ms))
        return NULL;
    if (nsp_flow_ways(&table->buckets[buckets[0]], 0) == 0 &&
        nsp_flow_ways(&table->buckets[buckets[1]], 0) == 0 &&
        !evict_crowded(table, buckets, now_ms))
        return NULL;

    second = prefers_second(table, buckets);
    way = nsp_ctz_u64(nsp_flow_ways(&table->buckets[buckets[second]], 0));
    table->buckets[buckets[second]].tags[way] = nsp_flow_tag(hash.half[0]);
    flow = nsp_flow_at(table, buckets[second], way);
    flow->hash = hash;
    if (second == 1) {
        flow->flags = NSP_FLOW_SPILLED;
        count_spilled(table, buckets[0], 1);
    }
    table->stats.flows++;
    return flow;
}
