/* The classifier against the evaluator: rule by rule, packet by packet. */
#include "policy/classifier.h"

#include <errno.h>

#include "netshaper/policy.h"
#include "tests/lib/failing_alloc.h"
#include "tests/lib/random_filter.h"

#define RULES_MAX 4096

/* A policy, its packets, and the reference. */
struct policy {
    struct nsp_classifier_rule rules[RULES_MAX];
    uint32_t count;
    struct nsp_pkt *pkts[NSP_BURST_MAX];
    uint32_t pkt_count;
};

static const struct nsp_filter_context context = { .random_seed = 7,
                                                   .timestamp = 12345 };

static void
add_rule(struct policy *policy, const char *text, uint8_t apply, bool enabled)
{
    struct nsp_filter *filter = NULL;
    struct nsp_diag diag = { 0 };

    CHECK(policy->count < RULES_MAX);
    if (text && nsp_filter_compile(text, NSP_LAYER_NETWORK, NULL, &filter,
                                   &diag) != NSP_OK)
        fail_msg("%s: %s", text, diag.text);
    policy->rules[policy->count++] =
        (struct nsp_classifier_rule){ filter, apply, enabled };
}

static void
add(struct policy *policy, const char *text)
{
    add_rule(policy, text, NSP_APPLY_BOTH, true);
}

static void
forget(struct policy *policy)
{
    for (uint32_t r = 0; r < policy->count; r++) {
        struct nsp_filter *filter = NULL;

        memcpy(&filter, &policy->rules[r].filter, sizeof filter);
        nsp_filter_destroy(filter);
    }
    policy->count = 0;
}

static bool
applies(uint8_t apply, uint8_t direction)
{
    return apply == NSP_APPLY_BOTH ||
           (apply == NSP_APPLY_INBOUND && direction == NSP_INBOUND) ||
           (apply == NSP_APPLY_OUTBOUND && direction == NSP_OUTBOUND);
}

static uint32_t
reference(const struct policy *policy, const struct nsp_pkt *pkt,
          uint32_t start)
{
    for (uint32_t r = start; r < policy->count; r++) {
        const struct nsp_classifier_rule *rule = &policy->rules[r];

        if (rule->enabled && applies(rule->apply, pkt->direction) &&
            (!rule->filter || nsp_filter_match(rule->filter, pkt, &context)))
            return r;
    }
    return NSP_CLASSIFIER_NONE;
}

/* Follows every packet from match to match to the end. */
static void
check_walk(const struct policy *policy, const struct nsp_classifier *c,
           const char *what)
{
    struct nsp_classifier_walk walk;
    uint32_t start[NSP_BURST_MAX] = { 0 }, found[NSP_BURST_MAX];
    uint64_t open = UINT64_MAX >> (64 - policy->pkt_count);

    nsp_classifier_begin(c, policy->pkts, policy->pkt_count, &context, &walk);
    nsp_classifier_next(&walk, open, NULL, found);
    while (open != 0) {
        uint64_t going = open;

        for (; going != 0; going &= going - 1) {
            uint32_t i = nsp_ctz_u64(going);
            uint32_t expected = reference(policy, policy->pkts[i], start[i]);

            if (found[i] != expected)
                fail_msg("%s: packet %u from rule %u: %d, not %d", what, i,
                         start[i], (int)found[i], (int)expected);
            start[i] = expected + 1;
            if (expected == NSP_CLASSIFIER_NONE)
                open &= ~(UINT64_C(1) << i);
        }
        if (open != 0)
            nsp_classifier_next(&walk, open, start, found);
    }
}

/* Requires the answers of all instructions that this processor has. */
static void
check_policy(const struct policy *policy, struct nsp_classifier_limits limits,
             struct nsp_classifier_info *ret_info)
{
    for (int i = NSP_INSTRUCTIONS_PLAIN; i < NSP_INSTRUCTIONS_COUNT; i++) {
        struct nsp_classifier_options options = {
            .limits = limits, .instructions = (enum nsp_instructions)i
        };
        struct nsp_classifier_info info;
        struct nsp_classifier *c;

        if (!nsp_classifier_can_use(options.instructions))
            continue;
        CHECK_EQ(nsp_classifier_create(policy->rules, policy->count, &options,
                                       &nsp_libc_allocator, &c),
                 0);
        nsp_classifier_get_info(c, &info);
        check_walk(policy, c, info.instructions);
        nsp_classifier_destroy(c);
        if (ret_info)
            *ret_info = info;
    }
}

