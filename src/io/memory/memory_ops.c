#include "io/memory/memory_ops.h"

#include <errno.h>
#include <string.h>

#include "base/diag.h"
#include "io/memory/memory_queue.h"
#include "packet/link.h"

const struct nsp_io_ops *
nsp_memory_get_ops(const struct nsp_memory *memory)
{
    if (!memory || !memory->io.virtual_time)
        return &nsp_memory_ops;
    return memory->io.repeat != 0 ? &nsp_memory_repeat_ops
                                  : &nsp_memory_virtual_ops;
}

static int
memory_open(const struct nsp_io_config *cfg, struct nsp_io **ret,
            struct nsp_diag *reterr)
{
    /* The one object behind a const pointer that the engine changes. */
    struct nsp_memory *memory = (struct nsp_memory *)(uintptr_t)cfg->device;
    struct nsp_io *io;

    if (!memory)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "no-memory-device",
                            "create one with nsp_memory_create()",
                            "backend memory: no struct nsp_memory was given");
    io = &memory->io;
    if (cfg->queues != io->queue_count)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "bad-queues",
                            "give the engine a worker for each queue",
                            "backend memory: it has %u queues, the engine %u "
                            "workers",
                            io->queue_count, cfg->queues);
    if (atomic_exchange(&io->open, true))
        return nsp_diag_set(reterr, NSP_OPEN_FAILED, "device-busy",
                            "give each engine a memory of its own",
                            "backend memory: another engine uses it");

    for (uint32_t i = 0; i < io->queue_count; i++) {
        struct nsp_memory_queue *queue = &io->queues[i];

        queue->rx_left = io->repeat ? io->repeat : UINT64_MAX;
        queue->last_ns = 0;
        atomic_store(&queue->quiesced, false);
    }
    *ret = io;
    return NSP_OK;
}

static void
memory_close(struct nsp_io *io)
{
    atomic_store(&io->open, false);
}

/* How many frames of rx may still be handed out. */
static uint32_t
rx_allowed(struct nsp_memory_queue *queue)
{
    int32_t left;

    /* Pairs with the release in quiesce: 'stop_tail' is set. */
    if (!atomic_load_explicit(&queue->quiesced, memory_order_acquire))
        return UINT32_MAX;
    left =
        (int32_t)(queue->stop_tail -
                  atomic_load_explicit(&queue->rx.head, memory_order_relaxed));
    return left > 0 ? (uint32_t)left : 0; /* A burst may have overtaken it. */
}

static uint64_t
arrival_ns(const struct nsp_memory_queue *queue,
           const struct nsp_memory_slot *slot)
{
    return slot->at_ns > queue->last_ns ? slot->at_ns : queue->last_ns;
}

static uint32_t
rx_live(struct nsp_memory_queue *queue, uint64_t now_ns,
        struct nsp_pkt *ret_pkts[], uint32_t max)
{
    void *slots[NSP_BURST_MAX];
    uint32_t n = nsp_ring_pop_burst(&queue->rx, slots, max);

    for (uint32_t i = 0; i < n; i++) {
        ret_pkts[i] = &((struct nsp_memory_slot *)slots[i])->pkt;
        ret_pkts[i]->arrival_ns = now_ns;
    }
    return n;
}

static uint32_t
rx_virtual(struct nsp_memory_queue *queue, uint64_t now_ns,
           struct nsp_pkt *ret_pkts[], uint32_t max)
{
    struct nsp_memory_slot *slot;
    uint32_t n = 0;
    void *taken;

    while (n < max && (slot = nsp_ring_peek(&queue->rx)) != NULL) {
        uint64_t at_ns = arrival_ns(queue, slot);

        if (at_ns > now_ns)
            break;
        queue->last_ns = at_ns;
        slot->pkt.arrival_ns = at_ns;
        ret_pkts[n] = &slot->pkt;
        n += nsp_ring_pop_burst(&queue->rx, &taken, 1);
    }
    return n;
}

