#include "filter/prefix_set.h"

#include <errno.h>
#include <string.h>

#include "filter/bounds_tree.h"
#include "filter/ipv4_map.h"
#include "filter/ranges.h"

/* So few IPv4 ranges stay in cache as a tree, and need not cost 256 KiB. */
#define SMALL_RANGES 1024u
/* Ranges, unlike prefixes, may need two bitmaps each: beyond this the tree is
 * the smaller one. */
#define MAP_BYTES_MAX ((size_t)40 << 20)
#define FIRST_ROOM    64u

struct nsp_prefix_set {
    struct nsp_bounds_tree ipv6;
    struct nsp_bounds_tree ipv4; /* Or, with a root, */
    struct nsp_ipv4_map ipv4_map;
    struct nsp_prefix_set_info info;
    struct nsp_allocator allocator;
};

static bool
has_map(const struct nsp_prefix_set *set)
{
    return set->ipv4_map.root != NULL;
}

/* --- Lookup --------------------------------------------------------------- */

static struct nsp_u128
load_ipv6(const uint8_t addr[])
{
    return (struct nsp_u128){
        (uint64_t)nsp_load_be32(addr) << 32 | nsp_load_be32(addr + 4),
        (uint64_t)nsp_load_be32(addr + 8) << 32 | nsp_load_be32(addr + 12),
    };
}

/* In a tree of its own an IPv4 address is the upper half: one cache line for a
 * node. */
static struct nsp_u128
ipv4_key(uint32_t addr)
{
    return (struct nsp_u128){ addr, 0 };
}

bool
nsp_prefix_set_has_ipv4(const struct nsp_prefix_set *set, uint32_t addr)
{
    if (has_map(set))
        return nsp_ipv4_map_has(&set->ipv4_map, addr);
    return nsp_bounds_tree_has(&set->ipv4, ipv4_key(addr));
}

bool
nsp_prefix_set_has_ipv6(const struct nsp_prefix_set *set, const uint8_t addr[])
{
    return nsp_bounds_tree_has(&set->ipv6, load_ipv6(addr));
}

uint64_t
nsp_prefix_set_has_ipv4_burst(const struct nsp_prefix_set *set,
                              const uint32_t addrs[], uint32_t count)
{
    struct nsp_u128 keys[64];

    assert(count <= 64);
    if (has_map(set))
        return nsp_ipv4_map_has_burst(&set->ipv4_map, addrs, count);
    for (uint32_t i = 0; i < count; i++)
        keys[i] = ipv4_key(addrs[i]);
    return nsp_bounds_tree_has_burst(&set->ipv4, keys, count);
}

uint64_t
nsp_prefix_set_has_ipv6_burst(const struct nsp_prefix_set *set,
                              const uint8_t *const addrs[], uint32_t count)
{
    struct nsp_u128 keys[64];

    assert(count <= 64);
    for (uint32_t i = 0; i < count; i++)
        keys[i] = load_ipv6(addrs[i]);
    return nsp_bounds_tree_has_burst(&set->ipv6, keys, count);
}

bool
nsp_prefix_set_run_ipv4(const struct nsp_prefix_set *set, uint32_t addr,
                        uint32_t *ret_last)
{
    struct nsp_u128 last;

    if (has_map(set)) {
        *ret_last = nsp_ipv4_map_run_end(&set->ipv4_map, addr);
    } else {
        last = nsp_bounds_tree_run_end(&set->ipv4, ipv4_key(addr));
        *ret_last = (uint32_t)nsp_min_u64(last.hi, UINT32_MAX);
    }
    return nsp_prefix_set_has_ipv4(set, addr);
}

bool
nsp_prefix_set_run_ipv6(const struct nsp_prefix_set *set, struct nsp_u128 addr,
                        struct nsp_u128 *ret_last)
{
    *ret_last = nsp_bounds_tree_run_end(&set->ipv6, addr);
    return nsp_bounds_tree_has(&set->ipv6, addr);
}

struct nsp_prefix_set_info
nsp_prefix_set_info(const struct nsp_prefix_set *set)
{
    return set->info;
}

/* --- Collecting ----------------------------------------------------------- */

void
nsp_prefix_builder_init(struct nsp_prefix_builder *builder,
                        const struct nsp_allocator *allocator)
{
    *builder = (struct nsp_prefix_builder){
        .allocator = nsp_allocator_or_libc(allocator),
    };
}

void
nsp_prefix_builder_fini(struct nsp_prefix_builder *builder)
{
    nsp_release(&builder->allocator, builder->ipv4.ranges);
    nsp_release(&builder->allocator, builder->ipv6.ranges);
    builder->ipv4 = builder->ipv6 = (struct nsp_range_list){ 0 };
}

