#ifndef NSP_PACKET_CHECKSUM_H
#define NSP_PACKET_CHECKSUM_H
#include "base/base.h"
#include "netshaper/packet.h"

/* The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
 *
 * A sum is a one's-complement accumulator of 16-bit words, each the number that
 * its two bytes are in network order, so plain numbers can be added to it too.
 * nsp_csum_fold() folds it to the value that belongs in a header, in host
 * order. Cost: no allocation; linear in the bytes summed. */

/* Adds 'bytes' bytes to 'sum'; an odd last byte counts as if followed by zero,
 * so only the last piece of a message may be odd. */
uint64_t nsp_csum_add(uint64_t sum, const uint8_t *data, size_t bytes);

/* Folds 'sum' to 16 bits and complements it. */
uint16_t nsp_csum_fold(uint64_t sum);

/* Sum of the pseudo-header of 'pkt', which must have an IP header, for a
 * transport part of 'l4_bytes'. IPv4: RFC 793; IPv6: RFC 8200, section 8.1. */
uint64_t nsp_csum_pseudo(const struct nsp_pkt *pkt, uint8_t ip_proto,
                         uint32_t l4_bytes);

/* Offset of the destination address in the pseudo-header of 'pkt', which must
 * have an IP header: that of the IP header, or the last hop of an IPv6 routing
 * header with segments left (types 0, 2 and 4). NSP_OFF_NONE when a routing
 * header of another type hides it; nsp_csum_pseudo() then takes the IP
 * header's. */
uint16_t nsp_csum_dst_off(const struct nsp_pkt *pkt);

/* RFC 1624, equation 3: the checksum after a 16-bit word of the covered bytes
 * changed from 'before' to 'after'. All in host order. */
uint16_t nsp_csum_update16(uint16_t csum, uint16_t before, uint16_t after);

#endif /* NSP_PACKET_CHECKSUM_H */
