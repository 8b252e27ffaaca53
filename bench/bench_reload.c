/* What a change of policy does to packets: a device that always has a burst
 * ready is worked off by one worker while another thread puts policies of
 * 10,000 rules in each other's place: simple ones, and ones in which each rule
 * has a rate of its own, which all change. By turns it leaves the worker alone
 * for as long. For each kind of policy two lines
 *
 *     KIND change  median time of a change, ms; packets; lost; reordered
 *     KIND stolen  ms that the host took, with changes and without
 *
 * and a line for each kind of moment, 32 bursts, of whose longest bursts
 *
 *     KIND WHEN    moments; median, 99th percentile and worst of what the
 *                  engine took; worst of what passed; and the worst that it
 *                  takes in as many moments as there are changes, us
 *
 * WHEN is the 'start', when memory is touched first; 'after' a change, when
 * each of 1024 flows meets a policy for the first time; 'with' for all other
 * moments while policies are made and changed; and 'without'. The engine took
 * what the system charged the worker's thread with, or all that passed if the
 * thread slept: neither what other threads got nor what the host is known to
 * have taken, but interrupts that came meanwhile. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "base/prng.h"
#include "netshaper/engine.h"

#define RULES       10000u
#define ROUNDS      4
#define CHANGES     5 /* In a round. */
#define FLOWS       1024u
#define FRAME_BYTES 64u

/* Per cent of moments above the worst of as many as there are changes, as
 * often as not: 1 - 0.5^(1/20). */
#define ABOVE_WORST 3

#define MOMENT_BURSTS 32u
#define BUCKET_NS     100u
#define BUCKETS       20000u
#define TEXT_BYTES    96

/* --- Moments -------------------------------------------------------------- */

enum when { START, AFTER, WITH, WITHOUT, WHENS };

static const char *const when_names[] = { "start", "after", "with", "without" };

/* What a worker's thread has had so far. */
struct instant {
    uint64_t now_ns, charged_ns;
    long sleeps;
};

/* From a burst to the next. */
struct gap {
    uint64_t took_ns, passed_ns;
};

struct moment {
    enum when when;
    uint32_t left; /* Bursts to come. */
    struct gap longest;
};

struct moments {
    uint32_t count, buckets[BUCKETS]; /* By what the longest took. */
    struct gap worst;
};

struct nsp_io {
    uint8_t frames[FLOWS][FRAME_BYTES];
    struct nsp_pkt pkts[FLOWS];
    uint64_t sent, back, lost, reordered;
    uint8_t mark; /* Of the policy in force, as packets bear it; 0: none yet. */
    struct moment moment;
    struct moments moments[WHENS];
    struct instant now;
    struct gap gap; /* The last. */
    _Atomic bool changing, quiesced;
};

static struct nsp_io device;

static void
die(const char *what)
{
    fprintf(stderr, "bench_reload: %s\n", what);
    exit(1);
}

static uint64_t
clock_ns(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * NSP_NS_PER_SECOND + (uint64_t)ts.tv_nsec;
}

static struct instant
read_instant(void)
{
    struct rusage usage;

    getrusage(RUSAGE_THREAD, &usage);
    return (struct instant){ .now_ns = clock_ns(CLOCK_MONOTONIC),
                             .charged_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID),
                             .sleeps = usage.ru_nvcsw };
}

static void
note_longest(struct moment *moment, const struct gap *gap)
{
    moment->longest.took_ns =
        nsp_max_u64(moment->longest.took_ns, gap->took_ns);
    moment->longest.passed_ns =
        nsp_max_u64(moment->longest.passed_ns, gap->passed_ns);
}

static void
begin_moment(struct nsp_io *io, enum when when)
{
    io->moment = (struct moment){ .when = when, .left = MOMENT_BURSTS };
}

