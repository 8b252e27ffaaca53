/* What goes wrong around an engine: no memory, a device that fails, refuses or
 * cannot hold, bad configuration. Devices here are the memory backend behind a
 * table of functions with one of them replaced: the way a program hands in a
 * backend of its own. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "io/registry.h"
#include "netshaper/engine.h"
#include "tests/lib/failing_alloc.h"
#include "tests/lib/frames.h"
#include "tests/lib/test.h"

#define MS UINT64_C(1000000)

static struct nsp_memory *
new_memory(bool virtual_time)
{
    const struct nsp_memory_config cfg = { .virtual_time = virtual_time };
    struct nsp_memory *memory;

    CHECK_EQ(nsp_memory_create(&cfg, &memory), NSP_OK);
    return memory;
}

/* --- Memory -------------------------------------------------------------- */

/* One engine with every kind of part in it, from create to destroy. Returns
 * whether nothing failed. */
static bool
whole_life(struct nsp_memory *memory, const struct nsp_allocator *allocator)
{
    static const struct nsp_rule rules[] = {
        { .name = "slow",
          .match = "udp.DstPort == 53",
          .link.rate_bitps = 8000000,
          .effects.delay.mean_ns = MS },
        { .match = "tcp", .effects.loss.chance.ppm = 10 },
    };
    struct nsp_engine_config cfg = {
        .backend = "memory",
        .memory = memory,
        .policy = { .rules = rules, .rule_count = 2 },
        .allocator = *allocator,
    };
    struct nsp_engine *engine = NULL;
    struct nsp_diag diag;
    int result;

    result = nsp_engine_create(&cfg, &engine, &diag);
    if (result != NSP_OK) {
        CHECK_EQ(result, NSP_NO_MEMORY);
        CHECK(engine == NULL);
        return false;
    }
    result = nsp_engine_start(engine, "udp", &diag);
    if (result == NSP_OK) {
        CHECK_EQ(nsp_engine_run(engine), NSP_OK);
    } else {
        CHECK_EQ(result, NSP_NO_MEMORY);
        CHECK_EQ(nsp_engine_run(engine), NSP_INVALID_STATE);
    }
    nsp_engine_destroy(engine);
    return result == NSP_OK;
}

TEST(every_allocation_may_fail_without_a_leak)
{
    struct nsp_memory *memory = new_memory(true);
    bool whole = false;

    for (unsigned i = 0; !whole; i++) {
        struct failing_alloc counts = { .fail_at = i };
        struct nsp_allocator allocator = failing_allocator(&counts);

        CHECK(i < 1000);
        whole = whole_life(memory, &allocator);
        CHECK_EQ(whole, !atomic_load(&counts.failed));
        CHECK_EQ(atomic_load(&counts.live), 0);
    }
    nsp_memory_destroy(memory);
}

/* --- Configuration ------------------------------------------------------- */

TEST(bad_configuration_is_refused_by_name)
{
    static const struct nsp_rule rules[] = {
        { .name = "a", .action = NSP_ACTION_DROP, .effects.delay.mean_ns = 1 },
        { .name = "b", .effects.loss.chance.ppm = NSP_PPM_ONE + 1 },
        { .name = "c", .effects.delay.mean_ns = NSP_DELAY_NS_MAX + 1 },
        { .name = "d", .link.rate_bitps = 7 },
        { .name = "e", .link.rate_bitps = NSP_RATE_BITPS_MAX + 1 },
        { .name = "f",
          .link.queue_unit = NSP_QUEUE_PKTS,
          .link.queue_limit = 1 },
        { .name = "g",
          .link.rate_bitps = 8000,
          .link.queue_unit = NSP_QUEUE_PKTS },
        { .name = "h", .link.rate_bitps = 8000, .link.overhead_bytes = 257 },
        { .name = "i", .apply = 3 },
        { .name = "j", .action = 3 },
        { .name = "k", .link.overhead_bytes = 1 },
    };
    struct nsp_memory *memory = new_memory(true);
    struct nsp_engine *engine = NULL;

    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        struct nsp_engine_config cfg = {
            .backend = "memory",
            .memory = memory,
            .policy = { .rules = &rules[i], .rule_count = 1 },
        };
        char expected[16];
        struct nsp_diag diag;

        CHECK_EQ(nsp_engine_create(&cfg, &engine, &diag),
                 NSP_INVALID_PARAMETER);
        snprintf(expected, sizeof expected, "rule %s: ", rules[i].name);
        CHECK_EQ(strncmp(diag.text, expected, strlen(expected)), 0);
        CHECK(engine == NULL);
    }
    nsp_memory_destroy(memory);
}

