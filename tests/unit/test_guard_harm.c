/* What makes a connection unusable. */
#include "cli/guard_harm.h"

#include <stdlib.h>
#include <string.h>

#include "config/policy_file.h"
#include "policy/policy_spec.h"
#include "tests/lib/test.h"

static const char *text;

static int
read_text(void *context, const char *path, char **ret_text, size_t *ret_bytes)
{
    (void)context;
    (void)path;
    *ret_text = strdup(text);
    *ret_bytes = strlen(text);
    return 0;
}

/* Loads a policy of 'rules', a flow sequence. */
static struct nsp_policy_file *
load(const char *rules)
{
    static const struct nsp_file_reader reader = { .read = read_text };
    struct nsp_complaints complaints = { .list = NULL };
    struct nsp_policy_file *file = NULL;
    char all[1024];

    snprintf(all, sizeof all,
             "version: 1\n"
             "classes: { slow: { rate: 15kbit } }\n"
             "impairments: { bad: { loss: 25%% } }\n"
             "rules: [ %s ]\n",
             rules);
    text = all;
    if (nsp_policy_file_load("p.yaml", &reader, &file, &complaints) != NSP_OK)
        fail_msg("%s: %s", rules, complaints.list[0].diag.text);
    nsp_complaints_fini(&complaints);
    return file;
}

/* What is too much for a packet with so many bytes of payload, 40 of headers,
 * that all rules act on. */
static const char *
harm(const struct nsp_policy_spec *spec, uint32_t payload_bytes,
     enum nsp_direction direction)
{
    const struct nsp_pkt pkt = {
        .l3 = NSP_L3_IPV4,
        .l4 = NSP_L4_TCP,
        .direction = (uint8_t)direction,
        .ip_bytes = 40 + payload_bytes,
        .payload_bytes = payload_bytes,
    };
    struct nsp_harm harm;
    const char *what = NULL;

    nsp_harm_init(&harm, &pkt);
    for (uint32_t i = 0; !what && i < spec->rule_count; i++)
        what = nsp_harm_add(&harm, spec, &spec->rules[i]);
    return what ? what : "";
}

static const char *const texts[] = { "",
                                     "drop",
                                     "reject",
                                     "lose much of",
                                     "hold for seconds",
                                     "slow down to a crawl",
                                     "limit to a crawl",
                                     "break off",
                                     "reset",
                                     "damage",
                                     "expire" };
enum {
    NONE,
    DROP,
    REJECT,
    LOSE,
    HOLD,
    SLOW,
    LIMIT,
    BREAK,
    RESET,
    DAMAGE,
    EXPIRE
};

