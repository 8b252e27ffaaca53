#define _GNU_SOURCE /* RTLD_NEXT, dlvsym, ucontext registers. */
#include "tests/lib/calls.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

/* The kernel lets a thread's system calls through, or turns each into SIGSYS,
 * as this byte says (prctl PR_SET_SYSCALL_USER_DISPATCH). */
#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_ON           1
#endif
#define DISPATCH_ALLOW 0
#define DISPATCH_BLOCK 1

static _Thread_local unsigned forbidden;
static _Thread_local volatile char dispatch = DISPATCH_ALLOW;
static _Thread_local bool dispatch_on;

static _Atomic uint64_t seen_count;
static char seen_first[64];

static void
report(const char *name, long number)
{
    if (atomic_fetch_add(&seen_count, 1) > 0)
        return;
    if (number < 0)
        strncpy(seen_first, name, sizeof seen_first - 1);
    else
        snprintf(seen_first, sizeof seen_first, "%s %ld", name, number);
}

/* Reports 'name' if a call of its kind is an offence now. */
static void
saw(unsigned kind, const char *name)
{
    if (forbidden & kind)
        report(name, -1);
}

/* --- System calls --------------------------------------------------------- */

#ifdef __x86_64__
/* Makes the call that the kernel refused, and lets what follows through until
 * the next calls_forbid(): returning from here is a system call, too. */
static void
on_sigsys(int signal_number, siginfo_t *info, void *opaque)
{
    ucontext_t *context = opaque;
    greg_t *reg = context->uc_mcontext.gregs;
    long result;

    (void)signal_number;
    dispatch = DISPATCH_ALLOW;
    report("system call", info->si_syscall);
    result = syscall(info->si_syscall, reg[REG_RDI], reg[REG_RSI], reg[REG_RDX],
                     reg[REG_R10], reg[REG_R8], reg[REG_R9]);
    reg[REG_RAX] = result < 0 ? -errno : result;
}

static void
forbid_system_calls(void)
{
    if (!dispatch_on) {
        struct sigaction action = { .sa_sigaction = on_sigsys,
                                    .sa_flags = SA_SIGINFO };

        sigaction(SIGSYS, &action, NULL);
        dispatch_on = prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON,
                            0L, 0L, &dispatch) == 0;
    }
    dispatch = DISPATCH_BLOCK;
}
#else
static void
forbid_system_calls(void)
{
}
#endif

/* --- Interface ------------------------------------------------------------ */

void
calls_forbid(unsigned kinds)
{
    forbidden = kinds;
    if (kinds & CALLS_SYSTEM)
        forbid_system_calls();
}

void
calls_allow(void)
{
    dispatch = DISPATCH_ALLOW;
    forbidden = 0;
}

void
calls_reset(void)
{
    seen_first[0] = '\0';
    atomic_store(&seen_count, 0);
}

uint64_t
calls_count(void)
{
    return atomic_load(&seen_count);
}

const char *
calls_first(void)
{
    return seen_first;
}

/* --- Memory: glibc's own names for what is replaced ----------------------- */

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);
void __libc_free(void *memory);

void *
malloc(size_t bytes)
{
    saw(CALLS_MEMORY, "malloc");
    return __libc_malloc(bytes);
}

void *
calloc(size_t count, size_t bytes)
{
    saw(CALLS_MEMORY, "calloc");
    return __libc_calloc(count, bytes);
}

void *
realloc(void *memory, size_t bytes)
{
    saw(CALLS_MEMORY, "realloc");
    return __libc_realloc(memory, bytes);
}

void *
aligned_alloc(size_t alignment, size_t bytes)
{
    saw(CALLS_MEMORY, "aligned_alloc");
    return __libc_memalign(alignment, bytes);
}

int
posix_memalign(void **ret, size_t alignment, size_t bytes)
{
    void *memory = __libc_memalign(alignment, bytes);

    saw(CALLS_MEMORY, "posix_memalign");
    if (!memory)
        return ENOMEM;
    *ret = memory;
    return 0;
}

void
free(void *memory)
{
    saw(CALLS_MEMORY, "free");
    __libc_free(memory);
}

/* --- Locks: found behind this program ------------------------------------- */

/* Conditions have an older, incompatible version that an unversioned search
 * may find. */
static void *
next_function(const char *name)
{
    void *function = NULL;

    if (strncmp(name, "pthread_cond_", 13) == 0)
        function = dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2");
    return function ? function : dlsym(RTLD_NEXT, name);
}

#define LOCK_FUNCTION(name, parameters, arguments)                             \
    int name parameters                                                        \
    {                                                                          \
        static int(*next) parameters;                                          \
                                                                               \
        if (!next) {                                                           \
            void *function = next_function(#name);                             \
                                                                               \
            memcpy(&next, &function, sizeof next);                             \
        }                                                                      \
        saw(CALLS_LOCKS, #name);                                               \
        return next arguments;                                                 \
    }

LOCK_FUNCTION(pthread_mutex_lock, (pthread_mutex_t * mutex), (mutex))
LOCK_FUNCTION(pthread_mutex_trylock, (pthread_mutex_t * mutex), (mutex))
LOCK_FUNCTION(pthread_mutex_unlock, (pthread_mutex_t * mutex), (mutex))
LOCK_FUNCTION(pthread_mutex_timedlock,
              (pthread_mutex_t * mutex, const struct timespec *until),
              (mutex, until))
LOCK_FUNCTION(pthread_rwlock_rdlock, (pthread_rwlock_t * lock), (lock))
LOCK_FUNCTION(pthread_rwlock_wrlock, (pthread_rwlock_t * lock), (lock))
LOCK_FUNCTION(pthread_rwlock_tryrdlock, (pthread_rwlock_t * lock), (lock))
LOCK_FUNCTION(pthread_rwlock_trywrlock, (pthread_rwlock_t * lock), (lock))
LOCK_FUNCTION(pthread_rwlock_unlock, (pthread_rwlock_t * lock), (lock))
LOCK_FUNCTION(pthread_spin_lock, (pthread_spinlock_t * lock), (lock))
LOCK_FUNCTION(pthread_cond_wait,
              (pthread_cond_t * condition, pthread_mutex_t *mutex),
              (condition, mutex))
LOCK_FUNCTION(pthread_cond_timedwait,
              (pthread_cond_t * condition, pthread_mutex_t *mutex,
               const struct timespec *until),
              (condition, mutex, until))
LOCK_FUNCTION(pthread_cond_signal, (pthread_cond_t * condition), (condition))
LOCK_FUNCTION(pthread_cond_broadcast, (pthread_cond_t * condition), (condition))
LOCK_FUNCTION(sem_wait, (sem_t * semaphore), (semaphore))
LOCK_FUNCTION(sem_trywait, (sem_t * semaphore), (semaphore))
LOCK_FUNCTION(sem_timedwait, (sem_t * semaphore, const struct timespec *until),
              (semaphore, until))
LOCK_FUNCTION(sem_post, (sem_t * semaphore), (semaphore))

/* A futex without a library function around it. */
long
syscall(long number, ...)
{
    static long (*next)(long, ...);
    long argument[6];
    va_list arguments;

    va_start(arguments, number);
    for (size_t i = 0; i < 6; i++)
        argument[i] = va_arg(arguments, long);
    va_end(arguments);
    if (!next) {
        void *function = dlsym(RTLD_NEXT, "syscall");

        memcpy(&next, &function, sizeof next);
    }
    if (number == SYS_futex)
        saw(CALLS_LOCKS, "futex");
    return next(number, argument[0], argument[1], argument[2], argument[3],
                argument[4], argument[5]);
}
