/* Packets that pass an idle link, and those that find it busy with them. */
#include "base/prng.h"
#include "shape/bottleneck.h"
#include "tests/lib/test.h"

#define SECOND NSP_NS_PER_SECOND
#define MBITPS UINT64_C(1000000)

static struct nsp_bottleneck *
create(struct nsp_bottleneck_config cfg)
{
    struct nsp_bottleneck *b = NULL;

    CHECK_EQ(nsp_bottleneck_create(&cfg, NULL, &b), 0);
    return b;
}

static void
check_next(struct nsp_bottleneck *b, const struct nsp_pkt *pkt, uint64_t due_ns)
{
    struct nsp_pkt *out = NULL;

    CHECK_EQ(nsp_bottleneck_dequeue(b, due_ns - 1, &out, 1), 0);
    CHECK_EQ(nsp_bottleneck_dequeue(b, due_ns, &out, 1), 1);
    CHECK(out == pkt);
    CHECK_EQ(out->timer.due_ns, due_ns);
}

TEST(bottleneck_lets_none_pass_while_it_is_busy)
{
    struct nsp_pkt pkts[3] = { { .ip_bytes = 1000 },
                               { .ip_bytes = 1000 },
                               { .ip_bytes = 1000 } };
    struct nsp_bottleneck *b =
        create((struct nsp_bottleneck_config){ .rate_bitps = 8 * MBITPS });

    CHECK(nsp_bottleneck_pass(b, SECOND, &pkts[0]));
    CHECK_EQ(pkts[0].timer.due_ns, SECOND + 1000000);
    CHECK_EQ(nsp_bottleneck_backlog_pkts(b), 0);
    CHECK_EQ(nsp_bottleneck_due_ns(b), NSP_TIME_NEVER);
    CHECK(!nsp_bottleneck_pass(b, SECOND + 999999, &pkts[1]));
    CHECK(!nsp_bottleneck_enqueue(b, SECOND + 999999, &pkts[1]));
    CHECK_EQ(nsp_bottleneck_backlog_pkts(b), 1);
    CHECK(!nsp_bottleneck_pass(b, SECOND + 1500000, &pkts[2]));
    CHECK(!nsp_bottleneck_enqueue(b, SECOND + 1500000, &pkts[2]));
    check_next(b, &pkts[1], SECOND + 2000000);
    check_next(b, &pkts[2], SECOND + 3000000);
    CHECK(nsp_bottleneck_pass(b, SECOND + 3000000, &pkts[0]));
    nsp_bottleneck_destroy(b);
}

/* A link whose packets pass where they can, or all queue. */
struct twin {
    struct nsp_bottleneck *b;
    struct nsp_pkt pkts[400];
    uint64_t left_ns[400]; /* NSP_TIME_NEVER: dropped. */
    uint32_t passed;
};

static void
twin_collect(struct twin *twin, uint64_t now_ns)
{
    struct nsp_pkt *out[NSP_BURST_MAX];
    uint32_t n;

    while ((n = nsp_bottleneck_dequeue(twin->b, now_ns, out, NSP_BURST_MAX)) >
           0)
        for (uint32_t i = 0; i < n; i++)
            twin->left_ns[out[i] - twin->pkts] = out[i]->timer.due_ns;
}

static void
twin_offer(struct twin *twin, uint64_t now_ns, uint32_t i, bool passes)
{
    struct nsp_pkt *victim;

    if (passes && nsp_bottleneck_pass(twin->b, now_ns, &twin->pkts[i])) {
        twin->left_ns[i] = twin->pkts[i].timer.due_ns;
        twin->passed++;
        return;
    }
    victim = nsp_bottleneck_enqueue(twin->b, now_ns, &twin->pkts[i]);
    while (victim) {
        struct nsp_wheel_node *next = victim->timer.next;

        twin->left_ns[victim - twin->pkts] = NSP_TIME_NEVER;
        victim = next ? NSP_CONTAINER_OF(next, struct nsp_pkt, timer) : NULL;
    }
}

static void
run_twins(uint64_t seed)
{
    static struct twin twins[2];
    struct nsp_bottleneck_config cfg = { .rate_bitps = 8 * MBITPS,
                                         .unit = NSP_QUEUE_PKTS,
                                         .limit = 1 + seed % 4,
                                         .drop = seed / 4 % 2 };
    struct nsp_prng random;
    uint64_t now_ns = 5 * SECOND;

    nsp_prng_init(&random, seed, 11);
    for (int t = 0; t < 2; t++) {
        twins[t].b = create(cfg);
        twins[t].passed = 0;
    }
    for (uint32_t i = 0; i < NSP_ARRAY_LEN(twins[0].pkts); i++) {
        uint64_t draw = nsp_prng_next(&random);

        now_ns +=
            draw % 3 == 0 ? (draw >> 8) % 4000 : (draw >> 8) % 1500 * 1000;
        if ((draw >> 40) % 32 == 0) {
            cfg.rate_bitps ^= 3 * MBITPS;
            for (int t = 0; t < 2; t++)
                CHECK_EQ(nsp_bottleneck_set_config(twins[t].b, now_ns, &cfg),
                         0);
        }
        for (int t = 0; t < 2; t++) {
            if (draw >> 60 < 10)
                twin_collect(&twins[t], now_ns);
            twins[t].pkts[i].ip_bytes = (uint32_t)(draw >> 20) % 600;
            twin_offer(&twins[t], now_ns, i, t == 1);
        }
    }
    for (int t = 0; t < 2; t++) {
        twin_collect(&twins[t], NSP_TIME_NEVER - 1);
        nsp_bottleneck_destroy(twins[t].b);
    }
    CHECK(twins[1].passed > 20);
    for (uint32_t i = 0; i < NSP_ARRAY_LEN(twins[0].pkts); i++)
        CHECK_EQ(twins[1].left_ns[i], twins[0].left_ns[i]);
}

TEST(bottleneck_lets_packets_pass_as_if_they_had_queued)
{
    for (uint64_t seed = 0; seed < 64; seed++)
        run_twins(seed);
}

TEST_MAIN(cmocka_unit_test(bottleneck_lets_none_pass_while_it_is_busy),
          cmocka_unit_test(bottleneck_lets_packets_pass_as_if_they_had_queued))
