#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "os/os.h"

uint64_t
nsp_os_monotonic_ns(void *context)
{
    struct timespec ts;

    (void)context;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NSP_NS_PER_SECOND + (uint64_t)ts.tv_nsec;
}

int
nsp_os_random(void *ret, size_t bytes)
{
    ssize_t got;

    /* So few bytes come at once, or not at all. */
    do
        got = getrandom(ret, bytes, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    return (size_t)got == bytes ? 0 : -EIO;
}

_Static_assert(sizeof(pthread_t) <= sizeof(uintptr_t),
               "a thread's handle has room");

static void *
thread_main(void *opaque)
{
    struct nsp_thread *thread = opaque;

    thread->entry(thread->argument);
    return NULL;
}

int
nsp_thread_start(struct nsp_thread *thread, void (*entry)(void *argument),
                 void *argument)
{
    pthread_t handle;
    int err;

    *thread = (struct nsp_thread){ .entry = entry, .argument = argument };
    err = pthread_create(&handle, NULL, thread_main, thread);
    if (err != 0)
        return -err;
    thread->handle = (uintptr_t)handle;
    return 0;
}

int
nsp_thread_start_quiet(struct nsp_thread *thread, void (*entry)(void *argument),
                       void *argument)
{
    sigset_t all, before;
    int err;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    err = nsp_thread_start(thread, entry, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err;
}

void
nsp_thread_join(struct nsp_thread *thread)
{
    pthread_join((pthread_t)thread->handle, NULL);
}

uint64_t
nsp_thread_self(void)
{
    return (uint64_t)syscall(SYS_gettid);
}

/* As struct sched_attr of <linux/sched/types.h>, which glibc's <sched.h> does
 * not go together with. */
struct scheduling {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns, deadline_ns, period_ns;
};

/* Linux takes the slice of an ordinary thread since 6.12; before, it ignores
 * it. Threads that somebody put in another class are left there. */
static uint64_t
set_slice_ns(uint64_t slice_ns)
{
    struct scheduling now = { .size = sizeof now };
    uint64_t before;

    if (syscall(SYS_sched_getattr, 0, &now, sizeof now, 0) < 0 ||
        now.policy != SCHED_OTHER)
        return 0;
    before = now.runtime_ns;
    now.size = sizeof now;
    now.runtime_ns = slice_ns;
    if (syscall(SYS_sched_setattr, 0, &now, 0) < 0)
        return 0;
    return before;
}

struct nsp_thread_timing
nsp_thread_set_timing(struct nsp_thread_timing timing)
{
    unsigned long slack = timing.slack_ns > 0 ? timing.slack_ns : 1;
    int slack_before = prctl(PR_GET_TIMERSLACK, 0UL, 0UL, 0UL, 0UL);
    struct nsp_thread_timing before = {
        .slack_ns = slack_before > 0 ? (uint64_t)slack_before : 0,
    };

    /* Neither call can fail with these arguments. */
    prctl(PR_SET_TIMERSLACK, slack, 0UL, 0UL, 0UL);
    if (timing.slice_ns != 0)
        before.slice_ns = set_slice_ns(timing.slice_ns);
    return before;
}

_Static_assert(sizeof(cpu_set_t) >= sizeof(struct nsp_thread_cpus),
               "the system's set holds ours");

int
nsp_thread_get_cpus(struct nsp_thread_cpus *ret)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) < 0)
        return -errno;
    *ret = (struct nsp_thread_cpus){ { 0 } };
    for (uint32_t cpu = 0; cpu < sizeof ret->bits * 8; cpu++)
        if (CPU_ISSET(cpu, &set))
            ret->bits[cpu / 64] |= UINT64_C(1) << cpu % 64;
    return 0;
}

int
nsp_thread_set_cpus(const struct nsp_thread_cpus *cpus)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    for (uint32_t cpu = 0; cpu < sizeof cpus->bits * 8; cpu++)
        if ((cpus->bits[cpu / 64] >> cpu % 64 & 1) != 0)
            CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof set, &set) < 0 ? -errno : 0;
}

void
nsp_thread_yield(void)
{
    sched_yield();
}

int
nsp_wakeup_open(struct nsp_wakeup *ret)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    if (fd < 0)
        return -errno;
    ret->fd = fd;
    return 0;
}

void
nsp_wakeup_close(struct nsp_wakeup *wakeup)
{
    close(wakeup->fd);
    wakeup->fd = -1;
}

void
nsp_wakeup_set(const struct nsp_wakeup *wakeup)
{
    int saved = errno;
    uint64_t one = 1;

    /* EAGAIN means that 2^64 - 2 wake-ups are pending: set already. */
    if (write(wakeup->fd, &one, sizeof one) < 0)
        errno = saved;
}

int
nsp_wakeup_wait(const struct nsp_wakeup *wakeup, int fd, uint64_t timeout_ns)
{
    struct pollfd fds[2] = {
        { .fd = wakeup->fd, .events = POLLIN },
        { .fd = fd, .events = POLLIN },
    };
    struct timespec ts = {
        .tv_sec = (time_t)(timeout_ns / NSP_NS_PER_SECOND),
        .tv_nsec = (long)(timeout_ns % NSP_NS_PER_SECOND),
    };
    uint64_t value;
    int n = ppoll(fds, 2, timeout_ns == UINT64_MAX ? NULL : &ts, NULL);

    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    if (fds[0].revents != 0 && read(wakeup->fd, &value, sizeof value) < 0 &&
        errno != EAGAIN)
        return -errno;
    return fds[1].revents != 0;
}

struct nsp_gate {
    struct nsp_allocator allocator;
    pthread_mutex_t mutex;
    pthread_cond_t condition;
};

int
nsp_gate_create(const struct nsp_allocator *allocator, struct nsp_gate **ret)
{
    struct nsp_gate *gate = nsp_alloc(allocator, 1, sizeof *gate);
    int err;

    if (!gate)
        return -ENOMEM;
    gate->allocator = *allocator;
    err = pthread_mutex_init(&gate->mutex, NULL);
    if (err != 0)
        goto no_mutex;
    err = pthread_cond_init(&gate->condition, NULL);
    if (err != 0)
        goto no_condition;
    *ret = gate;
    return 0;

no_condition:
    pthread_mutex_destroy(&gate->mutex);
no_mutex:
    nsp_release(allocator, gate);
    return -err;
}

struct nsp_gate *
nsp_gate_destroy(struct nsp_gate *gate)
{
    if (gate) {
        pthread_cond_destroy(&gate->condition);
        pthread_mutex_destroy(&gate->mutex);
        nsp_release(&gate->allocator, gate);
    }
    return NULL;
}

void
nsp_gate_lock(struct nsp_gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
}

void
nsp_gate_unlock(struct nsp_gate *gate)
{
    pthread_mutex_unlock(&gate->mutex);
}

void
nsp_gate_wait(struct nsp_gate *gate)
{
    pthread_cond_wait(&gate->condition, &gate->mutex);
}

void
nsp_gate_notify(struct nsp_gate *gate)
{
    pthread_cond_broadcast(&gate->condition);
}
