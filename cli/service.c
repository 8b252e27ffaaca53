#define _GNU_SOURCE
#include "cli/service.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "cli/control.h"
#include "cli/guard.h"
#include "cli/places.h"
#include "cli/policy_load.h"
#include "cli/policy_report.h"
#include "cli/run_events.h"
#include "cli/runner.h"

#define NS_PER_S UINT64_C(1000000000)

/* The clock on the wall may be set: schedules are looked at this often. */
#define SCHEDULE_S_MAX 30u

/* What rules report is fetched this often. */
#define EVENTS_MS 100

struct service {
    struct nsp_cli *cli;
    const struct nsp_service_job *job;
    struct nsp_policy_file *file;
    struct nsp_runner runner;
    struct nsp_control control;
    struct nsp_run_events events;
    struct nsp_places places;
    int signals, ended; /* Descriptors. */
    int terminal;       /* On which Enter confirms; -1: none. */
    uint64_t began_ns, reloads;
    uint64_t schedule_ns; /* When to look at it next; UINT64_MAX never. */
    /* With --confirm, until the policy in force is confirmed. */
    uint64_t unconfirmed_ns;           /* Taken back then; UINT64_MAX: not. */
    struct nsp_policy_file *confirmed; /* Comes back; NULL: the run ends. */
    bool stopping, not_confirmed;
    uint64_t scenario_began_ns, scenario_ns; /* The same. */
};

static uint64_t
now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* --- What it says --------------------------------------------------------- */

static void
say(const struct service *s, const char *what)
{
    struct nsp_json json;
    char places[128];

    if (s->cli->json) {
        nsp_json_init(&json, stdout);
        nsp_json_begin_object(&json, NULL);
        nsp_json_uint(&json, "schema", 1);
        nsp_json_string(&json, "type", what);
        nsp_json_uint(&json, "rules", s->file->spec.rule_count);
        nsp_json_uint(&json, "elapsed_ns", now_ns() - s->began_ns);
        nsp_places_json(&s->places, &json);
        nsp_json_finish(&json);
    } else if (!s->job->quiet) {
        printf("nsp: %s: %s, %u rules, %s\n", s->job->policy_path, what,
               s->file->spec.rule_count,
               nsp_places_write(&s->places, places, sizeof places));
        fflush(stdout);
    }
}

static void
write_status(const struct service *s, const char *type, FILE *to)
{
    struct nsp_json json;

    nsp_json_init(&json, to);
    nsp_json_begin_object(&json, NULL);
    nsp_json_uint(&json, "schema", 1);
    nsp_json_string(&json, "type", type);
    nsp_json_bool(&json, "ok", true);
    nsp_json_string(&json, "policy", s->job->policy_path);
    nsp_json_uint(&json, "elapsed_ns", now_ns() - s->began_ns);
    nsp_json_uint(&json, "reloads", s->reloads);
    nsp_policy_report_json(&json, s->runner.engine);
    nsp_json_finish(&json);
}

static void
report(const struct service *s, const char *type)
{
    if (s->cli->json)
        write_status(s, type, stdout);
    else if (!s->job->quiet)
        nsp_policy_report_print(stdout, s->runner.engine);
}

/* --- Schedules ------------------------------------------------------------ */

static bool
set_time(struct service *s)
{
    struct nsp_local_time local;
    uint32_t next_s = 0;
    time_t now = time(NULL);
    struct tm tm;
    bool changed;

    localtime_r(&now, &tm);
    local.day = (uint32_t)(tm.tm_wday + 6) % 7;
    local.second = (uint32_t)(tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec) %
                   NSP_DAY_SECONDS;
    changed = nsp_policy_file_set_time(s->file, &local, &next_s);
    s->schedule_ns = UINT64_MAX;
    if (next_s != NSP_SCHEDULE_NEVER) {
        if (next_s > SCHEDULE_S_MAX)
            next_s = SCHEDULE_S_MAX;
        s->schedule_ns = now_ns() + next_s * NS_PER_S;
    }
    return changed;
}

/* --- Scenarios ------------------------------------------------------------ */

