#include "io/registry.h"
#include "netshaper/memory.h"
#include "tests/lib/failing_alloc.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MS UINT64_C(1000000)

/* A memory and an engine's hold on it. */
struct device {
    struct nsp_memory *memory;
    const struct nsp_io_ops *ops;
    struct nsp_io *io;
};

static void
device_open(struct device *device, const struct nsp_memory_config *cfg)
{
    struct nsp_io_config io_cfg = { .queues = cfg->queues ? cfg->queues : 1 };
    struct nsp_diag diag;

    CHECK_EQ(nsp_memory_create(cfg, &device->memory), NSP_OK);
    io_cfg.device = device->memory;
    device->ops = nsp_io_resolve("memory", device->memory);
    CHECK_EQ(device->ops->open(&io_cfg, &device->io, &diag), NSP_OK);
}

static void
device_close(struct device *device)
{
    device->ops->close(device->io);
    nsp_memory_destroy(device->memory);
}

static uint32_t
push_number(struct nsp_memory *memory, uint32_t number, uint64_t at_ns)
{
    struct nsp_memory_frame frame = {
        .data = (const uint8_t *)&number,
        .bytes = sizeof number,
        .at_ns = at_ns,
    };

    return nsp_memory_push_burst(memory, 0, &frame, 1);
}

static uint32_t
number_at(const uint8_t *data)
{
    uint32_t number;

    memcpy(&number, data, sizeof number);
    return number;
}

TEST(memory_refuses_configurations_outside_their_range)
{
    static const struct nsp_memory_config bad[] = {
        { .queues = NSP_IO_QUEUES_MAX + 1 },
        { .frames = 3 },
        { .frames = 1u << 21 },
        { .frame_bytes = 65601 },
        { .link = NSP_LINK_NULL + 1 },
    };
    struct nsp_memory *memory = NULL;

    for (size_t i = 0; i < NSP_ARRAY_LEN(bad); i++)
        CHECK_EQ(nsp_memory_create(&bad[i], &memory), NSP_INVALID_PARAMETER);
    CHECK_EQ(nsp_memory_create(NULL, &memory), NSP_INVALID_PARAMETER);
    CHECK(memory == NULL);
    CHECK(nsp_memory_destroy(NULL) == NULL);
}

TEST(memory_leaves_nothing_behind_when_any_allocation_fails)
{
    bool whole = false;

    for (unsigned i = 0; !whole; i++) {
        struct failing_alloc counts = { .fail_at = i };
        const struct nsp_allocator allocator = failing_allocator(&counts);
        const struct nsp_memory_config cfg = {
            .queues = 2,
            .frames = 4,
            .allocator = &allocator,
        };
        struct nsp_memory *memory = NULL;
        int result = nsp_memory_create(&cfg, &memory);

        CHECK(i < 100);
        whole = result == NSP_OK;
        CHECK_EQ(result, whole ? NSP_OK : NSP_NO_MEMORY);
        CHECK_EQ(whole, !atomic_load(&counts.failed));
        nsp_memory_destroy(memory);
        CHECK_EQ(atomic_load(&counts.live), 0);
    }
}

TEST(memory_opens_for_one_engine_with_a_worker_for_each_queue)
{
    struct device device;
    struct nsp_io_config cfg = { .queues = 1 };
    struct nsp_io *io = NULL;
    struct nsp_diag diag;

    device_open(&device, &(struct nsp_memory_config){ .queues = 2 });
    cfg.device = device.memory;
    CHECK_EQ(device.ops->open(&cfg, &io, &diag), NSP_INVALID_PARAMETER);
    CHECK_STR_EQ(diag.category, "bad-queues");
    cfg.queues = 2;
    CHECK_EQ(device.ops->open(&cfg, &io, &diag), NSP_OPEN_FAILED);
    CHECK_STR_EQ(diag.category, "device-busy");
    device.ops->close(device.io);
    CHECK_EQ(device.ops->open(&cfg, &device.io, &diag), NSP_OK);

    cfg.device = NULL;
    CHECK_EQ(nsp_io_resolve("memory", NULL)->open(&cfg, &io, &diag),
             NSP_INVALID_PARAMETER);
    CHECK(io == NULL);
    CHECK(nsp_io_resolve("no-such-device", NULL) == NULL);
    device_close(&device);
}

