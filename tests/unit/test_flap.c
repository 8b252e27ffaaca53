#include "shape/flap.h"
#include "tests/lib/statistics.h"
#include "tests/lib/test.h"

#define SECOND NSP_NS_PER_SECOND

TEST(flap_follows_its_schedule_nanosecond_by_nanosecond)
{
    static const struct nsp_flap flaps[] = {
        { NSP_FLAP_SCHEDULE, 2, { 7, 3 } },
        { NSP_FLAP_SCHEDULE, 6, { 1, 2, 3, 4, 5, 6 } },
    };

    for (size_t f = 0; f < NSP_ARRAY_LEN(flaps); f++) {
        struct nsp_flap_state past = { .start_ns = 100 };
        uint32_t time = 0, left = (uint32_t)flaps[f].times_ns[0];

        CHECK_EQ(nsp_flap_up_ns(&flaps[f], &past, 99, NULL), 99);
        for (uint64_t now_ns = 100; now_ns < 1000; now_ns++) {
            CHECK_EQ(nsp_flap_up_ns(&flaps[f], &past, now_ns, NULL),
                     time % 2 == 0 ? now_ns : now_ns + left);
            if (--left == 0) {
                time = (time + 1) % flaps[f].count;
                left = (uint32_t)flaps[f].times_ns[time];
            }
        }
    }
}

/* Means of 10,000 times each; their deviation is their mean. */
TEST(flap_has_exponential_times)
{
    const struct nsp_flap flap = { NSP_FLAP_EXPONENTIAL,
                                   2,
                                   { 3 * SECOND, SECOND } };
    enum { N = 10000 };
    static double up[N], down[N];
    struct nsp_flap_state past = { 0 };
    struct nsp_prng random;
    uint64_t now_ns = 0;

    nsp_prng_init(&random, 5, 0);
    for (int i = 0; i < N; i++) {
        uint64_t change_ns, up_ns;

        CHECK_EQ(nsp_flap_up_ns(&flap, &past, now_ns, &random), now_ns);
        change_ns = past.change_ns;
        CHECK_EQ(nsp_flap_up_ns(&flap, &past, change_ns - 1, &random),
                 change_ns - 1);
        up_ns = nsp_flap_up_ns(&flap, &past, change_ns, &random);
        CHECK(up_ns > change_ns);
        up[i] = (double)(change_ns - now_ns);
        down[i] = (double)(up_ns - change_ns);
        now_ns = up_ns;
    }
    CHECK(is_near(mean_of(up, N) / 3e9, 1, 0.0329));
    CHECK(is_near(sd_of(up, N) / 3e9, 1, 0.05));
    CHECK(is_near(mean_of(down, N) / 1e9, 1, 0.0329));
    CHECK(is_near(sd_of(down, N) / 1e9, 1, 0.05));
    CHECK(fabs(autocorrelation(up, N, 1)) < 0.0329);
}

/* Two links of one seed flap together, whenever they are asked. */
TEST(flap_does_not_depend_on_the_packets)
{
    const struct nsp_flap flap = { NSP_FLAP_EXPONENTIAL, 2, { 900, 300 } };
    struct nsp_flap_state often = { 0 }, seldom = { 0 };
    struct nsp_prng a, b;

    nsp_prng_init(&a, 6, 0);
    nsp_prng_init(&b, 6, 0);
    for (uint64_t now_ns = 0; now_ns < 1000000; now_ns += 10) {
        uint64_t up_ns = nsp_flap_up_ns(&flap, &often, now_ns, &a);

        if (now_ns % 7770 == 0)
            CHECK_EQ(nsp_flap_up_ns(&flap, &seldom, now_ns, &b), up_ns);
    }
}

TEST(flap_is_found_as_it_would_be_after_a_long_time)
{
    const struct nsp_flap flap = { NSP_FLAP_EXPONENTIAL, 2, { 900, 300 } };
    const uint64_t far_ns = UINT64_C(1) << 62, n = 20000;
    uint64_t found_up = 0;
    double waits = 0;

    for (uint64_t i = 0; i < n; i++) {
        struct nsp_flap_state past = { 0 };
        struct nsp_prng random;
        uint64_t up_ns;

        nsp_prng_init(&random, 7, i);
        up_ns = nsp_flap_up_ns(&flap, &past, far_ns, &random);
        found_up += up_ns == far_ns;
        waits += (double)(up_ns - far_ns);
    }
    CHECK(is_binomial(found_up, n, 0.75));
    CHECK(is_near(waits / (double)(n - found_up), 300, 300 * 0.05));
}

TEST(flap_refuses_what_makes_no_sense)
{
    static const uint64_t times[] = { 1, 1, 1, 1 }, none[] = { 1, 0 },
                          long_one[] = { 1, NSP_FLAP_NS_MAX + 1 };
    static const struct nsp_flap_config cases[] = {
        { NSP_FLAP_EXPONENTIAL + 1, false, 2, times, 0 },
        { NSP_FLAP_SCHEDULE, false, 0, times, 0 },
        { NSP_FLAP_SCHEDULE, false, 3, times, 0 },
        { NSP_FLAP_SCHEDULE, false, 2, none, 0 },
        { NSP_FLAP_SCHEDULE, false, 2, long_one, 0 },
        { NSP_FLAP_SCHEDULE, false, 2, NULL, 0 },
        { NSP_FLAP_SCHEDULE, false, NSP_FLAP_TIMES_MAX + 2, times, 0 },
        { NSP_FLAP_EXPONENTIAL, false, 4, times, 0 },
    };
    const struct nsp_flap_config good = { .count = 4, .times_ns = times };
    struct nsp_flap flap;

    for (size_t i = 0; i < NSP_ARRAY_LEN(cases); i++) {
        CHECK(nsp_flap_fault(&cases[i]) != NULL);
        CHECK(nsp_flap_init(&flap, &cases[i]) < 0);
    }
    CHECK_EQ(nsp_flap_init(&flap, &good), 0);
    CHECK_EQ(flap.count, 4);
    CHECK_EQ(flap.times_ns[3], 1);
}

TEST_MAIN(cmocka_unit_test(flap_follows_its_schedule_nanosecond_by_nanosecond),
          cmocka_unit_test(flap_has_exponential_times),
          cmocka_unit_test(flap_does_not_depend_on_the_packets),
          cmocka_unit_test(flap_is_found_as_it_would_be_after_a_long_time),
          cmocka_unit_test(flap_refuses_what_makes_no_sense))
