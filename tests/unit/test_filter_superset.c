/* What the language has beside WinDivert's: what it matches, how it prints, and
 * how it is refused. */
#include "tests/lib/filter.h"

static const struct {
    unsigned sample;
    bool expect;
    const char *text;
} matches[] = {
    /* 'not' of an expression is true exactly when it is false. */
    { TCP4, false, "not (tcp)" },
    { TCP4, true, "!(udp)" },
    { TCP4, true, "not not (tcp)" },
    { TCP4, false, "!!!(tcp)" },
    { UDP4, true, "not (tcp.DstPort == 80)" },
    { UDP4, false, "not tcp.DstPort == 80" },
    { UDP4, true, "not (not tcp.DstPort == 80)" },
    { TCP4, false, "not (tcp.DstPort == 80)" },
    { TCP4, false, "not (tcp.DstPort == 80 or udp)" },
    { TCP4, true, "not (tcp.DstPort == 80 and udp) and ip" },
    { TCP4, true, "not (not (tcp and ip))" },
    { UDP4, true, "(not (tcp)? udp: ip.TTL == 0)" },
    { BROKEN, false, "not (false)" },
    /* Sets. */
    { TCP4, true, "tcp.DstPort in { 80 }" },
    { TCP4, true, "tcp.DstPort in {443,80}" },
    { TCP4, false, "tcp.DstPort in {443, 81..8100}" },
    { TCP4, true, "tcp.DstPort in {443, 80..8100}" },
    { TCP4, true, "tcp.DstPort in {79 .. 80}" },
    { TCP4, true, "tcp.DstPort in {0..70000}" },
    { TCP4, false, "tcp.DstPort in {70000, -5}" },
    { TCP4, false, "tcp.DstPort not in {80}" },
    { TCP4, true, "tcp.DstPort not in {81, 90..100}" },
    { TCP4, true, "not tcp.DstPort in {81}" },
    { TCP4, true, "not tcp.DstPort not in {80}" },
    { UDP4, false, "tcp.DstPort in {80}" },
    { UDP4, false, "tcp.DstPort not in {80}" },
    { UDP4, true, "not (tcp.DstPort in {80})" },
    { TCP4, true, "protocol in {TCP, UDP}" },
    { TCP4, true, "tcp.Payload[0] in {0x47..0x48}" },
    { TCP4, true, "timestamp in {-1..1}" },
    { TCP4, true, "ip.SrcAddr in {10.0.0.0/8, 192.0.2.0/24}" },
    { TCP4, false, "ip.SrcAddr not in {10.0.0.0/8, 192.0.2.0/24}" },
    { TCP4, true, "ip.SrcAddr in {192.0.2.0..192.0.2.1}" },
    { TCP6, true, "ipv6.SrcAddr in {2001:db8::/32, ::1}" },
    { TCP6, true, "ipv6.SrcAddr in {2001:db8::..2001:db8::1}" },
    { TCP6, true, "localAddr in {10.0.0.0/8, 2001:db8::/126, ff02::/16}" },
    /* Prefixes. */
    { TCP4, true, "ip.SrcAddr == 192.0.2.0/24" },
    { TCP4, true, "ip.SrcAddr == 192.0.2.77/24" },
    { TCP4, false, "ip.SrcAddr != 192.0.2.0/24" },
    { TCP4, false, "not ip.SrcAddr == 192.0.2.0/24" },
    { TCP4, true, "ip.SrcAddr != 192.0.2.0/32" },
    { TCP4, true, "ip.SrcAddr == 0.0.0.0/0" },
    { TCP6, false, "ip.SrcAddr == 0.0.0.0/0" },
    { TCP4, true, "ip.SrcAddr == 192.0.2.1/32" },
    { TCP4, true, "ip.SrcAddr == ::ffff:192.0.2.1/120" },
    { TCP4, true, "localAddr == 198.51.100.0/30" },
    { TCP6, false, "localAddr == 0.0.0.0/0" },
    { TCP6, true, "localAddr == ::/0" },
    { TCP6, true, "ipv6.DstAddr == 2001:db8::/64" },
    { TCP6, true, "ipv6.DstAddr == 2001:db8::2/128" },
    { TCP6, false, "ipv6.DstAddr == 2001:db8::/127" },
    { TCP6, true, "ipv6.DstAddr != 2001:db9::/32" },
    /* Fields. */
    { TCP4, true, "ip.Dscp == 46 and ip.Ecn == 0" },
    { TCP6, true, "ipv6.Dscp == 42 and ipv6.Ecn == 3" },
    { TCP6, false, "ip.Dscp >= 0" },
    { TCP4, true, "tcp.Flags == 0x12 and not tcp.Ece and not tcp.Cwr" },
    { TCP6, true, "tcp.Flags == 0x29" },
    { UDP4, false, "tcp.Flags >= 0" },
    { TCP4, true, "tcp.Mss == 0x505" },
    { TCP6, false, "tcp.Mss >= 0" },
    { UDP4, false, "tcp.Mss >= 0" },
    { MSS4, true, "tcp.Mss == 1460 and tcp.Ece and tcp.Cwr" },
    { MSS4, true, "tcp.Mss in {1400..1500}" },
    { ICMP4, true, "icmp.Id == 2 and icmp.Seq == 3" },
    { ICMP6, true, "icmpv6.Id == 0xdead and icmpv6.Seq == 0xbeef" },
    { ICMP6, false, "icmp.Id >= 0" },
    { ETHER_TCP4, true, "eth.DstAddr == 02:00:00:00:00:02" },
    { ETHER_TCP4, true, "eth.SrcAddr == 2:0:0:0:0:1" },
    { ETHER_TCP4, true, "eth.SrcAddr < 0x020000000002" },
    { ETHER_TCP4, true, "eth.Type == 0x800 and vlan.Id == 100" },
    { TCP4, false, "eth.Type >= 0 or eth.DstAddr >= 0 or vlan.Id >= 0" },
    { ARP, true, "eth.Type == 0x806 and eth.DstAddr == ff:ff:ff:ff:ff:ff" },
    { ARP, false, "vlan.Id >= 0" },
    { ARP, true, "arp and arp.Op == 1 and arp.SrcAddr == 192.0.2.0/24" },
    { ARP, true, "arp.DstAddr == 192.0.2.2" },
    { ARP, true, "arp.SrcMac == 02:00:00:00:00:01 and arp.DstMac == 0" },
    { TCP4, false, "arp or arp.Op >= 0 or arp.SrcMac >= 0" },
    { ETHER_TCP4, false, "arp or arp.DstAddr >= 0 or arp.DstMac >= 0" },
    /* Masks. */
    { TCP4, true, "tcp.Flags & 0x12 == 0x12" },
    { TCP4, false, "tcp.Flags & 0x12 == 0x02" },
    { TCP4, true, "tcp.Flags & 0x2" },
    { TCP4, false, "not tcp.Flags & 0x2" },
    { TCP4, true, "tcp.Flags & 0x1 == 0" },
    { UDP4, false, "tcp.Flags & 0x1 == 0" },
    { TCP4, true, "tcp.SeqNum & 0xff00 == 0x300" },
    { TCP4, true, "tcp.SeqNum & 0xff00 in {1, 0x200..0x300}" },
    { TCP4, true, "packet32[3] & 0xff == 1" },
    { TCP4, false, "packet32[30] & 0xff >= 0" },
    { TCP4, true, "mark & 0xf0 == 0xe0 and mark & 0xf == 0xd" },
    { TCP4, true, "localPort & 0xf0 == 0x50" },
    { TCP4, true, "tcp.Flags & 0x1ff == 0x12" },
    { TCP4, false, "tcp.Flags & 2 == 1" },
    { TCP4, true, "tcp.Flags & 2 == 1 or tcp.Flags & 2 == 2" },
    { TCP4, true, "length & 4 != 0 && ip" },
    /* Fields on the right. */
    { TCP4, true, "tcp.SrcPort > tcp.DstPort" },
    { TCP4, false, "tcp.SrcPort <= tcp.DstPort" },
    { TCP4, true, "not tcp.SrcPort == tcp.DstPort" },
    { UDP4, false, "not tcp.SrcPort == tcp.DstPort" },
    { TCP4, true, "ip.Length == length" },
    { TCP4, true, "ip.SrcAddr == remoteAddr and ip.DstAddr == localAddr" },
    { TCP6, true, "ipv6.SrcAddr == remoteAddr" },
    { TCP6, false, "ip.SrcAddr == remoteAddr" },
    { TCP6, false, "ip.SrcAddr != remoteAddr" },
    { TCP4, true, "packet16[1] == ip.Length and packet[0] < packet[1]" },
    { TCP4, false, "packet[0] == packet[60]" },
    { TCP4, true, "tcp.Syn == tcp.Ack and tcp != udp and inbound == ip" },
    { ETHER_TCP4, true, "eth.SrcAddr < eth.DstAddr" },
    { ARP, true, "arp.SrcMac == eth.SrcAddr and arp.SrcAddr != arp.DstAddr" },
    { TCP4, true, "tcp.SrcPort < tcp.DstPort or tcp.SrcPort >= tcp.DstPort" },
    { UDP4, false, "tcp.SrcPort < tcp.DstPort or tcp.SrcPort >= tcp.DstPort" },
    { TCP4, true, "mark == 0xfeed and uid == 1000" },
    { ARP, false, "uid >= 0" },
    { ARP, true, "not (uid >= 0)" },
};

