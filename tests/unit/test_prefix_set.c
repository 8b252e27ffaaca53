#include "filter/prefix_set.h"
#include "base/prng.h"
#include "tests/lib/failing_alloc.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define MIB ((size_t)1 << 20)

/* --- A list to scan, the reference ---------------------------------------- */

#define LIST_MAX 4096u

struct list {
    bool ipv6;
    bool sparse; /* Over all addresses, and hardly nested. */
    uint32_t count;
    struct nsp_range ranges[LIST_MAX];
};

static bool
list_has(const struct list *list, struct nsp_u128 value)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (!nsp_u128_less(value, list->ranges[i].lo) &&
            !nsp_u128_less(list->ranges[i].hi, value))
            return true;
    }
    return false;
}

static void
store_ipv6(struct nsp_u128 value, uint8_t ret[16])
{
    for (unsigned i = 0; i < 16; i++)
        ret[i] = (uint8_t)((i < 8 ? value.hi : value.lo) >> (56 - 8 * (i % 8)));
}

static bool
set_has(const struct nsp_prefix_set *set, bool ipv6, struct nsp_u128 value)
{
    uint8_t bytes[17];

    if (!ipv6)
        return nsp_prefix_set_has_ipv4(set, (uint32_t)value.lo);
    store_ipv6(value, bytes + 1);
    return nsp_prefix_set_has_ipv6(set, bytes + 1);
}

static uint64_t
set_has_burst(const struct nsp_prefix_set *set, bool ipv6,
              const struct nsp_u128 values[], uint32_t count)
{
    uint32_t ipv4_addrs[64];
    uint8_t bytes[64][16];
    const uint8_t *pointers[64];

    for (uint32_t i = 0; i < count; i++) {
        ipv4_addrs[i] = (uint32_t)values[i].lo;
        store_ipv6(values[i], bytes[i]);
        pointers[i] = bytes[i];
    }
    return ipv6 ? nsp_prefix_set_has_ipv6_burst(set, pointers, count)
                : nsp_prefix_set_has_ipv4_burst(set, ipv4_addrs, count);
}

static struct nsp_prefix_set *
build(const struct list *list)
{
    struct nsp_prefix_builder builder;
    struct nsp_prefix_set *set = NULL;

    nsp_prefix_builder_init(&builder, NULL);
    for (uint32_t i = 0; i < list->count; i++) {
        const struct nsp_range *r = &list->ranges[i];

        CHECK_EQ(list->ipv6
                     ? nsp_prefix_builder_add_ipv6(&builder, r->lo, r->hi)
                     : nsp_prefix_builder_add_ipv4(&builder, (uint32_t)r->lo.lo,
                                                   (uint32_t)r->hi.lo),
                 0);
    }
    CHECK_EQ(nsp_prefix_builder_finish(&builder, &set), 0);
    return set;
}

/* --- Random sets ---------------------------------------------------------- */

/* An address out of a small part of all, so that prefixes nest and touch; few
 * upper halves, so that many IPv6 addresses share theirs. */
static struct nsp_u128
random_addr(const struct list *list, struct nsp_prng *random)
{
    uint64_t x = nsp_prng_next(random), y = nsp_prng_next(random);

    if (!list->ipv6 && list->sparse)
        return nsp_u128(x & UINT32_MAX);
    if (!list->ipv6)
        return nsp_u128(UINT64_C(0x0a000000) | (x & 0x1fffff) |
                        (y % 8 == 0 ? y >> 32 : 0));
    switch (y % 4) {
    case 0:
        return (struct nsp_u128){ x % 5, y >> 52 };
    case 1:
        return (struct nsp_u128){ UINT64_MAX - x % 3, ~(y >> 50) };
    case 2:
        return (struct nsp_u128){ 0x20010db800000000 | (x & 0xffff), y };
    default:
        return (struct nsp_u128){ x, y };
    }
}

