#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/diag_print.h"
#include "cli/effect_text.h"
#include "cli/policy_load.h"
#include "config/profile.h"
#include "config/units.h"

#define UNIT_BYTES 32
#define WAY_BYTES  192

/* --- What a direction does --------------------------------------------------
 */

static void
describe_way(const struct nsp_profile_way *way, char ret[WAY_BYTES])
{
    struct nsp_text_list list = { .text = ret, .bytes = WAY_BYTES };

    ret[0] = '\0';
    nsp_effect_text_add_arrival(&list, &way->effects);
    nsp_effect_text_add_rate(&list, &way->link);
    nsp_effect_text_add_departure(&list, &way->effects);
    if (list.used == 0)
        nsp_text_list_add(&list, "nothing");
}

static void
write_way(struct nsp_json *json, const char *name,
          const struct nsp_profile_way *way)
{
    char text[WAY_BYTES];

    describe_way(way, text);
    nsp_json_begin_object(json, name);
    nsp_json_string(json, "does", text);
    nsp_json_uint(json, "rate_bitps", way->link.rate_bitps);
    nsp_json_uint(json, "delay_ns", way->effects.delay.mean_ns);
    nsp_json_end(json);
}

static void
write_profile(struct nsp_json *json, const char *name,
              const struct nsp_profile *profile)
{
    nsp_json_begin_object(json, name);
    nsp_json_string(json, "name", profile->name);
    nsp_json_string(json, "description", profile->description);
    nsp_json_string(json, "source", profile->source);
    nsp_json_string(json, "note", profile->note);
    nsp_json_bool(json, "verified", profile->verified);
    if (profile->rtt_ns)
        nsp_json_uint(json, "rtt_ns", profile->rtt_ns);
    else
        nsp_json_null(json, "rtt_ns");
    write_way(json, "down", &profile->down);
    write_way(json, "up", &profile->up);
    nsp_json_end(json);
}

/* --- list -------------------------------------------------------------------
 */

/* "RTT 70 ms" or "50 ms one way"; of two, that of both. */
static void
describe_delay(const struct nsp_profile *profile, char *ret, size_t bytes)
{
    uint64_t down_ns = profile->down.effects.delay.mean_ns;
    uint64_t up_ns = profile->up.effects.delay.mean_ns;
    char down[UNIT_BYTES], up[UNIT_BYTES];

    nsp_units_write_time(down, sizeof down, down_ns);
    nsp_units_write_time(up, sizeof up, up_ns);
    if (profile->rtt_ns)
        snprintf(ret, bytes, "RTT %s",
                 nsp_units_write_time(down, sizeof down, profile->rtt_ns));
    else if (down_ns == 0 && up_ns == 0)
        snprintf(ret, bytes, "-");
    else if (down_ns == up_ns)
        snprintf(ret, bytes, "one way %s", down);
    else
        snprintf(ret, bytes, "one way %s/%s", down, up);
}

static void
describe_rate(uint64_t bitps, char ret[UNIT_BYTES])
{
    if (bitps)
        nsp_units_write_rate(ret, UNIT_BYTES, bitps);
    else
        snprintf(ret, UNIT_BYTES, "-");
}

static void
print_line(const struct nsp_profile *profile)
{
    char down[UNIT_BYTES], up[UNIT_BYTES], loss[UNIT_BYTES] = "-", delay[80];
    const struct nsp_loss_config *loses = &profile->down.effects.loss;

    describe_rate(profile->down.link.rate_bitps, down);
    describe_rate(profile->up.link.rate_bitps, up);
    describe_delay(profile, delay, sizeof delay);
    if (loses->kind == NSP_LOSS_CHANCE && loses->chance.ppm)
        nsp_units_write_percent(loss, sizeof loss, loses->chance.ppm);
    printf("%-20s %12s %12s  %-22s %6s  %s%s\n", profile->name, down, up, delay,
           loss, profile->description,
           profile->verified ? "" : " (not verified)");
}

static int
load(struct nsp_cli *cli, const char *name, struct nsp_profile **ret)
{
    struct nsp_complaints complaints = { .errors_only = true };
    int result = nsp_profile_load(name, NULL, ret, &complaints);
    int status = nsp_cli_report_complaints(cli, result, &complaints, false);

    nsp_complaints_fini(&complaints);
    return status;
}

