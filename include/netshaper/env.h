#ifndef NETSHAPER_ENV_H
#define NETSHAPER_ENV_H
#include <stddef.h>
#include <stdint.h>

#include "netshaper/api.h"

NSP_BEGIN_DECLS

/* What a library takes from its surroundings, handed in by whoever uses it.
 * Each is copied; 'context' must outlive the object that was given it. */

/* Memory. 'alloc' returns 'bytes' zeroed bytes aligned for any type, or NULL;
 * 'release' takes what it returned, or NULL. Both may be called from any
 * thread, never between start and stop of a loop. */
struct nsp_allocator {
    void *(*alloc)(void *context, size_t bytes);
    void (*release)(void *context, void *memory);
    void *context;
};

/* The C library's memory, for tables that packets look up at random places:
 * blocks of 2 MiB and more lie in large pages where the system grants them, and
 * hold their pages from the start, so that no packet waits for one. Good for as
 * long as the program runs. */
NSP_API const struct nsp_allocator *nsp_large_page_allocator(void);

/* Time: nanoseconds that never go backwards, from any origin. Called from every
 * worker at once. */
struct nsp_clock {
    uint64_t (*now_ns)(void *context);
    void *context;
};

enum nsp_log_level {
    NSP_LOG_ERROR = 0,
    NSP_LOG_WARNING,
    NSP_LOG_INFO,
    NSP_LOG_DEBUG,
};

/* A sink for messages of one line, without a newline. May be called from any
 * thread, never from the loop's hot path. Must not call the engine that it
 * serves: it may be called with the engine's lock held. */
struct nsp_log_sink {
    void (*write)(void *context, enum nsp_log_level level, const char *message);
    void *context;
};

NSP_END_DECLS
#endif /* NETSHAPER_ENV_H */
