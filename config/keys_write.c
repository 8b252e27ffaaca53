/* Printing what was read, in the order of the tables. */
#include <string.h>

#include "config/keys.h"

static const void *
member_of(const void *object, const struct nsp_key *key)
{
    return (const char *)object + key->offset;
}

static bool
is_given(const struct nsp_map *map, const struct nsp_object *object,
         const struct nsp_key *key)
{
    return (object->given >> (key - map->keys) & 1) != 0;
}

/* --- Text ------------------------------------------------------------------
 */

/* Tells whether neither YAML nor an editor takes 'text' for something else. */
static bool
is_plain(const char *text)
{
    static const char *const words[] = { "true", "false", "null", "yes", "no",
                                         "on",   "off",   "y",    "n" };
    char first = text[0];

    if (!((first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z')))
        return false;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(text, words[i]) == 0)
            return false;
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789_.-/") == strlen(text);
}

void
nsp_keys_write_text(FILE *to, const char *text)
{
    if (is_plain(text)) {
        fputs(text, to);
        return;
    }
    putc('"', to);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\')
            fprintf(to, "\\%c", c);
        else if (c == '\n')
            fputs("\\n", to);
        else if (c == '\t')
            fputs("\\t", to);
        else if (c < 0x20 || c == 0x7f)
            fprintf(to, "\\x%02x", c);
        else
            putc(c, to);
    }
    putc('"', to);
}

/* --- On one line ------------------------------------------------------------
 */

static void write_flow(FILE *to, const struct nsp_map *map,
                       const struct nsp_object *object);

static void
write_item(FILE *to, const struct nsp_key *key, const void *value)
{
    const struct nsp_object *object = value;

    if (!key->map)
        key->type->write(to, key, value);
    else if (key->type && object->given == 1)
        key->type->write(to, key->map->keys, member_of(value, key->map->keys));
    else
        write_flow(to, key->map, object);
}

static void
write_flow_list(FILE *to, const struct nsp_key *key,
                const struct nsp_list *list)
{
    size_t bytes = key->map ? key->map->bytes : key->type->bytes;

    fputs("[", to);
    for (uint32_t i = 0; i < list->count; i++) {
        fputs(i > 0 ? ", " : "", to);
        write_item(to, key, (const char *)list->items + i * bytes);
    }
    fputs("]", to);
}

static void
write_flow(FILE *to, const struct nsp_map *map, const struct nsp_object *object)
{
    const char *between = " ";

    fputs("{", to);
    for (const struct nsp_key *key = map->keys; key->name; key++) {
        if (!is_given(map, object, key))
            continue;
        fprintf(to, "%s%s: ", between, key->name);
        if (key->shape == NSP_KEY_LIST)
            write_flow_list(to, key, member_of(object, key));
        else
            write_item(to, key, member_of(object, key));
        between = ", ";
    }
    fputs(" }", to);
}

/* --- In blocks ---------------------------------------------------------------
 */

static void
write_named(FILE *to, const struct nsp_key *key, const struct nsp_list *list,
            unsigned indent)
{
    fprintf(to, "%*s%s:%s\n", (int)indent, "", key->name,
            list->count ? "" : " {}");
    for (uint32_t i = 0; i < list->count; i++) {
        const void *item = (const char *)list->items + i * key->map->bytes;

        fprintf(to, "%*s", (int)indent + 2, "");
        nsp_keys_write_text(to, ((const struct nsp_object *)item)->name);
        fputs(": ", to);
        write_flow(to, key->map, item);
        fputs("\n", to);
    }
}

static void
write_blocks(FILE *to, const struct nsp_key *key, const struct nsp_list *list,
             unsigned indent)
{
    fprintf(to, "%s:%s\n", key->name, list->count ? "" : " []");
    for (uint32_t i = 0; i < list->count; i++) {
        const struct nsp_object *item =
            (const void *)((const char *)list->items + i * key->map->bytes);

        fprintf(to, "%*s- ", (int)indent + 2, "");
        if (item->given)
            nsp_keys_write(to, key->map, item, indent + 4);
        else
            fputs("{}\n", to);
    }
}

/* Tells whether the mapping of 'key' holds lists of mappings, too much for one
 * line. */
static bool
wants_block(const struct nsp_key *key)
{
    if (key->shape != NSP_KEY_ONE || !key->map || key->type)
        return false;
    for (const struct nsp_key *k = key->map->keys; k->name; k++)
        if (k->shape == NSP_KEY_LIST && k->map)
            return true;
    return false;
}

/* The first line's indentation is there already. */
void
nsp_keys_write(FILE *to, const struct nsp_map *map, const void *object,
               unsigned indent)
{
    bool begun = false;

    for (const struct nsp_key *key = map->keys; key->name; key++) {
        const void *member = member_of(object, key);

        if (!is_given(map, object, key))
            continue;
        if (key->shape == NSP_KEY_NAMED) {
            write_named(to, key, member, indent);
        } else if (key->shape == NSP_KEY_LIST && key->map) {
            if (begun)
                fprintf(to, "%*s", (int)indent, "");
            write_blocks(to, key, member, indent);
        } else if (wants_block(key)) {
            fprintf(to, "%*s%s:\n%*s", begun ? (int)indent : 0, "", key->name,
                    (int)indent + 2, "");
            nsp_keys_write(to, key->map, member, indent + 2);
        } else {
            fprintf(to, "%*s%s: ", begun ? (int)indent : 0, "", key->name);
            if (key->shape == NSP_KEY_LIST)
                write_flow_list(to, key, member);
            else
                write_item(to, key, member);
            fputs("\n", to);
        }
        begun = true;
    }
}
