#define _GNU_SOURCE
#include "cli/demo_traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "cli/clock.h"
#include "cli/demo_stats.h"
#include "cli/thread.h"

/* How often a blocked thread looks whether it is to end. */
#define STOP_CHECK_US 20000

#define CHUNK_BYTES           65536
#define ETHERNET_BYTES        14
#define IPV4_UDP_BYTES        28
#define PROBES_BEHIND_AT_MOST 16

struct probe {
    uint64_t number;
    uint64_t sent_ns; /* Wall clock, as are the kernel's stamps. */
    uint64_t held_ns; /* In the echo: how long the server had it. */
};
_Static_assert(sizeof(struct probe) == NSP_TRAFFIC_PROBE_BYTES, "on the wire");

/* As it is sent; the last byte only by a control. */
struct probe_bytes {
    struct probe probe;
    char longer;
};

static enum nsp_traffic_kind
kind_of(uint64_t number)
{
    return number % NSP_TRAFFIC_CONTROL_EVERY == NSP_TRAFFIC_CONTROL_EVERY - 1
               ? NSP_TRAFFIC_CONTROL
               : NSP_TRAFFIC_PROBE;
}

static size_t
bytes_of(uint64_t number)
{
    return NSP_TRAFFIC_PROBE_BYTES + (kind_of(number) == NSP_TRAFFIC_CONTROL);
}

/* In the order in which they start; they end in the opposite one, so that the
 * last probes still find the way back. */
enum { RECEIVER, SENDER, ECHO, PROBE, THREADS };

struct nsp_traffic {
    struct nsp_traffic_config cfg;

    int listener_fd, sender_fd; /* Of the stream. */
    int echo_fd, probe_fd;
    int devices_fd; /* /proc/net/dev of the server. */

    pthread_t threads[THREADS];
    int thread_count;

    atomic_bool probe_stopping, stopping;
    atomic_int stream_errno;

    _Atomic uint64_t stream_bytes;
    _Atomic uint64_t echo_bytes; /* Of probes at the server, as on the wire. */
    _Atomic uint32_t probes_sent, probes_echoed;
    uint64_t wire_bytes_at_start;

    /* Round-trip time by probe number, 0 until it is back. */
    _Atomic uint64_t *rtt_ns;
};

/* Receives a probe and when the kernel did: what passes until this thread has a
 * processor is no property of the network. '*from' may be NULL. Returns whether
 * there was one. */
static bool
receive_probe(int fd, int flags, struct probe_bytes *ret, uint64_t *ret_ns,
              struct sockaddr_in *from)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(struct timespec))];
    } control;
    struct iovec iov = { ret, sizeof *ret };
    struct msghdr message = {
        .msg_name = from,
        .msg_namelen = from ? sizeof *from : 0,
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof control,
    };
    const struct cmsghdr *stamp;
    struct timespec ts;

    if (recvmsg(fd, &message, flags) < NSP_TRAFFIC_PROBE_BYTES)
        return false;
    stamp = CMSG_FIRSTHDR(&message);
    *ret_ns = nsp_cli_clock_ns(CLOCK_REALTIME);
    if (stamp && stamp->cmsg_level == SOL_SOCKET &&
        stamp->cmsg_type == SCM_TIMESTAMPNS) {
        memcpy(&ts, CMSG_DATA(stamp), sizeof ts);
        *ret_ns = (uint64_t)ts.tv_sec * NSP_CLI_NS_PER_S + (uint64_t)ts.tv_nsec;
    }
    return true;
}

static struct sockaddr_in
server_address(uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(port) };

    inet_pton(AF_INET, nsp_lab_address(NSP_LAB_SERVER, AF_INET),
              &address.sin_addr);
    return address;
}

/* --- Threads ------------------------------------------------------------- */

static void *
run_sender(void *opaque)
{
    const char chunk[CHUNK_BYTES] = { 0 };
    struct sockaddr_in server = server_address(NSP_TRAFFIC_STREAM_PORT);
    struct nsp_traffic *traffic = opaque;

    if (connect(traffic->sender_fd, (struct sockaddr *)&server, sizeof server) <
        0) {
        if (!atomic_load(&traffic->stopping))
            atomic_store(&traffic->stream_errno, errno);
        return NULL;
    }
    while (!atomic_load(&traffic->stopping) &&
           send(traffic->sender_fd, chunk, sizeof chunk, MSG_NOSIGNAL) > 0)
        ;
    return NULL;
}

static int
accept_stream(struct nsp_traffic *traffic)
{
    int fd;

    do
        fd = accept4(traffic->listener_fd, NULL, NULL, SOCK_CLOEXEC);
    while (fd < 0 && errno == EAGAIN && !atomic_load(&traffic->stopping));
    return fd;
}

