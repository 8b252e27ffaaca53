/* libpcap, which reads back what the device wrote, wants BSD types. */
#define _DEFAULT_SOURCE
#include "io/registry.h"
#include "netshaper/engine.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <pcap/pcap.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECOND NSP_NS_PER_SECOND

/* A capture file written field by field, in either byte order. */
struct builder {
    uint8_t bytes[1 << 20];
    size_t used;
    bool big_endian;
};

static void
put16(struct builder *b, uint16_t value)
{
    b->bytes[b->used++] = (uint8_t)(b->big_endian ? value >> 8 : value);
    b->bytes[b->used++] = (uint8_t)(b->big_endian ? value : value >> 8);
}

static void
put32(struct builder *b, uint32_t value)
{
    put16(b, (uint16_t)(b->big_endian ? value >> 16 : value));
    put16(b, (uint16_t)(b->big_endian ? value : value >> 16));
}

static void
put_bytes(struct builder *b, const void *from, size_t bytes)
{
    memcpy(b->bytes + b->used, from, bytes);
    b->used += bytes;
}

#define PCAP_US 0xa1b2c3d4u
#define PCAP_NS 0xa1b23c4du

static void
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

static void
pcap_packet(struct builder *b, uint32_t seconds, uint32_t fraction,
            const void *data, uint32_t bytes, uint32_t wire_bytes)
{
    put32(b, seconds);
    put32(b, fraction);
    put32(b, bytes);
    put32(b, wire_bytes);
    put_bytes(b, data, bytes);
}

static void
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

static void
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

/* --- The device under test --- */

static char in_path[64], out_path[64];

static int
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

static int
remove_directory(void **state)
{
    unlink(in_path);
    unlink(out_path);
    return rmdir(*state);
}

static void
save(const struct builder *b, size_t bytes)
{
    FILE *file = fopen(in_path, "wb");

    CHECK(file != NULL);
    CHECK_EQ(fwrite(b->bytes, 1, bytes, file), bytes);
    CHECK_EQ(fclose(file), 0);
}

static const struct nsp_io_ops *
ops(void)
{
    return nsp_io_find("pcapfile");
}

static int
open_device(const struct nsp_pcapfile_config *file, struct nsp_io **ret,
            struct nsp_diag *diag)
{
    const struct nsp_io_config cfg = { .device = file,
                                       .queues = 1,
                                       .max_held_pkts = 64 };

    return ops()->open(&cfg, ret, diag);
}

static struct nsp_io *
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
static uint32_t
pass_all(struct nsp_io *io)
{
    struct nsp_pkt *pkts[NSP_BURST_MAX];
    bool refused[NSP_BURST_MAX] = { false };
    uint32_t total = 0;
    uint64_t now_ns;

    while ((now_ns = ops()->next_rx_ns(io, 0)) != NSP_TIME_NEVER) {
        uint32_t n = ops()->rx_burst(io, 0, now_ns, pkts, NSP_BURST_MAX);

        CHECK(n > 0);
        for (uint32_t i = 0; i < n; i++)
            CHECK_EQ(pkts[i]->arrival_ns, now_ns);
        CHECK_EQ(ops()->tx_burst(io, 0, now_ns, pkts, n, refused), 0);
        total += n;
    }
    return total;
}

static pcap_t *
read_output(void)
{
    char why[PCAP_ERRBUF_SIZE];
    pcap_t *pcap = pcap_open_offline_with_tstamp_precision(
        out_path, PCAP_TSTAMP_PRECISION_NANO, why);

    if (!pcap)
        fail_msg("%s", why);
    return pcap;
}

static void
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

static void
check_end(pcap_t *pcap)
{
    struct pcap_pkthdr *header;
    const u_char *got;

    CHECK_EQ(pcap_next_ex(pcap, &header, &got), PCAP_ERROR_BREAK);
    pcap_close(pcap);
}

static struct builder b;