TEST(memory_describes_packets_as_they_were_pushed)
{
    static const uint8_t bytes[3] = { 1, 2, 3 };
    const struct nsp_memory_frame in[2] = {
        { .data = bytes,
          .bytes = 3,
          .wire_bytes = 1500,
          .direction = NSP_INBOUND,
          .csum = NSP_CSUM_PARTIAL,
          .in_ifindex = 7,
          .out_ifindex = 9 },
        { .data = bytes, .bytes = 2, .hook = NSP_HOOK_OUTPUT },
    };
    struct nsp_memory_frame out[2];
    struct nsp_pkt *pkts[2];
    struct device device;

    device_open(&device, &(struct nsp_memory_config){
                             .queues = 3, .link = NSP_LINK_ETHERNET });
    CHECK_EQ(nsp_memory_push_burst(device.memory, 2, in, 2), 2);
    CHECK_EQ(nsp_memory_push_burst(device.memory, 3, in, 2), 0);
    CHECK_EQ(device.ops->rx_burst(device.io, 0, 5, pkts, 2), 0);
    CHECK_EQ(device.ops->rx_burst(device.io, 2, 5, pkts, 2), 2);
    CHECK_MEM_EQ(pkts[0]->data, bytes, 3);
    CHECK_EQ(pkts[0]->cap_bytes, 3);
    CHECK_EQ(pkts[0]->wire_bytes, 1500);
    CHECK_EQ(pkts[0]->arrival_ns, 5);
    CHECK_EQ(pkts[0]->link, NSP_LINK_ETHERNET);
    CHECK_EQ(pkts[0]->direction, NSP_INBOUND);
    CHECK_EQ(pkts[0]->hook, NSP_HOOK_INPUT);
    CHECK_EQ(pkts[0]->csum, NSP_CSUM_PARTIAL);
    CHECK_EQ(pkts[0]->in_ifindex, 7);
    CHECK_EQ(pkts[0]->out_ifindex, 9);
    CHECK_EQ(pkts[0]->queue, 2);
    CHECK_EQ(pkts[0]->uid, UINT32_MAX);
    CHECK_EQ(pkts[1]->wire_bytes, 2);
    CHECK_EQ(pkts[1]->hook, NSP_HOOK_OUTPUT);

    pkts[0]->data[0] = 99;
    CHECK_EQ(device.ops->tx_burst(device.io, 2, 11, pkts, 2, NULL), 0);
    CHECK_EQ(nsp_memory_pop_burst(device.memory, 2, out, 2), 2);
    CHECK_EQ(out[0].data[0], 99);
    CHECK_EQ(out[0].bytes, 3);
    CHECK_EQ(out[0].wire_bytes, 1500);
    CHECK_EQ(out[0].at_ns, 11);
    CHECK_EQ(out[0].direction, NSP_INBOUND);
    CHECK_EQ(out[0].in_ifindex, 7);
    CHECK(!out[0].injected);
    device_close(&device);
}

