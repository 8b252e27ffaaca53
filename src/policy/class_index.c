#include "policy/class_index.h"

#include <errno.h>
#include <string.h>

#include "policy/interner.h"

/* Where the class of a value begins. */
struct bound {
    struct nsp_u128 at;
    uint8_t part;
    uint16_t class;
};

struct sweep {
    const struct nsp_allocator *allocator;
    const struct nsp_column *column;
    uint32_t blocks_wide; /* Blocks of a bitmap. */
    bool is_direct;       /* The bitmap is the record. */
    uint32_t stride;
    size_t bytes_max;
    struct nsp_interner blocks, records;
    struct nsp_vector bounds;
    struct nsp_block *open, *now;    /* Bitmaps: open cubes; the current. */
    struct nsp_class_record *record; /* Of the current bitmap. */
};

/* --- The sweep ------------------------------------------------------------ */

static void
set_bit(uint64_t words[], uint32_t bit, bool value)
{
    uint64_t *word = &words[bit / 64], mask = UINT64_C(1) << bit % 64;

    *word = value ? *word | mask : *word & ~mask;
}

/* Brings the current record up to date with block 'b'. */
static int
settle_block(struct sweep *s, uint32_t b)
{
    uint64_t any = 0, differs = 0;

    if (s->is_direct)
        return 0;
    for (uint32_t w = 0; w < NSP_ARRAY_LEN(s->now[b].words); w++) {
        any |= s->now[b].words[w];
        differs |= s->now[b].words[w] ^ s->open[b].words[w];
    }
    set_bit(&s->record->filled, b, any != 0);
    set_bit(&s->record->special, b, differs != 0);
    return nsp_intern(&s->blocks, &s->now[b], s->allocator, &s->record->ids[b]);
}

static size_t
bytes_so_far(const struct sweep *s)
{
    return s->blocks.items.count * sizeof(struct nsp_block) +
           s->records.items.count * s->stride +
           s->bounds.count * sizeof(struct nsp_u128);
}

/* Begins the class of the current bitmap at 'at'. */
static int
add_bound(struct sweep *s, uint8_t part, struct nsp_u128 at)
{
    const void *record =
        s->is_direct ? (const void *)s->now : (const void *)s->record;
    struct bound bound = { at, part, 0 };
    int r = nsp_intern(&s->records, record, s->allocator, &bound.class);

    if (r != 0)
        return r;
    if (s->bounds.count > 0) {
        const struct bound *last =
            (const struct bound *)s->bounds.at + s->bounds.count - 1;

        if (last->part == part && last->class == bound.class)
            return 0;
    }
    if (bytes_so_far(s) > s->bytes_max)
        return -EFBIG;
    return nsp_vector_push(&s->bounds, &bound, s->allocator);
}

/* Sweeps over 'part', whose ends are the first of 'ends'; returns how many they
 * are, or a negative errno. */
static int64_t
sweep_part(struct sweep *s, uint8_t part, const struct nsp_end ends[],
           uint32_t count)
{
    struct nsp_u128 at = { 0, 0 };
    uint64_t dirty = UINT64_MAX >> (64 - s->blocks_wide);
    uint32_t i = 0;

    memcpy(s->now, s->open, s->blocks_wide * sizeof s->now[0]);
    for (;;) {
        int r = 0;

        for (; i < count && ends[i].part == part &&
               nsp_u128_equal(ends[i].at, at);
             i++) {
            set_bit(s->now->words, ends[i].cube, ends[i].begins);
            dirty |= UINT64_C(1) << ends[i].cube / NSP_BLOCK_BITS;
        }
        for (; dirty != 0 && r == 0; dirty &= dirty - 1)
            r = settle_block(s, nsp_ctz_u64(dirty));
        if (r == 0)
            r = add_bound(s, part, at);
        if (r != 0)
            return r;
        if (i == count || ends[i].part != part)
            return i;
        at = ends[i].at;
    }
}

static int
sweep_all(struct sweep *s, const struct nsp_entry entries[], uint32_t count)
{
    struct nsp_end *ends =
        nsp_alloc(s->allocator, 4 * (size_t)count + 2, sizeof ends[0]);
    uint32_t end_count, done = 0;
    int64_t r = 0;

    if (!ends)
        return -ENOMEM;
    end_count = nsp_entries_list_ends(entries, count, &s->column->domain,
                                      ends + 2 * (size_t)count + 1, ends);
    for (uint8_t part = 0; part < NSP_PARTS && r >= 0; part++) {
        if (!s->column->domain.has[part])
            continue;
        r = sweep_part(s, part, ends + done, end_count - done);
        done += r > 0 ? (uint32_t)r : 0;
    }
    nsp_release(s->allocator, ends);
    return r < 0 ? (int)r : 0;
}

