#ifndef NSP_SHAPE_RATE_PLAN_H
#define NSP_SHAPE_RATE_PLAN_H
#include "base/memory.h"
#include "netshaper/policy.h"

/* How fast a link is over time, from its start on: a schedule of rates and
 * ramps, or a trace of opportunities.
 *
 * Schedule  Segments one after another, each of one rate or of a rate that
 *     changes evenly. A ramp is made of up to 1000 steps, at least 1 ms each,
 *     that carry as much together as the ramp. After the last segment they
 *     begin anew or, without 'repeat', the last rate holds for good. A rate may
 *     be 0: nothing passes.
 * Trace     At each opportunity up to 'opportunity_bytes' leave at once: of a
 *     packet that is under way and those that wait behind it. What none waits
 *     for is lost. A packet has left with its last byte. After 'period_ns' the
 *     trace begins anew; the last opportunity is at its end. (Mahimahi's
 *     semantics, with bytes as it counts them: IP and 4 more.)
 *
 * Units    _ns from the link's start, _bitps, _bytes.
 * Ownership  create gives one reference, the last unref frees.
 * Threads    Immutable: any number of links may share one.
 * Cost     Memory of 16 bytes for each step or 8 for each opportunity. */
struct nsp_rate_plan;

/* What is wrong with 'cfg', NULL when nothing is. Static storage. */
const char *nsp_rate_plan_fault(const struct nsp_rate_plan_config *cfg);

/* Returns 0, -EINVAL where nsp_rate_plan_fault() finds one, or -ENOMEM. The
 * plan copies what 'cfg' points to. */
int nsp_rate_plan_create(const struct nsp_rate_plan_config *cfg,
                         const struct nsp_allocator *allocator,
                         struct nsp_rate_plan **ret) NSP_MUSTCHECK;
struct nsp_rate_plan *nsp_rate_plan_ref(struct nsp_rate_plan *plan);
/* 'plan' may be NULL. Always returns NULL. */
struct nsp_rate_plan *nsp_rate_plan_unref(struct nsp_rate_plan *plan);

/* A hash of what the plan does; never 0. */
uint64_t nsp_rate_plan_identity(const struct nsp_rate_plan *plan);

/* The mean rate of one period, at least 1: what a queue limit in time is
 * counted with. */
uint64_t nsp_rate_plan_mean_bitps(const struct nsp_rate_plan *plan);

/* --- A link --------------------------------------------------------------- */

/* When a link is free, exactly. Fields are its own. Of a constant rate where
 * 'plan' is NULL. */
struct nsp_serialiser {
    const struct nsp_rate_plan *plan;
    uint64_t rate_bitps;        /* Of the current step. */
    uint64_t start_ns;          /* Time 0 of the plan. */
    uint64_t free_ns, free_rem; /* Free from free_ns + free_rem / rate_bitps. */
    uint64_t step_end_ns;
    uint32_t next;       /* Step that it is in, or opportunity to come. */
    uint64_t base_ns;    /* When the period of that opportunity begins. */
    uint64_t last_ns;    /* The opportunity taken last. */
    uint64_t left_bytes; /* Of that. */
};

/* A link of 'rate_bitps' that is free, or of 'plan' from 'start_ns' on. */
void nsp_serialiser_init(struct nsp_serialiser *s, uint64_t rate_bitps,
                         const struct nsp_rate_plan *plan, uint64_t start_ns);

/* No departure is never; the last is merely centuries away. */
#define NSP_SERIALISER_LAST_NS (NSP_TIME_NEVER - 1)

/* When the last byte sent has left; never early, so between two nanoseconds the
 * later one. */
static inline uint64_t
nsp_serialiser_free_ns(const struct nsp_serialiser *s)
{
    return nsp_min_u64(nsp_add_sat_u64(s->free_ns, s->free_rem != 0),
                       NSP_SERIALISER_LAST_NS);
}

/* Says that nothing waits until 'now_ns'. */
static inline void
nsp_serialiser_idle(struct nsp_serialiser *s, uint64_t now_ns)
{
    if (now_ns > s->free_ns) {
        s->free_ns = now_ns;
        s->free_rem = 0;
    }
}

/* Sends 'bytes', 1..INT32_MAX, as soon as the link is free, and returns when
 * they have left, as nsp_serialiser_free_ns() does. Cost: constant; with a
 * schedule, linear in the steps that it takes, at most two periods of them. */
uint64_t nsp_serialiser_send(struct nsp_serialiser *s, uint64_t bytes);

#endif /* NSP_SHAPE_RATE_PLAN_H */
