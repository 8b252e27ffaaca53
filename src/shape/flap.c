#include "shape/flap.h"

#include <errno.h>

#include "base/base.h"
#include "base/real.h"

#define CHANGES_MAX 4096

const char *
nsp_flap_fault(const struct nsp_flap_config *flap)
{
    if (flap->kind > NSP_FLAP_EXPONENTIAL)
        return "flap is not one of enum nsp_flap_kind";
    if (flap->count < 2 || flap->count > NSP_FLAP_TIMES_MAX ||
        flap->count % 2 != 0)
        return "a link flaps by 1 to 32 pairs of times, up and down";
    if (!flap->times_ns)
        return "a link flaps by times that are not there";
    if (flap->kind == NSP_FLAP_EXPONENTIAL && flap->count != 2)
        return "an exponential link has one mean up and one down";
    for (uint32_t i = 0; i < flap->count; i++)
        if (flap->times_ns[i] == 0 || flap->times_ns[i] > NSP_FLAP_NS_MAX)
            return "a link is up or down for more than 0 and at most a day";
    return NULL;
}

int
nsp_flap_init(struct nsp_flap *flap, const struct nsp_flap_config *cfg)
{
    if (nsp_flap_fault(cfg))
        return -EINVAL;
    *flap = (struct nsp_flap){ .kind = cfg->kind, .count = cfg->count };
    for (uint32_t i = 0; i < cfg->count; i++)
        flap->times_ns[i] = cfg->times_ns[i];
    return 0;
}

static uint64_t
scheduled_up_ns(const struct nsp_flap *flap, const struct nsp_flap_state *state,
                uint64_t now_ns)
{
    uint64_t period_ns = 0, within_ns, end_ns = 0;

    for (uint32_t i = 0; i < flap->count; i++)
        period_ns += flap->times_ns[i];
    assert(period_ns > 0);
    within_ns =
        now_ns > state->start_ns ? (now_ns - state->start_ns) % period_ns : 0;
    for (uint32_t i = 0; i < flap->count; i += 2) {
        end_ns += flap->times_ns[i];
        if (within_ns < end_ns)
            return now_ns;
        end_ns += flap->times_ns[i + 1];
        if (within_ns < end_ns)
            break;
    }
    return nsp_add_sat_u64(now_ns, end_ns - within_ns);
}

/* An exponential time, at least 1 ns. A uniform number of 53 bits is never 0,
 * so that its logarithm exists, and leads to 37 means at most. */
static uint64_t
draw_time(uint64_t mean_ns, struct nsp_prng *random)
{
    double u = (double)((nsp_prng_next(random) >> 11) + 1) / 0x1p53;

    return (uint64_t)(-nsp_real_log(u) * (double)mean_ns) + 1;
}

static void
change(const struct nsp_flap *flap, struct nsp_flap_state *state,
       struct nsp_prng *random)
{
    state->down = !state->down;
    state->change_ns = nsp_add_sat_u64(
        state->change_ns, draw_time(flap->times_ns[state->down], random));
}

/* As the link is found after a long time: memory of its past has gone. */
static void
find_anew(const struct nsp_flap *flap, struct nsp_flap_state *state,
          uint64_t now_ns, struct nsp_prng *random)
{
    double up = (double)flap->times_ns[0];
    double all = up + (double)flap->times_ns[1];

    state->change_ns = now_ns;
    state->down = (double)(nsp_prng_next(random) >> 11) / 0x1p53 < up / all;
    change(flap, state, random);
}

uint64_t
nsp_flap_up_ns(const struct nsp_flap *flap, struct nsp_flap_state *state,
               uint64_t now_ns, struct nsp_prng *random)
{
    if (flap->kind == NSP_FLAP_SCHEDULE)
        return scheduled_up_ns(flap, state, now_ns);

    if (!state->begun) {
        state->begun = true;
        state->down = true;
        state->change_ns = state->start_ns;
        change(flap, state, random);
    }
    for (int i = 0; i < CHANGES_MAX && now_ns >= state->change_ns; i++)
        change(flap, state, random);
    if (now_ns >= state->change_ns)
        find_anew(flap, state, now_ns, random);
    return state->down ? state->change_ns : now_ns;
}
