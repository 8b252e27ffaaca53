#ifndef NSP_FILTER_MATCH_TEXT_H
#define NSP_FILTER_MATCH_TEXT_H
#include "base/base.h"

/* Text in filters: literals, and what compares with them. */

/* Bytes of a literal, once read. */
#define NSP_LITERAL_TEXT_MAX 255u

/* How a text is compared with a literal. */
enum nsp_text_operator {
    NSP_TEXT_EQUALS,
    NSP_TEXT_CONTAINS,
    NSP_TEXT_MATCHES, /* Wholly, a pattern: '*' is any bytes, also none; '?' is
                       * one; '\' takes a meaning from what follows it. */
};

/* Any bytes but 0. */
struct nsp_text_literal {
    const char *bytes;
    uint32_t count;
};

/* Tells whether 'text' and 'literal' compare so. Time is at most that of the
 * product of their lengths, whatever the pattern. */
bool nsp_match_text(enum nsp_text_operator op,
                    const struct nsp_text_literal *literal, const char *text);

#endif /* NSP_FILTER_MATCH_TEXT_H */
