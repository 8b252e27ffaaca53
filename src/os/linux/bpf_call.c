#define _GNU_SOURCE
#include "os/linux/bpf_call.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Makes it lawful to call helpers that the kernel keeps for free software. */
#define LICENSE "Dual MIT/GPL"

/* Far more than a program of ours uses: the kernel's own limit. */
#define PROGRAM_MAPS_MAX 64u

/* Programs of others on one hook of one interface; the kernel allows 64. */
#define PROGRAMS_MAX 64u

/* The kernel's own limit is 8192 (CONFIG_NR_CPUS). */
#define CPUS_MAX 8192

_Static_assert(sizeof(struct bpf_insn) == sizeof(struct nsp_ebpf_insn),
               "not the kernel's instructions");

/* BPF_PROG_QUERY with what Linux 6.6 appended, for headers that lack it. */
struct query {
    uint32_t target_ifindex;
    uint32_t attach_type;
    uint32_t query_flags;
    uint32_t attach_flags;
    uint64_t prog_ids;
    uint32_t count;
    uint32_t padding;
    uint64_t prog_attach_flags, link_ids, link_attach_flags, revision;
};

static int
call(int command, void *attr, size_t bytes)
{
    long r = syscall(SYS_bpf, command, attr, bytes);

    return r < 0 ? -errno : (int)r;
}

static int
create_map(const char *name, uint32_t type, uint32_t key_bytes,
           uint32_t value_bytes, uint32_t entries, uint32_t flags)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof attr);
    attr.map_type = type;
    attr.key_size = key_bytes;
    attr.value_size = value_bytes;
    attr.max_entries = entries;
    attr.map_flags = flags;
    snprintf(attr.map_name, sizeof attr.map_name, "%s", name);
    return call(BPF_MAP_CREATE, &attr, sizeof attr);
}

int
nsp_bpf_array_create(const char *name, uint32_t value_bytes, uint32_t entries,
                     bool mapped)
{
    return create_map(name, BPF_MAP_TYPE_ARRAY, sizeof(uint32_t), value_bytes,
                      entries, mapped ? BPF_F_MMAPABLE : 0);
}

int
nsp_bpf_lru_create(const char *name, uint32_t key_bytes, uint32_t value_bytes,
                   uint32_t entries)
{
    return create_map(name, BPF_MAP_TYPE_LRU_HASH, key_bytes, value_bytes,
                      entries, 0);
}

int
nsp_bpf_xskmap_create(const char *name, uint32_t entries)
{
    return create_map(name, BPF_MAP_TYPE_XSKMAP, sizeof(uint32_t),
                      sizeof(uint32_t), entries, 0);
}

/* --- Values for each processor -------------------------------------------- */

int
nsp_bpf_percpu_array_create(const char *name, uint32_t value_bytes,
                            uint32_t entries)
{
    return create_map(name, BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(uint32_t),
                      value_bytes, entries, 0);
}

/* How many processors the kernel has values for: "0-3" or "0,2-7" are those
 * that may ever be there. Returns a negative errno if it does not say. */
static int
possible_cpus(void)
{
    FILE *file = fopen("/sys/devices/system/cpu/possible", "re");
    char text[256];
    const char *last;
    int n = -1;

    if (!file)
        return -errno;
    if (fgets(text, sizeof text, file)) {
        last = text + strcspn(text, "\n");
        while (last > text && last[-1] >= '0' && last[-1] <= '9')
            last--;
        n = (int)strtol(last, NULL, 10);
    }
    fclose(file);
    return n < 0 || n >= CPUS_MAX ? -EINVAL : n + 1;
}

int
nsp_bpf_percpu_array_read(int map_fd, uint32_t index, uint32_t value_bytes,
                          nsp_bpf_value_fn *take, void *context)
{
    int cpus = possible_cpus(), err;
    union bpf_attr attr;
    uint8_t *values;

    assert(value_bytes % sizeof(uint64_t) == 0);
    if (cpus < 0)
        return cpus;
    values = calloc((size_t)cpus, value_bytes);
    if (!values)
        return -ENOMEM;
    memset(&attr, 0, sizeof attr);
    attr.map_fd = (uint32_t)map_fd;
    attr.key = (uintptr_t)&index;
    attr.value = (uintptr_t)values;
    err = call(BPF_MAP_LOOKUP_ELEM, &attr, sizeof attr);
    for (int cpu = 0; cpu < cpus && err == 0; cpu++)
        take(context, values + (size_t)cpu * value_bytes);
    free(values);
    return err;
}

