#include "base/prng.h"
#include "shape/bottleneck.h"
#include "tests/lib/test.h"

#include <errno.h>

#define SECOND NSP_NS_PER_SECOND
#define MBITPS UINT64_C(1000000)

__extension__ typedef __int128 wide;

static struct nsp_bottleneck *
create(struct nsp_bottleneck_config cfg)
{
    struct nsp_bottleneck *b = NULL;

    CHECK_EQ(nsp_bottleneck_create(&cfg, NULL, &b), 0);
    return b;
}

/* Offers one packet and returns how many were dropped for it. */
static uint32_t
offer(struct nsp_bottleneck *b, uint64_t now_ns, struct nsp_pkt *pkt)
{
    struct nsp_pkt *victim = nsp_bottleneck_enqueue(b, now_ns, pkt);
    uint32_t n = 0;

    while (victim) {
        n++;
        victim = victim->timer.next ? NSP_CONTAINER_OF(victim->timer.next,
                                                       struct nsp_pkt, timer)
                                    : NULL;
    }
    return n;
}

static void
check_next(struct nsp_bottleneck *b, const struct nsp_pkt *pkt, uint64_t due_ns)
{
    struct nsp_pkt *out = NULL;

    CHECK_EQ(nsp_bottleneck_due_ns(b), due_ns);
    CHECK_EQ(nsp_bottleneck_dequeue(b, due_ns - 1, &out, 1), 0);
    CHECK_EQ(nsp_bottleneck_dequeue(b, due_ns, &out, 1), 1);
    CHECK(out == pkt);
    CHECK_EQ(out->timer.due_ns, due_ns);
}

TEST(bottleneck_refuses_fields_outside_their_ranges)
{
    const struct nsp_bottleneck_config good = { .rate_bitps = 8 };
    struct nsp_bottleneck_config bad[8];
    struct nsp_bottleneck *b = NULL;

    for (size_t i = 0; i < NSP_ARRAY_LEN(bad); i++)
        bad[i] = good;
    bad[0].rate_bitps = 0;
    bad[1].rate_bitps = 7;
    bad[2].rate_bitps = NSP_RATE_BITPS_MAX + 1;
    bad[3].unit = NSP_QUEUE_NS + 1;
    bad[4].drop = NSP_QUEUE_DROP_HEAD + 1;
    bad[5].overhead_bytes = NSP_OVERHEAD_MIN - 1;
    bad[6].overhead_bytes = NSP_OVERHEAD_MAX + 1;
    bad[7].unit = NSP_QUEUE_BYTES; /* Limit 0. */
    for (size_t i = 0; i < NSP_ARRAY_LEN(bad); i++)
        CHECK_EQ(nsp_bottleneck_create(&bad[i], NULL, &b), -EINVAL);
    CHECK(b == NULL);
    b = nsp_bottleneck_destroy(create(good));
    CHECK(nsp_bottleneck_destroy(b) == NULL);
}

/* 1500 bytes at 12 Mbit/s take 1 ms. */
TEST(bottleneck_takes_the_serialisation_time_even_when_idle)
{
    struct nsp_bottleneck *b =
        create((struct nsp_bottleneck_config){ .rate_bitps = 12 * MBITPS });
    struct nsp_pkt a = { .ip_bytes = 1500 }, c = { .ip_bytes = 750 },
                   d = { .ip_bytes = 1500 };

    CHECK_EQ(nsp_bottleneck_due_ns(b), NSP_TIME_NEVER);
    CHECK_EQ(offer(b, 5 * SECOND, &a), 0);
    CHECK_EQ(offer(b, 5 * SECOND, &c), 0);
    CHECK_EQ(nsp_bottleneck_backlog_pkts(b), 2);
    check_next(b, &a, 5 * SECOND + 1000000);
    check_next(b, &c, 5 * SECOND + 1500000);
    CHECK_EQ(nsp_bottleneck_backlog_pkts(b), 0);
    CHECK_EQ(nsp_bottleneck_due_ns(b), NSP_TIME_NEVER);
    /* Idleness earned nothing. */
    CHECK_EQ(offer(b, 60 * SECOND, &d), 0);
    check_next(b, &d, 60 * SECOND + 1000000);
    nsp_bottleneck_destroy(b);
}

