#ifndef NSP_IO_MEMORY_QUEUE_H
#define NSP_IO_MEMORY_QUEUE_H
#include <stdatomic.h>

#include "base/memory.h"
#include "base/ring.h"
#include "netshaper/io.h"
#include "netshaper/memory.h"
#include "os/os.h"

/* One queue of the memory backend, shared by three threads.
 *
 * Problem   A pusher, an engine worker and a popper pass frames round without
 *           locks; the worker also gives frames back (drops) and takes its own
 *           (injections).
 * Idea      A ring for each pair of threads that meet, so that every ring has
 *           one producer and one consumer:
 *
 *               pusher  --rx-->  worker  --tx-->  popper
 *               pusher  <--dropped--  worker  <--spare--  popper
 *               pusher  <------------free---------------  popper
 *
 *           Pushed frames live in free, rx, tx, dropped; injected ones in
 *           spare and tx. With 'repeat' the worker keeps what it sends in
 *           'again', which no other thread sees.
 * Invariant Each ring holds all frames that can ever be in it, so no push to a
 *           ring fails.
 * Sleeping  The worker sets 'sleeping', then looks at rx; the pusher fills rx,
 *           then takes 'sleeping' down, and makes the system call only if it
 *           was up. Every step on 'sleeping' reads and writes it (exchange,
 *           acq_rel), so of any two the later one sees what came before the
 *           earlier: either the worker finds the frame, or the pusher finds
 *           the worker asleep. */
struct nsp_memory_slot {
    struct nsp_pkt pkt;         /* First: rings carry it as either. */
    uint32_t bytes, wire_bytes; /* As pushed, for the next round. */
    uint64_t at_ns; /* Arrival until sent, then the time of sending. */
    uint8_t *buffer;
    uint8_t csum; /* As pushed. */
    bool injected;
};

struct nsp_memory_queue {
    /* Fixed after create. */
    struct nsp_memory_slot *slots;
    uint8_t *buffers;
    struct nsp_wakeup wakeup; /* Live only. */

    struct nsp_ring free, dropped, rx, tx, spare;

    _Alignas(NSP_CACHE_LINE) atomic_bool sleeping;
    atomic_bool quiesced;
    uint32_t stop_tail; /* Set before 'quiesced': where rx ends. */

    /* The worker's. */
    _Alignas(NSP_CACHE_LINE) void **again; /* Slots. */
    uint32_t again_mask, again_head, again_tail;
    uint64_t rx_left; /* Frames until the end of input. */
    uint64_t last_ns; /* Latest arrival handed out. */

    /* The popper's. */
    _Alignas(NSP_CACHE_LINE) void **lent;
    uint32_t lent_count;
};

struct nsp_io {
    struct nsp_memory_queue *queues;
    uint32_t queue_count;
    uint32_t frames; /* Per queue, pushed and injected each. */
    uint32_t frame_bytes;
    uint64_t repeat;
    uint8_t link;
    bool virtual_time;
    atomic_bool open; /* By an engine. */
};

/* The far side and the engine's device are one object. */
struct nsp_memory {
    struct nsp_io io;
    struct nsp_allocator allocator;
    void *queues_memory; /* 'queues' before alignment. */
};

/* Direction of travel gives the hook where nobody says. */
uint8_t nsp_memory_hook_of(uint8_t direction);

#endif /* NSP_IO_MEMORY_QUEUE_H */
