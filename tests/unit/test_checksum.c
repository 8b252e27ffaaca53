#include "packet/checksum.h"

#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "tests/lib/hex.h"
#include "tests/lib/naive_csum.h"
#include "tests/lib/test.h"

TEST(checksum_matches_published_examples)
{
    static const struct {
        const char *hex;
        uint16_t csum;
    } examples[] = {
        { "", 0xFFFF },
        /* RFC 1071, section 3: the sum is ddf2. */
        { "0001 F203 F4F5 F6F7", (uint16_t)~0xDDF2 },
        /* An odd byte counts as its upper half. */
        { "01", (uint16_t)~0x0100 },
        { "FFFF", 0x0000 },
        { "FFFF 0001", (uint16_t)~0x0001 },
        /* An IPv4 header without, then with its checksum. */
        { "4500 0073 0000 4000 4011 0000 C0A80001 C0A800C7", 0xB861 },
        { "4500 0073 0000 4000 4011 B861 C0A80001 C0A800C7", 0x0000 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(examples); i++) {
        uint8_t bytes[64];
        size_t n = hex_bytes(examples[i].hex, bytes, sizeof bytes);

        CHECK_EQ(nsp_csum_fold(nsp_csum_add(0, bytes, n)), examples[i].csum);
        CHECK_EQ(naive_csum(bytes, n), examples[i].csum);
    }
}

TEST(checksum_equals_the_naive_one_at_every_length_and_alignment)
{
    struct nsp_prng prng;
    uint8_t bytes[400];

    nsp_prng_init(&prng, 1, 0);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)nsp_prng_next(&prng);
    for (size_t start = 0; start < 9; start++)
        for (size_t n = 0; start + n <= sizeof bytes; n++)
            CHECK_EQ(nsp_csum_fold(nsp_csum_add(0, bytes + start, n)),
                     naive_csum(bytes + start, n));
}

/* Nothing is lost to a carry: all ones, 64 KiB of them. */
TEST(checksum_carries_end_around)
{
    static uint8_t ones[65536];

    memset(ones, 0xFF, sizeof ones);
    for (size_t n = 65400; n <= sizeof ones; n++)
        CHECK_EQ(nsp_csum_fold(nsp_csum_add(0, ones, n)), naive_csum(ones, n));
    CHECK_EQ(nsp_csum_fold(UINT64_MAX), 0);
    CHECK_EQ(nsp_csum_fold(UINT64_C(0xFFFFFFFF00000001)), 0xFFFE);
}

TEST(checksum_adds_pieces_that_are_even)
{
    struct nsp_prng prng;
    uint8_t bytes[97];

    nsp_prng_init(&prng, 2, 0);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)nsp_prng_next(&prng);
    for (size_t cut = 0; cut < sizeof bytes; cut += 2) {
        uint64_t sum = nsp_csum_add(0, bytes, cut);

        sum = nsp_csum_add(sum, bytes + cut, sizeof bytes - cut);
        CHECK_EQ(nsp_csum_fold(sum), naive_csum(bytes, sizeof bytes));
    }
}

/* Against a full sum, over random words and the corners where one's complement
 * has two zeros. The first word is never zero, as in any header. */
TEST(update16_equals_a_full_sum)
{
    static const uint16_t corners[] = { 0, 1, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF };
    struct nsp_prng prng;

    nsp_prng_init(&prng, 3, 0);
    for (uint32_t i = 0; i < 200000; i++) {
        uint64_t random = nsp_prng_next(&prng);
        uint16_t before = (uint16_t)random, after = (uint16_t)(random >> 16);
        uint8_t bytes[6] = { 0x45, 0 };
        uint16_t csum;

        if (i % 4 == 0)
            before = corners[(random >> 32) % NSP_ARRAY_LEN(corners)];
        if (i % 3 == 0)
            after = corners[(random >> 40) % NSP_ARRAY_LEN(corners)];
        nsp_store_be16(bytes + 2, before);
        nsp_store_be16(bytes + 4, (uint16_t)(random >> 48));
        csum = naive_csum(bytes, sizeof bytes);
        nsp_store_be16(bytes + 2, after);
        CHECK_EQ(nsp_csum_update16(csum, before, after),
                 naive_csum(bytes, sizeof bytes));
    }
    /* RFC 1624, section 4: the example that its predecessor got wrong. */
    CHECK_EQ(nsp_csum_update16(0xDD2F, 0x5555, 0x3285), 0x0000);
}

