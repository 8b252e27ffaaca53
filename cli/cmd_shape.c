#include <string.h>
#include <sys/stat.h>

#include "cli/commands.h"
#include "cli/effect_options.h"
#include "cli/engine_options.h"
#include "cli/guard.h"
#include "cli/shape.h"

enum option {
    OPT_ON,
    OPT_FILTER,
    OPT_DIRECTION,
    OPT_FOR,
    OPT_SEED,
    OPT_WORKERS,
    OPT_CPUS,
    OPT_BUSY_POLL,
    OPT_DEEP_IDLE,
    OPT_FIRST_QUEUE,
    OPT_FAIL_CLOSED,
    OPT_NO_OFFLOAD,
    OPT_IN,
    OPT_OUT,
    OPT_SCENARIO,
    OPT_CONFIRM,
    OPT_YES,
    OPT_QUIET,
    OPT_COUNT,
};

static const struct nsp_option options[] = {
    [OPT_ON] = { "on", "WHERE",
                 "host (input and output), input, output, forward, tap, "
                 "bridge:A,B",
                 0 },
    [OPT_FILTER] = { "filter", "EXPR", "packets to shape; the rest passes", 0 },
    [OPT_DIRECTION] = { "direction", "WAY", "inbound, outbound or both", 0 },
    [OPT_FOR] = NSP_OPTION_FOR,
    [OPT_SEED] = NSP_OPTION_SEED,
    [OPT_WORKERS] = NSP_OPTION_WORKERS,
    [OPT_CPUS] = NSP_OPTION_CPUS,
    [OPT_BUSY_POLL] = NSP_OPTION_BUSY_POLL,
    [OPT_DEEP_IDLE] = NSP_OPTION_DEEP_IDLE,
    [OPT_FIRST_QUEUE] = { "first-queue", "N", "first NFQUEUE number to use",
                          0 },
    [OPT_FAIL_CLOSED] = { "fail-closed", NULL,
                          "drop, not pass, what finds the queue full or nsp "
                          "hung",
                          0 },
    [OPT_NO_OFFLOAD] = { "no-offload", NULL,
                         "have the kernel decide no packet by filter or rules",
                         0 },
    [OPT_IN] = { "in", "FILE", "read a capture instead of live traffic", 0 },
    [OPT_OUT] = { "out", "FILE", "write what is delivered, as pcapng", 0 },
    /* Known, to be refused with the way to have one. */
    [OPT_SCENARIO] = { "scenario", "STEPS", NULL, 0 },
    [OPT_CONFIRM] = { "confirm", "TIME", "end unless Enter is pressed in time",
                      0 },
    [OPT_YES] = NSP_OPTION_YES,
    [OPT_QUIET] = { "quiet", NULL, "print no live counters", 'q' },
    [OPT_COUNT] = { NULL, NULL, NULL, 0 },
};

#define INTERFACES_MAX 64u

/* The job, and which options were given. */
struct request {
    struct nsp_shape_job job;
    char names[1024]; /* Of interfaces, each with its end mark. */
    const char *interfaces[INTERFACES_MAX];
    struct nsp_effect_options effects;
    struct nsp_policy_file *policy;
    uint8_t direction;             /* enum nsp_apply. */
    const char *values[OPT_COUNT]; /* "" for a flag; NULL: absent. */
};

/* --- Single options ------------------------------------------------------ */

struct word {
    const char *name;
    uint32_t value;
};

static int
read_word(struct nsp_cli *cli, const char *name, const char *text,
          const struct word *words, const char *hint, uint32_t *ret)
{
    for (; words->name; words++)
        if (strcmp(words->name, text) == 0) {
            *ret = words->value;
            return NSP_EXIT_OK;
        }
    return nsp_cli_usage(cli, hint, "%s: unknown value '%s'", name, text);
}

/* Splits "IFACE[,IFACE...]" into r->interfaces and stores their number. */
static int
split_names(struct nsp_cli *cli, struct request *r, const char *text,
            const char *example, uint32_t *ret)
{
    char *name = r->names;
    uint32_t count = 0;

    if (strlen(text) >= sizeof r->names)
        return nsp_cli_usage(cli, example, "--on: too many interfaces");
    memcpy(r->names, text, strlen(text) + 1);
    while (name) {
        char *end = strchr(name, ',');

        if (end)
            *end = '\0';
        if (*name == '\0')
            return nsp_cli_usage(cli, example,
                                 "--on: an interface without a name");
        if (count == INTERFACES_MAX)
            return nsp_cli_usage(cli, example, "--on: too many interfaces");
        r->interfaces[count++] = name;
        name = end ? end + 1 : NULL;
    }
    *ret = count;
    return NSP_EXIT_OK;
}

