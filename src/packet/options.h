#ifndef NSP_PACKET_OPTIONS_H
#define NSP_PACKET_OPTIONS_H
#include "netshaper/packet.h"

/* Offset of the value of a TCP packet's MSS option, NSP_OFF_NONE when there is
 * none (RFC 9293, section 3.2). Options end with the header that the parser
 * found. */
uint32_t nsp_pkt_mss_off(const struct nsp_pkt *pkt);

#endif /* NSP_PACKET_OPTIONS_H */
