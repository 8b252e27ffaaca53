/* What live trials must look like to pass, and do not to fail: made up here,
 * with packets a millisecond apart that take 0.1 ms. */
#include "base/prng.h"
#include "verify/live.h"
#include "tests/lib/test.h"

#include <math.h>
#include <string.h>

#define MS   UINT64_C(1000000)
#define PKTS 2000u
#define WAY  (MS / 10)

static uint64_t sent_ns[PKTS], received_ns[PKTS], copy_ns[PKTS];
static bool is_hit[PKTS];
static struct nsp_live_trial trial;
static struct nsp_effects effects;
static struct nsp_link_rate link_rate;
static const struct nsp_subject subject = { .effects = &effects,
                                            .link = &link_rate };

static void
begin(void)
{
    memset(&effects, 0, sizeof effects);
    memset(&link_rate, 0, sizeof link_rate);
    memset(copy_ns, 0, sizeof copy_ns);
    memset(is_hit, 0, sizeof is_hit);
    trial = (struct nsp_live_trial){ .pkts = PKTS,
                                     .sent_ns = sent_ns,
                                     .received_ns = received_ns,
                                     .copy_ns = copy_ns,
                                     .is_hit = is_hit,
                                     .bytes = 1000,
                                     .baseline_ns = (double)WAY };
    for (uint32_t i = 0; i < PKTS; i++) {
        sent_ns[i] = (1000 + i) * MS;
        received_ns[i] = sent_ns[i] + WAY;
    }
}

static void
expect(int (*judge)(const struct nsp_subject *, const struct nsp_live_trial *,
                    struct nsp_checks *),
       uint32_t passed, uint32_t failed, uint32_t not_tested)
{
    struct nsp_checks checks = { 0 };

    CHECK_EQ(judge(&subject, &trial, &checks), NSP_OK);
    CHECK_EQ(nsp_checks_count(&checks, NSP_CHECK_PASS), passed);
    CHECK_EQ(nsp_checks_count(&checks, NSP_CHECK_FAIL), failed);
    CHECK_EQ(nsp_checks_count(&checks, NSP_CHECK_NOT_TESTED), not_tested);
    nsp_checks_fini(&checks);
}

TEST(copies_are_counted_and_come_in_time)
{
    begin();
    effects.duplicate = (struct nsp_duplicate_config){ .ppm = NSP_PPM_ONE,
                                                       .copies = 3,
                                                       .spacing_ns = 2 * MS };
    for (uint32_t i = 0; i < PKTS; i++)
        copy_ns[i] = received_ns[i] + 6 * MS;
    trial.copied_pkts = 3u * PKTS;
    expect(nsp_judge_live_duplicate, 3, 0, 0);
    trial.copied_pkts--;
    expect(nsp_judge_live_duplicate, 2, 1, 0);
    effects.duplicate.spacing_ns = 3 * MS;
    expect(nsp_judge_live_duplicate, 1, 2, 0);
}

/* Every fifth, but the first. */
TEST(packets_that_go_at_once_are_not_too_many)
{
    begin();
    effects.delay.mean_ns = 10 * MS;
    effects.reorder =
        (struct nsp_reorder_config){ .gap = 5, .ppm = NSP_PPM_ONE };
    for (uint32_t i = 0; i < PKTS; i++)
        received_ns[i] += i % 5 == 4 ? 0 : 10 * MS;
    expect(nsp_judge_live_reorder, 2, 0, 0);
    received_ns[5] = sent_ns[5] + WAY;
    expect(nsp_judge_live_reorder, 1, 1, 0);
    effects.delay.mean_ns = MS;
    expect(nsp_judge_live_reorder, 0, 0, 1);
}

static bool
is_drawn(uint64_t *x, uint32_t percent)
{
    *x = *x * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (*x >> 33) % 100 < percent;
}

