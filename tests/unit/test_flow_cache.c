#include "policy/flow_cache.h"

#include <errno.h>
#include <stdlib.h>

#include "base/prng.h"
#include "filter/partial.h"
#include "netshaper/policy.h"
#include "policy/classifier_state.h"
#include "tests/lib/failing_alloc.h"
#include "tests/lib/filter.h"
#include "tests/lib/flow_table.h"
#include "tests/lib/random_expression.h"

#define RULES_MAX  80
#define TEXT_BYTES 16384
#define SECOND     NSP_NS_PER_SECOND

static const struct nsp_filter_context context = {
    .random_seed = 99,
    .timestamp = NAIVE_TIMESTAMP,
};

static uint32_t
below(struct nsp_prng *prng, uint32_t limit)
{
    return (uint32_t)(nsp_prng_next(prng) % limit);
}

/* --- Traffic ----------------------------------------------------------------
 */

struct traffic {
    struct nsp_prng prng;
    struct flow_packet packets[NSP_BURST_MAX];
    struct nsp_flow_view views[NSP_BURST_MAX];
    struct nsp_pkt *pkts[NSP_BURST_MAX];
    struct nsp_flow_hit hits[NSP_BURST_MAX];
};

/* A packet of one of a few flows, everything else at random. */
static void
random_packet(struct traffic *t, uint32_t i)
{
    static const uint8_t protos[] = { 6, 6, 6, 17, 17, 17, 1, 58, 47 };
    struct nsp_prng *prng = &t->prng;
    struct packet_words words = {
        .ipv6 = below(prng, 3) == 0,
        .proto = protos[below(prng, NSP_ARRAY_LEN(protos))],
        .src = 1 + below(prng, 2),
        .dst = 1 + below(prng, 2),
        .src_port = (uint16_t)(1 + below(prng, 2)),
        .dst_port = (uint16_t)(1 + below(prng, 2)),
        .tcp_flags = (uint8_t)(1u << below(prng, 6)),
        .seq = (uint32_t)nsp_prng_next(prng),
        .ack = below(prng, 4),
        .fragment = below(prng, 16) == 0 ? 0x2000 : 0,
    };
    struct nsp_pkt *pkt = make_flow_packet(&t->packets[i], &words);

    pkt->data[words.ipv6 ? 7 : 8] = (uint8_t)below(prng, 4); /* TTL. */
    pkt->data[1] = (uint8_t)(below(prng, 4) << 4);
    if (words.proto == NSP_PROTO_TCP && pkt->l4 == NSP_L4_TCP)
        pkt->data[pkt->l4_off + 15] = (uint8_t)below(prng, 3); /* Window. */
    /* Payload that was not captured. */
    pkt->wire_bytes += 20 * below(prng, 3);
    if (words.ipv6)
        nsp_store_be16(pkt->data + 4, (uint16_t)(pkt->wire_bytes - 40));
    else
        nsp_store_be16(pkt->data + 2, (uint16_t)pkt->wire_bytes);
    pkt->direction = (uint8_t)below(prng, 3);
    pkt->flags = below(prng, 4) == 0 ? NSP_PKT_LOOPBACK : 0;
    pkt->flags |= below(prng, 8) == 0 ? NSP_PKT_MODIFIED : 0;
    pkt->in_ifindex = 1 + below(prng, 2);
    pkt->out_ifindex = 3 + below(prng, 2);
    pkt->mark = below(prng, 3);
    pkt->uid = below(prng, 2) == 0 ? UINT32_MAX : 1000 + below(prng, 2);
    pkt->arrival_ns = nsp_prng_next(prng);
    nsp_pkt_parse(pkt);
    t->pkts[i] = pkt;
}

/* Edits a packet that has been tracked. */
static void
edit(struct nsp_pkt *pkt)
{
    if (pkt->l4 == NSP_L4_TCP || pkt->l4 == NSP_L4_UDP)
        pkt->data[pkt->l4_off + 3] ^= 3;
    pkt->data[pkt->l3_off + (pkt->l3 == NSP_L3_IPV6 ? 23 : 15)] ^= 3;
    nsp_pkt_parse(pkt);
}

