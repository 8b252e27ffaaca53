#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cli/capture_job.h"
#include "cli/clock.h"
#include "cli/runner.h"

#define SAMPLE_NS NSP_CLI_NS_PER_S

/* How often packets are fetched: a ring of events lasts much longer. */
#define FETCH_MS 20

#define TAKE_MAX (1u << 20)

struct run {
    struct nsp_cli *cli;
    const struct nsp_capture_job *job;
    struct nsp_runner runner;
    struct nsp_capture *file;
    int signals, ended; /* Descriptors. */
    uint64_t began_ns, next_sample_ns;
    struct nsp_capture_counters counters;
    struct nsp_diag diag; /* Of a file that failed: its result is not NSP_OK. */
    bool stopping;
};

/* --- Packets -------------------------------------------------------------- */

static void
stop(struct run *run)
{
    sigset_t all;

    if (!run->stopping)
        (void)nsp_engine_stop(run->runner.engine);
    run->stopping = true;
    /* The next signal has its usual effect. */
    sigemptyset(&all);
    sigaddset(&all, SIGINT);
    sigaddset(&all, SIGTERM);
    sigaddset(&all, SIGHUP);
    pthread_sigmask(SIG_UNBLOCK, &all, NULL);
}

static bool
has_all(const struct run *run)
{
    return run->job->max_pkts != 0 &&
           run->counters.written.pkts >= run->job->max_pkts;
}

static void
write_one(void *context, const struct nsp_event *event)
{
    struct run *run = context;
    struct nsp_diag diag;
    int result;

    if (has_all(run))
        return;
    /* A file that has ended counts what it does not get. */
    result = nsp_capture_write(run->file, event, &diag);
    if (result == NSP_OK) {
        nsp_capture_read_totals(run->file, &run->counters.written);
    } else if (result == NSP_ABORTED) {
        if (run->diag.result == NSP_OK)
            run->diag = diag;
    } else {
        fprintf(stderr, "nsp: warning: %s\n", diag.text);
    }
}

/* Writes what there is, so that whoever ends us now leaves it all to read. */
static void
flush(struct run *run)
{
    struct nsp_diag diag;

    if (run->diag.result == NSP_OK &&
        nsp_capture_flush(run->file, &diag) != NSP_OK)
        run->diag = diag;
}

static void
fetch(struct run *run)
{
    if (nsp_engine_read_events(run->runner.engine, write_one, run, TAKE_MAX) >
        0)
        flush(run);
    if (run->diag.result != NSP_OK || has_all(run))
        stop(run);
}

static void
read_counters(struct run *run)
{
    nsp_engine_read_stats(run->runner.engine, &run->counters.seen);
    run->counters.elapsed_ns = nsp_cli_now_ns() - run->began_ns;
    run->counters.files = nsp_capture_count_files(run->file);
    nsp_capture_read_totals(run->file, &run->counters.written);
}

static void
sample(struct run *run)
{
    if (run->job->quiet || nsp_cli_now_ns() < run->next_sample_ns)
        return;
    run->next_sample_ns += SAMPLE_NS;
    read_counters(run);
    nsp_capture_report_sample(run->cli, run->job, &run->counters);
}

/* Returns when the engine's loop has ended, with all that it has seen written.
 */
static void
serve(struct run *run)
{
    uint64_t end_ns =
        run->job->for_ns != 0 ? run->began_ns + run->job->for_ns : UINT64_MAX;
    struct signalfd_siginfo info;
    struct pollfd fds[] = {
        { .fd = run->ended, .events = POLLIN },
        { .fd = run->signals, .events = POLLIN },
        { .fd = STDOUT_FILENO, .events = 0 }, /* POLLERR always comes. */
    };

    do {
        (void)poll(fds, sizeof fds / sizeof fds[0], FETCH_MS);
        if (fds[1].revents &&
            read(run->signals, &info, sizeof info) == sizeof info)
            stop(run);
        if (fds[2].revents) { /* Nobody reads on. */
            fds[2].fd = -1;
            stop(run);
        }
        if (nsp_cli_now_ns() >= end_ns)
            stop(run);
        fetch(run);
        sample(run);
    } while (!fds[0].revents);
}

