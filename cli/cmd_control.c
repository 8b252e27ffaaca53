/* The commands that talk to 'nsp run': reload, confirm and status. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/control.h"
#include "cli/engine_options.h"
#include "cli/guard.h"

enum option {
    OPT_CONTROL,
    OPT_YES,
};

static const struct nsp_option options[] = {
    [OPT_CONTROL] = { "control", "PATH", "the socket that 'nsp run' was given",
                      0 },
    { NULL, NULL, NULL, 0 },
};

static const struct nsp_option reload_options[] = {
    [OPT_CONTROL] = { "control", "PATH", "the socket that 'nsp run' was given",
                      0 },
    [OPT_YES] = NSP_OPTION_YES,
    { NULL, NULL, NULL, 0 },
};

struct request {
    const char *path;
    char default_path[NSP_CONTROL_PATH_MAX + 1];
    bool goes_on;
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

static int
take_option(struct nsp_cli *cli, void *context, int option, const char *value)
{
    struct request *r = context;

    (void)cli;
    if (option == OPT_CONTROL)
        r->path = value;
    else
        r->goes_on = true;
    return NSP_EXIT_OK;
}

/* Returns NSP_EXIT_OK, an exit status, or NSP_CLI_EXIT. */
static int
read_request(struct nsp_cli *cli, int argc, char *argv[], struct request *ret)
{
    int status = nsp_cli_take_options(cli, argc, argv, take_option, ret);

    if (status == NSP_CLI_EXIT)
        return NSP_CLI_EXIT;
    status = nsp_cli_check_operands(cli, argc, argv, 0, 0, "");
    if (status != NSP_EXIT_OK || ret->path)
        return status;
    if (nsp_control_default_path(ret->default_path) < 0)
        return nsp_cli_usage(cli, "name the socket with --control",
                             "this user has no default control socket");
    ret->path = ret->default_path;
    return NSP_EXIT_OK;
}

/* Asks for 'word' and stores the answer. Returns the exit status. */
static int
ask(struct nsp_cli *cli, const struct request *request, const char *word,
    struct nsp_control_answer *ret)
{
    int err = nsp_control_ask(request->path, word, ret);

    return err < 0 ? fail_to_ask(cli, err, request->path) : NSP_EXIT_OK;
}

/* Prints no more of the answer than what went wrong. Returns the exit status.
 */
static int
tell(const struct nsp_cli *cli, struct nsp_control_answer *answer)
{
    int status = answer->exit_status;

    if (cli->json)
        fputs(answer->document, stdout);
    else if (status != NSP_EXIT_OK)
        fprintf(stderr, "nsp: error: %s\n", answer->message);
    free(answer->text);
    return status;
}

static int
run_reload(struct nsp_cli *cli, int argc, char *argv[])
{
    struct nsp_control_answer answer = { .text = NULL };
    struct request request = { .path = NULL };
    int status = read_request(cli, argc, argv, &request);

    if (status != NSP_EXIT_OK)
        return status == NSP_CLI_EXIT ? cli->status : status;
    status =
        ask(cli, &request, request.goes_on ? "reload-yes" : "reload", &answer);
    if (status == NSP_EXIT_OK && answer.exit_status == NSP_CONTROL_ASKS) {
        status =
            nsp_guard_put(cli, answer.message, "the policy in force stays");
        free(answer.text);
        if (status == NSP_EXIT_OK)
            status = ask(cli, &request, "reload-yes", &answer);
    }
    return status == NSP_EXIT_OK ? tell(cli, &answer) : status;
}

static int
run_confirm(struct nsp_cli *cli, int argc, char *argv[])
{
    struct nsp_control_answer answer = { .text = NULL };
    struct request request = { .path = NULL };
    int status = read_request(cli, argc, argv, &request);

    if (status == NSP_EXIT_OK)
        status = ask(cli, &request, "confirm", &answer);
    if (status == NSP_EXIT_OK)
        return tell(cli, &answer);
    return status == NSP_CLI_EXIT ? cli->status : status;
}

static int
run_status(struct nsp_cli *cli, int argc, char *argv[])
{
    struct nsp_control_answer answer = { .text = NULL };
    struct request request = { .path = NULL };
    int status = read_request(cli, argc, argv, &request);

    if (status == NSP_EXIT_OK)
        status = ask(cli, &request, "status", &answer);
    if (status != NSP_EXIT_OK)
        return status == NSP_CLI_EXIT ? cli->status : status;
    fputs(answer.document, stdout);
    free(answer.text);
    return answer.exit_status;
}

const struct nsp_command nsp_command_reload = {
    .name = "reload",
    .summary = "Have 'nsp run' read its policy file again",
    .details = "Quiet and 0 when the new policy is in force. Otherwise the "
               "old one stays, and\nthe exit status is what 'nsp check' would "
               "give. Where the new one would cut off\nyour own connection, "
               "it asks first, as 'nsp run' does.\n",
    .examples = "  nsp reload\n",
    .options = reload_options,
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