/* Of a full packet that goes out. */
static const struct {
    const char *rules;
    int expect;
} rows[] = {
    { "{ action: drop }", DROP },
    { "{ action: reject }", REJECT },
    { "{ loss: 24% }", NONE },
    { "{ loss: 25% }", LOSE },
    { "{ impair: bad }", LOSE },
    { "{ class: slow }", SLOW },

    /* 0.8^2 is 0.64; 0.9^2 0.81, and 0.9^3 0.73. */
    { "{ loss: 20%, continue: true }, { loss: 20% }", LOSE },
    { "{ loss: 10%, continue: true }, { loss: 10% }", NONE },
    { "{ loss: 10%, continue: true }, { loss: 10%, continue: true }, "
      "{ loss: 10% }",
      LOSE },
    { "{ delay: 1s, continue: true }, { delay: 900ms }", NONE },
    { "{ delay: 1s, continue: true }, { delay: 1s }", HOLD },

    { "{ loss: { chance: 20%, model: correlated, correlation: 90% } }", HOLD },
    { "{ loss: { model: gilbert-elliott, p: 5%, burst: 4 } }", NONE },
    { "{ loss: { model: gilbert-elliott, p: 5%, burst: 5 } }", HOLD },
    { "{ loss: { model: four-state, p13: 10%, p31: 90% } }", NONE },
    { "{ loss: { model: four-state, p13: 50%, p31: 50% } }", LOSE },
    { "{ loss: { model: pattern, pattern: \"1000\" } }", LOSE },
    { "{ loss: { model: pattern, pattern: \"10000\" } }", NONE },
    { "{ loss: { model: pattern, "
      "pattern: \"110000000000000000000000000000111\" } }",
      HOLD },
    { "{ loss: { model: consecutive, chances: [10%, 20%] } }", NONE },
    { "{ loss: { model: consecutive, chances: [90%, 90%] } }", LOSE },
    { "{ loss: { model: nth, n: 4 } }", LOSE },
    { "{ loss: { model: nth, n: 5 } }", NONE },
    { "{ loss: { model: first-n, n: 4 } }", NONE },
    { "{ loss: { model: first-n, n: 5 } }", HOLD },
    { "{ loss: { model: timed, enter: 1%, time: 10ms } }", NONE },
    { "{ loss: { model: timed, enter: 1%, time: 100ms } }", LOSE },
    { "{ loss: { model: timed, enter: 0.001%, time: 2s } }", HOLD },
    { "{ syn-drop: 100% }", NONE },

    { "{ delay: 1999ms }", NONE },
    { "{ delay: 2s }", HOLD },
    { "{ delay: 1s, jitter: 999ms }", NONE },
    { "{ delay: 1s, jitter: 1s }", HOLD },
    { "{ delay: 1s, jitter: { sd: 330ms } }", NONE },
    { "{ delay: 1s, jitter: { sd: 340ms } }", HOLD },
    { "{ delay: { trace: [ 1s, 1h ], step: 1s } }", HOLD },
    { "{ delay: { trace: [ 1s, 1ms ], step: 1s } }", NONE },
    { "{ delay: { time: 1h, chance: 24% } }", NONE },
    { "{ delay: { time: 1h, chance: 25% } }", HOLD },
    { "{ ack-delay: 1h }", NONE }, /* It has data. */
    { "{ ack-delay: { time: 1h, all: true } }", HOLD },
    { "{ out-of-order: 1h }", HOLD },
    { "{ out-of-order: 50ms }", NONE },
    { "{ burst: 1h }", HOLD },
    { "{ burst: 100ms }", NONE },
    { "{ burst: { interval: 1s, packets: 4 } }", LIMIT },
    { "{ burst: { interval: 1s, packets: 5 } }", NONE },
    { "{ burst: { interval: 1s, bytes: 7kb } }", LIMIT },
    { "{ burst: { interval: 100ms, bytes: 1b } }", NONE },
    { "{ flap: { times: [ 1s, 1h ] } }", LOSE },
    { "{ flap: { times: [ 1h, 2s ] } }", HOLD },
    { "{ flap: { times: [ 1h, 1s ] } }", NONE },
    { "{ flap: { times: [ 3s, 1s ] } }", LOSE },
    { "{ flap: { times: [ 3s, 1s ], hold: true } }", NONE },
    { "{ cutoff: { bytes: 1b } }", BREAK },
    { "{ cutoff: { time: 1s, stall: 1s } }", NONE },
    { "{ cutoff: { time: 1s, stall: 2s } }", HOLD },

    { "{ rate: 15kbit }", SLOW },
    { "{ rate: 16kbit }", NONE },
    { "{ rate: 20kbit, duplicate: { copies: 1 } }", SLOW },
    { "{ duplicate: { copies: 64 } }", NONE },
    { "{ rate: { schedule: [ { for: 1h, rate: 1kbit } ] } }", SLOW },
    { "{ rate: { schedule: [ { for: 1s, rate: 1mbit }, "
      "{ for: 1s, rate: 1kbit } ] } }",
      NONE },
    { "{ rate: { schedule: [ { for: 1s, rate: 1kbit }, "
      "{ for: 1s, rate: 1mbit }, { for: 1s, rate: 1kbit } ] } }",
      SLOW },
    { "{ rate: { schedule: [ { for: 1s, rate: 1mbit }, "
      "{ for: 1s, rate: 1kbit } ], repeat: false } }",
      SLOW },
    { "{ limit: 15kbit }", LIMIT },
    { "{ limit: 4pps }", LIMIT },
    { "{ limit: { rate: 1mbit, burst: 1kb } }", DROP },
    { "{ limit: { rate: 1mbit, burst: 2kb } }", NONE },
    { "{ throttle: { packets: 1, per: 60s } }", LIMIT },
    { "{ throttle: { packets: 5, per: 1s } }", NONE },

    { "{ mtu-clamp: { size: 1499, excess: drop } }", LOSE },
    { "{ mtu-clamp: { size: 1500, excess: drop } }", NONE },
    { "{ mtu-clamp: { size: 1000, excess: answer } }", NONE },
    { "{ window-clamp: 1 }", SLOW },
    { "{ window-clamp: 1000 }", NONE },
    { "{ tcp-rst: 1% }", RESET },
    { "{ tamper: 100% }", LOSE },
    { "{ tamper: 24% }", NONE },
    { "{ tamper: { checksum: repair } }", NONE },
    { "{ tamper: { checksum: break } }", LOSE },
    { "{ tamper: { chance: 1%, flip: 1, checksum: repair } }", DAMAGE },
    { "{ tamper: { chance: 100%, truncate: 1500b } }", NONE },
    { "{ ttl: 1 }", EXPIRE },
    { "{ ttl: 32 }", NONE },
    { "{ dscp: AF41, mark: 1, mss: 1200 }", NONE },
};
#define ROWS (sizeof rows / sizeof rows[0])

