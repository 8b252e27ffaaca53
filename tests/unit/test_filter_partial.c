#include "filter/partial.h"

#include "base/prng.h"
#include "tests/lib/filter.h"
#include "tests/lib/flow_packet.h"
#include "tests/lib/random_expression.h"

static const struct nsp_filter_context context = {
    .random_seed = 4,
    .timestamp = NAIVE_TIMESTAMP,
};

static const struct packet_words tcp_words = {
    .proto = NSP_PROTO_TCP,
    .src = 1,
    .dst = 2,
    .src_port = 80,
    .dst_port = 80,
    .tcp_flags = NSP_TCP_ACK,
};
static const struct packet_words udp_words = {
    .ipv6 = true,
    .proto = NSP_PROTO_UDP,
    .src = 1,
    .dst = 2,
    .src_port = 5000,
    .dst_port = 53,
};

static const struct {
    const char *text;
    enum nsp_truth tcp, udp;
} told[] = {
    { "true", NSP_TRUE, NSP_TRUE },
    { "tcp", NSP_TRUE, NSP_FALSE },
    { "tcp.DstPort == 80", NSP_TRUE, NSP_FALSE },
    { "udp.SrcPort in {1..4999, 5001}", NSP_FALSE, NSP_FALSE },
    { "tcp.SrcPort == tcp.DstPort", NSP_TRUE, NSP_FALSE },
    { "udp.SrcPort & 0xff == 0x88", NSP_FALSE, NSP_TRUE },
    { "ip.SrcAddr == 10.0.0.1", NSP_TRUE, NSP_FALSE },
    { "ipv6.DstAddr == fd00::2", NSP_FALSE, NSP_TRUE },
    { "ip.Protocol == TCP", NSP_TRUE, NSP_FALSE },
    { "protocol == UDP", NSP_FALSE, NSP_TRUE },
    { "remoteAddr == 10.0.0.2 or remoteAddr == fd00::2", NSP_TRUE, NSP_TRUE },
    { "outbound and localPort == 80", NSP_TRUE, NSP_FALSE },
    { "ifIdx == 4", NSP_TRUE, NSP_TRUE },
    { "uid == 1000 and not loopback and not fragment", NSP_TRUE, NSP_TRUE },
    /* What a packet decides. */
    { "tcp.Syn", NSP_UNKNOWN, NSP_FALSE },
    { "not (tcp.Syn)", NSP_UNKNOWN, NSP_TRUE },
    { "tcp.Flags & 2 == 2", NSP_UNKNOWN, NSP_FALSE },
    { "ip.TTL < 3", NSP_UNKNOWN, NSP_FALSE },
    { "ip.HdrLength == 5", NSP_UNKNOWN, NSP_FALSE },
    { "length > 20", NSP_UNKNOWN, NSP_UNKNOWN },
    { "tcp.DstPort == length", NSP_UNKNOWN, NSP_FALSE },
    { "mark == 0", NSP_UNKNOWN, NSP_UNKNOWN },
    { "random8 < 3", NSP_UNKNOWN, NSP_UNKNOWN },
    { "timestamp < 3", NSP_UNKNOWN, NSP_UNKNOWN },
    { "flow.Packets < 3", NSP_UNKNOWN, NSP_UNKNOWN },
    { "udp.Payload[0] == 1", NSP_FALSE, NSP_UNKNOWN },
    /* Both. */
    { "tcp and length > 20", NSP_UNKNOWN, NSP_FALSE },
    { "length > 20 and tcp", NSP_UNKNOWN, NSP_FALSE },
    { "length > 20 or tcp", NSP_TRUE, NSP_UNKNOWN },
    { "tcp or length > 20", NSP_TRUE, NSP_UNKNOWN },
    { "(length > 20? tcp: ip)", NSP_TRUE, NSP_FALSE },
    { "(tcp? length > 20: udp)", NSP_UNKNOWN, NSP_TRUE },
};

TEST(partial_tells_what_the_flow_decides)
{
    for (size_t i = 0; i < NSP_ARRAY_LEN(told); i++) {
        struct nsp_filter *filter = compile(told[i].text, NSP_LAYER_NETWORK);
        struct flow_packet packets[2];
        enum nsp_truth found[2];

        make_flow_packet(&packets[0], &tcp_words);
        make_flow_packet(&packets[1], &udp_words);
        for (int k = 0; k < 2; k++) {
            packets[k].pkt.direction = NSP_OUTBOUND;
            packets[k].pkt.out_ifindex = 4;
            packets[k].pkt.uid = 1000;
            found[k] = nsp_filter_match_flow(filter, &packets[k].pkt);
        }
        if (found[0] != told[i].tcp || found[1] != told[i].udp)
            fail_msg("%s: %d and %d", told[i].text, found[0], found[1]);
        nsp_filter_destroy(filter);
    }
}

TEST(partial_finds_the_test_that_is_left)
{
    static const struct {
        const char *text;
        bool is_left;
    } rows[] = {
        { "length > 20", true },
        { "not (length > 20)", true },
        { "tcp.DstPort == 80 and ip.TTL == 3", true },
        { "tcp.DstPort == 80 and tcp.Flags & 2 == 2", true },
        { "udp or not tcp.Syn", true },
        { "(tcp? length > 20: length > 40)", true },
        { "random8 < 3 and tcp", true },
        { "tcp.Payload[0] == 1", true },
        { "not (tcp.Payload[0] == 1)", true },
        /* Told without, told by several, and by what takes a table. */
        { "tcp", false },
        { "udp and length > 20", false },
        { "length > 20 or tcp", false },
        { "length > 20 and ip.TTL == 3", false },
        { "length > 20 or ip.TTL == 3", false },
        { "tcp.DstPort == length", false },
        { "ip.TTL in {1, 5, 9..12}", false },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        struct nsp_filter *filter = compile(rows[i].text, NSP_LAYER_NETWORK);
        struct flow_packet packet;
        struct nsp_insn left;

        make_flow_packet(&packet, &tcp_words);
        if (nsp_filter_flow_test(filter, &packet.pkt, &left) != rows[i].is_left)
            fail_msg("%s", rows[i].text);
        if (rows[i].is_left)
            CHECK_EQ(nsp_eval_test(&left, &packet.pkt, &context),
                     nsp_filter_match(filter, &packet.pkt, &context));
        nsp_filter_destroy(filter);
    }
}

