#define _GNU_SOURCE
/* Opening, closing, dying, and what is left behind; topology in
 * nfqueue_fixture.h. */
#include "tests/functional/nfqueue_fixture.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT      7001
#define ALL_HOOKS (NSP_HOOK_INPUT | NSP_HOOK_OUTPUT | NSP_HOOK_FORWARD)

static void
check_nothing_left(void)
{
    CHECK_EQ(fixture_count_tables(), 0);
    CHECK_EQ(fixture_count_queues(), 0);
}

static void
wait_for_death(pid_t child, int expected_status)
{
    int status;

    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, expected_status);
}

/* --- Open and close ------------------------------------------------------- */

TEST(nfqueue_leaves_nothing_behind_when_closed)
{
    struct nsp_io_config cfg = fixture_config(ALL_HOOKS);
    struct nsp_io *io;

    fixture_require();
    cfg.queues = 3;
    io = fixture_open(&cfg);
    CHECK_EQ(fixture_count_tables(), 1);
    CHECK_EQ(fixture_count_queues(), 3);
    fixture_close(io);
    check_nothing_left();
}

TEST(nfqueue_taps_no_hook_where_none_is_asked_for)
{
    struct nsp_io_config cfg = fixture_config(0);
    struct nsp_io *io;
    int client, server;

    fixture_require();
    server = fixture_udp(NSP_LAB_SERVER, AF_INET, PORT);
    client = fixture_udp(NSP_LAB_CLIENT, AF_INET, 0);
    io = fixture_open(&cfg);
    fixture_say(client, NSP_LAB_SERVER, AF_INET, PORT, "untouched");
    fixture_hear(server, "untouched");
    CHECK(fixture_is_empty(io));
    fixture_close(io);
    check_nothing_left();
}

TEST(nfqueue_picks_queues_that_are_free)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);

    fixture_require();
    cfg.queues = 2;
    for (int i = 0; i < 3; i++)
        fixture_open(&cfg);
    CHECK_EQ(fixture_count_tables(), 3);
    CHECK_EQ(fixture_count_queues(), 6);
}

TEST(nfqueue_names_the_taken_queue_its_owner_and_the_cure)
{
    struct nsp_nfqueue_config device = { .hang_ms = 10000, .first_queue = 41 };
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    struct nsp_io *second = NULL;
    struct nsp_diag diag;

    fixture_require();
    cfg.device = &device;
    cfg.queues = 2;
    fixture_open(&cfg); /* 41 and 42. */
    device.first_queue = 40;
    CHECK_EQ(nsp_nfqueue_ops.open(&cfg, &second, &diag), NSP_OPEN_FAILED);
    CHECK(second == NULL);
    CHECK_STR_EQ(diag.category, "queue-taken");
    CHECK(strstr(diag.text, "queue 41 is taken by netlink port ") != NULL);
    CHECK(diag.hint[0] != '\0');
    CHECK_EQ(fixture_count_tables(), 1);
    CHECK_EQ(fixture_count_queues(), 2);
}

TEST(nfqueue_refuses_nonsense)
{
    static const struct {
        uint32_t queues, hooks, max_held_pkts, first_queue;
        const char *category;
    } cases[] = {
        { 0, NSP_HOOK_INPUT, 64, 0, "queues" },
        { NSP_IO_QUEUES_MAX + 1, NSP_HOOK_INPUT, 64, 0, "queues" },
        { 1, 8, 64, 0, "hooks" },
        { 1, NSP_HOOK_INPUT, (1u << 20) + 1, 0, "max-held" },
        { 1, NSP_HOOK_INPUT, 64, 65536, "queue-number" },
        { 2, NSP_HOOK_INPUT, 64, 65535, "queue-number" },
        { 1, NSP_HOOK_INPUT, 64, UINT32_MAX, "queue-number" },
        { 2, NSP_HOOK_INPUT, 64, UINT32_MAX, "queue-number" },
    };

    fixture_require();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct nsp_nfqueue_config device = { .hang_ms = 10000,
                                             .first_queue =
                                                 cases[i].first_queue };
        struct nsp_io_config cfg = { .device = &device,
                                     .queues = cases[i].queues,
                                     .hooks = cases[i].hooks,
                                     .max_held_pkts = cases[i].max_held_pkts };
        struct nsp_io *io = NULL;
        struct nsp_diag diag;

        CHECK_EQ(nsp_nfqueue_ops.open(&cfg, &io, &diag), NSP_INVALID_PARAMETER);
        CHECK_STR_EQ(diag.category, cases[i].category);
        CHECK(diag.hint[0] != '\0');
    }
    check_nothing_left();
}

