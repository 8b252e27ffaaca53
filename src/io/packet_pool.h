#ifndef NSP_IO_PACKET_POOL_H
#define NSP_IO_PACKET_POOL_H
#include "base/base.h"
#include "base/buddy.h"
#include "netshaper/io.h"
#include "netshaper/packet.h"

/* Descriptors of the packets that a queue lends.
 *
 * A descriptor is a device's own struct that begins with a struct nsp_pkt;
 * behind it stands what the device has to remember of a packet.
 *
 * Bounds   max_held_pkts + 2 * NSP_BURST_MAX of them: what is held, a burst on
 *          its way in, and one on its way out.
 * Threads  The queue's worker.
 * Cost     O(1); no allocation after init, and memory is touched only when
 *          used. */
struct nsp_packet_pool {
    uint8_t *descriptors; /* Those never used yet begin at 'fresh'. */
    struct nsp_pkt **free;
    uint32_t descriptor_bytes;
    uint32_t count, fresh, free_count;
};

/* Returns 0 or -ENOMEM; either way the pool is to be given back. */
int nsp_packet_pool_init(struct nsp_packet_pool *pool,
                         uint32_t descriptor_bytes, uint32_t max_held_pkts,
                         const struct nsp_allocator *allocator) NSP_MUSTCHECK;

/* Accepts a zeroed one. Packets still lent are gone. */
void nsp_packet_pool_fini(struct nsp_packet_pool *pool,
                          const struct nsp_allocator *allocator);

static inline uint32_t
nsp_packet_pool_left(const struct nsp_packet_pool *pool)
{
    return pool->free_count + (pool->count - pool->fresh);
}

/* Lends one, not cleared; the caller knows that one is left. Used ones come
 * first: they are in the cache. */
static inline struct nsp_pkt *
nsp_packet_pool_take(struct nsp_packet_pool *pool)
{
    assert(nsp_packet_pool_left(pool) > 0);
    if (pool->free_count == 0)
        return (void *)(pool->descriptors +
                        (size_t)pool->fresh++ * pool->descriptor_bytes);
    return pool->free[--pool->free_count];
}

static inline void
nsp_packet_pool_give_back(struct nsp_packet_pool *pool, struct nsp_pkt *pkt)
{
    pool->free[pool->free_count++] = pkt;
}

/* Room for the bytes of packets that the kernel does not keep: 4 KiB for each
 * of 'max_held_pkts', from 16 MiB to 512 MiB, of which only what is used
 * becomes memory. Returns 0 or -ENOMEM, as nsp_buddy_init() does. */
int nsp_packet_store_init(struct nsp_buddy *store, uint32_t max_held_pkts,
                          const struct nsp_allocator *allocator) NSP_MUSTCHECK;

#define NSP_PACKET_STORE_BYTES_MIN (UINT64_C(16) << 20)

#endif /* NSP_IO_PACKET_POOL_H */
