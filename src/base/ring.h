#ifndef NSP_BASE_RING_H
#define NSP_BASE_RING_H
#include <stdatomic.h>

#include "base/memory.h"

/* A lock-free ring of pointers for one producer and one consumer thread.
 *
 * Problem      Hand bursts of pointers from one thread to another without locks
 *              and without the two fighting over a cache line.
 * Idea         Free-running 32-bit indices on lines of their own; each side
 *              keeps a copy of the other's index and refreshes it only when the
 *              ring looks full or empty.
 * Invariants   0 <= tail - head <= capacity (modulo 2^32). The producer writes
 *              slots, then releases 'tail'; the consumer acquires 'tail', reads
 *              slots, then releases 'head', so a slot is never rewritten before
 *              it has been read.
 * Threads      push by one thread, pop by one thread, at the same time. */
struct nsp_ring {
    void **slots;
    uint32_t mask;
    struct nsp_allocator allocator;

    /* Padding, not alignment: rings live in memory of any allocator. */
    char pad_tail[NSP_CACHE_LINE];
    _Atomic uint32_t tail; /* The producer's. */
    uint32_t head_seen;

    char pad_head[NSP_CACHE_LINE];
    _Atomic uint32_t head; /* The consumer's. */
    uint32_t tail_seen;
    char pad_end[NSP_CACHE_LINE];
};

/* 'capacity' is a power of two. Returns 0 or -ENOMEM. */
int nsp_ring_init(struct nsp_ring *ring, uint32_t capacity,
                  const struct nsp_allocator *allocator) NSP_MUSTCHECK;

/* Accepts a zeroed ring. */
void nsp_ring_fini(struct nsp_ring *ring);

/* Stores a prefix of 'objects' and returns its length. */
static inline uint32_t
nsp_ring_push_burst(struct nsp_ring *ring, void *const objects[], uint32_t n)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint32_t room = ring->mask + 1 - (tail - ring->head_seen);

    if (room < n) {
        /* Pairs with the release in pop: slots before 'head' were read. */
        ring->head_seen =
            atomic_load_explicit(&ring->head, memory_order_acquire);
        room = ring->mask + 1 - (tail - ring->head_seen);
        n = nsp_min_u32(n, room);
    }
    for (uint32_t i = 0; i < n; i++)
        ring->slots[(tail + i) & ring->mask] = objects[i];
    /* The slots must be seen before the index that covers them. */
    atomic_store_explicit(&ring->tail, tail + n, memory_order_release);
    return n;
}

/* Takes up to 'max' objects, oldest first, and returns how many. */
static inline uint32_t
nsp_ring_pop_burst(struct nsp_ring *ring, void *ret_objects[], uint32_t max)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint32_t n = ring->tail_seen - head;

    if (n < max) {
        /* Pairs with the release in push: slots before 'tail' are written. */
        ring->tail_seen =
            atomic_load_explicit(&ring->tail, memory_order_acquire);
        n = ring->tail_seen - head;
    }
    n = nsp_min_u32(n, max);
    for (uint32_t i = 0; i < n; i++)
        ret_objects[i] = ring->slots[(head + i) & ring->mask];
    /* The reads above must be done before the producer may reuse the slots. */
    atomic_store_explicit(&ring->head, head + n, memory_order_release);
    return n;
}

/* Looks at the oldest object without taking it; NULL when empty. Consumer. */
static inline void *
nsp_ring_peek(struct nsp_ring *ring)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

    if (ring->tail_seen == head)
        ring->tail_seen =
            atomic_load_explicit(&ring->tail, memory_order_acquire);
    return ring->tail_seen == head ? NULL : ring->slots[head & ring->mask];
}

#endif /* NSP_BASE_RING_H */
