#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/clock.h"
#include "cli/interrupt.h"
#include "cli/stress.h"
#include "cli/stress_chaos.h"
#include "cli/thread.h"

#define WORKERS_PER_SLOT 8
#define TICK_NS          2000000
#define STUCK_NS         UINT64_C(30000000000)

/* --- Shared engines ------------------------------------------------------ */

/* Keeps 'memory' until the end: engines on it may outlive their slot. */
static int
add_memory(struct nsp_chaos *chaos, struct nsp_memory **ret)
{
    const struct nsp_memory_config cfg = { .frames = 16, .frame_bytes = 128 };
    struct nsp_chaos_memory *kept;
    int r;

    *ret = NULL;
    if (chaos->cfg->live)
        return NSP_OK;
    kept = calloc(1, sizeof *kept);
    if (!kept)
        return NSP_NO_MEMORY;
    r = nsp_memory_create(&cfg, &kept->memory);
    if (r < 0) {
        free(kept);
        return r;
    }

    pthread_mutex_lock(&chaos->memories_lock);
    kept->next = chaos->memories;
    chaos->memories = kept;
    pthread_mutex_unlock(&chaos->memories_lock);
    *ret = kept->memory;
    return NSP_OK;
}

static void
free_memories(struct nsp_chaos *chaos)
{
    while (chaos->memories) {
        struct nsp_chaos_memory *kept = chaos->memories;

        chaos->memories = kept->next;
        nsp_memory_destroy(kept->memory);
        free(kept);
    }
}

int
nsp_chaos_create_engine(struct nsp_chaos *chaos, struct nsp_memory *memory,
                        struct nsp_engine **ret)
{
    const struct nsp_rule rule = { .match = "udp",
                                   .link.rate_bitps = 1000000000,
                                   .effects.delay.mean_ns = 10000,
                                   .effects.loss.chance.ppm = 1000 };
    const struct nsp_engine_config cfg = {
        .backend = chaos->cfg->live ? "nfqueue" : "memory",
        .memory = memory,
        .hooks = chaos->cfg->live ? NSP_HOOK_FORWARD : 0,
        .max_held_pkts = 64,
        .max_flows = 64,
        .seed = chaos->cfg->seed,
        .policy = { .rules = &rule, .rule_count = 1 },
        .policy_may_change = true,
        .allocator = nsp_stress_allocator(&chaos->report->heap),
    };

    return nsp_engine_create(&cfg, ret, NULL);
}

int
nsp_chaos_fill_slot(struct nsp_chaos *chaos, struct nsp_chaos_slot *slot)
{
    struct nsp_memory_frame frame = { .data = nsp_stress_packet,
                                      .bytes = NSP_STRESS_PACKET_BYTES,
                                      .direction = NSP_INBOUND };
    struct nsp_memory *memory;
    int r;

    r = add_memory(chaos, &memory);
    if (r < 0)
        return r;
    if (memory && nsp_memory_push_burst(memory, 0, &frame, 1) != 1)
        return NSP_NO_MEMORY;
    return nsp_chaos_create_engine(chaos, memory, &slot->engine);
}

struct nsp_engine *
nsp_chaos_borrow(struct nsp_chaos_slot *slot)
{
    struct nsp_engine *engine;

    pthread_mutex_lock(&slot->lock);
    engine = nsp_engine_ref(slot->engine);
    pthread_mutex_unlock(&slot->lock);
    return engine;
}

/* --- Threads ------------------------------------------------------------- */

