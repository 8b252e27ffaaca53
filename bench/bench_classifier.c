/* The cost of finding the first of many rules, beside DPDK's librte_acl and a
 * walk over the rules' filters, on the same rules and packets in the same run.
 *
 *     set     rules     walk parsing  plain  AVX2 AVX512  scalar ...
 *
 * in ns per packet, beyond that of parsing it. Rules are made by a fixed seed
 * in the manner of ClassBench (Taylor and Turner, 2007): access lists name
 * hosts and services, firewalls leave much open, chains have both. Each packet
 * is made to fit a rule drawn evenly, so no flow is met twice and caches help
 * least; one in ten comes from anywhere. Headers and descriptors are in cache,
 * as they have just been parsed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/prng.h"
#include "bench/acl_peer.h"
#include "policy/classifier.h"

#define PKTS       16384u
#define PKT_BYTES  64u
#define BURST      64u
#define REPEATS    15
#define WALK_PKTS  1024u
#define RULES_MAX  10000u
#define TEXT_BYTES 512

enum kind { ACCESS_LIST, FIREWALL, CHAIN, KINDS };

struct contest {
    struct nsp_prng prng;
    enum kind kind;
    bool ipv6;
    uint32_t count;
    struct acl_rule rules[RULES_MAX];
    struct nsp_classifier_rule ours[RULES_MAX];
    struct nsp_pkt pkts[PKTS];
    uint8_t bytes[PKTS][PKT_BYTES];
    uint32_t expected[PKTS];
    double compile_ms;
};

static double
now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void
die(const char *what)
{
    fprintf(stderr, "bench_classifier: %s\n", what);
    exit(1);
}

static uint32_t
below(struct contest *c, uint32_t limit)
{
    return (uint32_t)(nsp_prng_next(&c->prng) >> 16) % limit;
}

/* --- Rules ---------------------------------------------------------------- */

/* How likely, in percent, an address is open, a network, or else a host. */
struct habit {
    uint32_t src_open, src_net, dst_open, dst_net, src_port_open;
};

static const struct habit habits[KINDS] = {
    [ACCESS_LIST] = { 45, 35, 3, 50, 92 },
    [FIREWALL] = { 40, 30, 40, 30, 70 },
    [CHAIN] = { 20, 40, 20, 40, 92 },
};

static const uint16_t services[] = { 22,   25,   53,   80,   110,  123, 143,
                                     161,  389,  443,  445,  514,  993, 1433,
                                     1521, 3306, 3389, 5060, 8080, 8443 };

/* An address of some hundred networks, in which hosts come again. */
static void
draw_address(struct contest *c, uint32_t ret[4])
{
    uint32_t net = below(c, 40) << 24 | below(c, 64) << 16;
    uint32_t host = below(c, c->count / 4 + 16) * 2654435761u;

    memset(ret, 0, 4 * sizeof ret[0]);
    if (!c->ipv6) {
        ret[0] = (10u << 24) + net + (host >> 16);
        return;
    }
    ret[0] = 0x20010000 | net >> 16;
    ret[1] = host & 0xffff00ff;
    ret[3] = below(c, 4) + 1;
}

static void
cut_address(uint32_t words[4], uint32_t bits)
{
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t here = bits > 32 * i ? bits - 32 * i : 0;

        words[i] &= here >= 32  ? UINT32_MAX
                    : here == 0 ? 0
                                : UINT32_MAX << (32 - here);
    }
}

static uint8_t
draw_prefix(struct contest *c, uint32_t open, uint32_t net)
{
    uint32_t x = below(c, 100);

    if (x < open)
        return 0;
    if (x < open + net)
        return (uint8_t)(c->ipv6 ? 32 + 4 * below(c, 9) : 16 + below(c, 13));
    return c->ipv6 ? 128 : 32;
}

