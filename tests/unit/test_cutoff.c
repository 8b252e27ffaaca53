#include "shape/cutoff.h"
#include "netshaper/packet.h"
#include "tests/lib/test.h"

#define NEVER NSP_TIME_NEVER

struct row {
    uint64_t at_ns;
    uint32_t bytes;
    uint64_t passes_ns;
};

static void
check_rows(const struct nsp_cutoff_config *cutoff, uint64_t start_ns,
           const struct row *rows, size_t count)
{
    struct nsp_cutoff_state past = { .start_ns = start_ns };

    CHECK(nsp_cutoff_fault(cutoff) == NULL);
    for (size_t i = 0; i < count; i++)
        CHECK_EQ(
            nsp_cutoff_pass_ns(cutoff, &past, rows[i].at_ns, rows[i].bytes),
            rows[i].passes_ns);
}

TEST(cutoff_breaks_off_after_bytes_for_good)
{
    static const struct nsp_cutoff_config cutoff = { .after_bytes = 1000,
                                                     .stall_ns = NEVER };
    static const struct row rows[] = {
        { 5, 999, 5 },      { 6, 500, 6 },           { 6, 1, NEVER },
        { 1000, 1, NEVER }, { NEVER - 1, 1, NEVER },
    };

    check_rows(&cutoff, 0, rows, NSP_ARRAY_LEN(rows));
}

TEST(cutoff_stalls_after_bytes_from_the_packet_that_finds_it)
{
    static const struct nsp_cutoff_config cutoff = { .after_bytes = 1000,
                                                     .stall_ns = 100 };
    static const struct row rows[] = {
        { 5, 1000, 5 },     { 50, 1, 150 },     { 149, 1, 150 },
        { 150, 5000, 150 }, { 151, 5000, 151 }, { 1000, 5000, 1000 },
    };

    check_rows(&cutoff, 0, rows, NSP_ARRAY_LEN(rows));
}

TEST(cutoff_stalls_after_a_time_from_the_start)
{
    static const struct nsp_cutoff_config cutoff = { .after_ns = 200,
                                                     .stall_ns = 100 };
    static const struct row rows[] = {
        { 1000, 1, 1000 }, { 1199, 1, 1199 }, { 1200, 1, 1300 },
        { 1250, 1, 1300 }, { 1300, 1, 1300 }, { 5000, 1, 5000 },
    };
    /* Nothing comes while it stalls. */
    static const struct row late[] = { { 1000, 1, 1000 }, { 1400, 1, 1400 } };

    check_rows(&cutoff, 1000, rows, NSP_ARRAY_LEN(rows));
    check_rows(&cutoff, 1000, late, NSP_ARRAY_LEN(late));
}

TEST(cutoff_stalls_by_what_comes_first)
{
    static const struct nsp_cutoff_config cutoff = { 1000, 200, NEVER, false,
                                                     0 };
    static const struct row by_bytes[] = { { 5, 1000, 5 }, { 6, 1, NEVER } };
    static const struct row by_time[] = { { 5, 999, 5 }, { 200, 1, NEVER } };

    check_rows(&cutoff, 0, by_bytes, 2);
    check_rows(&cutoff, 0, by_time, 2);
}

TEST(cutoff_refuses_what_makes_no_sense)
{
    static const struct nsp_cutoff_config cases[] = { { 0, 0, 5, false, 0 },
                                                      { 1, 1, 0, false, 0 } };

    for (size_t i = 0; i < NSP_ARRAY_LEN(cases); i++)
        CHECK(nsp_cutoff_fault(&cases[i]) != NULL);
}

TEST_MAIN(
    cmocka_unit_test(cutoff_breaks_off_after_bytes_for_good),
    cmocka_unit_test(cutoff_stalls_after_bytes_from_the_packet_that_finds_it),
    cmocka_unit_test(cutoff_stalls_after_a_time_from_the_start),
    cmocka_unit_test(cutoff_stalls_by_what_comes_first),
    cmocka_unit_test(cutoff_refuses_what_makes_no_sense))
