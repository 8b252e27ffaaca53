#ifndef NSP_OS_LINUX_TC_HOOK_H
#define NSP_OS_LINUX_TC_HOOK_H
#include "base/base.h"

/* A program at the ingress or egress of an interface.
 *
 * tcx     Linux 6.6: a link held by a descriptor. It goes with the process,
 *         however that ends, and stands behind the programs already there.
 * clsact  Older: a filter of the queueing discipline 'clsact'. It outlives a
 *         process that is killed, so its program has to know what to do then;
 *         the next one that is attached there takes its place. Its name says
 *         whose it is, by the number of a TAP that goes with the process, or
 *         which interface it sends packets to. */
enum nsp_tc_method {
    NSP_TC_TCX = 0,
    NSP_TC_CLSACT,
};

/* Programs of one that has no TAP, and sees by other means to it that nobody of
 * us is there. */
#define NSP_TC_NO_OWNER 0u

struct nsp_tc_hook {
    uint32_t ifindex;
    bool attached, ingress, clsact;
    bool made_qdisc;
    uint32_t owner;
    uint32_t peer_ifindex; /* 0: it does not join two interfaces. */
    int link_fd;
};

/* Attaches 'program_fd', which may be closed afterwards; 'owner' is the number
 * of a TAP of ours or NSP_TC_NO_OWNER. Returns 0 or a negative errno: -EINVAL
 * where the kernel knows no tcx, -ENOENT or -EOPNOTSUPP where it knows no
 * clsact, -EBUSY where the filter of an owner that lives is in clsact. */
int nsp_tc_hook_attach(struct nsp_tc_hook *hook, enum nsp_tc_method method,
                       int program_fd, uint32_t ifindex, bool ingress,
                       uint32_t owner) NSP_MUSTCHECK;

/* Attaches, without an owner, a program at the ingress of clsact that sends
 * packets out of 'peer_ifindex'. Returns as above. */
int nsp_tc_hook_join(struct nsp_tc_hook *hook, int program_fd, uint32_t ifindex,
                     uint32_t peer_ifindex) NSP_MUSTCHECK;

/* Describes what nsp_tc_hook_join() has put at an interface, to be detached by
 * who knows that its process is dead. Returns false if there is none. */
bool nsp_tc_hook_find_joined(struct nsp_tc_hook *ret, uint32_t ifindex);

/* Tells whether a program of ours is in clsact there: that of a process that
 * was killed, if nobody without a TAP is at the interface now. */
bool nsp_tc_hook_is_left(uint32_t ifindex, bool ingress);

/* Tells whether one of an owner that lives is in clsact there, either way. */
bool nsp_tc_hook_is_taken(uint32_t ifindex);

/* Takes off clsact there what owners that live no more have left, either way,
 * and the queueing discipline with it if nothing else is in it. What has no
 * owner stays. */
void nsp_tc_hook_clear_left(uint32_t ifindex);

/* Puts another program in the place of the one attached, without a gap;
 * 'program_fd' may be closed afterwards. Returns 0 or a negative errno: the
 * interface has gone. */
int nsp_tc_hook_replace(struct nsp_tc_hook *hook, int program_fd) NSP_MUSTCHECK;

/* Accepts one that is not attached, or whose interface has gone. In clsact,
 * takes off what is still its own. */
void nsp_tc_hook_detach(struct nsp_tc_hook *hook);

#endif /* NSP_OS_LINUX_TC_HOOK_H */
