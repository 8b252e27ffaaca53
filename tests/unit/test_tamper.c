#include "impair/tamper.h"

#include <stdlib.h>
#include <string.h>

#include "packet/proto.h"
#include "tests/lib/hex.h"
#include "tests/lib/statistics.h"
#include "tests/lib/test.h"

#define UDP_OF_8 IPV4("0024", "0000", "11") UDP("0010") "0102030405060708"
#define TCP_OF_4 IPV6("0018", "06") TCP("50", "18") "01020304"
#define TCP_OF_0 IPV4("0028", "0000", "06") TCP("50", "10")
/* A later fragment: bytes of the middle of something. */
#define FRAGMENT IPV4("0024", "0010", "11") "00112233445566778899AABBCCDDEEFF"

static uint8_t bytes[256], before[256];

static struct nsp_pkt
sealed(const char *hex)
{
    uint32_t n = (uint32_t)hex_bytes(hex, bytes, sizeof bytes);
    struct nsp_pkt pkt = { .data = bytes, .cap_bytes = n, .wire_bytes = n };

    nsp_pkt_parse(&pkt);
    if (pkt.l4 == NSP_L4_UDP) /* Not "none": to be computed. */
        nsp_store_be16(bytes + pkt.l4_off + 6, 1);
    (void)!nsp_pkt_fix_checksums(&pkt);
    pkt.flags &= (uint16_t)~NSP_PKT_MODIFIED;
    memcpy(before, bytes, sizeof bytes);
    return pkt;
}

/* Bits that differ from 'before', from byte 'from' up to 'to'. */
static uint32_t
flipped(uint32_t from, uint32_t to)
{
    uint32_t count = 0;

    for (uint32_t i = from; i < to; i++)
        count += nsp_popcount_u64(bytes[i] ^ before[i]);
    return count;
}

static bool
apply(const struct nsp_tamper_config *tamper, struct nsp_pkt *pkt,
      struct nsp_prng *random)
{
    CHECK(nsp_tamper_fault(tamper) == NULL);
    return nsp_tamper_apply(tamper, pkt, random);
}

TEST(tamper_flips_as_many_bits_where_it_is_asked)
{
    static const struct {
        const char *hex;
        uint8_t where;
        uint32_t from, to;
    } rows[] = {
        { UDP_OF_8, NSP_TAMPER_PAYLOAD, 28, 36 },
        { UDP_OF_8 "0000", NSP_TAMPER_IP_PAYLOAD, 20, 36 },
        { UDP_OF_8 "0000", NSP_TAMPER_PACKET, 0, 36 },
        { TCP_OF_4, NSP_TAMPER_PAYLOAD, 60, 64 },
        { TCP_OF_4, NSP_TAMPER_IP_PAYLOAD, 40, 64 },
        { TCP_OF_4, NSP_TAMPER_PACKET, 0, 64 },
        { TCP_OF_0, NSP_TAMPER_PAYLOAD, 40, 40 },
        { FRAGMENT, NSP_TAMPER_PAYLOAD, 20, 36 },
        { FRAGMENT, NSP_TAMPER_IP_PAYLOAD, 20, 36 },
        { "0011223344", NSP_TAMPER_PACKET, 0, 0 },
    };
    const uint32_t counts[] = { 1, 2, 8, 31, 64 };
    struct nsp_prng random;

    nsp_prng_init(&random, 1, 0);
    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        for (size_t k = 0; k < 5 * 100; k++) {
            const struct nsp_tamper_config tamper = {
                .flip_bits = counts[k % 5],
                .flip_where = rows[i].where,
            };
            struct nsp_pkt pkt = sealed(rows[i].hex);
            uint32_t all = (rows[i].to - rows[i].from) * 8;

            CHECK_EQ(apply(&tamper, &pkt, &random), all > 0);
            CHECK_EQ(flipped(0, sizeof bytes), nsp_min_u32(all, counts[k % 5]));
            CHECK_EQ(flipped(rows[i].from, rows[i].to),
                     nsp_min_u32(all, counts[k % 5]));
            CHECK_EQ((pkt.flags & NSP_PKT_MODIFIED) != 0, all > 0);
        }
    }
}

