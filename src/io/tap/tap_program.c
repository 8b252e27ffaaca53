#define _GNU_SOURCE
#include "io/tap/tap_program.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <string.h>

#include "base/memory.h"
#include "os/linux/bpf_call.h"

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
    LABEL_BEAT, /* One more for each queue. */
    LABEL_FILTER = LABEL_BEAT + 2 * NSP_IO_QUEUES_MAX,
    LABEL_LOOPBACK,
    LABEL_SEND,
    LABEL_COUNT,
};

enum reg { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, FRAME };

struct program {
    struct nsp_ebpf_insn *insns;
    uint32_t count;
    struct {
        uint32_t insn;
        enum label to;
    } jumps[OWN_INSNS_MAX];
    uint32_t jump_count;
    uint32_t places[LABEL_COUNT]; /* Of labels. */
};

/* --- Instructions --------------------------------------------------------- */

static void
put(struct program *p, unsigned code, enum reg to, enum reg from,
    int32_t offset, int32_t imm)
{
    assert(p->count < OWN_INSNS_MAX);
    p->insns[p->count++] = (struct nsp_ebpf_insn){
        .code = (uint8_t)code,
        .registers = (uint8_t)((unsigned)to | (unsigned)from << 4),
        .offset = (int16_t)offset,
        .imm = imm,
    };
}

static void
set(struct program *p, enum reg to, int32_t value)
{
    put(p, BPF_ALU64 | BPF_MOV | BPF_K, to, R0, 0, value);
}

static void
move(struct program *p, enum reg to, enum reg from)
{
    put(p, BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0);
}

/* to = FRAME + offset. */
static void
point(struct program *p, enum reg to, int32_t offset)
{
    move(p, to, FRAME);
    put(p, BPF_ALU64 | BPF_ADD, to, R0, 0, offset);
}

/* Of the context, which is in R6. */
static void
load_context(struct program *p, enum reg to, size_t offset)
{
    put(p, BPF_LDX | BPF_MEM | BPF_W, to, R6, (int32_t)offset, 0);
}

static void
call(struct program *p, int32_t helper)
{
    put(p, BPF_JMP | BPF_CALL, R0, R0, 0, helper);
}

static void
load_map(struct program *p, enum reg to, unsigned kind, int fd)
{
    put(p, BPF_LD | BPF_DW, to, (enum reg)kind, 0, fd);
    put(p, 0, R0, R0, 0, 0);
}

static void
leave(struct program *p, int32_t action)
{
    set(p, R0, action);
    put(p, BPF_JMP | BPF_EXIT, R0, R0, 0, 0);
}

/* Jumps to 'to' when 'reg' compares so with a constant, all unsigned and 32
 * bits wide. */
static void
jump_if(struct program *p, unsigned comparison, enum reg reg, uint32_t value,
        enum label to)
{
    p->jumps[p->jump_count].insn = p->count;
    p->jumps[p->jump_count++].to = to;
    put(p, BPF_JMP32 | comparison | BPF_K, reg, R0, 0, (int32_t)value);
}

static void
jump_if_reg(struct program *p, unsigned comparison, enum reg reg, enum reg with,
            enum label to)
{
    p->jumps[p->jump_count].insn = p->count;
    p->jumps[p->jump_count++].to = to;
    put(p, BPF_JMP | comparison | BPF_X, reg, with, 0, 0);
}

static void
jump(struct program *p, enum label to)
{
    p->jumps[p->jump_count].insn = p->count;
    p->jumps[p->jump_count++].to = to;
    put(p, BPF_JMP | BPF_JA, R0, R0, 0, 0);
}

static void
place(struct program *p, enum label label)
{
    p->places[label] = p->count;
}

/* Calls what begins at LABEL_FILTER. */
static void
call_filter(struct program *p)
{
    p->jumps[p->jump_count].insn = p->count;
    p->jumps[p->jump_count++].to = LABEL_FILTER;
    put(p, BPF_JMP | BPF_CALL, R0, (enum reg)BPF_PSEUDO_CALL, 0, 0);
}

static void
resolve(struct program *p)
{
    for (uint32_t i = 0; i < p->jump_count; i++) {
        struct nsp_ebpf_insn *insn = &p->insns[p->jumps[i].insn];
        int32_t distance =
            (int32_t)p->places[p->jumps[i].to] - (int32_t)p->jumps[i].insn - 1;

        if (insn->code == (BPF_JMP | BPF_CALL))
            insn->imm = distance;
        else
            insn->offset = (int16_t)distance;
    }
}

/* --- Divert --------------------------------------------------------------- */

