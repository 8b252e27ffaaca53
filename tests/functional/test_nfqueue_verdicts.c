#define _GNU_SOURCE
/* Fates of packets on the live device; topology in nfqueue_fixture.h. */
#include "tests/functional/nfqueue_fixture.h"

#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "os/os.h"

#define PORT       7001
#define OTHER_PORT 7002

/* IPv4 and UDP headers. */
#define UDP4_HEADER_BYTES 28

static int client, server;

static void
open_ends(int family)
{
    fixture_require();
    server = fixture_udp(NSP_LAB_SERVER, family, PORT);
    client = fixture_udp(NSP_LAB_CLIENT, family, 0);
}

static void
say(const char *text)
{
    fixture_say(client, NSP_LAB_SERVER, AF_INET, PORT, text);
}

TEST(nfqueue_passes_a_forwarded_packet_and_says_where_it_is_from)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    struct nsp_pkt *pkt;
    struct nsp_io *io;

    open_ends(AF_INET);
    io = fixture_open(&cfg);
    say("hello");
    fixture_receive(io, &pkt, 1);
    CHECK_EQ(pkt->hook, NSP_HOOK_FORWARD);
    CHECK_EQ(pkt->direction, NSP_DIRECTION_NONE);
    CHECK_EQ(pkt->link, NSP_LINK_RAW);
    CHECK_EQ(pkt->cap_bytes, UDP4_HEADER_BYTES + 5);
    CHECK_EQ(pkt->wire_bytes, UDP4_HEADER_BYTES + 5);
    CHECK(pkt->in_ifindex != 0 && pkt->out_ifindex != 0);
    CHECK(pkt->in_ifindex != pkt->out_ifindex);
    CHECK_EQ(pkt->uid, UINT32_MAX);
    CHECK_EQ(pkt->flags, 0);
    CHECK_MEM_EQ(pkt->data + UDP4_HEADER_BYTES, "hello", 5);
    fixture_hear_nothing(server);

    fixture_send(io, &pkt, 1);
    fixture_hear(server, "hello");
}

TEST(nfqueue_passes_ipv6)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    struct nsp_pkt *pkt;
    struct nsp_io *io;

    open_ends(AF_INET6);
    io = fixture_open(&cfg);
    fixture_say(client, NSP_LAB_SERVER, AF_INET6, PORT, "six");
    fixture_receive(io, &pkt, 1);
    CHECK_EQ(pkt->data[0] >> 4, 6);
    fixture_send(io, &pkt, 1);
    fixture_hear(server, "six");
}

TEST(nfqueue_tells_when_a_packet_came_not_when_it_was_received)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    uint64_t said_ns, waiting_ns;
    struct nsp_pkt *pkts[2];
    struct nsp_io *io;

    open_ends(AF_INET);
    io = fixture_open(&cfg);
    said_ns = cfg.clock.now_ns(cfg.clock.context);
    say("one");
    say("two");
    CHECK_EQ(nsp_nfqueue_ops.wait(io, QUEUE, NSP_TIME_NEVER), 0);
    waiting_ns = cfg.clock.now_ns(cfg.clock.context);
    /* The kernel's stamps are in microseconds. */
    while (cfg.clock.now_ns(cfg.clock.context) <= waiting_ns + 2000)
        ;
    fixture_receive(io, pkts, 1);
    CHECK(pkts[0]->arrival_ns > said_ns);
    CHECK(pkts[0]->arrival_ns <= waiting_ns + 1000);
    fixture_send(io, pkts, 1);
    fixture_receive(io, pkts + 1, 1);
    CHECK(pkts[1]->arrival_ns >= pkts[0]->arrival_ns);
    fixture_send(io, pkts + 1, 1);
    fixture_hear(server, "one");
    fixture_hear(server, "two");
}

/* The engine's clock, which a test may set: how far it is ahead of the real
 * one, which may show little more than nothing. */
static uint64_t clock_ahead_ns;

static uint64_t
ahead_clock_ns(void *context)
{
    (void)context;
    return nsp_os_monotonic_ns(NULL) + clock_ahead_ns;
}

TEST(nfqueue_tells_no_packet_to_be_older_than_the_one_before)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    struct nsp_pkt *pkts[2];
    struct nsp_io *io;

    clock_ahead_ns = UINT64_C(200000000000); /* More than the test takes. */
    cfg.clock.now_ns = ahead_clock_ns;
    open_ends(AF_INET);
    io = fixture_open(&cfg);
    for (int i = 0; i < 2; i++) {
        say("in order");
        fixture_receive(io, &pkts[i], 1);
        clock_ahead_ns = 0;
    }
    CHECK_EQ(pkts[1]->arrival_ns, pkts[0]->arrival_ns);
    fixture_send(io, pkts, 2);
    fixture_hear(server, "in order");
    fixture_hear(server, "in order");
}

