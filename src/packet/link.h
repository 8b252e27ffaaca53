#ifndef NSP_PACKET_LINK_H
#define NSP_PACKET_LINK_H
#include "base/base.h"
#include "netshaper/packet.h"

/* Most bytes nsp_link_build() writes: Ethernet with two tags is 22. */
#define NSP_LINK_BYTES_MAX 32u

/* Writes in 'ret', which holds NSP_LINK_BYTES_MAX bytes, the link header of an
 * IP packet of version 'ip_version' (4 or 6) that travels like the parsed
 * packet 'like' or, with 'reply', the opposite way: addresses swapped, tags
 * kept; a cooked header, which knows one address only, then has none. Returns
 * its length (0 for NSP_LINK_RAW), or -EINVAL where 'like' has no complete link
 * header before a network header, or 'ip_version' is no IP version. */
int nsp_link_build(const struct nsp_pkt *like, unsigned ip_version, bool reply,
                   uint8_t *ret) NSP_MUSTCHECK;

/* Of a VLAN tag: its type (TPID), and what it holds (TCI). */
#define NSP_LINK_TAG_BYTES 4u

/* Puts a tag behind the addresses of the Ethernet header at 'frame', in front
 * of which there is room for it. Returns where the header begins then. */
static inline uint8_t *
nsp_link_push_tag(uint8_t *frame, uint16_t type, uint16_t tci)
{
    uint8_t *header = frame - NSP_LINK_TAG_BYTES;
    uint8_t addresses[12]; /* In registers, where memmove() would be called. */

    memcpy(addresses, frame, sizeof addresses);
    memcpy(header, addresses, sizeof addresses);
    nsp_store_be16(header + 12, type);
    nsp_store_be16(header + 14, tci);
    return header;
}

#endif /* NSP_PACKET_LINK_H */
