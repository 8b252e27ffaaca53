/* 'nsp verify' passes what the engine does when the policy says it, and fails
 * the same when the policy says something near to it: the engine is handed
 * another rule than the one that is verified. (The linker puts our function in
 * the place of nsp_engine_create(), which still makes the engine.) */
#include "netshaper/engine.h"
#include "tests/lib/test.h"
#include "verify/verify.h"

#include <string.h>

#define MS UINT64_C(1000000)

/* Enough to tell what is done from what is said; under a sanitizer, to come by
 * all that judges it. */
#ifdef FEW_PKTS
#define PKTS       10000u
#define IS_TELLING false
#else
#define PKTS       200000u
#define IS_TELLING true
#endif

/* --- An engine that does something else ----------------------------------- */

static const struct nsp_rule *done_instead; /* NULL: what is said. */

int __real_nsp_engine_create(const struct nsp_engine_config *cfg,
                             struct nsp_engine **ret, struct nsp_diag *reterr);
int __wrap_nsp_engine_create(const struct nsp_engine_config *cfg,
                             struct nsp_engine **ret, struct nsp_diag *reterr);

static bool
is_set(const void *object, size_t bytes)
{
    const uint8_t *at = object;

    for (size_t i = 0; i < bytes; i++)
        if (at[i] != 0)
            return true;
    return false;
}

#define REPLACE(member)                                                        \
    do {                                                                       \
        if (is_set(&rule.member, sizeof rule.member))                          \
            rule.member = done_instead->member;                                \
    } while (0)

int
__wrap_nsp_engine_create(const struct nsp_engine_config *cfg,
                         struct nsp_engine **ret, struct nsp_diag *reterr)
{
    struct nsp_engine_config other = *cfg;
    struct nsp_rule rule;

    if (!done_instead)
        return __real_nsp_engine_create(cfg, ret, reterr);
    rule = cfg->policy.rules[0];
    REPLACE(link);
    REPLACE(limit);
    REPLACE(edits);
    REPLACE(effects.cutoff);
    REPLACE(effects.flap);
    REPLACE(effects.mtu);
    REPLACE(effects.syn_loss);
    REPLACE(effects.loss);
    REPLACE(effects.tcp_reset);
    REPLACE(effects.throttle);
    REPLACE(effects.duplicate);
    REPLACE(effects.tamper);
    REPLACE(effects.tcp_window);
    REPLACE(effects.windows);
    REPLACE(effects.delay);
    REPLACE(effects.ack_delay);
    REPLACE(effects.reorder);
    other.policy.rules = &rule;
    return __real_nsp_engine_create(&other, ret, reterr);
}

/* --- One rule ------------------------------------------------------------- */

/* Verifies a policy of 'said' while the engine does 'done'. */
static void
verify(const struct nsp_rule *said, const struct nsp_rule *done,
       struct nsp_checks *ret)
{
    struct nsp_rule rule = *said;
    struct nsp_policy_spec spec = { .rules = &rule, .rule_count = 1 };
    struct nsp_filter *filter = NULL;
    struct nsp_verify_job job = {
        .search = { .spec = &spec,
                    .filters = &filter,
                    .hooks = NSP_HOOK_INPUT },
        .pkts = PKTS,
        .seed = 1,
    };
    struct nsp_diag diag = { .result = NSP_OK };

    if (rule.match)
        CHECK_EQ(nsp_filter_compile(rule.match, NSP_LAYER_NETWORK, NULL,
                                    &filter, NULL),
                 NSP_OK);
    done_instead = done;
    if (nsp_verify(&job, ret, &diag) != NSP_OK)
        fail_msg("%s", diag.text);
    done_instead = NULL;
    nsp_filter_destroy(filter);
}

static const uint8_t pattern[] = { 0, 1, 0, 0 }, other_pattern[] = { 0, 0, 1 };
static const uint64_t trace[] = { 1 * MS, 2 * MS };
static const uint64_t other_trace[] = { 1 * MS, 2 * MS + 1 };
static const uint64_t flaps[] = { 900 * MS, 100 * MS };
static const uint64_t other_flaps[] = { 900 * MS, 101 * MS };
static const uint64_t exponential[] = { 900 * MS, 100 * MS };
static const uint64_t other_exponential[] = { 900 * MS, 150 * MS };

