#include "verify/live.h"

#include <math.h>
#include <stdlib.h>

#include "verify/delay_model.h"

#define DELAY "delay"

#define SD_TOLERANCE   0.1 /* Of the deviation, and half the slack. */
#define RATE_TOLERANCE 0.01
#define ENDS           10
#define RATE_PKTS_MIN  100
#define OFFERED_MIN    1.2 /* Of what fills the link; twice is intended. */

/* --- Losses --------------------------------------------------------------- */

int
nsp_judge_live_loss(const struct nsp_subject *subject,
                    const struct nsp_live_trial *trial,
                    struct nsp_checks *checks)
{
    const struct nsp_trial as_virtual = { .pkts = trial->pkts,
                                          .gap_ns = 1,
                                          .left_ns = trial->received_ns };

    return nsp_judge_loss(subject, &as_virtual, checks);
}

/* --- Delays --------------------------------------------------------------- */

/* Ascending; '*ret' is to be freed. Returns how many, or NSP_NO_MEMORY. */
static int64_t
list_delays(const struct nsp_live_trial *trial, double less_ns, double **ret)
{
    int64_t n = 0;

    *ret = calloc((size_t)trial->pkts + 1, sizeof **ret);
    if (!*ret)
        return NSP_NO_MEMORY;
    for (uint32_t i = 0; i < trial->pkts; i++)
        if (trial->received_ns[i] != 0)
            (*ret)[n++] =
                (double)(int64_t)(trial->received_ns[i] - trial->sent_ns[i]) -
                less_ns;
    nsp_sort_doubles(*ret, (size_t)n);
    return n;
}

double
nsp_live_median_ns(const struct nsp_live_trial *trial)
{
    double *x, median = 0;
    int64_t n = list_delays(trial, 0, &x);

    if (n > 0)
        median = nsp_quantile(x, (size_t)n, 0.5);
    free(x);
    return median;
}

/* A packet can only be late. */
static void
judge_median(const struct nsp_delay_model *model, const double *x, size_t n,
             double effective, struct nsp_checks *checks)
{
    double half = NSP_SIGMAS_999 * 0.5 / sqrt(effective);
    double low = fmax(0.5 - half, 0.001), high = fmin(0.5 + half, 0.999);

    nsp_check_note(
        nsp_checks_add_random(
            checks, DELAY, "median", NSP_UNIT_NS,
            nsp_delay_model_quantile(model, 0.5), nsp_quantile(x, n, 0.5),
            (struct nsp_interval){ nsp_quantile(x, n, low),
                                   nsp_quantile(x, n, high) },
            (struct nsp_interval){
                nsp_delay_model_quantile(model, low) - NSP_LIVE_SLACK_NS,
                nsp_delay_model_quantile(model, high) + NSP_LIVE_SLACK_NS }),
        "99.9 %% interval and 1 ms; less what the way takes without");
}

static void
judge_shape(const struct nsp_delay_model *model, const double *x, size_t n,
            double effective, struct nsp_checks *checks)
{
    struct nsp_distribution of = nsp_delay_model_distribution(model);
    double d = nsp_ks_distance(x, n, &of, NSP_LIVE_SLACK_NS);
    double limit = nsp_ks_limit(effective);
    struct nsp_moments moments;

    nsp_moments_read(x, n, model->cap_ns, &moments);
    nsp_check_note(
        nsp_checks_add_estimate(checks, DELAY, "standard deviation",
                                NSP_UNIT_NS, model->capped_sd_ns, moments.sd,
                                nsp_moments_sd_error(&moments, effective),
                                SD_TOLERANCE * model->capped_sd_ns +
                                    NSP_LIVE_SLACK_NS / 2),
        "10 %% and 0.5 ms, or 3.29 standard errors");
    nsp_check_note(nsp_checks_add_random(
                       checks, DELAY, "KS distance", NSP_UNIT_NUMBER, 0, d,
                       (struct nsp_interval){ fmax(0, d - limit), d + limit },
                       (struct nsp_interval){ 0, limit }),
                   "1.63 / sqrt(n), each delay being right to 1 ms");
}

static void
judge_delays(const struct nsp_delay_config *cfg, const double *x, size_t n,
             const struct nsp_delay_model *model, struct nsp_checks *checks)
{
    double rho = cfg->correlation_ppm / (double)NSP_PPM_ONE;
    double effective = (double)n * (1 - rho) / (1 + rho);

    if (cfg->keep_order && nsp_delay_is_random(cfg)) {
        nsp_checks_add_not_tested(checks, DELAY, "distribution",
                                  "order is kept: at this pace packets wait "
                                  "for each other");
        return;
    }
    if (n < 100 || effective < 100) {
        nsp_checks_add_not_tested(checks, DELAY, "distribution",
                                  "too few packets came");
        return;
    }
    judge_median(model, x, n, effective, checks);
    if (nsp_delay_is_random(cfg))
        judge_shape(model, x, n, effective, checks);
}

