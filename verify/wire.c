#include "verify/wire.h"

#include <string.h>

#include "verify/bytes.h"

enum { TCP = 6, ICMPV6 = 58, RST = 0x04 };

#define TCP_BYTES 20u

/* Router solicitation to redirect. */
#define DISCOVERY_FIRST 133
#define DISCOVERY_LAST  137

static uint32_t
stamp_off(const struct nsp_test_packet *packet)
{
    return packet->fields.ipv6 ? 2 : 4;
}

static void
fix_ipv4_checksum(uint8_t *ip)
{
    uint32_t sum = 0;

    store16(ip + 10, 0);
    for (uint32_t i = 0; i < IPV4_BYTES; i += 2)
        sum += load16(ip + i);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    store16(ip + 10, ~sum & 0xffff);
}

/* From 1 on: an identification of 0 may be replaced by who sends it. */
void
nsp_wire_write(const struct nsp_test_packet *packet, uint32_t number,
               uint32_t ttl, uint8_t *ret)
{
    memcpy(ret, packet->data, packet->bytes);
    nsp_test_packet_number(packet, ret, number);
    store16(ret + stamp_off(packet), number + 1);
    ret[packet->fields.ipv6 ? 7 : 8] = (uint8_t)ttl;
    if (!packet->fields.ipv6)
        fix_ipv4_checksum(ret);
}

static bool
read_payload_number(const struct nsp_test_packet *packet, const uint8_t *data,
                    uint32_t bytes, uint64_t *ret)
{
    if (packet->fields.payload_bytes < NSP_TEST_NUMBER_BYTES ||
        bytes < packet->payload_off + NSP_TEST_NUMBER_BYTES)
        return false;
    *ret = 0;
    for (uint32_t i = 0; i < NSP_TEST_NUMBER_BYTES; i++)
        *ret = *ret << 8 | data[packet->payload_off + i];
    return true;
}

uint32_t
nsp_wire_number(const struct nsp_test_packet *packet, const uint8_t *data,
                uint32_t bytes, uint32_t next)
{
    uint32_t off = stamp_off(packet), stamp;
    uint64_t number;

    if (bytes < off + 2)
        return next;
    stamp = (load16(data + off) - 1) & 0xffff;
    if (stamp == next || packet->fields.payload_bytes < NSP_TEST_NUMBER_BYTES)
        return stamp;
    return read_payload_number(packet, data, bytes, &number) && number == stamp
               ? stamp
               : next;
}

bool
nsp_wire_is_reset(const struct nsp_test_packet *packet, const uint8_t *data,
                  uint32_t bytes)
{
    uint32_t ip_bytes = packet->fields.ipv6 ? IPV6_BYTES : IPV4_BYTES;

    return packet->fields.proto == TCP &&
           (packet->fields.tcp_flags & RST) == 0 &&
           bytes == ip_bytes + TCP_BYTES && (data[ip_bytes + 13] & RST) != 0;
}

bool
nsp_wire_is_discovery(const uint8_t *data, uint32_t bytes)
{
    return bytes > IPV6_BYTES && data[0] >> 4 == 6 && data[6] == ICMPV6 &&
           data[IPV6_BYTES] >= DISCOVERY_FIRST &&
           data[IPV6_BYTES] <= DISCOVERY_LAST;
}
