#include "config/keys.h"

#include <stdarg.h>
#include <string.h>

#include "config/nearest.h"
#include "config/values.h"
#include "netshaper/policy.h"

/* --- Complaints ----------------------------------------------------------- */

static struct nsp_complaint *
complain(struct nsp_key_reader *r, const struct nsp_text_source *source,
         size_t place, const char *category, const char *hint,
         const char *format, va_list args)
{
    struct nsp_complaint *c =
        nsp_complaints_add(r->complaints, false, source, place);

    if (!c)
        return NULL;
    snprintf(c->diag.category, sizeof c->diag.category, "%s", category);
    snprintf(c->diag.hint, sizeof c->diag.hint, "%s", hint ? hint : "");
    vsnprintf(c->diag.text, sizeof c->diag.text, format, args);
    return c;
}

struct nsp_complaint *
nsp_keys_complain(struct nsp_key_reader *r, const struct nsp_yaml_node *node,
                  size_t offset, const char *category, const char *hint,
                  const char *format, ...)
{
    size_t place = node->kind == NSP_YAML_SCALAR && offset > 0
                       ? nsp_yaml_locate(r->source, node, offset)
                       : node->offset;
    struct nsp_complaint *c;
    va_list args;

    va_start(args, format);
    c = complain(r, r->source, place, category, hint, format, args);
    va_end(args);
    return c;
}

struct nsp_complaint *
nsp_keys_complain_at(struct nsp_key_reader *r, const struct nsp_object *object,
                     const char *key, const char *category, const char *hint,
                     const char *format, ...)
{
    const struct nsp_yaml_node *node =
        key ? nsp_yaml_find(object->node, key) : NULL;
    struct nsp_complaint *c;
    va_list args;

    if (!node)
        node = object->name_node ? object->name_node : object->node;
    va_start(args, format);
    c = complain(r, object->source, node ? node->offset : 0, category, hint,
                 format, args);
    va_end(args);
    return c;
}

static const char *
kind_name(const struct nsp_yaml_node *node)
{
    return node->is_null                 ? "nothing"
           : node->kind == NSP_YAML_MAP  ? "a mapping"
           : node->kind == NSP_YAML_LIST ? "a list"
                                         : "one value";
}

static void
complain_kind(struct nsp_key_reader *r, const struct nsp_key *key,
              const char *name, const struct nsp_yaml_node *node,
              const char *expected)
{
    nsp_keys_complain(r, node, 0, "bad-kind",
                      node->is_null ? "leave the key out, or write a value"
                      : key->type   ? key->type->syntax
                                    : NULL,
                      "'%s' is %s, not %s", name, expected, kind_name(node));
}

/* The key that is meant by 'name', which is none; NULL where none is like it.
 */
static const char *
key_meant(const struct nsp_map *map, const char *name)
{
    struct nsp_nearest nearest;

    for (const struct nsp_alias *a = map->misnomers; a && a->name; a++)
        if (strcmp(a->name, name) == 0)
            return a->key;
    nsp_nearest_init(&nearest, name);
    for (const struct nsp_key *key = map->keys; key->name; key++)
        nsp_nearest_try(&nearest, key->name);
    return nearest.best;
}

/* Returns whether the key is known and refused. */
static bool
complain_key(struct nsp_key_reader *r, const struct nsp_map *map,
             const struct nsp_yaml_node *node)
{
    const struct nsp_reserved_key *reserved = map->reserved;
    const struct nsp_reserved_key *outer = map->outer;
    char hint[128] = "see nsp-policy(5) for the keys";
    const char *meant;

    for (; reserved && reserved->name; reserved++) {
        if (strcmp(reserved->name, node->text) == 0) {
            nsp_keys_complain(r, node, 0, "not-yet", reserved->why,
                              "'%s' is not possible in this version",
                              node->text);
            return true;
        }
    }
    meant = key_meant(map, node->text);
    if (meant)
        snprintf(hint, sizeof hint, "did you mean %s?", meant);
    for (; outer && outer->name; outer++)
        if (strcmp(outer->name, node->text) == 0)
            snprintf(hint, sizeof hint, "%s", outer->why);
    nsp_keys_complain(r, node, 0, "unknown-key", hint, "%s has no key '%.64s'",
                      map->name, node->text);
    return false;
}

/* --- Tables --------------------------------------------------------------- */

