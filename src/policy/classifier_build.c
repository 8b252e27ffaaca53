#include "policy/classifier_build.h"

#include <errno.h>
#include <string.h>

#include "filter/compile.h"
#include "filter/partial.h"
#include "policy/cubes.h"

/* What one column will be built from. */
struct entries {
    struct nsp_entry *at;
    uint32_t count, room;
};

/* Rules whose cubes are made in the same memory, to spare taking it anew. */
#define RULES_PER_ARENA 64u

#define SHAPE_COLUMN                                                           \
    (NSP_CLASSIFIER_COLUMNS_MAX - 1) /* Its entries' place.                    \
                                      */

struct build {
    struct nsp_classifier *c;
    struct nsp_classifier_limits limits;
    struct nsp_columns columns;
    struct nsp_column shape;
    struct nsp_set_maker maker;
    struct entries entries[NSP_CLASSIFIER_COLUMNS_MAX];
    uint32_t range_count; /* Of all columns. */
    bool *marks;          /* Of each cube. */
    uint32_t cube_room;
};

/* --- Columns -------------------------------------------------------------- */

static void
choose_columns(struct build *b, const struct nsp_classifier_rule rules[])
{
    uint32_t uses[NSP_FIELDS_MAX] = { 0 };
    enum nsp_layer layer = NSP_LAYER_NETWORK;

    for (uint32_t r = 0; r < b->c->rule_count; r++) {
        const struct nsp_ir *ir =
            rules[r].filter ? nsp_filter_ir(rules[r].filter) : NULL;

        if (!rules[r].enabled || !ir)
            continue;
        layer = ir->layer;
        for (uint32_t i = 0; i < ir->count; i++) {
            const struct nsp_field *field = nsp_columns_field(&ir->tests[i]);

            if (!b->c->candidates || nsp_field_is_of_flow(field))
                uses[field - nsp_fields]++;
        }
    }
    nsp_columns_choose(uses, layer, &b->columns);
    b->shape = (struct nsp_column){
        .kind = NSP_COLUMN_SHAPE,
        .domain = { .has = { true }, .max = { { 0, NSP_SHAPE_MAX } } },
    };
}

/* --- Cubes ---------------------------------------------------------------- */

/* Makes room for 'more' items of 'bytes'; returns the new room, 0 without
 * memory. */
static uint32_t
reserve(const struct build *b, void **at, uint32_t count, uint32_t room,
        uint32_t more, size_t bytes)
{
    const struct nsp_allocator *allocator = &b->c->allocator;
    uint32_t needed = count + more;
    void *moved;

    if (needed <= room)
        return room;
    needed = needed > 2 * room ? needed + 64 : 2 * room;
    moved = nsp_alloc(allocator, needed, bytes);
    if (!moved)
        return 0;
    if (*at)
        memcpy(moved, *at, count * bytes);
    nsp_release(allocator, *at);
    *at = moved;
    return needed;
}

static int
add_entry(struct build *b, struct entries *entries, struct nsp_u128 lo,
          struct nsp_u128 hi, uint8_t part, uint32_t cube)
{
    void *at = entries->at;
    uint32_t room = reserve(b, &at, entries->count, entries->room, 1,
                            sizeof entries->at[0]);

    if (room == 0)
        return -ENOMEM;
    entries->at = at;
    entries->room = room;
    entries->at[entries->count++] = (struct nsp_entry){ lo, hi, cube, part };
    b->range_count++;
    return 0;
}

/* Shapes that no packet has are taken along where that makes fewer ranges. */
static int
add_shapes(struct build *b, const struct nsp_shapes *shapes, uint32_t cube)
{
    int r = 0;

    if (nsp_shapes_are_equal(shapes, &nsp_all_shapes))
        return 0;
    for (uint32_t first = 0, i = 0; i <= NSP_SHAPE_MAX + 1 && r == 0; i++) {
        uint64_t word = 0;

        if (i <= NSP_SHAPE_MAX)
            word = shapes->words[i / 64] | ~nsp_all_shapes.words[i / 64];
        if (word >> i % 64 & 1)
            continue;
        if (first < i)
            r = add_entry(b, &b->entries[SHAPE_COLUMN], nsp_u128(first),
                          nsp_u128(i - 1), NSP_PART_NARROW, cube);
        first = i + 1;
    }
    return r;
}

/* Adds the ranges of 'set'; where there are too many already, one for each
 * part, and stores that in '*widened'. */
static int
add_set(struct build *b, uint32_t column, const struct nsp_value_set *set,
        uint32_t cube, bool *widened)
{
    bool whole = set && b->range_count + set->count > b->limits.ranges_max;
    int r = 0;

    for (uint32_t i = 0, end; set && i < set->count && r == 0; i = end) {
        const struct nsp_value_range *range = &set->ranges[i];

        for (end = i + 1;
             whole && end < set->count && set->ranges[end].part == range->part;
             end++)
            *widened = true;
        r = add_entry(b, &b->entries[column], range->lo,
                      set->ranges[end - 1].hi, range->part, cube);
    }
    return r;
}

