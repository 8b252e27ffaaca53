#ifndef NSP_CLI_VERIFY_REPORT_H
#define NSP_CLI_VERIFY_REPORT_H
#include "cli/cli.h"
#include "verify/checks.h"

/* Prints what 'nsp verify' found. */

struct nsp_verify_report {
    const struct nsp_cli *cli;
    const struct nsp_checks *checks;
    const char *policy;
    const char *mode; /* "virtual" or "live". */
    uint64_t pkts, seed;
    uint32_t rule_count;

    /* Names of rules, and texts of the packets that they were measured with
     * (NULL: not measured). */
    const char *(*rule_name)(const void *context, uint32_t rule, char ret[64]);
    const void *rule_name_context;
    char *const *packets;
};

/* Prints it, as text or as JSON, and returns the exit status that it comes to:
 * failed where a check failed, not possible where nothing was tested. */
int nsp_verify_report_print(const struct nsp_verify_report *report);

#endif /* NSP_CLI_VERIFY_REPORT_H */
