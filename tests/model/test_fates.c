/* What becomes of packets, as it is told: one fate for each, the one that the
 * counters count, in the order in which the device sends. */
#include <string.h>

#include "netshaper/engine.h"
#include "tests/lib/frames.h"
#include "tests/lib/test.h"

#define US      UINT64_C(1000)
#define PACKETS 2400u
#define PORTS   6u

/* As they were told. */
struct told {
    const char *rule; /* Of 'rules' below; NULL none. */
    uint64_t arrival_ns, at_ns;
    uint32_t tag;
    uint8_t effects, reason;
    bool dropped;
};

static struct told told[2 * PACKETS];
static uint32_t told_count;

static const struct nsp_rule rules[] = {
    { .name = "drop", .match = "udp.DstPort == 1", .action = NSP_ACTION_DROP },
    { .name = "lossy",
      .match = "udp.DstPort == 2",
      .effects.loss.chance.ppm = 300000 },
    { .name = "slow",
      .match = "udp.DstPort == 3",
      .link = { .rate_bitps = 10000000,
                .queue_limit = 2,
                .queue_unit = NSP_QUEUE_PKTS } },
    { .name = "late",
      .match = "udp.DstPort == 4",
      .go_on = true,
      .effects.delay.mean_ns = 500 * US },
    { .name = "edited",
      .match = "udp.DstPort in {4, 5}",
      .edits = { .which = NSP_EDIT_TTL, .ttl = 7 } },
};

static const char *
own_name(const char *name)
{
    for (size_t i = 0; name && i < sizeof rules / sizeof rules[0]; i++)
        if (strcmp(rules[i].name, name) == 0)
            return rules[i].name;
    CHECK(name == NULL);
    return NULL;
}

static void
note(void *context, uint32_t worker, const struct nsp_fate fates[],
     uint32_t count)
{
    CHECK(context == told);
    CHECK_EQ(worker, 0);
    CHECK(count >= 1 && count <= NSP_BURST_MAX);
    for (uint32_t i = 0; i < count; i++) {
        const struct nsp_pkt *pkt = fates[i].pkt;
        const struct nsp_memory_frame frame = { .data = pkt->data,
                                                .bytes = pkt->cap_bytes };

        CHECK(told_count < 2 * PACKETS);
        told[told_count++] = (struct told){
            .rule = own_name(fates[i].rule),
            .arrival_ns = pkt->arrival_ns,
            .at_ns = fates[i].at_ns,
            .tag = frame_tag(&frame),
            .effects = fates[i].effects,
            .dropped = fates[i].dropped,
            .reason = fates[i].reason,
        };
    }
}

static struct nsp_memory *
make_traffic(void)
{
    const struct nsp_memory_config cfg = { .virtual_time = true };
    struct nsp_memory *memory;

    CHECK_EQ(nsp_memory_create(&cfg, &memory), NSP_OK);
    for (uint32_t i = 0; i < PACKETS; i++)
        push_udp(memory, 1, 200, (uint16_t)(1 + i % PORTS), i, i * 10 * US, 0,
                 NSP_INBOUND);
    return memory;
}

static struct nsp_engine *
start(struct nsp_memory *memory)
{
    const struct nsp_engine_config cfg = {
        .backend = "memory",
        .memory = memory,
        .policy = { .rules = rules,
                    .rule_count = sizeof rules / sizeof rules[0] },
        .fates = note,
        .fates_context = told,
    };
    struct nsp_engine *engine = NULL;
    struct nsp_diag diag;

    told_count = 0;
    if (nsp_engine_create(&cfg, &engine, &diag) != NSP_OK ||
        nsp_engine_start(engine, "true", &diag) != NSP_OK)
        fail_msg("%s", diag.text);
    return engine;
}

static uint64_t
count_told(const char *rule, bool dropped, uint8_t reason)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < told_count; i++)
        count += told[i].rule == rule && told[i].dropped == dropped &&
                 (!dropped || told[i].reason == reason);
    return count;
}

