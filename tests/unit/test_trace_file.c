#include "config/trace_file.h"
#include "base/base.h"
#include "base/prng.h"
#include "tests/lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS UINT64_C(1000000)

static int
read_dist(const char *text, int16_t *ret, uint32_t max, uint32_t *ret_count,
          struct nsp_diag *diag)
{
    return nsp_dist_file_read(text, strlen(text), max, ret, ret_count, diag);
}

TEST(dist_file_reads_numbers_between_blanks_and_comments)
{
    static const struct {
        const char *text;
        int16_t values[4];
        uint32_t count;
    } rows[] = {
        { "1", { 1 }, 1 },
        { "# table\n\n -32768 32767\r\n\t0 -0", { -32768, 32767, 0, 0 }, 4 },
        { "7#seven 8\n9", { 7, 9 }, 2 },
        { "00012", { 12 }, 1 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        int16_t values[4] = { 0 };
        uint32_t count = 0;
        struct nsp_diag diag;

        CHECK_EQ(read_dist(rows[i].text, values, 4, &count, &diag), NSP_OK);
        CHECK_EQ(count, rows[i].count);
        CHECK_MEM_EQ(values, rows[i].values, sizeof values);
        CHECK_EQ(read_dist(rows[i].text, NULL, 4, &count, NULL), NSP_OK);
        CHECK_EQ(count, rows[i].count);
    }
}

struct refusal {
    const char *text;
    uint32_t line, column;
    const char *word; /* In what is said. */
};

static void
check_refusal(const struct refusal *row, int result,
              const struct nsp_diag *diag)
{
    CHECK_EQ(result, NSP_INVALID_PARAMETER);
    CHECK_EQ(diag->result, NSP_INVALID_PARAMETER);
    CHECK_EQ(diag->line, row->line);
    CHECK_EQ(diag->column, row->column);
    CHECK(strstr(diag->text, row->word) != NULL);
    CHECK_STR_EQ(diag->category, "bad-trace");
    CHECK(diag->hint[0] != '\0');
}

TEST(dist_file_says_where_it_is_wrong)
{
    static const struct refusal rows[] = {
        { "", 1, 1, "without a number" },
        { "# 1\n", 2, 1, "without a number" },
        { "1\n2 32768", 2, 3, "not '32768'" },
        { "-32769", 1, 1, "not '-32769'" },
        { "1 2 x\n", 1, 5, "not 'x'" },
        { "1 -", 1, 3, "not '-'" },
        { "1,2", 1, 1, "not '1,2'" },
        { "1.5", 1, 1, "not '1.5'" },
        { "\n\n +1", 3, 2, "not '+1'" },
        { "1 \x01\xff", 1, 3,
          "not '?"
          "?'" },
        { "1 2 3 4 5", 1, 9, "more than 4" },
        { "99999999999999999999999999999999999999999999", 1, 1,
          "not '99999999999999999999999999999999'" },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        int16_t values[4];
        uint32_t count = 77;
        struct nsp_diag diag;

        check_refusal(&rows[i],
                      read_dist(rows[i].text, values, 4, &count, &diag), &diag);
        CHECK_EQ(count, 77);
        CHECK_EQ(read_dist(rows[i].text, NULL, 4, &count, NULL),
                 NSP_INVALID_PARAMETER);
    }
}

TEST(trace_file_reads_times_in_either_unit)
{
    static const struct {
        const char *text;
        uint64_t unit_ns, at_ns[4];
        uint32_t count;
    } rows[] = {
        { "1\n", MS, { MS }, 1 },
        { "1", MS, { MS }, 1 },
        { "0\n0\n3\r\n3", MS, { 0, 0, 3 * MS, 3 * MS }, 4 },
        { "86400000", MS, { 86400000 * MS }, 1 },
        { "5\n86400000000000", 1, { 5, 86400000 * MS }, 2 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        uint64_t at_ns[4] = { 0 };
        uint32_t count = 0;
        struct nsp_diag diag;
        size_t bytes = strlen(rows[i].text);

        CHECK_EQ(nsp_trace_file_read(rows[i].text, bytes, rows[i].unit_ns, 4,
                                     at_ns, &count, &diag),
                 NSP_OK);
        CHECK_EQ(count, rows[i].count);
        CHECK_MEM_EQ(at_ns, rows[i].at_ns, sizeof at_ns);
        CHECK_EQ(nsp_trace_file_read(rows[i].text, bytes, rows[i].unit_ns,
                                     UINT32_MAX, NULL, &count, NULL),
                 NSP_OK);
        CHECK_EQ(count, rows[i].count);
    }
}

TEST(trace_file_says_where_it_is_wrong)
{
    static const struct refusal rows[] = {
        { "", 1, 1, "a time after 0" },
        { "0\n0\n", 3, 1, "a time after 0" },
        { "1\n\n2\n", 2, 1, "expected a time in whole ms" },
        { "\n1\n", 1, 1, "expected a time" },
        { "2\n1\n", 2, 1, "before that of the line above" },
        { "1\n 2", 2, 1, "expected a time" },
        { "1\n2 3", 2, 2, "expected the end of the line" },
        { "1\n2x", 2, 2, "not 'x'" },
        { "1\r2\n", 1, 2, "expected the end of the line" },
        { "-1\n", 1, 1, "not '-1'" },
        { "86400001\n", 1, 1, "up to a day" },
        { "18446744073709551617\n", 1, 1, "up to a day" },
        { "1\n2\n3\n4\n5\n", 5, 1, "more than 4" },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        uint64_t at_ns[4];
        uint32_t count = 77;
        struct nsp_diag diag;

        check_refusal(&rows[i],
                      nsp_trace_file_read(rows[i].text, strlen(rows[i].text),
                                          MS, 4, at_ns, &count, &diag),
                      &diag);
        CHECK_EQ(count, 77);
    }
}

/* What is written comes back, whatever it is. */
TEST(trace_file_reads_what_was_written)
{
    enum { N = 5000 };
    static uint64_t at_ns[N], read_ns[N];
    static int16_t values[N], read_values[N];
    static char trace[N * 16], dist[N * 8];
    size_t trace_bytes = 0, dist_bytes = 0;
    struct nsp_prng random;
    uint32_t count = 0;

    nsp_prng_init(&random, 1, 0);
    for (uint32_t i = 0; i < N; i++) {
        at_ns[i] = (i > 0 ? at_ns[i - 1] : 0) + nsp_prng_below(&random, 3000);
        values[i] = (int16_t)nsp_prng_next(&random);
        trace_bytes +=
            (size_t)sprintf(trace + trace_bytes, "%ju\n", (uintmax_t)at_ns[i]);
        dist_bytes +=
            (size_t)sprintf(dist + dist_bytes, "%d%c", values[i],
                            nsp_prng_below(&random, 2) != 0 ? ' ' : '\n');
    }
    CHECK_EQ(
        nsp_trace_file_read(trace, trace_bytes, 1, N, read_ns, &count, NULL),
        NSP_OK);
    CHECK_EQ(count, N);
    CHECK_MEM_EQ(read_ns, at_ns, sizeof at_ns);
    CHECK_EQ(nsp_dist_file_read(dist, dist_bytes, N, read_values, &count, NULL),
             NSP_OK);
    CHECK_EQ(count, N);
    CHECK_MEM_EQ(read_values, values, sizeof values);
}

TEST(delay_file_reads_a_time_a_line)
{
    static const char text[] = "# ms\n40ms\r\n\n 2.5 ms # less\n0\n1h";
    static const uint64_t expect[] = { 40 * MS, 2500000, 0, 3600000 * MS };
    uint64_t ns[4] = { 0 };
    uint32_t count = 0;

    CHECK_EQ(nsp_delay_file_read(text, strlen(text), 3600000 * MS, 4, ns,
                                 &count, NULL),
             NSP_OK);
    CHECK_EQ(count, 4);
    CHECK_MEM_EQ(ns, expect, sizeof ns);
    CHECK_EQ(nsp_delay_file_read(text, strlen(text), 3600000 * MS, 4, NULL,
                                 &count, NULL),
             NSP_OK);
    CHECK_EQ(count, 4);
}

TEST(delay_file_says_where_it_is_wrong)
{
    static const struct refusal rows[] = {
        { "", 1, 1, "without a delay" },
        { "# 1ms\n", 2, 1, "without a delay" },
        { "1ms\n  2\n", 2, 4, "unit" },
        { "1ms 2ms", 1, 2, "ms 2ms" },
        { "-1ms", 1, 1, "negative" },
        { "1ms\n1001ms", 2, 1, "too long" },
        { "1ms\n1ms\n1ms", 3, 1, "more than 2" },
        { "1\x01", 1, 2, "'?'" },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        uint64_t ns[2];
        uint32_t count = 77;
        struct nsp_diag diag;

        check_refusal(&rows[i],
                      nsp_delay_file_read(rows[i].text, strlen(rows[i].text),
                                          1000 * MS, 2, ns, &count, &diag),
                      &diag);
        CHECK_EQ(count, 77);
    }
}

TEST(loss_file_reads_a_digit_for_each_packet)
{
    static const char text[] = "# 1\n00 1\r\n\t1 # 1\n0";
    static const uint8_t expect[] = { 0, 0, 1, 1, 0 };
    static const struct refusal rows[] = {
        { "", 1, 1, "without a packet" },
        { "01\n 2", 2, 2, "not '2'" },
        { "010101", 1, 6, "more than 5" },
    };
    uint8_t lost[5] = { 0 };
    uint32_t count = 0;

    CHECK_EQ(nsp_loss_file_read(text, strlen(text), 5, lost, &count, NULL),
             NSP_OK);
    CHECK_EQ(count, 5);
    CHECK_MEM_EQ(lost, expect, sizeof lost);
    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        struct nsp_diag diag;

        check_refusal(&rows[i],
                      nsp_loss_file_read(rows[i].text, strlen(rows[i].text), 5,
                                         lost, &count, &diag),
                      &diag);
        CHECK_EQ(count, 5);
    }
}

TEST_MAIN(cmocka_unit_test(dist_file_reads_numbers_between_blanks_and_comments),
          cmocka_unit_test(dist_file_says_where_it_is_wrong),
          cmocka_unit_test(trace_file_reads_times_in_either_unit),
          cmocka_unit_test(trace_file_says_where_it_is_wrong),
          cmocka_unit_test(trace_file_reads_what_was_written),
          cmocka_unit_test(delay_file_reads_a_time_a_line),
          cmocka_unit_test(delay_file_says_where_it_is_wrong),
          cmocka_unit_test(loss_file_reads_a_digit_for_each_packet))
