#include "config/units.h"
#include "tests/lib/test.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS(a)   (sizeof(a) / sizeof((a)[0]))
#define UNTOUCHED UINT64_C(0xdecade)

typedef int reader(const char *text, uint64_t *ret, struct nsp_diag *reterr);

struct good {
    const char *text;
    uint64_t value;
};

struct bad {
    const char *text;
    const char *category;
    uint32_t offset;
    const char *hint; /* Part of it; NULL for any. */
};

static void
check_good(reader *read, const struct good *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct nsp_diag diag = { .text = "" };
        uint64_t value = UNTOUCHED;

        if (read(rows[i].text, &value, &diag) != NSP_OK)
            fail_msg("'%s' was refused: %s", rows[i].text, diag.text);
        if (value != rows[i].value)
            fail_msg("'%s' gave %llu", rows[i].text, (unsigned long long)value);
    }
}

static void
check_bad(reader *read, const struct bad *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct nsp_diag diag = { .text = "" };
        uint64_t value = UNTOUCHED;

        if (read(rows[i].text, &value, &diag) != NSP_INVALID_PARAMETER)
            fail_msg("'%s' was accepted as %llu", rows[i].text,
                     (unsigned long long)value);
        CHECK_EQ(value, UNTOUCHED);
        CHECK_EQ(read(rows[i].text, &value, NULL), NSP_INVALID_PARAMETER);
        CHECK_EQ(diag.result, NSP_INVALID_PARAMETER);
        CHECK_STR_EQ(diag.category, rows[i].category);
        CHECK_EQ(diag.line, 1);
        CHECK_EQ(diag.offset, rows[i].offset);
        CHECK_EQ(diag.column, rows[i].offset + 1);
        CHECK(diag.text[0] != '\0');
        if (rows[i].hint && !strstr(diag.hint, rows[i].hint))
            fail_msg("'%s': the hint is '%s'", rows[i].text, diag.hint);
    }
}

/* What no reader takes, whatever its units. */
static const struct bad bad_everywhere[] = {
    { "", "empty", 0, "number" },
    { " 1s", "bad-number", 0, NULL },
    { "-1s", "negative", 0, "minus" },
    { "-0", "negative", 0, NULL },
    { "+1s", "bad-number", 0, NULL },
    { "nan", "bad-number", 0, NULL },
    { "inf", "bad-number", 0, NULL },
    { "infinity", "bad-number", 0, NULL },
    { ".", "bad-number", 0, NULL },
    { "0x10", "bad-number", 1, "decimal" },
    { "0X1p3", "bad-number", 1, NULL },
    { "1e3", "bad-number", 1, "decimal" },
    { "1E-3s", "bad-number", 1, NULL },
    { "1", "missing-unit", 1, "write 1" },
    { "1.25", "missing-unit", 4, "write 1.25" },
    { "1,5s", "bad-unit", 1, NULL },
    { "1.2.3s", "bad-unit", 3, NULL },
    { "1parsec", "bad-unit", 1, NULL },
    { "1 ", "missing-unit", 1, NULL },
    { "1\xff", "bad-unit", 1, NULL },
    { "99999999999999999999999999999999999999999999999999999999999999999s",
      "too-long", 0, NULL },
    { NULL, "too-long", 0, NULL },
};

