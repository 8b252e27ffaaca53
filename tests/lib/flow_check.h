#ifndef NSP_TESTS_LIB_FLOW_CHECK_H
#define NSP_TESTS_LIB_FLOW_CHECK_H
#include <string.h>

#include "flow/flow_store.h"

/* The invariants of a flow table, in words. Returns the first that is broken,
 * or NULL. Slow. */

static inline const char *
check_flow_list(const struct nsp_flow_table *table,
                const struct nsp_flow_list *list)
{
    uint32_t at = list->first, before = NSP_FLOW_NONE, count = 0;

    for (; at != NSP_FLOW_NONE; at = table->flows[at].next) {
        const struct nsp_flow *flow = &table->flows[at];

        if (flow->kind == 0)
            return "a free flow is in a list";
        if (flow->prev != before)
            return "a list's links disagree";
        if (nsp_flow_list_of((struct nsp_flow_table *)(uintptr_t)table, flow) !=
            list)
            return "a flow is in the wrong list";
        if (++count > table->capacity)
            return "a list is a ring";
        before = at;
    }
    if (list->last != before)
        return "a list's end is wrong";
    return count == list->count ? NULL : "a list's count is wrong";
}

static inline const char *
check_flow_buckets(const struct nsp_flow_table *table)
{
    static const struct nsp_flow nothing;
    uint64_t total = 0, spilled = 0, spilled_flows = 0;

    for (uint32_t b = 0; b < table->bucket_count; b++) {
        const struct nsp_flow_bucket *bucket = &table->buckets[b];
        for (uint32_t way = 0; way < NSP_FLOW_WAYS_IN_BUCKET; way++) {
            const struct nsp_flow *flow = nsp_flow_at(table, b, way);
            bool second;

            if (bucket->tags[way] == 0 &&
                memcmp(flow, &nothing, sizeof nothing) != 0)
                return "a place without a tag is not empty";
            if (bucket->tags[way] == 0)
                continue;
            total++;
            second = (flow->flags & NSP_FLOW_SPILLED) != 0;
            spilled_flows += second;
            if (flow->kind == 0)
                return "a free flow is in a bucket";
            if (nsp_flow_tag(flow->hash.half[0]) != bucket->tags[way])
                return "a tag is wrong";
            if (nsp_flow_bucket(table, flow->hash.half[second]) != b)
                return "a flow is in a bucket that is not its own";
        }
        spilled += nsp_flow_spilled(bucket);
    }
    if (spilled != spilled_flows)
        return "the counts of spilled flows are wrong";
    return total == table->stats.flows ? NULL : "flows are in no bucket";
}

static inline const char *
check_flow_counts(const struct nsp_flow_table *table)
{
    const struct nsp_flow_stats *s = &table->stats;
    uint64_t confirmed = 0, live = 0;

    for (uint32_t i = 0; i < nsp_flow_places(table); i++) {
        const struct nsp_flow *flow = &table->flows[i];

        live += flow->kind != 0;
        confirmed += flow->kind != 0 && !nsp_flow_is_done(flow) &&
                     (flow->flags & NSP_FLOW_CONFIRMED) != 0;
    }
    if (live != s->flows)
        return "the count of flows is wrong";
    if (confirmed + table->half_open.count + table->done.count != live)
        return "a flow is in no list";
    if (s->begun != s->flows + s->reopened + s->aged + s->evicted_done +
                        s->evicted_half_open + s->evicted_idle +
                        s->evicted_crowded)
        return "the counters do not add up";
    if (table->half_open.count > table->half_open_max + NSP_BURST_MAX)
        return "too many flows are half-open";
    return s->flows <= table->capacity ? NULL : "too many flows";
}

static inline const char *
check_flow_table(const struct nsp_flow_table *table)
{
    const char *broken = check_flow_list(table, &table->half_open);

    broken = broken ? broken : check_flow_list(table, &table->done);
    broken = broken ? broken : check_flow_buckets(table);
    return broken ? broken : check_flow_counts(table);
}

#endif /* NSP_TESTS_LIB_FLOW_CHECK_H */
