#ifndef NSP_IO_BRIDGE_PORT_H
#define NSP_IO_BRIDGE_PORT_H
#include <net/if.h>
#include <stdatomic.h>

#include "base/base.h"
#include "os/linux/link_watch.h"
#include "os/linux/tc_hook.h"

/* One of the two interfaces of the bridge.
 *
 * What is changed of it is set back when it is closed: it takes frames for
 * everyone (promiscuous), and has our programs. Where those are in the driver,
 * it keeps VLAN tags in frames, and does not merge them.
 *
 * Killed   All of this stays as it was, so that frames still cross. The next
 *          engine that opens the port takes it over, and leaves it clean.
 * Threads  One; 'queues', 'mtu', 'up' and 'xdp_ids' any.
 * Errors   A negative errno. */

struct nsp_bridge_port {
    char name[IF_NAMESIZE];
    uint32_t ifindex;        /* 0 when closed. */
    _Atomic uint32_t queues; /* That workers serve; */
    uint32_t queues_told;    /* ... that there are. */
    _Atomic uint32_t mtu;
    atomic_bool up;

    bool taken_over; /* From one that was killed, ... */
    bool has_xdp;    /* ... whose program is at the driver. */
    bool promiscuous_by_us;
    uint32_t offloads_off;       /* ETH_FLAG_* that we took away. */
    int xdp_fd;                  /* Program of ours at the port; -1: none. */
    _Atomic uint32_t xdp_ids[2]; /* Its number, and that of the one before, in
                                  * any order: news may be older than it. */
    uint32_t xdp_newer;          /* Which is its own. */
    bool foreign_xdp;            /* Somebody else's was seen there. */
    struct nsp_tc_hook tc;
    int tc_fd; /* Its program; -1: none. */
};

/* Describes interface 'name', without changing it. Returns 0, -ENODEV,
 * -ELOOP where it is the loopback interface, -EOPNOTSUPP where packets have no
 * Ethernet header, -EMLINK where it is part of another (port of a bridge or
 * bond), -EEXIST where somebody else's XDP program is, or -EBUSY where another
 * engine takes its frames in the stack. */
int nsp_bridge_port_find(struct nsp_bridge_port *port,
                         const char *name) NSP_MUSTCHECK;

/* Describes what a bridge that was killed has left at an interface whose other
 * port was one of 'ports', so that closing it sets that back. Returns 0, or
 * -ENOENT where there is nothing of that kind, or -EBUSY where its process is
 * alive still. */
int nsp_bridge_port_find_left(
    struct nsp_bridge_port *ret, const struct nsp_link_news *link,
    const struct nsp_bridge_port ports[2]) NSP_MUSTCHECK;

/* The name of the TAP where frames of the port end that are taken in the stack:
 * while it is there, the port is somebody's. */
void nsp_bridge_port_name_sink(const struct nsp_bridge_port *port,
                               char ret[IF_NAMESIZE]);

/* Tells whether something that was busy ('err') is to be asked for again, after
 * a while: the kernel takes what a process, or a socket, that is closed had
 * away a moment later. 'tries' is how often that was so before; after two
 * seconds in all it is no longer. */
bool nsp_bridge_wait_while_busy(int err, uint32_t tries);

/* Receive queues that are in use now. */
uint32_t nsp_bridge_port_count_queues(const struct nsp_bridge_port *port);

/* Takes the port over: all frames, and where they are taken in the driver, as
 * they were on the wire. */
int nsp_bridge_port_prepare(struct nsp_bridge_port *port,
                            bool in_driver) NSP_MUSTCHECK;

/* Attaches the programs, that of XDP to the driver; the descriptors remain the
 * caller's. -EOPNOTSUPP where the driver has no XDP. */
int nsp_bridge_port_attach_xdp(struct nsp_bridge_port *port,
                               int xdp_fd) NSP_MUSTCHECK;
/* Puts another program in the place of the one attached to XDP, without a gap.
 */
int nsp_bridge_port_replace_xdp(struct nsp_bridge_port *port,
                                int xdp_fd) NSP_MUSTCHECK;
int nsp_bridge_port_attach_tc(struct nsp_bridge_port *port, int tc_fd,
                              uint32_t peer_ifindex) NSP_MUSTCHECK;
int nsp_bridge_port_replace_tc(struct nsp_bridge_port *port,
                               int tc_fd) NSP_MUSTCHECK;

/* Attach once more what was attached before, and taken off by somebody. */
int nsp_bridge_port_put_back_xdp(struct nsp_bridge_port *port) NSP_MUSTCHECK;
int nsp_bridge_port_put_back_tc(struct nsp_bridge_port *port) NSP_MUSTCHECK;

/* Tells whether the driver has no XDP, by attaching a program for a moment that
 * lets everything pass, unless one is there. */
bool nsp_bridge_port_lacks_xdp(struct nsp_bridge_port *port);

/* Takes a program off the driver that one of us, now dead, has left there. */
void nsp_bridge_port_clear_xdp(struct nsp_bridge_port *port);

/* Tells whether program 'xdp_id' is, or was, ours at the port. */
bool nsp_bridge_port_owns(const struct nsp_bridge_port *port, uint32_t xdp_id);

/* Takes the programs away, if they are still ours. */
void nsp_bridge_port_detach(struct nsp_bridge_port *port);

/* Sets back what was changed, and detaches. */
void nsp_bridge_port_close(struct nsp_bridge_port *port);

#endif /* NSP_IO_BRIDGE_PORT_H */
