#include "engine/effects.h"

#include <errno.h>

/* --- Faults --------------------------------------------------------------- */

static const char *
mtu_fault(const struct nsp_mtu_config *mtu)
{
    if (mtu->max_bytes < NSP_MTU_MIN || mtu->max_bytes > NSP_MTU_MAX)
        return "max_bytes is outside 68 to 65535";
    if (mtu->excess > NSP_MTU_TRUNCATE)
        return "excess is not one of enum nsp_mtu_excess";
    return NULL;
}

static const char *
reset_fault(const struct nsp_tcp_reset_config *reset)
{
    if (reset->ends > NSP_TCP_RESET_RECEIVER)
        return "ends is not one of enum nsp_tcp_reset_ends";
    return nsp_chance_fault(reset->ppm, reset->correlation_ppm);
}

static const char *
cutoff_fault(const struct nsp_cutoff_config *cutoff)
{
    if (cutoff->hold && cutoff->stall_ns == NSP_TIME_NEVER)
        return "packets cannot wait for a stall that never ends: drop them, or "
               "let it end";
    return nsp_cutoff_fault(cutoff);
}

static const char *
ack_delay_fault(const struct nsp_ack_delay_config *delay)
{
    if (delay->delay_ns == 0)
        return "delay_ns is 0: no acknowledgement would be late";
    return delay->delay_ns > NSP_DELAY_NS_MAX ? "delay_ns is above one hour"
                                              : NULL;
}

static const char *
tamper_fault(const struct nsp_tamper_config *tamper)
{
    if (tamper->ppm != 0 && tamper->truncate_bytes == 0 &&
        tamper->flip_bits == 0 && tamper->rewrite == NSP_TAMPER_KEEP &&
        tamper->csum == NSP_TAMPER_CSUM_KEEP)
        return "no damage to do: set truncate_bytes, flip_bits, rewrite or "
               "csum";
    return nsp_tamper_fault(tamper);
}

static const char *
reorder_fault(const struct nsp_effects *e, uint32_t set)
{
    const uint32_t delays = NSP_EFFECT_DELAY | NSP_EFFECT_ACK_DELAY;

    if (e->reorder.gap != 0 && (set & delays) == 0)
        return "a gap needs a delay in the same rule, or nothing waits that "
               "could be overtaken";
    return nsp_reorder_fault(&e->reorder);
}

static const char *
window_fault(const struct nsp_tcp_window_config *window)
{
    return window->max_bytes > NSP_TCP_WINDOW_MAX
               ? "max_bytes is above 1 GiB, the largest window there is"
               : NULL;
}

static const char *
spared_fault(uint32_t spared_ppm)
{
    return spared_ppm > NSP_PPM_ONE ? "spared_ppm is above 1000000 (100 %)"
                                    : NULL;
}

/* The member 'name', if 'effect' is set. */
struct check {
    uint32_t effect;
    const char *name, *fault;
    uint32_t spared_ppm;
};

