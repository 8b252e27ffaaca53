#include "engine/snapshot.h"

#include <errno.h>

int
nsp_snapshot_create(struct nsp_ruleset *ruleset, uint64_t generation,
                    const struct nsp_allocator *allocator,
                    struct nsp_snapshot **ret)
{
    struct nsp_snapshot *snapshot = nsp_alloc(allocator, 1, sizeof *snapshot);

    if (!snapshot)
        return -ENOMEM;
    snapshot->allocator = *allocator;
    snapshot->ruleset = nsp_ruleset_ref(ruleset);
    snapshot->policy = nsp_ruleset_policy(ruleset);
    snapshot->rules = nsp_policy_rules(snapshot->policy);
    snapshot->effects = nsp_ruleset_effects(ruleset);
    snapshot->generation = generation;
    snapshot->rule_slots =
        nsp_alloc(allocator, nsp_policy_rule_count(snapshot->policy) + 1u,
                  sizeof *snapshot->rule_slots);
    snapshot->class_slots =
        nsp_alloc(allocator, nsp_policy_class_count(snapshot->policy) + 1u,
                  sizeof *snapshot->class_slots);
    if (!snapshot->rule_slots || !snapshot->class_slots) {
        nsp_snapshot_destroy(snapshot);
        return -ENOMEM;
    }
    *ret = snapshot;
    return 0;
}

int
nsp_snapshot_index_classes(struct nsp_snapshot *snapshot)
{
    uint32_t classes = nsp_policy_class_count(snapshot->policy), count = 0;

    for (uint32_t i = 0; i < classes; i++)
        count = nsp_max_u32(count, snapshot->class_slots[i] + 1);
    snapshot->class_at =
        nsp_alloc(&snapshot->allocator, count + 1u, sizeof *snapshot->class_at);
    if (!snapshot->class_at)
        return -ENOMEM;
    snapshot->class_at_count = count;
    for (uint32_t slot = 0; slot < count; slot++)
        snapshot->class_at[slot] = NSP_CLASS_NONE;
    for (uint32_t i = 0; i < classes; i++)
        snapshot->class_at[snapshot->class_slots[i]] = i;
    return 0;
}

struct nsp_snapshot *
nsp_snapshot_destroy(struct nsp_snapshot *snapshot)
{
    if (snapshot) {
        struct nsp_allocator allocator = snapshot->allocator;

        nsp_ruleset_unref(snapshot->ruleset);
        nsp_release(&allocator, snapshot->rule_slots);
        nsp_release(&allocator, snapshot->class_slots);
        nsp_release(&allocator, snapshot->class_at);
        nsp_release(&allocator, snapshot);
    }
    return NULL;
}
