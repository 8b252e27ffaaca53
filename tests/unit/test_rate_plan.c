#include "shape/rate_plan.h"
#include "base/prng.h"
#include "netshaper/packet.h"
#include "netshaper/policy.h"
#include "shape/bottleneck.h"
#include "tests/lib/failing_alloc.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SECOND NSP_NS_PER_SECOND
#define MS     UINT64_C(1000000)
#define MBITPS UINT64_C(1000000)
#define GBITPS UINT64_C(1000000000)

static struct nsp_rate_plan *
make_plan(const struct nsp_rate_plan_config *cfg)
{
    struct nsp_rate_plan *plan = NULL;

    CHECK(nsp_rate_plan_fault(cfg) == NULL);
    CHECK_EQ(nsp_rate_plan_create(cfg, NULL, &plan), 0);
    return plan;
}

static struct nsp_rate_plan *
schedule_of(const struct nsp_rate_segment *segments, uint32_t count,
            bool repeat)
{
    return make_plan(&(struct nsp_rate_plan_config){
        .segments = segments, .segment_count = count, .repeat = repeat });
}

/* --- Schedules, by hand ----------------------------------------------------
 */

/* 1500 bytes at 12 Mbit/s take 1 ms. */
TEST(schedule_changes_the_rate_in_the_middle_of_a_packet)
{
    static const struct nsp_rate_segment segments[] = {
        { 3 * MS / 2, 12 * MBITPS, 12 * MBITPS },
        { 2 * MS, 6 * MBITPS, 6 * MBITPS },
        { 1 * MS, 0, 0 },
    };
    struct nsp_rate_plan *plan = schedule_of(segments, 3, true);
    struct nsp_serialiser s;

    nsp_serialiser_init(&s, 0, plan, 10 * MS);
    CHECK_EQ(nsp_serialiser_send(&s, 1500), 11 * MS);
    CHECK_EQ(nsp_serialiser_send(&s, 1500), 12 * MS + MS / 2);
    CHECK_EQ(nsp_serialiser_send(&s, 750), 13 * MS + MS / 2);
    CHECK_EQ(nsp_serialiser_send(&s, 1), 14 * MS + MS / 2 + 667);
    nsp_serialiser_idle(&s, 16 * MS);
    CHECK_EQ(nsp_serialiser_send(&s, 750), 17 * MS);
    /* Three periods and 1 ms: the end of the first segment. */
    nsp_serialiser_idle(&s, 24 * MS + MS / 2);
    CHECK_EQ(nsp_serialiser_send(&s, 750), 25 * MS);
    nsp_rate_plan_unref(plan);
}

TEST(schedule_without_repeat_holds_its_last_rate)
{
    static const struct nsp_rate_segment falling[] = {
        { 100 * MS, 12 * MBITPS, 6 * MBITPS },
    };
    static const struct nsp_rate_segment dying[] = {
        { 1 * MS, 12 * MBITPS, 12 * MBITPS },
        { 1 * MS, 0, 0 },
    };
    struct nsp_rate_plan *plan = schedule_of(falling, 1, false);
    struct nsp_serialiser s;

    nsp_serialiser_init(&s, 0, plan, 0);
    nsp_serialiser_idle(&s, 100 * MS);
    CHECK_EQ(nsp_serialiser_send(&s, 1500), 102 * MS);
    nsp_serialiser_idle(&s, 3600 * SECOND);
    CHECK_EQ(nsp_serialiser_send(&s, 1500), 3600 * SECOND + 2 * MS);
    nsp_rate_plan_unref(plan);

    plan = schedule_of(dying, 2, false);
    nsp_serialiser_init(&s, 0, plan, 0);
    CHECK_EQ(nsp_serialiser_send(&s, 1500), 1 * MS);
    CHECK_EQ(nsp_serialiser_send(&s, 1), NSP_TIME_NEVER - 1);
    CHECK_EQ(nsp_serialiser_send(&s, 1), NSP_TIME_NEVER - 1);
    nsp_rate_plan_unref(plan);
}

