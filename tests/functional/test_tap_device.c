#define _GNU_SOURCE
/* The tap device, driven through its operations in the router of the lab
 * (topology in nfqueue_fixture.h), on both of its wires: what the router itself
 * sends and receives is taken, what it forwards is not. */
#include "tests/functional/nfqueue_fixture.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "netshaper/filter.h"
#include "tests/lib/failing_alloc.h"

extern const struct nsp_io_ops nsp_tap_ops;

/* Linux 4.18; the C library's headers lack it. */
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

#define PORT       7001
#define OTHER_PORT 7002
#define BOTH       (NSP_HOOK_INPUT | NSP_HOOK_OUTPUT)
#define PATIENCE_S 10

#define ETHERNET_BYTES 14
#define UDP4_OFF       (ETHERNET_BYTES + 28) /* Payload of a datagram. */

static struct nsp_io *device;
static struct nsp_tap_config tap;
static int client, router;

static uint64_t
now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int
end_test(void **state)
{
    if (device)
        nsp_tap_ops.close(device);
    device = NULL;
    return fixture_end(state);
}
#define TAP_TEST(name) cmocka_unit_test_teardown(name, end_test)

/* A configuration for packets with test ports on every interface but lo; a
 * busy machine must not make the device look dead. */
static struct nsp_io_config
begin(void)
{
    static struct nsp_filter *filter;
    static const char *const wires[] = { "client0", "server0" };

    fixture_require();
    if (!filter)
        CHECK_EQ(
            nsp_filter_compile("udp.DstPort == 7001 or udp.SrcPort == 7001",
                               NSP_LAYER_NETWORK, NULL, &filter, NULL),
            NSP_OK);
    tap = (struct nsp_tap_config){ .interfaces = wires,
                                   .interface_count = 2,
                                   .hang_ms = 10000 };
    return (struct nsp_io_config){
        .device = &tap,
        .queues = 1,
        .hooks = BOTH,
        .max_held_pkts = 512,
        .filter = filter,
    };
}

static void
open_device(const struct nsp_io_config *cfg)
{
    struct nsp_diag diag;
    int result = nsp_tap_ops.open(cfg, &device, &diag);

    if (result == NSP_NOT_POSSIBLE)
        SKIP(diag.text);
    if (result != NSP_OK)
        fail_msg("open: %s (%s)", diag.text, diag.hint);
}

static void
open_ends(void)
{
    router = fixture_udp(NSP_LAB_ROUTER, AF_INET, PORT);
    client = fixture_udp(NSP_LAB_CLIENT, AF_INET, OTHER_PORT);
}

static void
ask(const char *text)
{
    fixture_say(client, NSP_LAB_ROUTER, AF_INET, PORT, text);
}

static void
answer(const char *text)
{
    fixture_say(router, NSP_LAB_CLIENT, AF_INET, OTHER_PORT, text);
}

static void
receive(struct nsp_pkt *ret_pkts[], uint32_t n)
{
    const uint64_t end_ns = now_ns() + PATIENCE_S * UINT64_C(1000000000);
    uint32_t got = 0;

    while (got < n) {
        uint32_t room = n - got < NSP_BURST_MAX ? n - got : NSP_BURST_MAX;

        if (now_ns() >= end_ns)
            fail_msg("%u of %u packets came", got, n);
        CHECK_EQ(nsp_tap_ops.wait(device, 0, UINT64_C(1000000000)), 0);
        got += nsp_tap_ops.rx_burst(device, 0, now_ns(), ret_pkts + got, room);
    }
}

static uint32_t
send_all(struct nsp_pkt *const pkts[], uint32_t n)
{
    bool refused[NSP_BURST_MAX];
    uint32_t count = 0;

    for (uint32_t at = 0; at < n; at += NSP_BURST_MAX) {
        uint32_t part = n - at < NSP_BURST_MAX ? n - at : NSP_BURST_MAX;

        count +=
            nsp_tap_ops.tx_burst(device, 0, now_ns(), pkts + at, part, refused);
    }
    return count;
}

