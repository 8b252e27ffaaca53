#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/explain.h"
#include "cli/interfaces.h"
#include "cli/interrupt.h"
#include "cli/policy_load.h"
#include "cli/verify_live.h"
#include "cli/verify_report.h"
#include "verify/verify.h"

#define PKTS_DEFAULT   1000000
#define PKTS_LIVE      4000
#define PKTS_MIN       1000
#define PKTS_MAX       100000000
#define INTERFACES_MAX 64u

struct verification {
    struct nsp_cli *cli;
    const char *path;
    struct nsp_policy_file *file;
    int64_t pkts, seed; /* No packets: as many as are usual. */
    bool live;

    bool *off;
    char **packets; /* Texts, one for each rule. */
    uint32_t ifindexes[INTERFACES_MAX], ifindex_count;
    struct nsp_checks checks;
};

static const char *
rule_name(const void *context, uint32_t rule, char ret[64])
{
    return nsp_explain_rule_name(context, rule, ret);
}

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

static void
list_interfaces(struct verification *v)
{
    uint32_t ifindex;

    while (v->ifindex_count < INTERFACES_MAX &&
           nsp_cli_interfaces.get(nsp_cli_interfaces.context, v->ifindex_count,
                                  &ifindex))
        v->ifindexes[v->ifindex_count++] = ifindex;
}

/* Whatever the time is: rules with a schedule are measured as well. */
static bool
list_rules_off(struct verification *v)
{
    uint32_t count = v->file->spec.rule_count;

    v->off = calloc(count + 1, sizeof *v->off);
    v->packets = calloc(count + 1, sizeof *v->packets);
    for (uint32_t i = 0; v->off && i < count; i++)
        v->off[i] = !v->file->notes[i].enabled;
    return v->off && v->packets;
}

static int
report(const struct verification *v)
{
    const struct nsp_verify_report print = {
        .cli = v->cli,
        .checks = &v->checks,
        .policy = v->path,
        .mode = v->live ? "live" : "virtual",
        .pkts = (uint64_t)v->pkts,
        .seed = (uint64_t)v->seed,
        .rule_count = v->file->spec.rule_count,
        .rule_name = rule_name,
        .rule_name_context = v->file,
        .packets = v->packets,
    };

    return nsp_verify_report_print(&print);
}

static int
verify(struct verification *v)
{
    struct nsp_diag diag = { .result = NSP_OK };
    struct nsp_verify_job job;
    int result = NSP_NO_MEMORY;

    list_interfaces(v);
    if (list_rules_off(v)) {
        job = (struct nsp_verify_job){
            .search = {
                .spec = &v->file->spec,
                .filters = v->file->filters,
                .off = v->off,
                .hooks = v->file->hooks,
                .ifindexes = v->ifindexes,
                .ifindex_count = v->ifindex_count,
            },
            .pkts = (uint32_t)v->pkts,
            .seed = (uint64_t)v->seed,
            .begin_rule = begin_rule,
            .begin_rule_context = v,
        };
        result = v->live ? nsp_verify_live(&job, &v->checks, &diag)
                         : nsp_verify(&job, &v->checks, &diag);
    }
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
    for (uint32_t i = 0; v->packets && i < v->file->spec.rule_count; i++)
        free(v->packets[i]);
    free(v->packets);
    free(v->off);
    nsp_checks_fini(&v->checks);
    nsp_policy_file_destroy(v->file);
}

enum { OPTION_LIVE, OPTION_PACKETS, OPTION_SEED };

static const struct nsp_option options[] = {
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
read_options(struct verification *v, int argc, char *argv[])
{
    const char *value;
    int option, status = 0;

    while (status == 0 &&
           (option = nsp_cli_next_option(v->cli, argc, argv, &value)) >= 0)
        switch (option) {
        case OPTION_LIVE:
            v->live = true;
            break;
        case OPTION_PACKETS:
            status = nsp_cli_read_int(v->cli, "--packets", value, PKTS_MIN,
                                      PKTS_MAX, &v->pkts);
            break;
        default:
            status = nsp_cli_read_int(v->cli, "--seed", value, 0, INT64_MAX - 1,
                                      &v->seed);
        }
    if (status == 0 && option == NSP_CLI_EXIT)
        return NSP_CLI_EXIT;
    if (v->pkts == 0)
        v->pkts = v->live ? PKTS_LIVE : PKTS_DEFAULT;
    return status;
}

static int
run(struct nsp_cli *cli, int argc, char *argv[])
{
    struct verification v = { .cli = cli, .seed = 1 };
    int status = read_options(&v, argc, argv);

    if (status == NSP_CLI_EXIT)
        return cli->status;
    if (status == 0)
        status = nsp_cli_check_operands(cli, argc, argv, 1, 1, "POLICY");
    if (status != 0)
        return status;

    v.path = argv[optind];
    status = nsp_cli_load_policy(cli, v.path, false, &v.file);
    if (status != NSP_EXIT_OK)
        return status;
    nsp_interrupt_catch();
    status = verify(&v);
    release(&v);
    return status;
}

const struct nsp_command nsp_command_verify = {
    .name = "verify",
    .summary = "Measure what a policy does, and compare it with what it says",
    .synopsis = "POLICY",
    .details =
        "Test packets are made for each rule of POLICY and sent through the "
        "engine in\nvirtual time; what is measured is compared with what the "
        "policy says, by the\nformulae of each effect. What could not be "
        "tested is said with the reason.\nExit status 0: all that was tested "
        "passed, 1: something failed, 2: POLICY is\nwrong, 3: nothing could be "
        "tested.\n",
    .examples = "  nsp verify policy.yaml\n"
                "  nsp verify policy.yaml --live\n"
                "  nsp verify policy.yaml --packets 10000000 --seed 7 --json\n",
    .options = options,
    .run = run,
};
