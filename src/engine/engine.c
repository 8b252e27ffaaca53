#include "engine/engine.h"

#include <string.h>

#include "base/diag.h"
#include "engine/session.h"

enum state {
    STATE_IDLE,
    STATE_STARTING,
    STATE_STARTED,
    STATE_RUNNING,
};

static void
free_engine(struct nsp_engine *engine)
{
    struct nsp_allocator allocator = engine->config.allocator;

    nsp_gate_destroy(engine->gate);
    nsp_release(&allocator, engine->last_rules);
    nsp_release(&allocator, engine->last_classes);
    nsp_events_destroy(engine->last_events);
    nsp_ruleset_unref(engine->ruleset);
    nsp_config_fini(&engine->config);
    nsp_release(&allocator, engine);
}

static int
out_of_memory(struct nsp_diag *reterr)
{
    return nsp_diag_set(reterr, NSP_NO_MEMORY, "out-of-memory", NULL,
                        "no memory for an engine");
}

/* Checks and compiles 'policy' for this engine. */
static int
compile_policy(const struct nsp_config *config,
               const struct nsp_policy_spec *policy, struct nsp_ruleset **ret,
               struct nsp_diag *reterr)
{
    struct nsp_ruleset *ruleset;
    int result = nsp_ruleset_create(policy, nsp_plan_layer(config),
                                    &config->allocator, &ruleset, reterr);

    if (result == NSP_OK)
        result =
            nsp_plan_check_workers(config, nsp_ruleset_policy(ruleset), reterr);
    else
        return result;
    if (result != NSP_OK) {
        nsp_ruleset_unref(ruleset);
        return result;
    }
    *ret = ruleset;
    return NSP_OK;
}

/* Room for the last counters of 'ruleset', zeroed. */
struct last_counters {
    struct nsp_rule_stats *rules;
    struct nsp_class_stats *classes;
};

static int
make_room(const struct nsp_config *config, const struct nsp_ruleset *ruleset,
          struct last_counters *ret)
{
    const struct nsp_policy *policy = nsp_ruleset_policy(ruleset);
    const struct nsp_allocator *allocator = &config->allocator;

    ret->rules = nsp_alloc(allocator, nsp_policy_rule_count(policy) + 1u,
                           sizeof *ret->rules);
    ret->classes = nsp_alloc(allocator, nsp_policy_class_count(policy) + 1u,
                             sizeof *ret->classes);
    if (ret->rules && ret->classes)
        return NSP_OK;
    nsp_release(allocator, ret->rules);
    nsp_release(allocator, ret->classes);
    return NSP_NO_MEMORY;
}

/* Takes both over. */
static void
take_ruleset(struct nsp_engine *engine, struct nsp_ruleset *ruleset,
             const struct last_counters *room)
{
    const struct nsp_allocator *allocator = &engine->config.allocator;

    nsp_ruleset_unref(engine->ruleset);
    engine->ruleset = ruleset;
    nsp_release(allocator, engine->last_rules);
    nsp_release(allocator, engine->last_classes);
    engine->last_rules = room->rules;
    engine->last_classes = room->classes;
}

/* Builds an engine of the complete 'config', of which it takes a copy, and of
 * 'ruleset', which it takes over when all went well. */
static int
build_engine(const struct nsp_config *config, struct nsp_ruleset *ruleset,
             struct nsp_engine **ret)
{
    struct nsp_engine *engine =
        nsp_alloc(&config->allocator, 1, sizeof *engine);
    struct last_counters room;

    if (!engine)
        return NSP_NO_MEMORY;
    if (nsp_gate_create(&config->allocator, &engine->gate) < 0)
        goto oom;
    if (make_room(config, ruleset, &room) != NSP_OK)
        goto oom;
    engine->config = *config;
    /* Pointers into the configuration must lead into this copy of it. */
    engine->config.device = nsp_config_device(&engine->config);
    atomic_init(&engine->refs, 1);
    take_ruleset(engine, ruleset, &room);
    *ret = engine;
    return NSP_OK;

oom:
    nsp_gate_destroy(engine->gate);
    nsp_release(&config->allocator, engine);
    return NSP_NO_MEMORY;
}

int
nsp_engine_create(const struct nsp_engine_config *cfg, struct nsp_engine **ret,
                  struct nsp_diag *reterr)
{
    struct nsp_ruleset *ruleset = NULL;
    struct nsp_config config;
    int result;

    if (!cfg || !ret)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "null-argument",
                            NULL,
                            "no configuration or no place for the engine");
    result = nsp_config_init(&config, cfg, reterr);
    if (result != NSP_OK)
        return result;
    result = compile_policy(&config, &cfg->policy, &ruleset, reterr);
    if (result == NSP_OK && build_engine(&config, ruleset, ret) != NSP_OK)
        result = out_of_memory(reterr);
    if (result != NSP_OK) {
        nsp_ruleset_unref(ruleset);
        nsp_config_fini(&config);
    }
    return result;
}

