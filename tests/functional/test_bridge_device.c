#define _GNU_SOURCE
/* The bridge device, driven through its operations: fates, bounds, errors. */
#include "tests/functional/bridge_fixture.h"

#include <linux/if_ether.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "netshaper/filter.h"
#include "tests/lib/failing_alloc.h"

#define HELD_PKTS     WIRE_HELD_PKTS
#define LENT_PKTS     (HELD_PKTS + 2 * NSP_BURST_MAX)
#define RING_PKTS     (wire_in_stack() ? 4096u : 2048u)
#define RING_PKTS_MAX 4096u

/* How late a clock may be that goes by ticks. */
#define TICK_NS_MAX UINT64_C(20000000)

/* --- Fates ---------------------------------------------------------------- */

TEST(bridge_takes_frames_both_ways_and_says_where_from)
{
    struct nsp_io_config cfg = wire_begin();

    wire_open(&cfg);
    for (int from = 0; from < 2; from++) {
        struct wire_frame sent, heard;
        struct nsp_pkt *pkt;

        wire_build_plain(&sent, 7);
        wire_put(from, &sent);
        wire_receive(&pkt, 1);
        CHECK_EQ(pkt->hook, NSP_HOOK_FORWARD);
        CHECK_EQ(pkt->direction, NSP_DIRECTION_NONE);
        CHECK_EQ(pkt->link, NSP_LINK_ETHERNET);
        CHECK_EQ(pkt->in_ifindex, wire_ports[from]);
        CHECK_EQ(pkt->out_ifindex, wire_ports[!from]);
        CHECK_EQ(pkt->cap_bytes, sent.length);
        CHECK_EQ(pkt->wire_bytes, sent.length);
        CHECK_EQ(pkt->uid, UINT32_MAX);
        CHECK_EQ(pkt->csum, NSP_CSUM_UNKNOWN);
        CHECK_MEM_EQ(pkt->data, sent.bytes, sent.length);
        wire_hear_nothing(!from);
        CHECK_EQ(wire_send_all(&pkt, 1), 0);
        wire_hear(!from, &heard);
        CHECK_EQ(heard.length, sent.length);
        CHECK_MEM_EQ(heard.bytes, sent.bytes, sent.length);
    }
}

TEST(bridge_drops_what_it_is_told_to_and_uses_its_room_again)
{
    struct nsp_io_config cfg = wire_begin();
    struct nsp_pkt *pkts[NSP_BURST_MAX];
    struct wire_frame frame;

    wire_open(&cfg);
    for (unsigned n = 0; n < 200 * NSP_BURST_MAX; n += NSP_BURST_MAX) {
        for (unsigned i = 0; i < NSP_BURST_MAX; i++) {
            wire_build_plain(&frame, n + i);
            wire_put(0, &frame);
        }
        wire_receive(pkts, NSP_BURST_MAX);
        nsp_bridge_ops.drop_burst(wire_device, 0, pkts, NSP_BURST_MAX);
    }
    wire_hear_nothing(1);
    wire_build_plain(&frame, 1);
    wire_put(0, &frame);
    wire_receive(pkts, 1);
    CHECK_EQ(wire_send_all(pkts, 1), 0);
    wire_hear(1, &frame);
}

static uint64_t
kernel_dropped(void)
{
    struct nsp_io_stats stats;

    nsp_bridge_ops.read_stats(wire_device, &stats);
    return stats.kernel_dropped_pkts;
}

TEST(bridge_lends_no_more_than_it_was_opened_for_and_the_kernel_counts)
{
    struct nsp_io_config cfg = wire_begin();
    struct nsp_pkt *pkts[LENT_PKTS + RING_PKTS_MAX], *one;
    struct wire_frame frame;
    uint64_t before, end_ns;

    wire_open(&cfg);
    for (unsigned i = 0; i < LENT_PKTS; i++) {
        wire_build_plain(&frame, i);
        wire_put(0, &frame);
        wire_receive(&pkts[i], 1);
    }
    before = kernel_dropped();
    end_ns = wire_now_ns() + FIXTURE_PATIENCE_S * UINT64_C(1000000000);
    for (unsigned i = 0; i < RING_PKTS + 10; i++) {
        wire_build_plain(&frame, i);
        wire_put(0, &frame);
    }
    /* Frames of others may be among them, and the last be on their way. */
    while (kernel_dropped() - before < 10)
        CHECK(wire_now_ns() < end_ns);
    CHECK(kernel_dropped() - before < 100);
    CHECK_EQ(nsp_bridge_ops.rx_burst(wire_device, 0, wire_now_ns(), &one, 1),
             0);
    nsp_bridge_ops.drop_burst(wire_device, 0, pkts, LENT_PKTS);
    wire_receive(pkts, LENT_PKTS);
    nsp_bridge_ops.drop_burst(wire_device, 0, pkts, LENT_PKTS);
}

