/* Header edits.
 *
 * A byte that a checksum covers is never stored without the checksum being
 * updated from the difference (RFC 1624), so an edit costs the same on a packet
 * of any size, works on truncated packets and first fragments, and leaves a
 * wrong checksum exactly as wrong.
 *
 * Three transport checksums are not simply "covered":
 *   - a partial one is the folded pseudo-header sum, not complemented, so
 *     addresses change it (with the opposite sign) and ports do not;
 *   - a UDP checksum of zero means "none" and stays;
 *   - an IPv6 routing header with segments left makes the destination that the
 *     checksum covers another one than the IP header's. */
#include "netshaper/packet.h"

#include <errno.h>
#include <string.h>

#include "base/base.h"
#include "packet/checksum.h"
#include "packet/options.h"
#include "packet/proto.h"
#include "packet/tcp.h"

#define IPV4_CSUM_OFF 10u

/* Offset of the transport checksum, NSP_OFF_NONE when there is none. */
static uint16_t
l4_csum_off(const struct nsp_pkt *pkt)
{
    switch (pkt->l4) {
    case NSP_L4_TCP:
        return (uint16_t)(pkt->l4_off + 16u);
    case NSP_L4_UDP:
        return (uint16_t)(pkt->l4_off + 6u);
    case NSP_L4_ICMP:
    case NSP_L4_ICMPV6:
        return (uint16_t)(pkt->l4_off + 2u);
    default:
        return NSP_OFF_NONE;
    }
}

static bool
covers_addresses(const struct nsp_pkt *pkt)
{
    return pkt->l4 != NSP_L4_NONE && pkt->l4 != NSP_L4_ICMP;
}

/* Minus 'bytes' bytes, in one's complement. */
static uint64_t
negated(const uint8_t *data, size_t bytes)
{
    return nsp_csum_fold(nsp_csum_add(0, data, bytes));
}

/* Adds 'difference' to the complemented checksum at 'off'. */
static void
update_csum(struct nsp_pkt *pkt, uint32_t off, uint64_t difference)
{
    uint8_t *field = pkt->data + off;
    uint16_t csum = nsp_load_be16(field);

    nsp_store_be16(field, nsp_csum_fold((uint16_t)~csum + difference));
}

static void
update_l4_csum(struct nsp_pkt *pkt, uint64_t difference)
{
    uint8_t *field = pkt->data + l4_csum_off(pkt);
    bool udp = pkt->l4 == NSP_L4_UDP;

    if (udp && nsp_load_be16(field) == 0)
        return;
    update_csum(pkt, l4_csum_off(pkt), difference);
    if (udp && nsp_load_be16(field) == 0)
        nsp_store_be16(field, UINT16_MAX);
}

static void
update_partial_csum(struct nsp_pkt *pkt, uint64_t difference)
{
    uint8_t *field = pkt->data + l4_csum_off(pkt);
    uint16_t sum = nsp_load_be16(field);

    nsp_store_be16(field, (uint16_t)~nsp_csum_fold(sum + difference));
}

static int
set_ip_address(struct nsp_pkt *pkt, uint32_t v4_off, uint32_t v6_off,
               const uint8_t *addr, size_t addr_bytes)
{
    bool v4 = pkt->l3 == NSP_L3_IPV4;
    size_t bytes = v4 ? 4 : 16;
    uint32_t off = pkt->l3_off + (v4 ? v4_off : v6_off);
    uint64_t difference;

    if (!v4 && pkt->l3 != NSP_L3_IPV6)
        return -ENOENT;
    if (addr_bytes != bytes)
        return -EINVAL;

    difference = negated(pkt->data + off, bytes) + nsp_csum_add(0, addr, bytes);
    if (v4)
        update_csum(pkt, pkt->l3_off + IPV4_CSUM_OFF, difference);
    if (covers_addresses(pkt) &&
        (v4 || off != pkt->l3_off + 24u || nsp_csum_dst_off(pkt) == off)) {
        if (pkt->csum == NSP_CSUM_PARTIAL)
            update_partial_csum(pkt, difference);
        else
            update_l4_csum(pkt, difference);
    }
    memcpy(pkt->data + off, addr, bytes);
    pkt->flags |= NSP_PKT_MODIFIED;
    return 0;
}

int
nsp_pkt_set_ip_src(struct nsp_pkt *pkt, const uint8_t *addr, size_t addr_bytes)
{
    return set_ip_address(pkt, 12, 8, addr, addr_bytes);
}

int
nsp_pkt_set_ip_dst(struct nsp_pkt *pkt, const uint8_t *addr, size_t addr_bytes)
{
    return set_ip_address(pkt, 16, 24, addr, addr_bytes);
}

/* Stores a word of the transport header. A partial checksum does not cover it
 * yet: the device will sum what it finds. A word at an odd offset is halves of
 * two words of the sum, and changes it by the swapped difference (RFC 1071,
 * section 2 (B)). */
