/* The values of options become the nodes that YAML would have given. */
#include "config/effect_options.h"

#include <stdlib.h>
#include <string.h>

#include "config/policy_build.h"

/* The values, one in each line, which is how complaints find theirs. */
struct reading {
    struct nsp_policy_builder builder;
    struct nsp_text_source source;
    const struct nsp_effect_text *texts;
    uint32_t count;
    struct nsp_policy_doc doc;
    struct nsp_doc_rule rule;
    uint64_t hooks;
};

/* --- Nodes ---------------------------------------------------------------- */

static struct nsp_yaml_node *
new_node(struct reading *r, uint8_t kind, size_t begin, size_t end)
{
    struct nsp_yaml_node *node =
        nsp_store_alloc(r->builder.keys.store, sizeof *node);

    if (!node)
        return NULL;
    node->kind = kind;
    node->offset = (uint32_t)begin;
    node->end = (uint32_t)end;
    node->nodes = 1;
    if (kind != NSP_YAML_SCALAR)
        return node;
    node->is_null = begin == end;
    node->text = nsp_store_text(r->builder.keys.store, r->source.text + begin,
                                end - begin);
    return node->text ? node : NULL;
}

/* Adds 'node' as the last of 'parent'; either may be NULL, for lack of memory.
 */
static void
add(struct nsp_yaml_node *parent, struct nsp_yaml_node *node)
{
    struct nsp_yaml_node **link;

    if (!parent || !node)
        return;
    for (link = &parent->first; *link; link = &(*link)->next)
        continue;
    *link = node;
    parent->count++;
    parent->nodes += node->nodes;
}

/* Adds a key that is not in the text, with its value. */
static void
add_named(struct reading *r, struct nsp_yaml_node *map, const char *key,
          struct nsp_yaml_node *value)
{
    struct nsp_yaml_node *name =
        value ? new_node(r, NSP_YAML_SCALAR, value->offset, value->offset)
              : NULL;

    if (!name)
        return;
    name->is_null = false;
    name->text = key;
    add(map, name);
    add(map, value);
}

/* An item of a list: a value or, of a mapping, those of its keys in their
 * order, between ':'. */
static struct nsp_yaml_node *
read_item(struct reading *r, const struct nsp_key *list, size_t begin,
          size_t end)
{
    const struct nsp_key *key;
    struct nsp_yaml_node *map;

    if (!list->map)
        return new_node(r, NSP_YAML_SCALAR, begin, end);
    map = new_node(r, NSP_YAML_MAP, begin, end);
    key = list->map->keys;
    for (size_t at = begin, next; at <= end; at = next + 1) {
        for (next = at; next < end && r->source.text[next] != ':'; next++)
            continue;
        if (!key->name) {
            nsp_keys_complain(&r->builder.keys,
                              new_node(r, NSP_YAML_SCALAR, at, next), 0,
                              "bad-value", "leave it out",
                              "%s has no more values", list->map->name);
            break;
        }
        add_named(r, map, key->name, new_node(r, NSP_YAML_SCALAR, at, next));
        key++;
    }
    return map;
}

/* A value, or between '/' several of them. */
static struct nsp_yaml_node *
read_value(struct reading *r, const struct nsp_key *key, size_t begin,
           size_t end)
{
    struct nsp_yaml_node *list;

    if (!key || key->shape != NSP_KEY_LIST)
        return new_node(r, NSP_YAML_SCALAR, begin, end);
    list = new_node(r, NSP_YAML_LIST, begin, end);
    for (size_t at = begin, next; at <= end; at = next + 1) {
        for (next = at; next < end && r->source.text[next] != '/'; next++)
            continue;
        add(list, read_item(r, key, at, next));
    }
    return list;
}

/* --- Values ----------------------------------------------------------------
 */

/* How many bytes of a word such as those of keys stand at 'begin'. */
static size_t
word_bytes(const struct reading *r, size_t begin, size_t end)
{
    size_t n = 0;

    while (begin + n < end && strchr("abcdefghijklmnopqrstuvwxyz0123456789-",
                                     r->source.text[begin + n]) != NULL)
        n++;
    return n;
}

static bool
is_word_before(const struct reading *r, size_t begin, size_t end, char mark)
{
    size_t bytes = word_bytes(r, begin, end);

    return bytes > 0 && begin + bytes < end &&
           r->source.text[begin + bytes] == mark;
}