static int
run_list(struct nsp_cli *cli, int argc, char *argv[])
{
    struct nsp_json json;
    const char *name;
    int status;

    if (nsp_cli_take_options(cli, argc, argv, NULL, NULL) == NSP_CLI_EXIT)
        return cli->status;
    status = nsp_cli_check_operands(cli, argc, argv, 0, 0, NULL);
    if (status != NSP_EXIT_OK)
        return status;
    nsp_json_init(&json, stdout);
    if (cli->json)
        nsp_json_begin_array(&json, NULL);
    else
        printf("%-20s %12s %12s  %-22s %6s  %s\n", "NAME", "DOWN", "UP",
               "DELAY", "LOSS", "");
    for (uint32_t i = 0; (name = nsp_profile_name(i)) != NULL; i++) {
        struct nsp_profile *profile = NULL;

        status = load(cli, name, &profile);
        if (status != NSP_EXIT_OK)
            return status;
        if (cli->json)
            write_profile(&json, NULL, profile);
        else
            print_line(profile);
        nsp_profile_destroy(profile);
    }
    if (cli->json)
        nsp_json_finish(&json);
    return NSP_EXIT_OK;
}

static const struct nsp_command list_command = {
    .name = "list",
    .summary = "List the profiles of links that there are",
    .details = "DELAY says whether the source of a profile gives round trips "
               "(RTT), half of which\nis the delay of each direction, or "
               "one-way delays. LOSS is that of each direction.\n",
    .examples = "  nsp profile list\n",
    .run = run_list,
};

/* --- show -------------------------------------------------------------------
 */

static void
print_comment(const char *what, const struct nsp_profile_way *way)
{
    char text[WAY_BYTES];

    describe_way(way, text);
    printf("# %s: %s\n", what, text);
}

/* A file that gives the same, with what it comes to as comments. */
static void
print_profile(const struct nsp_profile *profile)
{
    char rtt[UNIT_BYTES];

    fputs("# profile ", stdout);
    nsp_print_safe(stdout, profile->name);
    fputs("\n", stdout);
    if (!profile->verified)
        puts("# not verified");
    print_comment("down", &profile->down);
    print_comment("up", &profile->up);
    if (profile->rtt_ns)
        printf("# the round trip of %s is split evenly into both directions\n",
               nsp_units_write_time(rtt, sizeof rtt, profile->rtt_ns));
    nsp_profile_print(profile, stdout);
}

static int
run_show(struct nsp_cli *cli, int argc, char *argv[])
{
    struct nsp_profile *profile = NULL;
    struct nsp_json json;
    int status;

    if (nsp_cli_take_options(cli, argc, argv, NULL, NULL) == NSP_CLI_EXIT)
        return cli->status;
    status = nsp_cli_check_operands(cli, argc, argv, 1, 1, "PROFILE");
    if (status == NSP_EXIT_OK)
        status = load(cli, argv[optind], &profile);
    if (status != NSP_EXIT_OK)
        return status;
    nsp_json_init(&json, stdout);
    if (cli->json) {
        write_profile(&json, NULL, profile);
        nsp_json_finish(&json);
    } else {
        print_profile(profile);
    }
    nsp_profile_destroy(profile);
    return NSP_EXIT_OK;
}

static const struct nsp_command show_command = {
    .name = "show",
    .summary = "Show one profile, as a file to begin one's own with",
    .synopsis = "PROFILE",
    .details = "PROFILE is a name of the list, or the path of a file: it has a "
               "'/' in it or ends in\n.yaml.\n",
    .examples = "  nsp profile show lte\n"
                "  nsp profile show lte > my.yaml; nsp shape --on tap "
                "--profile ./my.yaml\n",
    .run = run_show,
};

static const struct nsp_command *const profile_commands[] = {
    &list_command,
    &show_command,
    NULL,
};

const struct nsp_command nsp_command_profile = {
    .name = "profile",
    .summary = "List and show the profiles of links",
    .subcommands = profile_commands,
};
