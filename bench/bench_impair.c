/* The cost of one effect on one packet, in plain lines of text:
 *
 *     effect                                  ns per packet
 *
 * Each line is the median of RUNS runs, in processor time. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "impair/delay.h"
#include "impair/duplicate.h"
#include "impair/loss.h"
#include "impair/reorder.h"
#include "impair/tamper.h"
#include "packet/tcp.h"
#include "shape/cutoff.h"
#include "shape/flap.h"
#include "shape/rate_plan.h"
#include "shape/throttle.h"
#include "shape/window.h"

#define PACKETS UINT64_C(4000000)
#define RUNS    7

/* What one run measures: PACKETS packets, one each microsecond. Returns
 * something that depends on all of them, so that none is optimised away. */
typedef uint64_t run_fn(const void *effect, struct nsp_prng *random);

static uint64_t
clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * NSP_NS_PER_SECOND + (uint64_t)ts.tv_nsec;
}

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void
measure(const char *what, run_fn *run, const void *effect)
{
    double ns[RUNS];
    uint64_t sum = 0;

    for (int i = 0; i < RUNS; i++) {
        struct nsp_prng random;
        uint64_t since_ns;

        nsp_prng_init(&random, 1, 0);
        since_ns = clock_ns();
        sum += run(effect, &random);
        ns[i] = (double)(clock_ns() - since_ns) / (double)PACKETS;
    }
    qsort(ns, RUNS, sizeof *ns, compare);
    printf("%-44s %8.2f ns  (%ju)\n", what, ns[RUNS / 2], (uintmax_t)sum);
}

/* --- Loss ----------------------------------------------------------------- */

static uint64_t
run_loss(const void *effect, struct nsp_prng *random)
{
    const struct nsp_loss *loss = effect;
    struct nsp_loss_state state = { 0 };
    uint64_t lost = 0;

    for (uint64_t i = 0; i < PACKETS; i++)
        lost += nsp_loss_decide(loss, &state, i * 1000, random);
    return lost;
}

static void
bench_loss(void)
{
    static const uint8_t pattern[] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 };
    static const uint32_t consecutive[] = { 10000, 500000, 250000, 0 };
    static const struct {
        const char *what;
        struct nsp_loss_config cfg;
    } losses[] = {
        { "loss 1 %", { .chance = { 10000, 0 } } },
        { "loss 1 %, correlation 25 %", { .chance = { 10000, 250000 } } },
        { "loss 1 % in bursts of 3",
          { .kind = NSP_LOSS_BURSTS, .bursts = { 10000, 3000 } } },
        { "loss of Gilbert-Elliott",
          { .kind = NSP_LOSS_GILBERT,
            .gilbert = { 10000, 300000, 700000, 1000 } } },
        { "loss of four states",
          { .kind = NSP_LOSS_FOUR_STATES,
            .four_states = { 10000, 300000, 100000, 400000, 20000 } } },
        { "loss by pattern",
          { .kind = NSP_LOSS_PATTERN,
            .pattern = { pattern, sizeof pattern } } },
        { "loss by consecutive losses",
          { .kind = NSP_LOSS_CONSECUTIVE, .consecutive = { consecutive, 4 } } },
        { "loss for a time",
          { .kind = NSP_LOSS_TIMED, .timed = { 1000, 1000000, 20000 } } },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(losses); i++) {
        struct nsp_loss loss;

        if (nsp_loss_init(&loss, &losses[i].cfg, NULL) != 0)
            abort();
        measure(losses[i].what, run_loss, &loss);
        nsp_loss_fini(&loss);
    }
}

/* --- Delay ---------------------------------------------------------------- */

static uint64_t
run_delay(const void *effect, struct nsp_prng *random)
{
    const struct nsp_delay *delay = effect;
    struct nsp_delay_state state = { 0 };
    uint64_t sum_ns = 0;

    for (uint64_t i = 0; i < PACKETS; i++)
        sum_ns += nsp_delay_depart_ns(delay, &state, i * 1000, random);
    return sum_ns;
}

