#include "config/yaml.h"

#include <libfyaml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct anchor {
    struct anchor *next;
    const char *name;
    struct nsp_yaml_node *node;
};

/* A collection being read. */
struct level {
    struct nsp_yaml_node *node;
    struct nsp_yaml_node *last;
};

struct reading {
    const struct nsp_text_source *source;
    struct nsp_store *store;
    struct nsp_complaints *complaints;
    struct level levels[NSP_YAML_DEPTH_MAX];
    unsigned depth;
    struct anchor *anchors;
    struct nsp_yaml_node *root;
    uint32_t nodes;
    unsigned documents;
};

/* --- Errors -------------------------------------------------------------- */

static int
refuse(struct reading *r, size_t offset, const char *hint, const char *text)
{
    struct nsp_complaint *c =
        nsp_complaints_add(r->complaints, false, r->source, offset);

    if (c) {
        snprintf(c->diag.category, sizeof c->diag.category, "bad-yaml");
        snprintf(c->diag.text, sizeof c->diag.text, "%s", text);
        snprintf(c->diag.hint, sizeof c->diag.hint, "%s", hint);
    }
    return NSP_INVALID_PARAMETER;
}

static int
refuse_twice(struct reading *r, const struct nsp_yaml_node *key)
{
    char text[128];

    snprintf(text, sizeof text, "'%.64s' is here twice", key->text);
    return refuse(r, key->offset, "a key stands once in a mapping", text);
}

/* --- Text ---------------------------------------------------------------- */

/* Bytes of the UTF-8 character at 'text', 0 where there is none: after the
 * table of Unicode 15, 3.9, D92. */
static size_t
utf8_bytes(const unsigned char *text, size_t left)
{
    unsigned char first = text[0], low = 0x80, high = 0xbf;
    size_t bytes = first < 0x80    ? 1
                   : first < 0xc2  ? 0
                   : first < 0xe0  ? 2
                   : first < 0xf0  ? 3
                   : first <= 0xf4 ? 4
                                   : 0;

    if (bytes > left)
        return 0;
    if (first == 0xe0)
        low = 0xa0;
    if (first == 0xf0)
        low = 0x90;
    if (first == 0xed)
        high = 0x9f;
    if (first == 0xf4)
        high = 0x8f;
    for (size_t i = 1; i < bytes; i++) {
        if (text[i] < low || text[i] > high)
            return 0;
        low = 0x80;
        high = 0xbf;
    }
    return bytes;
}

static int
check_text(struct reading *r)
{
    const unsigned char *text = (const unsigned char *)r->source->text;

    if (r->source->bytes > NSP_YAML_BYTES_MAX)
        return refuse(r, 0, "split it, with 'include'",
                      "the file is longer than 16 MiB");
    for (size_t at = 0; at < r->source->bytes;) {
        size_t bytes = utf8_bytes(text + at, r->source->bytes - at);

        if (bytes == 0)
            return refuse(r, at, "save the file as UTF-8",
                          "a byte that is not UTF-8");
        if (text[at] == '\0')
            return refuse(r, at, "is this a text file?", "a zero byte");
        at += bytes;
    }
    return NSP_OK;
}

/* --- Nodes --------------------------------------------------------------- */

static struct nsp_yaml_node *
make_node(struct reading *r, const struct fy_mark *start,
          const struct fy_mark *end)
{
    struct nsp_yaml_node *node = nsp_store_alloc(r->store, sizeof *node);
    const struct level *level = r->depth > 0 ? &r->levels[r->depth - 1] : NULL;
    size_t last = !level        ? 0
                  : level->last ? level->last->end
                                : level->node->offset;

    if (!node)
        return NULL;
    /* A value that is not there has no place: it is missing after its key. */
    node->offset = (uint32_t)(start ? start->input_pos : last);
    node->end = end ? (uint32_t)end->input_pos : node->offset;
    node->nodes = 1;
    return node;
}

