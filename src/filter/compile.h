#ifndef NSP_FILTER_COMPILE_H
#define NSP_FILTER_COMPILE_H
#include "filter/error.h"
#include "filter/ir.h"
#include "filter/tree.h"

/* The front end: reads 'text' for 'layer' to a folded tree in 'arena', with
 * numbers in place of the names of interfaces if 'resolves'. 'options' may be
 * NULL. 'ret_source' is set in any case, for later complaints.
 * Returns as nsp_filter_compile(). */
int nsp_filter_read(const char *text, enum nsp_layer layer,
                    const struct nsp_filter_options *options, bool resolves,
                    struct nsp_arena *arena, struct nsp_diag *reterr,
                    struct nsp_source *ret_source,
                    struct nsp_node **ret) NSP_MUSTCHECK;

/* The same, down to the decision graph, which is to be finished with
 * nsp_ir_fini(). Reads objects (filter/object.h), too. */
int nsp_filter_read_graph(const char *text, enum nsp_layer layer,
                          const struct nsp_filter_options *options,
                          const struct nsp_allocator *allocator,
                          struct nsp_diag *reterr,
                          struct nsp_source *ret_source,
                          struct nsp_ir *ret) NSP_MUSTCHECK;

/* --- For back ends ------------------------------------------------------- */

struct nsp_site;

const struct nsp_ir *nsp_filter_ir(const struct nsp_filter *filter);
const struct nsp_allocator *nsp_filter_allocator(
    const struct nsp_filter *filter);

/* Tells whether programs can be made of 'filter' for 'site'. */
bool nsp_filter_can_emit(const struct nsp_filter *filter,
                         const struct nsp_site *site);

#endif /* NSP_FILTER_COMPILE_H */
