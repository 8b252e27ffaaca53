#ifndef NSP_CLI_SERVICE_STATE_H
#define NSP_CLI_SERVICE_STATE_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/control.h"
#include "cli/guard.h"
#include "cli/places.h"
#include "cli/run_events.h"
#include "cli/runner.h"
#include "cli/service.h"

/* One 'nsp run': service.c opens it, waits for what happens and ends it;
 * service_policy.c says which policy is in force, service_report.c how things
 * are. */
struct nsp_service {
    struct nsp_cli *cli;
    const struct nsp_service_job *job;
    struct nsp_policy_file *file;
    struct nsp_runner runner;
    struct nsp_control control;
    struct nsp_run_events events;
    struct nsp_places places;
    int signals, ended; /* Descriptors. */
    int terminal;       /* On which Enter confirms; -1: none. */
    uint64_t began_ns, reloads;
    uint64_t schedule_ns; /* When to look at it next; UINT64_MAX never. */
    /* With --confirm, until the policy in force is confirmed. */
    uint64_t unconfirmed_ns;           /* Taken back then; UINT64_MAX: not. */
    struct nsp_policy_file *confirmed; /* Comes back; NULL: the run ends. */
    bool stopping, not_confirmed;
    uint64_t scenario_began_ns, scenario_ns; /* The same. */
};

/* --- The policy in force (service_policy.c) ------------------------------- */

/* Enables the rules whose schedule says so now. Returns whether any changed. */
bool nsp_service_set_time(struct nsp_service *s);

/* The scenario of the policy, if it has one, begins now. */
void nsp_service_begin_scenario(struct nsp_service *s);

/* Puts in force what schedules and the scenario ask for by now. */
void nsp_service_follow_time(struct nsp_service *s);

/* The policies that a scenario leads to, one after the other. */
struct nsp_service_states {
    struct nsp_policy_file *file;
    uint64_t elapsed_ns, next_ns;
};

/* What to ask before 'file' comes into force: now, and by its scenario. Uses
 * 'states' as long as it is asked, and leaves 'file' as it is now. */
struct nsp_guard nsp_service_guard(const struct nsp_service *s,
                                   struct nsp_policy_file *file,
                                   struct nsp_service_states *states);

/* Reads the file again and puts it in force, for process 'asker': not if it
 * would cut off who sits before that, unless 'goes_on' (category
 * "own-session"). Returns an enum nsp_exit; errors are on standard error, and
 * the first is in 'reterr'. */
int nsp_service_reload(struct nsp_service *s, int asker, bool goes_on,
                       struct nsp_diag *reterr);

/* The policy in force has to be confirmed; 'before' comes back otherwise,
 * unless that has not been confirmed either. NULL: the run ends. Takes 'before'
 * over. */
void nsp_service_await_confirmation(struct nsp_service *s,
                                    struct nsp_policy_file *before);

/* Keeps the policy in force. Returns false if nothing had to be confirmed. */
bool nsp_service_confirm(struct nsp_service *s);

/* Nobody has confirmed in time. Returns false if that cannot be taken back but
 * by ending the run. */
bool nsp_service_take_back(struct nsp_service *s);

/* --- What it says (service_report.c) -------------------------------------- */

/* Says that 'what' has happened. */
void nsp_service_say(const struct nsp_service *s, const char *what);

/* Writes the counters, as JSON or, if asked for, for people. */
void nsp_service_write_status(const struct nsp_service *s, const char *type,
                              FILE *to);
void nsp_service_report(const struct nsp_service *s, const char *type);

#endif /* NSP_CLI_SERVICE_STATE_H */