/* Chi-square over 64 bits: 63 degrees, 99.9 % below 104. */
TEST(tamper_flips_every_bit_as_often)
{
    const uint32_t counts[] = { 1, 5, 40 };
    const uint32_t rounds = 200000;

    for (size_t c = 0; c < NSP_ARRAY_LEN(counts); c++) {
        const struct nsp_tamper_config tamper = { .flip_bits = counts[c] };
        uint32_t hits[64] = { 0 };
        struct nsp_prng random;
        double p = counts[c] / 64.0, sum = 0;

        nsp_prng_init(&random, 4, c);
        for (uint32_t i = 0; i < rounds; i++) {
            struct nsp_pkt pkt = sealed(UDP_OF_8);

            (void)apply(&tamper, &pkt, &random);
            for (uint32_t bit = 0; bit < 64; bit++)
                hits[bit] +=
                    (bytes[28 + bit / 8] ^ before[28 + bit / 8]) >> bit % 8 & 1;
        }
        for (uint32_t bit = 0; bit < 64; bit++) {
            double off = hits[bit] - rounds * p;

            sum += off * off / (rounds * p * (1 - p));
        }
        CHECK(sum * 63 / 64 < 104);
    }
}

TEST(tamper_leaves_breaks_or_repairs_checksums_as_asked)
{
    static const char *const packets[] = { UDP_OF_8, TCP_OF_4 };
    struct nsp_prng random;

    nsp_prng_init(&random, 2, 0);
    for (size_t i = 0; i < NSP_ARRAY_LEN(packets); i++) {
        for (int k = 0; k < 1000; k++) {
            struct nsp_tamper_config tamper = { .flip_bits = 1 };
            struct nsp_pkt pkt = sealed(packets[i]);

            CHECK(apply(&tamper, &pkt, &random));
            CHECK(!nsp_pkt_checksums_ok(&pkt));

            tamper.csum = NSP_TAMPER_CSUM_REPAIR;
            pkt = sealed(packets[i]);
            CHECK(apply(&tamper, &pkt, &random));
            CHECK(nsp_pkt_checksums_ok(&pkt));

            tamper =
                (struct nsp_tamper_config){ .csum = NSP_TAMPER_CSUM_BREAK };
            pkt = sealed(packets[i]);
            CHECK(apply(&tamper, &pkt, &random));
            CHECK(!nsp_pkt_checksums_ok(&pkt));
            CHECK_EQ(flipped(0, sizeof bytes), 1);
        }
    }
}

/* A device that completed it afterwards would hide the damage. */
TEST(tamper_completes_a_partial_checksum_before_the_damage)
{
    const struct nsp_tamper_config tamper = { .flip_bits = 1 };
    struct nsp_pkt pkt = sealed(TCP_OF_4);
    struct nsp_prng random;

    nsp_prng_init(&random, 3, 0);
    nsp_store_be16(bytes + 56, 0x1234);
    pkt.csum = NSP_CSUM_PARTIAL;
    CHECK(apply(&tamper, &pkt, &random));
    CHECK_EQ(flipped(0, 60), 0);
    CHECK_EQ(flipped(60, 64), 1);
    CHECK(pkt.csum != NSP_CSUM_PARTIAL);
    CHECK(!nsp_pkt_checksums_ok(&pkt));
}

TEST(tamper_cuts_packets_of_both_families)
{
    static const struct {
        const char *hex;
        uint32_t to, expected;
    } rows[] = {
        { UDP_OF_8, 30, 30 }, { UDP_OF_8, 20, 20 }, { UDP_OF_8, 36, 36 },
        { UDP_OF_8, 99, 36 }, { TCP_OF_4, 20, 40 }, { TCP_OF_4, 61, 61 },
    };
    struct nsp_prng random;

    nsp_prng_init(&random, 3, 0);
    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        struct nsp_tamper_config tamper = { .truncate_bytes = rows[i].to };
        struct nsp_pkt pkt = sealed(rows[i].hex);
        uint32_t whole = pkt.ip_bytes;

        CHECK_EQ(apply(&tamper, &pkt, &random), rows[i].expected < whole);
        CHECK_EQ(pkt.ip_bytes, rows[i].expected);
        CHECK_EQ(pkt.wire_bytes, rows[i].expected);

        tamper.csum = NSP_TAMPER_CSUM_REPAIR;
        pkt = sealed(rows[i].hex);
        (void)apply(&tamper, &pkt, &random);
        CHECK(nsp_pkt_checksums_ok(&pkt));
    }
}

