#ifndef NSP_TESTS_LIB_ENGINE_RUN_H
#define NSP_TESTS_LIB_ENGINE_RUN_H
#include "netshaper/engine.h"

/* One run of the whole engine on the memory backend, in virtual time. */
#define RUN_MAX         4096
#define RUN_FRAME_BYTES 1600

#define MS  UINT64_C(1000000)
#define SEC UINT64_C(1000000000)

struct run {
    struct nsp_stats stats;
    struct nsp_memory_frame out[RUN_MAX]; /* 'data' is in 'bytes'. */
    uint8_t bytes[RUN_MAX][RUN_FRAME_BYTES];
    uint32_t tags[RUN_MAX];
    uint8_t ttls[RUN_MAX];
    uint32_t count;
};

/* A device in virtual time with the usual sizes. */
struct nsp_memory *run_memory(void);

/* All reasons together. */
uint64_t run_dropped(const struct nsp_stats *stats);

/* Fails the test unless what came in is accounted for. */
void run_check_identity(const struct nsp_stats *stats);

/* Runs what was pushed to 'memory', which is destroyed, through 'cfg', which
 * names no backend yet, until all is out. */
void run_all(struct nsp_memory *memory, struct nsp_engine_config cfg,
             const char *filter, struct run *ret);

/* The same through one rule, with seed 1. */
void run_rule(struct nsp_memory *memory, struct nsp_rule rule, struct run *ret);

#endif /* NSP_TESTS_LIB_ENGINE_RUN_H */