static void
set_l4_word(struct nsp_pkt *pkt, uint32_t off, uint16_t value)
{
    uint8_t *word = pkt->data + off;

    if (pkt->csum != NSP_CSUM_PARTIAL) {
        unsigned difference =
            (uint16_t)~nsp_csum_fold(negated(word, 2) + value);

        if ((off - pkt->l4_off) % 2 != 0)
            difference = (difference & 0xFF) << 8 | difference >> 8;
        update_l4_csum(pkt, difference);
    }
    nsp_store_be16(word, value);
    pkt->flags |= NSP_PKT_MODIFIED;
}

static int
set_port(struct nsp_pkt *pkt, uint32_t field_off, uint16_t port)
{
    if (pkt->l4 != NSP_L4_TCP && pkt->l4 != NSP_L4_UDP)
        return -ENOENT;

    set_l4_word(pkt, pkt->l4_off + field_off, port);
    return 0;
}

int
nsp_pkt_set_src_port(struct nsp_pkt *pkt, uint16_t port)
{
    return set_port(pkt, 0, port);
}

int
nsp_pkt_set_dst_port(struct nsp_pkt *pkt, uint16_t port)
{
    return set_port(pkt, 2, port);
}

int
nsp_pkt_set_tcp_window(struct nsp_pkt *pkt, uint16_t window)
{
    if (pkt->l4 != NSP_L4_TCP)
        return -ENOENT;

    set_l4_word(pkt, pkt->l4_off + 14u, window);
    return 0;
}

/* Stores a word of the IP header, which no transport checksum covers. */
static void
set_ip_word(struct nsp_pkt *pkt, uint32_t field_off, uint16_t value)
{
    uint8_t *word = pkt->data + pkt->l3_off + field_off;

    if (pkt->l3 == NSP_L3_IPV4)
        update_csum(pkt, pkt->l3_off + IPV4_CSUM_OFF, negated(word, 2) + value);
    nsp_store_be16(word, value);
    pkt->flags |= NSP_PKT_MODIFIED;
}

int
nsp_pkt_set_ttl(struct nsp_pkt *pkt, uint8_t ttl)
{
    const uint8_t *ip = pkt->data + pkt->l3_off;

    if (pkt->l3 == NSP_L3_IPV4)
        set_ip_word(pkt, 8, (uint16_t)(ttl << 8 | ip[9]));
    else if (pkt->l3 == NSP_L3_IPV6)
        set_ip_word(pkt, 6, (uint16_t)(ip[6] << 8 | ttl));
    else
        return -ENOENT;
    return 0;
}

/* Replaces the bits of 'mask' in the traffic class, of which DSCP are the upper
 * six and ECN the lower two (RFC 3168, section 5). It is the second byte of an
 * IPv4 header, and bits 4 to 11 of the first word of an IPv6 header. */
static int
set_traffic_class(struct nsp_pkt *pkt, unsigned mask, unsigned value)
{
    unsigned shift = pkt->l3 == NSP_L3_IPV6 ? 4 : 0;
    unsigned word;

    if (pkt->l3 != NSP_L3_IPV4 && pkt->l3 != NSP_L3_IPV6)
        return -ENOENT;
    if ((value & ~mask) != 0)
        return -EINVAL;

    word = nsp_load_be16(pkt->data + pkt->l3_off);
    word = (word & ~(mask << shift)) | value << shift;
    set_ip_word(pkt, 0, (uint16_t)word);
    return 0;
}

int
nsp_pkt_set_dscp(struct nsp_pkt *pkt, uint8_t dscp)
{
    return set_traffic_class(pkt, 0xFC, (unsigned)dscp << 2);
}

int
nsp_pkt_set_ecn(struct nsp_pkt *pkt, uint8_t ecn)
{
    return set_traffic_class(pkt, 0x03, ecn);
}

uint32_t
nsp_pkt_mss_off(const struct nsp_pkt *pkt)
{
    enum { MSS = 2, MSS_BYTES = 4 };

    return nsp_tcp_option_off(pkt, MSS, MSS_BYTES);
}

int
nsp_pkt_clamp_mss(struct nsp_pkt *pkt, uint16_t mss)
{
    uint32_t off;

    if (pkt->l4 != NSP_L4_TCP ||
        (pkt->data[pkt->l4_off + 13] & NSP_TCP_SYN) == 0)
        return -ENOENT;

    off = nsp_pkt_mss_off(pkt);
    if (off == NSP_OFF_NONE)
        return -ENOENT;
    if (nsp_load_be16(pkt->data + off) > mss)
        set_l4_word(pkt, off, mss);
    return 0;
}

/* Tells whether all bytes that the transport checksum covers are held, and if
 * so stores their count. An IPv6 fragment header alone, with nothing before or
 * after it, makes no fragment (RFC 6946). A UDP length below the IP packet's is
 * believed, zero stands for a jumbogram (RFC 2675) and the rest contradict the
 * packet, so what they cover is not known. */
