#define _GNU_SOURCE
#include "cli/live_traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "cli/clock.h"
#include "cli/interrupt.h"
#include "cli/thread.h"

#define STOP_CHECK_US 20000
#define RECEIVE_BYTES (8 << 20)
#define POLL_NS       UINT64_C(5000000)

struct run {
    const struct nsp_live_traffic *traffic;
    struct nsp_live_trial *trial;
    int sender_fd, receiver_fd;
    pthread_t receiver;
    atomic_bool stopping;
    _Atomic uint32_t received;
};

static void
sleep_until(uint64_t due_ns)
{
    struct timespec due = { .tv_sec = (time_t)(due_ns / NSP_CLI_NS_PER_S),
                            .tv_nsec = (long)(due_ns % NSP_CLI_NS_PER_S) };

    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
}

/* --- Receiving ------------------------------------------------------------ */

union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(struct timespec)) +
               2 * CMSG_SPACE(sizeof(int))];
};

/* What the kernel says of the packet just received. */
struct arrival {
    uint64_t at_ns;
    int tos, ttl;
};

static void
read_arrival(struct msghdr *message, struct arrival *ret)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(message);

    *ret = (struct arrival){ nsp_cli_clock_ns(CLOCK_REALTIME), -1, -1 };
    for (; c; c = CMSG_NXTHDR(message, c)) {
        struct timespec ts;

        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            memcpy(&ts, CMSG_DATA(c), sizeof ts);
            ret->at_ns =
                (uint64_t)ts.tv_sec * NSP_CLI_NS_PER_S + (uint64_t)ts.tv_nsec;
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
            ret->tos = *CMSG_DATA(c);
        } else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL) ||
                   (c->cmsg_level == IPPROTO_IPV6 &&
                    c->cmsg_type == IPV6_HOPLIMIT)) {
            memcpy(&ret->ttl, CMSG_DATA(c), sizeof ret->ttl);
        } else if (c->cmsg_level == IPPROTO_IPV6 &&
                   c->cmsg_type == IPV6_TCLASS) {
            memcpy(&ret->tos, CMSG_DATA(c), sizeof ret->tos);
        }
    }
}

static void
note_arrival(struct run *run, const uint8_t *payload,
             const struct arrival *arrival)
{
    struct nsp_live_trial *trial = run->trial;
    uint64_t number = 0;

    for (uint32_t i = 0; i < NSP_TEST_NUMBER_BYTES; i++)
        number = number << 8 | payload[i];
    if (number >= trial->pkts)
        return;
    if (trial->received_ns[number] != 0) {
        trial->copy_ns[number] = arrival->at_ns;
        trial->copied_pkts++;
        return;
    }
    trial->received_ns[number] = arrival->at_ns;
    trial->wrong_pkts +=
        arrival->tos != run->traffic->tos || arrival->ttl != run->traffic->ttl;
    atomic_fetch_add(&run->received, 1);
}

static void *
run_receiver(void *opaque)
{
    struct run *run = opaque;
    uint8_t payload[NSP_TEST_PKT_BYTES_MAX];

    while (!atomic_load(&run->stopping)) {
        union control control;
        struct iovec iov = { payload, sizeof payload };
        struct msghdr message = { .msg_iov = &iov,
                                  .msg_iovlen = 1,
                                  .msg_control = &control,
                                  .msg_controllen = sizeof control };
        struct arrival arrival;
        ssize_t n = recvmsg(run->receiver_fd, &message, 0);

        if (n < (ssize_t)NSP_TEST_NUMBER_BYTES)
            continue;
        read_arrival(&message, &arrival);
        note_arrival(run, payload, &arrival);
    }
    return NULL;
}

/* --- Sending -------------------------------------------------------------- */

/* An answer to one packet comes as an error of the next call. */
static void
send_packet(struct run *run, uint32_t number)
{
    const struct nsp_test_packet *packet = run->traffic->packet;
    uint8_t data[NSP_TEST_PKT_BYTES_MAX];
    const uint8_t *payload = data + packet->payload_off;

    memcpy(data, packet->data, packet->bytes);
    nsp_test_packet_number(packet, data, number);
    run->trial->sent_ns[number] = nsp_cli_clock_ns(CLOCK_REALTIME);
    for (int try = 0; try < 3; try++)
        if (send(run->sender_fd, payload, packet->fields.payload_bytes, 0) > 0)
            return;
        else
            run->trial->refused_pkts += errno == EMSGSIZE;
}

static int
send_all(struct run *run)
{
    uint64_t due_ns = nsp_cli_now_ns();

    for (uint32_t i = 0; i < run->trial->pkts; i++) {
        uint64_t now_ns = nsp_cli_now_ns();

        if (nsp_interrupted())
            return NSP_STOPPED;
        if (now_ns < due_ns)
            sleep_until(due_ns);
        else if (run->traffic->keeps_apart)
            due_ns = now_ns;
        send_packet(run, i);
        due_ns += run->traffic->gap_ns;
    }
    return NSP_OK;
}

static void
wait_for_stragglers(struct run *run)
{
    uint64_t now_ns = nsp_cli_now_ns();
    uint64_t until_ns = now_ns + run->traffic->straggler_ns;

    while (now_ns < until_ns && !nsp_interrupted() &&
           (run->traffic->waits_for_copies ||
            atomic_load(&run->received) < run->trial->pkts)) {
        sleep_until(now_ns + POLL_NS);
        now_ns = nsp_cli_now_ns();
    }
}

/* --- Sockets -------------------------------------------------------------- */

