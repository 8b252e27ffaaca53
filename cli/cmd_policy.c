#include <getopt.h>
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/policy_load.h"

/* --- format ----------------------------------------------------------------
 */

/* Prints what 'write' writes: as it is, or as a member of a JSON object. */
static int
print_text(struct nsp_cli *cli, const struct nsp_policy_file *file)
{
    struct nsp_json json;
    char *text = NULL;
    size_t bytes = 0;
    FILE *to;

    if (!cli->json) {
        nsp_policy_file_print(file, stdout);
        return NSP_EXIT_OK;
    }
    to = open_memstream(&text, &bytes);
    if (to)
        nsp_policy_file_print(file, to);
    if (!to || fclose(to) != 0) {
        free(text);
        return nsp_cli_fail_result(cli, NSP_NO_MEMORY,
                                   &(struct nsp_diag){ .result = NSP_OK });
    }
    nsp_json_init(&json, stdout);
    nsp_json_begin_object(&json, NULL);
    nsp_json_bool(&json, "ok", true);
    nsp_json_string(&json, "text", text);
    nsp_json_finish(&json);
    free(text);
    return NSP_EXIT_OK;
}

static int
run_format(struct nsp_cli *cli, int argc, char *argv[])
{
    struct nsp_policy_file *file = NULL;
    int status;

    if (nsp_cli_take_options(cli, argc, argv, NULL, NULL) == NSP_CLI_EXIT)
        return cli->status;
    status = nsp_cli_check_operands(cli, argc, argv, 1, 1, "POLICY");
    if (status == NSP_EXIT_OK)
        status = nsp_cli_load_policy(cli, argv[optind], false, &file);
    if (status == NSP_EXIT_OK)
        status = print_text(cli, file);
    nsp_policy_file_destroy(file);
    return status;
}

static const struct nsp_command format_command = {
    .name = "format",
    .summary = "Print a policy file in one layout, includes taken in",
    .synopsis = "POLICY",
    .details = "What is printed is the same policy. Comments are lost, and "
               "aliases written out.\nPaths are as seen from POLICY's "
               "folder.\n",
    .examples = "  nsp policy format policy.yaml\n",
    .run = run_format,
};

/* --- schema ----------------------------------------------------------------
 */

static int
run_schema(struct nsp_cli *cli, int argc, char *argv[])
{
    int status;

    if (nsp_cli_take_options(cli, argc, argv, NULL, NULL) == NSP_CLI_EXIT)
        return cli->status;
    status = nsp_cli_check_operands(cli, argc, argv, 0, 0, NULL);
    if (status == NSP_EXIT_OK)
        nsp_policy_keys_print_schema(stdout);
    return status;
}

static const struct nsp_command schema_command = {
    .name = "schema",
    .summary = "Print the JSON Schema of policy files, for editors",
    .details = "It is JSON with --json and without.\n",
    .examples = "  nsp policy schema > netshaper-policy.json\n",
    .run = run_schema,
};

static const struct nsp_command *const policy_commands[] = {
    &format_command,
    &schema_command,
    NULL,
};

const struct nsp_command nsp_command_policy = {
    .name = "policy",
    .summary = "Rewrite policy files, and describe them to editors",
    .subcommands = policy_commands,
};
