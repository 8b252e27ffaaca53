/* Two devices served as one: devices here are arrays of packets behind a table
 * of functions, which note what they are asked. */
#include "io/host.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/diag.h"
#include "tests/lib/failing_alloc.h"
#include "tests/lib/test.h"

#define PKTS 64u

/* One device: lends the packets of an array in turn. */
struct nsp_io {
    uint32_t hook;
    struct nsp_io_config cfg;
    struct nsp_pkt pkts[PKTS];
    uint32_t count, next;
    uint32_t sent, dropped, retained, injected, closed, quiesced, adjusted;
    uint32_t woken, waited;
    int waited_fd, ready_fd;
    uint64_t waited_ns, ready_ns;
    int status, open_result;
    bool refuses; /* Every packet with an odd mark. */
};

/* What 'device' points to: the device itself, made by the test. */
static int
fake_open(const struct nsp_io_config *cfg, struct nsp_io **ret,
          struct nsp_diag *reterr)
{
    struct nsp_io *io = (struct nsp_io *)(uintptr_t)cfg->device;

    io->cfg = *cfg;
    if (io->open_result != NSP_OK)
        return nsp_diag_set(reterr, io->open_result, "fake", "cure it",
                            "no such thing");
    *ret = io;
    return NSP_OK;
}

static void
fake_close(struct nsp_io *io)
{
    io->closed++;
}

static uint32_t
fake_rx(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
        struct nsp_pkt *ret_pkts[], uint32_t max)
{
    uint32_t n = 0;

    (void)queue;
    (void)now_ns;
    for (; n < max && io->next < io->count; n++)
        ret_pkts[n] = &io->pkts[io->next++];
    return n;
}

static uint32_t
fake_tx(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
        struct nsp_pkt *const pkts[], uint32_t n, bool ret_refused[])
{
    uint32_t refused = 0;

    (void)queue;
    (void)now_ns;
    for (uint32_t i = 0; i < n; i++) {
        CHECK(pkts[i] >= io->pkts && pkts[i] < io->pkts + PKTS);
        CHECK_EQ(pkts[i]->device_ref, io->sent);
        io->sent++;
        ret_refused[i] = io->refuses && pkts[i]->mark % 2 == 1;
        refused += ret_refused[i];
    }
    return refused;
}

static void
fake_drop(struct nsp_io *io, uint32_t queue, struct nsp_pkt *const pkts[],
          uint32_t n)
{
    (void)queue;
    for (uint32_t i = 0; i < n; i++)
        CHECK(pkts[i] >= io->pkts && pkts[i] < io->pkts + PKTS);
    io->dropped += n;
}

static int
fake_retain(struct nsp_io *io, uint32_t queue, struct nsp_pkt *pkt)
{
    (void)queue;
    CHECK(pkt >= io->pkts && pkt < io->pkts + PKTS);
    io->retained++;
    return -ENOMEM;
}

static int
fake_inject(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
            const uint8_t *ip, uint32_t ip_bytes, bool reply,
            const struct nsp_pkt *like)
{
    (void)queue;
    (void)now_ns;
    (void)ip;
    (void)ip_bytes;
    (void)reply;
    CHECK(like >= io->pkts && like < io->pkts + PKTS);
    io->injected++;
    return 0;
}

static int
fake_wait_with(struct nsp_io *io, uint32_t queue, uint64_t timeout_ns, int fd)
{
    (void)queue;
    io->waited++;
    io->waited_ns = timeout_ns;
    io->waited_fd = fd;
    return 0;
}

static int
fake_wait(struct nsp_io *io, uint32_t queue, uint64_t timeout_ns)
{
    return fake_wait_with(io, queue, timeout_ns, -7);
}

static int
fake_ready_fd(struct nsp_io *io, uint32_t queue, uint64_t *timeout_ns)
{
    (void)queue;
    *timeout_ns = nsp_min_u64(*timeout_ns, io->ready_ns);
    return io->ready_fd;
}

