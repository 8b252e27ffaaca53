#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "cli/commands.h"
#include "cli/demo.h"
#include "cli/demo_stats.h"
#include "cli/interrupt.h"
#include "cli/runner.h"

#define PROBES_PER_S    2800
#define SAMPLE_NS       (1000000000 / NSP_DEMO_SAMPLES_PER_S)
#define STREAM_QUEUE_NS UINT64_C(50000000)
#define LATE_NS         UINT64_C(50000000)
#define STRAGGLER_NS    UINT64_C(300000000)
/* Slow start and its recovery, before the stream is measured. */
#define WARM_UP_SAMPLES 12
#define WINDOW_SAMPLES  5
#define DEFAULT_SECONDS 4
#define SECONDS_MIN     2
#define SECONDS_MAX     60

#define MBIT UINT64_C(1000000)
#define MS   UINT64_C(1000000)

const struct nsp_demo_phase nsp_demo_phases[NSP_DEMO_PHASES] = {
    { "untouched", 0, 0, 0 },
    { "20 Mbit/s", 20 * MBIT, 0, 0 },
    { "plus 40 ms", 20 * MBIT, 40 * MS, 0 },
    { "plus 1 % loss", 20 * MBIT, 40 * MS, 10000 },
    { "untouched again", 0, 0, 0 },
};

struct demo {
    struct nsp_cli *cli;
    struct nsp_lab *lab;
    uint64_t seed;
    uint32_t samples_per_phase;
    struct nsp_demo_chart chart;
    struct nsp_demo_result results[NSP_DEMO_PHASES];
};

/* --- One phase ----------------------------------------------------------- */

/* Stream and probe have a rule each, so that the probe sees the delay and the
 * loss but not the stream's queue. Answers match neither, nor do controls. */
static int
start_engine(struct nsp_runner *runner, const struct nsp_demo_phase *phase,
             uint64_t seed, struct nsp_diag *reterr)
{
    const struct nsp_rule rules[] = {
        {
            .name = "stream",
            .match = "tcp and tcp.DstPort == 7071",
            .link.rate_bitps = phase->rate_bitps,
            .link.queue_unit =
                phase->rate_bitps ? NSP_QUEUE_NS : NSP_QUEUE_DEFAULT,
            .link.queue_limit = phase->rate_bitps ? STREAM_QUEUE_NS : 0,
            .effects.delay.mean_ns = phase->delay_ns,
            .effects.loss.chance.ppm = phase->loss_ppm,
        },
        {
            .name = "probe",
            .match = "udp.DstPort == 7072 and udp.PayloadLength == 24",
            .effects.delay.mean_ns = phase->delay_ns,
            .effects.loss.chance.ppm = phase->loss_ppm,
        },
    };
    const struct nsp_engine_config cfg = {
        .backend = "nfqueue",
        .hooks = NSP_HOOK_FORWARD,
        .seed = seed,
        .policy = { .rules = rules, .rule_count = phase->rate_bitps ? 2 : 0 },
    };

    return nsp_runner_start(runner, &cfg, "true", reterr);
}

static double
per_second(uint64_t count, const struct nsp_traffic_sample *from,
           const struct nsp_traffic_sample *to)
{
    return to->at_ns == from->at_ns
               ? 0
               : (double)count * 1e9 / (double)(to->at_ns - from->at_ns);
}

static double
wire_bitps(const struct nsp_traffic_sample *from,
           const struct nsp_traffic_sample *to)
{
    return 8 * per_second(to->wire_bytes - from->wire_bytes, from, to);
}

