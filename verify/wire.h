#ifndef NSP_VERIFY_WIRE_H
#define NSP_VERIFY_WIRE_H
#include "verify/packet.h"

/* Test packets on a real network: how each is told from the others, whatever
 * has become of it. The number is in the IPv4 identification, or in the IPv6
 * flow label, and once more in the payload where there is room. */

/* Writes packet 'number', below 65535, with another TTL: 'packet->bytes' at
 * 'ret'. */
void nsp_wire_write(const struct nsp_test_packet *packet, uint32_t number,
                    uint32_t ttl, uint8_t *ret);

/* Tells the number of the packet at 'data', which may be damaged. Where its two
 * numbers differ, or neither can be read, it is 'next', which is to come. */
uint32_t nsp_wire_number(const struct nsp_test_packet *packet,
                         const uint8_t *data, uint32_t bytes, uint32_t next);

/* Whether it is a bare TCP RST where 'packet' is none. */
bool nsp_wire_is_reset(const struct nsp_test_packet *packet,
                       const uint8_t *data, uint32_t bytes);

/* Whether it is of IPv6 neighbour discovery. */
bool nsp_wire_is_discovery(const uint8_t *data, uint32_t bytes);

#endif /* NSP_VERIFY_WIRE_H */
