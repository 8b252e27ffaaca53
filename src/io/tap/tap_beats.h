#ifndef NSP_IO_TAP_BEATS_H
#define NSP_IO_TAP_BEATS_H
#include "io/tap/tap_program.h"

/* Signs of life, by which the programs tell a process that works from one that
 * hangs.
 *
 * Problem    Packets must not wait for a worker that was stopped, nor pass by
 *            one that merely waits for a processor; and a worker without work
 *            should not have to wake.
 * Idea       A worker that runs says at each burst until when it is alive. One
 *            that sleeps says so, and the program that sends it a packet sets
 *            the time by which it must have woken. How long that is, its past
 *            wake-ups tell: eight times the longest of late, 10 ms at least.
 * Limits     hang_ms bounds either. Which of several workers a packet goes to
 *            no program knows: these wake up now and then to say that they are
 *            alive.
 * Threads    Each queue's words are its worker's; late from any. */
struct nsp_tap_beats {
    struct nsp_tap_shared *shared; /* NULL until open. */
    int map_fd;                    /* For programs; -1 when closed. */
    uint64_t hang_ns;
    uint64_t decayed_ns; /* When the time to wake was shortened last. */
};

/* The programs take every worker for alive for the first two seconds. Returns 0
 * or a negative errno; either way the beats may be closed. */
int nsp_tap_beats_open(struct nsp_tap_beats *beats, uint32_t queues,
                       uint32_t hang_ms) NSP_MUSTCHECK;
void nsp_tap_beats_close(struct nsp_tap_beats *beats);

void nsp_tap_beats_alive(struct nsp_tap_beats *beats, uint32_t queue);

/* Around the sleep of a worker that a packet wakes; there is one queue. */
void nsp_tap_beats_sleep(struct nsp_tap_beats *beats);
void nsp_tap_beats_woken(struct nsp_tap_beats *beats);

/* Packets that met nobody alive. */
uint64_t nsp_tap_beats_late_pkts(const struct nsp_tap_beats *beats);

#endif /* NSP_IO_TAP_BEATS_H */
