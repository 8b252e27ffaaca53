#include "filter/arena.h"

#define CHUNK_BYTES 8192

struct nsp_arena_chunk {
    struct nsp_arena_chunk *next;
    size_t bytes;
    max_align_t memory[];
};

void
nsp_arena_init(struct nsp_arena *arena, const struct nsp_allocator *allocator)
{
    *arena = (struct nsp_arena){ .allocator = allocator };
}

void
nsp_arena_fini(struct nsp_arena *arena)
{
    while (arena->chunks) {
        struct nsp_arena_chunk *chunk = arena->chunks;

        arena->chunks = chunk->next;
        nsp_release(arena->allocator, chunk);
    }
    arena->room = 0;
}

void *
nsp_arena_alloc(struct nsp_arena *arena, size_t count, size_t bytes)
{
    struct nsp_arena_chunk *chunk;
    size_t need;

    if (bytes != 0 && count > (SIZE_MAX / 2) / bytes)
        return NULL;
    need = (count * bytes + sizeof(max_align_t) - 1) / sizeof(max_align_t) *
           sizeof(max_align_t);
    if (need > arena->room) {
        size_t size = need > CHUNK_BYTES ? need : CHUNK_BYTES;

        chunk = nsp_alloc(arena->allocator, 1, sizeof *chunk + size);
        if (!chunk)
            return NULL;
        chunk->next = arena->chunks;
        chunk->bytes = size;
        arena->chunks = chunk;
        arena->room = size;
    }
    chunk = arena->chunks;
    arena->room -= need;
    return (char *)chunk->memory + (chunk->bytes - arena->room - need);
}
