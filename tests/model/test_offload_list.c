/* Rules that a device decides in the kernel: what the engine hands over. */
#include <string.h>

#include "engine/offload.h"
#include "engine/ruleset.h"
#include "tests/lib/test.h"

#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof((array)[0])))

static void
choose_with(const struct nsp_rule rules[], uint32_t count, const char *start,
            bool buckets, struct nsp_offload_list *ret)
{
    const struct nsp_policy_spec spec = { .rules = rules, .rule_count = count };
    struct nsp_allocator libc = nsp_libc_allocator;
    struct nsp_filter *filter, *essential;
    struct nsp_ruleset *ruleset;
    struct nsp_diag diag;

    CHECK_EQ(
        nsp_ruleset_create(&spec, NSP_LAYER_NETWORK, &libc, &ruleset, &diag),
        NSP_OK);
    CHECK_EQ(nsp_filter_compile(start, NSP_LAYER_NETWORK, NULL, &filter, NULL),
             NSP_OK);
    CHECK_EQ(nsp_offload_compile_essential(&libc, &essential), NSP_OK);
    nsp_offload_choose(nsp_ruleset_policy(ruleset), filter, essential, buckets,
                       ret);
    nsp_filter_destroy(essential);
    nsp_filter_destroy(filter);
    nsp_ruleset_unref(ruleset);
}

static void
choose(const struct nsp_rule rules[], uint32_t count, const char *start,
       struct nsp_offload_list *ret)
{
    choose_with(rules, count, start, true, ret);
}

TEST(rules_that_do_nothing_else_are_decided_in_the_kernel)
{
    static const struct nsp_rule rules[] = {
        { .match = "tcp", .go_on = true },
        { .match = "udp", .disabled = true },
        { .match = "udp.DstPort == 1", .action = NSP_ACTION_DROP },
        { .match = "udp.DstPort == 2", .action = NSP_ACTION_REJECT },
        { .match = "udp.DstPort == 3", .log_pps = 1 },
        { .match = "udp.DstPort == 4", .capture = true },
        { .match = "udp.DstPort == 5", .limit = { NSP_LIMIT_PPS, 1, 0 } },
        { .match = "udp.DstPort == 6",
          .edits = { .which = NSP_EDIT_TTL, .ttl = 9 } },
        { .match = "udp.DstPort == 7", .link.rate_bitps = 8000 },
        { .match = "udp.DstPort == 8", .effects.delay.mean_ns = 1 },
        { .match = "udp.DstPort == 9", .effects.loss.chance.ppm = 1 },
        { .match = "udp", .apply = NSP_APPLY_INBOUND },
    };
    static const uint8_t does[] = {
        NSP_OFFLOAD_ASK,    NSP_OFFLOAD_COUNT, NSP_OFFLOAD_DROP,
        NSP_OFFLOAD_ASK,    NSP_OFFLOAD_ASK,   NSP_OFFLOAD_ASK,
        NSP_OFFLOAD_POLICE, NSP_OFFLOAD_ASK,   NSP_OFFLOAD_ASK,
        NSP_OFFLOAD_ASK,    NSP_OFFLOAD_ASK,   NSP_OFFLOAD_PASS,
    };
    struct nsp_offload_list list;

    choose(rules, COUNT(rules), "true", &list);
    CHECK(list.complete);
    CHECK_EQ(list.count, COUNT(does));
    for (uint32_t i = 0; i < list.count; i++) {
        CHECK_EQ(list.indices[i], i == 0 ? NSP_RULE_NONE : i == 1 ? 0 : i);
        CHECK_EQ(list.rules[i].does, does[i]);
    }
    CHECK_EQ(list.rules[11].apply, NSP_APPLY_INBOUND);
}

