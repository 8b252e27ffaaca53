#ifndef NETSHAPER_PACKET_H
#define NETSHAPER_PACKET_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netshaper/api.h"
#include "netshaper/flow.h"

NSP_BEGIN_DECLS

/* A packet: its bytes, where they came from and, once parsed, where its headers
 * begin.
 *
 * Ownership  A device lends packets to the engine; each goes back exactly once,
 *            delivered or dropped. A callback borrows them for its own length.
 * Threads    One worker owns a packet at a time.
 * Offsets    From 'data'; NSP_OFF_NONE where there is no such header. A header
 *            with an offset lies wholly inside 'cap_bytes'.
 * Byte order Numbers here are the host's; bytes at 'data' are the network's. */

#define NSP_OFF_NONE   UINT16_MAX
#define NSP_TIME_NEVER UINT64_MAX
#define NSP_BURST_MAX  64u

/* What 'data' begins with. */
enum nsp_link {
    NSP_LINK_RAW = 0,  /* An IPv4 or IPv6 header. */
    NSP_LINK_ETHERNET, /* A 14-byte Ethernet II header, then tags. */
    NSP_LINK_SLL,      /* Linux cooked capture, 16 bytes. */
    NSP_LINK_SLL2,     /* Linux cooked capture version 2, 20 bytes. */
    NSP_LINK_NULL,     /* BSD loopback: a 4-byte address family. */
};

/* Network header found; each is complete and plausible, else NSP_L3_NONE. */
enum nsp_l3 {
    NSP_L3_NONE = 0,
    NSP_L3_IPV4,
    NSP_L3_IPV6,
    NSP_L3_ARP, /* Ethernet/IPv4 ARP, 28 bytes. */
};

/* Transport header found: complete and plausible, else NSP_L4_NONE. */
enum nsp_l4 {
    NSP_L4_NONE = 0,
    NSP_L4_TCP,    /* >= 20 bytes held and a data offset >= 5. */
    NSP_L4_UDP,    /* >= 8 bytes held. */
    NSP_L4_ICMP,   /* >= 8 bytes held, in IPv4 only. */
    NSP_L4_ICMPV6, /* >= 8 bytes held, in IPv6 only. */
};

/* Seen from the machine that runs the engine. */
enum nsp_direction {
    NSP_DIRECTION_NONE = 0, /* Forwarded, or a capture that does not say. */
    NSP_INBOUND,
    NSP_OUTBOUND,
};

/* Where in the stack a packet was taken: a bit each, so sets can be made. */
enum nsp_hook {
    NSP_HOOK_INPUT = 1,
    NSP_HOOK_OUTPUT = 2,
    NSP_HOOK_FORWARD = 4,
};

/* State of the transport checksum field. */
enum nsp_csum {
    NSP_CSUM_UNKNOWN = 0,
    NSP_CSUM_GOOD,    /* Verified by someone who can tell. */
    NSP_CSUM_PARTIAL, /* Holds the pseudo-header sum; a device completes it. */
};

/* What a host cannot stay on its network without. */
enum nsp_essential {
    NSP_ESSENTIAL_NONE = 0,
    NSP_ESSENTIAL_NEIGHBOURS, /* IPv6 neighbour discovery and what switches need
                               * to forward it, ICMPv6 133 to 137, 130 to 132
                               * and 143 (RFC 4861, 2710, 3810), of a machine on
                               * the same link. */
    NSP_ESSENTIAL_DHCP,       /* Between UDP ports 67 and 68 of IPv4. */
    NSP_ESSENTIAL_DHCPV6,     /* Between 546 and 547 of IPv6. */
};
#define NSP_ESSENTIALS         4u
#define NSP_PORT_DHCP_SERVER   67u
#define NSP_PORT_DHCP_CLIENT   68u
#define NSP_PORT_DHCPV6_CLIENT 546u
#define NSP_PORT_DHCPV6_SERVER 547u