static const struct nsp_classifier_limits usual;

/* --- Samples -------------------------------------------------------------- */

static struct sample samples[NSP_BURST_MAX];

/* Every sample in every direction, as many as fit a burst. */
static void
take_samples(struct policy *policy)
{
    policy->pkt_count = 0;
    for (unsigned i = 0; i < 3 * SAMPLES && i < NSP_BURST_MAX; i++) {
        sample_init(&samples[i], i % SAMPLES,
                    (enum nsp_direction)(i / SAMPLES));
        policy->pkts[policy->pkt_count++] = &samples[i].pkt;
    }
}

TEST(no_rule_matches_without_rules)
{
    static struct policy policy;

    take_samples(&policy);
    check_policy(&policy, usual, NULL);
    add_rule(&policy, "true", NSP_APPLY_BOTH, false);
    check_policy(&policy, usual, NULL);
    forget(&policy);
}

TEST(a_rule_without_filter_takes_unusable_packets_too)
{
    static struct policy policy;

    take_samples(&policy);
    add(&policy, "true");
    add_rule(&policy, NULL, NSP_APPLY_INBOUND, true);
    add_rule(&policy, NULL, NSP_APPLY_BOTH, false);
    add_rule(&policy, NULL, NSP_APPLY_OUTBOUND, true);
    add_rule(&policy, NULL, NSP_APPLY_BOTH, true);
    check_policy(&policy, usual, NULL);
    forget(&policy);
}

TEST(every_kind_of_test_is_answered_as_by_the_filter)
{
    static struct policy policy;
    static const char *const texts[] = {
        "tcp.DstPort == 80 and ip.SrcAddr == 192.0.2.1",
        "udp.SrcPort in {53, 5000..6000} or tcp.SrcPort != 5000",
        "not (ip.SrcAddr in {192.0.2.0/24} and tcp)",
        "ipv6.SrcAddr in {2001:db8::/32} and not tcp.DstPort == 443",
        "remoteAddr in {198.51.100.0/24, 2001:db8::2}",
        "localPort in {80, 443, 53} and inbound",
        "tcp.Payload[0] == 71 or udp",
        "ip.TTL < ip.TOS",
        "random8 < 128",
        "tcp.Flags & 2 == 2",
        "tcp.Mss > 1000",
        "eth.Type == 0x0800 or vlan.Id == 100",
        "eth.DstAddr == 02:00:00:00:00:02",
        "arp.Op == 1 and not ip",
        "fragment and not loopback",
        "protocol in {6, 17} and length > 40",
        "uid == 3 or mark != 0",
        "(icmp.Type == 8 ? outbound : ipv6)",
        "(ip.TOS == 0xb8 or tcp.Ack == 1) and (ip.Id > 5 or ip.DF == 0)",
        "zero",
        "event == PACKET and true",
        "timestamp > 5",
    };

    take_samples(&policy);
    for (size_t i = 0; i < NSP_ARRAY_LEN(texts); i++) {
        char negated[256];

        for (uint8_t apply = 0; apply <= NSP_APPLY_OUTBOUND; apply++) {
            add_rule(&policy, texts[i], apply, true);
            snprintf(negated, sizeof negated, "not (%s)", texts[i]);
            add_rule(&policy, negated, apply, true);
        }
        check_policy(&policy, usual, NULL);
    }
    forget(&policy);
}

