#include "filter/suggest.h"

#include <string.h>

#include "filter/fields.h"

#define WORD_MAX 64

static char
lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static unsigned
min3(unsigned a, unsigned b, unsigned c)
{
    unsigned least = a < b ? a : b;

    return least < c ? least : c;
}

/* Optimal string alignment distance: insertions, deletions, substitutions and
 * swaps of neighbours, case ignored. */
static unsigned
edit_distance(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    unsigned rows[3][WORD_MAX + 1];

    for (size_t j = 0; j <= b_bytes; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= a_bytes; i++) {
        unsigned *row = rows[i % 3], *up = rows[(i + 2) % 3];
        unsigned *up2 = rows[(i + 1) % 3];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_bytes; j++) {
            char ca = lower(a[i - 1]), cb = lower(b[j - 1]);
            unsigned swap = UINT32_MAX;

            if (i > 1 && j > 1 && ca == lower(b[j - 2]) &&
                lower(a[i - 2]) == cb)
                swap = up2[j - 2] + 1;
            row[j] = min3(up[j] + 1, row[j - 1] + 1, up[j - 1] + (ca != cb));
            row[j] = min3(row[j], swap, swap);
        }
    }
    return rows[a_bytes % 3][b_bytes];
}

void
nsp_suggestion_init(struct nsp_suggestion *suggestion, const char *word,
                    size_t bytes)
{
    /* A third of the letters may be wrong, one of two, none of one. */
    unsigned wrong = (unsigned)(bytes < 3 ? bytes / 2 : bytes / 3);

    *suggestion = (struct nsp_suggestion){
        .word = word,
        .bytes = bytes,
        .distance = bytes < WORD_MAX ? 2 * wrong + 1 : 0,
    };
}

void
nsp_suggestion_add(struct nsp_suggestion *suggestion, const char *candidate,
                   unsigned malus)
{
    size_t bytes = strlen(candidate);
    unsigned distance;

    assert(bytes < WORD_MAX);
    if (suggestion->distance == 0)
        return;
    distance = 2 * edit_distance(suggestion->word, suggestion->bytes, candidate,
                                 bytes) +
               malus;
    if (distance < suggestion->distance) {
        suggestion->distance = distance;
        suggestion->best = candidate;
    }
}

const char *
nsp_field_suggest(const char *name, size_t bytes, enum nsp_layer layer,
                  bool strict)
{
    static const char *const operators[] = { "and", "or",       "not",
                                             "in",  "contains", "matches" };
    struct nsp_suggestion nearest;

    nsp_suggestion_init(&nearest, name, bytes);
    for (size_t i = 0; i < NSP_ARRAY_LEN(operators); i++)
        nsp_suggestion_add(&nearest, operators[i], 0);
    for (uint32_t i = 0; i < nsp_field_count; i++) {
        if (nsp_fields[i].layers == 0)
            continue;
        if (!strict || !nsp_field_is_addition(&nsp_fields[i]))
            nsp_suggestion_add(&nearest, nsp_fields[i].name,
                               !(nsp_fields[i].layers >> layer & 1));
    }
    for (uint32_t i = 0; i < nsp_macro_count; i++) {
        uint8_t layers = nsp_macro_layers(&nsp_macros[i], strict);

        if (layers != 0)
            nsp_suggestion_add(&nearest, nsp_macros[i].name,
                               !(layers >> layer & 1));
    }
    return nearest.best;
}
