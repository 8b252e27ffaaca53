/* The cost of matching one parsed packet, beside peers on the same packets in
 * the same run, in lines of columns that two blanks part:
 *
 *     filter  single  burst  parsed  libpcap  walk
 *
 * in ns per packet: one at a time, 64 at once, the same with the parser's time;
 * libpcap's compiler and interpreter, which parses as it goes; and the plain
 * walk of the tests in order (filter_walk.h). The packets lie in cache, and not
 * all match, in an order that repeats every 64 packets. A last line has the
 * time that a filter of ten tests takes to compile, in us, and libpcap's.
 *
 * All take turns in short slices, of which the least counts: what else the
 * machine does hits some slices, hardly all of one side. */
#define _DEFAULT_SOURCE /* pcap.h needs u_int. */
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/base.h"
#include "base/prng.h"
#include "bench/filter_walk.h"
#include "netshaper/filter.h"
#include "netshaper/packet.h"

#define PKTS         NSP_BURST_MAX
#define PKT_BYTES    64u
#define SLICES       200
#define SLICE_PKTS   (PKTS * 200u)
#define COMPILATIONS 20u
#define TEXT_BYTES   8192
#define PORTS        255u

struct load {
    struct nsp_pkt pkts[PKTS];
    struct nsp_pkt *burst[PKTS];
    uint8_t bytes[PKTS][PKT_BYTES];
};

/* One filter, for each of those that match it. */
struct contest {
    const char *what, *ours, *theirs;
    struct load *load;
    struct nsp_filter *filter;
    struct walk *walk;
    struct bpf_program program;
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
    fprintf(stderr, "bench_filter: %s\n", what);
    exit(1);
}

/* IPv4 packets, three TCP to one UDP, to ports 1..512. */
static void
fill(struct load *load)
{
    struct nsp_prng random;

    memset(load, 0, sizeof *load);
    nsp_prng_init(&random, 1, 0);
    for (uint32_t i = 0; i < PKTS; i++) {
        struct nsp_pkt *pkt = &load->pkts[i];
        uint8_t *ip = load->bytes[i];

        ip[0] = 0x45;
        nsp_store_be16(ip + 2, PKT_BYTES);
        ip[8] = 64;
        ip[9] = i % 4 == 3 ? 17 : 6;
        nsp_store_be32(ip + 12, 0x0A000001);
        nsp_store_be32(ip + 16, 0x0A000002);
        nsp_store_be16(ip + 20, 5000);
        nsp_store_be16(ip + 22, (uint16_t)(1 + nsp_prng_next(&random) % 512));
        ip[32] = 0x50;
        ip[33] = 0x10;
        *pkt = (struct nsp_pkt){
            .data = ip,
            .cap_bytes = PKT_BYTES,
            .wire_bytes = PKT_BYTES,
            .link = NSP_LINK_RAW,
            .direction = NSP_OUTBOUND,
        };
        nsp_pkt_parse(pkt);
        load->burst[i] = pkt;
    }
}

/* --- The contestants: each matches SLICE_PKTS packets --------------------- */

static uint64_t
run_single(const struct contest *c)
{
    uint64_t matched = 0;

    for (uint32_t i = 0; i < SLICE_PKTS; i++)
        matched += nsp_filter_match(c->filter, &c->load->pkts[i % PKTS], NULL);
    return matched;
}

static uint64_t
run_burst(const struct contest *c)
{
    uint64_t matched = 0;

    for (uint32_t i = 0; i < SLICE_PKTS; i += PKTS)
        matched += nsp_popcount_u64(
            nsp_filter_match_burst(c->filter, c->load->burst, PKTS, NULL));
    return matched;
}

static uint64_t
run_parsed(const struct contest *c)
{
    uint64_t matched = 0;

    for (uint32_t i = 0; i < SLICE_PKTS; i += PKTS) {
        nsp_pkt_parse_burst(c->load->burst, PKTS);
        matched += nsp_popcount_u64(
            nsp_filter_match_burst(c->filter, c->load->burst, PKTS, NULL));
    }
    return matched;
}

static uint64_t
run_pcap(const struct contest *c)
{
    uint64_t matched = 0;

    for (uint32_t i = 0; i < SLICE_PKTS; i++)
        matched += bpf_filter(c->program.bf_insns, c->load->bytes[i % PKTS],
                              PKT_BYTES, PKT_BYTES) != 0;
    return matched;
}

static uint64_t
run_walk(const struct contest *c)
{
    uint64_t matched = 0;

    for (uint32_t i = 0; i < SLICE_PKTS; i++)
        matched += walk_match(c->walk, &c->load->pkts[i % PKTS]);
    return matched;
}

/* --- Measuring ------------------------------------------------------------ */

typedef uint64_t run_fn(const struct contest *contest);

static void
compete(const struct contest *contest)
{
    static run_fn *const runs[] = { run_single, run_burst, run_parsed, run_pcap,
                                    run_walk };
    double least[NSP_ARRAY_LEN(runs)];
    uint64_t matched[NSP_ARRAY_LEN(runs)];

    for (int slice = 0; slice < SLICES; slice++) {
        for (size_t r = 0; r < NSP_ARRAY_LEN(runs); r++) {
            double since = now_ns(), ns;

            matched[r] = runs[r](contest);
            ns = (now_ns() - since) / SLICE_PKTS;
            least[r] = slice > 0 && least[r] < ns ? least[r] : ns;
        }
    }
    printf("%-20s", contest->what);
    for (size_t r = 0; r < NSP_ARRAY_LEN(runs); r++) {
        if (matched[r] != matched[0])
            die(contest->what);
        printf("  %7.2f", least[r]);
    }
    printf("\n");
}

