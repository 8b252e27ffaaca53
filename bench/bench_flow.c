/* The cost of the flow table, in plain lines of text, ns per packet:
 *
 *     flows   burst 1   burst 32   TCP   begin   small pages   uthash   begin
 *
 * 'burst N': UDP packets of random flows of the table find and count, N at a
 * time; 'TCP': the same for TCP, 32 at a time. 'begin': packets that begin
 * flows, in an empty table. Memory is in large pages; 'small pages' is burst 32
 * without. uthash is the peer: a general hash table, with the same key, value
 * and allocation from an array, packet by packet. Keys are read from packet
 * headers in cache, as right after the parser. The median of many chunks of 64
 * packets counts, so that whatever else the machine does matters little. */
#define _GNU_SOURCE
#ifdef HAVE_UTHASH
#include <uthash.h>
#endif

#include "bench/flow_traffic.h"
#include "flow/flow_table.h"

/* --- Ours ----------------------------------------------------------------- */

static double
track(struct nsp_flow_table *table, struct chunk *chunk, uint32_t burst)
{
    struct nsp_flow_hit hits[NSP_BURST_MAX];
    double since = now_ns();

    for (uint32_t i = 0; i < CHUNK; i += burst)
        nsp_flow_table_track_burst(table, chunk->pointers + i, burst, 1000000,
                                   hits);
    return now_ns() - since;
}

static struct nsp_flow_table *
create_table(uint32_t flows, const struct nsp_allocator *allocator)
{
    const struct nsp_flow_config cfg = {
        .capacity_flows = flows + CHUNK,
        .half_open_max = flows + CHUNK,
        .secret = { 1, 2 },
    };
    struct nsp_flow_table *table;

    if (nsp_flow_table_create(&cfg, allocator, &table) != 0)
        out_of_memory();
    return table;
}

/* Sends a packet of each flow; returns ns per packet. */
static double
visit(struct nsp_flow_table *table, struct chunk *chunk, uint32_t flows,
      bool back)
{
    uint32_t chunks = 0;

    for (uint32_t first = 0; first < flows; first += CHUNK) {
        for (uint32_t i = 0; i < CHUNK; i++)
            make_pkt(chunk, i, first + i, back);
        chunk_times[chunks++] = (float)track(table, chunk, BURST);
    }
    return median(chunk_times, chunks);
}

/* Begins all flows and confirms them; returns ns per flow begun. */
static double
fill(struct nsp_flow_table *table, struct chunk *chunk, uint32_t flows)
{
    double begin = visit(table, chunk, flows, false);

    visit(table, chunk, flows, true);
    visit(table, chunk, flows, false);
    return begin;
}

static double
hit(struct nsp_flow_table *table, struct chunk *chunk, uint32_t flows,
    uint32_t burst)
{
    struct nsp_prng random;

    nsp_prng_init(&random, 7, burst);
    for (uint32_t i = 0; i < QUERIES / CHUNK; i++) {
        make_chunk(chunk, flows, &random);
        chunk_times[i] = (float)track(table, chunk, burst);
    }
    return median(chunk_times, QUERIES / CHUNK);
}

/* ns per hit in a table of its own, 'burst' at a time. */
static double
measure_table(struct chunk *chunk, uint32_t flows, uint32_t burst, bool tcp,
              const struct nsp_allocator *allocator, double *ret_begin)
{
    struct nsp_flow_table *table = create_table(flows, allocator);
    struct nsp_flow_stats stats;
    double spent;

    chunk->tcp = tcp;
    *ret_begin = fill(table, chunk, flows);
    spent = hit(table, chunk, flows, burst);
    nsp_flow_table_read_stats(table, &stats);
    if (stats.begun != stats.flows)
        printf("lost flows: %llu\n",
               (unsigned long long)(stats.begun - stats.flows));
    nsp_flow_table_destroy(table);
    return spent;
}

