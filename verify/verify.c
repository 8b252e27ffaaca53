#include "verify/verify.h"

#include "verify/loss_model.h"
#include "verify/subject.h"

#define PAYLOAD_BYTES     64
#define TOGETHER_PKTS_MAX 100000u

/* In a bad time there are to be so many packets. */
#define PKTS_IN_BAD_TIME 8

/* --- Losses and delays
 * ------------------------------------------------------------- */

/* Losses by time want packets within it; all else wants them far apart. */
static int
measure_timed_loss(const struct nsp_subject *subject, struct nsp_checks *checks,
                   struct nsp_diag *reterr)
{
    uint64_t gap_ns =
        subject->effects->loss.timed.bad_ns / PKTS_IN_BAD_TIME + 1;
    uint64_t least_ns =
        nsp_subject_serialise_up_ns(subject, subject->packet.bytes) + 1;
    struct nsp_trial trial;
    int result;

    if (gap_ns < least_ns)
        gap_ns = least_ns;
    result = nsp_subject_run(subject, &subject->packet, gap_ns, subject->pkts,
                             &trial, reterr);
    if (result != NSP_OK)
        return result;
    result = nsp_judge_loss(subject, &trial, checks);
    nsp_trial_fini(&trial);
    return result;
}

/* Losses and delays, with all else that the rule does but other effects. */
static int
measure_calmly(const struct nsp_subject *subject, struct nsp_checks *checks,
               struct nsp_diag *reterr)
{
    uint64_t gap_ns = nsp_subject_calm_gap_ns(subject, subject->packet.bytes);
    bool timed = subject->effects->loss.kind == NSP_LOSS_TIMED;
    struct nsp_trial trial;
    int result = nsp_subject_run(subject, &subject->packet, gap_ns,
                                 subject->pkts, &trial, reterr);

    if (result != NSP_OK)
        return result;
    if (!subject->as)
        result = nsp_judge_accounts(&trial, checks);
    if (result == NSP_OK && nsp_subject_loses(subject) && !timed)
        result = nsp_judge_loss(subject, &trial, checks);
    if (result == NSP_OK && nsp_subject_delays(subject))
        result = nsp_judge_delay(subject, &trial, checks);
    nsp_trial_fini(&trial);
    if (result == NSP_OK && timed)
        result = measure_timed_loss(subject, checks, reterr);
    return result;
}

/* The rule as it is, of which the counters must add up whatever it does. */
static int
measure_all_together(const struct nsp_subject *subject,
                     struct nsp_checks *checks, struct nsp_diag *reterr)
{
    struct nsp_trial trial;
    int result = nsp_subject_run(
        subject, &subject->packet,
        nsp_subject_calm_gap_ns(subject, subject->packet.bytes),
        subject->pkts < TOGETHER_PKTS_MAX ? subject->pkts : TOGETHER_PKTS_MAX,
        &trial, reterr);

    if (result != NSP_OK)
        return result;
    result = nsp_judge_accounts(&trial, checks);
    nsp_trial_fini(&trial);
    return result;
}

/* A rule that has more effects is measured one at a time: they would hide each
 * other. */
static int
measure_losses_and_delays(const struct nsp_subject *subject,
                          struct nsp_checks *checks, struct nsp_diag *reterr)
{
    struct nsp_subject of = *subject;
    struct nsp_rule only = *subject->rule;
    int result;

    if (!nsp_subject_has_more(subject) && !subject->link->plan)
        return measure_calmly(subject, checks, reterr);
    if (subject->link->plan) {
        only.class_name = NULL;
        only.link = (struct nsp_link_rate){ .rate_bitps = 0 };
    }
    only.impairment = NULL;
    only.effects = (struct nsp_effects){ .loss = subject->effects->loss,
                                         .delay = subject->effects->delay };
    of.as = &only;
    result = measure_all_together(subject, checks, reterr);
    if (result == NSP_OK &&
        (nsp_subject_loses(subject) || nsp_subject_delays(subject)))
        result = measure_calmly(&of, checks, reterr);
    return result;
}

/* --- Other effects -------------------------------------------------------- */

static bool
marks(const struct nsp_effects *e)
{
    return e->loss.mark_ce && nsp_loss_is_configured(&e->loss);
}

static bool
loses_syns(const struct nsp_effects *e)
{
    return nsp_loss_is_configured(&e->syn_loss);
}

static bool
cuts_off(const struct nsp_effects *e)
{
    return e->cutoff.after_bytes != 0 || e->cutoff.after_ns != 0;
}

static bool
flaps(const struct nsp_effects *e)
{
    return e->flap.count != 0;
}

static bool
has_mtu(const struct nsp_effects *e)
{
    return e->mtu.max_bytes != 0;
}

static bool
resets(const struct nsp_effects *e)
{
    return e->tcp_reset.ppm != 0;
}

static bool
throttles(const struct nsp_effects *e)
{
    return e->throttle.pkts != 0;
}

