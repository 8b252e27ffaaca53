/* Named sets in filters: what they match, how they print, how they are refused,
 * and who owns them. */
#include "netshaper/filter_set.h"
#include "base/prng.h"
#include "tests/lib/failing_alloc.h"
#include "tests/lib/filter.h"

#include <limits.h>
#include <stdlib.h>

#define SETS_MAX 8

static struct nsp_filter_set *sets[SETS_MAX];
static struct nsp_filter_options options = { .sets = sets };

static struct nsp_filter_set *
read_set(const char *name, const char *text)
{
    struct nsp_filter_set *set = NULL;
    struct nsp_diag diag;

    if (nsp_filter_set_read(name, text, strlen(text), NULL, &set, &diag) !=
        NSP_OK)
        fail_msg("%s: %u:%u: %s", name, diag.line, diag.column, diag.text);
    return set;
}

/* Every other port: too many ranges for a test to hold. */
static char *
odd_ports(void)
{
    char *text = malloc(65536 * 6);
    size_t used = 0;

    CHECK(text != NULL);
    for (unsigned port = 1; port < 65536; port += 2)
        used += (size_t)sprintf(text + used, "%u\n", port);
    return text;
}

static int
set_up(void **state)
{
    char *odd = odd_ports();

    (void)state;
    sets[0] = read_set("office", "192.0.2.0/24\n2001:db8::2\n");
    sets[1] = read_set("web", "80\n443\n8000-8100\n");
    sets[2] = read_set("none", "# nothing yet\n");
    sets[3] = read_set("all4", "0.0.0.0/0\n");
    sets[4] = read_set("all6", "::/0\n");
    sets[5] = read_set("odd", odd);
    sets[6] = read_set("any-port", "0-65535\n");
    sets[7] = read_set("Cafe_1", "10.0.0.1\n");
    options.set_count = SETS_MAX;
    free(odd);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SETS_MAX; i++)
        sets[i] = nsp_filter_set_unref(sets[i]);
    return 0;
}

