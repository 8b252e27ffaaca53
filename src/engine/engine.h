#ifndef NSP_ENGINE_ENGINE_H
#define NSP_ENGINE_ENGINE_H
#include <stdatomic.h>

#include "engine/config.h"
#include "engine/events.h"
#include "engine/ruleset.h"
#include "os/os.h"

/* An engine from within: engine.c moves it from state to state, engine_read.c
 * tells what it has counted.
 *
 * Problem      Any thread may make any call at any time; stop may come from a
 *              signal handler; destroy may come while a run is on; and no order
 *              of calls may crash or leave a device open.
 * Idea         A small state machine under a lock ('gate') that only the
 *              control side takes, a reference count for the memory, and for
 *              stop, which must not lock, a request flag and a guarded pointer
 *              to the session.
 * Invariants   - 'session' is non-NULL exactly in STARTED and RUNNING, and is
 *                changed under the gate.
 *              - Whoever moves the state to STARTING or RUNNING is the only one
 *                to move it on; it holds a reference meanwhile.
 *              - A session is closed only after 'session' was set to NULL and
 *                'stoppers' was seen at zero afterwards: a stopper that read
 *                the pointer is counted, one that comes later reads NULL.
 * Rejected     A lock in stop (not async-signal-safe); freeing in destroy while
 *              others may call (hence references); an engine table with
 *              generation numbers (a mutable global). */

struct nsp_session;

struct nsp_engine {
    struct nsp_config config;
    atomic_uint refs;
    atomic_int state; /* Of engine.c, written under the gate. */
    atomic_bool disposed;
    atomic_bool stop;
    atomic_uint stoppers; /* Inside stop, using 'session'. */
    _Atomic(struct nsp_session *) session;
    struct nsp_gate *gate;

    struct nsp_ruleset *ruleset; /* Changed under the gate. */
    bool changing; /* Under the gate: a thread replaces the ruleset, and needs
                    * the session. It does not hold the gate while it waits for
                    * the workers: their callbacks may want it. */

    /* Of the last run, under the gate; read when there is no session. */
    struct nsp_stats last_stats;
    struct nsp_rule_stats *last_rules; /* One for each of the ruleset's. */
    struct nsp_class_stats *last_classes;
    struct nsp_diag last_diag;
    struct nsp_events *last_events; /* Not read yet; NULL: none. */
};

#endif /* NSP_ENGINE_ENGINE_H */