static void
fake_wake(struct nsp_io *io)
{
    io->woken++;
}

static void
fake_quiesce(struct nsp_io *io)
{
    io->quiesced++;
}

static int
fake_adjust(struct nsp_io *io, uint32_t snap_bytes, bool superpackets)
{
    (void)snap_bytes;
    (void)superpackets;
    io->adjusted++;
    return io->status;
}

static void
fake_read_stats(struct nsp_io *io, struct nsp_io_stats *ret)
{
    *ret = (struct nsp_io_stats){ io->hook, io->hook * 10, io->hook * 100,
                                  io->hook * 1000, io->hook * 10000 };
}

static int
fake_status(struct nsp_io *io, char *ret, uint32_t ret_bytes)
{
    if (io->status != 0 && ret)
        snprintf(ret, ret_bytes, "hook %u", io->hook);
    return io->status;
}

#define FAKE_OPS                                                               \
    .open = fake_open, .close = fake_close, .rx_burst = fake_rx,               \
    .tx_burst = fake_tx, .drop_burst = fake_drop, .inject = fake_inject,       \
    .wait = fake_wait, .wake = fake_wake, .quiesce = fake_quiesce,             \
    .adjust = fake_adjust, .read_stats = fake_read_stats,                      \
    .status = fake_status

static const struct nsp_io_ops first_ops = { FAKE_OPS, .name = "first",
                                             .retain = fake_retain,
                                             .wait_with = fake_wait_with };
static const struct nsp_io_ops second_ops = { FAKE_OPS, .name = "second",
                                              .ready_fd = fake_ready_fd };

/* Input comes by 'first', output by 'second', or by both. */
struct pair {
    struct nsp_io first, second;
    uint32_t first_hooks;
    struct nsp_io *io;
};

static void
fill(struct nsp_io *io, uint32_t hook, uint32_t count)
{
    uint8_t link = hook == NSP_HOOK_OUTPUT ? NSP_LINK_ETHERNET : NSP_LINK_RAW;

    io->hook = hook;
    io->count = count;
    for (uint32_t i = 0; i < PKTS; i++)
        io->pkts[i] = (struct nsp_pkt){
            .hook = (uint8_t)hook, .link = link, .device_ref = i, .mark = i
        };
}

static int
open_pair(struct pair *pair, const struct nsp_allocator *allocator,
          struct nsp_diag *diag)
{
    const struct nsp_host_config host = {
        .parts = { { .ops = &first_ops,
                     .device = &pair->first,
                     .hooks = pair->first_hooks,
                     .link = NSP_LINK_RAW },
                   { .ops = &second_ops,
                     .device = &pair->second,
                     .hooks = NSP_HOOK_OUTPUT,
                     .link = NSP_LINK_ETHERNET,
                     .why = "output is held" } },
        .part_count = 2,
    };
    struct nsp_io_config cfg = {
        .device = &host,
        .queues = 2,
        .hooks = NSP_HOOK_INPUT | NSP_HOOK_OUTPUT,
        .max_held_pkts = 9,
    };

    if (allocator)
        cfg.allocator = *allocator;
    return nsp_host_ops.open(&cfg, &pair->io, diag);
}

static void
begin(struct pair *pair, uint32_t first_pkts, uint32_t second_pkts)
{
    struct nsp_diag diag;

    memset(pair, 0, sizeof *pair);
    pair->first_hooks = NSP_HOOK_INPUT;
    fill(&pair->first, NSP_HOOK_INPUT, first_pkts);
    fill(&pair->second, NSP_HOOK_OUTPUT, second_pkts);
    CHECK_EQ(open_pair(pair, NULL, &diag), NSP_OK);
}

static void
end(struct pair *pair)
{
    nsp_host_ops.close(pair->io);
    CHECK_EQ(pair->first.closed, 1);
    CHECK_EQ(pair->second.closed, 1);
}

/* --- Opening -------------------------------------------------------------- */

