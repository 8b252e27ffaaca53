#include "cli/demo.h"

#include <inttypes.h>
#include <stdio.h>

#include "cli/demo_stats.h"
#include "cli/json.h"

/* What a row allows, and why. */
#define RATE_ERROR     0.01    /* Of half a second: 5 ms of a busy machine. */
#define DELAY_ERROR_NS 1000000 /* Of threads that wait for a processor. */
#define LOSS_TAIL      0.0005  /* On each side: 99.9 % of fair draws. */

enum unit { BITPS, NS, PERCENT, PKTS };

static const char *const unit_names[] = { "bit/s", "ns", "%", "packets" };

struct row {
    uint32_t phase;
    const char *quantity;
    enum unit unit;
    double asked, achieved;
    bool shown_only;  /* Not judged. */
    double low, high; /* What is allowed of 'achieved', if it is judged. */
};

#define ROWS_MAX 16

struct table {
    struct row rows[ROWS_MAX];
    uint32_t count;
};

static bool
row_ok(const struct row *row)
{
    return row->shown_only ||
           (row->achieved >= row->low && row->achieved <= row->high);
}

/* --- Rows ---------------------------------------------------------------- */

static void
add_rate(struct table *table, uint32_t phase,
         const struct nsp_demo_result results[])
{
    double asked = (double)nsp_demo_phases[phase].rate_bitps;

    table->rows[table->count++] = (struct row){
        .phase = phase,
        .quantity = "TCP rate",
        .unit = BITPS,
        .asked = asked,
        .achieved = results[phase].rate_bitps,
        .low = asked * (1 - RATE_ERROR),
        .high = asked * (1 + RATE_ERROR),
    };
}

/* Against the controls, which met the same machine in the same moments. */
static void
add_delay(struct table *table, uint32_t phase,
          const struct nsp_demo_result results[])
{
    const struct nsp_demo_result *result = &results[phase];
    double asked = (double)nsp_demo_phases[phase].delay_ns;

    table->rows[table->count++] = (struct row){
        .phase = phase,
        .quantity = "delay added",
        .unit = NS,
        .asked = asked,
        .achieved = (double)result->rtt_ns - (double)result->control_rtt_ns,
        .low = asked - DELAY_ERROR_NS,
        .high = asked + DELAY_ERROR_NS,
    };
}

static void
add_loss(struct table *table, uint32_t phase,
         const struct nsp_demo_result results[])
{
    const struct nsp_demo_result *result = &results[phase];
    double asked = nsp_demo_phases[phase].loss_ppm / 1e6;
    double sent = result->probes_sent ? result->probes_sent : 1;
    uint32_t low, high;

    nsp_stats_binomial_interval(result->probes_sent, asked, LOSS_TAIL, &low,
                                &high);
    table->rows[table->count++] = (struct row){
        .phase = phase,
        .quantity = "UDP loss",
        .unit = PERCENT,
        .asked = asked * 100,
        .achieved = result->probes_lost / sent * 100,
        .low = low / sent * 100,
        .high = high / sent * 100,
    };
}

static uint64_t
packets_not_delivered(const struct nsp_stats *stats)
{
    return stats->in_pkts - stats->delivered_pkts + stats->kernel_dropped_pkts +
           stats->kernel_lost_pkts;
}

/* Every packet is intercepted, and no fault of the engine's shows. */
static void
add_untouched(struct table *table, uint32_t phase,
              const struct nsp_demo_result results[])
{
    table->rows[table->count++] = (struct row){
        .phase = phase,
        .quantity = "packets lost",
        .unit = PKTS,
        .achieved = (double)packets_not_delivered(&results[phase].stats),
    };
}

/* Unshaped TCP goes as fast as the processors' other work lets it: bounds that
 * hold on every machine would hold for an engine that got stuck, too. */
static void
add_repeat(struct table *table, uint32_t phase, uint32_t base,
           const struct nsp_demo_result results[])
{
    double asked = results[base].rate_bitps;

    table->rows[table->count++] = (struct row){
        .phase = phase,
        .quantity = "TCP as before",
        .unit = BITPS,
        .asked = asked,
        .achieved = results[phase].rate_bitps,
        .shown_only = true,
    };
}

static void
fill_table(struct table *table, const struct nsp_demo_result results[])
{
    table->count = 0;
    for (uint32_t phase = 0; phase < NSP_DEMO_PHASES; phase++) {
        const struct nsp_demo_phase *asks = &nsp_demo_phases[phase];

        /* With loss, TCP itself decides how fast it goes. */
        if (asks->rate_bitps && !asks->loss_ppm)
            add_rate(table, phase, results);
        if (asks->delay_ns)
            add_delay(table, phase, results);
        if (asks->loss_ppm)
            add_loss(table, phase, results);
        if (!asks->rate_bitps)
            add_untouched(table, phase, results);
        if (!asks->rate_bitps && phase > 0)
            add_repeat(table, phase, 0, results);
    }
}

/* --- Text ---------------------------------------------------------------- */

/* How a row's numbers are written: all in one scale, so that they compare. */
struct scale {
    double divisor;
    const char *name;
    int decimals;
};

static struct scale
scale_of(const struct row *row)
{
    switch (row->unit) {
    case BITPS:
        return row->asked >= 1e9 ? (struct scale){ 1e9, "Gbit/s", 2 }
                                 : (struct scale){ 1e6, "Mbit/s", 2 };
    case NS:
        return (struct scale){ 1e6, "ms", 2 };
    case PERCENT:
        return (struct scale){ 1, "%", 2 };
    case PKTS:
        break;
    }
    return (struct scale){ 1, "pkts", 0 };
}