static bool
l4_is_whole(const struct nsp_pkt *pkt, uint32_t *ret_bytes)
{
    uint32_t bytes;

    if (pkt->l4 == NSP_L4_NONE || (pkt->flags & NSP_PKT_TRUNCATED))
        return false;
    if (pkt->flags & NSP_PKT_FRAGMENT) {
        if (pkt->frag_off == NSP_OFF_NONE ||
            (nsp_load_be16(pkt->data + pkt->frag_off + 2) &
             (NSP_IPV6_FRAG_OFFSET_MASK | NSP_IPV6_FRAG_MORE)))
            return false;
    }

    bytes = pkt->ip_bytes - (uint32_t)(pkt->l4_off - pkt->l3_off);
    if (pkt->l4 == NSP_L4_UDP) {
        uint16_t udp_bytes = nsp_load_be16(pkt->data + pkt->l4_off + 4);

        if (udp_bytes > bytes || (udp_bytes > 0 && udp_bytes < NSP_UDP_BYTES))
            return false;
        if (udp_bytes > 0)
            bytes = udp_bytes;
    }
    if (pkt->l3 == NSP_L3_IPV6 && nsp_csum_dst_off(pkt) == NSP_OFF_NONE)
        return false;
    *ret_bytes = bytes;
    return true;
}

/* Folded complement over the transport part: 0 when its checksum is right. */
static uint16_t
l4_csum(const struct nsp_pkt *pkt, uint32_t l4_bytes)
{
    uint64_t sum = 0;

    if (covers_addresses(pkt))
        sum = nsp_csum_pseudo(pkt, pkt->ip_proto, l4_bytes);
    return nsp_csum_fold(nsp_csum_add(sum, pkt->data + pkt->l4_off, l4_bytes));
}

static uint16_t
ipv4_header_csum(const struct nsp_pkt *pkt)
{
    const uint8_t *ip = pkt->data + pkt->l3_off;
    uint32_t bytes = (ip[0] & 0x0Fu) * 4;

    return nsp_csum_fold(
        nsp_csum_add(0, ip, nsp_min_u32(bytes, pkt->cap_bytes - pkt->l3_off)));
}

static bool
udp_csum_is_zero(const struct nsp_pkt *pkt)
{
    return pkt->l4 == NSP_L4_UDP && pkt->csum != NSP_CSUM_PARTIAL &&
           nsp_load_be16(pkt->data + l4_csum_off(pkt)) == 0;
}

static bool
udp_csum_absent(const struct nsp_pkt *pkt)
{
    return pkt->l3 == NSP_L3_IPV4 && udp_csum_is_zero(pkt);
}

/* Stores a checksum unless it is there already. */
static void
store_csum(struct nsp_pkt *pkt, uint32_t off, uint16_t before, uint16_t csum)
{
    nsp_store_be16(pkt->data + off, csum);
    if (csum != before)
        pkt->flags |= NSP_PKT_MODIFIED;
}

static void
fix_ipv4_header(struct nsp_pkt *pkt)
{
    uint32_t off = pkt->l3_off + IPV4_CSUM_OFF;
    uint16_t before = nsp_load_be16(pkt->data + off);

    nsp_store_be16(pkt->data + off, 0);
    store_csum(pkt, off, before, ipv4_header_csum(pkt));
}

int
nsp_pkt_fix_checksums(struct nsp_pkt *pkt)
{
    uint16_t before, csum;
    uint32_t off, l4_bytes;

    nsp_pkt_parse(pkt); /* Whoever rewrote it may have changed lengths. */
    if (pkt->l3 != NSP_L3_IPV4 && pkt->l3 != NSP_L3_IPV6)
        return -ENOENT;

    if (pkt->l3 == NSP_L3_IPV4)
        fix_ipv4_header(pkt);
    if (pkt->l4 == NSP_L4_NONE)
        return pkt->flags & (NSP_PKT_LATER_FRAGMENT | NSP_PKT_MALFORMED)
                   ? -EMSGSIZE
                   : 0;
    if (udp_csum_absent(pkt))
        return 0;
    if (!l4_is_whole(pkt, &l4_bytes))
        return -EMSGSIZE;

    off = l4_csum_off(pkt);
    before = nsp_load_be16(pkt->data + off);
    nsp_store_be16(pkt->data + off, 0);
    csum = l4_csum(pkt, l4_bytes);
    if (csum == 0 && pkt->l4 == NSP_L4_UDP)
        csum = UINT16_MAX;
    store_csum(pkt, off, before, csum);
    pkt->csum = NSP_CSUM_GOOD;
    return 0;
}

bool
nsp_pkt_checksums_ok(const struct nsp_pkt *pkt)
{
    uint32_t l4_bytes;

    if (pkt->l3 == NSP_L3_IPV4 && ipv4_header_csum(pkt) != 0)
        return false;
    if (pkt->csum == NSP_CSUM_PARTIAL || udp_csum_absent(pkt) ||
        !l4_is_whole(pkt, &l4_bytes))
        return true;
    /* Zero is what no receiver takes over IPv6 (RFC 8200, section 8.1), also
     * where it makes the sum come out right. */
    return !udp_csum_is_zero(pkt) && l4_csum(pkt, l4_bytes) == 0;
}
