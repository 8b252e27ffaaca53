#define _GNU_SOURCE
#include "tests/functional/bridge_fixture.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/naive_csum.h"

/* A type that nobody else uses, for frames that are no IP. */
#define TYPE       0x88B5u
#define QUIET_MS   200
#define VNET_BYTES sizeof(struct virtio_net_hdr)

struct nsp_io *wire_device;
struct nsp_bridge_config wire_bridge;
uint32_t wire_ports[2];
static int ends[2];
static enum nsp_bridge_attach attach = NSP_BRIDGE_ATTACH_DRIVER;

void
wire_choose(int argc, char *argv[])
{
    if (argc > 1 && strcmp(argv[1], "stack") == 0)
        attach = NSP_BRIDGE_ATTACH_STACK;
}

bool
wire_in_stack(void)
{
    return attach == NSP_BRIDGE_ATTACH_STACK;
}

uint64_t
wire_now_ns(void)
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
    struct timeval patience = { .tv_sec = FIXTURE_PATIENCE_S };
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

int
wire_end_test(void **state)
{
    if (wire_device)
        nsp_bridge_ops.close(wire_device);
    wire_device = NULL;
    for (int i = 0; i < 2; i++)
        if (ends[i] > 0)
            close(ends[i]);
    ends[0] = ends[1] = 0;
    return fixture_end(state);
}

/* A busy machine must not make the device look dead. */
struct nsp_io_config
wire_begin(void)
{
    fixture_require();
    CHECK_EQ(nsp_lab_enter(lab, NSP_LAB_ROUTER), 0);
    wire_ports[0] = if_nametoindex("client0");
    wire_ports[1] = if_nametoindex("server0");
    wire_bridge = (struct nsp_bridge_config){
        .interfaces = { "client0", "server0" },
        .hang_ms = 10000,
        .attach = (uint8_t)attach,
    };
    ends[0] = open_end(NSP_LAB_CLIENT);
    ends[1] = open_end(NSP_LAB_SERVER);
    return (struct nsp_io_config){
        .device = &wire_bridge,
        .queues = 1,
        .hooks = NSP_HOOK_FORWARD,
        .max_held_pkts = WIRE_HELD_PKTS,
        .edits = true,
    };
}

void
wire_open(const struct nsp_io_config *cfg)
{
    struct nsp_diag diag;
    int result = nsp_bridge_ops.open(cfg, &wire_device, &diag);

    if (result == NSP_NOT_POSSIBLE)
        SKIP(diag.text);
    if (result != NSP_OK)
        fail_msg("open: %s (%s)", diag.text, diag.hint);
    /* A sign of life: the last one is as old as the opening took. */
    for (uint32_t queue = 0; queue < cfg->queues; queue++)
        CHECK_EQ(nsp_bridge_ops.wait(wire_device, queue, 0), 0);
}

void
wire_put(int end, const struct wire_frame *frame)
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

void
wire_hear(int end, struct wire_frame *ret)
{
    ssize_t got;

    do {
        got = recv(ends[end], &ret->vnet, VNET_BYTES + sizeof ret->bytes, 0);
        CHECK(got > (ssize_t)VNET_BYTES);
    } while (!is_ours(ret->bytes));
    ret->length = (size_t)got - VNET_BYTES;
}

