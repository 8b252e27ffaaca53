#include "config/policy_build.h"

#include <string.h>

#include "config/policy_scenario.h"
#include "netshaper/packet.h"

/* --- Links --------------------------------------------------------------- */

/* Tells whether 'key' is there, be it readable or not. */
static bool
is_there(const struct nsp_map *map, const struct nsp_object *object,
         const char *key)
{
    return nsp_keys_given(map, object, key) ||
           nsp_yaml_find(object->node, key) != NULL;
}

void
nsp_policy_build_link(struct nsp_policy_builder *b, const struct nsp_map *map,
                      const struct nsp_object *object,
                      const struct nsp_doc_link *doc, struct nsp_link_rate *ret)
{
    static const char *const parts[] = { "queue", "queue-drop", "overhead" };

    if (!is_there(map, object, "rate")) {
        for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
            if (is_there(map, object, parts[i]))
                nsp_keys_complain_at(&b->keys, object, parts[i],
                                     "contradiction",
                                     "write a 'rate', or leave it out",
                                     "'%s' needs 'rate'", parts[i]);
        return;
    }
    *ret = (struct nsp_link_rate){
        .rate_bitps = doc->rate.bitps,
        .queue_limit = doc->queue.value,
        .queue_unit = doc->queue.unit,
        .queue_drop = (uint8_t)doc->queue_drop,
        .overhead_bytes = (int32_t)doc->overhead_bytes,
    };
    nsp_policy_build_rate(b, &doc->rate, ret);
}

static void
build_class(struct nsp_policy_builder *b, const struct nsp_doc_class *doc,
            struct nsp_link_rate *ret)
{
    struct nsp_doc_way way = { .at = doc->at };

    if (!doc->at.node || !nsp_yaml_find(doc->at.node, "rate"))
        return;
    way.at.given = 0;
    nsp_policy_join_way(&nsp_class_map, &doc->at, &way);
    nsp_policy_join_steps(b, NSP_STEP_CLASS, doc->at.name, &way);
    nsp_policy_build_link(b, &nsp_way_map, &way.at, &way.link, ret);
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
        build_class(b, &docs[i], &classes[i].link);
    }
    b->classes = classes;
    b->file->spec.classes = classes;
    b->file->spec.class_count = count;
}

/* One with a profile is written out in the rules that name it, each direction
 * in a rule of its own; what is built here of it is only checked. */
static void
build_impairment(struct nsp_policy_builder *b,
                 const struct nsp_doc_impairment *doc, struct nsp_effects *ret)
{
    const struct nsp_doc_profile *profile =
        nsp_policy_find_profile(b, &doc->profile);
    struct nsp_doc_way way = { .at = doc->at };

    if (!doc->at.node)
        return;
    way.at.given = 0;
    if (profile)
        nsp_policy_join_profile(b, profile, NSP_DOC_DOWN, &way);
    nsp_policy_join_way(&nsp_impairment_map, &doc->at, &way);
    nsp_policy_join_steps(b, NSP_STEP_IMPAIRMENT, doc->at.name, &way);
    nsp_policy_build_effects(b, &way.effects, ret);
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
        build_impairment(b, &docs[i], &impairments[i].effects);
    }
    b->impairments = impairments;
    b->file->spec.impairments = impairments;
    b->file->spec.impairment_count = count;
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

/* The name that counters have; NULL where it follows from the place. */
static const char *
name_rule(struct nsp_policy_builder *b, const struct nsp_doc_rule *doc,
          uint32_t index, const char *end)
{
    uint32_t place = b->doc_of[index];
    const char *name = doc->name;

    if (!name && (place != index || end[0] != '\0'))
        name = nsp_store_print(b->keys.store, "rule-%u", (unsigned)place + 1);
    if (!name || end[0] == '\0')
        return name;
    if (strlen(name) + strlen(end) > NSP_NAME_MAX)
        nsp_keys_complain_at(&b->keys, &doc->at, "name", "bad-name",
                             "shorten it to 59 characters",
                             "'%s%s' is too long a name", name, end);
    return nsp_store_print(b->keys.store, "%s%s", name, end);
}

/* What may change in the course of time. */
static void
build_way(struct nsp_policy_builder *b, const struct nsp_doc_rule *doc,
          const struct nsp_doc_way *way, struct nsp_rule *rule)
{
    if (!doc->class_name)
        nsp_policy_build_link(b, &nsp_way_map, &way->at, &way->link,
                              &rule->link);
    nsp_policy_build_effects(b, &way->effects, &rule->effects);
}

static void
build_rule(struct nsp_policy_builder *b, const struct nsp_doc_rule *doc,
           const struct nsp_policy_ways *ways, uint32_t way, uint32_t index)
{
    static const char *const ends[] = { ".in", ".out" };
    struct nsp_rule *rule = &b->file->rules[index];
    const struct nsp_doc_way *of_way = &ways->docs[way];
    bool two = ways->count == 2;

    *rule = (struct nsp_rule){
        .name = name_rule(b, doc, index, two ? ends[way] : ""),
        .match = doc->match,
        .disabled = !doc->enabled,
        .go_on = doc->go_on,
        .apply = (uint8_t)doc->direction,
        .action = (uint8_t)doc->action,
        .class_name = doc->class_name,
        .impairment = ways->impairment,
        .capture = doc->capture != NULL,
        .log_pps = (uint32_t)doc->log_pps,
    };
    if (two)
        rule->apply = way == 0 ? NSP_APPLY_INBOUND : NSP_APPLY_OUTBOUND;
    build_way(b, doc, of_way, rule);
    build_limit(b, &doc->limit, &rule->limit);
    build_edits(doc, &rule->edits);
}

