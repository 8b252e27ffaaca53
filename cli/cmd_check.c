#include <getopt.h>

#include "cli/commands.h"
#include "cli/policy_load.h"

static int
run(struct nsp_cli *cli, int argc, char *argv[])
{
    int status;

    if (nsp_cli_take_options(cli, argc, argv, NULL, NULL) == NSP_CLI_EXIT)
        return cli->status;
    status = nsp_cli_check_operands(cli, argc, argv, 1, 1, "POLICY");
    if (status != NSP_EXIT_OK)
        return status;
    return nsp_cli_check_policy(cli, argv[optind]);
}

const struct nsp_command nsp_command_check = {
    .name = "check",
    .summary = "Check a policy file: quietly, or with every place and cure",
    .synopsis = "POLICY",
    .details = "POLICY '-' is read from standard input. All errors are "
               "reported, each with its\nline and a caret, and warnings of "
               "what is of no use. With --json, an array of\nboth. Exit "
               "status 0: no errors, 2: errors.\n",
    .examples = "  nsp check policy.yaml\n",
    .run = run,
};