void
wire_hear_nothing(int end)
{
    struct timeval patience = { .tv_usec = QUIET_MS * 1000 };
    struct wire_frame frame;

    setsockopt(ends[end], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    while (recv(ends[end], &frame.vnet, VNET_BYTES + sizeof frame.bytes, 0) >=
           0)
        CHECK(!is_ours(frame.bytes));
    patience = (struct timeval){ .tv_sec = FIXTURE_PATIENCE_S };
    setsockopt(ends[end], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

/* Waits for 'n' packets of ours; others are passed on. */
void
wire_receive(struct nsp_pkt *ret_pkts[], uint32_t n)
{
    const uint64_t end_ns =
        wire_now_ns() + FIXTURE_PATIENCE_S * UINT64_C(1000000000);
    uint32_t got = 0;

    while (got < n) {
        struct nsp_pkt *pkts[NSP_BURST_MAX];
        uint32_t room = n - got < NSP_BURST_MAX ? n - got : NSP_BURST_MAX;
        uint32_t count;
        bool refused;

        if (wire_now_ns() >= end_ns)
            fail_msg("%u of %u packets came", got, n);
        CHECK_EQ(nsp_bridge_ops.wait(wire_device, 0, UINT64_C(10000000)), 0);
        count =
            nsp_bridge_ops.rx_burst(wire_device, 0, wire_now_ns(), pkts, room);
        for (uint32_t i = 0; i < count; i++) {
            if (is_ours(pkts[i]->data))
                ret_pkts[got++] = pkts[i];
            else
                nsp_bridge_ops.tx_burst(wire_device, 0, wire_now_ns(), &pkts[i],
                                        1, &refused);
        }
    }
}

uint32_t
wire_send_all(struct nsp_pkt *const pkts[], uint32_t n)
{
    bool refused[NSP_BURST_MAX];
    uint32_t count = 0;

    for (uint32_t at = 0; at < n; at += NSP_BURST_MAX) {
        uint32_t part = n - at < NSP_BURST_MAX ? n - at : NSP_BURST_MAX;

        count += nsp_bridge_ops.tx_burst(wire_device, 0, wire_now_ns(),
                                         pkts + at, part, refused);
    }
    return count;
}

/* --- Frames --------------------------------------------------------------- */

void
wire_store16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void
build_link(struct wire_frame *frame, unsigned type)
{
    static const uint8_t link[] = { 0x02, 0x0B, 0, 0, 0, 2,
                                    0x02, 0x0B, 0, 0, 0, 1 };

    memset(frame, 0, sizeof *frame);
    memcpy(frame->bytes, link, sizeof link);
    wire_store16(frame->bytes + 12, type);
    frame->length = ETH_HLEN;
}

void
wire_build_plain(struct wire_frame *frame, unsigned number)
{
    build_link(frame, TYPE);
    wire_store16(frame->bytes + ETH_HLEN, number);
    frame->length = ETH_ZLEN;
}

const struct wire_kind wire_kinds[WIRE_KINDS] = {
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
size_t
wire_build_ip(struct wire_frame *frame, const struct wire_kind *kind,
              size_t payload_bytes, bool partial)
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
        wire_store16(ip + 4, (unsigned)(l4 + l4_bytes - ETH_HLEN - 40));
        ip[6] = (uint8_t)(kind->options ? IPPROTO_DSTOPTS : proto);
        ip[7] = 64;
        memset(ip + 8, 0xFD, 32);
        if (kind->options)
            memcpy(ip + 40, (uint8_t[]){ (uint8_t)proto, 0, 1, 4 }, 4);
        sum = pseudo_sum(ip + 8, 32, proto, (unsigned)l4_bytes);
    } else {
        ip[0] = 0x45;
        wire_store16(ip + 2, (unsigned)(20 + l4_bytes));
        ip[8] = 64;
        ip[9] = (uint8_t)proto;
        memcpy(ip + 12, (uint8_t[]){ 10, 1, 2, 3, 10, 9, 8, 7 }, 8);
        wire_store16(ip + 10, naive_csum(ip, 20));
        sum = pseudo_sum(ip + 12, 8, proto, (unsigned)l4_bytes);
    }
    wire_store16(frame->bytes + l4, 1234);
    wire_store16(frame->bytes + l4 + 2, WIRE_UDP_PORT);
    if (kind->tcp)
        frame->bytes[l4 + 12] = 0x50;
    else
        wire_store16(frame->bytes + l4 + 4, (unsigned)l4_bytes);
    for (size_t i = 0; i < payload_bytes; i++)
        frame->bytes[l4 + l4_bytes - payload_bytes + i] = (uint8_t)(i * 7);
    frame->length = l4 + l4_bytes;
    wire_store16(frame->bytes + at, sum);
    if (!partial)
        wire_store16(frame->bytes + at,
                     naive_csum(frame->bytes + l4, l4_bytes));
    if (partial) {
        frame->vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        frame->vnet.csum_start = (uint16_t)l4;
        frame->vnet.csum_offset = (uint16_t)(at - l4);
    }
    return l4;
}
