#include "netshaper/packet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "packet/checksum.h"
#include "packet/proto.h"
#include "tests/lib/hex.h"
#include "tests/lib/naive_csum.h"
#include "tests/lib/test.h"

static void
parse_bytes(uint8_t *bytes, uint32_t n, struct nsp_pkt *ret)
{
    *ret = (struct nsp_pkt){ .data = bytes, .cap_bytes = n, .wire_bytes = n };
    nsp_pkt_parse(ret);
}

static void
parse_hex(const char *hex, uint8_t *bytes, size_t max, struct nsp_pkt *ret)
{
    parse_bytes(bytes, (uint32_t)hex_bytes(hex, bytes, max), ret);
}

/* The transport checksum over a plain packet, from a pseudo-header written out
 * and the naive sum. */
static uint16_t
naive_l4_csum(const struct nsp_pkt *pkt)
{
    const uint8_t *ip = pkt->data + pkt->l3_off;
    uint32_t l4_bytes = pkt->ip_bytes - (uint32_t)(pkt->l4_off - pkt->l3_off);
    uint8_t message[40 + 2048] = { 0 };
    uint32_t n = 0;

    if (pkt->l4 == NSP_L4_ICMP)
        return naive_csum(pkt->data + pkt->l4_off, l4_bytes);
    if (pkt->l3 == NSP_L3_IPV4) {
        memcpy(message, ip + 12, n = 8);
    } else {
        memcpy(message, ip + 8, n = 32);
    }
    nsp_store_be32(message + n, l4_bytes);
    message[n + 7] = pkt->ip_proto;
    n += 8;
    memcpy(message + n, pkt->data + pkt->l4_off, l4_bytes);
    return naive_csum(message, n + l4_bytes);
}

static bool
is_right(const struct nsp_pkt *pkt)
{
    const uint8_t *ip = pkt->data + pkt->l3_off;

    if (pkt->l3 == NSP_L3_IPV4 && naive_csum(ip, (ip[0] & 15u) * 4u) != 0)
        return false;
    return pkt->l4 == NSP_L4_NONE || naive_l4_csum(pkt) == 0;
}

/* A well-formed packet of random kind and contents with right checksums. */
static void
random_packet(struct nsp_prng *prng, uint8_t *bytes, struct nsp_pkt *ret)
{
    static const char *const headers[] = {
        IPV4("0000", "4000", "06") TCP("50", "10"),
        IPV4("0000", "0000", "06") TCP("60", "02") "020405B4",
        /* The MSS option at an odd offset. */
        IPV4("0000", "0000", "06") TCP("70", "02") "01020405B4010101",
        "4600 0000 0000 0000 4011 0000 C0000201 C0000202 94040000" UDP("0000"),
        IPV4("0000", "0000", "01") ICMP("08"),
        IPV6("0000", "06") TCP("60", "12") "020405A0",
        IPV6("0000", "00") "1100010400000000" UDP("0000"),
        IPV6("0000", "3A") ICMP("80"),
    };
    size_t kind = nsp_prng_next(prng) % NSP_ARRAY_LEN(headers);
    uint32_t n = (uint32_t)hex_bytes(headers[kind], bytes, 128);
    uint32_t payload = (uint32_t)(nsp_prng_next(prng) % 64);
    bool v4 = bytes[0] >> 4 == 4;

    for (uint32_t i = 0; i < payload; i++)
        bytes[n++] = (uint8_t)nsp_prng_next(prng);
    for (uint32_t i = v4 ? 12 : 8; i < (v4 ? 20u : 40u); i++)
        bytes[i] = (uint8_t)nsp_prng_next(prng);
    nsp_store_be16(bytes + (v4 ? 2 : 4), (uint16_t)(v4 ? n : n - 40));
    parse_bytes(bytes, n, ret);
    if (ret->l4 == NSP_L4_UDP)
        nsp_store_be16(bytes + ret->l4_off + 4,
                       (uint16_t)(ret->payload_bytes + NSP_UDP_BYTES));
    if (ret->l4 == NSP_L4_UDP) /* Not "none": to be computed. */
        nsp_store_be16(bytes + ret->l4_off + 6, 1);
    CHECK_EQ(nsp_pkt_fix_checksums(ret), 0);
    ret->flags = 0;
}