/* --- Random filters ---------------------------------------------------------
 */

/* Another packet of the flow of 'words': all else is random. */
static void
make_variant(struct flow_packet *ret, struct packet_words words,
             const struct nsp_pkt *place, struct nsp_prng *prng)
{
    uint64_t r = nsp_prng_next(prng);
    struct nsp_pkt *pkt;

    words.tcp_flags = (uint8_t)r;
    words.seq = (uint32_t)(r >> 8 & 3);
    words.ack = (uint32_t)(r >> 32);
    pkt = make_flow_packet(ret, &words);
    pkt->data[words.ipv6 ? 7 : 8] = (uint8_t)(r >> 10 & 7);
    if (!words.ipv6) {
        pkt->data[1] = (uint8_t)(r >> 16);
        pkt->data[5] = (uint8_t)(r >> 24);
    }
    /* Window, checksums, lengths: all but the ports. */
    for (uint32_t at = pkt->l4_off + 4u; at < pkt->cap_bytes; at++) {
        if (words.proto != NSP_PROTO_TCP || at > pkt->l4_off + 13u)
            pkt->data[at] = (uint8_t)(nsp_prng_next(prng) & 3);
    }
    pkt->wire_bytes += r >> 40 & 63;
    if (words.ipv6)
        nsp_store_be16(pkt->data + 4, (uint16_t)(pkt->wire_bytes - 40));
    else
        nsp_store_be16(pkt->data + 2, (uint16_t)pkt->wire_bytes);
    pkt->mark = r >> 50 & 3;
    pkt->arrival_ns = nsp_prng_next(prng);
    pkt->direction = place->direction;
    pkt->flags = place->flags & NSP_PKT_LOOPBACK;
    pkt->in_ifindex = place->in_ifindex;
    pkt->out_ifindex = place->out_ifindex;
    pkt->uid = place->uid;
    nsp_pkt_parse(pkt);
    pkt->flow = random_flow_view(prng, pkt);
}

TEST(partial_holds_for_other_packets_of_the_flow)
{
    enum { FILTERS = 20000, VARIANTS = 20 };
    static const uint8_t protos[] = { NSP_PROTO_TCP, NSP_PROTO_UDP, 47 };
    static char text[16384];
    unsigned counts[3] = { 0 }, counts_left = 0;
    struct nsp_prng prng;

    nsp_prng_init(&prng, 8, 0);
    for (int f = 0; f < FILTERS; f++) {
        uint64_t r = nsp_prng_next(&prng);
        struct packet_words words = {
            .ipv6 = r & 1,
            .proto = protos[(r >> 1) % NSP_ARRAY_LEN(protos)],
            .src = r >> 8 & 3,
            .dst = r >> 10 & 3,
            .src_port = r >> 12 & 3,
            .dst_port = r >> 14 & 3,
        };
        struct nsp_pkt place = {
            .direction = (uint8_t)((r >> 16) % 3),
            .flags = (r >> 20 & 1) != 0 ? NSP_PKT_LOOPBACK : 0,
            .in_ifindex = 3,
            .out_ifindex = 4,
            .uid = (r >> 21 & 1) != 0 ? UINT32_MAX : 2,
        };
        struct flow_packet packets[2];
        struct nsp_pkt *pkts[] = { &packets[0].pkt, &packets[1].pkt };
        struct naive_filter naive;
        struct nsp_filter *filter;
        struct nsp_insn left;
        enum nsp_truth truth;
        bool is_left;

        for (int i = 0; i < 2; i++)
            make_variant(&packets[i], words, &place, &prng);
        random_expression(&prng, pkts, 2, &naive);
        naive_write(&naive, &prng, text, sizeof text);
        filter = compile(text, NSP_LAYER_NETWORK);
        truth = nsp_filter_match_flow(filter, pkts[0]);
        counts[truth]++;
        is_left = nsp_filter_flow_test(filter, pkts[0], &left);
        counts_left += is_left;
        CHECK(truth == NSP_UNKNOWN || !is_left);
        for (int v = 0; v < VARIANTS; v++) {
            bool matches;

            make_variant(&packets[1], words, &place, &prng);
            matches = nsp_filter_match(filter, pkts[1], &context);
            if (truth != NSP_UNKNOWN && matches != (truth == NSP_TRUE))
                fail_msg("not %d: %s", truth, text);
            if (is_left && nsp_eval_test(&left, pkts[1], &context) != matches)
                fail_msg("not left: %s", text);
        }
        nsp_filter_destroy(filter);
    }
    CHECK(counts[NSP_FALSE] > 1000 && counts[NSP_TRUE] > 1000 &&
          counts[NSP_UNKNOWN] > 1000 && counts_left > 500);
}

TEST_MAIN(cmocka_unit_test(partial_tells_what_the_flow_decides),
          cmocka_unit_test(partial_finds_the_test_that_is_left),
          cmocka_unit_test(partial_holds_for_other_packets_of_the_flow))
