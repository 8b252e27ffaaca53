#define _GNU_SOURCE
/* Hooks of the host itself, several queues, superpackets and injection;
 * topology in nfqueue_fixture.h. */
#include "tests/functional/nfqueue_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "packet/checksum.h"

#define PORT 7001

/* --- Hooks ---------------------------------------------------------------- */

TEST(nfqueue_sees_local_output_with_its_owner_and_the_answer_as_input)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_INPUT | NSP_HOOK_OUTPUT);
    struct nsp_pkt *pkt;
    struct nsp_io *io;
    int here, server;

    fixture_require();
    here = fixture_udp(NSP_LAB_ROUTER, AF_INET, PORT);
    server = fixture_udp(NSP_LAB_SERVER, AF_INET, PORT);
    io = fixture_open(&cfg);

    /* The router's address that faces the client is routed from the server. */
    fixture_say(here, NSP_LAB_SERVER, AF_INET, PORT, "out");
    fixture_receive(io, &pkt, 1);
    CHECK_EQ(pkt->hook, NSP_HOOK_OUTPUT);
    CHECK_EQ(pkt->direction, NSP_OUTBOUND);
    CHECK_EQ(pkt->in_ifindex, 0);
    CHECK(pkt->out_ifindex != 0);
    /* The kernel tells it as the initial user namespace has it. */
    CHECK(pkt->uid != UINT32_MAX);
    fixture_send(io, &pkt, 1);
    fixture_hear(server, "out");

    fixture_say(server, NSP_LAB_ROUTER, AF_INET, PORT, "in");
    fixture_receive(io, &pkt, 1);
    CHECK_EQ(pkt->hook, NSP_HOOK_INPUT);
    CHECK_EQ(pkt->direction, NSP_INBOUND);
    CHECK_EQ(pkt->out_ifindex, 0);
    CHECK(pkt->in_ifindex != 0);
    CHECK(!(pkt->flags & NSP_PKT_LOOPBACK));
    fixture_send(io, &pkt, 1);
    fixture_hear(here, "in");
    CHECK(fixture_is_empty(io));
}

static void
say_to_self(bool skip_input)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_INPUT | NSP_HOOK_OUTPUT);
    struct nsp_pkt *pkt;
    struct nsp_io *io;
    int here;

    fixture_require();
    here = fixture_udp(NSP_LAB_ROUTER, AF_INET, PORT);
    cfg.skip_loopback_input = skip_input;
    io = fixture_open(&cfg);
    fixture_say(here, NSP_LAB_ROUTER, AF_INET, PORT, "self");
    fixture_receive(io, &pkt, 1);
    CHECK_EQ(pkt->hook, NSP_HOOK_OUTPUT);
    CHECK(pkt->flags & NSP_PKT_LOOPBACK);
    fixture_send(io, &pkt, 1);
    if (!skip_input) {
        fixture_receive(io, &pkt, 1);
        CHECK_EQ(pkt->hook, NSP_HOOK_INPUT);
        CHECK(pkt->flags & NSP_PKT_LOOPBACK);
        fixture_send(io, &pkt, 1);
    }
    fixture_hear(here, "self");
    CHECK(fixture_is_empty(io));
}

TEST(nfqueue_sees_loopback_twice)
{
    say_to_self(false);
}

TEST(nfqueue_sees_loopback_once_where_input_is_to_be_skipped)
{
    say_to_self(true);
}

/* --- Several queues ------------------------------------------------------- */

#define PAIRS 64

static void
say_from_to(const char *from, const char *to, uint16_t port)
{
    struct sockaddr_in source = { .sin_family = AF_INET };
    struct sockaddr_in sink = { .sin_family = AF_INET,
                                .sin_port = htons(port) };
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    CHECK(fd >= 0);
    CHECK_EQ(inet_pton(AF_INET, from, &source.sin_addr), 1);
    CHECK_EQ(inet_pton(AF_INET, to, &sink.sin_addr), 1);
    CHECK_EQ(bind(fd, (struct sockaddr *)&source, sizeof source), 0);
    CHECK(sendto(fd, "x", 1, 0, (struct sockaddr *)&sink, sizeof sink) == 1);
    close(fd);
}

