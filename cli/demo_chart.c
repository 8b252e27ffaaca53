#include "cli/demo.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MARGIN_COLUMNS   11
#define PLOT_COLUMNS_MAX 100
#define LEVELS_PER_ROW   8

/* Both axes are logarithmic: an untouched veth is a thousand times as fast as
 * the limit that follows. */
struct axis {
    const char *title;
    const char *const *labels; /* From the top row down, one per row. */
    uint32_t rows;
    double low_log10, high_log10; /* Bottom and top of the plot. */
    enum nsp_paint paint;
};

static const char *const rate_labels[] = { "10 Gbit/s", "1 Gbit/s",
                                           "100 Mbit/s", "10 Mbit/s" };
static const char *const rtt_labels[] = { "100 ms", "10 ms", "1 ms" };

static const struct axis rate_axis = {
    "TCP throughput", rate_labels, 4, 6.5, 10.5, NSP_PAINT_CYAN
};
static const struct axis rtt_axis = {
    "UDP round-trip time", rtt_labels, 3, 5.5, 8.5, NSP_PAINT_YELLOW
};

static bool
locale_is_utf8(void)
{
    const char *names[] = { getenv("LC_ALL"), getenv("LC_CTYPE"),
                            getenv("LANG") };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i] && names[i][0] != '\0')
            return strstr(names[i], "UTF-8") || strstr(names[i], "utf8");
    return false;
}

static uint32_t
terminal_columns(void)
{
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return 80;
    return size.ws_col;
}

void
nsp_demo_chart_init(struct nsp_demo_chart *chart, const struct nsp_cli *cli,
                    uint32_t expected_points)
{
    const char *term = getenv("TERM");

    memset(chart, 0, sizeof *chart);
    chart->cli = cli;
    chart->expected = expected_points;
    chart->utf8 = locale_is_utf8();
    chart->live = isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0;
    if (chart->live) {
        uint32_t columns = terminal_columns();

        chart->live = columns >= 2 * MARGIN_COLUMNS + NSP_DEMO_PHASES;
        chart->columns = columns - MARGIN_COLUMNS - 2;
        if (chart->columns > PLOT_COLUMNS_MAX)
            chart->columns = PLOT_COLUMNS_MAX;
    }
}

/* --- Live ---------------------------------------------------------------- */

static void
end_line(struct nsp_demo_chart *chart)
{
    fputs("\x1b[K\n", stdout);
    chart->lines_drawn++;
}

/* The points that column 'column' stands for: [*ret_from, *ret_to). */
static void
column_points(const struct nsp_demo_chart *chart, uint32_t column,
              uint32_t *ret_from, uint32_t *ret_to)
{
    *ret_from = (uint32_t)((uint64_t)column * chart->expected / chart->columns);
    *ret_to =
        (uint32_t)((uint64_t)(column + 1) * chart->expected / chart->columns);
    if (*ret_to == *ret_from)
        (*ret_to)++;
    if (*ret_to > chart->count)
        *ret_to = chart->count;
}

static double
column_value(const struct nsp_demo_chart *chart, const struct axis *axis,
             uint32_t column)
{
    uint32_t from, to;
    double sum = 0;

    column_points(chart, column, &from, &to);
    if (from >= to)
        return 0;
    for (uint32_t i = from; i < to; i++)
        sum += axis == &rate_axis ? chart->points[i].rate_bitps
                                  : (double)chart->points[i].rtt_ns;
    return sum / (to - from);
}

/* How much of the cell in 'row' (from the bottom) is filled, 0..8. */
static uint32_t
cell_level(const struct axis *axis, double value, uint32_t row)
{
    double height, levels;

    if (value <= 0)
        return 0;
    height =
        (log10(value) - axis->low_log10) / (axis->high_log10 - axis->low_log10);
    levels = height * axis->rows * LEVELS_PER_ROW - row * LEVELS_PER_ROW;
    /* A value below the axis still leaves a trace. */
    if (row == 0 && levels < 1)
        return 1;
    return levels <= 0                ? 0
           : levels >= LEVELS_PER_ROW ? LEVELS_PER_ROW
                                      : (uint32_t)levels;
}

