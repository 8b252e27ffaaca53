#ifndef NSP_IO_TAP_PROGRAM_H
#define NSP_IO_TAP_PROGRAM_H
#include "base/base.h"
#include "netshaper/env.h"
#include "netshaper/filter.h"
#include "netshaper/io.h"
#include "os/linux/bpf_offload.h"

/* The eBPF programs of the tap device, written instruction by instruction: they
 * are short, depend on the configuration, and so need no compiler and no
 * object file anywhere.
 *
 *     stack --> egress hook --divert--> TAP --> engine --> TAP
 *                 ^                                         |
 *                 +---- marked ------------- return <-------+
 *
 * divert   At each hook taken: passes on what carries the loop mark, and takes
 *          the mark off. Of the rest it sends IP packets of this host that the
 *          filter matches, and that the rules it was given do not decide, to
 *          the TAP, with a tag in front that says where they were taken, as
 *          long as the engine is alive.
 *
 * return   On what comes out of the TAP: takes the tag off, puts the mark on,
 *          and sends the packet to the hook that the tag names.
 *
 * Tag        An 802.1ad tag, which the kernel keeps beside the packet: to put
 *            one on and take it off moves no byte and leaves offloads as they
 *            are. Its number is that of the place: 2 * slot + 2, one more at
 *            ingress.
 * This host  At egress, what came in through no interface; at ingress, what
 *            the routing tables do not forward.
 * Alive      A word for each queue says until when the engine is taken to be
 *            alive (struct nsp_beats_shared). Later packets pass by, or are
 *            dropped (fail_closed), also those that rules would let pass. */

/* Packets with this bit in their mark are diverted by no engine; the nfqueue
 * device uses the same. */
#define NSP_TAP_LOOP_MARK UINT32_C(0x20000000)

#define NSP_TAP_TPID           0x88A8u
#define NSP_TAP_INTERFACES_MAX 64u

/* Names of the programs begin with this. */
#define NSP_TAP_PROGRAM_PREFIX "nsp_tap_"

static inline uint16_t
nsp_tap_tag(uint32_t slot, bool ingress)
{
    return (uint16_t)(2 * slot + 2 + ingress);
}

struct nsp_tap_divert {
    uint32_t ifindex, tap_ifindex;
    uint32_t slot;
    bool ingress;
    bool loopback;     /* Takes IPv6 and 127.0.0.0/8 there, no other IPv4. */
    bool fail_closed;  /* Late packets are dropped. */
    bool superpackets; /* The filter may judge them by their whole. */
    uint32_t queues;
    int shared_fd;                   /* Map of one struct nsp_beats_shared. */
    const struct nsp_filter *filter; /* NULL: every IP packet. */
    struct nsp_bpf_offload *offload; /* Rules to decide by here; NULL: none. */
};

/* What the return program knows of a slot. */
struct nsp_tap_place {
    uint32_t ifindex; /* 0: nobody. */
    uint32_t loopback;
};

/* Each loads a program and returns its descriptor or a negative errno; 'log'
 * then has the verifier's words. */
int nsp_tap_load_divert(const struct nsp_tap_divert *divert,
                        const struct nsp_allocator *allocator, char *log,
                        uint32_t log_bytes) NSP_MUSTCHECK;

/* 'places_fd' is an array of NSP_TAP_INTERFACES_MAX struct nsp_tap_place. */
int nsp_tap_load_return(int places_fd, char *log,
                        uint32_t log_bytes) NSP_MUSTCHECK;

#endif /* NSP_IO_TAP_PROGRAM_H */