static void
end_moment(struct nsp_io *io)
{
    const struct gap *longest = &io->moment.longest;
    struct moments *all = &io->moments[io->moment.when];
    uint64_t bucket = longest->took_ns / BUCKET_NS;

    all->count++;
    all->buckets[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    all->worst.took_ns = nsp_max_u64(all->worst.took_ns, longest->took_ns);
    all->worst.passed_ns =
        nsp_max_u64(all->worst.passed_ns, longest->passed_ns);
}

static void
note_burst(struct nsp_io *io)
{
    struct instant before = io->now;

    io->now = read_instant();
    if (before.now_ns == 0) {
        begin_moment(io, START);
        return;
    }
    io->gap.passed_ns = io->now.now_ns - before.now_ns;
    io->gap.took_ns = io->now.sleeps != before.sleeps
                          ? io->gap.passed_ns
                          : io->now.charged_ns - before.charged_ns;
    note_longest(&io->moment, &io->gap);
    if (--io->moment.left == 0) {
        end_moment(io);
        begin_moment(io, atomic_load(&io->changing) ? WITH : WITHOUT);
    }
}

/* Packets bear the mark of another policy now. The worker took it up in the
 * time from the burst before to this one. */
static void
note_mark(struct nsp_io *io, uint8_t mark)
{
    if (io->mark != 0) {
        end_moment(io);
        begin_moment(io, AFTER);
        note_longest(&io->moment, &io->gap);
    }
    io->mark = mark;
}

/* --- The device ----------------------------------------------------------- */

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
            note_mark(io, mark);
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
make_policy(struct policy *policy, uint8_t dscp, bool rates)
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
        if (rates)
            policy->rules[r].link.rate_bitps = dscp * UINT64_C(1000000);
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

/* What the host took from all processors, in clock ticks. */
static long
read_stolen(void)
{
    FILE *f = fopen("/proc/stat", "r");
    long stolen = 0;

    if (!f)
        return 0;
    if (fscanf(f, "cpu %*d %*d %*d %*d %*d %*d %*d %ld", &stolen) != 1)
        stolen = 0;
    fclose(f);
    return stolen;
}

struct outcome {
    uint64_t change_ns[ROUNDS * CHANGES];
    long stolen_with, stolen_without;
};

static void
change_policies(struct nsp_engine *engine,
                const struct nsp_policy_spec policies[2], int round,
                struct outcome *ret)
{
    for (int i = round * CHANGES; i < (round + 1) * CHANGES; i++) {
        uint64_t since_ns = clock_ns(CLOCK_MONOTONIC);
        struct nsp_diag diag;

        if (nsp_engine_set_policy(engine, &policies[(i + 1) % 2], &diag) !=
            NSP_OK)
            die(diag.text);
        ret->change_ns[i] = clock_ns(CLOCK_MONOTONIC) - since_ns;
    }
}

/* Changes policies for a while, and does not for as long. */
static void
run_round(struct nsp_engine *engine, const struct nsp_policy_spec policies[2],
          int round, struct outcome *ret)
{
    uint64_t began_ns = clock_ns(CLOCK_MONOTONIC), took_ns;
    long stolen = read_stolen();
    struct timespec pause;

    atomic_store(&device.changing, true);
    change_policies(engine, policies, round, ret);
    atomic_store(&device.changing, false);
    ret->stolen_with += read_stolen() - stolen;
    took_ns = clock_ns(CLOCK_MONOTONIC) - began_ns;
    pause = (struct timespec){
        .tv_sec = (time_t)(took_ns / NSP_NS_PER_SECOND),
        .tv_nsec = (long)(took_ns % NSP_NS_PER_SECOND),
    };
    stolen = read_stolen();
    nanosleep(&pause, NULL);
    ret->stolen_without += read_stolen() - stolen;
}

static void
run_rounds(const struct nsp_policy_spec policies[2], struct outcome *ret)
{
    const struct nsp_engine_config cfg = {
        .backend = "custom",
        .custom.ops = &device_ops,
        .policy = policies[0],
        .policy_may_change = true,
    };
    struct nsp_engine *engine;
    pthread_t worker;
    struct nsp_diag diag;

    if (nsp_engine_create(&cfg, &engine, &diag) != NSP_OK ||
        nsp_engine_start(engine, "true", &diag) != NSP_OK)
        die(diag.text);
    if (pthread_create(&worker, NULL, run_engine, engine) != 0)
        die("no thread");
    for (int round = 0; round < ROUNDS; round++)
        run_round(engine, policies, round, ret);
    if (nsp_engine_stop(engine) != NSP_OK)
        die("the engine does not stop");
    pthread_join(worker, NULL);
    nsp_engine_destroy(engine);
}

/* --- Telling -------------------------------------------------------------- */

/* What the longest burst took of all but 'above' per cent of the moments, us.
 */
static double
percentile_us(const struct moments *moments, uint32_t above)
{
    uint64_t most = (uint64_t)moments->count * above / 100;
    uint32_t bucket = BUCKETS - 1;

    for (uint64_t beyond = 0; bucket > 0; bucket--) {
        beyond += moments->buckets[bucket];
        if (beyond > most)
            break;
    }
    return (bucket + 0.5) * BUCKET_NS / 1e3;
}

static void
tell(const char *kind, struct outcome *outcome)
{
    double tick_ms = 1e3 / (double)sysconf(_SC_CLK_TCK);

    qsort(outcome->change_ns, ROUNDS * CHANGES, sizeof outcome->change_ns[0],
          compare);
    printf("%s change %.1f %llu %llu %llu\n", kind,
           (double)outcome->change_ns[ROUNDS * CHANGES / 2] / 1e6,
           (unsigned long long)device.sent,
           (unsigned long long)(device.sent - device.back),
           (unsigned long long)device.reordered);
    printf("%s stolen %.0f %.0f\n", kind,
           (double)outcome->stolen_with * tick_ms,
           (double)outcome->stolen_without * tick_ms);
    for (int w = 0; w < WHENS; w++) {
        const struct moments *moments = &device.moments[w];

        printf("%s %s %u %.1f %.1f %.1f %.1f %.1f\n", kind, when_names[w],
               moments->count, percentile_us(moments, 50),
               percentile_us(moments, 1), (double)moments->worst.took_ns / 1e3,
               (double)moments->worst.passed_ns / 1e3,
               percentile_us(moments, ABOVE_WORST));
    }
    fflush(stdout);
}

int
main(void)
{
    static const char *const kinds[] = { "plain", "rates" };
    static struct policy rules[2];
    bool ok = true;

    for (int k = 0; k < 2; k++) {
        const struct nsp_policy_spec policies[] = {
            make_policy(&rules[0], 1, k == 1),
            make_policy(&rules[1], 2, k == 1),
        };
        struct outcome outcome = { .stolen_with = 0 };

        memset(&device, 0, sizeof device);
        make_frames();
        run_rounds(policies, &outcome);
        tell(kinds[k], &outcome);
        ok &= device.sent == device.back && device.reordered == 0;
    }
    return ok ? 0 : 1;
}
