#ifndef NSP_POLICY_CLASS_INDEX_H
#define NSP_POLICY_CLASS_INDEX_H
#include "policy/columns.h"

/* The index of one column: from a value to its class, and from the class to the
 * bitmap of the cubes that the value lies in.
 *
 * Classes    A sweep over the ends of all ranges keeps the current bitmap;
 *            where it changes a new class begins, unless an equal one exists.
 * Records    A class has a record: which blocks of 512 bits are not empty, and
 *            the number of each. Equal blocks are stored once. It also tells
 *            which blocks are special: not those of the column's open cubes,
 *            which hold every value. Where columns tell much, few are, and a
 *            lookup need not look at the others.
 * Search     Numbers below 2^18: a table in two steps, equal pages stored once,
 *            so the few that differ stay in cache. 32 bits: slices of equal
 *            size, up to 2^16 of them, in each of which at most 16 sorted keys
 *            are counted (as in filter/bounds_tree.h); where too many keys are
 *            close to each other, a tree of them, 16 to a cache line, each
 *            level found in the same way. 128 bits: such a tree of upper
 * halves, 8 to a line, then a binary search in the lower ones of an equal half.
 * Signed     Keys have their top bit turned around, as vector instructions
 *            compare signed numbers. */

#define NSP_BLOCK_BITS  512u
#define NSP_DIRECT_MAX  (2 * NSP_BLOCK_BITS) /* Cubes. */
#define NSP_BLOCKS_MAX  (NSP_CLASSIFIER_CUBES_MAX / NSP_BLOCK_BITS)
#define NSP_PAGE_BITS   6u /* Of a table's number, within its page. */
#define NSP_PAGE_SIZE   (1u << NSP_PAGE_BITS)
#define NSP_TABLE_MAX   (1u << 18)
#define NSP_SLICES_MAX  (1u << 16)
#define NSP_TREE_LEVELS 6u
#define NSP_TREE_FANOUT                                                        \
    16u /* Keys of 32 bits in a line; of 64 half as many.                      \
         */
#define NSP_VALUE_CLASSES_MAX 65535u
#define NSP_SIGN32            UINT32_C(0x80000000)
#define NSP_SIGN64            (UINT64_C(1) << 63)

static_assert(NSP_BLOCKS_MAX <= 64, "a summary is a word");

struct nsp_block {
    uint64_t words[NSP_BLOCK_BITS / 64];
};

struct nsp_class_record {
    uint64_t filled;  /* Bit b: block b is not empty. */
    uint64_t special; /* Bit b: block b is not that of the open cubes. */
    uint16_t ids[];   /* Of the blocks. */
};

/* A search tree: the keys, ascending, then for each level above the first key
 * of each line below. levels[0] is the root, one line. */
struct nsp_tree {
    uint32_t levels;
    uint32_t counts[2 * NSP_TREE_LEVELS]; /* Keys of each level. */
    const void *keys[2 * NSP_TREE_LEVELS];
    const void *classes; /* 16 bits for each key: from it to the next. */
};

struct nsp_class_index {
    enum nsp_column_kind kind;
    const struct nsp_field *field; /* Of NSP_COLUMN_FIELD, with 'fetch'. */
    struct nsp_insn fetch;
    bool is_wide;        /* A field of more than 32 bits. */
    bool is_small;       /* One of at most NSP_COLUMN_SMALL_BITS, */
    uint32_t small_none; /* whose "none" is this number. */

    uint32_t stride; /* Of records, in bytes. */
    const void *records;
    const void *blocks; /* struct nsp_block. */
    const void *open;   /* The open cubes: a bitmap, of struct nsp_block. */

    const void *directory, *pages; /* 16 bits each, of a table, else NULL. */
    const void *slices; /* 16 bits each: the last key at or before its first
                         * value. NULL: a tree. */
    uint32_t slice_shift;
    struct nsp_tree narrow;   /* With slices, of one level. */
    struct nsp_tree wide;     /* Of upper halves; has no classes. */
    const void *wide_first;   /* 32 bits by upper half: its first lower one. */
    const void *wide_lows;    /* 64 bits. */
    const void *wide_classes; /* 16 bits by lower half. */
    uint32_t none_class;

    uint32_t class_count, block_count;
    size_t bytes;
    void *memory; /* All of it. */
};

/* One range of a cube's set. Ranges of a cube follow one another, ascending. */
struct nsp_entry {
    struct nsp_u128 lo, hi;
    uint32_t cube;
    uint8_t part; /* enum nsp_part. */
};

/* Builds the index of 'column' for 'cube_count' (>= 1) cubes, of which those
 * without an entry hold every value. Returns 0, -ENOMEM, or -EFBIG where it
 * would take more than 'bytes_max' or has too many classes or blocks; '*ret' is
 * then untouched. Cost: about 100 ns for each entry. */
int nsp_class_index_build(const struct nsp_column *column,
                          const struct nsp_entry entries[], uint32_t count,
                          uint32_t cube_count, size_t bytes_max,
                          const struct nsp_allocator *allocator,
                          struct nsp_class_index *ret) NSP_MUSTCHECK;

/* Accepts a zeroed one. */
void nsp_class_index_fini(struct nsp_class_index *index,
                          const struct nsp_allocator *allocator);

/* Makes the entries coarser: of all ends in the column one in 'step' is kept,
 * and ranges grow to the next one. Marks the cubes that grow, joins what then
 * touches, and returns how many entries are left. 'step' UINT32_MAX keeps none,
 * and no entries. -ENOMEM is returned as UINT32_MAX, entries then unchanged. */
uint32_t nsp_entries_coarsen(struct nsp_entry entries[], uint32_t count,
                             const struct nsp_domain *domain, uint32_t step,
                             bool marks[],
                             const struct nsp_allocator *allocator);

/* A place where something begins or ends. */
struct nsp_end {
    struct nsp_u128 at;
    uint32_t cube;
    uint8_t part;
    bool begins;
};

/* Stores the ends of 'entries' in order, at most 2 * count; 'scratch' has as
 * much room. A range that ends at its part's maximum has no end. Returns how
 * many there are. */
uint32_t nsp_entries_list_ends(const struct nsp_entry entries[], uint32_t count,
                               const struct nsp_domain *domain,
                               struct nsp_end scratch[], struct nsp_end ret[]);

#endif /* NSP_POLICY_CLASS_INDEX_H */
