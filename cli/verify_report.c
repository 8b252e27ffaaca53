#include "cli/verify_report.h"

#include <inttypes.h>
#include <math.h>

static const char *const result_texts[] = {
    [NSP_CHECK_PASS] = "pass",
    [NSP_CHECK_FAIL] = "FAIL",
    [NSP_CHECK_SHOWN] = "",
    [NSP_CHECK_NOT_TESTED] = "not tested",
};

static const char *const result_words[] = {
    [NSP_CHECK_PASS] = "pass",
    [NSP_CHECK_FAIL] = "fail",
    [NSP_CHECK_SHOWN] = "shown",
    [NSP_CHECK_NOT_TESTED] = "not-tested",
};

static const char *const unit_words[] = {
    [NSP_UNIT_NS] = "ns",        [NSP_UNIT_SHARE] = "share",
    [NSP_UNIT_PKTS] = "packets", [NSP_UNIT_BYTES] = "bytes",
    [NSP_UNIT_BITPS] = "bit/s",  [NSP_UNIT_NUMBER] = "number",
};

static const char *
mode_of(const struct nsp_verify_report *r)
{
    return r->live ? "live" : "virtual";
}

/* --- Text ----------------------------------------------------------------- */

struct scale {
    double factor;
    const char *unit;
};

/* The scale in which 'like' is best read. */
static struct scale
scale_of(enum nsp_check_unit unit, double like)
{
    double size = fabs(like);

    switch (unit) {
    case NSP_UNIT_NS:
        return size >= 1e9   ? (struct scale){ 1e-9, "s" }
               : size >= 1e6 ? (struct scale){ 1e-6, "ms" }
               : size >= 1e3 ? (struct scale){ 1e-3, "us" }
                             : (struct scale){ 1, "ns" };
    case NSP_UNIT_SHARE:
        return (struct scale){ 100, "%" };
    case NSP_UNIT_BITPS:
        return size >= 1e9   ? (struct scale){ 1e-9, "Gbit/s" }
               : size >= 1e6 ? (struct scale){ 1e-6, "Mbit/s" }
               : size >= 1e3 ? (struct scale){ 1e-3, "kbit/s" }
                             : (struct scale){ 1, "bit/s" };
    default:
        return (struct scale){ 1, unit == NSP_UNIT_BYTES ? "B" : "" };
    }
}

static void
write_value(char *ret, size_t bytes, double value, struct scale scale)
{
    snprintf(ret, bytes, "%.7g%s%s", value * scale.factor,
             scale.unit[0] ? " " : "", scale.unit);
}

static void
print_check(const struct nsp_cli *cli, const struct nsp_check *check)
{
    struct scale scale =
        scale_of((enum nsp_check_unit)check->unit,
                 fmax(fabs(check->configured), fabs(check->achieved)));
    char configured[40] = "", achieved[40] = "", allowed[64] = "";
    enum nsp_paint paint = check->result == NSP_CHECK_FAIL   ? NSP_PAINT_RED
                           : check->result == NSP_CHECK_PASS ? NSP_PAINT_GREEN
                           : check->result == NSP_CHECK_NOT_TESTED
                               ? NSP_PAINT_YELLOW
                               : NSP_PAINT_PLAIN;

    if (check->result != NSP_CHECK_NOT_TESTED)
        write_value(achieved, sizeof achieved, check->achieved, scale);
    if (check->result == NSP_CHECK_PASS || check->result == NSP_CHECK_FAIL) {
        write_value(configured, sizeof configured, check->configured, scale);
        snprintf(allowed, sizeof allowed, "%.7g..%.7g",
                 check->allowed.low * scale.factor,
                 check->allowed.high * scale.factor);
    }
    printf("  %-15s %-26s %14s %14s  %-24s %s%s%s", check->effect,
           check->quantity, configured, achieved, allowed,
           nsp_cli_paint(cli, paint), result_texts[check->result],
           nsp_cli_paint(cli, NSP_PAINT_PLAIN));
    if (check->result == NSP_CHECK_NOT_TESTED)
        printf(": %s", check->note);
    else if (check->result == NSP_CHECK_FAIL && check->note[0])
        printf(" (%s)", check->note);
    if (check->attempts > 1)
        printf(" [attempt %u]", (unsigned)check->attempts);
    putchar('\n');
}

static void
print_rule(const struct nsp_verify_report *r, uint32_t rule)
{
    const char *packet = r->packets[rule] ? r->packets[rule] : "";
    char name[64];

    printf("%s%s%s%s%s\n", nsp_cli_paint(r->cli, NSP_PAINT_BOLD),
           nsp_verify_source_rule_name(r->source, rule, name),
           nsp_cli_paint(r->cli, NSP_PAINT_PLAIN), packet[0] ? ": " : "",
           packet);
}