/* Descriptors run out at each of the steps of opening. */
static void
open_with_few_descriptors(void *context)
{
    struct nsp_io_config cfg = fixture_config(ALL_HOOKS);
    int result = NSP_OPEN_FAILED, lowest = dup(0);

    (void)context;
    CHILD_CHECK(lowest >= 0 && close(lowest) == 0);
    cfg.queues = 2;
    for (int n = 0; result != NSP_OK; n++) {
        struct rlimit limit = { (rlim_t)(lowest + n), 1024 };
        struct nsp_io *io = NULL;
        struct nsp_diag diag;

        CHILD_CHECK(n < 20 && setrlimit(RLIMIT_NOFILE, &limit) == 0);
        result = nsp_nfqueue_ops.open(&cfg, &io, &diag);
        if (result == NSP_OK) {
            CHILD_CHECK(n > 4);
            nsp_nfqueue_ops.close(io);
        } else {
            CHILD_CHECK(result == NSP_OPEN_FAILED && !io);
            CHILD_CHECK(strstr(diag.hint, "ulimit -n") != NULL);
        }
    }
}

TEST(nfqueue_says_how_to_get_more_descriptors)
{
    fixture_require();
    wait_for_death(fixture_fork(open_with_few_descriptors, NULL), 0);
    check_nothing_left();
}

static uint32_t allocations_left;

static void *
alloc_until_none_is_left(void *context, size_t bytes)
{
    (void)context;
    if (allocations_left == 0)
        return NULL;
    allocations_left--;
    return calloc(1, bytes);
}

static void
release(void *context, void *memory)
{
    (void)context;
    free(memory);
}

TEST(nfqueue_survives_every_allocation_that_can_fail)
{
    struct nsp_io_config cfg = fixture_config(ALL_HOOKS);
    int result = NSP_NO_MEMORY;

    fixture_require();
    cfg.queues = 2;
    cfg.edits = true;
    cfg.allocator = (struct nsp_allocator){ .alloc = alloc_until_none_is_left,
                                            .release = release };
    for (uint32_t n = 0; result != NSP_OK; n++) {
        struct nsp_io *io = NULL;
        struct nsp_diag diag;

        CHECK(n < 100);
        allocations_left = n;
        result = nsp_nfqueue_ops.open(&cfg, &io, &diag);
        CHECK(result == NSP_NO_MEMORY || result == NSP_OK);
        if (result == NSP_OK)
            nsp_nfqueue_ops.close(io);
        else
            CHECK_STR_EQ(diag.category, "no-memory");
        check_nothing_left();
    }
}

/* --- Stopping ------------------------------------------------------------- */

/* 200 datagrams: 64 taken and sent, the rest never received by the device; 10
 * more after the rules are gone. */
TEST(nfqueue_loses_nothing_when_stopped)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    struct nsp_pkt *pkts[NSP_BURST_MAX];
    struct nsp_io *io;
    int client, server;

    fixture_require();
    server = fixture_udp(NSP_LAB_SERVER, AF_INET, PORT);
    client = fixture_udp(NSP_LAB_CLIENT, AF_INET, 0);
    io = fixture_open(&cfg);
    for (int i = 0; i < 200; i++)
        fixture_say(client, NSP_LAB_SERVER, AF_INET, PORT, "kept");
    fixture_receive(io, pkts, NSP_BURST_MAX);
    nsp_nfqueue_ops.quiesce(io);
    for (int i = 0; i < 10; i++) {
        fixture_say(client, NSP_LAB_SERVER, AF_INET, PORT, "direct");
        fixture_hear(server, "direct");
    }
    fixture_hear_nothing(server);
    fixture_send(io, pkts, NSP_BURST_MAX);
    fixture_close(io);
    for (int i = 0; i < 200; i++)
        fixture_hear(server, "kept");
    check_nothing_left();
}