TEST(filter_matches_what_the_superset_says)
{
    for (size_t i = 0; i < NSP_ARRAY_LEN(matches); i++) {
        struct sample sample;

        sample_init(&sample, matches[i].sample, NSP_INBOUND);
        sample.pkt.mark = 0xfeed;
        sample.pkt.uid = matches[i].sample == ARP ? UINT32_MAX : 1000;
        if (match(matches[i].text, NSP_LAYER_NETWORK, &sample.pkt, NULL) !=
            matches[i].expect)
            fail_msg("sample %u: %s", matches[i].sample, matches[i].text);
    }
}

static const struct {
    const char *filter, *print;
} prints[] = {
    { "not (not (tcp))", "tcp" },
    { "tcp.DstPort in {80, 443}", "(tcp.DstPort == 80 or tcp.DstPort == 443)" },
    { "tcp.DstPort in {80, 81..90, 91}",
      "(tcp.DstPort >= 80 and tcp.DstPort <= 91)" },
    { "tcp.DstPort not in {80}", "tcp.DstPort != 80" },
    { "ip.SrcAddr == 10.0.0.0/8",
      "(ip.SrcAddr >= 10.0.0.0 and ip.SrcAddr <= 10.255.255.255)" },
    { "ip.SrcAddr == 10.0.0.0/0", "ip" },
    { "ipv6.SrcAddr == 8000::/1", "ipv6.SrcAddr >= 8000::" },
    { "eth.DstAddr == FF:ff:0:00:1:02", "eth.DstAddr == ff:ff:00:00:01:02" },
    { "tcp.Flags & 18 == 2", "tcp.Flags & 0x12 == 2" },
    { "tcp.Flags & 0xfff == 2", "tcp.Flags == 2" },
    { "tcp.Flags & 0x12 >= 0", "tcp" },
    { "tcp.Flags & 0x12 == 0x13", "false" },
    { "tcp.Flags & 0x12 > 0x13", "false" },
    { "not tcp.SrcPort < tcp.DstPort", "tcp.SrcPort >= tcp.DstPort" },
    { "tcp.SrcPort < tcp.DstPort or tcp.SrcPort > tcp.DstPort",
      "tcp.SrcPort != tcp.DstPort" },
    { "tcp.SrcPort < tcp.DstPort and tcp.SrcPort > tcp.DstPort", "false" },
    { "tcp.SrcPort == tcp.DstPort or tcp.SrcPort != tcp.DstPort",
      "(tcp.SrcPort <= tcp.DstPort or tcp.SrcPort > tcp.DstPort)" },
    { "packet[1] == packet16[-1]", "packet[1] == packet16[-1]" },
    { "vlan.Id < 5000", "vlan.Id >= 0" },
    { "arp.SrcAddr == 10.0.0.1", "arp.SrcAddr == 10.0.0.1" },
};

