#define _GNU_SOURCE
#include "io/tap/tap_beats.h"

#include <string.h>
#include <unistd.h>

#include "os/linux/bpf_call.h"
#include "os/os.h"

#define NS_PER_MS UINT64_C(1000000)

/* From opening to the first burst. */
#define START_NS (2 * NSP_NS_PER_SECOND)

#define WAKE_NS_MIN   (10 * NS_PER_MS)
#define WAKE_NS_START (40 * NS_PER_MS)
#define WAKE_FACTOR   8u

/* A long wake-up counts half as much after this time. */
#define HALF_LIFE_NS (250 * NS_PER_MS)

static void
say(struct nsp_tap_beats *beats, uint32_t queue, uint64_t until_ns)
{
    /* Seen by a program before the packets that it diverts are looked for. */
    atomic_store_explicit(&beats->shared->beats[queue].until_ns, until_ns,
                          memory_order_seq_cst);
}

int
nsp_tap_beats_open(struct nsp_tap_beats *beats, uint32_t queues,
                   uint32_t hang_ms)
{
    uint64_t now_ns = nsp_os_monotonic_ns(NULL);
    void *shared;
    int err;

    *beats = (struct nsp_tap_beats){
        .map_fd = -1,
        .hang_ns = hang_ms * NS_PER_MS,
        .decayed_ns = now_ns,
    };
    err = nsp_bpf_array_create("nsp_tap_beats", sizeof *beats->shared, 1, true);
    if (err < 0)
        return err;
    beats->map_fd = err;
    err = nsp_bpf_array_share(beats->map_fd, sizeof *beats->shared, &shared);
    if (err < 0)
        return err;
    beats->shared = shared;
    for (uint32_t q = 0; q < queues; q++)
        say(beats, q, now_ns + START_NS);
    atomic_store_explicit(&beats->shared->wake_ns,
                          nsp_min_u64(WAKE_NS_START, beats->hang_ns),
                          memory_order_relaxed);
    return 0;
}

void
nsp_tap_beats_close(struct nsp_tap_beats *beats)
{
    if (beats->shared)
        nsp_bpf_array_unshare(beats->shared, sizeof *beats->shared);
    if (beats->map_fd >= 0)
        close(beats->map_fd);
    beats->shared = NULL;
    beats->map_fd = -1;
}

void
nsp_tap_beats_alive(struct nsp_tap_beats *beats, uint32_t queue)
{
    say(beats, queue, nsp_os_monotonic_ns(NULL) + beats->hang_ns);
}

void
nsp_tap_beats_sleep(struct nsp_tap_beats *beats)
{
    say(beats, 0, NSP_TAP_ASLEEP);
}

/* The time to wake in, after it took 'latency_ns' at 'now_ns'. */
static uint64_t
adapt(struct nsp_tap_beats *beats, uint64_t wake_ns, uint64_t latency_ns,
      uint64_t now_ns)
{
    uint64_t halves = (now_ns - beats->decayed_ns) / HALF_LIFE_NS;
    uint64_t wanted_ns = nsp_min_u64(WAKE_FACTOR * latency_ns, beats->hang_ns);

    if (halves > 0) {
        wake_ns = halves < 64 ? wake_ns >> halves : 0;
        beats->decayed_ns += halves * HALF_LIFE_NS;
    }
    if (wake_ns < wanted_ns) {
        wake_ns = wanted_ns;
        beats->decayed_ns = now_ns;
    }
    return wake_ns < WAKE_NS_MIN ? WAKE_NS_MIN : wake_ns;
}

void
nsp_tap_beats_woken(struct nsp_tap_beats *beats)
{
    _Atomic uint64_t *word = &beats->shared->beats[0].until_ns;
    uint64_t wake_ns =
        atomic_load_explicit(&beats->shared->wake_ns, memory_order_relaxed);
    uint64_t until_ns = atomic_load_explicit(word, memory_order_relaxed);
    uint64_t now_ns = nsp_os_monotonic_ns(NULL);
    uint64_t latency_ns = 0;

    /* A program has set it, 'wake_ns' after the packet that it sent us. */
    if (until_ns != NSP_TAP_ASLEEP && now_ns + wake_ns > until_ns)
        latency_ns = now_ns + wake_ns - until_ns;
    say(beats, 0, now_ns + beats->hang_ns);
    atomic_store_explicit(&beats->shared->wake_ns,
                          adapt(beats, wake_ns, latency_ns, now_ns),
                          memory_order_relaxed);
}

uint64_t
nsp_tap_beats_late_pkts(const struct nsp_tap_beats *beats)
{
    return atomic_load_explicit(&beats->shared->late_pkts,
                                memory_order_relaxed);
}
