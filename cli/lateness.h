#ifndef NSP_CLI_LATENESS_H
#define NSP_CLI_LATENESS_H
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "verify/checks.h"

/* How late this machine is: a thread that asks for a moment each millisecond,
 * and has nothing else to do. What an engine does in time can be judged no
 * better than that.
 *
 * Embedded. Threads  One of its own; start and stop are called by one. */
struct nsp_lateness {
    pthread_t thread;
    atomic_bool stopping;
    uint64_t moments, late; /* Of which more than NSP_CHECK_LATE_NS_MAX. */
    double squares_ns2;     /* Of how late each was noticed, together. */
};

/* Returns 0 or a negative errno. */
int nsp_lateness_start(struct nsp_lateness *lateness);

/* Returns what came of all moments since start. */
struct nsp_late nsp_lateness_stop(struct nsp_lateness *lateness);

#endif /* NSP_CLI_LATENESS_H */
