#ifndef NSP_ENGINE_HANDOVER_H
#define NSP_ENGINE_HANDOVER_H
#include <stdatomic.h>

#include "base/base.h"
#include "netshaper/packet.h"

/* Packets on their way from worker to worker.
 *
 * Problem      All packets of a class pass one queue, whichever worker took
 *              them from its device, without a lock and without a limit that
 *              could be hit half-way.
 * Idea         A mailbox for each worker: a list, newest first, to which others
 *              add whole bursts with one compare-and-swap, and from which its
 *              owner takes all at once. The links are the packets' own, so
 *              there is nothing to allocate and nothing that can be full: no
 *              more packets are under way than workers hold.
 * Invariants   - A packet is in one list; who has taken it from there owns it.
 *              - Packets from one worker are received in the order sent.
 *              - A worker that says it sleeps is woken for what comes after.
 * Rejected     Rings between each two workers: memory for the square of their
 *              number, or a reason more to drop.
 *
 * Uses pkt->timer.next while a packet is under way. */
struct nsp_mailbox {
    char pad_before[NSP_CACHE_LINE]; /* Others write here. */
    _Atomic(struct nsp_pkt *) newest;
    atomic_bool asleep;
    char pad_after[NSP_CACHE_LINE];
};

/* Packets for one other worker, collected until the end of an iteration. The
 * sender's own; all zero at first. */
struct nsp_outbox {
    struct nsp_pkt *newest, *oldest;
};

void nsp_outbox_add(struct nsp_outbox *outbox, struct nsp_pkt *pkt);

/* Posts what was collected, and empties the outbox. Returns whether the owner
 * of 'to' has to be woken. */
bool nsp_outbox_post(struct nsp_outbox *outbox, struct nsp_mailbox *to);

/* Takes all out: the oldest, linked to newer ones by timer.next; NULL: none. */
struct nsp_pkt *nsp_mailbox_take(struct nsp_mailbox *mailbox);

/* Says that the owner is about to sleep. Returns false, and takes that back,
 * when something has come. */
bool nsp_mailbox_sleep(struct nsp_mailbox *mailbox);
void nsp_mailbox_awake(struct nsp_mailbox *mailbox);

static inline struct nsp_pkt *
nsp_mailbox_next(const struct nsp_pkt *pkt)
{
    struct nsp_wheel_node *next = pkt->timer.next;

    return next ? NSP_CONTAINER_OF(next, struct nsp_pkt, timer) : NULL;
}

#endif /* NSP_ENGINE_HANDOVER_H */