/* Returns the queue on which exactly one packet comes, which is then dropped.
 */
static uint32_t
receive_on_either(struct nsp_io *io)
{
    for (;;) {
        for (uint32_t queue = 0; queue < 2; queue++) {
            struct nsp_pkt *pkt;
            bool ipv4;

            if (nsp_nfqueue_ops.rx_burst(io, queue, 0, &pkt, 1) == 0)
                continue;
            CHECK_EQ(pkt->queue, queue);
            ipv4 = pkt->data[0] >> 4 == 4;
            nsp_nfqueue_ops.drop_burst(io, queue, &pkt, 1);
            if (ipv4)
                return queue;
        }
    }
}

TEST(nfqueue_spreads_hosts_over_queues_and_keeps_both_directions_together)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_OUTPUT);
    uint32_t on_second = 0;
    struct nsp_io *io;

    fixture_require();
    cfg.queues = 2;
    io = fixture_open(&cfg);
    for (int i = 0; i < PAIRS; i++) {
        char from[16], to[16];
        uint32_t queue;

        snprintf(from, sizeof from, "127.0.0.%d", i + 1);
        snprintf(to, sizeof to, "127.0.1.%d", i + 1);
        say_from_to(from, to, PORT);
        queue = receive_on_either(io);
        say_from_to(to, from, PORT);
        CHECK_EQ(receive_on_either(io), queue);
        say_from_to(from, to, PORT + 1);
        CHECK_EQ(receive_on_either(io), queue);
        on_second += queue;
    }
    CHECK(on_second > 0 && on_second < PAIRS);
}

/* --- Superpackets --------------------------------------------------------- */

#define STREAM_BYTES (2u << 20)

/* A TCP connection from client to server whose packets the test passes on. */
struct stream {
    struct nsp_io *io;
    int from, to;
    uint32_t sent, heard, superpackets, refused, longest;
    bool edit_superpackets;
};

static uint8_t
stream_byte(uint32_t at)
{
    return (uint8_t)(at * 2654435761u >> 24);
}

static void
stream_relay(struct stream *stream)
{
    struct nsp_pkt *pkts[NSP_BURST_MAX];
    bool refused[NSP_BURST_MAX];
    uint32_t n =
        nsp_nfqueue_ops.rx_burst(stream->io, QUEUE, 0, pkts, NSP_BURST_MAX);

    for (uint32_t i = 0; i < n; i++) {
        if (pkts[i]->wire_bytes > stream->longest)
            stream->longest = pkts[i]->wire_bytes;
        if (!(pkts[i]->flags & NSP_PKT_SUPERPACKET))
            continue;
        stream->superpackets++;
        /* The first only: the sender repeats what is refused. */
        if (stream->edit_superpackets && stream->superpackets == 1)
            pkts[i]->flags |= NSP_PKT_MODIFIED;
    }
    stream->refused +=
        nsp_nfqueue_ops.tx_burst(stream->io, QUEUE, 0, pkts, n, refused);
}

static void
stream_write(struct stream *stream)
{
    uint8_t bytes[65536];
    ssize_t sent;

    for (uint32_t i = 0; i < sizeof bytes; i++)
        bytes[i] = stream_byte(stream->sent + i);
    sent = send(stream->from, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0)
        stream->sent += (uint32_t)sent;
}

static void
stream_read(struct stream *stream)
{
    uint8_t bytes[65536];
    ssize_t got = recv(stream->to, bytes, sizeof bytes, MSG_DONTWAIT);

    for (ssize_t i = 0; i < got; i++)
        CHECK_EQ(bytes[i], stream_byte(stream->heard++));
}

