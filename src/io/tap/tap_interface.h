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

/* Told of an interface that is not stored. */
typedef void nsp_tap_left_out_fn(void *context, uint32_t ifindex,
                                 const char *name, bool ethernet);

/* Stores those that are up, have Ethernet headers, and are no part of another
 * (port of a bridge or bond); at most 'max'. Tells of those that only lack the
 * headers, or the room. Returns how many are stored, or a negative errno. */
int nsp_tap_interface_list(struct nsp_tap_interface ret[], uint32_t max,
                           nsp_tap_left_out_fn *left_out,
                           void *context) NSP_MUSTCHECK;

#endif /* NSP_IO_TAP_INTERFACE_H */
