/* Tests of fields that are text. */
#include "filter/parse.h"

#include <string.h>

static int
mismatch(const struct nsp_parser *parser, const struct nsp_field *field)
{
    const struct nsp_token *token = &parser->token;

    return nsp_source_fail(
        &parser->lexer.source, token->start, token->start, NSP_TYPE_MISMATCH,
        "write == \"eth0\", contains \"eth\" or matches \"eth*\"",
        "%s is text, to be compared with a string", field->name);
}

int
nsp_parser_not_text(const struct nsp_parser *parser,
                    const struct nsp_field *field)
{
    const struct nsp_token *token = &parser->token;

    return nsp_source_fail(&parser->lexer.source, token->start, token->start,
                           NSP_TYPE_MISMATCH,
                           token->kind == NSP_TOKEN_STRING
                               ? "write the value without quotes"
                               : "'contains' and 'matches' are for text",
                           "%s is no text", field->name);
}

/* A test like 'like' for the string that is the next token. */
static int
parse_string(struct nsp_parser *parser, const struct nsp_test *like,
             enum nsp_text_operator op, bool negated, struct nsp_node **ret)
{
    const struct nsp_values holds = { .lo = { .magnitude = { 0, 1 } } };
    struct nsp_test test = *like;
    char bytes[NSP_LITERAL_TEXT_MAX], *kept;

    if (parser->token.kind != NSP_TOKEN_STRING)
        return mismatch(parser, like->field);
    test.text_operator = (uint8_t)op;
    test.text_at = parser->token.start;
    test.text.count =
        nsp_lexer_read_string(&parser->lexer, &parser->token, bytes);
    kept = nsp_arena_alloc(parser->arena, test.text.count + 1, 1);
    if (!kept)
        return nsp_source_out_of_memory(&parser->lexer.source);
    memcpy(kept, bytes, test.text.count);
    test.text.bytes = kept;
    *ret =
        nsp_parser_new_test(parser, &test, negated ? NSP_NE : NSP_EQ, &holds);
    return *ret ? nsp_parser_advance(parser) : NSP_NO_MEMORY;
}

/* '{' string {',' string} '}' */
static int
parse_strings(struct nsp_parser *parser, const struct nsp_test *like,
              bool negated, struct nsp_node **ret)
{
    struct nsp_node *set =
        nsp_parser_new_node(parser, negated ? NSP_NODE_AND : NSP_NODE_OR);
    int r;

    if (!set)
        return NSP_NO_MEMORY;
    if (parser->token.kind != NSP_TOKEN_OPEN_SET)
        return mismatch(parser, like->field);
    do {
        struct nsp_node *test;

        if ((r = nsp_parser_advance(parser)) != 0 ||
            (r = parse_string(parser, like, NSP_TEXT_EQUALS, negated, &test)) !=
                0)
            return r;
        nsp_node_append(set, test);
    } while (parser->token.kind == NSP_TOKEN_COMMA);
    if (parser->token.kind != NSP_TOKEN_CLOSE_SET)
        return nsp_parser_unexpected(parser, "',' or '}'", NULL);
    *ret = set;
    return nsp_parser_advance(parser);
}

/* [==, !=, 'contains' or 'matches'] string, or 'in' strings. */
static int
parse_operator(struct nsp_parser *parser, const struct nsp_test *like,
               bool negated, struct nsp_node **ret)
{
    enum nsp_token_kind kind = parser->token.kind;
    enum nsp_text_operator op = NSP_TEXT_EQUALS;
    int r;

    if (nsp_parser_is_relation(kind) && kind != NSP_TOKEN_EQ &&
        kind != NSP_TOKEN_NE)
        return nsp_source_fail(&parser->lexer.source, parser->token.start,
                               parser->token.start, NSP_PARSE_ERROR,
                               "use ==, !=, contains or matches",
                               "text has no order");
    if (!nsp_parser_is_relation(kind) && kind != NSP_TOKEN_IN &&
        kind != NSP_TOKEN_CONTAINS && kind != NSP_TOKEN_MATCHES)
        return mismatch(parser, like->field);
    if ((r = nsp_parser_advance(parser)) != 0)
        return r;
    if (kind == NSP_TOKEN_IN)
        return parse_strings(parser, like, negated, ret);
    if (kind == NSP_TOKEN_CONTAINS)
        op = NSP_TEXT_CONTAINS;
    if (kind == NSP_TOKEN_MATCHES)
        op = NSP_TEXT_MATCHES;
    return parse_string(parser, like, op, negated != (kind == NSP_TOKEN_NE),
                        ret);
}

int
nsp_parse_text_test(struct nsp_parser *parser, const struct nsp_test *like,
                    bool negated, struct nsp_node **ret)
{
    int r;

    if (parser->token.kind == NSP_TOKEN_NOT) {
        if ((r = nsp_parser_advance(parser)) != 0)
            return r;
        if (nsp_parser_is_relation(parser->token.kind))
            return nsp_parser_unexpected(parser,
                                         "'in', 'contains' or 'matches'", NULL);
        negated = !negated;
    }
    r = parse_operator(parser, like, negated, ret);
    if (r == 0 && like->field->fetch == NSP_FETCH_LATER)
        return nsp_source_fail(
            &parser->lexer.source, like->at, like->at, NSP_NOT_AVAILABLE, NULL,
            "'%s' is not available on this backend", like->field->name);
    return r;
}
