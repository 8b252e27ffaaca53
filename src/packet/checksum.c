#include "packet/checksum.h"

#include <string.h>

#include "packet/proto.h"

/* Bytes summed per turn of the main loop, in words of 8 with a sum each: the
 * additions of one turn do not wait for one another. */
#define LANES       4u
#define BLOCK_BYTES (LANES * 8u)

static inline uint64_t
load_native64(const uint8_t *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof word);
    return word;
}

/* Adds with the carry coming back in at the bottom. */
static inline uint64_t
add_carry(uint64_t sum, uint64_t word)
{
    sum += word;
    return sum + (sum < word);
}

static inline uint16_t
fold16(uint64_t sum)
{
    sum = (sum & UINT32_MAX) + (sum >> 32);
    sum = (sum & UINT32_MAX) + (sum >> 32);
    sum = (sum & UINT16_MAX) + (sum >> 16);
    sum = (sum & UINT16_MAX) + (sum >> 16);
    return (uint16_t)sum;
}

/* The 16-bit one's-complement sum is the same in either byte order but for a
 * swap of the result (RFC 1071, section 2 (B)), so the bytes are summed as they
 * lie in memory and the result is read back as two bytes. */
uint64_t
nsp_csum_add(uint64_t sum, const uint8_t *data, size_t bytes)
{
    uint64_t lane[LANES] = { 0 };
    uint64_t total = 0;
    uint8_t tail[8] = { 0 }, folded_bytes[2];
    uint16_t folded;

    for (; bytes >= BLOCK_BYTES; bytes -= BLOCK_BYTES) {
        for (unsigned i = 0; i < LANES; i++)
            lane[i] = add_carry(lane[i], load_native64(data + i * 8u));
        data += BLOCK_BYTES;
    }
    for (unsigned i = 0; i < LANES; i++)
        total = add_carry(total, lane[i]);
    for (; bytes >= 8; bytes -= 8) {
        total = add_carry(total, load_native64(data));
        data += 8;
    }
    if (bytes > 0) {
        memcpy(tail, data, bytes);
        total = add_carry(total, load_native64(tail));
    }

    folded = fold16(total);
    memcpy(folded_bytes, &folded, sizeof folded);
    return sum + nsp_load_be16(folded_bytes);
}

uint16_t
nsp_csum_fold(uint64_t sum)
{
    return (uint16_t)~fold16(sum);
}

uint16_t
nsp_csum_update16(uint16_t csum, uint16_t before, uint16_t after)
{
    return nsp_csum_fold((uint64_t)(uint16_t)~csum + (uint16_t)~before + after);
}

/* Offset of the last address of the routing header at 'at', 'bytes' long. */
static uint16_t
routing_dst_off(const struct nsp_pkt *pkt, uint32_t at, uint32_t bytes)
{
    const uint8_t *routing = pkt->data + at;
    uint32_t off;

    switch (routing[2]) {
    case 0: /* RFC 5095 (deprecated). */
    case 2: /* RFC 6275, section 6.4. */
        off = bytes - 16;
        break;
    case 4: /* RFC 8754: the list is reversed. */
        off = 8;
        break;
    default:
        return NSP_OFF_NONE;
    }
    return bytes >= 8 + 16 ? (uint16_t)(at + off) : NSP_OFF_NONE;
}

uint16_t
nsp_csum_dst_off(const struct nsp_pkt *pkt)
{
    uint32_t at = pkt->l3_off + NSP_IPV6_BYTES;
    uint16_t off = (uint16_t)(pkt->l3_off + 24u);
    uint8_t kind;

    if (pkt->l3 == NSP_L3_IPV4)
        return (uint16_t)(pkt->l3_off + 16u);
    if (pkt->l4 == NSP_L4_NONE)
        return off;

    /* The parser found every header of this chain, each 8 bytes or more, to end
     * at or before l4_off; the bytes may have been rewritten since. */
    kind = pkt->data[pkt->l3_off + 6];
    while (at < pkt->l4_off) {
        const uint8_t *ext = pkt->data + at;
        uint32_t bytes = nsp_ipv6_ext_bytes(kind, ext);

        if (bytes > pkt->l4_off - at)
            return NSP_OFF_NONE;
        if (kind == NSP_PROTO_ROUTING && ext[3] != 0)
            off = routing_dst_off(pkt, at, bytes);
        kind = ext[0];
        at += bytes;
    }
    return off;
}

uint64_t
nsp_csum_pseudo(const struct nsp_pkt *pkt, uint8_t ip_proto, uint32_t l4_bytes)
{
    const uint8_t *ip = pkt->data + pkt->l3_off;
    uint64_t sum = (uint64_t)ip_proto + l4_bytes;
    uint16_t dst_off;

    if (pkt->l3 == NSP_L3_IPV4)
        return nsp_csum_add(sum, ip + 12, 8);

    dst_off = nsp_csum_dst_off(pkt);
    if (dst_off == NSP_OFF_NONE)
        dst_off = (uint16_t)(pkt->l3_off + 24u);
    sum = nsp_csum_add(sum, ip + 8, 16);
    return nsp_csum_add(sum, pkt->data + dst_off, 16);
}
