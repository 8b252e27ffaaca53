#include "base/prng.h"
#include "shape/policer.h"
#include "tests/lib/test.h"

__extension__ typedef unsigned __int128 uwide;

#define SECOND NSP_NS_PER_SECOND

static struct nsp_limit
limit_of(uint8_t unit, uint64_t rate, uint64_t burst)
{
    return (struct nsp_limit){ .unit = unit, .rate = rate, .burst = burst };
}

/* 8 Mbit/s is 1000 bytes in a millisecond. */
TEST(policer_passes_a_burst_and_then_the_rate)
{
    struct nsp_policer policer = { .full_ns = 0 };
    const struct nsp_limit policer_limit =
        limit_of(NSP_LIMIT_BITPS, 8000000, 3000);
    static const struct {
        uint64_t at_ms;
        bool conforms;
    } steps[] = {
        { 10, true },  { 10, true }, { 10, true },  { 10, false }, { 11, true },
        { 11, false }, { 13, true }, { 13, true },  { 13, false }, { 99, true },
        { 99, true },  { 99, true }, { 99, false },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(steps); i++)
        CHECK_EQ(nsp_policer_conforms(&policer, &policer_limit,
                                      steps[i].at_ms * 1000000, 1000),
                 steps[i].conforms);
}

TEST(policer_counts_packets_whatever_their_size)
{
    struct nsp_policer policer = { .full_ns = 0 };
    const struct nsp_limit policer_limit = limit_of(NSP_LIMIT_PPS, 10, 2);

    CHECK(nsp_policer_conforms(&policer, &policer_limit, SECOND, 1));
    CHECK(nsp_policer_conforms(&policer, &policer_limit, SECOND, 65535));
    CHECK(!nsp_policer_conforms(&policer, &policer_limit, SECOND, 1));
    CHECK(!nsp_policer_conforms(&policer, &policer_limit,
                                SECOND + SECOND / 10 - 1, 1));
    CHECK(nsp_policer_conforms(&policer, &policer_limit, SECOND + SECOND / 10,
                               1));
}

/* A bucket of tokens in 128 bits, units of 1 / 10^9. */
struct bucket {
    uwide tokens, depth;
    uint64_t rate, at_ns;
    bool bits;
};

static bool
bucket_conforms(struct bucket *bucket, uint64_t now_ns, uint32_t bytes)
{
    uwide cost = (uwide)(bucket->bits ? 8 * (uint64_t)bytes : 1) * SECOND;

    bucket->tokens += (uwide)(now_ns - bucket->at_ns) * bucket->rate;
    if (bucket->tokens > bucket->depth)
        bucket->tokens = bucket->depth;
    bucket->at_ns = now_ns;
    if (bucket->tokens < cost)
        return false;
    bucket->tokens -= cost;
    return true;
}

/* The two may differ where a bucket fills within a nanosecond: what has passed
 * differs by that at most. */
TEST(policer_is_a_token_bucket)
{
    struct nsp_prng random;

    nsp_prng_init(&random, 7, 0);
    for (int run = 0; run < 500; run++) {
        bool bits = nsp_prng_next(&random) & 1;
        uint64_t rate = 1 + nsp_prng_next(&random) %
                                (UINT64_C(1) << nsp_prng_next(&random) % 40);
        uint64_t burst = 1 + nsp_prng_next(&random) % 200000;
        struct nsp_policer policer = { .full_ns = 0 };
        const struct nsp_limit policer_limit =
            limit_of(bits ? NSP_LIMIT_BITPS : NSP_LIMIT_PPS, rate, burst);
        struct bucket bucket = { .depth =
                                     (uwide)burst * (bits ? 8 : 1) * SECOND,
                                 .rate = rate,
                                 .bits = bits };
        uint64_t now_ns = 1 + (nsp_prng_next(&random) >> 20);
        int64_t ahead = 0;

        bucket.tokens = bucket.depth;
        bucket.at_ns = now_ns;
        for (int i = 0; i < 300; i++) {
            uint32_t bytes = 20 + (uint32_t)(nsp_prng_next(&random) % 3000);
            bool ours =
                nsp_policer_conforms(&policer, &policer_limit, now_ns, bytes);
            bool theirs = bucket_conforms(&bucket, now_ns, bytes);

            ahead += (int64_t)(bits ? bytes : 1) * (ours - theirs);
            CHECK(ahead <= 3020 && ahead >= -3020);
            now_ns += nsp_prng_next(&random) %
                      (2 * SECOND / (rate / (bits ? 12000 : 1) + 1) + 2);
        }
    }
}