/* What the device asks of the kernel without a function of the C library comes
 * by here (--wrap). */
static void (*at_barrier)(void);
static uint32_t barriers;

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

long
__wrap_syscall(long number, ...)
{
    long words[5];
    va_list args;

    va_start(args, number);
    for (int i = 0; i < 5; i++)
        words[i] = va_arg(args, long);
    va_end(args);
    if (number == SYS_membarrier && words[0] == MEMBARRIER_CMD_GLOBAL) {
        barriers++;
        if (at_barrier)
            at_barrier();
    }
    return __real_syscall(number, words[0], words[1], words[2], words[3],
                          words[4]);
}

static int speaker, listener;

/* The rules are gone: nothing more is on its way to the queue but what was
 * before. */
static void
speak(void)
{
    fixture_say(speaker, NSP_LAB_SERVER, AF_INET, PORT, "direct");
    fixture_hear(listener, "direct");
}

/* Without that, a packet on its way through the rules is lost now and then when
 * the queue closes. */
TEST(nfqueue_waits_for_what_is_on_its_way_through_the_rules_it_removes)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    struct nsp_io *io;

    fixture_require();
    listener = fixture_udp(NSP_LAB_SERVER, AF_INET, PORT);
    speaker = fixture_udp(NSP_LAB_CLIENT, AF_INET, 0);
    io = fixture_open(&cfg);
    barriers = 0;
    at_barrier = speak;
    nsp_nfqueue_ops.quiesce(io);
    at_barrier = NULL;
    CHECK_EQ(barriers, 1);
    fixture_close(io);
}

/* Talks from the client's host until told to stop. */
struct talker {
    pthread_t thread;
    int fd;
    _Atomic bool stop;
    uint32_t said;
    _Atomic uint32_t *heard;
};

static void *
talk(void *opaque)
{
    struct talker *talker = opaque;

    while (!talker->stop) {
        /* The listener's buffer must hold what is on the way. */
        if (talker->said - *talker->heard < 64) {
            fixture_say(talker->fd, NSP_LAB_SERVER, AF_INET, PORT, "steady");
            talker->said++;
        }
    }
    return NULL;
}

#define CYCLES 30

/* Two threads: one talks and this one opens, forwards and closes. */
TEST(nfqueue_loses_nothing_of_steady_traffic_when_opened_and_closed)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    _Atomic uint32_t heard = 0;
    struct talker talker = { .heard = &heard };
    char text[16];
    int server;

    fixture_require();
    server = fixture_udp(NSP_LAB_SERVER, AF_INET, PORT);
    talker.fd = fixture_udp(NSP_LAB_CLIENT, AF_INET, 0);
    CHECK_EQ(pthread_create(&talker.thread, NULL, talk, &talker), 0);
    for (int i = 0; i < CYCLES; i++) {
        struct nsp_io *io = fixture_open(&cfg);

        for (int j = 0; j < 20; j++) {
            struct nsp_pkt *pkts[NSP_BURST_MAX];
            uint32_t n;

            CHECK_EQ(nsp_nfqueue_ops.wait(io, QUEUE, 1000000), 0);
            n = nsp_nfqueue_ops.rx_burst(io, QUEUE, 0, pkts, NSP_BURST_MAX);
            fixture_send(io, pkts, n);
            while (recv(server, text, sizeof text, MSG_DONTWAIT) > 0)
                heard++;
        }
        fixture_close(io);
        while (recv(server, text, sizeof text, MSG_DONTWAIT) > 0)
            heard++;
    }
    talker.stop = true;
    CHECK_EQ(pthread_join(talker.thread, NULL), 0);
    while (heard < talker.said) {
        fixture_hear(server, "steady");
        heard++;
    }
    fixture_hear_nothing(server);
}

static void
open_and_sleep(void *context)
{
    const int *ready = context;
    struct nsp_io_config cfg = fixture_config(ALL_HOOKS);
    struct nsp_io *io = NULL;

    CHILD_CHECK(nsp_nfqueue_ops.open(&cfg, &io, NULL) == NSP_OK);
    CHILD_CHECK(write(*ready, "r", 1) == 1);
    for (;;)
        pause();
}