/* Samples are outbound: their source is local. */
static const struct {
    unsigned sample;
    bool expect;
    const char *text;
} matches[] = {
    { TCP4, true, "ip.SrcAddr in @office" },
    { TCP4, false, "ip.DstAddr in @office" },
    { TCP4, false, "ip.SrcAddr not in @office" },
    { TCP4, true, "ip.DstAddr not in @office" },
    { TCP4, true, "ip.SrcAddr == @office" },
    { TCP4, false, "ip.SrcAddr != @office" },
    { TCP4, true, "ip.DstAddr != @office" },
    { TCP4, false, "not ip.SrcAddr in @office" },
    { TCP4, true, "not ip.SrcAddr != @office" },
    { TCP4, true, "not ip.SrcAddr not in @office" },
    { TCP4, true, "localAddr in @office" },
    { TCP4, false, "remoteAddr in @office" },
    { TCP6, false, "localAddr in @office" },
    { TCP6, true, "remoteAddr in @office" },
    { TCP6, true, "ipv6.DstAddr in @office and ipv6.SrcAddr not in @office" },
    { ARP, true, "arp.SrcAddr in @office" },
    { ARP, false, "arp.SrcAddr in @Cafe_1" },
    /* A field that is absent is in no set, and not outside it either. */
    { TCP6, false, "ip.SrcAddr in @office" },
    { TCP6, false, "ip.SrcAddr not in @office" },
    { TCP6, true, "not (ip.SrcAddr in @office)" },
    { TCP6, true, "not (ip.SrcAddr not in @office)" },
    { ARP, false, "remoteAddr in @all4 or remoteAddr in @all6" },
    { ARP, false, "remoteAddr not in @none" },
    { UDP4, false, "tcp.DstPort not in @web" },
    { UDP4, false, "tcp.DstPort not in @odd" },
    /* IPv4 and IPv6 are apart, though written ::/0 has all addresses. */
    { TCP4, true, "localAddr in @all4" },
    { TCP4, false, "localAddr in @all6" },
    { TCP4, true, "localAddr in { ::/0 }" },
    { TCP6, false, "localAddr in @all4" },
    { TCP6, true, "localAddr in @all6" },
    /* Ports. */
    { TCP4, true, "tcp.DstPort in @web" },
    { TCP4, false, "tcp.SrcPort in @web" },
    { TCP4, false, "tcp.DstPort not in @web" },
    { TCP4, true, "tcp.SrcPort not in @web" },
    { TCP4, true, "remotePort in @web" },
    { TCP4, true, "localPort == 5000 and localPort != @web" },
    { TCP4, false, "tcp.DstPort in @odd" },
    { TCP4, true, "tcp.DstPort not in @odd" },
    { TCP4, true, "not tcp.DstPort in @odd" },
    { UDP4, true, "udp.SrcPort in @odd and udp.DstPort in @odd" },
    { UDP4, true, "localPort in @odd" },
    { TCP4, true, "tcp.DstPort in @any-port" },
    { TCP4, false, "tcp.DstPort not in @any-port" },
    { UDP4, false, "tcp.DstPort in @any-port" },
    /* Among other things. */
    { TCP4, true, "tcp.DstPort in { 22, @web, 9000..9100 }" },
    { TCP4, true, "tcp.SrcPort in { @web, 5000 }" },
    { TCP4, false, "tcp.SrcPort not in { @web, 5000 }" },
    { TCP4, false, "tcp.DstPort in { 22, @odd }" },
    { TCP4, true, "localAddr in { 10.0.0.0/8, @office, @none }" },
    { TCP4, true, "ip.DstAddr in { @office, 198.51.100.2 }" },
    { TCP4, true, "(ip.SrcAddr in @office? tcp.DstPort in @web: false)" },
    /* An empty set. */
    { TCP4, false, "ip.SrcAddr in @none" },
    { TCP4, true, "ip.SrcAddr not in @none" },
    { TCP4, false, "tcp.DstPort in @none" },
    { TCP4, true, "tcp.DstPort not in @none" },
    { UDP4, false, "tcp.DstPort not in @none" },
    /* Folded. */
    { TCP4, true, "ip.SrcAddr in @office or ip.SrcAddr not in @office" },
    { TCP4, false, "ip.SrcAddr in @office and ip.SrcAddr not in @office" },
    { ARP, false, "remoteAddr in @office or remoteAddr not in @office" },
    { TCP4, true, "remoteAddr in @office or remoteAddr not in @office" },
    { BROKEN, false, "not (localAddr in @office)" },
};

TEST(filter_looks_fields_up_in_named_sets)
{
    for (size_t i = 0; i < NSP_ARRAY_LEN(matches); i++) {
        struct nsp_filter *filter =
            compile_with(matches[i].text, NSP_LAYER_NETWORK, &options);
        struct nsp_pkt *burst[NSP_BURST_MAX];
        struct sample sample;
        bool matched;

        sample_init(&sample, matches[i].sample, NSP_OUTBOUND);
        for (unsigned k = 0; k < NSP_BURST_MAX; k++)
            burst[k] = &sample.pkt;
        matched = nsp_filter_match(filter, &sample.pkt, NULL);
        if (matched != matches[i].expect)
            fail_msg("%s: %d", matches[i].text, matched);
        CHECK_EQ(nsp_filter_match_burst(filter, burst, NSP_BURST_MAX, NULL),
                 matched ? UINT64_MAX : 0);
        nsp_filter_destroy(filter);
    }
}

TEST(filter_takes_no_mapped_address_for_an_ipv4_one)
{
    struct nsp_filter *filter = compile_with(
        "localAddr in @office or ipv6.SrcAddr in { @office, @all4 }",
        NSP_LAYER_NETWORK, &options);
    struct sample sample;

    sample_init(&sample, TCP6, NSP_OUTBOUND);
    hex_bytes("00000000 00000000 0000FFFF C0000201",
              sample.bytes + sample.pkt.l3_off + 8, 16);
    CHECK(!nsp_filter_match(filter, &sample.pkt, NULL));
    nsp_filter_destroy(filter);
}

