/* Rejections: the packets that tell a sender its packet was refused, as the
 * host it was sent to would have. */
#include "packet/reply.h"

#include <string.h>

#include "packet/checksum.h"
#include "packet/proto.h"
#include "packet/tcp.h"

#define REPLY_TTL 64u

/* Largest ICMP error over IPv4, which every host can take whole (RFC 1812,
 * section 4.3.2.3). */
#define ICMP_ERROR_BYTES_MAX 576u

enum icmp_type {
    ICMP_UNREACHABLE = 3,
    ICMP_SOURCE_QUENCH = 4,
    ICMP_REDIRECT = 5,
    ICMP_TIME_EXCEEDED = 11,
    ICMP_PARAMETER_PROBLEM = 12,
    ICMP_CODE_PORT = 3,
    ICMP_CODE_TOO_BIG = 4, /* RFC 1191, section 4. */
};

enum icmpv6_type {
    ICMPV6_UNREACHABLE = 1,
    ICMPV6_TOO_BIG = 2,
    ICMPV6_INFORMATIONAL = 128, /* Types below are errors. */
    ICMPV6_REDIRECT = 137,      /* Counts as an error: RFC 4443, 2.4 (e). */
    ICMPV6_CODE_PORT = 4,
};

static const uint8_t *
source_of(const struct nsp_pkt *pkt)
{
    return pkt->data + pkt->l3_off + (pkt->l3 == NSP_L3_IPV4 ? 12 : 8);
}

static const uint8_t *
destination_of(const struct nsp_pkt *pkt)
{
    return pkt->data + pkt->l3_off + (pkt->l3 == NSP_L3_IPV4 ? 16 : 24);
}

/* Whether an address names one host: no multicast, broadcast, reserved (which
 * holds the limited broadcast) or unspecified address. Loopback does. */
static bool
is_one_host(enum nsp_l3 l3, const uint8_t *addr)
{
    static const uint8_t unspecified[16];

    if (l3 == NSP_L3_IPV4)
        return addr[0] < 224 && memcmp(addr, unspecified, 4) != 0;
    return addr[0] != 0xFF && memcmp(addr, unspecified, 16) != 0;
}

/* Whether the link carried it to more than one host: the group bit of the
 * Ethernet destination, or the packet type of a cooked capture (1 broadcast, 2
 * multicast). A directed broadcast shows only here. */
static bool
is_link_multicast(const struct nsp_pkt *pkt)
{
    switch (pkt->link) {
    case NSP_LINK_ETHERNET:
        return (pkt->data[0] & 1) != 0;
    case NSP_LINK_SLL:
        return pkt->data[1] == 1 || pkt->data[1] == 2;
    case NSP_LINK_SLL2:
        return pkt->data[10] == 1 || pkt->data[10] == 2;
    default:
        return false;
    }
}

/* Whether the transport part forbids an answer. One that cannot be seen may be
 * a RST or an error, and forbids it too. */
static bool
is_unanswerable(const struct nsp_pkt *pkt)
{
    const uint8_t *l4 = pkt->data + pkt->l4_off;

    if (pkt->l4 == NSP_L4_NONE)
        return (pkt->flags & NSP_PKT_MALFORMED) != 0;
    switch (pkt->l4) {
    case NSP_L4_TCP:
        return (l4[13] & NSP_TCP_RST) != 0;
    case NSP_L4_ICMP:
        return l4[0] == ICMP_UNREACHABLE || l4[0] == ICMP_SOURCE_QUENCH ||
               l4[0] == ICMP_REDIRECT || l4[0] == ICMP_TIME_EXCEEDED ||
               l4[0] == ICMP_PARAMETER_PROBLEM;
    case NSP_L4_ICMPV6:
        return l4[0] < ICMPV6_INFORMATIONAL || l4[0] == ICMPV6_REDIRECT;
    default:
        return false;
    }
}

static bool
may_answer(const struct nsp_pkt *pkt)
{
    if (pkt->l3 != NSP_L3_IPV4 && pkt->l3 != NSP_L3_IPV6)
        return false;
    if (pkt->flags & NSP_PKT_LATER_FRAGMENT)
        return false;
    return is_one_host(pkt->l3, source_of(pkt)) &&
           is_one_host(pkt->l3, destination_of(pkt)) &&
           !is_link_multicast(pkt) && !is_unanswerable(pkt);
}

