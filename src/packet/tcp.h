#ifndef NSP_PACKET_TCP_H
#define NSP_PACKET_TCP_H
#include "base/base.h"
#include "netshaper/packet.h"

/* What a TCP segment is, and an edit that must know more than the segment. Of a
 * parsed packet; false, 0 or none of one that is no TCP. Lengths are those on
 * the wire, held or not. Cost: no allocation; constant, but for options. */

/* Asks to open a connection: SYN without ACK. */
bool nsp_tcp_is_syn(const struct nsp_pkt *pkt);

bool nsp_tcp_has_ack(const struct nsp_pkt *pkt);

/* Acknowledges and nothing else: no data, SYN, FIN or RST. */
bool nsp_tcp_is_pure_ack(const struct nsp_pkt *pkt);

/* SEG.LEN of RFC 9293: the payload, and one each for SYN and FIN. */
uint32_t nsp_tcp_segment_bytes(const struct nsp_pkt *pkt);

/* Offset of the value of the option 'kind' of 'bytes' bytes in all (RFC 9293,
 * section 3.2), NSP_OFF_NONE when there is none. Options end with the header
 * that the parser found. */
uint32_t nsp_tcp_option_off(const struct nsp_pkt *pkt, uint8_t kind,
                            uint32_t bytes);

#define NSP_WINDOW_SCALE_MAX  14u
#define NSP_WINDOW_SCALE_NONE 255u

/* The shift that a SYN offers for its sender's later windows (RFC 7323, section
 * 2.2), at most NSP_WINDOW_SCALE_MAX; NSP_WINDOW_SCALE_NONE when it offers
 * none. Windows are scaled only where both sides' SYNs offered. */
uint8_t nsp_tcp_window_scale(const struct nsp_pkt *pkt);

/* Lowers the window that a segment announces to at most 'max_bytes', where its
 * sender's windows are shifted by 'scale', 0..NSP_WINDOW_SCALE_MAX; those of
 * SYNs never are. One that no whole unit fits becomes one unit, not zero, which
 * would stop the peer, unless 'max_bytes' is 0. A lower window stays, and the
 * packet is then not marked as modified. Keeps checksums like every edit of
 * netshaper/packet.h. Returns 0, or -ENOENT where there is no TCP. */
int nsp_tcp_clamp_window(struct nsp_pkt *pkt, uint32_t max_bytes,
                         uint8_t scale) NSP_MUSTCHECK;

/* Whether that would lower it. */
bool nsp_tcp_exceeds_window(const struct nsp_pkt *pkt, uint32_t max_bytes,
                            uint8_t scale);

#endif /* NSP_PACKET_TCP_H */
