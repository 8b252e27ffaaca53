/* What is allowed and of no use. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "config/fragments.h"
#include "config/policy_build.h"
#include "config/units.h"
#include "netshaper/explain.h"
#include "netshaper/filter_set.h"
#include "netshaper/packet.h"

#define FULL_PACKET_BYTES 1500u

static void warn(struct nsp_policy_builder *b, const struct nsp_object *object,
                 const char *key, const char *category, const char *hint,
                 const char *format, ...) __attribute__((format(printf, 6, 7)));

static void
warn(struct nsp_policy_builder *b, const struct nsp_object *object,
     const char *key, const char *category, const char *hint,
     const char *format, ...)
{
    const struct nsp_yaml_node *node =
        key ? nsp_yaml_find(object->node, key) : NULL;
    struct nsp_complaint *c;
    va_list args;

    if (!node)
        node = object->name_node ? object->name_node : object->node;
    c = nsp_complaints_add(b->keys.complaints, true, object->source,
                           node->offset);
    if (!c)
        return;
    snprintf(c->diag.category, sizeof c->diag.category, "%s", category);
    snprintf(c->diag.hint, sizeof c->diag.hint, "%s", hint);
    va_start(args, format);
    vsnprintf(c->diag.text, sizeof c->diag.text, format, args);
    va_end(args);
}

/* What rule 'index' of the file comes from. */
static const struct nsp_doc_rule *
rule_doc(const struct nsp_policy_builder *b, uint32_t index)
{
    return (const struct nsp_doc_rule *)b->doc->rules.items + b->doc_of[index];
}

/* The default's rule comes from none. */
static bool
is_default(const struct nsp_policy_builder *b, uint32_t index)
{
    return b->doc_of[index] >= b->doc->rules.count;
}

/* The name, as counters have it. */
static const char *
rule_name(const struct nsp_policy_builder *b, uint32_t index, char ret[64])
{
    const struct nsp_rule *rule = &b->file->rules[index];

    if (rule->name)
        snprintf(ret, 64, "%s", rule->name);
    else
        snprintf(ret, 64, "rule-%u", (unsigned)index + 1);
    return ret;
}

/* --- Rules that never match ---------------------------------------------- */

/* Tells whether rule 'index' never matches for a reason of its own. */
static bool
warn_never(struct nsp_policy_builder *b, uint32_t index)
{
    const struct nsp_rule *rule = &b->file->rules[index];
    struct nsp_filter_needs needs = { .inbound = true, .outbound = true };
    char name[64];

    if (b->file->filters[index])
        nsp_filter_get_needs(b->file->filters[index], &needs);
    rule_name(b, index, name);
    if (needs.never)
        warn(b, &rule_doc(b, index)->at, "match", "never-matches",
             "its tests contradict each other",
             "rule %s: no packet matches this", name);
    else if (!nsp_hooks_may_match(b->file->hooks, rule->apply, &needs))
        warn(b, &rule_doc(b, index)->at,
             rule->apply != NSP_APPLY_BOTH ? "direction" : "match",
             "never-matches", "see 'intercept' and the rule's direction",
             "rule %s: packets of this direction are not intercepted", name);
    else
        return false;
    return true;
}

static void
warn_hidden(struct nsp_policy_builder *b, uint32_t index, uint32_t by)
{
    char name[64], by_name[64];

    if (by == NSP_HIDDEN_BY_SEVERAL) {
        warn(b, &rule_doc(b, index)->at, "match", "never-matches",
             "move it up, or take it out",
             "rule %s never matches: rules before it decide all of its packets",
             rule_name(b, index, name));
        return;
    }
    rule_name(b, by, by_name);
    if (is_default(b, index)) {
        warn(b, &b->doc->fallback.at, "action", "never-matches",
             "leave out the one or the other",
             "no packet comes to the default: rule %s at %.80s:%u decides all",
             by_name, b->file->notes[by].file,
             (unsigned)b->file->notes[by].line);
        return;
    }
    warn(
        b, &rule_doc(b, index)->at, "match", "never-matches",
        "move it up, or take it out",
        "rule %s never matches: rule %s at %.80s:%u decides all of its packets",
        rule_name(b, index, name), by_name, b->file->notes[by].file,
        (unsigned)b->file->notes[by].line);
}

static void
warn_rules(struct nsp_policy_builder *b)
{
    struct nsp_policy_file *file = b->file;
    uint32_t count = file->spec.rule_count;
    uint32_t *hidden = calloc(count + 1u, sizeof *hidden);

    if (!hidden) {
        b->keys.failed = true;
        return;
    }
    /* A rule that is not always there hides nothing. */
    for (uint32_t i = 0; i < count; i++)
        file->rules[i].disabled = !file->notes[i].always;
    nsp_policy_find_hidden(&file->spec, file->filters, hidden);
    for (uint32_t i = 0; i < count; i++) {
        file->rules[i].disabled = !file->notes[i].enabled;
        if ((is_default(b, i) || !warn_never(b, i)) &&
            hidden[i] != NSP_HIDDEN_BY_NONE)
            warn_hidden(b, i, hidden[i]);
    }
    free(hidden);
}

/* --- Rules for fragments, where packets are whole ------------------------- */

