/* A paced flow of UDP datagrams, and what arrives of it.
 *
 *     udp_flow send ADDRESS PORT PPS PAYLOAD SECONDS
 *     udp_flow receive PORT SECONDS
 *
 * Each datagram is due at an absolute time, beginning + number / PPS: one that
 * leaves late does not move those behind it. It carries the wall clock of its
 * sending and its number. The receiver prints "ready", listens for SECONDS from
 * the first arrival on, or until nothing comes for 2 s, then prints a line for
 * each arrival, stamped by the receiving kernel, in ns:
 *
 *     arrived,sent,number,ip_bytes */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#include "bench/arguments.h"

#define NS_PER_S      INT64_C(1000000000)
#define IP_UDP_BYTES  28
#define PAYLOAD_MAX   65507
#define BUFFER_BYTES  (4 << 20)
#define SILENCE_S     2
#define ARRIVALS_STEP 65536

struct stamp {
    int64_t sent_ns, number;
};

struct arrival {
    int64_t arrived_ns;
    struct stamp stamp;
    int64_t ip_bytes;
};

static _Noreturn void
fail(const char *what)
{
    fprintf(stderr, "udp_flow: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t
to_ns(const struct timespec *ts)
{
    return ts->tv_sec * NS_PER_S + ts->tv_nsec;
}

static int64_t
now_ns(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return to_ns(&ts);
}

static void
sleep_until(int64_t at_ns)
{
    const struct timespec ts = { .tv_sec = at_ns / NS_PER_S,
                                 .tv_nsec = at_ns % NS_PER_S };

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
        ;
}

static int
open_socket(int option, int forced_option)
{
    const int bytes = BUFFER_BYTES;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    if (fd < 0)
        fail("socket");
    /* As much as is permitted: less shows as loss. */
    if (setsockopt(fd, SOL_SOCKET, forced_option, &bytes, sizeof bytes) < 0)
        setsockopt(fd, SOL_SOCKET, option, &bytes, sizeof bytes);
    return fd;
}

/* --- Sending ------------------------------------------------------------- */

static void
send_flow(const struct sockaddr_in *to, double pps, size_t payload_bytes,
          double seconds)
{
    static char data[PAYLOAD_MAX];
    int fd = open_socket(SO_SNDBUF, SO_SNDBUFFORCE);
    int64_t count = (int64_t)(pps * seconds), began_ns;

    if (connect(fd, (const struct sockaddr *)to, sizeof *to) < 0)
        fail("connect");
    /* The timers of a thread may be late by 50 us else. */
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    began_ns = now_ns(CLOCK_MONOTONIC);
    for (int64_t i = 0; i < count; i++) {
        int64_t due_ns = began_ns + (int64_t)((double)i * 1e9 / pps);
        struct stamp stamp = { .number = i };

        if (due_ns > now_ns(CLOCK_MONOTONIC))
            sleep_until(due_ns);
        stamp.sent_ns = now_ns(CLOCK_REALTIME);
        memcpy(data, &stamp, sizeof stamp);
        /* A full queue on the way, or a receiver that has left, is loss. */
        if (send(fd, data, payload_bytes, 0) < 0 && errno != ECONNREFUSED &&
            errno != ENOBUFS)
            fail("send");
    }
}

/* --- Receiving ----------------------------------------------------------- */

/* Receives one datagram. Returns false after a silence. */
static bool
receive(int fd, struct arrival *ret)
{
    static char data[PAYLOAD_MAX];
    char control[CMSG_SPACE(sizeof(struct timespec))];
    struct iovec iov = { data, sizeof data };
    struct msghdr message = { .msg_iov = &iov,
                              .msg_iovlen = 1,
                              .msg_control = control,
                              .msg_controllen = sizeof control };
    ssize_t n = recvmsg(fd, &message, 0);
    struct cmsghdr *cmsg;
    struct timespec ts;

    if (n < 0 && errno == EAGAIN)
        return false;
    if (n < 0)
        fail("recvmsg");
    cmsg = CMSG_FIRSTHDR(&message);
    if (!cmsg || cmsg->cmsg_type != SCM_TIMESTAMPNS ||
        n < (ssize_t)sizeof ret->stamp) {
        fprintf(stderr, "udp_flow: a foreign datagram, or no timestamp\n");
        exit(1);
    }
    memcpy(&ts, CMSG_DATA(cmsg), sizeof ts);
    memcpy(&ret->stamp, data, sizeof ret->stamp);
    ret->arrived_ns = to_ns(&ts);
    ret->ip_bytes = n + IP_UDP_BYTES;
    return true;
}

static int
open_receiver(uint16_t port)
{
    const struct timeval silence = { .tv_sec = SILENCE_S };
    const struct sockaddr_in at = { .sin_family = AF_INET,
                                    .sin_port = htons(port) };
    const int on = 1;
    int fd = open_socket(SO_RCVBUF, SO_RCVBUFFORCE);

    if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence) < 0)
        fail("setsockopt");
    if (bind(fd, (const struct sockaddr *)&at, sizeof at) < 0)
        fail("bind");
    return fd;
}

static void
receive_flow(uint16_t port, double seconds)
{
    int fd = open_receiver(port);
    struct arrival *arrivals = NULL;
    size_t count = 0, room = 0;

    puts("ready");
    fflush(stdout);
    do {
        if (count == room) {
            room += ARRIVALS_STEP;
            arrivals = realloc(arrivals, room * sizeof *arrivals);
            if (!arrivals)
                fail("arrivals");
        }
        if (!receive(fd, &arrivals[count]))
            break;
        count++;
    } while ((double)(arrivals[count - 1].arrived_ns - arrivals[0].arrived_ns) <
             seconds * 1e9);

    for (size_t i = 0; i < count; i++)
        printf("%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 "\n",
               arrivals[i].arrived_ns, arrivals[i].stamp.sent_ns,
               arrivals[i].stamp.number, arrivals[i].ip_bytes);
    free(arrivals);
}

/* --- Command line -------------------------------------------------------- */

int
main(int argc, char *argv[])
{
    struct sockaddr_in to;

    if (argc == 7 && strcmp(argv[1], "send") == 0) {
        to = bench_read_address(argv[2], argv[3]);
        send_flow(&to, bench_read_number(argv[4], 1, 1e7),
                  (size_t)bench_read_number(argv[5], sizeof(struct stamp),
                                            PAYLOAD_MAX),
                  bench_read_number(argv[6], 0, 86400));
    } else if (argc == 4 && strcmp(argv[1], "receive") == 0) {
        receive_flow(bench_read_port(argv[2]),
                     bench_read_number(argv[3], 0, 86400));
    } else {
        fprintf(stderr,
                "usage: udp_flow send ADDRESS PORT PPS PAYLOAD SECONDS\n"
                "       udp_flow receive PORT SECONDS\n");
        return 2;
    }
    return 0;
}
