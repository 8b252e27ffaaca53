/* When steps of scenarios are in force. */
#include "config/scenario.h"

#include "base/base.h"
#include "tests/lib/test.h"

#define S     UINT64_C(1000000000)
#define NEVER NSP_SCENARIO_NEVER

TEST(a_step_is_in_force_when_its_times_say)
{
    static const struct {
        struct nsp_step_times step;
        uint64_t now_ns;
        struct nsp_step_phase expect;
    } rows[] = {
        /* At once and for good. */
        { { 30 * S, 0, 0, 0, S }, 0, { false, 0, 30 * S } },
        { { 30 * S, 0, 0, 0, S }, 30 * S - 1, { false, 0, 1 } },
        { { 30 * S, 0, 0, 0, S }, 30 * S, { true, 0, NEVER } },
        { { 0, 0, 0, 0, S }, 0, { true, 0, NEVER } },
        /* For a time. */
        { { 5 * S, 0, 2 * S, 0, S }, 5 * S, { true, 0, 2 * S } },
        { { 5 * S, 0, 2 * S, 0, S }, 7 * S - 1, { true, 0, 1 } },
        { { 5 * S, 0, 2 * S, 0, S }, 7 * S, { false, 0, NEVER } },
        /* Again and again. */
        { { 5 * S, 10 * S, 2 * S, 0, S }, 6 * S, { true, 0, S } },
        { { 5 * S, 10 * S, 2 * S, 0, S }, 7 * S, { false, 0, 8 * S } },
        { { 5 * S, 10 * S, 2 * S, 0, S }, 105 * S, { true, 0, 2 * S } },
        { { 0, 2 * S, 2 * S, 0, S }, 3 * S, { true, 0, S } },
        /* Evenly, in ticks. */
        { { S, 0, 0, 10 * S, 3 * S }, S, { true, 0, 3 * S } },
        { { S, 0, 0, 10 * S, 3 * S }, 5 * S, { true, 3 * S, 2 * S } },
        { { S, 0, 0, 10 * S, 3 * S }, 10 * S, { true, 9 * S, S } },
        { { S, 0, 0, 10 * S, 3 * S }, 11 * S, { true, 10 * S, NEVER } },
        { { S, 0, 12 * S, 10 * S, 3 * S }, 12 * S, { true, 10 * S, S } },
        { { S, 0, 5 * S, 5 * S, 3 * S }, 5 * S, { true, 3 * S, S } },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        struct nsp_step_phase phase =
            nsp_step_phase_at(&rows[i].step, rows[i].now_ns);

        CHECK_EQ(phase.active, rows[i].expect.active);
        CHECK_EQ(phase.next_ns, rows[i].expect.next_ns);
        if (phase.active)
            CHECK_EQ(phase.elapsed_ns, rows[i].expect.elapsed_ns);
    }
}

/* Against going through time in steps of a second: nothing changes but when it
 * was said to. */
TEST(nothing_changes_before_it_is_said_to)
{
    static const struct nsp_step_times steps[] = {
        { 3 * S, 0, 0, 0, S },
        { 0, 7 * S, 2 * S, 0, S },
        { 4 * S, 11 * S, 9 * S, 6 * S, 2 * S },
        { S, 0, 20 * S, 13 * S, 5 * S },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(steps); i++) {
        struct nsp_step_phase last = nsp_step_phase_at(&steps[i], 0);
        uint64_t changes_ns = last.next_ns;

        for (uint64_t now = S; now < 100 * S; now += S) {
            struct nsp_step_phase phase = nsp_step_phase_at(&steps[i], now);

            if (now < changes_ns) {
                CHECK_EQ(phase.active, last.active);
                CHECK_EQ(phase.elapsed_ns, last.elapsed_ns);
                CHECK_EQ(phase.next_ns,
                         changes_ns == NEVER ? NEVER : changes_ns - now);
                continue;
            }
            CHECK_EQ(now, changes_ns);
            last = phase;
            changes_ns = phase.next_ns == NEVER ? NEVER : now + phase.next_ns;
        }
    }
}

TEST(values_between_two_are_on_a_line)
{
    CHECK_EQ(nsp_scenario_between(0, 100, 0, 10), 0);
    CHECK_EQ(nsp_scenario_between(0, 100, 3, 10), 30);
    CHECK_EQ(nsp_scenario_between(0, 100, 10, 10), 100);
    CHECK_EQ(nsp_scenario_between(100, 0, 3, 10), 70);
    CHECK_EQ(nsp_scenario_between(5, 5, 3, 10), 5);
    CHECK_EQ(nsp_scenario_between(0, 1, 1, 3), 0);
    CHECK_EQ(nsp_scenario_between(0, 1, 2, 3), 1);
    CHECK_EQ(nsp_scenario_between(UINT64_C(1000000000000), 8, 1, 2),
             UINT64_C(500000000004));
}

TEST_MAIN(cmocka_unit_test(a_step_is_in_force_when_its_times_say),
          cmocka_unit_test(nothing_changes_before_it_is_said_to),
          cmocka_unit_test(values_between_two_are_on_a_line))
