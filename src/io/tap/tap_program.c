#define _GNU_SOURCE
#include "io/tap/tap_program.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <string.h>

#include "base/memory.h"
#include "os/linux/beats.h"
#include "os/linux/bpf_call.h"
#include "os/linux/bpf_program.h"

/* Without the filter; far more than is ever used. */
#define OWN_INSNS_MAX 512u

/* Room for a filter: what does not fit is not asked in the kernel. */
#define FILTER_INSNS_MAX 8192u

#define ETHERNET_BYTES 14

enum label {
    LABEL_PASS = 0, /* On to whoever is attached next. */
    LABEL_DROP,
    LABEL_MARKED,
    LABEL_IPV4,
    LABEL_IPV6,
    LABEL_ROUTED,
    LABEL_OURS,
    LABEL_WANTED,
    LABEL_LATE,
    LABEL_FILTER,
    LABEL_LOOPBACK,
    LABEL_SEND,
    LABEL_OFFLOAD, /* From here on: those of the rules. */
};
_Static_assert(LABEL_OFFLOAD + NSP_BPF_OFFLOAD_LABELS <= NSP_BPF_LABELS_MAX,
               "room for labels");

/* --- Divert --------------------------------------------------------------- */

/* Copies packet bytes to the stack; a packet without them passes on. */
static void
load_packet(struct nsp_bpf_program *p, int32_t packet_off, int32_t frame_off,
            int32_t bytes)
{
    nsp_bpf_move(p, R1, R6);
    nsp_bpf_set(p, R2, packet_off);
    nsp_bpf_point(p, R3, frame_off);
    nsp_bpf_set(p, R4, bytes);
    nsp_bpf_call(p, BPF_FUNC_skb_load_bytes);
    nsp_bpf_jump_if(p, BPF_JNE, R0, 0, LABEL_PASS);
}

#define FIB_OFF(member)                                                        \
    ((int32_t)offsetof(struct bpf_fib_lookup, member) -                        \
     (int32_t)sizeof(struct bpf_fib_lookup))

/* Asks the routing tables whether the packet, sent to this machine's hardware
 * address, is for this host. */
static void
put_route_lookup(struct nsp_bpf_program *p, const struct nsp_tap_divert *divert)
{
    enum { ROOM = sizeof(struct bpf_fib_lookup), WORD = 8 };

    for (int32_t at = -ROOM; at < 0; at += WORD)
        nsp_bpf_put(p, BPF_ST | BPF_MEM | BPF_DW, FRAME, R0, at, 0);
    nsp_bpf_put(p, BPF_ST | BPF_MEM | BPF_W, FRAME, R0, FIB_OFF(ifindex),
                (int32_t)divert->ifindex);
    nsp_bpf_jump_if(p, BPF_JEQ, R8, htons(ETH_P_IPV6), LABEL_IPV6);

    nsp_bpf_put(p, BPF_ST | BPF_MEM | BPF_B, FRAME, R0, FIB_OFF(family),
                AF_INET);
    load_packet(p, ETHERNET_BYTES + 12, FIB_OFF(ipv4_src), 4);
    load_packet(p, ETHERNET_BYTES + 16, FIB_OFF(ipv4_dst), 4);
    nsp_bpf_jump(p, LABEL_ROUTED);

    nsp_bpf_place(p, LABEL_IPV6);
    nsp_bpf_put(p, BPF_ST | BPF_MEM | BPF_B, FRAME, R0, FIB_OFF(family),
                AF_INET6);
    load_packet(p, ETHERNET_BYTES + 8, FIB_OFF(ipv6_src), 16);
    load_packet(p, ETHERNET_BYTES + 24, FIB_OFF(ipv6_dst), 16);

    nsp_bpf_place(p, LABEL_ROUTED);
    nsp_bpf_move(p, R1, R6);
    nsp_bpf_point(p, R2, -ROOM);
    nsp_bpf_set(p, R3, ROOM);
    nsp_bpf_set(p, R4, 0);
    nsp_bpf_call(p, BPF_FUNC_fib_lookup);
    /* Not forwarded, or nothing is; below zero: nobody can tell. */
    nsp_bpf_jump_if(p, BPF_JEQ, R0, BPF_FIB_LKUP_RET_NOT_FWDED, LABEL_OURS);
    nsp_bpf_jump_if(p, BPF_JEQ, R0, BPF_FIB_LKUP_RET_FWD_DISABLED, LABEL_OURS);
    nsp_bpf_jump_if(p, BPF_JSGE, R0, 0, LABEL_PASS);
}