/* Before a rule that drops what a host may need, the engine is asked. */
TEST(the_engine_is_asked_about_what_rules_spare)
{
    static const struct nsp_rule all = { .action = NSP_ACTION_DROP };
    static const struct nsp_rule named = { .match = "udp.DstPort == 67",
                                           .action = NSP_ACTION_DROP };
    struct nsp_offload_list list;

    choose(&all, 1, "true", &list);
    CHECK_EQ(list.count, 2);
    CHECK_EQ(list.indices[0], NSP_RULE_NONE);
    CHECK_EQ(list.rules[0].does, NSP_OFFLOAD_ASK);
    CHECK_EQ(list.rules[1].does, NSP_OFFLOAD_DROP);
    choose(&named, 1, "true", &list);
    CHECK_EQ(list.indices[list.count - 1], 0);
}

TEST(nothing_is_decided_in_the_kernel_where_filters_read_flows)
{
    static const struct nsp_rule reads = { .match = "flow.Packets > 3" };
    static const struct nsp_rule plain = { .match = "tcp" };
    struct nsp_offload_list list;

    choose(&reads, 1, "true", &list);
    CHECK_EQ(list.count, 0);
    CHECK(!list.complete);
    choose(&plain, 1, "flow.Packets > 3", &list);
    CHECK_EQ(list.count, 0);
    CHECK(!list.complete);
    choose(&plain, 1, "true", &list);
    CHECK_EQ(list.count, 1);
}

/* A rule for all the rest that the engine has to see ends the list, and what
 * decides nothing before it is not worth looking at. */
TEST(the_list_ends_where_the_engine_is_asked_about_all_the_rest)
{
    static const struct nsp_rule rules[] = {
        { .match = "udp", .action = NSP_ACTION_DROP },
        { .match = "tcp", .go_on = true },
        { .match = "icmp", .action = NSP_ACTION_REJECT },
        { .effects.delay.mean_ns = 1 },
        { .match = "ip" },
    };
    struct nsp_offload_list list;

    choose(rules, COUNT(rules), "true", &list);
    CHECK_EQ(list.count, 2);
    CHECK_EQ(list.indices[1], 0);
    CHECK(!list.complete);
    choose(rules + 1, COUNT(rules) - 1, "true", &list);
    CHECK_EQ(list.count, 0);
    CHECK(!list.complete);
    choose(rules, 3, "true", &list);
    CHECK_EQ(list.count, 4);
    CHECK(list.complete);
}

TEST(a_long_list_is_cut_and_incomplete)
{
    struct nsp_rule rules[100] = { { .match = NULL } };
    struct nsp_offload_list list;

    for (uint32_t i = 0; i < 100; i++)
        rules[i].match = "udp.DstPort == 1";
    choose(rules, 100, "true", &list);
    CHECK_EQ(list.count, NSP_OFFLOAD_RULES_MAX - 1);
    CHECK(!list.complete);
    choose(rules, NSP_OFFLOAD_RULES_MAX - 1, "true", &list);
    CHECK(list.complete);
    for (uint32_t i = 0; i < 100; i++)
        rules[i].action = NSP_ACTION_DROP;
    choose(rules, 100, "true", &list);
    CHECK_EQ(list.count, NSP_OFFLOAD_RULES_MAX); /* And what they spare. */
    CHECK(!list.complete);
    choose(rules, NSP_OFFLOAD_RULES_MAX - 1, "true", &list);
    CHECK(list.complete);
    for (uint32_t i = 0; i < 100; i++)
        rules[i] =
            (struct nsp_rule){ .match = "udp.DstPort == 1", .go_on = i < 20 };
    choose(rules, 100, "true", &list);
    CHECK_EQ(list.count, 0); /* Too many count before any decides. */
    CHECK(!list.complete);
}

