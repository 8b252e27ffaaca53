#ifndef NSP_ENGINE_STATE_H
#define NSP_ENGINE_STATE_H
#include "base/memory.h"
#include "base/prng.h"
#include "engine/effects.h"
#include "engine/slots.h"
#include "engine/stats.h"
#include "shape/bottleneck.h"
#include "shape/policer.h"
#include "shape/wheel.h"

/* What one worker remembers of rules and classes, by slot.
 *
 * Threads  The worker's, once a snapshot that names the slot was published; the
 *          control side's before, and after every worker has left the last one
 *          that did. Any thread may read what was published. */

/* Counters of the worker's own, and the copy that others read. */
struct nsp_tally {
    struct nsp_rule_counters counted;
    bool changed; /* Since it was last published. */
    struct nsp_tally *next_changed;
    struct nsp_counters published;
};

enum nsp_rule_limit_kind {
    NSP_RULE_POLICES = 0,
    NSP_RULE_LOGS,
    NSP_RULE_LIMITS,
};

/* A policer, or with several workers its part in a bucket that is the first
 * worker's. */
struct nsp_rule_limit {
    struct nsp_policer policer;
    struct nsp_lease lease;
    struct nsp_shared_bucket bucket;
};

struct nsp_rule_state {
    struct nsp_tally tally;
    char name[NSP_NAME_MAX + 1];
    uint64_t stream;        /* Of random numbers. */
    uint64_t key;           /* Of those of single packets. */
    struct nsp_prng random; /* The worker's, for one after the other. */
    struct nsp_effects_state effects;
    struct nsp_rule_limit limits[NSP_RULE_LIMITS];
    uint64_t left_ns; /* The last packet that left in order. */
};

/* The queue of a class in one direction, in front of its serialiser. */
struct nsp_class_queue {
    struct nsp_wheel_node timer; /* In the worker's 'serialisers'. */
    struct nsp_bottleneck *bottleneck;
    struct nsp_class_state *of;
    bool armed;
};

struct nsp_class_state {
    struct nsp_tally tally;
    uint32_t slot;
    struct nsp_link_rate link;
    struct nsp_rate_plan *plan; /* NULL: a constant rate. The session keeps it
                                 * alive. */
    bool begun;                 /* The time of the plan has, */
    uint64_t start_ns;          /* then. */
    struct nsp_class_queue queues[NSP_DIRECTIONS];
};

/* --- Stores --------------------------------------------------------------- */

#define NSP_STATE_CHUNK  32u
#define NSP_STATE_CHUNKS (NSP_SLOTS_MAX / NSP_STATE_CHUNK)

/* Chunks never move, so the worker may use what it has while more is made. */
struct nsp_state_store {
    struct nsp_rule_state *rules[NSP_STATE_CHUNKS];
    struct nsp_class_state *classes[NSP_STATE_CHUNKS];
};

static inline struct nsp_rule_state *
nsp_state_rule(const struct nsp_state_store *store, uint32_t slot)
{
    return &store->rules[slot / NSP_STATE_CHUNK][slot % NSP_STATE_CHUNK];
}

static inline struct nsp_class_state *
nsp_state_class(const struct nsp_state_store *store, uint32_t slot)
{
    return &store->classes[slot / NSP_STATE_CHUNK][slot % NSP_STATE_CHUNK];
}

/* Prepares the state of a slot that was given to a new 'name', for random
 * numbers of 'seed' on worker 'queue'. Returns 0 or -ENOMEM. */
int nsp_state_begin_rule(struct nsp_state_store *store, uint32_t slot,
                         const char *name, uint64_t seed, uint32_t queue,
                         const struct nsp_allocator *allocator) NSP_MUSTCHECK;
int nsp_state_begin_class(struct nsp_state_store *store, uint32_t slot,
                          const struct nsp_link_rate *link,
                          struct nsp_rate_plan *plan,
                          const struct nsp_allocator *allocator) NSP_MUSTCHECK;

/* Gives a class another rate and queue; what waits stays. A plan that does the
 * same as the one before goes on. */
void nsp_state_set_link(struct nsp_class_state *state, uint64_t now_ns,
                        const struct nsp_link_rate *link,
                        struct nsp_rate_plan *plan);

void nsp_state_fini(struct nsp_state_store *store,
                    const struct nsp_allocator *allocator);

/* Whether a queue follows 'plan'. */
bool nsp_state_follows(const struct nsp_state_store *store,
                       const struct nsp_rate_plan *plan);

/* Whether held packets still need the slot's rule, or class, as last published.
 */
bool nsp_state_rule_is_used(const struct nsp_state_store *store, uint32_t slot);
bool nsp_state_class_is_used(const struct nsp_state_store *store,
                             uint32_t slot);

#endif /* NSP_ENGINE_STATE_H */