TEST(fix_checksums_equals_the_naive_sum)
{
    struct nsp_prng prng;
    uint8_t bytes[256];
    struct nsp_pkt pkt;

    nsp_prng_init(&prng, 4, 0);
    for (int i = 0; i < 20000; i++) {
        random_packet(&prng, bytes, &pkt);
        CHECK(is_right(&pkt));
        CHECK(nsp_pkt_checksums_ok(&pkt));
        CHECK_EQ(pkt.csum, NSP_CSUM_GOOD);

        /* One changed bit that is covered shows. */
        bytes[pkt.l4_off + nsp_prng_next(&prng) % 4] ^= 0x10;
        CHECK(!nsp_pkt_checksums_ok(&pkt));
    }
}

/* Makes a random edit; returns 0 when the packet has nothing to edit there. */
static bool
random_edit(struct nsp_prng *prng, struct nsp_pkt *pkt)
{
    uint16_t value = (uint16_t)nsp_prng_next(prng);
    uint8_t addr[16];
    size_t addr_bytes = pkt->l3 == NSP_L3_IPV4 ? 4 : 16;

    for (size_t i = 0; i < sizeof addr; i++)
        addr[i] = (uint8_t)nsp_prng_next(prng);
    if (value % 5 == 0) /* The corners of one's complement. */
        memset(addr, value % 10 == 0 ? 0 : 0xFF, sizeof addr);
    if (value % 7 == 0)
        value = value % 2 ? UINT16_MAX : 0;
    switch (nsp_prng_next(prng) % 9) {
    case 0:
        return nsp_pkt_set_ip_src(pkt, addr, addr_bytes) == 0;
    case 1:
        return nsp_pkt_set_ip_dst(pkt, addr, addr_bytes) == 0;
    case 2:
        return nsp_pkt_set_src_port(pkt, value) == 0;
    case 3:
        return nsp_pkt_set_dst_port(pkt, value) == 0;
    case 4:
        return nsp_pkt_set_ttl(pkt, (uint8_t)value) == 0;
    case 5:
        return nsp_pkt_set_dscp(pkt, value & 63) == 0;
    case 6:
        return nsp_pkt_set_ecn(pkt, value & 3) == 0;
    case 7:
        return nsp_pkt_set_tcp_window(pkt, value) == 0;
    default:
        return nsp_pkt_clamp_mss(pkt, value) == 0;
    }
}

TEST(edits_keep_right_checksums_right)
{
    struct nsp_prng prng;
    uint8_t bytes[256];
    struct nsp_pkt pkt;
    int edits = 0;

    nsp_prng_init(&prng, 5, 0);
    for (int i = 0; i < 20000; i++) {
        random_packet(&prng, bytes, &pkt);
        for (int n = 0; n < 8; n++) {
            edits += random_edit(&prng, &pkt);
            CHECK(is_right(&pkt));
        }
    }
    CHECK(edits > 80000);
}

/* A wrong checksum stays wrong by the same amount: the receiver must see it. */
TEST(edits_keep_wrong_checksums_wrong)
{
    struct nsp_prng prng;
    uint8_t bytes[256];
    struct nsp_pkt pkt;

    nsp_prng_init(&prng, 6, 0);
    for (int i = 0; i < 20000; i++) {
        random_packet(&prng, bytes, &pkt);
        bytes[pkt.l4_off] ^= 1;
        for (int n = 0; n < 8; n++)
            (void)!random_edit(&prng, &pkt);
        CHECK(!nsp_pkt_checksums_ok(&pkt));
    }
}

