#include "base/memory.h"
#include "tests/lib/test.h"

#include <string.h>

#define MIB ((size_t)1 << 20)

static bool
is_zero(const uint8_t bytes[], size_t count)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, count - 1) == 0;
}

/* What was released comes again, and must not show. */
TEST(large_pages_are_zeroed_and_aligned_where_a_page_fits)
{
    static const size_t sizes[] = { 1, 4096, 2 * MIB - 1, 2 * MIB,
                                    3 * MIB + 5 };
    const struct nsp_allocator *allocator = nsp_large_page_allocator();

    uint8_t *blocks[NSP_ARRAY_LEN(sizes)];

    for (int round = 0; round < 4; round++) {
        for (size_t i = 0; i < NSP_ARRAY_LEN(sizes); i++) {
            blocks[i] = nsp_alloc(allocator, sizes[i], 1);
            CHECK(blocks[i] != NULL);
            CHECK(is_zero(blocks[i], sizes[i]));
            CHECK(sizes[i] < 2 * MIB || (uintptr_t)blocks[i] % (2 * MIB) == 0);
            memset(blocks[i], 0x55, sizes[i]);
        }
        for (size_t i = 0; i < NSP_ARRAY_LEN(sizes); i++)
            nsp_release(allocator, blocks[i]);
    }
    nsp_release(allocator, NULL);
}

TEST(large_pages_that_nobody_has_are_no_memory)
{
    CHECK(nsp_alloc(nsp_large_page_allocator(), 1, PTRDIFF_MAX) == NULL);
}

TEST_MAIN(
    cmocka_unit_test(large_pages_are_zeroed_and_aligned_where_a_page_fits),
    cmocka_unit_test(large_pages_that_nobody_has_are_no_memory))
