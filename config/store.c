#include "config/store.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 16384u

struct nsp_store_block {
    struct nsp_store_block *next;
    size_t used, room;
    max_align_t memory[];
};

static struct nsp_store_block *
add_block(struct nsp_store *store, size_t bytes)
{
    size_t room = bytes > BLOCK_BYTES / 4 ? bytes : BLOCK_BYTES;
    struct nsp_store_block *block;

    if (room > SIZE_MAX - sizeof *block)
        return NULL;
    block = calloc(1, sizeof *block + room);
    if (!block)
        return NULL;
    block->room = room;
    if (room != BLOCK_BYTES && store->blocks) {
        /* Behind the one that has room for more. */
        block->next = store->blocks->next;
        store->blocks->next = block;
    } else {
        block->next = store->blocks;
        store->blocks = block;
    }
    return block;
}

void
nsp_store_fini(struct nsp_store *store)
{
    while (store->blocks) {
        struct nsp_store_block *block = store->blocks;

        store->blocks = block->next;
        free(block);
    }
}

void *
nsp_store_alloc(struct nsp_store *store, size_t bytes)
{
    const size_t align = sizeof(max_align_t);
    struct nsp_store_block *block = store->blocks;
    void *piece;

    if (bytes > SIZE_MAX - align) {
        store->failed = true;
        return NULL;
    }
    bytes = (bytes + align - 1) / align * align;
    if (!block || block->room - block->used < bytes)
        block = add_block(store, bytes);
    if (!block) {
        store->failed = true;
        return NULL;
    }
    piece = (char *)block->memory + block->used;
    block->used += bytes;
    return piece;
}

char *
nsp_store_text(struct nsp_store *store, const char *text, size_t bytes)
{
    char *copy = nsp_store_alloc(store, bytes + 1);

    if (copy && bytes > 0)
        memcpy(copy, text, bytes);
    return copy;
}

char *
nsp_store_print(struct nsp_store *store, const char *format, ...)
{
    va_list args;
    char *text;
    int bytes;

    va_start(args, format);
    bytes = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (bytes < 0)
        return NULL;
    text = nsp_store_alloc(store, (size_t)bytes + 1);
    if (!text)
        return NULL;
    va_start(args, format);
    vsnprintf(text, (size_t)bytes + 1, format, args);
    va_end(args);
    return text;
}
