#include "packet/alter.h"

#include <errno.h>
#include <string.h>

#include "packet/proto.h"
#include "tests/lib/hex.h"
#include "tests/lib/test.h"

static uint8_t bytes[256];

static struct nsp_pkt
parsed(const char *hex)
{
    uint32_t n = (uint32_t)hex_bytes(hex, bytes, sizeof bytes);
    struct nsp_pkt pkt = { .data = bytes, .cap_bytes = n, .wire_bytes = n };

    nsp_pkt_parse(&pkt);
    return pkt;
}

/* The same with right checksums. */
static struct nsp_pkt
sealed(const char *hex)
{
    struct nsp_pkt pkt = parsed(hex);

    CHECK_EQ(nsp_pkt_fix_checksums(&pkt), 0);
    pkt.flags = 0;
    return pkt;
}

#define UDP_OF_8 IPV4("0024", "0000", "11") UDP("0010") "0102030405060708"
#define TCP_OF_4 IPV6("0018", "06") TCP("50", "18") "01020304"

TEST(alter_marks_congestion_where_the_sender_understands)
{
    static const struct {
        uint8_t ecn;
        int result;
        uint8_t expected;
    } rows[] = {
        { 0, -ENOENT, 0 },
        { 1, 0, 3 },
        { 2, 0, 3 },
        { 3, 0, 3 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        struct nsp_pkt v4 = sealed(UDP_OF_8), v6;

        CHECK_EQ(nsp_pkt_set_ecn(&v4, rows[i].ecn), 0);
        v4.flags = 0;
        CHECK_EQ(nsp_pkt_mark_ce(&v4), rows[i].result);
        CHECK_EQ(bytes[1] & 3, rows[i].expected);
        CHECK_EQ(v4.flags != 0, rows[i].ecn == 1 || rows[i].ecn == 2);
        CHECK(nsp_pkt_checksums_ok(&v4));

        v6 = sealed(TCP_OF_4);
        CHECK_EQ(nsp_pkt_set_ecn(&v6, rows[i].ecn), 0);
        CHECK_EQ(nsp_pkt_mark_ce(&v6), rows[i].result);
        CHECK_EQ(bytes[1] >> 4 & 3, rows[i].expected);
    }
}

TEST(alter_marks_nothing_without_ip)
{
    struct nsp_pkt pkt = parsed("00000000");

    CHECK_EQ(nsp_pkt_mark_ce(&pkt), -ENOENT);
    CHECK_EQ(nsp_pkt_truncate(&pkt, 20), -ENOENT);
    CHECK_EQ(nsp_pkt_break_checksum(&pkt), -ENOENT);
    CHECK_EQ(nsp_pkt_repair(&pkt), -ENOENT);
}

TEST(alter_truncates_and_keeps_the_ip_header_right)
{
    for (uint32_t to = 20; to <= 40; to++) {
        struct nsp_pkt pkt = sealed(UDP_OF_8 "0000");
        uint32_t expected = to < 36 ? to : 36;

        CHECK_EQ(nsp_pkt_truncate(&pkt, to), 0);
        CHECK_EQ(pkt.ip_bytes, expected);
        CHECK_EQ(nsp_load_be16(bytes + 2), expected);
        CHECK_EQ(pkt.wire_bytes, to < 36 ? to : 38);
        CHECK_EQ(pkt.cap_bytes, pkt.wire_bytes);
        CHECK_EQ((pkt.flags & NSP_PKT_MODIFIED) != 0, to < 36);
        CHECK_EQ(pkt.l4, to < 28 ? NSP_L4_NONE : NSP_L4_UDP);
        pkt.l4 = NSP_L4_NONE; /* To look at the IP header alone. */
        CHECK(nsp_pkt_checksums_ok(&pkt));
    }
}

TEST(alter_truncates_ipv6_to_its_header_at_least)
{
    struct nsp_pkt pkt = sealed(TCP_OF_4);

    CHECK_EQ(nsp_pkt_truncate(&pkt, 39), -EINVAL);
    CHECK_EQ(pkt.flags, 0);
    CHECK_EQ(nsp_pkt_truncate(&pkt, 61), 0);
    CHECK_EQ(nsp_load_be16(bytes + 4), 21);
    CHECK_EQ(pkt.payload_bytes, 1);
    CHECK_EQ(nsp_pkt_truncate(&pkt, 40), 0);
    CHECK_EQ(nsp_load_be16(bytes + 4), 0);
    CHECK_EQ(pkt.cap_bytes, 40);
}

TEST(alter_truncates_what_is_longer_than_what_is_held)
{
    struct nsp_pkt pkt = parsed(IPV4("0200", "0000", "11") UDP("01EC"));

    pkt.wire_bytes = 512;
    nsp_pkt_parse(&pkt);
    CHECK_EQ(nsp_pkt_truncate(&pkt, 100), 0);
    CHECK_EQ(pkt.cap_bytes, 28);
    CHECK_EQ(pkt.wire_bytes, 100);
    pkt.flags |= NSP_PKT_SUPERPACKET;
    CHECK_EQ(nsp_pkt_truncate(&pkt, 50), -EINVAL);
}

TEST(alter_breaks_every_transport_checksum)
{
    static const char *const hex[] = {
        UDP_OF_8,
        TCP_OF_4,
        IPV4("001C", "0000", "01") ICMP("08"),
        IPV6("0008", "3A") ICMP("80"),
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(hex); i++) {
        for (unsigned wrong = 0; wrong < 65536; wrong += 1) {
            struct nsp_pkt pkt = sealed(hex[i]);
            uint8_t *l4 = pkt.data + pkt.l4_off;
            uint32_t off = pkt.l4 == NSP_L4_TCP   ? 16
                           : pkt.l4 == NSP_L4_UDP ? 6
                                                  : 2;

            nsp_store_be16(l4 + off, (uint16_t)wrong);
            CHECK_EQ(nsp_pkt_break_checksum(&pkt), 0);
            CHECK(!nsp_pkt_checksums_ok(&pkt));
            CHECK((pkt.flags & NSP_PKT_MODIFIED) != 0);
        }
    }
}

/* Of all payloads some make the checksum what "none" turns into. */
TEST(alter_breaks_a_udp_checksum_of_none)
{
    for (unsigned word = 0; word < 65536; word++) {
        struct nsp_pkt pkt = parsed(UDP_OF_8);

        nsp_store_be16(bytes + 28, (uint16_t)word);
        CHECK_EQ(nsp_pkt_break_checksum(&pkt), 0);
        CHECK(!nsp_pkt_checksums_ok(&pkt));
    }
}

TEST(alter_completes_a_partial_checksum)
{
    struct nsp_pkt pkt = sealed(TCP_OF_4);
    uint16_t right = nsp_load_be16(bytes + 56);

    nsp_store_be16(bytes + 56, 0x1234);
    pkt.csum = NSP_CSUM_PARTIAL;
    nsp_pkt_complete_checksum(&pkt);
    CHECK_EQ(nsp_load_be16(bytes + 56), right);
    CHECK_EQ(pkt.csum, NSP_CSUM_GOOD);

    /* What is not held cannot be summed. */
    pkt = sealed(TCP_OF_4);
    pkt.cap_bytes -= 1;
    pkt.csum = NSP_CSUM_PARTIAL;
    nsp_pkt_parse(&pkt);
    nsp_pkt_complete_checksum(&pkt);
    CHECK_EQ(pkt.csum, NSP_CSUM_UNKNOWN);
}

TEST(alter_repairs_a_truncated_datagram)
{
    for (uint32_t to = 28; to < 36; to++) {
        struct nsp_pkt pkt = sealed(UDP_OF_8);

        CHECK_EQ(nsp_pkt_truncate(&pkt, to), 0);
        CHECK_EQ(nsp_load_be16(bytes + 24), 16);
        CHECK_EQ(nsp_pkt_repair(&pkt), 0);
        CHECK_EQ(nsp_load_be16(bytes + 24), to - 20);
        CHECK(nsp_pkt_checksums_ok(&pkt));
    }
}

TEST_MAIN(cmocka_unit_test(alter_marks_congestion_where_the_sender_understands),
          cmocka_unit_test(alter_marks_nothing_without_ip),
          cmocka_unit_test(alter_truncates_and_keeps_the_ip_header_right),
          cmocka_unit_test(alter_truncates_ipv6_to_its_header_at_least),
          cmocka_unit_test(alter_truncates_what_is_longer_than_what_is_held),
          cmocka_unit_test(alter_breaks_every_transport_checksum),
          cmocka_unit_test(alter_breaks_a_udp_checksum_of_none),
          cmocka_unit_test(alter_completes_a_partial_checksum),
          cmocka_unit_test(alter_repairs_a_truncated_datagram))