/* Edit, then complete, gives the bytes that complete, then edit, gives. */
TEST(edits_keep_partial_checksums_partial)
{
    struct nsp_prng prng;
    uint8_t bytes[256], partial_bytes[256];
    struct nsp_pkt pkt, partial;

    nsp_prng_init(&prng, 7, 0);
    for (int i = 0; i < 20000; i++) {
        struct nsp_prng again;
        uint32_t csum_off;

        random_packet(&prng, bytes, &pkt);
        if (pkt.l4 != NSP_L4_TCP && pkt.l4 != NSP_L4_UDP)
            continue;
        memcpy(partial_bytes, bytes, sizeof bytes);
        partial = pkt;
        partial.data = partial_bytes;
        partial.csum = NSP_CSUM_PARTIAL;
        csum_off = pkt.l4_off + (pkt.l4 == NSP_L4_TCP ? 16u : 6u);
        nsp_store_be16(partial_bytes + csum_off,
                       (uint16_t)~nsp_csum_fold(nsp_csum_pseudo(
                           &pkt, pkt.ip_proto, pkt.cap_bytes - pkt.l4_off)));

        again = prng;
        for (int n = 0; n < 4; n++) {
            (void)!random_edit(&prng, &pkt);
            (void)!random_edit(&again, &partial);
        }
        CHECK(nsp_pkt_checksums_ok(&partial));

        /* What a device does: the sum of what it finds, field included. */
        nsp_store_be16(
            partial_bytes + csum_off,
            naive_csum(partial_bytes + pkt.l4_off, pkt.cap_bytes - pkt.l4_off));
        CHECK(is_right(&partial));

        /* And what fix_checksums does, whatever the field holds. */
        CHECK_EQ(nsp_pkt_fix_checksums(&partial), 0);
        CHECK_EQ(partial.csum, NSP_CSUM_GOOD);
        CHECK_MEM_EQ(partial_bytes, bytes, pkt.cap_bytes);
    }
}

TEST(edits_refuse_what_is_not_there)
{
    uint8_t bytes[128];
    const uint8_t addr[16] = { 1 };
    struct nsp_pkt pkt;

    parse_hex(IPV4("0014", "0000", "2F"), bytes, sizeof bytes, &pkt);
    CHECK_EQ(nsp_pkt_set_src_port(&pkt, 1), -ENOENT);
    CHECK_EQ(nsp_pkt_set_dst_port(&pkt, 1), -ENOENT);
    CHECK_EQ(nsp_pkt_set_tcp_window(&pkt, 1), -ENOENT);
    CHECK_EQ(nsp_pkt_clamp_mss(&pkt, 1), -ENOENT);
    CHECK_EQ(nsp_pkt_set_ip_src(&pkt, addr, 16), -EINVAL);
    CHECK_EQ(nsp_pkt_set_ip_dst(&pkt, addr, 0), -EINVAL);
    CHECK_EQ(nsp_pkt_set_dscp(&pkt, 64), -EINVAL);
    CHECK_EQ(nsp_pkt_set_ecn(&pkt, 4), -EINVAL);

    parse_hex(IPV6("0000", "3B"), bytes, sizeof bytes, &pkt);
    CHECK_EQ(nsp_pkt_set_ip_src(&pkt, addr, 4), -EINVAL);

    parse_hex(IPV4("001C", "0000", "01") ICMP("08"), bytes, sizeof bytes, &pkt);
    CHECK_EQ(nsp_pkt_set_dst_port(&pkt, 1), -ENOENT);

    parse_hex("", bytes, sizeof bytes, &pkt);
    CHECK_EQ(nsp_pkt_set_ip_src(&pkt, addr, 4), -ENOENT);
    CHECK_EQ(nsp_pkt_set_ttl(&pkt, 1), -ENOENT);
    CHECK_EQ(nsp_pkt_set_dscp(&pkt, 1), -ENOENT);
    CHECK_EQ(nsp_pkt_fix_checksums(&pkt), -ENOENT);
    CHECK(nsp_pkt_checksums_ok(&pkt));
    CHECK(!(pkt.flags & NSP_PKT_MODIFIED));
}

