#ifndef NSP_CLI_SERVICE_H
#define NSP_CLI_SERVICE_H
#include <stdbool.h>
#include <stdint.h>

#include "cli/cli.h"
#include "config/policy_file.h"
#include "netshaper/io.h"

/* 'nsp run': an engine that enforces a policy file until it is told to stop.
 *
 *     SIGHUP, 'nsp reload'   reads the file again; on an error the policy in
 *                            force stays
 *     SIGUSR1, 'nsp status'  the counters
 *     SIGINT, SIGTERM        delivers what is held and ends; a second one ends
 *                            at once
 *
 * Rules with a schedule come into force and go by the clock on the wall. */
struct nsp_service_job {
    const char *policy_path;
    const char *control_path; /* NULL: the default; "": none. */
    uint64_t for_ns;          /* 0: no end. */
    uint64_t seed;
    uint32_t workers;
    uint16_t cpus[NSP_IO_QUEUES_MAX];
    uint32_t cpu_count;
    uint64_t confirm_ns; /* Policies are taken back unless confirmed; 0: no. */
    bool goes_on;        /* Though it may cut off who starts it. */
    bool no_offload, fail_closed, busy_poll, deep_idle, quiet;
};

/* Runs it with 'file', which it takes over. Returns the exit status. */
int nsp_service_run(struct nsp_cli *cli, const struct nsp_service_job *job,
                    struct nsp_policy_file *file);

#endif /* NSP_CLI_SERVICE_H */
