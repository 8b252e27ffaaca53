#ifndef NSP_CONFIG_YAML_H
#define NSP_CONFIG_YAML_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/complaint.h"
#include "netshaper/diag.h"

/* A YAML 1.2 document as a tree in which every node knows its place. Every
 * scalar is text: what it means, the reader of the tree decides.
 *
 * Refused: texts that are not UTF-8, more than one document, tags, keys that
 * are no scalars, a key twice in a mapping, aliases that contain themselves,
 * and more than the bounds below. An alias is its anchor's node once more, and
 * counts as many nodes.
 *
 * This is the only file that knows the YAML library. */
#define NSP_YAML_BYTES_MAX (16u << 20)
#define NSP_YAML_NODES_MAX 1000000u
#define NSP_YAML_DEPTH_MAX 16u

enum nsp_yaml_kind {
    NSP_YAML_SCALAR = 0,
    NSP_YAML_LIST,
    NSP_YAML_MAP, /* Nodes are keys and values by turns. */
};

enum nsp_yaml_style {
    NSP_YAML_PLAIN = 0, /* And all that are no scalars. */
    NSP_YAML_SINGLE_QUOTED,
    NSP_YAML_DOUBLE_QUOTED,
    NSP_YAML_BLOCK, /* Literal or folded. */
};

struct nsp_yaml_node {
    uint8_t kind;     /* enum nsp_yaml_kind. */
    uint8_t style;    /* enum nsp_yaml_style. */
    uint8_t depth;    /* Of what is below: 0 for a scalar. */
    bool is_null;     /* An empty plain scalar, '~' or 'null'. */
    bool is_open;     /* While it is being read. */
    uint32_t offset;  /* Of its first byte in the text. */
    uint32_t end;     /* After its last byte; scalars only. */
    uint32_t nodes;   /* With all below. */
    uint32_t count;   /* Nodes right below; of a map, twice its keys. */
    const char *text; /* Of scalars: terminated, without a zero byte. */
    struct nsp_yaml_node *first, *next; /* Below it, and beside it. */
};

/* Reads 'source' into 'store'. Returns NSP_OK; NSP_INVALID_PARAMETER with at
 * least one complaint added; or NSP_NO_MEMORY. An empty text is a null. */
int nsp_yaml_read(const struct nsp_text_source *source, struct nsp_store *store,
                  struct nsp_complaints *complaints,
                  const struct nsp_yaml_node **ret) NSP_MUSTCHECK;

/* The value of 'key' in a map, NULL when there is none. */
const struct nsp_yaml_node *nsp_yaml_find(const struct nsp_yaml_node *map,
                                          const char *key);
/* The key itself. */
const struct nsp_yaml_node *nsp_yaml_find_key(const struct nsp_yaml_node *map,
                                              const char *key);

/* Has the scalar 'node' stand for 'text', which outlives it. Its place stays.
 */
void nsp_yaml_rename(const struct nsp_yaml_node *node, const char *text);

/* The byte of the file that byte 'offset' of a scalar's text comes from,
 * however it is quoted, folded or indented. */
size_t nsp_yaml_locate(const struct nsp_text_source *source,
                       const struct nsp_yaml_node *scalar, size_t offset);

#endif /* NSP_CONFIG_YAML_H */
