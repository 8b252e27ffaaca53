#include "tests/lib/policy_engine.h"

#include "tests/lib/test.h"

struct nsp_memory *
create_memory(void)
{
    const struct nsp_memory_config cfg = { .virtual_time = true };
    struct nsp_memory *memory;

    CHECK_EQ(nsp_memory_create(&cfg, &memory), NSP_OK);
    return memory;
}

struct nsp_engine *
create_engine(struct nsp_memory *memory, const struct nsp_policy_spec *policy)
{
    const struct nsp_engine_config cfg = {
        .backend = "memory",
        .memory = memory,
        .policy = *policy,
        .policy_may_change = true,
    };
    struct nsp_engine *engine = NULL;
    struct nsp_diag diag;

    if (nsp_engine_create(&cfg, &engine, &diag) != NSP_OK)
        fail_msg("%s", diag.text);
    return engine;
}

void
check_identity(const struct nsp_stats *stats)
{
    uint64_t dropped = 0;

    for (int i = 0; i < NSP_DROP_COUNT; i++)
        dropped += stats->dropped_pkts[i];
    CHECK_EQ(stats->in_pkts,
             stats->delivered_pkts + dropped + stats->queued_pkts);
}

struct nsp_rule_stats
read_rule(struct nsp_engine *engine, uint32_t index)
{
    struct nsp_rule_stats stats;

    CHECK_EQ(nsp_engine_read_rule_stats(engine, index, &stats), NSP_OK);
    return stats;
}

static void *
live_main(void *opaque)
{
    const struct live *live = opaque;

    nsp_engine_run(live->engine);
    return NULL;
}

void
live_begin(struct live *live, const struct nsp_policy_spec *policy)
{
    const struct nsp_memory_config cfg = { .frames = 8192 };

    CHECK_EQ(nsp_memory_create(&cfg, &live->memory), NSP_OK);
    live->engine = create_engine(live->memory, policy);
    CHECK_EQ(nsp_engine_start(live->engine, "true", NULL), NSP_OK);
    CHECK_EQ(pthread_create(&live->thread, NULL, live_main, live), 0);
}

void
live_end(struct live *live)
{
    nsp_engine_stop(live->engine);
    pthread_join(live->thread, NULL);
    nsp_engine_destroy(live->engine);
    nsp_memory_destroy(live->memory);
}
