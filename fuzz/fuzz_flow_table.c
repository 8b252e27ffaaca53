/* The flow table as an attacker who knows its secret uses it: small, with any
 * packets, of any flows, at any times. Each byte is a packet; its upper two
 * bits at times mean that time passes. */
#include "fuzz/fuzz.h"

#include "flow/flow_table.h"
#include "tests/lib/flow_check.h"
#include "tests/lib/flow_packet.h"

#define BURST 8u

/* One of 64 packets of 24 flows. */
static struct packet_words
words_of(uint8_t byte)
{
    static const uint8_t flags[] = { NSP_TCP_SYN, NSP_TCP_SYN | NSP_TCP_ACK,
                                     NSP_TCP_ACK, NSP_TCP_FIN | NSP_TCP_ACK,
                                     NSP_TCP_RST };
    struct packet_words words = {
        .ipv6 = byte >> 5 & 1,
        .proto = (byte >> 4 & 1) != 0 ? NSP_PROTO_TCP : NSP_PROTO_UDP,
        .src = 1,
        .dst = 2,
        .src_port = 1 + (byte & 7),
        .dst_port = 9,
        .tcp_flags = flags[byte % NSP_ARRAY_LEN(flags)],
        .fragment = byte % 13 == 0 ? 0x2000 : 0,
    };

    return (byte >> 3 & 1) != 0 ? reverse_words(words) : words;
}

static void
check_hits(struct nsp_pkt *const pkts[], const struct nsp_flow_hit hits[],
           uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct nsp_flow_key key;

        FUZZ_CHECK(nsp_flow_key_read(pkts[i], &key));
        if (!hits[i].flow)
            continue;
        FUZZ_CHECK(hits[i].flow->ports == key.ports &&
                   hits[i].flow->kind == key.kind && hits[i].way == key.way);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const struct nsp_flow_config cfg = {
        .capacity_flows = 16,
        .half_open_max = 10,
        .secret = { 1, 2 },
    };
    struct nsp_flow_table *table;
    uint64_t now_ns = 0;

    if (nsp_flow_table_create(&cfg, NULL, &table) != 0)
        return 0;
    for (size_t at = 0; at < bytes;) {
        struct flow_packet packets[BURST];
        struct nsp_pkt *pkts[BURST];
        struct nsp_flow_hit hits[BURST];
        uint32_t n = 0;

        for (; n < BURST && at < bytes && data[at] >> 6 != 3; n++, at++) {
            struct packet_words words = words_of(data[at]);

            pkts[n] = make_flow_packet(&packets[n], &words);
        }
        if (n == 0)
            now_ns += (uint64_t)(data[at++] & 63) * 20 * NSP_NS_PER_SECOND;
        nsp_flow_table_track_burst(table, pkts, n, now_ns, hits);
        check_hits(pkts, hits, n);
        if (n == 0)
            nsp_flow_table_age(table, now_ns, 5);
        FUZZ_CHECK(check_flow_table(table) == NULL);
    }
    nsp_flow_table_destroy(table);
    return 0;
}
