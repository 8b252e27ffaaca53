#ifndef NSP_SHAPE_CUTOFF_H
#define NSP_SHAPE_CUTOFF_H
#include "base/base.h"
#include "netshaper/impair.h"

/* A connection that stalls or breaks off after so many bytes or so much time,
 * whichever comes first: a black hole for good, or for a while. Bytes are those
 * of the packets that passed before, so the one that reaches the limit still
 * passes; time counts from the start.
 *
 * Units    _ns, times of the caller's clock, not going backwards; _bytes.
 * Threads  A cutoff is immutable; a state has one owner.
 * Cost     Constant, no allocation. */

/* What has happened; all zero at first but for start_ns, which the caller may
 * set. */
struct nsp_cutoff_state {
    uint64_t start_ns;
    uint64_t passed_bytes;
    uint64_t stalled_ns; /* Since when. */
    bool stalled;
};

/* What is wrong with 'cutoff', NULL when nothing is. Static storage. */
const char *nsp_cutoff_fault(const struct nsp_cutoff_config *cutoff);

/* When a packet of 'bytes' that comes at 'now_ns' may pass: 'now_ns' itself,
 * the end of the stall (to hold it until then, or to drop it), or
 * NSP_TIME_NEVER. */
uint64_t nsp_cutoff_pass_ns(const struct nsp_cutoff_config *cutoff,
                            struct nsp_cutoff_state *state, uint64_t now_ns,
                            uint32_t bytes);

#endif /* NSP_SHAPE_CUTOFF_H */
