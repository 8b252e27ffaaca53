#define _GNU_SOURCE
#include "cli/live_traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "cli/clock.h"
#include "cli/interrupt.h"
#include "cli/lateness.h"
#include "cli/thread.h"
#include "verify/wire.h"

#define STOP_CHECK_MS 20
#define RECEIVE_BYTES (8 << 20)
#define POLL_NS       UINT64_C(5000000)

#ifndef SO_RCVMARK
#define SO_RCVMARK 75
#endif

struct run {
    const struct nsp_live_traffic *traffic;
    struct nsp_live_trial *trial;
    int client_fd, server_fd;
    struct sockaddr_ll router; /* As the client sees it. */
    uint32_t next;             /* After the last number that came. */
    pthread_t receiver;
    atomic_bool stopping;
    _Atomic uint32_t received;
};

/* --- Receiving ------------------------------------------------------------ */

struct arrival {
    uint8_t data[NSP_TEST_PKT_BYTES_MAX];
    uint32_t bytes;
    uint64_t at_ns;
    uint32_t mark;
};

/* When the kernel had the packet just received, and its mark where told. */
static void
read_control(struct msghdr *message, struct arrival *ret)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(message);
    struct timespec ts;

    ret->at_ns = nsp_cli_clock_ns(CLOCK_REALTIME);
    ret->mark = 0;
    for (; c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            memcpy(&ts, CMSG_DATA(c), sizeof ts);
            ret->at_ns =
                (uint64_t)ts.tv_sec * NSP_CLI_NS_PER_S + (uint64_t)ts.tv_nsec;
        } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_MARK)
            memcpy(&ret->mark, CMSG_DATA(c), sizeof ret->mark);
    }
}

static uint16_t
protocol_of(const struct nsp_live_traffic *t)
{
    return htons(t->packet->fields.ipv6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP);
}

/* Not sent by the router for itself. */
static bool
is_forwarded(const struct run *run, const uint8_t *data, size_t bytes)
{
    const struct nsp_test_fields *fields = &run->traffic->packet->fields;
    size_t off = fields->ipv6 ? 8 : 12, address_bytes = fields->ipv6 ? 16 : 4;

    return bytes >= off + address_bytes &&
           memcmp(data + off, fields->src, address_bytes) == 0;
}

/* One of the packet's protocol and of 'type', so none for another host, and no
 * neighbour's asking for addresses. False: there is none now. */
static bool
receive(const struct run *run, int fd, unsigned char type, struct arrival *ret)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(struct timespec)) +
                   CMSG_SPACE(sizeof(uint32_t))];
    } control;
    ssize_t n;

    for (;;) {
        struct iovec iov = { ret->data, sizeof ret->data };
        struct sockaddr_ll from;
        struct msghdr message = { .msg_name = &from,
                                  .msg_namelen = sizeof from,
                                  .msg_iov = &iov,
                                  .msg_iovlen = 1,
                                  .msg_control = &control,
                                  .msg_controllen = sizeof control };

        n = recvmsg(fd, &message, MSG_DONTWAIT);
        if (n < 0)
            return false;
        if (from.sll_pkttype != type ||
            from.sll_protocol != protocol_of(run->traffic) ||
            (type == PACKET_OUTGOING &&
             !is_forwarded(run, ret->data, (size_t)n)) ||
            nsp_wire_is_discovery(ret->data, (uint32_t)n))
            continue;
        ret->bytes = (uint32_t)n;
        read_control(&message, ret);
        return true;
    }
}

static uint32_t
look_at(struct run *run, struct arrival *arrival, uint32_t number)
{
    const struct nsp_live_traffic *t = run->traffic;
    uint8_t original[NSP_TEST_PKT_BYTES_MAX] = { 0 };
    struct nsp_pkt pkt;

    if (!t->look)
        return 0;
    nsp_wire_write(t->packet, number, t->packet->fields.ttl, original);
    nsp_test_packet_describe(t->packet, arrival->data, &pkt);
    pkt.cap_bytes = pkt.wire_bytes = arrival->bytes;
    if (t->at_router)
        pkt.mark = arrival->mark;
    nsp_pkt_parse(&pkt);
    return t->look(t->look_context, &pkt, original);
}

