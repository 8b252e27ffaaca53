#include "filter/parser.h"

#include <stdio.h>

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
        [NSP_EQ] = NSP_NE, [NSP_NE] = NSP_EQ, [NSP_LT] = NSP_GE,
        [NSP_LE] = NSP_GT, [NSP_GT] = NSP_LE, [NSP_GE] = NSP_LT,
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

/* field [relation number], the next token being a field. */
static int
parse_test(struct parser *parser, bool negated, struct nsp_node **ret)
{
    struct nsp_node *node;
    struct nsp_test *test;
    int r;

    node = new_node(parser, NSP_NODE_TEST);
    if (!node)
        return NSP_NO_MEMORY;
    test = &node->test;
    test->field = parser->token.field;
    test->relation = NSP_NE;
    if ((r = advance(parser)) != 0)
        return r;
    if (test->field->element_bytes > 0 && (r = parse_index(parser, test)) != 0)
        return r;
    if (is_relation(parser->token.kind)) {
        test->relation = (uint8_t)(parser->token.kind - NSP_TOKEN_EQ);
        if ((r = advance(parser)) != 0 ||
            (r = parse_number(parser, &test->number)) != 0)
            return r;
    }
    if (negated)
        test->relation = opposite(test->relation);
    *ret = node;
    return 0;
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
                 struct nsp_arena *arena, struct nsp_node **ret)
{
    struct parser parser = { .arena = arena };
    struct nsp_node *root;
    int r;

    nsp_lexer_init(&parser.lexer, source, layer);
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
