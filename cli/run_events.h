#ifndef NSP_CLI_RUN_EVENTS_H
#define NSP_CLI_RUN_EVENTS_H
#include <stdbool.h>
#include <stdint.h>

#include "config/policy_file.h"
#include "netshaper/engine.h"

/* What rules with 'log' and 'capture' report while 'nsp run' runs: lines on
 * standard output, and capture files. A file is known by its path; it is
 * started when a policy first names it and finished when one no longer does, so
 * a reload does not cut it. One that cannot be written any more ends with a
 * warning on standard error, and the policy goes on; what it does not get is
 * counted.
 *
 * Embedded. Threads  One. */
struct nsp_capture_file;
struct nsp_capture_of_rule;

/* Where the packets of each rule that captures go. */
struct nsp_capture_table {
    struct nsp_capture_of_rule *rules; /* Sorted by name. */
    uint32_t count;
    bool reports; /* Some rule logs or captures. */
};

struct nsp_run_events {
    bool json;  /* Documents instead of lines. */
    bool quiet; /* Neither. */

    /* Zero at first. */
    uint8_t link;       /* enum nsp_link of what is captured. */
    uint64_t lost_pkts; /* That files which have ended did not get. */
    struct nsp_capture_file *files;
    struct nsp_capture_table now, next;
};

/* Starts the capture files of 'file' that are not open. Returns NSP_OK, or
 * NSP_OPEN_FAILED or NSP_NO_MEMORY; nothing has then changed. */
int nsp_run_events_prepare(struct nsp_run_events *events,
                           const struct nsp_policy_file *file,
                           struct nsp_diag *reterr);

/* Once the policy that was prepared is in force: hands out what the one before
 * has reported, and finishes files that are no longer named. 'engine' may be
 * NULL at the start. */
void nsp_run_events_adopt(struct nsp_run_events *events,
                          struct nsp_engine *engine);

/* Instead, when the policy has been refused. */
void nsp_run_events_abandon(struct nsp_run_events *events);

/* Takes what 'engine' has for it. */
void nsp_run_events_take(struct nsp_run_events *events,
                         struct nsp_engine *engine);

/* Packets that rules captured and no file has. */
uint64_t nsp_run_events_lost(const struct nsp_run_events *events);

/* Finishes all files. */
void nsp_run_events_finish(struct nsp_run_events *events);

#endif /* NSP_CLI_RUN_EVENTS_H */
