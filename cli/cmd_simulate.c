#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/engine_options.h"
#include "cli/interfaces.h"
#include "cli/policy_load.h"
#include "cli/simulate.h"

enum option {
    OPT_IN,
    OPT_OUT,
    OPT_SEED,
    OPT_DIRECTION,
    OPT_LIST_DROPS,
    OPT_PLOT,
    OPT_WORKERS,
    OPT_QUIET,
    OPT_COUNT,
};

static const struct nsp_option options[] = {
    [OPT_IN] = { "in", "FILE", "the capture: pcap or pcapng; - is stdin", 0 },
    [OPT_OUT] = { "out", "FILE", "write what is delivered, as pcapng", 0 },
    [OPT_SEED] = NSP_OPTION_SEED,
    [OPT_DIRECTION] = { "direction", "WAY",
                        "take packets to be inbound or outbound", 0 },
    [OPT_LIST_DROPS] = { "list-drops", NULL, "print each packet dropped", 0 },
    [OPT_PLOT] = { "plot", "FILE", "draw delay, rate and losses, as SVG", 0 },
    [OPT_WORKERS] = { "workers", "N", "changes nothing: a capture has one", 0 },
    [OPT_QUIET] = { "quiet", NULL, "print nothing but errors", 'q' },
    [OPT_COUNT] = { NULL, NULL, NULL, 0 },
};

static int
take_direction(struct nsp_cli *cli, struct nsp_simulate_job *job,
               const char *value)
{
    if (strcmp(value, "inbound") == 0)
        job->direction = NSP_INBOUND;
    else if (strcmp(value, "outbound") == 0)
        job->direction = NSP_OUTBOUND;
    else
        return nsp_cli_usage(cli, "write inbound or outbound",
                             "--direction: unknown value '%s'", value);
    return NSP_EXIT_OK;
}

static int
take_option(struct nsp_cli *cli, void *context, int option, const char *value)
{
    struct nsp_simulate_job *job = context;
    uint32_t workers;
    int status = NSP_EXIT_OK;

    switch (option) {
    case OPT_IN:
        job->in_path = value;
        break;
    case OPT_OUT:
        job->out_path = value;
        break;
    case OPT_SEED:
        status = nsp_cli_read_seed(cli, value, &job->seed);
        break;
    case OPT_DIRECTION:
        return take_direction(cli, job, value);
    case OPT_LIST_DROPS:
        job->lists_drops = true;
        break;
    case OPT_PLOT:
        job->plot_path = value;
        break;
    case OPT_WORKERS:
        status = nsp_cli_read_workers(cli, value, &workers);
        break;
    default:
        job->quiet = true;
        break;
    }
    return status;
}

static int
check(struct nsp_cli *cli, const struct nsp_simulate_job *job)
{
    if (!job->in_path)
        return nsp_cli_usage(cli, "name the capture with --in FILE",
                             "--in is missing");
    if (cli->json && job->out_path && strcmp(job->out_path, "-") == 0)
        return nsp_cli_usage(cli, "write the capture to a file",
                             "--json and --out - both write to standard "
                             "output");
    return NSP_EXIT_OK;
}

static int
run(struct nsp_cli *cli, int argc, char *argv[])
{
    struct nsp_simulate_job job = { .in_path = NULL };
    struct nsp_policy_file *file = NULL;
    int status = nsp_cli_take_options(cli, argc, argv, take_option, &job);

    if (status == NSP_CLI_EXIT)
        return cli->status;
    status = nsp_cli_check_operands(cli, argc, argv, 1, 1, "POLICY");
    if (status == NSP_EXIT_OK)
        status = check(cli, &job);
    if (status == NSP_EXIT_OK)
        status = nsp_cli_load_policy(cli, argv[optind], !cli->json, &file);
    if (status == NSP_EXIT_OK)
        status = nsp_simulate_run(cli, &job, file);
    nsp_policy_file_destroy(file);
    nsp_cli_interfaces_fini();
    return status;
}

const struct nsp_command nsp_command_simulate = {
    .name = "simulate",
    .summary = "Run a capture through a policy, in the capture's own time",
    .synopsis = "POLICY",
    .details =
        "Each packet written has a comment: the rule that decided, what was "
        "done, and the\ndelay. The result depends on the capture, the policy "
        "and the seed alone.\n",
    .examples =
        "  nsp simulate policy.yaml --in a.pcap --out b.pcapng --seed 7\n"
        "  nsp simulate policy.yaml --in a.pcap --list-drops --plot p.svg\n",
    .options = options,
    .run = run,
};
