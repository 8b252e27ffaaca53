#define _GNU_SOURCE
/* Queue numbers, queues that nobody has, and kernels that cannot ask for signs
 * of life; topology in nfqueue_fixture.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "io/nfqueue/nfqueue_rules.h"
#include "netshaper/filter.h"
#include "os/os.h"
#include "tests/functional/nfqueue_fixture.h"

#define PORT 7001

/* Whether the kernel's table has a row for queue 'number'. */
static bool
has_queue(uint32_t number)
{
    FILE *table = fopen("/proc/thread-self/net/netfilter/nfnetlink_queue", "r");
    char row[256];
    bool has = false;

    CHECK(table != NULL);
    while (fgets(row, sizeof row, table))
        has |= strtoul(row, NULL, 10) == number;
    fclose(table);
    return has;
}

/* The second of the first two numbers that it tries is taken: it must give the
 * first one back. */
TEST(nfqueue_leaves_numbers_alone_that_are_not_free_in_a_row)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    struct nsp_nfqueue_config device = { .hang_ms = 10000, .first_queue = 0 };
    uint32_t first = 1024;

    fixture_require();
    cfg.queues = 2;
    fixture_open(&cfg);
    for (first = 1024; !has_queue(first);)
        first++;
    fixture_end(NULL);

    cfg.queues = 1;
    cfg.device = &device;
    device.first_queue = first + 1;
    fixture_open(&cfg);
    cfg.queues = 2;
    cfg.device = NULL;
    fixture_open(&cfg);
    CHECK_EQ(fixture_count_queues(), 3);
    CHECK(!has_queue(first));
    CHECK(has_queue(first + 2) && has_queue(first + 3));
}

/* Rules for a queue that nobody has bound, as between the death of a process
 * and that of its table. */
static void
check_without_listener(bool fail_closed)
{
    const struct nsp_nfq_rules rules = { .hooks = NSP_HOOK_FORWARD,
                                         .first_queue = 777,
                                         .queues = 1,
                                         .fail_closed = fail_closed };
    enum nsp_nfq_refused refused;
    int client, server;
    struct nsp_nl nl;

    client = fixture_udp(NSP_LAB_CLIENT, AF_INET, 0);
    server = fixture_udp(NSP_LAB_SERVER, AF_INET, PORT);
    CHECK_EQ(nsp_nl_open(&nl), 0);
    CHECK_EQ(nsp_nfq_rules_install(&nl, "netshaper-test", &rules, &refused), 0);
    fixture_say(client, NSP_LAB_SERVER, AF_INET, PORT, "orphan");
    if (fail_closed) {
        fixture_hear_nothing(server);
        CHECK_EQ(nsp_nfq_rules_remove(&nl, "netshaper-test"), 0);
        nsp_nl_close(&nl);
        fixture_say(client, NSP_LAB_SERVER, AF_INET, PORT, "second");
        fixture_hear(server, "second");
    } else {
        fixture_hear(server, "orphan");
        nsp_nl_close(&nl);
    }
    CHECK_EQ(fixture_count_tables(), 0);
}

TEST(nfqueue_lets_packets_by_that_nobody_takes_unless_it_fails_closed)
{
    fixture_require();
    check_without_listener(false);
    fixture_end(NULL);
    check_without_listener(true);
}

/* --- Hanging -------------------------------------------------------------- */

static void
find_signs(void *context, const struct nsp_probe_item *item)
{
    bool *found = context;

    *found |= strcmp(item->feature, "signs-of-life") == 0 &&
              item->state == NSP_PROBE_OK;
}

static void
require_signs(void)
{
    bool found = false;

    fixture_require();
    nsp_nfqueue_ops.probe(find_signs, &found);
    if (!found)
        SKIP("rules cannot ask for signs of life here");
}

/* Opens the device, gives one sign of life, and says something when that is
 * over. */
static void
hang(bool fail_closed)
{
    const struct nsp_nfqueue_config device = { .hang_ms = 10,
                                               .fail_closed = fail_closed };
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    struct nsp_io_stats stats;
    int client, server;
    struct nsp_io *io;
    uint64_t until_ns;

    require_signs();
    client = fixture_udp(NSP_LAB_CLIENT, AF_INET, 0);
    server = fixture_udp(NSP_LAB_SERVER, AF_INET, PORT);
    cfg.device = &device;
    io = fixture_open(&cfg);
    CHECK(fixture_is_empty(io));
    until_ns = nsp_os_monotonic_ns(NULL) + UINT64_C(10000000);
    while (nsp_os_monotonic_ns(NULL) <= until_ns)
        continue;
    fixture_say(client, NSP_LAB_SERVER, AF_INET, PORT, "hanging");
    if (fail_closed)
        fixture_hear_nothing(server);
    else
        fixture_hear(server, "hanging");
    nsp_nfqueue_ops.read_stats(io, &stats);
    CHECK_EQ(stats.kernel_dropped_pkts, fail_closed);
    CHECK(fixture_is_empty(io)); /* It is not in the queue. */
}

