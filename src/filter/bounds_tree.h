#ifndef NSP_FILTER_BOUNDS_TREE_H
#define NSP_FILTER_BOUNDS_TREE_H
#include "base/memory.h"
#include "filter/number.h"

/* Membership of 128-bit values in many ranges, by a static search tree.
 *
 * Problem    Two million bounds do not fit a cache, and a binary search in them
 *            misses it some fifteen times, each miss waiting for the last.
 * Idea       A B+-tree without pointers: a node is 8 keys and has 9 children,
 *            which lie at computed places (Khuong and Morin, "Array layouts for
 *            comparison-based searching", 2017). A table by the value's upper
 *            bits tells the leaf that all such values lie in, or two that are
 *            neighbours and both visited, or else the lowest node that all
 *            pass: no node has to be waited for where the bounds lie evenly,
 *            and never more than the tree has levels, however they lie.
 * Invariant  A key is the last value before membership changes, so a value is
 *            in the set when the number of keys less than it is odd, or even if
 *            'starts_inside'. Unused keys are the largest value, and less than
 *            none. Key k of an inner node is the greatest below child k.
 * Halves     The upper halves of a node's keys fill one cache line. The lower
 *            halves are the next one, read only when an upper one is equal; it
 *            is in the same page, so that finding it is cheap.
 * Bytes      18 per bound, and up to 4 MiB for the table.
 * Threads    Immutable once built; any number of readers. */

#define NSP_BOUNDS_KEYS       8u
#define NSP_BOUNDS_LEVELS_MAX 8u

struct nsp_bounds_node {
    uint64_t hi[NSP_BOUNDS_KEYS], lo[NSP_BOUNDS_KEYS];
};

struct nsp_bounds_tree {
    const struct nsp_bounds_node *nodes; /* The root, then level by level. */
    const uint32_t *entries; /* By (hi - base) >> shift, where to begin. */
    uint64_t base;
    uint32_t shift;
    uint32_t last_entry;
    uint32_t levels;
    uint32_t level_start[NSP_BOUNDS_LEVELS_MAX]; /* From the root down. */
    bool starts_inside;
    void *memory;
    size_t bytes;
};

/* Builds the tree of 'count' (<= 2^20) ranges, ascending, disjoint and not
 * adjacent. Returns 0 or -ENOMEM, '*tree' then being as if zeroed. */
int nsp_bounds_tree_init(struct nsp_bounds_tree *tree,
                         const struct nsp_range ranges[], uint32_t count,
                         const struct nsp_allocator *allocator) NSP_MUSTCHECK;

/* Accepts a zeroed one. */
void nsp_bounds_tree_fini(struct nsp_bounds_tree *tree,
                          const struct nsp_allocator *allocator);

bool nsp_bounds_tree_has(const struct nsp_bounds_tree *tree,
                         struct nsp_u128 value);

/* The last of the values from 'value' on that are all members, or all not. */
struct nsp_u128 nsp_bounds_tree_run_end(const struct nsp_bounds_tree *tree,
                                        struct nsp_u128 value);

/* Returns a mask of which of 'count' (<= 64) values are members: bit i for
 * values[i]. Steps down with all of them at once, so their cache misses
 * overlap. */
uint64_t nsp_bounds_tree_has_burst(const struct nsp_bounds_tree *tree,
                                   const struct nsp_u128 values[],
                                   uint32_t count);

#endif /* NSP_FILTER_BOUNDS_TREE_H */
