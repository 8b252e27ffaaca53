#include "cli/svg.h"

#include <math.h>

/* In pixels. */
#define WIDTH        900.0
#define ROW_HEIGHT   220.0
#define TOP          40.0 /* The picture's title. */
#define LEFT         70.0
#define RIGHT        20.0
#define PANEL_TOP    30.0 /* The panel's title. */
#define PANEL_BOTTOM 40.0 /* The axis' labels. */
#define PLOT_WIDTH   (WIDTH - LEFT - RIGHT)
#define PLOT_HEIGHT  (ROW_HEIGHT - PANEL_TOP - PANEL_BOTTOM)

#define X_TICKS 10.0
#define Y_TICKS 5.0

static const char *const colours[] = {
    [NSP_SVG_BLUE] = "#1f5fbf",
    [NSP_SVG_GREY] = "#9a9a9a",
    [NSP_SVG_RED] = "#c0392b",
};

static double
x_of(const struct nsp_svg_panel *panel, double x)
{
    return LEFT + x / panel->x_max * PLOT_WIDTH;
}

static double
bottom_of(const struct nsp_svg_panel *panel)
{
    return TOP + panel->row * ROW_HEIGHT + PANEL_TOP + PLOT_HEIGHT;
}

static double
y_of(const struct nsp_svg_panel *panel, double y)
{
    return bottom_of(panel) - y / panel->y_max * PLOT_HEIGHT;
}

void
nsp_svg_begin(FILE *to, const char *title, uint32_t rows)
{
    fprintf(to,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f "
            "%.0f\" font-family=\"sans-serif\" font-size=\"12\" "
            "fill=\"#333\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
            "<text x=\"%.0f\" y=\"26\" font-size=\"16\">",
            WIDTH, TOP + rows * ROW_HEIGHT, LEFT);
    for (; *title; title++) { /* It may be a file's name. */
        if (*title == '<' || *title == '>' || *title == '&')
            fprintf(to, "&#%d;", *title);
        else if ((unsigned char)*title >= ' ')
            fputc(*title, to);
    }
    fputs("</text>\n", to);
}

void
nsp_svg_end(FILE *to)
{
    fputs("</svg>\n", to);
}

/* A distance between grid lines that is 1, 2 or 5 times a power of ten. */
static double
grid_step(double max, double ticks)
{
    double decade = pow(10, floor(log10(max / ticks)));
    double factor = max / ticks / decade;

    return decade * (factor <= 1 ? 1 : factor <= 2 ? 2 : factor <= 5 ? 5 : 10);
}

void
nsp_svg_panel(FILE *to, const struct nsp_svg_panel *panel)
{
    double left = x_of(panel, 0), right = x_of(panel, panel->x_max);
    double bottom = bottom_of(panel), top = y_of(panel, panel->y_max);
    double step = grid_step(panel->y_max, Y_TICKS);

    fprintf(to, "<text x=\"%.0f\" y=\"%.1f\" font-weight=\"bold\">%s</text>\n",
            left, top - 8, panel->title);
    for (int i = 0; i * step <= panel->y_max * 1.0001; i++)
        fprintf(to,
                "<path d=\"M%.1f %.1fH%.1f\" stroke=\"#ddd\"/>"
                "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
                left, y_of(panel, i * step), right, left - 6,
                y_of(panel, i * step) + 4, i * step);
    step = grid_step(panel->x_max, X_TICKS);
    for (int i = 0; i * step <= panel->x_max * 1.0001; i++)
        fprintf(to,
                "<path d=\"M%.1f %.1fV%.1f\" stroke=\"#ddd\"/>"
                "<text x=\"%.1f\" y=\"%.1f\" "
                "text-anchor=\"middle\">%g</text>\n",
                x_of(panel, i * step), bottom, top, x_of(panel, i * step),
                bottom + 16, i * step);
    fprintf(to,
            "<path d=\"M%.1f %.1fV%.1fH%.1f\" fill=\"none\" "
            "stroke=\"#333\"/>\n"
            "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
            left, top, bottom, right, right, bottom + 32, panel->x_label);
}

void
nsp_svg_legend(FILE *to, const struct nsp_svg_panel *panel,
               enum nsp_svg_paint paint, const char *text, uint32_t index)
{
    double x = x_of(panel, panel->x_max) - 110.0 * (index + 1);
    double y = y_of(panel, panel->y_max) - 12;

    fprintf(to,
            "<path d=\"M%.1f %.1fh20\" stroke=\"%s\" stroke-width=\"3\"/>"
            "<text x=\"%.1f\" y=\"%.1f\">%s</text>\n",
            x, y, colours[paint], x + 26, y + 4, text);
}

void
nsp_svg_line(FILE *to, const struct nsp_svg_panel *panel,
             enum nsp_svg_paint paint, const double x[], const double y[],
             uint32_t count)
{
    char command = 'M';

    fputs("<path d=\"", to);
    for (uint32_t i = 0; i < count; i++) {
        if (y[i] < 0) {
            command = 'M';
            continue;
        }
        fprintf(to, "%c%.1f %.1f", command, x_of(panel, x[i]),
                y_of(panel, y[i]));
        /* A point that stands alone is seen as well. */
        if (command == 'M')
            fputs("h.1", to);
        command = 'L';
    }
    fprintf(to,
            "\" fill=\"none\" stroke=\"%s\" stroke-width=\"1.2\" "
            "stroke-linecap=\"round\" stroke-linejoin=\"round\"/>\n",
            colours[paint]);
}

void
nsp_svg_band(FILE *to, const struct nsp_svg_panel *panel,
             enum nsp_svg_paint paint, const double x[], const double low[],
             const double high[], uint32_t count)
{
    fputs("<path d=\"", to);
    for (uint32_t i = 0, end; i < count; i = end) {
        for (end = i; end < count && low[end] >= 0; end++)
            fprintf(to, "%c%.1f %.1f", end == i ? 'M' : 'L',
                    x_of(panel, x[end]), y_of(panel, high[end]));
        for (uint32_t j = end; j > i; j--)
            fprintf(to, "L%.1f %.1f", x_of(panel, x[j - 1]),
                    y_of(panel, low[j - 1]));
        if (end > i)
            fputc('Z', to);
        else
            end = i + 1;
    }
    fprintf(to, "\" fill=\"%s\" fill-opacity=\"0.2\"/>\n", colours[paint]);
}

void
nsp_svg_bars(FILE *to, const struct nsp_svg_panel *panel,
             enum nsp_svg_paint paint, const double x[], const double y[],
             uint32_t count, double width)
{
    fputs("<path d=\"", to);
    for (uint32_t i = 0; i < count; i++)
        if (y[i] > 0)
            fprintf(to, "M%.1f %.1fV%.1fH%.1fV%.1fZ",
                    x_of(panel, x[i] - width / 2), bottom_of(panel),
                    y_of(panel, y[i]), x_of(panel, x[i] + width / 2),
                    bottom_of(panel));
    fprintf(to, "\" fill=\"%s\"/>\n", colours[paint]);
}
