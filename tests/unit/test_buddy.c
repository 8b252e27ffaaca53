#include "base/buddy.h"
#include "base/prng.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <string.h>

#define ARENA_BYTES ((size_t)4 * NSP_BUDDY_MAX_BYTES)
#define BLOCKS_MAX  512u

struct held {
    uint8_t *block;
    size_t bytes;
    uint8_t mark;
};

static uint32_t
fill_with_largest(struct nsp_buddy *buddy, void *blocks[])
{
    uint32_t n = 0;

    while ((blocks[n] = nsp_buddy_alloc(buddy, NSP_BUDDY_MAX_BYTES)) != NULL)
        n++;
    return n;
}

static void
give_back_checked(struct nsp_buddy *buddy, struct held *held)
{
    for (size_t i = 0; i < held->bytes; i++)
        CHECK_EQ(held->block[i], held->mark);
    nsp_buddy_release(buddy, held->block);
}

/* A block that overlapped another one would lose its mark. */
TEST(buddy_blocks_never_overlap_and_join_again)
{
    static struct held held[BLOCKS_MAX];
    struct nsp_buddy buddy;
    struct nsp_prng prng;
    uint32_t n = 0, refused = 0;
    void *blocks[8];

    nsp_prng_init(&prng, 1, 0);
    CHECK_EQ(nsp_buddy_init(&buddy, ARENA_BYTES, &nsp_libc_allocator), 0);
    for (uint32_t step = 0; step < 20000; step++) {
        uint64_t random = nsp_prng_next(&prng);

        if (n == BLOCKS_MAX || (n > 0 && random % 2 == 0)) {
            uint32_t i = (uint32_t)(random >> 8) % n;

            give_back_checked(&buddy, &held[i]);
            held[i] = held[--n];
        } else {
            /* Sizes from 0 to the largest, small ones being common. */
            size_t bytes = (size_t)(random >> 8) &
                           (((size_t)1 << (random >> 40) % 19) - 1);
            uint8_t *block = nsp_buddy_alloc(&buddy, bytes);

            if (!block) {
                refused++;
                continue;
            }
            CHECK_EQ((uintptr_t)block % _Alignof(max_align_t), 0);
            held[n] = (struct held){ block, bytes, (uint8_t)step };
            memset(block, held[n].mark, bytes);
            n++;
        }
    }
    CHECK(refused > 0); /* The arena was full at times. */
    while (n > 0)
        give_back_checked(&buddy, &held[--n]);
    CHECK_EQ(fill_with_largest(&buddy, blocks), 4);
    nsp_buddy_fini(&buddy);
}

TEST(buddy_gives_every_byte_of_its_arena)
{
    struct nsp_buddy buddy;
    void *blocks[8];
    uint32_t n = 0;

    CHECK_EQ(nsp_buddy_init(&buddy, ARENA_BYTES, &nsp_libc_allocator), 0);
    while (nsp_buddy_alloc(&buddy, NSP_BUDDY_MIN_BYTES))
        n++;
    CHECK_EQ(n, ARENA_BYTES / NSP_BUDDY_MIN_BYTES);
    CHECK_EQ(fill_with_largest(&buddy, blocks), 0);
    nsp_buddy_fini(&buddy);
}

static void *
alloc_once(void *context, size_t bytes)
{
    bool *spent = context;

    if (*spent)
        return NULL;
    *spent = true;
    return nsp_libc_allocator.alloc(NULL, bytes);
}

TEST(buddy_reports_a_failed_allocation)
{
    bool spent = false;
    struct nsp_allocator allocator = {
        .alloc = alloc_once,
        .release = nsp_libc_allocator.release,
        .context = &spent,
    };
    struct nsp_buddy buddy;

    CHECK_EQ(nsp_buddy_init(&buddy, ARENA_BYTES, &allocator), -ENOMEM);
    CHECK_EQ(nsp_buddy_init(&buddy, ARENA_BYTES, &allocator), -ENOMEM);
    nsp_buddy_fini(&buddy);
}

TEST_MAIN(cmocka_unit_test(buddy_blocks_never_overlap_and_join_again),
          cmocka_unit_test(buddy_gives_every_byte_of_its_arena),
          cmocka_unit_test(buddy_reports_a_failed_allocation))
