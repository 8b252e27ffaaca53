#include "policy/interner.h"

#include <errno.h>
#include <string.h>

#include "policy/class_index.h"

int
nsp_vector_push(struct nsp_vector *v, const void *item,
                const struct nsp_allocator *allocator)
{
    if (v->count == v->room) {
        size_t room = v->room > 0 ? 2 * v->room : 256;
        void *at = nsp_alloc(allocator, room, v->item_bytes);

        if (!at)
            return -ENOMEM;
        if (v->at)
            memcpy(at, v->at, v->count * v->item_bytes);
        nsp_release(allocator, v->at);
        v->at = at;
        v->room = room;
    }
    memcpy((char *)v->at + v->count++ * v->item_bytes, item, v->item_bytes);
    return 0;
}

/* Multilinear: no product waits for another. The upper bits are the good ones.
 */
static uint32_t
hash_of(const void *item, size_t bytes)
{
    const char *at = item;
    uint64_t factor = UINT64_C(0xff51afd7ed558ccd), hash = 0;

    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t word;

        memcpy(&word, at + i, sizeof word);
        hash += (word ^ word >> 32) * factor;
        factor *= UINT64_C(0xc4ceb9fe1a85ec53);
    }
    return (uint32_t)(hash >> 32);
}

static uint32_t *
find_slot(const struct nsp_interner *in, const void *item)
{
    size_t bytes = in->items.item_bytes;
    uint32_t mask = in->slot_count - 1;
    uint32_t at = hash_of(item, bytes) & mask;

    while (in->slots[at] != 0 &&
           memcmp((char *)in->items.at + (in->slots[at] - 1) * bytes, item,
                  bytes) != 0)
        at = (at + 1) & mask;
    return &in->slots[at];
}

static int
grow_slots(struct nsp_interner *in, const struct nsp_allocator *allocator)
{
    uint32_t count = in->slot_count > 0 ? 4 * in->slot_count : 1024;
    uint32_t *old = in->slots;

    in->slots = nsp_alloc(allocator, count, sizeof in->slots[0]);
    if (!in->slots) {
        in->slots = old;
        return -ENOMEM;
    }
    nsp_release(allocator, old);
    in->slot_count = count;
    for (uint32_t i = 0; i < in->items.count; i++)
        *find_slot(in, (char *)in->items.at + i * in->items.item_bytes) = i + 1;
    return 0;
}

int
nsp_intern(struct nsp_interner *in, const void *item,
           const struct nsp_allocator *allocator, uint16_t *ret)
{
    uint32_t *slot;
    int r;

    if (2 * in->items.count >= in->slot_count) {
        r = grow_slots(in, allocator);
        if (r != 0)
            return r;
    }
    slot = find_slot(in, item);
    if (*slot == 0) {
        if (in->items.count == NSP_VALUE_CLASSES_MAX)
            return -EFBIG;
        r = nsp_vector_push(&in->items, item, allocator);
        if (r != 0)
            return r;
        *slot = (uint32_t)in->items.count;
    }
    *ret = (uint16_t)(*slot - 1);
    return 0;
}
