/* The packet parser.
 *
 * One walk from the link header to the transport header, each step with the
 * bounds check first. The common packet (IPv4 without options or IPv6 without
 * extension headers, over Ethernet or raw) runs straight through; tags,
 * extension headers and the rarer links are kept out of line.
 *
 * 'at' is always an offset from pkt->data, and every step is entered with
 * at <= cap_bytes.
 *
 * Offsets fit 16 bits: the deepest transport header is behind 22 bytes of
 * link, 40 of IPv6 and CHAIN_MAX - 1 extension headers of 2048 at most. */
#include "netshaper/packet.h"

#include <string.h>

#include "base/base.h"
#include "packet/proto.h"

/* Headers entered after an IPv6 header, the transport header included. No sane
 * packet has more than one of each kind, destination options twice; a longer
 * chain is malformed. */
#define CHAIN_MAX 16u

/* The largest value of the length field of either IP header. */
#define LENGTH_MAX 65535u

#define PARSER_FLAGS                                                           \
    (NSP_PKT_FRAGMENT | NSP_PKT_LATER_FRAGMENT | NSP_PKT_TRUNCATED |           \
     NSP_PKT_MALFORMED)

static inline void
flag(struct nsp_pkt *pkt, unsigned flags)
{
    pkt->flags = (uint16_t)(pkt->flags | flags);
}

static inline uint32_t
wire_bytes_after(const struct nsp_pkt *pkt, uint32_t at)
{
    /* A device that leaves wire_bytes at 0 means "as held". */
    uint32_t bytes = pkt->wire_bytes;

    return (bytes > pkt->cap_bytes ? bytes : pkt->cap_bytes) - at;
}

/* A TCP data offset past the end is clamped to it: the header's fixed part is
 * sound, and the packet then has no payload. */
static NSP_ALWAYS_INLINE void
parse_transport(struct nsp_pkt *pkt, uint32_t at, uint32_t held)
{
    uint32_t header_bytes;
    enum nsp_l4 l4;

    switch (pkt->ip_proto) {
    case NSP_PROTO_TCP:
        if (nsp_unlikely(held < NSP_TCP_BYTES))
            goto malformed;
        l4 = NSP_L4_TCP;
        header_bytes = (uint32_t)(pkt->data[at + 12] >> 4) * 4;
        if (nsp_unlikely(header_bytes < NSP_TCP_BYTES))
            goto malformed;
        if (nsp_unlikely(header_bytes > held)) {
            flag(pkt, NSP_PKT_MALFORMED);
            header_bytes = held;
        }
        break;
    case NSP_PROTO_UDP:
        l4 = NSP_L4_UDP;
        header_bytes = NSP_UDP_BYTES;
        break;
    case NSP_PROTO_ICMP:
        if (pkt->l3 != NSP_L3_IPV4)
            return;
        l4 = NSP_L4_ICMP;
        header_bytes = NSP_ICMP_BYTES;
        break;
    case NSP_PROTO_ICMPV6:
        if (pkt->l3 != NSP_L3_IPV6)
            return;
        l4 = NSP_L4_ICMPV6;
        header_bytes = NSP_ICMP_BYTES;
        break;
    default:
        return;
    }
    if (nsp_unlikely(held < header_bytes))
        goto malformed;

    pkt->l4 = (uint8_t)l4;
    pkt->l4_off = (uint16_t)at;
    pkt->payload_off = (uint16_t)(at + header_bytes);
    pkt->payload_bytes = held - header_bytes;
    return;

malformed:
    flag(pkt, NSP_PKT_MALFORMED);
}

/* Records the network header at 'at' whose length field says 'ip_bytes', and
 * returns how many bytes of the IP packet are held. What lies behind the IP
 * packet (Ethernet padding) is no part of it. */
static NSP_ALWAYS_INLINE uint32_t
set_network(struct nsp_pkt *pkt, enum nsp_l3 l3, uint32_t at, uint32_t ip_bytes)
{
    uint32_t held = pkt->cap_bytes - at;

    pkt->l3 = (uint8_t)l3;
    pkt->l3_off = (uint16_t)at;
    pkt->ip_bytes = nsp_min_u32(ip_bytes, wire_bytes_after(pkt, at));
    if (nsp_unlikely(ip_bytes > held)) {
        flag(pkt, NSP_PKT_TRUNCATED);
        return held;
    }
    return ip_bytes;
}

