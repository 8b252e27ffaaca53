/* The canonical print of filters, and what they say they need. */

#include "tests/lib/filter.h"

static const struct {
    const char *filter, *print;
} prints[] = {
    { "tcp", "tcp" },
    { "tcp != 0", "tcp" },
    { "not tcp", "not tcp" },
    { "!!tcp", "tcp" },
    { "tcp == 0", "not tcp" },
    { "tcp.Syn == 1", "tcp.Syn" },
    { "tcp.Syn < 1", "not tcp.Syn" },
    { "tcp.Syn >= 0", "tcp" },
    { "tcp.DstPort=0x50", "tcp.DstPort == 80" },
    { "not tcp.DstPort == 80", "tcp.DstPort != 80" },
    { "tcp.DstPort", "tcp.DstPort >= 1" },
    { "tcp.DstPort < 80", "tcp.DstPort <= 79" },
    { "tcp.DstPort < 70000", "tcp" },
    { "tcp.DstPort == 70000", "false" },
    { "tcp.DstPort == 70000 or udp", "udp" },
    { "true", "true" },
    { "zero", "false" },
    { "tcp and true", "tcp" },
    { "tcp or true", "true" },
    { "((tcp and (ip)))", "tcp and ip" },
    { "tcp and (ip and (inbound and loopback))",
      "tcp and ip and inbound and loopback" },
    { "(tcp or udp) and ip", "(tcp or udp) and ip" },
    { "tcp or udp && ip", "tcp or udp and ip" },
    { "(tcp?ip : ipv6)", "(tcp ? ip : ipv6)" },
    { "(tcp? false: true)", "(tcp ? false : true)" },
    { "(tcp? ip: false)", "tcp and ip" },
    { "(tcp? true: ip)", "tcp or ip" },
    { "(true? ip: ipv6)", "ip" },
    { "tcp.DstPort == 80 or tcp.DstPort == 22",
      "(tcp.DstPort == 22 or tcp.DstPort == 80)" },
    { "tcp.DstPort == 80 or tcp.DstPort == 81",
      "(tcp.DstPort >= 80 and tcp.DstPort <= 81)" },
    { "tcp.DstPort != 80 and tcp.DstPort != 22",
      "(tcp.DstPort != 22 and tcp.DstPort != 80)" },
    { "tcp.DstPort < 10 or tcp.DstPort > 20",
      "(tcp.DstPort <= 9 or tcp.DstPort >= 21)" },
    { "tcp.DstPort < 10 and tcp.DstPort > 20", "false" },
    { "tcp.DstPort < 10 or tcp.DstPort >= 10", "tcp" },
    { "packet[1000] >= 0", "packet[1000] >= 0" },
    { "packet16[6b] == 1", "packet16[3] == 1" },
    { "packet16[-3b] == 1", "packet16[-3b] == 1" },
    { "ip.SrcAddr == 10.0.0.1", "ip.SrcAddr == 10.0.0.1" },
    { "ip.SrcAddr <= 0xffff0a000001", "ip.SrcAddr <= 10.0.0.1" },
    { "localAddr == 2001:0db8:0::0:1", "localAddr == 2001:db8::1" },
    { "ipv6.SrcAddr == 1:0:0:2:0:0:0:3", "ipv6.SrcAddr == 1:0:0:2::3" },
    { "ipv6.SrcAddr == 0:1:2:3:4:5:6:7", "ipv6.SrcAddr == 0:1:2:3:4:5:6:7" },
    { "ipv6.SrcAddr == ff00::", "ipv6.SrcAddr == ff00::" },
    { "ipv6.SrcAddr == ::", "ipv6.SrcAddr == ::" },
    { "timestamp >= -5", "timestamp >= -5" },
    { "timestamp == 0x8000000000000000", "false" },
    { "timestamp == 0xffffffffffffffffffffffffffffffff", "false" },
    { "event == PACKET", "true" },
};

TEST(filter_prints_canonically)
{
    for (size_t i = 0; i < NSP_ARRAY_LEN(prints); i++) {
        char *text = NULL;

        CHECK_EQ(nsp_filter_format(prints[i].filter, NSP_LAYER_NETWORK, NULL,
                                   NULL, &text, NULL),
                 NSP_OK);
        CHECK_STR_EQ(text, prints[i].print);
        free(text);
    }
}

