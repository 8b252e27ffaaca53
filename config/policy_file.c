#include "config/policy_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/policy_build.h"
#include "config/policy_doc.h"
#include "config/profile.h"
#include "netshaper/filter_set.h"

#define FILES_MAX      64u
#define DEPTH_MAX      8u
#define FILE_BYTES_MAX (64u << 20)

/* One of the files that make a policy. */
struct part {
    struct nsp_text_source source;
    const struct nsp_policy_doc *doc;
    bool is_open; /* While it and what it includes are read. */
};

struct loader {
    struct nsp_policy_builder builder;
    struct part parts[FILES_MAX];
    unsigned count;
    unsigned order[FILES_MAX]; /* What is included comes first. */
    unsigned ordered;
    bool places; /* Are checked. */
};

/* --- Files -------------------------------------------------------------------
 */

static int
read_stream(FILE *from, char **ret_text, size_t *ret_bytes)
{
    size_t room = 65536, bytes = 0;
    char *text = malloc(room + 1), *more;

    while (text) {
        bytes += fread(text + bytes, 1, room - bytes, from);
        if (bytes < room || room >= FILE_BYTES_MAX)
            break;
        room *= 2;
        more = realloc(text, room + 1);
        if (!more)
            free(text);
        text = more;
    }
    if (!text)
        return ENOMEM;
    if (ferror(from) || bytes == FILE_BYTES_MAX) {
        int error = ferror(from) ? (errno ? errno : EIO) : EFBIG;

        free(text);
        return error;
    }
    text[bytes] = '\0';
    *ret_text = text;
    *ret_bytes = bytes;
    return 0;
}

static int
read_file(void *context, const char *path, char **ret_text, size_t *ret_bytes)
{
    FILE *file;
    int error;

    (void)context;
    if (strcmp(path, "-") == 0)
        return read_stream(stdin, ret_text, ret_bytes);
    errno = 0;
    file = fopen(path, "rb");
    if (!file)
        return errno ? errno : ENOENT;
    error = read_stream(file, ret_text, ret_bytes);
    fclose(file);
    return error;
}

static size_t
folder_bytes(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? (size_t)(slash - path) + 1 : 0;
}

const char *
nsp_policy_resolve_path(struct nsp_store *store,
                        const struct nsp_text_source *source, const char *path)
{
    while (path[0] == '.' && path[1] == '/')
        path += 2;
    if (path[0] == '/')
        return path;
    return nsp_store_print(store, "%.*s%s", (int)folder_bytes(source->name),
                           source->name, path);
}

/* --- One file ------------------------------------------------------------ */

static void load_part(struct loader *l, const char *path, unsigned depth,
                      const struct nsp_object *includer);

static void
complain_file(struct loader *l, const struct nsp_object *includer,
              const char *path, const char *category, const char *hint,
              const char *text)
{
    const struct nsp_text_source source = { .name = path };
    struct nsp_complaint *c;

    if (includer) {
        nsp_keys_complain_at(&l->builder.keys, includer, "include", category,
                             hint, "%.120s: %s", path, text);
        return;
    }
    c = nsp_complaints_add(l->builder.keys.complaints, false, &source, 0);
    if (!c)
        return;
    snprintf(c->diag.category, sizeof c->diag.category, "%s", category);
    snprintf(c->diag.text, sizeof c->diag.text, "%.120s: %s", path, text);
    snprintf(c->diag.hint, sizeof c->diag.hint, "%s", hint);
}

static void
load_includes(struct loader *l, const struct nsp_policy_doc *doc,
              unsigned depth)
{
    const char *const *paths = doc->include.items;

    for (uint32_t i = 0; i < doc->include.count; i++) {
        const char *path = nsp_policy_resolve_path(l->builder.keys.store,
                                                   doc->at.source, paths[i]);

        if (path)
            load_part(l, path, depth + 1, &doc->at);
    }
}

