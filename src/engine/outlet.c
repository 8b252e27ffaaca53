#include "engine/outlet.h"

#include <errno.h>

#include "packet/reply.h"

/* --- Counting ------------------------------------------------------------ */

void
nsp_outlet_count_in(struct nsp_worker *w, struct nsp_pkt *const pkts[],
                    uint32_t n)
{
    uint64_t bytes = 0, malformed = 0;

    for (uint32_t i = 0; i < n; i++) {
        pkts[i]->rule = NSP_RULE_NONE;
        pkts[i]->extra_delay_ns = 0;
        pkts[i]->note = NULL;
        pkts[i]->stage_count = 0;
        pkts[i]->essential = NSP_ESSENTIAL_NONE;
        pkts[i]->charged_bytes = pkts[i]->ip_bytes;
        bytes += pkts[i]->ip_bytes;
        malformed += (pkts[i]->flags & NSP_PKT_MALFORMED) != 0;
    }
    w->counted.in_pkts += n;
    w->counted.in_bytes += bytes;
    w->counted.malformed_pkts += malformed;
}

static void
count_dropped(struct nsp_worker *w, const struct nsp_pkt *pkt,
              enum nsp_drop_reason reason)
{
    struct nsp_rule_counters *rule = nsp_outlet_rule_counters(w, pkt);

    w->counted.dropped_pkts[reason]++;
    w->counted.dropped_bytes[reason] += pkt->charged_bytes;
    if (rule) {
        rule->dropped_pkts[reason]++;
        rule->dropped_bytes += pkt->charged_bytes;
    }
}

/* What a packet is counted with when it leaves: it is the device's by then. */
struct charge {
    uint32_t rule, bytes; /* As of the packet. */
    bool modified;
};

static struct nsp_rule_counters *
charged_rule(struct nsp_worker *w, const struct charge *charge)
{
    if (charge->rule == NSP_RULE_NONE)
        return NULL;
    return nsp_outlet_counters(
        w, &nsp_state_rule(&w->states, charge->rule)->tally);
}

static void
count_delivered(struct nsp_worker *w, const struct charge *charge)
{
    struct nsp_rule_counters *rule = charged_rule(w, charge);

    w->counted.delivered_pkts++;
    w->counted.delivered_bytes += charge->bytes;
    w->counted.modified_pkts += charge->modified;
    if (rule) {
        rule->delivered_pkts++;
        rule->delivered_bytes += charge->bytes;
    }
}

/* Counts as dropped what the device refused after all. */
static void
count_refused(struct nsp_worker *w, const struct charge *charge)
{
    struct nsp_rule_counters *rule = charged_rule(w, charge);

    w->counted.delivered_pkts--;
    w->counted.delivered_bytes -= charge->bytes;
    w->counted.modified_pkts -= charge->modified;
    w->counted.dropped_pkts[NSP_DROP_TX_FAILED]++;
    w->counted.dropped_bytes[NSP_DROP_TX_FAILED] += charge->bytes;
    if (rule) {
        rule->delivered_pkts--;
        rule->delivered_bytes -= charge->bytes;
        rule->dropped_pkts[NSP_DROP_TX_FAILED]++;
        rule->dropped_bytes += charge->bytes;
    }
}

void
nsp_outlet_publish(struct nsp_worker *w)
{
    nsp_counters_publish(&w->published_stats, (const uint64_t *)&w->counted,
                         NSP_STATS_WORDS);
    while (w->changed) {
        struct nsp_tally *tally = w->changed;

        /* Who reads that nothing is queued any more may take the slot away:
         * nothing is touched afterwards. */
        w->changed = tally->next_changed;
        tally->changed = false;
        nsp_counters_publish(&tally->published,
                             (const uint64_t *)&tally->counted, NSP_RULE_WORDS);
    }
}

/* --- Fates ---------------------------------------------------------------- */

static uint8_t
effects_on(const struct nsp_pkt *pkt)
{
    uint8_t effects =
        (pkt->flags & NSP_PKT_MODIFIED) != 0 ? NSP_FATE_EDITED : 0;

    for (uint32_t i = 0; i < pkt->stage_count; i++) {
        if (pkt->stages[i].class_slot != NSP_SLOT_NONE)
            effects |= NSP_FATE_QUEUED;
        if (pkt->stages[i].delay_ns > 0 || pkt->stages[i].windows ||
            pkt->stages[i].waited)
            effects |= NSP_FATE_DELAYED;
    }
    return effects;
}

/* Tells who asked for it what becomes of 'pkts'. */
static void
tell_fates(struct nsp_worker *w, struct nsp_pkt *const pkts[], uint32_t n,
           bool dropped, enum nsp_drop_reason reason)
{
    const struct nsp_engine_config *user = &w->config->user;
    struct nsp_fate fates[NSP_BURST_MAX];

    for (uint32_t i = 0; i < n; i++)
        fates[i] = (struct nsp_fate){
            .pkt = pkts[i],
            .rule = pkts[i]->rule == NSP_RULE_NONE
                        ? NULL
                        : nsp_state_rule(&w->states, pkts[i]->rule)->name,
            .effects = effects_on(pkts[i]),
            .dropped = dropped,
            .reason = (uint8_t)reason,
            .at_ns = pkts[i]->timer.due_ns,
        };
    user->fates(user->fates_context, w->queue, fates, n);
}

/* --- Ways out ------------------------------------------------------------ */

