#ifndef NSP_CLI_EXPLAIN_H
#define NSP_CLI_EXPLAIN_H
#include "cli/cli.h"
#include "cli/places.h"
#include "config/policy_file.h"
#include "netshaper/packet.h"

/* The parts of 'nsp explain': cmd_explain.c reads options and packets,
 * explain_policy.c prints what runs where, explain_packet.c which rule decides
 * and why. */
struct nsp_explain {
    const struct nsp_cli *cli;
    const struct nsp_policy_file *file;
    struct nsp_json json;
    struct nsp_places places;
    uint64_t packets;
    struct nsp_rule_placement *placements; /* Of each rule, at a tap; NULL where
                                            * none is needed. */
    uint32_t *hidden; /* Of each rule, which decides its packets, as
                       * nsp_policy_find_hidden() tells. */
    bool failed;      /* No memory. */
};

/* Prints what runs where: which device takes packets at each hook, and why; of
 * every rule, the hooks and what it does. With cli->json members of the object
 * that is open. */
void nsp_explain_policy(struct nsp_explain *explain);

/* Prints the way of the parsed 'pkt' through the rules, test by test. With
 * cli->json a value of the array that is open. */
void nsp_explain_packet(struct nsp_explain *explain, const struct nsp_pkt *pkt);

/* The name of rule 'index', as counters have it. */
const char *nsp_explain_rule_name(const struct nsp_policy_file *file,
                                  uint32_t index, char ret[64]);

/* Says in a few words what 'rule' does: "class calls, dscp 46". */
void nsp_explain_rule_actions(const struct nsp_rule *rule, char *ret,
                              size_t bytes);

#endif /* NSP_CLI_EXPLAIN_H */