/* What only the first file may say. */
static void
check_included(struct loader *l, const struct nsp_policy_doc *doc)
{
    static const char *const keys[] = { "intercept", "default", "scenario" };

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (nsp_yaml_find(doc->at.node, keys[i]))
            nsp_keys_complain_at(&l->builder.keys, &doc->at, keys[i],
                                 "contradiction",
                                 "move it to the file that includes this one",
                                 "an included file cannot have '%s'", keys[i]);
}

static void
read_part(struct loader *l, struct part *part, unsigned depth)
{
    struct nsp_key_reader *keys = &l->builder.keys;
    const struct nsp_yaml_node *root = NULL;
    struct nsp_policy_doc *doc;
    int result =
        nsp_yaml_read(&part->source, keys->store, keys->complaints, &root);

    if (result == NSP_NO_MEMORY)
        keys->failed = true;
    if (result != NSP_OK)
        return;
    doc = nsp_store_alloc(keys->store, sizeof *doc);
    if (!doc)
        return;
    keys->source = &part->source;
    nsp_keys_read(keys, &nsp_policy_map, root, doc);
    part->doc = doc;
    if (depth > 0)
        check_included(l, doc);
    load_includes(l, doc, depth);
}

static void
load_part(struct loader *l, const char *path, unsigned depth,
          const struct nsp_object *includer)
{
    struct part *part = &l->parts[l->count];
    char *text = NULL;
    size_t bytes = 0;
    int error;

    for (unsigned i = 0; i < l->count; i++) {
        if (strcmp(l->parts[i].source.name, path) != 0)
            continue;
        if (l->parts[i].is_open)
            complain_file(l, includer, path, "bad-include",
                          "leave one of them out",
                          "this file includes itself, by way of others or not");
        return; /* Once is enough. */
    }
    if (depth > DEPTH_MAX || l->count == FILES_MAX) {
        complain_file(l, includer, path, "bad-include", "flatten them",
                      "included more than 8 files deep, or more than 64");
        return;
    }
    error =
        l->builder.files->read(l->builder.files->context, path, &text, &bytes);
    if (error != 0) {
        complain_file(l, includer, path, "bad-file",
                      includer ? "paths are seen from the file that they are "
                                 "in"
                               : "POLICY is a file, or '-'",
                      strerror(error));
        return;
    }
    part->source = (struct nsp_text_source){ path, text, bytes };
    l->count++;
    part->is_open = true;
    read_part(l, part, depth);
    part->is_open = false;
    l->order[l->ordered++] = (unsigned)(part - l->parts);
}

/* --- Several to one ------------------------------------------------------ */

/* Joins the lists at 'offset' of all files. */
static void
merge_list(struct loader *l, struct nsp_policy_doc *doc, const char *name)
{
    const struct nsp_key *key = nsp_keys_find(&nsp_policy_map, name);
    struct nsp_list *ret =
        (struct nsp_list *)(void *)((char *)doc + key->offset);
    size_t bytes = key->map->bytes, count = 0;
    char *items;

    for (unsigned i = 0; i < l->ordered; i++) {
        const struct part *part = &l->parts[l->order[i]];

        if (part->doc)
            count += ((const struct nsp_list *)(const void *)((const char *)
                                                                  part->doc +
                                                              key->offset))
                         ->count;
    }
    if (count > key->most) {
        nsp_keys_complain_at(
            &l->builder.keys, &doc->at, name, "too-many", "merge some",
            "all files have %zu %s, more than %u", count, name, key->most);
        return;
    }
    items = nsp_store_alloc(l->builder.keys.store, bytes * count);
    if (!items)
        return;
    *ret = (struct nsp_list){ items, 0 };
    for (unsigned i = 0; i < l->ordered; i++) {
        const struct part *part = &l->parts[l->order[i]];
        const struct nsp_list *list;

        if (!part->doc)
            continue;
        list = (const void *)((const char *)part->doc + key->offset);
        if (list->count > 0)
            memcpy(items + ret->count * bytes, list->items,
                   bytes * list->count);
        ret->count += list->count;
    }
    if (ret->count > 0)
        doc->at.given |= UINT64_C(1) << (key - nsp_policy_map.keys);
}

