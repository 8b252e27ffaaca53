#include "netshaper/packet.h"

#include <stdio.h>

#include "packet/proto.h"
#include "tests/lib/hex.h"
#include "tests/lib/test.h"

#define NONE NSP_OFF_NONE
#define FRAG NSP_PKT_FRAGMENT
#define LATE (NSP_PKT_FRAGMENT | NSP_PKT_LATER_FRAGMENT)
#define CUT  NSP_PKT_TRUNCATED
#define BAD  NSP_PKT_MALFORMED

#define PAD6 "000000000000"

struct row {
    const char *hex;
    enum nsp_link link;
    uint32_t wire_bytes; /* 0: as held. */
    enum nsp_l3 l3;
    uint16_t l3_off;
    uint32_t ip_bytes;
    uint8_t ip_proto;
    enum nsp_l4 l4;
    uint16_t l4_off, payload_off;
    uint32_t payload_bytes;
    uint16_t frag_off, flags;
};

static void
check_row(const struct row *row, const char *table, size_t index)
{
    uint8_t text[4096];
    uint32_t bytes = (uint32_t)hex_bytes(row->hex, text, sizeof text);
    uint8_t *exact = malloc(bytes > 0 ? bytes : 1);
    struct nsp_pkt pkt = {
        .data = exact,
        .cap_bytes = bytes,
        .wire_bytes = row->wire_bytes != 0 ? row->wire_bytes : bytes,
        .link = (uint8_t)row->link,
        /* What an earlier parse may have left. */
        .flags = LATE | CUT | BAD | NSP_PKT_LOOPBACK,
        .l3 = 9,
        .l4 = 9,
        .l4_off = 9,
        .vlan_count = 2,
        .payload_bytes = 9,
    };

    CHECK(exact != NULL);
    memcpy(exact, text, bytes);
    print_message("%s[%zu] %s\n", table, index, row->hex);
    nsp_pkt_parse(&pkt);
    CHECK_EQ(pkt.l3, row->l3);
    CHECK_EQ(pkt.l3_off, row->l3 == NSP_L3_NONE ? NONE : row->l3_off);
    CHECK_EQ(pkt.ip_bytes, row->ip_bytes);
    CHECK_EQ(pkt.ip_proto, row->ip_proto);
    CHECK_EQ(pkt.l4, row->l4);
    CHECK_EQ(pkt.l4_off, row->l4 == NSP_L4_NONE ? NONE : row->l4_off);
    CHECK_EQ(pkt.payload_off, row->l4 == NSP_L4_NONE ? NONE : row->payload_off);
    CHECK_EQ(pkt.payload_bytes, row->payload_bytes);
    CHECK_EQ(pkt.frag_off, row->frag_off != 0 ? row->frag_off : NONE);
    CHECK_EQ(pkt.flags, row->flags | NSP_PKT_LOOPBACK);
    free(exact);
}

