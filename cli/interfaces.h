#ifndef NSP_CLI_INTERFACES_H
#define NSP_CLI_INTERFACES_H
#include <netinet/in.h>
#include <stdbool.h>

#include "netshaper/filter.h"
#include "netshaper/packet.h"

/* The interfaces of this machine, for filters to look names up in. */
extern const struct nsp_filter_interfaces nsp_cli_interfaces;

/* The link header of packets on the interface 'name': NSP_LINK_ETHERNET, or
 * NSP_LINK_RAW where it has none or is not known. */
enum nsp_link nsp_cli_interface_link(const char *name);

/* Whether 'found', which may be NULL or of any family, is 'address' (IPv4
 * mapped). */
bool nsp_cli_is_address(const struct sockaddr *found,
                        const struct in6_addr *address);

/* Forgets what was read of the system. */
void nsp_cli_interfaces_fini(void);

#endif /* NSP_CLI_INTERFACES_H */
