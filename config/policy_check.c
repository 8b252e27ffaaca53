/* What a rule may not say together, and names that there are not. */
#include <string.h>

#include "config/nearest.h"
#include "config/policy_build.h"
#include "netshaper/packet.h"

/* --- What goes with what ------------------------------------------------- */

static bool
written(const struct nsp_doc_rule *doc, const char *key)
{
    return nsp_yaml_find(doc->at.node, key) != NULL;
}

/* Tells whether 'key' is about what becomes of packets that pass. */
static bool
is_fate(const struct nsp_key *key)
{
    static const char *const others[] = { "class", "impair", "inbound",
                                          "outbound" };

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strcmp(key->name, others[i]) == 0)
            return true;
    return key->argument != NULL;
}

static void
check_action(struct nsp_policy_builder *b, const struct nsp_doc_rule *doc)
{
    const char *what = doc->action == NSP_ACTION_DROP ? "dropped" : "rejected";

    if (doc->action == NSP_ACTION_PASS)
        return;
    for (const struct nsp_key *key = nsp_rule_map.keys; key->name; key++)
        if (is_fate(key) && written(doc, key->name))
            nsp_keys_complain_at(&b->keys, &doc->at, key->name, "contradiction",
                                 "leave out the one or the other",
                                 "a packet that is %s can have no '%s'", what,
                                 key->name);
    if (doc->go_on)
        nsp_keys_complain_at(&b->keys, &doc->at, "continue", "contradiction",
                             "leave out the one or the other",
                             "a packet that is %s cannot continue", what);
}

static void
complain_beside(struct nsp_policy_builder *b, const struct nsp_object *object,
                const char *name, const char *key)
{
    if (nsp_yaml_find(object->node, key))
        nsp_keys_complain_at(&b->keys, object, key, "contradiction",
                             "use the name, or write it out here",
                             "'%s' and '%s' exclude each other", name, key);
}

/* What a class or an impairment says, the rule does not say as well. */
static void
check_beside(struct nsp_policy_builder *b, const struct nsp_doc_rule *doc)
{
    if (written(doc, "class"))
        for (const struct nsp_key *key = nsp_class_map.keys; key->name; key++) {
            complain_beside(b, &doc->at, "class", key->name);
            complain_beside(b, &doc->inbound.at, "class", key->name);
            complain_beside(b, &doc->outbound.at, "class", key->name);
        }
    if (!written(doc, "impair"))
        return;
    for (const struct nsp_key *key = nsp_impairment_map.keys; key->name; key++)
        complain_beside(b, &doc->at, "impair", key->name);
    complain_beside(b, &doc->at, "impair", "inbound");
    complain_beside(b, &doc->at, "impair", "outbound");
}

/* --- Names --------------------------------------------------------------- */

static void
check_reference(struct nsp_policy_builder *b, const struct nsp_doc_rule *doc,
                const char *key, const char *name, const struct nsp_list *list,
                size_t bytes)
{
    bool is_class = strcmp(key, "class") == 0;
    struct nsp_nearest nearest;
    char hint[128];

    if (!name)
        return;
    nsp_nearest_init(&nearest, name);
    for (uint32_t i = 0; i < list->count; i++) {
        const struct nsp_object *object =
            (const void *)((const char *)list->items + i * bytes);

        if (strcmp(object->name, name) == 0)
            return;
        nsp_nearest_try(&nearest, object->name);
    }
    if (nearest.best)
        snprintf(hint, sizeof hint, "did you mean %s?", nearest.best);
    else
        snprintf(hint, sizeof hint, "define it under '%s'",
                 is_class ? "classes" : "impairments");
    nsp_keys_complain_at(&b->keys, &doc->at, key, "unknown-name", hint,
                         "%s '%s' is not defined",
                         is_class ? "class" : "impairment", name);
}

void
nsp_policy_check_rule(struct nsp_policy_builder *b,
                      const struct nsp_doc_rule *doc)
{
    check_action(b, doc);
    check_beside(b, doc);
    if (!doc->count)
        nsp_keys_complain_at(&b->keys, &doc->at, "count", "contradiction",
                             "leave it out", "every rule counts its packets");
    check_reference(b, doc, "class", doc->class_name, &b->doc->classes,
                    nsp_class_map.bytes);
    check_reference(b, doc, "impair", doc->impairment, &b->doc->impairments,
                    nsp_impairment_map.bytes);
}

void
nsp_policy_check_forwarded(struct nsp_policy_builder *b,
                           const struct nsp_doc_rule *doc)
{
    if ((b->file->hooks & NSP_HOOK_FORWARD) == 0)
        return;
    nsp_keys_complain_at(
        &b->keys, &doc->at,
        written(doc, "profile")   ? "profile"
        : written(doc, "impair")  ? "impair"
        : written(doc, "inbound") ? "inbound"
                                  : "outbound",
        "contradiction",
        "write a rule for each way: of a profile, 'profile: { name: lte, way: "
        "down }' and 'way: up'",
        "forwarded packets are neither inbound nor outbound");
}
