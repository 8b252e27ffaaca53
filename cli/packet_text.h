#ifndef NSP_CLI_PACKET_TEXT_H
#define NSP_CLI_PACKET_TEXT_H
#include "netshaper/diag.h"
#include "netshaper/packet.h"

/* Packets as people write them:
 *
 *     tcp 10.0.0.1:5 > 1.2.3.4:80 outbound
 *     udp [2001:db8::1]:53 > [2001:db8::2]:4000 inbound length 200
 *     tcp 10.0.0.1:5 > 1.2.3.4:80 outbound syn ack
 *     icmp 10.0.0.1 > 10.0.0.2
 *
 * A protocol (tcp, udp, icmp, icmpv6 or ip), source and destination, and what
 * else is to be said: a direction (forwarded packets have none), TCP flags (ack
 * where there are none), 'length' with the bytes of payload, 'ttl', 'mark'. */
#define NSP_PACKET_TEXT_BYTES 9216u

struct nsp_packet_text {
    struct nsp_pkt pkt; /* Parsed; its data is below. */
    uint8_t bytes[NSP_PACKET_TEXT_BYTES];
};

/* Makes the packet that 'text' describes. Returns NSP_OK, or
 * NSP_INVALID_PARAMETER with the place in 'reterr'. */
int nsp_packet_text_read(const char *text, struct nsp_packet_text *ret,
                         struct nsp_diag *reterr);

/* Describes a parsed packet in the same way. */
char *nsp_packet_text_write(const struct nsp_pkt *pkt, char *ret, size_t bytes);

#endif /* NSP_CLI_PACKET_TEXT_H */
