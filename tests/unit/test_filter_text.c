/* Text in filters: strings, patterns, and the names of interfaces. */
#include "filter/match_text.h"
#include "tests/lib/failing_alloc.h"
#include "tests/lib/filter.h"

#include <stdlib.h>

/* --- Interfaces ----------------------------------------------------------- */

static const struct {
    const char *name;
    uint32_t ifindex;
} known[] = { { "lo", 1 },     { "eth0", 3 },     { "eth1", 4 },
              { "wlan*0", 5 }, { "\xc3\xa9", 6 }, { "nothing", 0 } };

static const char *
get_name(void *context, uint32_t i, uint32_t *ret_ifindex)
{
    (void)context;
    if (i >= NSP_ARRAY_LEN(known))
        return NULL;
    *ret_ifindex = known[i].ifindex;
    return known[i].name;
}

static const struct nsp_filter_interfaces interfaces = { .get = get_name };
static const struct nsp_filter_options options = { .interfaces = &interfaces };

/* By the number of the interface: which of 0 to 7 match. */
static const struct {
    const char *text;
    unsigned numbers;
} matches[] = {
    { "ifName == \"eth0\"", 1u << 3 },
    { "ifName = \"eth0\"", 1u << 3 },
    { "ifName != \"eth0\"", 0xf6 },
    { "not ifName == \"eth0\"", 0xf6 },
    { "not (ifName == \"eth0\")", 0xf7 },
    { "ifName contains \"eth\"", 1u << 3 | 1u << 4 },
    { "ifName contains \"\"", 0x7a },
    { "ifName not contains \"eth\"", 0xe6 },
    { "not ifName contains \"eth\"", 0xe6 },
    { "not ifName not contains \"eth\"", 1u << 3 | 1u << 4 },
    { "ifName matches \"eth?\"", 1u << 3 | 1u << 4 },
    { "ifName matches \"*0\"", 1u << 3 | 1u << 5 },
    { "ifName matches \"tun*\"", 0 },
    { "ifName not matches \"tun*\"", 0xfe },
    { "ifName matches \"wlan\\\\*0\"", 1u << 5 },
    { "ifName in { \"eth0\", \"lo\" }", 1u << 3 | 1u << 1 },
    { "ifName not in { \"eth0\", \"lo\" }", 0xf4 },
    { "ifName == \"\\xc3\\xA9\"", 1u << 6 },
    { "ifName == \"eth0\" or ifIdx == 7", 1u << 3 | 1u << 7 },
    { "ifName contains \"eth\" and ifName != \"eth1\"", 1u << 3 },
    { "(ifName == \"lo\" ? false : ifName contains \"0\")", 1u << 3 | 1u << 5 },
    { "ifName == \"lo\" or ifName != \"lo\"", 0xfe },
};

TEST(filter_knows_interfaces_by_name)
{
    for (size_t i = 0; i < NSP_ARRAY_LEN(matches); i++) {
        struct nsp_filter *filter =
            compile_with(matches[i].text, NSP_LAYER_NETWORK, &options);
        unsigned numbers = 0;

        for (uint32_t ifindex = 0; ifindex < 8; ifindex++) {
            struct sample sample;

            sample_init(&sample, TCP4, NSP_OUTBOUND);
            sample.pkt.out_ifindex = ifindex;
            numbers |= (unsigned)nsp_filter_match(filter, &sample.pkt, NULL)
                       << ifindex;
        }
        if (numbers != matches[i].numbers)
            fail_msg("%s: 0x%x", matches[i].text, numbers);
        nsp_filter_destroy(filter);
    }
}

/* --- Patterns ------------------------------------------------------------- */

/* The definition, word by word. */
static bool
fits(const char *pattern, const char *text)
{
    if (*pattern == '\0')
        return *text == '\0';
    if (*pattern == '*')
        return fits(pattern + 1, text) ||
               (*text != '\0' && fits(pattern, text + 1));
    if (*text == '\0')
        return false;
    if (*pattern == '?')
        return fits(pattern + 1, text + 1);
    if (*pattern == '\\' && pattern[1] != '\0')
        pattern++;
    return *pattern == *text && fits(pattern + 1, text + 1);
}

static bool
match_pattern(const char *pattern, const char *text)
{
    const struct nsp_text_literal literal = { pattern,
                                              (uint32_t)strlen(pattern) };

    return nsp_match_text(NSP_TEXT_MATCHES, &literal, text);
}

