/* libpcap, the reader that checks what was written, wants BSD types. */
#define _DEFAULT_SOURCE
#include "io/pcapfile/pcapng.h"
#include "netshaper/packet.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <pcap/pcap.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* A file without a name left, so that nothing stays behind. */
static int
temporary_file(void)
{
    char path[] = "/tmp/nsp-test-pcapng-XXXXXX";
    int fd = mkstemp(path);

    CHECK(fd >= 0);
    unlink(path);
    return fd;
}

static pcap_t *
read_back(int fd)
{
    char why[PCAP_ERRBUF_SIZE];
    FILE *stream = fdopen(fd, "rb");
    pcap_t *pcap;

    CHECK(stream != NULL);
    rewind(stream);
    pcap = pcap_fopen_offline_with_tstamp_precision(
        stream, PCAP_TSTAMP_PRECISION_NANO, why);
    CHECK(pcap != NULL);
    return pcap;
}

/* Written out by hand from draft-ietf-opsawg-pcapng-02, sections 4.1 to 4.3. */
TEST(pcapng_writes_the_bytes_that_the_draft_asks_for)
{
    static const uint8_t expected[] = {
        0x0a, 0x0d, 0x0d, 0x0a, 0x30, 0,    0,    0,    /* Section header. */
        0x4d, 0x3c, 0x2b, 0x1a, 1,    0,    0,    0,    /* Magic, 1.0. */
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, /* Any length. */
        4,    0,    9,    0,    'n',  'e',  't',  's',  'h',  'a',  'p',
        'e',  'r',  0,    0,    0,    0,    0,    0,    0,    0x30, 0,
        0,    0,    1,    0,    0,    0,    0x20, 0,    0,    0, /* Interface.
                                                                  */
        101,  0,    0,    0,    0,    0,    4,    0, /* Raw IP, 256 KiB. */
        9,    0,    1,    0,    9,    0,    0,    0, /* Nanoseconds. */
        0,    0,    0,    0,    0x20, 0,    0,    0,    6,    0,    0,
        0,    0x3c, 0,    0,    0, /* Packet. */
        0,    0,    0,    0,    0x04, 0x03, 0x02, 0x01, 0x08, 0x07, 0x06,
        0x05, 5,    0,    0,    0,    0xdc, 5,    0,    0, /* 5 of 1500. */
        1,    2,    3,    4,    5,    0,    0,    0,    2,    0,    4,
        0,    2,    0,    0,    0,                   /* Outbound. */
        1,    0,    2,    0,    'h',  'i',  0,    0, /* Comment. */
        0,    0,    0,    0,    0x3c, 0,    0,    0,
    };
    const struct nsp_pcapng_packet packet = {
        .prefix = (const uint8_t *)"\1\2",
        .prefix_bytes = 2,
        .data = (const uint8_t *)"\3\4\5",
        .data_bytes = 3,
        .wire_bytes = 1500,
        .epoch_ns = UINT64_C(0x0102030405060708),
        .direction = NSP_OUTBOUND,
        .comment = "hi",
    };
    uint8_t got[sizeof expected + 1];
    struct nsp_pcapng *file;
    int fd = temporary_file(), copy = dup(fd);

    CHECK_EQ(nsp_pcapng_create(fd, 101, NULL, &nsp_libc_allocator, &file), 0);
    CHECK_EQ(nsp_pcapng_write(file, &packet), 0);
    CHECK_EQ(nsp_pcapng_finish(file), 0);
    CHECK_EQ(pread(copy, got, sizeof got, 0), sizeof expected);
    CHECK_MEM_EQ(got, expected, sizeof expected);
    close(copy);
}