TEST(rates_are_read_as_in_tc)
{
    static const struct good rows[] = {
        { "0", 0 },
        { "0.00", 0 },
        { "0mbit", 0 },
        { "8bit", 8 },
        { "250kbit", 250000 },
        { "20mbit", 20000000 },
        { "20Mbit", 20000000 },
        { "20MBIT", 20000000 },
        { "20 Mbit/s", 20000000 },
        { "34.5gbit", UINT64_C(34500000000) },
        { "1tbit", UINT64_C(1000000000000) },
        { "1Kibit", 1024 },
        { "1.5mibit", 1572864 },
        { "1gibit", UINT64_C(1) << 30 },
        { "1Bps", 8 },
        { "10MBps", 80000000 },
        { "10mBps", 80000000 },
        { "1.5kB/s", 12000 },
        { "1KiBps", 8192 },
        { ".5kbit", 500 },
        { "5.kbit", 5000 },
        { "00012kbit", 12000 },
        { "18446744073709551615bit", UINT64_MAX },
        { "1.4999bit", 1 },
        { "1.5bit", 2 },
        { "0.123456789012gbit", 123456789 },
        { "0.999999999999999999tbit", UINT64_C(1000000000000) },
    };
    static const struct bad bad[] = {
        { "10kbps", "ambiguous-unit", 2, "write 10kbit or 10kBps" },
        { "10mbps", "ambiguous-unit", 2, "write 10mbit or 10mBps" },
        { "1.5 Gbps", "ambiguous-unit", 4, "write 1.5gbit or 1.5gBps" },
        { "10bps", "ambiguous-unit", 2, "write 10bit or 10Bps" },
        { "10kb/s", "ambiguous-unit", 2, NULL },
        { "10MBPS", "ambiguous-unit", 2, NULL },
        { "10MB", "bad-unit", 2, "MBps" },
        { "10mbits", "bad-unit", 2, "mbit" },
        { "10ps", "bad-unit", 2, NULL },
        { "10%", "bad-unit", 2, NULL },
        { "20ms", "bad-unit", 2, NULL },
        { "18446744073709551616bit", "overflow", 0, NULL },
        { "18446744073709551615.5bit", "overflow", 0, NULL },
        { "18446745tbit", "overflow", 0, NULL },
        { "0.4bit", "too-fine", 0, NULL },
    };

    check_good(nsp_units_read_rate, rows, ROWS(rows));
    check_bad(nsp_units_read_rate, bad, ROWS(bad));
    check_bad(nsp_units_read_rate, bad_everywhere, ROWS(bad_everywhere));
}

TEST(times_need_a_unit)
{
    static const struct good rows[] = {
        { "0", 0 },
        { "1ns", 1 },
        { "20us", 20000 },
        { "40ms", 40000000 },
        { "40 MS", 40000000 },
        { "0.1s", 100000000 },
        { "2min", UINT64_C(120000000000) },
        { "1.5h", UINT64_C(5400000000000) },
        { "0.0000001s", 100 },
        { "33.33333us", 33333 },
    };
    static const struct bad bad[] = {
        { "40", "missing-unit", 2, "write 40 with ns, us, ms, s" },
        { "40m", "bad-unit", 2, "min" },
        { "40\xc2\xb5s", "bad-unit", 2, "us" },
        { "5124096h", "overflow", 0, NULL },
        { "0.1ns", "too-fine", 0, NULL },
    };

    check_good(nsp_units_read_time, rows, ROWS(rows));
    check_bad(nsp_units_read_time, bad, ROWS(bad));
    check_bad(nsp_units_read_time, bad_everywhere, ROWS(bad_everywhere));
}

TEST(sizes_are_binary_as_in_tc)
{
    static const struct good rows[] = {
        { "0", 0 },
        { "100b", 100 },
        { "1k", 1024 },
        { "64kb", 65536 },
        { "64KiB", 65536 },
        { "1.5mb", 1572864 },
        { "2g", UINT64_C(2) << 30 },
        { "1.1kb", 1126 },
    };
    static const struct bad bad[] = {
        { "64kbit", "bad-unit", 2, "kb" },
        { "1500", "missing-unit", 4, "write 1500 with b" },
        { "99999999999gb", "overflow", 0, NULL },
    };

    check_good(nsp_units_read_bytes, rows, ROWS(rows));
    check_bad(nsp_units_read_bytes, bad, ROWS(bad));
    check_bad(nsp_units_read_bytes, bad_everywhere, ROWS(bad_everywhere));
}

static int
read_percent(const char *text, uint64_t *ret, struct nsp_diag *reterr)
{
    uint32_t ppm;
    int result = nsp_units_read_percent(text, &ppm, reterr);

    if (result == NSP_OK)
        *ret = ppm;
    return result;
}

