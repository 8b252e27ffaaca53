#include "io/bridge/bridge_checksum.h"

#include "packet/checksum.h"
#include "packet/proto.h"

#define TCP_CHECKSUM_OFF 16u
#define UDP_CHECKSUM_OFF 6u

/* Of the checksum in the transport header of 'pkt', which has one. */
static uint16_t
checksum_off(const struct nsp_pkt *pkt)
{
    return pkt->l4 == NSP_L4_TCP ? TCP_CHECKSUM_OFF : UDP_CHECKSUM_OFF;
}

bool
nsp_bridge_checksum_is_partial(const struct nsp_pkt *pkt)
{
    const unsigned doubtful =
        NSP_PKT_FRAGMENT | NSP_PKT_TRUNCATED | NSP_PKT_MALFORMED;
    uint32_t l4_bytes;
    uint16_t field, sum;

    if ((pkt->l4 != NSP_L4_TCP && pkt->l4 != NSP_L4_UDP) ||
        (pkt->flags & doubtful) != 0)
        return false;
    field = nsp_load_be16(pkt->data + pkt->l4_off + checksum_off(pkt));
    if (field == 0 && pkt->l4 == NSP_L4_UDP)
        return false; /* There is none. */
    l4_bytes = pkt->ip_bytes - (uint32_t)(pkt->l4_off - pkt->l3_off);
    /* Folding complements. */
    sum = nsp_csum_fold(nsp_csum_pseudo(pkt, pkt->ip_proto, l4_bytes));
    return (field ^ sum) == UINT16_MAX;
}

bool
nsp_bridge_checksum_place(struct nsp_pkt *pkt, uint16_t *ret_start,
                          uint16_t *ret_offset)
{
    if (pkt->flags & NSP_PKT_MODIFIED)
        nsp_pkt_parse(pkt); /* Headers may have moved. */
    if (pkt->l4 != NSP_L4_TCP && pkt->l4 != NSP_L4_UDP)
        return false;
    *ret_start = pkt->l4_off;
    *ret_offset = checksum_off(pkt);
    return true;
}
