#ifndef NSP_CLI_LIVE_RULE_H
#define NSP_CLI_LIVE_RULE_H
#include "lab/lab.h"
#include "verify/live.h"

/* A rule that is measured on live traffic. */
struct nsp_live_rule {
    const struct nsp_lab *lab;
    struct nsp_subject subject;
    struct nsp_rule *rules; /* Of the policy, with those left out disabled; that
                             * of the subject may be made to do less. */
    bool *off;
    double baseline_ns;   /* What the way takes without it. */
    struct nsp_late late; /* The machine, when that was measured. */
    bool calm;            /* Packets keep apart, however late they are. */
    uint64_t linger_ns;   /* Not 0: packets, or copies, may come so late. */
    struct nsp_checks *checks; /* Of what is being measured. */
};

/* Sends 'pkts' of 'packet' and, unless 'engine' is false, through the rule. On
 * success fills '*ret', to be finished, and tells the checks how late the
 * machine was; else returns what the engine or the traffic says, with 'reterr'.
 */
int nsp_live_rule_run(struct nsp_live_rule *live, bool engine,
                      const struct nsp_test_packet *packet, uint64_t gap_ns,
                      uint32_t pkts, struct nsp_live_trial *ret,
                      struct nsp_diag *reterr);

/* Puts in force of the policy what its subject does, and of other rules those
 * that do not act on 'packet'. */
void nsp_live_rule_isolate(struct nsp_live_rule *live,
                           const struct nsp_test_packet *packet);

/* Whether losses in bad times can be told from the machine; else adds to the
 * checks of 'effect' why they are not tested. 'of' has trials of real packets.
 */
bool nsp_live_rule_can_time(const struct nsp_subject *of,
                            const struct nsp_loss_config *cfg,
                            const char *effect, struct nsp_checks *checks);

/* The subject with trials of real packets, which take ten seconds at most: for
 * the judges of virtual time. 'live' must outlive it. */
struct nsp_subject nsp_live_rule_subject(struct nsp_live_rule *live);

/* Adds checks of effects beside losses, delays and constant rates, each in runs
 * of its own, or says why it can be judged in virtual time only. */
int nsp_live_rule_measure_effects(struct nsp_live_rule *live,
                                  struct nsp_checks *checks,
                                  struct nsp_diag *reterr);

#endif /* NSP_CLI_LIVE_RULE_H */