/* Writes the IP header of a packet to the sender of 'pkt', or on to its
 * receiver, with 'body_bytes' after it. IPv4 replies are never fragmented, so
 * their Identification may be 0 (RFC 6864). */
static void
write_ip_header(const struct nsp_pkt *pkt, uint8_t *ret, enum nsp_reply_to to,
                uint8_t ip_proto, uint32_t body_bytes)
{
    bool onward = to == NSP_REPLY_TO_RECEIVER;
    const uint8_t *from_addr = onward ? source_of(pkt) : destination_of(pkt);
    const uint8_t *to_addr = onward ? destination_of(pkt) : source_of(pkt);

    if (pkt->l3 == NSP_L3_IPV4) {
        memset(ret, 0, NSP_IPV4_BYTES);
        ret[0] = 0x45;
        nsp_store_be16(ret + 2, (uint16_t)(NSP_IPV4_BYTES + body_bytes));
        nsp_store_be16(ret + 6, NSP_IPV4_DF);
        ret[8] = REPLY_TTL;
        ret[9] = ip_proto;
        memcpy(ret + 12, from_addr, 4);
        memcpy(ret + 16, to_addr, 4);
        nsp_store_be16(ret + 10,
                       nsp_csum_fold(nsp_csum_add(0, ret, NSP_IPV4_BYTES)));
    } else {
        nsp_store_be32(ret, 6u << 28);
        nsp_store_be16(ret + 4, (uint16_t)body_bytes);
        ret[6] = ip_proto;
        ret[7] = REPLY_TTL;
        memcpy(ret + 8, from_addr, 16);
        memcpy(ret + 24, to_addr, 16);
    }
}

/* The checksum of a reply's body, whose checksum field is 0. The pseudo-header
 * has both addresses of the IP header, which lie side by side. */
static uint16_t
reply_csum(const uint8_t *reply, bool v4, uint8_t ip_proto, uint32_t body_bytes)
{
    uint64_t sum = 0;

    if (ip_proto != NSP_PROTO_ICMP) {
        sum = nsp_csum_add(sum, reply + (v4 ? 12 : 8), v4 ? 8 : 32);
        sum += ip_proto + (uint64_t)body_bytes;
    }
    return nsp_csum_fold(nsp_csum_add(
        sum, reply + (v4 ? NSP_IPV4_BYTES : NSP_IPV6_BYTES), body_bytes));
}

/* To the sender, a RST that its receiver would send (RFC 9293, section 3.10.7):
 * with the sequence number that the segment acknowledges or, where it does not,
 * zero and an acknowledgement of it. */
static void
answer_segment(const struct nsp_pkt *pkt, uint8_t *rst)
{
    const uint8_t *tcp = pkt->data + pkt->l4_off;

    memcpy(rst, tcp + 2, 2);
    memcpy(rst + 2, tcp, 2);
    if (nsp_tcp_has_ack(pkt)) {
        memcpy(rst + 4, tcp + 8, 4);
        rst[13] = NSP_TCP_RST;
    } else {
        nsp_store_be32(rst + 8,
                       nsp_load_be32(tcp + 4) + nsp_tcp_segment_bytes(pkt));
        rst[13] = NSP_TCP_RST | NSP_TCP_ACK;
    }
}

/* To the receiver, a RST in place of the segment or after it. Only one with
 * exactly the number that the receiver expects is obeyed (RFC 5961, section
 * 3.2); one that has sent a SYN obeys by the acknowledgement, which is kept. */
static void
follow_segment(const struct nsp_pkt *pkt, bool delivered, uint8_t *rst)
{
    const uint8_t *tcp = pkt->data + pkt->l4_off;
    uint32_t sequence = nsp_load_be32(tcp + 4);

    if (delivered)
        sequence += nsp_tcp_segment_bytes(pkt);
    memcpy(rst, tcp, 4);
    nsp_store_be32(rst + 4, sequence);
    rst[13] = NSP_TCP_RST;
    if (nsp_tcp_has_ack(pkt)) {
        memcpy(rst + 8, tcp + 8, 4);
        rst[13] |= NSP_TCP_ACK;
    }
}

