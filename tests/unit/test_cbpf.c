/* libpcap's header wants the BSD names of integers. */
#define _DEFAULT_SOURCE
#include <errno.h>
#include <pcap.h>

#include "tests/lib/failing_alloc.h"
#include "tests/lib/random_filter.h"

static_assert(sizeof(struct bpf_insn) == sizeof(struct nsp_cbpf_insn) &&
                  offsetof(struct bpf_insn, jf) ==
                      offsetof(struct nsp_cbpf_insn, jf) &&
                  offsetof(struct bpf_insn, k) ==
                      offsetof(struct nsp_cbpf_insn, k),
              "not libpcap's instructions");

struct program {
    struct nsp_cbpf_insn insns[NSP_CBPF_INSNS_MAX];
    uint32_t count;
    struct nsp_widened widened;
};

static struct program program;
static struct random_world world;

static const struct bpf_insn *
libpcap_insns(void)
{
    return (const struct bpf_insn *)program.insns;
}

static int
emit(const struct nsp_filter *filter, const struct nsp_site *site, uint32_t max)
{
    int r = nsp_filter_emit_cbpf(filter, site, program.insns, max,
                                 &program.count, &program.widened);

    if (r == 0)
        CHECK(bpf_validate(libpcap_insns(), (int)program.count));
    return r;
}

static bool
run(const struct nsp_pkt *pkt)
{
    return bpf_filter(libpcap_insns(), pkt->data, pkt->cap_bytes,
                      pkt->cap_bytes) != 0;
}

static void
check_random_filter(uint32_t max)
{
    struct nsp_filter *filter = compile_random(&world);
    int r = emit(filter, &world.site, max);

    CHECK(r == 0 || (r == -E2BIG && max < NSP_CBPF_INSNS_MAX));
    for (unsigned i = 0; r == 0 && i < RANDOM_PACKETS; i++)
        check_answer(&world, filter, &program.widened, i,
                     run(&world.packets[i].pkt));
    nsp_filter_destroy(filter);
}

TEST(cbpf_agrees_with_the_evaluator)
{
    unsigned count = random_filter_count(2000), exact = 0;

    named_sets_open(&world.options);
    nsp_prng_init(&world.prng, 11, 0);
    for (unsigned i = 0; i < count; i++) {
        if (i % 8 == 0)
            random_site(&world, (enum nsp_link)below(&world, NSP_LINK_NULL), 3);
        random_filter(&world);
        check_random_filter(NSP_CBPF_INSNS_MAX);
        exact += program.widened.exact;
        check_random_filter(1 + below(&world, 400));
    }
    CHECK(exact > count / 4);
    named_sets_close(&world.options);
}

TEST(cbpf_agrees_with_a_naive_walk_of_the_expression)
{
    unsigned count = random_filter_count(2000), exact = 0;

    named_sets_open(&world.options);
    nsp_prng_init(&world.prng, 15, 0);
    for (unsigned i = 0; i < count; i++) {
        if (i % 8 == 0)
            random_site(&world, (enum nsp_link)below(&world, NSP_LINK_NULL), 3);
        random_naive_filter(&world);
        check_random_filter(NSP_CBPF_INSNS_MAX);
        exact += program.widened.exact;
    }
    CHECK(exact > count / 4);
    named_sets_close(&world.options);
}

TEST(cbpf_agrees_with_the_evaluator_on_each_field_alone)
{
    named_sets_open(&world.options);
    nsp_prng_init(&world.prng, 12, 0);
    for (uint32_t i = 0; i < nsp_field_count * 8; i++) {
        const struct nsp_field *field = &nsp_fields[i % nsp_field_count];

        if (!(field->layers & NSP_ON_NETWORK) || field->type == NSP_TYPE_TEXT)
            continue;
        random_site(&world, (enum nsp_link)below(&world, NSP_LINK_NULL), 3);
        for (unsigned k = 0; k < NSP_ARRAY_LEN(world.few); k++)
            world.few[k] = field;
        world.used = 0;
        world.has_naive = false;
        put_expression(&world, 1);
        check_random_filter(NSP_CBPF_INSNS_MAX);
    }
    named_sets_close(&world.options);
}