/* --- Session, under the gate --------------------------------------------- */

/* Called first by whoever may close the session, so that what it then checks
 * stays true. A worker's callback must not wait: the change waits for it, and
 * it closes nothing. */
static void
wait_for_change(struct nsp_engine *engine)
{
    while (engine->changing &&
           !nsp_session_on_worker(atomic_load(&engine->session)))
        nsp_gate_wait(engine->gate);
}

static void
keep_counters(struct nsp_engine *engine, struct nsp_session *session)
{
    const struct nsp_policy *policy = nsp_ruleset_policy(engine->ruleset);

    nsp_session_read_stats(session, &engine->last_stats);
    for (uint32_t i = 0; i < nsp_policy_rule_count(policy); i++)
        (void)!nsp_session_read_rule_stats(session, i, &engine->last_rules[i]);
    for (uint32_t i = 0; i < nsp_policy_class_count(policy); i++)
        (void)!nsp_session_read_class_stats(session, i,
                                            &engine->last_classes[i]);
    engine->last_diag = session->diag;
}

static void
close_session(struct nsp_engine *engine)
{
    struct nsp_session *session = atomic_load(&engine->session);

    assert(!engine->changing);
    atomic_store(&engine->session, NULL);
    while (atomic_load(&engine->stoppers) != 0)
        nsp_thread_yield();
    keep_counters(engine, session);
    engine->last_events = nsp_session_take_events(session);
    nsp_session_close(session);
    atomic_store(&engine->state, STATE_IDLE);
    nsp_gate_notify(engine->gate);
}

/* Closes an engine that was stopped between start and run. */
static void
close_if_stopped(struct nsp_engine *engine)
{
    if (atomic_load(&engine->state) == STATE_STARTED &&
        atomic_load(&engine->stop))
        close_session(engine);
}

/* --- Calls --------------------------------------------------------------- */

static int
refuse_start(int result, struct nsp_diag *reterr)
{
    return nsp_diag_set(reterr, result, nsp_result_name(result), NULL, "%s",
                        nsp_result_text(result));
}

/* Moves an idle engine to STARTING, with a reference for the caller. */
static int
begin_start(struct nsp_engine *engine)
{
    int result = NSP_OK;

    nsp_gate_lock(engine->gate);
    wait_for_change(engine);
    close_if_stopped(engine);
    if (atomic_load(&engine->disposed))
        result = NSP_DISPOSED;
    else if (atomic_load(&engine->state) != STATE_IDLE)
        result = NSP_ALREADY_RUNNING;
    if (result == NSP_OK) {
        engine->last_events = nsp_events_destroy(engine->last_events);
        atomic_store(&engine->stop, false);
        atomic_store(&engine->state, STATE_STARTING);
        nsp_engine_ref(engine);
    }
    nsp_gate_unlock(engine->gate);
    return result;
}

/* Moves on to 'next' with the open 'session', unless something came between. */
static int
finish_start(struct nsp_engine *engine, struct nsp_session *session,
             enum state next)
{
    int result = NSP_OK;

    nsp_gate_lock(engine->gate);
    atomic_store(&engine->session, session);
    atomic_store(&engine->state, next);
    if (atomic_load(&engine->disposed))
        result = NSP_DISPOSED;
    else if (atomic_load(&engine->stop))
        result = NSP_STOPPED;
    if (result != NSP_OK)
        close_session(engine);
    nsp_gate_unlock(engine->gate);
    return result;
}

static void
give_up_start(struct nsp_engine *engine)
{
    nsp_gate_lock(engine->gate);
    atomic_store(&engine->state, STATE_IDLE);
    nsp_gate_notify(engine->gate);
    nsp_gate_unlock(engine->gate);
}

/* Opens a session of 'config', which outlives it, and leaves the engine in
 * 'next'. */
static int
start(struct nsp_engine *engine, const struct nsp_config *config,
      const char *filter, enum state next, struct nsp_diag *reterr)
{
    struct nsp_session *session;
    int result;

    if (!engine)
        return refuse_start(NSP_INVALID_HANDLE, reterr);
    if (!filter)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "null-argument",
                            "\"true\" matches everything", "no filter");
    result = begin_start(engine);
    if (result != NSP_OK)
        return refuse_start(result, reterr);

    /* Nobody changes the ruleset while the engine is starting. */
    result = nsp_session_open(config, engine->ruleset, filter, &engine->stop,
                              &session, reterr);
    if (result != NSP_OK) {
        give_up_start(engine);
    } else {
        result = finish_start(engine, session, next);
        if (result != NSP_OK)
            refuse_start(result, reterr);
    }
    nsp_engine_unref(engine);
    return result;
}