TEST(filter_prints_the_superset)
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

#define BAD   "bad-token"
#define PARSE "parse-error"

/* 'text' and 'hint' need only occur in what is said. */
static const struct {
    const char *filter, *category;
    uint32_t offset;
    const char *text, *hint;
} refusals[] = {
    { "not (tcp", PARSE, 8, "ends", "" },
    { "not ()", PARSE, 5, "')'", "" },
    { "tcp.DstPort in 80", PARSE, 15, "'{'", "{ 80, 8000..8100 }" },
    { "tcp.DstPort in {}", PARSE, 16, "'}'", "" },
    { "tcp.DstPort in {80", PARSE, 18, "ends", "" },
    { "tcp.DstPort in {80 443}", PARSE, 19, "'443'", "" },
    { "tcp.DstPort in {80,}", PARSE, 19, "'}'", "" },
    { "tcp.DstPort in {80..}", PARSE, 20, "'}'", "" },
    { "tcp.DstPort in {90..80}", PARSE, 20, "before it begins", "lower" },
    { "tcp.DstPort not 80", PARSE, 16, "'80'", "" },
    { "tcp.DstPort == 80..90", PARSE, 17, "'..'", "" },
    { "tcp.DstPort == 80/8", PARSE, 17, "'/'", "address field" },
    { "ip.SrcAddr == 10/8", PARSE, 16, "'/'", "10.0.0.0/8" },
    { "ip.SrcAddr == 10.0.0.0/33", PARSE, 23, "above 32", "" },
    { "ipv6.SrcAddr == ::/129", PARSE, 19, "above 128", "" },
    { "ip.SrcAddr < 10.0.0.0/8", PARSE, 13, "no order", "==" },
    { "in {80}", PARSE, 0, "'in'", "" },
    { "tcp.DstPort ni {80}", BAD, 12, "'ni'", "in?" },
    { "tcp & udp", PARSE, 4, "takes a mask", "'and'" },
    { "tcp.Flags & udp", PARSE, 12, "'udp'", "0x12" },
    { "tcp.Flags & 0x100 == 0", PARSE, 12, "leaves nothing of the 8 bits", "" },
    { "ip.SrcAddr & 255 == 1", PARSE, 11, "takes a mask", "10.0.0.0/8" },
    { "tcp.SrcPort == ip.SrcAddr", PARSE, 15, "'ip.SrcAddr'", "one type" },
    { "tcp.Flags & 2 == tcp.Flags", PARSE, 17, "'tcp.Flags'", "" },
    { "timestamp == tcp.SeqNum", PARSE, 13, "'tcp.SeqNum'", "" },
    { "tcp | udp", BAD, 5, "'|'", "'or'" },
    { "tcp and app.Name == \"web\"", "not-available", 8,
      "'app.Name' is not available on this backend", "" },
    { "eth.DstAddr == 1:2:3:4:5", BAD, 15, "1:2:3:4:5", "" },
    { "eth.DstAddr == 1:2:3:4:5:678", BAD, 15, "1:2:3:4:5:678", "" },
    { "eth.DestAddr", BAD, 0, "eth.DestAddr", "eth.DstAddr?" },
};