static int
grow(struct nsp_range_list *list, const struct nsp_allocator *allocator)
{
    uint32_t room = list->room == 0 ? FIRST_ROOM : 2 * list->room;
    struct nsp_range *ranges = nsp_alloc(allocator, room, sizeof *ranges);

    if (!ranges)
        return -ENOMEM;
    if (list->count > 0)
        memcpy(ranges, list->ranges, list->count * sizeof *ranges);
    nsp_release(allocator, list->ranges);
    list->ranges = ranges;
    list->room = room;
    return 0;
}

static int
add(struct nsp_prefix_builder *builder, struct nsp_range_list *list,
    struct nsp_range range)
{
    int error;

    assert(!nsp_u128_less(range.hi, range.lo));
    if (builder->ipv4.count + builder->ipv6.count == NSP_PREFIX_SET_MAX)
        return -E2BIG;
    if (list->count == list->room &&
        (error = grow(list, &builder->allocator)) < 0)
        return error;
    list->ranges[list->count++] = range;
    return 0;
}

int
nsp_prefix_builder_add_ipv4(struct nsp_prefix_builder *builder, uint32_t first,
                            uint32_t last)
{
    return add(builder, &builder->ipv4,
               (struct nsp_range){ nsp_u128(first), nsp_u128(last) });
}

int
nsp_prefix_builder_add_ipv6(struct nsp_prefix_builder *builder,
                            struct nsp_u128 first, struct nsp_u128 last)
{
    return add(builder, &builder->ipv6, (struct nsp_range){ first, last });
}

struct nsp_u128
nsp_prefix_open_bits(uint32_t bits)
{
    assert(bits <= 128);
    if (bits >= 64)
        return nsp_u128(bits == 128 ? 0 : UINT64_MAX >> (bits - 64));
    return (struct nsp_u128){ UINT64_MAX >> bits, UINT64_MAX };
}

int
nsp_prefix_builder_add_ipv4_prefix(struct nsp_prefix_builder *builder,
                                   uint32_t addr, uint32_t bits)
{
    uint32_t open = (uint32_t)nsp_prefix_open_bits(96 + bits).lo;

    return nsp_prefix_builder_add_ipv4(builder, addr & ~open, addr | open);
}

int
nsp_prefix_builder_add_ipv6_prefix(struct nsp_prefix_builder *builder,
                                   struct nsp_u128 addr, uint32_t bits)
{
    struct nsp_u128 open = nsp_prefix_open_bits(bits);
    struct nsp_u128 first = { addr.hi & ~open.hi, addr.lo & ~open.lo };
    struct nsp_u128 last = { addr.hi | open.hi, addr.lo | open.lo };

    return nsp_prefix_builder_add_ipv6(builder, first, last);
}

/* --- Building ------------------------------------------------------------- */

#define DIGITS  16  /* Of 8 bits, the least significant first. */
#define FEW_MAX 48u /* Ranges that are sorted by insertion. */

static uint32_t
digit_of(const struct nsp_range *range, uint32_t digit)
{
    uint64_t half = digit < 8 ? range->lo.lo : range->lo.hi;

    return half >> 8 * (digit % 8) & 255;
}

static void
sort_few(struct nsp_range ranges[], uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        struct nsp_range range = ranges[i];
        uint32_t at = i;

        for (; at > 0 && nsp_u128_less(range.lo, ranges[at - 1].lo); at--)
            ranges[at] = ranges[at - 1];
        ranges[at] = range;
    }
}

/* Parts ranges by one digit. 'ret_end' is set to where those with each digit
 * end. Returns false, having done nothing, if it is the same in all. */
static bool
part_by_digit(struct nsp_range ranges[], struct nsp_range spare[],
              uint32_t count, uint32_t digit, uint32_t ret_end[256])
{
    uint32_t at = 0;

    memset(ret_end, 0, 256 * sizeof ret_end[0]);
    for (uint32_t i = 0; i < count; i++)
        ret_end[digit_of(&ranges[i], digit)]++;
    if (ret_end[digit_of(&ranges[0], digit)] == count)
        return false;
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t of_digit = ret_end[i];

        ret_end[i] = at;
        at += of_digit;
    }
    for (uint32_t i = 0; i < count; i++)
        spare[ret_end[digit_of(&ranges[i], digit)]++] = ranges[i];
    memcpy(ranges, spare, count * sizeof ranges[0]);
    return true;
}

