#include "engine/events.h"
#include "tests/lib/test.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#define CAPACITY 4096u

static struct nsp_event
event_of(const uint8_t *data, uint32_t bytes, uint64_t number)
{
    return (struct nsp_event){
        .kind = NSP_EVENT_CAPTURE,
        .direction = 2,
        .hook = 4,
        .link = 1,
        .flags = 3,
        .in_ifindex = 5,
        .out_ifindex = 6,
        .wire_bytes = bytes + 7,
        .cap_bytes = bytes,
        .at_ns = number,
        .rule = "a-rule",
        .data = data,
    };
}

/* Bytes that depend on the number, so that mixed-up ones are noticed. */
static void
fill(uint8_t *data, uint32_t bytes, uint64_t number)
{
    for (uint32_t i = 0; i < bytes; i++)
        data[i] = (uint8_t)(number * 31 + i);
}

static void
check_event(const struct nsp_event *event, uint32_t bytes, uint64_t number)
{
    uint8_t expected[CAPACITY];

    fill(expected, bytes, number);
    CHECK_EQ(event->kind, NSP_EVENT_CAPTURE);
    CHECK_EQ(event->direction, 2);
    CHECK_EQ(event->hook, 4);
    CHECK_EQ(event->link, 1);
    CHECK_EQ(event->flags, 3);
    CHECK_EQ(event->in_ifindex, 5);
    CHECK_EQ(event->out_ifindex, 6);
    CHECK_EQ(event->wire_bytes, bytes + 7);
    CHECK_EQ(event->cap_bytes, bytes);
    CHECK_EQ(event->at_ns, number);
    CHECK_STR_EQ(event->rule, "a-rule");
    CHECK_MEM_EQ(event->data, expected, bytes);
}

static bool
push(struct nsp_event_ring *ring, uint32_t bytes, uint64_t number)
{
    uint8_t data[CAPACITY];
    struct nsp_event event = event_of(data, bytes, number);

    fill(data, bytes, number);
    return nsp_event_ring_push(ring, &event);
}

static void
pop(struct nsp_event_ring *ring, uint32_t bytes, uint64_t number)
{
    struct nsp_event event;

    CHECK(nsp_event_ring_peek(ring, &event));
    check_event(&event, bytes, number);
    nsp_event_ring_pop(ring);
}

TEST(events_come_out_as_they_went_in)
{
    struct nsp_event_ring ring;
    struct nsp_event event;

    CHECK_EQ(nsp_event_ring_init(&ring, CAPACITY, &nsp_libc_allocator), 0);
    CHECK(!nsp_event_ring_peek(&ring, &event));
    CHECK(push(&ring, 0, 1));
    CHECK(push(&ring, 1000, 2));
    CHECK(push(&ring, 13, 3));
    pop(&ring, 0, 1);
    pop(&ring, 1000, 2);
    pop(&ring, 13, 3);
    CHECK(!nsp_event_ring_peek(&ring, &event));
    nsp_event_ring_fini(&ring);
}

TEST(a_full_ring_refuses_and_keeps_what_it_has)
{
    struct nsp_event_ring ring;
    struct nsp_event event;
    uint64_t pushed = 0;

    CHECK_EQ(nsp_event_ring_init(&ring, CAPACITY, &nsp_libc_allocator), 0);
    CHECK(!push(&ring, CAPACITY - 8, 0)); /* With what is before it. */
    while (push(&ring, 100, pushed))
        pushed++;
    CHECK(pushed > 10);
    CHECK(!push(&ring, 100, pushed));
    for (uint64_t i = 0; i < pushed; i++)
        pop(&ring, 100, i);
    CHECK(!nsp_event_ring_peek(&ring, &event));
    CHECK(push(&ring, 100, 99));
    pop(&ring, 100, 99);
    nsp_event_ring_fini(&ring);
}

/* Every length at every place, many times around. */
TEST(events_are_whole_wherever_the_ring_ends)
{
    struct nsp_event_ring ring;
    uint64_t number = 0;

    CHECK_EQ(nsp_event_ring_init(&ring, CAPACITY, &nsp_libc_allocator), 0);
    for (uint32_t a = 0; a < 1800; a += 7)
        for (uint32_t b = 0; b < 64; b += 3) {
            CHECK(push(&ring, a, number));
            if (push(&ring, b, number + 1)) {
                pop(&ring, a, number);
                pop(&ring, b, number + 1);
            } else {
                pop(&ring, a, number);
            }
            number += 2;
        }
    nsp_event_ring_fini(&ring);
}

#define PASSED_ALONG 30000u

static uint32_t
length_of(uint64_t number)
{
    return (uint32_t)(number * 2654435761u >> 8) % 700;
}

static void *
produce(void *opaque)
{
    struct nsp_event_ring *ring = opaque;

    for (uint64_t i = 0; i < PASSED_ALONG; i++)
        while (!push(ring, length_of(i), i))
            sched_yield();
    return NULL;
}

TEST(events_pass_in_order_between_threads)
{
    struct nsp_event_ring ring;
    struct nsp_event event;
    pthread_t producer;
    uint64_t expected = 0;

    CHECK_EQ(nsp_event_ring_init(&ring, CAPACITY, &nsp_libc_allocator), 0);
    CHECK_EQ(pthread_create(&producer, NULL, produce, &ring), 0);
    while (expected < PASSED_ALONG) {
        if (!nsp_event_ring_peek(&ring, &event)) {
            sched_yield();
            continue;
        }
        check_event(&event, length_of(expected), expected);
        nsp_event_ring_pop(&ring);
        expected++;
    }
    pthread_join(producer, NULL);
    nsp_event_ring_fini(&ring);
}

struct reading {
    uint64_t at_ns[8];
    uint32_t count;
};

static void
note(void *context, const struct nsp_event *event)
{
    struct reading *reading = context;

    reading->at_ns[reading->count++] = event->at_ns;
}

TEST(events_of_several_workers_are_read_by_their_time)
{
    static const uint64_t expected[] = { 1, 2, 3, 4, 5 };
    struct reading reading = { .count = 0 };
    struct nsp_events *events;

    CHECK_EQ(nsp_events_create(3, NSP_EVENT_RING_BYTES, &nsp_libc_allocator,
                               &events),
             0);
    CHECK(push(nsp_events_ring(events, 0), 10, 3));
    CHECK(push(nsp_events_ring(events, 0), 10, 5));
    CHECK(push(nsp_events_ring(events, 1), 10, 1));
    CHECK(push(nsp_events_ring(events, 2), 10, 2));
    CHECK(push(nsp_events_ring(events, 2), 10, 4));
    CHECK_EQ(nsp_events_read(events, note, &reading, 2), 2);
    CHECK_EQ(nsp_events_read(events, note, &reading, 8), 3);
    CHECK_EQ(nsp_events_read(events, note, &reading, 8), 0);
    CHECK_MEM_EQ(reading.at_ns, expected, sizeof expected);
    nsp_events_destroy(events);
}

TEST_MAIN(cmocka_unit_test(events_come_out_as_they_went_in),
          cmocka_unit_test(a_full_ring_refuses_and_keeps_what_it_has),
          cmocka_unit_test(events_are_whole_wherever_the_ring_ends),
          cmocka_unit_test(events_pass_in_order_between_threads),
          cmocka_unit_test(events_of_several_workers_are_read_by_their_time))
