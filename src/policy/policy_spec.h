#ifndef NSP_POLICY_POLICY_SPEC_H
#define NSP_POLICY_POLICY_SPEC_H
#include <stddef.h>

#include "netshaper/policy.h"

/* What reading a policy's plain data takes. */

static inline bool
nsp_loss_any(const struct nsp_loss_config *loss)
{
    return loss->kind != NSP_LOSS_CHANCE || loss->chance.ppm != 0;
}

static inline bool
nsp_delay_any(const struct nsp_delay_config *delay)
{
    return delay->kind != NSP_DELAY_CONSTANT || delay->mean_ns != 0;
}

static inline bool
nsp_effects_any(const struct nsp_effects *effects)
{
    return nsp_loss_any(&effects->loss) || nsp_delay_any(&effects->delay);
}

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
