#ifndef NSP_FILTER_IPV4_MAP_H
#define NSP_FILTER_IPV4_MAP_H
#include "base/memory.h"
#include "filter/number.h"

/* Membership of IPv4 addresses in many ranges, by a bitmap trie of strides 16,
 * 8 and 8.
 *
 * Idea       Nearly all of a large set is decided by the first 24 bits. The
 *            root knows each /16: empty, full, or a row of 256 /24s, each
 *            empty, full (one bit) or mixed (another bit). Only a mixed /24 has
 *            a bitmap of its 256 addresses; its number is that of the first
 *            mixed one in its word plus the mixed ones between, as in poptrie
 *            (Asai and Ohara, SIGCOMM 2015).
 * Cost       At most three dependent loads: of 256 KiB, of up to 6 MiB and of
 *            the bitmaps.
 * Bytes      256 KiB + 96 for each /16 and 32 for each /24 partly in the set.
 * Threads    Immutable once built; any number of readers. */

/* 32 consecutive /24s. */
struct nsp_ipv4_word {
    uint32_t full;
    uint32_t mixed;
    uint32_t first_bitmap; /* Of the lowest mixed one. */
};

#define NSP_IPV4_ROW_WORDS 8u

struct nsp_ipv4_bitmap {
    uint32_t bits[8];
};

struct nsp_ipv4_map {
    uint32_t *root; /* Of 65536: 0 empty, 1 full, else number of a row + 2. */
    struct nsp_ipv4_word *words;
    struct nsp_ipv4_bitmap *bitmaps;
    size_t bytes;
};

/* Bytes a map of 'count' ranges takes: ascending, disjoint, not adjacent, each
 * within 0..UINT32_MAX. */
size_t nsp_ipv4_map_measure(const struct nsp_range ranges[], uint32_t count);

/* Builds the map of such ranges. Returns 0 or -ENOMEM, '*map' then being as if
 * zeroed. */
int nsp_ipv4_map_init(struct nsp_ipv4_map *map, const struct nsp_range ranges[],
                      uint32_t count,
                      const struct nsp_allocator *allocator) NSP_MUSTCHECK;

/* Accepts a zeroed one. */
void nsp_ipv4_map_fini(struct nsp_ipv4_map *map,
                       const struct nsp_allocator *allocator);

bool nsp_ipv4_map_has(const struct nsp_ipv4_map *map, uint32_t addr);

/* The last of the addresses from 'addr' on that are all members, or all not. */
uint32_t nsp_ipv4_map_run_end(const struct nsp_ipv4_map *map, uint32_t addr);

/* Returns a mask of which of 'count' (<= 64) addresses are members. */
uint64_t nsp_ipv4_map_has_burst(const struct nsp_ipv4_map *map,
                                const uint32_t addrs[], uint32_t count);

#endif /* NSP_FILTER_IPV4_MAP_H */
