#ifndef NSP_FILTER_ANALYSE_H
#define NSP_FILTER_ANALYSE_H
#include "filter/ir.h"

/* What a test may find, as far as its outcome depends on it. */
struct nsp_world {
    uint8_t direction, l3, l4;
};

/* Tells whether packets of 'world' may have what 'need' asks for. */
bool nsp_world_has(const struct nsp_world *world, enum nsp_field_need need);

/* Network and transport headers that occur together. */
#define NSP_STACKS 9
extern const struct nsp_world nsp_stacks[NSP_STACKS];

enum nsp_outcome {
    NSP_MAY_FAIL = 1,
    NSP_MAY_PASS = 2,
};

/* The outcomes of 'test' that are possible in 'world': a set of enum
 * nsp_outcome. */
unsigned nsp_world_outcome(const struct nsp_ir *ir,
                           const struct nsp_ir_test *test,
                           const struct nsp_world *world);

/* Fills '*ret' with what 'ir' needs of a device, by abstract execution: the
 * graph is walked once for all worlds, a world being a direction, an IP version
 * and a transport, in which every test is known to pass, known to fail, or may
 * do either. Returns 0 or -ENOMEM. Cost: linear in the tests. */
int nsp_filter_analyse(const struct nsp_ir *ir,
                       const struct nsp_allocator *allocator,
                       struct nsp_filter_needs *ret) NSP_MUSTCHECK;

#endif /* NSP_FILTER_ANALYSE_H */
