/* Effects that change packets or answer them, in virtual time. */
#include <string.h>

#include "base/base.h"
#include "tests/lib/engine_run.h"
#include "tests/lib/frames.h"
#include "tests/lib/naive_csum.h"
#include "tests/lib/statistics.h"
#include "tests/lib/test.h"

#define TCP_SYN 0x02
#define TCP_ACK 0x10

static struct run run;

/* The transport checksum of an IPv4 packet, by the book: 0 when right. */
static uint16_t
transport_csum(const uint8_t *ip, uint32_t ip_bytes)
{
    uint8_t pseudo[12 + 1600] = { 0 };
    uint32_t l4_bytes = ip_bytes - 20;

    memcpy(pseudo, ip + 12, 8);
    pseudo[9] = ip[9];
    nsp_store_be16(pseudo + 10, (uint16_t)l4_bytes);
    memcpy(pseudo + 12, ip + 20, l4_bytes);
    return naive_csum(pseudo, 12 + l4_bytes);
}

static bool
ip_csum_ok(const uint8_t *ip)
{
    return naive_csum(ip, 20) == 0;
}

static uint32_t
bits_apart(const uint8_t *a, const uint8_t *b, uint32_t bytes)
{
    uint32_t bits = 0;

    for (uint32_t i = 0; i < bytes; i++)
        bits += nsp_popcount_u64(a[i] ^ b[i]);
    return bits;
}

TEST(bits_are_flipped_and_the_checksum_tells_or_is_repaired)
{
    for (int repair = 0; repair <= 1; repair++) {
        struct nsp_memory *memory = run_memory();
        uint32_t hit = 0;

        push_udp(memory, 2000, 100, 53, 0, 0, 0, NSP_INBOUND);
        run_rule(
            memory,
            (struct nsp_rule){
                .effects.tamper = { .ppm = 250000,
                                    .flip_bits = 3,
                                    .csum = repair ? NSP_TAMPER_CSUM_REPAIR
                                                   : NSP_TAMPER_CSUM_KEEP } },
            &run);
        CHECK_EQ(run.count, 2000);
        for (uint32_t i = 0; i < run.count; i++) {
            uint8_t was[100];
            uint32_t bits;

            frame_udp(was, 100, 53, i);
            bits = bits_apart(was + 28, run.bytes[i] + 28, 72);
            CHECK(bits == 0 || bits == 3);
            hit += bits != 0;
            CHECK_MEM_EQ(was, run.bytes[i], 26);
            CHECK(ip_csum_ok(run.bytes[i]));
            CHECK_EQ(transport_csum(run.bytes[i], 100) == 0,
                     repair || bits == 0);
        }
        CHECK(is_binomial(hit, 2000, 0.25));
        CHECK_EQ(run.stats.modified_pkts, hit);
    }
}

/* Two rules, one packet: the damages add up, and edits come out right. */
TEST(damages_of_several_rules_add_up_behind_the_edits)
{
    static const struct nsp_rule rules[] = {
        { .go_on = true,
          .effects.tamper = { .ppm = NSP_PPM_ONE, .truncate_bytes = 80 } },
        { .edits = { .which = NSP_EDIT_TTL, .ttl = 7 },
          .effects.tamper = { .ppm = NSP_PPM_ONE,
                              .rewrite = NSP_TAMPER_FILL,
                              .fill_bytes = 2,
                              .fill = { 0xab, 0xcd },
                              .csum = NSP_TAMPER_CSUM_REPAIR } },
    };
    struct nsp_memory *memory = run_memory();

    push_udp(memory, 1, 100, 53, 0, 0, 0, NSP_INBOUND);
    run_all(memory,
            (struct nsp_engine_config){
                .policy = { .rules = rules, .rule_count = 2 } },
            "true", &run);
    CHECK_EQ(run.count, 1);
    CHECK_EQ(run.out[0].bytes, 80);
    CHECK_EQ(run.ttls[0], 7);
    CHECK_EQ(nsp_load_be16(run.bytes[0] + 28), 0xabcd);
    CHECK_EQ(nsp_load_be16(run.bytes[0] + 78), 0xabcd);
    CHECK(ip_csum_ok(run.bytes[0]));
    CHECK_EQ(transport_csum(run.bytes[0], 80), 0);
    CHECK_EQ(run.stats.delivered_bytes, 100);
}

static void
push_big(struct nsp_memory *memory, uint32_t bytes, bool dont_fragment)
{
    uint8_t data[1500];
    const struct nsp_memory_frame frame = { .data = data,
                                            .bytes = bytes,
                                            .direction = NSP_OUTBOUND };

    frame_udp(data, bytes, 53, 1);
    if (dont_fragment) {
        nsp_store_be16(data + 6, 0x4000);
        nsp_store_be16(data + 10, 0);
        nsp_store_be16(data + 10, naive_csum(data, 20));
    }
    CHECK_EQ(nsp_memory_push_burst(memory, 0, &frame, 1), 1);
}

