/* The lookup, once for each set of instructions: code for the files that
 * include it, and nothing for others. They define before
 *
 *     LOOKUP_OPS, LOOKUP_NAME   the table to fill, and its name
 *     struct bits               a block of 512 bits
 *     load_and, load            of a block in memory, with AND
 *     nonzero_words             a bit for each of its 64-bit words
 *     store                     its words
 *     rank32, rank64            how many keys of a line are <= a key, which has
 *                               its own sign; for rank32 the line may begin
 *                               anywhere
 *
 * All loops go over the packets of a burst inside the loop over what they need,
 * so that loads that miss the cache overlap. */
#include "policy/classifier_state.h"
#ifdef LOOKUP_OPS

/* Keys of a burst for one column: sorted by part, or, for columns that have a
 * table, all narrow and in the order of the packets. */
struct keys {
    uint32_t narrow_count, wide_count;
    uint8_t narrow_pkts[NSP_BURST_MAX], wide_pkts[NSP_BURST_MAX];
    uint32_t narrow[NSP_BURST_MAX];
    struct nsp_u128 wide[NSP_BURST_MAX];
};

/* Keys for columns. */
struct burst_keys {
    bool has_addresses, has_ports; /* Read already. */
    struct keys src, dst;
    struct keys src_port, dst_port;
    struct keys other;
};

/* --- From packets to keys ------------------------------------------------- */

static NSP_ALWAYS_INLINE void
add_narrow(struct keys *keys, uint32_t pkt, uint32_t key)
{
    keys->narrow_pkts[keys->narrow_count] = (uint8_t)pkt;
    keys->narrow[keys->narrow_count++] = key;
}

static NSP_ALWAYS_INLINE void
add_wide(struct keys *keys, uint32_t pkt, struct nsp_u128 key)
{
    keys->wide_pkts[keys->wide_count] = (uint8_t)pkt;
    keys->wide[keys->wide_count++] = key;
}

static NSP_ALWAYS_INLINE struct nsp_u128
load_u128(const uint8_t *p)
{
    return (struct nsp_u128){
        (uint64_t)nsp_load_be32(p) << 32 | nsp_load_be32(p + 4),
        (uint64_t)nsp_load_be32(p + 8) << 32 | nsp_load_be32(p + 12),
    };
}

/* Offsets are those of the address in either header. */
static NSP_ALWAYS_INLINE void
read_address(struct keys *keys, uint32_t i, const struct nsp_pkt *pkt,
             bool of_source)
{
    const uint8_t *ip = pkt->data + pkt->l3_off;

    if (nsp_likely(pkt->l3 == NSP_L3_IPV4))
        add_narrow(keys, i, nsp_load_be32(ip + (of_source ? 12 : 16)));
    else if (pkt->l3 == NSP_L3_IPV6)
        add_wide(keys, i, load_u128(ip + (of_source ? 8 : 24)));
}

static void
read_addresses(const struct nsp_classifier_walk *walk, struct burst_keys *all)
{
    if (all->has_addresses)
        return;
    all->has_addresses = true;
    all->src.narrow_count = all->src.wide_count = 0;
    all->dst.narrow_count = all->dst.wide_count = 0;
    for (uint32_t i = 0; i < walk->count; i++) {
        read_address(&all->src, i, walk->pkts[i], true);
        read_address(&all->dst, i, walk->pkts[i], false);
    }
}

static void
read_sides(const struct nsp_classifier_walk *walk, bool local,
           struct keys *keys)
{
    for (uint32_t i = 0; i < walk->count; i++) {
        const struct nsp_pkt *pkt = walk->pkts[i];

        if (pkt->direction != NSP_DIRECTION_NONE)
            read_address(keys, i, pkt,
                         local == (pkt->direction == NSP_OUTBOUND));
    }
}

