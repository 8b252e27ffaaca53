#include "filter/fold.h"

#include <string.h>

#include "filter/ranges.h"

/* Tests on one field compared with one another before they are merged; beyond
 * that many different indexes of a packet they are left alone. */
#define GROUP_MAX 64

struct group {
    struct nsp_node *head; /* First test of this field and position. */
    struct group *next;    /* Another position of the same field. */
    uint32_t merged, capacity;
    struct nsp_range *ranges; /* Of all members, when there are several. */
};

struct folder {
    enum nsp_layer layer;
    struct nsp_arena *arena;
    struct group *groups[NSP_FIELDS_MAX]; /* By row of the field table. */
};

static struct nsp_node *fold(struct folder *folder, struct nsp_node *node);

static struct nsp_node *
make_constant(struct nsp_node *node, bool value)
{
    assert(node);
    node->kind = NSP_NODE_CONSTANT;
    node->value = value;
    node->first = node->last = NULL;
    return node;
}

static bool
is_constant(const struct nsp_node *node, bool value)
{
    return node->kind == NSP_NODE_CONSTANT && node->value == value;
}

static struct nsp_u128
span_of(const struct folder *folder, const struct nsp_test *test)
{
    return nsp_test_range(test, folder->layer).span;
}

/* --- One test ------------------------------------------------------------ */

/* Ranges of distances from the field's minimum that satisfy 'relation' to a
 * number 'value' above it; returns how many. */
static uint32_t
relation_ranges(enum nsp_relation relation, struct nsp_u128 value,
                struct nsp_u128 span, struct nsp_range ret[2])
{
    const struct nsp_u128 zero = { 0, 0 }, one = { 0, 1 };
    const struct nsp_range exactly = { value, value };

    switch (relation) {
    case NSP_EQ:
        ret[0] = exactly;
        return 1;
    case NSP_NE:
        return nsp_ranges_complement(&exactly, 1, span, ret);
    case NSP_LE:
        ret[0] = (struct nsp_range){ zero, value };
        return 1;
    case NSP_GE:
        ret[0] = (struct nsp_range){ value, span };
        return 1;
    case NSP_LT:
        ret[0] = (struct nsp_range){ zero, nsp_u128_sub(value, one) };
        return nsp_u128_is_zero(value) ? 0 : 1;
    case NSP_GT:
        ret[0] = (struct nsp_range){ nsp_u128_add(value, one), span };
        return nsp_u128_equal(value, span) ? 0 : 1;
    case NSP_WITHIN:
    case NSP_BEYOND:
        break;
    }
    return 0;
}

/* No field's greatest value is negative. */
static bool
is_above(struct nsp_number number, const struct nsp_field_range *range)
{
    struct nsp_u128 max =
        nsp_u128_add(nsp_number_wrap(range->min), range->span);

    return !number.negative && nsp_u128_less(max, number.magnitude);
}

/* The values from 'number' to 'upper' that the field can have, or the others.
 */
static uint32_t
bounded_ranges(const struct nsp_test *test, const struct nsp_field_range *range,
               struct nsp_range ret[2])
{
    struct nsp_u128 min = nsp_number_wrap(range->min);
    struct nsp_range within = { { 0, 0 }, range->span };
    bool none = nsp_number_less(test->upper, range->min) ||
                is_above(test->number, range);

    if (!none && !nsp_number_less(test->number, range->min))
        within.lo = nsp_u128_sub(nsp_number_wrap(test->number), min);
    if (!none && !is_above(test->upper, range))
        within.hi = nsp_u128_sub(nsp_number_wrap(test->upper), min);
    if (test->relation == NSP_BEYOND)
        return nsp_ranges_complement(&within, none ? 0 : 1, range->span, ret);
    ret[0] = within;
    return none ? 0 : 1;
}

bool
nsp_filter_give_ranges(struct nsp_test *test, enum nsp_layer layer,
                       struct nsp_arena *arena)
{
    struct nsp_field_range range = nsp_test_range(test, layer);
    struct nsp_u128 value;
    bool passes;

    test->ranges = nsp_arena_alloc(arena, 2, sizeof test->ranges[0]);
    if (!test->ranges)
        return false;
    if (test->relation >= NSP_WITHIN) {
        test->range_count = bounded_ranges(test, &range, test->ranges);
        return true;
    }

    value =
        nsp_u128_sub(nsp_number_wrap(test->number), nsp_number_wrap(range.min));
    if (nsp_number_less(test->number, range.min)) {
        passes = test->relation == NSP_NE || test->relation == NSP_GT ||
                 test->relation == NSP_GE;
    } else if (is_above(test->number, &range)) {
        passes = test->relation == NSP_NE || test->relation == NSP_LT ||
                 test->relation == NSP_LE;
    } else {
        test->range_count = relation_ranges((enum nsp_relation)test->relation,
                                            value, range.span, test->ranges);
        return true;
    }
    test->ranges[0] = (struct nsp_range){ nsp_u128(0), range.span };
    test->range_count = passes ? 1 : 0;
    return true;
}