TEST(nfqueue_drops_what_it_is_told_to_drop)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    struct nsp_pkt *pkts[2];
    struct nsp_io *io;

    open_ends(AF_INET);
    io = fixture_open(&cfg);
    say("dropped");
    say("passed");
    fixture_receive(io, pkts, 2);
    nsp_nfqueue_ops.drop_burst(io, QUEUE, pkts, 1);
    fixture_send(io, pkts + 1, 1);
    fixture_hear(server, "passed");
    fixture_hear_nothing(server);
}

TEST(nfqueue_releases_held_packets_in_the_order_asked_for)
{
    static const char *const texts[] = { "0", "1", "2", "3", "4" };
    static const uint32_t order[] = { 4, 2, 0, 1, 3 };
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    struct nsp_pkt *held[5], *released[5];
    struct nsp_io *io;

    open_ends(AF_INET);
    io = fixture_open(&cfg);
    for (int i = 0; i < 5; i++)
        say(texts[i]);
    fixture_receive(io, held, 5);
    CHECK(fixture_is_empty(io)); /* The bytes are gone, the packets are not. */
    CHECK_EQ(held[0]->cap_bytes, 0);

    for (int i = 0; i < 5; i++)
        released[i] = held[order[i]];
    fixture_send(io, released, 5);
    for (int i = 0; i < 5; i++)
        fixture_hear(server, texts[order[i]]);
}

/* The receiving kernel verifies the checksum; with 'superpackets' it comes
 * partial from the sender's virtual wire, without them the queue completes it.
 */
static void
edit_and_pass(bool superpackets)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    struct nsp_pkt *pkt;
    struct nsp_io *io;
    int other;

    cfg.edits = true;
    cfg.superpackets = superpackets;
    open_ends(AF_INET);
    other = fixture_udp(NSP_LAB_SERVER, AF_INET, OTHER_PORT);
    io = fixture_open(&cfg);
    say("edited, and shortened");
    fixture_receive(io, &pkt, 1);
    CHECK_EQ(pkt->csum == NSP_CSUM_PARTIAL, superpackets);
    nsp_pkt_parse(pkt);
    CHECK_EQ(nsp_pkt_set_dst_port(pkt, OTHER_PORT), 0);
    CHECK(pkt->flags & NSP_PKT_MODIFIED);
    fixture_send(io, &pkt, 1);
    fixture_hear(other, "edited, and shortened");
    fixture_hear_nothing(server);
}

TEST(nfqueue_sends_an_edited_packet_with_right_checksums)
{
    edit_and_pass(false);
}

TEST(nfqueue_completes_a_partial_checksum_of_an_edited_packet)
{
    edit_and_pass(true);
}

TEST(nfqueue_keeps_the_bytes_of_a_retained_packet_and_of_no_other)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    struct nsp_pkt *pkts[2], *later;
    struct nsp_io *io;
    bool refused[2];

    cfg.edits = true;
    open_ends(AF_INET);
    io = fixture_open(&cfg);
    say("retained");
    say("forgotten");
    fixture_receive(io, pkts, 2);
    for (int i = 0; i < 2; i++) {
        nsp_pkt_parse(pkts[i]);
        CHECK_EQ(nsp_pkt_set_ttl(pkts[i], 9), 0);
    }
    CHECK_EQ(nsp_nfqueue_ops.retain(io, QUEUE, pkts[0]), 0);
    CHECK_EQ(nsp_nfqueue_ops.retain(io, QUEUE, pkts[0]), 0);

    say("written over them");
    fixture_receive(io, &later, 1);
    CHECK_EQ(nsp_nfqueue_ops.tx_burst(io, QUEUE, 0, pkts, 2, refused), 1);
    CHECK(!refused[0] && refused[1]);
    fixture_send(io, &later, 1);
    fixture_hear(server, "retained");
    fixture_hear(server, "written over them");
    fixture_hear_nothing(server);
}

#define EDITED_PKTS 2000u
#define LARGE_PKTS  70u

