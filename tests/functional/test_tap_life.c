#define _GNU_SOURCE
/* The tap device: opening, hanging, dying, and what is left behind. */
#include "tests/functional/tap_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/failing_alloc.h"

/* --- Signs of life -------------------------------------------------------- */

/* Asks until the router hears, or 'take' says that it need not. */
static void
ask_until(bool (*done)(void))
{
    const uint64_t end_ns =
        tap_now_ns() + FIXTURE_PATIENCE_S * UINT64_C(1000000000);

    do {
        CHECK(tap_now_ns() < end_ns);
        tap_ask("late");
    } while (!done());
}

static bool
router_hears(void)
{
    char text[64];

    return recv(tap_router, text, sizeof text, MSG_DONTWAIT) > 0;
}

static bool
kernel_drops(void)
{
    return tap_kernel_dropped() > 0;
}

TEST(tap_is_passed_by_when_it_hangs)
{
    struct nsp_io_config cfg = tap_begin();

    tap_open_ends();
    tap_config.hang_ms = 10;
    tap_open(&cfg);
    CHECK(tap_is_empty()); /* The last sign. */
    ask_until(router_hears);
}

TEST(tap_lets_nothing_by_when_it_hangs_and_fails_closed)
{
    struct nsp_io_config cfg = tap_begin();

    tap_open_ends();
    tap_config.hang_ms = 10;
    tap_config.queue_pkts = 65536;
    tap_config.fail_closed = true;
    tap_open(&cfg);
    CHECK(tap_is_empty());
    ask_until(kernel_drops);
    fixture_hear_nothing(tap_router);
}

/* --- Attaching ------------------------------------------------------------ */

static void
exchange(void)
{
    struct nsp_pkt *pkt;

    CHECK(tap_is_empty()); /* A sign of life: the last may be long ago. */
    tap_ask("question");
    tap_receive(&pkt, 1);
    CHECK_EQ(pkt->hook, NSP_HOOK_INPUT);
    CHECK_EQ(tap_send_all(&pkt, 1), 0);
    fixture_hear(tap_router, "question");
    tap_answer("answer");
    tap_receive(&pkt, 1);
    CHECK_EQ(pkt->hook, NSP_HOOK_OUTPUT);
    CHECK_EQ(tap_send_all(&pkt, 1), 0);
    fixture_hear(tap_client, "answer");
    CHECK(tap_is_empty());
}

TEST(tap_works_with_clsact_filters_too)
{
    struct nsp_io_config cfg = tap_begin();

    tap_open_ends();
    tap_config.attach = NSP_TAP_ATTACH_CLSACT;
    for (int again = 0; again < 2; again++) {
        tap_open(&cfg);
        exchange();
        tap_close();
        tap_check_untouched();
    }
}

static void
open_and_wait(void *context)
{
    const struct nsp_io_config *cfg = context;
    struct nsp_diag diag;

    CHILD_CHECK(nsp_tap_ops.open(cfg, &tap_device, &diag) == NSP_OK);
    CHILD_CHECK(tap_is_empty());
    kill(getpid(), SIGKILL);
}

/* tcx links vanish; clsact filters stay, find nobody alive, and are replaced by
 * the next device. */
TEST(tap_lets_go_of_the_network_when_killed)
{
    struct nsp_io_config cfg = tap_begin();
    int status;

    tap_open_ends();
    tap_open(&cfg); /* To be skipped where it must. */
    tap_close();
    for (int attach = NSP_TAP_ATTACH_TCX; attach <= NSP_TAP_ATTACH_CLSACT;
         attach++) {
        pid_t child;

        tap_config.attach = (uint8_t)attach;
        tap_config.hang_ms = 10;
        child = fixture_fork(open_and_wait, &cfg);
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        CHECK_EQ(tap_count(), 0);
        ask_until(router_hears);
        while (router_hears())
            ;
        tap_config.hang_ms = 10000;
        tap_open(&cfg);
        exchange();
        tap_close();
        tap_check_untouched();
    }
}

/* And the next device, which need not fail closed, takes that off, also where
 * it attaches otherwise or takes one way only. */
