#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cli/exec.h"

/* In the new process: nothing but system calls, this one had threads. */
static _Noreturn void
become_command(char *const command[],
               const struct nsp_exec_inherited *inherited, pid_t parent,
               int failure)
{
    int err;

    if (inherited->ignores_pipe)
        signal(SIGPIPE, SIG_IGN);
    else
        signal(SIGPIPE, SIG_DFL);
    if (inherited->ignores_child)
        signal(SIGCHLD, SIG_IGN);
    sigprocmask(SIG_SETMASK, &inherited->mask, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* It was gone before that. */
        _exit(NSP_EXEC_FAILED);
    execvp(command[0], command);
    err = errno;
    while (write(failure, &err, sizeof err) < 0 && errno == EINTR)
        ;
    _exit(NSP_EXEC_FAILED);
}

int
nsp_exec_start(char *const command[],
               const struct nsp_exec_inherited *inherited, pid_t *ret,
               bool *ret_execs)
{
    pid_t parent = getpid(), pid;
    int failure[2], err = 0;
    ssize_t n;

    *ret_execs = false;
    if (pipe2(failure, O_CLOEXEC) < 0)
        return -errno;
    pid = fork();
    if (pid == 0)
        become_command(command, inherited, parent, failure[1]);
    if (pid < 0)
        err = errno;
    close(failure[1]);
    if (pid > 0) {
        /* Ends when the command takes the process over. */
        do
            n = read(failure[0], &err, sizeof err);
        while (n < 0 && errno == EINTR);
        *ret_execs = n == (ssize_t)sizeof err;
        *ret = pid;
    }
    close(failure[0]);
    return -err;
}