/* Replaces a test that no value, or every value, passes. */
static struct nsp_node *
fold_sure_test(const struct folder *folder, struct nsp_node *node)
{
    struct nsp_test *test = &node->test;
    const struct nsp_field *header;

    if (test->range_count == 0)
        return make_constant(node, false);
    if (!nsp_ranges_are_full(test->ranges, test->range_count,
                             span_of(folder, test)))
        return node;
    if (test->other || test->text.bytes)
        return node;
    if (test->field->need == NSP_NEED_NOTHING ||
        test->field->type == NSP_TYPE_EVENT)
        return make_constant(node, true);
    header = nsp_field_of_need((enum nsp_field_need)test->field->need);
    if (header && test->field->element_bytes == 0) {
        test->field = header;
        test->mask = 0;
        test->set = NULL;
        test->ranges[0] = (struct nsp_range){ nsp_u128(1), nsp_u128(1) };
    }
    return node;
}

static struct nsp_node *
fold_test(const struct folder *folder, struct nsp_node *node)
{
    if (!nsp_filter_give_ranges(&node->test, folder->layer, folder->arena))
        return NULL;
    return fold_sure_test(folder, node);
}

/* --- Tests of one field -------------------------------------------------- */

static bool
is_same_text(const struct nsp_test *a, const struct nsp_test *b)
{
    return a->text_operator == b->text_operator &&
           a->text.count == b->text.count &&
           (a->text.count == 0 ||
            memcmp(a->text.bytes, b->text.bytes, a->text.count) == 0);
}

/* Tells whether two tests of one field look at the same value. */
static bool
is_same_value(const struct nsp_test *a, const struct nsp_test *b)
{
    return a->position == b->position && a->mask == b->mask &&
           a->other == b->other && a->other_position == b->other_position &&
           a->set == b->set && is_same_text(a, b);
}

/* Stores the group of 'node', made if need be, in '*ret'; NULL when its field
 * has too many. Returns false when memory is short. */
static bool
find_group(struct folder *folder, struct nsp_node *node, struct group **ret)
{
    struct group **slot = &folder->groups[node->test.field - nsp_fields];

    *ret = NULL;
    for (int i = 0; *slot; i++, slot = &(*slot)->next) {
        if (is_same_value(&(*slot)->head->test, &node->test)) {
            *ret = *slot;
            return true;
        }
        if (i == GROUP_MAX)
            return true;
    }
    *slot = nsp_arena_alloc(folder->arena, 1, sizeof **slot);
    if (!*slot)
        return false;
    (*slot)->head = node;
    *ret = *slot;
    return true;
}

/* Adds the ranges of 'test' (their complement for 'and', by De Morgan) to what
 * 'group' has collected. */
static bool
collect(const struct folder *folder, struct group *group,
        const struct nsp_test *test, bool is_and)
{
    uint32_t needed = group->merged + test->range_count + 1;

    if (needed > group->capacity) {
        uint32_t capacity = needed * 2;
        struct nsp_range *ranges =
            nsp_arena_alloc(folder->arena, capacity, sizeof ranges[0]);

        if (!ranges)
            return false;
        if (group->ranges)
            memcpy(ranges, group->ranges, group->merged * sizeof ranges[0]);
        group->ranges = ranges;
        group->capacity = capacity;
    }
    assert(group->ranges);
    if (is_and) {
        group->merged += nsp_ranges_complement(test->ranges, test->range_count,
                                               span_of(folder, test),
                                               group->ranges + group->merged);
    } else if (test->range_count > 0) {
        memcpy(group->ranges + group->merged, test->ranges,
               test->range_count * sizeof test->ranges[0]);
        group->merged += test->range_count;
    }
    return true;
}

/* Gives the group's first test the ranges of all. */
static bool
settle(const struct folder *folder, struct group *group, bool is_and)
{
    struct nsp_test *test = &group->head->test;

    group->merged = nsp_ranges_normalise(group->ranges, group->merged);
    test->ranges = group->ranges;
    test->range_count = group->merged;
    if (is_and) {
        test->ranges = nsp_arena_alloc(folder->arena, group->merged + 1,
                                       sizeof test->ranges[0]);
        if (!test->ranges)
            return false;
        test->range_count = nsp_ranges_complement(
            group->ranges, group->merged, span_of(folder, test), test->ranges);
    }
    return true;
}

static bool
gather_groups(struct folder *folder, struct nsp_node *parent)
{
    bool is_and = parent->kind == NSP_NODE_AND;
    struct nsp_node *next;

    memset(folder->groups, 0, sizeof folder->groups);
    for (struct nsp_node *child = parent->first; child; child = next) {
        struct group *group;

        next = child->next;
        if (child->kind != NSP_NODE_TEST)
            continue;
        if (!find_group(folder, child, &group))
            return false;
        if (!group || group->head == child)
            continue;
        if ((!group->ranges &&
             !collect(folder, group, &group->head->test, is_and)) ||
            !collect(folder, group, &child->test, is_and))
            return false;
        nsp_node_remove(parent, child);
    }
    return true;
}

