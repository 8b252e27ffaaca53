#define _GNU_SOURCE
#include "io/nfqueue/nfqueue_pool.h"

#include <errno.h>
#include <string.h>

#include "base/memory.h"

/* Room for the attributes of a packet message besides its payload: about 250
 * bytes, and a security context or link header that others may have asked for.
 * One that is longer costs the end of the payload, never the packet: the kernel
 * puts the id first and the payload last. */
#define ATTRIBUTES_BYTES 1024u

/* Room for whole packets in one send() of verdicts. */
#define VERDICT_PAYLOAD_BYTES (128u << 10)

/* The store of copies: an ordinary packet fits a block of this size. Of what is
 * never used, the system gives no memory. */
#define RETAINED_PKT_BYTES       2048u
#define RETAINED_STORE_BYTES_MIN (UINT64_C(4) << 20)
#define RETAINED_STORE_BYTES_MAX (UINT64_C(256) << 20)

static_assert(RETAINED_STORE_BYTES_MIN % NSP_BUDDY_MAX_BYTES == 0 &&
                  RETAINED_STORE_BYTES_MAX % NSP_BUDDY_MAX_BYTES == 0 &&
                  NSP_NFQ_PAYLOAD_BYTES_MAX <= NSP_BUDDY_MAX_BYTES,
              "the store takes any packet");

static int
init_receive(struct nsp_nfq_queue *queue)
{
    const struct nsp_allocator *allocator = &queue->config.allocator;
    /* With edits it may be told later to copy all. */
    uint32_t payload = queue->config.edits ? 0 : queue->config.snap_bytes;

    if (payload == 0 || payload > NSP_NFQ_PAYLOAD_BYTES_MAX)
        payload = NSP_NFQ_PAYLOAD_BYTES_MAX;
    queue->receive_slot_bytes =
        (payload + ATTRIBUTES_BYTES + NSP_CACHE_LINE - 1) / NSP_CACHE_LINE *
        NSP_CACHE_LINE;
    queue->receive_bytes =
        nsp_alloc(allocator, NSP_BURST_MAX, queue->receive_slot_bytes);
    queue->messages =
        nsp_alloc(allocator, NSP_BURST_MAX, sizeof *queue->messages);
    queue->iov = nsp_alloc(allocator, NSP_BURST_MAX, sizeof *queue->iov);
    if (!queue->receive_bytes || !queue->messages || !queue->iov)
        return -ENOMEM;

    for (uint32_t i = 0; i < NSP_BURST_MAX; i++) {
        queue->iov[i] = (struct iovec){
            .iov_base =
                queue->receive_bytes + (size_t)i * queue->receive_slot_bytes,
            .iov_len = queue->receive_slot_bytes,
        };
        queue->messages[i].msg_hdr.msg_iov = &queue->iov[i];
        queue->messages[i].msg_hdr.msg_iovlen = 1;
    }
    return 0;
}

static int
init_retained(struct nsp_nfq_queue *queue)
{
    uint64_t bytes = (uint64_t)queue->pool.count * RETAINED_PKT_BYTES;

    bytes = nsp_min_u64(bytes, RETAINED_STORE_BYTES_MAX);
    if (bytes < RETAINED_STORE_BYTES_MIN)
        bytes = RETAINED_STORE_BYTES_MIN;
    bytes = (bytes + NSP_BUDDY_MAX_BYTES - 1) / NSP_BUDDY_MAX_BYTES *
            NSP_BUDDY_MAX_BYTES;
    return nsp_buddy_init(&queue->retained, (size_t)bytes,
                          &queue->config.allocator);
}

int
nsp_nfq_pool_init(struct nsp_nfq_queue *queue)
{
    const struct nsp_allocator *allocator = &queue->config.allocator;
    int err = init_receive(queue);

    if (err == 0)
        err = nsp_packet_pool_init(&queue->pool, sizeof(struct nsp_nfq_slot),
                                   queue->config.max_held_pkts, allocator);
    if (err == 0 && queue->config.edits)
        err = init_retained(queue);
    if (err < 0)
        return err;

    queue->verdict_room_bytes = NSP_BURST_MAX * NSP_NFQ_VERDICT_BYTES;
    if (queue->config.edits)
        queue->verdict_room_bytes += VERDICT_PAYLOAD_BYTES;
    queue->verdicts = nsp_alloc(allocator, queue->verdict_room_bytes, 1);
    return queue->verdicts ? 0 : -ENOMEM;
}

void
nsp_nfq_pool_fini(struct nsp_nfq_queue *queue)
{
    const struct nsp_allocator *allocator = &queue->config.allocator;

    nsp_release(allocator, queue->verdicts);
    nsp_packet_pool_fini(&queue->pool, allocator);
    nsp_buddy_fini(&queue->retained);
    nsp_release(allocator, queue->iov);
    nsp_release(allocator, queue->messages);
    nsp_release(allocator, queue->receive_bytes);
}

bool
nsp_nfq_queue_can_receive(const struct nsp_nfq_queue *queue)
{
    return nsp_packet_pool_left(&queue->pool) > 0;
}

int
nsp_nfq_retain(struct nsp_nfq_queue *queue, struct nsp_pkt *pkt)
{
    struct nsp_nfq_slot *slot = nsp_nfq_slot_of(pkt);
    void *copy;

    if (slot->retained)
        return 0;
    if (!queue->config.edits || pkt->cap_bytes > NSP_NFQ_PAYLOAD_BYTES_MAX)
        return -ENOMEM;
    copy = nsp_buddy_alloc(&queue->retained, pkt->cap_bytes);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, pkt->data, pkt->cap_bytes);
    pkt->data = copy;
    slot->retained = copy;
    return 0;
}
