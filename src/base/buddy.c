#include "base/buddy.h"

#include <errno.h>

#define MAX_ORDER 10u
#define FREE      0x80u

static_assert(NSP_BUDDY_MIN_BYTES << MAX_ORDER == NSP_BUDDY_MAX_BYTES,
              "the largest block is of the largest order");

/* Lies in the block itself while it is free. */
struct nsp_buddy_block {
    struct nsp_buddy_block *next, *previous;
};

int
nsp_buddy_init(struct nsp_buddy *buddy, size_t bytes,
               const struct nsp_allocator *allocator)
{
    assert(bytes > 0 && bytes % NSP_BUDDY_MAX_BYTES == 0);

    *buddy = (struct nsp_buddy){ .bytes = bytes, .allocator = *allocator };
    buddy->arena = nsp_alloc(allocator, 1, bytes);
    buddy->orders = nsp_alloc(allocator, bytes / NSP_BUDDY_MIN_BYTES, 1);
    if (buddy->arena && buddy->orders)
        return 0;
    nsp_buddy_fini(buddy);
    return -ENOMEM;
}

void
nsp_buddy_fini(struct nsp_buddy *buddy)
{
    if (buddy->arena)
        nsp_release(&buddy->allocator, buddy->arena);
    if (buddy->orders)
        nsp_release(&buddy->allocator, buddy->orders);
    *buddy = (struct nsp_buddy){ 0 };
}

static size_t
order_bytes(unsigned order)
{
    return (size_t)NSP_BUDDY_MIN_BYTES << order;
}

static size_t
offset_of(const struct nsp_buddy *buddy, const void *block)
{
    return (size_t)((const uint8_t *)block - buddy->arena);
}

static void
add_free(struct nsp_buddy *buddy, size_t offset, unsigned order)
{
    struct nsp_buddy_block *block = (void *)(buddy->arena + offset);

    block->previous = NULL;
    block->next = buddy->free[order];
    if (block->next)
        block->next->previous = block;
    buddy->free[order] = block;
    buddy->orders[offset / NSP_BUDDY_MIN_BYTES] = (uint8_t)(order | FREE);
}

static void
remove_free(struct nsp_buddy *buddy, struct nsp_buddy_block *block,
            unsigned order)
{
    if (block->previous)
        block->previous->next = block->next;
    else
        buddy->free[order] = block->next;
    if (block->next)
        block->next->previous = block->previous;
}

void *
nsp_buddy_alloc(struct nsp_buddy *buddy, size_t bytes)
{
    unsigned want = 0, order;
    size_t offset;

    assert(bytes <= NSP_BUDDY_MAX_BYTES);
    while (order_bytes(want) < bytes)
        want++;

    for (order = want; order <= MAX_ORDER && !buddy->free[order];)
        order++;
    if (order <= MAX_ORDER) {
        offset = offset_of(buddy, buddy->free[order]);
        remove_free(buddy, buddy->free[order], order);
    } else {
        if (buddy->fresh == buddy->bytes)
            return NULL;
        order = MAX_ORDER;
        offset = buddy->fresh;
        buddy->fresh += NSP_BUDDY_MAX_BYTES;
    }
    while (order > want) {
        order--;
        add_free(buddy, offset + order_bytes(order), order);
    }
    buddy->orders[offset / NSP_BUDDY_MIN_BYTES] = (uint8_t)want;
    return buddy->arena + offset;
}

void
nsp_buddy_release(struct nsp_buddy *buddy, void *block)
{
    size_t offset = offset_of(buddy, block);
    unsigned order = buddy->orders[offset / NSP_BUDDY_MIN_BYTES];

    assert(offset < buddy->fresh && order <= MAX_ORDER);
    while (order < MAX_ORDER) {
        size_t other = offset ^ order_bytes(order);
        uint8_t *state = &buddy->orders[other / NSP_BUDDY_MIN_BYTES];

        if (*state != (order | FREE))
            break;
        remove_free(buddy, (void *)(buddy->arena + other), order);
        *state = 0;
        offset &= ~order_bytes(order);
        order++;
    }
    add_free(buddy, offset, order);
}