/* Copies packet bytes to the stack; a packet without them passes on. */
static void
load_packet(struct program *p, int32_t packet_off, int32_t frame_off,
            int32_t bytes)
{
    move(p, R1, R6);
    set(p, R2, packet_off);
    point(p, R3, frame_off);
    set(p, R4, bytes);
    call(p, BPF_FUNC_skb_load_bytes);
    jump_if(p, BPF_JNE, R0, 0, LABEL_PASS);
}

#define FIB_OFF(member)                                                        \
    ((int32_t)offsetof(struct bpf_fib_lookup, member) -                        \
     (int32_t)sizeof(struct bpf_fib_lookup))

/* Asks the routing tables whether the packet, sent to this machine's hardware
 * address, is for this host. */
static void
put_route_lookup(struct program *p, const struct nsp_tap_divert *divert)
{
    enum { ROOM = sizeof(struct bpf_fib_lookup), WORD = 8 };

    for (int32_t at = -ROOM; at < 0; at += WORD)
        put(p, BPF_ST | BPF_MEM | BPF_DW, FRAME, R0, at, 0);
    put(p, BPF_ST | BPF_MEM | BPF_W, FRAME, R0, FIB_OFF(ifindex),
        (int32_t)divert->ifindex);
    jump_if(p, BPF_JEQ, R8, htons(ETH_P_IPV6), LABEL_IPV6);

    put(p, BPF_ST | BPF_MEM | BPF_B, FRAME, R0, FIB_OFF(family), AF_INET);
    load_packet(p, ETHERNET_BYTES + 12, FIB_OFF(ipv4_src), 4);
    load_packet(p, ETHERNET_BYTES + 16, FIB_OFF(ipv4_dst), 4);
    jump(p, LABEL_ROUTED);

    place(p, LABEL_IPV6);
    put(p, BPF_ST | BPF_MEM | BPF_B, FRAME, R0, FIB_OFF(family), AF_INET6);
    load_packet(p, ETHERNET_BYTES + 8, FIB_OFF(ipv6_src), 16);
    load_packet(p, ETHERNET_BYTES + 24, FIB_OFF(ipv6_dst), 16);

    place(p, LABEL_ROUTED);
    move(p, R1, R6);
    point(p, R2, -ROOM);
    set(p, R3, ROOM);
    set(p, R4, 0);
    call(p, BPF_FUNC_fib_lookup);
    /* Not forwarded, or nothing is; below zero: nobody can tell. */
    jump_if(p, BPF_JEQ, R0, BPF_FIB_LKUP_RET_NOT_FWDED, LABEL_OURS);
    jump_if(p, BPF_JEQ, R0, BPF_FIB_LKUP_RET_FWD_DISABLED, LABEL_OURS);
    jump_if(p, BPF_JSGE, R0, 0, LABEL_PASS);
}

/* Goes on at LABEL_OURS with packets of this host. */
static void
put_ownership(struct program *p, const struct nsp_tap_divert *divert)
{
    if (divert->loopback) {
        place(p, LABEL_OURS); /* Nothing else goes there. */
        return;
    }
    if (divert->ingress) {
        load_context(p, R1, offsetof(struct __sk_buff, pkt_type));
        jump_if(p, BPF_JEQ, R1, PACKET_OTHERHOST, LABEL_PASS);
        jump_if(p, BPF_JNE, R1, PACKET_HOST, LABEL_OURS);
        put_route_lookup(p, divert);
    } else {
        load_context(p, R1, offsetof(struct __sk_buff, ingress_ifindex));
        jump_if(p, BPF_JNE, R1, 0, LABEL_PASS);
    }
    place(p, LABEL_OURS);
}

static void
put_filter_call(struct program *p, const struct nsp_tap_divert *divert)
{
    /* A superpacket's segments may match where the whole does not. */
    if (!divert->superpackets) {
        load_context(p, R1, offsetof(struct __sk_buff, gso_size));
        jump_if(p, BPF_JNE, R1, 0, LABEL_WANTED);
    }
    move(p, R1, R6);
    call_filter(p);
    jump_if(p, BPF_JEQ, R0, 0, LABEL_PASS);
    place(p, LABEL_WANTED);
}

/* Goes on while every worker is alive, else to LABEL_LATE with the shared
 * words in R8. */
