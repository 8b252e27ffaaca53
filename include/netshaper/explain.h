#ifndef NETSHAPER_EXPLAIN_H
#define NETSHAPER_EXPLAIN_H
#include <stdbool.h>
#include <stdint.h>

#include "netshaper/api.h"
#include "netshaper/filter.h"
#include "netshaper/policy.h"

NSP_BEGIN_DECLS

/* Why a filter matches a packet, and what filters mean to each other: for tools
 * that explain and check policies, not for the packets' path. */

struct nsp_pkt;

/* One test of a filter on one packet. The texts live during the call. */
struct nsp_filter_step {
    const char *test;  /* "tcp.DstPort in { 80, 443 }". */
    const char *value; /* What the packet has: "23"; NULL when it has no such
                        * field, and of tests that are a question of yes or no
                        * or read more than one field. */
    bool is_absent;    /* The packet has no such field, so the test fails. */
    bool passed;
};

typedef void nsp_filter_step_fn(void *context,
                                const struct nsp_filter_step *step);

/* Matches the parsed packet 'pkt' as nsp_filter_match() does, telling 'visit'
 * of every test on the way, in order. Tests are those of the compiled filter:
 * some of the text's may be folded away. Stores in '*ret' whether it matches.
 * Returns NSP_OK or NSP_NO_MEMORY. */
NSP_API int nsp_filter_trace(const struct nsp_filter *filter,
                             const struct nsp_pkt *pkt,
                             const struct nsp_filter_context *context,
                             nsp_filter_step_fn *visit, void *visit_context,
                             bool *ret) NSP_MUSTCHECK;

/* Tells whether every packet that 'filter' matches is matched by 'other' too.
 * True is proven. False is not: the two may be too different to compare, or
 * take more than '*steps' steps, which counts down. Both are of the same layer.
 */
NSP_API bool nsp_filter_implies(const struct nsp_filter *filter,
                                const struct nsp_filter *other,
                                uint64_t *steps);

#define NSP_HIDDEN_BY_NONE    UINT32_MAX
#define NSP_HIDDEN_BY_SEVERAL (UINT32_MAX - 1)

/* Finds rules that no packet ever comes to. 'filters' has the compiled filter
 * of each rule of 'spec', NULL for rules that match everything. Stores in
 * 'ret', for each rule, an earlier one that decides all of its packets;
 * NSP_HIDDEN_BY_SEVERAL where several together do that differ in one column
 * (ports that make up a range, networks that make up a larger one); or
 * NSP_HIDDEN_BY_NONE where neither is proven. Disabled rules hide nothing.
 * Bounded: of many thousand rules, not all pairs are compared. */
NSP_API void nsp_policy_find_hidden(const struct nsp_policy_spec *spec,
                                    struct nsp_filter *const filters[],
                                    uint32_t ret[]);

NSP_END_DECLS
#endif /* NETSHAPER_EXPLAIN_H */