static const struct nsp_rate_segment segments[] = {
    { 2000 * MS, 4000000, 4000000 },
    { 1000 * MS, 4000000, 20000000 },
    { 500 * MS, 0, 0 },
};
static const struct nsp_rate_segment other_segments[] = {
    { 2000 * MS, 4000000, 4000000 },
    { 1000 * MS, 4000000, 20000000 },
    { 505 * MS, 0, 0 },
};
static const struct nsp_rate_plan_config plan = { .segments = segments,
                                                  .segment_count = 3,
                                                  .repeat = true };
static const struct nsp_rate_plan_config other_plan = {
    .segments = other_segments, .segment_count = 3, .repeat = true
};
static const uint64_t opportunities[] = { 1 * MS, 1 * MS, 2 * MS, 9 * MS,
                                          30 * MS };
static const struct nsp_rate_plan_config traced = { .opportunities_ns =
                                                        opportunities,
                                                    .opportunity_count = 5,
                                                    .opportunity_bytes = 1504 };
static const struct nsp_rate_plan_config other_traced = {
    .opportunities_ns = opportunities + 1,
    .opportunity_count = 4,
    .opportunity_bytes = 1504
};

#define DELAY(kind_, rho, mean, spread)                                        \
    {                                                                          \
        .effects.delay = {                                                     \
            .kind = (kind_),                                                   \
            .correlation_ppm = (rho),                                          \
            .mean_ns = (mean),                                                 \
            .spread_ns = (spread)                                              \
        }                                                                      \
    }