static void
stream_connect(struct stream *stream)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT) };
    int listener;

    CHECK_EQ(inet_pton(AF_INET, nsp_lab_address(NSP_LAB_SERVER, AF_INET),
                       &to.sin_addr),
             1);
    listener = fixture_tcp(NSP_LAB_SERVER);
    CHECK_EQ(bind(listener, (struct sockaddr *)&to, sizeof to), 0);
    CHECK_EQ(listen(listener, 1), 0);
    stream->from = fixture_tcp(NSP_LAB_CLIENT);
    CHECK(connect(stream->from, (struct sockaddr *)&to, sizeof to) < 0);
    CHECK(errno == EINPROGRESS);
    do {
        stream_relay(stream);
        stream->to = accept(listener, NULL, NULL);
    } while (stream->to < 0 && errno == EAGAIN);
    CHECK(stream->to >= 0);
}

static void
stream_run(struct stream *stream)
{
    stream_connect(stream);
    while (stream->heard < STREAM_BYTES) {
        stream_write(stream);
        stream_relay(stream);
        stream_read(stream);
    }
    close(stream->to);
}

TEST(nfqueue_carries_superpackets_with_headers_copied_only)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    struct stream stream = { 0 };

    fixture_require();
    cfg.snap_bytes = 128;
    cfg.superpackets = true;
    stream.io = fixture_open(&cfg);
    stream_run(&stream);
    CHECK(stream.superpackets > 0);
    CHECK(stream.longest > 3000);
    CHECK_EQ(stream.refused, 0);
}

TEST(nfqueue_copies_superpackets_whole)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    struct stream stream = { 0 };

    fixture_require();
    cfg.superpackets = true;
    stream.io = fixture_open(&cfg);
    stream_run(&stream);
    CHECK(stream.superpackets > 0);
}

TEST(nfqueue_refuses_edited_superpackets_and_tcp_recovers)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    struct stream stream = { .edit_superpackets = true };

    fixture_require();
    cfg.superpackets = true;
    cfg.edits = true;
    stream.io = fixture_open(&cfg);
    stream_run(&stream);
    CHECK_EQ(stream.refused, 1);
}

TEST(nfqueue_splits_superpackets_where_they_are_not_welcome)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    struct stream stream = { 0 };

    fixture_require();
    stream.io = fixture_open(&cfg);
    stream_run(&stream);
    CHECK_EQ(stream.superpackets, 0);
    CHECK(stream.longest <= 1500);
}

/* --- Injection ------------------------------------------------------------ */

/* A UDP datagram in an IPv4 packet; its checksum is left out (zero). */
static uint32_t
build_udp4(uint8_t *ret, const char *from, const char *to, const char *text)
{
    uint32_t text_bytes = (uint32_t)strlen(text);

    memset(ret, 0, 28);
    ret[0] = 0x45;
    nsp_store_be16(ret + 2, (uint16_t)(28 + text_bytes));
    ret[8] = 64;
    ret[9] = IPPROTO_UDP;
    CHECK_EQ(inet_pton(AF_INET, from, ret + 12), 1);
    CHECK_EQ(inet_pton(AF_INET, to, ret + 16), 1);
    nsp_store_be16(ret + 10, nsp_csum_fold(nsp_csum_add(0, ret, 20)));
    nsp_store_be16(ret + 20, PORT);
    nsp_store_be16(ret + 22, PORT);
    nsp_store_be16(ret + 24, (uint16_t)(8 + text_bytes));
    memcpy(ret + 28, text, text_bytes);
    return 28 + text_bytes;
}

/* The same over IPv6, where the checksum is compulsory. */
static uint32_t
build_udp6(uint8_t *ret, const char *from, const char *to, const char *text)
{
    uint16_t udp_bytes = (uint16_t)(8 + strlen(text));
    uint64_t sum;

    memset(ret, 0, 48);
    ret[0] = 0x60;
    nsp_store_be16(ret + 4, udp_bytes);
    ret[6] = IPPROTO_UDP;
    ret[7] = 64;
    CHECK_EQ(inet_pton(AF_INET6, from, ret + 8), 1);
    CHECK_EQ(inet_pton(AF_INET6, to, ret + 24), 1);
    nsp_store_be16(ret + 40, PORT);
    nsp_store_be16(ret + 42, PORT);
    nsp_store_be16(ret + 44, udp_bytes);
    memcpy(ret + 48, text, strlen(text));
    /* RFC 8200, section 8.1: addresses, length, next header. */
    sum = nsp_csum_add((uint64_t)udp_bytes + IPPROTO_UDP, ret + 8, 32);
    sum = nsp_csum_add(sum, ret + 40, udp_bytes);
    nsp_store_be16(ret + 46, nsp_csum_fold(sum));
    return 40u + udp_bytes;
}

