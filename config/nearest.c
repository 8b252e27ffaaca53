#include "config/nearest.h"

#include <stddef.h>
#include <string.h>

#define WORD_MAX 64u

static unsigned
least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance, with swaps of neighbours as one edit. */
static unsigned
distance_of(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    unsigned rows[3][WORD_MAX + 1];

    for (size_t j = 0; j <= b_bytes; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= a_bytes; i++) {
        unsigned *row = rows[i % 3], *up = rows[(i + 2) % 3];
        const unsigned *up2 = rows[(i + 1) % 3];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_bytes; j++) {
            row[j] = least(least(up[j], row[j - 1]) + 1,
                           up[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], up2[j - 2] + 1);
        }
    }
    return rows[a_bytes % 3][b_bytes];
}

void
nsp_nearest_init(struct nsp_nearest *nearest, const char *word)
{
    size_t bytes = strlen(word);

    *nearest = (struct nsp_nearest){ .word = word };
    /* A third of the letters may be wrong, one of two, none of one. */
    if (bytes > 0 && bytes <= WORD_MAX)
        nearest->distance = (unsigned)(bytes < 3 ? bytes / 2 : bytes / 3) + 1;
}

void
nsp_nearest_try(struct nsp_nearest *nearest, const char *candidate)
{
    size_t bytes = strlen(candidate);
    unsigned distance;

    if (nearest->distance == 0 || bytes > WORD_MAX)
        return;
    distance =
        distance_of(nearest->word, strlen(nearest->word), candidate, bytes);
    if (distance < nearest->distance) {
        nearest->distance = distance;
        nearest->best = candidate;
    }
}
