#ifndef NSP_VERIFY_HITS_H
#define NSP_VERIFY_HITS_H
#include "verify/checks.h"
#include "verify/loss_model.h"

/* Which packets an effect hit, in the order sent: lost ones of a loss, damaged
 * ones of damage. */
struct nsp_hits {
    const char *effect; /* Of the checks. */
    bool are_losses;    /* Shows the metrics of RFC 3357 and RFC 3611 too. */
    const bool *hit;
    uint32_t n;
};

/* Compares 'hits' with 'model' or, where nothing is random, with 'cfg'. */
void nsp_judge_hits(const struct nsp_hits *hits,
                    const struct nsp_loss_config *cfg,
                    const struct nsp_loss_model *model,
                    struct nsp_checks *checks);

/* The same of hits with a chance and a correlation. */
void nsp_judge_chance(const struct nsp_hits *hits, uint32_t ppm,
                      uint32_t correlation_ppm, struct nsp_checks *checks);

#endif /* NSP_VERIFY_HITS_H */
