#include "verify/packet.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "verify/bytes.h"

enum { ICMP = 1, TCP = 6, UDP = 17, ICMPV6 = 58 };

bool
nsp_test_has_mss(const struct nsp_test_fields *fields)
{
    return fields->proto == TCP && (fields->tcp_flags & 0x02) != 0;
}

static uint32_t
l4_bytes(const struct nsp_test_fields *fields)
{
    if (fields->proto != TCP)
        return 8;
    return nsp_test_has_mss(fields) ? 24 : 20;
}

uint32_t
nsp_test_header_bytes(const struct nsp_test_fields *fields)
{
    return (fields->ipv6 ? IPV6_BYTES : IPV4_BYTES) + l4_bytes(fields);
}

/* --- Building ------------------------------------------------------------ */

static void
write_ipv4(struct nsp_test_packet *packet)
{
    const struct nsp_test_fields *f = &packet->fields;
    uint8_t *ip = packet->data;

    ip[0] = 0x45;
    ip[1] = f->tos;
    store16(ip + 2, packet->bytes);
    ip[6] = 0x40; /* Not to be fragmented. */
    ip[8] = f->ttl;
    ip[9] = f->proto;
    memcpy(ip + 12, f->src, 4);
    memcpy(ip + 16, f->dst, 4);
}

static void
write_ipv6(struct nsp_test_packet *packet)
{
    const struct nsp_test_fields *f = &packet->fields;
    uint8_t *ip = packet->data;

    ip[0] = (uint8_t)(0x60 | f->tos >> 4);
    ip[1] = (uint8_t)(f->tos << 4);
    store16(ip + 4, packet->bytes - IPV6_BYTES);
    ip[6] = f->proto;
    ip[7] = f->ttl;
    memcpy(ip + 8, f->src, 16);
    memcpy(ip + 24, f->dst, 16);
}

static void
write_l4(struct nsp_test_packet *packet, uint8_t *l4)
{
    const struct nsp_test_fields *f = &packet->fields;

    if (f->proto == ICMP || f->proto == ICMPV6) {
        l4[0] = f->icmp_type;
        l4[1] = f->icmp_code;
        return;
    }
    store16(l4, f->sport);
    store16(l4 + 2, f->dport);
    if (f->proto == UDP) {
        store16(l4 + 4, 8u + f->payload_bytes);
        return;
    }
    l4[7] = 1; /* Sequence number. */
    l4[11] = 1;
    l4[12] = (uint8_t)(l4_bytes(f) / 4 << 4);
    l4[13] = f->tcp_flags;
    store16(l4 + 14, 65535);
    if (nsp_test_has_mss(f)) {
        l4[20] = 2;
        l4[21] = 4;
        store16(l4 + 22, NSP_TEST_MSS);
    }
}

static uint16_t
csum_offset(const struct nsp_test_packet *packet)
{
    uint32_t l4 = packet->payload_off - l4_bytes(&packet->fields);

    return (uint16_t)(l4 + (packet->fields.proto == TCP   ? 16
                            : packet->fields.proto == UDP ? 6
                                                          : 2));
}

void
nsp_test_packet_build(struct nsp_test_packet *ret,
                      const struct nsp_test_fields *fields)
{
    struct nsp_pkt pkt;

    memset(ret, 0, sizeof *ret);
    ret->fields = *fields;
    ret->payload_off = (uint16_t)nsp_test_header_bytes(fields);
    ret->bytes = ret->payload_off + (uint32_t)fields->payload_bytes;
    ret->csum_off = csum_offset(ret);
    if (fields->ipv6)
        write_ipv6(ret);
    else
        write_ipv4(ret);
    write_l4(ret, ret->data + ret->payload_off - l4_bytes(fields));
    if (fields->proto == UDP)
        store16(ret->data + ret->csum_off, 0xffff); /* Zero would be none. */
    nsp_test_packet_describe(ret, ret->data, &pkt);
    nsp_pkt_parse(&pkt);
    (void)!nsp_pkt_fix_checksums(&pkt);
}

/* --- Copies -------------------------------------------------------------- */

/* The number stands where there were zeros, so its words are what the sum of
 * all words grows by (RFC 1071). */
void
nsp_test_packet_number(const struct nsp_test_packet *packet, uint8_t *data,
                       uint64_t number)
{
    uint8_t *at = data + packet->payload_off;
    uint32_t sum = ~load16(packet->data + packet->csum_off) & 0xffff;

    if (packet->fields.payload_bytes < NSP_TEST_NUMBER_BYTES)
        return;
    for (uint32_t i = 0; i < NSP_TEST_NUMBER_BYTES; i += 2) {
        uint32_t word = (uint32_t)(number >> (48 - 8 * i)) & 0xffff;

        store16(at + i, word);
        sum += word;
    }
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = ~sum & 0xffff;
    if (sum == 0 && packet->fields.proto == UDP)
        sum = 0xffff;
    store16(data + packet->csum_off, sum);
}

void
nsp_test_packet_describe(const struct nsp_test_packet *packet, uint8_t *data,
                         struct nsp_pkt *ret)
{
    *ret = (struct nsp_pkt){
        .data = data,
        .cap_bytes = packet->bytes,
        .wire_bytes = packet->bytes,
        .link = NSP_LINK_RAW,
        .direction = packet->fields.direction,
        .hook = packet->fields.hook,
        .flags = packet->fields.loopback ? NSP_PKT_LOOPBACK : 0,
        .in_ifindex = packet->fields.in_ifindex,
        .out_ifindex = packet->fields.out_ifindex,
        .mark = packet->fields.mark,
        .uid = UINT32_MAX,
    };
}

/* --- Text ---------------------------------------------------------------- */

static const char *
proto_text(uint8_t proto)
{
    return proto == TCP    ? "tcp"
           : proto == UDP  ? "udp"
           : proto == ICMP ? "icmp"
                           : "icmpv6";
}

char *
nsp_test_packet_text(const struct nsp_test_packet *packet, char *ret,
                     size_t bytes)
{
    static const char *const directions[] = { "forwarded", "inbound",
                                              "outbound" };
    const struct nsp_test_fields *f = &packet->fields;
    int family = f->ipv6 ? AF_INET6 : AF_INET;
    const char *open = f->ipv6 ? "[" : "", *close = f->ipv6 ? "]" : "";
    char src[INET6_ADDRSTRLEN] = "", dst[INET6_ADDRSTRLEN] = "";
    bool ports = f->proto == TCP || f->proto == UDP;
    char sport[8] = "", dport[8] = "";

    inet_ntop(family, f->src, src, sizeof src);
    inet_ntop(family, f->dst, dst, sizeof dst);
    if (ports) {
        snprintf(sport, sizeof sport, ":%u", f->sport);
        snprintf(dport, sizeof dport, ":%u", f->dport);
    }
    snprintf(ret, bytes, "%s %s%s%s%s > %s%s%s%s %s, %u bytes",
             proto_text(f->proto), open, src, close, sport, open, dst, close,
             dport, directions[f->direction % 3], (unsigned)packet->bytes);
    return ret;
}
