#define _GNU_SOURCE
#include "os/linux/bpf_police.h"

#include <unistd.h>

#include "os/linux/bpf_call.h"

/* How often a packet tries to take what others take, too. The last way is to
 * take it in any case: the bucket then has that less for those behind it. */
#define TRIES 4

#define TRIAL_INSNS_MAX 64u

/* Whether the kernel takes programs that use the map. Returns 0 or a negative
 * errno. */
static int
try_program(int map_fd)
{
    const struct nsp_offload_bucket bucket = { .by_pkts = true };
    struct nsp_ebpf_insn insns[TRIAL_INSNS_MAX];
    struct nsp_bpf_program p = { .insns = insns, .max = TRIAL_INSNS_MAX };
    int fd;

    nsp_bpf_set(&p, R7, 0);
    nsp_bpf_put_price(&p, map_fd, &bucket);
    nsp_bpf_put_take(&p, 0, 0);
    nsp_bpf_place(&p, 0);
    nsp_bpf_leave(&p, 0);
    nsp_bpf_resolve(&p);
    fd = nsp_bpf_tc_load("nsp_trial", p.insns, p.count, NULL, 0);
    if (fd >= 0)
        close(fd);
    return fd < 0 ? fd : 0;
}

int
nsp_bpf_buckets_open(struct nsp_bpf_buckets *buckets, uint32_t count)
{
    size_t bytes = count * sizeof buckets->words[0];
    void *words;
    int err, fd = nsp_bpf_array_create("nsp_buckets", (uint32_t)bytes, 1, true);

    if (fd < 0)
        return fd;
    err = try_program(fd);
    if (err == 0)
        err = nsp_bpf_array_share(fd, bytes, &words);
    if (err < 0) {
        close(fd);
        return err;
    }
    *buckets = (struct nsp_bpf_buckets){ fd, words, bytes };
    return 0;
}

void
nsp_bpf_buckets_close(struct nsp_bpf_buckets *buckets)
{
    if (buckets->fd < 0)
        return;
    nsp_bpf_array_unshare(buckets->words, buckets->bytes);
    close(buckets->fd);
    buckets->fd = -1;
}

void
nsp_bpf_put_price(struct nsp_bpf_program *p, int buckets_fd,
                  const struct nsp_offload_bucket *bucket)
{
    uint32_t fraction = (UINT32_C(1) << bucket->cost_shift) - 1;

    nsp_bpf_call(p, BPF_FUNC_get_prandom_u32);
    nsp_bpf_put(p, BPF_ALU | BPF_AND | BPF_K, R0, R0, 0, (int32_t)fraction);
    nsp_bpf_set64(p, R1, bucket->unit_cost);
    if (!bucket->by_pkts)
        nsp_bpf_put(p, BPF_ALU64 | BPF_MUL | BPF_X, R1, R9, 0, 0);
    nsp_bpf_put(p, BPF_ALU64 | BPF_ADD | BPF_X, R1, R0, 0, 0);
    nsp_bpf_put(p, BPF_ALU64 | BPF_RSH | BPF_K, R1, R0, 0, bucket->cost_shift);
    nsp_bpf_set64(p, R2, bucket->burst_ns);
    nsp_bpf_load_map(p, R3, BPF_PSEUDO_MAP_VALUE, buckets_fd);
    nsp_bpf_put(p, BPF_ALU64 | BPF_ADD, R3, R0, 0,
                (int32_t)(bucket->index * sizeof(uint64_t)));
}

/* R8 is what the word was seen to be, R4 what it is to become. */
void
nsp_bpf_put_take(struct nsp_bpf_program *p, uint32_t conforms, uint32_t exceeds)
{
    nsp_bpf_put(p, BPF_LDX | BPF_MEM | BPF_DW, R0, R3, 0, 0);
    for (uint32_t i = 0; i < TRIES; i++) {
        nsp_bpf_move(p, R8, R0);
        nsp_bpf_move(p, R4, R0);
        nsp_bpf_put(p, BPF_JMP | BPF_JGE | BPF_X, R4, R7, 1, 0);
        nsp_bpf_move(p, R4, R7);
        nsp_bpf_put(p, BPF_ALU64 | BPF_ADD | BPF_X, R4, R1, 0, 0);
        nsp_bpf_move(p, R5, R4);
        nsp_bpf_put(p, BPF_ALU64 | BPF_SUB | BPF_X, R5, R7, 0, 0);
        nsp_bpf_jump_if_reg(p, BPF_JGT, R5, R2, exceeds);
        nsp_bpf_put(p, BPF_STX | BPF_ATOMIC | BPF_DW, R3, R4, 0, BPF_CMPXCHG);
        nsp_bpf_jump_if_reg(p, BPF_JEQ, R0, R8, conforms);
    }
    nsp_bpf_put(p, BPF_STX | BPF_ATOMIC | BPF_DW, R3, R1, 0, BPF_ADD);
}
