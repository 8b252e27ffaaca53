#include "filter/parse.h"

static int parse_or(struct nsp_parser *parser, struct nsp_node **ret);

/* --- For all parts ------------------------------------------------------- */

int
nsp_parser_advance(struct nsp_parser *parser)
{
    return nsp_lexer_next(&parser->lexer, &parser->token);
}

int
nsp_parser_unexpected(const struct nsp_parser *parser, const char *expected,
                      const char *hint)
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

struct nsp_node *
nsp_parser_new_node(struct nsp_parser *parser, enum nsp_node_kind kind)
{
    struct nsp_node *node = nsp_arena_alloc(parser->arena, 1, sizeof *node);

    if (!node)
        nsp_source_out_of_memory(&parser->lexer.source);
    else
        node->kind = kind;
    return node;
}

/* --- Expressions --------------------------------------------------------- */

/* The rest of '(' condition '?' then ':' else ')', from the '?' to the else. */
static int
parse_conditional(struct nsp_parser *parser, struct nsp_node *condition,
                  struct nsp_node **ret)
{
    struct nsp_node *node, *then, *otherwise;
    int r;

    if ((r = nsp_parser_advance(parser)) != 0 ||
        (r = parse_or(parser, &then)) != 0)
        return r;
    if (parser->token.kind != NSP_TOKEN_COLON)
        return nsp_parser_unexpected(parser,
                                     "'and', 'or' or the ':' of a conditional",
                                     "a conditional is written (a? b: c)");
    if ((r = nsp_parser_advance(parser)) != 0 ||
        (r = parse_or(parser, &otherwise)) != 0)
        return r;
    node = nsp_parser_new_node(parser, NSP_NODE_CONDITIONAL);
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
parse_parentheses(struct nsp_parser *parser, struct nsp_node **ret)
{
    bool conditional;
    int r;

    if (++parser->depth > NSP_FILTER_DEPTH_MAX)
        return nsp_source_fail(&parser->lexer.source, parser->token.start,
                               parser->token.start, NSP_TOO_DEEP, NULL,
                               "parentheses nest more than %u deep",
                               NSP_FILTER_DEPTH_MAX);
    if ((r = nsp_parser_advance(parser)) != 0 ||
        (r = parse_or(parser, ret)) != 0)
        return r;
    conditional = parser->token.kind == NSP_TOKEN_QUESTION;
    if (conditional && (r = parse_conditional(parser, *ret, ret)) != 0)
        return r;
    if (parser->token.kind != NSP_TOKEN_CLOSE)
        return nsp_parser_unexpected(parser,
                                     conditional ? "'and', 'or' or ')'"
                                                 : "'and', 'or', '?' or ')'",
                                     NULL);
    parser->depth--;
    return nsp_parser_advance(parser);
}

/* True exactly when '*node' is false, which 'not' of one test is not. */
static int
negate(struct nsp_parser *parser, struct nsp_node **node)
{
    struct nsp_node *negated =
        nsp_parser_new_node(parser, NSP_NODE_CONDITIONAL);
    struct nsp_node *no = nsp_parser_new_node(parser, NSP_NODE_CONSTANT);
    struct nsp_node *yes = nsp_parser_new_node(parser, NSP_NODE_CONSTANT);

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
parse_primary(struct nsp_parser *parser, struct nsp_node **ret)
{
    bool any_not = false, negated = false;

    if (parser->token.kind == NSP_TOKEN_OPEN)
        return parse_parentheses(parser, ret);
    while (parser->token.kind == NSP_TOKEN_NOT) {
        int r = nsp_parser_advance(parser);

        if (r != 0)
            return r;
        any_not = true;
        negated = !negated;
    }
    if (parser->token.kind == NSP_TOKEN_FIELD)
        return nsp_parse_test(parser, negated, ret);
    if (!parser->lexer.strict && parser->token.kind == NSP_TOKEN_OPEN) {
        int r = parse_parentheses(parser, ret);

        return r == 0 && negated ? negate(parser, ret) : r;
    }
    if (any_not && parser->token.kind == NSP_TOKEN_OPEN)
        return nsp_parser_unexpected(
            parser, "a field name",
            "'not' takes one test; negate an expression with "
            "(a? false: true)");
    return nsp_parser_unexpected(
        parser, "a test", "a test begins with a field name: tcp.DstPort == 80");
}

/* Parses operands joined by 'joint'; one alone stands for itself. */
static int
parse_joined(struct nsp_parser *parser, enum nsp_token_kind joint,
             enum nsp_node_kind kind,
             int (*parse_operand)(struct nsp_parser *, struct nsp_node **),
             struct nsp_node **ret)
{
    struct nsp_node *operand = NULL, *joined = NULL;
    int r;

    if ((r = parse_operand(parser, &operand)) != 0)
        return r;
    assert(operand);
    while (parser->token.kind == joint) {
        if (!joined) {
            joined = nsp_parser_new_node(parser, kind);
            if (!joined)
                return NSP_NO_MEMORY;
            nsp_node_append(joined, operand);
        }
        if ((r = nsp_parser_advance(parser)) != 0 ||
            (r = parse_operand(parser, &operand)) != 0)
            return r;
        nsp_node_append(joined, operand);
    }
    *ret = joined ? joined : operand;
    return 0;
}

static int
parse_and(struct nsp_parser *parser, struct nsp_node **ret)
{
    return parse_joined(parser, NSP_TOKEN_AND, NSP_NODE_AND, parse_primary,
                        ret);
}

static int
parse_or(struct nsp_parser *parser, struct nsp_node **ret)
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
    struct nsp_parser parser = { .arena = arena };
    struct nsp_node *root;
    int r;

    nsp_lexer_init(&parser.lexer, source, layer, options);
    if ((r = check_tokens(&parser.lexer)) != 0 ||
        (r = nsp_parser_advance(&parser)) != 0)
        return r;
    if (parser.token.kind == NSP_TOKEN_END)
        return nsp_source_fail(source, source->bytes, source->bytes,
                               NSP_PARSE_ERROR, "'true' matches every packet",
                               "the filter is empty");
    if ((r = parse_or(&parser, &root)) != 0)
        return r;
    if (parser.token.kind != NSP_TOKEN_END)
        return nsp_parser_unexpected(
            &parser, "'and', 'or' or the end",
            parser.token.kind == NSP_TOKEN_QUESTION
                ? "a conditional needs parentheses: (a? b: c)"
                : NULL);
    *ret = root;
    return 0;
}