/* Half are late, and a packet is like the one before it with 80 %. */
TEST(late_packets_follow_one_another)
{
    uint64_t drawn = 1;
    bool late = false;

    begin();
    effects.reorder = (struct nsp_reorder_config){ .ppm = NSP_PPM_ONE / 2,
                                                   .late_ns = 10 * MS,
                                                   .correlation_ppm = 600000 };
    for (uint32_t i = 0; i < PKTS; i++) {
        late ^= is_drawn(&drawn, 20);
        if (late)
            received_ns[i] += is_drawn(&drawn, 50) ? 8 * MS : 2 * MS;
    }
    expect(nsp_judge_live_reorder, 3, 0, 0);
    effects.reorder.correlation_ppm = 0;
    expect(nsp_judge_live_reorder, 1, 2, 0);
    effects.reorder.late_ns = MS;
    expect(nsp_judge_live_reorder, 0, 0, 1);
}

TEST(a_cutoff_is_exact_by_bytes_and_nearly_by_time)
{
    begin();
    effects.cutoff = (struct nsp_cutoff_config){ .after_bytes = 500000,
                                                 .stall_ns = UINT64_MAX };
    for (uint32_t i = 500; i < PKTS; i++)
        received_ns[i] = 0;
    expect(nsp_judge_live_cutoff, 1, 0, 0);
    received_ns[500] = sent_ns[500] + WAY;
    expect(nsp_judge_live_cutoff, 0, 1, 0);
    effects.cutoff.after_bytes = 0;
    effects.cutoff.after_ns = 500 * MS;
    expect(nsp_judge_live_cutoff, 1, 0, 0);
    effects.cutoff.after_ns = 510 * MS;
    expect(nsp_judge_live_cutoff, 0, 1, 0);
    effects.cutoff.after_ns = 5000 * MS;
    memcpy(received_ns, sent_ns, sizeof received_ns);
    expect(nsp_judge_live_cutoff, 0, 0, 1);
}

TEST(a_stall_ends_in_time_for_what_it_holds_or_drops)
{
    begin();
    effects.cutoff = (struct nsp_cutoff_config){ .after_bytes = 500000,
                                                 .stall_ns = 300 * MS };
    for (uint32_t i = 500; i < 800; i++)
        received_ns[i] = 0;
    expect(nsp_judge_live_cutoff, 1, 0, 0);
    effects.cutoff.hold = true;
    expect(nsp_judge_live_cutoff, 0, 1, 0);
    for (uint32_t i = 500; i < 800; i++)
        received_ns[i] = sent_ns[800] + WAY;
    expect(nsp_judge_live_cutoff, 1, 0, 0);
    received_ns[600] -= 5 * MS;
    expect(nsp_judge_live_cutoff, 0, 1, 0);
    received_ns[600] += 5 * MS;
    effects.cutoff.stall_ns = 310 * MS;
    expect(nsp_judge_live_cutoff, 0, 1, 0);
    effects.cutoff.stall_ns = 300 * MS;
    effects.cutoff.hold = false;
    expect(nsp_judge_live_cutoff, 0, 1, 0);
    effects.cutoff.hold = true;
    effects.cutoff.after_bytes = 0;
    effects.cutoff.after_ns = 500 * MS;
    expect(nsp_judge_live_cutoff, 1, 0, 0);
    effects.cutoff.after_ns = 490 * MS;
    expect(nsp_judge_live_cutoff, 0, 1, 0);
}

TEST(a_link_goes_up_and_down_for_its_times)
{
    static const uint64_t times_ns[] = { 30 * MS, 20 * MS };

    begin();
    effects.flap.times_ns = times_ns;
    for (uint32_t i = 0; i < PKTS; i++)
        if ((i + 7) % 50 >= 30)
            received_ns[i] = 0;
    expect(nsp_judge_live_flap, 2, 0, 0);
    for (uint32_t i = 0; i < PKTS; i++)
        if ((i + 7) % 50 >= 26)
            received_ns[i] = 0;
    expect(nsp_judge_live_flap, 0, 2, 0);
    begin();
    effects.flap.times_ns = times_ns;
    expect(nsp_judge_live_flap, 0, 0, 1);
}

TEST(packets_come_with_their_windows)
{
    begin();
    effects.windows.min_ns = 20 * MS;
    expect(nsp_judge_live_windows, 1, 1, 0);
    for (uint32_t i = 0; i < PKTS; i++)
        received_ns[i] = (1020 + i / 20 * 20) * MS + WAY + i % 3 * WAY;
    expect(nsp_judge_live_windows, 2, 0, 0);
    received_ns[9] = 0;
    expect(nsp_judge_live_windows, 1, 1, 0);
}

