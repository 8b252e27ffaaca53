#ifndef NSP_POLICY_INTERNER_H
#define NSP_POLICY_INTERNER_H
#include "base/memory.h"

/* Arrays that grow while an index is built, and numbers for what is equal in
 * them. All zero but 'item_bytes' they are empty; whoever has one gives back
 * 'at' and 'slots'. */

struct nsp_vector {
    void *at;
    size_t count, room, item_bytes;
};

/* Finds equal items of a vector: numbers + 1, by open addressing. */
struct nsp_interner {
    struct nsp_vector items;
    uint32_t *slots;
    uint32_t slot_count; /* A power of two. */
};

/* Adds a copy of 'item' at the end. Returns 0 or -ENOMEM. */
int nsp_vector_push(struct nsp_vector *v, const void *item,
                    const struct nsp_allocator *allocator) NSP_MUSTCHECK;

/* Stores the number of the item equal to 'item', which is added if need be.
 * Returns 0, -ENOMEM, or -EFBIG when there are NSP_VALUE_CLASSES_MAX already.
 * The item's size is a multiple of 8. */
int nsp_intern(struct nsp_interner *in, const void *item,
               const struct nsp_allocator *allocator,
               uint16_t *ret) NSP_MUSTCHECK;

#endif /* NSP_POLICY_INTERNER_H */
