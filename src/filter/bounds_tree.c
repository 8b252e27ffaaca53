#include "filter/bounds_tree.h"

#include <errno.h>
#include <string.h>

#define KEYS        NSP_BOUNDS_KEYS
#define CHILDREN    (KEYS + 1)
#define LEVEL_MASK  7u
#define PAIR        8u /* The leaf and the next one. */
#define NODE_SHIFT  4u
#define ENTRIES_MAX (UINT32_C(1) << 20)

/* A node on the way down, numbered within its level. */
struct place {
    uint32_t level, node;
    uint32_t pair; /* 1: the value is in this leaf or the next one, else 0. */
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
    return (struct place){ *entry & LEVEL_MASK, *entry >> NODE_SHIFT,
                           (*entry & PAIR) / PAIR };
}

static NSP_ALWAYS_INLINE struct place
step_down(const struct nsp_bounds_tree *tree, struct place at,
          struct nsp_u128 value)
{
    return (struct place){ at.level + 1,
                           at.node * CHILDREN + rank_in(tree, at, value), 0 };
}

/* KEYS is even, so whole leaves in front of these do not count. */
static_assert(KEYS % 2 == 0, "a whole leaf changes nothing");

bool
nsp_bounds_tree_has(const struct nsp_bounds_tree *tree, struct nsp_u128 value)
{
    struct place at = enter(entry_of(tree, value));
    uint32_t rank;

    while (at.level + 1 < tree->levels)
        at = step_down(tree, at, value);
    rank = rank_in(tree, at, value);
    if (at.pair) {
        at.node++;
        rank += rank_in(tree, at, value);
    }
    return (rank & 1) != tree->starts_inside;
}

/* From the root, as the entries of values below all keys lead astray. */
struct nsp_u128
nsp_bounds_tree_run_end(const struct nsp_bounds_tree *tree,
                        struct nsp_u128 value)
{
    struct place at = { 0, 0, 0 };
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

/* Values between a fetch and the use of what it brings: enough to wait for
 * memory, few enough that the processor can wait for all at once. */
#define AHEAD 12u

/* The way of a burst through the tree. A value goes from its entry to a leaf,
 * or two; where the entry leads to none, it is pending. */
struct burst {
    const struct nsp_bounds_tree *tree;
    const struct nsp_u128 *values;
    uint32_t visit_count, compared;
    uint32_t pending_count, tied_count;
    uint32_t leaves[2 * 64];  /* To be compared: numbers of nodes, */
    uint8_t visitors[2 * 64]; /* and of the values. */
    uint8_t tied[2 * 64];     /* Visits that need the lower halves. */
    uint8_t pending[64];
    struct place at[64];
    uint64_t odd; /* Values with an odd number of keys less than them. */
};

static NSP_ALWAYS_INLINE void
add_visit(struct burst *b, uint32_t i, uint32_t node, bool really)
{
    b->leaves[b->visit_count] = node;
    b->visitors[b->visit_count] = (uint8_t)i;
    b->visit_count += really;
    nsp_prefetch(b->tree->nodes[node].hi);
}

/* Takes note, without a branch, of where value 'i' has come to. */
static NSP_ALWAYS_INLINE void
arrive(struct burst *b, uint32_t i)
{
    struct place at = b->at[i];
    uint32_t node = number_of(b->tree, at);
    bool is_leaf = at.level + 1 == b->tree->levels;

    add_visit(b, i, node, is_leaf);
    add_visit(b, i, node + at.pair, at.pair);
    b->pending[b->pending_count] = (uint8_t)i;
    b->pending_count += !is_leaf;
}

/* Lower halves come in a second round, lest each be waited for alone. */
static NSP_ALWAYS_INLINE void
compare_next(struct burst *b)
{
    uint32_t visit = b->compared++, i = b->visitors[visit];
    const struct nsp_bounds_node *leaf = &b->tree->nodes[b->leaves[visit]];
    uint32_t rank = rank_upper(leaf->hi, b->values[i].hi);

    b->odd ^= (uint64_t)(rank & 1) << i;
    if (is_tied(leaf->hi, rank, b->values[i].hi)) {
        nsp_prefetch(leaf->lo);
        b->tied[b->tied_count++] = (uint8_t)visit;
    }
}

static void
compare_tied(struct burst *b)
{
    for (uint32_t t = 0; t < b->tied_count; t++) {
        uint32_t visit = b->tied[t], i = b->visitors[visit];
        const struct nsp_bounds_node *leaf = &b->tree->nodes[b->leaves[visit]];
        uint32_t guess = rank_upper(leaf->hi, b->values[i].hi);
        uint32_t rank = rank_equal(b->tree, b->leaves[visit], b->values[i]);

        b->odd ^= (uint64_t)((rank ^ guess) & 1) << i;
    }
}

static void
step_pending_down(struct burst *b)
{
    uint32_t count = b->pending_count;

    b->pending_count = 0;
    for (uint32_t p = 0; p < count; p++) {
        uint32_t i = b->pending[p];

        b->at[i] = step_down(b->tree, b->at[i], b->values[i]);
        arrive(b, i);
    }
}

/* A pipeline: while entries and leaves of later values are on their way from
 * memory, those of earlier ones are compared. */
uint64_t
nsp_bounds_tree_has_burst(const struct nsp_bounds_tree *tree,
                          const struct nsp_u128 values[], uint32_t count)
{
    struct burst b;
    uint64_t all = count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;

    assert(count <= 64);
    b.tree = tree;
    b.values = values;
    b.visit_count = b.compared = b.pending_count = b.tied_count = 0;
    b.odd = 0;
    for (uint32_t i = 0; i < count + AHEAD; i++) {
        if (i < count)
            nsp_prefetch(entry_of(tree, values[i]));
        if (i >= AHEAD) {
            b.at[i - AHEAD] = enter(entry_of(tree, values[i - AHEAD]));
            arrive(&b, i - AHEAD);
        }
        if (i >= 2 * AHEAD && b.compared < b.visit_count)
            compare_next(&b);
    }
    while (b.pending_count > 0)
        step_pending_down(&b);
    while (b.compared < b.visit_count)
        compare_next(&b);
    compare_tied(&b);
    return (tree->starts_inside ? ~b.odd : b.odd) & all;
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
    struct place at = { 0, 0, 0 };

    while (at.level + 1 < tree->levels)
        at = step_down(tree, at, value);
    return at.node;
}

/* Where all values of entry 'i' lie in one leaf or two neighbours, these are
 * where to begin; else it is the lowest node that all pass, the common one
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

    if (last == first + 1)
        return first << NODE_SHIFT | PAIR | level;
    for (; first != last; level--) {
        first /= CHILDREN;
        last /= CHILDREN;
    }
    return first << NODE_SHIFT | level;
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
