#ifndef NSP_BASE_COUNTER_H
#define NSP_BASE_COUNTER_H
#include <stdatomic.h>
#include <stdint.h>

/* A counter that one thread writes, without a locked instruction, and any
 * thread reads. Each reading is whole; those of several counters are not one
 * instant. */

static inline void
nsp_counter_add(_Atomic uint64_t *counter, uint64_t n)
{
    uint64_t before = atomic_load_explicit(counter, memory_order_relaxed);

    atomic_store_explicit(counter, before + n, memory_order_relaxed);
}

static inline uint64_t
nsp_counter_read(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

#endif /* NSP_BASE_COUNTER_H */
