#include <string.h>

#include "cli/stress_chaos.h"

#define ALLOW NSP_CHAOS_ALLOW

/* What the calls may return on an engine that others use too. */
#define START_ALLOWED                                                          \
    (ALLOW(NSP_OK) | ALLOW(NSP_ALREADY_RUNNING) | ALLOW(NSP_DISPOSED) |        \
     ALLOW(NSP_STOPPED))
#define BAD_START_ALLOWED                                                      \
    (ALLOW(NSP_INVALID_FILTER) | ALLOW(NSP_ALREADY_RUNNING) |                  \
     ALLOW(NSP_DISPOSED) | ALLOW(NSP_STOPPED))
#define RUN_ALLOWED                                                            \
    (ALLOW(NSP_STOPPED) | ALLOW(NSP_INVALID_STATE) | ALLOW(NSP_DISPOSED) |     \
     ALLOW(NSP_ABORTED))
#define STOP_ALLOWED                                                           \
    (ALLOW(NSP_OK) | ALLOW(NSP_INVALID_STATE) | ALLOW(NSP_DISPOSED))
#define SET_POLICY_ALLOWED                                                     \
    (ALLOW(NSP_OK) | ALLOW(NSP_INVALID_STATE) | ALLOW(NSP_DISPOSED))
#define CAPTURE_ALLOWED                                                        \
    (START_ALLOWED | ALLOW(NSP_NOT_FOUND) | ALLOW(NSP_BUFFER_TOO_SMALL) |      \
     ALLOW(NSP_ABORTED))

static bool
is_in(int result, unsigned set)
{
    return result >= NSP_CHAOS_RESULT_MIN && result <= NSP_STOPPED &&
           (ALLOW(result) & set);
}

void
nsp_chaos_check(struct nsp_chaos *chaos, enum nsp_stress_failure kind,
                const char *what, int result, unsigned allowed)
{
    if (!is_in(result, allowed))
        nsp_stress_fail(chaos->report, kind, "%s: %s", what,
                        nsp_result_name(result));
}

static void
check(struct nsp_chaos_worker *worker, enum nsp_stress_failure kind,
      const char *what, int result, unsigned allowed)
{
    nsp_chaos_check(worker->chaos, kind, what, result, allowed);
}

/* --- Filters ------------------------------------------------------------- */

static const char *
valid_filter(struct nsp_chaos_worker *worker)
{
    static const char *const filters[] = {
        "true",
        "udp",
        "tcp.DstPort == 443 or udp.DstPort == 53",
        "ip.SrcAddr >= 10.0.0.0 and ip.SrcAddr <= 10.255.255.255",
        "not tcp and (ip or ipv6)",
        "false",
    };

    return filters[nsp_chaos_random(worker) %
                   (sizeof filters / sizeof filters[0])];
}

/* Text that is no filter: broken ones, or random bytes after one that cannot
 * begin a token, of up to 'bytes' - 1 bytes. */
static const char *
nonsense_filter(struct nsp_chaos_worker *worker, char *scratch, size_t bytes)
{
    static const char *const filters[] = {
        "tcp and",           "((((",     "tcp.DstPort ==", "no.Such == 1",
        "udp.DstPort === 5", "\xff\xfe",

    };
    const size_t known = sizeof filters / sizeof filters[0];
    uint64_t random = nsp_chaos_random(worker);
    size_t length = 1 + (random >> 8) % (bytes - 2);

    if (random % 2)
        return filters[(random >> 8) % known];
    scratch[0] = '\x01';
    for (size_t i = 1; i < length; i++)
        scratch[i] = (char)(1 + nsp_chaos_random(worker) % 255);
    scratch[length] = '\0';
    return scratch;
}

/* --- Operations on a shared engine --------------------------------------- */

