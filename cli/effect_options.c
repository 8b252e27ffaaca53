#include "cli/effect_options.h"

#include <string.h>

#include "config/units.h"

static const char *const names[] = {
    [NSP_EFFECT_RATE] = "--rate",
    [NSP_EFFECT_QUEUE] = "--queue",
    [NSP_EFFECT_QUEUE_DROP] = "--queue-drop",
    [NSP_EFFECT_OVERHEAD] = "--overhead",
    [NSP_EFFECT_DELAY] = "--delay",
    [NSP_EFFECT_LOSS] = "--loss",
    [NSP_EFFECT_DROP] = "--drop",
    [NSP_EFFECT_REJECT] = "--reject",
};

/* --- Single options ------------------------------------------------------ */

/* Reads the value of an option with a unit. */
static int
take_quantity(struct nsp_cli *cli, enum nsp_effect_option option,
              const char *text, struct nsp_rule *rule)
{
    struct nsp_diag diag;
    int result;

    switch (option) {
    case NSP_EFFECT_RATE:
        result = nsp_units_read_rate(text, &rule->link.rate_bitps, &diag);
        break;
    case NSP_EFFECT_QUEUE:
        result = nsp_units_read_queue(text, &rule->link.queue_limit,
                                      &rule->link.queue_unit, &diag);
        break;
    case NSP_EFFECT_DELAY:
        result = nsp_units_read_time(text, &rule->effects.delay.mean_ns, &diag);
        break;
    default:
        result =
            nsp_units_read_percent(text, &rule->effects.loss.chance.ppm, &diag);
        break;
    }
    if (result < 0)
        return nsp_cli_fail_at(cli, &diag, names[option], text);
    return NSP_EXIT_OK;
}

static int
take_queue_drop(struct nsp_cli *cli, const char *text, struct nsp_rule *rule)
{
    bool head = strcmp(text, "head") == 0;

    if (!head && strcmp(text, "tail") != 0)
        return nsp_cli_usage(cli, "write tail or head",
                             "--queue-drop: unknown value '%s'", text);
    rule->link.queue_drop = head ? NSP_QUEUE_DROP_HEAD : NSP_QUEUE_DROP_TAIL;
    return NSP_EXIT_OK;
}

static int
take_overhead(struct nsp_cli *cli, const char *text, struct nsp_rule *rule)
{
    int64_t value = 0;
    int status = nsp_cli_read_int(cli, "--overhead", text, NSP_OVERHEAD_MIN,
                                  NSP_OVERHEAD_MAX, &value);

    rule->link.overhead_bytes = (int32_t)value;
    return status;
}

int
nsp_effect_options_take(struct nsp_cli *cli, struct nsp_effect_options *set,
                        enum nsp_effect_option option, const char *value,
                        struct nsp_rule *rule)
{
    set->values[option] = value;
    switch (option) {
    case NSP_EFFECT_QUEUE_DROP:
        return take_queue_drop(cli, value, rule);
    case NSP_EFFECT_OVERHEAD:
        return take_overhead(cli, value, rule);
    case NSP_EFFECT_DROP:
        rule->action = NSP_ACTION_DROP;
        return NSP_EXIT_OK;
    case NSP_EFFECT_REJECT:
        rule->action = NSP_ACTION_REJECT;
        return NSP_EXIT_OK;
    default:
        return take_quantity(cli, option, value, rule);
    }
}

/* --- Combinations -------------------------------------------------------- */

/* Pairs that make no sense together. */
static const struct {
    enum nsp_effect_option given, with;
    const char *why;
} exclusive[] = {
    { NSP_EFFECT_DROP, NSP_EFFECT_REJECT,
      "a packet is dropped silently or with an answer" },
    { NSP_EFFECT_DROP, NSP_EFFECT_DELAY, "a dropped packet cannot be delayed" },
    { NSP_EFFECT_DROP, NSP_EFFECT_RATE, "dropped packets have no rate" },
    { NSP_EFFECT_DROP, NSP_EFFECT_LOSS,
      "a dropped packet cannot be lost as well" },
    { NSP_EFFECT_REJECT, NSP_EFFECT_DELAY,
      "a rejected packet cannot be delayed" },
    { NSP_EFFECT_REJECT, NSP_EFFECT_RATE, "rejected packets have no rate" },
    { NSP_EFFECT_REJECT, NSP_EFFECT_LOSS,
      "a rejected packet cannot be lost as well" },
};

static const struct {
    enum nsp_effect_option given, needs;
    const char *why;
} dependent[] = {
    { NSP_EFFECT_QUEUE, NSP_EFFECT_RATE, "only a rate makes packets queue" },
    { NSP_EFFECT_QUEUE_DROP, NSP_EFFECT_RATE,
      "only a rate makes packets queue" },
    { NSP_EFFECT_OVERHEAD, NSP_EFFECT_RATE, "only a rate counts bytes" },
};

static int
check_combinations(struct nsp_cli *cli, const struct nsp_effect_options *set)
{
    for (size_t i = 0; i < sizeof exclusive / sizeof exclusive[0]; i++)
        if (set->values[exclusive[i].given] && set->values[exclusive[i].with])
            return nsp_cli_usage(
                cli, exclusive[i].why, "%s and %s exclude each other",
                names[exclusive[i].given], names[exclusive[i].with]);
    for (size_t i = 0; i < sizeof dependent / sizeof dependent[0]; i++)
        if (set->values[dependent[i].given] && !set->values[dependent[i].needs])
            return nsp_cli_usage(cli, dependent[i].why, "%s needs %s",
                                 names[dependent[i].given],
                                 names[dependent[i].needs]);
    return NSP_EXIT_OK;
}

int
nsp_effect_options_check(struct nsp_cli *cli,
                         const struct nsp_effect_options *set,
                         const struct nsp_rule *rule)
{
    const char *const *values = set->values;
    int status = check_combinations(cli, set);

    if (status != NSP_EXIT_OK)
        return status;
    if (values[NSP_EFFECT_RATE] && rule->link.rate_bitps == 0)
        return nsp_cli_usage(cli, "to let nothing through, use --drop",
                             "--rate: a rate of 0 is no rate");
    if (values[NSP_EFFECT_RATE] &&
        (rule->link.rate_bitps < NSP_RATE_BITPS_MIN ||
         rule->link.rate_bitps > NSP_RATE_BITPS_MAX))
        return nsp_cli_usage(cli, "rates go from 8bit to 1tbit",
                             "--rate: %s is out of range",
                             values[NSP_EFFECT_RATE]);
    if (values[NSP_EFFECT_DELAY] && rule->effects.delay.mean_ns == 0)
        return nsp_cli_usage(cli, "leave it out for no delay",
                             "--delay: a delay of 0 does nothing");
    if (rule->effects.delay.mean_ns > NSP_DELAY_NS_MAX)
        return nsp_cli_usage(cli, "delays go up to 1h",
                             "--delay: %s is out of range",
                             values[NSP_EFFECT_DELAY]);
    if (values[NSP_EFFECT_LOSS] && rule->effects.loss.chance.ppm == 0)
        return nsp_cli_usage(cli, "leave it out for no loss",
                             "--loss: a loss of 0%% does nothing");
    return NSP_EXIT_OK;
}