static void
add_point(struct demo *demo, uint32_t phase, const struct nsp_traffic *traffic,
          const struct nsp_traffic_sample *before,
          const struct nsp_traffic_sample *now)
{
    const uint32_t recent = PROBES_PER_S / 5;
    /* Younger ones may still be under way. */
    const uint32_t due =
        (uint32_t)((nsp_demo_phases[phase].delay_ns + LATE_NS) * PROBES_PER_S /
                   1000000000);
    uint32_t sent = now->probes_sent;
    struct nsp_demo_point point = {
        .phase = phase,
        .rate_bitps = wire_bitps(before, now),
        .rtt_ns =
            nsp_traffic_median_rtt_ns(traffic, NSP_TRAFFIC_PROBE,
                                      sent > recent ? sent - recent : 0, sent),
    };

    nsp_traffic_count_probes(traffic, sent > due ? sent - due : 0,
                             &point.probes_sent, &point.probes_lost);
    nsp_demo_chart_add(&demo->chart, &point);
}

static void
sleep_until(uint64_t due_ns)
{
    struct timespec due = { .tv_sec = (time_t)(due_ns / 1000000000),
                            .tv_nsec = (long)(due_ns % 1000000000) };

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) ==
               EINTR &&
           !nsp_interrupted())
        ;
}

/* The median over all windows of WINDOW_SAMPLES, once warm: a machine that
 * stands still for a moment spoils a few of them, not the measurement. */
static double
steady_bitps(const struct nsp_traffic_sample samples[], uint32_t count)
{
    uint64_t rates[NSP_DEMO_SAMPLES_MAX];
    uint32_t n = 0;

    for (uint32_t i = WARM_UP_SAMPLES; i + WINDOW_SAMPLES < count; i++)
        rates[n++] =
            (uint64_t)wire_bitps(&samples[i], &samples[i + WINDOW_SAMPLES]);
    return (double)nsp_stats_median(rates, n);
}

/* Watches the traffic for one phase; its result gets what was measured. */
static void
watch(struct demo *demo, uint32_t phase, const struct nsp_traffic *traffic)
{
    struct nsp_demo_result *result = &demo->results[phase];
    struct nsp_traffic_sample samples[NSP_DEMO_SAMPLES_MAX];
    const struct nsp_traffic_sample *warm, *last;
    uint32_t n = 1;

    nsp_traffic_read(traffic, &samples[0]);
    for (; n <= demo->samples_per_phase && !nsp_interrupted(); n++) {
        sleep_until(samples[0].at_ns + n * (uint64_t)SAMPLE_NS);
        nsp_traffic_read(traffic, &samples[n]);
        add_point(demo, phase, traffic, &samples[n - 1], &samples[n]);
    }

    last = &samples[n - 1];
    warm = n > WARM_UP_SAMPLES ? &samples[WARM_UP_SAMPLES] : last;
    result->rate_bitps = steady_bitps(samples, n);
    result->goodput_bitps =
        8 * per_second(last->stream_bytes - warm->stream_bytes, warm, last);
    result->rtt_ns = nsp_traffic_median_rtt_ns(
        traffic, NSP_TRAFFIC_PROBE, warm->probes_sent, last->probes_sent);
    result->control_rtt_ns = nsp_traffic_median_rtt_ns(
        traffic, NSP_TRAFFIC_CONTROL, warm->probes_sent, last->probes_sent);
}

static int
run_phase(struct demo *demo, uint32_t phase, struct nsp_diag *reterr)
{
    const struct nsp_traffic_config cfg = {
        .probes_per_s = PROBES_PER_S,
        .max_probes = PROBES_PER_S * (SECONDS_MAX + 1),
        .straggler_ns = STRAGGLER_NS,
    };
    struct nsp_demo_result *result = &demo->results[phase];
    struct nsp_traffic *traffic = NULL;
    struct nsp_traffic_sample end;
    struct nsp_runner runner = { 0 };
    struct nsp_diag ignored;
    int r, stopped;

    r = start_engine(&runner, &nsp_demo_phases[phase], demo->seed, reterr);
    if (r < 0)
        return r;
    r = nsp_traffic_start(demo->lab, &cfg, &traffic, reterr);
    if (r == NSP_OK) {
        watch(demo, phase, traffic);
        r = nsp_traffic_stop(traffic, reterr);
        nsp_traffic_read(traffic, &end);
        nsp_traffic_count_probes(traffic, end.probes_sent, &result->probes_sent,
                                 &result->probes_lost);
    }
    stopped =
        nsp_runner_stop(&runner, &result->stats, r < 0 ? &ignored : reterr);
    nsp_traffic_destroy(traffic);
    return r < 0 ? r : stopped;
}

