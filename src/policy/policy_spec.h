#ifndef NSP_POLICY_POLICY_SPEC_H
#define NSP_POLICY_POLICY_SPEC_H
#include <stddef.h>

#include "netshaper/policy.h"

/* What reading a policy's plain data takes. */

/* The members of struct nsp_effects, as bits of a set. */
enum nsp_effect {
    NSP_EFFECT_CUTOFF = 1 << 0,
    NSP_EFFECT_FLAP = 1 << 1,
    NSP_EFFECT_MTU = 1 << 2,
    NSP_EFFECT_SYN_LOSS = 1 << 3,
    NSP_EFFECT_LOSS = 1 << 4,
    NSP_EFFECT_TCP_RESET = 1 << 5,
    NSP_EFFECT_THROTTLE = 1 << 6,
    NSP_EFFECT_TAMPER = 1 << 7,
    NSP_EFFECT_TCP_WINDOW = 1 << 8,
    NSP_EFFECT_WINDOWS = 1 << 9,
    NSP_EFFECT_DELAY = 1 << 10,
    NSP_EFFECT_ACK_DELAY = 1 << 11,
    NSP_EFFECT_REORDER = 1 << 12,
    NSP_EFFECT_DUPLICATE = 1 << 13,
};

/* The effects that 'effects' says anything about, sense or not. */
uint32_t nsp_effects_set(const struct nsp_effects *effects);

static inline bool
nsp_effects_any(const struct nsp_effects *effects)
{
    return nsp_effects_set(effects) != 0;
}

static inline bool
nsp_link_any(const struct nsp_link_rate *link)
{
    return link->rate_bitps != 0 || link->plan;
}

/* What effects ask of those who carry them out. */
enum nsp_need {
    NSP_NEED_HOLD = 1 << 0,   /* Packets wait. */
    NSP_NEED_EDIT = 1 << 1,   /* Packets are changed. */
    NSP_NEED_SINGLE = 1 << 2, /* Segments of a superpacket come one by one. */
    NSP_NEED_INJECT = 1 << 3, /* Packets are made. */
    NSP_NEED_MEMORY = 1 << 4, /* What a packet meets depends on those before it.
                               */
    NSP_NEED_ONE_WORKER = 1 << 5, /* And on all of them: one count, one link. */
    NSP_NEED_FLOWS = 1 << 6,      /* What is known of a packet's flow. */
    NSP_NEED_WHOLE = 1 << 7,      /* All bytes of packets. */
    NSP_NEED_COPY = 1 << 8,       /* Copies are made. */
    NSP_NEED_DRAW = 1 << 9,       /* Random numbers for each packet. */
};

/* Set of enum nsp_need of checked effects. */
uint32_t nsp_effects_needs(const struct nsp_effects *effects);

/* Whether rule 'index' of 'spec', which delays or loses packets or not, may
 * keep one from arriving as it should. */
bool nsp_rule_harms(const struct nsp_policy_spec *spec, uint32_t index,
                    bool has_effects);

/* Which enum nsp_essential 'filter' (NULL: all packets) does not speak of: a
 * bit each, none for NSP_ESSENTIAL_NONE. */
uint8_t nsp_rule_spared(const struct nsp_filter *filter);

/* The rule's own name, or that of rule 'index'. */
void nsp_rule_write_name(char *ret, size_t bytes, const struct nsp_rule *rule,
                         uint32_t index);

#endif /* NSP_POLICY_POLICY_SPEC_H */
