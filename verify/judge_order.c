/* Copies, and reordering: which packets are hit, by how much, and what a
 * receiver sees. */
#include "verify/subject.h"

#include <math.h>
#include <stdlib.h>

#include "verify/hits.h"
#include "verify/reordering.h"

#define EFFECT "reorder"

#define MIN_GAP_NS    1000
#define DENSE_IN_TIME 10 /* Packets in the time that they are held. */

/* What a receiver of packets that come close together sees, RFC 4737. */
static int
show_reordering(const struct nsp_subject *subject, uint64_t hold_ns,
                struct nsp_checks *checks, struct nsp_diag *reterr)
{
    struct nsp_reordering reordering;
    struct nsp_trial trial;
    int result =
        nsp_subject_run(subject, &subject->packet, hold_ns / DENSE_IN_TIME + 1,
                        subject->pkts, &trial, reterr);

    if (result != NSP_OK)
        return result;
    if (nsp_reordering_read(trial.order, trial.order_count, trial.pkts,
                            &reordering) < 0) {
        nsp_trial_fini(&trial);
        return NSP_NO_MEMORY;
    }
    nsp_trial_fini(&trial);
    nsp_check_note(
        nsp_checks_add_shown(checks, EFFECT, "reordered ratio", NSP_UNIT_SHARE,
                             reordering.pkts ? (double)reordering.reordered /
                                                   (double)reordering.pkts
                                             : 0),
        "RFC 4737, with %d packets in the time of the delay", DENSE_IN_TIME);
    nsp_checks_add_shown(checks, EFFECT, "mean reordering extent",
                         NSP_UNIT_PKTS, reordering.extent_mean);
    nsp_checks_add_shown(checks, EFFECT, "largest reordering extent",
                         NSP_UNIT_PKTS, (double)reordering.extent_max);
    return NSP_OK;
}

/* --- Some go at once ------------------------------------------------------ */

/* A renewal at each that does: gap - 1 packets, then a geometric number of
 * them, mean 1 / p, variance (1 - p) / p^2. */
void
nsp_judge_gaps(const struct nsp_reorder_config *cfg, const bool *hit,
               uint32_t n, struct nsp_checks *checks)
{
    double p = cfg->ppm / (double)NSP_PPM_ONE;
    double mean = cfg->gap - 1 + 1 / p, variance = (1 - p) / (p * p);
    double rate = 1 / mean, hits = 0, too_soon = 0;
    uint32_t since = 0;

    for (uint32_t i = 0; i < n; i++) {
        since++;
        if (!hit[i])
            continue;
        too_soon += since < cfg->gap;
        since = 0;
        hits++;
    }
    nsp_checks_add_pkts(checks, EFFECT, "packets at once too soon", 0,
                        too_soon);
    if (cfg->correlation_ppm != 0) {
        nsp_checks_add_shown(checks, EFFECT, "share at once", NSP_UNIT_SHARE,
                             hits / n);
        return;
    }
    nsp_check_note(nsp_checks_add_estimate(
                       checks, EFFECT, "share at once", NSP_UNIT_SHARE, rate,
                       hits / n, sqrt(variance / (mean * mean * mean) / n),
                       1.0 / n),
                   "1 / (gap - 1 + 1 / p), 99.9 %% interval");
}

static int
measure_gaps(struct nsp_subject *of, struct nsp_rule *bare,
             struct nsp_checks *checks, struct nsp_diag *reterr)
{
    const struct nsp_reorder_config *cfg = &of->effects->reorder;
    uint64_t delay_ns = of->effects->delay.mean_ns;
    struct nsp_trial trial;
    int result;
    bool *hit;

    if (delay_ns == 0 || cfg->ppm == 0) {
        nsp_checks_add_not_tested(checks, EFFECT, "all",
                                  "nothing is delayed that could be overtaken");
        return NSP_OK;
    }
    bare->effects.delay = (struct nsp_delay_config){ .mean_ns = delay_ns };
    result = nsp_subject_run(of, &of->packet, delay_ns + 1, of->pkts, &trial,
                             reterr);
    if (result != NSP_OK)
        return result;
    hit = calloc((size_t)trial.pkts + 1, sizeof *hit);
    for (uint32_t i = 0; hit && i < trial.pkts; i++)
        hit[i] = trial.left_ns[i] == nsp_trial_sent_ns(&trial, i);
    if (hit)
        nsp_judge_gaps(cfg, hit, trial.pkts, checks);
    nsp_trial_fini(&trial);
    free(hit);
    return hit ? show_reordering(of, delay_ns, checks, reterr) : NSP_NO_MEMORY;
}

/* --- Some are late -------------------------------------------------------- */

static double
late_cdf(const void *context, double x)
{
    const struct nsp_reorder_config *cfg = context;

    return fmin(fmax(x / (double)cfg->late_ns, 0), 1);
}