/* Every padding, the longest packet, and more than one buffer. */
TEST(pcapng_is_read_back_by_libpcap)
{
    static uint8_t data[NSP_PCAPNG_PACKET_BYTES_MAX];
    static const uint32_t sizes[] = {
        0, 1, 2, 3, 4, 1500, 65535, NSP_PCAPNG_PACKET_BYTES_MAX, 7, 262143,
    };
    struct nsp_pcapng *file;
    struct pcap_pkthdr *header;
    const u_char *bytes;
    pcap_t *pcap;
    int fd = temporary_file(), copy = dup(fd);

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    CHECK_EQ(nsp_pcapng_create(fd, 1, NULL, &nsp_libc_allocator, &file), 0);
    for (uint32_t i = 0; i < NSP_ARRAY_LEN(sizes); i++) {
        struct nsp_pcapng_packet packet = {
            .data = data + NSP_PCAPNG_PACKET_BYTES_MAX - sizes[i],
            .data_bytes = sizes[i],
            .wire_bytes = i % 2 ? sizes[i] + 100 : 0,
            .epoch_ns = UINT64_C(1700000000123456789) + i,
            .direction = (uint8_t)(i % 3),
        };

        CHECK_EQ(nsp_pcapng_write(file, &packet), 0);
    }
    CHECK_EQ(nsp_pcapng_finish(file), 0);

    pcap = read_back(copy);
    CHECK_EQ(pcap_datalink(pcap), DLT_EN10MB);
    for (uint32_t i = 0; i < NSP_ARRAY_LEN(sizes); i++) {
        CHECK_EQ(pcap_next_ex(pcap, &header, &bytes), 1);
        CHECK_EQ(header->caplen, sizes[i]);
        CHECK_EQ(header->len, sizes[i] + (i % 2 ? 100 : 0));
        CHECK_EQ(header->ts.tv_sec, 1700000000);
        CHECK_EQ(header->ts.tv_usec, 123456789 + i);
        CHECK_MEM_EQ(bytes, data + NSP_PCAPNG_PACKET_BYTES_MAX - sizes[i],
                     sizes[i]);
    }
    CHECK_EQ(pcap_next_ex(pcap, &header, &bytes), PCAP_ERROR_BREAK);
    pcap_close(pcap);
}

TEST(pcapng_refuses_what_is_too_long_and_goes_on)
{
    static uint8_t data[NSP_PCAPNG_PACKET_BYTES_MAX + 1];
    static char comment[NSP_PCAPNG_COMMENT_BYTES_MAX + 2];
    struct nsp_pcapng_packet packet = { .data = data,
                                        .data_bytes = sizeof data };
    struct nsp_pcapng *file;

    memset(comment, 'x', sizeof comment - 1);
    CHECK_EQ(nsp_pcapng_create(temporary_file(), 1, NULL, &nsp_libc_allocator,
                               &file),
             0);
    CHECK_EQ(nsp_pcapng_write(file, &packet), -EMSGSIZE);
    packet.data_bytes--;
    packet.prefix = data;
    packet.prefix_bytes = 1;
    CHECK_EQ(nsp_pcapng_write(file, &packet), -EMSGSIZE);
    packet.prefix_bytes = UINT32_MAX;
    CHECK_EQ(nsp_pcapng_write(file, &packet), -EMSGSIZE);
    packet.prefix_bytes = 0;
    packet.comment = comment;
    CHECK_EQ(nsp_pcapng_write(file, &packet), -EMSGSIZE);
    comment[sizeof comment - 2] = '\0';
    CHECK_EQ(nsp_pcapng_write(file, &packet), 0);
    CHECK_EQ(nsp_pcapng_status(file), 0);
    CHECK_EQ(nsp_pcapng_finish(file), 0);
}

TEST(pcapng_reports_a_full_device_at_once)
{
    struct nsp_pcapng *file = NULL;
    int fd = open("/dev/full", O_WRONLY);

    CHECK(fd >= 0);
    CHECK_EQ(nsp_pcapng_create(fd, 1, NULL, &nsp_libc_allocator, &file),
             -ENOSPC);
    CHECK(file == NULL);
    close(fd); /* Still ours. */
    CHECK_EQ(nsp_pcapng_finish(NULL), 0);
}