/* A start, of which a failure is worth more words than its result's name. */
static void
start(struct nsp_chaos_worker *worker, struct nsp_engine *engine,
      const char *filter, const char *what, unsigned allowed)
{
    struct nsp_diag diag = { 0 };
    int r = nsp_engine_start(engine, filter, &diag);

    if (!is_in(r, allowed))
        nsp_stress_fail(worker->chaos->report, NSP_STRESS_START, "%s: %s: %s",
                        what, nsp_result_name(r), diag.text);
}

static void
do_start(struct nsp_chaos_worker *worker, struct nsp_engine *engine)
{
    start(worker, engine, valid_filter(worker), "start", START_ALLOWED);
}

static void
do_double_start(struct nsp_chaos_worker *worker, struct nsp_engine *engine)
{
    do_start(worker, engine);
    do_start(worker, engine);
}

static void
do_start_empty(struct nsp_chaos_worker *worker, struct nsp_engine *engine)
{
    start(worker, engine, "", "start with an empty filter", BAD_START_ALLOWED);
}

static void
do_start_nonsense(struct nsp_chaos_worker *worker, struct nsp_engine *engine)
{
    char scratch[512];

    start(worker, engine, nonsense_filter(worker, scratch, sizeof scratch),
          "start with a nonsense filter", BAD_START_ALLOWED);
}

static void
do_run_for(struct nsp_chaos_worker *worker, struct nsp_engine *engine)
{
    check(worker, NSP_STRESS_RUN, "run_for",
          nsp_engine_run_for(engine, nsp_chaos_random(worker) % 200000),
          RUN_ALLOWED);
}

static void
do_run(struct nsp_chaos_worker *worker, struct nsp_engine *engine)
{
    check(worker, NSP_STRESS_RUN, "run", nsp_engine_run(engine), RUN_ALLOWED);
}

static void
do_stop(struct nsp_chaos_worker *worker, struct nsp_engine *engine)
{
    check(worker, NSP_STRESS_STOP, "stop", nsp_engine_stop(engine),
          STOP_ALLOWED);
}

static void
do_burst(struct nsp_chaos_worker *worker, struct nsp_engine *engine)
{
    for (int i = 0; i < 4; i++) {
        do_start(worker, engine);
        do_stop(worker, engine);
    }
}

static void
do_start_and_run(struct nsp_chaos_worker *worker, struct nsp_engine *engine)
{
    do_start(worker, engine);
    do_run_for(worker, engine);
}

static void
do_capture(struct nsp_chaos_worker *worker, struct nsp_engine *engine)
{
    uint8_t buffer[64];

    check(worker, NSP_STRESS_START, "capture",
          nsp_engine_capture(engine, valid_filter(worker), buffer,
                             sizeof buffer, 100000, NULL, NULL),
          CAPTURE_ALLOWED);
}

/* --- Policies --- */

/* A policy of up to two rules, of names that come again, so that their state is
 * kept, and new ones. */
static void
do_set_policy(struct nsp_chaos_worker *worker, struct nsp_engine *engine)
{
    static const struct nsp_class classes[] = {
        { .name = "slow", .link.rate_bitps = 1000000 },
    };
    const struct nsp_rule known[] = {
        { .name = "all", .link.rate_bitps = 1000000000 },
        { .name = "dns", .match = "udp.DstPort == 53", .class_name = "slow" },
        { .name = "late", .match = "udp", .effects.delay.mean_ns = 20000 },
        { .name = "none", .match = "tcp", .action = NSP_ACTION_DROP },
        { .match = valid_filter(worker), .go_on = true },
    };
    const size_t count = sizeof known / sizeof known[0];
    uint64_t random = nsp_chaos_random(worker);
    const struct nsp_rule rules[] = { known[random % count],
                                      known[(random / count + 1) % count] };
    const bool same = random % count == (random / count + 1) % count;
    const struct nsp_policy_spec policy = {
        .rules = rules,
        .rule_count = (uint32_t)(same ? 1 : (random >> 32) % 3),
        .classes = classes,
        .class_count = 1,
    };

    struct nsp_diag diag = { 0 };
    int r = nsp_engine_set_policy(engine, &policy, &diag);

    if (!is_in(r, SET_POLICY_ALLOWED))
        nsp_stress_fail(worker->chaos->report, NSP_STRESS_POLICY,
                        "set_policy: %s: %s", nsp_result_name(r), diag.text);
}

