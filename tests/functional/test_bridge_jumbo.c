#define _GNU_SOURCE
/* The bridge device with frames that fit no page. */
#include "tests/functional/bridge_fixture.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define MTU           9000
#define PAYLOAD_BYTES 8900u

/* Of a bind() in a kernel that has frames in one piece alone: Linux before
 * 6.6. */
#define IN_PIECES (1u << 4)

static bool is_old_kernel;

int __real_bind(int fd, const struct sockaddr *address, socklen_t bytes);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t bytes);

int
__wrap_bind(int fd, const struct sockaddr *address, socklen_t bytes)
{
    struct sockaddr_xdp xdp;

    if (is_old_kernel && address->sa_family == AF_XDP) {
        memcpy(&xdp, address, sizeof xdp);
        if (xdp.sxdp_flags & IN_PIECES) {
            errno = EINVAL;
            return -1;
        }
    }
    return __real_bind(fd, address, bytes);
}

static void
set_mtu(enum nsp_lab_host host, const char *name, int mtu)
{
    int fd = nsp_lab_socket(lab, host, AF_INET, SOCK_DGRAM);
    struct ifreq ifr = { .ifr_mtu = mtu };

    CHECK(fd >= 0);
    strcpy(ifr.ifr_name, name);
    CHECK_EQ(ioctl(fd, SIOCSIFMTU, &ifr), 0);
    close(fd);
}

static void
set_mtus(int mtu)
{
    set_mtu(NSP_LAB_CLIENT, "eth0", mtu);
    set_mtu(NSP_LAB_SERVER, "eth0", mtu);
    set_mtu(NSP_LAB_ROUTER, "client0", mtu);
    set_mtu(NSP_LAB_ROUTER, "server0", mtu);
}

/* Other tests have hosts with the usual one. */
static int
end_jumbo_test(void **state)
{
    int result = wire_end_test(state);

    is_old_kernel = false;
    if (lab)
        set_mtus(1500);
    return result;
}
#define JUMBO_TEST(name) cmocka_unit_test_teardown(name, end_jumbo_test)

static struct nsp_io_config
begin_jumbo(int mtu)
{
    struct nsp_io_config cfg = wire_begin();

    set_mtus(mtu);
    return cfg;
}

static uint64_t
kernel_dropped(void)
{
    struct nsp_io_stats stats;

    nsp_bridge_ops.read_stats(wire_device, &stats);
    return stats.kernel_dropped_pkts;
}

/* Frames of all kinds, large and small by turns, whose checksum is left to
 * others: it is completed here or by the interface that sends. */