TEST(each_device_gets_its_own_hooks)
{
    struct pair pair;

    begin(&pair, 0, 0);
    CHECK_EQ(pair.first.cfg.hooks, NSP_HOOK_INPUT);
    CHECK_EQ(pair.second.cfg.hooks, NSP_HOOK_OUTPUT);
    CHECK_EQ(pair.first.cfg.max_held_pkts, 9);
    CHECK_EQ(pair.second.cfg.queues, 2);
    CHECK(!pair.first.cfg.shares_output && !pair.second.cfg.shares_output);
    end(&pair);
}

TEST(devices_that_share_output_are_told_and_lend_by_link)
{
    struct nsp_pkt *pkts[PKTS];
    bool refused[PKTS];
    struct pair pair = { .first_hooks = NSP_HOOK_INPUT | NSP_HOOK_OUTPUT };

    fill(&pair.first, NSP_HOOK_INPUT, 4);
    fill(&pair.second, NSP_HOOK_OUTPUT, 4);
    pair.first.pkts[1].hook = pair.first.pkts[3].hook = NSP_HOOK_OUTPUT;
    CHECK_EQ(open_pair(&pair, NULL, NULL), NSP_OK);
    CHECK_EQ(pair.first.cfg.hooks, NSP_HOOK_INPUT | NSP_HOOK_OUTPUT);
    CHECK_EQ(pair.second.cfg.hooks, NSP_HOOK_OUTPUT);
    CHECK(pair.first.cfg.shares_output && pair.second.cfg.shares_output);

    CHECK_EQ(nsp_host_ops.rx_burst(pair.io, 0, 5, pkts, PKTS), 8);
    CHECK_EQ(nsp_host_ops.tx_burst(pair.io, 0, 5, pkts, 8, refused), 0);
    CHECK_EQ(pair.first.sent, 4);
    CHECK_EQ(pair.second.sent, 4);
    end(&pair);
}

TEST(what_cannot_be_opened_leaves_nothing_and_says_why_it_was_wanted)
{
    struct pair pair = { .second.open_result = NSP_NOT_POSSIBLE,
                         .first_hooks = NSP_HOOK_INPUT };
    struct nsp_diag diag;

    CHECK_EQ(open_pair(&pair, NULL, &diag), NSP_NOT_POSSIBLE);
    CHECK_STR_EQ(diag.text, "output is held: no such thing");
    CHECK_STR_EQ(diag.hint, "cure it");
    CHECK_EQ(pair.first.closed, 1);
    CHECK_EQ(pair.second.closed, 0);

    pair = (struct pair){ .first.open_result = NSP_OPEN_FAILED };
    CHECK_EQ(open_pair(&pair, NULL, &diag), NSP_OPEN_FAILED);
    CHECK_STR_EQ(diag.text, "no such thing");
    CHECK_EQ(pair.first.closed + pair.second.closed, 0);
    CHECK_EQ(open_pair(&pair, NULL, NULL), NSP_OPEN_FAILED);
}

TEST(no_memory_is_told)
{
    struct failing_alloc failing = { .fail_at = 0 };
    const struct nsp_allocator allocator = failing_allocator(&failing);
    struct pair pair = { 0 };
    struct nsp_diag diag;

    CHECK_EQ(open_pair(&pair, &allocator, &diag), NSP_NO_MEMORY);
    CHECK_EQ(pair.first.closed + pair.second.closed, 0);
}

/* --- Packets -------------------------------------------------------------- */

TEST(devices_take_turns_at_filling_a_burst)
{
    struct nsp_pkt *pkts[16];
    struct pair pair;

    begin(&pair, 40, 40);
    for (uint32_t round = 0; round < 2; round++) {
        CHECK_EQ(nsp_host_ops.rx_burst(pair.io, 0, 5, pkts, 16), 16);
        CHECK_EQ(pkts[0]->hook, round == 0 ? NSP_HOOK_INPUT : NSP_HOOK_OUTPUT);
        CHECK_EQ(pkts[15]->hook, pkts[0]->hook);
    }
    CHECK_EQ(pair.first.next, 16);
    CHECK_EQ(pair.second.next, 16);
    end(&pair);
}

