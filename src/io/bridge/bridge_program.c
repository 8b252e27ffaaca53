#include "io/bridge/bridge_program.h"

#include <arpa/inet.h>
#include <errno.h>

#include "base/memory.h"
#include "os/linux/beats.h"
#include "os/linux/bpf_call.h"
#include "os/linux/bpf_program.h"

/* Without the filter; far more than is ever used. */
#define OWN_INSNS_MAX 128u

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
};

/* Frames that the switches at both ends keep to themselves pass. */
static void
put_reserved(struct nsp_bpf_program *p)
{
    nsp_bpf_load_context(p, R2, offsetof(struct xdp_md, data));
    nsp_bpf_load_context(p, R3, offsetof(struct xdp_md, data_end));
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

/* Goes on while the worker of the frame's queue, which is left in R7, is
 * alive. */
static void
put_alive(struct nsp_bpf_program *p, const struct nsp_bridge_steer *steer)
{
    nsp_bpf_load_context(p, R7, offsetof(struct xdp_md, rx_queue_index));
    nsp_bpf_call(p, BPF_FUNC_ktime_get_ns);
    nsp_bpf_load_map(p, R8, BPF_PSEUDO_MAP_VALUE, steer->beats_fd);
    nsp_bpf_move(p, R9, R8);
    if (steer->workers > 1) {
        nsp_bpf_move(p, R1, R7);
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

static void
put_xdp(struct nsp_bpf_program *p, const struct nsp_bridge_steer *steer)
{
    const int32_t otherwise = steer->fail_closed ? XDP_DROP : XDP_PASS;

    nsp_bpf_move(p, R6, R1);
    put_reserved(p);
    if (steer->filter) {
        /* First: a worker that sleeps is timed by what it is sent. */
        nsp_bpf_move(p, R1, R6);
        nsp_bpf_call_label(p, LABEL_FILTER);
        nsp_bpf_jump_if(p, BPF_JEQ, R0, 0, LABEL_PASS);
    }
    put_alive(p, steer);
    nsp_bpf_load_map(p, R1, BPF_PSEUDO_MAP_FD, steer->sockets_fd);
    nsp_bpf_move(p, R2, R7);
    nsp_bpf_set(p, R3, otherwise); /* Where the map has no socket. */
    nsp_bpf_call(p, BPF_FUNC_redirect_map);
    nsp_bpf_exit(p);

    nsp_bpf_place(p, LABEL_LATE);
    nsp_bpf_set(p, R1, 1);
    nsp_bpf_put(p, BPF_STX | BPF_ATOMIC | BPF_DW, R9, R1,
                offsetof(struct nsp_beats_shared, late_pkts), BPF_ADD);
    nsp_bpf_leave(p, otherwise);
    nsp_bpf_place(p, LABEL_PASS);
    nsp_bpf_leave(p, XDP_PASS);
    nsp_bpf_place(p, LABEL_DROP);
    nsp_bpf_leave(p, XDP_DROP);
}

/* Appends the filter as a function. */
static bool
append_filter(struct nsp_bpf_program *p, const struct nsp_bridge_steer *steer)
{
    const struct nsp_site site = {
        .link = NSP_LINK_ETHERNET,
        .facts = NSP_SITE_DIRECTION | NSP_SITE_LOOPBACK | NSP_SITE_IFINDEX,
        .direction = NSP_DIRECTION_NONE,
        .ifindex = steer->ifindex,
    };
    uint32_t count;

    if (nsp_filter_emit_ebpf(steer->filter, NSP_EBPF_XDP, &site,
                             p->insns + p->count, FILTER_INSNS_MAX, &count,
                             NULL, NULL) < 0)
        return false;
    nsp_bpf_place(p, LABEL_FILTER);
    p->count += count;
    return true;
}

static int
load_xdp(struct nsp_bpf_program *p, const struct nsp_bridge_steer *steer)
{
    p->count = p->jump_count = 0;
    put_xdp(p, steer);
    if (steer->filter && !append_filter(p, steer))
        return -E2BIG;
    nsp_bpf_resolve(p);
    return nsp_bpf_xdp_load(NSP_BRIDGE_PROGRAM_PREFIX, p->insns, p->count, NULL,
                            0);
}

int
nsp_bridge_load_xdp(const struct nsp_bridge_steer *steer,
                    const struct nsp_allocator *allocator)
{
    struct nsp_bridge_steer unfiltered = *steer;
    struct nsp_bpf_program p = { .max = OWN_INSNS_MAX };
    int fd;

    p.insns =
        nsp_alloc(allocator, OWN_INSNS_MAX + FILTER_INSNS_MAX, sizeof *p.insns);
    if (!p.insns)
        return -ENOMEM;
    unfiltered.filter = NULL;
    fd = load_xdp(&p, steer);
    if (fd < 0 && fd != -EPERM && steer->filter)
        fd = load_xdp(&p, &unfiltered);
    nsp_release(allocator, p.insns);
    return fd;
}

int
nsp_bridge_load_tc(uint32_t peer_ifindex)
{
    struct nsp_ebpf_insn insns[OWN_INSNS_MAX];
    struct nsp_bpf_program p = { .insns = insns, .max = OWN_INSNS_MAX };

    nsp_bpf_set(&p, R1, (int32_t)peer_ifindex);
    nsp_bpf_set(&p, R2, 0);
    nsp_bpf_call(&p, BPF_FUNC_redirect);
    nsp_bpf_exit(&p);
    return nsp_bpf_tc_load(NSP_BRIDGE_PROGRAM_PREFIX "_tc", p.insns, p.count,
                           NULL, 0);
}
