/* Policies as a whole: shared classes, rules that go on, limits, edits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netshaper/engine.h"
#include "tests/lib/frames.h"
#include "tests/lib/policy_engine.h"
#include "tests/lib/test.h"

#define MS  UINT64_C(1000000)
#define MAX 4096

/* --- Virtual time --------------------------------------------------------- */

struct run {
    struct nsp_stats stats;
    struct nsp_memory_frame out[MAX];
    uint32_t tags[MAX];
    uint8_t tos[MAX], ttls[MAX];
    uint32_t count;
};

static struct run run;

static void
run_engine(struct nsp_engine *engine, struct nsp_memory *memory)
{
    CHECK_EQ(nsp_engine_start(engine, "true", NULL), NSP_OK);
    CHECK_EQ(nsp_engine_run(engine), NSP_OK);
    CHECK_EQ(nsp_engine_read_stats(engine, &run.stats), NSP_OK);
    check_identity(&run.stats);
    run.count = 0;
    while (nsp_memory_pop_burst(memory, 0, &run.out[run.count], 1) > 0) {
        run.tags[run.count] = frame_tag(&run.out[run.count]);
        run.tos[run.count] = run.out[run.count].data[1];
        run.ttls[run.count] = run.out[run.count].data[8];
        run.count++;
    }
}

/* 1000 bytes take 1 ms at 8 Mbit/s. */
TEST(rules_of_one_class_share_its_rate)
{
    static const struct nsp_class classes[] = {
        { "shared", { .rate_bitps = 8000000 } },
    };
    static const struct nsp_rule rules[] = {
        { .match = "udp.DstPort == 1", .class_name = "shared" },
        { .match = "udp.DstPort == 2", .class_name = "shared" },
    };
    const struct nsp_policy_spec policy = {
        .rules = rules, .rule_count = 2, .classes = classes, .class_count = 1
    };
    struct nsp_memory *memory = create_memory();
    struct nsp_engine *engine = create_engine(memory, &policy);
    struct nsp_class_stats stats;

    push_udp(memory, 5, 1000, 1, 0, MS, 0, NSP_INBOUND);
    push_udp(memory, 5, 1000, 2, 5, MS, 0, NSP_INBOUND);
    run_engine(engine, memory);
    CHECK_EQ(run.count, 10);
    for (uint32_t i = 0; i < 10; i++)
        CHECK_EQ(run.out[i].at_ns, MS + (i + 1) * MS);
    CHECK_EQ(nsp_engine_read_class_stats(engine, 0, &stats), NSP_OK);
    CHECK_STR_EQ(stats.name, "shared");
    CHECK_EQ(stats.in_pkts, 10);
    CHECK_EQ(stats.sent_bytes, 10000);
    CHECK_EQ(stats.queued_pkts, 0);
    CHECK_EQ(nsp_engine_read_class_stats(engine, 1, &stats), NSP_NOT_FOUND);
    nsp_engine_destroy(engine);
    nsp_memory_destroy(memory);
}

/* A queue, a delay, another queue and another delay, one after the other. */
TEST(effects_of_rules_that_go_on_add_up_in_their_order)
{
    static const struct nsp_rule rules[] = {
        { .name = "seen", .go_on = true },
        { .name = "first",
          .go_on = true,
          .link.rate_bitps = 8000000,
          .effects.delay.mean_ns = 10 * MS },
        { .name = "never", .match = "tcp", .action = NSP_ACTION_DROP },
        { .name = "last",
          .link.rate_bitps = 4000000,
          .effects.delay.mean_ns = 100 * MS },
        { .name = "hidden", .action = NSP_ACTION_DROP },
    };
    const struct nsp_policy_spec policy = { .rules = rules, .rule_count = 5 };
    struct nsp_memory *memory = create_memory();
    struct nsp_engine *engine = create_engine(memory, &policy);

    push_udp(memory, 3, 1000, 1, 0, MS, 0, NSP_INBOUND);
    run_engine(engine, memory);
    CHECK_EQ(run.count, 3);
    for (uint32_t i = 0; i < 3; i++) /* The slower rate spaces them. */
        CHECK_EQ(run.out[i].at_ns,
                 MS + MS + 10 * MS + (i + 1) * 2 * MS + 100 * MS);
    CHECK_EQ(read_rule(engine, 0).hit_pkts, 3);
    CHECK_EQ(read_rule(engine, 0).in_pkts, 0);
    CHECK_EQ(read_rule(engine, 1).hit_pkts, 3);
    CHECK_EQ(read_rule(engine, 2).hit_pkts, 0);
    CHECK_EQ(read_rule(engine, 3).in_pkts, 3);
    CHECK_EQ(read_rule(engine, 3).delivered_pkts, 3);
    CHECK_EQ(read_rule(engine, 3).last_hit_ns, MS);
    CHECK_EQ(read_rule(engine, 4).hit_pkts, 0);
    nsp_engine_destroy(engine);
    nsp_memory_destroy(memory);
}

