#define _GNU_SOURCE
#include "cli/lateness.h"

#include <math.h>
#include <sys/prctl.h>

#include "cli/clock.h"
#include "cli/thread.h"

#define INTERVAL_NS UINT64_C(1000000)

/* Moments that passed while the thread did not run are noticed late, each of
 * them: a long time counts for as long as it was. */
static void *
run(void *opaque)
{
    struct nsp_lateness *lateness = opaque;
    uint64_t due_ns = nsp_cli_now_ns();

    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    while (!atomic_load(&lateness->stopping)) {
        double late_ns;

        due_ns += INTERVAL_NS;
        nsp_cli_sleep_until(due_ns);
        late_ns = (double)(int64_t)(nsp_cli_now_ns() - due_ns);
        lateness->squares_ns2 += late_ns * late_ns;
        lateness->moments++;
        lateness->late += late_ns > NSP_CHECK_LATE_NS_MAX;
    }
    return NULL;
}

int
nsp_lateness_start(struct nsp_lateness *lateness)
{
    lateness->moments = lateness->late = 0;
    lateness->squares_ns2 = 0;
    atomic_init(&lateness->stopping, false);
    return nsp_cli_thread_create(&lateness->thread, run, lateness);
}

struct nsp_late
nsp_lateness_stop(struct nsp_lateness *lateness)
{
    double n;

    atomic_store(&lateness->stopping, true);
    pthread_join(lateness->thread, NULL);
    n = fmax((double)lateness->moments, 1);
    return (struct nsp_late){ .ns = sqrt(lateness->squares_ns2 / n),
                              .share = (double)lateness->late / n };
}
