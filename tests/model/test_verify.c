/* 'nsp verify' passes what the engine does when the policy says it, and fails
 * the same when the policy says something near to it: the engine runs one rule,
 * and is judged by another. */
#include "verify/subject.h"
#include "verify/verify.h"
#include "tests/lib/test.h"

#include <stdio.h>

#define MS   UINT64_C(1000000)
#define PKTS 200000u

/* A policy of one rule for UDP. */
struct fixture {
    struct nsp_rule rule;
    struct nsp_filter *filter;
    struct nsp_policy_spec spec;
    struct nsp_search search;
};

static void
set_up(struct fixture *f, const struct nsp_rule *rule)
{
    f->rule = *rule;
    f->rule.match = "udp";
    f->spec = (struct nsp_policy_spec){ .rules = &f->rule, .rule_count = 1 };
    CHECK_EQ(
        nsp_filter_compile("udp", NSP_LAYER_NETWORK, NULL, &f->filter, NULL),
        NSP_OK);
    f->search = (struct nsp_search){ .spec = &f->spec,
                                     .filters = &f->filter,
                                     .hooks = NSP_HOOK_INPUT,
                                     .payload_bytes = 64 };
}

/* Judges what an engine with 'done' did as if the policy had been 'said'. */
static void
judge(const struct nsp_rule *done, const struct nsp_rule *said,
      struct nsp_checks *ret)
{
    struct nsp_subject subject;
    struct nsp_diag diag;
    struct nsp_trial trial;
    struct fixture f;
    const char *why;

    set_up(&f, done);
    nsp_subject_init(&subject, &f.search, 0);
    CHECK(nsp_search_packet(&f.search, 0, &subject.packet, &why));
    subject.pkts = PKTS;
    subject.seed = 1;
    CHECK_EQ(nsp_subject_run(&subject, &subject.packet,
                             nsp_subject_calm_gap_ns(&subject, 100), PKTS,
                             &trial, &diag),
             NSP_OK);
    subject.rule = said;
    subject.effects = &said->effects;
    CHECK_EQ(nsp_judge_accounts(&trial, ret), NSP_OK);
    CHECK_EQ(nsp_judge_loss(&subject, &trial, ret), NSP_OK);
    CHECK_EQ(nsp_judge_delay(&subject, &trial, ret), NSP_OK);
    nsp_trial_fini(&trial);

    subject.link = &said->link; /* The engine still has its own. */
    if (done->link.rate_bitps > 0)
        CHECK_EQ(nsp_judge_rate(&subject, ret, &diag), NSP_OK);
    if (done->limit.unit != NSP_LIMIT_NONE)
        CHECK_EQ(nsp_judge_limit(&subject, ret, &diag), NSP_OK);
    if (done->edits.which != 0)
        CHECK_EQ(nsp_judge_edits(&subject, ret, &diag), NSP_OK);
    nsp_filter_destroy(f.filter);
}

static const uint8_t pattern[] = { 0, 1, 0, 0 }, other_pattern[] = { 0, 0, 1 };
static const uint64_t trace[] = { 1 * MS, 2 * MS };
static const uint64_t other_trace[] = { 1 * MS, 2 * MS + 1 };

/* What is done, and what is said instead, which is off by little. */
static const struct {
    const char *name;
    struct nsp_rule done, said;
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
    { "constant delay",
      { .effects.delay.mean_ns = 40 * MS },
      { .effects.delay.mean_ns = 40 * MS + 1 } },
    { "mean delay",
      { .effects.delay = { NSP_DELAY_NORMAL, false, 0, 40 * MS, 5 * MS } },
      { .effects.delay = { NSP_DELAY_NORMAL, false, 0, 40 * MS + 60000,
                           5 * MS } } },
    { "deviation",
      { .effects.delay = { NSP_DELAY_NORMAL, false, 0, 40 * MS, 5 * MS } },
      { .effects.delay = { NSP_DELAY_NORMAL, false, 0, 40 * MS, 5100000 } } },
    { "distribution",
      { .effects.delay = { NSP_DELAY_PARETO, false, 0, 40 * MS, 5 * MS } },
      { .effects.delay = { NSP_DELAY_PARETO_NORMAL, false, 0, 40 * MS,
                           5 * MS } } },
    { "delay correlation",
      { .effects.delay = { NSP_DELAY_UNIFORM, false, 500000, 40 * MS,
                           5 * MS } },
      { .effects.delay = { NSP_DELAY_UNIFORM, false, 520000, 40 * MS,
                           5 * MS } } },
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
};

TEST(what_is_said_and_done_passes)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct nsp_checks checks = { 0 };

        judge(&rows[i].done, &rows[i].done, &checks);
        for (uint32_t c = 0; c < checks.count; c++)
            if (checks.list[c].result == NSP_CHECK_FAIL)
                fail_msg("%s: %s %s: %.9g is outside %.9g..%.9g", rows[i].name,
                         checks.list[c].effect, checks.list[c].quantity,
                         checks.list[c].achieved, checks.list[c].allowed.low,
                         checks.list[c].allowed.high);
        nsp_checks_fini(&checks);
    }
}

TEST(what_is_said_otherwise_fails)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct nsp_checks checks = { 0 };

        judge(&rows[i].done, &rows[i].said, &checks);
        if (nsp_checks_count(&checks, NSP_CHECK_FAIL) == 0)
            fail_msg("%s: nothing failed", rows[i].name);
        nsp_checks_fini(&checks);
    }
}

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
    CHECK(nsp_checks_have_random_failures(&first));
    nsp_checks_retry(&first, &again);
    CHECK_EQ(first.list[0].result, NSP_CHECK_PASS);
    CHECK_EQ(first.list[0].attempts, 2);
    CHECK_EQ(first.list[1].result, NSP_CHECK_FAIL);
    CHECK_EQ(first.list[2].result, NSP_CHECK_FAIL);
    CHECK_EQ(first.list[2].attempts, 1);
    nsp_checks_fini(&first);
    nsp_checks_fini(&again);
}

TEST_MAIN(cmocka_unit_test(what_is_said_and_done_passes),
          cmocka_unit_test(what_is_said_otherwise_fails),
          cmocka_unit_test(rules_on_the_same_packets_are_measured_one_by_one),
          cmocka_unit_test(second_attempt_replaces_failures_of_chance_alone))