/* All patterns of up to five signs on all texts of up to four. */
TEST(patterns_match_as_defined)
{
    static const char signs[] = "ab*?\\";
    char pattern[6], text[5];
    unsigned matched = 0;

    for (unsigned p = 0; p < 6u * 6 * 6 * 6 * 6; p++) {
        size_t pattern_bytes = 0;

        for (unsigned left = p; left > 0; left /= 6) {
            if (left % 6 > 0)
                pattern[pattern_bytes++] = signs[left % 6 - 1];
        }
        pattern[pattern_bytes] = '\0';
        for (unsigned t = 0; t < 4u * 4 * 4 * 4; t++) {
            size_t text_bytes = 0;

            for (unsigned left = t; left > 0; left /= 4) {
                if (left % 4 > 0)
                    text[text_bytes++] = "ab*"[left % 4 - 1];
            }
            text[text_bytes] = '\0';
            if (match_pattern(pattern, text) != fits(pattern, text))
                fail_msg("'%s' on '%s'", pattern, text);
            matched += fits(pattern, text);
        }
    }
    CHECK(matched > 10000);
}

/* A naive walk of this takes longer than the universe has lasted. */
TEST(patterns_take_no_exponential_time)
{
    char pattern[NSP_LITERAL_TEXT_MAX + 1], text[NSP_LITERAL_TEXT_MAX + 1];

    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (size_t i = 0; i + 1 < sizeof pattern; i += 2)
        memcpy(pattern + i, "*a", 2);
    pattern[sizeof pattern - 2] = 'b';
    pattern[sizeof pattern - 1] = '\0';
    CHECK(!match_pattern(pattern, text));
}

/* --- Text ----------------------------------------------------------------- */

static const struct {
    const char *filter, *print;
} prints[] = {
    { "ifName = \"eth0\"", "ifName == \"eth0\"" },
    { "not ifName = \"eth0\"", "ifName != \"eth0\"" },
    { "ifName not contains \"e\\x41\\\"\\\\\\x01\"",
      "ifName not contains \"eA\\\"\\\\\\x01\"" },
    { "not ifName matches \"*\"", "ifName not matches \"*\"" },
    { "ifName in {\"a\", \"b\", \"a\"}", "ifName == \"a\" or ifName == \"b\"" },
    { "ifName not in {\"a\", \"b\"}", "ifName != \"a\" and ifName != \"b\"" },
    { "ifName == \"a\" and ifName != \"a\"", "false" },
    { "ifName == \"a\" and ifName contains \"a\"",
      "ifName == \"a\" and ifName contains \"a\"" },
    { "ifName == \"a\" or ifName != \"a\"",
      "(ifName != \"a\" or ifName == \"a\")" },
    { "ifName == \"\"", "ifName == \"\"" },
};

/* Names need not be known for this. */
TEST(filter_prints_strings)
{
    for (size_t i = 0; i < NSP_ARRAY_LEN(prints); i++) {
        char *text = NULL, *again = NULL;

        CHECK_EQ(nsp_filter_format(prints[i].filter, NSP_LAYER_NETWORK, NULL,
                                   NULL, &text, NULL),
                 NSP_OK);
        CHECK_STR_EQ(text, prints[i].print);
        CHECK_EQ(nsp_filter_format(text, NSP_LAYER_NETWORK, NULL, NULL, &again,
                                   NULL),
                 NSP_OK);
        CHECK_STR_EQ(again, text);
        free(text);
        free(again);
    }
}

