#ifndef NSP_IO_TAP_LINK_H
#define NSP_IO_TAP_LINK_H
#include <net/if.h>

#include "base/base.h"
#include "netshaper/env.h"
#include "netshaper/io.h"

/* Network interfaces: our own TAP, and those of the machine.
 *
 * The TAP exists as long as one of its descriptors is open. It carries no
 * traffic of its own: IPv6 is off, it has no address, and the return program
 * drops what has no tag.
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
    uint32_t queues;
    uint32_t queue_pkts; /* That may wait in each of the kernel's queues. */
    bool superpackets;   /* Else the kernel splits them first. */
};

/* Makes the TAP and brings it up. Returns 0 or a negative errno: -ENOENT or
 * -ENODEV without a TUN driver, -EPERM without the privilege; '*reterr_step'
 * then says what failed. Either way the link may be closed. */
int nsp_tap_link_open(struct nsp_tap_link *link,
                      const struct nsp_tap_link_config *cfg,
                      const char **reterr_step) NSP_MUSTCHECK;
void nsp_tap_link_close(struct nsp_tap_link *link);

/* Welcomes superpackets from now on, or has them split: those that wait in the
 * queue stay as they are. Returns 0 or a negative errno. */
int nsp_tap_link_set_superpackets(struct nsp_tap_link *link,
                                  bool superpackets) NSP_MUSTCHECK;

/* An interface of the machine. */
struct nsp_tap_interface {
    char name[IF_NAMESIZE];
    uint32_t ifindex;
    bool loopback;
};

/* Describes interface 'name'. Returns 0, -ENODEV, or -EOPNOTSUPP where packets
 * have no Ethernet header. */
int nsp_tap_interface_find(const char *name,
                           struct nsp_tap_interface *ret) NSP_MUSTCHECK;

/* Tells whether an interface is the TAP of a device. */
bool nsp_tap_link_is_ours(const char *name);

/* Stores those that are up, have Ethernet headers, and are no part of another
 * (port of a bridge or bond); at most 'max'. Returns how many, or a negative
 * errno. */
int nsp_tap_interface_list(struct nsp_tap_interface ret[],
                           uint32_t max) NSP_MUSTCHECK;

#endif /* NSP_IO_TAP_LINK_H */
