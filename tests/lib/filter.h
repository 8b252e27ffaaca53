#ifndef NSP_TESTS_LIB_FILTER_H
#define NSP_TESTS_LIB_FILTER_H
#include <stdio.h>

#include "base/prng.h"
#include "netshaper/env.h"
#include "netshaper/filter.h"
#include "netshaper/packet.h"
#include "tests/lib/hex.h"
#include "tests/lib/test.h"

/* Packets by hand for tests of filters, a distinct value in every field. */
#define ADDRS4   "C0000201 C6336402" /* 192.0.2.1 to 198.51.100.2 */
#define ADDR6(n) "20010DB8 00000000 00000000 0000000" #n " "
#define ADDRS6   ADDR6(1) ADDR6(2)

static const char *const sample_hex[] = {
#define TCP4 0 /* A data segment with an option, 8 bytes of payload. */
    "45B8 0034 1234 4000 4106 ABCD" ADDRS4 "1388 0050 01020304 F5060708"
    "6012 2000 CAFE 0102 02040505 474554202F204854",
#define UDP4 1 /* 5 bytes of payload. */
    "4500 0021 0007 0000 8011 0000" ADDRS4 "0035 C001 000D BEEF 0102030405",
#define ICMP4 2 /* An echo request with an IP option in front. */
    "4600 0020 0001 0000 0101 0000" ADDRS4 "01010100 0805 1111 00020003"
    "",
#define TCP6 3
    "6AB12345 0018 06 3F" ADDRS6 "C350 01BB 80000000 00000001 5029 FFFF 1234"
    "0000 AABBCCDD",
#define UDP6 4 /* Behind hop-by-hop and destination options. */
    "60000000 001C 00 40" ADDRS6 "3C00 010400000000 1100 010400000000"
    "1388 0050 000C 9999 61626364",
#define ICMP6 5
    "60000000 0008 3A FF" ADDRS6 "8703 4444 DEADBEEF",
#define FIRST4 6 /* First fragment of a UDP datagram. */
    "4500 0024 0009 2000 4011 0000" ADDRS4 "1388 0050 0100 0000"
    "0102030405060708",
#define LATER4 7
    "4500 001C 0009 0002 4011 0000" ADDRS4 "1388005001000000",
#define FIRST6 8
    "60000000 0018 2C 40" ADDRS6 "1100 0001 00000001 1388 0050 0100 0000"
    "0102030405060708",
#define LATER6 9
    "60000000 0010 2C 40" ADDRS6 "1100 0021 00000001 1388005001000000",
#define ESP4 10
    "4500 001C 0009 0000 4032 0000" ADDRS4 "0102030405060708",
#define SHORT4 11 /* TCP, cut by its own IP length after 10 bytes. */
    "4500 001E 0009 0000 4006 0000" ADDRS4 "13880050 01020304 0506",
#define CLAMP4 12 /* A TCP data offset beyond the packet. */
    "4500 0028 0009 0000 4006 0000" ADDRS4
    "1388 0050 00000001 00000000 F010 FFFF 0000 0000",
#define BROKEN 13 /* IHL 4. */
    "4400 0014 0009 0000 4006 0000" ADDRS4,
#define EMPTY4 14 /* A bare IPv4 header. */
    "4500 0014 0000 0000 40FD 0000" ADDRS4,
#define ARP 15
    "FFFFFFFFFFFF 020000000001 0806 0001 0800 06 04 0001 020000000001 C0000201"
    "000000000000 C0000202",
#define ETHER_TCP4 16 /* Tagged, and padded behind the IP packet. */
    "020000000002 020000000001 8100 0064 0800 4500 0029 0001 0000 4006 0000"
    "0A000001 0A000002 1388 0050 00000001 00000000 5010 FFFF 0000 0000 7F"
    "EEEEEEEEEE",
#define ICMP_IN6 17 /* ICMP and ICMPv6 in the wrong version. */
    "60000000 0008 01 FF" ADDRS6 "0800 4444 00010001",
#define MSS4 18 /* A segment with the option, both congestion flags. */
    "4500 002C 0009 0000 4006 0000" ADDRS4
    "1388 0050 00000001 00000000 60C2 FFFF 0000 0000 020405B4",
#define SAMPLES 19
};

struct sample {
    struct nsp_pkt pkt;
    uint8_t bytes[128];
};

/* Parses sample 'index' as a packet of 'direction'. */
static inline void
sample_init(struct sample *sample, unsigned index, enum nsp_direction direction)
{
    memset(sample, 0, sizeof *sample);
    sample->pkt.data = sample->bytes;
    sample->pkt.cap_bytes = (uint32_t)hex_bytes(
        sample_hex[index], sample->bytes, sizeof sample->bytes);
    sample->pkt.wire_bytes = sample->pkt.cap_bytes;
    sample->pkt.link =
        index == ARP || index == ETHER_TCP4 ? NSP_LINK_ETHERNET : NSP_LINK_RAW;
    sample->pkt.direction = (uint8_t)direction;
    sample->pkt.in_ifindex = 3;
    sample->pkt.out_ifindex = 4;
    nsp_pkt_parse(&sample->pkt);
}

/* One of a few views of flows, or none, for the parsed 'pkt': only IP has
 * flows.
 */
static inline const struct nsp_flow_view *
random_flow_view(struct nsp_prng *prng, const struct nsp_pkt *pkt)
{
    static const struct nsp_flow_view views[] = {
        { 1, 40, 0, NSP_FLOW_SYN_SENT, 0, 0 },
        { 2, 300, 3, NSP_FLOW_ESTABLISHED, 1, 0 },
        { 17, 0xffff, 256, NSP_FLOW_ESTABLISHED, 0, 0 },
        { UINT64_C(1) << 33, UINT64_MAX, UINT64_MAX, NSP_FLOW_CLOSED, 1, 0 },
    };
    uint64_t i = nsp_prng_next(prng) >> 32 & 7;

    if (pkt->l3 != NSP_L3_IPV4 && pkt->l3 != NSP_L3_IPV6)
        return NULL;
    return i < NSP_ARRAY_LEN(views) ? &views[i] : NULL;
}

/* Compiles what must compile; prints why it does not. 'options' may be NULL. */
static inline struct nsp_filter *
compile_with(const char *text, enum nsp_layer layer,
             const struct nsp_filter_options *options)
{
    struct nsp_filter *filter = NULL;
    struct nsp_diag diag;

    if (nsp_filter_compile_with(text, layer, options, NULL, &filter, &diag) !=
        NSP_OK)
        fail_msg("%s\n%u: %s: %s (%s)", text, diag.offset, diag.category,
                 diag.text, diag.hint);
    return filter;
}

static inline struct nsp_filter *
compile(const char *text, enum nsp_layer layer)
{
    return compile_with(text, layer, NULL);
}

/* Matches one packet, singly and as a burst, and requires the same answer. */
static inline bool
match(const char *text, enum nsp_layer layer, struct nsp_pkt *pkt,
      const struct nsp_filter_context *context)
{
    struct nsp_filter *filter = compile(text, layer);
    struct nsp_pkt *const burst[] = { pkt, pkt };
    bool matched = nsp_filter_match(filter, pkt, context);

    CHECK_EQ(nsp_filter_match_burst(filter, burst, 2, context),
             matched ? 3 : 0);
    nsp_filter_destroy(filter);
    return matched;
}

#endif /* NSP_TESTS_LIB_FILTER_H */
