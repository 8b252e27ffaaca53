#include "io/bridge/bridge_program.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <string.h>

#include "base/memory.h"
#include "os/linux/beats.h"
#include "os/linux/bpf_call.h"
#include "os/linux/bpf_program.h"

/* Without the filter; far more than is ever used. */
#define OWN_INSNS_MAX 256u

/* Room for a filter: what does not fit is not asked in the kernel. */
#define FILTER_INSNS_MAX 8192u

#define ETHERNET_BYTES 14

/* Destinations that no switch forwards, IEEE 802.1Q, table 8-1. */
#define RESERVED_HEAD   0x0180C200u
#define RESERVED_TAIL   0x0000u /* To 0x000F. */
#define RESERVED_MASK16 0xFFF0u

enum label {
    LABEL_LATE = 0,
    LABEL_PASS,
    LABEL_OTHER,
    LABEL_DROP,
    LABEL_FILTER,
    LABEL_IP,
    LABEL_WANTED,
    LABEL_OFFLOAD, /* From here on: those of the rules. */
};
static_assert(LABEL_OFFLOAD + NSP_BPF_OFFLOAD_LABELS <= NSP_BPF_LABELS_MAX,
              "room for labels");

static const struct nsp_bpf_offload_exits offload_exits = {
    .ask = LABEL_WANTED,
    .pass = LABEL_PASS,
    .first_label = LABEL_OFFLOAD,
    .stack_off = -NSP_BPF_OFFLOAD_STACK_BYTES,
};

static bool
in_stack(const struct nsp_bridge_steer *steer)
{
    return steer->sink_ifindex != 0;
}

/* Loads where the frame's first piece begins and ends to R2 and R3. */
static void
load_bounds(struct nsp_bpf_program *p, const struct nsp_bridge_steer *steer)
{
    nsp_bpf_load_context(p, R2,
                         in_stack(steer) ? offsetof(struct __sk_buff, data)
                                         : offsetof(struct xdp_md, data));
    nsp_bpf_load_context(p, R3,
                         in_stack(steer) ? offsetof(struct __sk_buff, data_end)
                                         : offsetof(struct xdp_md, data_end));
}

/* Ends with the frame sent out of interface 'ifindex'. */
static void
put_redirect(struct nsp_bpf_program *p, uint32_t ifindex)
{
    nsp_bpf_set(p, R1, (int32_t)ifindex);
    nsp_bpf_set(p, R2, 0);
    nsp_bpf_call(p, BPF_FUNC_redirect);
    nsp_bpf_exit(p);
}

/* Frames that the switches at both ends keep to themselves pass. */
static void
put_reserved(struct nsp_bpf_program *p, const struct nsp_bridge_steer *steer)
{
    load_bounds(p, steer);
    nsp_bpf_move(p, R1, R2);
    nsp_bpf_put(p, BPF_ALU64 | BPF_ADD, R1, R0, 0, ETHERNET_BYTES);
    nsp_bpf_jump_if_reg(p, BPF_JGT, R1, R3, LABEL_DROP);
    nsp_bpf_put(p, BPF_LDX | BPF_MEM | BPF_W, R1, R2, 0, 0);
    nsp_bpf_jump_if(p, BPF_JNE, R1, htonl(RESERVED_HEAD), LABEL_OTHER);
    nsp_bpf_put(p, BPF_LDX | BPF_MEM | BPF_H, R1, R2, 4, 0);
    nsp_bpf_put(p, BPF_ALU64 | BPF_AND | BPF_K, R1, R0, 0,
                htons(RESERVED_MASK16));
    nsp_bpf_jump_if(p, BPF_JEQ, R1, htons(RESERVED_TAIL), LABEL_PASS);
    nsp_bpf_place(p, LABEL_OTHER);
}

/* Goes on while the worker of the frame's queue is alive, or all are, else to
 * LABEL_LATE. */
static void
put_alive(struct nsp_bpf_program *p, const struct nsp_bridge_steer *steer)
{
    if (in_stack(steer)) {
        nsp_beats_put_all_test(p, steer->beats_fd, steer->workers, LABEL_LATE);
        return;
    }
    nsp_bpf_call(p, BPF_FUNC_ktime_get_ns);
    nsp_bpf_load_map(p, R8, BPF_PSEUDO_MAP_VALUE, steer->beats_fd);
    nsp_beats_put_death_test(p, LABEL_LATE);
    if (steer->workers > 1) {
        nsp_bpf_load_context(p, R1, offsetof(struct xdp_md, rx_queue_index));
        nsp_bpf_put(p, BPF_ALU64 | BPF_MOD | BPF_K, R1, R0, 0,
                    (int32_t)steer->workers);
        /* Never so: the verifier does not know what a remainder is. */
        nsp_bpf_jump_if64(p, BPF_JGE, R1, NSP_IO_QUEUES_MAX, LABEL_LATE);
        nsp_bpf_put(p, BPF_ALU64 | BPF_MUL | BPF_K, R1, R0, 0,
                    sizeof(struct nsp_beat));
        nsp_bpf_put(p, BPF_ALU64 | BPF_ADD | BPF_X, R8, R1, 0, 0);
    }
    nsp_beats_put_test(p, 0, LABEL_LATE);
}

