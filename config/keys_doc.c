/* The tables of keys as documents. */
#include <inttypes.h>
#include <string.h>

#include "config/keys.h"
#include "config/values.h"

#define DEPTH_MAX 8u

/* --- The manual ---------------------------------------------------------- */

/* scdoc takes '_' and '*' for emphasis; here only '*' means it. */
static void
print_scdoc(FILE *to, const char *text)
{
    for (; *text; text++) {
        if (strchr("_<>~`[]#|", *text))
            putc('\\', to);
        putc(*text, to);
    }
}

static void
print_words(FILE *to, const struct nsp_word *words)
{
    for (; words->name; words++)
        fprintf(to, "*%s*%s", words->name,
                !words[1].name   ? ""
                : !words[2].name ? " or "
                                 : ", ");
}

/* A number of the key's type, as one would write it. */
static void
print_value(FILE *to, const struct nsp_key *key, uint64_t value)
{
    const struct nsp_quantity quantity = { .value = value, .unit = 1 };

    if (key->type->bytes == sizeof quantity)
        key->type->write(to, key, &quantity);
    else
        key->type->write(to, key, &value);
}

static bool
has_range(const struct nsp_key *key)
{
    return key->max > 0 && key->type && key->type->bytes != sizeof(char) &&
           key->type != &nsp_value_name;
}

static void
print_range(FILE *to, const struct nsp_key *key)
{
    fputs(" Range: ", to);
    if (key->type == &nsp_value_signed)
        fprintf(to, "-%" PRIu64 " to %" PRIu64, key->min, key->max);
    else {
        print_value(to, key, key->min);
        fputs(" to ", to);
        print_value(to, key, key->max);
    }
    fputs(".", to);
}

static void
print_type(FILE *to, const struct nsp_key *key)
{
    fputs("\tType: ", to);
    if (key->shape == NSP_KEY_LIST)
        fputs(key->map ? "a list of mappings" : "a list, or one, of: ", to);
    else if (key->shape == NSP_KEY_NAMED)
        fputs("a mapping from names to mappings", to);
    if (key->words)
        print_words(to, key->words);
    else if (key->type)
        print_scdoc(to, key->type->syntax);
    if (key->shape == NSP_KEY_ONE && key->map)
        fputs(key->type ? "; or a mapping" : "a mapping", to);
    fputs(".", to);
    if (has_range(key))
        print_range(to, key);
    if (key->is_needed)
        fputs(" Needed", to);
    else if (key->fallback)
        fprintf(to, " Default: %s", key->fallback);
    else
        fputs(" Default: ", to);
    if (!key->is_needed && !key->fallback)
        print_scdoc(to, key->otherwise ? key->otherwise : "none");
    fputs(".\n\n", to);
}

static void
print_aliases(FILE *to, const struct nsp_map *map, const struct nsp_key *key)
{
    for (const struct nsp_alias *a = map->aliases; a && a->name; a++)
        if (strcmp(a->key, key->name) == 0)
            fprintf(to, " Another name is *%s*.", a->name);
}

static void
print_map(FILE *to, const struct nsp_map *map, const char *path, unsigned depth)
{
    char below[128];

    for (const struct nsp_key *key = map->keys; key->name; key++) {
        fprintf(to, "*%s%s*\n\t", path, key->name);
        print_scdoc(to, key->doc);
        fputs(".", to);
        print_aliases(to, map, key);
        fputs("\n\n", to);
        print_type(to, key);
        if (!key->map || depth == DEPTH_MAX)
            continue;
        snprintf(below, sizeof below, "%s%s%s.", path, key->name,
                 key->shape == NSP_KEY_LIST    ? "[]"
                 : key->shape == NSP_KEY_NAMED ? ".NAME"
                                               : "");
        /* Those of rules are those of impairments. */
        if (depth < 2 || strncmp(path, "rules", 5) != 0 ||
            strcmp(key->name, "limit") == 0 || strcmp(key->name, "when") == 0)
            print_map(to, key->map, below, depth + 1);
    }
}

static bool
has_reserved(const struct nsp_map *map)
{
    bool has = map->reserved != NULL;

    for (const struct nsp_key *key = map->keys; key->name && !has; key++)
        has = key->map && has_reserved(key->map);
    return has;
}

static void
print_reserved(FILE *to, const struct nsp_map *map)
{
    if (map->reserved) {
        fprintf(to, "- in %s:", map->name);
        for (const struct nsp_reserved_key *r = map->reserved; r->name; r++)
            fprintf(to, "%s %s", r > map->reserved ? "," : "", r->name);
        fputs("\n", to);
    }
    for (const struct nsp_key *key = map->keys; key->name; key++)
        if (key->map)
            print_reserved(to, key->map);
}