/* Packets without ports read zeros, and have none of the number's bits used. */
static void
read_ports(const struct nsp_classifier_walk *walk, struct burst_keys *all)
{
    static const uint8_t nothing[4];
    static const uint32_t bases[] = {
        [NSP_L4_NONE] = NSP_PORTS_OTHER + NSP_L4_NONE,
        [NSP_L4_TCP] = 0,
        [NSP_L4_UDP] = NSP_PORTS_UDP,
        [NSP_L4_ICMP] = NSP_PORTS_OTHER + NSP_L4_ICMP,
        [NSP_L4_ICMPV6] = NSP_PORTS_OTHER + NSP_L4_ICMPV6,
    };

    if (all->has_ports)
        return;
    all->has_ports = true;
    for (uint32_t i = 0; i < walk->count; i++) {
        const struct nsp_pkt *pkt = walk->pkts[i];
        bool has = pkt->l4 == NSP_L4_TCP || pkt->l4 == NSP_L4_UDP;
        const uint8_t *from = has ? pkt->data + pkt->l4_off : nothing;
        uint32_t both = nsp_load_be32(from), base = bases[pkt->l4];

        all->src_port.narrow[i] = base + (both >> 16);
        all->dst_port.narrow[i] = base + (both & UINT16_MAX);
    }
}

static void
read_field(const struct nsp_classifier_walk *walk,
           const struct nsp_class_index *index, struct keys *keys)
{
    for (uint32_t i = 0; i < walk->count; i++) {
        struct nsp_u128 value;
        bool has = nsp_eval_read(&index->fetch, walk->pkts[i], &value);

        if (index->is_small)
            keys->narrow[i] = has ? (uint32_t)value.lo : index->small_none;
        else if (has && index->is_wide)
            add_wide(keys, i, value);
        else if (has)
            add_narrow(keys, i, (uint32_t)value.lo);
    }
}

static struct keys *
read_keys(const struct nsp_classifier_walk *walk,
          const struct nsp_class_index *index, struct burst_keys *all)
{
    struct keys *keys = &all->other;

    keys->narrow_count = keys->wide_count = 0;
    switch (index->kind) {
    case NSP_COLUMN_SHAPE:
        for (uint32_t i = 0; i < walk->count; i++)
            keys->narrow[i] = nsp_shape_of(walk->pkts[i]);
        break;
    case NSP_COLUMN_PROTOCOL:
        for (uint32_t i = 0; i < walk->count; i++)
            keys->narrow[i] = walk->pkts[i]->ip_proto;
        break;
    case NSP_COLUMN_SRC_ADDR:
        read_addresses(walk, all);
        return &all->src;
    case NSP_COLUMN_DST_ADDR:
        read_addresses(walk, all);
        return &all->dst;
    case NSP_COLUMN_SRC_PORT:
        read_ports(walk, all);
        return &all->src_port;
    case NSP_COLUMN_DST_PORT:
        read_ports(walk, all);
        return &all->dst_port;
    case NSP_COLUMN_LOCAL_ADDR:
    case NSP_COLUMN_REMOTE_ADDR:
        read_sides(walk, index->kind == NSP_COLUMN_LOCAL_ADDR, keys);
        break;
    case NSP_COLUMN_FIELD:
        read_field(walk, index, keys);
        break;
    }
    return keys;
}

/* --- From keys to records ------------------------------------------------- */

static NSP_ALWAYS_INLINE const uint8_t *
record_of(const struct nsp_class_index *index, uint32_t class)
{
    const uint8_t *record = index->records;

    record += (size_t) class * index->stride;
    nsp_prefetch(record);
    return record;
}

static void
find_in_table(const struct nsp_class_index *index, const uint32_t keys[],
              uint32_t count, const uint8_t *ret[])
{
    const uint16_t *directory = index->directory, *pages = index->pages;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t page = directory[keys[i] >> NSP_PAGE_BITS];

        ret[i] = record_of(
            index,
            pages[page << NSP_PAGE_BITS | (keys[i] & (NSP_PAGE_SIZE - 1))]);
    }
}

static NSP_ALWAYS_INLINE void
find_in_slices(const struct nsp_class_index *index, const struct keys *keys,
               const uint8_t *ret[])
{
    const uint16_t *slices = index->slices, *classes = index->narrow.classes;
    uint32_t leaves = index->narrow.levels - 1;
    const uint32_t *bounds = index->narrow.keys[leaves];
    uint32_t count = keys->narrow_count, shift = index->slice_shift;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = slices[keys->narrow[i] >> shift];

        at += rank32(bounds + at + 1, keys->narrow[i]);
        ret[keys->narrow_pkts[i]] = record_of(index, classes[at]);
    }
}

