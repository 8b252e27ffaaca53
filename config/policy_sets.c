/* Named sets: their entries here and in files. */
#include <stdlib.h>
#include <string.h>

#include "config/policy_build.h"
#include "netshaper/env.h"
#include "netshaper/filter_set.h"

/* One set on its way. */
struct set_text {
    char *text;
    size_t bytes;
    uint32_t inline_lines;
    size_t inline_bytes;
    struct nsp_text_source file; /* No text without one. */
};

static const char *
entry(const struct nsp_list *list, uint32_t index)
{
    return ((const char *const *)list->items)[index];
}

/* A comment or a second line in an entry would be none of the file's. */
static bool
check_entries(struct nsp_policy_builder *b, const struct nsp_doc_set *set,
              const struct nsp_list *list, const char *key)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (strpbrk(entry(list, i), "#\n\r") == NULL)
            continue;
        nsp_keys_complain_at(&b->keys, &set->at, key, "bad-set",
                             "write an entry for each",
                             "'%.40s' is more than one entry", entry(list, i));
        return false;
    }
    return true;
}

/* Puts inline entries and those of the file into one text. */
static bool
join(struct nsp_policy_builder *b, const struct nsp_doc_set *set,
     const struct nsp_list *list, struct set_text *t)
{
    char *at;

    for (uint32_t i = 0; i < list->count; i++)
        t->inline_bytes += strlen(entry(list, i)) + 1;
    t->inline_lines = list->count;
    if (set->file &&
        !nsp_policy_read_file(b, &set->at, "file", set->file, &t->file))
        return false;
    t->bytes = t->inline_bytes + t->file.bytes;
    t->text = malloc(t->bytes + 1);
    if (!t->text) {
        b->keys.failed = true;
        nsp_policy_release_file(&t->file);
        return false;
    }
    at = t->text;
    for (uint32_t i = 0; i < list->count; i++) {
        size_t bytes = strlen(entry(list, i));

        memcpy(at, entry(list, i), bytes);
        at[bytes] = '\n';
        at += bytes + 1;
    }
    if (t->file.bytes > 0)
        memcpy(at, t->file.text, t->file.bytes);
    at[t->file.bytes] = '\0';
    return true;
}

static void
complain(struct nsp_policy_builder *b, const struct nsp_doc_set *set,
         const char *key, const struct set_text *t, const struct nsp_diag *diag)
{
    const struct nsp_yaml_node *node = nsp_yaml_find(set->at.node, key);

    if (diag->line > t->inline_lines && t->file.text) {
        nsp_policy_complain_in(b, &t->file, diag->offset - t->inline_bytes,
                               diag);
        return;
    }
    if (node && node->kind == NSP_YAML_LIST) {
        node = node->first;
        for (uint32_t i = 1; node->next && i < diag->line; i++)
            node = node->next;
    }
    b->keys.source = set->at.source;
    nsp_keys_complain(&b->keys, node ? node : set->at.node,
                      diag->column > 0 ? diag->column - 1 : 0, diag->category,
                      diag->hint, "set %s: %.180s", set->at.name, diag->text);
}

static void
check_kind(struct nsp_policy_builder *b, const struct nsp_doc_set *set,
           const struct nsp_filter_set *made)
{
    enum nsp_set_kind kind = nsp_filter_set_kind(made);

    if (kind == NSP_SET_PORTS && set->prefixes.count > 0)
        nsp_keys_complain_at(&b->keys, &set->at, "prefixes", "bad-set",
                             "write 'ports' instead", "set %s: these are ports",
                             set->at.name);
    if (kind == NSP_SET_ADDRESSES && set->ports.count > 0)
        nsp_keys_complain_at(&b->keys, &set->at, "ports", "bad-set",
                             "write 'prefixes' instead",
                             "set %s: these are addresses", set->at.name);
}

/* Reads 'set'; NULL where it cannot be, which has been complained of. */
static struct nsp_filter_set *
read_set(struct nsp_policy_builder *b, const struct nsp_doc_set *set)
{
    bool ports = set->ports.count > 0;
    const struct nsp_list *list = ports ? &set->ports : &set->prefixes;
    const char *key = ports ? "ports" : "prefixes";
    struct nsp_diag diag = { .result = NSP_OK };
    struct nsp_filter_set *made = NULL;
    struct set_text t = { .text = NULL };
    int result;

    if (ports && set->prefixes.count > 0) {
        nsp_keys_complain_at(
            &b->keys, &set->at, "ports", "contradiction", "make two sets of it",
            "set %s has both prefixes and ports", set->at.name);
        return NULL;
    }
    if (!check_entries(b, set, list, key) || !join(b, set, list, &t))
        return NULL;
    result = nsp_filter_set_read(set->at.name, t.text, t.bytes,
                                 nsp_large_page_allocator(), &made, &diag);
    if (result == NSP_NO_MEMORY)
        b->keys.failed = true;
    else if (result != NSP_OK)
        complain(b, set, key, &t, &diag);
    else
        check_kind(b, set, made);
    free(t.text);
    nsp_policy_release_file(&t.file);
    return made;
}

/* Tells whether 'name' can be a set's. Complains where it is a name, but not of
 * a set; of others that has been done. */
static bool
check_name(struct nsp_policy_builder *b, const struct nsp_object *object)
{
    size_t bytes = strspn(object->name, "abcdefghijklmnopqrstuvwxyz"
                                        "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                        "0123456789_-");

    if (bytes > 0 && bytes <= NSP_FILTER_SET_NAME_MAX &&
        object->name[bytes] == '\0')
        return true;
    if (object->name[bytes] == '.')
        nsp_keys_complain_at(&b->keys, object, NULL, "bad-name",
                             "letters, digits, '_' and '-' make one",
                             "'%.64s' is no name of a set", object->name);
    return false;
}

static bool
is_made(const struct nsp_filter_options *options, const char *name)
{
    for (uint32_t i = 0; i < options->set_count; i++)
        if (strcmp(nsp_filter_set_name(options->sets[i]), name) == 0)
            return true;
    return false;
}

void
nsp_policy_build_sets(struct nsp_policy_builder *b)
{
    struct nsp_filter_options *options = &b->file->filter_options;
    const struct nsp_doc_set *docs = b->doc->sets.items;
    uint32_t count = b->doc->sets.count;
    struct nsp_filter_set **sets;

    sets = nsp_store_alloc(b->keys.store, count * sizeof(*sets));
    if (!sets)
        return;
    options->sets = sets;
    for (uint32_t i = 0; i < count; i++) {
        struct nsp_filter_set *set = NULL;

        if (!docs[i].at.node || !check_name(b, &docs[i].at) ||
            is_made(options, docs[i].at.name))
            continue;
        set = read_set(b, &docs[i]);
        /* Filters are told of no set that is there and wrong. */
        if (!set && nsp_filter_set_read(docs[i].at.name, "", 0, NULL, &set,
                                        NULL) != NSP_OK)
            b->keys.failed = true;
        else
            sets[options->set_count++] = set;
    }
}
