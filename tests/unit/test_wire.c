/* A packet is known by its numbers, whatever has become of the rest. */
#include "verify/wire.h"
#include "tests/lib/test.h"

#include <string.h>

enum { TCP = 6, UDP = 17, ACK = 0x10, RST = 0x04 };

static struct nsp_test_packet packet;
static uint8_t data[NSP_TEST_PKT_BYTES_MAX];

static void
write_number(bool ipv6, uint8_t proto, uint16_t payload_bytes, uint32_t number)
{
    const struct nsp_test_fields fields = { .ipv6 = ipv6,
                                            .proto = proto,
                                            .sport = 1,
                                            .dport = 2,
                                            .ttl = 64,
                                            .tcp_flags = ACK,
                                            .payload_bytes = payload_bytes };

    nsp_test_packet_build(&packet, &fields);
    nsp_wire_write(&packet, number, 65, data);
}

static uint32_t
number_of(uint32_t next)
{
    return nsp_wire_number(&packet, data, packet.bytes, next);
}

TEST(packets_are_right_and_tell_their_number)
{
    for (int kind = 0; kind < 8; kind++) {
        struct nsp_pkt pkt;

        write_number((kind & 1) != 0, (kind & 2) ? TCP : UDP,
                     (kind & 4) ? 64 : 0, 59999);
        nsp_test_packet_describe(&packet, data, &pkt);
        nsp_pkt_parse(&pkt);
        CHECK(nsp_pkt_checksums_ok(&pkt));
        CHECK_EQ(data[(kind & 1) ? 7 : 8], 65);
        CHECK_EQ(number_of(0), 59999);
        CHECK_EQ(number_of(59999), 59999);
    }
}

/* Packets lost before it do not matter, unless one of its numbers is gone. */
TEST(a_damaged_packet_is_the_next)
{
    write_number(false, UDP, 64, 300);
    data[packet.payload_off + 7] ^= 1;
    CHECK_EQ(number_of(300), 300);
    data[5] ^= 1;
    CHECK_EQ(number_of(300), 300);
    CHECK_EQ(nsp_wire_number(&packet, data, 3, 17), 17);

    write_number(false, UDP, 64, 300);
    data[40] ^= 1;
    CHECK_EQ(number_of(7), 300);
    CHECK_EQ(nsp_wire_number(&packet, data, 20, 300), 300);
}

TEST(a_reset_is_bare_and_of_tcp)
{
    write_number(false, TCP, 64, 1);
    data[33] |= RST;
    CHECK(!nsp_wire_is_reset(&packet, data, packet.bytes));
    CHECK(nsp_wire_is_reset(&packet, data, 40));
    data[33] = ACK;
    CHECK(!nsp_wire_is_reset(&packet, data, 40));
    write_number(false, UDP, 64, 1);
    data[33] |= RST;
    CHECK(!nsp_wire_is_reset(&packet, data, 40));
}

TEST(neighbours_may_ask)
{
    write_number(true, UDP, 64, 1);
    CHECK(!nsp_wire_is_discovery(data, packet.bytes));
    data[6] = 58;
    data[40] = 135;
    CHECK(nsp_wire_is_discovery(data, packet.bytes));
    data[40] = 3;
    CHECK(!nsp_wire_is_discovery(data, packet.bytes));
}

TEST_MAIN(cmocka_unit_test(packets_are_right_and_tell_their_number),
          cmocka_unit_test(a_damaged_packet_is_the_next),
          cmocka_unit_test(a_reset_is_bare_and_of_tcp),
          cmocka_unit_test(neighbours_may_ask))
