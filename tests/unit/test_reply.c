#include "packet/reply.h"

#include <stdlib.h>
#include <string.h>

#include "packet/proto.h"
#include "tests/lib/hex.h"
#include "tests/lib/test.h"

/* Builds the answer to a packet of which 'held' bytes are held (0: all), and
 * parses it; its checksums must be right. Returns its length. */
static uint32_t
answer(const char *hex, enum nsp_link link, uint32_t held, uint8_t *reply,
       struct nsp_pkt *ret)
{
    uint8_t bytes[4096];
    uint32_t n = (uint32_t)hex_bytes(hex, bytes, sizeof bytes);
    struct nsp_pkt pkt = { .data = bytes,
                           .link = (uint8_t)link,
                           .cap_bytes = held != 0 ? held : n,
                           .wire_bytes = n };
    uint32_t reply_bytes;

    nsp_pkt_parse(&pkt);
    reply_bytes = nsp_reply_build(&pkt, reply);
    *ret = (struct nsp_pkt){ .data = reply,
                             .cap_bytes = reply_bytes,
                             .wire_bytes = reply_bytes };
    if (reply_bytes > 0) {
        nsp_pkt_parse(ret);
        CHECK_EQ(ret->ip_bytes, reply_bytes);
        CHECK_EQ(ret->flags, 0);
        CHECK(nsp_pkt_checksums_ok(ret));
    }
    return reply_bytes;
}

/* Ports 5000 -> 80, SEG.SEQ and SEG.ACK as given. */
#define SEGMENT(seq, ack, flags) "1388 0050" seq ack "50" flags "FFFF00000000"

/* RFC 9293, section 3.10.7.1: "If the ACK bit is off, sequence number zero is
 * used, <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>. If the ACK bit is on,
 * <SEQ=SEG.ACK><CTL=RST>". SYN and FIN count one each in SEG.LEN. */
TEST(rst_has_the_numbers_of_the_rfc)
{
    static const struct {
        const char *hex;
        uint32_t seq, ack;
        uint8_t flags;
    } rows[] = {
        { IPV4("0028", "0000", "06") SEGMENT("00000064", "00000000", "02"), 0,
          101, NSP_TCP_RST | NSP_TCP_ACK },
        { IPV4("0028", "0000", "06") SEGMENT("FFFFFFFF", "00000000", "02"), 0,
          0, NSP_TCP_RST | NSP_TCP_ACK },
        { IPV4("002B", "0000", "06")
              SEGMENT("00000064", "00000000", "03") "616263",
          0, 105, NSP_TCP_RST | NSP_TCP_ACK },
        { IPV4("002B", "0000", "06")
              SEGMENT("00000064", "000003E8", "18") "616263",
          1000, 0, NSP_TCP_RST },
        { IPV4("0028", "0000", "06") SEGMENT("00000064", "000003E8", "12"),
          1000, 0, NSP_TCP_RST },
        /* Without any flag. */
        { IPV4("0028", "0000", "06") SEGMENT("00000064", "000003E8", "00"), 0,
          100, NSP_TCP_RST | NSP_TCP_ACK },
    };
    uint8_t reply[NSP_REPLY_BYTES_MAX];
    struct nsp_pkt rst;

    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        CHECK_EQ(answer(rows[i].hex, NSP_LINK_RAW, 0, reply, &rst), 40);
        CHECK_EQ(rst.l4, NSP_L4_TCP);
        CHECK_EQ(nsp_load_be32(reply + 12), 0xC0000202);
        CHECK_EQ(nsp_load_be32(reply + 16), 0xC0000201);
        CHECK_EQ(nsp_load_be16(reply + 20), 80);
        CHECK_EQ(nsp_load_be16(reply + 22), 5000);
        CHECK_EQ(nsp_load_be32(reply + 24), rows[i].seq);
        CHECK_EQ(nsp_load_be32(reply + 28), rows[i].ack);
        CHECK_EQ(reply[33], rows[i].flags);
        CHECK_EQ(nsp_load_be16(reply + 34), 0); /* Window. */
    }
}

