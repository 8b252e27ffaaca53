#include "filter/set_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/diag.h"
#include "filter/literal.h"

#define EXPECTED_ENTRY                                                         \
    "one entry a line: an address, a prefix (10.0.0.0/8), a range "            \
    "(10.0.0.1-10.0.0.9), a port or a port range (8000-8100)"
#define QUOTED_MAX 40

enum family { PORT, IPV4, IPV6 };

/* One end of a range. */
struct item {
    enum family family;
    struct nsp_u128 value;
};

struct word {
    uint32_t start, end;
};

struct reader {
    struct nsp_source source;
    uint32_t at;
    uint32_t entries;
    struct word first; /* The first entry's first word: what the set is of. */
    struct nsp_prefix_builder builder;
    struct nsp_named_set *set;
};

static const char *
family_name(enum family family)
{
    static const char *const names[] = { "a port", "an IPv4 address",
                                         "an IPv6 address" };

    return names[family];
}

static int
fail(const struct reader *r, uint32_t at, const char *hint, const char *text)
{
    return nsp_source_fail(&r->source, at, at, NSP_BAD_SET, hint, "%s", text);
}

/* --- Words ---------------------------------------------------------------- */

static char
peek(const struct reader *r, uint32_t ahead)
{
    uint32_t left = r->source.bytes - r->at;

    return ahead < left ? r->source.text[r->at + ahead] : '\n';
}

static bool
at_line_end(const struct reader *r)
{
    return peek(r, 0) == '\n' || (peek(r, 0) == '\r' && peek(r, 1) == '\n');
}

static void
skip_blanks(struct reader *r)
{
    while (peek(r, 0) == ' ' || peek(r, 0) == '\t')
        r->at++;
}

/* Letters outside hexadecimal end in a word too, so that it can be quoted. */
static bool
is_word_char(char c)
{
    return (c >= '0' && c <= ':') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
           c == '.' || c == '_' || c == '%';
}

/* A word ends where a range begins: 80..90. */
static struct word
take_word(struct reader *r)
{
    const char *text = r->source.text;
    uint32_t at = r->at, end = r->source.bytes;
    struct word word = { at, at };

    while (at < end && is_word_char(text[at]) &&
           !(text[at] == '.' && at + 1 < end && text[at + 1] == '.'))
        at++;
    word.end = r->at = at;
    return word;
}

static bool
holds(const struct reader *r, struct word word, char c)
{
    return memchr(r->source.text + word.start, c, word.end - word.start) !=
           NULL;
}

static int
fail_word(const struct reader *r, struct word word, const char *what)
{
    char text[160];
    uint32_t bytes = word.end - word.start;

    if (bytes == 0)
        snprintf(text, sizeof text, "expected %s", what);
    else
        snprintf(text, sizeof text, "expected %s, not '%.*s%s'", what,
                 (int)nsp_min_u32(bytes, QUOTED_MAX),
                 r->source.text + word.start, bytes > QUOTED_MAX ? "..." : "");
    return fail(r, word.start, EXPECTED_ENTRY, text);
}

/* --- Entries -------------------------------------------------------------- */

static int
read_item(struct reader *r, const char *expected, struct word *ret_word,
          struct item *ret)
{
    struct word word = take_word(r);
    const char *text = r->source.text + word.start;
    uint32_t bytes = word.end - word.start;
    bool colon = holds(r, word, ':');

    *ret_word = word;
    if (!colon && !holds(r, word, '.')) {
        ret->family = PORT;
        if (!nsp_literal_parse_decimal(text, bytes, &ret->value))
            return fail_word(r, word, expected);
        if (nsp_u128_less(nsp_u128(65535), ret->value))
            return fail_word(r, word, "a port of 0 to 65535");
        return NSP_OK;
    }
    if (!nsp_literal_parse(text, bytes, &ret->value))
        return fail_word(r, word, expected);
    ret->family = colon ? IPV6 : IPV4;
    if (ret->family == IPV4)
        ret->value = nsp_u128(ret->value.lo & UINT32_MAX);
    return NSP_OK;
}