/* 1 byte at 3 bit/ns-ish rates ends between nanoseconds: 8/3 ns each. */
TEST(bottleneck_carries_remainders_and_rounds_departures_up)
{
    struct nsp_bottleneck *b =
        create((struct nsp_bottleneck_config){ .rate_bitps = 3 * SECOND });
    struct nsp_pkt pkts[6];
    const uint64_t due_ns[] = { 103, 106, 108, 111, 114, 116 };

    for (int i = 0; i < 6; i++) {
        pkts[i] = (struct nsp_pkt){ .ip_bytes = 1 };
        CHECK_EQ(offer(b, 100, &pkts[i]), 0);
    }
    for (int i = 0; i < 6; i++)
        check_next(b, &pkts[i], due_ns[i]);
    nsp_bottleneck_destroy(b);
}

TEST(bottleneck_charges_overhead_and_at_least_one_byte)
{
    const struct {
        int32_t overhead_bytes;
        uint32_t ip_bytes;
        uint64_t ns;
    } rows[] = {
        { 0, 100, 100 }, { 38, 100, 138 },    { -20, 100, 80 },
        { -64, 64, 1 },  { -64, 20, 1 },      { 0, 0, 1 },
        { 256, 0, 256 }, { 0, 65535, 65535 }, { 0, UINT32_MAX, INT32_MAX }
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        struct nsp_bottleneck *b = create((struct nsp_bottleneck_config){
            .rate_bitps = 8 * SECOND, /* One byte each nanosecond. */
            .overhead_bytes = rows[i].overhead_bytes });
        struct nsp_pkt pkt = { .ip_bytes = rows[i].ip_bytes };

        CHECK_EQ(offer(b, 1000, &pkt), 0);
        check_next(b, &pkt, 1000 + rows[i].ns);
        nsp_bottleneck_destroy(b);
    }
}

TEST(bottleneck_bears_extreme_rates_sizes_and_times)
{
    const uint64_t late_ns = UINT64_C(1) << 63;
    struct nsp_bottleneck *slow = create(
        (struct nsp_bottleneck_config){ .rate_bitps = NSP_RATE_BITPS_MIN });
    struct nsp_bottleneck *fast = create(
        (struct nsp_bottleneck_config){ .rate_bitps = NSP_RATE_BITPS_MAX });
    struct nsp_pkt a = { .ip_bytes = 65536 }, c = { .ip_bytes = 65536 },
                   d = { .ip_bytes = 65536 }, e = { .ip_bytes = 1 },
                   f = { .ip_bytes = UINT32_MAX }, *out[2];

    CHECK_EQ(offer(slow, late_ns, &a), 0);
    CHECK_EQ(offer(slow, late_ns, &c), 0);
    check_next(slow, &a, late_ns + 65536 * SECOND);
    check_next(slow, &c, late_ns + 131072 * SECOND);
    CHECK_EQ(offer(fast, late_ns, &d), 0);
    CHECK_EQ(offer(fast, late_ns, &e), 0);
    /* After 524.288 and 524.296 ns. */
    CHECK_EQ(nsp_bottleneck_due_ns(fast), late_ns + 525);
    CHECK_EQ(nsp_bottleneck_dequeue(fast, late_ns + 524, out, 2), 0);
    CHECK_EQ(nsp_bottleneck_dequeue(fast, late_ns + 525, out, 2), 2);
    CHECK_EQ(out[1]->timer.due_ns, late_ns + 525);
    /* Beyond the end of time a packet is due, not lost. */
    CHECK_EQ(offer(slow, NSP_TIME_NEVER - 2, &f), 0);
    CHECK_EQ(nsp_bottleneck_due_ns(slow), NSP_TIME_NEVER - 1);
    nsp_bottleneck_destroy(slow);
    nsp_bottleneck_destroy(fast);
}

struct limit_row {
    uint64_t rate_bitps, limit;
    uint8_t unit;
    uint32_t ip_bytes;
    uint32_t room_pkts; /* That may wait beside the one on the wire. */
};

