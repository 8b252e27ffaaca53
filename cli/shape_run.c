#include "cli/shape.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "cli/capture.h"
#include "cli/clock.h"
#include "cli/diag_print.h"
#include "cli/guard.h"
#include "cli/interfaces.h"
#include "config/fragments.h"

#define SAMPLE_NS UINT64_C(1000000000)

/* What a signal may touch. The handler stops the engine; the flag is for a
 * signal that comes before there is a loop to stop. A handler may run in any
 * thread: both are lock-free atomics. */
static _Atomic(struct nsp_engine *) stoppable;
static atomic_bool stop_asked;

/* The engine's loop runs in a thread of its own, and says on 'done' when it has
 * ended, so that this thread can print meanwhile. */
struct loop {
    struct nsp_engine *engine;
    uint64_t for_ns;
    int result;
    int done[2];
    pthread_t thread;
    uint64_t unconfirmed_ns; /* Ends then; UINT64_MAX: not. */
    int terminal;            /* On which Enter confirms; -1: it has gone. */
    bool not_confirmed;
};

static void
on_signal(int number)
{
    struct nsp_engine *engine = stoppable;
    int saved = errno;

    (void)number;
    stop_asked = true;
    if (engine)
        nsp_engine_stop(engine);
    errno = saved;
}

/* A second signal of the same kind ends the process at once; the kernel then
 * takes the rules away. */
static void
catch_signals(void)
{
    static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
    struct sigaction action = { .sa_handler = on_signal };

    action.sa_flags = (int)SA_RESETHAND;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        sigaction(numbers[i], &action, NULL);
}

static void *
run_loop(void *opaque)
{
    struct loop *loop = opaque;

    loop->result = loop->for_ns ? nsp_engine_run_for(loop->engine, loop->for_ns)
                                : nsp_engine_run(loop->engine);
    close(loop->done[1]);
    return NULL;
}

/* Takes what was typed. */
static void
read_terminal(struct loop *loop)
{
    char line[256];
    ssize_t bytes = read(loop->terminal, line, sizeof line);

    if (bytes <= 0)
        loop->terminal = -1;
    else if (memchr(line, '\n', (size_t)bytes))
        loop->unconfirmed_ns = UINT64_MAX;
}

static void
end_unconfirmed(struct loop *loop)
{
    loop->unconfirmed_ns = UINT64_MAX;
    loop->not_confirmed = true;
    nsp_engine_stop(loop->engine);
}

/* Waits for the loop's end, at most until 'until_ns'. Tells whether it came.
 * Stops the loop when the reader of our output leaves, or nobody confirms. */
static bool
wait_done(struct loop *loop, FILE *to, uint64_t until_ns)
{
    struct pollfd fds[] = {
        { .fd = loop->done[0], .events = POLLIN },
        { .fd = fileno(to), .events = 0 }, /* POLLERR always comes. */
        { .fd = -1, .events = POLLIN },
    };

    for (;;) {
        uint64_t now = nsp_cli_now_ns();
        uint64_t next =
            until_ns < loop->unconfirmed_ns ? until_ns : loop->unconfirmed_ns;
        int wait_ms = 0;

        if (now < next)
            wait_ms = (int)((next - now + 999999) / 1000000);
        /* What is typed while nothing waits is somebody else's. */
        fds[2].fd = loop->unconfirmed_ns != UINT64_MAX ? loop->terminal : -1;
        if (poll(fds, sizeof fds / sizeof fds[0], wait_ms) > 0) {
            if (fds[0].revents)
                return true;
            if (fds[1].revents) {
                nsp_engine_stop(loop->engine);
                fds[1].fd = -1;
            }
            if (fds[2].revents)
                read_terminal(loop);
        }
        if (now >= loop->unconfirmed_ns)
            end_unconfirmed(loop);
        if (now >= until_ns)
            return false;
    }
}

static void
add_rule(struct nsp_rule_stats *sum, const struct nsp_rule_stats *rule)
{
    sum->in_pkts += rule->in_pkts;
    sum->in_bytes += rule->in_bytes;
    sum->delivered_pkts += rule->delivered_pkts;
    sum->delivered_bytes += rule->delivered_bytes;
    for (int i = 0; i < NSP_DROP_COUNT; i++)
        sum->dropped_pkts[i] += rule->dropped_pkts[i];
    sum->dropped_bytes += rule->dropped_bytes;
    sum->queued_pkts += rule->queued_pkts;
    sum->queued_bytes += rule->queued_bytes;
}

