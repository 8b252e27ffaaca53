#include "config/units.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define TEXT_BYTES_MAX 64u

/* An upper-case letter must be written so; others in either case. */
struct unit {
    const char *name;
    uint64_t factor;
};

#define KILO UINT64_C(1000)
#define MEGA UINT64_C(1000000)
#define GIGA UINT64_C(1000000000)
#define TERA UINT64_C(1000000000000)
#define KIBI (UINT64_C(1) << 10)
#define MEBI (UINT64_C(1) << 20)
#define GIBI (UINT64_C(1) << 30)
#define TEBI (UINT64_C(1) << 40)

static const struct unit bit_rates[] = {
    { "bit", 1 },      { "kbit", KILO },  { "mbit", MEGA },  { "gbit", GIGA },
    { "tbit", TERA },  { "kibit", KIBI }, { "mibit", MEBI }, { "gibit", GIBI },
    { "tibit", TEBI }, { NULL, 0 },
};

/* Without the "ps" or "/s" that must follow. */
static const struct unit byte_rates[] = {
    { "B", 8 },          { "kB", 8 * KILO },  { "mB", 8 * MEGA },
    { "gB", 8 * GIGA },  { "tB", 8 * TERA },  { "kiB", 8 * KIBI },
    { "miB", 8 * MEBI }, { "giB", 8 * GIBI }, { "tiB", 8 * TEBI },
    { NULL, 0 },
};

static const struct unit times[] = {
    { "ns", 1 },          { "us", KILO },       { "ms", MEGA }, { "s", GIGA },
    { "min", 60 * GIGA }, { "h", 3600 * GIGA }, { NULL, 0 },
};

static const struct unit sizes[] = {
    { "b", 1 },     { "k", KIBI },   { "kb", KIBI },  { "kib", KIBI },
    { "m", MEBI },  { "mb", MEBI },  { "mib", MEBI }, { "g", GIBI },
    { "gb", GIBI }, { "gib", GIBI }, { NULL, 0 },
};

static const struct unit packets[] = {
    { "p", 1 },      { "pkt", 1 },     { "pkts", 1 },
    { "packet", 1 }, { "packets", 1 }, { NULL, 0 },
};

static const struct unit percents[] = { { "%", NSP_PPM_ONE / 100 },
                                        { NULL, 0 } };

/* A quantity taken apart: "1.50 mbit". */
struct quantity {
    const char *text;
    size_t whole_digits, fraction_digits; /* From the text's beginning. */
    size_t number_bytes;                  /* Of "1.50". */
    const char *unit;
    size_t unit_bytes;
};

/* --- Errors -------------------------------------------------------------- */

static int
refuse(struct nsp_diag *reterr, size_t offset, const char *category,
       const char *text, const char *hint)
{
    if (!reterr)
        return NSP_INVALID_PARAMETER;
    *reterr = (struct nsp_diag){
        .result = NSP_INVALID_PARAMETER,
        .offset = (uint32_t)offset,
        .line = 1,
        .column = (uint32_t)offset + 1,
    };
    snprintf(reterr->category, sizeof reterr->category, "%s", category);
    snprintf(reterr->text, sizeof reterr->text, "%s", text);
    snprintf(reterr->hint, sizeof reterr->hint, "%s", hint);
    return NSP_INVALID_PARAMETER;
}

/* The hint begins with the number as it was written. */
static int
refuse_unit(const struct quantity *q, struct nsp_diag *reterr,
            const char *hint_after)
{
    char text[128], hint[192];

    snprintf(hint, sizeof hint, "write %.*s%s", (int)q->number_bytes, q->text,
             hint_after);
    if (q->unit_bytes == 0)
        return refuse(reterr, q->number_bytes, "missing-unit",
                      "a number needs a unit", hint);
    snprintf(text, sizeof text, "unknown unit '%.*s'", (int)q->unit_bytes,
             q->unit);
    return refuse(reterr, (size_t)(q->unit - q->text), "bad-unit", text, hint);
}

/* --- Numbers ------------------------------------------------------------- */

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char
lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static size_t
count_digits(const char *text)
{
    size_t n = 0;

    while (is_digit(text[n]))
        n++;
    return n;
}

static int
refuse_number(const char *text, struct nsp_diag *reterr)
{
    if (text[0] == '\0')
        return refuse(reterr, 0, "empty", "a value is missing",
                      "write a number and its unit");
    if (text[0] == '-' && (is_digit(text[1]) || text[1] == '.'))
        return refuse(reterr, 0, "negative", "a negative value makes no sense",
                      "leave out the minus sign");
    return refuse(reterr, 0, "bad-number", "expected a decimal number",
                  "write plain decimal digits and a unit");
}

