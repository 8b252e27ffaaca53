#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "netshaper/env.h"

#define LARGE_PAGE_BYTES ((size_t)2 << 20)

/* A random read of a table of many small pages misses the table of pages, too,
 * which costs as much as the data. madvise() fails where the kernel has no
 * transparent large pages: small ones then serve. */
static void *
alloc(void *context, size_t bytes)
{
    void *memory;

    (void)context;
    if (bytes < LARGE_PAGE_BYTES)
        return calloc(1, bytes);
    if (posix_memalign(&memory, LARGE_PAGE_BYTES, bytes) != 0)
        return NULL;
    madvise(memory, bytes, MADV_HUGEPAGE);
    return memset(memory, 0, bytes);
}

static void
release(void *context, void *memory)
{
    (void)context;
    free(memory);
}

const struct nsp_allocator *
nsp_large_page_allocator(void)
{
    static const struct nsp_allocator allocator = { alloc, release, NULL };

    return &allocator;
}