TEST(filter_prints_other_layers_values)
{
    char *text = NULL;

    CHECK_EQ(nsp_filter_format("priority < -7 and layer == FLOW and "
                               "event == CLOSE",
                               NSP_LAYER_REFLECT, NULL, NULL, &text, NULL),
             NSP_OK);
    CHECK_STR_EQ(text, "priority <= -8 and layer == 2 and event == 9");
    free(text);
}

enum {
    I = 1,
    O = 2,
    V4 = 4,
    V6 = 8,
    PAYLOAD = 16,
    TIME = 32,
    DRAW = 64,
    NEVER = 128,
    ALWAYS = 256,
    ANY = I | O | V4 | V6,
};

static const struct {
    const char *filter;
    unsigned needs, tests;
} needs_rows[] = {
    { "true", ANY | ALWAYS, 0 },
    { "false", NEVER, 0 },
    { "inbound", I | V4 | V6, 1 },
    { "outbound", O | V4 | V6, 1 },
    { "not inbound", O | V4 | V6, 1 },
    { "inbound and outbound", NEVER, 2 },
    { "inbound or outbound", ANY, 2 },
    { "ip", I | O | V4, 1 },
    { "ipv6", I | O | V6, 1 },
    { "not ip", I | O | V6, 1 },
    { "ip and ipv6", NEVER, 2 },
    { "tcp", ANY, 1 },
    { "tcp and udp", NEVER, 2 },
    { "icmp", I | O | V4, 1 },
    { "icmpv6", I | O | V6, 1 },
    { "icmp and ipv6", NEVER, 2 },
    { "ip.TTL > 5", I | O | V4, 1 },
    { "ipv6.HopLimit > 5 and inbound", I | V6, 2 },
    { "(inbound? ip: ipv6)", ANY, 3 },
    { "(inbound? ip: false)", I | V4, 2 },
    { "tcp.DstPort == 80 and udp.DstPort == 80", NEVER, 2 },
    { "packet[0] == 69", ANY | PAYLOAD, 1 },
    { "tcp.Payload[0] == 1", ANY | PAYLOAD, 1 },
    { "icmp.Body == 1", I | O | V4, 1 },
    { "timestamp > 5", ANY | TIME, 1 },
    { "random8 < 5", ANY | DRAW, 1 },
    { "impostor or random8 < 5", ANY | DRAW, 2 },
    { "impostor", NEVER, 1 },
    { "tcp or not tcp", ANY | ALWAYS, 0 },
    { "tcp.DstPort == 1 or tcp.DstPort == 2 or tcp.DstPort == 4", ANY, 1 },
    { "localAddr == 10.0.0.1", ANY, 1 },
};

TEST(filter_tells_what_it_needs)
{
    for (size_t i = 0; i < NSP_ARRAY_LEN(needs_rows); i++) {
        struct nsp_filter *filter =
            compile(needs_rows[i].filter, NSP_LAYER_NETWORK);
        struct nsp_filter_needs needs;
        unsigned got;

        nsp_filter_get_needs(filter, &needs);
        got = (needs.inbound ? I : 0) | (needs.outbound ? O : 0) |
              (needs.ipv4 ? V4 : 0) | (needs.ipv6 ? V6 : 0) |
              (needs.payload ? PAYLOAD : 0) | (needs.timestamp ? TIME : 0) |
              (needs.random ? DRAW : 0) | (needs.never ? NEVER : 0) |
              (needs.always ? ALWAYS : 0);
        if (got != needs_rows[i].needs || needs.tests != needs_rows[i].tests)
            fail_msg("%s: needs %#x, %u tests", needs_rows[i].filter, got,
                     needs.tests);
        nsp_filter_destroy(filter);
    }
}

TEST_MAIN(cmocka_unit_test(filter_prints_canonically),
          cmocka_unit_test(filter_prints_other_layers_values),
          cmocka_unit_test(filter_tells_what_it_needs))
