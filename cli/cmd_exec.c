#include <unistd.h>

#include "cli/commands.h"
#include "cli/effect_options.h"
#include "cli/engine_options.h"
#include "cli/exec.h"

enum option {
    OPT_FILTER,
    OPT_SEED,
    OPT_OUTSIDE,
    OPT_REPORT,
    OPT_QUIET,
    OPT_COUNT,
};

static const struct nsp_option options[] = {
    [OPT_FILTER] = { "filter", "EXPR", "packets to shape; the rest passes", 0 },
    [OPT_SEED] = NSP_OPTION_SEED,
    [OPT_OUTSIDE] = { "outside", NULL,
                      "let the command reach the outside world (needs pasta)",
                      0 },
    [OPT_REPORT] = { "report", "FILE", "write the counters to FILE, as JSON",
                     0 },
    [OPT_QUIET] = { "quiet", NULL, "print no counters", 'q' },
    [OPT_COUNT] = { NULL, NULL, NULL, 0 },
};

struct request {
    struct nsp_exec_job job;
    struct nsp_effect_options effects;
    struct nsp_policy_file *policy; /* As the options say. */
};

static int
take_option(struct nsp_cli *cli, void *context, int option, const char *value)
{
    struct request *r = context;
    int status = NSP_EXIT_OK;

    if (option >= NSP_CLI_SHARED)
        return nsp_effect_options_take(cli, &r->effects, option, value);
    switch ((enum option)option) {
    case OPT_FILTER:
        r->job.filter = value;
        break;
    case OPT_SEED:
        status = nsp_cli_read_seed(cli, value, &r->job.seed);
        break;
    case OPT_OUTSIDE:
        r->job.outside = true;
        break;
    case OPT_REPORT:
        r->job.report_path = value;
        break;
    default:
        r->job.quiet = true;
        break;
    }
    return status;
}

/* Packets at a loopback interface are all inbound. So that the two ways of a
 * connection do not share one queue, each has a rule: what the command's
 * clients send is what a user of the link sends. */
static int
split_ways(struct nsp_cli *cli, struct request *r)
{
    static const struct nsp_effect_rule rule = { .name = "exec" };
    int status = nsp_effect_options_read(cli, &r->effects, &rule, &r->policy);
    const struct nsp_policy_spec *spec;

    if (status != NSP_EXIT_OK)
        return status;
    spec = &r->policy->spec;
    r->job.rules[0] = spec->rules[spec->rule_count - 1];
    r->job.rules[0].name = "requests";
    r->job.rules[0].match = "not flow.Reply";
    r->job.rules[0].apply = NSP_APPLY_BOTH;
    r->job.rules[1] = spec->rules[0];
    r->job.rules[1].name = "replies";
    r->job.rules[1].apply = NSP_APPLY_BOTH;
    return NSP_EXIT_OK;
}

static int
run(struct nsp_cli *cli, int argc, char *argv[])
{
    struct request r = { .job.filter = "true" };
    int status;

    cli->json = false; /* One seen from afar may be the command's. */
    if (nsp_cli_take_options(cli, argc, argv, take_option, &r) == NSP_CLI_EXIT)
        return cli->status == NSP_EXIT_OK ? NSP_EXIT_OK : NSP_EXEC_FAILED;
    status = split_ways(cli, &r);
    if (status == NSP_EXIT_OK && optind >= argc)
        status =
            nsp_cli_usage(cli, "write it behind --", "no command to execute");
    r.job.command = argv + optind;
    if (status == NSP_EXIT_OK)
        status = nsp_exec_run(cli, &r.job);
    else
        status = NSP_EXEC_FAILED;
    nsp_policy_file_destroy(r.policy);
    return status;
}

const struct nsp_command nsp_command_exec = {
    .name = "exec",
    .summary = "Run a command behind a simulated network, without root",
    .synopsis = "[--] COMMAND [ARGUMENT]...",
    .takes_command = true,
    .details =
        "The command has a network of its own: loopback, where each packet is "
        "shaped on its\nway, requests and replies apart. A delay of 50 ms "
        "makes "
        "a round trip of 100 ms.\nExit status: that of the command; 125 if nsp "
        "fails, 126 if the command cannot be\nexecuted, 127 if there is none. "
        "Counters are printed to standard error at the end.\n",
    .examples = "  nsp exec --delay 50ms -- ./run-tests.sh\n"
                "  nsp exec --profile lte -- ./run-tests.sh\n"
                "  nsp exec --rate 2mbit --loss 1% --seed 7 -- pytest tests/\n"
                "  nsp exec --outside --delay 100ms -- curl "
                "https://example.org/\n",
    .options = options,
    .shared_options = nsp_effect_options_table,
    .run = run,
};
