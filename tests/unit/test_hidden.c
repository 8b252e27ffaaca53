/* Rules that are said to be hidden, on random packets. */
#include "netshaper/explain.h"
#include "tests/lib/naive_filter.h"
#include "tests/lib/random_filter.h"

#define POLICIES 400
#define RULES    8

static struct random_world w;

struct made {
    struct nsp_rule rules[RULES];
    struct nsp_filter *filters[RULES];
    struct nsp_policy_spec spec;
};

static void
make_policy(struct made *made)
{
    memset(made, 0, sizeof *made);
    made->spec.rules = made->rules;
    made->spec.rule_count = RULES;
    random_filter(&w);
    for (unsigned i = 0; i < RULES; i++) {
        struct nsp_rule *rule = &made->rules[i];

        rule->apply = (uint8_t)(below(&w, 2) == 0 ? 0 : below(&w, 3));
        rule->disabled = below(&w, 6) == 0;
        rule->go_on = below(&w, 4) == 0;
        w.used = 0;
        put_expression(&w, below(&w, 3));
        if (below(&w, 12) > 0)
            made->filters[i] = compile(w.text, NSP_LAYER_NETWORK);
    }
}

static bool
is_for(const struct nsp_rule *rule, const struct nsp_pkt *pkt)
{
    return rule->apply == NSP_APPLY_BOTH ||
           (rule->apply == NSP_APPLY_INBOUND &&
            pkt->direction == NSP_INBOUND) ||
           (rule->apply == NSP_APPLY_OUTBOUND &&
            pkt->direction == NSP_OUTBOUND);
}

static bool
matches(const struct made *made, uint32_t i, const struct nsp_pkt *pkt)
{
    return is_for(&made->rules[i], pkt) &&
           (!made->filters[i] ||
            nsp_filter_match(made->filters[i], pkt, &random_context));
}

/* What 'i' would match, earlier rules have decided. */
static void
check_hidden_by_several(const struct made *made, uint32_t i)
{
    for (unsigned k = 0; k < RANDOM_PACKETS; k++) {
        const struct nsp_pkt *pkt = &w.packets[k].pkt;
        bool decided = !matches(made, i, pkt);

        for (uint32_t by = 0; by < i; by++)
            decided |= !made->rules[by].disabled && !made->rules[by].go_on &&
                       matches(made, by, pkt);
        CHECK(decided);
    }
}

/* What 'i' would match, the rule that hides it has decided. */
static void
check_hidden(const struct made *made, uint32_t i, uint32_t by)
{
    CHECK(by < i);
    CHECK(!made->rules[by].disabled && !made->rules[by].go_on);
    for (unsigned k = 0; k < RANDOM_PACKETS; k++) {
        const struct nsp_pkt *pkt = &w.packets[k].pkt;

        CHECK(!matches(made, i, pkt) || matches(made, by, pkt));
    }
}

TEST(a_hidden_rule_matches_nothing_that_is_left)
{
    unsigned hidden = 0;

    nsp_prng_init(&w.prng, 20261126, 0);
    for (unsigned p = 0; p < POLICIES; p++) {
        uint32_t by[RULES];
        struct made made;

        if (p % 20 == 0)
            random_site(&w, NSP_LINK_RAW, below(&w, 3));
        make_policy(&made);
        nsp_policy_find_hidden(&made.spec, made.filters, by);
        for (uint32_t i = 0; i < RULES; i++) {
            if (by[i] == NSP_HIDDEN_BY_SEVERAL)
                check_hidden_by_several(&made, i);
            else if (by[i] != NSP_HIDDEN_BY_NONE)
                check_hidden(&made, i, by[i]);
            hidden += by[i] != NSP_HIDDEN_BY_NONE;
        }
        for (unsigned i = 0; i < RULES; i++)
            nsp_filter_destroy(made.filters[i]);
    }
    print_message("%u of %u rules are hidden\n", hidden, POLICIES * RULES);
    CHECK(hidden > POLICIES);
    CHECK(hidden < POLICIES * RULES / 2);
}

TEST(no_filter_hides_a_rule_without_one)
{
    const struct nsp_rule rules[2] = { { .match = "true" }, { .match = NULL } };
    const struct nsp_policy_spec spec = { .rules = rules, .rule_count = 2 };
    struct nsp_filter *filters[2] = { compile("true", NSP_LAYER_NETWORK),
                                      NULL };
    uint32_t by[2];

    nsp_policy_find_hidden(&spec, filters, by);
    CHECK_EQ(by[1], NSP_HIDDEN_BY_NONE);
    nsp_filter_destroy(filters[0]);
}

/* The last of each: hidden by those before together, or not. */
TEST(rules_that_make_up_a_column_hide_what_lies_in_it)
{
    static const struct {
        const char *texts[4];
        uint8_t apply[4];
        bool is_hidden;
    } cases[] = {
        { { "tcp.DstPort <= 1000", "tcp.DstPort > 1000", "tcp.SrcPort == 5" },
          { 0 },
          true },
        { { "tcp.DstPort < 1000", "tcp.DstPort > 1000", "tcp.SrcPort == 5" },
          { 0 },
          false },
        { { "ip.DstAddr == 10.0.0.0/9", "ip.DstAddr == 10.128.0.0/9",
            "ip.DstAddr == 10.0.0.0/8 and udp" },
          { 0 },
          true },
        { { "ip.DstAddr == 10.0.0.0/9 and udp.DstPort == 5",
            "ip.DstAddr == 10.128.0.0/9 and udp.DstPort == 6",
            "ip.DstAddr == 10.0.0.0/8 and udp.DstPort == 5" },
          { 0 },
          false },
        { { "tcp", "udp", "protocol == 17 and ip.TTL < 5" }, { 0 }, false },
        { { "tcp", "udp", "icmp", "tcp or udp" }, { 0 }, true },
        { { "inbound", "outbound",
            "tcp.DstPort == 80 and not inbound and "
            "outbound" },
          { 0 },
          true },
        { { "tcp", "udp", "tcp or udp" }, { 1, 0, 0 }, false },
        { { "tcp and random8 < 5", "tcp and random8 >= 5", "tcp" },
          { 0 },
          false },
    };

    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct nsp_rule rules[4] = { { .match = NULL } };
        struct nsp_filter *filters[4] = { NULL };
        struct nsp_policy_spec spec = { .rules = rules };
        uint32_t by[4];

        while (spec.rule_count < 4 && cases[c].texts[spec.rule_count]) {
            uint32_t r = spec.rule_count++;

            rules[r].apply = cases[c].apply[r];
            filters[r] = compile(cases[c].texts[r], NSP_LAYER_NETWORK);
        }
        nsp_policy_find_hidden(&spec, filters, by);
        if ((by[spec.rule_count - 1] != NSP_HIDDEN_BY_NONE) !=
            cases[c].is_hidden)
            fail_msg("%s", cases[c].texts[spec.rule_count - 1]);
        for (uint32_t r = 0; r < spec.rule_count; r++)
            nsp_filter_destroy(filters[r]);
    }
}

TEST_MAIN(cmocka_unit_test(a_hidden_rule_matches_nothing_that_is_left),
          cmocka_unit_test(rules_that_make_up_a_column_hide_what_lies_in_it),
          cmocka_unit_test(no_filter_hides_a_rule_without_one))
