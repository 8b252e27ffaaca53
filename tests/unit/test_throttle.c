#include "shape/throttle.h"
#include "base/prng.h"
#include "netshaper/packet.h"
#include "tests/lib/test.h"

#include <string.h>

/* A bucket that gets its tokens each nanosecond, and a queue before it. Both in
 * units of 1 / per_ns of a token. */
TEST(throttle_agrees_with_a_bucket_that_ticks)
{
    enum { PKTS = 2000 };
    static const struct nsp_throttle_config throttles[] = {
        { 1, 10, 1, 0, 0 }, { 1, 10, 1, 5, 0 },   { 3, 10, 1, 0, 0 },
        { 3, 10, 4, 7, 0 }, { 7, 1000, 2, 3, 0 }, { 1000, 7, 1, 100, 0 },
        { 1, 1, 1, 1, 0 },  { 5, 9, 50, 0, 0 },
    };

    for (size_t t = 0; t < NSP_ARRAY_LEN(throttles); t++) {
        const struct nsp_throttle_config *throttle = &throttles[t];
        static uint64_t arrives_ns[PKTS], departs_ns[PKTS];
        struct nsp_throttle_state past = { 0 };
        uint64_t most = throttle->burst_pkts * throttle->per_ns;
        uint64_t tokens = most, now_ns = 0;
        uint32_t next = 0, first = 0, last = 0;
        static uint32_t queue[PKTS];
        struct nsp_prng random;

        CHECK(nsp_throttle_fault(throttle) == NULL);
        nsp_prng_init(&random, 1, t);
        for (uint32_t i = 0; i < PKTS; i++) {
            if (nsp_prng_next(&random) % 3 == 0)
                now_ns += nsp_prng_below(
                    &random,
                    (uint32_t)(8 * throttle->per_ns / throttle->pkts) + 3);
            arrives_ns[i] = now_ns;
            departs_ns[i] = nsp_throttle_depart_ns(throttle, &past, now_ns);
        }
        for (now_ns = 0; next < PKTS || first < last; now_ns++) {
            for (; first < last && tokens >= throttle->per_ns; first++) {
                tokens -= throttle->per_ns;
                CHECK_EQ(departs_ns[queue[first]], now_ns);
            }
            if (first == last && tokens > most)
                tokens = most;
            for (; next < PKTS && arrives_ns[next] == now_ns; next++) {
                if (first == last && tokens >= throttle->per_ns) {
                    tokens -= throttle->per_ns;
                    CHECK_EQ(departs_ns[next], now_ns);
                } else if (last - first < throttle->queue_pkts) {
                    queue[last++] = next;
                } else {
                    CHECK_EQ(departs_ns[next], NSP_TIME_NEVER);
                }
            }
            tokens += throttle->pkts;
        }
    }
}

TEST(throttle_bears_its_largest_values)
{
    const struct nsp_throttle_config throttle = { 1, NSP_THROTTLE_NS_MAX,
                                                  NSP_THROTTLE_HELD_MAX,
                                                  NSP_THROTTLE_HELD_MAX, 0 };
    const struct nsp_throttle_config fast = { NSP_THROTTLE_PKTS_MAX, 1, 1, 0,
                                              0 };
    struct nsp_throttle_state past = { 0 }, fast_past = { 0 };

    CHECK(nsp_throttle_fault(&throttle) == NULL);
    for (uint32_t i = 0; i < NSP_THROTTLE_HELD_MAX; i++)
        CHECK_EQ(nsp_throttle_depart_ns(&throttle, &past, 5), 5);
    for (uint64_t i = 1; i <= NSP_THROTTLE_HELD_MAX; i++)
        CHECK_EQ(nsp_throttle_depart_ns(&throttle, &past, 5),
                 5 + i * NSP_THROTTLE_NS_MAX);
    CHECK_EQ(nsp_throttle_depart_ns(&throttle, &past, 5), NSP_TIME_NEVER);
    CHECK_EQ(nsp_throttle_depart_ns(&throttle, &past, UINT64_MAX - 1),
             UINT64_MAX - 1);

    CHECK_EQ(nsp_throttle_depart_ns(&fast, &fast_past, 1), 1);
    CHECK_EQ(nsp_throttle_depart_ns(&fast, &fast_past, 1), NSP_TIME_NEVER);
    CHECK_EQ(nsp_throttle_depart_ns(&fast, &fast_past, 2), 2);
}

TEST(throttle_refuses_what_makes_no_sense)
{
    static const struct nsp_throttle_config cases[] = {
        { 0, 1, 1, 0, 0 },
        { NSP_THROTTLE_PKTS_MAX + 1, 1, 1, 0, 0 },
        { 1, 0, 1, 0, 0 },
        { 1, NSP_THROTTLE_NS_MAX + 1, 1, 0, 0 },
        { 1, 1, 0, 0, 0 },
        { 1, 1, NSP_THROTTLE_HELD_MAX + 1, 0, 0 },
        { 1, 1, 1, NSP_THROTTLE_HELD_MAX + 1, 0 },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(cases); i++)
        CHECK(nsp_throttle_fault(&cases[i]) != NULL);
}

TEST_MAIN(cmocka_unit_test(throttle_agrees_with_a_bucket_that_ticks),
          cmocka_unit_test(throttle_bears_its_largest_values),
          cmocka_unit_test(throttle_refuses_what_makes_no_sense))