/* --- Bursts --------------------------------------------------------------- */

#define RANDOM_PREFIXES 3000

struct random_set {
    uint32_t first[RANDOM_PREFIXES], last[RANDOM_PREFIXES];
    struct nsp_prng prng;
};

static uint32_t
random_word(struct random_set *random)
{
    return (uint32_t)nsp_prng_next(&random->prng);
}

static struct nsp_filter_set *
read_random_set(struct random_set *random)
{
    char *text = malloc(RANDOM_PREFIXES * 32);
    struct nsp_filter_set *set;
    size_t used = 0;

    CHECK(text != NULL);
    for (unsigned i = 0; i < RANDOM_PREFIXES; i++) {
        unsigned bits = 9 + random_word(random) % 24;
        uint32_t open = (uint32_t)(UINT64_C(0xffffffff) >> bits);
        uint32_t addr = random_word(random) & ~open;

        random->first[i] = addr;
        random->last[i] = addr | open;
        used += (size_t)sprintf(text + used, "%u.%u.%u.%u/%u\n", addr >> 24,
                                addr >> 16 & 255, addr >> 8 & 255, addr & 255,
                                bits);
    }
    set = read_set("random", text);
    free(text);
    return set;
}

static bool
is_in(const struct random_set *random, uint32_t addr)
{
    for (unsigned i = 0; i < RANDOM_PREFIXES; i++) {
        if (random->first[i] <= addr && addr <= random->last[i])
            return true;
    }
    return false;
}

TEST(filter_looks_a_mixed_burst_up)
{
    static struct random_set random;
    static struct sample samples[NSP_BURST_MAX];
    static const unsigned kinds[] = { TCP4, UDP4, TCP6, ARP };
    struct nsp_filter_set *set;
    struct nsp_filter_options with = { .set_count = 1 };
    struct nsp_pkt *burst[NSP_BURST_MAX];
    struct nsp_filter *in, *out;
    unsigned members = 0;

    nsp_prng_init(&random.prng, 31, 0);
    set = read_random_set(&random);
    with.sets = &set;
    CHECK_EQ(nsp_filter_compile_with("localAddr in @random", NSP_LAYER_NETWORK,
                                     &with, NULL, &in, NULL),
             NSP_OK);
    CHECK_EQ(nsp_filter_compile_with("udp or ip.SrcAddr not in @random",
                                     NSP_LAYER_NETWORK, &with, NULL, &out,
                                     NULL),
             NSP_OK);
    for (unsigned round = 0; round < 50; round++) {
        uint64_t expect_in = 0, expect_out = 0;

        for (unsigned i = 0; i < NSP_BURST_MAX; i++) {
            unsigned kind = kinds[random_word(&random) % 4];
            uint32_t addr =
                random.first[random_word(&random) % RANDOM_PREFIXES] -
                random_word(&random) % 2;
            struct nsp_pkt *pkt = &samples[i].pkt;
            bool ipv4 = kind == TCP4 || kind == UDP4, inside;

            sample_init(&samples[i], kind, NSP_OUTBOUND);
            if (ipv4)
                nsp_store_be32(pkt->data + pkt->l3_off + 12, addr);
            inside = ipv4 && is_in(&random, addr);
            expect_in |= (uint64_t)inside << i;
            expect_out |= (uint64_t)(kind == UDP4 || (ipv4 && !inside)) << i;
            members += inside;
            burst[i] = pkt;
        }
        CHECK_EQ(nsp_filter_match_burst(in, burst, NSP_BURST_MAX, NULL),
                 expect_in);
        CHECK_EQ(nsp_filter_match_burst(out, burst, NSP_BURST_MAX, NULL),
                 expect_out);
    }
    CHECK(members > 500 && members < 50 * NSP_BURST_MAX - 500);
    nsp_filter_destroy(in);
    nsp_filter_destroy(out);
    nsp_filter_set_unref(set);
}

