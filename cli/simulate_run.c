#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/capture.h"
#include "cli/clock.h"
#include "cli/interrupt.h"
#include "cli/runner.h"
#include "cli/simulate.h"

/* The most the library allows: a long delay of a fast capture holds many. */
#define HELD_PKTS_MAX (1u << 20)

#define BIN_NS      UINT64_C(100000) /* Of plots, at first. */
#define PROGRESS_MS 100
#define BAR_CELLS   30

struct simulation {
    struct nsp_cli *cli;
    const struct nsp_simulate_job *job;
    struct nsp_simulate_notes notes;
    struct nsp_timeline timeline;
    struct nsp_runner runner;
    struct nsp_policy_file *file;
    FILE *plot, *report_to;
    int ended;         /* Descriptor. */
    uint64_t in_bytes; /* Of the file; 0: not known. */
    bool shows_progress;
    uint64_t began_ns;
};

static int
fail_errno(struct nsp_cli *cli, int error, const char *what, const char *hint)
{
    struct nsp_diag diag = { .result = NSP_OPEN_FAILED,
                             .os_errno = error,
                             .category = "system" };

    snprintf(diag.text, sizeof diag.text, "%.150s: %s", what, strerror(error));
    snprintf(diag.hint, sizeof diag.hint, "%s", hint);
    return nsp_cli_fail(cli, &diag);
}

/* --- Progress ------------------------------------------------------------- */

/* A line on standard error, once it is worth one. */
static void
show_progress(const struct simulation *s)
{
    uint64_t pkts = atomic_load_explicit(&s->notes.pkts, memory_order_relaxed);
    uint64_t bytes =
        atomic_load_explicit(&s->notes.bytes, memory_order_relaxed);
    double seconds =
        (double)(nsp_cli_now_ns() - s->began_ns) / NSP_CLI_NS_PER_S;
    char bar[BAR_CELLS + 1];
    double share = 0;
    int cells;

    if (!s->shows_progress || seconds < 0.5)
        return;
    if (s->in_bytes > 0)
        share = (double)bytes / (double)s->in_bytes;
    if (share > 1)
        share = 1;
    cells = (int)(share * BAR_CELLS);
    memset(bar, '#', (size_t)cells);
    memset(bar + cells, '.', (size_t)(BAR_CELLS - cells));
    bar[BAR_CELLS] = '\0';
    if (s->in_bytes > 0)
        fprintf(stderr, "\r[%s] %3.0f %%  %.1f Mpkts  %.2f Mpkts/s ", bar,
                100 * share, (double)pkts / 1e6, (double)pkts / 1e6 / seconds);
    else
        fprintf(stderr, "\r%.1f Mpkts  %.2f Mpkts/s ", (double)pkts / 1e6,
                (double)pkts / 1e6 / seconds);
}

static void
wipe_progress(const struct simulation *s)
{
    if (s->shows_progress)
        fputs("\r\033[K", stderr);
}

/* --- Running -------------------------------------------------------------- */

static void
note_end(void *context)
{
    const struct simulation *s = context;

    (void)eventfd_write(s->ended, 1);
}

/* Returns when the engine's loop has ended. */
static void
watch(const struct simulation *s)
{
    struct pollfd ended = { .fd = s->ended, .events = POLLIN };

    while (poll(&ended, 1, PROGRESS_MS) <= 0) {
        if (nsp_interrupted())
            (void)nsp_engine_stop(s->runner.engine);
        show_progress(s);
    }
    wipe_progress(s);
}

static int
write_plot(struct simulation *s)
{
    bool failed;

    if (!s->plot)
        return NSP_EXIT_OK;
    nsp_simulate_plot(s->plot, s->job->in_path, &s->timeline);
    errno = 0;
    failed = ferror(s->plot) != 0;
    failed |= fclose(s->plot) != 0;
    s->plot = NULL;
    return failed ? fail_errno(s->cli, errno ? errno : EIO, s->job->plot_path,
                               "make room there, or name another file")
                  : NSP_EXIT_OK;
}

static void
report(const struct simulation *s, bool complete)
{
    const struct nsp_simulate_result result = {
        .complete = complete,
        .simulated_ns = s->notes.last_ns > NSP_PCAPFILE_START_NS
                            ? s->notes.last_ns - NSP_PCAPFILE_START_NS
                            : 0,
    };

    if (s->cli->json)
        nsp_simulate_report_json(s->report_to, s->runner.engine, &result);
    else if (!s->job->quiet)
        nsp_simulate_report_print(s->report_to, s->runner.engine, &result);
}

/* After the loop: what it came to, and why it ended. */
static int
conclude(struct simulation *s)
{
    struct nsp_stats stats = { .in_pkts = 0 };
    struct nsp_diag diag = { .result = NSP_OK };
    bool interrupted = nsp_interrupted();
    int result, status;

    nsp_engine_read_diag(s->runner.engine, &diag);
    if (diag.result == NSP_OK || !s->cli->json)
        report(s, !interrupted && diag.result == NSP_OK);
    status = write_plot(s);
    result = nsp_runner_stop(&s->runner, &stats, &diag);
    if (result < 0) {
        nsp_capture_explain(&diag, s->job->in_path, stats.in_pkts);
        nsp_cli_fail_result(s->cli, result, &diag);
        return NSP_EXIT_FAILED;
    }
    if (interrupted) {
        fputs("nsp: interrupted: the rest of the capture was not read\n",
              stderr);
        return NSP_EXIT_FAILED;
    }
    return status;
}