/* --- The rest ------------------------------------------------------------- */

TEST(bridge_injects_both_ways)
{
    struct nsp_io_config cfg = wire_begin();
    struct wire_frame sent, heard, made;
    struct nsp_pkt *pkt;

    wire_open(&cfg);
    wire_build_ip(&sent, &wire_kinds[0], 5, false);
    wire_build_ip(&made, &wire_kinds[1], 50, false);
    wire_put(0, &sent);
    wire_receive(&pkt, 1);
    nsp_pkt_parse(pkt);
    for (int reply = 0; reply < 2; reply++) {
        CHECK_EQ(nsp_bridge_ops.inject(
                     wire_device, 0, wire_now_ns(), made.bytes + ETH_HLEN,
                     (uint32_t)made.length - ETH_HLEN, reply, pkt),
                 0);
        wire_hear(!reply, &heard);
        CHECK_EQ(heard.length, made.length);
        CHECK_MEM_EQ(heard.bytes + ETH_HLEN, made.bytes + ETH_HLEN,
                     made.length - ETH_HLEN);
        CHECK_MEM_EQ(heard.bytes + (reply ? 6 : 0), sent.bytes, 6);
        CHECK_MEM_EQ(heard.bytes + (reply ? 0 : 6), sent.bytes + 6, 6);
    }
    nsp_bridge_ops.drop_burst(wire_device, 0, &pkt, 1);
    wire_hear_nothing(0);
    wire_hear_nothing(1);
}

TEST(bridge_loses_nothing_when_stopped)
{
    struct nsp_io_config cfg = wire_begin();
    struct nsp_pkt *pkts[100];
    struct wire_frame frame;

    wire_open(&cfg);
    for (unsigned i = 0; i < 100; i++) {
        wire_build_plain(&frame, i);
        wire_put(0, &frame);
    }
    nsp_bridge_ops.quiesce(wire_device);
    wire_build_plain(&frame, 100);
    wire_put(0, &frame); /* Too late. */
    for (unsigned got = 0, n; got < 100; got += n) {
        n = nsp_bridge_ops.rx_burst(wire_device, 0, wire_now_ns(), pkts + got,
                                    100 - got < NSP_BURST_MAX ? 100 - got
                                                              : NSP_BURST_MAX);
        CHECK(n > 0);
    }
    CHECK_EQ(wire_send_all(pkts, 100), 0);
    nsp_bridge_ops.close(wire_device);
    wire_device = NULL;
    for (unsigned i = 0; i < 100; i++)
        wire_hear(1, &frame);
    wire_hear_nothing(1);
}

static void
open_for_long(void *context)
{
    const struct nsp_io_config *cfg = context;
    struct nsp_diag diag;
    struct nsp_pkt *pkt;

    CHILD_CHECK(nsp_bridge_ops.open(cfg, &wire_device, &diag) == NSP_OK);
    CHILD_CHECK(
        nsp_bridge_ops.rx_burst(wire_device, 0, wire_now_ns(), &pkt, 1) == 0);
}

/* Before its sockets are closed, which takes the kernel a while. */
TEST(bridge_is_passed_by_as_soon_as_it_is_dead)
{
    struct nsp_io_config cfg = wire_begin();

    wire_open(&cfg); /* To be skipped where it must. */
    nsp_bridge_ops.close(wire_device);
    wire_device = NULL;
    fixture_kill_with_heir(open_for_long, &cfg);
    for (int from = 0; from < 2; from++) {
        struct wire_frame sent, heard;

        wire_build_plain(&sent, 7);
        wire_put(from, &sent);
        wire_hear(!from, &heard);
        CHECK_MEM_EQ(heard.bytes, sent.bytes, sent.length);
    }
    fixture_end_heir();
    wire_open(&cfg); /* Takes it over, to be closed. */
}

