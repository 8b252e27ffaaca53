#include "config/trace_file.h"

#include <stdbool.h>
#include <stdio.h>

#include "config/units.h"

#define QUOTED_MAX 32

/* A text being read, and where in it. */
struct reader {
    const char *text;
    size_t bytes, at;
    size_t line_start;
    uint32_t line;
    struct nsp_diag *diag;
};

/* --- Errors --------------------------------------------------------------- */

static int
fail(const struct reader *r, size_t at, const char *hint, const char *text)
{
    if (!r->diag)
        return NSP_INVALID_PARAMETER;
    *r->diag = (struct nsp_diag){
        .result = NSP_INVALID_PARAMETER,
        .offset = (uint32_t)at,
        .line = r->line,
        .column = (uint32_t)(at - r->line_start) + 1,
    };
    snprintf(r->diag->category, sizeof r->diag->category, "bad-trace");
    snprintf(r->diag->hint, sizeof r->diag->hint, "%s", hint);
    snprintf(r->diag->text, sizeof r->diag->text, "%s", text);
    return NSP_INVALID_PARAMETER;
}

static int
fail_too_many(const struct reader *r, size_t at, uint32_t max)
{
    char text[64];

    snprintf(text, sizeof text, "more than %lu numbers", (unsigned long)max);
    return fail(r, at, "use a part of it", text);
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Says that something else than 'expected' begins at 'at'; quotes of it what
 * can be printed. */
static int
fail_expected(const struct reader *r, size_t at, const char *hint,
              const char *expected)
{
    char word[QUOTED_MAX + 1], text[128];
    size_t n = 0;

    while (n < QUOTED_MAX && at + n < r->bytes && !is_blank(r->text[at + n])) {
        char c = r->text[at + n];

        word[n++] = c > ' ' && c < 0x7f ? c : '?';
    }
    word[n] = '\0';
    if (n == 0)
        snprintf(text, sizeof text, "expected %s", expected);
    else
        snprintf(text, sizeof text, "expected %s, not '%s'", expected, word);
    return fail(r, at, hint, text);
}

static int
fail_size(struct nsp_diag *reterr)
{
    const struct reader r = { .line = 1, .diag = reterr };

    return fail(&r, 0, "use a part of it", "a text of more than 4 GiB");
}

/* --- Numbers -------------------------------------------------------------- */

static bool
at_end(const struct reader *r)
{
    return r->at == r->bytes;
}

static char
peek(const struct reader *r)
{
    return r->at < r->bytes ? r->text[r->at] : '\n';
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Reads digits, one at least, of a number up to 'most'. */
static bool
read_number(struct reader *r, uint64_t most, uint64_t *ret)
{
    uint64_t value = 0;

    if (!is_digit(peek(r)))
        return false;
    for (; is_digit(peek(r)); r->at++) {
        uint64_t digit = (uint64_t)(peek(r) - '0');

        if (digit > most || value > (most - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *ret = value;
    return true;
}

static void
next_line(struct reader *r)
{
    r->at++;
    r->line++;
    r->line_start = r->at;
}

/* Goes on to the next byte that is neither blank nor in a comment. */
static void
skip_blanks(struct reader *r)
{
    bool comment = false;

    for (; !at_end(r);) {
        char c = peek(r);

        if (c == '\n') {
            comment = false;
            next_line(r);
            continue;
        }
        comment |= c == '#';
        if (!comment && !is_blank(c))
            return;
        r->at++;
    }
}

/* --- Distributions -------------------------------------------------------- */

#define DIST_EXPECTED "a whole number of -32768 to 32767"
#define DIST_HINT                                                              \
    "write numbers between blanks, 8192 to the standard deviation, and "       \
    "comments after #"

static bool
read_signed(struct reader *r, int16_t *ret)
{
    bool negative = peek(r) == '-';
    uint64_t value;

    if (negative)
        r->at++;
    if (!read_number(r, negative ? 32768 : 32767, &value))
        return false;
    if (!is_blank(peek(r)) && peek(r) != '#')
        return false;
    *ret = (int16_t)(negative ? -(int32_t)value : (int32_t)value);
    return true;
}

int
nsp_dist_file_read(const char *text, size_t bytes, uint32_t max, int16_t *ret,
                   uint32_t *ret_count, struct nsp_diag *reterr)
{
    struct reader r = {
        .text = text, .bytes = bytes, .line = 1, .diag = reterr
    };
    uint32_t count = 0;

    if (bytes > UINT32_MAX)
        return fail_size(reterr);
    for (skip_blanks(&r); !at_end(&r); skip_blanks(&r)) {
        size_t start = r.at;
        int16_t value;

        if (!read_signed(&r, &value))
            return fail_expected(&r, start, DIST_HINT, DIST_EXPECTED);
        if (count == max)
            return fail_too_many(&r, start, max);
        if (ret)
            ret[count] = value;
        count++;
    }
    if (count == 0)
        return fail(&r, r.at, DIST_HINT, "a distribution without a number");
    *ret_count = count;
    return NSP_OK;
}

/* --- Traces --------------------------------------------------------------- */

#define TRACE_HINT                                                             \
    "write a time a line, such as 12: when a packet may leave, counted from "  \
    "the beginning"

static int
read_time(struct reader *r, uint64_t unit_ns, uint64_t last_ns, uint64_t *ret)
{
    const char *expected = unit_ns == 1 ? "a time in whole ns of up to a day"
                                        : "a time in whole ms of up to a day";
    size_t start = r->at;
    uint64_t value;

    if (!read_number(r, NSP_TRACE_NS_MAX / unit_ns, &value))
        return fail_expected(r, start, TRACE_HINT, expected);
    if (peek(r) == '\r' && r->at + 1 < r->bytes && r->text[r->at + 1] == '\n')
        r->at++;
    if (peek(r) != '\n')
        return fail_expected(r, r->at, TRACE_HINT, "the end of the line");
    if (value * unit_ns < last_ns)
        return fail(r, start, "sort the lines by number",
                    "the time is before that of the line above");
    *ret = value * unit_ns;
    return NSP_OK;
}

int
nsp_trace_file_read(const char *text, size_t bytes, uint64_t unit_ns,
                    uint32_t max, uint64_t *ret_ns, uint32_t *ret_count,
                    struct nsp_diag *reterr)
{
    struct reader r = {
        .text = text, .bytes = bytes, .line = 1, .diag = reterr
    };
    uint64_t last_ns = 0;
    uint32_t count = 0;

    if (bytes > UINT32_MAX)
        return fail_size(reterr);
    while (!at_end(&r)) {
        size_t start = r.at;
        int result = read_time(&r, unit_ns, last_ns, &last_ns);

        if (result != NSP_OK)
            return result;
        if (count == max)
            return fail_too_many(&r, start, max);
        if (ret_ns)
            ret_ns[count] = last_ns;
        count++;
        if (!at_end(&r))
            next_line(&r);
    }
    if (last_ns == 0)
        return fail(&r, r.at, TRACE_HINT,
                    "a trace needs a time after 0, where it begins anew");
    *ret_count = count;
    return NSP_OK;
}

/* --- Delays ----------------------------------------------------------------
 */

#define DELAY_HINT "write a time a line, such as 12.5ms; # begins a comment"

/* More than a time may have, so that a longer one is refused. */
#define TIME_BYTES_MAX 80

/* Stores what the line has left, without blanks at its end, and returns its
 * bytes. */
static size_t
read_rest(const struct reader *r, char ret[TIME_BYTES_MAX + 1])
{
    size_t bytes = 0;

    for (size_t n = 0; r->at + n < r->bytes; n++) {
        char c = r->text[r->at + n];

        if (c == '\n' || c == '#')
            break;
        if (n < TIME_BYTES_MAX)
            ret[n] = c >= ' ' && c < 0x7f ? c : is_blank(c) ? ' ' : '?';
        if (!is_blank(c))
            bytes = n + 1;
    }
    ret[bytes < TIME_BYTES_MAX ? bytes : TIME_BYTES_MAX] = '\0';
    return bytes;
}

static int
read_delay(struct reader *r, uint64_t most_ns, uint64_t *ret_ns)
{
    char word[TIME_BYTES_MAX + 1];
    size_t bytes = read_rest(r, word);
    struct nsp_diag diag;

    if (nsp_units_read_time(word, ret_ns, &diag) != NSP_OK)
        return fail(r, r->at + diag.offset, diag.hint, diag.text);
    if (*ret_ns > most_ns)
        return fail(r, r->at, DELAY_HINT, "the delay is too long");
    r->at += bytes;
    return NSP_OK;
}

int
nsp_delay_file_read(const char *text, size_t bytes, uint64_t most_ns,
                    uint32_t max, uint64_t *ret_ns, uint32_t *ret_count,
                    struct nsp_diag *reterr)
{
    struct reader r = {
        .text = text, .bytes = bytes, .line = 1, .diag = reterr
    };
    uint32_t count = 0;

    if (bytes > UINT32_MAX)
        return fail_size(reterr);
    for (skip_blanks(&r); !at_end(&r); skip_blanks(&r)) {
        size_t start = r.at;
        uint64_t ns = 0;
        int result = read_delay(&r, most_ns, &ns);

        if (result != NSP_OK)
            return result;
        if (count == max)
            return fail_too_many(&r, start, max);
        if (ret_ns)
            ret_ns[count] = ns;
        count++;
    }
    if (count == 0)
        return fail(&r, r.at, DELAY_HINT, "a trace without a delay");
    *ret_count = count;
    return NSP_OK;
}

/* --- Losses ----------------------------------------------------------------
 */

#define LOSS_HINT                                                              \
    "write 0 for each packet that passes and 1 for each that is lost; # "      \
    "begins a comment"

int
nsp_loss_file_read(const char *text, size_t bytes, uint32_t max, uint8_t *ret,
                   uint32_t *ret_count, struct nsp_diag *reterr)
{
    struct reader r = {
        .text = text, .bytes = bytes, .line = 1, .diag = reterr
    };
    uint32_t count = 0;

    if (bytes > UINT32_MAX)
        return fail_size(reterr);
    for (skip_blanks(&r); !at_end(&r); r.at++, skip_blanks(&r)) {
        char c = peek(&r);

        if (c != '0' && c != '1')
            return fail_expected(&r, r.at, LOSS_HINT, "0 or 1");
        if (count == max)
            return fail_too_many(&r, r.at, max);
        if (ret)
            ret[count] = c == '1';
        count++;
    }
    if (count == 0)
        return fail(&r, r.at, LOSS_HINT, "a pattern without a packet");
    *ret_count = count;
    return NSP_OK;
}
