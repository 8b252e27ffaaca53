/* Rates that change with time. */
#include <string.h>

#include "config/policy_build.h"

/* Complains unless 'doc' has just one of the kinds of rates. */
static bool
check_kind(struct nsp_policy_builder *b, const struct nsp_doc_rate *doc)
{
    static const char *const kinds[] = { "constant", "schedule", "trace" };
    static const struct {
        const char *key, *of;
    } parts[] = { { "repeat", "schedule" },
                  { "unit", "trace" },
                  { "opportunity", "trace" } };
    const char *kind = NULL;
    bool good = true;

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (!nsp_yaml_find(doc->at.node, kinds[i]))
            continue;
        if (kind)
            nsp_keys_complain_at(&b->keys, &doc->at, kinds[i], "contradiction",
                                 "leave one of them out",
                                 "'%s' and '%s' exclude each other", kind,
                                 kinds[i]);
        good &= kind == NULL;
        kind = kinds[i];
    }
    if (!kind)
        nsp_keys_complain_at(&b->keys, &doc->at, NULL, "missing-key",
                             "write 'rate: 5mbit'",
                             "a rate needs 'constant', 'schedule' or 'trace'");
    for (size_t i = 0; kind && i < sizeof parts / sizeof parts[0]; i++)
        if (nsp_yaml_find(doc->at.node, parts[i].key) &&
            strcmp(parts[i].of, kind) != 0)
            nsp_keys_complain_at(&b->keys, &doc->at, parts[i].key,
                                 "contradiction", "leave it out",
                                 "'%s' needs '%s'", parts[i].key, parts[i].of);
    return good && kind;
}

static void
build_schedule(struct nsp_policy_builder *b, const struct nsp_doc_rate *doc,
               struct nsp_rate_plan_config *ret)
{
    const struct nsp_doc_rate_step *steps = doc->schedule.items;
    uint32_t count = doc->schedule.count;
    struct nsp_rate_segment *segments =
        nsp_store_alloc(b->keys.store, (count + 1u) * sizeof *segments);

    if (!segments)
        return;
    if (count == 0 && nsp_keys_given(&nsp_rate_map, &doc->at, "schedule"))
        nsp_keys_complain_at(&b->keys, &doc->at, "schedule", "out-of-range",
                             "write '{ for: 10s, rate: 5mbit }'",
                             "'schedule' is an empty list");
    for (uint32_t i = 0; i < count; i++)
        segments[i] = (struct nsp_rate_segment){
            .duration_ns = steps[i].for_ns,
            .from_bitps = steps[i].bitps,
            .to_bitps = steps[i].to_bitps ? steps[i].to_bitps : steps[i].bitps,
        };
    ret->segments = segments;
    ret->segment_count = count;
    ret->repeat = doc->repeat;
}

void
nsp_policy_build_rate(struct nsp_policy_builder *b,
                      const struct nsp_doc_rate *doc, struct nsp_link_rate *ret)
{
    struct nsp_rate_plan_config *plan;

    if (!doc->at.node || doc->at.node->kind != NSP_YAML_MAP ||
        !check_kind(b, doc) || nsp_yaml_find(doc->at.node, "constant"))
        return;
    plan = nsp_store_alloc(b->keys.store, sizeof *plan);
    if (!plan)
        return;
    if (doc->trace) {
        plan->opportunities_ns =
            nsp_policy_read_opportunities(b, doc, &plan->opportunity_count);
        plan->opportunity_bytes = (uint32_t)doc->opportunity_bytes;
    } else {
        build_schedule(b, doc, plan);
    }
    ret->plan = plan;
}
