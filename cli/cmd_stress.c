#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <getopt.h>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/stress.h"

enum {
    OPTION_BACKEND,
    OPTION_SEED,
    OPTION_OWN, /* The mode's own options, from here on. */
};

#define COMMON_OPTIONS                                                         \
    { "backend", "NAME", "memory, or nfqueue in a network of its own", 0 },    \
    {                                                                          \
        "seed", "N", "seed of every random choice (1)", 0                      \
    }

static const struct nsp_option stability_options[] = {
    COMMON_OPTIONS,
    { "cycles", "N", "how many (10000)", 0 },
    { NULL, NULL, NULL, 0 },
};

static const struct nsp_option performance_options[] = {
    COMMON_OPTIONS,
    { "seconds", "S", "for how long (4)", 0 },
    { NULL, NULL, NULL, 0 },
};

static const struct nsp_option chaos_options[] = {
    COMMON_OPTIONS,
    { "workers", "N", "threads (64)", 0 },
    { "ops", "N", "operations of each thread (500)", 0 },
    { NULL, NULL, NULL, 0 },
};

static int
read_backend(struct nsp_stress_config *cfg, const char *name)
{
    if (strcmp(name, "memory") != 0 && strcmp(name, "nfqueue") != 0)
        return nsp_cli_usage(cfg->cli, "one of: memory, nfqueue",
                             "--backend: unknown value '%s'", name);
    cfg->live = strcmp(name, "nfqueue") == 0;
    return NSP_EXIT_OK;
}

/* An option of a mode, by its name. */
static int
read_own(struct nsp_stress_config *cfg, const char *name, const char *value)
{
    int64_t number = 0;
    char option[32];
    int status;

    snprintf(option, sizeof option, "--%s", name);
    status = nsp_cli_read_int(cfg->cli, option, value, 1,
                              strcmp(name, "workers") == 0   ? 1024
                              : strcmp(name, "seconds") == 0 ? 86400
                                                             : 1000000000,
                              &number);
    if (strcmp(name, "cycles") == 0)
        cfg->cycles = (uint64_t)number;
    else if (strcmp(name, "seconds") == 0)
        cfg->seconds = (double)number;
    else if (strcmp(name, "workers") == 0)
        cfg->workers = (uint32_t)number;
    else
        cfg->ops = (uint64_t)number;
    return status;
}

static int
read_option(struct nsp_cli *cli, void *context, int option, const char *value)
{
    struct nsp_stress_config *cfg = context;
    int64_t seed = 0;
    int status;

    if (option == OPTION_BACKEND)
        return read_backend(cfg, value);
    if (option >= OPTION_OWN)
        return read_own(cfg, cli->command->options[option].name, value);
    status = nsp_cli_read_int(cli, "--seed", value, 0, INT64_MAX, &seed);
    cfg->seed = (uint64_t)seed;
    return status;
}

static int
read_options(struct nsp_stress_config *cfg, int argc, char *argv[],
             bool *ret_exit)
{
    int status = nsp_cli_take_options(cfg->cli, argc, argv, read_option, cfg);

    *ret_exit = status == NSP_CLI_EXIT;
    if (*ret_exit)
        return cfg->cli->status;
    status = nsp_cli_check_operands(cfg->cli, argc, argv, 0, 0, NULL);
    *ret_exit = status != 0;
    return status;
}

static void
check_leak(struct nsp_stress_report *report, const char *name, int64_t before,
           int64_t after)
{
    if (after > before)
        nsp_stress_fail(report, NSP_STRESS_LEAK, "%s: %lld before, %lld after",
                        name, (long long)before, (long long)after);
}

/* Memory of the process is shown, not judged: the C library keeps some. Blocks
 * that engines took are counted exactly. */
static void
check_leaks(struct nsp_stress_report *report)
{
    check_leak(report, "threads", report->before.threads,
               report->after.threads);
    check_leak(report, "descriptors", report->before.descriptors,
               report->after.descriptors);
    check_leak(report, "nft tables", report->before.nft_tables,
               report->after.nft_tables);
    check_leak(report, "heap blocks",
               (int64_t)atomic_load(&report->heap.releases),
               (int64_t)atomic_load(&report->heap.allocations));
}

