#ifndef NSP_ENGINE_IMPAIR_H
#define NSP_ENGINE_IMPAIR_H
#include "engine/worker.h"

/* What the effects of rules make of one packet.
 *
 * Threads  The worker's own. Cost  No allocation, lock or system call but the
 *          device's. */

/* Changes to a packet that wait until all its rules have judged it. */
struct nsp_changes {
    struct nsp_edits edits;
    uint32_t window_bytes;   /* TCP window at most; 0: as it is. */
    uint32_t truncate_bytes; /* Length at most; 0: as it is. */
    uint32_t damage_count;
    struct nsp_damage {
        const struct nsp_tamper_config *tamper;
        struct nsp_prng random;
    } damages[NSP_RULES_PER_PKT_MAX];
};

/* None. Leaves room for damages as it is: it is large and seldom used. */
static inline void
nsp_changes_init(struct nsp_changes *changes)
{
    changes->edits.which = 0;
    changes->edits.mark = changes->edits.mark_mask = 0;
    changes->window_bytes = 0;
    changes->truncate_bytes = 0;
    changes->damage_count = 0;
}

/* How a rule holds a packet: see struct nsp_pkt_stage. */
struct nsp_way {
    uint64_t enter_ns, delay_ns;
    bool windows, keep_order;
};

/* A packet as it meets the effects of its rules, one after the other. */
struct nsp_meeting {
    struct nsp_worker *w;
    struct nsp_pkt *pkt;
    const struct nsp_flow_hit *hit; /* Its flow, where flows are tracked. */
    uint32_t copy; /* Which copy of its packet it is, from 1; 0: none. */
    /* Of the rule that it meets now. */
    struct nsp_rule_state *rule;
    const struct nsp_effects_plan *plan;
    struct nsp_effects_state *state;
    struct nsp_way way;
    enum nsp_drop_reason reason; /* Of its end here. */
    struct nsp_prng *random;     /* What it draws comes from here; NULL: its own
                                  * numbers, of which it has drawn none yet. */
    struct nsp_prng own;
    struct nsp_changes changes; /* Of all rules so far. */
};

/* The effects that nsp_impair_enter() deals with, in this order, and the two
 * halves of nsp_impair_leave(). */
#define NSP_EFFECTS_GATES                                                      \
    (NSP_EFFECT_CUTOFF | NSP_EFFECT_FLAP | NSP_EFFECT_MTU |                    \
     NSP_EFFECT_SYN_LOSS | NSP_EFFECT_LOSS | NSP_EFFECT_TCP_RESET |            \
     NSP_EFFECT_THROTTLE)
#define NSP_EFFECTS_CHANGES (NSP_EFFECT_TAMPER | NSP_EFFECT_TCP_WINDOW)
#define NSP_EFFECTS_DELAYS                                                     \
    (NSP_EFFECT_WINDOWS | NSP_EFFECT_DELAY | NSP_EFFECT_ACK_DELAY |            \
     NSP_EFFECT_REORDER)

/* Begins with 'pkt', which is no copy, and no rule. Written member by member:
 * most of it is seldom used. */
static inline void
nsp_meeting_init(struct nsp_meeting *m, struct nsp_worker *w,
                 struct nsp_pkt *pkt, const struct nsp_flow_hit *hit)
{
    m->w = w;
    m->pkt = pkt;
    m->hit = hit;
    m->copy = 0;
    nsp_changes_init(&m->changes);
}

/* The gates, by the bit of their effect. */
typedef bool nsp_gate_fn(struct nsp_meeting *meeting);
extern nsp_gate_fn *const nsp_impair_gates[];

/* Takes the packet past the effects that may drop it, with 'way.enter_ns' set
 * from its arrival on. Returns whether it is to go on; else 'reason' says why
 * not. */
static inline bool
nsp_impair_enter(struct nsp_meeting *meeting)
{
    uint32_t rest = meeting->plan->set & NSP_EFFECTS_GATES;

    for (; rest != 0; rest &= rest - 1)
        if (!nsp_impair_gates[nsp_ctz_u64(rest)](meeting))
            return false;
    return true;
}

/* How many copies of it, which is none itself, a plan with duplicates makes. */
uint32_t nsp_impair_copies(struct nsp_meeting *meeting);

/* How long the delay of the plan lasts for the packet, where it is not always
 * the same. */
uint64_t nsp_impair_draw_delay_ns(struct nsp_meeting *meeting);

/* The same where it may be. */
static inline uint64_t
nsp_impair_delay_ns(struct nsp_meeting *meeting)
{
    const struct nsp_delay *delay = &meeting->plan->delay;

    if (nsp_delay_is_constant(delay))
        return (uint64_t)delay->mean_ns;
    return nsp_impair_draw_delay_ns(meeting);
}

/* Takes the packet, or a copy, through what follows: adds to 'changes' and
 * completes 'way'. */
void nsp_impair_leave(struct nsp_meeting *meeting);

/* Adds 'more' to what is to be edited; the later rule prevails. */
void nsp_changes_add_edits(struct nsp_changes *changes,
                           const struct nsp_edits *more);

static inline bool
nsp_changes_any(const struct nsp_changes *changes)
{
    return (changes->edits.which | changes->window_bytes |
            changes->truncate_bytes | changes->damage_count) != 0;
}

/* Makes the changes. What a packet has no header for stays undone. */
void nsp_changes_apply(struct nsp_changes *changes, struct nsp_pkt *pkt);

#endif /* NSP_ENGINE_IMPAIR_H */
