#include "filter/bounds_tree.h"

#include <errno.h>
#include <string.h>

#define KEYS        NSP_BOUNDS_KEYS
#define CHILDREN    (KEYS + 1)
#define LEVEL_BITS  3u
#define LEVEL_MASK  7u
#define ENTRIES_MAX (UINT32_C(1) << 20)

/* A node on the way down, numbered within its level. */
struct place {
    uint32_t level, node;
};

/* Keys less than 'value' in a node that holds its upper half. */
static uint32_t
rank_equal(const struct nsp_bounds_tree *tree, uint32_t node,
           struct nsp_u128 value)
{
    const uint64_t *hi = tree->nodes[node].hi, *lo = tree->nodes[node].lo;
    uint32_t rank = 0;

    for (uint32_t i = 0; i < KEYS; i++)
        rank += (uint32_t)(hi[i] < value.hi) |
                ((uint32_t)(hi[i] == value.hi) & (uint32_t)(lo[i] < value.lo));
    return rank;
}

static NSP_ALWAYS_INLINE uint32_t
number_of(const struct nsp_bounds_tree *tree, struct place at)
{
    return tree->level_start[at.level] + at.node;
}

/* Number of keys of the node with an upper half less than 'v'. Counting all,
 * spelled out, has no branch that could be predicted wrongly. */
static NSP_ALWAYS_INLINE uint32_t
rank_upper(const uint64_t hi[KEYS], uint64_t v)
{
    return (uint32_t)(hi[0] < v) + (uint32_t)(hi[1] < v) +
           (uint32_t)(hi[2] < v) + (uint32_t)(hi[3] < v) +
           (uint32_t)(hi[4] < v) + (uint32_t)(hi[5] < v) +
           (uint32_t)(hi[6] < v) + (uint32_t)(hi[7] < v);
}

/* Tells whether the lower halves matter. Where all upper halves are less, it is
 * the first that is compared, which is not equal. */
static NSP_ALWAYS_INLINE bool
is_tied(const uint64_t hi[KEYS], uint32_t rank, uint64_t v)
{
    return hi[rank % KEYS] == v;
}

static NSP_ALWAYS_INLINE uint32_t
rank_in(const struct nsp_bounds_tree *tree, struct place at,
        struct nsp_u128 value)
{
    uint32_t node = number_of(tree, at);
    const uint64_t *hi = tree->nodes[node].hi;
    uint32_t rank = rank_upper(hi, value.hi);

    if (nsp_unlikely(is_tied(hi, rank, value.hi)))
        return rank_equal(tree, node, value);
    return rank;
}

/* A value below 'base' wraps to some entry: none of the keys under its node is
 * less than the value, which is the answer. */
static NSP_ALWAYS_INLINE const uint32_t *
entry_of(const struct nsp_bounds_tree *tree, struct nsp_u128 value)
{
    return &tree->entries[nsp_min_u64((value.hi - tree->base) >> tree->shift,
                                      tree->last_entry)];
}

static NSP_ALWAYS_INLINE struct place
enter(const uint32_t *entry)
{
    return (struct place){ *entry & LEVEL_MASK, *entry >> LEVEL_BITS };
}

static NSP_ALWAYS_INLINE struct place
step_down(const struct nsp_bounds_tree *tree, struct place at,
          struct nsp_u128 value)
{
    return (struct place){ at.level + 1,
                           at.node * CHILDREN + rank_in(tree, at, value) };
}

/* KEYS is even, so whole leaves in front of this one do not count. */
static NSP_ALWAYS_INLINE bool
is_inside(const struct nsp_bounds_tree *tree, uint32_t rank)
{
    return (rank & 1) != tree->starts_inside;
}

bool
nsp_bounds_tree_has(const struct nsp_bounds_tree *tree, struct nsp_u128 value)
{
    struct place at = enter(entry_of(tree, value));

    while (at.level + 1 < tree->levels)
        at = step_down(tree, at, value);
    return is_inside(tree, rank_in(tree, at, value));
}

/* From the root, as the entries of values below all keys lead astray. */
struct nsp_u128
nsp_bounds_tree_run_end(const struct nsp_bounds_tree *tree,
                        struct nsp_u128 value)
{
    struct place at = { 0, 0 };
    uint32_t rank, node;

    while (at.level + 1 < tree->levels)
        at = step_down(tree, at, value);
    rank = rank_in(tree, at, value);
    node = number_of(tree, at);
    if (rank == KEYS)
        return NSP_U128_MAX;
    return (struct nsp_u128){ tree->nodes[node].hi[rank],
                              tree->nodes[node].lo[rank] };
}

/* Answers for values that have come to their leaves. Lower halves come in a
 * second round, lest each be waited for alone. */