/* The fields end where the RFCs say, and their neighbours stay. */
TEST(edits_store_in_the_right_bits)
{
    uint8_t v4[64], v6[64];
    struct nsp_pkt p4, p6;

    parse_hex(IPV4("0028", "0000", "06") TCP("50", "10"), v4, sizeof v4, &p4);
    parse_hex(IPV6("0014", "06") TCP("50", "10"), v6, sizeof v6, &p6);
    nsp_store_be32(v6, 0x6FFABCDE);
    CHECK_EQ(nsp_pkt_set_dscp(&p4, 46) + nsp_pkt_set_dscp(&p6, 46), 0);
    CHECK_EQ(v4[1], 46 << 2);
    CHECK_EQ(nsp_load_be32(v6), 0x6000BCDE | (46 << 2 | 3) << 20 | 0xA0000);
    CHECK_EQ(nsp_pkt_set_ecn(&p4, 1) + nsp_pkt_set_ecn(&p6, 0), 0);
    CHECK_EQ(v4[1], 46 << 2 | 1);
    CHECK_EQ(nsp_load_be32(v6), 0x6000BCDE | 46 << 22 | 0xA0000);
    CHECK_EQ(nsp_pkt_set_ttl(&p4, 9) + nsp_pkt_set_ttl(&p6, 8), 0);
    CHECK_EQ(v4[8], 9);
    CHECK_EQ(v4[9], 6);
    CHECK_EQ(v6[7], 8);
    CHECK_EQ(v6[6], 6);
    CHECK_EQ(nsp_pkt_set_src_port(&p4, 0x1234), 0);
    CHECK_EQ(nsp_pkt_set_dst_port(&p4, 0x5678), 0);
    CHECK_EQ(nsp_load_be32(v4 + 20), 0x12345678);
    CHECK_EQ(nsp_pkt_set_tcp_window(&p4, 0x9ABC), 0);
    CHECK_EQ(nsp_load_be16(v4 + 34), 0x9ABC);
    CHECK(p4.flags & NSP_PKT_MODIFIED);
}

TEST(udp_checksum_of_zero_means_none)
{
    static const uint8_t addr[16] = { 10, 0, 0, 1 };
    uint8_t bytes[128];
    struct nsp_pkt pkt;

    parse_hex(IPV4("001E", "0000", "11") UDP("000A") "6162", bytes,
              sizeof bytes, &pkt);
    CHECK_EQ(nsp_pkt_fix_checksums(&pkt), 0);
    CHECK_EQ(nsp_pkt_set_ip_dst(&pkt, addr, 4), 0);
    CHECK_EQ(nsp_pkt_set_dst_port(&pkt, 53), 0);
    CHECK_EQ(nsp_load_be16(bytes + 26), 0);
    CHECK(nsp_pkt_checksums_ok(&pkt));

    /* Over IPv6 it is an error that fix_checksums mends (RFC 8200, 8.1). */
    parse_hex(IPV6("000A", "11") UDP("000A") "6162", bytes, sizeof bytes, &pkt);
    CHECK_EQ(nsp_pkt_set_ip_dst(&pkt, addr, 16), 0);
    CHECK_EQ(nsp_load_be16(bytes + 46), 0);
    CHECK(!nsp_pkt_checksums_ok(&pkt));
    CHECK_EQ(nsp_pkt_fix_checksums(&pkt), 0);
    CHECK(is_right(&pkt));
}

/* A port that makes the sum come out at zero, computed and updated. */
TEST(udp_checksum_computed_as_zero_is_stored_as_ones)
{
    uint8_t bytes[128];
    struct nsp_pkt pkt;
    uint16_t csum, port;

    parse_hex(IPV4("001E", "0000", "11") "0000 0050 000A 0001 6162", bytes,
              sizeof bytes, &pkt);
    CHECK_EQ(nsp_pkt_fix_checksums(&pkt), 0);
    csum = nsp_load_be16(bytes + 26);
    port = csum; /* The source port was 0: this adds what is missing to ~0. */
    CHECK_EQ(nsp_pkt_set_src_port(&pkt, port), 0);
    CHECK_EQ(nsp_load_be16(bytes + 26), 0xFFFF);
    CHECK_EQ(nsp_pkt_fix_checksums(&pkt), 0);
    CHECK_EQ(nsp_load_be16(bytes + 26), 0xFFFF);
    CHECK(nsp_pkt_checksums_ok(&pkt));
}

