/* libpcap, which reads back what the device wrote, wants BSD types. */
#define _DEFAULT_SOURCE
#include "tests/lib/capture.h"

#include <errno.h>

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

TEST(pcapfile_gives_packets_ahead_and_sends_each_at_its_time)
{
    struct nsp_pkt *pkts[2];
    bool refused[2] = { false };
    struct nsp_io *io;
    pcap_t *pcap;

    pcap_begin(&b, false, PCAP_US, 1);
    pcap_packet(&b, 1, 0, "x", 1, 1);
    pcap_packet(&b, 2, 0, "y", 1, 1);
    save(&b, b.used);
    io = open_files(out_path);
    CHECK(ops()->caps & NSP_IO_AHEAD_OF_TIME);
    CHECK_EQ(ops()->rx_burst(io, 0, NSP_TIME_NEVER - 1, pkts, 2), 2);
    CHECK_EQ(pkts[0]->arrival_ns, NSP_PCAPFILE_START_NS);
    CHECK_EQ(pkts[1]->arrival_ns, NSP_PCAPFILE_START_NS + SECOND);
    for (uint64_t i = 0; i < 2; i++)
        pkts[i]->timer.due_ns = pkts[i]->arrival_ns + i * SECOND;
    CHECK_EQ(ops()->tx_burst(io, 0, NSP_PCAPFILE_START_NS + 5 * SECOND, pkts, 2,
                             refused),
             0);
    ops()->close(io);
    pcap = read_output();
    check_next(pcap, SECOND, "x", 1, 1);
    check_next(pcap, 3 * SECOND, "y", 1, 1);
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
        cmocka_unit_test(
            pcapfile_gives_packets_ahead_and_sends_each_at_its_time),
        cmocka_unit_test(pcapfile_with_no_packets_ends_at_once),
        cmocka_unit_test(pcapfile_stops_reading_when_quiesced),
        cmocka_unit_test(pcapfile_waits_with_packets_that_find_no_room),
        cmocka_unit_test(
            pcapfile_injects_behind_the_link_header_of_another_packet),
        cmocka_unit_test(pcapfile_probe_names_the_library),
    };

    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
