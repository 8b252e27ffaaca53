#include "filter/set_file.h"
#include "tests/lib/failing_alloc.h"
#include "tests/lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads a copy that ends where its block ends, so that a sanitizer sees a byte
 * too many. */
static int
read_text(const char *text, size_t bytes, struct nsp_named_set **ret,
          struct nsp_diag *diag)
{
    char *copy = malloc(bytes > 0 ? bytes : 1);
    int result;

    CHECK(copy != NULL);
    memcpy(copy, text, bytes);
    result = nsp_set_file_read(copy, bytes, NULL, ret, diag);
    free(copy);
    return result;
}

static struct nsp_named_set *
read_good(const char *text)
{
    struct nsp_named_set *set = NULL;
    struct nsp_diag diag;

    if (read_text(text, strlen(text), &set, &diag) != NSP_OK)
        fail_msg("%s\n%u:%u: %s", text, diag.line, diag.column, diag.text);
    return set;
}

TEST(set_file_reads_every_form_of_address)
{
    static const struct {
        const char *text;
        uint32_t in, last_in, out;
    } rows[] = {
        { "10.0.0.1", 0x0a000001, 0x0a000001, 0x0a000002 },
        { "10.0.0.0/8", 0x0a000000, 0x0affffff, 0x0b000000 },
        { "10.0.0.1/32\n", 0x0a000001, 0x0a000001, 0x0a000000 },
        { "10.0.0.4-10.0.1.9", 0x0a000004, 0x0a000109, 0x0a000003 },
        { "10.0.0.4..10.0.1.9", 0x0a000004, 0x0a000109, 0x0a00010a },
        { "10.0.0.4 - 10.0.1.9", 0x0a000004, 0x0a000109, 0x0a00010a },
        { " \t10.0.0.1\t # office", 0x0a000001, 0x0a000001, 0 },
        { "10.0.0.1#office", 0x0a000001, 0x0a000001, 0 },
        { "# first\n\n  # second\n10.0.0.1\n", 0x0a000001, 0x0a000001, 0 },
        { "10.0.0.1\r\n10.0.0.2\r\n\r\n", 0x0a000001, 0x0a000002, 0x0a000003 },
        { "10.0.0.1\r", 0x0a000001, 0x0a000001, 0x0a000000 },
        { "\xef\xbb\xbf"
          "10.0.0.1",
          0x0a000001, 0x0a000001, 0 },
        { "10.0.0.0/9\n10.128.0.0/9\n", 0x0a000000, 0x0affffff, 0x0b000000 },
        { "2001:db8::/32\n10.0.0.1", 0x0a000001, 0x0a000001, 0 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        struct nsp_named_set *set = read_good(rows[i].text);

        CHECK_EQ(set->kind, NSP_SET_ADDRESSES);
        CHECK(nsp_prefix_set_has_ipv4(set->addresses, rows[i].in));
        CHECK(nsp_prefix_set_has_ipv4(set->addresses, rows[i].last_in));
        CHECK(!nsp_prefix_set_has_ipv4(set->addresses, rows[i].out));
        nsp_named_set_destroy(set);
    }
}

TEST(set_file_reads_ipv6_apart_from_ipv4)
{
    static const uint8_t in[] = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0,
                                  0,    0, 0,   0,    0, 0, 0, 0x42 };
    static const uint8_t out[] = { 0x20, 1, 0xd, 0xb9, 0, 0, 0, 0,
                                   0,    0, 0,   0,    0, 0, 0, 0x42 };
    static const uint8_t mapped[] = { 0, 0, 0,    0,    0,  0, 0, 0,
                                      0, 0, 0xff, 0xff, 10, 0, 0, 1 };
    static const char *const texts[] = {
        "2001:db8::42",
        "2001:DB8::/32",
        "2001:db8::-2001:db8::ffff",
        "2001:db8::41..2001:db8::42",
        "2001:db8:0:0:0:0:0:42/128",
    };
    struct nsp_named_set *set;

    for (size_t i = 0; i < NSP_ARRAY_LEN(texts); i++) {
        set = read_good(texts[i]);
        CHECK(nsp_prefix_set_has_ipv6(set->addresses, in));
        CHECK(!nsp_prefix_set_has_ipv6(set->addresses, out));
        nsp_named_set_destroy(set);
    }
    set = read_good("::ffff:10.0.0.1");
    CHECK(nsp_prefix_set_has_ipv6(set->addresses, mapped));
    CHECK(!nsp_prefix_set_has_ipv4(set->addresses, 0x0a000001));
    nsp_named_set_destroy(set);
    set = read_good("10.0.0.1");
    CHECK(!nsp_prefix_set_has_ipv6(set->addresses, mapped));
    nsp_named_set_destroy(set);
}