TEST(rst_goes_over_ipv6_and_counts_bytes_not_held)
{
    uint8_t reply[NSP_REPLY_BYTES_MAX];
    struct nsp_pkt rst;

    CHECK_EQ(answer(IPV6("0018", "06")
                        SEGMENT("00000064", "00000000", "02") "61626364",
                    NSP_LINK_RAW, 61, reply, &rst),
             60);
    CHECK_EQ(rst.l3, NSP_L3_IPV6);
    CHECK_EQ(reply[23], 2); /* Last bytes of the addresses, swapped. */
    CHECK_EQ(reply[39], 1);
    CHECK_EQ(nsp_load_be32(reply + 48), 105);
}

TEST(icmp_port_unreachable_quotes_the_packet)
{
    static const char hex[] = IPV4("0020", "0000", "11") UDP("000C") "01020304";
    uint8_t reply[NSP_REPLY_BYTES_MAX], quoted[64];
    struct nsp_pkt icmp;

    hex_bytes(hex, quoted, sizeof quoted);
    CHECK_EQ(answer(hex, NSP_LINK_RAW, 0, reply, &icmp), 28 + 32);
    CHECK_EQ(icmp.l4, NSP_L4_ICMP);
    CHECK_EQ(nsp_load_be32(reply + 16), 0xC0000201);
    CHECK_EQ(reply[20], 3);
    CHECK_EQ(reply[21], 3);
    CHECK_EQ(nsp_load_be32(reply + 24), 0); /* Unused. */
    CHECK_MEM_EQ(reply + 28, quoted, 32);

    /* Header-only: what is held; behind a link: from the IP header on, and no
     * padding. */
    CHECK_EQ(answer(hex, NSP_LINK_RAW, 28, reply, &icmp), 28 + 28);
    CHECK_EQ(answer(hex, NSP_LINK_RAW, 22, reply, &icmp), 0);
    CHECK_EQ(answer(ETHER("0800") IPV4("0020", "0000", "11")
                        UDP("000C") "01020304 0000",
                    NSP_LINK_ETHERNET, 0, reply, &icmp),
             28 + 32);
    CHECK_MEM_EQ(reply + 28, quoted, 32);
}

TEST(icmpv6_port_unreachable_quotes_the_packet)
{
    static const char hex[] = IPV6("000C", "11") UDP("000C") "01020304";
    uint8_t reply[NSP_REPLY_BYTES_MAX], quoted[64];
    struct nsp_pkt icmp;

    hex_bytes(hex, quoted, sizeof quoted);
    CHECK_EQ(answer(hex, NSP_LINK_RAW, 0, reply, &icmp), 48 + 52);
    CHECK_EQ(icmp.l4, NSP_L4_ICMPV6);
    CHECK_EQ(reply[40], 1);
    CHECK_EQ(reply[41], 4);
    CHECK_EQ(nsp_load_be32(reply + 44), 0);
    CHECK_MEM_EQ(reply + 48, quoted, 52);
}

/* As much as fits in 576 bytes over IPv4, in 1280 over IPv6. */
TEST(unreachable_is_never_too_long)
{
    static uint8_t bytes[3000];
    static const struct {
        const char *header;
        uint32_t reply_bytes;
    } rows[] = {
        { IPV4("0BB8", "0000", "11") UDP("0BA4"), 576 },
        { IPV6("0B90", "11") UDP("0B90"), NSP_REPLY_BYTES_MAX },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        uint8_t *reply = malloc(rows[i].reply_bytes);
        struct nsp_pkt pkt = { .data = bytes,
                               .cap_bytes = sizeof bytes,
                               .wire_bytes = sizeof bytes };

        CHECK(reply != NULL);
        hex_bytes(rows[i].header, bytes, 128);
        nsp_pkt_parse(&pkt);
        CHECK_EQ(nsp_reply_build(&pkt, reply), rows[i].reply_bytes);
        free(reply);
    }
}

TEST(other_transports_get_unreachable)
{
    uint8_t reply[NSP_REPLY_BYTES_MAX];
    struct nsp_pkt icmp;

    /* Echo request over both, and GRE. */
    CHECK(answer(IPV4("001C", "0000", "01") ICMP("08"), 0, 0, reply, &icmp) >
          0);
    CHECK(answer(IPV6("0008", "3A") ICMP("80"), 0, 0, reply, &icmp) > 0);
    CHECK(answer(IPV4("0018", "0000", "2F") "00000800", 0, 0, reply, &icmp) >
          0);
}

