#ifndef NSP_IO_BRIDGE_PROBE_H
#define NSP_IO_BRIDGE_PROBE_H
#include "netshaper/io.h"

/* Reports what this backend needs of the machine and of the caller, without
 * touching an interface. Leaves nothing behind. */
void nsp_bridge_probe(nsp_probe_fn *report, void *context);

#endif /* NSP_IO_BRIDGE_PROBE_H */
