/* libpcap, the reader that checks what was written, wants BSD types. */
#define _DEFAULT_SOURCE
#include "netshaper/capture.h"
#include "netshaper/packet.h"
#include "tests/lib/test.h"

#include <pcap/pcap.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EPOCH UINT64_C(1700000000000000000)

static char path[64];

static int
make_path(void **state)
{
    int fd;

    (void)state;
    snprintf(path, sizeof path, "/tmp/nsp-test-capture-XXXXXX");
    fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int
remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

static struct nsp_capture *
open_capture(const char *name)
{
    const struct nsp_capture_config cfg = { .path = name,
                                            .link = NSP_LINK_RAW,
                                            .epoch_offset_ns = EPOCH };
    struct nsp_capture *capture = NULL;
    struct nsp_diag diag;

    if (nsp_capture_open(&cfg, &capture, &diag) != NSP_OK)
        fail_msg("%s", diag.text);
    return capture;
}

static struct nsp_event
event_of(const void *data, uint32_t bytes, uint64_t at_ns)
{
    return (struct nsp_event){
        .kind = NSP_EVENT_CAPTURE,
        .direction = NSP_INBOUND,
        .link = NSP_LINK_RAW,
        .wire_bytes = bytes + 10,
        .cap_bytes = bytes,
        .at_ns = at_ns,
        .rule = "web",
        .data = data,
    };
}

static bool
file_contains(const char *text)
{
    char bytes[4096];
    FILE *file = fopen(path, "rb");
    size_t n;
    bool found = false;

    CHECK(file != NULL);
    n = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    for (size_t i = 0; i + strlen(text) <= n && !found; i++)
        found = memcmp(bytes + i, text, strlen(text)) == 0;
    return found;
}

TEST(capture_is_read_back_by_libpcap)
{
    struct nsp_capture *capture = open_capture(path);
    struct nsp_event events[] = { event_of("abcd", 4, 5),
                                  event_of("xyz", 3, 1000000007) };
    char why[PCAP_ERRBUF_SIZE];
    struct pcap_pkthdr *header;
    const u_char *bytes;
    pcap_t *pcap;

    for (int i = 0; i < 2; i++)
        CHECK_EQ(nsp_capture_write(capture, &events[i], NULL), NSP_OK);
    CHECK_EQ(nsp_capture_flush(capture, NULL), NSP_OK);
    pcap = pcap_open_offline_with_tstamp_precision(
        path, PCAP_TSTAMP_PRECISION_NANO, why); /* Before it is closed. */
    CHECK(pcap != NULL);
    CHECK_EQ(pcap_datalink(pcap), DLT_RAW);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(pcap_next_ex(pcap, &header, &bytes), 1);
        CHECK_EQ(header->caplen, events[i].cap_bytes);
        CHECK_EQ(header->len, events[i].wire_bytes);
        CHECK_EQ(header->ts.tv_sec, 1700000000 + i);
        CHECK_EQ(header->ts.tv_usec, i == 0 ? 5 : 7);
        CHECK_MEM_EQ(bytes, events[i].data, header->caplen);
    }
    CHECK_EQ(pcap_next_ex(pcap, &header, &bytes), PCAP_ERROR_BREAK);
    pcap_close(pcap);
    CHECK_EQ(nsp_capture_close(capture, NULL), NSP_OK);
    CHECK(file_contains("rule=web"));
}

