#ifndef NSP_IO_HOST_H
#define NSP_IO_HOST_H
#include "base/base.h"
#include "netshaper/io.h"

/* The device "host": one or two live devices served as one. The engine says
 * which (engine/placement.h).
 *
 *     worker --rx--> first  (OUTPUT of interfaces with Ethernet headers: tap)
 *            --rx--> second (OUTPUT of others, INPUT, FORWARD: nfqueue)
 *
 * Whose      A packet's hook and link name the device that lent it; it goes
 *            back there, and copies of it leave there.
 * Waiting    A worker sleeps in the wait_with of the last device, on the
 *            ready_fd of the other.
 * Fairness   The devices take turns at being first to fill a burst.
 * Time       Arrivals are put in order across the devices: one may be told a
 *            little later than it was, never earlier.
 * Threads    As the devices. */
struct nsp_host_part {
    const struct nsp_io_ops *ops;
    const void *device; /* For ops->open. */
    uint32_t hooks;     /* Set of enum nsp_hook; of two parts, OUTPUT alone may
                         * belong to both (shares_output). */
    uint8_t link;       /* enum nsp_link of what it lends; of two parts each has
                         * its own. */
    const char *why;    /* Set before what it says when it cannot be opened,
                         * static or borrowed while opening; NULL nothing. */
};

#define NSP_HOST_PARTS_MAX 2u

/* What struct nsp_io_config's 'device' points to. Every part has the functions
 * that live devices may leave out, but for 'retain'; of two, the first has
 * wait_with and the second ready_fd. They are opened in this order, and the
 * kernel closes the files of a process that is killed from the last to the
 * first: least is lost where the one that takes long to go was opened first. */
struct nsp_host_config {
    struct nsp_host_part parts[NSP_HOST_PARTS_MAX];
    uint32_t part_count;
};

extern const struct nsp_io_ops nsp_host_ops;

#endif /* NSP_IO_HOST_H */
