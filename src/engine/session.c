#include "engine/session.h"

#include <errno.h>
#include <string.h>

#include "base/diag.h"
#include "engine/waits.h"

/* Waits that may fail in a row before the loop gives up. */
#define WAIT_ERRORS_MAX 100u

/* Rounds of a drain: more than any queue holds, so a device that keeps
 * delivering after quiesce cannot keep the loop from ending. */
#define DRAIN_ROUNDS_MAX (1u << 20)

/* Timed waits end when asked for, and a worker runs soon after it wakes. */
static const struct nsp_thread_timing prompt = { .slack_ns = 1,
                                                 .slice_ns = 100000 };

/* Between looks at whether the inflow has stopped. */
#define QUIESCE_WAIT_NS UINT64_C(1000000)

/* Callbacks see the packets of one moment; workers, those of each other, when
 * their time has come. */
static bool
takes_ahead(const struct nsp_session *s)
{
    return s->virtual_time && (s->ops->caps & NSP_IO_AHEAD_OF_TIME) != 0 &&
           !s->ops->retain && s->config->user.workers == 1 &&
           !s->config->user.callback;
}

static int
open_workers(struct nsp_session *s, struct nsp_diag *reterr)
{
    s->workers = nsp_alloc(&s->config->allocator, s->config->user.workers,
                           sizeof *s->workers);
    if (!s->workers)
        goto oom;
    if (s->plan.reports &&
        nsp_events_create(s->config->user.workers,
                          s->config->user.event_ring_bytes,
                          &s->config->allocator, &s->events) < 0)
        goto oom;
    for (uint32_t q = 0; q < s->config->user.workers; q++) {
        struct nsp_worker *w = &s->workers[q];

        *w = (struct nsp_worker){
            .config = s->config,
            .ops = s->ops,
            .io = s->io,
            .filter = s->filter,
            .published = &s->snapshot,
            .events = s->events ? nsp_events_ring(s->events, q) : NULL,
            .queue = q,
            .holdable = s->plan.holdable,
            .virtual_time = s->virtual_time,
            .ahead = takes_ahead(s),
            .peers = s->workers,
            .peer_count = s->config->user.workers,
        };
        s->worker_count++;
        if (nsp_worker_init(w, &s->plan) < 0)
            goto oom;
    }
    return NSP_OK;

oom:
    return nsp_diag_set(reterr, NSP_NO_MEMORY, "out-of-memory",
                        "lower max_held_pkts or the number of rules",
                        "no memory for %u workers", s->config->user.workers);
}

static int
open_parts(struct nsp_session *s, struct nsp_ruleset *ruleset,
           const char *filter, struct nsp_diag *reterr)
{
    const struct nsp_allocator *allocator = &s->config->allocator;
    enum nsp_layer layer = nsp_plan_layer(s->config);
    int result;

    result = nsp_filter_compile_with(filter, layer, s->config->user.filters,
                                     allocator, &s->filter, reterr);
    if (result == NSP_OK)
        result =
            nsp_plan_make(s->config, s->filter, nsp_ruleset_policy(ruleset),
                          NULL, &s->plan, reterr);
    if (result == NSP_OK)
        result = s->ops->open(&s->plan.io, &s->io, reterr);
    if (result == NSP_OK)
        result = open_workers(s, reterr);
    if (result == NSP_OK &&
        nsp_offload_init(&s->offload, s->config, s->ops, s->io) < 0)
        result = nsp_diag_set(reterr, NSP_NO_MEMORY, "out-of-memory", NULL,
                              "no memory for the kernel's counters");
    for (uint32_t q = 0; q < s->worker_count; q++) {
        s->workers[q].buckets = s->offload.buckets;
        s->workers[q].settles = s->offload.ops && s->ops->offload_flows;
    }
    if (result == NSP_OK)
        result = nsp_session_publish(s, ruleset, reterr);
    if (result == NSP_OK)
        nsp_offload_apply(&s->offload, atomic_load(&s->snapshot), s->filter);
    return result;
}

int
nsp_session_open(const struct nsp_config *config, struct nsp_ruleset *ruleset,
                 const char *filter, const atomic_bool *stop,
                 struct nsp_session **ret, struct nsp_diag *reterr)
{
    struct nsp_session *s = nsp_alloc(&config->allocator, 1, sizeof *s);
    int result;

