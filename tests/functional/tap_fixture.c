#define _GNU_SOURCE
#include "tests/functional/tap_fixture.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "netshaper/filter.h"

struct nsp_io *tap_device;
struct nsp_tap_config tap_config;
int tap_client, tap_router;

uint64_t
tap_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void
tap_close(void)
{
    nsp_tap_ops.close(tap_device);
    tap_device = NULL;
}

int
tap_end_test(void **state)
{
    if (tap_device)
        tap_close();
    return fixture_end(state);
}

struct nsp_io_config
tap_begin(void)
{
    static struct nsp_filter *filter;
    static const char *const wires[] = { "client0", "server0" };

    fixture_require();
    if (!filter)
        CHECK_EQ(
            nsp_filter_compile("udp.DstPort == 7001 or udp.SrcPort == 7001",
                               NSP_LAYER_NETWORK, NULL, &filter, NULL),
            NSP_OK);
    tap_config = (struct nsp_tap_config){ .interfaces = wires,
                                          .interface_count = 2,
                                          .hang_ms = 10000 };
    return (struct nsp_io_config){
        .device = &tap_config,
        .queues = 1,
        .hooks = TAP_BOTH,
        .max_held_pkts = 512,
        .filter = filter,
    };
}

void
tap_open(const struct nsp_io_config *cfg)
{
    struct nsp_diag diag;
    int result = nsp_tap_ops.open(cfg, &tap_device, &diag);

    if (result == NSP_NOT_POSSIBLE)
        SKIP(diag.text);
    if (result != NSP_OK)
        fail_msg("open: %s (%s)", diag.text, diag.hint);
    /* A sign of life: the last one is as old as the opening took. */
    for (uint32_t queue = 0; queue < cfg->queues; queue++)
        CHECK_EQ(nsp_tap_ops.wait(tap_device, queue, 0), 0);
}

void
tap_open_ends(void)
{
    tap_router = fixture_udp(NSP_LAB_ROUTER, AF_INET, TAP_PORT);
    tap_client = fixture_udp(NSP_LAB_CLIENT, AF_INET, TAP_OTHER_PORT);
}

void
tap_ask(const char *text)
{
    fixture_say(tap_client, NSP_LAB_ROUTER, AF_INET, TAP_PORT, text);
}

void
tap_answer(const char *text)
{
    fixture_say(tap_router, NSP_LAB_CLIENT, AF_INET, TAP_OTHER_PORT, text);
}

void
tap_receive(struct nsp_pkt *ret_pkts[], uint32_t n)
{
    const uint64_t end_ns =
        tap_now_ns() + FIXTURE_PATIENCE_S * UINT64_C(1000000000);
    uint32_t got = 0;

    while (got < n) {
        uint32_t room = n - got < NSP_BURST_MAX ? n - got : NSP_BURST_MAX;

        if (tap_now_ns() >= end_ns)
            fail_msg("%u of %u packets came", got, n);
        CHECK_EQ(nsp_tap_ops.wait(tap_device, 0, UINT64_C(1000000000)), 0);
        got += nsp_tap_ops.rx_burst(tap_device, 0, tap_now_ns(), ret_pkts + got,
                                    room);
    }
}

uint32_t
tap_send_all(struct nsp_pkt *const pkts[], uint32_t n)
{
    bool refused[NSP_BURST_MAX];
    uint32_t count = 0;

    for (uint32_t at = 0; at < n; at += NSP_BURST_MAX) {
        uint32_t part = n - at < NSP_BURST_MAX ? n - at : NSP_BURST_MAX;

        count += nsp_tap_ops.tx_burst(tap_device, 0, tap_now_ns(), pkts + at,
                                      part, refused);
    }
    return count;
}

bool
tap_is_empty(void)
{
    struct nsp_pkt *pkt;

    return nsp_tap_ops.rx_burst(tap_device, 0, tap_now_ns(), &pkt, 1) == 0;
}

uint64_t
tap_kernel_dropped(void)
{
    struct nsp_io_stats stats;

    nsp_tap_ops.read_stats(tap_device, &stats);
    return stats.kernel_dropped_pkts;
}

uint32_t
tap_count(void)
{
    FILE *file = fopen("/proc/thread-self/net/dev", "r");
    uint32_t count = 0;
    char line[512];

    CHECK(file != NULL);
    while (fgets(line, sizeof line, file))
        count += strstr(line, "nsp") != NULL;
    fclose(file);
    return count;
}

void
tap_check_untouched(void)
{
    CHECK_EQ(tap_count(), 0);
    tap_ask("untouched");
    fixture_hear(tap_router, "untouched");
    tap_answer("so is this");
    fixture_hear(tap_client, "so is this");
}