/* Takes 'text' apart into a number and a unit. */
static int
read_quantity(const char *text, struct quantity *ret, struct nsp_diag *reterr)
{
    struct quantity q = { .text = text };
    size_t at;

    if (!text || strlen(text) > TEXT_BYTES_MAX)
        return refuse(reterr, 0, "too-long",
                      "a value has at most 64 characters",
                      "write a number and its unit");
    q.whole_digits = at = count_digits(text);
    if (text[at] == '.') {
        q.fraction_digits = count_digits(text + at + 1);
        at += 1 + q.fraction_digits;
    }
    if (q.whole_digits + q.fraction_digits == 0)
        return refuse_number(text, reterr);
    q.number_bytes = at;
    if (lower(text[at]) == 'x' ||
        (lower(text[at]) == 'e' &&
         (is_digit(text[at + 1]) || text[at + 1] == '+' ||
          text[at + 1] == '-')))
        return refuse(reterr, at, "bad-number",
                      "neither exponents nor hexadecimal numbers are known",
                      "write the number in plain decimal digits");

    while (text[at] == ' ')
        at++;
    q.unit = text + at;
    q.unit_bytes = strlen(q.unit);
    *ret = q;
    return NSP_OK;
}

static bool
is_plain_zero(const struct quantity *q)
{
    if (q->unit_bytes > 0)
        return false;
    for (size_t i = 0; i < q->number_bytes; i++)
        if (q->text[i] != '0' && q->text[i] != '.')
            return false;
    return true;
}

/* Multiplies the number by 'factor' (at most 2^43, so that nothing below
 * overflows in the fraction), rounding halves up. '*ret_exact' tells whether
 * nothing was rounded away. */
static int
scale(const struct quantity *q, uint64_t factor, uint64_t *ret, bool *ret_exact,
      struct nsp_diag *reterr)
{
    static const char overflow[] = "the value is too large";
    static const char overflow_hint[] = "write fewer digits or a smaller unit";
    const char *fraction = q->text + q->whole_digits + 1;
    uint64_t whole = 0, part = 0, tenths = 0;
    bool exact = true;

    for (size_t i = 0; i < q->whole_digits; i++) {
        uint64_t digit = (uint64_t)(q->text[i] - '0');

        if (whole > (UINT64_MAX - digit) / 10)
            return refuse(reterr, 0, "overflow", overflow, overflow_hint);
        whole = whole * 10 + digit;
    }
    /* From the last digit on: part = floor((digit * factor + part) / 10) is
     * exact, for the floor of a floor is the floor of the whole. */
    for (size_t i = q->fraction_digits; i-- > 0;) {
        uint64_t tens = (uint64_t)(fraction[i] - '0') * factor + part;

        exact = exact && tens % 10 == 0;
        tenths = tens % 10;
        part = tens / 10;
    }
    part += tenths >= 5;
    if (whole > (UINT64_MAX - part) / factor)
        return refuse(reterr, 0, "overflow", overflow, overflow_hint);
    *ret = whole * factor + part;
    *ret_exact = exact;
    return NSP_OK;
}

/* Scales, and refuses what would be rounded to nothing. */
static int
scale_to_some(const struct quantity *q, uint64_t factor, uint64_t *ret,
              struct nsp_diag *reterr)
{
    uint64_t value;
    bool exact;
    int result = scale(q, factor, &value, &exact, reterr);

    if (result < 0)
        return result;
    if (value == 0 && !exact)
        return refuse(reterr, 0, "too-fine", "the value is too small",
                      "write 0 to mean none");
    *ret = value;
    return NSP_OK;
}

static const struct unit *
find_unit(const struct unit *units, const char *name, size_t bytes)
{
    for (; units->name; units++) {
        size_t i = 0;

        while (
            i < bytes && units->name[i] &&
            (units->name[i] == name[i] || (units->name[i] == lower(name[i]))))
            i++;
        if (i == bytes && units->name[i] == '\0')
            return units;
    }
    return NULL;
}

/* --- Readers ------------------------------------------------------------- */

/* Splits "ps" or "/s" off the unit; tells whether it was there. */
static bool
split_per_second(const struct quantity *q, size_t *ret_bytes)
{
    size_t bytes = q->unit_bytes;
    bool there =
        bytes >= 2 && lower(q->unit[bytes - 1]) == 's' &&
        (lower(q->unit[bytes - 2]) == 'p' || q->unit[bytes - 2] == '/');

    *ret_bytes = there ? bytes - 2 : bytes;
    return there;
}

/* "kbps" and "KBPS" may be anything; only "kBps" and "kB/s" say bytes. */
static bool
is_ambiguous(const struct quantity *q, size_t stem_bytes)
{
    const char *end = q->unit + stem_bytes;

    return stem_bytes > 0 &&
           (end[-1] == 'b' ||
            (end[-1] == 'B' && (end[0] == 'P' || end[1] == 'S')));
}