/* 500 a second and 50 at once, of 1000 a second for two seconds. */
TEST(a_throttle_lets_so_many_through)
{
    begin();
    effects.throttle = (struct nsp_throttle_config){ .pkts = 500,
                                                     .per_ns = 1000 * MS,
                                                     .burst_pkts = 50 };
    for (uint32_t i = 0; i < PKTS; i++)
        if (i >= 100 && i % 2 == 0)
            received_ns[i] = 0;
    expect(nsp_judge_live_throttle, 1, 0, 0);
    for (uint32_t i = 100; i < 140; i++)
        received_ns[i] = 0;
    expect(nsp_judge_live_throttle, 0, 1, 0);
}

/* Half a second of 8 Mbit/s, as sent, and half of 4 Mbit/s. */
TEST(a_rate_plan_has_its_mean_rate)
{
    static const struct nsp_rate_segment segments[] = {
        { 500 * MS, 8000000, 8000000 }, { 500 * MS, 4000000, 4000000 }
    };
    const struct nsp_rate_plan_config plan = { .segments = segments,
                                               .segment_count = 2,
                                               .repeat = true };

    begin();
    link_rate.plan = &plan;
    for (uint32_t i = 0; i < PKTS; i++)
        if (i % 1000 >= 500 && i % 2 == 0)
            received_ns[i] = 0;
    expect(nsp_judge_live_rate_plan, 1, 0, 0);
    for (uint32_t i = 1500; i < 1600; i++)
        received_ns[i] = 0;
    expect(nsp_judge_live_rate_plan, 0, 1, 0);
}

/* Of packets of 8 Mbit/s, half get through: 4 Mbit/s. */
TEST(a_rate_is_judged_where_more_was_offered)
{
    begin();
    link_rate.rate_bitps = 4000000;
    for (uint32_t i = 0; i < PKTS; i++)
        if (i % 2 == 0)
            received_ns[i] = 0;
    expect(nsp_judge_live_rate, 1, 0, 0);
    link_rate.rate_bitps = 4100000;
    expect(nsp_judge_live_rate, 0, 1, 0);
    link_rate.rate_bitps = 7000000;
    expect(nsp_judge_live_rate, 0, 0, 1);
}

/* --- As trials of virtual time -------------------------------------------- */

static struct nsp_rule rule;
static const struct nsp_policy_spec spec = { .rules = &rule, .rule_count = 1 };
static struct nsp_filter *const filters[1] = { NULL };
static const struct nsp_search search = { .spec = &spec,
                                          .filters = filters,
                                          .hooks = NSP_HOOK_FORWARD,
                                          .payload_bytes = 64 };

static int
run_made_up(const struct nsp_subject *of, const struct nsp_test_packet *packet,
            uint64_t gap_ns, uint32_t pkts, struct nsp_trial *ret,
            struct nsp_diag *reterr)
{
    (void)of;
    (void)packet;
    (void)gap_ns;
    (void)pkts;
    (void)reterr;
    return nsp_live_trial_convert(&trial, ret);
}

static void
expect_virtual(int (*judge)(const struct nsp_subject *, struct nsp_checks *,
                            struct nsp_diag *),
               uint32_t passed, uint32_t failed, uint32_t not_tested)
{
    const struct nsp_subject of = { .search = &search,
                                    .rule = &rule,
                                    .effects = &effects,
                                    .link = &link_rate,
                                    .packet = { .bytes = 1000 },
                                    .pkts = PKTS,
                                    .run = run_made_up };
    struct nsp_checks checks = { 0 };

    CHECK_EQ(judge(&of, &checks, NULL), NSP_OK);
    CHECK_EQ(nsp_checks_count(&checks, NSP_CHECK_PASS), passed);
    CHECK_EQ(nsp_checks_count(&checks, NSP_CHECK_FAIL), failed);
    CHECK_EQ(nsp_checks_count(&checks, NSP_CHECK_NOT_TESTED), not_tested);
    nsp_checks_fini(&checks);
}

