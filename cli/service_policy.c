#include "cli/service_state.h"

#include <string.h>
#include <time.h>

#include "cli/clock.h"
#include "cli/policy_load.h"

/* The clock on the wall may be set: schedules are looked at this often. */
#define SCHEDULE_S_MAX 30u

/* Of a scenario, what is asked about before it begins: states, and rules in
 * all of them. */
#define STATES_MAX      2000u
#define STATE_RULES_MAX 1000000u

/* --- Schedules ------------------------------------------------------------ */

static bool
set_time(struct nsp_policy_file *file, uint32_t *ret_next_s)
{
    struct nsp_local_time local;
    time_t now = time(NULL);
    struct tm tm;

    localtime_r(&now, &tm);
    local.day = (uint32_t)(tm.tm_wday + 6) % 7;
    local.second = (uint32_t)(tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec) %
                   NSP_DAY_SECONDS;
    return nsp_policy_file_set_time(file, &local, ret_next_s);
}

bool
nsp_service_set_time(struct nsp_service *s)
{
    uint32_t next_s = 0;
    bool changed = set_time(s->file, &next_s);

    s->schedule_ns = UINT64_MAX;
    if (next_s != NSP_SCHEDULE_NEVER) {
        if (next_s > SCHEDULE_S_MAX)
            next_s = SCHEDULE_S_MAX;
        s->schedule_ns = nsp_cli_now_ns() + next_s * NSP_CLI_NS_PER_S;
    }
    return changed;
}

/* --- Scenarios ------------------------------------------------------------ */

/* Makes the policy that of now; a scenario begins with its policy. */
static int
set_elapsed(struct nsp_service *s)
{
    uint64_t elapsed_ns = nsp_cli_now_ns() - s->scenario_began_ns, next_ns;
    int result;

    s->scenario_ns = UINT64_MAX;
    if (!s->file->has_scenario)
        return NSP_OK;
    result = nsp_policy_file_set_elapsed(s->file, elapsed_ns, &next_ns);
    if (next_ns < UINT64_MAX - elapsed_ns - s->scenario_began_ns)
        s->scenario_ns = s->scenario_began_ns + elapsed_ns + next_ns;
    nsp_service_set_time(s); /* It said which rules are enabled. */
    return result;
}

void
nsp_service_begin_scenario(struct nsp_service *s)
{
    s->scenario_began_ns = nsp_cli_now_ns();
    (void)set_elapsed(s); /* At its beginning it is as it was read. */
}

/* --- Both ----------------------------------------------------------------- */

void
nsp_service_follow_time(struct nsp_service *s)
{
    bool of_scenario = nsp_cli_now_ns() >= s->scenario_ns;
    bool of_schedule =
        nsp_cli_now_ns() >= s->schedule_ns && nsp_service_set_time(s);
    struct nsp_diag diag = { .text = "the scenario leads to a policy that is "
                                     "not possible; the one in force stays" };
    int result = NSP_OK;

    if (!of_scenario && !of_schedule)
        return;
    if (of_scenario)
        result = set_elapsed(s);
    if (result == NSP_OK)
        result = nsp_engine_set_policy(s->runner.engine, &s->file->spec, &diag);
    if (result != NSP_OK)
        fprintf(stderr, "nsp: warning: %s\n", diag.text);
    else if (of_schedule)
        nsp_service_say(s, "schedule");
}

/* --- Reloading ------------------------------------------------------------ */

/* Puts 'file' in the place of the present one, which the caller then owns.
 * Returns NSP_OK, or what refused it; the present one then stays. */
static int
replace_policy(struct nsp_service *s, struct nsp_policy_file *file,
               struct nsp_diag *reterr)
{
    struct nsp_policy_file *before = s->file;
    uint64_t began_ns = s->scenario_began_ns;
    int result = nsp_run_events_prepare(&s->events, file, reterr);

    if (result != NSP_OK)
        return result;
    s->file = file;
    nsp_service_set_time(s);
    nsp_service_begin_scenario(s);
    result = nsp_engine_set_policy(s->runner.engine, &file->spec, reterr);
    if (result != NSP_OK) {
        nsp_run_events_abandon(&s->events);
        s->file = before;
        nsp_service_set_time(s);
        s->scenario_began_ns = began_ns;
        (void)set_elapsed(s);
        return result;
    }
    nsp_run_events_adopt(&s->events, s->runner.engine);
    return NSP_OK;
}

static bool
same_bridge(const struct nsp_policy_file *a, const struct nsp_policy_file *b)
{
    if (!a->bridge[0] || !b->bridge[0])
        return a->bridge[0] == b->bridge[0];
    return strcmp(a->bridge[0], b->bridge[0]) == 0 &&
           strcmp(a->bridge[1], b->bridge[1]) == 0;
}

static bool
same_taps(const struct nsp_policy_file *a, const struct nsp_policy_file *b)
{
    bool same = a->tap == b->tap && a->interface_count == b->interface_count;

    for (uint32_t i = 0; same && i < a->interface_count; i++)
        same = strcmp(a->interfaces[i], b->interfaces[i]) == 0;
    return same;
}

/* --- Confirming ----------------------------------------------------------- */

void
nsp_service_await_confirmation(struct nsp_service *s,
                               struct nsp_policy_file *before)
{
    bool waits = s->unconfirmed_ns != UINT64_MAX;

