#include "cli/capture.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void
nsp_capture_explain(struct nsp_diag *diag, const char *in_path,
                    uint64_t read_pkts)
{
    if (strcmp(diag->category, "device-gone") != 0)
        return;
    if (diag->os_errno != EBADMSG) { /* Of the output, then. */
        snprintf(diag->hint, sizeof diag->hint,
                 "make room there, or name another file");
        return;
    }
    snprintf(diag->category, sizeof diag->category, "cut-capture");
    snprintf(diag->text, sizeof diag->text,
             "'%.150s': the capture ends in the middle of a packet, or is "
             "damaged, after %" PRIu64 " packet%s",
             in_path, read_pkts, read_pkts == 1 ? "" : "s");
    snprintf(diag->hint, sizeof diag->hint,
             "what could be read was processed; for the rest, capture or copy "
             "it again");
}