TEST(unusable_backends_are_refused_with_what_to_do)
{
    static const struct {
        struct nsp_engine_config cfg;
        const char *category;
    } rows[] = {
        { { 0 }, "no-backend" },
        { { .backend = "winpcap" }, "unknown-backend" },
        { { .backend = "memory" }, "no-memory-device" },
        { { .backend = "pcapfile" }, "no-input" },
        { { .backend = "custom" }, "no-ops" },
        { { .backend = "nfqueue", .hooks = 8 }, "bad-hooks" },
        { { .backend = "nfqueue", .nfqueue.first_queue = 65536 }, "bad-queue" },
        { { .backend = "nfqueue", .workers = 17 }, "bad-workers" },
        { { .backend = "nfqueue", .cpu_count = 17 }, "bad-cpus" },
        { { .backend = "nfqueue", .cpus = { 1023 }, .cpu_count = 1 },
          "bad-cpus" },
        { { .backend = "nfqueue", .cpus = { 65535 }, .cpu_count = 1 },
          "bad-cpus" },
        { { .backend = "nfqueue", .max_held_pkts = 1 }, "bad-max-held" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct nsp_engine *engine = NULL;
        struct nsp_diag diag;

        CHECK_EQ(nsp_engine_create(&rows[i].cfg, &engine, &diag),
                 NSP_INVALID_PARAMETER);
        CHECK_STR_EQ(diag.category, rows[i].category);
        CHECK(diag.text[0] != '\0');
    }
    CHECK_EQ(nsp_engine_create(NULL, NULL, NULL), NSP_INVALID_PARAMETER);
}

TEST(a_custom_backend_must_have_what_its_capabilities_promise)
{
    struct nsp_memory *memory = new_memory(false);
    struct nsp_engine *engine = NULL;

    for (uint32_t missing = 0; missing < 6; missing++) {
        struct nsp_io_ops ops = *nsp_io_resolve("memory", memory);
        struct nsp_engine_config cfg = { .backend = "custom",
                                         .custom = { &ops, memory } };
        struct nsp_diag diag;

        ops.open = missing == 0 ? NULL : ops.open;
        ops.rx_burst = missing == 1 ? NULL : ops.rx_burst;
        ops.wait = missing == 2 ? NULL : ops.wait;
        ops.inject = missing == 3 ? NULL : ops.inject;
        ops.name = missing == 4 ? NULL : ops.name;
        if (missing == 5) {
            ops.caps |= NSP_IO_VIRTUAL_TIME;
            ops.next_rx_ns = NULL;
        }
        CHECK_EQ(nsp_engine_create(&cfg, &engine, &diag),
                 NSP_INVALID_PARAMETER);
        CHECK_STR_EQ(diag.category, "no-ops");
    }
    nsp_memory_destroy(memory);
}

TEST(a_rule_whose_filter_is_wrong_is_named)
{
    static const struct nsp_rule rule = { .name = "web", .match = "tcp and" };
    struct nsp_memory *memory = new_memory(true);
    struct nsp_engine_config cfg = {
        .backend = "memory",
        .memory = memory,
        .policy = { .rules = &rule, .rule_count = 1 },
    };
    struct nsp_engine *engine = NULL;
    struct nsp_diag diag;

    CHECK_EQ(nsp_engine_create(&cfg, &engine, &diag), NSP_INVALID_FILTER);
    CHECK_EQ(strncmp(diag.text, "rule web: ", 10), 0);
    nsp_memory_destroy(memory);
}

/* --- Devices ------------------------------------------------------------- */

static int
status_gone(struct nsp_io *io, char *ret, uint32_t ret_bytes)
{
    (void)io;
    snprintf(ret, ret_bytes, "eth7");
    return -ENODEV;
}

static int
wait_fails(struct nsp_io *io, uint32_t queue, uint64_t timeout_ns)
{
    (void)io;
    (void)queue;
    (void)timeout_ns;
    return -EIO;
}

static uint32_t
tx_refuses_all(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
               struct nsp_pkt *const pkts[], uint32_t n, bool ret_refused[])
{
    (void)now_ns;
    nsp_io_find("memory")->drop_burst(io, queue, pkts, n);
    for (uint32_t i = 0; i < n; i++)
        ret_refused[i] = true;
    return n;
}

/* Starts and runs an engine on 'ops'; returns the result of run. */
static int
run_on(const struct nsp_io_ops *ops, struct nsp_memory *memory,
       struct nsp_stats *ret_stats, struct nsp_diag *ret_diag)
{
    struct nsp_engine_config cfg = { .backend = "custom",
                                     .custom = { ops, memory } };
    struct nsp_engine *engine;
    int result;

    CHECK_EQ(nsp_engine_create(&cfg, &engine, NULL), NSP_OK);
    CHECK_EQ(nsp_engine_start(engine, "true", NULL), NSP_OK);
    result = nsp_engine_run(engine);
    CHECK_EQ(nsp_engine_read_stats(engine, ret_stats), NSP_OK);
    CHECK_EQ(nsp_engine_read_diag(engine, ret_diag), NSP_OK);
    nsp_engine_destroy(engine);
    return result;
}

TEST(a_device_that_goes_away_ends_the_run_with_its_name)
{
    struct nsp_memory *memory = new_memory(false);
    struct nsp_io_ops ops = *nsp_io_resolve("memory", memory);
    struct nsp_stats stats;
    struct nsp_diag diag;

    ops.status = status_gone;
    CHECK_EQ(run_on(&ops, memory, &stats, &diag), NSP_INVALID_HANDLE);
    CHECK_EQ(diag.os_errno, ENODEV);
    CHECK(strstr(diag.text, "eth7") != NULL);
    nsp_memory_destroy(memory);
}

/* Fails from the moment that it has been told to take no more. */
static atomic_bool quiesced;

static void
quiesce_and_fail(struct nsp_io *io)
{
    nsp_io_find("memory")->quiesce(io);
    atomic_store(&quiesced, true);
}

static int
status_after_quiesce(struct nsp_io *io, char *ret, uint32_t ret_bytes)
{
    (void)io;
    snprintf(ret, ret_bytes, "/tmp/out.pcapng");
    return atomic_load(&quiesced) ? -ENOSPC : 0;
}

static void
stop_in_callback(void *context, struct nsp_burst *burst)
{
    struct nsp_engine **engine = context;

    (void)burst;
    CHECK_EQ(nsp_engine_stop(*engine), NSP_OK);
}

TEST(a_failure_while_the_last_packets_leave_is_reported)
{
    struct nsp_memory *memory = new_memory(false);
    struct nsp_io_ops ops = *nsp_io_resolve("memory", memory);
    struct nsp_engine *engine;
    struct nsp_engine_config cfg = { .backend = "custom",
                                     .custom = { &ops, memory },
                                     .callback = stop_in_callback,
                                     .callback_context = &engine };
    struct nsp_diag diag;

    atomic_store(&quiesced, false);
    ops.quiesce = quiesce_and_fail;
    ops.status = status_after_quiesce;
    push_udp(memory, 1, 60, 53, 0, 0, 0, NSP_INBOUND);
    CHECK_EQ(nsp_engine_create(&cfg, &engine, NULL), NSP_OK);
    CHECK_EQ(nsp_engine_start(engine, "true", NULL), NSP_OK);
    CHECK_EQ(nsp_engine_run(engine), NSP_INVALID_HANDLE);
    CHECK_EQ(nsp_engine_read_diag(engine, &diag), NSP_OK);
    CHECK_EQ(diag.os_errno, ENOSPC);
    nsp_engine_destroy(engine);
    nsp_memory_destroy(memory);
}

TEST(a_device_that_keeps_failing_ends_the_run)
{
    struct nsp_memory *memory = new_memory(false);
    struct nsp_io_ops ops = *nsp_io_resolve("memory", memory);
    struct nsp_stats stats;
    struct nsp_diag diag;

    ops.wait = wait_fails;
    CHECK_EQ(run_on(&ops, memory, &stats, &diag), NSP_TOO_MANY_ERRORS);
    CHECK_EQ(diag.os_errno, EIO);
    nsp_memory_destroy(memory);
}

TEST(packets_that_a_device_refuses_count_as_dropped)
{
    struct nsp_memory *memory = new_memory(true);
    struct nsp_io_ops ops = *nsp_io_resolve("memory", memory);
    struct nsp_stats stats;
    struct nsp_diag diag;

    ops.tx_burst = tx_refuses_all;
    push_udp(memory, 100, 60, 53, 0, 0, 0, NSP_INBOUND);
    CHECK_EQ(run_on(&ops, memory, &stats, &diag), NSP_OK);
    CHECK_EQ(stats.in_pkts, 100);
    CHECK_EQ(stats.delivered_pkts, 0);
    CHECK_EQ(stats.delivered_bytes, 0);
    CHECK_EQ(stats.dropped_pkts[NSP_DROP_TX_FAILED], 100);
    CHECK_EQ(stats.dropped_bytes[NSP_DROP_TX_FAILED], 6000);
    nsp_memory_destroy(memory);
}

/* --- Holding ------------------------------------------------------------- */

static int
start_with(const struct nsp_io_ops *ops, struct nsp_memory *memory,
           const struct nsp_rule *rule, uint32_t tapped, const char *filter,
           struct nsp_diag *diag)
{
    struct nsp_engine_config cfg = {
        .backend = "custom",
        .custom = { ops, memory },
        .hooks = tapped,
        .policy = { .rules = rule, .rule_count = 1 },
    };
    struct nsp_engine *engine;
    int result;

    CHECK_EQ(nsp_engine_create(&cfg, &engine, NULL), NSP_OK);
    result = nsp_engine_start(engine, filter, diag);
    nsp_engine_destroy(engine);
    return result;
}

TEST(holding_local_output_is_refused_where_the_device_cannot)
{
    enum { HOST = NSP_HOOK_INPUT | NSP_HOOK_OUTPUT };
    static const struct {
        struct nsp_rule rule;
        uint32_t hooks;
        const char *filter;
        int result;
    } rows[] = {
        { { .effects.delay.mean_ns = 1 }, HOST, "true", NSP_NOT_POSSIBLE },
        { { .effects.delay.mean_ns = 1 }, HOST, "outbound", NSP_NOT_POSSIBLE },
        { { .link.rate_bitps = 8000 },
          NSP_HOOK_OUTPUT,
          "tcp",
          NSP_NOT_POSSIBLE },
        { { .effects.delay.mean_ns = 1 }, HOST, "inbound and tcp", NSP_OK },
        { { .effects.delay.mean_ns = 1, .apply = NSP_APPLY_INBOUND },
          HOST,
          "tcp",
          NSP_OK },
        { { .effects.delay.mean_ns = 1, .match = "inbound" },
          HOST,
          "tcp",
          NSP_OK },
        { { .effects.delay.mean_ns = 1 }, NSP_HOOK_INPUT, "true", NSP_OK },
        { { .effects.loss.chance.ppm = 1 }, HOST, "true", NSP_OK },
        { { .action = NSP_ACTION_DROP }, HOST, "true", NSP_OK },
    };
    struct nsp_memory *memory = new_memory(true);
    struct nsp_io_ops ops = *nsp_io_resolve("memory", memory);

    ops.caps = (ops.caps & ~(uint32_t)NSP_IO_HOLDS_OUTPUT) | NSP_IO_HOOKS;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct nsp_diag diag = { 0 };

        CHECK_EQ(start_with(&ops, memory, &rows[i].rule, rows[i].hooks,
                            rows[i].filter, &diag),
                 rows[i].result);
        if (rows[i].result != NSP_OK)
            CHECK_STR_EQ(diag.category, "hold-output");
    }
    nsp_memory_destroy(memory);
}

