#include "filter/parser.h"

#include <stdio.h>
#include <string.h>

#define INDEX_MAX    65575u
#define POSITION_MAX 65535u

struct parser {
    struct nsp_lexer lexer;
    struct nsp_token token; /* The next one. */
    struct nsp_arena *arena;
    uint32_t depth;
};

static int parse_or(struct parser *parser, struct nsp_node **ret);

static int
advance(struct parser *parser)
{
    return nsp_lexer_next(&parser->lexer, &parser->token);
}

/* Fails at the next token, which is not the 'expected' one. */
static int
unexpected(const struct parser *parser, const char *expected, const char *hint)
{
    const struct nsp_source *source = &parser->lexer.source;
    const struct nsp_token *token = &parser->token;
    const char *word = source->text + token->start;
    int bytes = (int)(token->end - token->start);

    if (token->kind == NSP_TOKEN_END)
        return nsp_source_fail(
            source, token->start, token->start, NSP_PARSE_ERROR, hint,
            "the filter ends where %s is expected", expected);
    if (token->kind == NSP_TOKEN_FOREIGN_MACRO)
        return nsp_source_fail(
            source, token->start, token->start, NSP_PARSE_ERROR, hint,
            "'%s' is not a value on layer %s", token->macro->name,
            nsp_layer_name(parser->lexer.layer));
    return nsp_source_fail(source, token->start, token->start, NSP_PARSE_ERROR,
                           hint, "found '%.*s' where %s is expected", bytes,
                           word, expected);
}

static struct nsp_node *
new_node(struct parser *parser, enum nsp_node_kind kind)
{
    struct nsp_node *node = nsp_arena_alloc(parser->arena, 1, sizeof *node);

    if (!node)
        nsp_source_out_of_memory(&parser->lexer.source);
    else
        node->kind = kind;
    return node;
}

