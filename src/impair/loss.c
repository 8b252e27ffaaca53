#include "impair/loss.h"

#include <errno.h>

#include "netshaper/policy.h"

#define ONE UINT64_C(1000000) /* NSP_PPM_ONE, wide. */

/* --- What is asked -------------------------------------------------------- */

static const char *
gilbert_fault(const struct nsp_loss_config *cfg)
{
    if (cfg->gilbert.p_ppm > ONE || cfg->gilbert.r_ppm > ONE ||
        cfg->gilbert.bad_loss_ppm > ONE || cfg->gilbert.good_loss_ppm > ONE)
        return "a probability of the Gilbert-Elliott loss is above 1000000 "
               "ppm (100 %)";
    if (cfg->gilbert.r_ppm == 0 && cfg->gilbert.p_ppm != 0)
        return "r_ppm is 0: the bad state would never end";
    return NULL;
}

/* p <= 1 as loss * 1000 <= burst_milli * (1 - loss). */
static const char *
bursts_fault(const struct nsp_loss_config *cfg)
{
    uint64_t ppm = cfg->bursts.ppm, burst_milli = cfg->bursts.burst_milli;

    if (burst_milli < 1000 || burst_milli > NSP_LOSS_BURST_MILLI_MAX)
        return "a mean burst is outside 1 to 1000000 packets";
    if (ppm > ONE || ppm * 1000 > burst_milli * (ONE - ppm))
        return "a loss above burst / (burst + 1) would need a good state "
               "shorter than one packet: ask for longer bursts";
    return NULL;
}

static const char *
four_states_fault(const struct nsp_loss_config *cfg)
{
    uint64_t p13 = cfg->four_states.p13_ppm, p31 = cfg->four_states.p31_ppm;
    uint64_t p32 = cfg->four_states.p32_ppm, p23 = cfg->four_states.p23_ppm;
    uint64_t p14 = cfg->four_states.p14_ppm;

    if (p13 + p14 > ONE || p31 + p32 > ONE || p23 > ONE)
        return "p13 + p14, p31 + p32 or p23 is above 1000000 ppm (100 %)";
    if (p13 != 0 && p31 == 0)
        return "p31_ppm is 0: a burst would never end";
    if (p13 != 0 && p32 != 0 && p23 == 0)
        return "p23_ppm is 0: state 2 would never end";
    return NULL;
}

static const char *
pattern_fault(const struct nsp_loss_config *cfg)
{
    if (cfg->pattern.pkts == 0 || cfg->pattern.pkts > NSP_LOSS_PATTERN_MAX)
        return "a loss pattern is outside 1 to 1048576 packets";
    for (uint32_t i = 0; i < cfg->pattern.pkts; i++)
        if (cfg->pattern.lost[i] > 1)
            return "a loss pattern has values other than 0 and 1";
    return NULL;
}

static const char *
consecutive_fault(const struct nsp_loss_config *cfg)
{
    if (cfg->consecutive.count == 0 ||
        cfg->consecutive.count > NSP_LOSS_CONSECUTIVE_MAX)
        return "consecutive losses have 1 to 1024 probabilities";
    for (uint32_t i = 0; i < cfg->consecutive.count; i++)
        if (cfg->consecutive.ppm[i] > ONE)
            return "a probability of consecutive losses is above 1000000 ppm "
                   "(100 %)";
    return NULL;
}

static const char *
timed_fault(const struct nsp_loss_config *cfg)
{
    if (cfg->timed.enter_ppm > ONE || cfg->timed.loss_ppm > ONE)
        return "a probability of the timed loss is above 1000000 ppm (100 %)";
    if (cfg->timed.bad_ns == 0 || cfg->timed.bad_ns > NSP_LOSS_BAD_NS_MAX)
        return "a bad state lasts more than 0 and at most one hour";
    return NULL;
}

const char *
nsp_loss_fault(const struct nsp_loss_config *cfg)
{
    switch (cfg->kind) {
    case NSP_LOSS_CHANCE:
        return nsp_chance_fault(cfg->chance.ppm, cfg->chance.correlation_ppm);
    case NSP_LOSS_GILBERT:
        return gilbert_fault(cfg);
    case NSP_LOSS_BURSTS:
        return bursts_fault(cfg);
    case NSP_LOSS_FOUR_STATES:
        return four_states_fault(cfg);
    case NSP_LOSS_PATTERN:
        return pattern_fault(cfg);
    case NSP_LOSS_CONSECUTIVE:
        return consecutive_fault(cfg);
    case NSP_LOSS_EVERY:
        return cfg->every_pkts == 0 ? "every 0th packet is none" : NULL;
    case NSP_LOSS_FIRST:
        return NULL;
    case NSP_LOSS_TIMED:
        return timed_fault(cfg);
    default:
        return "loss is not one of enum nsp_loss_kind";
    }
}

