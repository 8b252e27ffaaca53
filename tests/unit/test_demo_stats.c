#include "cli/demo_stats.h"
#include "tests/lib/test.h"

TEST(median_is_the_middle_or_the_lower_of_two)
{
    uint64_t one[] = { 7 }, odd[] = { 9, 1, 5 }, even[] = { 4, 3, 2, 1 };

    CHECK_EQ(nsp_stats_median(NULL, 0), 0);
    CHECK_EQ(nsp_stats_median(one, 1), 7);
    CHECK_EQ(nsp_stats_median(odd, 3), 5);
    CHECK_EQ(nsp_stats_median(even, 4), 2);
}

/* Expected by exact rational arithmetic over the binomial coefficients. */
TEST(interval_holds_what_chance_may_do)
{
    static const struct {
        uint32_t n;
        double probability, tail;
        uint32_t low, high;
    } cases[] = {
        { 10, 0.5, 0.001, 1, 9 },        { 100, 0.01, 0.0005, 0, 6 },
        { 1000, 0.01, 0.0005, 2, 22 },   { 2000, 0.25, 0.05, 468, 532 },
        { 8000, 0.01, 0.0005, 52, 111 },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t low, high;

        nsp_stats_binomial_interval(cases[i].n, cases[i].probability,
                                    cases[i].tail, &low, &high);
        CHECK_EQ(low, cases[i].low);
        CHECK_EQ(high, cases[i].high);
    }
}

/* Zero trials: nothing can happen. */
TEST(interval_of_no_trials_is_zero)
{
    uint32_t low, high;

    nsp_stats_binomial_interval(0, 0.01, 0.0005, &low, &high);
    CHECK_EQ(low, 0);
    CHECK_EQ(high, 0);
}

TEST_MAIN(cmocka_unit_test(median_is_the_middle_or_the_lower_of_two),
          cmocka_unit_test(interval_holds_what_chance_may_do),
          cmocka_unit_test(interval_of_no_trials_is_zero))
