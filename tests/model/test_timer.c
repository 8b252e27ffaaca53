/* Policies that change at exact times of a run in virtual time. */
#include "netshaper/engine.h"
#include "tests/lib/frames.h"
#include "tests/lib/policy_engine.h"
#include "tests/lib/test.h"

#define MS UINT64_C(1000000)

/* Delays of 1 ms and 3 ms by turns, changed each 4 ms, and twice at once. */
struct turns {
    struct nsp_engine *engine;
    uint64_t calls;
};

static uint64_t
change_delay(void *context, uint64_t elapsed_ns)
{
    struct turns *turns = context;
    struct nsp_rule rule = { .name = "r" };
    const struct nsp_policy_spec policy = { .rules = &rule, .rule_count = 1 };

    CHECK_EQ(elapsed_ns, turns->calls * 4 * MS);
    for (uint64_t ms = 9; ms > 0; ms = ms == 9 ? turns->calls % 2 * 2 + 1 : 0) {
        rule.effects.delay.mean_ns = ms * MS;
        CHECK_EQ(nsp_engine_set_policy(turns->engine, &policy, NULL), NSP_OK);
    }
    turns->calls++;
    return elapsed_ns + 4 * MS;
}

TEST(a_timer_changes_the_policy_at_exact_times)
{
    struct turns turns = { .calls = 0 };
    const struct nsp_memory_config live = { .virtual_time = false };
    struct nsp_memory *memory = create_memory();
    struct nsp_engine_config cfg = {
        .backend = "memory",
        .memory = memory,
        .policy_may_change = true,
        .timer = change_delay,
        .timer_context = &turns,
    };

    CHECK_EQ(nsp_engine_create(&cfg, &turns.engine, NULL), NSP_OK);
    push_udp(memory, 16, 100, 1, 0, 5 * MS, MS, NSP_INBOUND);
    CHECK_EQ(nsp_engine_start(turns.engine, "true", NULL), NSP_OK);
    CHECK_EQ(nsp_engine_run(turns.engine), NSP_OK);
    for (uint32_t i = 0; i < 16; i++) {
        struct nsp_memory_frame frame;
        uint64_t tag;

        CHECK_EQ(nsp_memory_pop_burst(memory, 0, &frame, 1), 1);
        tag = frame_tag(&frame);
        CHECK_EQ(frame.at_ns, (5 + tag) * MS + (tag / 4 % 2 ? 3 * MS : MS));
    }
    CHECK(turns.calls >= 4);
    nsp_engine_destroy(turns.engine);
    nsp_memory_destroy(memory);

    CHECK_EQ(nsp_memory_create(&live, &cfg.memory), NSP_OK);
    CHECK_EQ(nsp_engine_create(&cfg, &turns.engine, NULL),
             NSP_INVALID_PARAMETER);
    nsp_memory_destroy(cfg.memory);
}

TEST_MAIN(cmocka_unit_test(a_timer_changes_the_policy_at_exact_times))