    if (s->job->confirm_ns == 0 || (waits && before)) {
        nsp_policy_file_destroy(before);
    } else {
        s->confirmed = before;
    }
    if (s->job->confirm_ns == 0)
        return;
    s->unconfirmed_ns = nsp_cli_now_ns() + s->job->confirm_ns;
    nsp_service_say(s, "unconfirmed");
    if (!s->cli->json && !s->job->quiet)
        printf("nsp: 'nsp confirm'%s keeps it, %s otherwise\n",
               s->terminal >= 0 ? " or Enter" : "",
               s->confirmed ? "the policy before comes back" : "this ends");
    fflush(stdout);
}

bool
nsp_service_confirm(struct nsp_service *s)
{
    if (s->unconfirmed_ns == UINT64_MAX)
        return false;
    s->unconfirmed_ns = UINT64_MAX;
    s->confirmed = nsp_policy_file_destroy(s->confirmed);
    nsp_service_say(s, "confirmed");
    return true;
}

bool
nsp_service_take_back(struct nsp_service *s)
{
    struct nsp_policy_file *dismissed = s->file;
    struct nsp_diag diag;

    s->unconfirmed_ns = UINT64_MAX;
    if (s->confirmed && replace_policy(s, s->confirmed, &diag) == NSP_OK) {
        s->confirmed = NULL;
        nsp_policy_file_destroy(dismissed);
        fputs(
            "nsp: warning: not confirmed in time: the policy before is back\n",
            stderr);
        nsp_service_say(s, "rolled-back");
        return true;
    }
    return false;
}

/* --- Reading the file again ----------------------------------------------- */

static bool
set_state(void *context, uint32_t index)
{
    struct nsp_service_states *at = context;
    struct nsp_policy_file *file = at->file;
    uint32_t next_s, most = STATE_RULES_MAX / (file->spec.rule_count + 1);

    if (index >= STATES_MAX || index > most)
        return false;
    if (index == 0)
        at->elapsed_ns = 0;
    else if (at->next_ns == NSP_SCENARIO_NEVER)
        return false;
    else
        at->elapsed_ns += at->next_ns;
    if (nsp_policy_file_set_elapsed(file, at->elapsed_ns, &at->next_ns) !=
        NSP_OK)
        return false;
    (void)set_time(file, &next_s); /* It said which rules are enabled. */
    return true;
}

struct nsp_guard
nsp_service_guard(const struct nsp_service *s, struct nsp_policy_file *file,
                  struct nsp_service_states *states)
{
    *states = (struct nsp_service_states){ .file = file };
    return (struct nsp_guard){
        .spec = &file->spec,
        .filters = file->filters,
        .hooks = file->hooks,
        .taken = file->interfaces,
        .taken_count = file->tap ? file->interface_count : 0,
        .set_state = file->has_scenario ? set_state : NULL,
        .context = states,
        .goes_on = s->job->goes_on,
        .comes_back = s->job->confirm_ns != 0,
    };
}

/* Whether 'file' would cut off who sits before 'asker', and nothing would
 * take that back. */
static bool
cuts_off(struct nsp_service *s, struct nsp_policy_file *file, int asker,
         struct nsp_diag *reterr)
{
    struct nsp_service_states states;
    struct nsp_guard guard = nsp_service_guard(s, file, &states);
    struct nsp_policy_file *before = s->file;
    uint64_t schedule_ns = s->schedule_ns;
    char found[sizeof reterr->text];

    if (guard.goes_on)
        return false;
    s->file = file;
    nsp_service_set_time(s);
    s->file = before;
    s->schedule_ns = schedule_ns;
    if (!nsp_guard_find(&guard, asker, found, sizeof found))
        return false;
    if (guard.comes_back) {
        fprintf(stderr, "nsp: warning: %s\n", found);
        return false;
    }
    *reterr =
        (struct nsp_diag){ .result = NSP_ABORTED, .category = "own-session" };
    memcpy(reterr->text, found, sizeof found);
    return true;
}

int
nsp_service_reload(struct nsp_service *s, int asker, bool goes_on,
                   struct nsp_diag *reterr)
{
    struct nsp_policy_file *file = NULL, *before = s->file;
    struct nsp_cli quiet = *s->cli;
    int result, status;

    quiet.json = false; /* Of the log, not of the document in progress. */
    *reterr = (struct nsp_diag){ .category = "policy" };
    snprintf(reterr->text, sizeof reterr->text,
             "%.100s has errors: 'nsp check' shows them; the policy in force "
             "stays",
             s->job->policy_path);
    status = nsp_cli_load_policy(&quiet, s->job->policy_path, true, &file);
    if (status != NSP_EXIT_OK)
        return status;
    if (file->hooks != s->file->hooks || !same_bridge(file, s->file) ||
        !same_taps(file, s->file)) {
        nsp_policy_file_destroy(file);
        snprintf(reterr->text, sizeof reterr->text,
                 "'intercept' has changed: start again with it");
        return NSP_EXIT_FAILED;
    }
    if (!goes_on && cuts_off(s, file, asker, reterr)) {
        nsp_policy_file_destroy(file);
        return NSP_EXIT_FAILED;
    }
    result = replace_policy(s, file, reterr);
    if (result != NSP_OK) {
        nsp_policy_file_destroy(file);
        return nsp_cli_exit_status(result);
    }
    s->reloads++;
    nsp_service_say(s, "reloaded");
    nsp_service_await_confirmation(s, before);
    return NSP_EXIT_OK;
}
