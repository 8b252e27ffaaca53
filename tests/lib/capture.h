#ifndef NSP_TESTS_LIB_CAPTURE_H
#define NSP_TESTS_LIB_CAPTURE_H
/* Capture files made by hand, and the pcapfile device between two of them. For
 * tests that define _DEFAULT_SOURCE, as libpcap wants BSD types. */
#include "io/registry.h"
#include "netshaper/engine.h"
#include "tests/lib/test.h"

#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND NSP_NS_PER_SECOND

/* A capture file written field by field, in either byte order. */
struct builder {
    uint8_t bytes[1 << 20];
    size_t used;
    bool big_endian;
};

static inline void
put16(struct builder *b, uint16_t value)
{
    b->bytes[b->used++] = (uint8_t)(b->big_endian ? value >> 8 : value);
    b->bytes[b->used++] = (uint8_t)(b->big_endian ? value : value >> 8);
}

static inline void
put32(struct builder *b, uint32_t value)
{
    put16(b, (uint16_t)(b->big_endian ? value >> 16 : value));
    put16(b, (uint16_t)(b->big_endian ? value : value >> 16));
}

static inline void
put_bytes(struct builder *b, const void *from, size_t bytes)
{
    memcpy(b->bytes + b->used, from, bytes);
    b->used += bytes;
}

#define PCAP_US 0xa1b2c3d4u
#define PCAP_NS 0xa1b23c4du

static inline void
pcap_begin(struct builder *b, bool big_endian, uint32_t magic,
           uint32_t linktype)
{
    b->used = 0;
    b->big_endian = big_endian;
    put32(b, magic);
    put16(b, 2);
    put16(b, 4);
    put32(b, 0);
    put32(b, 0);
    put32(b, 262144);
    put32(b, linktype);
}

static inline void
pcap_packet(struct builder *b, uint32_t seconds, uint32_t fraction,
            const void *data, uint32_t bytes, uint32_t wire_bytes)
{
    put32(b, seconds);
    put32(b, fraction);
    put32(b, bytes);
    put32(b, wire_bytes);
    put_bytes(b, data, bytes);
}

static inline void
pcapng_begin(struct builder *b, bool big_endian, uint16_t linktype,
             uint8_t resolution)
{
    b->used = 0;
    b->big_endian = big_endian;
    put32(b, 0x0a0d0d0a);
    put32(b, 28);
    put32(b, 0x1a2b3c4d);
    put16(b, 1);
    put16(b, 0);
    put32(b, UINT32_MAX);
    put32(b, UINT32_MAX);
    put32(b, 28);
    put32(b, 1);
    put32(b, 32);
    put16(b, linktype);
    put16(b, 0);
    put32(b, 262144);
    put16(b, 9);
    put16(b, 1);
    put_bytes(b, (const uint8_t[]){ resolution, 0, 0, 0 }, 4);
    put32(b, 0);
    put32(b, 32);
}

static inline void
pcapng_packet(struct builder *b, uint64_t ticks, const void *data,
              uint32_t bytes, uint32_t wire_bytes)
{
    uint32_t padded = (bytes + 3) & ~3u;

    put32(b, 6);
    put32(b, 32 + padded);
    put32(b, 0);
    put32(b, (uint32_t)(ticks >> 32));
    put32(b, (uint32_t)ticks);
    put32(b, bytes);
    put32(b, wire_bytes);
    put_bytes(b, data, bytes);
    put_bytes(b, "\0\0\0", padded - bytes);
    put32(b, 32 + padded);
}

/* --- The device under test, between two files of a directory of its own --- */

static char in_path[64], out_path[64];

static inline int
make_directory(void **state)
{
    static char directory[] = "/tmp/nsp-test-pcapfile-XXXXXX";

    if (!mkdtemp(directory))
        return -1;
    snprintf(in_path, sizeof in_path, "%s/in", directory);
    snprintf(out_path, sizeof out_path, "%s/out", directory);
    *state = directory;
    return 0;
}

static inline int
remove_directory(void **state)
{
    unlink(in_path);
    unlink(out_path);
    return rmdir(*state);
}

static inline void
save(const struct builder *b, size_t bytes)
{
    FILE *file = fopen(in_path, "wb");

    CHECK(file != NULL);
    CHECK_EQ(fwrite(b->bytes, 1, bytes, file), bytes);
    CHECK_EQ(fclose(file), 0);
}

static inline const struct nsp_io_ops *
ops(void)
{
    return nsp_io_find("pcapfile");
}

static inline int
open_device(const struct nsp_pcapfile_config *file, struct nsp_io **ret,
            struct nsp_diag *diag)
{
    const struct nsp_io_config cfg = { .device = file,
                                       .queues = 1,
                                       .max_held_pkts = 64 };

    return ops()->open(&cfg, ret, diag);
}

static inline struct nsp_io *
open_files(const char *out)
{
    const struct nsp_pcapfile_config file = { .in_path = in_path,
                                              .out_path = out };
    struct nsp_io *io = NULL;
    struct nsp_diag diag = { 0 };

    if (open_device(&file, &io, &diag) != NSP_OK)
        fail_msg("%s", diag.text);
    return io;
}

/* Sends everything on at its arrival; returns how many. */
static inline uint32_t
pass_all(struct nsp_io *io)
{
    struct nsp_pkt *pkts[NSP_BURST_MAX];
    bool refused[NSP_BURST_MAX] = { false };
    uint32_t total = 0;
    uint64_t now_ns;

    while ((now_ns = ops()->next_rx_ns(io, 0)) != NSP_TIME_NEVER) {
        uint32_t n = ops()->rx_burst(io, 0, now_ns, pkts, NSP_BURST_MAX);

        CHECK(n > 0);
        for (uint32_t i = 0; i < n; i++) {
            CHECK_EQ(pkts[i]->arrival_ns, now_ns);
            pkts[i]->timer.due_ns = now_ns;
        }
        CHECK_EQ(ops()->tx_burst(io, 0, now_ns, pkts, n, refused), 0);
        total += n;
    }
    return total;
}

static inline pcap_t *
read_output(void)
{
    char why[PCAP_ERRBUF_SIZE];
    pcap_t *pcap = pcap_open_offline_with_tstamp_precision(
        out_path, PCAP_TSTAMP_PRECISION_NANO, why);

    if (!pcap)
        fail_msg("%s", why);
    return pcap;
}

static inline void
check_next(pcap_t *pcap, uint64_t epoch_ns, const void *data, uint32_t bytes,
           uint32_t wire_bytes)
{
    struct pcap_pkthdr *header;
    const u_char *got;

    CHECK_EQ(pcap_next_ex(pcap, &header, &got), 1);
    CHECK_EQ((uint64_t)header->ts.tv_sec * SECOND +
                 (uint64_t)header->ts.tv_usec,
             epoch_ns);
    CHECK_EQ(header->caplen, bytes);
    CHECK_EQ(header->len, wire_bytes);
    CHECK_MEM_EQ(got, data, bytes);
}

static inline void
check_end(pcap_t *pcap)
{
    struct pcap_pkthdr *header;
    const u_char *got;

    CHECK_EQ(pcap_next_ex(pcap, &header, &got), PCAP_ERROR_BREAK);
    pcap_close(pcap);
}

#endif /* NSP_TESTS_LIB_CAPTURE_H */
