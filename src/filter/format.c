#include <stdio.h>
#include <string.h>

#include "base/diag.h"
#include "filter/compile.h"
#include "filter/lexer.h"
#include "filter/literal.h"
#include "filter/ranges.h"

/* Counts what it is given, and writes it once there is a place to. */
struct printer {
    enum nsp_layer layer;
    char *text;
    size_t used;
};

static void print_node(struct printer *printer, const struct nsp_node *node);

static void
print(struct printer *printer, const char *text)
{
    size_t bytes = strlen(text);

    if (printer->text)
        memcpy(printer->text + printer->used, text, bytes);
    printer->used += bytes;
}

static void
print_field(struct printer *printer, const struct nsp_field *field,
            int32_t position)
{
    uint32_t size = field->element_bytes;
    uint32_t distance = (uint32_t)(position < 0 ? -position : position);
    char index[32];

    print(printer, field->name);
    if (size == 0)
        return;
    snprintf(index, sizeof index, "[%s%u%s]", position < 0 ? "-" : "",
             distance % size == 0 ? distance / size : distance,
             distance % size == 0 ? "" : "b");
    print(printer, index);
}

/* Prints what is on the left of a relation. */
static void
print_left(struct printer *printer, const struct nsp_test *test)
{
    char mask[32];

    print_field(printer, test->field, test->position);
    if (test->mask == 0)
        return;
    snprintf(mask, sizeof mask, " & 0x%x", test->mask);
    print(printer, mask);
}

/* Prints a distance from the field's minimum as the value it stands for. */
static void
print_value(struct printer *printer, const struct nsp_test *test,
            struct nsp_u128 distance)
{
    struct nsp_number min = nsp_test_range(test, printer->layer).min;
    struct nsp_u128 value = nsp_u128_add(nsp_number_wrap(min), distance);
    bool is_address = test->field->type == NSP_TYPE_IPV4 ||
                      test->field->type == NSP_TYPE_IPV6;
    char text[NSP_LITERAL_BYTES];

    if (min.negative && value.hi >> 63) {
        print(printer, "-");
        value = nsp_u128_sub(nsp_u128(0), value);
    }
    if (test->field->type == NSP_TYPE_MAC)
        nsp_literal_print_mac(value, text);
    else if (is_address)
        nsp_literal_print_address(value, text);
    else
        nsp_literal_print_number(value, text);
    print(printer, text);
}

static void
print_relation(struct printer *printer, const struct nsp_test *test,
               const char *relation, struct nsp_u128 value)
{
    print_left(printer, test);
    print(printer, relation);
    print_value(printer, test, value);
}

/* A yes-or-no field stands alone, or after 'not'. */
static void
print_bool(struct printer *printer, const struct nsp_test *test)
{
    if (nsp_u128_is_zero(test->ranges[0].lo))
        print(printer, "not ");
    print_field(printer, test->field, test->position);
}

static void
print_range(struct printer *printer, const struct nsp_test *test,
            const struct nsp_range *range, struct nsp_u128 span)
{
    bool from_start = nsp_u128_is_zero(range->lo);
    bool to_end = nsp_u128_equal(range->hi, span);

    if (nsp_u128_equal(range->lo, range->hi)) {
        print_relation(printer, test, " == ", range->lo);
    } else if (to_end) {
        print_relation(printer, test, " >= ", range->lo);
    } else if (from_start) {
        print_relation(printer, test, " <= ", range->hi);
    } else {
        print(printer, "(");
        print_relation(printer, test, " >= ", range->lo);
        print(printer, " and ");
        print_relation(printer, test, " <= ", range->hi);
        print(printer, ")");
    }
}

/* Prints that the value is not between two ranges. */
static void
print_gap(struct printer *printer, const struct nsp_test *test,
          const struct nsp_range *below, const struct nsp_range *above)
{
    struct nsp_u128 first = nsp_u128_add(below->hi, nsp_u128(1));
    struct nsp_u128 last = nsp_u128_sub(above->lo, nsp_u128(1));

    if (nsp_u128_equal(first, last)) {
        print_relation(printer, test, " != ", first);
        return;
    }
    print(printer, "(");
    print_relation(printer, test, " <= ", below->hi);
    print(printer, " or ");
    print_relation(printer, test, " >= ", above->lo);
    print(printer, ")");
}

/* Prints several ranges, or what they leave out where that is less. */
static void
print_set(struct printer *printer, const struct nsp_test *test,
          struct nsp_u128 span)
{
    const struct nsp_range *ranges = test->ranges;
    uint32_t count = test->range_count;
    bool by_gaps = nsp_u128_is_zero(ranges[0].lo) &&
                   nsp_u128_equal(ranges[count - 1].hi, span);
    bool single = by_gaps && count == 2;

    print(printer, single ? "" : "(");
    for (uint32_t i = 0; by_gaps && i + 1 < count; i++) {
        print(printer, i > 0 ? " and " : "");
        print_gap(printer, test, &ranges[i], &ranges[i + 1]);
    }
    for (uint32_t i = 0; !by_gaps && i < count; i++) {
        print(printer, i > 0 ? " or " : "");
        print_range(printer, test, &ranges[i], span);
    }
    print(printer, single ? "" : ")");
}

