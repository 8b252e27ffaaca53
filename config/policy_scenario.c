/* Scenarios: what the policy is at a time. */
#include "config/policy_scenario.h"

#include <stdlib.h>
#include <string.h>

#include "config/nearest.h"
#include "config/values.h"

/* Most changes that are tried out when a file is read, and most rules, classes
 * and impairments that are built for it. */
#define TRIES_MAX 2000u
#define BUILT_MAX 50000u

static const struct nsp_doc_step *
step_docs(const struct nsp_policy_builder *b)
{
    return b->doc->scenario.steps.items;
}

static struct nsp_step_phase
phase_of(const struct nsp_policy_builder *b, const struct nsp_doc_step *step)
{
    const struct nsp_step_times times = {
        .at_ns = step->at_ns,
        .every_ns = step->every_ns,
        .for_ns = step->for_ns,
        .over_ns = step->over_ns,
        .tick_ns = step->tick_ns,
    };

    return nsp_step_phase_at(&times, b->elapsed_ns);
}

/* --- Values ----------------------------------------------------------------
 */

/* Where the number is in a direction that 'key' is about, with a type that can
 * take every value between two: that of the key, or of its short form. */
static bool
number_place(const struct nsp_key *key, size_t *ret_offset)
{
    const struct nsp_value_type *const types[] = {
        &nsp_value_time,   &nsp_value_rate, &nsp_value_percent,
        &nsp_value_number, &nsp_value_size,
    };

    if (key->shape != NSP_KEY_ONE || !key->type)
        return false;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (key->type != types[i])
            continue;
        *ret_offset = key->offset + (key->map ? key->map->keys[0].offset : 0u);
        return true;
    }
    return false;
}

/* Tells whether 'way' gives 'key' as a number, in its short form or with others
 * beside it. */
static bool
has_number(const struct nsp_key *key, const struct nsp_doc_way *way)
{
    const struct nsp_object *object =
        (const void *)((const char *)way + key->offset);

    if (!nsp_keys_given(&nsp_way_map, &way->at, key->name))
        return false;
    return !key->map || (object->given & 1) != 0;
}

static uint64_t
number_in(const struct nsp_doc_way *way, size_t offset)
{
    return *(const uint64_t *)(const void *)((const char *)way + offset);
}

/* What 'key' is before a step changes it. What is not there at all is 0, where
 * that is a value like others. */
static bool
find_before(const struct nsp_key *key, const struct nsp_doc_way *way,
            size_t offset, uint64_t *ret)
{
    uint64_t least = key->map ? key->map->keys[0].min : key->min;

    if (has_number(key, way))
        *ret = number_in(way, offset);
    else if (least == 0 && !nsp_keys_given(&nsp_way_map, &way->at, key->name))
        *ret = 0;
    else
        return false;
    return true;
}

/* Puts the values of 'step' that are on their way from what 'way' says over it.
 */
static void
join_between(struct nsp_policy_builder *b, const struct nsp_doc_step *step,
             uint64_t elapsed_ns, struct nsp_doc_way *way)
{
    const struct nsp_doc_way before = *way;

    nsp_policy_join_way(&nsp_way_map, &step->set.at, way);
    for (const struct nsp_key *key = nsp_way_map.keys; key->name; key++) {
        bool given = nsp_keys_given(&nsp_way_map, &step->from.at, key->name);
        size_t offset;
        uint64_t from;

        if (!nsp_keys_given(&nsp_way_map, &step->set.at, key->name))
            continue;
        if (!number_place(key, &offset) || !has_number(key, &step->set) ||
            !find_before(key, given ? &step->from : &before, offset, &from)) {
            nsp_keys_complain_at(
                &b->keys, &step->set.at, key->name, "bad-step",
                "write a number here and under 'from', or leave 'over' out",
                "'%s' cannot change evenly: it has no number before or after",
                key->name);
            continue;
        }
        *(uint64_t *)(void *)((char *)way + offset) = nsp_scenario_between(
            from, number_in(&step->set, offset), elapsed_ns, step->over_ns);
    }
}

/* The name of what 'step' changes, if that is a 'target'. */
static const char *
target_name(const struct nsp_doc_step *step, enum nsp_step_target target)
{
    return target == NSP_STEP_RULE    ? step->rule
           : target == NSP_STEP_CLASS ? step->class_name
                                      : step->impairment;
}