static void
delay_all(void *context, struct nsp_burst *burst)
{
    (void)context;
    for (uint32_t i = 0; i < burst->count; i++)
        burst->verdicts[i].delay_ns = MS;
}

TEST(a_callback_cannot_hold_what_the_device_cannot)
{
    struct nsp_memory *memory = new_memory(true);
    struct nsp_io_ops ops = *nsp_io_resolve("memory", memory);
    struct nsp_engine_config cfg = { .backend = "custom",
                                     .custom = { &ops, memory },
                                     .callback = delay_all };
    struct nsp_engine *engine;
    struct nsp_stats stats;

    ops.caps = (ops.caps & ~(uint32_t)NSP_IO_HOLDS_OUTPUT) | NSP_IO_HOOKS;
    push_udp(memory, 3, 60, 53, 0, 0, 0, NSP_OUTBOUND);
    push_udp(memory, 2, 60, 53, 0, 0, 0, NSP_INBOUND);
    CHECK_EQ(nsp_engine_create(&cfg, &engine, NULL), NSP_OK);
    CHECK_EQ(nsp_engine_start(engine, "true", NULL), NSP_OK);
    CHECK_EQ(nsp_engine_run(engine), NSP_OK);
    CHECK_EQ(nsp_engine_read_stats(engine, &stats), NSP_OK);
    CHECK_EQ(stats.dropped_pkts[NSP_DROP_CANNOT_HOLD], 3);
    CHECK_EQ(stats.delivered_pkts, 2);
    nsp_engine_destroy(engine);
    nsp_memory_destroy(memory);
}

