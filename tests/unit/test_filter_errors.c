/* What filters are refused, where, and with which advice. */
#include <errno.h>

#include "tests/lib/failing_alloc.h"
#include "tests/lib/filter.h"

#define N NSP_LAYER_NETWORK
#define M NSP_LAYER_NETWORK_FORWARD

#define BAD   "bad-token"
#define LAYER "bad-token-for-layer"
#define PARSE "parse-error"
#define INDEX "bad-index"

/* 'hint' and 'text' need only occur in what is said. Offsets are WinDivert's:
 * the start of the word or token, one past a stray character. */
static const struct {
    const char *filter;
    const char *category;
    uint32_t offset;
    const char *text, *hint;
} rows[] = {
    /* Words. */
    { "tcp.DestPort", BAD, 0, "'tcp.DestPort'", "mean tcp.DstPort?" },
    { "tcp and tcp.dstport == 80", BAD, 8, "tcp.dstport", "tcp.DstPort?" },
    { "tcp AND udp", BAD, 4, "'AND'", "mean and?" },
    { "tcp Or udp", BAD, 4, "'Or'", "mean or?" },
    { "NOT tcp", BAD, 0, "'NOT'", "mean not?" },
    { "True", BAD, 0, "'True'", "mean true?" },
    { "tcp.payload[0] == 1", BAD, 0, "tcp.payload", "tcp.Payload?" },
    { "inbuond", BAD, 0, "inbuond", "inbound?" },
    { "ip.SrcAdr == 1.2.3.4", BAD, 0, "ip.SrcAdr", "ip.SrcAddr?" },
    { "protocol == tpc", BAD, 12, "'tpc'", "tcp?" },
    { "xyzzy.plugh", BAD, 0, "xyzzy.plugh", "" },
    { "tcp b and ip", BAD, 4, "'b'", "" },
    { "tcp.DstPort == 0X50", BAD, 15, "0X50", "0x" },
    { "tcp.DstPort == 80x", BAD, 15, "80x", "" },
    { "tcp.DstPort == 80:udp", BAD, 15, "80:udp", "" },
    { "(tcp?udp:ip)", BAD, 5, "udp:ip", "" },
    { "ip.SrcAddr == 1.2.3", BAD, 14, "1.2.3", "192.0.2.1" },
    { "ip.SrcAddr == 1.2.3.4.5", BAD, 14, "1.2.3.4.5", "" },
    { "ip.SrcAddr == 1.2.3.256", BAD, 14, "1.2.3.256", "" },
    { "ip.SrcAddr == 1.2..4", BAD, 14, "1.2..4", "" },
    { "ipv6.SrcAddr == 1::2::3", BAD, 16, "1::2::3", "" },
    { "ipv6.SrcAddr == 1:2:3:4:5:6:7", BAD, 16, "1:2:3:4:5:6:7", "" },
    { "ipv6.SrcAddr == 1:2:3:4:5:6:7:8:9", BAD, 16, "1:2:3:4:5:6:7:8:9", "" },
    { "ipv6.SrcAddr == 1:2:3:4:5:6:7::8", BAD, 16, "1:2:3:4:5:6:7::8", "" },
    { "ipv6.SrcAddr == 12345::", BAD, 16, "12345::", "" },
    { "ipv6.SrcAddr == 64:ff9b::1.2.3.4", BAD, 16, "64:ff9b::1.2.3.4", "" },
    { "ipv6.SrcAddr == 0:0:0:0:0:ffff:1.2.3.4", BAD, 16, "1.2.3.4", "" },
    { "ipv6.SrcAddr == :::", BAD, 16, ":::", "" },
    { "(tcp? ipv6.SrcAddr == ::: udp)", BAD, 22, ":::", "" },
    { "tcp.SeqNum == 340282366920938463463374607431768211456", BAD, 14, "",
      "" },
    { "tcp.SeqNum == 0x100000000000000000000000000000000", BAD, 14, "", "" },
    { "tcp.SeqNum == 0000000000000000000000000000000000000001", BAD, 14,
      "40 characters", "" },
    /* Stray characters. */
    { "tcp & udp", BAD, 5, "'&'", "'and'" },
    { "tcp | udp", BAD, 5, "'|'", "'or'" },
    { "tcp ; udp", BAD, 5, "';'", "" },
    { "ip.SrcAddr == 10.0.0.0/8", BAD, 23, "'/'", "range" },
    { "tcp.DstPort in {80, 443}", BAD, 12, "'in'", "" },
    { "tcp.DstPort == {80}", BAD, 16, "'{'", "alternatives" },
    { "tcp # web", BAD, 5, "'#'", "comments" },
    { "tcp\x01", BAD, 4, "control character 0x01", "ASCII" },
    { "tcp \x7f", BAD, 5, "control character 0x7f", "ASCII" },
    { "tcp and \xc3\xbc", BAD, 9, "byte 0xc3", "ASCII" },
    { "\xff", BAD, 1, "byte 0xff", "ASCII" },
    { "\xe2\x80\x9ctcp", BAD, 1, "byte 0xe2", "ASCII" },
    { "ipv6.SrcAddr == fe80::1%eth0", BAD, 24, "'%'", "" },
    /* A bad word late in the text is found before bad grammar. */
    { "tcp tcp nonsense", BAD, 8, "nonsense", "" },
    /* Grammar. */
    { "", PARSE, 0, "empty", "true" },
    { " \n\t", PARSE, 3, "empty", "true" },
    { "()", PARSE, 1, "')'", "" },
    { "(", PARSE, 1, "ends", "" },
    { ")", PARSE, 0, "')'", "" },
    { "tcp udp", PARSE, 4, "'udp'", "" },
    { "and tcp", PARSE, 0, "'and'", "" },
    { "tcp and", PARSE, 7, "ends", "" },
    { "tcp or  ", PARSE, 8, "ends", "" },
    { "(tcp", PARSE, 4, "ends", "" },
    { "tcp)", PARSE, 3, "')'", "" },
    { "not (tcp)", PARSE, 4, "'('", "(a? false: true)" },
    { "!(tcp)", PARSE, 1, "'('", "(a? false: true)" },
    { "not", PARSE, 3, "ends", "" },
    { "not and", PARSE, 4, "'and'", "" },
    { "80 == tcp.DstPort", PARSE, 0, "'80'", "field name" },
    { "tcp.DstPort == tcp.SrcPort", PARSE, 15, "'tcp.SrcPort'", "right side" },
    { "tcp.DstPort ==", PARSE, 14, "ends", "" },
    { "tcp.DstPort == and", PARSE, 15, "'and'", "" },
    { "tcp.DstPort == - -80", PARSE, 17, "'-'", "" },
    { "tcp.DstPort == 80 81", PARSE, 18, "'81'", "" },
    { "tcp.DstPort == 80b", PARSE, 15, "'80b'", "" },
    { "tcp.DstPort <> 80", PARSE, 13, "'>'", "" },
    { "TCP", PARSE, 0, "'TCP'", "field name" },
    { "TRUE", PARSE, 0, "'TRUE'", "" },
    { "PACKET", PARSE, 0, "'PACKET'", "" },
    { "event == BIND", PARSE, 9, "'BIND' is not a value on layer NETWORK", "" },
    { "event == OPEN", PARSE, 9, "'OPEN'", "" },
    { "packet[BIND] == 0", PARSE, 7, "'BIND'", "" },
    { "tcp? udp: ip", PARSE, 3, "'?'", "parentheses" },
    { "(? true: false)", PARSE, 1, "'?'", "" },
    { "(tcp? udp)", PARSE, 9, "')'", "(a? b: c)" },
    { "(tcp? : udp)", PARSE, 6, "':'", "" },
    { "(tcp? udp: )", PARSE, 11, "')'", "" },
    { "(tcp? udp: ip", PARSE, 13, "ends", "" },
    { "(tcp: udp)", PARSE, 4, "':'", "" },
    { "packet", PARSE, 6, "ends", "packet[0]" },
    { "packet == 1", PARSE, 7, "'=='", "packet[0]" },
    { "tcp[0] == 1", PARSE, 3, "'['", "" },
    { "packet[]", PARSE, 7, "']'", "" },
    { "packet[tcp]", PARSE, 7, "'tcp'", "" },
    { "packet[0", PARSE, 8, "ends", "" },
    { "packet[0 == 1", PARSE, 9, "'=='", "" },
    { "packet[--1]", PARSE, 8, "'-'", "" },
    /* Indexes: at the number, or at the token after it. */
    { "packet[65576]", INDEX, 7, "65575", "" },
    { "packet[-65576]", INDEX, 8, "65575", "" },
    { "packet[0x100000000]", INDEX, 7, "", "" },
    { "packet[65535]", INDEX, 12, "packet", "65534" },
    { "packet16[32767]", INDEX, 14, "packet16", "65533" },
    { "packet32[16383]", INDEX, 14, "packet32", "65531" },
    { "packet32[65532b]", INDEX, 15, "packet32", "65531" },
    { "packet[-0]", INDEX, 9, "packet", "1 to 65535" },
    { "packet16[-1b]", INDEX, 12, "packet16", "2 to 65535" },
    { "packet32[-3b]", INDEX, 12, "packet32", "4 to 65535" },
    { "packet16[-32768]", INDEX, 15, "packet16", "" },
    { "tcp.Payload[-65536]", INDEX, 18, "tcp.Payload", "" },
    /* An inner error is not hidden by its parentheses. */
    { "(tcp and (packet[65535] == 1))", INDEX, 22, "packet", "" },
    { "(tcp and (udp)", PARSE, 14, "ends", "" },
    /* Layers. */
    { "processId == 4", LAYER, 0, "NETWORK", "FLOW SOCKET REFLECT" },
    { "tcp and endpointId == 4", LAYER, 8, "endpointId", "FLOW SOCKET" },
    { "(tcp? layer: priority)", LAYER, 6, "layer", "REFLECT" },
};

