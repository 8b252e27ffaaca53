#define _GNU_SOURCE
/* The tap device, driven through its operations: fates and bounds. */
#include "tests/functional/tap_fixture.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* Linux 4.18; the C library's headers lack it. */
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

#define ETHERNET_BYTES 14
#define UDP4_OFF       (ETHERNET_BYTES + 28) /* Payload of a datagram. */

/* --- Fates ---------------------------------------------------------------- */

TEST(tap_takes_what_comes_and_goes_and_says_where_from)
{
    struct nsp_io_config cfg = tap_begin();
    struct nsp_pkt *pkt;

    tap_open_ends();
    tap_open(&cfg);
    tap_ask("hello");
    tap_receive(&pkt, 1);
    CHECK_EQ(pkt->hook, NSP_HOOK_INPUT);
    CHECK_EQ(pkt->direction, NSP_INBOUND);
    CHECK_EQ(pkt->link, NSP_LINK_ETHERNET);
    CHECK_EQ(pkt->cap_bytes, UDP4_OFF + 5);
    CHECK_EQ(pkt->wire_bytes, UDP4_OFF + 5);
    CHECK(pkt->in_ifindex != 0 && pkt->out_ifindex == 0);
    CHECK_EQ(pkt->uid, UINT32_MAX);
    CHECK_EQ(pkt->flags, 0);
    CHECK_MEM_EQ(pkt->data + UDP4_OFF, "hello", 5);
    fixture_hear_nothing(tap_router);
    CHECK_EQ(tap_send_all(&pkt, 1), 0);
    fixture_hear(tap_router, "hello");

    tap_answer("and back");
    tap_receive(&pkt, 1);
    CHECK_EQ(pkt->hook, NSP_HOOK_OUTPUT);
    CHECK_EQ(pkt->direction, NSP_OUTBOUND);
    CHECK(pkt->in_ifindex == 0 && pkt->out_ifindex != 0);
    CHECK_EQ(pkt->csum, NSP_CSUM_PARTIAL);
    CHECK_EQ(tap_send_all(&pkt, 1), 0);
    fixture_hear(tap_client, "and back");
    CHECK(tap_is_empty());
}

TEST(tap_leaves_alone_what_is_forwarded)
{
    struct nsp_io_config cfg = tap_begin();
    int server;

    tap_open_ends();
    server = fixture_udp(NSP_LAB_SERVER, AF_INET, TAP_PORT);
    tap_open(&cfg);
    fixture_say(tap_client, NSP_LAB_SERVER, AF_INET, TAP_PORT, "through");
    fixture_hear(server, "through");
    fixture_say(server, NSP_LAB_CLIENT, AF_INET, TAP_OTHER_PORT, "and back");
    fixture_hear(tap_client, "and back");
    CHECK(tap_is_empty());
}

TEST(tap_takes_only_the_hooks_asked_for)
{
    struct nsp_io_config cfg = tap_begin();
    struct nsp_pkt *pkt;

    tap_open_ends();
    cfg.hooks = NSP_HOOK_OUTPUT;
    tap_open(&cfg);
    tap_ask("untouched");
    fixture_hear(tap_router, "untouched");
    CHECK(tap_is_empty());
    tap_answer("taken");
    tap_receive(&pkt, 1);
    fixture_hear_nothing(tap_client);
    CHECK_EQ(tap_send_all(&pkt, 1), 0);
    fixture_hear(tap_client, "taken");
}

TEST(tap_drops_what_it_is_told_to)
{
    struct nsp_io_config cfg = tap_begin();
    struct nsp_pkt *pkts[2];

    tap_open_ends();
    tap_open(&cfg);
    tap_ask("dropped");
    tap_ask("kept");
    tap_receive(pkts, 2);
    nsp_tap_ops.drop_burst(tap_device, 0, pkts, 1);
    CHECK_EQ(tap_send_all(pkts + 1, 1), 0);
    fixture_hear(tap_router, "kept");
    fixture_hear_nothing(tap_router);
}