static int
bad_position(const struct parser *parser, const struct nsp_field *field,
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
parse_index(struct parser *parser, struct nsp_test *test)
{
    const struct nsp_field *field = test->field;
    bool from_end, in_bytes;
    struct nsp_u128 number;
    uint64_t position;
    int r;

    if (parser->token.kind != NSP_TOKEN_OPEN_INDEX)
        return unexpected(parser, "'[' and an index",
                          "write for example packet[0] or packet[-1]");
    if ((r = advance(parser)) != 0)
        return r;
    from_end = parser->token.kind == NSP_TOKEN_MINUS;
    if (from_end && (r = advance(parser)) != 0)
        return r;
    in_bytes = parser->token.kind == NSP_TOKEN_BYTE_NUMBER;
    if (!in_bytes && parser->token.kind != NSP_TOKEN_NUMBER)
        return unexpected(parser, "an index", NULL);
    number = parser->token.value;
    if (nsp_u128_less(nsp_u128(INDEX_MAX), number))
        return nsp_source_fail(&parser->lexer.source, parser->token.start,
                               parser->token.start, NSP_BAD_INDEX, NULL,
                               "an index above %u", INDEX_MAX);
    if ((r = advance(parser)) != 0)
        return r;

    position = number.lo * (in_bytes ? 1u : field->element_bytes);
    if (from_end ? position < field->element_bytes || position > POSITION_MAX
                 : position > POSITION_MAX - field->element_bytes)
        return bad_position(parser, field, from_end);
    test->position = from_end ? -(int32_t)position : (int32_t)position;
    if (parser->token.kind != NSP_TOKEN_CLOSE_INDEX)
        return unexpected(parser, "']'", NULL);
    return advance(parser);
}

static bool
is_relation(enum nsp_token_kind kind)
{
    return kind >= NSP_TOKEN_EQ && kind <= NSP_TOKEN_GE;
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

/* ['-'] number */
static int
parse_number(struct parser *parser, struct nsp_number *ret)
{
    int r;

    ret->negative = parser->token.kind == NSP_TOKEN_MINUS;
    if (ret->negative && (r = advance(parser)) != 0)
        return r;
    if (parser->token.kind != NSP_TOKEN_NUMBER)
        return unexpected(parser, "a number or an address",
                          parser->token.kind == NSP_TOKEN_FIELD
                              ? "a field cannot stand on the right side"
                              : NULL);
    ret->magnitude = parser->token.value;
    if (nsp_u128_is_zero(ret->magnitude))
        ret->negative = false;
    return advance(parser);
}

/* --- Sets and prefixes ---------------------------------------------------- */

/* Values from 'lo' to 'hi' on the right side. */
struct values {
    struct nsp_number lo, hi;
};

static bool
is_ipv4_word(const struct parser *parser, const struct nsp_token *token)
{
    const char *word = parser->lexer.source.text + token->start;
    size_t bytes = token->end - token->start;

    return memchr(word, '.', bytes) && !memchr(word, ':', bytes);
}

/* '/' bits, behind the address 'at'. */
static int
parse_prefix_length(struct parser *parser, const struct nsp_field *field,
                    const struct nsp_token *at, struct values *values)
{
    const struct nsp_source *source = &parser->lexer.source;
    const char *word = source->text + at->start;
    bool ipv4 = is_ipv4_word(parser, at);
    uint32_t width = ipv4 ? 32 : 128;
    struct nsp_u128 open = NSP_U128_MAX, *lo = &values->lo.magnitude;
    uint64_t bits;
    int r;

    if ((field->type != NSP_TYPE_IPV4 && field->type != NSP_TYPE_IPV6) ||
        (!ipv4 && !memchr(word, ':', at->end - at->start)))
        return unexpected(parser, "no prefix",
                          "a prefix is of an address field: ip.SrcAddr == "
                          "10.0.0.0/8");
    if ((r = advance(parser)) != 0)
        return r;
    if (parser->token.kind != NSP_TOKEN_NUMBER)
        return unexpected(parser, "a prefix length", NULL);
    if (nsp_u128_less(nsp_u128(width), parser->token.value))
        return nsp_source_fail(source, parser->token.start, parser->token.start,
                               NSP_PARSE_ERROR, NULL,
                               "a prefix length above %u", width);

    bits = parser->token.value.lo + (128 - width);
    open.hi = bits >= 64 ? 0 : UINT64_MAX >> bits;
    open.lo = bits >= 128  ? 0
              : bits <= 64 ? UINT64_MAX
                           : UINT64_MAX >> (bits - 64);
    *lo = (struct nsp_u128){ lo->hi & ~open.hi, lo->lo & ~open.lo };
    values->hi.magnitude = nsp_u128_add(*lo, open);
    return advance(parser);
}

/* '..' number */
static int
parse_range_end(struct parser *parser, struct values *values)
{
    uint32_t at;
    int r;

    if ((r = advance(parser)) != 0)
        return r;
    at = parser->token.start;
    if ((r = parse_number(parser, &values->hi)) != 0)
        return r;
    if (nsp_number_less(values->hi, values->lo))
        return nsp_source_fail(&parser->lexer.source, at, at, NSP_PARSE_ERROR,
                               "write the lower value first",
                               "the range ends before it begins");
    return 0;
}

/* number ['/' bits] or, in a set, number '..' number. */
static int
parse_values(struct parser *parser, const struct nsp_field *field, bool in_set,
             struct values *ret)
{
    struct nsp_token first = parser->token;
    int r = parse_number(parser, &ret->lo);

    if (r != 0)
        return r;
    ret->hi = ret->lo;
    if (parser->token.kind == NSP_TOKEN_SLASH)
        return parse_prefix_length(parser, field, &first, ret);
    if (in_set && parser->token.kind == NSP_TOKEN_DOTS)
        return parse_range_end(parser, ret);
    return 0;
}

/* A copy of 'like' with another relation. */
static struct nsp_node *
new_test(struct parser *parser, const struct nsp_test *like,
         enum nsp_relation relation, const struct values *values)
{
    struct nsp_node *node = new_node(parser, NSP_NODE_TEST);

    if (node) {
        node->test = *like;
        node->test.relation = (uint8_t)relation;
        node->test.number = values->lo;
        node->test.upper = values->hi;
    }
    return node;
}

/* 'in' '{' values {',' values} '}' */
static int
parse_set(struct parser *parser, const struct nsp_test *like, bool inside,
          struct nsp_node **ret)
{
    struct nsp_node *set =
        new_node(parser, inside ? NSP_NODE_OR : NSP_NODE_AND);
    int r;

    if (!set)
        return NSP_NO_MEMORY;
    if ((r = advance(parser)) != 0)
        return r;
    if (parser->token.kind != NSP_TOKEN_OPEN_SET)
        return unexpected(parser, "'{'", "a set is written { 80, 8000..8100 }");
    do {
        struct values values;
        struct nsp_node *test;

        if ((r = advance(parser)) != 0 ||
            (r = parse_values(parser, like->field, true, &values)) != 0)
            return r;
        test =
            new_test(parser, like, inside ? NSP_WITHIN : NSP_BEYOND, &values);
        if (!test)
            return NSP_NO_MEMORY;
        nsp_node_append(set, test);
    } while (parser->token.kind == NSP_TOKEN_COMMA);
    if (parser->token.kind != NSP_TOKEN_CLOSE_SET)
        return unexpected(parser, "',' or '}'", NULL);
    *ret = set;
    return advance(parser);
}

/* --- Tests ---------------------------------------------------------------- */

/* --- Tests of more than one value ----------------------------------------- */

/* '&' number */
static int
parse_mask(struct parser *parser, struct nsp_test *test)
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
    if ((r = advance(parser)) != 0)
        return r;
    if (parser->token.kind != NSP_TOKEN_NUMBER)
        return unexpected(parser, "a mask",
                          "write for example tcp.Flags & 0x12 == 0x02");
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
    return advance(parser);
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
parse_other_field(struct parser *parser, const struct nsp_test *like,
                  uint8_t relation, struct nsp_node **ret)
{
    const struct values equal = { .lo = { .magnitude = { 0, 1 } } };
    struct nsp_test test = *like, right = { .field = parser->token.field };
    int r;

    if (class_of(test.field) == CLASS_NONE || test.mask != 0 ||
        class_of(test.field) != class_of(right.field))
        return unexpected(parser, "a number or an address",
                          "only fields of one type are compared with each "
                          "other: tcp.SrcPort == tcp.DstPort");
    if ((r = advance(parser)) != 0)
        return r;
    if (right.field->element_bytes > 0 &&
        (r = parse_index(parser, &right)) != 0)
        return r;
    test.other = right.field;
    test.other_position = right.position;
    *ret = new_test(parser, &test, (enum nsp_relation)relation, &equal);
    return *ret ? 0 : NSP_NO_MEMORY;
}

/* The relation and what follows it. */
static int
parse_comparison(struct parser *parser, const struct nsp_test *like,
                 bool negated, struct nsp_node **ret)
{
    uint8_t relation = (uint8_t)(parser->token.kind - NSP_TOKEN_EQ);
    struct nsp_token first;
    struct values values;
    int r;

    if ((r = advance(parser)) != 0)
        return r;
    first = parser->token;
    if (!parser->lexer.strict && first.kind == NSP_TOKEN_FIELD)
        return parse_other_field(parser, like,
                                 negated ? opposite(relation) : relation, ret);
    if ((r = parse_values(parser, like->field, false, &values)) != 0)
        return r;
    if (nsp_number_less(values.lo, values.hi)) {
        if (relation != NSP_EQ && relation != NSP_NE)
            return nsp_source_fail(&parser->lexer.source, first.start,
                                   first.start, NSP_PARSE_ERROR,
                                   "use ==, != or in", "a prefix has no order");
        relation = relation == NSP_EQ ? NSP_WITHIN : NSP_BEYOND;
    }
    if (negated)
        relation = opposite(relation);
    *ret = new_test(parser, like, (enum nsp_relation)relation, &values);
    return *ret ? 0 : NSP_NO_MEMORY;
}

/* field ['&' mask] [relation (values | field) | ['not'] 'in' set], the next
 * token being a field. */
static int
parse_test(struct parser *parser, bool negated, struct nsp_node **ret)
{
    const struct values zero = { .lo = { .negative = false } };
    struct nsp_test test = { .field = parser->token.field };
    int r;

    if ((r = advance(parser)) != 0)
        return r;
    if (test.field->element_bytes > 0 && (r = parse_index(parser, &test)) != 0)
        return r;
    if (parser->token.kind == NSP_TOKEN_AMPERSAND &&
        (r = parse_mask(parser, &test)) != 0)
        return r;
    if (is_relation(parser->token.kind))
        return parse_comparison(parser, &test, negated, ret);
    if (parser->token.kind == NSP_TOKEN_IN)
        return parse_set(parser, &test, !negated, ret);
    if (!parser->lexer.strict && parser->token.kind == NSP_TOKEN_NOT) {
        if ((r = advance(parser)) != 0)
            return r;
        if (parser->token.kind != NSP_TOKEN_IN)
            return unexpected(parser, "'in'", NULL);
        return parse_set(parser, &test, negated, ret);
    }
    *ret = new_test(parser, &test, negated ? NSP_EQ : NSP_NE, &zero);
    return *ret ? 0 : NSP_NO_MEMORY;
}

/* The rest of '(' condition '?' then ':' else ')', from the '?' to the else. */
static int
parse_conditional(struct parser *parser, struct nsp_node *condition,
                  struct nsp_node **ret)
{
    struct nsp_node *node, *then, *otherwise;
    int r;

    if ((r = advance(parser)) != 0 || (r = parse_or(parser, &then)) != 0)
        return r;
    if (parser->token.kind != NSP_TOKEN_COLON)
        return unexpected(parser, "'and', 'or' or the ':' of a conditional",
                          "a conditional is written (a? b: c)");
    if ((r = advance(parser)) != 0 || (r = parse_or(parser, &otherwise)) != 0)
        return r;
    node = new_node(parser, NSP_NODE_CONDITIONAL);
    if (!node)
        return NSP_NO_MEMORY;
    nsp_node_append(node, condition);
    nsp_node_append(node, then);
    nsp_node_append(node, otherwise);
    *ret = node;
    return 0;
}

/* '(' or-expr ['?' or-expr ':' or-expr] ')' */
static int
parse_parentheses(struct parser *parser, struct nsp_node **ret)
{
    bool conditional;
    int r;

    if (++parser->depth > NSP_FILTER_DEPTH_MAX)
        return nsp_source_fail(&parser->lexer.source, parser->token.start,
                               parser->token.start, NSP_TOO_DEEP, NULL,
                               "parentheses nest more than %u deep",
                               NSP_FILTER_DEPTH_MAX);
    if ((r = advance(parser)) != 0 || (r = parse_or(parser, ret)) != 0)
        return r;
    conditional = parser->token.kind == NSP_TOKEN_QUESTION;
    if (conditional && (r = parse_conditional(parser, *ret, ret)) != 0)
        return r;
    if (parser->token.kind != NSP_TOKEN_CLOSE)
        return unexpected(parser,
                          conditional ? "'and', 'or' or ')'"
                                      : "'and', 'or', '?' or ')'",
                          NULL);
    parser->depth--;
    return advance(parser);
}

/* True exactly when '*node' is false, which 'not' of one test is not. */
static int
negate(struct parser *parser, struct nsp_node **node)
{
    struct nsp_node *negated = new_node(parser, NSP_NODE_CONDITIONAL);
    struct nsp_node *no = new_node(parser, NSP_NODE_CONSTANT);
    struct nsp_node *yes = new_node(parser, NSP_NODE_CONSTANT);

    if (!negated || !no || !yes)
        return NSP_NO_MEMORY;
    yes->value = true;
    nsp_node_append(negated, *node);
    nsp_node_append(negated, no);
    nsp_node_append(negated, yes);
    *node = negated;
    return 0;
}

static int
parse_primary(struct parser *parser, struct nsp_node **ret)
{
    bool any_not = false, negated = false;

    if (parser->token.kind == NSP_TOKEN_OPEN)
        return parse_parentheses(parser, ret);
    while (parser->token.kind == NSP_TOKEN_NOT) {
        int r = advance(parser);

        if (r != 0)
            return r;
        any_not = true;
        negated = !negated;
    }
    if (parser->token.kind == NSP_TOKEN_FIELD)
        return parse_test(parser, negated, ret);
    if (!parser->lexer.strict && parser->token.kind == NSP_TOKEN_OPEN) {
        int r = parse_parentheses(parser, ret);

        return r == 0 && negated ? negate(parser, ret) : r;
    }
    if (any_not && parser->token.kind == NSP_TOKEN_OPEN)
        return unexpected(parser, "a field name",
                          "'not' takes one test; negate an expression with "
                          "(a? false: true)");
    return unexpected(parser, "a test",
                      "a test begins with a field name: tcp.DstPort == 80");
}

/* Parses operands joined by 'joint'; one alone stands for itself. */
static int
parse_joined(struct parser *parser, enum nsp_token_kind joint,
             enum nsp_node_kind kind,
             int (*parse_operand)(struct parser *, struct nsp_node **),
             struct nsp_node **ret)
{
    struct nsp_node *operand = NULL, *joined = NULL;
    int r;

    if ((r = parse_operand(parser, &operand)) != 0)
        return r;
    assert(operand);
    while (parser->token.kind == joint) {
        if (!joined) {
            joined = new_node(parser, kind);
            if (!joined)
                return NSP_NO_MEMORY;
            nsp_node_append(joined, operand);
        }
        if ((r = advance(parser)) != 0 ||
            (r = parse_operand(parser, &operand)) != 0)
            return r;
        nsp_node_append(joined, operand);
    }
    *ret = joined ? joined : operand;
    return 0;
}

static int
parse_and(struct parser *parser, struct nsp_node **ret)
{
    return parse_joined(parser, NSP_TOKEN_AND, NSP_NODE_AND, parse_primary,
                        ret);
}

static int
parse_or(struct parser *parser, struct nsp_node **ret)
{
    return parse_joined(parser, NSP_TOKEN_OR, NSP_NODE_OR, parse_and, ret);
}

static int
check_tokens(const struct nsp_lexer *start)
{
    struct nsp_lexer lexer = *start;
    struct nsp_token token;
    int r;

    do
        r = nsp_lexer_next(&lexer, &token);
    while (r == 0 && token.kind != NSP_TOKEN_END);
    return r;
}

int
nsp_filter_parse(const struct nsp_source *source, enum nsp_layer layer,
                 const struct nsp_filter_options *options,
                 struct nsp_arena *arena, struct nsp_node **ret)
{
    struct parser parser = { .arena = arena };
    struct nsp_node *root;
    int r;

    nsp_lexer_init(&parser.lexer, source, layer, options->strict);
    if ((r = check_tokens(&parser.lexer)) != 0 || (r = advance(&parser)) != 0)
        return r;
    if (parser.token.kind == NSP_TOKEN_END)
        return nsp_source_fail(source, source->bytes, source->bytes,
                               NSP_PARSE_ERROR, "'true' matches every packet",
                               "the filter is empty");
    if ((r = parse_or(&parser, &root)) != 0)
        return r;
    if (parser.token.kind != NSP_TOKEN_END)
        return unexpected(&parser, "'and', 'or' or the end",
                          parser.token.kind == NSP_TOKEN_QUESTION
                              ? "a conditional needs parentheses: (a? b: c)"
                              : NULL);
    *ret = root;
    return 0;
}
