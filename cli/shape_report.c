#include "cli/shape.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/diag_print.h"
#include "cli/explain.h"
#include "cli/policy_report.h"
#include "config/units.h"

#define UNIT_TEXT    32
#define LINE_BYTES   256
#define EFFECTS_TEXT 512

static bool
is_terminal(FILE *to)
{
    const char *term = getenv("TERM");

    return isatty(fileno(to)) && term && strcmp(term, "dumb") != 0;
}

void
nsp_shape_report_init(struct nsp_shape_report *report,
                      const struct nsp_cli *cli,
                      const struct nsp_shape_job *job, uint64_t now_ns)
{
    const char *out_path = job->engine.pcapfile.out_path;

    *report = (struct nsp_shape_report){
        .cli = cli,
        .job = job,
        .to = out_path && strcmp(out_path, "-") == 0 ? stderr : stdout,
        .began_ns = now_ns,
        .last = { .at_ns = now_ns },
    };
    report->redraw = !cli->json && is_terminal(report->to);
}

/* --- Text ---------------------------------------------------------------- */

/* What the rules do: "loss 1 %, delay 40 ms", or each direction's. */
static void
print_effects(FILE *to, const struct nsp_policy_spec *policy)
{
    char text[EFFECTS_TEXT];

    for (uint32_t i = 0; i < policy->rule_count; i++) {
        const struct nsp_rule *rule = &policy->rules[i];

        nsp_explain_rule_actions(rule, text, sizeof text);
        fprintf(to, "%s%s%s", i > 0 ? "; " : "",
                policy->rule_count == 1            ? ""
                : rule->apply == NSP_APPLY_INBOUND ? "in: "
                                                   : "out: ",
                strcmp(text, "pass") == 0 ? "count" : text);
    }
}

static void
print_begin(const struct nsp_shape_report *report)
{
    const struct nsp_shape_job *job = report->job;
    char places[LINE_BYTES];

    fputs("nsp: ", report->to);
    print_effects(report->to, &job->engine.policy);
    fputs(" on ", report->to);
    nsp_print_safe(report->to, job->where);
    if (job->places.count > 0)
        fprintf(report->to, " (%s)",
                nsp_places_write(&job->places, places, sizeof places));
    fputs(": ", report->to);
    nsp_print_safe(report->to, job->filter);
    fputs(job->for_ns || job->engine.pcapfile.in_path ? "\n"
                                                      : " (Ctrl-C ends)\n",
          report->to);
}

static uint64_t
sum_drops(const uint64_t dropped[NSP_DROP_COUNT])
{
    uint64_t sum = 0;

    for (int i = 0; i < NSP_DROP_COUNT; i++)
        sum += dropped[i];
    return sum;
}

static uint64_t
rate_bitps(uint64_t bytes, uint64_t ns)
{
    return ns ? (uint64_t)((double)bytes * 8e9 / (double)ns) : 0;
}