/* Puts 'node' into the innermost collection. */
static int
add_node(struct reading *r, struct nsp_yaml_node *node)
{
    struct level *level = r->depth > 0 ? &r->levels[r->depth - 1] : NULL;

    if (!level) {
        r->root = node;
        return NSP_OK;
    }
    if (level->node->kind == NSP_YAML_MAP && level->node->count % 2 == 0 &&
        node->kind != NSP_YAML_SCALAR)
        return refuse(r, node->offset, "a key is one word",
                      "a key that is a list or a mapping");
    if (level->last)
        level->last->next = node;
    else
        level->node->first = node;
    level->last = node;
    level->node->count++;
    return NSP_OK;
}

/* Counts a node that is complete in all that it is part of. */
static int
count_node(struct reading *r, const struct nsp_yaml_node *node)
{
    for (unsigned i = 0; i < r->depth; i++) {
        struct nsp_yaml_node *above = r->levels[i].node;
        unsigned depth = r->depth - i + node->depth;

        above->nodes += node->nodes;
        if (depth > above->depth)
            above->depth = (uint8_t)depth;
    }
    r->nodes += node->nodes;
    if (r->nodes > NSP_YAML_NODES_MAX)
        return refuse(r, node->offset, "aliases count as what they stand for",
                      "the file has more than a million values");
    if (r->depth + node->depth > NSP_YAML_DEPTH_MAX)
        return refuse(r, node->offset, "a policy needs five levels",
                      "nested more than 16 levels deep");
    return NSP_OK;
}

static int
keep_anchor(struct reading *r, struct fy_event *event,
            struct nsp_yaml_node *node)
{
    struct fy_token *token = fy_event_get_anchor_token(event);
    struct anchor *anchor;
    size_t bytes;
    const char *name;

    if (fy_event_get_tag_token(event))
        return refuse(r, node->offset, "leave the '!...' out",
                      "tags have no meaning here");
    if (!token)
        return NSP_OK;
    name = fy_token_get_text(token, &bytes);
    anchor = nsp_store_alloc(r->store, sizeof *anchor);
    if (!name || !anchor)
        return NSP_NO_MEMORY;
    anchor->name = nsp_store_text(r->store, name, bytes);
    anchor->node = node;
    anchor->next = r->anchors; /* A later one of that name hides it. */
    r->anchors = anchor;
    return anchor->name ? NSP_OK : NSP_NO_MEMORY;
}

static int
read_alias(struct reading *r, struct fy_event *event)
{
    struct nsp_yaml_node *node =
        make_node(r, fy_event_start_mark(event), fy_event_end_mark(event));
    const struct anchor *anchor = r->anchors;
    size_t bytes, offset;
    const char *name = fy_token_get_text(event->alias.anchor, &bytes);
    int result;

    if (!node || !name)
        return NSP_NO_MEMORY;
    offset = node->offset;
    if (offset > 0 && r->source->text[offset - 1] == '*')
        offset--;
    while (anchor && (strlen(anchor->name) != bytes ||
                      memcmp(anchor->name, name, bytes) != 0))
        anchor = anchor->next;
    if (!anchor)
        return refuse(r, offset, "write &name before the value, earlier",
                      "an alias without its anchor");
    if (anchor->node->is_open)
        return refuse(r, offset, "an alias stands after what it repeats",
                      "an alias inside of what it stands for");
    /* What is below is shared. */
    *node = *anchor->node;
    node->next = NULL;
    result = add_node(r, node);
    return result == NSP_OK ? count_node(r, node) : result;
}

static bool
is_null(const struct nsp_yaml_node *node)
{
    return node->style == NSP_YAML_PLAIN &&
           (node->text[0] == '\0' || strcmp(node->text, "~") == 0 ||
            strcmp(node->text, "null") == 0);
}

