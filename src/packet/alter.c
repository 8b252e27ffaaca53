#include "packet/alter.h"

#include <errno.h>

#include "packet/checksum.h"
#include "packet/proto.h"

enum ecn { NOT_ECT = 0, CE = 3 };

static unsigned
ecn_of(const struct nsp_pkt *pkt)
{
    const uint8_t *ip = pkt->data + pkt->l3_off;

    if (pkt->l3 == NSP_L3_IPV4)
        return ip[1] & 3u;
    if (pkt->l3 == NSP_L3_IPV6)
        return ip[1] >> 4 & 3u;
    return NOT_ECT;
}

bool
nsp_pkt_is_ecn_capable(const struct nsp_pkt *pkt)
{
    return ecn_of(pkt) != NOT_ECT;
}

int
nsp_pkt_mark_ce(struct nsp_pkt *pkt)
{
    unsigned ecn = ecn_of(pkt);

    if (ecn == NOT_ECT)
        return -ENOENT;
    return ecn == CE ? 0 : nsp_pkt_set_ecn(pkt, CE);
}

/* Stores the length of an IP packet of 'ip_bytes'. */
static void
store_ip_bytes(struct nsp_pkt *pkt, uint32_t ip_bytes)
{
    uint8_t *ip = pkt->data + pkt->l3_off;
    uint16_t before;

    if (pkt->l3 == NSP_L3_IPV6) {
        nsp_store_be16(ip + 4, (uint16_t)(ip_bytes - NSP_IPV6_BYTES));
        return;
    }
    before = nsp_load_be16(ip + 2);
    nsp_store_be16(ip + 2, (uint16_t)ip_bytes);
    nsp_store_be16(ip + 10, nsp_csum_update16(nsp_load_be16(ip + 10), before,
                                              (uint16_t)ip_bytes));
}

int
nsp_pkt_truncate(struct nsp_pkt *pkt, uint32_t ip_bytes)
{
    uint32_t header_bytes = NSP_IPV6_BYTES;

    if (pkt->l3 != NSP_L3_IPV4 && pkt->l3 != NSP_L3_IPV6)
        return -ENOENT;
    if (pkt->l3 == NSP_L3_IPV4)
        header_bytes = (pkt->data[pkt->l3_off] & 0x0Fu) * 4;
    if (ip_bytes < header_bytes || (pkt->flags & NSP_PKT_SUPERPACKET) != 0)
        return -EINVAL;
    if (pkt->ip_bytes <= ip_bytes)
        return 0;
    /* Only what is beyond a length field's range is longer still. */
    if (ip_bytes > UINT16_MAX)
        return -EINVAL;

    store_ip_bytes(pkt, ip_bytes);
    pkt->wire_bytes = pkt->l3_off + ip_bytes;
    pkt->cap_bytes = nsp_min_u32(pkt->cap_bytes, pkt->wire_bytes);
    pkt->flags |= NSP_PKT_MODIFIED;
    nsp_pkt_parse(pkt);
    return 0;
}

void
nsp_pkt_complete_checksum(struct nsp_pkt *pkt)
{
    if (pkt->csum == NSP_CSUM_PARTIAL && nsp_pkt_fix_checksums(pkt) != 0)
        pkt->csum = NSP_CSUM_UNKNOWN; /* Not to be had, so wrong for good. */
}

int
nsp_pkt_break_checksum(struct nsp_pkt *pkt)
{
    uint32_t off = pkt->l4_off;
    uint16_t csum;

    switch (pkt->l4) {
    case NSP_L4_TCP:
        off += 16;
        break;
    case NSP_L4_UDP:
        off += 6;
        break;
    case NSP_L4_ICMP:
    case NSP_L4_ICMPV6:
        off += 2;
        break;
    default:
        return -ENOENT;
    }
    nsp_pkt_complete_checksum(pkt);
    csum = nsp_load_be16(pkt->data + off);
    nsp_store_be16(pkt->data + off, csum ^ 1);
    /* What was wrong may have turned right, or into UDP's "none". */
    if (nsp_pkt_checksums_ok(pkt))
        nsp_store_be16(pkt->data + off, csum ^ 2);
    pkt->csum = NSP_CSUM_UNKNOWN;
    pkt->flags |= NSP_PKT_MODIFIED;
    return 0;
}

int
nsp_pkt_repair(struct nsp_pkt *pkt)
{
    uint32_t l4_bytes;
    uint8_t *length;

    nsp_pkt_parse(pkt);
    if (pkt->l4 == NSP_L4_UDP && (pkt->flags & NSP_PKT_FRAGMENT) == 0) {
        l4_bytes = pkt->ip_bytes - (uint32_t)(pkt->l4_off - pkt->l3_off);
        length = pkt->data + pkt->l4_off + 4;
        if (l4_bytes <= UINT16_MAX && nsp_load_be16(length) > l4_bytes) {
            nsp_store_be16(length, (uint16_t)l4_bytes);
            pkt->flags |= NSP_PKT_MODIFIED;
        }
    }
    return nsp_pkt_fix_checksums(pkt);
}