TEST(a_burst_is_filled_up_from_the_other_device)
{
    struct nsp_pkt *pkts[16];
    struct pair pair;

    begin(&pair, 3, 40);
    CHECK_EQ(nsp_host_ops.rx_burst(pair.io, 0, 5, pkts, 16), 16);
    CHECK_EQ(pkts[2]->hook, NSP_HOOK_INPUT);
    CHECK_EQ(pkts[3]->hook, NSP_HOOK_OUTPUT);
    CHECK_EQ(pair.second.next, 13);
    end(&pair);
}

TEST(arrivals_are_in_order_across_devices)
{
    struct nsp_pkt *pkts[16];
    struct pair pair;

    begin(&pair, 2, 2);
    pair.first.pkts[0].arrival_ns = 10;
    pair.first.pkts[1].arrival_ns = 50;
    pair.second.pkts[0].arrival_ns = 40;
    pair.second.pkts[1].arrival_ns = 60;
    CHECK_EQ(nsp_host_ops.rx_burst(pair.io, 1, 60, pkts, 16), 4);
    CHECK_EQ(pkts[0]->arrival_ns, 10);
    CHECK_EQ(pkts[1]->arrival_ns, 50);
    CHECK_EQ(pkts[2]->arrival_ns, 50);
    CHECK_EQ(pkts[3]->arrival_ns, 60);
    end(&pair);
}

TEST(packets_go_back_to_the_device_that_lent_them)
{
    struct nsp_pkt *pkts[PKTS], *mixed[12];
    bool refused[12];
    struct pair pair;

    begin(&pair, 6, 6);
    pair.second.refuses = true;
    CHECK_EQ(nsp_host_ops.rx_burst(pair.io, 0, 5, pkts, PKTS), 12);
    for (uint32_t i = 0; i < 6; i++) {
        mixed[2 * i] = pkts[i];         /* Of the first, */
        mixed[2 * i + 1] = pkts[6 + i]; /* of the second. */
    }
    CHECK_EQ(nsp_host_ops.tx_burst(pair.io, 0, 5, mixed, 12, refused), 3);
    for (uint32_t i = 0; i < 12; i++)
        CHECK_EQ(refused[i], i % 2 == 1 && (i / 2) % 2 == 1);
    CHECK_EQ(pair.first.sent, 6);
    CHECK_EQ(pair.second.sent, 6);

    nsp_host_ops.drop_burst(pair.io, 0, mixed, 11);
    CHECK_EQ(pair.first.dropped, 6);
    CHECK_EQ(pair.second.dropped, 5);
    end(&pair);
}

TEST(each_device_retains_and_injects_for_its_own)
{
    struct pair pair;
    const uint8_t ip[20] = { 0x45 };

    begin(&pair, 1, 1);
    CHECK_EQ(nsp_host_ops.retain(pair.io, 0, &pair.first.pkts[0]), -ENOMEM);
    CHECK_EQ(nsp_host_ops.retain(pair.io, 0, &pair.second.pkts[0]), 0);
    CHECK_EQ(pair.first.retained, 1);
    CHECK_EQ(nsp_host_ops.inject(pair.io, 0, 5, ip, sizeof ip, true,
                                 &pair.second.pkts[0]),
             0);
    CHECK_EQ(pair.first.injected, 0);
    CHECK_EQ(pair.second.injected, 1);
    end(&pair);
}

/* --- Waiting and state ---------------------------------------------------- */

TEST(sleeps_in_one_device_on_the_descriptor_of_the_other)
{
    struct pair pair;

    begin(&pair, 0, 0);
    pair.second.ready_fd = 42;
    pair.second.ready_ns = 7;
    CHECK_EQ(nsp_host_ops.wait(pair.io, 0, 5), 0);
    CHECK_EQ(pair.second.waited, 0);
    CHECK_EQ(pair.first.waited_fd, 42);
    CHECK_EQ(pair.first.waited_ns, 5);
    CHECK_EQ(nsp_host_ops.wait(pair.io, 0, 9), 0);
    CHECK_EQ(pair.first.waited_ns, 7); /* To be asked again then. */
    nsp_host_ops.wake(pair.io);
    CHECK_EQ(pair.first.woken, 1);
    end(&pair);
}