TEST(bottleneck_limits_what_waits_in_every_unit)
{
    static const struct limit_row rows[] = {
        { MBITPS, 3000, NSP_QUEUE_BYTES, 1000, 3 },
        { MBITPS, 2999, NSP_QUEUE_BYTES, 1000, 2 },
        { MBITPS, 1, NSP_QUEUE_BYTES, 1000, 1 },
        { MBITPS, 7, NSP_QUEUE_PKTS, 1000, 7 },
        { MBITPS, 1, NSP_QUEUE_PKTS, 1000, 1 },
        { 8 * MBITPS, 3000000, NSP_QUEUE_NS, 1000, 3 },
        { 8 * MBITPS, 2999999, NSP_QUEUE_NS, 1000, 2 },
        { 8 * MBITPS, 1, NSP_QUEUE_NS, 1000, 1 },
        { MBITPS, UINT64_MAX, NSP_QUEUE_NS, 65536, 200 },
        { NSP_RATE_BITPS_MAX, UINT64_MAX, NSP_QUEUE_NS, 65536, 200 },
        { NSP_RATE_BITPS_MAX, UINT64_MAX, NSP_QUEUE_BYTES, 65536, 200 },
        { NSP_RATE_BITPS_MAX, 1000, NSP_QUEUE_NS, 12500, 10 },
        { NSP_RATE_BITPS_MAX, 999, NSP_QUEUE_NS, 12500, 9 },
        { MBITPS, 0, NSP_QUEUE_DEFAULT, 1500, 16 }, /* 12,500 bytes */
        { MBITPS, 0, NSP_QUEUE_DEFAULT, 65536, 16 },
        { 8 * MBITPS, 0, NSP_QUEUE_DEFAULT, 1000, 100 }, /* 100,000 bytes */
        { 8, 0, NSP_QUEUE_DEFAULT, 1, 16 },
    };
    struct nsp_pkt pkts[202];

    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        const struct limit_row *row = &rows[i];
        struct nsp_bottleneck *b = create(
            (struct nsp_bottleneck_config){ .rate_bitps = row->rate_bitps,
                                            .limit = row->limit,
                                            .unit = row->unit });
        uint32_t accepted = 0;

        for (uint32_t k = 0; k < row->room_pkts + 2 && k < 201; k++) {
            pkts[k] = (struct nsp_pkt){ .ip_bytes = row->ip_bytes };
            accepted += offer(b, 1, &pkts[k]) == 0;
        }
        CHECK_EQ(accepted, row->room_pkts + 1);
        CHECK_EQ(nsp_bottleneck_backlog_pkts(b), row->room_pkts + 1);
        nsp_bottleneck_destroy(b);
    }
}

/* Packets of 1000 bytes take 1 ms; room for two. */
TEST(bottleneck_tail_drop_refuses_and_head_drop_evicts)
{
    for (uint8_t drop = 0; drop <= NSP_QUEUE_DROP_HEAD; drop++) {
        struct nsp_bottleneck *b =
            create((struct nsp_bottleneck_config){ .rate_bitps = 8 * MBITPS,
                                                   .limit = 2000,
                                                   .unit = NSP_QUEUE_BYTES,
                                                   .drop = drop });
        struct nsp_pkt p[6];
        bool head = drop == NSP_QUEUE_DROP_HEAD;
        struct nsp_pkt *victim;

        for (int i = 0; i < 6; i++)
            p[i] = (struct nsp_pkt){ .ip_bytes = 1000 };
        p[4].ip_bytes = 5000;
        for (int i = 0; i < 3; i++)
            CHECK(nsp_bottleneck_enqueue(b, 0, &p[i]) == NULL);
        victim = nsp_bottleneck_enqueue(b, 0, &p[3]);
        CHECK(victim == (head ? &p[1] : &p[3]));
        CHECK(victim->timer.next == NULL);
        CHECK_EQ(nsp_bottleneck_backlog_pkts(b), 3);
        victim = nsp_bottleneck_enqueue(b, 999999, &p[4]);
        CHECK(victim == (head ? &p[2] : &p[4]));
        /* Head drop made room by evicting both that waited. */
        CHECK(victim->timer.next == (head ? &p[3].timer : NULL));
        CHECK_EQ(nsp_bottleneck_backlog_pkts(b), head ? 2 : 3);
        check_next(b, &p[0], 1000000);
        check_next(b, head ? &p[4] : &p[1], head ? 6000000 : 2000000);
        if (!head)
            check_next(b, &p[2], 3000000);
        CHECK_EQ(nsp_bottleneck_backlog_pkts(b), 0);
        CHECK_EQ(offer(b, 7000000, &p[5]), 0);
        check_next(b, &p[5], 8000000);
        nsp_bottleneck_destroy(b);
    }
}

