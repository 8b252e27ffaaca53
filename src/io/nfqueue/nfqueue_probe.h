#ifndef NSP_IO_NFQUEUE_PROBE_H
#define NSP_IO_NFQUEUE_PROBE_H
#include "netshaper/io.h"

/* Reports what this backend needs of the machine and of the caller, by asking
 * the kernel for each thing in the calling thread's network namespace. Diverts
 * no packet and leaves nothing behind. Needs no privilege, and says what could
 * not be asked for want of it. */
void nsp_nfq_probe(nsp_probe_fn *report, void *context);

#endif /* NSP_IO_NFQUEUE_PROBE_H */
