#ifndef NSP_FILTER_PARSE_H
#define NSP_FILTER_PARSE_H
#include "filter/parser.h"

/* What the parts of the parser share: parser.c has expressions, parse_test.c
 * tests, parse_values.c what stands on a test's right side.
 *
 * Functions return 0, NSP_INVALID_FILTER or NSP_NO_MEMORY with the source's
 * diagnosis filled. */
struct nsp_parser {
    struct nsp_lexer lexer;
    struct nsp_token token; /* The next one. */
    struct nsp_arena *arena;
    uint32_t depth;
};

/* Values from 'lo' to 'hi'. */
struct nsp_values {
    struct nsp_number lo, hi;
};

/* --- parser.c ------------------------------------------------------------ */

int nsp_parser_advance(struct nsp_parser *parser) NSP_MUSTCHECK;

/* Fails at the next token, which is not the 'expected' one. 'hint' may be
 * NULL. */
int nsp_parser_unexpected(const struct nsp_parser *parser, const char *expected,
                          const char *hint);

/* Returns NULL when memory is short. */
struct nsp_node *nsp_parser_new_node(struct nsp_parser *parser,
                                     enum nsp_node_kind kind) NSP_MUSTCHECK;

/* --- parse_test.c -------------------------------------------------------- */

/* Parses a test, the next token being a field. 'negated' gives it the opposite
 * relation. */
int nsp_parse_test(struct nsp_parser *parser, bool negated,
                   struct nsp_node **ret) NSP_MUSTCHECK;

/* A copy of 'like' with another relation, or NULL when memory is short. */
struct nsp_node *nsp_parser_new_test(
    struct nsp_parser *parser, const struct nsp_test *like,
    enum nsp_relation relation, const struct nsp_values *values) NSP_MUSTCHECK;

/* Tells whether 'kind' is ==, != or the like. */
static inline bool
nsp_parser_is_relation(enum nsp_token_kind kind)
{
    return kind >= NSP_TOKEN_EQ && kind <= NSP_TOKEN_GE;
}

/* --- parse_text.c -------------------------------------------------------- */

/* Parses what follows the text field of 'like'. */
int nsp_parse_text_test(struct nsp_parser *parser, const struct nsp_test *like,
                        bool negated, struct nsp_node **ret) NSP_MUSTCHECK;

/* Fails at the next token, a string or an operator of texts, behind a field
 * that is none. */
int nsp_parser_not_text(const struct nsp_parser *parser,
                        const struct nsp_field *field);

/* --- parse_values.c ------------------------------------------------------ */

/* Parses a number, a prefix or, in a set, a range, to be compared with
 * 'field'. */
int nsp_parse_values(struct nsp_parser *parser, const struct nsp_field *field,
                     bool in_set, struct nsp_values *ret) NSP_MUSTCHECK;

/* Parses the name of a set, the next token, to a test like 'like', inside or
 * outside it. */
int nsp_parse_named_set(struct nsp_parser *parser, const struct nsp_test *like,
                        bool inside, struct nsp_node **ret) NSP_MUSTCHECK;

/* Parses a set, the next token being 'in', to tests like 'like', inside or
 * outside it. */
int nsp_parse_set(struct nsp_parser *parser, const struct nsp_test *like,
                  bool inside, struct nsp_node **ret) NSP_MUSTCHECK;

#endif /* NSP_FILTER_PARSE_H */
