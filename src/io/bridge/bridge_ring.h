#ifndef NSP_IO_BRIDGE_RING_H
#define NSP_IO_BRIDGE_RING_H
#include <linux/if_xdp.h>
#include <stdatomic.h>

#include "base/base.h"

/* One of the four rings that an AF_XDP socket shares with the kernel: fill and
 * send, which we produce, receive and completion, which we consume.
 *
 * Indices run freely modulo 2^32; the size is a power of two. What the one side
 * has written before it moved its index (release), the other sees after it has
 * read that index (acquire). */
struct nsp_bridge_ring {
    _Atomic uint32_t *producer, *consumer; /* NULL: not mapped. */
    const _Atomic uint32_t *flags;
    void *entries; /* uint64_t addresses, or struct xdp_desc. */
    uint32_t size;
    uint32_t own; /* Our index, ahead of the one that the kernel sees. */

    void *map;
    size_t map_bytes;
};

/* Entries that may be produced. */
static inline uint32_t
nsp_bridge_ring_room(const struct nsp_bridge_ring *ring)
{
    return ring->size - (ring->own - atomic_load_explicit(
                                         ring->consumer, memory_order_acquire));
}

/* Entries that may be consumed. */
static inline uint32_t
nsp_bridge_ring_ready(const struct nsp_bridge_ring *ring)
{
    return atomic_load_explicit(ring->producer, memory_order_acquire) -
           ring->own;
}

/* The next entry, of a ring of addresses or descriptors. */
static inline uint64_t *
nsp_bridge_ring_next_address(struct nsp_bridge_ring *ring)
{
    return (uint64_t *)ring->entries + (ring->own++ & (ring->size - 1));
}

static inline struct xdp_desc *
nsp_bridge_ring_next_desc(struct nsp_bridge_ring *ring)
{
    return (struct xdp_desc *)ring->entries + (ring->own++ & (ring->size - 1));
}

/* The descriptor 'ahead' of the next. */
static inline const struct xdp_desc *
nsp_bridge_ring_look_ahead(const struct nsp_bridge_ring *ring, uint32_t ahead)
{
    return (const struct xdp_desc *)ring->entries +
           ((ring->own + ahead) & (ring->size - 1));
}

/* Shows the kernel what was produced, or hands it back what was consumed. */
static inline void
nsp_bridge_ring_produced(struct nsp_bridge_ring *ring)
{
    atomic_store_explicit(ring->producer, ring->own, memory_order_release);
}

static inline void
nsp_bridge_ring_consumed(struct nsp_bridge_ring *ring)
{
    atomic_store_explicit(ring->consumer, ring->own, memory_order_release);
}

/* Tells whether the kernel waits for a call before it looks at the ring. */
static inline bool
nsp_bridge_ring_sleeps(const struct nsp_bridge_ring *ring)
{
    return (atomic_load_explicit(ring->flags, memory_order_relaxed) &
            XDP_RING_NEED_WAKEUP) != 0;
}

#endif /* NSP_IO_BRIDGE_RING_H */
