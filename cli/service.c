#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cli/clock.h"
#include "cli/diag_print.h"
#include "cli/engine_options.h"
#include "cli/guard.h"
#include "cli/service_state.h"

/* What rules report is fetched this often. */
#define EVENTS_MS 100

static void
stop(struct nsp_service *s)
{
    sigset_t all;

    if (!s->stopping)
        (void)nsp_engine_stop(s->runner.engine);
    s->stopping = true;
    /* The next one has its usual effect. */
    sigemptyset(&all);
    sigaddset(&all, SIGINT);
    sigaddset(&all, SIGTERM);
    pthread_sigmask(SIG_UNBLOCK, &all, NULL);
}

/* --- Requests ------------------------------------------------------------ */

static void
reload_on_signal(struct nsp_service *s)
{
    struct nsp_diag diag;

    if (nsp_service_reload(s, (int)getpid(), false, &diag) != NSP_EXIT_OK)
        fprintf(stderr, "nsp: error: not reloaded: %s\n", diag.text);
}

static void
answer_reload(struct nsp_service *s, int asker, bool goes_on, FILE *to)
{
    struct nsp_json json;
    struct nsp_diag diag;
    int status = nsp_service_reload(s, asker, goes_on, &diag);
    bool ok = status == NSP_EXIT_OK;

    if (!ok && strcmp(diag.category, "own-session") == 0)
        status = NSP_CONTROL_ASKS;
    fprintf(to, "%d\n%s\n", status, ok ? "" : diag.text);
    nsp_json_init(&json, to);
    nsp_json_begin_object(&json, NULL);
    nsp_json_uint(&json, "schema", 1);
    nsp_json_bool(&json, "ok", ok);
    if (ok)
        nsp_json_uint(&json, "rules", s->file->spec.rule_count);
    else
        nsp_json_string(&json, "message", diag.text);
    nsp_json_finish(&json);
}

static void
answer_confirm(struct nsp_service *s, FILE *to)
{
    if (nsp_service_confirm(s))
        fputs("0\n\n{\"schema\":1,\"ok\":true}\n", to);
    else
        fprintf(to,
                "%d\nnothing waits to be confirmed\n"
                "{\"schema\":1,\"ok\":false,"
                "\"message\":\"nothing waits to be confirmed\"}\n",
                NSP_EXIT_FAILED);
}

static void
answer(void *context, const char *word, int asker, FILE *to)
{
    struct nsp_service *s = context;

    if (strcmp(word, "reload") == 0) {
        answer_reload(s, asker, false, to);
    } else if (strcmp(word, "reload-yes") == 0) {
        answer_reload(s, asker, true, to);
    } else if (strcmp(word, "confirm") == 0) {
        answer_confirm(s, to);
    } else if (strcmp(word, "status") == 0) {
        fputs("0\n\n", to);
        nsp_service_write_status(s, "status", to);
    } else {
        fprintf(to,
                "%d\nthis 'nsp run' knows no such request\n"
                "{\"ok\":false}\n",
                NSP_EXIT_USAGE);
    }
}

/* --- Loop ----------------------------------------------------------------- */

static void
take_signal(struct nsp_service *s)
{
    struct signalfd_siginfo info;

    if (read(s->signals, &info, sizeof info) != sizeof info)
        return;
    if (info.ssi_signo == SIGHUP)
        reload_on_signal(s);
    else if (info.ssi_signo == SIGUSR1)
        nsp_service_report(s, "status");
    else
        stop(s);
}

static int
wait_ms(const struct nsp_service *s, uint64_t end_ns)
{
    uint64_t until = end_ns < s->schedule_ns ? end_ns : s->schedule_ns;
    uint64_t now = nsp_cli_now_ns();
    int ms = -1;

    if (s->unconfirmed_ns < until)
        until = s->unconfirmed_ns;
    if (s->scenario_ns < until)
        until = s->scenario_ns;
    if (until != UINT64_MAX)
        ms = until <= now ? 0 : (int)((until - now) / 1000000 + 1);
    if (s->events.now.reports && (ms < 0 || ms > EVENTS_MS))
        ms = EVENTS_MS;
    return ms;
}