/* Reads what follows the slash and sets '*ret' to the last address. */
static int
read_prefix_end(struct reader *r, struct word addr, struct item item,
                struct nsp_u128 *ret)
{
    uint32_t width = item.family == IPV4 ? 32 : 128;
    struct nsp_u128 bits, open;
    struct word word = take_word(r);

    if (item.family == PORT)
        return fail(r, addr.end, EXPECTED_ENTRY, "a port has no prefix");
    if (!nsp_literal_parse_decimal(r->source.text + word.start,
                                   word.end - word.start, &bits) ||
        nsp_u128_less(nsp_u128(width), bits))
        return fail_word(r, word,
                         width == 32 ? "a prefix length of 0 to 32"
                                     : "a prefix length of 0 to 128");

    open = nsp_prefix_open_bits(128 - width + (uint32_t)bits.lo);
    if ((item.value.hi & open.hi) != 0 || (item.value.lo & open.lo) != 0)
        return fail(r, addr.start,
                    "write the network's first address, or leave out the "
                    "length for this one address",
                    "the address has bits beyond the prefix length");
    *ret = nsp_u128_add(item.value, open);
    return NSP_OK;
}

static int
read_range_end(struct reader *r, struct word first_word, struct item first,
               struct nsp_u128 *ret)
{
    struct word word;
    struct item last;
    int result;

    skip_blanks(r);
    result = read_item(r, "the end of the range", &word, &last);
    if (result != NSP_OK)
        return result;
    if (last.family != first.family) {
        char text[80];

        snprintf(text, sizeof text, "a range from %s to %s",
                 family_name(first.family), family_name(last.family));
        return fail(r, word.start, "both ends must be of one kind", text);
    }
    if (nsp_u128_less(last.value, first.value))
        return fail(r, first_word.start, "write the lower end first",
                    "the range ends before it begins");
    *ret = last.value;
    return NSP_OK;
}

static uint32_t
line_of(const struct reader *r, uint32_t at)
{
    uint32_t line = 1;

    for (uint32_t i = 0; i < at; i++)
        line += r->source.text[i] == '\n';
    return line;
}

/* Sees that a set is of one kind, which its first entry tells. */
static int
check_kind(struct reader *r, struct word word, enum family family)
{
    enum nsp_set_kind kind = family == PORT ? NSP_SET_PORTS : NSP_SET_ADDRESSES;
    char text[120];

    if (r->set->kind == NSP_SET_EMPTY) {
        r->set->kind = kind;
        r->first = word;
    }
    if (r->set->kind == kind)
        return NSP_OK;
    snprintf(text, sizeof text, "%s in a set of %s, which line %u began",
             family_name(family), kind == NSP_SET_PORTS ? "addresses" : "ports",
             (unsigned)line_of(r, r->first.start));
    return fail(r, word.start, "put ports and addresses in sets of their own",
                text);
}

static void
set_ports(struct nsp_named_set *set, uint32_t first, uint32_t last)
{
    for (uint32_t port = first; port <= last; port++)
        set->ports[port / 64] |= UINT64_C(1) << port % 64;
}

static int
add_entry(struct reader *r, struct word word, struct item first,
          struct nsp_u128 last)
{
    int error = 0;

    if (r->entries++ == NSP_PREFIX_SET_MAX)
        return nsp_source_fail(&r->source, word.start, word.start, NSP_TOO_LONG,
                               "split the set, or join its prefixes",
                               "a set has at most %u entries",
                               (unsigned)NSP_PREFIX_SET_MAX);
    if (first.family == PORT)
        set_ports(r->set, (uint32_t)first.value.lo, (uint32_t)last.lo);
    else if (first.family == IPV4)
        error = nsp_prefix_builder_add_ipv4(
            &r->builder, (uint32_t)first.value.lo, (uint32_t)last.lo);
    else
        error = nsp_prefix_builder_add_ipv6(&r->builder, first.value, last);
    /* Too many entries are refused above: what is left is memory. */
    return error == 0 ? NSP_OK : NSP_NO_MEMORY;
}