static void
check_refusal_in_mode(const char *filter, enum nsp_layer layer, bool strict,
                      const char *category, uint32_t offset,
                      struct nsp_diag *ret)
{
    struct nsp_filter *compiled = NULL;
    const struct nsp_filter_options options = { .strict = strict };
    int r =
        nsp_filter_compile_with(filter, layer, &options, NULL, &compiled, ret);

    if (r != NSP_INVALID_FILTER || strcmp(ret->category, category) != 0 ||
        ret->offset != offset)
        fail_msg("%s: %s at %u, not %s at %u", filter, ret->category,
                 ret->offset, category, offset);
    CHECK(compiled == NULL);
    CHECK_EQ(ret->result, NSP_INVALID_FILTER);
    CHECK(ret->text[0] != '\0');
    for (const char *c = ret->text; *c != '\0'; c++)
        CHECK(*c >= ' ' && *c < 0x7f);
}

static void
check_refusal(const char *filter, enum nsp_layer layer, const char *category,
              uint32_t offset, struct nsp_diag *ret)
{
    check_refusal_in_mode(filter, layer, true, category, offset, ret);
}

TEST(filter_errors_name_category_place_and_cure)
{
    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        struct nsp_diag diag;

        check_refusal(rows[i].filter, N, rows[i].category, rows[i].offset,
                      &diag);
        if (!strstr(diag.text, rows[i].text) ||
            !strstr(diag.hint, rows[i].hint))
            fail_msg("%s: %s (%s)", rows[i].filter, diag.text, diag.hint);
    }
}

