#ifndef NSP_FILTER_TREE_H
#define NSP_FILTER_TREE_H
#include "filter/arena.h"
#include "filter/fields.h"
#include "filter/filter_set.h"
#include "filter/match_text.h"

/* A filter as a tree of Boolean nodes over tests. 'and' and 'or' have any
 * number of children, so depth is that of the written parentheses alone. Nodes
 * live in the compilation's arena. */

#define NSP_FILTER_DEPTH_MAX 512u
#define NSP_FILTER_TESTS_MAX 8192u

enum nsp_relation {
    NSP_EQ,
    NSP_NE,
    NSP_LT,
    NSP_LE,
    NSP_GT,
    NSP_GE,
    NSP_WITHIN, /* number .. upper. */
    NSP_BEYOND, /* There, and outside them. */
};

/* A test passes when the packet has the field and its value lies in one of the
 * ranges. The parser leaves relation and numbers; the fold stage turns them to
 * ranges of distances from the field's smallest value: ascending, disjoint,
 * not adjacent. */
struct nsp_test {
    const struct nsp_field *field;
    int32_t position; /* Of an indexed field: byte from the start, or, if
                       * negative, from the end. */
    uint8_t relation; /* enum nsp_relation. */
    struct nsp_number number, upper;
    uint32_t mask; /* Not 0: only these bits of the value are looked at. */

    /* Not NULL: the value is 0, 1 or 2 as the field's is less than, equal to or
     * more than this one's. */
    const struct nsp_field *other;
    int32_t other_position;

    /* Not NULL: the value is 1 if the field's is in it, else 0. */
    struct nsp_filter_set *set;

    /* With bytes: the value is 1 if the field, a text, compares so, else 0. */
    struct nsp_text_literal text;
    uint8_t text_operator; /* enum nsp_text_operator. */
    uint32_t at, text_at;  /* Places in the source: of field and literal. */

    struct nsp_range *ranges;
    uint32_t range_count;
};

enum nsp_node_kind {
    NSP_NODE_CONSTANT,
    NSP_NODE_TEST,
    NSP_NODE_AND,
    NSP_NODE_OR,
    NSP_NODE_CONDITIONAL, /* Three children: condition, then, else. */
};

struct nsp_node {
    enum nsp_node_kind kind;
    bool value; /* Of a constant. */
    struct nsp_node *first, *last;
    struct nsp_node *next, *prev; /* Siblings. */
    struct nsp_test test;
};

/* The values that 'test' tells apart. */
static inline struct nsp_field_range
nsp_test_range(const struct nsp_test *test, enum nsp_layer layer)
{
    struct nsp_field_range range = { .span = { 0, test->mask } };

    if (test->other || test->set || test->text.bytes)
        range.span.lo = test->other ? 2 : 1;
    return range.span.lo != 0 ? range : nsp_field_range(test->field, layer);
}

/* Appends 'child' to the children of 'parent'. */
static inline void
nsp_node_append(struct nsp_node *parent, struct nsp_node *child)
{
    child->next = NULL;
    child->prev = parent->last;
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
}

static inline void
nsp_node_remove(struct nsp_node *parent, struct nsp_node *child)
{
    *(child->prev ? &child->prev->next : &parent->first) = child->next;
    *(child->next ? &child->next->prev : &parent->last) = child->prev;
    child->next = child->prev = NULL;
}

#endif /* NSP_FILTER_TREE_H */
