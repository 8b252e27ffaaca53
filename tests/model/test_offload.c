/* Rules and flows that a device decides in the kernel: what becomes of their
 * counters. The device is the memory backend with a kernel of the test's own.
 */
#include <errno.h>
#include <string.h>

#include "engine/offload.h"
#include "engine/ruleset.h"
#include "engine/slots.h"
#include "io/registry.h"
#include "netshaper/engine.h"
#include "tests/lib/frames.h"
#include "tests/lib/test.h"

#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof((array)[0])))

/* --- Counters --------------------------------------------------------------
 */

/* The test's kernel: 'seen' packets of 100 bytes have met each rule that it
 * decides by, and as many none. */
static struct {
    uint32_t calls, count, flow_rules;
    uint64_t generation;
    uint8_t does[NSP_OFFLOAD_RULES_MAX + 1];
    bool complete;
    int error;
    uint64_t seen;
    uint64_t words[NSP_SLOTS_MAX];
    struct nsp_offload_flow flows[8];
    uint32_t flow_count;
    uint64_t flow_generation;
    struct nsp_offload_bucket buckets[NSP_OFFLOAD_RULES_MAX];
} kernel;

/* Flows were all dropped. */
static struct nsp_offload_counters
counters_of(uint32_t index)
{
    struct nsp_offload_counters one = { .hit_pkts = kernel.seen,
                                        .hit_bytes = 100 * kernel.seen };

    if (index > kernel.count) {
        one.dropped_pkts = one.hit_pkts;
        one.dropped_bytes = one.hit_bytes;
        return one;
    }
    if (kernel.does[index] == NSP_OFFLOAD_ASK)
        return (struct nsp_offload_counters){ 0 };
    if (kernel.does[index] == NSP_OFFLOAD_PASS) {
        one.passed_pkts = one.hit_pkts;
        one.passed_bytes = one.hit_bytes;
    } else if (kernel.does[index] == NSP_OFFLOAD_POLICE) {
        one.limited_pkts = one.hit_pkts;
        one.limited_bytes = one.hit_bytes;
    } else {
        one.dropped_pkts = one.hit_pkts;
        one.dropped_bytes = one.hit_bytes;
    }
    return one;
}

static int
kernel_offload(struct nsp_io *io, const struct nsp_offload_request *request,
               struct nsp_offload_counters ret_last[])
{
    (void)io;
    kernel.calls++;
    if (kernel.error != 0 && request->count > 0)
        return kernel.error;
    for (uint32_t i = 0;
         i <= kernel.count + kernel.flow_rules && kernel.calls > 1; i++)
        ret_last[i] = counters_of(i);
    for (uint32_t i = 0; i < request->count; i++) {
        kernel.does[i] = request->rules[i].does;
        kernel.buckets[i] = request->rules[i].bucket;
    }
    kernel.does[request->count] = NSP_OFFLOAD_PASS;
    kernel.count = request->count;
    kernel.complete = request->complete;
    kernel.flow_rules = request->flow_rules;
    kernel.generation = request->generation;
    kernel.seen = 0;
    return 0;
}

static void
kernel_read(struct nsp_io *io, uint32_t index, struct nsp_offload_counters *ret)
{
    (void)io;
    *ret = counters_of(index);
}

static int
kernel_share(struct nsp_io *io, uint32_t count, uint64_t **ret)
{
    (void)io;
    CHECK(count <= NSP_SLOTS_MAX);
    *ret = kernel.words;
    return 0;
}

static void
kernel_flows(struct nsp_io *io, const struct nsp_offload_flow flows[],
             uint32_t n, uint64_t generation)
{
    (void)io;
    for (uint32_t i = 0; i < n; i++) {
        CHECK(kernel.flow_count < COUNT(kernel.flows));
        kernel.flows[kernel.flow_count++] = flows[i];
    }
    kernel.flow_generation = generation;
}

struct setting {
    struct nsp_memory *memory;
    struct nsp_io_ops ops;
    struct nsp_engine *engine;
};

static const struct nsp_rule pass_and_drop[] = {
    { .name = "pass", .match = "tcp" },
    { .name = "drop", .match = "udp", .action = NSP_ACTION_DROP },
};

