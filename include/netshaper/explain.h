#ifndef NETSHAPER_EXPLAIN_H
#define NETSHAPER_EXPLAIN_H
#include <stdbool.h>
#include <stdint.h>

#include "netshaper/api.h"
#include "netshaper/filter.h"

NSP_BEGIN_DECLS

/* Why a filter matches a packet, and what filters mean to each other: for tools
 * that explain and check policies, not for the packets' path. */

struct nsp_pkt;

/* One test of a filter on one packet. The texts live during the call. */
struct nsp_filter_step {
    const char *test;  /* "tcp.DstPort in { 80, 443 }". */
    const char *value; /* What the packet has: "23"; NULL when it has no such
                        * field, or the test reads more than one. */
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

NSP_END_DECLS
#endif /* NETSHAPER_EXPLAIN_H */
