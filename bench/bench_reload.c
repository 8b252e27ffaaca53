/* What a change of policy does to packets: a device that always has a burst
 * ready is worked off by one worker while another thread puts policies of
 * 10,000 rules in each other's place, in lines of "name value unit":
 *
 *     packets, lost, reordered   while policies changed
 *     stall                      the longest time from a burst to the next, of
 *                                the first 32 under a new policy, in which each
 *                                of 1024 flows meets it: median of all changes
 *     stall-worst                of all changes
 *     stall-idle                 the same at other moments, for comparison
 *     set-policy                 the median time that a change took
 *
 * Bursts in which the system gave the processor to another thread, as its count
 * of the worker's involuntary switches tells, are left out: that is not of the
 * engine's making. What a host takes from a virtual machine cannot be told. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/base.h"
#include "base/prng.h"
#include "netshaper/engine.h"

#define RULES       10000u
#define CHANGES     20
#define FLOWS       1024u
#define FRAME_BYTES 64u
#define IDLE_PKTS   (UINT64_C(64) << 10) /* Between other moments. */

#define MOMENTS_MAX   4096u
#define MOMENT_BURSTS 32u
#define TEXT_BYTES    96

/* --- The device ----------------------------------------------------------- */

/* The longest bursts of some moments. */
struct moments {
    uint64_t longest_ns[MOMENTS_MAX];
    uint32_t count;
};

struct nsp_io {
    uint8_t frames[FLOWS][FRAME_BYTES];
    struct nsp_pkt pkts[FLOWS];
    uint64_t sent, back, lost, reordered;
    uint8_t mark;  /* Of the policy in force, as packets bear it. */
    uint32_t left; /* Bursts of the present moment to come. */
    uint64_t longest_ns;
    bool of_change; /* It follows a change. */
    struct moments changes, idle;
    uint64_t last_ns;
    long last_switches;
    _Atomic bool quiesced;
};

static struct nsp_io device;

static void
die(const char *what)
{
    fprintf(stderr, "bench_reload: %s\n", what);
    exit(1);
}

static uint64_t
clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NSP_NS_PER_SECOND + (uint64_t)ts.tv_nsec;
}

static long
count_switches(void)
{
    struct rusage usage;

    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nivcsw;
}

static void
begin_moment(struct nsp_io *io, bool of_change)
{
    io->left = MOMENT_BURSTS;
    io->longest_ns = 0;
    io->of_change = of_change;
}

static void
note_burst(struct nsp_io *io)
{
    struct moments *moments = io->of_change ? &io->changes : &io->idle;
    uint64_t now_ns = clock_ns();
    bool preempted = count_switches() != io->last_switches;

    if (io->left == 0 && io->sent % IDLE_PKTS == 0)
        begin_moment(io, false);
    else if (io->left > 0) {
        if (!preempted)
            io->longest_ns = nsp_max_u64(io->longest_ns, now_ns - io->last_ns);
        if (--io->left == 0 && moments->count < MOMENTS_MAX)
            moments->longest_ns[moments->count++] = io->longest_ns;
    }
    io->last_switches = count_switches();
    io->last_ns = clock_ns();
}

static int
device_open(const struct nsp_io_config *cfg, struct nsp_io **ret,
            struct nsp_diag *reterr)
{
    (void)cfg;
    (void)reterr;
    *ret = &device;
    return NSP_OK;
}

static void
device_close(struct nsp_io *io)
{
    (void)io;
}

static uint32_t
device_rx_burst(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
                struct nsp_pkt *ret_pkts[], uint32_t max)
{
    (void)queue;
    note_burst(io);
    if (atomic_load(&io->quiesced))
        return 0;
    for (uint32_t i = 0; i < max; i++) {
        uint32_t flow = (uint32_t)(io->sent % FLOWS);

        io->pkts[flow] = (struct nsp_pkt){
            .data = io->frames[flow],
            .cap_bytes = FRAME_BYTES,
            .wire_bytes = FRAME_BYTES,
            .link = NSP_LINK_RAW,
            .arrival_ns = now_ns,
            .device_ref = io->sent++,
        };
        ret_pkts[i] = &io->pkts[flow];
    }
    return max;
}

static uint32_t
device_tx_burst(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
                struct nsp_pkt *const pkts[], uint32_t n, bool ret_refused[])
{
    (void)queue;
    (void)now_ns;
    for (uint32_t i = 0; i < n; i++) {
        uint8_t mark = pkts[i]->data[1];

        if (mark != io->mark)
            begin_moment(io, true);
        io->mark = mark;
        ret_refused[i] = false;
        io->reordered += pkts[i]->device_ref != io->back + io->lost;
        io->back++;
    }
    return 0;
}

static void
device_drop_burst(struct nsp_io *io, uint32_t queue,
                  struct nsp_pkt *const pkts[], uint32_t n)
{
    (void)queue;
    (void)pkts;
    io->lost += n;
}

static int
device_wait(struct nsp_io *io, uint32_t queue, uint64_t timeout_ns)
{
    (void)io;
    (void)queue;
    (void)timeout_ns;
    return 0;
}

static void
device_wake(struct nsp_io *io)
{
    (void)io;
}

static void
device_quiesce(struct nsp_io *io)
{
    atomic_store(&io->quiesced, true);
}