TEST(nfqueue_vanishes_when_its_process_is_killed)
{
    int ready[2], client, server;
    char byte;
    pid_t child;

    fixture_require();
    server = fixture_udp(NSP_LAB_SERVER, AF_INET, PORT);
    client = fixture_udp(NSP_LAB_CLIENT, AF_INET, 0);
    CHECK_EQ(pipe(ready), 0);
    child = fixture_fork(open_and_sleep, &ready[1]);
    CHECK_EQ(close(ready[1]), 0);
    CHECK(read(ready[0], &byte, 1) == 1);
    CHECK_EQ(close(ready[0]), 0);
    CHECK_EQ(fixture_count_tables(), 1);
    fixture_say(client, NSP_LAB_SERVER, AF_INET, PORT, "held");
    fixture_hear_nothing(server);

    CHECK_EQ(kill(child, SIGKILL), 0);
    wait_for_death(child, SIGKILL);
    /* A process is gone when it can be waited for, and its sockets with it. */
    check_nothing_left();
    fixture_say(client, NSP_LAB_SERVER, AF_INET, PORT, "free");
    fixture_hear(server, "free");
}

/* --- Waiting -------------------------------------------------------------- */

TEST(nfqueue_keeps_a_wake_that_came_before_the_wait)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    struct nsp_io *io;

    fixture_require();
    cfg.queues = 2;
    io = fixture_open(&cfg);
    nsp_nfqueue_ops.wake(io);
    /* Would last for ever. */
    CHECK_EQ(nsp_nfqueue_ops.wait(io, 0, NSP_TIME_NEVER), 0);
    CHECK_EQ(nsp_nfqueue_ops.wait(io, 1, NSP_TIME_NEVER), 0);
}

/* --- What the kernel does meanwhile --------------------------------------- */

/* Removing a base chain drops what is queued in the whole namespace, so closing
 * one device flushes what another one holds. */
TEST(nfqueue_counts_verdicts_on_packets_that_the_kernel_has_flushed)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    struct nsp_io_config other_cfg = fixture_config(NSP_HOOK_INPUT);
    struct nsp_io_stats stats;
    struct nsp_io *io, *other;
    struct nsp_pkt *pkts[3];
    int client, server;

    fixture_require();
    server = fixture_udp(NSP_LAB_SERVER, AF_INET, PORT);
    client = fixture_udp(NSP_LAB_CLIENT, AF_INET, 0);
    io = fixture_open(&cfg);
    other = fixture_open(&other_cfg);
    for (int i = 0; i < 3; i++)
        fixture_say(client, NSP_LAB_SERVER, AF_INET, PORT, "flushed");
    fixture_receive(io, pkts, 3);
    fixture_close(other);
    fixture_send(io, pkts, 3);
    CHECK(fixture_is_empty(io));
    nsp_nfqueue_ops.read_stats(io, &stats);
    CHECK_EQ(stats.stale_verdict_pkts, 3);
    CHECK_EQ(stats.device_errors, 0);
    CHECK_EQ(nsp_nfqueue_ops.status(io, NULL, 0), 0);
    fixture_hear_nothing(server);
}

/* Nothing is received after the last verdicts of a run. */
TEST(nfqueue_counts_stale_verdicts_without_receiving_once_quiesced)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    struct nsp_io_config other_cfg = fixture_config(NSP_HOOK_INPUT);
    struct nsp_io_stats stats;
    struct nsp_io *io, *other;
    struct nsp_pkt *pkts[3];
    int client;

    fixture_require();
    client = fixture_udp(NSP_LAB_CLIENT, AF_INET, 0);
    io = fixture_open(&cfg);
    other = fixture_open(&other_cfg);
    for (int i = 0; i < 3; i++)
        fixture_say(client, NSP_LAB_SERVER, AF_INET, PORT, "flushed");
    fixture_receive(io, pkts, 3);
    fixture_close(other);
    nsp_nfqueue_ops.quiesce(io);
    fixture_send(io, pkts, 2);
    nsp_nfqueue_ops.drop_burst(io, QUEUE, &pkts[2], 1);
    nsp_nfqueue_ops.read_stats(io, &stats);
    CHECK_EQ(stats.stale_verdict_pkts, 3);
    CHECK_EQ(stats.device_errors, 0);
}