    if (!s)
        return nsp_diag_set(reterr, NSP_NO_MEMORY, "out-of-memory", NULL,
                            "no memory to start");
    s->config = config;
    s->ops = config->ops;
    s->stop = stop;
    s->virtual_time = (config->ops->caps & NSP_IO_VIRTUAL_TIME) != 0;
    atomic_flag_clear(&s->quiesce_won);

    result = open_parts(s, ruleset, filter, reterr);
    if (result != NSP_OK) {
        nsp_session_close(s);
        return result;
    }
    *ret = s;
    return NSP_OK;
}

struct nsp_events *
nsp_session_take_events(struct nsp_session *s)
{
    struct nsp_events *events = s->events;

    s->events = NULL;
    return events;
}

struct nsp_session *
nsp_session_close(struct nsp_session *s)
{
    if (!s)
        return NULL;
    if (s->io)
        s->ops->close(s->io);
    nsp_offload_fini(&s->offload);
    for (uint32_t q = 0; q < s->worker_count; q++)
        nsp_worker_fini(&s->workers[q]);
    nsp_release(&s->config->allocator, s->workers);
    nsp_events_destroy(s->events);
    nsp_session_unpublish(s);
    nsp_filter_destroy(s->filter);
    nsp_release(&s->config->allocator, s);
    return NULL;
}

/* --- Loop ---------------------------------------------------------------- */

/* Ends the loop for all workers. Returns whether 'result' is the one to report:
 * the first failure, else the first reason. */
static bool
end_loop(struct nsp_session *s, int result)
{
    int old = atomic_load(&s->result);
    bool first;

    do
        first = old == NSP_OK || (old > 0 && result < 0);
    while (first && !atomic_compare_exchange_weak(&s->result, &old, result));

    atomic_store(&s->ended, true);
    if (s->worker_count > 1)
        nsp_session_wake(s);
    return first;
}

/* Ends the loop when the device is gone for good. */
static bool
device_failed(struct nsp_session *s)
{
    char what[128] = "";
    int err = s->ops->status(s->io, what, sizeof what);

    if (err == 0)
        return false;
    if (end_loop(s, NSP_INVALID_HANDLE))
        nsp_diag_set_errno(&s->diag, NSP_INVALID_HANDLE, "device-gone", -err,
                           "start again when that is mended", "%s%s%s",
                           s->ops->name, what[0] ? ": " : "", what);
    return true;
}

static bool
too_many_errors(struct nsp_session *s, uint32_t errors, int err)
{
    if (errors < WAIT_ERRORS_MAX)
        return false;
    if (end_loop(s, NSP_TOO_MANY_ERRORS))
        nsp_diag_set_errno(&s->diag, NSP_TOO_MANY_ERRORS, "wait-failed", -err,
                           NULL, "%s failed %u times in a row", s->ops->name,
                           errors);
    return true;
}

static bool
must_end(struct nsp_session *s, uint64_t now_ns, uint64_t deadline_ns)
{
    if (atomic_load_explicit(&s->ended, memory_order_acquire))
        return true;
    if (!atomic_load_explicit(s->stop, memory_order_acquire) &&
        now_ns < deadline_ns)
        return false;
    end_loop(s, NSP_STOPPED);
    return true;
}

/* Sleeps as long as nothing is due. Returns 0 or a negative errno. */
static int
sleep_until_due(struct nsp_session *s, struct nsp_worker *w,
                struct nsp_waits *waits, uint64_t now_ns, uint64_t deadline_ns)
{
    const struct nsp_clock *clock = &s->config->clock;
    uint64_t due_ns = nsp_worker_due_ns(w);
    uint64_t until_ns = nsp_waits_until_ns(waits, now_ns, due_ns, deadline_ns);
    int err;

    if (until_ns <= now_ns)
        return nsp_waits_look(waits, now_ns) ? s->ops->wait(s->io, w->queue, 0)
                                             : 0;
    if (!nsp_mailbox_sleep(&w->mailbox))
        return 0;
    err = s->ops->wait(s->io, w->queue,
                       until_ns == NSP_TIME_NEVER ? NSP_TIME_NEVER
                                                  : until_ns - now_ns);
    nsp_mailbox_awake(&w->mailbox);
    w->counted.wakeups++;
    nsp_waits_woke(waits, until_ns, clock->now_ns(clock->context));
    return err;
}

