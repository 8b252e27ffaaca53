#define _GNU_SOURCE
#include "cli/control.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG   4
#define WAIT_MS   1000
#define ROOT_DIR  "/run/netshaper"
#define ROOT_PATH ROOT_DIR "/control.sock"

int
nsp_control_default_path(char ret[static NSP_CONTROL_PATH_MAX + 1])
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    int n;

    if (geteuid() == 0)
        n = snprintf(ret, NSP_CONTROL_PATH_MAX + 1, ROOT_PATH);
    else if (runtime && runtime[0] == '/')
        n = snprintf(ret, NSP_CONTROL_PATH_MAX + 1, "%s/netshaper.sock",
                     runtime);
    else
        return -ENOENT;
    return n > (int)NSP_CONTROL_PATH_MAX ? -ENAMETOOLONG : 0;
}

static int
address_of(const char *path, struct sockaddr_un *ret)
{
    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (strlen(path) > NSP_CONTROL_PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(ret->sun_path, path, strlen(path) + 1);
    return 0;
}

static int
connect_to(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int err;

    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0)
        return fd;
    err = -errno;
    close(fd);
    return err;
}

/* --- Server --------------------------------------------------------------- */

/* Binds, in the place of a socket that nobody listens at. */
static int
bind_to(int fd, const struct sockaddr_un *address)
{
    int other;

    if (bind(fd, (const struct sockaddr *)address, sizeof *address) == 0)
        return 0;
    if (errno != EADDRINUSE)
        return -errno;
    other = connect_to(address);
    if (other >= 0) {
        close(other);
        return -EADDRINUSE;
    }
    if (other != -ECONNREFUSED)
        return other;
    if (unlink(address->sun_path) < 0 ||
        bind(fd, (const struct sockaddr *)address, sizeof *address) < 0)
        return -errno;
    return 0;
}

int
nsp_control_open(struct nsp_control *control, const char *path)
{
    struct sockaddr_un address;
    mode_t mask;
    int err = address_of(path, &address);

    control->fd = -1;
    if (err < 0)
        return err;
    if (strcmp(path, ROOT_PATH) == 0 && mkdir(ROOT_DIR, 0755) < 0 &&
        errno != EEXIST)
        return -errno;
    control->fd =
        socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (control->fd < 0)
        return -errno;
    mask = umask(0177); /* Only the owner may connect. */
    err = bind_to(control->fd, &address);
    umask(mask);
    if (err == 0 && listen(control->fd, BACKLOG) < 0)
        err = -errno;
    if (err < 0) {
        close(control->fd);
        control->fd = -1;
        return err;
    }
    memcpy(control->path, path, strlen(path) + 1);
    return 0;
}

void
nsp_control_close(struct nsp_control *control)
{
    if (control->fd < 0)
        return;
    unlink(control->path);
    close(control->fd);
    control->fd = -1;
}

/* Reads up to the end of the line. Returns whether it came, in time and whole.
 */
static bool
read_word(int fd, char ret[static NSP_CONTROL_WORD_MAX + 1])
{
    struct pollfd wait = { .fd = fd, .events = POLLIN };
    size_t used = 0;

    while (used < NSP_CONTROL_WORD_MAX && poll(&wait, 1, WAIT_MS) > 0) {
        ssize_t got = read(fd, ret + used, NSP_CONTROL_WORD_MAX - used);
        char *end;

        if (got <= 0)
            return false;
        used += (size_t)got;
        ret[used] = '\0';
        end = strchr(ret, '\n');
        if (end) {
            *end = '\0';
            return true;
        }
    }
    return false;
}

/* 0 where it cannot be told. */
static int
process_behind(int fd)
{
    struct ucred who = { .pid = 0 };
    socklen_t bytes = sizeof who;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &bytes) < 0)
        return 0;
    return (int)who.pid;
}

void
nsp_control_serve(struct nsp_control *control, nsp_control_answer_fn *answer,
                  void *context)
{
    struct timeval patience = { .tv_sec = WAIT_MS / 1000 };
    char word[NSP_CONTROL_WORD_MAX + 1];
    int fd = accept(control->fd, NULL, NULL), asker;
    FILE *to;

    if (fd < 0)
        return; /* It left again, or there is no descriptor for it. */
    asker = process_behind(fd);
    /* A client that does not read must not stop the service. */
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (!read_word(fd, word) || !(to = fdopen(fd, "w"))) {
        close(fd);
        return;
    }
    answer(context, word, asker, to);
    fclose(to);
}

/* --- Client --------------------------------------------------------------- */

static int
read_all(int fd, char **ret)
{
    size_t used = 0, room = 0;
    char *text = NULL;

    for (;;) {
        ssize_t got;

        if (used + 1 >= room) {
            char *grown = realloc(text, room += 65536);

            if (!grown) {
                free(text);
                return -ENOMEM;
            }
            text = grown;
        }
        got = read(fd, text + used, room - used - 1);
        if (got < 0) {
            int err = -errno;

            free(text);
            return err;
        }
        if (got == 0)
            break;
        used += (size_t)got;
    }
    text[used] = '\0';
    *ret = text;
    return 0;
}

/* Finds the two lines and the document in ret->text. */
static int
split_answer(struct nsp_control_answer *ret)
{
    char *end, *message = strchr(ret->text, '\n');
    char *document = message ? strchr(message + 1, '\n') : NULL;
    long status = strtol(ret->text, &end, 10);

    if (!document || end != message || status < 0 || status > 255)
        return -EPROTO;
    *message = *document = '\0';
    ret->exit_status = (int)status;
    ret->message = message + 1;
    ret->document = document + 1;
    return 0;
}

int
nsp_control_ask(const char *path, const char *word,
                struct nsp_control_answer *ret)
{
    struct nsp_control_answer answer = { .text = NULL };
    struct sockaddr_un address;
    char line[NSP_CONTROL_WORD_MAX + 2];
    int fd, n, err = address_of(path, &address);

    if (err < 0)
        return err;
    fd = connect_to(&address);
    if (fd < 0)
        return fd;
    n = snprintf(line, sizeof line, "%s\n", word);
    if (write(fd, line, (size_t)n) != n)
        err = -EPIPE;
    if (err == 0)
        err = read_all(fd, &answer.text);
    close(fd);
    if (err == 0)
        err = split_answer(&answer);
    if (err < 0)
        free(answer.text);
    else
        *ret = answer;
    return err;
}