/* Makes a burst and tracks it; some packets' flows are not told. */
static void
random_burst(struct traffic *t, struct nsp_flow_table *table, uint64_t now_ns)
{
    for (uint32_t i = 0; i < NSP_BURST_MAX; i++)
        random_packet(t, i);
    nsp_flow_table_track_burst(table, t->pkts, NSP_BURST_MAX, now_ns, t->hits);
    for (uint32_t i = 0; i < NSP_BURST_MAX; i++) {
        if (below(&t->prng, 16) == 0)
            t->hits[i].flow = NULL;
        if (!t->hits[i].flow)
            continue;
        nsp_flow_read_view(t->hits[i].flow, (enum nsp_flow_way)t->hits[i].way,
                           now_ns, &t->views[i]);
        t->pkts[i]->flow = &t->views[i];
        if ((t->pkts[i]->flags & NSP_PKT_MODIFIED) != 0)
            edit(t->pkts[i]);
    }
}

/* --- Policies ---------------------------------------------------------------
 */

struct policy {
    struct nsp_classifier_rule rules[RULES_MAX];
    bool goes_on[RULES_MAX];
    uint32_t count;
    struct nsp_classifier *classifier;
    struct nsp_flow_plan *plan;
};

/* Finds the first rule that matches by asking each. */
static uint32_t
reference(const struct policy *policy, const struct nsp_pkt *pkt,
          uint32_t start)
{
    for (uint32_t r = start; r < policy->count; r++) {
        const struct nsp_classifier_rule *rule = &policy->rules[r];

        if (rule->enabled && nsp_rule_is_for(rule, pkt->direction) &&
            (!rule->filter || nsp_filter_match(rule->filter, pkt, &context)))
            return r;
    }
    return NSP_CLASSIFIER_NONE;
}

static void
finish_policy(struct policy *policy)
{
    const struct nsp_classifier_options plain = {
        .instructions = NSP_INSTRUCTIONS_PLAIN,
    };

    CHECK_EQ(nsp_classifier_create(policy->rules, policy->count, NULL,
                                   &nsp_libc_allocator, &policy->classifier),
             0);
    CHECK_EQ(nsp_flow_plan_create(policy->classifier, policy->rules,
                                  policy->goes_on, policy->count,
                                  policy->count % 2 == 0 ? &plain : NULL,
                                  &nsp_libc_allocator, &policy->plan),
             0);
}

/* Rules of random expressions, often with a test of the flow before them. */
static void
random_policy(struct policy *policy, struct traffic *t)
{
    static const char *const tests[] = {
        "",
        "",
        "tcp.DstPort == 1 and ",
        "udp.SrcPort in {2, 7} and ",
        "ip.SrcAddr == 10.0.0.1 and ",
        "remotePort == 2 and ",
        "ifIdx == 4 and ",
        "uid == 1000 and ",
        "outbound and not tcp.Syn and ",
    };
    static char text[TEXT_BYTES], whole[TEXT_BYTES + 128];

    *policy = (struct policy){ .count = 1 + below(&t->prng, RULES_MAX) };
    for (uint32_t r = 0; r < policy->count; r++) {
        struct nsp_classifier_rule *rule = &policy->rules[r];
        struct naive_filter naive;

        rule->apply = (uint8_t)(below(&t->prng, 2) * below(&t->prng, 3));
        rule->enabled = below(&t->prng, 8) != 0;
        policy->goes_on[r] = below(&t->prng, 3) == 0;
        if (below(&t->prng, 40) == 0)
            continue;
        random_expression(&t->prng, t->pkts, NSP_BURST_MAX, &naive);
        naive_write(&naive, &t->prng, text, sizeof text);
        snprintf(whole, sizeof whole, "%s(%s)",
                 tests[below(&t->prng, NSP_ARRAY_LEN(tests))], text);
        rule->filter = compile(whole, NSP_LAYER_NETWORK);
    }
    finish_policy(policy);
}

/* A policy of 'count' rules by hand; NULL texts match everything. */
static void
fixed_policy(struct policy *policy, const char *const texts[], uint32_t count)
{
    *policy = (struct policy){ .count = count };
    for (uint32_t r = 0; r < count; r++) {
        policy->rules[r].enabled = true;
        if (texts[r])
            policy->rules[r].filter = compile(texts[r], NSP_LAYER_NETWORK);
    }
    finish_policy(policy);
}

static void
destroy_policy(struct policy *policy)
{
    CHECK(nsp_flow_plan_destroy(policy->plan) == NULL);
    nsp_classifier_destroy(policy->classifier);
    for (uint32_t r = 0; r < policy->count; r++)
        nsp_filter_destroy(
            (struct nsp_filter *)(uintptr_t)policy->rules[r].filter);
}

/* --- Against the rules themselves --------------------------------------------
 */