static void
note_arrival(struct run *run, struct arrival *arrival)
{
    struct nsp_live_trial *trial = run->trial;
    uint32_t number, seen;

    if (nsp_wire_is_reset(run->traffic->packet, arrival->data,
                          arrival->bytes)) {
        trial->answers++;
        return;
    }
    number = nsp_wire_number(run->traffic->packet, arrival->data,
                             arrival->bytes, run->next);
    if (number >= trial->pkts)
        return;
    if (trial->received_ns[number] != 0) {
        trial->copy_ns[number] = arrival->at_ns;
        trial->copied_pkts++;
        return;
    }
    run->next = number + 1;
    seen = look_at(run, arrival, number);
    trial->received_ns[number] = arrival->at_ns;
    trial->is_hit[number] = (seen & NSP_LOOK_HIT) != 0;
    trial->wrong_pkts += (seen & NSP_LOOK_WRONG) != 0;
    atomic_fetch_add(&run->received, 1);
}

static void *
run_receiver(void *opaque)
{
    struct run *run = opaque;
    struct pollfd fds[] = { { .fd = run->server_fd, .events = POLLIN },
                            { .fd = run->client_fd, .events = POLLIN } };
    unsigned char type =
        run->traffic->at_router ? PACKET_OUTGOING : PACKET_HOST;
    struct arrival arrival;

    while (!atomic_load(&run->stopping)) {
        if (poll(fds, 2, STOP_CHECK_MS) <= 0)
            continue;
        while (!atomic_load(&run->stopping) &&
               receive(run, run->server_fd, type, &arrival))
            note_arrival(run, &arrival);
        while (!atomic_load(&run->stopping) &&
               receive(run, run->client_fd, PACKET_HOST, &arrival))
            run->trial->answers++;
    }
    return NULL;
}

/* --- Sending -------------------------------------------------------------- */

/* The router takes one off the TTL before its rules see the packet. */
static void
send_packet(struct run *run, uint32_t number)
{
    const struct nsp_test_packet *packet = run->traffic->packet;
    uint8_t data[NSP_TEST_PKT_BYTES_MAX];

    nsp_wire_write(packet, number, packet->fields.ttl + 1u, data);
    run->trial->sent_ns[number] = nsp_cli_clock_ns(CLOCK_REALTIME);
    while (sendto(run->client_fd, data, packet->bytes, 0,
                  (struct sockaddr *)&run->router, sizeof run->router) < 0 &&
           (errno == ENOBUFS || errno == EINTR) && !nsp_interrupted())
        nsp_cli_sleep_until(nsp_cli_now_ns() + POLL_NS);
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
            nsp_cli_sleep_until(due_ns);
        else if (run->traffic->keeps_apart)
            due_ns = now_ns;
        send_packet(run, i);
        due_ns += run->traffic->gap_ns;
    }
    return NSP_OK;
}

/* A time in which the machine stands still is none in which packets come. */
static void
wait_for_stragglers(struct run *run)
{
    for (uint64_t waited_ns = 0;
         waited_ns < run->traffic->straggler_ns && !nsp_interrupted() &&
         (run->traffic->waits_for_copies ||
          atomic_load(&run->received) < run->trial->pkts);
         waited_ns += POLL_NS)
        nsp_cli_sleep_until(nsp_cli_now_ns() + POLL_NS);
}

/* --- Sockets -------------------------------------------------------------- */

bool
nsp_live_traffic_hears_marks(void)
{
    int on = 1, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool hears =
        fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVMARK, &on, sizeof on) == 0;

    if (fd >= 0)
        close(fd);
    return hears;
}

/* Hears what comes to 'host', or leaves the router for the server, from the
 * device only. Returns a descriptor or a
 * negative errno, and where it listens in '*ret'. */