/* Makes the policy that of now; a scenario begins with its policy. */
static int
set_elapsed(struct service *s)
{
    uint64_t elapsed_ns = now_ns() - s->scenario_began_ns, next_ns;
    int result;

    s->scenario_ns = UINT64_MAX;
    if (!s->file->has_scenario)
        return NSP_OK;
    result = nsp_policy_file_set_elapsed(s->file, elapsed_ns, &next_ns);
    if (next_ns < UINT64_MAX - elapsed_ns - s->scenario_began_ns)
        s->scenario_ns = s->scenario_began_ns + elapsed_ns + next_ns;
    set_time(s); /* It said which rules are enabled. */
    return result;
}

static void
begin_scenario(struct service *s)
{
    s->scenario_began_ns = now_ns();
    (void)set_elapsed(s); /* At its beginning it is as it was read. */
}

/* --- Both ----------------------------------------------------------------- */

static void
follow_time(struct service *s)
{
    bool of_scenario = now_ns() >= s->scenario_ns;
    bool of_schedule = now_ns() >= s->schedule_ns && set_time(s);
    struct nsp_diag diag = { .text = "the scenario leads to a policy that is "
                                     "not possible; the one in force stays" };
    int result = NSP_OK;

    if (!of_scenario && !of_schedule)
        return;
    if (of_scenario)
        result = set_elapsed(s);
    if (result == NSP_OK)
        result = nsp_engine_set_policy(s->runner.engine, &s->file->spec, &diag);
    if (result != NSP_OK)
        fprintf(stderr, "nsp: warning: %s\n", diag.text);
    else if (of_schedule)
        say(s, "schedule");
}

/* --- Reloading ------------------------------------------------------------ */

/* Puts 'file' in the place of the present one, which the caller then owns.
 * Returns NSP_OK, or what refused it; the present one then stays. */
static int
replace_policy(struct service *s, struct nsp_policy_file *file,
               struct nsp_diag *reterr)
{
    struct nsp_policy_file *before = s->file;
    uint64_t began_ns = s->scenario_began_ns;
    int result = nsp_run_events_prepare(&s->events, file, reterr);

    if (result != NSP_OK)
        return result;
    s->file = file;
    set_time(s);
    begin_scenario(s);
    result = nsp_engine_set_policy(s->runner.engine, &file->spec, reterr);
    if (result != NSP_OK) {
        nsp_run_events_abandon(&s->events);
        s->file = before;
        set_time(s);
        s->scenario_began_ns = began_ns;
        (void)set_elapsed(s);
        return result;
    }
    nsp_run_events_adopt(&s->events, s->runner.engine);
    return NSP_OK;
}

static bool
same_bridge(const struct nsp_policy_file *a, const struct nsp_policy_file *b)
{
    if (!a->bridge[0] || !b->bridge[0])
        return a->bridge[0] == b->bridge[0];
    return strcmp(a->bridge[0], b->bridge[0]) == 0 &&
           strcmp(a->bridge[1], b->bridge[1]) == 0;
}

static void
stop(struct service *s)
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

/* --- Confirming ----------------------------------------------------------- */

/* The policy in force has to be confirmed; 'before' comes back otherwise,
 * unless that has not been confirmed either. NULL: the run ends. Takes 'before'
 * over. */
static void
await_confirmation(struct service *s, struct nsp_policy_file *before)
{
    bool waits = s->unconfirmed_ns != UINT64_MAX;

    if (s->job->confirm_ns == 0 || (waits && before)) {
        nsp_policy_file_destroy(before);
    } else {
        s->confirmed = before;
    }
    if (s->job->confirm_ns == 0)
        return;
    s->unconfirmed_ns = now_ns() + s->job->confirm_ns;
    say(s, "unconfirmed");
    if (!s->cli->json && !s->job->quiet)
        printf("nsp: 'nsp confirm'%s keeps it, %s otherwise\n",
               s->terminal >= 0 ? " or Enter" : "",
               s->confirmed ? "the policy before comes back" : "this ends");
    fflush(stdout);
}

static bool
confirm(struct service *s)
{
    if (s->unconfirmed_ns == UINT64_MAX)
        return false;
    s->unconfirmed_ns = UINT64_MAX;
    s->confirmed = nsp_policy_file_destroy(s->confirmed);
    say(s, "confirmed");
    return true;
}

