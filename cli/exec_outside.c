#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/exec.h"

#define PROGRAM "pasta"
#define TUN     "/dev/net/tun"

static int
fail(struct nsp_diag *reterr, const char *text, int os_errno, const char *hint)
{
    *reterr = (struct nsp_diag){ .result = NSP_NOT_POSSIBLE,
                                 .os_errno = os_errno,
                                 .category = "outside" };
    if (os_errno)
        snprintf(reterr->text, sizeof reterr->text, "%s: %s", text,
                 strerror(os_errno));
    else
        snprintf(reterr->text, sizeof reterr->text, "%s", text);
    snprintf(reterr->hint, sizeof reterr->hint, "%s", hint);
    return NSP_NOT_POSSIBLE;
}

static bool
is_installed(void)
{
    const char *path = getenv("PATH");
    char file[4096];

    while (path) {
        int bytes = (int)strcspn(path, ":");
        int n = snprintf(file, sizeof file, "%.*s%s%s", bytes, path,
                         bytes > 0 ? "/" : "", PROGRAM);

        if (n > 0 && (size_t)n < sizeof file && access(file, X_OK) == 0)
            return true;
        path = path[bytes] == ':' ? path + bytes + 1 : NULL;
    }
    return false;
}

/* Ports are connected neither way: the network stays the command's own. It
 * writes its number to 'pid_path' and detaches itself when all is set up. */
static _Noreturn void
become_pasta(pid_t target, char *pid_path)
{
    char pid[16];
    char *args[20] = { PROGRAM, "--config-net", "--quiet", "--mtu", "1500",
                       "-t",    "none",         "-u",      "none",  "-T",
                       "none",  "-U",           "none",    "--pid", pid_path };
    size_t count = 15;

    snprintf(pid, sizeof pid, "%d", (int)target);
    if (geteuid() == 0) { /* It would become nobody, who may not enter. */
        args[count++] = "--runas";
        args[count++] = "0";
    }
    args[count] = pid;
    signal(SIGPIPE, SIG_DFL);
    execvp(PROGRAM, args);
    perror("nsp: " PROGRAM);
    _exit(1);
}

/* Returns the number of a process that connects 'target', or -1. */
static pid_t
start_pasta(pid_t target)
{
    const char *folder = getenv("TMPDIR");
    char path[256], text[16] = "";
    int file, status = -1;
    pid_t pid;

    snprintf(path, sizeof path, "%.200s/nsp-exec-XXXXXX",
             folder && folder[0] ? folder : "/tmp");
    file = mkostemp(path, O_CLOEXEC);
    if (file < 0) {
        fprintf(stderr, "nsp: %s: %s\n", path, strerror(errno));
        return -1;
    }
    pid = fork();
    if (pid == 0)
        become_pasta(target, path);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    pid = -1;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 &&
        read(file, text, sizeof text - 1) > 0)
        pid = (pid_t)strtol(text, NULL, 10);
    unlink(path);
    close(file);
    return pid > 0 ? pid : -1;
}

/* Stays where it is, connects when told to, and takes that back when 'target'
 * ends, however it does. In a process group of its own: what the terminal
 * sends is not for it. */
static _Noreturn void
be_helper(pid_t target, int fd)
{
    pid_t pasta;
    char byte;

    setpgid(0, 0);
    if (read(fd, &byte, 1) != 1)
        _exit(0);
    pasta = start_pasta(target);
    if (pasta > 0 && write(fd, "", 1) == 1)
        while (read(fd, &byte, 1) > 0)
            ;
    if (pasta > 0)
        kill(pasta, SIGTERM);
    _exit(0);
}

int
nsp_exec_outside_prepare(struct nsp_exec_outside *outside,
                         struct nsp_diag *reterr)
{
    pid_t target = getpid();
    int ends[2];

    if (!is_installed())
        return fail(reterr,
                    "--outside needs the program '" PROGRAM
                    "', which is not installed",
                    0, "install it (package passt), or leave --outside out");
    if (access(TUN, R_OK | W_OK) < 0 && errno == EACCES)
        return fail(reterr,
                    "--outside needs " TUN ", which this user may not open", 0,
                    "let all users open it, as most systems do (as root: chmod "
                    "666 " TUN "), or leave --outside out");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return fail(reterr, "cannot make a pair of sockets", errno,
                    "raise the limit of open files: ulimit -n 1024");
    outside->pid = fork();
    if (outside->pid == 0) {
        close(ends[0]);
        be_helper(target, ends[1]);
    }
    close(ends[1]);
    outside->fd = ends[0];
    if (outside->pid > 0)
        return NSP_OK;
    close(ends[0]);
    return fail(reterr, "cannot start a process", errno,
                "raise the limit of processes (ulimit -u), or free memory");
}

int
nsp_exec_outside_connect(const struct nsp_exec_outside *outside,
                         struct nsp_diag *reterr)
{
    char byte;

    if (write(outside->fd, "", 1) == 1 && read(outside->fd, &byte, 1) == 1)
        return NSP_OK;
    return fail(reterr, "--outside: " PROGRAM " could not connect the network",
                0, "its reason is above; or leave --outside out");
}

void
nsp_exec_outside_finish(struct nsp_exec_outside *outside)
{
    if (outside->pid <= 0)
        return;
    close(outside->fd);
    while (waitpid(outside->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    outside->pid = 0;
}