TEST(pcapfile_copies_every_format_byte_order_and_resolution)
{
    static const struct {
        bool ng, big_endian, ns;
        uint32_t fraction_ns; /* Of the second packet. */
    } formats[] = {
        { false, false, false, 999999000 }, { false, true, false, 999999000 },
        { false, false, true, 999999999 },  { false, true, true, 999999999 },
        { true, false, false, 999999000 },  { true, true, false, 999999000 },
        { true, false, true, 999999999 },   { true, true, true, 999999999 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(formats); i++) {
        uint32_t unit = formats[i].ns ? 1 : 1000;
        uint32_t fraction = formats[i].fraction_ns / unit;
        uint64_t epoch_ns = 1700000000 * SECOND;
        struct nsp_io *io;
        pcap_t *pcap;

        if (formats[i].ng) {
            pcapng_begin(&b, formats[i].big_endian, 1, formats[i].ns ? 9 : 6);
            pcapng_packet(&b, epoch_ns / unit, "first", 5, 5);
            pcapng_packet(&b, (epoch_ns + formats[i].fraction_ns) / unit,
                          "second", 6, 1500);
        } else {
            pcap_begin(&b, formats[i].big_endian,
                       formats[i].ns ? PCAP_NS : PCAP_US, 1);
            pcap_packet(&b, 1700000000, 0, "first", 5, 5);
            pcap_packet(&b, 1700000000, fraction, "second", 6, 1500);
        }
        save(&b, b.used);
        io = open_files(out_path);
        CHECK_EQ(pass_all(io), 2);
        CHECK_EQ(ops()->status(io, NULL, 0), 0);
        ops()->close(io);

        pcap = read_output();
        check_next(pcap, epoch_ns, "first", 5, 5);
        check_next(pcap, epoch_ns + formats[i].fraction_ns, "second", 6, 1500);
        check_end(pcap);
    }
}

TEST(pcapfile_knows_each_link_type_and_keeps_it)
{
    static const struct {
        uint16_t in, out;
        uint8_t link;
    } types[] = {
        { 1, 1, NSP_LINK_ETHERNET }, { 0, 0, NSP_LINK_NULL },
        { 108, 108, NSP_LINK_NULL }, { 101, 101, NSP_LINK_RAW },
        { 12, 101, NSP_LINK_RAW },   { 14, 101, NSP_LINK_RAW },
        { 228, 228, NSP_LINK_RAW },  { 229, 229, NSP_LINK_RAW },
        { 113, 113, NSP_LINK_SLL },  { 276, 276, NSP_LINK_SLL2 },
    };
    struct nsp_pkt *pkt;
    uint8_t header[50];

    for (size_t i = 0; i < NSP_ARRAY_LEN(types); i++) {
        struct nsp_io *io;
        FILE *file;

        pcap_begin(&b, false, PCAP_US, types[i].in);
        pcap_packet(&b, 1, 0, "x", 1, 1);
        save(&b, b.used);
        io = open_files(out_path);
        CHECK_EQ(ops()->rx_burst(io, 0, SECOND, &pkt, 1), 1);
        CHECK_EQ(pkt->link, types[i].link);
        ops()->drop_burst(io, 0, &pkt, 1);
        ops()->close(io);

        /* The interface block follows 48 bytes of section header. */
        file = fopen(out_path, "rb");
        CHECK(file != NULL);
        CHECK_EQ(fseek(file, 56, SEEK_SET), 0);
        CHECK_EQ(fread(header, 1, 2, file), 2);
        CHECK_EQ(header[0] | header[1] << 8, types[i].out);
        fclose(file);
    }
}

TEST(pcapfile_takes_the_direction_from_cooked_headers)
{
    static const struct {
        uint8_t type, configured, direction;
    } types[] = {
        { 0, NSP_OUTBOUND, NSP_INBOUND },  { 1, NSP_OUTBOUND, NSP_INBOUND },
        { 2, NSP_OUTBOUND, NSP_INBOUND },  { 4, NSP_INBOUND, NSP_OUTBOUND },
        { 3, NSP_OUTBOUND, NSP_OUTBOUND }, /* To another host. */
        { 3, NSP_INBOUND, NSP_INBOUND },
    };
    struct nsp_pkt *pkt;

    for (size_t i = 0; i < NSP_ARRAY_LEN(types); i++) {
        uint8_t sll[16] = { 0, types[i].type }, sll2[20] = { 0 };
        const struct nsp_pcapfile_config file = { .in_path = in_path,
                                                  .direction =
                                                      types[i].configured };
        struct nsp_io *io;
        struct nsp_diag diag;

        sll2[7] = 42;
        sll2[10] = types[i].type;
        for (int version = 1; version <= 2; version++) {
            pcap_begin(&b, true, PCAP_US, version == 1 ? 113 : 276);
            pcap_packet(&b, 1, 0, version == 1 ? sll : sll2,
                        version == 1 ? 16 : 20, 100);
            save(&b, b.used);
            CHECK_EQ(open_device(&file, &io, &diag), NSP_OK);
            CHECK_EQ(ops()->rx_burst(io, 0, SECOND, &pkt, 1), 1);
            CHECK_EQ(pkt->direction, types[i].direction);
            CHECK_EQ(pkt->in_ifindex + pkt->out_ifindex, version == 1 ? 0 : 42);
            CHECK_EQ(pkt->in_ifindex != 0,
                     version == 2 && types[i].direction == NSP_INBOUND);
            CHECK_EQ(pkt->wire_bytes, 100);
            ops()->drop_burst(io, 0, &pkt, 1);
            ops()->close(io);
        }
    }
}

TEST(pcapfile_lets_no_packet_arrive_before_another)
{
    static const struct {
        uint32_t seconds;
        uint64_t arrival_ns;
    } packets[] = {
        { 100, 1 * SECOND }, { 103, 4 * SECOND }, { 101, 4 * SECOND },
        { 99, 4 * SECOND },  { 104, 5 * SECOND },
    };
    struct nsp_io_stats stats;
    struct nsp_pkt *pkts[8];
    struct nsp_io *io;
    uint32_t n;

    pcap_begin(&b, false, PCAP_US, 1);
    for (size_t i = 0; i < NSP_ARRAY_LEN(packets); i++)
        pcap_packet(&b, packets[i].seconds, 0, "x", 1, 1);
    save(&b, b.used);
    io = open_files(NULL);
    CHECK_EQ(ops()->next_rx_ns(io, 0), 1 * SECOND);
    CHECK_EQ(ops()->rx_burst(io, 0, SECOND - 1, pkts, 8), 0);
    CHECK_EQ(ops()->rx_burst(io, 0, 4 * SECOND, pkts, 8), 4);
    CHECK_EQ(ops()->next_rx_ns(io, 0), 5 * SECOND);
    n = 4 + ops()->rx_burst(io, 0, 9 * SECOND, pkts + 4, 8);
    CHECK_EQ(n, NSP_ARRAY_LEN(packets));
    for (uint32_t i = 0; i < n; i++)
        CHECK_EQ(pkts[i]->arrival_ns, packets[i].arrival_ns);
    CHECK_EQ(ops()->next_rx_ns(io, 0), NSP_TIME_NEVER);
    ops()->read_stats(io, &stats);
    CHECK_EQ(stats.device_errors, 2);
    ops()->drop_burst(io, 0, pkts, n);
    ops()->close(io);
}

TEST(pcapfile_reads_seconds_after_2038)
{
    struct nsp_io *io;
    pcap_t *pcap;

    pcap_begin(&b, false, PCAP_US, 1);
    pcap_packet(&b, 0x7fffffff, 0, "x", 1, 1);
    pcap_packet(&b, 0x80000001, 0, "y", 1, 1);
    save(&b, b.used);
    io = open_files(out_path);
    CHECK_EQ(pass_all(io), 2);
    ops()->close(io);
    pcap = read_output();
    check_next(pcap, UINT64_C(0x7fffffff) * SECOND, "x", 1, 1);
    check_next(pcap, UINT64_C(0x80000001) * SECOND, "y", 1, 1);
    check_end(pcap);
}

TEST(pcapfile_with_no_packets_ends_at_once)
{
    struct nsp_io *io;

    pcap_begin(&b, false, PCAP_US, 1);
    save(&b, b.used);
    io = open_files(out_path);
    CHECK_EQ(ops()->next_rx_ns(io, 0), NSP_TIME_NEVER);
    CHECK_EQ(ops()->status(io, NULL, 0), 0);
    ops()->close(io);
    check_end(read_output());
}

TEST(pcapfile_says_why_it_cannot_open)
{
    static const struct {
        const char *in, *out, *category, *text;
    } cases[] = {
        { "/nowhere/at all", NULL, "open-input",
          "cannot read '/nowhere/at all': No such file or directory" },
        { "/dev/null", NULL, "bad-capture", NULL },
        { in_path, "/nowhere/out", "open-output",
          "cannot write '/nowhere/out': No such file or directory" },
        { in_path, "/dev/full", "write-output",
          "cannot write '/dev/full': No space left on device" },
        { in_path, in_path, "same-file", NULL },
        { NULL, NULL, "no-input", NULL },
    };

    pcap_begin(&b, false, PCAP_US, 1);
    pcap_packet(&b, 1, 0, "x", 1, 1);
    save(&b, b.used);
    for (size_t i = 0; i < NSP_ARRAY_LEN(cases); i++) {
        const struct nsp_pcapfile_config file = { .in_path = cases[i].in,
                                                  .out_path = cases[i].out };
        struct nsp_io *io = NULL;
        struct nsp_diag diag = { 0 };
        struct stat info;

        CHECK(open_device(&file, &io, &diag) < 0);
        CHECK(io == NULL);
        CHECK_STR_EQ(diag.category, cases[i].category);
        if (cases[i].text)
            CHECK_STR_EQ(diag.text, cases[i].text);
        CHECK_EQ(stat(in_path, &info), 0);
        CHECK_EQ((size_t)info.st_size, b.used);
    }
}

TEST(pcapfile_refuses_garbage_and_unknown_links)
{
    static const char garbage[] = "This is no capture file at all.";
    const struct nsp_pcapfile_config file = { .in_path = in_path,
                                              .out_path = out_path };
    struct nsp_io *io = NULL;
    struct nsp_diag diag;

    unlink(out_path);
    b.used = 0;
    put_bytes(&b, garbage, sizeof garbage);
    save(&b, b.used);
    CHECK_EQ(open_device(&file, &io, &diag), NSP_OPEN_FAILED);
    CHECK_STR_EQ(diag.category, "bad-capture");
    CHECK(strstr(diag.text, in_path) != NULL);

    pcap_begin(&b, false, PCAP_US, 105); /* IEEE 802.11. */
    save(&b, b.used);
    CHECK_EQ(open_device(&file, &io, &diag), NSP_OPEN_FAILED);
    CHECK_STR_EQ(diag.category, "unknown-link-type");
    CHECK(strstr(diag.text, "IEEE802_11 (105)") != NULL);
    CHECK_EQ(access(out_path, F_OK), -1); /* Nothing left behind. */
}

TEST(pcapfile_refuses_more_than_one_queue)
{
    const struct nsp_pcapfile_config file = { .in_path = in_path };
    struct nsp_io_config cfg = { .device = &file, .queues = 2 };
    struct nsp_io *io = NULL;
    struct nsp_diag diag;

    CHECK_EQ(ops()->open(&cfg, &io, &diag), NSP_INVALID_PARAMETER);
    CHECK_STR_EQ(diag.category, "bad-queues");
}

/* Cut after every byte: what is whole comes out, then the error is told. */
TEST(pcapfile_processes_what_can_be_read_of_a_cut_file)
{
    for (int ng = 0; ng < 2; ng++) {
        size_t one, two;

        if (ng)
            pcapng_begin(&b, false, 1, 6);
        else
            pcap_begin(&b, false, PCAP_US, 1);
        if (ng)
            pcapng_packet(&b, 1, "abcd", 4, 4);
        else
            pcap_packet(&b, 1, 0, "abcd", 4, 4);
        one = b.used;
        if (ng)
            pcapng_packet(&b, 2, "efgh", 4, 4);
        else
            pcap_packet(&b, 2, 0, "efgh", 4, 4);
        two = b.used;

        for (size_t cut = one; cut <= two; cut++) {
            struct nsp_io *io;
            char text[256];

            save(&b, cut);
            io = open_files(out_path);
            CHECK_EQ(pass_all(io), cut == two ? 2 : 1);
            CHECK_EQ(ops()->status(io, text, sizeof text),
                     cut == one || cut == two ? 0 : -EBADMSG);
            if (cut != one && cut != two) {
                CHECK(strstr(text, in_path) != NULL);
                CHECK(strstr(text, "truncated") != NULL);
            }
            ops()->close(io);
            pcap_close(read_output());
        }
    }
}

TEST(pcapfile_tells_of_bad_input_only_when_all_packets_are_back)
{
    struct nsp_pkt *pkt;
    struct nsp_io *io;

    pcap_begin(&b, false, PCAP_US, 1);
    pcap_packet(&b, 1, 0, "abcd", 4, 4);
    put32(&b, 2);
    save(&b, b.used);
    io = open_files(NULL);
    CHECK_EQ(ops()->rx_burst(io, 0, SECOND, &pkt, 1), 1);
    CHECK_EQ(ops()->status(io, NULL, 0), 0);
    ops()->drop_burst(io, 0, &pkt, 1);
    CHECK_EQ(ops()->status(io, NULL, 0), -EBADMSG);
    ops()->close(io);
}

TEST(pcapfile_stops_reading_when_quiesced)
{
    struct nsp_pkt *pkts[4];
    struct nsp_io *io;

    pcap_begin(&b, false, PCAP_US, 1);
    pcap_packet(&b, 1, 0, "a", 1, 1);
    pcap_packet(&b, 2, 0, "b", 1, 1);
    save(&b, b.used);
    io = open_files(NULL);
    CHECK_EQ(ops()->rx_burst(io, 0, SECOND, pkts, 4), 1);
    ops()->quiesce(io);
    CHECK_EQ(ops()->next_rx_ns(io, 0), NSP_TIME_NEVER);
    CHECK_EQ(ops()->rx_burst(io, 0, 9 * SECOND, pkts + 1, 3), 0);
    CHECK_EQ(pkts[0]->data[0], 'a');
    ops()->drop_burst(io, 0, pkts, 1);
    ops()->close(io);
}

/* More and larger packets than there is room for: each comes once, in order,
 * whole, after others went back. */
TEST(pcapfile_waits_with_packets_that_find_no_room)
{
    enum { COUNT = 300, BYTES = 200000 };
    static uint8_t data[BYTES];
    static struct nsp_pkt *pkts[COUNT];
    struct nsp_io *io;
    FILE *file;
    uint32_t seen = 0, returned = 0, stalls = 0;

    file = fopen(in_path, "wb");
    CHECK(file != NULL);
    pcap_begin(&b, false, PCAP_US, 1);
    CHECK_EQ(fwrite(b.bytes, 1, b.used, file), b.used);
    for (uint32_t i = 0; i < COUNT; i++) {
        b.used = 0;
        pcap_packet(&b, 1, i, "", 0, BYTES);
        b.used -= 8;
        put32(&b, BYTES);
        put32(&b, BYTES);
        CHECK_EQ(fwrite(b.bytes, 1, b.used, file), b.used);
        memset(data, (int)(i & 0xff), sizeof data);
        CHECK_EQ(fwrite(data, 1, BYTES, file), BYTES);
    }
    CHECK_EQ(fclose(file), 0);

    io = open_files(NULL);
    while (returned < COUNT) {
        seen += ops()->rx_burst(io, 0, 2 * SECOND, pkts + seen,
                                nsp_min_u32(COUNT - seen, NSP_BURST_MAX));
        if (seen < COUNT && ops()->next_rx_ns(io, 0) != NSP_TIME_NEVER)
            continue;
        stalls++;
        for (int i = 0; i < 3 && returned < seen; i++, returned++) {
            CHECK_EQ(pkts[returned]->cap_bytes, BYTES);
            CHECK_EQ(pkts[returned]->data[0], returned & 0xff);
            CHECK_EQ(pkts[returned]->data[BYTES - 1], returned & 0xff);
            ops()->drop_burst(io, 0, &pkts[returned], 1);
        }
    }
    CHECK_EQ(seen, COUNT);
    CHECK(stalls > 10);
    CHECK_EQ(ops()->next_rx_ns(io, 0), NSP_TIME_NEVER);
    ops()->close(io);
}

TEST(pcapfile_reports_a_disk_that_fills_up_before_close)
{
    const struct rlimit limit = { .rlim_cur = 4000, .rlim_max = RLIM_INFINITY };
    static uint8_t data[9000];
    struct rlimit before;
    struct nsp_pkt *pkt;
    struct nsp_io *io;
    bool refused = false;
    char text[256];

    pcap_begin(&b, false, PCAP_US, 1);
    pcap_packet(&b, 1, 0, data, sizeof data, sizeof data);
    pcap_packet(&b, 2, 0, data, sizeof data, sizeof data);
    save(&b, b.used);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    setrlimit(RLIMIT_FSIZE, &limit);
    io = open_files(out_path);
    CHECK_EQ(ops()->rx_burst(io, 0, SECOND, &pkt, 1), 1);
    CHECK_EQ(ops()->tx_burst(io, 0, SECOND, &pkt, 1, &refused), 0);
    CHECK_EQ(ops()->rx_burst(io, 0, 2 * SECOND, &pkt, 1), 1);
    CHECK_EQ(ops()->tx_burst(io, 0, 2 * SECOND, &pkt, 1, &refused), 0);
    CHECK_EQ(ops()->status(io, text, sizeof text), -EFBIG);
    CHECK(strstr(text, out_path) != NULL);
    ops()->close(io);
    setrlimit(RLIMIT_FSIZE, &before);
    check_end(read_output());
}

/* 200000 bytes each: the third does not fit the writer's buffer any more. */
TEST(pcapfile_reads_no_further_when_its_output_fails)
{
    const struct rlimit limit = { .rlim_cur = 4000, .rlim_max = RLIM_INFINITY };
    static uint8_t data[200000];
    struct rlimit before;
    struct nsp_pkt *pkt;
    struct nsp_io *io;
    bool refused = false;

    pcap_begin(&b, false, PCAP_US, 1);
    for (uint32_t i = 1; i <= 4; i++)
        pcap_packet(&b, i, 0, data, sizeof data, sizeof data);
    save(&b, b.used);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    io = open_files(out_path);
    for (uint32_t i = 1; i <= 3; i++) {
        CHECK_EQ(ops()->rx_burst(io, 0, i * SECOND, &pkt, 1), 1);
        if (i == 3)
            setrlimit(RLIMIT_FSIZE, &limit);
        CHECK_EQ(ops()->tx_burst(io, 0, i * SECOND, &pkt, 1, &refused), i == 3);
        CHECK_EQ(refused, i == 3);
    }
    setrlimit(RLIMIT_FSIZE, &before);
    CHECK_EQ(ops()->status(io, NULL, 0), -EFBIG);
    CHECK_EQ(ops()->next_rx_ns(io, 0), NSP_TIME_NEVER);
    CHECK_EQ(ops()->rx_burst(io, 0, 9 * SECOND, &pkt, 1), 0);
    ops()->close(io);
    check_end(read_output());
}

TEST(pcapfile_injects_behind_the_link_header_of_another_packet)
{
    static const uint8_t ethernet[] = { 0,  1,  2,  3,  4,  5,    10,
                                        11, 12, 13, 14, 15, 0x08, 0 };
    static const uint8_t turned[] = { 10, 11, 12, 13, 14, 15,   0,
                                      1,  2,  3,  4,  5,  0x86, 0xdd };
    static const uint8_t ipv6[40] = { 0x60 };
    uint8_t frame[34] = { 0 }, expected[54];
    struct nsp_pkt *pkt;
    struct nsp_io *io;
    pcap_t *pcap;

    memcpy(frame, ethernet, sizeof ethernet);
    pcap_begin(&b, false, PCAP_US, 1);
    pcap_packet(&b, 1, 0, frame, sizeof frame, sizeof frame);
    save(&b, b.used);
    io = open_files(out_path);
    CHECK_EQ(ops()->rx_burst(io, 0, SECOND, &pkt, 1), 1);
    CHECK_EQ(ops()->inject(io, 0, 2 * SECOND, ipv6, 40, true, pkt), -EINVAL);
    pkt->l3 = NSP_L3_IPV4;
    pkt->l3_off = 14;
    CHECK_EQ(ops()->inject(io, 0, 2 * SECOND, ipv6, 40, true, pkt), 0);
    ops()->drop_burst(io, 0, &pkt, 1);
    ops()->close(io);

    memcpy(expected, turned, sizeof turned);
    memcpy(expected + sizeof turned, ipv6, sizeof ipv6);
    pcap = read_output();
    check_next(pcap, 2 * SECOND, expected, sizeof expected, sizeof expected);
    check_end(pcap);
}

struct failing {
    int budget, live;
};

static void *
failing_alloc(void *context, size_t bytes)
{
    struct failing *failing = context;

    if (failing->budget-- <= 0)
        return NULL;
    failing->live++;
    return calloc(1, bytes);
}

static void
failing_release(void *context, void *memory)
{
    struct failing *failing = context;

    failing->live--;
    free(memory);
}

TEST(pcapfile_leaves_nothing_behind_when_any_allocation_fails)
{
    const struct nsp_pcapfile_config file = { .in_path = in_path,
                                              .out_path = out_path };
    struct failing failing = { 0 };
    const struct nsp_io_config cfg = {
        .device = &file,
        .queues = 1,
        .max_held_pkts = 64,
        .allocator = { .alloc = failing_alloc,
                       .release = failing_release,
                       .context = &failing },
    };
    struct nsp_io *io = NULL;
    struct nsp_diag diag;
    int result = NSP_NO_MEMORY;

    pcap_begin(&b, false, PCAP_US, 1);
    save(&b, b.used);
    unlink(out_path);
    for (int budget = 0; result == NSP_NO_MEMORY; budget++) {
        CHECK(budget < 20);
        failing.budget = budget;
        result = ops()->open(&cfg, &io, &diag);
        if (result == NSP_NO_MEMORY) {
            CHECK_EQ(failing.live, 0);
            CHECK_EQ(access(out_path, F_OK), -1);
        }
    }
    CHECK_EQ(result, NSP_OK);
    ops()->close(io);
    CHECK_EQ(failing.live, 0);
}

static void
store_item(void *context, const struct nsp_probe_item *item)
{
    *(struct nsp_probe_item *)context = *item;
}

TEST(pcapfile_probe_names_the_library)
{
    struct nsp_probe_item item = { 0 };

    ops()->probe(store_item, &item);
    CHECK_EQ(item.state, NSP_PROBE_OK);
    CHECK(strstr(item.detail, "libpcap") != NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            pcapfile_copies_every_format_byte_order_and_resolution),
        cmocka_unit_test(pcapfile_knows_each_link_type_and_keeps_it),
        cmocka_unit_test(pcapfile_takes_the_direction_from_cooked_headers),
        cmocka_unit_test(pcapfile_lets_no_packet_arrive_before_another),
        cmocka_unit_test(pcapfile_reads_seconds_after_2038),
        cmocka_unit_test(pcapfile_with_no_packets_ends_at_once),
        cmocka_unit_test(pcapfile_says_why_it_cannot_open),
        cmocka_unit_test(pcapfile_refuses_garbage_and_unknown_links),
        cmocka_unit_test(pcapfile_refuses_more_than_one_queue),
        cmocka_unit_test(pcapfile_processes_what_can_be_read_of_a_cut_file),
        cmocka_unit_test(
            pcapfile_tells_of_bad_input_only_when_all_packets_are_back),
        cmocka_unit_test(pcapfile_stops_reading_when_quiesced),
        cmocka_unit_test(pcapfile_waits_with_packets_that_find_no_room),
        cmocka_unit_test(pcapfile_reports_a_disk_that_fills_up_before_close),
        cmocka_unit_test(pcapfile_reads_no_further_when_its_output_fails),
        cmocka_unit_test(
            pcapfile_injects_behind_the_link_header_of_another_packet),
        cmocka_unit_test(
            pcapfile_leaves_nothing_behind_when_any_allocation_fails),
        cmocka_unit_test(pcapfile_probe_names_the_library),
    };

    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