/* What is said, and what is done instead, which is off by little. */
static const struct {
    const char *name;
    struct nsp_rule said, done;
} rows[] = {
    { "loss rate",
      { .effects.loss.chance.ppm = 10000 },
      { .effects.loss.chance.ppm = 11000 } },
    { "loss correlation",
      { .effects.loss.chance = { 50000, 300000 } },
      { .effects.loss.chance = { 50000, 350000 } } },
    { "mean burst",
      { .effects.loss = { .kind = NSP_LOSS_BURSTS,
                          .bursts = { 50000, 3000 } } },
      { .effects.loss = { .kind = NSP_LOSS_BURSTS,
                          .bursts = { 50000, 3300 } } } },
    { "pattern",
      { .effects.loss = { .kind = NSP_LOSS_PATTERN,
                          .pattern = { pattern, 4 } } },
      { .effects.loss = { .kind = NSP_LOSS_PATTERN,
                          .pattern = { other_pattern, 3 } } } },
    { "timed",
      { .effects.loss = { .kind = NSP_LOSS_TIMED,
                          .timed = { 10000, 500000, 20 * MS } } },
      { .effects.loss = { .kind = NSP_LOSS_TIMED,
                          .timed = { 10000, 500000, 24 * MS } } } },
    { "timed, all lost",
      { .effects.loss = { .kind = NSP_LOSS_TIMED,
                          .timed = { 10000, NSP_PPM_ONE, 20 * MS } } },
      { .effects.loss = { .kind = NSP_LOSS_TIMED,
                          .timed = { 10000, NSP_PPM_ONE, 23 * MS } } } },
    { "marks",
      { .effects.loss = { .mark_ce = true, .chance.ppm = 20000 } },
      { .effects.loss = { .mark_ce = false, .chance.ppm = 20000 } } },
    { "constant delay", DELAY(NSP_DELAY_CONSTANT, 0, 40 * MS, 0),
      DELAY(NSP_DELAY_CONSTANT, 0, 40 * MS + 1, 0) },
    { "mean delay", DELAY(NSP_DELAY_NORMAL, 0, 40 * MS, 5 * MS),
      DELAY(NSP_DELAY_NORMAL, 0, 40 * MS + 60000, 5 * MS) },
    { "deviation", DELAY(NSP_DELAY_NORMAL, 0, 40 * MS, 5 * MS),
      DELAY(NSP_DELAY_NORMAL, 0, 40 * MS, 5100000) },
    { "distribution", DELAY(NSP_DELAY_PARETO, 0, 40 * MS, 5 * MS),
      DELAY(NSP_DELAY_PARETO_NORMAL, 0, 40 * MS, 5 * MS) },
    { "delay correlation", DELAY(NSP_DELAY_UNIFORM, 500000, 40 * MS, 5 * MS),
      DELAY(NSP_DELAY_UNIFORM, 520000, 40 * MS, 5 * MS) },
    { "spared delay",
      { .effects.delay = { .mean_ns = 5 * MS, .spared_ppm = 100000 } },
      { .effects.delay = { .mean_ns = 5 * MS, .spared_ppm = 110000 } } },
    { "trace",
      { .effects.delay = { .kind = NSP_DELAY_TRACE,
                           .trace_ns = trace,
                           .trace_count = 2 } },
      { .effects.delay = { .kind = NSP_DELAY_TRACE,
                           .trace_ns = other_trace,
                           .trace_count = 2 } } },
    { "rate",
      { .link = { .rate_bitps = 10000000 } },
      { .link = { .rate_bitps = 10010000 } } },
    { "rate that changes",
      { .link = { .plan = &plan } },
      { .link = { .plan = &other_plan } } },
    { "trace",
      { .link = { .plan = &traced, .overhead_bytes = 4 } },
      { .link = { .plan = &other_traced, .overhead_bytes = 4 } } },
    { "overhead",
      { .link = { .rate_bitps = 10000000, .overhead_bytes = 38 } },
      { .link = { .rate_bitps = 10000000, .overhead_bytes = 42 } } },
    { "queue",
      { .link = { 10000000, 100, NSP_QUEUE_PKTS, 0, 0, NULL } },
      { .link = { 10000000, 102, NSP_QUEUE_PKTS, 0, 0, NULL } } },
    { "limit",
      { .limit = { NSP_LIMIT_PPS, 1000, 20 } },
      { .limit = { NSP_LIMIT_PPS, 1000, 24 } } },
    { "edits",
      { .edits = { .which = NSP_EDIT_TTL, .ttl = 5 } },
      { .edits = { .which = NSP_EDIT_TTL, .ttl = 6 } } },
    { "cut-off by bytes",
      { .effects.cutoff = { .after_bytes = 1000000, .stall_ns = UINT64_MAX } },
      { .effects.cutoff = { .after_bytes = 1002000,
                            .stall_ns = UINT64_MAX } } },
    { "stall",
      { .effects.cutoff = { .after_ns = 50 * MS,
                            .stall_ns = 20 * MS,
                            .hold = true } },
      { .effects.cutoff = { .after_ns = 50 * MS,
                            .stall_ns = 20 * MS + 1,
                            .hold = true } } },
    { "flap",
      { .effects.flap = { .count = 2, .times_ns = flaps } },
      { .effects.flap = { .count = 2, .times_ns = other_flaps } } },
    { "spared flap",
      { .effects.flap = { .count = 2,
                          .times_ns = flaps,
                          .spared_ppm = 300000 } },
      { .effects.flap = { .count = 2, .times_ns = flaps } } },
    { "spared cut-off",
      { .effects.cutoff = { .after_bytes = 1000000,
                            .stall_ns = UINT64_MAX,
                            .spared_ppm = 300000 } },
      { .effects.cutoff = { .after_bytes = 1000000,
                            .stall_ns = UINT64_MAX } } },
    { "spared throttle",
      { .effects.throttle = { .pkts = 1000,
                              .per_ns = 1000 * MS,
                              .burst_pkts = 10,
                              .spared_ppm = 300000 } },
      { .effects.throttle = { .pkts = 1000,
                              .per_ns = 1000 * MS,
                              .burst_pkts = 10 } } },
    { "spared windows",
      { .effects.windows = { .min_ns = 10 * MS,
                             .max_ns = 10 * MS,
                             .spared_ppm = 300000 } },
      { .effects.windows = { .min_ns = 10 * MS, .max_ns = 10 * MS } } },
    { "flap that holds",
      { .effects.flap = { .count = 2, .hold = true, .times_ns = flaps } },
      { .effects.flap = { .count = 2, .hold = false, .times_ns = flaps } } },
    { "exponential flap",
      { .effects.flap = { .kind = NSP_FLAP_EXPONENTIAL,
                          .count = 2,
                          .times_ns = exponential } },
      { .effects.flap = { .kind = NSP_FLAP_EXPONENTIAL,
                          .count = 2,
                          .times_ns = other_exponential } } },
    { "mtu",
      { .effects.mtu = { .max_bytes = 1400, .excess = NSP_MTU_ANSWER } },
      { .effects.mtu = { .max_bytes = 1401, .excess = NSP_MTU_ANSWER } } },
    { "mtu answers",
      { .effects.mtu = { .max_bytes = 1400, .excess = NSP_MTU_ANSWER } },
      { .effects.mtu = { .max_bytes = 1400, .excess = NSP_MTU_DROP } } },
    { "mtu truncation",
      { .effects.mtu = { .max_bytes = 1000, .excess = NSP_MTU_TRUNCATE } },
      { .effects.mtu = { .max_bytes = 999, .excess = NSP_MTU_TRUNCATE } } },
    { "loss of SYNs",
      { .effects.syn_loss.chance.ppm = 200000 },
      { .effects.syn_loss.chance.ppm = 210000 } },
    { "resets",
      { .effects.tcp_reset = { .ppm = 10000, .ends = NSP_TCP_RESET_BOTH } },
      { .effects.tcp_reset = { .ppm = 10000, .ends = NSP_TCP_RESET_SENDER } } },
    { "one reset",
      { .effects.tcp_reset = { .ppm = 10000, .once = true } },
      { .effects.tcp_reset = { .ppm = 10000, .once = false } } },
    { "throttle",
      { .effects.throttle = { .pkts = 1000,
                              .per_ns = 1000 * MS,
                              .burst_pkts = 10,
                              .queue_pkts = 0 } },
      { .effects.throttle = { .pkts = 1001,
                              .per_ns = 1000 * MS,
                              .burst_pkts = 10,
                              .queue_pkts = 0 } } },
    { "throttle's burst",
      { .effects.throttle = { .pkts = 1000,
                              .per_ns = 1000 * MS,
                              .burst_pkts = 10,
                              .queue_pkts = 100 } },
      { .effects.throttle = { .pkts = 1000,
                              .per_ns = 1000 * MS,
                              .burst_pkts = 15,
                              .queue_pkts = 95 } } },
    { "copies",
      { .effects.duplicate = { .ppm = 100000, .copies = 2 } },
      { .effects.duplicate = { .ppm = 100000, .copies = 3 } } },
    { "spaced copies",
      { .effects.duplicate = { .ppm = 100000, .copies = 2, .spacing_ns = MS } },
      { .effects.duplicate = { .ppm = 100000,
                               .copies = 2,
                               .spacing_ns = MS + 1 } } },
    { "share of copies",
      { .effects.duplicate = { .ppm = 100000, .copies = 1 } },
      { .effects.duplicate = { .ppm = 104000, .copies = 1 } } },
    { "flipped bits",
      { .effects.tamper = { .ppm = 50000, .flip_bits = 2 } },
      { .effects.tamper = { .ppm = 50000, .flip_bits = 3 } } },
    { "damage",
      { .effects.tamper = { .ppm = 50000, .flip_bits = 1 } },
      { .effects.tamper = { .ppm = 54000, .flip_bits = 1 } } },
    { "broken checksums",
      { .effects.tamper = { .ppm = 50000, .csum = NSP_TAMPER_CSUM_BREAK } },
      { .effects.tamper = { .ppm = 50000,
                            .flip_bits = 1,
                            .csum = NSP_TAMPER_CSUM_REPAIR } } },
    { "repaired checksums",
      { .effects.tamper = { .ppm = 50000,
                            .rewrite = NSP_TAMPER_RANDOM,
                            .csum = NSP_TAMPER_CSUM_REPAIR } },
      { .effects.tamper = { .ppm = 50000,
                            .rewrite = NSP_TAMPER_RANDOM,
                            .csum = NSP_TAMPER_CSUM_KEEP } } },
    { "tcp window",
      { .effects.tcp_window.max_bytes = 8000 },
      { .effects.tcp_window.max_bytes = 8001 } },
    { "windows",
      { .effects.windows = { .min_ns = 10 * MS,
                             .max_ns = 10 * MS,
                             .limit_pkts = 0,
                             .limit_bytes = 0 } },
      { .effects.windows = { .min_ns = 10 * MS + 1,
                             .max_ns = 10 * MS + 1,
                             .limit_pkts = 0,
                             .limit_bytes = 0 } } },
    { "room of windows",
      { .effects.windows = { .min_ns = 10 * MS,
                             .max_ns = 10 * MS,
                             .limit_pkts = 5,
                             .limit_bytes = 0 } },
      { .effects.windows = { .min_ns = 10 * MS,
                             .max_ns = 10 * MS,
                             .limit_pkts = 4,
                             .limit_bytes = 0 } } },
    { "bytes of windows",
      { .effects.windows = { .min_ns = 10 * MS,
                             .max_ns = 10 * MS,
                             .limit_pkts = 0,
                             .limit_bytes = 500 } },
      { .effects.windows = { .min_ns = 10 * MS,
                             .max_ns = 10 * MS,
                             .limit_pkts = 0,
                             .limit_bytes = 400 } } },
    { "random windows",
      { .effects.windows = { .min_ns = 8 * MS,
                             .max_ns = 12 * MS,
                             .limit_pkts = 0,
                             .limit_bytes = 0 } },
      { .effects.windows = { .min_ns = 8 * MS,
                             .max_ns = 12200000,
                             .limit_pkts = 0,
                             .limit_bytes = 0 } } },
    { "delay of ACKs",
      { .effects.ack_delay = { .delay_ns = 5 * MS } },
      { .effects.ack_delay = { .delay_ns = 5 * MS, .all = true } } },
    { "spared ACKs",
      { .effects.ack_delay = { .delay_ns = 5 * MS, .spared_ppm = 200000 } },
      { .effects.ack_delay = { .delay_ns = 5 * MS, .spared_ppm = 210000 } } },
    { "reordering by a gap",
      { .effects = { .delay.mean_ns = 10 * MS,
                     .reorder = { .ppm = 250000, .gap = 5 } } },
      { .effects = { .delay.mean_ns = 10 * MS,
                     .reorder = { .ppm = 260000, .gap = 5 } } } },
    { "reordering by time",
      { .effects.reorder = { .ppm = 300000, .late_ns = 20 * MS } },
      { .effects.reorder = { .ppm = 300000, .late_ns = 21 * MS } } },
};
#define ROWS (sizeof rows / sizeof rows[0])