static void
read_terminal(struct nsp_service *s)
{
    char line[256];
    ssize_t bytes = read(s->terminal, line, sizeof line);

    if (bytes <= 0)
        s->terminal = -1; /* It has gone. */
    else if (memchr(line, '\n', (size_t)bytes))
        (void)nsp_service_confirm(s);
}

/* Returns when the engine's loop has ended. */
static void
serve(struct nsp_service *s)
{
    uint64_t end_ns =
        s->job->for_ns != 0 ? s->began_ns + s->job->for_ns : UINT64_MAX;
    struct pollfd fds[] = {
        { .fd = s->ended, .events = POLLIN },
        { .fd = s->signals, .events = POLLIN },
        { .fd = s->control.fd, .events = POLLIN }, /* -1 is ignored. */
        { .fd = STDOUT_FILENO, .events = 0 },      /* POLLERR always comes. */
        { .fd = -1, .events = POLLIN },
    };

    for (;;) {
        /* What is typed while nothing waits is somebody else's. */
        fds[4].fd = s->unconfirmed_ns != UINT64_MAX ? s->terminal : -1;
        (void)poll(fds, sizeof fds / sizeof fds[0], wait_ms(s, end_ns));
        nsp_run_events_take(&s->events, s->runner.engine);
        if (fds[0].revents)
            return;
        if (fds[1].revents)
            take_signal(s);
        if (fds[2].revents)
            nsp_control_serve(&s->control, answer, s);
        if (fds[3].revents) {
            fds[3].fd = -1;
            if (s->cli->json)
                stop(s); /* Nobody reads on. */
        }
        if (fds[4].revents)
            read_terminal(s);
        if (nsp_cli_now_ns() >= s->unconfirmed_ns &&
            !nsp_service_take_back(s)) {
            s->not_confirmed = true;
            stop(s);
        }
        if (nsp_cli_now_ns() >= end_ns) {
            end_ns = UINT64_MAX;
            stop(s);
        }
        nsp_service_follow_time(s);
    }
}

/* --- Life ----------------------------------------------------------------- */

static void
note_end(void *context)
{
    const struct nsp_service *s = context;

    (void)eventfd_write(s->ended, 1);
}

static int
fail_errno(struct nsp_cli *cli, int err, const char *what, const char *hint)
{
    struct nsp_diag diag = { .result = NSP_OPEN_FAILED,
                             .os_errno = -err,
                             .category = "system" };

    snprintf(diag.text, sizeof diag.text, "%s: %s", what, strerror(-err));
    snprintf(diag.hint, sizeof diag.hint, "%s", hint);
    return nsp_cli_fail(cli, &diag);
}

static int
open_control(struct nsp_service *s)
{
    char path[NSP_CONTROL_PATH_MAX + 1];
    int err = 0;

    if (s->job->control_path && s->job->control_path[0] == '\0')
        return NSP_EXIT_OK;
    if (s->job->control_path)
        return (err = nsp_control_open(&s->control, s->job->control_path)) < 0
                   ? fail_errno(s->cli, err, s->job->control_path,
                                "name another place with --control")
                   : NSP_EXIT_OK;
    err = nsp_control_default_path(path);
    if (err == -ENOENT)
        return NSP_EXIT_OK; /* No place of this user's; signals work. */
    if (err == 0)
        err = nsp_control_open(&s->control, path);
    return err < 0 ? fail_errno(s->cli, err, "the control socket",
                                "another 'nsp run' may have it: name another "
                                "place with --control, or none with "
                                "--control ''")
                   : NSP_EXIT_OK;
}

static int
open_descriptors(struct nsp_service *s)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    s->signals = signalfd(-1, &set, SFD_CLOEXEC);
    s->ended = eventfd(0, EFD_CLOEXEC);
    if (s->signals < 0 || s->ended < 0)
        return fail_errno(s->cli, -errno, "cannot open a descriptor",
                          "raise the limit of open files: ulimit -n 1024");
    return open_control(s);
}