/* A ramp from 0 to 10 Mbit/s in 10 s carries 500,000 t^2 bits by t. */
TEST(schedule_ramp_follows_its_line)
{
    static const struct nsp_rate_segment segments[] = {
        { 10 * SECOND, 0, 10 * MBITPS },
    };
    struct nsp_rate_plan *plan = schedule_of(segments, 1, true);
    struct nsp_serialiser s;
    uint64_t due_ns = 0, bits = 0;

    CHECK_EQ(nsp_rate_plan_mean_bitps(plan), 5 * MBITPS);
    nsp_serialiser_init(&s, 0, plan, 0);
    while (bits < 50 * MBITPS) {
        double expected;

        due_ns = nsp_serialiser_send(&s, 1250);
        bits += 10000;
        expected = sqrt((double)bits / 500000.0);
        CHECK(fabs((double)due_ns / 1e9 - expected) < 0.005);
    }
    CHECK_EQ(due_ns, 10 * SECOND);
    nsp_rate_plan_unref(plan);
}

/* 2^31 bytes at 8 bit/s are 68 years. */
TEST(schedule_passes_many_periods_at_once)
{
    static const struct nsp_rate_segment segments[] = {
        { 1, 8, 8 },
        { 2, 0, 0 },
    };
    struct nsp_rate_plan *plan = schedule_of(segments, 2, true);
    struct nsp_serialiser s;

    nsp_serialiser_init(&s, 0, plan, 0);
    CHECK_EQ(nsp_serialiser_send(&s, INT32_MAX),
             (INT32_MAX * SECOND - 1) * 3 + 1);
    nsp_rate_plan_unref(plan);
}

/* --- Beside a link that moves nanosecond by nanosecond ----------------------
 */

/* Sends a packet that comes at 'now_ns', given what the link did before. */
struct ticking {
    uint64_t free_tick; /* The first nanosecond with anything left. */
    uint64_t spare;     /* Left in it, once something was sent. */
};

static uint64_t
tick_send(struct ticking *t, uint64_t now_ns, uint64_t bytes,
          uint64_t (*rate_at)(uint64_t ns, const void *), const void *context)
{
    uint64_t need = bytes * 8 * SECOND;

    if (now_ns > t->free_tick) {
        t->free_tick = now_ns;
        t->spare = rate_at(now_ns, context);
    }
    while (need > t->spare) {
        need -= t->spare;
        t->free_tick++;
        t->spare = rate_at(t->free_tick, context);
    }
    t->spare -= need;
    return t->free_tick + 1;
}

struct tick_schedule {
    const struct nsp_rate_segment *segments;
    uint32_t count;
    bool repeat;
};

/* Segments are too short for more than one step. */
static uint64_t
scheduled_rate(uint64_t ns, const void *context)
{
    const struct tick_schedule *schedule = context;
    uint64_t period_ns = 0, end_ns = 0;

    for (uint32_t i = 0; i < schedule->count; i++)
        period_ns += schedule->segments[i].duration_ns;
    if (!schedule->repeat && ns >= period_ns)
        return schedule->segments[schedule->count - 1].to_bitps;
    ns %= period_ns;
    for (uint32_t i = 0;; i++) {
        end_ns += schedule->segments[i].duration_ns;
        if (ns < end_ns)
            return (schedule->segments[i].from_bitps +
                    schedule->segments[i].to_bitps) /
                   2;
    }
}

TEST(schedule_agrees_with_a_link_that_ticks)
{
    struct nsp_prng random;

    nsp_prng_init(&random, 1, 0);
    for (int round = 0; round < 300; round++) {
        struct nsp_rate_segment segments[5];
        struct tick_schedule schedule = {
            .segments = segments,
            .count = 1 + nsp_prng_below(&random, 5),
            .repeat = round % 2 == 0,
        };
        struct ticking ticking = { 0 };
        struct nsp_rate_plan *plan;
        struct nsp_serialiser s;
        uint64_t now_ns = 0;

        for (uint32_t i = 0; i < 5; i++) {
            uint64_t from = nsp_prng_below(&random, 500) * GBITPS;

            segments[i] = (struct nsp_rate_segment){
                .duration_ns = 1 + nsp_prng_below(&random, 900),
                .from_bitps = i % 3 == 2 ? 0 : from + 8,
                .to_bitps = i % 3 == 2 ? 0 : from + 9 * GBITPS,
            };
        }
        if (!schedule.repeat)
            segments[schedule.count - 1].to_bitps = 77 * GBITPS;
        plan = schedule_of(segments, schedule.count, schedule.repeat);
        nsp_serialiser_init(&s, 0, plan, 0);
        ticking.spare = scheduled_rate(0, &schedule);
        for (int i = 0; i < 100; i++) {
            uint64_t bytes = 1 + nsp_prng_below(&random, 2000);
            uint64_t due_ns;

            nsp_serialiser_idle(&s, now_ns);
            due_ns = nsp_serialiser_send(&s, bytes);
            CHECK_EQ(due_ns, tick_send(&ticking, now_ns, bytes, scheduled_rate,
                                       &schedule));
            if (nsp_prng_next(&random) % 3 == 0)
                now_ns = due_ns + nsp_prng_below(&random, 2000);
        }
        nsp_rate_plan_unref(plan);
    }
}

