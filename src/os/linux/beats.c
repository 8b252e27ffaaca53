#define _GNU_SOURCE
#include "os/linux/beats.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "os/linux/bpf_call.h"
#include "os/os.h"

#define MAP_NAME  "nsp_beats"
#define NS_PER_MS UINT64_C(1000000)

/* From opening to the first burst. */
#define START_NS (2 * NSP_NS_PER_SECOND)

#define WAKE_NS_MIN   (10 * NS_PER_MS)
#define WAKE_NS_START (40 * NS_PER_MS)
#define WAKE_FACTOR   8u

/* A long wake-up counts half as much after this time. */
#define HALF_LIFE_NS (250 * NS_PER_MS)

static void
say(struct nsp_beats *beats, uint32_t queue, uint64_t until_ns)
{
    /* Seen by a program before the packets that it diverts are looked for. */
    atomic_store_explicit(&beats->shared->beats[queue].until_ns, until_ns,
                          memory_order_seq_cst);
}

int
nsp_beats_open(struct nsp_beats *beats, uint32_t queues, uint32_t hang_ms)
{
    uint64_t now_ns = nsp_os_monotonic_ns(NULL);
    void *shared;
    int err;

    *beats = (struct nsp_beats){
        .map_fd = -1,
        .hang_ns = hang_ms * NS_PER_MS,
    };
    err = nsp_bpf_array_create(MAP_NAME, sizeof *beats->shared, 1, true);
    if (err < 0)
        return err;
    beats->map_fd = err;
    err = nsp_bpf_array_share(beats->map_fd, sizeof *beats->shared, &shared);
    if (err < 0)
        return err;
    beats->shared = shared;
    for (uint32_t q = 0; q < queues; q++) {
        beats->decayed_ns[q] = now_ns;
        atomic_store_explicit(&beats->shared->beats[q].wake_ns,
                              nsp_min_u64(WAKE_NS_START, beats->hang_ns),
                              memory_order_relaxed);
        say(beats, q, now_ns + START_NS);
    }
    return nsp_robust_word_open(&beats->robust, &beats->shared->owner);
}

void
nsp_beats_close(struct nsp_beats *beats)
{
    nsp_robust_word_close(&beats->robust);
    if (beats->shared)
        nsp_bpf_array_unshare(beats->shared, sizeof *beats->shared);
    if (beats->map_fd >= 0)
        close(beats->map_fd);
    beats->shared = NULL;
    beats->map_fd = -1;
}

void
nsp_beats_alive(struct nsp_beats *beats, uint32_t queue)
{
    say(beats, queue, nsp_os_monotonic_ns(NULL) + beats->hang_ns);
}

/* The time to wake in, after it took 'latency_ns' at 'now_ns'. */
static uint64_t
adapt(struct nsp_beats *beats, uint32_t queue, uint64_t wake_ns,
      uint64_t latency_ns, uint64_t now_ns)
{
    uint64_t *decayed_ns = &beats->decayed_ns[queue];
    uint64_t halves = (now_ns - *decayed_ns) / HALF_LIFE_NS;
    uint64_t wanted_ns = nsp_min_u64(WAKE_FACTOR * latency_ns, beats->hang_ns);

    if (halves > 0) {
        wake_ns = halves < 64 ? wake_ns >> halves : 0;
        *decayed_ns += halves * HALF_LIFE_NS;
    }
    if (wake_ns < wanted_ns) {
        wake_ns = wanted_ns;
        *decayed_ns = now_ns;
    }
    return wake_ns < WAKE_NS_MIN ? WAKE_NS_MIN : wake_ns;
}

/* A worker that had said that it sleeps is awake. */
static void
say_woken(struct nsp_beats *beats, uint32_t queue)
{
    struct nsp_beat *beat = &beats->shared->beats[queue];
    uint64_t wake_ns =
        atomic_load_explicit(&beat->wake_ns, memory_order_relaxed);
    uint64_t until_ns =
        atomic_load_explicit(&beat->until_ns, memory_order_relaxed);
    uint64_t now_ns = nsp_os_monotonic_ns(NULL);
    uint64_t latency_ns = 0;

    /* A program has set it, 'wake_ns' after the packet that it sent us. */
    if (until_ns != NSP_BEATS_ASLEEP && now_ns + wake_ns > until_ns)
        latency_ns = now_ns + wake_ns - until_ns;
    say(beats, queue, now_ns + beats->hang_ns);
    atomic_store_explicit(&beat->wake_ns,
                          adapt(beats, queue, wake_ns, latency_ns, now_ns),
                          memory_order_relaxed);
}

