#ifndef NSP_TESTS_LIB_FLOW_PACKET_H
#define NSP_TESTS_LIB_FLOW_PACKET_H
#include <string.h>

#include "base/base.h"
#include "netshaper/packet.h"
#include "packet/proto.h"

/* Packets by the words that flows are told by. */

struct flow_packet {
    struct nsp_pkt pkt;
    uint8_t bytes[80];
};

/* One packet, as little as it takes: addresses are 10.0.0.0 or fd00:: plus a
 * number. */
struct packet_words {
    bool ipv6;
    uint8_t proto;
    uint32_t src, dst;
    uint16_t src_port, dst_port; /* ICMP: type, and identifier. */
    uint8_t tcp_flags;
    uint32_t seq, ack;
    uint16_t fragment; /* IPv4's word of flags and offset. */
};

static inline uint32_t
flow_packet_ip(uint8_t *ip, const struct packet_words *words, uint32_t l4_bytes)
{
    memset(ip, 0, 40);
    if (words->ipv6) {
        ip[0] = 0x60;
        nsp_store_be16(ip + 4, (uint16_t)l4_bytes);
        ip[6] = words->proto;
        ip[7] = 64;
        ip[8] = ip[24] = 0xfd;
        nsp_store_be32(ip + 20, words->src);
        nsp_store_be32(ip + 36, words->dst);
        return 40;
    }
    ip[0] = 0x45;
    nsp_store_be16(ip + 2, (uint16_t)(20 + l4_bytes));
    nsp_store_be16(ip + 6, words->fragment);
    ip[8] = 64;
    ip[9] = words->proto;
    nsp_store_be32(ip + 12, UINT32_C(10) << 24 | words->src);
    nsp_store_be32(ip + 16, UINT32_C(10) << 24 | words->dst);
    return 20;
}

/* Makes and parses the packet in '*ret', which must not move afterwards. */
static inline struct nsp_pkt *
make_flow_packet(struct flow_packet *ret, const struct packet_words *words)
{
    const uint32_t l4_bytes = words->proto == NSP_PROTO_TCP ? 20 : 8;
    uint32_t ip_bytes = flow_packet_ip(ret->bytes, words, l4_bytes);
    uint8_t *l4 = ret->bytes + ip_bytes;

    memset(l4, 0, l4_bytes);
    switch (words->proto) {
    case NSP_PROTO_ICMP:
    case NSP_PROTO_ICMPV6:
        l4[0] = (uint8_t)words->src_port;
        nsp_store_be16(l4 + 4, words->dst_port);
        break;
    case NSP_PROTO_TCP:
        nsp_store_be32(l4 + 4, words->seq);
        nsp_store_be32(l4 + 8, words->ack);
        l4[12] = 0x50;
        l4[13] = words->tcp_flags;
        nsp_store_be16(l4, words->src_port);
        nsp_store_be16(l4 + 2, words->dst_port);
        break;
    default:
        nsp_store_be16(l4, words->src_port);
        nsp_store_be16(l4 + 2, words->dst_port);
        nsp_store_be16(l4 + 4, (uint16_t)l4_bytes);
        break;
    }
    ret->pkt = (struct nsp_pkt){
        .data = ret->bytes,
        .cap_bytes = ip_bytes + l4_bytes,
        .wire_bytes = ip_bytes + l4_bytes,
        .uid = UINT32_MAX,
    };
    nsp_pkt_parse(&ret->pkt);
    return &ret->pkt;
}

/* The packet that answers. */
static inline struct packet_words
reverse_words(struct packet_words words)
{
    struct packet_words back = words;

    back.src = words.dst;
    back.dst = words.src;
    if (words.proto != NSP_PROTO_ICMP && words.proto != NSP_PROTO_ICMPV6) {
        back.src_port = words.dst_port;
        back.dst_port = words.src_port;
    }
    return back;
}

#endif /* NSP_TESTS_LIB_FLOW_PACKET_H */
