#include "cli/filter_request.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define EXPR_BYTES_MAX (1u << 20)

static int
fail_stdin(struct nsp_cli *cli, const char *why)
{
    struct nsp_diag diag = { .result = NSP_INVALID_PARAMETER,
                             .category = "bad-input" };

    snprintf(diag.text, sizeof diag.text, "standard input: %s", why);
    snprintf(diag.hint, sizeof diag.hint,
             "'-' reads the filter from standard input");
    return nsp_cli_fail(cli, &diag);
}

/* Reads the filter from standard input into fresh memory. */
static int
read_stdin(struct nsp_cli *cli, char **ret)
{
    char *text = malloc(EXPR_BYTES_MAX + 1);
    size_t bytes;

    if (!text)
        return fail_stdin(cli, strerror(ENOMEM));
    bytes = fread(text, 1, EXPR_BYTES_MAX + 1, stdin);
    if (ferror(stdin) || bytes > EXPR_BYTES_MAX || memchr(text, '\0', bytes)) {
        int status =
            fail_stdin(cli, ferror(stdin)            ? strerror(errno)
                            : bytes > EXPR_BYTES_MAX ? "more than 1 MiB"
                                                     : "holds a zero byte");

        free(text);
        return status;
    }
    text[bytes] = '\0';
    *ret = text;
    return NSP_EXIT_OK;
}

/* Takes the one operand, EXPR. '*ret_owned' is to be freed, whatever is
 * returned: the exit status. */
static int
read_expr(struct nsp_cli *cli, int argc, char *argv[], const char **ret,
          char **ret_owned)
{
    int status = nsp_cli_check_operands(cli, argc, argv, 1, 1, "EXPR");

    *ret_owned = NULL;
    if (status != NSP_EXIT_OK)
        return status;
    *ret = argv[optind];
    if (strcmp(*ret, "-") != 0)
        return NSP_EXIT_OK;
    status = read_stdin(cli, ret_owned);
    *ret = *ret_owned;
    return status;
}

static int
read_layer(struct nsp_cli *cli, const char *text, enum nsp_layer *ret)
{
    if (nsp_layer_find(text, ret) == 0)
        return NSP_EXIT_OK;
    return nsp_cli_usage(
        cli, "write network, network-forward, flow, socket or reflect",
        "--layer: unknown value '%s'", text);
}

int
nsp_filter_request_take(struct nsp_cli *cli, struct nsp_filter_request *r,
                        int option, const char *value)
{
    int status;

    switch ((enum nsp_filter_request_option)option) {
    case NSP_FILTER_REQUEST_STRICT:
        r->options.strict = true;
        return NSP_EXIT_OK;
    case NSP_FILTER_REQUEST_FILE:
        r->file = value;
        return NSP_EXIT_OK;
    case NSP_FILTER_REQUEST_SET:
        status = nsp_filter_sets_take(cli, &r->sets, value);
        r->options.sets = r->sets.sets;
        r->options.set_count = r->sets.count;
        return status;
    case NSP_FILTER_REQUEST_LAYER:
    default:
        return read_layer(cli, value, &r->layer);
    }
}

void
nsp_filter_request_fini(struct nsp_filter_request *r)
{
    nsp_filter_sets_fini(&r->sets);
}

/* --- Answers -------------------------------------------------------------- */

void
nsp_filter_request_begin(struct nsp_json *json, bool ok, uint32_t line)
{
    nsp_json_begin_object(json, NULL);
    nsp_json_bool(json, "ok", ok);
    if (line > 0)
        nsp_json_uint(json, "in_line", line);
}

static void
write_diag(struct nsp_json *json, const struct nsp_diag *diag, uint32_t line)
{
    nsp_filter_request_begin(json, false, line);
    nsp_json_string(json, "category", diag->category);
    nsp_json_uint(json, "offset", diag->offset);
    nsp_json_uint(json, "line", diag->line);
    nsp_json_uint(json, "column", diag->column);
    nsp_json_string(json, "message", diag->text);
    if (diag->hint[0])
        nsp_json_string(json, "hint", diag->hint);
    nsp_json_end(json);
}

