#include "base/ring.h"

#include <errno.h>

int
nsp_ring_init(struct nsp_ring *ring, uint32_t capacity,
              const struct nsp_allocator *allocator)
{
    assert(capacity > 0 && (capacity & (capacity - 1)) == 0);

    *ring = (struct nsp_ring){ .mask = capacity - 1, .allocator = *allocator };
    ring->slots = nsp_alloc(allocator, capacity, sizeof *ring->slots);
    return ring->slots ? 0 : -ENOMEM;
}

void
nsp_ring_fini(struct nsp_ring *ring)
{
    if (!ring->slots)
        return;
    nsp_release(&ring->allocator, ring->slots);
    ring->slots = NULL;
}