int
nsp_judge_live_delay(const struct nsp_subject *subject,
                     const struct nsp_live_trial *trial,
                     struct nsp_checks *checks)
{
    double serialise_ns = nsp_subject_serialise_ns(subject, trial->bytes);
    struct nsp_delay_model model;
    double *x;
    int64_t n = list_delays(trial, trial->baseline_ns + serialise_ns, &x);

    if (n < 0)
        return NSP_NO_MEMORY;
    if (nsp_delay_model_init(&model, &subject->effects->delay) < 0) {
        free(x);
        return NSP_NO_MEMORY;
    }
    judge_delays(&subject->effects->delay, x, (size_t)n, &model, checks);
    nsp_delay_model_fini(&model);
    free(x);
    return nsp_checks_result(checks);
}

/* --- Rates ---------------------------------------------------------------- */

/* How much came to the rule in a second. */
static double
offered_bitps(const struct nsp_live_trial *trial, double charged_bytes)
{
    uint32_t last = trial->pkts - 1;

    return charged_bytes * 8e9 * last /
           (double)(trial->sent_ns[last] - trial->sent_ns[0]);
}

int
nsp_judge_live_rate(const struct nsp_subject *subject,
                    const struct nsp_live_trial *trial,
                    struct nsp_checks *checks)
{
    double configured = (double)subject->link->rate_bitps, first = 0, last = 0;
    double charged =
        fmax((double)trial->bytes + subject->link->overhead_bytes, 1);
    uint32_t left = 0, seen = 0, part;
    const char *why = NULL;
    double achieved;

    for (uint32_t i = 0; i < trial->pkts; i++)
        left += trial->received_ns[i] != 0;
    part = left / ENDS;
    if (left < RATE_PKTS_MIN)
        why = "too few packets came";
    else if (offered_bitps(trial, charged) < OFFERED_MIN * configured)
        why = "this machine does not send test packets fast enough";
    if (why) {
        nsp_checks_add_not_tested(checks, "rate", "rate", why);
        return nsp_checks_result(checks);
    }
    for (uint32_t i = 0; i < trial->pkts; i++) {
        if (trial->received_ns[i] == 0)
            continue;
        if (seen < part)
            first += (double)(trial->received_ns[i] - trial->sent_ns[0]);
        if (seen >= left - part)
            last += (double)(trial->received_ns[i] - trial->sent_ns[0]);
        seen++;
    }
    achieved = charged * 8e9 * (left - part) / ((last - first) / part);
    nsp_check_note(nsp_checks_add_estimate(checks, "rate", "rate",
                                           NSP_UNIT_BITPS, configured, achieved,
                                           0, RATE_TOLERANCE * configured),
                   "1 %%; offered twice as much, %u bytes each",
                   (unsigned)trial->bytes);
    return nsp_checks_result(checks);
}

/* --- As virtual ones -------------------------------------------------------
 */

uint32_t
nsp_live_count_received(const struct nsp_live_trial *trial)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < trial->pkts; i++)
        n += trial->received_ns[i] != 0;
    return n;
}

/* The order of arrival is not told: no judge of a live trial asks for it. */
int
nsp_live_trial_convert(const struct nsp_live_trial *trial,
                       struct nsp_trial *ret)
{
    uint32_t n = trial->pkts;

    *ret = (struct nsp_trial){
        .pkts = n,
        .gap_ns =
            n > 1 ? (trial->sent_ns[n - 1] - trial->sent_ns[0]) / (n - 1) : 1,
        .left_pkts = nsp_live_count_received(trial),
        .wrong_pkts = trial->wrong_pkts,
        .injected_pkts = trial->answers,
        .copied_pkts = trial->copied_pkts,
        .is_live = true,
        .way_ns = trial->baseline_ns,
    };
    ret->left_ns = calloc((size_t)n + 1, sizeof *ret->left_ns);
    if (!ret->left_ns)
        return NSP_NO_MEMORY;
    for (uint32_t i = 0; i < n; i++)
        if (trial->received_ns[i] != 0 && !trial->is_hit[i])
            ret->left_ns[i] = nsp_trial_sent_ns(ret, i) +
                              (trial->received_ns[i] - trial->sent_ns[i]);
    return NSP_OK;
}