static void
run(struct contest *contest, struct load *load, pcap_t *pcap)
{
    struct nsp_diag diag;

    contest->load = load;
    if (nsp_filter_compile(contest->ours, NSP_LAYER_NETWORK, NULL,
                           &contest->filter, &diag) != NSP_OK)
        die(diag.text);
    if (pcap_compile(pcap, &contest->program, contest->theirs, 1,
                     PCAP_NETMASK_UNKNOWN) != 0)
        die(pcap_geterr(pcap));
    contest->walk = walk_create(contest->ours);
    compete(contest);
    walk_destroy(contest->walk);
    pcap_freecode(&contest->program);
    nsp_filter_destroy(contest->filter);
}

static double
time_compile(const char *text)
{
    double since = now_ns();

    for (uint32_t i = 0; i < COMPILATIONS; i++) {
        struct nsp_filter *filter;

        if (nsp_filter_compile(text, NSP_LAYER_NETWORK, NULL, &filter, NULL) !=
            NSP_OK)
            die(text);
        nsp_filter_destroy(filter);
    }
    return (now_ns() - since) / COMPILATIONS / 1000;
}

static double
time_pcap_compile(const char *text, pcap_t *pcap)
{
    double since = now_ns();

    for (uint32_t i = 0; i < COMPILATIONS; i++) {
        struct bpf_program program;

        if (pcap_compile(pcap, &program, text, 1, PCAP_NETMASK_UNKNOWN) != 0)
            die(pcap_geterr(pcap));
        pcap_freecode(&program);
    }
    return (now_ns() - since) / COMPILATIONS / 1000;
}

static void
compete_compiling(const char *ours, const char *theirs, pcap_t *pcap)
{
    double least = 1e9, their_least = 1e9;

    for (int slice = 0; slice < SLICES / 2; slice++) {
        double us = time_compile(ours), their_us;

        their_us = time_pcap_compile(theirs, pcap);
        least = us < least ? us : least;
        their_least = their_us < their_least ? their_us : their_least;
    }
    printf("%-20s  %7.2f  %7.2f\n", "compile 10 tests", least, their_least);
}

/* Odd ports, as our text and as theirs. */
static void
write_ports(char *ours, char *theirs)
{
    size_t o = 0, t = 0;

    for (unsigned i = 0; i < PORTS; i++) {
        const char *joint = i > 0 ? " or " : "";

        o += (size_t)snprintf(ours + o, TEXT_BYTES - o, "%stcp.DstPort == %u",
                              joint, 2 * i + 1);
        t += (size_t)snprintf(theirs + t, TEXT_BYTES - t, "%stcp dst port %u",
                              joint, 2 * i + 1);
    }
}

int
main(void)
{
    static char ours[TEXT_BYTES], theirs[TEXT_BYTES];
    static struct load load;
    static struct contest contests[] = {
        { .what = "outbound and tcp",
          .ours = "outbound and tcp",
          .theirs = "tcp" },
        { .what = "DNS",
          .ours = "udp.SrcPort == 53 or udp.DstPort == 53",
          .theirs = "udp port 53" },
        { .what = "web",
          .ours = "tcp.DstPort == 80 or tcp.DstPort == 443",
          .theirs = "tcp dst port 80 or tcp dst port 443" },
        { .what = "first SYN",
          .ours = "tcp.Syn and not tcp.Ack",
          .theirs = "tcp[13] & 18 = 2" },
        { .what = "one host",
          .ours = "ip.SrcAddr == 10.0.0.9 or ip.DstAddr == 10.0.0.9",
          .theirs = "ip host 10.0.0.9" },
        { .what = "TCP not to a host",
          .ours = "tcp and ip.DstAddr != 10.0.0.9 and tcp.DstPort <= 300",
          .theirs = "tcp and not ip dst host 10.0.0.9 and tcp[2:2] <= 300" },
        { .what = "8 mixed tests",
          .ours = "outbound and ip.TTL > 3 and ip.SrcAddr == 10.0.0.1 and "
                  "tcp.SrcPort == 5000 and tcp.DstPort < 500 and tcp.Ack and "
                  "not tcp.Rst and ip.DstAddr != 10.0.0.9",
          .theirs =
              "ip and ip[8] > 3 and src host 10.0.0.1 and tcp src port 5000 "
              "and tcp[2:2] < 500 and tcp[13] & 16 != 0 and tcp[13] & 4 = 0 "
              "and not dst host 10.0.0.9" },
        { .what = "255 ports", .ours = ours, .theirs = theirs },
    };
    pcap_t *pcap = pcap_open_dead(DLT_RAW, PKT_BYTES);

    if (!pcap)
        die("not enough memory");
    fill(&load);
    write_ports(ours, theirs);
    printf("%-20s  %7s  %7s  %7s  %7s  %7s\n", "filter", "single", "burst",
           "parsed", "libpcap", "walk");
    for (size_t i = 0; i < NSP_ARRAY_LEN(contests); i++)
        run(&contests[i], &load, pcap);
    compete_compiling(
        "outbound and ip and tcp and ip.TTL > 3 and tcp.SrcPort == 5000 and "
        "(tcp.DstPort == 80 or tcp.DstPort == 443) and tcp.Ack and not tcp.Rst "
        "and ip.DstAddr != 10.0.0.9",
        "ip and tcp and ip[8] > 3 and tcp src port 5000 and (tcp dst port 80 "
        "or tcp dst port 443) and tcp[13] & 16 != 0 and tcp[13] & 4 = 0 and "
        "not dst host 10.0.0.9",
        pcap);
    pcap_close(pcap);
    return 0;
}
