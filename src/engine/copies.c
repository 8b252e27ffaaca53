#include "engine/copies.h"

#include <errno.h>
#include <string.h>

#include "packet/alter.h"

/* What the arena has for each copy: a frame of 1500 bytes fits. */
#define BYTES_PER_COPY 2048u

int
nsp_copies_init(struct nsp_copies *copies, uint32_t max,
                const struct nsp_allocator *allocator)
{
    size_t bytes = (size_t)max * BYTES_PER_COPY;

    *copies = (struct nsp_copies){ .max = max, .allocator = *allocator };
    bytes = (bytes + NSP_BUDDY_MAX_BYTES - 1) / NSP_BUDDY_MAX_BYTES *
            NSP_BUDDY_MAX_BYTES;
    copies->pkts = nsp_alloc(allocator, max, sizeof *copies->pkts);
    if (!copies->pkts || nsp_buddy_init(&copies->bytes, bytes, allocator) < 0)
        return -ENOMEM;
    return 0;
}

void
nsp_copies_fini(struct nsp_copies *copies)
{
    if (!copies->pkts)
        return;
    nsp_release(&copies->allocator, copies->pkts);
    nsp_buddy_fini(&copies->bytes);
    copies->pkts = NULL;
}

static struct nsp_pkt *
take_pkt(struct nsp_copies *copies)
{
    struct nsp_wheel_node *node = copies->free;

    if (!node)
        return &copies->pkts[copies->fresh++];
    copies->free = node->next;
    return NSP_CONTAINER_OF(node, struct nsp_pkt, timer);
}

struct nsp_pkt *
nsp_copies_take(struct nsp_copies *copies, const struct nsp_pkt *pkt)
{
    struct nsp_pkt *copy;
    uint8_t *data;

    if ((!copies->free && copies->fresh == copies->max) ||
        pkt->cap_bytes > NSP_BUDDY_MAX_BYTES)
        return NULL;
    data = nsp_buddy_alloc(&copies->bytes, pkt->cap_bytes);
    if (!data)
        return NULL;
    copy = take_pkt(copies);
    *copy = *pkt;
    memcpy(data, pkt->data, pkt->cap_bytes);
    copy->data = data;
    copy->flags |= NSP_PKT_COPY;
    nsp_pkt_complete_checksum(copy);
    return copy;
}

void
nsp_copies_release(struct nsp_copies *copies, struct nsp_pkt *copy)
{
    nsp_buddy_release(&copies->bytes, copy->data);
    copy->timer.next = copies->free;
    copies->free = &copy->timer;
}
