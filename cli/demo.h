#ifndef NSP_CLI_DEMO_H
#define NSP_CLI_DEMO_H
#include <stdbool.h>
#include <stdint.h>

#include "cli/cli.h"
#include "cli/demo_traffic.h"
#include "netshaper/policy.h"
#include "netshaper/stats.h"

/* The parts of 'nsp demo': phases, each a policy that real traffic meets, a
 * chart while they run, and a table of what was asked and what was achieved. */

#define NSP_DEMO_PHASES 5
/* Of all phases; so of one, too. */
#define NSP_DEMO_SAMPLES_MAX   4096
#define NSP_DEMO_SAMPLES_PER_S 10

/* What one phase asks of the engine. */
struct nsp_demo_phase {
    const char *name;
    uint64_t rate_bitps; /* Of the stream; 0 none. */
    uint64_t delay_ns;   /* Of stream and probe, one way. */
    uint32_t loss_ppm;   /* The same. */
};

extern const struct nsp_demo_phase nsp_demo_phases[NSP_DEMO_PHASES];

/* What one phase measured. */
struct nsp_demo_result {
    double rate_bitps;       /* Stream on the wire, from the IP header on. */
    double goodput_bitps;    /* Stream as its reader saw it. */
    uint64_t rtt_ns;         /* Median of the probe. */
    uint64_t control_rtt_ns; /* The same of its controls, which meet no rule. */
    uint32_t probes_sent, probes_lost;
    struct nsp_stats stats; /* The engine's. */
};

/* --- Chart (demo_chart.c) ------------------------------------------------ */

/* One column's worth. */
struct nsp_demo_point {
    uint32_t phase;
    double rate_bitps;
    uint64_t rtt_ns;
    uint32_t probes_sent, probes_lost; /* Of this phase so far. */
};

struct nsp_demo_chart {
    const struct nsp_cli *cli;
    bool live;         /* Redraw in place, else a line each second. */
    bool utf8;         /* Block elements, else plain characters. */
    uint32_t columns;  /* Of the plot. */
    uint32_t expected; /* Points in all. */
    uint32_t count;
    uint32_t lines_drawn;
    struct nsp_demo_point points[NSP_DEMO_SAMPLES_MAX];
};

void nsp_demo_chart_init(struct nsp_demo_chart *chart,
                         const struct nsp_cli *cli, uint32_t expected_points);
void nsp_demo_chart_add(struct nsp_demo_chart *chart,
                        const struct nsp_demo_point *point);
/* Leaves the terminal as it was found, the chart above the cursor. */
void nsp_demo_chart_finish(struct nsp_demo_chart *chart);

/* --- Table (demo_table.c) ------------------------------------------------ */

/* Prints asked, achieved and error, as text or as JSON. Returns whether every
 * row is inside what it allows. */
bool nsp_demo_table_print(const struct nsp_cli *cli,
                          const struct nsp_demo_result results[NSP_DEMO_PHASES],
                          double seconds_per_phase);

#endif /* NSP_CLI_DEMO_H */
