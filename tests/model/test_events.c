/* What rules report: events of the right packets, no more than asked for, and
 * none that nobody knows to be missing. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "netshaper/engine.h"
#include "tests/lib/frames.h"
#include "tests/lib/test.h"

#define MS UINT64_C(1000000)

/* Events as they were read. */
struct seen {
    char rule[64];
    uint8_t kind, direction;
    uint32_t wire_bytes, cap_bytes, tag;
    uint64_t at_ns;
};

static struct seen seen[4096];
static uint32_t seen_count;

static void
note(void *context, const struct nsp_event *event)
{
    uint8_t bytes[2048];
    const struct nsp_memory_frame frame = { .data = bytes,
                                            .bytes = event->cap_bytes };
    struct seen *one = &seen[seen_count++];

    (void)context;
    CHECK(seen_count <= 4096);
    CHECK_EQ(event->link, NSP_LINK_RAW);
    CHECK(event->cap_bytes <= sizeof bytes);
    memcpy(bytes, event->data, event->cap_bytes);
    *one = (struct seen){
        .kind = event->kind,
        .direction = event->direction,
        .wire_bytes = event->wire_bytes,
        .cap_bytes = event->cap_bytes,
        .tag = frame_tag(&frame),
        .at_ns = event->at_ns,
    };
    snprintf(one->rule, sizeof one->rule, "%s", event->rule);
}

static struct nsp_memory *
new_memory(void)
{
    const struct nsp_memory_config cfg = { .virtual_time = true };
    struct nsp_memory *memory;

    CHECK_EQ(nsp_memory_create(&cfg, &memory), NSP_OK);
    return memory;
}

static struct nsp_engine *
new_engine(struct nsp_memory *memory, const struct nsp_rule rules[],
           uint32_t count)
{
    const struct nsp_engine_config cfg = {
        .backend = "memory",
        .memory = memory,
        .policy = { .rules = rules, .rule_count = count },
    };
    struct nsp_engine *engine = NULL;
    struct nsp_diag diag;

    seen_count = 0;
    if (nsp_engine_create(&cfg, &engine, &diag) != NSP_OK)
        fail_msg("%s", diag.text);
    return engine;
}

static void
run(struct nsp_engine *engine)
{
    CHECK_EQ(nsp_engine_start(engine, "true", NULL), NSP_OK);
    CHECK_EQ(nsp_engine_run(engine), NSP_OK);
}

static uint64_t
read_all(struct nsp_engine *engine)
{
    int count = nsp_engine_read_events(engine, note, NULL, UINT32_MAX);

    CHECK(count >= 0);
    return (uint64_t)count;
}

static uint64_t
lost(struct nsp_engine *engine)
{
    struct nsp_stats stats;

    CHECK_EQ(nsp_engine_read_stats(engine, &stats), NSP_OK);
    return stats.events_lost;
}

static void
end(struct nsp_engine *engine, struct nsp_memory *memory)
{
    nsp_engine_destroy(engine);
    nsp_memory_destroy(memory);
}

