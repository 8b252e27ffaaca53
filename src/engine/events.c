#include "engine/events.h"

#include <errno.h>
#include <string.h>

#include "netshaper/io.h"
#include "netshaper/policy.h"

/* What every record begins with; all of one that says nothing. */
struct mark {
    uint32_t bytes; /* Of all of the record, padding too. */
    uint8_t kind;   /* enum nsp_event_kind; 0 says nothing. */
    uint8_t direction, hook, link;
};

/* In front of the packet's bytes. */
struct record {
    struct mark mark;
    uint16_t flags;
    uint32_t in_ifindex, out_ifindex;
    uint32_t wire_bytes, cap_bytes;
    uint64_t at_ns;
    char rule[NSP_NAME_MAX + 1];
};

_Static_assert(sizeof(struct mark) <= NSP_EVENT_ALIGN,
               "what is left before the end has room for a mark");
_Static_assert(sizeof(struct record) % NSP_EVENT_ALIGN == 0,
               "a record's bytes begin aligned");
_Static_assert(sizeof(struct record) + NSP_EVENT_CAPTURE_BYTES <=
                   NSP_EVENT_RING_BYTES / 2,
               "the longest event fits an empty ring wherever it begins");

int
nsp_event_ring_init(struct nsp_event_ring *ring, uint32_t capacity,
                    const struct nsp_allocator *allocator)
{
    assert(capacity >= NSP_EVENT_ALIGN && (capacity & (capacity - 1)) == 0);

    *ring = (struct nsp_event_ring){ .mask = capacity - 1,
                                     .allocator = *allocator };
    ring->bytes = nsp_alloc(allocator, capacity, 1);
    return ring->bytes ? 0 : -ENOMEM;
}

void
nsp_event_ring_fini(struct nsp_event_ring *ring)
{
    if (!ring->bytes)
        return;
    nsp_release(&ring->allocator, ring->bytes);
    ring->bytes = NULL;
}

/* The bytes that may be written at 'tail', looking at the other side when fewer
 * than 'wanted' were free. */
static uint32_t
room_at(struct nsp_event_ring *ring, uint32_t tail, uint32_t wanted)
{
    uint32_t room = ring->mask + 1 - (tail - ring->head_seen);

    if (room >= wanted)
        return room;
    /* Pairs with the release in pop: bytes before 'head' were read. */
    ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
    return ring->mask + 1 - (tail - ring->head_seen);
}

static void
write_record(uint8_t *at, const struct nsp_event *event, uint32_t bytes)
{
    struct record record = {
        .mark = { .bytes = bytes,
                  .kind = event->kind,
                  .direction = event->direction,
                  .hook = event->hook,
                  .link = event->link },
        .flags = event->flags,
        .in_ifindex = event->in_ifindex,
        .out_ifindex = event->out_ifindex,
        .wire_bytes = event->wire_bytes,
        .cap_bytes = event->cap_bytes,
        .at_ns = event->at_ns,
    };
    size_t name_bytes = strlen(event->rule);

    assert(name_bytes <= NSP_NAME_MAX);
    memcpy(record.rule, event->rule, name_bytes);
    memcpy(at, &record, sizeof record);
    if (event->cap_bytes > 0)
        memcpy(at + sizeof record, event->data, event->cap_bytes);
}

bool
nsp_event_ring_push(struct nsp_event_ring *ring, const struct nsp_event *event)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint32_t to_end = ring->mask + 1 - (tail & ring->mask);
    uint32_t bytes = (uint32_t)sizeof(struct record) + event->cap_bytes;
    uint32_t skipped;

    bytes = (bytes + NSP_EVENT_ALIGN - 1) & ~(NSP_EVENT_ALIGN - 1);
    skipped = to_end < bytes ? to_end : 0;
    if (room_at(ring, tail, skipped + bytes) < skipped + bytes)
        return false;
    if (skipped > 0) {
        const struct mark nothing = { .bytes = skipped };

        memcpy(ring->bytes + (tail & ring->mask), &nothing, sizeof nothing);
        tail += skipped;
    }
    write_record(ring->bytes + (tail & ring->mask), event, bytes);
    /* The bytes must be seen before the index that covers them. */
    atomic_store_explicit(&ring->tail, tail + bytes, memory_order_release);
    return true;
}