/* 500 a second and 50 at once, of 1000 a second for two seconds. */
TEST(a_limit_lets_so_many_through)
{
    begin();
    rule.limit = (struct nsp_limit){ NSP_LIMIT_PPS, 500, 50 };
    for (uint32_t i = 100; i < PKTS; i += 2)
        received_ns[i] = 0;
    expect_virtual(nsp_judge_limit, 1, 0, 0);
    for (uint32_t i = 101; i < 160; i += 2)
        received_ns[i] = 0;
    expect_virtual(nsp_judge_limit, 0, 1, 0);
    /* More, because the last came late. */
    begin();
    for (uint32_t i = 100; i < PKTS - 50; i += 2)
        received_ns[i] = 0;
    expect_virtual(nsp_judge_limit, 0, 1, 0);
    received_ns[PKTS - 1] += 60 * MS;
    expect_virtual(nsp_judge_limit, 1, 0, 0);
    rule.limit.burst = 3000;
    expect_virtual(nsp_judge_limit, 0, 0, 1);
    rule.limit.burst = 1;
    expect_virtual(nsp_judge_limit, 0, 0, 1);
}

/* ACKs, and data with them. */
TEST(acks_are_late_and_never_early)
{
    begin();
    effects.ack_delay.delay_ns = 20 * MS;
    effects.ack_delay.all = true;
    for (uint32_t i = 0; i < PKTS; i++)
        received_ns[i] += 20 * MS;
    received_ns[7] += 90 * MS;
    expect_virtual(nsp_judge_ack_delay, 4, 0, 0);
    received_ns[7] = sent_ns[7] + 19 * MS;
    expect_virtual(nsp_judge_ack_delay, 2, 2, 0);
    received_ns[7] = 0;
    expect_virtual(nsp_judge_ack_delay, 2, 2, 0);
    for (uint32_t i = 0; i < PKTS; i++)
        received_ns[i] = sent_ns[i] + 23 * MS;
    expect_virtual(nsp_judge_ack_delay, 2, 2, 0);
}

TEST(each_reset_is_heard_at_both_ends)
{
    begin();
    effects.tcp_reset.ppm = NSP_PPM_ONE;
    effects.tcp_reset.ends = NSP_TCP_RESET_BOTH;
    memset(received_ns, 0, sizeof received_ns);
    trial.answers = 2u * PKTS;
    expect_virtual(nsp_judge_tcp_reset, 2, 0, 0);
    trial.answers--;
    expect_virtual(nsp_judge_tcp_reset, 1, 1, 0);
    received_ns[1] = sent_ns[1] + WAY;
    expect_virtual(nsp_judge_tcp_reset, 0, 2, 0);
}

TEST(what_is_spared_is_a_share)
{
    uint64_t drawn = 1;

    begin();
    effects.flap.spared_ppm = 300000;
    for (uint32_t i = 0; i < PKTS; i++)
        if (!is_drawn(&drawn, 30))
            received_ns[i] = 0;
    expect_virtual(nsp_judge_spared, 3, 0, 0);
    effects.flap.spared_ppm = 400000;
    expect_virtual(nsp_judge_spared, 1, 2, 0);
}

/* All are hit, or all but one. */
TEST(damage_is_what_a_look_told)
{
    begin();
    effects.tamper.ppm = NSP_PPM_ONE;
    memset(is_hit, true, sizeof is_hit);
    expect_virtual(nsp_judge_tamper, 2, 0, 0);
    trial.wrong_pkts = 1;
    expect_virtual(nsp_judge_tamper, 1, 1, 0);
    is_hit[5] = false;
    expect_virtual(nsp_judge_tamper, 0, 2, 0);
}

