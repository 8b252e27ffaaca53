#ifndef NSP_ENGINE_WORKER_H
#define NSP_ENGINE_WORKER_H
#include <stdatomic.h>

#include "engine/config.h"
#include "engine/copies.h"
#include "engine/events.h"
#include "engine/flows.h"
#include "engine/handover.h"
#include "engine/plan.h"
#include "engine/settle.h"
#include "engine/snapshot.h"
#include "engine/state.h"
#include "netshaper/filter.h"

/* A worker: one thread, one device queue, and everything that its packets wait
 * in, but for queues of classes that another worker has. What it shares with
 * others is immutable while they run, apart from mailboxes and limits.
 *
 * Threads  One thread runs a worker; any thread may read its counters. Others
 *          post to 'mailbox', and use the buckets of the first one's rules.
 */

typedef _Atomic(struct nsp_snapshot *) nsp_snapshot_cell;

struct nsp_worker {
    /* Given by the session, immutable. */
    const struct nsp_config *config;
    const struct nsp_io_ops *ops;
    struct nsp_io *io;
    const struct nsp_filter *filter;
    nsp_snapshot_cell *published;
    struct nsp_event_ring *events; /* NULL where no policy reports. */
    uint32_t queue;
    uint32_t holdable; /* Set of enum nsp_hook, 0 bit: none. */
    bool virtual_time;
    bool ahead;               /* Takes packets before their time. */
    struct nsp_worker *peers; /* All workers, this one at 'queue'. */
    uint32_t peer_count;
    bool settles;                      /* The kernel may be told of flows. */
    struct nsp_shared_bucket *buckets; /* Of limits, by slot; NULL: the kernel
                                        * has no part in them. */

    uint8_t named; /* Bits of enum nsp_essential: the start filter's. */
    uint64_t now_ns;
    const struct nsp_snapshot *snapshot; /* Of this iteration. */
    uint64_t taken_ns;                   /* When it was taken up. */
    bool reads_time;                     /* Filters do. */
    uint32_t adopted;            /* Its classes that have their rates. */
    bool adopts;                 /* Others have not yet. */
    _Atomic uint64_t generation; /* The last taken up for good; 0: none yet. */
    struct nsp_filter_context filter_context;
    struct nsp_flows flows;
    struct nsp_wheel *delays;      /* Packets. */
    struct nsp_wheel *serialisers; /* Class queues. */
    struct nsp_state_store states;
    struct nsp_copies copies;
    struct nsp_tally *changed; /* Linked by next_changed. */

    struct nsp_mailbox mailbox;
    struct nsp_outbox outboxes[NSP_IO_QUEUES_MAX]; /* One for each peer. */

    struct nsp_pkt **early; /* Taken before the poll that they are for. */
    uint32_t early_count;

    /* Packets on their way out of this iteration. */
    struct nsp_pkt *tx[NSP_BURST_MAX];
    uint32_t tx_count;
    bool tx_has_copies;
    struct nsp_pkt *dropped[NSP_BURST_MAX];
    uint32_t dropped_count;

    struct nsp_verdict verdicts[NSP_BURST_MAX];
    struct nsp_matches matches;
    struct nsp_settled settled;
    uint8_t reply[1280];

    struct nsp_stats counted;
    uint32_t unpublished; /* Packets counted since they were published. */
    struct nsp_counters published_stats;
};

/* Prepares the zeroed 'worker', whose first block of fields is set, for what
 * 'plan' says it has to do. Returns 0, -ENOMEM, or what the system says that
 * has no random numbers. */
int nsp_worker_init(struct nsp_worker *worker,
                    const struct nsp_plan *plan) NSP_MUSTCHECK;
void nsp_worker_fini(struct nsp_worker *worker);

/* Takes one burst from the device and decides each packet; then lets go what is
 * due, and sends. Returns how many packets moved. */
uint32_t nsp_worker_poll(struct nsp_worker *worker, uint64_t now_ns);

/* In virtual time: does what calls of poll would at 'now_ns' and following
 * moments before 'until_ns' when something arrives or is due, with packets that
 * the device gives ahead of their time. At least one; the last is 'now_ns' of
 * the worker afterwards. Returns how many packets moved. */
uint32_t nsp_worker_run_until(struct nsp_worker *worker, uint64_t now_ns,
                              uint64_t until_ns);

/* The earliest time at which something held is due, or NSP_TIME_NEVER. */
uint64_t nsp_worker_due_ns(const struct nsp_worker *worker);

/* Delivers all that is held, at once, in order, and gives back what is other
 * workers'. Returns whether nothing of its own is left: what other workers
 * still have comes back, so call again until it does. */
bool nsp_worker_drain(struct nsp_worker *worker);

void nsp_worker_read_stats(const struct nsp_worker *worker,
                           struct nsp_stats *ret);
void nsp_worker_read_rule_stats(const struct nsp_worker *worker, uint32_t slot,
                                struct nsp_rule_counters *ret);
void nsp_worker_read_class_stats(const struct nsp_worker *worker, uint32_t slot,
                                 struct nsp_rule_counters *ret);

#endif /* NSP_ENGINE_WORKER_H */
