#ifndef NSP_ENGINE_WAITS_H
#define NSP_ENGINE_WAITS_H
#include "engine/idling.h"
#include "engine/pacer.h"
#include "os/os.h"

/* How a worker waits for what is due, in the time of a live device: it wakes
 * earlier by what waits are late, and has the system keep processors from
 * sleeping deeply meanwhile; or, where that is asked, it does not sleep.
 *
 * Threads    One worker owns its waits. */
struct nsp_waits {
    struct nsp_pacer pacer;
    struct nsp_idling idling;
    struct nsp_cpu_latency latency;
    bool busy;
    uint64_t awake_until_ns; /* For packets that may follow. */
    uint64_t looked_ns;      /* At the device, the last time. */
};

/* How long a busy worker waits awake for the next packet. */
#define NSP_WAITS_BUSY_NS UINT64_C(1000000000)

#define NSP_WAITS_LOOK_NS UINT64_C(1000000)

/* With 'prompt', processors are to wake promptly while something is due soon.
 * With 'busy', the worker does not sleep meanwhile, nor for NSP_WAITS_BUSY_NS
 * after packets moved, and processors are to wake promptly then, too. */
void nsp_waits_open(struct nsp_waits *waits, bool prompt, bool busy);
void nsp_waits_close(struct nsp_waits *waits);

/* Tells that packets have moved. */
static inline void
nsp_waits_moved(struct nsp_waits *waits, uint64_t now_ns)
{
    waits->awake_until_ns = now_ns + NSP_WAITS_BUSY_NS;
}

/* Devices hear of more than packets when they are waited for. Tells whether one
 * that waits awake should look there: once in NSP_WAITS_LOOK_NS. */
static inline bool
nsp_waits_look(struct nsp_waits *waits, uint64_t now_ns)
{
    if (now_ns - waits->looked_ns < NSP_WAITS_LOOK_NS)
        return false;
    waits->looked_ns = now_ns;
    return true;
}

/* Tells until when to sleep if the next packet is due at 'due_ns', and
 * something else at 'deadline_ns' (NSP_TIME_NEVER: nothing is). 'now_ns' or
 * earlier: not at all. */
uint64_t nsp_waits_until_ns(struct nsp_waits *waits, uint64_t now_ns,
                            uint64_t due_ns,
                            uint64_t deadline_ns) NSP_MUSTCHECK;

/* Tells that a sleep until 'until_ns' has ended at 'now_ns'. */
void nsp_waits_woke(struct nsp_waits *waits, uint64_t until_ns,
                    uint64_t now_ns);

#endif /* NSP_ENGINE_WAITS_H */
