#include "filter/parse.h"

#include <stdio.h>

#define INDEX_MAX    65575u
#define POSITION_MAX 65535u

static int
bad_position(const struct nsp_parser *parser, const struct nsp_field *field,
             bool from_end)
{
    const struct nsp_token *token = &parser->token;
    char hint[96];

    if (from_end)
        snprintf(hint, sizeof hint, "%s needs %u to %u bytes back from the end",
                 field->name, (unsigned)field->element_bytes, POSITION_MAX);
    else
        snprintf(hint, sizeof hint, "%s begins at byte 0 to %u", field->name,
                 POSITION_MAX - field->element_bytes);
    return nsp_source_fail(&parser->lexer.source, token->start, token->start,
                           NSP_BAD_INDEX, hint, "the index of %s is too %s",
                           field->name,
                           from_end ? "small or too large" : "large");
}

/* '[' ['-'] number ['b'] ']' */
static int
parse_index(struct nsp_parser *parser, struct nsp_test *test)
{
    const struct nsp_field *field = test->field;
    bool from_end, in_bytes;
    struct nsp_u128 number;
    uint64_t position;
    int r;

    if (parser->token.kind != NSP_TOKEN_OPEN_INDEX)
        return nsp_parser_unexpected(
            parser, "'[' and an index",
            "write for example packet[0] or packet[-1]");
    if ((r = nsp_parser_advance(parser)) != 0)
        return r;
    from_end = parser->token.kind == NSP_TOKEN_MINUS;
    if (from_end && (r = nsp_parser_advance(parser)) != 0)
        return r;
    in_bytes = parser->token.kind == NSP_TOKEN_BYTE_NUMBER;
    if (!in_bytes && parser->token.kind != NSP_TOKEN_NUMBER)
        return nsp_parser_unexpected(parser, "an index", NULL);
    number = parser->token.value;
    if (nsp_u128_less(nsp_u128(INDEX_MAX), number))
        return nsp_source_fail(&parser->lexer.source, parser->token.start,
                               parser->token.start, NSP_BAD_INDEX, NULL,
                               "an index above %u", INDEX_MAX);
    if ((r = nsp_parser_advance(parser)) != 0)
        return r;

    position = number.lo * (in_bytes ? 1u : field->element_bytes);
    if (from_end ? position < field->element_bytes || position > POSITION_MAX
                 : position > POSITION_MAX - field->element_bytes)
        return bad_position(parser, field, from_end);
    test->position = from_end ? -(int32_t)position : (int32_t)position;
    if (parser->token.kind != NSP_TOKEN_CLOSE_INDEX)
        return nsp_parser_unexpected(parser, "']'", NULL);
    return nsp_parser_advance(parser);
}

static uint8_t
opposite(uint8_t relation)
{
    static const uint8_t opposites[] = {
        [NSP_EQ] = NSP_NE,         [NSP_NE] = NSP_EQ,         [NSP_LT] = NSP_GE,
        [NSP_LE] = NSP_GT,         [NSP_GT] = NSP_LE,         [NSP_GE] = NSP_LT,
        [NSP_WITHIN] = NSP_BEYOND, [NSP_BEYOND] = NSP_WITHIN,
    };

    return opposites[relation];
}

struct nsp_node *
nsp_parser_new_test(struct nsp_parser *parser, const struct nsp_test *like,
                    enum nsp_relation relation, const struct nsp_values *values)
{
    struct nsp_node *node = nsp_parser_new_node(parser, NSP_NODE_TEST);

    if (node) {
        node->test = *like;
        node->test.relation = (uint8_t)relation;
        node->test.number = values->lo;
        node->test.upper = values->hi;
    }
    return node;
}

/* --- Tests of more than one value ----------------------------------------- */

/* '&' number */
static int
parse_mask(struct nsp_parser *parser, struct nsp_test *test)
{
    const struct nsp_field *field = test->field;
    const struct nsp_source *source = &parser->lexer.source;
    uint32_t start = parser->token.start, all;
    int r;

    if (field->type != NSP_TYPE_NUMBER || field->bits > 32)
        return nsp_source_fail(source, start, start, NSP_PARSE_ERROR,
                               "'and' is written 'and' or '&&'; a prefix of an "
                               "address == 10.0.0.0/8",
                               "%s is no field that takes a mask", field->name);
    if ((r = nsp_parser_advance(parser)) != 0)
        return r;
    if (parser->token.kind != NSP_TOKEN_NUMBER)
        return nsp_parser_unexpected(
            parser, "a mask", "write for example tcp.Flags & 0x12 == 0x02");
    all = UINT32_MAX >> (32 - field->bits);
    test->mask = (uint32_t)parser->token.value.lo & all;
    if (test->mask == 0)
        return nsp_source_fail(source, parser->token.start, parser->token.start,
                               NSP_PARSE_ERROR, NULL,
                               "a mask that leaves nothing of the %u bits of "
                               "%s",
                               (unsigned)field->bits, field->name);
    if (test->mask == all)
        test->mask = 0;
    return nsp_parser_advance(parser);
}

enum value_class { CLASS_NONE, CLASS_NUMBER, CLASS_ADDRESS, CLASS_MAC };