/* A port that makes zero the right sum, were it one. */
TEST(udp_checksum_of_zero_is_wrong_over_ipv6_also_where_it_fits)
{
    uint8_t bytes[128];
    struct nsp_pkt pkt;

    parse_hex(IPV6("000A", "11") "0000 0050 000A 0000 6162", bytes,
              sizeof bytes, &pkt);
    CHECK_EQ(nsp_pkt_fix_checksums(&pkt), 0);
    memcpy(bytes + 40, bytes + 46, 2); /* The source port was 0. */
    memset(bytes + 46, 0, 2);
    CHECK(!nsp_pkt_checksums_ok(&pkt));
    CHECK_EQ(nsp_pkt_set_dst_port(&pkt, 53), 0);
    CHECK(!nsp_pkt_checksums_ok(&pkt));
    CHECK_EQ(nsp_pkt_set_dst_port(&pkt, 0x50), 0);
    CHECK_EQ(nsp_pkt_fix_checksums(&pkt), 0);
    CHECK_EQ(nsp_load_be16(bytes + 46), 0xFFFF);
    CHECK(nsp_pkt_checksums_ok(&pkt));
}

TEST(clamp_mss_lowers_the_option_of_a_syn)
{
    static const struct {
        const char *hex;
        int result;
        uint32_t mss_off;
        uint16_t mss;
    } rows[] = {
        { IPV4("002C", "0000", "06") TCP("60", "02") "020405B4", 0, 42, 1200 },
        { IPV4("002C", "0000", "06") TCP("60", "12") "020405B4", 0, 42, 1200 },
        { IPV4("002C", "0000", "06") TCP("60", "02") "020401F4", 0, 42, 500 },
        /* Odd offset; after other options; with no SYN. */
        { IPV4("0030", "0000", "06") TCP("70", "02") "01020405B4010101", 0, 43,
          1200 },
        { IPV4("0034", "0000", "06")
              TCP("80", "02") "0402 030307 01 0101 020405B4",
          0, 50, 1200 },
        { IPV4("002C", "0000", "06") TCP("60", "10") "020405B4", -ENOENT, 42,
          1460 },
        /* After the end of options; no option; bad lengths. */
        { IPV4("0030", "0000", "06") TCP("70", "02") "00000000020405B4",
          -ENOENT, 46, 1460 },
        { IPV4("0028", "0000", "06") TCP("50", "02") "020405B4", -ENOENT, 42,
          1460 },
        { IPV4("002C", "0000", "06") TCP("60", "02") "020305B4", -ENOENT, 42,
          1460 },
        { IPV4("0030", "0000", "06") TCP("70", "02") "03000101020405B4",
          -ENOENT, 46, 1460 },
        { IPV4("0030", "0000", "06") TCP("70", "02") "030A0101020405B4",
          -ENOENT, 46, 1460 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        uint8_t bytes[128];
        struct nsp_pkt pkt;

        parse_hex(rows[i].hex, bytes, sizeof bytes, &pkt);
        (void)!nsp_pkt_fix_checksums(&pkt);
        pkt.flags = 0;
        CHECK_EQ(nsp_pkt_clamp_mss(&pkt, 1200), rows[i].result);
        CHECK_EQ(nsp_load_be16(bytes + rows[i].mss_off), rows[i].mss);
        CHECK_EQ(pkt.flags, rows[i].mss == 1200 ? NSP_PKT_MODIFIED : 0);
        CHECK(nsp_pkt_checksums_ok(&pkt));
    }
}

/* A first fragment's checksum covers bytes that are elsewhere, a truncated
 * packet's bytes that are not held: both follow the edit all the same. */
TEST(edits_update_checksums_over_bytes_not_held)
{
    static const uint8_t addr[4] = { 10, 1, 2, 3 };
    uint8_t whole[128], part[128];
    struct nsp_pkt pkt, cut;

    parse_hex(IPV4("0030", "0000", "06") TCP("50", "10") "0102030405060708",
              whole, sizeof whole, &pkt);
    CHECK_EQ(nsp_pkt_fix_checksums(&pkt), 0);
    memcpy(part, whole, sizeof whole);
    parse_bytes(part, 42, &cut);
    CHECK(cut.flags & NSP_PKT_TRUNCATED);

    CHECK_EQ(nsp_pkt_set_ip_src(&pkt, addr, 4), 0);
    CHECK_EQ(nsp_pkt_set_dst_port(&pkt, 8080), 0);
    CHECK_EQ(nsp_pkt_set_ip_src(&cut, addr, 4), 0);
    CHECK_EQ(nsp_pkt_set_dst_port(&cut, 8080), 0);
    CHECK_MEM_EQ(whole, part, 42);
    CHECK(is_right(&pkt));
    CHECK(nsp_pkt_checksums_ok(&cut)); /* What can be verified is right. */
    part[10] ^= 1;
    CHECK(!nsp_pkt_checksums_ok(&cut));
    CHECK_EQ(nsp_pkt_fix_checksums(&cut), -EMSGSIZE);
    CHECK(nsp_pkt_checksums_ok(&cut));
    CHECK_MEM_EQ(whole, part, 42);
}

TEST(edits_leave_the_payload_of_later_fragments_alone)
{
    static const uint8_t addr[4] = { 10, 1, 2, 3 };
    uint8_t bytes[128], before[128];
    struct nsp_pkt pkt;

    parse_hex(IPV4("0028", "0010", "06") TCP("50", "02"), bytes, sizeof bytes,
              &pkt);
    memcpy(before, bytes, sizeof bytes);
    CHECK_EQ(nsp_pkt_set_ip_src(&pkt, addr, 4), 0);
    CHECK_EQ(nsp_pkt_set_dst_port(&pkt, 1), -ENOENT);
    CHECK_EQ(nsp_pkt_fix_checksums(&pkt), -EMSGSIZE);
    CHECK_MEM_EQ(bytes + 20, before + 20, 20);
    CHECK_EQ(naive_csum(bytes, 20), 0);
    CHECK(nsp_pkt_checksums_ok(&pkt));
}

/* A fragment header alone makes no fragment (RFC 6946): all is there. */
TEST(fix_checksums_completes_an_atomic_fragment)
{
    uint8_t bytes[128];
    struct nsp_pkt pkt;

    parse_hex(IPV6("0012", "2C") "1100000000000001" UDP("000A") "6162", bytes,
              sizeof bytes, &pkt);
    CHECK_EQ(nsp_pkt_fix_checksums(&pkt), 0);
    CHECK(is_right(&pkt));
    bytes[43] = 1; /* More fragments. */
    CHECK_EQ(nsp_pkt_fix_checksums(&pkt), -EMSGSIZE);
}

/* With segments left in a routing header the checksum covers the last hop, not
 * the address that the IP header has now (RFC 8200, section 8.1). */
TEST(destination_of_a_routed_packet_is_not_covered)
{
    static const uint8_t addr[16] = { 0x20, 0x01, 9 };
    uint8_t bytes[128];
    struct nsp_pkt pkt;
    uint16_t csum;

    parse_hex(IPV6("0022",
                   "2B") "1102020100000000"
                         "20010DB8000000000000000000000003" UDP("000A") "6162",
              bytes, sizeof bytes, &pkt);
    CHECK_EQ(nsp_pkt_fix_checksums(&pkt), 0);
    csum = nsp_load_be16(bytes + pkt.l4_off + 6);
    CHECK_EQ(nsp_pkt_set_ip_dst(&pkt, addr, 16), 0);
    CHECK_EQ(nsp_load_be16(bytes + pkt.l4_off + 6), csum);
    CHECK(nsp_pkt_checksums_ok(&pkt));
    CHECK_EQ(nsp_pkt_set_ip_src(&pkt, addr, 16), 0);
    CHECK(nsp_load_be16(bytes + pkt.l4_off + 6) != csum);
    CHECK(nsp_pkt_checksums_ok(&pkt));
}

/* The UDP length bounds what is covered; one that cannot be covers nothing. */
TEST(udp_length_bounds_what_its_checksum_covers)
{
    static const struct {
        const char *length;
        int result;
    } rows[] = {
        { "000C", 0 }, { "000A", 0 },         { "0008", 0 },
        { "0000", 0 }, { "0007", -EMSGSIZE }, { "000D", -EMSGSIZE },
    };
    uint8_t bytes[128];
    struct nsp_pkt pkt;

    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        parse_hex(IPV4("0020", "0000", "11") UDP("0000") "61626364", bytes,
                  sizeof bytes, &pkt);
        hex_bytes(rows[i].length, bytes + 24, 2);
        bytes[27] = 1;
        CHECK_EQ(nsp_pkt_fix_checksums(&pkt), rows[i].result);
        CHECK(nsp_pkt_checksums_ok(&pkt));
    }

    /* What lies behind the UDP length does not count. */
    parse_hex(IPV4("0020", "0000", "11") "1388 0050 000A 0001 6162FFFE", bytes,
              sizeof bytes, &pkt);
    CHECK_EQ(nsp_pkt_fix_checksums(&pkt), 0);
    bytes[31] ^= 1;
    CHECK(nsp_pkt_checksums_ok(&pkt));
    bytes[29] ^= 1;
    CHECK(!nsp_pkt_checksums_ok(&pkt));
}