static int
refuse_ambiguous(const struct quantity *q, struct nsp_diag *reterr)
{
    char text[128], hint[192];
    char prefix[2] = { lower(q->unit[0]), '\0' };

    if (prefix[0] == 'b')
        prefix[0] = '\0';
    snprintf(text, sizeof text, "'%.*s' may mean bits or bytes",
             (int)q->unit_bytes, q->unit);
    snprintf(hint, sizeof hint, "write %.*s%sbit or %.*s%sBps",
             (int)q->number_bytes, q->text, prefix, (int)q->number_bytes,
             q->text, prefix);
    return refuse(reterr, (size_t)(q->unit - q->text), "ambiguous-unit", text,
                  hint);
}

int
nsp_units_read_rate(const char *text, uint64_t *ret_bitps,
                    struct nsp_diag *reterr)
{
    const struct unit *unit;
    struct quantity q;
    size_t stem_bytes;
    bool per_second;
    int result = read_quantity(text, &q, reterr);

    if (result < 0)
        return result;
    if (is_plain_zero(&q)) {
        *ret_bitps = 0;
        return NSP_OK;
    }
    per_second = split_per_second(&q, &stem_bytes);
    if (per_second && is_ambiguous(&q, stem_bytes))
        return refuse_ambiguous(&q, reterr);
    unit = find_unit(per_second ? byte_rates : bit_rates, q.unit, stem_bytes);
    if (!unit && per_second && q.unit[stem_bytes] == '/')
        unit = find_unit(bit_rates, q.unit, stem_bytes);
    if (!unit)
        return refuse_unit(&q, reterr,
                           " with bit, kbit, mbit, gbit, tbit, or Bps, kBps, "
                           "MBps, GBps for bytes");
    return scale_to_some(&q, unit->factor, ret_bitps, reterr);
}

/* Takes 'text' apart and finds its unit in one table: NULL for a plain 0.
 * 'hint' lists the units. */
static int
read_unit(const char *text, const struct unit *units, const char *hint,
          struct quantity *ret, const struct unit **ret_unit,
          struct nsp_diag *reterr)
{
    int result = read_quantity(text, ret, reterr);

    if (result < 0)
        return result;
    *ret_unit = NULL;
    if (is_plain_zero(ret))
        return NSP_OK;
    *ret_unit = find_unit(units, ret->unit, ret->unit_bytes);
    return *ret_unit ? NSP_OK : refuse_unit(ret, reterr, hint);
}

static int
read_with(const char *text, const struct unit *units, const char *hint,
          uint64_t *ret, struct nsp_diag *reterr)
{
    const struct unit *unit;
    struct quantity q;
    int result = read_unit(text, units, hint, &q, &unit, reterr);

    if (result < 0)
        return result;
    if (unit)
        return scale_to_some(&q, unit->factor, ret, reterr);
    *ret = 0;
    return NSP_OK;
}

int
nsp_units_read_time(const char *text, uint64_t *ret_ns, struct nsp_diag *reterr)
{
    return read_with(text, times, " with ns, us, ms, s, min or h", ret_ns,
                     reterr);
}

int
nsp_units_read_bytes(const char *text, uint64_t *ret_bytes,
                     struct nsp_diag *reterr)
{
    return read_with(text, sizes, " with b, kb, mb or gb", ret_bytes, reterr);
}

int
nsp_units_read_percent(const char *text, uint32_t *ret_ppm,
                       struct nsp_diag *reterr)
{
    const struct unit *unit;
    struct quantity q;
    uint64_t ppm = 0;
    bool exact = true;
    int result = read_unit(text, percents, "%", &q, &unit, reterr);

    if (result == NSP_OK && unit)
        result = scale(&q, unit->factor, &ppm, &exact, reterr);
    if (result < 0)
        return result;
    if (ppm > NSP_PPM_ONE || (ppm == NSP_PPM_ONE && !exact))
        return refuse(reterr, 0, "out-of-range", "more than 100 %",
                      "a share lies between 0% and 100%");
    if (!exact)
        return refuse(reterr, 0, "too-fine", "finer than 0.0001 %",
                      "write at most four digits after the point");
    *ret_ppm = (uint32_t)ppm;
    return NSP_OK;
}

int
nsp_units_read_queue(const char *text, uint64_t *ret_limit, uint8_t *ret_unit,
                     struct nsp_diag *reterr)
{
    static const struct {
        const struct unit *units;
        uint8_t unit;
    } kinds[] = {
        { packets, NSP_QUEUE_PKTS },
        { times, NSP_QUEUE_NS },
        { sizes, NSP_QUEUE_BYTES },
    };
    struct quantity q;
    uint64_t limit;
    bool exact;
    int result = read_quantity(text, &q, reterr);