static void
device_read_stats(struct nsp_io *io, struct nsp_io_stats *ret)
{
    (void)io;
    *ret = (struct nsp_io_stats){ 0 };
}

static int
device_status(struct nsp_io *io, char *ret, uint32_t ret_bytes)
{
    (void)io;
    (void)ret;
    (void)ret_bytes;
    return 0;
}

static const struct nsp_io_ops device_ops = {
    .name = "endless",
    .caps = NSP_IO_CAN_MODIFY,
    .open = device_open,
    .close = device_close,
    .rx_burst = device_rx_burst,
    .tx_burst = device_tx_burst,
    .drop_burst = device_drop_burst,
    .wait = device_wait,
    .wake = device_wake,
    .quiesce = device_quiesce,
    .read_stats = device_read_stats,
    .status = device_status,
};

static void
make_frames(void)
{
    static const uint8_t head[28] = { 0x45, 0,  0,  FRAME_BYTES, 0,  0,  0,
                                      0,    64, 17, 0,           0,  10, 0,
                                      0,    1,  10, 1,           0,  0,  16,
                                      0,    0,  53, 0,           44, 0,  0 };

    for (uint32_t i = 0; i < FLOWS; i++) {
        memcpy(device.frames[i], head, sizeof head);
        nsp_store_be16(device.frames[i] + 18, (uint16_t)i);
    }
}

/* --- Policies ------------------------------------------------------------- */

struct policy {
    struct nsp_rule rules[RULES];
    char texts[RULES][TEXT_BYTES];
};

/* The first rule marks all packets with 'dscp'; the others ask for prefixes and
 * ports, of which few are the packets'. */
static struct nsp_policy_spec
make_policy(struct policy *policy, uint8_t dscp)
{
    struct nsp_prng random;

    nsp_prng_init(&random, dscp, 0);
    policy->rules[0] = (struct nsp_rule){
        .edits = { .which = NSP_EDIT_DSCP, .dscp = dscp },
        .go_on = true,
    };
    for (uint32_t r = 1; r < RULES; r++) {
        uint64_t x = nsp_prng_next(&random);

        snprintf(policy->texts[r], TEXT_BYTES,
                 "ip.DstAddr == 10.%u.%u.0/%u and udp.DstPort == %u",
                 (unsigned)(x & 255), (unsigned)(x >> 8 & 255),
                 (unsigned)(16 + (x >> 16) % 17), (unsigned)(x >> 24 & 65535));
        policy->rules[r] = (struct nsp_rule){ .match = policy->texts[r] };
    }
    return (struct nsp_policy_spec){ .rules = policy->rules,
                                     .rule_count = RULES };
}

/* --- Measuring ------------------------------------------------------------ */

static void *
run_engine(void *engine)
{
    if (nsp_engine_run(engine) < 0)
        die("the engine has failed");
    return NULL;
}

static int
compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static uint64_t
change_policies(struct nsp_engine *engine,
                const struct nsp_policy_spec policies[2])
{
    uint64_t times[CHANGES];

    for (int i = 0; i < CHANGES; i++) {
        uint64_t since_ns = clock_ns();
        struct nsp_diag diag;

        if (nsp_engine_set_policy(engine, &policies[(i + 1) % 2], &diag) !=
            NSP_OK)
            die(diag.text);
        times[i] = clock_ns() - since_ns;
    }
    qsort(times, CHANGES, sizeof times[0], compare);
    return times[CHANGES / 2];
}

/* The longest burst of the median moment, or of the worst, in us. */
static double
longest_us(struct moments *moments, bool worst)
{
    if (moments->count == 0)
        die("nothing was measured");
    qsort(moments->longest_ns, moments->count, sizeof moments->longest_ns[0],
          compare);
    return (double)moments
               ->longest_ns[worst ? moments->count - 1 : moments->count / 2] /
           1e3;
}

int
main(void)
{
    static struct policy rules[2];
    const struct nsp_policy_spec policies[] = { make_policy(&rules[0], 1),
                                                make_policy(&rules[1], 2) };
    const struct nsp_engine_config cfg = {
        .backend = "custom",
        .custom.ops = &device_ops,
        .policy = policies[0],
        .policy_may_change = true,
    };
    struct nsp_engine *engine;
    uint64_t change_ns;
    pthread_t worker;
    struct nsp_diag diag;

    make_frames();
    if (nsp_engine_create(&cfg, &engine, &diag) != NSP_OK ||
        nsp_engine_start(engine, "true", &diag) != NSP_OK)
        die(diag.text);
    if (pthread_create(&worker, NULL, run_engine, engine) != 0)
        die("no thread");
    change_ns = change_policies(engine, policies);
    if (nsp_engine_stop(engine) != NSP_OK)
        die("the engine does not stop");
    pthread_join(worker, NULL);
    nsp_engine_destroy(engine);
    printf("packets %llu\nlost %llu\nreordered %llu\n",
           (unsigned long long)device.sent,
           (unsigned long long)(device.sent - device.back),
           (unsigned long long)device.reordered);
    printf("stall %.1f us\nstall-worst %.1f us\nstall-idle %.1f us\n",
           longest_us(&device.changes, false),
           longest_us(&device.changes, true), longest_us(&device.idle, false));
    printf("set-policy %.1f ms\n", (double)change_ns / 1e6);
    return device.sent == device.back && device.reordered == 0 ? 0 : 1;
}
