#include "filter/ipv4_map.h"

#include <errno.h>

#define ROOT_ENTRIES 65536u
#define ROOT_EMPTY   0u
#define ROOT_FULL    1u
#define ROOT_ROWS    2u /* The first row. */
#define ROW_WORDS    NSP_IPV4_ROW_WORDS
#define NONE         UINT32_MAX

/* Bits set, without counting on an instruction for it: the compiler's builtin
 * is a call where the target may lack one. */
static NSP_ALWAYS_INLINE uint32_t
popcount(uint32_t x)
{
    x -= x >> 1 & 0x55555555;
    x = (x & 0x33333333) + (x >> 2 & 0x33333333);
    x = (x + (x >> 4)) & 0x0f0f0f0f;
    return x * 0x01010101 >> 24;
}

static NSP_ALWAYS_INLINE uint32_t
word_of(uint32_t row, uint32_t addr)
{
    return (row - ROOT_ROWS) * ROW_WORDS + (addr >> 13 & (ROW_WORDS - 1));
}

static NSP_ALWAYS_INLINE uint32_t
bitmap_of(const struct nsp_ipv4_word *word, uint32_t bit)
{
    return word->first_bitmap + popcount(word->mixed & (bit - 1));
}

static NSP_ALWAYS_INLINE bool
bitmap_has(const struct nsp_ipv4_bitmap *bitmap, uint32_t addr)
{
    return (bitmap->bits[addr >> 5 & 7] >> (addr & 31) & 1) != 0;
}

bool
nsp_ipv4_map_has(const struct nsp_ipv4_map *map, uint32_t addr)
{
    uint32_t row = map->root[addr >> 16];
    uint32_t bit = UINT32_C(1) << (addr >> 8 & 31);
    const struct nsp_ipv4_word *word;

    if (row < ROOT_ROWS)
        return row == ROOT_FULL;
    word = &map->words[word_of(row, addr)];
    if (!(word->mixed & bit))
        return (word->full & bit) != 0;
    return bitmap_has(&map->bitmaps[bitmap_of(word, bit)], addr);
}

/* Stores the last of the addresses from 'addr' on, within its /16, /24 or
 * bitmap, that are all 'inside'; false if 'addr' is not. */
static bool
step(const struct nsp_ipv4_map *map, uint32_t addr, bool inside,
     uint32_t *ret_last)
{
    uint32_t row = map->root[addr >> 16];
    uint32_t bit = UINT32_C(1) << (addr >> 8 & 31);
    const struct nsp_ipv4_bitmap *bitmap;
    const struct nsp_ipv4_word *word;

    if (nsp_ipv4_map_has(map, addr) != inside)
        return false;
    *ret_last = addr | 0xffff;
    if (row < ROOT_ROWS)
        return true;
    *ret_last = addr | 0xff;
    word = &map->words[word_of(row, addr)];
    if (!(word->mixed & bit))
        return true;
    bitmap = &map->bitmaps[bitmap_of(word, bit)];
    while (addr < *ret_last && bitmap_has(bitmap, addr + 1) == inside)
        addr++;
    *ret_last = addr;
    return true;
}

uint32_t
nsp_ipv4_map_run_end(const struct nsp_ipv4_map *map, uint32_t addr)
{
    bool inside = nsp_ipv4_map_has(map, addr);
    uint32_t last = addr;

    while (step(map, addr, inside, &last) && last != UINT32_MAX)
        addr = last + 1;
    return last;
}

/* One level for all addresses before the next, so that their cache misses
 * overlap. */
