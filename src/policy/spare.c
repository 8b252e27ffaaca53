#include <string.h>

#include "base/base.h"
#include "policy/policy_spec.h"

bool
nsp_rule_harms(const struct nsp_policy_spec *spec, uint32_t index,
               bool has_effects)
{
    const struct nsp_rule *rule = &spec->rules[index];

    return rule->action != NSP_ACTION_PASS || has_effects || rule->class_name ||
           nsp_link_any(&rule->link) || rule->limit.unit != NSP_LIMIT_NONE ||
           (rule->edits.which & NSP_EDIT_TTL) != 0;
}

uint8_t
nsp_rule_spared(const struct nsp_filter *filter)
{
    unsigned spared = 0;

    for (unsigned e = NSP_ESSENTIAL_NONE + 1; e < NSP_ESSENTIALS; e++)
        if (!filter || !nsp_filter_names(filter, (enum nsp_essential)e))
            spared |= 1u << e;
    return (uint8_t)spared;
}

static bool
has_effects(const struct nsp_policy_spec *spec, const struct nsp_rule *rule)
{
    if (!rule->impairment)
        return nsp_effects_any(&rule->effects);
    for (uint32_t i = 0; i < spec->impairment_count; i++)
        if (strcmp(spec->impairments[i].name, rule->impairment) == 0)
            return nsp_effects_any(&spec->impairments[i].effects);
    return false;
}

bool
nsp_policy_spares(const struct nsp_policy_spec *spec, uint32_t index,
                  const struct nsp_filter *filter, enum nsp_essential essential)
{
    return nsp_rule_harms(spec, index,
                          has_effects(spec, &spec->rules[index])) &&
           (nsp_rule_spared(filter) >> essential & 1) != 0;
}