TEST(tap_lets_nothing_by_when_killed_and_fails_closed)
{
    struct nsp_io_config cfg = tap_begin();
    int status;

    tap_open_ends();
    tap_open(&cfg); /* To be skipped where it must. */
    tap_close();
    for (int attach = NSP_TAP_ATTACH_TCX; attach <= NSP_TAP_ATTACH_CLSACT;
         attach++) {
        pid_t child;

        tap_config.attach = NSP_TAP_ATTACH_AUTO;
        tap_config.fail_closed = true;
        cfg.hooks = TAP_BOTH;
        child = fixture_fork(open_and_wait, &cfg);
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        while (tap_count() > 0)
            ;
        tap_ask("question");
        fixture_hear_nothing(tap_router);
        tap_answer("answer");
        fixture_hear_nothing(tap_client);

        tap_config.attach = (uint8_t)attach;
        tap_config.fail_closed = false;
        cfg.hooks = NSP_HOOK_OUTPUT;
        tap_open(&cfg);
        tap_ask("untaken");
        fixture_hear(tap_router, "untaken");
        tap_close();
        tap_check_untouched();
    }
}

TEST(tap_refuses_links_where_it_is_to_fail_closed)
{
    struct nsp_io_config cfg = tap_begin();
    struct nsp_diag diag;

    tap_config.attach = NSP_TAP_ATTACH_TCX;
    tap_config.fail_closed = true;
    CHECK_EQ(nsp_tap_ops.open(&cfg, &tap_device, &diag), NSP_INVALID_PARAMETER);
    CHECK_STR_EQ(diag.category, "attach");
}

static void
open_for_long(void *context)
{
    const struct nsp_io_config *cfg = context;
    struct nsp_diag diag;

    CHILD_CHECK(nsp_tap_ops.open(cfg, &tap_device, &diag) == NSP_OK);
    CHILD_CHECK(tap_is_empty());
}

/* Before its files are closed, which takes the kernel a while. */
TEST(tap_is_passed_by_as_soon_as_it_is_dead)
{
    struct nsp_io_config cfg = tap_begin();
    const uint64_t end_ns =
        tap_now_ns() + FIXTURE_PATIENCE_S * UINT64_C(1000000000);

    tap_open_ends();
    tap_open(&cfg); /* To be skipped where it must. */
    tap_close();
    fixture_kill_with_heir(open_for_long, &cfg);
    CHECK_EQ(tap_count(), 1);
    tap_ask("question");
    fixture_hear(tap_router, "question");
    tap_answer("answer");
    fixture_hear(tap_client, "answer");
    fixture_end_heir();
    while (tap_count() > 0)
        CHECK(tap_now_ns() < end_ns);
}

/* With the queueing discipline that they are in. */
static void
take_off_filters(const char *interface)
{
    char command[64];

    snprintf(command, sizeof command, "tc qdisc del dev %s clsact", interface);
    CHECK_EQ(system(command), 0);
}

static void
refuse_second(struct nsp_io_config *cfg, enum nsp_tap_attach attach)
{
    struct nsp_io *second = NULL;
    struct nsp_diag diag;

    tap_config.attach = (uint8_t)attach;
    CHECK_EQ(nsp_tap_ops.open(cfg, &second, &diag), NSP_OPEN_FAILED);
    CHECK(second == NULL);
    CHECK_STR_EQ(diag.category, "interface-taken");
    CHECK_EQ(tap_count(), 1);
    exchange();
}

TEST(tap_refuses_an_interface_that_is_taken)
{
    struct nsp_io_config cfg = tap_begin();

    tap_open_ends();
    for (int attach = NSP_TAP_ATTACH_TCX; attach <= NSP_TAP_ATTACH_CLSACT;
         attach++) {
        tap_config.attach = (uint8_t)attach;
        tap_open(&cfg);
        refuse_second(&cfg, NSP_TAP_ATTACH_TCX);
        refuse_second(&cfg, NSP_TAP_ATTACH_CLSACT);
        tap_close();
        tap_check_untouched();
    }
}

/* One whose filters were taken off by hand is not in the way of another, nor
 * does its end touch what is there by then. */
TEST(tap_takes_off_its_own_clsact_filters_alone)
{
    struct nsp_io_config cfg = tap_begin();
    struct nsp_io *first;

    tap_open_ends();
    tap_config.attach = NSP_TAP_ATTACH_CLSACT;
    tap_open(&cfg);
    first = tap_device;
    tap_device = NULL;
    for (uint32_t i = 0; i < tap_config.interface_count; i++)
        take_off_filters(tap_config.interfaces[i]);
    tap_open(&cfg);
    nsp_tap_ops.close(first);
    exchange();
    tap_close();
    tap_check_untouched();
}