static void *
run_receiver(void *opaque)
{
    struct nsp_traffic *traffic = opaque;
    int fd = accept_stream(traffic);

    if (fd < 0)
        return NULL;
    while (!atomic_load(&traffic->stopping)) {
        /* MSG_TRUNC: the kernel drops the bytes, and the copy's cost too. */
        ssize_t n = recv(fd, NULL, CHUNK_BYTES, MSG_TRUNC);

        if (n == 0 || (n < 0 && errno != EAGAIN))
            break;
        if (n > 0)
            atomic_fetch_add(&traffic->stream_bytes, (uint64_t)n);
    }
    close(fd);
    return NULL;
}

static void *
run_echo(void *opaque)
{
    struct nsp_traffic *traffic = opaque;

    while (!atomic_load(&traffic->stopping)) {
        struct sockaddr_in from;
        struct probe_bytes echo = { 0 };
        uint64_t received_ns;
        size_t bytes;

        if (!receive_probe(traffic->echo_fd, 0, &echo, &received_ns, &from))
            continue;
        bytes = bytes_of(echo.probe.number);
        atomic_fetch_add(&traffic->echo_bytes, bytes + IPV4_UDP_BYTES);
        echo.probe.held_ns = nsp_cli_clock_ns(CLOCK_REALTIME) - received_ns;
        sendto(traffic->echo_fd, &echo, bytes, 0, (struct sockaddr *)&from,
               sizeof from);
    }
    return NULL;
}

/* A probe that the kernel refuses to send was never under way, and is not
 * counted: its number goes to the next one. */
static void
send_probe(struct nsp_traffic *traffic)
{
    uint32_t number = atomic_load(&traffic->probes_sent);
    const struct probe_bytes bytes = {
        .probe = { .number = number,
                   .sent_ns = nsp_cli_clock_ns(CLOCK_REALTIME) },
    };

    if (number < traffic->cfg.max_probes &&
        send(traffic->probe_fd, &bytes, bytes_of(number), MSG_DONTWAIT) > 0)
        atomic_store(&traffic->probes_sent, number + 1);
}

static void
receive_echoes(struct nsp_traffic *traffic)
{
    struct probe_bytes bytes = { 0 };
    uint64_t received_ns;

    while (receive_probe(traffic->probe_fd, MSG_DONTWAIT, &bytes, &received_ns,
                         NULL)) {
        const struct probe *probe = &bytes.probe;
        uint64_t rtt_ns = received_ns - probe->sent_ns - probe->held_ns;

        if (probe->number >= traffic->cfg.max_probes ||
            atomic_load(&traffic->rtt_ns[probe->number]) != 0)
            continue;
        atomic_store(&traffic->rtt_ns[probe->number], rtt_ns ? rtt_ns : 1);
        atomic_fetch_add(&traffic->probes_echoed, 1);
    }
}

static void
wait_for_echo(struct nsp_traffic *traffic, uint64_t timeout_ns)
{
    struct pollfd poll_fd = { .fd = traffic->probe_fd, .events = POLLIN };
    struct timespec timeout = { .tv_sec =
                                    (time_t)(timeout_ns / NSP_CLI_NS_PER_S),
                                .tv_nsec =
                                    (long)(timeout_ns % NSP_CLI_NS_PER_S) };

    ppoll(&poll_fd, 1, &timeout, NULL);
    receive_echoes(traffic);
}

static void
wait_for_stragglers(struct nsp_traffic *traffic)
{
    uint64_t until_ns = nsp_cli_now_ns() + traffic->cfg.straggler_ns;

    for (uint64_t now = nsp_cli_now_ns();
         now < until_ns && atomic_load(&traffic->probes_echoed) <
                               atomic_load(&traffic->probes_sent);
         now = nsp_cli_now_ns())
        wait_for_echo(traffic, until_ns - now);
}

static void *
run_probe(void *opaque)
{
    struct nsp_traffic *traffic = opaque;
    const uint64_t pace_ns = NSP_CLI_NS_PER_S / traffic->cfg.probes_per_s;
    uint64_t due_ns = nsp_cli_now_ns();

    while (!atomic_load(&traffic->probe_stopping)) {
        uint64_t now = nsp_cli_now_ns();

        /* After a stall, such as a suspended machine, go on from here. */
        if (now > due_ns + PROBES_BEHIND_AT_MOST * pace_ns)
            due_ns = now;
        for (; due_ns <= now; due_ns += pace_ns)
            send_probe(traffic);
        wait_for_echo(traffic, due_ns - now);
    }
    wait_for_stragglers(traffic);
    return NULL;
}

