#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli/capture.h"
#include "cli/commands.h"
#include "cli/filter_backend.h"
#include "cli/filter_request.h"
#include "netshaper/engine.h"
#include "netshaper/filter.h"

/* --- check --------------------------------------------------------------- */

static const struct nsp_option request_options[] = {
    NSP_FILTER_REQUEST_OPTIONS,
    { NULL, NULL, NULL, 0 },
};

static int
run_request(struct nsp_cli *cli, int argc, char *argv[],
            nsp_filter_answer *answer)
{
    struct nsp_filter_request r = { .layer = NSP_LAYER_NETWORK };
    const char *value;
    int option, status;

    while ((option = nsp_cli_next_option(cli, argc, argv, &value)) >= 0) {
        status = nsp_filter_request_take(cli, &r, option, value);
        if (status != NSP_EXIT_OK)
            return status;
    }
    if (option == NSP_CLI_EXIT)
        return cli->status;
    return nsp_filter_request_answer(cli, &r, argc, argv, answer);
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
    .run = run_check,
};

/* --- format, explain
 * -------------------------------------------------------------- */

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

    if (result != NSP_OK)
        return nsp_filter_request_fail(cli, json, result, &diag, expr, line);
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
    .run = run_format,
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
        if (nsp_filter_request_read_layer(cli, value, &r->layer) != NSP_EXIT_OK)
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
    status = nsp_filter_request_read_expr(cli, argc, argv, &expr, &owned);
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
    &check_command,  &eval_command,   &explain_command,
    &format_command, &object_command, NULL,
};

const struct nsp_command nsp_command_filter = {
    .name = "filter",
    .summary = "Check, evaluate and rewrite filters",
    .subcommands = filter_commands,
};
