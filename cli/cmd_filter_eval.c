#include <stdlib.h>
#include <string.h>

#include "cli/capture.h"
#include "cli/commands.h"
#include "cli/filter_backend.h"
#include "cli/filter_request.h"
#include "netshaper/engine.h"
#include "netshaper/filter.h"

/* One pass over the capture asks them all, so that many are held at once. */
#define FILTERS_MAX 4096u

enum eval_option {
    EVAL_DIRECTION = NSP_FILTER_REQUEST_COUNT,
    EVAL_BACKEND,
    EVAL_IN,
    EVAL_COUNT
};

static const struct nsp_option eval_options[] = {
    NSP_FILTER_REQUEST_OPTIONS,
    [EVAL_DIRECTION] = { "direction", "WAY",
                         "inbound or outbound: of packets without one", 0 },
    [EVAL_BACKEND] = { "backend", "NAME",
                       "evaluator (default), cbpf, ebpf: what answers", 0 },
    [EVAL_IN] = { "in", "FILE", "the capture; '-' is standard input", 0 },
    [EVAL_COUNT] = { NULL, NULL, NULL, 0 },
};

struct eval_filter {
    struct nsp_filter *filter;
    struct nsp_filter_runner *runner;
    uint32_t line; /* In the file, 0 without one. */
};

struct eval {
    const struct nsp_cli *cli;
    struct nsp_filter_request request;
    enum nsp_filter_backend backend;
    struct nsp_pcapfile_config files;
    struct nsp_json json;
    struct nsp_engine *engine;
    struct eval_filter *filters;
    uint32_t filter_count;
    uint64_t packets, matched;
    struct nsp_diag diag; /* Of a runner, once it has failed. */
};

/* --- Filters -------------------------------------------------------------- */

static int
add_filter(struct eval *eval, const char *expr, uint32_t line,
           struct nsp_diag *reterr)
{
    const struct nsp_filter_request *r = &eval->request;
    struct eval_filter *added = &eval->filters[eval->filter_count];
    int result;

    if (eval->filter_count == FILTERS_MAX) {
        *reterr = (struct nsp_diag){ .result = NSP_INVALID_PARAMETER,
                                     .category = "too-long" };
        snprintf(reterr->text, sizeof reterr->text,
                 "more than %u filters for one capture", FILTERS_MAX);
        snprintf(reterr->hint, sizeof reterr->hint, "split the file");
        return reterr->result;
    }
    *added = (struct eval_filter){ .line = line };
    result = nsp_filter_compile_with(expr, r->layer, &r->options, NULL,
                                     &added->filter, reterr);
    if (result != NSP_OK)
        return result;
    added->runner = nsp_filter_runner_create(added->filter, eval->backend);
    if (!added->runner) {
        added->filter = nsp_filter_destroy(added->filter);
        *reterr = (struct nsp_diag){ .result = NSP_NO_MEMORY };
        return NSP_NO_MEMORY;
    }
    eval->filter_count++;
    return NSP_OK;
}

static int
answer_eval(struct nsp_cli *cli, const struct nsp_filter_request *r,
            struct nsp_json *json, const char *expr, uint32_t line)
{
    struct nsp_diag diag = { .result = NSP_OK };
    int result = add_filter(r->context, expr, line, &diag);

    if (result == NSP_OK)
        return NSP_EXIT_OK;
    if (line > 0 && !cli->json)
        printf("%u error\n", line);
    return nsp_filter_request_fail(cli, json, result, &diag, expr, line);
}

/* --- Answers -------------------------------------------------------------- */

static void
print_match(struct eval *eval, uint32_t line, bool match)
{
    eval->matched += match;
    if (!eval->cli->json) {
        if (line > 0)
            printf("%u ", line);
        printf("%llu %s\n", (unsigned long long)eval->packets,
               match ? "match" : "no-match");
        return;
    }
    nsp_json_begin_object(&eval->json, NULL);
    if (line > 0)
        nsp_json_uint(&eval->json, "in_line", line);
    nsp_json_uint(&eval->json, "packet", eval->packets);
    nsp_json_bool(&eval->json, "match", match);
    nsp_json_end(&eval->json);
}

