#include "config/scenario.h"

static uint64_t
sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

struct nsp_step_phase
nsp_step_phase_at(const struct nsp_step_times *step, uint64_t now_ns)
{
    struct nsp_step_phase phase = { .next_ns = NSP_SCENARIO_NEVER };
    uint64_t since;

    if (now_ns < step->at_ns) {
        phase.next_ns = step->at_ns - now_ns;
        return phase;
    }
    since = now_ns - step->at_ns;
    if (step->every_ns) {
        since %= step->every_ns;
        phase.next_ns = step->every_ns - since;
    }
    if (step->for_ns && since >= step->for_ns)
        return phase;
    phase.active = true;
    if (step->for_ns)
        phase.next_ns = sooner(phase.next_ns, step->for_ns - since);
    if (since >= step->over_ns) {
        phase.elapsed_ns = step->over_ns;
        return phase;
    }
    phase.elapsed_ns = since - since % step->tick_ns;
    phase.next_ns =
        sooner(phase.next_ns, sooner(step->tick_ns - since % step->tick_ns,
                                     step->over_ns - since));
    return phase;
}

uint64_t
nsp_scenario_between(uint64_t from, uint64_t to, uint64_t elapsed,
                     uint64_t whole)
{
    double share = (double)elapsed / (double)whole;

    if (to >= from)
        return from + (uint64_t)((double)(to - from) * share + 0.5);
    return from - (uint64_t)((double)(from - to) * share + 0.5);
}