const struct nsp_key *
nsp_keys_find(const struct nsp_map *map, const char *name)
{
    for (const struct nsp_key *key = map->keys; key->name; key++)
        if (strcmp(key->name, name) == 0)
            return key;
    return NULL;
}

const struct nsp_key *
nsp_keys_find_alias(const struct nsp_map *map, const char *name)
{
    for (const struct nsp_alias *a = map->aliases; a && a->name; a++)
        if (strcmp(a->name, name) == 0)
            return nsp_keys_find(map, a->key);
    return NULL;
}

size_t
nsp_keys_bytes(const struct nsp_key *key)
{
    return key->shape != NSP_KEY_ONE ? sizeof(struct nsp_list)
           : key->map                ? key->map->bytes
                                     : key->type->bytes;
}

bool
nsp_keys_given(const struct nsp_map *map, const struct nsp_object *object,
               const char *name)
{
    const struct nsp_key *key = nsp_keys_find(map, name);

    return key && (object->given >> (key - map->keys) & 1) != 0;
}

static void *
member_of(void *object, const struct nsp_key *key)
{
    return (char *)object + key->offset;
}

/* --- Values --------------------------------------------------------------- */

static bool
read_map(struct nsp_key_reader *r, const struct nsp_key *key,
         const struct nsp_yaml_node *node, void *ret)
{
    struct nsp_key first = key->map->keys[0];
    struct nsp_object *object = ret;

    if (node->kind == NSP_YAML_MAP) {
        nsp_keys_read(r, key->map, node, ret);
        return true;
    }
    nsp_keys_set_fallbacks(r, key->map, ret);
    object->source = r->source;
    if (node->kind != NSP_YAML_SCALAR || node->is_null || !key->type) {
        complain_kind(r, key, key->name, node,
                      key->type                    ? key->type->name
                      : key->shape == NSP_KEY_LIST ? "a list of mappings"
                                                   : "a mapping");
        return false;
    }
    object->node = node;
    object->given = 1;
    /* Complaints are of what was written. */
    first.name = key->name;
    return key->type->read(r, &first, node, member_of(ret, &first));
}

static bool
read_one(struct nsp_key_reader *r, const struct nsp_key *key,
         const struct nsp_yaml_node *node, void *ret)
{
    if (key->map)
        return read_map(r, key, node, ret);
    if (node->kind != NSP_YAML_SCALAR || node->is_null) {
        complain_kind(r, key, key->name, node, key->type->name);
        return false;
    }
    return key->type->read(r, key, node, ret);
}

static size_t
item_bytes(const struct nsp_key *key)
{
    return key->map ? key->map->bytes : key->type->bytes;
}

/* Room for 'count' items of 'node', which 'what' names. Complains if there are
 * too many. */
static bool
make_room(struct nsp_key_reader *r, const struct nsp_key *key,
          const struct nsp_yaml_node *node, uint32_t count, const char *what,
          struct nsp_list *ret)
{
    if (count > key->most) {
        nsp_keys_complain(r, node, 0, "too-many", NULL,
                          "'%s' has %u %s, more than %u", key->name, count,
                          what, key->most);
        return false;
    }
    ret->items = nsp_store_alloc(r->store, item_bytes(key) * count);
    if (!ret->items)
        r->failed = true;
    return ret->items != NULL;
}

static bool
read_list(struct nsp_key_reader *r, const struct nsp_key *key,
          const struct nsp_yaml_node *node, struct nsp_list *ret)
{
    size_t bytes = item_bytes(key);
    bool alone = node->kind == NSP_YAML_SCALAR && key->type && !node->is_null;
    const struct nsp_yaml_node *item = alone ? node : node->first;
    uint32_t count = alone ? 1 : node->count;
    bool good = true;

    if (node->is_null)
        return true;
    if (!alone && node->kind != NSP_YAML_LIST) {
        complain_kind(r, key, key->name, node, "a list");
        return false;
    }
    if (!make_room(r, key, node, count, "items", ret))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        void *place = (char *)ret->items + i * bytes;

        good &= read_one(r, key, item, place);
        item = alone ? NULL : item->next;
    }
    /* Mappings can be looked at all the same. */
    ret->count = good || key->map ? count : 0;
    return good;
}

