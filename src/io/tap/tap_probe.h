#ifndef NSP_IO_TAP_PROBE_H
#define NSP_IO_TAP_PROBE_H
#include "netshaper/io.h"

/* What gives the privilege that the device needs. */
#define NSP_TAP_PRIVILEGE_CURE                                                 \
    "run as root, or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN outside "     \
    "user namespaces"

/* Reports what this backend needs of the machine and of the caller, by making a
 * TAP in the calling thread's network namespace and attaching programs to it
 * alone. Diverts no packet and leaves nothing behind. */
void nsp_tap_probe(nsp_probe_fn *report, void *context);

#endif /* NSP_IO_TAP_PROBE_H */
