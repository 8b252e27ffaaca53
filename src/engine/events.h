#ifndef NSP_ENGINE_EVENTS_H
#define NSP_ENGINE_EVENTS_H
#include <stdatomic.h>

#include "base/memory.h"
#include "netshaper/event.h"

/* A lock-free ring of events for one producer and one consumer thread.
 *
 * Problem      A worker reports packets, of any length, to whoever reads,
 *              without a lock, an allocation or a wait.
 * Idea         A ring of bytes with free-running indices. A record is in one
 *              piece, so that a reader gets a pointer into the ring; what is
 *              left before the end, when it is too short, is filled by a record
 *              that says nothing. What does not fit is refused.
 * Invariants   0 <= tail - head <= capacity; both, and every record's length,
 *              are multiples of NSP_EVENT_ALIGN. The producer writes a record,
 *              then releases 'tail'; the consumer acquires 'tail', reads, then
 *              releases 'head', so no byte is rewritten before it was read.
 *              A record is at most half the ring, so one fits an empty ring
 *              wherever that begins.
 * Threads      push by one thread, peek and pop by one thread, at the same
 *              time. */
#define NSP_EVENT_ALIGN 8u

struct nsp_event_ring {
    uint8_t *bytes; /* NULL: no ring; nothing may be pushed. */
    uint32_t mask;
    struct nsp_allocator allocator;

    /* Padding, not alignment: rings live in memory of any allocator. */
    char pad_tail[NSP_CACHE_LINE];
    _Atomic uint32_t tail; /* The producer's. */
    uint32_t head_seen;

    char pad_head[NSP_CACHE_LINE];
    _Atomic uint32_t head; /* The consumer's. */
    uint32_t tail_seen;
    char pad_end[NSP_CACHE_LINE];
};

/* 'capacity' is a power of two. Returns 0 or -ENOMEM. */
int nsp_event_ring_init(struct nsp_event_ring *ring, uint32_t capacity,
                        const struct nsp_allocator *allocator) NSP_MUSTCHECK;

/* Accepts a zeroed ring, and leaves one. */
void nsp_event_ring_fini(struct nsp_event_ring *ring);

/* Copies 'event', whose rule's name has at most NSP_NAME_MAX bytes. Returns
 * false when there is no room: nothing was written. */
bool nsp_event_ring_push(struct nsp_event_ring *ring,
                         const struct nsp_event *event) NSP_MUSTCHECK;

/* Stores the oldest event in '*ret', its pointers into the ring, or returns
 * false when there is none. */
bool nsp_event_ring_peek(struct nsp_event_ring *ring, struct nsp_event *ret);

/* Takes away the event that peek has shown. */
void nsp_event_ring_pop(struct nsp_event_ring *ring);

/* --- The rings of a session, one for each worker -------------------------- */

struct nsp_events;

/* Of 'ring_bytes' each. Returns 0 or -ENOMEM. */
int nsp_events_create(uint32_t workers, uint32_t ring_bytes,
                      const struct nsp_allocator *allocator,
                      struct nsp_events **ret) NSP_MUSTCHECK;
/* Frees 'events', which may be NULL. Always returns NULL. */
struct nsp_events *nsp_events_destroy(struct nsp_events *events);

struct nsp_event_ring *nsp_events_ring(struct nsp_events *events,
                                       uint32_t worker);

/* Hands up to 'max' events to 'fn', the one that came first of those that are
 * there first, and returns how many. One thread at a time. */
uint32_t nsp_events_read(struct nsp_events *events, nsp_event_fn *fn,
                         void *context, uint32_t max);

#endif /* NSP_ENGINE_EVENTS_H */