static uint64_t
leaves_have(const struct nsp_bounds_tree *tree, const struct place at[],
            const struct nsp_u128 values[], uint32_t count)
{
    uint8_t tied[64];
    uint32_t tied_count = 0;
    uint64_t has = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t node = number_of(tree, at[i]);
        const uint64_t *hi = tree->nodes[node].hi;
        uint32_t rank = rank_upper(hi, values[i].hi);

        has |= (uint64_t)is_inside(tree, rank) << i;
        if (is_tied(hi, rank, values[i].hi)) {
            nsp_prefetch(tree->nodes[node].lo);
            tied[tied_count++] = (uint8_t)i;
        }
    }
    for (uint32_t t = 0; t < tied_count; t++) {
        uint32_t i = tied[t];
        uint32_t rank = rank_equal(tree, number_of(tree, at[i]), values[i]);

        has &= ~(UINT64_C(1) << i);
        has |= (uint64_t)is_inside(tree, rank) << i;
    }
    return has;
}

static NSP_ALWAYS_INLINE void
prefetch_node(const struct nsp_bounds_tree *tree, struct place at)
{
    nsp_prefetch(tree->nodes[number_of(tree, at)].hi);
}

uint64_t
nsp_bounds_tree_has_burst(const struct nsp_bounds_tree *tree,
                          const struct nsp_u128 values[], uint32_t count)
{
    struct place at[64];
    uint8_t pending[64];
    uint32_t pending_count = 0;

    assert(count <= 64);
    for (uint32_t i = 0; i < count; i++)
        nsp_prefetch(entry_of(tree, values[i]));
    for (uint32_t i = 0; i < count; i++) {
        at[i] = enter(entry_of(tree, values[i]));
        prefetch_node(tree, at[i]);
        pending[pending_count] = (uint8_t)i;
        pending_count += at[i].level + 1 < tree->levels;
    }
    while (pending_count > 0) {
        uint32_t left = 0;

        for (uint32_t p = 0; p < pending_count; p++) {
            uint32_t i = pending[p];

            at[i] = step_down(tree, at[i], values[i]);
            prefetch_node(tree, at[i]);
            pending[left] = (uint8_t)i;
            left += at[i].level + 1 < tree->levels;
        }
        pending_count = left;
    }
    return leaves_have(tree, at, values, count);
}

/* --- Building ------------------------------------------------------------- */

/* The parts of a tree while they are written. */
struct draft {
    struct nsp_bounds_node *nodes;
    uint32_t *entries;
    uint32_t sizes[NSP_BOUNDS_LEVELS_MAX]; /* Nodes of each level. */
    uint32_t total;
};

static uint32_t
divide_up(uint32_t a, uint32_t b)
{
    return a / b + (a % b != 0);
}

static void
set_key(struct draft *draft, uint32_t node, uint32_t i, struct nsp_u128 key)
{
    draft->nodes[node].hi[i] = key.hi;
    draft->nodes[node].lo[i] = key.lo;
}

/* Stores the bounds of 'ranges' in the leaves, from node 'first' on. */
static void
fill_leaves(struct draft *draft, uint32_t first,
            const struct nsp_range ranges[], uint32_t count)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (!nsp_u128_is_zero(ranges[i].lo)) {
            set_key(draft, first + n / KEYS, n % KEYS,
                    nsp_u128_sub(ranges[i].lo, nsp_u128(1)));
            n++;
        }
        set_key(draft, first + n / KEYS, n % KEYS, ranges[i].hi);
        n++;
    }
}

/* Fills the inner nodes of 'level', with 'span' leaves below each child. A
 * child that is the last has no key: everything greater is there. */
static void
fill_inner(const struct nsp_bounds_tree *tree, struct draft *draft,
           uint32_t level, uint32_t span)
{
    uint32_t leaves = tree->level_start[tree->levels - 1];
    uint32_t leaf_count = draft->sizes[tree->levels - 1];

    for (uint32_t i = 0; i < draft->sizes[level]; i++) {
        for (uint32_t k = 0; k < KEYS; k++) {
            uint64_t next = ((uint64_t)i * CHILDREN + k + 1) * span;
            uint64_t greatest = leaves + next - 1;

            if (next >= leaf_count)
                return;
            set_key(draft, tree->level_start[level] + i, k,
                    (struct nsp_u128){ draft->nodes[greatest].hi[KEYS - 1],
                                       draft->nodes[greatest].lo[KEYS - 1] });
        }
    }
}

static uint32_t
find_leaf(const struct nsp_bounds_tree *tree, struct nsp_u128 value)
{
    struct place at = { 0, 0 };

    while (at.level + 1 < tree->levels)
        at = step_down(tree, at, value);
    return at.node;
}

/* The lowest node that all values of entry 'i' pass is the lowest common one
 * above the leaves of the first and the last of them. What lies beyond the
 * greatest key falls in the last leaf, as that key does. */
