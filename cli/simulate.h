#ifndef NSP_CLI_SIMULATE_H
#define NSP_CLI_SIMULATE_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/timeline.h"
#include "config/policy_file.h"
#include "netshaper/engine.h"

/* The parts of 'nsp simulate': cmd_simulate.c turns options into a job,
 * simulate_run.c runs it, simulate_fates.c takes note of each packet,
 * simulate_report.c prints the sums, simulate_plot.c draws them. */
struct nsp_simulate_job {
    const char *in_path, *out_path; /* out_path NULL: none. */
    const char *plot_path;          /* NULL: none. */
    uint64_t seed;
    uint8_t direction; /* enum nsp_direction of packets without one. */
    bool lists_drops, quiet;
};

/* Runs 'job' with the policy 'file', whose rules it changes. Returns the exit
 * status. */
int nsp_simulate_run(struct nsp_cli *cli, const struct nsp_simulate_job *job,
                     struct nsp_policy_file *file);

/* --- Packets -------------------------------------------------------------- */

/* "rule=NAME effects=queue,delay,edit delay_us=MICROSECONDS.NNN" */
#define NSP_SIMULATE_NOTE_BYTES 160u

/* What is noted of packets while they leave, by the engine's thread; others
 * look at the atomics meanwhile, at the rest afterwards. */
struct nsp_simulate_notes {
    FILE *drops; /* Where each is listed; NULL: nowhere. */
    bool json;   /* As JSON. */
    bool comments;
    struct nsp_timeline *timeline; /* NULL: none. */

    _Atomic uint64_t pkts, bytes; /* That have left, with what comes before
                                   * each in a pcap file. */
    uint64_t last_ns;             /* The last delivery. */
    char notes[NSP_BURST_MAX][NSP_SIMULATE_NOTE_BYTES];
};

/* An nsp_fates_fn; 'context' is a struct nsp_simulate_notes. */
void nsp_simulate_take_fates(void *context, uint32_t worker,
                             const struct nsp_fate fates[], uint32_t count);

/* --- Results -------------------------------------------------------------- */

struct nsp_simulate_result {
    bool complete;         /* All of the capture was read. */
    uint64_t simulated_ns; /* From the first packet to the last delivery. */
};

void nsp_simulate_report_print(FILE *to, struct nsp_engine *engine,
                               const struct nsp_simulate_result *result);
void nsp_simulate_report_json(FILE *to, struct nsp_engine *engine,
                              const struct nsp_simulate_result *result);

/* Draws delay, rate and runs of losses into 'to'. */
void nsp_simulate_plot(FILE *to, const char *title,
                       const struct nsp_timeline *timeline);

#endif /* NSP_CLI_SIMULATE_H */