    if (result < 0)
        return result;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const struct unit *unit =
            find_unit(kinds[i].units, q.unit, q.unit_bytes);

        if (!unit)
            continue;
        result = scale(&q, unit->factor, &limit, &exact, reterr);
        if (result < 0)
            return result;
        if (!exact && kinds[i].unit == NSP_QUEUE_PKTS)
            return refuse(reterr, q.whole_digits, "too-fine",
                          "half a packet cannot be queued",
                          "write a whole number of packets");
        if (limit == 0)
            return refuse(reterr, 0, "out-of-range",
                          "a queue needs room for something",
                          "leave the limit out for 100 ms, or at least 1p");
        *ret_limit = limit;
        *ret_unit = kinds[i].unit;
        return NSP_OK;
    }
    return refuse_unit(&q, reterr,
                       " with ms or s, kb or mb, or packets, as in 100packets");
}

/* --- Writers ------------------------------------------------------------- */

#define DIGITS 4

/* Finds how 'value' is written in 'factor' with at most DIGITS digits: whole
 * part, fraction and its digits. Tells whether that is exact. */
static bool
round_to(uint64_t value, uint64_t factor, uint64_t *ret_whole,
         uint64_t *ret_fraction, int *ret_digits)
{
    uint64_t whole = value / factor, rest = value % factor;
    uint64_t power = 1, fraction;
    int digits = DIGITS - 1;

    for (uint64_t w = whole / 10; w > 0 && digits > 0; w /= 10)
        digits--;
    for (int i = 0; i < digits; i++)
        power *= 10;
    /* rest < 2^43 and power <= 10^3: no overflow. */
    fraction = (rest * power + factor / 2) / factor;
    *ret_whole = whole + fraction / power;
    *ret_fraction = fraction % power;
    *ret_digits = digits;
    return rest * power % factor == 0 && whole < 10 * KILO;
}

/* 'units' begin with the smallest, whose factor is 1. */
static char *
write_with(char *ret, size_t bytes, uint64_t value, const struct unit *units,
           size_t count)
{
    uint64_t whole, fraction;
    size_t largest = 0, chosen;
    int digits;

    while (largest + 1 < count && value >= units[largest + 1].factor)
        largest++;
    chosen = largest;
    while (!round_to(value, units[chosen].factor, &whole, &fraction, &digits) &&
           chosen > 0)
        chosen--;
    /* Where no unit is exact in few digits, the largest is the shortest. */
    if (!round_to(value, units[chosen].factor, &whole, &fraction, &digits))
        chosen = largest;
    round_to(value, units[chosen].factor, &whole, &fraction, &digits);

    for (; digits > 0 && fraction % 10 == 0; digits--)
        fraction /= 10;
    if (digits > 0)
        snprintf(ret, bytes, "%llu.%0*llu %s", (unsigned long long)whole,
                 digits, (unsigned long long)fraction, units[chosen].name);
    else
        snprintf(ret, bytes, "%llu %s", (unsigned long long)whole,
                 units[chosen].name);
    return ret;
}

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

char *
nsp_units_write_rate(char *ret, size_t bytes, uint64_t bitps)
{
    static const struct unit units[] = {
        { "bit/s", 1 },     { "kbit/s", KILO }, { "Mbit/s", MEGA },
        { "Gbit/s", GIGA }, { "Tbit/s", TERA },
    };

    return write_with(ret, bytes, bitps, units, COUNT(units));
}

char *
nsp_units_write_time(char *ret, size_t bytes, uint64_t ns)
{
    static const struct unit units[] = {
        { "ns", 1 },
        { "us", KILO },
        { "ms", MEGA },
        { "s", GIGA },
    };

    return write_with(ret, bytes, ns, units, COUNT(units));
}

char *
nsp_units_write_bytes(char *ret, size_t bytes, uint64_t count)
{
    static const struct unit units[] = {
        { "B", 1 },
        { "KiB", KIBI },
        { "MiB", MEBI },
        { "GiB", GIBI },
    };

    return write_with(ret, bytes, count, units, COUNT(units));
}

char *
nsp_units_write_percent(char *ret, size_t bytes, uint32_t ppm)
{
    uint32_t fraction = ppm % 10000;
    int digits = 4;

    for (; digits > 0 && fraction % 10 == 0; digits--)
        fraction /= 10;
    if (digits > 0)
        snprintf(ret, bytes, "%lu.%0*lu %%", (unsigned long)(ppm / 10000),
                 digits, (unsigned long)fraction);
    else
        snprintf(ret, bytes, "%lu %%", (unsigned long)(ppm / 10000));
    return ret;
}
