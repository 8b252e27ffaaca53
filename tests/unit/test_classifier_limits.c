/* What the classifier does where it may not take all it wants. */
#include "policy/classifier.h"

#include <errno.h>

#include "tests/lib/classifier_check.h"
#include "tests/lib/failing_alloc.h"

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
    check_policy(&policy, usual_limits, &info);
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

TEST_MAIN(
    cmocka_unit_test(a_small_budget_costs_time_but_no_answers),
    cmocka_unit_test(too_much_work_leaves_the_rest_to_the_filters),
    cmocka_unit_test(alternatives_across_columns_do_not_multiply_without_bound),
    cmocka_unit_test(more_rules_than_fit_are_refused),
    cmocka_unit_test(allocation_may_fail_anywhere))