static void
do_set_nonsense_policy(struct nsp_chaos_worker *worker,
                       struct nsp_engine *engine)
{
    char scratch[64];
    const struct nsp_rule rule = {
        .match = nonsense_filter(worker, scratch, sizeof scratch),
    };
    const struct nsp_policy_spec policy = { .rules = &rule, .rule_count = 1 };

    check(worker, NSP_STRESS_POLICY, "set_policy with a nonsense filter",
          nsp_engine_set_policy(engine, &policy, NULL),
          ALLOW(NSP_INVALID_FILTER) | ALLOW(NSP_INVALID_STATE) |
              ALLOW(NSP_DISPOSED));
}

static void
do_set_policies_while_running(struct nsp_chaos_worker *worker,
                              struct nsp_engine *engine)
{
    do_start(worker, engine);
    for (int i = 0; i < 4; i++)
        do_set_policy(worker, engine);
    do_run_for(worker, engine);
}

/* --- Counters and ends --- */

static void
do_read_stats(struct nsp_chaos_worker *worker, struct nsp_engine *engine)
{
    struct nsp_stats stats;
    uint64_t dropped = 0;

    check(worker, NSP_STRESS_READ, "read_stats",
          nsp_engine_read_stats(engine, &stats), ALLOW(NSP_OK));
    for (int i = 0; i < NSP_DROP_COUNT; i++)
        dropped += stats.dropped_pkts[i];
    if (stats.in_pkts + stats.duplicated_pkts !=
        stats.delivered_pkts + dropped + stats.queued_pkts)
        nsp_stress_fail(worker->chaos->report, NSP_STRESS_ACCOUNTING,
                        "in is not delivered + dropped + queued");
}

static void
check_disposed(struct nsp_chaos_worker *worker, struct nsp_engine *engine)
{
    const unsigned disposed = ALLOW(NSP_DISPOSED);

    check(worker, NSP_STRESS_DISPOSED, "start after destroy",
          nsp_engine_start(engine, "true", NULL), disposed);
    check(worker, NSP_STRESS_DISPOSED, "run after destroy",
          nsp_engine_run(engine), disposed);
    check(worker, NSP_STRESS_DISPOSED, "stop after destroy",
          nsp_engine_stop(engine), disposed);
}

/* Destroys it for everyone, perhaps while another thread runs it. */
static void
do_destroy(struct nsp_chaos_worker *worker, struct nsp_engine *engine)
{
    struct nsp_chaos_slot *slot = worker->slot;
    struct nsp_engine *taken;
    int r;

    pthread_mutex_lock(&slot->lock);
    taken = slot->engine;
    r = nsp_chaos_fill_slot(worker->chaos, slot);
    if (r < 0) {
        slot->engine = taken;
        taken = NULL;
    }
    pthread_mutex_unlock(&slot->lock);

    check(worker, NSP_STRESS_CREATE, "create", r, ALLOW(NSP_OK));
    if (nsp_engine_destroy(taken) != NULL)
        nsp_stress_fail(worker->chaos->report, NSP_STRESS_DESTROY,
                        "destroy returned an engine");
    /* Another thread may have been faster: then 'engine' was its to destroy. */
    if (taken == engine)
        check_disposed(worker, engine);
}

static void
do_reference(struct nsp_chaos_worker *worker, struct nsp_engine *engine)
{
    if (nsp_engine_ref(engine) != engine || nsp_engine_unref(engine) != NULL)
        nsp_stress_fail(worker->chaos->report, NSP_STRESS_DESTROY,
                        "a reference is not the engine");
}

