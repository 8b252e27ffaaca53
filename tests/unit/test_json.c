#include "cli/json.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Each test writes to a stream in memory and compares the text. */
struct written {
    struct nsp_json json;
    FILE *stream;
    char *text;
    size_t bytes;
};

static void
begin(struct written *w)
{
    w->text = NULL;
    w->stream = open_memstream(&w->text, &w->bytes);
    CHECK(w->stream != NULL);
    nsp_json_init(&w->json, w->stream);
}

static void
expect(struct written *w, int result, const char *text)
{
    CHECK_EQ(nsp_json_finish(&w->json), result);
    fclose(w->stream);
    CHECK_STR_EQ(w->text, text);
    free(w->text);
}

TEST(json_nests_and_separates)
{
    struct written w;

    begin(&w);
    nsp_json_begin_object(&w.json, NULL);
    nsp_json_uint(&w.json, "a", UINT64_MAX);
    nsp_json_begin_array(&w.json, "b");
    nsp_json_int(&w.json, NULL, INT64_MIN);
    nsp_json_begin_object(&w.json, NULL);
    nsp_json_end(&w.json);
    nsp_json_bool(&w.json, NULL, true);
    nsp_json_end(&w.json);
    nsp_json_null(&w.json, "c");
    nsp_json_string(&w.json, "d", NULL);
    nsp_json_end(&w.json);
    expect(&w, 0,
           "{\"a\":18446744073709551615,\"b\":[-9223372036854775808,{},true],"
           "\"c\":null,\"d\":null}\n");
}

TEST(json_escapes_strings_and_replaces_what_is_not_utf8)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        { "", "" },
        { "plain", "plain" },
        { "\"\\/", "\\\"\\\\/" },
        { "\b\t\n\v\f\r\x01\x1f\x7f",
          "\\b\\t\\n\\u000b\\f\\r\\u0001\\u001f\\u007f" },
        { "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
          "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" },
        { "\xff", "\xef\xbf\xbd" },
        { "a\xc3", "a\xef\xbf\xbd" },               /* Cut short. */
        { "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd" }, /* Overlong. */
        { "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
        { "\xf4\x90\x80\x80",
          "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[128];
        struct written w;

        begin(&w);
        nsp_json_string(&w.json, NULL, rows[i].in);
        snprintf(text, sizeof text, "\"%s\"\n", rows[i].out);
        expect(&w, 0, text);
    }
}

TEST(json_escapes_names_too)
{
    struct written w;

    begin(&w);
    nsp_json_begin_object(&w.json, NULL);
    nsp_json_bool(&w.json, "a\"b\n", false);
    expect(&w, 0, "{\"a\\\"b\\n\":false}\n");
}

TEST(json_numbers_are_finite_and_read_back)
{
    static const struct {
        double in;
        const char *out;
    } rows[] = {
        { 0.0, "0\n" },
        { 0.1, "0.1\n" },
        { 1.0 / 3.0, "0.33333333333333331\n" },
        { -2.5e300, "-2.5e+300\n" },
        { DBL_MAX, "1.7976931348623157e+308\n" },
        { (double)INFINITY, "null\n" },
        { -(double)INFINITY, "null\n" },
        { (double)NAN, "null\n" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct written w;

        begin(&w);
        nsp_json_double(&w.json, NULL, rows[i].in);
        expect(&w, 0, rows[i].out);
    }
}

TEST(json_stays_valid_when_misused)
{
    struct written w;

    begin(&w); /* Nothing at all. */
    expect(&w, -EINVAL, "null\n");

    begin(&w); /* A second document. */
    nsp_json_uint(&w.json, NULL, 1);
    nsp_json_uint(&w.json, NULL, 2);
    expect(&w, -EINVAL, "1\n");

    begin(&w); /* No name in an object; nothing follows. */
    nsp_json_begin_object(&w.json, NULL);
    nsp_json_uint(&w.json, NULL, 1);
    nsp_json_uint(&w.json, "b", 2);
    expect(&w, -EINVAL, "{}\n");

    begin(&w); /* A name in an array. */
    nsp_json_begin_array(&w.json, NULL);
    nsp_json_uint(&w.json, NULL, 1);
    nsp_json_begin_object(&w.json, "b");
    nsp_json_end(&w.json);
    expect(&w, -EINVAL, "[1]\n");

    begin(&w); /* One end too many. */
    nsp_json_begin_array(&w.json, NULL);
    nsp_json_end(&w.json);
    nsp_json_end(&w.json);
    expect(&w, -EINVAL, "[]\n");
}

TEST(json_closes_what_is_open_and_bounds_the_depth)
{
    struct written w;

    begin(&w);
    nsp_json_begin_object(&w.json, NULL);
    nsp_json_begin_array(&w.json, "a");
    nsp_json_uint(&w.json, NULL, 1);
    expect(&w, 0, "{\"a\":[1]}\n");

    begin(&w);
    for (int i = 0; i < NSP_JSON_DEPTH_MAX + 3; i++)
        nsp_json_begin_array(&w.json, NULL);
    expect(&w, -EINVAL, "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]\n");
}

TEST_MAIN(cmocka_unit_test(json_nests_and_separates),
          cmocka_unit_test(json_escapes_strings_and_replaces_what_is_not_utf8),
          cmocka_unit_test(json_escapes_names_too),
          cmocka_unit_test(json_numbers_are_finite_and_read_back),
          cmocka_unit_test(json_stays_valid_when_misused),
          cmocka_unit_test(json_closes_what_is_open_and_bounds_the_depth))
