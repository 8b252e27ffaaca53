#include "base/base.h"
#include "base/counter.h"
#include "base/diag.h"
#include "base/memory.h"
#include "base/prng.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <string.h>

TEST(base_sums_stop_at_never)
{
    CHECK_EQ(nsp_add_sat_u64(0, 0), 0);
    CHECK_EQ(nsp_add_sat_u64(UINT64_MAX - 5, 5), UINT64_MAX);
    CHECK_EQ(nsp_add_sat_u64(UINT64_MAX - 5, 6), UINT64_MAX);
    CHECK_EQ(nsp_add_sat_u64(UINT64_MAX, UINT64_MAX), UINT64_MAX);
    CHECK_EQ(nsp_add_sat_u64(UINT64_C(1) << 63, 1), (UINT64_C(1) << 63) + 1);
}

TEST(base_counter_reads_what_was_added)
{
    _Atomic uint64_t counter = 0;

    CHECK_EQ(nsp_counter_read(&counter), 0);
    nsp_counter_add(&counter, 1);
    nsp_counter_add(&counter, UINT64_C(1) << 40);
    CHECK_EQ(nsp_counter_read(&counter), (UINT64_C(1) << 40) + 1);
}

TEST(base_counts_trailing_zeros)
{
    for (uint32_t bit = 0; bit < 64; bit++) {
        CHECK_EQ(nsp_ctz_u64(UINT64_C(1) << bit), bit);
        CHECK_EQ(nsp_ctz_u64(UINT64_MAX << bit), bit);
    }
}

TEST(base_finds_equal_items)
{
    static const uint16_t values[] = {
        0, 1, 0x7fff, 0x8000, 0x8001, 0xff00, 0xffff, 0x0100,
    };
    struct nsp_prng random;

    nsp_prng_init(&random, 1, 0);
    for (int round = 0; round < 20000; round++) {
        uint16_t items[16], x;
        uint32_t expected = 0;

        x = values[nsp_prng_next(&random) % NSP_ARRAY_LEN(values)];
        for (uint32_t i = 0; i < 16; i++) {
            items[i] = values[nsp_prng_next(&random) % NSP_ARRAY_LEN(values)];
            expected |= (uint32_t)(items[i] == x) << i;
        }
        CHECK_EQ(nsp_equal_u16x16(items, x), expected);
        CHECK_EQ(nsp_equal_u16x16_plain(items, x), expected);
    }
}

TEST(base_loads_and_stores_network_order_unaligned)
{
    uint8_t bytes[6] = { 0, 0xfe, 0xdc, 0xba, 0x98, 0 };
    const uint8_t stored[6] = { 0, 0x89, 0xab, 0xcd, 0xef, 0 };

    CHECK_EQ(nsp_load_be16(bytes + 1), 0xfedc);
    CHECK_EQ(nsp_load_be32(bytes + 1), UINT32_C(0xfedcba98));
    nsp_store_be32(bytes + 1, UINT32_C(0x89abcdef));
    CHECK_MEM_EQ(bytes, stored, sizeof bytes);
    nsp_store_be16(bytes + 1, 0x1234);
    CHECK_EQ(nsp_load_be32(bytes + 1), UINT32_C(0x1234cdef));
}

TEST(base_memory_is_zeroed_and_products_do_not_overflow)
{
    const struct nsp_allocator half = { .alloc = nsp_libc_allocator.alloc };
    struct nsp_allocator libc = nsp_allocator_or_libc(&half);
    const uint8_t zero[7 * 3] = { 0 };
    uint8_t *memory = nsp_alloc(&libc, 7, 3);

    CHECK(libc.release == nsp_libc_allocator.release);
    CHECK(memory != NULL);
    CHECK_MEM_EQ(memory, zero, sizeof zero);
    nsp_release(&libc, memory);
    nsp_release(&libc, NULL);
    CHECK(nsp_alloc(&libc, SIZE_MAX / 2, 3) == NULL);
    CHECK(nsp_alloc(&libc, 3, SIZE_MAX / 2) == NULL);
}

TEST(base_diag_holds_what_it_was_given)
{
    struct nsp_diag diag;

    memset(&diag, 0x55, sizeof diag);
    CHECK_EQ(nsp_diag_set(&diag, NSP_OPEN_FAILED, "queue-taken", NULL,
                          "queue %d is taken", 7),
             NSP_OPEN_FAILED);
    CHECK_EQ(diag.result, NSP_OPEN_FAILED);
    CHECK_EQ(diag.os_errno, 0);
    CHECK_EQ(diag.line, 0);
    CHECK_STR_EQ(diag.category, "queue-taken");
    CHECK_STR_EQ(diag.text, "queue 7 is taken");
    CHECK_STR_EQ(diag.hint, "");
    CHECK_EQ(nsp_diag_set(NULL, -3, "x", "y", "z"), -3);
}

TEST(base_diag_appends_the_system_error_and_never_overflows)
{
    struct nsp_diag diag;
    char text[600];

    nsp_diag_set_errno(&diag, NSP_OPEN_FAILED, "open", EPERM, "be root", "%s",
                       "cannot open");
    CHECK_EQ(diag.os_errno, EPERM);
    CHECK_STR_EQ(diag.text, "cannot open: Operation not permitted");
    CHECK_STR_EQ(diag.hint, "be root");
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    nsp_diag_set_errno(&diag, -1, text, EPERM, text, "%s", text);
    CHECK_EQ(strlen(diag.category), sizeof diag.category - 1);
    CHECK_EQ(strlen(diag.text), sizeof diag.text - 1);
    CHECK_EQ(strlen(diag.hint), sizeof diag.hint - 1);
    CHECK_EQ(nsp_diag_set_errno(NULL, -2, "x", EPERM, "y", "z"), -2);
}

TEST(base_names_every_result)
{
    CHECK_STR_EQ(nsp_result_name(NSP_INVALID_FILTER), "invalid-filter");
    CHECK_STR_EQ(nsp_result_text(NSP_OK), "success");
    CHECK_STR_EQ(nsp_result_name(-1000), "unknown");
    CHECK_STR_EQ(nsp_result_text(1000), "unknown result");
}

TEST_MAIN(
    cmocka_unit_test(base_sums_stop_at_never),
    cmocka_unit_test(base_counter_reads_what_was_added),
    cmocka_unit_test(base_counts_trailing_zeros),
    cmocka_unit_test(base_finds_equal_items),
    cmocka_unit_test(base_loads_and_stores_network_order_unaligned),
    cmocka_unit_test(base_memory_is_zeroed_and_products_do_not_overflow),
    cmocka_unit_test(base_diag_holds_what_it_was_given),
    cmocka_unit_test(base_diag_appends_the_system_error_and_never_overflows),
    cmocka_unit_test(base_names_every_result))
