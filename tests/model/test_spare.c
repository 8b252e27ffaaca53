/* What a host needs to stay on its network passes rules that say nothing of it:
 * the whole engine, DHCP in front of rules that drop. */
#include <string.h>

#include "netshaper/engine.h"
#include "tests/lib/frames.h"
#include "tests/lib/test.h"

#define FRAME_BYTES 60u

/* frame_udp() sends from port 68 then: both ports are bytes 20 to 23. */
static void
make_dhcp(uint8_t frame[static FRAME_BYTES])
{
    frame_udp(frame, FRAME_BYTES, NSP_PORT_DHCP_SERVER, 0);
    frame[20] = 0;
    frame[21] = NSP_PORT_DHCP_CLIENT;
}

struct outcome {
    uint64_t delivered, dropped, hit;
};

/* One packet of DHCP and one of other UDP, both taken at 'hook'. */
static struct outcome
run(const struct nsp_rule *rule, const char *filter, uint8_t hook)
{
    const struct nsp_memory_config memory_cfg = { .virtual_time = true };
    struct nsp_engine_config cfg = {
        .backend = "memory",
        .policy = { .rules = rule, .rule_count = 1 },
    };
    uint8_t bytes[2][FRAME_BYTES];
    struct nsp_engine *engine;
    struct nsp_rule_stats of_rule;
    struct nsp_stats stats;

    make_dhcp(bytes[0]);
    frame_udp(bytes[1], FRAME_BYTES, 9, 0);
    CHECK_EQ(nsp_memory_create(&memory_cfg, &cfg.memory), NSP_OK);
    for (int i = 0; i < 2; i++) {
        const struct nsp_memory_frame frame = {
            .data = bytes[i],
            .bytes = FRAME_BYTES,
            .direction =
                hook == NSP_HOOK_FORWARD ? NSP_DIRECTION_NONE : NSP_INBOUND,
            .hook = hook,
        };

        CHECK_EQ(nsp_memory_push_burst(cfg.memory, 0, &frame, 1), 1);
    }
    CHECK_EQ(nsp_engine_create(&cfg, &engine, NULL), NSP_OK);
    CHECK_EQ(nsp_engine_start(engine, filter, NULL), NSP_OK);
    CHECK_EQ(nsp_engine_run(engine), NSP_OK);
    nsp_engine_read_stats(engine, &stats);
    nsp_engine_read_rule_stats(engine, 0, &of_rule);
    nsp_engine_destroy(engine);
    nsp_memory_destroy(cfg.memory);
    CHECK_EQ(stats.in_pkts, 2);
    return (struct outcome){ stats.delivered_pkts,
                             stats.dropped_pkts[NSP_DROP_RULE],
                             of_rule.hit_pkts };
}

static const struct nsp_rule drop_all = { .action = NSP_ACTION_DROP };

TEST(dhcp_of_this_host_passes_a_rule_that_drops_all)
{
    struct outcome got = run(&drop_all, "true", NSP_HOOK_INPUT);

    CHECK_EQ(got.delivered, 1);
    CHECK_EQ(got.dropped, 1);
    CHECK_EQ(got.hit, 1);
}

TEST(what_is_forwarded_is_not_this_hosts)
{
    CHECK_EQ(run(&drop_all, "true", NSP_HOOK_FORWARD).dropped, 2);
}

TEST(a_rule_that_names_it_drops_it)
{
    const struct nsp_rule rule = { .match = "udp.DstPort in { 9, 67 }",
                                   .action = NSP_ACTION_DROP };

    CHECK_EQ(run(&rule, "true", NSP_HOOK_INPUT).dropped, 2);
}

TEST(so_does_a_start_filter_that_names_it)
{
    CHECK_EQ(run(&drop_all, "udp.DstPort == 67", NSP_HOOK_INPUT).dropped, 1);
    CHECK_EQ(run(&drop_all, "udp", NSP_HOOK_INPUT).dropped, 1);
}

TEST(a_rule_that_does_no_harm_meets_it)
{
    const struct nsp_rule rule = { .match = "udp" };

    CHECK_EQ(run(&rule, "true", NSP_HOOK_INPUT).hit, 2);
}

TEST_MAIN(cmocka_unit_test(dhcp_of_this_host_passes_a_rule_that_drops_all),
          cmocka_unit_test(what_is_forwarded_is_not_this_hosts),
          cmocka_unit_test(a_rule_that_names_it_drops_it),
          cmocka_unit_test(so_does_a_start_filter_that_names_it),
          cmocka_unit_test(a_rule_that_does_no_harm_meets_it))
