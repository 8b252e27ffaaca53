#include "policy/policy.h"

#include <stdlib.h>

#include "tests/lib/failing_alloc.h"
#include "tests/lib/filter.h"

/* The one that does harm to what it names. */
#define NAMING_RULE 1u

/* Rules for ports that few samples have, and in the end ones for all; some drop
 * packets. */
static void
write_rules(struct nsp_rule rules[], char texts[][64], uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        snprintf(texts[i], sizeof texts[i],
                 "tcp.DstPort == %u or udp.Length == %u", 7 + count - i, i);
        rules[i] =
            (struct nsp_rule){ .match = texts[i], .apply = (uint8_t)(i % 3) };
        if (i % 5 == 0)
            rules[i].action = NSP_ACTION_DROP;
    }
    if (count > 3)
        rules[NAMING_RULE] = (struct nsp_rule){
            .match =
                "icmpv6.Type == 135 or udp.DstPort == 67 or udp.Length > 9",
            .action = NSP_ACTION_DROP,
        };
    if (count > 2)
        rules[count - 2].match = "ip or tcp.Payload[0] == 0xAA";
    for (uint32_t i = 50; count > 100 && i < 75; i++)
        rules[i] = (struct nsp_rule){ .match = "ipv6", .go_on = true };
    if (count > 4)
        rules[count - 3] = (struct nsp_rule){ .action = NSP_ACTION_REJECT };
    if (count > 1)
        rules[count - 1] = (struct nsp_rule){ .apply = NSP_APPLY_INBOUND };
}

static bool
takes(const struct nsp_policy_rule *rule, uint32_t index,
      const struct nsp_pkt *pkt)
{
    bool named =
        index == NAMING_RULE && (pkt->essential == NSP_ESSENTIAL_NEIGHBOURS ||
                                 pkt->essential == NSP_ESSENTIAL_DHCP);

    if (rule->disabled)
        return false;
    if (pkt->essential && rule->action != NSP_ACTION_PASS && !named)
        return false;
    if (rule->apply == NSP_APPLY_INBOUND && pkt->direction != NSP_INBOUND)
        return false;
    if (rule->apply == NSP_APPLY_OUTBOUND && pkt->direction != NSP_OUTBOUND)
        return false;
    return !rule->filter || nsp_filter_match(rule->filter, pkt, NULL);
}

/* Requires the rules that a walk over all finds. */
static void
check_matches(const struct nsp_policy *policy, const struct nsp_pkt *pkt,
              const uint32_t rules[], uint32_t count)
{
    uint32_t found = 0;
    bool open = true;

    for (uint32_t r = 0; r < nsp_policy_rule_count(policy) && open; r++) {
        const struct nsp_policy_rule *rule = nsp_policy_get_rule(policy, r);

        if (!takes(rule, r, pkt))
            continue;
        CHECK(found < count);
        CHECK_EQ(rules[found++], r);
        open = rule->go_on && found < NSP_RULES_PER_PKT_MAX;
    }
    CHECK_EQ(found, count);
}

static void
check_decisions(const struct nsp_policy *policy)
{
    static struct sample samples[3 * SAMPLES];
    struct nsp_pkt *pkts[3 * SAMPLES];
    struct nsp_matches matches;

    for (unsigned i = 0; i < 3 * SAMPLES; i++) {
        sample_init(&samples[i], i % SAMPLES,
                    (enum nsp_direction)(i / SAMPLES));
        pkts[i] = &samples[i].pkt;
        pkts[i]->essential = (uint8_t)(i % (2 * NSP_ESSENTIALS));
        if (pkts[i]->essential >= NSP_ESSENTIALS)
            pkts[i]->essential = NSP_ESSENTIAL_NONE;
    }
    nsp_policy_match_burst(policy, pkts, 0, NULL, NULL, &matches);
    nsp_policy_match_burst(policy, pkts, 3 * SAMPLES, NULL, NULL, &matches);
    for (unsigned i = 0; i < 3 * SAMPLES; i++)
        check_matches(policy, pkts[i], matches.rules[i], matches.count[i]);
}

TEST(policy_decides_as_its_rules_do_however_many)
{
    static const uint32_t counts[] = { 0, 1, 2, 4, 5, 100, 700, NSP_RULES_MAX };
    struct nsp_rule *rules = calloc(NSP_RULES_MAX, sizeof *rules);
    char(*texts)[64] = calloc(NSP_RULES_MAX, sizeof *texts);

    CHECK(rules && texts);
    for (size_t i = 0; i < NSP_ARRAY_LEN(counts); i++) {
        struct nsp_policy_spec spec = { .rules = rules,
                                        .rule_count = counts[i] };
        struct nsp_policy *policy;
        struct nsp_diag diag;

        write_rules(rules, texts, counts[i]);
        CHECK_EQ(nsp_policy_check(&spec, &diag), NSP_OK);
        CHECK_EQ(nsp_policy_compile(&spec, NSP_LAYER_NETWORK,
                                    &nsp_libc_allocator, &policy, &diag),
                 NSP_OK);
        check_decisions(policy);
        nsp_policy_unref(policy);
    }
    free(rules);
    free(texts);
}

TEST(policy_survives_any_failed_allocation)
{
    static struct nsp_rule rules[8];
    static char texts[8][64];
    struct nsp_policy_spec spec = { .rules = rules, .rule_count = 8 };

    write_rules(rules, texts, 8);
    for (unsigned at = 0;; at++) {
        struct failing_alloc failing = { .fail_at = at };
        struct nsp_allocator allocator = failing_allocator(&failing);
        struct nsp_policy *policy = NULL;
        int r = nsp_policy_compile(&spec, NSP_LAYER_NETWORK, &allocator,
                                   &policy, NULL);

        CHECK_EQ(r, failing.failed ? NSP_NO_MEMORY : NSP_OK);
        if (policy)
            check_decisions(policy);
        nsp_policy_unref(policy);
        CHECK_EQ(failing.live, 0);
        if (!failing.failed)
            break;
    }
}

TEST_MAIN(cmocka_unit_test(policy_decides_as_its_rules_do_however_many),
          cmocka_unit_test(policy_survives_any_failed_allocation))