int
nsp_beats_wait(struct nsp_beats *beats, uint32_t queue, uint64_t timeout_ns,
               bool sound, nsp_beats_sleep_fn *sleep, void *context)
{
    int result;

    do {
        uint64_t slice_ns =
            sound ? timeout_ns : nsp_min_u64(timeout_ns, beats->hang_ns / 4);

        if (sound)
            say(beats, queue, NSP_BEATS_ASLEEP);
        result = sleep(context, slice_ns);
        if (sound)
            say_woken(beats, queue);
        else
            nsp_beats_alive(beats, queue);
        if (timeout_ns != NSP_TIME_NEVER)
            timeout_ns -= slice_ns;
    } while (result == 0 && timeout_ns > 0);
    return result < 0 ? result : 0;
}

void
nsp_beats_put_death_test(struct nsp_bpf_program *p, uint32_t dead)
{
    nsp_bpf_put(p, BPF_LDX | BPF_MEM | BPF_W, R1, R8,
                offsetof(struct nsp_beats_shared, owner), 0);
    nsp_bpf_jump_if(p, BPF_JEQ, R1, NSP_ROBUST_WORD_CLOSED, dead);
    nsp_bpf_jump_if(p, BPF_JSET, R1, NSP_ROBUST_WORD_DEAD, dead);
}

void
nsp_beats_put_end_test(struct nsp_bpf_program *p, uint32_t ended)
{
    nsp_bpf_put(p, BPF_LDX | BPF_MEM | BPF_W, R1, R8,
                offsetof(struct nsp_beats_shared, owner), 0);
    nsp_bpf_jump_if(p, BPF_JEQ, R1, NSP_ROBUST_WORD_CLOSED, ended);
}

void
nsp_beats_put_test(struct nsp_bpf_program *p, int32_t beat_off, uint32_t late)
{
    enum { WAKING_INSNS = 3 };
    int32_t until_off = beat_off + (int32_t)offsetof(struct nsp_beat, until_ns);
    int32_t wake_off = beat_off + (int32_t)offsetof(struct nsp_beat, wake_ns);

    nsp_bpf_put(p, BPF_LDX | BPF_MEM | BPF_DW, R1, R8, until_off, 0);
    nsp_bpf_put(p, BPF_JMP | BPF_JNE | BPF_K, R1, R0, WAKING_INSNS,
                (int32_t)NSP_BEATS_ASLEEP);
    nsp_bpf_put(p, BPF_LDX | BPF_MEM | BPF_DW, R1, R8, wake_off, 0);
    nsp_bpf_put(p, BPF_ALU64 | BPF_ADD | BPF_X, R1, R0, 0, 0);
    nsp_bpf_put(p, BPF_STX | BPF_MEM | BPF_DW, R8, R1, until_off, 0);
    nsp_bpf_jump_if_reg(p, BPF_JGT, R0, R1, late);
}

void
nsp_beats_put_all_test(struct nsp_bpf_program *p, int map_fd, uint32_t queues,
                       uint32_t late)
{
    nsp_bpf_call(p, BPF_FUNC_ktime_get_ns);
    nsp_bpf_load_map(p, R8, BPF_PSEUDO_MAP_VALUE, map_fd);
    nsp_beats_put_death_test(p, late);
    for (uint32_t q = 0; q < queues; q++)
        nsp_beats_put_test(p, (int32_t)(q * sizeof(struct nsp_beat)), late);
}

void
nsp_beats_put_late(struct nsp_bpf_program *p)
{
    nsp_bpf_set(p, R1, 1);
    nsp_bpf_put(p, BPF_STX | BPF_ATOMIC | BPF_DW, R8, R1,
                offsetof(struct nsp_beats_shared, late_pkts), BPF_ADD);
}

bool
nsp_beats_program_lives(uint32_t id)
{
    struct nsp_beats_shared shared;
    uint32_t owner;

    if (nsp_bpf_program_read_map(id, MAP_NAME, sizeof shared, &shared) < 0)
        return false;
    owner = atomic_load(&shared.owner);
    return owner != NSP_ROBUST_WORD_CLOSED &&
           (owner & NSP_ROBUST_WORD_DEAD) == 0;
}

static uint64_t
read_late(const struct nsp_beats *beats)
{
    if (!beats->shared)
        return 0;
    return atomic_load_explicit(&beats->shared->late_pkts,
                                memory_order_relaxed);
}

void
nsp_beats_count_late(const struct nsp_beats *beats, bool fail_closed,
                     struct nsp_io_stats *stats)
{
    if (fail_closed)
        stats->kernel_dropped_pkts += read_late(beats);
    else
        stats->passed_by_pkts += read_late(beats);
}

void
nsp_beats_log_late(const struct nsp_beats *beats, bool fail_closed,
                   const struct nsp_log_sink *log, const char *device)
{
    uint64_t pkts = read_late(beats);

    if (pkts > 0)
        nsp_log_write(log, NSP_LOG_WARNING,
                      "%s: %" PRIu64 " packets %s because a worker gave no "
                      "sign of life in time",
                      device, pkts, fail_closed ? "were dropped" : "passed by");
}
