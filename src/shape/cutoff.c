#include "shape/cutoff.h"

#include "netshaper/packet.h"

const char *
nsp_cutoff_fault(const struct nsp_cutoff_config *cutoff)
{
    if (cutoff->after_bytes == 0 && cutoff->after_ns == 0)
        return "a cut-off comes after bytes or a time";
    if (cutoff->stall_ns == 0)
        return "a stall of no time";
    return NULL;
}

/* Since when the connection has stalled at 'now_ns', NSP_TIME_NEVER if not. */
static uint64_t
stalls_ns(const struct nsp_cutoff_config *cutoff,
          const struct nsp_cutoff_state *state, uint64_t now_ns)
{
    uint64_t end_ns = nsp_add_sat_u64(state->start_ns, cutoff->after_ns);

    if (cutoff->after_ns != 0 && now_ns >= end_ns)
        return end_ns;
    if (cutoff->after_bytes != 0 && state->passed_bytes >= cutoff->after_bytes)
        return now_ns;
    return NSP_TIME_NEVER;
}

uint64_t
nsp_cutoff_pass_ns(const struct nsp_cutoff_config *cutoff,
                   struct nsp_cutoff_state *state, uint64_t now_ns,
                   uint32_t bytes)
{
    uint64_t end_ns;

    if (!state->stalled) {
        state->stalled_ns = stalls_ns(cutoff, state, now_ns);
        state->stalled = state->stalled_ns != NSP_TIME_NEVER;
    }
    if (!state->stalled) {
        state->passed_bytes = nsp_add_sat_u64(state->passed_bytes, bytes);
        return now_ns;
    }
    end_ns = nsp_add_sat_u64(state->stalled_ns, cutoff->stall_ns);
    return end_ns > now_ns ? end_ns : now_ns;
}
