#include "engine/waits.h"

#include "netshaper/packet.h"

void
nsp_waits_open(struct nsp_waits *waits, bool prompt, bool busy)
{
    *waits = (struct nsp_waits){ .latency = { .fd = -1 }, .busy = busy };
    nsp_pacer_init(&waits->pacer);
    if (prompt)
        nsp_cpu_latency_open(&waits->latency);
}

void
nsp_waits_close(struct nsp_waits *waits)
{
    nsp_cpu_latency_close(&waits->latency);
}

/* Returns when to decide again at the latest. */
static uint64_t
decide_idling(struct nsp_waits *waits, uint64_t now_ns, uint64_t due_ns)
{
    bool was_prompt = waits->idling.prompt;
    uint64_t until_ns = nsp_idling_decide(&waits->idling, now_ns, due_ns);

    if (waits->idling.prompt != was_prompt)
        nsp_cpu_latency_set(&waits->latency, !was_prompt);
    return until_ns;
}

uint64_t
nsp_waits_until_ns(struct nsp_waits *waits, uint64_t now_ns, uint64_t due_ns,
                   uint64_t deadline_ns)
{
    bool awake = waits->busy &&
                 (due_ns != NSP_TIME_NEVER || now_ns < waits->awake_until_ns);
    uint64_t until_ns;

    if (awake)
        due_ns = now_ns;
    until_ns = nsp_min_u64(due_ns, deadline_ns);
    if (waits->latency.fd >= 0)
        until_ns = nsp_min_u64(until_ns, decide_idling(waits, now_ns, due_ns));
    if (awake) /* What others may wait awake is not spent. */
        return now_ns;
    return nsp_pacer_sleep_until_ns(&waits->pacer, now_ns, until_ns);
}

void
nsp_waits_woke(struct nsp_waits *waits, uint64_t until_ns, uint64_t now_ns)
{
    nsp_pacer_woke(&waits->pacer, until_ns, now_ns);
}
