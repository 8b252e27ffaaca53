/* Policies that change at exact times of a run in virtual time. */
#include "netshaper/engine.h"
#include "base/base.h"
#include "tests/lib/frames.h"
#include "tests/lib/policy_engine.h"
#include "tests/lib/test.h"

#define MS UINT64_C(1000000)

#define TURN_NS (25 * MS / 2)

/* Rates at which 1000 bytes take 1 ms and 2 ms by turns, and before each of
 * them another. */
struct turns {
    struct nsp_engine *engine;
    uint64_t calls;
};

static uint64_t
change_rate(void *context, uint64_t elapsed_ns)
{
    struct turns *turns = context;
    const uint64_t rates[] = { 1000000,
                               turns->calls % 2 == 0 ? 8000000 : 4000000 };

    CHECK_EQ(elapsed_ns, turns->calls * TURN_NS);
    for (size_t i = 0; i < NSP_ARRAY_LEN(rates); i++) {
        const struct nsp_rule rule = { .name = "r",
                                       .link.rate_bitps = rates[i] };
        const struct nsp_policy_spec policy = { .rules = &rule,
                                                .rule_count = 1 };

        CHECK_EQ(nsp_engine_set_policy(turns->engine, &policy, NULL), NSP_OK);
    }
    turns->calls++;
    return elapsed_ns + TURN_NS;
}

TEST(a_timer_changes_the_policy_at_exact_times)
{
    struct turns turns = { .calls = 0 };
    struct nsp_memory *memory = create_memory();
    const struct nsp_engine_config cfg = {
        .backend = "memory",
        .memory = memory,
        .policy_may_change = true,
        .timer = change_rate,
        .timer_context = &turns,
    };

    CHECK_EQ(nsp_engine_create(&cfg, &turns.engine, NULL), NSP_OK);
    push_udp(memory, 16, 1000, 1, 0, 5 * MS, 5 * MS, NSP_INBOUND);
    CHECK_EQ(nsp_engine_start(turns.engine, "true", NULL), NSP_OK);
    CHECK_EQ(nsp_engine_run(turns.engine), NSP_OK);
    for (uint32_t i = 0; i < 16; i++) {
        uint64_t at_ns = i * 5 * MS;
        struct nsp_memory_frame frame;

        CHECK_EQ(nsp_memory_pop_burst(memory, 0, &frame, 1), 1);
        CHECK_EQ(frame.at_ns,
                 5 * MS + at_ns + (at_ns / TURN_NS % 2 == 0 ? MS : 2 * MS));
    }
    CHECK_EQ(turns.calls, 7);
    nsp_engine_destroy(turns.engine);
    nsp_memory_destroy(memory);
}

TEST(a_timer_needs_virtual_time_and_one_worker)
{
    const struct nsp_memory_config live = { .virtual_time = false };
    struct turns turns = { .calls = 0 };
    struct nsp_engine_config cfg = {
        .backend = "memory",
        .timer = change_rate,
        .timer_context = &turns,
    };

    CHECK_EQ(nsp_memory_create(&live, &cfg.memory), NSP_OK);
    CHECK_EQ(nsp_engine_create(&cfg, &turns.engine, NULL),
             NSP_INVALID_PARAMETER);
    nsp_memory_destroy(cfg.memory);
}

TEST_MAIN(cmocka_unit_test(a_timer_changes_the_policy_at_exact_times),
          cmocka_unit_test(a_timer_needs_virtual_time_and_one_worker))
