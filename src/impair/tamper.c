#include "impair/tamper.h"

#include "impair/chance.h"
#include "packet/alter.h"
#include "packet/proto.h"

const char *
nsp_tamper_fault(const struct nsp_tamper_config *tamper)
{
    if (tamper->truncate_bytes != 0 && tamper->truncate_bytes < NSP_IPV4_BYTES)
        return "a packet cannot be cut below 20 bytes, an IPv4 header";
    if (tamper->flip_bits > NSP_TAMPER_FLIP_MAX)
        return "more than 64 bits to flip";
    if (tamper->flip_where > NSP_TAMPER_PACKET)
        return "flip_where is not one of enum nsp_tamper_where";
    if (tamper->rewrite > NSP_TAMPER_RANDOM)
        return "rewrite is not one of enum nsp_tamper_rewrite";
    if (tamper->csum > NSP_TAMPER_CSUM_BREAK)
        return "csum is not one of enum nsp_tamper_csum";
    if (tamper->rewrite == NSP_TAMPER_FILL &&
        (tamper->fill_bytes == 0 || tamper->fill_bytes > NSP_TAMPER_FILL_MAX))
        return "a payload is filled with 1 to 64 bytes";
    return nsp_chance_fault(tamper->ppm, tamper->correlation_ppm);
}

/* Bytes held of a packet, from 'start' on. */
struct span {
    uint32_t start, bytes;
};

static bool
is_ip(const struct nsp_pkt *pkt)
{
    return pkt->l3 == NSP_L3_IPV4 || pkt->l3 == NSP_L3_IPV6;
}

/* Where the IP payload begins of a packet whose transport header is not held or
 * not known, a later fragment above all. */
static uint32_t
ip_payload_off(const struct nsp_pkt *pkt)
{
    if (pkt->l3 == NSP_L3_IPV4)
        return pkt->l3_off + (pkt->data[pkt->l3_off] & 0x0Fu) * 4;
    if (pkt->frag_off != NSP_OFF_NONE)
        return pkt->frag_off + NSP_IPV6_EXT_MIN_BYTES;
    return pkt->l3_off + NSP_IPV6_BYTES;
}

static struct span
span_of(const struct nsp_pkt *pkt, enum nsp_tamper_where where)
{
    uint32_t end = nsp_min_u32(pkt->cap_bytes, pkt->l3_off + pkt->ip_bytes);
    uint32_t start = pkt->l3_off;

    if (where == NSP_TAMPER_PAYLOAD) {
        if (pkt->l4 != NSP_L4_NONE)
            return (struct span){ pkt->payload_off, pkt->payload_bytes };
        if ((pkt->flags & NSP_PKT_LATER_FRAGMENT) == 0)
            return (struct span){ 0, 0 };
        start = ip_payload_off(pkt);
    } else if (where == NSP_TAMPER_IP_PAYLOAD) {
        start = pkt->l4 != NSP_L4_NONE ? pkt->l4_off : ip_payload_off(pkt);
    }
    return (struct span){ start, start < end ? end - start : 0 };
}

static bool
cut(struct nsp_pkt *pkt, uint32_t bytes)
{
    if (pkt->l3 == NSP_L3_IPV6 && bytes < NSP_IPV6_BYTES)
        bytes = NSP_IPV6_BYTES;
    return pkt->ip_bytes > bytes && nsp_pkt_truncate(pkt, bytes) == 0;
}

static bool
rewrite(const struct nsp_tamper_config *tamper, struct nsp_pkt *pkt,
        struct nsp_prng *random)
{
    struct span span = span_of(pkt, NSP_TAMPER_PAYLOAD);
    uint8_t *to = pkt->data + span.start;
    uint64_t draw = 0;

    for (uint32_t i = 0; i < span.bytes; i++) {
        if (tamper->rewrite == NSP_TAMPER_FILL) {
            to[i] = tamper->fill[i % tamper->fill_bytes];
            continue;
        }
        if (i % 8 == 0)
            draw = nsp_prng_next(random);
        to[i] = (uint8_t)(draw >> i % 8 * 8);
    }
    return span.bytes > 0;
}

/* Floyd's way to 'wanted' different numbers below 'n': each step picks one of
 * the numbers that it adds to the range or, if that is taken, the newest. */
static bool
flip(struct nsp_pkt *pkt, struct span span, uint32_t wanted,
     struct nsp_prng *random)
{
    uint32_t bits[NSP_TAMPER_FLIP_MAX];
    uint32_t n = span.bytes * 8;

    wanted = nsp_min_u32(wanted, n);
    for (uint32_t i = 0; i < wanted; i++) {
        uint32_t newest = n - wanted + i;

        bits[i] = nsp_prng_below(random, newest + 1);
        for (uint32_t k = 0; k < i; k++)
            if (bits[k] == bits[i])
                bits[i] = newest;
    }
    for (uint32_t i = 0; i < wanted; i++)
        pkt->data[span.start + bits[i] / 8] ^= (uint8_t)(1u << bits[i] % 8);
    return wanted > 0;
}

bool
nsp_tamper_apply(const struct nsp_tamper_config *tamper, struct nsp_pkt *pkt,
                 struct nsp_prng *random)
{
    bool changed = false;

    if (!is_ip(pkt))
        return false;
    nsp_pkt_complete_checksum(pkt);
    if (tamper->truncate_bytes != 0)
        changed |= cut(pkt, tamper->truncate_bytes);
    if (tamper->rewrite != NSP_TAMPER_KEEP)
        changed |= rewrite(tamper, pkt, random);
    if (tamper->flip_bits != 0)
        changed |= flip(pkt, span_of(pkt, tamper->flip_where),
                        tamper->flip_bits, random);
    if (changed) {
        pkt->flags |= NSP_PKT_MODIFIED;
        pkt->csum = NSP_CSUM_UNKNOWN;
    }
    if (changed && tamper->flip_where != NSP_TAMPER_PAYLOAD)
        nsp_pkt_parse(pkt);
    /* A packet that is beyond repair stays as it is. */
    if (tamper->csum == NSP_TAMPER_CSUM_REPAIR)
        (void)!nsp_pkt_repair(pkt);
    else if (tamper->csum == NSP_TAMPER_CSUM_BREAK)
        changed |= nsp_pkt_break_checksum(pkt) == 0;
    return changed;
}