static void
loop_live(struct nsp_session *s, struct nsp_worker *w)
{
    const struct nsp_engine_config *user = &s->config->user;
    const struct nsp_clock *clock = &s->config->clock;
    uint64_t now_ns = clock->now_ns(clock->context);
    uint64_t deadline_ns = nsp_add_sat_u64(now_ns, s->duration_ns);
    struct nsp_waits waits;
    uint32_t errors = 0;

    nsp_waits_open(&waits,
                   (s->plan.holds || user->busy_poll) && !user->deep_idle,
                   user->busy_poll);
    while (!must_end(s, now_ns, deadline_ns)) {
        uint32_t moved = nsp_worker_poll(w, now_ns);
        int err;

        now_ns = clock->now_ns(clock->context);
        if (moved > 0) { /* More is likely to be there already. */
            nsp_waits_moved(&waits, now_ns);
            continue;
        }
        if (device_failed(s))
            break;
        err = sleep_until_due(s, w, &waits, now_ns, deadline_ns);
        errors = err < 0 ? errors + 1 : 0;
        if (too_many_errors(s, errors, err))
            break;
        now_ns = clock->now_ns(clock->context);
    }
    nsp_waits_close(&waits);
}

/* Calls the user's timer, during which this worker counts as one that does not
 * run: it uses no snapshot, so the timer may change policies. Returns the time
 * of the next call, NSP_TIME_NEVER if there is none. */
static uint64_t
call_timer(struct nsp_session *s, struct nsp_worker *w, uint64_t began_ns,
           uint64_t at_ns)
{
    const struct nsp_engine_config *user = &s->config->user;
    uint64_t self = atomic_exchange(&s->threads[w->queue], 0);
    uint64_t next_ns = user->timer(user->timer_context, at_ns - began_ns);

    atomic_store(&s->threads[w->queue], self);
    return next_ns > at_ns - began_ns ? nsp_add_sat_u64(began_ns, next_ns)
                                      : NSP_TIME_NEVER;
}

static void
loop_virtual(struct nsp_session *s, struct nsp_worker *w)
{
    uint64_t now_ns = s->ops->next_rx_ns(s->io, w->queue);
    uint64_t deadline_ns = nsp_add_sat_u64(now_ns, s->duration_ns);
    uint64_t began_ns = now_ns;
    uint64_t timer_ns = s->config->user.timer ? now_ns : NSP_TIME_NEVER;

    /* An input that is empty from the start has no time at all. */
    while (now_ns != NSP_TIME_NEVER && !must_end(s, now_ns, deadline_ns)) {
        uint64_t next_ns;
        uint32_t moved;

        if (now_ns == timer_ns)
            timer_ns = call_timer(s, w, began_ns, now_ns);
        moved =
            nsp_worker_run_until(w, now_ns, nsp_min_u64(deadline_ns, timer_ns));
        now_ns = w->now_ns;
        next_ns = s->ops->next_rx_ns(s->io, w->queue);
        if (moved == 0 && device_failed(s))
            return;
        /* A device that has no room for its next packet waits for held ones to
         * come back. */
        if (moved == 0 && next_ns <= now_ns)
            next_ns = NSP_TIME_NEVER;
        next_ns = nsp_min_u64(next_ns, nsp_worker_due_ns(w));
        if (next_ns != NSP_TIME_NEVER)
            next_ns = nsp_min_u64(next_ns, timer_ns);
        if (next_ns > now_ns)
            now_ns = next_ns;
    }
    /* Input may have ended because it was cut short. */
    if (now_ns == NSP_TIME_NEVER)
        device_failed(s);
}

static uint32_t
poll_now(struct nsp_session *s, struct nsp_worker *w)
{
    const struct nsp_clock *clock = &s->config->clock;

    return nsp_worker_poll(w, s->virtual_time ? w->now_ns
                                              : clock->now_ns(clock->context));
}

/* Stops the inflow for all workers. A kernel takes its time over it, so those
 * that are not about it go on serving their queues. */