static void
begin(struct setting *s, struct nsp_engine_config cfg)
{
    const struct nsp_memory_config memory = { .virtual_time = true };
    struct nsp_diag diag;

    memset(&kernel, 0, sizeof kernel);
    CHECK_EQ(nsp_memory_create(&memory, &s->memory), NSP_OK);
    s->ops = *nsp_io_resolve("memory", s->memory);
    s->ops.offload = kernel_offload;
    s->ops.read_offload = kernel_read;
    s->ops.share_buckets = kernel_share;
    s->ops.offload_flows = kernel_flows;
    cfg.backend = "custom";
    cfg.custom.ops = &s->ops;
    cfg.custom.device = s->memory;
    if (!cfg.policy.rules)
        cfg.policy =
            (struct nsp_policy_spec){ .rules = pass_and_drop, .rule_count = 2 };
    CHECK_EQ(nsp_engine_create(&cfg, &s->engine, &diag), NSP_OK);
    CHECK_EQ(nsp_engine_start(s->engine, "true", &diag), NSP_OK);
}

static void
end(struct setting *s)
{
    nsp_engine_destroy(s->engine);
    nsp_memory_destroy(s->memory);
}

static struct nsp_rule_stats
rule_stats(struct setting *s, uint32_t index)
{
    struct nsp_rule_stats stats;

    CHECK_EQ(nsp_engine_read_rule_stats(s->engine, index, &stats), NSP_OK);
    return stats;
}

static void
check_identity(struct setting *s, uint64_t decided)
{
    struct nsp_stats stats;

    CHECK_EQ(nsp_engine_read_stats(s->engine, &stats), NSP_OK);
    CHECK_EQ(stats.in_pkts,
             stats.delivered_pkts + stats.dropped_pkts[NSP_DROP_RULE]);
    CHECK_EQ(stats.in_bytes,
             stats.delivered_bytes + stats.dropped_bytes[NSP_DROP_RULE]);
    CHECK_EQ(stats.kernel_decided_pkts, decided);
    CHECK_EQ(stats.matched_pkts, stats.in_pkts);
}

TEST(what_the_kernel_counts_is_added_to_the_rules)
{
    struct setting s;

    begin(&s, (struct nsp_engine_config){ .seed = 0 });
    CHECK_EQ(kernel.calls, 1);
    CHECK_EQ(kernel.count, 3); /* One asks about what is spared. */
    CHECK(kernel.complete);
    kernel.seen = 7;
    CHECK_EQ(rule_stats(&s, 0).hit_pkts, 7);
    CHECK_EQ(rule_stats(&s, 0).in_pkts, 7);
    CHECK_EQ(rule_stats(&s, 0).delivered_bytes, 700);
    CHECK_EQ(rule_stats(&s, 1).dropped_pkts[NSP_DROP_RULE], 7);
    CHECK_EQ(rule_stats(&s, 1).in_bytes, 700);
    check_identity(&s, 21);
    end(&s);
}

TEST(rules_that_keep_their_name_keep_what_the_kernel_counted)
{
    static const struct nsp_rule next[] = {
        { .name = "new", .match = "icmp" },
        { .name = "drop", .match = "udp", .action = NSP_ACTION_DROP },
        { .name = "pass", .match = "tcp" },
    };
    const struct nsp_policy_spec policy = { .rules = next, .rule_count = 3 };
    struct setting s;

    begin(&s, (struct nsp_engine_config){ .policy_may_change = true });
    kernel.seen = 5;
    CHECK_EQ(nsp_engine_set_policy(s.engine, &policy, NULL), NSP_OK);
    CHECK_EQ(kernel.calls, 2);
    CHECK_EQ(rule_stats(&s, 0).in_pkts, 0);
    CHECK_EQ(rule_stats(&s, 1).dropped_pkts[NSP_DROP_RULE], 5);
    CHECK_EQ(rule_stats(&s, 2).delivered_pkts, 5);
    check_identity(&s, 15);
    kernel.seen = 2;
    CHECK_EQ(rule_stats(&s, 2).delivered_pkts, 7);
    check_identity(&s, 15 + 8);
    end(&s);
}

/* The old rules must not go on deciding when the kernel refuses the new ones.
 */
TEST(rules_that_the_kernel_refuses_leave_nothing_to_it)
{
    const struct nsp_policy_spec policy = { .rules = pass_and_drop,
                                            .rule_count = 1 };
    struct setting s;

    begin(&s, (struct nsp_engine_config){ .policy_may_change = true });
    kernel.seen = 3;
    kernel.error = -E2BIG;
    CHECK_EQ(nsp_engine_set_policy(s.engine, &policy, NULL), NSP_OK);
    CHECK_EQ(kernel.count, 0);
    CHECK(!kernel.complete);
    kernel.seen = 9;
    CHECK_EQ(rule_stats(&s, 0).in_pkts, 3);
    check_identity(&s, 9);
    end(&s);
}