TEST(packets_above_the_mtu_are_dropped_answered_or_cut)
{
    static const uint8_t ways[] = { NSP_MTU_DROP, NSP_MTU_ANSWER,
                                    NSP_MTU_TRUNCATE };
    static const uint32_t out[] = { 1, 3, 3 };

    for (size_t w = 0; w < NSP_ARRAY_LEN(ways); w++) {
        struct nsp_memory *memory = run_memory();

        push_big(memory, 600, true);
        push_big(memory, 601, true);
        push_big(memory, 1000, false);
        run_rule(memory,
                 (struct nsp_rule){
                     .effects.mtu = { .max_bytes = 600, .excess = ways[w] } },
                 &run);
        CHECK_EQ(run.count, out[w]);
        if (ways[w] == NSP_MTU_TRUNCATE) {
            for (uint32_t i = 0; i < 3; i++)
                CHECK_EQ(run.out[i].bytes, 600);
            CHECK_EQ(run.stats.modified_pkts, 2);
            continue;
        }
        CHECK_EQ(run.stats.dropped_pkts[NSP_DROP_MTU],
                 ways[w] == NSP_MTU_DROP ? 2 : 1);
        for (uint32_t i = 0; i < run.count; i++) {
            const uint8_t *ip = run.bytes[i];

            CHECK_EQ(run.out[i].injected, ip[9] == 1);
            if (ip[9] != 1)
                continue;
            CHECK_EQ(ip[20], 3); /* Unreachable: fragmentation needed. */
            CHECK_EQ(ip[21], 4);
            CHECK_EQ(nsp_load_be16(ip + 26), 600);
            CHECK_EQ(naive_csum(ip + 20, run.out[i].bytes - 20), 0);
            CHECK_EQ(run.out[i].direction, NSP_INBOUND);
        }
    }
}

/* A SYN with or without the option, from either end. */
static void
push_segment(struct nsp_memory *memory, bool reply, uint8_t flags,
             uint16_t window, int scale)
{
    uint8_t data[48];
    const struct nsp_memory_frame frame = { .data = data, .bytes = 48 };
    struct nsp_pkt pkt = { .data = data, .cap_bytes = 48, .wire_bytes = 48 };

    frame_tcp(data, 48, 4000, flags, 0);
    data[32] = 7 << 4;
    memset(data + 40, 1, 8); /* No operation. */
    if (scale >= 0) {
        data[40] = 3;
        data[41] = 3;
        data[42] = (uint8_t)scale;
    }
    nsp_store_be16(data + 34, window);
    if (reply) {
        data[15] = 2;
        data[19] = 1;
    }
    CHECK_EQ(nsp_pkt_fix_checksums(&pkt), 0);
    CHECK_EQ(nsp_memory_push_burst(memory, 0, &frame, 1), 1);
}

TEST(windows_are_clamped_by_the_scale_of_the_handshake)
{
    static const struct {
        int syn, answer; /* Scales; -1 none. */
        uint16_t expected[4];
    } rows[] = {
        { 7, 2, { 20000, 20000, 20000 >> 7, 20000 >> 2 } },
        { -1, 2, { 20000, 20000, 20000, 20000 } },
        { 7, -1, { 20000, 20000, 20000, 20000 } },
        { 14, 0, { 20000, 20000, 1, 20000 } },
    };

    for (size_t r = 0; r < NSP_ARRAY_LEN(rows); r++) {
        struct nsp_memory *memory = run_memory();

        push_segment(memory, false, TCP_SYN, 65535, rows[r].syn);
        push_segment(memory, true, TCP_SYN | TCP_ACK, 65535, rows[r].answer);
        push_segment(memory, false, TCP_ACK, 65535, -1);
        push_segment(memory, true, TCP_ACK, 65535, -1);
        push_segment(memory, true, TCP_ACK, 0, -1);
        run_rule(memory,
                 (struct nsp_rule){ .effects.tcp_window.max_bytes = 20000 },
                 &run);
        CHECK_EQ(run.count, 5);
        for (uint32_t i = 0; i < 4; i++)
            CHECK_EQ(nsp_load_be16(run.bytes[i] + 34), rows[r].expected[i]);
        CHECK_EQ(nsp_load_be16(run.bytes[4] + 34), 0);
        for (uint32_t i = 0; i < run.count; i++)
            CHECK_EQ(transport_csum(run.bytes[i], 48), 0);
    }
}

TEST_MAIN(
    cmocka_unit_test(bits_are_flipped_and_the_checksum_tells_or_is_repaired),
    cmocka_unit_test(damages_of_several_rules_add_up_behind_the_edits),
    cmocka_unit_test(packets_above_the_mtu_are_dropped_answered_or_cut),
    cmocka_unit_test(windows_are_clamped_by_the_scale_of_the_handshake))
