#ifndef NSP_CONFIG_KEYS_H
#define NSP_CONFIG_KEYS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "config/complaint.h"
#include "config/store.h"
#include "config/yaml.h"

/* Mappings described by tables. From one table the reader, the printer, the
 * manual and the JSON Schema are made, so none can know a key that another does
 * not. */

/* A value of several units. */
struct nsp_quantity {
    uint64_t value;
    uint8_t unit;
};

struct nsp_list {
    void *items; /* Of the key's type or map, one after the other. */
    uint32_t count;
};

/* What every struct that is read from a mapping begins with. */
struct nsp_object {
    uint64_t given;                   /* Bit i: key i was written. */
    const struct nsp_yaml_node *node; /* NULL: not there at all. */
    const struct nsp_text_source *source;
    const struct nsp_yaml_node *name_node; /* Its key in a mapping of names. */
    const char *name;
};

struct nsp_word {
    const char *name; /* NULL ends a table. */
    uint64_t value;
};

struct nsp_key;
struct nsp_key_reader;

/* One kind of scalar. */
struct nsp_value_type {
    const char *name;   /* "a time", */
    const char *syntax; /* and how to write it. */
    const char *schema; /* Members of its JSON Schema. */
    size_t bytes;
    /* Reads the scalar 'node' to 'ret', or complains and returns false. */
    bool (*read)(struct nsp_key_reader *r, const struct nsp_key *key,
                 const struct nsp_yaml_node *node, void *ret);
    /* Prints it so that the same is read again. */
    void (*write)(FILE *to, const struct nsp_key *key, const void *value);
};

enum nsp_key_shape {
    NSP_KEY_ONE = 0,
    NSP_KEY_LIST,  /* Of scalars or mappings; one scalar is a list of it. */
    NSP_KEY_NAMED, /* A mapping from names to mappings. */
};

struct nsp_map;

struct nsp_key {
    const char *name;
    uint8_t shape; /* enum nsp_key_shape. */
    bool is_needed;
    uint16_t offset;                   /* Of its member. */
    uint32_t most;                     /* Items of a list. */
    const struct nsp_value_type *type; /* Of a scalar, or an item. */
    const struct nsp_map *map;         /* Of a mapping. With a type as well, the
                                        * scalar stands for its first key. */
    const struct nsp_word *words;
    uint64_t min, max;     /* Of numbers, in the type's unit. */
    const char *fallback;  /* What is read where the key is missing; */
    const char *otherwise; /* or what then happens, in words; of a
                            * needed key, what to write. */
    const char *doc;
    const char *argument; /* Of the option of that name on the command line,
                           * "RATE"; NULL where there is none. */
};

/* A key that is known, and refused. */
struct nsp_reserved_key {
    const char *name, *why;
};

/* Another name of a key. */
struct nsp_alias {
    const char *name, *key; /* A NULL name ends a table. */
};

struct nsp_map {
    const char *name;           /* "a class". */
    const struct nsp_key *keys; /* Ended by a NULL name; at most 64. */
    const struct nsp_reserved_key *reserved; /* The same; may be NULL. */
    const struct nsp_alias *aliases;         /* The same. Those whose key the
                                              * map has not are none of it. */
    const struct nsp_alias *misnomers;       /* The same: names that are not
                                              * taken, for which people write
                                              * the key. */
    const struct nsp_reserved_key *outer;    /* The same: keys of the mapping
                                              * that this is in, and a hint. */
    size_t bytes;

    /* On the command line, a word of the key 'choice' may stand before a value:
     * 'WORD:VALUE', which is then that of the key firsts[word]. */
    const char *choice;
    const char *const *firsts;
};

/* --- Reading ------------------------------------------------------------- */

struct nsp_key_reader {
    const struct nsp_text_source *source; /* That is being read. */
    struct nsp_store *store;
    struct nsp_complaints *complaints;
    bool failed; /* No memory. */
};

/* Reads the mapping 'node' to the zeroed struct 'ret', complaining of all that
 * is wrong with it. What could not be read is as if it were missing. */
void nsp_keys_read(struct nsp_key_reader *r, const struct nsp_map *map,
                   const struct nsp_yaml_node *node, void *ret);

/* Reads what 'map' has for keys that are missing. */
void nsp_keys_set_fallbacks(struct nsp_key_reader *r, const struct nsp_map *map,
                            void *ret);

/* Bytes of the key's member. */
size_t nsp_keys_bytes(const struct nsp_key *key);

/* The key called 'name', NULL when there is none. */
const struct nsp_key *nsp_keys_find(const struct nsp_map *map,
                                    const char *name);

/* The key of which 'name' is another name, NULL when there is none. */
const struct nsp_key *nsp_keys_find_alias(const struct nsp_map *map,
                                          const char *name);

/* Tells whether the key was written and could be read. */
bool nsp_keys_given(const struct nsp_map *map, const struct nsp_object *object,
                    const char *name);

/* Complains of 'node', from byte 'offset' of its text on. 'hint' may be NULL.
 * Returns the complaint, or NULL where there are too many. */
struct nsp_complaint *nsp_keys_complain(struct nsp_key_reader *r,
                                        const struct nsp_yaml_node *node,
                                        size_t offset, const char *category,
                                        const char *hint, const char *format,
                                        ...)
    __attribute__((format(printf, 6, 7)));

/* The same of the value of 'key' in 'object', or of the whole where there is
 * none. Whatever file it came from. */
struct nsp_complaint *nsp_keys_complain_at(
    struct nsp_key_reader *r, const struct nsp_object *object, const char *key,
    const char *category, const char *hint, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/* --- Printing ------------------------------------------------------------ */

/* Prints 'object' as a block whose lines are indented by 'indent'; what it
 * holds is printed on one line each, but lists of mappings and mappings of
 * names. */
void nsp_keys_write(FILE *to, const struct nsp_map *map, const void *object,
                    unsigned indent);

/* Prints 'text' so that YAML reads it as that text. */
void nsp_keys_write_text(FILE *to, const char *text);

/* The manual and the JSON Schema, from 'map' down. */
void nsp_keys_print_manual(FILE *to, const struct nsp_map *map);
void nsp_keys_print_schema(FILE *to, const struct nsp_map *map);

#endif /* NSP_CONFIG_KEYS_H */
