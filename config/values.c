/* Text, words and plain numbers. */
#include "config/values.h"

#include <inttypes.h>
#include <string.h>

#include "config/nearest.h"
#include "config/number.h"
#include "netshaper/policy.h"

/* --- Text ----------------------------------------------------------------- */

static bool
read_text(struct nsp_key_reader *r, const struct nsp_key *key,
          const struct nsp_yaml_node *node, void *ret)
{
    if (node->text[0] == '\0') {
        nsp_keys_complain(r, node, 0, "bad-value", "leave the key out",
                          "'%s' is empty", key->name);
        return false;
    }
    *(const char **)ret = node->text;
    return true;
}

static void
write_text(FILE *to, const struct nsp_key *key, const void *value)
{
    (void)key;
    nsp_keys_write_text(to, *(const char *const *)value);
}

const struct nsp_value_type nsp_value_text = {
    .name = "text",
    .syntax = "any text; quote what has ': ' or ' #' in it",
    .schema = "\"type\": [\"string\", \"number\"]",
    .bytes = sizeof(const char *),
    .read = read_text,
    .write = write_text,
};

const struct nsp_value_type nsp_value_path = {
    .name = "a path",
    .syntax = "a path; seen from the file that it is written in",
    .schema = "\"type\": \"string\"",
    .bytes = sizeof(const char *),
    .read = read_text,
    .write = write_text,
};

/* What is in it, the compiler of filters says. */
const struct nsp_value_type nsp_value_filter = {
    .name = "a filter",
    .syntax = "a filter in quotes, nsp-filter(7): \"tcp.DstPort == 443\"",
    .schema = "\"type\": [\"string\", \"boolean\"]",
    .bytes = sizeof(const char *),
    .read = read_text,
    .write = write_text,
};

/* --- Names ---------------------------------------------------------------- */

static size_t
name_bytes(const char *text)
{
    size_t n = 0;

    while ((text[n] >= 'a' && text[n] <= 'z') ||
           (text[n] >= 'A' && text[n] <= 'Z') ||
           (text[n] >= '0' && text[n] <= '9') || text[n] == '_' ||
           text[n] == '-' || text[n] == '.')
        n++;
    return n;
}

static bool
read_name(struct nsp_key_reader *r, const struct nsp_key *key,
          const struct nsp_yaml_node *node, void *ret)
{
    size_t bytes = name_bytes(node->text);
    bool short_enough = bytes <= (key->max ? key->max : NSP_NAME_MAX);

    if (bytes == 0 || node->text[bytes] != '\0' || !short_enough) {
        nsp_keys_complain(r, node, short_enough ? bytes : 0, "bad-name",
                          short_enough ? "letters, digits, '_', '-' and '.' "
                                         "make a name"
                                       : "shorten it",
                          short_enough ? "'%.64s' is no name"
                                       : "'%.64s...' is too long for a name",
                          node->text);
        return false;
    }
    *(const char **)ret = node->text;
    return true;
}

void
nsp_value_check_name(struct nsp_key_reader *r, const struct nsp_key *key,
                     const struct nsp_yaml_node *node)
{
    const char *name;

    (void)read_name(r, key, node, &name);
}

const struct nsp_value_type nsp_value_name = {
    .name = "a name",
    .syntax = "letters, digits, '_', '-' and '.', 63 at most",
    .schema = "\"type\": [\"string\", \"number\"], "
              "\"pattern\": \"^[A-Za-z0-9_.-]{1,63}$\"",
    .bytes = sizeof(const char *),
    .read = read_name,
    .write = write_text,
};

/* --- A list of zeros and ones ----------------------------------------------
 */

static bool
read_bits(struct nsp_key_reader *r, const struct nsp_key *key,
          const struct nsp_yaml_node *node, void *ret)
{
    size_t bytes = strspn(node->text, "01");

    if (bytes == 0 || node->text[bytes] != '\0') {
        nsp_keys_complain(r, node, bytes, "bad-value",
                          "1 is a lost packet, 0 one that passes: \"00010\"",
                          "'%s' has only 0 and 1", key->name);
        return false;
    }
    *(const char **)ret = node->text;
    return true;
}

static void
write_bits(FILE *to, const struct nsp_key *key, const void *value)
{
    (void)key;
    fprintf(to, "\"%s\"", *(const char *const *)value);
}

const struct nsp_value_type nsp_value_bits = {
    .name = "zeros and ones",
    .syntax = "0 and 1 in quotes: \"00010\"",
    .schema = "\"type\": \"string\", \"pattern\": \"^[01]+$\"",
    .bytes = sizeof(const char *),
    .read = read_bits,
    .write = write_bits,
};

/* --- Words ---------------------------------------------------------------- */

static bool
read_bool(struct nsp_key_reader *r, const struct nsp_key *key,
          const struct nsp_yaml_node *node, void *ret)
{
    bool yes = strcmp(node->text, "true") == 0;

    if (!yes && strcmp(node->text, "false") != 0) {
        nsp_keys_complain(r, node, 0, "bad-value", "write true or false",
                          "'%s' is true or false, not '%.64s'", key->name,
                          node->text);
        return false;
    }
    *(bool *)ret = yes;
    return true;
}

