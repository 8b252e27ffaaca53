#include "cli/diag_print.h"
#include "cli/utf8.h"
#include "tests/lib/test.h"

#include <stdlib.h>
#include <string.h>

static char *
print(const struct nsp_diag *diag, const char *name, const char *source,
      bool color)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *stream = open_memstream(&text, &bytes);

    CHECK(stream != NULL);
    nsp_diag_print(stream, diag, name, source, color);
    fclose(stream);
    return text;
}

static void
expect(const struct nsp_diag *diag, const char *name, const char *source,
       const char *expected)
{
    char *text = print(diag, name, source, false);

    CHECK_STR_EQ(text, expected);
    free(text);
}

static struct nsp_diag
diag_at(uint32_t offset, uint32_t line, uint32_t column)
{
    return (struct nsp_diag){
        .result = NSP_INVALID_FILTER,
        .offset = offset,
        .line = line,
        .column = column,
        .category = "bad-token",
        .text = "unexpected",
    };
}

TEST(diag_shows_place_line_caret_and_hint)
{
    struct nsp_diag diag = diag_at(4, 1, 5);

    strcpy(diag.hint, "write tcp");
    expect(&diag, "filter", "not tpc",
           "nsp: error: filter:1:5: bad-token: unexpected\n"
           "  not tpc\n"
           "      ^\n"
           "hint: write tcp\n");
}

TEST(diag_without_a_source_is_one_line)
{
    struct nsp_diag diag = diag_at(0, 0, 0);

    expect(&diag, NULL, NULL, "nsp: error: unexpected\n");
    diag.text[0] = '\0';
    expect(&diag, NULL, NULL, "nsp: error: the filter does not compile\n");
}

TEST(diag_picks_the_line_and_points_past_its_end)
{
    struct nsp_diag diag = diag_at(7, 2, 4);

    expect(&diag, "f", "tcp\nudp\nicmp",
           "nsp: error: f:2:4: bad-token: unexpected\n  udp\n     ^\n");
    diag = diag_at(0, 1, 1);
    expect(&diag, "f", "",
           "nsp: error: f:1:1: bad-token: unexpected\n  \n  ^\n");
    /* An offset beyond the text is the text's end. */
    diag = diag_at(99, 1, 100);
    expect(&diag, "f", "tcp",
           "nsp: error: f:1:100: bad-token: unexpected\n  tcp\n     ^\n");
}

TEST(diag_makes_control_characters_visible)
{
    struct nsp_diag diag = diag_at(13, 1, 14);

    strcpy(diag.text, "token '\033[2J\r\n'");
    expect(&diag, "f", "\033]0;x\a\t\x7f\xff\xc2\x9b\xe2\x80!",
           "nsp: error: f:1:14: bad-token: token '\\x1b[2J\\r\\n'\n"
           "  \\x1b]0;x\\x07\\t\\x7f\\xff\\u{9b}\\xe2\\x80!\n"
           "                                      ^\n");
}

TEST(diag_shows_bidirectional_overrides)
{
    struct nsp_diag diag = diag_at(5, 1, 6);

    expect(&diag, "f", "a\xe2\x80\xae!b",
           "nsp: error: f:1:6: bad-token: unexpected\n"
           "  a\\u{202e}!b\n"
           "            ^\n");
}

TEST(diag_counts_columns_of_wide_and_combining_characters)
{
    struct nsp_diag diag = diag_at(8, 1, 9);

    /* One wide character, an a with a combining dot: three columns. */
    expect(&diag, "f", "\xe4\xb8\xad\x61\xcc\x87xy!",
           "nsp: error: f:1:9: bad-token: unexpected\n"
           "  \xe4\xb8\xad\x61\xcc\x87xy!\n"
           "       ^\n");
}

/* Wherever the caret stands in a long line, it points at its character, and no
 * line is longer than a terminal is wide. */
TEST(diag_windows_long_lines_around_the_caret)
{
    char source[4001];

    for (size_t i = 0; i < sizeof source - 1; i++)
        source[i] = (char)('a' + i % 26);
    source[sizeof source - 1] = '\0';
    for (uint32_t at = 0; at < sizeof source; at += 7) {
        struct nsp_diag diag = diag_at(at, 1, at + 1);
        char *text = print(&diag, "f", source, false);
        char *line = strchr(text, '\n') + 1;
        char *caret_line = strchr(line, '\n') + 1;
        size_t caret = strcspn(caret_line, "^");

        CHECK(strcspn(line, "\n") <= 80);
        CHECK(caret < 80);
        if (source[at])
            CHECK_EQ(line[caret], source[at]);
        free(text);
    }
}

TEST(diag_survives_any_bytes)
{
    unsigned seed = 1;

    for (int round = 0; round < 5000; round++) {
        char source[120];
        size_t length = (size_t)round % sizeof source;
        struct nsp_diag diag = diag_at((uint32_t)(round * 7 % 130), 1, 1);
        char *text;

        for (size_t i = 0; i < length; i++) {
            seed = seed * 1103515245u + 12345u;
            source[i] = (char)((seed >> 16) % 255 + 1);
        }
        source[length < sizeof source ? length : length - 1] = '\0';
        text = print(&diag, "f", source, false);
        for (char *at = text; *at; at++)
            CHECK(*at == '\n' || (unsigned char)*at >= 0x20);
        free(text);
    }
}

TEST(diag_colours_only_when_asked)
{
    struct nsp_diag diag = diag_at(0, 1, 1);
    char *plain = print(&diag, "f", "x", false);
    char *colored = print(&diag, "f", "x", true);

    CHECK(strchr(plain, '\033') == NULL);
    CHECK(strstr(colored, "\033[1;31merror:\033[0m") != NULL);
    free(plain);
    free(colored);
}

TEST(utf8_decodes_shortest_forms_only)
{
    uint32_t c = 7;

    CHECK_EQ(nsp_utf8_decode("", 0, &c), 0);
    CHECK_EQ(nsp_utf8_decode("\xc3\xa4", 1, &c), 0);
    CHECK_EQ(nsp_utf8_decode("\xc1\x81", 2, &c), 0);
    CHECK_EQ(nsp_utf8_decode("\xe0\x80\x80", 3, &c), 0);
    CHECK_EQ(nsp_utf8_decode("\xf0\x80\x80\x80", 4, &c), 0);
    CHECK_EQ(nsp_utf8_decode("\x80", 1, &c), 0);
    CHECK_EQ(nsp_utf8_decode("\xf5\x80\x80\x80", 4, &c), 0);
    CHECK_EQ(c, 7);
    CHECK_EQ(nsp_utf8_decode("\xf4\x8f\xbf\xbf", 4, &c), 4);
    CHECK_EQ(c, 0x10ffff);
}

TEST_MAIN(
    cmocka_unit_test(diag_shows_place_line_caret_and_hint),
    cmocka_unit_test(diag_without_a_source_is_one_line),
    cmocka_unit_test(diag_picks_the_line_and_points_past_its_end),
    cmocka_unit_test(diag_makes_control_characters_visible),
    cmocka_unit_test(diag_shows_bidirectional_overrides),
    cmocka_unit_test(diag_counts_columns_of_wide_and_combining_characters),
    cmocka_unit_test(diag_windows_long_lines_around_the_caret),
    cmocka_unit_test(diag_survives_any_bytes),
    cmocka_unit_test(diag_colours_only_when_asked),
    cmocka_unit_test(utf8_decodes_shortest_forms_only))
