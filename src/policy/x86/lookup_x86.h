#ifndef NSP_POLICY_X86_LOOKUP_X86_H
#define NSP_POLICY_X86_LOOKUP_X86_H
#include "policy/classifier_state.h"

/* Lookups with vector instructions. Each of these files is compiled for its
 * instructions, and must not be entered on a processor without them. */
extern const struct nsp_lookup_ops nsp_lookup_avx2;
extern const struct nsp_lookup_ops nsp_lookup_avx512;

/* As nsp_lookup_find(), for these. */
const struct nsp_lookup_ops *nsp_lookup_find_x86(
    enum nsp_instructions instructions);

#endif /* NSP_POLICY_X86_LOOKUP_X86_H */