TEST(filter_refuses_the_superset_misspelt)
{
    for (size_t i = 0; i < NSP_ARRAY_LEN(refusals); i++) {
        struct nsp_filter *filter = NULL;
        struct nsp_diag diag;
        int r = nsp_filter_compile(refusals[i].filter, NSP_LAYER_NETWORK, NULL,
                                   &filter, &diag);

        if (r != NSP_INVALID_FILTER || diag.offset != refusals[i].offset ||
            strcmp(diag.category, refusals[i].category) != 0 ||
            !strstr(diag.text, refusals[i].text) ||
            !strstr(diag.hint, refusals[i].hint))
            fail_msg("%s: %s at %u: %s (%s)", refusals[i].filter, diag.category,
                     diag.offset, diag.text, diag.hint);
    }
}

TEST(filter_takes_no_superset_in_strict_mode)
{
    static const struct nsp_filter_options strict = { .strict = true };

    for (size_t i = 0; i < NSP_ARRAY_LEN(matches); i++) {
        struct nsp_filter *filter = NULL;
        bool is_plain = strcmp(matches[i].text, "not tcp.DstPort == 80") == 0;
        int r = nsp_filter_compile_with(matches[i].text, NSP_LAYER_NETWORK,
                                        &strict, NULL, &filter, NULL);

        if (r != (is_plain ? NSP_OK : NSP_INVALID_FILTER))
            fail_msg("%s", matches[i].text);
        nsp_filter_destroy(filter);
    }
}

