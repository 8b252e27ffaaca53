#ifndef NSP_PACKET_PROTO_H
#define NSP_PACKET_PROTO_H
#include <stdint.h>

/* Numbers and header sizes of the protocols the packet layer reads and writes.
 * Sources: IANA's EtherType and Assigned Internet Protocol Numbers registries,
 * and the RFC named beside each header. */

enum nsp_ether_type {
    NSP_ETHER_MIN = 0x0600, /* Below: an 802.3 length, not a type. */
    NSP_ETHER_IPV4 = 0x0800,
    NSP_ETHER_ARP = 0x0806,
    NSP_ETHER_VLAN = 0x8100, /* 802.1Q. */
    NSP_ETHER_IPV6 = 0x86DD,
    NSP_ETHER_QINQ = 0x88A8,     /* 802.1ad. */
    NSP_ETHER_QINQ_OLD = 0x9100, /* Before 802.1ad, still met. */
};

enum nsp_ip_proto {
    NSP_PROTO_HOP_BY_HOP = 0,
    NSP_PROTO_ICMP = 1,
    NSP_PROTO_TCP = 6,
    NSP_PROTO_UDP = 17,
    NSP_PROTO_ROUTING = 43,
    NSP_PROTO_FRAGMENT = 44,
    NSP_PROTO_AH = 51,
    NSP_PROTO_ICMPV6 = 58,
    NSP_PROTO_NO_NEXT = 59,
    NSP_PROTO_DEST_OPTIONS = 60,
    NSP_PROTO_MOBILITY = 135,
};

/* Header sizes in bytes, without options unless said. */
enum nsp_header_bytes {
    NSP_ETHERNET_BYTES = 14,
    NSP_VLAN_BYTES = 4,  /* TCI and the next EtherType. */
    NSP_SLL_BYTES = 16,  /* https://www.tcpdump.org/linktypes.html */
    NSP_SLL2_BYTES = 20, /* Likewise. */
    NSP_NULL_BYTES = 4,  /* Likewise. */
    NSP_ARP_BYTES = 28,  /* RFC 826, for Ethernet and IPv4. */
    NSP_IPV4_BYTES = 20, /* RFC 791. */
    NSP_IPV6_BYTES = 40, /* RFC 8200. */
    NSP_IPV6_EXT_MIN_BYTES = 8,
    NSP_TCP_BYTES = 20, /* RFC 9293. */
    NSP_UDP_BYTES = 8,  /* RFC 768. */
    NSP_ICMP_BYTES = 8, /* RFC 792, RFC 4443. */
};

/* The longest IP packet: one of version 6, whose length is that of what follows
 * its header. */
#define NSP_IP_BYTES_MAX (UINT16_MAX + (uint32_t)NSP_IPV6_BYTES)

/* IPv4 flags and fragment offset, the word at offset 6. */
#define NSP_IPV4_DF          0x4000u
#define NSP_IPV4_MF          0x2000u
#define NSP_IPV4_OFFSET_MASK 0x1FFFu

/* IPv6 fragment header, the word at offset 2 (RFC 8200, section 4.5). */
#define NSP_IPV6_FRAG_MORE        0x0001u
#define NSP_IPV6_FRAG_OFFSET_MASK 0xFFF8u

/* TCP flags, the byte at offset 13. */
#define NSP_TCP_FIN 0x01u
#define NSP_TCP_SYN 0x02u
#define NSP_TCP_RST 0x04u
#define NSP_TCP_ACK 0x10u

/* Length in bytes of the IPv6 extension header 'ext' of type 'kind', of which 8
 * bytes are held; at least 8. */
static inline uint32_t
nsp_ipv6_ext_bytes(uint8_t kind, const uint8_t *ext)
{
    switch (kind) {
    case NSP_PROTO_FRAGMENT:
        return 8; /* Its second byte is reserved, not a length. */
    case NSP_PROTO_AH:
        return (ext[1] + 2u) * 4; /* RFC 4302, section 2.2. */
    default:
        return (ext[1] + 1u) * 8;
    }
}

#endif /* NSP_PACKET_PROTO_H */
