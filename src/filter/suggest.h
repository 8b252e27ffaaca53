#ifndef NSP_FILTER_SUGGEST_H
#define NSP_FILTER_SUGGEST_H
#include <stddef.h>

/* The word most like a misspelt one. */
struct nsp_suggestion {
    const char *word;
    size_t bytes;
    const char *best;  /* The nearest so far; NULL if none is near. */
    unsigned distance; /* Twice the edit distance, plus a malus. */
};

void nsp_suggestion_init(struct nsp_suggestion *suggestion, const char *word,
                         size_t bytes);

/* Considers a word of less than 64 bytes, which must live on. A malus of 1
 * makes it second to others that are as near. */
void nsp_suggestion_add(struct nsp_suggestion *suggestion,
                        const char *candidate, unsigned malus);

#endif /* NSP_FILTER_SUGGEST_H */