static int
judge_late(const struct nsp_reorder_config *cfg, const struct nsp_trial *trial,
           struct nsp_checks *checks)
{
    const struct nsp_distribution of = { late_cdf, late_cdf, cfg };
    double *late = calloc((size_t)trial->pkts + 1, sizeof *late), d, limit;
    bool *hit = calloc((size_t)trial->pkts + 1, sizeof *hit);
    size_t n = 0;

    for (uint32_t i = 0; late && hit && i < trial->pkts; i++) {
        uint64_t by_ns = trial->left_ns[i] - nsp_trial_sent_ns(trial, i);

        hit[i] = by_ns > 0;
        if (hit[i])
            late[n++] = (double)by_ns;
    }
    if (late && hit)
        nsp_judge_chance(&(struct nsp_hits){ EFFECT, false, hit, trial->pkts },
                         cfg->ppm, cfg->correlation_ppm, checks);
    if (late && hit && n > 0) {
        nsp_sort_doubles(late, n);
        limit = nsp_ks_limit((double)n);
        d = nsp_ks_distance(late, n, &of, 1);
        nsp_check_note(
            nsp_checks_add_random(
                checks, EFFECT, "KS distance", NSP_UNIT_NUMBER, 0, d,
                (struct nsp_interval){ fmax(0, d - limit), d + limit },
                (struct nsp_interval){ 0, limit }),
            "from even times to the longest; 1.63 / sqrt(n), n %zu", n);
    }
    free(late);
    free(hit);
    return late && hit ? NSP_OK : NSP_NO_MEMORY;
}

static int
measure_late(const struct nsp_subject *of, struct nsp_checks *checks,
             struct nsp_diag *reterr)
{
    const struct nsp_reorder_config *cfg = &of->effects->reorder;
    struct nsp_trial trial;
    int result = nsp_subject_run(of, &of->packet, cfg->late_ns + MIN_GAP_NS,
                                 of->pkts, &trial, reterr);

    if (result != NSP_OK)
        return result;
    result = judge_late(cfg, &trial, checks);
    nsp_trial_fini(&trial);
    if (result != NSP_OK)
        return result;
    return show_reordering(of, cfg->late_ns, checks, reterr);
}

int
nsp_judge_reorder(const struct nsp_subject *subject, struct nsp_checks *checks,
                  struct nsp_diag *reterr)
{
    struct nsp_rule bare = nsp_subject_bare_rule(subject);
    struct nsp_subject of = *subject;
    int result;

    bare.effects.reorder = subject->effects->reorder;
    of.as = &bare;
    result = subject->effects->reorder.gap != 0
                 ? measure_gaps(&of, &bare, checks, reterr)
                 : measure_late(&of, checks, reterr);
    return result == NSP_OK ? nsp_checks_result(checks) : result;
}

/* --- Copies --------------------------------------------------------------- */

static int
judge_copies(const struct nsp_duplicate_config *cfg,
             const struct nsp_trial *trial, struct nsp_checks *checks)
{
    bool *hit = calloc((size_t)trial->pkts + 1, sizeof *hit);
    uint64_t last_ns = cfg->copies * cfg->spacing_ns;
    double copied = 0, wrong = 0;

    if (!hit)
        return NSP_NO_MEMORY;
    for (uint32_t i = 0; i < trial->pkts; i++) {
        uint64_t sent_ns = nsp_trial_sent_ns(trial, i);

        hit[i] = trial->copy_ns[i] != 0;
        copied += hit[i];
        wrong += trial->left_ns[i] != sent_ns ||
                 (hit[i] && trial->copy_ns[i] != sent_ns + last_ns);
    }
    nsp_judge_chance(&(struct nsp_hits){ "duplicate", false, hit, trial->pkts },
                     cfg->ppm, cfg->correlation_ppm, checks);
    nsp_checks_add_exact(
        checks, "duplicate", "copies", NSP_UNIT_PKTS, copied * cfg->copies,
        (double)trial->copied_pkts,
        (struct nsp_interval){ copied * cfg->copies, copied * cfg->copies });
    nsp_checks_add_pkts(checks, "duplicate", "packets at other times", 0,
                        wrong);
    free(hit);
    return nsp_checks_result(checks);
}

/* Packets so far apart that all copies of one have left before the next. */
int
nsp_judge_duplicate(const struct nsp_subject *subject,
                    struct nsp_checks *checks, struct nsp_diag *reterr)
{
    const struct nsp_duplicate_config *cfg = &subject->effects->duplicate;
    struct nsp_rule bare = nsp_subject_bare_rule(subject);
    struct nsp_subject of = *subject;
    struct nsp_trial trial;
    int result;

    bare.effects.duplicate = *cfg;
    of.as = &bare;
    result = nsp_subject_run(&of, &of.packet,
                             cfg->copies * cfg->spacing_ns + MIN_GAP_NS,
                             of.pkts, &trial, reterr);
    if (result != NSP_OK)
        return result;
    result = judge_copies(cfg, &trial, checks);
    nsp_trial_fini(&trial);
    return result;
}
