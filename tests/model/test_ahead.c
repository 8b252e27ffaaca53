/* Packets that are taken ahead of their time meet what they would meet in time:
 * the same traffic through one device twice, which hands packets out early, or
 * moment by moment. */
#include <string.h>

#include "base/prng.h"
#include "io/registry.h"
#include "tests/lib/engine_run.h"
#include "tests/lib/frames.h"
#include "tests/lib/test.h"

#define PACKETS 1500u
#define ROUNDS  40u
#define RULES   3u
#define US      UINT64_C(1000)

/* What a run came to. */
struct outcome {
    struct nsp_stats stats;
    uint64_t fates, frames; /* Hashes, in order. */
    uint32_t moments_max;   /* Most that one call has told of. */
};

static uint64_t
hash_bytes(uint64_t hash, const void *bytes, size_t count)
{
    const uint8_t *at = bytes;

    for (size_t i = 0; i < count; i++)
        hash = nsp_mix64(hash ^ at[i]);
    return hash;
}

static void
take_fates(void *context, uint32_t worker, const struct nsp_fate fates[],
           uint32_t count)
{
    struct outcome *outcome = context;
    uint32_t moments = 1;

    (void)worker;
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t words[] = {
            fates[i].at_ns,     fates[i].pkt->arrival_ns,
            fates[i].pkt->rule, fates[i].effects,
            fates[i].dropped,   fates[i].dropped ? fates[i].reason : 0,
        };

        outcome->fates = hash_bytes(outcome->fates, words, sizeof words);
        moments += i > 0 && fates[i].at_ns > fates[i - 1].at_ns;
    }
    if (moments > outcome->moments_max)
        outcome->moments_max = moments;
}

/* --- Traffic and policies ------------------------------------------------- */

/* At once, close together, evenly, or with long gaps, some of which time flows
 * out. */
static uint64_t
next_gap_ns(struct nsp_prng *random, uint32_t style)
{
    uint32_t roll = nsp_prng_below(random, 1000);

    if (roll == 0)
        return 40 * SEC;
    if (roll < 5)
        return nsp_prng_below(random, 1000) * MS;
    switch (style) {
    case 0:
        return roll < 20 ? 300 * US : 0;
    case 1:
        return nsp_prng_below(random, 3) * US;
    case 2:
        return US;
    default:
        return nsp_prng_below(random, 200) * US;
    }
}

static struct nsp_memory *
make_traffic(uint64_t seed)
{
    struct nsp_memory *memory = run_memory();
    uint64_t at_ns = MS;
    struct nsp_prng random;
    uint32_t style;

    nsp_prng_init(&random, seed, 1);
    style = nsp_prng_below(&random, 4);
    for (uint32_t i = 0; i < PACKETS; i++) {
        static const uint8_t flags[] = { 0x02, 0x10, 0x10, 0x18, 0x11, 0x04 };
        uint16_t port = (uint16_t)(50 + nsp_prng_below(&random, 8));
        uint32_t bytes = 60 + 20 * nsp_prng_below(&random, 40);
        uint8_t data[1000];
        struct nsp_memory_frame frame = { .data = data, .at_ns = at_ns };

        if (nsp_prng_below(&random, 2) == 0)
            frame.bytes = frame_udp(data, bytes, port, i);
        else
            frame.bytes = frame_tcp(data, bytes, port,
                                    flags[nsp_prng_below(&random, 6)], i);
        frame.direction = (uint8_t)(1 + nsp_prng_below(&random, 2));
        CHECK_EQ(nsp_memory_push_burst(memory, 0, &frame, 1), 1);
        at_ns += next_gap_ns(&random, style);
    }
    return memory;
}

static struct nsp_rule
draw_rule(struct nsp_prng *random)
{
    static const char *const filters[] = {
        "true",
        "udp",
        "tcp",
        "inbound",
        "udp.DstPort < 53",
        "flow.Packets > 3",
        "tcp.Syn",
        "random8 < 128",
        "timestamp > 500000000",
    };
    static const struct nsp_rule kinds[] = {
        { .effects.delay.mean_ns = MS },
        { .effects.delay = { .kind = NSP_DELAY_NORMAL,
                             .mean_ns = 300 * US,
                             .spread_ns = 100 * US } },
        { .effects.loss.chance.ppm = 100000,
          .effects.delay.mean_ns = 2 * US,
          .link.rate_bitps = 1000000000 },
        { .link = { .rate_bitps = 20000000,
                    .queue_unit = NSP_QUEUE_PKTS,
                    .queue_limit = 20 } },
        { .effects.duplicate = { .ppm = 200000,
                                 .copies = 2,
                                 .spacing_ns = US } },
        { .effects.reorder = { .ppm = 100000, .late_ns = 3 * MS } },
        { .effects.tcp_reset.ppm = 20000 },
        { .effects.tamper = { .ppm = 300000, .flip_bits = 2 } },
        { .limit = { .unit = NSP_LIMIT_PPS, .rate = 1000, .burst = 10 } },
        { .action = NSP_ACTION_DROP },
        { .action = NSP_ACTION_REJECT },
        { .action = NSP_ACTION_PASS },
    };
    struct nsp_rule rule = kinds[nsp_prng_below(random, NSP_ARRAY_LEN(kinds))];

    rule.match = filters[nsp_prng_below(random, NSP_ARRAY_LEN(filters))];
    rule.go_on =
        rule.action == NSP_ACTION_PASS && nsp_prng_below(random, 2) == 0;
    return rule;
}