static uint32_t
make_entry(const struct nsp_bounds_tree *tree, uint32_t i)
{
    uint64_t first_hi = nsp_add_sat_u64(tree->base, (uint64_t)i << tree->shift);
    uint64_t last_hi =
        nsp_add_sat_u64(first_hi, (UINT64_C(1) << tree->shift) - 1);
    uint32_t first = find_leaf(tree, (struct nsp_u128){ first_hi, 0 });
    uint32_t last = find_leaf(tree, (struct nsp_u128){ last_hi, UINT64_MAX });
    uint32_t level = tree->levels - 1;

    for (; first != last; level--) {
        first /= CHILDREN;
        last /= CHILDREN;
    }
    return first << LEVEL_BITS | level;
}

/* Lays out the levels above the leaves. */
static void
lay_out(struct nsp_bounds_tree *tree, struct draft *draft, uint32_t leaf_count)
{
    tree->levels = 1;
    for (uint32_t n = leaf_count; n > 1; n = divide_up(n, CHILDREN))
        tree->levels++;
    assert(tree->levels <= NSP_BOUNDS_LEVELS_MAX);
    draft->sizes[tree->levels - 1] = leaf_count;
    for (uint32_t i = tree->levels - 1; i > 0; i--)
        draft->sizes[i - 1] = divide_up(draft->sizes[i], CHILDREN);
    for (uint32_t i = 0; i < tree->levels; i++) {
        tree->level_start[i] = draft->total;
        draft->total += draft->sizes[i];
    }
}

/* About four entries for each leaf, so that most lie in one, and such a shift
 * that the bounds spread over all entries. */
static void
scale_entries(struct nsp_bounds_tree *tree, const struct nsp_range ranges[],
              uint32_t count, uint32_t leaf_count)
{
    uint32_t entries = 1;
    uint64_t spread = 0;

    while (entries / 4 < leaf_count && entries < ENTRIES_MAX)
        entries *= 2;
    tree->last_entry = entries - 1;
    if (count > 0) {
        tree->base = ranges[0].lo.hi;
        spread = ranges[count - 1].hi.hi - tree->base;
    }
    while (spread >> tree->shift > tree->last_entry && tree->shift < 63)
        tree->shift++;
}

/* One block holds everything, in whole cache lines. */
static int
allocate(struct nsp_bounds_tree *tree, struct draft *draft,
         const struct nsp_allocator *allocator)
{
    size_t nodes_bytes = draft->total * sizeof *draft->nodes;
    uintptr_t start;

    tree->bytes = nodes_bytes +
                  ((size_t)tree->last_entry + 1) * sizeof *draft->entries +
                  NSP_CACHE_LINE;
    tree->memory = nsp_alloc(allocator, 1, tree->bytes);
    if (!tree->memory)
        return -ENOMEM;
    start = ((uintptr_t)tree->memory + NSP_CACHE_LINE - 1) &
            ~(uintptr_t)(NSP_CACHE_LINE - 1);
    draft->nodes = (struct nsp_bounds_node *)start;
    draft->entries = (uint32_t *)(void *)(draft->nodes + draft->total);
    memset(draft->nodes, 0xff, nodes_bytes);
    tree->nodes = draft->nodes;
    tree->entries = draft->entries;
    return 0;
}

int
nsp_bounds_tree_init(struct nsp_bounds_tree *tree,
                     const struct nsp_range ranges[], uint32_t count,
                     const struct nsp_allocator *allocator)
{
    uint32_t leaf_count = count == 0 ? 1 : divide_up(2 * count, KEYS);
    struct draft draft = { 0 };
    uint32_t span = 1;

    *tree = (struct nsp_bounds_tree){ 0 };
    lay_out(tree, &draft, leaf_count);
    scale_entries(tree, ranges, count, leaf_count);
    if (allocate(tree, &draft, allocator) < 0) {
        *tree = (struct nsp_bounds_tree){ 0 };
        return -ENOMEM;
    }

    tree->starts_inside = count > 0 && nsp_u128_is_zero(ranges[0].lo);
    fill_leaves(&draft, tree->level_start[tree->levels - 1], ranges, count);
    for (uint32_t level = tree->levels - 1; level > 0; level--) {
        fill_inner(tree, &draft, level - 1, span);
        span *= CHILDREN;
    }
    for (uint32_t i = 0; i <= tree->last_entry; i++)
        draft.entries[i] = make_entry(tree, i);
    return 0;
}

void
nsp_bounds_tree_fini(struct nsp_bounds_tree *tree,
                     const struct nsp_allocator *allocator)
{
    nsp_release(allocator, tree->memory);
    *tree = (struct nsp_bounds_tree){ 0 };
}