static bool
is_empty(void)
{
    struct nsp_pkt *pkt;

    return nsp_tap_ops.rx_burst(device, 0, now_ns(), &pkt, 1) == 0;
}

static uint64_t
kernel_dropped(void)
{
    struct nsp_io_stats stats;

    nsp_tap_ops.read_stats(device, &stats);
    return stats.kernel_dropped_pkts;
}

/* TAPs of ours in the router. */
static uint32_t
count_taps(void)
{
    FILE *file = fopen("/proc/thread-self/net/dev", "r");
    uint32_t count = 0;
    char line[512];

    CHECK(file != NULL);
    while (fgets(line, sizeof line, file))
        count += strstr(line, "nsp") != NULL;
    fclose(file);
    return count;
}

static void
check_untouched(void)
{
    CHECK_EQ(count_taps(), 0);
    ask("untouched");
    fixture_hear(router, "untouched");
    answer("so is this");
    fixture_hear(client, "so is this");
}

/* --- Fates ---------------------------------------------------------------- */

TEST(tap_takes_what_comes_and_goes_and_says_where_from)
{
    struct nsp_io_config cfg = begin();
    struct nsp_pkt *pkt;

    open_ends();
    open_device(&cfg);
    ask("hello");
    receive(&pkt, 1);
    CHECK_EQ(pkt->hook, NSP_HOOK_INPUT);
    CHECK_EQ(pkt->direction, NSP_INBOUND);
    CHECK_EQ(pkt->link, NSP_LINK_ETHERNET);
    CHECK_EQ(pkt->cap_bytes, UDP4_OFF + 5);
    CHECK_EQ(pkt->wire_bytes, UDP4_OFF + 5);
    CHECK(pkt->in_ifindex != 0 && pkt->out_ifindex == 0);
    CHECK_EQ(pkt->uid, UINT32_MAX);
    CHECK_EQ(pkt->flags, 0);
    CHECK_MEM_EQ(pkt->data + UDP4_OFF, "hello", 5);
    fixture_hear_nothing(router);
    CHECK_EQ(send_all(&pkt, 1), 0);
    fixture_hear(router, "hello");

    answer("and back");
    receive(&pkt, 1);
    CHECK_EQ(pkt->hook, NSP_HOOK_OUTPUT);
    CHECK_EQ(pkt->direction, NSP_OUTBOUND);
    CHECK(pkt->in_ifindex == 0 && pkt->out_ifindex != 0);
    CHECK_EQ(pkt->csum, NSP_CSUM_PARTIAL);
    CHECK_EQ(send_all(&pkt, 1), 0);
    fixture_hear(client, "and back");
    CHECK(is_empty());
}

TEST(tap_leaves_alone_what_is_forwarded)
{
    struct nsp_io_config cfg = begin();
    int server;

    open_ends();
    server = fixture_udp(NSP_LAB_SERVER, AF_INET, PORT);
    open_device(&cfg);
    fixture_say(client, NSP_LAB_SERVER, AF_INET, PORT, "through");
    fixture_hear(server, "through");
    fixture_say(server, NSP_LAB_CLIENT, AF_INET, OTHER_PORT, "and back");
    fixture_hear(client, "and back");
    CHECK(is_empty());
}

TEST(tap_takes_only_the_hooks_asked_for)
{
    struct nsp_io_config cfg = begin();
    struct nsp_pkt *pkt;

    open_ends();
    cfg.hooks = NSP_HOOK_OUTPUT;
    open_device(&cfg);
    ask("untouched");
    fixture_hear(router, "untouched");
    CHECK(is_empty());
    answer("taken");
    receive(&pkt, 1);
    fixture_hear_nothing(client);
    CHECK_EQ(send_all(&pkt, 1), 0);
    fixture_hear(client, "taken");
}

