/* Where packets are taken, and what no device could do there, whatever the
 * machine. */
#include <string.h>

#include "config/policy_build.h"

/* --- Where they are taken ------------------------------------------------ */

/* A list of none would mean all. */
static void
check_not_empty(struct nsp_policy_builder *b, const char *key, const char *hint)
{
    const struct nsp_object *intercept = &b->doc->intercept.at;
    const struct nsp_yaml_node *value = nsp_yaml_find(intercept->node, key);

    if (value &&
        (value->is_null || (value->kind == NSP_YAML_LIST && value->count == 0)))
        nsp_keys_complain_at(&b->keys, intercept, key, "out-of-range", hint,
                             "'%s' names nothing", key);
}

/* The node of item 'index' of a list, which may be written as its one item. */
static const struct nsp_yaml_node *
item_node(const struct nsp_yaml_node *list, uint32_t index)
{
    const struct nsp_yaml_node *item =
        list->kind == NSP_YAML_LIST ? list->first : list;

    while (index-- > 0 && item->next)
        item = item->next;
    return item;
}

static bool
check_named_once(struct nsp_policy_builder *b, const char *key,
                 const struct nsp_list *list)
{
    const struct nsp_object *intercept = &b->doc->intercept.at;
    const char *const *names = list->items;

    for (uint32_t i = 1; i < list->count; i++)
        for (uint32_t j = 0; j < i; j++) {
            if (strcmp(names[i], names[j]) != 0)
                continue;
            b->keys.source = intercept->source;
            nsp_keys_complain(
                &b->keys, item_node(nsp_yaml_find(intercept->node, key), i), 0,
                "contradiction",
                strcmp(key, "bridge") == 0 ? "name two" : "name it once",
                "interface %.64s is named twice", names[i]);
            return false;
        }
    return true;
}

static void
build_bridge(struct nsp_policy_builder *b)
{
    const struct nsp_doc_intercept *doc = &b->doc->intercept;
    const struct nsp_yaml_node *value = nsp_yaml_find(doc->at.node, "bridge");
    const char *const *names = doc->bridge.items;

    if (nsp_yaml_find(doc->at.node, "on")) {
        nsp_keys_complain_at(&b->keys, &doc->at, "bridge", "contradiction",
                             "a bridge takes what it forwards, and nothing "
                             "else: leave one of the two out",
                             "'bridge' and 'on' exclude each other");
        return;
    }
    if (doc->bridge.count < 2) {
        if (value->count > 2)
            return; /* Complained of already. */
        nsp_keys_complain_at(&b->keys, &doc->at, "bridge", "out-of-range",
                             "write the two interfaces: [eth0, eth1]",
                             "a bridge joins two interfaces");
        return;
    }
    if (!check_named_once(b, "bridge", &doc->bridge))
        return;
    b->file->bridge[0] = names[0];
    b->file->bridge[1] = names[1];
    b->file->hooks = NSP_HOOK_FORWARD;
}

static void
build_tap(struct nsp_policy_builder *b)
{
    const struct nsp_doc_intercept *doc = &b->doc->intercept;
    const char *const *names = doc->tap.items;

    if (nsp_yaml_find(doc->at.node, "on") ||
        nsp_yaml_find(doc->at.node, "bridge")) {
        nsp_keys_complain_at(&b->keys, &doc->at, "tap", "contradiction",
                             "a TAP takes what comes in and leaves: leave the "
                             "others out",
                             "'tap' excludes 'on' and 'bridge'");
        return;
    }
    b->file->tap = true;
    if (doc->tap.count == 1 && strcmp(names[0], "all") == 0)
        return;
    if (!check_named_once(b, "tap", &doc->tap))
        return;
    b->file->interfaces = names;
    b->file->interface_count = doc->tap.count;
}

void
nsp_policy_build_intercept(struct nsp_policy_builder *b)
{
    const struct nsp_doc_intercept *doc = &b->doc->intercept;
    const uint64_t *hooks = doc->on.items;

    for (uint32_t i = 0; i < doc->on.count; i++)
        b->file->hooks |= (uint32_t)hooks[i];
    check_not_empty(b, "on", "name one: 'on: host'");
    check_not_empty(b, "tap", "name one, or write 'tap: all'");
    if (doc->at.node && nsp_yaml_find(doc->at.node, "tap"))
        build_tap(b);
    else if (doc->at.node && nsp_yaml_find(doc->at.node, "bridge"))
        build_bridge(b);
    else if (doc->at.node && !nsp_yaml_find(doc->at.node, "on"))
        nsp_keys_complain_at(&b->keys, &doc->at, NULL, "missing-key",
                             "write 'on: host', or input, output, forward; or "
                             "'bridge: [eth0, eth1]', or 'tap: all'",
                             "intercept needs 'on', 'bridge' or 'tap'");
    if (b->file->hooks == 0)
        b->file->hooks = NSP_HOOK_INPUT | NSP_HOOK_OUTPUT;
    b->file->layer = b->file->hooks == NSP_HOOK_FORWARD
                         ? NSP_LAYER_NETWORK_FORWARD
                         : NSP_LAYER_NETWORK;
}

/* --- What cannot be done there -------------------------------------------- */

struct nsp_engine_config
nsp_policy_file_engine(const struct nsp_policy_file *file)
{
    return (struct nsp_engine_config){
        .backend = file->bridge[0] ? "bridge"
                   : file->tap     ? "tap"
                                   : "host",
        .tap = { .interfaces = file->interfaces,
                 .interface_count = file->interface_count },
        .bridge = { .interfaces = { file->bridge[0], file->bridge[1] } },
        .hooks = file->hooks,
        .policy = file->spec,
    };
}

/* The refusal's category is the key that asks for too much, where there is one.
 */
void
nsp_policy_check_places(struct nsp_policy_builder *b)
{
    const struct nsp_engine_config cfg = nsp_policy_file_engine(b->file);
    const struct nsp_doc_rule *rules = b->doc->rules.items;
    struct nsp_policy_file *file = b->file;
    struct nsp_placement places[NSP_PLACEMENTS_MAX];
    struct nsp_diag diag;
    uint32_t count, place;
    int result;

    /* A rule that is not always there keeps no packets from others. */
    for (uint32_t i = 0; i < file->spec.rule_count; i++)
        file->rules[i].disabled = !file->notes[i].always;
    result = nsp_engine_place(&cfg, "true", places, &count, &diag);
    for (uint32_t i = 0; i < file->spec.rule_count; i++)
        file->rules[i].disabled = !file->notes[i].enabled;
    if (result != NSP_NOT_POSSIBLE || diag.rule == 0)
        return;
    place = b->doc_of[diag.rule - 1];
    if (place < b->doc->rules.count)
        nsp_keys_complain_at(&b->keys, &rules[place].at, diag.category,
                             diag.category, diag.hint, "%s", diag.text);
}