static void
set_name(struct nsp_object *object, const struct nsp_key_reader *r,
         const struct nsp_yaml_node *name)
{
    object->source = r->source;
    object->name = name->text;
    object->name_node = name;
}

static bool
read_named(struct nsp_key_reader *r, const struct nsp_key *key,
           const struct nsp_yaml_node *node, struct nsp_list *ret)
{
    const struct nsp_yaml_node *name = node->first;
    size_t bytes = item_bytes(key);
    uint32_t count = node->count / 2;

    if (node->is_null)
        return true;
    if (node->kind != NSP_YAML_MAP) {
        complain_kind(r, key, key->name, node, "a mapping from names");
        return false;
    }
    if (!make_room(r, key, node, count, "names", ret))
        return false;
    for (uint32_t i = 0; i < count; i++, name = name->next->next) {
        char *place = (char *)ret->items + i * bytes;

        /* What is wrong is told; names are looked up all the same. */
        nsp_value_check_name(r, key, name);
        if (name->next->is_null || name->next->kind != NSP_YAML_MAP)
            complain_kind(r, key, name->text, name->next, "a mapping");
        else
            nsp_keys_read(r, key->map, name->next, place);
        set_name((struct nsp_object *)(void *)place, r, name);
    }
    ret->count = count;
    return true;
}

static bool
read_value(struct nsp_key_reader *r, const struct nsp_key *key,
           const struct nsp_yaml_node *node, void *ret)
{
    switch (key->shape) {
    case NSP_KEY_LIST:
        return read_list(r, key, node, ret);
    case NSP_KEY_NAMED:
        return read_named(r, key, node, ret);
    default:
        return read_one(r, key, node, ret);
    }
}

void
nsp_keys_set_fallbacks(struct nsp_key_reader *r, const struct nsp_map *map,
                       void *ret)
{
    for (const struct nsp_key *key = map->keys; key->name; key++) {
        const struct nsp_yaml_node node = { .text = key->fallback };

        if (key->fallback)
            key->type->read(r, key, &node, member_of(ret, key));
        else if (key->shape == NSP_KEY_ONE && key->map)
            nsp_keys_set_fallbacks(r, key->map, member_of(ret, key));
    }
}

static void
check_missing(struct nsp_key_reader *r, const struct nsp_map *map,
              const struct nsp_yaml_node *node)
{
    for (const struct nsp_key *key = map->keys; key->name; key++) {
        if (!key->is_needed || nsp_yaml_find(node, key->name))
            continue;
        nsp_keys_complain(r, node, 0, "missing-key", key->otherwise,
                          "%s needs '%s'", map->name, key->name);
    }
}

/* Gives keys under another name their own: whoever looks for them then finds
 * them. */
static void
resolve_aliases(struct nsp_key_reader *r, const struct nsp_map *map,
                const struct nsp_yaml_node *node)
{
    if (!map->aliases)
        return;
    for (const struct nsp_yaml_node *n = node->first; n && n->next;
         n = n->next->next) {
        const struct nsp_key *key = nsp_keys_find_alias(map, n->text);

        if (!key)
            continue;
        if (nsp_yaml_find(node, key->name))
            nsp_keys_complain(r, n, 0, "bad-value", "leave one of them out",
                              "'%s' is '%s', which is here as well", n->text,
                              key->name);
        nsp_yaml_rename(n, key->name);
    }
}

void
nsp_keys_read(struct nsp_key_reader *r, const struct nsp_map *map,
              const struct nsp_yaml_node *node, void *ret)
{
    struct nsp_object *object = ret;
    bool refused = false;

    nsp_keys_set_fallbacks(r, map, ret);
    object->node = node;
    object->source = r->source;
    if (node->kind != NSP_YAML_MAP) {
        nsp_keys_complain(
            r, node, 0, "bad-kind", "write 'key: value' in each line",
            "%s is a mapping, not %s", map->name, kind_name(node));
        return;
    }
    resolve_aliases(r, map, node);
    for (const struct nsp_yaml_node *n = node->first; n && n->next;
         n = n->next->next) {
        const struct nsp_key *key = nsp_keys_find(map, n->text);

        if (!key)
            refused |= complain_key(r, map, n);
        else if (read_value(r, key, n->next, member_of(ret, key)))
            object->given |= UINT64_C(1) << (key - map->keys);
    }
    if (!refused)
        check_missing(r, map, node);
}
