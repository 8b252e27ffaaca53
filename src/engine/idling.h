#ifndef NSP_ENGINE_IDLING_H
#define NSP_ENGINE_IDLING_H
#include "base/base.h"

/* Decides when a worker asks the system that idle processors wake promptly
 * (struct nsp_cpu_latency): while something is due soon, and for a while after,
 * so that traffic with gaps does not have it ask again and again.
 *
 * Promise    A worker that holds nothing asks for nothing, but for the
 *            NSP_IDLING_LINGER_NS after it did. It changes its mind at most
 *            twice in that time.
 * Units      _ns, of the clock that the caller reads.
 * Threads    One worker owns it. */
#define NSP_IDLING_LINGER_NS UINT64_C(1000000000)

struct nsp_idling {
    uint64_t soon_ns; /* When something was due soon, the last time. */
    bool prompt;      /* Processors should wake promptly from now on. */
};

/* Decides, before a wait for what is due at 'due_ns' (NSP_TIME_NEVER: nothing
 * is), and returns when to ask again at the latest. */
uint64_t nsp_idling_decide(struct nsp_idling *idling, uint64_t now_ns,
                           uint64_t due_ns) NSP_MUSTCHECK;

#endif /* NSP_ENGINE_IDLING_H */
