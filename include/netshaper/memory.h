#ifndef NETSHAPER_MEMORY_H
#define NETSHAPER_MEMORY_H
#include <stdbool.h>
#include <stdint.h>

#include "netshaper/api.h"
#include "netshaper/packet.h"

NSP_BEGIN_DECLS

/* The far side of the memory backend: bursts in, bursts out, no kernel. The
 * program pushes frames, an engine opened on it takes them in, and what the
 * engine sends is popped.
 *
 * Ownership  create, destroy by the program; it must outlive every engine that
 *            uses it. One engine at a time. Frames are copied on push.
 * Threads    Per queue one pusher, one popper and one engine worker, which may
 *            be three different threads.
 * Time       Live: frames arrive when pushed. Virtual (virtual_time): each
 *            frame carries its arrival; the engine runs as fast as it can and
 *            ends when all frames are used up and nothing is held.
 * Cost       No allocation after create. */
struct nsp_memory;

struct nsp_memory_config {
    uint32_t queues;      /* 1..NSP_IO_QUEUES_MAX, as many as the engine has
                           * workers; 0 is 1. */
    uint32_t frames;      /* Per queue, a power of two <= 2^20; 0 is 4096. The
                           * engine has as many again for what it injects. */
    uint32_t frame_bytes; /* Room for one frame, <= 65600; 0 is 2048. */
    uint8_t link;         /* enum nsp_link of every frame. */
    bool virtual_time;
    uint64_t repeat; /* Frames handed to the engine per queue before the
                      * end of input, sent ones coming round again; 0:
                      * each once. For benchmarks: sent frames, injected
                      * ones too, are not popped; edited bytes stay
                      * edited. With virtual_time the end of input ends
                      * the run; live, the program stops it. */
    const struct nsp_allocator *allocator; /* NULL is the C library's. */
};

struct nsp_memory_frame {
    const uint8_t *data;
    uint32_t bytes;
    uint32_t wire_bytes; /* 0 is 'bytes'. */
    uint64_t at_ns;      /* Push: arrival in virtual time, not before the last
                          * one's. Pop: when sent. */
    uint8_t direction;   /* enum nsp_direction. */
    uint8_t hook;  /* enum nsp_hook; 0 chooses by direction: inbound INPUT,
                    * outbound OUTPUT, none FORWARD. */
    uint8_t csum;  /* enum nsp_csum. */
    bool injected; /* Pop: made by the engine. */
    uint32_t in_ifindex, out_ifindex;
};

/* Creates an empty device. On success stores it in '*ret' and returns NSP_OK,
 * else NSP_INVALID_PARAMETER or NSP_NO_MEMORY (descriptors included). */
NSP_API int nsp_memory_create(const struct nsp_memory_config *cfg,
                              struct nsp_memory **ret) NSP_MUSTCHECK;
/* Frees 'memory', which may be NULL; no engine uses it any more. Always returns
 * NULL. */
NSP_API struct nsp_memory *nsp_memory_destroy(struct nsp_memory *memory);

/* Pushes a prefix of 'frames' to 'queue' and returns its length: less than 'n'
 * when all frame buffers are in use or a frame is too long. Wakes the engine
 * where it sleeps. */
NSP_API uint32_t nsp_memory_push_burst(struct nsp_memory *memory,
                                       uint32_t queue,
                                       const struct nsp_memory_frame frames[],
                                       uint32_t n) NSP_MUSTCHECK;

/* Stores up to 'max' frames sent on 'queue', in order, and returns how many.
 * Their bytes stay valid until the next pop on the queue. */
NSP_API uint32_t nsp_memory_pop_burst(struct nsp_memory *memory, uint32_t queue,
                                      struct nsp_memory_frame ret[],
                                      uint32_t max);

NSP_END_DECLS
#endif /* NETSHAPER_MEMORY_H */