/* Goes on at LABEL_OURS with packets of this host. */
static void
put_ownership(struct nsp_bpf_program *p, const struct nsp_tap_divert *divert)
{
    if (divert->loopback) {
        nsp_bpf_place(p, LABEL_OURS); /* Nothing else goes there. */
        return;
    }
    if (divert->ingress) {
        nsp_bpf_load_context(p, R1, offsetof(struct __sk_buff, pkt_type));
        nsp_bpf_jump_if(p, BPF_JEQ, R1, PACKET_OTHERHOST, LABEL_PASS);
        nsp_bpf_jump_if(p, BPF_JNE, R1, PACKET_HOST, LABEL_OURS);
        put_route_lookup(p, divert);
    } else {
        nsp_bpf_load_context(p, R1,
                             offsetof(struct __sk_buff, ingress_ifindex));
        nsp_bpf_jump_if(p, BPF_JNE, R1, 0, LABEL_PASS);
    }
    nsp_bpf_place(p, LABEL_OURS);
}

/* The rules' room on the stack is below that of the route lookup. */
static const struct nsp_bpf_offload_exits offload_exits = {
    .ask = LABEL_WANTED,
    .pass = LABEL_PASS,
    .first_label = LABEL_OFFLOAD,
    .stack_off =
        -(int32_t)sizeof(struct bpf_fib_lookup) - NSP_BPF_OFFLOAD_STACK_BYTES,
};
_Static_assert(sizeof(struct bpf_fib_lookup) % 8 == 0 &&
                   NSP_BPF_OFFLOAD_STACK_BYTES % 8 == 0,
               "words are aligned");

/* Goes on while every worker is alive, else to LABEL_LATE with the shared
 * words in R8. */
static void
put_beat_test(struct nsp_bpf_program *p, const struct nsp_tap_divert *divert)
{
    nsp_beats_put_all_test(p, divert->shared_fd, divert->queues, LABEL_LATE);
}

/* Rules let packets pass, which only a process that works may where it fails
 * closed; and drop some, which one that is dead must not where it fails open:
 * filters of clsact outlive it. */
static void
put_life_test(struct nsp_bpf_program *p, const struct nsp_tap_divert *divert)
{
    if (divert->fail_closed) {
        put_beat_test(p, divert);
        return;
    }
    nsp_bpf_load_map(p, R8, BPF_PSEUDO_MAP_VALUE, divert->shared_fd);
    nsp_beats_put_death_test(p, LABEL_PASS);
}

/* Goes on at LABEL_WANTED with packets that the filter matches and no rule
 * decides. */
static void
put_choice(struct nsp_bpf_program *p, const struct nsp_tap_divert *divert)
{
    /* A superpacket's segments may match where the whole does not. */
    if (!divert->superpackets) {
        nsp_bpf_load_context(p, R1, offsetof(struct __sk_buff, gso_size));
        nsp_bpf_jump_if(p, BPF_JNE, R1, 0, LABEL_WANTED);
    }
    nsp_bpf_move(p, R1, R6);
    nsp_bpf_call_label(p, LABEL_FILTER);
    nsp_bpf_jump_if(p, BPF_JEQ, R0, 0, LABEL_PASS);
    if (divert->offload) {
        nsp_bpf_jump_if(p, BPF_JEQ, R0, NSP_EBPF_UNKNOWN, LABEL_WANTED);
        put_life_test(p, divert);
        nsp_bpf_offload_put(divert->offload, p, &offload_exits);
    }
    nsp_bpf_place(p, LABEL_WANTED);
}

/* Sends packets of this host that are wanted to the TAP; others go on at
 * LABEL_PASS. */
static void
put_redirect(struct nsp_bpf_program *p, const struct nsp_tap_divert *divert)
{
    nsp_bpf_load_context(p, R8, offsetof(struct __sk_buff, protocol));
    nsp_bpf_jump_if(p, BPF_JEQ, R8, htons(ETH_P_IP), LABEL_IPV4);
    nsp_bpf_jump_if(p, BPF_JNE, R8, htons(ETH_P_IPV6), LABEL_PASS);
    nsp_bpf_place(p, LABEL_IPV4);
    /* A tagged packet is seen again, without its tag, by its own interface. */
    nsp_bpf_load_context(p, R1, offsetof(struct __sk_buff, vlan_present));
    nsp_bpf_jump_if(p, BPF_JNE, R1, 0, LABEL_PASS);
    put_ownership(p, divert);
    if (divert->filter)
        put_choice(p, divert);
    put_beat_test(p, divert);

    nsp_bpf_move(p, R1, R6);
    nsp_bpf_set(p, R2, htons(NSP_TAP_TPID));
    nsp_bpf_set(p, R3, nsp_tap_tag(divert->slot, divert->ingress));
    nsp_bpf_call(p, BPF_FUNC_skb_vlan_push);
    nsp_bpf_jump_if(p, BPF_JNE, R0, 0, LABEL_PASS);
    nsp_bpf_set(p, R1, (int32_t)divert->tap_ifindex);
    nsp_bpf_set(p, R2, 0);
    nsp_bpf_call(p, BPF_FUNC_redirect);
    nsp_bpf_exit(p);

    nsp_bpf_place(p, LABEL_LATE);
    nsp_beats_put_late(p);
    nsp_bpf_leave(p, divert->fail_closed ? TC_ACT_SHOT : TC_ACT_UNSPEC);
}