TEST(rules_on_five_fields_take_four_columns_and_no_asking)
{
    static struct policy policy;
    static const struct {
        const char *text;
        uint32_t cubes;
    } rules[] = {
        { "tcp and ip.SrcAddr == 10.0.0.0/8 and ip.DstAddr == 192.0.2.1 and "
          "tcp.DstPort == 80",
          1 },
        { "tcp.DstPort == 53 or udp.DstPort == 53", 1 },
        { "ip.SrcAddr == 10.1.2.3 and udp.SrcPort == 5", 1 },
        { "icmp", 1 },
        { "tcp or udp", 1 },
        { "not tcp.DstPort == 80", 1 },
        { "ip.SrcAddr == 1.2.3.4 or ip.DstAddr == 1.2.3.4", 2 },
    };
    struct nsp_classifier_info info = { 0 };
    uint32_t cubes = 0;

    take_samples(&policy);
    for (size_t i = 0; i < NSP_ARRAY_LEN(rules); i++) {
        add(&policy, rules[i].text);
        cubes += rules[i].cubes;
        check_policy(&policy, usual, &info);
        if (info.cubes != cubes)
            fail_msg("%s: %u cubes", rules[i].text, info.cubes);
    }
    CHECK_EQ(info.columns, 4);
    CHECK_EQ(info.marked_rules, 0);
    forget(&policy);
}

/* --- Many rules ----------------------------------------------------------- */

/* A TCP segment with the numbers given. */
struct segment {
    struct nsp_pkt pkt;
    uint8_t bytes[60];
};

static void
make_segment(struct segment *s, uint32_t src, uint16_t port)
{
    static const uint8_t model[40] = { 0x45, 0, 0, 40, [9] = 6, [32] = 0x50 };

    memset(s, 0, sizeof *s);
    memcpy(s->bytes, model, sizeof model);
    nsp_store_be32(s->bytes + 12, src);
    nsp_store_be16(s->bytes + 22, port);
    s->pkt.data = s->bytes;
    s->pkt.cap_bytes = s->pkt.wire_bytes = sizeof model;
    nsp_pkt_parse(&s->pkt);
}

static void
make_segment6(struct segment *s, uint64_t hi, uint64_t lo)
{
    static const uint8_t model[60] = { 0x60, [5] = 20, 6, [52] = 0x50 };

    memset(s, 0, sizeof *s);
    memcpy(s->bytes, model, sizeof model);
    nsp_store_be32(s->bytes + 8, (uint32_t)(hi >> 32));
    nsp_store_be32(s->bytes + 12, (uint32_t)hi);
    nsp_store_be32(s->bytes + 16, (uint32_t)(lo >> 32));
    nsp_store_be32(s->bytes + 20, (uint32_t)lo);
    s->pkt.data = s->bytes;
    s->pkt.cap_bytes = s->pkt.wire_bytes = sizeof model;
    nsp_pkt_parse(&s->pkt);
}

TEST(the_first_of_many_rules_is_found_in_any_block)
{
    static struct policy policy;
    static struct segment segments[NSP_BURST_MAX];
    char text[128];

    for (uint32_t i = 0; i < 2000; i++) {
        snprintf(text, sizeof text, "tcp.DstPort == %u", i % 1500 + 10);
        add_rule(&policy, text, NSP_APPLY_BOTH, i % 97 != 5);
    }
    policy.pkt_count = NSP_BURST_MAX;
    for (uint32_t at = 0; at < 1600; at += 61) {
        for (uint32_t i = 0; i < NSP_BURST_MAX; i++) {
            make_segment(&segments[i], i, (uint16_t)(at + i));
            policy.pkts[i] = &segments[i].pkt;
        }
        if (at < 200 || at > 1400 || (at > 480 && at < 560))
            check_policy(&policy, usual, NULL);
    }
    forget(&policy);
}

/* A random address of a few networks, so that prefixes nest and touch. */
static uint32_t
near_address(struct nsp_prng *prng)
{
    uint64_t x = nsp_prng_next(prng);

    return (uint32_t)(x % 3 == 0 ? x >> 32 : 0x0a000000 | (x >> 40 & 0xff3ff));
}

