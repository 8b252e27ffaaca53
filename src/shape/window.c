#include "shape/window.h"

#define RANDOM_SKIP_MAX 64

const char *
nsp_window_fault(const struct nsp_window_config *window)
{
    if (window->min_ns == 0 || window->max_ns > NSP_WINDOW_NS_MAX)
        return "an interval of windows is outside 1 ns to one hour";
    if (window->min_ns > window->max_ns)
        return "the least interval of windows is above the greatest";
    return NULL;
}

static void
open_at(struct nsp_window_state *state, uint64_t opens_ns)
{
    state->opens_ns = opens_ns;
    state->pkts = 0;
    state->bytes = 0;
}

static void
open_next(const struct nsp_window_config *window,
          struct nsp_window_state *state, struct nsp_prng *random)
{
    uint64_t spread_ns = window->max_ns - window->min_ns;
    uint64_t interval_ns = window->min_ns;

    /* 53 bits of a draw: an hour has 42. */
    if (spread_ns != 0)
        interval_ns += (nsp_prng_next(random) >> 11) % (spread_ns + 1);
    open_at(state, nsp_add_sat_u64(state->opens_ns, interval_ns));
}

/* Lets the windows before 'now_ns' pass. */
static void
catch_up(const struct nsp_window_config *window, struct nsp_window_state *state,
         uint64_t now_ns, struct nsp_prng *random)
{
    if (!state->begun) {
        state->begun = true;
        state->opens_ns = state->start_ns;
        open_next(window, state, random);
    }
    if (now_ns > state->opens_ns && window->min_ns == window->max_ns) {
        uint64_t missed = (now_ns - state->opens_ns - 1) / window->min_ns + 1;

        open_at(state,
                nsp_add_sat_u64(state->opens_ns, missed * window->min_ns));
    }
    for (int i = 0; i < RANDOM_SKIP_MAX && now_ns > state->opens_ns; i++)
        open_next(window, state, random);
    if (now_ns > state->opens_ns) {
        state->opens_ns = now_ns;
        open_next(window, state, random);
    }
}

static bool
has_room(const struct nsp_window_config *window,
         const struct nsp_window_state *state, uint32_t bytes)
{
    if (state->pkts == 0)
        return true;
    if (window->limit_pkts != 0 && state->pkts >= window->limit_pkts)
        return false;
    return window->limit_bytes == 0 ||
           (state->bytes < window->limit_bytes &&
            bytes <= window->limit_bytes - state->bytes);
}

uint64_t
nsp_window_depart_ns(const struct nsp_window_config *window,
                     struct nsp_window_state *state, uint64_t now_ns,
                     uint32_t bytes, struct nsp_prng *random)
{
    catch_up(window, state, now_ns, random);
    if (!has_room(window, state, bytes))
        open_next(window, state, random);
    state->pkts++;
    state->bytes =
        bytes > UINT32_MAX - state->bytes ? UINT32_MAX : state->bytes + bytes;
    return state->opens_ns;
}