void
nsp_keys_print_manual(FILE *to, const struct nsp_map *map)
{
    print_map(to, map, "", 1);
    if (!has_reserved(map))
        return;
    fputs("These keys are left for later versions, and refused until then:\n\n",
          to);
    print_reserved(to, map);
}

/* --- The JSON Schema ----------------------------------------------------- */

static void
print_json_text(FILE *to, const char *text)
{
    putc('"', to);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            putc('\\', to);
        /* Emphasis is the manual's. */
        if (*text != '*')
            putc(*text, to);
    }
    putc('"', to);
}

static void print_map_schema(FILE *to, const struct nsp_map *map,
                             unsigned indent);

static void
print_scalar_schema(FILE *to, const struct nsp_key *key)
{
    fprintf(to, "{ %s", key->type->schema);
    if (key->words) {
        fputs(", \"enum\": [", to);
        for (const struct nsp_word *word = key->words; word->name; word++)
            fprintf(to, "%s\"%s\"", word > key->words ? ", " : "", word->name);
        fputs("]", to);
    }
    if (key->type == &nsp_value_number)
        fprintf(to, ", \"minimum\": %" PRIu64 ", \"maximum\": %" PRIu64,
                key->min, key->max);
    if (key->type == &nsp_value_signed)
        fprintf(to, ", \"minimum\": -%" PRIu64 ", \"maximum\": %" PRIu64,
                key->min, key->max);
    fputs(" }", to);
}

/* A value of the key's type or map. */
static void
print_item_schema(FILE *to, const struct nsp_key *key, unsigned indent)
{
    if (!key->map) {
        print_scalar_schema(to, key);
    } else if (!key->type) {
        print_map_schema(to, key->map, indent);
    } else {
        fputs("{ \"anyOf\": [ ", to);
        print_scalar_schema(to, key);
        fputs(", ", to);
        print_map_schema(to, key->map, indent);
        fputs(" ] }", to);
    }
}

static void
print_key_schema(FILE *to, const char *name, const struct nsp_key *key,
                 unsigned indent)
{
    fprintf(to, "%*s\"%s\": { \"description\": ", (int)indent, "", name);
    print_json_text(to, key->doc);
    fputs(", ", to);
    if (key->fallback) {
        fputs("\"default\": ", to);
        if (key->type == &nsp_value_bool)
            fputs(key->fallback, to);
        else
            print_json_text(to, key->fallback);
        fputs(", ", to);
    }
    /* Editors say more of what is wrong where there is one way only. */
    fputs(key->shape == NSP_KEY_LIST && !key->map ? "\"anyOf\": [ "
                                                  : "\"allOf\": [ ",
          to);
    if (key->shape == NSP_KEY_NAMED) {
        fputs("{ \"type\": [\"object\", \"null\"], "
              "\"additionalProperties\": ",
              to);
        print_map_schema(to, key->map, indent + 2);
        fputs(" }", to);
    } else if (key->shape == NSP_KEY_LIST) {
        fprintf(to,
                "{ \"type\": [\"array\", \"null\"], \"maxItems\": %" PRIu32
                ", \"items\": ",
                key->most);
        print_item_schema(to, key, indent + 2);
        fputs(" }", to);
        if (!key->map) {
            fputs(", ", to);
            print_scalar_schema(to, key);
        }
    } else {
        print_item_schema(to, key, indent + 2);
    }
    fputs(" ] }", to);
}

static void
print_map_schema(FILE *to, const struct nsp_map *map, unsigned indent)
{
    bool begun = false;

    fputs("{ \"type\": \"object\", \"additionalProperties\": false,", to);
    for (const struct nsp_key *key = map->keys; key->name; key++) {
        if (!key->is_needed)
            continue;
        fprintf(to, "%s\"%s\"", begun ? ", " : " \"required\": [", key->name);
        begun = true;
    }
    fprintf(to, "%s\n%*s\"properties\": {\n", begun ? "]," : "", (int)indent,
            "");
    for (const struct nsp_key *key = map->keys; key->name; key++) {
        print_key_schema(to, key->name, key, indent + 2);
        for (const struct nsp_alias *a = map->aliases; a && a->name; a++) {
            if (strcmp(a->key, key->name) != 0)
                continue;
            fputs(",\n", to);
            print_key_schema(to, a->name, key, indent + 2);
        }
        fputs(key[1].name ? ",\n" : "\n", to);
    }
    fprintf(to, "%*s} }", (int)indent, "");
}

void
nsp_keys_print_schema(FILE *to, const struct nsp_map *map)
{
    fputs("{\n  \"$schema\": \"http://json-schema.org/draft-07/schema#\",\n"
          "  \"title\": \"NetShaper policy, version 1\",\n  \"allOf\": [ ",
          to);
    print_map_schema(to, map, 2);
    fputs(" ]\n}\n", to);
}