/* The worker sleeps through two departures: the places they leave are free. */
TEST(bottleneck_drops_nothing_for_packets_that_should_have_left)
{
    struct nsp_bottleneck *b = create((struct nsp_bottleneck_config){
        .rate_bitps = 8 * MBITPS, .limit = 2, .unit = NSP_QUEUE_PKTS });
    struct nsp_pkt p[6], *out[6];

    for (int i = 0; i < 6; i++)
        p[i] = (struct nsp_pkt){ .ip_bytes = 1000 };
    for (int i = 0; i < 3; i++)
        CHECK_EQ(offer(b, 0, &p[i]), 0);
    for (int i = 3; i < 5; i++)
        CHECK_EQ(offer(b, 2500000, &p[i]), 0);
    CHECK_EQ(offer(b, 2500000, &p[5]), 1);
    CHECK_EQ(nsp_bottleneck_due_ns(b), 1000000);
    CHECK_EQ(nsp_bottleneck_dequeue(b, 2500000, out, 1), 1);
    CHECK_EQ(nsp_bottleneck_due_ns(b), 2000000);
    CHECK_EQ(nsp_bottleneck_dequeue(b, 9000000, out + 1, 6), 4);
    for (uint64_t i = 0; i < 5; i++) {
        CHECK(out[i] == &p[i]);
        CHECK_EQ(out[i]->timer.due_ns, (i + 1) * 1000000);
    }
    nsp_bottleneck_destroy(b);
}

TEST(bottleneck_flush_takes_all_in_order_and_keeps_the_schedule)
{
    struct nsp_bottleneck *b =
        create((struct nsp_bottleneck_config){ .rate_bitps = 8 * MBITPS });
    struct nsp_pkt p[5], *out[5];

    for (int i = 0; i < 5; i++)
        p[i] = (struct nsp_pkt){ .ip_bytes = 1000 };
    for (int i = 0; i < 4; i++)
        CHECK_EQ(offer(b, 0, &p[i]), 0);
    CHECK_EQ(nsp_bottleneck_flush(b, out, 2), 2);
    CHECK_EQ(nsp_bottleneck_backlog_pkts(b), 2);
    CHECK_EQ(nsp_bottleneck_due_ns(b), 3000000);
    CHECK_EQ(nsp_bottleneck_flush(b, out + 2, 5), 2);
    for (int i = 0; i < 4; i++)
        CHECK(out[i] == &p[i]);
    CHECK_EQ(nsp_bottleneck_backlog_pkts(b), 0);
    CHECK_EQ(nsp_bottleneck_flush(b, out, 5), 0);
    CHECK_EQ(offer(b, 3000000, &p[4]), 0);
    check_next(b, &p[4], 5000000);
    nsp_bottleneck_destroy(b);
}

/* The header's promise: in a window between any two departures of a busy
 * period, bytes differ from rate * T by at most one packet (and what one
 * nanosecond of rounding carries). */
static void
check_windows(uint64_t rate_bitps, const uint64_t due_ns[],
              const uint64_t bytes[], uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        wide open = 0; /* Bytes strictly inside the window. */

        for (uint32_t j = i + 1; j < n; j++) {
            wide could = (wide)rate_bitps * (due_ns[j] - due_ns[i]);
            wide unit = 8 * (wide)SECOND;
            wide both = open + bytes[i] + bytes[j];
            wide largest = bytes[i] > bytes[j] ? bytes[i] : bytes[j];

            CHECK((both - largest) * unit <= could + (wide)rate_bitps);
            CHECK((open + bytes[j]) * unit >= could - (wide)rate_bitps);
            open += bytes[j];
        }
    }
}

/* 1500 bytes at 12 Mbit/s take 1 ms, at 6 Mbit/s 2 ms. */
TEST(bottleneck_changes_its_rate_from_the_next_packet_on)
{
    struct nsp_bottleneck *b =
        create((struct nsp_bottleneck_config){ .rate_bitps = 12 * MBITPS });
    const struct nsp_bottleneck_config slower = {
        .rate_bitps = 6 * MBITPS,
        .unit = NSP_QUEUE_BYTES,
        .limit = 4600,
        .overhead_bytes = 30,
    };
    struct nsp_pkt pkts[4] = {
        { .ip_bytes = 1500 },
        { .ip_bytes = 1470 },
        { .ip_bytes = 1470 },
        { .ip_bytes = 1470 },
    };

    for (int i = 0; i < 4; i++)
        CHECK_EQ(offer(b, SECOND, &pkts[i]), 0);
    CHECK_EQ(nsp_bottleneck_set_config(b, SECOND + 500000, &slower), 0);
    /* 3 of 1500 bytes wait, charged with the new overhead. */
    CHECK_EQ(offer(b, SECOND + 500000, &(struct nsp_pkt){ .ip_bytes = 71 }), 1);
    check_next(b, &pkts[0], SECOND + 1000000);
    check_next(b, &pkts[1], SECOND + 3000000);
    check_next(b, &pkts[2], SECOND + 5000000);
    check_next(b, &pkts[3], SECOND + 7000000);
    nsp_bottleneck_destroy(b);
}