static int
add_cube(struct build *b, const struct nsp_cube *cube, uint32_t rule)
{
    struct nsp_classifier *c = b->c;
    uint32_t index = c->cube_count++;
    bool widened = false;
    int r = add_shapes(b, &cube->shapes, index);

    for (uint32_t i = 0; i < b->columns.count && r == 0; i++)
        r = add_set(b, i, cube->sets[i], index, &widened);
    if (widened)
        c->widening[rule] |= NSP_WIDENED_WORK;
    c->cube_rules[index] = rule;
    b->marks[index] = cube->is_marked || widened;
    return r;
}

static int
reserve_cubes(struct build *b, uint32_t more)
{
    void *rules = b->c->cube_rules, *marks = b->marks;
    uint32_t room = reserve(b, &rules, b->c->cube_count, b->cube_room, more,
                            sizeof b->c->cube_rules[0]);

    b->c->cube_rules = rules;
    if (room == 0 || reserve(b, &marks, b->c->cube_count, b->cube_room, more,
                             sizeof b->marks[0]) == 0)
        return -ENOMEM;
    b->marks = marks;
    b->cube_room = room;
    return 0;
}

/* Makes the cubes of rule 'r'; every rule behind it is left room for one. */
static int
add_rule(struct build *b, const struct nsp_classifier_rule *rule, uint32_t r)
{
    struct nsp_classifier *c = b->c;
    uint32_t limit = nsp_min_u32(NSP_CLASSIFIER_CUBES_MAX - c->cube_count -
                                     (c->rule_count - r - 1),
                                 NSP_CUBES_MAX);
    struct nsp_cube_list list;
    int result;

    nsp_cubes_make(&b->columns,
                   rule->filter ? nsp_filter_ir(rule->filter) : NULL,
                   rule->apply, limit, b->limits.steps_max, &b->maker, &list);
    c->widening[r] |= (uint8_t)list.widening;
    result = b->maker.failed ? -ENOMEM : 0;
    if (result == 0 && list.count > 0)
        result = reserve_cubes(b, list.count);
    for (uint32_t i = 0; i < list.count && result == 0; i++)
        result = add_cube(b, list.cubes[i], r);
    return result;
}

static int
add_rules(struct build *b, const struct nsp_classifier_rule rules[])
{
    struct nsp_classifier *c = b->c;
    int result = 0;

    for (uint32_t r = 0; r < c->rule_count && result == 0; r++) {
        c->first_cubes[r] = c->cube_count;
        c->rules[r] = rules[r];
        if (rules[r].enabled)
            result = add_rule(b, &rules[r], r);
        if (r % RULES_PER_ARENA == 0)
            nsp_arena_fini(&b->maker.arena);
    }
    nsp_arena_fini(&b->maker.arena);
    c->first_cubes[c->rule_count] = c->cube_count;
    return result;
}

/* --- Indexes -------------------------------------------------------------- */

/* Takes note of the rules whose cubes a coarser column marked. */
static void
blame(struct build *b, const bool before[])
{
    struct nsp_classifier *c = b->c;

    for (uint32_t i = 0; i < c->cube_count; i++) {
        if (b->marks[i] && !before[i])
            c->widening[c->cube_rules[i]] |= NSP_WIDENED_MEMORY;
    }
}

static int
coarsen(struct build *b, const struct nsp_column *column,
        struct entries *entries, uint32_t step)
{
    const struct nsp_allocator *allocator = &b->c->allocator;
    bool *before = nsp_alloc(allocator, b->c->cube_count, sizeof before[0]);
    uint32_t kept;

    if (!before)
        return -ENOMEM;
    memcpy(before, b->marks, b->c->cube_count * sizeof before[0]);
    kept = nsp_entries_coarsen(entries->at, entries->count, &column->domain,
                               step, b->marks, allocator);
    if (kept != UINT32_MAX) {
        entries->count = kept;
        blame(b, before);
    }
    nsp_release(allocator, before);
    return kept == UINT32_MAX ? -ENOMEM : 0;
}

/* Builds a column within 'bytes_max', at first as it is, then with half of its
 * ends, a fourth of them, and so on down to none. */
static int
build_column(struct build *b, const struct nsp_column *column,
             struct entries *entries, size_t bytes_max)
{
    struct nsp_classifier *c = b->c;
    struct nsp_class_index *index = &c->columns[c->column_count];
    uint64_t ends_max = 2 * (uint64_t)entries->count;
    int r = 0;

    while (entries->count > 0) {
        r = nsp_class_index_build(column, entries->at, entries->count,
                                  c->cube_count, bytes_max, &c->allocator,
                                  index);
        if (r == 0)
            c->column_count++;
        if (r != -EFBIG)
            break;
        r = coarsen(b, column, entries, ends_max > 0 ? 2 : UINT32_MAX);
        if (r != 0)
            break;
        ends_max /= 2;
    }
    return r;
}

