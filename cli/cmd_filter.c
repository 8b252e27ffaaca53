#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli/capture.h"
#include "cli/commands.h"
#include "cli/filter_backend.h"
#include "netshaper/engine.h"
#include "netshaper/filter.h"

#define EXPR_BYTES_MAX (1u << 20)

/* --- What both commands read --------------------------------------------- */

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

/* Takes the one operand, EXPR. '*ret_owned' is to be freed. */
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

/* --- check --------------------------------------------------------------- */

enum check_option { CHECK_LAYER, CHECK_STRICT, CHECK_COUNT };

static const struct nsp_option check_options[] = {
    [CHECK_LAYER] = { "layer", "LAYER",
                      "network (default), network-forward, flow, socket, "
                      "reflect",
                      0 },
    [CHECK_STRICT] = { "strict", NULL, "take only what WinDivert 2.2 takes",
                       0 },
    [CHECK_COUNT] = { NULL, NULL, NULL, 0 },
};

static void
print_check_json(const struct nsp_diag *diag)
{
    struct nsp_json json;

    nsp_json_init(&json, stdout);
    nsp_json_begin_object(&json, NULL);
    nsp_json_bool(&json, "ok", diag == NULL);
    if (diag) {
        nsp_json_string(&json, "category", diag->category);
        nsp_json_uint(&json, "offset", diag->offset);
        nsp_json_uint(&json, "line", diag->line);
        nsp_json_uint(&json, "column", diag->column);
        nsp_json_string(&json, "message", diag->text);
        if (diag->hint[0])
            nsp_json_string(&json, "hint", diag->hint);
    }
    nsp_json_finish(&json);
}

static int
check_expr(struct nsp_cli *cli, const char *expr, enum nsp_layer layer,
           const struct nsp_filter_options *options)
{
    struct nsp_filter *filter = NULL;
    struct nsp_diag diag = { .result = NSP_OK };
    int result =
        nsp_filter_compile_with(expr, layer, options, NULL, &filter, &diag);

    nsp_filter_destroy(filter);
    if (result == NSP_OK) {
        if (cli->json)
            print_check_json(NULL);
        return NSP_EXIT_OK;
    }
    if (result != NSP_INVALID_FILTER || !cli->json)
        return nsp_cli_fail_at(cli, &diag, "filter", expr);
    print_check_json(&diag);
    return NSP_EXIT_USAGE;
}

static int
run_check(struct nsp_cli *cli, int argc, char *argv[])
{
    struct nsp_filter_options options = { .strict = false };
    enum nsp_layer layer = NSP_LAYER_NETWORK;
    const char *value, *expr;
    char *owned;
    int option, status;

    while ((option = nsp_cli_next_option(cli, argc, argv, &value)) >= 0) {
        if (option == CHECK_STRICT) {
            options.strict = true;
            continue;
        }
        status = read_layer(cli, value, &layer);
        if (status != NSP_EXIT_OK)
            return status;
    }
    if (option == NSP_CLI_EXIT)
        return cli->status;
    status = read_expr(cli, argc, argv, &expr, &owned);
    if (status == NSP_EXIT_OK)
        status = check_expr(cli, expr, layer, &options);
    free(owned);
    return status;
}

static const struct nsp_command check_command = {
    .name = "check",
    .summary = "Check that a filter compiles: quietly, or with the place and "
               "cure",
    .synopsis = "EXPR",
    .details = "EXPR '-' is read from standard input; one that begins with "
               "'-' stands after '--'.\n",
    .examples = "  nsp filter check 'tcp.DstPort == 443 and outbound'\n",
    .options = check_options,
    .run = run_check,
};

/* --- eval ---------------------------------------------------------------- */

enum eval_option {
    EVAL_LAYER,
    EVAL_DIRECTION,
    EVAL_BACKEND,
    EVAL_IN,
    EVAL_COUNT
};

