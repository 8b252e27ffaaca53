#ifndef NSP_CLI_STRESS_H
#define NSP_CLI_STRESS_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/cli.h"
#include "cli/json.h"
#include "lab/lab.h"
#include "netshaper/engine.h"

/* The parts of 'nsp stress'. A mode does operations on engines, counts as a
 * failure every result that the table in netshaper/engine.h does not allow,
 * and leaves its numbers in a report, which also says what the process held
 * before and after: what is left over is a leak, and fails too. */

#define NSP_STRESS_FAILURES(X)                                                 \
    X(NSP_STRESS_CREATE, "create")                                             \
    X(NSP_STRESS_START, "start")                                               \
    X(NSP_STRESS_RUN, "run")                                                   \
    X(NSP_STRESS_POLICY, "policy")                                             \
    X(NSP_STRESS_STOP, "stop")                                                 \
    X(NSP_STRESS_DESTROY, "destroy")                                           \
    X(NSP_STRESS_READ, "read-stats")                                           \
    X(NSP_STRESS_DISPOSED, "use-after-destroy")                                \
    X(NSP_STRESS_TRAFFIC, "traffic")                                           \
    X(NSP_STRESS_ACCOUNTING, "accounting")                                     \
    X(NSP_STRESS_ALLOCATION, "allocation")                                     \
    X(NSP_STRESS_STUCK, "stuck")                                               \
    X(NSP_STRESS_LEAK, "leak")

enum nsp_stress_failure {
#define NSP_STRESS_ENUM(id, name) id,
    NSP_STRESS_FAILURES(NSP_STRESS_ENUM)
#undef NSP_STRESS_ENUM
        NSP_STRESS_FAILURE_KINDS
};

/* What the process holds (stress_resources.c). -1: cannot be known here. */
struct nsp_stress_resources {
    int64_t threads, descriptors, rss_bytes, nft_tables;
};

void nsp_stress_read_resources(struct nsp_stress_resources *ret);

/* The same before the work begins, once a first thread has come and gone: what
 * a runtime such as a sanitizer's starts with it stays. */
void nsp_stress_read_before(struct nsp_stress_resources *ret);

/* The same after work that ended: waits a moment for threads that were joined
 * but that the kernel still lists. */
void nsp_stress_settle(const struct nsp_stress_resources *before,
                       struct nsp_stress_resources *ret);

/* An allocator that counts, for an engine's config. */
struct nsp_stress_heap {
    _Atomic uint64_t allocations, releases;
};

struct nsp_allocator nsp_stress_allocator(struct nsp_stress_heap *heap);

/* Percentiles of a latency, in ns. */
struct nsp_stress_latency {
    uint64_t samples, p50_ns, p90_ns, p99_ns, p999_ns, max_ns;
};

/* A time spent per operation, by step. */
struct nsp_stress_step {
    const char *name;
    uint64_t total_ns;
};
#define NSP_STRESS_STEPS_MAX 8

struct nsp_stress_report {
    const char *mode, *backend;
    uint64_t seed;
    double seconds;
    uint64_t asked; /* Operations, or seconds when it measures. */
    const char *asked_unit;
    bool interrupted; /* Before all that was asked was done. */
    _Atomic uint64_t operations;
    _Atomic uint64_t failures[NSP_STRESS_FAILURE_KINDS];
    /* The first of each kind; written by whoever counted from 0 to 1. */
    char first_failures[NSP_STRESS_FAILURE_KINDS][192];
    struct nsp_stress_resources before, after;
    struct nsp_stress_heap heap;

    uint32_t step_count; /* Of stability. */
    struct nsp_stress_step steps[NSP_STRESS_STEPS_MAX];

    bool has_performance;
    double pkts_per_s, bits_per_s;
    uint64_t loop_allocations; /* Between start and stop. */
    struct nsp_stress_latency latency;
};

struct nsp_stress_config {
    struct nsp_cli *cli;
    bool live;           /* nfqueue in the lab; else memory. */
    struct nsp_lab *lab; /* When live. */
    uint64_t seed;
    uint64_t cycles;  /* Stability. */
    double seconds;   /* Performance. */
    uint32_t workers; /* Chaos: threads. */
    uint64_t ops;     /* Chaos: of each. */
};

/* Counts a failure and keeps the text of the first of its kind. Any thread. */
void nsp_stress_fail(struct nsp_stress_report *report,
                     enum nsp_stress_failure kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

uint64_t nsp_stress_failure_count(const struct nsp_stress_report *report);

/* Whether nothing failed, and all that was asked was done. */
bool nsp_stress_ok(const struct nsp_stress_report *report);

/* Prints the report as text or JSON. */
void nsp_stress_print(const struct nsp_cli *cli,
                      const struct nsp_stress_report *report);

/* Redraws a bar on standard error, when that is a terminal. */
void nsp_stress_progress(uint64_t done, uint64_t all);
void nsp_stress_progress_end(void);

/* --- Modes: each fills 'report'. Returns NSP_OK, or a negative result with
 * 'reterr' filled when it cannot begin. ----------------------------------- */

typedef int nsp_stress_mode_fn(const struct nsp_stress_config *cfg,
                               struct nsp_stress_report *report,
                               struct nsp_diag *reterr);

nsp_stress_mode_fn nsp_stress_stability, nsp_stress_performance,
    nsp_stress_chaos;

#endif /* NSP_CLI_STRESS_H */
