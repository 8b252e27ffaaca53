/* libpcap, which reads back what the device wrote, wants BSD types. */
#define _DEFAULT_SOURCE
#include "tests/lib/capture.h"
#include "tests/lib/failing_alloc.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static struct builder b;

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

TEST(pcapfile_leaves_nothing_behind_when_any_allocation_fails)
{
    const struct nsp_pcapfile_config file = { .in_path = in_path,
                                              .out_path = out_path };
    bool whole = false;

    pcap_begin(&b, false, PCAP_US, 1);
    save(&b, b.used);
    unlink(out_path);
    for (unsigned i = 0; !whole; i++) {
        struct failing_alloc counts = { .fail_at = i };
        const struct nsp_io_config cfg = {
            .device = &file,
            .queues = 1,
            .max_held_pkts = 64,
            .allocator = failing_allocator(&counts),
        };
        struct nsp_io *io = NULL;
        struct nsp_diag diag;
        int result = ops()->open(&cfg, &io, &diag);

        CHECK(i < 20);
        whole = result == NSP_OK;
        CHECK_EQ(result, whole ? NSP_OK : NSP_NO_MEMORY);
        CHECK_EQ(access(out_path, F_OK), whole ? 0 : -1);
        if (whole)
            ops()->close(io);
        CHECK_EQ(atomic_load(&counts.live), 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pcapfile_says_why_it_cannot_open),
        cmocka_unit_test(pcapfile_refuses_garbage_and_unknown_links),
        cmocka_unit_test(pcapfile_refuses_more_than_one_queue),
        cmocka_unit_test(pcapfile_processes_what_can_be_read_of_a_cut_file),
        cmocka_unit_test(
            pcapfile_tells_of_bad_input_only_when_all_packets_are_back),
        cmocka_unit_test(pcapfile_reports_a_disk_that_fills_up_before_close),
        cmocka_unit_test(pcapfile_reads_no_further_when_its_output_fails),
        cmocka_unit_test(
            pcapfile_leaves_nothing_behind_when_any_allocation_fails),
    };

    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
