#include "policy/policy_spec.h"

/* --- Which ---------------------------------------------------------------- */

static bool
loss_any(const struct nsp_loss_config *loss)
{
    return loss->kind != NSP_LOSS_CHANCE || loss->chance.ppm != 0;
}

static bool
delay_any(const struct nsp_delay_config *delay)
{
    return delay->kind != NSP_DELAY_CONSTANT || delay->mean_ns != 0;
}

static bool
tamper_any(const struct nsp_tamper_config *tamper)
{
    return tamper->ppm != 0 || tamper->truncate_bytes != 0 ||
           tamper->flip_bits != 0 || tamper->rewrite != 0 || tamper->csum != 0;
}

static uint32_t
set_of_gates(const struct nsp_effects *e)
{
    uint32_t set = 0;

    if (e->cutoff.after_bytes || e->cutoff.after_ns || e->cutoff.stall_ns ||
        e->cutoff.hold)
        set |= NSP_EFFECT_CUTOFF;
    if (e->flap.count || e->flap.times_ns || e->flap.kind || e->flap.hold)
        set |= NSP_EFFECT_FLAP;
    if (e->mtu.max_bytes || e->mtu.excess)
        set |= NSP_EFFECT_MTU;
    if (loss_any(&e->syn_loss))
        set |= NSP_EFFECT_SYN_LOSS;
    if (loss_any(&e->loss))
        set |= NSP_EFFECT_LOSS;
    if (e->tcp_reset.ppm || e->tcp_reset.once || e->tcp_reset.ends)
        set |= NSP_EFFECT_TCP_RESET;
    if (e->throttle.pkts || e->throttle.per_ns || e->throttle.burst_pkts ||
        e->throttle.queue_pkts)
        set |= NSP_EFFECT_THROTTLE;
    return set;
}

uint32_t
nsp_effects_set(const struct nsp_effects *e)
{
    uint32_t set = set_of_gates(e);

    if (e->duplicate.ppm || e->duplicate.copies || e->duplicate.spacing_ns)
        set |= NSP_EFFECT_DUPLICATE;
    if (tamper_any(&e->tamper))
        set |= NSP_EFFECT_TAMPER;
    if (e->tcp_window.max_bytes)
        set |= NSP_EFFECT_TCP_WINDOW;
    if (e->windows.min_ns || e->windows.max_ns || e->windows.limit_pkts ||
        e->windows.limit_bytes)
        set |= NSP_EFFECT_WINDOWS;
    if (delay_any(&e->delay))
        set |= NSP_EFFECT_DELAY;
    if (e->ack_delay.delay_ns || e->ack_delay.all)
        set |= NSP_EFFECT_ACK_DELAY;
    if (e->reorder.ppm || e->reorder.gap || e->reorder.late_ns)
        set |= NSP_EFFECT_REORDER;
    return set;
}

/* --- Needs ---------------------------------------------------------------- */

static uint32_t
needs_of_loss(const struct nsp_loss_config *loss)
{
    bool independent =
        loss->kind == NSP_LOSS_CHANCE && loss->chance.correlation_ppm == 0;

    return (independent ? 0 : NSP_NEED_MEMORY) |
           (loss->kind == NSP_LOSS_FIRST ? NSP_NEED_ONE_WORKER : 0) |
           (loss->mark_ce ? NSP_NEED_EDIT : 0);
}

static uint32_t
needs_of_delay(const struct nsp_delay_config *delay)
{
    bool remembers = delay->correlation_ppm != 0 ||
                     delay->kind == NSP_DELAY_TRACE ||
                     (delay->keep_order && delay->kind != NSP_DELAY_CONSTANT);

    return NSP_NEED_HOLD | (remembers ? NSP_NEED_MEMORY : 0);
}

static uint32_t
needs_of_reorder(const struct nsp_reorder_config *reorder)
{
    bool remembers = reorder->correlation_ppm != 0 || reorder->gap > 1;

    return NSP_NEED_SINGLE | (reorder->late_ns != 0 ? NSP_NEED_HOLD : 0) |
           (remembers ? NSP_NEED_MEMORY : 0);
}

static uint32_t
needs_of_mtu(const struct nsp_mtu_config *mtu)
{
    switch (mtu->excess) {
    case NSP_MTU_ANSWER:
        return NSP_NEED_SINGLE | NSP_NEED_INJECT;
    case NSP_MTU_TRUNCATE:
        return NSP_NEED_SINGLE | NSP_NEED_EDIT;
    default:
        return NSP_NEED_SINGLE;
    }
}