/* --- The command --------------------------------------------------------- */

static int
run_phases(struct demo *demo)
{
    struct nsp_diag diag = { 0 };
    int r;

    r = nsp_lab_open(&demo->lab, &diag);
    nsp_demo_chart_init(&demo->chart, demo->cli,
                        demo->samples_per_phase * NSP_DEMO_PHASES);
    for (uint32_t i = 0;
         i < NSP_DEMO_PHASES && r == NSP_OK && !nsp_interrupted(); i++)
        r = run_phase(demo, i, &diag);
    nsp_demo_chart_finish(&demo->chart);
    demo->lab = nsp_lab_close(demo->lab);

    if (r < 0)
        return nsp_cli_fail_result(demo->cli, r, &diag);
    if (nsp_interrupted()) {
        fputs("nsp: interrupted: no verdict\n", stderr);
        return NSP_EXIT_FAILED;
    }
    return nsp_demo_table_print(demo->cli, demo->results,
                                (double)demo->samples_per_phase /
                                    NSP_DEMO_SAMPLES_PER_S)
               ? NSP_EXIT_OK
               : NSP_EXIT_FAILED;
}

enum { OPTION_SECONDS, OPTION_SEED };

static const struct nsp_option options[] = {
    [OPTION_SECONDS] = { "seconds-per-phase", "S",
                         "length of each of the five phases, 2 to 60 (4)", 0 },
    [OPTION_SEED] = { "seed", "N", "seed of the random loss (1)", 0 },
    { NULL, NULL, NULL, 0 },
};

struct request {
    int64_t seconds_per_phase, seed;
};

static int
take_option(struct nsp_cli *cli, void *context, int option, const char *value)
{
    struct request *r = context;

    if (option == OPTION_SECONDS)
        return nsp_cli_read_int(cli, "--seconds-per-phase", value, SECONDS_MIN,
                                SECONDS_MAX, &r->seconds_per_phase);
    return nsp_cli_read_int(cli, "--seed", value, 0, INT64_MAX, &r->seed);
}

static int
run(struct nsp_cli *cli, int argc, char *argv[])
{
    struct request request = { DEFAULT_SECONDS, 1 };
    struct demo *demo;
    int status = nsp_cli_take_options(cli, argc, argv, take_option, &request);

    if (status == NSP_CLI_EXIT)
        return cli->status;
    status = nsp_cli_check_operands(cli, argc, argv, 0, 0, NULL);
    if (status != NSP_EXIT_OK)
        return status;

    demo = calloc(1, sizeof *demo);
    if (!demo)
        return nsp_cli_fail_result(cli, NSP_NO_MEMORY, &(struct nsp_diag){ 0 });
    demo->cli = cli;
    demo->seed = (uint64_t)request.seed;
    demo->samples_per_phase =
        (uint32_t)request.seconds_per_phase * NSP_DEMO_SAMPLES_PER_S;
    nsp_interrupt_catch();
    status = run_phases(demo);
    free(demo);
    return status;
}

const struct nsp_command nsp_command_demo = {
    .name = "demo",
    .summary = "Shape real traffic in a network of its own, and check the "
               "result",
    .details =
        "Two hosts and a router in network namespaces, a TCP stream and a UDP "
        "probe between\nthem, and the engine in the router: untouched, 20 "
        "Mbit/s, plus 40 ms, plus 1 % loss,\nuntouched. A chart while it runs, "
        "then a table of what was asked and what was achieved.\nExit status 0 "
        "when every row is inside what it allows. Needs no root where "
        "ordinary\n"
        "users may make namespaces, and leaves nothing behind.\n",
    .examples = "  nsp demo\n  nsp demo --json --seconds-per-phase 2\n",
    .options = options,
    .run = run,
};