TEST(nfqueue_is_passed_by_when_it_hangs)
{
    hang(false);
}

TEST(nfqueue_lets_nothing_by_when_it_hangs_and_fails_closed)
{
    hang(true);
}

/* --- Kernels without signs of life ---------------------------------------- */

static bool lacks_bpf, lacks_match;

int __real_nsp_nfq_load_alive(const struct nsp_beats *beats, uint32_t workers);
int __wrap_nsp_nfq_load_alive(const struct nsp_beats *beats, uint32_t workers);

int
__wrap_nsp_nfq_load_alive(const struct nsp_beats *beats, uint32_t workers)
{
    return lacks_bpf ? -EPERM : __real_nsp_nfq_load_alive(beats, workers);
}

int __real_nsp_nfq_rules_install(struct nsp_nl *nl, const char *name,
                                 const struct nsp_nfq_rules *rules,
                                 enum nsp_nfq_refused *reterr_refused);
int __wrap_nsp_nfq_rules_install(struct nsp_nl *nl, const char *name,
                                 const struct nsp_nfq_rules *rules,
                                 enum nsp_nfq_refused *reterr_refused);

int
__wrap_nsp_nfq_rules_install(struct nsp_nl *nl, const char *name,
                             const struct nsp_nfq_rules *rules,
                             enum nsp_nfq_refused *reterr_refused)
{
    if (!lacks_match || (!rules->alive_fd && !rules->prefilters))
        return __real_nsp_nfq_rules_install(nl, name, rules, reterr_refused);
    *reterr_refused = NSP_NFQ_REFUSED_RULE;
    return -ENOENT;
}

static char told[1024];

static void
keep_told(void *context, enum nsp_log_level level, const char *message)
{
    (void)context;
    if (!strstr(message, "signs of life"))
        return;
    CHECK_EQ(level, NSP_LOG_INFO);
    CHECK(strlen(told) + strlen(message) + 2 <= sizeof told);
    strcat(strcat(told, message), "\n");
}

/* Opens the device, and expects 'text' of the log. */
static void
check_told(bool filtered, const char *text)
{
    struct nsp_io_config cfg = fixture_config(NSP_HOOK_FORWARD);
    struct nsp_filter *filter = NULL;

    cfg.log.write = keep_told;
    if (filtered) {
        CHECK_EQ(
            nsp_filter_compile("icmp", NSP_LAYER_NETWORK, NULL, &filter, NULL),
            0);
        cfg.filter = filter;
        cfg.superpackets = true;
    }
    told[0] = '\0';
    fixture_close(fixture_open(&cfg));
    nsp_filter_destroy(filter);
    CHECK_STR_EQ(told, text);
}

TEST(nfqueue_says_once_what_its_rules_cannot_ask)
{
    static const char no_match[] =
        "nfqueue: the rules cannot ask for signs of life: the kernel lacks the "
        "match 'bpf'; while the process hangs, packets wait\n";
    static const char no_match_for_filter[] =
        "nfqueue: the rules cannot ask for signs of life, nor the start "
        "filter: "
        "the kernel lacks the match 'bpf'; while the process hangs, packets "
        "wait\n";
    static const char no_bpf[] =
        "nfqueue: the rules cannot ask for signs of life: Operation not "
        "permitted; while the process hangs, packets wait\n";

    require_signs();
    lacks_match = true;
    check_told(false, no_match);
    check_told(true, no_match_for_filter);
    lacks_bpf = true;
    check_told(true, no_match_for_filter);
    lacks_match = false;
    check_told(true, no_bpf);
    lacks_bpf = false;
    check_told(true, "");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(nfqueue_is_passed_by_when_it_hangs),
        FIXTURE_TEST(nfqueue_lets_nothing_by_when_it_hangs_and_fails_closed),
        FIXTURE_TEST(nfqueue_leaves_numbers_alone_that_are_not_free_in_a_row),
        FIXTURE_TEST(nfqueue_says_once_what_its_rules_cannot_ask),
        FIXTURE_TEST(
            nfqueue_lets_packets_by_that_nobody_takes_unless_it_fails_closed),
    };

    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
