#include "packet/tcp.h"

#include <errno.h>

#include "packet/proto.h"

enum option { END = 0, NO_OPERATION = 1, WINDOW_SCALE = 3 };

static uint8_t
flags_of(const struct nsp_pkt *pkt)
{
    return pkt->l4 == NSP_L4_TCP ? pkt->data[pkt->l4_off + 13] : 0;
}

/* The payload on the wire. */
static uint32_t
payload_bytes(const struct nsp_pkt *pkt)
{
    uint32_t header_bytes = (uint32_t)(pkt->data[pkt->l4_off + 12] >> 4) * 4;
    uint32_t l4_bytes = pkt->ip_bytes - (uint32_t)(pkt->l4_off - pkt->l3_off);

    return l4_bytes - nsp_min_u32(header_bytes, l4_bytes);
}

bool
nsp_tcp_is_syn(const struct nsp_pkt *pkt)
{
    return (flags_of(pkt) & (NSP_TCP_SYN | NSP_TCP_ACK)) == NSP_TCP_SYN;
}

bool
nsp_tcp_has_ack(const struct nsp_pkt *pkt)
{
    return (flags_of(pkt) & NSP_TCP_ACK) != 0;
}

bool
nsp_tcp_is_pure_ack(const struct nsp_pkt *pkt)
{
    const unsigned all = NSP_TCP_ACK | NSP_TCP_SYN | NSP_TCP_FIN | NSP_TCP_RST;

    return (flags_of(pkt) & all) == NSP_TCP_ACK && payload_bytes(pkt) == 0;
}

uint32_t
nsp_tcp_segment_bytes(const struct nsp_pkt *pkt)
{
    uint8_t flags = flags_of(pkt);

    if (pkt->l4 != NSP_L4_TCP)
        return 0;
    return payload_bytes(pkt) + ((flags & NSP_TCP_SYN) != 0) +
           ((flags & NSP_TCP_FIN) != 0);
}

uint32_t
nsp_tcp_option_off(const struct nsp_pkt *pkt, uint8_t kind, uint32_t bytes)
{
    uint32_t at = pkt->l4_off + NSP_TCP_BYTES, end = pkt->payload_off;

    if (pkt->l4 != NSP_L4_TCP)
        return NSP_OFF_NONE;
    while (at + bytes <= end && pkt->data[at] != END) {
        uint32_t step = 1;

        if (pkt->data[at] != NO_OPERATION)
            step = pkt->data[at + 1];
        if (step == 0)
            return NSP_OFF_NONE;
        if (pkt->data[at] == kind)
            return step == bytes ? at + 2 : NSP_OFF_NONE;
        at += step;
    }
    return NSP_OFF_NONE;
}

uint8_t
nsp_tcp_window_scale(const struct nsp_pkt *pkt)
{
    uint32_t off;

    if ((flags_of(pkt) & NSP_TCP_SYN) == 0)
        return NSP_WINDOW_SCALE_NONE;
    off = nsp_tcp_option_off(pkt, WINDOW_SCALE, 3);
    if (off == NSP_OFF_NONE)
        return NSP_WINDOW_SCALE_NONE;
    return (uint8_t)nsp_min_u32(pkt->data[off], NSP_WINDOW_SCALE_MAX);
}

/* The number that stands for 'max_bytes' in the segment's window. */
static uint32_t
window_of(const struct nsp_pkt *pkt, uint32_t max_bytes, uint8_t scale)
{
    uint32_t most;

    assert(scale <= NSP_WINDOW_SCALE_MAX);
    if ((flags_of(pkt) & NSP_TCP_SYN) != 0)
        scale = 0;
    most = max_bytes >> scale;
    return most == 0 && max_bytes != 0 ? 1 : most;
}

bool
nsp_tcp_exceeds_window(const struct nsp_pkt *pkt, uint32_t max_bytes,
                       uint8_t scale)
{
    return pkt->l4 == NSP_L4_TCP &&
           nsp_load_be16(pkt->data + pkt->l4_off + 14) >
               window_of(pkt, max_bytes, scale);
}

int
nsp_tcp_clamp_window(struct nsp_pkt *pkt, uint32_t max_bytes, uint8_t scale)
{
    if (pkt->l4 != NSP_L4_TCP)
        return -ENOENT;
    if (!nsp_tcp_exceeds_window(pkt, max_bytes, scale))
        return 0;
    return nsp_pkt_set_tcp_window(pkt,
                                  (uint16_t)window_of(pkt, max_bytes, scale));
}
