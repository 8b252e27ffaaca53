#include "engine/impair.h"

#include "engine/outlet.h"
#include "packet/alter.h"
#include "packet/reply.h"
#include "packet/tcp.h"

#define ECN_CE 3u

static bool
has(const struct nsp_meeting *m, enum nsp_effect effect)
{
    return (m->plan->set & effect) != 0;
}

/* In virtual time what a packet draws depends on nothing but the seed, the
 * rule, its flow and which packet of that it is; live, where no two runs are
 * alike, on how many the rule has met. */
static inline void
begin_numbers(struct nsp_meeting *m)
{
    const struct nsp_flow_hit *hit = m->hit;
    uint64_t seed = m->rule->key, number = m->pkt->arrival_ns;

    if (nsp_likely(hit->flow != NULL)) {
        seed ^= hit->stream;
        number = hit->number;
    }
    nsp_prng_init(&m->own, seed, number << 16 | m->copy);
    m->random = &m->own;
}

/* The packet's random numbers: sought when first asked for, as many effects
 * have nothing to ask about most packets. */
static inline struct nsp_prng *
numbers(struct nsp_meeting *m)
{
    if (!m->random)
        begin_numbers(m);
    return m->random;
}

static NSP_NEVER_INLINE bool
draws_below(struct nsp_meeting *m, uint64_t below)
{
    return nsp_chance_draw(numbers(m)) < below;
}

/* Draws only where the effect spares at all, which few do. */
static inline bool
spares(struct nsp_meeting *m, nsp_spared below)
{
    return below != 0 && draws_below(m, below);
}

static bool
drop(struct nsp_meeting *m, enum nsp_drop_reason reason)
{
    m->reason = reason;
    return false;
}

/* Lets the packet wait until 'until_ns'. */
static void
wait_until(struct nsp_meeting *m, uint64_t until_ns)
{
    m->way.enter_ns = nsp_max_u64(m->way.enter_ns, until_ns);
}

/* --- Effects, in order ---------------------------------------------------- */

static bool
meet_cutoff(struct nsp_meeting *m)
{
    const struct nsp_cutoff_config *cutoff = &m->plan->cutoff;
    uint64_t pass_ns;

    if (spares(m, m->plan->spared.cutoff))
        return true;
    pass_ns = nsp_cutoff_pass_ns(cutoff, &m->state->cutoff, m->pkt->arrival_ns,
                                 m->pkt->charged_bytes);
    if (pass_ns > m->pkt->arrival_ns && !cutoff->hold)
        return drop(m, NSP_DROP_CUT_OFF);
    wait_until(m, pass_ns);
    return true;
}

static bool
meet_flap(struct nsp_meeting *m)
{
    uint64_t up_ns;

    if (spares(m, m->plan->spared.flap))
        return true;
    up_ns = nsp_flap_up_ns(&m->plan->flap, &m->state->flap, m->pkt->arrival_ns,
                           &m->state->flap_random);
    if (up_ns > m->pkt->arrival_ns && !m->plan->flap_holds)
        return drop(m, NSP_DROP_LINK_DOWN);
    wait_until(m, up_ns);
    return true;
}

static bool
answer_too_big(struct nsp_meeting *m)
{
    struct nsp_worker *w = m->w;
    uint32_t bytes;

    if (nsp_reply_may_fragment(m->pkt))
        return true;
    bytes = nsp_reply_build_too_big(m->pkt, m->plan->mtu.max_bytes, w->reply);
    if (bytes > 0)
        nsp_outlet_inject(w, w->reply, bytes, true, m->pkt);
    return drop(m, NSP_DROP_MTU);
}

static bool
meet_mtu(struct nsp_meeting *m)
{
    const struct nsp_mtu_config *mtu = &m->plan->mtu;
    uint32_t *truncate_bytes = &m->changes.truncate_bytes;

    if (m->pkt->ip_bytes <= mtu->max_bytes || spares(m, m->plan->spared.mtu))
        return true;
    switch (mtu->excess) {
    case NSP_MTU_ANSWER:
        return answer_too_big(m);
    case NSP_MTU_TRUNCATE:
        if (*truncate_bytes == 0 || *truncate_bytes > mtu->max_bytes)
            *truncate_bytes = mtu->max_bytes;
        return true;
    default:
        return drop(m, NSP_DROP_MTU);
    }
}

static NSP_ALWAYS_INLINE bool
lose(struct nsp_meeting *m, const struct nsp_loss *loss, bool marks,
     struct nsp_loss_state *state, enum nsp_drop_reason reason)
{
    const struct nsp_edits ce = { .which = NSP_EDIT_ECN, .ecn = ECN_CE };

