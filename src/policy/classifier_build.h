#ifndef NSP_POLICY_CLASSIFIER_BUILD_H
#define NSP_POLICY_CLASSIFIER_BUILD_H
#include "policy/classifier_state.h"

/* From rules to an index: the steps behind nsp_classifier_create(). */

/* Fills 'c', zeroed but for rule_count and allocator, with all but 'ops';
 * no member of 'limits' is 0.
 * Returns 0 or -ENOMEM; nsp_classifier_destroy() is right after either. */
int nsp_classifier_build(
    struct nsp_classifier *c, const struct nsp_classifier_rule rules[],
    const struct nsp_classifier_limits *limits) NSP_MUSTCHECK;

#endif /* NSP_POLICY_CLASSIFIER_BUILD_H */
