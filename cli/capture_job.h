#ifndef NSP_CLI_CAPTURE_JOB_H
#define NSP_CLI_CAPTURE_JOB_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/cli.h"
#include "netshaper/capture.h"
#include "netshaper/engine.h"

/* The parts of 'nsp capture': cmd_capture.c turns options into a job,
 * capture_run.c runs it, capture_report.c prints what it does. */
struct nsp_capture_job {
    struct nsp_engine_config engine; /* Its rules capture. */
    struct nsp_capture_config file;
    const char *filter;
    const char *where; /* "any", or the interface's name. */
    uint64_t for_ns;   /* 0: until stopped. */
    uint64_t max_pkts; /* To capture; 0: any number. */
    bool quiet;        /* No live counters. */
};

/* Runs 'job' until its time or number of packets is over, a signal comes, or
 * the output fails or has no reader any more. Returns the exit status. */
int nsp_capture_run(struct nsp_cli *cli, const struct nsp_capture_job *job);

/* One reading of what a job has done. */
struct nsp_capture_counters {
    uint64_t elapsed_ns;
    struct nsp_stats seen;
    struct nsp_capture_totals written;
    uint32_t files;
};

/* Whether reports go to standard error, since packets go to standard output. */
bool nsp_capture_to_stdout(const struct nsp_capture_job *job);

void nsp_capture_report_begin(const struct nsp_cli *cli,
                              const struct nsp_capture_job *job);
void nsp_capture_report_sample(const struct nsp_cli *cli,
                               const struct nsp_capture_job *job,
                               const struct nsp_capture_counters *now);
void nsp_capture_report_end(const struct nsp_cli *cli,
                            const struct nsp_capture_job *job,
                            const struct nsp_capture_counters *now);

#endif /* NSP_CLI_CAPTURE_JOB_H */
