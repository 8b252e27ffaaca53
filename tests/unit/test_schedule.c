/* Schedules against a walk over every minute of two weeks. */
#include "config/schedule.h"
#include "base/prng.h"
#include "tests/lib/test.h"

#define MINUTES (7u * 24u * 60u)
#define TRIES   300

static unsigned
below(struct nsp_prng *prng, unsigned limit)
{
    return (unsigned)(nsp_prng_next(prng) % limit);
}

static void
random_schedule(struct nsp_prng *prng, struct nsp_schedule *ret)
{
    *ret = (struct nsp_schedule){ .days = (uint8_t)below(prng, 128) };
    ret->hours_count = (uint8_t)below(prng, 4);
    for (unsigned i = 0; i < ret->hours_count; i++) {
        struct nsp_hours *hours = &ret->hours[i];

        do {
            hours->begin_s = below(prng, 24 * 60) * 60;
            hours->end_s = (below(prng, 24 * 60) + 1) * 60;
        } while (hours->begin_s == hours->end_s);
    }
}

/* Marks the minutes of each day's hours one by one, into the next day too. */
static void
paint(const struct nsp_schedule *schedule, bool on[MINUTES])
{
    for (unsigned i = 0; i < MINUTES; i++)
        on[i] = false;
    for (unsigned day = 0; day < 7; day++) {
        if (schedule->days != 0 && (schedule->days >> day & 1) == 0)
            continue;
        for (unsigned m = 0; schedule->hours_count == 0 && m < 24 * 60; m++)
            on[day * 24 * 60 + m] = true;
        for (unsigned i = 0; i < schedule->hours_count; i++) {
            unsigned begin = schedule->hours[i].begin_s / 60;
            unsigned end = schedule->hours[i].end_s / 60;

            for (unsigned m = begin; m != end; m = (m + 1) % (24 * 60)) {
                unsigned after = end <= begin && m < begin ? 24 * 60 : 0;

                on[(day * 24 * 60 + m + after) % MINUTES] = true;
                if (end == 24 * 60 && m == 24 * 60 - 1)
                    break;
            }
        }
    }
}

static void
check_minute(const struct nsp_schedule *schedule, const bool on[MINUTES],
             unsigned minute)
{
    const struct nsp_local_time now = { .day = minute / (24 * 60),
                                        .second = minute % (24 * 60) * 60 +
                                                  minute % 60 };
    uint32_t next = 0, naive = NSP_SCHEDULE_NEVER;

    for (unsigned m = 1; m <= MINUTES && naive == NSP_SCHEDULE_NEVER; m++)
        if (on[(minute + m) % MINUTES] != on[minute])
            naive = m * 60 - minute % 60;
    CHECK_EQ(nsp_schedule_is_on(schedule, &now, &next), on[minute]);
    CHECK_EQ(next, naive);
}

TEST(schedule_agrees_with_a_walk_over_every_minute)
{
    static bool on[MINUTES];
    struct nsp_prng prng;

    nsp_prng_init(&prng, 7, 0);
    for (unsigned i = 0; i < TRIES; i++) {
        struct nsp_schedule schedule;

        random_schedule(&prng, &schedule);
        paint(&schedule, on);
        for (unsigned k = 0; k < 40; k++)
            check_minute(&schedule, on, below(&prng, MINUTES));
    }
}

TEST(hours_after_midnight_belong_to_the_day_before)
{
    const struct nsp_schedule friday = { .days = 1 << 4,
                                         .hours_count = 1,
                                         .hours = { { 22 * 3600, 6 * 3600 } } };
    uint32_t next = 0;

    CHECK(!nsp_schedule_is_on(&friday, &(struct nsp_local_time){ 4, 3600 },
                              &next));
    CHECK_EQ(next, 21 * 3600);
    CHECK(nsp_schedule_is_on(&friday, &(struct nsp_local_time){ 4, 22 * 3600 },
                             &next));
    CHECK_EQ(next, 8 * 3600);
    CHECK(nsp_schedule_is_on(&friday, &(struct nsp_local_time){ 5, 0 }, &next));
    CHECK(!nsp_schedule_is_on(&friday, &(struct nsp_local_time){ 5, 6 * 3600 },
                              &next));
}

TEST(always_never_changes)
{
    const struct nsp_schedule always = { .days = 0 };
    const struct nsp_schedule days = { .days = NSP_EVERY_DAY };
    uint32_t next = 0;

    CHECK(nsp_schedule_is_always(&always) && nsp_schedule_is_always(&days));
    CHECK(nsp_schedule_is_on(&always, &(struct nsp_local_time){ 0, 0 }, &next));
    CHECK_EQ(next, NSP_SCHEDULE_NEVER);
}

TEST_MAIN(cmocka_unit_test(schedule_agrees_with_a_walk_over_every_minute),
          cmocka_unit_test(hours_after_midnight_belong_to_the_day_before),
          cmocka_unit_test(always_never_changes))