/* Follows all packets of a burst from match to match. */
static void
check_burst(struct nsp_flow_cache *cache, const struct policy *policy,
            struct nsp_pkt *const pkts[], const struct nsp_flow_hit hits[],
            uint32_t n, uint64_t now_ns)
{
    static struct nsp_flow_cache_walk walk;
    uint32_t start[NSP_BURST_MAX] = { 0 }, found[NSP_BURST_MAX];
    uint64_t open = UINT64_MAX >> (64 - n);

    nsp_flow_cache_begin(cache, pkts, hits, n, now_ns, &context, &walk);
    nsp_flow_cache_next(&walk, open, NULL, found);
    while (open != 0) {
        for (uint64_t m = open; m != 0; m &= m - 1) {
            uint32_t i = nsp_ctz_u64(m);
            uint32_t expected = reference(policy, pkts[i], start[i]);

            if (found[i] != expected)
                fail_msg("packet %u from rule %u: %d, not %d", i, start[i],
                         (int)found[i], (int)expected);
            start[i] = expected + 1;
            if (expected == NSP_CLASSIFIER_NONE || !policy->goes_on[expected])
                open &= ~(UINT64_C(1) << i);
        }
        if (open != 0)
            nsp_flow_cache_next(&walk, open, start, found);
    }
}

static struct nsp_flow_cache *
create_cache(uint32_t chains_max)
{
    struct nsp_flow_cache *cache;

    CHECK_EQ(nsp_flow_cache_create(chains_max, NULL, &cache), 0);
    return cache;
}

/* Random traffic under random policies, which replace one another while flows
 * go on. 'capacity' and 'chains_max' decide what becomes short. */
static struct nsp_flow_cache_stats
play(uint64_t seed, uint32_t capacity, uint32_t chains_max)
{
    struct nsp_flow_table *table = create_flow_table(capacity, 0);
    struct nsp_flow_cache *cache = create_cache(chains_max);
    struct traffic *t = calloc(1, sizeof *t);
    struct nsp_flow_cache_stats stats;
    uint64_t now_ns = 0;

    CHECK(t != NULL);
    nsp_prng_init(&t->prng, seed, 0);
    for (int round = 0; round < 40; round++) {
        struct policy policy;

        random_burst(t, table, now_ns);
        random_policy(&policy, t);
        nsp_flow_cache_use(cache, policy.plan);
        for (int burst = 0; burst < 30; burst++) {
            random_burst(t, table, now_ns);
            check_burst(cache, &policy, t->pkts, t->hits, NSP_BURST_MAX,
                        now_ns);
            now_ns += below(&t->prng, 8) == 0 ? 2 * SECOND : SECOND / 100;
        }
        destroy_policy(&policy);
    }
    nsp_flow_cache_read_stats(cache, &stats);
    CHECK(nsp_flow_cache_destroy(cache) == NULL);
    destroy_flow_table(table);
    free(t);
    return stats;
}

TEST(flow_cache_answers_as_the_rules_do)
{
    struct nsp_flow_cache_stats stats = play(1, 4096, 1000);

    CHECK(stats.cached_pkts > stats.uncached_pkts);
    CHECK_EQ(stats.forgotten, 0);
}

TEST(flow_cache_answers_as_the_rules_do_where_flows_come_and_go)
{
    struct nsp_flow_cache_stats stats = play(2, 16, 1000);

    CHECK(stats.made > 1000);
}

TEST(flow_cache_answers_as_the_rules_do_with_too_few_chains)
{
    struct nsp_flow_cache_stats stats = play(3, 4096, 2);

    CHECK(stats.forgotten > 10);
    CHECK(stats.chains <= 2);
}

/* --- What is kept, and when --------------------------------------------------
 */

/* Sends a packet of UDP flow 'i' with this TTL, checks the answer. */
static void
send(struct nsp_flow_cache *cache, struct nsp_flow_table *table,
     const struct policy *policy, uint32_t i, uint8_t ttl)
{
    struct packet_words words = udp_flow(i);
    struct flow_packet packet;
    struct nsp_pkt *pkt = make_flow_packet(&packet, &words);
    struct nsp_flow_hit hit;

    pkt->data[8] = ttl;
    nsp_flow_table_track_burst(table, &pkt, 1, SECOND, &hit);
    check_burst(cache, policy, &pkt, &hit, 1, SECOND);
}

static struct nsp_flow_cache_stats
cache_stats_of(const struct nsp_flow_cache *cache)
{
    struct nsp_flow_cache_stats stats;

    nsp_flow_cache_read_stats(cache, &stats);
    return stats;
}

