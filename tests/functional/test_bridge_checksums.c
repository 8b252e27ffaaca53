/* What the bridge device does about transport checksums that a virtual sender
 * has left to others. */
#include "tests/functional/bridge_fixture.h"

#include "tests/lib/naive_csum.h"

/* The transport checksum of what was heard is right, or left to others as it
 * was. */
static void
check_heard(const struct wire_frame *heard, const struct wire_frame *sent,
            bool complete)
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
    struct nsp_io_config cfg = wire_begin();

    wire_bridge.complete_checksums = complete;
    wire_open(&cfg);
    for (size_t k = 0; k < NSP_BURST_MAX; k++) {
        const struct wire_kind *kind = &wire_kinds[k % 4];
        struct wire_frame sent, heard;
        struct nsp_pkt *pkt;

        wire_build_ip(&sent, kind, k * 9, true);
        wire_put(0, &sent);
        wire_receive(&pkt, 1);
        if (pkt->csum != NSP_CSUM_PARTIAL)
            fail_msg("%s: checksum state %u", kind->name, pkt->csum);
        CHECK_EQ(wire_send_all(&pkt, 1), 0);
        wire_hear(1, &heard);
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
    struct nsp_io_config cfg = wire_begin();

    wire_open(&cfg);
    for (size_t k = 0; k < 4; k++) {
        struct wire_frame sent, heard;
        struct nsp_pkt *pkt;

        wire_build_ip(&sent, &wire_kinds[k], 100 + k, false);
        wire_put(1, &sent);
        wire_receive(&pkt, 1);
        CHECK_EQ(pkt->csum, NSP_CSUM_UNKNOWN);
        CHECK_EQ(wire_send_all(&pkt, 1), 0);
        wire_hear(0, &heard);
        CHECK_EQ(heard.vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, 0);
        CHECK_EQ(heard.length, sent.length);
        CHECK_MEM_EQ(heard.bytes, sent.bytes, sent.length);
    }
}

TEST(bridge_sends_what_was_edited)
{
    for (int complete = 0; complete < 2; complete++) {
        struct nsp_io_config cfg = wire_begin();

        wire_bridge.complete_checksums = complete;
        wire_open(&cfg);
        for (size_t k = 0; k < 4; k++) {
            static const uint8_t to[16] = { 10, 77, 66, 55, 1, 2, 3 };
            struct wire_frame sent, heard;
            struct nsp_pkt *pkt;

            wire_build_ip(&sent, &wire_kinds[k], 33, true);
            wire_put(0, &sent);
            wire_receive(&pkt, 1);
            nsp_pkt_parse(pkt);
            CHECK_EQ(nsp_pkt_set_ip_dst(pkt, to, wire_kinds[k].ipv6 ? 16 : 4),
                     0);
            CHECK_EQ(nsp_pkt_set_dst_port(pkt, 99), 0);
            CHECK_EQ(nsp_pkt_set_ttl(pkt, 9), 0);
            CHECK_EQ(wire_send_all(&pkt, 1), 0);
            wire_hear(1, &heard);
            check_heard(&heard, &sent, complete);
            /* As a device would complete it. */
            if (!complete) {
                uint8_t *l4 = heard.bytes + heard.vnet.csum_start;

                wire_store16(
                    l4 + heard.vnet.csum_offset,
                    naive_csum(l4, heard.length - heard.vnet.csum_start));
                heard.vnet.flags = 0;
                check_heard(&heard, &sent, true);
            }
        }
        wire_end_test(NULL);
    }
}

int
main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        BRIDGE_TEST(bridge_hands_on_what_is_left_of_checksums),
        BRIDGE_TEST(bridge_completes_checksums_when_told_to),
        BRIDGE_TEST(bridge_leaves_complete_checksums_alone),
        BRIDGE_TEST(bridge_sends_what_was_edited),
    };

    return WIRE_RUN(argc, argv, tests);
}
