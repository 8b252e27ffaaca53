#include <stdlib.h>
#include <string.h>

#include "cli/capture_job.h"
#include "cli/commands.h"
#include "cli/engine_options.h"
#include "cli/interfaces.h"
#include "cli/policy_load.h"
#include "config/units.h"

enum option {
    OPT_INTERFACE,
    OPT_FILTER,
    OPT_WRITE,
    OPT_SNAPLEN,
    OPT_PACKETS,
    OPT_FOR,
    OPT_ROTATE_SIZE,
    OPT_ROTATE_TIME,
    OPT_FILES,
    OPT_COMMENT,
    OPT_POLICY,
    OPT_BUFFER,
    OPT_PROMISCUOUS,
    OPT_QUIET,
    OPT_COUNT,
};

static const struct nsp_option options[] = {
    [OPT_INTERFACE] = { "interface", "IFACE", "where to look; any is all",
                        'i' },
    [OPT_FILTER] = { "filter", "EXPR", "packets to capture", 0 },
    [OPT_WRITE] = { "write", "FILE", "pcapng to write; - is standard output",
                    'w' },
    [OPT_SNAPLEN] = { "snaplen", "BYTES",
                      "keep so much of each packet, from its IP header on", 0 },
    [OPT_PACKETS] = { "packets", "N", "end after N packets", 'c' },
    [OPT_FOR] = { "for", "TIME", "end after TIME: 60s", 0 },
    [OPT_ROTATE_SIZE] = { "rotate-size", "SIZE",
                          "another file once one has SIZE: 100mb", 0 },
    [OPT_ROTATE_TIME] = { "rotate-time", "TIME",
                          "another file for each TIME: 1h", 0 },
    [OPT_FILES] = { "files", "N",
                    "keep N files, then begin anew with the first", 0 },
    [OPT_COMMENT] = { "comment", "TEXT", "comment of every packet", 0 },
    [OPT_POLICY] = { "policy", "FILE",
                     "capture what its rules match, and say which one did", 0 },
    [OPT_BUFFER] = { "buffer", "SIZE", "the kernel's buffer: 16mb", 0 },
    [OPT_PROMISCUOUS] = { "promiscuous", NULL, "packets for others too", 'p' },
    [OPT_QUIET] = { "quiet", NULL, "print no live counters", 'q' },
    [OPT_COUNT] = { NULL, NULL, NULL, 0 },
};

/* Of the packets on their way to the file: what a disk may be late by. */
#define EVENT_RING_BYTES (64u << 20)

#define SNAPLEN_MAX 262144
#define BUFFER_MAX  UINT64_C(1073741824)
#define FILES_MAX   100000
#define PACKETS_MAX INT64_C(1000000000000)

static const struct nsp_rule every_packet = { .name = "capture",
                                              .capture = true };

struct request {
    struct nsp_capture_job job;
    struct nsp_policy_file *policy;
    struct nsp_rule *rules; /* The policy's, of which each only captures. */
    char *filter;           /* Made of theirs. */
    struct nsp_filter_options filters;
    const char *values[OPT_COUNT]; /* "" for a flag; NULL: absent. */
};

/* --- Single options ------------------------------------------------------- */

static int
take_size(struct nsp_cli *cli, const char *name, const char *text, uint64_t max,
          uint64_t *ret)
{
    struct nsp_diag diag;

    if (nsp_units_read_bytes(text, ret, &diag) < 0)
        return nsp_cli_fail_at(cli, &diag, name, text);
    if (*ret == 0 || *ret > max)
        return nsp_cli_usage(cli, NULL, "%s: %s is out of range", name, text);
    return NSP_EXIT_OK;
}

static int
take_time(struct nsp_cli *cli, const char *name, const char *text,
          uint64_t *ret)
{
    return nsp_cli_read_period(cli, name, text, "leave it out for no limit",
                               ret);
}

static int
take_count(struct nsp_cli *cli, struct request *r, enum option option,
           const char *value)
{
    struct nsp_capture_job *job = &r->job;
    int64_t number = 0;
    int status;

    if (option == OPT_SNAPLEN) {
        status =
            nsp_cli_read_int(cli, "--snaplen", value, 1, SNAPLEN_MAX, &number);
        job->engine.sniff.snap_bytes = (uint32_t)number;
    } else if (option == OPT_PACKETS) {
        status =
            nsp_cli_read_int(cli, "--packets", value, 1, PACKETS_MAX, &number);
        job->max_pkts = (uint64_t)number;
    } else {
        status = nsp_cli_read_int(cli, "--files", value, 1, FILES_MAX, &number);
        job->file.max_files = (uint32_t)number;
    }
    return status;
}