static void
put_divert(struct nsp_bpf_program *p, const struct nsp_tap_divert *divert)
{
    nsp_bpf_move(p, R6, R1);
    nsp_bpf_load_context(p, R7, offsetof(struct __sk_buff, mark));
    nsp_bpf_jump_if(p, BPF_JSET, R7, NSP_TAP_LOOP_MARK, LABEL_MARKED);
    put_redirect(p, divert);

    nsp_bpf_place(p, LABEL_MARKED);
    nsp_bpf_put(p, BPF_ALU | BPF_AND | BPF_K, R7, R0, 0,
                (int32_t)~NSP_TAP_LOOP_MARK);
    nsp_bpf_put(p, BPF_STX | BPF_MEM | BPF_W, R6, R7,
                offsetof(struct __sk_buff, mark), 0);
    nsp_bpf_place(p, LABEL_PASS);
    nsp_bpf_leave(p, TC_ACT_UNSPEC);
}

static struct nsp_site
site_of(const struct nsp_tap_divert *divert)
{
    return (struct nsp_site){
        .link = NSP_LINK_ETHERNET,
        .facts = NSP_SITE_DIRECTION | NSP_SITE_LOOPBACK | NSP_SITE_IFINDEX,
        .direction = divert->ingress ? NSP_INBOUND : NSP_OUTBOUND,
        .loopback = divert->loopback,
        .ifindex = divert->ifindex,
    };
}

/* Makes a program that calls the filter, behind which that comes as a function,
 * or without a filter. Rules are for packets that it is sure to match. Returns
 * a descriptor or a negative errno. */
static int
load_with(struct nsp_bpf_program *p, struct nsp_tap_divert *divert,
          struct nsp_ebpf_insn filter[], char *log, uint32_t log_bytes)
{
    const char *name = divert->ingress ? NSP_TAP_PROGRAM_PREFIX "in"
                                       : NSP_TAP_PROGRAM_PREFIX "out";
    const struct nsp_site site = site_of(divert);
    struct nsp_widened widened = { .exact = false };
    uint32_t count = 0;
    int err = 0;

    if (divert->filter)
        err = nsp_filter_emit_ebpf(divert->filter, NSP_EBPF_TCX, &site, filter,
                                   FILTER_INSNS_MAX, &count, NULL, &widened);
    if (!divert->filter || !widened.exact)
        divert->offload = NULL;
    if (err == 0 && divert->offload)
        err = nsp_bpf_offload_prepare(divert->offload, &site);
    if (err < 0)
        return err;
    p->count = p->jump_count = 0;
    put_divert(p, divert);
    nsp_bpf_place(p, LABEL_FILTER);
    if (count > 0)
        memcpy(p->insns + p->count, filter, count * sizeof filter[0]);
    p->count += count;
    if (divert->offload)
        nsp_bpf_offload_put_filters(divert->offload, p, &offload_exits);
    nsp_bpf_resolve(p);
    return nsp_bpf_tc_load(name, p->insns, p->count, log, log_bytes);
}

/* Where the filter cannot be a function, it is left out: the engine asks it
 * again anyway. */
int
nsp_tap_load_divert(const struct nsp_tap_divert *divert,
                    const struct nsp_allocator *allocator, char *log,
                    uint32_t log_bytes)
{
    uint32_t max = OWN_INSNS_MAX, room = OWN_INSNS_MAX + FILTER_INSNS_MAX;
    struct nsp_tap_divert wanted = *divert;
    struct nsp_bpf_program *p;
    struct nsp_ebpf_insn *filter;
    int fd = -ENOMEM;

    if (divert->offload) {
        max += NSP_BPF_OFFLOAD_WALK_INSNS_MAX;
        room +=
            NSP_BPF_OFFLOAD_WALK_INSNS_MAX + NSP_BPF_OFFLOAD_FILTER_INSNS_MAX;
    }
    p = nsp_alloc(allocator, 1, sizeof *p);
    filter = nsp_alloc(allocator, room + FILTER_INSNS_MAX, sizeof *filter);
    if (p && filter) {
        p->insns = filter + FILTER_INSNS_MAX;
        p->max = max;
        fd = load_with(p, &wanted, filter, log, log_bytes);
    }
    if (fd < 0 && fd != -EPERM && fd != -ENOMEM && !divert->offload) {
        wanted.filter = NULL;
        fd = load_with(p, &wanted, filter, log, log_bytes);
    }
    nsp_release(allocator, filter);
    nsp_release(allocator, p);
    return fd;
}