/* Hands out frames that were sent before. */
static uint32_t
rx_again(struct nsp_memory_queue *queue, uint64_t now_ns,
         struct nsp_pkt *ret_pkts[], uint32_t max)
{
    uint32_t n = nsp_min_u32(max, queue->again_tail - queue->again_head);

    for (uint32_t i = 0; i < n; i++) {
        struct nsp_memory_slot *slot =
            queue->again[(queue->again_head + i) & queue->again_mask];

        slot->pkt.arrival_ns = now_ns;
        ret_pkts[i] = &slot->pkt;
    }
    queue->again_head += n;
    if (n > 0)
        queue->last_ns = now_ns;
    return n;
}

static NSP_ALWAYS_INLINE uint32_t
rx_burst(struct nsp_io *io, uint32_t queue_index, uint64_t now_ns,
         struct nsp_pkt *ret_pkts[], uint32_t max, const bool virtual_time)
{
    struct nsp_memory_queue *queue = &io->queues[queue_index];
    uint32_t allowed = rx_allowed(queue), n;

    max =
        (uint32_t)nsp_min_u64(nsp_min_u32(max, NSP_BURST_MAX), queue->rx_left);
    if (virtual_time)
        n = rx_virtual(queue, now_ns, ret_pkts, nsp_min_u32(max, allowed));
    else
        n = rx_live(queue, now_ns, ret_pkts, nsp_min_u32(max, allowed));
    if (io->repeat == 0)
        return n;

    if (n < max && allowed == UINT32_MAX)
        n += rx_again(queue, now_ns, ret_pkts + n, max - n);
    queue->rx_left -= n;
    return n;
}

static uint32_t
memory_rx_burst(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
                struct nsp_pkt *ret_pkts[], uint32_t max)
{
    return rx_burst(io, queue, now_ns, ret_pkts, max, false);
}

static uint32_t
memory_virtual_rx_burst(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
                        struct nsp_pkt *ret_pkts[], uint32_t max)
{
    return rx_burst(io, queue, now_ns, ret_pkts, max, true);
}

/* Puts the packets back as they were pushed; edited bytes stay edited. What the
 * parser and the engine set anew for each packet is left alone. */
static void
send_round(struct nsp_memory_queue *queue, struct nsp_pkt *const pkts[],
           uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct nsp_memory_slot *slot =
            NSP_CONTAINER_OF(pkts[i], struct nsp_memory_slot, pkt);

        slot->pkt.data = slot->buffer;
        slot->pkt.cap_bytes = slot->bytes;
        slot->pkt.wire_bytes = slot->wire_bytes;
        slot->pkt.csum = slot->csum;
        slot->pkt.flags = 0;
        slot->pkt.mark = 0;
        slot->pkt.extra_delay_ns = 0;
        queue->again[(queue->again_tail + i) & queue->again_mask] = slot;
    }
    queue->again_tail += n;
}

/* Every ring has room for all frames that can be in it. */
static void
push_all(struct nsp_ring *ring, struct nsp_pkt *const pkts[], uint32_t n)
{
    void *slots[NSP_BURST_MAX];
    uint32_t pushed;

    while (n > 0) {
        uint32_t some = nsp_min_u32(n, NSP_BURST_MAX);

        for (uint32_t i = 0; i < some; i++)
            slots[i] = NSP_CONTAINER_OF(pkts[i], struct nsp_memory_slot, pkt);
        pushed = nsp_ring_push_burst(ring, slots, some);
        assert(pushed == some);
        pkts += pushed;
        n -= pushed;
    }
}

static uint32_t
memory_tx_burst(struct nsp_io *io, uint32_t queue_index, uint64_t now_ns,
                struct nsp_pkt *const pkts[], uint32_t n, bool ret_refused[])
{
    struct nsp_memory_queue *queue = &io->queues[queue_index];