enum nsp_pkt_flag {
    /* Set by the device. */
    NSP_PKT_LOOPBACK = 1 << 0,    /* Travels over the loopback interface. */
    NSP_PKT_SUPERPACKET = 1 << 1, /* Several wire packets in one (GSO/GRO). */
    /* Set by the parser. */
    NSP_PKT_FRAGMENT = 1 << 2,       /* Any fragment, the first included. */
    NSP_PKT_LATER_FRAGMENT = 1 << 3, /* A fragment with an offset: no L4. */
    NSP_PKT_TRUNCATED = 1 << 4,      /* The IP length exceeds the bytes held. */
    NSP_PKT_MALFORMED = 1 << 5, /* A header contradicts itself or is cut. */
    /* Set by the engine or a callback's verdict. */
    NSP_PKT_MODIFIED = 1 << 6, /* 'data' no longer is what arrived. */
    NSP_PKT_COPY = 1 << 7,     /* Made by the engine, no device's. */
};

/* A place in a queue ordered by time: links a packet, or a queue of them, into
 * the lists of the stage that holds it. */
struct nsp_wheel_node {
    struct nsp_wheel_node *next;
    uint64_t due_ns;
};

/* A wait, a queue and its serialiser, windows, then a delay line. */
struct nsp_pkt_stage {
    uint64_t enter_ns; /* Waits until then at first; 0 once it has entered. */
    uint64_t delay_ns;
    uint32_t class_slot, rule_slot;
    bool windows, keep_order; /* Those of the rule. */
    bool waited;              /* To enter. */
};
#define NSP_PKT_STAGES_MAX 5u

struct nsp_pkt {
    uint8_t *data;
    uint32_t cap_bytes;  /* Held at 'data'; 0 while a device holds them. */
    uint32_t wire_bytes; /* On the wire, from the same start; >= cap_bytes. */
    uint64_t arrival_ns; /* Of the engine's clock. */

    /* Filled by nsp_pkt_parse(). */
    uint16_t l3_off;      /* Network header, when l3 is not NSP_L3_NONE. */
    uint16_t l4_off;      /* Transport header, when l4 is not NSP_L4_NONE. */
    uint16_t payload_off; /* After the transport header, with l4 only. */
    uint16_t frag_off;    /* IPv6 fragment header, NSP_OFF_NONE if none. */
    uint32_t ip_bytes;    /* IP header to the end of the IP packet on the wire;
                           * with no IP header, all bytes after the link. */
    uint32_t payload_bytes; /* Transport payload held, with l4 only. */
    uint16_t ether_type;    /* After all tags; 0 when the link has none. */
    uint16_t vlan_tci[2];   /* Outermost first. */
    uint8_t vlan_count;     /* 0..2; a third tag is not followed: ether_type is
                             * then its TPID and l3 NSP_L3_NONE. */
    uint8_t link;           /* enum nsp_link; set by the device. */
    uint8_t l3;             /* enum nsp_l3. */
    uint8_t l4;             /* enum nsp_l4. */
    uint8_t ip_proto;       /* Transport number after extension headers, known
                             * even where l4 is NSP_L4_NONE; 0 without IP. */

    /* Filled by the device. */
    uint8_t direction; /* enum nsp_direction. */
    uint8_t hook;      /* enum nsp_hook, 0 if none. */
    uint8_t csum;      /* enum nsp_csum. */
    uint16_t flags;    /* enum nsp_pkt_flag. */
    uint16_t queue;    /* Device queue that lent it, and takes it back. */
    uint32_t in_ifindex, out_ifindex; /* 0 when unknown. */
    uint32_t mark;
    uint32_t uid;        /* Owner of the local socket, UINT32_MAX unknown. */
    uint64_t device_ref; /* The device's own name for it. */

    /* The engine's, while it owns the packet. */
    struct nsp_wheel_node timer; /* When the current stage lets it go, at last
                                  * when it leaves. */
    uint64_t extra_delay_ns;     /* Of the callback's verdict. */
    uint32_t rule;               /* The deciding one, by its slot. */
    uint32_t charged_bytes;      /* IP bytes it was counted with on arrival. */
    const char *note; /* Text of 'fates' (engine.h) for devices that can put it
                       * beside the packet (pcapfile); NULL none. */
    const struct nsp_flow_view *flow; /* What filters may read of its flow;
                                       * NULL: nothing is known. */
    uint8_t stage, stage_count;       /* Where it is, of those it passes. */
    uint8_t essential; /* enum nsp_essential: spared by rules that say nothing
                        * of such. */
    struct nsp_pkt_stage stages[NSP_PKT_STAGES_MAX];
};

