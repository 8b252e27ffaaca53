#ifndef NSP_BENCH_FLOW_TRAFFIC_H
#define NSP_BENCH_FLOW_TRAFFIC_H
/* Packets of many flows, by the chunk, and how long chunks take. The user has
 * defined _GNU_SOURCE. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/prng.h"
#include "netshaper/packet.h"

#define CHUNK   64u /* Packets made at once, outside of the measurement. */
#define BURST   32u
#define QUERIES (1u << 22)

enum { HEADER_BYTES = 40 };

struct chunk {
    bool tcp; /* Else UDP. */
    struct nsp_pkt pkts[CHUNK];
    struct nsp_pkt *pointers[CHUNK];
    uint8_t headers[CHUNK][HEADER_BYTES];
};

/* Of each chunk, in ns. */
static float chunk_times[QUERIES / CHUNK];

static inline double
now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static inline void
out_of_memory(void)
{
    fputs("not enough memory\n", stderr);
    exit(1);
}

/* Makes packet 'i' one of flow number 'flow', of either direction. */
static inline void
make_pkt(struct chunk *chunk, uint32_t i, uint32_t flow, bool back)
{
    struct nsp_pkt *pkt = &chunk->pkts[i];
    uint8_t *ip = chunk->headers[i];
    uint64_t random = nsp_mix64(flow);

    memset(ip, 0, HEADER_BYTES);
    nsp_store_be32(ip + (back ? 16 : 12), (uint32_t)random | 1u << 31);
    nsp_store_be32(ip + (back ? 12 : 16), flow & 0x7fffffff);
    nsp_store_be16(ip + 20 + (back ? 2 : 0), (uint16_t)(random >> 32));
    nsp_store_be16(ip + 20 + (back ? 0 : 2), 443);
    ip[33] = 0x10; /* ACK. */
    *pkt = (struct nsp_pkt){
        .data = ip,
        .cap_bytes = HEADER_BYTES,
        .ip_bytes = 1000,
        .l3 = NSP_L3_IPV4,
        .l4 = chunk->tcp ? NSP_L4_TCP : NSP_L4_UDP,
        .l4_off = 20,
        .payload_off = HEADER_BYTES,
        .ip_proto = chunk->tcp ? 6 : 17,
    };
    chunk->pointers[i] = pkt;
}

static inline void
make_chunk(struct chunk *chunk, uint32_t flows, struct nsp_prng *random)
{
    for (uint32_t i = 0; i < CHUNK; i++) {
        uint64_t r = nsp_prng_next(random);

        make_pkt(chunk, i, (uint32_t)((r >> 32) * flows >> 32), r & 1);
    }
}

static inline int
compare(const void *a, const void *b)
{
    const float *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* ns per packet of the median of 'count' chunks' times. */
static inline double
median(float times[], uint32_t count)
{
    qsort(times, count, sizeof times[0], compare);
    return (double)times[count / 2] / CHUNK;
}

#endif /* NSP_BENCH_FLOW_TRAFFIC_H */
