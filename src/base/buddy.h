#ifndef NSP_BASE_BUDDY_H
#define NSP_BASE_BUDDY_H
#include "base/memory.h"

/* Blocks of very different sizes out of one fixed arena.
 *
 * Problem    Keep packets of 40 bytes to 256 KiB, given back in any order, in
 *            bounded memory without asking the system for any.
 * Idea       The binary buddy system (Knuth, The Art of Computer Programming,
 *            vol. 1, section 2.5): sizes are powers of two, a block splits in
 *            halves, and joins its other half again when both are free.
 * Promise    A block wastes less than half of itself, or is of the least size;
 *            and with every block back, the arena is whole again: whatever
 *            fits once fits then.
 * Threads    One owner.
 * Cost       O(log(max / min)) per call; memory is touched only when used. */
#define NSP_BUDDY_MIN_BYTES 256u
#define NSP_BUDDY_MAX_BYTES 262144u

struct nsp_buddy_block;

struct nsp_buddy {
    uint8_t *arena;
    uint8_t *orders; /* Of the block at each unit, and whether it is free. */
    size_t bytes;
    size_t fresh; /* Everything from here on was never used. */
    struct nsp_buddy_block *free[11]; /* 256 << order bytes. */
    struct nsp_allocator allocator;
};

/* 'bytes' is a multiple of NSP_BUDDY_MAX_BYTES. Returns 0 or -ENOMEM, '*buddy'
 * then being as if zeroed. */
int nsp_buddy_init(struct nsp_buddy *buddy, size_t bytes,
                   const struct nsp_allocator *allocator) NSP_MUSTCHECK;

/* Accepts a zeroed one. Blocks still out are gone. */
void nsp_buddy_fini(struct nsp_buddy *buddy);

/* Returns a block of at least 'bytes' (<= NSP_BUDDY_MAX_BYTES) bytes, aligned
 * for any type, not zeroed; NULL when there is none. */
void *nsp_buddy_alloc(struct nsp_buddy *buddy, size_t bytes) NSP_MUSTCHECK;

/* Gives back 'block', which is not NULL. */
void nsp_buddy_release(struct nsp_buddy *buddy, void *block);

#endif /* NSP_BASE_BUDDY_H */
