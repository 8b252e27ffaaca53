#define _GNU_SOURCE
/* The bridge device where it takes frames in the stack: what it has for itself
 * there, and how it comes to it. */
#include "tests/functional/bridge_fixture.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <string.h>
#include <sys/socket.h>

#include "netshaper/filter.h"

#define SEGMENT_BYTES 1000u
#define PAYLOAD_BYTES (5 * SEGMENT_BYTES)
#define TAG_BYTES     4u

/* --- A kernel without AF_XDP ---------------------------------------------- */

static bool is_without_xdp;

int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);

int
__wrap_socket(int domain, int type, int protocol)
{
    if (is_without_xdp && domain == AF_XDP) {
        errno = EAFNOSUPPORT;
        return -1;
    }
    return __real_socket(domain, type, protocol);
}

static int
end_stack_test(void **state)
{
    is_without_xdp = false;
    return wire_end_test(state);
}
#define STACK_TEST(name) cmocka_unit_test_teardown(name, end_stack_test)

static struct nsp_io_config
begin_in_stack(void)
{
    struct nsp_io_config cfg = wire_begin();

    wire_bridge.attach = NSP_BRIDGE_ATTACH_STACK;
    return cfg;
}

/* Sends a packet through, and requires that it comes out as it went in. */
static void
check_crosses(int from, const struct wire_frame *sent)
{
    struct wire_frame heard;
    struct nsp_pkt *pkt;

    wire_put(from, sent);
    wire_receive(&pkt, 1);
    CHECK_EQ(pkt->cap_bytes, sent->length);
    CHECK_MEM_EQ(pkt->data, sent->bytes, sent->length);
    CHECK_EQ(wire_send_all(&pkt, 1), 0);
    wire_hear(!from, &heard);
    CHECK_EQ(heard.length, sent->length);
    CHECK_MEM_EQ(heard.bytes, sent->bytes, sent->length);
    CHECK_EQ(heard.vnet.gso_type, sent->vnet.gso_type);
    CHECK_EQ(heard.vnet.gso_size, sent->vnet.gso_size);
    CHECK_EQ(heard.vnet.csum_start, sent->vnet.csum_start);
}

/* --- Superpackets --------------------------------------------------------- */

/* Of TCP; returns where its payload begins. */
static size_t
build_superpacket(struct wire_frame *frame, const struct wire_kind *kind,
                  size_t payload_bytes)
{
    size_t l4 = wire_build_ip(frame, kind, payload_bytes, true);

    frame->bytes[l4 + 13] = 0x10; /* ACK */
    frame->vnet.gso_type =
        kind->ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
    frame->vnet.gso_size = SEGMENT_BYTES;
    frame->vnet.hdr_len = (uint16_t)(l4 + 20);
    return l4 + 20;
}

TEST(superpackets_cross_whole)
{
    struct nsp_io_config cfg = begin_in_stack();

    cfg.superpackets = true;
    wire_open(&cfg);
    for (int i = 0; i < 4; i++) {
        struct wire_frame frame;

        build_superpacket(&frame, &wire_kinds[i % 2 == 0 ? 0 : 2],
                          PAYLOAD_BYTES);
        check_crosses(i / 2, &frame);
        wire_build_plain(&frame, 3);
        check_crosses(i / 2, &frame);
    }
}

static void
check_split(void)
{
    struct nsp_pkt *pkts[PAYLOAD_BYTES / SEGMENT_BYTES];
    struct wire_frame frame;
    size_t payload_at =
        build_superpacket(&frame, &wire_kinds[0], PAYLOAD_BYTES);

    wire_put(0, &frame);
    wire_receive(pkts, PAYLOAD_BYTES / SEGMENT_BYTES);
    for (uint32_t i = 0; i < PAYLOAD_BYTES / SEGMENT_BYTES; i++) {
        CHECK_EQ(pkts[i]->flags & NSP_PKT_SUPERPACKET, 0);
        CHECK_EQ(pkts[i]->cap_bytes, payload_at + SEGMENT_BYTES);
        CHECK_MEM_EQ(pkts[i]->data + payload_at,
                     frame.bytes + payload_at + i * SEGMENT_BYTES,
                     SEGMENT_BYTES);
    }
    CHECK_EQ(wire_send_all(pkts, PAYLOAD_BYTES / SEGMENT_BYTES), 0);
    for (uint32_t i = 0; i < PAYLOAD_BYTES / SEGMENT_BYTES; i++)
        wire_hear(1, &frame);
}

TEST(superpackets_come_in_segments_where_they_are_not_welcome)
{
    struct nsp_io_config cfg = begin_in_stack();
    struct wire_frame frame;

    wire_open(&cfg);
    check_split();
    CHECK_EQ(nsp_bridge_ops.adjust(wire_device, 0, true), 0);
    build_superpacket(&frame, &wire_kinds[0], PAYLOAD_BYTES);
    check_crosses(0, &frame);
    CHECK_EQ(nsp_bridge_ops.adjust(wire_device, 0, false), 0);
    check_split();
}