static int
run_mode(struct nsp_stress_config *cfg, const char *name,
         nsp_stress_mode_fn *mode)
{
    struct nsp_diag diag = { 0 };
    struct nsp_stress_report *report = calloc(1, sizeof *report);
    int r = report ? NSP_OK : NSP_NO_MEMORY;

    if (r == NSP_OK && cfg->live)
        r = nsp_lab_open(&cfg->lab, &diag);
    if (r == NSP_OK) {
        nsp_interrupt_catch();
        report->mode = name;
        report->backend = cfg->live ? "nfqueue" : "memory";
        report->seed = cfg->seed;
        r = mode(cfg, report, &diag);
    }
    if (r == NSP_OK) {
        check_leaks(report);
        nsp_stress_print(cfg->cli, report);
        r = nsp_stress_ok(report) ? NSP_EXIT_OK : NSP_EXIT_FAILED;
    } else {
        r = nsp_cli_fail_result(cfg->cli, r, &diag);
    }
    nsp_lab_close(cfg->lab);
    free(report);
    return r;
}

static int
run_with_options(struct nsp_cli *cli, int argc, char *argv[], const char *name,
                 nsp_stress_mode_fn *mode)
{
    struct nsp_stress_config cfg = {
        .cli = cli,
        .seed = 1,
        .cycles = 10000,
        .seconds = 4,
        .workers = 64,
        .ops = 500,
    };
    bool exit_now;
    int status = read_options(&cfg, argc, argv, &exit_now);

    return exit_now ? status : run_mode(&cfg, name, mode);
}

static int
run_stability(struct nsp_cli *cli, int argc, char *argv[])
{
    return run_with_options(cli, argc, argv, "stability", nsp_stress_stability);
}

static int
run_performance(struct nsp_cli *cli, int argc, char *argv[])
{
    return run_with_options(cli, argc, argv, "performance",
                            nsp_stress_performance);
}

static int
run_chaos(struct nsp_cli *cli, int argc, char *argv[])
{
    return run_with_options(cli, argc, argv, "chaos", nsp_stress_chaos);
}

static int
run(struct nsp_cli *cli, int argc, char *argv[])
{
    if (nsp_cli_take_options(cli, argc, argv, NULL, NULL) == NSP_CLI_EXIT)
        return cli->status;
    return nsp_cli_run_subcommand(cli, argc - optind, argv + optind);
}

static const struct nsp_command stability_command = {
    .name = "stability",
    .summary = "Create, start, run, stop and destroy engines over and over",
    .details = "One packet goes through the running engine in each cycle. "
               "Prints where the time\nof a cycle goes.\n",
    .options = stability_options,
    .run = run_stability,
};

static const struct nsp_command performance_command = {
    .name = "performance",
    .summary = "Measure packets a second, latency and allocations",
    .options = performance_options,
    .run = run_performance,
};

static const struct nsp_command chaos_command = {
    .name = "chaos",
    .summary = "Do random operations from many threads on shared engines",
    .details = "Valid, empty and nonsense filters, calls in every order, "
               "engines destroyed while\nthey run. A result that the state "
               "table in netshaper/engine.h does not allow is a\nfailure.\n",
    .options = chaos_options,
    .run = run_chaos,
};

const struct nsp_command nsp_command_stress = {
    .name = "stress",
    .summary = "Torment engines and count what goes wrong",
    .details = "Every mode counts failures by kind, and what the process "
               "holds before and after:\nthreads, descriptors, memory, nft "
               "tables. Exit status 0 when nothing failed and\nnothing was "
               "left over, 1 otherwise and when interrupted.\n",
    .examples = "  nsp stress stability --cycles 1000 --backend nfqueue\n"
                "  nsp stress chaos --workers 64 --ops 500 --json\n",
    .subcommands =
        (const struct nsp_command *const[]){
            &stability_command,
            &performance_command,
            &chaos_command,
            NULL,
        },
    .run = run,
};