#define CHECK_ROWS(rows)                                                       \
    do {                                                                       \
        for (size_t i = 0; i < sizeof(rows) / sizeof((rows)[0]); i++)          \
            check_row(&(rows)[i], #rows, i);                                   \
    } while (0)

#define V4    NSP_L3_IPV4, 0
#define V6    NSP_L3_IPV6, 0
#define NO_L4 NSP_L4_NONE, 0, 0, 0

TEST(parse_reads_ipv4)
{
    static const struct row ipv4[] = {
        /* hex, link, wire, l3, l3_off, ip_bytes, proto, l4, l4_off,
         * payload_off, payload_bytes, frag_off, flags */
        { IPV4("0028", "4000", "06") TCP("50", "02"), 0, 0, V4, 40, 6,
          NSP_L4_TCP, 20, 40, 0, 0, 0 },
        { IPV4("002B", "4000", "06") TCP("50", "18") "616263", 0, 0, V4, 43, 6,
          NSP_L4_TCP, 20, 40, 3, 0, 0 },
        { IPV4("002C", "0000", "06") TCP("60", "02") "020405B4", 0, 0, V4, 44,
          6, NSP_L4_TCP, 20, 44, 0, 0, 0 },
        { IPV4("0020", "0000", "11") UDP("000C") "01020304", 0, 0, V4, 32, 17,
          NSP_L4_UDP, 20, 28, 4, 0, 0 },
        { IPV4("001C", "0000", "01") ICMP("08"), 0, 0, V4, 28, 1, NSP_L4_ICMP,
          20, 28, 0, 0, 0 },
        /* ICMPv6 is no transport of IPv4; GRE none that is read. */
        { IPV4("001C", "0000", "3A") ICMP("80"), 0, 0, V4, 28, 58, NO_L4, 0,
          0 },
        { IPV4("0018", "0000", "2F") "00000800", 0, 0, V4, 24, 47, NO_L4, 0,
          0 },
        /* Options: IHL 6, a router alert. */
        { "4600 0020 0000 0000 4011 0000 C0000201 C0000202 94040000" UDP(
              "0008"),
          0, 0, V4, 32, 17, NSP_L4_UDP, 24, 32, 0, 0, 0 },
        /* The UDP length is not the parser's to judge. */
        { IPV4("0020", "0000", "11") UDP("FFFF") "01020304", 0, 0, V4, 32, 17,
          NSP_L4_UDP, 20, 28, 4, 0, 0 },
        /* What follows the IP packet is padding. */
        { IPV4("001C", "0000", "11") UDP("0008") PAD6, 0, 0, V4, 28, 17,
          NSP_L4_UDP, 20, 28, 0, 0, 0 },
    };

    CHECK_ROWS(ipv4);
}

TEST(parse_refuses_headers_that_cannot_be)
{
    static const struct row bad[] = {
        { "", 0, 0, 0, 0, 0, 0, NO_L4, 0, BAD },
        { "50", 0, 0, 0, 0, 1, 0, NO_L4, 0, BAD },
        /* 19 of 20 bytes. */
        { "4500001400000000 40060000 C0000201 C00002", 0, 0, 0, 0, 19, 0, NO_L4,
          0, BAD },
        /* IHL 4; IHL 6 with 20 bytes held; length below the header. */
        { "44000014000000004006 0000 C0000201 C0000202", 0, 0, 0, 0, 20, 0,
          NO_L4, 0, BAD },
        { "46000018000000004006 0000 C0000201 C0000202", 0, 0, 0, 0, 20, 0,
          NO_L4, 0, BAD },
        { IPV4("0013", "0000", "06"), 0, 0, 0, 0, 20, 0, NO_L4, 0, BAD },
        { IPV4("0000", "0000", "06"), 0, 0, 0, 0, 20, 0, NO_L4, 0, BAD },
        /* An EtherType and a version that disagree. */
        { ETHER("86DD") IPV4("0014", "0000", "06"), NSP_LINK_ETHERNET, 0, 0, 0,
          20, 0, NO_L4, 0, BAD },
        /* Transport headers one byte short; the protocol stays known. */
        { IPV4("0027", "0000",
               "06") "1388 0050 00000001 00000000 5002 FFFF 0000 00",
          0, 0, V4, 39, 6, NO_L4, 0, BAD },
        { IPV4("001B", "0000", "11") "1388 0050 0008 00", 0, 0, V4, 27, 17,
          NO_L4, 0, BAD },
        { IPV4("001B", "0000", "01") "0800 0000 000100", 0, 0, V4, 27, 1, NO_L4,
          0, BAD },
        /* Held, but outside the IP packet. */
        { IPV4("0027", "0000", "06") TCP("50", "02"), 0, 0, V4, 39, 6, NO_L4, 0,
          BAD },
        /* TCP data offset below 5, and past the end: clamped. */
        { IPV4("0028", "0000", "06") TCP("40", "02"), 0, 0, V4, 40, 6, NO_L4, 0,
          BAD },
        { IPV4("002A", "0000", "06") TCP("F0", "02") "0101", 0, 0, V4, 42, 6,
          NSP_L4_TCP, 20, 42, 0, 0, BAD },
    };

    CHECK_ROWS(bad);
}

TEST(parse_reads_what_a_truncated_packet_holds)
{
    static const struct row cut[] = {
        /* 1500 on the wire, headers and two bytes held. */
        { IPV4("05DC", "0000", "06") TCP("50", "10") "6162", 0, 1500, V4, 1500,
          6, NSP_L4_TCP, 20, 40, 2, 0, CUT },
        /* The header claims more than was on the wire: not believed. */
        { IPV4("05DC", "0000", "06") TCP("50", "10") "6162", 0, 0, V4, 42, 6,
          NSP_L4_TCP, 20, 40, 2, 0, CUT },
        { IPV4("05DC", "0000", "06") "13880050", 0, 1500, V4, 1500, 6, NO_L4, 0,
          CUT | BAD },
        { IPV6("0014", "06") "1388", 0, 60, V6, 60, 6, NO_L4, 0, CUT | BAD },
        { IPV6("0400", "11") UDP("0400"), 0, 1064, V6, 1064, 17, NSP_L4_UDP, 40,
          48, 0, 0, CUT },
    };

    CHECK_ROWS(cut);
}

TEST(parse_takes_lengths_of_oversize_packets_from_the_wire)
{
    static const struct row oversize[] = {
        { IPV4("0000", "0000", "06") TCP("50", "10"), 0, 70000, V4, 70000, 6,
          NSP_L4_TCP, 20, 40, 0, 0, CUT },
        { IPV4("0000", "0000", "06") TCP("50", "10"), 0, 65535, 0, 0, 65535, 0,
          NO_L4, 0, BAD },
        { IPV6("0000", "06") TCP("50", "10"), 0, 70000, V6, 70000, 6,
          NSP_L4_TCP, 40, 60, 0, 0, CUT },
        /* Without payload, then padding. */
        { IPV6("0000", "3B") PAD6, 0, 0, V6, 40, 59, NO_L4, 0, 0 },
        { IPV6("0000", "06") TCP("50", "10"), 0, 0, V6, 40, 6, NO_L4, 0, BAD },
    };
    uint8_t bytes[64];
    struct nsp_pkt pkt = { .data = bytes, .flags = NSP_PKT_SUPERPACKET };

    CHECK_ROWS(oversize);

    pkt.cap_bytes =
        (uint32_t)hex_bytes(IPV4("0000", "0000", "06") TCP("50", "10") "616263",
                            bytes, sizeof bytes);
    pkt.wire_bytes = pkt.cap_bytes;
    nsp_pkt_parse(&pkt);
    CHECK_EQ(pkt.ip_bytes, 43);
    CHECK_EQ(pkt.payload_bytes, 3);
    CHECK_EQ(pkt.flags, NSP_PKT_SUPERPACKET);
}

TEST(parse_marks_fragments)
{
    static const struct row fragments[] = {
        /* First: its transport header is read. */
        { IPV4("0020", "2000", "11") UDP("0800") "01020304", 0, 0, V4, 32, 17,
          NSP_L4_UDP, 20, 28, 4, 0, FRAG },
        /* Middle and last: payload that looks like UDP is not. */
        { IPV4("001C", "2001", "11") UDP("0800"), 0, 0, V4, 28, 17, NO_L4, 0,
          LATE },
        { IPV4("001C", "1FFF", "11") UDP("0800"), 0, 0, V4, 28, 17, NO_L4, 0,
          LATE },
        /* Too small for its transport header. */
        { IPV4("001C", "2000", "06") "1388005000000001", 0, 0, V4, 28, 6, NO_L4,
          0, FRAG | BAD },
        /* DF and the reserved bit make no fragment. */
        { IPV4("001C", "C000", "11") UDP("0008"), 0, 0, V4, 28, 17, NSP_L4_UDP,
          20, 28, 0, 0, 0 },
        /* IPv6: first, later (offset 1 is 0x0008), and a lone header. */
        { IPV6("0010", "2C") "1100000100000001" UDP("0800"), 0, 0, V6, 56, 17,
          NSP_L4_UDP, 48, 56, 0, 40, FRAG },
        { IPV6("0010", "2C") "1100000800000001" UDP("0800"), 0, 0, V6, 56, 17,
          NO_L4, 40, LATE },
        { IPV6("0010", "2C") "1100000000000001" UDP("0008"), 0, 0, V6, 56, 17,
          NSP_L4_UDP, 48, 56, 0, 40, FRAG },
        /* A later fragment's next header is not followed. */
        { IPV6("0010", "2C") "3C00000800000001 1100000000000000", 0, 0, V6, 56,
          60, NO_L4, 40, LATE },
        /* Only one fragment header is. */
        { IPV6("0018", "2C") "2C00000000000001 1100000000000001" UDP("0008"), 0,
          0, V6, 64, 44, NO_L4, 40, FRAG | BAD },
    };

    CHECK_ROWS(fragments);
}

#define HOP_BY_HOP(next) next "00 0104 00000000"

TEST(parse_follows_ipv6_extension_headers)
{
    static const struct row extensions[] = {
        { IPV6("0014", "06") TCP("50", "02"), 0, 0, V6, 60, 6, NSP_L4_TCP, 40,
          60, 0, 0, 0 },
        { IPV6("000A", "3A") ICMP("80") "6162", 0, 0, V6, 50, 58, NSP_L4_ICMPV6,
          40, 48, 2, 0, 0 },
        { IPV6("0008", "01") ICMP("08"), 0, 0, V6, 48, 1, NO_L4, 0, 0 },
        { IPV6("0010", "00") HOP_BY_HOP("11") UDP("0008"), 0, 0, V6, 56, 17,
          NSP_L4_UDP, 48, 56, 0, 0, 0 },
        /* Routing of 24, destination options of 8, mobility of 8 bytes. */
        { IPV6("0030", "2B") "3C02000120010DB8"
                             "0000000000000000 0000000000000003"
                             "8700010400000000"
                             "1100000000000000" UDP("0008"),
          0, 0, V6, 88, 17, NSP_L4_UDP, 80, 88, 0, 0, 0 },
        /* AH counts words of 4: (4 + 2) * 4 = 24 bytes. */
        { IPV6("0020", "33") "1104000000000001 0000000100000000 "
                             "0000000000000000" UDP("0008"),
          0, 0, V6, 72, 17, NSP_L4_UDP, 64, 72, 0, 0, 0 },
        /* ESP hides what follows; "no next" means it. */
        { IPV6("0008", "32") UDP("0008"), 0, 0, V6, 48, 50, NO_L4, 0, 0 },
        { IPV6("0010", "00") HOP_BY_HOP("3B") UDP("0008"), 0, 0, V6, 56, 59,
          NO_L4, 0, 0 },
        /* Cut: none held; its length past the end. */
        { IPV6("0004", "00") "11000104", 0, 0, V6, 44, 0, NO_L4, 0, BAD },
        { IPV6("0008", "3C") "1101010400000000", 0, 0, V6, 48, 60, NO_L4, 0,
          BAD },
    };

    CHECK_ROWS(extensions);
}

TEST(parse_bounds_the_chain_of_extension_headers)
{
    uint8_t bytes[NSP_IPV6_BYTES + 17 * 2048 + NSP_UDP_BYTES] = { 0x60 };
    struct nsp_pkt pkt = { .data = bytes };

    /* 15 headers of the greatest size are followed, 16 are not. */
    for (uint32_t n = 15; n <= 16; n++) {
        uint32_t at = NSP_IPV6_BYTES;

        bytes[6] = NSP_PROTO_DEST_OPTIONS;
        for (uint32_t i = 0; i < n; i++, at += 2048) {
            bytes[at] = i + 1 < n ? NSP_PROTO_DEST_OPTIONS : NSP_PROTO_UDP;
            bytes[at + 1] = 255;
        }
        pkt.cap_bytes = at + NSP_UDP_BYTES;
        bytes[4] = (uint8_t)((pkt.cap_bytes - NSP_IPV6_BYTES) >> 8);
        bytes[5] = (uint8_t)(pkt.cap_bytes - NSP_IPV6_BYTES);
        pkt.wire_bytes = pkt.cap_bytes;
        nsp_pkt_parse(&pkt);
        CHECK_EQ(pkt.ip_proto, NSP_PROTO_UDP);
        CHECK_EQ(pkt.l4, n == 15 ? NSP_L4_UDP : NSP_L4_NONE);
        CHECK_EQ(pkt.l4_off, n == 15 ? at : NONE);
        CHECK_EQ(pkt.flags, n == 15 ? 0 : BAD);
    }
}

#define EMPTY_V4 IPV4("0014", "0000", "FD")

TEST(parse_reads_every_link)
{
    static const struct row links[] = {
        { ETHER("0800") IPV4("001C", "0000", "11") UDP("0008") PAD6 PAD6,
          NSP_LINK_ETHERNET, 0, NSP_L3_IPV4, 14, 28, 17, NSP_L4_UDP, 34, 42, 0,
          0, 0 },
        { ETHER("86DD") IPV6("0008", "11") UDP("0008"), NSP_LINK_ETHERNET, 0,
          NSP_L3_IPV6, 14, 48, 17, NSP_L4_UDP, 54, 62, 0, 0, 0 },
        /* Some other type; an 802.3 length; a header cut. */
        { ETHER("88CC") "0102", NSP_LINK_ETHERNET, 0, 0, 0, 2, 0, NO_L4, 0, 0 },
        { ETHER("0003") "424203", NSP_LINK_ETHERNET, 0, 0, 0, 3, 0, NO_L4, 0,
          0 },
        { "020000000002 020000000001 08", NSP_LINK_ETHERNET, 60, 0, 0, 60, 0,
          NO_L4, 0, BAD },
        { "0004000100060200000000010000 0800" EMPTY_V4, NSP_LINK_SLL, 0,
          NSP_L3_IPV4, 16, 20, 253, NO_L4, 0, 0 },
        { "0004000100060200000000010000 8100 0064 0800" EMPTY_V4, NSP_LINK_SLL,
          0, NSP_L3_IPV4, 20, 20, 253, NO_L4, 0, 0 },
        { "000400010006020000000001000008", NSP_LINK_SLL, 0, 0, 0, 15, 0, NO_L4,
          0, BAD },
        { "0800 0000 00000002 0001 04 06 0200000000010000" EMPTY_V4,
          NSP_LINK_SLL2, 0, NSP_L3_IPV4, 20, 20, 253, NO_L4, 0, 0 },
        { "0800 0000 00000002 0001 04 06 02000000000100", NSP_LINK_SLL2, 0, 0,
          0, 19, 0, NO_L4, 0, BAD },
        /* AF_INET of either byte order, AF_INET6 of Darwin, AF_UNIX. */
        { "02000000" EMPTY_V4, NSP_LINK_NULL, 0, NSP_L3_IPV4, 4, 20, 253, NO_L4,
          0, 0 },
        { "00000002" EMPTY_V4, NSP_LINK_NULL, 0, NSP_L3_IPV4, 4, 20, 253, NO_L4,
          0, 0 },
        { "1E000000" IPV6("0000", "3B"), NSP_LINK_NULL, 0, NSP_L3_IPV6, 4, 40,
          59, NO_L4, 0, 0 },
        { "01000000" EMPTY_V4, NSP_LINK_NULL, 0, 0, 0, 20, 0, NO_L4, 0, 0 },
        { "020000", NSP_LINK_NULL, 0, 0, 0, 3, 0, NO_L4, 0, BAD },
        /* A link that no device here has. */
        { EMPTY_V4, 200, 0, 0, 0, 20, 0, NO_L4, 0, BAD },
    };

    CHECK_ROWS(links);
}

#define ARP(hardware, protocol)                                                \
    hardware protocol "0604 0001 020000000001 C0000201 000000000000 C0000202"

TEST(parse_reads_arp)
{
    static const struct row arp[] = {
        { ETHER("0806") ARP("0001", "0800") PAD6, NSP_LINK_ETHERNET, 0,
          NSP_L3_ARP, 14, 34, 0, NO_L4, 0, 0 },
        { ETHER("0806") "0001 0800 0604 0001", NSP_LINK_ETHERNET, 0, 0, 0, 8, 0,
          NO_L4, 0, BAD },
        /* InfiniBand's is another format. */
        { ETHER("0806") ARP("0020", "0800"), NSP_LINK_ETHERNET, 0, 0, 0, 28, 0,
          NO_L4, 0, 0 },
    };

    CHECK_ROWS(arp);
}

TEST(parse_records_two_vlan_tags)
{
    static const struct {
        const char *hex;
        uint16_t ether_type;
        uint16_t tci[2];
        uint8_t count;
        uint16_t l3_off, flags;
    } tags[] = {
        { ETHER("0800") EMPTY_V4, 0x0800, { 0, 0 }, 0, 14, 0 },
        { ETHER("8100") "6064 0800" EMPTY_V4, 0x0800, { 0x6064, 0 }, 1, 18, 0 },
        { ETHER("88A8") "00C8 8100 0064 0800" EMPTY_V4,
          0x0800,
          { 200, 100 },
          2,
          22,
          0 },
        { ETHER("9100") "00C8 9100 0064 0800" EMPTY_V4,
          0x0800,
          { 200, 100 },
          2,
          22,
          0 },
        /* A third is not followed, and says so by its type. */
        { ETHER("88A8") "0001 8100 0002 8100 0003 0800" EMPTY_V4,
          0x8100,
          { 1, 2 },
          2,
          NONE,
          0 },
        { ETHER("8100") "006408", 0x8100, { 0, 0 }, 0, NONE, BAD },
    };

    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        uint8_t bytes[128];
        struct nsp_pkt pkt = { .data = bytes, .link = NSP_LINK_ETHERNET };

        pkt.cap_bytes = (uint32_t)hex_bytes(tags[i].hex, bytes, sizeof bytes);
        pkt.wire_bytes = pkt.cap_bytes;
        nsp_pkt_parse(&pkt);
        CHECK_EQ(pkt.ether_type, tags[i].ether_type);
        CHECK_EQ(pkt.vlan_count, tags[i].count);
        CHECK_EQ(pkt.vlan_tci[0], tags[i].tci[0]);
        CHECK_EQ(pkt.vlan_tci[1], tags[i].tci[1]);
        CHECK_EQ(pkt.l3_off, tags[i].l3_off);
        CHECK_EQ(pkt.flags, tags[i].flags);
    }
}

