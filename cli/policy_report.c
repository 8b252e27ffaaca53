#include "cli/policy_report.h"

#include <inttypes.h>

static uint64_t
sum_of(const uint64_t counts[NSP_DROP_COUNT])
{
    uint64_t sum = 0;

    for (int i = 0; i < NSP_DROP_COUNT; i++)
        sum += counts[i];
    return sum;
}

/* --- Text ---------------------------------------------------------------- */

static void
print_total(FILE *to, const char *name, uint64_t pkts, uint64_t bytes)
{
    fprintf(to, "  %-20s %12" PRIu64 " %16" PRIu64 " B\n", name, pkts, bytes);
}

static void
print_totals(FILE *to, const struct nsp_stats *stats)
{
    print_total(to, "in", stats->in_pkts, stats->in_bytes);
    print_total(to, "delivered", stats->delivered_pkts, stats->delivered_bytes);
    for (int i = 0; i < NSP_DROP_COUNT; i++) {
        char name[40];

        if (stats->dropped_pkts[i] == 0)
            continue;
        snprintf(name, sizeof name, "dropped: %s",
                 nsp_drop_reason_name((enum nsp_drop_reason)i));
        print_total(to, name, stats->dropped_pkts[i], stats->dropped_bytes[i]);
    }
    print_total(to, "queued", stats->queued_pkts, stats->queued_bytes);
    if (stats->duplicated_pkts > 0)
        print_total(to, "duplicated", stats->duplicated_pkts,
                    stats->duplicated_bytes);
    if (stats->passed_by_pkts > 0)
        fprintf(to, "  %" PRIu64 " passed by besides\n", stats->passed_by_pkts);
    if (stats->kernel_dropped_pkts + stats->kernel_lost_pkts > 0)
        fprintf(to, "  the kernel dropped %" PRIu64 " besides\n",
                stats->kernel_dropped_pkts + stats->kernel_lost_pkts);
    if (stats->events_lost > 0)
        fprintf(to,
                "  %" PRIu64 " packets to log or capture came too fast and are "
                "missing there\n",
                stats->events_lost);
}

static void
print_rules(FILE *to, struct nsp_engine *engine)
{
    struct nsp_rule_stats rule;

    fprintf(to, "\n  %-24s %12s %12s %12s %12s %9s\n", "rule", "hits",
            "decided", "delivered", "dropped", "queued");
    for (uint32_t i = 0; nsp_engine_read_rule_stats(engine, i, &rule) == NSP_OK;
         i++)
        fprintf(to,
                "  %-24s %12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %12" PRIu64
                " %9" PRIu64 "\n",
                rule.name, rule.hit_pkts, rule.in_pkts, rule.delivered_pkts,
                sum_of(rule.dropped_pkts), rule.queued_pkts);
}

static void
print_classes(FILE *to, struct nsp_engine *engine)
{
    struct nsp_class_stats class_;

    for (uint32_t i = 0;
         nsp_engine_read_class_stats(engine, i, &class_) == NSP_OK; i++) {
        if (i == 0)
            fprintf(to, "\n  %-24s %12s %12s %12s %9s\n", "class", "in", "sent",
                    "dropped", "queued");
        fprintf(to,
                "  %-24s %12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %9" PRIu64
                "\n",
                class_.name, class_.in_pkts, class_.sent_pkts,
                class_.dropped_pkts, class_.queued_pkts);
    }
}

void
nsp_policy_report_print(FILE *to, struct nsp_engine *engine)
{
    struct nsp_stats stats;

    if (nsp_engine_read_stats(engine, &stats) != NSP_OK)
        return;
    print_totals(to, &stats);
    print_rules(to, engine);
    print_classes(to, engine);
    fflush(to);
}

/* --- JSON ---------------------------------------------------------------- */

void
nsp_report_count(struct nsp_json *json, const char *name, uint64_t pkts,
                 uint64_t bytes)
{
    nsp_json_begin_object(json, name);
    nsp_json_uint(json, "pkts", pkts);
    nsp_json_uint(json, "bytes", bytes);
    nsp_json_end(json);
}

