#include "cli/stress.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static const char *const failure_names[] = {
#define NSP_STRESS_NAME(id, name) name,
    NSP_STRESS_FAILURES(NSP_STRESS_NAME)
#undef NSP_STRESS_NAME
};

void
nsp_stress_fail(struct nsp_stress_report *report, enum nsp_stress_failure kind,
                const char *format, ...)
{
    va_list args;

    if (atomic_fetch_add(&report->failures[kind], 1) != 0)
        return;
    va_start(args, format);
    vsnprintf(report->first_failures[kind], sizeof report->first_failures[kind],
              format, args);
    va_end(args);
}

uint64_t
nsp_stress_failure_count(const struct nsp_stress_report *report)
{
    uint64_t count = 0;

    for (int i = 0; i < NSP_STRESS_FAILURE_KINDS; i++)
        count += atomic_load(&report->failures[i]);
    return count;
}

bool
nsp_stress_ok(const struct nsp_stress_report *report)
{
    return nsp_stress_failure_count(report) == 0 && !report->interrupted;
}

/* --- Progress ------------------------------------------------------------ */

#define BAR_COLUMNS 40

void
nsp_stress_progress(uint64_t done, uint64_t all)
{
    char bar[BAR_COLUMNS + 1];
    uint64_t filled = all ? done * BAR_COLUMNS / all : 0;

    if (!isatty(STDERR_FILENO))
        return;
    for (uint64_t i = 0; i < BAR_COLUMNS; i++)
        bar[i] = i < filled ? '#' : '.';
    bar[BAR_COLUMNS] = '\0';
    fprintf(stderr, "\r[%s] %3" PRIu64 " %%", bar, all ? done * 100 / all : 0);
    fflush(stderr);
}

void
nsp_stress_progress_end(void)
{
    if (isatty(STDERR_FILENO))
        fputs("\r\x1b[K", stderr);
}

/* --- Text ---------------------------------------------------------------- */

static double
operations_per_s(const struct nsp_stress_report *report)
{
    return report->seconds > 0
               ? (double)atomic_load(&report->operations) / report->seconds
               : 0;
}

/* How much of what was asked. */
static double
done(const struct nsp_stress_report *report)
{
    return report->has_performance ? report->seconds
                                   : (double)atomic_load(&report->operations);
}

static void
print_resource(const char *name, int64_t before, int64_t after)
{
    if (before < 0 || after < 0)
        printf("  %-14s not known here\n", name);
    else
        printf("  %-14s %" PRId64 " before, %" PRId64 " after\n", name, before,
               after);
}

static void
print_performance(const struct nsp_stress_report *report)
{
    const struct nsp_stress_latency *latency = &report->latency;

    printf("  packets        %.0f a second, %.3f Gbit/s\n", report->pkts_per_s,
           report->bits_per_s / 1e9);
    printf("  latency        p50 %.1f us, p90 %.1f us, p99 %.1f us, p99.9 %.1f "
           "us, max %.1f us of %" PRIu64 " packets\n",
           (double)latency->p50_ns / 1e3, (double)latency->p90_ns / 1e3,
           (double)latency->p99_ns / 1e3, (double)latency->p999_ns / 1e3,
           (double)latency->max_ns / 1e3, latency->samples);
    printf("  allocations    %" PRIu64 " between start and stop\n",
           report->loop_allocations);
}

static void
print_failures(const struct nsp_cli *cli,
               const struct nsp_stress_report *report)
{
    uint64_t count = nsp_stress_failure_count(report);

    printf("  failures       %s%" PRIu64 "%s\n",
           nsp_cli_paint(cli, count ? NSP_PAINT_RED : NSP_PAINT_GREEN), count,
           nsp_cli_paint(cli, NSP_PAINT_PLAIN));
    for (int i = 0; i < NSP_STRESS_FAILURE_KINDS; i++)
        if (atomic_load(&report->failures[i]))
            printf("    %-12s %" PRIu64 ", the first: %s\n", failure_names[i],
                   atomic_load(&report->failures[i]),
                   report->first_failures[i]);
}

static void
print_text(const struct nsp_cli *cli, const struct nsp_stress_report *report)
{
    uint64_t operations = atomic_load(&report->operations);

    printf("%sstress %s on %s%s, seed %" PRIu64 "\n",
           nsp_cli_paint(cli, NSP_PAINT_BOLD), report->mode, report->backend,
           nsp_cli_paint(cli, NSP_PAINT_PLAIN), report->seed);
    printf("  operations     %" PRIu64 " in %.2f s, %.0f a second\n",
           operations, report->seconds, operations_per_s(report));
    if (report->interrupted)
        printf("  %sinterrupted    after %.0f of %" PRIu64 " %s%s\n",
               nsp_cli_paint(cli, NSP_PAINT_RED), done(report), report->asked,
               report->asked_unit, nsp_cli_paint(cli, NSP_PAINT_PLAIN));
    for (uint32_t i = 0; i < report->step_count && operations; i++)
        printf("    %-12s %.1f us\n", report->steps[i].name,
               (double)report->steps[i].total_ns / 1e3 / (double)operations);
    if (report->has_performance)
        print_performance(report);
    print_failures(cli, report);
    print_resource("threads", report->before.threads, report->after.threads);
    print_resource("descriptors", report->before.descriptors,
                   report->after.descriptors);
    print_resource("memory, KiB", report->before.rss_bytes / 1024,
                   report->after.rss_bytes / 1024);
    print_resource("nft tables", report->before.nft_tables,
                   report->after.nft_tables);
    printf("  heap blocks    %" PRIu64 " taken, %" PRIu64 " given back\n",
           atomic_load(&report->heap.allocations),
           atomic_load(&report->heap.releases));
}

