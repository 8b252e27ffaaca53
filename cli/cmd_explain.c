#include <getopt.h>
#include <string.h>
#include <time.h>

#include "cli/capture.h"
#include "cli/commands.h"
#include "cli/explain.h"
#include "cli/packet_text.h"
#include "cli/policy_load.h"
#include "netshaper/engine.h"

enum explain_option { EXPLAIN_PACKET, EXPLAIN_IN, EXPLAIN_COUNT };

static const struct nsp_option options[] = {
    [EXPLAIN_PACKET] = { "packet", "TEXT",
                         "which rule decides a packet such as 'tcp 10.0.0.1:5 "
                         "> 1.2.3.4:80 outbound'",
                         0 },
    [EXPLAIN_IN] = { "in", "FILE",
                     "the same of each packet of a capture; '-' is standard "
                     "input",
                     0 },
    [EXPLAIN_COUNT] = { NULL, NULL, NULL, 0 },
};

struct request {
    const char *packet, *in;
};

/* --- A capture --------------------------------------------------------------
 */

struct capture {
    struct nsp_explain *explain;
    struct nsp_engine *engine;
};

static void
explain_burst(void *context, struct nsp_burst *burst)
{
    struct capture *capture = context;

    for (uint32_t i = 0; i < burst->count && !capture->explain->failed; i++)
        nsp_explain_packet(capture->explain, burst->pkts[i]);
    if (ferror(stdout) || capture->explain->failed)
        nsp_engine_stop(capture->engine);
}

static int
run_capture(struct nsp_explain *e, const char *in, struct nsp_diag *reterr)
{
    struct capture capture = { .explain = e };
    struct nsp_engine_config config = {
        .backend = "pcapfile",
        .pcapfile = { .in_path = in },
        .callback = explain_burst,
        .callback_context = &capture,
        .callback_takes_superpackets = true,
    };
    int result = nsp_engine_create(&config, &capture.engine, reterr);

    if (result >= 0)
        result = nsp_engine_start(capture.engine, "true", reterr);
    if (result >= 0) {
        result = nsp_engine_run(capture.engine);
        if (result < 0)
            nsp_engine_read_diag(capture.engine, reterr);
    }
    if (result < 0)
        nsp_capture_explain(reterr, in, e->packets);
    nsp_engine_destroy(capture.engine);
    return result;
}

/* --- All ----------------------------------------------------------------- */

/* Rules with a schedule are explained as of now. */
static void
set_time(struct nsp_policy_file *file)
{
    time_t now = time(NULL);
    struct tm local = { .tm_wday = 1 };
    struct nsp_local_time at;
    uint32_t next;

    localtime_r(&now, &local);
    at.day = (uint32_t)(local.tm_wday + 6) % 7;
    at.second = (uint32_t)(local.tm_hour * 3600 + local.tm_min * 60) +
                (uint32_t)(local.tm_sec < 60 ? local.tm_sec : 59);
    nsp_policy_file_set_time(file, &at, &next);
}

/* '*ret_source' is set where 'reterr' is about the packet's text. */
static int
explain_packets(struct nsp_explain *e, const struct request *request,
                const char **ret_source, struct nsp_diag *reterr)
{
    struct nsp_packet_text packet;
    int result;

    if (request->in)
        return run_capture(e, request->in, reterr);
    result = nsp_packet_text_read(request->packet, &packet, reterr);
    if (result == NSP_OK)
        nsp_explain_packet(e, &packet.pkt);
    else
        *ret_source = request->packet;
    return result;
}

static int
explain(struct nsp_cli *cli, const struct request *request,
        struct nsp_policy_file *file)
{
    struct nsp_explain e = { .cli = cli, .file = file };
    struct nsp_diag diag = { .result = NSP_OK };
    const char *source = NULL;
    int result = NSP_OK;

    nsp_json_init(&e.json, stdout);
    if (cli->json)
        nsp_json_begin_object(&e.json, NULL);
    if (!request->packet && !request->in) {
        nsp_explain_policy(&e);
    } else {
        if (cli->json)
            nsp_json_begin_array(&e.json, "packets");
        result = explain_packets(&e, request, &source, &diag);
    }
    if (cli->json)
        nsp_json_finish(&e.json);
    if (result >= 0 && !e.failed)
        return NSP_EXIT_OK;
    cli->json = false; /* The document is out. */
    if (source)
        return nsp_cli_fail_at(cli, &diag, "--packet", source);
    return nsp_cli_fail_result(cli, e.failed ? NSP_NO_MEMORY : result, &diag);
}

static int
take_option(struct nsp_cli *cli, void *context, int option, const char *value)
{
    struct request *r = context;

    (void)cli;
    *(option == EXPLAIN_IN ? &r->in : &r->packet) = value;
    return NSP_EXIT_OK;
}

static int
run(struct nsp_cli *cli, int argc, char *argv[])
{
    struct request request = { .packet = NULL };
    struct nsp_policy_file *file = NULL;
    int status = nsp_cli_take_options(cli, argc, argv, take_option, &request);

    if (status == NSP_CLI_EXIT)
        return cli->status;
    if (request.packet && request.in)
        return nsp_cli_usage(cli, "ask about one of them",
                             "--packet and --in exclude each other");
    status = nsp_cli_check_operands(cli, argc, argv, 1, 1, "POLICY");
    if (status != NSP_EXIT_OK)
        return status;
    if (request.in && strcmp(request.in, "-") == 0 &&
        strcmp(argv[optind], "-") == 0)
        return nsp_cli_usage(cli, "name a file for one of them",
                             "the policy and the capture cannot both come from "
                             "standard input");
    status = nsp_cli_load_policy(cli, argv[optind], false, &file);
    if (status != NSP_EXIT_OK)
        return status;
    set_time(file);
    status = explain(cli, &request, file);
    nsp_policy_file_destroy(file);
    return status;
}

const struct nsp_command nsp_command_explain = {
    .name = "explain",
    .summary = "Show what runs where, and which rule decides a packet and why",
    .synopsis = "POLICY",
    .details = "Without options, where each rule of POLICY runs: hook and "
               "device. Of a packet, each\nrule up to the one that decides, "
               "with its tests and what the packet has. Rules with\na schedule "
               "are taken as they are now.\n",
    .examples = "  nsp explain policy.yaml\n"
                "  nsp explain policy.yaml --packet 'tcp 10.0.0.1:5 > "
                "1.2.3.4:80 outbound'\n"
                "  nsp explain policy.yaml --in a.pcap\n",
    .options = options,
    .run = run,
};
