#ifndef NSP_OS_OS_H
#define NSP_OS_OS_H
#include <stdbool.h>

#include "base/memory.h"

/* The operating system, as far as the engine needs it. os/<name>/ implements
 * it. Functions return 0 or a negative errno. */

/* Nanoseconds of the monotonic clock. 'context' is ignored, so that the
 * function fits struct nsp_clock. */
uint64_t nsp_os_monotonic_ns(void *context);

/* Fills 'ret' with 'bytes' (at most 256) random bytes that nobody can guess.
 * Returns 0 or a negative errno. */
int nsp_os_random(void *ret, size_t bytes) NSP_MUSTCHECK;

/* --- Threads --- */

/* Stays where it is from start to join, which come exactly once. */
struct nsp_thread {
    uintptr_t handle; /* The system's. */
    void (*entry)(void *argument);
    void *argument;
};
int nsp_thread_start(struct nsp_thread *thread, void (*entry)(void *argument),
                     void *argument) NSP_MUSTCHECK;
void nsp_thread_join(struct nsp_thread *thread);

/* The same for a thread to which no signal is delivered: the program's are for
 * threads that it knows of. */
int nsp_thread_start_quiet(struct nsp_thread *thread,
                           void (*entry)(void *argument),
                           void *argument) NSP_MUSTCHECK;

/* A number that names the calling thread among those alive. */
uint64_t nsp_thread_self(void);

/* How promptly the system runs the calling thread. */
struct nsp_thread_timing {
    uint64_t slack_ns; /* How late timed waits may end, to spare wake-ups;
                        * usually 50000. */
    uint64_t slice_ns; /* How long it may run while others wait. One that
                        * asks for less is run sooner when it wakes. 0: not
                        * known, or not to be changed. */
};

/* Sets the timing of the calling thread, as far as the system lets it, and
 * returns what it was. */
struct nsp_thread_timing nsp_thread_set_timing(struct nsp_thread_timing timing);

/* Which processors a thread may run on. */
struct nsp_thread_cpus {
    uint64_t bits[16]; /* Of the first 1024. */
};

/* Those of the calling thread. Returns 0 or a negative errno. */
int nsp_thread_get_cpus(struct nsp_thread_cpus *ret) NSP_MUSTCHECK;
int nsp_thread_set_cpus(const struct nsp_thread_cpus *cpus) NSP_MUSTCHECK;

/* What idle processors may take to wake: the deeper one sleeps, the longer.
 * That holds for the whole machine, so it is asked only for as long as
 * something depends on it, and ends with the process at the latest. */
struct nsp_cpu_latency {
    int fd; /* -1: this process may not ask. */
    int32_t prompt_us;
};

/* Asks nothing yet; nor do the calls below where the system does not let this
 * process ask (Linux: only root may), or knows no such thing. */
void nsp_cpu_latency_open(struct nsp_cpu_latency *ret);
void nsp_cpu_latency_close(struct nsp_cpu_latency *latency);

/* Asks that idle processors wake promptly, or asks no more. */
void nsp_cpu_latency_set(const struct nsp_cpu_latency *latency, bool prompt);

/* Lets another thread run. */
void nsp_thread_yield(void);

/* --- Wake-up: a flag that a thread can sleep on together with descriptors. */
struct nsp_wakeup {
    int fd;
};
int nsp_wakeup_open(struct nsp_wakeup *ret) NSP_MUSTCHECK;
void nsp_wakeup_close(struct nsp_wakeup *wakeup);

/* Sets the flag. Async-signal-safe; any thread. */
void nsp_wakeup_set(const struct nsp_wakeup *wakeup);

/* Sleeps until the flag is set (and clears it), 'fd' (-1: none) is readable, or
 * 'timeout_ns' has passed (UINT64_MAX: no limit). Returns 1 when 'fd' is
 * readable, else 0, or a negative errno; an interrupting signal counts as a
 * passed timeout. */
int nsp_wakeup_wait(const struct nsp_wakeup *wakeup, int fd,
                    uint64_t timeout_ns);

/* --- Gate: threads that wait for a state that another thread sets. Only for
 * the control side, never on the hot path. */
struct nsp_gate;
int nsp_gate_create(const struct nsp_allocator *allocator,
                    struct nsp_gate **ret) NSP_MUSTCHECK;
struct nsp_gate *nsp_gate_destroy(struct nsp_gate *gate);
void nsp_gate_lock(struct nsp_gate *gate);
void nsp_gate_unlock(struct nsp_gate *gate);
void nsp_gate_wait(struct nsp_gate *gate);   /* Locked; unlocks meanwhile. */
void nsp_gate_notify(struct nsp_gate *gate); /* Locked; wakes all waiters. */

#endif /* NSP_OS_OS_H */