int
nsp_filter_request_fail(struct nsp_cli *cli, struct nsp_json *json, int result,
                        const struct nsp_diag *diag, const char *expr,
                        uint32_t line)
{
    char name[32] = "filter";

    if (cli->json) {
        write_diag(json, diag, line);
        return nsp_cli_exit_status(result);
    }
    if (line > 0)
        snprintf(name, sizeof name, "filter in line %u", line);
    return nsp_cli_fail_at(cli, diag, name, expr);
}

static bool
is_filter(const char *line)
{
    const char *text = line + strspn(line, " \t\r\n\v\f");

    return *text != '\0' && *text != '#';
}

static int
answer_lines(struct nsp_cli *cli, const struct nsp_filter_request *r,
             struct nsp_json *json, FILE *file, nsp_filter_answer *answer)
{
    int worst = NSP_EXIT_OK;
    char *line = NULL;
    size_t room = 0;

    for (uint32_t n = 1; getline(&line, &room, file) >= 0; n++) {
        int status;

        line[strcspn(line, "\r\n")] = '\0';
        if (!is_filter(line))
            continue;
        if (cli->json && !json->started)
            nsp_json_begin_array(json, NULL);
        status = answer(cli, r, json, line, n);
        if (status > worst)
            worst = status;
    }
    free(line);
    return worst;
}

static int
fail_file(struct nsp_cli *cli, const char *path)
{
    struct nsp_diag diag = { .result = NSP_INVALID_PARAMETER,
                             .os_errno = errno,
                             .category = "bad-input" };

    snprintf(diag.text, sizeof diag.text, "%s: %s", path, strerror(errno));
    snprintf(diag.hint, sizeof diag.hint,
             "--file names a file with a filter "
             "in each line");
    return nsp_cli_fail(cli, &diag);
}

static int
each_line(struct nsp_cli *cli, const struct nsp_filter_request *r,
          struct nsp_json *json, nsp_filter_answer *answer)
{
    bool is_stdin = strcmp(r->file, "-") == 0, failed;
    FILE *file = is_stdin ? stdin : fopen(r->file, "r");
    int status;

    if (!file)
        return fail_file(cli, r->file);
    status = answer_lines(cli, r, json, file, answer);
    failed = ferror(file);
    if (failed && json->started) {
        /* The document is out: what follows goes to standard error. */
        nsp_json_finish(json);
        cli->json = false;
    }
    if (failed)
        status = fail_file(cli, r->file);
    else if (cli->json && !json->started)
        nsp_json_begin_array(json, NULL);
    if (!is_stdin)
        fclose(file);
    return status;
}

bool
nsp_filter_request_is_stdin(const struct nsp_filter_request *r, int argc,
                            char *argv[])
{
    const char *name = r->file ? r->file : optind < argc ? argv[optind] : "";

    return strcmp(name, "-") == 0;
}

int
nsp_filter_request_each(struct nsp_cli *cli, const struct nsp_filter_request *r,
                        int argc, char *argv[], struct nsp_json *json,
                        nsp_filter_answer *answer)
{
    const char *expr;
    char *owned;
    int status;

    if (r->file) {
        status = nsp_cli_check_operands(cli, argc, argv, 0, 0, "EXPR");
        return status == NSP_EXIT_OK ? each_line(cli, r, json, answer) : status;
    }
    status = read_expr(cli, argc, argv, &expr, &owned);
    if (status == NSP_EXIT_OK)
        status = answer(cli, r, json, expr, 0);
    free(owned);
    return status;
}

int
nsp_filter_request_answer(struct nsp_cli *cli,
                          const struct nsp_filter_request *r, int argc,
                          char *argv[], nsp_filter_answer *answer)
{
    struct nsp_json json;
    int status;

    nsp_json_init(&json, stdout);
    status = nsp_filter_request_each(cli, r, argc, argv, &json, answer);
    if (cli->json && json.started)
        nsp_json_finish(&json);
    return status;
}
