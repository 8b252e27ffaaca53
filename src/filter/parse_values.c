/* What stands on the right side of a test: numbers, prefixes, sets. */
#include <string.h>

#include "filter/parse.h"

static bool
is_number_of(enum nsp_token_kind kind, const struct nsp_field *field)
{
    return kind == NSP_TOKEN_NUMBER ||
           (kind == NSP_TOKEN_TIME && nsp_field_is_time(field)) ||
           (kind == NSP_TOKEN_STATE && nsp_field_is_state(field));
}

static const char *
why_no_number(enum nsp_token_kind kind)
{
    switch (kind) {
    case NSP_TOKEN_FIELD:
        return "a field cannot stand on the right side";
    case NSP_TOKEN_TIME:
        return "flow.Age alone is a time";
    case NSP_TOKEN_STATE:
        return "flow.State alone is a state";
    default:
        return NULL;
    }
}

/* ['-'] number */
static int
parse_number(struct nsp_parser *parser, const struct nsp_field *field,
             struct nsp_number *ret)
{
    int r;

    ret->negative = parser->token.kind == NSP_TOKEN_MINUS;
    if (ret->negative && (r = nsp_parser_advance(parser)) != 0)
        return r;
    if (!is_number_of(parser->token.kind, field))
        return nsp_parser_unexpected(parser, "a number or an address",
                                     why_no_number(parser->token.kind));
    ret->magnitude = parser->token.value;
    if (nsp_u128_is_zero(ret->magnitude))
        ret->negative = false;
    return nsp_parser_advance(parser);
}

/* --- Sets and prefixes ---------------------------------------------------- */

static bool
is_ipv4_word(const struct nsp_parser *parser, const struct nsp_token *token)
{
    const char *word = parser->lexer.source.text + token->start;
    size_t bytes = token->end - token->start;

    return memchr(word, '.', bytes) && !memchr(word, ':', bytes);
}

/* '/' bits, behind the address 'at'. */
static int
parse_prefix_length(struct nsp_parser *parser, const struct nsp_field *field,
                    const struct nsp_token *at, struct nsp_values *values)
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
        return nsp_parser_unexpected(
            parser, "no prefix",
            "a prefix is of an address field: ip.SrcAddr == "
            "10.0.0.0/8");
    if ((r = nsp_parser_advance(parser)) != 0)
        return r;
    if (parser->token.kind != NSP_TOKEN_NUMBER)
        return nsp_parser_unexpected(parser, "a prefix length", NULL);
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
    return nsp_parser_advance(parser);
}

/* '..' number */
static int
parse_range_end(struct nsp_parser *parser, const struct nsp_field *field,
                struct nsp_values *values)
{
    uint32_t at;
    int r;

    if ((r = nsp_parser_advance(parser)) != 0)
        return r;
    at = parser->token.start;
    if ((r = parse_number(parser, field, &values->hi)) != 0)
        return r;
    if (nsp_number_less(values->hi, values->lo))
        return nsp_source_fail(&parser->lexer.source, at, at, NSP_PARSE_ERROR,
                               "write the lower value first",
                               "the range ends before it begins");
    return 0;
}

/* number ['/' bits] or, in a set, number '..' number. */
int
nsp_parse_values(struct nsp_parser *parser, const struct nsp_field *field,
                 bool in_set, struct nsp_values *ret)
{
    struct nsp_token first = parser->token;
    int r;

    if (first.kind == NSP_TOKEN_STRING)
        return nsp_parser_not_text(parser, field);
    r = parse_number(parser, field, &ret->lo);
    if (r != 0)
        return r;
    ret->hi = ret->lo;
    if (parser->token.kind == NSP_TOKEN_SLASH)
        return parse_prefix_length(parser, field, &first, ret);
    if (in_set && parser->token.kind == NSP_TOKEN_DOTS)
        return parse_range_end(parser, field, ret);
    return 0;
}

/* --- Named sets ----------------------------------------------------------- */

static const char *
kind_name(enum nsp_set_kind kind)
{
    return kind == NSP_SET_PORTS ? "ports" : "addresses";
}

