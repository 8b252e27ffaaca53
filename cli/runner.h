#ifndef NSP_CLI_RUNNER_H
#define NSP_CLI_RUNNER_H
#include <pthread.h>
#include <stdbool.h>

#include "netshaper/engine.h"

/* An engine that runs in a thread of its own, for commands whose own thread
 * has other work meanwhile. Embedded; all zero is a runner that never started.
 *
 * Threads  start and stop are called by one thread. */
struct nsp_runner {
    struct nsp_engine *engine;
    pthread_t thread;
    bool started;
    int result; /* Of the run, once stopped. */

    /* Not NULL: called in that thread when the run has ended. */
    void (*ended)(void *context);
    void *ended_context;
};

/* Creates an engine, starts it on 'filter' in the calling thread's network
 * namespace and runs it. Returns NSP_OK, or what create and start say. */
int nsp_runner_start(struct nsp_runner *runner,
                     const struct nsp_engine_config *cfg, const char *filter,
                     struct nsp_diag *reterr);

/* Ends the run, copies the counters (unless 'ret' is NULL) and destroys the
 * engine. Returns NSP_OK, or what ended the run before its time, 'reterr'
 * filled. Harmless on a runner that never started. */
int nsp_runner_stop(struct nsp_runner *runner, struct nsp_stats *ret,
                    struct nsp_diag *reterr);

#endif /* NSP_CLI_RUNNER_H */