TEST(cbpf_searches_small_named_sets_and_names_the_large_ones)
{
    static const struct {
        const char *text, *widened; /* One name, or NULL. */
        uint32_t max;
    } rows[] = {
        { "ip.SrcAddr in @few", NULL, NSP_CBPF_INSNS_MAX },
        { "remoteAddr not in @many", NULL, NSP_CBPF_INSNS_MAX },
        { "remoteAddr in @many", "@many", 300 },
        { "ip.SrcAddr in @huge", "@huge", NSP_CBPF_INSNS_MAX },
        { "tcp and ip.SrcAddr not in @huge", "@huge", NSP_CBPF_INSNS_MAX },
        { "ip.SrcAddr in @none", NULL, NSP_CBPF_INSNS_MAX },
        { "udp.DstPort in @ports", NULL, NSP_CBPF_INSNS_MAX },
        { "udp.DstPort in @some-ports", NULL, NSP_CBPF_INSNS_MAX },
        { "udp.DstPort in @odd_ports", "@odd_ports", NSP_CBPF_INSNS_MAX },
        { "arp.SrcAddr in @few", "@few", NSP_CBPF_INSNS_MAX },
    };

    named_sets_open(&world.options);
    nsp_prng_init(&world.prng, 15, 0);
    random_site(&world, NSP_LINK_ETHERNET, 3);
    world.site.facts = NSP_SITE_DIRECTION;
    world.site.direction = NSP_OUTBOUND;
    for (unsigned i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        struct nsp_filter *filter =
            compile_with(rows[i].text, NSP_LAYER_NETWORK, &world.options);

        CHECK_EQ(emit(filter, &world.site, rows[i].max), 0);
        CHECK_EQ(program.widened.exact, rows[i].widened == NULL);
        if (rows[i].widened)
            CHECK_STR_EQ(program.widened.names[program.widened.count - 1],
                         rows[i].widened);
        nsp_filter_destroy(filter);
    }
    named_sets_close(&world.options);
}

/* --- What is widened ----------------------------------------------------- */

static const struct {
    const char *text, *widened; /* One name, or NULL: exact. */
    const char *as;             /* A filter that the program equals. */
    unsigned facts;
} widenings[] = {
    { "tcp", NULL, "tcp", 0 },
    { "outbound", "outbound", "true", 0 },
    { "not outbound", "outbound", "true", 0 },
    { "outbound and tcp", "outbound", "tcp", 0 },
    { "outbound and tcp", NULL, "tcp", NSP_SITE_DIRECTION },
    { "inbound and tcp", NULL, "false", NSP_SITE_DIRECTION },
    { "not inbound and tcp", NULL, "tcp", NSP_SITE_DIRECTION },
    { "outbound or tcp", "outbound", "true", 0 },
    { "udp or tcp and outbound", "outbound", "udp or tcp", 0 },
    { "outbound and tcp or inbound and udp", NULL, "tcp", NSP_SITE_DIRECTION },
    { "random8 < 128 and udp", "random8", "udp", 0 },
    { "(random8 < 128? udp: tcp)", "random8", "true", 0 },
    { "(random8 < 128? udp: false)", "random8", "udp", 0 },
    { "(tcp? random8 < 1: udp)", "random8", "tcp or udp", 0 },
    { "timestamp > 5 and ipv6", "timestamp", "ipv6", 0 },
    { "ifIdx == 3 and ip", "ifIdx", "ip", 0 },
    { "ifIdx == 3 and ip", NULL, "ip", NSP_SITE_IFINDEX },
    { "ifIdx == 4 and ip", NULL, "false", NSP_SITE_IFINDEX },
    { "loopback and ip", "loopback", "ip", 0 },
    { "loopback and ip", NULL, "ip", NSP_SITE_LOOPBACK },
    { "localPort == 5000", "localPort", "true", 0 },
    { "localPort == 5000", NULL, "tcp.SrcPort == 5000 or udp.SrcPort == 5000",
      NSP_SITE_DIRECTION },
    { "remoteAddr == 198.51.100.2", NULL, "ip.DstAddr == 198.51.100.2",
      NSP_SITE_DIRECTION },
    { "false and outbound", NULL, "false", 0 },
};

