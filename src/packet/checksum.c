#include "packet/checksum.h"

#include <string.h>

#include "packet/proto.h"

/* Bytes summed per turn of the main loop: four words, each with a sum of its
 * own, so that no addition of a turn waits for another. */
#define BLOCK_BYTES 32u

static inline uint64_t
load_native64(const uint8_t *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof word);
    return word;
}

static inline uint32_t
load_native32(const uint8_t *p)
{
    uint32_t word;

    memcpy(&word, p, sizeof word);
    return word;
}

static inline uint16_t
load_native16(const uint8_t *p)
{
    uint16_t word;

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

/* The 1 to 7 bytes after the last whole word. */
static inline uint64_t
add_tail(uint64_t sum, const uint8_t *data, size_t bytes)
{
    if (bytes & 4) {
        sum = add_carry(sum, load_native32(data));
        data += 4;
    }
    if (bytes & 2) {
        sum = add_carry(sum, load_native16(data));
        data += 2;
    }
    if (bytes & 1) {
        const uint8_t padded[2] = { *data, 0 };

        sum = add_carry(sum, load_native16(padded));
    }
    return sum;
}

/* The 16-bit one's-complement sum is the same in either byte order but for a
 * swap of the result (RFC 1071, section 2 (B)), so the bytes are summed as they
 * lie in memory and the result is read back as two bytes. */
uint64_t
nsp_csum_add(uint64_t sum, const uint8_t *data, size_t bytes)
{
    uint64_t a = 0, b = 0, c = 0, d = 0;
    uint8_t folded_bytes[2];
    uint16_t folded;

    for (; bytes >= BLOCK_BYTES; bytes -= BLOCK_BYTES) {
        a = add_carry(a, load_native64(data));
        b = add_carry(b, load_native64(data + 8));
        c = add_carry(c, load_native64(data + 16));
        d = add_carry(d, load_native64(data + 24));
        data += BLOCK_BYTES;
    }
    a = add_carry(add_carry(a, b), add_carry(c, d));
    for (; bytes >= 8; bytes -= 8) {
        a = add_carry(a, load_native64(data));
        data += 8;
    }

    folded = fold16(add_tail(a, data, bytes));
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
