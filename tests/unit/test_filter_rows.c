/* The rows of filter_rows.txt: what filters match, where they compile, and how
 * they are refused. Each row of the first kind is asked of every form that a
 * filter takes: evaluator, printed text, object, classic BPF. */
/* libpcap's header wants the BSD names of integers. */
#define _DEFAULT_SOURCE
#include <pcap.h>

#include "filter/fields.h"
#include "netshaper/bpf.h"
#include "tests/lib/filter.h"
#include "tests/lib/named_frames.h"

#define LINE_BYTES   512
#define FILTER_BYTES 300000

static const struct nsp_filter_options strict = { .strict = true };

static const struct nsp_filter_context context = {
    .random_seed = 7,
    .timestamp = -5000000000,
};

struct row {
    unsigned line;
    char answer[8], subject[32], where[12]; /* The three columns. */
    char filter[FILTER_BYTES];
};

/* --- Reading -------------------------------------------------------------- */

static unsigned
hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";

    return (unsigned)(strchr(digits, c) - digits);
}

/* Reads \N{TEXT} at 'from', behind the backslash, and returns its end. */
static const char *
repeat(const char *from, struct row *row, size_t *used)
{
    char *text;
    unsigned long count = strtoul(from, &text, 10);
    size_t bytes = strcspn(text, "}");

    CHECK(*text == '{' && text[bytes] == '}');
    while (count-- > 0) {
        assert_in_range(*used + bytes, 0, FILTER_BYTES - LINE_BYTES);
        memcpy(row->filter + *used, text + 1, bytes - 1);
        *used += bytes - 1;
    }
    return text + bytes + 1;
}

static void
read_filter(const char *from, struct row *row)
{
    size_t used = 0;

    while (*from != '\0') {
        if (*from != '\\') {
            row->filter[used++] = *from++;
            continue;
        }
        from++;
        if (*from >= '0' && *from <= '9') {
            from = repeat(from, row, &used);
        } else if (*from == 'x') {
            row->filter[used++] =
                (char)(hex_digit(from[1]) << 4 | hex_digit(from[2]));
            from += 3;
        } else {
            row->filter[used++] = *from == 't'   ? '\t'
                                  : *from == 'n' ? '\n'
                                                 : *from;
            from++;
        }
    }
    row->filter[used] = '\0';
}

/* Reads the next row; false at the end. */
static bool
next_row(FILE *file, struct row *row)
{
    char line[LINE_BYTES];
    int at = 0;

    do {
        if (!fgets(line, sizeof line, file))
            return false;
        row->line++;
        line[strcspn(line, "\n")] = '\0';
    } while (line[0] == '\0' || line[0] == '#');
    if (sscanf(line, "%7s %31s %11s %n", row->answer, row->subject, row->where,
               &at) != 3)
        fail_msg("line %u is no row", row->line);
    read_filter(at > 0 ? line + at : "", row);
    return true;
}

/* --- What matches --------------------------------------------------------- */

static void
expect(const struct row *row, const char *form, bool matched, bool right)
{
    if (!right)
        fail_msg("filter_rows.txt:%u: %s: %s", row->line, form,
                 matched ? "matches" : "does not match");
}

static bool
matches(const struct nsp_filter *filter, struct nsp_pkt *pkt)
{
    struct nsp_pkt *const burst[] = { pkt, pkt };
    bool matched = nsp_filter_match(filter, pkt, &context);

    CHECK_EQ(nsp_filter_match_burst(filter, burst, 2, &context),
             matched ? 3 : 0);
    return matched;
}

/* A function that turns a filter into text that compiles to the same. */
typedef int to_text(const char *text, enum nsp_layer layer,
                    const struct nsp_filter_options *options,
                    const struct nsp_allocator *allocator, char **ret,
                    struct nsp_diag *reterr);

static void
check_text(const struct row *row, struct nsp_pkt *pkt, bool answer,
           to_text *convert, const char *form)
{
    char *text = NULL;
    struct nsp_filter *filter;
    struct nsp_diag diag;
    bool matched;

    if (convert(row->filter, NSP_LAYER_NETWORK, NULL, NULL, &text, &diag) !=
        NSP_OK) {
        /* An object is not printed back, and has no room for additions. */
        CHECK(convert == nsp_filter_format
                  ? row->filter[0] == '@'
                  : strcmp(diag.category, "not-expressible") == 0);
        return;
    }
    filter = compile(text, NSP_LAYER_NETWORK);
    matched = matches(filter, pkt);
    expect(row, form, matched, matched == answer);
    nsp_filter_destroy(filter);
    free(text);
}

