#include "cli/controllers.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANCESTORS_MAX 64u
#define SOCKETS_MAX   1024u
#define ENVIRON_BYTES 131072u

#define TCP_ESTABLISHED 1u

/* What is looked for among the connections of this namespace. */
struct search {
    struct nsp_controller *found;
    uint32_t count;

    bool has_ssh; /* SSH_CONNECTION names this one. */
    struct nsp_controller ssh;
    struct {
        uint64_t inode;
        int pid;
    } sockets[SOCKETS_MAX];
    uint32_t socket_count;
};

/* --- SSH_CONNECTION ------------------------------------------------------- */

static bool
read_address(const char *text, struct in6_addr *ret)
{
    char mapped[INET6_ADDRSTRLEN + 8];

    if (inet_pton(AF_INET6, text, ret) == 1)
        return true;
    snprintf(mapped, sizeof mapped, "::ffff:%.39s", text);
    return inet_pton(AF_INET6, mapped, ret) == 1;
}

/* Reads "CLIENT PORT SERVER PORT". */
static void
read_ssh(struct search *s, const char *text)
{
    char remote[64], local[64];
    unsigned remote_port, local_port;

    s->has_ssh = sscanf(text, "%63s %5u %63s %5u", remote, &remote_port, local,
                        &local_port) == 4 &&
                 read_address(remote, &s->ssh.remote) &&
                 read_address(local, &s->ssh.local);
    s->ssh.remote_port = (uint16_t)remote_port;
    s->ssh.local_port = (uint16_t)local_port;
}

static void
read_environ(struct search *s, int pid)
{
    static const char key[] = "SSH_CONNECTION=";
    char path[64], *text;
    size_t used, at;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/environ", pid);
    file = fopen(path, "re");
    text = malloc(ENVIRON_BYTES + 1);
    used = file && text ? fread(text, 1, ENVIRON_BYTES, file) : 0;
    if (text)
        text[used] = '\0';
    for (at = 0; at < used && !s->has_ssh; at += strlen(text + at) + 1)
        if (strncmp(text + at, key, sizeof key - 1) == 0)
            read_ssh(s, text + at + sizeof key - 1);
    free(text);
    if (file)
        fclose(file);
}

/* --- Processes, and those above them -------------------------------------- */

static void
read_sockets(struct search *s, int pid)
{
    const struct dirent *entry;
    char path[64];
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    dir = opendir(path);
    while (dir && s->socket_count < SOCKETS_MAX && (entry = readdir(dir))) {
        char target[64];
        ssize_t bytes =
            readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1);

        if (bytes <= 0)
            continue;
        target[bytes] = '\0';
        if (sscanf(target, "socket:[%" SCNu64 "]",
                   &s->sockets[s->socket_count].inode) == 1)
            s->sockets[s->socket_count++].pid = pid;
    }
    if (dir)
        closedir(dir);
}

/* The parent of 'pid', 0 when it has none that can be seen. */
static int
parent_of(int pid)
{
    char path[64], line[1024];
    const char *end;
    int parent = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    file = fopen(path, "re");
    if (!file)
        return 0;
    /* The name may hold anything, a parenthesis too. */
    if (fgets(line, sizeof line, file) && (end = strrchr(line, ')')) != NULL &&
        sscanf(end + 1, " %*c %d", &parent) != 1)
        parent = 0;
    fclose(file);
    return parent;
}

static void
climb(struct search *s, int pid)
{
    for (uint32_t i = 0; i < ANCESTORS_MAX && pid > 0; i++) {
        if (!s->has_ssh)
            read_environ(s, pid);
        read_sockets(s, pid);
        pid = parent_of(pid);
    }
}

/* --- Connections ---------------------------------------------------------- */

/* Reads an address as /proc has it: words of the machine's byte order. */
static bool
read_words(const char *text, size_t digits, struct in6_addr *ret)
{
    uint32_t words[4] = { 0, 0, htonl(0xffff), 0 };
    unsigned first = digits == 8 ? 3 : 0;

    for (unsigned i = first; i < 4; i++)
        if (sscanf(text + (size_t)(i - first) * 8, "%8" SCNx32, &words[i]) != 1)
            return false;
    memcpy(ret, words, sizeof *ret);
    return true;
}

static bool
same_connection(const struct nsp_controller *a, const struct nsp_controller *b)
{
    return a->local_port == b->local_port && a->remote_port == b->remote_port &&
           memcmp(&a->local, &b->local, sizeof a->local) == 0 &&
           memcmp(&a->remote, &b->remote, sizeof a->remote) == 0;
}

static void
take(struct search *s, struct nsp_controller *one, uint64_t inode)
{
    one->whose[0] = '\0';
    for (uint32_t i = 0; i < s->socket_count && inode != 0; i++)
        if (s->sockets[i].inode == inode)
            snprintf(one->whose, sizeof one->whose, "process %d",
                     s->sockets[i].pid);
    if (s->has_ssh && same_connection(one, &s->ssh))
        snprintf(one->whose, sizeof one->whose, "SSH_CONNECTION");
    if (one->whose[0] && s->count < NSP_CONTROLLERS_MAX)
        s->found[s->count++] = *one;
}

static void
read_line(struct search *s, const char *line)
{
    char local[40], remote[40];
    unsigned local_port, remote_port, state;
    struct nsp_controller one;
    uint64_t inode;

    if (sscanf(line,
               " %*u: %32[0-9A-F]:%4x %32[0-9A-F]:%4x %2x %*s %*s %*s %*u %*u "
               "%" SCNu64,
               local, &local_port, remote, &remote_port, &state, &inode) != 6 ||
        state != TCP_ESTABLISHED ||
        !read_words(local, strlen(local), &one.local) ||
        !read_words(remote, strlen(remote), &one.remote))
        return;
    one.local_port = (uint16_t)local_port;
    one.remote_port = (uint16_t)remote_port;
    take(s, &one, inode);
}

static void
read_connections(struct search *s, const char *path)
{
    FILE *file = fopen(path, "re");
    char line[512];

    while (file && fgets(line, sizeof line, file))
        read_line(s, line);
    if (file)
        fclose(file);
}

uint32_t
nsp_controllers_find(int pid, struct nsp_controller ret[])
{
    struct search *s = calloc(1, sizeof *s);
    uint32_t count;

    if (!s)
        return 0;
    s->found = ret;
    climb(s, pid);
    read_connections(s, "/proc/self/net/tcp");
    read_connections(s, "/proc/self/net/tcp6");
    count = s->count;
    free(s);
    return count;
}

/* --- Words ---------------------------------------------------------------- */

static void
write_end(const struct in6_addr *address, uint16_t port, char *ret,
          size_t bytes)
{
    char text[INET6_ADDRSTRLEN];

    if (IN6_IS_ADDR_V4MAPPED(address)) {
        inet_ntop(AF_INET, address->s6_addr + 12, text, sizeof text);
        snprintf(ret, bytes, "%s:%u", text, port);
    } else {
        inet_ntop(AF_INET6, address, text, sizeof text);
        snprintf(ret, bytes, "[%s]:%u", text, port);
    }
}

char *
nsp_controller_write(const struct nsp_controller *c, bool inbound, char *ret,
                     size_t bytes)
{
    char local[INET6_ADDRSTRLEN + 9], remote[INET6_ADDRSTRLEN + 9];

    write_end(&c->local, c->local_port, local, sizeof local);
    write_end(&c->remote, c->remote_port, remote, sizeof remote);
    snprintf(ret, bytes, "%s > %s", inbound ? remote : local,
             inbound ? local : remote);
    return ret;
}
