#ifndef NSP_FILTER_COMPILE_H
#define NSP_FILTER_COMPILE_H
#include "filter/error.h"
#include "filter/tree.h"

/* The front end: reads 'text' for 'layer' to a folded tree in 'arena'.
 * 'ret_source' is set in any case, for later complaints. Returns as
 * nsp_filter_compile(). */
int nsp_filter_read(const char *text, enum nsp_layer layer,
                    struct nsp_arena *arena, struct nsp_diag *reterr,
                    struct nsp_source *ret_source,
                    struct nsp_node **ret) NSP_MUSTCHECK;

#endif /* NSP_FILTER_COMPILE_H */
