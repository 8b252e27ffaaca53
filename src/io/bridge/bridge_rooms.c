#define _GNU_SOURCE
#include "io/bridge/bridge_rooms.h"

#include <errno.h>
#include <sys/mman.h>

#include "base/memory.h"

/* Where the large rooms begin, behind the chunks. */
static uint64_t
large_start(const struct nsp_bridge_rooms *rooms)
{
    return (uint64_t)rooms->config.chunks << rooms->chunk_shift;
}

static uint64_t
large_bytes(const struct nsp_bridge_rooms *rooms)
{
    return (uint64_t)rooms->config.large_chunks << rooms->chunk_shift;
}

int
nsp_bridge_rooms_init(struct nsp_bridge_rooms *rooms,
                      const struct nsp_bridge_rooms_config *config)
{
    const struct nsp_allocator *allocator = &config->allocator;
    void *bytes;

    *rooms = (struct nsp_bridge_rooms){
        .config = *config,
        .chunk_shift = (uint32_t)__builtin_ctz(config->chunk_bytes),
    };
    rooms->count =
        large_start(rooms) + config->large_rooms * large_bytes(rooms);
    bytes = mmap(NULL, rooms->count, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED)
        return -errno;
    rooms->bytes = bytes;
    rooms->free_chunks =
        nsp_alloc(allocator, config->chunks, sizeof rooms->free_chunks[0]);
    rooms->free_large = nsp_alloc(allocator, config->large_rooms + 1,
                                  sizeof rooms->free_large[0]);
    rooms->in_flight = nsp_alloc(allocator, config->large_rooms + 1,
                                 sizeof rooms->in_flight[0]);
    if (!rooms->free_chunks || !rooms->free_large || !rooms->in_flight)
        return -ENOMEM;
    nsp_bridge_rooms_reclaim(rooms, NULL, NULL);
    return 0;
}

/* The first are taken first. */
void
nsp_bridge_rooms_reclaim(struct nsp_bridge_rooms *rooms,
                         nsp_bridge_is_kept_fn *is_kept, const void *context)
{
    const struct nsp_bridge_rooms_config *config = &rooms->config;

    rooms->free_chunk_count = rooms->free_large_count = 0;
    for (uint32_t i = config->chunks; i > 0; i--)
        if (!is_kept || !is_kept(context, i - 1))
            rooms->free_chunks[rooms->free_chunk_count++] = i - 1;
    for (uint32_t i = config->large_rooms; i > 0; i--) {
        rooms->in_flight[i - 1] = 0;
        if (!is_kept || !is_kept(context, config->chunks + i - 1))
            rooms->free_large[rooms->free_large_count++] = i - 1;
    }
}

void
nsp_bridge_rooms_fini(struct nsp_bridge_rooms *rooms)
{
    const struct nsp_allocator *allocator = &rooms->config.allocator;

    if (rooms->bytes)
        munmap(rooms->bytes, rooms->count);
    nsp_release(allocator, rooms->free_chunks);
    nsp_release(allocator, rooms->free_large);
    nsp_release(allocator, rooms->in_flight);
}

uint32_t
nsp_bridge_rooms_frame_bytes_max(const struct nsp_bridge_rooms *rooms)
{
    return rooms->config.chunk_bytes *
               nsp_max_u32(rooms->config.large_chunks, 1) -
           NSP_BRIDGE_HEADROOM_BYTES;
}

uint32_t
nsp_bridge_rooms_index(const struct nsp_bridge_rooms *rooms, uint64_t address)
{
    uint32_t chunk = (uint32_t)(address >> rooms->chunk_shift);
    uint32_t chunks = rooms->config.chunks;

    return chunk < chunks
               ? chunk
               : chunks + (chunk - chunks) / rooms->config.large_chunks;
}

uint64_t
nsp_bridge_rooms_take_chunk(struct nsp_bridge_rooms *rooms)
{
    assert(rooms->free_chunk_count > 0);
    return (uint64_t)rooms->free_chunks[--rooms->free_chunk_count]
           << rooms->chunk_shift;
}

uint64_t
nsp_bridge_rooms_take_large(struct nsp_bridge_rooms *rooms)
{
    assert(rooms->free_large_count > 0);
    return large_start(rooms) +
           rooms->free_large[--rooms->free_large_count] * large_bytes(rooms);
}

uint8_t *
nsp_bridge_rooms_take_for(struct nsp_bridge_rooms *rooms, uint32_t bytes)
{
    bool large = bytes > rooms->config.chunk_bytes - NSP_BRIDGE_HEADROOM_BYTES;
    uint64_t address;

    if ((large ? rooms->free_large_count : rooms->free_chunk_count) == 0)
        return NULL;
    address = large ? nsp_bridge_rooms_take_large(rooms)
                    : nsp_bridge_rooms_take_chunk(rooms);
    return rooms->bytes + address + NSP_BRIDGE_HEADROOM_BYTES;
}

void
nsp_bridge_rooms_send(struct nsp_bridge_rooms *rooms, uint64_t address,
                      uint32_t pieces)
{
    if (address >= large_start(rooms))
        rooms->in_flight[nsp_bridge_rooms_index(rooms, address) -
                         rooms->config.chunks] = (uint8_t)pieces;
}

void
nsp_bridge_rooms_release(struct nsp_bridge_rooms *rooms, uint64_t address)
{
    uint32_t index = nsp_bridge_rooms_index(rooms, address);
    uint32_t large = index - rooms->config.chunks;

    if (index < rooms->config.chunks) {
        rooms->free_chunks[rooms->free_chunk_count++] = index;
        return;
    }
    if (rooms->in_flight[large] > 0 && --rooms->in_flight[large] > 0)
        return;
    rooms->free_large[rooms->free_large_count++] = large;
}
