#ifndef NSP_IO_BRIDGE_PROBE_H
#define NSP_IO_BRIDGE_PROBE_H
#include "netshaper/io.h"

/* What gives the privilege that the device needs. */
#define NSP_BRIDGE_PRIVILEGE_CURE                                              \
    "run as root, or with CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN, CAP_NET_RAW "   \
    "and CAP_IPC_LOCK outside user namespaces"

/* Reports what this backend needs of the machine and of the caller, without
 * touching an interface. Leaves nothing behind. */
void nsp_bridge_probe(nsp_probe_fn *report, void *context);

#endif /* NSP_IO_BRIDGE_PROBE_H */