TEST(tap_drops_what_it_is_told_to)
{
    struct nsp_io_config cfg = begin();
    struct nsp_pkt *pkts[2];

    open_ends();
    open_device(&cfg);
    ask("dropped");
    ask("kept");
    receive(pkts, 2);
    nsp_tap_ops.drop_burst(device, 0, pkts, 1);
    CHECK_EQ(send_all(pkts + 1, 1), 0);
    fixture_hear(router, "kept");
    fixture_hear_nothing(router);
}

/* A partial checksum is completed over the new bytes: the receiver checks. */
TEST(tap_sends_what_was_edited)
{
    struct nsp_io_config cfg = begin();
    struct nsp_pkt *pkt;

    open_ends();
    cfg.edits = true;
    open_device(&cfg);
    for (int way = 0; way < 2; way++) {
        if (way == 0)
            ask("before");
        else
            answer("before");
        receive(&pkt, 1);
        nsp_pkt_parse(pkt);
        memcpy(pkt->data + UDP4_OFF, "after!", 6);
        pkt->flags |= NSP_PKT_MODIFIED;
        /* Inbound it is taken for complete, and the writer mends it. */
        CHECK_EQ(nsp_pkt_fix_checksums(pkt), 0);
        CHECK_EQ(send_all(&pkt, 1), 0);
        fixture_hear(way == 0 ? router : client, "after!");
    }
    answer("before");
    receive(&pkt, 1);
    nsp_pkt_parse(pkt);
    CHECK_EQ(pkt->csum, NSP_CSUM_PARTIAL);
    memcpy(pkt->data + UDP4_OFF, "left to it", 6);
    pkt->flags |= NSP_PKT_MODIFIED;
    CHECK_EQ(send_all(&pkt, 1), 0);
    fixture_hear(client, "left t");
}

/* Thirty datagrams in one superpacket (UDP_SEGMENT). */
TEST(tap_splits_superpackets_when_told_to)
{
    struct nsp_io_config cfg = begin();
    struct nsp_pkt *pkts[30];
    char text[3001];
    int segment = 100;

    open_ends();
    CHECK_EQ(
        setsockopt(router, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment),
        0);
    memset(text, 'x', sizeof text);
    text[3000] = '\0';
    cfg.superpackets = cfg.edits = true;
    open_device(&cfg);
    answer(text);
    receive(pkts, 1);
    CHECK(pkts[0]->flags & NSP_PKT_SUPERPACKET);
    CHECK_EQ(pkts[0]->cap_bytes, UDP4_OFF + 3000);
    CHECK_EQ(send_all(pkts, 1), 0);

    CHECK_EQ(nsp_tap_ops.adjust(device, 0, false), 0);
    answer(text);
    receive(pkts, 30);
    CHECK_EQ(pkts[0]->flags & NSP_PKT_SUPERPACKET, 0);
    CHECK_EQ(pkts[0]->cap_bytes, UDP4_OFF + 100);
    CHECK_EQ(send_all(pkts, 30), 0);
    text[100] = '\0';
    for (int i = 0; i < 60; i++)
        fixture_hear(client, text);
}

TEST(tap_refuses_edits_it_was_not_opened_for)
{
    struct nsp_io_config cfg = begin();
    struct nsp_pkt *pkt;

    open_ends();
    open_device(&cfg);
    ask("edited");
    receive(&pkt, 1);
    pkt->flags |= NSP_PKT_MODIFIED;
    CHECK_EQ(send_all(&pkt, 1), 1);
    fixture_hear_nothing(router);
}

