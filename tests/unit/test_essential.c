/* What a host cannot stay on its network without: which packets, which filters
 * speak of them, which rules spare them. */
#include <string.h>

#include "netshaper/policy.h"
#include "tests/lib/hex.h"
#include "tests/lib/test.h"

#define IP6(next, hops) "60000000 0008 " next hops
#define LINK_LOCAL      "FE800000 00000000 00000000 0000000"
#define ADDRS6          LINK_LOCAL "1" LINK_LOCAL "2"
#define ADDRS4          "C0000201 C6336402"

#define ICMP6(hops, type) IP6("3A", hops) ADDRS6 type "00 0000 00000000"
#define UDP6(ports)       IP6("11", "40") ADDRS6 ports "0008 0000"
#define UDP4(ports)       "4500 001C 0000 0000 4011 0000" ADDRS4 ports "0008 0000"
#define TCP4(ports)                                                            \
    "4500 0028 0000 0000 4006 0000" ADDRS4 ports                               \
    "00000000 00000000 5002 0000 0000 0000"

struct packet {
    struct nsp_pkt pkt;
    uint8_t bytes[64];
};

static void
build(struct packet *packet, const char *hex, uint8_t hook)
{
    uint32_t bytes =
        (uint32_t)hex_bytes(hex, packet->bytes, sizeof packet->bytes);

    packet->pkt = (struct nsp_pkt){
        .data = packet->bytes,
        .cap_bytes = bytes,
        .wire_bytes = bytes,
        .hook = hook,
    };
    nsp_pkt_parse(&packet->pkt);
}

TEST(knows_what_keeps_a_host_on_its_network)
{
    static const struct {
        const char *hex;
        enum nsp_essential expect;
    } rows[] = {
        { ICMP6("FF", "85"), NSP_ESSENTIAL_NEIGHBOURS }, /* Solicitations and */
        { ICMP6("FF", "86"), NSP_ESSENTIAL_NEIGHBOURS }, /* advertisements of */
        { ICMP6("FF", "87"), NSP_ESSENTIAL_NEIGHBOURS }, /* routers and */
        { ICMP6("FF", "88"), NSP_ESSENTIAL_NEIGHBOURS }, /* neighbours, */
        { ICMP6("FF", "89"), NSP_ESSENTIAL_NEIGHBOURS }, /* redirect. */
        { ICMP6("FF", "84"), NSP_ESSENTIAL_NONE },
        { ICMP6("FF", "8A"), NSP_ESSENTIAL_NONE },
        { ICMP6("FE", "87"), NSP_ESSENTIAL_NONE },       /* Forwarded once. */
        { ICMP6("01", "82"), NSP_ESSENTIAL_NEIGHBOURS }, /* Listeners. */
        { ICMP6("01", "83"), NSP_ESSENTIAL_NEIGHBOURS },
        { ICMP6("01", "84"), NSP_ESSENTIAL_NEIGHBOURS },
        { ICMP6("01", "8F"), NSP_ESSENTIAL_NEIGHBOURS },
        { ICMP6("02", "8F"), NSP_ESSENTIAL_NONE },
        { ICMP6("FF", "80"), NSP_ESSENTIAL_NONE }, /* A ping. */
        { UDP4("0044 0043"), NSP_ESSENTIAL_DHCP },
        { UDP4("0043 0044"), NSP_ESSENTIAL_DHCP },
        { UDP4("0043 0043"), NSP_ESSENTIAL_NONE },
        { UDP4("0044 0035"), NSP_ESSENTIAL_NONE },
        { UDP4("0222 0223"), NSP_ESSENTIAL_NONE },
        { TCP4("0044 0043"), NSP_ESSENTIAL_NONE },
        { UDP6("0222 0223"), NSP_ESSENTIAL_DHCPV6 },
        { UDP6("0223 0222"), NSP_ESSENTIAL_DHCPV6 },
        { UDP6("0044 0043"), NSP_ESSENTIAL_NONE },
    };
    struct packet packet;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        build(&packet, rows[i].hex, NSP_HOOK_INPUT);
        if (nsp_pkt_essential(&packet.pkt) != rows[i].expect)
            fail_msg("row %zu at input", i);
        build(&packet, rows[i].hex, NSP_HOOK_OUTPUT);
        CHECK_EQ(nsp_pkt_essential(&packet.pkt), rows[i].expect);
        /* Forwarded, or of a capture: none of this host's. */
        build(&packet, rows[i].hex, NSP_HOOK_FORWARD);
        CHECK_EQ(nsp_pkt_essential(&packet.pkt), NSP_ESSENTIAL_NONE);
        build(&packet, rows[i].hex, 0);
        CHECK_EQ(nsp_pkt_essential(&packet.pkt), NSP_ESSENTIAL_NONE);
    }
}

