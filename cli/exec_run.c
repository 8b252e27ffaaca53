#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/clock.h"
#include "cli/exec.h"
#include "cli/policy_report.h"
#include "cli/runner.h"
#include "lab/loopnet.h"

/* Of an ordinary link, not the 64 KiB of loopback: a rate, a loss is then that
 * of packets as they are elsewhere. */
#define MTU_BYTES 1500u

struct run {
    struct nsp_cli *cli;
    const struct nsp_exec_job *job;
    struct nsp_exec_inherited inherited;
    struct nsp_runner runner;
    struct nsp_exec_outside outside;
    FILE *report;       /* NULL: none was asked for. */
    int signals, ended; /* Descriptors. */
    pid_t pid;
    int wait_status;
    uint64_t began_ns, ended_ns;
};

static int
fail_errno(struct nsp_cli *cli, int err, const char *what, const char *hint)
{
    struct nsp_diag diag = { .result = NSP_OPEN_FAILED,
                             .os_errno = -err,
                             .category = "system" };

    snprintf(diag.text, sizeof diag.text, "%.150s: %s", what, strerror(-err));
    snprintf(diag.hint, sizeof diag.hint, "%s", hint);
    nsp_cli_fail(cli, &diag);
    return NSP_EXEC_FAILED;
}

/* --- Report --------------------------------------------------------------- */

static void
write_json(const struct run *r, FILE *to)
{
    struct nsp_json json;

    nsp_json_init(&json, to);
    nsp_json_begin_object(&json, NULL);
    nsp_json_uint(&json, "schema", 1);
    nsp_json_string(&json, "type", "exec");
    nsp_json_begin_array(&json, "command");
    for (char *const *word = r->job->command; *word; word++)
        nsp_json_string(&json, NULL, *word);
    nsp_json_end(&json);
    if (WIFSIGNALED(r->wait_status))
        nsp_json_uint(&json, "signal", (uint64_t)WTERMSIG(r->wait_status));
    else
        nsp_json_uint(&json, "exit_status",
                      (uint64_t)WEXITSTATUS(r->wait_status));
    nsp_json_uint(&json, "elapsed_ns", r->ended_ns - r->began_ns);
    nsp_policy_report_json(&json, r->runner.engine);
    nsp_json_finish(&json);
}

static void
print_text(const struct run *r)
{
    fprintf(stderr, "nsp: %s: %.3f s\n", r->job->command[0],
            (double)(r->ended_ns - r->began_ns) / 1e9);
    nsp_policy_report_print(stderr, r->runner.engine);
}

/* Returns NSP_EXIT_OK or NSP_EXEC_FAILED. */
static int
report(struct run *r)
{
    bool failed;

    if (r->cli->json)
        write_json(r, stderr);
    else if (!r->job->quiet)
        print_text(r);
    if (!r->report)
        return NSP_EXIT_OK;
    write_json(r, r->report);
    errno = 0;
    failed = ferror(r->report) != 0;
    failed |= fclose(r->report) != 0;
    r->report = NULL;
    return failed ? fail_errno(r->cli, errno ? -errno : -EIO,
                               r->job->report_path, "make room there")
                  : NSP_EXIT_OK;
}

/* --- Running -------------------------------------------------------------- */

static void
note_end(void *context)
{
    const struct run *r = context;

    (void)eventfd_write(r->ended, 1);
}

/* Passes a signal on, unless it came from the terminal: that sends its own to
 * the command as well. */
static void
pass_on(const struct run *r, const struct signalfd_siginfo *info)
{
    if (info->ssi_code != SI_KERNEL)
        kill(r->pid, (int)info->ssi_signo);
}

/* Returns when the command has ended. Tells whether the engine held out. */
static bool
wait_for_command(struct run *r)
{
    struct pollfd fds[] = {
        { .fd = r->signals, .events = POLLIN },
        { .fd = r->ended, .events = POLLIN },
    };
    struct signalfd_siginfo info;
    bool shaped = true;

    for (;;) {
        (void)poll(fds, 2, -1);
        if (fds[1].revents) { /* What it did from here on would prove nothing.
                               */
            fds[1].fd = -1;
            shaped = false;
            kill(r->pid, SIGTERM);
            kill(r->pid, SIGCONT);
        }
        if (!fds[0].revents ||
            read(r->signals, &info, sizeof info) != sizeof info)
            continue;
        if (info.ssi_signo != SIGCHLD)
            pass_on(r, &info);
        else if (waitpid(r->pid, &r->wait_status, WNOHANG) == r->pid)
            return shaped;
    }
}

/* Lets what is still held go, so that the counters are the final ones. */
static void
stop_engine(const struct run *r)
{
    struct pollfd ended = { .fd = r->ended, .events = POLLIN };

    (void)nsp_engine_stop(r->runner.engine);
    while (poll(&ended, 1, -1) < 0 && errno == EINTR)
        ;
}

static int
start_command(struct run *r)
{
    bool execs = false;
    int err = nsp_exec_start(r->job->command, &r->inherited, &r->pid, &execs);

    if (err == 0)
        return NSP_EXIT_OK;
    if (!execs)
        return fail_errno(r->cli, err, "cannot start a process",
                          "raise the limit of processes (ulimit -u)");
    waitpid(r->pid, &r->wait_status, 0);
    fail_errno(r->cli, err, r->job->command[0],
               err == -ENOENT ? "name a program that is in PATH, or its place"
                              : "name a program that you may execute");
    return err == -ENOENT ? NSP_EXEC_NOT_FOUND : NSP_EXEC_NOT_EXECUTABLE;
}