static NSP_ALWAYS_INLINE void
find_in_tree(const struct nsp_tree *tree, const struct keys *keys,
             uint32_t ret[])
{
    for (uint32_t i = 0; i < keys->narrow_count; i++)
        ret[i] = 0;
    for (uint32_t l = 0; l < tree->levels; l++) {
        const uint32_t *level = tree->keys[l];
        uint32_t last = tree->counts[l] - 1;

        for (uint32_t i = 0; i < keys->narrow_count; i++) {
            uint32_t line = ret[i] * NSP_TREE_FANOUT;

            ret[i] = nsp_min_u32(
                line + rank32(level + line, keys->narrow[i]) - 1, last);
        }
    }
}

static void
find_narrow(const struct nsp_class_index *index, const struct keys *keys,
            const uint8_t *ret[])
{
    const uint16_t *classes = index->narrow.classes;
    uint32_t at[NSP_BURST_MAX];

    if (index->slices) {
        find_in_slices(index, keys, ret);
        return;
    }
    find_in_tree(&index->narrow, keys, at);
    for (uint32_t i = 0; i < keys->narrow_count; i++)
        ret[keys->narrow_pkts[i]] = record_of(index, classes[at[i]]);
}

/* The place of the bound that 'key' is behind, given the place of its upper
 * half. */
static uint32_t
find_lower_half(const struct nsp_class_index *index, struct nsp_u128 key,
                uint32_t at)
{
    const uint64_t *highs = index->wide.keys[index->wide.levels - 1];
    const uint32_t *first = index->wide_first;
    const uint64_t *lows = index->wide_lows;
    uint32_t lo = first[at], hi = first[at + 1];

    if (highs[at] != (key.hi ^ NSP_SIGN64))
        return hi - 1;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;

        if (lows[mid] <= key.lo)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo - 1;
}

static void
find_wide(const struct nsp_class_index *index, const struct keys *keys,
          const uint8_t *ret[])
{
    const struct nsp_tree *tree = &index->wide;
    const uint16_t *classes = index->wide_classes;
    uint32_t at[NSP_BURST_MAX] = { 0 };

    for (uint32_t l = 0; l < tree->levels; l++) {
        const uint64_t *level = tree->keys[l];
        uint32_t last = tree->counts[l] - 1;

        for (uint32_t i = 0; i < keys->wide_count; i++) {
            uint32_t line = at[i] * (NSP_TREE_FANOUT / 2);

            at[i] = nsp_min_u32(
                line + rank64(level + line, keys->wide[i].hi) - 1, last);
        }
    }
    for (uint32_t i = 0; i < keys->wide_count; i++) {
        uint32_t bound = find_lower_half(index, keys->wide[i], at[i]);

        ret[keys->wide_pkts[i]] = record_of(index, classes[bound]);
    }
}

static void
find_records(const struct nsp_classifier_walk *walk,
             const struct nsp_class_index *index, struct burst_keys *all,
             const uint8_t *ret[])
{
    struct keys *keys = read_keys(walk, index, all);

    if (index->directory) {
        find_in_table(index, keys->narrow, walk->count, ret);
        return;
    }
    if (keys->narrow_count + keys->wide_count < walk->count) {
        for (uint32_t i = 0; i < walk->count; i++)
            ret[i] = record_of(index, index->none_class);
    }
    if (keys->narrow_count > 0)
        find_narrow(index, keys, ret);
    if (keys->wide_count > 0)
        find_wide(index, keys, ret);
}

/* --- From records to cubes ------------------------------------------------ */

static NSP_ALWAYS_INLINE const struct nsp_class_record *
record_at(const uint8_t *record)
{
    return (const void *)record;
}

static NSP_ALWAYS_INLINE const struct nsp_block *
block_of(const struct nsp_class_index *index, const uint8_t *record, uint32_t b)
{
    const struct nsp_block *blocks = index->blocks;

    return &blocks[record_at(record)->ids[b]];
}

/* Blocks to look at: those that are empty in no column, and either special in
 * one of the first two or with a cube that these leave open. */