/* Every frame is somewhere: pushed, at the engine, sent, or popped. */
TEST(memory_takes_no_more_frames_than_it_has_and_gets_each_back)
{
    struct nsp_memory_frame out[8];
    struct nsp_pkt *pkts[8];
    struct device device;

    device_open(&device,
                &(struct nsp_memory_config){ .frames = 4, .frame_bytes = 8 });
    for (uint32_t round = 0; round < 10; round++) {
        uint32_t base = round * 100;

        for (uint32_t i = 0; i < 4; i++)
            CHECK_EQ(push_number(device.memory, base + i, 0), 1);
        CHECK_EQ(push_number(device.memory, base, 0), 0);
        CHECK_EQ(device.ops->rx_burst(device.io, 0, 1, pkts, 8), 4);
        CHECK_EQ(push_number(device.memory, base, 0), 0);
        for (uint32_t i = 0; i < 4; i++)
            CHECK_EQ(number_at(pkts[i]->data), base + i);

        device.ops->drop_burst(device.io, 0, pkts, 1);
        CHECK_EQ(device.ops->tx_burst(device.io, 0, 2, pkts + 1, 3, NULL), 0);
        CHECK_EQ(nsp_memory_pop_burst(device.memory, 0, out, 8), 3);
        for (uint32_t i = 0; i < 3; i++)
            CHECK_EQ(number_at(out[i].data), base + 1 + i);
        /* Only the dropped one is free until the next pop. */
        CHECK_EQ(push_number(device.memory, base, 0), 1);
        CHECK_EQ(push_number(device.memory, base, 0), 0);
        CHECK_EQ(nsp_memory_pop_burst(device.memory, 0, out, 8), 0);
        CHECK_EQ(device.ops->rx_burst(device.io, 0, 1, pkts, 8), 1);
        device.ops->drop_burst(device.io, 0, pkts, 1);
    }
    device_close(&device);
}

TEST(memory_stops_pushing_at_a_frame_that_does_not_fit)
{
    static const uint8_t bytes[9];
    const struct nsp_memory_frame frames[3] = {
        { .data = bytes, .bytes = 8 },
        { .data = bytes, .bytes = 9 },
        { .data = bytes, .bytes = 1 },
    };
    struct device device;

    device_open(&device,
                &(struct nsp_memory_config){ .frames = 4, .frame_bytes = 8 });
    CHECK_EQ(nsp_memory_push_burst(device.memory, 0, frames, 3), 1);
    device_close(&device);
}

TEST(memory_pushes_more_than_a_burst_at_once)
{
    enum { COUNT = 200 };
    static const uint8_t byte;
    struct nsp_memory_frame frames[COUNT];
    struct nsp_pkt *pkts[NSP_BURST_MAX];
    struct device device;
    uint32_t seen = 0, n;

    for (int i = 0; i < COUNT; i++)
        frames[i] = (struct nsp_memory_frame){ .data = &byte, .bytes = 1 };
    device_open(&device, &(struct nsp_memory_config){ .frames = 128 });
    CHECK_EQ(nsp_memory_push_burst(device.memory, 0, frames, COUNT), 128);
    while ((n = device.ops->rx_burst(device.io, 0, 0, pkts, NSP_BURST_MAX)) >
           0) {
        device.ops->drop_burst(device.io, 0, pkts, n);
        seen += n;
    }
    CHECK_EQ(seen, 128);
    device_close(&device);
}

TEST(memory_in_virtual_time_hands_out_what_has_arrived)
{
    static const struct {
        uint64_t pushed_ns, arrival_ns;
    } frames[] = {
        { 5 * MS, 5 * MS },
        { 7 * MS, 7 * MS },
        { 6 * MS, 7 * MS }, /* Time does not go backwards. */
        { 9 * MS, 9 * MS },
    };
    struct nsp_pkt *pkts[8];
    struct device device;

    device_open(&device, &(struct nsp_memory_config){ .virtual_time = true });
    CHECK(device.ops->caps & NSP_IO_VIRTUAL_TIME);
    CHECK_EQ(device.ops->next_rx_ns(device.io, 0), NSP_TIME_NEVER);
    for (uint32_t i = 0; i < NSP_ARRAY_LEN(frames); i++)
        CHECK_EQ(push_number(device.memory, i, frames[i].pushed_ns), 1);

    CHECK_EQ(device.ops->next_rx_ns(device.io, 0), 5 * MS);
    CHECK_EQ(device.ops->rx_burst(device.io, 0, 5 * MS - 1, pkts, 8), 0);
    CHECK_EQ(device.ops->rx_burst(device.io, 0, 8 * MS, pkts, 8), 3);
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_EQ(number_at(pkts[i]->data), i);
        CHECK_EQ(pkts[i]->arrival_ns, frames[i].arrival_ns);
    }
    CHECK_EQ(device.ops->next_rx_ns(device.io, 0), 9 * MS);
    CHECK_EQ(device.ops->rx_burst(device.io, 0, 9 * MS, pkts + 3, 8), 1);
    CHECK_EQ(device.ops->next_rx_ns(device.io, 0), NSP_TIME_NEVER);
    device.ops->drop_burst(device.io, 0, pkts, 4);
    device_close(&device);
}

