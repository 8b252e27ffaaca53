/* Which device takes packets where: the planner's decision table, asked without
 * opening anything. */
#include <string.h>

#include "netshaper/engine.h"
#include "tests/lib/test.h"

#define MS UINT64_C(1000000)

enum {
    IN = NSP_HOOK_INPUT,
    OUT = NSP_HOOK_OUTPUT,
    FWD = NSP_HOOK_FORWARD,
    ALL = IN | OUT | FWD,
};

/* The letter of the device that takes packets at 'hook', or else of whoever
 * does by other interfaces; '-' nobody. */
static char
device_at(const struct nsp_placement places[], uint32_t count, uint32_t hook,
          bool host, bool other)
{
    char found = '-';

    for (uint32_t i = 0; i < count; i++) {
        bool is_other = places[i].interfaces == NSP_PLACEMENT_OTHER;

        if (places[i].hook != hook || is_other != other)
            continue;
        CHECK_EQ(found, '-');
        CHECK(places[i].reason[0] != '\0');
        CHECK_EQ(places[i].interfaces == NSP_PLACEMENT_ETHERNET,
                 hook == OUT && host && places[i].device[0] == 't');
        found = places[i].device[0];
    }
    return found;
}

#define DELAY .effects.delay.mean_ns = MS
#define RATE  .link.rate_bitps = 8000000

/* 'n' nfqueue, 't' tap, '-' nobody: at input, output, forward, and at output by
 * interfaces that differ from those of the device before. */
static const struct {
    const char *places;
    uint32_t hooks;
    const char *filter;
    struct nsp_rule rule;
} rows[] = {
    /* Nothing waits. */
    { "nn--", IN | OUT, "true", { .match = "tcp" } },
    { "nnn-", ALL, "true", { .action = NSP_ACTION_DROP } },
    { "nnn-", ALL, "true", { .action = NSP_ACTION_REJECT } },
    { "nn--", IN | OUT, "true", { .effects.loss.chance.ppm = 5 } },
    { "-n--", OUT, "true", { .limit = { .unit = NSP_LIMIT_PPS, .rate = 5 } } },
    { "-n--", OUT, "true", { .edits = { .which = NSP_EDIT_TTL, .ttl = 5 } } },
    { "-n--", OUT, "true", { .edits = { .which = NSP_EDIT_MARK } } },
    /* What leaves may wait. */
    { "nt-n", IN | OUT, "true", { DELAY } },
    { "nt-n", IN | OUT, "true", { RATE } },
    { "nt-n", IN | OUT, "true", { .class_name = "c" } },
    { "nt-n", IN | OUT, "true", { .impairment = "slow" } },
    { "nn--", IN | OUT, "true", { .impairment = "lossy" } },
    { "ntnn", ALL, "true", { DELAY } },
    { "-t-n", OUT, "true", { RATE } },
    { "-tnn", OUT | FWD, "true", { RATE } },
    { "nt-n", IN | OUT, "tcp", { DELAY, .match = "tcp.DstPort == 80" } },
    { "nt-n", IN | OUT, "true", { DELAY, .disabled = true } },
    { "nt-n", IN | OUT, "true", { DELAY, .apply = NSP_APPLY_OUTBOUND } },
    /* It cannot be what leaves. */
    { "n---", IN, "true", { DELAY } },
    { "--n-", FWD, "true", { DELAY } },
    { "n-n-", IN | FWD, "true", { RATE } },
    { "nnn-", ALL, "true", { DELAY, .apply = NSP_APPLY_INBOUND } },
    { "nnn-", ALL, "true", { DELAY, .match = "inbound and udp" } },
    { "nnn-", ALL, "true", { DELAY, .match = "not outbound and udp" } },
    { "nnn-", ALL, "true", { DELAY, .match = "false" } },
    /* Of what leaves, nothing is taken. */
    { "n---", IN | OUT, "inbound and udp", { DELAY } },
    { "-t-n", IN | OUT, "outbound", { DELAY } },
    { "----", IN | OUT, "false", { DELAY } },
};

static void
place(const char *backend, uint32_t hooks, const char *filter,
      const struct nsp_rule rules[], uint32_t count, char ret[5])
{
    static const struct nsp_class class_ = { "c", { .rate_bitps = 8000000 } };
    static const struct nsp_impairment impairments[] = {
        { "slow", { .delay.mean_ns = MS } },
        { "lossy", { .loss.chance.ppm = 9 } },
    };
    const struct nsp_engine_config cfg = {
        .backend = backend,
        .hooks = hooks,
        .policy = { .rules = rules,
                    .rule_count = count,
                    .classes = &class_,
                    .class_count = 1,
                    .impairments = impairments,
                    .impairment_count = 2 },
    };
    struct nsp_placement places[NSP_PLACEMENTS_MAX];
    bool host = strcmp(backend, "host") == 0;
    struct nsp_diag diag;
    uint32_t got;

    CHECK_EQ(nsp_engine_place(&cfg, filter, places, &got, &diag), NSP_OK);
    for (uint32_t h = 0; h < 3; h++) {
        ret[h] = device_at(places, got, 1u << h, host, false);
        if ((1u << h) != OUT)
            CHECK_EQ(device_at(places, got, 1u << h, host, true), '-');
    }
    ret[3] = device_at(places, got, OUT, host, true);
    ret[4] = '\0';
}

TEST(the_policy_picks_the_device_of_each_hook)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char got[5];

        place("host", rows[i].hooks, rows[i].filter, &rows[i].rule, 1, got);
        if (strcmp(got, rows[i].places) != 0)
            fail_msg("row %zu: %s, not %s", i, got, rows[i].places);
    }
}