TEST(percent_needs_its_sign_and_ends_at_one_ppm)
{
    static const struct good rows[] = {
        { "0", 0 },
        { "0%", 0 },
        { "1%", 10000 },
        { "0.5 %", 5000 },
        { "0.0001%", 1 },
        { "33.3333%", 333333 },
        { "100%", 1000000 },
        { "100.0000%", 1000000 },
        { "1.00000000%", 10000 },
    };
    static const struct bad bad[] = {
        { "1", "missing-unit", 1, "write 1%" },
        { "0.01", "missing-unit", 4, "write 0.01%" },
        { "0.00001%", "too-fine", 0, "four digits" },
        { "0.00005%", "too-fine", 0, "four digits" },
        { "1.00005%", "too-fine", 0, "four digits" },
        { "100.0001%", "out-of-range", 0, NULL },
        { "100.00001%", "out-of-range", 0, NULL },
        { "101%", "out-of-range", 0, NULL },
        { "1844674407370955162%", "overflow", 0, NULL },
        { "1%%", "bad-unit", 1, NULL },
    };

    check_good(read_percent, rows, ROWS(rows));
    check_bad(read_percent, bad, ROWS(bad));
    check_bad(read_percent, bad_everywhere, ROWS(bad_everywhere));
}

static uint8_t queue_unit;

static int
read_queue(const char *text, uint64_t *ret, struct nsp_diag *reterr)
{
    return nsp_units_read_queue(text, ret, &queue_unit, reterr);
}

TEST(queue_limits_are_times_sizes_or_packets)
{
    static const struct {
        struct good row;
        uint8_t unit;
    } rows[] = {
        { { "50ms", 50000000 }, NSP_QUEUE_NS },
        { { "1s", 1000000000 }, NSP_QUEUE_NS },
        { { "64kb", 65536 }, NSP_QUEUE_BYTES },
        { { "1m", 1048576 }, NSP_QUEUE_BYTES },
        { { "1min", UINT64_C(60000000000) }, NSP_QUEUE_NS },
        { { "100p", 100 }, NSP_QUEUE_PKTS },
        { { "1 packet", 1 }, NSP_QUEUE_PKTS },
        { { "100Packets", 100 }, NSP_QUEUE_PKTS },
        { { "7pkts", 7 }, NSP_QUEUE_PKTS },
        { { "2.0p", 2 }, NSP_QUEUE_PKTS },
    };
    static const struct bad bad[] = {
        { "100", "missing-unit", 3, "100packets" },
        { "0", "missing-unit", 1, NULL },
        { "0ms", "out-of-range", 0, NULL },
        { "0p", "out-of-range", 0, NULL },
        { "1.5p", "too-fine", 1, "whole" },
        { "5mbit", "bad-unit", 1, NULL },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        check_good(read_queue, &rows[i].row, 1);
        CHECK_EQ(queue_unit, rows[i].unit);
    }
    check_bad(read_queue, bad, ROWS(bad));
    check_bad(read_queue, bad_everywhere, ROWS(bad_everywhere));
}

TEST(reading_does_not_depend_on_the_locale)
{
    static const struct good rows[] = { { "1.5s", 1500000000 } };
    static const struct bad bad[] = { { "1,5s", "bad-unit", 1, NULL } };
    char text[32];

    /* Where neither is installed the C locale is tested once more. */
    if (!setlocale(LC_ALL, "de_DE.UTF-8"))
        setlocale(LC_ALL, "tr_TR.UTF-8");
    check_good(nsp_units_read_time, rows, 1);
    check_bad(nsp_units_read_time, bad, 1);
    CHECK_STR_EQ(nsp_units_write_time(text, sizeof text, 1500000), "1.5 ms");
    setlocale(LC_ALL, "C");
}

