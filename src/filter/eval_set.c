#include "filter/eval_set.h"

/* Where the source and destination are in their headers. */
#define IPV4_SOURCE      12u
#define IPV4_DESTINATION 16u
#define IPV6_SOURCE      8u
#define IPV6_DESTINATION 24u

/* The address of this machine or the other side, by the packet's direction. */
static const uint8_t *
find_side(const struct nsp_pkt *pkt, bool local)
{
    bool of_source = local == (pkt->direction == NSP_OUTBOUND);
    const uint8_t *ip = pkt->data + pkt->l3_off;

    if (pkt->direction == NSP_DIRECTION_NONE)
        return NULL;
    if (pkt->l3 == NSP_L3_IPV4)
        return ip + (of_source ? IPV4_SOURCE : IPV4_DESTINATION);
    if (pkt->l3 == NSP_L3_IPV6)
        return ip + (of_source ? IPV6_SOURCE : IPV6_DESTINATION);
    return NULL;
}

/* Returns the address in network order, NULL if there is none. A header is held
 * whole. */
static const uint8_t *
find(const struct nsp_insn *insn, const struct nsp_pkt *pkt, bool *ret_is_ipv6)
{
    const uint8_t *addr = pkt->data + pkt->l3_off + insn->offset;

    *ret_is_ipv6 = pkt->l3 == NSP_L3_IPV6;
    switch (insn->op) {
    case NSP_FETCH_ADDR6:
        return pkt->l3 == NSP_L3_IPV6 ? addr : NULL;
    case NSP_FETCH_L3:
        return pkt->l3 == insn->arg ? addr : NULL;
    default:
        return find_side(pkt, insn->op == NSP_FETCH_LOCAL_ADDR);
    }
}

bool
nsp_eval_find_address(const struct nsp_operands *o, const struct nsp_pkt *pkt,
                      uint32_t *ret)
{
    bool is_ipv6;
    const uint8_t *addr = find(&o->left, pkt, &is_ipv6);

    if (!addr)
        return false;
    *ret = is_ipv6 ? nsp_prefix_set_has_ipv6(o->addresses, addr)
                   : nsp_prefix_set_has_ipv4(o->addresses, nsp_load_be32(addr));
    return true;
}

/* Puts the lowest bits of 'bits' where those of 'mask' are. */
static uint64_t
spread(uint64_t bits, uint64_t mask)
{
    uint64_t result = 0;

    if ((mask & (mask + 1)) == 0)
        return bits; /* They are there. */
    for (; bits != 0 && mask != 0; mask &= mask - 1, bits >>= 1)
        result |= (bits & 1) << nsp_ctz_u64(mask);
    return result;
}

uint64_t
nsp_eval_find_addresses(const struct nsp_operands *o,
                        struct nsp_pkt *const pkts[], uint64_t mask,
                        uint64_t *ret_present)
{
    uint32_t ipv4[64], ipv4_count = 0, ipv6_count = 0;
    const uint8_t *ipv6[64];
    uint64_t of_ipv4 = 0, of_ipv6 = 0, inside = 0;

    for (; mask != 0; mask &= mask - 1) {
        uint32_t i = nsp_ctz_u64(mask);
        bool is_ipv6;
        const uint8_t *addr = find(&o->left, pkts[i], &is_ipv6);

        if (!addr)
            continue;
        if (is_ipv6) {
            ipv6[ipv6_count++] = addr;
            of_ipv6 |= UINT64_C(1) << i;
        } else {
            ipv4[ipv4_count++] = nsp_load_be32(addr);
            of_ipv4 |= UINT64_C(1) << i;
        }
    }
    if (ipv4_count > 0)
        inside = spread(
            nsp_prefix_set_has_ipv4_burst(o->addresses, ipv4, ipv4_count),
            of_ipv4);
    if (ipv6_count > 0)
        inside |= spread(
            nsp_prefix_set_has_ipv6_burst(o->addresses, ipv6, ipv6_count),
            of_ipv6);
    *ret_present = of_ipv4 | of_ipv6;
    return inside;
}