TEST(cbpf_widens_what_the_site_does_not_tell)
{
    nsp_prng_init(&world.prng, 13, 0);
    for (unsigned i = 0; i < NSP_ARRAY_LEN(widenings); i++) {
        struct nsp_filter *filter =
            compile(widenings[i].text, NSP_LAYER_NETWORK);
        struct nsp_filter *as = compile(widenings[i].as, NSP_LAYER_NETWORK);

        random_site(&world, NSP_LINK_ETHERNET, 3);
        world.site.facts = widenings[i].facts;
        world.site.direction = NSP_OUTBOUND;
        world.site.loopback = true;
        CHECK_EQ(emit(filter, &world.site, NSP_CBPF_INSNS_MAX), 0);
        CHECK_EQ(program.widened.exact, widenings[i].widened == NULL);
        CHECK_EQ(program.widened.count, widenings[i].widened ? 1 : 0);
        if (widenings[i].widened)
            CHECK_STR_EQ(program.widened.names[0], widenings[i].widened);
        for (unsigned k = 0; k < RANDOM_PACKETS; k++) {
            const struct nsp_pkt *pkt = &world.packets[k].pkt;

            if (run(pkt) != nsp_filter_match(as, pkt, NULL))
                fail_msg("%s is not %s", widenings[i].text, widenings[i].as);
        }
        nsp_filter_destroy(as);
        nsp_filter_destroy(filter);
    }
}

/* --- Room ---------------------------------------------------------------- */

static struct nsp_filter *
many_ports(unsigned count)
{
    static char text[1 << 14];
    size_t used = 0;

    for (unsigned i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used,
                                 "%stcp.DstPort == %u", i == 0 ? "" : " or ",
                                 1000 + 7 * i);
    return compile(text, NSP_LAYER_NETWORK);
}

TEST(cbpf_jumps_as_far_as_it_has_to)
{
    struct nsp_filter *filter = many_ports(255);
    struct nsp_site site = { .link = NSP_LINK_RAW };
    struct sample sample;

    CHECK_EQ(emit(filter, &site, NSP_CBPF_INSNS_MAX), 0);
    CHECK(program.widened.exact);
    sample_init(&sample, TCP4, NSP_OUTBOUND);
    for (unsigned port = 0; port < 4000; port++) {
        nsp_store_be16(sample.bytes + 22, (uint16_t)port);
        nsp_pkt_parse(&sample.pkt);
        CHECK_EQ(run(&sample.pkt), nsp_filter_match(filter, &sample.pkt, NULL));
    }
    nsp_filter_destroy(filter);
}

/* Programs of every length around what a conditional jump spans. */
TEST(cbpf_jumps_right_at_every_distance)
{
    struct nsp_site site = { .link = NSP_LINK_RAW };
    struct sample sample;

    sample_init(&sample, TCP4, NSP_OUTBOUND);
    for (unsigned count = 1; count <= 255; count++) {
        struct nsp_filter *filter = many_ports(count);

        CHECK_EQ(emit(filter, &site, NSP_CBPF_INSNS_MAX), 0);
        for (unsigned i = 0; i < 255; i += 6) {
            nsp_store_be16(sample.bytes + 22, (uint16_t)(1000 + 7 * i));
            nsp_pkt_parse(&sample.pkt);
            CHECK_EQ(run(&sample.pkt), i < count);
        }
        nsp_filter_destroy(filter);
    }
}

/* --- Sets of addresses --------------------------------------------------- */

/* An address of few different words, so that ranges share their beginnings. */
static void
random_address(uint8_t *ret)
{
    static const uint32_t words[] = { 0,          1,          2,
                                      0x7fffffff, 0xfffffffe, 0xffffffff };

    for (unsigned i = 0; i < 4; i++) {
        uint32_t word = words[below(&world, NSP_ARRAY_LEN(words))];

        nsp_store_be16(ret + 4 * i, (uint16_t)(word >> 16));
        nsp_store_be16(ret + 4 * i + 2, (uint16_t)word);
    }
}

static void
put_address(const uint8_t *address)
{
    char part[8];

    put(&world, "0x");
    for (unsigned i = 0; i < 16; i++) {
        snprintf(part, sizeof part, "%02x", address[i]);
        put(&world, part);
    }
}