TEST(set_file_reads_ports)
{
    struct nsp_named_set *set =
        read_good("80\n443 # web\n8000-8002\n9000..9001\n10 - 11\n0\n65535\n");
    static const uint16_t in[] = { 0,    10,   11,   80,   443,  8000,
                                   8001, 8002, 9000, 9001, 65535 };
    uint32_t members = 0;

    CHECK_EQ(set->kind, NSP_SET_PORTS);
    CHECK(set->addresses == NULL);
    for (size_t i = 0; i < NSP_ARRAY_LEN(in); i++)
        CHECK(nsp_named_set_has_port(set, in[i]));
    for (uint32_t port = 0; port <= UINT16_MAX; port++)
        members += nsp_named_set_has_port(set, (uint16_t)port);
    CHECK_EQ(members, NSP_ARRAY_LEN(in));
    nsp_named_set_destroy(set);
}

TEST(set_file_without_entries_is_empty)
{
    static const char *const texts[] = { "", "\n", "# nothing", " \r\n#\n\n" };

    for (size_t i = 0; i < NSP_ARRAY_LEN(texts); i++) {
        struct nsp_named_set *set = read_good(texts[i]);

        CHECK_EQ(set->kind, NSP_SET_EMPTY);
        CHECK(!nsp_prefix_set_has_ipv4(set->addresses, 0));
        CHECK(!nsp_named_set_has_port(set, 0));
        nsp_named_set_destroy(set);
    }
}

static const struct {
    const char *text;
    uint32_t line, column, offset;
    const char *message;
} bad_rows[] = {
    { "office", 1, 1, 0, "expected an address or a port, not 'office'" },
    { "80\n\n  x", 3, 3, 6, "expected an address or a port, not 'x'" },
    { "10.0.0", 1, 1, 0, "expected an address or a port, not '10.0.0'" },
    { "10.0.0.256", 1, 1, 0,
      "expected an address or a port, not '10.0.0.256'" },
    { "1.2.3.4.5", 1, 1, 0, "expected an address or a port, not '1.2.3.4.5'" },
    { "fe80::1%eth0", 1, 1, 0,
      "expected an address or a port, not 'fe80::1%eth0'" },
    { "1::2::3", 1, 1, 0, "expected an address or a port, not '1::2::3'" },
    { "@net", 1, 1, 0, "expected an address or a port" },
    { "-1", 1, 1, 0, "expected an address or a port" },
    { "0x50", 1, 1, 0, "expected an address or a port, not '0x50'" },
    { "65536", 1, 1, 0, "expected a port of 0 to 65535, not '65536'" },
    { "10.0.0.0/33", 1, 10, 9,
      "expected a prefix length of 0 to 32, not '33'" },
    { "10.0.0.0/", 1, 10, 9, "expected a prefix length of 0 to 32" },
    { "10.0.0.0/ 8", 1, 10, 9, "expected a prefix length of 0 to 32" },
    { "10.0.0.0/255.0.0.0", 1, 10, 9,
      "expected a prefix length of 0 to 32, not '255.0.0.0'" },
    { "::/129", 1, 4, 3, "expected a prefix length of 0 to 128, not '129'" },
    { "10.0.0.0 /8", 1, 10, 9, "expected the end of the line or a comment" },
    { "\n10.0.0.1/8", 2, 1, 1,
      "the address has bits beyond the prefix length" },
    { "2001:db8::1/64", 1, 1, 0,
      "the address has bits beyond the prefix length" },
    { "80/8", 1, 3, 2, "a port has no prefix" },
    { "90-80", 1, 1, 0, "the range ends before it begins" },
    { "10.0.0.2-10.0.0.1", 1, 1, 0, "the range ends before it begins" },
    { "80-", 1, 4, 3, "expected the end of the range" },
    { "80-\n90", 1, 4, 3, "expected the end of the range" },
    { "80...90", 1, 5, 4, "expected the end of the range, not '.90'" },
    { "80-x", 1, 4, 3, "expected the end of the range, not 'x'" },
    { "80-10.0.0.1", 1, 4, 3, "a range from a port to an IPv4 address" },
    { "10.0.0.1-::2", 1, 10, 9,
      "a range from an IPv4 address to an IPv6 address" },
    { "10.0.0.0/8-11.0.0.0/8", 1, 11, 10,
      "expected the end of the line or a comment" },
    { "80 443", 1, 4, 3, "expected the end of the line or a comment" },
    { "80,443", 1, 3, 2, "expected the end of the line or a comment" },
    { "80\r443", 1, 3, 2, "expected the end of the line or a comment" },
    { "# c\n10.0.0.1\n::1\n443\n", 4, 1, 17,
      "a port in a set of addresses, which line 2 began" },
    { "443\n10.0.0.1/8", 2, 1, 4,
      "an IPv4 address in a set of ports, which line 1 began" },
    { "443\n  ::1", 2, 3, 6,
      "an IPv6 address in a set of ports, which line 1 began" },
    { "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 1, 1, 0,
      "expected an address or a port, not "
      "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...'" },
};

