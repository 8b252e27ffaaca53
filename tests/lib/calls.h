#ifndef NSP_TESTS_LIB_CALLS_H
#define NSP_TESTS_LIB_CALLS_H
#include <stdbool.h>
#include <stdint.h>

/* Watches a thread for calls that do not belong on the hot path. Linking
 * calls.c replaces the C library's allocation and lock functions in the whole
 * program by ones that report and pass on.
 *
 * Threads  forbid and allow concern the calling thread alone; what was seen is
 *          collected from all threads. */

enum calls_forbidden {
    CALLS_MEMORY = 1, /* malloc and its family, free included. */
    CALLS_LOCKS = 2,  /* mutex, rwlock, condition, semaphore, futex. */
    CALLS_SYSTEM = 4, /* System calls that enter the kernel: the first after
                       * each call of forbid (x86-64 only). */
};

/* From now on a call in 'kinds' by this thread is an offence. */
void calls_forbid(unsigned kinds);
void calls_allow(void);

/* Forgets what was seen. */
void calls_reset(void);

/* Offences since the last reset, and the name of the first ("malloc",
 * "system call 39"), "" if there was none. */
uint64_t calls_count(void);
const char *calls_first(void);

#endif /* NSP_TESTS_LIB_CALLS_H */
