#ifndef NSP_ENGINE_EFFECTS_H
#define NSP_ENGINE_EFFECTS_H
#include "impair/delay.h"
#include "impair/duplicate.h"
#include "impair/loss.h"
#include "impair/reorder.h"
#include "impair/tamper.h"
#include "netshaper/packet.h"
#include "netshaper/policy.h"
#include "policy/policy_spec.h"
#include "shape/cutoff.h"
#include "shape/flap.h"
#include "shape/throttle.h"
#include "shape/window.h"

/* What a rule does to the packets' way, made ready, and what it remembers.
 *
 * Random numbers  Effects that decide packet by packet draw from a generator
 *     that the caller seeds; what runs by time (flap, windows) has generators
 * of its own in the state, so that no packet has a part in when a link is down.
 * Threads  A plan is immutable; a state has one owner. */

/* Share of packets that an effect leaves alone: none where 0. */
typedef uint64_t nsp_spared; /* Of NSP_CHANCE_SURE. */

struct nsp_effects_plan {
    uint32_t set;      /* Of enum nsp_effect; the rest is of these. */
    bool draws;        /* Packets draw. */
    bool delays_alone; /* It delays every packet, and does nothing else. */
    struct nsp_cutoff_config cutoff;
    struct nsp_flap flap;
    bool flap_holds;
    struct nsp_mtu_config mtu;
    struct nsp_loss syn_loss, loss;
    bool syn_loss_marks, loss_marks;
    struct nsp_chance reset;
    struct nsp_tcp_reset_config tcp_reset;
    struct nsp_throttle_config throttle;
    struct nsp_duplicate duplicate;
    struct nsp_chance damage;
    struct nsp_tamper_config tamper;
    struct nsp_tcp_window_config tcp_window;
    struct nsp_window_config windows;
    struct nsp_delay delay;
    struct nsp_ack_delay_config ack_delay;
    struct nsp_reorder reorder;
    struct {
        nsp_spared cutoff, flap, mtu, throttle, tcp_window, windows, delay,
            ack_delay;
    } spared;
    uint64_t identity; /* Plans that act alike have the same; never 0. */
};

#define NSP_DIRECTIONS 3u /* enum nsp_direction. */

struct nsp_windows_state {
    struct nsp_window_state past;
    struct nsp_prng random;
    uint64_t last_ns; /* When it was last asked. */
};

struct nsp_effects_state {
    uint64_t identity; /* Of the plan that the rest belongs to; 0: none. */
    struct nsp_cutoff_state cutoff;
    struct nsp_flap_state flap;
    struct nsp_prng flap_random;
    struct nsp_loss_state syn_loss, loss;
    uint8_t reset, duplicate, damage; /* impair/chance.h. */
    bool was_reset;
    struct nsp_throttle_state throttle[NSP_DIRECTIONS];
    struct nsp_delay_state delay;
    struct nsp_reorder_state reorder;
    struct nsp_window_config window; /* A copy: packets still meet it when the
                                      * plan has gone. */
    struct nsp_windows_state windows[NSP_DIRECTIONS];
};

/* What is wrong with 'effects', NULL when nothing is; '*ret_effect' is then the
 * member it is about, "" for those whose faults say so. Static storage. */
const char *nsp_effects_fault(const struct nsp_effects *effects,
                              const char **ret_effect);

/* Makes the zeroed 'plan' of 'effects', in which there is no fault. Returns 0
 * or -ENOMEM, with what there is so far in 'plan'. */
int nsp_effects_plan_init(struct nsp_effects_plan *plan,
                          const struct nsp_effects *effects,
                          const struct nsp_allocator *allocator) NSP_MUSTCHECK;
/* Accepts a zeroed one. */
void nsp_effects_plan_fini(struct nsp_effects_plan *plan);

/* Makes 'state' that of 'plan', begun at 'now_ns'. Its generators are number
 * 'stream' and following of 'seed'. */
void nsp_effects_state_begin(struct nsp_effects_state *state,
                             const struct nsp_effects_plan *plan,
                             uint64_t now_ns, uint64_t seed, uint64_t stream);

#endif /* NSP_ENGINE_EFFECTS_H */