/* 8 Mbit/s are 1000 ns for a byte. */
TEST(rules_that_limit_and_do_nothing_else_are_the_kernels)
{
    static const struct nsp_rule rules[] = {
        { .match = "udp.DstPort == 1",
          .limit = { NSP_LIMIT_BITPS, 8000000, 3000 } },
        { .match = "udp.DstPort == 2", .limit = { NSP_LIMIT_PPS, 10, 5 } },
        { .match = "udp.DstPort == 3",
          .limit = { NSP_LIMIT_PPS, 10, 5 },
          .go_on = true },
        { .match = "udp.DstPort == 4",
          .limit = { NSP_LIMIT_PPS, 10, 5 },
          .edits = { .which = NSP_EDIT_TTL, .ttl = 9 } },
        { .match = "udp" },
    };
    struct nsp_rule many[20] = { { .match = NULL } };
    struct nsp_offload_list list;

    choose(rules, COUNT(rules), "true", &list);
    CHECK_EQ(list.count, 6); /* The first asks about what is spared. */
    CHECK_EQ(list.rules[1].does, NSP_OFFLOAD_POLICE);
    CHECK(!list.rules[1].bucket.by_pkts);
    CHECK_EQ(list.rules[1].bucket.unit_cost >> list.rules[1].bucket.cost_shift,
             1000);
    CHECK_EQ(list.rules[1].bucket.burst_ns, 3000000);
    CHECK_EQ(list.rules[2].does, NSP_OFFLOAD_POLICE);
    CHECK(list.rules[2].bucket.by_pkts);
    CHECK_EQ(list.rules[2].bucket.unit_cost >> list.rules[2].bucket.cost_shift,
             100000000);
    CHECK_EQ(list.rules[2].bucket.burst_ns, 500000000);
    CHECK_EQ(list.rules[3].does, NSP_OFFLOAD_ASK);
    CHECK_EQ(list.rules[4].does, NSP_OFFLOAD_ASK);
    choose_with(rules, COUNT(rules), "true", false, &list);
    CHECK_EQ(list.rules[0].does, NSP_OFFLOAD_ASK);
    CHECK_EQ(list.rules[1].does, NSP_OFFLOAD_ASK);

    for (uint32_t i = 0; i < COUNT(many); i++)
        many[i] = rules[0];
    choose(many, COUNT(many), "true", &list);
    CHECK_EQ(list.count, 1 + NSP_OFFLOAD_LIMITS_MAX);
    CHECK(!list.complete);
}

TEST(flows_are_for_what_the_kernel_was_not_given)
{
    static const struct nsp_rule reads = { .match = "flow.Packets > 3" };
    static const struct nsp_rule all = { .action = NSP_ACTION_DROP };
    static struct nsp_rule many[NSP_OFFLOAD_RULES_MAX];
    struct nsp_offload_list list;

    for (uint32_t i = 0; i < COUNT(many); i++)
        many[i] = (struct nsp_rule){ .match = "udp.DstPort == 9999",
                                     .action = NSP_ACTION_DROP };
    many[COUNT(many) - 1] = reads;
    choose(many, COUNT(many), "true", &list);
    CHECK(!list.flows);
    choose(&all, 1, "true", &list);
    CHECK(!list.flows);
    many[COUNT(many) - 1] = all;
    choose(many, COUNT(many), "true", &list);
    CHECK(list.flows);
    choose(many + 1, COUNT(many) - 1, "true", &list);
    CHECK(!list.flows);
}

TEST_MAIN(
    cmocka_unit_test(rules_that_do_nothing_else_are_decided_in_the_kernel),
    cmocka_unit_test(the_engine_is_asked_about_what_rules_spare),
    cmocka_unit_test(nothing_is_decided_in_the_kernel_where_filters_read_flows),
    cmocka_unit_test(
        the_list_ends_where_the_engine_is_asked_about_all_the_rest),
    cmocka_unit_test(a_long_list_is_cut_and_incomplete),
    cmocka_unit_test(rules_that_limit_and_do_nothing_else_are_the_kernels),
    cmocka_unit_test(flows_are_for_what_the_kernel_was_not_given))