/* Writes 1000-byte packets until the file may grow no further. */
TEST(pcapng_that_outgrows_its_disk_ends_with_a_complete_block)
{
    static const uint8_t data[1000];
    const struct nsp_pcapng_packet packet = { .data = data,
                                              .data_bytes = sizeof data,
                                              .wire_bytes = sizeof data };
    const struct rlimit limit = { .rlim_cur = 700000,
                                  .rlim_max = RLIM_INFINITY };
    struct rlimit before;
    struct pcap_pkthdr *header;
    const u_char *bytes;
    struct nsp_pcapng *file;
    pcap_t *pcap;
    uint32_t written = 0, read = 0;
    int fd = temporary_file(), copy = dup(fd);

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    CHECK_EQ(nsp_pcapng_create(fd, 1, NULL, &nsp_libc_allocator, &file), 0);
    while (nsp_pcapng_write(file, &packet) == 0)
        written++;
    CHECK_EQ(nsp_pcapng_status(file), -EFBIG);
    CHECK_EQ(nsp_pcapng_write(file, &packet), -EFBIG);
    CHECK_EQ(nsp_pcapng_finish(file), -EFBIG);
    setrlimit(RLIMIT_FSIZE, &before);

    pcap = read_back(copy);
    while (pcap_next_ex(pcap, &header, &bytes) == 1)
        read++;
    CHECK_STR_EQ(pcap_geterr(pcap), "");
    /* 1032 bytes a block: the file is full but for a part of one. */
    CHECK_EQ(read, (700000 - 80) / 1032);
    CHECK(read < written);
    pcap_close(pcap);
}

TEST(pcapng_reports_a_reader_that_left)
{
    struct nsp_pcapng_packet packet = { .data = (const uint8_t *)"x",
                                        .data_bytes = 1 };
    struct nsp_pcapng *file;
    int ends[2];

    signal(SIGPIPE, SIG_IGN);
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(nsp_pcapng_create(ends[1], 1, NULL, &nsp_libc_allocator, &file),
             0);
    close(ends[0]);
    CHECK_EQ(nsp_pcapng_write(file, &packet), 0);
    CHECK_EQ(nsp_pcapng_flush(file), -EPIPE);
    CHECK_EQ(nsp_pcapng_finish(file), -EPIPE);
}

static void *
alloc_once(void *context, size_t bytes)
{
    int *left = context;

    return (*left)-- > 0 ? nsp_libc_allocator.alloc(NULL, bytes) : NULL;
}

TEST(pcapng_leaves_the_descriptor_alone_without_memory)
{
    int left;
    struct nsp_allocator allocator = {
        .alloc = alloc_once,
        .release = nsp_libc_allocator.release,
        .context = &left,
    };
    struct nsp_pcapng *file = NULL;
    int fd = temporary_file();

    for (int budget = 0; budget < 2; budget++) {
        left = budget;
        CHECK_EQ(nsp_pcapng_create(fd, 1, NULL, &allocator, &file), -ENOMEM);
    }
    CHECK(file == NULL);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 0);
    CHECK_EQ(close(fd), 0);
}

TEST_MAIN(
    cmocka_unit_test(pcapng_writes_the_bytes_that_the_draft_asks_for),
    cmocka_unit_test(pcapng_is_read_back_by_libpcap),
    cmocka_unit_test(pcapng_refuses_what_is_too_long_and_goes_on),
    cmocka_unit_test(pcapng_reports_a_full_device_at_once),
    cmocka_unit_test(pcapng_that_outgrows_its_disk_ends_with_a_complete_block),
    cmocka_unit_test(pcapng_reports_a_reader_that_left),
    cmocka_unit_test(pcapng_leaves_the_descriptor_alone_without_memory))