static enum value_class
class_of(const struct nsp_field *field)
{
    switch (field->type) {
    case NSP_TYPE_BOOL:
    case NSP_TYPE_NUMBER:
        return CLASS_NUMBER;
    case NSP_TYPE_IPV4:
    case NSP_TYPE_IPV6:
        return CLASS_ADDRESS;
    case NSP_TYPE_MAC:
        return CLASS_MAC;
    default:
        return CLASS_NONE;
    }
}

/* The field on the right side. */
static int
parse_other_field(struct nsp_parser *parser, const struct nsp_test *like,
                  uint8_t relation, struct nsp_node **ret)
{
    const struct nsp_values equal = { .lo = { .magnitude = { 0, 1 } } };
    struct nsp_test test = *like, right = { .field = parser->token.field };
    int r;

    if (class_of(test.field) == CLASS_NONE || test.mask != 0 ||
        class_of(test.field) != class_of(right.field))
        return nsp_parser_unexpected(
            parser, "a number or an address",
            "only fields of one type are compared with each "
            "other: tcp.SrcPort == tcp.DstPort");
    if ((r = nsp_parser_advance(parser)) != 0)
        return r;
    if (right.field->element_bytes > 0 &&
        (r = parse_index(parser, &right)) != 0)
        return r;
    test.other = right.field;
    test.other_position = right.position;
    *ret =
        nsp_parser_new_test(parser, &test, (enum nsp_relation)relation, &equal);
    return *ret ? 0 : NSP_NO_MEMORY;
}

static int
has_no_order(const struct nsp_parser *parser, const struct nsp_token *at,
             const char *what)
{
    return nsp_source_fail(&parser->lexer.source, at->start, at->start,
                           NSP_PARSE_ERROR, "use ==, != or in",
                           "%s has no order", what);
}

/* The relation and what follows it. */
static int
parse_comparison(struct nsp_parser *parser, const struct nsp_test *like,
                 bool negated, struct nsp_node **ret)
{
    uint8_t relation = (uint8_t)(parser->token.kind - NSP_TOKEN_EQ);
    struct nsp_token first;
    struct nsp_values values;
    int r;

    if ((r = nsp_parser_advance(parser)) != 0)
        return r;
    first = parser->token;
    if (!parser->lexer.strict && first.kind == NSP_TOKEN_FIELD)
        return parse_other_field(parser, like,
                                 negated ? opposite(relation) : relation, ret);
    if (first.kind == NSP_TOKEN_SET_NAME) {
        if (relation != NSP_EQ && relation != NSP_NE)
            return has_no_order(parser, &first, "a set");
        return nsp_parse_named_set(parser, like,
                                   (relation == NSP_EQ) != negated, ret);
    }
    if ((r = nsp_parse_values(parser, like->field, false, &values)) != 0)
        return r;
    if (nsp_number_less(values.lo, values.hi)) {
        if (relation != NSP_EQ && relation != NSP_NE)
            return has_no_order(parser, &first, "a prefix");
        relation = relation == NSP_EQ ? NSP_WITHIN : NSP_BEYOND;
    }
    if (negated)
        relation = opposite(relation);
    *ret =
        nsp_parser_new_test(parser, like, (enum nsp_relation)relation, &values);
    return *ret ? 0 : NSP_NO_MEMORY;
}

static bool
is_of_text(enum nsp_token_kind kind)
{
    return kind == NSP_TOKEN_STRING || kind == NSP_TOKEN_CONTAINS ||
           kind == NSP_TOKEN_MATCHES;
}

/* field ['&' mask] [relation (values | field) | ['not'] 'in' set], or a text
 * field and what follows it, the next token being a field. */
int
nsp_parse_test(struct nsp_parser *parser, bool negated, struct nsp_node **ret)
{
    const struct nsp_values zero = { .lo = { .negative = false } };
    struct nsp_test test = { .field = parser->token.field,
                             .at = parser->token.start };
    int r;

    if ((r = nsp_parser_advance(parser)) != 0)
        return r;
    if (test.field->type == NSP_TYPE_TEXT)
        return nsp_parse_text_test(parser, &test, negated, ret);
    if (test.field->element_bytes > 0 && (r = parse_index(parser, &test)) != 0)
        return r;
    if (parser->token.kind == NSP_TOKEN_AMPERSAND &&
        (r = parse_mask(parser, &test)) != 0)
        return r;
    if (nsp_parser_is_relation(parser->token.kind))
        return parse_comparison(parser, &test, negated, ret);
    if (parser->token.kind == NSP_TOKEN_IN)
        return nsp_parse_set(parser, &test, !negated, ret);
    if (!parser->lexer.strict && parser->token.kind == NSP_TOKEN_NOT) {
        if ((r = nsp_parser_advance(parser)) != 0)
            return r;
        if (is_of_text(parser->token.kind))
            return nsp_parser_not_text(parser, test.field);
        if (parser->token.kind != NSP_TOKEN_IN)
            return nsp_parser_unexpected(parser, "'in'", NULL);
        return nsp_parse_set(parser, &test, negated, ret);
    }
    if (is_of_text(parser->token.kind))
        return nsp_parser_not_text(parser, test.field);
    *ret = nsp_parser_new_test(parser, &test, negated ? NSP_EQ : NSP_NE, &zero);
    return *ret ? 0 : NSP_NO_MEMORY;
}
