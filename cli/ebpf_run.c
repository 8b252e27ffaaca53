#define _GNU_SOURCE
#include "cli/ebpf_run.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

_Static_assert(sizeof(struct bpf_insn) == sizeof(struct nsp_ebpf_insn),
               "not the kernel's instructions");

static int
bpf(int command, union bpf_attr *attr)
{
    long r = syscall(SYS_bpf, command, attr, sizeof *attr);

    return r < 0 ? -errno : (int)r;
}

int
nsp_ebpf_load(const struct nsp_ebpf_insn insns[], uint32_t count)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof attr);
    attr.prog_type = BPF_PROG_TYPE_SCHED_CLS;
    attr.insns = (uintptr_t)insns;
    attr.insn_cnt = count;
    attr.license = (uintptr_t) "MIT";
    return bpf(BPF_PROG_LOAD, &attr);
}

int
nsp_ebpf_run(int program, const void *data, uint32_t bytes, bool *ret)
{
    union bpf_attr attr;
    int r;

    memset(&attr, 0, sizeof attr);
    attr.test.prog_fd = (uint32_t)program;
    attr.test.data_in = (uintptr_t)data;
    attr.test.data_size_in = bytes;
    r = bpf(BPF_PROG_TEST_RUN, &attr);
    if (r == 0)
        *ret = attr.test.retval != 0;
    return r;
}
