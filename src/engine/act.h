#ifndef NSP_ENGINE_ACT_H
#define NSP_ENGINE_ACT_H
#include "engine/worker.h"

/* Does what the 'count' rules at 'rules', by their index in the worker's
 * snapshot, say of 'pkt', in order; then it is on its way or dropped. With no
 * rules it passes. Rules judge the packet as it came: edits are made last.
 * 'hit' is its flow, where flows are tracked.
 *
 * Threads  The worker's own. Cost  No allocation, lock or system call. */
void nsp_act(struct nsp_worker *w, struct nsp_pkt *pkt,
             const struct nsp_flow_hit *hit, const uint32_t rules[],
             uint32_t count);

#endif /* NSP_ENGINE_ACT_H */