    if (!nsp_loss_decide(loss, state, m->pkt->arrival_ns, numbers(m)))
        return true;
    if (!marks || !nsp_pkt_is_ecn_capable(m->pkt))
        return drop(m, reason);
    nsp_changes_add_edits(&m->changes, &ce);
    return true;
}

static bool
meet_syn_loss(struct nsp_meeting *m)
{
    return !nsp_tcp_is_syn(m->pkt) ||
           lose(m, &m->plan->syn_loss, m->plan->syn_loss_marks,
                &m->state->syn_loss, NSP_DROP_SYN_LOSS);
}

static bool
meet_loss(struct nsp_meeting *m)
{
    return lose(m, &m->plan->loss, m->plan->loss_marks, &m->state->loss,
                NSP_DROP_LOSS);
}

/* Returns whether the packet may have a RST at that end. */
static bool
send_rst(struct nsp_meeting *m, enum nsp_reply_to to)
{
    struct nsp_worker *w = m->w;
    uint32_t bytes = nsp_reply_build_rst(m->pkt, to, false, w->reply);

    if (bytes > 0)
        nsp_outlet_inject(w, w->reply, bytes, to == NSP_REPLY_TO_SENDER,
                          m->pkt);
    return bytes > 0;
}

static bool
meet_reset(struct nsp_meeting *m)
{
    const struct nsp_tcp_reset_config *reset = &m->plan->tcp_reset;
    bool sent = false;

    if (m->pkt->l4 != NSP_L4_TCP || (reset->once && m->state->was_reset) ||
        !nsp_chance_decide(&m->plan->reset, &m->state->reset, numbers(m)))
        return true;
    if (reset->ends != NSP_TCP_RESET_RECEIVER)
        sent |= send_rst(m, NSP_REPLY_TO_SENDER);
    if (reset->ends != NSP_TCP_RESET_SENDER)
        sent |= send_rst(m, NSP_REPLY_TO_RECEIVER);
    /* A RST is not answered, and goes on. */
    if (!sent)
        return true;
    m->state->was_reset = true;
    return drop(m, NSP_DROP_RESET);
}

/* Packets that were spared enter before some that came earlier, but a throttle
 * sees time go on. */
static bool
meet_throttle(struct nsp_meeting *m)
{
    struct nsp_throttle_state *state = &m->state->throttle[m->pkt->direction];
    uint64_t from_ns = nsp_max_u64(m->way.enter_ns, state->at_ns);
    uint64_t depart_ns;

    if (spares(m, m->plan->spared.throttle))
        return true;
    depart_ns = nsp_throttle_depart_ns(&m->plan->throttle, state, from_ns);
    if (depart_ns == NSP_TIME_NEVER)
        return drop(m, NSP_DROP_THROTTLE);
    wait_until(m, depart_ns);
    return true;
}

_Static_assert(NSP_EFFECT_CUTOFF == 1 && NSP_EFFECT_FLAP == 1 << 1 &&
                   NSP_EFFECT_MTU == 1 << 2 && NSP_EFFECT_SYN_LOSS == 1 << 3 &&
                   NSP_EFFECT_LOSS == 1 << 4 &&
                   NSP_EFFECT_TCP_RESET == 1 << 5 &&
                   NSP_EFFECT_THROTTLE == 1 << 6,
               "gates are the first effects");

nsp_gate_fn *const nsp_impair_gates[] = {
    meet_cutoff, meet_flap,  meet_mtu,      meet_syn_loss,
    meet_loss,   meet_reset, meet_throttle,
};

static uint8_t
window_scale(const struct nsp_pkt *pkt)
{
    return pkt->flow ? pkt->flow->window_scale : 0;
}

static void
note_changes(struct nsp_meeting *m)
{
    struct nsp_changes *changes = &m->changes;
    uint32_t most = m->plan->tcp_window.max_bytes;

    if (has(m, NSP_EFFECT_TAMPER) &&
        nsp_chance_decide(&m->plan->damage, &m->state->damage, numbers(m))) {
        struct nsp_damage *damage = &changes->damages[changes->damage_count++];

        assert(changes->damage_count <= NSP_RULES_PER_PKT_MAX);
        damage->tamper = &m->plan->tamper;
        nsp_prng_init(&damage->random, nsp_prng_next(numbers(m)), 0);
    }
    if (has(m, NSP_EFFECT_TCP_WINDOW) &&
        !spares(m, m->plan->spared.tcp_window) &&
        nsp_tcp_exceeds_window(m->pkt, most, window_scale(m->pkt)) &&
        (changes->window_bytes == 0 || changes->window_bytes > most))
        changes->window_bytes = most;
}