static const struct nsp_rule limited[] = {
    { .name = "few", .match = "udp", .limit = { NSP_LIMIT_PPS, 1, 5 } },
};

TEST(what_a_limit_drops_in_the_kernel_is_counted_as_that)
{
    const struct nsp_policy_spec policy = { .rules = limited, .rule_count = 1 };
    struct nsp_stats stats;
    struct setting s;

    begin(&s, (struct nsp_engine_config){ .policy = policy });
    kernel.seen = 7;
    CHECK_EQ(rule_stats(&s, 0).dropped_pkts[NSP_DROP_LIMIT], 7);
    CHECK_EQ(rule_stats(&s, 0).dropped_pkts[NSP_DROP_RULE], 0);
    CHECK_EQ(rule_stats(&s, 0).dropped_bytes, 700);
    CHECK_EQ(rule_stats(&s, 0).in_pkts, 7);
    CHECK_EQ(nsp_engine_read_stats(s.engine, &stats), NSP_OK);
    CHECK_EQ(stats.dropped_pkts[NSP_DROP_LIMIT], 7);
    CHECK_EQ(stats.dropped_bytes[NSP_DROP_LIMIT], 700);
    CHECK_EQ(stats.in_pkts, 14); /* As many were met by no rule. */
    CHECK_EQ(stats.kernel_decided_pkts, 14);
    end(&s);
}

/* Of five packets the kernel takes three: two are left for the engine. */
TEST(the_engine_takes_from_the_bucket_that_the_kernel_takes_from)
{
    const struct nsp_policy_spec policy = { .rules = limited, .rule_count = 1 };
    const uint64_t second = 1000000000;
    struct nsp_stats stats;
    struct setting s;
    uint64_t *word;

    begin(&s, (struct nsp_engine_config){ .policy = policy });
    word = &kernel.words[kernel.buckets[1].index];
    *word = 100 * second + 3 * second;
    push_udp(s.memory, 4, 100, 1, 0, 100 * second, 0, NSP_INBOUND);
    CHECK_EQ(nsp_engine_run(s.engine), NSP_OK);
    CHECK_EQ(nsp_engine_read_stats(s.engine, &stats), NSP_OK);
    CHECK_EQ(stats.delivered_pkts, 2);
    CHECK_EQ(stats.dropped_pkts[NSP_DROP_LIMIT], 2);
    CHECK_EQ(*word, 105 * second);
    end(&s);
}

TEST(a_bucket_goes_with_the_name_of_its_rule)
{
    static const struct nsp_rule next[] = {
        { .name = "new", .match = "tcp", .limit = { NSP_LIMIT_PPS, 1, 5 } },
        { .name = "few", .match = "udp", .limit = { NSP_LIMIT_PPS, 1, 5 } },
    };
    const struct nsp_policy_spec first = { .rules = limited, .rule_count = 1 };
    const struct nsp_policy_spec second = { .rules = next, .rule_count = 2 };
    struct setting s;
    uint32_t index;

    begin(&s, (struct nsp_engine_config){ .policy = first,
                                          .policy_may_change = true });
    index = kernel.buckets[1].index;
    memset(kernel.words, 0xff, sizeof kernel.words);
    CHECK_EQ(nsp_engine_set_policy(s.engine, &second, NULL), NSP_OK);
    CHECK_EQ(kernel.buckets[2].index, index);
    CHECK_EQ(kernel.words[index], UINT64_MAX);
    CHECK_EQ(kernel.words[kernel.buckets[1].index], 0);
    end(&s);
}

/* --- Flows ---------------------------------------------------------------- */

#define MANY 70u

/* Rules of other ports, and at the end those of a test. */
static struct nsp_policy_spec
many_rules(const struct nsp_rule last[], uint32_t count)
{
    static struct nsp_rule rules[MANY];

    for (uint32_t i = 0; i < MANY; i++)
        rules[i] = (struct nsp_rule){ .match = "udp.DstPort == 9999",
                                      .action = NSP_ACTION_DROP };
    for (uint32_t i = 0; i < count; i++)
        rules[MANY - count + i] = last[i];
    return (struct nsp_policy_spec){ .rules = rules, .rule_count = MANY };
}