uint64_t
nsp_chaos_random(struct nsp_chaos_worker *worker)
{
    /* splitmix64, Steele, Lea and Flood 2014. */
    uint64_t z = worker->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void *
run_worker(void *opaque)
{
    struct nsp_chaos_worker *worker = opaque;
    struct nsp_chaos *chaos = worker->chaos;

    for (uint64_t i = 0; i < chaos->cfg->ops && !nsp_interrupted(); i++) {
        worker->slot =
            &chaos->slots[nsp_chaos_random(worker) % chaos->slot_count];
        nsp_chaos_do_operation(worker);
        atomic_fetch_add(&chaos->report->operations, 1);
    }
    atomic_fetch_add(&chaos->finished, 1);
    return NULL;
}

/* Ends the runs that no worker has ended, so that each of them gets on. */
static void
stop_all(struct nsp_chaos *chaos)
{
    for (uint32_t i = 0; i < chaos->slot_count; i++) {
        struct nsp_engine *engine = nsp_chaos_borrow(&chaos->slots[i]);

        nsp_chaos_check(chaos, NSP_STRESS_STOP, "stop by the watchman",
                        nsp_engine_stop(engine),
                        NSP_CHAOS_ALLOW(NSP_OK) |
                            NSP_CHAOS_ALLOW(NSP_INVALID_STATE) |
                            NSP_CHAOS_ALLOW(NSP_DISPOSED));
        nsp_engine_unref(engine);
    }
}

/* A deadlock cannot be joined: what is known is printed and the process ends.
 */
static _Noreturn void
give_up(struct nsp_chaos *chaos)
{
    nsp_stress_progress_end();
    nsp_stress_fail(chaos->report, NSP_STRESS_STUCK,
                    "no operation ended for %u s",
                    (unsigned)(STUCK_NS / 1000000000));
    nsp_stress_print(chaos->cfg->cli, chaos->report);
    fflush(stdout);
    _exit(NSP_EXIT_FAILED);
}

static void
watch_workers(struct nsp_chaos *chaos, uint32_t started)
{
    const struct timespec tick = { .tv_nsec = TICK_NS };
    const uint64_t all = started * chaos->cfg->ops;
    uint64_t seen = 0, seen_ns = nsp_cli_now_ns();

    while (atomic_load(&chaos->finished) < started) {
        uint64_t done = atomic_load(&chaos->report->operations);
        uint64_t now = nsp_cli_now_ns();

        if (done != seen) {
            seen = done;
            seen_ns = now;
            nsp_stress_progress(done, all);
        } else if (now - seen_ns > STUCK_NS) {
            give_up(chaos);
        }
        stop_all(chaos);
        nanosleep(&tick, NULL);
    }
    nsp_stress_progress_end();
}

static int
run_workers(struct nsp_chaos *chaos)
{
    uint32_t started = 0;
    int r = 0;

    while (r == 0 && started < chaos->cfg->workers) {
        struct nsp_chaos_worker *worker = &chaos->workers[started];

        worker->chaos = chaos;
        worker->random = chaos->cfg->seed * 1000003 + started;
        r = add_memory(chaos, &worker->memory);
        if (r == 0)
            r = nsp_cli_thread_create(&worker->thread, run_worker, worker);
        started += r == 0;
    }
    watch_workers(chaos, started);
    for (uint32_t i = 0; i < started; i++)
        pthread_join(chaos->workers[i].thread, NULL);
    return r < 0 ? NSP_NO_MEMORY : NSP_OK;
}

/* --- The mode ------------------------------------------------------------ */

static int
set_up(struct nsp_chaos *chaos)
{
    uint32_t wanted =
        (chaos->cfg->workers + WORKERS_PER_SLOT - 1) / WORKERS_PER_SLOT;
    int r = NSP_OK;

    chaos->workers = calloc(chaos->cfg->workers, sizeof *chaos->workers);
    chaos->slots = calloc(wanted, sizeof *chaos->slots);
    if (!chaos->workers || !chaos->slots)
        return NSP_NO_MEMORY;
    while (r == NSP_OK && chaos->slot_count < wanted) {
        struct nsp_chaos_slot *slot = &chaos->slots[chaos->slot_count++];

        pthread_mutex_init(&slot->lock, NULL);
        r = nsp_chaos_fill_slot(chaos, slot);
    }
    return r;
}

static void
tear_down(struct nsp_chaos *chaos)
{
    for (uint32_t i = 0; i < chaos->slot_count; i++) {
        nsp_engine_destroy(chaos->slots[i].engine);
        pthread_mutex_destroy(&chaos->slots[i].lock);
    }
    free_memories(chaos);
    free(chaos->slots);
    free(chaos->workers);
    pthread_mutex_destroy(&chaos->memories_lock);
}

int
nsp_stress_chaos(const struct nsp_stress_config *cfg,
                 struct nsp_stress_report *report, struct nsp_diag *reterr)
{
    struct nsp_chaos chaos = { .cfg = cfg, .report = report };
    uint64_t began_ns;
    int r;

    (void)reterr; /* Only memory can be short, and needs no words. */
    report->asked = cfg->workers * cfg->ops;
    report->asked_unit = "operations";
    pthread_mutex_init(&chaos.memories_lock, NULL);
    nsp_stress_read_before(&report->before);
    r = set_up(&chaos);
    if (r == NSP_OK) {
        began_ns = nsp_cli_now_ns();
        r = run_workers(&chaos);
        report->seconds = (double)(nsp_cli_now_ns() - began_ns) / 1e9;
    }
    report->interrupted = atomic_load(&report->operations) < report->asked;
    tear_down(&chaos);
    nsp_stress_settle(&report->before, &report->after);
    return r;
}