/* With the engine running. */
static int
run_command(struct run *r)
{
    int status, reported;
    bool shaped;

    r->began_ns = nsp_cli_now_ns();
    status = start_command(r);
    if (status != NSP_EXIT_OK)
        return status;
    shaped = wait_for_command(r);
    r->ended_ns = nsp_cli_now_ns();
    if (shaped)
        stop_engine(r);
    reported = report(r);
    status = WIFEXITED(r->wait_status) ? WEXITSTATUS(r->wait_status)
                                       : 128 + WTERMSIG(r->wait_status);
    if (!shaped)
        return NSP_EXEC_FAILED;
    return status != 0 ? status : reported;
}

static int
run_engine(struct run *r)
{
    const struct nsp_engine_config cfg = {
        .backend = "nfqueue",
        .hooks = NSP_HOOK_INPUT,
        .seed = r->job->seed,
        .nfqueue.fail_closed = true,
        .policy = { .rules = r->job->rules, .rule_count = 2 },
    };
    struct nsp_diag diag = { .result = NSP_OK };
    int result, status;

    r->runner.ended = note_end;
    r->runner.ended_context = r;
    result = nsp_runner_start(&r->runner, &cfg, r->job->filter, &diag);
    if (result == NSP_INVALID_FILTER) {
        nsp_cli_fail_at(r->cli, &diag, "--filter", r->job->filter);
        return NSP_EXEC_FAILED;
    }
    if (result < 0) {
        nsp_cli_fail_result(r->cli, result, &diag);
        return NSP_EXEC_FAILED;
    }
    status = run_command(r);
    result = nsp_runner_stop(&r->runner, NULL, &diag);
    if (result < 0)
        nsp_cli_fail_result(r->cli, result, &diag);
    return status;
}

/* --- Preparing ------------------------------------------------------------ */

static int
enter_network(struct run *r)
{
    struct nsp_diag diag = { .result = NSP_OK };
    int result = NSP_OK;

    if (r->job->outside)
        result = nsp_exec_outside_prepare(&r->outside, &diag);
    if (result == NSP_OK)
        result = nsp_loopnet_enter(MTU_BYTES,
                                   r->job->outside ? NSP_LOOPNET_USERS_OWN
                                                   : NSP_LOOPNET_USERS_SHARED,
                                   &diag);
    if (result == NSP_OK && r->job->outside)
        result = nsp_exec_outside_connect(&r->outside, &diag);
    if (result == NSP_OK)
        return NSP_EXIT_OK;
    nsp_cli_fail_result(r->cli, result, &diag);
    return NSP_EXEC_FAILED;
}

/* Signals that would end this process, and the news of the command's end. */
static int
take_signals(struct run *r)
{
    static const int numbers[] = { SIGCHLD, SIGHUP,  SIGINT, SIGQUIT,
                                   SIGTERM, SIGUSR1, SIGUSR2 };
    struct sigaction action;
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        sigaddset(&set, numbers[i]);
    sigaction(SIGCHLD, NULL, &action);
    r->inherited.ignores_child = action.sa_handler == SIG_IGN;
    r->inherited.ignores_pipe = r->cli->ignores_sigpipe;
    signal(SIGCHLD, SIG_DFL); /* Otherwise there is no exit status. */
    sigprocmask(SIG_BLOCK, &set, &r->inherited.mask);
    r->signals = signalfd(-1, &set, SFD_CLOEXEC);
    r->ended = eventfd(0, EFD_CLOEXEC);
    if (r->signals < 0 || r->ended < 0)
        return fail_errno(r->cli, -errno, "cannot open a descriptor",
                          "raise the limit of open files: ulimit -n 1024");
    return NSP_EXIT_OK;
}

/* Ends as the command did, so that whoever waits sees a signal, too. A core is
 * the command's affair. */
static void
end_like_command(const struct run *r)
{
    sigset_t set;
    int number = WTERMSIG(r->wait_status);

    prctl(PR_SET_DUMPABLE, 0);
    signal(number, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, number);
    raise(number);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

int
nsp_exec_run(struct nsp_cli *cli, const struct nsp_exec_job *job)
{
    struct run r = { .cli = cli, .job = job, .signals = -1, .ended = -1 };
    int status = NSP_EXIT_OK;

    if (job->report_path && !(r.report = fopen(job->report_path, "we")))
        status = fail_errno(cli, -errno, job->report_path,
                            "name a file that you may write");
    if (status == NSP_EXIT_OK)
        status = enter_network(&r);
    if (status == NSP_EXIT_OK)
        status = take_signals(&r);
    if (status == NSP_EXIT_OK)
        status = run_engine(&r);
    if (r.report)
        fclose(r.report);
    nsp_exec_outside_finish(&r.outside);
    if (r.signals >= 0)
        close(r.signals);
    if (r.ended >= 0)
        close(r.ended);
    if (status > 128 && WIFSIGNALED(r.wait_status))
        end_like_command(&r);
    return status;
}