/* --- Traces -----------------------------------------------------------------
 */

/* Mahimahi's link: at each opportunity what waits is sent until its bytes are
 * spent. */
static uint64_t
opportunities_send(const struct nsp_rate_plan_config *cfg, uint64_t *at,
                   uint64_t *left, uint64_t now_ns, uint64_t bytes)
{
    uint64_t period_ns = cfg->opportunities_ns[cfg->opportunity_count - 1];

    for (;; (*at)++, *left = cfg->opportunity_bytes) {
        uint64_t when_ns = *at / cfg->opportunity_count * period_ns +
                           cfg->opportunities_ns[*at % cfg->opportunity_count];

        if (when_ns < now_ns)
            continue;
        if (bytes <= *left) {
            *left -= bytes;
            return when_ns;
        }
        bytes -= *left;
    }
}

TEST(trace_agrees_with_one_that_visits_every_opportunity)
{
    struct nsp_prng random;

    nsp_prng_init(&random, 2, 0);
    for (int round = 0; round < 300; round++) {
        uint64_t at_ns[20], ns = nsp_prng_below(&random, 3);
        struct nsp_rate_plan_config cfg = {
            .opportunities_ns = at_ns,
            .opportunity_count = 1 + nsp_prng_below(&random, 20),
            .opportunity_bytes = round % 3 == 0 ? 100 : 1504,
        };
        struct nsp_rate_plan *plan;
        struct nsp_serialiser s;
        uint64_t now_ns = 0, at = 0, left = cfg.opportunity_bytes;

        for (uint32_t i = 0; i < 20; i++) {
            at_ns[i] = ns;
            ns += nsp_prng_below(&random, 4) * nsp_prng_below(&random, 5);
        }
        at_ns[cfg.opportunity_count - 1] += 1;
        plan = make_plan(&cfg);
        nsp_serialiser_init(&s, 0, plan, 0);
        for (int i = 0; i < 300; i++) {
            uint64_t bytes = 1 + nsp_prng_below(&random, 1600);
            uint64_t due_ns;

            nsp_serialiser_idle(&s, now_ns);
            due_ns = nsp_serialiser_send(&s, bytes);
            CHECK_EQ(due_ns,
                     opportunities_send(&cfg, &at, &left, now_ns, bytes));
            if (nsp_prng_next(&random) % 3 == 0)
                now_ns = due_ns + nsp_prng_below(&random, 60);
        }
        nsp_rate_plan_unref(plan);
    }
}

/* "1" of Mahimahi is 12 Mbit/s: packets of 1504 bytes, one each ms. */
TEST(trace_serves_from_its_start_on)
{
    static const uint64_t at_ns[] = { MS };
    struct nsp_rate_plan *plan =
        make_plan(&(struct nsp_rate_plan_config){ .opportunities_ns = at_ns,
                                                  .opportunity_count = 1,
                                                  .opportunity_bytes = 1504 });
    struct nsp_serialiser s;

    CHECK_EQ(nsp_rate_plan_mean_bitps(plan), 12032000);
    nsp_serialiser_init(&s, 0, plan, 5 * SECOND);
    for (uint64_t i = 1; i < 100; i++)
        CHECK_EQ(nsp_serialiser_send(&s, 1504), 5 * SECOND + i * MS);
    CHECK_EQ(nsp_serialiser_send(&s, INT32_MAX),
             5 * SECOND + (99 + (INT32_MAX + UINT64_C(1503)) / 1504) * MS);
    nsp_rate_plan_unref(plan);
}

/* --- Links ------------------------------------------------------------------
 */

