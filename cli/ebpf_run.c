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

/* A key as the kernel takes it. */
struct key {
    uint32_t bits;
    uint8_t addr[16];
};

static int
fill_map(int fd, const struct nsp_ebpf_map *map)
{
    struct nsp_filter_prefix prefix;
    const uint8_t value = 1;
    bool more = nsp_filter_set_next_prefix(map->set, map->ipv6, NULL, &prefix);
    int r = 0;

    while (more && r == 0) {
        struct key key = { .bits = prefix.bits };
        union bpf_attr attr;

        memcpy(key.addr, prefix.addr, sizeof key.addr);
        memset(&attr, 0, sizeof attr);
        attr.map_fd = (uint32_t)fd;
        attr.key = (uintptr_t)&key;
        attr.value = (uintptr_t)&value;
        r = bpf(BPF_MAP_UPDATE_ELEM, &attr);
        more =
            nsp_filter_set_next_prefix(map->set, map->ipv6, &prefix, &prefix);
    }
    return r;
}

int
nsp_ebpf_make_map(const struct nsp_ebpf_map *map)
{
    union bpf_attr attr;
    int fd, r;

    memset(&attr, 0, sizeof attr);
    attr.map_type = BPF_MAP_TYPE_LPM_TRIE;
    attr.key_size = NSP_EBPF_KEY_BYTES(map->ipv6);
    attr.value_size = 1;
    attr.max_entries = nsp_filter_set_count_prefixes(map->set, map->ipv6);
    attr.map_flags = BPF_F_NO_PREALLOC;
    fd = bpf(BPF_MAP_CREATE, &attr);
    if (fd < 0)
        return fd;
    r = fill_map(fd, map);
    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
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
