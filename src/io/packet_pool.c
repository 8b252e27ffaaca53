#include "io/packet_pool.h"

#include <errno.h>

#include "base/memory.h"

#define HELD_PKT_BYTES  4096u
#define STORE_BYTES_MAX (UINT64_C(512) << 20)

static_assert(NSP_PACKET_STORE_BYTES_MIN % NSP_BUDDY_MAX_BYTES == 0 &&
                  STORE_BYTES_MAX % NSP_BUDDY_MAX_BYTES == 0,
              "a whole number of the largest blocks");

int
nsp_packet_pool_init(struct nsp_packet_pool *pool, uint32_t descriptor_bytes,
                     uint32_t max_held_pkts,
                     const struct nsp_allocator *allocator)
{
    uint32_t count = max_held_pkts + 2 * NSP_BURST_MAX;

    *pool = (struct nsp_packet_pool){
        .descriptors = nsp_alloc(allocator, count, descriptor_bytes),
        .free = nsp_alloc(allocator, count, sizeof(struct nsp_pkt *)),
        .descriptor_bytes = descriptor_bytes,
        .count = count,
    };
    return pool->descriptors && pool->free ? 0 : -ENOMEM;
}

void
nsp_packet_pool_fini(struct nsp_packet_pool *pool,
                     const struct nsp_allocator *allocator)
{
    nsp_release(allocator, pool->free);
    nsp_release(allocator, pool->descriptors);
}

int
nsp_packet_store_init(struct nsp_buddy *store, uint32_t max_held_pkts,
                      const struct nsp_allocator *allocator)
{
    uint64_t bytes =
        NSP_PACKET_STORE_BYTES_MIN + (uint64_t)max_held_pkts * HELD_PKT_BYTES;

    bytes = nsp_min_u64(bytes, STORE_BYTES_MAX) / NSP_BUDDY_MAX_BYTES *
            NSP_BUDDY_MAX_BYTES;
    return nsp_buddy_init(store, (size_t)bytes, allocator);
}
