/* Header fields and times of the week. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "config/number.h"
#include "config/policy_doc.h"
#include "config/schedule.h"
#include "config/values.h"

/* --- DSCP ------------------------------------------------------------------
 */

/* RFC 2474, 2597, 3246, 5865, 8622. */
static const struct nsp_word code_points[] = {
    { "BE", 0 },    { "CS0", 0 },   { "CS1", 8 },   { "CS2", 16 },
    { "CS3", 24 },  { "CS4", 32 },  { "CS5", 40 },  { "CS6", 48 },
    { "CS7", 56 },  { "AF11", 10 }, { "AF12", 12 }, { "AF13", 14 },
    { "AF21", 18 }, { "AF22", 20 }, { "AF23", 22 }, { "AF31", 26 },
    { "AF32", 28 }, { "AF33", 30 }, { "AF41", 34 }, { "AF42", 36 },
    { "AF43", 38 }, { "EF", 46 },   { "VA", 44 },   { "LE", 1 },
    { NULL, 0 },
};

static bool
read_dscp(struct nsp_key_reader *r, const struct nsp_key *key,
          const struct nsp_yaml_node *node, void *ret)
{
    uint64_t value = 0;
    size_t bytes = nsp_number_read(node->text, &value);

    for (const struct nsp_word *word = code_points; word->name; word++) {
        if (strcmp(word->name, node->text) == 0) {
            *(uint64_t *)ret = word->value;
            return true;
        }
    }
    if (bytes == 0 || node->text[bytes] != '\0' || value > 63) {
        nsp_keys_complain(r, node, 0, "bad-value",
                          "write EF, AF11 to AF43, CS0 to CS7, VA, LE, BE or "
                          "a number from 0 to 63",
                          "'%s' cannot be '%.64s'", key->name, node->text);
        return false;
    }
    *(uint64_t *)ret = value;
    return true;
}

static void
write_dscp(FILE *to, const struct nsp_key *key, const void *value)
{
    uint64_t dscp = *(const uint64_t *)value;

    (void)key;
    for (const struct nsp_word *word = code_points; word->name; word++) {
        if (word->value == dscp) {
            fputs(word->name, to);
            return;
        }
    }
    fprintf(to, "%" PRIu64, dscp);
}

const struct nsp_value_type nsp_value_dscp = {
    .name = "a DSCP",
    .syntax = "EF, AF11 to AF43, CS0 to CS7, VA, LE, BE, or 0 to 63",
    .schema = "\"type\": [\"string\", \"integer\"]",
    .bytes = sizeof(uint64_t),
    .read = read_dscp,
    .write = write_dscp,
};

/* --- Marks ------------------------------------------------------------------
 */

/* Decimal, or hexadecimal after 0x. Returns how many bytes it took, or 0. */
static size_t
read_mark_number(const char *text, uint32_t *ret)
{
    bool is_hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    uint64_t value = 0;
    size_t n;

    if (!is_hex) {
        n = nsp_number_read(text, &value);
    } else {
        size_t digits = strspn(text + 2, "0123456789abcdefABCDEF");

        n = digits > 0 && digits <= 8 ? digits + 2 : 0;
        value = n ? strtoul(text + 2, NULL, 16) : 0;
    }
    if (value > UINT32_MAX)
        return 0;
    *ret = (uint32_t)value;
    return n;
}

static bool
read_mark(struct nsp_key_reader *r, const struct nsp_key *key,
          const struct nsp_yaml_node *node, void *ret)
{
    struct nsp_doc_mark mark = { .mask = UINT32_MAX };
    size_t bytes = read_mark_number(node->text, &mark.mark), more;

    if (bytes > 0 && node->text[bytes] == '/') {
        more = read_mark_number(node->text + bytes + 1, &mark.mask);
        bytes = more ? bytes + 1 + more : 0;
    }
    if (bytes == 0 || node->text[bytes] != '\0' || mark.mask == 0 ||
        (mark.mark & ~mark.mask) != 0) {
        nsp_keys_complain(r, node, 0, "bad-value",
                          "write VALUE or VALUE/MASK, as 0x10/0xff, the value "
                          "within the mask",
                          "'%s' cannot be '%.64s'", key->name, node->text);
        return false;
    }
    *(struct nsp_doc_mark *)ret = mark;
    return true;
}