/* --- Sockets ------------------------------------------------------------- */

/* A socket whose reads look every now and then whether they are to end. */
static int
open_socket(const struct nsp_lab *lab, enum nsp_lab_host host, int type)
{
    const struct timeval timeout = { .tv_usec = STOP_CHECK_US };
    int fd = nsp_lab_socket(lab, host, AF_INET, type);

    if (fd >= 0 &&
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) < 0) {
        close(fd);
        return -errno;
    }
    return fd;
}

static int
open_devices(const struct nsp_lab *lab)
{
    int fd, r;

    r = nsp_lab_enter(lab, NSP_LAB_SERVER);
    if (r < 0)
        return r;
    fd = open("/proc/thread-self/net/dev", O_RDONLY | O_CLOEXEC);
    r = fd < 0 ? -errno : fd;
    if (nsp_lab_enter(lab, NSP_LAB_ROUTER) < 0 && r >= 0) {
        close(fd);
        return -EPERM;
    }
    return r;
}

/* The stream's algorithm: with another default the queue might run dry, which
 * would measure that algorithm. Where it is not to be had, the default it is.
 */
static void
choose_congestion_control(int fd)
{
    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", strlen("cubic"));
}

static int
ask_for_stamps(int fd)
{
    const int yes = 1;

    return setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &yes, sizeof yes) < 0
               ? -errno
               : 0;
}

static int
open_sockets(struct nsp_traffic *traffic, const struct nsp_lab *lab)
{
    struct sockaddr_in stream = server_address(NSP_TRAFFIC_STREAM_PORT);
    struct sockaddr_in probe = server_address(NSP_TRAFFIC_PROBE_PORT);
    const int yes = 1;
    int r;

    traffic->listener_fd = open_socket(lab, NSP_LAB_SERVER, SOCK_STREAM);
    traffic->sender_fd = open_socket(lab, NSP_LAB_CLIENT, SOCK_STREAM);
    traffic->echo_fd = open_socket(lab, NSP_LAB_SERVER, SOCK_DGRAM);
    traffic->probe_fd = open_socket(lab, NSP_LAB_CLIENT, SOCK_DGRAM);
    traffic->devices_fd = open_devices(lab);
    if (traffic->listener_fd < 0 || traffic->sender_fd < 0 ||
        traffic->echo_fd < 0 || traffic->probe_fd < 0 ||
        traffic->devices_fd < 0)
        return -EMFILE;

    choose_congestion_control(traffic->sender_fd);
    if (setsockopt(traffic->listener_fd, SOL_SOCKET, SO_REUSEADDR, &yes,
                   sizeof yes) < 0 ||
        bind(traffic->listener_fd, (struct sockaddr *)&stream, sizeof stream) <
            0 ||
        listen(traffic->listener_fd, 1) < 0 ||
        bind(traffic->echo_fd, (struct sockaddr *)&probe, sizeof probe) < 0 ||
        connect(traffic->probe_fd, (struct sockaddr *)&probe, sizeof probe) < 0)
        return -errno;
    r = ask_for_stamps(traffic->echo_fd);
    return r < 0 ? r : ask_for_stamps(traffic->probe_fd);
}

/* --- Reading ------------------------------------------------------------- */

/* What the server's device received, less Ethernet headers. */
static uint64_t
read_device_ip_bytes(int devices_fd)
{
    char text[4096];
    uint64_t bytes, packets;
    const char *line;
    ssize_t n;

    n = pread(devices_fd, text, sizeof text - 1, 0);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    line = strstr(text, "eth0:");
    if (!line || sscanf(line, "eth0: %lu %lu", &bytes, &packets) != 2)
        return 0;
    return bytes - packets * ETHERNET_BYTES;
}

void
nsp_traffic_read(const struct nsp_traffic *traffic,
                 struct nsp_traffic_sample *ret)
{
    uint64_t device_bytes;

    ret->at_ns = nsp_cli_now_ns();
    device_bytes = read_device_ip_bytes(traffic->devices_fd);
    ret->wire_bytes = device_bytes - traffic->wire_bytes_at_start -
                      atomic_load(&traffic->echo_bytes);
    ret->stream_bytes = atomic_load(&traffic->stream_bytes);
    ret->probes_sent = atomic_load(&traffic->probes_sent);
}

