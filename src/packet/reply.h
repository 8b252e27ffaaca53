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

#endif /* NSP_PACKET_REPLY_H */
