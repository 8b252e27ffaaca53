/* A TCP connection that carries as much as it can.
 *
 *     tcp_bulk send ADDRESS PORT SECONDS
 *     tcp_bulk receive PORT SKIP_SECONDS
 *
 * The sender waits in send(), so that it may have the whole of its buffer
 * queued: one that asks poll() is told to write only once a third of it is
 * free. After SECONDS it prints how many bytes the receiver's window lets be on
 * their way, and ends.
 *
 * The receiver prints "ready", takes one connection, and prints what came later
 * than SKIP_SECONDS after its first byte, and in what time:
 *
 *     bytes,ns */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/arguments.h"

#define NS_PER_S    INT64_C(1000000000)
#define CHUNK_BYTES ((size_t)128 << 10)

static char chunk[CHUNK_BYTES];

static _Noreturn void
fail(const char *what)
{
    fprintf(stderr, "tcp_bulk: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t
now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static int
open_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0)
        fail("socket");
    return fd;
}

static void
send_for(const struct sockaddr_in *to, int64_t ns)
{
    int fd = open_socket();
    struct tcp_info info = { 0 };
    socklen_t bytes = sizeof info;
    int64_t until_ns;

    if (connect(fd, (const struct sockaddr *)to, sizeof *to) < 0)
        fail("connect");
    until_ns = now_ns() + ns;
    while (now_ns() < until_ns) {
        if (send(fd, chunk, sizeof chunk, MSG_NOSIGNAL) < 0)
            fail("send");
    }
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &bytes) < 0)
        fail("TCP_INFO");
    printf("%u\n", info.tcpi_snd_wnd);
    close(fd);
}

static int
accept_one(uint16_t port)
{
    const struct sockaddr_in at = { .sin_family = AF_INET,
                                    .sin_port = htons(port) };
    int listener = open_socket(), fd;
    const int on = 1;

    if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        fail("setsockopt");
    if (bind(listener, (const struct sockaddr *)&at, sizeof at) < 0)
        fail("bind");
    if (listen(listener, 1) < 0)
        fail("listen");
    puts("ready");
    fflush(stdout);
    fd = accept(listener, NULL, NULL);
    if (fd < 0)
        fail("accept");
    close(listener);
    return fd;
}

static void
receive(uint16_t port, int64_t skip_ns)
{
    int fd = accept_one(port);
    int64_t began_ns = 0, from_ns = 0, to_ns = 0;
    uint64_t bytes = 0;
    ssize_t n;

    while ((n = recv(fd, chunk, sizeof chunk, 0)) > 0) {
        to_ns = now_ns();
        if (began_ns == 0)
            began_ns = to_ns;
        if (to_ns - began_ns < skip_ns)
            continue;
        /* The time begins where these bytes end. */
        if (from_ns == 0)
            from_ns = to_ns;
        else
            bytes += (uint64_t)n;
    }
    if (n < 0)
        fail("recv");
    printf("%" PRIu64 ",%" PRId64 "\n", bytes, to_ns - from_ns);
    close(fd);
}

static int64_t
seconds_to_ns(const char *text)
{
    return (int64_t)(bench_read_number(text, 0, 86400) * 1e9);
}

int
main(int argc, char *argv[])
{
    struct sockaddr_in to;

    if (argc == 5 && strcmp(argv[1], "send") == 0) {
        to = bench_read_address(argv[2], argv[3]);
        send_for(&to, seconds_to_ns(argv[4]));
    } else if (argc == 4 && strcmp(argv[1], "receive") == 0) {
        receive(bench_read_port(argv[2]), seconds_to_ns(argv[3]));
    } else {
        fprintf(stderr, "usage: tcp_bulk send ADDRESS PORT SECONDS\n"
                        "       tcp_bulk receive PORT SKIP_SECONDS\n");
        return 2;
    }
    return 0;
}
