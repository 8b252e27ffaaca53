#include "base/prng.h"
#include "shape/wheel.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <stdlib.h>

#define SECOND NSP_NS_PER_SECOND
#define HOUR   (3600 * SECOND)

/* The reference: a binary heap ordered by (due_ns, order of adding). */
struct entry {
    uint64_t due_ns, order;
    struct nsp_wheel_node *node;
};

struct model {
    struct entry *heap;
    uint64_t count, added;
};

static bool
before(const struct entry *a, const struct entry *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static void
swap(struct entry *a, struct entry *b)
{
    struct entry t = *a;

    *a = *b;
    *b = t;
}

static void
model_add(struct model *model, struct nsp_wheel_node *node)
{
    uint64_t i = model->count++;

    model->heap[i] = (struct entry){ node->due_ns, model->added++, node };
    for (; i > 0 && before(&model->heap[i], &model->heap[(i - 1) / 2]);
         i = (i - 1) / 2)
        swap(&model->heap[i], &model->heap[(i - 1) / 2]);
}

static struct nsp_wheel_node *
model_take(struct model *model)
{
    struct nsp_wheel_node *node = model->heap[0].node;
    uint64_t i = 0;

    model->heap[0] = model->heap[--model->count];
    for (;;) {
        uint64_t least = i;

        for (uint64_t c = 2 * i + 1; c <= 2 * i + 2 && c < model->count; c++)
            if (before(&model->heap[c], &model->heap[least]))
                least = c;
        if (least == i)
            return node;
        swap(&model->heap[i], &model->heap[least]);
        i = least;
    }
}

static uint64_t
model_due_ns(const struct model *model)
{
    return model->count != 0 ? model->heap[0].due_ns : NSP_TIME_NEVER;
}

/* A wheel and its model, fed alike. Free nodes are a stack. */
struct pair {
    struct nsp_wheel *wheel;
    struct model model;
    struct nsp_wheel_node *nodes;
    struct nsp_wheel_node **free_nodes;
    uint64_t free_count;
    uint64_t now_ns;
};

static void
pair_create(struct pair *pair, uint64_t capacity, uint64_t now_ns)
{
    *pair = (struct pair){ .free_count = capacity, .now_ns = now_ns };
    pair->nodes = calloc(capacity, sizeof *pair->nodes);
    pair->free_nodes = calloc(capacity, sizeof *pair->free_nodes);
    pair->model.heap = calloc(capacity, sizeof *pair->model.heap);
    CHECK(pair->nodes && pair->free_nodes && pair->model.heap);
    for (uint64_t i = 0; i < capacity; i++)
        pair->free_nodes[i] = &pair->nodes[i];
    CHECK_EQ(nsp_wheel_create(NULL, now_ns, &pair->wheel), 0);
}

static void
pair_destroy(struct pair *pair)
{
    CHECK(nsp_wheel_destroy(pair->wheel) == NULL);
    free(pair->nodes);
    free(pair->free_nodes);
    free(pair->model.heap);
}

static void
pair_add(struct pair *pair, uint64_t due_ns)
{
    struct nsp_wheel_node *node;

    if (pair->free_count == 0 || due_ns == NSP_TIME_NEVER)
        return;
    node = pair->free_nodes[--pair->free_count];
    node->due_ns = due_ns;
    nsp_wheel_add(pair->wheel, node);
    model_add(&pair->model, node);
}

static void
pair_agree(const struct pair *pair)
{
    if (nsp_wheel_count(pair->wheel) != pair->model.count ||
        nsp_wheel_due_ns(pair->wheel) != model_due_ns(&pair->model))
        fail_msg("count %ju, expected %ju; due %ju, expected %ju",
                 (uintmax_t)nsp_wheel_count(pair->wheel),
                 (uintmax_t)pair->model.count,
                 (uintmax_t)nsp_wheel_due_ns(pair->wheel),
                 (uintmax_t)model_due_ns(&pair->model));
}

/* Expires at 'now_ns' with room for 'max' and returns how many came. */
static uint32_t
pair_expire(struct pair *pair, uint64_t now_ns, uint32_t max)
{
    struct nsp_wheel_node *out[NSP_BURST_MAX];
    uint32_t n;

    pair->now_ns = now_ns;
    n = nsp_wheel_expire(pair->wheel, now_ns, out, max);
    CHECK(n <= max);
    for (uint32_t i = 0; i < n; i++) {
        CHECK(model_due_ns(&pair->model) <= now_ns);
        CHECK(model_take(&pair->model) == out[i]);
        pair->free_nodes[pair->free_count++] = out[i];
    }
    if (n < max)
        CHECK(model_due_ns(&pair->model) > now_ns ||
              model_due_ns(&pair->model) == NSP_TIME_NEVER);
    pair_agree(pair);
    return n;
}

static void
pair_drain(struct pair *pair)
{
    while (pair->model.count != 0) {
        uint64_t at_ns = nsp_wheel_due_ns(pair->wheel);

        if (at_ns < pair->now_ns)
            at_ns = pair->now_ns;
        CHECK(pair_expire(pair, at_ns, NSP_BURST_MAX) > 0);
    }
    CHECK_EQ(nsp_wheel_due_ns(pair->wheel), NSP_TIME_NEVER);
}

TEST(wheel_is_empty_at_first)
{
    struct pair pair;

    pair_create(&pair, 1, 0);
    CHECK_EQ(nsp_wheel_count(pair.wheel), 0);
    CHECK_EQ(nsp_wheel_due_ns(pair.wheel), NSP_TIME_NEVER);
    CHECK_EQ(pair_expire(&pair, 5 * HOUR, 1), 0);
    CHECK_EQ(pair_expire(&pair, UINT64_MAX, 1), 0);
    pair_destroy(&pair);
}

TEST(wheel_accepts_no_wheel_to_destroy)
{
    CHECK(nsp_wheel_destroy(NULL) == NULL);
}

/* The third is not due after the second, hence not in line with the first, and
 * alone in its tick; the fourth has company there. */
TEST(wheel_yields_what_is_in_line_before_later_nodes_of_its_time)
{
    const uint64_t due_ns[] = { 5000, 9000, 5000, 9000, 8000, 8100, 9000 };
    struct pair pair;

    for (uint32_t count = 3; count <= NSP_ARRAY_LEN(due_ns); count++) {
        pair_create(&pair, count, 0);
        for (uint32_t i = 0; i < count; i++)
            pair_add(&pair, due_ns[i]);
        CHECK_EQ(pair_expire(&pair, 4999, count), 0);
        CHECK_EQ(pair_expire(&pair, 5000, count), 2);
        CHECK_EQ(pair_expire(&pair, 9000, count), count - 2);
        pair_destroy(&pair);
    }
}

/* Times in pairs just below and above every boundary that the geometry could
 * have, from several starts, each alone and all together. */
TEST(wheel_yields_a_node_at_its_time_and_not_before)
{
    const uint64_t starts[] = {
        0, 1, 1023, 1024, 1048575, 1048576, 17 * HOUR + 3, UINT64_C(1) << 62
    };
    struct pair pair;

    for (size_t s = 0; s < NSP_ARRAY_LEN(starts); s++) {
        for (uint32_t bit = 0; bit < 64; bit++) {
            for (int delta = -1; delta <= 1; delta++) {
                uint64_t due_ns =
                    starts[s] + (UINT64_C(1) << bit) + (uint64_t)(int64_t)delta;

                if (due_ns <= starts[s] || due_ns == NSP_TIME_NEVER)
                    continue;
                pair_create(&pair, 1, starts[s]);
                pair_add(&pair, due_ns);
                pair_agree(&pair);
                CHECK_EQ(pair_expire(&pair, due_ns - 1, 1), 0);
                CHECK_EQ(pair_expire(&pair, due_ns, 1), 1);
                pair_destroy(&pair);
            }
        }
        pair_create(&pair, 64 * 3, starts[s]);
        for (uint32_t bit = 64; bit-- > 0;)
            for (int delta = -1; delta <= 1; delta++)
                pair_add(&pair, starts[s] + (UINT64_C(1) << bit) +
                                    (uint64_t)(int64_t)delta);
        pair_drain(&pair);
        pair_destroy(&pair);
    }
}

TEST(wheel_holds_the_last_time_there_is)
{
    struct pair pair;

    pair_create(&pair, 3, 0);
    pair_add(&pair, UINT64_MAX - 1);
    pair_add(&pair, UINT64_MAX - 1);
    pair_add(&pair, UINT64_MAX - 2);
    CHECK_EQ(pair_expire(&pair, UINT64_MAX - 3, 3), 0);
    CHECK_EQ(pair_expire(&pair, UINT64_MAX, 3), 3);
    pair_destroy(&pair);
}

TEST(wheel_yields_what_has_passed_at_once_in_order_of_due)
{
    struct pair pair;

    pair_create(&pair, 8, HOUR);
    pair_add(&pair, HOUR);
    pair_add(&pair, 7);
    pair_add(&pair, 0);
    pair_add(&pair, HOUR - 1);
    pair_add(&pair, 7);
    CHECK_EQ(nsp_wheel_due_ns(pair.wheel), 0);
    CHECK_EQ(pair_expire(&pair, HOUR, 3), 3);
    pair_add(&pair, 3);
    CHECK_EQ(pair_expire(&pair, HOUR, 8), 3);
    pair_destroy(&pair);
}

/* One time, nodes added from ever nearer, so that the earlier ones have come
 * down through the levels when the later are added. */
TEST(wheel_keeps_equal_times_in_order_of_adding_across_levels)
{
    struct pair pair;
    const uint64_t due_ns = 40 * HOUR + 12345;

    pair_create(&pair, 4096, 0);
    for (uint64_t left_ns = due_ns; left_ns > 1; left_ns -= left_ns / 50 + 1) {
        pair_add(&pair, due_ns);
        pair_add(&pair, due_ns + 1);
        pair_add(&pair, due_ns - 1);
        CHECK_EQ(pair_expire(&pair, due_ns - left_ns, NSP_BURST_MAX), 0);
    }
    CHECK(pair.model.count > 1000);
    pair_drain(&pair);
    pair_destroy(&pair);
}

/* From 'now_ns' on, 'count' nodes due within 'span_ns' from 'ahead_ns' later,
 * more of the same while they leave. */
static void
run_burst(struct nsp_prng *random, uint64_t now_ns, uint64_t ahead_ns,
          uint32_t span_ns, uint32_t count)
{
    uint64_t from_ns = now_ns + ahead_ns;
    struct pair pair;

    pair_create(&pair, 2 * count, now_ns);
    for (uint32_t i = 0; i < count; i++)
        pair_add(&pair, from_ns + nsp_prng_below(random, span_ns));
    for (uint32_t i = 0; i < count; i += 4) {
        uint64_t at_ns = from_ns + nsp_prng_below(random, span_ns) / 2 +
                         (uint64_t)i * span_ns / 2 / count;

        pair_expire(&pair, nsp_max_u64(at_ns, pair.now_ns),
                    1 + nsp_prng_below(random, 8));
        for (uint32_t k = 0; k < 4; k++)
            pair_add(&pair, from_ns + nsp_prng_below(random, span_ns));
    }
    pair_drain(&pair);
    pair_destroy(&pair);
}

TEST(wheel_sorts_bursts_of_random_times)
{
    const uint64_t ahead_ns[] = { 0, 1, 1024, 5000, 3000000, 5 * SECOND, HOUR };
    const uint32_t spans_ns[] = { 2, 32, 1000, 1024, 3000 };
    struct nsp_prng random;

    nsp_prng_init(&random, 7, 0);
    for (size_t a = 0; a < NSP_ARRAY_LEN(ahead_ns); a++)
        for (size_t s = 0; s < NSP_ARRAY_LEN(spans_ns); s++)
            for (uint32_t count = 1; count <= 300; count += 1 + count / 16)
                run_burst(&random, 17 * HOUR + 100 * count, ahead_ns[a],
                          spans_ns[s], count);
}

TEST(wheel_sorts_bursts_of_decreasing_times)
{
    const uint64_t steps_ns[] = { 1, 3, 1000, 1024, 100000, 77 * SECOND };
    struct pair pair;

    for (size_t s = 0; s < NSP_ARRAY_LEN(steps_ns); s++) {
        pair_create(&pair, 20000, HOUR);
        for (uint64_t i = 20000; i > 0; i--)
            pair_add(&pair, HOUR + i / 2 * steps_ns[s]);
        pair_drain(&pair);
        pair_destroy(&pair);
    }
}

/* Each arrival is the earliest so far, and one leaves for each: sorting what
 * is held every time would take 10^11 steps here. */
TEST(wheel_bears_past_times_in_decreasing_order_between_departures)
{
    struct pair pair;
    uint64_t due_ns = HOUR;

    pair_create(&pair, 400001, 2 * HOUR);
    for (int i = 0; i < 400000; i++)
        pair_add(&pair, due_ns--);
    for (int i = 0; i < 400000; i++) {
        pair_add(&pair, i % 3 == 0 ? due_ns-- : due_ns + 200000);
        CHECK_EQ(pair_expire(&pair, 2 * HOUR, 1), 1);
    }
    pair_drain(&pair);
    pair_destroy(&pair);
}

/* A time around 'now_ns', on a scale that is itself random. */
static uint64_t
random_due_ns(struct nsp_prng *random, uint64_t now_ns)
{
    uint64_t draw = nsp_prng_next(random);
    uint64_t span_ns = nsp_prng_next(random) >> (draw % 64);

    switch (draw >> 8 & 7) {
    case 0:
        return now_ns - nsp_min_u64(span_ns, now_ns);
    case 1:
        return now_ns;
    case 2:
        return now_ns + 40000000;
    case 3:
        return now_ns / SECOND * SECOND + SECOND;
    default:
        return nsp_add_sat_u64(now_ns, span_ns);
    }
}

/* 'rounds' rounds of a burst in, a step in time, some bursts out. */
static void
run_random(uint64_t seed, uint64_t rounds, uint64_t capacity,
           uint32_t step_bits)
{
    struct nsp_prng random;
    struct pair pair;

    nsp_prng_init(&random, seed, 0);
    pair_create(&pair, capacity, nsp_prng_next(&random) >> 24);
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t draw = nsp_prng_next(&random);
        uint64_t step_ns = nsp_prng_next(&random) >> (64 - step_bits);
        uint64_t decreasing = draw % 16 == 0 ? draw % 5000 : 0;

        for (uint64_t a = draw >> 8 & 15; a > 0; a--)
            pair_add(&pair, random_due_ns(&random, pair.now_ns));
        for (; decreasing > 0 && decreasing % 64 != 0; decreasing--)
            pair_add(&pair, pair.now_ns + decreasing);
        pair_agree(&pair);
        /* Mostly short steps, at times a jump. */
        step_ns >>= draw >> 16 & 31;
        pair_expire(&pair, nsp_add_sat_u64(pair.now_ns, step_ns),
                    (uint32_t)(draw >> 32) % (NSP_BURST_MAX + 1));
    }
    pair_drain(&pair);
    pair_destroy(&pair);
}