/* --- Layout --------------------------------------------------------------- */

/* Arrays that end up in one piece of memory, each at the start of a line. */
struct piece {
    struct nsp_vector items;
    const void **target;
};

#define PIECES_MAX (4 * NSP_TREE_LEVELS + 12)

struct layout {
    const struct sweep *sweep;
    struct nsp_class_index *index;
    struct piece pieces[PIECES_MAX];
    uint32_t count;
    int result; /* Of all steps so far. */
};

static struct nsp_vector *
add_piece(struct layout *l, size_t item_bytes, const void **target)
{
    struct piece *piece = &l->pieces[l->count++];

    assert(l->count <= PIECES_MAX);
    piece->items.item_bytes = item_bytes;
    piece->target = target;
    return &piece->items;
}

static void
append(struct layout *l, struct nsp_vector *v, const void *item)
{
    if (l->result == 0)
        l->result = nsp_vector_push(v, item, l->sweep->allocator);
}

/* The bounds of 'part'. */
static const struct bound *
bounds_of(const struct sweep *s, uint8_t part, uint32_t *ret_count)
{
    const struct bound *bounds = s->bounds.at;
    uint32_t i = 0, n = 0;

    while (i < s->bounds.count && bounds[i].part < part)
        i++;
    while (i + n < s->bounds.count && bounds[i + n].part == part)
        n++;
    *ret_count = n;
    return bounds + i;
}

static void
lay_table(struct layout *l)
{
    const struct sweep *s = l->sweep;
    struct nsp_vector *directory =
        add_piece(l, sizeof(uint16_t), &l->index->directory);
    struct nsp_interner pages = { .items.item_bytes =
                                      NSP_PAGE_SIZE * sizeof(uint16_t) };
    uint64_t last = s->column->domain.max[NSP_PART_NARROW].lo;
    uint32_t count, at = 0;
    const struct bound *bounds = bounds_of(s, NSP_PART_NARROW, &count);

    for (uint64_t first = 0; first <= last && l->result == 0;
         first += NSP_PAGE_SIZE) {
        uint16_t page[NSP_PAGE_SIZE], number = 0;

        for (uint32_t i = 0; i < NSP_PAGE_SIZE; i++) {
            while (at + 1 < count && bounds[at + 1].at.lo <= first + i)
                at++;
            page[i] = bounds[at].class;
        }
        l->result = nsp_intern(&pages, page, s->allocator, &number);
        append(l, directory, &number);
    }
    nsp_release(s->allocator, pages.slots);
    *add_piece(l, pages.items.item_bytes, &l->index->pages) = pages.items;
}

/* Builds the levels of 'tree' over 'keys', which become a piece, too. */
static void
lay_levels(struct layout *l, const struct nsp_vector *keys,
           struct nsp_tree *tree)
{
    size_t bytes = keys->item_bytes;
    uint32_t fanout = NSP_CACHE_LINE / (uint32_t)bytes;
    uint32_t levels = 1;
    static const uint32_t pad32 = INT32_MAX;
    static const uint64_t pad64 = INT64_MAX;

    for (size_t n = keys->count; n > fanout; levels++)
        n = (n + fanout - 1) / fanout;
    assert(levels <= NSP_ARRAY_LEN(tree->keys));
    tree->levels = levels;
    for (size_t step = 1; levels-- > 0; step *= fanout) {
        struct nsp_vector *level = add_piece(l, bytes, &tree->keys[levels]);

        for (size_t i = 0; i < keys->count; i += step)
            append(l, level, (char *)keys->at + i * bytes);
        tree->counts[levels] = (uint32_t)level->count;
        /* Searches of slices may begin behind the last key. */
        while ((level->count < tree->counts[levels] + fanout ||
                level->count % fanout != 0) &&
               l->result == 0)
            append(l, level,
                   bytes == sizeof pad32 ? (const void *)&pad32
                                         : (const void *)&pad64);
    }
}

/* The greatest number of bounds in a slice of 2^shift values. */
static uint32_t
most_in_slice(const struct bound bounds[], uint32_t count, uint32_t shift)
{
    uint32_t most = 0;

    for (uint32_t first = 0, i = 0; i < count; i++) {
        if (bounds[i].at.lo >> shift != bounds[first].at.lo >> shift)
            first = i;
        most = nsp_max_u32(most, i - first + 1);
    }
    return most;
}

/* Chooses the largest slices that are small enough, in no more memory than the
 * rest of the index takes. */