/* Which are named, a letter each: N, 4, 6. */
static const struct {
    const char *filter, *names;
} filters[] = {
    { "true", "" },
    { "icmpv6", "" },
    { "udp", "" },
    { "ipv6", "" },
    { "icmpv6.Type == 135", "N" },
    { "icmpv6.Type in { 128..140 }", "N" },
    { "tcp or not icmpv6.Type != 135", "N" },
    { "icmp.Type == 8", "" },
    { "udp.DstPort == 67", "4" },
    { "udp.SrcPort == 68", "4" },
    { "udp.SrcPort in { 53, 67, 68 }", "4" },
    { "localPort == 68", "4" },
    { "remotePort == 547 and udp", "6" },
    { "udp.DstPort in { 546..547 }", "6" },
    { "udp.DstPort == 67 or udp.DstPort == 547", "46" },
    { "icmpv6.Type == 134 or udp.DstPort in { 68, 546 }", "N46" },
    { "udp.DstPort == 53", "" },
    { "udp.DstPort < 1024", "" },
    { "udp.DstPort in { 1..1024 }", "" },
    { "udp.DstPort != 67", "" },
    { "tcp.DstPort == 67", "" },
    { "udp.Length == 67", "" },
};

static struct nsp_filter *
compile(const char *text)
{
    struct nsp_filter *filter;

    CHECK_EQ(nsp_filter_compile(text, NSP_LAYER_NETWORK, NULL, &filter, NULL),
             NSP_OK);
    return filter;
}

TEST(a_filter_speaks_of_what_it_tests_for)
{
    static const char letters[] = { 0, 'N', '4', '6' };

    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
        struct nsp_filter *filter = compile(filters[i].filter);

        CHECK(!nsp_filter_names(filter, NSP_ESSENTIAL_NONE));
        for (unsigned e = 1; e < NSP_ESSENTIALS; e++)
            if (nsp_filter_names(filter, (enum nsp_essential)e) !=
                (strchr(filters[i].names, letters[e]) != NULL))
                fail_msg("%s: %c", filters[i].filter, letters[e]);
        nsp_filter_destroy(filter);
    }
}

TEST(only_rules_that_do_harm_spare)
{
    static const struct nsp_impairment impairments[] = {
        { "slow", { .delay.mean_ns = 1 } },
        { "none", { .delay.mean_ns = 0 } },
    };
    static const struct {
        struct nsp_rule rule;
        bool spares;
    } rows[] = {
        { { .action = NSP_ACTION_DROP }, true },
        { { .action = NSP_ACTION_REJECT }, true },
        { { .effects.loss.chance.ppm = 1 }, true },
        { { .effects.delay.mean_ns = 1 }, true },
        { { .impairment = "slow" }, true },
        { { .class_name = "c" }, true },
        { { .link.rate_bitps = 8000 }, true },
        { { .limit = { .unit = NSP_LIMIT_PPS, .rate = 1 } }, true },
        { { .edits = { .which = NSP_EDIT_TTL, .ttl = 1 } }, true },
        { { .impairment = "none" }, false },
        { { .edits = { .which = NSP_EDIT_DSCP } }, false },
        { { .edits = { .which = NSP_EDIT_MARK } }, false },
        { { .capture = true, .log_pps = 5 }, false },
        { { .name = "counts" }, false },
    };
    struct nsp_filter *filter = compile("udp.DstPort == 67");

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct nsp_policy_spec spec = {
            .rules = &rows[i].rule,
            .rule_count = 1,
            .impairments = impairments,
            .impairment_count = 2,
        };

        for (unsigned e = 1; e < NSP_ESSENTIALS; e++)
            if (nsp_policy_spares(&spec, 0, NULL, (enum nsp_essential)e) !=
                rows[i].spares)
                fail_msg("row %zu", i);
        CHECK(!nsp_policy_spares(&spec, 0, NULL, NSP_ESSENTIAL_NONE));
        CHECK(!nsp_policy_spares(&spec, 0, filter, NSP_ESSENTIAL_DHCP));
        CHECK_EQ(nsp_policy_spares(&spec, 0, filter, NSP_ESSENTIAL_DHCPV6),
                 rows[i].spares);
    }
    nsp_filter_destroy(filter);
}

TEST_MAIN(cmocka_unit_test(knows_what_keeps_a_host_on_its_network),
          cmocka_unit_test(a_filter_speaks_of_what_it_tests_for),
          cmocka_unit_test(only_rules_that_do_harm_spare))