TEST(a_limit_drops_what_exceeds_it)
{
    static const struct nsp_rule rule = {
        .name = "ten",
        .limit = { .unit = NSP_LIMIT_PPS, .rate = 10, .burst = 2 },
    };
    const struct nsp_policy_spec policy = { .rules = &rule, .rule_count = 1 };
    struct nsp_memory *memory = create_memory();
    struct nsp_engine *engine = create_engine(memory, &policy);

    /* A packet each 10 ms for a second: two at once, then ten a second. */
    push_udp(memory, 100, 100, 1, 0, 10 * MS, 10 * MS, NSP_INBOUND);
    run_engine(engine, memory);
    CHECK_EQ(run.count, 2 + 9);
    CHECK_EQ(run.stats.dropped_pkts[NSP_DROP_LIMIT], 89);
    CHECK_EQ(read_rule(engine, 0).dropped_pkts[NSP_DROP_LIMIT], 89);
    nsp_engine_destroy(engine);
    nsp_memory_destroy(memory);
}

/* Rules judge packets as they came, whatever earlier ones set. */
TEST(edits_are_made_last_and_the_later_rule_prevails)
{
    static const struct nsp_rule rules[] = {
        { .go_on = true,
          .edits = { .which = NSP_EDIT_DSCP | NSP_EDIT_TTL,
                     .dscp = 46,
                     .ttl = 9 } },
        { .match = "ip.Dscp == 46", .action = NSP_ACTION_DROP },
        { .edits = { .which = NSP_EDIT_TTL | NSP_EDIT_ECN,
                     .ttl = 7,
                     .ecn = 3 } },
    };
    const struct nsp_policy_spec policy = { .rules = rules, .rule_count = 3 };
    struct nsp_memory *memory = create_memory();
    struct nsp_engine *engine = create_engine(memory, &policy);

    push_udp(memory, 2, 100, 1, 0, MS, 0, NSP_INBOUND);
    run_engine(engine, memory);
    CHECK_EQ(run.count, 2);
    CHECK_EQ(run.tos[1], 46 << 2 | 3);
    CHECK_EQ(run.ttls[1], 7);
    CHECK_EQ(run.stats.modified_pkts, 2);
    nsp_engine_destroy(engine);
    nsp_memory_destroy(memory);
}

TEST(a_disabled_rule_never_matches)
{
    static const struct nsp_rule rule = { .disabled = true,
                                          .action = NSP_ACTION_DROP };
    const struct nsp_policy_spec policy = { .rules = &rule, .rule_count = 1 };
    struct nsp_memory *memory = create_memory();
    struct nsp_engine *engine = create_engine(memory, &policy);

    push_udp(memory, 2, 100, 1, 0, MS, 0, NSP_INBOUND);
    run_engine(engine, memory);
    CHECK_EQ(run.count, 2);
    nsp_engine_destroy(engine);
    nsp_memory_destroy(memory);
}

/* --- Flows -----------------------------------------------------------------
 */