/* A union of ranges, some of one address. */
static void
put_address_ranges(const char *field, unsigned ranges)
{
    uint8_t address[16];

    world.used = 0;
    for (unsigned i = 0; i < ranges; i++) {
        bool single = below(&world, 3) == 0;

        put(&world, i > 0 ? " or " : "");
        put(&world, single ? "(" : "(zero == 0 and ");
        put(&world, field);
        put(&world, single ? " == " : " >= ");
        random_address(address);
        put_address(address);
        if (!single) {
            put(&world, " and ");
            put(&world, field);
            put(&world, " <= ");
            random_address(address);
            put_address(address);
        }
        put(&world, ")");
    }
}

TEST(cbpf_finds_addresses_at_the_edges_of_ranges)
{
    struct sample sample;

    nsp_prng_init(&world.prng, 14, 0);
    world.site = (struct nsp_site){ .link = NSP_LINK_RAW,
                                    .facts = NSP_SITE_DIRECTION,
                                    .direction = NSP_OUTBOUND };
    sample_init(&sample, TCP6, NSP_OUTBOUND);
    for (unsigned i = 0; i < 1000; i++) {
        struct nsp_filter *filter;

        put_address_ranges(i % 2 ? "ipv6.SrcAddr" : "localAddr",
                           1 + below(&world, 6));
        filter = compile_random(&world);
        CHECK_EQ(emit(filter, &world.site, NSP_CBPF_INSNS_MAX), 0);
        for (unsigned k = 0; k < 100; k++) {
            random_address(sample.bytes + 8);
            if (run(&sample.pkt) != nsp_filter_match(filter, &sample.pkt, NULL))
                fail_msg("%s", world.text);
        }
        nsp_filter_destroy(filter);
    }
}

/* --- More room ----------------------------------------------------------- */

TEST(cbpf_fits_the_netfilter_match_by_widening_extension_headers)
{
    static const char *const texts[] = { "tcp", "udp", "outbound and tcp",
                                         "tcp.DstPort == 80",
                                         "udp.DstPort == 53" };
    struct nsp_site site = { .link = NSP_LINK_RAW };

    for (unsigned i = 0; i < NSP_ARRAY_LEN(texts); i++) {
        struct nsp_filter *filter = compile(texts[i], NSP_LAYER_NETWORK);
        bool named = false;

        CHECK_EQ(emit(filter, &site, NSP_CBPF_XT_INSNS_MAX), 0);
        CHECK(program.count <= NSP_CBPF_XT_INSNS_MAX);
        CHECK(!program.widened.exact);
        for (uint32_t k = 0; k < program.widened.count; k++)
            named |=
                strcmp(program.widened.names[k], NSP_WIDENED_EXTENSIONS) == 0;
        CHECK(named);
        nsp_filter_destroy(filter);
    }
}

TEST(cbpf_says_what_it_cannot_do)
{
    struct nsp_filter *filter = compile("tcp", NSP_LAYER_NETWORK);
    struct nsp_filter *flow = compile("tcp", NSP_LAYER_FLOW);
    struct nsp_site site = { .link = NSP_LINK_RAW };

    CHECK_EQ(emit(filter, &site, 8), -E2BIG);
    CHECK_EQ(emit(flow, &site, NSP_CBPF_INSNS_MAX), -EINVAL);
    CHECK_EQ(emit(NULL, &site, NSP_CBPF_INSNS_MAX), -EINVAL);
    CHECK_EQ(emit(filter, NULL, NSP_CBPF_INSNS_MAX), -EINVAL);
    site.link = NSP_LINK_NULL;
    CHECK_EQ(emit(filter, &site, NSP_CBPF_INSNS_MAX), -EINVAL);
    nsp_filter_destroy(flow);
    nsp_filter_destroy(filter);
}