/* 90 ms up, 60 ms down: the packets of these come when they end. */
TEST(a_link_that_holds_is_silent_while_it_is_down)
{
    uint64_t times_ns[2] = { 90 * MS, 60 * MS };

    begin();
    effects.flap = (struct nsp_flap_config){ .kind = NSP_FLAP_SCHEDULE,
                                             .count = 2,
                                             .times_ns = times_ns,
                                             .hold = true };
    for (uint32_t i = 0; i < PKTS; i++)
        received_ns[i] += i % 150 < 90 ? 0 : (150 - i % 150) * MS;
    expect(nsp_judge_live_held_flap, 3, 0, 0);
    times_ns[1] = 65 * MS;
    expect(nsp_judge_live_held_flap, 2, 1, 0);
    times_ns[0] = 85 * MS;
    expect(nsp_judge_live_held_flap, 1, 2, 0);
    received_ns[3] = 0;
    expect(nsp_judge_live_held_flap, 0, 3, 0);
}

static uint64_t
draw_exponential(struct nsp_prng *drawn, uint64_t mean_ns)
{
    double u = ((double)(nsp_prng_next(drawn) >> 11) + 1) / 0x1p53;

    return (uint64_t)(-log(u) * (double)mean_ns);
}

/* Exponential times of 30 ms up and 25 ms down. */
TEST(a_link_that_holds_by_chance_has_silences_of_its_mean)
{
    uint64_t times_ns[2] = { 30 * MS, 25 * MS };
    uint64_t up_ns = 1000 * MS, down_ns = up_ns;
    struct nsp_prng drawn;

    begin();
    nsp_prng_init(&drawn, 6, 0);
    effects.flap = (struct nsp_flap_config){ .kind = NSP_FLAP_EXPONENTIAL,
                                             .count = 2,
                                             .times_ns = times_ns,
                                             .hold = true };
    for (uint32_t i = 0; i < PKTS; i++) {
        while (sent_ns[i] >= up_ns) {
            down_ns = up_ns + draw_exponential(&drawn, times_ns[0]);
            up_ns = down_ns + draw_exponential(&drawn, times_ns[1]);
        }
        if (sent_ns[i] >= down_ns)
            received_ns[i] = up_ns + WAY;
    }
    expect(nsp_judge_live_random_held_flap, 3, 0, 0);
    times_ns[0] = 200 * MS;
    expect(nsp_judge_live_random_held_flap, 2, 1, 0);
    times_ns[0] = 30 * MS;
    times_ns[1] = 200 * MS;
    expect(nsp_judge_live_random_held_flap, 2, 1, 0);
    received_ns[3] = 0;
    expect(nsp_judge_live_random_held_flap, 1, 2, 0);
}

/* Intervals of 10, 11, ... 30 ms, in some order. */
TEST(random_windows_have_even_intervals)
{
    uint64_t opens_ns = 1000 * MS, interval = 0;

    begin();
    effects.windows =
        (struct nsp_window_config){ .min_ns = 10 * MS, .max_ns = 30 * MS };
    for (uint32_t i = 0; i < PKTS; i++) {
        while (opens_ns < sent_ns[i])
            opens_ns += (10 + (interval += 8) % 21) * MS;
        received_ns[i] = opens_ns + WAY;
    }
    expect(nsp_judge_live_random_windows, 2, 0, 0);
    effects.windows.max_ns = 60 * MS;
    expect(nsp_judge_live_random_windows, 1, 1, 0);
    received_ns[9] = 0;
    expect(nsp_judge_live_random_windows, 0, 2, 0);
}

/* Five of 1000 bytes come in each interval of 10 ms. */
TEST(windows_are_as_full_as_their_limit)
{
    begin();
    effects.windows = (struct nsp_window_config){ .min_ns = 10 * MS,
                                                  .max_ns = 10 * MS,
                                                  .limit_bytes = 5999 };
    for (uint32_t i = 0; i < PKTS; i++)
        received_ns[i] = sent_ns[0] + i / 5 * 10 * MS + WAY;
    expect(nsp_judge_live_full_windows, 2, 0, 0);
    effects.windows.limit_pkts = 4;
    expect(nsp_judge_live_full_windows, 1, 1, 0);
    effects.windows.limit_pkts = 6;
    expect(nsp_judge_live_full_windows, 2, 0, 0);
    received_ns[100] = 0;
    expect(nsp_judge_live_full_windows, 0, 2, 0);
}