static void
summarise(struct nsp_classifier_walk *walk)
{
    const struct nsp_classifier *c = walk->classifier;
    uint32_t columns = nsp_min_u32(c->column_count, NSP_SKIP_COLUMNS);

    for (uint32_t i = 0; i < walk->count; i++)
        walk->summaries[i] = c->open_blocks;
    for (uint32_t k = 0; k < columns; k++) {
        for (uint32_t i = 0; i < walk->count; i++)
            walk->summaries[i] |= record_at(walk->records[k][i])->special;
    }
    for (uint32_t k = 0; k < c->column_count; k++) {
        for (uint32_t i = 0; i < walk->count; i++)
            walk->summaries[i] &= record_at(walk->records[k][i])->filled;
    }
}

static void
begin(struct nsp_classifier_walk *walk)
{
    const struct nsp_classifier *c = walk->classifier;
    struct burst_keys keys;

    keys.has_addresses = keys.has_ports = false;
    for (uint32_t k = 0; k < c->column_count; k++)
        find_records(walk, &c->columns[k], &keys, walk->records[k]);
    if (!c->is_direct)
        summarise(walk);
}

/* Blocks fetched ahead for a packet, more than most packets need, and how many
 * packets ahead: enough to wait for memory, few enough to stay in the nearest
 * cache. */
#define AHEAD_BLOCKS  2
#define AHEAD_COLUMNS 4
#define AHEAD_PKTS    4

static NSP_ALWAYS_INLINE void
fetch_ahead(const struct nsp_classifier_walk *walk, uint32_t i,
            const uint32_t columns)
{
    const struct nsp_classifier *c = walk->classifier;
    uint64_t summary = walk->summaries[i];

    for (uint32_t n = 0; n < AHEAD_BLOCKS && summary != 0; n++) {
        for (uint32_t k = 0; k < AHEAD_COLUMNS && k < columns; k++)
            nsp_prefetch(block_of(&c->columns[k], walk->records[k][i],
                                  nsp_ctz_u64(summary)));
        summary &= summary - 1;
    }
}

/* The first rule of a set bit of 'words' that matches. */
static inline uint32_t
first_rule(const struct nsp_classifier_walk *walk, uint32_t i, uint64_t words[],
           uint32_t nonzero, uint32_t first_cube)
{
    const struct nsp_classifier *c = walk->classifier;
    uint32_t refused = NSP_CLASSIFIER_NONE;

    for (; nonzero != 0; nonzero &= nonzero - 1) {
        uint32_t w = nsp_ctz_u64(nonzero);

        for (uint64_t word = words[w]; word != 0; word &= word - 1) {
            uint32_t cube = first_cube + w * 64 + nsp_ctz_u64(word);
            uint32_t rule = c->cube_rules[cube];

            if (!(rule & NSP_CUBE_MARK))
                return rule;
            rule &= ~NSP_CUBE_MARK;
            if (rule == refused)
                continue;
            if (c->candidates ||
                nsp_rule_matches(&c->rules[rule], walk->pkts[i], walk->context))
                return rule;
            refused = rule;
        }
    }
    return NSP_CLASSIFIER_NONE;
}

/* The first rule of 'bits', those of block 'b', that matches and begins at
 * 'first_cube' or behind. */
static NSP_ALWAYS_INLINE uint32_t
search_bits(const struct nsp_classifier_walk *walk, uint32_t i,
            struct bits bits, uint32_t b, uint32_t first_cube)
{
    uint64_t words[NSP_BLOCK_BITS / 64];
    uint32_t nonzero = nonzero_words(bits);

    if (nonzero == 0)
        return NSP_CLASSIFIER_NONE;
    store(bits, words);
    if (first_cube > b * NSP_BLOCK_BITS) {
        uint32_t from = first_cube - b * NSP_BLOCK_BITS;

        nonzero &= ~0u << from / 64;
        words[from / 64] &= UINT64_MAX << from % 64;
    }
    return first_rule(walk, i, words, nonzero, b * NSP_BLOCK_BITS);
}

