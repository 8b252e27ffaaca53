#ifndef NSP_ENGINE_OUTLET_H
#define NSP_ENGINE_OUTLET_H
#include "engine/worker.h"

/* The ways out of a worker, and the counting that goes with each: every packet
 * that came in leaves by exactly one of deliver, drop and reject, once.
 *
 * A packet is charged with the length it arrived with, so that edits cannot
 * break the accounting identity. Packets leave in bursts, at the latest when
 * the worker flushes at the end of an iteration.
 *
 * Threads  The worker's own. Cost  No allocation, lock or system call but the
 *          device's. */

/* Counts 'n' parsed packets in. */
void nsp_outlet_count_in(struct nsp_worker *w, struct nsp_pkt *const pkts[],
                         uint32_t n);

/* The counters of 'tally', to be published. */
static inline struct nsp_rule_counters *
nsp_outlet_counters(struct nsp_worker *w, struct nsp_tally *tally)
{
    if (!tally->changed) {
        tally->changed = true;
        tally->next_changed = w->changed;
        w->changed = tally;
    }
    return &tally->counted;
}

/* The counters of the rule that decided 'pkt', to be published; NULL if none.
 */
static inline struct nsp_rule_counters *
nsp_outlet_rule_counters(struct nsp_worker *w, const struct nsp_pkt *pkt)
{
    if (pkt->rule == NSP_RULE_NONE)
        return NULL;
    return nsp_outlet_counters(w,
                               &nsp_state_rule(&w->states, pkt->rule)->tally);
}

/* Counts a packet that begins, or ends, to wait. */
static inline void
nsp_outlet_count_held(struct nsp_worker *w, const struct nsp_pkt *pkt)
{
    struct nsp_rule_counters *rule = nsp_outlet_rule_counters(w, pkt);

    w->counted.queued_pkts++;
    w->counted.queued_bytes += pkt->charged_bytes;
    if (rule) {
        rule->queued_pkts++;
        rule->queued_bytes += pkt->charged_bytes;
    }
}

/* Packets that end to wait one after the other, to be counted at once as long
 * as they are of one rule. */
struct nsp_unheld {
    uint32_t rule, pkts;
    uint64_t bytes;
};

static inline void
nsp_unheld_count(const struct nsp_unheld *unheld, struct nsp_worker *w)
{
    struct nsp_rule_counters *rule;

    w->counted.queued_pkts -= unheld->pkts;
    w->counted.queued_bytes -= unheld->bytes;
    if (unheld->rule == NSP_RULE_NONE)
        return;
    rule = nsp_outlet_counters(
        w, &nsp_state_rule(&w->states, unheld->rule)->tally);
    rule->queued_pkts -= unheld->pkts;
    rule->queued_bytes -= unheld->bytes;
}

static inline void
nsp_unheld_add(struct nsp_unheld *unheld, struct nsp_worker *w,
               const struct nsp_pkt *pkt)
{
    if (pkt->rule != unheld->rule) {
        nsp_unheld_count(unheld, w);
        *unheld = (struct nsp_unheld){ .rule = pkt->rule };
    }
    unheld->pkts++;
    unheld->bytes += pkt->charged_bytes;
}

static inline void
nsp_outlet_count_unheld(struct nsp_worker *w, const struct nsp_pkt *pkt)
{
    const struct nsp_unheld unheld = { pkt->rule, 1, pkt->charged_bytes };

    nsp_unheld_count(&unheld, w);
}

/* Sends what was delivered so far. */
void nsp_outlet_flush_tx(struct nsp_worker *w);

static inline void
nsp_outlet_deliver(struct nsp_worker *w, struct nsp_pkt *pkt)
{
    pkt->timer.due_ns = w->now_ns;
    w->tx_has_copies |= (pkt->flags & NSP_PKT_COPY) != 0;
    w->tx[w->tx_count++] = pkt;
    if (w->tx_count == NSP_BURST_MAX)
        nsp_outlet_flush_tx(w);
}

void nsp_outlet_drop(struct nsp_worker *w, struct nsp_pkt *pkt,
                     enum nsp_drop_reason reason);

/* A copy of 'pkt' to be acted on like a packet that came in; NULL, and counted
 * as dropped, where there is no room for one. */
struct nsp_pkt *nsp_outlet_copy(struct nsp_worker *w,
                                const struct nsp_pkt *pkt);

/* Drops 'pkt' and answers it, where an answer is due. */
void nsp_outlet_reject(struct nsp_worker *w, struct nsp_pkt *pkt);

/* Sends an IP packet besides, behind all that was delivered so far. Returns 0
 * or a negative errno; both are counted. */
int nsp_outlet_inject(struct nsp_worker *w, const uint8_t *ip,
                      uint32_t ip_bytes, bool reply,
                      const struct nsp_pkt *like);

/* Delivers a whole burst at once; flush first what must go before it. */
void nsp_outlet_send_burst(struct nsp_worker *w, struct nsp_pkt *const pkts[],
                           uint32_t n);

/* Hands everything collected to the device. */
void nsp_outlet_flush(struct nsp_worker *w);

/* Makes the counters visible to readers; the identity holds now. */
void nsp_outlet_publish(struct nsp_worker *w);

#endif /* NSP_ENGINE_OUTLET_H */