/* Has the rules decide IP packets without tags; others, and those that they do
 * not decide, go on at LABEL_WANTED. They end with the process whose they
 * are; one that fails closed has shown that it is alive. */
static void
put_offload(struct nsp_bpf_program *p, const struct nsp_bridge_steer *steer)
{
    if (!steer->fail_closed) {
        nsp_bpf_load_map(p, R8, BPF_PSEUDO_MAP_VALUE, steer->beats_fd);
        nsp_beats_put_death_test(p, LABEL_PASS);
    }
    load_bounds(p, steer);
    nsp_bpf_move(p, R1, R2);
    nsp_bpf_put(p, BPF_ALU64 | BPF_ADD, R1, R0, 0, ETHERNET_BYTES);
    nsp_bpf_jump_if_reg(p, BPF_JGT, R1, R3, LABEL_DROP);
    nsp_bpf_put(p, BPF_LDX | BPF_MEM | BPF_H, R1, R2, ETHERNET_BYTES - 2, 0);
    nsp_bpf_jump_if(p, BPF_JEQ, R1, htons(ETH_P_IP), LABEL_IP);
    nsp_bpf_jump_if(p, BPF_JNE, R1, htons(ETH_P_IPV6), LABEL_WANTED);
    nsp_bpf_place(p, LABEL_IP);
    nsp_bpf_offload_put(steer->offload, p, &offload_exits);
}

/* Filters look at the first piece of a frame, and take it for all: those with
 * more go on at LABEL_WANTED. */
static void
put_pieces_test(struct nsp_bpf_program *p)
{
    nsp_bpf_move(p, R1, R6);
    nsp_bpf_call(p, BPF_FUNC_xdp_get_buff_len);
    nsp_bpf_load_context(p, R2, offsetof(struct xdp_md, data));
    nsp_bpf_load_context(p, R3, offsetof(struct xdp_md, data_end));
    nsp_bpf_put(p, BPF_ALU64 | BPF_SUB | BPF_X, R3, R2, 0, 0);
    nsp_bpf_jump_if_reg(p, BPF_JGT, R0, R3, LABEL_WANTED);
}

/* Tags that the kernel keeps beside a frame filters do not see, and the
 * segments of a superpacket may match where the whole does not: those go on at
 * LABEL_WANTED. */
static void
put_whole_test(struct nsp_bpf_program *p, const struct nsp_bridge_steer *steer)
{
    nsp_bpf_load_context(p, R1, offsetof(struct __sk_buff, vlan_present));
    nsp_bpf_jump_if(p, BPF_JNE, R1, 0, LABEL_WANTED);
    if (steer->superpackets)
        return;
    nsp_bpf_load_context(p, R1, offsetof(struct __sk_buff, gso_size));
    nsp_bpf_jump_if(p, BPF_JNE, R1, 0, LABEL_WANTED);
}

/* Goes on at LABEL_WANTED with what the filter matches and no rule decides;
 * first, since a worker that sleeps is timed by what it is sent. */
static void
put_choice(struct nsp_bpf_program *p, const struct nsp_bridge_steer *steer)
{
    if (in_stack(steer))
        put_whole_test(p, steer);
    else if (steer->pieces)
        put_pieces_test(p);
    nsp_bpf_move(p, R1, R6);
    nsp_bpf_call_label(p, LABEL_FILTER);
    nsp_bpf_jump_if(p, BPF_JEQ, R0, 0, LABEL_PASS);
    if (steer->offload) {
        nsp_bpf_jump_if(p, BPF_JEQ, R0, NSP_EBPF_UNKNOWN, LABEL_WANTED);
        put_offload(p, steer);
    }
    nsp_bpf_place(p, LABEL_WANTED);
}

/* Ends with the frame at its worker. */
static void
put_worker(struct nsp_bpf_program *p, const struct nsp_bridge_steer *steer)
{
    if (in_stack(steer)) {
        put_redirect(p, steer->sink_ifindex);
        return;
    }
    nsp_bpf_load_map(p, R1, BPF_PSEUDO_MAP_FD, steer->sockets_fd);
    nsp_bpf_load_context(p, R2, offsetof(struct xdp_md, rx_queue_index));
    /* Where the map has no socket. */
    nsp_bpf_set(p, R3, steer->fail_closed ? XDP_DROP : XDP_PASS);
    nsp_bpf_call(p, BPF_FUNC_redirect_map);
    nsp_bpf_exit(p);
}

