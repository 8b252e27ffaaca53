#define _GNU_SOURCE
#include "os/linux/bpf_flows.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <string.h>

#include "os/linux/bpf_call.h"
#include "os/linux/bpf_frame.h"

#define IP_OFF NSP_BPF_ETHERNET_BYTES

/* What IPv4 begins with that has no options, and which of its bits say that a
 * packet is a fragment. */
#define IPV4_PLAIN     0x45u
#define IPV4_FRAGMENTS 0x3FFFu

struct flow_key {
    uint32_t ifindex;
    uint8_t direction, protocol, ipv6, zero;
    uint8_t ports[4];
    uint8_t addresses[2][16];
};

struct flow_value {
    uint32_t generation, does, rule;
};

_Static_assert(sizeof(struct flow_key) <= NSP_BPF_FLOW_STACK_BYTES &&
                   sizeof(struct flow_key) % 4 == 0,
               "a key is words, and there is room for it");

/* --- Map ------------------------------------------------------------------ */

int
nsp_bpf_flows_create(void)
{
    return nsp_bpf_lru_create("nsp_flows", sizeof(struct flow_key),
                              sizeof(struct flow_value), NSP_BPF_FLOWS_MAX);
}

void
nsp_bpf_flows_push(int map_fd, const struct nsp_offload_flow flows[],
                   uint32_t n, uint32_t generation)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct nsp_offload_flow *flow = &flows[i];
        const struct flow_value value = { generation, flow->does, flow->rule };
        struct flow_key key = {
            .ifindex = flow->ifindex,
            .direction = flow->direction,
            .protocol = flow->protocol,
            .ipv6 = flow->ipv6,
        };

        memcpy(key.ports, flow->ports, sizeof key.ports);
        memcpy(key.addresses, flow->addresses, sizeof key.addresses);
        if (nsp_bpf_map_set(map_fd, &key, &value) < 0)
            return; /* It goes on with the engine. */
    }
}

/* --- Lookup --------------------------------------------------------------- */

enum { OWN_IPV6, OWN_PORTS, OWN_READY };

struct emission {
    struct nsp_bpf_program *p;
    const struct nsp_bpf_flow_lookup *lookup;
};

#define KEY(member) (int32_t) offsetof(struct flow_key, member)

static uint32_t
label(const struct emission *e, uint32_t own)
{
    return e->lookup->first_label + own;
}

/* Sets 'bytes' (BPF_B, BPF_W) of the key. */
static void
set_key(const struct emission *e, unsigned bytes, int32_t at, uint32_t value)
{
    nsp_bpf_put(e->p, BPF_ST | BPF_MEM | bytes, FRAME, R0,
                e->lookup->stack_off + at, (int32_t)value);
}

/* Copies words of the frame, which R2 points to, into the key. */
static void
copy_words(const struct emission *e, int32_t from, int32_t to, int32_t words)
{
    for (int32_t i = 0; i < words; i++) {
        nsp_bpf_put(e->p, BPF_LDX | BPF_MEM | BPF_W, R4, R2, from + 4 * i, 0);
        nsp_bpf_put(e->p, BPF_STX | BPF_MEM | BPF_W, FRAME, R4,
                    e->lookup->stack_off + to + 4 * i, 0);
    }
}

/* On if 'bytes' of the frame are within reach. */
static void
need(const struct emission *e, int32_t bytes)
{
    nsp_bpf_move(e->p, R1, R2);
    nsp_bpf_put(e->p, BPF_ALU64 | BPF_ADD, R1, R0, 0, bytes);
    nsp_bpf_jump_if_reg(e->p, BPF_JGT, R1, R3, e->lookup->miss);
}

/* R5 = the protocol; the key has addresses and ports. */
static void
put_headers(const struct emission *e)
{
    struct nsp_bpf_program *p = e->p;

    need(e, IP_OFF + 24);
    nsp_bpf_put(p, BPF_LDX | BPF_MEM | BPF_H, R4, R2, IP_OFF - 2, 0);
    nsp_bpf_jump_if(p, BPF_JEQ, R4, htons(ETH_P_IPV6), label(e, OWN_IPV6));
    nsp_bpf_put(p, BPF_LDX | BPF_MEM | BPF_B, R5, R2, IP_OFF, 0);
    nsp_bpf_jump_if(p, BPF_JNE, R5, IPV4_PLAIN, e->lookup->miss);
    nsp_bpf_put(p, BPF_LDX | BPF_MEM | BPF_H, R5, R2, IP_OFF + 6, 0);
    nsp_bpf_jump_if(p, BPF_JSET, R5, htons(IPV4_FRAGMENTS), e->lookup->miss);
    copy_words(e, IP_OFF + 12, KEY(addresses[0]), 1);
    copy_words(e, IP_OFF + 16, KEY(addresses[1]), 1);
    copy_words(e, IP_OFF + 20, KEY(ports), 1);
    nsp_bpf_put(p, BPF_LDX | BPF_MEM | BPF_B, R5, R2, IP_OFF + 9, 0);
    nsp_bpf_jump(p, label(e, OWN_PORTS));

    nsp_bpf_place(p, label(e, OWN_IPV6));
    need(e, IP_OFF + 44);
    set_key(e, BPF_B, KEY(ipv6), 1);
    copy_words(e, IP_OFF + 8, KEY(addresses), 8);
    copy_words(e, IP_OFF + 40, KEY(ports), 1);
    nsp_bpf_put(p, BPF_LDX | BPF_MEM | BPF_B, R5, R2, IP_OFF + 6, 0);
    nsp_bpf_place(p, label(e, OWN_PORTS));
}

void
nsp_bpf_put_flow_lookup(struct nsp_bpf_program *p,
                        const struct nsp_bpf_flow_lookup *lookup)
{
    const struct emission e = { p, lookup };

    for (uint32_t at = 0; at < sizeof(struct flow_key); at += 4)
        set_key(&e, BPF_W, (int32_t)at, 0);
    set_key(&e, BPF_W, KEY(ifindex), lookup->ifindex);
    set_key(&e, BPF_B, KEY(direction), lookup->direction);
    nsp_bpf_put_frame(p, lookup->type);
    put_headers(&e);
    nsp_bpf_jump_if(p, BPF_JEQ, R5, IPPROTO_TCP, label(&e, OWN_READY));
    nsp_bpf_jump_if(p, BPF_JNE, R5, IPPROTO_UDP, lookup->miss);
    nsp_bpf_place(p, label(&e, OWN_READY));
    nsp_bpf_put(p, BPF_STX | BPF_MEM | BPF_B, FRAME, R5,
                lookup->stack_off + KEY(protocol), 0);
    nsp_bpf_load_map(p, R1, BPF_PSEUDO_MAP_FD, lookup->map_fd);
    nsp_bpf_point(p, R2, lookup->stack_off);
    nsp_bpf_call(p, BPF_FUNC_map_lookup_elem);
    nsp_bpf_jump_if64(p, BPF_JEQ, R0, 0, lookup->miss);
    nsp_bpf_put(p, BPF_LDX | BPF_MEM | BPF_W, R1, R0,
                offsetof(struct flow_value, generation), 0);
    nsp_bpf_jump_if(p, BPF_JNE, R1, lookup->generation, lookup->miss);
    nsp_bpf_put(p, BPF_LDX | BPF_MEM | BPF_W, R8, R0,
                offsetof(struct flow_value, does), 0);
    nsp_bpf_put(p, BPF_LDX | BPF_MEM | BPF_W, R2, R0,
                offsetof(struct flow_value, rule), 0);
}