static const struct nsp_option eval_options[] = {
    [EVAL_LAYER] = { "layer", "LAYER", "network (default), network-forward",
                     0 },
    [EVAL_DIRECTION] = { "direction", "WAY",
                         "inbound or outbound: of packets without one", 0 },
    [EVAL_BACKEND] = { "backend", "NAME",
                       "evaluator (default), cbpf, ebpf: what answers", 0 },
    [EVAL_IN] = { "in", "FILE", "the capture; '-' is standard input", 0 },
    [EVAL_COUNT] = { NULL, NULL, NULL, 0 },
};

struct eval {
    const struct nsp_cli *cli;
    struct nsp_filter_runner *runner;
    struct nsp_json json;
    struct nsp_engine *engine;
    const char *in_path;
    uint64_t packets, matched;
    struct nsp_diag diag; /* Of the runner, once it has failed. */
};

static void
print_match(struct eval *eval, bool match)
{
    eval->packets++;
    eval->matched += match;
    if (!eval->cli->json) {
        printf("%llu %s\n", (unsigned long long)eval->packets,
               match ? "match" : "no-match");
        return;
    }
    nsp_json_begin_object(&eval->json, NULL);
    nsp_json_uint(&eval->json, "packet", eval->packets);
    nsp_json_bool(&eval->json, "match", match);
    nsp_json_end(&eval->json);
}

/* The engine's callback: sees every packet, in order. */
static void
eval_burst(void *context, struct nsp_burst *burst)
{
    struct eval *eval = context;

    for (uint32_t i = 0; i < burst->count && eval->diag.result == NSP_OK; i++) {
        const struct nsp_pkt *pkt = burst->pkts[i];
        struct nsp_filter_context at = { .timestamp =
                                             (int64_t)pkt->arrival_ns };
        bool match;

        if (nsp_filter_runner_match(eval->runner, pkt, &at, &match,
                                    &eval->diag) == NSP_OK)
            print_match(eval, match);
    }
    if (ferror(stdout) || eval->diag.result != NSP_OK)
        nsp_engine_stop(eval->engine); /* Nobody reads on, or can go on. */
}

/* Says why more may have matched than the filter does. */
static void
note_widened(const struct eval *eval)
{
    struct nsp_widened widened;

    nsp_filter_runner_get_widened(eval->runner, &widened);
    for (uint32_t i = 0; i < widened.count; i++)
        fprintf(stderr, "%s%s", i == 0 ? "nsp: widened: " : ", ",
                widened.names[i]);
    if (widened.count > 0)
        fputc('\n', stderr);
}

/* "The answer is no" must not be taken for an error, nor the reverse. */
static int
eval_error(int status)
{
    return status == NSP_EXIT_FAILED ? NSP_EXIT_USAGE : status;
}

static int
run_engine(struct nsp_cli *cli, struct eval *eval)
{
    struct nsp_diag diag = { .result = NSP_OK };
    int result = nsp_engine_start(eval->engine, "true", &diag);

    if (result < 0)
        return eval_error(nsp_cli_fail(cli, &diag));
    if (cli->json) {
        nsp_json_init(&eval->json, stdout);
        nsp_json_begin_array(&eval->json, NULL);
    }
    result = nsp_engine_run(eval->engine);
    if (cli->json)
        nsp_json_finish(&eval->json);
    /* The document is out: what follows goes to standard error as text. */
    cli->json = false;
    if (result >= 0 && eval->diag.result == NSP_OK) {
        note_widened(eval);
        return eval->matched ? NSP_EXIT_OK : NSP_EXIT_FAILED;
    }
    if (result >= 0)
        diag = eval->diag;
    else
        nsp_engine_read_diag(eval->engine, &diag);
    nsp_capture_explain(&diag, eval->in_path, eval->packets);
    return eval_error(nsp_cli_fail(cli, &diag));
}

struct eval_request {
    enum nsp_layer layer;
    const char *backend;
    struct nsp_pcapfile_config files;
};

