#define _GNU_SOURCE
/* What fails closed, and outlives its process; topology in nfqueue_fixture.h.
 */
#include "tests/functional/nfqueue_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/nfqueue/nfqueue_rules.h"

#define PORT 7001

static void
check_nothing_left(void)
{
    CHECK_EQ(fixture_count_tables(), 0);
    CHECK_EQ(fixture_count_queues(), 0);
}

struct closed_child {
    int ready;
    uint32_t first_queue;
};

static void
open_closed_and_sleep(void *context)
{
    const struct closed_child *closed = context;
    struct nsp_nfqueue_config device = { .hang_ms = 10000,
                                         .fail_closed = true,
                                         .first_queue = closed->first_queue };
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    struct nsp_io *io = NULL;

    cfg.device = &device;
    CHILD_CHECK(nsp_nfqueue_ops.open(&cfg, &io, NULL) == NSP_OK);
    CHILD_CHECK(write(closed->ready, "r", 1) == 1);
    for (;;)
        pause();
}

static pid_t
start_closed(uint32_t first_queue)
{
    struct closed_child closed = { .first_queue = first_queue };
    int ready[2];
    char byte;
    pid_t child;

    CHECK_EQ(pipe(ready), 0);
    closed.ready = ready[1];
    child = fixture_fork(open_closed_and_sleep, &closed);
    CHECK_EQ(close(ready[1]), 0);
    CHECK(read(ready[0], &byte, 1) == 1);
    CHECK_EQ(close(ready[0]), 0);
    return child;
}

static void
end_child(pid_t child)
{
    int status;

    CHECK_EQ(kill(child, SIGKILL), 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, SIGKILL);
}

static uint32_t removals;

static void
note_removal(void *context, enum nsp_log_level level, const char *line)
{
    (void)context;
    (void)level;
    removals += strstr(line, "is removed") != NULL;
}

/* The next one has other queues, or those of the dead one. */
static void
check_successor(uint32_t first_queue)
{
    struct nsp_nfqueue_config device = { .hang_ms = 10000,
                                         .fail_closed = true,
                                         .first_queue = first_queue };
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    struct nsp_pkt *pkts[1];
    struct nsp_io *io;
    int client, server;

    server = fixture_udp(NSP_LAB_SERVER, AF_INET, PORT);
    client = fixture_udp(NSP_LAB_CLIENT, AF_INET, 0);
    end_child(start_closed(first_queue));
    CHECK_EQ(fixture_count_tables(), 1);
    fixture_say(client, NSP_LAB_SERVER, AF_INET, PORT, "dropped");
    fixture_hear_nothing(server);

    removals = 0;
    cfg.device = &device;
    cfg.log = (struct nsp_log_sink){ .write = note_removal };
    io = fixture_open(&cfg);
    CHECK_EQ(removals, 1);
    CHECK_EQ(fixture_count_tables(), 1);
    fixture_say(client, NSP_LAB_SERVER, AF_INET, PORT, "taken");
    fixture_receive(io, pkts, 1);
    fixture_send(io, pkts, 1);
    CHECK(fixture_is_empty(io));
    fixture_hear(server, "taken");
    fixture_close(io);
    check_nothing_left();
    fixture_say(client, NSP_LAB_SERVER, AF_INET, PORT, "free");
    fixture_hear(server, "free");
}

TEST(nfqueue_that_fails_closed_drops_when_killed_until_the_next_one_opens)
{
    fixture_require();
    check_successor(0);
    fixture_end(NULL);
    check_successor(77);
}

TEST(nfqueue_leaves_the_table_of_a_live_process_alone)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    pid_t alive;

    fixture_require();
    alive = start_closed(0);
    fixture_close(fixture_open(&cfg));
    CHECK_EQ(fixture_count_tables(), 1);
    CHECK_EQ(fixture_count_queues(), 1);
    end_child(alive);
    fixture_close(fixture_open(&cfg));
    check_nothing_left();
}

static void
find_dead(void *context, const struct nsp_probe_item *item)
{
    if (strcmp(item->feature, "dead-tables") == 0)
        *(uint32_t *)context = item->state;
}