uint64_t
nsp_ipv4_map_has_burst(const struct nsp_ipv4_map *map, const uint32_t addrs[],
                       uint32_t count)
{
    uint32_t at[64];
    uint64_t has = 0;

    assert(count <= 64);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = map->root[addrs[i] >> 16];

        has |= (uint64_t)(row == ROOT_FULL) << i;
        at[i] = NONE;
        if (row >= ROOT_ROWS) {
            at[i] = word_of(row, addrs[i]);
            nsp_prefetch(&map->words[at[i]]);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t bit = UINT32_C(1) << (addrs[i] >> 8 & 31);
        const struct nsp_ipv4_word *word;

        if (at[i] == NONE)
            continue;
        word = &map->words[at[i]];
        has |= (uint64_t)((word->full & bit) != 0) << i;
        at[i] = NONE;
        if (word->mixed & bit) {
            at[i] = bitmap_of(word, bit);
            nsp_prefetch(&map->bitmaps[at[i]]);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        if (at[i] != NONE)
            has |= (uint64_t)bitmap_has(&map->bitmaps[at[i]], addrs[i]) << i;
    }
    return has;
}

/* --- Building ------------------------------------------------------------- */

/* Cuts ranges at /24s. Counts the rows and bitmaps they need and, if there is a
 * map, fills it. Ranges ascend, so rows and bitmaps are numbered in the order
 * in which they are met. */
struct cutter {
    struct nsp_ipv4_map *map; /* NULL to count. */
    uint32_t rows, bitmaps;
    uint32_t last_row;    /* The /16 of the latest row. */
    uint32_t last_bitmap; /* The /24 of the latest bitmap. */
};

static struct nsp_ipv4_word *
enter_row(struct cutter *c, uint32_t addr)
{
    if (c->last_row != addr >> 16) {
        c->last_row = addr >> 16;
        c->rows++;
        if (c->map)
            c->map->root[addr >> 16] = c->rows - 1 + ROOT_ROWS;
    }
    if (!c->map)
        return NULL;
    return &c->map->words[word_of(c->map->root[addr >> 16], addr)];
}

/* Adds addresses of one /24, not all of it. */
static void
cut_part(struct cutter *c, uint32_t first, uint32_t last)
{
    struct nsp_ipv4_word *word = enter_row(c, first);

    if (c->last_bitmap != first >> 8) {
        c->last_bitmap = first >> 8;
        c->bitmaps++;
        if (word) {
            if (word->mixed == 0)
                word->first_bitmap = c->bitmaps - 1;
            word->mixed |= UINT32_C(1) << (first >> 8 & 31);
        }
    }
    if (!word)
        return;
    for (uint32_t a = first & 255; a <= (last & 255); a++)
        c->map->bitmaps[c->bitmaps - 1].bits[a / 32] |= UINT32_C(1) << a % 32;
}

/* Adds the /24s number 'first' to 'last', which are one row's and not all of
 * it. */
static void
cut_blocks(struct cutter *c, uint32_t first, uint32_t last)
{
    for (uint32_t n = first; n <= last; n++) {
        struct nsp_ipv4_word *word = enter_row(c, n << 8);

        if (!word)
            return; /* Counted with the first. */
        word->full |= UINT32_C(1) << n % 32;
    }
}

/* Adds whole /24s. */
static void
cut_whole(struct cutter *c, uint32_t first, uint32_t last)
{
    for (uint32_t n = first; n <= last;) {
        uint32_t end = nsp_min_u32(n | 255, last);

        if (end - n < 255)
            cut_blocks(c, n, end);
        else if (c->map)
            c->map->root[n >> 8] = ROOT_FULL;
        n = end + 1;
    }
}

static void
cut(struct cutter *c, const struct nsp_range *range)
{
    uint32_t first = (uint32_t)range->lo.lo;
    uint32_t last = (uint32_t)range->hi.lo;
    bool head = (first & 255) != 0;
    bool tail = (last & 255) != 255;
    uint32_t from = (first >> 8) + head; /* The whole /24s, 'to' excluded. */
    uint32_t to = (last >> 8) + !tail;

    if (first >> 8 == last >> 8 && (head || tail)) {
        cut_part(c, first, last);
        return;
    }
    if (head)
        cut_part(c, first, first | 255);
    if (from < to)
        cut_whole(c, from, to - 1);
    if (tail)
        cut_part(c, last & ~UINT32_C(255), last);
}

static struct cutter
cut_all(struct nsp_ipv4_map *map, const struct nsp_range ranges[],
        uint32_t count)
{
    struct cutter c = { .map = map, .last_row = NONE, .last_bitmap = NONE };

    for (uint32_t i = 0; i < count; i++)
        cut(&c, &ranges[i]);
    return c;
}

static size_t
bytes_of(const struct cutter *c)
{
    return ROOT_ENTRIES * sizeof(uint32_t) +
           (size_t)c->rows * ROW_WORDS * sizeof(struct nsp_ipv4_word) +
           (size_t)c->bitmaps * sizeof(struct nsp_ipv4_bitmap);
}

size_t
nsp_ipv4_map_measure(const struct nsp_range ranges[], uint32_t count)
{
    struct cutter c = cut_all(NULL, ranges, count);

    return bytes_of(&c);
}

int
nsp_ipv4_map_init(struct nsp_ipv4_map *map, const struct nsp_range ranges[],
                  uint32_t count, const struct nsp_allocator *allocator)
{
    struct cutter c = cut_all(NULL, ranges, count);

    *map = (struct nsp_ipv4_map){ .bytes = bytes_of(&c) };
    map->root = nsp_alloc(allocator, ROOT_ENTRIES, sizeof *map->root);
    /* One more than needed, as room for nothing need not be had. */
    map->words = nsp_alloc(allocator, (size_t)c.rows * ROW_WORDS + 1,
                           sizeof *map->words);
    map->bitmaps =
        nsp_alloc(allocator, (size_t)c.bitmaps + 1, sizeof *map->bitmaps);
    if (!map->root || !map->words || !map->bitmaps) {
        nsp_ipv4_map_fini(map, allocator);
        return -ENOMEM;
    }
    cut_all(map, ranges, count);
    return 0;
}

void
nsp_ipv4_map_fini(struct nsp_ipv4_map *map,
                  const struct nsp_allocator *allocator)
{
    nsp_release(allocator, map->root);
    nsp_release(allocator, map->words);
    nsp_release(allocator, map->bitmaps);
    *map = (struct nsp_ipv4_map){ 0 };
}
