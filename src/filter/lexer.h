#ifndef NSP_FILTER_LEXER_H
#define NSP_FILTER_LEXER_H
#include "filter/error.h"
#include "filter/filter_set.h"
#include "filter/match_text.h"

/* Text to tokens, one at a time and without memory of its own, so the whole
 * text can be checked once before it is parsed. */

#define NSP_FILTER_TEXT_MAX   262144u
#define NSP_FILTER_TOKENS_MAX 65536u
#define NSP_FILTER_WORD_MAX   39u

enum nsp_token_kind {
    NSP_TOKEN_END,
    NSP_TOKEN_OPEN,
    NSP_TOKEN_CLOSE,
    NSP_TOKEN_OPEN_INDEX,
    NSP_TOKEN_CLOSE_INDEX,
    NSP_TOKEN_MINUS,
    NSP_TOKEN_QUESTION,
    NSP_TOKEN_COLON,
    NSP_TOKEN_AND,
    NSP_TOKEN_OR,
    NSP_TOKEN_NOT,
    NSP_TOKEN_EQ,
    NSP_TOKEN_NE,
    NSP_TOKEN_LT,
    NSP_TOKEN_LE,
    NSP_TOKEN_GT,
    NSP_TOKEN_GE,
    NSP_TOKEN_FIELD,
    NSP_TOKEN_NUMBER,
    NSP_TOKEN_BYTE_NUMBER,   /* 10b: only good as an index. */
    NSP_TOKEN_TIME,          /* 10s, in ms: good for fields that are times. */
    NSP_TOKEN_STATE,         /* CLOSED: good for states of flows. */
    NSP_TOKEN_FOREIGN_MACRO, /* A macro of other layers: good nowhere. */
    /* Not in strict mode: */
    NSP_TOKEN_OPEN_SET,
    NSP_TOKEN_CLOSE_SET,
    NSP_TOKEN_COMMA,
    NSP_TOKEN_SLASH,
    NSP_TOKEN_AMPERSAND,
    NSP_TOKEN_DOTS, /* Between the ends of a range. */
    NSP_TOKEN_IN,
    NSP_TOKEN_SET_NAME, /* @office */
    NSP_TOKEN_STRING,
    NSP_TOKEN_CONTAINS,
    NSP_TOKEN_MATCHES,
};

struct nsp_token {
    enum nsp_token_kind kind;
    uint32_t start, end; /* Bytes of the text. */
    const struct nsp_field *field;
    const struct nsp_macro *macro; /* Of a number written as one. */
    struct nsp_u128 value;
    struct nsp_filter_set *set; /* Of a set name. */
};

struct nsp_lexer {
    struct nsp_source source;
    enum nsp_layer layer;
    bool strict;
    const struct nsp_filter_options *options;
    uint32_t at;
    uint32_t tokens;
};

void nsp_lexer_init(struct nsp_lexer *lexer, const struct nsp_source *source,
                    enum nsp_layer layer,
                    const struct nsp_filter_options *options);

/* Reads the next token; at the end of the text NSP_TOKEN_END, for ever. Returns
 * 0 or NSP_INVALID_FILTER with the source's diagnosis filled. */
int nsp_lexer_next(struct nsp_lexer *lexer,
                   struct nsp_token *ret) NSP_MUSTCHECK;

/* Stores the bytes that a string of the text, checked by nsp_lexer_next(),
 * stands for, at most NSP_LITERAL_TEXT_MAX, and returns how many. */
uint32_t nsp_lexer_read_string(const struct nsp_lexer *lexer,
                               const struct nsp_token *string, char ret[]);

#endif /* NSP_FILTER_LEXER_H */