static const char *
cell_text(const struct nsp_demo_chart *chart, uint32_t level)
{
    static const char *const blocks[] = { " ", "▁", "▂", "▃", "▄",
                                          "▅", "▆", "▇", "█" };
    static const char *const plain[] = { " ", ".", ".", ":", ":",
                                         "+", "+", "#", "#" };

    return chart->utf8 ? blocks[level] : plain[level];
}

static void
draw_plot(struct nsp_demo_chart *chart, const struct axis *axis,
          const char *current)
{
    const struct nsp_cli *cli = chart->cli;

    printf("%s%s%s  %s", nsp_cli_paint(cli, NSP_PAINT_BOLD), axis->title,
           nsp_cli_paint(cli, NSP_PAINT_PLAIN), current);
    end_line(chart);
    for (uint32_t i = 0; i < axis->rows; i++) {
        uint32_t row = axis->rows - 1 - i;

        printf("%*s %s%s", MARGIN_COLUMNS - 1, axis->labels[i],
               nsp_cli_paint(cli, axis->paint), chart->utf8 ? "▏" : "|");
        for (uint32_t column = 0; column < chart->columns; column++)
            fputs(cell_text(
                      chart,
                      cell_level(axis, column_value(chart, axis, column), row)),
                  stdout);
        fputs(nsp_cli_paint(cli, NSP_PAINT_PLAIN), stdout);
        end_line(chart);
    }
}

/* The names of the phases, each below its share of the plot. */
static void
draw_phases(struct nsp_demo_chart *chart, uint32_t current)
{
    uint32_t share = chart->columns / NSP_DEMO_PHASES;

    printf("%*s", MARGIN_COLUMNS + 1, "");
    for (uint32_t i = 0; i < NSP_DEMO_PHASES; i++)
        printf("%s%-*.*s%s",
               nsp_cli_paint(chart->cli,
                             i == current ? NSP_PAINT_BOLD : NSP_PAINT_DIM),
               (int)share, (int)share - 1, nsp_demo_phases[i].name,
               nsp_cli_paint(chart->cli, NSP_PAINT_PLAIN));
    end_line(chart);
}

static void
write_current(const struct nsp_demo_point *point, char *ret_rate, char *ret_rtt,
              size_t bytes)
{
    bool fast = point->rate_bitps >= 1e9;

    snprintf(ret_rate, bytes, "%.2f %s", point->rate_bitps / (fast ? 1e9 : 1e6),
             fast ? "Gbit/s" : "Mbit/s");
    snprintf(ret_rtt, bytes, "%.2f ms, %u of %u probes lost",
             (double)point->rtt_ns / 1e6, point->probes_lost,
             point->probes_sent);
}

static void
redraw(struct nsp_demo_chart *chart)
{
    const struct nsp_demo_point *last = &chart->points[chart->count - 1];
    char rate[64], rtt[64];

    write_current(last, rate, rtt, sizeof rate);
    if (chart->lines_drawn > 0)
        printf("\x1b[%uA", chart->lines_drawn);
    else
        fputs("\x1b[?25l", stdout);
    chart->lines_drawn = 0;
    draw_plot(chart, &rate_axis, rate);
    draw_plot(chart, &rtt_axis, rtt);
    draw_phases(chart, last->phase);
    fflush(stdout);
}

/* --- Both ---------------------------------------------------------------- */

static void
print_line(const struct nsp_demo_chart *chart)
{
    const struct nsp_demo_point *last = &chart->points[chart->count - 1];
    char rate[64], rtt[64];

    write_current(last, rate, rtt, sizeof rate);
    printf("%3u s  %-16s  TCP %14s  UDP round trip %s\n",
           chart->count / NSP_DEMO_SAMPLES_PER_S,
           nsp_demo_phases[last->phase].name, rate, rtt);
    fflush(stdout);
}

void
nsp_demo_chart_add(struct nsp_demo_chart *chart,
                   const struct nsp_demo_point *point)
{
    if (chart->cli->json || chart->count == NSP_DEMO_SAMPLES_MAX)
        return;
    chart->points[chart->count++] = *point;
    if (chart->live)
        redraw(chart);
    else if (chart->count % NSP_DEMO_SAMPLES_PER_S == 0)
        print_line(chart);
}

void
nsp_demo_chart_finish(struct nsp_demo_chart *chart)
{
    if (chart->lines_drawn == 0)
        return;
    fputs("\x1b[?25h", stdout);
    fflush(stdout);
    chart->lines_drawn = 0;
}