static uint32_t
random_bits(const struct list *list, struct nsp_prng *random)
{
    uint32_t width = list->ipv6 ? 128 : 32;
    uint64_t x = nsp_prng_next(random);

    if (x % 4 == 0)
        return width;
    return width - (uint32_t)((x >> 8) % (width * 2 / 5));
}

/* A prefix; or a range; or what follows the last one; or that again. */
static struct nsp_range
random_range(const struct list *list, struct nsp_prng *random)
{
    struct nsp_u128 open =
        nsp_prefix_open_bits((list->ipv6 ? 0 : 96) + random_bits(list, random));
    struct nsp_u128 addr = random_addr(list, random);
    struct nsp_range range = {
        { addr.hi & ~open.hi, addr.lo & ~open.lo },
        { addr.hi | open.hi, addr.lo | open.lo },
    };
    struct nsp_u128 max = nsp_prefix_open_bits(list->ipv6 ? 0 : 96);
    uint64_t kind = nsp_prng_next(random) % 10;

    if (kind < 3 && nsp_u128_less(addr, range.hi))
        range.lo = addr; /* No longer a prefix. */
    if (kind < 5 || list->count == 0)
        return range;
    if (kind == 5)
        return list->ranges[list->count - 1];
    if (kind == 6 && nsp_u128_less(list->ranges[list->count - 1].hi, max)) {
        range.lo = nsp_u128_add(list->ranges[list->count - 1].hi, nsp_u128(1));
        range.hi = range.lo;
    }
    return range;
}

static struct nsp_u128
wrap(const struct list *list, struct nsp_u128 value)
{
    return list->ipv6 ? value : nsp_u128(value.lo & UINT32_MAX);
}

/* At the bounds of the ranges, beside them, and anywhere. */
static struct nsp_u128
random_query(const struct list *list, struct nsp_prng *random)
{
    const struct nsp_range *range;
    uint64_t x = nsp_prng_next(random);

    if (list->count == 0 || x % 8 == 0)
        return random_addr(list, random);
    range = &list->ranges[(x >> 8) % list->count];
    switch (x % 8) {
    case 1:
    case 2:
        return range->lo;
    case 3:
        return range->hi;
    case 4:
        return wrap(list, nsp_u128_sub(range->lo, nsp_u128(1)));
    case 5:
        return wrap(list, nsp_u128_add(range->hi, nsp_u128(1)));
    case 6:
        return wrap(list, nsp_u128_add(range->lo, nsp_u128(x >> 60)));
    default:
        return wrap(list, nsp_u128_sub(range->hi, (struct nsp_u128){ 1, 0 }));
    }
}

static bool
set_run(const struct nsp_prefix_set *set, bool ipv6, struct nsp_u128 at,
        struct nsp_u128 *ret_last)
{
    uint32_t last;
    bool inside;

    if (ipv6)
        return nsp_prefix_set_run_ipv6(set, at, ret_last);
    inside = nsp_prefix_set_run_ipv4(set, (uint32_t)at.lo, &last);
    *ret_last = nsp_u128(last);
    return inside;
}

/* Runs alternate, begin and end where the list says, and cover everything. */
static void
check_runs(const struct nsp_prefix_set *set, const struct list *list)
{
    struct nsp_prefix_set_info info = nsp_prefix_set_info(set);
    struct nsp_u128 max = list->ipv6 ? NSP_U128_MAX : nsp_u128(UINT32_MAX);
    struct nsp_u128 at = { 0, 0 }, last = max;
    bool inside = !list_has(list, at);
    uint32_t ranges = 0;

    for (;;) {
        CHECK_EQ(set_run(set, list->ipv6, at, &last), !inside);
        inside = !inside;
        ranges += inside;
        CHECK_EQ(list_has(list, at), inside);
        CHECK_EQ(list_has(list, last), inside);
        if (nsp_u128_equal(last, max))
            break;
        at = nsp_u128_add(last, nsp_u128(1));
    }
    CHECK_EQ(ranges, list->ipv6 ? info.ipv6_ranges : info.ipv4_ranges);
}