/* A partial checksum is completed over the new bytes: the receiver checks. */
TEST(tap_sends_what_was_edited)
{
    struct nsp_io_config cfg = tap_begin();
    struct nsp_pkt *pkt;

    tap_open_ends();
    cfg.edits = true;
    tap_open(&cfg);
    for (int way = 0; way < 2; way++) {
        if (way == 0)
            tap_ask("before");
        else
            tap_answer("before");
        tap_receive(&pkt, 1);
        nsp_pkt_parse(pkt);
        memcpy(pkt->data + UDP4_OFF, "after!", 6);
        pkt->flags |= NSP_PKT_MODIFIED;
        /* Inbound it is taken for complete, and the writer mends it. */
        CHECK_EQ(nsp_pkt_fix_checksums(pkt), 0);
        CHECK_EQ(tap_send_all(&pkt, 1), 0);
        fixture_hear(way == 0 ? tap_router : tap_client, "after!");
    }
    tap_answer("before");
    tap_receive(&pkt, 1);
    nsp_pkt_parse(pkt);
    CHECK_EQ(pkt->csum, NSP_CSUM_PARTIAL);
    memcpy(pkt->data + UDP4_OFF, "left to it", 6);
    pkt->flags |= NSP_PKT_MODIFIED;
    CHECK_EQ(tap_send_all(&pkt, 1), 0);
    fixture_hear(tap_client, "left t");
}

/* Thirty datagrams in one superpacket (UDP_SEGMENT). */
TEST(tap_splits_superpackets_when_told_to)
{
    struct nsp_io_config cfg = tap_begin();
    struct nsp_pkt *pkts[30];
    char text[3001];
    int segment = 100;

    tap_open_ends();
    CHECK_EQ(setsockopt(tap_router, IPPROTO_UDP, UDP_SEGMENT, &segment,
                        sizeof segment),
             0);
    memset(text, 'x', sizeof text);
    text[3000] = '\0';
    cfg.superpackets = cfg.edits = true;
    tap_open(&cfg);
    tap_answer(text);
    tap_receive(pkts, 1);
    CHECK(pkts[0]->flags & NSP_PKT_SUPERPACKET);
    CHECK_EQ(pkts[0]->cap_bytes, UDP4_OFF + 3000);
    CHECK_EQ(tap_send_all(pkts, 1), 0);

    CHECK_EQ(nsp_tap_ops.adjust(tap_device, 0, false), 0);
    tap_answer(text);
    tap_receive(pkts, 30);
    CHECK_EQ(pkts[0]->flags & NSP_PKT_SUPERPACKET, 0);
    CHECK_EQ(pkts[0]->cap_bytes, UDP4_OFF + 100);
    CHECK_EQ(tap_send_all(pkts, 30), 0);
    text[100] = '\0';
    for (int i = 0; i < 60; i++)
        fixture_hear(tap_client, text);
}

TEST(tap_refuses_edits_it_was_not_opened_for)
{
    struct nsp_io_config cfg = tap_begin();
    struct nsp_pkt *pkt;

    tap_open_ends();
    tap_open(&cfg);
    tap_ask("edited");
    tap_receive(&pkt, 1);
    pkt->flags |= NSP_PKT_MODIFIED;
    CHECK_EQ(tap_send_all(&pkt, 1), 1);
    fixture_hear_nothing(tap_router);
}

/* More than a burst: those that wait move to blocks of their own size. */
TEST(tap_keeps_the_bytes_of_packets_that_wait)
{
    struct nsp_io_config cfg = tap_begin();
    struct nsp_pkt *pkts[300];
    char text[32];

    tap_open_ends();
    tap_open(&cfg);
    for (int i = 0; i < 300; i++) {
        snprintf(text, sizeof text, "number %d", i);
        tap_ask(text);
    }
    tap_receive(pkts, 300);
    CHECK(tap_is_empty());
    for (int i = 299; i >= 0; i--) {
        snprintf(text, sizeof text, "number %d", i);
        CHECK_MEM_EQ(pkts[i]->data + UDP4_OFF, text, strlen(text));
    }
    for (int i = 0; i < 300; i++) {
        snprintf(text, sizeof text, "number %d", i);
        CHECK_EQ(tap_send_all(&pkts[i], 1), 0);
        fixture_hear(tap_router, text);
    }
}

static void
swap(uint8_t *a, uint8_t *b, size_t bytes)
{
    uint8_t kept[4];

    memcpy(kept, a, bytes);
    memcpy(a, b, bytes);
    memcpy(b, kept, bytes);
}