/* Sorts by the digits below 'digits', most significant first: from the second
 * on, parts lie in cache (Knuth, The Art of Computer Programming, vol. 3,
 * section 5.2.5). No deeper than there are digits. */
static void
sort_by_digits(struct nsp_range ranges[], struct nsp_range spare[],
               uint32_t count, uint32_t digits)
{
    uint32_t end[256];
    uint32_t start = 0;

    if (count <= FEW_MAX) {
        sort_few(ranges, count);
        return;
    }
    while (digits > 0 && !part_by_digit(ranges, spare, count, digits - 1, end))
        digits--;
    for (uint32_t i = 0; digits > 0 && i < 256; i++) {
        sort_by_digits(ranges + start, spare, end[i] - start, digits - 1);
        start = end[i];
    }
}

static bool
is_sorted(const struct nsp_range_list *list)
{
    for (uint32_t i = 1; i < list->count; i++) {
        if (nsp_u128_less(list->ranges[i].lo, list->ranges[i - 1].lo))
            return false;
    }
    return true;
}

/* Sorts by first address. */
static int
sort(struct nsp_range_list *list, const struct nsp_allocator *allocator)
{
    struct nsp_range *spare;

    if (is_sorted(list))
        return 0;
    spare = nsp_alloc(allocator, list->count, sizeof *spare);
    if (!spare)
        return -ENOMEM;
    sort_by_digits(list->ranges, spare, list->count, DIGITS);
    nsp_release(allocator, spare);
    return 0;
}

/* Makes the list ascending, disjoint and not adjacent. */
static int
normalise(struct nsp_range_list *list, const struct nsp_allocator *allocator)
{
    int error = sort(list, allocator);

    if (error == 0)
        list->count = nsp_ranges_join(list->ranges, list->count);
    return error;
}

static int
build_ipv4(struct nsp_prefix_set *set, struct nsp_range_list *list)
{
    if (list->count > SMALL_RANGES &&
        nsp_ipv4_map_measure(list->ranges, list->count) <= MAP_BYTES_MAX)
        return nsp_ipv4_map_init(&set->ipv4_map, list->ranges, list->count,
                                 &set->allocator);

    for (uint32_t i = 0; i < list->count; i++) {
        list->ranges[i].lo = ipv4_key((uint32_t)list->ranges[i].lo.lo);
        list->ranges[i].hi = ipv4_key((uint32_t)list->ranges[i].hi.lo);
    }
    return nsp_bounds_tree_init(&set->ipv4, list->ranges, list->count,
                                &set->allocator);
}

/* Gives each list back as soon as it is used, to need less memory at once. */
static int
build(struct nsp_prefix_set *set, struct nsp_prefix_builder *builder)
{
    struct nsp_range_list *ipv4 = &builder->ipv4, *ipv6 = &builder->ipv6;
    int error;

    set->info.entries = ipv4->count + ipv6->count;
    if ((error = normalise(ipv4, &set->allocator)) < 0 ||
        (error = build_ipv4(set, ipv4)) < 0)
        return error;
    set->info.ipv4_ranges = ipv4->count;
    nsp_release(&set->allocator, ipv4->ranges);
    *ipv4 = (struct nsp_range_list){ 0 };

    if ((error = normalise(ipv6, &set->allocator)) < 0 ||
        (error = nsp_bounds_tree_init(&set->ipv6, ipv6->ranges, ipv6->count,
                                      &set->allocator)) < 0)
        return error;
    set->info.ipv6_ranges = ipv6->count;
    set->info.bytes =
        sizeof *set + set->ipv4.bytes + set->ipv4_map.bytes + set->ipv6.bytes;
    return 0;
}

int
nsp_prefix_builder_finish(struct nsp_prefix_builder *builder,
                          struct nsp_prefix_set **ret)
{
    struct nsp_prefix_set *set = nsp_alloc(&builder->allocator, 1, sizeof *set);
    int error = -ENOMEM;

    if (set) {
        set->allocator = builder->allocator;
        error = build(set, builder);
    }
    nsp_prefix_builder_fini(builder);
    if (error < 0) {
        nsp_prefix_set_destroy(set);
        return error;
    }
    *ret = set;
    return 0;
}

struct nsp_prefix_set *
nsp_prefix_set_destroy(struct nsp_prefix_set *set)
{
    struct nsp_allocator allocator;

    if (!set)
        return NULL;
    allocator = set->allocator;
    nsp_bounds_tree_fini(&set->ipv4, &allocator);
    nsp_bounds_tree_fini(&set->ipv6, &allocator);
    nsp_ipv4_map_fini(&set->ipv4_map, &allocator);
    nsp_release(&allocator, set);
    return NULL;
}