static void
print_text(const struct nsp_verify_report *r)
{
    const struct nsp_checks *checks = r->checks;
    uint32_t last = UINT32_MAX;

    printf("  %-15s %-26s %14s %14s  %-24s\n", "effect", "quantity",
           "configured", "achieved", "allowed");
    for (uint32_t i = 0; i < checks->count; i++) {
        if (checks->list[i].rule != last) {
            last = checks->list[i].rule;
            print_rule(r, last);
        }
        print_check(r->cli, &checks->list[i]);
    }
    printf("%u checks passed, %u failed, %u not tested; %s, %" PRIu64
           " packets each, seed %" PRIu64 "\n",
           nsp_checks_count(checks, NSP_CHECK_PASS),
           nsp_checks_count(checks, NSP_CHECK_FAIL),
           nsp_checks_count(checks, NSP_CHECK_NOT_TESTED), mode_of(r), r->pkts,
           r->seed);
}

/* --- JSON ----------------------------------------------------------------- */

static void
write_interval(struct nsp_json *json, const char *name,
               struct nsp_interval interval)
{
    nsp_json_begin_array(json, name);
    nsp_json_double(json, NULL, interval.low);
    nsp_json_double(json, NULL, interval.high);
    nsp_json_end(json);
}

static void
write_check(struct nsp_json *json, const struct nsp_check *check)
{
    bool judged =
        check->result == NSP_CHECK_PASS || check->result == NSP_CHECK_FAIL;

    nsp_json_begin_object(json, NULL);
    nsp_json_string(json, "effect", check->effect);
    nsp_json_string(json, "quantity", check->quantity);
    nsp_json_string(json, "result", result_words[check->result]);
    if (check->result != NSP_CHECK_NOT_TESTED) {
        nsp_json_string(json, "unit", unit_words[check->unit]);
        nsp_json_double(json, "achieved", check->achieved);
    }
    if (judged) {
        nsp_json_double(json, "configured", check->configured);
        write_interval(json, "confidence", check->confidence);
        write_interval(json, "allowed", check->allowed);
        nsp_json_bool(json, "by_chance", check->by_chance);
        nsp_json_uint(json, "attempts", check->attempts);
    }
    if (check->note[0])
        nsp_json_string(json, "note", check->note);
    nsp_json_end(json);
}

static void
write_rules(struct nsp_json *json, const struct nsp_verify_report *r)
{
    const struct nsp_checks *checks = r->checks;

    nsp_json_begin_array(json, "rules");
    for (uint32_t i = 0; i < checks->count;) {
        uint32_t rule = checks->list[i].rule;
        char name[64];

        nsp_json_begin_object(json, NULL);
        nsp_json_string(json, "name",
                        nsp_verify_source_rule_name(r->source, rule, name));
        nsp_json_string(json, "packet", r->packets[rule]);
        nsp_json_begin_array(json, "checks");
        for (; i < checks->count && checks->list[i].rule == rule; i++)
            write_check(json, &checks->list[i]);
        nsp_json_end(json);
        nsp_json_end(json);
    }
    nsp_json_end(json);
}

static void
print_json(const struct nsp_verify_report *r, int status)
{
    struct nsp_json json;

    nsp_json_init(&json, stdout);
    nsp_json_begin_object(&json, NULL);
    nsp_json_uint(&json, "schema", 1);
    nsp_json_bool(&json, "ok", status == NSP_EXIT_OK);
    nsp_json_string(&json, r->source->profile ? "profile" : "policy",
                    r->source->name);
    nsp_json_string(&json, "mode", mode_of(r));
    nsp_json_uint(&json, "packets", r->pkts);
    nsp_json_uint(&json, "seed", r->seed);
    nsp_json_uint(&json, "passed", nsp_checks_count(r->checks, NSP_CHECK_PASS));
    nsp_json_uint(&json, "failed", nsp_checks_count(r->checks, NSP_CHECK_FAIL));
    nsp_json_uint(&json, "not_tested",
                  nsp_checks_count(r->checks, NSP_CHECK_NOT_TESTED));
    write_rules(&json, r);
    nsp_json_finish(&json);
}

int
nsp_verify_report_print(const struct nsp_verify_report *report)
{
    int status = NSP_EXIT_OK;

    if (nsp_checks_count(report->checks, NSP_CHECK_FAIL) > 0)
        status = NSP_EXIT_FAILED;
    else if (nsp_checks_count(report->checks, NSP_CHECK_PASS) == 0)
        status = NSP_EXIT_NOT_POSSIBLE;
    if (report->cli->json) {
        print_json(report, status);
        return status;
    }
    print_text(report);
    if (status == NSP_EXIT_NOT_POSSIBLE)
        fputs("nsp: nothing was tested\n", stderr);
    return status;
}