/* Rewritten by hand to another length: parsed again, not trusted. */
TEST(fix_checksums_parses_again)
{
    uint8_t bytes[128];
    struct nsp_pkt pkt;

    parse_hex(IPV4("0030", "0000", "06") TCP("50", "10") "0102030405060708",
              bytes, sizeof bytes, &pkt);
    bytes[3] = 0x2A;
    CHECK_EQ(nsp_pkt_fix_checksums(&pkt), 0);
    CHECK_EQ(pkt.payload_bytes, 2);
    CHECK(is_right(&pkt));
    CHECK(pkt.flags & NSP_PKT_MODIFIED);
    pkt.flags = 0;
    CHECK_EQ(nsp_pkt_fix_checksums(&pkt), 0);
    CHECK_EQ(pkt.flags, 0); /* They were right: nothing changed. */
}

TEST_MAIN(cmocka_unit_test(fix_checksums_equals_the_naive_sum),
          cmocka_unit_test(edits_keep_right_checksums_right),
          cmocka_unit_test(edits_keep_wrong_checksums_wrong),
          cmocka_unit_test(edits_keep_partial_checksums_partial),
          cmocka_unit_test(edits_refuse_what_is_not_there),
          cmocka_unit_test(edits_store_in_the_right_bits),
          cmocka_unit_test(udp_checksum_of_zero_means_none),
          cmocka_unit_test(udp_checksum_computed_as_zero_is_stored_as_ones),
          cmocka_unit_test(
              udp_checksum_of_zero_is_wrong_over_ipv6_also_where_it_fits),
          cmocka_unit_test(clamp_mss_lowers_the_option_of_a_syn),
          cmocka_unit_test(edits_update_checksums_over_bytes_not_held),
          cmocka_unit_test(edits_leave_the_payload_of_later_fragments_alone),
          cmocka_unit_test(fix_checksums_completes_an_atomic_fragment),
          cmocka_unit_test(destination_of_a_routed_packet_is_not_covered),
          cmocka_unit_test(udp_length_bounds_what_its_checksum_covers),
          cmocka_unit_test(fix_checksums_parses_again))
