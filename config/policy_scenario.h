#ifndef NSP_CONFIG_POLICY_SCENARIO_H
#define NSP_CONFIG_POLICY_SCENARIO_H
#include "config/policy_build.h"
#include "config/scenario.h"

/* What a scenario makes of a policy at the time that the builder is at. */

/* Checks the scenario, and that the policy is good at all its times. Leaves it
 * as it is at first. */
void nsp_policy_build_scenario(struct nsp_policy_builder *b);

/* Puts what the steps that are in force say of 'name' (NULL: nobody) over what
 * 'way' says. */
void nsp_policy_join_steps(struct nsp_policy_builder *b,
                           enum nsp_step_target target, const char *name,
                           struct nsp_doc_way *way);

/* Whether the rule 'name' is enabled, 'enabled' where no step says. */
bool nsp_policy_step_enabled(struct nsp_policy_builder *b, const char *name,
                             bool enabled);

/* Notes which rules are always in force. */
void nsp_policy_note_always(struct nsp_policy_builder *b);

/* Builds links and effects of what steps change anew, for the builder's time
 * and in its store. */
void nsp_policy_rebuild(struct nsp_policy_builder *b);

#endif /* NSP_CONFIG_POLICY_SCENARIO_H */