TEST(filter_errors_name_line_and_column)
{
    struct nsp_diag diag;

    check_refusal("tcp and\n  (udp or\n\t\tnonsense)", N, BAD, 20, &diag);
    CHECK_EQ(diag.line, 3);
    CHECK_EQ(diag.column, 3);
    check_refusal("tcp\nand", N, PARSE, 7, &diag);
    CHECK_EQ(diag.line, 2);
    CHECK_EQ(diag.column, 4);
    /* The caret goes under a stray character though its offset is after it. */
    check_refusal("tcp & udp", N, BAD, 5, &diag);
    CHECK_EQ(diag.line, 1);
    CHECK_EQ(diag.column, 5);
}

TEST(filter_says_why_forwarded_packets_have_no_direction)
{
    struct nsp_diag diag;

    check_refusal("tcp and outbound", M, LAYER, 8, &diag);
    CHECK(strstr(diag.hint, "ifIdx") != NULL);
}

/* Builds 'count' times 'piece', with 'tail' behind it. */
static char *
repeat(const char *piece, size_t count, const char *middle, const char *tail)
{
    size_t bytes = strlen(piece), tail_bytes = strlen(tail);
    size_t all = count * (bytes + tail_bytes) + strlen(middle);
    char *text = malloc(all + 1);

    CHECK(text != NULL);
    for (size_t i = 0; i < count; i++)
        memcpy(text + i * bytes, piece, bytes);
    strcpy(text + count * bytes, middle);
    for (size_t i = 0; i < count; i++)
        strcpy(text + count * bytes + strlen(middle) + i * tail_bytes, tail);
    text[all] = '\0';
    return text;
}

static void
check_size(const char *piece, size_t count, const char *middle,
           const char *tail, const char *category)
{
    char *text = repeat(piece, count, middle, tail);
    struct nsp_filter *filter = NULL;
    struct nsp_diag diag = { .category = "" };
    int r = nsp_filter_compile(text, N, NULL, &filter, &diag);

    if (strcmp(diag.category, category) != 0)
        fail_msg("%zu times %s: %s", count, piece, diag.category);
    CHECK_EQ(r, category[0] ? NSP_INVALID_FILTER : NSP_OK);
    nsp_filter_destroy(filter);
    free(text);
}

TEST(filter_bounds_depth_tests_words_and_text)
{
    check_size("(", 340, "tcp", ")", "");
    check_size("(", 512, "tcp", ")", "");
    check_size("(", 513, "tcp", ")", "too-deep");
    check_size("(", 200000, "", "", "too-long");
    check_size("(", 60000, "", "", "too-deep");
    check_size("(tcp? udp: ", 512, "ip", ")", "");
    check_size("((tcp or udp) and ", 256, "ip", ")", "");
    check_size("!", 1276, "tcp", "", "");
    check_size("!", 65535, "tcp", "", "");
    check_size("!", 65536, "tcp", "", "too-long");
    check_size("tcp and ", 638, "tcp", "", "");
    check_size(" ", 262141, "tcp", "", "");
    check_size(" ", 262142, "tcp", "", "too-long");
    check_size("a", 39, "", "", "bad-token");
    check_size("a", 1000000, "", "", "too-long");
    check_size("tcp or ", 1000000 / 7, "tcp", "", "too-long");
    check_size("\xff", 1000000, "", "", "too-long");
}