/* Nobody has confirmed in time. What cannot be taken back ends with the run. */
static void
take_back(struct service *s)
{
    struct nsp_policy_file *dismissed = s->file;
    struct nsp_diag diag;

    s->unconfirmed_ns = UINT64_MAX;
    if (s->confirmed && replace_policy(s, s->confirmed, &diag) == NSP_OK) {
        s->confirmed = NULL;
        nsp_policy_file_destroy(dismissed);
        fputs(
            "nsp: warning: not confirmed in time: the policy before is back\n",
            stderr);
        say(s, "rolled-back");
        return;
    }
    s->not_confirmed = true;
    stop(s);
}

/* --- Reading the file again ----------------------------------------------- */

/* Reads the file again and puts it in force. Returns an enum nsp_exit; errors
 * are on standard error, and the first is in 'reterr'. */
static int
reload(struct service *s, struct nsp_diag *reterr)
{
    struct nsp_policy_file *file = NULL, *before = s->file;
    struct nsp_cli quiet = *s->cli;
    int result, status;

    quiet.json = false; /* Of the log, not of the document in progress. */
    *reterr = (struct nsp_diag){ .category = "policy" };
    snprintf(reterr->text, sizeof reterr->text,
             "%.100s has errors: 'nsp check' shows them; the policy in force "
             "stays",
             s->job->policy_path);
    status = nsp_cli_load_policy(&quiet, s->job->policy_path, true, &file);
    if (status != NSP_EXIT_OK)
        return status;
    if (file->hooks != s->file->hooks || !same_bridge(file, s->file)) {
        nsp_policy_file_destroy(file);
        snprintf(reterr->text, sizeof reterr->text,
                 "'intercept' has changed: start again with it");
        return NSP_EXIT_FAILED;
    }
    result = replace_policy(s, file, reterr);
    if (result != NSP_OK) {
        nsp_policy_file_destroy(file);
        return nsp_cli_exit_status(result);
    }
    s->reloads++;
    say(s, "reloaded");
    await_confirmation(s, before);
    return NSP_EXIT_OK;
}

static void
reload_on_signal(struct service *s)
{
    struct nsp_diag diag;

    if (reload(s, &diag) != NSP_EXIT_OK)
        fprintf(stderr, "nsp: error: not reloaded: %s\n", diag.text);
}

static void
answer_reload(struct service *s, FILE *to)
{
    struct nsp_json json;
    struct nsp_diag diag;
    int status = reload(s, &diag);
    bool ok = status == NSP_EXIT_OK;

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
answer_confirm(struct service *s, FILE *to)
{
    if (confirm(s))
        fputs("0\n\n{\"schema\":1,\"ok\":true}\n", to);
    else
        fprintf(to,
                "%d\nnothing waits to be confirmed\n"
                "{\"schema\":1,\"ok\":false,"
                "\"message\":\"nothing waits to be confirmed\"}\n",
                NSP_EXIT_FAILED);
}

static void
answer(void *context, const char *word, FILE *to)
{
    struct service *s = context;

    if (strcmp(word, "reload") == 0) {
        answer_reload(s, to);
    } else if (strcmp(word, "confirm") == 0) {
        answer_confirm(s, to);
    } else if (strcmp(word, "status") == 0) {
        fputs("0\n\n", to);
        write_status(s, "status", to);
    } else {
        fprintf(to,
                "%d\nthis 'nsp run' knows no such request\n"
                "{\"ok\":false}\n",
                NSP_EXIT_USAGE);
    }
}

/* --- Loop ----------------------------------------------------------------- */

static void
take_signal(struct service *s)
{
    struct signalfd_siginfo info;

    if (read(s->signals, &info, sizeof info) != sizeof info)
        return;
    if (info.ssi_signo == SIGHUP)
        reload_on_signal(s);
    else if (info.ssi_signo == SIGUSR1)
        report(s, "status");
    else
        stop(s);
}

static int
wait_ms(const struct service *s, uint64_t end_ns)
{
    uint64_t until = end_ns < s->schedule_ns ? end_ns : s->schedule_ns;
    uint64_t now = now_ns();
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
read_terminal(struct service *s)
{
    char line[256];
    ssize_t bytes = read(s->terminal, line, sizeof line);

    if (bytes <= 0)
        s->terminal = -1; /* It has gone. */
    else if (memchr(line, '\n', (size_t)bytes))
        (void)confirm(s);
}

/* Returns when the engine's loop has ended. */
static void
serve(struct service *s)
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
        if (now_ns() >= s->unconfirmed_ns)
            take_back(s);
        if (now_ns() >= end_ns) {
            end_ns = UINT64_MAX;
            stop(s);
        }
        follow_time(s);
    }
}

