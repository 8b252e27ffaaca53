#ifndef NSP_FILTER_PREFIX_SET_H
#define NSP_FILTER_PREFIX_SET_H
#include "base/memory.h"
#include "filter/number.h"

/* Membership of addresses in up to a million prefixes and address ranges.
 *
 * Problem    A packet needs to know whether a longest prefix exists, not which,
 *            from more prefixes than fit a cache.
 * Idea       Overlapping and adjacent ones are joined to disjoint ranges. Many
 *            IPv4 ranges become a bitmap trie (ipv4_map.h); few of them, and
 *            IPv6 ranges, a static search tree (bounds_tree.h).
 * Meaning    IPv4 and IPv6 are two worlds: ::ffff:10.0.0.1 is in no IPv4
 *            prefix.
 * Bytes      At most 64 MiB, for a million prefixes about 40 MiB. While built,
 *            some 64 more for each entry.
 * Threads    A builder has one owner. A set is immutable: any number of
 *            readers, without locks. */

#define NSP_PREFIX_SET_MAX (UINT32_C(1) << 20)

/* Entries of one address family. */
struct nsp_range_list {
    struct nsp_range *ranges;
    uint32_t count, room;
};

struct nsp_prefix_builder {
    struct nsp_range_list ipv4, ipv6;
    struct nsp_allocator allocator;
};

struct nsp_prefix_set;

void nsp_prefix_builder_init(struct nsp_prefix_builder *builder,
                             const struct nsp_allocator *allocator);

/* Forgets what was added. Accepts a zeroed one. */
void nsp_prefix_builder_fini(struct nsp_prefix_builder *builder);

/* Add the addresses from 'first' to 'last', which is not less, in any order and
 * however they overlap. Return 0, -ENOMEM, or -E2BIG when NSP_PREFIX_SET_MAX
 * entries have been added; the builder is then unchanged. */
int nsp_prefix_builder_add_ipv4(struct nsp_prefix_builder *builder,
                                uint32_t first, uint32_t last) NSP_MUSTCHECK;
int nsp_prefix_builder_add_ipv6(struct nsp_prefix_builder *builder,
                                struct nsp_u128 first,
                                struct nsp_u128 last) NSP_MUSTCHECK;

/* Adds of the prefix of 'bits' bits (<= 32, <= 128); bits of 'addr' beyond them
 * do not count. */
int nsp_prefix_builder_add_ipv4_prefix(struct nsp_prefix_builder *builder,
                                       uint32_t addr,
                                       uint32_t bits) NSP_MUSTCHECK;
int nsp_prefix_builder_add_ipv6_prefix(struct nsp_prefix_builder *builder,
                                       struct nsp_u128 addr,
                                       uint32_t bits) NSP_MUSTCHECK;

/* The bits that the prefix of 'bits' bits (<= 128) leaves open. */
struct nsp_u128 nsp_prefix_open_bits(uint32_t bits);

/* Turns what was added into a set, stored in '*ret', and leaves the builder as
 * if just initialised. Returns 0 or -ENOMEM. */
int nsp_prefix_builder_finish(struct nsp_prefix_builder *builder,
                              struct nsp_prefix_set **ret) NSP_MUSTCHECK;

/* Frees 'set', which may be NULL. Returns NULL. */
struct nsp_prefix_set *nsp_prefix_set_destroy(struct nsp_prefix_set *set);

/* 'addr' is in host order. */
bool nsp_prefix_set_has_ipv4(const struct nsp_prefix_set *set, uint32_t addr);

/* 'addr' is 16 bytes in network order, of any alignment. */
bool nsp_prefix_set_has_ipv6(const struct nsp_prefix_set *set,
                             const uint8_t addr[]);

/* The same for 'count' (<= 64) addresses at once, which waits for memory far
 * less: bit i of the result answers for addrs[i]. */
uint64_t nsp_prefix_set_has_ipv4_burst(const struct nsp_prefix_set *set,
                                       const uint32_t addrs[], uint32_t count);
uint64_t nsp_prefix_set_has_ipv6_burst(const struct nsp_prefix_set *set,
                                       const uint8_t *const addrs[],
                                       uint32_t count);

/* Tell whether 'addr' is in the set, and store the last address up to which all
 * are, or all are not: so to walk through a set in order. */
bool nsp_prefix_set_run_ipv4(const struct nsp_prefix_set *set, uint32_t addr,
                             uint32_t *ret_last);
bool nsp_prefix_set_run_ipv6(const struct nsp_prefix_set *set,
                             struct nsp_u128 addr, struct nsp_u128 *ret_last);

struct nsp_prefix_set_info {
    uint32_t entries;                  /* As added. */
    uint32_t ipv4_ranges, ipv6_ranges; /* After joining. */
    size_t bytes;
};

struct nsp_prefix_set_info nsp_prefix_set_info(
    const struct nsp_prefix_set *set);

#endif /* NSP_FILTER_PREFIX_SET_H */
