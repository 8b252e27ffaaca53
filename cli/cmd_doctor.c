#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "cli/commands.h"
#include "netshaper/engine.h"

enum option { OPT_BACKEND, OPT_COUNT };

static const struct nsp_option options[] = {
    [OPT_BACKEND] = { "backend", "NAME", "ask about one backend only", 0 },
    [OPT_COUNT] = { NULL, NULL, NULL, 0 },
};

/* The backends in the order of the report. */
static const char *const backends[] = { "nfqueue", "tap",      "bridge",
                                        "sniff",   "pcapfile", "memory" };
#define BACKENDS (sizeof backends / sizeof backends[0])

/* The first two together. */
#define HOST "host"
enum { NFQUEUE, TAP };

struct findings {
    const struct nsp_cli *cli;
    struct nsp_json *json; /* With --json only. */
    uint8_t worst;         /* Of the backend being asked. */
    unsigned count;        /* Its items. */
    char cure[160];        /* Printed last. */
};

static const char *
state_name(uint8_t state)
{
    return state == NSP_PROBE_OK         ? "ok"
           : state == NSP_PROBE_DEGRADED ? "degraded"
                                         : "missing";
}

static enum nsp_paint
state_paint(uint8_t state)
{
    return state == NSP_PROBE_OK         ? NSP_PAINT_GREEN
           : state == NSP_PROBE_DEGRADED ? NSP_PAINT_YELLOW
                                         : NSP_PAINT_RED;
}

/* The cure of one missing privilege stands under the first item it cures. */
static void
print_item(struct findings *found, const struct nsp_probe_item *item)
{
    const struct nsp_cli *cli = found->cli;

    printf("  %s%-9s%s %-22s %s\n",
           nsp_cli_paint(cli, state_paint(item->state)),
           state_name(item->state), nsp_cli_paint(cli, NSP_PAINT_PLAIN),
           item->feature, item->detail);
    if (item->cure[0] && strcmp(item->cure, found->cure) != 0)
        printf("  %-9s %-22s cure: %s\n", "", "", item->cure);
    snprintf(found->cure, sizeof found->cure, "%s", item->cure);
}

static void
write_item(struct nsp_json *json, const struct nsp_probe_item *item)
{
    nsp_json_begin_object(json, NULL);
    nsp_json_string(json, "feature", item->feature);
    nsp_json_string(json, "state", state_name(item->state));
    nsp_json_string(json, "detail", item->detail);
    nsp_json_string(json, "cure", item->cure[0] ? item->cure : NULL);
    nsp_json_end(json);
}

static void
take_item(void *context, const struct nsp_probe_item *item)
{
    struct findings *found = context;

    found->count++;
    if (item->state > found->worst)
        found->worst = item->state;
    if (found->json)
        write_item(found->json, item);
    else
        print_item(found, item);
}

/* --- The machine and the user -------------------------------------------- */

static void
report(struct findings *found, const char *feature, uint8_t state,
       const char *detail, const char *cure)
{
    struct nsp_probe_item item = { .feature = feature, .state = state };

    snprintf(item.detail, sizeof item.detail, "%s", detail);
    snprintf(item.cure, sizeof item.cure, "%s", cure);
    take_item(found, &item);
}

static void
report_kernel(struct findings *found)
{
    struct utsname name;
    char detail[160];

    if (uname(&name) < 0)
        return;
    snprintf(detail, sizeof detail, "%.30s %.60s %.30s", name.sysname,
             name.release, name.machine);
    report(found, "kernel", NSP_PROBE_OK, detail, "");
}

static void
report_user(struct findings *found)
{
    char detail[64];

    snprintf(detail, sizeof detail, "uid %ld", (long)geteuid());
    report(found, "user", NSP_PROBE_OK, detail, "");
}

/* Reads a number from /proc/sys; returns 'otherwise' when it is not there. */
static long
read_sysctl(const char *path, long otherwise)
{
    FILE *file = fopen(path, "re");
    long value = otherwise;
    char text[32];

    if (!file)
        return otherwise;
    if (fgets(text, sizeof text, file))
        value = strtol(text, NULL, 10);
    fclose(file);
    return value;
}