static void
eval_packet(struct eval *eval, const struct nsp_pkt *pkt)
{
    const struct nsp_filter_context at = { .timestamp =
                                               (int64_t)pkt->arrival_ns };

    eval->packets++;
    for (uint32_t i = 0; i < eval->filter_count; i++) {
        const struct eval_filter *asked = &eval->filters[i];
        bool match;

        if (nsp_filter_runner_match(asked->runner, pkt, &at, &match,
                                    &eval->diag) != NSP_OK)
            return;
        print_match(eval, asked->line, match);
    }
}

/* The engine's callback: sees every packet, in order. */
static void
eval_burst(void *context, struct nsp_burst *burst)
{
    struct eval *eval = context;

    for (uint32_t i = 0; i < burst->count && eval->diag.result == NSP_OK; i++)
        eval_packet(eval, burst->pkts[i]);
    if (ferror(stdout) || eval->diag.result != NSP_OK)
        nsp_engine_stop(eval->engine); /* Nobody reads on, or can go on. */
}

/* Says why more may have matched than the filters do. */
static void
note_widened(const struct eval *eval)
{
    for (uint32_t i = 0; i < eval->filter_count; i++) {
        const struct eval_filter *asked = &eval->filters[i];
        struct nsp_widened widened;

        nsp_filter_runner_get_widened(asked->runner, &widened);
        if (widened.count == 0)
            continue;
        fprintf(stderr, "nsp: widened");
        if (asked->line > 0)
            fprintf(stderr, " in line %u", asked->line);
        for (uint32_t k = 0; k < widened.count; k++)
            fprintf(stderr, "%s %s", k == 0 ? ":" : ",", widened.names[k]);
        fputc('\n', stderr);
    }
}

/* "The answer is no" must not be taken for an error, nor the reverse; and every
 * error is the same here. */
static int
eval_error(int status)
{
    return status == NSP_EXIT_OK ? NSP_EXIT_OK : NSP_EXIT_USAGE;
}

/* 'status' is that of the filters: worse than any answer where one is bad. */
static int
run_engine(struct nsp_cli *cli, struct eval *eval, int status)
{
    struct nsp_diag diag = { .result = NSP_OK };
    int result = nsp_engine_run(eval->engine);

    if (cli->json)
        nsp_json_finish(&eval->json);
    /* The document is out: what follows goes to standard error as text. */
    cli->json = false;
    if (result >= 0 && eval->diag.result == NSP_OK) {
        note_widened(eval);
        if (status != NSP_EXIT_OK)
            return status;
        return eval->matched ? NSP_EXIT_OK : NSP_EXIT_FAILED;
    }
    if (result >= 0)
        diag = eval->diag;
    else
        nsp_engine_read_diag(eval->engine, &diag);
    nsp_capture_explain(&diag, eval->files.in_path, eval->packets);
    return eval_error(nsp_cli_fail(cli, &diag));
}

static int
read_and_run(struct nsp_cli *cli, struct eval *eval, int argc, char *argv[])
{
    int status;

    eval->request.context = eval;
    nsp_json_init(&eval->json, stdout);
    status = eval_error(nsp_filter_request_each(cli, &eval->request, argc, argv,
                                                &eval->json, answer_eval));
    /* The rest of a file is answered for even if some of it is bad. */
    if (status != NSP_EXIT_OK && eval->filter_count == 0) {
        if (cli->json && eval->json.started)
            nsp_json_finish(&eval->json);
        return status;
    }
    if (cli->json && !eval->json.started)
        nsp_json_begin_array(&eval->json, NULL);
    return run_engine(cli, eval, status);
}

