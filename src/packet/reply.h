#ifndef NSP_PACKET_REPLY_H
#define NSP_PACKET_REPLY_H
#include "base/base.h"
#include "netshaper/packet.h"

/* Largest reply: an IPv6 header, ICMPv6 and the quoted packet, 1280 in all. */
#define NSP_REPLY_BYTES_MAX 1280u

/* Builds the answer that rejects the parsed packet 'pkt' in 'ret', from its IP
 * header on with all checksums complete: a TCP RST (RFC 9293,
 * section 3.10.7.1), else an ICMP port unreachable (RFC 1122, section 3.2.2.1)
 * or its ICMPv6 like (RFC 4443, section 3.1). 'ret' holds NSP_REPLY_BYTES_MAX
 * bytes. Returns the length, or 0 where no answer may be sent: to a RST, an
 * ICMP error, a later fragment, a multicast, broadcast or unspecified address,
 * or no IP packet. */
uint32_t nsp_reply_build(const struct nsp_pkt *pkt, uint8_t *ret) NSP_MUSTCHECK;

enum nsp_reply_to {
    NSP_REPLY_TO_SENDER = 0,
    NSP_REPLY_TO_RECEIVER,
};

/* Builds in 'ret' the RST that makes one end of the connection of the TCP
 * segment 'pkt' give it up, as if it came from the other end. 'delivered' says
 * whether the segment goes on to its receiver, ahead of the RST. A RST is
 * obeyed where 'pkt' was in sequence: nothing before it is missing or under way
 * still. Returns its length, or 0 where nsp_reply_build() would or there is no
 * TCP. */
uint32_t nsp_reply_build_rst(const struct nsp_pkt *pkt, enum nsp_reply_to to,
                             bool delivered, uint8_t *ret) NSP_MUSTCHECK;

/* Whether a router may cut 'pkt' into fragments: IPv4 without "don't fragment".
 */
bool nsp_reply_may_fragment(const struct nsp_pkt *pkt);

/* Builds in 'ret' the error that tells the sender of 'pkt' that it is larger
 * than 'mtu': ICMP "fragmentation needed" (RFC 1191) or ICMPv6 "packet too big"
 * (RFC 4443, section 3.2). Senders do not go below 68 bytes over IPv4 (Linux:
 * 552) and 1280 over IPv6. Returns the length, or 0 where nsp_reply_build()
 * would send no answer, or where the packet may be fragmented instead. */
uint32_t nsp_reply_build_too_big(const struct nsp_pkt *pkt, uint32_t mtu,
                                 uint8_t *ret) NSP_MUSTCHECK;

#endif /* NSP_PACKET_REPLY_H */
