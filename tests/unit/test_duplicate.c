#include "impair/duplicate.h"
#include "netshaper/policy.h"
#include "tests/lib/statistics.h"
#include "tests/lib/test.h"

#include <errno.h>

TEST(duplicate_copies_as_many_packets_as_often_as_asked)
{
    const uint32_t rho_ppm[] = { 0, 500000 };
    const uint64_t n = 1000000;

    for (size_t r = 0; r < NSP_ARRAY_LEN(rho_ppm); r++) {
        const struct nsp_duplicate_config cfg = {
            .ppm = 20000,
            .correlation_ppm = rho_ppm[r],
            .copies = 3,
        };
        double rho = rho_ppm[r] / 1e6;
        struct nsp_duplicate duplicate;
        struct nsp_prng random;
        uint64_t copies = 0;
        uint8_t past = 0;

        CHECK_EQ(nsp_duplicate_init(&duplicate, &cfg), 0);
        nsp_prng_init(&random, 1, r);
        for (uint64_t i = 0; i < n; i++) {
            uint32_t now = nsp_duplicate_decide(&duplicate, &past, &random);

            CHECK(now == 0 || now == 3);
            copies += now;
        }
        CHECK(is_near((double)copies / 3, 20000,
                      3.29 * sqrt(19600 * (1 + rho) / (1 - rho))));
    }
}

TEST(duplicate_spaces_copies)
{
    const struct nsp_duplicate_config cfg = {
        .ppm = NSP_PPM_ONE,
        .copies = NSP_DUPLICATE_COPIES_MAX,
        .spacing_ns = NSP_DUPLICATE_NS_MAX,
    };
    struct nsp_duplicate duplicate;

    CHECK_EQ(nsp_duplicate_init(&duplicate, &cfg), 0);
    CHECK_EQ(nsp_duplicate_due_ns(&duplicate, 5, 1), 5 + NSP_DUPLICATE_NS_MAX);
    CHECK_EQ(nsp_duplicate_due_ns(&duplicate, 5, 64),
             5 + 64 * NSP_DUPLICATE_NS_MAX);
    CHECK_EQ(nsp_duplicate_due_ns(&duplicate, UINT64_MAX - 1, 1), UINT64_MAX);
}

TEST(duplicate_refuses_what_makes_no_sense)
{
    const struct nsp_duplicate_config cases[] = {
        { .ppm = 1, .copies = 0 },
        { .ppm = 1, .copies = NSP_DUPLICATE_COPIES_MAX + 1 },
        { .ppm = NSP_PPM_ONE + 1, .copies = 1 },
        { .correlation_ppm = NSP_PPM_ONE, .copies = 1 },
        { .copies = 1, .spacing_ns = NSP_DUPLICATE_NS_MAX + 1 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(cases); i++) {
        struct nsp_duplicate duplicate;

        CHECK(nsp_duplicate_fault(&cases[i]) != NULL);
        CHECK_EQ(nsp_duplicate_init(&duplicate, &cases[i]), -EINVAL);
    }
}

TEST_MAIN(cmocka_unit_test(duplicate_copies_as_many_packets_as_often_as_asked),
          cmocka_unit_test(duplicate_spaces_copies),
          cmocka_unit_test(duplicate_refuses_what_makes_no_sense))