static int
take_option(struct nsp_cli *cli, void *context, int option, const char *value)
{
    struct request *r = context;
    struct nsp_capture_job *job = &r->job;
    uint64_t bytes = 0;
    int status;

    r->values[option] = value;
    switch (option) {
    case OPT_SNAPLEN:
    case OPT_PACKETS:
    case OPT_FILES:
        return take_count(cli, r, (enum option)option, value);
    case OPT_FOR:
        return take_time(cli, "--for", value, &job->for_ns);
    case OPT_ROTATE_TIME:
        return take_time(cli, "--rotate-time", value, &job->file.rotate_ns);
    case OPT_ROTATE_SIZE:
        return take_size(cli, "--rotate-size", value, UINT64_MAX,
                         &job->file.rotate_bytes);
    case OPT_BUFFER:
        status = take_size(cli, "--buffer", value, BUFFER_MAX, &bytes);
        job->engine.sniff.buffer_bytes = (uint32_t)bytes;
        return status;
    case OPT_PROMISCUOUS:
        job->engine.sniff.promiscuous = true;
        return NSP_EXIT_OK;
    case OPT_QUIET:
        job->quiet = true;
        return NSP_EXIT_OK;
    default:
        return NSP_EXIT_OK;
    }
}

/* --- All of them ---------------------------------------------------------- */

static int
check(struct nsp_cli *cli, const struct request *r)
{
    const struct nsp_capture_config *file = &r->job.file;
    bool rotates = file->rotate_bytes != 0 || file->rotate_ns != 0;
    bool to_stdout =
        r->values[OPT_WRITE] && strcmp(r->values[OPT_WRITE], "-") == 0;

    if (!r->values[OPT_WRITE])
        return nsp_cli_usage(cli, "nsp capture -w out.pcapng",
                             "no file to write");
    if (to_stdout && rotates)
        return nsp_cli_usage(cli, "name a file",
                             "standard output cannot go over several files");
    if (to_stdout && cli->json)
        return nsp_cli_usage(cli, "write the capture to a file",
                             "--json and -w - both write to standard output");
    if (file->max_files != 0 && !rotates)
        return nsp_cli_usage(cli,
                             "say when another file begins: --rotate-size "
                             "100mb",
                             "--files without --rotate-size or --rotate-time");
    if (r->values[OPT_COMMENT] && r->values[OPT_POLICY])
        return nsp_cli_usage(cli, "leave one of the two out",
                             "--comment and --policy both say what the comment "
                             "of a packet is");
    if (r->values[OPT_COMMENT] &&
        strlen(r->values[OPT_COMMENT]) > NSP_CAPTURE_COMMENT_MAX)
        return nsp_cli_usage(cli, "shorten it",
                             "--comment is longer than %u bytes",
                             NSP_CAPTURE_COMMENT_MAX);
    return NSP_EXIT_OK;
}

static void
complete(struct request *r)
{
    const char *interface = r->values[OPT_INTERFACE];
    bool any = !interface || strcmp(interface, "any") == 0;
    struct nsp_capture_job *job = &r->job;

    job->where = any ? "any" : interface;
    job->filter = r->values[OPT_FILTER] ? r->values[OPT_FILTER] : "true";
    job->file.path = r->values[OPT_WRITE];
    job->file.link =
        (uint8_t)(any ? NSP_LINK_SLL2 : nsp_cli_interface_link(interface));
    job->file.interface = job->where;
    job->file.comment = r->values[OPT_COMMENT] ? r->values[OPT_COMMENT] : "";
    job->engine.backend = "sniff";
    job->engine.sniff.interface = job->where;
    job->engine.event_ring_bytes = EVENT_RING_BYTES;
    job->engine.filters = &r->filters;
    job->engine.policy =
        (struct nsp_policy_spec){ .rules = &every_packet, .rule_count = 1 };
    r->filters.interfaces = &nsp_cli_interfaces;
}

/* --- Policies ------------------------------------------------------------- */

/* The rules of the policy, of which each captures and does nothing else: the
 * first that matches gives its name. */
static int
copy_rules(struct request *r)
{
    uint32_t count = r->policy->spec.rule_count;

    r->rules = calloc(count + 1u, sizeof *r->rules);
    if (!r->rules)
        return NSP_NO_MEMORY;
    for (uint32_t i = 0; i < count; i++) {
        const struct nsp_rule *rule = &r->policy->rules[i];

        r->rules[i] = (struct nsp_rule){
            .name = rule->name,
            .match = rule->match,
            .disabled = !r->policy->notes[i].enabled,
            .apply = rule->apply,
            .capture = true,
        };
    }
    return NSP_OK;
}

