#include "netshaper/explain.h"

/* Of the product walk: a second or so. */
#define STEPS_MAX UINT64_C(20000000)

/* Tells whether rule 'by' is for all directions that 'rule' is for, and decides
 * what it matches. */
static bool
can_hide(const struct nsp_rule *rule, const struct nsp_rule *by)
{
    return !by->disabled && !by->go_on &&
           (by->apply == NSP_APPLY_BOTH || by->apply == rule->apply);
}

/* Most pairs are told apart by what their filters need. */
static bool
may_imply(const struct nsp_filter_needs *a, const struct nsp_filter_needs *b)
{
    return (b->inbound || !a->inbound) && (b->outbound || !a->outbound) &&
           (b->ipv4 || !a->ipv4) && (b->ipv6 || !a->ipv6);
}

static bool
hides(const struct nsp_filter *filter, const struct nsp_filter *by,
      uint64_t *steps)
{
    struct nsp_filter_needs needs, by_needs;

    if (!by)
        return true;
    if (!filter)
        return false; /* No filter matches packets that cannot be read. */
    nsp_filter_get_needs(by, &by_needs);
    if (by_needs.always)
        return true;
    nsp_filter_get_needs(filter, &needs);
    if (*steps > 0)
        *steps -= 1;
    return *steps > 0 && may_imply(&needs, &by_needs) &&
           nsp_filter_implies(filter, by, steps);
}

void
nsp_policy_find_hidden(const struct nsp_policy_spec *spec,
                       struct nsp_filter *const filters[], uint32_t ret[])
{
    uint64_t steps = STEPS_MAX;

    for (uint32_t i = 0; i < spec->rule_count; i++) {
        ret[i] = NSP_HIDDEN_BY_NONE;
        for (uint32_t j = 0; j < i && ret[i] == NSP_HIDDEN_BY_NONE; j++)
            if (can_hide(&spec->rules[i], &spec->rules[j]) &&
                hides(filters[i], filters[j], &steps))
                ret[i] = j;
    }
}