static void
inject(struct nsp_io *io, const uint8_t *ip, uint32_t bytes)
{
    struct nsp_pkt like = { .in_ifindex = 1 };

    CHECK_EQ(nsp_nfqueue_ops.inject(io, QUEUE, 0, ip, bytes, false, &like), 0);
}

#define ALL_HOOKS (NSP_HOOK_INPUT | NSP_HOOK_OUTPUT | NSP_HOOK_FORWARD)

TEST(nfqueue_injects_to_another_host_and_never_sees_it_again)
{
    struct nsp_io_config cfg = fixture_config(ALL_HOOKS);
    uint8_t ip[128];
    struct nsp_io *io;
    int server, server6;

    fixture_require();
    server = fixture_udp(NSP_LAB_SERVER, AF_INET, PORT);
    server6 = fixture_udp(NSP_LAB_SERVER, AF_INET6, PORT);
    /* The router gets to know the server now, not through the queue. */
    fixture_say(fixture_udp(NSP_LAB_ROUTER, AF_INET6, 0), NSP_LAB_SERVER,
                AF_INET6, PORT, "neighbour");
    fixture_hear(server6, "neighbour");
    io = fixture_open(&cfg);
    /* From an address that is not ours, as the answer of a far host is. */
    inject(io, ip,
           build_udp4(ip, "10.77.1.2", nsp_lab_address(NSP_LAB_SERVER, AF_INET),
                      "four"));
    fixture_hear(server, "four");
    inject(io, ip,
           build_udp6(ip, "fd77:1::2",
                      nsp_lab_address(NSP_LAB_SERVER, AF_INET6), "six"));
    fixture_hear(server6, "six");
    CHECK(fixture_is_empty(io));
}

TEST(nfqueue_injects_to_this_host_and_never_sees_it_again)
{
    struct nsp_io_config cfg = fixture_config(ALL_HOOKS);
    uint8_t ip[128];
    struct nsp_io *io;
    int here, here6;

    fixture_require();
    here = fixture_udp(NSP_LAB_ROUTER, AF_INET, PORT);
    here6 = fixture_udp(NSP_LAB_ROUTER, AF_INET6, PORT);
    io = fixture_open(&cfg);
    inject(io, ip,
           build_udp4(ip, "10.77.2.2", nsp_lab_address(NSP_LAB_ROUTER, AF_INET),
                      "four"));
    fixture_hear(here, "four");
    inject(io, ip,
           build_udp6(ip, "fd77:2::2",
                      nsp_lab_address(NSP_LAB_ROUTER, AF_INET6), "six"));
    fixture_hear(here6, "six");
    CHECK(fixture_is_empty(io));
}

/* A socket of 'host' that hears whatever comes to a port. */
static int
open_listener(enum nsp_lab_host host)
{
    struct sockaddr_in6 any = { .sin6_family = AF_INET6,
                                .sin6_port = htons(PORT) };
    struct timeval timeout = { .tv_sec = FIXTURE_PATIENCE_S };
    int fd;

    CHECK_EQ(nsp_lab_enter(lab, host), 0);
    fd = socket(AF_INET6, SOCK_DGRAM, 0);
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout),
             0);
    CHECK_EQ(bind(fd, (struct sockaddr *)&any, sizeof any), 0);
    CHECK_EQ(nsp_lab_enter(lab, NSP_LAB_ROUTER), 0);
    return fd;
}

