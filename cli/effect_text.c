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
add_chance(struct nsp_text_list *list, const char *what,
           const struct nsp_loss_config *loss)
{
    char share[UNIT_BYTES], correlation[UNIT_BYTES];

    if (loss->chance.ppm == 0)
        return;
    nsp_units_write_percent(share, sizeof share, loss->chance.ppm);
    nsp_units_write_percent(correlation, sizeof correlation,
                            loss->chance.correlation_ppm);
    nsp_text_list_add(list, "%s %s%s%s%s", what, share,
                      loss->chance.correlation_ppm ? " (correlation " : "",
                      loss->chance.correlation_ppm ? correlation : "",
                      loss->chance.correlation_ppm ? ")" : "");
}

static void
add_loss(struct nsp_text_list *list, const char *what,
         const struct nsp_loss_config *loss)
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
        add_chance(list, what, loss);
        return;
    case NSP_LOSS_BURSTS:
        nsp_text_list_add(
            list, "%s %s in bursts of %.3g", what,
            nsp_units_write_percent(share, sizeof share, loss->bursts.ppm),
            (double)loss->bursts.burst_milli / 1000);
        return;
    case NSP_LOSS_EVERY:
        nsp_text_list_add(list, "%s of each %u. packet", what,
                          (unsigned)loss->every_pkts);
        return;
    case NSP_LOSS_FIRST:
        nsp_text_list_add(list, "%s of the first %u packets", what,
                          (unsigned)loss->first_pkts);
        return;
    default:
        nsp_text_list_add(list, "%s by %s", what, models[loss->kind]);
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

/* --- The others ------------------------------------------------------------
 */

static void
add_share(struct nsp_text_list *list, const char *what, uint32_t ppm)
{
    char share[UNIT_BYTES];

    nsp_text_list_add(list, "%s %s", what,
                      nsp_units_write_percent(share, sizeof share, ppm));
}

static void
add_gates(struct nsp_text_list *list, const struct nsp_effects *effects)
{
    char bytes[UNIT_BYTES], time[UNIT_BYTES];

    if (effects->cutoff.after_bytes)
        nsp_text_list_add(list, "cutoff after %s",
                          nsp_units_write_bytes(bytes, sizeof bytes,
                                                effects->cutoff.after_bytes));
    if (effects->cutoff.after_ns)
        nsp_text_list_add(
            list, "cutoff after %s",
            nsp_units_write_time(time, sizeof time, effects->cutoff.after_ns));
    if (effects->flap.count)
        nsp_text_list_add(list, "flap");
    if (effects->mtu.max_bytes)
        nsp_text_list_add(list, "mtu-clamp %u",
                          (unsigned)effects->mtu.max_bytes);
}

static void
add_bytes(struct nsp_text_list *list, const struct nsp_effects *effects)
{
    if (effects->tamper.ppm)
        add_share(list, "tamper", effects->tamper.ppm);
    if (effects->tcp_window.max_bytes)
        nsp_text_list_add(list, "window-clamp %u",
                          (unsigned)effects->tcp_window.max_bytes);
}

static void
add_order(struct nsp_text_list *list, const struct nsp_reorder_config *reorder)
{
    char late[UNIT_BYTES];

    if (reorder->late_ns)
        nsp_text_list_add(
            list, "out-of-order within %s",
            nsp_units_write_time(late, sizeof late, reorder->late_ns));
    else if (reorder->gap)
        nsp_text_list_add(list, "out-of-order with a gap of %u",
                          (unsigned)reorder->gap);
}

/* --- Rates -----------------------------------------------------------------
 */

void
nsp_effect_text_add_rate(struct nsp_text_list *list,
                         const struct nsp_link_rate *link)
{
    char rate[UNIT_BYTES];

    if (link->rate_bitps)
        nsp_text_list_add(
            list, "rate %s",
            nsp_units_write_rate(rate, sizeof rate, link->rate_bitps));
    else if (link->plan)
        nsp_text_list_add(list, "rate by a %s",
                          link->plan->segments ? "schedule" : "trace");
}

/* --- All -------------------------------------------------------------------
 */

void
nsp_effect_text_add_arrival(struct nsp_text_list *list,
                            const struct nsp_effects *effects)
{
    char time[UNIT_BYTES];

    add_gates(list, effects);
    add_loss(list, "syn-drop", &effects->syn_loss);
    add_loss(list, "loss", &effects->loss);
    if (effects->tcp_reset.ppm)
        add_share(list, "tcp-rst", effects->tcp_reset.ppm);
    if (effects->throttle.pkts)
        nsp_text_list_add(
            list, "throttle %llu packets in %s",
            (unsigned long long)effects->throttle.pkts,
            nsp_units_write_time(time, sizeof time, effects->throttle.per_ns));
    if (effects->duplicate.ppm)
        add_share(list, "duplicate", effects->duplicate.ppm);
    add_bytes(list, effects);
}

void
nsp_effect_text_add_departure(struct nsp_text_list *list,
                              const struct nsp_effects *effects)
{
    char time[UNIT_BYTES];

    if (effects->windows.min_ns)
        nsp_text_list_add(
            list, "burst each %s",
            nsp_units_write_time(time, sizeof time, effects->windows.min_ns));
    add_delay(list, &effects->delay);
    if (effects->ack_delay.delay_ns)
        nsp_text_list_add(list, "ack-delay %s",
                          nsp_units_write_time(time, sizeof time,
                                               effects->ack_delay.delay_ns));
    add_order(list, &effects->reorder);
}