static void
check_frames_cross(bool complete_checksums)
{
    struct nsp_io_config cfg = begin_jumbo(MTU);

    wire_bridge.complete_checksums = complete_checksums;
    wire_open(&cfg);
    for (uint32_t i = 0; i < 4 * WIRE_KINDS; i++) {
        const struct wire_kind *kind = &wire_kinds[i % WIRE_KINDS];
        const size_t payload_bytes = i % 3 == 0 ? 10 : PAYLOAD_BYTES - 7 * i;
        const int from = i % 2;
        struct wire_frame partial, complete, heard;
        struct nsp_pkt *pkt;

        wire_build_ip(&partial, kind, payload_bytes, true);
        wire_build_ip(&complete, kind, payload_bytes, false);
        wire_put(from, &partial);
        wire_receive(&pkt, 1);
        CHECK_EQ(pkt->cap_bytes, partial.length);
        CHECK_MEM_EQ(pkt->data, partial.bytes, partial.length);
        CHECK_EQ(wire_send_all(&pkt, 1), 0);
        wire_hear(!from, &heard);
        CHECK_EQ(heard.length, partial.length);
        if (heard.vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
            CHECK_MEM_EQ(heard.bytes, partial.bytes, partial.length);
        else
            CHECK_MEM_EQ(heard.bytes, complete.bytes, complete.length);
    }
}

TEST(jumbo_frames_cross_whole_with_checksums_of_the_interface)
{
    check_frames_cross(false);
}

TEST(jumbo_frames_cross_whole_with_checksums_of_software)
{
    check_frames_cross(true);
}

TEST(jumbo_frames_are_injected)
{
    struct nsp_io_config cfg = begin_jumbo(MTU);
    struct wire_frame sent, made, heard;
    struct nsp_pkt *pkt;

    wire_open(&cfg);
    wire_build_ip(&sent, &wire_kinds[0], 5, false);
    wire_build_ip(&made, &wire_kinds[1], PAYLOAD_BYTES, false);
    wire_put(0, &sent);
    wire_receive(&pkt, 1);
    nsp_pkt_parse(pkt);
    CHECK_EQ(nsp_bridge_ops.inject(
                 wire_device, 0, wire_now_ns(), made.bytes + ETH_HLEN,
                 (uint32_t)made.length - ETH_HLEN, false, pkt),
             0);
    wire_hear(1, &heard);
    CHECK_EQ(heard.length, made.length);
    CHECK_MEM_EQ(heard.bytes + ETH_HLEN, made.bytes + ETH_HLEN,
                 made.length - ETH_HLEN);
    nsp_bridge_ops.drop_burst(wire_device, 0, &pkt, 1);
}

/* As much is held as there is room for. Nothing is read then, not even small
 * frames; the kernel keeps a ring full, and counts the rest. */
TEST(jumbo_frames_find_their_room_again)
{
    struct nsp_io_config cfg = begin_jumbo(MTU);
    struct nsp_pkt **pkts, *one;
    struct wire_frame frame;
    uint32_t held = 0, count = 1;
    uint64_t before;

    cfg.max_held_pkts = 4096;
    pkts = calloc(cfg.max_held_pkts, sizeof *pkts);
    CHECK(pkts != NULL);
    wire_open(&cfg);
    before = kernel_dropped();
    wire_build_ip(&frame, &wire_kinds[1], PAYLOAD_BYTES, false);
    while (count > 0 || kernel_dropped() == before) {
        wire_put(0, &frame);
        count = nsp_bridge_ops.rx_burst(wire_device, 0, wire_now_ns(),
                                        pkts + held, 1);
        held += count;
        CHECK(held < cfg.max_held_pkts);
    }
    wire_build_plain(&frame, 1);
    wire_put(0, &frame);
    CHECK_EQ(nsp_bridge_ops.rx_burst(wire_device, 0, wire_now_ns(), &one, 1),
             0);
    for (uint32_t i = 0; i < held; i++)
        nsp_bridge_ops.drop_burst(wire_device, 0, &pkts[i], 1);
    /* With room, what waits wakes. */
    CHECK_EQ(nsp_bridge_ops.wait(wire_device, 0, NSP_TIME_NEVER), 0);
    for (unsigned i = 0; i < 2 * held; i++) {
        wire_receive(&one, 1); /* What waited, then what comes. */
        CHECK_EQ(wire_send_all(&one, 1), 0);
        wire_build_ip(&frame, &wire_kinds[1], PAYLOAD_BYTES, false);
        wire_put(0, &frame);
    }
    free(pkts);
}

TEST(jumbo_frames_larger_than_at_the_start_are_lost_and_counted)
{
    struct nsp_io_config cfg = begin_jumbo(4000);
    struct wire_frame frame, heard;
    struct nsp_pkt *pkt;
    uint64_t before;

    wire_open(&cfg);
    set_mtus(MTU);
    before = kernel_dropped();
    wire_build_ip(&frame, &wire_kinds[1], PAYLOAD_BYTES, false);
    wire_put(0, &frame);
    wire_build_ip(&frame, &wire_kinds[1], 4000, false);
    wire_put(0, &frame);
    wire_receive(&pkt, 1);
    CHECK_EQ(pkt->cap_bytes, frame.length);
    CHECK_EQ(kernel_dropped(), before + 1);
    CHECK_EQ(wire_send_all(&pkt, 1), 0);
    wire_hear(1, &heard);
    CHECK_EQ(heard.length, frame.length);
}

TEST(jumbo_frames_are_refused_where_the_kernel_has_none_in_pieces)
{
    struct nsp_io_config cfg = begin_jumbo(MTU);
    struct nsp_diag diag;

    wire_open(&cfg);
    nsp_bridge_ops.close(wire_device);
    wire_device = NULL;
    is_old_kernel = true;
    CHECK_EQ(nsp_bridge_ops.open(&cfg, &wire_device, &diag), NSP_NOT_POSSIBLE);
    CHECK_STR_EQ(diag.category, "mtu");
    CHECK(strstr(diag.text, "9000") != NULL);
    set_mtus(3500);
    wire_open(&cfg);
}

int
main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        JUMBO_TEST(jumbo_frames_cross_whole_with_checksums_of_the_interface),
        JUMBO_TEST(jumbo_frames_cross_whole_with_checksums_of_software),
        JUMBO_TEST(jumbo_frames_are_injected),
        JUMBO_TEST(jumbo_frames_find_their_room_again),
    };
    /* What drivers hand over in pieces. */
    const struct CMUnitTest piece_tests[] = {
        JUMBO_TEST(jumbo_frames_larger_than_at_the_start_are_lost_and_counted),
        JUMBO_TEST(
            jumbo_frames_are_refused_where_the_kernel_has_none_in_pieces),
    };
    int failed = WIRE_RUN(argc, argv, tests);

    if (!wire_in_stack())
        failed += WIRE_RUN(argc, argv, piece_tests);
    return failed;
}