/* --- Accounting ---------------------------------------------------------- */

struct sampler {
    struct nsp_engine *engine;
    atomic_bool done;
    uint64_t samples, wrong;
};

static void *
sample(void *opaque)
{
    struct sampler *sampler = opaque;

    while (!atomic_load(&sampler->done)) {
        struct nsp_stats stats;
        struct nsp_rule_stats rule;
        uint64_t pkts, bytes;

        nsp_engine_read_stats(sampler->engine, &stats);
        pkts = stats.delivered_pkts + stats.queued_pkts;
        bytes = stats.delivered_bytes + stats.queued_bytes;
        for (int i = 0; i < NSP_DROP_COUNT; i++) {
            pkts += stats.dropped_pkts[i];
            bytes += stats.dropped_bytes[i];
        }
        sampler->wrong += pkts != stats.in_pkts || bytes != stats.in_bytes;

        nsp_engine_read_rule_stats(sampler->engine, 0, &rule);
        pkts = rule.delivered_pkts + rule.queued_pkts;
        for (int i = 0; i < NSP_DROP_COUNT; i++)
            pkts += rule.dropped_pkts[i];
        sampler->wrong += pkts != rule.in_pkts;
        sampler->samples++;
    }
    return NULL;
}

static void *
run_engine(void *opaque)
{
    return nsp_engine_run(opaque) == NSP_STOPPED ? opaque : NULL;
}

