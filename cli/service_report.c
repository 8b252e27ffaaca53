#include "cli/service_state.h"

#include <inttypes.h>

#include "cli/clock.h"
#include "cli/policy_report.h"

void
nsp_service_say(const struct nsp_service *s, const char *what)
{
    struct nsp_json json;
    char places[128];

    if (s->cli->json) {
        nsp_json_init(&json, stdout);
        nsp_json_begin_object(&json, NULL);
        nsp_json_uint(&json, "schema", 1);
        nsp_json_string(&json, "type", what);
        nsp_json_uint(&json, "rules", s->file->spec.rule_count);
        nsp_json_uint(&json, "elapsed_ns", nsp_cli_now_ns() - s->began_ns);
        nsp_places_json(&s->places, &json);
        nsp_json_finish(&json);
    } else if (!s->job->quiet) {
        printf("nsp: %s: %s, %u rules, %s\n", s->job->policy_path, what,
               s->file->spec.rule_count,
               nsp_places_write(&s->places, places, sizeof places));
        fflush(stdout);
    }
}

void
nsp_service_write_status(const struct nsp_service *s, const char *type,
                         FILE *to)
{
    struct nsp_json json;

    nsp_json_init(&json, to);
    nsp_json_begin_object(&json, NULL);
    nsp_json_uint(&json, "schema", 1);
    nsp_json_string(&json, "type", type);
    nsp_json_bool(&json, "ok", true);
    nsp_json_string(&json, "policy", s->job->policy_path);
    nsp_json_uint(&json, "elapsed_ns", nsp_cli_now_ns() - s->began_ns);
    nsp_json_uint(&json, "reloads", s->reloads);
    nsp_policy_report_json(&json, s->runner.engine);
    nsp_json_uint(&json, "capture_lost_pkts", nsp_run_events_lost(&s->events));
    nsp_json_finish(&json);
}

static void
print_status(const struct nsp_service *s)
{
    uint64_t lost = nsp_run_events_lost(&s->events);

    nsp_policy_report_print(stdout, s->runner.engine);
    if (lost > 0)
        printf("\n  %" PRIu64 " captured packets could not be written\n", lost);
}

void
nsp_service_report(const struct nsp_service *s, const char *type)
{
    if (s->cli->json)
        nsp_service_write_status(s, type, stdout);
    else if (!s->job->quiet)
        print_status(s);
}