/* The first is WinDivert's own example. */
static const struct {
    const char *filter, *object;
} objects[] = {
    { "tcp", "@WinDiv_WX_eXWWAX" },
    { "true", "@WinDiv_WX_WWWWAX" },
    { "false", "@WinDiv_WX_WWWWXX" },
    { "not tcp", "@WinDiv_WX_eWWWAX" },
    { "tcp.DstPort == 80", "@WinDiv_WX_1dWW2mAX" },
    { "tcp.DstPort != 80", "@WinDiv_WX_1dXW2mAX" },
    { "timestamp == -1", "@WinDiv_WX_2nWXXWAX" },
    { "packet[-1] == 1", "@WinDiv_WX_2dWWX1VV+AX" },
    { "tcp.DstPort in {2..3, 5}", "@WinDiv_WZ_1dbWYLXX_1dZWZALY_1dWWbAX" },
    { "tcp and outbound", "@WinDiv_WY_eXWWLXX_YXWWAX" },
    { "tcp or outbound", "@WinDiv_WY_eXWWALX_YXWWAX" },
};

TEST(filter_writes_and_reads_objects)
{
    for (size_t i = 0; i < NSP_ARRAY_LEN(objects); i++) {
        char *object = NULL, *again = NULL;

        CHECK_EQ(nsp_filter_object(objects[i].filter, NSP_LAYER_NETWORK, NULL,
                                   NULL, &object, NULL),
                 NSP_OK);
        CHECK_STR_EQ(object, objects[i].object);
        CHECK_EQ(nsp_filter_object(object, NSP_LAYER_NETWORK, NULL, NULL,
                                   &again, NULL),
                 NSP_OK);
        CHECK_STR_EQ(again, object);
        free(object);
        free(again);
    }
}

static const struct {
    const char *object, *category;
    uint32_t offset;
} bad_objects[] = {
    { "@WinDiv_", "bad-object", 8 },
    { "@WinDiv_X", "bad-object", 8 },
    { "@WinDiv_WW", "bad-object", 10 },
    { "@WinDiv_WX", "bad-object", 10 },
    { "@WinDiv_WX_eXWWA", "bad-object", 16 },
    { "@WinDiv_WX_eXWWAXX", "bad-object", 17 },
    { "@WinDiv_WX_eXWWAX _", "bad-object", 18 },
    { "@WinDiv_WX_eXYWAX", "bad-object", 13 },
    { "@WinDiv_WX_eeWWAX", "bad-object", 12 },
    { "@WinDiv_WX_eXWWLWX", "bad-object", 15 },
    { "@WinDiv_WX_eXWWLXX", "bad-object", 16 },
    { "@WinDiv_WX_1yXWWAX", "bad-token-for-layer", 11 },
};

