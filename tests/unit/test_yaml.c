/* The tree of a YAML text, and the way back from a scalar to its place. */
#include "config/yaml.h"

#include <string.h>

#include "tests/lib/test.h"

struct read {
    struct nsp_text_source source;
    struct nsp_store store;
    struct nsp_complaints complaints;
    const struct nsp_yaml_node *root;
    int result;
};

static void
read_text(struct read *read, const char *text)
{
    *read = (struct read){ .source = { "t.yaml", text, strlen(text) } };
    read->result = nsp_yaml_read(&read->source, &read->store, &read->complaints,
                                 &read->root);
    CHECK((read->result == NSP_OK) == (read->complaints.errors == 0));
}

static void
release(struct read *read)
{
    nsp_store_fini(&read->store);
    nsp_complaints_fini(&read->complaints);
}

/* Every character of 'key's text that is not white is found in the file, except
 * those that were escaped. */
static void
check_places(const char *text, const char *value, const char *escaped)
{
    const struct nsp_yaml_node *node;
    struct read read;

    read_text(&read, text);
    CHECK_EQ(read.result, NSP_OK);
    node = nsp_yaml_find(read.root, "k");
    CHECK(node != NULL);
    CHECK_STR_EQ(node->text, value);
    for (size_t i = 0; value[i]; i++) {
        size_t place = nsp_yaml_locate(&read.source, node, i);

        CHECK(place >= node->offset && place < node->end);
        if (value[i] > ' ' && !strchr(escaped, value[i]) &&
            text[place] != value[i])
            fail_msg("'%c' of %s is at '%s'", value[i], value, text + place);
    }
    CHECK(nsp_yaml_locate(&read.source, node, strlen(value)) <= node->end);
    release(&read);
}

TEST(characters_are_found_however_they_are_written)
{
    check_places("k: tcp and udp\n", "tcp and udp", "");
    check_places("k: tcp\n  and\n\n  udp # no\n", "tcp and\nudp", "");
    check_places("k: 'it''s one'\n", "it's one", "");
    check_places("k: \"a\\tb \\\"c\\\" \\x64\\u00e9f\\\n  g\"\n",
                 "a\tb \"c\" d\xc3\xa9"
                 "fg",
                 "\"d\xc3\xa9");
    check_places("a: 1\nk: |\n    one\n      two\n    # three\n",
                 "one\n  two\n# three\n", "");
    check_places("k: >-\n  one\n  two\n\n  three\nz: 1\n", "one two\nthree",
                 "");
}

TEST(aliases_are_their_anchors_once_more)
{
    struct read read;

    read_text(&read, "a: &x { b: [ 1, 2 ] }\nk: *x\n");
    CHECK_EQ(read.result, NSP_OK);
    CHECK_EQ(nsp_yaml_find(nsp_yaml_find(read.root, "k"), "b")->count, 2);
    CHECK_EQ(read.root->nodes, 13);
    CHECK_EQ(read.root->depth, 3);
    release(&read);
}

TEST(what_is_no_policy_is_refused_with_its_place)
{
    static const struct {
        const char *text;
        uint32_t line, column;
    } rows[] = {
        { "a: *x\n", 1, 4 },
        { "a: &x [ *x ]\n", 1, 9 },
        { "a: 1\nb: 2\na: 3\n", 3, 1 },
        { "a: !int 3\n", 1, 9 },
        { "? [a]\n: b\n", 1, 3 },
        { "a: 1\n---\nb: 1\n", 2, 1 },
        { "a: \"\\0\"\n", 1, 5 },
        { "a: \xff\n", 1, 4 },
        { "[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]\n", 1, 17 },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct read read;

        read_text(&read, rows[i].text);
        CHECK_EQ(read.result, NSP_INVALID_PARAMETER);
        CHECK_EQ(read.complaints.list[0].diag.line, rows[i].line);
        CHECK_EQ(read.complaints.list[0].diag.column, rows[i].column);
        release(&read);
    }
}

TEST(an_empty_text_is_nothing)
{
    struct read read;

    read_text(&read, "# nothing\n");
    CHECK_EQ(read.result, NSP_OK);
    CHECK(read.root->is_null);
    release(&read);
}

TEST_MAIN(cmocka_unit_test(characters_are_found_however_they_are_written),
          cmocka_unit_test(aliases_are_their_anchors_once_more),
          cmocka_unit_test(what_is_no_policy_is_refused_with_its_place),
          cmocka_unit_test(an_empty_text_is_nothing))