TEST(one_rule_of_many_is_enough)
{
    const struct nsp_rule rules[] = {
        { .match = "tcp", .action = NSP_ACTION_DROP },
        { .match = "udp and inbound", DELAY },
        { .name = "slow-out", .match = "udp and outbound", DELAY },
    };
    char got[5];

    place("host", ALL, "true", rules, 2, got);
    CHECK_STR_EQ(got, "nnn-");
    place("host", ALL, "true", rules, 3, got);
    CHECK_STR_EQ(got, "ntnn");
    place("host", ALL, "true", NULL, 0, got);
    CHECK_STR_EQ(got, "nnn-");
}

TEST(a_device_asked_for_by_name_is_taken)
{
    const struct nsp_rule rule = { .action = NSP_ACTION_DROP };
    char got[5];

    place("tap", IN | OUT, "true", &rule, 1, got);
    CHECK_STR_EQ(got, "tt--");
    place("nfqueue", ALL, "true", &rule, 1, got);
    CHECK_STR_EQ(got, "nnn-");
}

TEST(what_leaves_by_interfaces_that_are_not_named_is_left_alone)
{
    static const char *const names[] = { "eth0" };
    const struct nsp_rule rule = { DELAY };
    const struct nsp_engine_config cfg = {
        .backend = "host",
        .hooks = IN | OUT,
        .tap = { .interfaces = names, .interface_count = 1 },
        .policy = { .rules = &rule, .rule_count = 1 },
    };
    struct nsp_placement places[NSP_PLACEMENTS_MAX];
    struct nsp_diag diag;
    uint32_t got;

    CHECK_EQ(nsp_engine_place(&cfg, "true", places, &got, &diag), NSP_OK);
    CHECK_EQ(got, 2);
    CHECK_STR_EQ(places[1].device, "tap");
    CHECK_EQ(places[1].interfaces, NSP_PLACEMENT_ALL);
}

static int
refusal(const char *backend, const struct nsp_rule rules[], uint32_t count,
        struct nsp_diag *diag)
{
    const struct nsp_engine_config cfg = {
        .backend = backend,
        .hooks = IN | OUT,
        .policy = { .rules = rules, .rule_count = count },
    };
    struct nsp_placement places[NSP_PLACEMENTS_MAX];
    uint32_t got;

    *diag = (struct nsp_diag){ .result = NSP_OK };
    return nsp_engine_place(&cfg, "true", places, &got, diag);
}

TEST(marks_are_refused_where_they_would_be_lost)
{
    struct nsp_rule rules[] = {
        { .name = "slow", .match = "tcp", DELAY },
        { .name = "marked", .edits = { .which = NSP_EDIT_MARK } },
    };
    struct nsp_diag diag;

    CHECK_EQ(refusal("host", rules, 2, &diag), NSP_NOT_POSSIBLE);
    CHECK_STR_EQ(diag.category, "mark");
    CHECK(strstr(diag.text, "rule marked") && strstr(diag.text, "output") &&
          strstr(diag.text, "tap"));
    CHECK(diag.hint[0]);
    CHECK_EQ(refusal("tap", rules + 1, 1, &diag), NSP_NOT_POSSIBLE);
    CHECK_STR_EQ(diag.category, "mark");

    CHECK_EQ(refusal("nfqueue", rules + 1, 1, &diag), NSP_OK);
    CHECK_EQ(refusal("host", rules + 1, 1, &diag), NSP_OK);
    rules[1].apply = NSP_APPLY_INBOUND;
    CHECK_EQ(refusal("host", rules, 2, &diag), NSP_OK);
    rules[1].apply = NSP_APPLY_BOTH;
    rules[0].apply = NSP_APPLY_INBOUND;
    CHECK_EQ(refusal("host", rules, 2, &diag), NSP_OK);
}

TEST(holding_what_leaves_is_refused_to_nfqueue_by_name)
{
    const struct nsp_rule rule = { .name = "slow", DELAY };
    struct nsp_diag diag;

    CHECK_EQ(refusal("nfqueue", &rule, 1, &diag), NSP_NOT_POSSIBLE);
    CHECK_STR_EQ(diag.category, "hold-output");
    CHECK(strstr(diag.hint, "\"host\"") != NULL);
}

TEST(what_an_engine_would_refuse_is_refused)
{
    const struct nsp_rule bad = { .match = "tcp and" };
    const struct nsp_engine_config no_backend = { .backend = NULL };
    const struct nsp_engine_config host = { .backend = "host" };
    struct nsp_placement places[NSP_PLACEMENTS_MAX];
    struct nsp_diag diag;
    uint32_t count = 7;

    CHECK_EQ(refusal("host", &bad, 1, &diag), NSP_INVALID_FILTER);
    CHECK_EQ(nsp_engine_place(&no_backend, "true", places, &count, &diag),
             NSP_INVALID_PARAMETER);
    CHECK_EQ(nsp_engine_place(&host, "tcp and", places, &count, &diag),
             NSP_INVALID_FILTER);
    CHECK_EQ(nsp_engine_place(&host, NULL, places, &count, NULL),
             NSP_INVALID_PARAMETER);
    CHECK_EQ(nsp_engine_place(NULL, "true", places, &count, NULL),
             NSP_INVALID_PARAMETER);
    CHECK_EQ(count, 7);
}

TEST_MAIN(cmocka_unit_test(the_policy_picks_the_device_of_each_hook),
          cmocka_unit_test(one_rule_of_many_is_enough),
          cmocka_unit_test(a_device_asked_for_by_name_is_taken),
          cmocka_unit_test(
              what_leaves_by_interfaces_that_are_not_named_is_left_alone),
          cmocka_unit_test(marks_are_refused_where_they_would_be_lost),
          cmocka_unit_test(holding_what_leaves_is_refused_to_nfqueue_by_name),
          cmocka_unit_test(what_an_engine_would_refuse_is_refused))
