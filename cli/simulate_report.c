#include <inttypes.h>

#include "cli/policy_report.h"
#include "cli/simulate.h"

static void
print_drops(FILE *to, struct nsp_engine *engine)
{
    struct nsp_rule_stats rule;
    bool any = false;

    for (uint32_t i = 0; nsp_engine_read_rule_stats(engine, i, &rule) == NSP_OK;
         i++) {
        for (int d = 0; d < NSP_DROP_COUNT; d++) {
            if (rule.dropped_pkts[d] == 0)
                continue;
            if (!any)
                fprintf(to, "\n  %-24s %-24s %12s\n", "drops by rule",
                        "and reason", "packets");
            any = true;
            fprintf(to, "  %-24s %-24s %12" PRIu64 "\n", rule.name,
                    nsp_drop_reason_name((enum nsp_drop_reason)d),
                    rule.dropped_pkts[d]);
        }
    }
}

void
nsp_simulate_report_print(FILE *to, struct nsp_engine *engine,
                          const struct nsp_simulate_result *result)
{
    fprintf(to, "%" PRIu64 ".%09" PRIu64 " s simulated%s\n",
            result->simulated_ns / 1000000000,
            result->simulated_ns % 1000000000,
            result->complete ? "" : ", incomplete");
    nsp_policy_report_print(to, engine);
    print_drops(to, engine);
    fflush(to);
}

static void
write_drops(struct nsp_json *json, struct nsp_engine *engine)
{
    struct nsp_rule_stats rule;

    nsp_json_begin_array(json, "drops");
    for (uint32_t i = 0; nsp_engine_read_rule_stats(engine, i, &rule) == NSP_OK;
         i++) {
        for (int d = 0; d < NSP_DROP_COUNT; d++) {
            if (rule.dropped_pkts[d] == 0)
                continue;
            nsp_json_begin_object(json, NULL);
            nsp_json_string(json, "rule", rule.name);
            nsp_json_string(json, "reason",
                            nsp_drop_reason_name((enum nsp_drop_reason)d));
            nsp_json_uint(json, "pkts", rule.dropped_pkts[d]);
            nsp_json_end(json);
        }
    }
    nsp_json_end(json);
}

void
nsp_simulate_report_json(FILE *to, struct nsp_engine *engine,
                         const struct nsp_simulate_result *result)
{
    struct nsp_json json;

    nsp_json_init(&json, to);
    nsp_json_begin_object(&json, NULL);
    nsp_json_uint(&json, "schema", 1);
    nsp_json_string(&json, "type", "end");
    nsp_json_bool(&json, "ok", true);
    nsp_json_string(&json, "result",
                    result->complete ? "complete" : "incomplete");
    nsp_json_uint(&json, "simulated_ns", result->simulated_ns);
    nsp_policy_report_json(&json, engine);
    write_drops(&json, engine);
    nsp_json_finish(&json);
}
