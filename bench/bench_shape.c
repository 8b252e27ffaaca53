/* The cost of the shaping primitives, in plain lines of text:
 *
 *     what                                    ns per operation
 *
 * Nodes are whole packets in memory, not bare timers, because that is what a
 * worker's cache sees. "held" stays constant: each operation adds one packet
 * and expires one. With "about" delays are uniform from 0 to twice the time:
 * packets leave in random order, so with many held each costs cache misses. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/prng.h"
#include "shape/bottleneck.h"
#include "shape/wheel.h"

#define OPERATIONS UINT64_C(2000000)

static uint64_t
clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NSP_NS_PER_SECOND + (uint64_t)ts.tv_nsec;
}

static void
report(const char *what, uint64_t since_ns, uint64_t operations)
{
    printf("%-52s %8.2f ns\n", what,
           (double)(clock_ns() - since_ns) / (double)operations);
}

static void
out_of_memory(void)
{
    fputs("bench_shape: not enough memory\n", stderr);
    exit(1);
}

/* Steady state with 'held' packets, delayed by 'delay_ns', or by a random time
 * of that mean. The virtual clock advances so that 'held' stays the same. */
static void
bench_wheel(uint64_t held, uint64_t delay_ns, bool vary)
{
    struct nsp_pkt *pkts = calloc(held, sizeof *pkts);
    struct nsp_wheel *wheel;
    struct nsp_prng random;
    uint64_t now_ns = 0, done = 0, since_ns;
    char what[64];

    if (!pkts || nsp_wheel_create(NULL, 0, &wheel) != 0)
        out_of_memory();
    nsp_prng_init(&random, 1, 0);
    for (uint64_t i = 0; i < held; i++) {
        pkts[i].timer.due_ns =
            vary ? nsp_prng_next(&random) % (2 * delay_ns)
                 : (uint64_t)((double)i / (double)held * (double)delay_ns);
        nsp_wheel_add(wheel, &pkts[i].timer);
    }
    since_ns = clock_ns();
    while (done < OPERATIONS) {
        struct nsp_wheel_node *out[NSP_BURST_MAX];
        uint32_t n = nsp_wheel_expire(wheel, now_ns, out, NSP_BURST_MAX);

        for (uint32_t i = 0; i < n; i++) {
            out[i]->due_ns =
                now_ns +
                (vary ? nsp_prng_next(&random) % (2 * delay_ns) : delay_ns);
            nsp_wheel_add(wheel, out[i]);
        }
        done += n;
        now_ns += delay_ns * 16 / held + 1;
    }
    snprintf(what, sizeof what, "wheel add+expire, %7ju held, %s %ju ms",
             (uintmax_t)held, vary ? "about" : "fixed",
             (uintmax_t)(delay_ns / 1000000));
    report(what, since_ns, done);
    nsp_wheel_destroy(wheel);
    free(pkts);
}

/* A queue of 64 packets in front of a link at 10 Gbit/s, in bursts of 16. */
static void
bench_bottleneck(void)
{
    const struct nsp_bottleneck_config cfg = {
        .rate_bitps = UINT64_C(10000000000),
    };
    static struct nsp_pkt pkts[64];
    struct nsp_pkt *out[NSP_BURST_MAX];
    struct nsp_bottleneck *b;
    uint64_t now_ns = 0, done = 0, since_ns;

    if (nsp_bottleneck_create(&cfg, NULL, &b) != 0)
        out_of_memory();
    for (uint32_t i = 0; i < 64; i++) {
        pkts[i].ip_bytes = 40 + i * 20;
        if (nsp_bottleneck_enqueue(b, 0, &pkts[i]) != NULL)
            abort();
    }
    since_ns = clock_ns();
    while (done < OPERATIONS) {
        uint32_t n = nsp_bottleneck_dequeue(b, now_ns, out, NSP_BURST_MAX);

        for (uint32_t i = 0; i < n; i++)
            if (nsp_bottleneck_enqueue(b, now_ns, out[i]) != NULL)
                abort();
        done += n;
        now_ns += 9000;
    }
    report("bottleneck enqueue+dequeue, 64 held", since_ns, done);
    nsp_bottleneck_destroy(b);
}

int
main(void)
{
    const uint64_t held[] = { 1000, 100000, 1000000 };

    for (size_t i = 0; i < NSP_ARRAY_LEN(held); i++) {
        bench_wheel(held[i], 40000000, false);
        bench_wheel(held[i], 40000000, true);
        bench_wheel(held[i], 500000000, true);
    }
    bench_bottleneck();
    return 0;
}