/* 'text' and 'hint' need only occur in what is said. */
static const struct {
    const char *filter, *category;
    uint32_t offset;
    const char *text, *hint;
} refusals[] = {
    { "ifName", "type-mismatch", 6, "ifName is text", "== \"eth0\"" },
    { "ifName == 5", "type-mismatch", 10, "ifName is text", "" },
    { "ifName == @web", "unknown-set", 10, "'@web'", "" },
    { "ifName == tcp", "type-mismatch", 10, "ifName is text", "" },
    { "ifName & 5 == 5", "type-mismatch", 7, "ifName is text", "" },
    { "ifName < \"a\"", "parse-error", 7, "text has no order", "contains" },
    { "ifName in \"a\"", "type-mismatch", 10, "ifName is text", "" },
    { "ifName in { \"lo\", 5 }", "type-mismatch", 18, "ifName is text", "" },
    { "ifName in { \"lo\" \"lo\" }", "parse-error", 17, "',' or '}'", "" },
    { "ifName not == \"a\"", "parse-error", 11, "'=='", "" },
    { "tcp.DstPort == \"80\"", "type-mismatch", 15, "tcp.DstPort is no text",
      "without quotes" },
    { "tcp.DstPort in { 80, \"80\" }", "type-mismatch", 21,
      "tcp.DstPort is no text", "" },
    { "tcp.DstPort contains \"8\"", "type-mismatch", 12,
      "tcp.DstPort is no text", "" },
    { "tcp not matches \"8\"", "type-mismatch", 8, "tcp is no text", "" },
    { "tcp \"8\"", "type-mismatch", 4, "tcp is no text", "" },
    { "tcp == ifName", "parse-error", 7, "'ifName'", "one type" },
    { "ifName == \"eth", "bad-token", 10, "without its closing", "" },
    { "ifName == \"e\\q\"", "bad-token", 12, "cannot stand", "\\x41" },
    { "ifName == \"e\\x0\"", "bad-token", 12, "cannot stand", "" },
    { "ifName == \"e\\x00\"", "bad-token", 12, "cannot stand", "" },
    { "ifName == \"\xc3\xa9\"", "bad-token", 11, "cannot stand", "" },
    { "ifName == \"a\n\"", "bad-token", 12, "cannot stand", "" },
    { "ifName == \"\\", "bad-token", 11, "cannot stand", "" },
    { "ifName == 'eth0'", "bad-token", 11, "stray", "double quotes" },
    { "ifName == \"eht0\"", "unknown-interface", 10, "no such interface",
      "did you mean eth0?" },
    { "ifName == \"zzzzzz\"", "unknown-interface", 10, "no such interface",
      "there are lo, eth0, eth1, wlan*0" },
    { "tcp and process.Name == \"curl\"", "not-available", 8, "process.Name",
      "" },
    { "server.Name == 5", "type-mismatch", 15, "server.Name is text", "" },
    { "ifNam == \"lo\"", "bad-token", 0, "ifNam", "ifName?" },
    { "ifName contain \"lo\"", "bad-token", 7, "contain", "contains?" },
};

static void
check_refusal(const char *text, const struct nsp_filter_options *with,
              const char *category, uint32_t offset, const char *says,
              const char *hint)
{
    struct nsp_filter *filter = NULL;
    struct nsp_diag diag = { .result = NSP_OK };
    int r = nsp_filter_compile_with(text, NSP_LAYER_NETWORK, with, NULL,
                                    &filter, &diag);

    if (r != NSP_INVALID_FILTER || diag.offset != offset ||
        strcmp(diag.category, category) != 0 || !strstr(diag.text, says) ||
        !strstr(diag.hint, hint))
        fail_msg("%s: %s at %u: %s (%s)", text, diag.category, diag.offset,
                 diag.text, diag.hint);
}

TEST(filter_refuses_text_misused)
{
    struct nsp_filter_options strict = options;
    char text[400];

    for (size_t i = 0; i < NSP_ARRAY_LEN(refusals); i++)
        check_refusal(refusals[i].filter, &options, refusals[i].category,
                      refusals[i].offset, refusals[i].text, refusals[i].hint);
    snprintf(text, sizeof text, "ifName == \"%0256d\"", 0);
    check_refusal(text, &options, "too-long", 10, "more than 255", "");
    strict.strict = true;
    check_refusal("tcp == \"a\"", &strict, "bad-token", 8, "stray",
                  "strict mode has no strings");
    check_refusal("udp or ifName == \"lo\"", NULL, "not-available", 7, "ifName",
                  "ifIdx");
    check_refusal("udp or ifName matches \"*\"", NULL, "not-available", 7,
                  "ifName", "ifIdx");
}

TEST(filter_with_text_survives_any_failed_allocation)
{
    unsigned failures = 0;
    int r;

    do {
        struct failing_alloc counts = { .fail_at = failures };
        const struct nsp_allocator allocator = failing_allocator(&counts);
        struct nsp_filter *filter = NULL;
        struct nsp_diag diag;

        r = nsp_filter_compile_with(
            "ifName contains \"eth\" and ifName != \"lo\"", NSP_LAYER_NETWORK,
            &options, &allocator, &filter, &diag);
        failures += r != NSP_OK;
        CHECK(r == NSP_OK || r == NSP_NO_MEMORY);
        nsp_filter_destroy(filter);
        CHECK_EQ(atomic_load(&counts.live), 0);
    } while (r != NSP_OK);
    CHECK(failures >= 5);
}

TEST_MAIN(cmocka_unit_test(filter_knows_interfaces_by_name),
          cmocka_unit_test(patterns_match_as_defined),
          cmocka_unit_test(patterns_take_no_exponential_time),
          cmocka_unit_test(filter_prints_strings),
          cmocka_unit_test(filter_refuses_text_misused),
          cmocka_unit_test(filter_with_text_survives_any_failed_allocation))