/* Segments would be cut by what the kernel knows of the old bytes. It would
 * take this one for a single packet, as short as it is. */
TEST(superpackets_that_were_edited_are_refused)
{
    const size_t payload_bytes = 1000;
    struct nsp_io_config cfg = begin_in_stack();
    struct wire_frame frame;
    struct nsp_pkt *pkt;

    cfg.superpackets = true;
    wire_open(&cfg);
    build_superpacket(&frame, &wire_kinds[0], payload_bytes);
    frame.vnet.gso_size = payload_bytes / 2;
    wire_put(0, &frame);
    wire_receive(&pkt, 1);
    CHECK(pkt->flags & NSP_PKT_SUPERPACKET);
    pkt->flags |= NSP_PKT_MODIFIED;
    CHECK_EQ(wire_send_all(&pkt, 1), 1);
    wire_hear_nothing(1);
}

/* --- Tags ----------------------------------------------------------------- */

static void
add_tag(struct wire_frame *frame)
{
    uint8_t *at = frame->bytes + 2 * ETH_ALEN;

    memmove(at + TAG_BYTES, at, frame->length - 2 * ETH_ALEN);
    wire_store16(at, ETH_P_8021Q);
    wire_store16(at + 2, 0x602A);
    frame->length += TAG_BYTES;
    frame->vnet.csum_start = (uint16_t)(frame->vnet.csum_start + TAG_BYTES);
}

/* The socket at the end is told of the tag beside the frame. */
TEST(tags_are_in_the_frame_and_checksums_behind_them)
{
    struct nsp_io_config cfg = begin_in_stack();

    wire_open(&cfg);
    for (uint32_t i = 0; i < WIRE_KINDS; i++) {
        struct wire_frame bare, tagged, heard;
        struct nsp_pkt *pkt;

        wire_build_ip(&bare, &wire_kinds[i], 100, true);
        tagged = bare;
        add_tag(&tagged);
        wire_put(0, &tagged);
        wire_receive(&pkt, 1);
        CHECK_EQ(pkt->cap_bytes, tagged.length);
        CHECK_MEM_EQ(pkt->data, tagged.bytes, tagged.length);
        CHECK_EQ(pkt->csum, NSP_CSUM_PARTIAL);
        CHECK_EQ(wire_send_all(&pkt, 1), 0);
        wire_hear(1, &heard);
        CHECK_EQ(heard.length, bare.length);
        CHECK_MEM_EQ(heard.bytes, bare.bytes, bare.length);
        CHECK_EQ(heard.vnet.csum_start, bare.vnet.csum_start);
    }
}

/* A filter of the kernel's would not see the tag. */
TEST(tagged_frames_come_whatever_the_filter_is)
{
    struct nsp_filter *udp = NULL;
    struct nsp_io_config cfg = begin_in_stack();
    struct wire_frame frame, heard;
    struct nsp_pkt *pkt;

    CHECK_EQ(nsp_filter_compile("udp", NSP_LAYER_NETWORK, NULL, &udp, NULL),
             NSP_OK);
    cfg.filter = udp;
    wire_open(&cfg);
    wire_build_ip(&frame, &wire_kinds[0], 10, false);
    wire_put(0, &frame);
    wire_hear(1, &heard); /* In the kernel. */
    CHECK_MEM_EQ(heard.bytes, frame.bytes, frame.length);
    add_tag(&frame);
    wire_put(0, &frame);
    wire_receive(&pkt, 1);
    CHECK_MEM_EQ(pkt->data, frame.bytes, frame.length);
    CHECK_EQ(wire_send_all(&pkt, 1), 0);
    wire_hear(1, &heard);
    nsp_filter_destroy(udp);
}

/* --- Workers -------------------------------------------------------------- */

/* Waits for a packet of ours at any worker; returns which. */
static uint32_t
receive_at_any(uint32_t workers)
{
    const uint64_t end_ns =
        wire_now_ns() + FIXTURE_PATIENCE_S * UINT64_C(1000000000);

    for (uint32_t queue = 0;; queue = (queue + 1) % workers) {
        struct nsp_pkt *pkt;
        bool ours;

        CHECK(wire_now_ns() < end_ns);
        if (nsp_bridge_ops.rx_burst(wire_device, queue, wire_now_ns(), &pkt,
                                    1) == 0)
            continue;
        ours = pkt->data[6] == 0x02 && pkt->data[7] == 0x0B;
        nsp_bridge_ops.drop_burst(wire_device, queue, &pkt, 1);
        if (ours)
            return queue;
    }
}