    (void)ret_refused;
    if (io->repeat != 0) {
        send_round(queue, pkts, n);
        return 0;
    }
    for (uint32_t i = 0; i < n; i++)
        NSP_CONTAINER_OF(pkts[i], struct nsp_memory_slot, pkt)->at_ns = now_ns;
    push_all(&queue->tx, pkts, n);
    return 0;
}

static uint32_t
memory_virtual_tx_burst(struct nsp_io *io, uint32_t queue_index,
                        uint64_t now_ns, struct nsp_pkt *const pkts[],
                        uint32_t n, bool ret_refused[])
{
    (void)now_ns;
    (void)ret_refused;
    for (uint32_t i = 0; i < n; i++)
        NSP_CONTAINER_OF(pkts[i], struct nsp_memory_slot, pkt)->at_ns =
            pkts[i]->timer.due_ns;
    push_all(&io->queues[queue_index].tx, pkts, n);
    return 0;
}

static void
memory_drop_burst(struct nsp_io *io, uint32_t queue_index,
                  struct nsp_pkt *const pkts[], uint32_t n)
{
    struct nsp_memory_queue *queue = &io->queues[queue_index];

    if (io->repeat != 0)
        send_round(queue, pkts, n);
    else
        push_all(&queue->dropped, pkts, n);
}

static uint8_t
opposite(uint8_t direction)
{
    return direction == NSP_INBOUND    ? NSP_OUTBOUND
           : direction == NSP_OUTBOUND ? NSP_INBOUND
                                       : NSP_DIRECTION_NONE;
}

static int
memory_inject(struct nsp_io *io, uint32_t queue_index, uint64_t now_ns,
              const uint8_t *ip, uint32_t ip_bytes, bool reply,
              const struct nsp_pkt *like)
{
    struct nsp_memory_queue *queue = &io->queues[queue_index];
    uint8_t header[NSP_LINK_BYTES_MAX];
    struct nsp_memory_slot *slot;
    struct nsp_pkt *pkt;
    uint8_t direction;
    uint32_t link_bytes;
    void *taken;
    int n;

    if (ip_bytes == 0)
        return -EINVAL;
    n = nsp_link_build(like, ip[0] >> 4, reply, header);
    if (n < 0)
        return n;
    link_bytes = (uint32_t)n;
    if (ip_bytes > io->frame_bytes - nsp_min_u32(link_bytes, io->frame_bytes))
        return -EMSGSIZE;
    if (io->repeat != 0)
        return 0; /* Gone, as nobody pops. */
    if (nsp_ring_pop_burst(&queue->spare, &taken, 1) == 0)
        return -ENOBUFS;

    slot = taken;
    memcpy(slot->buffer, header, link_bytes);
    memcpy(slot->buffer + link_bytes, ip, ip_bytes);
    slot->at_ns = now_ns;
    direction = reply ? opposite(like->direction) : like->direction;
    slot->pkt = (struct nsp_pkt){
        .data = slot->buffer,
        .cap_bytes = link_bytes + ip_bytes,
        .wire_bytes = link_bytes + ip_bytes,
        .link = io->link,
        .direction = direction,
        .hook = nsp_memory_hook_of(direction),
        .csum = NSP_CSUM_GOOD,
        .in_ifindex = reply ? like->out_ifindex : like->in_ifindex,
        .out_ifindex = reply ? like->in_ifindex : like->out_ifindex,
        .uid = UINT32_MAX,
    };
    pkt = &slot->pkt;
    push_all(&queue->tx, &pkt, 1);
    return 0;
}

static bool
rx_ready(struct nsp_io *io, struct nsp_memory_queue *queue)
{
    uint32_t allowed = rx_allowed(queue);

    if (queue->rx_left == 0)
        return false;
    if (allowed > 0 && nsp_ring_peek(&queue->rx))
        return true;
    return io->repeat != 0 && allowed == UINT32_MAX &&
           queue->again_tail != queue->again_head;
}