/* Block type 1, 32 bytes, Ethernet; then packets of interface 1. */
TEST(capture_gives_each_link_type_an_interface)
{
    static const char interface[] = "\1\0\0\0\x20\0\0\0\1\0";
    struct nsp_capture *capture = open_capture(path);
    struct nsp_event raw = event_of("abcd", 4, 5), ethernet = raw;
    uint8_t bytes[1024];
    uint32_t interfaces = 0, of_packet[3], packets = 0;
    size_t n;
    FILE *file;

    ethernet.link = NSP_LINK_ETHERNET;
    CHECK_EQ(nsp_capture_write(capture, &ethernet, NULL), NSP_OK);
    CHECK_EQ(nsp_capture_write(capture, &raw, NULL), NSP_OK);
    CHECK_EQ(nsp_capture_write(capture, &ethernet, NULL), NSP_OK);
    CHECK_EQ(nsp_capture_close(capture, NULL), NSP_OK);

    file = fopen(path, "rb");
    CHECK(file != NULL);
    n = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    for (size_t at = 0; at < n;) {
        uint32_t block[3];

        memcpy(block, bytes + at, sizeof block); /* On little-endian hosts. */
        if (block[0] == 1 && interfaces++ == 1)
            CHECK_MEM_EQ(bytes + at, interface, sizeof interface - 1);
        if (block[0] == 6)
            of_packet[packets++] = block[2];
        at += block[1];
    }
    CHECK_EQ(interfaces, 2);
    CHECK_EQ(packets, 3);
    CHECK_EQ(of_packet[0], 1);
    CHECK_EQ(of_packet[1], 0);
    CHECK_EQ(of_packet[2], 1);
}

/* Each of a file's interfaces has the name, and libpcap reads on. */
TEST(capture_names_the_interface)
{
    static const char option[] = "\2\0\3\0eth\0";
    struct nsp_capture_config cfg = { .path = path, .interface = "eth" };
    struct nsp_capture *capture = NULL;
    struct nsp_event event = event_of("abcd", 4, 5);
    char bytes[1024], why[PCAP_ERRBUF_SIZE];
    uint32_t names = 0;
    pcap_t *pcap;
    FILE *file;
    size_t n;

    CHECK_EQ(nsp_capture_open(&cfg, &capture, NULL), NSP_OK);
    CHECK_EQ(nsp_capture_write(capture, &event, NULL), NSP_OK);
    event.link = NSP_LINK_ETHERNET;
    CHECK_EQ(nsp_capture_write(capture, &event, NULL), NSP_OK);
    CHECK_EQ(nsp_capture_close(capture, NULL), NSP_OK);
    file = fopen(path, "rb");
    CHECK(file != NULL);
    n = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    for (size_t i = 0; i + sizeof option - 1 <= n; i++)
        names += memcmp(bytes + i, option, sizeof option - 1) == 0;
    CHECK_EQ(names, 2);
    pcap = pcap_open_offline(path, why);
    CHECK(pcap != NULL);
    pcap_close(pcap);
}

TEST(capture_on_a_full_disk_ends_and_says_so)
{
    struct nsp_capture_config cfg = { .path = "/dev/full" };
    struct nsp_capture *capture;
    struct nsp_diag diag;

    if (access("/dev/full", W_OK) < 0)
        SKIP("no /dev/full");
    CHECK_EQ(nsp_capture_open(&cfg, &capture, &diag), NSP_OPEN_FAILED);
    CHECK(strstr(diag.text, "No space left on device") != NULL);
    CHECK(strstr(diag.text, "/dev/full") != NULL);
    cfg.path = "/nowhere/at/all";
    CHECK_EQ(nsp_capture_open(&cfg, &capture, &diag), NSP_OPEN_FAILED);
    CHECK(strstr(diag.hint, "make the folder first") != NULL);
    cfg.path = "/tmp";
    CHECK_EQ(nsp_capture_open(&cfg, &capture, &diag), NSP_OPEN_FAILED);
    CHECK(strstr(diag.hint, "folder: name a file in it") != NULL);
}