TEST(in_is_delivered_plus_dropped_plus_queued_in_every_sample)
{
    static const struct nsp_rule rule = {
        .link.rate_bitps = UINT64_C(2000000000),
        .effects.delay.mean_ns = MS,
        .effects.loss.chance.ppm = 50000,
        .link.queue_unit = NSP_QUEUE_PKTS,
        .link.queue_limit = 50,
    };
    struct nsp_memory *memory = new_memory(false);
    struct nsp_engine_config cfg = { .backend = "memory",
                                     .memory = memory,
                                     .policy = { .rules = &rule,
                                                 .rule_count = 1 } };
    struct sampler sampler = { 0 };
    pthread_t runner, reader;
    void *stopped;

    CHECK_EQ(nsp_engine_create(&cfg, &sampler.engine, NULL), NSP_OK);
    CHECK_EQ(nsp_engine_start(sampler.engine, "udp", NULL), NSP_OK);
    CHECK_EQ(pthread_create(&runner, NULL, run_engine, sampler.engine), 0);
    CHECK_EQ(pthread_create(&reader, NULL, sample, &sampler), 0);
    for (uint32_t pushed = 0; pushed < 20000;) {
        uint8_t data[1500];
        struct nsp_memory_frame out[64];
        struct nsp_memory_frame in = { .data = data, .direction = NSP_INBOUND };

        in.bytes = frame_udp(data, 28 + pushed % 1000, 53, pushed);
        pushed += nsp_memory_push_burst(memory, 0, &in, 1);
        nsp_memory_pop_burst(memory, 0, out, 64);
    }
    CHECK_EQ(nsp_engine_stop(sampler.engine), NSP_OK);
    pthread_join(runner, &stopped);
    atomic_store(&sampler.done, true);
    pthread_join(reader, NULL);
    CHECK(stopped != NULL);
    CHECK(sampler.samples > 0);
    CHECK_EQ(sampler.wrong, 0);
    nsp_engine_destroy(sampler.engine);
    nsp_memory_destroy(memory);
}