static int
eval_expr(struct nsp_cli *cli, const char *expr,
          const struct eval_request *request)
{
    struct eval eval = { .cli = cli, .in_path = request->files.in_path };
    struct nsp_engine_config config = {
        .backend = "pcapfile",
        .pcapfile = request->files,
        .callback = eval_burst,
        .callback_context = &eval,
        .callback_takes_superpackets = true,
    };
    struct nsp_filter *filter = NULL;
    struct nsp_diag diag;
    int status;

    if (nsp_filter_compile(expr, request->layer, NULL, &filter, &diag) < 0)
        return nsp_cli_fail_at(cli, &diag, "filter", expr);
    if (nsp_filter_runner_create(filter, request->backend, &eval.runner,
                                 &diag) < 0 ||
        nsp_engine_create(&config, &eval.engine, &diag) < 0)
        status = eval_error(nsp_cli_fail(cli, &diag));
    else
        status = run_engine(cli, &eval);
    nsp_engine_destroy(eval.engine);
    nsp_filter_runner_destroy(eval.runner);
    nsp_filter_destroy(filter);
    return status;
}

static int
take_eval_option(struct nsp_cli *cli, struct eval_request *r, int option,
                 const char *value)
{
    switch ((enum eval_option)option) {
    case EVAL_IN:
        r->files.in_path = value;
        return NSP_EXIT_OK;
    case EVAL_BACKEND:
        r->backend = value;
        return NSP_EXIT_OK;
    case EVAL_DIRECTION:
        if (strcmp(value, "inbound") != 0 && strcmp(value, "outbound") != 0)
            return nsp_cli_usage(cli, "write inbound or outbound",
                                 "--direction: unknown value '%s'", value);
        r->files.direction = value[0] == 'i' ? NSP_INBOUND : NSP_OUTBOUND;
        return NSP_EXIT_OK;
    case EVAL_LAYER:
    default:
        if (read_layer(cli, value, &r->layer) != NSP_EXIT_OK)
            return NSP_EXIT_USAGE;
        if (r->layer != NSP_LAYER_NETWORK &&
            r->layer != NSP_LAYER_NETWORK_FORWARD)
            return nsp_cli_usage(cli, "write network or network-forward",
                                 "--layer: a capture holds packets, not %s "
                                 "events",
                                 value);
        return NSP_EXIT_OK;
    }
}

static int
run_eval(struct nsp_cli *cli, int argc, char *argv[])
{
    struct eval_request r = { .layer = NSP_LAYER_NETWORK,
                              .backend = "evaluator" };
    const char *value, *expr;
    char *owned;
    int option, status;

    while ((option = nsp_cli_next_option(cli, argc, argv, &value)) >= 0) {
        status = take_eval_option(cli, &r, option, value);
        if (status != NSP_EXIT_OK)
            return status;
    }
    if (option == NSP_CLI_EXIT)
        return cli->status;
    if (!r.files.in_path)
        return nsp_cli_usage(cli, "write --in FILE, a pcap or pcapng capture",
                             "--in is missing");
    status = read_expr(cli, argc, argv, &expr, &owned);
    if (status == NSP_EXIT_OK)
        status = eval_expr(cli, expr, &r);
    free(owned);
    return status;
}

static const struct nsp_command eval_command = {
    .name = "eval",
    .summary = "Evaluate a filter on each packet of a capture",
    .synopsis = "--in FILE EXPR",
    .details =
        "Prints 'N match' or 'N no-match' for packet N, from 1. Exit "
        "status 0: some matched,\n1: none did, 2: an error. Back ends other "
        "than the evaluator are programs for\nthe kernel; what they "
        "cannot tell they take for a match, and name at the end.\n",
    .examples = "  nsp filter eval --in a.pcap 'tcp.Syn and not tcp.Ack'\n",
    .options = eval_options,
    .run = run_eval,
};

static const struct nsp_command *const filter_commands[] = {
    &check_command,
    &eval_command,
    NULL,
};

const struct nsp_command nsp_command_filter = {
    .name = "filter",
    .summary = "Check a filter, or evaluate it on a capture",
    .subcommands = filter_commands,
};
