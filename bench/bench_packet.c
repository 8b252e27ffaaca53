/* Cost of the packet layer: nanoseconds per packet to parse each kind, to edit
 * and to answer, and how fast bytes are summed. One line per measurement,
 * the best of several rounds: noise only ever adds. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "netshaper/packet.h"
#include "packet/checksum.h"
#include "packet/reply.h"
#include "tests/lib/hex.h"

#define ROUNDS 100
#define BURSTS 256u /* A round is short enough to run undisturbed. */
#define SLOT_BYTES                                                             \
    (2048u + 64u)           /* 2048 alone shares two sets of the cache.        \
                             */
#define COLD_PKTS    65536u /* 132 MiB of slots: no cache holds them. */
#define EDITS        4096u
#define SUMMED_BYTES (UINT64_C(1) << 20)

static uint64_t
now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NSP_NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

static const struct kind {
    const char *name;
    enum nsp_link link;
    const char *hex;
} kinds[] = {
    { "ethernet/ipv4/tcp", NSP_LINK_ETHERNET,
      ETHER("0800") IPV4("0028", "4000", "06") TCP("50", "10") },
    { "ethernet/ipv4/udp", NSP_LINK_ETHERNET,
      ETHER("0800") IPV4("001C", "0000", "11") UDP("0008") },
    { "ethernet/ipv6/tcp", NSP_LINK_ETHERNET,
      ETHER("86DD") IPV6("0014", "06") TCP("50", "10") },
    { "raw/ipv4/tcp", NSP_LINK_RAW,
      IPV4("0028", "4000", "06") TCP("50", "10") },
    { "ethernet/qinq/ipv4/tcp", NSP_LINK_ETHERNET,
      ETHER("88A8") "00C881000064 0800" IPV4("0028", "4000", "06")
          TCP("50", "10") },
    { "ethernet/ipv6/hop-by-hop/fragment/udp", NSP_LINK_ETHERNET,
      ETHER("86DD")
          IPV6("0018", "00") "2C00010400000000 1100000100000001" UDP("0100") },
    { "ethernet/ipv4/later fragment", NSP_LINK_ETHERNET,
      ETHER("0800") IPV4("001C", "2010", "11") "0001020304050607" },
    { "ethernet/arp", NSP_LINK_ETHERNET,
      ETHER("0806") "0001080006040001 020000000001 C0000201 000000000000"
                    "C0000202" },
};

static uint8_t slots[(size_t)COLD_PKTS * SLOT_BYTES];
static struct nsp_pkt pool[COLD_PKTS];
static struct nsp_pkt *pkts[COLD_PKTS];

/* Puts a packet of 'kind' in each of the first 'n' slots. */
static void
fill(const struct kind *kind, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint8_t *slot = slots + (size_t)i * SLOT_BYTES;
        uint32_t bytes = (uint32_t)hex_bytes(kind->hex, slot, 256);

        pool[i] = (struct nsp_pkt){ .data = slot,
                                    .cap_bytes = bytes,
                                    .wire_bytes = bytes,
                                    .link = (uint8_t)kind->link };
        pkts[i] = &pool[i];
    }
}

static double
parse_ns(uint32_t n, uint32_t bursts)
{
    uint64_t best_ns = UINT64_MAX;

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start_ns = now_ns();

        for (uint32_t b = 0; b < bursts; b++)
            nsp_pkt_parse_burst(pkts + (size_t)b * NSP_BURST_MAX % n,
                                NSP_BURST_MAX);
        best_ns = nsp_min_u64(best_ns, now_ns() - start_ns);
    }
    return (double)best_ns / bursts / NSP_BURST_MAX;
}

static void
bench_parse(void)
{
    for (size_t k = 0; k < NSP_ARRAY_LEN(kinds); k++) {
        fill(&kinds[k], NSP_BURST_MAX);
        printf("packet parse, in cache, %-38s %6.1f ns\n", kinds[k].name,
               parse_ns(NSP_BURST_MAX, BURSTS));
    }
    fill(&kinds[0], COLD_PKTS);
    printf("packet parse, in memory, %-37s %6.1f ns\n", kinds[0].name,
           parse_ns(COLD_PKTS, COLD_PKTS / NSP_BURST_MAX));
}

static double
edit_ns(struct nsp_pkt *pkt)
{
    uint64_t best_ns = UINT64_MAX;

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start_ns = now_ns();

        for (uint32_t i = 0; i < EDITS; i++) {
            const uint8_t addr[4] = { 10, 0, (uint8_t)(i >> 8), (uint8_t)i };

            if (nsp_pkt_set_ip_dst(pkt, addr, sizeof addr) < 0 ||
                nsp_pkt_set_dst_port(pkt, (uint16_t)i) < 0 ||
                nsp_pkt_set_ttl(pkt, (uint8_t)i) < 0)
                abort();
        }
        best_ns = nsp_min_u64(best_ns, now_ns() - start_ns);
    }
    return (double)best_ns / EDITS;
}

static double
reply_ns(const struct nsp_pkt *pkt)
{
    uint64_t best_ns = UINT64_MAX;
    uint8_t reply[NSP_REPLY_BYTES_MAX];

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start_ns = now_ns();

        for (uint32_t i = 0; i < EDITS; i++)
            if (nsp_reply_build(pkt, reply) == 0)
                abort();
        best_ns = nsp_min_u64(best_ns, now_ns() - start_ns);
    }
    return (double)best_ns / EDITS;
}

static void
bench_checksum(const uint8_t *bytes)
{
    static const size_t sizes[] = { 20, 64, 1500, 65536 };

    for (size_t s = 0; s < NSP_ARRAY_LEN(sizes); s++) {
        uint64_t n = SUMMED_BYTES / sizes[s], best_ns = UINT64_MAX, sum = 0;

        for (int round = 0; round < ROUNDS; round++) {
            uint64_t start_ns = now_ns();

            for (uint64_t i = 0; i < n; i++)
                sum += nsp_csum_add(i, bytes, sizes[s]);
            best_ns = nsp_min_u64(best_ns, now_ns() - start_ns);
        }
        printf("checksum, %5zu bytes %39.2f GB/s (sum %04x)\n", sizes[s],
               (double)(n * sizes[s]) / (double)best_ns, nsp_csum_fold(sum));
    }
}

int
main(void)
{
    bench_parse();
    fill(&kinds[0], 1);
    nsp_pkt_parse(&pool[0]);
    printf("packet edit, address + port + ttl %31.1f ns\n", edit_ns(&pool[0]));
    printf("packet reply, rst %47.1f ns\n", reply_ns(&pool[0]));
    memset(slots, 0x5A, 65536);
    bench_checksum(slots);
    return 0;
}