/* --- Prefixes ------------------------------------------------------------- */

static const struct {
    const char *text;
    bool ipv6;
    const char *prefixes; /* In hexadecimal: address/bits. */
} contents[] = {
    { "10.0.0.1", false, "0a000001/32 " },
    { "10.0.0.1", true, "" },
    { "10.0.0.0/8\n11.0.0.0/8", false, "0a000000/7 " },
    { "10.0.0.1-10.0.0.6", false,
      "0a000001/32 0a000002/31 0a000004/31 0a000006/32 " },
    { "0.0.0.0/0", false, "00000000/0 " },
    { "0.0.0.1-255.255.255.255", false,
      "00000001/32 00000002/31 00000004/30 00000008/29 00000010/28 00000020/27 "
      "00000040/26 00000080/25 00000100/24 00000200/23 00000400/22 00000800/21 "
      "00001000/20 00002000/19 00004000/18 00008000/17 00010000/16 00020000/15 "
      "00040000/14 00080000/13 00100000/12 00200000/11 00400000/10 00800000/9 "
      "01000000/8 02000000/7 04000000/6 08000000/5 10000000/4 20000000/3 "
      "40000000/2 80000000/1 " },
    { "255.255.255.255", false, "ffffffff/32 " },
    { "::/0", true, "00000000000000000000000000000000/0 " },
    { "2001:db8::1-2001:db8::3\n1.2.3.4", true,
      "20010db8000000000000000000000001/128 "
      "20010db8000000000000000000000002/127 " },
    { "ffff::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true,
      "ffff0000000000000000000000000000/16 " },
    { "80", false, "" },
    { "", true, "" },
};

TEST(filter_set_tells_its_prefixes)
{
    for (size_t i = 0; i < NSP_ARRAY_LEN(contents); i++) {
        struct nsp_filter_set *set = read_set("a", contents[i].text);
        struct nsp_filter_prefix prefix;
        char text[1024] = "";
        size_t used = 0;
        uint32_t count = 0;
        bool more =
            nsp_filter_set_next_prefix(set, contents[i].ipv6, NULL, &prefix);

        for (; more; count++) {
            for (unsigned k = 0; k < (contents[i].ipv6 ? 16 : 4); k++)
                used += (size_t)sprintf(text + used, "%02x", prefix.addr[k]);
            used += (size_t)sprintf(text + used, "/%u ", prefix.bits);
            more = nsp_filter_set_next_prefix(set, contents[i].ipv6, &prefix,
                                              &prefix);
        }
        CHECK_STR_EQ(text, contents[i].prefixes);
        CHECK_EQ(nsp_filter_set_count_prefixes(set, contents[i].ipv6), count);
        nsp_filter_set_unref(set);
    }
}

/* --- Text ----------------------------------------------------------------- */

static const struct {
    const char *filter, *print;
} prints[] = {
    { "ip.SrcAddr == @office", "ip.SrcAddr in @office" },
    { "ip.SrcAddr in {@office}", "ip.SrcAddr in @office" },
    { "not ip.SrcAddr in @office", "ip.SrcAddr not in @office" },
    { "ip.SrcAddr != @office", "ip.SrcAddr not in @office" },
    { "tcp.DstPort in {80, @web, 81}",
      "(tcp.DstPort >= 80 and tcp.DstPort <= 81) or tcp.DstPort in @web" },
    { "tcp.DstPort not in {@web, 8}",
      "tcp.DstPort not in @web and tcp.DstPort != 8" },
    { "tcp.DstPort in @web or tcp.DstPort in @web", "tcp.DstPort in @web" },
    { "tcp.DstPort in @web or tcp.DstPort in @odd",
      "tcp.DstPort in @web or tcp.DstPort in @odd" },
    { "tcp.DstPort in @web or tcp.DstPort not in @web", "tcp" },
    { "tcp.DstPort in @web and tcp.DstPort not in @web", "false" },
    { "localAddr in @office or localAddr not in @office",
      "(localAddr not in @office or localAddr in @office)" },
    { "not (remoteAddr in @Cafe_1)", "(remoteAddr in @Cafe_1 ? false : true)" },
};

