#ifndef NSP_OS_LINUX_INTERFACE_H
#define NSP_OS_LINUX_INTERFACE_H
#include "base/base.h"

/* Requests about an interface: the ioctls of netdevice(7).
 *
 * Threads  Any; in the network namespace to work in. */

struct ifreq; /* <net/if.h>, where _DEFAULT_SOURCE shows it. */

/* Makes 'ret' name interface 'name', and nothing else. */
void nsp_ifreq_init(struct ifreq *ret, const char *name);

/* Makes 'request' (SIOC*). Returns 0 or a negative errno. */
int nsp_ifreq_ask(unsigned long request, struct ifreq *ifr) NSP_MUSTCHECK;

#endif /* NSP_OS_LINUX_INTERFACE_H */
