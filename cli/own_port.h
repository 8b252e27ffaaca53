#ifndef NSP_CLI_OWN_PORT_H
#define NSP_CLI_OWN_PORT_H
#include "cli/controllers.h"

/* The interface by which a connection comes in, where it is a port of a bridge
 * that is about to take all that comes in there:
 *
 *     it, or an interface on top of it, has the local address
 *
 *         br0                     on top of p0 are p0.5, br0 and m0; not what a
 *          |                      tunnel runs over, of which nobody tells
 *        p0.5   m0
 *          |    |
 *          +-p0-+
 *
 *     or what is sent back leaves by one of these.
 *
 * Connections of the host with itself never leave it. */

/* The one of 'ports' by which 'c' comes in; NULL when it is neither, or as far
 * as the system does not tell. */
const char *nsp_own_port_find(const struct nsp_controller *c,
                              const char *const ports[2]);

#endif /* NSP_CLI_OWN_PORT_H */
