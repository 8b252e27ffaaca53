#include "tests/lib/failing_alloc.h"

#include <stdlib.h>

static void *
alloc(void *context, size_t bytes)
{
    struct failing_alloc *state = context;
    void *memory;

    if (atomic_fetch_add(&state->calls, 1) == state->fail_at) {
        atomic_store(&state->failed, true);
        return NULL;
    }
    memory = calloc(1, bytes);
    if (memory)
        atomic_fetch_add(&state->live, 1);
    return memory;
}

static void
release(void *context, void *memory)
{
    struct failing_alloc *state = context;

    if (memory)
        atomic_fetch_sub(&state->live, 1);
    free(memory);
}

struct nsp_allocator
failing_allocator(struct failing_alloc *state)
{
    return (struct nsp_allocator){ alloc, release, state };
}