static bool
choose_slices(const struct bound bounds[], uint32_t count, uint64_t last,
              uint32_t *ret_shift)
{
    uint32_t most = nsp_min_u32(32 * count, NSP_SLICES_MAX);

    for (uint32_t shift = 28; count <= UINT16_MAX; shift--) {
        if (last >> shift >= most)
            return false;
        if (most_in_slice(bounds, count, shift) <= NSP_TREE_FANOUT) {
            *ret_shift = shift;
            return true;
        }
    }
    return false;
}

static void
lay_slices(struct layout *l, const struct bound bounds[], uint32_t count)
{
    struct nsp_class_index *index = l->index;
    uint64_t last = l->sweep->column->domain.max[NSP_PART_NARROW].lo;
    struct nsp_vector *slices;

    if (!choose_slices(bounds, count, last, &index->slice_shift))
        return;
    slices = add_piece(l, sizeof(uint16_t), &index->slices);
    for (uint64_t first = 0, at = 0; first <= last;
         first += UINT64_C(1) << index->slice_shift) {
        uint16_t number;

        while (at + 1 < count && bounds[at + 1].at.lo <= first)
            at++;
        number = (uint16_t)at;
        append(l, slices, &number);
    }
}

static void
lay_narrow(struct layout *l)
{
    struct nsp_tree *tree = &l->index->narrow;
    struct nsp_vector *classes = add_piece(l, sizeof(uint16_t), &tree->classes);
    struct nsp_vector keys = { .item_bytes = sizeof(uint32_t) };
    uint32_t count;
    const struct bound *bounds = bounds_of(l->sweep, NSP_PART_NARROW, &count);

    for (uint32_t i = 0; i < count; i++) {
        uint32_t key = (uint32_t)bounds[i].at.lo ^ NSP_SIGN32;

        append(l, &keys, &key);
        append(l, classes, &bounds[i].class);
    }
    /* Padding counts as keys where the key searched for is the greatest. */
    for (uint32_t i = 0; i < NSP_TREE_FANOUT; i++)
        append(l, classes, &bounds[count - 1].class);
    if (l->result == 0)
        lay_levels(l, &keys, tree);
    lay_slices(l, bounds, count);
    nsp_release(l->sweep->allocator, keys.at);
}

static void
lay_wide(struct layout *l)
{
    struct nsp_class_index *index = l->index;
    struct nsp_vector *first =
        add_piece(l, sizeof(uint32_t), &index->wide_first);
    struct nsp_vector *lows = add_piece(l, sizeof(uint64_t), &index->wide_lows);
    struct nsp_vector *classes =
        add_piece(l, sizeof(uint16_t), &index->wide_classes);
    struct nsp_vector keys = { .item_bytes = sizeof(uint64_t) };
    uint32_t count;
    const struct bound *bounds = bounds_of(l->sweep, NSP_PART_WIDE, &count);

    for (uint32_t i = 0; i < count; i++) {
        uint64_t key = bounds[i].at.hi ^ NSP_SIGN64;

        if (i == 0 || bounds[i].at.hi != bounds[i - 1].at.hi) {
            append(l, &keys, &key);
            append(l, first, &i);
        }
        append(l, lows, &bounds[i].at.lo);
        append(l, classes, &bounds[i].class);
    }
    append(l, first, &count);
    if (l->result == 0)
        lay_levels(l, &keys, &index->wide);
    nsp_release(l->sweep->allocator, keys.at);
}

/* Copies the pieces to where they stay. */
static int
settle(struct layout *l)
{
    size_t bytes = NSP_CACHE_LINE - 1;
    uint8_t *at;

    for (uint32_t i = 0; i < l->count; i++) {
        const struct nsp_vector *v = &l->pieces[i].items;

        bytes += (v->count * v->item_bytes + NSP_CACHE_LINE - 1) /
                 NSP_CACHE_LINE * NSP_CACHE_LINE;
    }
    if (bytes > l->sweep->bytes_max)
        return -EFBIG;
    l->index->memory = nsp_alloc(l->sweep->allocator, 1, bytes);
    if (!l->index->memory)
        return -ENOMEM;
    l->index->bytes = bytes;
    at = l->index->memory;
    at += (0 - (uintptr_t)at) % NSP_CACHE_LINE;
    for (uint32_t i = 0; i < l->count; i++) {
        const struct nsp_vector *v = &l->pieces[i].items;
        size_t size = v->count * v->item_bytes;

        if (size == 0)
            continue;
        memcpy(at, v->at, size);
        *l->pieces[i].target = at;
        at += (size + NSP_CACHE_LINE - 1) / NSP_CACHE_LINE * NSP_CACHE_LINE;
    }
    return 0;
}