/* Tests that cannot be merged: every byte of the packet against the next. */
TEST(filter_bounds_the_number_of_tests)
{
    const unsigned counts[] = { 256, 8192, 8193 };
    char *text = malloc(400000);

    CHECK(text != NULL);
    for (size_t c = 0; c < NSP_ARRAY_LEN(counts); c++) {
        struct nsp_filter *filter = NULL;
        struct nsp_diag diag = { .offset = 1 };
        size_t used = 0;
        int r;

        for (unsigned i = 0; i < counts[c]; i++)
            used += (size_t)sprintf(text + used, "%spacket[%u]=1",
                                    i > 0 ? "||" : "", i);
        r = nsp_filter_compile(text, N, NULL, &filter, &diag);
        CHECK_EQ(r, counts[c] <= 8192 ? NSP_OK : NSP_INVALID_FILTER);
        if (r != NSP_OK) {
            CHECK_STR_EQ(diag.category, "too-long");
            CHECK_EQ(diag.offset, 0);
        }
        nsp_filter_destroy(filter);
    }
    free(text);
}

TEST(filter_refuses_bad_arguments)
{
    struct nsp_filter *filter = NULL;
    enum nsp_layer layer = NSP_LAYER_FLOW;

    CHECK_EQ(nsp_filter_compile(NULL, N, NULL, &filter, NULL),
             NSP_INVALID_PARAMETER);
    CHECK_EQ(nsp_filter_compile("tcp", N, NULL, NULL, NULL),
             NSP_INVALID_PARAMETER);
    CHECK_EQ(nsp_filter_compile("tcp", NSP_LAYER_COUNT, NULL, &filter, NULL),
             NSP_INVALID_PARAMETER);
    CHECK_EQ(nsp_filter_compile("tpc", N, NULL, &filter, NULL),
             NSP_INVALID_FILTER);
    CHECK(nsp_filter_destroy(NULL) == NULL);
    CHECK_EQ(nsp_layer_find("network-forward", &layer), 0);
    CHECK_EQ(layer, NSP_LAYER_NETWORK_FORWARD);
    CHECK_EQ(nsp_layer_find("Reflect", &layer), 0);
    CHECK_EQ(layer, NSP_LAYER_REFLECT);
    CHECK_EQ(nsp_layer_find("NET", &layer), -ENOENT);
    CHECK_EQ(nsp_layer_find("", &layer), -ENOENT);
    CHECK_EQ(layer, NSP_LAYER_REFLECT);
    CHECK_STR_EQ(nsp_layer_name(NSP_LAYER_COUNT), "unknown");
}

TEST(filter_survives_any_failed_allocation)
{
    static const char text[] =
        "(tcp? tcp.DstPort == 80 or tcp.DstPort == 443 or tcp.DstPort == 8080: "
        "udp.DstPort != 53 and udp.DstPort != 67 and packet32[3] >= 10.0.0.0) "
        "and (ipv6.SrcAddr == ::1 or ipv6.SrcAddr == 2001:db8::1)";
    unsigned failures = 0;
    int r;

    do {
        struct failing_alloc counts = { .fail_at = failures };
        const struct nsp_allocator allocator = failing_allocator(&counts);
        struct nsp_filter *filter = NULL;
        struct nsp_diag diag;

        r = nsp_filter_compile(text, N, &allocator, &filter, &diag);
        CHECK_EQ(r == NSP_OK, filter != NULL);
        if (r != NSP_OK) {
            CHECK_EQ(r, NSP_NO_MEMORY);
            CHECK_STR_EQ(diag.category, "out-of-memory");
            failures++;
        }
        nsp_filter_destroy(filter);
        CHECK_EQ(atomic_load(&counts.live), 0);
    } while (r != NSP_OK);
    CHECK(failures >= 8);
}

TEST_MAIN(cmocka_unit_test(filter_errors_name_category_place_and_cure),
          cmocka_unit_test(filter_errors_name_line_and_column),
          cmocka_unit_test(filter_says_why_forwarded_packets_have_no_direction),
          cmocka_unit_test(filter_bounds_depth_tests_words_and_text),
          cmocka_unit_test(filter_bounds_the_number_of_tests),
          cmocka_unit_test(filter_refuses_bad_arguments),
          cmocka_unit_test(filter_survives_any_failed_allocation))
