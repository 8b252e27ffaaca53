#include "filter/eval_fetch.h"

#include <string.h>

#include "base/prng.h"
#include "packet/options.h"
#include "packet/proto.h"

/* Bytes of headers that the random fields hash. */
#define HASHED_BYTES_MAX 128u

uint32_t
nsp_eval_payload_length(const struct nsp_pkt *pkt)
{
    uint32_t headers = (uint32_t)pkt->payload_off - pkt->l3_off;

    return pkt->ip_bytes > headers ? pkt->ip_bytes - headers : 0;
}

static bool
has_ip(const struct nsp_pkt *pkt)
{
    return pkt->l3 == NSP_L3_IPV4 || pkt->l3 == NSP_L3_IPV6;
}

bool
nsp_eval_fetch_bytes(const struct nsp_insn *insn, const struct nsp_pkt *pkt,
                     uint32_t *ret)
{
    int64_t start, bytes, at;
    uint32_t size = insn->shift;

    if (insn->arg == 0 ? !has_ip(pkt) : pkt->l4 != insn->arg)
        return false;
    start = insn->arg == 0 ? pkt->l3_off : pkt->payload_off;
    bytes = insn->arg == 0 ? pkt->ip_bytes : nsp_eval_payload_length(pkt);
    at = insn->position < 0 ? bytes + insn->position : insn->position;
    if (at < 0 || at + size > bytes || start + at + size > pkt->cap_bytes)
        return false;

    *ret = 0;
    for (uint32_t i = 0; i < size; i++)
        *ret = *ret << 8 | pkt->data[start + at + i];
    return true;
}

bool
nsp_eval_fetch_port(const struct nsp_pkt *pkt, bool local, uint32_t *ret)
{
    bool of_source = local == (pkt->direction == NSP_OUTBOUND);

    *ret = 0;
    if (pkt->direction == NSP_DIRECTION_NONE)
        return false;
    if (pkt->l4 == NSP_L4_TCP || pkt->l4 == NSP_L4_UDP)
        *ret = nsp_load_be16(pkt->data + pkt->l4_off + (of_source ? 0 : 2));
    else if (pkt->l4 != NSP_L4_NONE && of_source)
        *ret = pkt->data[pkt->l4_off];
    return true;
}

static struct nsp_u128
load_addr6(const uint8_t *p)
{
    return (struct nsp_u128){
        (uint64_t)nsp_load_be32(p) << 32 | nsp_load_be32(p + 4),
        (uint64_t)nsp_load_be32(p + 8) << 32 | nsp_load_be32(p + 12),
    };
}

static bool
fetch_side_addr(const struct nsp_pkt *pkt, bool local, struct nsp_u128 *ret)
{
    bool of_source = local == (pkt->direction == NSP_OUTBOUND);
    const uint8_t *ip = pkt->data + pkt->l3_off;

    if (pkt->direction == NSP_DIRECTION_NONE || !has_ip(pkt))
        return false;
    if (pkt->l3 == NSP_L3_IPV4)
        *ret = nsp_u128(NSP_IPV4_FIRST |
                        nsp_load_be32(ip + (of_source ? 12 : 16)));
    else
        *ret = load_addr6(ip + (of_source ? 8 : 24));
    return true;
}

uint64_t
nsp_eval_hash(const struct nsp_pkt *pkt, uint64_t seed)
{
    uint64_t hash = nsp_mix64(seed ^ nsp_mix64(pkt->arrival_ns));
    uint32_t start, end;

    if (!has_ip(pkt))
        return nsp_mix64(hash ^ pkt->ip_bytes);
    start = pkt->l3_off;
    end = pkt->l4 != NSP_L4_NONE ? pkt->payload_off : pkt->cap_bytes;
    end = nsp_min_u32(end, start + HASHED_BYTES_MAX);
    end = nsp_min_u32(end, pkt->cap_bytes);
    for (; start + 8 <= end; start += 8) {
        uint64_t word = (uint64_t)nsp_load_be32(pkt->data + start) << 32 |
                        nsp_load_be32(pkt->data + start + 4);

        hash = nsp_mix64(hash ^ word);
    }
    for (; start < end; start++)
        hash = nsp_mix64(hash ^ pkt->data[start]);
    return hash;
}

bool
nsp_eval_has_ethernet(const struct nsp_pkt *pkt)
{
    return pkt->link == NSP_LINK_ETHERNET &&
           pkt->cap_bytes >= NSP_ETHERNET_BYTES;
}

bool
nsp_eval_fetch_mss(const struct nsp_pkt *pkt, uint32_t *ret)
{
    uint32_t off;

    if (pkt->l4 != NSP_L4_TCP)
        return false;
    off = nsp_pkt_mss_off(pkt);
    if (off == NSP_OFF_NONE)
        return false;
    *ret = nsp_load_be16(pkt->data + off);
    return true;
}

static bool
fetch_mac(const struct nsp_insn *insn, const struct nsp_pkt *pkt,
          struct nsp_u128 *ret)
{
    const uint8_t *mac = pkt->data + insn->offset;

    if (insn->arg == 0 ? !nsp_eval_has_ethernet(pkt) : pkt->l3 != insn->arg)
        return false;
    if (insn->arg != 0)
        mac += pkt->l3_off;
    *ret =
        nsp_u128((uint64_t)nsp_load_be16(mac) << 32 | nsp_load_be32(mac + 2));
    return true;
}

static bool
fetch_flow_count(const struct nsp_insn *insn, const struct nsp_pkt *pkt,
                 struct nsp_u128 *ret)
{
    uint64_t count;

    if (!pkt->flow)
        return false;
    memcpy(&count, (const uint8_t *)pkt->flow + insn->offset, sizeof count);
    *ret = nsp_u128(count);
    return true;
}

bool
nsp_eval_fetch_wide(const struct nsp_insn *insn, const struct nsp_pkt *pkt,
                    const struct nsp_filter_context *context,
                    struct nsp_u128 *ret)
{
    switch (insn->op) {
    case NSP_FETCH_ADDR6:
        if (pkt->l3 != NSP_L3_IPV6)
            return false;
        *ret = load_addr6(pkt->data + pkt->l3_off + insn->offset);
        return true;
    case NSP_FETCH_TIMESTAMP:
        *ret = nsp_u128((uint64_t)context->timestamp ^ UINT64_C(1) << 63);
        return true;
    case NSP_FETCH_FLOW_COUNT:
        return fetch_flow_count(insn, pkt, ret);
    case NSP_FETCH_MAC:
        return fetch_mac(insn, pkt, ret);
    default:
        return fetch_side_addr(pkt, insn->op == NSP_FETCH_LOCAL_ADDR, ret);
    }
}
