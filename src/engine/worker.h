#ifndef NSP_ENGINE_WORKER_H
#define NSP_ENGINE_WORKER_H
#include "base/prng.h"
#include "engine/config.h"
#include "engine/stats.h"
#include "impair/loss.h"
#include "netshaper/filter.h"
#include "policy/policy.h"
#include "shape/bottleneck.h"
#include "shape/wheel.h"

/* A worker: one thread, one device queue, and everything that its packets wait
 * in. Shares nothing with other workers but what is immutable while they run.
 *
 * Threads  One thread runs a worker; any thread may read its counters. */

/* The queue of one rule and direction in front of its serialiser. */
struct nsp_rule_queue {
    struct nsp_wheel_node timer;       /* In the worker's 'serialisers'. */
    struct nsp_bottleneck *bottleneck; /* NULL: no rate. */
    bool armed;
};

#define NSP_DIRECTIONS 3u /* enum nsp_direction. */

/* One rule's live state. */
struct nsp_rule_state {
    const struct nsp_rule *rule;
    struct nsp_loss loss;
    struct nsp_loss_state loss_state;
    struct nsp_prng random;
    struct nsp_rule_queue queues[NSP_DIRECTIONS];
    struct nsp_rule_counters counted;
    bool changed; /* Since it was last published. */
    struct nsp_counters published;
};

struct nsp_worker {
    /* Given by the session, immutable. */
    const struct nsp_config *config;
    const struct nsp_io_ops *ops;
    struct nsp_io *io;
    const struct nsp_filter *filter;
    const struct nsp_policy *policy;
    uint32_t queue;
    uint32_t holdable; /* Set of enum nsp_hook, 0 bit: none. */
    bool virtual_time;

    uint64_t now_ns;
    struct nsp_filter_context filter_context;
    struct nsp_wheel *delays;      /* Packets. */
    struct nsp_wheel *serialisers; /* Rule queues. */
    struct nsp_rule_state *rules;
    uint32_t rule_count;
    uint32_t changed_count;
    uint32_t *changed_rules;

    /* Packets on their way out of this iteration. */
    struct nsp_pkt *tx[NSP_BURST_MAX];
    uint32_t tx_count;
    struct nsp_pkt *dropped[NSP_BURST_MAX];
    uint32_t dropped_count;

    struct nsp_verdict verdicts[NSP_BURST_MAX];
    uint8_t reply[1280];

    struct nsp_stats counted;
    struct nsp_counters published;
};

/* Prepares the zeroed 'worker', whose first block of fields is set. 'holds'
 * says whether packets may have to wait. Returns 0 or -ENOMEM. */
int nsp_worker_init(struct nsp_worker *worker, bool holds) NSP_MUSTCHECK;
void nsp_worker_fini(struct nsp_worker *worker);

/* Takes one burst from the device and decides each packet; then lets go what is
 * due, and sends. Returns how many packets moved. */
uint32_t nsp_worker_poll(struct nsp_worker *worker, uint64_t now_ns);

/* The earliest time at which something held is due, or NSP_TIME_NEVER. */
uint64_t nsp_worker_due_ns(const struct nsp_worker *worker);

/* Delivers all that is held, at once, in order. */
void nsp_worker_drain(struct nsp_worker *worker);

void nsp_worker_read_stats(const struct nsp_worker *worker,
                           struct nsp_stats *ret);
void nsp_worker_read_rule_stats(const struct nsp_worker *worker, uint32_t index,
                                struct nsp_rule_counters *ret);

#endif /* NSP_ENGINE_WORKER_H */