TEST(prefixes_of_both_versions_end_where_they_should)
{
    static struct policy policy;
    static struct segment segments[NSP_BURST_MAX];
    static uint32_t nets[1200], bits[1200];
    struct nsp_prng prng;
    char text[128];

    nsp_prng_init(&prng, 5, 0);
    for (uint32_t i = 0; i < NSP_ARRAY_LEN(nets); i++) {
        bits[i] = 33 - (uint32_t)(nsp_prng_next(&prng) % 20 + 1);
        nets[i] = near_address(&prng) & ~(uint32_t)0 << (32 - bits[i]);
        snprintf(text, sizeof text, "%s in {%u.%u.%u.%u/%u}",
                 i % 2 ? "ip.SrcAddr" : "remoteAddr", nets[i] >> 24,
                 nets[i] >> 16 & 255, nets[i] >> 8 & 255, nets[i] & 255,
                 bits[i]);
        if (i % 2 == 0)
            snprintf(text, sizeof text, "ipv6.SrcAddr in {2001:db8:%x:%x::/%u}",
                     nets[i] >> 16, nets[i] & 0xffff, 32 + bits[i]);
        if (i % 8 == 4)
            snprintf(text, sizeof text,
                     "ipv6.SrcAddr in {2001:db8:1:1:%x:%x::/%u}", nets[i] >> 16,
                     nets[i] & 0xffff, 64 + bits[i]);
        add(&policy, text);
    }
    policy.pkt_count = NSP_BURST_MAX;
    for (uint32_t round = 0; round < 12; round++) {
        for (uint32_t i = 0; i < NSP_BURST_MAX; i++) {
            uint32_t n = (uint32_t)(nsp_prng_next(&prng) % 1200);
            uint64_t prefix = UINT64_C(0x20010db8) << 32;
            uint32_t net = nets[n];
            int edge = (int)(nsp_prng_next(&prng) % 4);

            net += edge == 0   ? 0
                   : edge == 1 ? ~(uint32_t)0
                   : edge == 2 ? (uint32_t)((UINT64_C(1) << (32 - bits[n])) - 1)
                               : (uint32_t)(UINT64_C(1) << (32 - bits[n]));
            if (n % 2 == 1)
                make_segment(&segments[i], net, 80);
            else if (n % 8 == 4)
                make_segment6(&segments[i], prefix | 0x00010001,
                              (uint64_t)net << 32 | (edge == 2 ? ~0u : 0));
            else
                make_segment6(&segments[i], prefix | net,
                              edge == 2 ? UINT64_MAX : 0);
            policy.pkts[i] = &segments[i].pkt;
        }
        make_segment(&segments[0], UINT32_MAX, 80);
        make_segment6(&segments[1], UINT64_MAX, UINT64_MAX);
        make_segment6(&segments[2], 0, 0);
        check_policy(&policy, usual, NULL);
    }
    forget(&policy);
}

/* --- Limits --------------------------------------------------------------- */

/* Rules whose address ranges overlap in every way, by a fixed seed. */
static void
add_overlapping(struct policy *policy, uint32_t count, struct nsp_prng *prng)
{
    char text[160];

    for (uint32_t i = 0; i < count; i++) {
        uint32_t a = near_address(prng), b = near_address(prng);

        if (a > b) {
            uint32_t c = a;

            a = b;
            b = c;
        }
        snprintf(text, sizeof text,
                 "ip.SrcAddr in {%u.%u.%u.%u..%u.%u.%u.%u} and tcp.DstPort %s "
                 "{%u..%u}",
                 a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255, b >> 24,
                 b >> 16 & 255, b >> 8 & 255, b & 255,
                 i % 5 == 0 ? "not in" : "in", i, i + i % 7);
        add(policy, text);
    }
}

static void
take_segments(struct policy *policy, struct segment segments[],
              struct nsp_prng *prng)
{
    policy->pkt_count = NSP_BURST_MAX;
    for (uint32_t i = 0; i < NSP_BURST_MAX; i++) {
        make_segment(&segments[i], near_address(prng),
                     (uint16_t)(nsp_prng_next(prng) % 1100));
        policy->pkts[i] = &segments[i].pkt;
    }
}

