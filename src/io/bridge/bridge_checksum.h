#ifndef NSP_IO_BRIDGE_CHECKSUM_H
#define NSP_IO_BRIDGE_CHECKSUM_H
#include "netshaper/packet.h"

/* Transport checksums that were left to an interface without wires.
 *
 * A virtual sender leaves the sum of the pseudo-header in the checksum field,
 * for hardware to add the rest; AF_XDP does not say so. The field itself does:
 * it holds that sum. By chance a complete checksum is the same once in 65536,
 * and computing it anew then changes nothing.
 *
 * Cost  Independent of the packet's length. */

/* Tells whether the checksum of a parsed packet is left to be completed. */
bool nsp_bridge_checksum_is_partial(const struct nsp_pkt *pkt);

/* Offset of the checksum in the transport header of 'pkt', which has one. */
uint16_t nsp_bridge_checksum_off(const struct nsp_pkt *pkt);

#endif /* NSP_IO_BRIDGE_CHECKSUM_H */
