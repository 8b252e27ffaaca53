#ifndef NSP_ENGINE_RATE_STORE_H
#define NSP_ENGINE_RATE_STORE_H
#include "engine/ruleset.h"
#include "engine/state.h"

/* The plans of rates that workers' queues may still follow.
 *
 * Problem    A queue follows a plan from when a worker takes a policy up until
 *            it takes up another that changes it, and longer where the class is
 *            in no policy any more and still holds packets. A worker must not
 *            free it.
 * Idea       The control side holds a reference to every plan that it publishes
 *            and gives up, at the next change of policy, those that no queue
 *            follows. It can tell once every worker has taken up the last one:
 *            until it publishes the next, no queue changes its plan.
 *
 * Threads    The control side's, under the engine's gate. */
struct nsp_rate_store {
    struct nsp_rate_plan **plans;
    uint32_t count, capacity;
};

/* Holds the plans of 'ruleset'. Returns 0 or -ENOMEM. */
int nsp_rate_store_keep(struct nsp_rate_store *store,
                        const struct nsp_ruleset *ruleset,
                        const struct nsp_allocator *allocator) NSP_MUSTCHECK;

/* Gives up the plans that 'is_used' does not keep. */
void nsp_rate_store_sweep(struct nsp_rate_store *store,
                          bool (*is_used)(const void *context,
                                          const struct nsp_rate_plan *plan),
                          const void *context);

void nsp_rate_store_fini(struct nsp_rate_store *store,
                         const struct nsp_allocator *allocator);

#endif /* NSP_ENGINE_RATE_STORE_H */