static void
check_set(const struct list *list, struct nsp_prng *random, uint32_t bursts)
{
    struct nsp_prefix_set *set = build(list);

    for (uint32_t b = 0; b < bursts; b++) {
        struct nsp_u128 values[64];
        uint32_t count = (uint32_t)(nsp_prng_next(random) % 65);
        uint64_t expected = 0;

        for (uint32_t i = 0; i < count; i++) {
            bool has;

            values[i] = random_query(list, random);
            has = list_has(list, values[i]);
            CHECK_EQ(set_has(set, list->ipv6, values[i]), has);
            expected |= (uint64_t)has << i;
        }
        CHECK_EQ(set_has_burst(set, list->ipv6, values, count), expected);
    }
    CHECK_EQ(nsp_prefix_set_info(set).entries, list->count);
    check_runs(set, list);
    nsp_prefix_set_destroy(set);
}

static void
check_random_sets(bool ipv6)
{
    static const uint32_t sizes[] = {
        0, 1, 2, 3, 4, 5, 8, 9, 36, 37, 100, 700
    };
    static struct list list;
    struct nsp_prng random;

    list.ipv6 = ipv6;
    list.sparse = false;
    nsp_prng_init(&random, 7, ipv6);
    for (uint32_t round = 0; round < 20; round++) {
        for (size_t s = 0; s < NSP_ARRAY_LEN(sizes); s++) {
            for (list.count = 0; list.count < sizes[s]; list.count++)
                list.ranges[list.count] = random_range(&list, &random);
            check_set(&list, &random, 10);
        }
    }
    for (uint32_t round = 0; round < 4; round++) {
        list.sparse = round > 0;
        for (list.count = 0; list.count < LIST_MAX; list.count++)
            list.ranges[list.count] = random_range(&list, &random);
        check_set(&list, &random, 60);
    }
}

TEST(prefix_set_answers_like_a_linear_scan_for_ipv4)
{
    check_random_sets(false);
}

TEST(prefix_set_answers_like_a_linear_scan_for_ipv6)
{
    check_random_sets(true);
}

/* --- Edges ---------------------------------------------------------------- */

#define ONES UINT64_MAX

TEST(prefix_set_knows_the_edges_of_ipv4)
{
    static const struct {
        uint32_t addr, bits;
        uint32_t in[2], out[2];
        bool full;
    } ipv4[] = {
        { 0, 0, { 0, UINT32_MAX }, { 0, 0 }, true },
        { 0x80000000, 1, { 0x80000000, UINT32_MAX }, { 0, 0x7fffffff }, false },
        { 0x7fffffff, 1, { 0, 0x7fffffff }, { 0x80000000, UINT32_MAX }, false },
        { 0, 32, { 0, 0 }, { 1, UINT32_MAX }, false },
        { UINT32_MAX,
          32,
          { UINT32_MAX, UINT32_MAX },
          { 0, UINT32_MAX - 1 },
          false },
        { 0x0a0000ff,
          31,
          { 0x0a0000fe, 0x0a0000ff },
          { 0x0a0000fd, 0x0a000100 },
          false },
    };
    struct nsp_prefix_builder builder;
    struct nsp_prefix_set *set;

    for (size_t i = 0; i < NSP_ARRAY_LEN(ipv4); i++) {
        nsp_prefix_builder_init(&builder, NULL);
        CHECK_EQ(nsp_prefix_builder_add_ipv4_prefix(&builder, ipv4[i].addr,
                                                    ipv4[i].bits),
                 0);
        CHECK_EQ(nsp_prefix_builder_finish(&builder, &set), 0);
        for (int k = 0; k < 2; k++) {
            CHECK(nsp_prefix_set_has_ipv4(set, ipv4[i].in[k]));
            CHECK(ipv4[i].full ||
                  !nsp_prefix_set_has_ipv4(set, ipv4[i].out[k]));
        }
        nsp_prefix_set_destroy(set);
    }
}

