#include "config/fragments.h"

#include <string.h>

#include "netshaper/explain.h"

/* Far more than it takes to compare a filter with one test. */
#define STEPS UINT64_C(10000)

bool
nsp_hooks_may_match(uint32_t hooks, uint8_t apply,
                    const struct nsp_filter_needs *needs)
{
    if ((hooks & NSP_HOOK_FORWARD) != 0 && apply == NSP_APPLY_BOTH)
        return true; /* Of these, filters say nothing. */
    return ((hooks & NSP_HOOK_INPUT) != 0 && needs->inbound &&
            apply != NSP_APPLY_OUTBOUND) ||
           ((hooks & NSP_HOOK_OUTPUT) != 0 && needs->outbound &&
            apply != NSP_APPLY_INBOUND);
}

/* Tells whether 'filter' matches nothing else. */
static bool
is_for_fragments(const struct nsp_filter *filter)
{
    uint64_t steps = STEPS;
    struct nsp_filter *fragment;
    bool is;

    if (nsp_filter_compile("fragment or ip.MF or ip.FragOff > 0",
                           NSP_LAYER_NETWORK, NULL, &fragment, NULL) != NSP_OK)
        return false;
    is = nsp_filter_implies(filter, fragment, &steps);
    nsp_filter_destroy(fragment);
    return is;
}

bool
nsp_fragments_never_come(const struct nsp_filter *filter, uint8_t apply,
                         const struct nsp_placement places[], uint32_t count)
{
    uint32_t hooks = 0, with_fragments = 0;
    struct nsp_filter_needs needs;

    if (!filter)
        return false;
    nsp_filter_get_needs(filter, &needs);
    for (uint32_t i = 0; i < count; i++) {
        hooks |= places[i].hook;
        if (strcmp(places[i].device, "nfqueue") != 0 ||
            places[i].hook == NSP_HOOK_FORWARD ||
            (places[i].hook == NSP_HOOK_INPUT && needs.ipv6))
            with_fragments |= places[i].hook;
    }
    return !needs.never && nsp_hooks_may_match(hooks, apply, &needs) &&
           !nsp_hooks_may_match(with_fragments, apply, &needs) &&
           is_for_fragments(filter);
}
