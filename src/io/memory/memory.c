#include <string.h>

#include "io/memory/memory_queue.h"

#define FRAMES_DEFAULT      4096u
#define FRAMES_MAX          (1u << 20)
#define FRAME_BYTES_DEFAULT 2048u
#define FRAME_BYTES_MAX     65600u

/* No two buffers share a line, and so no two threads do. */
static size_t
buffer_stride(uint32_t frame_bytes)
{
    return ((size_t)frame_bytes + NSP_CACHE_LINE - 1) / NSP_CACHE_LINE *
           NSP_CACHE_LINE;
}

static bool
config_valid(const struct nsp_memory_config *cfg)
{
    return cfg && cfg->queues <= NSP_IO_QUEUES_MAX &&
           cfg->frames <= FRAMES_MAX &&
           (cfg->frames & (cfg->frames - 1)) == 0 &&
           cfg->frame_bytes <= FRAME_BYTES_MAX && cfg->link <= NSP_LINK_NULL;
}

static int
init_rings(struct nsp_memory_queue *queue, uint32_t frames,
           const struct nsp_allocator *allocator)
{
    if (nsp_ring_init(&queue->free, frames, allocator) < 0 ||
        nsp_ring_init(&queue->dropped, frames, allocator) < 0 ||
        nsp_ring_init(&queue->rx, frames, allocator) < 0 ||
        nsp_ring_init(&queue->spare, frames, allocator) < 0 ||
        nsp_ring_init(&queue->tx, 2 * frames, allocator) < 0)
        return NSP_NO_MEMORY;

    queue->again = nsp_alloc(allocator, frames, sizeof *queue->again);
    queue->lent = nsp_alloc(allocator, (size_t)2 * frames, sizeof *queue->lent);
    queue->again_mask = frames - 1;
    return queue->again && queue->lent ? NSP_OK : NSP_NO_MEMORY;
}

/* Deals out 'frames' slots to be pushed, and as many to be injected. */
static int
init_slots(struct nsp_memory_queue *queue, uint32_t frames,
           uint32_t frame_bytes, const struct nsp_allocator *allocator)
{
    size_t stride = buffer_stride(frame_bytes);
    uint32_t count = 2 * frames;

    queue->slots = nsp_alloc(allocator, count, sizeof *queue->slots);
    queue->buffers = nsp_alloc(allocator, count, stride);
    if (!queue->slots || !queue->buffers)
        return NSP_NO_MEMORY;

    for (uint32_t i = 0; i < count; i++) {
        struct nsp_memory_slot *slot = &queue->slots[i];
        void *object = slot;

        slot->buffer = queue->buffers + i * stride;
        slot->injected = i >= frames;
        nsp_ring_push_burst(slot->injected ? &queue->spare : &queue->free,
                            &object, 1);
    }
    return NSP_OK;
}

static int
queue_init(struct nsp_memory_queue *queue, const struct nsp_io *io,
           const struct nsp_allocator *allocator)
{
    int err = init_rings(queue, io->frames, allocator);

    if (err == NSP_OK)
        err = init_slots(queue, io->frames, io->frame_bytes, allocator);
    if (err == NSP_OK && !io->virtual_time &&
        nsp_wakeup_open(&queue->wakeup) < 0) {
        queue->wakeup.fd = -1;
        err = NSP_NO_MEMORY; /* Out of descriptors. */
    }
    return err;
}

static void
queue_fini(struct nsp_memory_queue *queue,
           const struct nsp_allocator *allocator)
{
    if (queue->wakeup.fd >= 0)
        nsp_wakeup_close(&queue->wakeup);
    nsp_release(allocator, queue->buffers);
    nsp_release(allocator, queue->slots);
    nsp_release(allocator, queue->lent);
    nsp_release(allocator, queue->again);
    nsp_ring_fini(&queue->tx);
    nsp_ring_fini(&queue->spare);
    nsp_ring_fini(&queue->rx);
    nsp_ring_fini(&queue->dropped);
    nsp_ring_fini(&queue->free);
}

/* Queues keep what different threads write on different lines, which an
 * allocator need not align to. */
static int
alloc_queues(struct nsp_memory *memory)
{
    size_t bytes = memory->io.queue_count * sizeof *memory->io.queues;
    void *raw = nsp_alloc(&memory->allocator, 1, bytes + NSP_CACHE_LINE);

    if (!raw)
        return NSP_NO_MEMORY;
    memory->queues_memory = raw;
    memory->io.queues = (void *)(((uintptr_t)raw + NSP_CACHE_LINE - 1) &
                                 ~(uintptr_t)(NSP_CACHE_LINE - 1));
    for (uint32_t i = 0; i < memory->io.queue_count; i++)
        memory->io.queues[i].wakeup.fd = -1;
    return NSP_OK;
}

int
nsp_memory_create(const struct nsp_memory_config *cfg, struct nsp_memory **ret)
{
    struct nsp_allocator allocator;
    struct nsp_memory *memory;
    int err;

    if (!config_valid(cfg) || !ret)
        return NSP_INVALID_PARAMETER;

    allocator = nsp_allocator_or_libc(cfg->allocator);
    memory = nsp_alloc(&allocator, 1, sizeof *memory);
    if (!memory)
        return NSP_NO_MEMORY;

    memory->allocator = allocator;
    memory->io.queue_count = cfg->queues ? cfg->queues : 1;
    memory->io.frames = cfg->frames ? cfg->frames : FRAMES_DEFAULT;
    memory->io.frame_bytes =
        cfg->frame_bytes ? cfg->frame_bytes : FRAME_BYTES_DEFAULT;
    memory->io.repeat = cfg->repeat;
    memory->io.link = cfg->link;
    memory->io.virtual_time = cfg->virtual_time;

    err = alloc_queues(memory);
    for (uint32_t i = 0; err == NSP_OK && i < memory->io.queue_count; i++)
        err = queue_init(&memory->io.queues[i], &memory->io, &allocator);
    if (err != NSP_OK) {
        nsp_memory_destroy(memory);
        return err;
    }
    *ret = memory;
    return NSP_OK;
}