static void
bench_delay(void)
{
    static int16_t table[4096];
    static const struct {
        const char *what;
        uint8_t kind;
        bool keep_order;
        uint32_t correlation_ppm;
    } delays[] = {
        { "delay, constant", NSP_DELAY_CONSTANT, false, 0 },
        { "delay, uniform", NSP_DELAY_UNIFORM, false, 0 },
        { "delay, uniform, correlation 25 %", NSP_DELAY_UNIFORM, false,
          250000 },
        { "delay, normal", NSP_DELAY_NORMAL, false, 0 },
        { "delay, normal, in order", NSP_DELAY_NORMAL, true, 0 },
        { "delay, normal, correlation 25 %", NSP_DELAY_NORMAL, false, 250000 },
        { "delay, Pareto, correlation 25 %", NSP_DELAY_PARETO, false, 250000 },
        { "delay, table", NSP_DELAY_TABLE, false, 0 },
        { "delay, table, correlation 25 %", NSP_DELAY_TABLE, false, 250000 },
    };

    for (int i = 0; i < 4096; i++)
        table[i] = (int16_t)(i * 8 - 16384);
    for (size_t i = 0; i < NSP_ARRAY_LEN(delays); i++) {
        const struct nsp_delay_config cfg = {
            .kind = delays[i].kind,
            .keep_order = delays[i].keep_order,
            .correlation_ppm = delays[i].correlation_ppm,
            .mean_ns = 40000000,
            .spread_ns = delays[i].kind == NSP_DELAY_CONSTANT ? 0 : 10000000,
            .table = table,
            .table_count = NSP_ARRAY_LEN(table),
        };
        struct nsp_delay delay;

        if (nsp_delay_init(&delay, &cfg, NULL) != 0)
            abort();
        measure(delays[i].what, run_delay, &delay);
        nsp_delay_fini(&delay);
    }
}

/* --- Others --------------------------------------------------------------- */

static uint64_t
run_duplicate(const void *effect, struct nsp_prng *random)
{
    uint64_t copies = 0;
    uint8_t state = 0;

    for (uint64_t i = 0; i < PACKETS; i++)
        copies += nsp_duplicate_decide(effect, &state, random);
    return copies;
}

static uint64_t
run_reorder(const void *effect, struct nsp_prng *random)
{
    struct nsp_reorder_state state = { 0 };
    uint64_t at_once = 0;

    for (uint64_t i = 0; i < PACKETS; i++)
        at_once += nsp_reorder_decide(effect, &state, random);
    return at_once;
}

/* A full-sized TCP segment over IPv4. */
static uint8_t segment[1500] = {
    0x45, 0, 1500 >> 8, 1500 & 255, 0,  0, 0x40, 0, 64,   6,    0,   0,
    10,   0, 0,         1,          10, 0, 0,    2, 0x13, 0x88, 0,   80,
    0,    0, 0,         1,          0,  0, 0,    1, 0x50, 0x10, 255,
};

static struct nsp_pkt
make_segment(void)
{
    struct nsp_pkt pkt = { .data = segment,
                           .cap_bytes = sizeof segment,
                           .wire_bytes = sizeof segment };

    if (nsp_pkt_fix_checksums(&pkt) != 0)
        abort();
    return pkt;
}

static uint64_t
run_tamper(const void *effect, struct nsp_prng *random)
{
    struct nsp_pkt pkt = make_segment();
    uint64_t changed = 0;

    for (uint64_t i = 0; i < PACKETS; i++)
        changed += nsp_tamper_apply(effect, &pkt, random);
    return changed;
}

static uint64_t
run_clamp_window(const void *effect, struct nsp_prng *random)
{
    struct nsp_pkt pkt = make_segment();
    uint64_t errors = 0;

    (void)effect;
    (void)random;
    for (uint64_t i = 0; i < PACKETS; i++)
        errors +=
            nsp_tcp_clamp_window(&pkt, 65535 - (uint32_t)(i & 255), 0) != 0;
    return errors;
}

static void
bench_others(void)
{
    const struct nsp_duplicate_config duplicate_cfg = {
        .ppm = 10000,
        .copies = 1,
    };
    const struct nsp_reorder_config reorder_cfg = { .ppm = 250000, .gap = 5 };
    const struct nsp_tamper_config flip = { .flip_bits = 1 };
    struct nsp_duplicate duplicate;
    struct nsp_reorder reorder;

    if (nsp_duplicate_init(&duplicate, &duplicate_cfg) != 0 ||
        nsp_reorder_init(&reorder, &reorder_cfg) != 0)
        abort();
    measure("duplicate 1 %", run_duplicate, &duplicate);
    measure("reorder 25 %, gap 5", run_reorder, &reorder);
    measure("flip a bit of every packet", run_tamper, &flip);
    measure("clamp the window of every packet", run_clamp_window, NULL);
}

