#include "packet/tcp.h"

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

TEST(tcp_tells_kinds_of_segments)
{
    static const struct {
        const char *hex;
        bool syn, ack, pure;
        uint32_t length;
    } rows[] = {
        { IPV4("0028", "0000", "06") TCP("50", "02"), true, false, false, 1 },
        { IPV4("0028", "0000", "06") TCP("50", "12"), false, true, false, 1 },
        { IPV4("0028", "0000", "06") TCP("50", "10"), false, true, true, 0 },
        /* ECE, CWR, PSH and URG change nothing. */
        { IPV4("0028", "0000", "06") TCP("50", "F8"), false, true, true, 0 },
        { IPV4("0028", "0000", "06") TCP("50", "C2"), true, false, false, 1 },
        { IPV4("0028", "0000", "06") TCP("50", "11"), false, true, false, 1 },
        { IPV4("0028", "0000", "06") TCP("50", "14"), false, true, false, 0 },
        { IPV4("0028", "0000", "06") TCP("50", "00"), false, false, false, 0 },
        { IPV4("002A", "0000", "06") TCP("50", "18") "0102", false, true, false,
          2 },
        { IPV6("0018", "06") TCP("60", "10") "01010101", false, true, true, 0 },
        { IPV6("0016", "06") TCP("50", "03") "0102", true, false, false, 4 },
        /* Data on the wire that is not held is data. */
        { IPV4("0400", "0000", "06") TCP("50", "10"), false, true, false, 984 },
        /* Padding of the link is none. */
        { IPV4("0028", "0000", "06") TCP("50", "10") "000000000000", false,
          true, true, 0 },
        { IPV4("001C", "0000", "11") UDP("0008"), false, false, false, 0 },
        { IPV4("0028", "0001", "06") TCP("50", "02"), false, false, false, 0 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        struct nsp_pkt pkt = parsed(rows[i].hex);

        pkt.wire_bytes = 2000;
        nsp_pkt_parse(&pkt);
        CHECK_EQ(nsp_tcp_is_syn(&pkt), rows[i].syn);
        CHECK_EQ(nsp_tcp_has_ack(&pkt), rows[i].ack);
        CHECK_EQ(nsp_tcp_is_pure_ack(&pkt), rows[i].pure);
        CHECK_EQ(nsp_tcp_segment_bytes(&pkt), rows[i].length);
    }
}

TEST(tcp_reads_the_window_scale_of_syns)
{
    static const struct {
        const char *hex;
        uint8_t scale;
    } rows[] = {
        { IPV4("002C", "0000", "06") TCP("60", "02") "01030307", 7 },
        { IPV4("002C", "0000", "06") TCP("60", "12") "03030E00", 14 },
        { IPV4("002C", "0000", "06") TCP("60", "02") "0303FF00", 14 },
        { IPV4("0030", "0000", "06") TCP("70", "02") "020405B403030200", 2 },
        { IPV4("0034", "0000", "06") TCP("80", "02") "020405B40101040201030308",
          8 },
        { IPV4("002C", "0000", "06") TCP("60", "10") "01030307", 255 },
        { IPV4("002C", "0000", "06") TCP("60", "02") "00030307", 255 },
        { IPV4("002C", "0000", "06") TCP("60", "02") "01010303", 255 },
        { IPV4("002C", "0000", "06") TCP("60", "02") "03020700", 255 },
        { IPV4("002C", "0000", "06") TCP("60", "02") "08000303", 255 },
        { IPV4("0028", "0000", "06") TCP("50", "02"), 255 },
        { IPV4("001C", "0000", "11") UDP("0008"), 255 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        struct nsp_pkt pkt = parsed(rows[i].hex);

        CHECK_EQ(nsp_tcp_window_scale(&pkt), rows[i].scale);
    }
}

TEST(tcp_clamps_windows_by_their_scale)
{
    static const struct {
        const char *flags;
        uint16_t window;
        uint32_t max_bytes;
        uint8_t scale;
        uint16_t expected;
    } rows[] = {
        { "10", 65535, 65535, 0, 65535 },
        { "10", 65535, 1000, 0, 1000 },
        { "10", 999, 1000, 0, 999 },
        { "10", 65535, 65536, 7, 512 },
        { "10", 512, 65536, 7, 512 },
        { "10", 513, 65663, 7, 512 },
        { "10", 9, 100, 7, 1 },
        { "10", 0, 100, 7, 0 },
        { "10", 9, 0, 7, 0 },
        { "02", 65535, 1000, 7, 1000 },
        { "12", 65535, 4096, 14, 4096 },
        { "10", 65535, UINT32_MAX, 0, 65535 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        struct nsp_pkt pkt = parsed(IPV6("0014", "06") TCP("50", "10"));

        hex_bytes(rows[i].flags, &bytes[53], 1);
        nsp_store_be16(bytes + 54, rows[i].window);
        CHECK_EQ(nsp_pkt_fix_checksums(&pkt), 0);
        pkt.flags = 0;
        CHECK_EQ(nsp_tcp_exceeds_window(&pkt, rows[i].max_bytes, rows[i].scale),
                 rows[i].expected != rows[i].window);
        CHECK_EQ(nsp_tcp_clamp_window(&pkt, rows[i].max_bytes, rows[i].scale),
                 0);
        CHECK_EQ(nsp_load_be16(bytes + 54), rows[i].expected);
        CHECK(nsp_pkt_checksums_ok(&pkt));
        CHECK_EQ(pkt.flags != 0, rows[i].expected != rows[i].window);
    }
}

TEST(tcp_clamps_no_window_of_what_has_none)
{
    struct nsp_pkt pkt = parsed(IPV4("001C", "0000", "11") UDP("0008"));

    CHECK(!nsp_tcp_exceeds_window(&pkt, 0, 0));
    CHECK_EQ(nsp_tcp_clamp_window(&pkt, 0, 0), -ENOENT);
    CHECK_EQ(pkt.flags, 0);
}

TEST_MAIN(cmocka_unit_test(tcp_tells_kinds_of_segments),
          cmocka_unit_test(tcp_reads_the_window_scale_of_syns),
          cmocka_unit_test(tcp_clamps_windows_by_their_scale),
          cmocka_unit_test(tcp_clamps_no_window_of_what_has_none))
