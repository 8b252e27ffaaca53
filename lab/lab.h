#ifndef NSP_LAB_LAB_H
#define NSP_LAB_LAB_H
#include <stdint.h>

#include "netshaper/diag.h"

/* A small network of this process's own: hosts are network namespaces without
 * names, held by descriptors, so that all of it vanishes with the process,
 * however it ends.
 *
 *     client 10.77.1.2 -------- 10.77.1.1 router 10.77.2.1 -------- 10.77.2.2
 *            fd77:1::2           fd77:1::1       fd77:2::1  server  fd77:2::2
 *
 * No TCP connection learns from an earlier one (tcp_no_metrics_save).
 *
 * Needs no root where unprivileged user namespaces are allowed.
 * Threads  open must be called while the process has one thread. Afterwards
 *          each thread enters the host it works in. */
struct nsp_lab;

enum nsp_lab_host {
    NSP_LAB_CLIENT = 0,
    NSP_LAB_ROUTER, /* Forwards IPv4 and IPv6. */
    NSP_LAB_SERVER,
    NSP_LAB_HOSTS,
};

/* Builds the network and leaves the calling thread in the router. Without root
 * it enters a new user namespace first. Returns NSP_OK, NSP_NOT_POSSIBLE with
 * cause and cure in 'reterr', or NSP_NO_MEMORY. */
int nsp_lab_open(struct nsp_lab **ret, struct nsp_diag *reterr);

struct nsp_lab *nsp_lab_close(struct nsp_lab *lab);

/* Moves the calling thread to 'host'. Returns 0 or a negative errno. */
int nsp_lab_enter(const struct nsp_lab *lab, enum nsp_lab_host host);

/* Opens a socket of 'host', close-on-exec; the thread stays where it is.
 * Returns a descriptor or a negative errno. */
int nsp_lab_socket(const struct nsp_lab *lab, enum nsp_lab_host host,
                   int family, int type);

/* The one device of the client, and of the server. */
#define NSP_LAB_DEVICE "eth0"

/* The router's device on the wire of 'host', not the router. Static storage. */
const char *nsp_lab_router_device(enum nsp_lab_host host);

/* Stores the router's Ethernet address on the wire of 'host', not the router.
 * Returns 0 or a negative errno. */
int nsp_lab_gateway_mac(const struct nsp_lab *lab, enum nsp_lab_host host,
                        uint8_t ret[6]);

/* Takes from the server its way to the client: from now on it hears and does
 * not answer. Leaves the thread in the router. Returns 0 or a negative errno.
 */
int nsp_lab_mute_server(const struct nsp_lab *lab);

/* Addresses as text: family AF_INET or AF_INET6. Of the router, the one that
 * faces the client. Static storage. */
const char *nsp_lab_address(enum nsp_lab_host host, int family);

#endif /* NSP_LAB_LAB_H */