TEST(writers_are_short)
{
    static const struct {
        char *(*write)(char *ret, size_t bytes, uint64_t value);
        uint64_t value;
        const char *text;
    } rows[] = {
        { nsp_units_write_rate, 0, "0 bit/s" },
        { nsp_units_write_rate, 1, "1 bit/s" },
        { nsp_units_write_rate, 20000000, "20 Mbit/s" },
        { nsp_units_write_rate, 20500000, "20.5 Mbit/s" },
        { nsp_units_write_rate, 123456789, "123.5 Mbit/s" },
        { nsp_units_write_rate, 1234, "1.234 kbit/s" },
        { nsp_units_write_rate, 10001, "10 kbit/s" },
        { nsp_units_write_rate, 999999, "1000 kbit/s" },
        { nsp_units_write_rate, UINT64_C(1000000000000), "1 Tbit/s" },
        { nsp_units_write_rate, UINT64_MAX, "18446744 Tbit/s" },
        { nsp_units_write_time, 40000000, "40 ms" },
        { nsp_units_write_time, 999, "999 ns" },
        { nsp_units_write_time, 3600000000000, "3600 s" },
        { nsp_units_write_time, 1234567, "1.235 ms" },
        { nsp_units_write_bytes, 1536, "1.5 KiB" },
        { nsp_units_write_bytes, 1500, "1500 B" },
        { nsp_units_write_bytes, 65536, "64 KiB" },
        { nsp_units_write_bytes, 10000000, "9.537 MiB" },
    };
    char text[32];

    for (size_t i = 0; i < ROWS(rows); i++)
        CHECK_STR_EQ(rows[i].write(text, sizeof text, rows[i].value),
                     rows[i].text);
    CHECK_STR_EQ(nsp_units_write_percent(text, sizeof text, 1000), "0.1 %");
    CHECK_STR_EQ(nsp_units_write_percent(text, sizeof text, 0), "0 %");
    CHECK_STR_EQ(nsp_units_write_percent(text, sizeof text, 1), "0.0001 %");
    CHECK_STR_EQ(nsp_units_write_percent(text, sizeof text, 1000000), "100 %");
    CHECK_STR_EQ(nsp_units_write_rate(text, 4, 20000000), "20 ");
}

/* Exact texts read back as the same number, others within half of the last of
 * four digits. */
TEST(what_is_written_reads_back)
{
    uint64_t random = 1;
    char text[48];

    for (int i = 0; i < 200000; i++) {
        struct nsp_diag diag = { .text = "" };
        uint64_t value, back = 0, error;
        uint32_t ppm = 0, few;

        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        value = random >> (11 + i % 50);
        nsp_units_write_rate(text, sizeof text, value);
        if (nsp_units_read_rate(text, &back, &diag) != NSP_OK)
            fail_msg("'%s' was refused: %s", text, diag.text);
        error = back > value ? back - value : value - back;
        if (error > value / 2000)
            fail_msg("%llu was written as '%s'", (unsigned long long)value,
                     text);

        nsp_units_write_time(text, sizeof text, value);
        CHECK_EQ(nsp_units_read_time(text, &back, &diag), NSP_OK);
        nsp_units_write_bytes(text, sizeof text, value);
        CHECK_EQ(nsp_units_read_bytes(text, &back, &diag), NSP_OK);

        few = (uint32_t)(random >> 40) % (NSP_PPM_ONE + 1);
        nsp_units_write_percent(text, sizeof text, few);
        CHECK_EQ(nsp_units_read_percent(text, &ppm, &diag), NSP_OK);
        CHECK_EQ(ppm, few);
        value = few % 10000;
        nsp_units_write_time(text, sizeof text, value);
        CHECK_EQ(nsp_units_read_time(text, &back, &diag), NSP_OK);
        CHECK_EQ(back, value);
    }
}

TEST_MAIN(cmocka_unit_test(rates_are_read_as_in_tc),
          cmocka_unit_test(times_need_a_unit),
          cmocka_unit_test(sizes_are_binary_as_in_tc),
          cmocka_unit_test(percent_needs_its_sign_and_ends_at_one_ppm),
          cmocka_unit_test(queue_limits_are_times_sizes_or_packets),
          cmocka_unit_test(reading_does_not_depend_on_the_locale),
          cmocka_unit_test(writers_are_short),
          cmocka_unit_test(what_is_written_reads_back))
