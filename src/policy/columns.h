#ifndef NSP_POLICY_COLUMNS_H
#define NSP_POLICY_COLUMNS_H
#include "filter/eval.h"
#include "policy/classifier.h"
#include "policy/value_set.h"

/* What a packet has one value of, and which tests are sets of those values.
 *
 * Fields that no packet has together share a column, the headers telling which
 * is meant: source addresses of both versions, source ports of TCP and UDP. So
 * a packet is looked up in few columns, and "tcp.DstPort == 53 or udp.DstPort
 * == 53" is one set. A packet without the field has a value, too ("none", or
 * the number behind the last), so a test that fails is the complement of one
 * that passes, and nothing else need know of absence. */

/* --- Shapes --------------------------------------------------------------- */

/* All that the parser and the device tell by small numbers: transport, network
 * header, direction, loopback, fragment. A set of shapes is a word for each
 * enum nsp_l4. */
#define NSP_SHAPE_WORDS 5u
#define NSP_SHAPE_MAX   (NSP_SHAPE_WORDS * 64 - 1)

struct nsp_shapes {
    uint64_t words[NSP_SHAPE_WORDS];
};

static inline uint32_t
nsp_shape_of(const struct nsp_pkt *pkt)
{
    return (uint32_t)pkt->l4 << 6 | (pkt->l3 & 3u) << 4 |
           (pkt->direction & 3u) << 2 |
           ((uint32_t)pkt->flags & NSP_PKT_LOOPBACK) << 1 |
           ((uint32_t)pkt->flags & NSP_PKT_FRAGMENT) >> 2;
}

/* Shapes that packets may have. */
extern const struct nsp_shapes nsp_all_shapes;

static inline struct nsp_shapes
nsp_shapes_and(struct nsp_shapes a, const struct nsp_shapes *b)
{
    for (uint32_t i = 0; i < NSP_SHAPE_WORDS; i++)
        a.words[i] &= b->words[i];
    return a;
}

static inline struct nsp_shapes
nsp_shapes_or(struct nsp_shapes a, const struct nsp_shapes *b)
{
    for (uint32_t i = 0; i < NSP_SHAPE_WORDS; i++)
        a.words[i] |= b->words[i];
    return a;
}

static inline struct nsp_shapes
nsp_shapes_not(struct nsp_shapes a)
{
    for (uint32_t i = 0; i < NSP_SHAPE_WORDS; i++)
        a.words[i] = nsp_all_shapes.words[i] & ~a.words[i];
    return a;
}

static inline bool
nsp_shapes_are_equal(const struct nsp_shapes *a, const struct nsp_shapes *b)
{
    uint64_t differ = 0;

    for (uint32_t i = 0; i < NSP_SHAPE_WORDS; i++)
        differ |= a->words[i] ^ b->words[i];
    return differ == 0;
}

static inline bool
nsp_shapes_are_subset(const struct nsp_shapes *a, const struct nsp_shapes *b)
{
    uint64_t beyond = 0;

    for (uint32_t i = 0; i < NSP_SHAPE_WORDS; i++)
        beyond |= a->words[i] & ~b->words[i];
    return beyond == 0;
}

static inline bool
nsp_shapes_are_empty(const struct nsp_shapes *a)
{
    uint64_t any = 0;

    for (uint32_t i = 0; i < NSP_SHAPE_WORDS; i++)
        any |= a->words[i];
    return any == 0;
}

/* Shapes that a rule with 'apply' (enum nsp_apply) is for. */
struct nsp_shapes nsp_shapes_of_apply(uint8_t apply);

/* --- Columns -------------------------------------------------------------- */

enum nsp_column_kind {
    NSP_COLUMN_SHAPE,
    NSP_COLUMN_SRC_ADDR,
    NSP_COLUMN_DST_ADDR,
    NSP_COLUMN_SRC_PORT,
    NSP_COLUMN_DST_PORT,
    NSP_COLUMN_PROTOCOL,
    NSP_COLUMN_LOCAL_ADDR,
    NSP_COLUMN_REMOTE_ADDR,
    NSP_COLUMN_FIELD, /* A field with a column of its own. */
};

/* Ports as numbers of one row: TCP's, UDP's, then a number for each transport
 * without ports. */
#define NSP_PORTS_UDP   0x10000u
#define NSP_PORTS_OTHER 0x20000u

/* The widest field whose "none" is the number behind its last value. */
#define NSP_COLUMN_SMALL_BITS 16u

struct nsp_column {
    enum nsp_column_kind kind;
    struct nsp_domain domain;
    const struct nsp_field *field; /* Of NSP_COLUMN_FIELD. */
    struct nsp_insn fetch;         /* Likewise, for nsp_eval_read(). */
};

/* The columns beside the shape that rules use. */
struct nsp_columns {
    uint32_t count;
    struct nsp_column at[NSP_CLASSIFIER_COLUMNS_MAX - 1];
};

/* Chooses columns for fields, of which uses[i] tests read nsp_fields[i]. Those
 * used least are left out where there are too many. */
void nsp_columns_choose(const uint32_t uses[NSP_FIELDS_MAX],
                        enum nsp_layer layer, struct nsp_columns *ret);

/* --- Tests ---------------------------------------------------------------- */

enum nsp_constraint_kind {
    NSP_CONSTRAINT_UNKNOWN,  /* No column tells. */
    NSP_CONSTRAINT_CONSTANT, /* Always passes, or never. */
    NSP_CONSTRAINT_SHAPE,
    NSP_CONSTRAINT_COLUMN,
};

struct nsp_constraint {
    enum nsp_constraint_kind kind;
    bool passes;     /* Of a constant. */
    uint32_t column; /* In nsp_columns. */
    struct nsp_shapes shapes;
    const struct nsp_value_set *set; /* Values that pass. */
};

/* The field whose column tells what 'test' asks: of membership in a small named
 * set, what is looked up in it. */
const struct nsp_field *nsp_columns_field(const struct nsp_ir_test *test);

/* What 'test' of 'ir' asks. */
struct nsp_constraint nsp_columns_constrain(const struct nsp_columns *columns,
                                            const struct nsp_ir *ir,
                                            const struct nsp_ir_test *test,
                                            struct nsp_set_maker *maker);

/* The shapes of packets that may have a value of 'set', which is not NULL, in
 * 'column'. */
struct nsp_shapes nsp_column_shapes(const struct nsp_column *column,
                                    const struct nsp_value_set *set);

/* 'set' without values that no packet of 'shapes' has; columns of addresses and
 * ports alone. */
const struct nsp_value_set *nsp_column_restrict(const struct nsp_column *column,
                                                const struct nsp_value_set *set,
                                                const struct nsp_shapes *shapes,
                                                struct nsp_set_maker *maker);

#endif /* NSP_POLICY_COLUMNS_H */