/* Reads "tap" or "tap:IFACE[,IFACE]". */
static int
set_tap(struct nsp_cli *cli, struct request *r, const char *text)
{
    struct nsp_tap_config *tap = &r->job.engine.tap;

    r->job.engine.backend = "tap";
    r->job.engine.hooks = NSP_HOOK_INPUT | NSP_HOOK_OUTPUT;
    tap->interface_count = 0;
    if (text[strlen("tap")] == '\0')
        return NSP_EXIT_OK;
    tap->interfaces = r->interfaces;
    return split_names(cli, r, text + strlen("tap:"),
                       "write tap:eth0,eth1, or tap for all interfaces",
                       &tap->interface_count);
}

/* Reads "bridge:A,B". */
static int
set_bridge(struct nsp_cli *cli, struct request *r, const char *text)
{
    struct nsp_bridge_config *bridge = &r->job.engine.bridge;
    uint32_t count = 0;
    int status = NSP_EXIT_OK;

    r->job.engine.backend = "bridge";
    r->job.engine.hooks = NSP_HOOK_FORWARD;
    if (text[strlen("bridge")] != '\0')
        status = split_names(cli, r, text + strlen("bridge:"),
                             "write bridge:eth0,eth1", &count);
    if (status != NSP_EXIT_OK)
        return status;
    if (count != 2)
        return nsp_cli_usage(cli, "write bridge:eth0,eth1",
                             "--on: a bridge joins two interfaces");
    bridge->interfaces[0] = r->interfaces[0];
    bridge->interfaces[1] = r->interfaces[1];
    return NSP_EXIT_OK;
}

/* Tells whether 'text' is 'device', with or without what belongs to it. */
static bool
names_device(const char *text, const char *device)
{
    size_t bytes = strlen(device);

    return strncmp(text, device, bytes) == 0 &&
           (text[bytes] == '\0' || text[bytes] == ':');
}

static int
set_where(struct nsp_cli *cli, struct request *r, const char *text)
{
    static const struct word words[] = {
        { "host", NSP_HOOK_INPUT | NSP_HOOK_OUTPUT },
        { "input", NSP_HOOK_INPUT },
        { "output", NSP_HOOK_OUTPUT },
        { "forward", NSP_HOOK_FORWARD },
        { NULL, 0 },
    };

    r->job.where = text;
    if (names_device(text, "tap"))
        return set_tap(cli, r, text);
    if (names_device(text, "bridge"))
        return set_bridge(cli, r, text);
    r->job.engine.backend = "host";
    return read_word(cli, "--on", text, words,
                     "write host, input, output, forward, tap:IFACE or "
                     "bridge:A,B",
                     &r->job.engine.hooks);
}

static int
set_direction(struct nsp_cli *cli, struct request *r, const char *text)
{
    static const struct word words[] = {
        { "both", NSP_APPLY_BOTH },
        { "inbound", NSP_APPLY_INBOUND },
        { "outbound", NSP_APPLY_OUTBOUND },
        { NULL, 0 },
    };
    uint32_t apply = 0;
    int status = read_word(cli, "--direction", text, words,
                           "write inbound, outbound or both", &apply);

    r->direction = (uint8_t)apply;
    return status;
}

static int
set_first_queue(struct nsp_cli *cli, struct request *r, const char *text)
{
    int64_t value = 0;
    int status = nsp_cli_read_int(cli, "--first-queue", text, 1, 65535, &value);

    r->job.engine.nfqueue.first_queue = (uint32_t)value;
    return status;
}

static int
refuse_scenario(struct nsp_cli *cli)
{
    return nsp_cli_usage(
        cli,
        "write it to a policy, nsp-policy(5), and start that with 'nsp run'; a "
        "rate alone may change here: --rate schedule=10s:9mbit/5s:1mbit",
        "--scenario: steps that change several effects do not fit on one line");
}

static void
set_flag(struct request *r, enum option option)
{
    struct nsp_engine_config *engine = &r->job.engine;

    switch (option) {
    case OPT_BUSY_POLL:
        nsp_cli_set_busy_poll(engine);
        break;
    case OPT_DEEP_IDLE:
        engine->deep_idle = true;
        break;
    case OPT_NO_OFFLOAD:
        engine->no_offload = true;
        engine->bridge.take_all = true;
        break;
    case OPT_FAIL_CLOSED:
        engine->nfqueue.fail_closed = true;
        engine->tap.fail_closed = true;
        engine->bridge.fail_closed = true;
        break;
    case OPT_YES:
        r->job.goes_on = true;
        break;
    case OPT_QUIET:
    default:
        r->job.quiet = true;
        break;
    }
}