static int
lay_out(struct sweep *s, struct nsp_class_index *index)
{
    struct layout l = { .sweep = s, .index = index };
    const struct nsp_domain *domain = &s->column->domain;
    uint32_t count;

    index->class_count = (uint32_t)s->records.items.count;
    index->block_count = (uint32_t)s->blocks.items.count;
    if (domain->has[NSP_PART_NONE])
        index->none_class = bounds_of(s, NSP_PART_NONE, &count)->class;
    *add_piece(&l, 0, &index->records) = s->records.items;
    *add_piece(&l, 0, &index->blocks) = s->blocks.items;
    *add_piece(&l, 0, &index->open) =
        (struct nsp_vector){ s->open, s->blocks_wide, s->blocks_wide,
                             sizeof s->open[0] };
    s->records.items = s->blocks.items = (struct nsp_vector){ 0 };
    s->open = NULL;
    if (domain->has[NSP_PART_NARROW] &&
        domain->max[NSP_PART_NARROW].lo < NSP_TABLE_MAX)
        lay_table(&l);
    else if (domain->has[NSP_PART_NARROW])
        lay_narrow(&l);
    if (domain->has[NSP_PART_WIDE])
        lay_wide(&l);
    if (l.result == 0)
        l.result = settle(&l);
    for (uint32_t i = 0; i < l.count; i++)
        nsp_release(s->allocator, l.pieces[i].items.at);
    return l.result;
}

/* --- Building ------------------------------------------------------------- */

static int
prepare(struct sweep *s, const struct nsp_entry entries[], uint32_t count,
        uint32_t cube_count)
{
    s->blocks_wide = (cube_count + NSP_BLOCK_BITS - 1) / NSP_BLOCK_BITS;
    s->stride =
        (uint32_t)(sizeof *s->record + s->blocks_wide * sizeof(uint16_t) +
                   NSP_CACHE_LINE - 1) /
        NSP_CACHE_LINE * NSP_CACHE_LINE;
    s->is_direct = cube_count <= NSP_DIRECT_MAX;
    if (s->is_direct)
        s->stride = s->blocks_wide * (uint32_t)sizeof(struct nsp_block);
    s->blocks.items.item_bytes = sizeof(struct nsp_block);
    s->records.items.item_bytes = s->stride;
    s->bounds.item_bytes = sizeof(struct bound);
    s->open = nsp_alloc(s->allocator, s->blocks_wide, sizeof s->open[0]);
    s->now = nsp_alloc(s->allocator, s->blocks_wide, sizeof s->now[0]);
    s->record = nsp_alloc(s->allocator, 1, s->stride);
    if (!s->open || !s->now || !s->record)
        return -ENOMEM;
    for (uint32_t cube = 0; cube < cube_count; cube++)
        set_bit(s->open->words, cube, true);
    for (uint32_t i = 0; i < count; i++)
        set_bit(s->open->words, entries[i].cube, false);
    return 0;
}

int
nsp_class_index_build(const struct nsp_column *column,
                      const struct nsp_entry entries[], uint32_t count,
                      uint32_t cube_count, size_t bytes_max,
                      const struct nsp_allocator *allocator,
                      struct nsp_class_index *ret)
{
    struct sweep s = { .allocator = allocator,
                       .column = column,
                       .bytes_max = bytes_max };
    struct nsp_class_index index = { .kind = column->kind,
                                     .field = column->field,
                                     .fetch = column->fetch };
    int r = prepare(&s, entries, count, cube_count);

    if (r == 0)
        r = sweep_all(&s, entries, count);
    if (r == 0) {
        index.stride = s.stride;
        if (column->kind == NSP_COLUMN_FIELD) {
            index.is_small = column->field->bits <= NSP_COLUMN_SMALL_BITS;
            index.is_wide = column->domain.has[NSP_PART_WIDE];
            index.small_none = (uint32_t)column->domain.max[0].lo;
        }
        r = lay_out(&s, &index);
    }
    nsp_release(allocator, s.open);
    nsp_release(allocator, s.now);
    nsp_release(allocator, s.record);
    nsp_release(allocator, s.blocks.slots);
    nsp_release(allocator, s.blocks.items.at);
    nsp_release(allocator, s.records.slots);
    nsp_release(allocator, s.records.items.at);
    nsp_release(allocator, s.bounds.at);
    if (r == 0)
        *ret = index;
    return r;
}

void
nsp_class_index_fini(struct nsp_class_index *index,
                     const struct nsp_allocator *allocator)
{
    nsp_release(allocator, index->memory);
    *index = (struct nsp_class_index){ 0 };
}
