#include "cli/effect_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/units.h"

#define UNIT_BYTES 32

void
nsp_text_list_add(struct nsp_text_list *list, const char *format, ...)
{
    va_list args;
    int more;

    if (list->used > 0 && list->used + 2 < list->bytes) {
        memcpy(list->text + list->used, ", ", 3);
        list->used += 2;
    }
    va_start(args, format);
    more = vsnprintf(list->text + list->used, list->bytes - list->used, format,
                     args);
    va_end(args);
    list->used += more > 0 ? (size_t)more : 0;
    if (list->used >= list->bytes)
        list->used = list->bytes - 1;
}

/* --- Losses ----------------------------------------------------------------
 */

static void
add_chance(struct nsp_text_list *list, const struct nsp_loss_config *loss)
{
    char share[UNIT_BYTES], correlation[UNIT_BYTES];

    if (loss->chance.ppm == 0)
        return;
    nsp_units_write_percent(share, sizeof share, loss->chance.ppm);
    nsp_units_write_percent(correlation, sizeof correlation,
                            loss->chance.correlation_ppm);
    nsp_text_list_add(list, "loss %s%s%s%s", share,
                      loss->chance.correlation_ppm ? " (correlation " : "",
                      loss->chance.correlation_ppm ? correlation : "",
                      loss->chance.correlation_ppm ? ")" : "");
}

static void
add_loss(struct nsp_text_list *list, const struct nsp_loss_config *loss)
{
    static const char *const models[] = {
        [NSP_LOSS_GILBERT] = "Gilbert-Elliott",
        [NSP_LOSS_FOUR_STATES] = "four states",
        [NSP_LOSS_PATTERN] = "a pattern",
        [NSP_LOSS_CONSECUTIVE] = "losses in a row",
        [NSP_LOSS_TIMED] = "timed",
    };
    char share[UNIT_BYTES];

    switch ((enum nsp_loss_kind)loss->kind) {
    case NSP_LOSS_CHANCE:
        add_chance(list, loss);
        return;
    case NSP_LOSS_BURSTS:
        nsp_text_list_add(
            list, "loss %s in bursts of %.3g",
            nsp_units_write_percent(share, sizeof share, loss->bursts.ppm),
            (double)loss->bursts.burst_milli / 1000);
        return;
    case NSP_LOSS_EVERY:
        nsp_text_list_add(list, "loss of each %u. packet",
                          (unsigned)loss->every_pkts);
        return;
    case NSP_LOSS_FIRST:
        nsp_text_list_add(list, "loss of the first %u packets",
                          (unsigned)loss->first_pkts);
        return;
    default:
        nsp_text_list_add(list, "loss by %s", models[loss->kind]);
    }
}

/* --- Delays ----------------------------------------------------------------
 */

static void
add_delay(struct nsp_text_list *list, const struct nsp_delay_config *delay)
{
    static const char *const kinds[] = {
        [NSP_DELAY_CONSTANT] = "",
        [NSP_DELAY_UNIFORM] = "uniform",
        [NSP_DELAY_NORMAL] = "normal",
        [NSP_DELAY_PARETO] = "pareto",
        [NSP_DELAY_PARETO_NORMAL] = "pareto-normal",
        [NSP_DELAY_LOGNORMAL] = "lognormal",
        [NSP_DELAY_TABLE] = "by a table",
    };
    char mean[UNIT_BYTES], spread[UNIT_BYTES];

    nsp_units_write_time(mean, sizeof mean, delay->mean_ns);
    nsp_units_write_time(spread, sizeof spread, delay->spread_ns);
    if (delay->kind == NSP_DELAY_TRACE)
        nsp_text_list_add(list, "delay by a trace");
    else if (delay->kind == NSP_DELAY_UNIFORM)
        nsp_text_list_add(list, "delay %s +- %s", mean, spread);
    else if (delay->kind != NSP_DELAY_CONSTANT)
        nsp_text_list_add(list, "delay %s, sd %s (%s)", mean, spread,
                          kinds[delay->kind]);
    else if (delay->mean_ns != 0)
        nsp_text_list_add(list, "delay %s", mean);
}

/* --- Both ------------------------------------------------------------------
 */

void
nsp_effect_text_add_arrival(struct nsp_text_list *list,
                            const struct nsp_effects *effects)
{
    add_loss(list, &effects->loss);
}

void
nsp_effect_text_add_departure(struct nsp_text_list *list,
                              const struct nsp_effects *effects)
{
    add_delay(list, &effects->delay);
}
