#include "shape/throttle.h"

#include "netshaper/packet.h"

const char *
nsp_throttle_fault(const struct nsp_throttle_config *throttle)
{
    if (throttle->pkts == 0 || throttle->pkts > NSP_THROTTLE_PKTS_MAX)
        return "a throttle is outside 1 to 1000000000 packets";
    if (throttle->per_ns == 0 || throttle->per_ns > NSP_THROTTLE_NS_MAX)
        return "a throttle's time is outside 1 ns to one hour";
    if (throttle->burst_pkts == 0 ||
        throttle->burst_pkts > NSP_THROTTLE_HELD_MAX)
        return "a throttle's burst is outside 1 to 1048576 packets";
    if (throttle->queue_pkts > NSP_THROTTLE_HELD_MAX)
        return "a throttle's queue is above 1048576 packets";
    return NULL;
}

/* Time pays back 'pkts' of the units in each nanosecond; a packet borrows
 * 'per_ns' of them. Burst and queue of the largest size are below 2^63. */
uint64_t
nsp_throttle_depart_ns(const struct nsp_throttle_config *throttle,
                       struct nsp_throttle_state *state, uint64_t now_ns)
{
    uint64_t most = throttle->burst_pkts * throttle->per_ns;
    uint64_t passed_ns = now_ns - state->at_ns, owed;

    if (passed_ns > state->owed / throttle->pkts)
        state->owed = 0;
    else
        state->owed -= passed_ns * throttle->pkts;
    state->at_ns = now_ns;

    owed = state->owed + throttle->per_ns;
    if (owed <= most) {
        state->owed = owed;
        return now_ns;
    }
    /* Packets that wait are those beyond the burst, the last in part. */
    if ((owed - most - 1) / throttle->per_ns + 1 > throttle->queue_pkts)
        return NSP_TIME_NEVER;
    state->owed = owed;
    return nsp_add_sat_u64(now_ns, (owed - most - 1) / throttle->pkts + 1);
}