/* The machine was 2 ms late, at a fifth of all moments: a delay may be wrong by
 * four times that, two fifths of packets may be, a share that does not depend
 * on time may not be wrong at all. */
TEST(failures_in_time_are_not_judged_while_the_machine_is_late)
{
    const struct nsp_interval allowed = { 9e6, 11e6 }, share = { 0, 0.1 };
    struct nsp_checks checks = { .late = { 2e6, 0.2 }, .of_pkts = 100 };

    nsp_checks_add_exact(&checks, "delay", "median", NSP_UNIT_NS, 10e6, 12e6,
                         allowed);
    nsp_checks_add_exact(&checks, "delay", "mean", NSP_UNIT_NS, 10e6, 30e6,
                         allowed);
    nsp_checks_add_exact(&checks, "loss", "rate", NSP_UNIT_SHARE, 0, 1, share);
    checks.by_time = true;
    nsp_checks_add_exact(&checks, "timed", "rate", NSP_UNIT_SHARE, 0, 0.4,
                         share);
    checks.late.ns = 1e3;
    nsp_checks_add_exact(&checks, "calm", "median", NSP_UNIT_NS, 10e6, 12e6,
                         allowed);
    nsp_checks_add_exact(&checks, "calm", "passed", NSP_UNIT_NS, 10e6, 10e6,
                         allowed);
    checks.late.ns = 2e6;
    nsp_checks_add_pkts(&checks, "late", "packets", 0, 40);
    nsp_checks_add_pkts(&checks, "late", "packets", 0, 41);
    nsp_checks_add_exact(&checks, "late", "share", NSP_UNIT_SHARE, 0, 0.6,
                         share);
    CHECK(nsp_checks_want_retry(&checks, 2));
    CHECK(!nsp_checks_want_retry(&checks, 3));
    nsp_checks_excuse_late(&checks);
    CHECK_EQ(checks.list[0].result, NSP_CHECK_NOT_TESTED);
    CHECK_EQ(checks.list[1].result, NSP_CHECK_FAIL);
    CHECK_EQ(checks.list[2].result, NSP_CHECK_FAIL);
    CHECK_EQ(checks.list[3].result, NSP_CHECK_NOT_TESTED);
    CHECK_EQ(checks.list[4].result, NSP_CHECK_FAIL);
    CHECK_EQ(checks.list[5].result, NSP_CHECK_PASS);
    CHECK_EQ(checks.list[6].result, NSP_CHECK_NOT_TESTED);
    CHECK_EQ(checks.list[7].result, NSP_CHECK_FAIL);
    CHECK_EQ(checks.list[8].result, NSP_CHECK_FAIL);
    nsp_checks_fini(&checks);
}

TEST_MAIN(
    cmocka_unit_test(copies_are_counted_and_come_in_time),
    cmocka_unit_test(packets_that_go_at_once_are_not_too_many),
    cmocka_unit_test(late_packets_follow_one_another),
    cmocka_unit_test(a_cutoff_is_exact_by_bytes_and_nearly_by_time),
    cmocka_unit_test(a_stall_ends_in_time_for_what_it_holds_or_drops),
    cmocka_unit_test(a_link_that_holds_by_chance_has_silences_of_its_mean),
    cmocka_unit_test(a_link_goes_up_and_down_for_its_times),
    cmocka_unit_test(packets_come_with_their_windows),
    cmocka_unit_test(a_throttle_lets_so_many_through),
    cmocka_unit_test(a_rate_plan_has_its_mean_rate),
    cmocka_unit_test(a_rate_is_judged_where_more_was_offered),
    cmocka_unit_test(a_limit_lets_so_many_through),
    cmocka_unit_test(acks_are_late_and_never_early),
    cmocka_unit_test(each_reset_is_heard_at_both_ends),
    cmocka_unit_test(what_is_spared_is_a_share),
    cmocka_unit_test(damage_is_what_a_look_told),
    cmocka_unit_test(a_link_that_holds_is_silent_while_it_is_down),
    cmocka_unit_test(random_windows_have_even_intervals),
    cmocka_unit_test(windows_are_as_full_as_their_limit),
    cmocka_unit_test(failures_in_time_are_not_judged_while_the_machine_is_late))
