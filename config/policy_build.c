#include "config/policy_build.h"

#include <string.h>

#include "config/nearest.h"
#include "netshaper/packet.h"

/* --- Links --------------------------------------------------------------- */

void
nsp_policy_build_link(struct nsp_policy_builder *b,
                      const struct nsp_object *object,
                      const struct nsp_doc_link *doc, struct nsp_link_rate *ret)
{
    static const char *const parts[] = { "queue", "queue-drop", "overhead" };

    if (!nsp_yaml_find(object->node, "rate")) {
        for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
            if (nsp_yaml_find(object->node, parts[i]))
                nsp_keys_complain_at(&b->keys, object, parts[i],
                                     "contradiction",
                                     "write a 'rate', or leave it out",
                                     "'%s' needs 'rate'", parts[i]);
        return;
    }
    *ret = (struct nsp_link_rate){
        .rate_bitps = doc->rate_bitps,
        .queue_limit = doc->queue.value,
        .queue_unit = doc->queue.unit,
        .queue_drop = (uint8_t)doc->queue_drop,
        .overhead_bytes = (int32_t)doc->overhead_bytes,
    };
}

static void
build_classes(struct nsp_policy_builder *b)
{
    const struct nsp_doc_class *docs = b->doc->classes.items;
    uint32_t count = b->doc->classes.count;
    struct nsp_class *classes =
        nsp_store_alloc(b->keys.store, count * sizeof *classes);

    if (!classes)
        return;
    for (uint32_t i = 0; i < count; i++) {
        classes[i].name = docs[i].at.name;
        if (docs[i].at.node && nsp_yaml_find(docs[i].at.node, "rate"))
            nsp_policy_build_link(b, &docs[i].at, &docs[i].link,
                                  &classes[i].link);
    }
    b->file->spec.classes = classes;
    b->file->spec.class_count = count;
}

static void
build_impairments(struct nsp_policy_builder *b)
{
    const struct nsp_doc_impairment *docs = b->doc->impairments.items;
    uint32_t count = b->doc->impairments.count;
    struct nsp_impairment *impairments =
        nsp_store_alloc(b->keys.store, count * sizeof *impairments);

    if (!impairments)
        return;
    for (uint32_t i = 0; i < count; i++) {
        impairments[i].name = docs[i].at.name;
        nsp_policy_build_effects(b, &docs[i].effects, &impairments[i].effects);
    }
    b->file->spec.impairments = impairments;
    b->file->spec.impairment_count = count;
}

/* --- What goes with what ------------------------------------------------- */

static bool
written(const struct nsp_doc_rule *doc, const char *key)
{
    return nsp_yaml_find(doc->at.node, key) != NULL;
}

static void
check_action(struct nsp_policy_builder *b, const struct nsp_doc_rule *doc)
{
    static const char *const fates[] = {
        "limit",      "dscp",     "ecn",    "ttl",    "mss",
        "mark",       "class",    "impair", "rate",   "queue",
        "queue-drop", "overhead", "delay",  "jitter", "loss",
    };
    const char *what = doc->action == NSP_ACTION_DROP ? "dropped" : "rejected";

    if (doc->action == NSP_ACTION_PASS)
        return;
    for (size_t i = 0; i < sizeof fates / sizeof fates[0]; i++)
        if (written(doc, fates[i]))
            nsp_keys_complain_at(&b->keys, &doc->at, fates[i], "contradiction",
                                 "leave out the one or the other",
                                 "a packet that is %s can have no '%s'", what,
                                 fates[i]);
    if (doc->go_on)
        nsp_keys_complain_at(&b->keys, &doc->at, "continue", "contradiction",
                             "leave out the one or the other",
                             "a packet that is %s cannot continue", what);
}

/* Complains of each of 'keys' that stands beside 'key'. */
static void
check_beside(struct nsp_policy_builder *b, const struct nsp_doc_rule *doc,
             const char *key, const char *const keys[])
{
    if (!written(doc, key))
        return;
    for (; *keys; keys++)
        if (written(doc, *keys))
            nsp_keys_complain_at(&b->keys, &doc->at, *keys, "contradiction",
                                 "use the name, or write it out here",
                                 "'%s' and '%s' exclude each other", key,
                                 *keys);
}