static bool
duplicates(const struct nsp_effects *e)
{
    return e->duplicate.ppm != 0;
}

static bool
tampers(const struct nsp_effects *e)
{
    return e->tamper.ppm != 0;
}

static bool
clamps_window(const struct nsp_effects *e)
{
    return e->tcp_window.max_bytes != 0;
}

static bool
has_windows(const struct nsp_effects *e)
{
    return e->windows.min_ns != 0;
}

static bool
delays_acks(const struct nsp_effects *e)
{
    return e->ack_delay.delay_ns != 0;
}

static bool
reorders(const struct nsp_effects *e)
{
    return e->reorder.gap != 0 || e->reorder.late_ns != 0;
}

/* In the order in which packets meet them. */
static const struct {
    bool (*is_configured)(const struct nsp_effects *effects);
    int (*judge)(const struct nsp_subject *subject, struct nsp_checks *checks,
                 struct nsp_diag *reterr);
} effects[] = {
    { cuts_off, nsp_judge_cutoff },     { flaps, nsp_judge_flap },
    { has_mtu, nsp_judge_mtu },         { loses_syns, nsp_judge_syn_loss },
    { marks, nsp_judge_marks },         { resets, nsp_judge_tcp_reset },
    { throttles, nsp_judge_throttle },  { duplicates, nsp_judge_duplicate },
    { tampers, nsp_judge_tamper },      { clamps_window, nsp_judge_tcp_window },
    { has_windows, nsp_judge_windows }, { delays_acks, nsp_judge_ack_delay },
    { reorders, nsp_judge_reorder },
};

static int
measure_effects(const struct nsp_subject *subject, struct nsp_checks *checks,
                struct nsp_diag *reterr)
{
    int result = NSP_OK;

    for (size_t i = 0;
         i < sizeof effects / sizeof effects[0] && result == NSP_OK; i++)
        if (effects[i].is_configured(subject->effects))
            result = effects[i].judge(subject, checks, reterr);
    return result == NSP_OK ? nsp_judge_spared(subject, checks, reterr)
                            : result;
}

/* --- One rule ------------------------------------------------------------- */

static int
measure(const struct nsp_subject *subject, struct nsp_checks *checks,
        struct nsp_diag *reterr)
{
    int result;

    if (subject->rule->action != NSP_ACTION_PASS)
        return nsp_judge_action(subject, checks, reterr);
    result = measure_losses_and_delays(subject, checks, reterr);
    if (result == NSP_OK)
        result = measure_effects(subject, checks, reterr);
    if (result == NSP_OK && subject->link->plan)
        result = nsp_judge_rate_plan(subject, checks, reterr);
    if (result == NSP_OK && subject->link->rate_bitps > 0)
        result = nsp_judge_rate(subject, checks, reterr);
    if (result == NSP_OK && subject->rule->limit.unit != NSP_LIMIT_NONE)
        result = nsp_judge_limit(subject, checks, reterr);
    if (result == NSP_OK && subject->rule->edits.which != 0)
        result = nsp_judge_edits(subject, checks, reterr);
    return result;
}

static int
verify_rule(const struct nsp_verify_job *job, const struct nsp_search *search,
            uint32_t rule, struct nsp_checks *ret, struct nsp_diag *reterr)
{
    struct nsp_checks first = { .rule = rule }, again = { .rule = rule };
    struct nsp_subject subject;
    const char *why;
    int result;

    nsp_subject_init(&subject, search, rule);
    if (!nsp_subject_does_anything(&subject))
        return NSP_OK;
    ret->rule = rule;
    if (!nsp_search_packet(search, rule, &subject.packet, &why)) {
        nsp_checks_add_not_tested(ret, "rule", "all", why);
        return NSP_OK;
    }
    if (job->begin_rule &&
        !job->begin_rule(job->begin_rule_context, rule, &subject.packet))
        return NSP_STOPPED;
    subject.pkts = job->pkts;
    subject.seed = job->seed;
    result = measure(&subject, &first, reterr);
    if (result == NSP_OK && nsp_checks_want_retry(&first, 1)) {
        subject.seed = job->seed + 1;
        result = measure(&subject, &again, reterr);
        nsp_checks_retry(&first, &again);
    }
    nsp_checks_append(ret, &first);
    nsp_checks_fini(&again);
    return result;
}

int
nsp_verify(const struct nsp_verify_job *job, struct nsp_checks *ret,
           struct nsp_diag *reterr)
{
    struct nsp_search search = job->search;
    int result = NSP_OK;

    search.payload_bytes = PAYLOAD_BYTES;
    search.seed = job->seed;
    for (uint32_t i = 0; i < search.spec->rule_count && result == NSP_OK; i++) {
        if (!(search.off && search.off[i]))
            result = verify_rule(job, &search, i, ret, reterr);
    }
    return result == NSP_OK ? nsp_checks_result(ret) : result;
}
