#ifndef NSP_CLI_INTERFACES_H
#define NSP_CLI_INTERFACES_H
#include "netshaper/filter.h"

/* The interfaces of this machine, for filters to look names up in. */
extern const struct nsp_filter_interfaces nsp_cli_interfaces;

/* Forgets what was read of the system. */
void nsp_cli_interfaces_fini(void);

#endif /* NSP_CLI_INTERFACES_H */
