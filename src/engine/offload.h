#ifndef NSP_ENGINE_OFFLOAD_H
#define NSP_ENGINE_OFFLOAD_H
#include "engine/config.h"
#include "engine/snapshot.h"
#include "netshaper/stats.h"
#include "os/os.h"
#include "shape/policer.h"

/* What a device decides in the kernel for a session, by the first rules of the
 * policy in force (netshaper/io.h), and what it has counted.
 *
 * Which rules  Those that pass, drop, count, or limit and pass, and do nothing
 *              else. A rule that does more is there too, to be asked about:
 *              what it cannot match goes on to the rules after it.
 * Limits       Their buckets are words that kernel and engine share, by the
 *              slot of the rule's name, whoever decides.
 * Flows        Where rules are left to the engine, workers tell of flows that
 *              these have decided (engine/settle.h).
 * Spared       Rules that drop spare what a host needs (policy/spare.c); the
 *              engine is asked about such packets before all rules.
 * When not     With a callback, which sees every packet; where a filter reads
 *              what is known of flows, which packets that nobody sees would
 *              falsify; where it was not wanted.
 * Counters     Of rules in force the kernel has them; those of rules before are
 *              kept by the slot of their name.
 * Threads      apply and begin_rule by one at a time; the readers by any. */
struct nsp_offload {
    const struct nsp_io_ops *ops; /* NULL: nothing is decided in the kernel. */
    struct nsp_io *io;
    struct nsp_log_sink log;
    bool same_clock;                   /* Hits have the engine's time. */
    struct nsp_shared_bucket *buckets; /* By slot: NSP_SLOTS_MAX. NULL: limits
                                        * are the engine's alone. */
    struct nsp_allocator allocator;

    struct nsp_filter *essential; /* What rules may spare, at least. */
    struct nsp_gate *gate;
    struct nsp_offload_counters *last; /* By slot: NSP_SLOTS_MAX. */
    struct nsp_offload_counters last_all;
    uint32_t slots[NSP_OFFLOAD_RULES_MAX]; /* Of the rules in force;
                                            * NSP_SLOT_NONE is no rule's. */
    uint32_t count;
    bool active;
    uint32_t flow_rules; /* What rules flows may name, and by slot the number of
                          * each, from 1. */
    uint32_t *flow_entry; /* NSP_SLOTS_MAX. */
};

/* The rules to hand to a device. */
struct nsp_offload_list {
    struct nsp_offload_rule rules[NSP_OFFLOAD_RULES_MAX];
    uint32_t indices[NSP_OFFLOAD_RULES_MAX]; /* In the policy, or
                                              * NSP_RULE_NONE. */
    uint32_t count;
    bool complete; /* What none matches, no rule of the policy matches. */
    bool flows;    /* Flows may have verdicts. */
};

/* Prepares for the open device. Returns 0 or -ENOMEM. */
int nsp_offload_init(struct nsp_offload *offload,
                     const struct nsp_config *config,
                     const struct nsp_io_ops *ops,
                     struct nsp_io *io) NSP_MUSTCHECK;

/* Accepts a zeroed one. */
void nsp_offload_fini(struct nsp_offload *offload);

/* Forgets what was counted under 'slot', which another name gets. */
void nsp_offload_begin_rule(struct nsp_offload *offload, uint32_t slot);

/* Puts the rules of 'snapshot' in force. Where the kernel cannot have them, it
 * decides nothing: a warning says so. */
void nsp_offload_apply(struct nsp_offload *offload,
                       const struct nsp_snapshot *snapshot,
                       const struct nsp_filter *start);

/* Add what the kernel has counted. */
void nsp_offload_add_stats(struct nsp_offload *offload, struct nsp_stats *to);
void nsp_offload_add_rule_stats(struct nsp_offload *offload, uint32_t slot,
                                struct nsp_rule_stats *to);

/* Makes the filter of all that rules may spare. Returns NSP_OK or
 * NSP_NO_MEMORY. */
int nsp_offload_compile_essential(const struct nsp_allocator *allocator,
                                  struct nsp_filter **ret) NSP_MUSTCHECK;

/* What a device that shares buckets may do by 'rule', enum nsp_offload_does. */
uint8_t nsp_offload_does(const struct nsp_policy_rule *rule);

/* Tells whether a filter reads what is known of flows. */
bool nsp_offload_reads_flows(const struct nsp_policy *policy,
                             const struct nsp_filter *start);

/* Lists what of 'policy' a device, which may have no 'buckets' to share, may
 * decide behind the filter 'start'. Which bucket is whose is left open. */
void nsp_offload_choose(const struct nsp_policy *policy,
                        const struct nsp_filter *start,
                        const struct nsp_filter *essential, bool buckets,
                        struct nsp_offload_list *ret);

#endif /* NSP_ENGINE_OFFLOAD_H */