static uint32_t
needs_of_gates(const struct nsp_effects *e, uint32_t set)
{
    uint32_t needs = 0;

    if ((set & (NSP_EFFECT_CUTOFF | NSP_EFFECT_FLAP)) != 0)
        needs |= NSP_NEED_ONE_WORKER;
    if (e->cutoff.after_bytes != 0)
        needs |= NSP_NEED_SINGLE;
    if (e->cutoff.hold || e->flap.hold)
        needs |= NSP_NEED_HOLD;
    if ((set & NSP_EFFECT_MTU) != 0)
        needs |= needs_of_mtu(&e->mtu);
    if ((set & NSP_EFFECT_SYN_LOSS) != 0)
        needs |= needs_of_loss(&e->syn_loss);
    if ((set & NSP_EFFECT_LOSS) != 0)
        needs |= NSP_NEED_SINGLE | needs_of_loss(&e->loss);
    if ((set & NSP_EFFECT_TCP_RESET) != 0)
        needs |= NSP_NEED_SINGLE | NSP_NEED_INJECT |
                 (e->tcp_reset.once ? NSP_NEED_ONE_WORKER : 0) |
                 (e->tcp_reset.correlation_ppm != 0 ? NSP_NEED_MEMORY : 0);
    if ((set & NSP_EFFECT_THROTTLE) != 0)
        needs |= NSP_NEED_SINGLE | NSP_NEED_ONE_WORKER |
                 (e->throttle.queue_pkts != 0 ? NSP_NEED_HOLD : 0);
    return needs;
}

static uint32_t
needs_of_duplicate(const struct nsp_duplicate_config *duplicate)
{
    return NSP_NEED_SINGLE | NSP_NEED_INJECT | NSP_NEED_WHOLE | NSP_NEED_COPY |
           (duplicate->spacing_ns != 0 ? NSP_NEED_HOLD : 0) |
           (duplicate->correlation_ppm != 0 ? NSP_NEED_MEMORY : 0);
}

static bool
loss_draws(const struct nsp_loss_config *loss)
{
    return loss->kind != NSP_LOSS_PATTERN && loss->kind != NSP_LOSS_EVERY &&
           loss->kind != NSP_LOSS_FIRST;
}

static bool
spares(const struct nsp_effects *e)
{
    return (e->cutoff.spared_ppm | e->flap.spared_ppm | e->mtu.spared_ppm |
            e->throttle.spared_ppm | e->tcp_window.spared_ppm |
            e->windows.spared_ppm | e->delay.spared_ppm |
            e->ack_delay.spared_ppm) != 0;
}

/* Whether what one packet meets is drawn. Links that go by time draw, but not
 * for packets. */
static bool
draws(const struct nsp_effects *e, uint32_t set)
{
    const uint32_t chances = NSP_EFFECT_TCP_RESET | NSP_EFFECT_DUPLICATE |
                             NSP_EFFECT_TAMPER | NSP_EFFECT_REORDER;

    if ((set & chances) != 0 || spares(e))
        return true;
    if ((set & NSP_EFFECT_LOSS) != 0 && loss_draws(&e->loss))
        return true;
    if ((set & NSP_EFFECT_SYN_LOSS) != 0 && loss_draws(&e->syn_loss))
        return true;
    return (set & NSP_EFFECT_DELAY) != 0 &&
           e->delay.kind != NSP_DELAY_CONSTANT &&
           e->delay.kind != NSP_DELAY_TRACE;
}

uint32_t
nsp_effects_needs(const struct nsp_effects *e)
{
    uint32_t set = nsp_effects_set(e);
    uint32_t needs = needs_of_gates(e, set);

    if (draws(e, set))
        needs |= NSP_NEED_DRAW;
    if (spares(e))
        needs |= NSP_NEED_SINGLE;
    if ((set & NSP_EFFECT_DUPLICATE) != 0)
        needs |= needs_of_duplicate(&e->duplicate);
    if ((set & NSP_EFFECT_TAMPER) != 0)
        needs |= NSP_NEED_SINGLE | NSP_NEED_EDIT |
                 (e->tamper.correlation_ppm != 0 ? NSP_NEED_MEMORY : 0);
    if ((set & NSP_EFFECT_TCP_WINDOW) != 0)
        needs |= NSP_NEED_EDIT | NSP_NEED_FLOWS;
    if ((set & NSP_EFFECT_WINDOWS) != 0)
        needs |= NSP_NEED_HOLD | NSP_NEED_ONE_WORKER |
                 (e->windows.limit_pkts != 0 || e->windows.limit_bytes != 0
                      ? NSP_NEED_SINGLE
                      : 0);
    if ((set & NSP_EFFECT_DELAY) != 0)
        needs |= needs_of_delay(&e->delay);
    if ((set & NSP_EFFECT_ACK_DELAY) != 0)
        needs |= NSP_NEED_HOLD;
    if ((set & NSP_EFFECT_REORDER) != 0)
        needs |= needs_of_reorder(&e->reorder);
    return needs;
}
