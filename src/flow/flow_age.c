#include "flow/flow_age.h"

#include "flow/flow_store.h"

static enum nsp_flow_timer
timer_of(uint32_t l4, uint32_t state)
{
    switch (l4) {
    case NSP_L4_TCP:
        if (state >= NSP_FLOW_TIME_WAIT)
            return NSP_FLOW_TIMER_TCP_DONE;
        if (state == NSP_FLOW_SYN_SENT || state == NSP_FLOW_SYN_RECEIVED)
            return NSP_FLOW_TIMER_TCP_OPENING;
        return state == NSP_FLOW_ESTABLISHED ? NSP_FLOW_TIMER_TCP_ESTABLISHED
                                             : NSP_FLOW_TIMER_TCP_CLOSING;
    case NSP_L4_UDP:
        return state == NSP_FLOW_ESTABLISHED ? NSP_FLOW_TIMER_UDP_ESTABLISHED
                                             : NSP_FLOW_TIMER_UDP_NEW;
    case NSP_L4_ICMP:
    case NSP_L4_ICMPV6:
        return NSP_FLOW_TIMER_ICMP;
    default:
        return NSP_FLOW_TIMER_OTHER;
    }
}

void
nsp_flow_age_init(struct nsp_flow_table *table,
                  const struct nsp_flow_config *cfg)
{
    static const uint32_t defaults[NSP_FLOW_TIMER_COUNT] = {
#define DEFAULT(id, seconds) [id] = (seconds),
        NSP_FLOW_TIMERS(DEFAULT)
#undef DEFAULT
    };

    table->timeout_min_ms = UINT32_MAX;
    for (uint32_t l4 = 0; l4 <= NSP_FLOW_KIND_L4; l4++) {
        for (uint32_t state = 0; state < NSP_FLOW_STATES; state++) {
            enum nsp_flow_timer timer = timer_of(l4, state);
            uint32_t seconds = cfg->timeout_s[timer];

            table->timeout_ms[l4][state] =
                1000 * (seconds != 0 ? seconds : defaults[timer]);
            table->timeout_min_ms = nsp_min_u32(table->timeout_min_ms,
                                                table->timeout_ms[l4][state]);
        }
    }
}

/* Ages the next places of one bucket. */
static uint32_t
age_places(struct nsp_flow_table *table, uint32_t now_ms, uint32_t count)
{
    struct nsp_flow_place *hand = &table->age_hand;
    uint32_t empty = nsp_flow_ways(&table->buckets[hand->bucket], 0);
    uint32_t ways = ~empty & ((1u << count) - 1) << hand->way;
    uint32_t removed = 0;

    for (; ways != 0; ways &= ways - 1) {
        struct nsp_flow *flow =
            nsp_flow_at(table, hand->bucket, nsp_ctz_u64(ways));

        if (nsp_flow_is_expired(table, flow, now_ms)) {
            nsp_flow_store_remove(table, flow);
            removed++;
        }
    }
    nsp_flow_place_advance(table, hand, count);
    return removed;
}

uint32_t
nsp_flow_table_age(struct nsp_flow_table *table, uint64_t now_ns, uint32_t max)
{
    uint32_t now_ms = (uint32_t)(now_ns / NSP_FLOW_NS_PER_MS);
    uint32_t removed = 0;

    /* Nothing expires within a millisecond: times are kept in these. */
    if (table->age_ms != now_ms) {
        table->age_ms = now_ms;
        table->age_left = nsp_flow_places(table);
    }
    max = nsp_min_u32(max, table->age_left);
    table->age_left -= max;
    while (max > 0) {
        uint32_t places =
            nsp_min_u32(max, NSP_FLOW_WAYS_IN_BUCKET - table->age_hand.way);

        removed += age_places(table, now_ms, places);
        max -= places;
    }
    table->stats.aged += removed;
    return removed;
}
