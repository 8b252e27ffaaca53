#ifndef NSP_FILTER_PARSER_H
#define NSP_FILTER_PARSER_H
#include "filter/lexer.h"
#include "filter/tree.h"

/* Parses the source for 'layer' into a tree in 'arena'. The whole text is read
 * for bad words first, so that one of those is reported before an error of
 * grammar. Returns 0, NSP_INVALID_FILTER or NSP_NO_MEMORY with the source's
 * diagnosis filled. */
int nsp_filter_parse(const struct nsp_source *source, enum nsp_layer layer,
                     const struct nsp_filter_options *options,
                     struct nsp_arena *arena,
                     struct nsp_node **ret) NSP_MUSTCHECK;

#endif /* NSP_FILTER_PARSER_H */