/* A length field of 0 stands for "see the device" in packets too long for the
 * field: IPv4 and IPv6 segmentation offload, IPv6 jumbograms (RFC 2675). Only a
 * packet that is such is believed: elsewhere 0 is an error (IPv4) or means no
 * payload (IPv6), and bytes after it are padding. */
static bool
is_oversize(const struct nsp_pkt *pkt, uint32_t at, uint32_t statable_bytes)
{
    return (pkt->flags & NSP_PKT_SUPERPACKET) != 0 ||
           wire_bytes_after(pkt, at) > statable_bytes;
}

static NSP_ALWAYS_INLINE void
parse_ipv4(struct nsp_pkt *pkt, uint32_t at)
{
    const uint8_t *ip = pkt->data + at;
    uint32_t held = pkt->cap_bytes - at;
    uint32_t header_bytes, ip_bytes, fragment;

    if (nsp_unlikely(held < NSP_IPV4_BYTES || ip[0] >> 4 != 4))
        goto malformed;

    header_bytes = (ip[0] & 0x0Fu) * 4;
    ip_bytes = nsp_load_be16(ip + 2);
    if (nsp_unlikely(ip_bytes == 0) && is_oversize(pkt, at, LENGTH_MAX))
        ip_bytes = wire_bytes_after(pkt, at);
    if (nsp_unlikely(header_bytes < NSP_IPV4_BYTES || header_bytes > held ||
                     ip_bytes < header_bytes))
        goto malformed;

    held = set_network(pkt, NSP_L3_IPV4, at, ip_bytes);
    pkt->ip_proto = ip[9];

    fragment = nsp_load_be16(ip + 6);
    if (nsp_unlikely(fragment & (NSP_IPV4_MF | NSP_IPV4_OFFSET_MASK))) {
        flag(pkt, NSP_PKT_FRAGMENT);
        if (fragment & NSP_IPV4_OFFSET_MASK) {
            flag(pkt, NSP_PKT_LATER_FRAGMENT);
            return;
        }
    }
    parse_transport(pkt, at + header_bytes, held - header_bytes);
    return;

malformed:
    flag(pkt, NSP_PKT_MALFORMED);
    pkt->ip_bytes = wire_bytes_after(pkt, at);
}

static bool
is_extension(uint8_t next)
{
    switch (next) {
    case NSP_PROTO_HOP_BY_HOP:
    case NSP_PROTO_ROUTING:
    case NSP_PROTO_FRAGMENT:
    case NSP_PROTO_AH:
    case NSP_PROTO_DEST_OPTIONS:
    case NSP_PROTO_MOBILITY:
        return true;
    default:
        return false;
    }
}

/* Follows the chain of extension headers from 'at', where 'held' bytes of the
 * packet remain, to the transport header. ip_proto is always the last "next
 * header" read, so that it names what could not be entered. */
static void
parse_extensions(struct nsp_pkt *pkt, uint32_t at, uint32_t held)
{
    for (unsigned i = 0; i < CHAIN_MAX; i++) {
        const uint8_t *ext = pkt->data + at;
        uint8_t kind = pkt->ip_proto;
        uint32_t bytes;

        if (!is_extension(kind)) {
            parse_transport(pkt, at, held);
            return;
        }
        if (held < NSP_IPV6_EXT_MIN_BYTES)
            break;
        bytes = nsp_ipv6_ext_bytes(kind, ext);
        if (bytes > held)
            break;

        if (kind == NSP_PROTO_FRAGMENT) {
            if (pkt->frag_off != NSP_OFF_NONE)
                break;
            pkt->frag_off = (uint16_t)at;
            flag(pkt, NSP_PKT_FRAGMENT);
        }
        pkt->ip_proto = ext[0];
        if (kind == NSP_PROTO_FRAGMENT &&
            (nsp_load_be16(ext + 2) & NSP_IPV6_FRAG_OFFSET_MASK)) {
            flag(pkt, NSP_PKT_LATER_FRAGMENT);
            return;
        }
        at += bytes;
        held -= bytes;
    }
    flag(pkt, NSP_PKT_MALFORMED);
}