static void
check_cbpf(const struct row *row, const struct nsp_filter *filter,
           const struct nsp_pkt *pkt, bool answer)
{
    static struct nsp_cbpf_insn insns[NSP_CBPF_INSNS_MAX];
    struct nsp_site site = {
        .link = (enum nsp_link)pkt->link,
        .facts = NSP_SITE_DIRECTION | NSP_SITE_LOOPBACK | NSP_SITE_IFINDEX,
        .direction = (enum nsp_direction)pkt->direction,
        .loopback = (pkt->flags & NSP_PKT_LOOPBACK) != 0,
        .ifindex =
            pkt->direction == NSP_OUTBOUND ? pkt->out_ifindex : pkt->in_ifindex,
    };
    struct nsp_widened widened;
    uint32_t count;
    bool matched;

    /* Programs are for packets that are whole. */
    if (pkt->cap_bytes < pkt->wire_bytes)
        return;
    CHECK_EQ(nsp_filter_emit_cbpf(filter, &site, insns, NSP_CBPF_INSNS_MAX,
                                  &count, &widened),
             0);
    matched = bpf_filter((const struct bpf_insn *)insns, pkt->data,
                         pkt->wire_bytes, pkt->cap_bytes) != 0;
    expect(row, "cBPF", matched,
           matched == answer || (matched && !widened.exact));
}

static void
check_match(const struct row *row, bool answer)
{
    static const char *const ways[] = { [NSP_INBOUND] = "in",
                                        [NSP_OUTBOUND] = "out",
                                        [NSP_DIRECTION_NONE] = "none" };
    struct nsp_filter *filter = compile(row->filter, NSP_LAYER_NETWORK);
    struct named_frame frame;
    unsigned way = 0;
    bool matched;

    while (strcmp(ways[way], row->where) != 0)
        CHECK(++way < NSP_ARRAY_LEN(ways));
    if (!named_frame_init(&frame, row->subject, (enum nsp_direction)way))
        fail_msg("filter_rows.txt:%u: no packet is named '%s'", row->line,
                 row->subject);
    matched = matches(filter, &frame.pkt);
    expect(row, "evaluator", matched, matched == answer);
    check_text(row, &frame.pkt, answer, nsp_filter_format, "printed");
    check_text(row, &frame.pkt, answer, nsp_filter_object, "object");
    check_cbpf(row, filter, &frame.pkt, answer);
    nsp_filter_destroy(filter);
}

/* --- What compiles -------------------------------------------------------- */

static void
check_layers(const struct row *row)
{
    for (unsigned i = 0; i < NSP_LAYER_COUNT; i++) {
        struct nsp_filter *filter = NULL;
        bool compiles = nsp_filter_compile(row->filter, (enum nsp_layer)i, NULL,
                                           &filter, NULL) == NSP_OK;

        nsp_filter_destroy(filter);
        if (compiles != (strchr(row->where, "NMFSR"[i]) != NULL))
            fail_msg("filter_rows.txt:%u: %s %s", row->line,
                     compiles ? "compiles on" : "does not compile on",
                     nsp_layer_name((enum nsp_layer)i));
    }
}

static void
check_needs(const struct row *row)
{
    struct nsp_filter *filter = compile(row->filter, NSP_LAYER_NETWORK);
    struct nsp_filter_needs n;
    char letters[12];

    nsp_filter_get_needs(filter, &n);
    nsp_filter_destroy(filter);
    snprintf(letters, sizeof letters, "%s%s%s%s%s%s%s%s%s", n.never ? "N" : "",
             n.always ? "A" : "", n.inbound ? "i" : "", n.outbound ? "o" : "",
             n.ipv4 ? "4" : "", n.ipv6 ? "6" : "", n.payload ? "p" : "",
             n.timestamp ? "t" : "", n.random ? "r" : "");
    if (strcmp(letters, row->where) != 0)
        fail_msg("filter_rows.txt:%u: needs %s", row->line, letters);
}