/* To the neighbours at a link, of whom each link has others. */
TEST(nfqueue_injects_at_the_interface_that_a_packet_or_its_answer_takes)
{
    static const struct {
        const char *in, *out; /* Interfaces; "" for none. */
        bool reply;
        int heard;
        const char *text;
    } cases[] = {
        { "client0", "server0", false, 1, "forwarded" },
        { "client0", "server0", true, 0, "answer" },
        { "server0", "client0", false, 0, "forwarded back" },
        { "server0", "client0", true, 1, "answer back" },
        { "server0", "", true, 1, "answer to input" },
        { "client0", "", false, 0, "like input" },
        { "", "client0", true, 0, "answer to output" },
        { "", "server0", false, 1, "like output" },
    };
    struct nsp_io_config cfg = fixture_config(ALL_HOOKS);
    struct nsp_io *io;
    int listeners[2];
    uint8_t ip[128];

    fixture_require();
    if (access("/proc/sys/net/ipv6", F_OK) < 0)
        SKIP("the kernel has no IPv6");
    listeners[0] = open_listener(NSP_LAB_CLIENT);
    listeners[1] = open_listener(NSP_LAB_SERVER);
    io = fixture_open(&cfg);
    for (size_t i = 0; i < NSP_ARRAY_LEN(cases); i++) {
        const struct nsp_pkt like = {
            .in_ifindex = if_nametoindex(cases[i].in),
            .out_ifindex = if_nametoindex(cases[i].out),
        };
        uint32_t bytes = build_udp6(ip, "fd77:9::9", "ff02::1", cases[i].text);

        CHECK_EQ(nsp_nfqueue_ops.inject(io, QUEUE, 0, ip, bytes, cases[i].reply,
                                        &like),
                 0);
        fixture_hear(listeners[cases[i].heard], cases[i].text);
        fixture_hear_nothing(listeners[!cases[i].heard]);
    }
    for (int i = 0; i < 2; i++)
        close(listeners[i]);
}

TEST(nfqueue_refuses_to_inject_what_is_no_ip_packet)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    const struct nsp_pkt like = { .in_ifindex = 1 };
    uint8_t ip[40] = { 0 };
    struct nsp_io *io;

    fixture_require();
    io = fixture_open(&cfg);
    CHECK_EQ(nsp_nfqueue_ops.inject(io, 0, 0, ip, 0, true, &like), -EINVAL);
    CHECK_EQ(nsp_nfqueue_ops.inject(io, 0, 0, ip, 40, true, &like), -EINVAL);
    ip[0] = 0x45;
    CHECK_EQ(nsp_nfqueue_ops.inject(io, 0, 0, ip, 19, true, &like), -EINVAL);
    ip[0] = 0x60;
    CHECK_EQ(nsp_nfqueue_ops.inject(io, 0, 0, ip, 39, true, &like), -EINVAL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(
            nfqueue_sees_local_output_with_its_owner_and_the_answer_as_input),
        FIXTURE_TEST(nfqueue_sees_loopback_twice),
        FIXTURE_TEST(nfqueue_sees_loopback_once_where_input_is_to_be_skipped),
        FIXTURE_TEST(
            nfqueue_spreads_hosts_over_queues_and_keeps_both_directions_together),
        FIXTURE_TEST(nfqueue_carries_superpackets_with_headers_copied_only),
        FIXTURE_TEST(nfqueue_copies_superpackets_whole),
        FIXTURE_TEST(nfqueue_refuses_edited_superpackets_and_tcp_recovers),
        FIXTURE_TEST(nfqueue_splits_superpackets_where_they_are_not_welcome),
        FIXTURE_TEST(nfqueue_injects_to_another_host_and_never_sees_it_again),
        FIXTURE_TEST(nfqueue_injects_to_this_host_and_never_sees_it_again),
        FIXTURE_TEST(
            nfqueue_injects_at_the_interface_that_a_packet_or_its_answer_takes),
        FIXTURE_TEST(nfqueue_refuses_to_inject_what_is_no_ip_packet),
    };

    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