TEST(memory_repeats_frames_as_pushed_until_its_count)
{
    struct nsp_memory_frame frame;
    struct nsp_pkt *pkts[8];
    struct device device;
    uint32_t seen = 0, n;

    device_open(&device, &(struct nsp_memory_config){
                             .frames = 4, .virtual_time = true, .repeat = 11 });
    for (uint32_t i = 0; i < 3; i++)
        CHECK_EQ(push_number(device.memory, i, 0), 1);
    while (device.ops->next_rx_ns(device.io, 0) != NSP_TIME_NEVER) {
        n = device.ops->rx_burst(device.io, 0, seen, pkts, 8);
        CHECK(n > 0);
        for (uint32_t i = 0; i < n; i++) {
            CHECK_EQ(number_at(pkts[i]->data), (seen + i) % 3);
            CHECK_EQ(pkts[i]->cap_bytes, 4);
            CHECK_EQ(pkts[i]->flags, 0);
            CHECK_EQ(pkts[i]->extra_delay_ns, 0);
            /* What a callback and the engine may leave behind. */
            pkts[i]->cap_bytes = 1;
            pkts[i]->wire_bytes = 1;
            pkts[i]->flags = NSP_PKT_MODIFIED;
            pkts[i]->extra_delay_ns = MS;
        }
        /* Dropped ones come again too, in their turn. */
        device.ops->drop_burst(device.io, 0, pkts, 1);
        device.ops->tx_burst(device.io, 0, seen, pkts + 1, n - 1, NULL);
        seen += n;
    }
    CHECK_EQ(seen, 11);
    CHECK_EQ(device.ops->rx_burst(device.io, 0, seen, pkts, 8), 0);
    CHECK_EQ(nsp_memory_pop_burst(device.memory, 0, &frame, 1), 0);
    device_close(&device);
}

/* Minimal IPv4 header inside Ethernet with one tag. */
static const uint8_t tagged[] = {
    0x02, 0,  0, 0,    0,    0x01, 0x02, 0, 0,  0, 0, 0x02, 0x81,
    0x00, 0,  5, 0x08, 0x00, 0x45, 0,    0, 20, 0, 0, 0,    0,
    64,   17, 0, 0,    10,   0,    0,    1, 10, 0, 0, 2,
};

static void
describe_tagged(struct nsp_pkt *pkt)
{
    pkt->l3 = NSP_L3_IPV4;
    pkt->l3_off = 18;
}