TEST(bottleneck_refuses_rates_that_it_cannot_have)
{
    static const uint64_t at_ns[] = { MS };
    struct nsp_rate_plan *plan =
        make_plan(&(struct nsp_rate_plan_config){ .opportunities_ns = at_ns,
                                                  .opportunity_count = 1,
                                                  .opportunity_bytes = 1504 });
    struct nsp_bottleneck_config cfg = { .rate_bitps = 8 };
    struct nsp_bottleneck *b = NULL;

    cfg.plan = plan; /* Both. */
    CHECK_EQ(nsp_bottleneck_create(&cfg, NULL, &b), -EINVAL);
    cfg = (struct nsp_bottleneck_config){ .rate_bitps = 7 };
    CHECK_EQ(nsp_bottleneck_create(&cfg, NULL, &b), -EINVAL);
    cfg.rate_bitps = NSP_RATE_BITPS_MAX + 1;
    CHECK_EQ(nsp_bottleneck_create(&cfg, NULL, &b), -EINVAL);
    nsp_rate_plan_unref(plan);
}

/* The packet on the wire keeps its departure, the next has the plan's rate. */
TEST(bottleneck_takes_a_plan_in_place_of_a_rate)
{
    static const struct nsp_rate_segment segments[] = {
        { SECOND, 6 * MBITPS, 6 * MBITPS },
    };
    struct nsp_rate_plan *plan = schedule_of(segments, 1, true);
    struct nsp_bottleneck_config cfg = { .rate_bitps = 12 * MBITPS };
    struct nsp_pkt pkts[2] = { { .ip_bytes = 1500 }, { .ip_bytes = 750 } };
    struct nsp_bottleneck *b = NULL;
    struct nsp_pkt *out[2];

    CHECK_EQ(nsp_bottleneck_create(&cfg, NULL, &b), 0);
    CHECK(nsp_bottleneck_enqueue(b, 0, &pkts[0]) == NULL);
    CHECK(nsp_bottleneck_enqueue(b, 0, &pkts[1]) == NULL);
    cfg.plan = plan;
    CHECK_EQ(nsp_bottleneck_set_config(b, MS / 2, &cfg), -EINVAL);
    cfg.rate_bitps = 0;
    CHECK_EQ(nsp_bottleneck_set_config(b, MS / 2, &cfg), 0);
    CHECK_EQ(nsp_bottleneck_dequeue(b, SECOND, out, 2), 2);
    CHECK_EQ(pkts[0].timer.due_ns, MS);
    CHECK_EQ(pkts[1].timer.due_ns, 2 * MS);
    nsp_bottleneck_destroy(b);
    nsp_rate_plan_unref(plan);
}

/* 100 ms at the mean rate of 12.032 Mbit/s are 150,400 bytes. */
TEST(bottleneck_of_a_trace_bounds_its_queue_and_keeps_its_opportunities)
{
    static const uint64_t at_ns[] = { MS };
    struct nsp_rate_plan *plan =
        make_plan(&(struct nsp_rate_plan_config){ .opportunities_ns = at_ns,
                                                  .opportunity_count = 1,
                                                  .opportunity_bytes = 1504 });
    struct nsp_bottleneck *b = NULL;
    static struct nsp_pkt pkts[200];
    struct nsp_pkt *out[200];
    uint32_t dropped = 0;

    CHECK_EQ(nsp_bottleneck_create(
                 &(struct nsp_bottleneck_config){
                     .plan = plan, .overhead_bytes = 4, .start_ns = SECOND },
                 NULL, &b),
             0);
    for (int i = 0; i < 200; i++) {
        pkts[i].ip_bytes = 1500;
        dropped += nsp_bottleneck_enqueue(b, SECOND, &pkts[i]) != NULL;
    }
    CHECK_EQ(dropped, 99);
    CHECK_EQ(nsp_bottleneck_due_ns(b), SECOND + MS);
    for (uint32_t i = 1; i <= 101; i++) {
        CHECK_EQ(nsp_bottleneck_dequeue(b, SECOND + i * MS, out, 200), 1);
        CHECK_EQ(out[0]->timer.due_ns, SECOND + i * MS);
    }
    nsp_bottleneck_destroy(b);
    nsp_rate_plan_unref(plan);
}

/* --- What is refused --------------------------------------------------------
 */