static socklen_t
address_of(const struct nsp_test_fields *f, bool source,
           struct sockaddr_storage *ret)
{
    struct sockaddr_in *ipv4 = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)ret;
    uint16_t port = htons(source ? f->sport : f->dport);
    const uint8_t *addr = source ? f->src : f->dst;

    memset(ret, 0, sizeof *ret);
    if (!f->ipv6) {
        ipv4->sin_family = AF_INET;
        ipv4->sin_port = port;
        memcpy(&ipv4->sin_addr, addr, 4);
        return sizeof *ipv4;
    }
    ipv6->sin6_family = AF_INET6;
    ipv6->sin6_port = port;
    memcpy(&ipv6->sin6_addr, addr, 16);
    return sizeof *ipv6;
}

static int
set_int(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value);
}

static int
close_failed(int fd)
{
    int err = -errno;

    close(fd);
    return err;
}

static int
open_receiver(const struct nsp_live_traffic *t)
{
    const struct timeval timeout = { .tv_usec = STOP_CHECK_US };
    const struct nsp_test_fields *f = &t->packet->fields;
    struct sockaddr_storage address;
    socklen_t bytes = address_of(f, false, &address);
    int fd = nsp_lab_socket(t->lab, NSP_LAB_SERVER,
                            f->ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM);

    if (fd < 0)
        return fd;
    /* As much of that as the system allows. */
    (void)set_int(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BYTES);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) ==
            0 &&
        set_int(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1) == 0 &&
        (f->ipv6 ? set_int(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1) == 0 &&
                       set_int(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1) == 0
                 : set_int(fd, IPPROTO_IP, IP_RECVTOS, 1) == 0 &&
                       set_int(fd, IPPROTO_IP, IP_RECVTTL, 1) == 0) &&
        bind(fd, (struct sockaddr *)&address, bytes) == 0)
        return fd;
    return close_failed(fd);
}

/* The router takes one off the TTL before its rules see the packet. */
static int
open_sender(const struct nsp_live_traffic *t)
{
    const struct nsp_test_fields *f = &t->packet->fields;
    int family = f->ipv6 ? AF_INET6 : AF_INET;
    int ttl = f->ttl < 255 ? f->ttl + 1 : 255;
    struct sockaddr_storage from, to;
    socklen_t bytes = address_of(f, true, &from);
    int fd = nsp_lab_socket(t->lab, NSP_LAB_CLIENT, family, SOCK_DGRAM);

    if (fd < 0)
        return fd;
    address_of(f, false, &to);
    /* What a path takes is no matter: what is too big goes out all the same. */
    if ((f->ipv6 ? set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER,
                           IPV6_PMTUDISC_PROBE) == 0 &&
                       set_int(fd, IPPROTO_IPV6, IPV6_TCLASS, f->tos) == 0 &&
                       set_int(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, ttl) == 0
                 : set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER,
                           IP_PMTUDISC_PROBE) == 0 &&
                       set_int(fd, IPPROTO_IP, IP_TOS, f->tos) == 0 &&
                       set_int(fd, IPPROTO_IP, IP_TTL, ttl) == 0) &&
        bind(fd, (struct sockaddr *)&from, bytes) == 0 &&
        connect(fd, (struct sockaddr *)&to, bytes) == 0)
        return fd;
    return close_failed(fd);
}

/* --- A run ---------------------------------------------------------------- */

static int
fail(struct nsp_diag *reterr, int os_errno)
{
    *reterr = (struct nsp_diag){ .result = NSP_OPEN_FAILED,
                                 .os_errno = os_errno,
                                 .category = "traffic" };
    snprintf(reterr->text, sizeof reterr->text, "test traffic: %s",
             strerror(os_errno));
    return NSP_OPEN_FAILED;
}

static int
run_threads(struct run *run, struct nsp_diag *reterr)
{
    int r = nsp_cli_thread_create(&run->receiver, run_receiver, run);

    if (r < 0)
        return fail(reterr, -r);
    r = send_all(run);
    if (r == NSP_OK)
        wait_for_stragglers(run);
    atomic_store(&run->stopping, true);
    pthread_join(run->receiver, NULL);
    return nsp_interrupted() ? NSP_STOPPED : r;
}

int
nsp_live_traffic_run(const struct nsp_live_traffic *traffic,
                     struct nsp_live_trial *ret, struct nsp_diag *reterr)
{
    struct run run = { .traffic = traffic, .trial = ret };
    int result;

    *ret = (struct nsp_live_trial){ .pkts = traffic->pkts,
                                    .bytes = traffic->packet->bytes };
    ret->sent_ns = calloc(traffic->pkts, sizeof *ret->sent_ns);
    ret->received_ns = calloc(traffic->pkts, sizeof *ret->received_ns);
    ret->copy_ns = calloc(traffic->pkts, sizeof *ret->copy_ns);
    if (!ret->sent_ns || !ret->received_ns || !ret->copy_ns) {
        nsp_live_trial_fini(ret);
        return NSP_NO_MEMORY;
    }
    run.receiver_fd = open_receiver(traffic);
    run.sender_fd = open_sender(traffic);
    if (run.receiver_fd < 0 || run.sender_fd < 0)
        result = fail(reterr,
                      run.receiver_fd < 0 ? -run.receiver_fd : -run.sender_fd);
    else
        result = run_threads(&run, reterr);
    if (run.receiver_fd >= 0)
        close(run.receiver_fd);
    if (run.sender_fd >= 0)
        close(run.sender_fd);
    if (result != NSP_OK)
        nsp_live_trial_fini(ret);
    return result;
}

void
nsp_live_trial_fini(struct nsp_live_trial *trial)
{
    free(trial->sent_ns);
    free(trial->received_ns);
    free(trial->copy_ns);
    trial->sent_ns = trial->received_ns = trial->copy_ns = NULL;
}