/* More than a burst: those that wait move to blocks of their own size. */
TEST(tap_keeps_the_bytes_of_packets_that_wait)
{
    struct nsp_io_config cfg = begin();
    struct nsp_pkt *pkts[300];
    char text[32];

    open_ends();
    open_device(&cfg);
    for (int i = 0; i < 300; i++) {
        snprintf(text, sizeof text, "number %d", i);
        ask(text);
    }
    receive(pkts, 300);
    CHECK(is_empty());
    for (int i = 299; i >= 0; i--) {
        snprintf(text, sizeof text, "number %d", i);
        CHECK_MEM_EQ(pkts[i]->data + UDP4_OFF, text, strlen(text));
    }
    for (int i = 0; i < 300; i++) {
        snprintf(text, sizeof text, "number %d", i);
        CHECK_EQ(send_all(&pkts[i], 1), 0);
        fixture_hear(router, text);
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
    struct nsp_io_config cfg = begin();
    uint8_t ip[33];
    struct nsp_pkt *pkt;

    open_ends();
    open_device(&cfg);
    for (int reply = 0; reply < 2; reply++) {
        if (reply)
            answer("model");
        else
            ask("model");
        receive(&pkt, 1);
        memcpy(ip, pkt->data + ETHERNET_BYTES, sizeof ip);
        memcpy(ip + 28, "copy!", 5);
        ip[26] = ip[27] = 0; /* No checksum. */
        if (reply) {
            swap(ip + 12, ip + 16, 4);
            swap(ip + 20, ip + 22, 2);
        }
        CHECK_EQ(
            nsp_tap_ops.inject(device, 0, now_ns(), ip, sizeof ip, reply, pkt),
            0);
        nsp_tap_ops.drop_burst(device, 0, &pkt, 1);
        fixture_hear(router, "copy!");
        CHECK(is_empty());
        fixture_hear_nothing(client);
    }
}

/* --- Bounds --------------------------------------------------------------- */

TEST(tap_counts_what_overruns_the_kernels_queue)
{
    struct nsp_io_config cfg = begin();
    struct nsp_pkt *pkts[64];
    uint32_t got = 0, n;

    open_ends();
    tap.queue_pkts = 8;
    open_device(&cfg);
    for (int i = 0; i < 50; i++)
        ask("much");
    while ((n = nsp_tap_ops.rx_burst(device, 0, now_ns(), pkts, 64)) > 0) {
        got += n;
        nsp_tap_ops.drop_burst(device, 0, pkts, n);
    }
    CHECK(got < 50);
    CHECK_EQ(kernel_dropped(), 50 - got);
}

TEST(tap_lends_no_more_than_it_was_opened_for)
{
    struct nsp_io_config cfg = begin();
    struct nsp_pkt *pkts[2 * NSP_BURST_MAX], *more;

    open_ends();
    cfg.max_held_pkts = 0;
    open_device(&cfg);
    for (uint32_t i = 0; i < 2 * NSP_BURST_MAX + 1; i++)
        ask("one");
    receive(pkts, 2 * NSP_BURST_MAX);
    CHECK(is_empty());
    CHECK_EQ(send_all(pkts, 1), 0);
    receive(&more, 1);
    CHECK_EQ(send_all(&more, 1), 0);
    CHECK_EQ(send_all(pkts + 1, 2 * NSP_BURST_MAX - 1), 0);
    for (uint32_t i = 0; i < 2 * NSP_BURST_MAX + 1; i++)
        fixture_hear(router, "one");
}

TEST(tap_loses_nothing_when_stopped)
{
    struct nsp_io_config cfg = begin();
    struct nsp_pkt *pkts[200];

    open_ends();
    open_device(&cfg);
    for (int i = 0; i < 200; i++)
        ask("kept");
    receive(pkts, 64);
    nsp_tap_ops.quiesce(device);
    ask("direct");
    fixture_hear(router, "direct");
    receive(pkts + 64, 136);
    CHECK(is_empty());
    CHECK_EQ(send_all(pkts, 200), 0);
    for (int i = 0; i < 200; i++)
        fixture_hear(router, "kept");
}

/* --- Signs of life -------------------------------------------------------- */

/* Asks until the router hears, or 'take' says that it need not. */
static void
ask_until(bool (*done)(void))
{
    const uint64_t end_ns = now_ns() + PATIENCE_S * UINT64_C(1000000000);

    do {
        CHECK(now_ns() < end_ns);
        ask("late");
    } while (!done());
}

static bool
router_hears(void)
{
    char text[64];

    return recv(router, text, sizeof text, MSG_DONTWAIT) > 0;
}

static bool
kernel_drops(void)
{
    return kernel_dropped() > 0;
}

TEST(tap_is_passed_by_when_it_hangs)
{
    struct nsp_io_config cfg = begin();

    open_ends();
    tap.hang_ms = 10;
    open_device(&cfg);
    CHECK(is_empty()); /* The last sign. */
    ask_until(router_hears);
}

TEST(tap_lets_nothing_by_when_it_hangs_and_fails_closed)
{
    struct nsp_io_config cfg = begin();

    open_ends();
    tap.hang_ms = 10;
    tap.queue_pkts = 65536;
    tap.fail_closed = true;
    open_device(&cfg);
    CHECK(is_empty());
    ask_until(kernel_drops);
    fixture_hear_nothing(router);
}

/* --- Attaching ------------------------------------------------------------ */

static void
exchange(void)
{
    struct nsp_pkt *pkt;

    ask("question");
    receive(&pkt, 1);
    CHECK_EQ(pkt->hook, NSP_HOOK_INPUT);
    CHECK_EQ(send_all(&pkt, 1), 0);
    fixture_hear(router, "question");
    answer("answer");
    receive(&pkt, 1);
    CHECK_EQ(pkt->hook, NSP_HOOK_OUTPUT);
    CHECK_EQ(send_all(&pkt, 1), 0);
    fixture_hear(client, "answer");
    CHECK(is_empty());
}

TEST(tap_works_with_clsact_filters_too)
{
    struct nsp_io_config cfg = begin();

    open_ends();
    tap.attach = NSP_TAP_ATTACH_CLSACT;
    for (int again = 0; again < 2; again++) {
        open_device(&cfg);
        exchange();
        nsp_tap_ops.close(device);
        device = NULL;
        check_untouched();
    }
}

static void
open_and_wait(void *context)
{
    const struct nsp_io_config *cfg = context;
    struct nsp_diag diag;

    CHILD_CHECK(nsp_tap_ops.open(cfg, &device, &diag) == NSP_OK);
    CHILD_CHECK(is_empty());
    kill(getpid(), SIGKILL);
}

/* tcx links vanish; clsact filters stay, find nobody alive, and are replaced by
 * the next device. */
TEST(tap_lets_go_of_the_network_when_killed)
{
    struct nsp_io_config cfg = begin();
    int status;

    open_ends();
    open_device(&cfg); /* To be skipped where it must. */
    nsp_tap_ops.close(device);
    device = NULL;
    for (int attach = NSP_TAP_ATTACH_TCX; attach <= NSP_TAP_ATTACH_CLSACT;
         attach++) {
        pid_t child;

        tap.attach = (uint8_t)attach;
        tap.hang_ms = 10;
        child = fixture_fork(open_and_wait, &cfg);
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        CHECK_EQ(count_taps(), 0);
        ask_until(router_hears);
        while (router_hears())
            ;
        tap.hang_ms = 10000;
        open_device(&cfg);
        exchange();
        nsp_tap_ops.close(device);
        device = NULL;
        check_untouched();
    }
}

TEST(tap_refuses_an_interface_that_is_taken)
{
    struct nsp_io_config cfg = begin();
    struct nsp_io *second = NULL;
    struct nsp_diag diag;

    open_ends();
    open_device(&cfg);
    CHECK_EQ(nsp_tap_ops.open(&cfg, &second, &diag), NSP_OPEN_FAILED);
    CHECK(second == NULL);
    CHECK_STR_EQ(diag.category, "interface-taken");
    CHECK_EQ(count_taps(), 1);
    exchange();
}

TEST(tap_refuses_nonsense)
{
    static const struct {
        uint32_t queues, hooks, max_held_pkts, hang_ms, queue_pkts;
        uint8_t attach;
        const char *category;
    } cases[] = {
        { 0, BOTH, 64, 0, 0, 0, "queues" },
        { NSP_IO_QUEUES_MAX + 1, BOTH, 64, 0, 0, 0, "queues" },
        { 1, NSP_HOOK_FORWARD, 64, 0, 0, 0, "hooks" },
        { 1, BOTH, (1u << 20) + 1, 0, 0, 0, "max-held" },
        { 1, BOTH, 64, 9, 0, 0, "hang" },
        { 1, BOTH, 64, 10001, 0, 0, "hang" },
        { 1, BOTH, 64, 0, 65537, 0, "queue-pkts" },
        { 1, BOTH, 64, 0, 0, 3, "attach" },
    };

    fixture_require();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct nsp_tap_config bad = { .hang_ms = cases[i].hang_ms,
                                      .queue_pkts = cases[i].queue_pkts,
                                      .attach = cases[i].attach };
        struct nsp_io_config cfg = { .device = &bad,
                                     .queues = cases[i].queues,
                                     .hooks = cases[i].hooks,
                                     .max_held_pkts = cases[i].max_held_pkts };
        struct nsp_diag diag;

        CHECK(nsp_tap_ops.open(&cfg, &device, &diag) < 0);
        CHECK_STR_EQ(diag.category, cases[i].category);
        CHECK(diag.hint[0] != '\0');
    }
    CHECK_EQ(count_taps(), 0);
}