/* Frames that pass, and those that are dropped. */
static void
put_ends(struct nsp_bpf_program *p, const struct nsp_bridge_steer *steer)
{
    nsp_bpf_place(p, LABEL_PASS);
    if (in_stack(steer))
        put_redirect(p, steer->peer_ifindex);
    else
        nsp_bpf_leave(p, XDP_PASS);
    nsp_bpf_place(p, LABEL_DROP);
    nsp_bpf_leave(p, in_stack(steer) ? TC_ACT_SHOT : XDP_DROP);
}

static void
put_steer(struct nsp_bpf_program *p, const struct nsp_bridge_steer *steer)
{
    nsp_bpf_move(p, R6, R1);
    put_reserved(p, steer);
    if (steer->fail_closed)
        put_alive(p, steer); /* Or nothing crosses. */
    if (steer->filter)
        put_choice(p, steer);
    if (!steer->fail_closed)
        put_alive(p, steer);
    put_worker(p, steer);

    nsp_bpf_place(p, LABEL_LATE);
    nsp_bpf_load_map(p, R8, BPF_PSEUDO_MAP_VALUE, steer->beats_fd);
    nsp_beats_put_late(p);
    if (steer->fail_closed) {
        nsp_beats_put_end_test(p, LABEL_PASS);
        nsp_bpf_jump(p, LABEL_DROP);
    }
    put_ends(p, steer);
}

/* Makes a program that calls the filter, behind which that comes as a function,
 * or without one. Rules are for packets that it is sure to match. */
static int
load_with(struct nsp_bpf_program *p, struct nsp_bridge_steer *steer,
          struct nsp_ebpf_insn filter[])
{
    const enum nsp_ebpf_type type =
        in_stack(steer) ? NSP_EBPF_TCX : NSP_EBPF_XDP;
    const struct nsp_site site = {
        .link = NSP_LINK_ETHERNET,
        .facts = NSP_SITE_DIRECTION | NSP_SITE_LOOPBACK | NSP_SITE_IFINDEX,
        .direction = NSP_DIRECTION_NONE,
        .ifindex = steer->ifindex,
    };
    struct nsp_widened widened = { .exact = false };
    uint32_t count = 0;
    int err = 0;

    if (steer->filter)
        err = nsp_filter_emit_ebpf(steer->filter, type, &site, filter,
                                   FILTER_INSNS_MAX, &count, NULL, &widened);
    if (!steer->filter || !widened.exact)
        steer->offload = NULL;
    if (err == 0 && steer->offload)
        err = nsp_bpf_offload_prepare(steer->offload, &site);
    if (err < 0)
        return err;
    p->count = p->jump_count = 0;
    put_steer(p, steer);
    nsp_bpf_place(p, LABEL_FILTER);
    if (count > 0)
        memcpy(p->insns + p->count, filter, count * sizeof filter[0]);
    p->count += count;
    if (steer->offload)
        nsp_bpf_offload_put_filters(steer->offload, p, &offload_exits);
    nsp_bpf_resolve(p);
    if (in_stack(steer))
        return nsp_bpf_tc_load(NSP_BRIDGE_PROGRAM_PREFIX, p->insns, p->count,
                               NULL, 0);
    return nsp_bpf_xdp_load(NSP_BRIDGE_PROGRAM_PREFIX, p->insns, p->count,
                            steer->pieces, NULL, 0);
}

int
nsp_bridge_load_steer(const struct nsp_bridge_steer *steer,
                      const struct nsp_allocator *allocator)
{
    const uint32_t room = OWN_INSNS_MAX + FILTER_INSNS_MAX +
                          NSP_BPF_OFFLOAD_WALK_INSNS_MAX +
                          NSP_BPF_OFFLOAD_FILTER_INSNS_MAX;
    struct nsp_bpf_program p = {
        .max = OWN_INSNS_MAX + NSP_BPF_OFFLOAD_WALK_INSNS_MAX,
    };
    struct nsp_bridge_steer wanted = *steer;
    struct nsp_ebpf_insn *filter =
        nsp_alloc(allocator, room + FILTER_INSNS_MAX, sizeof *filter);
    int fd;

    if (!filter)
        return -ENOMEM;
    p.insns = filter + FILTER_INSNS_MAX;
    fd = load_with(&p, &wanted, filter);
    if (fd < 0 && fd != -EPERM && steer->filter && !steer->offload) {
        wanted.filter = NULL;
        fd = load_with(&p, &wanted, filter);
    }
    nsp_release(allocator, filter);
    return fd;
}

int
nsp_bridge_load_onward(uint32_t peer_ifindex)
{
    struct nsp_ebpf_insn insns[OWN_INSNS_MAX];
    struct nsp_bpf_program p = { .insns = insns, .max = OWN_INSNS_MAX };

    put_redirect(&p, peer_ifindex);
    return nsp_bpf_tc_load(NSP_BRIDGE_PROGRAM_PREFIX "_tc", p.insns, p.count,
                           NULL, 0);
}
