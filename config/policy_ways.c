/* What a rule does in each direction: what its profile says, what its
 * impairment says instead, what it says itself, and what it says of the
 * direction. */
#include <string.h>

#include "config/policy_build.h"
#include "config/policy_scenario.h"

void
nsp_policy_join_way(const struct nsp_map *map, const struct nsp_object *from,
                    struct nsp_doc_way *to)
{
    for (const struct nsp_key *key = nsp_way_map.keys; key->name; key++) {
        const struct nsp_key *source = nsp_keys_find(map, key->name);

        /* What was written and could not be read counts as well: it has been
         * complained of, and what needs it should not be. */
        if (!source || (!nsp_keys_given(map, from, key->name) &&
                        !nsp_yaml_find(from->node, key->name)))
            continue;
        memcpy((char *)to + key->offset, (const char *)from + source->offset,
               nsp_keys_bytes(key));
        to->at.given |= UINT64_C(1) << (key - nsp_way_map.keys);
    }
}

/* --- Profiles ------------------------------------------------------------ */

/* Half of a round trip; the odd nanosecond goes down. */
static void
set_half(const struct nsp_doc_profile *profile, bool up, struct nsp_doc_way *to)
{
    const struct nsp_key *delay = nsp_keys_find(&nsp_way_map, "delay");
    uint64_t ns = profile->rtt_ns;

    to->effects.delay = (struct nsp_doc_delay){
        .at = { .given = 1,
                .node = nsp_yaml_find(profile->at.node, "rtt"),
                .source = profile->at.source },
        .chance = NSP_PPM_ONE,
        .time_ns = up ? ns / 2 : ns - ns / 2,
    };
    to->at.given |= UINT64_C(1) << (delay - nsp_way_map.keys);
}

void
nsp_policy_join_profile(struct nsp_policy_builder *b,
                        const struct nsp_doc_profile *profile,
                        enum nsp_doc_profile_way way, struct nsp_doc_way *to)
{
    bool up = way == NSP_DOC_UP;
    const struct nsp_doc_way *own = up ? &profile->up : &profile->down;

    if (nsp_keys_given(&nsp_profile_map, &profile->at, "rtt")) {
        if (nsp_yaml_find(profile->at.node, "delay") ||
            nsp_yaml_find(own->at.node, "delay"))
            nsp_keys_complain_at(&b->keys, &profile->at, "rtt", "contradiction",
                                 "leave one of them out",
                                 "'rtt' and 'delay' exclude each other");
        set_half(profile, up, to);
    }
    nsp_policy_join_way(&nsp_profile_map, &profile->at, to);
    nsp_policy_join_way(&nsp_way_map, &own->at, to);
}

static bool
has_two_ways(const struct nsp_doc_profile *profile,
             const struct nsp_doc_profile_use *use)
{
    return profile && use->way == NSP_DOC_BOTH_WAYS &&
           (profile->down.at.node || profile->up.at.node);
}

/* --- Rules --------------------------------------------------------------- */

static const struct nsp_doc_impairment *
find_impairment(const struct nsp_policy_builder *b, const char *name)
{
    const struct nsp_doc_impairment *docs = b->doc->impairments.items;

    for (uint32_t i = 0; name && i < b->doc->impairments.count; i++)
        if (strcmp(docs[i].at.name, name) == 0)
            return &docs[i];
    return NULL;
}

/* One direction of a rule, from what it is made of. */
struct layers {
    const struct nsp_doc_rule *rule;
    const struct nsp_doc_impairment *impairment; /* NULL: by name, or none. */
    const struct nsp_doc_profile_use *use;
    const struct nsp_doc_profile *profile; /* NULL without. */
};

static void
join(struct nsp_policy_builder *b, const struct layers *from, bool outbound,
     struct nsp_doc_way *ret)
{
    uint64_t way = from->use->way;

    nsp_keys_set_fallbacks(&b->keys, &nsp_way_map, ret);
    if (way == NSP_DOC_BOTH_WAYS)
        way = outbound ? NSP_DOC_UP : NSP_DOC_DOWN;
    if (from->profile)
        nsp_policy_join_profile(b, from->profile, (enum nsp_doc_profile_way)way,
                                ret);
    if (from->impairment) {
        nsp_policy_join_way(&nsp_impairment_map, &from->impairment->at, ret);
        nsp_policy_join_steps(b, NSP_STEP_IMPAIRMENT, from->impairment->at.name,
                              ret);
    }
    nsp_policy_join_way(&nsp_rule_map, &from->rule->at, ret);
    nsp_policy_join_way(
        &nsp_way_map,
        outbound ? &from->rule->outbound.at : &from->rule->inbound.at, ret);
    nsp_policy_join_steps(b, NSP_STEP_RULE, from->rule->name, ret);
    ret->at.node = from->rule->at.node;
    ret->at.source = from->rule->at.source;
}

/* What a rule says of a direction that it is not for. */
static void
check_direction(struct nsp_policy_builder *b, const struct nsp_doc_rule *doc)
{
    bool in = doc->direction == NSP_APPLY_INBOUND;
    const char *other = in ? "outbound" : "inbound";

    if (doc->direction == NSP_APPLY_BOTH || !nsp_yaml_find(doc->at.node, other))
        return;
    nsp_keys_complain_at(&b->keys, &doc->at, other, "contradiction",
                         "leave it out, or the 'direction'",
                         "a rule for %s packets has no '%s'",
                         in ? "inbound" : "outbound", other);
}

void
nsp_policy_build_ways(struct nsp_policy_builder *b,
                      const struct nsp_doc_rule *doc,
                      struct nsp_policy_ways *ret)
{
    const struct nsp_doc_impairment *impairment =
        find_impairment(b, doc->impairment);
    struct layers layers = { .rule = doc, .use = &doc->profile };

    *ret = (struct nsp_policy_ways){ .count = 1 };
    ret->impairment = doc->impairment;
    if (impairment && impairment->profile.at.node) {
        layers.impairment = impairment;
        layers.use = &impairment->profile;
        ret->impairment = NULL;
    }
    layers.profile = nsp_policy_find_profile(b, layers.use);
    if (doc->inbound.at.node || doc->outbound.at.node ||
        has_two_ways(layers.profile, layers.use))
        ret->count = 2;
    check_direction(b, doc);
    if (ret->count == 2 && doc->direction != NSP_APPLY_BOTH) {
        ret->count = 1;
        join(b, &layers, doc->direction == NSP_APPLY_OUTBOUND, &ret->docs[0]);
        return;
    }
    for (uint32_t i = 0; i < ret->count; i++)
        join(b, &layers, i == 1, &ret->docs[i]);
}