static void
quiesce(struct nsp_session *s, struct nsp_worker *w)
{
    if (!atomic_flag_test_and_set(&s->quiesce_won)) {
        s->ops->quiesce(s->io);
        atomic_store_explicit(&s->quiesced, true, memory_order_release);
        return;
    }
    while (!atomic_load_explicit(&s->quiesced, memory_order_acquire)) {
        if (poll_now(s, w) == 0 && s->ops->wait)
            s->ops->wait(s->io, w->queue, QUIESCE_WAIT_NS);
    }
}

/* Lets the inflow of 'w' dry up. */
static void
dry_up(struct nsp_session *s, struct nsp_worker *w)
{
    quiesce(s, w);
    for (uint32_t i = 0; i < DRAIN_ROUNDS_MAX && poll_now(s, w) > 0; i++)
        ;
}

/* The workers that one thread runs: 'w', and on the first one's thread, from
 * 'started' on, those that could not have one. */
static bool
is_run_with(const struct nsp_session *s, const struct nsp_worker *w, uint32_t q)
{
    return q == w->queue || (w->queue == 0 && q >= s->started);
}

/* Delivers what 'w' holds. Returns whether nothing is left. */
static bool
drain_worker(struct nsp_session *s, struct nsp_worker *w)
{
    bool dry;

    nsp_gate_lock(s->slots_gate);
    dry = nsp_worker_drain(w);
    nsp_gate_unlock(s->slots_gate);
    return dry;
}

/* Delivers what is held. Workers hold packets of each other, so each goes on
 * until all have theirs back. */
static void
drain(struct nsp_session *s, struct nsp_worker *w)
{
    bool settled[NSP_IO_QUEUES_MAX] = { false };

    for (uint32_t q = 0; q < s->worker_count; q++)
        if (is_run_with(s, w, q))
            dry_up(s, &s->workers[q]);
    do {
        for (uint32_t q = 0; q < s->worker_count; q++) {
            if (!is_run_with(s, w, q) || !drain_worker(s, &s->workers[q]) ||
                settled[q])
                continue;
            settled[q] = true;
            atomic_fetch_add(&s->settled, 1);
        }
        if (atomic_load(&s->settled) == s->worker_count)
            return;
        nsp_thread_yield();
    } while (true);
}

static void
set_thread(struct nsp_session *s, const struct nsp_worker *w, uint64_t thread)
{
    for (uint32_t q = 0; q < s->worker_count; q++)
        if (is_run_with(s, w, q))
            atomic_store(&s->threads[q], thread);
}

/* What a worker's thread was like before; the caller's gets it back. */
struct thread_before {
    struct nsp_thread_timing timing;
    struct nsp_thread_cpus cpus;
    bool pinned;
};

/* A processor that has gone meanwhile is one that does not matter. */
static struct thread_before
make_thread_prompt(struct nsp_session *s, const struct nsp_worker *w)
{
    const struct nsp_engine_config *user = &s->config->user;
    struct thread_before before = { .pinned = false };

    before.timing = nsp_thread_set_timing(prompt);
    if (user->cpu_count > 0 && nsp_thread_get_cpus(&before.cpus) == 0) {
        uint32_t cpu = user->cpus[w->queue % user->cpu_count];
        struct nsp_thread_cpus only = { { 0 } };

        only.bits[cpu / 64] = UINT64_C(1) << cpu % 64;
        before.pinned = nsp_thread_set_cpus(&only) == 0;
    }
    return before;
}

static void
restore_thread(const struct thread_before *before)
{
    nsp_thread_set_timing(before->timing);
    if (before->pinned)
        (void)!nsp_thread_set_cpus(&before->cpus);
}

static void
worker_main(struct nsp_session *s, struct nsp_worker *w)
{
    struct thread_before before;

    /* Before the first look at the snapshot: who replaces it waits for those
     * that run. */
    set_thread(s, w, nsp_thread_self());
    before = make_thread_prompt(s, w);
    if (s->virtual_time)
        loop_virtual(s, w);
    else
        loop_live(s, w);
    drain(s, w);
    /* What was written last may have been refused. */
    device_failed(s);
    restore_thread(&before);
    set_thread(s, w, 0);
}

struct worker_start {
    struct nsp_session *session;
    struct nsp_worker *worker;
};