TEST(does_the_rest_to_both)
{
    struct nsp_io_stats stats;
    struct pair pair;
    char what[32] = "";

    begin(&pair, 0, 0);
    nsp_host_ops.quiesce(pair.io);
    CHECK_EQ(pair.first.quiesced + pair.second.quiesced, 2);
    CHECK_EQ(nsp_host_ops.adjust(pair.io, 5, true), 0);
    CHECK_EQ(pair.first.adjusted + pair.second.adjusted, 2);
    nsp_host_ops.read_stats(pair.io, &stats);
    CHECK_EQ(stats.passed_by_pkts, 3);
    CHECK_EQ(stats.kernel_dropped_pkts, 30);
    CHECK_EQ(stats.kernel_lost_pkts, 300);
    CHECK_EQ(stats.stale_verdict_pkts, 3000);
    CHECK_EQ(stats.device_errors, 30000);

    CHECK_EQ(nsp_host_ops.status(pair.io, what, sizeof what), 0);
    pair.second.status = -ENODEV;
    CHECK_EQ(nsp_host_ops.status(pair.io, what, sizeof what), -ENODEV);
    CHECK_STR_EQ(what, "hook 2");
    CHECK_EQ(nsp_host_ops.adjust(pair.io, 5, true), -ENODEV);
    end(&pair);
}

TEST(one_device_alone_is_served_as_it_is)
{
    struct nsp_io device = { .open_result = NSP_OK };
    const struct nsp_host_config host = {
        .parts = { { .ops = &first_ops,
                     .device = &device,
                     .hooks = NSP_HOOK_INPUT } },
        .part_count = 1,
    };
    const struct nsp_io_config cfg = { .device = &host,
                                       .queues = 1,
                                       .hooks = NSP_HOOK_INPUT };
    struct nsp_pkt *pkts[4];
    struct nsp_io *io;

    fill(&device, NSP_HOOK_INPUT, 3);
    device.pkts[1].hook = 0; /* Whatever it says. */
    CHECK_EQ(nsp_host_ops.open(&cfg, &io, NULL), NSP_OK);
    CHECK_EQ(nsp_host_ops.rx_burst(io, 0, 5, pkts, 4), 3);
    nsp_host_ops.drop_burst(io, 0, pkts, 3);
    CHECK_EQ(device.dropped, 3);
    CHECK_EQ(nsp_host_ops.wait(io, 0, 5), 0);
    CHECK_EQ(device.waited_fd, -7);
    nsp_host_ops.wake(io);
    CHECK_EQ(device.woken, 1);
    nsp_host_ops.close(io);
    CHECK_EQ(device.closed, 1);
}

TEST_MAIN(cmocka_unit_test(each_device_gets_its_own_hooks),
          cmocka_unit_test(devices_that_share_output_are_told_and_lend_by_link),
          cmocka_unit_test(
              what_cannot_be_opened_leaves_nothing_and_says_why_it_was_wanted),
          cmocka_unit_test(no_memory_is_told),
          cmocka_unit_test(devices_take_turns_at_filling_a_burst),
          cmocka_unit_test(a_burst_is_filled_up_from_the_other_device),
          cmocka_unit_test(arrivals_are_in_order_across_devices),
          cmocka_unit_test(packets_go_back_to_the_device_that_lent_them),
          cmocka_unit_test(each_device_retains_and_injects_for_its_own),
          cmocka_unit_test(sleeps_in_one_device_on_the_descriptor_of_the_other),
          cmocka_unit_test(does_the_rest_to_both),
          cmocka_unit_test(one_device_alone_is_served_as_it_is))