/* --- Life ----------------------------------------------------------------- */

static void
note_end(void *context)
{
    const struct run *run = context;

    (void)eventfd_write(run->ended, 1);
}

static int
open_descriptors(struct run *run)
{
    struct nsp_diag diag = { .result = NSP_OPEN_FAILED, .category = "system" };
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    run->signals = signalfd(-1, &set, SFD_CLOEXEC);
    run->ended = eventfd(0, EFD_CLOEXEC);
    if (run->signals >= 0 && run->ended >= 0)
        return NSP_EXIT_OK;
    diag.os_errno = errno;
    snprintf(diag.text, sizeof diag.text, "cannot open a descriptor: %s",
             strerror(errno));
    snprintf(diag.hint, sizeof diag.hint,
             "raise the limit of open files: ulimit -n 1024");
    return nsp_cli_fail(run->cli, &diag);
}

/* The file comes after the device, so that one that cannot be opened does not
 * cost the file that was there. */
static int
start(struct run *run)
{
    struct nsp_capture_config file = run->job->file;
    struct nsp_diag diag = { .result = NSP_OK };
    int result;

    run->runner.ended = note_end;
    run->runner.ended_context = run;
    result = nsp_runner_start(&run->runner, &run->job->engine, run->job->filter,
                              &diag);
    if (result < 0)
        return nsp_cli_fail_result(run->cli, result, &diag);
    file.epoch_offset_ns = nsp_cli_clock_ns(CLOCK_REALTIME) - nsp_cli_now_ns();
    result = nsp_capture_open(&file, &run->file, &diag);
    return result < 0 ? nsp_cli_fail(run->cli, &diag) : NSP_EXIT_OK;
}

/* Whether the file ended because its reader has had enough. */
static bool
reader_left(const struct run *run)
{
    return nsp_capture_to_stdout(run->job) && run->diag.os_errno == EPIPE;
}

static int
conclude(struct run *run)
{
    struct nsp_diag diag = { .result = NSP_OK }, closing;
    int result;

    flush(run); /* So that what is counted is there. */
    read_counters(run);
    if (nsp_capture_close(run->file, &closing) != NSP_OK &&
        run->diag.result == NSP_OK)
        run->diag = closing;
    run->file = NULL;
    result = nsp_runner_stop(&run->runner, &run->counters.seen, &diag);
    if (run->diag.result != NSP_OK && !reader_left(run)) {
        diag = run->diag;
        result = diag.result;
    }
    if (result >= 0 || !run->cli->json)
        nsp_capture_report_end(run->cli, run->job, &run->counters);
    else /* The last object is the error. */
        nsp_capture_report_sample(run->cli, run->job, &run->counters);
    if (result >= 0)
        return NSP_EXIT_OK;
    nsp_cli_fail_result(run->cli, result, &diag);
    return NSP_EXIT_FAILED;
}

int
nsp_capture_run(struct nsp_cli *cli, const struct nsp_capture_job *job)
{
    struct run run = {
        .cli = cli,
        .job = job,
        .signals = -1,
        .ended = -1,
        .began_ns = nsp_cli_now_ns(),
    };
    int status = open_descriptors(&run);

    run.next_sample_ns = run.began_ns + SAMPLE_NS;
    if (status == NSP_EXIT_OK)
        status = start(&run);
    if (status == NSP_EXIT_OK) {
        nsp_capture_report_begin(cli, job);
        serve(&run);
        status = conclude(&run);
    }
    nsp_runner_stop(&run.runner, NULL, &run.diag);
    if (run.signals >= 0)
        close(run.signals);
    if (run.ended >= 0)
        close(run.ended);
    return status;
}
