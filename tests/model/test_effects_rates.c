/* Rates that change with time, through the whole engine. */
#include "tests/lib/engine_run.h"
#include "tests/lib/frames.h"
#include "tests/lib/test.h"

static struct run run;

/* 1000 bytes are 1 ms at 8 Mbit/s and 4 ms at 2 Mbit/s. The plan begins with
 * the first packet, at 7 ms. */
TEST(a_schedule_changes_the_rate_and_repeats)
{
    static const struct nsp_rate_segment segments[] = {
        { 4 * MS, 8000000, 8000000 },
        { 8 * MS, 2000000, 2000000 },
    };
    static const struct nsp_rate_plan_config plan = { .segments = segments,
                                                      .segment_count = 2,
                                                      .repeat = true };
    static const uint64_t left_ms[] = { 1, 2, 3, 4, 8, 12, 13, 14, 15, 16, 20 };
    struct nsp_memory *memory = run_memory();

    push_udp(memory, 11, 1000, 53, 0, 7 * MS, 0, NSP_INBOUND);
    run_rule(memory,
             (struct nsp_rule){ .link = { .plan = &plan,
                                          .queue_unit = NSP_QUEUE_PKTS,
                                          .queue_limit = 100 } },
             &run);
    CHECK_EQ(run.count, 11);
    for (uint32_t i = 0; i < run.count; i++) {
        CHECK_EQ(run.tags[i], i);
        CHECK_EQ(run.out[i].at_ns, (7 + left_ms[i]) * MS);
    }
}

/* From 0 to 16 Mbit/s in 10 ms: t ms carry 0.1 t^2 packets of 1000 bytes. */
TEST(a_ramp_rises_evenly_and_its_last_rate_holds)
{
    static const struct nsp_rate_segment ramp = { 10 * MS, 0, 16000000 };
    static const struct nsp_rate_plan_config plan = { .segments = &ramp,
                                                      .segment_count = 1 };
    struct nsp_memory *memory = run_memory();

    push_udp(memory, 14, 1000, 53, 0, 0, 0, NSP_INBOUND);
    run_rule(memory,
             (struct nsp_rule){ .link = { .plan = &plan,
                                          .queue_unit = NSP_QUEUE_PKTS,
                                          .queue_limit = 100 } },
             &run);
    CHECK_EQ(run.count, 14);
    CHECK_EQ(run.out[9].at_ns, 10 * MS);
    for (uint32_t i = 10; i < run.count; i++)
        CHECK_EQ(run.out[i].at_ns, 10 * MS + (i - 9) * MS / 2);
}

/* Opportunities of 1504 bytes at 2, 2 and 5 ms, again and again; packets of 700
 * with 4 of overhead: two and a part in each. */
TEST(a_trace_lets_bytes_go_at_its_opportunities)
{
    static const uint64_t at_ns[] = { 2 * MS, 2 * MS, 5 * MS };
    static const struct nsp_rate_plan_config plan = {
        .opportunities_ns = at_ns,
        .opportunity_count = 3,
        .opportunity_bytes = 1504,
    };
    static const uint64_t left_ms[] = { 2, 2, 2, 2, 5, 5, 7, 7 };
    struct nsp_memory *memory = run_memory();

    push_udp(memory, 8, 700, 53, 0, 0, 0, NSP_INBOUND);
    run_rule(memory,
             (struct nsp_rule){ .link = { .plan = &plan,
                                          .overhead_bytes = 4,
                                          .queue_unit = NSP_QUEUE_PKTS,
                                          .queue_limit = 100 } },
             &run);
    CHECK_EQ(run.count, 8);
    for (uint32_t i = 0; i < run.count; i++)
        CHECK_EQ(run.out[i].at_ns, left_ms[i] * MS);
}

TEST(a_class_has_a_plan_that_its_rules_share)
{
    static const struct nsp_rate_segment segment = { MS, 8000000, 8000000 };
    static const struct nsp_rate_plan_config plan = { .segments = &segment,
                                                      .segment_count = 1 };
    static const struct nsp_class classes[] = { { "slow", { .plan = &plan } } };
    static const struct nsp_rule rules[] = {
        { .match = "udp.DstPort == 53", .class_name = "slow" },
        { .class_name = "slow" },
    };
    struct nsp_memory *memory = run_memory();

    push_udp(memory, 2, 1000, 53, 0, 0, 0, NSP_INBOUND);
    push_udp(memory, 2, 1000, 54, 2, 0, 0, NSP_INBOUND);
    run_all(memory,
            (struct nsp_engine_config){ .policy = { .rules = rules,
                                                    .rule_count = 2,
                                                    .classes = classes,
                                                    .class_count = 1 } },
            "true", &run);
    CHECK_EQ(run.count, 4);
    for (uint32_t i = 0; i < run.count; i++)
        CHECK_EQ(run.out[i].at_ns, (i + 1) * MS);
}