/* --- Chains --------------------------------------------------------------- */

/* Two states, 0 bad and 1 good, from the three probabilities to be bad. */
static void
set_two_states(struct nsp_loss_chain *chain, uint64_t at_first,
               uint64_t from_bad, uint64_t from_good)
{
    const uint64_t to_bad[] = { at_first, from_bad, from_good };

    for (int row = 0; row < 3; row++) {
        chain->below[row][0] = to_bad[row];
        chain->below[row][1] = NSP_CHANCE_SURE;
        chain->below[row][2] = NSP_CHANCE_SURE;
    }
    chain->lost_below[0] = NSP_CHANCE_SURE;
    chain->is_plain = true;
}

static void
set_gilbert(struct nsp_loss_chain *chain, const struct nsp_loss_config *cfg)
{
    uint64_t p = cfg->gilbert.p_ppm, r = cfg->gilbert.r_ppm;

    set_two_states(chain, p == 0 ? 0 : nsp_chance_ratio(p, p + r),
                   nsp_chance_ratio(ONE - r, ONE), nsp_chance_ratio(p, ONE));
    chain->lost_below[0] = nsp_chance_ratio(cfg->gilbert.bad_loss_ppm, ONE);
    chain->lost_below[1] = nsp_chance_ratio(cfg->gilbert.good_loss_ppm, ONE);
    chain->loss_is_drawn =
        cfg->gilbert.bad_loss_ppm != ONE || cfg->gilbert.good_loss_ppm != 0;
    chain->is_plain = !chain->loss_is_drawn;
}

static void
set_bursts(struct nsp_loss_chain *chain, const struct nsp_loss_config *cfg)
{
    uint64_t ppm = cfg->bursts.ppm, burst_milli = cfg->bursts.burst_milli;

    set_two_states(chain, nsp_chance_ratio(ppm, ONE),
                   nsp_chance_ratio(burst_milli - 1000, burst_milli),
                   nsp_chance_ratio(ppm * 1000, burst_milli * (ONE - ppm)));
}

/* Thresholds of a row from weights that sum to 'all'. */
static void
set_row(uint64_t below[3], const uint64_t weights[4], uint64_t all)
{
    uint64_t sum = 0;

    for (int i = 0; i < 3; i++) {
        sum += weights[i];
        below[i] = nsp_chance_ratio(sum, all);
    }
}

/* The literature's states 3, 4, 2, 1 are 0 to 3 here: those that lose first. */
static void
set_four_states(struct nsp_loss_chain *chain, const struct nsp_loss_config *cfg)
{
    uint64_t p13 = cfg->four_states.p13_ppm, p31 = cfg->four_states.p31_ppm;
    uint64_t p32 = cfg->four_states.p32_ppm, p23 = cfg->four_states.p23_ppm;
    uint64_t p14 = cfg->four_states.p14_ppm;
    const uint64_t from[4][4] = {
        { ONE - p31 - p32, 0, p32, p31 },
        { 0, 0, 0, ONE },
        { p23, 0, ONE - p23, 0 },
        { p13, p14, 0, ONE - p13 - p14 },
    };
    uint64_t at_first[4], all = 0;

    /* States that cannot be reached may have any way out. */
    if (p13 == 0)
        p31 = ONE;
    if (p13 == 0 || p32 == 0)
        p23 = ONE;
    at_first[0] = p13 * p23 * ONE;
    at_first[1] = p14 * p31 * p23;
    at_first[2] = p13 * p32 * ONE;
    at_first[3] = p31 * p23 * ONE;
    for (int i = 0; i < 4; i++)
        all += at_first[i];

    set_row(chain->below[0], at_first, all);
    for (int i = 0; i < 4; i++)
        set_row(chain->below[i + 1], from[i], ONE);
    chain->lost_below[0] = NSP_CHANCE_SURE;
    chain->lost_below[1] = NSP_CHANCE_SURE;
}

/* --- Tables --------------------------------------------------------------- */

static int
set_pattern(struct nsp_loss *loss, const struct nsp_loss_config *cfg)
{
    uint32_t pkts = cfg->pattern.pkts;

    loss->table = nsp_alloc(&loss->allocator, (pkts + 63) / 64, 8);
    if (!loss->table)
        return -ENOMEM;
    for (uint32_t i = 0; i < pkts; i++)
        loss->table[i / 64] |= (uint64_t)cfg->pattern.lost[i] << i % 64;
    loss->count = pkts;
    return 0;
}

