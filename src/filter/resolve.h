#ifndef NSP_FILTER_RESOLVE_H
#define NSP_FILTER_RESOLVE_H
#include "filter/arena.h"
#include "filter/error.h"
#include "filter/tree.h"

/* Turns the tests of 'tree' for names of interfaces to tests for their numbers,
 * by the names that 'options' gives. Returns 0, NSP_INVALID_FILTER or
 * NSP_NO_MEMORY with the source's diagnosis filled. Cost: each test asks for
 * all names. */
int nsp_filter_resolve(struct nsp_node *tree, const struct nsp_source *source,
                       const struct nsp_filter_options *options,
                       struct nsp_arena *arena) NSP_MUSTCHECK;

#endif /* NSP_FILTER_RESOLVE_H */