static struct nsp_policy_doc *
merge(struct loader *l)
{
    static const char *const lists[] = { "sets", "classes", "impairments",
                                         "rules" };
    struct nsp_policy_doc *doc;

    if (l->count == 0 || !l->parts[0].doc)
        return NULL;
    doc = nsp_store_alloc(l->builder.keys.store, sizeof *doc);
    if (!doc)
        return NULL;
    *doc = *l->parts[0].doc;
    doc->include = (struct nsp_list){ .items = NULL };
    doc->at.given &=
        ~(UINT64_C(1) << (nsp_keys_find(&nsp_policy_map, "include") -
                          nsp_policy_map.keys));
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        merge_list(l, doc, lists[i]);
    return doc;
}

/* Paths as seen from the first file: for printing. */
static const char *
path_from_first(struct loader *l, const struct nsp_object *object,
                const char *path)
{
    const char *first = l->parts[0].source.name;
    size_t bytes = folder_bytes(first);
    const char *resolved;

    if (!path || object->source == &l->parts[0].source || path[0] == '/')
        return path;
    resolved =
        nsp_policy_resolve_path(l->builder.keys.store, object->source, path);
    if (resolved && strncmp(resolved, first, bytes) == 0)
        return resolved + bytes;
    return resolved;
}

static void
rebase_effects(struct loader *l, struct nsp_doc_effects *effects)
{
    const char **paths[] = { &effects->delay.file, &effects->jitter.file,
                             &effects->loss.file };
    const struct nsp_object *objects[] = { &effects->delay.at,
                                           &effects->jitter.at,
                                           &effects->loss.at };

    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        *paths[i] = path_from_first(l, objects[i], *paths[i]);
}

static void
rebase_rate(struct loader *l, struct nsp_doc_rate *rate)
{
    rate->trace = path_from_first(l, &rate->at, rate->trace);
}

static void
rebase_profile(struct loader *l, struct nsp_doc_profile_use *use)
{
    if (use->name && nsp_profile_is_file(use->name))
        use->name = path_from_first(l, &use->at, use->name);
}

static void
rebase_paths(struct loader *l, const struct nsp_policy_doc *doc)
{
    struct nsp_doc_rule *rules = doc->rules.items;
    struct nsp_doc_set *sets = doc->sets.items;
    struct nsp_doc_impairment *impairments = doc->impairments.items;
    struct nsp_doc_class *classes = doc->classes.items;

    for (uint32_t i = 0; i < doc->rules.count; i++) {
        rules[i].capture = path_from_first(l, &rules[i].at, rules[i].capture);
        rebase_profile(l, &rules[i].profile);
        rebase_rate(l, &rules[i].link.rate);
        rebase_rate(l, &rules[i].inbound.link.rate);
        rebase_rate(l, &rules[i].outbound.link.rate);
        rebase_effects(l, &rules[i].effects);
        rebase_effects(l, &rules[i].inbound.effects);
        rebase_effects(l, &rules[i].outbound.effects);
    }
    for (uint32_t i = 0; i < doc->classes.count; i++)
        rebase_rate(l, &classes[i].link.rate);
    for (uint32_t i = 0; i < doc->sets.count; i++)
        sets[i].file = path_from_first(l, &sets[i].at, sets[i].file);
    for (uint32_t i = 0; i < doc->impairments.count; i++) {
        rebase_profile(l, &impairments[i].profile);
        rebase_effects(l, &impairments[i].effects);
    }
}

/* --- Life ---------------------------------------------------------------- */

static bool
has_failed(const struct nsp_policy_builder *b)
{
    return b->keys.failed || b->keys.store->failed ||
           b->keys.complaints->failed || b->keys.complaints->errors > 0;
}