TEST(prefix_set_knows_the_edges_of_ipv6)
{
    static const struct {
        struct nsp_u128 addr;
        uint32_t bits;
        struct nsp_u128 in[2], out[2];
        bool full;
    } ipv6[] = {
        { { 0, 0 }, 0, { { 0, 0 }, { ONES, ONES } }, { { 0, 0 } }, true },
        { { ONES, ONES },
          1,
          { { 1ull << 63, 0 }, { ONES, ONES } },
          { { 0, 0 }, { ONES >> 1, ONES } },
          false },
        { { 0, 0 },
          128,
          { { 0, 0 }, { 0, 0 } },
          { { 0, 1 }, { 1, 0 } },
          false },
        { { ONES, ONES },
          128,
          { { ONES, ONES }, { ONES, ONES } },
          { { ONES, ONES - 1 }, { 0, 0 } },
          false },
        { { 5, 9 },
          64,
          { { 5, 0 }, { 5, ONES } },
          { { 4, ONES }, { 6, 0 } },
          false },
        { { 5, 9 },
          65,
          { { 5, 0 }, { 5, ONES >> 1 } },
          { { 5, 1ull << 63 }, { 4, ONES } },
          false },
    };
    struct nsp_prefix_builder builder;
    struct nsp_prefix_set *set;

    for (size_t i = 0; i < NSP_ARRAY_LEN(ipv6); i++) {
        nsp_prefix_builder_init(&builder, NULL);
        CHECK_EQ(nsp_prefix_builder_add_ipv6_prefix(&builder, ipv6[i].addr,
                                                    ipv6[i].bits),
                 0);
        CHECK_EQ(nsp_prefix_builder_finish(&builder, &set), 0);
        for (int k = 0; k < 2; k++) {
            CHECK(set_has(set, true, ipv6[i].in[k]));
            CHECK(ipv6[i].full || !set_has(set, true, ipv6[i].out[k]));
        }
        nsp_prefix_set_destroy(set);
    }
}

TEST(prefix_set_keeps_ipv4_and_ipv6_apart)
{
    struct nsp_prefix_builder builder;
    struct nsp_prefix_set *set;

    nsp_prefix_builder_init(&builder, NULL);
    CHECK_EQ(nsp_prefix_builder_add_ipv4_prefix(&builder, 0, 0), 0);
    CHECK_EQ(nsp_prefix_builder_finish(&builder, &set), 0);
    CHECK(!set_has(set, true, nsp_u128(NSP_IPV4_FIRST | 0x0a000001)));
    CHECK(!set_has(set, true, nsp_u128(0x0a000001)));
    nsp_prefix_set_destroy(set);

    nsp_prefix_builder_init(&builder, NULL);
    CHECK_EQ(nsp_prefix_builder_add_ipv6_prefix(&builder, nsp_u128(0), 0), 0);
    CHECK_EQ(nsp_prefix_builder_finish(&builder, &set), 0);
    CHECK(!nsp_prefix_set_has_ipv4(set, 0x0a000001));
    nsp_prefix_set_destroy(set);
}

TEST(prefix_set_joins_what_overlaps_or_touches)
{
    static const uint32_t nets[] = { 0x0a000100, 0x0a000000, 0x0a000100,
                                     0x0a000200, 0x0a000300, 0x0a000500 };
    struct nsp_prefix_builder builder;
    struct nsp_prefix_set *set;

    nsp_prefix_builder_init(&builder, NULL);
    for (size_t i = 0; i < NSP_ARRAY_LEN(nets); i++)
        CHECK_EQ(nsp_prefix_builder_add_ipv4_prefix(&builder, nets[i], 24), 0);
    CHECK_EQ(nsp_prefix_builder_add_ipv4(&builder, 0x0a000010, 0x0a000020), 0);
    CHECK_EQ(nsp_prefix_builder_finish(&builder, &set), 0);
    CHECK_EQ(nsp_prefix_set_info(set).entries, 7);
    CHECK_EQ(nsp_prefix_set_info(set).ipv4_ranges, 2);
    CHECK_EQ(nsp_prefix_set_info(set).ipv6_ranges, 0);
    nsp_prefix_set_destroy(set);
}

