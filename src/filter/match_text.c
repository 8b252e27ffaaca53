#include "filter/match_text.h"

#include <string.h>

static bool
contains(const struct nsp_text_literal *literal, const char *text, size_t bytes)
{
    for (size_t i = 0; i + literal->count <= bytes; i++) {
        if (memcmp(text + i, literal->bytes, literal->count) == 0)
            return true;
    }
    return false;
}

/* Tells whether one byte fits the pattern at '*at', which is no '*', and steps
 * over it. */
static bool
fits_one(const struct nsp_text_literal *pattern, uint32_t *at, char c)
{
    char wanted = pattern->bytes[(*at)++];

    if (wanted == '?')
        return true;
    if (wanted == '\\' && *at < pattern->count)
        wanted = pattern->bytes[(*at)++];
    return wanted == c;
}

/* Only the latest '*' is ever tried again with a longer run: what an earlier
 * one could gain by that, the later one can too. */
static bool
matches(const struct nsp_text_literal *pattern, const char *text, size_t bytes)
{
    uint32_t at = 0, after_star = 0;
    size_t i = 0, run_end = 0;
    bool has_star = false;

    while (i < bytes || at < pattern->count) {
        if (at < pattern->count && pattern->bytes[at] == '*') {
            has_star = true;
            after_star = ++at;
            run_end = i;
            continue;
        }
        if (at < pattern->count && i < bytes &&
            fits_one(pattern, &at, text[i])) {
            i++;
            continue;
        }
        if (!has_star || run_end >= bytes)
            return false;
        at = after_star;
        i = ++run_end;
    }
    return true;
}

bool
nsp_match_text(enum nsp_text_operator op,
               const struct nsp_text_literal *literal, const char *text)
{
    size_t bytes = strlen(text);

    switch (op) {
    case NSP_TEXT_EQUALS:
        return bytes == literal->count &&
               memcmp(text, literal->bytes, bytes) == 0;
    case NSP_TEXT_CONTAINS:
        return contains(literal, text, bytes);
    case NSP_TEXT_MATCHES:
        break;
    }
    return matches(literal, text, bytes);
}
