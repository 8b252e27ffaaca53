#ifndef NSP_CLI_CAPTURE_H
#define NSP_CLI_CAPTURE_H
#include <stdint.h>

#include "netshaper/diag.h"

/* Puts why a run on the capture 'in_path' failed in the words of one who reads
 * files, not devices: 'diag' is what the engine said, 'read_pkts' how many
 * packets it had read by then. */
void nsp_capture_explain(struct nsp_diag *diag, const char *in_path,
                         uint64_t read_pkts);

#endif /* NSP_CLI_CAPTURE_H */
