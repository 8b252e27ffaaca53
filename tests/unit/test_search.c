#include "verify/search.h"
#include "netshaper/filter_set.h"
#include "tests/lib/test.h"

#include <string.h>

#define ALL_HOOKS (NSP_HOOK_INPUT | NSP_HOOK_OUTPUT | NSP_HOOK_FORWARD)
#define RULES_MAX 4

struct fixture {
    struct nsp_rule rules[RULES_MAX];
    struct nsp_filter *filters[RULES_MAX];
    struct nsp_policy_spec spec;
    struct nsp_search search;
};

/* One rule for each filter, up to NULL. */
static void
set_up(struct fixture *f, const struct nsp_filter_options *options,
       const char *const matches[])
{
    memset(f, 0, sizeof *f);
    f->spec.rules = f->rules;
    f->spec.filters = options;
    for (uint32_t i = 0; matches[i]; i++) {
        f->rules[i].match = matches[i];
        CHECK_EQ(nsp_filter_compile_with(matches[i], NSP_LAYER_NETWORK, options,
                                         NULL, &f->filters[i], NULL),
                 NSP_OK);
        f->spec.rule_count++;
    }
    f->search = (struct nsp_search){ .spec = &f->spec,
                                     .filters = f->filters,
                                     .hooks = ALL_HOOKS,
                                     .payload_bytes = 64 };
}

static void
tear_down(struct fixture *f)
{
    for (uint32_t i = 0; i < f->spec.rule_count; i++)
        nsp_filter_destroy(f->filters[i]);
}

/* Whether a packet is found for the last rule; it is checked to be right. */
static bool
finds(const struct nsp_filter_options *options, const char *const matches[])
{
    struct nsp_test_packet packet;
    struct nsp_pkt pkt;
    uint32_t hits[NSP_SEARCH_HITS_MAX], n, last;
    struct fixture f;
    const char *why = NULL;
    bool found;

    set_up(&f, options, matches);
    last = f.spec.rule_count - 1;
    found = nsp_search_packet(&f.search, last, &packet, &why);
    if (found) {
        nsp_test_packet_describe(&packet, packet.data, &pkt);
        nsp_pkt_parse(&pkt);
        CHECK(nsp_pkt_checksums_ok(&pkt));
        CHECK(nsp_filter_match(f.filters[last], &pkt, NULL));
        n = nsp_search_hits(&f.search, NULL, &pkt, hits);
        CHECK_EQ(hits[n - 1], last);
    } else {
        CHECK(why != NULL);
    }
    tear_down(&f);
    return found;
}

static bool
finds_one(const char *match)
{
    const char *const matches[] = { match, NULL };

    return finds(NULL, matches);
}

TEST(packets_are_found_by_the_constants_of_filters)
{
    static const char *const matches[] = {
        "true",
        "tcp.DstPort == 443",
        "udp.SrcPort == 53 and inbound",
        "tcp.Syn and not tcp.Ack and tcp.DstPort in {8000..8010}",
        "ip.DstAddr in { 192.0.2.128/25 } and udp",
        "ipv6.SrcAddr == 2001:db8:7::9 and tcp.DstPort > 60000",
        "icmp.Type == 8",
        "icmpv6",
        "udp.PayloadLength > 1200 and outbound",
        "tcp.PayloadLength == 0 and tcp.Ack",
        "ip.TTL < 5",
        "loopback and udp.DstPort == 7",
        "not tcp and not udp",
        "remoteAddr == 203.0.113.7 and remotePort == 22 and tcp",
        "random8 < 40",
    };

    for (size_t i = 0; i < sizeof matches / sizeof matches[0]; i++)
        if (!finds_one(matches[i]))
            fail_msg("no packet for: %s", matches[i]);
}

TEST(what_cannot_be_found_is_said)
{
    static const char *const hidden[] = { "udp", "udp.DstPort == 53", NULL };
    static const char *const open[] = { "udp", "tcp.DstPort == 53", NULL };

    CHECK(!finds_one("false"));
    CHECK(!finds_one("tcp and udp"));
    CHECK(!finds(NULL, hidden));
    CHECK(finds(NULL, open));
}