static void
check_parts(struct nsp_policy_builder *b, const struct nsp_doc_rule *doc)
{
    static const char *const of_class[] = { "rate", "queue", "queue-drop",
                                            "overhead", NULL };
    static const char *const of_impair[] = { "delay", "jitter", "loss", NULL };

    check_action(b, doc);
    check_beside(b, doc, "class", of_class);
    check_beside(b, doc, "impair", of_impair);
    if (!doc->count)
        nsp_keys_complain_at(&b->keys, &doc->at, "count", "contradiction",
                             "leave it out", "every rule counts its packets");
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

/* --- Rules --------------------------------------------------------------- */

static void
build_limit(struct nsp_policy_builder *b, const struct nsp_doc_limit *doc,
            struct nsp_limit *ret)
{
    if (!doc->at.node || doc->rate.unit == NSP_LIMIT_NONE)
        return;
    if (doc->burst.unit != NSP_LIMIT_NONE &&
        doc->burst.unit != doc->rate.unit) {
        bool packets = doc->rate.unit == NSP_LIMIT_PPS;

        nsp_keys_complain_at(
            &b->keys, &doc->at, "burst", "contradiction",
            packets ? "write packets, as in 100p" : "write bytes, as in 64kb",
            "a rate in %s goes with a burst in %s",
            packets ? "packets" : "bits",
            packets ? "packets, not bytes" : "bytes, not packets");
    }
    *ret = (struct nsp_limit){ .unit = doc->rate.unit,
                               .rate = doc->rate.value,
                               .burst = doc->burst.value };
}

static void
build_edits(const struct nsp_doc_rule *doc, struct nsp_edits *ret)
{
    static const struct {
        const char *key;
        uint32_t edit;
    } edits[] = {
        { "dscp", NSP_EDIT_DSCP }, { "ecn", NSP_EDIT_ECN },
        { "ttl", NSP_EDIT_TTL },   { "mss", NSP_EDIT_MSS },
        { "mark", NSP_EDIT_MARK },
    };

    for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++)
        if (nsp_keys_given(&nsp_rule_map, &doc->at, edits[i].key))
            ret->which |= edits[i].edit;
    ret->mark = doc->mark.mark;
    ret->mark_mask = doc->mark.mask;
    ret->mss = (uint16_t)doc->mss;
    ret->dscp = (uint8_t)doc->dscp;
    ret->ecn = (uint8_t)doc->ecn;
    ret->ttl = (uint8_t)doc->ttl;
}

static void
build_schedule(const struct nsp_doc_when *doc, struct nsp_schedule *ret)
{
    const uint64_t *days = doc->days.items;
    const struct nsp_hours *hours = doc->hours.items;

    for (uint32_t i = 0; i < doc->days.count; i++)
        ret->days |= (uint8_t)days[i];
    for (uint32_t i = 0; i < doc->hours.count; i++)
        ret->hours[i] = hours[i];
    ret->hours_count = (uint8_t)doc->hours.count;
}

/* The byte of 'text' that 'diag' points out. */
static size_t
place_in(const char *text, const struct nsp_diag *diag)
{
    const char *line = text;

    for (uint32_t i = 1; i < diag->line && strchr(line, '\n'); i++)
        line = strchr(line, '\n') + 1;
    return (size_t)(line - text) + (diag->column > 0 ? diag->column - 1 : 0);
}

static void
compile_match(struct nsp_policy_builder *b, const struct nsp_doc_rule *doc,
              uint32_t index)
{
    struct nsp_diag diag = { .result = NSP_OK };
    const struct nsp_yaml_node *node = nsp_yaml_find(doc->at.node, "match");
    int result;

    if (!doc->match)
        return;
    result = nsp_filter_compile_with(doc->match, b->file->layer,
                                     &b->file->filter_options, NULL,
                                     &b->file->filters[index], &diag);
    if (result == NSP_NO_MEMORY)
        b->keys.failed = true;
    if (result == NSP_OK || result == NSP_NO_MEMORY)
        return;
    b->keys.source = doc->at.source;
    nsp_keys_complain(&b->keys, node, place_in(doc->match, &diag),
                      diag.category, diag.hint, "%s", diag.text);
}

/* Lines are counted on from the rule before. */
struct line_counter {
    const struct nsp_text_source *source;
    size_t offset;
    uint32_t line;
};

static uint32_t
count_line(struct line_counter *counter, const struct nsp_object *object)
{
    if (counter->source != object->source ||
        counter->offset > object->node->offset)
        *counter = (struct line_counter){ object->source, 0, 1 };
    for (; counter->offset < object->node->offset; counter->offset++)
        counter->line += object->source->text[counter->offset] == '\n';
    return counter->line;
}

