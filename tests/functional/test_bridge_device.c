#define _GNU_SOURCE
/* The bridge device, driven through its operations, between the two wires of
 * the lab's router: frames are put on the one end by packet sockets and read
 * from the other.
 *
 *     client eth0 ---- client0 router server0 ---- eth0 server
 *      'ends[0]'               bridge              'ends[1]' */
#include "tests/functional/nfqueue_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/failing_alloc.h"
#include "tests/lib/naive_csum.h"

extern const struct nsp_io_ops nsp_bridge_ops;

/* A type that nobody else uses, for frames that are no IP. */
#define TYPE       0x88B5u
#define PATIENCE_S 10
#define QUIET_MS   200
#define VNET_BYTES sizeof(struct virtio_net_hdr)
#define HELD_PKTS  64u
#define LENT_PKTS  (HELD_PKTS + 2 * NSP_BURST_MAX)
#define RING_PKTS  2048u

static struct nsp_io *device;
static struct nsp_bridge_config bridge;
static int ends[2];
static uint32_t ports[2];

static uint64_t
now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* --- Both ends ------------------------------------------------------------ */

/* A packet socket at the far end of a wire, which sends and tells what is left
 * of checksums. */
static int
open_end(enum nsp_lab_host host)
{
    struct sockaddr_ll address = { .sll_family = AF_PACKET,
                                   .sll_protocol = htons(ETH_P_ALL) };
    int fd = nsp_lab_socket(lab, host, AF_PACKET, SOCK_RAW);
    struct timeval patience = { .tv_sec = PATIENCE_S };
    struct ifreq ifr = { 0 };
    int one = 1;

    CHECK(fd >= 0);
    strcpy(ifr.ifr_name, "eth0");
    CHECK_EQ(ioctl(fd, SIOCGIFINDEX, &ifr), 0);
    address.sll_ifindex = ifr.ifr_ifindex;
    CHECK_EQ(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one), 0);
    CHECK_EQ(
        setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one),
        0);
    CHECK_EQ(
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    CHECK_EQ(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static int
end_test(void **state)
{
    if (device)
        nsp_bridge_ops.close(device);
    device = NULL;
    for (int i = 0; i < 2; i++)
        if (ends[i] > 0)
            close(ends[i]);
    ends[0] = ends[1] = 0;
    return fixture_end(state);
}
#define BRIDGE_TEST(name) cmocka_unit_test_teardown(name, end_test)

/* A busy machine must not make the device look dead. */
static struct nsp_io_config
begin(void)
{
    fixture_require();
    CHECK_EQ(nsp_lab_enter(lab, NSP_LAB_ROUTER), 0);
    ports[0] = if_nametoindex("client0");
    ports[1] = if_nametoindex("server0");
    bridge = (struct nsp_bridge_config){
        .interfaces = { "client0", "server0" },
        .hang_ms = 10000,
    };
    ends[0] = open_end(NSP_LAB_CLIENT);
    ends[1] = open_end(NSP_LAB_SERVER);
    return (struct nsp_io_config){
        .device = &bridge,
        .queues = 1,
        .hooks = NSP_HOOK_FORWARD,
        .max_held_pkts = HELD_PKTS,
        .edits = true,
    };
}

static void
open_device(const struct nsp_io_config *cfg)
{
    struct nsp_diag diag;
    int result = nsp_bridge_ops.open(cfg, &device, &diag);

    if (result == NSP_NOT_POSSIBLE)
        SKIP(diag.text);
    if (result != NSP_OK)
        fail_msg("open: %s (%s)", diag.text, diag.hint);
}

struct frame {
    struct virtio_net_hdr vnet;
    uint8_t bytes[2048];
    size_t length;
};

static void
put(int end, const struct frame *frame)
{
    CHECK_EQ(send(ends[end], &frame->vnet, VNET_BYTES + frame->length, 0),
             VNET_BYTES + frame->length);
}

/* Frames of ours: their hardware addresses begin with 02:0B. */
static bool
is_ours(const uint8_t *bytes)
{
    return bytes[6] == 0x02 && bytes[7] == 0x0B;
}

static void
hear(int end, struct frame *ret)
{
    ssize_t got;

    do {
        got = recv(ends[end], &ret->vnet, VNET_BYTES + sizeof ret->bytes, 0);
        CHECK(got > (ssize_t)VNET_BYTES);
    } while (!is_ours(ret->bytes));
    ret->length = (size_t)got - VNET_BYTES;
}

static void
hear_nothing(int end)
{
    struct timeval patience = { .tv_usec = QUIET_MS * 1000 };
    struct frame frame;
    ssize_t got;

    setsockopt(ends[end], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    while ((got = recv(ends[end], &frame.vnet, VNET_BYTES + sizeof frame.bytes,
                       0)) >= 0)
        CHECK(!is_ours(frame.bytes));
    patience = (struct timeval){ .tv_sec = PATIENCE_S };
    setsockopt(ends[end], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

/* Waits for 'n' packets of ours; others are passed on. */
static void
receive(struct nsp_pkt *ret_pkts[], uint32_t n)
{
    const uint64_t end_ns = now_ns() + PATIENCE_S * UINT64_C(1000000000);
    uint32_t got = 0;

    while (got < n) {
        struct nsp_pkt *pkts[NSP_BURST_MAX];
        uint32_t room = n - got < NSP_BURST_MAX ? n - got : NSP_BURST_MAX;
        uint32_t count;
        bool refused;

        if (now_ns() >= end_ns)
            fail_msg("%u of %u packets came", got, n);
        CHECK_EQ(nsp_bridge_ops.wait(device, 0, UINT64_C(10000000)), 0);
        count = nsp_bridge_ops.rx_burst(device, 0, now_ns(), pkts, room);
        for (uint32_t i = 0; i < count; i++) {
            if (is_ours(pkts[i]->data))
                ret_pkts[got++] = pkts[i];
            else
                nsp_bridge_ops.tx_burst(device, 0, now_ns(), &pkts[i], 1,
                                        &refused);
        }
    }
}

static uint32_t
send_all(struct nsp_pkt *const pkts[], uint32_t n)
{
    bool refused[NSP_BURST_MAX];
    uint32_t count = 0;

    for (uint32_t at = 0; at < n; at += NSP_BURST_MAX) {
        uint32_t part = n - at < NSP_BURST_MAX ? n - at : NSP_BURST_MAX;

        count += nsp_bridge_ops.tx_burst(device, 0, now_ns(), pkts + at, part,
                                         refused);
    }
    return count;
}

/* --- Frames --------------------------------------------------------------- */

static void
store16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void
build_link(struct frame *frame, unsigned type)
{
    static const uint8_t link[] = { 0x02, 0x0B, 0, 0, 0, 2,
                                    0x02, 0x0B, 0, 0, 0, 1 };

    memset(frame, 0, sizeof *frame);
    memcpy(frame->bytes, link, sizeof link);
    store16(frame->bytes + 12, type);
    frame->length = ETH_HLEN;
}

static void
build_plain(struct frame *frame, unsigned number)
{
    build_link(frame, TYPE);
    store16(frame->bytes + ETH_HLEN, number);
    frame->length = ETH_ZLEN;
}

struct kind {
    const char *name;
    bool ipv6, options, tcp;
};
static const struct kind kinds[] = {
    { "tcp over ipv4", false, false, true },
    { "udp over ipv4", false, false, false },
    { "tcp over ipv6", true, false, true },
    { "udp behind destination options", true, true, false },
};

static uint16_t
fold(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return (uint16_t)sum;
}

/* Sum of the pseudo-header, by the books. */
static uint16_t
pseudo_sum(const uint8_t *addresses, size_t bytes, unsigned proto,
           unsigned l4_bytes)
{
    uint32_t sum = (uint16_t)~naive_csum(addresses, bytes);

    return fold(sum + proto + l4_bytes);
}

/* A packet of 'kind' with 'payload_bytes' of payload, and its checksum left to
 * others ('partial') or complete. Returns where the transport header begins. */
static size_t
build_ip(struct frame *frame, const struct kind *kind, size_t payload_bytes,
         bool partial)
{
    unsigned proto = kind->tcp ? IPPROTO_TCP : IPPROTO_UDP;
    size_t l4_bytes = (kind->tcp ? 20u : 8u) + payload_bytes;
    size_t l4 = ETH_HLEN + (kind->ipv6 ? 40u : 20u) + (kind->options ? 8u : 0u);
    size_t at = l4 + (kind->tcp ? 16u : 6u);
    uint8_t *ip = frame->bytes + ETH_HLEN;
    uint16_t sum;

    build_link(frame, kind->ipv6 ? ETH_P_IPV6 : ETH_P_IP);
    if (kind->ipv6) {
        ip[0] = 0x60;
        store16(ip + 4, (unsigned)(l4 + l4_bytes - ETH_HLEN - 40));
        ip[6] = (uint8_t)(kind->options ? IPPROTO_DSTOPTS : proto);
        ip[7] = 64;
        memset(ip + 8, 0xFD, 32);
        if (kind->options)
            memcpy(ip + 40, (uint8_t[]){ (uint8_t)proto, 0, 1, 4 }, 4);
        sum = pseudo_sum(ip + 8, 32, proto, (unsigned)l4_bytes);
    } else {
        ip[0] = 0x45;
        store16(ip + 2, (unsigned)(20 + l4_bytes));
        ip[8] = 64;
        ip[9] = (uint8_t)proto;
        memcpy(ip + 12, (uint8_t[]){ 10, 1, 2, 3, 10, 9, 8, 7 }, 8);
        store16(ip + 10, naive_csum(ip, 20));
        sum = pseudo_sum(ip + 12, 8, proto, (unsigned)l4_bytes);
    }
    store16(frame->bytes + l4, 1234);
    store16(frame->bytes + l4 + 2, 5678);
    if (kind->tcp)
        frame->bytes[l4 + 12] = 0x50;
    else
        store16(frame->bytes + l4 + 4, (unsigned)l4_bytes);
    for (size_t i = 0; i < payload_bytes; i++)
        frame->bytes[l4 + l4_bytes - payload_bytes + i] = (uint8_t)(i * 7);
    frame->length = l4 + l4_bytes;
    store16(frame->bytes + at, sum);
    if (!partial)
        store16(frame->bytes + at, naive_csum(frame->bytes + l4, l4_bytes));
    if (partial) {
        frame->vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        frame->vnet.csum_start = (uint16_t)l4;
        frame->vnet.csum_offset = (uint16_t)(at - l4);
    }
    return l4;
}

/* --- Fates ---------------------------------------------------------------- */

TEST(bridge_takes_frames_both_ways_and_says_where_from)
{
    struct nsp_io_config cfg = begin();

    open_device(&cfg);
    for (int from = 0; from < 2; from++) {
        struct frame sent, heard;
        struct nsp_pkt *pkt;

        build_plain(&sent, 7);
        put(from, &sent);
        receive(&pkt, 1);
        CHECK_EQ(pkt->hook, NSP_HOOK_FORWARD);
        CHECK_EQ(pkt->direction, NSP_DIRECTION_NONE);
        CHECK_EQ(pkt->link, NSP_LINK_ETHERNET);
        CHECK_EQ(pkt->in_ifindex, ports[from]);
        CHECK_EQ(pkt->out_ifindex, ports[!from]);
        CHECK_EQ(pkt->cap_bytes, sent.length);
        CHECK_EQ(pkt->wire_bytes, sent.length);
        CHECK_EQ(pkt->uid, UINT32_MAX);
        CHECK_EQ(pkt->csum, NSP_CSUM_UNKNOWN);
        CHECK_MEM_EQ(pkt->data, sent.bytes, sent.length);
        hear_nothing(!from);
        CHECK_EQ(send_all(&pkt, 1), 0);
        hear(!from, &heard);
        CHECK_EQ(heard.length, sent.length);
        CHECK_MEM_EQ(heard.bytes, sent.bytes, sent.length);
    }
}

TEST(bridge_drops_what_it_is_told_to_and_uses_its_room_again)
{
    struct nsp_io_config cfg = begin();
    struct nsp_pkt *pkts[NSP_BURST_MAX];
    struct frame frame;

    open_device(&cfg);
    for (unsigned n = 0; n < 200 * NSP_BURST_MAX; n += NSP_BURST_MAX) {
        for (unsigned i = 0; i < NSP_BURST_MAX; i++) {
            build_plain(&frame, n + i);
            put(0, &frame);
        }
        receive(pkts, NSP_BURST_MAX);
        nsp_bridge_ops.drop_burst(device, 0, pkts, NSP_BURST_MAX);
    }
    hear_nothing(1);
    build_plain(&frame, 1);
    put(0, &frame);
    receive(pkts, 1);
    CHECK_EQ(send_all(pkts, 1), 0);
    hear(1, &frame);
}

static uint64_t
kernel_dropped(void)
{
    struct nsp_io_stats stats;

    nsp_bridge_ops.read_stats(device, &stats);
    return stats.kernel_dropped_pkts;
}

TEST(bridge_lends_no_more_than_it_was_opened_for_and_the_kernel_counts)
{
    struct nsp_io_config cfg = begin();
    struct nsp_pkt *pkts[LENT_PKTS + RING_PKTS], *one;
    struct frame frame;
    uint64_t before;

    open_device(&cfg);
    for (unsigned i = 0; i < LENT_PKTS; i++) {
        build_plain(&frame, i);
        put(0, &frame);
        receive(&pkts[i], 1);
    }
    before = kernel_dropped();
    for (unsigned i = 0; i < RING_PKTS + 10; i++) {
        build_plain(&frame, i);
        put(0, &frame);
    }
    CHECK_EQ(nsp_bridge_ops.rx_burst(device, 0, now_ns(), &one, 1), 0);
    /* Frames of others may be among them. */
    CHECK(kernel_dropped() - before >= 10);
    CHECK(kernel_dropped() - before < 100);
    nsp_bridge_ops.drop_burst(device, 0, pkts, LENT_PKTS);
    receive(pkts, LENT_PKTS);
    nsp_bridge_ops.drop_burst(device, 0, pkts, LENT_PKTS);
}

/* --- Checksums ------------------------------------------------------------ */

/* The transport checksum of what was heard is right, or left to others as it
 * was. */
static void
check_heard(const struct frame *heard, const struct frame *sent, bool complete)
{
    struct nsp_pkt pkt = {
        .data = (uint8_t *)(uintptr_t)heard->bytes,
        .cap_bytes = (uint32_t)heard->length,
        .wire_bytes = (uint32_t)heard->length,
        .link = NSP_LINK_ETHERNET,
    };

    CHECK_EQ(heard->length, sent->length);
    if (!complete) {
        CHECK_EQ(heard->vnet.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
        CHECK_EQ(heard->vnet.csum_start, sent->vnet.csum_start);
        CHECK_EQ(heard->vnet.csum_offset, sent->vnet.csum_offset);
        return;
    }
    CHECK_EQ(heard->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, 0);
    nsp_pkt_parse(&pkt);
    CHECK(nsp_pkt_checksums_ok(&pkt));
}

static void
forward_partial(bool complete)
{
    struct nsp_io_config cfg = begin();

    bridge.complete_checksums = complete;
    open_device(&cfg);
    for (size_t k = 0; k < NSP_BURST_MAX; k++) {
        const struct kind *kind = &kinds[k % 4];
        struct frame sent, heard;
        struct nsp_pkt *pkt;

        build_ip(&sent, kind, k * 9, true);
        put(0, &sent);
        receive(&pkt, 1);
        if (pkt->csum != NSP_CSUM_PARTIAL)
            fail_msg("%s: checksum state %u", kind->name, pkt->csum);
        CHECK_EQ(send_all(&pkt, 1), 0);
        hear(1, &heard);
        check_heard(&heard, &sent, complete);
    }
}

TEST(bridge_hands_on_what_is_left_of_checksums)
{
    forward_partial(false);
}

TEST(bridge_completes_checksums_when_told_to)
{
    forward_partial(true);
}

TEST(bridge_leaves_complete_checksums_alone)
{
    struct nsp_io_config cfg = begin();

    open_device(&cfg);
    for (size_t k = 0; k < 4; k++) {
        struct frame sent, heard;
        struct nsp_pkt *pkt;

        build_ip(&sent, &kinds[k], 100 + k, false);
        put(1, &sent);
        receive(&pkt, 1);
        CHECK_EQ(pkt->csum, NSP_CSUM_UNKNOWN);
        CHECK_EQ(send_all(&pkt, 1), 0);
        hear(0, &heard);
        CHECK_EQ(heard.vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, 0);
        CHECK_EQ(heard.length, sent.length);
        CHECK_MEM_EQ(heard.bytes, sent.bytes, sent.length);
    }
}

TEST(bridge_sends_what_was_edited)
{
    for (int complete = 0; complete < 2; complete++) {
        struct nsp_io_config cfg = begin();

        bridge.complete_checksums = complete;
        open_device(&cfg);
        for (size_t k = 0; k < 4; k++) {
            static const uint8_t to[16] = { 10, 77, 66, 55, 1, 2, 3 };
            struct frame sent, heard;
            struct nsp_pkt *pkt;

            build_ip(&sent, &kinds[k], 33, true);
            put(0, &sent);
            receive(&pkt, 1);
            nsp_pkt_parse(pkt);
            CHECK_EQ(nsp_pkt_set_ip_dst(pkt, to, kinds[k].ipv6 ? 16 : 4), 0);
            CHECK_EQ(nsp_pkt_set_dst_port(pkt, 99), 0);
            CHECK_EQ(nsp_pkt_set_ttl(pkt, 9), 0);
            CHECK_EQ(send_all(&pkt, 1), 0);
            hear(1, &heard);
            check_heard(&heard, &sent, complete);
            /* As a device would complete it. */
            if (!complete) {
                uint8_t *l4 = heard.bytes + heard.vnet.csum_start;

                store16(l4 + heard.vnet.csum_offset,
                        naive_csum(l4, heard.length - heard.vnet.csum_start));
                heard.vnet.flags = 0;
                check_heard(&heard, &sent, true);
            }
        }
        end_test(NULL);
    }
}

/* --- The rest ------------------------------------------------------------- */

TEST(bridge_injects_both_ways)
{
    struct nsp_io_config cfg = begin();
    struct frame sent, heard, made;
    struct nsp_pkt *pkt;

    open_device(&cfg);
    build_ip(&sent, &kinds[0], 5, false);
    build_ip(&made, &kinds[1], 50, false);
    put(0, &sent);
    receive(&pkt, 1);
    nsp_pkt_parse(pkt);
    for (int reply = 0; reply < 2; reply++) {
        CHECK_EQ(
            nsp_bridge_ops.inject(device, 0, now_ns(), made.bytes + ETH_HLEN,
                                  (uint32_t)made.length - ETH_HLEN, reply, pkt),
            0);
        hear(!reply, &heard);
        CHECK_EQ(heard.length, made.length);
        CHECK_MEM_EQ(heard.bytes + ETH_HLEN, made.bytes + ETH_HLEN,
                     made.length - ETH_HLEN);
        CHECK_MEM_EQ(heard.bytes + (reply ? 6 : 0), sent.bytes, 6);
        CHECK_MEM_EQ(heard.bytes + (reply ? 0 : 6), sent.bytes + 6, 6);
    }
    nsp_bridge_ops.drop_burst(device, 0, &pkt, 1);
    hear_nothing(0);
    hear_nothing(1);
}

TEST(bridge_loses_nothing_when_stopped)
{
    struct nsp_io_config cfg = begin();
    struct nsp_pkt *pkts[100];
    struct frame frame;

    open_device(&cfg);
    for (unsigned i = 0; i < 100; i++) {
        build_plain(&frame, i);
        put(0, &frame);
    }
    nsp_bridge_ops.quiesce(device);
    build_plain(&frame, 100);
    put(0, &frame); /* Too late. */
    for (unsigned got = 0, n; got < 100; got += n) {
        n = nsp_bridge_ops.rx_burst(device, 0, now_ns(), pkts + got,
                                    100 - got < NSP_BURST_MAX ? 100 - got
                                                              : NSP_BURST_MAX);
        CHECK(n > 0);
    }
    CHECK_EQ(send_all(pkts, 100), 0);
    nsp_bridge_ops.close(device);
    device = NULL;
    for (unsigned i = 0; i < 100; i++)
        hear(1, &frame);
    hear_nothing(1);
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

        CHECK(nsp_bridge_ops.open(&cfg, &device, &diag) < 0);
        CHECK(device == NULL);
        CHECK_STR_EQ(diag.category, cases[i].category);
        CHECK(diag.hint[0] != '\0');
    }
}

TEST(bridge_survives_every_allocation_that_can_fail)
{
    struct nsp_io_config cfg = begin();
    struct failing_alloc memory = { 0 };
    int result = NSP_NO_MEMORY;

    open_device(&cfg); /* To be skipped where it must. */
    nsp_bridge_ops.close(device);
    device = NULL;
    for (unsigned n = 0; result != NSP_OK; n++) {
        struct nsp_diag diag;

        CHECK(n < 100);
        memory = (struct failing_alloc){ .fail_at = n };
        cfg.allocator = failing_allocator(&memory);
        result = nsp_bridge_ops.open(&cfg, &device, &diag);
        CHECK(result == NSP_NO_MEMORY || result == NSP_OK);
        if (result == NSP_OK)
            nsp_bridge_ops.close(device);
        else
            CHECK_STR_EQ(diag.category, "no-memory");
        device = NULL;
        CHECK_EQ(memory.live, 0);
    }
}

TEST(bridge_takes_frames_in_the_stack_where_asked_to)
{
    struct nsp_io_config cfg = begin();

    bridge.attach = NSP_BRIDGE_ATTACH_STACK;
    open_device(&cfg);
    for (int k = 0; k < 8; k++) {
        int from = k / 4;
        struct frame sent, heard;
        struct nsp_pkt *pkt;

        build_ip(&sent, &kinds[k % 4], 1000 + (size_t)k, true);
        put(from, &sent);
        receive(&pkt, 1);
        CHECK_EQ(pkt->csum, NSP_CSUM_PARTIAL);
        CHECK_EQ(send_all(&pkt, 1), 0);
        hear(!from, &heard);
        check_heard(&heard, &sent, false);
    }
}

TEST(bridge_polls_busily_where_asked_to)
{
    struct nsp_io_config cfg = begin();
    struct nsp_pkt *pkts[NSP_BURST_MAX];
    struct frame frame;

    bridge.busy_poll_us = 20;
    bridge.copy = true;
    open_device(&cfg);
    for (unsigned i = 0; i < NSP_BURST_MAX; i++) {
        build_plain(&frame, i);
        put(0, &frame);
    }
    receive(pkts, NSP_BURST_MAX);
    CHECK_EQ(send_all(pkts, NSP_BURST_MAX), 0);
    for (unsigned i = 0; i < NSP_BURST_MAX; i++) {
        hear(1, &frame);
        CHECK_EQ(frame.bytes[ETH_HLEN + 1], i);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        BRIDGE_TEST(bridge_takes_frames_both_ways_and_says_where_from),
        BRIDGE_TEST(bridge_drops_what_it_is_told_to_and_uses_its_room_again),
        BRIDGE_TEST(
            bridge_lends_no_more_than_it_was_opened_for_and_the_kernel_counts),
        BRIDGE_TEST(bridge_hands_on_what_is_left_of_checksums),
        BRIDGE_TEST(bridge_completes_checksums_when_told_to),
        BRIDGE_TEST(bridge_leaves_complete_checksums_alone),
        BRIDGE_TEST(bridge_sends_what_was_edited),
        BRIDGE_TEST(bridge_injects_both_ways),
        BRIDGE_TEST(bridge_loses_nothing_when_stopped),
        BRIDGE_TEST(bridge_refuses_nonsense),
        BRIDGE_TEST(bridge_survives_every_allocation_that_can_fail),
        BRIDGE_TEST(bridge_takes_frames_in_the_stack_where_asked_to),
        BRIDGE_TEST(bridge_polls_busily_where_asked_to),
    };

    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