struct nsp_memory *
nsp_memory_destroy(struct nsp_memory *memory)
{
    struct nsp_allocator allocator;

    if (!memory)
        return NULL;
    assert(!atomic_load(&memory->io.open));
    allocator = memory->allocator;
    if (memory->io.queues)
        for (uint32_t i = 0; i < memory->io.queue_count; i++)
            queue_fini(&memory->io.queues[i], &allocator);
    nsp_release(&allocator, memory->queues_memory);
    nsp_release(&allocator, memory);
    return NULL;
}

uint8_t
nsp_memory_hook_of(uint8_t direction)
{
    switch (direction) {
    case NSP_INBOUND:
        return NSP_HOOK_INPUT;
    case NSP_OUTBOUND:
        return NSP_HOOK_OUTPUT;
    default:
        return NSP_HOOK_FORWARD;
    }
}

static void
fill_slot(struct nsp_memory_slot *slot, const struct nsp_memory_frame *frame,
          uint8_t link, uint16_t queue)
{
    if (frame->bytes > 0)
        memcpy(slot->buffer, frame->data, frame->bytes);
    slot->bytes = frame->bytes;
    slot->wire_bytes =
        frame->wire_bytes > frame->bytes ? frame->wire_bytes : frame->bytes;
    slot->at_ns = frame->at_ns;
    slot->csum = frame->csum;
    slot->pkt = (struct nsp_pkt){
        .data = slot->buffer,
        .cap_bytes = slot->bytes,
        .wire_bytes = slot->wire_bytes,
        .link = link,
        .direction = frame->direction,
        .hook =
            frame->hook ? frame->hook : nsp_memory_hook_of(frame->direction),
        .csum = frame->csum,
        .queue = queue,
        .in_ifindex = frame->in_ifindex,
        .out_ifindex = frame->out_ifindex,
        .uid = UINT32_MAX,
    };
}

/* Takes up to 'max' unused slots: what was popped, then what was dropped. */
static uint32_t
take_free(struct nsp_memory_queue *queue, void *ret_slots[], uint32_t max)
{
    uint32_t n = nsp_ring_pop_burst(&queue->free, ret_slots, max);

    if (n < max)
        n += nsp_ring_pop_burst(&queue->dropped, ret_slots + n, max - n);
    return n;
}

static uint32_t
push_some(const struct nsp_io *io, uint32_t queue_index,
          const struct nsp_memory_frame frames[], uint32_t n)
{
    struct nsp_memory_queue *queue = &io->queues[queue_index];
    void *slots[NSP_BURST_MAX];
    uint32_t fit = 0;

    while (fit < n && frames[fit].bytes <= io->frame_bytes)
        fit++;
    n = take_free(queue, slots, fit);
    for (uint32_t i = 0; i < n; i++)
        fill_slot(slots[i], &frames[i], io->link, (uint16_t)queue_index);
    return nsp_ring_push_burst(&queue->rx, slots, n);
}

uint32_t
nsp_memory_push_burst(struct nsp_memory *memory, uint32_t queue,
                      const struct nsp_memory_frame frames[], uint32_t n)
{
    struct nsp_memory_queue *q;
    uint32_t done = 0, some;

    if (!memory || queue >= memory->io.queue_count)
        return 0;
    q = &memory->io.queues[queue];
    do {
        some = push_some(&memory->io, queue, frames + done,
                         nsp_min_u32(n - done, NSP_BURST_MAX));
        done += some;
    } while (some == NSP_BURST_MAX);

    /* See 'Sleeping': after the frames, before the question. */
    if (atomic_exchange_explicit(&q->sleeping, false, memory_order_acq_rel))
        nsp_wakeup_set(&q->wakeup);
    return done;
}

static void
give_back_lent(struct nsp_memory_queue *queue)
{
    for (uint32_t i = 0; i < queue->lent_count; i++) {
        struct nsp_memory_slot *slot = queue->lent[i];

        nsp_ring_push_burst(slot->injected ? &queue->spare : &queue->free,
                            &queue->lent[i], 1);
    }
    queue->lent_count = 0;
}

uint32_t
nsp_memory_pop_burst(struct nsp_memory *memory, uint32_t queue,
                     struct nsp_memory_frame ret[], uint32_t max)
{
    struct nsp_memory_queue *q;

    if (!memory || queue >= memory->io.queue_count)
        return 0;
    q = &memory->io.queues[queue];
    give_back_lent(q);
    max = nsp_min_u32(max, 2 * memory->io.frames);
    q->lent_count = nsp_ring_pop_burst(&q->tx, q->lent, max);
    for (uint32_t i = 0; i < q->lent_count; i++) {
        const struct nsp_memory_slot *slot = q->lent[i];
        const struct nsp_pkt *pkt = &slot->pkt;

        ret[i] = (struct nsp_memory_frame){
            .data = pkt->data,
            .bytes = pkt->cap_bytes,
            .wire_bytes = pkt->wire_bytes,
            .at_ns = slot->at_ns,
            .direction = pkt->direction,
            .hook = pkt->hook,
            .csum = pkt->csum,
            .injected = slot->injected,
            .in_ifindex = pkt->in_ifindex,
            .out_ifindex = pkt->out_ifindex,
        };
    }
    return q->lent_count;
}