int
nsp_engine_start(struct nsp_engine *engine, const char *filter,
                 struct nsp_diag *reterr)
{
    return start(engine, engine ? &engine->config : NULL, filter, STATE_STARTED,
                 reterr);
}

/* Under the gate: what keeps the policy from being changed. */
static int
refuse_policy(struct nsp_engine *engine)
{
    struct nsp_session *session = atomic_load(&engine->session);

    if (atomic_load(&engine->disposed))
        return NSP_DISPOSED;
    if (atomic_load(&engine->state) == STATE_STARTING)
        return NSP_INVALID_STATE;
    if (session && nsp_session_on_worker(session))
        return NSP_INVALID_STATE;
    return NSP_OK;
}

/* Takes 'ruleset' and 'room' over when all went well. */
static int
change_ruleset(struct nsp_engine *engine, struct nsp_ruleset *ruleset,
               const struct last_counters *room, struct nsp_diag *reterr)
{
    struct nsp_session *session;
    int result;

    nsp_gate_lock(engine->gate);
    /* Before waiting: on a worker, the change in hand waits for this thread. */
    result = refuse_policy(engine);
    if (result == NSP_OK) {
        wait_for_change(engine);
        result = refuse_policy(engine);
    }
    if (result != NSP_OK) {
        nsp_gate_unlock(engine->gate);
        return refuse_start(result, reterr);
    }
    session = atomic_load(&engine->session);
    if (session) {
        engine->changing = true;
        nsp_gate_unlock(engine->gate);
        result = nsp_session_set_ruleset(session, ruleset, reterr);
        nsp_gate_lock(engine->gate);
        nsp_session_reclaim(session);
        engine->changing = false;
        nsp_gate_notify(engine->gate);
    }
    if (result == NSP_OK)
        take_ruleset(engine, ruleset, room);
    nsp_gate_unlock(engine->gate);
    return result;
}

int
nsp_engine_set_policy(struct nsp_engine *engine,
                      const struct nsp_policy_spec *policy,
                      struct nsp_diag *reterr)
{
    struct last_counters room = { NULL, NULL };
    struct nsp_ruleset *ruleset;
    int result;

    if (!engine)
        return refuse_start(NSP_INVALID_HANDLE, reterr);
    if (!policy)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "null-argument",
                            NULL, "no policy");
    result = compile_policy(&engine->config, policy, &ruleset, reterr);
    if (result != NSP_OK)
        return result;
    if (make_room(&engine->config, ruleset, &room) != NSP_OK) {
        nsp_ruleset_unref(ruleset);
        return out_of_memory(reterr);
    }

    result = change_ruleset(engine, ruleset, &room, reterr);
    if (result != NSP_OK) {
        nsp_ruleset_unref(ruleset);
        nsp_release(&engine->config.allocator, room.rules);
        nsp_release(&engine->config.allocator, room.classes);
    }
    return result;
}

/* Runs the session of an engine that the caller moved to RUNNING. */
static int
run_session(struct nsp_engine *engine, uint64_t duration_ns)
{
    int result;

    result = nsp_session_loop(atomic_load(&engine->session), duration_ns);
    nsp_gate_lock(engine->gate);
    wait_for_change(engine);
    close_session(engine);
    if (atomic_load(&engine->disposed))
        result = NSP_ABORTED;
    nsp_gate_unlock(engine->gate);
    return result;
}

int
nsp_engine_run_for(struct nsp_engine *engine, uint64_t duration_ns)
{
    int result = NSP_OK;

    if (!engine)
        return NSP_INVALID_HANDLE;
    nsp_gate_lock(engine->gate);
    wait_for_change(engine);
    if (atomic_load(&engine->disposed)) {
        result = NSP_DISPOSED;
    } else if (atomic_load(&engine->state) != STATE_STARTED) {
        result = NSP_INVALID_STATE;
    } else if (atomic_load(&engine->stop)) {
        close_session(engine);
        result = NSP_STOPPED;
    } else {
        atomic_store(&engine->state, STATE_RUNNING);
        nsp_engine_ref(engine);
    }
    nsp_gate_unlock(engine->gate);
    if (result != NSP_OK)
        return result;

    result = run_session(engine, duration_ns);
    nsp_engine_unref(engine);
    return result;
}

int
nsp_engine_run(struct nsp_engine *engine)
{
    return nsp_engine_run_for(engine, NSP_TIME_NEVER);
}

/* Without locks: may run in a signal handler. */
static void
request_stop(struct nsp_engine *engine)
{
    struct nsp_session *session;

    atomic_store(&engine->stop, true);
    atomic_fetch_add(&engine->stoppers, 1);
    session = atomic_load(&engine->session);
    if (session)
        nsp_session_wake(session);
    atomic_fetch_sub(&engine->stoppers, 1);
}

