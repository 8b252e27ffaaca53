#ifndef NSP_CLI_SVG_H
#define NSP_CLI_SVG_H
#include <stdint.h>
#include <stdio.h>

/* Charts as an SVG picture (SVG 1.1): panels below one another, each with a
 * title, a grid and two axes. Same values, same bytes. */

struct nsp_svg_panel {
    const char *title;   /* ASCII, without <, > and &. */
    const char *x_label; /* The same. */
    double x_max, y_max; /* Of the axes, which begin at 0; above 0. */
    uint32_t row;        /* From 0. */
};

enum nsp_svg_paint { NSP_SVG_BLUE, NSP_SVG_GREY, NSP_SVG_RED };

void nsp_svg_begin(FILE *to, const char *title, uint32_t rows);
void nsp_svg_end(FILE *to);

/* Draws the grid and the axes. */
void nsp_svg_panel(FILE *to, const struct nsp_svg_panel *panel);

/* Names a line in the panel's upper right corner, number 'index' from the
 * right. */
void nsp_svg_legend(FILE *to, const struct nsp_svg_panel *panel,
                    enum nsp_svg_paint paint, const char *text, uint32_t index);

/* A line through (x[i], y[i]), broken where y[i] is negative. */
void nsp_svg_line(FILE *to, const struct nsp_svg_panel *panel,
                  enum nsp_svg_paint paint, const double x[], const double y[],
                  uint32_t count);

/* The area between the two, broken likewise where 'low' is negative. */
void nsp_svg_band(FILE *to, const struct nsp_svg_panel *panel,
                  enum nsp_svg_paint paint, const double x[],
                  const double low[], const double high[], uint32_t count);

/* A bar from x[i] - width / 2 to x[i] + width / 2 for each. */
void nsp_svg_bars(FILE *to, const struct nsp_svg_panel *panel,
                  enum nsp_svg_paint paint, const double x[], const double y[],
                  uint32_t count, double width);

#endif /* NSP_CLI_SVG_H */