/* A lookup needs one column at least. */
static int
build_any_column(struct build *b)
{
    struct nsp_classifier *c = b->c;
    int r;

    if (c->column_count > 0 || c->cube_count == 0)
        return 0;
    r = nsp_class_index_build(&b->shape, NULL, 0, c->cube_count, SIZE_MAX,
                              &c->allocator, &c->columns[0]);
    c->column_count += r == 0;
    return r;
}

/* Those with the most blocks first: fewest of these are special, and lookups
 * fetch them ahead. Of direct ones the order does not matter. */
static void
sort_columns(struct nsp_classifier *c)
{
    for (uint32_t i = 1; i < c->column_count; i++) {
        struct nsp_class_index index = c->columns[i];
        uint32_t k = i;

        for (; k > 0 && c->columns[k - 1].block_count < index.block_count; k--)
            c->columns[k] = c->columns[k - 1];
        c->columns[k] = index;
    }
}

static uint64_t
find_open_blocks(const struct nsp_classifier *c)
{
    uint64_t found = 0;

    for (uint32_t bit = 0; bit < c->cube_count; bit++) {
        uint64_t all = UINT64_MAX;

        for (uint32_t k = 0; k < NSP_SKIP_COLUMNS && k < c->column_count; k++) {
            const struct nsp_block *open = c->columns[k].open;

            all &= open->words[bit / 64];
        }
        found |= (all >> bit % 64 & 1) << bit / NSP_BLOCK_BITS;
    }
    return found;
}

static int
build_columns(struct build *b, size_t bytes_max)
{
    struct nsp_classifier *c = b->c;
    uint32_t left = b->columns.count + 1;
    int r = 0;

    /* Small columns first: what they leave is the others'. */
    for (uint32_t i = NSP_CLASSIFIER_COLUMNS_MAX; i-- > 0 && r == 0;) {
        const struct nsp_column *column =
            i == SHAPE_COLUMN ? &b->shape : &b->columns.at[i];

        if (i != SHAPE_COLUMN && i >= b->columns.count)
            continue;
        r = build_column(b, column, &b->entries[i], bytes_max / left--);
        if (r == 0 && c->column_count > 0 && b->entries[i].count > 0)
            bytes_max -= c->columns[c->column_count - 1].bytes;
    }
    sort_columns(c);
    if (r == 0)
        r = build_any_column(b);
    if (r == 0)
        c->open_blocks = find_open_blocks(c);
    return r;
}

/* --- Rules ---------------------------------------------------------------- */

static bool
is_open(const struct nsp_classifier_rule *rule, uint32_t direction)
{
    return rule->enabled && !rule->filter && nsp_rule_is_for(rule, direction);
}

static int
list_open_rules(struct nsp_classifier *c,
                const struct nsp_classifier_rule rules[])
{
    for (uint32_t d = 0; d < NSP_DIRECTIONS; d++) {
        struct nsp_open_rules *open = &c->open[d];
        uint32_t count = 0;

        for (uint32_t r = 0; r < c->rule_count; r++)
            count += is_open(&rules[r], d);
        open->rules =
            nsp_alloc(&c->allocator, count + 1, sizeof open->rules[0]);
        if (!open->rules)
            return -ENOMEM;
        for (uint32_t r = 0; r < c->rule_count; r++) {
            if (is_open(&rules[r], d))
                open->rules[open->count++] = r;
        }
    }
    return 0;
}

/* Widening that in the end marked nothing did not matter. */
static void
mark_cubes(struct build *b)
{
    struct nsp_classifier *c = b->c;

    for (uint32_t r = 0; r < c->rule_count; r++) {
        bool any = false;

        for (uint32_t i = c->first_cubes[r]; i < c->first_cubes[r + 1]; i++) {
            c->cube_rules[i] |= b->marks[i] ? NSP_CUBE_MARK : 0;
            any |= b->marks[i];
        }
        if (!any)
            c->widening[r] = 0;
    }
}

int
nsp_classifier_build(struct nsp_classifier *c,
                     const struct nsp_classifier_rule rules[],
                     const struct nsp_classifier_limits *limits)
{
    struct build b = { .c = c, .limits = *limits };
    uint32_t count = c->rule_count;
    int r = -ENOMEM;

    nsp_arena_init(&b.maker.arena, &c->allocator);
    c->first_cubes =
        nsp_alloc(&c->allocator, count + 1, sizeof c->first_cubes[0]);
    c->rules = nsp_alloc(&c->allocator, count + 1, sizeof c->rules[0]);
    c->widening = nsp_alloc(&c->allocator, count + 1, sizeof c->widening[0]);
    if (c->first_cubes && c->rules && c->widening) {
        choose_columns(&b, rules);
        r = add_rules(&b, rules);
    }
    c->is_direct = c->cube_count <= NSP_DIRECT_MAX;
    if (r == 0)
        r = build_columns(&b, limits->bytes_max);
    if (r == 0)
        r = list_open_rules(c, rules);
    if (r == 0)
        mark_cubes(&b);
    for (uint32_t i = 0; i < NSP_CLASSIFIER_COLUMNS_MAX; i++)
        nsp_release(&c->allocator, b.entries[i].at);
    nsp_release(&c->allocator, b.marks);
    return r;
}