static int
read_scalar(struct reading *r, struct fy_event *event)
{
    static const uint8_t styles[FYSS_MAX] = {
        [FYSS_PLAIN] = NSP_YAML_PLAIN,
        [FYSS_SINGLE_QUOTED] = NSP_YAML_SINGLE_QUOTED,
        [FYSS_DOUBLE_QUOTED] = NSP_YAML_DOUBLE_QUOTED,
        [FYSS_LITERAL] = NSP_YAML_BLOCK,
        [FYSS_FOLDED] = NSP_YAML_BLOCK,
    };
    struct nsp_yaml_node *node =
        make_node(r, fy_event_start_mark(event), fy_event_end_mark(event));
    struct fy_token *token = fy_event_get_token(event);
    size_t bytes = 0;
    const char *text = token ? fy_token_get_text(token, &bytes) : "";
    int style = token ? (int)fy_token_scalar_style(token) : FYSS_PLAIN;
    int result;

    if (!node || !text)
        return NSP_NO_MEMORY;
    if (memchr(text, '\0', bytes))
        return refuse(r, node->offset, "leave \\0 out", "a zero byte");
    node->text = nsp_store_text(r->store, text, bytes);
    if (!node->text)
        return NSP_NO_MEMORY;
    node->style = style >= 0 && style < FYSS_MAX ? styles[style] : 0;
    node->is_null = is_null(node);
    result = keep_anchor(r, event, node);
    if (result == NSP_OK)
        result = add_node(r, node);
    return result == NSP_OK ? count_node(r, node) : result;
}

static int
begin_collection(struct reading *r, struct fy_event *event)
{
    struct nsp_yaml_node *node = make_node(r, fy_event_start_mark(event), NULL);
    int result;

    if (!node)
        return NSP_NO_MEMORY;
    node->kind =
        event->type == FYET_MAPPING_START ? NSP_YAML_MAP : NSP_YAML_LIST;
    node->is_open = true;
    if (r->depth == NSP_YAML_DEPTH_MAX)
        return refuse(r, node->offset, "a policy needs five levels",
                      "nested more than 16 levels deep");
    result = keep_anchor(r, event, node);
    if (result == NSP_OK)
        result = add_node(r, node);
    r->levels[r->depth++] = (struct level){ .node = node };
    return result;
}

static int
compare_keys(const void *a, const void *b)
{
    const struct nsp_yaml_node *ka = *(const struct nsp_yaml_node *const *)a;
    const struct nsp_yaml_node *kb = *(const struct nsp_yaml_node *const *)b;
    int order = strcmp(ka->text, kb->text);

    return order ? order
                 : (ka->offset > kb->offset) - (ka->offset < kb->offset);
}

static int
check_keys(struct reading *r, const struct nsp_yaml_node *map)
{
    const struct nsp_yaml_node **keys;
    uint32_t count = 0;
    int result = NSP_OK;

    if (map->count < 4)
        return NSP_OK;
    keys = calloc(map->count, sizeof(*keys));
    if (!keys)
        return NSP_NO_MEMORY;
    for (const struct nsp_yaml_node *n = map->first; n && n->next;
         n = n->next->next)
        keys[count++] = n;
    qsort(keys, count, sizeof(*keys), compare_keys);
    for (uint32_t i = 1; i < count; i++)
        if (strcmp(keys[i - 1]->text, keys[i]->text) == 0)
            result = refuse_twice(r, keys[i]);
    free(keys);
    return result;
}

static int
end_collection(struct reading *r)
{
    struct nsp_yaml_node *node = r->levels[--r->depth].node;
    struct nsp_yaml_node *last = r->levels[r->depth].last;
    int result;

    node->is_open = false;
    node->end = last ? last->end : node->offset;
    result = node->kind == NSP_YAML_MAP ? check_keys(r, node) : NSP_OK;
    r->nodes++; /* What is below has been counted already. */
    if (r->nodes > NSP_YAML_NODES_MAX)
        return refuse(r, node->offset, "split the file, with 'include'",
                      "the file has more than a million values");
    for (unsigned i = 0; i < r->depth; i++)
        r->levels[i].node->nodes++;
    return result;
}

static int
read_event(struct reading *r, struct fy_event *event)
{
    const struct fy_mark *mark;

    switch (event->type) {
    case FYET_DOCUMENT_START:
        mark = fy_event_start_mark(event);
        if (++r->documents > 1)
            return refuse(r, mark ? mark->input_pos : 0,
                          "leave out what follows '---'",
                          "a second document in one file");
        return NSP_OK;
    case FYET_SCALAR:
        return read_scalar(r, event);
    case FYET_ALIAS:
        return read_alias(r, event);
    case FYET_MAPPING_START:
    case FYET_SEQUENCE_START:
        return begin_collection(r, event);
    case FYET_MAPPING_END:
    case FYET_SEQUENCE_END:
        return end_collection(r);
    default:
        return NSP_OK;
    }
}

