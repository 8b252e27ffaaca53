#include "verify/verify.h"

#include "verify/subject.h"

#define PAYLOAD_BYTES 64

/* In a bad time there are to be so many packets. */
#define PKTS_IN_BAD_TIME 8

/* --- One rule ------------------------------------------------------------- */

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

static int
measure(const struct nsp_subject *subject, struct nsp_checks *checks,
        struct nsp_diag *reterr)
{
    int result;

    if (subject->rule->action != NSP_ACTION_PASS)
        return nsp_judge_action(subject, checks, reterr);
    result = measure_calmly(subject, checks, reterr);
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
    if (result == NSP_OK && nsp_checks_have_random_failures(&first)) {
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
    return result == NSP_OK && ret->out_of_memory ? NSP_NO_MEMORY : result;
}