TEST(flow_cache_keeps_a_flow_from_its_second_packet_on)
{
    static const char *const texts[] = { "udp.SrcPort == 1030",
                                         "ip.TTL == 3 and udp", "udp" };
    struct nsp_flow_table *table = create_flow_table(1000, 0);
    struct nsp_flow_cache *cache = create_cache(10);
    struct policy policy;

    fixed_policy(&policy, texts, 3);
    nsp_flow_cache_use(cache, policy.plan);
    for (uint32_t i = 0; i < 100; i++)
        send(cache, table, &policy, i, 3);
    CHECK_EQ(cache_stats_of(cache).made, 0);
    CHECK_EQ(cache_stats_of(cache).cached_pkts, 0);
    for (uint32_t k = 0; k < 400; k++)
        send(cache, table, &policy, k % 100, (uint8_t)(k / 100));
    CHECK_EQ(cache_stats_of(cache).made, 100);
    CHECK_EQ(cache_stats_of(cache).cached_pkts, 400);
    CHECK_EQ(cache_stats_of(cache).chains, 1); /* One rule needs none. */
    destroy_policy(&policy);
    nsp_flow_cache_destroy(cache);
    destroy_flow_table(table);
}

TEST(flow_cache_forgets_nothing_and_mistakes_nothing_at_a_reload)
{
    static const char *const old_texts[] = { "udp.DstPort == 53", "udp" };
    static const char *const new_texts[] = { "tcp", "udp.DstPort == 54",
                                             "ip.TTL < 2", "udp" };
    struct nsp_flow_table *table = create_flow_table(1000, 0);
    struct nsp_flow_cache *cache = create_cache(10);
    struct policy old, new;

    fixed_policy(&old, old_texts, 2);
    fixed_policy(&new, new_texts, 4);
    for (int round = 0; round < 5; round++) {
        nsp_flow_cache_use(cache, round % 2 == 0 ? old.plan : new.plan);
        for (uint8_t ttl = 0; ttl < 4; ttl++)
            send(cache, table, round % 2 == 0 ? &old : &new, 7, ttl);
    }
    CHECK_EQ(flow_stats_of(table).begun, 1);
    CHECK_EQ(cache_stats_of(cache).made, 5);
    CHECK_EQ(cache_stats_of(cache).uncached_pkts, 1);
    destroy_policy(&old);
    destroy_policy(&new);
    nsp_flow_cache_destroy(cache);
    destroy_flow_table(table);
}

TEST(flow_cache_gives_up_chains_that_are_too_long)
{
    static char texts_bytes[NSP_FLOW_CHAIN_MAX + 1][32];
    const char *texts[NSP_FLOW_CHAIN_MAX + 1];
    struct nsp_flow_table *table = create_flow_table(1000, 0);
    struct nsp_flow_cache *cache = create_cache(10);

    for (uint32_t r = 0; r <= NSP_FLOW_CHAIN_MAX; r++) {
        snprintf(texts_bytes[r], sizeof texts_bytes[r], "ip.TTL == %u", r);
        texts[r] = texts_bytes[r];
    }
    for (uint32_t longer = 0; longer < 2; longer++) {
        struct policy policy;
        uint64_t given_up;

        fixed_policy(&policy, texts, NSP_FLOW_CHAIN_MAX + longer);
        nsp_flow_cache_use(cache, policy.plan);
        given_up = cache_stats_of(cache).given_up;
        for (uint8_t ttl = 0; ttl < 20; ttl++)
            send(cache, table, &policy, 7, ttl);
        CHECK_EQ(cache_stats_of(cache).given_up - given_up, longer);
        destroy_policy(&policy);
    }
    CHECK_EQ(cache_stats_of(cache).made, 2); /* Once for each policy. */
    nsp_flow_cache_destroy(cache);
    destroy_flow_table(table);
}

/* One rule, of which each flow is left with another test: more than there are
 * places for, so some ask the filter. */
TEST(flow_cache_asks_each_flow_what_is_left_of_a_rule)
{
    enum { LEFT = 320 };
    static char text[64 * LEFT];
    const char *texts[] = { text, "ip.TTL == 9" };
    struct nsp_flow_table *table = create_flow_table(1000, 0);
    struct nsp_flow_cache *cache = create_cache(2 * LEFT);
    struct policy policy;
    size_t used = 0;

    for (uint32_t i = 0; i < LEFT; i++) {
        struct packet_words words = udp_flow(i);
        int written =
            snprintf(text + used, sizeof text - used,
                     "%sudp.SrcPort == %u and ip.TTL in {%u..%u}",
                     i > 0 ? " or " : "", words.src_port, i % 16, 16 + i / 16);

        used += (size_t)written;
    }
    fixed_policy(&policy, texts, 2);
    nsp_flow_cache_use(cache, policy.plan);
    for (uint32_t i = 0; i < LEFT; i++)
        for (uint32_t ttl = 0; ttl < 40; ttl++)
            send(cache, table, &policy, i, (uint8_t)ttl);
    CHECK_EQ(cache_stats_of(cache).made, LEFT);
    CHECK_EQ(cache_stats_of(cache).given_up, 0);
    CHECK(cache_stats_of(cache).chains > LEFT / 2);
    destroy_policy(&policy);
    nsp_flow_cache_destroy(cache);
    destroy_flow_table(table);
}