/* --- Sets of addresses ---------------------------------------------------- */

static int
add_prefixes(int fd, const struct nsp_ebpf_map *map)
{
    struct {
        uint32_t bits;
        uint8_t addr[16];
    } key;
    struct nsp_filter_prefix prefix;
    const uint8_t value = 1;
    bool more = nsp_filter_set_next_prefix(map->set, map->ipv6, NULL, &prefix);
    union bpf_attr attr;
    int err = 0;

    while (more && err == 0) {
        key.bits = prefix.bits;
        memcpy(key.addr, prefix.addr, sizeof key.addr);
        memset(&attr, 0, sizeof attr);
        attr.map_fd = (uint32_t)fd;
        attr.key = (uintptr_t)&key;
        attr.value = (uintptr_t)&value;
        err = call(BPF_MAP_UPDATE_ELEM, &attr, sizeof attr);
        more =
            nsp_filter_set_next_prefix(map->set, map->ipv6, &prefix, &prefix);
    }
    return err;
}

int
nsp_bpf_prefixes_create(const char *name, const struct nsp_ebpf_map *map)
{
    uint32_t count = nsp_filter_set_count_prefixes(map->set, map->ipv6);
    int fd =
        create_map(name, BPF_MAP_TYPE_LPM_TRIE, NSP_EBPF_KEY_BYTES(map->ipv6),
                   1, count, BPF_F_NO_PREALLOC);
    int err;

    if (fd < 0)
        return fd;
    err = add_prefixes(fd, map);
    if (err < 0) {
        close(fd);
        return err;
    }
    return fd;
}

int
nsp_bpf_array_set(int map_fd, uint32_t index, const void *value)
{
    return nsp_bpf_map_set(map_fd, &index, value);
}

int
nsp_bpf_map_set(int map_fd, const void *key, const void *value)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof attr);
    attr.map_fd = (uint32_t)map_fd;
    attr.key = (uintptr_t)key;
    attr.value = (uintptr_t)value;
    return call(BPF_MAP_UPDATE_ELEM, &attr, sizeof attr);
}

int
nsp_bpf_array_share(int map_fd, size_t bytes, void **ret)
{
    void *shared =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);

    if (shared == MAP_FAILED)
        return -errno;
    *ret = shared;
    return 0;
}

void
nsp_bpf_array_unshare(void *shared, size_t bytes)
{
    munmap(shared, bytes);
}

static int
load(uint32_t type, uint32_t flags, const char *name,
     const struct nsp_ebpf_insn insns[], uint32_t count, char *log,
     uint32_t log_bytes)
{
    union bpf_attr attr;
    int fd;

    memset(&attr, 0, sizeof attr);
    attr.prog_type = type;
    attr.prog_flags = flags;
    attr.insns = (uintptr_t)insns;
    attr.insn_cnt = count;
    attr.license = (uintptr_t)LICENSE;
    snprintf(attr.prog_name, sizeof attr.prog_name, "%s", name);
    fd = call(BPF_PROG_LOAD, &attr, sizeof attr);
    if (fd >= 0 || fd == -EPERM || !log)
        return fd;

    /* Once more, to hear why. */
    log[0] = '\0';
    attr.log_buf = (uintptr_t)log;
    attr.log_size = log_bytes;
    attr.log_level = 1;
    return call(BPF_PROG_LOAD, &attr, sizeof attr);
}

int
nsp_bpf_tc_load(const char *name, const struct nsp_ebpf_insn insns[],
                uint32_t count, char *log, uint32_t log_bytes)
{
    return load(BPF_PROG_TYPE_SCHED_CLS, 0, name, insns, count, log, log_bytes);
}

int
nsp_bpf_xdp_load(const char *name, const struct nsp_ebpf_insn insns[],
                 uint32_t count, bool pieces, char *log, uint32_t log_bytes)
{
    return load(BPF_PROG_TYPE_XDP, pieces ? BPF_F_XDP_HAS_FRAGS : 0, name,
                insns, count, log, log_bytes);
}

int
nsp_bpf_match_load(const char *name, const struct nsp_ebpf_insn insns[],
                   uint32_t count)
{
    return load(BPF_PROG_TYPE_SOCKET_FILTER, 0, name, insns, count, NULL, 0);
}

int
nsp_bpf_tcx_attach(int program_fd, uint32_t ifindex, uint32_t attach_type)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof attr);
    attr.link_create.prog_fd = (uint32_t)program_fd;
    attr.link_create.target_ifindex = ifindex;
    attr.link_create.attach_type = attach_type;
    return call(BPF_LINK_CREATE, &attr, sizeof attr);
}