static void
warn_fragments(struct nsp_policy_builder *b)
{
    const struct nsp_engine_config cfg = nsp_policy_file_engine(b->file);
    struct nsp_placement places[NSP_PLACEMENTS_MAX];
    uint32_t count;
    char name[64];

    if (nsp_engine_place(&cfg, "true", places, &count, NULL) != NSP_OK)
        return; /* It is refused already. */
    for (uint32_t i = 0; i < b->file->spec.rule_count; i++)
        if (nsp_fragments_never_come(b->file->filters[i],
                                     b->file->rules[i].apply, places, count))
            warn(b, &rule_doc(b, i)->at, "match", "fragments",
                 "ask for 'length' instead; 'intercept: { tap: all }' and a "
                 "bridge see fragments",
                 "rule %s " NSP_FRAGMENTS_TEXT, rule_name(b, i, name));
}

/* --- Names that nobody uses ---------------------------------------------- */

static bool
is_set_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* Tells whether a filter refers to the set 'name'. */
static bool
refers_to(const char *match, const char *name)
{
    size_t bytes = strlen(name);

    for (const char *at = strchr(match, '@'); at; at = strchr(at + 1, '@'))
        if (strncmp(at + 1, name, bytes) == 0 && !is_set_char(at[bytes + 1]))
            return true;
    return false;
}

static bool
is_used(const struct nsp_policy_builder *b, const char *what, const char *name)
{
    const struct nsp_doc_rule *rules = b->doc->rules.items;

    for (uint32_t i = 0; i < b->doc->rules.count; i++) {
        const struct nsp_doc_rule *rule = &rules[i];
        const char *used = what[0] == 'c'   ? rule->class_name
                           : what[0] == 'i' ? rule->impairment
                                            : NULL;

        if (used && strcmp(used, name) == 0)
            return true;
        if (what[0] == 's' && rule->match && refers_to(rule->match, name))
            return true;
    }
    return false;
}

static void
warn_unused(struct nsp_policy_builder *b, const char *what,
            const struct nsp_list *list, size_t bytes)
{
    for (uint32_t i = 0; i < list->count && !b->keys.complaints->cut; i++) {
        const struct nsp_object *object =
            (const void *)((const char *)list->items + i * bytes);

        if (!is_used(b, what, object->name))
            warn(b, object, NULL, "unused", "use it, or take it out",
                 "no rule uses %s %s", what, object->name);
    }
}

static void
warn_sets(struct nsp_policy_builder *b)
{
    const struct nsp_doc_set *sets = b->doc->sets.items;

    for (uint32_t i = 0; i < b->file->filter_options.set_count; i++)
        if (nsp_filter_set_kind(b->file->filter_options.sets[i]) ==
            NSP_SET_EMPTY)
            warn(b, &sets[i].at, NULL, "empty-set",
                 "nothing is in it, so tests for it fail", "set %s is empty",
                 sets[i].at.name);
}

/* --- Rates that do not add up -------------------------------------------- */

static void
warn_queue(struct nsp_policy_builder *b, const struct nsp_object *object,
           const struct nsp_link_rate *link)
{
    uint64_t bytes = link->queue_limit;

    if (link->rate_bitps == 0)
        return; /* None, or one that changes. */
    if (link->queue_unit == NSP_QUEUE_NS)
        /* At most 10^12 bit/s for less than 1.5 ms: no overflow. */
        bytes =
            link->queue_limit > UINT64_C(12000000000000) / link->rate_bitps
                ? FULL_PACKET_BYTES
                : link->queue_limit * link->rate_bitps / UINT64_C(8000000000);
    if ((link->queue_unit == NSP_QUEUE_NS ||
         link->queue_unit == NSP_QUEUE_BYTES) &&
        bytes < FULL_PACKET_BYTES)
        warn(b, object, "queue", "rates", "make it longer",
             "the queue has room for %u bytes, less than a full packet",
             (unsigned)bytes);
}

static const struct nsp_link_rate *
link_of(const struct nsp_policy_builder *b, const struct nsp_rule *rule)
{
    for (uint32_t i = 0; rule->class_name && i < b->file->spec.class_count; i++)
        if (strcmp(b->file->spec.classes[i].name, rule->class_name) == 0)
            return &b->file->spec.classes[i].link;
    return &rule->link;
}

static void
warn_rates(struct nsp_policy_builder *b)
{
    const struct nsp_doc_class *classes = b->doc->classes.items;

    for (uint32_t i = 0; i < b->file->spec.class_count; i++)
        warn_queue(b, &classes[i].at, &b->file->spec.classes[i].link);
    for (uint32_t i = 0; i < b->file->spec.rule_count; i++) {
        const struct nsp_rule *rule = &b->file->rules[i];
        uint64_t rate = link_of(b, rule)->rate_bitps;
        char limit_text[32], rate_text[32];

        if (is_default(b, i))
            break;
        warn_queue(b, &rule_doc(b, i)->at, &rule->link);
        if (rule->limit.unit != NSP_LIMIT_BITPS || rate == 0 ||
            rule->limit.rate <= rate)
            continue;
        nsp_units_write_rate(limit_text, sizeof limit_text, rule->limit.rate);
        nsp_units_write_rate(rate_text, sizeof rate_text, rate);
        warn(b, &rule_doc(b, i)->at, "limit", "rates",
             "lower the limit, or leave it out",
             "a limit of %s is above the rate of %s that comes after it",
             limit_text, rate_text);
    }
}

void
nsp_policy_warn(struct nsp_policy_builder *b)
{
    warn_rules(b);
    warn_fragments(b);
    warn_sets(b);
    warn_unused(b, "set", &b->doc->sets, nsp_set_map.bytes);
    warn_unused(b, "class", &b->doc->classes, nsp_class_map.bytes);
    warn_unused(b, "impairment", &b->doc->impairments,
                nsp_impairment_map.bytes);
    warn_rates(b);
}
