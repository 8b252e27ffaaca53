#ifndef NSP_CLI_SHAPE_H
#define NSP_CLI_SHAPE_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/places.h"

/* The parts of 'nsp shape': cmd_shape.c turns options into a job, shape_run.c
 * runs it, shape_report.c prints what it does. */
struct nsp_shape_job {
    struct nsp_engine_config engine; /* With a policy of one rule, or of one for
                                      * each direction. */
    const char *filter;
    const char *where;        /* "forward", or the capture's name. */
    uint64_t for_ns;          /* 0: until stopped. */
    bool quiet;               /* No live counters. */
    bool goes_on;             /* Though it may cut off who starts it. */
    uint64_t confirm_ns;      /* Ends unless confirmed by then; 0: no. */
    struct nsp_places places; /* None for a capture. */
};

/* Runs 'job' until its time is over, its input ends, a signal comes or nobody
 * reads the output. Returns the exit status. */
int nsp_shape_run(struct nsp_cli *cli, struct nsp_shape_job *job);

/* One reading of a job's counters. */
struct nsp_shape_counters {
    uint64_t at_ns;
    struct nsp_stats all;         /* What was taken out of the stack. */
    struct nsp_rule_stats shaped; /* Of those, what the effects applied to. */
};

/* Where a job's reports go, and what was last reported. */
struct nsp_shape_report {
    const struct nsp_cli *cli;
    const struct nsp_shape_job *job;
    FILE *to;    /* Standard output, unless a capture is written there. */
    bool redraw; /* One line, over and over. */
    uint64_t began_ns;
    struct nsp_shape_counters last;
};

void nsp_shape_report_init(struct nsp_shape_report *report,
                           const struct nsp_cli *cli,
                           const struct nsp_shape_job *job, uint64_t now_ns);

/* The engine has started. */
void nsp_shape_report_begin(struct nsp_shape_report *report);

/* Live counters, and their rates since the last time. */
void nsp_shape_report_sample(struct nsp_shape_report *report,
                             const struct nsp_shape_counters *now);

/* The accounting of a run that ended with 'result'. */
void nsp_shape_report_end(struct nsp_shape_report *report,
                          const struct nsp_shape_counters *now, int result);

#endif /* NSP_CLI_SHAPE_H */