TEST(policer_keeps_to_its_promise_over_the_longest_time)
{
    struct nsp_policer policer = { .full_ns = 0 };
    const struct nsp_limit policer_limit = limit_of(NSP_LIMIT_PPS, 3, 1);
    uint64_t passed = 0;

    for (uint64_t at = 0; at < 1000000; at++) /* 10^5 s, each 0.1 s. */
        passed += nsp_policer_conforms(&policer, &policer_limit,
                                       at * (SECOND / 10), 64);
    CHECK(passed <= 300001);
}

TEST(policer_stays_as_far_from_full_when_its_limit_changes)
{
    const struct nsp_limit slow = limit_of(NSP_LIMIT_PPS, 10, 10);
    const struct nsp_limit fast = limit_of(NSP_LIMIT_PPS, 100, 60);
    struct nsp_policer policer = { .full_ns = 0 };
    int more = 0;

    for (int i = 0; i < 5; i++) /* Half a second from full. */
        CHECK(nsp_policer_conforms(&policer, &slow, SECOND, 1));
    while (nsp_policer_conforms(&policer, &fast, SECOND, 1))
        more++;
    CHECK_EQ(more, 10);
}

TEST(policer_takes_the_largest_numbers)
{
    struct nsp_policer slow = { .full_ns = 0 };
    const struct nsp_limit slow_limit =
        limit_of(NSP_LIMIT_BITPS, 1, NSP_LIMIT_BURST_MAX);
    struct nsp_policer fast = { .full_ns = 0 };
    const struct nsp_limit fast_limit =
        limit_of(NSP_LIMIT_BITPS, NSP_RATE_BITPS_MAX, NSP_LIMIT_BURST_MAX);
    const struct nsp_limit burst_limit =
        limit_of(NSP_LIMIT_BITPS, NSP_RATE_BITPS_MAX, 2100000000);

    for (int i = 0; i < 1000; i++) {
        CHECK(nsp_policer_conforms(&slow, &slow_limit, 1, 65575));
        CHECK(nsp_policer_conforms(&fast, &fast_limit, 1, 65575));
    }
    /* Eight times as many bits, in ns of a bit each, are beyond 64 bits. */
    CHECK(!nsp_policer_conforms(&fast, &burst_limit, 1, UINT32_MAX));
}

/* Whatever the threads, sizes and times: never more than the rate and the
 * burst; and all the time too much is offered, the rate. */
TEST(leases_of_one_bucket_keep_to_its_rate_and_burst)
{
    struct nsp_prng random;

    nsp_prng_init(&random, 11, 0);
    for (int run = 0; run < 300; run++) {
        bool bits = nsp_prng_next(&random) & 1;
        uint32_t sharers = 2 + (uint32_t)(nsp_prng_next(&random) % 7);
        uint64_t rate =
            1000 + nsp_prng_next(&random) % (UINT64_C(1) << (10 + run % 27));
        uint64_t burst = (bits ? 3000 : 1) + nsp_prng_next(&random) % 200000;
        struct nsp_lease leases[8] = { { .left = 0 } };
        struct nsp_shared_bucket bucket = { .full_ns = 0 };
        const struct nsp_limit limit =
            limit_of(bits ? NSP_LIMIT_BITPS : NSP_LIMIT_PPS, rate, burst);
        uwide burst_units = (uwide)burst * (bits ? 8 : 1);
        uint64_t from_ns = SECOND, now_ns = from_ns;
        uwide passed = 0, most = 0, offered = 0;

        for (int i = 0; i < 3000; i++) {
            uint32_t bytes = 20 + (uint32_t)(nsp_prng_next(&random) % 1480);
            uint64_t units = bits ? bytes * UINT64_C(8) : 1;

            /* Twice the rate. */
            offered += units;
            now_ns = from_ns + (uint64_t)(offered * SECOND / 2 / rate);
            if (nsp_lease_conforms(&leases[nsp_prng_next(&random) % sharers],
                                   &bucket, &limit, sharers, now_ns, bytes))
                passed += units;
            most = burst_units + (uwide)(now_ns - from_ns) * rate / SECOND;
            CHECK(passed <= most);
        }
        /* Leases hold back an eighth; a packet may not fit, and while the first
         * one comes the bucket cannot become fuller. */
        if (offered > 4 * burst_units)
            CHECK(passed + burst_units / 8 + 2 * 12000 >= most);
    }
}

