#ifndef NSP_FILTER_EXPLAIN_NEEDS_H
#define NSP_FILTER_EXPLAIN_NEEDS_H
#include "filter/ir.h"
#include "filter/text.h"

/* The end of an explanation: what a filter needs of a device, and what the
 * kernel can do of it, hook by hook. */
void nsp_explain_needs(struct nsp_text *text, const struct nsp_ir *ir,
                       const struct nsp_filter_needs *needs);

/* Lists the layers on which 'source' compiles. Returns 0 or -ENOMEM. */
int nsp_explain_layers(struct nsp_text *text, const char *source,
                       const struct nsp_filter_options *options,
                       const struct nsp_allocator *allocator) NSP_MUSTCHECK;

/* Makes the programs that each hook would take and tells what was widened in
 * them. 'source' compiles for 'layer'. Returns 0 or -ENOMEM. */
int nsp_explain_kernel(struct nsp_text *text, const char *source,
                       enum nsp_layer layer,
                       const struct nsp_filter_options *options,
                       const struct nsp_allocator *allocator) NSP_MUSTCHECK;

#endif /* NSP_FILTER_EXPLAIN_NEEDS_H */
