#include "shape/window.h"
#include "tests/lib/test.h"

#include <string.h>

#define MS UINT64_C(1000000)

/* The windows, one after another, and a first-in first-out queue before them.
 */
struct reference {
    const struct nsp_window_config *window;
    struct nsp_prng random;
    uint64_t opens_ns;
    uint32_t pkts, bytes;
};

static void
open_reference(struct reference *ref)
{
    uint64_t spread_ns = ref->window->max_ns - ref->window->min_ns;
    uint64_t more_ns =
        spread_ns == 0 ? 0
                       : (nsp_prng_next(&ref->random) >> 11) % (spread_ns + 1);

    ref->opens_ns += ref->window->min_ns + more_ns;
    ref->pkts = 0;
    ref->bytes = 0;
}

static uint64_t
reference_depart_ns(struct reference *ref, uint64_t now_ns, uint32_t bytes)
{
    const struct nsp_window_config *window = ref->window;

    for (;; open_reference(ref)) {
        if (ref->opens_ns < now_ns)
            continue;
        if (ref->pkts > 0 && window->limit_pkts != 0 &&
            ref->pkts + 1 > window->limit_pkts)
            continue;
        if (ref->pkts > 0 && window->limit_bytes != 0 &&
            ref->bytes + bytes > window->limit_bytes)
            continue;
        ref->pkts++;
        ref->bytes += bytes;
        return ref->opens_ns;
    }
}

TEST(window_agrees_with_a_queue_before_every_window)
{
    static const struct nsp_window_config windows[] = {
        { 100, 100, 0, 0, 0 },    { 100, 100, 3, 0, 0 },
        { 100, 100, 0, 3000, 0 }, { 100, 100, 4, 3000, 0 },
        { 1, 1, 1, 0, 0 },        { 50, 150, 0, 0, 0 },
        { 50, 150, 2, 0, 0 },     { 10, 1000, 3, 4000, 0 },
    };

    for (size_t w = 0; w < NSP_ARRAY_LEN(windows); w++) {
        struct nsp_window_state past = { .start_ns = 7 };
        struct reference ref = { .window = &windows[w], .opens_ns = 7 };
        struct nsp_prng random, traffic;
        uint64_t now_ns = 7, last_ns = 0;

        CHECK(nsp_window_fault(&windows[w]) == NULL);
        nsp_prng_init(&random, 1, w);
        nsp_prng_init(&ref.random, 1, w);
        nsp_prng_init(&traffic, 2, w);
        open_reference(&ref);
        for (int i = 0; i < 200000; i++) {
            uint32_t bytes = 40 + nsp_prng_below(&traffic, 1461);
            uint64_t departs_ns = nsp_window_depart_ns(&windows[w], &past,
                                                       now_ns, bytes, &random);

            CHECK_EQ(departs_ns, reference_depart_ns(&ref, now_ns, bytes));
            CHECK(departs_ns >= now_ns && departs_ns >= last_ns);
            last_ns = departs_ns;
            if (nsp_prng_next(&traffic) % 4 == 0)
                now_ns += nsp_prng_below(&traffic, 400);
        }
    }
}

TEST(window_gives_a_large_packet_one_to_itself)
{
    const struct nsp_window_config window = { MS, MS, 0, 1000, 0 };
    struct nsp_window_state past = { 0 }, fresh = { 0 };
    struct nsp_prng random;

    nsp_prng_init(&random, 1, 0);
    CHECK_EQ(nsp_window_depart_ns(&window, &fresh, 0, 9000, &random), MS);
    CHECK_EQ(nsp_window_depart_ns(&window, &past, 0, 600, &random), MS);
    CHECK_EQ(nsp_window_depart_ns(&window, &past, 0, 400, &random), MS);
    CHECK_EQ(nsp_window_depart_ns(&window, &past, 0, 9000, &random), 2 * MS);
    CHECK_EQ(nsp_window_depart_ns(&window, &past, 0, 1, &random), 3 * MS);
    /* One that comes as its window opens leaves with it. */
    CHECK_EQ(nsp_window_depart_ns(&window, &past, 3 * MS, 1, &random), 3 * MS);
    CHECK_EQ(nsp_window_depart_ns(&window, &past, 3 * MS + 1, 1, &random),
             4 * MS);
}

TEST(window_is_found_at_once_after_a_long_time)
{
    const struct nsp_window_config fixed = { 3, 3, 0, 0, 0 },
                                   drawn = { 3, 9, 0, 0, 0 };
    const uint64_t far_ns = UINT64_C(1) << 62;
    struct nsp_window_state a = { 0 }, b = { 0 };
    struct nsp_prng random;
    uint64_t next_ns;

    nsp_prng_init(&random, 1, 0);
    (void)nsp_window_depart_ns(&fixed, &a, 0, 1, &random);
    next_ns = nsp_window_depart_ns(&fixed, &a, far_ns, 1, &random);
    CHECK(next_ns >= far_ns && next_ns < far_ns + 3 && next_ns % 3 == 0);

    (void)nsp_window_depart_ns(&drawn, &b, 0, 1, &random);
    next_ns = nsp_window_depart_ns(&drawn, &b, far_ns, 1, &random);
    CHECK(next_ns >= far_ns + 3 && next_ns <= far_ns + 9);
    CHECK_EQ(nsp_window_depart_ns(&drawn, &b, UINT64_MAX, 1, &random),
             UINT64_MAX);
}

TEST(window_refuses_what_makes_no_sense)
{
    static const struct nsp_window_config cases[] = {
        { 0, 5, 0, 0, 0 },
        { 5, 4, 0, 0, 0 },
        { 5, NSP_WINDOW_NS_MAX + 1, 0, 0, 0 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(cases); i++)
        CHECK(nsp_window_fault(&cases[i]) != NULL);
}

TEST_MAIN(cmocka_unit_test(window_agrees_with_a_queue_before_every_window),
          cmocka_unit_test(window_gives_a_large_packet_one_to_itself),
          cmocka_unit_test(window_is_found_at_once_after_a_long_time),
          cmocka_unit_test(window_refuses_what_makes_no_sense))