#define V4_ADDRESSES(src, dst) "4500 001C 0000 0000 4011 0000" src dst
#define V6_ADDRESSES(src, dst) "60000000 0008 11 40" src dst
#define V6_HOST                "20010DB8000000000000000000000001"
#define V6_ANY                 "00000000000000000000000000000000"
#define V6_MULTICAST           "FF020000000000000000000000000001"

static const struct {
    const char *hex;
    enum nsp_link link;
} unanswered[] = {
    /* No IP. */
    { "", NSP_LINK_RAW },
    { ETHER("0806") "0001080006040001"
                    "020000000001 C0000201"
                    "000000000000 C0000202",
      NSP_LINK_ETHERNET },
    /* A RST, with and without ACK. */
    { IPV4("0028", "0000", "06") TCP("50", "04"), NSP_LINK_RAW },
    { IPV6("0014", "06") TCP("50", "14"), NSP_LINK_RAW },
    /* TCP or ICMP cut short: may be either. */
    { IPV4("001C", "0000", "06") "1388005000000001", NSP_LINK_RAW },
    { IPV4("0018", "0000", "01") "08000000", NSP_LINK_RAW },
    /* ICMP errors and redirects. */
    { IPV4("001C", "0000", "01") ICMP("03"), NSP_LINK_RAW },
    { IPV4("001C", "0000", "01") ICMP("04"), NSP_LINK_RAW },
    { IPV4("001C", "0000", "01") ICMP("05"), NSP_LINK_RAW },
    { IPV4("001C", "0000", "01") ICMP("0B"), NSP_LINK_RAW },
    { IPV4("001C", "0000", "01") ICMP("0C"), NSP_LINK_RAW },
    { IPV6("0008", "3A") ICMP("01"), NSP_LINK_RAW },
    { IPV6("0008", "3A") ICMP("7F"), NSP_LINK_RAW },
    { IPV6("0008", "3A") ICMP("89"), NSP_LINK_RAW },
    /* Later fragments. */
    { IPV4("001C", "0001", "11") UDP("0008"), NSP_LINK_RAW },
    { IPV6("0010", "2C") "1100000800000001" UDP("0008"), NSP_LINK_RAW },
    /* Unspecified, multicast, broadcast, reserved. */
    { V4_ADDRESSES("00000000", "C0000202") UDP("0008"), NSP_LINK_RAW },
    { V4_ADDRESSES("C0000201", "00000000") UDP("0008"), NSP_LINK_RAW },
    { V4_ADDRESSES("C0000201", "E0000001") UDP("0008"), NSP_LINK_RAW },
    { V4_ADDRESSES("C0000201", "FFFFFFFF") UDP("0008"), NSP_LINK_RAW },
    { V4_ADDRESSES("EFFFFFFF", "C0000202") UDP("0008"), NSP_LINK_RAW },
    { V4_ADDRESSES("F0000001", "C0000202") UDP("0008"), NSP_LINK_RAW },
    { V6_ADDRESSES(V6_ANY, V6_HOST) UDP("0008"), NSP_LINK_RAW },
    { V6_ADDRESSES(V6_HOST, V6_ANY) UDP("0008"), NSP_LINK_RAW },
    { V6_ADDRESSES(V6_HOST, V6_MULTICAST) UDP("0008"), NSP_LINK_RAW },
    { V6_ADDRESSES(V6_MULTICAST, V6_HOST) UDP("0008"), NSP_LINK_RAW },
    /* To one host, by a frame to many: a directed broadcast. */
    { "FFFFFFFFFFFF 020000000001 0800" IPV4("001C", "0000", "11") UDP("0008"),
      NSP_LINK_ETHERNET },
    { "0001000100060200000000010000 0800" IPV4("001C", "0000", "11")
          UDP("0008"),
      NSP_LINK_SLL },
    { "0800 0000 00000002 0001 02 06 0200000000010000" IPV4("001C", "0000",
                                                            "11") UDP("0008"),
      NSP_LINK_SLL2 },
};

