#include "verify/hits.h"

#include <math.h>

#include "verify/loss_runs.h"

/* Tolerances that hold however many packets there are. */
#define PERIOD_TOLERANCE 0.02 /* Of the mean. */
#define LAG1_TOLERANCE   0.01

/* Fewer periods say nothing of their mean. */
#define PERIODS_MIN 30

static void
judge_exact(const struct nsp_hits *hits, const struct nsp_loss_config *cfg,
            struct nsp_checks *checks)
{
    uint32_t wrong = 0, expected = 0, met = 0;

    for (uint32_t i = 0; i < hits->n; i++) {
        bool hit = nsp_loss_model_loses(cfg, i);

        expected += hit;
        met += hits->hit[i];
        wrong += hit != hits->hit[i];
    }
    nsp_checks_add_exact(checks, hits->effect,
                         hits->are_losses ? "packets lost" : "packets hit",
                         NSP_UNIT_PKTS, expected, met,
                         (struct nsp_interval){ expected, expected });
    nsp_checks_add_pkts(checks, hits->effect, "packets treated otherwise", 0,
                        wrong);
}

/* A count of dependent events varies by more than a binomial's. */
static void
judge_rate(const struct nsp_hits *hits, const struct nsp_loss_model *model,
           const struct nsp_loss_runs *runs, struct nsp_checks *checks)
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
        checks, hits->effect, "rate", NSP_UNIT_SHARE, model->rate, lost / n,
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

static const char *
period_text(const struct nsp_hits *hits)
{
    return hits->are_losses ? "mean loss period" : "mean run";
}

static void
judge_periods(const struct nsp_hits *hits, const struct nsp_loss_model *model,
              const struct nsp_loss_runs *runs, struct nsp_checks *checks)
{
    double error = runs->period_sd / sqrt((double)runs->periods);

    if (model->period <= 0)
        return;
    if (runs->periods < PERIODS_MIN) {
        nsp_checks_add_not_tested(checks, hits->effect, period_text(hits),
                                  "too few hits: ask for more packets");
        return;
    }
    nsp_check_note(
        nsp_checks_add_estimate(checks, hits->effect, period_text(hits),
                                NSP_UNIT_PKTS, model->period, runs->period_mean,
                                error, PERIOD_TOLERANCE * model->period),
        "RFC 3357; 2 %%, or 3.29 standard errors of %llu periods",
        (unsigned long long)runs->periods);
}

/* By the two shares that make it up, each of so many packets. */
static void
judge_lag1(const struct nsp_hits *hits, const struct nsp_loss_model *model,
           const struct nsp_loss_runs *runs, struct nsp_checks *checks)
{
    double lost = (double)runs->lost, received = (double)runs->pkts - lost;
    double a = model->lost_after_lost, b = model->lost_after_received;

    if (model->period <= 0 || runs->periods < PERIODS_MIN || received < 1)
        return;
    nsp_check_note(nsp_checks_add_estimate(
                       checks, hits->effect, "correlation", NSP_UNIT_NUMBER,
                       model->lag1, runs->lag1,
                       sqrt(a * (1 - a) / lost + b * (1 - b) / received),
                       LAG1_TOLERANCE),
                   "of neighbours; 0.01, or 3.29 standard errors");
}

static void
show_metrics(const struct nsp_hits *hits, const struct nsp_loss_runs *runs,
             struct nsp_checks *checks)
{
    nsp_check_note(nsp_checks_add_shown(checks, hits->effect,
                                        "mean loss distance", NSP_UNIT_PKTS,
                                        runs->distance_mean),
                   "RFC 3357");
    nsp_checks_add_shown(checks, hits->effect, "longest loss period",
                         NSP_UNIT_PKTS, (double)runs->period_max);
    if (runs->bursts > 0) {
        nsp_check_note(nsp_checks_add_shown(checks, hits->effect,
                                            "burst density", NSP_UNIT_SHARE,
                                            (double)runs->burst_lost /
                                                (double)runs->burst_pkts),
                       "RFC 3611, Gmin 16");
        nsp_checks_add_shown(checks, hits->effect, "mean burst", NSP_UNIT_PKTS,
                             (double)runs->burst_pkts / (double)runs->bursts);
    }
    if (runs->gap_pkts > 0)
        nsp_checks_add_shown(checks, hits->effect, "gap density",
                             NSP_UNIT_SHARE,
                             (double)runs->gap_lost / (double)runs->gap_pkts);
}

void
nsp_judge_hits(const struct nsp_hits *hits, const struct nsp_loss_config *cfg,
               const struct nsp_loss_model *model, struct nsp_checks *checks)
{
    struct nsp_loss_runs runs;

    nsp_loss_runs_read(hits->hit, hits->n, &runs);
    if (model->is_exact) {
        judge_exact(hits, cfg, checks);
    } else {
        judge_rate(hits, model, &runs, checks);
        judge_periods(hits, model, &runs, checks);
        judge_lag1(hits, model, &runs, checks);
    }
    if (hits->are_losses && runs.lost > 1)
        show_metrics(hits, &runs, checks);
}

void
nsp_judge_chance(const struct nsp_hits *hits, uint32_t ppm,
                 uint32_t correlation_ppm, struct nsp_checks *checks)
{
    const struct nsp_loss_config cfg = { .chance = { ppm, correlation_ppm } };
    struct nsp_loss_model model;

    nsp_loss_model_init(&model, &cfg, 1);
    nsp_judge_hits(hits, &cfg, &model, checks);
}