/* Sees that the set named by the next token is of what the field holds. */
static int
check_kind(const struct nsp_parser *parser, const struct nsp_test *test)
{
    const struct nsp_source *source = &parser->lexer.source;
    const struct nsp_token *token = &parser->token;
    enum nsp_set_kind of_field = nsp_filter_set_kind_of(test->field);
    enum nsp_set_kind of_set = nsp_filter_set_kind(token->set);

    if (of_field == NSP_SET_EMPTY || test->mask != 0)
        return nsp_source_fail(
            source, token->start, token->start, NSP_TYPE_MISMATCH,
            "named sets are for addresses and ports: "
            "remoteAddr in @office",
            "%s is no address and no port",
            test->mask != 0 ? "a masked field" : test->field->name);
    if (of_set != NSP_SET_EMPTY && of_set != of_field)
        return nsp_source_fail(
            source, token->start, token->start, NSP_TYPE_MISMATCH,
            of_set == NSP_SET_PORTS
                ? "test a port: tcp.DstPort, udp.DstPort, remotePort"
                : "test an address: ip.SrcAddr, ipv6.SrcAddr, remoteAddr",
            "%s is a set of %s, which %s is not", token->set->name,
            kind_name(of_set), test->field->name);
    return 0;
}

int
nsp_parse_named_set(struct nsp_parser *parser, const struct nsp_test *like,
                    bool inside, struct nsp_node **ret)
{
    const struct nsp_values inside_is = { .lo = { .magnitude = { 0, 1 } } };
    struct nsp_test test = *like;
    int r = check_kind(parser, like);

    if (r != 0)
        return r;
    test.set = parser->token.set;
    *ret = nsp_parser_new_test(parser, &test, inside ? NSP_EQ : NSP_NE,
                               &inside_is);
    return *ret ? nsp_parser_advance(parser) : NSP_NO_MEMORY;
}

/* --- Sets ----------------------------------------------------------------- */

/* One of the things in a set. */
static int
parse_element(struct nsp_parser *parser, const struct nsp_test *like,
              bool inside, struct nsp_node **ret)
{
    struct nsp_values values;
    int r;

    if (parser->token.kind == NSP_TOKEN_SET_NAME)
        return nsp_parse_named_set(parser, like, inside, ret);
    r = nsp_parse_values(parser, like->field, true, &values);
    if (r != 0)
        return r;
    *ret = nsp_parser_new_test(parser, like, inside ? NSP_WITHIN : NSP_BEYOND,
                               &values);
    return *ret ? 0 : NSP_NO_MEMORY;
}

/* '{' element {',' element} '}' */
static int
parse_elements(struct nsp_parser *parser, const struct nsp_test *like,
               bool inside, struct nsp_node **ret)
{
    struct nsp_node *set =
        nsp_parser_new_node(parser, inside ? NSP_NODE_OR : NSP_NODE_AND);
    int r;

    if (!set)
        return NSP_NO_MEMORY;
    do {
        struct nsp_node *element;

        if ((r = nsp_parser_advance(parser)) != 0 ||
            (r = parse_element(parser, like, inside, &element)) != 0)
            return r;
        nsp_node_append(set, element);
    } while (parser->token.kind == NSP_TOKEN_COMMA);
    if (parser->token.kind != NSP_TOKEN_CLOSE_SET)
        return nsp_parser_unexpected(parser, "',' or '}'", NULL);
    *ret = set;
    return nsp_parser_advance(parser);
}

int
nsp_parse_set(struct nsp_parser *parser, const struct nsp_test *like,
              bool inside, struct nsp_node **ret)
{
    int r = nsp_parser_advance(parser);

    if (r != 0)
        return r;
    if (parser->token.kind == NSP_TOKEN_SET_NAME)
        return nsp_parse_named_set(parser, like, inside, ret);
    if (parser->token.kind != NSP_TOKEN_OPEN_SET)
        return nsp_parser_unexpected(
            parser, "'{' or '@'",
            "a set is written { 80, 8000..8100 } or @name");
    return parse_elements(parser, like, inside, ret);
}
