#ifndef NSP_FILTER_IR_H
#define NSP_FILTER_IR_H
#include "filter/tree.h"

/* The one intermediate form, from which every back end starts: a decision
 * graph. Each test names the test to go on with when it passes and when it
 * fails, so 'and', 'or' and conditionals are gone. Targets lie after their
 * test, so one pass in order visits everything, and a walk takes at most
 * 'count' steps. */

#define NSP_IR_ACCEPT UINT32_MAX
#define NSP_IR_REJECT (UINT32_MAX - 1)

struct nsp_ir_test {
    const struct nsp_field *field;
    int32_t position;     /* As in struct nsp_test. */
    uint32_t first_range; /* In the graph's ranges. */
    uint32_t range_count; /* >= 1. */
    /* With nsp_field_masked and its like: what is read. */
    const struct nsp_field *operand, *other;
    int32_t other_position;
    uint32_t mask;
    const struct nsp_filter_set *set; /* With nsp_field_in_set; a member of the
                                       * graph's. */
    uint32_t success, failure;        /* A test's number, ACCEPT or REJECT. */
};

struct nsp_ir {
    enum nsp_layer layer;
    uint32_t entry;
    uint32_t count;
    uint32_t range_count;
    struct nsp_ir_test *tests;
    struct nsp_range *ranges; /* Distances from the field's minimum. */
    /* Named sets that tests refer to, a reference of each. Tests of a small set
     * of ports do not: they have its ranges. */
    struct nsp_filter_set **sets;
    uint32_t set_count;
};

/* Lays out the folded 'tree'. Returns 0, -ENOMEM or -E2BIG (more than
 * NSP_FILTER_TESTS_MAX tests); 'ret' is then empty. */
int nsp_ir_build(const struct nsp_node *tree, enum nsp_layer layer,
                 const struct nsp_allocator *allocator,
                 struct nsp_ir *ret) NSP_MUSTCHECK;
/* The number of 'set', which a test of the graph refers to. */
uint32_t nsp_ir_find_set(const struct nsp_ir *ir,
                         const struct nsp_filter_set *set);

void nsp_ir_fini(struct nsp_ir *ir, const struct nsp_allocator *allocator);

#endif /* NSP_FILTER_IR_H */
