#include "filter/ir.h"

#include <errno.h>
#include <string.h>

/* Tests are laid out from the last to the first, so that targets exist before
 * the tests that name them; until the end they are numbered in that order. */
struct builder {
    struct nsp_ir *ir;
    uint32_t tests, ranges, sets; /* Laid out so far. */
};

/* The ranges of the ports that pass a test of a small set of ports; else
 * empty. */
static struct nsp_port_ranges
ports_of(const struct nsp_test *test)
{
    const struct nsp_range *inside = test->ranges;

    if (!test->set || test->range_count != 1 ||
        !nsp_u128_equal(inside->lo, inside->hi))
        return (struct nsp_port_ranges){ 0 };
    return nsp_u128_is_zero(inside->lo) ? test->set->other_ports
                                        : test->set->ports;
}

static void
count_tests(const struct nsp_node *node, struct nsp_ir *ir)
{
    if (node->kind == NSP_NODE_TEST) {
        uint32_t port_ranges = ports_of(&node->test).count;

        ir->count++;
        ir->range_count +=
            port_ranges > 0 ? port_ranges : node->test.range_count;
        ir->set_count += node->test.set != NULL;
    }
    for (const struct nsp_node *c = node->first; c; c = c->next)
        count_tests(c, ir);
}

/* Sees that the graph has a reference of 'set'. */
static void
note_set(struct builder *builder, struct nsp_filter_set *set)
{
    struct nsp_ir *ir = builder->ir;

    for (uint32_t i = 0; i < builder->sets; i++) {
        if (ir->sets[i] == set)
            return;
    }
    ir->sets[builder->sets++] = nsp_filter_set_ref(set);
}

static const struct nsp_field *
field_of(const struct nsp_test *test)
{
    if (test->set)
        return nsp_field_in_set;
    if (test->other)
        return nsp_field_compared;
    return test->mask != 0 ? nsp_field_masked : test->field;
}

static uint32_t
lay_test(struct builder *builder, const struct nsp_test *test, uint32_t success,
         uint32_t failure)
{
    const struct nsp_field *field = field_of(test);
    struct nsp_port_ranges ports = ports_of(test);
    const struct nsp_range *ranges = test->ranges;
    uint32_t range_count = test->range_count;
    struct nsp_ir *ir = builder->ir;

    assert(ir->tests && ir->ranges);
    if (ports.count > 0) {
        field = test->field;
        ranges = ports.ranges;
        range_count = ports.count;
    } else if (test->set) {
        note_set(builder, test->set);
    }
    memcpy(ir->ranges + builder->ranges, ranges,
           range_count * sizeof ranges[0]);
    ir->tests[ir->count - 1 - builder->tests] = (struct nsp_ir_test){
        .field = field,
        .operand = field == test->field ? NULL : test->field,
        .other = test->other,
        .other_position = test->other_position,
        .mask = test->mask,
        .set = field == nsp_field_in_set ? test->set : NULL,
        .position = test->position,
        .first_range = builder->ranges,
        .range_count = range_count,
        .success = success,
        .failure = failure,
    };
    builder->ranges += range_count;
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
        ir.sets = nsp_alloc(allocator, ir.set_count + 1, sizeof ir.sets[0]);
        if (!ir.tests || !ir.ranges || !ir.sets) {
            ir.set_count = 0;
            nsp_ir_fini(&ir, allocator);
            return -ENOMEM;
        }
    }
    ir.entry = lay(&builder, tree, NSP_IR_ACCEPT, NSP_IR_REJECT);
    ir.set_count = builder.sets;
    *ret = ir;
    return 0;
}

uint32_t
nsp_ir_find_set(const struct nsp_ir *ir, const struct nsp_filter_set *set)
{
    uint32_t i = 0;

    while (ir->sets[i] != set)
        i++;
    return i;
}

void
nsp_ir_fini(struct nsp_ir *ir, const struct nsp_allocator *allocator)
{
    for (uint32_t i = 0; i < ir->set_count; i++)
        nsp_filter_set_unref(ir->sets[i]);
    nsp_release(allocator, ir->sets);
    nsp_release(allocator, ir->tests);
    nsp_release(allocator, ir->ranges);
    *ir = (struct nsp_ir){ 0 };
}