static int
memory_wait(struct nsp_io *io, uint32_t queue_index, uint64_t timeout_ns)
{
    struct nsp_memory_queue *queue = &io->queues[queue_index];
    int result = 0;

    /* See 'Sleeping': the question comes after the flag. */
    atomic_exchange_explicit(&queue->sleeping, true, memory_order_acq_rel);
    if (!rx_ready(io, queue))
        result = nsp_wakeup_wait(&queue->wakeup, -1, timeout_ns);
    atomic_exchange_explicit(&queue->sleeping, false, memory_order_acq_rel);
    return result;
}

static void
memory_wake(struct nsp_io *io)
{
    for (uint32_t i = 0; i < io->queue_count; i++)
        nsp_wakeup_set(&io->queues[i].wakeup);
}

/* Nobody waits in virtual time. */
static void
memory_virtual_wake(struct nsp_io *io)
{
    (void)io;
}

static uint64_t
memory_next_rx_ns(struct nsp_io *io, uint32_t queue_index)
{
    struct nsp_memory_queue *queue = &io->queues[queue_index];
    const struct nsp_memory_slot *slot = nsp_ring_peek(&queue->rx);

    if (!rx_ready(io, queue))
        return NSP_TIME_NEVER;
    return slot && rx_allowed(queue) > 0 ? arrival_ns(queue, slot)
                                         : queue->last_ns;
}

static void
memory_quiesce(struct nsp_io *io)
{
    for (uint32_t i = 0; i < io->queue_count; i++) {
        struct nsp_memory_queue *queue = &io->queues[i];

        queue->stop_tail =
            atomic_load_explicit(&queue->rx.tail, memory_order_acquire);
        /* 'stop_tail' must be seen by whoever sees the flag. */
        atomic_store_explicit(&queue->quiesced, true, memory_order_release);
    }
}

static void
memory_read_stats(struct nsp_io *io, struct nsp_io_stats *ret)
{
    (void)io;
    *ret = (struct nsp_io_stats){ 0 };
}

static int
memory_status(struct nsp_io *io, char *ret, uint32_t ret_bytes)
{
    (void)io;
    if (ret && ret_bytes > 0)
        ret[0] = '\0';
    return 0;
}

#define MEMORY_CAPS                                                            \
    (NSP_IO_CAN_MODIFY | NSP_IO_CAN_INJECT | NSP_IO_HOLDS_INPUT |              \
     NSP_IO_HOLDS_OUTPUT | NSP_IO_HOLDS_FORWARD)

#define MEMORY_COMMON                                                          \
    .name = "memory", .open = memory_open, .close = memory_close,              \
    .drop_burst = memory_drop_burst, .inject = memory_inject,                  \
    .quiesce = memory_quiesce, .read_stats = memory_read_stats,                \
    .status = memory_status

#define MEMORY_VIRTUAL                                                         \
    MEMORY_COMMON, .rx_burst = memory_virtual_rx_burst,                        \
                   .wake = memory_virtual_wake,                                \
                   .next_rx_ns = memory_next_rx_ns

const struct nsp_io_ops nsp_memory_ops = {
    MEMORY_COMMON,
    .caps = MEMORY_CAPS,
    .rx_burst = memory_rx_burst,
    .tx_burst = memory_tx_burst,
    .wait = memory_wait,
    .wake = memory_wake,
};

const struct nsp_io_ops nsp_memory_virtual_ops = {
    MEMORY_VIRTUAL,
    .caps = MEMORY_CAPS | NSP_IO_VIRTUAL_TIME | NSP_IO_AHEAD_OF_TIME,
    .tx_burst = memory_virtual_tx_burst,
};

/* Frames come again when they have been sent. */
const struct nsp_io_ops nsp_memory_repeat_ops = {
    MEMORY_VIRTUAL,
    .caps = MEMORY_CAPS | NSP_IO_VIRTUAL_TIME,
    .tx_burst = memory_tx_burst,
};