static int
create(const struct nsp_rule *rule, struct nsp_diag *ret)
{
    struct nsp_memory *memory = run_memory();
    const struct nsp_engine_config cfg = {
        .backend = "memory",
        .memory = memory,
        .policy = { .rules = rule, .rule_count = 1 },
    };
    struct nsp_engine *engine = NULL;
    int result = nsp_engine_create(&cfg, &engine, ret);

    nsp_engine_destroy(engine);
    nsp_memory_destroy(memory);
    return result;
}

TEST(plans_that_make_no_sense_are_refused_with_their_rule)
{
    static const struct nsp_rate_plan_config empty = { .repeat = true };
    const struct nsp_rule both = {
        .name = "both", .link = { .rate_bitps = 8000, .plan = &empty }
    };
    const struct nsp_rule none = { .name = "none", .link.plan = &empty };
    struct nsp_diag diag;

    CHECK_EQ(create(&both, &diag), NSP_INVALID_PARAMETER);
    CHECK_STR_EQ(diag.text,
                 "rule both: a rate and a plan of rates; choose one");
    CHECK_EQ(create(&none, &diag), NSP_INVALID_PARAMETER);
    CHECK_STR_EQ(diag.text, "rule none: a plan has segments or opportunities, "
                            "and not both");
}

/* --- Changes of policy -----------------------------------------------------
 */

#define SEGMENTS 3

struct change {
    struct nsp_engine *engine;
    uint32_t changes;
};

/* Each makes the policy anew, in memory of its own that is overwritten. */
static void
change_policy(struct change *change, uint64_t rate_bitps)
{
    struct nsp_rate_segment segments[SEGMENTS];
    struct nsp_rate_plan_config plan = { .segments = segments,
                                         .segment_count = SEGMENTS };
    struct nsp_rule rules[] = {
        { .name = change->changes % 2 == 0 ? "even" : "odd",
          .match = "udp.DstPort == 54",
          .link.plan = &plan },
        { .name = "always",
          .link = { .plan = &plan,
                    .queue_unit = NSP_QUEUE_PKTS,
                    .queue_limit = 100 } },
    };
    const struct nsp_policy_spec spec = { .rules = rules, .rule_count = 2 };

    for (uint32_t i = 0; i < SEGMENTS; i++)
        segments[i] =
            (struct nsp_rate_segment){ (i + 1) * MS, rate_bitps, rate_bitps };
    CHECK_EQ(nsp_engine_set_policy(change->engine, &spec, NULL), NSP_OK);
    change->changes++;
}

/* Before the first packet plans come and go; the one in force counts. */
TEST(plans_outlive_the_policies_that_queues_have_them_from)
{
    struct nsp_memory *memory = run_memory();
    const struct nsp_engine_config cfg = { .backend = "memory",
                                           .memory = memory,
                                           .policy_may_change = true };
    struct change change = { 0 };

    CHECK_EQ(nsp_engine_create(&cfg, &change.engine, NULL), NSP_OK);
    push_udp(memory, 4, 1000, 53, 0, MS, 0, NSP_INBOUND);
    change_policy(&change, 1000000);
    CHECK_EQ(nsp_engine_start(change.engine, "true", NULL), NSP_OK);
    for (int i = 0; i < 5; i++)
        change_policy(&change, 2000000);
    change_policy(&change, 8000000);
    CHECK_EQ(nsp_engine_run(change.engine), NSP_OK);
    nsp_engine_destroy(change.engine);
    for (uint32_t i = 0; i < 4; i++) {
        struct nsp_memory_frame frame;

        CHECK_EQ(nsp_memory_pop_burst(memory, 0, &frame, 1), 1);
        CHECK_EQ(frame.at_ns, MS + (i + 1) * MS);
    }
    nsp_memory_destroy(memory);
}

TEST_MAIN(
    cmocka_unit_test(a_schedule_changes_the_rate_and_repeats),
    cmocka_unit_test(a_ramp_rises_evenly_and_its_last_rate_holds),
    cmocka_unit_test(a_trace_lets_bytes_go_at_its_opportunities),
    cmocka_unit_test(a_class_has_a_plan_that_its_rules_share),
    cmocka_unit_test(plans_that_make_no_sense_are_refused_with_their_rule),
    cmocka_unit_test(plans_outlive_the_policies_that_queues_have_them_from))