static void
put_beat_test(struct program *p, const struct nsp_tap_divert *divert)
{
    call(p, BPF_FUNC_ktime_get_ns);
    load_map(p, R8, BPF_PSEUDO_MAP_VALUE, divert->shared_fd);
    for (uint32_t q = 0; q < divert->queues; q++) {
        int32_t off = (int32_t)(offsetof(struct nsp_tap_shared, beats) +
                                q * sizeof(struct nsp_tap_beat));
        enum label next = (enum label)(LABEL_BEAT + q);
        enum label awake = (enum label)(next + NSP_IO_QUEUES_MAX);

        put(p, BPF_LDX | BPF_MEM | BPF_DW, R1, R8, off, 0);
        p->jumps[p->jump_count].insn = p->count;
        p->jumps[p->jump_count++].to = awake;
        put(p, BPF_JMP | BPF_JNE | BPF_K, R1, R0, 0, 0);
        put(p, BPF_LDX | BPF_MEM | BPF_DW, R1, R8,
            offsetof(struct nsp_tap_shared, wake_ns), 0);
        put(p, BPF_ALU64 | BPF_ADD | BPF_X, R1, R0, 0, 0);
        put(p, BPF_STX | BPF_MEM | BPF_DW, R8, R1, off, 0);
        jump(p, next);
        place(p, awake);
        jump_if_reg(p, BPF_JGT, R0, R1, LABEL_LATE);
        place(p, next);
    }
}

/* Sends packets of this host that are wanted to the TAP; others go on at
 * LABEL_PASS. */
static void
put_redirect(struct program *p, const struct nsp_tap_divert *divert)
{
    load_context(p, R8, offsetof(struct __sk_buff, protocol));
    jump_if(p, BPF_JEQ, R8, htons(ETH_P_IP), LABEL_IPV4);
    jump_if(p, BPF_JNE, R8, htons(ETH_P_IPV6), LABEL_PASS);
    place(p, LABEL_IPV4);
    /* A tagged packet is seen again, without its tag, by its own interface. */
    load_context(p, R1, offsetof(struct __sk_buff, vlan_present));
    jump_if(p, BPF_JNE, R1, 0, LABEL_PASS);
    put_ownership(p, divert);
    if (divert->filter)
        put_filter_call(p, divert);
    put_beat_test(p, divert);

    move(p, R1, R6);
    set(p, R2, htons(NSP_TAP_TPID));
    set(p, R3, nsp_tap_tag(divert->slot, divert->ingress));
    call(p, BPF_FUNC_skb_vlan_push);
    jump_if(p, BPF_JNE, R0, 0, LABEL_PASS);
    set(p, R1, (int32_t)divert->tap_ifindex);
    set(p, R2, 0);
    call(p, BPF_FUNC_redirect);
    put(p, BPF_JMP | BPF_EXIT, R0, R0, 0, 0);

    place(p, LABEL_LATE);
    set(p, R1, 1);
    put(p, BPF_STX | BPF_ATOMIC | BPF_DW, R8, R1,
        offsetof(struct nsp_tap_shared, late_pkts), BPF_ADD);
    leave(p, divert->fail_closed ? TC_ACT_SHOT : TC_ACT_UNSPEC);
}

static void
put_divert(struct program *p, const struct nsp_tap_divert *divert)
{
    move(p, R6, R1);
    load_context(p, R7, offsetof(struct __sk_buff, mark));
    jump_if(p, BPF_JSET, R7, NSP_TAP_LOOP_MARK, LABEL_MARKED);
    if (divert->diverts)
        put_redirect(p, divert);
    else
        leave(p, TC_ACT_UNSPEC);

    place(p, LABEL_MARKED);
    put(p, BPF_ALU | BPF_AND | BPF_K, R7, R0, 0, (int32_t)~NSP_TAP_LOOP_MARK);
    put(p, BPF_STX | BPF_MEM | BPF_W, R6, R7, offsetof(struct __sk_buff, mark),
        0);
    place(p, LABEL_PASS);
    leave(p, TC_ACT_UNSPEC);
}

/* Appends the filter as a function. Where it cannot be one, it is left out:
 * the engine asks it again anyway. */
static bool
append_filter(struct program *p, const struct nsp_tap_divert *divert)
{
    const struct nsp_site site = {
        .link = NSP_LINK_ETHERNET,
        .facts = NSP_SITE_DIRECTION | NSP_SITE_LOOPBACK | NSP_SITE_IFINDEX,
        .direction = divert->ingress ? NSP_INBOUND : NSP_OUTBOUND,
        .loopback = divert->loopback,
        .ifindex = divert->ifindex,
    };
    uint32_t count;

    if (nsp_filter_emit_ebpf(divert->filter, NSP_EBPF_TCX, &site,
                             p->insns + p->count, FILTER_INSNS_MAX, &count,
                             NULL, NULL) < 0)
        return false;
    place(p, LABEL_FILTER);
    p->count += count;
    return true;
}