const char *
nsp_effects_fault(const struct nsp_effects *e, const char **ret_effect)
{
    uint32_t set = nsp_effects_set(e);
    const struct check checks[] = {
        { NSP_EFFECT_CUTOFF, "cutoff", cutoff_fault(&e->cutoff),
          e->cutoff.spared_ppm },
        { NSP_EFFECT_FLAP, "flap", nsp_flap_fault(&e->flap),
          e->flap.spared_ppm },
        { NSP_EFFECT_MTU, "mtu", mtu_fault(&e->mtu), e->mtu.spared_ppm },
        { NSP_EFFECT_SYN_LOSS, "syn_loss", nsp_loss_fault(&e->syn_loss), 0 },
        { NSP_EFFECT_LOSS, "", nsp_loss_fault(&e->loss), 0 },
        { NSP_EFFECT_TCP_RESET, "tcp_reset", reset_fault(&e->tcp_reset), 0 },
        { NSP_EFFECT_THROTTLE, "throttle", nsp_throttle_fault(&e->throttle),
          e->throttle.spared_ppm },
        { NSP_EFFECT_DUPLICATE, "duplicate", nsp_duplicate_fault(&e->duplicate),
          0 },
        { NSP_EFFECT_TAMPER, "tamper", tamper_fault(&e->tamper), 0 },
        { NSP_EFFECT_TCP_WINDOW, "tcp_window", window_fault(&e->tcp_window),
          e->tcp_window.spared_ppm },
        { NSP_EFFECT_WINDOWS, "windows", nsp_window_fault(&e->windows),
          e->windows.spared_ppm },
        { NSP_EFFECT_DELAY, "", nsp_delay_fault(&e->delay),
          e->delay.spared_ppm },
        { NSP_EFFECT_ACK_DELAY, "ack_delay", ack_delay_fault(&e->ack_delay),
          e->ack_delay.spared_ppm },
        { NSP_EFFECT_REORDER, "reorder", reorder_fault(e, set), 0 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(checks); i++) {
        const struct check *check = &checks[i];
        /* Of loss and delay, what is not in use is checked as well. */
        bool counts = (set & check->effect) != 0 || check->name[0] == '\0';
        const char *fault = check->fault;

        if (!fault)
            fault = spared_fault(check->spared_ppm);
        if (counts && fault) {
            *ret_effect = check->name;
            return fault;
        }
    }
    return NULL;
}

/* --- Identity -------------------------------------------------------------
 * A hash of what a plan does. Rules keep their state over a change of policy
 * when it is the same before and after. */

static uint64_t
mix_words(uint64_t hash, const uint64_t words[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        hash = nsp_mix64(hash ^ words[i]);
    return hash;
}

static uint64_t
loss_identity(const struct nsp_loss *loss)
{
    const struct nsp_loss_chain *chain = &loss->chain;
    const uint64_t words[] = { loss->kind,       loss->enter_below,
                               loss->lost_below, loss->bad_ns,
                               loss->count,      chain->loss_is_drawn };
    uint64_t hash = mix_words(1, words, NSP_ARRAY_LEN(words));
    size_t table_words = loss->kind == NSP_LOSS_PATTERN
                             ? ((size_t)loss->count + 63) / 64
                             : loss->count;

    hash = mix_words(hash, &chain->below[0][0], 15);
    hash = mix_words(hash, chain->lost_below, 4);
    return loss->table ? mix_words(hash, loss->table, table_words) : hash;
}

static uint64_t
delay_identity(const struct nsp_delay *delay)
{
    const uint64_t words[] = {
        delay->kind,          delay->keep_order,
        (uint64_t)delay->rho, (uint64_t)delay->mean_ns,
        delay->count,         (uint64_t)delay->spread_ns,
        delay->trace_step_ns,
    };
    uint64_t hash = mix_words(2, words, NSP_ARRAY_LEN(words));

    for (uint32_t i = 0; delay->table && i < delay->count; i++)
        hash = nsp_mix64(hash ^ (uint16_t)delay->table[i]);
    return delay->trace_ns ? mix_words(hash, delay->trace_ns, delay->count)
                           : hash;
}

static uint64_t
gates_identity(const struct nsp_effects_plan *plan)
{
    const uint64_t words[] = {
        plan->cutoff.after_bytes,
        plan->cutoff.after_ns,
        plan->cutoff.stall_ns,
        plan->cutoff.hold,
        plan->flap.kind,
        plan->flap.count,
        plan->flap_holds,
        plan->mtu.max_bytes,
        plan->mtu.excess,
        plan->syn_loss_marks,
        plan->loss_marks,
        plan->tcp_reset.ppm,
        plan->tcp_reset.correlation_ppm,
        plan->tcp_reset.ends,
        plan->tcp_reset.once,
        plan->throttle.pkts,
        plan->throttle.per_ns,
        plan->throttle.burst_pkts,
        plan->throttle.queue_pkts,
    };

    return mix_words(mix_words(3, words, NSP_ARRAY_LEN(words)),
                     plan->flap.times_ns, plan->flap.count);
}

static uint64_t
changes_identity(const struct nsp_effects_plan *plan)
{
    const struct nsp_tamper_config *tamper = &plan->tamper;
    const uint64_t words[] = {
        tamper->ppm,
        tamper->correlation_ppm,
        tamper->truncate_bytes,
        tamper->flip_bits,
        tamper->flip_where,
        tamper->rewrite,
        tamper->csum,
        tamper->fill_bytes,
        plan->tcp_window.max_bytes,
        plan->windows.min_ns,
        plan->windows.max_ns,
        plan->windows.limit_pkts,
        plan->windows.limit_bytes,
        plan->ack_delay.delay_ns,
        plan->ack_delay.all,
        plan->reorder.gap,
        plan->reorder.late_ns,
        plan->duplicate.copies,
        plan->duplicate.spacing_ns,
    };
    uint64_t hash = mix_words(4, words, NSP_ARRAY_LEN(words));

    hash = mix_words(hash, plan->reorder.chance.below, 3);
    hash = mix_words(hash, plan->duplicate.chance.below, 3);
    for (uint32_t i = 0; i < tamper->fill_bytes; i++)
        hash = nsp_mix64(hash ^ tamper->fill[i]);
    return hash;
}

static uint64_t
spared_identity(const struct nsp_effects_plan *plan)
{
    const uint64_t words[] = {
        plan->spared.cutoff,   plan->spared.flap,       plan->spared.mtu,
        plan->spared.throttle, plan->spared.tcp_window, plan->spared.windows,
        plan->spared.delay,    plan->spared.ack_delay,
    };

    return mix_words(plan->set, words, NSP_ARRAY_LEN(words));
}

/* --- Making --------------------------------------------------------------- */

static nsp_spared
spared(uint32_t ppm)
{
    return nsp_chance_ratio(ppm, NSP_PPM_ONE);
}

/* What is plain data; of effects that are not set, nothing is copied. */
static void
copy_plain(struct nsp_effects_plan *plan, const struct nsp_effects *e)
{
    if ((plan->set & NSP_EFFECT_CUTOFF) != 0)
        plan->cutoff = e->cutoff;
    if ((plan->set & NSP_EFFECT_MTU) != 0)
        plan->mtu = e->mtu;
    if ((plan->set & NSP_EFFECT_TCP_RESET) != 0)
        plan->tcp_reset = e->tcp_reset;
    if ((plan->set & NSP_EFFECT_THROTTLE) != 0)
        plan->throttle = e->throttle;
    if ((plan->set & NSP_EFFECT_TAMPER) != 0)
        plan->tamper = e->tamper;
    if ((plan->set & NSP_EFFECT_TCP_WINDOW) != 0)
        plan->tcp_window = e->tcp_window;
    if ((plan->set & NSP_EFFECT_WINDOWS) != 0)
        plan->windows = e->windows;
    if ((plan->set & NSP_EFFECT_ACK_DELAY) != 0)
        plan->ack_delay = e->ack_delay;
    plan->flap_holds = e->flap.hold;
    plan->syn_loss_marks = e->syn_loss.mark_ce;
    plan->loss_marks = e->loss.mark_ce;
    plan->spared.cutoff = spared(plan->cutoff.spared_ppm);
    plan->spared.flap = spared(e->flap.spared_ppm);
    plan->spared.mtu = spared(plan->mtu.spared_ppm);
    plan->spared.throttle = spared(plan->throttle.spared_ppm);
    plan->spared.tcp_window = spared(plan->tcp_window.spared_ppm);
    plan->spared.windows = spared(plan->windows.spared_ppm);
    plan->spared.delay = spared(e->delay.spared_ppm);
    plan->spared.ack_delay = spared(plan->ack_delay.spared_ppm);
}

int
nsp_effects_plan_init(struct nsp_effects_plan *plan,
                      const struct nsp_effects *e,
                      const struct nsp_allocator *allocator)
{
    int err;

    plan->set = nsp_effects_set(e);
    plan->draws = (nsp_effects_needs(e) & NSP_NEED_DRAW) != 0;
    copy_plain(plan, e);
    plan->delays_alone =
        plan->set == NSP_EFFECT_DELAY && plan->spared.delay == 0;
    err = nsp_loss_init(&plan->syn_loss, &e->syn_loss, allocator);
    if (err == 0)
        err = nsp_loss_init(&plan->loss, &e->loss, allocator);
    if (err == 0)
        err = nsp_delay_init(&plan->delay, &e->delay, allocator);
    if (err == 0 && (plan->set & NSP_EFFECT_FLAP) != 0)
        err = nsp_flap_init(&plan->flap, &e->flap);
    if (err == 0 && (plan->set & NSP_EFFECT_DUPLICATE) != 0)
        err = nsp_duplicate_init(&plan->duplicate, &e->duplicate);
    if (err == 0 && (plan->set & NSP_EFFECT_REORDER) != 0)
        err = nsp_reorder_init(&plan->reorder, &e->reorder);
    if (err == 0)
        err = nsp_chance_init(&plan->reset, plan->tcp_reset.ppm,
                              plan->tcp_reset.correlation_ppm);
    if (err == 0)
        err = nsp_chance_init(&plan->damage, plan->tamper.ppm,
                              plan->tamper.correlation_ppm);
    assert(err != -EINVAL); /* There is no fault in 'e'. */
    if (err != 0)
        return err;
    plan->identity =
        nsp_mix64(loss_identity(&plan->loss) ^ delay_identity(&plan->delay) ^
                  nsp_mix64(loss_identity(&plan->syn_loss)) ^
                  gates_identity(plan) ^ changes_identity(plan) ^
                  spared_identity(plan)) |
        1;
    return 0;
}

void
nsp_effects_plan_fini(struct nsp_effects_plan *plan)
{
    nsp_loss_fini(&plan->syn_loss);
    nsp_loss_fini(&plan->loss);
    nsp_delay_fini(&plan->delay);
}

void
nsp_effects_state_begin(struct nsp_effects_state *state,
                        const struct nsp_effects_plan *plan, uint64_t now_ns,
                        uint64_t seed, uint64_t stream)
{
    *state = (struct nsp_effects_state){
        .identity = plan->identity,
        .cutoff.start_ns = now_ns,
        .flap.start_ns = now_ns,
        .window = plan->windows,
    };
    nsp_prng_init(&state->flap_random, seed, stream);
    for (uint32_t d = 0; d < NSP_DIRECTIONS; d++) {
        state->windows[d].past.start_ns = now_ns;
        nsp_prng_init(&state->windows[d].random, seed, stream + 1 + d);
    }
}