/* Emits a program while the allocation 'nth' fails, if there is such. */
static int
emit_with_failure(unsigned nth, unsigned kind)
{
    static struct nsp_ebpf_insn ebpf[4096];
    struct failing_alloc counts = { .fail_at = UINT32_MAX };
    const struct nsp_allocator allocator = failing_allocator(&counts);
    struct nsp_site site = { .link = NSP_LINK_ETHERNET };
    struct nsp_filter *filter = NULL;
    uint32_t count = 77;
    int live, r;

    CHECK_EQ(nsp_filter_compile("tcp.DstPort == 80 or random8 < 3",
                                NSP_LAYER_NETWORK, &allocator, &filter, NULL),
             NSP_OK);
    live = atomic_load(&counts.live);
    counts.fail_at = atomic_load(&counts.calls) + nth;
    r = kind == 0 ? nsp_filter_emit_cbpf(filter, &site, program.insns,
                                         NSP_CBPF_INSNS_MAX, &count, NULL)
                  : nsp_filter_emit_ebpf(filter, (enum nsp_ebpf_type)(kind - 1),
                                         &site, ebpf, NSP_ARRAY_LEN(ebpf),
                                         &count, NULL, NULL);
    CHECK_EQ(atomic_load(&counts.live), live);
    CHECK_EQ(r == 0, count != 77);
    nsp_filter_destroy(filter);
    return r;
}

TEST(emission_survives_a_failed_allocation)
{
    for (unsigned kind = 0; kind < 3; kind++) {
        unsigned failures = 0;

        while (emit_with_failure(failures, kind) == -ENOMEM)
            failures++;
        CHECK(failures >= 5);
        CHECK_EQ(emit_with_failure(failures, kind), 0);
    }
}

/* --- Packets longer than the length field -------------------------------- */

static void
check_big(const char *text, const struct nsp_site *site,
          const struct nsp_pkt *pkt)
{
    struct nsp_filter *filter = compile(text, NSP_LAYER_NETWORK);

    CHECK_EQ(emit(filter, site, NSP_CBPF_INSNS_MAX), 0);
    CHECK(program.widened.exact);
    if (run(pkt) != nsp_filter_match(filter, pkt, NULL))
        fail_msg("%u bytes: %s", pkt->cap_bytes, text);
    nsp_filter_destroy(filter);
}

TEST(cbpf_takes_the_length_of_a_packet_too_long_for_the_field)
{
    static uint8_t bytes[66000];
    static const char *const texts[] = { "length > 65575",
                                         "length == 40",
                                         "tcp",
                                         "packet[-1] == 7",
                                         "packet[65534] == 0",
                                         "tcp.PayloadLength > 60000",
                                         "tcp.Payload[-1] == 7",
                                         "not ip" };
    static const unsigned samples[] = { TCP4, TCP6 };
    static const uint32_t lengths[] = { 60, 65535, 65536, 65575, 65576, 66000 };
    struct nsp_site site = { .link = NSP_LINK_RAW };

    for (unsigned i = 0; i < NSP_ARRAY_LEN(samples); i++) {
        memset(bytes, 7, sizeof bytes);
        hex_bytes(sample_hex[samples[i]], bytes, sizeof bytes);
        nsp_store_be16(bytes + (samples[i] == TCP4 ? 2 : 4), 0);
        for (unsigned k = 0; k < NSP_ARRAY_LEN(lengths); k++) {
            struct nsp_pkt pkt = { .data = bytes, .cap_bytes = lengths[k] };

            nsp_pkt_parse(&pkt);
            for (unsigned t = 0; t < NSP_ARRAY_LEN(texts); t++)
                check_big(texts[t], &site, &pkt);
        }
    }
}

TEST_MAIN(
    cmocka_unit_test(cbpf_agrees_with_the_evaluator),
    cmocka_unit_test(cbpf_agrees_with_a_naive_walk_of_the_expression),
    cmocka_unit_test(cbpf_agrees_with_the_evaluator_on_each_field_alone),
    cmocka_unit_test(cbpf_searches_small_named_sets_and_names_the_large_ones),
    cmocka_unit_test(cbpf_widens_what_the_site_does_not_tell),
    cmocka_unit_test(cbpf_jumps_as_far_as_it_has_to),
    cmocka_unit_test(cbpf_jumps_right_at_every_distance),
    cmocka_unit_test(cbpf_finds_addresses_at_the_edges_of_ranges),
    cmocka_unit_test(
        cbpf_fits_the_netfilter_match_by_widening_extension_headers),
    cmocka_unit_test(cbpf_says_what_it_cannot_do),
    cmocka_unit_test(emission_survives_a_failed_allocation),
    cmocka_unit_test(cbpf_takes_the_length_of_a_packet_too_long_for_the_field))
