#define _GNU_SOURCE
#include "io/sniff/sniff_filter.h"

#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>

/* Of any packet: more than there is. */
#define ALL_BYTES (256u << 10)

/* A tag comes back in front of the type, in user space. */
#define LINK_BYTES (ETH_HLEN + 4u)

/* Instructions left for what comes around the filter's programs. */
#define AROUND_INSNS 32u

struct maker {
    const struct nsp_filter *filter;
    const struct nsp_sniff_site *site;
    struct nsp_cbpf_insn *insns;
    uint32_t count;
    uint32_t accept; /* Bytes kept. */
    bool filtered;
};

static void
put(struct maker *m, unsigned code, uint8_t jt, uint8_t jf, uint32_t k)
{
    m->insns[m->count++] = (struct nsp_cbpf_insn){
        .code = (uint16_t)code, .jt = jt, .jf = jf, .k = k
    };
}

static void
put_return(struct maker *m, uint32_t bytes)
{
    put(m, BPF_RET | BPF_K, 0, 0, bytes);
}

/* Goes on only if what the kernel knows as 'what' (SKF_AD_*) is 'value'; else
 * to where end_guard() will be called. */
static uint32_t
begin_guard(struct maker *m, int what, uint32_t value)
{
    put(m, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)(SKF_AD_OFF + what));
    put(m, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, value);
    put(m, BPF_JMP | BPF_JA, 0, 0, 0);
    return m->count;
}

static void
end_guard(struct maker *m, uint32_t guard)
{
    m->insns[guard - 1].k = m->count - guard;
}

/* Ends with the filter's word on packets where 'facts' hold. */
static void
put_filter(struct maker *m, const struct nsp_site *facts)
{
    struct nsp_cbpf_insn *insns = m->insns + m->count;
    uint32_t room = NSP_CBPF_INSNS_MAX - m->count, count;

    if (!m->filtered || room <= AROUND_INSNS ||
        nsp_filter_emit_cbpf(m->filter, facts, insns, room - AROUND_INSNS,
                             &count, NULL) < 0) {
        m->filtered = false;
        put_return(m, m->accept);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        if (insns[i].code == (BPF_RET | BPF_K) && insns[i].k != 0)
            insns[i].k = m->accept;
    m->count += count;
}

static struct nsp_site
facts_of(const struct maker *m)
{
    const struct nsp_sniff_site *site = m->site;
    struct nsp_site facts = {
        .link = site->any ? NSP_LINK_RAW : site->link,
        .facts = NSP_SITE_LOOPBACK,
        .loopback = site->loopback,
        .ifindex = site->ifindex,
    };

    if (!site->any)
        facts.facts |= NSP_SITE_IFINDEX;
    return facts;
}

static void
put_direction(struct maker *m, uint32_t hook, enum nsp_direction direction)
{
    struct nsp_site facts = facts_of(m);

    if ((m->site->hooks & hook) == 0) {
        put_return(m, 0);
        return;
    }
    facts.facts |= NSP_SITE_DIRECTION;
    facts.direction = direction;
    put_filter(m, &facts);
}

static void
put_loopback(struct maker *m, uint32_t ifindex)
{
    bool output = m->site->loopback_output;
    uint8_t copy = output ? PACKET_OUTGOING : PACKET_HOST;
    struct nsp_site facts = facts_of(m);
    uint32_t guard;

    if (nsp_sniff_site_wants(m->site, true, copy)) {
        guard = begin_guard(m, SKF_AD_PKTTYPE, copy);
        facts.facts |= NSP_SITE_DIRECTION | NSP_SITE_IFINDEX;
        facts.direction = output ? NSP_OUTBOUND : NSP_INBOUND;
        facts.loopback = true;
        facts.ifindex = ifindex;
        put_filter(m, &facts);
        end_guard(m, guard);
    }
    put_return(m, 0);
}

/* Accepts what the filter's programs would take for something else. */
static void
put_unjudged(struct maker *m)
{
    uint32_t guard;

    if (m->site->any) {
        put(m, BPF_LD | BPF_W | BPF_ABS, 0, 0,
            (uint32_t)(SKF_AD_OFF + SKF_AD_PROTOCOL));
        put(m, BPF_JMP | BPF_JEQ | BPF_K, 2, 0, ETH_P_IP);
        put(m, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, ETH_P_IPV6);
        put_return(m, m->accept);
        return;
    }
    guard = begin_guard(m, SKF_AD_VLAN_TAG_PRESENT, 1);
    put_return(m, m->accept);
    end_guard(m, guard);
}

static void
make(struct maker *m)
{
    const struct nsp_sniff_site *site = m->site;
    struct nsp_site facts = facts_of(m);
    uint32_t guard;

    m->count = 0;
    put_unjudged(m);
    if (site->loopback) {
        put_loopback(m, site->ifindex);
        return;
    }
    if (site->any && site->loopback_ifindex != 0) {
        guard = begin_guard(m, SKF_AD_IFINDEX, site->loopback_ifindex);
        put_loopback(m, site->loopback_ifindex);
        end_guard(m, guard);
    }
    guard = begin_guard(m, SKF_AD_PKTTYPE, PACKET_OUTGOING);
    put_direction(m, NSP_HOOK_OUTPUT, NSP_OUTBOUND);
    end_guard(m, guard);
    if (site->promiscuous && (site->hooks & NSP_HOOK_INPUT) != 0)
        put_filter(m, &facts);
    else
        put_direction(m, NSP_HOOK_INPUT, NSP_INBOUND);
}

bool
nsp_sniff_site_wants(const struct nsp_sniff_site *site, bool loopback,
                     uint8_t type)
{
    bool output = type == PACKET_OUTGOING;
    uint32_t hook = output ? NSP_HOOK_OUTPUT : NSP_HOOK_INPUT;

    return (site->hooks & hook) != 0 &&
           (!loopback || output == site->loopback_output);
}

uint32_t
nsp_sniff_filter_make(const struct nsp_filter *filter,
                      const struct nsp_sniff_site *site, uint32_t snap_bytes,
                      struct nsp_cbpf_insn insns[NSP_CBPF_INSNS_MAX],
                      bool *ret_filtered)
{
    struct maker m = {
        .filter = filter,
        .site = site,
        .insns = insns,
        .accept = snap_bytes == 0 ? ALL_BYTES : snap_bytes + LINK_BYTES,
        .filtered = filter != NULL,
    };

    make(&m);
    /* All or nothing: a program of which a part did not fit. */
    if (filter && !m.filtered)
        make(&m);
    *ret_filtered = m.filtered;
    return m.count;
}
