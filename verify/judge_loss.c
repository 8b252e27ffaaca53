#include "verify/subject.h"

#include <math.h>
#include <stdlib.h>

#include "verify/loss_model.h"
#include "verify/loss_runs.h"

#define EFFECT "loss"

/* Tolerances that hold however many packets there are. */
#define PERIOD_TOLERANCE 0.02 /* Of the mean. */
#define LAG1_TOLERANCE   0.01

/* Fewer periods say nothing of their mean. */
#define PERIODS_MIN 30

int
nsp_judge_accounts(const struct nsp_trial *trial, struct nsp_checks *checks)
{
    const struct nsp_stats *stats = &trial->stats;
    uint64_t out = stats->delivered_pkts + stats->queued_pkts;
    struct nsp_check *check;

    for (int i = 0; i < NSP_DROP_COUNT; i++)
        out += stats->dropped_pkts[i];
    nsp_checks_add_exact(checks, "packets", "accounted for", NSP_UNIT_PKTS,
                         trial->pkts, (double)out,
                         (struct nsp_interval){ trial->pkts, trial->pkts });
    check =
        nsp_checks_add_exact(checks, "packets", "of the rule", NSP_UNIT_PKTS,
                             trial->pkts, (double)trial->rule.hit_pkts,
                             (struct nsp_interval){ trial->pkts, trial->pkts });
    if (trial->left_out > 0)
        nsp_check_note(check,
                       "%u more rules act on these packets, and were left out",
                       (unsigned)trial->left_out);
    return checks->out_of_memory ? NSP_NO_MEMORY : NSP_OK;
}

static void
judge_exact(const struct nsp_loss_config *cfg, const bool *lost, uint32_t n,
            struct nsp_checks *checks)
{
    uint32_t wrong = 0, expected = 0, met = 0;

    for (uint32_t i = 0; i < n; i++) {
        bool loses = nsp_loss_model_loses(cfg, i);

        expected += loses;
        met += lost[i];
        wrong += loses != lost[i];
    }
    nsp_checks_add_exact(checks, EFFECT, "packets lost", NSP_UNIT_PKTS,
                         expected, met,
                         (struct nsp_interval){ expected, expected });
    nsp_checks_add_exact(checks, EFFECT, "packets treated otherwise",
                         NSP_UNIT_PKTS, 0, wrong,
                         (struct nsp_interval){ 0, 0 });
}

/* A count of dependent events varies by more than a binomial's. */
static void
judge_rate(const struct nsp_loss_model *model, const struct nsp_loss_runs *runs,
           struct nsp_checks *checks)
{
    double n = (double)runs->pkts, lost = (double)runs->lost, most;
    struct nsp_interval allowed =
        nsp_binomial_interval(runs->pkts, model->rate);
    struct nsp_check *check;

    if (model->inflation > 1) {
        most = NSP_SIGMAS_999 *
               sqrt(n * model->rate * (1 - model->rate) * model->inflation);
        allowed = (struct nsp_interval){ n * model->rate - most - 1,
                                         n * model->rate + most + 1 };
    }
    check = nsp_checks_add_random(
        checks, EFFECT, "rate", NSP_UNIT_SHARE, model->rate, lost / n,
        nsp_share_interval(lost, n, model->inflation),
        (struct nsp_interval){ fmax(0, allowed.low / n), allowed.high / n });
    if (model->inflation > 1)
        nsp_check_note(check,
                       "99.9 %% interval; counts vary %.3g times as much as "
                       "independent ones",
                       model->inflation);
    else
        nsp_check_note(check, "binomial 99.9 %% interval");
}

static void
judge_periods(const struct nsp_loss_model *model,
              const struct nsp_loss_runs *runs, struct nsp_checks *checks)
{
    double error = runs->period_sd / sqrt((double)runs->periods);

    if (model->period <= 0)
        return;
    if (runs->periods < PERIODS_MIN) {
        nsp_checks_add_not_tested(checks, EFFECT, "mean loss period",
                                  "too few losses: ask for more packets");
        return;
    }
    nsp_check_note(nsp_checks_add_estimate(checks, EFFECT, "mean loss period",
                                           NSP_UNIT_PKTS, model->period,
                                           runs->period_mean, error,
                                           PERIOD_TOLERANCE * model->period),
                   "RFC 3357; 2 %%, or 3.29 standard errors of %llu periods",
                   (unsigned long long)runs->periods);
}

/* By the two shares that make it up, each of so many packets. */
static void
judge_lag1(const struct nsp_loss_model *model, const struct nsp_loss_runs *runs,
           struct nsp_checks *checks)
{
    double lost = (double)runs->lost, received = (double)runs->pkts - lost;
    double a = model->lost_after_lost, b = model->lost_after_received;

    if (model->period <= 0 || runs->periods < PERIODS_MIN || received < 1)
        return;
    nsp_check_note(nsp_checks_add_estimate(
                       checks, EFFECT, "correlation", NSP_UNIT_NUMBER,
                       model->lag1, runs->lag1,
                       sqrt(a * (1 - a) / lost + b * (1 - b) / received),
                       LAG1_TOLERANCE),
                   "of neighbours; 0.01, or 3.29 standard errors");
}

static void
show_metrics(const struct nsp_loss_runs *runs, struct nsp_checks *checks)
{
    nsp_check_note(nsp_checks_add_shown(checks, EFFECT, "mean loss distance",
                                        NSP_UNIT_PKTS, runs->distance_mean),
                   "RFC 3357");
    nsp_checks_add_shown(checks, EFFECT, "longest loss period", NSP_UNIT_PKTS,
                         (double)runs->period_max);
    if (runs->bursts > 0) {
        nsp_check_note(nsp_checks_add_shown(
                           checks, EFFECT, "burst density", NSP_UNIT_SHARE,
                           (double)runs->burst_lost / (double)runs->burst_pkts),
                       "RFC 3611, Gmin 16");
        nsp_checks_add_shown(checks, EFFECT, "mean burst", NSP_UNIT_PKTS,
                             (double)runs->burst_pkts / (double)runs->bursts);
    }
    if (runs->gap_pkts > 0)
        nsp_checks_add_shown(checks, EFFECT, "gap density", NSP_UNIT_SHARE,
                             (double)runs->gap_lost / (double)runs->gap_pkts);
}

int
nsp_judge_loss(const struct nsp_subject *subject, const struct nsp_trial *trial,
               struct nsp_checks *checks)
{
    const struct nsp_loss_config *cfg = &subject->effects->loss;
    struct nsp_loss_model model;
    struct nsp_loss_runs runs;
    bool *lost = calloc((size_t)trial->pkts + 1, sizeof *lost);

    if (!lost)
        return NSP_NO_MEMORY;
    for (uint32_t i = 0; i < trial->pkts; i++)
        lost[i] = trial->left_ns[i] == 0;
    nsp_loss_model_init(&model, cfg, trial->gap_ns);
    nsp_loss_runs_read(lost, trial->pkts, &runs);
    if (model.is_exact) {
        judge_exact(cfg, lost, trial->pkts, checks);
    } else {
        judge_rate(&model, &runs, checks);
        judge_periods(&model, &runs, checks);
        judge_lag1(&model, &runs, checks);
    }
    if (runs.lost > 1)
        show_metrics(&runs, checks);
    free(lost);
    return checks->out_of_memory ? NSP_NO_MEMORY : NSP_OK;
}