/* Builds the one or two rules of 'doc'. */
static void
build_doc(struct nsp_policy_builder *b, uint32_t place,
          struct line_counter *lines)
{
    const struct nsp_doc_rule *doc =
        (const struct nsp_doc_rule *)b->doc->rules.items + place;
    struct nsp_policy_ways ways;

    nsp_policy_check_rule(b, doc);
    nsp_policy_build_ways(b, doc, &ways);
    if (ways.count == 2)
        nsp_policy_check_forwarded(b, doc);
    for (uint32_t i = 0; i < ways.count; i++) {
        uint32_t index = b->file->spec.rule_count++;

        b->doc_of[index] = place;
        build_rule(b, doc, &ways, i, index);
        /* What is wrong with it is said once. */
        if (i == 0 || b->file->filters[index - 1])
            compile_match(b, doc, index);
        build_note(b, doc, lines, &b->file->notes[index]);
    }
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
    uint32_t count = b->doc->rules.count;
    size_t most = (size_t)count * 2 + 1; /* Of each way, and the default. */
    struct line_counter lines = { .source = NULL };

    file->rules = nsp_store_alloc(b->keys.store, most * sizeof *file->rules);
    file->notes = nsp_store_alloc(b->keys.store, most * sizeof *file->notes);
    file->filters =
        nsp_store_alloc(b->keys.store, most * sizeof(*file->filters));
    b->doc_of = nsp_store_alloc(b->keys.store, most * sizeof *b->doc_of);
    if (!file->rules || !file->notes || !file->filters || !b->doc_of)
        return;
    file->spec.rules = file->rules;
    for (uint32_t i = 0; i < count; i++)
        if (docs[i].at.node) /* Not something else than a mapping. */
            build_doc(b, i, &lines);
    b->doc_of[file->spec.rule_count] = count;
    build_default(b);
    if (file->spec.rule_count > NSP_RULES_MAX)
        nsp_keys_complain_at(&b->keys, &b->doc->at, "rules", "too-many",
                             "rules with two directions count twice",
                             "there are %u rules, more than %u",
                             (unsigned)file->spec.rule_count, NSP_RULES_MAX);
}

/* --- At another time ----------------------------------------------------- */

/* Builds what a scenario may change of the rules of 'doc', from 'index' on. */
static void
rebuild_doc(struct nsp_policy_builder *b, const struct nsp_doc_rule *doc,
            uint32_t index)
{
    bool enabled = nsp_policy_step_enabled(b, doc->name, doc->enabled);
    struct nsp_policy_ways ways;

    nsp_policy_build_ways(b, doc, &ways);
    for (uint32_t i = 0; i < ways.count; i++) {
        struct nsp_rule *rule = &b->file->rules[index + i];

        rule->link = (struct nsp_link_rate){ .rate_bitps = 0 };
        rule->effects = (struct nsp_effects){ .loss = { .kind = 0 } };
        build_way(b, doc, &ways.docs[i], rule);
        rule->disabled = !enabled;
        b->file->notes[index + i].enabled = enabled;
    }
}

static void
rebuild_impairment(struct nsp_policy_builder *b,
                   const struct nsp_doc_impairment *doc,
                   struct nsp_impairment *impairment)
{
    impairment->effects = (struct nsp_effects){ .loss = { .kind = 0 } };
    build_impairment(b, doc, &impairment->effects);
}

void
nsp_policy_rebuild(struct nsp_policy_builder *b)
{
    const struct nsp_doc_class *classes = b->doc->classes.items;
    const struct nsp_doc_impairment *impairments = b->doc->impairments.items;
    const struct nsp_doc_rule *rules = b->doc->rules.items;

    for (uint32_t i = 0; i < b->stepped_count; i++) {
        const struct nsp_stepped *stepped = &b->stepped[i];
        uint32_t place = stepped->place;

        switch (stepped->target) {
        case NSP_STEP_CLASS:
            build_class(b, &classes[place], &b->classes[stepped->index].link);
            break;
        case NSP_STEP_IMPAIRMENT:
            rebuild_impairment(b, &impairments[place],
                               &b->impairments[stepped->index]);
            break;
        case NSP_STEP_RULE:
            rebuild_doc(b, &rules[place], stepped->index);
            break;
        }
    }
}

/* --- All ----------------------------------------------------------------- */

void
nsp_policy_build(struct nsp_policy_builder *b)
{
    nsp_policy_build_intercept(b);
    nsp_policy_build_sets(b);
    build_classes(b);
    build_impairments(b);
    build_rules(b);
    nsp_policy_build_names(b);
    b->file->spec.filters = &b->file->filter_options;
    b->file->doc = b->doc;
    nsp_policy_build_scenario(b);
    nsp_policy_note_always(b);
}
