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

#endif /* NSP_PACKET_LINK_H */
