#include <errno.h>
#include <inttypes.h>
#include <semaphore.h>

#include "cli/clock.h"
#include "cli/interrupt.h"
#include "cli/stress.h"
#include "cli/stress_target.h"
#include "cli/thread.h"

/* Rapid cycles of create, start, run, stop and destroy, with one packet through
 * the running engine in each. The engine runs in this thread. It is stopped by
 * turns from its own callback and by another thread, which wakes it where it
 * sleeps and lives as long as the mode: a thread a cycle would cost more than
 * all that the engine does. */

enum step { CREATE, START, PACKET, STOP, DESTROY, STEPS };

static const char *const step_names[STEPS] = {
    "create", "start", "run+packet", "stop", "destroy",
};

/* A run that nothing ends, for want of its packet, ends itself. */
#define PATIENCE_NS UINT64_C(5000000000)

/* Stops the engine that it is handed, once for each post of 'wanted'. */
struct stopper {
    pthread_t thread;
    sem_t wanted, done;
    struct nsp_engine *engine; /* NULL: end the thread. */
    int result;                /* Of the last stop. */
};

struct cycle {
    struct nsp_stress_report *report;
    struct nsp_stress_target *target;
    struct stopper stopper;
    uint64_t number;
    uint64_t at_ns;
    struct nsp_engine *engine;
    bool stop_wanted;
    int stop_result;
};

static void
note_step(struct cycle *cycle, enum step step)
{
    uint64_t now = nsp_cli_now_ns();

    cycle->report->steps[step].total_ns += now - cycle->at_ns;
    cycle->at_ns = now;
}

static void
expect(struct cycle *cycle, enum nsp_stress_failure kind, int result,
       int expected)
{
    if (result != expected)
        nsp_stress_fail(cycle->report, kind, "cycle %" PRIu64 ": %s, not %s",
                        cycle->number, nsp_result_name(result),
                        nsp_result_name(expected));
}

/* Every packet has one fate, and none is left inside a stopped engine. */
static void
check_accounting(struct cycle *cycle)
{
    struct nsp_stats stats;
    uint64_t dropped = 0;

    expect(cycle, NSP_STRESS_READ, nsp_engine_read_stats(cycle->engine, &stats),
           NSP_OK);
    for (int i = 0; i < NSP_DROP_COUNT; i++)
        dropped += stats.dropped_pkts[i];
    if (stats.in_pkts + stats.duplicated_pkts !=
            stats.delivered_pkts + dropped ||
        stats.queued_pkts != 0 || stats.in_pkts == 0)
        nsp_stress_fail(cycle->report, NSP_STRESS_ACCOUNTING,
                        "cycle %" PRIu64 ": %" PRIu64 " packets in, %" PRIu64
                        " delivered, %" PRIu64 " dropped, %" PRIu64 " queued",
                        cycle->number, stats.in_pkts, stats.delivered_pkts,
                        dropped, stats.queued_pkts);
}

/* --- The thread that stops ----------------------------------------------- */

/* Waits in spite of signals. */
static void
wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore) < 0 && errno == EINTR)
        ;
}

static void *
run_stopper(void *opaque)
{
    struct stopper *stopper = opaque;

    for (;;) {
        wait_for(&stopper->wanted);
        if (!stopper->engine)
            return NULL;
        stopper->result = nsp_engine_stop(stopper->engine);
        sem_post(&stopper->done);
    }
}

static int
start_stopper(struct stopper *stopper)
{
    int r;

    sem_init(&stopper->wanted, 0, 0);
    sem_init(&stopper->done, 0, 0);
    r = nsp_cli_thread_create(&stopper->thread, run_stopper, stopper);
    if (r < 0) {
        sem_destroy(&stopper->wanted);
        sem_destroy(&stopper->done);
    }
    return r;
}

static void
end_stopper(struct stopper *stopper)
{
    stopper->engine = NULL;
    sem_post(&stopper->wanted);
    pthread_join(stopper->thread, NULL);
    sem_destroy(&stopper->wanted);
    sem_destroy(&stopper->done);
}

/* --- Cycles -------------------------------------------------------------- */

static bool
stops_itself(const struct cycle *cycle)
{
    return cycle->number % 2 != 0;
}

/* The engine's callback: its packet is there, so it has run. */
static void
want_stop(void *context, struct nsp_burst *burst)
{
    struct cycle *cycle = context;

    (void)burst;
    if (cycle->stop_wanted)
        return;
    cycle->stop_wanted = true;
    note_step(cycle, PACKET);
    if (stops_itself(cycle)) {
        cycle->stop_result = nsp_engine_stop(cycle->engine);
    } else {
        cycle->stopper.engine = cycle->engine;
        sem_post(&cycle->stopper.wanted);
    }
}