static int
guard_session(struct nsp_service *s)
{
    struct nsp_service_states states;
    struct nsp_guard guard = nsp_service_guard(s, s->file, &states);

    /* A reload asks nothing of the kind: the bridge stays. */
    guard.ports = s->file->bridge[0] ? s->file->bridge : NULL;
    nsp_service_set_time(s);
    return nsp_guard_ask(s->cli, &guard);
}

static int
start_engine(struct nsp_service *s)
{
    struct nsp_engine_config cfg = nsp_policy_file_engine(s->file);
    struct nsp_diag diag;
    int result;

    cfg.log = nsp_log_to_stderr;
    cfg.bridge.fail_closed = s->job->fail_closed;
    cfg.bridge.take_all = s->job->no_offload;
    cfg.nfqueue.fail_closed = s->job->fail_closed;
    cfg.tap.fail_closed = s->job->fail_closed;
    cfg.workers = s->job->workers;
    cfg.seed = s->job->seed;
    if (s->job->busy_poll)
        nsp_cli_set_busy_poll(&cfg);
    cfg.deep_idle = s->job->deep_idle;
    cfg.no_offload = s->job->no_offload;
    cfg.policy_may_change = true;
    cfg.cpu_count = s->job->cpu_count;
    memcpy(cfg.cpus, s->job->cpus, sizeof cfg.cpus);
    result = nsp_run_events_prepare(&s->events, s->file, &diag);
    if (result != NSP_OK)
        return nsp_cli_fail(s->cli, &diag);
    nsp_run_events_adopt(&s->events, NULL);
    s->runner.ended = note_end;
    s->runner.ended_context = s;
    result =
        nsp_engine_place(&cfg, "true", s->places.list, &s->places.count, &diag);
    if (result == NSP_OK)
        result = nsp_runner_start(&s->runner, &cfg, "true", &diag);
    if (result < 0)
        return nsp_cli_fail(s->cli, &diag);
    return NSP_EXIT_OK;
}

static int
conclude(struct nsp_service *s)
{
    struct nsp_diag diag = { .result = NSP_OK };
    int result, status;

    nsp_run_events_finish(&s->events);
    nsp_service_report(s, "end");
    result = nsp_runner_stop(&s->runner, NULL, &diag);
    if (result >= 0)
        return NSP_EXIT_OK;
    status = nsp_cli_fail_result(s->cli, result, &diag);
    return result == NSP_NOT_POSSIBLE ? status : NSP_EXIT_FAILED;
}

int
nsp_service_run(struct nsp_cli *cli, const struct nsp_service_job *job,
                struct nsp_policy_file *file)
{
    struct nsp_service s = {
        .cli = cli,
        .job = job,
        .file = file,
        .control.fd = -1,
        .events = { .json = cli->json, .quiet = job->quiet },
        .signals = -1,
        .ended = -1,
        .terminal = nsp_guard_has_terminal() ? STDIN_FILENO : -1,
        .unconfirmed_ns = UINT64_MAX,
        .began_ns = nsp_cli_now_ns(),
        .schedule_ns = UINT64_MAX,
        .scenario_ns = UINT64_MAX,
    };
    int status = guard_session(&s); /* Before signals are kept for later. */

    if (status == NSP_EXIT_OK)
        status = open_descriptors(&s);

    if (status == NSP_EXIT_OK)
        status = start_engine(&s);
    if (status == NSP_EXIT_OK) {
        nsp_service_say(&s, "running");
        nsp_service_await_confirmation(&s, NULL);
        nsp_service_begin_scenario(&s);
        serve(&s);
        status = conclude(&s);
        if (status == NSP_EXIT_OK && s.not_confirmed)
            status = nsp_guard_fail_unconfirmed(cli);
    }
    nsp_run_events_finish(&s.events);
    nsp_control_close(&s.control);
    if (s.signals >= 0)
        close(s.signals);
    if (s.ended >= 0)
        close(s.ended);
    nsp_policy_file_destroy(s.confirmed);
    nsp_policy_file_destroy(s.file);
    return status;
}
