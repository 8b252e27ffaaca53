#ifndef NSP_ENGINE_PACER_H
#define NSP_ENGINE_PACER_H
#include "base/base.h"

/* Decides how long a worker may sleep so that it is awake when something is
 * due.
 *
 * A sleeping thread runs later than it asked for, by what the machine's timers,
 * its idle states and other threads make of it. So the pacer learns how late
 * waits end and ends the next one that much earlier; the rest is waited awake.
 *
 * Promise    Of the time that passes, at most one part in NSP_PACER_AWAKE_SHARE
 *            and NSP_PACER_CREDIT_NS_MAX besides are spent awake with nothing
 *            to do. Beyond that waits end when they end. A worker that holds
 *            nothing never waits awake.
 * Units      _ns, of the clock that the caller reads.
 * Threads    One worker owns a pacer. */

/* Lateness that is made up for; more is the machine's, not the timers'. */
#define NSP_PACER_LATE_NS_MIN UINT64_C(10000)
#define NSP_PACER_LATE_NS_MAX UINT64_C(300000)

#define NSP_PACER_AWAKE_SHARE   4
#define NSP_PACER_CREDIT_NS_MAX INT64_C(5000000)

struct nsp_pacer {
    uint64_t late_ns;  /* Waits end at most this late, 49 of 50 times. */
    int64_t credit_ns; /* Time that may still be waited awake. */
    uint64_t asked_ns; /* Of the last question; 0: none yet. */
    bool awake;        /* It was answered by waiting awake. */
};

void nsp_pacer_init(struct nsp_pacer *pacer);

/* Tells until when to sleep if the next thing is due at 'due_ns'
 * (NSP_TIME_NEVER: nothing is). 'now_ns' or earlier: not at all. */
uint64_t nsp_pacer_sleep_until_ns(struct nsp_pacer *pacer, uint64_t now_ns,
                                  uint64_t due_ns) NSP_MUSTCHECK;

/* Tells that a sleep until 'until_ns' has ended at 'now_ns'; if earlier,
 * something else ended it. */
void nsp_pacer_woke(struct nsp_pacer *pacer, uint64_t until_ns,
                    uint64_t now_ns);

#endif /* NSP_ENGINE_PACER_H */
