#ifndef NSP_SHAPE_THROTTLE_H
#define NSP_SHAPE_THROTTLE_H
#include "base/base.h"
#include "netshaper/impair.h"

/* A limit of packets in time: a token bucket that fills with 'pkts' in each
 * 'per_ns', evenly, and holds 'burst_pkts'. A packet takes one. Without one it
 * is dropped or, where a queue is asked for, leaves when there is one for it,
 * behind those that wait. So over every interval of T at most
 *
 *     burst_pkts + T pkts / per_ns
 *
 * packets leave. Arithmetic is exact.
 *
 * Units    _ns; times of the caller's clock, not going backwards.
 * Threads  A throttle is immutable; a state has one owner.
 * Cost     Constant, no allocation: the caller's delay line holds the packets.
 */

/* What has happened; all zero at first: the bucket is full. */
struct nsp_throttle_state {
    uint64_t at_ns;
    uint64_t owed; /* Tokens missing, of 1 / per_ns each. */
};

/* What is wrong with 'throttle', NULL when nothing is. Static storage. */
const char *nsp_throttle_fault(const struct nsp_throttle_config *throttle);

/* When the packet that comes at 'now_ns' leaves, NSP_TIME_NEVER when it is
 * dropped. */
uint64_t nsp_throttle_depart_ns(const struct nsp_throttle_config *throttle,
                                struct nsp_throttle_state *state,
                                uint64_t now_ns);

#endif /* NSP_SHAPE_THROTTLE_H */
