#include "filter/ir.h"

#include <errno.h>
#include <string.h>

/* Tests are laid out from the last to the first, so that targets exist before
 * the tests that name them; until the end they are numbered in that order. */
struct builder {
    struct nsp_ir *ir;
    uint32_t tests, ranges; /* Laid out so far. */
};

static void
count_tests(const struct nsp_node *node, struct nsp_ir *ir)
{
    if (node->kind == NSP_NODE_TEST) {
        ir->count++;
        ir->range_count += node->test.range_count;
    }
    for (const struct nsp_node *c = node->first; c; c = c->next)
        count_tests(c, ir);
}

static uint32_t
lay_test(struct builder *builder, const struct nsp_test *test, uint32_t success,
         uint32_t failure)
{
    const struct nsp_field *field = test->field;
    struct nsp_ir *ir = builder->ir;

    assert(ir->tests && ir->ranges);
    memcpy(ir->ranges + builder->ranges, test->ranges,
           test->range_count * sizeof test->ranges[0]);
    if (test->other || test->mask != 0)
        field = test->other ? nsp_field_compared : nsp_field_masked;
    ir->tests[ir->count - 1 - builder->tests] = (struct nsp_ir_test){
        .field = field,
        .operand = field == test->field ? NULL : test->field,
        .other = test->other,
        .other_position = test->other_position,
        .mask = test->mask,
        .position = test->position,
        .first_range = builder->ranges,
        .range_count = test->range_count,
        .success = success,
        .failure = failure,
    };
    builder->ranges += test->range_count;
    return ir->count - 1 - builder->tests++;
}

/* Lays out 'node' so that it goes on to 'success' or 'failure', and returns
 * where it begins. */
static uint32_t
lay(struct builder *builder, const struct nsp_node *node, uint32_t success,
    uint32_t failure)
{
    uint32_t entry, then, otherwise;

    switch (node->kind) {
    case NSP_NODE_CONSTANT:
        return node->value ? success : failure;
    case NSP_NODE_TEST:
        return lay_test(builder, &node->test, success, failure);
    case NSP_NODE_CONDITIONAL:
        otherwise = lay(builder, node->last, success, failure);
        then = lay(builder, node->first->next, success, failure);
        return lay(builder, node->first, then, otherwise);
    case NSP_NODE_AND:
        entry = success;
        for (const struct nsp_node *c = node->last; c; c = c->prev)
            entry = lay(builder, c, entry, failure);
        return entry;
    case NSP_NODE_OR:
        entry = failure;
        for (const struct nsp_node *c = node->last; c; c = c->prev)
            entry = lay(builder, c, success, entry);
        return entry;
    }
    return failure;
}

int
nsp_ir_build(const struct nsp_node *tree, enum nsp_layer layer,
             const struct nsp_allocator *allocator, struct nsp_ir *ret)
{
    struct nsp_ir ir = { .layer = layer };
    struct builder builder = { .ir = &ir };

    *ret = (struct nsp_ir){ .layer = layer };
    count_tests(tree, &ir);
    if (ir.count > NSP_FILTER_TESTS_MAX)
        return -E2BIG;
    if (ir.count > 0) {
        ir.tests = nsp_alloc(allocator, ir.count, sizeof ir.tests[0]);
        ir.ranges = nsp_alloc(allocator, ir.range_count, sizeof ir.ranges[0]);
        if (!ir.tests || !ir.ranges) {
            nsp_ir_fini(&ir, allocator);
            return -ENOMEM;
        }
    }
    ir.entry = lay(&builder, tree, NSP_IR_ACCEPT, NSP_IR_REJECT);
    *ret = ir;
    return 0;
}

void
nsp_ir_fini(struct nsp_ir *ir, const struct nsp_allocator *allocator)
{
    nsp_release(allocator, ir->tests);
    nsp_release(allocator, ir->ranges);
    *ir = (struct nsp_ir){ 0 };
}