TEST(guard_judges_what_rules_do_together)
{
    for (size_t i = 0; i < ROWS; i++) {
        struct nsp_policy_file *file = load(rows[i].rules);
        const char *what = harm(&file->spec, 1460, NSP_OUTBOUND);

        if (strcmp(what, texts[rows[i].expect]) != 0)
            fail_msg("%s: \"%s\"", rows[i].rules, what);
        nsp_policy_file_destroy(file);
    }
}

/* So that none is forgotten: a new effect wants a row. */
TEST(guard_judges_every_effect)
{
    uint32_t all = 2 * NSP_EFFECT_DUPLICATE - 1, seen = 0;

    for (size_t i = 0; i < ROWS; i++) {
        struct nsp_policy_file *file = load(rows[i].rules);

        seen |= nsp_effects_set(&file->spec.rules[0].effects);
        nsp_policy_file_destroy(file);
    }
    CHECK_EQ(seen, all);
}

static void
check(const char *rules, uint32_t payload_bytes, enum nsp_direction direction,
      int expect)
{
    struct nsp_policy_file *file = load(rules);

    CHECK_STR_EQ(harm(&file->spec, payload_bytes, direction), texts[expect]);
    nsp_policy_file_destroy(file);
}

TEST(guard_knows_which_packets_an_effect_is_about)
{
    check("{ ack-delay: 1h }", 0, NSP_OUTBOUND, HOLD);
    check("{ tamper: 100% }", 0, NSP_OUTBOUND, NONE); /* Has no payload. */
    check("{ ttl: 1 }", 100, NSP_INBOUND, NONE);
    check("{ mtu-clamp: { size: 1499, excess: drop } }", 1459, NSP_OUTBOUND,
          NONE);
    /* A superpacket is cut into full ones. */
    check("{ mtu-clamp: { size: 1500, excess: drop } }", 8688, NSP_OUTBOUND,
          NONE);
}

/* A full packet of 1504 bytes at each: 12032 bits in what the last one is at.
 */
TEST(guard_judges_traces_of_rates)
{
    static const uint64_t quick_ns[] = { 0, 750000000 };
    static const uint64_t slow_ns[] = { 0, 1600000000 };
    static const uint64_t rare_ns[] = { 0, 0, 0, 2000000000 };
    static const struct {
        const uint64_t *at_ns;
        uint32_t count;
        int expect;
    } traces[] = { { quick_ns, 2, NONE },
                   { slow_ns, 2, SLOW },
                   { rare_ns, 4, HOLD } };

    for (size_t i = 0; i < sizeof traces / sizeof traces[0]; i++) {
        const struct nsp_rate_plan_config plan = {
            .opportunities_ns = traces[i].at_ns,
            .opportunity_count = traces[i].count,
            .opportunity_bytes = 1504,
        };
        const struct nsp_rule rule = { .link.plan = &plan };
        const struct nsp_policy_spec spec = { .rules = &rule, .rule_count = 1 };

        CHECK_STR_EQ(harm(&spec, 1460, NSP_OUTBOUND), texts[traces[i].expect]);
    }
}

TEST_MAIN(cmocka_unit_test(guard_judges_what_rules_do_together),
          cmocka_unit_test(guard_judges_every_effect),
          cmocka_unit_test(guard_judges_traces_of_rates),
          cmocka_unit_test(guard_knows_which_packets_an_effect_is_about))