/* The packet of 'frame' that goes the opposite way. */
static void
turn_round(struct wire_frame *frame, size_t l4)
{
    uint8_t *bytes = frame->bytes, kept[4];

    memcpy(kept, bytes + ETH_HLEN + 12, 4);
    memcpy(bytes + ETH_HLEN + 12, bytes + ETH_HLEN + 16, 4);
    memcpy(bytes + ETH_HLEN + 16, kept, 4);
    memcpy(kept, bytes + l4, 2);
    memcpy(bytes + l4, bytes + l4 + 2, 2);
    memcpy(bytes + l4 + 2, kept, 2);
}

TEST(both_ways_of_a_connection_have_one_worker)
{
    struct nsp_io_config cfg = begin_in_stack();
    uint32_t seen[2] = { 0 };

    cfg.queues = 2;
    wire_open(&cfg);
    for (unsigned flow = 0; flow < 40; flow++) {
        struct wire_frame frame;
        size_t l4 = wire_build_ip(&frame, &wire_kinds[1], 20, false);
        uint32_t there, back;

        wire_store16(frame.bytes + l4, 2000 + flow);
        wire_put(0, &frame);
        there = receive_at_any(2);
        wire_put(0, &frame);
        CHECK_EQ(receive_at_any(2), there);
        turn_round(&frame, l4);
        wire_put(1, &frame);
        back = receive_at_any(2);
        CHECK_EQ(there, back);
        seen[there]++;
    }
    CHECK(seen[0] > 0 && seen[1] > 0);
}

/* --- Coming to it --------------------------------------------------------- */

TEST(takes_frames_in_the_stack_where_the_kernel_has_no_xdp_sockets)
{
    struct nsp_io_config cfg = wire_begin();
    struct wire_frame frame;
    struct nsp_diag diag;

    is_without_xdp = true;
    wire_bridge.attach = NSP_BRIDGE_ATTACH_AUTO;
    wire_open(&cfg);
    wire_build_ip(&frame, &wire_kinds[0], 500, true);
    check_crosses(0, &frame);
    check_crosses(1, &frame);
    nsp_bridge_ops.close(wire_device);
    wire_device = NULL;
    wire_bridge.attach = NSP_BRIDGE_ATTACH_DRIVER;
    CHECK_EQ(nsp_bridge_ops.open(&cfg, &wire_device, &diag), NSP_NOT_POSSIBLE);
    CHECK_STR_EQ(diag.category, "kernel-feature");
}

static void
note_state(void *context, const struct nsp_probe_item *item)
{
    uint8_t *worst = context;

    if (item->state > *worst)
        *worst = item->state;
}

TEST(says_that_the_stack_will_do_where_the_kernel_has_no_xdp_sockets)
{
    struct nsp_io_config cfg = begin_in_stack();
    uint8_t worst = NSP_PROBE_OK;

    wire_open(&cfg); /* To be skipped where it must. */
    is_without_xdp = true;
    nsp_bridge_ops.probe(note_state, &worst);
    CHECK_EQ(worst, NSP_PROBE_DEGRADED);
}

/* Whichever way it would take frames. */
TEST(refuses_interfaces_that_another_engine_has)
{
    static const uint8_t ways[] = { NSP_BRIDGE_ATTACH_AUTO,
                                    NSP_BRIDGE_ATTACH_STACK };
    struct nsp_io_config cfg = begin_in_stack();
    struct wire_frame frame;

    wire_open(&cfg);
    for (size_t i = 0; i < 2; i++) {
        struct nsp_io *other = NULL;
        struct nsp_diag diag;

        wire_bridge.attach = ways[i];
        CHECK_EQ(nsp_bridge_ops.open(&cfg, &other, &diag), NSP_OPEN_FAILED);
        CHECK_STR_EQ(diag.category, "interface-taken");
    }
    wire_build_plain(&frame, 1);
    check_crosses(0, &frame);
    nsp_bridge_ops.close(wire_device);
    wire_device = NULL;
    wire_open(&cfg);
    check_crosses(1, &frame);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        STACK_TEST(superpackets_cross_whole),
        STACK_TEST(superpackets_come_in_segments_where_they_are_not_welcome),
        STACK_TEST(superpackets_that_were_edited_are_refused),
        STACK_TEST(tags_are_in_the_frame_and_checksums_behind_them),
        STACK_TEST(tagged_frames_come_whatever_the_filter_is),
        STACK_TEST(both_ways_of_a_connection_have_one_worker),
        STACK_TEST(
            takes_frames_in_the_stack_where_the_kernel_has_no_xdp_sockets),
        STACK_TEST(
            says_that_the_stack_will_do_where_the_kernel_has_no_xdp_sockets),
        STACK_TEST(refuses_interfaces_that_another_engine_has),
    };

    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