int
nsp_tap_load_divert(const struct nsp_tap_divert *divert,
                    const struct nsp_allocator *allocator, char *log,
                    uint32_t log_bytes)
{
    const char *name = divert->ingress ? NSP_TAP_PROGRAM_PREFIX "in"
                                       : NSP_TAP_PROGRAM_PREFIX "out";
    struct nsp_tap_divert unfiltered = *divert;
    struct program p = { 0 };
    int fd = -EINVAL;

    p.insns =
        nsp_alloc(allocator, OWN_INSNS_MAX + FILTER_INSNS_MAX, sizeof *p.insns);
    if (!p.insns)
        return -ENOMEM;
    put_divert(&p, divert);
    if (divert->filter && append_filter(&p, divert)) {
        resolve(&p);
        fd = nsp_bpf_tc_load(name, p.insns, p.count, log, log_bytes);
    }
    if (fd < 0 && fd != -EPERM) {
        unfiltered.filter = NULL;
        p.count = p.jump_count = 0;
        put_divert(&p, &unfiltered);
        resolve(&p);
        fd = nsp_bpf_tc_load(name, p.insns, p.count, log, log_bytes);
    }
    nsp_release(allocator, p.insns);
    return fd;
}

/* --- Return --------------------------------------------------------------- */

static void
put_return(struct program *p, int places_fd)
{
    move(p, R6, R1);
    load_context(p, R1, offsetof(struct __sk_buff, vlan_present));
    jump_if(p, BPF_JEQ, R1, 0, LABEL_DROP);
    load_context(p, R7, offsetof(struct __sk_buff, vlan_tci));
    load_context(p, R9, offsetof(struct __sk_buff, protocol));
    move(p, R1, R6);
    call(p, BPF_FUNC_skb_vlan_pop);
    jump_if(p, BPF_JNE, R0, 0, LABEL_DROP);

    move(p, R1, R7);
    put(p, BPF_ALU | BPF_RSH | BPF_K, R1, R0, 0, 1);
    put(p, BPF_ALU | BPF_SUB | BPF_K, R1, R0, 0, 1);
    put(p, BPF_STX | BPF_MEM | BPF_W, FRAME, R1, -4, 0);
    load_map(p, R1, BPF_PSEUDO_MAP_FD, places_fd);
    point(p, R2, -4);
    call(p, BPF_FUNC_map_lookup_elem);
    p->jumps[p->jump_count].insn = p->count;
    p->jumps[p->jump_count++].to = LABEL_DROP;
    put(p, BPF_JMP | BPF_JEQ | BPF_K, R0, R0, 0, 0);
    put(p, BPF_LDX | BPF_MEM | BPF_W, R8, R0,
        offsetof(struct nsp_tap_place, ifindex), 0);
    put(p, BPF_LDX | BPF_MEM | BPF_W, R3, R0,
        offsetof(struct nsp_tap_place, loopback), 0);

    set(p, R1, (int32_t)NSP_TAP_LOOP_MARK);
    put(p, BPF_STX | BPF_MEM | BPF_W, R6, R1, offsetof(struct __sk_buff, mark),
        0);
    jump_if(p, BPF_JNE, R3, 0, LABEL_LOOPBACK);
    set(p, R2, BPF_F_INGRESS);
    jump_if(p, BPF_JSET, R7, 1, LABEL_SEND);
    set(p, R2, 0);
    place(p, LABEL_SEND);
    move(p, R1, R8);
    call(p, BPF_FUNC_redirect);
    put(p, BPF_JMP | BPF_EXIT, R0, R0, 0, 0);

    /* The loopback interface leaves a packet as foreign as it was to the TAP.
     * IPv4 from a local address it takes for a forgery unless that comes with
     * its route: have it looked up. */
    place(p, LABEL_LOOPBACK);
    move(p, R1, R6);
    set(p, R2, PACKET_HOST);
    call(p, BPF_FUNC_skb_change_type);
    set(p, R2, 0);
    jump_if(p, BPF_JNE, R9, htons(ETH_P_IP), LABEL_SEND);
    move(p, R1, R8);
    set(p, R3, 0);
    set(p, R4, 0);
    call(p, BPF_FUNC_redirect_neigh);
    put(p, BPF_JMP | BPF_EXIT, R0, R0, 0, 0);

    place(p, LABEL_DROP);
    leave(p, TC_ACT_SHOT);
}

int
nsp_tap_load_return(int places_fd, char *log, uint32_t log_bytes)
{
    struct nsp_ebpf_insn insns[OWN_INSNS_MAX];
    struct program p = { .insns = insns };

    put_return(&p, places_fd);
    resolve(&p);
    return nsp_bpf_tc_load(NSP_TAP_PROGRAM_PREFIX "back", p.insns, p.count, log,
                           log_bytes);
}