static int
take_option(struct nsp_cli *cli, void *context, int option, const char *value)
{
    struct request *r = context;

    if (option >= OPT_COUNT)
        return nsp_effect_options_take(cli, &r->effects, option, value);
    r->values[option] = value;
    switch (option) {
    case OPT_ON:
        return set_where(cli, r, value);
    case OPT_FILTER:
        r->job.filter = value;
        return NSP_EXIT_OK;
    case OPT_DIRECTION:
        return set_direction(cli, r, value);
    case OPT_FOR:
        return nsp_cli_read_period(cli, "--for", value,
                                   "leave it out to run until stopped",
                                   &r->job.for_ns);
    case OPT_SEED:
        return nsp_cli_read_seed(cli, value, &r->job.engine.seed);
    case OPT_WORKERS:
        return nsp_cli_read_workers(cli, value, &r->job.engine.workers);
    case OPT_FIRST_QUEUE:
        return set_first_queue(cli, r, value);
    case OPT_CPUS:
        return nsp_cli_read_cpus(cli, "--cpus", value, r->job.engine.cpus,
                                 NSP_IO_QUEUES_MAX, &r->job.engine.cpu_count);
    case OPT_IN:
        r->job.engine.pcapfile.in_path = value;
        return NSP_EXIT_OK;
    case OPT_OUT:
        r->job.engine.pcapfile.out_path = value;
        return NSP_EXIT_OK;
    case OPT_CONFIRM:
        return nsp_cli_read_period(cli, "--confirm", value,
                                   "give the time in which you can tell",
                                   &r->job.confirm_ns);
    case OPT_SCENARIO:
        return refuse_scenario(cli);
    default:
        set_flag(r, (enum option)option);
        return NSP_EXIT_OK;
    }
}

/* --- Combinations -------------------------------------------------------- */

/* Pairs that make no sense together. */
static const struct {
    enum option given, with;
    const char *why;
} exclusive[] = {
    { OPT_IN, OPT_ON, "packets come from a capture or from live traffic" },
    { OPT_IN, OPT_FIRST_QUEUE, "a capture has no NFQUEUE" },
    { OPT_IN, OPT_FAIL_CLOSED, "only live packets can pass nsp by" },
    { OPT_IN, OPT_CONFIRM, "a capture cuts nobody off" },
};

static const struct {
    enum option given, needs;
    const char *why;
} dependent[] = {
    { OPT_OUT, OPT_IN, "only a capture is written to a file" },
};

static int
check_combinations(struct nsp_cli *cli, const struct request *r)
{
    for (size_t i = 0; i < sizeof exclusive / sizeof exclusive[0]; i++)
        if (r->values[exclusive[i].given] && r->values[exclusive[i].with])
            return nsp_cli_usage(cli, exclusive[i].why,
                                 "--%s and --%s exclude each other",
                                 options[exclusive[i].given].name,
                                 options[exclusive[i].with].name);
    if (r->values[OPT_FIRST_QUEUE] &&
        (strcmp(r->job.engine.backend, "tap") == 0 ||
         strcmp(r->job.engine.backend, "bridge") == 0))
        return nsp_cli_usage(cli, "no NFQUEUE is used there",
                             "--on %s and --first-queue exclude each other",
                             r->job.engine.backend);
    for (size_t i = 0; i < sizeof dependent / sizeof dependent[0]; i++)
        if (r->values[dependent[i].given] && !r->values[dependent[i].needs])
            return nsp_cli_usage(cli, dependent[i].why, "--%s needs --%s",
                                 options[dependent[i].given].name,
                                 options[dependent[i].needs].name);
    return NSP_EXIT_OK;
}

/* A direction that no packet taken there has would shape nothing. */
static int
check_direction(struct nsp_cli *cli, const struct request *r)
{
    uint32_t hooks = r->job.engine.hooks;
    uint32_t passes = NSP_HOOK_INPUT | NSP_HOOK_OUTPUT;

    if (r->job.engine.pcapfile.in_path || r->direction == NSP_APPLY_BOTH)
        return NSP_EXIT_OK;
    passes =
        r->direction == NSP_APPLY_INBOUND ? NSP_HOOK_INPUT : NSP_HOOK_OUTPUT;
    if (hooks & passes)
        return NSP_EXIT_OK;
    return nsp_cli_usage(
        cli,
        hooks == NSP_HOOK_FORWARD
            ? "forwarded packets have no direction: filter by address or "
              "interface"
            : "leave one of the two out",
        "--on %s has no %s packets", r->job.where, r->values[OPT_DIRECTION]);
}

static bool
same_file(const char *a, const char *b)
{
    struct stat of_a, of_b;

    return stat(a, &of_a) == 0 && stat(b, &of_b) == 0 &&
           S_ISREG(of_a.st_mode) && of_a.st_dev == of_b.st_dev &&
           of_a.st_ino == of_b.st_ino;
}

