#ifndef NSP_IO_TAP_INTERFACE_H
#define NSP_IO_TAP_INTERFACE_H
#include <net/if.h>

#include "base/base.h"

/* Interfaces of the machine that packets may be taken from.
 *
 * Threads  One; in the network namespace to work in. */
struct nsp_tap_interface {
    char name[IF_NAMESIZE];
    uint32_t ifindex;
    bool loopback;
};

/* Describes interface 'name'. Returns 0, -ENODEV, or -EOPNOTSUPP where packets
 * have no Ethernet header. */
int nsp_tap_interface_find(const char *name,
                           struct nsp_tap_interface *ret) NSP_MUSTCHECK;

/* Stores those that are up, have Ethernet headers, and are no part of another
 * (port of a bridge or bond); at most 'max'. Returns how many, or a negative
 * errno. */
int nsp_tap_interface_list(struct nsp_tap_interface ret[],
                           uint32_t max) NSP_MUSTCHECK;

#endif /* NSP_IO_TAP_INTERFACE_H */