TEST(rules_see_how_many_packets_a_flow_has_had)
{
    static const struct nsp_rule rule = { .match = "flow.Packets > 3",
                                          .action = NSP_ACTION_DROP };
    const struct nsp_policy_spec policy = { .rules = &rule, .rule_count = 1 };
    struct nsp_memory *memory = create_memory();
    struct nsp_engine *engine = create_engine(memory, &policy);

    push_udp(memory, 10, 100, 1, 0, MS, MS, NSP_INBOUND);
    push_udp(memory, 2, 100, 2, 10, 20 * MS, MS, NSP_INBOUND);
    run_engine(engine, memory);
    CHECK_EQ(run.count, 3 + 2);
    CHECK_EQ(run.tags[2], 2);
    CHECK_EQ(run.tags[3], 10);
    nsp_engine_destroy(engine);
    nsp_memory_destroy(memory);
}

/* --- Refused -------------------------------------------------------------- */

static const struct nsp_class bad_classes[] = {
    { "a", { .rate_bitps = 8000 } },
    { "a", { .rate_bitps = 8000 } },
    { "b", { .rate_bitps = 0 } },
};
static const struct {
    struct nsp_rule rules[2];
    uint32_t rule_count, first_class, class_count;
    const char *text;
} nonsense[] = {
    { { { .name = "x" }, { .name = "x" } }, 2, 0, 0, "two rules are called x" },
    { { { .name = "x" } }, 1, 0, 2, "two classes are called a" },
    { { { .name = "x" } }, 1, 2, 1, "class b: it has no rate_bitps" },
    { { { .name = "x", .class_name = "c" } },
      1,
      0,
      1,
      "rule x: there is no class called c" },
    { { { .name = "x", .impairment = "c" } },
      1,
      0,
      0,
      "rule x: there is no impairment called c" },
    { { { .name = "x", .class_name = "a", .link.rate_bitps = 8000 } },
      1,
      0,
      1,
      "rule x: a class and a rate of its own; choose one" },
    { { { .name = "x", .action = NSP_ACTION_DROP, .go_on = true } },
      1,
      0,
      0,
      "rule x: a packet that is dropped or rejected cannot go on" },
    { { { .name = "x", .edits = { .which = NSP_EDIT_DSCP, .dscp = 64 } } },
      1,
      0,
      0,
      "rule x: edits.dscp is above 63" },
    { { { .name = "x", .limit = { .unit = NSP_LIMIT_PPS } } },
      1,
      0,
      0,
      "rule x: limit.rate is outside 1 to 10^12" },
    { { { .name = "x", .effects.loss.kind = NSP_LOSS_TIMED } },
      1,
      0,
      0,
      "rule x: " },
    { { { .name = "" } }, 1, 0, 0, "rule : its name is empty" },
};

TEST(nonsense_in_a_policy_is_refused_with_the_place)
{
    for (size_t i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++) {
        struct nsp_engine_config cfg = {
            .backend = "memory",
            .memory = create_memory(),
            .policy = { .rules = nonsense[i].rules,
                        .rule_count = nonsense[i].rule_count,
                        .classes = &bad_classes[nonsense[i].first_class],
                        .class_count = nonsense[i].class_count },
        };
        struct nsp_engine *engine = NULL;
        struct nsp_diag diag;

        CHECK_EQ(nsp_engine_create(&cfg, &engine, &diag),
                 NSP_INVALID_PARAMETER);
        CHECK(strstr(diag.text, nonsense[i].text) != NULL);
        CHECK(!engine);
        nsp_memory_destroy(cfg.memory);
    }
}

TEST_MAIN(cmocka_unit_test(rules_of_one_class_share_its_rate),
          cmocka_unit_test(effects_of_rules_that_go_on_add_up_in_their_order),
          cmocka_unit_test(a_limit_drops_what_exceeds_it),
          cmocka_unit_test(edits_are_made_last_and_the_later_rule_prevails),
          cmocka_unit_test(a_disabled_rule_never_matches),
          cmocka_unit_test(rules_see_how_many_packets_a_flow_has_had),
          cmocka_unit_test(nonsense_in_a_policy_is_refused_with_the_place))