TEST(filter_refuses_broken_objects)
{
    for (size_t i = 0; i < NSP_ARRAY_LEN(bad_objects); i++) {
        struct nsp_filter *filter = NULL;
        struct nsp_diag diag;
        int r = nsp_filter_compile(bad_objects[i].object, NSP_LAYER_NETWORK,
                                   NULL, &filter, &diag);

        if (r != NSP_INVALID_FILTER || diag.offset != bad_objects[i].offset ||
            strcmp(diag.category, bad_objects[i].category) != 0)
            fail_msg("%s: %d %s at %u: %s", bad_objects[i].object, r,
                     diag.category, diag.offset, diag.text);
    }
}

TEST(filter_says_that_objects_are_not_printed_back)
{
    struct nsp_diag diag;
    char *text;

    CHECK_EQ(nsp_filter_format("@WinDiv_WX_eXWWAX", NSP_LAYER_NETWORK, NULL,
                               NULL, &text, &diag),
             NSP_INVALID_FILTER);
    CHECK(strstr(diag.hint, "compiled object") != NULL);
}

TEST(filter_writes_no_object_of_an_addition)
{
    static const char *const filters[] = { "tcp.Ece", "tcp.SeqNum & 2 == 2",
                                           "tcp.SrcPort == tcp.DstPort" };

    for (size_t i = 0; i < NSP_ARRAY_LEN(filters); i++) {
        struct nsp_diag diag;
        char *object;

        CHECK_EQ(nsp_filter_object(filters[i], NSP_LAYER_NETWORK, NULL, NULL,
                                   &object, &diag),
                 NSP_INVALID_FILTER);
        CHECK_STR_EQ(diag.category, "not-expressible");
    }
}

struct failing {
    unsigned left, held;
};

static void *
failing_alloc(void *opaque, size_t bytes)
{
    struct failing *failing = opaque;

    if (failing->left-- == 0)
        return NULL;
    failing->held++;
    return calloc(1, bytes);
}

static void
failing_release(void *opaque, void *memory)
{
    struct failing *failing = opaque;

    if (memory)
        failing->held--;
    free(memory);
}

TEST(filter_explanation_survives_any_failed_allocation)
{
    static const char text[] =
        "not (tcp.Flags & 0x12 == 2 or ip.SrcAddr in {10.0.0.0/8, ::1}) and "
        "tcp.SrcPort > tcp.DstPort and packet32[-1] not in {1, 3, 900000}";
    unsigned failures = 0;
    int r;

    do {
        struct failing failing = { .left = failures };
        const struct nsp_allocator allocator = { failing_alloc, failing_release,
                                                 &failing };
        struct nsp_diag diag;
        char *ret = NULL;

        r = nsp_filter_explain(text, NSP_LAYER_NETWORK, NULL, &allocator, &ret,
                               &diag);
        CHECK_EQ(r == NSP_OK, ret != NULL);
        if (r != NSP_OK) {
            CHECK_EQ(r, NSP_NO_MEMORY);
            failures++;
        }
        if (ret)
            failing_release(&failing, ret);
        CHECK_EQ(failing.held, 0);
    } while (r != NSP_OK);
    CHECK(failures >= 15);
}

TEST_MAIN(cmocka_unit_test(filter_matches_what_the_superset_says),
          cmocka_unit_test(filter_prints_the_superset),
          cmocka_unit_test(filter_refuses_the_superset_misspelt),
          cmocka_unit_test(filter_takes_no_superset_in_strict_mode),
          cmocka_unit_test(filter_writes_and_reads_objects),
          cmocka_unit_test(filter_refuses_broken_objects),
          cmocka_unit_test(filter_says_that_objects_are_not_printed_back),
          cmocka_unit_test(filter_writes_no_object_of_an_addition),
          cmocka_unit_test(filter_explanation_survives_any_failed_allocation))