TEST(what_is_said_and_done_passes)
{
    for (size_t i = 0; i < ROWS; i++) {
        struct nsp_checks checks = { 0 };

        verify(&rows[i].said, NULL, &checks);
        for (uint32_t c = 0; c < checks.count; c++)
            if (checks.list[c].result == NSP_CHECK_FAIL ||
                (IS_TELLING && checks.list[c].result == NSP_CHECK_NOT_TESTED))
                fail_msg("%s: %s %s: %.9g is outside %.9g..%.9g, %s",
                         rows[i].name, checks.list[c].effect,
                         checks.list[c].quantity, checks.list[c].achieved,
                         checks.list[c].allowed.low,
                         checks.list[c].allowed.high, checks.list[c].note);
        nsp_checks_fini(&checks);
    }
}

TEST(what_is_done_otherwise_fails)
{
    for (size_t i = 0; i < ROWS; i++) {
        struct nsp_checks checks = { 0 };

        verify(&rows[i].said, &rows[i].done, &checks);
        if (IS_TELLING && nsp_checks_count(&checks, NSP_CHECK_FAIL) == 0)
            fail_msg("%s: nothing failed", rows[i].name);
        nsp_checks_fini(&checks);
    }
}

/* Effects of one rule are measured one by one. */
TEST(effects_of_one_rule_do_not_hide_each_other)
{
    const struct nsp_rule rule = {
        .effects = { .flap = { .count = 2, .times_ns = flaps },
                     .loss.chance.ppm = 20000,
                     .throttle = { .pkts = 1000,
                                   .per_ns = 1000 * MS,
                                   .burst_pkts = 10,
                                   .queue_pkts = 100 },
                     .tamper = { .ppm = 10000, .flip_bits = 1 },
                     .windows = { .min_ns = 10 * MS, .max_ns = 10 * MS },
                     .delay = { .kind = NSP_DELAY_NORMAL,
                                .mean_ns = 40 * MS,
                                .spread_ns = 5 * MS } },
        .link = { .rate_bitps = 10000000 },
        .limit = { NSP_LIMIT_PPS, 5000, 100 },
        .edits = { .which = NSP_EDIT_TTL, .ttl = 5 },
    };
    struct nsp_checks checks = { 0 };

    verify(&rule, NULL, &checks);
    for (uint32_t c = 0; c < checks.count; c++)
        if (checks.list[c].result == NSP_CHECK_FAIL)
            fail_msg("%s %s: %.9g is outside %.9g..%.9g", checks.list[c].effect,
                     checks.list[c].quantity, checks.list[c].achieved,
                     checks.list[c].allowed.low, checks.list[c].allowed.high);
    CHECK(nsp_checks_count(&checks, NSP_CHECK_PASS) > 20);
    nsp_checks_fini(&checks);
}