/* --- The library --------------------------------------------------------- */

static size_t
offset_of(const struct nsp_text_source *source, int line, int column)
{
    size_t at = 0;

    for (int i = 1; i < line && at < source->bytes; at++)
        i += source->text[at] == '\n';
    for (int i = 1; i < column && at < source->bytes; i++)
        at += source->text[at] != '\n';
    return at;
}

/* Repeats the library's complaints, each once. */
static int
report(struct reading *r, struct fy_diag *diag)
{
    struct fy_diag_error *error;
    void *at = NULL;

    while ((error = fy_diag_errors_iterate(diag, &at)) != NULL)
        if (error->type == FYET_ERROR)
            refuse(r, offset_of(r->source, error->line, error->column),
                   "this is YAML: check indentation, quotes and brackets",
                   error->msg ? error->msg : "not YAML");
    if (r->complaints->errors == 0)
        refuse(r, 0, "", "not YAML");
    return NSP_INVALID_PARAMETER;
}

static int
parse(struct reading *r, struct fy_diag *diag)
{
    const struct fy_parse_cfg cfg = {
        .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_DEFAULT_VERSION_1_2 |
                 FYPCF_JSON_NONE,
        .diag = diag,
    };
    struct fy_parser *parser = fy_parser_create(&cfg);
    struct fy_event *event;
    int result = NSP_OK;

    if (!parser)
        return NSP_NO_MEMORY;
    if (fy_parser_set_string(parser, r->source->text, r->source->bytes) != 0)
        result = NSP_NO_MEMORY;
    while (result == NSP_OK && (event = fy_parser_parse(parser)) != NULL) {
        result = read_event(r, event);
        fy_parser_event_free(parser, event);
    }
    if (result == NSP_OK && fy_parser_get_stream_error(parser))
        result = report(r, diag);
    fy_parser_destroy(parser);
    return result;
}

int
nsp_yaml_read(const struct nsp_text_source *source, struct nsp_store *store,
              struct nsp_complaints *complaints,
              const struct nsp_yaml_node **ret)
{
    static const struct nsp_yaml_node nothing = { .text = "",
                                                  .is_null = true,
                                                  .nodes = 1 };
    struct reading reading = { .source = source,
                               .store = store,
                               .complaints = complaints };
    struct fy_diag_cfg cfg;
    struct fy_diag *diag;
    int result = check_text(&reading);

    if (result != NSP_OK)
        return result;
    fy_diag_cfg_default(&cfg);
    cfg.fp = NULL;
    cfg.colorize = false;
    cfg.level = FYET_ERROR;
    diag = fy_diag_create(&cfg);
    if (!diag)
        return NSP_NO_MEMORY;
    fy_diag_set_collect_errors(diag, true);
    result = parse(&reading, diag);
    fy_diag_destroy(diag);
    if (result == NSP_OK)
        *ret = reading.root ? reading.root : &nothing;
    return result;
}

/* --- The tree ------------------------------------------------------------- */

const struct nsp_yaml_node *
nsp_yaml_find_key(const struct nsp_yaml_node *map, const char *key)
{
    if (!map || map->kind != NSP_YAML_MAP)
        return NULL;
    for (const struct nsp_yaml_node *n = map->first; n && n->next;
         n = n->next->next)
        if (strcmp(n->text, key) == 0)
            return n;
    return NULL;
}

const struct nsp_yaml_node *
nsp_yaml_find(const struct nsp_yaml_node *map, const char *key)
{
    const struct nsp_yaml_node *found = nsp_yaml_find_key(map, key);

    return found ? found->next : NULL;
}

void
nsp_yaml_rename(const struct nsp_yaml_node *node, const char *text)
{
    /* Trees are read as constants and made here. */
    ((struct nsp_yaml_node *)(uintptr_t)node)->text = text;
}