/* --- Rate patterns -------------------------------------------------------- */

static uint64_t
run_window(const void *effect, struct nsp_prng *random)
{
    struct nsp_window_state state = { 0 };
    uint64_t sum_ns = 0;

    for (uint64_t i = 0; i < PACKETS; i++)
        sum_ns += nsp_window_depart_ns(effect, &state, i * 1000, 1500, random);
    return sum_ns;
}

static uint64_t
run_flap(const void *effect, struct nsp_prng *random)
{
    struct nsp_flap_state state = { 0 };
    uint64_t sum_ns = 0;

    for (uint64_t i = 0; i < PACKETS; i++)
        sum_ns += nsp_flap_up_ns(effect, &state, i * 1000, random);
    return sum_ns;
}

static uint64_t
run_throttle(const void *effect, struct nsp_prng *random)
{
    struct nsp_throttle_state state = { 0 };
    uint64_t sum_ns = 0;

    (void)random;
    for (uint64_t i = 0; i < PACKETS; i++)
        sum_ns += nsp_throttle_depart_ns(effect, &state, i * 1000);
    return sum_ns;
}

static uint64_t
run_cutoff(const void *effect, struct nsp_prng *random)
{
    struct nsp_cutoff_state state = { 0 };
    uint64_t sum_ns = 0;

    (void)random;
    for (uint64_t i = 0; i < PACKETS; i++)
        sum_ns += nsp_cutoff_pass_ns(effect, &state, i * 1000, 1500);
    return sum_ns;
}

static uint64_t
run_link(const void *effect, struct nsp_prng *random)
{
    struct nsp_serialiser s;
    uint64_t sum_ns = 0;

    (void)random;
    nsp_serialiser_init(&s, effect ? 0 : UINT64_C(10000000000), effect, 0);
    for (uint64_t i = 0; i < PACKETS; i++) {
        nsp_serialiser_idle(&s, i * 1000);
        sum_ns += nsp_serialiser_send(&s, 1500);
    }
    return sum_ns;
}

static struct nsp_rate_plan *
make_plan(const struct nsp_rate_plan_config *cfg)
{
    struct nsp_rate_plan *plan;

    if (nsp_rate_plan_create(cfg, NULL, &plan) != 0)
        abort();
    return plan;
}

static void
bench_rates(void)
{
    static uint64_t at_ns[10000];
    const struct nsp_rate_segment ramp = { UINT64_C(10000000000), 1000000000,
                                           UINT64_C(20000000000) };
    const struct nsp_window_config window = { 1000000, 1000000, 0, 0, 0 };
    const struct nsp_flap flap = { NSP_FLAP_EXPONENTIAL,
                                   2,
                                   { 1000000, 100000 } };
    const struct nsp_throttle_config throttle = { 1000000, NSP_NS_PER_SECOND,
                                                  10, 100, 0 };
    const struct nsp_cutoff_config cutoff = { 0, NSP_NS_PER_SECOND,
                                              NSP_TIME_NEVER, false, 0 };
    struct nsp_rate_plan *schedule = make_plan(&(struct nsp_rate_plan_config){
        .segments = &ramp, .segment_count = 1, .repeat = true });
    struct nsp_rate_plan *trace;

    for (uint64_t i = 0; i < NSP_ARRAY_LEN(at_ns); i++)
        at_ns[i] = i * 900 + 1;
    trace = make_plan(&(struct nsp_rate_plan_config){
        .opportunities_ns = at_ns,
        .opportunity_count = NSP_ARRAY_LEN(at_ns),
        .opportunity_bytes = 1504 });
    measure("burst windows", run_window, &window);
    measure("link flap, exponential", run_flap, &flap);
    measure("throttle", run_throttle, &throttle);
    measure("cut-off", run_cutoff, &cutoff);
    measure("link of 10 Gbit/s", run_link, NULL);
    measure("link with a ramp", run_link, schedule);
    measure("link with a trace", run_link, trace);
    nsp_rate_plan_unref(schedule);
    nsp_rate_plan_unref(trace);
}

int
main(void)
{
    bench_loss();
    bench_delay();
    bench_others();
    bench_rates();
    return 0;
}