/* The capture is opened first: that it cannot be is one document by itself. */
static int
eval_capture(struct nsp_cli *cli, struct eval *eval, int argc, char *argv[])
{
    struct nsp_engine_config config = {
        .backend = "pcapfile",
        .pcapfile = eval->files,
        .callback = eval_burst,
        .callback_context = eval,
        .callback_takes_superpackets = true,
    };
    struct nsp_diag diag = { .result = NSP_OK };
    int status;

    eval->filters = calloc(FILTERS_MAX, sizeof eval->filters[0]);
    if (!eval->filters)
        return eval_error(nsp_cli_fail_result(cli, NSP_NO_MEMORY, &diag));
    if (nsp_engine_create(&config, &eval->engine, &diag) < 0 ||
        nsp_engine_start(eval->engine, "true", &diag) < 0)
        status = eval_error(nsp_cli_fail(cli, &diag));
    else
        status = read_and_run(cli, eval, argc, argv);
    nsp_engine_destroy(eval->engine);
    for (uint32_t i = 0; i < eval->filter_count; i++) {
        nsp_filter_runner_destroy(eval->filters[i].runner);
        nsp_filter_destroy(eval->filters[i].filter);
    }
    free(eval->filters);
    return status;
}

/* --- Options -------------------------------------------------------------- */

static int
check_layer(struct nsp_cli *cli, enum nsp_layer layer, const char *value)
{
    if (layer == NSP_LAYER_NETWORK || layer == NSP_LAYER_NETWORK_FORWARD)
        return NSP_EXIT_OK;
    return nsp_cli_usage(cli, "write network or network-forward",
                         "--layer: a capture holds packets, not %s events",
                         value);
}

static int
take_option(struct nsp_cli *cli, void *context, int option, const char *value)
{
    struct eval *eval = context;
    int status;

    switch (option) {
    case EVAL_IN:
        eval->files.in_path = value;
        return NSP_EXIT_OK;
    case EVAL_BACKEND:
        if (nsp_filter_backend_find(value, &eval->backend) == 0)
            return NSP_EXIT_OK;
        return nsp_cli_usage(cli, "write evaluator, cbpf or ebpf",
                             "--backend: unknown value '%s'", value);
    case EVAL_DIRECTION:
        if (strcmp(value, "inbound") != 0 && strcmp(value, "outbound") != 0)
            return nsp_cli_usage(cli, "write inbound or outbound",
                                 "--direction: unknown value '%s'", value);
        eval->files.direction = value[0] == 'i' ? NSP_INBOUND : NSP_OUTBOUND;
        return NSP_EXIT_OK;
    default:
        status = nsp_filter_request_take(cli, &eval->request, option, value);
        return status == NSP_EXIT_OK
                   ? check_layer(cli, eval->request.layer, value)
                   : status;
    }
}

static int
read_and_eval(struct nsp_cli *cli, struct eval *eval, int argc, char *argv[])
{
    if (nsp_cli_take_options(cli, argc, argv, take_option, eval) ==
        NSP_CLI_EXIT)
        return cli->status;
    if (!eval->files.in_path)
        return nsp_cli_usage(cli, "write --in FILE, a pcap or pcapng capture",
                             "--in is missing");
    if (strcmp(eval->files.in_path, "-") == 0 &&
        nsp_filter_request_is_stdin(&eval->request, argc, argv))
        return nsp_cli_usage(cli, "name a file for one of them",
                             "the filter and the capture cannot both come from "
                             "standard input");
    return eval_capture(cli, eval, argc, argv);
}

static int
run_eval(struct nsp_cli *cli, int argc, char *argv[])
{
    struct eval eval = {
        .cli = cli,
        .request = { .layer = NSP_LAYER_NETWORK },
        .backend = NSP_FILTER_EVALUATOR,
    };
    int status = read_and_eval(cli, &eval, argc, argv);

    nsp_filter_request_fini(&eval.request);
    return status;
}

const struct nsp_command nsp_command_filter_eval = {
    .name = "eval",
    .summary = "Evaluate a filter on each packet of a capture",
    .synopsis = "--in FILE EXPR",
    .details =
        "Prints 'N match' or 'N no-match' for packet N, from 1; with --file "
        "'L N match'\nfor the filter in line L, or 'L error'. Exit status 0: "
        "some matched, 1: none did,\n2: an error. Back ends other than the "
        "evaluator are programs for the kernel; what\nthey cannot tell they "
        "take for a match, and name at the end.\n",
    .examples = "  nsp filter eval --in a.pcap 'tcp.Syn and not tcp.Ack'\n",
    .options = eval_options,
    .repeats = "set",
    .run = run_eval,
};
