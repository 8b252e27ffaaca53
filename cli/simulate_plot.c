#include "cli/simulate.h"
#include "cli/svg.h"

#define NS_PER_S  1e9
#define NS_PER_MS 1e6
#define HEADROOM  1.05 /* Above the highest value. */

/* Bins that a value of the rate is taken over: in single ones it is noise. */
#define RATE_BINS 8u

/* What a panel shows, a value for each bin. */
struct columns {
    double time_s[NSP_TIMELINE_BINS];
    double delay_ms[NSP_TIMELINE_BINS]; /* Mean; -1: no packet came. */
    double delay_low_ms[NSP_TIMELINE_BINS], delay_high_ms[NSP_TIMELINE_BINS];
    double rate_time_s[NSP_TIMELINE_BINS / RATE_BINS];
    double in_mbitps[NSP_TIMELINE_BINS / RATE_BINS];
    double out_mbitps[NSP_TIMELINE_BINS / RATE_BINS];
    uint32_t rates;
    double span_s, most_ms, most_mbitps;
};

static double
larger(double a, double b)
{
    return a > b ? a : b;
}

static void
fill_rates(const struct nsp_timeline *timeline, struct columns *ret)
{
    double width_s = (double)timeline->width_ns / NS_PER_S;

    ret->rates = 0;
    ret->most_mbitps = 0;
    for (uint32_t i = 0; i < timeline->used; i += RATE_BINS) {
        uint32_t bins = timeline->used - i, n = ret->rates++;
        uint64_t in_bytes = 0, out_bytes = 0;

        if (bins > RATE_BINS)
            bins = RATE_BINS;
        for (uint32_t j = i; j < i + bins; j++) {
            in_bytes += timeline->bins[j].in_bytes;
            out_bytes += timeline->bins[j].out_bytes;
        }
        ret->rate_time_s[n] = (i + bins / 2.0) * width_s;
        ret->in_mbitps[n] = 8e-6 * (double)in_bytes / (bins * width_s);
        ret->out_mbitps[n] = 8e-6 * (double)out_bytes / (bins * width_s);
        ret->most_mbitps = larger(
            ret->most_mbitps, larger(ret->in_mbitps[n], ret->out_mbitps[n]));
    }
    ret->most_mbitps = ret->most_mbitps > 0 ? HEADROOM * ret->most_mbitps : 1;
}

static void
fill(const struct nsp_timeline *timeline, struct columns *ret)
{
    double width_s = (double)timeline->width_ns / NS_PER_S;

    ret->span_s = width_s * (timeline->used ? timeline->used : 1);
    ret->most_ms = 0;
    for (uint32_t i = 0; i < timeline->used; i++) {
        const struct nsp_timeline_bin *bin = &timeline->bins[i];
        double pkts = (double)bin->delivered_pkts;

        ret->time_s[i] = (i + 0.5) * width_s;
        ret->delay_ms[i] = ret->delay_low_ms[i] = ret->delay_high_ms[i] = -1;
        if (pkts > 0) {
            ret->delay_ms[i] = (double)bin->delay_sum_ns / pkts / NS_PER_MS;
            ret->delay_low_ms[i] = (double)bin->delay_min_ns / NS_PER_MS;
            ret->delay_high_ms[i] = (double)bin->delay_max_ns / NS_PER_MS;
        }
        ret->most_ms = larger(ret->most_ms, ret->delay_high_ms[i]);
    }
    ret->most_ms = ret->most_ms > 0 ? HEADROOM * ret->most_ms : 1;
    fill_rates(timeline, ret);
}

static void
draw_delay(FILE *to, const struct columns *columns, uint32_t count)
{
    const struct nsp_svg_panel panel = {
        .title = "Delay (ms)",
        .x_label = "time of arrival (s)",
        .x_max = columns->span_s,
        .y_max = columns->most_ms,
        .row = 0,
    };

    nsp_svg_panel(to, &panel);
    nsp_svg_legend(to, &panel, NSP_SVG_BLUE, "mean, range", 0);
    nsp_svg_band(to, &panel, NSP_SVG_BLUE, columns->time_s,
                 columns->delay_low_ms, columns->delay_high_ms, count);
    nsp_svg_line(to, &panel, NSP_SVG_BLUE, columns->time_s, columns->delay_ms,
                 count);
}

static void
draw_rate(FILE *to, const struct columns *columns)
{
    const struct nsp_svg_panel panel = {
        .title = "Rate of IP packets (Mbit/s)",
        .x_label = "time (s)",
        .x_max = columns->span_s,
        .y_max = columns->most_mbitps,
        .row = 1,
    };

    nsp_svg_panel(to, &panel);
    nsp_svg_legend(to, &panel, NSP_SVG_GREY, "came", 1);
    nsp_svg_legend(to, &panel, NSP_SVG_BLUE, "delivered", 0);
    nsp_svg_line(to, &panel, NSP_SVG_GREY, columns->rate_time_s,
                 columns->in_mbitps, columns->rates);
    nsp_svg_line(to, &panel, NSP_SVG_BLUE, columns->rate_time_s,
                 columns->out_mbitps, columns->rates);
}

static void
draw_runs(FILE *to, const struct nsp_timeline *timeline)
{
    uint64_t runs[NSP_TIMELINE_RUNS];
    double lengths[NSP_TIMELINE_RUNS], counts[NSP_TIMELINE_RUNS];
    struct nsp_svg_panel panel = {
        .title = timeline->no_memory
                     ? "Runs of lost packets: not known, for want of memory"
                     : "Runs of lost packets",
        .x_label = "packets lost in a row (20: or more)",
        .x_max = NSP_TIMELINE_RUNS + 1,
        .y_max = 1,
        .row = 2,
    };

    nsp_timeline_count_runs(timeline, runs);
    for (uint32_t i = 0; i < NSP_TIMELINE_RUNS; i++) {
        lengths[i] = i + 1;
        counts[i] = (double)runs[i];
        panel.y_max = larger(panel.y_max, HEADROOM * counts[i]);
    }
    nsp_svg_panel(to, &panel);
    if (!timeline->no_memory)
        nsp_svg_bars(to, &panel, NSP_SVG_RED, lengths, counts,
                     NSP_TIMELINE_RUNS, 0.6);
}

void
nsp_simulate_plot(FILE *to, const char *title,
                  const struct nsp_timeline *timeline)
{
    struct columns columns;

    fill(timeline, &columns);
    nsp_svg_begin(to, title, 3);
    draw_delay(to, &columns, timeline->used);
    draw_rate(to, &columns);
    draw_runs(to, timeline);
    nsp_svg_end(to);
}