TEST(a_small_budget_costs_time_but_no_answers)
{
    static struct policy policy;
    static struct segment segments[NSP_BURST_MAX];
    static const size_t budgets[] = { 1, 3000, 20000, 100000, 400000 };
    struct nsp_prng prng;
    uint32_t marked = UINT32_MAX;

    nsp_prng_init(&prng, 6, 0);
    add_overlapping(&policy, 1000, &prng);
    take_segments(&policy, segments, &prng);
    for (size_t i = 0; i < NSP_ARRAY_LEN(budgets); i++) {
        struct nsp_classifier_limits limits = { .bytes_max = budgets[i] };
        struct nsp_classifier_info info = { 0 };

        check_policy(&policy, limits, &info);
        CHECK(info.marked_rules <= marked);
        CHECK(info.bytes <= budgets[i] + 60000);
        CHECK_EQ(info.marked_rules, info.widened_rules);
        marked = info.marked_rules;
        if (i < 4)
            CHECK(marked > 0);
    }
    forget(&policy);
}

TEST(too_much_work_leaves_the_rest_to_the_filters)
{
    static struct policy policy;
    static struct segment segments[NSP_BURST_MAX];
    struct nsp_classifier_limits limits = { .steps_max = 2000 };
    struct nsp_classifier_info info = { 0 };
    struct nsp_prng prng;

    nsp_prng_init(&prng, 8, 0);
    add_overlapping(&policy, 300, &prng);
    take_segments(&policy, segments, &prng);
    check_policy(&policy, limits, &info);
    CHECK(info.widened_rules > 0 && info.widened_rules < 300);
    limits = (struct nsp_classifier_limits){ .ranges_max = 500 };
    check_policy(&policy, limits, &info);
    CHECK(info.widened_rules > 0 && info.widened_rules < 300);
    forget(&policy);
}

TEST(alternatives_across_columns_do_not_multiply_without_bound)
{
    static struct policy policy;
    struct nsp_classifier_options options = { 0 };
    struct nsp_classifier_info info = { 0 };
    struct nsp_classifier *c;

    take_samples(&policy);
    add(&policy, "(ip.TOS == 1 or ip.TTL == 1 or ip.Id == 1) and "
                 "(tcp.SrcPort == 1 or tcp.Window == 1 or tcp.Ack == 1) and "
                 "(ip.SrcAddr == 192.0.2.1 or tcp.UrgPtr == 1 or ip.DF == 1) "
                 "and (ip.DstAddr == 1.1.1.1 or tcp.DstPort == 80 or tcp.Syn)");
    add(&policy, "ip.TOS == 1 or ip.TTL == 64 or ip.Id == 7");
    check_policy(&policy, usual, &info);
    CHECK(info.cubes <= 32 + 3);
    CHECK_EQ(info.widened_rules, 1);
    CHECK_EQ(nsp_classifier_create(policy.rules, policy.count, &options,
                                   &nsp_libc_allocator, &c),
             0);
    CHECK_EQ(nsp_classifier_widening(c, 0), NSP_WIDENED_CUBES);
    CHECK_EQ(nsp_classifier_widening(c, 1), 0);
    nsp_classifier_destroy(c);
    forget(&policy);
}

TEST(more_rules_than_fit_are_refused)
{
    static struct nsp_classifier_rule rules[NSP_CLASSIFIER_CUBES_MAX + 1];
    struct nsp_classifier *c;

    CHECK_EQ(nsp_classifier_create(rules, NSP_CLASSIFIER_CUBES_MAX + 1, NULL,
                                   &nsp_libc_allocator, &c),
             -E2BIG);
    for (uint32_t i = 0; i <= NSP_CLASSIFIER_CUBES_MAX; i++)
        rules[i].enabled = true;
    CHECK_EQ(nsp_classifier_create(rules, NSP_CLASSIFIER_CUBES_MAX, NULL,
                                   &nsp_libc_allocator, &c),
             0);
    nsp_classifier_destroy(c);
}

/* --- Random policies ------------------------------------------------------ */