static int
load(struct loader *l, const char *path)
{
    struct nsp_policy_builder *b = &l->builder;
    const char *first = nsp_store_text(b->keys.store, path, strlen(path));
    struct nsp_policy_doc *doc = NULL;

    if (first) {
        load_part(l, first, 0, NULL);
        doc = merge(l);
    }
    if (doc) {
        b->doc = doc;
        nsp_policy_build(b);
        if (l->places && !has_failed(b))
            nsp_policy_check_places(b);
        if (!has_failed(b) && !b->keys.complaints->errors_only)
            nsp_policy_warn(b);
        rebase_paths(l, doc);
    }
    nsp_complaints_sort(b->keys.complaints);
    if (b->keys.failed || b->keys.store->failed || b->keys.complaints->failed)
        return NSP_NO_MEMORY;
    return b->keys.complaints->errors > 0 ? NSP_INVALID_PARAMETER : NSP_OK;
}

static void
release_texts(struct loader *l)
{
    nsp_policy_release_profiles(&l->builder);
    for (unsigned i = 0; i < l->count; i++) {
        free((void *)(uintptr_t)l->parts[i].source.text);
        l->parts[i].source.text = NULL;
    }
}

static int
read_nothing(void *context, const char *path, char **ret_text,
             size_t *ret_bytes)
{
    (void)context;
    (void)path;
    (void)ret_text;
    (void)ret_bytes;
    return EBUSY;
}

static const struct nsp_file_reader no_files = { .read = read_nothing };

const struct nsp_file_reader *
nsp_file_reader_or_default(const struct nsp_file_reader *reader)
{
    static const struct nsp_file_reader file_system = { .read = read_file };

    return reader && reader->read ? reader : &file_system;
}

int
nsp_policy_file_load(const char *path, const struct nsp_file_reader *reader,
                     struct nsp_policy_file **ret,
                     struct nsp_complaints *complaints)
{
    struct nsp_policy_file *file = calloc(1, sizeof *file);
    struct loader *loader;
    int result;

    if (!file)
        return NSP_NO_MEMORY;
    /* Lives as long as what points to its sources. */
    loader = nsp_store_alloc(&file->store, sizeof *loader);
    if (!loader) {
        nsp_policy_file_destroy(file);
        return NSP_NO_MEMORY;
    }
    loader->builder.file = file;
    file->builder = &loader->builder;
    loader->builder.files = nsp_file_reader_or_default(reader);
    loader->places = reader && reader->places;
    if (reader)
        file->filter_options.interfaces = reader->interfaces;
    loader->builder.keys.store = &file->store;
    loader->builder.kept = &file->store;
    loader->builder.keys.complaints = complaints;
    result = load(loader, path);
    release_texts(loader);
    /* What it has not read by now, it does not need. */
    loader->builder.files = &no_files;
    if (result != NSP_OK) {
        nsp_policy_file_destroy(file);
        return result;
    }
    *ret = file;
    return NSP_OK;
}

struct nsp_policy_file *
nsp_policy_file_destroy(struct nsp_policy_file *file)
{
    if (!file)
        return NULL;
    for (uint32_t i = 0; i < file->spec.rule_count; i++)
        nsp_filter_destroy(file->filters[i]);
    for (uint32_t i = 0; i < file->filter_options.set_count; i++)
        nsp_filter_set_unref(file->filter_options.sets[i]);
    nsp_store_fini(&file->elapsed_store);
    nsp_store_fini(&file->store);
    free(file);
    return NULL;
}

bool
nsp_policy_file_set_time(struct nsp_policy_file *file,
                         const struct nsp_local_time *now, uint32_t *ret_next_s)
{
    uint32_t next = NSP_SCHEDULE_NEVER;
    bool changed = false;

    for (uint32_t i = 0; i < file->spec.rule_count; i++) {
        const struct nsp_policy_note *note = &file->notes[i];
        uint32_t in;
        bool on = nsp_schedule_is_on(&note->when, now, &in);
        bool disabled = !note->enabled || !on;

        if (note->enabled && in < next)
            next = in;
        changed |= file->rules[i].disabled != disabled;
        file->rules[i].disabled = disabled;
    }
    *ret_next_s = next;
    return changed;
}

int
nsp_policy_file_print(const struct nsp_policy_file *file, FILE *to)
{
    nsp_keys_write(to, &nsp_policy_map, file->doc, 0);
    return ferror(to) ? -EIO : 0;
}
