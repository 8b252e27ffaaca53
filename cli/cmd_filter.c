#include <stdlib.h>

#include "cli/commands.h"
#include "cli/filter_request.h"
#include "cli/interfaces.h"
#include "netshaper/filter.h"

/* --- check --------------------------------------------------------------- */

static const struct nsp_option request_options[] = {
    NSP_FILTER_REQUEST_OPTIONS,
    { NULL, NULL, NULL, 0 },
};

static int
take_option(struct nsp_cli *cli, void *context, int option, const char *value)
{
    return nsp_filter_request_take(cli, context, option, value);
}

static int
answer_request(struct nsp_cli *cli, struct nsp_filter_request *r, int argc,
               char *argv[], nsp_filter_answer *answer)
{
    if (nsp_cli_take_options(cli, argc, argv, take_option, r) == NSP_CLI_EXIT)
        return cli->status;
    return nsp_filter_request_answer(cli, r, argc, argv, answer);
}

static int
run_request(struct nsp_cli *cli, int argc, char *argv[],
            nsp_filter_answer *answer)
{
    struct nsp_filter_request r = {
        .layer = NSP_LAYER_NETWORK,
        .options = { .interfaces = &nsp_cli_interfaces },
    };
    int status = answer_request(cli, &r, argc, argv, answer);

    nsp_filter_request_fini(&r);
    nsp_cli_interfaces_fini();
    return status;
}

static int
answer_check(struct nsp_cli *cli, const struct nsp_filter_request *r,
             struct nsp_json *json, const char *expr, uint32_t line)
{
    struct nsp_filter *filter = NULL;
    struct nsp_diag diag = { .result = NSP_OK };
    int result = nsp_filter_compile_with(expr, r->layer, &r->options, NULL,
                                         &filter, &diag);

    nsp_filter_destroy(filter);
    if (result != NSP_OK && line > 0 && !cli->json)
        printf("%u error\n", line);
    if (result != NSP_OK)
        return nsp_filter_request_fail(cli, json, result, &diag, expr, line);
    if (cli->json) {
        nsp_filter_request_begin(json, true, line);
        nsp_json_end(json);
    } else if (line > 0) {
        printf("%u ok\n", line);
    }
    return NSP_EXIT_OK;
}

static int
run_check(struct nsp_cli *cli, int argc, char *argv[])
{
    return run_request(cli, argc, argv, answer_check);
}

static const struct nsp_command check_command = {
    .name = "check",
    .summary = "Check that a filter compiles: quietly, or with the place and "
               "cure",
    .synopsis = "EXPR",
    .details = "EXPR '-' is read from standard input; one that begins with "
               "'-' stands after '--'.\n",
    .examples = "  nsp filter check 'tcp.DstPort == 443 and outbound'\n",
    .options = request_options,
    .repeats = "set",
    .run = run_check,
};

/* --- format, explain, object ---------------------------------------------- */

/* A function of the library that turns a filter into text. */
typedef int to_text(const char *text, enum nsp_layer layer,
                    const struct nsp_filter_options *options,
                    const struct nsp_allocator *allocator, char **ret,
                    struct nsp_diag *reterr);

static int
answer_text(struct nsp_cli *cli, const struct nsp_filter_request *r,
            struct nsp_json *json, const char *expr, uint32_t line,
            to_text *convert)
{
    struct nsp_diag diag = { .result = NSP_OK };
    char *text = NULL;
    int result = convert(expr, r->layer, &r->options, NULL, &text, &diag);

    if (result != NSP_OK) {
        /* Keeps the forms in step with the filters, and a file of filters. */
        if (line > 0 && !cli->json)
            printf("# error in line %u\n", line);
        return nsp_filter_request_fail(cli, json, result, &diag, expr, line);
    }
    if (cli->json) {
        nsp_filter_request_begin(json, true, line);
        nsp_json_string(json, "text", text);
        nsp_json_end(json);
    } else {
        puts(text);
    }
    free(text);
    return NSP_EXIT_OK;
}

static int
answer_format(struct nsp_cli *cli, const struct nsp_filter_request *r,
              struct nsp_json *json, const char *expr, uint32_t line)
{
    return answer_text(cli, r, json, expr, line, nsp_filter_format);
}

static int
answer_explain(struct nsp_cli *cli, const struct nsp_filter_request *r,
               struct nsp_json *json, const char *expr, uint32_t line)
{
    if (line > 0 && !cli->json)
        printf("line %u\n", line);
    return answer_text(cli, r, json, expr, line, nsp_filter_explain);
}

static int
run_explain(struct nsp_cli *cli, int argc, char *argv[])
{
    return run_request(cli, argc, argv, answer_explain);
}

static const struct nsp_command explain_command = {
    .name = "explain",
    .summary = "Show what becomes of a filter, stage by stage",
    .synopsis = "EXPR",
    .details = "Tokens, tree, folded form, decision graph, program, needs.\n",
    .examples = "  nsp filter explain 'tcp.DstPort in { 80, 443 }'\n",
    .options = request_options,
    .repeats = "set",
    .run = run_explain,
};

static int
answer_object(struct nsp_cli *cli, const struct nsp_filter_request *r,
              struct nsp_json *json, const char *expr, uint32_t line)
{
    return answer_text(cli, r, json, expr, line, nsp_filter_object);
}

static int
run_object(struct nsp_cli *cli, int argc, char *argv[])
{
    return run_request(cli, argc, argv, answer_object);
}

static const struct nsp_command object_command = {
    .name = "object",
    .summary = "Print a filter in WinDivert's compiled form",
    .synopsis = "EXPR",
    .details = "The form begins with '@WinDiv_', and is an EXPR itself.\n",
    .examples = "  nsp filter object 'tcp.DstPort == 80'\n",
    .options = request_options,
    .repeats = "set",
    .run = run_object,
};

static int
run_format(struct nsp_cli *cli, int argc, char *argv[])
{
    return run_request(cli, argc, argv, answer_format);
}

static const struct nsp_command format_command = {
    .name = "format",
    .summary = "Print a filter in its canonical form",
    .synopsis = "EXPR",
    .details = "The form compiles to the same filter. Filters that fold to the "
               "same one print alike.\n",
    .examples = "  nsp filter format 'not tcp.DstPort < 80 && ip'\n",
    .options = request_options,
    .repeats = "set",
    .run = run_format,
};

static const struct nsp_command *const filter_commands[] = {
    &check_command,  &nsp_command_filter_eval, &explain_command,
    &format_command, &object_command,          NULL,
};

const struct nsp_command nsp_command_filter = {
    .name = "filter",
    .summary = "Check, evaluate and rewrite filters",
    .subcommands = filter_commands,
};