TEST(filter_prints_the_names_of_sets)
{
    for (size_t i = 0; i < NSP_ARRAY_LEN(prints); i++) {
        char *text = NULL, *again = NULL, *explained = NULL;

        CHECK_EQ(nsp_filter_format(prints[i].filter, NSP_LAYER_NETWORK,
                                   &options, NULL, &text, NULL),
                 NSP_OK);
        CHECK_STR_EQ(text, prints[i].print);
        CHECK_EQ(nsp_filter_format(text, NSP_LAYER_NETWORK, &options, NULL,
                                   &again, NULL),
                 NSP_OK);
        CHECK_STR_EQ(again, text);
        CHECK_EQ(nsp_filter_explain(text, NSP_LAYER_NETWORK, &options, NULL,
                                    &explained, NULL),
                 NSP_OK);
        free(text);
        free(again);
        free(explained);
    }
}

/* 'text' and 'hint' need only occur in what is said. */
static const struct {
    const char *filter, *category;
    uint32_t offset;
    const char *text, *hint;
} refusals[] = {
    { "ip.SrcAddr in @ofice", "unknown-set", 14, "no set '@ofice'",
      "did you mean @office? there are @office, @web, @none" },
    { "tcp and tpc in @Office2", "bad-token", 8, "tpc", "" },
    { "ip.SrcAddr == @zzzzzz", "unknown-set", 14, "'@zzzzzz'",
      "there are @office" },
    { "ip.SrcAddr == @a123456789012345678901234567890123456789", "unknown-set",
      14, "at most 39", "" },
    { "ip.SrcAddr in @web", "type-mismatch", 14,
      "@web is a set of ports, which ip.SrcAddr is not", "tcp.DstPort" },
    { "tcp.DstPort in { 80, @office }", "type-mismatch", 21,
      "@office is a set of addresses, which tcp.DstPort is not", "ip.SrcAddr" },
    { "ip.TTL in @web", "type-mismatch", 10, "ip.TTL is no address and no port",
      "remoteAddr in @office" },
    { "tcp.Window in @web", "type-mismatch", 14, "tcp.Window", "" },
    { "eth.SrcAddr in @office", "type-mismatch", 15, "eth.SrcAddr", "" },
    { "icmp.Id in @none", "type-mismatch", 11, "icmp.Id", "" },
    { "packet16[0] in @web", "type-mismatch", 15, "packet16", "" },
    { "tcp.DstPort & 3 == @web", "type-mismatch", 19, "masked", "" },
    { "tcp.DstPort < @web", "parse-error", 14, "a set has no order", "==" },
    { "ip.SrcAddr in @office/8", "parse-error", 21, "'/'", "" },
    { "tcp.DstPort in { @web..90 }", "parse-error", 21, "'..'", "" },
    { "@office", "parse-error", 0, "'@office'", "" },
    { "tcp.DstPort == @", "bad-token", 16, "'@'", "@office" },
    { "tcp.DstPort == -@web", "parse-error", 16, "'@web'", "" },
};