static void
draw_ports(struct contest *c, struct acl_rule *rule)
{
    uint32_t x = below(c, 100);

    if (x >= habits[c->kind].src_port_open) {
        rule->src_port[0] = x % 2 ? 1024 : services[below(c, 20)];
        rule->src_port[1] = x % 2 ? 65535 : rule->src_port[0];
    }
    x = below(c, 100);
    if (x < 25)
        return;
    rule->dst_port[0] = x < 70   ? services[below(c, 20)]
                        : x < 80 ? 1024
                                 : (uint16_t)below(c, 60000);
    rule->dst_port[1] = x < 70   ? rule->dst_port[0]
                        : x < 80 ? 65535
                        : x < 90
                            ? rule->dst_port[0]
                            : (uint16_t)(rule->dst_port[0] + below(c, 2000));
}

/* Ports are named with TCP and UDP alone, as in the filter language. */
static void
draw_rule(struct contest *c, uint32_t index)
{
    const struct habit *habit = &habits[c->kind];
    struct acl_rule *rule = &c->rules[index];
    uint32_t x = below(c, 100);

    *rule =
        (struct acl_rule){ .src_port = { 0, 65535 }, .dst_port = { 0, 65535 } };
    rule->protocol = x < 5 ? 0 : x < 70 ? 6 : x < 96 ? 17 : c->ipv6 ? 58 : 1;
    if (rule->protocol == 6 || rule->protocol == 17)
        draw_ports(c, rule);
    draw_address(c, rule->src);
    draw_address(c, rule->dst);
    rule->src_bits = draw_prefix(c, habit->src_open, habit->src_net);
    rule->dst_bits = draw_prefix(c, habit->dst_open, habit->dst_net);
    /* Broad rules come last, as people write them. */
    if (rule->src_bits + rule->dst_bits == 0 && index < c->count / 10 * 9)
        rule->dst_bits = c->ipv6 ? 64 : 24;
    cut_address(rule->src, rule->src_bits);
    cut_address(rule->dst, rule->dst_bits);
}

/* --- Rules as filters ----------------------------------------------------- */

static size_t
write_address(const struct contest *c, char *text, size_t room,
              const char *side, const uint32_t words[4], uint32_t bits)
{
    int used = 0;

    if (bits == 0)
        return 0;
    if (!c->ipv6)
        used = snprintf(text, room, " and ip.%sAddr in {%u.%u.%u.%u/%u}", side,
                        words[0] >> 24, words[0] >> 16 & 255,
                        words[0] >> 8 & 255, words[0] & 255, bits);
    else
        used = snprintf(text, room,
                        " and ipv6.%sAddr in {%x:%x:%x:%x:%x:%x:%x:%x/%u}",
                        side, words[0] >> 16, words[0] & 0xffff, words[1] >> 16,
                        words[1] & 0xffff, words[2] >> 16, words[2] & 0xffff,
                        words[3] >> 16, words[3] & 0xffff, bits);
    return (size_t)used;
}

static size_t
write_ports(char *text, size_t room, uint8_t protocol, const char *side,
            const uint16_t ports[2])
{
    if (ports[0] == 0 && ports[1] == 65535)
        return 0;
    return (size_t)snprintf(text, room, " and %s.%sPort in {%u..%u}",
                            protocol == 6 ? "tcp" : "udp", side, ports[0],
                            ports[1]);
}

static struct nsp_filter *
compile(const struct contest *c, const struct acl_rule *rule)
{
    char text[TEXT_BYTES];
    size_t n = 0;
    struct nsp_filter *filter;
    struct nsp_diag diag;

    n += (size_t)snprintf(text, sizeof text, "%s",
                          rule->protocol == 6    ? "tcp"
                          : rule->protocol == 17 ? "udp"
                          : rule->protocol == 1  ? "icmp"
                          : rule->protocol == 58 ? "icmpv6"
                                                 : "true");
    n += (size_t)snprintf(text + n, sizeof text - n, " and %s",
                          c->ipv6 ? "ipv6" : "ip");
    n += write_address(c, text + n, sizeof text - n, "Src", rule->src,
                       rule->src_bits);
    n += write_address(c, text + n, sizeof text - n, "Dst", rule->dst,
                       rule->dst_bits);
    n += write_ports(text + n, sizeof text - n, rule->protocol, "Src",
                     rule->src_port);
    write_ports(text + n, sizeof text - n, rule->protocol, "Dst",
                rule->dst_port);
    if (nsp_filter_compile(text, NSP_LAYER_NETWORK, NULL, &filter, &diag) !=
        NSP_OK)
        die(text);
    return filter;
}