/* --- Several rules -------------------------------------------------------- */

/* Rules that go on act together; each is measured alone. */
TEST(rules_on_the_same_packets_are_measured_one_by_one)
{
    const struct nsp_rule rules[] = {
        { .match = "udp", .go_on = true, .effects.delay.mean_ns = 10 * MS },
        { .match = "udp", .go_on = true, .effects.loss.chance.ppm = 100000 },
        { .match = "udp.DstPort > 0", .effects.delay.mean_ns = 5 * MS },
        { .match = "udp.DstPort == 5", .action = NSP_ACTION_DROP },
    };
    const struct nsp_policy_spec spec = { .rules = rules, .rule_count = 4 };
    struct nsp_filter *filters[4];
    struct nsp_checks checks = { 0 };
    struct nsp_verify_job job = {
        .search = { .spec = &spec,
                    .filters = filters,
                    .hooks = NSP_HOOK_INPUT },
        .pkts = 20000,
        .seed = 1,
    };
    struct nsp_diag diag;

    for (int i = 0; i < 4; i++)
        CHECK_EQ(nsp_filter_compile(rules[i].match, NSP_LAYER_NETWORK, NULL,
                                    &filters[i], NULL),
                 NSP_OK);
    CHECK_EQ(nsp_verify(&job, &checks, &diag), NSP_OK);
    CHECK_EQ(nsp_checks_count(&checks, NSP_CHECK_FAIL), 0);
    /* The last is hidden by the one before. */
    CHECK_EQ(nsp_checks_count(&checks, NSP_CHECK_NOT_TESTED), 1);
    CHECK_EQ(checks.list[checks.count - 1].rule, 3);
    nsp_checks_fini(&checks);
    for (int i = 0; i < 4; i++)
        nsp_filter_destroy(filters[i]);
}