TEST(bridge_refuses_nonsense)
{
    static const struct {
        const char *category;
        uint32_t queues, hooks, max_held_pkts, hang_ms, busy_poll_us;
        uint8_t attach;
    } cases[] = {
        { "queues", 0, NSP_HOOK_FORWARD, 0, 0, 0, 0 },
        { "queues", NSP_IO_QUEUES_MAX + 1, NSP_HOOK_FORWARD, 0, 0, 0, 0 },
        { "hooks", 1, NSP_HOOK_FORWARD | NSP_HOOK_INPUT, 0, 0, 0, 0 },
        { "max-held", 1, NSP_HOOK_FORWARD, (1u << 20) + 1, 0, 0, 0 },
        { "hang", 1, NSP_HOOK_FORWARD, 0, 9, 0, 0 },
        { "hang", 1, NSP_HOOK_FORWARD, 0, 10001, 0, 0 },
        { "busy-poll", 1, NSP_HOOK_FORWARD, 0, 0, 1001, 0 },
        { "attach", 1, NSP_HOOK_FORWARD, 0, 0, 0, 3 },
    };

    fixture_require();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct nsp_bridge_config bad = {
            .interfaces = { "client0", "server0" },
            .hang_ms = cases[i].hang_ms,
            .busy_poll_us = cases[i].busy_poll_us,
            .attach = cases[i].attach,
        };
        struct nsp_io_config cfg = {
            .device = &bad,
            .queues = cases[i].queues,
            .hooks = cases[i].hooks,
            .max_held_pkts = cases[i].max_held_pkts,
        };
        struct nsp_diag diag;

        CHECK(nsp_bridge_ops.open(&cfg, &wire_device, &diag) < 0);
        CHECK(wire_device == NULL);
        CHECK_STR_EQ(diag.category, cases[i].category);
        CHECK(diag.hint[0] != '\0');
    }
}

TEST(bridge_survives_every_allocation_that_can_fail)
{
    struct nsp_io_config cfg = wire_begin();
    struct failing_alloc memory = { 0 };
    int result = NSP_NO_MEMORY;

    wire_open(&cfg); /* To be skipped where it must. */
    nsp_bridge_ops.close(wire_device);
    wire_device = NULL;
    for (unsigned n = 0; result != NSP_OK; n++) {
        struct nsp_diag diag;

        CHECK(n < 100);
        memory = (struct failing_alloc){ .fail_at = n };
        cfg.allocator = failing_allocator(&memory);
        result = nsp_bridge_ops.open(&cfg, &wire_device, &diag);
        CHECK(result == NSP_NO_MEMORY || result == NSP_OK);
        if (result == NSP_OK)
            nsp_bridge_ops.close(wire_device);
        else
            CHECK_STR_EQ(diag.category, "no-memory");
        wire_device = NULL;
        CHECK_EQ(memory.live, 0);
    }
}

TEST(bridge_polls_busily_where_asked_to)
{
    struct nsp_io_config cfg = wire_begin();
    struct nsp_pkt *pkts[NSP_BURST_MAX];
    struct wire_frame frame;

    wire_bridge.busy_poll_us = 20;
    wire_bridge.copy = true;
    wire_open(&cfg);
    for (unsigned i = 0; i < NSP_BURST_MAX; i++) {
        wire_build_plain(&frame, i);
        wire_put(0, &frame);
    }
    wire_receive(pkts, NSP_BURST_MAX);
    CHECK_EQ(wire_send_all(pkts, NSP_BURST_MAX), 0);
    for (unsigned i = 0; i < NSP_BURST_MAX; i++) {
        wire_hear(1, &frame);
        CHECK_EQ(frame.bytes[ETH_HLEN + 1], i);
    }
}

/* --- Rules ---------------------------------------------------------------- */

static struct nsp_filter *
compile(const char *text)
{
    struct nsp_filter *filter = NULL;

    CHECK_EQ(nsp_filter_compile(text, NSP_LAYER_NETWORK, NULL, &filter, NULL),
             NSP_OK);
    return filter;
}

/* Waits until 'rule' has dropped packets of 'bytes' in all, and requires that
 * it was no more, and 'pkts' of them. */
static void
check_dropped(uint32_t rule, uint64_t pkts, uint64_t bytes)
{
    const uint64_t end_ns =
        wire_now_ns() + FIXTURE_PATIENCE_S * UINT64_C(1000000000);
    struct nsp_offload_counters counters;

    do {
        CHECK(wire_now_ns() < end_ns);
        nsp_bridge_ops.read_offload(wire_device, rule, &counters);
    } while (counters.dropped_bytes < bytes);
    CHECK_EQ(counters.dropped_bytes, bytes);
    CHECK_EQ(counters.dropped_pkts, pkts);
    CHECK_EQ(counters.hit_bytes, bytes);
    CHECK_EQ(counters.hit_pkts, pkts);
}

