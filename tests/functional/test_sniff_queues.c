#define _GNU_SOURCE
/* The device that only looks, with several queues: each packet comes to one,
 * and a flow's both ways to the same. On the router's wire to the client;
 * topology in nfqueue_fixture.h. */
#include "base/base.h"
#include "netshaper/filter.h"
#include "netshaper/packet.h"
#include "os/os.h"
#include "tests/functional/nfqueue_fixture.h"

extern const struct nsp_io_ops nsp_sniff_ops;

#define QUEUES      2
#define FLOWS       64u
#define PORT        7001
#define CLIENT_PORT 20000u /* Of the first flow; one after the other. */

static struct nsp_io *device;

struct seen {
    uint32_t requests[FLOWS], answers[FLOWS];
    uint32_t flow_queue[FLOWS]; /* Its number + 1. */
    uint32_t pkts, queue_pkts[QUEUES];
};

static int
end_test(void **state)
{
    if (device)
        nsp_sniff_ops.close(device);
    device = NULL;
    return fixture_end(state);
}

static void
open_device(void)
{
    static const struct nsp_sniff_config sniff = { .interface = "client0" };
    static struct nsp_filter *filter;
    struct nsp_diag diag;
    struct nsp_io_config cfg = {
        .device = &sniff,
        .queues = QUEUES,
        .clock = { .now_ns = nsp_os_monotonic_ns },
        .hooks = NSP_HOOK_INPUT | NSP_HOOK_OUTPUT,
    };
    int result;

    if (!filter)
        CHECK_EQ(
            nsp_filter_compile("udp.DstPort == 7001 or udp.SrcPort == 7001",
                               NSP_LAYER_NETWORK, NULL, &filter, NULL),
            NSP_OK);
    cfg.filter = filter;
    result = nsp_sniff_ops.open(&cfg, &device, &diag);
    if (result == NSP_NOT_POSSIBLE)
        SKIP(diag.text);
    CHECK_EQ(result, NSP_OK);
}

static void
note(struct seen *seen, struct nsp_pkt *pkt, uint32_t queue)
{
    uint16_t source, destination;
    bool answer = pkt->direction == NSP_OUTBOUND;
    uint32_t flow;

    nsp_pkt_parse(pkt);
    CHECK(pkt->l4 == NSP_L4_UDP);
    CHECK_EQ(pkt->queue, queue);
    source = nsp_load_be16(pkt->data + pkt->l4_off);
    destination = nsp_load_be16(pkt->data + pkt->l4_off + 2);
    flow = (answer ? destination : source) - CLIENT_PORT;
    CHECK_EQ(answer ? source : destination, PORT);
    CHECK(flow < FLOWS);
    (answer ? seen->answers : seen->requests)[flow]++;
    if (seen->flow_queue[flow] == 0)
        seen->flow_queue[flow] = queue + 1;
    CHECK_EQ(seen->flow_queue[flow], queue + 1);
    seen->queue_pkts[queue]++;
    seen->pkts++;
}

static uint64_t
now_ns(void)
{
    return nsp_os_monotonic_ns(NULL);
}

static void
look(struct seen *seen, uint32_t pkts)
{
    const uint64_t end_ns =
        now_ns() + FIXTURE_PATIENCE_S * UINT64_C(1000000000);
    struct nsp_pkt *burst[NSP_BURST_MAX];

    for (uint32_t queue = 0; seen->pkts < pkts; queue = (queue + 1) % QUEUES) {
        uint32_t n;

        if (now_ns() >= end_ns)
            fail_msg("%u of %u packets came", seen->pkts, pkts);
        CHECK_EQ(nsp_sniff_ops.wait(device, queue, UINT64_C(1000000)), 0);
        n = nsp_sniff_ops.rx_burst(device, queue, now_ns(), burst,
                                   NSP_BURST_MAX);
        for (uint32_t i = 0; i < n; i++)
            note(seen, burst[i], queue);
        nsp_sniff_ops.drop_burst(device, queue, burst, n);
    }
}

TEST(sniff_shows_a_flow_both_ways_to_one_of_its_queues)
{
    struct nsp_pkt *pkt;
    struct seen seen = { 0 };
    int router;

    fixture_require();
    router = fixture_udp(NSP_LAB_ROUTER, AF_INET, PORT);
    open_device();
    for (uint32_t flow = 0; flow < FLOWS; flow++) {
        uint16_t port = (uint16_t)(CLIENT_PORT + flow);
        int client = fixture_udp(NSP_LAB_CLIENT, AF_INET, port);

        fixture_say(client, NSP_LAB_ROUTER, AF_INET, PORT, "request");
        fixture_hear(router, "request");
        fixture_say(router, NSP_LAB_CLIENT, AF_INET, port, "answer");
        fixture_hear(client, "answer");
    }
    look(&seen, 2 * FLOWS);
    nsp_sniff_ops.quiesce(device);
    for (uint32_t queue = 0; queue < QUEUES; queue++) {
        CHECK(seen.queue_pkts[queue] > 0);
        CHECK_EQ(nsp_sniff_ops.rx_burst(device, queue, now_ns(), &pkt, 1), 0);
    }
    for (uint32_t flow = 0; flow < FLOWS; flow++) {
        CHECK_EQ(seen.requests[flow], 1);
        CHECK_EQ(seen.answers[flow], 1);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(
            sniff_shows_a_flow_both_ways_to_one_of_its_queues, end_test),
    };

    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