/* Of every rule that acts, in order, whatever becomes of the packet. */
TEST(each_rule_that_acts_reports_the_packet_as_it_came)
{
    static const struct nsp_rule rules[] = {
        { .name = "seen", .go_on = true, .log_pps = 100 },
        { .name = "kept",
          .match = "udp.DstPort == 1",
          .go_on = true,
          .edits = { .which = NSP_EDIT_TTL, .ttl = 9 },
          .capture = true,
          .log_pps = 100 },
        { .name = "not", .match = "tcp", .capture = true },
        { .name = "end", .action = NSP_ACTION_DROP, .capture = true },
        { .name = "hidden", .capture = true },
    };
    static const struct {
        const char *rule;
        uint8_t kind;
        uint32_t tag, cap_bytes;
    } expected[] = {
        { "seen", NSP_EVENT_LOG, 7, 128 },
        { "kept", NSP_EVENT_LOG, 7, 128 },
        { "kept", NSP_EVENT_CAPTURE, 7, 1000 },
        { "end", NSP_EVENT_CAPTURE, 7, 1000 },
        { "seen", NSP_EVENT_LOG, 8, 60 },
        { "end", NSP_EVENT_CAPTURE, 8, 60 },
    };
    struct nsp_memory *memory = new_memory();
    struct nsp_engine *engine = new_engine(memory, rules, 5);

    push_udp(memory, 1, 1000, 1, 7, MS, 0, NSP_OUTBOUND);
    push_udp(memory, 1, 60, 2, 8, 2 * MS, 0, NSP_INBOUND);
    run(engine);
    CHECK_EQ(nsp_engine_read_events(engine, note, NULL, 2), 2);
    CHECK_EQ(read_all(engine), 4);
    CHECK_EQ(read_all(engine), 0);
    for (uint32_t i = 0; i < 6; i++) {
        bool first = expected[i].tag == 7;

        CHECK_STR_EQ(seen[i].rule, expected[i].rule);
        CHECK_EQ(seen[i].kind, expected[i].kind);
        CHECK_EQ(seen[i].tag, expected[i].tag);
        CHECK_EQ(seen[i].cap_bytes, expected[i].cap_bytes);
        CHECK_EQ(seen[i].wire_bytes, first ? 1000 : 60);
        CHECK_EQ(seen[i].at_ns, first ? MS : 2 * MS);
        CHECK_EQ(seen[i].direction, first ? NSP_OUTBOUND : NSP_INBOUND);
    }
    CHECK_EQ(lost(engine), 0);
    end(engine, memory);
}

/* Five at once, then five a second; captures are not limited. */
TEST(a_log_is_limited_for_each_rule_by_itself)
{
    static const struct nsp_rule rules[] = {
        { .name = "few", .go_on = true, .log_pps = 5 },
        { .name = "more", .log_pps = 50, .capture = true },
    };
    uint32_t few = 0, more = 0, kept = 0;
    struct nsp_memory *memory = new_memory();
    struct nsp_engine *engine = new_engine(memory, rules, 2);

    /* Every 10 ms for two seconds. */
    push_udp(memory, 200, 100, 1, 0, 10 * MS, 10 * MS, NSP_INBOUND);
    run(engine);
    read_all(engine);
    for (uint32_t i = 0; i < seen_count; i++) {
        if (seen[i].kind == NSP_EVENT_CAPTURE)
            kept++;
        else if (strcmp(seen[i].rule, "few") == 0)
            few++;
        else
            more++;
    }
    CHECK_EQ(kept, 200);
    CHECK_EQ(few, 5 + 9);
    /* 50 at first and one every other packet: 50 + n / 2 = n. */
    CHECK_EQ(more, 50 + 99);
    end(engine, memory);
}

TEST(events_that_nobody_reads_are_lost_and_counted)
{
    static const struct nsp_rule rule = { .name = "all", .capture = true };
    struct nsp_memory *memory = new_memory();
    struct nsp_engine *engine = new_engine(memory, &rule, 1);

    push_udp(memory, 1200, 1400, 1, 0, MS, MS, NSP_INBOUND);
    run(engine);
    CHECK(lost(engine) > 0);
    CHECK_EQ(read_all(engine) + lost(engine), 1200);
    for (uint32_t i = 0; i < seen_count; i++)
        CHECK_EQ(seen[i].tag, i); /* The first ones. */
    end(engine, memory);
}

