/* The classifier against the evaluator: rule by rule, packet by packet. */
#include "policy/classifier.h"

#include "tests/lib/classifier_check.h"
#include "tests/lib/random_filter.h"

/* --- Samples -------------------------------------------------------------- */

TEST(no_rule_matches_without_rules)
{
    static struct policy policy;

    take_samples(&policy);
    check_policy(&policy, usual_limits, NULL);
    add_rule(&policy, "true", NSP_APPLY_BOTH, false);
    check_policy(&policy, usual_limits, NULL);
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
    check_policy(&policy, usual_limits, NULL);
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
        check_policy(&policy, usual_limits, NULL);
    }
    forget(&policy);
}

struct cubes_of {
    const char *text;
    uint32_t cubes;
};

/* Adds rules one by one, each of which takes so many cubes. */
static void
check_cubes(struct policy *policy, const struct cubes_of rules[], size_t n,
            struct nsp_classifier_info *info)
{
    uint32_t cubes = 0;

    for (size_t i = 0; i < n; i++) {
        add(policy, rules[i].text);
        cubes += rules[i].cubes;
        check_policy(policy, usual_limits, info);
        if (info->cubes != cubes)
            fail_msg("%s: %u cubes", rules[i].text, info->cubes);
    }
}

TEST(rules_on_five_fields_take_four_columns_and_no_asking)
{
    static struct policy policy;
    static const struct cubes_of rules[] = {
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

    take_samples(&policy);
    check_cubes(&policy, rules, NSP_ARRAY_LEN(rules), &info);
    CHECK_EQ(info.columns, 4);
    CHECK_EQ(info.marked_rules, 0);
    forget(&policy);
}

/* As everywhere in the language, an IPv4 address is the number of the IPv6
 * address it is mapped to; smaller ones are none. */
TEST(addresses_written_as_numbers_are_told_by_the_columns)
{
    static struct policy policy;
    static const struct cubes_of rules[] = {
        { "ip.SrcAddr >= 0xffff0a000000 and ip.SrcAddr <= 0xffff0affffff", 1 },
        { "ip.SrcAddr >= 281470849482752 and tcp.DstPort in {0x50..0x60} and "
          "ip.SrcAddr <= 281474112159231",
          1 },
        { "ip.DstAddr == 0xffffc0000201", 1 },
        { "ip.DstAddr in {0xffffc0000200..0xffffc00002ff, 281473913978880}",
          1 },
        { "ipv6.SrcAddr in {0x20010db8000000000000000000000000.."
          "0x20010db8ffffffffffffffffffffffff}",
          1 },
        { "ip.SrcAddr >= 167772160 and ip.SrcAddr <= 184549375", 0 },
        { "ip.DstAddr == 0x0a000001", 0 },
    };
    struct nsp_classifier_info info = { 0 };

    take_samples(&policy);
    check_cubes(&policy, rules, NSP_ARRAY_LEN(rules), &info);
    CHECK_EQ(info.marked_rules, 0);
    forget(&policy);
}

/* Of small sets the columns tell who is in them; large ones are asked. */
TEST(members_of_small_named_sets_are_told_by_the_columns)
{
    static struct policy policy;
    static const struct {
        const char *text;
        bool is_told;
    } rules[] = {
        { "ip.SrcAddr in @few", true },
        { "ip.DstAddr not in @few", true },
        { "ipv6.SrcAddr in @few", true },
        { "localAddr in @few and tcp", true },
        { "not (remoteAddr in @few)", true },
        { "remoteAddr not in @many", false },
        { "ip.SrcAddr in @none or udp.DstPort in @ports", true },
        { "tcp.DstPort not in @ports", true },
        { "localPort in @ports and outbound", true },
        { "ip.DstAddr in @huge", false },
        { "localAddr not in @huge", false },
        { "tcp.SrcPort in @odd_ports", false },
    };
    struct nsp_classifier_info info = { 0 };
    struct nsp_filter_options options;

    named_sets_open(&options);
    policy.options = &options;
    take_samples(&policy);
    for (size_t i = 0; i < NSP_ARRAY_LEN(rules); i++) {
        add(&policy, rules[i].text);
        check_policy(&policy, usual_limits, &info);
        if ((info.marked_rules == 0) != rules[i].is_told)
            fail_msg("%s: %u marked", rules[i].text, info.marked_rules);
        forget(&policy);
    }
    for (size_t i = 0; i < NSP_ARRAY_LEN(rules); i++)
        add(&policy, rules[i].text);
    check_policy(&policy, usual_limits, NULL);
    forget(&policy);
    named_sets_close(&options);
}

/* --- Many rules ----------------------------------------------------------- */

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
            check_policy(&policy, usual_limits, NULL);
    }
    forget(&policy);
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
        check_policy(&policy, usual_limits, NULL);
    }
    forget(&policy);
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
            nsp_filter_compile_with(w->text, NSP_LAYER_NETWORK, policy->options,
                                    NULL, &filter, NULL) != NSP_OK)
            continue;
        policy->rules[policy->count++] = (struct nsp_classifier_rule){
            .filter = filter,
            .apply = (uint8_t)below(w, 3),
            .enabled = below(w, 8) != 0,
        };
    }
}

