#ifndef NSP_CLI_POLICY_REPORT_H
#define NSP_CLI_POLICY_REPORT_H
#include "cli/json.h"
#include "netshaper/engine.h"

/* What an engine with a policy has counted, as people and programs read it. */

/* The parts: a member { "pkts", "bytes" } of the open object of 'json'; the
 * members "in", "delivered", "dropped" by reason, "queued" and "duplicated";
 * and those of a rule, "dropped" being a sum. */
void nsp_report_count(struct nsp_json *json, const char *name, uint64_t pkts,
                      uint64_t bytes);
void nsp_report_fates(struct nsp_json *json, const struct nsp_stats *stats);
void nsp_report_rule_fates(struct nsp_json *json,
                           const struct nsp_rule_stats *rule);

/* Prints tables of the packets, the rules that acted and the classes. */
void nsp_policy_report_print(FILE *to, struct nsp_engine *engine);

/* Writes the members of the same into the open object of 'json': "in",
 * "delivered", "dropped" by reason, "queued", "events_lost", "rules",
 * "classes". */
void nsp_policy_report_json(struct nsp_json *json, struct nsp_engine *engine);

#endif /* NSP_CLI_POLICY_REPORT_H */
