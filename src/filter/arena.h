#ifndef NSP_FILTER_ARENA_H
#define NSP_FILTER_ARENA_H
#include "base/memory.h"

/* Memory for what lives as long as one compilation: given out piece by piece,
 * taken back at once. */
struct nsp_arena {
    const struct nsp_allocator *allocator;
    struct nsp_arena_chunk *chunks;
    size_t room; /* Bytes left in the first chunk. */
};

void nsp_arena_init(struct nsp_arena *arena,
                    const struct nsp_allocator *allocator);
void nsp_arena_fini(struct nsp_arena *arena);

/* Zeroed room for 'count' objects of 'bytes' each, at any alignment; NULL when
 * there is none. */
void *nsp_arena_alloc(struct nsp_arena *arena, size_t count,
                      size_t bytes) NSP_MUSTCHECK;

#endif /* NSP_FILTER_ARENA_H */
