#include "engine/state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct nsp_bottleneck_config
bottleneck_config(const struct nsp_link_rate *link,
                  const struct nsp_rate_plan *plan, uint64_t start_ns)
{
    return (struct nsp_bottleneck_config){
        .rate_bitps = link->rate_bitps,
        .limit = link->queue_limit,
        .unit = link->queue_unit,
        .drop = link->queue_drop,
        .overhead_bytes = link->overhead_bytes,
        .plan = plan,
        .start_ns = start_ns,
    };
}

/* A rule's stream of random numbers: its own whatever rules there are. */
static uint64_t
stream_of(const char *name, uint32_t queue)
{
    uint64_t hash = queue;

    for (; *name; name++)
        hash = nsp_mix64(hash ^ (uint8_t)*name);
    return hash;
}

int
nsp_state_begin_rule(struct nsp_state_store *store, uint32_t slot,
                     const char *name, uint64_t seed, uint32_t queue,
                     const struct nsp_allocator *allocator)
{
    struct nsp_rule_state **chunk = &store->rules[slot / NSP_STATE_CHUNK];
    struct nsp_rule_state *state;

    if (!*chunk)
        *chunk = nsp_alloc(allocator, NSP_STATE_CHUNK, sizeof **chunk);
    if (!*chunk)
        return -ENOMEM;
    state = nsp_state_rule(store, slot);
    *state = (struct nsp_rule_state){
        .stream = stream_of(name, 0),
        .key = nsp_mix64(nsp_mix64(seed) ^ stream_of(name, 0)),
    };
    snprintf(state->name, sizeof state->name, "%s", name);
    nsp_prng_init(&state->random, seed, stream_of(name, queue));
    return 0;
}

int
nsp_state_begin_class(struct nsp_state_store *store, uint32_t slot,
                      const struct nsp_link_rate *link,
                      struct nsp_rate_plan *plan,
                      const struct nsp_allocator *allocator)
{
    struct nsp_bottleneck_config cfg = bottleneck_config(link, plan, 0);
    struct nsp_class_state **chunk = &store->classes[slot / NSP_STATE_CHUNK];
    struct nsp_class_state *state;
    int err = 0;

    if (!*chunk)
        *chunk = nsp_alloc(allocator, NSP_STATE_CHUNK, sizeof **chunk);
    if (!*chunk)
        return -ENOMEM;
    state = nsp_state_class(store, slot);
    for (uint32_t d = 0; d < NSP_DIRECTIONS; d++)
        nsp_bottleneck_destroy(state->queues[d].bottleneck);
    *state = (struct nsp_class_state){
        .slot = slot,
        .link = *link,
        .plan = plan,
    };
    for (uint32_t d = 0; d < NSP_DIRECTIONS && err == 0; d++) {
        state->queues[d].of = state;
        err = nsp_bottleneck_create(&cfg, allocator,
                                    &state->queues[d].bottleneck);
    }
    return err;
}

static bool
link_equal(const struct nsp_link_rate *a, const struct nsp_link_rate *b)
{
    return a->rate_bitps == b->rate_bitps && a->queue_limit == b->queue_limit &&
           a->queue_unit == b->queue_unit && a->queue_drop == b->queue_drop &&
           a->overhead_bytes == b->overhead_bytes;
}

static bool
plan_equal(const struct nsp_rate_plan *a, const struct nsp_rate_plan *b)
{
    if (!a || !b)
        return a == b;
    return nsp_rate_plan_identity(a) == nsp_rate_plan_identity(b);
}

void
nsp_state_set_link(struct nsp_class_state *state, uint64_t now_ns,
                   const struct nsp_link_rate *link, struct nsp_rate_plan *plan)
{
    bool goes_on = plan_equal(state->plan, plan) && (state->begun || !plan);
    struct nsp_bottleneck_config cfg;

    if (goes_on && link_equal(&state->link, link))
        return;
    if (!goes_on) {
        state->plan = plan;
        state->begun = true;
        state->start_ns = now_ns;
    }
    state->link = *link;
    cfg = bottleneck_config(link, state->plan, state->start_ns);
    for (uint32_t d = 0; d < NSP_DIRECTIONS; d++) {
        int err = nsp_bottleneck_set_config(state->queues[d].bottleneck, now_ns,
                                            &cfg);

        assert(err == 0); /* The policy was checked. */
        (void)err;
    }
}

void
nsp_state_fini(struct nsp_state_store *store,
               const struct nsp_allocator *allocator)
{
    for (uint32_t c = 0; c < NSP_STATE_CHUNKS; c++) {
        struct nsp_class_state *chunk = store->classes[c];

        for (uint32_t i = 0; chunk && i < NSP_STATE_CHUNK; i++)
            for (uint32_t d = 0; d < NSP_DIRECTIONS; d++)
                nsp_bottleneck_destroy(chunk[i].queues[d].bottleneck);
        nsp_release(allocator, chunk);
        nsp_release(allocator, store->rules[c]);
    }
}

bool
nsp_state_follows(const struct nsp_state_store *store,
                  const struct nsp_rate_plan *plan)
{
    for (uint32_t c = 0; c < NSP_STATE_CHUNKS; c++)
        for (uint32_t i = 0; store->classes[c] && i < NSP_STATE_CHUNK; i++)
            if (store->classes[c][i].plan == plan)
                return true;
    return false;
}

static bool
is_used(const struct nsp_tally *tally)
{
    struct nsp_rule_counters counters;

    nsp_counters_read(&tally->published, (uint64_t *)&counters, NSP_RULE_WORDS);
    return counters.queued_pkts != 0 || counters.stages != 0;
}

bool
nsp_state_rule_is_used(const struct nsp_state_store *store, uint32_t slot)
{
    return is_used(&nsp_state_rule(store, slot)->tally);
}

bool
nsp_state_class_is_used(const struct nsp_state_store *store, uint32_t slot)
{
    return is_used(&nsp_state_class(store, slot)->tally);
}