static NSP_ALWAYS_INLINE uint32_t
search(const struct nsp_classifier_walk *walk, uint32_t i, uint32_t first_cube,
       const uint32_t columns)
{
    const struct nsp_classifier *c = walk->classifier;
    uint64_t summary = walk->summaries[i] & UINT64_MAX
                                                << first_cube / NSP_BLOCK_BITS;

    for (; summary != 0; summary &= summary - 1) {
        uint32_t b = nsp_ctz_u64(summary), rule;
        struct bits bits =
            load(block_of(&c->columns[0], walk->records[0][i], b));

        for (uint32_t k = 1; k < columns; k++)
            bits = load_and(bits,
                            block_of(&c->columns[k], walk->records[k][i], b));
        rule = search_bits(walk, i, bits, b, first_cube);
        if (rule != NSP_CLASSIFIER_NONE)
            return rule;
    }
    return NSP_CLASSIFIER_NONE;
}

/* All blocks at once: in which of them the answer is, no processor foresees. */
static NSP_ALWAYS_INLINE uint32_t
search_direct(const struct nsp_classifier_walk *walk, uint32_t i,
              uint32_t first_cube, const uint32_t columns,
              const uint32_t blocks)
{
    uint64_t words[NSP_DIRECT_MAX / 64];
    uint32_t nonzero = 0;

    for (uint32_t b = 0; b < blocks; b++) {
        uint32_t at = b * (uint32_t)sizeof(struct nsp_block);
        uint32_t first_word = b * NSP_BLOCK_BITS / 64;
        struct bits bits = load((const void *)(walk->records[0][i] + at));

        for (uint32_t k = 1; k < columns; k++)
            bits = load_and(bits, (const void *)(walk->records[k][i] + at));
        nonzero |= nonzero_words(bits) << first_word;
        store(bits, words + first_word);
    }
    if (first_cube > 0) {
        nonzero &= ~0u << first_cube / 64;
        words[first_cube / 64] &= UINT64_MAX << first_cube % 64;
    }
    return first_rule(walk, i, words, nonzero, 0);
}

static NSP_ALWAYS_INLINE void
search_all(const struct nsp_classifier_walk *walk, uint64_t mask,
           const uint32_t start[], uint32_t ret[], const uint32_t columns)
{
    const struct nsp_classifier *c = walk->classifier;
    uint64_t ahead = c->is_direct ? 0 : mask;

    for (uint32_t n = 0; n < AHEAD_PKTS && ahead != 0; n++) {
        fetch_ahead(walk, nsp_ctz_u64(ahead), columns);
        ahead &= ahead - 1;
    }
    for (; mask != 0; mask &= mask - 1) {
        uint32_t i = nsp_ctz_u64(mask), first_cube = 0;

        if (ahead != 0) {
            fetch_ahead(walk, nsp_ctz_u64(ahead), columns);
            ahead &= ahead - 1;
        }
        if (start)
            first_cube = c->first_cubes[nsp_min_u32(start[i], c->rule_count)];
        if (nsp_unlikely(first_cube == c->cube_count))
            ret[i] = NSP_CLASSIFIER_NONE;
        else if (c->is_direct && c->cube_count <= NSP_BLOCK_BITS)
            ret[i] = search_direct(walk, i, first_cube, columns, 1);
        else if (c->is_direct)
            ret[i] = search_direct(walk, i, first_cube, columns,
                                   NSP_DIRECT_MAX / NSP_BLOCK_BITS);
        else
            ret[i] = search(walk, i, first_cube, columns);
    }
}

/* A copy of the loop for each usual number of columns. */
static void
next(const struct nsp_classifier_walk *walk, uint64_t mask,
     const uint32_t start[], uint32_t ret[])
{
    uint32_t columns = walk->classifier->column_count;

    switch (columns) {
#define COPY(n)                                                                \
    case n:                                                                    \
        search_all(walk, mask, start, ret, n);                                 \
        break;
        COPY(1)
        COPY(2)
        COPY(3)
        COPY(4)
        COPY(5)
        COPY(6)
        COPY(7)
        COPY(8)
#undef COPY
    default:
        search_all(walk, mask, start, ret, columns);
        break;
    }
}

const struct nsp_lookup_ops LOOKUP_OPS = {
    .name = LOOKUP_NAME,
    .begin = begin,
    .next = next,
};
#endif /* LOOKUP_OPS */