static struct charge
charge_of(const struct nsp_pkt *pkt)
{
    return (struct charge){ pkt->rule, pkt->charged_bytes,
                            (pkt->flags & NSP_PKT_MODIFIED) != 0 };
}

/* Sends 'pkts'. They are the device's afterwards, so they are counted as
 * delivered first; what is needed to correct that for the refused ones is noted
 * down. */
void
nsp_outlet_send_burst(struct nsp_worker *w, struct nsp_pkt *const pkts[],
                      uint32_t n)
{
    struct charge charges[NSP_BURST_MAX];
    bool refused[NSP_BURST_MAX] = { false };

    if (w->config->user.fates)
        tell_fates(w, pkts, n, false, NSP_DROP_RULE);
    for (uint32_t i = 0; i < n; i++) {
        charges[i] = charge_of(pkts[i]);
        count_delivered(w, &charges[i]);
    }
    if (w->ops->tx_burst(w->io, w->queue, w->now_ns, pkts, n, refused) == 0)
        return;
    for (uint32_t i = 0; i < n; i++)
        if (refused[i])
            count_refused(w, &charges[i]);
}

static bool
is_copy(const struct nsp_pkt *pkt)
{
    return (pkt->flags & NSP_PKT_COPY) != 0;
}

static void
send_copy(struct nsp_worker *w, struct nsp_pkt *pkt)
{
    uint32_t held_bytes = pkt->cap_bytes - pkt->l3_off;
    struct charge charge = charge_of(pkt);

    if (w->config->user.fates)
        tell_fates(w, &pkt, 1, false, NSP_DROP_RULE);
    count_delivered(w, &charge);
    if (w->ops->inject(w->io, w->queue, pkt->timer.due_ns,
                       pkt->data + pkt->l3_off,
                       nsp_min_u32(pkt->ip_bytes, held_bytes), false, pkt) < 0)
        count_refused(w, &charge);
    nsp_copies_release(&w->copies, pkt);
}

/* Copies go in their turn, between bursts of others. */
static void
send_with_copies(struct nsp_worker *w)
{
    for (uint32_t i = 0, run; i < w->tx_count; i += run) {
        run = 0;
        while (i + run < w->tx_count && !is_copy(w->tx[i + run]))
            run++;
        if (run > 0) {
            nsp_outlet_send_burst(w, w->tx + i, run);
        } else {
            send_copy(w, w->tx[i]);
            run = 1;
        }
    }
}

void
nsp_outlet_flush_tx(struct nsp_worker *w)
{
    if (w->tx_count == 0)
        return;
    if (w->tx_has_copies)
        send_with_copies(w);
    else
        nsp_outlet_send_burst(w, w->tx, w->tx_count);
    w->tx_count = 0;
    w->tx_has_copies = false;
}

static void
flush_dropped(struct nsp_worker *w)
{
    if (w->dropped_count == 0)
        return;
    w->ops->drop_burst(w->io, w->queue, w->dropped, w->dropped_count);
    w->dropped_count = 0;
}

void
nsp_outlet_drop(struct nsp_worker *w, struct nsp_pkt *pkt,
                enum nsp_drop_reason reason)
{
    count_dropped(w, pkt, reason);
    if (w->config->user.fates) {
        pkt->timer.due_ns = w->now_ns;
        nsp_outlet_flush_tx(w); /* What left before is told before. */
        tell_fates(w, &pkt, 1, true, reason);
    }
    if (is_copy(pkt)) {
        nsp_copies_release(&w->copies, pkt);
        return;
    }
    w->dropped[w->dropped_count++] = pkt;
    if (w->dropped_count == NSP_BURST_MAX)
        flush_dropped(w);
}

struct nsp_pkt *
nsp_outlet_copy(struct nsp_worker *w, const struct nsp_pkt *pkt)
{
    struct nsp_pkt *copy = nsp_copies_take(&w->copies, pkt);
    struct nsp_rule_counters *rule;

    w->counted.duplicated_pkts++;
    w->counted.duplicated_bytes += pkt->charged_bytes;
    if (copy)
        return copy;
    rule = nsp_outlet_rule_counters(w, pkt);
    if (rule) {
        rule->in_pkts++;
        rule->in_bytes += pkt->charged_bytes;
    }
    count_dropped(w, pkt, NSP_DROP_NO_BUFFER);
    return NULL;
}

int
nsp_outlet_inject(struct nsp_worker *w, const uint8_t *ip, uint32_t ip_bytes,
                  bool reply, const struct nsp_pkt *like)
{
    int err = -ENOTSUP;

    /* It overtakes nothing: a reset before the last step of a handshake would
     * find no connection. */
    nsp_outlet_flush_tx(w);
    if ((w->ops->caps & NSP_IO_CAN_INJECT) != 0)
        err = w->ops->inject(w->io, w->queue, w->now_ns, ip, ip_bytes, reply,
                             like);
    if (err < 0)
        w->counted.inject_failed_pkts++;
    else
        w->counted.injected_pkts++;
    return err < 0 ? err : 0;
}

void
nsp_outlet_reject(struct nsp_worker *w, struct nsp_pkt *pkt)
{
    uint32_t bytes = nsp_reply_build(pkt, w->reply);

    if (bytes > 0)
        nsp_outlet_inject(w, w->reply, bytes, true, pkt);
    nsp_outlet_drop(w, pkt, NSP_DROP_REJECT);
}

void
nsp_outlet_flush(struct nsp_worker *w)
{
    nsp_outlet_flush_tx(w);
    flush_dropped(w);
}