int
nsp_bpf_link_update(int link_fd, int program_fd)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof attr);
    attr.link_update.link_fd = (uint32_t)link_fd;
    attr.link_update.new_prog_fd = (uint32_t)program_fd;
    return call(BPF_LINK_UPDATE, &attr, sizeof attr);
}

/* Programs run in RCU read-side sections; this waits for a grace period. */
int
nsp_bpf_wait_for_programs(void)
{
    return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) < 0 ? -errno
                                                                    : 0;
}

/* Of a program (struct bpf_prog_info) or map (struct bpf_map_info); what is set
 * in '*info' asks for more. */
static int
read_info(int fd, void *info, uint32_t bytes)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof attr);
    attr.info.bpf_fd = (uint32_t)fd;
    attr.info.info_len = bytes;
    attr.info.info = (uintptr_t)info;
    return call(BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof attr);
}

int
nsp_bpf_program_id(int program_fd, uint32_t *ret)
{
    struct bpf_prog_info info = { 0 };
    int err = read_info(program_fd, &info, sizeof info);

    if (err < 0)
        return err;
    *ret = info.id;
    return 0;
}

/* Opens the program, or map, that the kernel knows by 'id'. */
static int
open_by_id(int command, uint32_t id)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof attr);
    attr.prog_id = id; /* And map_id. */
    return call(command, &attr, sizeof attr);
}

bool
nsp_bpf_program_is(uint32_t id, const char *prefix)
{
    struct bpf_prog_info info = { 0 };
    int fd = open_by_id(BPF_PROG_GET_FD_BY_ID, id);
    int r;

    if (fd < 0)
        return false; /* Gone meanwhile. */
    r = read_info(fd, &info, sizeof info);
    close(fd);
    return r == 0 && strncmp(info.name, prefix, strlen(prefix)) == 0;
}

/* Copies the first value of a map, if it is the one of that name and size. */
static int
read_map(uint32_t id, const char *name, uint32_t value_bytes, void *ret)
{
    struct bpf_map_info info = { 0 };
    const uint32_t key = 0;
    union bpf_attr attr;
    int fd = open_by_id(BPF_MAP_GET_FD_BY_ID, id);
    int err;

    if (fd < 0)
        return fd;
    err = read_info(fd, &info, sizeof info);
    if (err == 0 &&
        (strcmp(info.name, name) != 0 || info.value_size != value_bytes))
        err = -ENOENT;
    memset(&attr, 0, sizeof attr);
    attr.map_fd = (uint32_t)fd;
    attr.key = (uintptr_t)&key;
    attr.value = (uintptr_t)ret;
    if (err == 0)
        err = call(BPF_MAP_LOOKUP_ELEM, &attr, sizeof attr);
    close(fd);
    return err;
}

int
nsp_bpf_program_read_map(uint32_t id, const char *name, uint32_t value_bytes,
                         void *ret)
{
    uint32_t ids[PROGRAM_MAPS_MAX];
    struct bpf_prog_info info = {
        .nr_map_ids = PROGRAM_MAPS_MAX,
        .map_ids = (uintptr_t)ids,
    };
    int fd = open_by_id(BPF_PROG_GET_FD_BY_ID, id);
    int err;

    if (fd < 0)
        return fd;
    err = read_info(fd, &info, sizeof info);
    close(fd);
    if (err < 0)
        return err;
    err = -ENOENT;
    for (uint32_t i = 0; i < info.nr_map_ids && i < PROGRAM_MAPS_MAX; i++) {
        err = read_map(ids[i], name, value_bytes, ret);
        if (err == 0)
            break;
    }
    return err;
}

int
nsp_bpf_tcx_find(uint32_t ifindex, uint32_t attach_type, const char *prefix)
{
    uint32_t ids[PROGRAMS_MAX];
    struct query query = {
        .target_ifindex = ifindex,
        .attach_type = attach_type,
        .prog_ids = (uintptr_t)ids,
        .count = PROGRAMS_MAX,
    };
    int r = call(BPF_PROG_QUERY, &query, sizeof query);

    if (r == -ENOENT) /* Nothing was ever attached. */
        return 0;
    if (r < 0)
        return r;
    for (uint32_t i = 0; i < query.count && i < PROGRAMS_MAX; i++)
        if (nsp_bpf_program_is(ids[i], prefix))
            return 1;
    return 0;
}