/* The header's promise: what has an offset lies wholly inside cap_bytes. Every
 * prefix is parsed in a block of its size, so that a sanitizer sees a byte too
 * many. */
TEST(parse_keeps_inside_every_prefix)
{
    static const char *const texts[] = {
        ETHER("88A8") "0001 8100 0002 86DD" IPV6("003F", "00") HOP_BY_HOP(
            "2C") "3C00000100000001"
                  "3300000000000000"
                  "0601000000000001 00000001" TCP("60", "02") "020405B4 616263",
        ETHER("8100") "0001 0800"
                      "4F00 005C 0000 2000 4006 0000 C0000201 C0000202"
                      "01010101010101010101010101010101010101010101010101010101"
                      "010101010101010101"
                      "010101" TCP("60", "02") "020405B4 01020304 05060708",
        ETHER("0806") ARP("0001", "0800"),
    };

    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++) {
        uint8_t whole[256];
        uint32_t bytes = (uint32_t)hex_bytes(texts[t], whole, sizeof whole);

        for (uint32_t held = 0; held <= bytes; held++) {
            uint8_t *exact = malloc(held > 0 ? held : 1);
            struct nsp_pkt pkt = { .data = exact,
                                   .cap_bytes = held,
                                   .wire_bytes = bytes,
                                   .link = NSP_LINK_ETHERNET };

            CHECK(exact != NULL);
            memcpy(exact, whole, held);
            nsp_pkt_parse(&pkt);
            if (pkt.l4 != NSP_L4_NONE) {
                CHECK(pkt.l4_off + 8u <= held);
                CHECK_EQ(pkt.payload_off + pkt.payload_bytes, held);
            }
            CHECK(pkt.ip_bytes <= bytes);
            if (held == bytes)
                CHECK(pkt.l3 != NSP_L3_NONE && !(pkt.flags & (BAD | CUT)));
            free(exact);
        }
    }
}

