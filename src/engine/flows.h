#ifndef NSP_ENGINE_FLOWS_H
#define NSP_ENGINE_FLOWS_H
#include "engine/config.h"
#include "policy/policy.h"

/* The flows of one worker: their table, what filters see of them in the burst
 * in hand, and the cache of what the rules make of them.
 *
 * Threads  The worker's own. Cost  No allocation after init. */
struct nsp_flows {
    struct nsp_flow_table *table; /* NULL: flows are not tracked. */
    struct nsp_flow_cache *cache;
    bool tracks, reads, caches; /* With the policy in force. */
    bool filter_reads;          /* The start filter does. */
    bool told;                  /* The device is told what the cache finds. */
    bool virtual_time;

    /* Of the burst. */
    struct nsp_flow_hit hits[NSP_BURST_MAX]; /* Where flows are tracked. */
    struct nsp_flow_view views[NSP_BURST_MAX];
};

/* Returns 0, -ENOMEM or another negative errno. 'filter' is the start filter;
 * 'told' says that a device is told of flows. */
int nsp_flows_init(struct nsp_flows *flows, const struct nsp_config *config,
                   const struct nsp_filter *filter, bool virtual_time,
                   bool told) NSP_MUSTCHECK;
void nsp_flows_fini(struct nsp_flows *flows);

/* Takes up the policy in force. */
void nsp_flows_use(struct nsp_flows *flows, const struct nsp_policy *policy);

/* Finds the flows of a burst of parsed packets, and sets pkt->flow of each; to
 * NULL where nothing reads it. In virtual time packets may arrive at several
 * moments from 'now_ns' on, within NSP_FLOWS_AHEAD_NS, and are tracked as if
 * each came alone: if can_track_ahead. */
void nsp_flows_track(struct nsp_flows *flows, struct nsp_pkt *const pkts[],
                     uint32_t n, uint64_t now_ns);
bool nsp_flows_can_track_ahead(const struct nsp_flows *flows, uint32_t n);

/* Less than any flow takes to time out. */
#define NSP_FLOWS_AHEAD_NS (NSP_NS_PER_SECOND / 2)

#endif /* NSP_ENGINE_FLOWS_H */