/* --- JSON ---------------------------------------------------------------- */

static void
write_known(struct nsp_json *json, const char *name, int64_t value)
{
    if (value < 0)
        nsp_json_null(json, name);
    else
        nsp_json_int(json, name, value);
}

static void
write_resources(struct nsp_json *json, const char *name,
                const struct nsp_stress_resources *resources)
{
    nsp_json_begin_object(json, name);
    write_known(json, "threads", resources->threads);
    write_known(json, "descriptors", resources->descriptors);
    write_known(json, "rss_bytes", resources->rss_bytes);
    write_known(json, "nft_tables", resources->nft_tables);
    nsp_json_end(json);
}

static void
write_performance(struct nsp_json *json, const struct nsp_stress_report *report)
{
    const struct nsp_stress_latency *latency = &report->latency;

    nsp_json_double(json, "pkts_per_s", report->pkts_per_s);
    nsp_json_double(json, "bits_per_s", report->bits_per_s);
    nsp_json_uint(json, "loop_allocations", report->loop_allocations);
    nsp_json_begin_object(json, "latency_ns");
    nsp_json_uint(json, "samples", latency->samples);
    nsp_json_uint(json, "p50", latency->p50_ns);
    nsp_json_uint(json, "p90", latency->p90_ns);
    nsp_json_uint(json, "p99", latency->p99_ns);
    nsp_json_uint(json, "p99_9", latency->p999_ns);
    nsp_json_uint(json, "max", latency->max_ns);
    nsp_json_end(json);
}

static void
write_steps(struct nsp_json *json, const struct nsp_stress_report *report)
{
    uint64_t operations = atomic_load(&report->operations);

    nsp_json_begin_object(json, "step_mean_ns");
    for (uint32_t i = 0; i < report->step_count; i++)
        nsp_json_double(json, report->steps[i].name,
                        operations ? (double)report->steps[i].total_ns /
                                         (double)operations
                                   : 0);
    nsp_json_end(json);
}

static void
print_json(const struct nsp_stress_report *report)
{
    uint64_t failures = nsp_stress_failure_count(report);
    struct nsp_json json;

    nsp_json_init(&json, stdout);
    nsp_json_begin_object(&json, NULL);
    nsp_json_uint(&json, "schema", 1);
    nsp_json_bool(&json, "ok", nsp_stress_ok(report));
    nsp_json_bool(&json, "interrupted", report->interrupted);
    nsp_json_string(&json, "mode", report->mode);
    nsp_json_string(&json, "backend", report->backend);
    nsp_json_uint(&json, "seed", report->seed);
    nsp_json_uint(&json, "asked", report->asked);
    nsp_json_string(&json, "asked_unit", report->asked_unit);
    nsp_json_uint(&json, "operations", atomic_load(&report->operations));
    nsp_json_double(&json, "seconds", report->seconds);
    nsp_json_double(&json, "operations_per_s", operations_per_s(report));
    nsp_json_uint(&json, "failures", failures);
    nsp_json_begin_object(&json, "failures_by_kind");
    for (int i = 0; i < NSP_STRESS_FAILURE_KINDS; i++)
        nsp_json_uint(&json, failure_names[i],
                      atomic_load(&report->failures[i]));
    nsp_json_end(&json);
    nsp_json_begin_object(&json, "first_failure_of_kind");
    for (int i = 0; i < NSP_STRESS_FAILURE_KINDS; i++)
        if (atomic_load(&report->failures[i]))
            nsp_json_string(&json, failure_names[i], report->first_failures[i]);
    nsp_json_end(&json);
    if (report->step_count)
        write_steps(&json, report);
    if (report->has_performance)
        write_performance(&json, report);
    write_resources(&json, "before", &report->before);
    write_resources(&json, "after", &report->after);
    nsp_json_uint(&json, "heap_taken", atomic_load(&report->heap.allocations));
    nsp_json_uint(&json, "heap_returned", atomic_load(&report->heap.releases));
    nsp_json_end(&json);
    nsp_json_finish(&json);
}

void
nsp_stress_print(const struct nsp_cli *cli,
                 const struct nsp_stress_report *report)
{
    if (cli->json)
        print_json(report);
    else
        print_text(cli, report);
}