TEST(no_answer_where_none_may_be_sent)
{
    uint8_t reply[NSP_REPLY_BYTES_MAX];
    struct nsp_pkt parsed;

    for (size_t i = 0; i < NSP_ARRAY_LEN(unanswered); i++) {
        print_message("%s\n", unanswered[i].hex);
        CHECK_EQ(
            answer(unanswered[i].hex, unanswered[i].link, 0, reply, &parsed),
            0);
    }
    /* The same packets to one host are answered. */
    CHECK(answer(V4_ADDRESSES("C0000201", "C0000202") UDP("0008"), 0, 0, reply,
                 &parsed) > 0);
    CHECK(answer(V6_ADDRESSES(V6_HOST, V6_HOST) UDP("0008"), 0, 0, reply,
                 &parsed) > 0);
    CHECK(answer("0000000100060200000000010000 0800" IPV4("001C", "0000", "11")
                     UDP("0008"),
                 NSP_LINK_SLL, 0, reply, &parsed) > 0);
}

/* A RST to one end of a connection, which must have right checksums. */
static struct nsp_pkt
reset(const char *hex, enum nsp_reply_to to, bool delivered, uint8_t *rst)
{
    uint8_t bytes[256];
    uint32_t n = (uint32_t)hex_bytes(hex, bytes, sizeof bytes);
    struct nsp_pkt pkt = { .data = bytes, .cap_bytes = n, .wire_bytes = n };
    struct nsp_pkt built = { .data = rst };

    nsp_pkt_parse(&pkt);
    built.cap_bytes = nsp_reply_build_rst(&pkt, to, delivered, rst);
    built.wire_bytes = built.cap_bytes;
    if (built.cap_bytes > 0) {
        nsp_pkt_parse(&built);
        CHECK_EQ(built.l4, NSP_L4_TCP);
        CHECK_EQ(built.flags, 0);
        CHECK(nsp_pkt_checksums_ok(&built));
    }
    return built;
}

TEST(rst_to_the_receiver_continues_the_segment)
{
    static const struct {
        const char *hex;
        bool delivered;
        uint32_t seq, ack;
        uint8_t flags;
    } rows[] = {
        { IPV4("002B", "0000", "06")
              SEGMENT("00000064", "000003E8", "18") "616263",
          false, 100, 1000, NSP_TCP_RST | NSP_TCP_ACK },
        { IPV4("002B", "0000", "06")
              SEGMENT("00000064", "000003E8", "19") "616263",
          true, 104, 1000, NSP_TCP_RST | NSP_TCP_ACK },
        { IPV4("0028", "0000", "06") SEGMENT("FFFFFFFF", "00000000", "02"),
          true, 0, 0, NSP_TCP_RST },
        { IPV4("0028", "0000", "06") SEGMENT("00000007", "00000009", "12"),
          false, 7, 9, NSP_TCP_RST | NSP_TCP_ACK },
    };
    uint8_t rst[NSP_REPLY_BYTES_MAX];

    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        struct nsp_pkt pkt =
            reset(rows[i].hex, NSP_REPLY_TO_RECEIVER, rows[i].delivered, rst);

        CHECK_EQ(pkt.cap_bytes, 40);
        CHECK_EQ(nsp_load_be32(rst + 12), 0xC0000201);
        CHECK_EQ(nsp_load_be32(rst + 16), 0xC0000202);
        CHECK_EQ(nsp_load_be16(rst + 20), 5000);
        CHECK_EQ(nsp_load_be16(rst + 22), 80);
        CHECK_EQ(nsp_load_be32(rst + 24), rows[i].seq);
        CHECK_EQ(nsp_load_be32(rst + 28), rows[i].ack);
        CHECK_EQ(rst[33], rows[i].flags);
    }
}

TEST(rst_to_the_sender_is_that_of_a_rejection)
{
    static const char hex[] =
        IPV6("0018", "06") SEGMENT("00000064", "000003E8", "18") "61626364";
    uint8_t rst[NSP_REPLY_BYTES_MAX], reply[NSP_REPLY_BYTES_MAX];
    struct nsp_pkt rejection;

    CHECK_EQ(answer(hex, NSP_LINK_RAW, 0, reply, &rejection), 60);
    CHECK_EQ(reset(hex, NSP_REPLY_TO_SENDER, true, rst).cap_bytes, 60);
    CHECK_MEM_EQ(rst, reply, 60);
    CHECK_EQ(reset(hex, NSP_REPLY_TO_RECEIVER, true, rst).cap_bytes, 60);
    CHECK_EQ(rst[23], 1);
    CHECK_EQ(rst[39], 2);
}