/* Makes the policy that of a time of its scenario. */
static uint64_t
follow_scenario(void *context, uint64_t elapsed_ns)
{
    struct simulation *s = context;
    struct nsp_diag diag = { .text = "the scenario leads to a policy that is "
                                     "not possible; the one in force stays" };
    uint64_t next_ns = NSP_SCENARIO_NEVER;
    int result = nsp_policy_file_set_elapsed(s->file, elapsed_ns, &next_ns);

    if (result == NSP_OK)
        result = nsp_engine_set_policy(s->runner.engine, &s->file->spec, &diag);
    if (result != NSP_OK)
        fprintf(stderr, "nsp: warning: %s\n", diag.text);
    return next_ns < NSP_SCENARIO_NEVER - elapsed_ns ? elapsed_ns + next_ns
                                                     : NSP_SCENARIO_NEVER;
}

static int
run_engine(struct simulation *s, struct nsp_policy_file *file)
{
    const struct nsp_engine_config cfg = {
        .backend = "pcapfile",
        .pcapfile = { .in_path = s->job->in_path,
                      .out_path = s->job->out_path,
                      .direction = s->job->direction },
        .max_held_pkts = HELD_PKTS_MAX,
        .seed = s->job->seed,
        .policy = file->spec,
        .policy_may_change = file->has_scenario,
        .timer = file->has_scenario ? follow_scenario : NULL,
        .timer_context = s,
        .fates = nsp_simulate_take_fates,
        .fates_context = &s->notes,
    };
    struct nsp_diag diag = { .result = NSP_OK };
    int result;

    s->file = file;
    s->runner.ended = note_end;
    s->runner.ended_context = s;
    s->began_ns = nsp_cli_now_ns();
    result = nsp_runner_start(&s->runner, &cfg, "true", &diag);
    if (result < 0)
        return nsp_cli_fail_result(s->cli, result, &diag);
    watch(s);
    return conclude(s);
}

/* --- Preparing ------------------------------------------------------------ */

/* What a policy says that belongs to live traffic alone. */
static void
leave_out(const struct nsp_cli *cli, struct nsp_policy_file *file)
{
    bool events = false;

    for (uint32_t i = 0; i < file->spec.rule_count; i++) {
        events |= file->rules[i].capture || file->rules[i].log_pps != 0;
        file->rules[i].capture = false;
        file->rules[i].log_pps = 0;
        file->rules[i].disabled = !file->notes[i].enabled;
    }
    if (cli->json)
        return;
    if (events)
        fputs("nsp: note: rules log and capture in 'nsp run' alone\n", stderr);
    if (file->has_schedule)
        fputs("nsp: note: rules with 'when' are in force all the time\n",
              stderr);
}

static int
prepare(struct simulation *s)
{
    const struct nsp_simulate_job *job = s->job;
    struct stat in;

    if (stat(job->in_path, &in) == 0 && S_ISREG(in.st_mode))
        s->in_bytes = (uint64_t)in.st_size;
    s->report_to =
        job->out_path && strcmp(job->out_path, "-") == 0 ? stderr : stdout;
    s->shows_progress = !job->quiet && isatty(STDERR_FILENO) &&
                        !(job->lists_drops && isatty(fileno(s->report_to)));
    s->notes.comments = job->out_path != NULL;
    s->notes.drops = job->lists_drops ? s->report_to : NULL;
    s->notes.json = s->cli->json;
    s->ended = eventfd(0, EFD_CLOEXEC);
    if (s->ended < 0)
        return fail_errno(s->cli, errno, "cannot open a descriptor",
                          "raise the limit of open files: ulimit -n 1024");
    if (!job->plot_path)
        return NSP_EXIT_OK;
    nsp_timeline_init(&s->timeline, BIN_NS);
    s->notes.timeline = &s->timeline;
    s->plot = fopen(job->plot_path, "we");
    return s->plot ? NSP_EXIT_OK
                   : fail_errno(s->cli, errno, job->plot_path,
                                "name a file that you may write");
}

int
nsp_simulate_run(struct nsp_cli *cli, const struct nsp_simulate_job *job,
                 struct nsp_policy_file *file)
{
    struct simulation *s = calloc(1, sizeof *s);
    int status;

    if (!s)
        return nsp_cli_fail_result(cli, NSP_NO_MEMORY,
                                   &(struct nsp_diag){ .result = NSP_OK });
    s->cli = cli;
    s->job = job;
    s->ended = -1;
    leave_out(cli, file);
    nsp_interrupt_catch();
    status = prepare(s);
    if (status == NSP_EXIT_OK)
        status = run_engine(s, file);
    if (s->plot)
        fclose(s->plot);
    if (s->ended >= 0)
        close(s->ended);
    nsp_timeline_fini(&s->timeline);
    free(s);
    return status;
}
