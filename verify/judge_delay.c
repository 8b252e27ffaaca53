#include "verify/subject.h"

#include <math.h>
#include <stdlib.h>

#include "verify/delay_model.h"
#include "verify/hits.h"

#define EFFECT "delay"

#define SD_TOLERANCE   0.01 /* Of the deviation. */
#define LAG1_TOLERANCE 0.01
#define ROUNDING_NS    1.0

/* Delays at zero, and tables of few values, hide what the correlation is of. */
#define ZERO_SHARE_MAX   0.01
#define TABLE_VALUES_MIN 64u

/* The delays that were met, in the order sent, without the packets that were
 * spared. */
struct delays {
    double *x;
    size_t n;
    bool *spared; /* Of all that left, where some are to be. */
    size_t left;
    double effective; /* As many independent ones say as much. */
};

static int
read_delays(const struct nsp_subject *subject, const struct nsp_trial *trial,
            struct delays *ret)
{
    uint64_t serialise_ns =
        nsp_subject_serialise_up_ns(subject, subject->packet.bytes);
    double rho = subject->effects->delay.correlation_ppm / (double)NSP_PPM_ONE;

    *ret = (struct delays){ .n = 0 };
    ret->x = calloc((size_t)trial->pkts + 1, sizeof *ret->x);
    ret->spared = calloc((size_t)trial->pkts + 1, sizeof *ret->spared);
    if (!ret->x || !ret->spared)
        return NSP_NO_MEMORY;
    for (uint32_t i = 0; i < trial->pkts; i++) {
        double delay_ns =
            (double)(int64_t)(trial->left_ns[i] - nsp_trial_sent_ns(trial, i) -
                              serialise_ns);

        if (trial->left_ns[i] == 0)
            continue;
        if (subject->effects->delay.spared_ppm > 0 && delay_ns == 0)
            ret->spared[ret->left] = true;
        else
            ret->x[ret->n++] = delay_ns;
        ret->left++;
    }
    ret->effective = (double)ret->n * (1 - rho) / (1 + rho);
    return NSP_OK;
}

/* --- Without chance ------------------------------------------------------- */

/* The one that is farthest off stands for all. */
static void
judge_constant(const struct nsp_delay_config *cfg, const struct delays *delays,
               struct nsp_checks *checks)
{
    double asked = (double)cfg->mean_ns, worst = asked;

    for (size_t i = 0; i < delays->n; i++)
        if (fabs(delays->x[i] - asked) > fabs(worst - asked))
            worst = delays->x[i];
    nsp_check_note(nsp_checks_add_exact(checks, EFFECT, "delay", NSP_UNIT_NS,
                                        asked, worst,
                                        (struct nsp_interval){ asked, asked }),
                   "of the packet that is farthest off");
}

static void
judge_trace(const struct nsp_delay_config *cfg, const struct nsp_trial *trial,
            const struct delays *delays, struct nsp_checks *checks)
{
    uint64_t first_ns = 0;
    double wrong = 0;
    size_t n = 0;

    for (uint32_t i = 0; i < trial->pkts; i++) {
        uint64_t sent_ns = nsp_trial_sent_ns(trial, i);

        if (trial->left_ns[i] == 0)
            continue;
        if (n == 0)
            first_ns = sent_ns;
        wrong += fabs(delays->x[n] -
                      nsp_delay_trace_at(cfg, n, sent_ns - first_ns)) > 0.5;
        n++;
    }
    nsp_checks_add_pkts(checks, EFFECT, "packets off the trace", 0, wrong);
}

/* --- With ------------------------------------------------------------------
 */

static void
judge_moments(const struct nsp_delay_model *model, const struct delays *delays,
              struct nsp_checks *checks)
{
    struct nsp_moments moments, capped;
    struct nsp_check *check;

    nsp_moments_read(delays->x, delays->n, INFINITY, &moments);
    nsp_checks_add_estimate(checks, EFFECT, "mean", NSP_UNIT_NS,
                            model->expected_mean_ns, moments.mean,
                            model->expected_sd_ns / sqrt(delays->effective),
                            ROUNDING_NS);
    nsp_moments_read(delays->x, delays->n, model->cap_ns, &capped);
    check = nsp_checks_add_estimate(
        checks, EFFECT, "standard deviation", NSP_UNIT_NS, model->capped_sd_ns,
        capped.sd, nsp_moments_sd_error(&capped, delays->effective),
        fmax(SD_TOLERANCE * model->capped_sd_ns, ROUNDING_NS));
    if (model->cap_ns < INFINITY)
        nsp_check_note(check,
                       "delays above the quantile 0.999 count as that: beyond, "
                       "no sample says what the deviation is");
    else
        nsp_check_note(check, "1 %%, or 3.29 standard errors");
}

