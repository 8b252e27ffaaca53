#ifndef NSP_CLI_POLICY_LOAD_H
#define NSP_CLI_POLICY_LOAD_H
#include "cli/cli.h"
#include "config/policy_file.h"

/* What commands do alike with the policy file that they are given. */

/* Reads the policy file 'path' and reports all that is wrong with it: errors on
 * standard error, with cli->json as an array on standard output. Warnings are
 * reported where 'warns' says so; with cli->json they are part of that array,
 * which is then printed even if it is empty. Returns NSP_EXIT_OK with '*ret' to
 * be destroyed, or the exit status. */
int nsp_cli_load_policy(struct nsp_cli *cli, const char *path, bool warns,
                        struct nsp_policy_file **ret);

/* The same for its own sake, with warnings: what no 'nsp run' could do is an
 * error, too. */
int nsp_cli_check_policy(struct nsp_cli *cli, const char *path);

/* Reports what a reader that returned 'result' complained of, in the same way.
 * Returns the exit status. */
int nsp_cli_report_complaints(struct nsp_cli *cli, int result,
                              const struct nsp_complaints *complaints,
                              bool warns);

#endif /* NSP_CLI_POLICY_LOAD_H */