void
nsp_report_fates(struct nsp_json *json, const struct nsp_stats *stats)
{
    nsp_report_count(json, "in", stats->in_pkts, stats->in_bytes);
    nsp_report_count(json, "delivered", stats->delivered_pkts,
                     stats->delivered_bytes);
    nsp_json_begin_object(json, "dropped");
    for (int i = 0; i < NSP_DROP_COUNT; i++)
        nsp_report_count(json, nsp_drop_reason_name((enum nsp_drop_reason)i),
                         stats->dropped_pkts[i], stats->dropped_bytes[i]);
    nsp_json_end(json);
    nsp_report_count(json, "queued", stats->queued_pkts, stats->queued_bytes);
    nsp_report_count(json, "duplicated", stats->duplicated_pkts,
                     stats->duplicated_bytes);
}

void
nsp_report_rule_fates(struct nsp_json *json, const struct nsp_rule_stats *rule)
{
    nsp_report_count(json, "in", rule->in_pkts, rule->in_bytes);
    nsp_report_count(json, "delivered", rule->delivered_pkts,
                     rule->delivered_bytes);
    nsp_report_count(json, "dropped", sum_of(rule->dropped_pkts),
                     rule->dropped_bytes);
    nsp_report_count(json, "queued", rule->queued_pkts, rule->queued_bytes);
}

static void
write_totals(struct nsp_json *json, const struct nsp_stats *stats)
{
    nsp_report_fates(json, stats);
    nsp_json_uint(json, "kernel_decided_pkts", stats->kernel_decided_pkts);
    nsp_json_uint(json, "passed_by_pkts", stats->passed_by_pkts);
    nsp_json_uint(json, "kernel_dropped_pkts", stats->kernel_dropped_pkts);
    nsp_json_uint(json, "kernel_lost_pkts", stats->kernel_lost_pkts);
    nsp_json_uint(json, "stale_verdict_pkts", stats->stale_verdict_pkts);
    nsp_json_uint(json, "events_lost", stats->events_lost);
}

static void
write_rules(struct nsp_json *json, struct nsp_engine *engine)
{
    struct nsp_rule_stats rule;

    nsp_json_begin_array(json, "rules");
    for (uint32_t i = 0; nsp_engine_read_rule_stats(engine, i, &rule) == NSP_OK;
         i++) {
        nsp_json_begin_object(json, NULL);
        nsp_json_string(json, "name", rule.name);
        nsp_report_count(json, "hit", rule.hit_pkts, rule.hit_bytes);
        nsp_report_rule_fates(json, &rule);
        nsp_json_end(json);
    }
    nsp_json_end(json);
}

static void
write_classes(struct nsp_json *json, struct nsp_engine *engine)
{
    struct nsp_class_stats class_;

    nsp_json_begin_array(json, "classes");
    for (uint32_t i = 0;
         nsp_engine_read_class_stats(engine, i, &class_) == NSP_OK; i++) {
        nsp_json_begin_object(json, NULL);
        nsp_json_string(json, "name", class_.name);
        nsp_json_bool(json, "of_rule", class_.of_rule);
        nsp_report_count(json, "in", class_.in_pkts, class_.in_bytes);
        nsp_report_count(json, "sent", class_.sent_pkts, class_.sent_bytes);
        nsp_report_count(json, "dropped", class_.dropped_pkts,
                         class_.dropped_bytes);
        nsp_report_count(json, "queued", class_.queued_pkts,
                         class_.queued_bytes);
        nsp_json_end(json);
    }
    nsp_json_end(json);
}

void
nsp_policy_report_json(struct nsp_json *json, struct nsp_engine *engine)
{
    struct nsp_stats stats;

    if (nsp_engine_read_stats(engine, &stats) != NSP_OK)
        return;
    write_totals(json, &stats);
    write_rules(json, engine);
    write_classes(json, engine);
}
