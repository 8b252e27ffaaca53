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

#endif /* NSP_CLI_CLOCK_H */
