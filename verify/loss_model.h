#ifndef NSP_VERIFY_LOSS_MODEL_H
#define NSP_VERIFY_LOSS_MODEL_H
#include <stdbool.h>
#include <stdint.h>

#include "netshaper/impair.h"

/* What a configured loss must come to, by the formulae of its model
 * (netshaper/impair.h), whatever the engine makes of it.
 *
 * Chains     From their matrix T, stationary vector v and chance of loss q of
 *     each state: rate v q; share of packets that are lost after a lost one
 *     (v q) T q / v q; and what the variance of a count exceeds that of
 *     independent trials by, 1 + 2 sum over k of the autocorrelations at lag k.
 * Consecutive  A renewal at each packet received: K lost ones before it with
 *     P(K >= j) = c_0 c_1 ... c_(j-1). Rate E K / (1 + E K), mean period
 *     E K / c_0, variance by the same factor Var K / (E K (1 + E K)).
 * Timed      With packets every 'gap_ns', a bad time has k = ceil(bad / gap) of
 *     them and a good one (1 - e) / e: rate loss k / (k + (1 - e) / e). */

struct nsp_loss_model {
    bool is_exact; /* Nothing is random: nsp_loss_model_loses(). */
    double rate;   /* Share of packets that are lost. */
    double period; /* Mean run of losses; 0 where there is none, or where
                    * it has no closed form. */
    double lost_after_lost, lost_after_received;
    double lag1;      /* Correlation of a packet's loss with the next one's. */
    double inflation; /* Variance of a count over a binomial's. */
};

void nsp_loss_model_init(struct nsp_loss_model *model,
                         const struct nsp_loss_config *cfg, uint64_t gap_ns);

/* Of a chain of two states, good and bad: from good to bad with 'p', from bad
 * to good with 'r', and the loss in each. */
void nsp_loss_model_init_states(struct nsp_loss_model *model, double p,
                                double r, double good_loss, double bad_loss);

/* Whether packet 'i', from 0, is lost, where nothing is random. */
bool nsp_loss_model_loses(const struct nsp_loss_config *cfg, uint64_t i);

/* Whether 'cfg' loses anything at all. */
bool nsp_loss_is_configured(const struct nsp_loss_config *cfg);

/* The text of a kind: "Gilbert-Elliott". Static storage. */
const char *nsp_loss_kind_text(uint8_t kind);

#endif /* NSP_VERIFY_LOSS_MODEL_H */
