/* The cost of matching one parsed packet, beside libpcap's compiler and
 * interpreter on the same packets in the same run, in plain lines of text:
 *
 *     what                             single   burst  libpcap    ratio
 *
 * in ns per packet; the ratio is libpcap's time over the burst's. The packets
 * lie in cache, and not all match, in an order that repeats every 64 packets.
 */
#define _DEFAULT_SOURCE /* pcap.h needs u_int. */
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/base.h"
#include "base/prng.h"
#include "netshaper/filter.h"
#include "netshaper/packet.h"

#define PKTS         NSP_BURST_MAX
#define PKT_BYTES    64u
#define ROUNDS       40000u
#define PCAP_ROUNDS  10000u
#define REPEATS      5
#define COMPILATIONS 2000u
#define TEXT_BYTES   8192

/* Keeps results that nothing else looks at. */
static volatile uint64_t sink;

struct load {
    struct nsp_pkt pkts[PKTS];
    struct nsp_pkt *burst[PKTS];
    uint8_t bytes[PKTS][PKT_BYTES];
};

struct contest {
    const char *what, *ours, *theirs;
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

static double
time_single(const struct nsp_filter *filter, const struct load *load)
{
    double since = now_ns();
    uint64_t matched = 0;

    for (uint32_t r = 0; r < ROUNDS; r++) {
        for (uint32_t i = 0; i < PKTS; i++)
            matched += nsp_filter_match(filter, &load->pkts[i], NULL);
    }
    sink = matched;
    return (now_ns() - since) / ROUNDS / PKTS;
}

static double
time_burst(const struct nsp_filter *filter, const struct load *load)
{
    double since = now_ns();
    uint64_t matched = 0;

    for (uint32_t r = 0; r < ROUNDS; r++)
        matched += nsp_filter_match_burst(filter, load->burst, PKTS, NULL);
    sink = matched;
    return (now_ns() - since) / ROUNDS / PKTS;
}

static double
time_pcap(const struct bpf_program *program, const struct load *load)
{
    double since = now_ns();
    uint64_t matched = 0;

    for (uint32_t r = 0; r < PCAP_ROUNDS; r++) {
        for (uint32_t i = 0; i < PKTS; i++)
            matched += bpf_filter(program->bf_insns, load->bytes[i], PKT_BYTES,
                                  PKT_BYTES) != 0;
    }
    sink = matched;
    return (now_ns() - since) / PCAP_ROUNDS / PKTS;
}

static void
keep_least(double *least, double value)
{
    *least = value < *least ? value : *least;
}

/* Both sides must match the same packets, else the contest is none. */
static void
check_agreement(const struct contest *contest, const struct nsp_filter *filter,
                const struct bpf_program *program, const struct load *load)
{
    for (uint32_t i = 0; i < PKTS; i++) {
        bool theirs = bpf_filter(program->bf_insns, load->bytes[i], PKT_BYTES,
                                 PKT_BYTES) != 0;

        if (nsp_filter_match(filter, &load->pkts[i], NULL) != theirs)
            die(contest->what);
    }
}

static void
run(const struct contest *contest, const struct load *load, pcap_t *pcap)
{
    double single = 1e9, burst = 1e9, theirs = 1e9;
    struct nsp_filter *filter;
    struct bpf_program program;
    struct nsp_diag diag;

    if (nsp_filter_compile(contest->ours, NSP_LAYER_NETWORK, NULL, &filter,
                           &diag) != NSP_OK)
        die(diag.text);
    if (pcap_compile(pcap, &program, contest->theirs, 1,
                     PCAP_NETMASK_UNKNOWN) != 0)
        die(pcap_geterr(pcap));
    check_agreement(contest, filter, &program, load);

    /* Taking turns, so that a slow moment of the machine hits both. */
    for (int i = 0; i < REPEATS; i++) {
        keep_least(&single, time_single(filter, load));
        keep_least(&burst, time_burst(filter, load));
        keep_least(&theirs, time_pcap(&program, load));
    }
    printf("%-32s %7.2f %7.2f %8.2f %7.1fx\n", contest->what, single, burst,
           theirs, theirs / burst);
    pcap_freecode(&program);
    nsp_filter_destroy(filter);
}

static void
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
    printf("%-32s %7.2f us\n", "compile 10 tests",
           (now_ns() - since) / COMPILATIONS / 1000);
}

/* 255 odd ports, as our text and as theirs. */
static void
write_ports(char *ours, char *theirs)
{
    size_t o = 0, t = 0;

    for (unsigned i = 0; i < 255; i++) {
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
    static const char ten_tests[] =
        "outbound and ip and tcp and ip.TTL > 3 and tcp.SrcPort == 5000 and "
        "(tcp.DstPort == 80 or tcp.DstPort == 443) and tcp.Ack and not tcp.Rst "
        "and ip.DstAddr != 10.0.0.9";
    static char ours[TEXT_BYTES], theirs[TEXT_BYTES];
    static struct load load;
    static const struct contest contests[] = {
        { "outbound and tcp", "outbound and tcp", "tcp" },
        { "8 mixed tests",
          "outbound and ip.TTL > 3 and ip.SrcAddr == 10.0.0.1 and "
          "tcp.SrcPort == 5000 and tcp.DstPort < 500 and tcp.Ack and "
          "not tcp.Rst and ip.DstAddr != 10.0.0.9",
          "ip and ip[8] > 3 and src host 10.0.0.1 and tcp src port 5000 and "
          "tcp[2:2] < 500 and tcp[13] & 16 != 0 and tcp[13] & 4 = 0 and "
          "not dst host 10.0.0.9" },
        { "255 ports", ours, theirs },
    };
    pcap_t *pcap = pcap_open_dead(DLT_RAW, PKT_BYTES);

    if (!pcap)
        die("not enough memory");
    fill(&load);
    write_ports(ours, theirs);
    printf("%-32s %7s %7s %8s %8s\n", "ns per packet", "single", "burst",
           "libpcap", "ratio");
    for (size_t i = 0; i < NSP_ARRAY_LEN(contests); i++)
        run(&contests[i], &load, pcap);
    time_compile(ten_tests);
    pcap_close(pcap);
    return 0;
}