/* In two rounds: what went back is there again. */
TEST(nfqueue_retains_every_ordinary_packet_that_it_was_sized_for)
{
    static struct nsp_pkt *pkts[EDITED_PKTS];
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    struct nsp_io *io;
    char text[16];

    cfg.edits = true;
    cfg.max_held_pkts = EDITED_PKTS;
    open_ends(AF_INET);
    io = fixture_open(&cfg);
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < EDITED_PKTS; i++) {
            snprintf(text, sizeof text, "edited %u", i);
            say(text);
            fixture_receive(io, &pkts[i], 1);
            nsp_pkt_parse(pkts[i]);
            CHECK_EQ(nsp_pkt_set_ttl(pkts[i], 9), 0);
            CHECK_EQ(nsp_nfqueue_ops.retain(io, QUEUE, pkts[i]), 0);
        }
        for (uint32_t i = 0; i < EDITED_PKTS; i++) {
            snprintf(text, sizeof text, "edited %u", i);
            fixture_send(io, &pkts[i], 1);
            fixture_hear(server, text);
        }
    }
}

/* 4 MiB hold 64 datagrams of nearly 64 KiB, which only loopback carries whole.
 */
TEST(nfqueue_refuses_to_retain_beyond_its_store)
{
    static char text[60001];
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_INPUT);
    struct nsp_pkt *pkts[LARGE_PKTS];
    uint32_t retained = 0;
    struct nsp_io *io;
    int router;

    fixture_require();
    cfg.edits = true;
    cfg.max_held_pkts = 100;
    router = fixture_udp(NSP_LAB_ROUTER, AF_INET, PORT);
    io = fixture_open(&cfg);
    memset(text, 'x', sizeof text - 1);
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < LARGE_PKTS; i++) {
            fixture_say(router, NSP_LAB_ROUTER, AF_INET, PORT, text);
            fixture_receive(io, &pkts[i], 1);
            retained += nsp_nfqueue_ops.retain(io, QUEUE, pkts[i]) == 0;
        }
        nsp_nfqueue_ops.drop_burst(io, QUEUE, pkts, LARGE_PKTS);
    }
    CHECK_EQ(retained, 2 * 64);
}

/* Cuts what one send() of the device's sockets may carry to the least there is,
 * about 4.5 KiB: the only way to make the kernel refuse verdicts for good. */
static void
shrink_send_buffers(void)
{
    for (int fd = 0; fd < 1024; fd++) {
        int domain = 0, protocol = 0, least = 0;
        socklen_t bytes = sizeof domain;

        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &bytes) == 0 &&
            getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &bytes) == 0 &&
            domain == AF_NETLINK && protocol == NETLINK_NETFILTER)
            CHECK_EQ(
                setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof least), 0);
    }
}

TEST(nfqueue_does_not_deliver_later_what_it_has_reported_as_refused)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    char text[1401] = { 0 };
    struct nsp_pkt *pkts[6];
    struct nsp_io *io;
    bool refused[6];

    cfg.edits = true;
    open_ends(AF_INET);
    io = fixture_open(&cfg);
    memset(text, 'x', sizeof text - 1);
    for (int i = 0; i < 6; i++)
        say(text);
    fixture_receive(io, pkts, 6);
    for (int i = 0; i < 6; i++) {
        nsp_pkt_parse(pkts[i]);
        CHECK_EQ(nsp_pkt_set_ttl(pkts[i], 9), 0);
        CHECK_EQ(nsp_nfqueue_ops.retain(io, QUEUE, pkts[i]), 0);
    }
    shrink_send_buffers();
    CHECK_EQ(nsp_nfqueue_ops.tx_burst(io, QUEUE, 0, pkts, 6, refused), 6);
    CHECK(nsp_nfqueue_ops.status(io, NULL, 0) < 0);
    fixture_close(io);
    say("after");
    fixture_hear(server, "after");
    fixture_hear_nothing(server);
}

TEST(nfqueue_copies_no_more_than_asked_and_knows_the_true_length)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    struct nsp_pkt *pkt;
    struct nsp_io *io;
    char text[1001];
    bool refused;

    memset(text, 'x', 1000);
    text[1000] = '\0';
    cfg.snap_bytes = 96;
    cfg.edits = true;
    open_ends(AF_INET);
    io = fixture_open(&cfg);
    say(text);
    fixture_receive(io, &pkt, 1);
    CHECK_EQ(pkt->cap_bytes, 96);
    CHECK_EQ(pkt->wire_bytes, UDP4_HEADER_BYTES + 1000);
    fixture_send(io, &pkt, 1);
    fixture_hear(server, text);

    /* Sending the part for the whole would cut the packet. */
    say(text);
    fixture_receive(io, &pkt, 1);
    pkt->flags |= NSP_PKT_MODIFIED;
    CHECK_EQ(nsp_nfqueue_ops.tx_burst(io, QUEUE, 0, &pkt, 1, &refused), 1);
    CHECK(refused);
    fixture_hear_nothing(server);
}

