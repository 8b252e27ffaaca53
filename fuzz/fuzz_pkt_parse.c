/* The packet layer on hostile bytes: parse, check, edit, complete, answer.
 *
 * Input: one byte of link, one of device flags (bit 0: superpacket, bit 1:
 * partial checksum), two of how many words of 4 were on the wire beyond the
 * bytes held, then the packet. */
#include "fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

#include "netshaper/packet.h"
#include "packet/reply.h"

#define PREFIX_BYTES 4u

/* What packet.h promises of offsets and lengths. */
static void
check_parsed(const struct nsp_pkt *pkt)
{
    FUZZ_CHECK(pkt->l3 == NSP_L3_NONE ? pkt->l3_off == NSP_OFF_NONE
                                      : pkt->l3_off + 20u <= pkt->cap_bytes);
    FUZZ_CHECK(pkt->ip_bytes <= pkt->wire_bytes);
    FUZZ_CHECK(pkt->vlan_count <= 2);
    if (pkt->frag_off != NSP_OFF_NONE)
        FUZZ_CHECK(pkt->l3 == NSP_L3_IPV6 &&
                   pkt->frag_off + 8u <= pkt->cap_bytes &&
                   pkt->flags & NSP_PKT_FRAGMENT);
    if (pkt->l4 == NSP_L4_NONE) {
        FUZZ_CHECK(pkt->l4_off == NSP_OFF_NONE && pkt->payload_bytes == 0 &&
                   pkt->payload_off == NSP_OFF_NONE);
        return;
    }
    FUZZ_CHECK(pkt->l3 == NSP_L3_IPV4 || pkt->l3 == NSP_L3_IPV6);
    FUZZ_CHECK(!(pkt->flags & NSP_PKT_LATER_FRAGMENT));
    FUZZ_CHECK(pkt->l4_off >= pkt->l3_off + 20u);
    FUZZ_CHECK(pkt->payload_off >= pkt->l4_off + 8u);
    FUZZ_CHECK((uint64_t)pkt->payload_off + pkt->payload_bytes <=
               pkt->cap_bytes);
    FUZZ_CHECK(pkt->payload_off - pkt->l3_off + pkt->payload_bytes <=
               pkt->ip_bytes);
}

/* Edits with values from 'seed'. A checksum that was right stays so, and a
 * wrong one does not become right. */
static void
check_edits(struct nsp_pkt *pkt, const uint8_t *seed)
{
    const bool ok = nsp_pkt_checksums_ok(pkt);
    const size_t addr_bytes = pkt->l3 == NSP_L3_IPV6 ? 16 : 4;
    const uint16_t value = (uint16_t)(seed[0] << 8 | seed[1]);
    int results[9] = { 0 };

    results[0] = nsp_pkt_set_ip_src(pkt, seed, addr_bytes);
    results[1] = nsp_pkt_set_ip_dst(pkt, seed + 8, addr_bytes);
    results[2] = nsp_pkt_set_src_port(pkt, value);
    results[3] = nsp_pkt_set_dst_port(pkt, (uint16_t)~value);
    results[4] = nsp_pkt_set_ttl(pkt, seed[2]);
    results[5] = nsp_pkt_set_dscp(pkt, seed[3] & 63);
    results[6] = nsp_pkt_set_ecn(pkt, seed[4] & 3);
    results[7] = nsp_pkt_clamp_mss(pkt, value);
    results[8] = nsp_pkt_set_tcp_window(pkt, value);
    for (size_t i = 0; i < NSP_ARRAY_LEN(results); i++)
        FUZZ_CHECK(results[i] == 0 || results[i] == -ENOENT);
    FUZZ_CHECK(nsp_pkt_checksums_ok(pkt) == ok);
}

static void
check_reply(const struct nsp_pkt *pkt)
{
    uint8_t *reply = malloc(NSP_REPLY_BYTES_MAX);
    struct nsp_pkt parsed = { .data = reply };

    FUZZ_CHECK(reply != NULL);
    parsed.cap_bytes = nsp_reply_build(pkt, reply);
    parsed.wire_bytes = parsed.cap_bytes;
    FUZZ_CHECK(parsed.cap_bytes <= NSP_REPLY_BYTES_MAX);
    if (parsed.cap_bytes > 0) {
        uint8_t *again = malloc(NSP_REPLY_BYTES_MAX);

        FUZZ_CHECK(again != NULL);
        nsp_pkt_parse(&parsed);
        check_parsed(&parsed);
        FUZZ_CHECK(parsed.flags == 0 && parsed.l4 != NSP_L4_NONE);
        FUZZ_CHECK(nsp_pkt_checksums_ok(&parsed));
        /* An answer is never answered: no two engines play ping-pong. */
        FUZZ_CHECK(nsp_reply_build(&parsed, again) == 0);
        free(again);
    }
    free(reply);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    uint8_t seed[32] = { 0x45 };
    struct nsp_pkt pkt = { 0 };

    if (bytes < PREFIX_BYTES || bytes - PREFIX_BYTES > 1u << 17)
        return 0;

    pkt.link = data[0];
    if (data[1] & 1)
        pkt.flags = NSP_PKT_SUPERPACKET;
    if (data[1] & 2)
        pkt.csum = NSP_CSUM_PARTIAL;
    pkt.cap_bytes = (uint32_t)(bytes - PREFIX_BYTES);
    pkt.wire_bytes =
        pkt.cap_bytes + ((uint32_t)data[2] << 8 | (uint32_t)data[3]) * 4;
    pkt.data = malloc(pkt.cap_bytes > 0 ? pkt.cap_bytes : 1);
    FUZZ_CHECK(pkt.data != NULL);
    memcpy(pkt.data, data + PREFIX_BYTES, pkt.cap_bytes);
    memcpy(seed, data, bytes < sizeof seed ? bytes : sizeof seed);

    nsp_pkt_parse(&pkt);
    check_parsed(&pkt);
    check_reply(&pkt);
    check_edits(&pkt, seed);
    if (nsp_pkt_fix_checksums(&pkt) == 0)
        FUZZ_CHECK(nsp_pkt_checksums_ok(&pkt));
    check_parsed(&pkt);
    check_edits(&pkt, seed + 4);
    free(pkt.data);
    return 0;
}
