#ifndef NSP_FILTER_FORMAT_H
#define NSP_FILTER_FORMAT_H
#include "base/memory.h"
#include "netshaper/filter.h"

/* Rewrites 'text' canonically: folded, one spelling for everything, no needless
 * parentheses. It compiles to the same filter as 'text', and printing it again
 * changes nothing. On success stores a string in '*ret', to be released to
 * 'allocator', and returns NSP_OK; fails like nsp_filter_compile(), also with
 * category "too-long" where the result would exceed what compiles. */
int nsp_filter_format(const char *text, enum nsp_layer layer,
                      const struct nsp_allocator *allocator, char **ret,
                      struct nsp_diag *reterr) NSP_MUSTCHECK;

#endif /* NSP_FILTER_FORMAT_H */
