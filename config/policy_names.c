/* Names: each once. */
#include <stdlib.h>
#include <string.h>

#include "config/policy_build.h"

struct named {
    const char *name;
    const struct nsp_object *object; /* NULL: the default's rule. */
    uint32_t order;
};

static int
compare(const void *a, const void *b)
{
    const struct named *na = a, *nb = b;
    int order = strcmp(na->name, nb->name);

    return order ? order : (na->order > nb->order) - (na->order < nb->order);
}

static uint32_t
line_of(const struct nsp_object *object)
{
    const struct nsp_yaml_node *node =
        object->name_node ? object->name_node : object->node;
    uint32_t line = 1;

    for (size_t i = 0; node && i < node->offset; i++)
        line += object->source->text[i] == '\n';
    return line;
}

static void
check(struct nsp_policy_builder *b, const char *what, struct named *list,
      uint32_t count)
{
    char hint[192];

    qsort(list, count, sizeof *list, compare);
    for (uint32_t i = 1; i < count; i++) {
        const struct named *first = &list[i - 1], *second = &list[i];

        if (strcmp(first->name, second->name) != 0)
            continue;
        if (b->keys.complaints->cut)
            return;
        if (!second->object) {
            nsp_keys_complain_at(&b->keys, first->object, "name",
                                 "duplicate-name", "choose another name",
                                 "'%s' is the name of the default's rule",
                                 first->name);
            continue;
        }
        snprintf(hint, sizeof hint, "the other one is at %.120s:%u",
                 first->object->source->name, (unsigned)line_of(first->object));
        nsp_keys_complain_at(&b->keys, second->object, "name", "duplicate-name",
                             hint, "%s '%s' is here twice", what, second->name);
    }
}

static void
check_list(struct nsp_policy_builder *b, const char *what,
           const struct nsp_list *list, size_t bytes)
{
    struct named *names = calloc(list->count + 1u, sizeof *names);

    if (!names) {
        b->keys.failed = true;
        return;
    }
    for (uint32_t i = 0; i < list->count; i++) {
        const struct nsp_object *object =
            (const void *)((const char *)list->items + i * bytes);

        names[i] = (struct named){ object->name, object, i };
    }
    check(b, what, names, list->count);
    free(names);
}

/* Of rules as the engine has them: those with two directions have two names. */
static void
check_rules(struct nsp_policy_builder *b)
{
    const struct nsp_doc_rule *docs = b->doc->rules.items;
    uint32_t count = b->file->spec.rule_count;
    struct named *names = calloc(count + 1u, sizeof *names);

    if (!names) {
        b->keys.failed = true;
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t place = b->doc_of[i];
        const char *name = b->file->rules[i].name;

        if (!name)
            name = nsp_store_print(b->keys.store, "rule-%u", (unsigned)i + 1);
        if (!name)
            break;
        names[i] = (struct named){ name, NULL, i };
        if (place < b->doc->rules.count)
            names[i].object = &docs[place].at;
    }
    if (!b->keys.store->failed)
        check(b, "rule", names, count);
    free(names);
}

void
nsp_policy_build_names(struct nsp_policy_builder *b)
{
    check_list(b, "set", &b->doc->sets, nsp_set_map.bytes);
    check_list(b, "class", &b->doc->classes, nsp_class_map.bytes);
    check_list(b, "impairment", &b->doc->impairments, nsp_impairment_map.bytes);
    check_rules(b);
}
