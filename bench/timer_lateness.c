/* How late a thread runs that asked to sleep for a millisecond and has nothing
 * else to do: what this machine's timers and its other threads make of it.
 *
 *     timer_lateness SECONDS
 *
 * prints a line for each sleep, in nanoseconds. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#define SLEEP_NS     1000000
#define SLEEPS_MAX_S 100

static int64_t
now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int
main(int argc, char *argv[])
{
    static int64_t late_ns[SLEEPS_MAX_S * 1000];
    const struct timespec sleep = { .tv_nsec = SLEEP_NS };
    long seconds = argc == 2 ? strtol(argv[1], NULL, 10) : 0;
    int64_t end_ns;
    int n = 0;

    if (seconds < 1 || seconds > SLEEPS_MAX_S) {
        fprintf(stderr, "usage: timer_lateness SECONDS (1 to %d)\n",
                SLEEPS_MAX_S);
        return 2;
    }
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    end_ns = now_ns() + seconds * 1000000000;
    while (now_ns() < end_ns) {
        int64_t due_ns = now_ns() + SLEEP_NS;

        ppoll(NULL, 0, &sleep, NULL);
        late_ns[n++] = now_ns() - due_ns;
    }
    for (int i = 0; i < n; i++)
        printf("%" PRId64 "\n", late_ns[i]);
    return 0;
}