static void
print_compared(struct printer *printer, const struct nsp_test *test)
{
    /* By the set of 'less', 'equal' and 'more' that pass, as bits. */
    static const char *const relations[] = { " != ", " < ",  " == ", " <= ",
                                             " > ",  " != ", " >= ", " <= " };
    unsigned set = 0;

    for (unsigned i = 0; i <= 2; i++) {
        if (nsp_ranges_contain(test->ranges, test->range_count, nsp_u128(i)))
            set |= 1u << i;
    }
    print(printer, set == 7 ? "(" : "");
    print_field(printer, test->field, test->position);
    print(printer, relations[set]);
    print_field(printer, test->other, test->other_position);
    if (set != 7)
        return;
    print(printer, " or ");
    print_field(printer, test->field, test->position);
    print(printer, " > ");
    print_field(printer, test->other, test->other_position);
    print(printer, ")");
}

/* Prints a string that stands for the literal's bytes. */
static void
print_string(struct printer *printer, const struct nsp_text_literal *literal)
{
    print(printer, "\"");
    for (uint32_t i = 0; i < literal->count; i++) {
        unsigned char c = (unsigned char)literal->bytes[i];
        char part[8];

        if (c < ' ' || c >= 0x7f)
            snprintf(part, sizeof part, "\\x%02x", c);
        else
            snprintf(part, sizeof part, "%s%c",
                     c == '"' || c == '\\' ? "\\" : "", c);
        print(printer, part);
    }
    print(printer, "\"");
}

/* Prints that a field is, or is not, in a named set, or like a string. */
static void
print_membership(struct printer *printer, const struct nsp_test *test,
                 bool holds)
{
    static const char *const operators[][2] = {
        [NSP_TEXT_EQUALS] = { " != ", " == " },
        [NSP_TEXT_CONTAINS] = { " not contains ", " contains " },
        [NSP_TEXT_MATCHES] = { " not matches ", " matches " },
    };

    print_field(printer, test->field, test->position);
    if (test->set) {
        print(printer, holds ? " in " : " not in ");
        print(printer, test->set->name);
        return;
    }
    print(printer, operators[test->text_operator][holds]);
    print_string(printer, &test->text);
}

static void
print_either(struct printer *printer, const struct nsp_test *test)
{
    bool outside = nsp_u128_is_zero(test->ranges[0].lo);
    bool either = outside && nsp_u128_equal(test->ranges[0].hi, nsp_u128(1));

    print(printer, either ? "(" : "");
    print_membership(printer, test, !outside);
    if (!either)
        return;
    print(printer, " or ");
    print_membership(printer, test, true);
    print(printer, ")");
}

static void
print_test(struct printer *printer, const struct nsp_test *test)
{
    struct nsp_u128 span = nsp_test_range(test, printer->layer).span;

    if (test->other)
        print_compared(printer, test);
    else if (test->set || test->text.bytes)
        print_either(printer, test);
    else if (test->field->type == NSP_TYPE_BOOL &&
             nsp_u128_less(test->ranges[0].lo, span) ==
                 nsp_u128_less(test->ranges[0].hi, span))
        print_bool(printer, test);
    else if (test->range_count == 1)
        print_range(printer, test, &test->ranges[0], span);
    else
        print_set(printer, test, span);
}

static void
print_joined(struct printer *printer, const struct nsp_node *node,
             const char *joint)
{
    for (const struct nsp_node *c = node->first; c; c = c->next) {
        bool enclose = node->kind == NSP_NODE_AND && c->kind == NSP_NODE_OR;

        print(printer, enclose ? "(" : "");
        print_node(printer, c);
        print(printer, enclose ? ")" : "");
        print(printer, c->next ? joint : "");
    }
}

static void
print_node(struct printer *printer, const struct nsp_node *node)
{
    switch (node->kind) {
    case NSP_NODE_CONSTANT:
        print(printer, node->value ? "true" : "false");
        break;
    case NSP_NODE_TEST:
        print_test(printer, &node->test);
        break;
    case NSP_NODE_AND:
        print_joined(printer, node, " and ");
        break;
    case NSP_NODE_OR:
        print_joined(printer, node, " or ");
        break;
    case NSP_NODE_CONDITIONAL:
        print(printer, "(");
        print_node(printer, node->first);
        print(printer, " ? ");
        print_node(printer, node->first->next);
        print(printer, " : ");
        print_node(printer, node->last);
        print(printer, ")");
        break;
    }
}

static int
print_tree(const struct nsp_source *source, const struct nsp_node *tree,
           enum nsp_layer layer, const struct nsp_allocator *allocator,
           char **ret)
{
    struct printer printer = { .layer = layer };

    print_node(&printer, tree);
    if (printer.used > NSP_FILTER_TEXT_MAX)
        return nsp_source_fail(source, 0, 0, NSP_TOO_LONG, NULL,
                               "the canonical form is longer than %u bytes",
                               NSP_FILTER_TEXT_MAX);
    printer.text = nsp_alloc(allocator, printer.used + 1, 1);
    if (!printer.text)
        return nsp_source_out_of_memory(source);
    printer.used = 0;
    print_node(&printer, tree);
    *ret = printer.text;
    return NSP_OK;
}

int
nsp_filter_format(const char *text, enum nsp_layer layer,
                  const struct nsp_filter_options *options,
                  const struct nsp_allocator *allocator, char **ret,
                  struct nsp_diag *reterr)
{
    struct nsp_allocator memory = nsp_allocator_or_libc(allocator);
    struct nsp_source source;
    struct nsp_arena arena;
    struct nsp_node *tree;
    int r;

    if (!text || !ret || (unsigned)layer >= NSP_LAYER_COUNT)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "invalid-parameter",
                            NULL, "no filter text, or no such layer");
    nsp_arena_init(&arena, &memory);
    r = nsp_filter_read(text, layer, options, false, &arena, reterr, &source,
                        &tree);
    if (r == NSP_OK)
        r = print_tree(&source, tree, layer, &memory, ret);
    nsp_arena_fini(&arena);
    return r;
}
