#include "base/real.h"
#include "base/base.h"
#include "base/prng.h"
#include "tests/lib/test.h"

#include <math.h>

/* The C library's functions are the reference: right to the last bit or so. */
static bool
agree(double value, double reference)
{
    return fabs(value - reference) <= 1e-13 * fabs(reference);
}

static double
between(struct nsp_prng *random, double low, double high)
{
    return low + (high - low) * (double)(nsp_prng_next(random) >> 11) * 0x1p-53;
}

TEST(real_exp_and_log_agree_with_the_c_library)
{
    struct nsp_prng random;

    nsp_prng_init(&random, 1, 0);
    for (int i = 0; i < 200000; i++) {
        double x = between(&random, -700, 700);
        double y = between(&random, -1, 1);
        double near_one = between(&random, 0.5, 2);

        CHECK(agree(nsp_real_exp(x), exp(x)));
        CHECK(agree(nsp_real_exp(y), exp(y)));
        CHECK(agree(nsp_real_log(exp(x)), log(exp(x))));
        CHECK(agree(nsp_real_log(near_one), log(near_one)));
    }
    CHECK(nsp_real_exp(0) == 1);
    CHECK(nsp_real_log(1) == 0);
}

TEST(real_sqrt_agrees_with_the_c_library)
{
    struct nsp_prng random;

    nsp_prng_init(&random, 2, 0);
    for (int i = 0; i < 100000; i++) {
        double x = exp(between(&random, -200, 200));

        CHECK(agree(nsp_real_sqrt(x), sqrt(x)));
    }
    CHECK(nsp_real_sqrt(0) == 0);
    CHECK(nsp_real_sqrt(4) == 2);
}

TEST(real_normal_agrees_with_the_c_library)
{
    for (double z = -9; z <= 9; z += 0.0009765625) {
        double density = exp(-z * z / 2) / sqrt(2 * acos(-1));

        CHECK(agree(nsp_real_normal_tail(z), erfc(z / sqrt(2)) / 2));
        CHECK(agree(nsp_real_normal_density(z), density));
    }
    CHECK(nsp_real_normal_tail(0) == 0.5);
}

/* The same bits from every compiler: these were once computed. */
TEST(real_gives_the_same_bits_everywhere)
{
    uint64_t hash = 0;

    for (int i = 1; i <= 1000; i++) {
        const double values[] = {
            nsp_real_exp(i / 7.0 - 70),
            nsp_real_log(i / 3.0),
            nsp_real_sqrt(i / 3.0),
            nsp_real_normal_tail(i / 125.0),
        };
        union {
            double real;
            uint64_t bits;
        } u;

        for (size_t k = 0; k < NSP_ARRAY_LEN(values); k++) {
            u.real = values[k];
            hash = nsp_mix64(hash ^ u.bits);
        }
    }
    CHECK_EQ(hash, UINT64_C(0xc8ba85882668d51f));
}

TEST_MAIN(cmocka_unit_test(real_exp_and_log_agree_with_the_c_library),
          cmocka_unit_test(real_sqrt_agrees_with_the_c_library),
          cmocka_unit_test(real_normal_agrees_with_the_c_library),
          cmocka_unit_test(real_gives_the_same_bits_everywhere))