TEST(parse_burst_parses_each)
{
    uint8_t bytes[2][64];
    struct nsp_pkt pkt[2] = { { .data = bytes[0] }, { .data = bytes[1] } };
    struct nsp_pkt *pkts[2] = { &pkt[0], &pkt[1] };

    pkt[0].cap_bytes = (uint32_t)hex_bytes(
        IPV4("0028", "0000", "06") TCP("50", "02"), bytes[0], 64);
    pkt[1].cap_bytes =
        (uint32_t)hex_bytes(IPV6("0008", "11") UDP("0008"), bytes[1], 64);
    nsp_pkt_parse_burst(pkts, 2);
    CHECK_EQ(pkt[0].l4, NSP_L4_TCP);
    CHECK_EQ(pkt[1].l4, NSP_L4_UDP);
    nsp_pkt_parse_burst(NULL, 0);
}

TEST_MAIN(
    cmocka_unit_test(parse_reads_ipv4),
    cmocka_unit_test(parse_refuses_headers_that_cannot_be),
    cmocka_unit_test(parse_reads_what_a_truncated_packet_holds),
    cmocka_unit_test(parse_takes_lengths_of_oversize_packets_from_the_wire),
    cmocka_unit_test(parse_marks_fragments),
    cmocka_unit_test(parse_follows_ipv6_extension_headers),
    cmocka_unit_test(parse_bounds_the_chain_of_extension_headers),
    cmocka_unit_test(parse_reads_every_link), cmocka_unit_test(parse_reads_arp),
    cmocka_unit_test(parse_records_two_vlan_tags),
    cmocka_unit_test(parse_keeps_inside_every_prefix),
    cmocka_unit_test(parse_burst_parses_each))
