#ifndef NSP_ENGINE_STAGES_H
#define NSP_ENGINE_STAGES_H
#include "engine/worker.h"

/* Where packets wait: each passes the stages it was given, one after the other,
 * a wait until some time, a class's queue and serialiser, windows, then a delay
 * line.
 *
 * The queue of a class is one worker's, for each direction. Packets of others
 * go there and come back (handover.h); all else about them stays with the
 * worker that took them from its device: counters, delays, delivery.
 *
 * Threads  The worker's own. Cost  No allocation, lock or system call. */

/* Where the next stage of 'pkt' is to be written, behind those it already has,
 * but for 'waited'. Any part may be missing: NSP_SLOT_NONE, 0, false. (Written
 * in place, as a copy would wait for its parts to be stored.) */
static inline struct nsp_pkt_stage *
nsp_stages_next(struct nsp_pkt *pkt)
{
    assert(pkt->stage_count < NSP_PKT_STAGES_MAX);
    return &pkt->stages[pkt->stage_count];
}

/* Adds the stage written there, unless it holds nothing up. */
static inline void
nsp_stages_add(struct nsp_pkt *pkt)
{
    struct nsp_pkt_stage *stage = nsp_stages_next(pkt);

    stage->waited = false;
    if (stage->enter_ns != 0 || stage->delay_ns != 0 || stage->windows ||
        stage->class_slot != NSP_SLOT_NONE)
        pkt->stage_count++;
}

/* Adds a stage of nothing but a delay, which is not 0. */
static inline void
nsp_stages_add_delay(struct nsp_pkt *pkt, uint32_t rule_slot, uint64_t delay_ns)
{
    struct nsp_pkt_stage *stage = nsp_stages_next(pkt);

    stage->enter_ns = 0;
    stage->delay_ns = delay_ns;
    stage->rule_slot = rule_slot;
    stage->class_slot = NSP_SLOT_NONE;
    stage->windows = stage->keep_order = stage->waited = false;
    pkt->stage_count++;
}

/* Makes the stage that was added last keep order. */
static inline void
nsp_stages_keep_order(struct nsp_pkt *pkt)
{
    pkt->stages[pkt->stage_count - 1].keep_order = true;
}

/* Sends 'pkt' through its stages, and delivers it when there are none. Where it
 * cannot be held, it is dropped with the reason. */
void nsp_stages_begin(struct nsp_worker *w, struct nsp_pkt *pkt);

/* Lets go what is due; returns how many packets moved. Bounded, so that a flood
 * of due packets cannot keep the worker from the device. */
uint32_t nsp_stages_release_due(struct nsp_worker *w);

/* Takes in what other workers have sent: packets for the queues of this one,
 * and its own that come back from theirs. Returns how many packets moved. */
uint32_t nsp_stages_receive(struct nsp_worker *w);

/* Sends what was collected for other workers. Afterwards nothing of this
 * iteration is touched for packets that are no longer here. */
void nsp_stages_post(struct nsp_worker *w);

/* Gives classes of the snapshot their rates, as if all had got them when it was
 * taken up: some in each call, and what is put into, or let out of, the queue
 * of another sees to that before. Ends 'adopts' when all have. */
void nsp_stages_adopt(struct nsp_worker *w);

/* Delivers all, at once, in order; packets of other workers go back to
 * them, to be delivered. */
void nsp_stages_drain(struct nsp_worker *w);

#endif /* NSP_ENGINE_STAGES_H */