/* What was told and what was counted, of each rule. */
static void
check_counters(struct nsp_engine *engine)
{
    struct nsp_rule_stats stats;

    for (uint32_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        CHECK_EQ(nsp_engine_read_rule_stats(engine, i, &stats), NSP_OK);
        CHECK_EQ(count_told(rules[i].name, false, 0), stats.delivered_pkts);
        for (uint8_t reason = 0; reason < NSP_DROP_COUNT; reason++)
            CHECK_EQ(count_told(rules[i].name, true, reason),
                     stats.dropped_pkts[reason]);
    }
}

/* Each packet once, and what was sent in the order that was told. */
static void
check_packets(struct nsp_memory *memory)
{
    struct nsp_memory_frame frame;
    bool seen[PACKETS] = { false };

    CHECK_EQ(told_count, PACKETS);
    for (uint32_t i = 0; i < told_count; i++) {
        CHECK(told[i].tag < PACKETS && !seen[told[i].tag]);
        seen[told[i].tag] = true;
        if (told[i].dropped)
            continue;
        CHECK_EQ(nsp_memory_pop_burst(memory, 0, &frame, 1), 1);
        CHECK_EQ(frame_tag(&frame), told[i].tag);
        CHECK_EQ(frame.at_ns, told[i].at_ns);
    }
    CHECK_EQ(nsp_memory_pop_burst(memory, 0, &frame, 1), 0);
}

TEST(each_packet_has_one_fate_the_one_that_is_counted)
{
    struct nsp_memory *memory = make_traffic();
    struct nsp_engine *engine = start(memory);

    CHECK_EQ(nsp_engine_run(engine), NSP_OK);
    check_counters(engine);
    CHECK(count_told(own_name("lossy"), true, NSP_DROP_LOSS) > 0);
    CHECK(count_told(own_name("slow"), true, NSP_DROP_QUEUE_FULL) > 0);
    check_packets(memory);
    nsp_engine_destroy(engine);
    nsp_memory_destroy(memory);
}

TEST(fates_tell_what_was_done)
{
    static const uint8_t effects[PORTS + 1] = {
        [1] = 0,
        [2] = 0,
        [3] = NSP_FATE_QUEUED,
        [4] = NSP_FATE_DELAYED | NSP_FATE_EDITED,
        [5] = NSP_FATE_EDITED,
    };
    struct nsp_memory *memory = make_traffic();
    struct nsp_engine *engine = start(memory);

    CHECK_EQ(nsp_engine_run(engine), NSP_OK);
    for (uint32_t i = 0; i < told_count; i++) {
        uint32_t port = 1 + told[i].tag % PORTS;
        uint64_t delay_ns = told[i].at_ns - told[i].arrival_ns;

        CHECK_EQ(told[i].effects, effects[port]);
        /* The one that goes on does not decide. */
        if (port == 4)
            CHECK(told[i].rule == own_name("edited"));
        if (port == PORTS)
            CHECK(told[i].rule == NULL);
        if (port == 3 && !told[i].dropped)
            CHECK(delay_ns >= 160 * US); /* 200 bytes at 10 Mbit/s. */
        else if (!told[i].dropped)
            CHECK_EQ(delay_ns, port == 4 ? 500 * US : 0);
    }
    nsp_engine_destroy(engine);
    nsp_memory_destroy(memory);
}

TEST(packets_that_are_let_go_at_the_end_have_a_fate)
{
    struct nsp_stats stats;
    uint32_t early = 0;
    struct nsp_memory *memory = make_traffic();
    struct nsp_engine *engine = start(memory);

    CHECK_EQ(nsp_engine_run_for(engine, 10000 * US), NSP_STOPPED);
    check_counters(engine);
    CHECK_EQ(nsp_engine_read_stats(engine, &stats), NSP_OK);
    CHECK_EQ(told_count, stats.in_pkts);
    for (uint32_t i = 0; i < told_count; i++)
        early += told[i].rule == own_name("edited") &&
                 (told[i].effects & NSP_FATE_DELAYED) != 0 &&
                 told[i].at_ns - told[i].arrival_ns < 500 * US;
    CHECK(early > 0);
    nsp_engine_destroy(engine);
    nsp_memory_destroy(memory);
}

TEST_MAIN(cmocka_unit_test(each_packet_has_one_fate_the_one_that_is_counted),
          cmocka_unit_test(fates_tell_what_was_done),
          cmocka_unit_test(packets_that_are_let_go_at_the_end_have_a_fate))
