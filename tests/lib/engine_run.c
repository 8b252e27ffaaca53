#include "tests/lib/engine_run.h"

#include <string.h>

#include "tests/lib/frames.h"
#include "tests/lib/test.h"

struct nsp_memory *
run_memory(void)
{
    const struct nsp_memory_config cfg = { .virtual_time = true };
    struct nsp_memory *memory;

    CHECK_EQ(nsp_memory_create(&cfg, &memory), NSP_OK);
    return memory;
}

uint64_t
run_dropped(const struct nsp_stats *stats)
{
    uint64_t sum = 0;

    for (int i = 0; i < NSP_DROP_COUNT; i++)
        sum += stats->dropped_pkts[i];
    return sum;
}

void
run_check_identity(const struct nsp_stats *stats)
{
    uint64_t dropped_bytes = 0;

    for (int i = 0; i < NSP_DROP_COUNT; i++)
        dropped_bytes += stats->dropped_bytes[i];
    CHECK_EQ(stats->in_pkts + stats->duplicated_pkts,
             stats->delivered_pkts + run_dropped(stats) + stats->queued_pkts);
    CHECK_EQ(stats->in_bytes + stats->duplicated_bytes,
             stats->delivered_bytes + dropped_bytes + stats->queued_bytes);
}

/* Frames' bytes do not outlive the next pop. */
static void
pop_all(struct nsp_memory *memory, struct run *ret)
{
    struct nsp_memory_frame frame;

    ret->count = 0;
    while (nsp_memory_pop_burst(memory, 0, &frame, 1) > 0) {
        uint32_t i = ret->count++;

        CHECK(i < RUN_MAX && frame.bytes <= RUN_FRAME_BYTES);
        memcpy(ret->bytes[i], frame.data, frame.bytes);
        ret->tags[i] = frame_tag(&frame);
        ret->ttls[i] = frame.data[8];
        ret->out[i] = frame;
        ret->out[i].data = ret->bytes[i];
    }
}

void
run_all(struct nsp_memory *memory, struct nsp_engine_config cfg,
        const char *filter, struct run *ret)
{
    struct nsp_engine *engine;

    cfg.backend = "memory";
    cfg.memory = memory;
    CHECK_EQ(nsp_engine_create(&cfg, &engine, NULL), NSP_OK);
    CHECK_EQ(nsp_engine_start(engine, filter, NULL), NSP_OK);
    CHECK_EQ(nsp_engine_run(engine), NSP_OK);
    CHECK_EQ(nsp_engine_read_stats(engine, &ret->stats), NSP_OK);
    run_check_identity(&ret->stats);
    CHECK_EQ(ret->stats.queued_pkts, 0);
    nsp_engine_destroy(engine);
    pop_all(memory, ret);
    nsp_memory_destroy(memory);
}

void
run_rule(struct nsp_memory *memory, struct nsp_rule rule, struct run *ret)
{
    run_all(memory,
            (struct nsp_engine_config){
                .policy = { .rules = &rule, .rule_count = 1 }, .seed = 1 },
            "true", ret);
}