TEST(members_of_sets_are_found)
{
    static const char *const matches[] = {
        "tcp.DstPort in @web and remoteAddr in @office", NULL
    };
    static const char web[] = "9443\n", office[] = "198.51.100.0/24\n";
    struct nsp_filter_set *sets[2];
    struct nsp_filter_options options = { .sets = sets, .set_count = 2 };

    CHECK_EQ(nsp_filter_set_read("web", web, strlen(web), NULL, &sets[0], NULL),
             NSP_OK);
    CHECK_EQ(nsp_filter_set_read("office", office, strlen(office), NULL,
                                 &sets[1], NULL),
             NSP_OK);
    CHECK(finds(&options, matches));
    nsp_filter_set_unref(sets[0]);
    nsp_filter_set_unref(sets[1]);
}

TEST(hooks_limit_the_directions)
{
    static const char *const matches[] = { "inbound", NULL };
    struct nsp_test_packet packet;
    struct fixture f;
    const char *why;

    set_up(&f, NULL, matches);
    f.search.hooks = NSP_HOOK_FORWARD;
    CHECK(!nsp_search_packet(&f.search, 0, &packet, &why));
    f.search.hooks = NSP_HOOK_INPUT;
    CHECK(nsp_search_packet(&f.search, 0, &packet, &why));
    CHECK_EQ(packet.fields.hook, NSP_HOOK_INPUT);
    f.rules[0].apply = NSP_APPLY_OUTBOUND;
    CHECK(!nsp_search_packet(&f.search, 0, &packet, &why));
    tear_down(&f);
}

TEST(rules_that_go_on_share_packets)
{
    static const char *const matches[] = { "udp", "true", "true", NULL };
    uint32_t hits[NSP_SEARCH_HITS_MAX];
    const bool off[RULES_MAX] = { false, true };
    struct nsp_test_packet packet;
    struct nsp_pkt pkt;
    struct fixture f;
    const char *why;

    set_up(&f, NULL, matches);
    f.rules[0].go_on = true;
    CHECK(nsp_search_packet(&f.search, 0, &packet, &why));
    nsp_test_packet_describe(&packet, packet.data, &pkt);
    nsp_pkt_parse(&pkt);
    CHECK_EQ(nsp_search_hits(&f.search, NULL, &pkt, hits), 2);
    CHECK_EQ(hits[1], 1);
    CHECK_EQ(nsp_search_hits(&f.search, off, &pkt, hits), 2);
    CHECK_EQ(hits[1], 2);
    tear_down(&f);
}

/* Numbers of 16-bit words that wrap, too. */
TEST(numbered_packets_keep_right_checksums)
{
    static const uint64_t numbers[] = {
        0, 1, 0xffff, 0x10000, UINT64_MAX, UINT64_C(0x123456789abcdef)
    };
    static const uint8_t protos[] = { 6, 17, 1, 58 };
    struct nsp_test_packet packet;
    uint8_t data[NSP_TEST_PKT_BYTES_MAX];

    for (size_t p = 0; p < sizeof protos; p++)
        for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
            const struct nsp_test_fields fields = {
                .ipv6 = protos[p] == 58,
                .proto = protos[p],
                .ttl = 64,
                .sport = 5,
                .payload_bytes = 33,
            };
            struct nsp_pkt pkt;

            nsp_test_packet_build(&packet, &fields);
            memcpy(data, packet.data, packet.bytes);
            nsp_test_packet_number(&packet, data, numbers[i]);
            nsp_test_packet_describe(&packet, data, &pkt);
            nsp_pkt_parse(&pkt);
            CHECK((pkt.flags & NSP_PKT_MALFORMED) == 0);
            CHECK(nsp_pkt_checksums_ok(&pkt));
        }
}

TEST_MAIN(cmocka_unit_test(packets_are_found_by_the_constants_of_filters),
          cmocka_unit_test(what_cannot_be_found_is_said),
          cmocka_unit_test(members_of_sets_are_found),
          cmocka_unit_test(hooks_limit_the_directions),
          cmocka_unit_test(rules_that_go_on_share_packets),
          cmocka_unit_test(numbered_packets_keep_right_checksums))
