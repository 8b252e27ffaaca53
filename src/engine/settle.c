#include "engine/settle.h"

#include <string.h>

#include "engine/offload.h"
#include "engine/worker.h"

/* Which packets of a flow's way have it told, by their number. */
#define TOLD_EVERY 16u
#define TOLD_AT    4u

/* What the kernel is to do with packets that meet the same rules as packet
 * 'i'; NSP_OFFLOAD_ASK where that is not for it. Stores the rule. */
static uint8_t
verdict(const struct nsp_worker *w, uint32_t i, uint32_t *ret_rule)
{
    uint8_t does;

    *ret_rule = NSP_OFFLOAD_NO_RULE;
    if (w->matches.count[i] == 0)
        return NSP_OFFLOAD_PASS;
    if (w->matches.count[i] > 1)
        return NSP_OFFLOAD_ASK;
    *ret_rule = w->matches.rules[i][0];
    does =
        nsp_offload_does(nsp_policy_get_rule(w->snapshot->policy, *ret_rule));
    return does == NSP_OFFLOAD_PASS || does == NSP_OFFLOAD_DROP
               ? does
               : NSP_OFFLOAD_ASK;
}

static void
describe(const struct nsp_pkt *pkt, struct nsp_offload_flow *ret)
{
    const uint8_t *ip = pkt->data + pkt->l3_off;

    *ret = (struct nsp_offload_flow){
        .ifindex =
            pkt->direction == NSP_OUTBOUND ? pkt->out_ifindex : pkt->in_ifindex,
        .direction = pkt->direction,
        .ipv6 = pkt->l3 == NSP_L3_IPV6,
        .protocol = pkt->ip_proto,
    };
    memcpy(ret->ports, pkt->data + pkt->l4_off, sizeof ret->ports);
    if (ret->ipv6) {
        memcpy(ret->addresses, ip + 8, sizeof ret->addresses);
        return;
    }
    memcpy(ret->addresses[0], ip + 12, 4);
    memcpy(ret->addresses[1], ip + 16, 4);
}

void
nsp_settle_note(struct nsp_worker *w, struct nsp_pkt *const pkts[], uint32_t n)
{
    uint64_t settled = w->matches.settled;

    assert(n <= NSP_BURST_MAX);
    for (; settled != 0 && w->settled.count < NSP_SETTLED_MAX;
         settled &= settled - 1) {
        uint32_t i = nsp_ctz_u64(settled), rule;
        struct nsp_offload_flow *flow = &w->settled.flows[w->settled.count];
        uint8_t does;

        if (w->flows.hits[i].number % TOLD_EVERY != TOLD_AT ||
            pkts[i]->essential != NSP_ESSENTIAL_NONE ||
            pkts[i]->l4 == NSP_L4_NONE)
            continue;
        does = verdict(w, i, &rule);
        if (does == NSP_OFFLOAD_ASK)
            continue;
        describe(pkts[i], flow);
        flow->does = does;
        flow->rule = rule;
        w->settled.count++;
    }
}

void
nsp_settle_push(struct nsp_worker *w, bool drained)
{
    struct nsp_settled *s = &w->settled;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < s->count; i++)
        if (drained || s->flows[i].does == NSP_OFFLOAD_DROP)
            s->flows[kept++] = s->flows[i];
    s->count = 0;
    if (kept > 0)
        w->ops->offload_flows(w->io, s->flows, kept, w->snapshot->generation);
}
