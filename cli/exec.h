#ifndef NSP_CLI_EXEC_H
#define NSP_CLI_EXEC_H
#include <stdbool.h>
#include <stdint.h>
#include <signal.h>
#include <sys/types.h>

#include "cli/cli.h"
#include "netshaper/policy.h"

/* The parts of 'nsp exec': cmd_exec.c turns options into a job, exec_run.c runs
 * it, exec_child.c starts the command, exec_outside.c connects it. */

/* What env(1) and timeout(1) return of their own. */
enum nsp_exec_status {
    NSP_EXEC_FAILED = 125, /* Of this program, not of the command. */
    NSP_EXEC_NOT_EXECUTABLE = 126,
    NSP_EXEC_NOT_FOUND = 127,
};

struct nsp_exec_job {
    char *const *command; /* Ended by NULL. */
    const char *filter;
    struct nsp_rule rules[2]; /* Of those who opened a flow, of the others. */
    uint64_t seed;
    const char *report_path; /* For the counters, as JSON; NULL none. */
    bool outside, quiet;
};

/* Runs the command behind the rules. Returns its exit status, or one of enum
 * nsp_exec_status; does not return where a signal ended the command. */
int nsp_exec_run(struct nsp_cli *cli, const struct nsp_exec_job *job);

/* --- The command's process ------------------------------------------------ */

/* What a command finds as this process found it. Signal handling is the
 * process's, so there is one of these. */
struct nsp_exec_inherited {
    sigset_t mask;
    bool ignores_pipe, ignores_child; /* Signals. */
};

/* Starts 'command'. It is killed when this process is. Stores its number in
 * '*ret'. Returns 0, or the negative errno why there is none; '*ret_execs'
 * tells whether that is the command's own fault. */
int nsp_exec_start(char *const command[],
                   const struct nsp_exec_inherited *inherited, pid_t *ret,
                   bool *ret_execs) NSP_MUSTCHECK;

/* --- The outside world ---------------------------------------------------- */

/* A process that stays where this one was, to connect it to that later, and
 * ends with it. All zero: there is none. */
struct nsp_exec_outside {
    pid_t pid;
    int fd;
};

/* Called before this process enters a network of its own. Returns NSP_OK, or
 * NSP_NOT_POSSIBLE with cause and cure in 'reterr'. */
int nsp_exec_outside_prepare(struct nsp_exec_outside *outside,
                             struct nsp_diag *reterr);

/* Called in that network, which then has an interface, an address and routes to
 * the outside. Returns the same. */
int nsp_exec_outside_connect(const struct nsp_exec_outside *outside,
                             struct nsp_diag *reterr);

/* Takes that back. */
void nsp_exec_outside_finish(struct nsp_exec_outside *outside);

#endif /* NSP_CLI_EXEC_H */