/* A queue of 8 and 50 packets that nobody answers for. */
TEST(nfqueue_counts_what_a_full_queue_drops_when_failing_closed)
{
    struct nsp_nfqueue_config device = { .hang_ms = 10000,
                                         .max_queue_pkts = 8,
                                         .fail_closed = true };
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    struct nsp_io_stats stats;
    struct nsp_pkt *pkts[8];
    struct nsp_io *io;

    cfg.device = &device;
    open_ends(AF_INET);
    io = fixture_open(&cfg);
    for (int i = 0; i < 50; i++)
        say("flood");
    fixture_receive(io, pkts, 8);
    CHECK(fixture_is_empty(io));
    nsp_nfqueue_ops.read_stats(io, &stats);
    CHECK_EQ(stats.kernel_dropped_pkts, 42);
    CHECK_EQ(stats.kernel_lost_pkts, 0);
    CHECK_EQ(stats.device_errors, 0);
    fixture_hear_nothing(server);
    fixture_send(io, pkts, 8);
    for (int i = 0; i < 8; i++)
        fixture_hear(server, "flood");
    fixture_hear_nothing(server);
}

TEST(nfqueue_lets_pass_what_a_full_queue_cannot_take_when_failing_open)
{
    struct nsp_nfqueue_config device = { .hang_ms = 10000,
                                         .max_queue_pkts = 8 };
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    struct nsp_pkt *pkts[8];
    struct nsp_io *io;

    cfg.device = &device;
    open_ends(AF_INET);
    io = fixture_open(&cfg);
    for (int i = 0; i < 50; i++)
        say("flood");
    for (int i = 0; i < 42; i++)
        fixture_hear(server, "flood");
    fixture_receive(io, pkts, 8);
    nsp_nfqueue_ops.drop_burst(io, QUEUE, pkts, 8);
    fixture_hear_nothing(server);
}

TEST(nfqueue_receives_no_more_than_it_has_descriptors_for)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    struct nsp_pkt *pkts[3 * NSP_BURST_MAX];
    struct nsp_io *io;

    cfg.max_held_pkts = 0;
    open_ends(AF_INET);
    io = fixture_open(&cfg);
    for (uint32_t i = 0; i < 3 * NSP_BURST_MAX; i++)
        say("many");
    fixture_receive(io, pkts, 2 * NSP_BURST_MAX);
    CHECK(fixture_is_empty(io)); /* None is free, so none is taken. */
    /* Nor does a wait end at once, again and again. */
    CHECK_EQ(nsp_nfqueue_ops.wait(io, QUEUE, 1), 0);
    fixture_send(io, pkts, 2 * NSP_BURST_MAX);
    fixture_receive(io, pkts, NSP_BURST_MAX);
    fixture_send(io, pkts, NSP_BURST_MAX);
    for (uint32_t i = 0; i < 3 * NSP_BURST_MAX; i++)
        fixture_hear(server, "many");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(
            nfqueue_passes_a_forwarded_packet_and_says_where_it_is_from),
        FIXTURE_TEST(nfqueue_passes_ipv6),
        FIXTURE_TEST(nfqueue_tells_when_a_packet_came_not_when_it_was_received),
        FIXTURE_TEST(nfqueue_tells_no_packet_to_be_older_than_the_one_before),
        FIXTURE_TEST(nfqueue_drops_what_it_is_told_to_drop),
        FIXTURE_TEST(nfqueue_releases_held_packets_in_the_order_asked_for),
        FIXTURE_TEST(nfqueue_sends_an_edited_packet_with_right_checksums),
        FIXTURE_TEST(nfqueue_completes_a_partial_checksum_of_an_edited_packet),
        FIXTURE_TEST(
            nfqueue_keeps_the_bytes_of_a_retained_packet_and_of_no_other),
        FIXTURE_TEST(
            nfqueue_retains_every_ordinary_packet_that_it_was_sized_for),
        FIXTURE_TEST(nfqueue_refuses_to_retain_beyond_its_store),
        FIXTURE_TEST(
            nfqueue_does_not_deliver_later_what_it_has_reported_as_refused),
        FIXTURE_TEST(
            nfqueue_copies_no_more_than_asked_and_knows_the_true_length),
        FIXTURE_TEST(
            nfqueue_counts_what_a_full_queue_drops_when_failing_closed),
        FIXTURE_TEST(
            nfqueue_lets_pass_what_a_full_queue_cannot_take_when_failing_open),
        FIXTURE_TEST(nfqueue_receives_no_more_than_it_has_descriptors_for),
    };

    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