/* Before the device is opened: it takes no privilege to hear it. */
TEST(a_device_that_only_looks_refuses_rules_that_interfere)
{
    static const struct {
        struct nsp_rule rule;
        const char *word;
    } rows[] = {
        { { .name = "r", .action = NSP_ACTION_DROP }, "would drop" },
        { { .name = "r", .action = NSP_ACTION_REJECT }, "would reject" },
        { { .name = "r", .effects.loss.chance.ppm = 10 }, "would drop" },
        { { .name = "r", .limit = { NSP_LIMIT_PPS, 1, 0 } }, "would drop" },
        { { .name = "r", .link.rate_bitps = 8000 }, "would hold" },
        { { .name = "r", .effects.delay.mean_ns = MS }, "would hold" },
        { { .name = "r", .edits = { .which = NSP_EDIT_TTL, .ttl = 1 } },
          "would edit" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct nsp_engine_config cfg = {
            .backend = "sniff",
            .policy = { .rules = &rows[i].rule, .rule_count = 1 },
        };
        struct nsp_engine *engine;
        struct nsp_diag diag;

        CHECK_EQ(nsp_engine_create(&cfg, &engine, &diag), NSP_OK);
        CHECK_EQ(nsp_engine_start(engine, "true", &diag), NSP_NOT_POSSIBLE);
        CHECK_STR_EQ(diag.category, "looks-only");
        CHECK(strstr(diag.text, rows[i].word) != NULL);
        nsp_engine_destroy(engine);
    }
}

TEST_MAIN(
    cmocka_unit_test(every_allocation_may_fail_without_a_leak),
    cmocka_unit_test(bad_configuration_is_refused_by_name),
    cmocka_unit_test(unusable_backends_are_refused_with_what_to_do),
    cmocka_unit_test(a_custom_backend_must_have_what_its_capabilities_promise),
    cmocka_unit_test(a_rule_whose_filter_is_wrong_is_named),
    cmocka_unit_test(a_device_that_goes_away_ends_the_run_with_its_name),
    cmocka_unit_test(a_failure_while_the_last_packets_leave_is_reported),
    cmocka_unit_test(a_device_that_keeps_failing_ends_the_run),
    cmocka_unit_test(packets_that_a_device_refuses_count_as_dropped),
    cmocka_unit_test(holding_local_output_is_refused_where_the_device_cannot),
    cmocka_unit_test(a_callback_cannot_hold_what_the_device_cannot),
    cmocka_unit_test(in_is_delivered_plus_dropped_plus_queued_in_every_sample),
    cmocka_unit_test(a_device_that_only_looks_refuses_rules_that_interfere))
