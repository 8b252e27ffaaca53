/* The bottleneck beside one that computes all departures anew for every
 * arrival.
 */
#include "base/prng.h"
#include "shape/bottleneck.h"
#include "tests/lib/test.h"

#include <stdlib.h>

#define SECOND NSP_NS_PER_SECOND
#define MBITPS UINT64_C(1000000)

__extension__ typedef __int128 wide;

struct arrival {
    struct nsp_pkt *pkt;
    uint64_t at_ns, bytes;
    wide leaves; /* In ns * rate_bitps: exact. */
};

struct naive {
    struct nsp_bottleneck_config cfg;
    struct arrival *kept;
    uint32_t count, taken;
};

/* Sets every departure, and returns the first that waits at 'now_ns'. */
static uint32_t
naive_schedule(struct naive *naive, uint64_t now_ns)
{
    const wide rate = (wide)naive->cfg.rate_bitps;
    uint32_t waits = naive->count;
    wide free = 0;

    for (uint32_t i = 0; i < naive->count; i++) {
        struct arrival *a = &naive->kept[i];

        if (free < rate * a->at_ns)
            free = rate * a->at_ns;
        if (waits == naive->count && free > rate * now_ns)
            waits = i;
        free += (wide)a->bytes * 8 * (wide)SECOND;
        a->leaves = free;
    }
    return waits;
}

static bool
naive_fits(const struct naive *naive, uint32_t waits, uint64_t bytes)
{
    const struct nsp_bottleneck_config *cfg = &naive->cfg;
    uint32_t pkts = naive->count - waits;
    wide sum = bytes;
    wide ns;

    for (uint32_t i = waits; i < naive->count; i++)
        sum += naive->kept[i].bytes;
    ns = 8 * (wide)SECOND * sum;
    if (pkts == 0)
        return true;
    switch (cfg->unit) {
    case NSP_QUEUE_BYTES:
        return sum <= (wide)cfg->limit;
    case NSP_QUEUE_PKTS:
        return pkts + 1 <= cfg->limit;
    case NSP_QUEUE_NS:
        return ns <= (wide)cfg->limit * (wide)cfg->rate_bitps;
    default:
        return pkts < 16 || ns <= (wide)SECOND / 10 * (wide)cfg->rate_bitps;
    }
}

/* Returns whether 'b' dropped exactly what the model drops. */
static bool
naive_offer(struct naive *naive, struct nsp_bottleneck *b, uint64_t now_ns,
            struct nsp_pkt *pkt)
{
    int64_t bytes = (int64_t)pkt->ip_bytes + naive->cfg.overhead_bytes;
    struct arrival a = { pkt, now_ns, bytes < 1 ? 1 : (uint64_t)bytes, 0 };
    struct nsp_pkt *victim = nsp_bottleneck_enqueue(b, now_ns, pkt);
    uint32_t waits;
    bool idle;

    waits = naive_schedule(naive, now_ns);
    idle = naive->count == 0 || naive->kept[naive->count - 1].leaves <=
                                    (wide)naive->cfg.rate_bitps * now_ns;
    while (!idle && !naive_fits(naive, waits, a.bytes)) {
        if (naive->cfg.drop == NSP_QUEUE_DROP_TAIL)
            return victim == pkt && !pkt->timer.next;
        if (!victim || victim != naive->kept[waits].pkt)
            return false;
        victim = victim->timer.next ? NSP_CONTAINER_OF(victim->timer.next,
                                                       struct nsp_pkt, timer)
                                    : NULL;
        naive->count--;
        for (uint32_t i = waits; i < naive->count; i++)
            naive->kept[i] = naive->kept[i + 1];
    }
    naive->kept[naive->count++] = a;
    naive_schedule(naive, now_ns);
    return victim == NULL;
}

static uint64_t
naive_due_ns(const struct naive *naive)
{
    const wide rate = (wide)naive->cfg.rate_bitps;

    if (naive->taken == naive->count)
        return NSP_TIME_NEVER;
    return (uint64_t)((naive->kept[naive->taken].leaves + rate - 1) / rate);
}

static void
naive_collect(struct naive *naive, struct nsp_bottleneck *b, uint64_t now_ns,
              uint32_t max)
{
    struct nsp_pkt *out[NSP_BURST_MAX];
    uint32_t n = nsp_bottleneck_dequeue(b, now_ns, out, max);

    for (uint32_t i = 0; i < n; i++) {
        CHECK(naive_due_ns(naive) <= now_ns);
        CHECK_EQ(out[i]->timer.due_ns, naive_due_ns(naive));
        CHECK(out[i] == naive->kept[naive->taken].pkt);
        naive->taken++;
    }
    CHECK(n == max || naive_due_ns(naive) > now_ns);
    CHECK_EQ(nsp_bottleneck_due_ns(b), naive_due_ns(naive));
    CHECK_EQ(nsp_bottleneck_backlog_pkts(b), naive->count - naive->taken);
}

static void
run_naive(uint64_t seed)
{
    enum { N = 700 };
    static struct nsp_pkt pkts[N];
    static struct arrival kept[N];
    static const uint64_t rates[] = { 8,
                                      64007,
                                      3 * MBITPS,
                                      997 * MBITPS,
                                      UINT64_C(77777777777),
                                      NSP_RATE_BITPS_MAX };
    struct naive naive = { .kept = kept };
    struct nsp_prng random;
    struct nsp_bottleneck *b;
    uint64_t now_ns, packet_ns;

    nsp_prng_init(&random, seed, 7);
    naive.cfg.rate_bitps = rates[seed % NSP_ARRAY_LEN(rates)];
    naive.cfg.unit = seed / 6 % 4;
    naive.cfg.drop = seed / 24 % 2;
    naive.cfg.overhead_bytes = (int32_t)(nsp_prng_next(&random) % 321) - 64;
    packet_ns = 8 * SECOND * 800 / naive.cfg.rate_bitps + 1;
    naive.cfg.limit = 1 + nsp_prng_next(&random) % 30;
    if (naive.cfg.unit == NSP_QUEUE_BYTES)
        naive.cfg.limit *= 700;
    if (naive.cfg.unit == NSP_QUEUE_NS)
        naive.cfg.limit *= packet_ns;
    now_ns = nsp_prng_next(&random) >> (1 + seed % 40);
    CHECK_EQ(nsp_bottleneck_create(&naive.cfg, NULL, &b), 0);
    for (uint32_t i = 0; i < N; i++) {
        uint64_t draw = nsp_prng_next(&random);
        uint64_t size = draw >> 32;

        pkts[i].ip_bytes =
            (uint32_t)(draw % 50 == 0 ? size % 65536 : size % 1501);
        CHECK(naive_offer(&naive, b, now_ns, &pkts[i]));
        if ((draw >> 8) % 3 == 0)
            now_ns += nsp_prng_next(&random) % (packet_ns * 4);
        if ((draw >> 16) % 4 == 0)
            naive_collect(&naive, b, now_ns,
                          (uint32_t)(draw >> 20) % (NSP_BURST_MAX + 1));
        if ((draw >> 24) % 64 == 0)
            now_ns += packet_ns * 40;
    }
    while (naive.taken < naive.count)
        naive_collect(&naive, b, naive_due_ns(&naive), 1);
    nsp_bottleneck_destroy(b);
}

TEST(bottleneck_agrees_with_a_naive_model_on_random_traffic)
{
    for (uint64_t seed = 0; seed < 192; seed++)
        run_naive(seed);
}

TEST_MAIN(
    cmocka_unit_test(bottleneck_agrees_with_a_naive_model_on_random_traffic))