/* --- Limits --------------------------------------------------------------- */

/* Spreads numbers below 2^20 over 32 bits, no two alike. */
static uint32_t
spread(uint32_t i)
{
    return i * UINT32_C(2654435761);
}

TEST(prefix_set_takes_its_limit_in_64_mebibytes_and_no_entry_more)
{
    struct nsp_prefix_builder builder;
    struct nsp_prefix_set *set;

    for (int ipv6 = 0; ipv6 < 2; ipv6++) {
        nsp_prefix_builder_init(&builder, NULL);
        for (uint32_t i = 0; i < NSP_PREFIX_SET_MAX; i++) {
            if (ipv6)
                CHECK_EQ(nsp_prefix_builder_add_ipv6_prefix(
                             &builder,
                             (struct nsp_u128){ (uint64_t)spread(i) << 30, i },
                             128),
                         0);
            else
                CHECK_EQ(
                    nsp_prefix_builder_add_ipv4_prefix(&builder, spread(i), 32),
                    0);
        }
        CHECK_EQ(nsp_prefix_builder_add_ipv4(&builder, 1, 1), -E2BIG);
        CHECK_EQ(
            nsp_prefix_builder_add_ipv6(&builder, nsp_u128(1), nsp_u128(1)),
            -E2BIG);
        CHECK_EQ(nsp_prefix_builder_finish(&builder, &set), 0);
        CHECK_EQ(nsp_prefix_set_info(set).entries, NSP_PREFIX_SET_MAX);
        CHECK(nsp_prefix_set_info(set).bytes <= 64 * MIB);
        for (uint32_t i = 0; i < NSP_PREFIX_SET_MAX; i += 997) {
            struct nsp_u128 addr = { (uint64_t)spread(i) << 30, i };

            CHECK(ipv6 ? set_has(set, true, addr)
                       : nsp_prefix_set_has_ipv4(set, spread(i)));
        }
        nsp_prefix_set_destroy(set);
    }
}

/* Each range has a part of two /24s, the dearest there is for bitmaps. */
TEST(prefix_set_stays_small_for_ranges_across_many_networks)
{
    enum { COUNT = 700000, STEP = 0x1700, OFFSET = 0x80, LENGTH = 0x100 };
    struct nsp_prefix_builder builder;
    struct nsp_prefix_set *set;

    nsp_prefix_builder_init(&builder, NULL);
    for (uint32_t i = 0; i < COUNT; i++)
        CHECK_EQ(nsp_prefix_builder_add_ipv4(&builder, i * STEP + OFFSET,
                                             i * STEP + OFFSET + LENGTH - 1),
                 0);
    CHECK_EQ(nsp_prefix_builder_finish(&builder, &set), 0);
    CHECK(nsp_prefix_set_info(set).bytes <= 40 * MIB);
    for (uint32_t i = 0; i < COUNT; i += 331) {
        uint32_t first = i * STEP + OFFSET;

        CHECK(!nsp_prefix_set_has_ipv4(set, first - 1));
        CHECK(nsp_prefix_set_has_ipv4(set, first));
        CHECK(nsp_prefix_set_has_ipv4(set, first + LENGTH - 1));
        CHECK(!nsp_prefix_set_has_ipv4(set, first + LENGTH));
    }
    nsp_prefix_set_destroy(set);
}