TEST(tamper_rewrites_payloads)
{
    struct nsp_tamper_config tamper = {
        .rewrite = NSP_TAMPER_FILL,
        .fill_bytes = 3,
        .fill = "abc",
        .csum = NSP_TAMPER_CSUM_REPAIR,
    };
    struct nsp_pkt pkt = sealed(UDP_OF_8 "EEEE");
    struct nsp_prng random, same;

    nsp_prng_init(&random, 3, 0);
    nsp_prng_init(&same, 3, 0);
    CHECK(apply(&tamper, &pkt, &random));
    CHECK_MEM_EQ(bytes + 28, "abcabcab\xEE\xEE", 10);
    CHECK(nsp_pkt_checksums_ok(&pkt));
    CHECK_MEM_EQ(&random, &same, sizeof same);

    tamper.rewrite = NSP_TAMPER_RANDOM;
    pkt = sealed(UDP_OF_8 "EEEE");
    CHECK(apply(&tamper, &pkt, &random));
    CHECK_EQ(nsp_load_be16(bytes + 36), 0xEEEE);
    CHECK(nsp_pkt_checksums_ok(&pkt));
    (void)nsp_prng_next(&same);
    CHECK_MEM_EQ(&random, &same, sizeof same);
    CHECK(memcmp(bytes + 28, before + 28, 8) != 0);

    pkt = sealed(TCP_OF_0);
    CHECK(!apply(&tamper, &pkt, &random));
    CHECK_EQ(pkt.flags & NSP_PKT_MODIFIED, 0);
}

/* Whatever is damaged, what is said of the packet lies within its bytes. */
TEST(tamper_survives_damage_to_headers)
{
    static const char *const packets[] = { UDP_OF_8, TCP_OF_4, FRAGMENT };
    struct nsp_prng random;

    nsp_prng_init(&random, 8, 0);
    for (int i = 0; i < 300000; i++) {
        struct nsp_pkt pkt = sealed(packets[i % 3]), again;
        uint8_t *copy = malloc(pkt.cap_bytes);
        const struct nsp_tamper_config tamper = {
            .flip_bits = 1 + nsp_prng_below(&random, 16),
            .flip_where = NSP_TAMPER_PACKET,
            .truncate_bytes = i % 2 == 0 ? 0 : 20 + nsp_prng_below(&random, 50),
            .rewrite = (uint8_t)(i % 5 == 0 ? NSP_TAMPER_RANDOM : 0),
            .csum = (uint8_t)nsp_prng_below(&random, 3),
        };

        CHECK(copy != NULL);
        memcpy(copy, bytes, pkt.cap_bytes);
        pkt.data = copy;
        (void)apply(&tamper, &pkt, &random);
        (void)apply(&tamper, &pkt, &random); /* Of damaged headers. */
        CHECK(pkt.cap_bytes <= pkt.wire_bytes);
        again = pkt;
        nsp_pkt_parse(&again);
        CHECK_MEM_EQ(&again, &pkt, sizeof pkt);
        free(copy);
    }
}

TEST(tamper_refuses_what_makes_no_sense)
{
    const struct nsp_tamper_config cases[] = {
        { .truncate_bytes = 19 },
        { .flip_bits = NSP_TAMPER_FLIP_MAX + 1 },
        { .flip_where = NSP_TAMPER_PACKET + 1 },
        { .rewrite = NSP_TAMPER_RANDOM + 1 },
        { .csum = NSP_TAMPER_CSUM_BREAK + 1 },
        { .rewrite = NSP_TAMPER_FILL },
        { .rewrite = NSP_TAMPER_FILL, .fill_bytes = NSP_TAMPER_FILL_MAX + 1 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(cases); i++)
        CHECK(nsp_tamper_fault(&cases[i]) != NULL);
}

TEST_MAIN(
    cmocka_unit_test(tamper_flips_as_many_bits_where_it_is_asked),
    cmocka_unit_test(tamper_flips_every_bit_as_often),
    cmocka_unit_test(tamper_leaves_breaks_or_repairs_checksums_as_asked),
    cmocka_unit_test(tamper_completes_a_partial_checksum_before_the_damage),
    cmocka_unit_test(tamper_cuts_packets_of_both_families),
    cmocka_unit_test(tamper_rewrites_payloads),
    cmocka_unit_test(tamper_survives_damage_to_headers),
    cmocka_unit_test(tamper_refuses_what_makes_no_sense))