static void
report_user_namespaces(struct findings *found)
{
    const char *cure = "";

    if (access("/proc/self/ns/user", F_OK) != 0)
        cure = "use a kernel with CONFIG_USER_NS=y, or be root";
    else if (read_sysctl("/proc/sys/user/max_user_namespaces", 1) == 0)
        cure = "sysctl user.max_user_namespaces=10000";
    else if (read_sysctl("/proc/sys/kernel/unprivileged_userns_clone", 1) == 0)
        cure = "sysctl kernel.unprivileged_userns_clone=1";
    else if (read_sysctl(
                 "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 0))
        cure = "sysctl kernel.apparmor_restrict_unprivileged_userns=0";
    if (cure[0])
        report(found, "user-namespaces", NSP_PROBE_DEGRADED,
               "not for ordinary users: the demo then needs root", cure);
    else
        report(found, "user-namespaces", NSP_PROBE_OK,
               "allowed: the demo needs no root", "");
}

static void
report_timers(struct findings *found)
{
    struct timespec step = { 0, 0 };
    char detail[64];

    clock_getres(CLOCK_MONOTONIC, &step);
    snprintf(detail, sizeof detail, "%ld ns resolution",
             (long)step.tv_sec * 1000000000L + step.tv_nsec);
    if (step.tv_sec == 0 && step.tv_nsec <= 1000)
        report(found, "high-res-timers", NSP_PROBE_OK, detail, "");
    else
        report(found, "high-res-timers", NSP_PROBE_DEGRADED, detail,
               "use a kernel with CONFIG_HIGH_RES_TIMERS=y for exact delays");
}

static void
report_wake_ups(struct findings *found)
{
    static const char device[] = "/dev/cpu_dma_latency";

    if (access(device, W_OK) == 0)
        report(found, "prompt-wake-ups", NSP_PROBE_OK,
               "processors can be kept from deep sleep while packets are held",
               "");
    else if (access(device, F_OK) == 0)
        report(found, "prompt-wake-ups", NSP_PROBE_DEGRADED,
               "delays end as late as idle processors wake", "be root");
    else
        report(found, "prompt-wake-ups", NSP_PROBE_DEGRADED,
               "delays end as late as idle processors wake",
               "use a kernel with CONFIG_CPU_IDLE=y");
}

/* --- The command --------------------------------------------------------- */

static void
begin_group(struct findings *found, const char *name)
{
    found->worst = NSP_PROBE_OK;
    found->count = 0;
    found->cure[0] = '\0';
    if (!found->json) {
        printf("%s%s%s\n", nsp_cli_paint(found->cli, NSP_PAINT_BOLD), name,
               nsp_cli_paint(found->cli, NSP_PAINT_PLAIN));
        return;
    }
    nsp_json_begin_object(found->json, NULL);
    nsp_json_string(found->json, "name", name);
    nsp_json_begin_array(found->json, "items");
}

static void
end_group(struct findings *found)
{
    if (!found->json) {
        if (found->count == 0)
            printf("  %-9s %-22s needs nothing of this machine\n", "ok", "");
        return;
    }
    nsp_json_end(found->json);
    nsp_json_string(found->json, "state", state_name(found->worst));
    nsp_json_end(found->json);
}

static void
report_machine(struct findings *found)
{
    begin_group(found, "machine");
    report_kernel(found);
    report_user(found);
    report_user_namespaces(found);
    report_timers(found);
    report_wake_ups(found);
    end_group(found);
}

/* Reports on a backend; tells whether it works here. */
static bool
report_backend(struct findings *found, const char *name)
{
    begin_group(found, name);
    (void)nsp_probe(name, take_item, found); /* Its name is known. */
    end_group(found);
    return found->worst != NSP_PROBE_MISSING;
}

#define MEND_ABOVE "mend what is missing above"

/* Says which device takes packets where, with what was found of the two. */
static void
report_places(struct findings *found, bool nfqueue, bool tap)
{
    const uint8_t state = nfqueue ? NSP_PROBE_OK : NSP_PROBE_MISSING;
    const char *cure = nfqueue ? "" : MEND_ABOVE;

    begin_group(found, HOST);
    report(found, "input", state, "by nfqueue", cure);
    if (!nfqueue)
        report(found, "output", state, "by nfqueue", cure);
    else if (tap)
        report(found, "output", NSP_PROBE_OK,
               "by nfqueue; where a rule holds packets by tap, and by nfqueue "
               "where interfaces have no Ethernet",
               "");
    else
        report(found, "output", NSP_PROBE_DEGRADED,
               "by nfqueue; rules that hold packets are refused: tap does not "
               "work",
               MEND_ABOVE);
    report(found, "forward", state, "by nfqueue", cure);
    end_group(found);
}

/* What was asked about, and what works of it. */
struct verdict {
    bool asked[BACKENDS], works[BACKENDS];
    bool host; /* Asked about. */
    bool all;  /* What was asked about works; of everything, the live path. */
};

/* Reports on everything, or on 'only'. */
static void
examine(struct findings *found, const char *only, struct verdict *ret)
{
    bool host = only && strcmp(only, HOST) == 0;

    *ret = (struct verdict){ .host = host || !only };
    report_machine(found);
    for (size_t i = 0; i < BACKENDS; i++) {
        bool part = host && (i == NFQUEUE || i == TAP);

        if (only && !part && strcmp(only, backends[i]) != 0)
            continue;
        ret->asked[i] = !host;
        ret->works[i] = report_backend(found, backends[i]);
        if (only && !host)
            ret->all = ret->works[i];
    }
    if (ret->host) {
        report_places(found, ret->works[NFQUEUE], ret->works[TAP]);
        ret->all = ret->works[NFQUEUE];
    }
}

static bool
examine_json(const struct nsp_cli *cli, const char *only)
{
    struct nsp_json json;
    struct findings found = { .cli = cli, .json = &json };
    struct verdict verdict;

    nsp_json_init(&json, stdout);
    nsp_json_begin_object(&json, NULL);
    nsp_json_uint(&json, "schema", 1);
    nsp_json_begin_array(&json, "groups");
    examine(&found, only, &verdict);
    nsp_json_end(&json);
    nsp_json_bool(&json, "ok", verdict.all);
    nsp_json_finish(&json);
    return verdict.all;
}

static void
print_verdict(const char *name, bool works)
{
    printf("%s %s here\n", name, works ? "works" : "does not work");
}

static bool
examine_text(const struct nsp_cli *cli, const char *only)
{
    struct findings found = { .cli = cli };
    struct verdict verdict;

    examine(&found, only, &verdict);
    for (size_t i = 0; i < BACKENDS; i++)
        if (verdict.asked[i])
            print_verdict(backends[i], verdict.works[i]);
    if (verdict.host && verdict.works[NFQUEUE] && !verdict.works[TAP])
        puts(HOST " works here, but for rules that hold what leaves");
    else if (verdict.host)
        print_verdict(HOST, verdict.all);
    return verdict.all;
}

static int
refuse_backend(struct nsp_cli *cli, const char *name)
{
    return nsp_cli_usage(
        cli, "write nfqueue, tap, bridge, sniff, pcapfile, memory or host",
        "--backend: unknown value '%s'", name);
}

static bool
is_backend(const char *name)
{
    for (size_t i = 0; i < BACKENDS; i++)
        if (strcmp(backends[i], name) == 0)
            return true;
    return strcmp(name, HOST) == 0;
}

static int
take_backend(struct nsp_cli *cli, void *context, int option, const char *value)
{
    const char **only = context;

    (void)option;
    if (!is_backend(value))
        return refuse_backend(cli, value);
    *only = value;
    return NSP_EXIT_OK;
}

static int
run(struct nsp_cli *cli, int argc, char *argv[])
{
    const char *only = NULL;
    int status = nsp_cli_take_options(cli, argc, argv, take_backend, &only);

    if (status == NSP_CLI_EXIT)
        return cli->status;
    status = nsp_cli_check_operands(cli, argc, argv, 0, 0, NULL);
    if (status != NSP_EXIT_OK)
        return status;
    if (cli->json ? examine_json(cli, only) : examine_text(cli, only))
        return NSP_EXIT_OK;
    return only ? NSP_EXIT_NOT_POSSIBLE : NSP_EXIT_FAILED;
}

const struct nsp_command nsp_command_doctor = {
    .name = "doctor",
    .summary = "Tell what this machine and user can do, with a cure for each "
               "thing missing",
    .details = "Exit status 0: live shaping works here; 1: it does not; 3: the "
               "backend asked for\nwith --backend does not.\n",
    .examples = "  nsp doctor\n"
                "  sudo nsp doctor --backend nfqueue --json\n",
    .options = options,
    .run = run,
};