/* Alongside a packet that comes in, and in answer to one that goes out. */
TEST(tap_injects_both_ways)
{
    struct nsp_io_config cfg = tap_begin();
    uint8_t ip[33];
    struct nsp_pkt *pkt;

    tap_open_ends();
    tap_open(&cfg);
    for (int reply = 0; reply < 2; reply++) {
        if (reply)
            tap_answer("model");
        else
            tap_ask("model");
        tap_receive(&pkt, 1);
        memcpy(ip, pkt->data + ETHERNET_BYTES, sizeof ip);
        memcpy(ip + 28, "copy!", 5);
        ip[26] = ip[27] = 0; /* No checksum. */
        if (reply) {
            swap(ip + 12, ip + 16, 4);
            swap(ip + 20, ip + 22, 2);
        }
        CHECK_EQ(nsp_tap_ops.inject(tap_device, 0, tap_now_ns(), ip, sizeof ip,
                                    reply, pkt),
                 0);
        nsp_tap_ops.drop_burst(tap_device, 0, &pkt, 1);
        fixture_hear(tap_router, "copy!");
        CHECK(tap_is_empty());
        fixture_hear_nothing(tap_client);
    }
}

/* --- Bounds --------------------------------------------------------------- */

TEST(tap_counts_what_overruns_the_kernels_queue)
{
    const uint64_t end_ns =
        tap_now_ns() + FIXTURE_PATIENCE_S * UINT64_C(1000000000);
    struct nsp_io_config cfg = tap_begin();
    struct nsp_pkt *pkts[64];
    uint32_t got = 0, n;

    tap_open_ends();
    tap_config.queue_pkts = 8;
    tap_open(&cfg);
    for (int i = 0; i < 50; i++)
        tap_ask("much");
    /* Some may yet be on their way to the queue. */
    while (got + tap_kernel_dropped() < 50) {
        CHECK(tap_now_ns() < end_ns);
        n = nsp_tap_ops.rx_burst(tap_device, 0, tap_now_ns(), pkts, 64);
        got += n;
        nsp_tap_ops.drop_burst(tap_device, 0, pkts, n);
    }
    CHECK(got < 50);
    CHECK_EQ(tap_kernel_dropped(), 50 - got);
}

TEST(tap_lends_no_more_than_it_was_opened_for)
{
    struct nsp_io_config cfg = tap_begin();
    struct nsp_pkt *pkts[2 * NSP_BURST_MAX], *more;

    tap_open_ends();
    cfg.max_held_pkts = 0;
    tap_open(&cfg);
    for (uint32_t i = 0; i < 2 * NSP_BURST_MAX + 1; i++)
        tap_ask("one");
    tap_receive(pkts, 2 * NSP_BURST_MAX);
    CHECK(tap_is_empty());
    CHECK_EQ(tap_send_all(pkts, 1), 0);
    tap_receive(&more, 1);
    CHECK_EQ(tap_send_all(&more, 1), 0);
    CHECK_EQ(tap_send_all(pkts + 1, 2 * NSP_BURST_MAX - 1), 0);
    for (uint32_t i = 0; i < 2 * NSP_BURST_MAX + 1; i++)
        fixture_hear(tap_router, "one");
}

TEST(tap_loses_nothing_when_stopped)
{
    struct nsp_io_config cfg = tap_begin();
    struct nsp_pkt *pkts[200];

    tap_open_ends();
    tap_open(&cfg);
    for (int i = 0; i < 200; i++)
        tap_ask("kept");
    tap_receive(pkts, 64);
    nsp_tap_ops.quiesce(tap_device);
    tap_ask("direct");
    fixture_hear(tap_router, "direct");
    tap_receive(pkts + 64, 136);
    CHECK(tap_is_empty());
    CHECK_EQ(tap_send_all(pkts, 200), 0);
    for (int i = 0; i < 200; i++)
        fixture_hear(tap_router, "kept");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TAP_TEST(tap_takes_what_comes_and_goes_and_says_where_from),
        TAP_TEST(tap_leaves_alone_what_is_forwarded),
        TAP_TEST(tap_takes_only_the_hooks_asked_for),
        TAP_TEST(tap_drops_what_it_is_told_to),
        TAP_TEST(tap_sends_what_was_edited),
        TAP_TEST(tap_splits_superpackets_when_told_to),
        TAP_TEST(tap_refuses_edits_it_was_not_opened_for),
        TAP_TEST(tap_keeps_the_bytes_of_packets_that_wait),
        TAP_TEST(tap_injects_both_ways),
        TAP_TEST(tap_counts_what_overruns_the_kernels_queue),
        TAP_TEST(tap_lends_no_more_than_it_was_opened_for),
        TAP_TEST(tap_loses_nothing_when_stopped),
    };

    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