/* A failure by chance is tried again; one that is none is not. */
TEST(second_attempt_replaces_failures_of_chance_alone)
{
    const struct nsp_interval allowed = { 0, 1 }, wide = { 0, 9 };
    struct nsp_checks first = { 0 }, again = { 0 };

    nsp_checks_add_random(&first, "a", "x", NSP_UNIT_NS, 0, 2, wide, allowed);
    nsp_checks_add_random(&first, "a", "y", NSP_UNIT_NS, 0, 2, wide, allowed);
    nsp_checks_add_exact(&first, "a", "z", NSP_UNIT_NS, 0, 2, allowed);
    nsp_checks_add_random(&again, "a", "x", NSP_UNIT_NS, 0, 1, wide, allowed);
    nsp_checks_add_random(&again, "a", "y", NSP_UNIT_NS, 0, 3, wide, allowed);
    nsp_checks_add_exact(&again, "a", "z", NSP_UNIT_NS, 0, 1, allowed);
    CHECK(nsp_checks_want_retry(&first, 1));
    nsp_checks_retry(&first, &again);
    CHECK(!nsp_checks_want_retry(&first, 2));
    CHECK_EQ(first.list[0].result, NSP_CHECK_PASS);
    CHECK_EQ(first.list[0].attempts, 2);
    CHECK_EQ(first.list[1].result, NSP_CHECK_FAIL);
    CHECK_EQ(first.list[2].result, NSP_CHECK_FAIL);
    CHECK_EQ(first.list[2].attempts, 1);
    nsp_checks_fini(&first);
    nsp_checks_fini(&again);
}

TEST_MAIN(cmocka_unit_test(what_is_said_and_done_passes),
          cmocka_unit_test(what_is_done_otherwise_fails),
          cmocka_unit_test(effects_of_one_rule_do_not_hide_each_other),
          cmocka_unit_test(rules_on_the_same_packets_are_measured_one_by_one),
          cmocka_unit_test(second_attempt_replaces_failures_of_chance_alone))