TEST(set_file_tells_place_and_what_was_expected)
{
    for (size_t i = 0; i < NSP_ARRAY_LEN(bad_rows); i++) {
        struct nsp_named_set *set = NULL;
        struct nsp_diag diag = { 0 };

        CHECK_EQ(
            read_text(bad_rows[i].text, strlen(bad_rows[i].text), &set, &diag),
            NSP_INVALID_FILTER);
        CHECK(set == NULL);
        CHECK_STR_EQ(diag.text, bad_rows[i].message);
        CHECK_STR_EQ(diag.category, NSP_BAD_SET);
        CHECK_EQ(diag.result, NSP_INVALID_FILTER);
        CHECK_EQ(diag.line, bad_rows[i].line);
        CHECK_EQ(diag.column, bad_rows[i].column);
        CHECK_EQ(diag.offset, bad_rows[i].offset);
        CHECK(diag.hint[0] != '\0');
        CHECK_EQ(
            read_text(bad_rows[i].text, strlen(bad_rows[i].text), &set, NULL),
            NSP_INVALID_FILTER);
    }
}

TEST(set_file_refuses_a_zero_byte)
{
    struct nsp_named_set *set = NULL;
    struct nsp_diag diag;

    CHECK_EQ(read_text("80\0\n", 4, &set, &diag), NSP_INVALID_FILTER);
    CHECK_EQ(diag.column, 3);
}

TEST(set_file_refuses_one_entry_more_than_its_limit)
{
    enum { BYTES = 2 };
    size_t entries = (size_t)NSP_PREFIX_SET_MAX + 1;
    char *text = malloc(entries * BYTES);
    struct nsp_named_set *set = NULL;
    struct nsp_diag diag;

    CHECK(text != NULL);
    for (size_t i = 0; i < entries; i++)
        memcpy(text + i * BYTES, "7\n", BYTES);
    CHECK_EQ(nsp_set_file_read(text, entries * BYTES, NULL, &set, &diag),
             NSP_INVALID_FILTER);
    CHECK_STR_EQ(diag.category, "too-long");
    CHECK_EQ(diag.line, entries);
    CHECK_STR_EQ(diag.text, "a set has at most 1048576 entries");
    CHECK_EQ(nsp_set_file_read(text, (entries - 1) * BYTES, NULL, &set, &diag),
             NSP_OK);
    nsp_named_set_destroy(set);
    free(text);
}

TEST(set_file_leaves_nothing_behind_when_any_allocation_fails)
{
    enum { LINES = 3000, LINE_BYTES = 24 };
    static char text[LINES * LINE_BYTES];
    size_t bytes = 0;
    bool done = false;

    for (unsigned i = 0; i < LINES; i++)
        bytes += (size_t)snprintf(text + bytes, LINE_BYTES,
                                  i % 2 ? "10.%u.%u.0/25\n" : "2001:%x:%x::1\n",
                                  i / 256, i % 256);
    for (unsigned fail_at = 0; !done; fail_at++) {
        struct failing_alloc failing = { .fail_at = fail_at };
        const struct nsp_allocator allocator = failing_allocator(&failing);
        struct nsp_named_set *set = NULL;
        struct nsp_diag diag = { 0 };
        int result = nsp_set_file_read(text, bytes, &allocator, &set, &diag);

        done = result == NSP_OK;
        CHECK(done == !failing.failed);
        CHECK(done || (result == NSP_NO_MEMORY && set == NULL &&
                       diag.result == NSP_NO_MEMORY));
        nsp_named_set_destroy(set);
        CHECK_EQ(failing.live, 0);
    }
}

TEST_MAIN(
    cmocka_unit_test(set_file_reads_every_form_of_address),
    cmocka_unit_test(set_file_reads_ipv6_apart_from_ipv4),
    cmocka_unit_test(set_file_reads_ports),
    cmocka_unit_test(set_file_without_entries_is_empty),
    cmocka_unit_test(set_file_tells_place_and_what_was_expected),
    cmocka_unit_test(set_file_refuses_a_zero_byte),
    cmocka_unit_test(set_file_refuses_one_entry_more_than_its_limit),
    cmocka_unit_test(set_file_leaves_nothing_behind_when_any_allocation_fails))