static void
print_row(const struct nsp_cli *cli, const struct row *row)
{
    const struct scale scale = scale_of(row);
    const int decimals = scale.decimals;
    bool ok = row_ok(row);

    printf("%-15s %-13s %8.*f %9.*f %+8.*f  ", nsp_demo_phases[row->phase].name,
           row->quantity, decimals, row->asked / scale.divisor, decimals,
           row->achieved / scale.divisor, decimals,
           (row->achieved - row->asked) / scale.divisor);
    if (row->shown_only) {
        printf("%6s    %-6s %-6s  not judged\n", "", "", scale.name);
        return;
    }
    printf("%6.*f to %-6.*f %-6s  %s%s%s\n", decimals, row->low / scale.divisor,
           decimals, row->high / scale.divisor, scale.name,
           nsp_cli_paint(cli, ok ? NSP_PAINT_GREEN : NSP_PAINT_RED),
           ok ? "ok" : "FAILED", nsp_cli_paint(cli, NSP_PAINT_PLAIN));
}

static void
print_text(const struct nsp_cli *cli, const struct table *table,
           const struct nsp_demo_result results[])
{
    uint64_t intercepted = 0;

    for (uint32_t i = 0; i < NSP_DEMO_PHASES; i++)
        intercepted += results[i].stats.in_pkts;

    printf("\n%s%-15s %-13s %8s %9s %8s  %-16s %-6s%s\n",
           nsp_cli_paint(cli, NSP_PAINT_BOLD), "phase", "measured", "asked",
           "achieved", "error", "      allowed", "",
           nsp_cli_paint(cli, NSP_PAINT_PLAIN));
    for (uint32_t i = 0; i < table->count; i++)
        print_row(cli, &table->rows[i]);
    printf(
        "\n%" PRIu64 " packets intercepted. A rate counts bytes from the IP "
        "header on and is the\nmedian of half-second windows; a delay is the "
        "median round trip less that of control\nprobes between, which meet "
        "no rule; 99.9 %% of fair draws lie inside what is allowed\nof the "
        "loss. How fast unshaped TCP goes, other work decides: it is not "
        "judged.\n",
        intercepted);
}

/* --- JSON ---------------------------------------------------------------- */

static void
print_json_phase(struct nsp_json *json, uint32_t phase,
                 const struct nsp_demo_result *result)
{
    nsp_json_begin_object(json, NULL);
    nsp_json_string(json, "name", nsp_demo_phases[phase].name);
    nsp_json_double(json, "tcp_wire_bitps", result->rate_bitps);
    nsp_json_double(json, "tcp_goodput_bitps", result->goodput_bitps);
    nsp_json_uint(json, "rtt_median_ns", result->rtt_ns);
    nsp_json_uint(json, "control_rtt_median_ns", result->control_rtt_ns);
    nsp_json_uint(json, "probes_sent", result->probes_sent);
    nsp_json_uint(json, "probes_lost", result->probes_lost);
    nsp_json_uint(json, "intercepted_pkts", result->stats.in_pkts);
    nsp_json_uint(json, "delivered_pkts", result->stats.delivered_pkts);
    nsp_json_begin_object(json, "dropped_pkts");
    for (int i = 0; i < NSP_DROP_COUNT; i++)
        nsp_json_uint(json, nsp_drop_reason_name((enum nsp_drop_reason)i),
                      result->stats.dropped_pkts[i]);
    nsp_json_end(json);
    nsp_json_end(json);
}

static void
print_json_row(struct nsp_json *json, const struct row *row)
{
    nsp_json_begin_object(json, NULL);
    nsp_json_string(json, "phase", nsp_demo_phases[row->phase].name);
    nsp_json_string(json, "quantity", row->quantity);
    nsp_json_string(json, "unit", unit_names[row->unit]);
    nsp_json_double(json, "asked", row->asked);
    nsp_json_double(json, "achieved", row->achieved);
    nsp_json_double(json, "error", row->achieved - row->asked);
    nsp_json_bool(json, "judged", !row->shown_only);
    if (!row->shown_only) {
        nsp_json_double(json, "allowed_low", row->low);
        nsp_json_double(json, "allowed_high", row->high);
        nsp_json_bool(json, "ok", row_ok(row));
    }
    nsp_json_end(json);
}

static void
print_json(const struct table *table, const struct nsp_demo_result results[],
           double seconds_per_phase, bool ok)
{
    struct nsp_json json;

    nsp_json_init(&json, stdout);
    nsp_json_begin_object(&json, NULL);
    nsp_json_uint(&json, "schema", 1);
    nsp_json_bool(&json, "ok", ok);
    nsp_json_double(&json, "seconds_per_phase", seconds_per_phase);
    nsp_json_begin_array(&json, "rows");
    for (uint32_t i = 0; i < table->count; i++)
        print_json_row(&json, &table->rows[i]);
    nsp_json_end(&json);
    nsp_json_begin_array(&json, "phases");
    for (uint32_t i = 0; i < NSP_DEMO_PHASES; i++)
        print_json_phase(&json, i, &results[i]);
    nsp_json_end(&json);
    nsp_json_end(&json);
    nsp_json_finish(&json);
}

bool
nsp_demo_table_print(const struct nsp_cli *cli,
                     const struct nsp_demo_result results[NSP_DEMO_PHASES],
                     double seconds_per_phase)
{
    struct table table;
    bool ok = true;

    fill_table(&table, results);
    for (uint32_t i = 0; i < table.count; i++)
        ok = ok && row_ok(&table.rows[i]);
    if (cli->json)
        print_json(&table, results, seconds_per_phase, ok);
    else
        print_text(cli, &table, results);
    return ok;
}
