#define _GNU_SOURCE
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "cli/clock.h"
#include "cli/interrupt.h"
#include "cli/runner.h"
#include "cli/stress.h"
#include "cli/stress_target.h"
#include "cli/thread.h"

/* Half of the time as many packets as go, half of it one at a time: packets a
 * second, and the latency of each, with the wake-up of an idle engine in it. */

#define LATENCY_SAMPLES_MAX (1u << 20)
#define MEMORY_FRAMES       4096
#define FLOOD_BATCH         64

/* --- As many packets as go ----------------------------------------------- */

struct flood {
    int fd;
    atomic_bool stopping;
};

static void *
run_flood(void *opaque)
{
    struct flood *flood = opaque;
    char data[18] = { 0 };
    struct iovec iov = { data, sizeof data };
    struct mmsghdr messages[FLOOD_BATCH];

    memset(messages, 0, sizeof messages);
    for (int i = 0; i < FLOOD_BATCH; i++) {
        messages[i].msg_hdr.msg_iov = &iov;
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    while (!atomic_load(&flood->stopping))
        sendmmsg(flood->fd, messages, FLOOD_BATCH, 0);
    return NULL;
}

/* Frames that come round again for as long as the engine runs. */
static int
open_circle(struct nsp_memory **ret)
{
    const struct nsp_memory_config cfg = { .frames = MEMORY_FRAMES,
                                           .frame_bytes = 128,
                                           .repeat = UINT64_MAX };
    const struct nsp_memory_frame frame = { .data = nsp_stress_packet,
                                            .bytes = NSP_STRESS_PACKET_BYTES,
                                            .direction = NSP_INBOUND };
    struct nsp_memory *memory;
    uint32_t pushed = 0;
    int r;

    r = nsp_memory_create(&cfg, &memory);
    if (r < 0)
        return r;
    while (pushed < MEMORY_FRAMES &&
           nsp_memory_push_burst(memory, 0, &frame, 1) == 1)
        pushed++;
    *ret = memory;
    return NSP_OK;
}

/* Sends from a thread of its own while 'engine' runs in this one. */
static int
flood_live(struct nsp_engine *engine, int fd, uint64_t duration_ns)
{
    struct flood flood = { .fd = fd };
    pthread_t thread;
    int r = nsp_cli_thread_create(&thread, run_flood, &flood);

    if (r < 0)
        return NSP_NO_MEMORY;
    r = nsp_engine_run_for(engine, duration_ns);
    atomic_store(&flood.stopping, true);
    pthread_join(thread, NULL);
    return r;
}

static int
measure_throughput(const struct nsp_stress_config *cfg,
                   struct nsp_engine_config *engine_cfg,
                   struct nsp_stress_target *target,
                   struct nsp_stress_report *report, struct nsp_diag *reterr)
{
    uint64_t duration_ns = (uint64_t)(cfg->seconds / 2 * 1e9);
    struct nsp_memory *circle = NULL;
    struct nsp_engine *engine = NULL;
    struct nsp_stats stats;
    uint64_t allocations, began_ns;
    double seconds;
    int r = NSP_OK;

    if (!cfg->live)
        r = open_circle(&circle);
    if (circle)
        engine_cfg->memory = circle;
    if (r == NSP_OK)
        r = nsp_engine_create(engine_cfg, &engine, reterr);
    if (r == NSP_OK)
        r = nsp_engine_start(engine, "udp", reterr);
    if (r == NSP_OK) {
        allocations = atomic_load(&report->heap.allocations);
        began_ns = nsp_cli_now_ns();
        r = cfg->live ? flood_live(engine, target->client_fd, duration_ns)
                      : nsp_engine_run_for(engine, duration_ns);
        seconds = (double)(nsp_cli_now_ns() - began_ns) / 1e9;
        report->loop_allocations +=
            atomic_load(&report->heap.allocations) - allocations;
        if (r != NSP_STOPPED)
            nsp_stress_fail(report, NSP_STRESS_RUN, "the run ended: %s",
                            nsp_result_name(r));
        nsp_engine_read_stats(engine, &stats);
        report->pkts_per_s = (double)stats.in_pkts / seconds;
        report->bits_per_s = 8 * (double)stats.in_bytes / seconds;
        atomic_fetch_add(&report->operations, stats.in_pkts);
        r = NSP_OK;
    }
    nsp_engine_destroy(engine);
    nsp_memory_destroy(circle);
    return r;
}

/* --- One at a time ------------------------------------------------------- */

static int
compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void
fill_latency(struct nsp_stress_latency *latency, uint64_t values[], uint64_t n)
{
    if (n == 0)
        return;
    qsort(values, n, sizeof *values, compare);
    latency->samples = n;
    latency->p50_ns = values[n / 2];
    latency->p90_ns = values[n - 1 - n / 10];
    latency->p99_ns = values[n - 1 - n / 100];
    latency->p999_ns = values[n - 1 - n / 1000];
    latency->max_ns = values[n - 1];
}

static uint64_t
exchange_packets(struct nsp_stress_target *target,
                 struct nsp_stress_report *report, uint64_t until_ns,
                 uint64_t ret_values[])
{
    uint64_t n = 0, now = nsp_cli_now_ns();

    while (n < LATENCY_SAMPLES_MAX && now < until_ns && !nsp_interrupted()) {
        uint64_t sent_ns = now;

        if (!nsp_stress_target_exchange(target)) {
            nsp_stress_fail(report, NSP_STRESS_TRAFFIC,
                            "a packet did not come through");
            break;
        }
        now = nsp_cli_now_ns();
        ret_values[n++] = now - sent_ns;
    }
    return n;
}

/* What a flood has left in the server's socket is not part of what follows. */
static void
drain(const struct nsp_stress_target *target)
{
    char data[64];

    while (target->server_fd >= 0 &&
           recv(target->server_fd, data, sizeof data, MSG_DONTWAIT) >= 0)
        ;
}

static int
measure_latency(const struct nsp_stress_config *cfg,
                const struct nsp_engine_config *engine_cfg,
                struct nsp_stress_target *target,
                struct nsp_stress_report *report, struct nsp_diag *reterr)
{
    uint64_t *values = calloc(LATENCY_SAMPLES_MAX, sizeof *values);
    struct nsp_runner runner = { 0 };
    uint64_t allocations, n;
    int r;

    if (!values)
        return NSP_NO_MEMORY;
    r = nsp_runner_start(&runner, engine_cfg, "udp", reterr);
    if (r == NSP_OK) {
        drain(target);
        nsp_stress_target_exchange(target);
        allocations = atomic_load(&report->heap.allocations);
        n = exchange_packets(
            target, report,
            nsp_cli_now_ns() + (uint64_t)(cfg->seconds / 2 * 1e9), values);
        report->loop_allocations +=
            atomic_load(&report->heap.allocations) - allocations;
        r = nsp_runner_stop(&runner, NULL, reterr);
        atomic_fetch_add(&report->operations, n);
        fill_latency(&report->latency, values, n);
    }
    free(values);
    return r;
}

int
nsp_stress_performance(const struct nsp_stress_config *cfg,
                       struct nsp_stress_report *report,
                       struct nsp_diag *reterr)
{
    struct nsp_engine_config engine_cfg = {
        .max_held_pkts = 4096,
        .seed = cfg->seed,
        .allocator = nsp_stress_allocator(&report->heap),
    };
    struct nsp_stress_target target;
    uint64_t began_ns;
    int r;

    r = nsp_stress_target_open(&target, cfg->lab, reterr);
    if (r < 0)
        return r;
    nsp_stress_target_configure(&target, &engine_cfg);
    report->has_performance = true;
    report->asked = (uint64_t)cfg->seconds;
    report->asked_unit = "s";

    nsp_stress_read_before(&report->before);
    began_ns = nsp_cli_now_ns();
    nsp_stress_progress(0, 2);
    r = measure_throughput(cfg, &engine_cfg, &target, report, reterr);
    nsp_stress_target_configure(&target, &engine_cfg);
    nsp_stress_progress(1, 2);
    if (r == NSP_OK)
        r = measure_latency(cfg, &engine_cfg, &target, report, reterr);
    nsp_stress_progress_end();
    report->seconds = (double)(nsp_cli_now_ns() - began_ns) / 1e9;
    report->interrupted = nsp_interrupted();
    if (report->loop_allocations)
        nsp_stress_fail(report, NSP_STRESS_ALLOCATION,
                        "the loop allocated memory");
    nsp_stress_settle(&report->before, &report->after);
    nsp_stress_target_close(&target);
    return r;
}
