#include <unistd.h>

#include "cli/commands.h"
#include "cli/engine_options.h"
#include "cli/policy_load.h"
#include "cli/service.h"
#include "netshaper/io.h"

enum option {
    OPT_FOR,
    OPT_SEED,
    OPT_WORKERS,
    OPT_CPUS,
    OPT_BUSY_POLL,
    OPT_DEEP_IDLE,
    OPT_FAIL_CLOSED,
    OPT_NO_OFFLOAD,
    OPT_CONTROL,
    OPT_CONFIRM,
    OPT_YES,
    OPT_QUIET,
    OPT_COUNT,
};

static const struct nsp_option options[] = {
    [OPT_FOR] = NSP_OPTION_FOR,
    [OPT_SEED] = NSP_OPTION_SEED,
    [OPT_WORKERS] = NSP_OPTION_WORKERS,
    [OPT_CPUS] = NSP_OPTION_CPUS,
    [OPT_BUSY_POLL] = NSP_OPTION_BUSY_POLL,
    [OPT_DEEP_IDLE] = NSP_OPTION_DEEP_IDLE,
    [OPT_FAIL_CLOSED] = { "fail-closed", NULL,
                          "drop, not pass, what does not fit the queue", 0 },
    [OPT_NO_OFFLOAD] = { "no-offload", NULL,
                         "have the kernel decide no packet by rules", 0 },
    [OPT_CONTROL] = { "control", "PATH",
                      "socket for 'nsp reload' and 'nsp status'; '' for none",
                      0 },
    [OPT_CONFIRM] = { "confirm", "TIME",
                      "take a policy back unless it is confirmed in time", 0 },
    [OPT_YES] = NSP_OPTION_YES,
    [OPT_QUIET] = { "quiet", NULL, "print nothing but errors", 'q' },
    [OPT_COUNT] = { NULL, NULL, NULL, 0 },
};

static int
take_option(struct nsp_cli *cli, void *context, int option, const char *value)
{
    struct nsp_service_job *job = context;
    int status = NSP_EXIT_OK;

    switch (option) {
    case OPT_FOR:
        status = nsp_cli_read_period(cli, "--for", value,
                                     "leave it out to run until stopped",
                                     &job->for_ns);
        break;
    case OPT_SEED:
        status = nsp_cli_read_seed(cli, value, &job->seed);
        break;
    case OPT_WORKERS:
        status = nsp_cli_read_workers(cli, value, &job->workers);
        break;
    case OPT_BUSY_POLL:
        job->busy_poll = true;
        break;
    case OPT_DEEP_IDLE:
        job->deep_idle = true;
        break;
    case OPT_CPUS:
        status = nsp_cli_read_cpus(cli, "--cpus", value, job->cpus,
                                   NSP_IO_QUEUES_MAX, &job->cpu_count);
        break;
    case OPT_FAIL_CLOSED:
        job->fail_closed = true;
        break;
    case OPT_NO_OFFLOAD:
        job->no_offload = true;
        break;
    case OPT_CONTROL:
        job->control_path = value;
        break;
    case OPT_CONFIRM:
        status = nsp_cli_read_period(cli, "--confirm", value,
                                     "give the time in which you can tell",
                                     &job->confirm_ns);
        break;
    case OPT_YES:
        job->goes_on = true;
        break;
    default:
        job->quiet = true;
        break;
    }
    return status;
}

static int
run(struct nsp_cli *cli, int argc, char *argv[])
{
    struct nsp_service_job job = { .policy_path = NULL };
    struct nsp_policy_file *file = NULL;
    int status = nsp_cli_take_options(cli, argc, argv, take_option, &job);

    if (status == NSP_CLI_EXIT)
        return cli->status;
    status = nsp_cli_check_operands(cli, argc, argv, 1, 1, "POLICY");
    if (status != NSP_EXIT_OK)
        return status;
    job.policy_path = argv[optind];
    status = nsp_cli_load_policy(cli, job.policy_path, !cli->json, &file);
    return status == NSP_EXIT_OK ? nsp_service_run(cli, &job, file) : status;
}

const struct nsp_command nsp_command_run = {
    .name = "run",
    .summary = "Enforce a policy file on live traffic",
    .synopsis = "POLICY",
    .details =
        "SIGHUP and 'nsp reload' read the file again; one with errors changes "
        "nothing.\nSIGUSR1 prints the counters, 'nsp status' shows them from "
        "elsewhere. SIGINT and\nSIGTERM deliver what is held and leave the "
        "network as it was found.\n",
    .examples = "  nsp run policy.yaml\n"
                "  nsp run --for 1h --quiet policy.yaml\n",
    .options = options,
    .run = run,
};
