#include "base/ring.h"
#include "tests/lib/test.h"

#include <pthread.h>

TEST(ring_keeps_order_and_refuses_when_full)
{
    struct nsp_ring ring;
    int values[6];
    void *in[6], *out[6];

    for (int i = 0; i < 6; i++)
        in[i] = &values[i];
    CHECK_EQ(nsp_ring_init(&ring, 4, &nsp_libc_allocator), 0);
    CHECK(nsp_ring_peek(&ring) == NULL);
    CHECK_EQ(nsp_ring_push_burst(&ring, in, 6), 4);
    CHECK_EQ(nsp_ring_push_burst(&ring, in + 4, 2), 0);
    CHECK(nsp_ring_peek(&ring) == in[0]);
    CHECK_EQ(nsp_ring_pop_burst(&ring, out, 3), 3);
    CHECK_EQ(nsp_ring_push_burst(&ring, in + 4, 2), 2);
    CHECK_EQ(nsp_ring_pop_burst(&ring, out + 3, 6), 3);
    for (int i = 0; i < 6; i++)
        CHECK(out[i] == in[i]);
    nsp_ring_fini(&ring);
}

#define PASSED_ALONG 200000u

static void *
produce(void *opaque)
{
    struct nsp_ring *ring = opaque;

    for (uintptr_t i = 1; i <= PASSED_ALONG;) {
        void *object = (void *)i;

        i += nsp_ring_push_burst(ring, &object, 1);
    }
    return NULL;
}

TEST(ring_passes_everything_in_order_between_threads)
{
    struct nsp_ring ring;
    pthread_t producer;
    uintptr_t expected = 1;

    CHECK_EQ(nsp_ring_init(&ring, 64, &nsp_libc_allocator), 0);
    CHECK_EQ(pthread_create(&producer, NULL, produce, &ring), 0);
    while (expected <= PASSED_ALONG) {
        void *out[16];
        uint32_t n = nsp_ring_pop_burst(&ring, out, 16);

        for (uint32_t i = 0; i < n; i++)
            CHECK_EQ((uintptr_t)out[i], expected++);
    }
    pthread_join(producer, NULL);
    nsp_ring_fini(&ring);
}

TEST_MAIN(cmocka_unit_test(ring_keeps_order_and_refuses_when_full),
          cmocka_unit_test(ring_passes_everything_in_order_between_threads))