/* The packet waits in the device when the run begins. What the run holds when
 * it is told to end, it delivers. */
static void
run_and_stop(struct cycle *cycle)
{
    bool sent = nsp_stress_target_send(cycle->target);

    cycle->stop_wanted = false;
    expect(cycle, NSP_STRESS_RUN,
           nsp_engine_run_for(cycle->engine, PATIENCE_NS), NSP_STOPPED);
    if (cycle->stop_wanted && !stops_itself(cycle)) {
        wait_for(&cycle->stopper.done);
        cycle->stop_result = cycle->stopper.result;
    }
    if (cycle->stop_wanted)
        expect(cycle, NSP_STRESS_STOP, cycle->stop_result, NSP_OK);
    if (!sent || !nsp_stress_target_receive(cycle->target))
        nsp_stress_fail(cycle->report, NSP_STRESS_TRAFFIC,
                        "cycle %" PRIu64 ": the packet did not come through",
                        cycle->number);
    note_step(cycle, STOP);
}

static void
run_cycle(struct cycle *cycle, const struct nsp_engine_config *cfg)
{
    int r;

    cycle->at_ns = nsp_cli_now_ns();
    r = nsp_engine_create(cfg, &cycle->engine, NULL);
    expect(cycle, NSP_STRESS_CREATE, r, NSP_OK);
    note_step(cycle, CREATE);
    if (r != NSP_OK)
        return;

    r = nsp_engine_start(cycle->engine, "udp", NULL);
    expect(cycle, NSP_STRESS_START, r, NSP_OK);
    note_step(cycle, START);
    if (r == NSP_OK) {
        run_and_stop(cycle);
        check_accounting(cycle);
    }

    cycle->at_ns = nsp_cli_now_ns();
    if (nsp_engine_destroy(cycle->engine) != NULL)
        nsp_stress_fail(cycle->report, NSP_STRESS_DESTROY,
                        "cycle %" PRIu64 ": destroy returned an engine",
                        cycle->number);
    note_step(cycle, DESTROY);
}

static void
run_cycles(struct cycle *cycle, const struct nsp_stress_config *cfg,
           const struct nsp_engine_config *engine_cfg)
{
    struct nsp_stress_report *report = cycle->report;
    uint64_t began_ns = nsp_cli_now_ns();

    while (cycle->number < cfg->cycles && !nsp_interrupted()) {
        run_cycle(cycle, engine_cfg);
        if (++cycle->number % 64 == 0)
            nsp_stress_progress(cycle->number, cfg->cycles);
    }
    report->seconds = (double)(nsp_cli_now_ns() - began_ns) / 1e9;
    report->operations = cycle->number;
    report->interrupted = cycle->number < cfg->cycles;
    nsp_stress_progress_end();
}

int
nsp_stress_stability(const struct nsp_stress_config *cfg,
                     struct nsp_stress_report *report, struct nsp_diag *reterr)
{
    const struct nsp_rule rule = { .match = "udp.DstPort == 7073",
                                   .link.rate_bitps = 1000000000 };
    struct nsp_stress_target target;
    struct cycle cycle = { .report = report, .target = &target };
    struct nsp_engine_config engine_cfg = {
        .max_held_pkts = 256,
        .seed = cfg->seed,
        .policy = { .rules = &rule, .rule_count = 1 },
        .callback = want_stop,
        .callback_context = &cycle,
        .allocator = nsp_stress_allocator(&report->heap),
    };
    int r;

    r = nsp_stress_target_open(&target, cfg->lab, reterr);
    if (r < 0)
        return r;
    nsp_stress_target_configure(&target, &engine_cfg);
    report->asked = cfg->cycles;
    report->asked_unit = "cycles";
    report->step_count = STEPS;
    for (int i = 0; i < STEPS; i++)
        report->steps[i].name = step_names[i];

    nsp_stress_read_before(&report->before);
    r = start_stopper(&cycle.stopper);
    if (r == 0) {
        run_cycles(&cycle, cfg, &engine_cfg);
        end_stopper(&cycle.stopper);
    }
    nsp_stress_settle(&report->before, &report->after);
    nsp_stress_target_close(&target);
    return r < 0 ? NSP_NO_MEMORY : NSP_OK;
}