/* --- Packets -------------------------------------------------------------- */

static void
put_address(struct contest *c, uint8_t *at, const uint32_t words[4],
            uint32_t bits, bool anywhere)
{
    uint32_t mask[4] = { UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX };

    cut_address(mask, anywhere ? 0 : bits);
    for (uint32_t i = 0; i < (c->ipv6 ? 4u : 1u); i++)
        nsp_store_be32(at + 4 * i,
                       (words[i] & mask[i]) |
                           ((uint32_t)nsp_prng_next(&c->prng) & ~mask[i]));
}

static void
draw_packet(struct contest *c, uint32_t index)
{
    const struct acl_rule *rule = &c->rules[below(c, c->count)];
    uint8_t *ip = c->bytes[index], *l4 = ip + (c->ipv6 ? 40 : 20);
    uint8_t protocol = rule->protocol;
    bool anywhere = below(c, 10) == 0;

    if (protocol == 0)
        protocol = below(c, 2) ? 6 : 17;
    memset(ip, 0, PKT_BYTES);
    ip[0] = c->ipv6 ? 0x60 : 0x45;
    ip[c->ipv6 ? 6 : 9] = protocol;
    nsp_store_be16(ip + (c->ipv6 ? 4 : 2), c->ipv6 ? 24 : 44);
    put_address(c, ip + (c->ipv6 ? 8 : 12), rule->src, rule->src_bits,
                anywhere);
    put_address(c, ip + (c->ipv6 ? 24 : 16), rule->dst, rule->dst_bits, false);
    nsp_store_be16(
        l4, (uint16_t)(rule->src_port[0] +
                       below(c, rule->src_port[1] - rule->src_port[0] + 1u)));
    nsp_store_be16(l4 + 2, (uint16_t)(rule->dst_port[0] +
                                      below(c, rule->dst_port[1] -
                                                   rule->dst_port[0] + 1u)));
    if (protocol == 6)
        l4[12] = 0x50;
    c->pkts[index] = (struct nsp_pkt){ .data = ip,
                                       .cap_bytes = PKT_BYTES,
                                       .wire_bytes = PKT_BYTES };
    nsp_pkt_parse(&c->pkts[index]);
}

static void
fill(struct contest *c)
{
    double since;

    nsp_prng_init(&c->prng, 4, (uint64_t)c->kind * 100000 + c->count);
    for (uint32_t i = 0; i < c->count; i++)
        draw_rule(c, i);
    since = now_ns();
    for (uint32_t i = 0; i < c->count; i++)
        c->ours[i] =
            (struct nsp_classifier_rule){ .filter = compile(c, &c->rules[i]),
                                          .enabled = true };
    c->compile_ms = (now_ns() - since) / 1e6;
    for (uint32_t i = 0; i < PKTS; i++)
        draw_packet(c, i);
}

/* --- Contestants ---------------------------------------------------------- */

/* Classifies the burst at 'first', from parsed packets. */
typedef void burst_fn(struct contest *c, const void *with,
                      struct nsp_pkt *const pkts[], const uint8_t *headers[],
                      uint32_t ret[]);

static void
burst_of_ours(struct contest *c, const void *with, struct nsp_pkt *const pkts[],
              const uint8_t *headers[], uint32_t ret[])
{
    struct nsp_classifier_walk walk;

    (void)c;
    (void)headers;
    nsp_classifier_begin(with, pkts, BURST, NULL, &walk);
    nsp_classifier_next(&walk, UINT64_MAX, NULL, ret);
}

struct nsp_acl_handle {
    struct acl_peer *peer;
};

#ifdef NSP_BENCH_RTE_ACL
static void
burst_of_peer(struct contest *c, const void *with, struct nsp_pkt *const pkts[],
              const uint8_t *headers[], uint32_t ret[])
{
    const struct nsp_acl_handle *handle = with;

    (void)c;
    (void)pkts;
    acl_peer_classify(handle->peer, headers, BURST, ret);
    for (uint32_t i = 0; i < BURST; i++)
        ret[i]--; /* Numbers from 1, none is 0. */
}
#endif