static void
check_told(uint32_t i, uint16_t port, uint8_t does, uint32_t rule)
{
    static const uint8_t ends[] = { 10, 0, 0, 1, 10, 0, 0, 2 };
    const struct nsp_offload_flow *flow = &kernel.flows[i];

    CHECK_EQ(flow->direction, NSP_INBOUND);
    CHECK_EQ(flow->protocol, 17);
    CHECK(!flow->ipv6);
    CHECK_EQ(memcmp(flow->addresses[0], ends, 4), 0);
    CHECK_EQ(memcmp(flow->addresses[1], ends + 4, 4), 0);
    CHECK_EQ(flow->ports[2] << 8 | flow->ports[3], port);
    CHECK_EQ(flow->does, does);
    CHECK_EQ(flow->rule, rule);
}

TEST(the_kernel_is_told_of_flows_that_their_addresses_decide)
{
    static const struct nsp_rule last[] = {
        { .match = "udp.DstPort == 1", .action = NSP_ACTION_DROP },
        { .match = "udp.DstPort == 2" },
        { .match = "udp.DstPort == 3 and length > 50",
          .action = NSP_ACTION_DROP },
        { .match = "udp.DstPort == 4", .action = NSP_ACTION_REJECT },
        { .match = "udp.DstPort == 5", .go_on = true },
        { .match = "udp.DstPort == 67", .action = NSP_ACTION_DROP },
    };
    struct setting s;

    begin(&s, (struct nsp_engine_config){ .policy =
                                              many_rules(last, COUNT(last)) });
    CHECK_EQ(kernel.flow_rules, MANY);
    for (uint16_t port = 1; port <= 6; port++)
        push_udp(s.memory, 20, 100, port, 0, 1000u * port, 1, NSP_INBOUND);
    push_udp(s.memory, 3, 100, 7, 0, 7000, 1, NSP_INBOUND);
    CHECK_EQ(nsp_engine_run(s.engine), NSP_OK);
    /* The fourth packet and the twentieth of each. */
    CHECK_EQ(kernel.flow_count, 6);
    for (uint32_t i = 0; i < 2; i++) {
        check_told(i, 1, NSP_OFFLOAD_DROP, MANY - 6);
        check_told(2 + i, 2, NSP_OFFLOAD_PASS, MANY - 5);
        check_told(4 + i, 6, NSP_OFFLOAD_PASS, NSP_OFFLOAD_NO_RULE);
    }
    CHECK_EQ(kernel.flow_generation, kernel.generation);
    end(&s);
}

TEST(what_flows_decided_is_counted_with_their_rule)
{
    static const struct nsp_rule last[] = {
        { .name = "last", .match = "udp", .action = NSP_ACTION_DROP },
    };
    const struct nsp_policy_spec first = { .rules = last, .rule_count = 1 };
    struct setting s;

    begin(&s, (struct nsp_engine_config){ .policy = many_rules(last, 1),
                                          .policy_may_change = true });
    kernel.seen = 3;
    CHECK_EQ(rule_stats(&s, MANY - 1).dropped_pkts[NSP_DROP_RULE], 3);
    CHECK_EQ(rule_stats(&s, MANY - 1).hit_bytes, 300);
    CHECK_EQ(nsp_engine_set_policy(s.engine, &first, NULL), NSP_OK);
    CHECK_EQ(kernel.flow_rules, 0);
    CHECK_EQ(rule_stats(&s, 0).dropped_pkts[NSP_DROP_RULE], 3);
    end(&s);
}

static void
look(void *context, struct nsp_burst *burst)
{
    (void)context;
    (void)burst;
}

TEST(the_kernel_decides_nothing_where_it_must_not)
{
    static const struct nsp_engine_config rows[] = {
        { .no_offload = true },
        { .callback = look },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct setting s;

        begin(&s, rows[i]);
        CHECK_EQ(kernel.calls, 0);
        check_identity(&s, 0);
        end(&s);
    }
}

TEST_MAIN(
    cmocka_unit_test(what_the_kernel_counts_is_added_to_the_rules),
    cmocka_unit_test(rules_that_keep_their_name_keep_what_the_kernel_counted),
    cmocka_unit_test(rules_that_the_kernel_refuses_leave_nothing_to_it),
    cmocka_unit_test(what_a_limit_drops_in_the_kernel_is_counted_as_that),
    cmocka_unit_test(
        the_engine_takes_from_the_bucket_that_the_kernel_takes_from),
    cmocka_unit_test(a_bucket_goes_with_the_name_of_its_rule),
    cmocka_unit_test(the_kernel_is_told_of_flows_that_their_addresses_decide),
    cmocka_unit_test(what_flows_decided_is_counted_with_their_rule),
    cmocka_unit_test(the_kernel_decides_nothing_where_it_must_not))
