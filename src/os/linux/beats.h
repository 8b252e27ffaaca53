#ifndef NSP_OS_LINUX_BEATS_H
#define NSP_OS_LINUX_BEATS_H
#include <stdatomic.h>

#include "base/base.h"
#include "netshaper/env.h"
#include "netshaper/io.h"
#include "os/linux/bpf_program.h"
#include "os/linux/robust_word.h"

/* Signs of life, by which eBPF programs tell a process that works from one that
 * hangs, or is dead.
 *
 * Problem    Packets must not wait for a worker that was stopped, nor pass by
 *            one that merely waits for a processor; and a worker without work
 *            should not have to wake.
 * Idea       A worker that runs says at each burst until when it is alive. One
 *            that sleeps says so, and the program that sends it a packet sets
 *            the time by which it must have woken. How long that is, its past
 *            wake-ups tell: eight times the longest of late, 10 ms at least.
 * Death      A robust futex among the words tells of it at once, and not only
 *            the files that the kernel closes in the end.
 * Limits     hang_ms bounds either. Where a program does not know which worker
 *            a packet goes to, or lets packets pass by these signs without
 *            waking anybody, workers must not sleep, but wake now and then to
 *            say that they are alive.
 * Threads    Each queue's words are its worker's; late from any. */

/* 'until_ns' of a worker that sleeps until a packet comes: the program that
 * sends it one sets a time by which it must have woken. */
#define NSP_BEATS_ASLEEP UINT64_C(0)

struct nsp_beat {
    _Atomic uint64_t until_ns; /* CLOCK_MONOTONIC. */
    _Atomic uint64_t wake_ns;  /* That a sleeping worker has to wake in. */
    uint8_t padding[NSP_CACHE_LINE - 2 * sizeof(uint64_t)];
};

/* Shared by the programs and the process. */
struct nsp_beats_shared {
    struct nsp_beat beats[NSP_IO_QUEUES_MAX];
    _Atomic uint64_t late_pkts; /* Met nobody alive. */
    _Atomic uint32_t owner;     /* NSP_ROBUST_WORD_DEAD: nobody lives,
                                 * NSP_ROBUST_WORD_CLOSED: by intent. */
};

struct nsp_beats {
    struct nsp_beats_shared *shared; /* NULL until open. */
    int map_fd;                      /* For programs; -1 when closed. */
    struct nsp_robust_word robust;   /* shared->owner. */
    uint64_t hang_ns;
    /* When each queue's time to wake was shortened last. */
    uint64_t decayed_ns[NSP_IO_QUEUES_MAX];
};

/* The programs take every worker for alive for the first two seconds. Returns 0
 * or a negative errno; either way the beats may be closed. */
int nsp_beats_open(struct nsp_beats *beats, uint32_t queues,
                   uint32_t hang_ms) NSP_MUSTCHECK;
void nsp_beats_close(struct nsp_beats *beats);

void nsp_beats_alive(struct nsp_beats *beats, uint32_t queue);

/* Has a worker wait, in sleeps by 'sleep', which returns 1 when something has
 * come, 0 when the time is over, or a negative errno. Where 'sound', packets
 * wake it: it sleeps as long as it likes, and the program that sends it one
 * starts its time. Else it gives signs of life between short sleeps. Returns 0
 * or a negative errno. */
typedef int nsp_beats_sleep_fn(void *context, uint64_t timeout_ns);
int nsp_beats_wait(struct nsp_beats *beats, uint32_t queue, uint64_t timeout_ns,
                   bool sound, nsp_beats_sleep_fn *sleep, void *context);

/* Writes a test that goes on unless the process is dead, or has closed the
 * beats, else to 'dead': with the shared words in R8. Changes R1. */
void nsp_beats_put_death_test(struct nsp_bpf_program *p, uint32_t dead);

/* Writes a test that goes on unless the beats were closed, which a process that
 * was killed does not do, else to 'ended': with the shared words in R8. Changes
 * R1. */
void nsp_beats_put_end_test(struct nsp_bpf_program *p, uint32_t ended);

/* Writes a test that goes on while a worker is alive, else to 'late': with the
 * time (bpf_ktime_get_ns) in R0, the shared words in R8, the worker's
 * 'beat_off' behind them. Changes R1. */
void nsp_beats_put_test(struct nsp_bpf_program *p, int32_t beat_off,
                        uint32_t late);

/* Writes a test that goes on while the process and all its workers are alive,
 * else to 'late': with the shared words, those of map 'map_fd', in R8 either
 * way. Changes R0 to R5. */
void nsp_beats_put_all_test(struct nsp_bpf_program *p, int map_fd,
                            uint32_t queues, uint32_t late);

/* Counts a packet that met nobody alive, with the shared words in R8. Changes
 * R1. */
void nsp_beats_put_late(struct nsp_bpf_program *p);

/* Tells whether the process is alive whose beats program 'id' asks for. */
bool nsp_beats_program_lives(uint32_t id);

/* Packets that met nobody alive were dropped where the device fails closed, and
 * passed by elsewhere. Add them to 'stats'; tell 'log' of those of 'device', if
 * there were some. The beats may be closed: then there were none. */
void nsp_beats_count_late(const struct nsp_beats *beats, bool fail_closed,
                          struct nsp_io_stats *stats);
void nsp_beats_log_late(const struct nsp_beats *beats, bool fail_closed,
                        const struct nsp_log_sink *log, const char *device);

#endif /* NSP_OS_LINUX_BEATS_H */