TEST(filter_refuses_sets_that_do_not_fit)
{
    for (size_t i = 0; i < NSP_ARRAY_LEN(refusals); i++) {
        struct nsp_filter *filter = NULL;
        struct nsp_diag diag = { .result = NSP_OK };
        int r = nsp_filter_compile_with(refusals[i].filter, NSP_LAYER_NETWORK,
                                        &options, NULL, &filter, &diag);

        if (r != NSP_INVALID_FILTER || diag.offset != refusals[i].offset ||
            strcmp(diag.category, refusals[i].category) != 0 ||
            !strstr(diag.text, refusals[i].text) ||
            !strstr(diag.hint, refusals[i].hint))
            fail_msg("%s: %s at %u: %s (%s)", refusals[i].filter, diag.category,
                     diag.offset, diag.text, diag.hint);
    }
}

static void
check_refusal(const struct nsp_filter_options *with, const char *category,
              const char *hint)
{
    struct nsp_filter *filter = NULL;
    struct nsp_diag diag;

    CHECK_EQ(nsp_filter_compile_with("ip.SrcAddr == @office", NSP_LAYER_NETWORK,
                                     with, NULL, &filter, &diag),
             NSP_INVALID_FILTER);
    CHECK_STR_EQ(diag.category, category);
    CHECK_STR_EQ(diag.hint, hint);
}

TEST(filter_knows_no_sets_without_any_and_in_strict_mode)
{
    struct nsp_filter_options strict = options;

    strict.strict = true;
    check_refusal(NULL, "unknown-set", "there are no sets here");
    check_refusal(&strict, "bad-token", "strict mode has no named sets");
}

TEST(filter_lists_as_many_sets_as_there_is_room_for)
{
    struct nsp_filter_set *many[100];
    struct nsp_filter_options with = { .sets = many, .set_count = 100 };
    struct nsp_filter *filter;
    struct nsp_diag diag;
    char name[16];

    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "set-%03u", i);
        many[i] = read_set(name, "");
    }
    CHECK_EQ(nsp_filter_compile_with("ip.SrcAddr == @x", NSP_LAYER_NETWORK,
                                     &with, NULL, &filter, &diag),
             NSP_INVALID_FILTER);
    CHECK(strstr(diag.hint, "@set-000, @set-001, "));
    CHECK_STR_EQ(diag.hint + strlen(diag.hint) - 5, ", ...");
    for (unsigned i = 0; i < 100; i++)
        nsp_filter_set_unref(many[i]);
}

TEST(filter_object_has_no_named_sets)
{
    struct nsp_diag diag;
    char *object = NULL;

    CHECK_EQ(nsp_filter_object("ip.SrcAddr in @office", NSP_LAYER_NETWORK,
                               &options, NULL, &object, &diag),
             NSP_INVALID_FILTER);
    CHECK_STR_EQ(diag.category, "not-expressible");
    CHECK_STR_EQ(diag.text, "an object cannot tell a named set");
}

/* --- Ownership ------------------------------------------------------------ */

TEST(filter_set_refuses_bad_names_and_texts)
{
    static const char *const names[] = {
        "", "a b", "a.b", "@a", "a123456789012345678901234567890123456789",
    };
    struct nsp_filter_set *set = NULL;
    struct nsp_diag diag;

    for (size_t i = 0; i < NSP_ARRAY_LEN(names); i++) {
        CHECK_EQ(nsp_filter_set_read(names[i], "", 0, NULL, &set, &diag),
                 NSP_INVALID_PARAMETER);
        CHECK_STR_EQ(diag.category, "bad-set-name");
    }
    CHECK_EQ(nsp_filter_set_read(NULL, "", 0, NULL, &set, NULL),
             NSP_INVALID_PARAMETER);
    CHECK_EQ(nsp_filter_set_read("a", NULL, 0, NULL, &set, NULL),
             NSP_INVALID_PARAMETER);
    CHECK_EQ(nsp_filter_set_read("a", "80\nx", 4, NULL, &set, &diag),
             NSP_INVALID_FILTER);
    CHECK_STR_EQ(diag.category, "bad-set");
    CHECK_EQ(diag.line, 2);
    CHECK(set == NULL);
    CHECK(nsp_filter_set_unref(NULL) == NULL);
}