/* A pipe that nobody reads any more is as good as a full disk. */
TEST(capture_that_failed_stays_failed)
{
    char name[64];
    struct nsp_capture *capture;
    struct nsp_event event = event_of("abcd", 4, 5);
    struct nsp_capture_totals totals;
    struct nsp_diag diag;
    int ends[2];

    CHECK_EQ(pipe(ends), 0);
    snprintf(name, sizeof name, "/proc/self/fd/%d", ends[1]);
    capture = open_capture(name);
    close(ends[0]);
    signal(SIGPIPE, SIG_IGN);
    CHECK_EQ(nsp_capture_write(capture, &event, &diag), NSP_OK);
    nsp_capture_read_totals(capture, &totals);
    CHECK_EQ(totals.pkts, 1);
    CHECK_EQ(totals.bytes, event.wire_bytes);
    CHECK_EQ(nsp_capture_flush(capture, &diag), NSP_ABORTED);
    nsp_capture_read_totals(capture, &totals);
    CHECK_EQ(totals.pkts, 0);
    CHECK_EQ(totals.bytes, 0);
    CHECK(strstr(diag.text, "ends here") != NULL);
    CHECK_EQ(totals.lost_pkts, 1);
    CHECK_EQ(nsp_capture_write(capture, &event, &diag), NSP_ABORTED);
    nsp_capture_read_totals(capture, &totals);
    CHECK_EQ(totals.lost_pkts, 2);
    CHECK_EQ(nsp_capture_close(capture, &diag), NSP_ABORTED);
    close(ends[1]);
}

TEST(capture_refuses_what_no_file_has_and_goes_on)
{
    struct nsp_capture *capture = open_capture(path);
    struct nsp_event event = event_of("abcd", 4, 5);
    struct nsp_diag diag;

    event.link = 99;
    CHECK_EQ(nsp_capture_write(capture, &event, &diag), NSP_INVALID_PARAMETER);
    event.link = NSP_LINK_RAW;
    CHECK_EQ(nsp_capture_write(capture, &event, &diag), NSP_OK);
    CHECK_EQ(nsp_capture_close(capture, &diag), NSP_OK);
    CHECK_EQ(nsp_capture_close(NULL, &diag), NSP_OK);
    CHECK_EQ(nsp_capture_open(NULL, &capture, &diag), NSP_INVALID_PARAMETER);
}

/* --- Rotation ------------------------------------------------------------- */

static char folder[] = "/tmp/nsp-test-rotation-XXXXXX";

static int
make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int
remove_folder(void **state)
{
    char name[128];

    (void)state;
    for (int i = 1; i < 10; i++) {
        snprintf(name, sizeof name, "%s/a.b-0000%d.pcapng", folder, i);
        (void)unlink(name);
    }
    (void)rmdir(folder);
    memcpy(folder + sizeof folder - 7, "XXXXXX", 6); /* For the next one. */
    return 0;
}

/* The packets in file 'number', their first bytes one after the other; NULL
 * when there is no such file. */
static const char *
packets_of(int number)
{
    static char found[64];
    struct pcap_pkthdr *header;
    char name[128], why[PCAP_ERRBUF_SIZE];
    const u_char *bytes;
    size_t n = 0;
    pcap_t *pcap;

    snprintf(name, sizeof name, "%s/a.b-%05d.pcapng", folder, number);
    pcap = pcap_open_offline(name, why);
    if (!pcap)
        return NULL;
    while (pcap_next_ex(pcap, &header, &bytes) == 1)
        found[n++] = (char)bytes[0];
    found[n] = '\0';
    pcap_close(pcap);
    return found;
}

/* Writes packets "a", "b" and so on, of 400 bytes, 10 ns apart. */
static uint32_t
write_letters(struct nsp_capture_config cfg, int count)
{
    char name[128], data[400] = { 0 };
    struct nsp_capture *capture;
    struct nsp_diag diag;
    uint32_t files;

    snprintf(name, sizeof name, "%s/a.b.pcapng", folder);
    cfg.path = name;
    cfg.link = NSP_LINK_RAW;
    CHECK_EQ(nsp_capture_open(&cfg, &capture, &diag), NSP_OK);
    for (int i = 0; i < count; i++) {
        struct nsp_event event =
            event_of(data, sizeof data, 100 + 10 * (uint64_t)i);

        data[0] = (char)('a' + i);
        CHECK_EQ(nsp_capture_write(capture, &event, &diag), NSP_OK);
    }
    files = nsp_capture_count_files(capture);
    CHECK_EQ(nsp_capture_close(capture, &diag), NSP_OK);
    return files;
}

