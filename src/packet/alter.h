#ifndef NSP_PACKET_ALTER_H
#define NSP_PACKET_ALTER_H
#include "base/base.h"
#include "netshaper/packet.h"

/* Changes that a network makes to packets by marking or damaging them, on a
 * parsed packet. Each sets NSP_PKT_MODIFIED where it changes something and
 * leaves the packet parsed. Cost: no allocation. */

/* Marks congestion (RFC 3168): CE in place of ECT(0) or ECT(1). Returns 0, also
 * where it is there already, or -ENOENT where the packet's sender would not
 * understand: what would mark must drop it then. */
int nsp_pkt_mark_ce(struct nsp_pkt *pkt) NSP_MUSTCHECK;

/* Whether the sender understands that mark, or the packet bears it already. */
bool nsp_pkt_is_ecn_capable(const struct nsp_pkt *pkt);

/* Cuts the IP packet to 'ip_bytes' from its IP header on, and says so in that
 * header, whose checksum stays right; the transport's checksum, and a UDP
 * length, stay as they are. One that is shorter stays. Bytes after the IP
 * packet go too. Returns 0; -ENOENT without an IP header; or -EINVAL where not
 * even the IP header (40 bytes of IPv6) would be left, or for a packet made of
 * several. */
int nsp_pkt_truncate(struct nsp_pkt *pkt, uint32_t ip_bytes) NSP_MUSTCHECK;

/* Completes a partial checksum, where what it covers is held: damage must come
 * after the checksum, or a device would compute it over the damage. */
void nsp_pkt_complete_checksum(struct nsp_pkt *pkt);

/* Makes the transport checksum wrong, whatever it was. Returns 0, or -ENOENT
 * where there is no transport header. */
int nsp_pkt_break_checksum(struct nsp_pkt *pkt) NSP_MUSTCHECK;

/* Makes checksums, and a UDP length beyond the IP packet, right for the bytes
 * there are. Returns as nsp_pkt_fix_checksums(). */
int nsp_pkt_repair(struct nsp_pkt *pkt) NSP_MUSTCHECK;

#endif /* NSP_PACKET_ALTER_H */
