#ifndef NSP_ENGINE_WAITS_H
#define NSP_ENGINE_WAITS_H
#include "engine/idling.h"
#include "engine/pacer.h"
#include "os/os.h"

/* How a worker waits for what is due, in the time of a live device: it wakes
 * earlier by what waits are late, and has the system keep processors from
 * sleeping deeply meanwhile.
 *
 * Threads    One worker owns its waits. */
struct nsp_waits {
    struct nsp_pacer pacer;
    struct nsp_idling idling;
    struct nsp_cpu_latency latency;
};

/* With 'prompt', processors are to wake promptly while something is due soon.
 */
void nsp_waits_open(struct nsp_waits *waits, bool prompt);
void nsp_waits_close(struct nsp_waits *waits);

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