TEST(memory_injects_behind_the_link_header_of_another_packet)
{
    static const uint8_t ipv6[40] = { 0x60 };
    const struct nsp_memory_frame in = {
        .data = tagged,
        .bytes = sizeof tagged,
        .direction = NSP_INBOUND,
        .in_ifindex = 7,
    };
    static const uint8_t reply_header[] = {
        0x02, 0, 0,    0,    0, 0x02, 0x02, 0,    0,
        0,    0, 0x01, 0x81, 0, 0,    5,    0x86, 0xdd,
    };
    struct nsp_memory_frame out[4];
    struct nsp_pkt *pkt;
    struct device device;

    device_open(&device,
                &(struct nsp_memory_config){ .frames = 2,
                                             .frame_bytes = 64,
                                             .link = NSP_LINK_ETHERNET });
    CHECK_EQ(nsp_memory_push_burst(device.memory, 0, &in, 1), 1);
    CHECK_EQ(device.ops->rx_burst(device.io, 0, 1, &pkt, 1), 1);
    CHECK_EQ(device.ops->inject(device.io, 0, 2, ipv6, 40, true, pkt), -EINVAL);
    describe_tagged(pkt);
    CHECK_EQ(device.ops->inject(device.io, 0, 2, ipv6, 40, true, pkt), 0);
    CHECK_EQ(device.ops->inject(device.io, 0, 3, tagged + 18, 20, false, pkt),
             0);
    CHECK_EQ(device.ops->inject(device.io, 0, 4, ipv6, 40, true, pkt),
             -ENOBUFS);
    CHECK_EQ(device.ops->inject(device.io, 0, 4, ipv6, 64, true, pkt),
             -EMSGSIZE);
    device.ops->tx_burst(device.io, 0, 5, &pkt, 1, NULL);

    CHECK_EQ(nsp_memory_pop_burst(device.memory, 0, out, 4), 3);
    CHECK(out[0].injected && out[1].injected && !out[2].injected);
    CHECK_EQ(out[0].bytes, sizeof reply_header + 40);
    CHECK_MEM_EQ(out[0].data, reply_header, sizeof reply_header);
    CHECK_MEM_EQ(out[0].data + sizeof reply_header, ipv6, 40);
    CHECK_EQ(out[0].at_ns, 2);
    CHECK_EQ(out[0].direction, NSP_OUTBOUND);
    CHECK_EQ(out[0].out_ifindex, 7);
    CHECK_EQ(out[1].bytes, sizeof tagged);
    CHECK_MEM_EQ(out[1].data, tagged, sizeof tagged);
    CHECK_EQ(out[1].direction, NSP_INBOUND);
    /* Popped ones can be used again. */
    CHECK_EQ(nsp_memory_pop_burst(device.memory, 0, out, 4), 0);
    CHECK_EQ(nsp_memory_push_burst(device.memory, 0, &in, 1), 1);
    CHECK_EQ(device.ops->rx_burst(device.io, 0, 1, &pkt, 1), 1);
    describe_tagged(pkt);
    CHECK_EQ(device.ops->inject(device.io, 0, 2, ipv6, 40, true, pkt), 0);
    device.ops->drop_burst(device.io, 0, &pkt, 1);
    device_close(&device);
}

TEST(memory_when_quiesced_hands_out_only_what_came_before)
{
    struct nsp_pkt *pkts[8];
    struct device device;

    for (int virtual_time = 0; virtual_time < 2; virtual_time++) {
        device_open(&device, &(struct nsp_memory_config){
                                 .virtual_time = virtual_time != 0 });
        CHECK_EQ(push_number(device.memory, 1, 0), 1);
        CHECK_EQ(push_number(device.memory, 2, 0), 1);
        CHECK_EQ(device.ops->rx_burst(device.io, 0, 0, pkts, 1), 1);
        device.ops->quiesce(device.io);
        CHECK_EQ(push_number(device.memory, 3, 0), 1);
        CHECK_EQ(device.ops->rx_burst(device.io, 0, 0, pkts + 1, 8), 1);
        CHECK_EQ(number_at(pkts[1]->data), 2);
        CHECK_EQ(device.ops->rx_burst(device.io, 0, 0, pkts + 2, 8), 0);
        if (virtual_time)
            CHECK_EQ(device.ops->next_rx_ns(device.io, 0), NSP_TIME_NEVER);
        else
            CHECK_EQ(device.ops->wait(device.io, 0, 1), 0);
        device.ops->drop_burst(device.io, 0, pkts, 2);
        device_close(&device);
    }
}

