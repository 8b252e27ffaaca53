#ifndef NSP_VERIFY_DELAY_MODEL_H
#define NSP_VERIFY_DELAY_MODEL_H
#include <stdbool.h>
#include <stdint.h>

#include "netshaper/impair.h"
#include "verify/statistics.h"

/* How configured delays must be distributed, by the formulae of their kind
 * (netshaper/impair.h), whatever the engine makes of them: closed forms of the
 * distribution function, moments integrated over it. A delay below zero is
 * zero.
 *
 * Heavy tails  Of Pareto delays the fourth moment is infinite, and of lognormal
 *     ones it may be so large that the deviation of a sample, however long,
 * says nothing. The deviation of those is compared up to a cap: the quantile
 *     0.999, at which longer delays count. The model knows what that must be.
 *
 * Units  Nanoseconds, as doubles. */
struct nsp_delay_model {
    uint8_t kind;
    double mean_ns, spread_ns; /* As configured. */
    double rho;

    double expected_mean_ns, expected_sd_ns; /* Below zero taken as zero. */
    double cap_ns;       /* INFINITY unless the tail is heavy. */
    double capped_sd_ns; /* With the cap. */
    double zero_share;   /* Delays that would be negative. */

    double mu, sigma;          /* Of the lognormal's logarithm. */
    double mixed_sd;           /* Of the mixture of normal and Pareto. */
    double *values;            /* Table, trace: ascending. */
    double *curve_x, *curve_u; /* Mixture: points of its distribution. */
    uint32_t count;            /* Of either. */
};

/* Returns 0 or -ENOMEM. 'cfg' has no fault. */
int nsp_delay_model_init(struct nsp_delay_model *model,
                         const struct nsp_delay_config *cfg);
void nsp_delay_model_fini(struct nsp_delay_model *model);

/* The distribution function; 'model' must outlive it. */
struct nsp_distribution nsp_delay_model_distribution(
    const struct nsp_delay_model *model);

/* The delay that a share 'p', 0 < p < 1, does not exceed. */
double nsp_delay_model_quantile(const struct nsp_delay_model *model, double p);

/* The normal number that a delay stands for: what 'correlation' is of. */
double nsp_delay_model_z(const struct nsp_delay_model *model, double delay_ns);

/* Whether the delay varies by chance. */
bool nsp_delay_is_random(const struct nsp_delay_config *cfg);

/* Delay number 'i' of a trace without a step, or at 'ns' since the first. */
double nsp_delay_trace_at(const struct nsp_delay_config *cfg, uint64_t i,
                          uint64_t ns);

const char *nsp_delay_kind_text(uint8_t kind);

#endif /* NSP_VERIFY_DELAY_MODEL_H */