void
nsp_policy_join_steps(struct nsp_policy_builder *b, enum nsp_step_target target,
                      const char *name, struct nsp_doc_way *way)
{
    for (uint32_t i = 0; name && i < b->doc->scenario.steps.count; i++) {
        const struct nsp_doc_step *step = &step_docs(b)[i];
        const char *named = target_name(step, target);
        struct nsp_step_phase phase;

        if (!step->at.node || !named || strcmp(named, name) != 0)
            continue;
        phase = phase_of(b, step);
        if (!phase.active)
            continue;
        if (step->over_ns && phase.elapsed_ns < step->over_ns)
            join_between(b, step, phase.elapsed_ns, way);
        else
            nsp_policy_join_way(&nsp_way_map, &step->set.at, way);
    }
}

bool
nsp_policy_step_enabled(struct nsp_policy_builder *b, const char *name,
                        bool enabled)
{
    for (uint32_t i = 0; name && i < b->doc->scenario.steps.count; i++) {
        const struct nsp_doc_step *step = &step_docs(b)[i];

        if (step->rule && strcmp(step->rule, name) == 0 &&
            nsp_keys_given(&nsp_step_map, &step->at, "enabled") &&
            phase_of(b, step).active)
            enabled = step->enabled;
    }
    return enabled;
}

/* Whether some step takes the rule 'name' out of force. */
static bool
may_disable(const struct nsp_policy_builder *b, const char *name)
{
    for (uint32_t i = 0; name && i < b->doc->scenario.steps.count; i++) {
        const struct nsp_doc_step *step = &step_docs(b)[i];

        if (step->rule && strcmp(step->rule, name) == 0 && !step->enabled &&
            nsp_keys_given(&nsp_step_map, &step->at, "enabled"))
            return true;
    }
    return false;
}

void
nsp_policy_note_always(struct nsp_policy_builder *b)
{
    const struct nsp_doc_rule *docs = b->doc->rules.items;

    for (uint32_t i = 0; i < b->file->spec.rule_count; i++) {
        uint32_t place = b->doc_of[i];
        struct nsp_policy_note *note = &b->file->notes[i];

        note->always =
            note->enabled && nsp_schedule_is_always(&note->when) &&
            (place >= b->doc->rules.count || !may_disable(b, docs[place].name));
    }
}

/* --- What is written -------------------------------------------------------
 */

static void
complain_step(struct nsp_policy_builder *b, const struct nsp_doc_step *step,
              const char *key, const char *category, const char *hint,
              const char *text)
{
    nsp_keys_complain_at(&b->keys, &step->at, key, category, hint, "%s", text);
}

static void
check_times(struct nsp_policy_builder *b, const struct nsp_doc_step *step)
{
    if (step->every_ns && step->for_ns == 0)
        complain_step(b, step, "every", "missing-key",
                      "how long does it last each time?",
                      "'every' needs 'for'");
    if (step->every_ns && step->for_ns > step->every_ns)
        complain_step(b, step, "for", "out-of-range",
                      "it begins anew before it ends",
                      "'for' is longer than 'every'");
    if (step->over_ns && step->for_ns && step->over_ns > step->for_ns)
        complain_step(b, step, "over", "out-of-range",
                      "it ends before the values are reached",
                      "'over' is longer than 'for'");
    if (step->over_ns == 0 && step->from.at.node)
        complain_step(b, step, "from", "contradiction",
                      "write how long it takes, or leave it out",
                      "'from' needs 'over'");
}

/* Complains of keys of 'set' that what the step changes has not. */
static void
check_keys(struct nsp_policy_builder *b, const struct nsp_doc_step *step,
           const struct nsp_map *map)
{
    for (const struct nsp_key *key = nsp_way_map.keys; key->name; key++)
        if (nsp_yaml_find(step->set.at.node, key->name) &&
            !nsp_keys_find(map, key->name))
            nsp_keys_complain_at(&b->keys, &step->set.at, key->name,
                                 "unknown-key", "change a rule instead",
                                 "%s has no key '%s'", map->name, key->name);
}

static const struct nsp_object *
find_named(struct nsp_policy_builder *b, const struct nsp_doc_step *step,
           const char *key, const char *name, const struct nsp_list *list,
           size_t bytes)
{
    struct nsp_nearest nearest;
    char hint[128] = "name one of this policy";

    nsp_nearest_init(&nearest, name);
    for (uint32_t i = 0; i < list->count; i++) {
        const struct nsp_object *object =
            (const void *)((const char *)list->items + i * bytes);
        const char *own = strcmp(key, "rule") == 0
                              ? ((const struct nsp_doc_rule *)object)->name
                              : object->name;

        if (!own)
            continue;
        if (strcmp(own, name) == 0)
            return object;
        nsp_nearest_try(&nearest, own);
    }
    if (nearest.best)
        snprintf(hint, sizeof hint, "did you mean %s?", nearest.best);
    nsp_keys_complain_at(&b->keys, &step->at, key, "unknown-name", hint,
                         "there is no %s '%.64s'", key, name);
    return NULL;
}