/* Whatever some rule matches, in so far as the request's own filter does; NULL
 * without memory. */
static char *
join_filters(const struct request *r)
{
    uint32_t count = r->policy->spec.rule_count;
    size_t bytes = strlen(r->job.filter) + 64;
    const char *joint = "";
    char *text, *at;

    for (uint32_t i = 0; i < count; i++)
        bytes += r->rules[i].match ? strlen(r->rules[i].match) + 8 : 16;
    text = malloc(bytes);
    if (!text)
        return NULL;
    at = text + sprintf(text, "(%s) and (", r->job.filter);
    for (uint32_t i = 0; i < count; i++) {
        if (r->rules[i].disabled)
            continue;
        at += sprintf(at, "%s(%s)", joint,
                      r->rules[i].match ? r->rules[i].match : "true");
        joint = " or ";
    }
    sprintf(at, "%s", joint[0] ? ")" : "false)");
    return text;
}

/* So that the kernel keeps the others to itself. What does not compile as one
 * is left to the rules. */
static int
use_joined_filter(struct request *r)
{
    struct nsp_filter *filter = NULL;
    int result;

    r->filter = join_filters(r);
    if (!r->filter)
        return NSP_NO_MEMORY;
    result = nsp_filter_compile_with(r->filter, NSP_LAYER_NETWORK, &r->filters,
                                     NULL, &filter, NULL);
    nsp_filter_destroy(filter);
    if (result == NSP_OK)
        r->job.filter = r->filter;
    return result == NSP_NO_MEMORY ? result : NSP_OK;
}

/* Also finds what is wrong with the filter as the user wrote it. */
static int
check_filter(struct nsp_cli *cli, const struct request *r)
{
    struct nsp_filter *filter = NULL;
    struct nsp_diag diag;
    int result = nsp_filter_compile_with(r->job.filter, NSP_LAYER_NETWORK,
                                         &r->filters, NULL, &filter, &diag);

    nsp_filter_destroy(filter);
    return result == NSP_OK
               ? NSP_EXIT_OK
               : nsp_cli_fail_at(cli, &diag, "--filter", r->job.filter);
}

static int
take_policy(struct nsp_cli *cli, struct request *r)
{
    struct nsp_capture_job *job = &r->job;
    int status =
        nsp_cli_load_policy(cli, r->values[OPT_POLICY], false, &r->policy);

    if (status != NSP_EXIT_OK)
        return status;
    r->filters = r->policy->filter_options;
    status = check_filter(cli, r);
    if (status != NSP_EXIT_OK)
        return status;
    if (copy_rules(r) != NSP_OK || use_joined_filter(r) != NSP_OK)
        return nsp_cli_fail_result(cli, NSP_NO_MEMORY,
                                   &(struct nsp_diag){ .result = NSP_OK });
    job->engine.policy = (struct nsp_policy_spec){
        .rules = r->rules,
        .rule_count = r->policy->spec.rule_count,
        .filters = &r->filters,
    };
    job->file.comment = NULL;
    return NSP_EXIT_OK;
}

/* --- The command ---------------------------------------------------------- */

static int
run(struct nsp_cli *cli, int argc, char *argv[])
{
    struct request r = { .policy = NULL };
    int status = nsp_cli_take_options(cli, argc, argv, take_option, &r);

    if (status == NSP_CLI_EXIT)
        return cli->status;
    status = nsp_cli_check_operands(cli, argc, argv, 0, 0, NULL);
    if (status == NSP_EXIT_OK)
        status = check(cli, &r);
    if (status != NSP_EXIT_OK)
        return status;
    complete(&r);
    status =
        r.values[OPT_POLICY] ? take_policy(cli, &r) : check_filter(cli, &r);
    if (status == NSP_EXIT_OK)
        status = nsp_capture_run(cli, &r.job);
    free(r.filter);
    free(r.rules);
    nsp_policy_file_destroy(r.policy);
    nsp_cli_interfaces_fini();
    return status;
}

const struct nsp_command nsp_command_capture = {
    .name = "capture",
    .summary = "Write packets to capture files, and leave them alone",
    .details =
        "Runs until Ctrl-C, --packets or --for. Traffic goes on as if nobody "
        "looked.\n",
    .examples =
        "  nsp capture -i eth0 --filter 'tcp.DstPort == 443' -w tls.pcapng\n"
        "  nsp capture -w ring.pcapng --rotate-size 100mb --files 10\n"
        "  nsp capture --policy policy.yaml -w - | tshark -r -\n",
    .options = options,
    .run = run,
};
