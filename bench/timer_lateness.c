/* How late a thread is that asks for a moment about a millisecond ahead and has
 * nothing else to do: what this machine makes of it, its timers, its other
 * threads and its host.
 *
 *     timer_lateness SECONDS [--busy]
 *
 * prints a line for each wait, in nanoseconds: asleep, or, with --busy, awake,
 * reading the clock all the time. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

/* Not in step with the kernel's ticks, so that all moments between are met. */
#define SLEEP_NS     1013000
#define SLEEPS_MAX_S 100

static int64_t
now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Returns the time after it. */
static int64_t
wait_until(int64_t due_ns, bool busy)
{
    const struct timespec sleep = { .tv_nsec = SLEEP_NS };
    int64_t after_ns;

    if (!busy) {
        ppoll(NULL, 0, &sleep, NULL);
        return now_ns();
    }
    do
        after_ns = now_ns();
    while (after_ns < due_ns);
    return after_ns;
}

int
main(int argc, char *argv[])
{
    static int64_t late_ns[SLEEPS_MAX_S * 1000];
    bool busy = argc == 3 && strcmp(argv[2], "--busy") == 0;
    long seconds = argc == 2 || busy ? strtol(argv[1], NULL, 10) : 0;
    int64_t end_ns;
    int n = 0;

    if (seconds < 1 || seconds > SLEEPS_MAX_S) {
        fprintf(stderr, "usage: timer_lateness SECONDS (1 to %d) [--busy]\n",
                SLEEPS_MAX_S);
        return 2;
    }
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    end_ns = now_ns() + seconds * 1000000000;
    while (now_ns() < end_ns) {
        int64_t due_ns = now_ns() + SLEEP_NS;

        late_ns[n++] = wait_until(due_ns, busy) - due_ns;
    }
    for (int i = 0; i < n; i++)
        printf("%" PRId64 "\n", late_ns[i]);
    return 0;
}