static void
worker_entry(void *opaque)
{
    const struct worker_start *start = opaque;

    worker_main(start->session, start->worker);
}

int
nsp_session_loop(struct nsp_session *s, uint64_t duration_ns)
{
    struct nsp_thread threads[NSP_IO_QUEUES_MAX];
    struct worker_start starts[NSP_IO_QUEUES_MAX];
    uint32_t started = 1;

    s->duration_ns = duration_ns;
    for (; started < s->worker_count; started++) {
        int err;

        starts[started] = (struct worker_start){ s, &s->workers[started] };
        err =
            nsp_thread_start(&threads[started], worker_entry, &starts[started]);
        if (err == 0)
            continue;
        if (end_loop(s, NSP_TOO_MANY_ERRORS))
            nsp_diag_set_errno(&s->diag, NSP_TOO_MANY_ERRORS, "no-thread", -err,
                               "use fewer workers", "worker %u", started);
        break;
    }
    s->started = started;
    worker_main(s, &s->workers[0]);
    for (uint32_t q = 1; q < started; q++)
        nsp_thread_join(&threads[q]);
    return atomic_load(&s->result);
}

void
nsp_session_wake(struct nsp_session *s)
{
    if (s->ops->wake)
        s->ops->wake(s->io);
}

bool
nsp_session_on_worker(const struct nsp_session *s)
{
    uint64_t self = nsp_thread_self();

    for (uint32_t q = 0; q < s->worker_count; q++)
        if (atomic_load(&s->threads[q]) == self)
            return true;
    return false;
}

void
nsp_session_read_stats(struct nsp_session *s, struct nsp_stats *ret)
{
    struct nsp_io_stats io = { 0 };

    *ret = (struct nsp_stats){ 0 };
    for (uint32_t q = 0; q < s->worker_count; q++) {
        struct nsp_stats one;

        nsp_worker_read_stats(&s->workers[q], &one);
        nsp_stats_add(ret, &one);
    }
    s->ops->read_stats(s->io, &io);
    ret->passed_by_pkts += io.passed_by_pkts;
    ret->kernel_dropped_pkts += io.kernel_dropped_pkts;
    ret->kernel_lost_pkts += io.kernel_lost_pkts;
    ret->stale_verdict_pkts += io.stale_verdict_pkts;
    ret->device_errors += io.device_errors;
    nsp_offload_add_stats(&s->offload, ret);
}

int
nsp_session_read_rule_stats(struct nsp_session *s, uint32_t index,
                            struct nsp_rule_stats *ret)
{
    const struct nsp_snapshot *snapshot = atomic_load(&s->snapshot);
    const struct nsp_policy_rule *rule;

    if (index >= nsp_policy_rule_count(snapshot->policy))
        return NSP_NOT_FOUND;
    rule = nsp_policy_get_rule(snapshot->policy, index);
    *ret = (struct nsp_rule_stats){ 0 };
    memcpy(ret->name, rule->name, sizeof ret->name);
    for (uint32_t q = 0; q < s->worker_count; q++) {
        struct nsp_rule_counters one;

        nsp_worker_read_rule_stats(&s->workers[q], snapshot->rule_slots[index],
                                   &one);
        nsp_rule_stats_add(ret, &one);
    }
    nsp_offload_add_rule_stats(&s->offload, snapshot->rule_slots[index], ret);
    return NSP_OK;
}

int
nsp_session_read_class_stats(struct nsp_session *s, uint32_t index,
                             struct nsp_class_stats *ret)
{
    const struct nsp_snapshot *snapshot = atomic_load(&s->snapshot);
    const struct nsp_policy_class *class_;

    if (index >= nsp_policy_class_count(snapshot->policy))
        return NSP_NOT_FOUND;
    class_ = nsp_policy_get_class(snapshot->policy, index);
    *ret = (struct nsp_class_stats){ .of_rule = class_->of_rule };
    memcpy(ret->name, class_->name, sizeof ret->name);
    for (uint32_t q = 0; q < s->worker_count; q++) {
        struct nsp_rule_counters one;

        nsp_worker_read_class_stats(&s->workers[q],
                                    snapshot->class_slots[index], &one);
        nsp_class_stats_add(ret, &one);
    }
    return NSP_OK;
}