/* Each file holds what takes it to 1000 bytes: headers and three packets. */
TEST(capture_goes_on_in_another_file_once_one_is_long)
{
    const struct nsp_capture_config cfg = { .rotate_bytes = 1000,
                                            .comment = "" };

    CHECK_EQ(write_letters(cfg, 5), 2);
    CHECK_STR_EQ(packets_of(1), "abc");
    CHECK_STR_EQ(packets_of(2), "de");
    CHECK(packets_of(3) == NULL);
}

TEST(capture_goes_on_in_another_file_after_a_time)
{
    const struct nsp_capture_config cfg = { .rotate_ns = 20 };

    CHECK_EQ(write_letters(cfg, 5), 3);
    CHECK_STR_EQ(packets_of(1), "ab");
    CHECK_STR_EQ(packets_of(2), "cd");
    CHECK_STR_EQ(packets_of(3), "e");
}

TEST(capture_begins_anew_with_the_first_of_its_files)
{
    const struct nsp_capture_config cfg = { .rotate_ns = 20, .max_files = 2 };

    CHECK_EQ(write_letters(cfg, 9), 5);
    CHECK_STR_EQ(packets_of(1), "i");
    CHECK_STR_EQ(packets_of(2), "gh");
    CHECK(packets_of(3) == NULL);
}

TEST(capture_gives_packets_the_comment_that_was_asked_for)
{
    const struct nsp_event event = event_of("abcd", 4, 5);
    struct nsp_capture_config cfg = { .path = path, .comment = "so it is" };
    char comment[NSP_CAPTURE_COMMENT_MAX + 2];
    struct nsp_capture *capture;
    struct nsp_diag diag;

    CHECK_EQ(nsp_capture_open(&cfg, &capture, &diag), NSP_OK);
    CHECK_EQ(nsp_capture_write(capture, &event, &diag), NSP_OK);
    CHECK_EQ(nsp_capture_close(capture, &diag), NSP_OK);
    CHECK(file_contains("so it is"));
    CHECK(!file_contains("rule="));

    memset(comment, 'x', sizeof comment - 1);
    comment[sizeof comment - 1] = '\0';
    cfg.comment = comment;
    CHECK_EQ(nsp_capture_open(&cfg, &capture, &diag), NSP_INVALID_PARAMETER);
    CHECK_STR_EQ(diag.category, "long-comment");
    cfg = (struct nsp_capture_config){ .path = "-", .rotate_bytes = 1 };
    CHECK_EQ(nsp_capture_open(&cfg, &capture, &diag), NSP_INVALID_PARAMETER);
    CHECK_STR_EQ(diag.category, "rotate-stream");
    cfg = (struct nsp_capture_config){ .path = path, .max_files = 3 };
    CHECK_EQ(nsp_capture_open(&cfg, &capture, &diag), NSP_INVALID_PARAMETER);
    CHECK_STR_EQ(diag.category, "bad-files");
}

#define rotation_test(f)                                                       \
    cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capture_is_read_back_by_libpcap),
        cmocka_unit_test(capture_gives_each_link_type_an_interface),
        cmocka_unit_test(capture_names_the_interface),
        cmocka_unit_test(capture_on_a_full_disk_ends_and_says_so),
        cmocka_unit_test(capture_that_failed_stays_failed),
        cmocka_unit_test(capture_refuses_what_no_file_has_and_goes_on),
        cmocka_unit_test(capture_gives_packets_the_comment_that_was_asked_for),
        rotation_test(capture_goes_on_in_another_file_once_one_is_long),
        rotation_test(capture_goes_on_in_another_file_after_a_time),
        rotation_test(capture_begins_anew_with_the_first_of_its_files),
    };

    return cmocka_run_group_tests(tests, make_path, remove_path);
}