/* Far from each other, but for some that are close. */
TEST(ranges_of_addresses_end_where_they_should)
{
    static struct policy policy;
    static struct segment segments[NSP_BURST_MAX];
    static uint32_t firsts[600], lasts[600];
    const uint32_t count = NSP_ARRAY_LEN(firsts);
    struct nsp_prng prng;
    char text[64];

    nsp_prng_init(&prng, 6, 0);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t x = nsp_prng_next(&prng);

        firsts[i] = i % 40 == 39 ? firsts[i - 1] + 2 : (uint32_t)x;
        lasts[i] = firsts[i] | (uint32_t)(x >> 32) % 4 << 8 * (x >> 62);
        if (i < 2)
            firsts[i] = lasts[i] = i == 0 ? 0 : UINT32_MAX;
        snprintf(text, sizeof text, "ip.SrcAddr in {%u.%u.%u.%u..%u.%u.%u.%u}",
                 firsts[i] >> 24, firsts[i] >> 16 & 255, firsts[i] >> 8 & 255,
                 firsts[i] & 255, lasts[i] >> 24, lasts[i] >> 16 & 255,
                 lasts[i] >> 8 & 255, lasts[i] & 255);
        add(&policy, text);
    }
    policy.pkt_count = NSP_BURST_MAX;
    for (uint32_t first = 0; first < count; first += NSP_BURST_MAX / 4) {
        for (uint32_t i = 0; i < NSP_BURST_MAX; i++) {
            uint32_t n = (first + i / 4) % count;
            const uint32_t sources[] = { firsts[n] - 1, firsts[n], lasts[n],
                                         lasts[n] + 1 };

            make_segment(&segments[i], sources[i % 4], 80);
            policy.pkts[i] = &segments[i].pkt;
        }
        check_policy(&policy, usual_limits, NULL);
    }
    forget(&policy);
}

TEST(random_policies_are_answered_as_by_their_filters)
{
    static struct random_world w;
    static struct policy policy;
    struct nsp_filter_options options;

    named_sets_open(&options);
    policy.options = &options;
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
    named_sets_close(&options);
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
    cmocka_unit_test(addresses_written_as_numbers_are_told_by_the_columns),
    cmocka_unit_test(the_first_of_many_rules_is_found_in_any_block),
    cmocka_unit_test(prefixes_of_both_versions_end_where_they_should),
    cmocka_unit_test(ranges_of_addresses_end_where_they_should),
    cmocka_unit_test(members_of_small_named_sets_are_told_by_the_columns),
    cmocka_unit_test(random_policies_are_answered_as_by_their_filters),
    cmocka_unit_test(instructions_of_this_processor_are_all_tried))
