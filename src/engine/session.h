#ifndef NSP_ENGINE_SESSION_H
#define NSP_ENGINE_SESSION_H
#include <stdatomic.h>

#include "engine/config.h"
#include "engine/offload.h"
#include "engine/plan.h"
#include "engine/rate_store.h"
#include "engine/slots.h"
#include "engine/worker.h"
#include "os/os.h"

/* One time between start and the end of a run: the open device, the compiled
 * filter and policy, and the workers.
 *
 * Threads  open, close and set_ruleset by one thread at a time. loop runs on
 * the caller's thread and one more for each further worker. wake from any
 * thread or signal handler while the session is open. Readers from any thread.
 */
struct nsp_session {
    const struct nsp_config *config;
    const struct nsp_io_ops *ops;
    struct nsp_io *io;
    struct nsp_filter *filter;
    struct nsp_plan plan;         /* Of the policy in force. */
    nsp_snapshot_cell snapshot;   /* In force; changed by the control side. */
    struct nsp_snapshot *retired; /* The one before, until it is reclaimed. */
    struct nsp_slots *rule_slots, *class_slots;
    struct nsp_gate *slots_gate; /* Of who begins slots, or drains them all. */
    struct nsp_rate_store rates;
    struct nsp_offload offload;
    uint32_t worker_count;
    struct nsp_worker *workers;
    struct nsp_events *events; /* NULL where no policy reports. */
    bool virtual_time;

    const atomic_bool *stop; /* The engine's; set once, never cleared. */
    atomic_bool ended;       /* A worker has ended the loop for all. */
    atomic_bool quiesced;    /* Nothing new comes in. */
    atomic_flag quiesce_won; /* By the worker that quiesces. */
    atomic_uint settled;     /* Workers that have all their packets back. */
    uint32_t started;        /* Workers with a thread; the first one's only. */
    atomic_int result;       /* First that is not NSP_OK. */
    _Atomic uint64_t threads[NSP_IO_QUEUES_MAX]; /* Running now, 0 none. */
    uint64_t duration_ns;
    struct nsp_diag diag; /* Of a negative result. */
};

/* Compiles 'filter', plans what the device must do for 'ruleset', and opens it.
 * Returns NSP_OK or a negative result with 'reterr' filled and nothing held. */
int nsp_session_open(const struct nsp_config *config,
                     struct nsp_ruleset *ruleset, const char *filter,
                     const atomic_bool *stop, struct nsp_session **ret,
                     struct nsp_diag *reterr) NSP_MUSTCHECK;

/* Puts 'ruleset' in force and waits until every worker has left the one before.
 * Returns NSP_OK, NSP_NOT_POSSIBLE (the open device cannot do it) or
 * NSP_NO_MEMORY; nothing is then changed. Not on a worker's thread. */
int nsp_session_set_ruleset(struct nsp_session *session,
                            struct nsp_ruleset *ruleset,
                            struct nsp_diag *reterr) NSP_MUSTCHECK;

/* Frees the snapshot that set_ruleset has replaced: no worker uses it, and no
 * thread reads counters now. */
void nsp_session_reclaim(struct nsp_session *session);

/* Publishes the first snapshot, before any worker runs (publish.c). */
int nsp_session_publish(struct nsp_session *session,
                        struct nsp_ruleset *ruleset,
                        struct nsp_diag *reterr) NSP_MUSTCHECK;
void nsp_session_unpublish(struct nsp_session *session);

/* Gives away the events that nobody has read, NULL if there cannot be any. No
 * worker runs any more. */
struct nsp_events *nsp_session_take_events(struct nsp_session *session);

/* Closes the device; what it still keeps is let go. NULL is ignored. */
struct nsp_session *nsp_session_close(struct nsp_session *session);

/* Runs the workers until 'stop' is set, input ends, 'duration_ns' has passed or
 * the device fails; then delivers what is held. Returns NSP_OK (end of input),
 * NSP_STOPPED, NSP_INVALID_HANDLE or NSP_TOO_MANY_ERRORS. */
int nsp_session_loop(struct nsp_session *session, uint64_t duration_ns);

/* Makes every worker look at 'stop'. Async-signal-safe. */
void nsp_session_wake(struct nsp_session *session);

/* Tells whether the calling thread is one of the workers. */
bool nsp_session_on_worker(const struct nsp_session *session);

void nsp_session_read_stats(struct nsp_session *session, struct nsp_stats *ret);

/* Of the snapshot in force. Returns NSP_OK, or NSP_NOT_FOUND for an index
 * beyond its last. Not while another thread reclaims. */
int nsp_session_read_rule_stats(struct nsp_session *session, uint32_t index,
                                struct nsp_rule_stats *ret) NSP_MUSTCHECK;
int nsp_session_read_class_stats(struct nsp_session *session, uint32_t index,
                                 struct nsp_class_stats *ret) NSP_MUSTCHECK;

#endif /* NSP_ENGINE_SESSION_H */