static void
parse_hex(const char *hex, uint8_t *bytes, size_t max, struct nsp_pkt *ret)
{
    uint32_t n = (uint32_t)hex_bytes(hex, bytes, max);

    *ret = (struct nsp_pkt){ .data = bytes, .cap_bytes = n, .wire_bytes = n };
    nsp_pkt_parse(ret);
}

/* Each pseudo-header spelled out as RFC 793 and RFC 8200 draw it. */
TEST(pseudo_header_is_the_rfcs)
{
    static const struct {
        const char *packet, *pseudo;
        uint8_t ip_proto;
    } rows[] = {
        { IPV4("001C", "0000", "11") UDP("0008"), "C0000201 C0000202 0011 0008",
          17 },
        { IPV6("0008", "11") UDP("0008"),
          "20010DB8000000000000000000000001 20010DB8000000000000000000000002"
          "00000008 00000011",
          17 },
        /* Routing headers: with segments left the last hop counts (type 0: the
         * last address; type 2: the one address; type 4: the first of the
         * list), without the IP header's. */
        { IPV6("0020", "2B") "1102020100000000"
                             "20010DB8000000000000000000000003" UDP("0008"),
          "20010DB8000000000000000000000001 20010DB8000000000000000000000003"
          "00000008 00000011",
          17 },
        { IPV6("0030", "2B") "1104000100000000"
                             "20010DB8000000000000000000000003"
                             "20010DB8000000000000000000000004" UDP("0008"),
          "20010DB8000000000000000000000001 20010DB8000000000000000000000004"
          "00000008 00000011",
          17 },
        { IPV6("0020", "2B") "1102020000000000"
                             "20010DB8000000000000000000000003" UDP("0008"),
          "20010DB8000000000000000000000001 20010DB8000000000000000000000002"
          "00000008 00000011",
          17 },
        { IPV6("0038", "00") "2B00010400000000"
                             "1104040101000000"
                             "20010DB8000000000000000000000004 "
                             "20010DB8000000000000000000000002" UDP("0008"),
          "20010DB8000000000000000000000001 20010DB8000000000000000000000004"
          "00000008 00000011",
          17 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        uint8_t bytes[256], pseudo[64];
        size_t pseudo_bytes = hex_bytes(rows[i].pseudo, pseudo, sizeof pseudo);
        struct nsp_pkt pkt;

        parse_hex(rows[i].packet, bytes, sizeof bytes, &pkt);
        CHECK_EQ(pkt.l4, NSP_L4_UDP);
        CHECK_EQ(nsp_csum_fold(nsp_csum_pseudo(&pkt, rows[i].ip_proto, 8)),
                 naive_csum(pseudo, pseudo_bytes));
    }
}

TEST(dst_off_is_none_behind_an_unknown_routing_header)
{
    uint8_t bytes[256];
    struct nsp_pkt pkt;

    parse_hex(IPV6("0020", "2B") "1102630100000000"
                                 "20010DB8000000000000000000000003" UDP("0008"),
              bytes, sizeof bytes, &pkt);
    CHECK_EQ(nsp_csum_dst_off(&pkt), NSP_OFF_NONE);
    /* Too short for the address that it should hold. */
    parse_hex(IPV6("0010", "2B") "1100020100000000" UDP("0008"), bytes,
              sizeof bytes, &pkt);
    CHECK_EQ(nsp_csum_dst_off(&pkt), NSP_OFF_NONE);
    /* Rewritten since it was parsed: now past the transport header. */
    bytes[41] = 255;
    CHECK_EQ(nsp_csum_dst_off(&pkt), NSP_OFF_NONE);
}

TEST_MAIN(cmocka_unit_test(checksum_matches_published_examples),
          cmocka_unit_test(
              checksum_equals_the_naive_one_at_every_length_and_alignment),
          cmocka_unit_test(checksum_carries_end_around),
          cmocka_unit_test(checksum_adds_pieces_that_are_even),
          cmocka_unit_test(update16_equals_a_full_sum),
          cmocka_unit_test(pseudo_header_is_the_rfcs),
          cmocka_unit_test(dst_off_is_none_behind_an_unknown_routing_header))