TEST(filter_keeps_the_sets_that_it_uses)
{
    struct failing_alloc counts = { .fail_at = UINT_MAX };
    const struct nsp_allocator allocator = failing_allocator(&counts);
    struct nsp_filter_set *one[2];
    struct nsp_filter_options with = { .sets = one, .set_count = 2 };
    struct nsp_filter *filters[2];
    struct sample sample;

    CHECK_EQ(
        nsp_filter_set_read("a", "192.0.2.1", 9, &allocator, &one[0], NULL),
        NSP_OK);
    CHECK_EQ(nsp_filter_set_read("b", "1.1.1.1", 7, &allocator, &one[1], NULL),
             NSP_OK);
    CHECK_STR_EQ(nsp_filter_set_name(one[0]), "a");
    CHECK_EQ(nsp_filter_set_kind(one[0]), NSP_SET_ADDRESSES);
    for (unsigned i = 0; i < 2; i++)
        CHECK_EQ(nsp_filter_compile_with("ip.SrcAddr in @a or ip.DstAddr in @a",
                                         NSP_LAYER_NETWORK, &with, NULL,
                                         &filters[i], NULL),
                 NSP_OK);
    CHECK(nsp_filter_set_ref(one[1]) == one[1]);
    nsp_filter_set_unref(one[1]);
    nsp_filter_set_unref(one[1]);
    nsp_filter_set_unref(one[0]);
    CHECK(atomic_load(&counts.live) > 0);

    sample_init(&sample, TCP4, NSP_OUTBOUND);
    for (unsigned i = 0; i < 2; i++) {
        CHECK(nsp_filter_match(filters[i], &sample.pkt, NULL));
        nsp_filter_destroy(filters[i]);
    }
    CHECK_EQ(atomic_load(&counts.live), 0);
}

TEST(filter_with_sets_survives_any_failed_allocation)
{
    static const char set_text[] = "80\n443\n";
    unsigned failures = 0;
    int r;

    do {
        struct failing_alloc counts = { .fail_at = failures };
        const struct nsp_allocator allocator = failing_allocator(&counts);
        struct nsp_filter_set *set = NULL;
        struct nsp_filter_options with = { .sets = &set, .set_count = 1 };
        struct nsp_filter *filter = NULL;
        struct nsp_diag diag;

        r = nsp_filter_set_read("a", set_text, strlen(set_text), &allocator,
                                &set, &diag);
        if (r == NSP_OK)
            r = nsp_filter_compile_with("tcp.DstPort in @a", NSP_LAYER_NETWORK,
                                        &with, &allocator, &filter, &diag);
        nsp_filter_set_unref(set);
        if (r != NSP_OK) {
            CHECK_EQ(r, NSP_NO_MEMORY);
            CHECK_STR_EQ(diag.category, "out-of-memory");
            failures++;
        }
        nsp_filter_destroy(filter);
        CHECK_EQ(atomic_load(&counts.live), 0);
    } while (r != NSP_OK);
    CHECK(failures >= 10);
}

#define WITH_SETS(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

TEST_MAIN(WITH_SETS(filter_looks_fields_up_in_named_sets),
          WITH_SETS(filter_takes_no_mapped_address_for_an_ipv4_one),
          cmocka_unit_test(filter_looks_a_mixed_burst_up),
          cmocka_unit_test(filter_set_tells_its_prefixes),
          WITH_SETS(filter_prints_the_names_of_sets),
          WITH_SETS(filter_refuses_sets_that_do_not_fit),
          WITH_SETS(filter_knows_no_sets_without_any_and_in_strict_mode),
          cmocka_unit_test(filter_lists_as_many_sets_as_there_is_room_for),
          WITH_SETS(filter_object_has_no_named_sets),
          cmocka_unit_test(filter_set_refuses_bad_names_and_texts),
          cmocka_unit_test(filter_keeps_the_sets_that_it_uses),
          cmocka_unit_test(filter_with_sets_survives_any_failed_allocation))
