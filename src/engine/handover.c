#include "engine/handover.h"

void
nsp_outbox_add(struct nsp_outbox *outbox, struct nsp_pkt *pkt)
{
    pkt->timer.next = outbox->newest ? &outbox->newest->timer : NULL;
    if (!outbox->oldest)
        outbox->oldest = pkt;
    outbox->newest = pkt;
}

bool
nsp_outbox_post(struct nsp_outbox *outbox, struct nsp_mailbox *to)
{
    struct nsp_pkt *before;

    if (!outbox->newest)
        return false;
    before = atomic_load_explicit(&to->newest, memory_order_relaxed);
    do
        outbox->oldest->timer.next = before ? &before->timer : NULL;
    /* Pairs with the exchange of take: the packets are written. In one order
     * with 'asleep', so that not both sides overlook the other. */
    while (!atomic_compare_exchange_weak(&to->newest, &before, outbox->newest));
    *outbox = (struct nsp_outbox){ .newest = NULL };
    return atomic_load(&to->asleep);
}

struct nsp_pkt *
nsp_mailbox_take(struct nsp_mailbox *mailbox)
{
    struct nsp_wheel_node *oldest = NULL;
    struct nsp_pkt *pkt;

    if (!atomic_load_explicit(&mailbox->newest, memory_order_relaxed))
        return NULL;
    pkt = atomic_exchange(&mailbox->newest, NULL);
    while (pkt) {
        struct nsp_pkt *older = nsp_mailbox_next(pkt);

        pkt->timer.next = oldest;
        oldest = &pkt->timer;
        pkt = older;
    }
    return NSP_CONTAINER_OF(oldest, struct nsp_pkt, timer);
}

bool
nsp_mailbox_sleep(struct nsp_mailbox *mailbox)
{
    atomic_store(&mailbox->asleep, true);
    if (!atomic_load(&mailbox->newest))
        return true;
    nsp_mailbox_awake(mailbox);
    return false;
}

void
nsp_mailbox_awake(struct nsp_mailbox *mailbox)
{
    atomic_store_explicit(&mailbox->asleep, false, memory_order_relaxed);
}
