/* The engine on the memory backend, one core, 64-byte Ethernet frames in cache:
 * parse, one filter, pass. Beside it, over the same frames in the same run, the
 * same test by libpcap's filter machine, which neither parses, counts nor
 * sends.
 *
 * Prints "name value unit" lines, each value the median of ROUNDS rounds that
 * take turns. Time that is neither parsing nor filtering is the engine's own
 * and the device's. */
#define _DEFAULT_SOURCE /* libpcap's headers want u_int. */
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "netshaper/engine.h"
#include "netshaper/filter.h"

#define ROUNDS      5
#define FRAMES      256u
#define FRAME_BYTES 64u
#define PACKETS     UINT64_C(8000000)

#define OUR_FILTER  "udp.DstPort == 7"
#define PCAP_FILTER "udp dst port 7"

enum figure { ENGINE, PARSE, FILTER, PCAP, FIGURES };

static const char *const figure_names[FIGURES] = {
    [ENGINE] = "engine-pass",
    [PARSE] = "stage-parse",
    [FILTER] = "stage-filter",
    [PCAP] = "libpcap-filter",
};

static uint8_t frames[FRAMES][FRAME_BYTES];
static struct nsp_pkt pkts[FRAMES];

static void
die(const char *what)
{
    fprintf(stderr, "bench_engine: %s\n", what);
    exit(1);
}

/* Processor time: one thread works and never waits, others on this machine do
 * not count. */
static uint64_t
clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

/* UDP from many hosts and ports to port 7, so that no field but the tested one
 * repeats. */
static void
make_frames(void)
{
    static const uint8_t head[42] = {
        2,    0,  0, 0,  0,  1,  2, 0, 0,  0,  0, 2, 8, 0,        /* Ethernet */
        0x45, 0,  0, 50, 0,  0,  0, 0, 64, 17, 0, 0,              /* IPv4 */
        10,   77, 1, 2,  10, 77, 2, 2, 0,  0,  0, 7, 0, 30, 0, 0, /* UDP */
    };

    for (uint32_t i = 0; i < FRAMES; i++) {
        memcpy(frames[i], head, sizeof head);
        frames[i][29] = (uint8_t)i;
        frames[i][34] = (uint8_t)(4 + i % 32);
        frames[i][35] = (uint8_t)(i * 7);
        pkts[i] = (struct nsp_pkt){ .data = frames[i],
                                    .cap_bytes = FRAME_BYTES,
                                    .wire_bytes = FRAME_BYTES,
                                    .link = NSP_LINK_ETHERNET };
    }
}

static struct nsp_memory *
open_memory(void)
{
    const struct nsp_memory_config cfg = { .frames = FRAMES,
                                           .frame_bytes = FRAME_BYTES,
                                           .link = NSP_LINK_ETHERNET,
                                           .virtual_time = true,
                                           .repeat = PACKETS };
    struct nsp_memory *memory;

    if (nsp_memory_create(&cfg, &memory) != 0)
        die("not enough memory");
    for (uint32_t i = 0; i < FRAMES; i++) {
        const struct nsp_memory_frame frame = { .data = frames[i],
                                                .bytes = FRAME_BYTES };

        if (nsp_memory_push_burst(memory, 0, &frame, 1) != 1)
            die("the memory device refuses a frame");
    }
    return memory;
}

static uint64_t
time_engine(void)
{
    const struct nsp_engine_config cfg = { .backend = "memory",
                                           .memory = open_memory() };
    struct nsp_engine *engine;
    struct nsp_stats stats;
    struct nsp_diag diag;
    uint64_t since_ns, spent_ns;

    if (nsp_engine_create(&cfg, &engine, &diag) != NSP_OK ||
        nsp_engine_start(engine, OUR_FILTER, &diag) != NSP_OK)
        die(diag.text);
    since_ns = clock_ns();
    if (nsp_engine_run(engine) != NSP_OK)
        die("the engine's loop failed");
    spent_ns = clock_ns() - since_ns;
    if (nsp_engine_read_stats(engine, &stats) != NSP_OK ||
        stats.matched_pkts != PACKETS || stats.delivered_pkts != PACKETS)
        die("the engine did not pass every packet");
    nsp_engine_destroy(engine);
    nsp_memory_destroy(cfg.memory);
    return spent_ns;
}

/* Bursts over the same packets, as a worker hands them to a stage. */
static uint64_t
time_stage(const struct nsp_filter *filter)
{
    struct nsp_pkt *burst[FRAMES];
    uint64_t since_ns = clock_ns(), matched = 0;

    for (uint32_t i = 0; i < FRAMES; i++)
        burst[i] = &pkts[i];
    for (uint64_t done = 0; done < PACKETS; done += NSP_BURST_MAX) {
        struct nsp_pkt **some = burst + done % FRAMES;

        if (filter)
            matched ^=
                nsp_filter_match_burst(filter, some, NSP_BURST_MAX, NULL);
        else
            nsp_pkt_parse_burst(some, NSP_BURST_MAX);
    }
    if (filter && matched != 0 && matched != UINT64_MAX)
        die("the filter does not match every packet");
    return clock_ns() - since_ns;
}

static uint64_t
time_pcap(const struct bpf_program *program)
{
    struct pcap_pkthdr header = { .caplen = FRAME_BYTES, .len = FRAME_BYTES };
    uint64_t since_ns = clock_ns(), matched = 0;

    for (uint64_t i = 0; i < PACKETS; i++)
        matched +=
            pcap_offline_filter(program, &header, frames[i % FRAMES]) != 0;
    if (matched != PACKETS)
        die("libpcap's filter does not match every packet");
    return clock_ns() - since_ns;
}

static int
compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

int
main(void)
{
    uint64_t spent_ns[FIGURES][ROUNDS];
    struct nsp_filter *filter;
    struct bpf_program program;
    struct nsp_diag diag;
    pcap_t *dead = pcap_open_dead(DLT_EN10MB, FRAME_BYTES);

    if (nsp_filter_compile(OUR_FILTER, NSP_LAYER_NETWORK_FORWARD, NULL, &filter,
                           &diag) != NSP_OK)
        die(diag.text);
    if (!dead ||
        pcap_compile(dead, &program, PCAP_FILTER, 1, PCAP_NETMASK_UNKNOWN) != 0)
        die("libpcap does not compile its filter");
    make_frames();
    for (int round = 0; round < ROUNDS; round++) {
        spent_ns[ENGINE][round] = time_engine();
        spent_ns[PARSE][round] = time_stage(NULL);
        spent_ns[FILTER][round] = time_stage(filter);
        spent_ns[PCAP][round] = time_pcap(&program);
    }
    for (int i = 0; i < FIGURES; i++) {
        double ns;

        qsort(spent_ns[i], ROUNDS, sizeof spent_ns[i][0], compare);
        ns = (double)spent_ns[i][ROUNDS / 2] / (double)PACKETS;
        printf("%s %.3f ns\n", figure_names[i], ns);
    }
    pcap_freecode(&program);
    pcap_close(dead);
    nsp_filter_destroy(filter);
    return 0;
}