static void
random_policy(struct random_world *w, struct policy *policy)
{
    unsigned rules = 1 + below(w, below(w, 10) == 0 ? 80 : 16);

    random_site(w, (enum nsp_link)below(w, 4), below(w, 4));
    w->site.facts = 0;
    policy->pkt_count = 0;
    for (unsigned i = 0; i < RANDOM_PACKETS; i++) {
        random_packet(w, &w->packets[i]);
        policy->pkts[policy->pkt_count++] = &w->packets[i].pkt;
    }
    while (rules-- > 0) {
        struct nsp_filter *filter = NULL;

        random_filter(w);
        if (below(w, 16) != 0 &&
            nsp_filter_compile(w->text, NSP_LAYER_NETWORK, NULL, &filter,
                               NULL) != NSP_OK)
            continue;
        policy->rules[policy->count++] = (struct nsp_classifier_rule){
            .filter = filter,
            .apply = (uint8_t)below(w, 3),
            .enabled = below(w, 8) != 0,
        };
    }
}

TEST(random_policies_are_answered_as_by_their_filters)
{
    static struct random_world w;
    static struct policy policy;

    nsp_prng_init(&w.prng, 20, 1);
    for (unsigned i = 0; i < random_filter_count(600); i++) {
        struct nsp_classifier_limits limits = { 0 };

        if (below(&w, 4) == 0)
            limits.bytes_max = 1 + below(&w, 20000);
        if (below(&w, 8) == 0)
            limits.steps_max = 1 + below(&w, 1000);
        if (below(&w, 8) == 0)
            limits.ranges_max = 1 + below(&w, 20);
        random_policy(&w, &policy);
        check_policy(&policy, limits, NULL);
        forget(&policy);
    }
}

TEST(allocation_may_fail_anywhere)
{
    static struct policy policy;
    static struct segment segments[NSP_BURST_MAX];
    struct nsp_prng prng;

    nsp_prng_init(&prng, 9, 0);
    add_overlapping(&policy, 40, &prng);
    add(&policy, "ipv6.SrcAddr in {2001:db8::/32} or tcp.Payload[0] == 1");
    add(&policy, NULL);
    take_segments(&policy, segments, &prng);
    for (unsigned at = 0;; at++) {
        struct failing_alloc failing = { .fail_at = at };
        struct nsp_allocator allocator = failing_allocator(&failing);
        struct nsp_classifier_options options = {
            .limits.bytes_max = 12000,
        };
        struct nsp_classifier *c = NULL;
        int r = nsp_classifier_create(policy.rules, policy.count, &options,
                                      &allocator, &c);

        CHECK_EQ(r, failing.failed ? -ENOMEM : 0);
        CHECK(failing.failed == !c);
        if (c)
            check_walk(&policy, c, "allocation");
        nsp_classifier_destroy(c);
        CHECK_EQ(failing.live, 0);
        if (!failing.failed)
            break;
    }
    forget(&policy);
}

TEST(instructions_of_this_processor_are_all_tried)
{
    for (int i = NSP_INSTRUCTIONS_PLAIN; i < NSP_INSTRUCTIONS_COUNT; i++) {
        if (!nsp_classifier_can_use((enum nsp_instructions)i)) {
            SKIP("this processor lacks the vector instructions");
        }
    }
}

TEST_MAIN(
    cmocka_unit_test(no_rule_matches_without_rules),
    cmocka_unit_test(a_rule_without_filter_takes_unusable_packets_too),
    cmocka_unit_test(every_kind_of_test_is_answered_as_by_the_filter),
    cmocka_unit_test(rules_on_five_fields_take_four_columns_and_no_asking),
    cmocka_unit_test(the_first_of_many_rules_is_found_in_any_block),
    cmocka_unit_test(prefixes_of_both_versions_end_where_they_should),
    cmocka_unit_test(a_small_budget_costs_time_but_no_answers),
    cmocka_unit_test(too_much_work_leaves_the_rest_to_the_filters),
    cmocka_unit_test(alternatives_across_columns_do_not_multiply_without_bound),
    cmocka_unit_test(more_rules_than_fit_are_refused),
    cmocka_unit_test(random_policies_are_answered_as_by_their_filters),
    cmocka_unit_test(allocation_may_fail_anywhere),
    cmocka_unit_test(instructions_of_this_processor_are_all_tried))