static int
open_socket(const struct nsp_live_traffic *t, enum nsp_lab_host host,
            struct sockaddr_ll *ret)
{
    int on = 1, bytes = RECEIVE_BYTES, err;
    struct ifreq request = { .ifr_name = "" };
    int fd = nsp_lab_socket(t->lab, host, AF_PACKET, SOCK_DGRAM);

    if (fd < 0)
        return fd;
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s",
             host == NSP_LAB_ROUTER ? nsp_lab_router_device(NSP_LAB_SERVER)
                                    : NSP_LAB_DEVICE);
    if (host == NSP_LAB_ROUTER) /* If not, a look sees that none has marks. */
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVMARK, &on, sizeof on);
    /* As much of that as the system allows. */
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) < 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    if (ioctl(fd, SIOCGIFINDEX, &request) == 0) {
        *ret = (struct sockaddr_ll){
            .sll_family = AF_PACKET,
            /* What leaves is told to those alone who hear everything. */
            .sll_protocol =
                host == NSP_LAB_ROUTER ? htons(ETH_P_ALL) : protocol_of(t),
            .sll_ifindex = request.ifr_ifindex,
            .sll_halen = 6,
        };
        if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) == 0 &&
            bind(fd, (struct sockaddr *)ret, sizeof *ret) == 0)
            return fd;
    }
    err = -errno;
    close(fd);
    return err;
}

static int
open_sockets(struct run *run)
{
    const struct nsp_live_traffic *t = run->traffic;
    struct sockaddr_ll unused;

    run->server_fd =
        open_socket(t, t->at_router ? NSP_LAB_ROUTER : NSP_LAB_SERVER, &unused);
    if (run->server_fd < 0)
        return run->server_fd;
    run->client_fd = open_socket(t, NSP_LAB_CLIENT, &run->router);
    if (run->client_fd < 0)
        return run->client_fd;
    return nsp_lab_gateway_mac(t->lab, NSP_LAB_CLIENT, run->router.sll_addr);
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
    struct nsp_lateness lateness;
    int r = nsp_lateness_start(&lateness);

    if (r < 0)
        return fail(reterr, -r);
    r = nsp_cli_thread_create(&run->receiver, run_receiver, run);
    if (r < 0) {
        nsp_lateness_stop(&lateness);
        return fail(reterr, -r);
    }
    r = send_all(run);
    if (r == NSP_OK)
        wait_for_stragglers(run);
    atomic_store(&run->stopping, true);
    pthread_join(run->receiver, NULL);
    run->trial->late = nsp_lateness_stop(&lateness);
    return nsp_interrupted() ? NSP_STOPPED : r;
}

int
nsp_live_traffic_run(const struct nsp_live_traffic *traffic,
                     struct nsp_live_trial *ret, struct nsp_diag *reterr)
{
    struct run run = {
        .traffic = traffic, .trial = ret, .client_fd = -1, .server_fd = -1
    };
    uint32_t pkts =
        traffic->pkts < NSP_LIVE_PKTS_MAX ? traffic->pkts : NSP_LIVE_PKTS_MAX;
    int result;

    *ret = (struct nsp_live_trial){ .pkts = pkts,
                                    .bytes = traffic->packet->bytes };
    ret->sent_ns = calloc(pkts, sizeof *ret->sent_ns);
    ret->received_ns = calloc(pkts, sizeof *ret->received_ns);
    ret->copy_ns = calloc(pkts, sizeof *ret->copy_ns);
    ret->is_hit = calloc(pkts, sizeof *ret->is_hit);
    if (!ret->sent_ns || !ret->received_ns || !ret->copy_ns || !ret->is_hit) {
        nsp_live_trial_fini(ret);
        return NSP_NO_MEMORY;
    }
    result = open_sockets(&run);
    result = result < 0 ? fail(reterr, -result) : run_threads(&run, reterr);
    if (run.server_fd >= 0)
        close(run.server_fd);
    if (run.client_fd >= 0)
        close(run.client_fd);
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
    free(trial->is_hit);
    trial->sent_ns = trial->received_ns = trial->copy_ns = NULL;
    trial->is_hit = NULL;
}
