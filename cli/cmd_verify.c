#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/verify_live.h"
#include "cli/verify_report.h"
#include "verify/verify.h"

#define PKTS_DEFAULT 1000000
#define PKTS_LIVE    4000
#define PKTS_MIN     1000
#define PKTS_MAX     100000000

struct verification {
    struct nsp_cli *cli;
    const char *profile; /* NULL: a policy. */
    int64_t pkts, seed;  /* No packets: as many as are usual. */
    bool live;

    struct nsp_verify_source source;
    char **packets; /* Texts, one for each rule. */
    struct nsp_checks checks;
};

static bool
begin_rule(void *context, uint32_t rule, const struct nsp_test_packet *packet)
{
    struct verification *v = context;
    char text[192];

    v->packets[rule] = strdup(nsp_test_packet_text(packet, text, sizeof text));
    if (!v->packets[rule])
        v->checks.out_of_memory = true;
    return !nsp_interrupted() && v->packets[rule];
}

static int
report(const struct verification *v)
{
    const struct nsp_verify_report print = {
        .cli = v->cli,
        .checks = &v->checks,
        .source = &v->source,
        .live = v->live,
        .pkts = (uint64_t)v->pkts,
        .seed = (uint64_t)v->seed,
        .packets = v->packets,
    };

    return nsp_verify_report_print(&print);
}

static int
verify(struct verification *v)
{
    const struct nsp_verify_job job = {
        .search = v->source.search,
        .pkts = (uint32_t)v->pkts,
        .seed = (uint64_t)v->seed,
        .begin_rule = begin_rule,
        .begin_rule_context = v,
    };
    struct nsp_diag diag = { .result = NSP_OK };
    int result = NSP_NO_MEMORY;

    v->packets =
        calloc((size_t)job.search.spec->rule_count + 1, sizeof *v->packets);
    if (v->packets)
        result = v->live ? nsp_verify_live(&job, &v->checks, &diag)
                         : nsp_verify(&job, &v->checks, &diag);
    if (result < 0 || v->checks.out_of_memory)
        return nsp_cli_fail_result(v->cli, result < 0 ? result : NSP_NO_MEMORY,
                                   &diag);
    if (result == NSP_STOPPED) {
        fputs("nsp: interrupted: no verdict\n", stderr);
        return NSP_EXIT_FAILED;
    }
    return report(v);
}

static void
release(struct verification *v)
{
    const struct nsp_policy_spec *spec = v->source.search.spec;

    for (uint32_t i = 0; v->packets && i < spec->rule_count; i++)
        free(v->packets[i]);
    free(v->packets);
    nsp_checks_fini(&v->checks);
    nsp_verify_source_close(&v->source);
}

enum { OPTION_PROFILE, OPTION_LIVE, OPTION_PACKETS, OPTION_SEED };

static const struct nsp_option options[] = {
    [OPTION_PROFILE] = { "profile", "NAME",
                         "measure a profile instead, nsp-profile(8)", 0 },
    [OPTION_LIVE] = { "live", NULL,
                      "send real packets through namespaces of its own", 0 },
    [OPTION_PACKETS] = { "packets", "N",
                         "packets of each measurement, 1000 to 100000000 "
                         "(1000000; live 4000)",
                         0 },
    [OPTION_SEED] = { "seed", "N", "seed of all that is random (1)", 0 },
    { NULL, NULL, NULL, 0 },
};

static int
take_option(struct nsp_cli *cli, void *context, int option, const char *value)
{
    struct verification *v = context;

    switch (option) {
    case OPTION_PROFILE:
        v->profile = value;
        return NSP_EXIT_OK;
    case OPTION_LIVE:
        v->live = true;
        return NSP_EXIT_OK;
    case OPTION_PACKETS:
        return nsp_cli_read_int(cli, "--packets", value, PKTS_MIN, PKTS_MAX,
                                &v->pkts);
    default:
        return nsp_cli_read_int(cli, "--seed", value, 0, INT64_MAX - 1,
                                &v->seed);
    }
}

static int
run(struct nsp_cli *cli, int argc, char *argv[])
{
    struct verification v = { .cli = cli, .seed = 1 };
    int status = nsp_cli_take_options(cli, argc, argv, take_option, &v);

    if (status == NSP_CLI_EXIT)
        return cli->status;
    if (v.pkts == 0)
        v.pkts = v.live ? PKTS_LIVE : PKTS_DEFAULT;
    status = nsp_cli_check_operands(cli, argc, argv, v.profile ? 0 : 1,
                                    v.profile ? 0 : 1, "POLICY");
    if (status != 0)
        return status;

    status = v.profile
                 ? nsp_verify_source_open_profile(cli, v.profile, &v.source)
                 : nsp_verify_source_open_policy(cli, argv[optind], &v.source);
    if (status == NSP_EXIT_OK) {
        nsp_interrupt_catch();
        status = verify(&v);
    }
    release(&v);
    return status;
}

const struct nsp_command nsp_command_verify = {
    .name = "verify",
    .summary = "Measure what a policy does, and compare it with what it says",
    .synopsis = "POLICY | --profile NAME",
    .details =
        "Test packets are made for each rule of POLICY and sent through the "
        "engine in\nvirtual time; what is measured is compared with what the "
        "policy says, by the\nformulae of each effect. What could not be "
        "tested is said with the reason.\nExit status 0: all that was tested "
        "passed, 1: something failed, 2: POLICY is\nwrong, 3: nothing could be "
        "tested.\n",
    .examples = "  nsp verify policy.yaml\n"
                "  nsp verify policy.yaml --live\n"
                "  nsp verify --profile lte\n"
                "  nsp verify policy.yaml --packets 10000000 --seed 7 --json\n",
    .options = options,
    .run = run,
};
