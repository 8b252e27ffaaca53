#include <string.h>

#include "cli/commands.h"

#include "netshaper/version.h"

/* "+nfqueue -bpf" becomes {"nfqueue":true,"bpf":false}. */
static void
write_features(struct nsp_json *json)
{
    const char *at = nsp_features();

    nsp_json_begin_object(json, "features");
    while (*at) {
        size_t bytes = strcspn(at, " ");
        char name[32];

        snprintf(name, sizeof name, "%.*s", bytes > 0 ? (int)bytes - 1 : 0,
                 at + 1);
        nsp_json_bool(json, name, at[0] == '+');
        at += bytes;
        at += strspn(at, " ");
    }
    nsp_json_end(json);
}

void
nsp_cli_print_version(const struct nsp_cli *cli)
{
    struct nsp_json json;

    if (!cli->json) {
        printf("nsp %s\n%s\n", nsp_version(), nsp_features());
        return;
    }
    nsp_json_init(&json, stdout);
    nsp_json_begin_object(&json, NULL);
    nsp_json_uint(&json, "schema", 1);
    nsp_json_string(&json, "version", nsp_version());
    write_features(&json);
    nsp_json_finish(&json);
}

static int
run(struct nsp_cli *cli, int argc, char *argv[])
{
    int status;

    if (nsp_cli_take_options(cli, argc, argv, NULL, NULL) == NSP_CLI_EXIT)
        return cli->status;
    status = nsp_cli_check_operands(cli, argc, argv, 0, 0, NULL);
    if (status == 0)
        nsp_cli_print_version(cli);
    return status;
}

const struct nsp_command nsp_command_version = {
    .name = "version",
    .summary = "Print the version and what was built in",
    .run = run,
};