static void
judge_quantiles(const struct nsp_delay_model *model,
                const struct delays *delays, struct nsp_checks *checks)
{
    static const struct {
        const char *name;
        double p;
    } quantiles[] = { { "median", 0.5 },
                      { "quantile 0.9", 0.9 },
                      { "quantile 0.99", 0.99 },
                      { "quantile 0.999", 0.999 } };

    for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++) {
        double p = quantiles[i].p;
        double half = NSP_SIGMAS_999 * sqrt(p * (1 - p) / delays->effective);
        double low = fmax(p - half, 0.5 / delays->effective);
        double high = p + half;

        if (high >= 1) {
            nsp_checks_add_not_tested(checks, EFFECT, quantiles[i].name,
                                      "too few packets lie above it");
            continue;
        }
        nsp_checks_add_random(
            checks, EFFECT, quantiles[i].name, NSP_UNIT_NS,
            nsp_delay_model_quantile(model, p),
            nsp_quantile(delays->x, delays->n, p),
            (struct nsp_interval){ nsp_quantile(delays->x, delays->n, low),
                                   nsp_quantile(delays->x, delays->n, high) },
            (struct nsp_interval){
                nsp_delay_model_quantile(model, low) - ROUNDING_NS,
                nsp_delay_model_quantile(model, high) + ROUNDING_NS });
    }
}

static void
judge_distribution(const struct nsp_delay_model *model,
                   const struct delays *delays, struct nsp_checks *checks)
{
    struct nsp_distribution of = nsp_delay_model_distribution(model);
    double limit = nsp_ks_limit(delays->effective);
    double d = nsp_ks_distance(delays->x, delays->n, &of, ROUNDING_NS);
    struct nsp_check *check = nsp_checks_add_random(
        checks, EFFECT, "KS distance", NSP_UNIT_NUMBER, 0, d,
        (struct nsp_interval){ fmax(0, d - limit), d + limit },
        (struct nsp_interval){ 0, limit });

    nsp_check_note(check, "from the %s distribution; 1.63 / sqrt(n), n %.0f",
                   nsp_delay_kind_text(model->kind), delays->effective);
}

/* Before they are sorted. */
static int
judge_correlation(const struct nsp_delay_model *model,
                  const struct delays *delays, struct nsp_checks *checks)
{
    double *z;

    if (model->zero_share > ZERO_SHARE_MAX) {
        nsp_checks_add_not_tested(checks, EFFECT, "correlation",
                                  "too many delays are 0: they hide it");
        return NSP_OK;
    }
    if (model->kind == NSP_DELAY_TABLE && model->count < TABLE_VALUES_MIN) {
        nsp_checks_add_not_tested(checks, EFFECT, "correlation",
                                  "the table has too few values to tell");
        return NSP_OK;
    }
    z = calloc(delays->n, sizeof *z);
    if (!z)
        return NSP_NO_MEMORY;
    for (size_t i = 0; i < delays->n; i++)
        z[i] = nsp_delay_model_z(model, delays->x[i]);
    nsp_check_note(nsp_checks_add_estimate(
                       checks, EFFECT, "correlation", NSP_UNIT_NUMBER,
                       model->rho, nsp_lag1_correlation(z, delays->n),
                       sqrt((1 - model->rho * model->rho) / (double)delays->n),
                       LAG1_TOLERANCE),
                   "of the normal numbers behind neighbours; 0.01, or 3.29 "
                   "standard errors");
    free(z);
    return NSP_OK;
}

static int
judge_random(const struct nsp_delay_config *cfg, const struct delays *delays,
             struct nsp_checks *checks)
{
    struct nsp_delay_model model;
    int result;

    if (nsp_delay_model_init(&model, cfg) < 0)
        return NSP_NO_MEMORY;
    judge_moments(&model, delays, checks);
    result = judge_correlation(&model, delays, checks);
    nsp_sort_doubles(delays->x, delays->n);
    judge_quantiles(&model, delays, checks);
    judge_distribution(&model, delays, checks);
    nsp_delay_model_fini(&model);
    return result;
}

static void
release(struct delays *delays)
{
    free(delays->x);
    free(delays->spared);
}

int
nsp_judge_delay(const struct nsp_subject *subject,
                const struct nsp_trial *trial, struct nsp_checks *checks)
{
    const struct nsp_delay_config *cfg = &subject->effects->delay;
    struct delays delays;
    int result = read_delays(subject, trial, &delays);

    if (result != NSP_OK) {
        release(&delays);
        return result;
    }
    if (cfg->spared_ppm > 0 && delays.left > 0)
        nsp_judge_chance(&(struct nsp_hits){ "delay-spared", false,
                                             delays.spared,
                                             (uint32_t)delays.left },
                         cfg->spared_ppm, 0, checks);
    if (delays.n < 2)
        nsp_checks_add_not_tested(checks, EFFECT, "delay",
                                  "hardly a packet is left after the losses");
    else if (cfg->kind == NSP_DELAY_TRACE && cfg->spared_ppm > 0)
        nsp_checks_add_not_tested(checks, EFFECT, "packets off the trace",
                                  "some are spared, and are not in step");
    else if (cfg->kind == NSP_DELAY_TRACE)
        judge_trace(cfg, trial, &delays, checks);
    else if (nsp_delay_is_random(cfg))
        result = judge_random(cfg, &delays, checks);
    else
        judge_constant(cfg, &delays, checks);
    release(&delays);
    return result == NSP_OK ? nsp_checks_result(checks) : result;
}