static void
measure_ours(struct chunk *chunk, uint32_t flows)
{
    double one, burst, tcp, begin, small;

    one = measure_table(chunk, flows, 1, false, nsp_large_page_allocator(),
                        &begin);
    tcp = measure_table(chunk, flows, BURST, true, nsp_large_page_allocator(),
                        &begin);
    small = measure_table(chunk, flows, BURST, false, NULL, &begin);
    burst = measure_table(chunk, flows, BURST, false,
                          nsp_large_page_allocator(), &begin);
    printf("%8u %9.1f %10.1f %7.1f %7.1f %13.1f", flows, one, burst, tcp, begin,
           small);
}

/* --- The peer ------------------------------------------------------------- */

#ifdef HAVE_UTHASH
struct peer_key {
    uint32_t addr[2];
    uint16_t port[2];
    uint32_t proto;
};

struct peer_flow {
    struct peer_key key;
    uint64_t pkts[2], bytes[2], last_ns[2];
    UT_hash_handle hh;
};

struct peer {
    struct peer_flow *flows, *table;
    uint32_t count;
};

static uint32_t
peer_key_of(const struct nsp_pkt *pkt, struct peer_key *ret)
{
    const uint8_t *ip = pkt->data;
    uint32_t src = nsp_load_be32(ip + 12), dst = nsp_load_be32(ip + 16);
    uint32_t way = src > dst;

    ret->addr[way] = src;
    ret->addr[1 - way] = dst;
    ret->port[way] = nsp_load_be16(ip + 20);
    ret->port[1 - way] = nsp_load_be16(ip + 22);
    ret->proto = pkt->ip_proto;
    return way;
}

static double
peer_track(struct peer *peer, struct chunk *chunk)
{
    double since = now_ns();

    for (uint32_t i = 0; i < CHUNK; i++) {
        const struct nsp_pkt *pkt = &chunk->pkts[i];
        struct peer_key key;
        struct peer_flow *flow;
        uint32_t way = peer_key_of(pkt, &key);

        HASH_FIND(hh, peer->table, &key, sizeof key, flow);
        if (!flow) {
            flow = &peer->flows[peer->count++];
            flow->key = key;
            HASH_ADD(hh, peer->table, key, sizeof key, flow);
        }
        flow->pkts[way]++;
        flow->bytes[way] += pkt->ip_bytes;
        flow->last_ns[way] = 1000000;
    }
    return now_ns() - since;
}

static void
measure_peer(struct chunk *chunk, uint32_t flows)
{
    struct peer peer = {
        .flows = nsp_alloc(nsp_large_page_allocator(), flows + CHUNK,
                           sizeof *peer.flows),
    };
    struct nsp_prng random;
    double begin;
    uint32_t chunks = 0;

    if (!peer.flows)
        out_of_memory();
    for (uint32_t first = 0; first < flows; first += CHUNK) {
        for (uint32_t i = 0; i < CHUNK; i++)
            make_pkt(chunk, i, first + i, false);
        chunk_times[chunks++] = (float)peer_track(&peer, chunk);
    }
    begin = median(chunk_times, chunks);
    nsp_prng_init(&random, 7, 0);
    for (uint32_t i = 0; i < QUERIES / CHUNK; i++) {
        make_chunk(chunk, flows, &random);
        chunk_times[i] = (float)peer_track(&peer, chunk);
    }
    HASH_CLEAR(hh, peer.table);
    free(peer.flows);
    printf(" %8.1f %8.1f\n", median(chunk_times, QUERIES / CHUNK), begin);
}
#else
static void
measure_peer(struct chunk *chunk, uint32_t flows)
{
    (void)chunk;
    (void)flows;
    puts("   (uthash is not installed)");
}
#endif

int
main(void)
{
    static const uint32_t flows[] = { 10000, 100000, 1000000 };
    struct chunk *chunk = calloc(1, sizeof *chunk);

    if (!chunk)
        out_of_memory();
    puts(
        "   flows   burst 1   burst 32     TCP   begin   small pages   uthash  "
        "  begin");
    for (size_t i = 0; i < NSP_ARRAY_LEN(flows); i++) {
        measure_ours(chunk, flows[i]);
        measure_peer(chunk, flows[i]);
    }
    free(chunk);
    return 0;
}