/* --- Both ways ------------------------------------------------------------ */

static struct outcome
run_through(uint64_t seed, const struct nsp_rule rules[], uint32_t count,
            bool ahead, uint64_t duration_ns)
{
    struct outcome outcome = { .fates = 0 };
    struct nsp_memory *memory = make_traffic(seed);
    struct nsp_io_ops ops = *nsp_io_resolve("memory", memory);
    const struct nsp_engine_config cfg = {
        .backend = "custom",
        .custom = { .ops = &ops, .device = memory },
        .policy = { .rules = rules, .rule_count = count },
        .seed = seed,
        .fates = take_fates,
        .fates_context = &outcome,
    };
    struct nsp_memory_frame frame;
    struct nsp_engine *engine;

    if (!ahead)
        ops.caps &= ~(uint32_t)NSP_IO_AHEAD_OF_TIME;
    CHECK_EQ(nsp_engine_create(&cfg, &engine, NULL), NSP_OK);
    CHECK_EQ(nsp_engine_start(engine, "not udp.DstPort == 50", NULL), NSP_OK);
    if (duration_ns == 0)
        CHECK_EQ(nsp_engine_run(engine), NSP_OK);
    else
        CHECK(nsp_engine_run_for(engine, duration_ns) >= 0);
    CHECK_EQ(nsp_engine_read_stats(engine, &outcome.stats), NSP_OK);
    run_check_identity(&outcome.stats);
    nsp_engine_destroy(engine);
    while (nsp_memory_pop_burst(memory, 0, &frame, 1) > 0) {
        outcome.frames = nsp_mix64(outcome.frames ^ frame.at_ns);
        outcome.frames = hash_bytes(outcome.frames, frame.data, frame.bytes);
    }
    nsp_memory_destroy(memory);
    return outcome;
}

static void
check_alike(uint64_t seed, const struct nsp_rule rules[], uint32_t count,
            uint64_t duration_ns)
{
    struct outcome in_time =
        run_through(seed, rules, count, false, duration_ns);
    struct outcome ahead = run_through(seed, rules, count, true, duration_ns);

    CHECK_MEM_EQ(&ahead.stats, &in_time.stats, sizeof ahead.stats);
    CHECK_EQ(ahead.fates, in_time.fates);
    CHECK_EQ(ahead.frames, in_time.frames);
}

TEST(packets_taken_ahead_meet_what_they_would_meet_in_time)
{
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        char names[RULES][8] = { "first", "second", "third" };
        struct nsp_rule rules[RULES];
        struct nsp_prng random;
        uint32_t count;

        nsp_prng_init(&random, seed, 2);
        count = nsp_prng_below(&random, RULES + 1);
        for (uint32_t i = 0; i < count; i++) {
            rules[i] = draw_rule(&random);
            rules[i].name = names[i];
        }
        check_alike(seed, rules, count, 0);
    }
}

TEST(nothing_is_taken_from_behind_the_end)
{
    static const struct nsp_rule rule = { .name = "late",
                                          .effects.delay.mean_ns = 300 * US };

    for (uint64_t seed = 1; seed <= ROUNDS; seed++)
        check_alike(seed, &rule, 1, 100 * US + seed * 7 * US);
}

TEST(packets_of_several_moments_leave_at_once)
{
    static const struct nsp_rule rule = { .name = "late",
                                          .effects.delay.mean_ns = 300 * US };
    uint32_t most[2] = { 0, 0 };

    for (uint64_t seed = 1; seed <= ROUNDS; seed++)
        for (uint32_t ahead = 0; ahead < 2; ahead++) {
            struct outcome outcome = run_through(seed, &rule, 1, ahead != 0, 0);

            if (outcome.moments_max > most[ahead])
                most[ahead] = outcome.moments_max;
        }
    CHECK_EQ(most[0], 1);
    CHECK_EQ(most[1], NSP_BURST_MAX);
}

TEST_MAIN(
    cmocka_unit_test(packets_taken_ahead_meet_what_they_would_meet_in_time),
    cmocka_unit_test(nothing_is_taken_from_behind_the_end),
    cmocka_unit_test(packets_of_several_moments_leave_at_once))
