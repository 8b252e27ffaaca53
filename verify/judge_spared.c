/* What effects in time spare: a share of packets, each by itself, that goes on
 * as if there were no effect. It is measured with effects that hit all others:
 * a link that is down, a connection that is cut off, a throttle that lets none
 * through, and windows that none is in. */
#include "verify/subject.h"

#include <stdlib.h>

#include "verify/hits.h"

#define GAP_NS   1000
#define LONG_NS  NSP_WINDOW_NS_MAX
#define PKTS_MAX 50000u /* That are held at once until a window comes. */

/* The first packet begins the time of each, and passes. */
#define FIRST 1

static int
judge_shares(const char *effect, const struct nsp_trial *trial,
             uint32_t spared_ppm, struct nsp_checks *checks)
{
    bool *hit = calloc((size_t)trial->pkts + 1, sizeof *hit);

    if (!hit)
        return NSP_NO_MEMORY;
    for (uint32_t i = FIRST; i < trial->pkts; i++)
        hit[i - FIRST] = trial->left_ns[i] == nsp_trial_sent_ns(trial, i) ||
                         (trial->is_live && trial->left_ns[i] != 0);
    nsp_judge_chance(
        &(struct nsp_hits){ effect, false, hit, trial->pkts - FIRST },
        spared_ppm, 0, checks);
    free(hit);
    return nsp_checks_result(checks);
}

/* Runs the rule with 'effects' alone. */
static int
measure(const struct nsp_subject *subject, const char *effect,
        const struct nsp_effects *effects, uint32_t spared_ppm,
        struct nsp_checks *checks, struct nsp_diag *reterr)
{
    struct nsp_rule bare = nsp_subject_bare_rule(subject);
    struct nsp_subject of = *subject;
    struct nsp_trial trial;
    int result;

    bare.effects = *effects;
    of.as = &bare;
    if (effects->windows.min_ns != 0 && of.pkts > PKTS_MAX)
        of.pkts = PKTS_MAX;
    result = nsp_subject_run(&of, &of.packet, GAP_NS, of.pkts, &trial, reterr);
    if (result != NSP_OK)
        return result;
    result = judge_shares(effect, &trial, spared_ppm, checks);
    nsp_trial_fini(&trial);
    return result;
}

static int
measure_flap(const struct nsp_subject *subject, struct nsp_checks *checks,
             struct nsp_diag *reterr)
{
    static const uint64_t down[] = { 1, NSP_FLAP_NS_MAX };
    uint32_t ppm = subject->effects->flap.spared_ppm;
    const struct nsp_effects effects = {
        .flap = { .count = 2, .times_ns = down, .spared_ppm = ppm }
    };

    if (ppm == 0)
        return NSP_OK;
    return measure(subject, "flap-spared", &effects, ppm, checks, reterr);
}

static int
measure_cutoff(const struct nsp_subject *subject, struct nsp_checks *checks,
               struct nsp_diag *reterr)
{
    uint32_t ppm = subject->effects->cutoff.spared_ppm;
    const struct nsp_effects effects = {
        .cutoff = { .after_ns = 1, .stall_ns = UINT64_MAX, .spared_ppm = ppm }
    };

    if (ppm == 0)
        return NSP_OK;
    return measure(subject, "cut-off-spared", &effects, ppm, checks, reterr);
}

static int
measure_throttle(const struct nsp_subject *subject, struct nsp_checks *checks,
                 struct nsp_diag *reterr)
{
    uint32_t ppm = subject->effects->throttle.spared_ppm;
    const struct nsp_effects effects = { .throttle = { .pkts = 1,
                                                       .per_ns = LONG_NS,
                                                       .burst_pkts = 1,
                                                       .spared_ppm = ppm } };

    if (ppm == 0)
        return NSP_OK;
    return measure(subject, "throttle-spared", &effects, ppm, checks, reterr);
}

static int
measure_windows(const struct nsp_subject *subject, struct nsp_checks *checks,
                struct nsp_diag *reterr)
{
    const struct nsp_window_config *windows = &subject->effects->windows;
    const struct nsp_effects effects = {
        .windows = { .min_ns = LONG_NS,
                     .max_ns = LONG_NS,
                     .spared_ppm = windows->spared_ppm }
    };

    if (windows->spared_ppm == 0)
        return NSP_OK;
    return measure(subject, "windows-spared", &effects, windows->spared_ppm,
                   checks, reterr);
}

int
nsp_judge_spared(const struct nsp_subject *subject, struct nsp_checks *checks,
                 struct nsp_diag *reterr)
{
    int result = measure_flap(subject, checks, reterr);

    if (result == NSP_OK)
        result = measure_cutoff(subject, checks, reterr);
    if (result == NSP_OK)
        result = measure_throttle(subject, checks, reterr);
    if (result == NSP_OK)
        result = measure_windows(subject, checks, reterr);
    return result;
}