/* A line that wraps cannot be redrawn. */
static int
columns_of(FILE *to)
{
    struct winsize size;

    if (ioctl(fileno(to), TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return 80;
    return size.ws_col;
}

/* One line, of what the effects apply to. */
static void
print_sample(const struct nsp_shape_report *report,
             const struct nsp_shape_counters *now)
{
    const struct nsp_rule_stats *last = &report->last.shaped;
    const struct nsp_rule_stats *shaped = &now->shaped;
    uint64_t span_ns = now->at_ns - report->last.at_ns;
    char in[UNIT_TEXT], out[UNIT_TEXT], line[LINE_BYTES];

    nsp_units_write_rate(
        in, sizeof in, rate_bitps(shaped->in_bytes - last->in_bytes, span_ns));
    nsp_units_write_rate(
        out, sizeof out,
        rate_bitps(shaped->delivered_bytes - last->delivered_bytes, span_ns));
    snprintf(line, sizeof line,
             "%4" PRIu64 " s  in %" PRIu64 " (%s)  delivered %" PRIu64
             " (%s)  dropped %" PRIu64 "  queued %" PRIu64,
             (now->at_ns - report->began_ns) / UINT64_C(1000000000),
             shaped->in_pkts, in, shaped->delivered_pkts, out,
             sum_drops(shaped->dropped_pkts), shaped->queued_pkts);
    if (report->redraw)
        fprintf(report->to, "\r%.*s\033[K", columns_of(report->to) - 1, line);
    else
        fprintf(report->to, "%s\n", line);
}

static void
print_row(FILE *to, const char *name, uint64_t pkts, uint64_t bytes,
          uint64_t shaped_pkts)
{
    char unit[UNIT_TEXT];

    fprintf(to, "  %-14s %14" PRIu64 " %14s %16" PRIu64 "\n", name, pkts,
            nsp_units_write_bytes(unit, sizeof unit, bytes), shaped_pkts);
}

/* Rows that are worth a line only when there is something to tell. */
static void
print_unusual(FILE *to, const struct nsp_stats *stats, bool captured)
{
    const struct {
        const char *text;
        uint64_t count;
    } rows[] = {
        { "malformed, of in", stats->malformed_pkts },
        { "modified, of delivered", stats->modified_pkts },
        { "sent besides", stats->injected_pkts },
        { "answers that failed", stats->inject_failed_pkts },
        { "passed by", stats->passed_by_pkts },
        { "dropped by the kernel", stats->kernel_dropped_pkts },
        { "lost by the kernel", stats->kernel_lost_pkts },
        { "device errors", captured ? 0 : stats->device_errors },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].count)
            fprintf(to, "  %-24s %4" PRIu64 "\n", rows[i].text, rows[i].count);
    if (captured && stats->device_errors)
        fprintf(to,
                "  %" PRIu64 " packet%s had timestamps before the packet in "
                "front of them; taken as simultaneous\n",
                stats->device_errors, stats->device_errors == 1 ? "" : "s");
}

static void
print_drops(FILE *to, const struct nsp_shape_counters *now)
{
    const struct nsp_stats *all = &now->all;

    print_row(to, "dropped", sum_drops(all->dropped_pkts),
              sum_drops(all->dropped_bytes),
              sum_drops(now->shaped.dropped_pkts));
    for (int i = 0; i < NSP_DROP_COUNT; i++) {
        char name[UNIT_TEXT];

        if (all->dropped_pkts[i] == 0)
            continue;
        snprintf(name, sizeof name, "  %s",
                 nsp_drop_reason_name((enum nsp_drop_reason)i));
        print_row(to, name, all->dropped_pkts[i], all->dropped_bytes[i],
                  now->shaped.dropped_pkts[i]);
    }
}

static void
print_end(const struct nsp_shape_report *report,
          const struct nsp_shape_counters *now, int result)
{
    const struct nsp_stats *all = &now->all;
    const struct nsp_rule_stats *shaped = &now->shaped;
    FILE *to = report->to;
    bool captured = report->job->engine.pcapfile.in_path != NULL;
    char time[UNIT_TEXT];

    if (report->redraw)
        fputs("\r\033[K", to);
    nsp_units_write_time(time, sizeof time, now->at_ns - report->began_ns);
    fprintf(to, "nsp: %s after %s\n\n  %-14s %14s %14s %16s\n",
            result == NSP_STOPPED ? "stopped"
            : result == NSP_OK    ? "end of input"
                                  : "cut short by an error",
            time, "", "packets", "bytes", "shaped packets");
    print_row(to, "in", all->in_pkts, all->in_bytes, shaped->in_pkts);
    if (all->duplicated_pkts > 0)
        print_row(to, "duplicated", all->duplicated_pkts, all->duplicated_bytes,
                  all->duplicated_pkts);
    print_row(to, "delivered", all->delivered_pkts, all->delivered_bytes,
              shaped->delivered_pkts);
    print_drops(to, now);
    print_row(to, "queued", all->queued_pkts, all->queued_bytes,
              shaped->queued_pkts);
    print_unusual(to, all, captured);
    if (report->job->engine.policy.rule_count > 1 && all->in_pkts > 0 &&
        shaped->in_pkts == 0)
        fputs("warning: no packet has one of the two directions: name one with "
              "--direction, or give both the same\n",
              to);
    if (all->stale_verdict_pkts)
        fprintf(to,
                "warning: %" PRIu64
                " of the packets delivered or dropped were flushed by the "
                "kernel first: an interface went down or was removed, or a "
                "netfilter hook was unregistered\n",
                all->stale_verdict_pkts);
}

/* --- JSON ---------------------------------------------------------------- */

static void
begin_json(const struct nsp_shape_report *report, struct nsp_json *json,
           const char *type)
{
    nsp_json_init(json, report->to);
    nsp_json_begin_object(json, NULL);
    nsp_json_uint(json, "schema", 1);
    nsp_json_string(json, "type", type);
}

static void
write_rules(struct nsp_json *json, const struct nsp_policy_spec *policy)
{
    char text[EFFECTS_TEXT];

    nsp_json_begin_array(json, "rules");
    for (uint32_t i = 0; i < policy->rule_count; i++) {
        const struct nsp_rule *rule = &policy->rules[i];

        nsp_explain_rule_actions(rule, text, sizeof text);
        nsp_json_begin_object(json, NULL);
        nsp_json_string(json, "name", rule->name);
        nsp_json_string(json, "does", text);
        nsp_json_uint(json, "rate_bitps", rule->link.rate_bitps);
        nsp_json_uint(json, "delay_ns", rule->effects.delay.mean_ns);
        nsp_json_end(json);
    }
    nsp_json_end(json);
}

static void
write_begin(const struct nsp_shape_report *report)
{
    const struct nsp_shape_job *job = report->job;
    struct nsp_json json;

    begin_json(report, &json, "start");
    nsp_json_string(&json, "backend", job->engine.backend);
    nsp_places_json(&job->places, &json);
    nsp_json_string(&json, "on", job->where);
    nsp_json_string(&json, "filter", job->filter);
    write_rules(&json, &job->engine.policy);
    nsp_json_uint(&json, "seed", job->engine.seed);
    nsp_json_finish(&json);
}

static void
write_stats(struct nsp_json *json, const struct nsp_stats *stats)
{
    nsp_report_fates(json, stats);
    nsp_json_uint(json, "matched_pkts", stats->matched_pkts);
    nsp_json_uint(json, "malformed_pkts", stats->malformed_pkts);
    nsp_json_uint(json, "modified_pkts", stats->modified_pkts);
    nsp_json_uint(json, "injected_pkts", stats->injected_pkts);
    nsp_json_uint(json, "inject_failed_pkts", stats->inject_failed_pkts);
    nsp_json_uint(json, "kernel_decided_pkts", stats->kernel_decided_pkts);
    nsp_json_uint(json, "passed_by_pkts", stats->passed_by_pkts);
    nsp_json_uint(json, "kernel_dropped_pkts", stats->kernel_dropped_pkts);
    nsp_json_uint(json, "kernel_lost_pkts", stats->kernel_lost_pkts);
    nsp_json_uint(json, "stale_verdict_pkts", stats->stale_verdict_pkts);
    nsp_json_uint(json, "device_errors", stats->device_errors);
    nsp_json_uint(json, "wakeups", stats->wakeups);
}

static void
write_shaped(struct nsp_json *json, const struct nsp_rule_stats *shaped)
{
    nsp_json_begin_object(json, "shaped");
    nsp_report_rule_fates(json, shaped);
    nsp_json_end(json);
}

static void
write_sample(const struct nsp_shape_report *report,
             const struct nsp_shape_counters *now)
{
    struct nsp_json json;

    begin_json(report, &json, "sample");
    nsp_json_uint(&json, "elapsed_ns", now->at_ns - report->began_ns);
    write_stats(&json, &now->all);
    write_shaped(&json, &now->shaped);
    nsp_json_finish(&json);
}

static void
write_end(const struct nsp_shape_report *report,
          const struct nsp_shape_counters *now, int result)
{
    struct nsp_json json;

    begin_json(report, &json, "end");
    nsp_json_bool(&json, "ok", result >= 0);
    nsp_json_string(&json, "result", nsp_result_name(result));
    nsp_json_uint(&json, "elapsed_ns", now->at_ns - report->began_ns);
    write_stats(&json, &now->all);
    write_shaped(&json, &now->shaped);
    nsp_json_finish(&json);
}

/* --- Either -------------------------------------------------------------- */

void
nsp_shape_report_begin(struct nsp_shape_report *report)
{
    if (report->job->quiet)
        return;
    if (report->cli->json)
        write_begin(report);
    else
        print_begin(report);
    fflush(report->to);
}

void
nsp_shape_report_sample(struct nsp_shape_report *report,
                        const struct nsp_shape_counters *now)
{
    if (report->cli->json)
        write_sample(report, now);
    else
        print_sample(report, now);
    fflush(report->to);
    report->last = *now;
}

void
nsp_shape_report_end(struct nsp_shape_report *report,
                     const struct nsp_shape_counters *now, int result)
{
    if (report->cli->json)
        write_end(report, now, result);
    else
        print_end(report, now, result);
    fflush(report->to);
}
