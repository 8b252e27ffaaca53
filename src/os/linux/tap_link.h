#ifndef NSP_OS_LINUX_TAP_LINK_H
#define NSP_OS_LINUX_TAP_LINK_H
#include <net/if.h>

#include "base/base.h"
#include "netshaper/io.h"

/* A TAP of our own: an interface to send packets to, and to take them from.
 *
 * It exists as long as one of its descriptors is open, and carries no traffic
 * of its own: IPv6 is off, and it has no address.
 *
 * Threads  One; in the network namespace to work in. */
struct nsp_tap_link {
    char name[IF_NAMESIZE];
    uint32_t ifindex;
    uint32_t queues;
    int fds[NSP_IO_QUEUES_MAX]; /* Non-blocking, -1 where closed. */
    bool udp_superpackets;
};

struct nsp_tap_link_config {
    const char *name; /* Nobody else's, with one queue; NULL: any. */
    uint32_t queues;
    uint32_t queue_pkts; /* That may wait in each of the kernel's queues. */
    bool superpackets;   /* Else the kernel splits them first. */
};

/* Makes the TAP and brings it up. Returns 0 or a negative errno: -ENOENT or
 * -ENODEV without a TUN driver, -EPERM without the privilege, -EBUSY where
 * somebody has one of that name; '*reterr_step' then says what failed. Either
 * way the link may be closed. */
int nsp_tap_link_open(struct nsp_tap_link *link,
                      const struct nsp_tap_link_config *cfg,
                      const char **reterr_step) NSP_MUSTCHECK;
void nsp_tap_link_close(struct nsp_tap_link *link);

/* Returns 0 where packets can be sent to the TAP, -ENETDOWN where somebody took
 * it down, -ENODEV where it is gone, or another negative errno. */
int nsp_tap_link_check_up(const struct nsp_tap_link *link) NSP_MUSTCHECK;

/* Welcomes superpackets from now on, or has them split: those that wait in the
 * queue stay as they are. Returns 0 or a negative errno. */
int nsp_tap_link_set_superpackets(struct nsp_tap_link *link,
                                  bool superpackets) NSP_MUSTCHECK;

/* Has the TAP drop all that it is sent, once those who listen there have heard
 * it. Returns 0 or a negative errno. */
int nsp_tap_link_sink(const struct nsp_tap_link *link) NSP_MUSTCHECK;

/* Tells whether an interface is the TAP of a device. Names that are given begin
 * with NSP_TAP_LINK_PREFIX and a number, or a letter and a number. */
#define NSP_TAP_LINK_PREFIX "nsp"
bool nsp_tap_link_is_ours(const char *name);

#endif /* NSP_OS_LINUX_TAP_LINK_H */