static NSP_ALWAYS_INLINE void
parse_ipv6(struct nsp_pkt *pkt, uint32_t at)
{
    const uint8_t *ip = pkt->data + at;
    uint32_t held = pkt->cap_bytes - at;
    uint32_t ip_bytes;

    if (nsp_unlikely(held < NSP_IPV6_BYTES || ip[0] >> 4 != 6)) {
        flag(pkt, NSP_PKT_MALFORMED);
        pkt->ip_bytes = wire_bytes_after(pkt, at);
        return;
    }

    ip_bytes = NSP_IPV6_BYTES + (uint32_t)nsp_load_be16(ip + 4);
    if (nsp_unlikely(ip_bytes == NSP_IPV6_BYTES) &&
        is_oversize(pkt, at, NSP_IPV6_BYTES + LENGTH_MAX))
        ip_bytes = wire_bytes_after(pkt, at);

    held = set_network(pkt, NSP_L3_IPV6, at, ip_bytes) - NSP_IPV6_BYTES;
    at += NSP_IPV6_BYTES;
    pkt->ip_proto = ip[6];
    if (nsp_likely(pkt->ip_proto == NSP_PROTO_TCP ||
                   pkt->ip_proto == NSP_PROTO_UDP))
        parse_transport(pkt, at, held);
    else
        parse_extensions(pkt, at, held);
}

/* ARP between other address families is left alone: nothing reads it. */
static void
parse_arp(struct nsp_pkt *pkt, uint32_t at)
{
    static const uint8_t ethernet_ipv4[] = { 0, 1, 0x08, 0x00, 6, 4 };
    const uint8_t *arp = pkt->data + at;
    uint32_t held = pkt->cap_bytes - at;

    pkt->ip_bytes = wire_bytes_after(pkt, at);
    if (held >= sizeof ethernet_ipv4 &&
        memcmp(arp, ethernet_ipv4, sizeof ethernet_ipv4) != 0)
        return;

    if (held < NSP_ARP_BYTES) {
        flag(pkt, NSP_PKT_MALFORMED);
        return;
    }
    pkt->l3 = NSP_L3_ARP;
    pkt->l3_off = (uint16_t)at;
}

static NSP_ALWAYS_INLINE bool
is_vlan(uint16_t ether_type)
{
    return ether_type == NSP_ETHER_VLAN || ether_type == NSP_ETHER_QINQ ||
           ether_type == NSP_ETHER_QINQ_OLD;
}

/* Records up to two tags that follow an EtherType that announces one. A third
 * is not followed: ether_type stays its TPID, and the packet has no network
 * header that we read. Returns the offset after the tags, or NSP_OFF_NONE when
 * one is cut. */
static uint32_t
parse_tags(struct nsp_pkt *pkt, uint32_t at)
{
    while (is_vlan(pkt->ether_type) &&
           pkt->vlan_count < NSP_ARRAY_LEN(pkt->vlan_tci)) {
        if (pkt->cap_bytes - at < NSP_VLAN_BYTES)
            return NSP_OFF_NONE;
        pkt->vlan_tci[pkt->vlan_count++] = nsp_load_be16(pkt->data + at);
        pkt->ether_type = nsp_load_be16(pkt->data + at + 2);
        at += NSP_VLAN_BYTES;
    }
    return at;
}

/* The EtherType that a BSD address family stands for, 0 if none. The field is
 * in the byte order of the machine that captured; AF_INET6 is its system's. */
static uint16_t
ether_type_of_family(const uint8_t *field)
{
    uint32_t family = nsp_load_be32(field);

    if (family > UINT16_MAX)
        family = (uint32_t)field[3] << 24 | (uint32_t)field[2] << 16 |
                 (uint32_t)field[1] << 8 | field[0];
    switch (family) {
    case 2:
        return NSP_ETHER_IPV4;
    case 10: /* Linux. */
    case 23: /* Windows. */
    case 24: /* NetBSD, OpenBSD. */
    case 28: /* FreeBSD. */
    case 30: /* Darwin. */
        return NSP_ETHER_IPV6;
    default:
        return 0;
    }
}

