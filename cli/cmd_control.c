/* The commands that talk to 'nsp run': reload, confirm and status. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/control.h"

static const struct nsp_option options[] = {
    { "control", "PATH", "the socket that 'nsp run' was given", 0 },
    { NULL, NULL, NULL, 0 },
};

static int
fail_to_ask(struct nsp_cli *cli, int err, const char *path)
{
    bool nobody = err == -ENOENT || err == -ECONNREFUSED;
    struct nsp_diag diag = {
        .result = nobody ? NSP_NOT_POSSIBLE : NSP_OPEN_FAILED,
        .os_errno = -err,
        .category = "control",
    };

    snprintf(diag.text, sizeof diag.text, "%.110s: %s", path,
             nobody ? "no 'nsp run' listens there" : strerror(-err));
    snprintf(diag.hint, sizeof diag.hint, "%s",
             nobody ? "start one, or name its socket with --control"
                    : "only the user who runs it, and root, may ask");
    return nsp_cli_fail(cli, &diag);
}

/* Asks for 'word' and stores the answer. Returns the exit status. */
static int
ask(struct nsp_cli *cli, int argc, char *argv[], const char *word,
    struct nsp_control_answer *ret)
{
    char default_path[NSP_CONTROL_PATH_MAX + 1] = "";
    const char *value, *path = NULL;
    int err, option, status;

    while ((option = nsp_cli_next_option(cli, argc, argv, &value)) >= 0)
        path = value;
    if (option == NSP_CLI_EXIT)
        return cli->status;
    status = nsp_cli_check_operands(cli, argc, argv, 0, 0, "");
    if (status != NSP_EXIT_OK)
        return status;
    if (!path) {
        if (nsp_control_default_path(default_path) < 0)
            return nsp_cli_usage(cli, "name the socket with --control",
                                 "this user has no default control socket");
        path = default_path;
    }
    err = nsp_control_ask(path, word, ret);
    return err < 0 ? fail_to_ask(cli, err, path) : NSP_EXIT_OK;
}

/* Has 'word' done, and prints no more than what went wrong. */
static int
tell(struct nsp_cli *cli, int argc, char *argv[], const char *word)
{
    struct nsp_control_answer answer = { .text = NULL };
    int status = ask(cli, argc, argv, word, &answer);

    if (!answer.text)
        return status;
    if (cli->json)
        fputs(answer.document, stdout);
    else if (answer.exit_status != NSP_EXIT_OK)
        fprintf(stderr, "nsp: error: %s\n", answer.message);
    free(answer.text);
    return answer.exit_status;
}

static int
run_reload(struct nsp_cli *cli, int argc, char *argv[])
{
    return tell(cli, argc, argv, "reload");
}

static int
run_confirm(struct nsp_cli *cli, int argc, char *argv[])
{
    return tell(cli, argc, argv, "confirm");
}

static int
run_status(struct nsp_cli *cli, int argc, char *argv[])
{
    struct nsp_control_answer answer = { .text = NULL };
    int status = ask(cli, argc, argv, "status", &answer);

    if (!answer.text)
        return status;
    fputs(answer.document, stdout);
    free(answer.text);
    return answer.exit_status;
}

const struct nsp_command nsp_command_reload = {
    .name = "reload",
    .summary = "Have 'nsp run' read its policy file again",
    .details = "Quiet and 0 when the new policy is in force. Otherwise the "
               "old one stays, and\nthe exit status is what 'nsp check' would "
               "give.\n",
    .examples = "  nsp reload\n",
    .options = options,
    .run = run_reload,
};

const struct nsp_command nsp_command_confirm = {
    .name = "confirm",
    .summary = "Keep the policy that 'nsp run --confirm' has put in force",
    .details = "Quiet and 0 when it is kept; 1 when nothing waits to be "
               "confirmed.\n",
    .examples = "  nsp confirm\n",
    .options = options,
    .run = run_confirm,
};

const struct nsp_command nsp_command_status = {
    .name = "status",
    .summary = "Show the counters of 'nsp run' as JSON",
    .examples = "  nsp status\n",
    .options = options,
    .run = run_status,
};