static void
check_refusal(const struct row *row, const struct nsp_filter_options *options)
{
    struct nsp_filter *filter = NULL;
    struct nsp_diag diag = { .result = NSP_OK };
    int r = nsp_filter_compile_with(row->filter, NSP_LAYER_NETWORK, options,
                                    NULL, &filter, &diag);

    nsp_filter_destroy(filter);
    if (r != NSP_INVALID_FILTER || strcmp(diag.category, row->subject) != 0 ||
        diag.offset != strtoul(row->where, NULL, 10))
        fail_msg("filter_rows.txt:%u: %s at %u: %s", row->line, diag.category,
                 diag.offset, diag.text);
    /* The message is for people: it says something, in characters that show. */
    CHECK(diag.text[0] != '\0');
    for (const char *c = diag.text; *c != '\0'; c++)
        CHECK(*c >= ' ' && *c < 0x7f);
}

static FILE *
open_rows(void)
{
    FILE *file = fopen(FILTER_ROWS, "r");

    if (!file)
        fail_msg("cannot read %s", FILTER_ROWS);
    return file;
}

TEST(filters_mean_what_the_table_says)
{
    static struct row row;
    unsigned count = 0;
    FILE *file = open_rows();

    row.line = 0;
    for (; next_row(file, &row); count++) {
        if (strcmp(row.answer, "layers") == 0)
            check_layers(&row);
        else if (strcmp(row.answer, "needs") == 0)
            check_needs(&row);
        else if (strcmp(row.answer, "error") == 0)
            check_refusal(&row, NULL);
        else if (strcmp(row.answer, "strict") == 0)
            check_refusal(&row, &strict);
        else if (strcmp(row.answer, "yes") == 0)
            check_match(&row, true);
        else if (strcmp(row.answer, "no") == 0)
            check_match(&row, false);
        else
            fail_msg("filter_rows.txt:%u: '%s' is no kind of row", row.line,
                     row.answer);
    }
    fclose(file);
    CHECK(count >= 400);
}

/* --- What the table has to hold ------------------------------------------- */

enum seen { SEEN_YES = 1, SEEN_NO = 2, SEEN_LAYERS = 4 };

/* Notes the fields that the row names. */
static void
note_fields(const struct row *row, unsigned seen[NSP_FIELDS_MAX])
{
    static const char word[] = "abcdefghijklmnopqrstuvwxyz"
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.";
    unsigned kind = strcmp(row->answer, "yes") == 0      ? SEEN_YES
                    : strcmp(row->answer, "no") == 0     ? SEEN_NO
                    : strcmp(row->answer, "layers") == 0 ? SEEN_LAYERS
                                                         : 0;

    for (const char *at = row->filter; *at != '\0';) {
        size_t bytes = strspn(at, word);
        const struct nsp_field *field = nsp_field_find(at, bytes);

        if (field)
            seen[field - nsp_fields] |= kind;
        at += bytes > 0 ? bytes : 1;
    }
}

TEST(table_has_rows_for_every_field)
{
    static struct row row;
    unsigned seen[NSP_FIELDS_MAX] = { 0 };
    FILE *file = open_rows();

    row.line = 0;
    while (next_row(file, &row))
        note_fields(&row, seen);
    fclose(file);
    for (uint32_t i = 0; i < nsp_field_count; i++) {
        const struct nsp_field *field = &nsp_fields[i];
        bool in_packets = field->layers & (NSP_ON_NETWORK | NSP_ON_FORWARD);

        if (field->layers == 0 || field->type == NSP_TYPE_TEXT)
            continue;
        if (!(seen[i] & SEEN_LAYERS) ||
            (in_packets && (seen[i] & 3) != (SEEN_YES | SEEN_NO)))
            fail_msg("filter_rows.txt: '%s' wants a 'yes', a 'no' and a "
                     "'layers' row",
                     field->name);
    }
}

TEST(table_has_rows_for_every_error)
{
    static const char *const categories[] = {
        "bad-token",   "bad-token-for-layer", "not-available", "parse-error",
        "bad-index",   "bad-object",          "too-deep",      "too-long",
        "unknown-set",
    };
    static struct row row;
    unsigned seen = 0;
    FILE *file = open_rows();

    row.line = 0;
    while (next_row(file, &row)) {
        for (unsigned i = 0; i < NSP_ARRAY_LEN(categories); i++) {
            if (strcmp(row.answer, "error") == 0 &&
                strcmp(row.subject, categories[i]) == 0)
                seen |= 1u << i;
        }
    }
    fclose(file);
    CHECK_EQ(seen, (1u << NSP_ARRAY_LEN(categories)) - 1);
}

TEST_MAIN(cmocka_unit_test(filters_mean_what_the_table_says),
          cmocka_unit_test(table_has_rows_for_every_field),
          cmocka_unit_test(table_has_rows_for_every_error))