/* A rule whose rate or effects have a name is changed by that name. */
static void
check_rule(struct nsp_policy_builder *b, const struct nsp_doc_step *step,
           const struct nsp_doc_rule *rule)
{
    for (const struct nsp_key *key = nsp_way_map.keys; key->name; key++) {
        bool of_link = nsp_keys_find(&nsp_class_map, key->name) != NULL;
        const char *other = of_link ? rule->class_name : rule->impairment;

        if (other && nsp_yaml_find(step->set.at.node, key->name))
            nsp_keys_complain_at(&b->keys, &step->set.at, key->name,
                                 "contradiction", "change that instead",
                                 "the rule has the %s %.64s",
                                 of_link ? "class" : "impairment", other);
    }
    /* Of keys that it has not, the reader has complained. */
    if (rule->action != NSP_ACTION_PASS && step->set.at.node &&
        (step->set.at.given != 0 || step->set.at.node->count == 0))
        complain_step(b, step, "set", "contradiction",
                      "it can only be 'enabled' or not",
                      "the rule lets nothing pass");
}

static void
check_target(struct nsp_policy_builder *b, const struct nsp_doc_step *step)
{
    const struct nsp_object *found;
    int targets = (step->rule != NULL) + (step->class_name != NULL) +
                  (step->impairment != NULL);

    if (targets != 1) {
        complain_step(b, step, NULL, targets ? "contradiction" : "missing-key",
                      "name what it changes: 'rule', 'class' or 'impairment'",
                      targets ? "a step changes one thing"
                              : "a step needs 'rule', 'class' or "
                                "'impairment'");
        return;
    }
    if (step->class_name) {
        find_named(b, step, "class", step->class_name, &b->doc->classes,
                   nsp_class_map.bytes);
        check_keys(b, step, &nsp_class_map);
    } else if (step->impairment) {
        find_named(b, step, "impairment", step->impairment,
                   &b->doc->impairments, nsp_impairment_map.bytes);
        check_keys(b, step, &nsp_impairment_map);
    } else {
        found = find_named(b, step, "rule", step->rule, &b->doc->rules,
                           nsp_rule_map.bytes);
        if (found)
            check_rule(b, step, (const struct nsp_doc_rule *)found);
    }
}

static void
check_step(struct nsp_policy_builder *b, const struct nsp_doc_step *step)
{
    bool enables = nsp_yaml_find(step->at.node, "enabled") != NULL;

    if (!step->at.node)
        return; /* Complained of. */
    check_times(b, step);
    check_target(b, step);
    if (!enables && !step->set.at.node)
        complain_step(b, step, NULL, "missing-key",
                      "write 'set: { loss: 5% }', or 'enabled: false'",
                      "a step needs 'set' or 'enabled'");
    if (enables && !step->rule)
        complain_step(b, step, "enabled", "contradiction", "name a 'rule'",
                      "only rules are enabled or not");
}

/* --- Time ------------------------------------------------------------------
 */

/* Time until something changes. */
static uint64_t
next_change(const struct nsp_policy_builder *b)
{
    uint64_t next_ns = NSP_SCENARIO_NEVER;

    if (b->doc->scenario.loop_ns)
        next_ns = b->doc->scenario.loop_ns - b->elapsed_ns;
    for (uint32_t i = 0; i < b->doc->scenario.steps.count; i++) {
        struct nsp_step_phase phase = phase_of(b, &step_docs(b)[i]);

        if (phase.next_ns < next_ns)
            next_ns = phase.next_ns;
    }
    return next_ns;
}

static bool
is_stepped(const struct nsp_policy_builder *b, enum nsp_step_target target,
           const char *name)
{
    for (uint32_t i = 0; name && i < b->doc->scenario.steps.count; i++) {
        const char *named = target_name(&step_docs(b)[i], target);

        if (named && strcmp(named, name) == 0)
            return true;
    }
    return false;
}

static void
add_stepped(struct nsp_policy_builder *b, enum nsp_step_target target,
            uint32_t place, uint32_t index)
{
    b->stepped[b->stepped_count++] =
        (struct nsp_stepped){ target, place, index };
}

/* Finds what the steps change. An impairment with a profile is written out in
 * the rules that name it: they change with it. */