/* --- Life ----------------------------------------------------------------- */

static void
note_end(void *context)
{
    const struct service *s = context;

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
open_control(struct service *s)
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
open_descriptors(struct service *s)
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
guard_session(struct service *s)
{
    const struct nsp_guard guard = {
        .spec = &s->file->spec,
        .filters = s->file->filters,
        .hooks = s->file->hooks,
        .goes_on = s->job->goes_on,
        .comes_back = s->job->confirm_ns != 0,
    };

    set_time(s);
    return nsp_guard_ask(s->cli, &guard);
}

static int
start_engine(struct service *s)
{
    struct nsp_engine_config cfg = {
        .backend = s->file->bridge[0] ? "bridge" : "host",
        .bridge = { .interfaces = { s->file->bridge[0], s->file->bridge[1] },
                    .fail_closed = s->job->fail_closed,
                    .take_all = s->job->no_offload },
        .hooks = s->file->hooks,
        .workers = s->job->workers,
        .cpu_count = s->job->cpu_count,
        .seed = s->job->seed,
        .busy_poll = s->job->busy_poll,
        .no_offload = s->job->no_offload,
        .nfqueue.fail_closed = s->job->fail_closed,
        .tap.fail_closed = s->job->fail_closed,
        .policy = s->file->spec,
        .policy_may_change = true,
    };
    struct nsp_diag diag;
    int result;

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
    nsp_places_warn(&s->places);
    return NSP_EXIT_OK;
}

static int
conclude(struct service *s)
{
    struct nsp_diag diag = { .result = NSP_OK };
    int result, status;

    nsp_run_events_finish(&s->events);
    report(s, "end");
    result = nsp_runner_stop(&s->runner, NULL, &diag);
    if (result >= 0)
        return NSP_EXIT_OK;
    status = nsp_cli_fail_result(s->cli, result, &diag);
    return result == NSP_NOT_POSSIBLE ? status : NSP_EXIT_FAILED;
}

static int
fail_unconfirmed(struct nsp_cli *cli)
{
    const struct nsp_diag diag = {
        .result = NSP_ABORTED,
        .category = "not-confirmed",
        .text = "not confirmed in time: the network is as it was before",
        .hint = "'nsp confirm' keeps a policy that was started with --confirm",
    };

    return nsp_cli_fail(cli, &diag);
}

int
nsp_service_run(struct nsp_cli *cli, const struct nsp_service_job *job,
                struct nsp_policy_file *file)
{
    struct service s = {
        .cli = cli,
        .job = job,
        .file = file,
        .control.fd = -1,
        .events = { .json = cli->json, .quiet = job->quiet },
        .signals = -1,
        .ended = -1,
        .terminal = isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp()
                        ? STDIN_FILENO
                        : -1,
        .unconfirmed_ns = UINT64_MAX,
        .began_ns = now_ns(),
        .schedule_ns = UINT64_MAX,
        .scenario_ns = UINT64_MAX,
    };
    int status = guard_session(&s); /* Before signals are kept for later. */

    if (status == NSP_EXIT_OK)
        status = open_descriptors(&s);

    if (status == NSP_EXIT_OK)
        status = start_engine(&s);
    if (status == NSP_EXIT_OK) {
        say(&s, "running");
        await_confirmation(&s, NULL);
        begin_scenario(&s);
        serve(&s);
        status = conclude(&s);
        if (status == NSP_EXIT_OK && s.not_confirmed)
            status = fail_unconfirmed(cli);
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