static void
write_mark(FILE *to, const struct nsp_key *key, const void *value)
{
    const struct nsp_doc_mark *mark = value;

    (void)key;
    fprintf(to, "0x%" PRIx32, mark->mark);
    if (mark->mask != UINT32_MAX)
        fprintf(to, "/0x%" PRIx32, mark->mask);
}

const struct nsp_value_type nsp_value_mark = {
    .name = "a mark",
    .syntax = "VALUE or VALUE/MASK, decimal or after 0x hexadecimal",
    .schema = "\"type\": [\"string\", \"integer\"]",
    .bytes = sizeof(struct nsp_doc_mark),
    .read = read_mark,
    .write = write_mark,
};

/* --- Days --------------------------------------------------------------------
 */

static const char *const day_names[7] = { "mon", "tue", "wed", "thu",
                                          "fri", "sat", "sun" };

static int
read_day(const char *text, size_t bytes)
{
    for (int i = 0; i < 7; i++)
        if (bytes == 3 && memcmp(text, day_names[i], 3) == 0)
            return i;
    return -1;
}

static bool
read_days(struct nsp_key_reader *r, const struct nsp_key *key,
          const struct nsp_yaml_node *node, void *ret)
{
    size_t bytes = strcspn(node->text, "-");
    bool is_range = node->text[bytes] == '-';
    int first = read_day(node->text, bytes), last = first;
    uint64_t days = 0;

    if (is_range)
        last = read_day(node->text + bytes + 1, strlen(node->text) - bytes - 1);
    if (first < 0 || last < 0) {
        nsp_keys_complain(r, node, first < 0 || !is_range ? 0 : bytes + 1,
                          "bad-value",
                          "write mon, tue, wed, thu, fri, sat, sun, or a range "
                          "as mon-fri; several in a list",
                          "'%s' cannot be '%.64s'", key->name, node->text);
        return false;
    }
    for (int day = first;; day = (day + 1) % 7) {
        days |= UINT64_C(1) << day;
        if (day == last)
            break;
    }
    *(uint64_t *)ret = days;
    return true;
}

static void
write_days(FILE *to, const struct nsp_key *key, const void *value)
{
    uint64_t days = *(const uint64_t *)value;
    int first = 0, last;

    (void)key;
    /* One run, which may go round the end of the week. */
    if (days != NSP_EVERY_DAY)
        while ((days >> first & 1) == 0 || (days >> (first + 6) % 7 & 1) != 0)
            first++;
    last = first;
    while (last < first + 6 && (days >> (last + 1) % 7 & 1) != 0)
        last++;
    fputs(day_names[first], to);
    if (last > first)
        fprintf(to, "-%s", day_names[last % 7]);
}

const struct nsp_value_type nsp_value_days = {
    .name = "days",
    .syntax = "mon, tue, wed, thu, fri, sat, sun, or a range: mon-fri",
    .schema = "\"type\": \"string\", "
              "\"pattern\": \"^(mon|tue|wed|thu|fri|sat|sun)"
              "(-(mon|tue|wed|thu|fri|sat|sun))?$\"",
    .bytes = sizeof(uint64_t),
    .read = read_days,
    .write = write_days,
};

/* --- Hours -------------------------------------------------------------------
 */

/* Of "08:00"; returns false where it is none. */
static bool
read_clock(const char *text, uint32_t *ret_s)
{
    uint32_t hours, minutes;

    for (int i = 0; i < 5; i++)
        if (i == 2 ? text[i] != ':' : text[i] < '0' || text[i] > '9')
            return false;
    hours = (uint32_t)(text[0] - '0') * 10 + (uint32_t)(text[1] - '0');
    minutes = (uint32_t)(text[3] - '0') * 10 + (uint32_t)(text[4] - '0');
    *ret_s = hours * 3600 + minutes * 60;
    return minutes < 60 && *ret_s <= NSP_DAY_SECONDS;
}

