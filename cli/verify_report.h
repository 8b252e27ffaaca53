#ifndef NSP_CLI_VERIFY_REPORT_H
#define NSP_CLI_VERIFY_REPORT_H
#include "cli/verify_source.h"
#include "verify/checks.h"

/* Prints what 'nsp verify' found. */

struct nsp_verify_report {
    const struct nsp_cli *cli;
    const struct nsp_checks *checks;
    const struct nsp_verify_source *source;
    bool live;
    uint64_t pkts, seed;
    /* Texts of the packets that rules were measured with; NULL: they were not.
     */
    char *const *packets;
};

/* Prints it, as text or as JSON, and returns the exit status that it comes to:
 * failed where a check failed, not possible where nothing was tested. */
int nsp_verify_report_print(const struct nsp_verify_report *report);

#endif /* NSP_CLI_VERIFY_REPORT_H */
