#ifndef NSP_POLICY_FLOW_CACHE_H
#define NSP_POLICY_FLOW_CACHE_H
#include "flow/flow_table.h"
#include "policy/classifier.h"

/* Remembers with each flow what the rules make of its packets, so that the
 * number of rules matters for a flow's first packets alone.
 *
 * Problem    Most tests ask what is the same in all packets of a flow:
 *            addresses, ports, protocol, direction, interface, owner. But a
 *            verdict that came about through others (length, TTL, flags,
 *            payload, random numbers, the flow's own counters) must not be
 *            kept.
 * Idea       From a packet of a flow, each rule that may match is evaluated
 *            with those other fields unknown (filter/partial.h). Rules that
 *            cannot match are left out; what remains, up to the first that
 *            matches for sure, is the flow's chain. Mostly that is one rule, or
 *            none: the flow keeps its number. Of other chains it keeps that of
 *            the chain, which flows with equal ones share; their later packets
 *            are asked what was unsure: where it is one test of a filter, that
 *            alone, which many rules share, else the filter.
 * Exact      The answers are those of the classifier, always.
 * When       The second packet of each way of a flow makes its chain: a flood
 *            of one-packet flows makes none. Fragments, ICMP and edited packets
 *            have none, nor have flows that would take more than
 *            NSP_FLOW_CHAIN_MAX rules, or more than NSP_FLOW_LOOKS_MAX looks to
 *            make: these ask the classifier for each packet.
 * Bound      'chains_max' shared chains of 56 bytes; what flows keep is in the
 *            flow table. When a shared chain more is needed all are forgotten,
 *            at most once a second; until then new ones ask the classifier.
 *            Cost of a packet with a chain: at most NSP_FLOW_CHAIN_MAX filters;
 *            without: the classifier's, and for one packet of a flow's way the
 *            looks.
 * Reload     nsp_flow_cache_use() takes other rules. Flows are not touched: a
 *            chain is good only with the stamp it was made under, and stamps
 *            are never used twice. There is one for each place where packets
 *            are seen (direction, loopback flag, and interface and owner if a
 *            rule asks), so chains of a flow that comes by another place are
 *            not mistaken either.
 * Threads    A plan is immutable and may be shared; a cache belongs to the
 *            owner of the flow table, of whose flows it uses stamp and value.
 */
struct nsp_flow_plan;
struct nsp_flow_cache;

#define NSP_FLOW_CHAIN_MAX  16u
#define NSP_FLOW_LOOKS_MAX  64u
#define NSP_FLOW_CHAINS_MAX 32768u

/* --- Plans: what rules mean for flows --------------------------------------
 */

/* Prepares 'count' rules for caches: 'classifier' is built of the same rules,
 * and goes_on[r] (NULL: none) says that the search goes on behind rule r.
 * 'options' (NULL: usual) are for a second index. Rules are copied; filters and
 * 'classifier' are borrowed and must outlive the plan. Returns as
 * nsp_classifier_create(). */
int nsp_flow_plan_create(const struct nsp_classifier *classifier,
                         const struct nsp_classifier_rule rules[],
                         const bool goes_on[], uint32_t count,
                         const struct nsp_classifier_options *options,
                         const struct nsp_allocator *allocator,
                         struct nsp_flow_plan **ret) NSP_MUSTCHECK;
struct nsp_flow_plan *nsp_flow_plan_destroy(struct nsp_flow_plan *plan);

/* --- Caches -----------------------------------------------------------------
 */

struct nsp_flow_cache_stats {
    uint64_t cached_pkts, uncached_pkts; /* Packets that had a chain, or not. */
    uint64_t made;                       /* Chains made for a flow's way. */
    uint64_t given_up;                   /* Of these, too long, or too many. */
    uint64_t forgotten;                  /* Times that all chains were. */
    uint32_t chains;                     /* Shared ones, now. */
};

/* 'chains_max' is 1..NSP_FLOW_CHAINS_MAX. Returns 0, -EINVAL or -ENOMEM. No
 * allocation afterwards. */
int nsp_flow_cache_create(uint32_t chains_max,
                          const struct nsp_allocator *allocator,
                          struct nsp_flow_cache **ret) NSP_MUSTCHECK;
struct nsp_flow_cache *nsp_flow_cache_destroy(struct nsp_flow_cache *cache);

/* Takes another plan, between bursts: the old one is no longer used. */
void nsp_flow_cache_use(struct nsp_flow_cache *cache,
                        const struct nsp_flow_plan *plan);

void nsp_flow_cache_read_stats(const struct nsp_flow_cache *cache,
                               struct nsp_flow_cache_stats *ret);

/* --- Lookup -----------------------------------------------------------------
 */

/* What was found out about a burst. The caller's, opaque to it. */
struct nsp_flow_cache_walk {
    const struct nsp_flow_cache *cache;
    struct nsp_pkt *const *pkts;
    const struct nsp_filter_context *context;
    uint64_t chained;              /* Packets that share a chain. */
    uint64_t missed;               /* Packets without a chain, */
    uint8_t places[NSP_BURST_MAX]; /* their places among those, */
    struct nsp_pkt *misses[NSP_BURST_MAX];
    struct nsp_classifier_walk inner; /* and what the classifier knows. */
    uint16_t values[NSP_BURST_MAX];   /* What the flows keep. */
};

/* Looks up the flows of 'n' parsed packets, which hits[i] (of
 * nsp_flow_table_track_burst() just before, of the same packets) names. A hit
 * without a flow is no error. The rest as in nsp_classifier_begin(). 'now_ns'
 * must not go backwards. */
void nsp_flow_cache_begin(struct nsp_flow_cache *cache,
                          struct nsp_pkt *const pkts[],
                          const struct nsp_flow_hit hits[], uint32_t n,
                          uint64_t now_ns,
                          const struct nsp_filter_context *context,
                          struct nsp_flow_cache_walk *walk);

/* As nsp_classifier_next(), with one rule more: start[i] is 0, or the number
 * behind a rule that was found and behind which the search goes on. */
void nsp_flow_cache_next(const struct nsp_flow_cache_walk *walk, uint64_t mask,
                         const uint32_t start[], uint32_t ret[]);

/* Of 'n' packets, those whose first rule (or that there is none) no filter had
 * to be asked for: it is the same for all packets of the flow's way that are
 * seen in the same place. */
uint64_t nsp_flow_cache_settled(const struct nsp_flow_cache_walk *walk,
                                uint32_t n);

#endif /* NSP_POLICY_FLOW_CACHE_H */