TEST(tap_survives_every_allocation_that_can_fail)
{
    struct nsp_io_config cfg = begin();
    struct failing_alloc memory = { 0 };
    int result = NSP_NO_MEMORY;

    open_device(&cfg); /* To be skipped where it must. */
    nsp_tap_ops.close(device);
    device = NULL;
    open_ends();
    cfg.queues = 2;
    for (unsigned n = 0; result != NSP_OK; n++) {
        struct nsp_diag diag;

        CHECK(n < 100);
        memory = (struct failing_alloc){ .fail_at = n };
        cfg.allocator = failing_allocator(&memory);
        result = nsp_tap_ops.open(&cfg, &device, &diag);
        CHECK(result == NSP_NO_MEMORY || result == NSP_OK);
        if (result == NSP_OK)
            nsp_tap_ops.close(device);
        else
            CHECK_STR_EQ(diag.category, "no-memory");
        device = NULL;
        CHECK_EQ(memory.live, 0);
    }
    check_untouched();
}

/* Descriptors run out at each of the steps of opening. */
static void
open_with_few_descriptors(void *context)
{
    const struct nsp_io_config *cfg = context;
    int result = NSP_OPEN_FAILED, lowest = dup(0);

    CHILD_CHECK(lowest >= 0 && close(lowest) == 0);
    for (int n = 0; result != NSP_OK; n++) {
        struct rlimit limit = { (rlim_t)(lowest + n), 1024 };
        struct nsp_diag diag;

        CHILD_CHECK(n < 30 && setrlimit(RLIMIT_NOFILE, &limit) == 0);
        result = nsp_tap_ops.open(cfg, &device, &diag);
        if (result == NSP_OK)
            nsp_tap_ops.close(device);
        else
            CHILD_CHECK(strstr(diag.hint, "ulimit -n") != NULL);
    }
}

TEST(tap_says_how_to_get_more_descriptors)
{
    struct nsp_io_config cfg = begin();
    int status;
    pid_t child;

    open_ends();
    open_device(&cfg); /* To be skipped where it must. */
    nsp_tap_ops.close(device);
    device = NULL;
    child = fixture_fork(open_with_few_descriptors, &cfg);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    check_untouched();
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
        TAP_TEST(tap_is_passed_by_when_it_hangs),
        TAP_TEST(tap_lets_nothing_by_when_it_hangs_and_fails_closed),
        TAP_TEST(tap_works_with_clsact_filters_too),
        TAP_TEST(tap_lets_go_of_the_network_when_killed),
        TAP_TEST(tap_refuses_an_interface_that_is_taken),
        TAP_TEST(tap_refuses_nonsense),
        TAP_TEST(tap_survives_every_allocation_that_can_fail),
        TAP_TEST(tap_says_how_to_get_more_descriptors),
    };

    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