static void
write_bool(FILE *to, const struct nsp_key *key, const void *value)
{
    (void)key;
    fputs(*(const bool *)value ? "true" : "false", to);
}

const struct nsp_value_type nsp_value_bool = {
    .name = "true or false",
    .syntax = "true or false",
    .schema = "\"type\": \"boolean\"",
    .bytes = sizeof(bool),
    .read = read_bool,
    .write = write_bool,
};

static void
list_words(const struct nsp_word *words, char *ret, size_t bytes)
{
    size_t used = 0;

    ret[0] = '\0';
    for (; words->name && used < bytes; words++)
        used += (size_t)snprintf(ret + used, bytes - used, "%s%s",
                                 used == 0       ? "write "
                                 : words[1].name ? ", "
                                                 : " or ",
                                 words->name);
}

static bool
read_word(struct nsp_key_reader *r, const struct nsp_key *key,
          const struct nsp_yaml_node *node, void *ret)
{
    struct nsp_nearest nearest;
    char hint[192];

    nsp_nearest_init(&nearest, node->text);
    for (const struct nsp_word *word = key->words; word->name; word++) {
        if (strcmp(word->name, node->text) == 0) {
            *(uint64_t *)ret = word->value;
            return true;
        }
        nsp_nearest_try(&nearest, word->name);
    }
    if (nearest.best)
        snprintf(hint, sizeof hint, "did you mean %s?", nearest.best);
    else
        list_words(key->words, hint, sizeof hint);
    nsp_keys_complain(r, node, 0, "bad-value", hint, "'%s' cannot be '%.64s'",
                      key->name, node->text);
    return false;
}

static void
write_word(FILE *to, const struct nsp_key *key, const void *value)
{
    for (const struct nsp_word *word = key->words; word->name; word++) {
        if (word->value == *(const uint64_t *)value) {
            fputs(word->name, to);
            return;
        }
    }
}

const struct nsp_value_type nsp_value_word = {
    .name = "a word",
    .syntax = NULL, /* The words themselves. */
    .schema = "\"type\": \"string\"",
    .bytes = sizeof(uint64_t),
    .read = read_word,
    .write = write_word,
};

/* --- Numbers -------------------------------------------------------------- */

size_t
nsp_number_read(const char *text, uint64_t *ret)
{
    uint64_t value = 0;
    size_t n = 0;

    for (; text[n] >= '0' && text[n] <= '9'; n++) {
        uint64_t digit = (uint64_t)(text[n] - '0');

        if (value > (UINT64_MAX - digit) / 10)
            return 0;
        value = value * 10 + digit;
    }
    *ret = value;
    return n;
}

static bool
read_number(struct nsp_key_reader *r, const struct nsp_key *key,
            const struct nsp_yaml_node *node, void *ret)
{
    uint64_t value = 0;
    size_t bytes = nsp_number_read(node->text, &value);
    char hint[64];

    if (bytes > 0 && node->text[bytes] == '\0' && value >= key->min &&
        value <= key->max) {
        *(uint64_t *)ret = value;
        return true;
    }
    if (key->min == key->max)
        snprintf(hint, sizeof hint, "write %" PRIu64, key->min);
    else
        snprintf(hint, sizeof hint,
                 "write a number from %" PRIu64 " to %" PRIu64, key->min,
                 key->max);
    nsp_keys_complain(r, node, 0, "bad-value", hint, "'%s' cannot be '%.64s'",
                      key->name, node->text);
    return false;
}

static void
write_number(FILE *to, const struct nsp_key *key, const void *value)
{
    (void)key;
    fprintf(to, "%" PRIu64, *(const uint64_t *)value);
}

const struct nsp_value_type nsp_value_number = {
    .name = "a number",
    .syntax = "a whole number",
    .schema = "\"type\": \"integer\"",
    .bytes = sizeof(uint64_t),
    .read = read_number,
    .write = write_number,
};

/* Its least value is -key->min. */
static bool
read_signed(struct nsp_key_reader *r, const struct nsp_key *key,
            const struct nsp_yaml_node *node, void *ret)
{
    bool negative = node->text[0] == '-';
    uint64_t value = 0;
    const char *digits = node->text + negative;
    size_t bytes = nsp_number_read(digits, &value);
    char hint[64];

    if (bytes > 0 && digits[bytes] == '\0' &&
        value <= (negative ? key->min : key->max)) {
        *(int64_t *)ret = negative ? -(int64_t)value : (int64_t)value;
        return true;
    }
    snprintf(hint, sizeof hint, "write a number from -%" PRIu64 " to %" PRIu64,
             key->min, key->max);
    nsp_keys_complain(r, node, 0, "bad-value", hint, "'%s' cannot be '%.64s'",
                      key->name, node->text);
    return false;
}

static void
write_signed(FILE *to, const struct nsp_key *key, const void *value)
{
    (void)key;
    fprintf(to, "%" PRId64, *(const int64_t *)value);
}

const struct nsp_value_type nsp_value_signed = {
    .name = "a number",
    .syntax = "a whole number",
    .schema = "\"type\": \"integer\"",
    .bytes = sizeof(int64_t),
    .read = read_signed,
    .write = write_signed,
};