static bool
is_delayed_ack(const struct nsp_meeting *m)
{
    if (m->plan->ack_delay.all)
        return nsp_tcp_has_ack(m->pkt);
    return nsp_tcp_is_pure_ack(m->pkt);
}

uint64_t
nsp_impair_draw_delay_ns(struct nsp_meeting *m)
{
    uint64_t now_ns = m->pkt->arrival_ns;

    return nsp_delay_depart_ns(&m->plan->delay, &m->state->delay, now_ns,
                               numbers(m)) -
           now_ns;
}

static void
find_delay(struct nsp_meeting *m)
{
    const struct nsp_effects_plan *plan = m->plan;
    bool overtakes = false;

    m->way.windows =
        has(m, NSP_EFFECT_WINDOWS) && !spares(m, plan->spared.windows);
    if (has(m, NSP_EFFECT_DELAY) && !spares(m, plan->spared.delay)) {
        m->way.delay_ns = nsp_impair_delay_ns(m);
        m->way.keep_order = plan->delay.keep_order;
    }
    if (has(m, NSP_EFFECT_ACK_DELAY) && is_delayed_ack(m) &&
        !spares(m, plan->spared.ack_delay))
        m->way.delay_ns += plan->ack_delay.delay_ns;
    if (!has(m, NSP_EFFECT_REORDER))
        return;
    if (plan->reorder.gap != 0)
        overtakes =
            nsp_reorder_decide(&plan->reorder, &m->state->reorder, numbers(m));
    else
        m->way.delay_ns +=
            nsp_reorder_late_ns(&plan->reorder, &m->state->reorder, numbers(m));
    if (overtakes) {
        m->way.delay_ns = 0;
        m->way.keep_order = false;
    }
}

/* Copies are those of IP packets. */
uint32_t
nsp_impair_copies(struct nsp_meeting *m)
{
    if (m->pkt->l3 != NSP_L3_IPV4 && m->pkt->l3 != NSP_L3_IPV6)
        return 0;
    return nsp_duplicate_decide(&m->plan->duplicate, &m->state->duplicate,
                                numbers(m));
}

void
nsp_impair_leave(struct nsp_meeting *m)
{
    if ((m->plan->set & NSP_EFFECTS_CHANGES) != 0)
        note_changes(m);
    if ((m->plan->set & NSP_EFFECTS_DELAYS) != 0)
        find_delay(m);
}

/* --- Changes -------------------------------------------------------------- */

void
nsp_changes_add_edits(struct nsp_changes *changes, const struct nsp_edits *more)
{
    struct nsp_edits *edits = &changes->edits;

    if ((more->which & NSP_EDIT_DSCP) != 0)
        edits->dscp = more->dscp;
    if ((more->which & NSP_EDIT_ECN) != 0)
        edits->ecn = more->ecn;
    if ((more->which & NSP_EDIT_TTL) != 0)
        edits->ttl = more->ttl;
    if ((more->which & NSP_EDIT_MSS) != 0)
        edits->mss = more->mss;
    if ((more->which & NSP_EDIT_MARK) != 0) {
        edits->mark =
            (edits->mark & ~more->mark_mask) | (more->mark & more->mark_mask);
        edits->mark_mask |= more->mark_mask;
    }
    edits->which |= more->which;
}

static void
apply_edits(struct nsp_pkt *pkt, const struct nsp_edits *edits)
{
    if ((edits->which & NSP_EDIT_DSCP) != 0)
        (void)!nsp_pkt_set_dscp(pkt, edits->dscp);
    if ((edits->which & NSP_EDIT_ECN) != 0)
        (void)!nsp_pkt_set_ecn(pkt, edits->ecn);
    if ((edits->which & NSP_EDIT_TTL) != 0)
        (void)!nsp_pkt_set_ttl(pkt, edits->ttl);
    if ((edits->which & NSP_EDIT_MSS) != 0)
        (void)!nsp_pkt_clamp_mss(pkt, edits->mss);
    if ((edits->which & NSP_EDIT_MARK) != 0)
        pkt->mark = (pkt->mark & ~edits->mark_mask) | edits->mark;
}

/* Headers first, while they can be read; damage last. */
void
nsp_changes_apply(struct nsp_changes *changes, struct nsp_pkt *pkt)
{
    if (changes->edits.which != 0)
        apply_edits(pkt, &changes->edits);
    if (changes->window_bytes != 0)
        (void)!nsp_tcp_clamp_window(pkt, changes->window_bytes,
                                    window_scale(pkt));
    if (changes->truncate_bytes != 0)
        (void)!nsp_pkt_truncate(pkt, changes->truncate_bytes);
    for (uint32_t i = 0; i < changes->damage_count; i++)
        (void)!nsp_tamper_apply(changes->damages[i].tamper, pkt,
                                &changes->damages[i].random);
}
