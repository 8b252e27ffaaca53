#ifndef NSP_FILTER_TEXT_H
#define NSP_FILTER_TEXT_H
#include "base/memory.h"

/* A string that grows as it is printed to. When memory runs out it is empty and
 * stays so: only the end need be checked. */
struct nsp_text {
    const struct nsp_allocator *allocator;
    char *bytes; /* Terminated; NULL when nothing was printed. */
    size_t used, room;
    bool failed;
};

void nsp_text_init(struct nsp_text *text,
                   const struct nsp_allocator *allocator);
void nsp_text_fini(struct nsp_text *text);

void nsp_text_print(struct nsp_text *text, const char *format, ...)
    NSP_PRINTF(2, 3);

/* The string, now the caller's, or NULL when memory ran out. */
char *nsp_text_take(struct nsp_text *text);

#endif /* NSP_FILTER_TEXT_H */