/* The links other than Ethernet. */
static uint32_t
parse_other_link(struct nsp_pkt *pkt, uint16_t *ret_type)
{
    static const struct {
        uint8_t bytes, type_off;
    } cooked[] = {
        [NSP_LINK_SLL] = { NSP_SLL_BYTES, 14 },
        [NSP_LINK_SLL2] = { NSP_SLL2_BYTES, 0 },
    };
    uint32_t at;

    switch (pkt->link) {
    case NSP_LINK_SLL:
    case NSP_LINK_SLL2:
        if (pkt->cap_bytes < cooked[pkt->link].bytes)
            return NSP_OFF_NONE;
        pkt->ether_type = nsp_load_be16(pkt->data + cooked[pkt->link].type_off);
        at = parse_tags(pkt, cooked[pkt->link].bytes);
        *ret_type = pkt->ether_type;
        return at;
    case NSP_LINK_NULL:
        if (pkt->cap_bytes < NSP_NULL_BYTES)
            return NSP_OFF_NONE;
        *ret_type = ether_type_of_family(pkt->data);
        return NSP_NULL_BYTES;
    default:
        return NSP_OFF_NONE;
    }
}

/* Returns the offset after the link header and stores the EtherType of what
 * follows, 0 if it has none; or NSP_OFF_NONE when the header is cut. */
static NSP_ALWAYS_INLINE uint32_t
parse_link(struct nsp_pkt *pkt, uint16_t *ret_type)
{
    uint32_t at;

    if (pkt->link == NSP_LINK_RAW) {
        uint8_t version = pkt->cap_bytes > 0 ? pkt->data[0] >> 4 : 0;

        *ret_type = version == 4   ? NSP_ETHER_IPV4
                    : version == 6 ? NSP_ETHER_IPV6
                                   : 0;
        if (nsp_unlikely(*ret_type == 0))
            flag(pkt, NSP_PKT_MALFORMED);
        return 0;
    }
    if (nsp_unlikely(pkt->link != NSP_LINK_ETHERNET))
        return parse_other_link(pkt, ret_type);

    if (nsp_unlikely(pkt->cap_bytes < NSP_ETHERNET_BYTES))
        return NSP_OFF_NONE;
    pkt->ether_type = nsp_load_be16(pkt->data + 12);
    at = NSP_ETHERNET_BYTES;
    if (nsp_unlikely(is_vlan(pkt->ether_type)))
        at = parse_tags(pkt, at);
    if (nsp_unlikely(pkt->ether_type < NSP_ETHER_MIN))
        pkt->ether_type = 0;
    *ret_type = pkt->ether_type;
    return at;
}

static NSP_ALWAYS_INLINE void
reset(struct nsp_pkt *pkt)
{
    pkt->l3_off = NSP_OFF_NONE;
    pkt->l4_off = NSP_OFF_NONE;
    pkt->payload_off = NSP_OFF_NONE;
    pkt->frag_off = NSP_OFF_NONE;
    pkt->ip_bytes = 0;
    pkt->payload_bytes = 0;
    pkt->ether_type = 0;
    pkt->vlan_tci[0] = 0;
    pkt->vlan_tci[1] = 0;
    pkt->vlan_count = 0;
    pkt->l3 = NSP_L3_NONE;
    pkt->l4 = NSP_L4_NONE;
    pkt->ip_proto = 0;
    pkt->flags &= (uint16_t)~PARSER_FLAGS;
}

static NSP_ALWAYS_INLINE void
parse(struct nsp_pkt *pkt)
{
    uint16_t type = 0;
    uint32_t at;

    reset(pkt);
    at = parse_link(pkt, &type);
    if (nsp_unlikely(at == NSP_OFF_NONE)) {
        flag(pkt, NSP_PKT_MALFORMED);
        pkt->ip_bytes = wire_bytes_after(pkt, 0);
        return;
    }

    if (nsp_likely(type == NSP_ETHER_IPV4))
        parse_ipv4(pkt, at);
    else if (type == NSP_ETHER_IPV6)
        parse_ipv6(pkt, at);
    else if (type == NSP_ETHER_ARP)
        parse_arp(pkt, at);
    else
        pkt->ip_bytes = wire_bytes_after(pkt, at);
}

void
nsp_pkt_parse(struct nsp_pkt *pkt)
{
    parse(pkt);
}

void
nsp_pkt_parse_burst(struct nsp_pkt *const pkts[], uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        parse(pkts[i]);
}