TEST(flow_cache_forgets_once_a_second_at_most)
{
    static const char *const texts[] = { "udp.SrcPort == 1030 and ip.TTL < 9",
                                         "ip.TTL == 1" };
    struct nsp_flow_table *table = create_flow_table(1000, 0);
    struct nsp_flow_cache *cache = create_cache(1);
    struct policy policy;

    fixed_policy(&policy, texts, 2);
    nsp_flow_cache_use(cache, policy.plan);
    for (uint32_t k = 0; k < 100; k++)
        send(cache, table, &policy, 6 + k % 2, 1);
    CHECK_EQ(cache_stats_of(cache).forgotten, 1);
    CHECK_EQ(cache_stats_of(cache).chains, 1);
    CHECK(cache_stats_of(cache).made <= 4);
    destroy_policy(&policy);
    nsp_flow_cache_destroy(cache);
    destroy_flow_table(table);
}

TEST(flow_cache_makes_nothing_of_floods_of_one_packet_flows)
{
    static const char *const texts[] = { "udp.SrcPort < 1500", "ip.TTL > 1" };
    struct nsp_flow_table *table = create_flow_table(1000, 0);
    struct nsp_flow_cache *cache = create_cache(10);
    struct policy policy;

    fixed_policy(&policy, texts, 2);
    nsp_flow_cache_use(cache, policy.plan);
    for (uint32_t i = 0; i < 20000; i++)
        send(cache, table, &policy, i, 1);
    CHECK_EQ(cache_stats_of(cache).made, 0);
    CHECK_EQ(cache_stats_of(cache).chains, 0);
    destroy_policy(&policy);
    nsp_flow_cache_destroy(cache);
    destroy_flow_table(table);
}

/* --- Lifetime ----------------------------------------------------------------
 */

TEST(flow_cache_survives_failures_to_allocate)
{
    static const char *const texts[] = { "udp", "ip.TTL > 1", NULL };
    struct nsp_flow_cache *cache = NULL;
    struct nsp_flow_plan *plan = NULL;
    struct policy policy;
    unsigned fail_at = 0;
    int err = -ENOMEM;

    fixed_policy(&policy, texts, 3);
    CHECK_EQ(nsp_flow_cache_create(0, NULL, &cache), -EINVAL);
    CHECK_EQ(nsp_flow_cache_create(NSP_FLOW_CHAINS_MAX + 1, NULL, &cache),
             -EINVAL);
    for (; err != 0; fail_at++) {
        struct failing_alloc failing = { .fail_at = fail_at };
        const struct nsp_allocator allocator = failing_allocator(&failing);

        err = nsp_flow_cache_create(100, &allocator, &cache);
        if (err == 0)
            err = nsp_flow_plan_create(policy.classifier, policy.rules, NULL,
                                       policy.count, NULL, &allocator, &plan);
        CHECK_EQ(err, failing.failed ? -ENOMEM : 0);
        CHECK_EQ(plan != NULL, err == 0);
        nsp_flow_plan_destroy(plan);
        cache = nsp_flow_cache_destroy(cache);
        CHECK_EQ(failing.live, 0);
    }
    CHECK(fail_at > 6);
    destroy_policy(&policy);
}

TEST_MAIN(
    cmocka_unit_test(flow_cache_answers_as_the_rules_do),
    cmocka_unit_test(
        flow_cache_answers_as_the_rules_do_where_flows_come_and_go),
    cmocka_unit_test(flow_cache_answers_as_the_rules_do_with_too_few_chains),
    cmocka_unit_test(flow_cache_keeps_a_flow_from_its_second_packet_on),
    cmocka_unit_test(
        flow_cache_forgets_nothing_and_mistakes_nothing_at_a_reload),
    cmocka_unit_test(flow_cache_gives_up_chains_that_are_too_long),
    cmocka_unit_test(flow_cache_asks_each_flow_what_is_left_of_a_rule),
    cmocka_unit_test(flow_cache_forgets_once_a_second_at_most),
    cmocka_unit_test(flow_cache_makes_nothing_of_floods_of_one_packet_flows),
    cmocka_unit_test(flow_cache_survives_failures_to_allocate))