uint64_t
nsp_traffic_median_rtt_ns(const struct nsp_traffic *traffic,
                          enum nsp_traffic_kind kind, uint32_t from,
                          uint32_t to)
{
    uint64_t *values, median;
    uint32_t n = 0;

    if (to > traffic->cfg.max_probes || from >= to)
        return 0;
    values = calloc(to - from, sizeof *values);
    if (!values)
        return 0;
    for (uint32_t i = from; i < to; i++) {
        values[n] = atomic_load(&traffic->rtt_ns[i]);
        n += values[n] != 0 && kind_of(i) == kind;
    }
    median = nsp_stats_median(values, n);
    free(values);
    return median;
}

void
nsp_traffic_count_probes(const struct nsp_traffic *traffic, uint32_t to,
                         uint32_t *ret_sent, uint32_t *ret_missing)
{
    uint32_t sent = 0, missing = 0;

    for (uint32_t i = 0; i < to && i < traffic->cfg.max_probes; i++) {
        if (kind_of(i) == NSP_TRAFFIC_CONTROL)
            continue;
        sent++;
        missing += atomic_load(&traffic->rtt_ns[i]) == 0;
    }
    *ret_sent = sent;
    *ret_missing = missing;
}

/* --- Lifecycle ----------------------------------------------------------- */

static int
fail(struct nsp_diag *reterr, const char *what, int os_errno)
{
    *reterr = (struct nsp_diag){ .result = NSP_OPEN_FAILED,
                                 .os_errno = os_errno,
                                 .category = "traffic" };
    snprintf(reterr->text, sizeof reterr->text, "%s: %s", what,
             strerror(os_errno));
    return NSP_OPEN_FAILED;
}

static int
start_threads(struct nsp_traffic *traffic)
{
    static void *(*const runs[THREADS])(void *) = {
        [RECEIVER] = run_receiver,
        [SENDER] = run_sender,
        [ECHO] = run_echo,
        [PROBE] = run_probe,
    };

    for (int i = 0; i < THREADS; i++) {
        int r = nsp_cli_thread_create(&traffic->threads[i], runs[i], traffic);

        if (r < 0)
            return r;
        traffic->thread_count++;
    }
    return 0;
}

int
nsp_traffic_start(const struct nsp_lab *lab,
                  const struct nsp_traffic_config *cfg,
                  struct nsp_traffic **ret, struct nsp_diag *reterr)
{
    struct nsp_traffic *traffic;
    int r;

    traffic = calloc(1, sizeof *traffic);
    if (!traffic)
        return NSP_NO_MEMORY;
    traffic->cfg = *cfg;
    traffic->listener_fd = traffic->sender_fd = -1;
    traffic->echo_fd = traffic->probe_fd = traffic->devices_fd = -1;
    traffic->rtt_ns = calloc(cfg->max_probes, sizeof *traffic->rtt_ns);
    if (!traffic->rtt_ns) {
        nsp_traffic_destroy(traffic);
        return NSP_NO_MEMORY;
    }

    r = open_sockets(traffic, lab);
    if (r == 0) {
        traffic->wire_bytes_at_start =
            read_device_ip_bytes(traffic->devices_fd);
        r = start_threads(traffic);
    }
    if (r < 0) {
        nsp_traffic_destroy(traffic);
        return fail(reterr, "traffic in the lab cannot be started", -r);
    }

    *ret = traffic;
    return NSP_OK;
}

static void
join_threads(struct nsp_traffic *traffic)
{
    atomic_store(&traffic->probe_stopping, true);
    if (traffic->thread_count > PROBE)
        pthread_join(traffic->threads[--traffic->thread_count], NULL);

    atomic_store(&traffic->stopping, true);
    /* Wakes a sender that waits for room, or for its connection. */
    if (traffic->sender_fd >= 0)
        shutdown(traffic->sender_fd, SHUT_RDWR);
    while (traffic->thread_count > 0)
        pthread_join(traffic->threads[--traffic->thread_count], NULL);
}

int
nsp_traffic_stop(struct nsp_traffic *traffic, struct nsp_diag *reterr)
{
    int stream_errno;

    join_threads(traffic);
    stream_errno = atomic_load(&traffic->stream_errno);
    return stream_errno == 0
               ? NSP_OK
               : fail(reterr, "the stream cannot connect", stream_errno);
}

static void
close_socket(int fd)
{
    if (fd >= 0)
        close(fd);
}

struct nsp_traffic *
nsp_traffic_destroy(struct nsp_traffic *traffic)
{
    if (!traffic)
        return NULL;
    join_threads(traffic);
    close_socket(traffic->listener_fd);
    close_socket(traffic->sender_fd);
    close_socket(traffic->echo_fd);
    close_socket(traffic->probe_fd);
    close_socket(traffic->devices_fd);
    free(traffic->rtt_ns);
    free(traffic);
    return NULL;
}