/* What leases have left over is part of the burst, even when the bucket has
 * become full again. */
TEST(leases_and_a_full_bucket_hold_one_burst)
{
    const struct nsp_limit limit = limit_of(NSP_LIMIT_PPS, 1000, 8000);
    struct nsp_shared_bucket bucket = { .full_ns = 0 };
    struct nsp_lease leases[4] = { { .left = 0 } };
    uint32_t passed = 0;

    for (int i = 0; i < 4; i++)
        CHECK(nsp_lease_conforms(&leases[i], &bucket, &limit, 4, SECOND, 64));
    for (int i = 0; i < 4; i++)
        while (
            nsp_lease_conforms(&leases[i], &bucket, &limit, 4, 99 * SECOND, 64))
            passed++;
    CHECK(passed >= 7000 && passed <= 8000);
}

TEST(a_lone_lease_gets_most_of_the_burst)
{
    const struct nsp_limit limit = limit_of(NSP_LIMIT_PPS, 1, 8000);
    struct nsp_shared_bucket bucket = { .full_ns = 0 };
    struct nsp_lease lease = { .left = 0 };
    uint32_t passed = 0;

    while (nsp_lease_conforms(&lease, &bucket, &limit, 4, SECOND, 64))
        passed++;
    CHECK(passed >= 7000 && passed <= 8000);
}

/* The same answers as a policer: each packet takes no more than it costs. */
TEST(threads_without_leases_take_each_packet_alone)
{
    const struct nsp_limit limit = limit_of(NSP_LIMIT_BITPS, 3000000, 9000);
    struct nsp_shared_bucket bucket = { .full_ns = 0 };
    struct nsp_lease leases[2] = { { .left = 0 } };
    struct nsp_policer policer = { .full_ns = 0 };
    struct nsp_prng random;
    uint64_t now_ns = SECOND;

    nsp_prng_init(&random, 1, 1);
    for (int i = 0; i < 10000; i++) {
        uint32_t bytes = 64 + (uint32_t)nsp_prng_next(&random) % 1400;

        now_ns += nsp_prng_next(&random) % 4000000;
        CHECK_EQ(
            nsp_lease_conforms(&leases[0], &bucket, &limit, 0, now_ns, bytes),
            nsp_policer_conforms(&policer, &limit, now_ns, bytes));
    }
    while (
        nsp_lease_conforms(&leases[0], &bucket, &limit, 0, 99 * SECOND, 64) &&
        nsp_lease_conforms(&leases[1], &bucket, &limit, 0, 99 * SECOND, 64))
        now_ns++;
    CHECK(!nsp_lease_conforms(&leases[1], &bucket, &limit, 0, 99 * SECOND, 64));
}

TEST(a_price_is_exact_enough_at_any_rate)
{
    static const uint64_t rates[] = { 1,          7,           8,
                                      999,        1000000,     3000000007,
                                      1000000000, 99999999999, 1000000000000 };

    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        const struct nsp_limit limit = limit_of(NSP_LIMIT_BITPS, rates[i], 1);
        const long double exact = 8e9L / (long double)rates[i];
        uint64_t unit_cost, burst_ns;
        uint8_t shift;

        nsp_limit_price(&limit, &unit_cost, &shift, &burst_ns);
        CHECK(shift <= 31);
        CHECK(unit_cost <= UINT64_MAX >> 1 >> 20);
        CHECK((long double)unit_cost / (1u << shift) > exact * (1 - 2e-5L));
        CHECK((long double)unit_cost / (1u << shift) <= exact);
        CHECK_EQ(burst_ns, UINT64_C(8000000000) / rates[i]);
    }
}

TEST_MAIN(
    cmocka_unit_test(threads_without_leases_take_each_packet_alone),
    cmocka_unit_test(a_price_is_exact_enough_at_any_rate),
    cmocka_unit_test(leases_of_one_bucket_keep_to_its_rate_and_burst),
    cmocka_unit_test(leases_and_a_full_bucket_hold_one_burst),
    cmocka_unit_test(a_lone_lease_gets_most_of_the_burst),
    cmocka_unit_test(policer_passes_a_burst_and_then_the_rate),
    cmocka_unit_test(policer_counts_packets_whatever_their_size),
    cmocka_unit_test(policer_is_a_token_bucket),
    cmocka_unit_test(policer_keeps_to_its_promise_over_the_longest_time),
    cmocka_unit_test(policer_stays_as_far_from_full_when_its_limit_changes),
    cmocka_unit_test(policer_takes_the_largest_numbers))