static int
check_files(struct nsp_cli *cli, const struct request *r)
{
    const struct nsp_pcapfile_config *files = &r->job.engine.pcapfile;

    if (!files->in_path || !files->out_path)
        return NSP_EXIT_OK;
    if (cli->json && strcmp(files->out_path, "-") == 0)
        return nsp_cli_usage(cli, "write the capture to a file",
                             "--json and --out - both write to standard "
                             "output");
    if (same_file(files->in_path, files->out_path))
        return nsp_cli_usage(cli, "write to another file",
                             "--out %s is the file that is read",
                             files->out_path);
    return NSP_EXIT_OK;
}

static int
check_terminal(struct nsp_cli *cli, const struct request *r)
{
    if (r->job.confirm_ns == 0 || nsp_guard_has_terminal())
        return NSP_EXIT_OK;
    return nsp_cli_usage(cli,
                         "start it on one; 'nsp run --confirm' has 'nsp "
                         "confirm', too",
                         "--confirm waits for Enter on a terminal");
}

static int
check(struct nsp_cli *cli, const struct request *r)
{
    int (*const checks[])(struct nsp_cli *, const struct request *) = {
        check_combinations,
        check_direction,
        check_files,
        check_terminal,
    };

    int status = NSP_EXIT_OK;

    for (size_t i = 0;
         status == NSP_EXIT_OK && i < sizeof checks / sizeof checks[0]; i++)
        status = checks[i](cli, r);
    return status;
}

/* Fills in what follows from the options. */
static int
complete(struct nsp_cli *cli, struct request *r)
{
    struct nsp_engine_config *engine = &r->job.engine;
    struct nsp_effect_rule rule = { .name = "shape",
                                    .hooks = engine->hooks,
                                    .direction = r->direction };
    int status;

    if (engine->pcapfile.in_path) {
        engine->backend = "pcapfile";
        r->job.where = engine->pcapfile.in_path;
        rule.hooks = 0; /* Packets of a capture may have directions. */
        if (r->direction != NSP_APPLY_BOTH)
            engine->pcapfile.direction =
                r->direction == NSP_APPLY_INBOUND ? NSP_INBOUND : NSP_OUTBOUND;
    }
    status = nsp_effect_options_read(cli, &r->effects, &rule, &r->policy);
    if (status == NSP_EXIT_OK)
        engine->policy = r->policy->spec;
    return status;
}

static int
run(struct nsp_cli *cli, int argc, char *argv[])
{
    struct request r = {
        .job = { .filter = "true",
                 .where = "host",
                 .engine = { .backend = "host",
                             .hooks = NSP_HOOK_INPUT | NSP_HOOK_OUTPUT } },
    };
    int status = nsp_cli_take_options(cli, argc, argv, take_option, &r);

    if (status == NSP_CLI_EXIT)
        return cli->status;
    if (status == NSP_EXIT_OK)
        status = nsp_cli_check_operands(cli, argc, argv, 0, 0, NULL);
    if (status == NSP_EXIT_OK)
        status = check(cli, &r);
    if (status == NSP_EXIT_OK)
        status = complete(cli, &r);
    if (status == NSP_EXIT_OK)
        status = nsp_shape_run(cli, &r.job);
    nsp_policy_file_destroy(r.policy);
    return status;
}

const struct nsp_command nsp_command_shape = {
    .name = "shape",
    .summary = "Limit, delay, lose, drop or just count packets, live or in a "
               "capture",
    .details =
        "Runs until Ctrl-C, and leaves the network as it was found. Effects "
        "act in the\norder loss, rate, delay. Without any, packets are "
        "counted. Each is a key of rules\nof nsp-policy(5), and takes what "
        "that "
        "takes: VALUE, KEY=VALUE,KEY=VALUE... or KIND:VALUE.\n--in:EFFECT and "
        "--out:EFFECT are of one direction.\n",
    .examples =
        "  nsp shape --on forward --filter 'tcp.DstPort == 5201' \\\n"
        "            --rate 20mbit --delay 40ms --loss 1%\n"
        "  nsp shape --on input --filter 'udp.SrcPort == 53' --delay 200ms\n"
        "  nsp shape --on tap --profile lte --loss ge:1%,burst=3 --seed 7\n"
        "  nsp shape --on tap --in:rate 5mbit --out:rate 1mbit --delay 40ms "
        "\\\n"
        "            --jitter sd=10ms,distribution=pareto\n"
        "  nsp shape --filter 'remoteAddr == 192.0.2.7' --reject --for 10min\n"
        "  nsp shape --in a.pcap --out b.pcapng --rate 1mbit --queue 50ms\n",
    .options = options,
    .shared_options = nsp_effect_options_table,
    .run = run,
};
