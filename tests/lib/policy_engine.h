#ifndef NSP_TESTS_LIB_POLICY_ENGINE_H
#define NSP_TESTS_LIB_POLICY_ENGINE_H
#include <pthread.h>

#include "netshaper/engine.h"

/* Engines on the memory backend for tests of policies. All fail the test where
 * something is not as it should be. */

/* A device of one queue in virtual time. */
struct nsp_memory *create_memory(void);

/* An engine on 'memory' whose policy may change. */
struct nsp_engine *create_engine(struct nsp_memory *memory,
                                 const struct nsp_policy_spec *policy);

/* Checks that in = delivered + dropped + queued. */
void check_identity(const struct nsp_stats *stats);

struct nsp_rule_stats read_rule(struct nsp_engine *engine, uint32_t index);

/* A live engine, whose policy the thread that also feeds it may change. */
struct live {
    struct nsp_memory *memory;
    struct nsp_engine *engine;
    pthread_t thread;
};

/* Starts one and has a thread run it. */
void live_begin(struct live *live, const struct nsp_policy_spec *policy);
void live_end(struct live *live);

#endif /* NSP_TESTS_LIB_POLICY_ENGINE_H */