static uint32_t
build_rst(const struct nsp_pkt *pkt, enum nsp_reply_to to, bool delivered,
          uint8_t *ret)
{
    bool v4 = pkt->l3 == NSP_L3_IPV4;
    uint32_t ip_bytes = v4 ? NSP_IPV4_BYTES : NSP_IPV6_BYTES;
    uint8_t *rst = ret + ip_bytes;

    write_ip_header(pkt, ret, to, NSP_PROTO_TCP, NSP_TCP_BYTES);
    memset(rst, 0, NSP_TCP_BYTES);
    rst[12] = (NSP_TCP_BYTES / 4) << 4;
    if (to == NSP_REPLY_TO_RECEIVER)
        follow_segment(pkt, delivered, rst);
    else
        answer_segment(pkt, rst);
    nsp_store_be16(rst + 16, reply_csum(ret, v4, NSP_PROTO_TCP, NSP_TCP_BYTES));
    return ip_bytes + NSP_TCP_BYTES;
}

/* The refused packet is quoted from its IP header on, as much as is held and
 * fits: RFC 1812, section 4.3.2.3, and RFC 4443, section 3.1. */
static uint32_t
build_error(const struct nsp_pkt *pkt, uint8_t type, uint8_t code,
            uint32_t rest_of_header, uint8_t *ret)
{
    bool v4 = pkt->l3 == NSP_L3_IPV4;
    uint8_t ip_proto = v4 ? NSP_PROTO_ICMP : NSP_PROTO_ICMPV6;
    uint32_t ip_bytes = v4 ? NSP_IPV4_BYTES : NSP_IPV6_BYTES;
    uint32_t limit = v4 ? ICMP_ERROR_BYTES_MAX : NSP_REPLY_BYTES_MAX;
    uint32_t quoted = nsp_min_u32(pkt->ip_bytes, pkt->cap_bytes - pkt->l3_off);
    uint8_t *icmp = ret + ip_bytes;
    uint32_t icmp_bytes;

    quoted = nsp_min_u32(quoted, limit - ip_bytes - NSP_ICMP_BYTES);
    icmp_bytes = NSP_ICMP_BYTES + quoted;
    write_ip_header(pkt, ret, NSP_REPLY_TO_SENDER, ip_proto, icmp_bytes);
    memset(icmp, 0, NSP_ICMP_BYTES);
    icmp[0] = type;
    icmp[1] = code;
    nsp_store_be32(icmp + 4, rest_of_header);
    memcpy(icmp + NSP_ICMP_BYTES, pkt->data + pkt->l3_off, quoted);
    nsp_store_be16(icmp + 2, reply_csum(ret, v4, ip_proto, icmp_bytes));
    return ip_bytes + icmp_bytes;
}

uint32_t
nsp_reply_build(const struct nsp_pkt *pkt, uint8_t *ret)
{
    if (!may_answer(pkt))
        return 0;
    if (pkt->l4 == NSP_L4_TCP)
        return build_rst(pkt, NSP_REPLY_TO_SENDER, false, ret);
    if (pkt->l3 == NSP_L3_IPV4)
        return build_error(pkt, ICMP_UNREACHABLE, ICMP_CODE_PORT, 0, ret);
    return build_error(pkt, ICMPV6_UNREACHABLE, ICMPV6_CODE_PORT, 0, ret);
}

uint32_t
nsp_reply_build_rst(const struct nsp_pkt *pkt, enum nsp_reply_to to,
                    bool delivered, uint8_t *ret)
{
    if (pkt->l4 != NSP_L4_TCP || !may_answer(pkt))
        return 0;
    return build_rst(pkt, to, delivered, ret);
}

bool
nsp_reply_may_fragment(const struct nsp_pkt *pkt)
{
    return pkt->l3 == NSP_L3_IPV4 &&
           (nsp_load_be16(pkt->data + pkt->l3_off + 6) & NSP_IPV4_DF) == 0;
}

uint32_t
nsp_reply_build_too_big(const struct nsp_pkt *pkt, uint32_t mtu, uint8_t *ret)
{
    if (!may_answer(pkt) || nsp_reply_may_fragment(pkt))
        return 0;
    if (pkt->l3 == NSP_L3_IPV4)
        return build_error(pkt, ICMP_UNREACHABLE, ICMP_CODE_TOO_BIG,
                           nsp_min_u32(mtu, UINT16_MAX), ret);
    return build_error(pkt, ICMPV6_TOO_BIG, 0, mtu, ret);
}