TEST(rst_answers_no_rst_and_no_datagram)
{
    uint8_t rst[NSP_REPLY_BYTES_MAX];

    CHECK_EQ(reset(IPV4("0028", "0000", "06") TCP("50", "04"),
                   NSP_REPLY_TO_RECEIVER, false, rst)
                 .cap_bytes,
             0);
    CHECK_EQ(reset(IPV4("001C", "0000", "11") UDP("0008"), NSP_REPLY_TO_SENDER,
                   false, rst)
                 .cap_bytes,
             0);
}

/* The error to a packet larger than 'mtu'; 0 bytes when there is none. */
static struct nsp_pkt
too_big(const char *hex, uint32_t mtu, uint8_t *error)
{
    uint8_t bytes[256];
    uint32_t n = (uint32_t)hex_bytes(hex, bytes, sizeof bytes);
    struct nsp_pkt pkt = { .data = bytes, .cap_bytes = n, .wire_bytes = 9000 };
    struct nsp_pkt built = { .data = error };

    nsp_pkt_parse(&pkt);
    built.cap_bytes = nsp_reply_build_too_big(&pkt, mtu, error);
    built.wire_bytes = built.cap_bytes;
    if (built.cap_bytes > 0) {
        nsp_pkt_parse(&built);
        CHECK(nsp_pkt_checksums_ok(&built));
        CHECK_MEM_EQ(error + built.cap_bytes - n, bytes, n); /* Quoted. */
    }
    return built;
}

TEST(icmp_says_how_large_a_packet_may_be)
{
    static const char v4[] =
        IPV4("05DC", "4000", "06") SEGMENT("00000064", "000003E8", "10");
    static const char v6[] =
        IPV6("05B4", "06") SEGMENT("00000064", "000003E8", "10");
    uint8_t error[NSP_REPLY_BYTES_MAX];

    CHECK_EQ(too_big(v4, 1400, error).cap_bytes, 28 + 40);
    CHECK_EQ(nsp_load_be32(error + 16), 0xC0000201);
    CHECK_EQ(nsp_load_be16(error + 20), 0x0304);
    CHECK_EQ(nsp_load_be32(error + 24), 1400);

    CHECK_EQ(too_big(v6, 1280, error).cap_bytes, 48 + 60);
    CHECK_EQ(error[39], 1);
    CHECK_EQ(nsp_load_be16(error + 40), 0x0200);
    CHECK_EQ(nsp_load_be32(error + 44), 1280);
}

TEST(icmp_leaves_what_may_be_fragmented_to_fragmentation)
{
    uint8_t error[NSP_REPLY_BYTES_MAX];

    CHECK_EQ(
        too_big(IPV4("05DC", "0000", "11") UDP("05C8"), 1400, error).cap_bytes,
        0);
    CHECK(
        too_big(IPV4("05DC", "4000", "11") UDP("05C8"), 1400, error).cap_bytes >
        0);
    /* A later fragment, and an ICMP error. */
    CHECK_EQ(
        too_big(IPV4("05DC", "4001", "11") UDP("05C8"), 1400, error).cap_bytes,
        0);
    CHECK_EQ(
        too_big(IPV4("05DC", "4000", "01") ICMP("03"), 1400, error).cap_bytes,
        0);
}

TEST_MAIN(cmocka_unit_test(rst_to_the_receiver_continues_the_segment),
          cmocka_unit_test(rst_to_the_sender_is_that_of_a_rejection),
          cmocka_unit_test(rst_answers_no_rst_and_no_datagram),
          cmocka_unit_test(icmp_says_how_large_a_packet_may_be),
          cmocka_unit_test(icmp_leaves_what_may_be_fragmented_to_fragmentation),
          cmocka_unit_test(rst_has_the_numbers_of_the_rfc),
          cmocka_unit_test(rst_goes_over_ipv6_and_counts_bytes_not_held),
          cmocka_unit_test(icmp_port_unreachable_quotes_the_packet),
          cmocka_unit_test(icmpv6_port_unreachable_quotes_the_packet),
          cmocka_unit_test(unreachable_is_never_too_long),
          cmocka_unit_test(other_transports_get_unreachable),
          cmocka_unit_test(no_answer_where_none_may_be_sent))
