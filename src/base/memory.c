#include "base/memory.h"

#include <stdlib.h>

static void *
libc_alloc(void *context, size_t bytes)
{
    (void)context;
    return calloc(1, bytes);
}

static void
libc_release(void *context, void *memory)
{
    (void)context;
    free(memory);
}

const struct nsp_allocator nsp_libc_allocator = {
    .alloc = libc_alloc,
    .release = libc_release,
};

struct nsp_allocator
nsp_allocator_or_libc(const struct nsp_allocator *allocator)
{
    if (!allocator || !allocator->alloc || !allocator->release)
        return nsp_libc_allocator;
    return *allocator;
}

void *
nsp_alloc(const struct nsp_allocator *allocator, size_t count, size_t bytes)
{
    if (bytes != 0 && count > SIZE_MAX / bytes)
        return NULL;
    return allocator->alloc(allocator->context, count * bytes);
}

void
nsp_release(const struct nsp_allocator *allocator, void *memory)
{
    if (memory)
        allocator->release(allocator->context, memory);
}