TEST(bottleneck_keeps_all_that_waits_under_a_lower_limit_or_a_bad_one)
{
    struct nsp_bottleneck *b =
        create((struct nsp_bottleneck_config){ .rate_bitps = 12 * MBITPS });
    struct nsp_bottleneck_config cfg = { .rate_bitps = 12 * MBITPS,
                                         .unit = NSP_QUEUE_PKTS,
                                         .limit = 1 };
    struct nsp_pkt pkts[4], one = { .ip_bytes = 1500 };

    for (int i = 0; i < 4; i++) {
        pkts[i] = (struct nsp_pkt){ .ip_bytes = 1500 };
        CHECK_EQ(offer(b, SECOND, &pkts[i]), 0);
    }
    cfg.rate_bitps = 0;
    CHECK_EQ(nsp_bottleneck_set_config(b, SECOND, &cfg), -EINVAL);
    CHECK_EQ(nsp_bottleneck_backlog_pkts(b), 4);
    cfg.rate_bitps = 12 * MBITPS;
    CHECK_EQ(nsp_bottleneck_set_config(b, SECOND, &cfg), 0);
    CHECK_EQ(nsp_bottleneck_backlog_pkts(b), 4);
    CHECK_EQ(offer(b, SECOND, &one), 1);
    for (int i = 0; i < 4; i++)
        check_next(b, &pkts[i], SECOND + (uint64_t)(i + 1) * 1000000);
    nsp_bottleneck_destroy(b);
}

TEST(bottleneck_keeps_its_rate_in_every_window_however_late_dequeue_is)
{
    const uint64_t rates[] = { 8, 999983, 20 * MBITPS, UINT64_C(9999999967),
                               NSP_RATE_BITPS_MAX };
    enum { N = 500 };
    static struct nsp_pkt pkts[N];
    static uint64_t due_ns[N], bytes[N];

    for (size_t r = 0; r < NSP_ARRAY_LEN(rates); r++) {
        struct nsp_bottleneck *b = create((struct nsp_bottleneck_config){
            .rate_bitps = rates[r], .limit = N, .unit = NSP_QUEUE_PKTS });
        struct nsp_prng random;
        uint64_t now_ns = 12345;
        uint32_t n = 0;

        nsp_prng_init(&random, r, 0);
        for (int i = 0; i < N; i++) {
            pkts[i] = (struct nsp_pkt){
                .ip_bytes = 1 + (uint32_t)(nsp_prng_next(&random) % 9000)
            };
            CHECK_EQ(offer(b, now_ns, &pkts[i]), 0);
        }
        while (n < N) {
            struct nsp_pkt *out[7];
            uint32_t k;

            now_ns += nsp_prng_next(&random) % (200000 * SECOND / rates[r] + 2);
            k = nsp_bottleneck_dequeue(b, now_ns, out, 7);
            for (uint32_t i = 0; i < k; i++, n++) {
                CHECK(out[i] == &pkts[n]);
                due_ns[n] = out[i]->timer.due_ns;
                bytes[n] = out[i]->ip_bytes;
            }
        }
        check_windows(rates[r], due_ns, bytes, N);
        nsp_bottleneck_destroy(b);
    }
}

TEST_MAIN(
    cmocka_unit_test(bottleneck_refuses_fields_outside_their_ranges),
    cmocka_unit_test(bottleneck_takes_the_serialisation_time_even_when_idle),
    cmocka_unit_test(bottleneck_carries_remainders_and_rounds_departures_up),
    cmocka_unit_test(bottleneck_charges_overhead_and_at_least_one_byte),
    cmocka_unit_test(bottleneck_bears_extreme_rates_sizes_and_times),
    cmocka_unit_test(bottleneck_limits_what_waits_in_every_unit),
    cmocka_unit_test(bottleneck_tail_drop_refuses_and_head_drop_evicts),
    cmocka_unit_test(
        bottleneck_drops_nothing_for_packets_that_should_have_left),
    cmocka_unit_test(
        bottleneck_flush_takes_all_in_order_and_keeps_the_schedule),
    cmocka_unit_test(
        bottleneck_keeps_its_rate_in_every_window_however_late_dequeue_is),
    cmocka_unit_test(bottleneck_changes_its_rate_from_the_next_packet_on),
    cmocka_unit_test(
        bottleneck_keeps_all_that_waits_under_a_lower_limit_or_a_bad_one))
