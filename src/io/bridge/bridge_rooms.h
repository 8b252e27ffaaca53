#ifndef NSP_IO_BRIDGE_ROOMS_H
#define NSP_IO_BRIDGE_ROOMS_H
#include "base/base.h"
#include "netshaper/env.h"

/* Room for frames in the memory (UMEM) that sockets share.
 *
 * Chunks  hold a frame each. The kernel fills them, several with a larger one.
 * Large   rooms are some chunks in a row: into one of them goes what came in
 *         pieces, since packets are read and changed as a whole. It is sent in
 *         pieces again, from where it lies.
 *
 * A place in the memory is its distance from the beginning ('address'), and
 * stands for the room that it lies in.
 *
 * Threads  One.
 * Cost     O(1); no allocation after init. */

/* Frames begin so far behind a room's start. */
#define NSP_BRIDGE_HEADROOM_BYTES 256u

struct nsp_bridge_rooms_config {
    uint32_t chunk_bytes;  /* A power of two, up to a page. */
    uint32_t chunks;       /* Their number. */
    uint32_t large_chunks; /* That make up a large room; 0: there are none. */
    uint32_t large_rooms;
    struct nsp_allocator allocator;
};

struct nsp_bridge_rooms {
    struct nsp_bridge_rooms_config config;
    uint32_t chunk_shift; /* Chunks have 2^chunk_shift bytes. */
    uint8_t *bytes;
    uint64_t count; /* Of bytes. */
    uint32_t *free_chunks, *free_large;
    uint32_t free_chunk_count, free_large_count;
    uint8_t *in_flight; /* Pieces of each large room that are being sent. */
};

/* Makes all of them, free. Returns 0 or a negative errno; either way they are
 * to be given back. */
int nsp_bridge_rooms_init(struct nsp_bridge_rooms *rooms,
                          const struct nsp_bridge_rooms_config *config)
    NSP_MUSTCHECK;
void nsp_bridge_rooms_fini(struct nsp_bridge_rooms *rooms);

/* Makes all of them free but those that 'is_kept' (NULL: none) says of, by
 * number: whoever had the others has let go of them. */
typedef bool nsp_bridge_is_kept_fn(const void *context, uint32_t index);
void nsp_bridge_rooms_reclaim(struct nsp_bridge_rooms *rooms,
                              nsp_bridge_is_kept_fn *is_kept,
                              const void *context);

/* Of the longest frame. */
uint32_t nsp_bridge_rooms_frame_bytes_max(const struct nsp_bridge_rooms *rooms);

/* Number of the room at 'address', below chunks + large_rooms. */
uint32_t nsp_bridge_rooms_index(const struct nsp_bridge_rooms *rooms,
                                uint64_t address);

/* Take one that the caller knows to be free, and return its start. */
uint64_t nsp_bridge_rooms_take_chunk(struct nsp_bridge_rooms *rooms);
uint64_t nsp_bridge_rooms_take_large(struct nsp_bridge_rooms *rooms);

/* Where a frame of 'bytes', at most the longest, may be written to; NULL: no
 * room is free. */
uint8_t *nsp_bridge_rooms_take_for(struct nsp_bridge_rooms *rooms,
                                   uint32_t bytes);

/* The frame at 'address' goes out in so many pieces: its room is free when each
 * has been released. */
void nsp_bridge_rooms_send(struct nsp_bridge_rooms *rooms, uint64_t address,
                           uint32_t pieces);

/* Gives back the room at 'address', or a piece of it that was sent. */
void nsp_bridge_rooms_release(struct nsp_bridge_rooms *rooms, uint64_t address);

#endif /* NSP_IO_BRIDGE_ROOMS_H */
