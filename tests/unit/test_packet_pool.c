#include "io/packet_pool.h"
#include "tests/lib/failing_alloc.h"
#include "tests/lib/test.h"

#include <errno.h>

#define HELD_PKTS 10u
#define COUNT     (HELD_PKTS + 2 * NSP_BURST_MAX)

struct descriptor {
    struct nsp_pkt pkt;
    uint32_t number;
};

static struct descriptor *
descriptor_of(struct nsp_pkt *pkt)
{
    return NSP_CONTAINER_OF(pkt, struct descriptor, pkt);
}

static void
open_pool(struct nsp_packet_pool *pool)
{
    CHECK_EQ(nsp_packet_pool_init(pool, sizeof(struct descriptor), HELD_PKTS,
                                  &nsp_libc_allocator),
             0);
}

/* One that overlapped another would lose its number. */
TEST(packet_pool_lends_what_is_held_and_two_bursts)
{
    struct nsp_packet_pool pool;
    struct nsp_pkt *pkts[COUNT];

    open_pool(&pool);
    for (uint32_t i = 0; i < COUNT; i++) {
        CHECK_EQ(nsp_packet_pool_left(&pool), COUNT - i);
        pkts[i] = nsp_packet_pool_take(&pool);
        *descriptor_of(pkts[i]) = (struct descriptor){ .number = i };
    }
    CHECK_EQ(nsp_packet_pool_left(&pool), 0);
    for (uint32_t i = 0; i < COUNT; i++)
        CHECK_EQ(descriptor_of(pkts[i])->number, i);
    nsp_packet_pool_fini(&pool, &nsp_libc_allocator);
}

TEST(packet_pool_lends_the_last_to_come_back_first)
{
    struct nsp_packet_pool pool;
    struct nsp_pkt *first, *second;

    open_pool(&pool);
    first = nsp_packet_pool_take(&pool);
    second = nsp_packet_pool_take(&pool);
    nsp_packet_pool_give_back(&pool, second);
    nsp_packet_pool_give_back(&pool, first);
    CHECK_EQ(nsp_packet_pool_left(&pool), COUNT);
    CHECK(nsp_packet_pool_take(&pool) == first);
    CHECK(nsp_packet_pool_take(&pool) == second);
    CHECK_EQ(nsp_packet_pool_left(&pool), COUNT - 2);
    nsp_packet_pool_fini(&pool, &nsp_libc_allocator);
}

TEST(packet_pool_reports_a_failed_allocation)
{
    for (unsigned fail_at = 0; fail_at < 2; fail_at++) {
        struct failing_alloc failing = { .fail_at = fail_at };
        struct nsp_allocator allocator = failing_allocator(&failing);
        struct nsp_packet_pool pool;

        CHECK_EQ(nsp_packet_pool_init(&pool, sizeof(struct descriptor),
                                      HELD_PKTS, &allocator),
                 -ENOMEM);
        nsp_packet_pool_fini(&pool, &allocator);
        CHECK_EQ(failing.live, 0);
    }
}

TEST(packet_store_grows_with_what_is_held_within_bounds)
{
    static const struct {
        uint32_t max_held_pkts, mib;
    } rows[] = {
        { 0, 16 },       { 63, 16 }, /* Less than the largest block more. */
        { 1024, 20 },                /* 4 KiB for each. */
        { 126976, 512 }, { 1048576, 512 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        struct nsp_buddy store;

        CHECK_EQ(nsp_packet_store_init(&store, rows[i].max_held_pkts,
                                       &nsp_libc_allocator),
                 0);
        CHECK_EQ(store.bytes, (size_t)rows[i].mib << 20);
        nsp_buddy_fini(&store);
    }
}

TEST_MAIN(cmocka_unit_test(packet_pool_lends_what_is_held_and_two_bursts),
          cmocka_unit_test(packet_pool_lends_the_last_to_come_back_first),
          cmocka_unit_test(packet_pool_reports_a_failed_allocation),
          cmocka_unit_test(packet_store_grows_with_what_is_held_within_bounds))