/* A new start begins anew, with events and their count. */
TEST(events_can_be_read_until_the_next_start)
{
    static const struct nsp_rule rule = { .name = "all", .log_pps = 100 };
    struct nsp_memory *memory = new_memory();
    struct nsp_engine *engine = new_engine(memory, &rule, 1);

    CHECK_EQ(read_all(engine), 0);
    push_udp(memory, 2, 100, 1, 0, MS, 0, NSP_INBOUND);
    run(engine);
    CHECK_EQ(nsp_engine_read_events(engine, note, NULL, 1), 1);
    push_udp(memory, 3, 100, 1, 5, MS, 0, NSP_INBOUND);
    run(engine);
    seen_count = 0;
    CHECK_EQ(read_all(engine), 3);
    CHECK_EQ(seen[0].tag, 5);
    CHECK_EQ(nsp_engine_read_events(NULL, note, NULL, 1), NSP_INVALID_HANDLE);
    CHECK_EQ(nsp_engine_read_events(engine, NULL, NULL, 1), NSP_INVALID_HANDLE);
    end(engine, memory);
}

TEST(a_policy_that_reports_needs_an_engine_that_expects_it)
{
    static const struct nsp_rule quiet = { .name = "all" };
    static const struct nsp_rule loud = { .name = "all", .log_pps = 10 };
    const struct nsp_policy_spec policy = { .rules = &loud, .rule_count = 1 };
    struct nsp_memory *memory = new_memory();
    struct nsp_engine *engine = new_engine(memory, &quiet, 1);
    struct nsp_diag diag;

    CHECK_EQ(nsp_engine_start(engine, "true", NULL), NSP_OK);
    CHECK_EQ(nsp_engine_set_policy(engine, &policy, &diag), NSP_NOT_POSSIBLE);
    CHECK(strstr(diag.text, "logs or captures") != NULL);
    CHECK(strstr(diag.hint, "policy_may_change") != NULL);
    end(engine, memory);
}

/* --- While it runs ---------------------------------------------------------
 */

#define LIVE_PKTS 20000u

static void *
run_in_thread(void *engine)
{
    CHECK_EQ(nsp_engine_run(engine), NSP_OK);
    return NULL;
}

static void
count(void *context, const struct nsp_event *event)
{
    uint64_t *total = context;

    CHECK_STR_EQ(event->rule, "all");
    CHECK_EQ(event->cap_bytes, 100);
    (*total)++;
}

TEST(events_are_read_while_the_engine_runs)
{
    static const struct nsp_rule rule = { .name = "all", .capture = true };
    const struct nsp_memory_config memory_cfg = { .frames = 64,
                                                  .virtual_time = true,
                                                  .repeat = LIVE_PKTS };
    uint64_t total = 0;
    struct nsp_memory *memory;
    struct nsp_engine *engine;
    struct nsp_stats stats;
    pthread_t thread;

    CHECK_EQ(nsp_memory_create(&memory_cfg, &memory), NSP_OK);
    engine = new_engine(memory, &rule, 1);
    push_udp(memory, 64, 100, 1, 0, MS, MS, NSP_INBOUND);
    CHECK_EQ(nsp_engine_start(engine, "true", NULL), NSP_OK);
    CHECK_EQ(pthread_create(&thread, NULL, run_in_thread, engine), 0);
    do {
        CHECK(nsp_engine_read_events(engine, count, &total, 100) >= 0);
        CHECK_EQ(nsp_engine_read_stats(engine, &stats), NSP_OK);
    } while (stats.in_pkts < LIVE_PKTS);
    pthread_join(thread, NULL);
    while (nsp_engine_read_events(engine, count, &total, 1000) > 0)
        ;
    CHECK_EQ(total + lost(engine), LIVE_PKTS);
    end(engine, memory);
}

TEST_MAIN(
    cmocka_unit_test(each_rule_that_acts_reports_the_packet_as_it_came),
    cmocka_unit_test(a_log_is_limited_for_each_rule_by_itself),
    cmocka_unit_test(events_that_nobody_reads_are_lost_and_counted),
    cmocka_unit_test(events_can_be_read_until_the_next_start),
    cmocka_unit_test(a_policy_that_reports_needs_an_engine_that_expects_it),
    cmocka_unit_test(events_are_read_while_the_engine_runs))