static const char *
first_of(const struct nsp_map *map, const char *word)
{
    const struct nsp_key *choice = nsp_keys_find(map, map->choice);

    for (const struct nsp_word *w = choice->words; w->name; w++)
        if (strcmp(w->name, word) == 0)
            return map->firsts[w->value];
    return NULL;
}

/* Reads 'WORD:VALUE' to the two keys that it stands for. A word that is none is
 * complained of as the value that it is. */
static void
read_choice(struct reading *r, const struct nsp_map *map,
            struct nsp_yaml_node *to, size_t begin, size_t end)
{
    size_t colon = begin + word_bytes(r, begin, end);
    struct nsp_yaml_node *word = new_node(r, NSP_YAML_SCALAR, begin, colon);
    const char *first = word ? first_of(map, word->text) : NULL;

    add_named(r, to, map->choice, word);
    if (first)
        add_named(r, to, first,
                  read_value(r, nsp_keys_find(map, first), colon + 1, end));
}

static bool
has_key(const struct nsp_yaml_node *map, const char *key)
{
    return nsp_yaml_find(map, key) != NULL;
}

/* Reads 'KEY=VALUE'. */
static void
read_pair(struct reading *r, const struct nsp_map *map,
          struct nsp_yaml_node *to, size_t begin, size_t end)
{
    size_t equals = begin + word_bytes(r, begin, end);
    struct nsp_yaml_node *key = new_node(r, NSP_YAML_SCALAR, begin, equals);

    if (!key || !to)
        return;
    if (has_key(to, key->text)) {
        nsp_keys_complain(&r->builder.keys, key, 0, "bad-value",
                          "leave one of them out", "'%.64s' is here twice",
                          key->text);
        return;
    }
    add(to, key);
    add(to, read_value(r, nsp_keys_find(map, key->text), equals + 1, end));
}

static struct nsp_yaml_node *
read_map(struct reading *r, const struct nsp_key *key, size_t begin, size_t end)
{
    struct nsp_yaml_node *map = new_node(r, NSP_YAML_MAP, begin, end);
    const struct nsp_key *first = key->map->keys;

    for (size_t at = begin, next; map && at <= end; at = next + 1) {
        for (next = at; next < end && r->source.text[next] != ','; next++)
            continue;
        if (is_word_before(r, at, next, '='))
            read_pair(r, key->map, map, at, next);
        else if (at > begin)
            nsp_keys_complain(&r->builder.keys,
                              new_node(r, NSP_YAML_SCALAR, at, next), 0,
                              "bad-value", "write KEY=VALUE after a comma",
                              "a value without its key");
        else if (key->map->choice && is_word_before(r, at, next, ':'))
            read_choice(r, key->map, map, at, next);
        else
            add_named(r, map, first->name, read_value(r, first, at, next));
    }
    return map;
}

static struct nsp_yaml_node *
read_text(struct reading *r, const struct nsp_key *key, size_t begin,
          size_t end)
{
    bool alone = memchr(r->source.text + begin, ',', end - begin) == NULL &&
                 !is_word_before(r, begin, end, '=') &&
                 !is_word_before(r, begin, end, ':');

    if (!key->map || (key->type && alone))
        return read_value(r, key, begin, end);
    return read_map(r, key, begin, end);
}

/* --- The rule ----------------------------------------------------------------
 */

static void
complain_twice(struct reading *r, const char *key, size_t at)
{
    const struct nsp_yaml_node node = { .offset = (uint32_t)at };

    nsp_keys_complain(&r->builder.keys, &node, 0, "bad-value",
                      "leave one of them out", "'%s' is here twice", key);
}

/* The mapping of all options, with those of one direction in mappings of their
 * own. */
static struct nsp_yaml_node *
read_texts(struct reading *r)
{
    struct nsp_yaml_node *root = new_node(r, NSP_YAML_MAP, 0, 0);
    struct nsp_yaml_node *ways[3] = { root, NULL, NULL };
    static const char *const names[3] = { "", "inbound", "outbound" };
    size_t begin = 0;

    for (uint32_t i = 0; root && i < r->count; i++) {
        const struct nsp_effect_text *text = &r->texts[i];
        const struct nsp_key *key = nsp_keys_find(&nsp_rule_map, text->key);
        size_t end = begin + strlen(text->value);

        if (!ways[text->apply]) {
            ways[text->apply] = new_node(r, NSP_YAML_MAP, begin, end);
            add_named(r, root, names[text->apply], ways[text->apply]);
        }
        if (has_key(ways[text->apply], key->name))
            complain_twice(r, key->name, begin);
        else
            add_named(r, ways[text->apply], key->name,
                      read_text(r, key, begin, end));
        begin = end + 1;
    }
    return root;
}

