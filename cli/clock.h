#ifndef NSP_CLI_CLOCK_H
#define NSP_CLI_CLOCK_H
#include <stdint.h>
#include <time.h>

#define NSP_CLI_NS_PER_S UINT64_C(1000000000)

/* What 'clock' shows, in nanoseconds. */
static inline uint64_t
nsp_cli_clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NSP_CLI_NS_PER_S + (uint64_t)now.tv_nsec;
}

/* The time since some moment in the past, which nobody sets. */
static inline uint64_t
nsp_cli_now_ns(void)
{
    return nsp_cli_clock_ns(CLOCK_MONOTONIC);
}

/* Sleeps until nsp_cli_now_ns() is there, or a signal comes. */
static inline void
nsp_cli_sleep_until(uint64_t due_ns)
{
    struct timespec due = { .tv_sec = (time_t)(due_ns / NSP_CLI_NS_PER_S),
                            .tv_nsec = (long)(due_ns % NSP_CLI_NS_PER_S) };

    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
}

#endif /* NSP_CLI_CLOCK_H */
