#ifndef NSP_LAB_NETNS_H
#define NSP_LAB_NETNS_H
#include <stdbool.h>

#include "netshaper/diag.h"

/* What every network namespace of this program's own is given. Calls act on the
 * namespace that the calling thread is in, and return 0 or a negative errno. */

/* Whether the kernel has IPv6. */
bool nsp_netns_has_ipv6(void);

/* Writes a setting below /proc/sys. */
int nsp_netns_set(const char *path, const char *value);

/* Sets a new namespace up: loopback works, over IPv6 too where 'ipv6', even
 * where an administrator turned that off for new namespaces; addresses are in
 * service without a second of waiting for duplicates, which there cannot be;
 * and no TCP connection learns from an earlier one. */
int nsp_netns_set_up(bool ipv6);

/* Fills 'reterr' for a setting up that failed with 'err', a negative errno.
 * Returns NSP_NO_MEMORY or NSP_NOT_POSSIBLE. */
int nsp_netns_explain(struct nsp_diag *reterr, int err);

#endif /* NSP_LAB_NETNS_H */