static void
burst_of_walk(struct contest *c, const void *with, struct nsp_pkt *const pkts[],
              const uint8_t *headers[], uint32_t ret[])
{
    uint64_t open = UINT64_MAX;

    (void)with;
    (void)headers;
    for (uint32_t i = 0; i < BURST; i++)
        ret[i] = NSP_CLASSIFIER_NONE;
    for (uint32_t r = 0; r < c->count && open != 0; r++) {
        uint64_t hits =
            open & nsp_filter_match_burst(c->ours[r].filter, pkts, BURST, NULL);

        for (open &= ~hits; hits != 0; hits &= hits - 1)
            ret[nsp_ctz_u64(hits)] = r;
    }
}

/* One pass over 'count' packets, each burst parsed just before it is
 * classified; 'burst' NULL only parses. Returns ns per packet. */
static double
pass(struct contest *c, burst_fn *burst, const void *with, uint32_t count,
     bool check)
{
    double since = now_ns();

    for (uint32_t first = 0; first < count; first += BURST) {
        struct nsp_pkt *pkts[BURST];
        const uint8_t *headers[BURST];
        uint32_t found[BURST];

        for (uint32_t i = 0; i < BURST; i++) {
            pkts[i] = &c->pkts[first + i];
            headers[i] = c->bytes[first + i];
        }
        nsp_pkt_parse_burst(pkts, BURST);
        if (burst)
            burst(c, with, pkts, headers, found);
        for (uint32_t i = 0; check && i < BURST; i++) {
            if (found[i] != c->expected[first + i])
                die("the answers differ");
        }
    }
    return (now_ns() - since) / count;
}

/* --- Measuring ------------------------------------------------------------ */

struct contestant {
    burst_fn *burst;
    const void *with; /* NULL: not on this processor. */
    int method;       /* Of the peer, else -1. */
    double best_ns;
};

enum { PLAIN, AVX2, AVX512, RTE, CONTESTANTS = RTE + ACL_METHODS };

static void
make_ours(struct contest *c, struct contestant contestants[],
          struct nsp_classifier *made[], double *ret_build_ms)
{
    for (int i = PLAIN; i <= AVX512; i++) {
        struct nsp_classifier_options options = {
            .instructions = (enum nsp_instructions)(NSP_INSTRUCTIONS_PLAIN + i),
        };
        double since = now_ns(), ms;

        made[i] = NULL;
        if (!nsp_classifier_can_use(options.instructions))
            continue;
        if (nsp_classifier_create(c->ours, c->count, &options,
                                  &nsp_libc_allocator, &made[i]) != 0)
            die("no classifier");
        ms = (now_ns() - since) / 1e6;
        *ret_build_ms = ms < *ret_build_ms ? ms : *ret_build_ms;
        contestants[i] = (struct contestant){ burst_of_ours, made[i], -1, 1e9 };
    }
}

static void
make_peer(struct contest *c, struct contestant contestants[],
          struct nsp_acl_handle *handle, double *ret_build_ms)
{
#ifdef NSP_BENCH_RTE_ACL
    if (!acl_peer_start())
        return;
    handle->peer = acl_peer_create(c->rules, c->count, c->ipv6, ret_build_ms);
    for (int i = 0; handle->peer && i < ACL_METHODS; i++) {
        if (acl_peer_use(handle->peer, (enum acl_method)i))
            contestants[RTE + i] =
                (struct contestant){ burst_of_peer, handle, i, 1e9 };
    }
#else
    (void)c;
    (void)contestants;
    (void)handle;
    (void)ret_build_ms;
#endif
}

/* Taking turns, so that a slow moment of the machine hits all; each brings its
 * index back to cache first. Returns the time of parsing, which the others
 * include. */
static double
measure(struct contest *c, struct contestant contestants[],
        struct nsp_acl_handle *handle)
{
    double parsing_ns = 1e9;

    (void)handle;
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        double ns = pass(c, NULL, NULL, PKTS, false);