/* Parses 'pkt' from data, cap_bytes, wire_bytes and link, filling the second
 * block above and the parser's flags. Reads no byte outside cap_bytes whatever
 * they hold. Cost: one pass over the headers; no allocation.
 *
 * Lengths are the IP header's, never more than the wire's: bytes after the IP
 * packet are padding. A length field of 0 means "to the end of wire_bytes" on a
 * packet with NSP_PKT_SUPERPACKET or with more wire_bytes than the field can
 * state (segmentation offload, IPv6 jumbograms); else it is malformed over IPv4
 * and an empty payload over IPv6. A TCP header that claims to reach past the
 * packet is clamped to its end, the payload is then empty. At most 15 IPv6
 * extension headers are followed; a longer chain is malformed. */
NSP_API void nsp_pkt_parse(struct nsp_pkt *pkt);

/* Tells what a parsed packet that was taken at INPUT or OUTPUT is essential
 * for; any other for nothing. */
NSP_API enum nsp_essential nsp_pkt_essential(const struct nsp_pkt *pkt);

/* Names 'essential' for people: "neighbour discovery", "DHCP", "DHCPv6". */
NSP_API const char *nsp_essential_name(enum nsp_essential essential);

/* Parses 'n' packets. */
NSP_API void nsp_pkt_parse_burst(struct nsp_pkt *const pkts[], uint32_t n);

/* --- Edits ---------------------------------------------------------------
 * On a parsed packet. Each keeps the IP and transport checksums as right, as
 * partial or as wrong as they were (RFC 1624, eqn. 3), sets NSP_PKT_MODIFIED,
 * and returns 0; or changes nothing and returns -ENOENT where the packet has no
 * such header, -EINVAL where the value does not fit. Numbers are the host's,
 * addresses are in network byte order.
 *
 * An address is that of the IP header. Behind an IPv6 routing header with
 * segments left the transport checksum covers the last hop instead, and setting
 * the destination leaves it as it is. A later fragment has no transport header,
 * and its bytes stay. */
NSP_API int nsp_pkt_set_ip_src(struct nsp_pkt *pkt, const uint8_t *addr,
                               size_t addr_bytes) NSP_MUSTCHECK;
NSP_API int nsp_pkt_set_ip_dst(struct nsp_pkt *pkt, const uint8_t *addr,
                               size_t addr_bytes) NSP_MUSTCHECK;
NSP_API int nsp_pkt_set_src_port(struct nsp_pkt *pkt,
                                 uint16_t port) NSP_MUSTCHECK;
NSP_API int nsp_pkt_set_dst_port(struct nsp_pkt *pkt,
                                 uint16_t port) NSP_MUSTCHECK;
NSP_API int nsp_pkt_set_ttl(struct nsp_pkt *pkt, uint8_t ttl) NSP_MUSTCHECK;
NSP_API int nsp_pkt_set_dscp(struct nsp_pkt *pkt, uint8_t dscp) NSP_MUSTCHECK;
NSP_API int nsp_pkt_set_ecn(struct nsp_pkt *pkt, uint8_t ecn) NSP_MUSTCHECK;
/* Lowers the MSS option of a TCP SYN to 'mss'; a lower one stays, and the
 * packet is then not marked as modified. -ENOENT on other segments and without
 * one. */
NSP_API int nsp_pkt_clamp_mss(struct nsp_pkt *pkt, uint16_t mss) NSP_MUSTCHECK;
NSP_API int nsp_pkt_set_tcp_window(struct nsp_pkt *pkt,
                                   uint16_t window) NSP_MUSTCHECK;

/* Computes the IPv4 header checksum and the transport checksum in full from the
 * bytes held, for a caller that rewrote them by hand: parses the packet again
 * first. Completes a partial checksum, and sets csum to NSP_CSUM_GOOD. A UDP
 * checksum of zero over IPv4 ("none") stays so. Returns 0, -ENOENT without an
 * IP header, or -EMSGSIZE when what a checksum covers is not all held or not
 * known (a truncated packet, a fragment, a UDP length or a routing header that
 * makes no sense): the IPv4 header checksum is then still computed. */
NSP_API int nsp_pkt_fix_checksums(struct nsp_pkt *pkt) NSP_MUSTCHECK;

/* Tells whether every checksum that can be verified is right. A partial one
 * counts as right, and UDP's zero does over IPv4 only; one that covers bytes
 * not held is skipped. */
NSP_API bool nsp_pkt_checksums_ok(const struct nsp_pkt *pkt);

NSP_END_DECLS
#endif /* NETSHAPER_PACKET_H */