int
nsp_engine_stop(struct nsp_engine *engine)
{
    if (!engine)
        return NSP_INVALID_HANDLE;
    if (atomic_load(&engine->disposed))
        return NSP_DISPOSED;
    if (atomic_load(&engine->state) == STATE_IDLE)
        return NSP_INVALID_STATE;
    request_stop(engine);
    return NSP_OK;
}

/* Waits, under the gate, until nobody starts or runs 'engine'. A callback that
 * destroys its own engine cannot wait for itself. */
static void
wait_until_quiet(struct nsp_engine *engine)
{
    for (;;) {
        int state = atomic_load(&engine->state);

        if (state == STATE_IDLE || state == STATE_STARTED)
            return;
        if (state == STATE_RUNNING &&
            nsp_session_on_worker(atomic_load(&engine->session)))
            return;
        nsp_gate_wait(engine->gate);
    }
}

struct nsp_engine *
nsp_engine_destroy(struct nsp_engine *engine)
{
    if (!engine)
        return NULL;
    nsp_gate_lock(engine->gate);
    wait_for_change(engine);
    atomic_store(&engine->disposed, true); /* No change begins from here on. */
    request_stop(engine);
    wait_until_quiet(engine);
    if (atomic_load(&engine->state) == STATE_STARTED)
        close_session(engine);
    nsp_gate_unlock(engine->gate);
    return nsp_engine_unref(engine);
}

struct nsp_engine *
nsp_engine_ref(struct nsp_engine *engine)
{
    if (engine)
        atomic_fetch_add(&engine->refs, 1);
    return engine;
}

struct nsp_engine *
nsp_engine_unref(struct nsp_engine *engine)
{
    if (!engine || atomic_fetch_sub(&engine->refs, 1) != 1)
        return NULL;
    /* The last one: nobody else can call any more, so no lock. */
    if (atomic_load(&engine->session))
        close_session(engine);
    free_engine(engine);
    return NULL;
}

/* --- One packet ---------------------------------------------------------- */

struct capture {
    struct nsp_engine *engine;
    uint8_t *buffer;
    uint32_t bytes;
    struct nsp_pkt *ret;
    atomic_flag claimed; /* By the worker that copies. */
    bool taken, cut;
};

/* Copies the first packet that it is shown, then lets the engine's own callback
 * see the burst as always. */
static void
take_first(void *context, struct nsp_burst *burst)
{
    struct capture *capture = context;
    const struct nsp_engine_config *user = &capture->engine->config.user;
    const struct nsp_pkt *pkt = burst->pkts[0];

    if (!atomic_flag_test_and_set(&capture->claimed)) {
        uint32_t bytes = nsp_min_u32(pkt->cap_bytes, capture->bytes);

        if (bytes > 0)
            memcpy(capture->buffer, pkt->data, bytes);
        if (capture->ret) {
            *capture->ret = *pkt;
            capture->ret->data = capture->buffer;
            capture->ret->cap_bytes = bytes;
        }
        capture->cut = bytes < pkt->wire_bytes;
        capture->taken = true;
        request_stop(capture->engine);
    }
    if (user->callback)
        user->callback(user->callback_context, burst);
}

int
nsp_engine_capture(struct nsp_engine *engine, const char *filter,
                   uint8_t *buffer, uint32_t bytes, uint64_t timeout_ns,
                   struct nsp_pkt *ret, struct nsp_diag *reterr)
{
    struct capture capture = {
        .engine = engine,
        .buffer = buffer,
        .bytes = bytes,
        .ret = ret,
        .claimed = ATOMIC_FLAG_INIT,
    };
    struct nsp_config config;
    int result;

    if (!engine)
        return refuse_start(NSP_INVALID_HANDLE, reterr);
    if (!buffer || bytes == 0)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "null-argument",
                            NULL, "no buffer for the packet");
    config = engine->config;
    config.user.callback = take_first;
    config.user.callback_context = &capture;
    if (!engine->config.user.callback) {
        config.user.callback_takes_superpackets = true;
        config.user.snap_bytes = bytes;
    }

    nsp_engine_ref(engine);
    /* Straight to RUNNING: nobody else may run a session of this 'config'. */
    result = start(engine, &config, filter, STATE_RUNNING, reterr);
    if (result == NSP_OK) {
        result = run_session(engine, timeout_ns);
        if (capture.taken)
            result = capture.cut ? NSP_BUFFER_TOO_SMALL : NSP_OK;
        else if (result == NSP_OK ||
                 (result == NSP_STOPPED && !atomic_load(&engine->stop)))
            result = NSP_NOT_FOUND;
        if (result < 0)
            refuse_start(result, reterr);
    }
    nsp_engine_unref(engine);
    return result;
}