        parsing_ns = ns < parsing_ns ? ns : parsing_ns;
        for (int i = 0; i < CONTESTANTS; i++) {
            struct contestant *one = &contestants[i];

            if (!one->with)
                continue;
#ifdef NSP_BENCH_RTE_ACL
            if (one->method >= 0)
                acl_peer_use(handle->peer, (enum acl_method)one->method);
#endif
            pass(c, one->burst, one->with, PKTS, repeat == 0);
            ns = pass(c, one->burst, one->with, PKTS, false);
            one->best_ns = ns < one->best_ns ? ns : one->best_ns;
        }
    }
    return parsing_ns;
}

static void
expect(struct contest *c, const struct nsp_classifier *ours)
{
    for (uint32_t first = 0; first < PKTS; first += BURST) {
        struct nsp_pkt *pkts[BURST];
        uint32_t walked[BURST];

        for (uint32_t i = 0; i < BURST; i++)
            pkts[i] = &c->pkts[first + i];
        burst_of_ours(c, ours, pkts, NULL, c->expected + first);
        if (first >= WALK_PKTS)
            continue;
        burst_of_walk(c, NULL, pkts, NULL, walked);
        if (memcmp(walked, c->expected + first, sizeof walked) != 0)
            die("the walk differs");
    }
}

static void
run(struct contest *c)
{
    static const char *const names[KINDS] = { "acl", "fw", "ipc" };
    struct contestant contestants[CONTESTANTS] = { { 0 } };
    struct nsp_classifier *made[AVX512 + 1];
    struct nsp_acl_handle handle = { 0 };
    struct nsp_classifier_info info;
    double build_ms = 1e9, peer_ms = 0, parsing_ns;

    fill(c);
    make_ours(c, contestants, made, &build_ms);
    make_peer(c, contestants, &handle, &peer_ms);
    expect(c, made[PLAIN]);
    parsing_ns = measure(c, contestants, &handle);
    printf("%-4s %-4s %6u %8.0f %7.1f", names[c->kind],
           c->ipv6 ? "IPv6" : "IPv4", c->count,
           pass(c, burst_of_walk, NULL, WALK_PKTS, true) - parsing_ns,
           parsing_ns);
    for (int i = 0; i < CONTESTANTS; i++) {
        if (contestants[i].with)
            printf(" %7.1f", contestants[i].best_ns - parsing_ns);
        else
            printf(" %7s", "-");
    }
    nsp_classifier_get_info(made[PLAIN], &info);
    printf(" %7.1f %7.1f %7.0f %6.2f\n", c->compile_ms, build_ms, peer_ms,
           (double)info.bytes / (1 << 20));
    fflush(stdout);
    for (int i = PLAIN; i <= AVX512; i++)
        nsp_classifier_destroy(made[i]);
#ifdef NSP_BENCH_RTE_ACL
    acl_peer_destroy(handle.peer);
#endif
    for (uint32_t i = 0; i < c->count; i++) {
        struct nsp_filter *filter;

        memcpy(&filter, &c->ours[i].filter, sizeof filter);
        nsp_filter_destroy(filter);
    }
}

/* With an argument: policies of that many rules alone. */
int
main(int argc, char **argv)
{
    static const uint32_t counts[] = { 100, 1000, RULES_MAX };
    static struct contest contest;
    uint32_t only = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;

    printf("%-16s %8s %7s %23s %23s %31s\n", "ns per packet", "", "",
           "classifier   ", "rte_acl   ", "build ms          MiB");
    printf("%-4s %-4s %6s %8s %7s %7s %7s %7s %7s %7s %7s %7s %7s %7s %6s\n",
           "set", "", "rules", "walk", "parsing", "plain", "AVX2", "AVX512",
           "scalar", "AVX2", "AVX512", "filters", "index", "rte_acl", "index");
    for (int ipv6 = 0; ipv6 < 2; ipv6++) {
        for (int kind = 0; kind < KINDS; kind++) {
            for (size_t i = 0; i < NSP_ARRAY_LEN(counts); i++) {
                contest.kind = (enum kind)kind;
                contest.ipv6 = ipv6 != 0;
                contest.count = counts[i];
                if (only == 0 || only == counts[i])
                    run(&contest);
            }
        }
    }
    return 0;
}