/* Whether something is at 'head'. */
static bool
holds_at(struct nsp_event_ring *ring, uint32_t head)
{
    if (ring->tail_seen == head) {
        /* Pairs with the release in push: bytes before 'tail' are written. */
        ring->tail_seen =
            atomic_load_explicit(&ring->tail, memory_order_acquire);
    }
    return ring->tail_seen != head;
}

/* The record that is 'head' or, after what says nothing, begins the ring. */
static const struct record *
record_at(const struct nsp_event_ring *ring, uint32_t *head)
{
    /* Records are aligned as the allocator's memory is. */
    const void *at = ring->bytes + (*head & ring->mask);
    struct mark mark;

    memcpy(&mark, at, sizeof mark);
    if (mark.kind != 0)
        return at;
    *head += mark.bytes;
    return (const void *)(ring->bytes + (*head & ring->mask));
}

bool
nsp_event_ring_peek(struct nsp_event_ring *ring, struct nsp_event *ret)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    const struct record *record;

    if (!ring->bytes || !holds_at(ring, head))
        return false;
    record = record_at(ring, &head);
    *ret = (struct nsp_event){
        .kind = record->mark.kind,
        .direction = record->mark.direction,
        .hook = record->mark.hook,
        .link = record->mark.link,
        .flags = record->flags,
        .in_ifindex = record->in_ifindex,
        .out_ifindex = record->out_ifindex,
        .wire_bytes = record->wire_bytes,
        .cap_bytes = record->cap_bytes,
        .at_ns = record->at_ns,
        .rule = record->rule,
        .data = (const uint8_t *)(record + 1),
    };
    return true;
}

void
nsp_event_ring_pop(struct nsp_event_ring *ring)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    const struct record *record = record_at(ring, &head);

    /* The reads must be done before the producer may reuse the bytes. */
    atomic_store_explicit(&ring->head, head + record->mark.bytes,
                          memory_order_release);
}

/* --- The rings of a session ------------------------------------------------
 */

struct nsp_events {
    struct nsp_allocator allocator;
    uint32_t count;
    struct nsp_event_ring rings[NSP_IO_QUEUES_MAX];
};

int
nsp_events_create(uint32_t workers, uint32_t ring_bytes,
                  const struct nsp_allocator *allocator,
                  struct nsp_events **ret)
{
    struct nsp_events *events = nsp_alloc(allocator, 1, sizeof *events);

    assert(workers <= NSP_IO_QUEUES_MAX);
    if (!events)
        return -ENOMEM;
    events->allocator = *allocator;
    for (; events->count < workers; events->count++) {
        if (nsp_event_ring_init(&events->rings[events->count], ring_bytes,
                                allocator) < 0) {
            nsp_events_destroy(events);
            return -ENOMEM;
        }
    }
    *ret = events;
    return 0;
}

struct nsp_events *
nsp_events_destroy(struct nsp_events *events)
{
    struct nsp_allocator allocator;

    if (!events)
        return NULL;
    allocator = events->allocator;
    for (uint32_t i = 0; i < events->count; i++)
        nsp_event_ring_fini(&events->rings[i]);
    nsp_release(&allocator, events);
    return NULL;
}

struct nsp_event_ring *
nsp_events_ring(struct nsp_events *events, uint32_t worker)
{
    return &events->rings[worker];
}

/* The ring whose oldest event came first, NULL when all are empty. */
static struct nsp_event_ring *
oldest(struct nsp_events *events, struct nsp_event *ret)
{
    struct nsp_event_ring *found = NULL;
    struct nsp_event event;

    for (uint32_t i = 0; i < events->count; i++) {
        if (!nsp_event_ring_peek(&events->rings[i], &event) ||
            (found && event.at_ns >= ret->at_ns))
            continue;
        found = &events->rings[i];
        *ret = event;
    }
    return found;
}

uint32_t
nsp_events_read(struct nsp_events *events, nsp_event_fn *fn, void *context,
                uint32_t max)
{
    struct nsp_event_ring *ring;
    struct nsp_event event;
    uint32_t count = 0;

    for (; count < max && (ring = oldest(events, &event)) != NULL; count++) {
        fn(context, &event);
        nsp_event_ring_pop(ring);
    }
    return count;
}