TEST(tap_refuses_nonsense)
{
    static const struct {
        uint32_t queues, hooks, max_held_pkts, hang_ms, queue_pkts;
        uint8_t attach;
        const char *category;
    } cases[] = {
        { 0, TAP_BOTH, 64, 0, 0, 0, "queues" },
        { NSP_IO_QUEUES_MAX + 1, TAP_BOTH, 64, 0, 0, 0, "queues" },
        { 1, NSP_HOOK_FORWARD, 64, 0, 0, 0, "hooks" },
        { 1, TAP_BOTH, (1u << 20) + 1, 0, 0, 0, "max-held" },
        { 1, TAP_BOTH, 64, 9, 0, 0, "hang" },
        { 1, TAP_BOTH, 64, 10001, 0, 0, "hang" },
        { 1, TAP_BOTH, 64, 0, 65537, 0, "queue-pkts" },
        { 1, TAP_BOTH, 64, 0, 0, 3, "attach" },
    };

    fixture_require();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct nsp_tap_config bad = { .hang_ms = cases[i].hang_ms,
                                      .queue_pkts = cases[i].queue_pkts,
                                      .attach = cases[i].attach };
        struct nsp_io_config cfg = { .device = &bad,
                                     .queues = cases[i].queues,
                                     .hooks = cases[i].hooks,
                                     .max_held_pkts = cases[i].max_held_pkts };
        struct nsp_diag diag;

        CHECK(nsp_tap_ops.open(&cfg, &tap_device, &diag) < 0);
        CHECK_STR_EQ(diag.category, cases[i].category);
        CHECK(diag.hint[0] != '\0');
    }
    CHECK_EQ(tap_count(), 0);
}

TEST(tap_survives_every_allocation_that_can_fail)
{
    struct nsp_io_config cfg = tap_begin();
    struct failing_alloc memory = { 0 };
    int result = NSP_NO_MEMORY;

    tap_open(&cfg); /* To be skipped where it must. */
    tap_close();
    tap_open_ends();
    cfg.queues = 2;
    for (unsigned n = 0; result != NSP_OK; n++) {
        struct nsp_diag diag;

        CHECK(n < 100);
        memory = (struct failing_alloc){ .fail_at = n };
        cfg.allocator = failing_allocator(&memory);
        result = nsp_tap_ops.open(&cfg, &tap_device, &diag);
        CHECK(result == NSP_NO_MEMORY || result == NSP_OK);
        if (result == NSP_OK)
            nsp_tap_ops.close(tap_device);
        else
            CHECK_STR_EQ(diag.category, "no-memory");
        tap_device = NULL;
        CHECK_EQ(memory.live, 0);
    }
    tap_check_untouched();
}

/* Descriptors run out at each of the steps of opening. */
static void
open_with_few_descriptors(void *context)
{
    const struct nsp_io_config *cfg = context;
    int result = NSP_OPEN_FAILED, lowest = dup(0);

    CHILD_CHECK(lowest >= 0 && close(lowest) == 0);
    for (int n = 0; result != NSP_OK; n++) {
        struct rlimit limit = { (rlim_t)(lowest + n), 1024 };
        struct nsp_diag diag;

        CHILD_CHECK(n < 30 && setrlimit(RLIMIT_NOFILE, &limit) == 0);
        result = nsp_tap_ops.open(cfg, &tap_device, &diag);
        if (result == NSP_OK)
            nsp_tap_ops.close(tap_device);
        else
            CHILD_CHECK(strstr(diag.hint, "ulimit -n") != NULL);
    }
}

TEST(tap_says_how_to_get_more_descriptors)
{
    struct nsp_io_config cfg = tap_begin();
    int status;
    pid_t child;

    tap_open_ends();
    tap_open(&cfg); /* To be skipped where it must. */
    tap_close();
    child = fixture_fork(open_with_few_descriptors, &cfg);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    tap_check_untouched();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TAP_TEST(tap_is_passed_by_when_it_hangs),
        TAP_TEST(tap_lets_nothing_by_when_it_hangs_and_fails_closed),
        TAP_TEST(tap_works_with_clsact_filters_too),
        TAP_TEST(tap_lets_go_of_the_network_when_killed),
        TAP_TEST(tap_lets_nothing_by_when_killed_and_fails_closed),
        TAP_TEST(tap_refuses_links_where_it_is_to_fail_closed),
        TAP_TEST(tap_is_passed_by_as_soon_as_it_is_dead),
        TAP_TEST(tap_refuses_an_interface_that_is_taken),
        TAP_TEST(tap_takes_off_its_own_clsact_filters_alone),
        TAP_TEST(tap_refuses_nonsense),
        TAP_TEST(tap_survives_every_allocation_that_can_fail),
        TAP_TEST(tap_says_how_to_get_more_descriptors),
    };

    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
