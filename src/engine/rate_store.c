#include "engine/rate_store.h"

#include <errno.h>
#include <string.h>

static int
grow(struct nsp_rate_store *store, uint32_t count,
     const struct nsp_allocator *allocator)
{
    struct nsp_rate_plan **plans;
    uint32_t capacity = nsp_max_u32(store->capacity * 2, store->count + count);

    if (count <= store->capacity - store->count)
        return 0;
    plans = nsp_alloc(allocator, capacity, sizeof(struct nsp_rate_plan *));
    if (!plans)
        return -ENOMEM;
    if (store->count > 0)
        memcpy(plans, store->plans,
               store->count * sizeof(struct nsp_rate_plan *));
    nsp_release(allocator, store->plans);
    store->plans = plans;
    store->capacity = capacity;
    return 0;
}

int
nsp_rate_store_keep(struct nsp_rate_store *store,
                    const struct nsp_ruleset *ruleset,
                    const struct nsp_allocator *allocator)
{
    uint32_t classes = nsp_policy_class_count(nsp_ruleset_policy(ruleset));
    uint32_t plans = 0;
    int err;

    for (uint32_t i = 0; i < classes; i++)
        plans += nsp_ruleset_rate_plan(ruleset, i) != NULL;
    err = grow(store, plans, allocator);
    if (err < 0)
        return err;
    for (uint32_t i = 0; i < classes; i++) {
        struct nsp_rate_plan *plan = nsp_ruleset_rate_plan(ruleset, i);

        if (plan)
            store->plans[store->count++] = nsp_rate_plan_ref(plan);
    }
    return 0;
}

void
nsp_rate_store_sweep(struct nsp_rate_store *store,
                     bool (*is_used)(const void *context,
                                     const struct nsp_rate_plan *plan),
                     const void *context)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < store->count; i++) {
        struct nsp_rate_plan *plan = store->plans[i];

        if (is_used(context, plan))
            store->plans[kept++] = plan;
        else
            nsp_rate_plan_unref(plan);
    }
    store->count = kept;
}

void
nsp_rate_store_fini(struct nsp_rate_store *store,
                    const struct nsp_allocator *allocator)
{
    for (uint32_t i = 0; i < store->count; i++)
        nsp_rate_plan_unref(store->plans[i]);
    nsp_release(allocator, store->plans);
    *store = (struct nsp_rate_store){ .count = 0 };
}