TEST(nfqueue_probe_tells_of_tables_of_the_dead_alone)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    uint32_t found = NSP_PROBE_MISSING;
    pid_t child;

    fixture_require();
    child = start_closed(0);
    nsp_nfqueue_ops.probe(find_dead, &found);
    CHECK_EQ(found, NSP_PROBE_OK);
    end_child(child);
    nsp_nfqueue_ops.probe(find_dead, &found);
    CHECK_EQ(found, NSP_PROBE_DEGRADED);
    fixture_close(fixture_open(&cfg));
    nsp_nfqueue_ops.probe(find_dead, &found);
    CHECK_EQ(found, NSP_PROBE_OK);
}

/* The table of a process 'pid' that was killed. */
static void
leave_table(long pid, uint16_t first_queue)
{
    const struct nsp_nfq_rules rules = { .hooks = NSP_HOOK_INPUT,
                                         .first_queue = first_queue,
                                         .queues = 1,
                                         .fail_closed = true };
    char name[NSP_NFQ_TABLE_BYTES];
    enum nsp_nfq_refused refused;
    struct nsp_nl nl;

    snprintf(name, sizeof name, "netshaper-%ld-%u", pid, first_queue);
    CHECK_EQ(nsp_nl_open(&nl), 0);
    CHECK_EQ(nsp_nfq_rules_install(&nl, name, &rules, &refused), 0);
    nsp_nl_close(&nl);
}

/* As before Linux 6.9, where no table that stays has an owner. */
TEST(nfqueue_leaves_a_table_without_owner_alone_whose_queue_is_taken)
{
    struct nsp_nfqueue_config device = { .hang_ms = 10000, .first_queue = 78 };
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    struct nsp_io_config other = cfg;
    struct nsp_io *io;

    fixture_require();
    cfg.device = &device;
    io = fixture_open(&cfg);
    leave_table(1, 78);
    fixture_close(fixture_open(&other));
    CHECK_EQ(fixture_count_tables(), 2);
    fixture_close(io);
    CHECK_EQ(fixture_count_tables(), 1);
    fixture_close(fixture_open(&other));
    check_nothing_left();
}

/* Process ids come back, in a container soon. */
TEST(nfqueue_replaces_the_table_of_a_dead_process_of_its_number)
{
    struct nsp_nfqueue_config device = { .hang_ms = 10000, .first_queue = 79 };
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);

    fixture_require();
    cfg.device = &device;
    leave_table((long)getpid(), 79);
    fixture_close(fixture_open(&cfg));
    check_nothing_left();
}

/* Tables of others have other names. */
TEST(nfqueue_removes_no_table_that_no_engine_has_named)
{
    static const char *const names[] = { "netshaper-1",       "netshaper-1-",
                                         "netshaper-1-70000", "netshaper-x-9",
                                         "netshaper-1-9x",    "netshaper--9" };
    const struct nsp_nfq_rules rules = { .hooks = NSP_HOOK_INPUT,
                                         .first_queue = 9,
                                         .queues = 1,
                                         .fail_closed = true };
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    enum nsp_nfq_refused refused;
    struct nsp_nl nl;

    fixture_require();
    for (size_t i = 0; i < NSP_ARRAY_LEN(names); i++) {
        CHECK_EQ(nsp_nl_open(&nl), 0);
        CHECK_EQ(nsp_nfq_rules_install(&nl, names[i], &rules, &refused), 0);
        nsp_nl_close(&nl);
    }
    fixture_close(fixture_open(&cfg));
    CHECK_EQ(fixture_count_tables(), NSP_ARRAY_LEN(names));
    CHECK_EQ(nsp_nl_open(&nl), 0);
    for (size_t i = 0; i < NSP_ARRAY_LEN(names); i++)
        CHECK_EQ(nsp_nfq_rules_remove(&nl, names[i]), 0);
    nsp_nl_close(&nl);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(
            nfqueue_that_fails_closed_drops_when_killed_until_the_next_one_opens),
        FIXTURE_TEST(nfqueue_leaves_the_table_of_a_live_process_alone),
        FIXTURE_TEST(
            nfqueue_leaves_a_table_without_owner_alone_whose_queue_is_taken),
        FIXTURE_TEST(
            nfqueue_replaces_the_table_of_a_dead_process_of_its_number),
        FIXTURE_TEST(nfqueue_removes_no_table_that_no_engine_has_named),
        FIXTURE_TEST(nfqueue_probe_tells_of_tables_of_the_dead_alone),
    };

    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
