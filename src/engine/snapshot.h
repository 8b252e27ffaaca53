#ifndef NSP_ENGINE_SNAPSHOT_H
#define NSP_ENGINE_SNAPSHOT_H
#include "engine/ruleset.h"

/* What workers decide by: a ruleset and where each of its rules and classes
 * keeps its state. Immutable; a worker takes up another between two bursts, and
 * says so, after which the last one may be destroyed. */
struct nsp_snapshot {
    struct nsp_allocator allocator;
    struct nsp_ruleset *ruleset; /* A reference. */
    const struct nsp_policy *policy;
    uint64_t generation; /* From 1. */
    /* The policy's and the ruleset's, by rule: every packet asks for them. */
    const struct nsp_policy_rule *rules;
    const struct nsp_effects_plan *const *effects;
    uint32_t *rule_slots, *class_slots;
    uint32_t *class_at; /* By slot; NSP_CLASS_NONE: no class of the policy. */
    uint32_t class_at_count;
};

/* Without slots yet. Returns 0 or -ENOMEM. */
int nsp_snapshot_create(struct nsp_ruleset *ruleset, uint64_t generation,
                        const struct nsp_allocator *allocator,
                        struct nsp_snapshot **ret) NSP_MUSTCHECK;

/* Fills 'class_at', once 'class_slots' are. Returns 0 or -ENOMEM. */
int nsp_snapshot_index_classes(struct nsp_snapshot *snapshot) NSP_MUSTCHECK;

struct nsp_snapshot *nsp_snapshot_destroy(struct nsp_snapshot *snapshot);

#endif /* NSP_ENGINE_SNAPSHOT_H */
