#ifndef NSP_FILTER_ANALYSE_H
#define NSP_FILTER_ANALYSE_H
#include "filter/ir.h"

/* Fills '*ret' with what 'ir' needs of a device, by abstract execution: the
 * graph is walked once for all worlds, a world being a direction, an IP version
 * and a transport, in which every test is known to pass, known to fail, or may
 * do either. Returns 0 or -ENOMEM. Cost: linear in the tests. */
int nsp_filter_analyse(const struct nsp_ir *ir,
                       const struct nsp_allocator *allocator,
                       struct nsp_filter_needs *ret) NSP_MUSTCHECK;

#endif /* NSP_FILTER_ANALYSE_H */