/* --- Operations of a thread's own ---------------------------------------- */

static void
do_null(struct nsp_chaos_worker *worker, struct nsp_engine *engine)
{
    const unsigned invalid = ALLOW(NSP_INVALID_HANDLE);
    struct nsp_stats stats;

    (void)engine;
    check(worker, NSP_STRESS_START, "start of no engine",
          nsp_engine_start(NULL, "true", NULL), invalid);
    check(worker, NSP_STRESS_RUN, "run of no engine", nsp_engine_run(NULL),
          invalid);
    check(worker, NSP_STRESS_STOP, "stop of no engine", nsp_engine_stop(NULL),
          invalid);
    check(worker, NSP_STRESS_READ, "read_stats of no engine",
          nsp_engine_read_stats(NULL, &stats), invalid);
    if (nsp_engine_destroy(NULL) || nsp_engine_ref(NULL) ||
        nsp_engine_unref(NULL))
        nsp_stress_fail(worker->chaos->report, NSP_STRESS_DESTROY,
                        "no engine became one");
}

/* Every row of the state table, by its only user. */
static void
walk_states(struct nsp_chaos_worker *worker, struct nsp_engine *own)
{
    const unsigned ok = ALLOW(NSP_OK);
    char scratch[64];

    check(worker, NSP_STRESS_RUN, "run while idle", nsp_engine_run(own),
          ALLOW(NSP_INVALID_STATE));
    check(worker, NSP_STRESS_STOP, "stop while idle", nsp_engine_stop(own),
          ALLOW(NSP_INVALID_STATE));
    start(worker, own, nonsense_filter(worker, scratch, sizeof scratch),
          "start with a nonsense filter", ALLOW(NSP_INVALID_FILTER));

    start(worker, own, valid_filter(worker), "start while idle", ok);
    start(worker, own, valid_filter(worker), "start while started",
          ALLOW(NSP_ALREADY_RUNNING));
    check(worker, NSP_STRESS_STOP, "stop while started", nsp_engine_stop(own),
          ok);
    check(worker, NSP_STRESS_RUN, "run after stop", nsp_engine_run(own),
          ALLOW(NSP_STOPPED));

    start(worker, own, valid_filter(worker), "start after a run", ok);
    check(worker, NSP_STRESS_RUN, "run_for", nsp_engine_run_for(own, 1000),
          ALLOW(NSP_STOPPED));
    start(worker, own, valid_filter(worker), "start before destroy", ok);
}

static void
do_own(struct nsp_chaos_worker *worker, struct nsp_engine *engine)
{
    struct nsp_engine *own = NULL;
    int r = nsp_chaos_create_engine(worker->chaos, worker->memory, &own);

    (void)engine;
    check(worker, NSP_STRESS_CREATE, "create", r, ALLOW(NSP_OK));
    if (r < 0)
        return;
    walk_states(worker, own);
    nsp_engine_ref(own);
    nsp_engine_destroy(own);
    check_disposed(worker, own);
    nsp_engine_unref(own);
}

/* --- Choice -------------------------------------------------------------- */

void
nsp_chaos_do_operation(struct nsp_chaos_worker *worker)
{
    static void (*const operations[])(struct nsp_chaos_worker *,
                                      struct nsp_engine *) = {
        do_start,
        do_double_start,
        do_start_empty,
        do_start_nonsense,
        do_run_for,
        do_run,
        do_stop,
        do_burst,
        do_start_and_run,
        do_capture,
        do_read_stats,
        do_destroy,
        do_reference,
        do_null,
        do_own,
        do_set_policy,
        do_set_policy,
        do_set_nonsense_policy,
        do_set_policies_while_running,
    };
    struct nsp_engine *engine = nsp_chaos_borrow(worker->slot);

    operations[nsp_chaos_random(worker) %
               (sizeof operations / sizeof operations[0])](worker, engine);
    nsp_engine_unref(engine);
}
