#ifndef NSP_CLI_STRESS_CHAOS_H
#define NSP_CLI_STRESS_CHAOS_H
#include <pthread.h>

#include "cli/stress.h"
#include "cli/stress_target.h"

/* Many threads, each doing random operations on a few engines that all share.
 *
 * What state a shared engine is in when a call reaches it, nobody knows: its
 * result must be one that some state allows. On an engine of a thread's own,
 * and on a shared one after its destruction, the result is known exactly.
 *
 * A slot holds one reference to its engine, a thread another one while it uses
 * it. Whoever destroys a slot's engine gives up the slot's and puts a new one
 * there. */
struct nsp_chaos_slot {
    pthread_mutex_t lock; /* Of 'engine'. */
    struct nsp_engine *engine;
};

struct nsp_chaos_memory {
    struct nsp_memory *memory;
    struct nsp_chaos_memory *next;
};

struct nsp_chaos_worker {
    struct nsp_chaos *chaos;
    struct nsp_chaos_slot *slot; /* Of the current operation. */
    struct nsp_memory *memory;   /* For its own engine; NULL when live. */
    uint64_t random;
    pthread_t thread;
};

struct nsp_chaos {
    const struct nsp_stress_config *cfg;
    struct nsp_stress_report *report;
    struct nsp_chaos_slot *slots;
    uint32_t slot_count;
    struct nsp_chaos_worker *workers;
    _Atomic uint32_t finished;
    pthread_mutex_t memories_lock;
    struct nsp_chaos_memory *memories;
};

/* A set of enum nsp_result. */
#define NSP_CHAOS_RESULT_MIN    NSP_NO_MEMORY
#define NSP_CHAOS_ALLOW(result) (1u << ((result)-NSP_CHAOS_RESULT_MIN))

/* Counts a failure when 'result' of 'what' is not in the set 'allowed'. */
void nsp_chaos_check(struct nsp_chaos *chaos, enum nsp_stress_failure kind,
                     const char *what, int result, unsigned allowed);

/* Stores a reference of the caller's own. */
struct nsp_engine *nsp_chaos_borrow(struct nsp_chaos_slot *slot);

/* Puts a new engine into 'slot', whose lock the caller holds, if there can be
 * another thread. */
int nsp_chaos_fill_slot(struct nsp_chaos *chaos, struct nsp_chaos_slot *slot);

int nsp_chaos_create_engine(struct nsp_chaos *chaos, struct nsp_memory *memory,
                            struct nsp_engine **ret);

uint64_t nsp_chaos_random(struct nsp_chaos_worker *worker);

/* Does one random operation (stress_chaos_ops.c). */
void nsp_chaos_do_operation(struct nsp_chaos_worker *worker);

#endif /* NSP_CLI_STRESS_CHAOS_H */
