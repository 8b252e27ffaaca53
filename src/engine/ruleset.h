#ifndef NSP_ENGINE_RULESET_H
#define NSP_ENGINE_RULESET_H
#include "engine/effects.h"
#include "policy/policy.h"
#include "shape/rate_plan.h"

/* A policy and all that its rules need to act: immutable, for any number of
 * workers. What changes from packet to packet is the workers'.
 *
 * Ownership  create gives one reference, the last unref frees.
 * Threads    Any. */

struct nsp_ruleset;

/* Checks and compiles 'spec' for 'layer'. Returns NSP_OK,
 * NSP_INVALID_PARAMETER, NSP_INVALID_FILTER (both naming the rule) or
 * NSP_NO_MEMORY; '*ret' is then untouched. */
int nsp_ruleset_create(const struct nsp_policy_spec *spec, enum nsp_layer layer,
                       const struct nsp_allocator *allocator,
                       struct nsp_ruleset **ret,
                       struct nsp_diag *reterr) NSP_MUSTCHECK;

struct nsp_ruleset *nsp_ruleset_ref(struct nsp_ruleset *ruleset);
struct nsp_ruleset *nsp_ruleset_unref(struct nsp_ruleset *ruleset);

const struct nsp_policy *nsp_ruleset_policy(const struct nsp_ruleset *ruleset);

/* The effects of each rule, NULL if it has none. */
const struct nsp_effects_plan *const *nsp_ruleset_effects(
    const struct nsp_ruleset *ruleset);

/* The plan of class 'index' of the policy, borrowed; NULL if its rate is
 * constant. */
struct nsp_rate_plan *nsp_ruleset_rate_plan(const struct nsp_ruleset *ruleset,
                                            uint32_t index);

#endif /* NSP_ENGINE_RULESET_H */