static int
read_entry(struct reader *r)
{
    struct word word;
    struct item first;
    struct nsp_u128 last;
    uint32_t after;
    int result = read_item(r, "an address or a port", &word, &first);

    if (result == NSP_OK)
        result = check_kind(r, word, first.family);
    if (result != NSP_OK)
        return result;

    last = first.value;
    after = r->at;
    skip_blanks(r);
    if (peek(r, 0) == '/' && r->at == after) {
        r->at++;
        result = read_prefix_end(r, word, first, &last);
    } else if (peek(r, 0) == '-') {
        r->at++;
        result = read_range_end(r, word, first, &last);
    } else if (peek(r, 0) == '.' && peek(r, 1) == '.') {
        r->at += 2;
        result = read_range_end(r, word, first, &last);
    }
    return result == NSP_OK ? add_entry(r, word, first, last) : result;
}

/* --- Lines ---------------------------------------------------------------- */

static void
skip_comment(struct reader *r)
{
    const char *here = r->source.text + r->at;
    const char *end = memchr(here, '\n', r->source.bytes - r->at);

    r->at = end ? r->at + (uint32_t)(end - here) : r->source.bytes;
}

static int
read_line(struct reader *r)
{
    int result;

    skip_blanks(r);
    if (!at_line_end(r) && peek(r, 0) != '#') {
        result = read_entry(r);
        if (result != NSP_OK)
            return result;
        skip_blanks(r);
    }
    if (peek(r, 0) == '#')
        skip_comment(r);
    if (!at_line_end(r))
        return fail(r, r->at, EXPECTED_ENTRY,
                    "expected the end of the line or a comment");
    if (peek(r, 0) == '\r')
        r->at++;
    r->at++;
    return NSP_OK;
}

/* Editors on Windows begin UTF-8 text with a byte order mark. */
static void
skip_byte_order_mark(struct reader *r)
{
    if (r->source.bytes >= 3 && memcmp(r->source.text, "\xef\xbb\xbf", 3) == 0)
        r->at = 3;
}

static int
read_lines(struct reader *r)
{
    int result = NSP_OK;

    skip_byte_order_mark(r);
    while (result == NSP_OK && r->at < r->source.bytes)
        result = read_line(r);
    if (result == NSP_OK && r->set->kind != NSP_SET_PORTS &&
        nsp_prefix_builder_finish(&r->builder, &r->set->addresses) < 0)
        result = NSP_NO_MEMORY;
    return result;
}

static int
fail_memory(struct nsp_diag *reterr)
{
    return nsp_diag_set(reterr, NSP_NO_MEMORY, NSP_OUT_OF_MEMORY, NULL,
                        "not enough memory for the set");
}

int
nsp_set_file_read(const char *text, size_t bytes,
                  const struct nsp_allocator *allocator,
                  struct nsp_named_set **ret, struct nsp_diag *reterr)
{
    struct nsp_allocator usable = nsp_allocator_or_libc(allocator);
    struct reader r = { .source = { text, (uint32_t)bytes, reterr } };
    int result;

    if (bytes > NSP_SET_TEXT_MAX)
        return nsp_diag_set(
            reterr, NSP_INVALID_FILTER, NSP_TOO_LONG, "split the set",
            "a set's text has at most %u bytes", (unsigned)NSP_SET_TEXT_MAX);
    r.set = nsp_alloc(&usable, 1, sizeof *r.set);
    if (!r.set)
        return fail_memory(reterr);

    r.set->allocator = usable;
    nsp_prefix_builder_init(&r.builder, &usable);
    result = read_lines(&r);
    nsp_prefix_builder_fini(&r.builder);
    if (result != NSP_OK) {
        nsp_named_set_destroy(r.set);
        return result == NSP_NO_MEMORY ? fail_memory(reterr) : result;
    }
    *ret = r.set;
    return NSP_OK;
}

struct nsp_named_set *
nsp_named_set_destroy(struct nsp_named_set *set)
{
    struct nsp_allocator allocator;

    if (!set)
        return NULL;
    allocator = set->allocator;
    nsp_prefix_set_destroy(set->addresses);
    nsp_release(&allocator, set);
    return NULL;
}