static void
read_counters(struct nsp_engine *engine, struct nsp_shape_counters *ret)
{
    struct nsp_rule_stats rule;

    *ret = (struct nsp_shape_counters){ .at_ns = 0 };
    nsp_engine_read_stats(engine, &ret->all);
    for (uint32_t i = 0; nsp_engine_read_rule_stats(engine, i, &rule) == NSP_OK;
         i++)
        add_rule(&ret->shaped, &rule);
    ret->at_ns = nsp_cli_now_ns();
}

/* Prints while the loop runs. */
static void
watch(struct loop *loop, struct nsp_shape_report *report)
{
    uint64_t next_ns = report->began_ns + SAMPLE_NS;
    struct nsp_shape_counters now;

    for (; !wait_done(loop, report->to, next_ns); next_ns += SAMPLE_NS) {
        if (report->job->quiet)
            continue;
        read_counters(loop->engine, &now);
        nsp_shape_report_sample(report, &now);
        if (ferror(report->to))
            nsp_engine_stop(loop->engine); /* Nobody reads on. */
    }
}

static int
fail_errno(struct nsp_cli *cli, int error, const char *what, const char *cure)
{
    struct nsp_diag diag = { .result = NSP_NO_MEMORY,
                             .os_errno = error,
                             .category = "system" };

    snprintf(diag.text, sizeof diag.text, "%s: %s", what, strerror(error));
    snprintf(diag.hint, sizeof diag.hint, "%s", cure);
    return nsp_cli_fail(cli, &diag);
}

/* Runs the started engine to its end. */
static int
run_and_watch(struct nsp_cli *cli, struct loop *loop,
              struct nsp_shape_report *report)
{
    int error;

    if (pipe(loop->done) < 0)
        return fail_errno(cli, errno, "cannot make a pipe",
                          "raise the limit of open files: ulimit -n 1024");
    error = pthread_create(&loop->thread, NULL, run_loop, loop);
    if (error) {
        close(loop->done[0]);
        close(loop->done[1]);
        return fail_errno(
            cli, error, "cannot start a thread",
            "raise the limit of threads (ulimit -u), or free memory");
    }
    nsp_shape_report_begin(report);
    watch(loop, report);
    pthread_join(loop->thread, NULL);
    close(loop->done[0]);
    return NSP_EXIT_OK;
}

/* Prints the accounting, and why the loop ended if it failed. */
static int
conclude(struct nsp_cli *cli, struct loop *loop,
         struct nsp_shape_report *report)
{
    struct nsp_shape_counters now;
    struct nsp_diag diag;

    read_counters(loop->engine, &now);
    if (loop->result >= 0) {
        nsp_shape_report_end(report, &now, loop->result);
        return NSP_EXIT_OK;
    }
    if (!cli->json) /* The error is then the final document. */
        nsp_shape_report_end(report, &now, loop->result);
    nsp_engine_read_diag(loop->engine, &diag);
    if (diag.result == NSP_OK)
        diag = (struct nsp_diag){ .result = loop->result };
    if (report->job->engine.pcapfile.in_path)
        nsp_capture_explain(&diag, report->job->engine.pcapfile.in_path,
                            now.all.in_pkts);
    nsp_cli_fail(cli, &diag);
    return diag.result == NSP_NOT_POSSIBLE ? NSP_EXIT_NOT_POSSIBLE
                                           : NSP_EXIT_FAILED;
}

static int
run_engine(struct nsp_cli *cli, const struct nsp_shape_job *job,
           struct nsp_engine *engine)
{
    struct loop loop = { .engine = engine,
                         .for_ns = job->for_ns,
                         .unconfirmed_ns = UINT64_MAX,
                         .terminal = STDIN_FILENO };
    struct nsp_shape_report report;
    struct nsp_diag diag;
    int result, status;