#define PASSED_ALONG 100000u

static void *
push_all_numbers(void *opaque)
{
    struct device *device = opaque;

    for (uint32_t i = 0; i < PASSED_ALONG;)
        i += push_number(device->memory, i, 0);
    return NULL;
}

/* Sends what it gets, drops every fifth, and sleeps with no time limit: a lost
 * wake-up hangs the test. */
static void *
work(void *opaque)
{
    struct device *device = opaque;
    struct nsp_pkt *pkts[8];
    uint32_t seen = 0, n;

    while (seen < PASSED_ALONG) {
        n = device->ops->rx_burst(device->io, 0, 0, pkts, 8);
        for (uint32_t i = 0; i < n; i++) {
            if ((seen + i) % 5 == 0)
                device->ops->drop_burst(device->io, 0, &pkts[i], 1);
            else
                device->ops->tx_burst(device->io, 0, 0, &pkts[i], 1, NULL);
        }
        seen += n;
        if (n == 0 && device->ops->wait(device->io, 0, NSP_TIME_NEVER) < 0)
            break;
    }
    return NULL;
}

TEST(memory_passes_frames_between_three_threads_and_loses_no_wakeup)
{
    struct nsp_memory_frame out[16];
    pthread_t pusher, worker;
    struct device device;
    uint32_t expected = 0;

    device_open(&device, &(struct nsp_memory_config){ .frames = 32 });
    CHECK_EQ(pthread_create(&worker, NULL, work, &device), 0);
    CHECK_EQ(pthread_create(&pusher, NULL, push_all_numbers, &device), 0);
    while (expected < PASSED_ALONG) {
        uint32_t n = nsp_memory_pop_burst(device.memory, 0, out, 16);

        for (uint32_t i = 0; i < n; i++) {
            expected += expected % 5 == 0;
            CHECK_EQ(number_at(out[i].data), expected++);
        }
    }
    CHECK_EQ(pthread_join(pusher, NULL), 0);
    CHECK_EQ(pthread_join(worker, NULL), 0);
    device_close(&device);
}

TEST(memory_does_not_lose_a_wake_that_comes_before_the_wait)
{
    struct device device;

    device_open(&device, &(struct nsp_memory_config){ 0 });
    device.ops->wake(device.io);
    CHECK_EQ(device.ops->wait(device.io, 0, NSP_TIME_NEVER), 0);
    CHECK_EQ(push_number(device.memory, 1, 0), 1);
    CHECK_EQ(device.ops->wait(device.io, 0, NSP_TIME_NEVER), 0);
    device_close(&device);
}

TEST_MAIN(
    cmocka_unit_test(memory_refuses_configurations_outside_their_range),
    cmocka_unit_test(memory_leaves_nothing_behind_when_any_allocation_fails),
    cmocka_unit_test(memory_opens_for_one_engine_with_a_worker_for_each_queue),
    cmocka_unit_test(memory_describes_packets_as_they_were_pushed),
    cmocka_unit_test(
        memory_takes_no_more_frames_than_it_has_and_gets_each_back),
    cmocka_unit_test(memory_stops_pushing_at_a_frame_that_does_not_fit),
    cmocka_unit_test(memory_pushes_more_than_a_burst_at_once),
    cmocka_unit_test(memory_in_virtual_time_hands_out_what_has_arrived),
    cmocka_unit_test(memory_repeats_frames_as_pushed_until_its_count),
    cmocka_unit_test(memory_injects_behind_the_link_header_of_another_packet),
    cmocka_unit_test(memory_when_quiesced_hands_out_only_what_came_before),
    cmocka_unit_test(
        memory_passes_frames_between_three_threads_and_loses_no_wakeup),
    cmocka_unit_test(memory_does_not_lose_a_wake_that_comes_before_the_wait))
