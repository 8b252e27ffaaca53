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

/* Stores where the checksum of a packet is to be completed from, and where
 * behind that it is: of one that may have been edited, whose headers are looked
 * at anew. False where it has no such checksum. */
bool nsp_bridge_checksum_place(struct nsp_pkt *pkt, uint16_t *ret_start,
                               uint16_t *ret_offset);

#endif /* NSP_IO_BRIDGE_CHECKSUM_H */
