#ifndef NETSHAPER_BPF_H
#define NETSHAPER_BPF_H
#include <stdbool.h>
#include <stdint.h>

#include "netshaper/api.h"
#include "netshaper/filter.h"
#include "netshaper/filter_set.h"
#include "netshaper/packet.h"

NSP_BEGIN_DECLS

/* Filters as programs that the kernel, or another capture library, runs.
 *
 * A program accepts every packet that the filter matches. Where it can tell all
 * that the filter asks it accepts no others and is called exact; a test that it
 * cannot make is widened: taken so that nothing is lost, and named. What such a
 * program accepts is to be matched again with nsp_filter_match().
 *
 * A packet is taken to be whole. Of one that is cut, classic BPF rejects what
 * it would have to read of the missing bytes, and eBPF accepts it.
 *
 * Threads    Any number of threads may emit from one filter at once, as far as
 *            its allocator allows.
 * Cost       Memory for the time of the call; linear in the tests. */

/* What is true of every packet where a program is to run. */
enum nsp_site_fact {
    NSP_SITE_DIRECTION = 1, /* 'direction' is that of every packet. */
    NSP_SITE_LOOPBACK = 2,  /* 'loopback' says where all of them travel. */
    NSP_SITE_IFINDEX = 4,   /* 'ifindex' is that of every packet. */
};

struct nsp_site {
    enum nsp_link link; /* What a packet begins with; not NSP_LINK_NULL. */
    unsigned facts;     /* Set of enum nsp_site_fact. */
    enum nsp_direction direction;
    bool loopback;
    uint32_t ifindex;
};

/* What a program cannot tell, by the language's names, such as "@office", and
 * NSP_WIDENED_EXTENSIONS where it stops at an IPv6 extension header. */
#define NSP_WIDENED_MAX        16
#define NSP_WIDENED_EXTENSIONS "IPv6 extension headers"

struct nsp_widened {
    bool exact;     /* Nothing is widened. */
    uint32_t count; /* Of names; more than NSP_WIDENED_MAX are not named. */
    const char *names[NSP_WIDENED_MAX]; /* Live as long as the filter. */
};

/* --- Classic BPF ---------------------------------------------------------
 * For packet sockets, capture devices, libpcap and the netfilter match. */

/* As struct sock_filter of Linux and struct bpf_insn of libpcap. */
struct nsp_cbpf_insn {
    uint16_t code;
    uint8_t jt, jf;
    uint32_t k;
};

#define NSP_CBPF_INSNS_MAX    4096u      /* Of the kernel and libpcap. */
#define NSP_CBPF_XT_INSNS_MAX 64u        /* Of the netfilter match. */
#define NSP_CBPF_ACCEPT       UINT32_MAX /* Returned; 0 rejects. */

/* Writes a program of at most 'max' instructions in 'insns'. With little room
 * it follows fewer IPv6 extension headers: a widening. Returns 0; or -EINVAL
 * when the filter is of a layer without packets or 'site' names no link header
 * that programs know, -E2BIG when there is not room enough, -ENOMEM; what
 * 'ret_*' point at is then untouched. 'ret_widened' may be NULL. */
NSP_API int nsp_filter_emit_cbpf(const struct nsp_filter *filter,
                                 const struct nsp_site *site,
                                 struct nsp_cbpf_insn insns[], uint32_t max,
                                 uint32_t *ret_count,
                                 struct nsp_widened *ret_widened) NSP_MUSTCHECK;

/* --- eBPF ----------------------------------------------------------------
 * For an interface's XDP and tcx hooks. A program returns 1 or 0, or
 * NSP_EBPF_UNKNOWN where the kernel does not hold what it would have to read of
 * the packet in one piece, which its caller turns to the hook's verdicts. To
 * load one takes CAP_BPF, CAP_NET_ADMIN and, for XDP, CAP_PERFMON. */

enum nsp_ebpf_type {
    NSP_EBPF_XDP, /* Interface numbers are those of arrival. */
    NSP_EBPF_TCX, /* Also the older clsact: BPF_PROG_TYPE_SCHED_CLS. */
};

#define NSP_EBPF_UNKNOWN 2 /* To be taken for a match, like a widened test. */

/* As struct bpf_insn of <linux/bpf.h>. */
struct nsp_ebpf_insn {
    uint8_t code;
    uint8_t registers; /* Destination in the low four bits, source above. */
    int16_t offset;
    int32_t imm;
};

#define NSP_EBPF_INSNS_MAX 32768u /* That jumps can span. */

/* A map that a program looks addresses up in. The caller makes it, of type
 * BPF_MAP_TYPE_LPM_TRIE with keys of NSP_EBPF_KEY_BYTES and values of any size,
 * and fills it with the set's prefixes (nsp_filter_set_next_prefix()). A key is
 * their bits as uint32_t and their 4 or 16 bytes of address. */
struct nsp_ebpf_map {
    const struct nsp_filter_set *set; /* The filter's. */
    bool ipv6;                        /* Of its IPv6 prefixes; else IPv4. */
};

#define NSP_EBPF_MAPS_MAX         64u /* Of a program, by the kernel. */
#define NSP_EBPF_KEY_BYTES(ipv6_) ((ipv6_) ? 20u : 8u)

struct nsp_ebpf_maps {
    uint32_t count;
    struct nsp_ebpf_map maps[NSP_EBPF_MAPS_MAX];
};

/* Replaces the numbers of maps in a program by their descriptors: map i's is
 * fds[i]. To be called once before the program is loaded, if it has maps. */
NSP_API void nsp_ebpf_set_maps(struct nsp_ebpf_insn insns[], uint32_t count,
                               const int fds[]);

/* Writes a program for hooks of 'type' like the function above. The larger
 * named sets are looked up in maps, which are stored in '*ret_maps'; if that is
 * NULL they are widened. */
NSP_API int nsp_filter_emit_ebpf(const struct nsp_filter *filter,
                                 enum nsp_ebpf_type type,
                                 const struct nsp_site *site,
                                 struct nsp_ebpf_insn insns[], uint32_t max,
                                 uint32_t *ret_count,
                                 struct nsp_ebpf_maps *ret_maps,
                                 struct nsp_widened *ret_widened) NSP_MUSTCHECK;

NSP_END_DECLS
#endif /* NETSHAPER_BPF_H */
