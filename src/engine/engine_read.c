#include <limits.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/session.h"
#include "io/registry.h"
#include "netshaper/version.h"

/* The session stays, or stays away, until the gate is unlocked. */
static struct nsp_session *
lock(struct nsp_engine *engine)
{
    nsp_gate_lock(engine->gate);
    return atomic_load(&engine->session);
}

int
nsp_engine_read_stats(struct nsp_engine *engine, struct nsp_stats *ret)
{
    struct nsp_session *session;

    if (!engine || !ret)
        return NSP_INVALID_HANDLE;
    session = lock(engine);
    if (session)
        nsp_session_read_stats(session, ret);
    else
        *ret = engine->last_stats;
    nsp_gate_unlock(engine->gate);
    return NSP_OK;
}

int
nsp_engine_read_rule_stats(struct nsp_engine *engine, uint32_t index,
                           struct nsp_rule_stats *ret)
{
    struct nsp_session *session;
    int result = NSP_OK;

    if (!engine || !ret)
        return NSP_INVALID_HANDLE;
    session = lock(engine);
    if (session)
        result = nsp_session_read_rule_stats(session, index, ret);
    else if (index < nsp_policy_rule_count(nsp_ruleset_policy(engine->ruleset)))
        *ret = engine->last_rules[index];
    else
        result = NSP_NOT_FOUND;
    nsp_gate_unlock(engine->gate);
    return result;
}

int
nsp_engine_read_class_stats(struct nsp_engine *engine, uint32_t index,
                            struct nsp_class_stats *ret)
{
    struct nsp_session *session;
    int result = NSP_OK;

    if (!engine || !ret)
        return NSP_INVALID_HANDLE;
    session = lock(engine);
    if (session)
        result = nsp_session_read_class_stats(session, index, ret);
    else if (index <
             nsp_policy_class_count(nsp_ruleset_policy(engine->ruleset)))
        *ret = engine->last_classes[index];
    else
        result = NSP_NOT_FOUND;
    nsp_gate_unlock(engine->gate);
    return result;
}

int
nsp_engine_read_events(struct nsp_engine *engine, nsp_event_fn *fn,
                       void *context, uint32_t max)
{
    struct nsp_session *session;
    struct nsp_events *events;
    uint32_t count = 0;

    if (!engine || !fn)
        return NSP_INVALID_HANDLE;
    session = lock(engine);
    events = session ? session->events : engine->last_events;
    if (events)
        count = nsp_events_read(events, fn, context, nsp_min_u32(max, INT_MAX));
    nsp_gate_unlock(engine->gate);
    return (int)count;
}

int
nsp_engine_read_diag(struct nsp_engine *engine, struct nsp_diag *ret)
{
    if (!engine || !ret)
        return NSP_INVALID_HANDLE;
    nsp_gate_lock(engine->gate);
    *ret = engine->last_diag;
    nsp_gate_unlock(engine->gate);
    return NSP_OK;
}

int
nsp_probe(const char *backend, nsp_probe_fn *report, void *context)
{
    if (!report)
        return NSP_INVALID_PARAMETER;
    if (backend && !nsp_io_find(backend))
        return NSP_NOT_FOUND;
    for (size_t i = 0; i < nsp_io_registry_count; i++) {
        const struct nsp_io_ops *ops = nsp_io_registry[i];

        if (ops->probe && (!backend || strcmp(backend, ops->name) == 0))
            ops->probe(report, context);
    }
    return NSP_OK;
}

const char *
nsp_version(void)
{
    return NSP_VERSION_TEXT;
}

const char *
nsp_features(void)
{
    return "+nfqueue +tap +bridge +pcapfile +memory";
}