static void
find_stepped(struct nsp_policy_builder *b)
{
    const struct nsp_doc_class *classes = b->doc->classes.items;
    const struct nsp_doc_impairment *impairments = b->doc->impairments.items;
    const struct nsp_doc_rule *rules = b->doc->rules.items;
    size_t most = (size_t)b->doc->classes.count + b->doc->impairments.count +
                  b->doc->rules.count;

    b->stepped = nsp_store_alloc(b->keys.store, most * sizeof *b->stepped);
    if (!b->stepped)
        return;
    for (uint32_t i = 0; i < b->doc->classes.count; i++)
        if (is_stepped(b, NSP_STEP_CLASS, classes[i].at.name))
            add_stepped(b, NSP_STEP_CLASS, i, i);
    for (uint32_t i = 0; i < b->doc->impairments.count; i++)
        if (is_stepped(b, NSP_STEP_IMPAIRMENT, impairments[i].at.name))
            add_stepped(b, NSP_STEP_IMPAIRMENT, i, i);
    for (uint32_t i = 0, index = 0; i < b->doc->rules.count; i++) {
        while (b->doc_of[index] < i)
            index++;
        if (is_stepped(b, NSP_STEP_RULE, rules[i].name) ||
            is_stepped(b, NSP_STEP_IMPAIRMENT, rules[i].impairment))
            add_stepped(b, NSP_STEP_RULE, i, index);
    }
}

/* Goes through the scenario once, so that what does not go together is known
 * before it happens. */
static void
try_out(struct nsp_policy_builder *b)
{
    const struct nsp_doc_scenario *scenario = &b->doc->scenario;
    uint32_t tries = BUILT_MAX / (b->stepped_count + 1);
    struct nsp_store *store = b->keys.store, scratch = { .blocks = NULL };

    for (uint32_t i = 0; i < tries && i < TRIES_MAX; i++) {
        uint64_t next_ns = next_change(b);

        if (next_ns == NSP_SCENARIO_NEVER || b->keys.complaints->errors > 0)
            break;
        b->elapsed_ns += next_ns;
        if (scenario->loop_ns && b->elapsed_ns >= scenario->loop_ns)
            break;
        b->keys.store = &scratch;
        nsp_policy_rebuild(b);
        b->keys.store = store;
        nsp_store_fini(&scratch);
        scratch = (struct nsp_store){ .blocks = NULL };
    }
    b->elapsed_ns = 0;
    nsp_policy_rebuild(b);
}

void
nsp_policy_build_scenario(struct nsp_policy_builder *b)
{
    const struct nsp_doc_scenario *scenario = &b->doc->scenario;

    if (!scenario->at.node)
        return;
    for (uint32_t i = 0; i < scenario->steps.count; i++) {
        const struct nsp_doc_step *step = &step_docs(b)[i];

        check_step(b, step);
        if (scenario->loop_ns && step->at.node &&
            step->at_ns >= scenario->loop_ns)
            complain_step(b, step, "at", "out-of-range",
                          "make 'loop' longer, or begin it earlier",
                          "the scenario begins anew before this");
    }
    if (b->keys.complaints->errors == 0 && !b->keys.failed) {
        find_stepped(b);
        try_out(b);
    }
    b->file->has_scenario = scenario->steps.count > 0;
}

/* --- Following it ----------------------------------------------------------
 */

int
nsp_policy_file_set_elapsed(struct nsp_policy_file *file, uint64_t elapsed_ns,
                            uint64_t *ret_next_ns)
{
    struct nsp_policy_builder *b = file->builder;
    uint64_t loop_ns = file->doc->scenario.loop_ns;
    struct nsp_store *store = b->keys.store;
    struct nsp_store before = file->elapsed_store;
    struct nsp_complaints complaints = { .errors_only = true };

    file->elapsed_store = (struct nsp_store){ .blocks = NULL };
    b->keys.store = &file->elapsed_store;
    b->keys.complaints = &complaints;
    b->elapsed_ns = loop_ns ? elapsed_ns % loop_ns : elapsed_ns;
    nsp_policy_rebuild(b);
    *ret_next_ns = next_change(b);
    b->keys.store = store;
    b->keys.complaints = NULL;
    nsp_store_fini(&before);
    nsp_complaints_fini(&complaints);
    if (b->keys.failed || file->elapsed_store.failed || complaints.failed)
        return NSP_NO_MEMORY;
    return complaints.errors > 0 ? NSP_INVALID_PARAMETER : NSP_OK;
}
