#include "base/prng.h"
#include "engine/pacer.h"
#include "netshaper/packet.h"
#include "tests/lib/test.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)

/* A machine whose waits end late, and a worker that has something due every
 * 'period_ns' and nothing else to do. */
struct machine {
    struct nsp_pacer pacer;
    uint64_t now_ns, awake_ns;
    uint64_t late_count; /* Dues that were met more than LATE_NS after. */
};

#define LATE_NS (2 * US) /* A round of the loop takes one. */

static uint64_t
sleep_then_meet(struct machine *m, uint64_t due_ns, uint64_t late_ns)
{
    while (m->now_ns < due_ns) {
        uint64_t until_ns =
            nsp_pacer_sleep_until_ns(&m->pacer, m->now_ns, due_ns);

        CHECK(until_ns <= due_ns);
        if (until_ns <= m->now_ns) {
            m->now_ns += US;
            m->awake_ns += US;
            continue;
        }
        m->now_ns = until_ns + late_ns;
        nsp_pacer_woke(&m->pacer, until_ns, m->now_ns);
    }
    m->late_count += m->now_ns - due_ns > LATE_NS;
    return m->now_ns - due_ns;
}

static void
start(struct machine *m)
{
    *m = (struct machine){ .now_ns = 1 };
    nsp_pacer_init(&m->pacer);
}

TEST(pacer_sleeps_without_end_when_nothing_is_due)
{
    struct nsp_pacer pacer;

    nsp_pacer_init(&pacer);
    for (uint64_t now = 1; now < 100 * MS; now += MS)
        CHECK_EQ(nsp_pacer_sleep_until_ns(&pacer, now, NSP_TIME_NEVER),
                 NSP_TIME_NEVER);
}

TEST(pacer_makes_up_for_constant_lateness)
{
    static const uint64_t late_ns[] = { 0,        9 * US,   40 * US,
                                        120 * US, 270 * US, 299 * US };

    for (size_t i = 0; i < NSP_ARRAY_LEN(late_ns); i++) {
        struct machine m;
        uint64_t late = 0;

        start(&m);
        for (uint64_t n = 1; n <= 4000; n++) {
            /* The estimate goes on probing: 1 of 50 is late by a step. */
            if (n == 2000)
                m.late_count = 0;
            late = sleep_then_meet(&m, n * 4 * MS, late_ns[i]);
            CHECK(late <= late_ns[i] + LATE_NS);
        }
        CHECK(m.late_count <= 2000 / 50 + 1);
    }
}

/* 98 of 100 waits end 60 us late, the others 4 ms. */
TEST(pacer_does_not_follow_outliers)
{
    struct nsp_prng random;
    struct machine m;

    start(&m);
    nsp_prng_init(&random, 5, 0);
    for (uint64_t n = 1; n <= 10000; n++) {
        bool outlier = nsp_prng_next(&random) % 100 < 2;

        sleep_then_meet(&m, n * 10 * MS, outlier ? 4 * MS : 60 * US);
        CHECK(m.pacer.late_ns <= NSP_PACER_LATE_NS_MAX);
    }
    CHECK(m.late_count <= 10000 / 20); /* Outliers, and the way up. */
}

/* Up to 200 us late, evenly. */
TEST(pacer_is_early_enough_for_most_lateness)
{
    struct nsp_prng random;
    struct machine m;

    start(&m);
    nsp_prng_init(&random, 7, 0);
    for (uint64_t n = 1; n <= 10000; n++)
        sleep_then_meet(&m, n * 10 * MS, nsp_prng_next(&random) % (200 * US));
    CHECK(m.late_count <= 10000 / 20);
}

/* However late the machine and however often something is due. */
TEST(pacer_is_awake_for_its_share_of_the_time_at_most)
{
    struct nsp_prng random;

    nsp_prng_init(&random, 6, 0);
    for (int run = 0; run < 50; run++) {
        uint64_t period_ns = US << nsp_prng_next(&random) % 13;
        struct machine m;

        start(&m);
        for (uint64_t due = period_ns; m.now_ns < 500 * MS;
             due = nsp_max_u64(due, m.now_ns) + period_ns) {
            sleep_then_meet(&m, due, nsp_prng_next(&random) % (350 * US));
            CHECK(m.awake_ns <= m.now_ns / NSP_PACER_AWAKE_SHARE +
                                    (uint64_t)NSP_PACER_CREDIT_NS_MAX + 2 * US);
        }
    }
}

/* Waits awake for as long as the pacer lets it; returns how long. */
static uint64_t
wait_awake(struct nsp_pacer *pacer, uint64_t *now_ns)
{
    uint64_t since_ns = *now_ns;

    while (nsp_pacer_sleep_until_ns(pacer, *now_ns, *now_ns + 5 * US) <=
           *now_ns)
        *now_ns += US;
    return *now_ns - since_ns;
}

TEST(pacer_saves_no_more_than_its_credit)
{
    const uint64_t credit_ns = (uint64_t)NSP_PACER_CREDIT_NS_MAX;
    struct nsp_pacer pacer;
    uint64_t now_ns = 1;

    nsp_pacer_init(&pacer);
    for (int i = 0; i < 100; i++, now_ns += 100 * MS)
        CHECK_EQ(nsp_pacer_sleep_until_ns(&pacer, now_ns, NSP_TIME_NEVER),
                 NSP_TIME_NEVER);
    /* What it earns meanwhile is a fourth. */
    CHECK(wait_awake(&pacer, &now_ns) <= credit_ns * 4 / 3 + 2 * US);
}

TEST(pacer_begins_to_wait_awake_only_if_it_can_go_on_to_the_end)
{
    struct nsp_pacer pacer;
    uint64_t now_ns = 1;

    nsp_pacer_init(&pacer);
    CHECK(wait_awake(&pacer, &now_ns) > 0);
    now_ns += NSP_PACER_AWAKE_SHARE * 2 * US; /* Earns 2 us of 10. */
    CHECK_EQ(nsp_pacer_sleep_until_ns(&pacer, now_ns, now_ns + 5 * US),
             now_ns + 5 * US);
}

TEST(pacer_learns_nothing_from_a_sleep_that_something_else_ended)
{
    struct nsp_pacer pacer;
    uint64_t before;

    nsp_pacer_init(&pacer);
    nsp_pacer_woke(&pacer, 1 * MS, 2 * MS);
    before = pacer.late_ns;
    nsp_pacer_woke(&pacer, 4 * MS, 3 * MS);
    CHECK_EQ(pacer.late_ns, before);
}

TEST_MAIN(cmocka_unit_test(pacer_sleeps_without_end_when_nothing_is_due),
          cmocka_unit_test(pacer_makes_up_for_constant_lateness),
          cmocka_unit_test(pacer_does_not_follow_outliers),
          cmocka_unit_test(pacer_is_early_enough_for_most_lateness),
          cmocka_unit_test(pacer_is_awake_for_its_share_of_the_time_at_most),
          cmocka_unit_test(pacer_saves_no_more_than_its_credit),
          cmocka_unit_test(
              pacer_begins_to_wait_awake_only_if_it_can_go_on_to_the_end),
          cmocka_unit_test(
              pacer_learns_nothing_from_a_sleep_that_something_else_ended))