TEST(rate_plan_refuses_what_makes_no_sense_and_says_why)
{
    static const struct nsp_rate_segment good = { 1, 8, 8 }, none = { 1, 0, 0 },
                                         no_time = { 0, 8, 8 },
                                         slow = { 1, 7, 8 },
                                         fast = { 1, 8, UINT64_MAX };
    static struct nsp_rate_segment ramps[66];
    static const uint64_t back[] = { 2, 1 }, zero[] = { 0 },
                          late[] = { NSP_RATE_SEGMENT_NS_MAX + 1 },
                          one[] = { 1 };
    const struct {
        struct nsp_rate_plan_config cfg;
        const char *word; /* In what is said. */
    } cases[] = {
        { { .repeat = true }, "segments or opportunities" },
        { { &good, 1, true, one, 1, 1504 }, "not both" },
        { { &good, NSP_RATE_SEGMENTS_MAX + 1, true, NULL, 0, 0 }, "4096" },
        { { &none, 1, true, NULL, 0, 0 }, "no rate" },
        { { &no_time, 1, true, NULL, 0, 0 }, "lasts" },
        { { &slow, 1, true, NULL, 0, 0 }, "8 bit/s" },
        { { &fast, 1, true, NULL, 0, 0 }, "8 bit/s" },
        { { ramps, 66, true, NULL, 0, 0 }, "ramps" },
        { { NULL, 0, true, back, 2, 1504 }, "back in time" },
        { { NULL, 0, true, zero, 1, 1504 }, "lasts" },
        { { NULL, 0, true, late, 1, 1504 }, "lasts" },
        { { NULL, 0, true, one, 1, 0 }, "65535" },
        { { NULL, 0, true, one, 1, 65536 }, "65535" },
        { { NULL, 0, true, one, NSP_RATE_OPPORTUNITIES_MAX + 1, 1504 },
          "8388608" },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(ramps); i++)
        ramps[i] = (struct nsp_rate_segment){ SECOND, 8, 16 };
    for (size_t i = 0; i < NSP_ARRAY_LEN(cases); i++) {
        const char *fault = nsp_rate_plan_fault(&cases[i].cfg);
        struct nsp_rate_plan *plan = NULL;

        CHECK(fault != NULL && strstr(fault, cases[i].word) != NULL);
        CHECK_EQ(nsp_rate_plan_create(&cases[i].cfg, NULL, &plan), -EINVAL);
        CHECK(plan == NULL);
    }
}

TEST(rate_plan_survives_a_lack_of_memory)
{
    static const struct nsp_rate_segment good = { 1, 8, 8 };
    static const uint64_t one[] = { 1 };
    const struct nsp_rate_plan_config cases[] = {
        { &good, 1, false, NULL, 0, 0 },
        { NULL, 0, false, one, 1, 1504 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(cases); i++) {
        for (unsigned at = 0; at < 3; at++) {
            struct failing_alloc failing = { .fail_at = at };
            struct nsp_allocator allocator = failing_allocator(&failing);
            struct nsp_rate_plan *plan = NULL;

            CHECK_EQ(nsp_rate_plan_create(&cases[i], &allocator, &plan),
                     at < 2 ? -ENOMEM : 0);
            nsp_rate_plan_unref(plan);
            CHECK_EQ(failing.live, 0);
        }
    }
}

TEST_MAIN(
    cmocka_unit_test(schedule_changes_the_rate_in_the_middle_of_a_packet),
    cmocka_unit_test(schedule_without_repeat_holds_its_last_rate),
    cmocka_unit_test(schedule_ramp_follows_its_line),
    cmocka_unit_test(schedule_passes_many_periods_at_once),
    cmocka_unit_test(schedule_agrees_with_a_link_that_ticks),
    cmocka_unit_test(trace_agrees_with_one_that_visits_every_opportunity),
    cmocka_unit_test(trace_serves_from_its_start_on),
    cmocka_unit_test(bottleneck_takes_a_plan_in_place_of_a_rate),
    cmocka_unit_test(bottleneck_refuses_rates_that_it_cannot_have),
    cmocka_unit_test(
        bottleneck_of_a_trace_bounds_its_queue_and_keeps_its_opportunities),
    cmocka_unit_test(rate_plan_refuses_what_makes_no_sense_and_says_why),
    cmocka_unit_test(rate_plan_survives_a_lack_of_memory))
