#ifndef NSP_IO_NFQUEUE_POOL_H
#define NSP_IO_NFQUEUE_POOL_H
#include "base/counter.h"
#include "io/nfqueue/nfqueue_queue.h"
#include "netshaper/packet.h"

/* What receiving and answering share: descriptors, and how they are lent.
 * Threads  the queue's worker. */

#define NSP_NFQ_ATTRIBUTE_HEADER_BYTES ((uint32_t)sizeof(struct nlattr))
/* An attribute's length, header included, has 16 bits. */
#define NSP_NFQ_PAYLOAD_BYTES_MAX (UINT16_MAX - NSP_NFQ_ATTRIBUTE_HEADER_BYTES)
/* One verdict without payload. */
#define NSP_NFQ_VERDICT_BYTES 32u

/* A packet and what this backend knows of it. */
struct nsp_nfq_slot {
    struct nsp_pkt pkt;
    bool lent;
    bool whole;     /* All of the packet was copied. */
    uint32_t mark;  /* The kernel's packet has. */
    void *retained; /* Its copy, or NULL. */
};

static inline struct nsp_nfq_slot *
nsp_nfq_slot_of(const struct nsp_pkt *pkt)
{
    return NSP_CONTAINER_OF((uintptr_t)pkt, struct nsp_nfq_slot, pkt);
}

static inline void
nsp_nfq_give_back_slot(struct nsp_nfq_queue *queue, struct nsp_nfq_slot *slot)
{
    assert(slot->lent);
    slot->lent = false;
    if (slot->retained)
        nsp_buddy_release(&queue->retained, slot->retained);
    nsp_packet_pool_give_back(&queue->pool, &slot->pkt);
}

/* Netlink pads to 4 bytes (NLA_ALIGN, without its signed arithmetic). */
static inline uint32_t
nsp_nfq_padded(uint32_t bytes)
{
    return (bytes + 3) & ~UINT32_C(3);
}

/* Ends the device with 'err', a negative errno. */
static inline void
nsp_nfq_fail(struct nsp_nfq_queue *queue, int err)
{
    nsp_counter_add(&queue->device_errors, 1);
    atomic_store_explicit(&queue->status, err, memory_order_relaxed);
}

#endif /* NSP_IO_NFQUEUE_POOL_H */