TEST(prefix_set_leaves_nothing_behind_when_any_allocation_fails)
{
    bool done = false;

    for (unsigned fail_at = 0; !done; fail_at++) {
        struct failing_alloc failing = { .fail_at = fail_at };
        const struct nsp_allocator allocator = failing_allocator(&failing);
        struct nsp_prefix_builder builder;
        struct nsp_prefix_set *set = NULL;
        int error = 0;

        nsp_prefix_builder_init(&builder, &allocator);
        for (uint32_t i = 0; i < 3000 && error == 0; i++) {
            error = nsp_prefix_builder_add_ipv4_prefix(&builder, spread(i), 32);
            if (error == 0)
                error = nsp_prefix_builder_add_ipv6_prefix(
                    &builder, nsp_u128(spread(i)), 128);
        }
        if (error == 0)
            error = nsp_prefix_builder_finish(&builder, &set);
        done = error == 0;
        CHECK(done == !failing.failed);
        CHECK(done || (error == -ENOMEM && set == NULL));
        nsp_prefix_set_destroy(set);
        nsp_prefix_builder_fini(&builder);
        CHECK_EQ(failing.live, 0);
    }
}

/* --- Threads -------------------------------------------------------------- */

struct reader {
    pthread_t thread;
    const struct nsp_prefix_set *set;
    uint32_t wrong;
};

/* Of three /28s (/124s) one is in the set. */
static void *
read_set(void *opaque)
{
    struct reader *reader = opaque;

    for (uint32_t i = 0; i < 60000; i++) {
        bool member = i / 16 % 3 == 0;

        reader->wrong += nsp_prefix_set_has_ipv4(reader->set, i) != member;
        reader->wrong += set_has(reader->set, true, nsp_u128(i)) != member;
    }
    return NULL;
}

TEST(prefix_set_is_read_by_many_threads)
{
    struct reader readers[4] = { 0 };
    struct nsp_prefix_builder builder;
    struct nsp_prefix_set *set;

    nsp_prefix_builder_init(&builder, NULL);
    for (uint32_t i = 0; i < 60000; i += 48) {
        CHECK_EQ(nsp_prefix_builder_add_ipv4_prefix(&builder, i, 28), 0);
        CHECK_EQ(nsp_prefix_builder_add_ipv6_prefix(&builder, nsp_u128(i), 124),
                 0);
    }
    CHECK_EQ(nsp_prefix_builder_finish(&builder, &set), 0);
    for (size_t i = 0; i < NSP_ARRAY_LEN(readers); i++) {
        readers[i].set = set;
        CHECK_EQ(
            pthread_create(&readers[i].thread, NULL, read_set, &readers[i]), 0);
    }
    for (size_t i = 0; i < NSP_ARRAY_LEN(readers); i++) {
        CHECK_EQ(pthread_join(readers[i].thread, NULL), 0);
        CHECK_EQ(readers[i].wrong, 0);
    }
    nsp_prefix_set_destroy(set);
}

TEST_MAIN(
    cmocka_unit_test(prefix_set_answers_like_a_linear_scan_for_ipv4),
    cmocka_unit_test(prefix_set_answers_like_a_linear_scan_for_ipv6),
    cmocka_unit_test(prefix_set_knows_the_edges_of_ipv4),
    cmocka_unit_test(prefix_set_knows_the_edges_of_ipv6),
    cmocka_unit_test(prefix_set_keeps_ipv4_and_ipv6_apart),
    cmocka_unit_test(prefix_set_joins_what_overlaps_or_touches),
    cmocka_unit_test(
        prefix_set_takes_its_limit_in_64_mebibytes_and_no_entry_more),
    cmocka_unit_test(prefix_set_stays_small_for_ranges_across_many_networks),
    cmocka_unit_test(
        prefix_set_leaves_nothing_behind_when_any_allocation_fails),
    cmocka_unit_test(prefix_set_is_read_by_many_threads))