static int
set_consecutive(struct nsp_loss *loss, const struct nsp_loss_config *cfg)
{
    uint32_t count = cfg->consecutive.count;

    loss->table = nsp_alloc(&loss->allocator, count, 8);
    if (!loss->table)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++)
        loss->table[i] = nsp_chance_ratio(cfg->consecutive.ppm[i], ONE);
    loss->count = count;
    return 0;
}

static void
set_timed(struct nsp_loss *loss, const struct nsp_loss_config *cfg)
{
    loss->enter_below = nsp_chance_ratio(cfg->timed.enter_ppm, ONE);
    loss->lost_below = nsp_chance_ratio(cfg->timed.loss_ppm, ONE);
    loss->bad_ns = cfg->timed.bad_ns;
}

int
nsp_loss_init(struct nsp_loss *loss, const struct nsp_loss_config *cfg,
              const struct nsp_allocator *allocator)
{
    struct nsp_chance chance;
    int err = 0;

    if (nsp_loss_fault(cfg))
        return -EINVAL;
    *loss = (struct nsp_loss){
        .kind = cfg->kind,
        .is_chain = cfg->kind <= NSP_LOSS_FOUR_STATES,
        .allocator = nsp_allocator_or_libc(allocator),
    };
    switch (cfg->kind) {
    case NSP_LOSS_CHANCE:
        err = nsp_chance_init(&chance, cfg->chance.ppm,
                              cfg->chance.correlation_ppm);
        set_two_states(&loss->chain, chance.below[0], chance.below[2],
                       chance.below[1]);
        break;
    case NSP_LOSS_GILBERT:
        set_gilbert(&loss->chain, cfg);
        break;
    case NSP_LOSS_BURSTS:
        set_bursts(&loss->chain, cfg);
        break;
    case NSP_LOSS_FOUR_STATES:
        set_four_states(&loss->chain, cfg);
        break;
    case NSP_LOSS_PATTERN:
        return set_pattern(loss, cfg);
    case NSP_LOSS_CONSECUTIVE:
        return set_consecutive(loss, cfg);
    case NSP_LOSS_EVERY:
        loss->count = cfg->every_pkts;
        break;
    case NSP_LOSS_FIRST:
        loss->count = cfg->first_pkts;
        break;
    default:
        set_timed(loss, cfg);
    }
    return err;
}

void
nsp_loss_fini(struct nsp_loss *loss)
{
    nsp_release(&loss->allocator, loss->table);
    loss->table = NULL;
}

/* --- The packets ---------------------------------------------------------- */

static bool
follow_pattern(const struct nsp_loss *loss, struct nsp_loss_state *state)
{
    uint32_t at = state->count;

    state->count = at + 1 == loss->count ? 0 : at + 1;
    return (loss->table[at / 64] >> at % 64 & 1) != 0;
}

static bool
count_consecutive(const struct nsp_loss *loss, struct nsp_loss_state *state,
                  struct nsp_prng *random)
{
    bool lost = nsp_chance_draw(random) < loss->table[state->count];

    if (!lost)
        state->count = 0;
    else if (state->count + 1 < loss->count)
        state->count++;
    return lost;
}

static bool
count_every(const struct nsp_loss *loss, struct nsp_loss_state *state)
{
    if (++state->count < loss->count)
        return false;
    state->count = 0;
    return true;
}

static bool
count_first(const struct nsp_loss *loss, struct nsp_loss_state *state)
{
    if (state->count == loss->count)
        return false;
    state->count++;
    return true;
}

static bool
pass_time(const struct nsp_loss *loss, struct nsp_loss_state *state,
          uint64_t now_ns, struct nsp_prng *random)
{
    bool enters = nsp_chance_draw(random) < loss->enter_below;
    bool lost = nsp_chance_draw(random) < loss->lost_below;

    if (now_ns < state->bad_until_ns)
        return lost;
    if (!enters)
        return false;
    state->bad_until_ns = nsp_add_sat_u64(now_ns, loss->bad_ns);
    return lost;
}

bool
nsp_loss_decide_other(const struct nsp_loss *loss, struct nsp_loss_state *state,
                      uint64_t now_ns, struct nsp_prng *random)
{
    switch (loss->kind) {
    case NSP_LOSS_PATTERN:
        return follow_pattern(loss, state);
    case NSP_LOSS_CONSECUTIVE:
        return count_consecutive(loss, state, random);
    case NSP_LOSS_EVERY:
        return count_every(loss, state);
    case NSP_LOSS_FIRST:
        return count_first(loss, state);
    default:
        return pass_time(loss, state, now_ns, random);
    }
}