/* --- Return --------------------------------------------------------------- */

static void
put_return(struct nsp_bpf_program *p, int places_fd)
{
    nsp_bpf_move(p, R6, R1);
    nsp_bpf_load_context(p, R1, offsetof(struct __sk_buff, vlan_present));
    nsp_bpf_jump_if(p, BPF_JEQ, R1, 0, LABEL_DROP);
    nsp_bpf_load_context(p, R7, offsetof(struct __sk_buff, vlan_tci));
    nsp_bpf_load_context(p, R9, offsetof(struct __sk_buff, protocol));
    nsp_bpf_move(p, R1, R6);
    nsp_bpf_call(p, BPF_FUNC_skb_vlan_pop);
    nsp_bpf_jump_if(p, BPF_JNE, R0, 0, LABEL_DROP);

    nsp_bpf_move(p, R1, R7);
    nsp_bpf_put(p, BPF_ALU | BPF_RSH | BPF_K, R1, R0, 0, 1);
    nsp_bpf_put(p, BPF_ALU | BPF_SUB | BPF_K, R1, R0, 0, 1);
    nsp_bpf_put(p, BPF_STX | BPF_MEM | BPF_W, FRAME, R1, -4, 0);
    nsp_bpf_load_map(p, R1, BPF_PSEUDO_MAP_FD, places_fd);
    nsp_bpf_point(p, R2, -4);
    nsp_bpf_call(p, BPF_FUNC_map_lookup_elem);
    nsp_bpf_jump_if64(p, BPF_JEQ, R0, 0, LABEL_DROP);
    nsp_bpf_put(p, BPF_LDX | BPF_MEM | BPF_W, R8, R0,
                offsetof(struct nsp_tap_place, ifindex), 0);
    nsp_bpf_put(p, BPF_LDX | BPF_MEM | BPF_W, R3, R0,
                offsetof(struct nsp_tap_place, loopback), 0);

    nsp_bpf_set(p, R1, (int32_t)NSP_TAP_LOOP_MARK);
    nsp_bpf_put(p, BPF_STX | BPF_MEM | BPF_W, R6, R1,
                offsetof(struct __sk_buff, mark), 0);
    nsp_bpf_jump_if(p, BPF_JNE, R3, 0, LABEL_LOOPBACK);
    nsp_bpf_set(p, R2, BPF_F_INGRESS);
    nsp_bpf_jump_if(p, BPF_JSET, R7, 1, LABEL_SEND);
    nsp_bpf_set(p, R2, 0);
    nsp_bpf_place(p, LABEL_SEND);
    nsp_bpf_move(p, R1, R8);
    nsp_bpf_call(p, BPF_FUNC_redirect);
    nsp_bpf_exit(p);

    /* The loopback interface leaves a packet as foreign as it was to the TAP.
     * IPv4 from a local address it takes for a forgery unless that comes with
     * its route: have it looked up. */
    nsp_bpf_place(p, LABEL_LOOPBACK);
    nsp_bpf_move(p, R1, R6);
    nsp_bpf_set(p, R2, PACKET_HOST);
    nsp_bpf_call(p, BPF_FUNC_skb_change_type);
    nsp_bpf_set(p, R2, 0);
    nsp_bpf_jump_if(p, BPF_JNE, R9, htons(ETH_P_IP), LABEL_SEND);
    nsp_bpf_move(p, R1, R8);
    nsp_bpf_set(p, R3, 0);
    nsp_bpf_set(p, R4, 0);
    nsp_bpf_call(p, BPF_FUNC_redirect_neigh);
    nsp_bpf_exit(p);

    nsp_bpf_place(p, LABEL_DROP);
    nsp_bpf_leave(p, TC_ACT_SHOT);
}

int
nsp_tap_load_return(int places_fd, char *log, uint32_t log_bytes)
{
    struct nsp_ebpf_insn insns[OWN_INSNS_MAX];
    struct nsp_bpf_program p = { .insns = insns, .max = OWN_INSNS_MAX };

    put_return(&p, places_fd);
    nsp_bpf_resolve(&p);
    return nsp_bpf_tc_load(NSP_TAP_PROGRAM_PREFIX "back", p.insns, p.count, log,
                           log_bytes);
}