    result = nsp_engine_start(engine, job->filter, &diag);
    /* A signal may have cut the opening short: it did not fail. */
    if (result == NSP_STOPPED || (result == NSP_OPEN_FAILED && stop_asked))
        return NSP_EXIT_OK;
    if (result == NSP_INVALID_FILTER)
        return nsp_cli_fail_at(cli, &diag, "--filter", job->filter);
    if (result < 0)
        return nsp_cli_fail(cli, &diag);
    if (stop_asked)
        nsp_engine_stop(engine);
    nsp_shape_report_init(&report, cli, job, nsp_cli_now_ns());
    if (job->confirm_ns != 0) {
        loop.unconfirmed_ns = nsp_cli_now_ns() + job->confirm_ns;
        fputs("nsp: Enter keeps it, this ends otherwise\n", stderr);
    }
    status = run_and_watch(cli, &loop, &report);
    if (status == NSP_EXIT_OK)
        status = conclude(cli, &loop, &report);
    if (status == NSP_EXIT_OK && loop.not_confirmed)
        status = nsp_guard_fail_unconfirmed(cli);
    return status;
}

/* Asks where the job would cut off who starts it. A filter with an error is
 * told of when the engine starts. */
static int
guard_session(struct nsp_cli *cli, const struct nsp_shape_job *job)
{
    struct nsp_guard guard = {
        .spec = &job->engine.policy,
        .hooks = job->engine.hooks,
        .goes_on = job->goes_on,
        .comes_back = job->confirm_ns != 0,
    };
    struct nsp_filter *start = NULL;
    int status;

    if (strcmp(job->engine.backend, "tap") == 0) {
        guard.taken = job->engine.tap.interfaces;
        guard.taken_count = job->engine.tap.interface_count;
    }
    if (strcmp(job->engine.backend, "bridge") == 0)
        guard.ports = job->engine.bridge.interfaces;
    if (nsp_filter_compile_with(job->filter, NSP_LAYER_NETWORK,
                                job->engine.filters, NULL, &start,
                                NULL) != NSP_OK)
        return NSP_EXIT_OK;
    guard.start = start;
    status = nsp_guard_ask(cli, &guard);
    nsp_filter_destroy(start);
    return status;
}

/* A filter that matches nothing where packets are taken, as 'nsp check' tells
 * of rules. */
static void
warn_fragments(const struct nsp_shape_job *job)
{
    const struct nsp_policy_spec *policy = &job->engine.policy;
    uint8_t apply =
        policy->rule_count == 1 ? policy->rules[0].apply : NSP_APPLY_BOTH;
    struct nsp_filter *filter;

    if (nsp_filter_compile_with(job->filter, NSP_LAYER_NETWORK,
                                job->engine.filters, NULL, &filter,
                                NULL) != NSP_OK)
        return; /* Starting says why. */
    if (nsp_fragments_never_come(filter, apply, job->places.list,
                                 job->places.count))
        fputs("nsp: warning: --filter " NSP_FRAGMENTS_TEXT
              "\nhint: ask for 'length' instead; 'nsp shape --on tap' and a "
              "bridge see fragments\n",
              stderr);
    nsp_filter_destroy(filter);
}

int
nsp_shape_run(struct nsp_cli *cli, struct nsp_shape_job *job)
{
    /* The names in a capture are another machine's. */
    static const struct nsp_filter_options live = {
        .interfaces = &nsp_cli_interfaces,
    };
    struct nsp_engine *engine = NULL;
    struct nsp_diag diag;
    int result, status;

    if (!job->engine.pcapfile.in_path) {
        job->engine.filters = &live;
        job->engine.log = nsp_log_to_stderr;
        status = guard_session(cli, job);
        if (status != NSP_EXIT_OK)
            return status;
    }
    catch_signals();
    result = nsp_engine_create(&job->engine, &engine, &diag);
    if (result < 0)
        return nsp_cli_fail(cli, &diag);
    if (!job->engine.pcapfile.in_path &&
        nsp_engine_place(&job->engine, job->filter, job->places.list,
                         &job->places.count, NULL) != NSP_OK)
        job->places.count = 0; /* Starting says why. */
    warn_fragments(job);
    stoppable = engine;
    status = run_engine(cli, job, engine);
    stoppable = NULL;
    nsp_engine_destroy(engine);
    nsp_cli_interfaces_fini();
    return status;
}
