#include <inttypes.h>

#include "cli/interrupt.h"
#include "cli/stress.h"
#include "cli/stress_target.h"
#include "cli/thread.h"

/* Rapid cycles of create, start, run, stop and destroy, with one packet through
 * the running engine in each. */

enum step { CREATE, START, PACKET, STOP, DESTROY, STEPS };

static const char *const step_names[STEPS] = {
    "create", "start", "run+packet", "stop", "destroy",
};

struct cycle {
    struct nsp_stress_report *report;
    struct nsp_stress_target *target;
    uint64_t number;
    uint64_t at_ns;
    int run_result;
    struct nsp_engine *engine;
};

static void
note_step(struct cycle *cycle, enum step step)
{
    uint64_t now = nsp_stress_now_ns();

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
    if (stats.in_pkts != stats.delivered_pkts + dropped ||
        stats.queued_pkts != 0 || stats.in_pkts == 0)
        nsp_stress_fail(cycle->report, NSP_STRESS_ACCOUNTING,
                        "cycle %" PRIu64 ": %" PRIu64 " packets in, %" PRIu64
                        " delivered, %" PRIu64 " dropped, %" PRIu64 " queued",
                        cycle->number, stats.in_pkts, stats.delivered_pkts,
                        dropped, stats.queued_pkts);
}

static void *
run_engine(void *opaque)
{
    struct cycle *cycle = opaque;

    cycle->run_result = nsp_engine_run(cycle->engine);
    return NULL;
}

static int
run_and_stop(struct cycle *cycle)
{
    pthread_t thread;
    int r = nsp_cli_thread_create(&thread, run_engine, cycle);

    if (r < 0)
        return r;
    if (!nsp_stress_target_exchange(cycle->target))
        nsp_stress_fail(cycle->report, NSP_STRESS_TRAFFIC,
                        "cycle %" PRIu64 ": the packet did not come through",
                        cycle->number);
    note_step(cycle, PACKET);
    expect(cycle, NSP_STRESS_STOP, nsp_engine_stop(cycle->engine), NSP_OK);
    pthread_join(thread, NULL);
    expect(cycle, NSP_STRESS_RUN, cycle->run_result, NSP_STOPPED);
    note_step(cycle, STOP);
    return 0;
}

static int
run_cycle(struct cycle *cycle, const struct nsp_engine_config *cfg)
{
    int r;

    cycle->at_ns = nsp_stress_now_ns();
    r = nsp_engine_create(cfg, &cycle->engine, NULL);
    expect(cycle, NSP_STRESS_CREATE, r, NSP_OK);
    note_step(cycle, CREATE);
    if (r != NSP_OK)
        return 0;

    r = nsp_engine_start(cycle->engine, "udp", NULL);
    expect(cycle, NSP_STRESS_START, r, NSP_OK);
    note_step(cycle, START);
    if (r == NSP_OK) {
        r = run_and_stop(cycle);
        check_accounting(cycle);
    }

    cycle->at_ns = nsp_stress_now_ns();
    if (nsp_engine_destroy(cycle->engine) != NULL)
        nsp_stress_fail(cycle->report, NSP_STRESS_DESTROY,
                        "cycle %" PRIu64 ": destroy returned an engine",
                        cycle->number);
    note_step(cycle, DESTROY);
    return r < 0 ? NSP_NO_MEMORY : NSP_OK;
}

int
nsp_stress_stability(const struct nsp_stress_config *cfg,
                     struct nsp_stress_report *report, struct nsp_diag *reterr)
{
    const struct nsp_rule rule = { .match = "udp.DstPort == 7073",
                                   .rate_bitps = 1000000000 };
    struct nsp_engine_config engine_cfg = {
        .max_held_pkts = 256,
        .seed = cfg->seed,
        .policy = { &rule, 1 },
        .allocator = nsp_stress_allocator(&report->heap),
    };
    struct nsp_stress_target target;
    struct cycle cycle = { .report = report, .target = &target };
    uint64_t began_ns;
    int r;

    r = nsp_stress_target_open(&target, cfg->lab, reterr);
    if (r < 0)
        return r;
    nsp_stress_target_configure(&target, &engine_cfg);
    report->step_count = STEPS;
    for (int i = 0; i < STEPS; i++)
        report->steps[i].name = step_names[i];

    nsp_stress_read_before(&report->before);
    began_ns = nsp_stress_now_ns();
    while (r == NSP_OK && cycle.number < cfg->cycles && !nsp_interrupted()) {
        r = run_cycle(&cycle, &engine_cfg);
        if (++cycle.number % 64 == 0)
            nsp_stress_progress(cycle.number, cfg->cycles);
    }
    report->seconds = (double)(nsp_stress_now_ns() - began_ns) / 1e9;
    report->operations = cycle.number;
    nsp_stress_progress_end();
    nsp_stress_settle(&report->before, &report->after);
    nsp_stress_target_close(&target);
    return r;
}