static void
put_filled_up(int end, struct wire_frame *frame)
{
    memset(frame->bytes + frame->length, 0xEE, ETH_ZLEN - frame->length);
    frame->length = ETH_ZLEN;
    wire_put(end, frame);
}

TEST(bridge_counts_packets_without_what_fills_their_frames_up)
{
    struct nsp_offload_counters last[3] = { { 0 } };
    struct nsp_filter *wanted =
        compile("ip.SrcAddr == 10.1.2.3 or "
                "ipv6.SrcAddr == fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd");
    struct nsp_filter *ipv4 = compile("ip");
    const struct nsp_offload_rule rules[] = {
        { .filter = ipv4, .does = NSP_OFFLOAD_DROP },
        { .filter = NULL, .does = NSP_OFFLOAD_DROP },
    };
    const struct nsp_offload_request request = { .rules = rules,
                                                 .count = 2,
                                                 .complete = true };
    struct nsp_io_config cfg = wire_begin();
    struct wire_frame frame;

    cfg.filter = wanted;
    wire_open(&cfg);
    CHECK_EQ(nsp_bridge_ops.offload(wire_device, &request, last), 0);
    for (int end = 0; end < 2; end++) {
        wire_build_ip(&frame, &wire_kinds[1], 4, false);
        put_filled_up(end, &frame);
        wire_build_ip(&frame, &wire_kinds[2], 0, false);
        frame.bytes[ETH_HLEN + 6] = IPPROTO_NONE;
        wire_store16(frame.bytes + ETH_HLEN + 4, 0);
        frame.length = ETH_HLEN + 40;
        put_filled_up(end, &frame);
    }
    check_dropped(0, 2, 2 * (20 + 8 + 4));
    check_dropped(1, 2, 2 * 40);
    nsp_filter_destroy(ipv4);
    nsp_filter_destroy(wanted);
}

/* Each processor has counters of its own. */
TEST(bridge_tells_when_the_last_hit_was_on_any_processor)
{
    struct nsp_offload_counters last[2] = { { 0 } }, counters;
    const struct nsp_offload_rule drop_all = { .does = NSP_OFFLOAD_DROP };
    const struct nsp_offload_request request = { .rules = &drop_all,
                                                 .count = 1,
                                                 .complete = true };
    struct nsp_io_config cfg = wire_begin();
    struct nsp_filter *ipv4 = compile("ip");
    cpu_set_t all, one;
    struct wire_frame frame;
    uint64_t frames = 0, began_ns;

    cfg.filter = ipv4;
    wire_open(&cfg);
    CHECK_EQ(nsp_bridge_ops.offload(wire_device, &request, last), 0);
    wire_build_ip(&frame, &wire_kinds[1], 4, false);
    CHECK_EQ(sched_getaffinity(0, sizeof all, &all), 0);
    began_ns = wire_now_ns();
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
        wire_put(0, &frame);
        frames++;
    }
    CHECK_EQ(sched_setaffinity(0, sizeof all, &all), 0);
    check_dropped(0, frames, frames * (20 + 8 + 4));
    nsp_bridge_ops.read_offload(wire_device, 0, &counters);
    CHECK(counters.last_hit_ns + TICK_NS_MAX > began_ns);
    CHECK(counters.last_hit_ns <= wire_now_ns());
    nsp_filter_destroy(ipv4);
}

int
main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        BRIDGE_TEST(bridge_takes_frames_both_ways_and_says_where_from),
        BRIDGE_TEST(bridge_drops_what_it_is_told_to_and_uses_its_room_again),
        BRIDGE_TEST(
            bridge_lends_no_more_than_it_was_opened_for_and_the_kernel_counts),
        BRIDGE_TEST(bridge_injects_both_ways),
        BRIDGE_TEST(bridge_loses_nothing_when_stopped),
        BRIDGE_TEST(bridge_is_passed_by_as_soon_as_it_is_dead),
        BRIDGE_TEST(bridge_refuses_nonsense),
        BRIDGE_TEST(bridge_survives_every_allocation_that_can_fail),
        BRIDGE_TEST(bridge_polls_busily_where_asked_to),
        BRIDGE_TEST(bridge_counts_packets_without_what_fills_their_frames_up),
        BRIDGE_TEST(bridge_tells_when_the_last_hit_was_on_any_processor),
    };

    return WIRE_RUN(argc, argv, tests);
}