static bool
read_hours(struct nsp_key_reader *r, const struct nsp_key *key,
           const struct nsp_yaml_node *node, void *ret)
{
    struct nsp_hours hours;

    if (strlen(node->text) != 11 || node->text[5] != '-' ||
        !read_clock(node->text, &hours.begin_s) ||
        !read_clock(node->text + 6, &hours.end_s) ||
        hours.begin_s == NSP_DAY_SECONDS) {
        nsp_keys_complain(r, node, 0, "bad-value",
                          "write \"08:00-18:00\"; \"22:00-06:00\" goes on "
                          "after midnight",
                          "'%s' cannot be '%.64s'", key->name, node->text);
        return false;
    }
    if (hours.begin_s == hours.end_s) {
        nsp_keys_complain(r, node, 0, "bad-value",
                          "leave 'hours' out for the whole day",
                          "'%s' end where they begin", key->name);
        return false;
    }
    *(struct nsp_hours *)ret = hours;
    return true;
}

static void
write_hours(FILE *to, const struct nsp_key *key, const void *value)
{
    const struct nsp_hours *hours = value;

    (void)key;
    fprintf(to, "\"%02" PRIu32 ":%02" PRIu32 "-%02" PRIu32 ":%02" PRIu32 "\"",
            hours->begin_s / 3600, hours->begin_s / 60 % 60,
            hours->end_s / 3600, hours->end_s / 60 % 60);
}

const struct nsp_value_type nsp_value_hours = {
    .name = "hours",
    .syntax = "\"HH:MM-HH:MM\", to 24:00; past midnight where the end is "
              "smaller",
    .schema = "\"type\": \"string\", \"pattern\": "
              "\"^[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9]$\"",
    .bytes = sizeof(struct nsp_hours),
    .read = read_hours,
    .write = write_hours,
};

/* --- Bytes to write --------------------------------------------------------
 */

static int
hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool
read_fill(struct nsp_key_reader *r, const struct nsp_key *key,
          const struct nsp_yaml_node *node, void *ret)
{
    struct nsp_doc_fill fill = { .rewrite = NSP_TAMPER_FILL };
    const char *text = node->text;
    size_t at = 0;

    if (strcmp(text, "random") == 0) {
        *(struct nsp_doc_fill *)ret =
            (struct nsp_doc_fill){ .rewrite = NSP_TAMPER_RANDOM };
        return true;
    }
    for (; hex_digit(text[at]) >= 0 && hex_digit(text[at + 1]) >= 0 &&
           fill.count < NSP_TAMPER_FILL_MAX;
         at += 2)
        fill.bytes[fill.count++] =
            (uint8_t)(hex_digit(text[at]) * 16 + hex_digit(text[at + 1]));
    if (at == 0 || text[at] != '\0') {
        nsp_keys_complain(r, node, at, "bad-value",
                          "write random, or up to 64 bytes as pairs of "
                          "hexadecimal digits: \"dead00\"",
                          "'%s' cannot be '%.64s'", key->name, text);
        return false;
    }
    *(struct nsp_doc_fill *)ret = fill;
    return true;
}

static void
write_fill(FILE *to, const struct nsp_key *key, const void *value)
{
    const struct nsp_doc_fill *fill = value;

    (void)key;
    if (fill->rewrite == NSP_TAMPER_RANDOM) {
        fputs("random", to);
        return;
    }
    fputs("\"", to);
    for (unsigned i = 0; i < fill->count; i++)
        fprintf(to, "%02x", fill->bytes[i]);
    fputs("\"", to);
}

const struct nsp_value_type nsp_value_fill = {
    .name = "bytes",
    .syntax = "random, or pairs of hexadecimal digits: \"dead00\"",
    .schema = "\"type\": \"string\"",
    .bytes = sizeof(struct nsp_doc_fill),
    .read = read_fill,
    .write = write_fill,
};