static void
build_note(struct nsp_policy_builder *b, const struct nsp_doc_rule *doc,
           struct line_counter *lines, struct nsp_policy_note *ret)
{
    *ret = (struct nsp_policy_note){
        .description = doc->description,
        .file = doc->at.source->name,
        .line = count_line(lines, &doc->at),
        .enabled = doc->enabled,
    };
    if (doc->capture)
        ret->capture_path = nsp_policy_resolve_path(
            b->keys.store, doc->at.source, doc->capture);
    build_schedule(&doc->when, &ret->when);
    if (!nsp_schedule_is_always(&ret->when))
        b->file->has_schedule = true;
}

static void
build_rule(struct nsp_policy_builder *b, const struct nsp_doc_rule *doc,
           uint32_t index)
{
    struct nsp_rule *rule = &b->file->rules[index];

    check_parts(b, doc);
    check_reference(b, doc, "class", doc->class_name, &b->doc->classes,
                    nsp_class_map.bytes);
    check_reference(b, doc, "impair", doc->impairment, &b->doc->impairments,
                    nsp_impairment_map.bytes);
    *rule = (struct nsp_rule){
        .name = doc->name,
        .match = doc->match,
        .disabled = !doc->enabled,
        .go_on = doc->go_on,
        .apply = (uint8_t)doc->direction,
        .action = (uint8_t)doc->action,
        .class_name = doc->class_name,
        .impairment = doc->impairment,
        .capture = doc->capture != NULL,
        .log_pps = (uint32_t)doc->log_pps,
    };
    nsp_policy_build_link(b, &doc->at, &doc->link, &rule->link);
    nsp_policy_build_effects(b, &doc->effects, &rule->effects);
    build_limit(b, &doc->limit, &rule->limit);
    build_edits(doc, &rule->edits);
    compile_match(b, doc, index);
}

static void
build_default(struct nsp_policy_builder *b)
{
    struct nsp_policy_file *file = b->file;
    uint32_t index = file->spec.rule_count;

    if (b->doc->fallback.action == NSP_ACTION_PASS)
        return;
    file->rules[index] = (struct nsp_rule){
        .name = "default",
        .action = (uint8_t)b->doc->fallback.action,
    };
    file->notes[index] =
        (struct nsp_policy_note){ .file = "", .enabled = true };
    file->spec.rule_count++;
}

static void
build_rules(struct nsp_policy_builder *b)
{
    struct nsp_policy_file *file = b->file;
    const struct nsp_doc_rule *docs = b->doc->rules.items;
    size_t count = b->doc->rules.count;
    struct line_counter lines = { .source = NULL };

    /* One more for the default. */
    file->rules =
        nsp_store_alloc(b->keys.store, (count + 1) * sizeof *file->rules);
    file->notes =
        nsp_store_alloc(b->keys.store, (count + 1) * sizeof *file->notes);
    file->filters =
        nsp_store_alloc(b->keys.store, (count + 1) * sizeof(*file->filters));
    if (!file->rules || !file->notes || !file->filters)
        return;
    file->spec.rules = file->rules;
    for (uint32_t i = 0; i < count; i++) {
        file->spec.rule_count++;
        if (!docs[i].at.node)
            continue; /* Something else than a mapping. */
        build_rule(b, &docs[i], i);
        build_note(b, &docs[i], &lines, &file->notes[i]);
    }
    build_default(b);
}

/* --- All ----------------------------------------------------------------- */

static void
build_intercept(struct nsp_policy_builder *b)
{
    const struct nsp_list *on = &b->doc->intercept.on;
    const uint64_t *hooks = on->items;

    for (uint32_t i = 0; i < on->count; i++)
        b->file->hooks |= (uint32_t)hooks[i];
    if (b->file->hooks == 0)
        b->file->hooks = NSP_HOOK_INPUT | NSP_HOOK_OUTPUT;
    b->file->layer = b->file->hooks == NSP_HOOK_FORWARD
                         ? NSP_LAYER_NETWORK_FORWARD
                         : NSP_LAYER_NETWORK;
}

void
nsp_policy_build(struct nsp_policy_builder *b)
{
    build_intercept(b);
    nsp_policy_build_names(b);
    nsp_policy_build_sets(b);
    build_classes(b);
    build_impairments(b);
    build_rules(b);
    b->file->spec.filters = &b->file->filter_options;
    b->file->doc = b->doc;
}
