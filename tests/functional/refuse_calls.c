#define _GNU_SOURCE /* RTLD_NEXT. */
/* A kernel that lacks things: preloaded into a program, refuses what NSP_REFUSE
 * lists, as a kernel does that does not know it:
 *
 *   tcx           links at the tcx hooks (before Linux 6.6)
 *   rules         programs of these hooks that decide by rules (before 5.11)
 *   uso           UDP superpackets at a TAP (before 6.2)
 *   tx-metadata   AF_XDP memory with requests to the driver (before 6.8)
 *   gso           flags of a netfilter queue (before 3.10, 3.6, 3.12)
 *   fail-open
 *   uid-gid
 *   match         the match 'bpf' of nftables (CONFIG_NETFILTER_XT_MATCH_BPF)
 *
 * Where NSP_REFUSE_IF names a file, only while that is there. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_tun.h>
#include <linux/if_xdp.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the C library's headers lack. */
#define TCX_INGRESS 46u
#define TCX_EGRESS  47u
#define TUN_USO     (0x20u | 0x40u) /* TUN_F_USO4, TUN_F_USO6. */
#define TX_METADATA (1u << 2)
#ifndef SOL_XDP
#define SOL_XDP 283
#endif

/* No kernel knows it: it refuses the request itself, in its own way. */
#define UNKNOWN_FLAG 0x80000000u

#define MESSAGE_BYTES 65536u

/* The maps with what rules count, by their descriptors. */
#define MAPS_MAX 256
static bool is_counters[MAPS_MAX];

static bool
refuses(const char *what)
{
    const char *list = getenv("NSP_REFUSE"), *file = getenv("NSP_REFUSE_IF");
    size_t bytes = strlen(what);

    if (!list || (file && access(file, F_OK) != 0))
        return false;
    while ((list = strstr(list, what)) != NULL) {
        if (list[bytes] == '\0' || list[bytes] == ',')
            return true;
        list += bytes;
    }
    return false;
}

static void *
real(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);

    if (!function)
        abort();
    return function;
}

static int
refuse(int err)
{
    errno = err;
    return -1;
}

/* --- bpf() ---------------------------------------------------------------- */

static bool
is_tcx(uint32_t attach_type)
{
    return attach_type == TCX_INGRESS || attach_type == TCX_EGRESS;
}

static bool
counts(const union bpf_attr *attr)
{
    const struct bpf_insn *insns = (const void *)(uintptr_t)attr->insns;

    for (uint32_t i = 0; i < attr->insn_cnt; i++)
        if (insns[i].code == (BPF_LD | BPF_IMM | BPF_DW) &&
            insns[i].src_reg == BPF_PSEUDO_MAP_FD && insns[i].imm >= 0 &&
            insns[i].imm < MAPS_MAX && is_counters[insns[i].imm])
            return true;
    return false;
}

static bool
refuses_bpf(long command, const union bpf_attr *attr)
{
    switch (command) {
    case BPF_LINK_CREATE:
        return is_tcx(attr->link_create.attach_type) && refuses("tcx");
    case BPF_PROG_QUERY:
        return is_tcx(attr->query.attach_type) && refuses("tcx");
    case BPF_PROG_LOAD:
        return attr->prog_type == BPF_PROG_TYPE_SCHED_CLS && counts(attr) &&
               refuses("rules");
    default:
        return false;
    }
}

long
syscall(long number, ...)
{
    long (*next)(long, ...);
    long a[6], result;
    va_list list;

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_bpf && refuses_bpf(a[0], (const void *)a[1]))
        return refuse(EINVAL);
    *(void **)&next = real("syscall");
    result = next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (number == SYS_bpf && a[0] == BPF_MAP_CREATE && result >= 0 &&
        result < MAPS_MAX)
        is_counters[result] = ((const union bpf_attr *)a[1])->map_type ==
                              BPF_MAP_TYPE_PERCPU_ARRAY;
    return result;
}

/* --- Devices and sockets -------------------------------------------------- */

int
ioctl(int fd, unsigned long request, ...)
{
    int (*next)(int, unsigned long, ...);
    unsigned long argument;
    va_list list;

    va_start(list, request);
    argument = va_arg(list, unsigned long);
    va_end(list);
    if (request == TUNSETOFFLOAD && (argument & TUN_USO) != 0 && refuses("uso"))
        return refuse(EINVAL);
    *(void **)&next = real("ioctl");
    return next(fd, request, argument);
}

int
setsockopt(int fd, int level, int option, const void *value, socklen_t bytes)
{
    int (*next)(int, int, int, const void *, socklen_t);
    struct {
        uint64_t addr, len;
        uint32_t chunk_size, headroom, flags;
    } memory;

    if (level == SOL_XDP && option == XDP_UMEM_REG && bytes >= sizeof memory) {
        memcpy(&memory, value, sizeof memory);
        if ((memory.flags & TX_METADATA) != 0 && refuses("tx-metadata"))
            return refuse(EINVAL);
    }
    *(void **)&next = real("setsockopt");
    return next(fd, level, option, value, bytes);
}

/* --- Netfilter's queues --------------------------------------------------- */

static uint32_t
refused_flags(void)
{
    return (refuses("gso") ? NFQA_CFG_F_GSO : 0u) |
           (refuses("fail-open") ? NFQA_CFG_F_FAIL_OPEN : 0u) |
           (refuses("uid-gid") ? NFQA_CFG_F_UID_GID : 0u);
}

/* Adds the unknown flag to requests for one that is refused. */
static void
spoil(uint8_t *bytes, size_t count)
{
    struct nlmsghdr *message = (void *)bytes;
    size_t at = NLMSG_SPACE(sizeof(struct nfgenmsg));

    if (count < at ||
        message->nlmsg_type != (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG))
        return;
    while (at + sizeof(struct nlattr) <= message->nlmsg_len) {
        struct nlattr *attribute = (void *)(bytes + at);
        uint32_t flags;

        if (attribute->nla_type == NFQA_CFG_FLAGS) {
            memcpy(&flags, attribute + 1, sizeof flags);
            if ((ntohl(flags) & refused_flags()) != 0)
                flags |= htonl(UNKNOWN_FLAG);
            memcpy(attribute + 1, &flags, sizeof flags);
        }
        at += (size_t)NLA_ALIGN(attribute->nla_len);
    }
}

/* Asks for a match that nobody knows in the place of 'bpf'. */
static void
rename_match(uint8_t *bytes, size_t count)
{
    static const uint8_t name[] = {
        8, 0, NFTA_MATCH_NAME, 0, 'b', 'p', 'f', 0
    };
    uint8_t *at;

    while ((at = memmem(bytes, count, name, sizeof name)) != NULL)
        at[sizeof name - 2] = 'x';
}

ssize_t
send(int fd, const void *bytes, size_t count, int flags)
{
    static _Thread_local _Alignas(struct nlmsghdr) uint8_t copy[MESSAGE_BYTES];
    ssize_t (*next)(int, const void *, size_t, int);
    int domain = 0;
    socklen_t domain_bytes = sizeof domain;

    *(void **)&next = real("send");
    if (count > sizeof copy ||
        getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_bytes) < 0 ||
        domain != AF_NETLINK)
        return next(fd, bytes, count, flags);
    memcpy(copy, bytes, count);
    spoil(copy, count);
    if (refuses("match"))
        rename_match(copy, count);
    return next(fd, copy, count, flags);
}