/* Merges the tests of each field among the children of an 'and' or 'or'. A
 * merged test may turn out to test for a header, and join others that do:
 * '*ret_again' says so. */
static bool
merge_tests(struct folder *folder, struct nsp_node *parent, bool *ret_again)
{
    bool is_and = parent->kind == NSP_NODE_AND;

    *ret_again = false;
    if (!gather_groups(folder, parent))
        return false;
    for (uint32_t i = 0; i < nsp_field_count; i++) {
        for (struct group *g = folder->groups[i]; g; g = g->next) {
            const struct nsp_field *field = g->head->test.field;

            if (!g->ranges)
                continue;
            if (!settle(folder, g, is_and))
                return false;
            fold_sure_test(folder, g->head);
            *ret_again |= g->head->test.field != field;
        }
    }
    return true;
}

/* --- Nodes --------------------------------------------------------------- */

/* Drops neutral constants and pulls up children of the same kind. Returns true
 * when a constant decides the whole. */
static bool
tidy_children(struct nsp_node *parent)
{
    bool neutral = parent->kind == NSP_NODE_AND;
    struct nsp_node *next;

    for (struct nsp_node *child = parent->first; child; child = next) {
        next = child->next;
        if (is_constant(child, !neutral))
            return true;
        if (is_constant(child, neutral)) {
            nsp_node_remove(parent, child);
        } else if (child->kind == parent->kind) {
            struct nsp_node *inner = child->first;

            /* Spliced in where the child was. */
            *(child->prev ? &child->prev->next : &parent->first) = inner;
            inner->prev = child->prev;
            child->last->next = next;
            *(next ? &next->prev : &parent->last) = child->last;
        }
    }
    return false;
}

/* Simplifies an 'and' or 'or' whose children are folded. */
static struct nsp_node *
fold_joined(struct folder *folder, struct nsp_node *node)
{
    bool is_and = node->kind == NSP_NODE_AND;
    bool again = true;

    while (again) {
        if (tidy_children(node))
            return make_constant(node, !is_and);
        if (!merge_tests(folder, node, &again))
            return NULL;
    }
    if (tidy_children(node))
        return make_constant(node, !is_and);
    if (!node->first)
        return make_constant(node, is_and);
    if (node->first == node->last)
        return node->first;
    return node;
}

static bool
is_negation(const struct nsp_node *node)
{
    return node->kind == NSP_NODE_CONDITIONAL &&
           is_constant(node->first->next, false) &&
           is_constant(node->last, true);
}

static struct nsp_node *
fold_conditional(struct folder *folder, struct nsp_node *node)
{
    struct nsp_node *condition = node->first, *otherwise = node->last, *then;

    assert(condition && otherwise);
    then = condition->next;
    assert(then);
    if (condition->kind == NSP_NODE_CONSTANT)
        return condition->value ? then : otherwise;
    if (then->kind == NSP_NODE_CONSTANT &&
        otherwise->kind == NSP_NODE_CONSTANT && then->value == otherwise->value)
        return then;
    if (is_negation(node) && is_negation(condition))
        return condition->first;
    if (is_constant(then, true)) {
        nsp_node_remove(node, then);
        node->kind = NSP_NODE_OR;
        return fold_joined(folder, node);
    }
    if (is_constant(otherwise, false)) {
        nsp_node_remove(node, otherwise);
        node->kind = NSP_NODE_AND;
        return fold_joined(folder, node);
    }
    return node;
}

/* Folds every child and puts the results in their places. */
static bool
fold_children(struct folder *folder, struct nsp_node *parent)
{
    struct nsp_node *child = parent->first, *next;

    parent->first = parent->last = NULL;
    for (; child; child = next) {
        struct nsp_node *folded;

        next = child->next;
        child->next = child->prev = NULL;
        folded = fold(folder, child);
        if (!folded)
            return false;
        nsp_node_append(parent, folded);
    }
    return true;
}

static struct nsp_node *
fold(struct folder *folder, struct nsp_node *node)
{
    if (node->kind == NSP_NODE_CONSTANT)
        return node;
    if (node->kind == NSP_NODE_TEST)
        return fold_test(folder, node);
    if (!fold_children(folder, node))
        return NULL;
    if (node->kind == NSP_NODE_CONDITIONAL)
        return fold_conditional(folder, node);
    return fold_joined(folder, node);
}

struct nsp_node *
nsp_filter_fold(struct nsp_node *node, enum nsp_layer layer,
                struct nsp_arena *arena)
{
    struct folder folder = { .layer = layer, .arena = arena };

    return fold(&folder, node);
}
