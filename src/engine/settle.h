#ifndef NSP_ENGINE_SETTLE_H
#define NSP_ENGINE_SETTLE_H
#include "netshaper/io.h"

/* Flows whose verdict a worker tells the kernel, which then decides the rest of
 * their packets (docs/adr/0018).
 *
 * Which      All that a flow's packets have in common decides them, as what the
 *            flow remembers of the rules says (policy/flow_cache.h), and what
 *            decides them is a rule that passes or drops and does nothing else,
 *            or none.
 * When       At the end of the iteration, when the packets of the burst have
 *            been sent. What passes waits for one that has left the device's
 *            ring empty: packets of the flow that wait there would be
 *            overtaken.
 * How often  With every sixteenth packet of a flow's way that still comes here,
 *            from the fourth on, and NSP_SETTLED_MAX flows of a burst. */
struct nsp_worker;

#define NSP_SETTLED_MAX 16u

struct nsp_settled {
    struct nsp_offload_flow flows[NSP_SETTLED_MAX];
    uint32_t count;
};

/* Notes what the rules have made of a burst, before it is acted on. */
void nsp_settle_note(struct nsp_worker *w, struct nsp_pkt *const pkts[],
                     uint32_t n);

/* Tells the kernel what was noted; 'drained' if the device's ring was empty
 * behind the burst. */
void nsp_settle_push(struct nsp_worker *w, bool drained);

#endif /* NSP_ENGINE_SETTLE_H */