TEST(wheel_agrees_with_a_sorted_queue_on_random_traffic)
{
    for (uint64_t seed = 0; seed < 40; seed++)
        run_random(seed, 10000, seed % 2 ? 300 : 30000, 24 + (uint32_t)seed);
}

/* Delays up to a second at a steady rate, as a delay line sees them. */
TEST(wheel_agrees_with_a_sorted_queue_on_a_dense_stream)
{
    struct nsp_prng random;
    struct pair pair;

    nsp_prng_init(&random, 99, 0);
    pair_create(&pair, 100000, 3 * HOUR - SECOND);
    for (uint64_t i = 0; i < 1000000; i++) {
        pair_add(&pair, pair.now_ns + nsp_prng_next(&random) % SECOND);
        pair_add(&pair, pair.now_ns + 50000000);
        if (i % 16 == 0)
            pair_expire(&pair, pair.now_ns + 200000, NSP_BURST_MAX);
    }
    pair_drain(&pair);
    pair_destroy(&pair);
}

static void *
refuse_memory(void *context, size_t bytes)
{
    (void)context;
    (void)bytes;
    return NULL;
}

static void
release_nothing(void *context, void *memory)
{
    (void)context;
    (void)memory;
}

TEST(wheel_says_so_when_memory_is_short)
{
    const struct nsp_allocator none = { refuse_memory, release_nothing, NULL };
    struct nsp_wheel *wheel = NULL;

    CHECK_EQ(nsp_wheel_create(&none, 0, &wheel), -ENOMEM);
    CHECK(wheel == NULL);
}

TEST_MAIN(
    cmocka_unit_test(wheel_is_empty_at_first),
    cmocka_unit_test(wheel_accepts_no_wheel_to_destroy),
    cmocka_unit_test(
        wheel_yields_what_is_in_line_before_later_nodes_of_its_time),
    cmocka_unit_test(wheel_yields_a_node_at_its_time_and_not_before),
    cmocka_unit_test(wheel_holds_the_last_time_there_is),
    cmocka_unit_test(wheel_yields_what_has_passed_at_once_in_order_of_due),
    cmocka_unit_test(wheel_keeps_equal_times_in_order_of_adding_across_levels),
    cmocka_unit_test(wheel_sorts_bursts_of_random_times),
    cmocka_unit_test(wheel_sorts_bursts_of_decreasing_times),
    cmocka_unit_test(
        wheel_bears_past_times_in_decreasing_order_between_departures),
    cmocka_unit_test(wheel_agrees_with_a_sorted_queue_on_random_traffic),
    cmocka_unit_test(wheel_agrees_with_a_sorted_queue_on_a_dense_stream),
    cmocka_unit_test(wheel_says_so_when_memory_is_short))