static char *
join_texts(const struct nsp_effect_text *texts, uint32_t count,
           size_t *ret_bytes)
{
    size_t bytes = 0;
    char *text, *at;

    for (uint32_t i = 0; i < count; i++)
        bytes += strlen(texts[i].value) + 1;
    text = malloc(bytes + 1);
    if (!text)
        return NULL;
    at = text;
    for (uint32_t i = 0; i < count; i++) {
        size_t length = strlen(texts[i].value);

        memcpy(at, texts[i].value, length);
        at[length] = '\n';
        at += length + 1;
    }
    *at = '\0';
    *ret_bytes = bytes;
    return text;
}

static void
build(struct reading *r, const struct nsp_effect_rule *rule)
{
    struct nsp_policy_builder *b = &r->builder;
    const struct nsp_yaml_node *root = read_texts(r);

    if (!root)
        return;
    b->keys.source = &r->source;
    nsp_keys_read(&b->keys, &nsp_rule_map, root, &r->rule);
    nsp_keys_set_fallbacks(&b->keys, &nsp_policy_map, &r->doc);
    r->rule.name = rule->name;
    r->rule.direction = rule->direction;
    r->hooks = rule->hooks;
    r->doc.at.node = root;
    r->doc.at.source = &r->source;
    r->doc.rules = (struct nsp_list){ &r->rule, 1 };
    if (rule->hooks != 0)
        r->doc.intercept.on = (struct nsp_list){ &r->hooks, 1 };
    b->doc = &r->doc;
    nsp_policy_build(b);
    nsp_policy_release_profiles(b);
}

static int
load(struct reading *r, const struct nsp_effect_rule *rule,
     struct nsp_complaints *complaints)
{
    struct nsp_policy_builder *b = &r->builder;
    char *text = join_texts(r->texts, r->count, &r->source.bytes);

    if (!text)
        return NSP_NO_MEMORY;
    r->source.name = "";
    r->source.text = text;
    b->keys.source = &r->source;
    b->keys.complaints = complaints;
    build(r, rule);
    nsp_complaints_sort(complaints);
    free(text);
    r->source.text = NULL;
    if (b->keys.failed || b->keys.store->failed || complaints->failed)
        return NSP_NO_MEMORY;
    return complaints->errors > 0 ? NSP_INVALID_PARAMETER : NSP_OK;
}

int
nsp_effect_options_load(const struct nsp_effect_text *texts, uint32_t count,
                        const struct nsp_effect_rule *rule,
                        const struct nsp_file_reader *reader,
                        struct nsp_policy_file **ret,
                        struct nsp_complaints *complaints)
{
    struct nsp_policy_file *file = calloc(1, sizeof *file);
    struct reading *r;
    int result;

    if (!file)
        return NSP_NO_MEMORY;
    /* Lives as long as what points to it. */
    r = nsp_store_alloc(&file->store, sizeof *r);
    if (!r) {
        nsp_policy_file_destroy(file);
        return NSP_NO_MEMORY;
    }
    r->builder.file = file;
    r->builder.files = nsp_file_reader_or_default(reader);
    r->builder.keys.store = &file->store;
    r->builder.kept = &file->store;
    r->texts = texts;
    r->count = count;
    result = load(r, rule, complaints);
    if (result == NSP_OK)
        *ret = file;
    else
        nsp_policy_file_destroy(file);
    return result;
}

bool
nsp_effect_option_get(uint32_t index, struct nsp_effect_option *ret)
{
    for (const struct nsp_key *key = nsp_rule_map.keys; key->name; key++) {
        if (!key->argument || index-- > 0)
            continue;
        *ret = (struct nsp_effect_option){
            .name = key->name,
            .key = key->name,
            .argument = key->argument,
            .doc = key->doc,
            .of_way = nsp_keys_find(&nsp_way_map, key->name) != NULL,
        };
        return true;
    }
    for (const struct nsp_alias *a = nsp_rule_map.aliases; a->name; a++) {
        const struct nsp_key *key = nsp_keys_find(&nsp_rule_map, a->key);

        if (index-- > 0)
            continue;
        *ret = (struct nsp_effect_option){
            .name = a->name,
            .key = key->name,
            .argument = key->argument,
            .of_way = nsp_keys_find(&nsp_way_map, key->name) != NULL,
        };
        return true;
    }
    return false;
}