/* --- Privilege ------------------------------------------------------------ */

static void
drop_capabilities(void)
{
    struct __user_cap_header_struct header = {
        .version = _LINUX_CAPABILITY_VERSION_3,
    };
    struct __user_cap_data_struct none[2] = { { 0, 0, 0 }, { 0, 0, 0 } };

    CHILD_CHECK(syscall(SYS_capset, &header, none) == 0);
}

static void
count_states(void *context, const struct nsp_probe_item *item)
{
    uint32_t *counts = context;

    CHILD_CHECK(item->detail[0] != '\0');
    CHILD_CHECK((item->cure[0] == '\0') == (item->state == NSP_PROBE_OK));
    counts[item->state]++;
    counts[3] += strcmp(item->feature, "privilege") == 0 &&
                 item->state == NSP_PROBE_MISSING;
}

static void
open_without_privilege(void *context)
{
    struct nsp_io_config cfg = fixture_config(ALL_HOOKS);
    uint32_t counts[4] = { 0 };
    struct nsp_io *io = NULL;
    struct nsp_diag diag;

    (void)context;
    drop_capabilities();
    CHILD_CHECK(nsp_nfqueue_ops.open(&cfg, &io, &diag) == NSP_NOT_POSSIBLE);
    CHILD_CHECK(strcmp(diag.category, "privilege") == 0);
    CHILD_CHECK(strstr(diag.hint, "CAP_NET_ADMIN") != NULL);
    CHILD_CHECK(io == NULL);
    nsp_nfqueue_ops.probe(count_states, counts);
    CHILD_CHECK(counts[NSP_PROBE_MISSING] >= 6 && counts[3] == 1);
}

TEST(nfqueue_says_which_privilege_it_lacks)
{
    fixture_require();
    wait_for_death(fixture_fork(open_without_privilege, NULL), 0);
    check_nothing_left();
}

TEST(nfqueue_probe_finds_all_and_leaves_nothing_behind)
{
    struct nsp_io_config cfg = fixture_config(ALL_HOOKS);
    uint32_t counts[4] = { 0 };

    fixture_require();
    fixture_close(fixture_open(&cfg)); /* Skips where something is missing. */
    nsp_nfqueue_ops.probe(count_states, counts);
    CHECK_EQ(counts[NSP_PROBE_MISSING], 0);
    CHECK_EQ(counts[NSP_PROBE_OK] + counts[NSP_PROBE_DEGRADED], 10);
    check_nothing_left();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(nfqueue_leaves_nothing_behind_when_closed),
        FIXTURE_TEST(nfqueue_taps_no_hook_where_none_is_asked_for),
        FIXTURE_TEST(nfqueue_picks_queues_that_are_free),
        FIXTURE_TEST(nfqueue_names_the_taken_queue_its_owner_and_the_cure),
        FIXTURE_TEST(nfqueue_refuses_nonsense),
        FIXTURE_TEST(nfqueue_says_how_to_get_more_descriptors),
        FIXTURE_TEST(nfqueue_survives_every_allocation_that_can_fail),
        FIXTURE_TEST(nfqueue_loses_nothing_when_stopped),
        FIXTURE_TEST(
            nfqueue_waits_for_what_is_on_its_way_through_the_rules_it_removes),
        FIXTURE_TEST(
            nfqueue_loses_nothing_of_steady_traffic_when_opened_and_closed),
        FIXTURE_TEST(nfqueue_vanishes_when_its_process_is_killed),
        FIXTURE_TEST(nfqueue_keeps_a_wake_that_came_before_the_wait),
        FIXTURE_TEST(
            nfqueue_counts_verdicts_on_packets_that_the_kernel_has_flushed),
        FIXTURE_TEST(
            nfqueue_counts_stale_verdicts_without_receiving_once_quiesced),
        FIXTURE_TEST(nfqueue_says_which_privilege_it_lacks),
        FIXTURE_TEST(nfqueue_probe_finds_all_and_leaves_nothing_behind),
    };

    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
