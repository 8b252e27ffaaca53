#ifndef NSP_TESTS_LIB_FLOW_TABLE_H
#define NSP_TESTS_LIB_FLOW_TABLE_H
#include "tests/lib/flow_check.h"
#include "tests/lib/flow_packet.h"
#include "tests/lib/test.h"

/* Flow tables by the packet. */

static inline struct nsp_flow_table *
create_flow_table(uint32_t capacity, uint32_t half_open_max)
{
    const struct nsp_flow_config cfg = {
        .capacity_flows = capacity,
        .half_open_max = half_open_max,
        .secret = { 11, 22 },
    };
    struct nsp_flow_table *table;

    CHECK_EQ(nsp_flow_table_create(&cfg, NULL, &table), 0);
    return table;
}

static inline void
destroy_flow_table(struct nsp_flow_table *table)
{
    CHECK(check_flow_table(table) == NULL);
    CHECK(nsp_flow_table_destroy(table) == NULL);
}

static inline struct nsp_flow_hit
track_flow(struct nsp_flow_table *table, const struct packet_words *words,
           uint64_t now_ns)
{
    struct flow_packet packet;
    struct nsp_pkt *pkt = make_flow_packet(&packet, words);
    struct nsp_flow_hit hit;

    nsp_flow_table_track_burst(table, &pkt, 1, now_ns, &hit);
    return hit;
}

static inline const struct nsp_flow *
look_up_flow(const struct nsp_flow_table *table,
             const struct packet_words *words, uint64_t now_ns)
{
    struct flow_packet packet;

    return nsp_flow_table_find(table, make_flow_packet(&packet, words), now_ns);
}

static inline struct nsp_flow_stats
flow_stats_of(const struct nsp_flow_table *table)
{
    struct nsp_flow_stats stats;

    nsp_flow_table_read_stats(table, &stats);
    return stats;
}

/* UDP flow number 'i'. */
static inline struct packet_words
udp_flow(uint32_t i)
{
    return (struct packet_words){
        .proto = NSP_PROTO_UDP,
        .src = 1 + i / 1000,
        .dst = 1000000,
        .src_port = (uint16_t)(1024 + i % 1000),
        .dst_port = 53,
    };
}

/* Confirms UDP flow 'i' by three packets. */
static inline void
confirm_flow(struct nsp_flow_table *table, uint32_t i, uint64_t now_ns)
{
    struct packet_words words = udp_flow(i), back = reverse_words(words);

    track_flow(table, &words, now_ns);
    track_flow(table, &back, now_ns);
    track_flow(table, &words, now_ns);
}

#endif /* NSP_TESTS_LIB_FLOW_TABLE_H */
