#ifndef NSP_ENGINE_STATS_H
#define NSP_ENGINE_STATS_H
#include <stdatomic.h>

#include "base/base.h"
#include "netshaper/stats.h"

/* A set of counters that one thread writes and any thread reads as one instant.
 *
 * Problem      in = delivered + dropped + queued must hold in every reading, so
 *              a reader must not see half of a burst; and a writer must never
 *              wait for a reader.
 * Idea         The writer counts in plain memory of its own and publishes the
 *              whole set after each burst under a sequence number, odd while it
 *              is at it (a seqlock). A reader retries until it saw one even
 *              number before and after.
 * Fences       Words are stored with release order, so that the odd number is
 *              seen before any of them; loaded with acquire order, so that the
 *              second look at the number comes after all of them.
 * Threads      publish by one thread; read by any. */
#define NSP_COUNTERS_MAX 64u

struct nsp_counters {
    char pad[NSP_CACHE_LINE]; /* From what the writer works on. */
    _Atomic uint32_t sequence;
    _Atomic uint64_t words[NSP_COUNTERS_MAX];
};

/* 'words' is any struct of at most NSP_COUNTERS_MAX uint64_t. */
static inline void
nsp_counters_publish(struct nsp_counters *counters, const uint64_t *words,
                     uint32_t count)
{
    uint32_t sequence =
        atomic_load_explicit(&counters->sequence, memory_order_relaxed);

    atomic_store_explicit(&counters->sequence, sequence + 1,
                          memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++)
        atomic_store_explicit(&counters->words[i], words[i],
                              memory_order_release);
    atomic_store_explicit(&counters->sequence, sequence + 2,
                          memory_order_release);
}

static inline void
nsp_counters_read(const struct nsp_counters *counters, uint64_t *ret,
                  uint32_t count)
{
    uint32_t before, after;

    do {
        before =
            atomic_load_explicit(&counters->sequence, memory_order_acquire);
        for (uint32_t i = 0; i < count; i++)
            ret[i] =
                atomic_load_explicit(&counters->words[i], memory_order_acquire);
        after = atomic_load_explicit(&counters->sequence, memory_order_relaxed);
    } while (before != after || (before & 1) != 0);
}

/* What one worker counts; a prefix of the public set, which has only words. */
#define NSP_STATS_WORDS                                                        \
    ((uint32_t)(sizeof(struct nsp_stats) / sizeof(uint64_t)))

/* What one worker counts for one rule or class. */
struct nsp_rule_counters {
    uint64_t hit_pkts, hit_bytes, last_hit_ns;
    uint64_t in_pkts, in_bytes;
    uint64_t delivered_pkts, delivered_bytes;
    uint64_t dropped_pkts[NSP_DROP_COUNT], dropped_bytes;
    uint64_t queued_pkts, queued_bytes;
    uint64_t stages; /* Still to come of held packets, that ask the rule. */
};
#define NSP_RULE_WORDS                                                         \
    ((uint32_t)(sizeof(struct nsp_rule_counters) / sizeof(uint64_t)))

_Static_assert(sizeof(struct nsp_stats) % sizeof(uint64_t) == 0, "only words");
_Static_assert(NSP_STATS_WORDS <= NSP_COUNTERS_MAX, "room for all counters");
_Static_assert(NSP_RULE_WORDS <= NSP_COUNTERS_MAX,
               "room for a rule's counters");

/* Adds every counter of 'from' to 'to'. */
void nsp_stats_add(struct nsp_stats *to, const struct nsp_stats *from);
void nsp_rule_stats_add(struct nsp_rule_stats *to,
                        const struct nsp_rule_counters *from);
void nsp_class_stats_add(struct nsp_class_stats *to,
                         const struct nsp_rule_counters *from);

#endif /* NSP_ENGINE_STATS_H */
