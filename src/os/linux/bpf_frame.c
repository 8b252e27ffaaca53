#include "os/linux/bpf_frame.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>

#define IPV6_BYTES 40

/* Behind the lengths that headers of IPv4 and IPv6 tell. */
#define LENGTHS_END (NSP_BPF_ETHERNET_BYTES + 6)

/* A frame that is not longer may have padding behind its packet. */
#define PADDED_BYTES_MAX (ETH_ZLEN - NSP_BPF_ETHERNET_BYTES)

void
nsp_bpf_put_frame(struct nsp_bpf_program *p, enum nsp_ebpf_type type)
{
    bool tcx = type == NSP_EBPF_TCX;

    nsp_bpf_load_context(p, R2,
                         tcx ? offsetof(struct __sk_buff, data)
                             : offsetof(struct xdp_md, data));
    nsp_bpf_load_context(p, R3,
                         tcx ? offsetof(struct __sk_buff, data_end)
                             : offsetof(struct xdp_md, data_end));
}

void
nsp_bpf_put_ip_bytes(struct nsp_bpf_program *p, enum nsp_ebpf_type type,
                     uint32_t unknown, uint32_t first_label)
{
    const uint32_t ipv6 = first_label, told = ipv6 + 1, done = told + 1;

    nsp_bpf_put_frame(p, type);
    if (type == NSP_EBPF_TCX) {
        nsp_bpf_load_context(p, R9, offsetof(struct __sk_buff, len));
    } else {
        nsp_bpf_move(p, R9, R3);
        nsp_bpf_put(p, BPF_ALU64 | BPF_SUB | BPF_X, R9, R2, 0, 0);
    }
    nsp_bpf_put(p, BPF_ALU64 | BPF_SUB | BPF_K, R9, R0, 0,
                NSP_BPF_ETHERNET_BYTES);
    nsp_bpf_jump_if(p, BPF_JGT, R9, PADDED_BYTES_MAX, done);
    nsp_bpf_move(p, R1, R2);
    nsp_bpf_put(p, BPF_ALU64 | BPF_ADD, R1, R0, 0, LENGTHS_END);
    nsp_bpf_jump_if_reg(p, BPF_JGT, R1, R3, unknown);
    nsp_bpf_put(p, BPF_LDX | BPF_MEM | BPF_H, R1, R2,
                NSP_BPF_ETHERNET_BYTES - 2, 0);
    nsp_bpf_jump_if(p, BPF_JEQ, R1, htons(ETH_P_IPV6), ipv6);
    nsp_bpf_put(p, BPF_LDX | BPF_MEM | BPF_H, R1, R2,
                NSP_BPF_ETHERNET_BYTES + 2, 0);
    nsp_bpf_put(p, BPF_ALU | BPF_END | BPF_TO_BE, R1, R0, 0, 16);
    nsp_bpf_jump(p, told);
    nsp_bpf_place(p, ipv6);
    nsp_bpf_put(p, BPF_LDX | BPF_MEM | BPF_H, R1, R2,
                NSP_BPF_ETHERNET_BYTES + 4, 0);
    nsp_bpf_put(p, BPF_ALU | BPF_END | BPF_TO_BE, R1, R0, 0, 16);
    nsp_bpf_put(p, BPF_ALU64 | BPF_ADD, R1, R0, 0, IPV6_BYTES);
    nsp_bpf_place(p, told);
    nsp_bpf_jump_if(p, BPF_JEQ, R1, 0, done);
    nsp_bpf_jump_if_reg(p, BPF_JGE, R1, R9, done);
    nsp_bpf_move(p, R9, R1);
    nsp_bpf_place(p, done);
}
